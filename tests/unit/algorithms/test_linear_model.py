"""The artifact of the original and of ours, replies, and scores of linear models."""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn import metrics

from algorithms.contract import Arrays
from algorithms.linear_learner.hyperparameters import LinearLearnerHyperparameters
from algorithms.linear_learner.judging import criterion, evaluate, evaluation, linear_model
from algorithms.linear_learner.model import LinearModel, load
from recordio import encode, records
from recordio.batch import Batch
from recordio.errors import UserError
from recordio.protobuf import Record

# An artifact of the original, and two of its published replies.
WEIGHTS = [
    *(0.03938636928796768, -0.1280129849910736, -1.2598095011639998e-08, 0.034934524446725845, 0.35340479016304016),
    *(-0.25997990369796753, -0.003786280518397689, -0.11320913583040237, 0.09978037327528, 0.8937293887138367),
    *(0.00031779808341525495, 0.0006628313567489386, 0.03377905115485191, 0.014029457233846188),
]
BIAS, THRESHOLD = -9.085369110107422, 0.46301859617233276
GOLDEN = {
    (28, 2, 133937, 9, 13, 2, 0, 0, 4, 1, 15024, 0, 55, 37): (0.989977359771728, 1),
    (43, 2, 72338, 12, 14, 2, 12, 0, 1, 1, 0, 0, 40, 37): (0.504138827323913, 1),
}
PARAMETERS: dict[str, Any] = {
    "threshold": THRESHOLD,
    "loss_type": "logistic",
    "predictor_type": "binary_classifier",
    "metrics_params": {
        "quantile": None,
        "huber_delta": None,
        "margin": None,
        "loss_insensitivity": None,
        "eps_insensitive_loss_type": None,
        "accuracy_top_k": 3,
        "f_beta": 1.0,
        "positive_example_weight_mult": 1.0,
        "class_weights": None,
        "threshold": THRESHOLD,
    },
}


def array_file(**arrays: np.ndarray) -> bytes:
    """MXNet's array file, written from its description."""
    parts = [struct.pack("<3Q", 0x112, 0, len(arrays))]
    for array in arrays.values():
        head = struct.pack(f"<IiI{array.ndim}q3i", 0xF993FAC9, 0, array.ndim, *array.shape, 1, 0, 0)
        parts.append(head + array.astype("<f4").tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    parts += [struct.pack("<Q", 4 + len(name)) + b"arg:" + name.encode() for name in arrays]
    return b"".join(parts)


def artifact(folder: Path, parameters: Any = PARAMETERS, **arrays: np.ndarray) -> Path:
    """What the original leaves, written with the standard library."""
    if not arrays:
        arrays = {"fc0_weight": np.array(WEIGHTS)[:, None], "fc0_bias": np.array([[BIAS]])}
    content = parameters if isinstance(parameters, bytes) else json.dumps(parameters).encode()
    with zipfile.ZipFile(folder / "model_algo-1", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("manifest.json", '{"mx-mod": "mxnet_module", "additional-params.json": "json", "version": 1}')
        archive.writestr("mx-mod-symbol.json", "{}")
        archive.writestr("mx-mod-0000.params", array_file(**arrays))
        archive.writestr("additional-params.json", content)
    return folder


def test_the_golden_artifact_gives_the_published_replies(tmp_path: Path) -> None:
    model = load(artifact(tmp_path))
    assert (model.feature_dim, model.outputs) == (14, 1)
    found = model.predict(Batch(np.array(list(GOLDEN), np.float32)))
    # The original computes in single precision.
    assert_allclose(found["score"], [score for score, _ in GOLDEN.values()], atol=1e-7, rtol=0)
    assert found["predicted_label"].tolist() == [label for _, label in GOLDEN.values()]
    line = encode(found, "application/jsonlines").split(b"\n")[0]
    assert line.startswith(b'{"predicted_label":1,"score":0.98997735977172')  # compact, sorted, an integer
    assert float(line.partition(b'"score":')[2][:-1]) == pytest.approx(0.989977359771728, abs=1e-15)


def some_model(kind: str, features: int = 5, classes: int = 4, seed: int = 0) -> LinearModel:
    rng = np.random.default_rng(seed)
    outputs = classes if kind == "multiclass_classifier" else 1
    names = {"regressor": "squared_loss", "logistic": "logistic", "hinge_loss": "hinge_loss"}
    predictor = kind if kind in ("regressor", "multiclass_classifier") else "binary_classifier"
    return LinearModel(
        rng.normal(size=(features, outputs)).astype(np.float32),
        rng.normal(size=outputs).astype(np.float32) if seed % 2 == 0 else None,
        predictor,
        names.get(kind, "softmax_loss"),
        0.4 if predictor == "binary_classifier" else None,
        {"accuracy_top_k": 3, "f_beta": 1.0, "margin": 1.0},
    )


KINDS = ("regressor", "logistic", "hinge_loss", "multiclass_classifier")


def expected(model: LinearModel, x: np.ndarray) -> Arrays:
    """Replies by the formulas of the textbook."""
    z = x.astype(np.float64) @ model.weights.astype(np.float64) + (0 if model.bias is None else model.bias)
    if model.predictor_type == "multiclass_classifier":
        powers = np.exp(z)
        return {"predicted_label": z.argmax(axis=1), "score": powers / powers.sum(axis=1, keepdims=True)}
    scores = 1 / (1 + np.exp(-z[:, 0])) if model.loss == "logistic" else z[:, 0]
    return {"score": scores} | ({} if model.threshold is None else {"predicted_label": scores >= model.threshold})


@pytest.mark.parametrize("seed", [0, 1], ids=["bias", "no bias"])
@pytest.mark.parametrize("kind", KINDS)
def test_saved_loaded_and_predicted(kind: str, seed: int, tmp_path: Path) -> None:
    model = some_model(kind, seed=seed)
    model.save(tmp_path, "algo-7")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model_algo-7"]
    again = load(tmp_path)
    assert (again.predictor_type, again.loss, again.threshold) == (model.predictor_type, model.loss, model.threshold)
    assert dict(again.metrics_params) == dict(model.metrics_params)
    x = np.random.default_rng(9).normal(size=(40, 5)).astype(np.float32)
    replies = again.predict(Batch(x))
    for name, column in expected(model, x).items():
        assert_allclose(replies[name], column, rtol=1e-6, atol=1e-7)
    for name, column in model.predict(Batch(x)).items():
        assert_array_equal(replies[name], column)
    assert list(replies) == sorted(replies)  # JSON's keys are sorted, as the original's


@pytest.mark.parametrize("width", [1, 7, 100, 785])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_replies_do_not_depend_on_batching(kind: str, sparse: bool, width: int) -> None:
    model = some_model(kind, features=width)
    rng = np.random.default_rng(width)
    x = (rng.normal(size=(3000 if width < 100 else 300, width)) * (rng.random(width) < 0.5)).astype(np.float32)
    features: Any = csr_array(x) if sparse else x
    whole = model.predict(Batch(features))
    for size in (1, 3, 64, 257):
        starts = range(0, len(x), size) if size > 1 else range(40)
        parts = [model.predict(Batch(features[start : start + size])) for start in starts]
        for name, column in whole.items():
            joined = np.concatenate([part[name] for part in parts])
            assert_array_equal(joined, column[: len(joined)])
    columns = model.predict(Batch(np.asfortranarray(x) if not sparse else csr_array(x.astype(np.float64))))
    for name, column in whole.items():
        assert_array_equal(columns[name], column)


def test_sparse_and_dense_records_get_equal_replies() -> None:
    for kind in KINDS:
        model = some_model(kind, features=30)
        x = np.random.default_rng(0).normal(size=(50, 30)).astype(np.float32)
        x[x < 0.5] = 0
        for name, column in model.predict(Batch(x)).items():
            assert_allclose(model.predict(Batch(csr_array(x)))[name], column, rtol=2e-7)
    empty = some_model("logistic").predict(Batch(csr_array((0, 5))))
    assert {name: column.shape for name, column in empty.items()} == {"predicted_label": (0,), "score": (0,)}


def test_replies_in_every_content_type() -> None:
    x = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    found = some_model("multiclass_classifier").predict(Batch(x))
    (first, second) = json.loads(encode(found, "application/json"))["predictions"]
    assert isinstance(first["predicted_label"], int)
    assert second["score"] == found["score"][1].tolist()
    lines = encode(found, "application/jsonlines").decode().split("\n")
    assert [json.loads(line) for line in lines] == [first, second]
    payload = next(iter(records(encode(found, "application/x-recordio-protobuf"))))
    label = Record.FromString(payload).label
    assert sorted(label) == ["predicted_label", "score"]
    assert_array_equal(label["score"].float32_tensor.values, found["score"][0])
    assert list(label["predicted_label"].float32_tensor.values) == [first["predicted_label"]]
    (only,) = json.loads(encode(some_model("regressor").predict(Batch(x[:1])), "application/json"))["predictions"]
    assert list(only) == ["score"]


def test_extreme_margins_give_finite_scores() -> None:
    x = np.array([[1e30], [-1e30], [0]], np.float32)
    for kind in ("logistic", "multiclass_classifier"):
        scores = some_model(kind, features=1).predict(Batch(x))["score"]
        assert np.isfinite(scores).all()
        assert ((scores >= 0) & (scores <= 1)).all()


WEIGHT = np.ones((3, 1))
WRONG: dict[str, tuple[Any, dict[str, np.ndarray], str]] = {
    "not JSON": (b"{", {}, "additional-params.json is no JSON"),
    "deep": (b"[" * 10**5, {}, "additional-params.json is no JSON"),
    "a list": ([], {}, "got a list, expected an object"),
    "no task": ({}, {}, "got predictor_type 'None', expected one of regressor, binary_classifier, multiclass_"),
    "other task": (PARAMETERS | {"predictor_type": ["x"]}, {}, "got predictor_type"),
    "other loss": (PARAMETERS | {"loss_type": "zero"}, {}, "got loss_type 'zero', expected one of logistic, hinge_l"),
    "no threshold": (PARAMETERS | {"threshold": None}, {}, "got threshold None, expected a finite number"),
    "nan threshold": (PARAMETERS | {"threshold": np.nan}, {}, "got threshold nan"),
    "large threshold": (PARAMETERS | {"threshold": 10**400}, {}, "got threshold 1000"),
    "true threshold": (PARAMETERS | {"threshold": True}, {}, "got threshold True"),
    "no weights": (PARAMETERS, {"fc1_weight": WEIGHT}, "expected an array arg:fc0_weight"),
    "one axis": (PARAMETERS, {"fc0_weight": np.ones(3)}, "expected an array arg:fc0_weight"),
    "nothing": (PARAMETERS, {"fc0_weight": np.ones((0, 1))}, "expected an array arg:fc0_weight"),
    "classes": (PARAMETERS, {"fc0_weight": np.ones((3, 2))}, r"got weights of shape \(3, 2\) for a binary_classifier"),
    "one class": (PARAMETERS | {"predictor_type": "multiclass_classifier"}, {"fc0_weight": WEIGHT}, "for a multiclass"),
    "long bias": (PARAMETERS, {"fc0_weight": WEIGHT, "fc0_bias": np.ones(3)}, r"bias of shape \(3,\), expected \(1, 1"),
    "nan": (PARAMETERS, {"fc0_weight": WEIGHT * np.nan}, "a weight is nan or infinite"),
    "infinite": (PARAMETERS, {"fc0_weight": WEIGHT, "fc0_bias": np.full((1, 1), np.inf)}, "a weight is nan or infinit"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_artifacts_get_one_sentence(kind: str, tmp_path: Path) -> None:
    parameters, arrays, text = WRONG[kind]
    with pytest.raises(UserError, match=text) as caught:
        load(artifact(tmp_path, parameters, **arrays))
    assert str(caught.value).startswith("model_algo-1: ")
    assert len(str(caught.value)) < 300


def test_damaged_artifacts_are_refused(tmp_path: Path) -> None:
    content = (artifact(tmp_path) / "model_algo-1").read_bytes()
    changed = content.replace(struct.pack("<f", WEIGHTS[3]), struct.pack("<f", 1))
    assert changed != content
    for wrong in (b"", content[:-1], content + b"\0", b"PK" * 300, changed):
        (tmp_path / "model_algo-1").write_bytes(wrong)
        with pytest.raises(UserError, match=r"^model_algo-1: .*ZIP archive"):
            load(tmp_path)
    (tmp_path / "model_algo-1").unlink()
    (tmp_path / "model_algo-1.tar.gz").touch()
    with pytest.raises(UserError, match="The model has no file model_<host>"):
        load(tmp_path)


def settings(predictor_type: str = "binary_classifier", **more: object) -> LinearLearnerHyperparameters:
    given = {"predictor_type": predictor_type, **more}
    return LinearLearnerHyperparameters.from_strings({name: str(value) for name, value in given.items()})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ("accuracy", 1.0)),
        ({"f_beta": 2}, ("accuracy", 2.0)),
        ({"binary_classifier_model_selection_criteria": "f_beta", "f_beta": 2}, ("f_beta", 2.0)),
        ({"binary_classifier_model_selection_criteria": "f1", "f_beta": 2}, ("f_beta", 1.0)),
    ],
)
def test_criteria(given: dict[str, object], found: tuple[str, float]) -> None:
    asked = criterion(settings(**given))
    assert asked is not None
    assert (asked.name, asked.beta) == found


def test_targets_and_the_loss_as_criteria() -> None:
    name = "binary_classifier_model_selection_criteria"
    for given, held, target in (
        ("precision_at_target_recall", "recall", 0.9),
        ("recall_at_target_precision", "precision", 0.7),
    ):
        asked = criterion(settings(**{name: given}, target_recall=0.9, target_precision=0.7))
        assert asked is not None
        assert (asked.held, asked.target) == (held, target)
    assert criterion(settings(**{name: "loss_function"})) is None
    assert criterion(settings(**{name: "cross_entropy_loss"})) is None


def judged(predictor_type: str, **more: object) -> tuple[LinearModel, np.ndarray, np.ndarray]:
    """A model chosen among three, by records that it is then asked about."""
    given = settings(predictor_type, **more)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(800, 4)).astype(np.float32)
    outputs = given.outputs
    weights = rng.normal(size=(4, 3, outputs)).astype(np.float32)
    truth = x @ weights[:, 1] + rng.normal(size=(800, outputs))
    labels = {"regressor": truth[:, 0], "binary_classifier": truth[:, 0] > 1}.get(predictor_type, truth.argmax(axis=1))
    labels = np.asarray(labels, np.float32)
    found = evaluation(given, given.loss_function, 3)
    found.update_margins(np.einsum("ij,jmo->imo", x, weights), labels, None)
    choice = found.choose()
    history: Any = [{"train": [3.0, 2, np.nan], "validation": [3.5, 2.5, np.inf]}] * 2
    candidates = [{"wd": wd} for wd in (0, 0.1, 1)]
    model = linear_model(given, choice, found, weights[:, choice.candidate], np.zeros(outputs), candidates, history)
    return model, x, labels


@pytest.mark.parametrize("more", [{}, {"loss": "hinge_loss"}, {"loss": "hinge_loss", "margin": "40"}])
def test_without_a_criterion_the_threshold_is_where_the_score_is_half(more: dict[str, object]) -> None:
    model, x, labels = judged("binary_classifier", binary_classifier_model_selection_criteria="loss_function", **more)
    assert model.threshold == 0.5
    taken = model.predict(Batch(x))["predicted_label"]
    assert 0 < taken.mean() < 1
    assert metrics.accuracy_score(labels, taken) == model.metrics["binary_classification_accuracy"]


@pytest.mark.parametrize("more", [{}, {"loss": "hinge_loss"}, {"binary_classifier_model_selection_criteria": "f1"}])
def test_the_threshold_in_the_artifact_gives_the_scores_that_were_printed(
    more: dict[str, object], tmp_path: Path
) -> None:
    model, x, labels = judged("binary_classifier", **more)
    model.save(tmp_path, "algo-1")
    found = load(tmp_path).predict(Batch(x))["predicted_label"]
    assert metrics.accuracy_score(labels, found) == model.metrics["binary_classification_accuracy"]
    assert metrics.f1_score(labels, found) == pytest.approx(model.metrics["binary_f_1.000"])
    assert 0 < model.threshold < 1  # type: ignore[operator]
    best = max(metrics.f1_score(labels, x @ model.weights[:, 0] >= edge) for edge in np.linspace(-3, 3, 200))
    if more.get("binary_classifier_model_selection_criteria"):
        assert model.metrics["binary_f_1.000"] >= best - 1e-9


@pytest.mark.parametrize("predictor_type", ["regressor", "binary_classifier", "multiclass_classifier"])
def test_an_evaluation_of_the_model_repeats_its_scores(predictor_type: str) -> None:
    model, x, labels = judged(predictor_type, **({"num_classes": 4} if "multi" in predictor_type else {}))
    again = evaluate(model, settings(predictor_type, **({"num_classes": 4} if "multi" in predictor_type else {})))
    for start in range(0, len(x), 77):
        again.update(Batch(x[start : start + 77], labels[start : start + 77]))
    assert again.finalise() == pytest.approx(dict(model.metrics), rel=1e-5)


def test_the_test_loss_is_weighted_as_the_training_was() -> None:
    model, x, labels = judged("binary_classifier")
    weights = np.array([1.0, 7.0])
    plain = LinearModel(model.weights, model.bias, model.predictor_type, model.loss, model.threshold)
    weighted = LinearModel(
        model.weights, model.bias, model.predictor_type, model.loss, 0.5, {"positive_example_weight_mult": 7.0}
    )
    for one, of_class in ((plain, np.ones(2)), (weighted, weights)):
        scores = evaluate(one, settings())
        scores.update(Batch(x, labels))
        chances = one.predict(Batch(x))["score"].astype(np.float64)
        losses = -np.where(labels > 0, np.log(chances), np.log(1 - chances)) * of_class[labels.astype(int)]
        objective = scores.finalise()["binary_classification_cross_entropy_objective"]
        assert objective == pytest.approx(losses.mean(), rel=1e-5)


def test_what_readers_are_told(tmp_path: Path) -> None:
    model, _, _ = judged("binary_classifier")
    model.save(tmp_path, "algo-1")

    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    facts = json.loads((tmp_path / "model.json").read_text(), parse_constant=refused)
    assert facts["algorithm"] == "linear-learner"
    assert facts["predictor_type"] == "binary_classifier"
    selection = facts["selection"]
    assert selection["winner"] == 1
    assert selection["criterion"] == "accuracy"
    assert selection["channel"] == "validation"
    assert selection["reason"].startswith("highest accuracy of 3 candidates, 0.")
    assert [one["hyperparameters"] for one in selection["candidates"]] == [{"wd": wd} for wd in (0, 0.1, 1)]
    assert selection["candidates"][1]["threshold"] == model.threshold
    assert selection["candidates"][1]["curves"] == {"validation": [2.5, 2.5], "train": [2.0, 2.0]}
    assert selection["candidates"][2]["curves"] == {"validation": [None, None], "train": [None, None]}


@pytest.mark.parametrize(
    ("change", "labels", "text"),
    [
        (lambda labels: None, 2, "got records with no labels, expected one label"),
        (lambda labels: labels + 1, 2, "got label 2, expected a whole number from 0 to 1"),
    ],
)
def test_labels_of_a_test_channel_are_checked(change: Callable[[Any], Any], labels: int, text: str) -> None:
    model, x, found = judged("binary_classifier")
    with pytest.raises(UserError, match=text):
        evaluate(model, settings()).update(Batch(x, change(found)))
