"""The training loop on the toy, in this process: events, ends, and beginnings again."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from algorithms.artifacts.states import SavedState, find_state, read_state, write_state
from entrypoint import scoring, training
from entrypoint.checkpoints import Position
from entrypoint.collective import Collective
from recordio.batch import Batch
from recordio.errors import PlatformError
from tests.unit import toy
from tests.unit.entrypoint.conftest import CSV, RECORDS, Base, fails, mean_of, prepared, record_bytes
from tests.unit.entrypoint.forked import killed_at, open_files, with_file_limit


@pytest.fixture
def whole(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """The model files of a job that nothing disturbs."""

    def files(**hyperparameters: str) -> dict[str, bytes]:
        base = prepared(Base(tmp_path / "whole"), **hyperparameters)
        base.train()
        return base.model_files()

    return files


class Interrupted(Exception):
    """What a kill looks like from inside."""


def at_update(
    monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], None], *, before: bool = False
) -> None:
    """Do something before or after one of the updates, counted over the whole job."""
    update, counter = toy.ToyState.update, iter(range(1, 10_000))

    def counting(self: toy.ToyState, batch: Batch) -> None:
        due = next(counter) == number
        if due and before:
            action()
        update(self, batch)
        if due and not before:
            action()

    monkeypatch.setattr(toy.ToyState, "update", counting)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that are learned from now on."""
    sizes: list[int] = []
    update = toy.ToyState.update

    def counting(self: toy.ToyState, batch: Batch) -> None:
        sizes.append(len(batch))
        update(self, batch)

    monkeypatch.setattr(toy.ToyState, "update", counting)
    return sizes


def kill() -> None:
    raise Interrupted


class Publishing(toy.ToyState):
    def progress(self) -> dict[str, float]:
        return {"size": float(self.count)}


@pytest.mark.parametrize(("interval", "batches"), [("1", [0, 1, 2, 3, 4]), ("2", [0, 2, 4]), ("9", [0])])
def test_a_state_tells_how_a_pass_goes(
    job: Base, interval: str, batches: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(toy, "ToyState", Publishing)
    prepared(job, epochs="2", batch_metrics_publish_interval=interval)
    with caplog.at_level(logging.INFO):
        job.train()
    told = [line for line in caplog.messages if ", batch=" in line]
    assert told == [
        f"#quality_metric: host=algo-1, epoch={epoch}, batch={batch} train size <score>={47.0 * epoch + count}"
        for epoch in (0, 1)
        for batch in batches
        for count in [min(10.0 * (batch + 1), 47)]
    ]


def test_a_resumed_pass_counts_its_batches_from_the_start(
    job: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(toy, "ToyState", Publishing)
    prepared(job, batch_metrics_publish_interval="2")
    job.config("checkpointconfig", {})
    at_update(monkeypatch, 4, kill, before=True)
    with pytest.raises(Interrupted):
        job.train(ONEPASS_CHECKPOINT_SECONDS="0")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        job.train(ONEPASS_CHECKPOINT_SECONDS="0")
    told = [line for line in caplog.messages if ", batch=" in line]
    assert told == ["#quality_metric: host=algo-1, epoch=0, batch=4 train size <score>=47.0"]


def test_lines_come_in_the_order_of_the_original(
    job: Base, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    prepared(job, epochs="2", _tuning_objective_metric="test:size")
    job.config("inputdataconfig", {"train": {}, "test": CSV})
    job.file("test/a.csv", b"0,0,0\n")
    handler = logging.StreamHandler(Through())
    logging.getLogger().addHandler(handler)
    try:
        with caplog.at_level(logging.INFO):
            job.train()
    finally:
        logging.getLogger().removeHandler(handler)
    output = capsys.readouterr().out
    expected = [
        "Reading default configuration from tests/unit/toy.py: {",
        f"Merging with provided configuration from {job.path}/input/config/hyperparameters.json: {{",
        'Final configuration: {"feature_dim": "3", "mini_batch_size": "10", "epochs": "2", '
        '"batch_metrics_publish_interval": "500", "unit": "m", "scale": "1.0"}',
        "Reading channel train as application/x-recordio-protobuf, File mode.",
        "Reading channel test as text/csv; label_size=0, File mode.",
        "Checkpoint loading and saving are disabled.",
        "Number of GPUs being used: 0",
        "initialize.time",
        '"Meta": "init_train_data_iter"',
        "Start-up: ",
        'epoch_stats={"data_pipeline": ',
        '"epochs": {"sum": 2.0',
        "completed 50 % of epochs",
        '"epoch": 0, "Meta": "training_data_iter"',
        "#throughput_metric: host=algo-1, train throughput=",
        'epoch_stats={"data_pipeline": ',
        "update.time",
        "completed 100 % of epochs",
        '"epoch": 1, "Meta": "training_data_iter"',
        "finalize.time",
        "model.serialize.time",
        "#train_score (algo-1) : ('size', 94.0)",
        "#quality_metric: host=algo-1, train size <score>=94.0",
        "#test_score (algo-1) : ('size', 0.",
        "#quality_metric: host=algo-1, test size <score>=",
        '"setuptime"',
    ]
    place = 0
    for text in expected:
        found = output.find(text, place)
        assert found >= 0, f"{text!r} is missing, or comes too early in\n{output}"
        place = found
    seen = re.findall(r'"Total Records Seen": \{"sum": (\S+),', output)
    assert seen == ["0.0", "47.0", "94.0"]
    assert '"totaltime"' in output[place - 300 :] and "Test data is not provided." not in output


class Through:
    """Standard output, whichever it is now."""

    def write(self, text: str) -> None:
        print(text, end="")

    def flush(self) -> None: ...


def test_values_forge_no_lines(job: Base, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    forged = "1\n#quality_metric: host=algo-1, test size <score>=9\r\n[x]"
    job.config("hyperparameters", {"feature_dim": "3", "_a": forged, f"_b{forged}": "x", "scale": forged})
    with caplog.at_level(logging.INFO):
        text = fails(job)
    assert all("\n" not in line and "\r" not in line for line in [*caplog.messages, text])
    assert "\n#quality" not in capsys.readouterr().out


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("size", [1, 10, 47, 100])
def test_all_records_are_learned_in_each_pass(job: Base, epochs: int, size: int) -> None:
    prepared(job, epochs=str(epochs), mini_batch_size=str(size))
    job.train()
    assert np.allclose(mean_of(job), RECORDS.mean(axis=0), atol=1e-6)
    state = read_state(find_state(job.model) or Path())
    assert state.values["count"] == 47 * epochs
    assert (state.algorithm, state.position, state.hyperparameters["feature_dim"]) == ("toy", {}, "3")
    assert len(job.model_files()) == 2


@pytest.mark.parametrize("number", range(1, 11))
def test_killed_anywhere_and_resumed_is_the_same_model(
    job: Base, number: int, whole: Callable[..., dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(epochs="2")
    prepared(job, epochs="2")
    job.config("checkpointconfig", {})
    with monkeypatch.context() as patched:
        at_update(patched, number, kill, before=number % 2 == 0)
        with pytest.raises(Interrupted):
            job.train(ONEPASS_CHECKPOINT_SECONDS="0")
    assert job.model_files() == {}
    learned = counted(monkeypatch)
    job.train()
    assert job.model_files() == expected
    assert len(learned) == 10 - (number - 1), "batches were learned again, or left out"
    names = sorted(path.name for path in (job.path / "checkpoints").iterdir())
    assert len(names) == 2 and all(re.fullmatch(r"checkpoint_algo-1-\d{9}", name) for name in names)


def test_a_finished_job_run_again_gives_the_same_model(job: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    job.config("checkpointconfig", {})
    job.train()
    expected = job.model_files()
    at_update(monkeypatch, 1, kill)
    job.train()
    assert job.model_files() == expected


def test_more_epochs_go_on_from_the_checkpoint(job: Base, whole: Callable[..., dict[str, bytes]]) -> None:
    job.config("checkpointconfig", {})
    job.train()
    prepared(job, epochs="3")
    job.train()
    expected = whole(epochs="3")
    assert job.model_files()["model_algo-1"] == expected["model_algo-1"]
    assert len(job.model_files()) == 2, "the state of the earlier run is still there"


@pytest.mark.parametrize("number", [1, 4, 7])
def test_a_stop_saves_model_and_checkpoint(
    job: Base, number: int, whole: Callable[..., dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(job, epochs="2")
    job.config("checkpointconfig", {})
    with monkeypatch.context() as patched:
        at_update(patched, number, job.stopping.set)
        job.train(ONEPASS_CHECKPOINT_SECONDS="9999")
    assert read_state(find_state(job.model) or Path()).values["count"] == {1: 10, 4: 40, 7: 67}[number]
    # A spot interruption: the next container finds the checkpoints, and nothing is learned twice.
    job.stopping.clear()
    learned = counted(monkeypatch)
    job.train()
    assert len(learned) == 10 - number
    assert job.model_files() == whole(epochs="2")


def test_a_stop_before_the_first_record_saves_nothing(job: Base, caplog: pytest.LogCaptureFixture) -> None:
    job.stopping.set()
    with caplog.at_level(logging.INFO):
        job.train()
    assert job.model_files() == {}
    assert "Stopped before the first record: there is no model to save." in caplog.messages


def test_a_stop_during_scoring_prints_no_score(
    job: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job.config("inputdataconfig", {"train": {}, "test": {}})
    job.file("test/a.pbr", record_bytes(RECORDS))
    monkeypatch.setattr(scoring, "SCORING_RECORDS", 10)
    monkeypatch.setattr(toy.ToyEvaluation, "update", lambda *_: job.stopping.set())
    with caplog.at_level(logging.INFO):
        job.train()
    assert "Stopped early: the scores of a part of the test channel are left out." in caplog.messages
    assert "test size" not in caplog.text and len(job.model_files()) == 2


@pytest.mark.parametrize("content", [None, b""])
def test_no_records_are_an_error_on_one_host(base: Base, content: bytes | None) -> None:
    base.config("hyperparameters", {"feature_dim": "3"})
    base.config("inputdataconfig", {"train": {}})
    (base.data / "train").mkdir(parents=True)
    if content is not None:
        base.file("train/a", content)
    assert fails(base) == "Unable to read data channel 'train'. It holds no records."
    assert base.model_files() == {}


def test_a_fault_in_the_middle_leaves_no_model(job: Base) -> None:
    job.file("train/9.pbr", record_bytes(RECORDS)[:-5])
    assert fails(job).startswith("Unable to read data channel 'train'. Requested content-type is")
    assert job.model_files() == {}


def test_the_test_channel_is_looked_at_before_training(job: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    at_update(monkeypatch, 1, kill, before=True)
    job.config("inputdataconfig", {"train": {}, "test": CSV})
    job.file("test/a.csv", b"1,2\n")
    assert "doesn't match test data dimensionality '2'" in fails(job)


def test_the_channel_of_one_string_is_called_training(job: Base) -> None:
    (job.data / "train").rename(job.data / "training")
    job.config("inputdataconfig", {"training": {"TrainingInputMode": "File"}})
    job.train()
    assert len(job.model_files()) == 2


def test_no_config_at_all_but_the_needed_hyperparameter(base: Base) -> None:
    base.config("hyperparameters", {"feature_dim": 3, "mini_batch_size": None})
    base.file("train/a.pbr", record_bytes(RECORDS))
    base.train()
    assert np.allclose(mean_of(base), RECORDS.mean(axis=0), atol=1e-6)


def test_pipes_give_the_model_that_files_give(job: Base, whole: Callable[..., dict[str, bytes]]) -> None:
    prepared(job, epochs="2")
    job.config("inputdataconfig", {"train": {"TrainingInputMode": "Pipe"}})
    content = record_bytes(RECORDS)

    def feed() -> None:
        for number in range(2):
            (job.data / f"train_{number}").write_bytes(content)

    for number in range(2):
        os.mkfifo(job.data / f"train_{number}")
    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    job.train()
    feeder.join(5)
    assert job.model_files() == whole(epochs="2")


def test_a_checkpoint_of_another_job_is_refused(job: Base) -> None:
    job.config("checkpointconfig", {})
    job.train()
    prepared(job, mini_batch_size="11")
    assert fails(job) == (
        "The checkpoint was made with mini_batch_size=10, this job has 11: resume with the same hyperparameters, "
        "or give another checkpoint folder"
    )
    for path in (job.path / "checkpoints").iterdir():
        saved = read_state(path)
        write_state(path, SavedState("kmeans", saved.hyperparameters, saved.arrays, saved.values, saved.position))
    assert fails(job) == "The earlier model is one of kmeans, expected toy"


def test_a_checkpoint_beyond_the_data_is_refused(job: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    job.config("checkpointconfig", {})
    with monkeypatch.context() as patched:
        at_update(patched, 5, kill, before=True)
        with pytest.raises(Interrupted):
            job.train(ONEPASS_CHECKPOINT_SECONDS="0")
    for path in (job.data / "train").iterdir():
        path.unlink()
    job.file("train/a.pbr", record_bytes(RECORDS[:25]))
    assert fails(job).startswith("The checkpoint stands at record 40 of the train channel, which now has only 25: ")


def test_what_an_earlier_run_left_in_the_model_folder(job: Base) -> None:
    for name in (".partial-7/model_algo-1", ".partial-8-state", "state_old", "notes"):
        path = job.model / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    job.train()
    names = list(job.model_files())
    assert names[:2] == ["model_algo-1", "notes"] and len(names) == 3 and names[2] != "state_old"


def quietly(job: Base, **variables: str) -> None:
    """Without what else would meet a limit on files, or be written twice by a fork."""
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        job.train(**variables)


def test_a_full_disk_leaves_the_old_model(job: Base) -> None:
    job.train()
    before = job.model_files()
    prepared(job, mini_batch_size="7")
    text = with_file_limit(lambda: quietly(job), size=40)
    assert text == f"PlatformError: The model folder {job.model} can't be written: File too large"
    assert job.model_files() == before


def test_a_model_folder_that_takes_no_files_is_told_before_training(job: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    at_update(monkeypatch, 1, kill, before=True)
    job.model.write_text("a file")
    assert fails(job, PlatformError) == (
        f"The model folder {job.model} can't be written: File exists. Expected a folder."
    )


def test_killed_at_any_step_in_a_folder(job: Base, whole: Callable[..., dict[str, bytes]]) -> None:
    """Model and checkpoints are whole at each step of all that is written, renamed and removed."""
    expected = whole(epochs="2", mini_batch_size="24")
    prepared(job, epochs="2", mini_batch_size="24")
    job.config("checkpointconfig", {})
    folders, seen = (job.model, job.path / "checkpoints"), set()
    for step in itertools.count(1):
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        killed = killed_at(step, folders, lambda: quietly(job, ONEPASS_CHECKPOINT_SECONDS="0"))
        checkpoints = list((job.path / "checkpoints").glob("checkpoint_*"))
        for path in checkpoints:
            Position.of(read_state(path))
        model = {path.name for path in job.model.glob("[!.]*")}
        assert "model_algo-1" not in model or model == expected.keys()
        if not killed:
            break
        seen.add((len(checkpoints), len(model)))
        quietly(job, ONEPASS_CHECKPOINT_SECONDS="0")
        assert job.model_files() == expected
        # A third stays when the last save was cut off before it removed the oldest.
        assert {path.name[:11] for path in (job.path / "checkpoints").iterdir()} == {"checkpoint_"}
    assert seen == {(0, 0), (1, 0), (2, 0), (3, 0), (2, 1), (2, 2)}, "files there in the end"


def test_killed_at_any_step_of_a_move_to_one_host(job: Base) -> None:
    prepared(job, epochs="2", mini_batch_size="24")
    job.config("checkpointconfig", {})
    settings = job.environment().hyperparameters()
    checkpoints = job.path / "checkpoints"
    for step in itertools.count(1):
        shutil.rmtree(checkpoints, ignore_errors=True)
        checkpoints.mkdir()
        for host, count in (("algo-1", 40), ("algo-2", 60)):
            position = {"epoch": 1, "records": count, "hosts": 2}
            strings = toy.ToyHyperparameters.from_strings(settings).as_strings()
            state = SavedState("toy", strings, {"total": np.full(3, 300.0)}, {"count": count}, position)
            write_state(checkpoints / f"checkpoint_{host}-000000004", state)
        killed = killed_at(step, (checkpoints,), lambda: quietly(job, ONEPASS_CHECKPOINT_SECONDS="0"))
        quietly(job, ONEPASS_CHECKPOINT_SECONDS="0")
        assert read_state(find_state(job.model) or Path()).values["count"] == 40 + 60 + 47
        if not killed:
            break
    assert step > 20


def test_many_epochs_leak_no_threads_or_files(job: Base) -> None:
    prepared(job, epochs="40")
    job.config("checkpointconfig", {})
    threads, files = threading.active_count(), open_files()
    job.train(ONEPASS_CHECKPOINT_SECONDS="9999")
    assert open_files() == files
    assert threading.active_count() <= threads + 1  # the last reader may be on its way out


def test_progress_within_a_pass(job: Base, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(training, "PROGRESS_SECONDS", -1)
    with caplog.at_level(logging.INFO):
        job.train()
    found = [float(value) for value in re.findall(r"completed (\S+) % of epochs", caplog.text)]
    assert len(found) == 6 and found == sorted(found) and found[-1] == 100 and found[0] > 0


def test_settings_are_checked_before_data(job: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrypoint.channels.DataChannel.batches", lambda *_: pytest.fail("read data"))
    assert "is not valid for the 'epochs' hyperparameter" in fails(prepared(job, epochs="0"))
    prepared(job)
    assert "ONEPASS_CHECKPOINT_SECONDS is 'x'" in fails(job, PlatformError, ONEPASS_CHECKPOINT_SECONDS="x")
    assert "There is no algorithm 'tyo'" in fails(job, ALGORITHM="tyo")


def test_several_hosts_need_torch(job: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    job.config("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]})
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert fails(job, PlatformError).startswith("Training on 2 hosts needs torch, which the slim variant of this image")


class Hosts(Collective):
    """A collective of one process: the states of the others are given."""

    def __init__(self, states: list[SavedState]) -> None:
        self.states = states

    def others(self, _: object) -> Iterator[SavedState]:
        return iter(self.states)


@pytest.mark.parametrize("empty", [False, True])
def test_states_of_other_hosts_are_merged(job: Base, empty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    other = SavedState("toy", {}, {"total": np.full(3, 300.0)}, {"count": 3}, {"epoch": 1, "records": 3, "hosts": 2})
    if empty:
        for path in (job.data / "train").iterdir():
            path.unlink()

    @contextmanager
    def joined(*_: object) -> Iterator[Hosts]:
        yield Hosts([other])

    monkeypatch.setattr(training, "joined", joined)
    job.train()
    expected = [100.0] * 3 if empty else (RECORDS.sum(axis=0, dtype=np.float64) + 300) / 50
    assert np.allclose(mean_of(job), expected, rtol=1e-6)
