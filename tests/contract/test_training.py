"""The training contract, for every algorithm, with real processes, files, FIFOs and signals."""

from __future__ import annotations

import gzip
import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from algorithms.artifacts.states import find_state, read_state
from recordio.batch import Batch
from tests.contract.cases import CASES, Case, Records
from tests.contract.jobs import RECORDIO, Feeder, Job, csv_bytes, libsvm_bytes, record_bytes, wait_for

pytestmark = pytest.mark.parametrize("case", CASES, ids=str)

FILE = {"TrainingInputMode": "File", "ContentType": RECORDIO}
PIPE = {"TrainingInputMode": "Pipe", "ContentType": RECORDIO}


def trained(base: Path, case: Case, seed: int = 1, **hyperparameters: str) -> Job:
    """A finished File-mode job on one file of records."""
    job = Job(base, case)
    job.configure(**hyperparameters)
    job.channels(train=FILE)
    job.files("train", {"part-0.pbr": record_bytes(case.records(2000, seed))})
    code, output = job.run()
    assert code == 0, output
    return job


def test_file_pipe_and_csv_give_the_same_model(case: Case, tmp_path: Path) -> None:
    records = case.records(2000, 1)
    expected = trained(tmp_path / "file", case).model_files
    assert [name for name in expected if "model" in name and not name.endswith(".json")] == [case.model_name()]

    piped = Job(tmp_path / "pipe", case)
    piped.channels(train=PIPE)
    content = record_bytes(records)
    Feeder(piped, "train", [[content[:1001], content[1001:50_000], content[50_000:]]])
    code, output = piped.run()
    assert code == 0, output
    assert piped.model_files == expected

    if not case.csv:
        return
    labels = 0 if records[1] is None else 1
    written = Job(tmp_path / "csv", case)
    written.channels(train={"TrainingInputMode": "FastFile", "ContentType": f"text/csv; label_size={labels}"})
    text = csv_bytes(records)
    middle = text.index(b"\n", len(text) // 2) + 1
    written.files("train", {"b.csv": text[middle:], "a.csv": text[:middle].rstrip(), "c.csv": b"", "_SUCCESS": b"x"})
    code, output = written.run()
    assert code == 0, output
    assert written.model_files == expected


def test_gzip_files_wrapped_pipes_and_several_epochs(case: Case, tmp_path: Path) -> None:
    from io import BytesIO

    import recordio

    records = case.records(1500, 1)
    csv = f"text/csv;label_size={0 if records[1] is None else 1}"
    content_type, content = (csv, csv_bytes(records)) if case.csv else (RECORDIO, record_bytes(records))
    passes = 1 if case.guest else 3
    plain = Job(tmp_path / "file", case)
    plain.configure(**case.lasting(3))
    plain.channels(train={"ContentType": content_type})
    plain.files("train", {"a.gz": gzip.compress(content)})
    code, output = plain.run()
    assert code == 0, output
    assert output.count('"epoch": ') >= passes
    assert case.guest or "completed 33.33 % of epochs" in output

    wrapped = Job(tmp_path / "pipe", case)
    wrapped.configure(**case.lasting(3))
    wrapped.channels(train={"TrainingInputMode": "Pipe", "ContentType": content_type, "RecordWrapperType": "RecordIO"})
    if case.csv:
        lines = content.splitlines(keepends=True)
        objects = BytesIO()
        for start in range(0, 1500, 500):
            recordio.write_record(objects, b"".join(lines[start : start + 500]).rstrip())
        content = objects.getvalue()
    Feeder(wrapped, "train", [[content]] * passes)  # records of RecordIO are not wrapped again
    code, output = wrapped.run()
    assert code == 0, output
    assert wrapped.model_files[case.model_name()] == plain.model_files[case.model_name()]


def test_bare_folders_and_training_as_channel_name(case: Case, tmp_path: Path) -> None:
    """Plain docker: empty or missing config files, and the channel that the SDK's fit("file://…") makes."""
    job = Job(tmp_path, case)
    (tmp_path / "input/config/resourceConfig.json").touch()
    (tmp_path / "input/config/inputdataconfig.json").write_text("")
    content = record_bytes if case.algorithm.content_type == RECORDIO else libsvm_bytes
    job.files("training", {"data": content(case.records(1000, 1))})
    code, output = job.run()
    assert code == 0, output
    assert case.model_name() in job.model_files


def test_lines_that_clients_read(case: Case, tmp_path: Path) -> None:
    job = Job(tmp_path, case)
    held_out = case.algorithm.channels[-1].name
    scored = held_out if case.guest else "train"
    tuned = f"{held_out}:{case.algorithm.metrics[0].name}"
    job.configure(_tuning_objective_metric=tuned, sagemaker_program="x.py")
    job.channels(**{"train": FILE, held_out: FILE})
    job.config("resourceconfig", {"current_host": "algo-1-ab12c", "hosts": ["algo-1-ab12c"]})
    job.files("train", {"a.pbr": record_bytes(case.records(2000, 1))})
    job.files(held_out, {"a.pbr": record_bytes(case.records(500, 2))})
    code, output = job.run()
    assert code == 0, output
    assert case.model_name("algo-1-ab12c") in job.model_files
    prefix = r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d INFO \d+\] "
    number = r"[-+0-9.e]+"
    in_order = [
        r"^Docker entrypoint called with argument\(s\): train$",
        r"^Running default environment configuration script$",
        rf"^{prefix}Reading default configuration from \S+: \{{.*\}}$",
        rf"^{prefix}Merging with provided configuration from \S+/hyperparameters.json: \{{.*\}}$",
        rf"^{prefix}Final configuration: \{{.*\}}$",
        rf"^{prefix}Checkpoint loading and saving are disabled\.$",
        rf"^{prefix}Number of GPUs being used: \d+$",
        r'^#metrics \{"StartTime": .*"initialize.time"',
        r'^#metrics .*"Meta": "init_train_data_iter"',
        rf"^{prefix}Start-up: .* s to the first update\.$",
        r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] \[tensorio\] \[info\] epoch_stats=\{.*\}$",
        r'^#metrics .*"update.time"',
        rf"^{prefix}#progress_metric: host=algo-1-ab12c, completed 100 % of epochs$",
        r'^#metrics .*"epoch": 0, "Meta": "training_data_iter"',
        rf"^{prefix}#throughput_metric: host=algo-1-ab12c, train throughput={number} records/second$",
        r'^#metrics .*"finalize.time"',
        r'^#metrics .*"model.serialize.time"',
    ]
    in_order += [
        rf"^{prefix}#quality_metric: host=\S+, {channel} \S+ <\w+>={number}$"
        for channel in dict.fromkeys((scored, held_out))
    ]
    position = 0
    for pattern in in_order:
        found = re.compile(pattern, re.MULTILINE).search(output, position)
        assert found, f"{pattern} after\n{output[:position][-300:]}\nin\n{output}"
        position = found.end()
    qualities = re.findall(r"#quality_metric: host=\S+, (?:epoch=\d+, )?(\w+) (\S+) <(\w+)>=", output)
    assert {channel for channel, _, _ in qualities} == {scored, held_out}
    for channel, name, mark in qualities:
        metric = case.algorithm.metric(name)
        assert metric is not None, name
        assert channel in (*metric.channels, "train")  # printed there too, though tuning jobs don't read it
        assert mark == metric.mark
    for line in re.findall(r"^#metrics (.*)$", output, re.MULTILINE):
        report = json.loads(line)
        assert list(report) == ["StartTime", "EndTime", "Dimensions", "Metrics"]
        assert list(report["Dimensions"])[:3] == ["Algorithm", "Host", "Operation"]
        assert all(list(value) == ["sum", "count", "min", "max"] for value in report["Metrics"].values())
    final = json.loads(re.findall(r"^#metrics (.*training_data_iter.*)$", output, re.MULTILINE)[-1])
    assert final["Metrics"]["Total Records Seen"]["sum"] == 2000.0


def test_all_hyperparameter_faults_in_one_answer(case: Case, tmp_path: Path) -> None:
    if case.guest:
        pytest.skip("has hyperparameters of its own: tests/unit/algorithms")
    job = Job(tmp_path, case)
    job.configure({"mini_batch_size": "-5", "feature_dimm": "6", "epochs": "many"})
    code, output = job.run()
    assert code == 2
    assert job.failure.startswith("Customer Error: Additional hyperparameters are not allowed ('feature_dimm' was")
    assert "Did you mean 'feature_dim'?" in job.failure
    assert "No value(s) were specified for" in job.failure
    assert "The value '-5' is not valid for the 'mini_batch_size' hyperparameter which expects" in job.failure
    assert "The value 'many' is not valid for the 'epochs' hyperparameter which expects" in job.failure
    assert job.failure.splitlines()[0] in output, "local clients show the log, not the file"
    assert job.model_files == {} and "Traceback" not in output


FAULTS = {
    "width": (
        {"wide.pbr": record_bytes((np.ones((3, 99), np.float32), None))},
        "Customer Error: Incorrect configuration or train dataset provided. The value of feature_dim hyperparameter",
        "doesn't match train data dimensionality '99'",
    ),
    "format": (
        {"a.pbr": b"1,2,3\n" * 100},
        "Customer Error: Unable to read data channel 'train'. Requested content-type is "
        "'application/x-recordio-protobuf'. Please verify the data matches the requested content-type.",
        "Caused by: a.pbr",
    ),
    "empty": ({"a.pbr": b""}, "Customer Error: Unable to read data channel 'train'.", "no records"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_data(case: Case, fault: str, tmp_path: Path) -> None:
    files, start, part = FAULTS[fault]
    if fault == "width" and "feature_dim" not in case.hyperparameters:
        pytest.skip("takes records of any width")
    job = Job(tmp_path, case)
    job.channels(train=FILE)
    job.files("train", files)
    code, output = job.run()
    assert (code, job.model_files) == (2, {}), output
    assert job.failure.startswith(start) and part in job.failure, job.failure


def test_a_label_column_is_suspected(case: Case, tmp_path: Path) -> None:
    features, _ = case.records(100, 1)
    job = Job(tmp_path, case)
    job.channels(train={"ContentType": "text/csv;label_size=0"})
    job.files("train", {"a.csv": csv_bytes((features, np.zeros(100, np.float32)))})
    code, _ = job.run()
    if "feature_dim" not in case.hyperparameters:
        return  # any width is right
    if not case.csv:
        assert code == 2 and "got content type 'text/csv; label_size=0', expected one of" in job.failure
        return
    assert code == 2 and f"data dimensionality '{case.width + 1}'" in job.failure
    assert "The first 0 columns were read as labels; text/csv;label_size=N says another number." in job.failure


@pytest.mark.parametrize(("value", "word"), [(np.nan, "missing (NaN)"), (np.inf, "infinite floating point")])
def test_values_that_are_no_numbers(case: Case, value: float, word: str, tmp_path: Path) -> None:
    features, labels = case.records(1000, 1)
    features[777, 3] = value
    job = Job(tmp_path, case)
    job.channels(train=FILE)
    job.files("train", {"a.pbr": record_bytes((features, labels))})
    code, output = job.run()
    if case.algorithm.missing and np.isnan(value):
        assert code == 0, output
        return
    assert (code, job.model_files) == (2, {}), output
    assert job.failure.startswith(f"Customer Error: Unable to read data channel 'train'. Found {word} values.")
    assert job.failure.endswith("The first is at record 777, feature 3.")


def test_channels_that_are_wrong(case: Case, tmp_path: Path) -> None:
    job = Job(tmp_path, case)
    for channels, text in [
        ({}, "Data channel 'train' is missing: got none, expected train (required)"),
        ({"train": FILE, "tst": FILE}, "Got data channel 'tst', expected train (required)"),
        ({"train": {"ContentType": "text/foo"}}, "got content type 'text/foo', expected one of"),
        (
            {"train": {"TrainingInputMode": "Tube"}},
            "got TrainingInputMode 'Tube', expected one of File, FastFile, Pipe",
        ),
    ]:
        job.channels(**channels)
        (tmp_path / "input" / "data" / "train").mkdir(exist_ok=True)
        if not channels:
            (tmp_path / "input" / "data" / "train").rmdir()
        code, _ = job.run()
        assert code == 2 and text in job.failure, job.failure


def test_platform_faults(case: Case, tmp_path: Path) -> None:
    job = Job(tmp_path, case)
    job.channels(train=FILE)
    code, _ = job.run()
    assert code == 3 and job.failure.startswith("Platform Error: Data channel 'train': "), job.failure
    (tmp_path / "input/config/resourceconfig.json").write_text("{")
    code, _ = job.run()
    assert code == 3 and "resourceconfig.json is not JSON" in job.failure


def test_model_channel_continues(case: Case, tmp_path: Path) -> None:
    from algorithms.artifacts.archives import pack

    earlier = trained(tmp_path / "a", case)
    archive = tmp_path / "b" / "input" / "data" / "model" / "model.tar.gz"
    archive.parent.mkdir(parents=True)
    pack(tmp_path / "a" / "model", archive)
    for base in ("b", "c"):
        job = Job(tmp_path / base, case)
        job.channels(train=FILE, model={"ContentType": "application/x-sagemaker-model"})
        job.files("train", {"b.pbr": record_bytes(case.records(500, 2))})
        if base == "c":
            job.files("model", earlier.model_files)
        code, output = job.run()
        assert code == 0, output
    continued = Job(tmp_path / "b", case).model_files
    assert continued == Job(tmp_path / "c", case).model_files, "packed and unpacked artifacts differ"
    assert continued != trained(tmp_path / "alone", case, seed=2).model_files

    wider = Job(tmp_path / "b", case)
    if "feature_dim" in case.hyperparameters:
        wider.configure(feature_dim="7")
    else:
        features, labels = case.records(500, 2)
        wider.files("train", {"b.pbr": record_bytes((np.column_stack([features, features]), labels))})
    code, output = wider.run()
    assert code == 2 and "feature" in wider.failure, output


def test_a_model_without_its_state_is_continued_or_refused(case: Case, tmp_path: Path) -> None:
    """As an artifact made elsewhere: where its arrays suffice."""
    earlier = trained(tmp_path / "a", case)
    job = Job(tmp_path / "b", case)
    job.channels(train=FILE, model={})
    job.files("train", {"b.pbr": record_bytes(case.records(500, 2))})
    name = case.model_name()
    job.files("model", {name: earlier.model_files[name]})
    code, output = job.run()
    if case.algorithm.adopt is None:
        assert code == 2 and f"a model alone is not enough, since {case.algorithm.alone}" in job.failure, output
        assert not job.model_files
    else:
        assert code == 0 and f"Continuing the earlier model with {case.algorithm.alone}." in output, output


def slowly(content: bytes, pieces: int, seconds: float) -> Iterator[bytes]:
    step = len(content) // pieces + 1
    for start in range(0, len(content), step):
        yield content[start : start + step]
        time.sleep(seconds)


@pytest.mark.parametrize("code", [0, 143])
def test_sigterm_leaves_a_usable_model(case: Case, tmp_path: Path, code: int) -> None:
    job = Job(tmp_path, case)
    job.channels(train=PIPE)
    if case.guest:
        job.configure(**case.lasting(1_000_000))
        Feeder(job, "train", [[record_bytes(case.records(1000, 1))]])
    else:
        Feeder(job, "train", [slowly(record_bytes(case.records(20_000, 1)), 2000, 0.02)])
    process = job.start(**({"ONEPASS_STOPPED_EXIT_CODE": str(code)} if code else {}))
    assert process.stdout is not None
    wait_for(lambda: "to the first update" in process.stdout.readline(), "the first update")  # type: ignore[union-attr]
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == code, output
    assert case.algorithm.load(tmp_path / "model").feature_dim == case.width
    assert not (tmp_path / "output" / "failure").exists()


def test_sigterm_before_any_data(case: Case, tmp_path: Path) -> None:
    job = Job(tmp_path, case)
    job.channels(train=PIPE)
    process = job.start()
    assert process.stdout is not None
    wait_for(lambda: "init_train_data_iter" in process.stdout.readline(), "the loop")  # type: ignore[union-attr]
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, job.model_files) == (0, {}), output


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_killed_and_resumed_is_the_same_model(case: Case, mode: str, tmp_path: Path) -> None:
    content = record_bytes(case.records(500 if case.guest else 20_000, 1))
    lasting = case.lasting(60 if case.guest else 2)
    expected = Job(tmp_path / "whole", case)
    expected.configure(**lasting)
    expected.channels(train=FILE)
    expected.files("train", {"a.pbr": content})
    assert expected.run()[0] == 0

    job = Job(tmp_path / "killed", case)
    job.configure(**lasting)
    job.channels(train={**FILE, "TrainingInputMode": mode})
    job.config("checkpointconfig", {"LocalPath": "/opt/ml/checkpoints"})
    checkpoints = job.base / "checkpoints"
    if mode == "File":
        job.files("train", {"a.pbr": content})
    else:
        Feeder(job, "train", [[content], slowly(content, 400, 0.02)])
    process = job.start(ONEPASS_CHECKPOINT_SECONDS="0")
    wait_for(lambda: len(list(checkpoints.glob("checkpoint_algo-1-*[5-9]"))) > 0, "checkpoints")
    process.kill()
    process.communicate()
    # A checkpoint torn by a dying disk is passed over for the one before it.
    newest = max(checkpoints.glob("checkpoint_algo-1-*"))
    newest.write_bytes(newest.read_bytes()[:-20])
    if mode == "Pipe":
        for pipe in (job.base / "input" / "data").glob("train_*"):
            pipe.unlink()
        Feeder(job, "train", [[content], [content]])
    code, output = job.run(ONEPASS_CHECKPOINT_SECONDS="0")
    assert code == 0, output
    assert "passed over" in output and "Resuming from checkpoint" in output
    assert job.model_files == expected.model_files
    assert not list(checkpoints.glob(".partial-*"))


def test_checkpoint_of_another_job_is_refused(case: Case, tmp_path: Path) -> None:
    job = Job(tmp_path, case)
    job.channels(train=FILE)
    job.config("checkpointconfig", {})
    job.files("train", {"a.pbr": record_bytes(case.records(1000, 1))})
    assert job.run()[0] == 0
    name = "max_depth" if case.guest else "mini_batch_size"
    job.configure(**{name: "9"})
    code, _ = job.run()
    before = case.hyperparameters[name]
    assert code == 2 and f"The checkpoint was made with {name}={before}, this job has 9" in job.failure


def test_several_hosts_learn_what_one_would(case: Case, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="several hosts need the extra torch")
    features, labels = case.records(3000, 1)
    whole = Job(tmp_path / "one", case)
    whole.channels(train=FILE)
    whole.files("train", {"a.pbr": record_bytes((features, labels))})
    assert whole.run()[0] == 0
    hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    with_port = {"ONEPASS_PORT": str(free_port())}
    jobs = []
    for rank, host in enumerate(hosts):
        job = Job(tmp_path / host, case)
        job.channels(train=FILE)
        job.config("resourceconfig", {"current_host": host, "hosts": hosts, "network_interface_name": "lo"})
        rows = slice(0, 2000) if rank == 0 else slice(2000, 3000)
        shard = {} if rank == 2 else {"a.pbr": record_bytes((features[rows], None if labels is None else labels[rows]))}
        job.files("train", {"_empty": b"", **shard})
        jobs.append(job)
    processes = [job.start(**with_port) for job in jobs]
    outputs = [process.communicate(timeout=90)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], "\n".join(outputs)
    assert case.model_name("127.0.0.1") in jobs[0].model_files and jobs[1].model_files == {}
    assert case.algorithm.load(jobs[0].base / "model").feature_dim == case.width
    expected, found = (training_metrics(case, job.base / "model", (features, labels)) for job in (whole, jobs[0]))
    assert found.keys() == expected.keys() and found
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=case.merge_tolerance)


def training_metrics(case: Case, model: Path, records: Records) -> dict[str, float]:
    """What the artifact's state gives, which holds what all hosts have seen; without one, how the model predicts."""
    path, algorithm = find_state(model), case.algorithm
    if path is None:
        (scores,) = algorithm.load(model).predict(Batch(records[0])).values()
        return {"mean absolute error": float(np.abs(scores - records[1]).mean())}
    saved = read_state(path)
    settings = algorithm.hyperparameters.from_strings(saved.hyperparameters)
    return dict(algorithm.restore(settings, saved.arrays, dict(saved.values)).finalise().metrics)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_memory_is_the_same_for_ten_times_the_stream(case: Case, tmp_path: Path) -> None:
    """Peak memory of the process, fed through a FIFO; the wrong twin of this law is in twins.py."""
    if reason := case.exempt.get("memory_follows_the_settings"):
        pytest.skip(reason)
    content = record_bytes(case.records(10_000, 1))
    peaks = []
    for repeats in (20, 200):
        job = Job(tmp_path / str(repeats), case)
        job.configure(mini_batch_size="5000")
        job.channels(train=PIPE)
        Feeder(job, "train", [[content] * repeats])
        code, output = job.run()
        assert code == 0, output
        peaks.append(int(re.search(r"Peak memory: (\d+) MiB", output)[1]))  # type: ignore[index]
    assert max(peaks) < 300 and peaks[1] < peaks[0] * 1.05, f"peak memory {peaks} MiB"
