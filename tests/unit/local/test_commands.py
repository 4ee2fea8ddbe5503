"""What the arguments of `onepass train` make of channels."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import cli, commands

TRAIN = ["train", "kmeans", "--output", "out"]


def content_type(path: Path, *arguments: str) -> str | None:
    given = cli._parser().parse_args([*TRAIN, "--channel", f"train={path}", *arguments])
    return commands._channels(given)[0].content_type


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.csv"], "text/csv"),
        (["a.csv", "b.csv.gz", "_SUCCESS"], "text/csv"),
        (["a.csv", "b.pbr"], None),
        (["a.pbr"], None),
    ],
)
def test_csv_is_known_by_the_names_of_its_files(tmp_path: Path, names: list[str], expected: str | None) -> None:
    for name in names:
        (tmp_path / name).write_text("1,2")
    assert content_type(tmp_path) == expected
    assert content_type(tmp_path / names[0]) == ("text/csv" if names[0].endswith(".csv") else None)


def test_what_is_said_of_a_channel_goes_first(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    assert content_type(tmp_path, "--content-type", "text/csv;label_size=1") == "text/csv;label_size=1"
    assert content_type(tmp_path, "--content-type", "train=text/csv; label_size=1") == "text/csv; label_size=1"
