"""Trees beside those of the library alone, given the same records: equal to the bit, whatever the records came as."""

from __future__ import annotations

import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from numpy.typing import NDArray
from pyarrow import parquet
from scipy.sparse import csr_array
from sklearn.datasets import dump_svmlight_file, load_breast_cancer, load_svmlight_file
from sklearn.metrics import accuracy_score, f1_score

import recordio
from algorithms.xgboost import ALGORITHM
from recordio.batch import Batch
from tests.contract.cases import Case
from tests.contract.jobs import Feeder, Job

RECORDS, FEATURES, BATCH = 2000, 6, 300
ROUNDS = 5
ONE_THREAD = {"nthread": 1}  # quicker, where records are few and other processes run
RNG = np.random.default_rng(11)
X = RNG.normal(size=(RECORDS, FEATURES)).astype(np.float32)
X[RNG.random(X.shape) < 0.1] = np.nan
LATENT = np.nan_to_num(X[:, 0] - 2 * X[:, 1] * X[:, 2]) + RNG.normal(size=RECORDS) / 2
WEIGHTS = RNG.integers(1, 9, RECORDS).astype(np.float32) / 4
GROUPS = np.sort(RNG.integers(0, 60, RECORDS))
POSITIVE = np.exp(LATENT / 4).astype(np.float32)
CLASSES = np.digitize(LATENT, [-1, 1]).astype(np.float32)
LABELS = {
    "binary": (LATENT > 0).astype(np.float32),
    "multi": CLASSES,
    "rank": CLASSES,
    "count": np.floor(POSITIVE * 3),
    "survival": POSITIVE
    * np.where(RNG.random(RECORDS) < 0.2, -1, 1).astype(np.float32),  # cox: less than 0 is censored
}
Given = dict[str, Any]


def settings(given: Given) -> Any:
    strings = {name: str(value) for name, value in {"num_round": ROUNDS, **ONE_THREAD, **given}.items()}
    return ALGORITHM.hyperparameters.from_strings(strings)


def learned(given: Given, train: Batch, held: Batch | None = None) -> tuple[xgboost.Booster, list[str]]:
    """By our state, as the loop drives it, with the lines that it prints."""
    state: Any = ALGORITHM.create(settings(given), np.random.default_rng(0))
    for some, keep in ((train, state.update), (held, state.hold_out)):
        for start in range(0, 0 if some is None else len(some), BATCH):
            keep(some[start : start + BATCH])  # type: ignore[index]
    lines = [each.line for each in state.rounds()]
    return state.finalise().boosters[0], lines


def plain(given: Given, matrix: xgboost.DMatrix, rounds: int = ROUNDS) -> xgboost.Booster:
    return xgboost.train({**ONE_THREAD, **given}, matrix, rounds)


def trees(booster: xgboost.Booster) -> list[Any]:
    """All numbers of the trees, as the artifact holds them."""
    return json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]  # type: ignore[no-any-return]


def assert_same(ours: xgboost.Booster, theirs: xgboost.Booster) -> None:
    ours.feature_names = None  # of the columns of Parquet
    assert ours.get_dump(with_stats=True) == theirs.get_dump(with_stats=True)
    assert trees(ours) == trees(theirs)
    held = xgboost.DMatrix(np.random.default_rng(1).normal(size=(200, FEATURES)))
    assert np.array_equal(ours.predict(held), theirs.predict(held))


def matrix(given: Given, labels: NDArray[Any], **columns: Any) -> xgboost.DMatrix:
    """As a user of the library would make it for the method."""
    return xgboost.DMatrix(X, label=labels, **columns)


@pytest.mark.parametrize("method", ["hist", "exact", "approx", "auto"])
@pytest.mark.parametrize(
    "given",
    [
        *({"objective": name} for name in ("binary:logistic", "binary:logitraw", "binary:hinge", "reg:squarederror")),
        *({"objective": name} for name in ("reg:logistic", "reg:gamma", "reg:pseudohubererror", "reg:squaredlogerror")),
        *({"objective": name} for name in ("reg:absoluteerror", "reg:tweedie", "count:poisson", "survival:cox")),
        *({"objective": f"multi:{name}", "num_class": 3} for name in ("softmax", "softprob")),
        {"objective": "reg:quantileerror", "quantile_alpha": 0.8},
    ],
    ids=lambda given: given["objective"],
)
def test_objectives(given: Given, method: str) -> None:
    kind = given["objective"].partition(":")[0]
    labels = LABELS["binary"] if given["objective"] == "reg:logistic" else LABELS.get(kind, POSITIVE)
    given = {**given, "max_depth": 3, "eta": 0.4, "tree_method": method}
    ours, lines = learned(given, Batch(X, labels))
    assert_same(ours, plain(given, matrix(given, labels)))
    assert len(lines) == ROUNDS == ours.num_boosted_rounds()


@pytest.mark.parametrize("objective", ["rank:pairwise", "rank:ndcg", "rank:map"])
@pytest.mark.parametrize("method", ["hist", "exact", "approx"])
def test_ranking(objective: str, method: str) -> None:
    labels = (CLASSES > 1).astype(np.float32) if objective == "rank:map" else CLASSES
    given = {"objective": objective, "tree_method": method, "max_depth": 3}
    ours, _ = learned(given, Batch(X, labels, groups=GROUPS))
    theirs = plain(given, matrix(given, labels, qid=GROUPS))
    assert_same(ours, theirs)
    ours, _ = learned(given, Batch(X, labels, groups=GROUPS.max() - GROUPS))
    assert_same(ours, theirs)  # queries may have any numbers


def test_weights_of_queries() -> None:
    weights = np.random.default_rng(1).random(GROUPS.max() + 1).astype(np.float32)
    given = {"objective": "rank:ndcg", "max_depth": 3}
    ours, _ = learned(given, Batch(X, CLASSES, weights[GROUPS], GROUPS))
    theirs = plain(given, matrix(given, CLASSES, qid=GROUPS, weight=weights[np.unique(GROUPS)]))
    assert_same(ours, theirs)


@pytest.mark.parametrize("method", ["hist", "exact", "approx"])
@pytest.mark.parametrize(
    "given",
    [
        {"monotone_constraints": "(1,-1,0,0,0,1)"},
        {"interaction_constraints": "[[0, 1], [2, 3, 4]]"},
        {"max_depth": 0, "max_leaves": 9, "grow_policy": "lossguide"},
        {"booster": "dart"},
        {"num_parallel_tree": 3},
        {"lambda": 0.1, "alpha": 0.5, "gamma": 0.2, "min_child_weight": 5, "max_delta_step": 0.7},
        {"max_bin": 16},
        {"base_score": 0.3, "scale_pos_weight": 2, "objective": "binary:logistic"},
    ],
    ids="-".join,
)
def test_settings_and_weights(given: Given, method: str) -> None:
    if method == "approx" and "monotone_constraints" in given:
        pytest.skip("refused, as the original does")
    if method == "exact" and given.get("grow_policy"):
        pytest.skip("exact grows by levels alone")
    labels = LABELS["binary"] if "objective" in given else POSITIVE
    given = {"max_depth": 4, "tree_method": method, **given}
    ours, _ = learned(given, Batch(X, labels, WEIGHTS))
    assert_same(ours, plain(given, matrix(given, labels, weight=WEIGHTS)))


@pytest.mark.parametrize("objective", ["reg:squarederror", "binary:logistic"])
def test_a_linear_model(objective: str) -> None:
    labels = LABELS["binary"] if objective.startswith("binary") else POSITIVE
    given = {"booster": "gblinear", "updater": "coord_descent", "objective": objective, "lambda": 0.1, "nthread": 1}
    ours, _ = learned(given, Batch(X, labels, WEIGHTS))
    assert_same(ours, plain(given, matrix(given, labels, weight=WEIGHTS)))


@pytest.mark.parametrize("strategy", ["one_output_per_tree", "multi_output_tree"])
def test_several_labels(strategy: str) -> None:
    labels = np.column_stack([POSITIVE, LATENT.astype(np.float32)])
    given = {"multi_strategy": strategy, "tree_method": "hist", "max_depth": 3}
    ours, lines = learned(given, Batch(X, labels))
    theirs = plain(given, matrix(given, labels))
    assert trees(ours) == trees(theirs)
    assert np.array_equal(ours.predict(xgboost.DMatrix(X)), theirs.predict(xgboost.DMatrix(X)))
    assert re.fullmatch(r"\[0\]\ttrain-rmse:\d+\.\d{5}", lines[0])


@pytest.mark.parametrize("censored", [False, True])
def test_accelerated_failure_times(censored: bool) -> None:
    """One label is a time that is known, two are its bounds."""
    lower, upper = POSITIVE, POSITIVE * np.where(np.arange(RECORDS) % 3, 1, np.inf).astype(np.float32)
    given = {"objective": "survival:aft", "max_depth": 3, "aft_loss_distribution": "logistic"}
    ours, lines = learned(given, Batch(X, np.column_stack([lower, upper]) if censored else lower))
    bounds = {"label_lower_bound": lower, "label_upper_bound": upper if censored else lower}
    assert_same(ours, plain(given, xgboost.DMatrix(X, **bounds)))
    assert lines[0].startswith("[0]\ttrain-aft-nloglik:")


@pytest.mark.parametrize("sampling", [{"subsample": 0.5}, {"colsample_bynode": 0.5, "colsample_bytree": 0.8}])
def test_samples_differ_from_round_to_round(sampling: Given) -> None:
    """Rounds draw anew, and by the seed: on held-out records they do as well as the library's own samples."""
    cut, seeds = RECORDS // 2, range(8)
    labels = LATENT.astype(np.float32)
    errors = np.empty((2, len(seeds)))
    for seed in seeds:
        given = {**sampling, "seed": seed, "max_depth": 4, "tree_method": "hist", "num_round": 20}
        ours, _ = learned(given, Batch(X[:cut], labels[:cut]))
        alone = {name: value for name, value in given.items() if name != "num_round"}
        theirs = plain(alone, xgboost.DMatrix(X[:cut], label=labels[:cut]), 20)
        for row, booster in enumerate((ours, theirs)):
            errors[row, seed] = np.mean((booster.predict(xgboost.DMatrix(X[cut:])) - labels[cut:]) ** 2)
    again, _ = learned(given, Batch(X[:cut], labels[:cut]))
    assert trees(ours) == trees(again)
    assert len(set(ours.get_dump(with_stats=True))) == 20
    spread = np.sqrt(errors.var(axis=1, ddof=1).sum() / len(seeds))
    assert abs(errors[0].mean() - errors[1].mean()) < 3 * spread, "three standard errors of the difference"


def test_lines_and_early_stopping() -> None:
    """Lines are the library's own, with five decimals; the model ends with the best round of ndcg@5, the largest."""
    cut = RECORDS // 2
    given = {"objective": "rank:ndcg", "eval_metric": "map@3,ndcg@5", "early_stopping_rounds": 3, "eta": 0.9}
    labels = (CLASSES > 1).astype(np.float32)
    train = Batch(X[:cut], labels[:cut], groups=GROUPS[:cut])
    held = Batch(X[cut:], labels[cut:], groups=GROUPS[cut:] + 100)
    ours, lines = learned({**given, "num_round": 60}, train, held)
    matrices = [
        (xgboost.DMatrix(each.features, label=each.labels, qid=each.groups), name)
        for each, name in ((train, "train"), (held, "validation"))
    ]
    booster = xgboost.Booster(
        {"objective": "rank:ndcg", "eval_metric": ["map@3", "ndcg@5"], "eta": 0.9}, [matrices[0][0]]
    )
    values = []
    for number, line in enumerate(lines):
        booster.update(matrices[0][0], number)
        told = [part.rpartition(":") for part in booster.eval_set(matrices, number).split("\t")[1:]]
        assert line == "\t".join([f"[{number}]", *(f"{name}:{float(value):.5f}" for name, _, value in told)])
        values.append(float(told[-1][2]))
    best = int(np.argmax(values))
    assert len(lines) < 60 and len(lines) == best + 4
    assert ours.num_boosted_rounds() == best + 1


@pytest.mark.parametrize("objective", ["binary:logistic", "binary:logitraw", "multi:softmax", "multi:softprob"])
def test_own_metrics_are_of_classes(objective: str) -> None:
    """The original took every probability for class 1, and class numbers for margins."""
    labels = LABELS[objective.partition(":")[0]]
    given: Given = {"objective": objective, "eval_metric": "accuracy,f1_macro", "max_depth": 3}
    if objective.startswith("multi"):
        given["num_class"] = 3
    ours, lines = learned(given, Batch(X, labels))
    found = ours.predict(xgboost.DMatrix(X))
    decided = found.argmax(axis=1) if found.ndim == 2 else found > (0.5 if objective == "binary:logistic" else 0)
    decided = found if objective == "multi:softmax" else decided
    told = dict(re.findall(r"train-(\w+):(\S+)", lines[-1]))
    assert told["accuracy"] == f"{accuracy_score(labels, decided):.5f}"
    assert told["f1_macro"] == f"{f1_score(labels, decided, average='macro'):.5f}"
    assert float(told["accuracy"]) > max(np.mean(labels == each) for each in set(labels)) + 0.05


def test_folds_are_judged_by_what_they_hold_out() -> None:
    """There is nothing to learn, so trees learn noise: the original judged folds by records that they had learned."""
    noise = np.random.default_rng(3).normal(size=RECORDS).astype(np.float32)
    state: Any = ALGORITHM.create(settings({"_kfold": 4, "max_depth": 9, "eta": 1}), np.random.default_rng(0))
    state.update(Batch(X, noise))
    lines = [each.line for each in state.rounds()]
    assert len(lines) == 4 * ROUNDS + 1 and lines[-1].startswith(f"[{ROUNDS}]\ttrain-rmse:")
    for line in lines[ROUNDS - 1 :: ROUNDS]:
        train, validation = map(float, re.findall(r"rmse:(\S+)", line))
        assert train < 0.6 and validation > noise.std()
    rows = np.loadtxt(io.BytesIO(state.reports()["predictions.csv"]), delimiter=",")
    assert np.allclose(rows[:, 0], noise, atol=1e-6) and abs(np.corrcoef(rows.T)[0, 1]) < 0.1
    assert len(state.finalise().boosters) == 4


SETTINGS = {"num_round": str(ROUNDS), "max_depth": "3", "eta": "0.5"}
CASE = Case("xgboost", SETTINGS, lambda *_: (X, POSITIVE), merge_tolerance=0)
TABLE = np.column_stack([POSITIVE, X]).astype(np.float32)
CUTS = (0, 700, 1500, RECORDS)  # of the files of a channel


def as_csv(rows: slice) -> bytes:
    cells = [["" if np.isnan(value) else repr(float(value)) for value in row] for row in TABLE[rows]]
    return "".join(",".join(row) + "\n" for row in cells).encode()


def as_csv_with_weights(rows: slice) -> bytes:
    lines = as_csv(rows).decode().splitlines()
    weighted = [
        re.sub(",", f";{weight};", line, count=1).replace(",", ";")
        for line, weight in zip(lines, WEIGHTS[rows], strict=True)
    ]
    return "".join(f"{line}\n" for line in weighted).encode()


def as_libsvm(rows: slice) -> bytes:
    return b"".join(
        b"%r:%r" % (float(label), float(weight))
        + b"".join(b" %d:%r" % (column, float(value)) for column, value in enumerate(row) if not np.isnan(value))
        + b"\n"
        for label, weight, row in zip(POSITIVE[rows], WEIGHTS[rows], X[rows], strict=True)
    ).replace(b"'", b"")


def as_parquet(rows: slice) -> bytes:
    file = io.BytesIO()
    table = pa.table({f"c{place}": column for place, column in enumerate(TABLE[rows].T)})
    parquet.write_table(table, file, row_group_size=400)
    return file.getvalue()


def as_dense_records(rows: slice) -> bytes:
    file = io.BytesIO()
    recordio.write_dense(file, X[rows], POSITIVE[rows])
    return file.getvalue()


def as_sparse_records(rows: slice) -> bytes:
    file = io.BytesIO()
    some = X[rows]
    given = ~np.isnan(some)
    ends = np.concatenate([[0], given.sum(axis=1).cumsum()])
    recordio.write_sparse(file, csr_array((some[given], given.nonzero()[1], ends), shape=some.shape), POSITIVE[rows])
    return file.getvalue()


FORMATS = {
    "csv": as_csv,
    "text/csv;label_size=1": as_csv,
    "csv with weights": as_csv_with_weights,
    "text/libsvm": as_libsvm,
    "": as_libsvm,
    "application/x-parquet": as_parquet,
    "recordio-protobuf": as_dense_records,
    "application/x-recordio-protobuf": as_sparse_records,
}


@pytest.mark.parametrize("mode", ["File", "Pipe"])
@pytest.mark.parametrize("name", FORMATS)
def test_jobs_on_every_format(name: str, mode: str, tmp_path: Path) -> None:
    """The artifact of a job, opened by the library alone."""
    write = FORMATS[name]
    weighted = write in (as_libsvm, as_csv_with_weights)
    job = Job(tmp_path, CASE)
    job.configure(csv_weights=str(int(write is as_csv_with_weights)))
    content_type = {"ContentType": name.removesuffix(" with weights")} if name else {}
    job.channels(train={"TrainingInputMode": mode, **content_type})
    parts = [write(slice(*cut)) for cut in itertools.pairwise(CUTS)]
    if mode == "Pipe":
        Feeder(job, "train", [parts])
    else:
        job.files("train", {f"part-{number}": part for number, part in enumerate(parts)})
    code, log = job.run()
    assert code == 0, log
    ours = xgboost.Booster(model_file=str(tmp_path / "model" / "xgboost-model"))
    given = {"max_depth": 3, "eta": 0.5}
    theirs = plain(given, matrix(given, POSITIVE, weight=WEIGHTS if weighted else None))
    assert_same(ours, theirs)
    assert re.findall(r"^\[\d+\]\ttrain-rmse:\d+\.\d{5}$", log, re.MULTILINE)[-1].startswith(f"[{ROUNDS - 1}]")


def test_libsvm_that_counts_from_one_is_not_shifted(tmp_path: Path) -> None:
    """The original shifts requests, but not what it learns from; here neither is."""
    data = load_breast_cancer()
    path = tmp_path / "input" / "data" / "train" / "cells.libsvm"
    path.parent.mkdir(parents=True)
    dump_svmlight_file(data.data, data.target, str(path), zero_based=False)
    job = Job(tmp_path, CASE)
    job.configure({"num_round": "5", "objective": "binary:logistic"})
    job.channels(train={"TrainingInputMode": "File", "ContentType": "libsvm"})
    code, log = job.run()
    assert code == 0, log
    ours = xgboost.Booster(model_file=str(tmp_path / "model" / "xgboost-model"))
    assert ours.num_features() == 31
    features, labels = load_svmlight_file(str(path), zero_based=True)
    theirs = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(features, label=labels), 5)
    assert ours.get_dump(with_stats=True) == theirs.get_dump(with_stats=True)
    served = ALGORITHM.load(tmp_path / "model").predict(recordio.decode(path.read_bytes(), "libsvm", width=31))
    assert accuracy_score(labels, served["score"] > 0.5) > 0.98
