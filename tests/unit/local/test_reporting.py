"""The report of a choice, from a model.json written by hand: no algorithm has a part in it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from algorithms.artifacts.archives import pack
from local.cli import main
from local.picturing import curves, page, scores, write_page
from local.reporting import bars, header, rows, selection, show
from recordio.errors import UserError


def candidate(score: float | None, loss: float | None, **hyperparameters: object) -> dict[str, Any]:
    curve = [loss + gain if loss is not None else None for gain in (0.3, 0.1, 0)]
    return {
        "hyperparameters": {"optimizer": "adam", **hyperparameters},
        "score": score,
        "loss": loss,
        "threshold": 0.25,
        "curves": {"validation": curve, "train": curve},
    }


CHOSEN: dict[str, Any] = {
    "criterion": "accuracy",
    "objective": "cross_objective",
    "channel": "validation",
    "winner": 2,
    "reason": "highest accuracy of 4 candidates, 0.9; 2 candidates have it <b>",
    "candidates": [
        candidate(0.8, 0.3, wd=0.0),
        candidate(0.9, 0.5, wd=0.1),
        candidate(0.9, 0.4, wd=1.0),
        candidate(None, None, wd="<none>"),
    ],
}


def artifact(folder: Path, chosen: object = CHOSEN) -> Path:
    files = folder / "files"
    files.mkdir()
    (files / "model.json").write_text(json.dumps({"algorithm": "lines & co", "selection": chosen}))
    return files


def test_the_winner_comes_first_then_the_best(tmp_path: Path) -> None:
    files = artifact(tmp_path)
    pack(files, tmp_path / "model.tar.gz")
    found = selection(tmp_path / "model.tar.gz")
    assert [one.number for one in found.candidates] == [2, 1, 0, 3]
    assert found.varied == ["wd"]
    assert found.shared == {"optimizer": "adam"}
    assert header(found) == ["candidate", "wd", "accuracy", "cross_objective", "threshold"]
    assert rows(found) == [
        ["2", "1", "0.9", "0.4", "0.25"],
        ["1", "0.1", "0.9", "0.5", "0.25"],
        ["0", "0", "0.8", "0.3", "0.25"],
        ["3", "<none>", "-", "-", "0.25"],
    ]


def test_a_loss_is_better_when_smaller(tmp_path: Path) -> None:
    losses = [{"hyperparameters": {"wd": wd}, "score": loss, "loss": loss, "curves": {}} for wd, loss in
              ((0, 3.0), (1, None), (2, 1.0), (3, 2.0))]  # fmt: skip
    found = selection(artifact(tmp_path, CHOSEN | {"criterion": "cross_objective", "candidates": losses}))
    assert header(found) == ["candidate", "wd", "cross_objective"]
    assert [row[0] for row in rows(found)] == ["2", "3", "0", "1"]
    assert found.candidates[0].curve == ()
    assert page(found).count("<svg") == 2


def test_the_terminal_shows_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(selection(artifact(tmp_path)))
    shown = capsys.readouterr().out
    assert "Candidate 2 won on the validation channel: highest accuracy of 4 candidates, 0.9; 2 candidates" in shown
    assert "All have optimizer adam" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["candidate", "wd", "accuracy", "cross_objective", "threshold", "validation", "curve"] in lines
    assert ["2", "1", "0.9", "0.4", "0.25", "█▃▁"] in lines
    assert ["3", "<none>", "-", "-", "0.25", "···"] in lines


def test_bars() -> None:
    assert bars(()) == ""
    assert bars((1.0,)) == "▁"
    assert bars((2.0, None, 1.0)) == "█·▁"
    assert bars(tuple(float(number) for number in range(99)))[::15] == "▁█"


class Page(HTMLParser):
    """Names of elements, what they refer to, and their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_it_is_told(tmp_path: Path) -> None:
    found = selection(artifact(tmp_path))
    text = page(found)
    read = Page(text)
    assert {"script", "link", "img", "iframe", "b"}.isdisjoint(read.elements)
    assert all(reference.startswith("#") for reference in read.references)
    assert not re.search(r"url\((?!#)|@import", text)
    assert read.elements.count("svg") == 2
    assert read.elements.count("tr") == 5
    assert "<none>" in read.words
    assert "4 candidates of lines & co" in read.words
    assert any("which" not in word and word.endswith("2 candidates have it <b>.") for word in read.words)
    assert page(found) == text


def test_plots_show_every_candidate_on_every_channel(tmp_path: Path) -> None:
    found = selection(artifact(tmp_path))
    panels = curves(found).axes
    assert [axes.get_title() for axes in panels] == ["validation", "train"]
    assert all(len(axes.lines) == 4 for axes in panels)
    (winner,) = [line for line in panels[0].lines if line.get_label() == "candidate 2"]
    assert winner.get_ydata().tolist() == pytest.approx([0.7, 0.5, 0.4])
    (axes,) = scores(found).axes
    assert sorted(float(line.get_xdata()[0]) for line in axes.lines) == [0, 1, 2]  # the third diverged


def test_the_command_writes_json_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = artifact(tmp_path)
    assert main(["report", str(files), "--json", "--output", str(tmp_path / "report.html")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["number"] for one in told["candidates"]] == [2, 1, 0, 3]
    assert told["reason"] == CHOSEN["reason"]
    assert told["candidates"][0]["curves"]["validation"] == [0.7, 0.5, 0.4]
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert main(["report", str(files)]) == 0
    assert "Candidate 2 won" in capsys.readouterr().out


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["report", "--help"])
    assert "  onepass report" in capsys.readouterr().out.partition("examples:")[2]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CHOSEN.items() if key != name}


@pytest.mark.parametrize(
    ("chosen", "text"),
    [
        (None, "was not chosen among candidates: its algorithm trains one model"),
        ([1], "model.json is damaged"),
        (without("criterion"), r"model.json is damaged \(KeyError: 'criterion'\)"),
        (CHOSEN | {"winner": 9}, r"model.json is damaged \(IndexError"),
        (CHOSEN | {"winner": "2"}, r"model.json is damaged \(TypeError"),
        (CHOSEN | {"candidates": [3]}, "model.json is damaged"),
        (CHOSEN | {"candidates": [{**candidate(1, 1), "curves": [1]}] * 3}, "model.json is damaged"),
        (CHOSEN | {"candidates": [{**candidate(1, 1), "score": "high"}] * 3}, "model.json is damaged"),
    ],
)
def test_what_tells_of_no_candidates_gets_one_sentence(tmp_path: Path, chosen: object, text: str) -> None:
    with pytest.raises(UserError, match=text):
        selection(artifact(tmp_path, chosen))


def test_damaged_and_missing_files_get_one_sentence(tmp_path: Path) -> None:
    files = artifact(tmp_path)
    for wrong in ("", "[" * 100_000, "{"):
        (files / "model.json").write_text(wrong)
        with pytest.raises(UserError, match=r"model\.json is damaged"):
            selection(files)
    (files / "model.json").unlink()
    with pytest.raises(
        UserError, match=r"has no model\.json: of models made elsewhere, only those of some algorithms have a report"
    ):
        selection(files)


def test_a_page_has_the_name_of_a_page(tmp_path: Path) -> None:
    found = selection(artifact(tmp_path))
    with pytest.raises(UserError, match=r"report\.png: expected a name that ends in \.html"):
        write_page(found, tmp_path / "report.png")
    assert [path.name for path in tmp_path.iterdir()] == ["files"]
