"""Channels: what is read of files and pipes, and what is told of channels that don't fit."""

from __future__ import annotations

import gzip
import io
import os
import re
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from entrypoint.channels import DataChannel, configured_channels
from entrypoint.environment import ChannelConfig
from recordio.batch import Batch
from recordio.content_types import ContentType
from recordio.errors import PlatformError, UserError
from recordio.framing import write_record
from tests.unit.entrypoint.conftest import Base, record_bytes
from tests.unit.entrypoint.reading import CSV, LABELLED, channel, dense, error_of, rows
from tests.unit.toy import ALGORITHM

RECORDIO = "application/x-recordio-protobuf"


def pipe(base: Base, *passes: bytes) -> list[threading.Thread]:
    base.data.mkdir(parents=True, exist_ok=True)
    writers = []
    for number, content in enumerate(passes):
        path = base.data / f"train_{number}"
        os.mkfifo(path)
        writers.append(threading.Thread(target=path.write_bytes, args=(content,), daemon=True))
        writers[-1].start()
    return writers


@pytest.mark.parametrize(
    ("content", "content_type", "cause"),
    [
        (b"1,2\n3\n", CSV, "part-0: record 1 has|part-0, record 1: got 1 features, expected 2"),
        (b"a,b\n1,2\n", CSV, "part-0, record 0, column 0: got 'a', expected a number; is this a header?"),
        (b"1,2\n", RECORDIO, "part-0, record 0 (byte 0): got"),
        (record_bytes(np.ones((2, 2)))[:-3], RECORDIO, "part-0, record 1"),
    ],
)
def test_another_format(base: Base, content: bytes, content_type: str, cause: str) -> None:
    base.file("train/part-0", content)
    text = error_of(lambda: rows(channel(base, content_type)))
    first, _, last = text.partition(" | ")
    assert first == (
        f"Unable to read data channel 'train'. Requested content-type is '{ContentType.parse(content_type)}'. "
        "Please verify the data matches the requested content-type."
    )
    assert any(last.startswith(start) for start in cause.split("|")), last


def test_labels_by_content_type(base: Base) -> None:
    base.file("train/a", b"7,1,2\n")
    (batch,) = channel(base, "text/csv; label_size=1").batches(9)
    assert (dense(batch).tolist(), np.asarray(batch.labels).tolist()) == ([[1, 2]], [7])


def test_each_pass_reads_the_next_pipe(base: Base) -> None:
    writers = pipe(base, b"1,2\n3,4\n", b"5,6", b"")
    found = channel(base, mode="Pipe")
    assert found.total_bytes is None
    assert [rows(found), found.size_bytes, rows(found), rows(found)] == [[[1, 2], [3, 4]], 8, [[5, 6]], []]
    for writer in writers:
        writer.join(5)


def test_objects_in_a_pipe_are_joined_without_a_separator(base: Base) -> None:
    """An unfinished last line of an object runs on into the next one: contract 2.3."""
    pipe(base, b"1,2" + b"3,4\n")
    assert rows(channel(base, mode="Pipe", width=3)) == [[1, 23, 4]]


def test_wrapped_objects_are_files_of_their_own(base: Base) -> None:
    file = io.BytesIO()
    for content in (b"1,2", b"", b"3,4\n5,6"):
        write_record(file, content)
    pipe(base, file.getvalue(), file.getvalue()[:-3])
    found = channel(base, mode="Pipe", wrapped=True)
    assert rows(found) == [[1, 2], [3, 4], [5, 6]]
    assert "Requested content-type is 'text/csv; label_size=0'" in error_of(lambda: rows(found))


def test_wrapping_means_nothing_for_records_and_files(base: Base) -> None:
    pipe(base, record_bytes(np.ones((2, 2))))
    assert len(rows(channel(base, RECORDIO, mode="Pipe", wrapped=True))) == 2
    base.file("train/a", b"1,2\n")
    assert rows(channel(base, wrapped=True)) == [[1, 2]]


def test_a_file_in_place_of_a_pipe(base: Base) -> None:
    base.file("train_0", b"1,2\n")
    text = error_of(lambda: rows(channel(base, mode="Pipe")), PlatformError)
    assert "train_0 is not a named pipe, though the channel's input mode is Pipe" in text


def test_waiting_for_a_pipe(base: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2500:
            pipe(base, b"1,2\n")

    monkeypatch.setattr("entrypoint.channels.time.sleep", sleep)
    base.data.mkdir(parents=True)
    assert rows(channel(base, mode="Pipe")) == [[1, 2]]
    pattern = r"Still waiting for the pipe \S+/train_0, for (60|120) s now\."
    assert [bool(re.fullmatch(pattern, record.getMessage())) for record in caplog.records] == [True, True]


def test_a_stop_ends_the_wait_for_a_pipe_without_an_error(base: Base) -> None:
    base.stopping.set()
    assert rows(channel(base, mode="Pipe")) == []


def configured(base: Base, **configs: ChannelConfig) -> dict[str, DataChannel]:
    return configured_channels(ALGORITHM, configs, base.data, 2, base.stopping)


def test_channels_by_what_the_algorithm_declares(base: Base) -> None:
    for name in ("train", "training", "test"):
        (base.data / name).mkdir(parents=True)
    found = configured(base, test=ChannelConfig("test", content_type="csv"), train=ChannelConfig("train", mode="Pipe"))
    assert list(found) == ["train", "test"] and found["train"].pipe
    assert found["train"].content_type == ContentType(RECORDIO) and found["test"].content_type == ContentType(
        "text/csv"
    )
    assert list(configured(base, train=ChannelConfig("train"), model=ChannelConfig("model"))) == ["train"]
    found = configured(base, training=ChannelConfig("training"))
    assert found["train"].path == base.data / "training"


@pytest.mark.parametrize(
    ("configs", "kind", "text"),
    [
        ((), UserError, "Data channel 'train' is missing: got none, expected train (required), test"),
        (("test",), UserError, "Data channel 'train' is missing: got test, expected train (required), test"),
        (("train", "tst"), UserError, "Got data channel 'tst', expected train (required), test, model"),
        (("train", "training"), UserError, "Got data channel 'training', expected train (required)"),
        (("train",), PlatformError, "Data channel 'train': {data}/train does not exist"),
    ],
)
def test_channels_that_do_not_fit(base: Base, configs: tuple[str, ...], kind: type[Exception], text: str) -> None:
    if "test" in configs:
        (base.data / "test").mkdir(parents=True)
    found = error_of(lambda: configured(base, **{name: ChannelConfig(name) for name in configs}), kind)
    assert found.startswith(text.format(data=base.data))


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("text/foo", "got content type 'text/foo', expected one of application/x-recordio-protobuf, text/csv"),
        ("application/json", "got content type 'application/json', expected one of"),
        ("text/csv;label_size=one", "got label_size=one, expected a count such as 0 or 1"),
    ],
)
def test_content_types_are_checked_before_data(base: Base, content_type: str, text: str) -> None:
    (base.data / "train").mkdir(parents=True)
    found = error_of(lambda: configured(base, train=ChannelConfig("train", content_type=content_type)))
    assert text in found and (found.startswith("Unable to read data channel 'train'.") or "label_size" in found)


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_libsvm_is_as_wide_as_its_largest_index_so_far(base: Base, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    some = b"1:0.5 qid:1 0:1\n", b"0:1 qid:1\n", b"1:2 qid:2 4:2 2:3\n", b"1:1 qid:2 1:1\n"
    if mode == "Pipe":
        pipe(base, b"".join(some))
    for number, line in enumerate(some):
        base.file(f"train/part-{number}", line)
    found = list(channel(base, "text/libsvm", mode=mode, **LABELLED).batches(1))
    assert [batch.width for batch in found] == [1, 1, 5, 5]
    assert [batch.features.toarray().tolist()[0] for batch in found] == [  # type: ignore[union-attr]
        [1],
        [0],
        [0, 0, 3, 0, 2],
        [0, 1, 0, 0, 0],
    ]
    assert [batch.weights.item() for batch in found] == [0.5, 1, 2, 1]  # type: ignore[union-attr]
    assert [batch.groups.item() for batch in found] == [1, 1, 2, 2]  # type: ignore[union-attr]
    assert [record.getMessage() for record in caplog.records] == ["Channel train: records have weights and query ids."]
    (whole,) = channel(base, "text/libsvm", **LABELLED).batches(100)
    assert whole.width == 5
    with pytest.raises(UserError) as caught:
        list(channel(base, "text/libsvm", **{**LABELLED, "width": 4}).batches(1))
    assert str(caught.value.__cause__) == "part-2, record 0: got '4:2', expected an index of 0 to 3"


def test_csv_with_weights(base: Base) -> None:
    base.file("train/a", b"1,0.5,7,8\n2,0.25,9,\n")
    (batch,) = channel(base, "text/csv", weighted=True, **LABELLED).batches(10)
    assert batch.labels.tolist() == [1, 2] and batch.weights.tolist() == [0.5, 0.25]  # type: ignore[union-attr]
    assert repr(dense(batch).tolist()) == "[[7.0, 8.0], [9.0, nan]]"


@pytest.mark.parametrize(
    "content_type", ["text/csv;label_size=2", "csv; label_size=0", "application/x-parquet;label_size=2"]
)
def test_as_many_labels_as_are_learned(base: Base, content_type: str) -> None:
    (base.data / "train").mkdir(parents=True)
    types = ("text/csv", "application/x-parquet")
    algorithm = replace(ALGORITHM, labelled=True, label_size=1, content_types=types)

    def opened(content_type: str) -> dict[str, DataChannel]:
        config = ChannelConfig("train", content_type=content_type)
        return configured_channels(algorithm, {"train": config}, base.data, None, base.stopping)

    kind = "parquet" if "parquet" in content_type else "csv"
    text = f" is not an accepted {kind} ContentType. Optional parameter label_size must be equal to 1: "
    assert text in error_of(lambda: opened(content_type))
    assert opened("text/csv; label_size=1; charset=utf-8")["train"].content_type.label_size == 1


def parquet_bytes(table: NDArray[Any]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pa.table({f"c{place}": column for place, column in enumerate(table.T)}), file)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_parquet_in_both_modes(base: Base, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From files here and there, and from a pipe one file after another."""
    tables = [np.arange(12.0).reshape(4, 3) + 100 * number for number in range(3)]
    some = [parquet_bytes(table) for table in tables]
    if mode == "Pipe":
        pipe(base, b"".join(some))
    else:
        monkeypatch.setattr("recordio.parquet.held", lambda *_: pytest.fail("held in memory"))
        for number, body in enumerate(some):
            base.file(f"train/part-{number}", body)
    found = list(channel(base, "application/x-parquet", mode=mode, **LABELLED).batches(5))
    table = np.concatenate(tables)
    assert [len(batch) for batch in found] == [5, 5, 2]
    assert np.concatenate([batch.labels for batch in found]).tolist() == table[:, 0].tolist()  # type: ignore[misc]
    assert np.concatenate([dense(batch) for batch in found]).tolist() == table[:, 1:].tolist()


def test_packed_parquet_is_held_in_memory(base: Base) -> None:
    base.file("train/a.gz", gzip.compress(parquet_bytes(np.arange(6.0).reshape(2, 3))))
    assert rows(channel(base, "application/x-parquet", **LABELLED)) == [[1, 2], [4, 5]]


def test_batches_are_the_callers_own(base: Base) -> None:
    base.file("train/a", record_bytes(np.ones((4, 2))))
    kept: list[Batch] = list(channel(base, RECORDIO).batches(2))
    dense(kept[0])[:] = 7
    assert dense(kept[1]).tolist() == [[1, 1], [1, 1]]
