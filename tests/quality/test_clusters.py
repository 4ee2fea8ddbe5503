"""One, two and four hosts learn as good a model, also when a job goes on with another number of them.

Whole jobs, in threads that meet in memory; tests/contract has them as processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from algorithms.contract import Model
from algorithms.pca.model import PCAModel
from entrypoint import training
from entrypoint.cluster import Cluster
from entrypoint.collective import Collective
from entrypoint.environment import Environment
from entrypoint.reports import StartUp
from recordio.batch import Batch
from tests.contract.cases import Case, Records
from tests.contract.jobs import RECORDIO, Job, record_bytes
from tests.quality.test_pca import Truth
from tests.unit.pools import Gathering, Hosts, Seat

RECORDS = 12_000
MOVES = [(2, 1), (1, 2), (2, 4)]
SHARDS = {1: (1.0,), 2: (0.7, 0.3), 4: (0.5, 0.0, 0.2, 0.3)}  # of the records; one of four hosts has none


def train(folder: Path, case: Case, records: Records, hosts: int, **hyperparameters: str) -> Model:
    """The model of a job on so many hosts. It goes on from the checkpoints in the folder."""
    features, labels = records
    cuts = np.round(np.cumsum([0, *SHARDS[hosts]]) * len(features)).astype(int)
    names = [f"algo-{number + 1}" for number in range(hosts)]

    def one(_: Seat, rank: int) -> None:
        rows = slice(cuts[rank], cuts[rank + 1])
        job = Job(folder / names[rank], case)
        job.configure(**hyperparameters)
        job.channels(train={"ContentType": RECORDIO})
        job.files("train", {"a.pbr": record_bytes((features[rows], None if labels is None else labels[rows]))})
        job.config("resourceconfig", {"current_host": names[rank], "hosts": names})
        job.config("checkpointconfig", {"LocalPath": str(folder / "checkpoints")})
        told = {"ALGORITHM": case.name, "SAGEMAKER_BASE_DIR": str(job.base), "ONEPASS_CHECKPOINT_SECONDS": "0"}
        training.train(Environment.from_variables(told), threading.Event(), StartUp())

    meeting = Hosts(hosts)

    @contextmanager
    def joined(cluster: Cluster, *_: object) -> Iterator[Collective]:
        yield Gathering(Seat(meeting, cluster.rank)) if hosts > 1 else Collective()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training, "joined", joined)
        patched.setattr(training, "require_collective", lambda _: None)
        meeting.run(one)
    return case.algorithm.load(folder / names[0] / "model")


def cut_off(folder: Path, case: Case, records: Records, hosts: int) -> None:
    """Leave the checkpoints of a job that ended in the middle of its first pass."""
    features, labels = records
    most = int(0.6 * len(features))
    train(folder, case, (features[:most], None if labels is None else labels[:most]), hosts, epochs="1")
    for number in range(hosts):
        *_, last = sorted((folder / "checkpoints").glob(f"checkpoint_algo-{number + 1}-*"))
        last.unlink()  # of the end of the pass


@dataclass(frozen=True)
class Task:
    """A case to learn, and what a model costs on records that were held out.

    worse   how much more that may be than what one host comes to, that nothing interrupts
    """

    case: Case
    loss: Callable[[Model, Records], float]
    worse: float

    def __str__(self) -> str:
        return self.case.name


def blobs(count: int, seed: int) -> Records:
    """Fifty clusters that overlap."""
    rng = np.random.default_rng(seed)
    centres = 0.7 * np.random.default_rng(42).normal(size=(50, 16))
    return (centres[rng.integers(50, size=count)] + rng.normal(size=(count, 16))).astype(np.float32), None


def sides(count: int, seed: int) -> Records:
    """Twenty features, and classes that follow a logistic model of them."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 20))
    scores = 0.7 * rows @ np.random.default_rng(42).normal(size=20)
    labels = rng.random(count) < 1 / (1 + np.exp(-scores))
    return rows.astype(np.float32), labels.astype(np.float32)


def pairs(count: int, seed: int) -> Records:
    """Ten features, and values that follow a machine of order two, with noise of deviation 0.5."""
    rng, truth = np.random.default_rng(seed), np.random.default_rng(42)
    weights, factors = truth.normal(size=10), 0.5 * truth.normal(size=(10, 3))
    rows = rng.normal(size=(count, 10))
    products = ((rows @ factors) ** 2 - rows**2 @ factors**2).sum(axis=1) / 2
    labels = rows @ weights + products + rng.normal(0, 0.5, count)
    return rows.astype(np.float32), labels.astype(np.float32)


def turned(width: int, power: float, count: int, seed: int) -> Records:
    """Features of which the i-th principal axis has a deviation of i to that power, far from zero."""
    turn, _ = np.linalg.qr(np.random.default_rng(42).normal(size=(width, width)))
    rows = 3 + np.random.default_rng(seed).normal(size=(count, width)) * np.arange(1.0, width + 1) ** power @ turn
    return rows.astype(np.float32), None


def distance(model: Model, records: Records) -> float:
    return float(np.mean(np.square(model.predict(Batch(*records))["distance_to_cluster"], dtype=np.float64)))


def log_loss(model: Model, records: Records) -> float:
    found = model.predict(Batch(*records))["score"].astype(np.float64)
    return -float(np.mean(np.log(np.where(records[1] == 1, found, 1 - found))))


def squares(model: Model, records: Records) -> float:
    return float(np.mean((model.predict(Batch(*records))["score"] - records[1]) ** 2))


KMEANS = Task(Case("kmeans", {"k": "50", "feature_dim": "16", "mini_batch_size": "500"}, blobs, 0), distance, 1.01)
LINEAR = Task(
    Case(
        "linear-learner",
        {
            "predictor_type": "binary_classifier",
            "feature_dim": "20",
            "mini_batch_size": "100",
            "epochs": "8",
            "binary_classifier_model_selection_criteria": "loss_function",
        },
        sides,
        0,
    ),
    log_loss,
    1.005,
)
MACHINES = Task(
    Case(
        "factorization-machines",
        {
            "predictor_type": "regressor",
            "feature_dim": "10",
            "num_factors": "3",
            "mini_batch_size": "100",
            "epochs": "10",
            "linear_lr": "0.01",
            "factors_lr": "0.01",
            "bias_lr": "0.01",
            "linear_wd": "0",
            "factors_wd": "0",
            "factors_init_sigma": "0.05",
        },
        pairs,
        0,
    ),
    squares,
    1.005,
)
TASKS = [KMEANS, LINEAR, MACHINES]
PCA = Case("pca", {"num_components": "8", "feature_dim": "40", "mini_batch_size": "500"}, partial(turned, 40, -1), 0)
SKETCHED = PCA.hyperparameters | {"feature_dim": "300", "algorithm_mode": "randomized"}
WIDE = Case("pca", SKETCHED, partial(turned, 300, -0.5), 0)


@pytest.fixture(scope="module", params=TASKS, ids=str)
def task(request: pytest.FixtureRequest) -> Task:
    found: Task = request.param
    return found


@pytest.fixture(scope="module")
def alone(task: Task, tmp_path_factory: pytest.TempPathFactory) -> float:
    """What one host comes to, that nothing interrupts."""
    return cost(task, tmp_path_factory.mktemp("alone"), 1)


def cost(task: Task, folder: Path, hosts: int) -> float:
    model = train(folder, task.case, task.case.records(RECORDS, 1), hosts)
    found = task.loss(model, task.case.records(10_000, 2))
    print(f"{task} on {hosts} hosts: {found:.5f}")
    return found


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_are_as_good_as_one(task: Task, alone: float, hosts: int, tmp_path: Path) -> None:
    assert cost(task, tmp_path, hosts) <= task.worse * alone


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_another_number_of_hosts_goes_on(
    task: Task, alone: float, before: int, after: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    cut_off(tmp_path, task.case, task.case.records(RECORDS, 1), before)
    assert cost(task, tmp_path, after) <= task.worse * alone
    assert f"Resuming on {after} hosts from checkpoints of {before}." in caplog.messages


# PCA


def pca(folder: Path, hosts: int, case: Case = PCA, **hyperparameters: str) -> PCAModel:
    model = train(folder, case, case.records(RECORDS, 1), hosts, **hyperparameters)
    assert isinstance(model, PCAModel)
    return model


def angle(found: PCAModel, expected: PCAModel) -> float:
    """Sine of the largest angle between the spaces of two models."""
    one, other = (np.linalg.qr(model.vectors.astype(np.float64))[0] for model in (found, expected))
    return float(np.linalg.norm(one - other @ (other.T @ one), 2))


def assert_same_components(found: PCAModel, expected: PCAModel) -> None:
    """The aim is an angle of 1e-4. Sums of products in single precision differ by some 1e-7, and leave 4e-7 of it."""
    assert angle(found, expected) <= 1e-5
    assert np.allclose(found.vectors, expected.vectors, rtol=0, atol=1e-6)
    assert np.allclose(found.singular, expected.singular, rtol=1e-6)


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_find_the_components_of_one(hosts: int, tmp_path: Path) -> None:
    assert_same_components(pca(tmp_path / "several", hosts), pca(tmp_path / "one", 1))


def test_sketches_of_hosts_reconstruct_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They let go of other rows in another order, so components differ; what is lost by them hardly does."""
    monkeypatch.setattr("algorithms.pca.hyperparameters.PAIRED_FEATURES", 0)  # a sketch also of few features
    truth = Truth(WIDE.records(RECORDS, 1)[0].astype(np.float64))
    for hosts in SHARDS:
        found = truth.loss(pca(tmp_path / str(hosts), hosts, WIDE))
        assert found <= 1.005  # of the least error that there is: what one host may come to


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_components_of_another_number_of_hosts(before: int, after: int, tmp_path: Path) -> None:
    pca(tmp_path / "moved", before)
    expected = pca(tmp_path / "one", 1, epochs="2")
    assert_same_components(pca(tmp_path / "moved", after, epochs="2"), expected)


@pytest.mark.parametrize(("before", "after"), MOVES)
def test_components_when_the_first_pass_begins_anew(before: int, after: int, tmp_path: Path) -> None:
    """No record counts twice: they would turn the components by 0.015."""
    cut_off(tmp_path / "moved", PCA, PCA.records(RECORDS, 1), before)
    assert_same_components(pca(tmp_path / "moved", after), pca(tmp_path / "one", 1))
