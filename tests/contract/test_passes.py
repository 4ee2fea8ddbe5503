"""Algorithms that look at held-out records after each pass: what the job prints, and when it stops."""

import re
from pathlib import Path

import pytest

from tests.contract.cases import CASES, Case
from tests.contract.jobs import RECORDIO, Feeder, Job, record_bytes

FILE = {"ContentType": RECORDIO}
PASSING = [case for case in CASES if "validation" in {each.name for each in case.algorithm.channels} and not case.guest]
PUBLISHING = [case for case in CASES if "batch_metrics_publish_interval" in case.algorithm.hyperparameters.model_fields]
QUALITY = re.compile(r"#quality_metric: host=algo-1, (epoch=\d+, )?(\w+) (\S+) <(\w+)>=\S+")


def passes(output: str) -> list[str]:
    return re.findall(r"#early_stopping_criteria_metric: host=algo-1, epoch=(\d+), criteria=\S+, value=\S+", output)


@pytest.mark.parametrize("case", PASSING, ids=str)
def test_each_pass_is_judged_by_the_validation_channel(case: Case, tmp_path: Path) -> None:
    job = Job(tmp_path, case)
    job.configure(epochs="3", early_stopping_patience="9")
    job.channels(train=FILE, validation={**FILE, "TrainingInputMode": "Pipe"})
    job.files("train", {"a.pbr": record_bytes(case.records(1000, 1))})
    Feeder(job, "validation", [[record_bytes(case.records(500, 2))]] * 3)  # a pass for each epoch, and no more
    code, output = job.run()
    assert code == 0, output
    assert passes(output) == ["0", "1", "2"]
    found = QUALITY.findall(output)
    for epoch in ("epoch=0, ", "epoch=1, ", "epoch=2, "):
        assert {channel for when, channel, _, _ in found if when == epoch} == {"train", "validation"}
    # The last lines have no epoch, and are of the records that were not learned.
    assert {channel for when, channel, _, _ in found if not when} == {"validation"}
    assert output.count('"model": 0}') == 3


@pytest.mark.parametrize("case", PASSING, ids=str)
def test_training_stops_when_passes_gain_nothing(case: Case, tmp_path: Path) -> None:
    job = Job(tmp_path, case)
    job.configure(epochs="50", early_stopping_patience="1", early_stopping_tolerance="0.9")
    job.channels(train=FILE)
    job.files("train", {"a.pbr": record_bytes(case.records(1000, 1))})
    code, output = job.run()
    assert code == 0, output
    # The second and third pass gain less than nine tenths: more than one in a row.
    assert passes(output) == ["0", "1", "2"]
    stopped = output.partition("Early stop condition met. Stopping training.")[2]
    assert "#progress_metric: host=algo-1, completed 100 % of epochs" in stopped
    assert "model_algo-1" in job.model_files


@pytest.mark.parametrize("case", PASSING, ids=str)
def test_a_fault_of_the_validation_channel_is_told_before_training(case: Case, tmp_path: Path) -> None:
    job = Job(tmp_path, case)
    job.channels(train=FILE, validation=FILE)
    job.files("train", {"a.pbr": record_bytes(case.records(1000, 1))})
    job.files("validation", {"b.pbr": b"no records"})
    code, output = job.run()
    assert (code, job.model_files) == (2, {}), output
    assert "Unable to read data channel 'validation'" in job.failure
    assert "b.pbr, record 0 (byte 0): got magic" in job.failure
    assert not passes(output)


@pytest.mark.parametrize("case", PUBLISHING, ids=str)
def test_scores_of_a_pass_are_told_on_the_way(case: Case, tmp_path: Path) -> None:
    """The final scores of the train channel are those of the last pass, gathered while it was learned."""
    job = Job(tmp_path, case)
    job.configure(epochs="2", batch_metrics_publish_interval="4")
    job.channels(train=FILE)
    job.files("train", {"a.pbr": record_bytes(case.records(1000, 1))})
    code, output = job.run()
    assert code == 0, output
    lines = re.findall(r"#quality_metric: host=algo-1, (.*)train (\S+ <\w+>)=(\S+)", output)
    batches = -(-1000 // int(case.hyperparameters["mini_batch_size"]))
    names = list(dict.fromkeys(name for _, name, _ in lines))
    expected = [
        (when, name)
        for epoch in (0, 1)
        for when in [*(f"epoch={epoch}, batch={batch} " for batch in range(0, batches, 4)), f"epoch={epoch}, "]
        for name in names
    ]
    assert [(when, name) for when, name, _ in lines] == expected + [("", name) for name in names]
    values = {(when, name): value for when, name, value in lines}
    for name in names:
        assert values["", name] == values["epoch=1, ", name] != values["epoch=0, ", name]
