"""Recommendations from an artifact: as scores of whole records rank them, without what a user has seen."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

import recordio
from algorithms.artifacts.archives import pack
from algorithms.factorization_machines.model import FactorizationMachine
from local import recommending
from local.cli import main
from recordio.batch import Batch

USERS, COUNTRIES, ITEMS = 30, 5, 40  # features in this order
FIRST, WIDTH = USERS + COUNTRIES, USERS + COUNTRIES + ITEMS
ITEM_RANGE = f"{FIRST}:{WIDTH - 1}"


def some_model(**changed: object) -> FactorizationMachine:
    rng = np.random.default_rng(0)
    parts = {
        "factors": rng.normal(size=(WIDTH, 3)).astype(np.float32),
        "linear": rng.normal(size=WIDTH).astype(np.float32),
        "bias": 0.5,
        "predictor_type": "binary_classifier",
    }
    return FactorizationMachine(**{**parts, **changed})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    some_model().save(tmp_path, "algo-1")
    return tmp_path


def by_records(model: FactorizationMachine, user: dict[int, float]) -> list[tuple[int, float]]:
    """Every item in a whole record of its own, the best first."""
    rows = np.zeros((ITEMS, WIDTH), np.float32)
    for key, value in user.items():
        rows[:, key] = value
    rows[np.arange(ITEMS), FIRST + np.arange(ITEMS)] = 1
    scores = model.predict(Batch(rows))["score"]
    return [(FIRST + int(place), float(scores[place])) for place in np.argsort(-scores, kind="stable")]


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["recommend", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["recommend", *map(str, arguments)]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("lacking", [{}, {"linear": None}, {"bias": None}, {"predictor_type": "regressor"}], ids=str)
@pytest.mark.parametrize("packed", [False, True])
def test_items_are_ranked_as_whole_records_are(
    lacking: dict[str, object], packed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = some_model(**lacking)
    (tmp_path / "files").mkdir()
    model.save(tmp_path / "files", "algo-1")
    place = tmp_path / "files"
    if packed:
        place = tmp_path / "model.tar.gz"
        pack(tmp_path / "files", place)
    text = told(capsys, place, "--user", "3", "--user", "4,31:0.5,30:-2", "--items", ITEM_RANGE, "--top", "7", "--json")
    found = json.loads(text)
    assert [one["user"] for one in found] == ["3", "4,31:0.5,30:-2"]
    for one, user in zip(found, ({3: 1.0}, {4: 1.0, 31: 0.5, 30: -2.0}), strict=True):
        expected = by_records(model, user)[:7]
        assert [item["item"] for item in one["items"]] == [item for item, _ in expected]
        assert [item["score"] for item in one["items"]] == pytest.approx(
            [score for _, score in expected], rel=1e-5, abs=1e-5
        )


def test_a_table_of_users_from_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "users.txt").write_text("3\n\n 4, 31:0.5 \n")
    lines = told(capsys, folder, "--users", folder / "users.txt", "--items", ITEM_RANGE, "--top", "2").splitlines()
    assert lines[0].split() == ["user", "rank", "item", "score"]
    first = by_records(some_model(), {3: 1.0})
    assert lines[1].split() == ["3", "1", str(first[0][0]), f"{first[0][1]:.6g}"]
    assert [line.split()[0] for line in lines[2:]] == ["2", "4,", "2"]


def test_many_users_are_scored_in_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [recommending.User.parse(str(number)) for number in range(USERS)]
    whole = recommending.recommendations(folder, users, range(FIRST, WIDTH), 5)
    monkeypatch.setattr(recommending, "MOST_SCORES", 3 * ITEMS)
    parts = recommending.recommendations(folder, users, range(FIRST, WIDTH), 5)
    assert [one.user for one in parts] == users
    assert [[item for item, _ in one.items] for one in parts] == [[item for item, _ in one.items] for one in whole]


@pytest.mark.parametrize("dense", [False, True])
def test_items_seen_with_all_of_a_users_features_are_left_out(
    dense: bool, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, rng = some_model(), np.random.default_rng(1)
    users, countries = rng.integers(4, size=60), USERS + rng.integers(2, size=60)
    items = FIRST + rng.integers(ITEMS, size=60)
    columns = np.column_stack([users, countries, items])
    file = io.BytesIO()
    rows = csr_array((np.ones(180, np.float32), columns.ravel(), np.arange(0, 181, 3)), (60, WIDTH))
    if dense:
        recordio.write_dense(file, rows.toarray())
    else:
        recordio.write_sparse(file, rows)
    (folder / "seen").mkdir()
    (folder / "seen" / "part-0.pbr").write_bytes(file.getvalue())
    text = told(
        *(capsys, folder, "--user", "2", "--user", f"2,{USERS}", "--items", ITEM_RANGE),
        *("--top", ITEMS, "--seen", folder / "seen", "--json"),
    )
    for one, keys in zip(json.loads(text), ({2}, {2, USERS}), strict=True):
        seen = {item for user, country, item in columns.tolist() if keys <= {user, country}}
        ranked = [item for item, _ in by_records(model, dict.fromkeys(keys, 1.0))]
        assert seen and [item["item"] for item in one["items"]] == [item for item in ranked if item not in seen]


def test_what_can_not_be_ranked_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = ("--items", ITEM_RANGE)
    assert "got 35:75, expected features up to 74" in refused(capsys, folder, "--user", "1", "--items", "35:75")
    assert "User 40: 40 is one of the items" in refused(capsys, folder, "--user", "40", *items)
    assert "User 1,80: 80 is not a feature of the model (0 to 74)" in refused(capsys, folder, "--user", "1,80", *items)
    (folder / "users.txt").write_text("1\n2:x\n")
    assert "users.txt, line 2: got '2:x'" in refused(capsys, folder, "--users", folder / "users.txt", *items)
    (folder / "none.txt").write_text("\n")
    assert "holds no users" in refused(capsys, folder, "--users", folder / "none.txt", *items)
    (folder / "odd.bin").write_bytes(b"\xff\xff")
    assert "--seen odd.bin: neither" in refused(capsys, folder, "--user", "1", *items, "--seen", folder / "odd.bin")


def test_models_that_can_not_recommend_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model.json").write_text('{"algorithm": "kmeans"}')
    asked = (folder, "--user", "1", "--items", ITEM_RANGE)
    assert "kmeans recommends nothing: expected a model of factorization-machines" in refused(capsys, *asked)
    (folder / "model.json").unlink()
    assert "name it with --algorithm, factorization-machines" in refused(capsys, *asked)
    assert told(capsys, *asked, "--algorithm", "factorization-machines").count("\n") == 11
