"""State files: there and back for anything a snapshot holds, and never a wrong state from damaged bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import save

from algorithms.artifacts.states import VERSION, SavedState, artifact_name, find_state, read_state, write_state
from recordio.errors import PlatformError, UserError

STATE = SavedState(
    "toy",
    {"feature_dim": "3", "init": '"null"'},
    {"total": np.array([1.5, -0.0, np.nan]), "count": np.array(7), "none": np.zeros((0, 3), np.float32)},
    {"generator": {"state": 2**127 + 1}, "loss": 0.1, "name": "ä\n"},
    {"epoch": 1, "records": 2**40},
)


def assert_same(found: SavedState, expected: SavedState) -> None:
    assert replace(found, arrays={}) == replace(expected, arrays={})
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        assert (found.arrays[name].dtype, found.arrays[name].shape) == (array.dtype, array.shape)
        assert found.arrays[name].tobytes() == array.tobytes()  # to the bit, nan and -0.0 too


def written(path: Path, state: SavedState = STATE) -> Path:
    write_state(path, state)
    return path


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_state(path)
    return str(caught.value)


def test_everything_comes_back(tmp_path: Path) -> None:
    assert_same(read_state(written(tmp_path / "state_1")), STATE)
    empty = SavedState("toy", {}, {}, {})
    assert_same(read_state(written(tmp_path / "state_2", empty)), empty)
    assert (tmp_path / "state_1").stat().st_mode & 0o077, "other users of a shared folder may read it"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state_1", "state_2"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**128), 2**128) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
kinds = st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.int32, np.uint8, np.uint64, np.bool_])
shapes = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@given(
    arrays=st.dictionaries(st.text(min_size=1, max_size=8), arrays_of.arrays(kinds, shapes), max_size=4),
    kept=st.dictionaries(st.text(), values, max_size=4),
    transposed=st.booleans(),
)
def test_any_snapshot_comes_back(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any], kept: dict[str, Any], transposed: bool
) -> None:
    arrays.pop("__metadata__", None)
    if transposed:
        arrays = {name: array.T for name, array in arrays.items()}
    path = tmp_path_factory.getbasetemp() / "any_state"
    state = SavedState("toy", {"k": "3"}, arrays, kept)
    assert_same(read_state(written(path, state)), state)


def test_a_flipped_byte_is_noticed_or_means_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "state")
    content = path.read_bytes()
    survived = 0
    for place in range(len(content)):
        for mask in (0x01, 0x20):
            path.write_bytes(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
            try:
                found = read_state(path)
            except UserError:
                continue
            survived += 1
            assert_same(found, STATE)
    assert survived < len(content) / 10  # spaces between fields, which carry nothing


def test_a_file_that_is_cut_anywhere_or_longer(tmp_path: Path) -> None:
    path = written(tmp_path / "state")
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert "'state' is not a state file of this project, or is cut short (" in refused(path)
    path.write_bytes(content + bytes(9))
    assert "'state' is not a state file" in refused(path)


@given(st.data())
def test_a_region_of_other_bytes_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """As a disk leaves it: zeros, or what stood there before."""
    path = written(tmp_path_factory.getbasetemp() / "torn_state")
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.just(bytes(512)) | st.binary(min_size=1, max_size=64))
    torn = content[:start] + other + content[start + len(other) :]
    path.write_bytes(torn[: len(content)])
    try:
        found = read_state(path)
    except UserError:
        return
    assert_same(found, STATE)


@pytest.mark.parametrize("header", [0, 1, 2**20, 2**31, 2**40, 2**63, 2**64 - 1])
def test_a_header_length_that_lies(tmp_path: Path, header: int) -> None:
    path = tmp_path / "state"
    path.write_bytes(header.to_bytes(8, "little") + b'{"__metadata__":{}}')
    assert "not a state file" in refused(path)


def forged(path: Path, **changed: object) -> Path:
    """A file with another text and the right checksum, as only somebody who means it can write."""
    from algorithms.artifacts.states import _checksum

    text = {"version": VERSION, "algorithm": "toy", "hyperparameters": {}, "values": {}, "position": {}} | changed
    written = json.dumps({name: value for name, value in text.items() if value is not ...})
    path.write_bytes(save({}, metadata={"onepass": f"{_checksum({}, written):08x} {written}"}))
    return path


@pytest.mark.parametrize(
    "changed",
    [
        {"values": []},
        {"values": None},
        {"hyperparameters": "k=3"},
        {"position": [["epoch", 1]]},
        {"version": ...},
        {"values": ...},
        {"algorithm": ...},
    ],
    ids=str,
)
def test_a_text_of_another_form(tmp_path: Path, changed: dict[str, object]) -> None:
    read_state(forged(tmp_path / "fine"))
    assert "'state' is not a state file" in refused(forged(tmp_path / "state", **changed))


def test_a_later_version_says_so(tmp_path: Path) -> None:
    assert refused(forged(tmp_path / "state", version=2)) == "'state' is a state of version 2, expected 1"


@pytest.mark.parametrize("text", ["", "null", "[]", "1", "{", "[" * 5000, "1" * 5000, '"\\ud800"'])
def test_metadata_that_is_no_object(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state"
    path.write_bytes(save({}, metadata={"onepass": f"00000000 {text}"}))
    assert "'state' is not a state file" in refused(path)


def test_files_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(save({"weights": np.zeros(3)}))
    assert "not a state file of this project" in refused(path)
    for content in (b"\x1f\x8b\x08" + bytes(100), b"{}", bytes(1000), b"PK\x03\x04" + bytes(50)):
        path.write_bytes(content)
        assert "not a state file of this project" in refused(path)


def test_a_damaged_array_is_told_from_a_strange_file(tmp_path: Path) -> None:
    path = written(tmp_path / "state_a\nb")
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert refused(path) == "'state_a\\nb' is damaged: its content does not match its checksum"


def test_no_file_is_the_platforms_fault(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(PlatformError, match="can't be read"):
            read_state(path)


def test_names_follow_the_arrays(tmp_path: Path) -> None:
    name = artifact_name(STATE.arrays)
    assert name.startswith("state_") and len(name) == len("state_") + 36
    assert name == artifact_name(dict(reversed(STATE.arrays.items())))
    assert name != artifact_name({**STATE.arrays, "count": np.array(8)})
    assert name != artifact_name({**STATE.arrays, "count": np.array([7])})


def test_the_state_of_an_artifact_is_found_by_name(tmp_path: Path) -> None:
    assert find_state(tmp_path) is None
    (tmp_path / "state_folder").mkdir()
    (tmp_path / "model_algo-1").touch()
    assert find_state(tmp_path) is None
    (tmp_path / "state_x").touch()
    assert find_state(tmp_path) == tmp_path / "state_x"
