"""Channels: which files are data, in which order, and what is told about those that can't be read."""

from __future__ import annotations

import gzip
import io
import os
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

import recordio
from entrypoint.channels import DataChannel, configured_channels
from entrypoint.environment import ChannelConfig
from entrypoint.files import data_files
from recordio.batch import Batch
from recordio.content_types import ContentType
from recordio.errors import PlatformError, UserError
from recordio.framing import write_record
from tests.unit.entrypoint.conftest import Base, record_bytes
from tests.unit.entrypoint.forked import as_user, open_files, open_folder
from tests.unit.toy import ALGORITHM

CSV = "text/csv;label_size=0"
RECORDIO = "application/x-recordio-protobuf"
NO_NUMBERS = "Unable to read data channel 'train'. "


def channel(base: Base, content_type: str = CSV, width: int | None = 2, **changed: Any) -> DataChannel:
    own = ("sparse", "missing", "labelled", "label_size")
    algorithm = replace(ALGORITHM, **{name: changed.pop(name) for name in own if name in changed})
    weighted = changed.pop("weighted", False)
    config = ChannelConfig("train", content_type=content_type, **changed)
    return DataChannel(config, base.data, ContentType.parse(content_type), algorithm, width, base.stopping, weighted)


def rows(found: DataChannel, size: int = 100) -> list[list[float]]:
    return [row for batch in found.batches(size) for row in dense(batch).tolist()]


def dense(batch: Batch) -> NDArray[Any]:
    assert isinstance(batch.features, np.ndarray)
    return batch.features


def error_of(action: Callable[[], object], kind: type[Exception] = UserError) -> str:
    with pytest.raises(kind) as caught:
        action()
    assert type(caught.value) is kind
    cause = caught.value.__cause__
    return f"{caught.value} | {cause}"


def pipe(base: Base, *passes: bytes) -> list[threading.Thread]:
    base.data.mkdir(parents=True, exist_ok=True)
    writers = []
    for number, content in enumerate(passes):
        path = base.data / f"train_{number}"
        os.mkfifo(path)
        writers.append(threading.Thread(target=path.write_bytes, args=(content,), daemon=True))
        writers[-1].start()
    return writers


def test_files_that_are_data_in_stable_order(base: Base) -> None:
    data = ["a.csv", "a/z.csv", "a-b.csv", "b/1/x.csv", "b/10/x.csv", "b/2/x.csv", "no suffix", "ä.csv"]
    other = [".hidden", "_SUCCESS", "_temporary/part.csv", ".git/config", "b/.x", "b/_y", "c/_z/part.csv"]
    for name in reversed(data + other):
        base.file(f"train/{name}", b"1,2\n")
    base.file("train/empty.csv", b"")
    (base.data / "train/nothing").mkdir()
    os.mkfifo(base.data / "train/pipe")
    (base.data / "train/loop").symlink_to("loop")
    (base.data / "train/round").symlink_to(".")
    (base.data / "train/dangling").symlink_to("missing")
    (base.data / "train/b/linked.csv").symlink_to("../a.csv")
    (base.data / "train/zero").symlink_to("/dev/zero")
    found = [path.relative_to(base.data / "train").as_posix() for path in data_files(base.data / "train")]
    expected = sorted([*data, "b/linked.csv"], key=lambda name: name.split("/"))
    assert found == expected
    assert found[:3] == ["a/z.csv", "a-b.csv", "a.csv"]


def test_folders_are_walked_to_a_depth(base: Base) -> None:
    base.file("train/" + "d/" * 16 + "in.csv", b"1,2\n")
    base.file("train/" + "d/" * 17 + "out.csv", b"3,4\n")
    base.file("train/" + "x/" * 300 + "out.csv", b"5,6\n")
    assert [path.name for path in data_files(base.data / "train")] == ["in.csv"]


def test_a_channel_may_be_a_file(base: Base) -> None:
    base.file("train", b"1,2\n3,4\n")
    assert rows(channel(base)) == [[1, 2], [3, 4]]
    assert channel(base).total_bytes == 8
    base.file("train", b"")
    assert rows(channel(base)) == []


def test_files_are_read_through_in_order(base: Base) -> None:
    base.file("train/b.csv", b"5,6")  # an unfinished last line
    base.file("train/a.csv", b"1,2\n3,4")
    base.file("train/c/d.csv.gz", gzip.compress(b"7,8\n") + gzip.compress(b"9,10"))
    found = channel(base)
    assert [len(batch) for batch in found.batches(2)] == [2, 2, 1]
    assert rows(found) == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert (found.passes, found.size_bytes, found.total_bytes) == (2, 3 + 7 + 8, None)


def test_gzip_is_known_by_its_first_bytes(base: Base) -> None:
    base.file("train/a", gzip.compress(record_bytes(np.ones((3, 2)))))
    base.file("train/b", record_bytes(np.zeros((1, 2))))
    found = channel(base, RECORDIO)
    assert rows(found) == [[1, 1]] * 3 + [[0, 0]]
    assert found.size_bytes == len(record_bytes(np.ones((4, 2))))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda content: content[:-4], "ended before the end-of-stream marker"),
        (lambda content: content[:20] + bytes(9) + content[29:], "Error -3 while decompressing|CRC check failed|ended"),
        (lambda content: content[:-8] + bytes(8), "CRC check failed"),
        (lambda content: content + b"junk", "Not a gzipped file"),
    ],
)
def test_damaged_gzip(base: Base, damage: Callable[[bytes], bytes], text: str) -> None:
    content = gzip.compress(b"".join(b"%d,%d\n" % (number * 7919, number) for number in range(1000)))
    base.file("train/part.gz", damage(content))
    with pytest.raises(UserError, match=r"Unable to read data channel 'train'\. Requested content-type is") as caught:
        rows(channel(base))
    cause = str(caught.value.__cause__)
    assert cause.startswith("part.gz: not a whole gzip file (") and any(part in cause for part in text.split("|"))


def test_files_handles_are_closed(base: Base) -> None:
    for number in range(20):
        base.file(f"train/{number}.csv", b"1,2\n" if number % 2 else gzip.compress(b"1,2\n"))
    found = channel(base)
    before = open_files()
    for _ in range(5):
        assert len(rows(found)) == 20
        next(found.batches(1))  # closed early
    assert open_files() == before


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


def test_another_width(base: Base) -> None:
    base.file("train/a", b"1,2,3\n")
    assert error_of(lambda: rows(channel(base))) == (
        "Incorrect configuration or train dataset provided. The value of feature_dim hyperparameter '2' doesn't match "
        "train data dimensionality '3'. Please set feature_dim to the number of features in train dataset. "
        "The first 0 columns were read as labels; text/csv;label_size=N says another number. | None"
    )
    base.file("train/a", b"1,2\n")
    base.file("train/b", b"1,2,3\n")
    assert "record 1: got 3 features, expected 2" in error_of(lambda: rows(channel(base)))
    (base.data / "train/a").unlink()
    assert rows(channel(base, width=None)) == [[1, 2, 3]]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "missing (NaN)"), (np.inf, "infinite floating point"), (-np.inf, "infinite")]
)
def test_values_that_are_no_numbers(base: Base, value: float, what: str, sparse: bool) -> None:
    table = np.ones((50, 2), np.float32)
    table[37, 1] = value
    file = io.BytesIO()
    if sparse:
        recordio.write_sparse(file, csr_array(table))
    else:
        recordio.write_dense(file, table)
    base.file("train/a", file.getvalue())
    text = error_of(lambda: rows(channel(base, RECORDIO)))
    assert text.startswith(f"{NO_NUMBERS}Found {what}") and "Please remove any" in text
    assert "The first is at record 37, feature 1." in text


def test_missing_values_where_they_are_welcome(base: Base) -> None:
    base.file("train/a", b"1,\n")
    (row,) = rows(channel(base, missing=True))
    assert row[0] == 1 and np.isnan(row[1])
    base.file("train/a", b",inf\n")
    assert "Found infinite" in error_of(lambda: rows(channel(base, missing=True)))


@pytest.mark.parametrize("value", [3e38, -3e38, 1e-45])
def test_large_values_whose_sum_overflows_are_numbers(base: Base, value: float) -> None:
    table = np.full((100, 2), value, np.float32)
    table[::3] *= -1
    base.file("train/a", record_bytes(table))
    (batch,) = channel(base, RECORDIO).batches(100)
    assert np.array_equal(dense(batch), table)


def test_sparse_records(base: Base) -> None:
    table = np.array([[0, 2], [3, 0]], np.float32)
    file = io.BytesIO()
    recordio.write_sparse(file, csr_array(table))
    base.file("train/a", file.getvalue())
    (kept,) = channel(base, RECORDIO, sparse=True).batches(9)
    assert not isinstance(kept.features, np.ndarray)
    assert rows(channel(base, RECORDIO)) == kept.features.toarray().tolist() == table.tolist()


def test_labels_by_content_type(base: Base) -> None:
    base.file("train/a", b"7,1,2\n")
    (batch,) = channel(base, "text/csv; label_size=1").batches(9)
    assert (dense(batch).tolist(), np.asarray(batch.labels).tolist()) == ([[1, 2]], [7])


def test_files_that_vanish_or_can_not_be_read(base: Base) -> None:
    base.file("train/a.csv", b"1,2\n")
    base.file("train/b.csv", b"3,4\n")
    batches = channel(base).batches(1)
    next(batches)
    (base.data / "train/b.csv").unlink()
    text = error_of(lambda: list(batches), PlatformError)
    assert text.startswith("Data channel 'train': b.csv can't be read: No such file or directory | ")
    (base.data / "train/a.csv").unlink()
    (base.data / "train").rmdir()
    (base.data / "train").symlink_to("/proc/self/mem")  # reading its start is an input/output error
    text = error_of(lambda: rows(channel(base)), PlatformError)
    assert text.startswith("Data channel 'train': train can't be read: Input/output error | ")


def test_what_another_user_keeps_to_himself() -> None:
    with open_folder() as folder:
        base = Base(folder)
        base.file("train/a.csv", b"1,2\n").chmod(0)
        text = as_user(lambda: rows(channel(base)))
        assert text == "PlatformError: Data channel 'train': a.csv can't be read: Permission denied"
        (base.data / "train/a.csv").chmod(0o644)
        base.file("train/part/b.csv", b"1,2\n").parent.chmod(0)
        text = as_user(lambda: rows(channel(base)))
        assert text.startswith("PlatformError: ") and text.endswith("/train/part can't be read: Permission denied")
        (base.data / "train/part").chmod(0o755)


def test_names_of_files_forge_no_log_lines(base: Base) -> None:
    base.file("train/a\n[01/01/2026 00:00:00 INFO 1] forged", b"x,y\n")
    base.file(os.fsdecode(b"train/\xff.csv"), b"x,y\n")
    text = error_of(lambda: rows(channel(base)))
    assert "\n" not in text and r"'a\n[01/01/2026 00:00:00 INFO 1] forged', record 0" in text
    (base.data / "train/a\n[01/01/2026 00:00:00 INFO 1] forged").unlink()
    error_of(lambda: rows(channel(base))).encode()


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


LABELLED: dict[str, Any] = {"width": None, "labelled": True, "label_size": 1, "sparse": True, "missing": True}


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


def test_dense_batches_keep_what_stands_beside(base: Base) -> None:
    base.file("train/a", b"1:0.5 qid:7 1:1\n")
    (batch,) = channel(base, "text/libsvm", **{**LABELLED, "sparse": False}).batches(10)
    assert (dense(batch).tolist(), batch.labels, batch.weights, batch.groups) == ([[0, 1]], [1], [0.5], [7])


def test_csv_with_weights(base: Base) -> None:
    base.file("train/a", b"1,0.5,7,8\n2,0.25,9,\n")
    (batch,) = channel(base, "text/csv", weighted=True, **LABELLED).batches(10)
    assert batch.labels.tolist() == [1, 2] and batch.weights.tolist() == [0.5, 0.25]  # type: ignore[union-attr]
    assert repr(dense(batch).tolist()) == "[[7.0, 8.0], [9.0, nan]]"


@pytest.mark.parametrize("weight", [b"-1", b"nan", b"", b"inf"])
def test_weights_that_are_none(base: Base, weight: bytes) -> None:
    base.file("train/a", b"1,0,7,8\n2," + weight + b",9,1\n")
    found = error_of(lambda: list(channel(base, "text/csv", weighted=True, **LABELLED).batches(1)))
    value = weight.decode() or "nan"
    assert f"Got weight {value} of record 1, expected a finite number of at least 0." in found


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("text/csv", b"1,7,8\n,9,1\n"), (RECORDIO, record_bytes(np.ones((2, 2)))), ("text/libsvm", b"1 0:1\nnan 0:1\n")],
)
def test_labels_that_are_missing(base: Base, content_type: str, body: bytes) -> None:
    base.file("train/a", body)
    found = error_of(lambda: list(channel(base, content_type, **LABELLED).batches(1)))
    record = 0 if content_type == RECORDIO else 1
    assert (
        f"Got input data without labels. Each record needs a label; the first one without is record {record}." in found
    )
    assert ("The label stands before the features." in found) == (content_type == "text/csv")


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


def test_total_bytes_opens_no_file(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """In FastFile mode each opening fetches the object."""
    base.file("train/a", b"1,2\n")
    base.file("train/b", b"1,2\n")
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("opened"))
    assert channel(base, mode="FastFile").total_bytes == 8
