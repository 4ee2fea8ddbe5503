"""Scores from sums, against scikit-learn; and the choice of a candidate, with its reason."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.special import softmax
from sklearn import metrics

from algorithms.numerics.calibration import Criterion, Histogram
from algorithms.numerics.evaluation import Evaluation, labels_of
from algorithms.numerics.tallies import Errors, ManyClasses, TwoClasses
from recordio.batch import Batch
from recordio.errors import UserError


@dataclass(frozen=True)
class Distance:
    """A loss that says how far the first margin is from the label."""

    objective: str = "distance"

    def value(self, margins: Any, labels: Any, weights: Any) -> Any:
        values = np.abs(margins[:, :, 0] - labels[:, None])
        return values if weights is None else values * weights[:, None]


def two_classes(candidates: int, criterion: Criterion | None = None, **more: Any) -> Evaluation:
    return Evaluation(Distance(), TwoClasses(Histogram(candidates), criterion, 1.0), candidates, **more)


def seen(evaluation: Evaluation, margins: np.ndarray, labels: np.ndarray, parts: int = 3) -> Evaluation:
    for some, theirs in zip(np.array_split(margins, parts), np.array_split(labels, parts), strict=True):
        evaluation.update_margins(some, theirs)
    return evaluation


def test_regression() -> None:
    rng = np.random.default_rng(0)
    labels, margins = rng.normal(3, 2, 1000), rng.normal(3, 2, (1000, 4, 1))
    found = seen(Evaluation(Distance(), Errors(4), 4), margins, labels)
    for candidate in range(4):
        scores = found.scores(candidate, np.nan)
        mean = metrics.mean_absolute_error(labels, margins[:, candidate, 0])
        assert scores["mse"] == pytest.approx(metrics.mean_squared_error(labels, margins[:, candidate, 0]))
        assert scores["rmse"] == pytest.approx(metrics.root_mean_squared_error(labels, margins[:, candidate, 0]))
        assert scores["absolute_loss"] == scores["distance_objective"] == pytest.approx(mean)
    assert found.choose().candidate == found.losses().argmin()


@pytest.mark.parametrize("margin", [0.0, 0.5, -1.25])
def test_two_classes(margin: float) -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random(3000) < 0.1).astype(np.float32)
    margins = np.round(rng.normal(size=(3000, 2, 1)) * 32 + 16 * labels[:, None, None]) / 32
    found = seen(Evaluation(Distance(), TwoClasses(Histogram(2), None, 2.0), 2), margins, labels)
    for candidate in range(2):
        scores, taken = found.scores(candidate, margin), margins[:, candidate, 0] >= margin
        assert scores.pop("distance_objective") == pytest.approx(np.abs(margins[:, candidate, 0] - labels).mean())
        assert scores == pytest.approx(
            {
                "binary_classification_accuracy": metrics.accuracy_score(labels, taken),
                "binary_f_2.000": metrics.fbeta_score(labels, taken, beta=2),
                "precision": metrics.precision_score(labels, taken),
                "recall": metrics.recall_score(labels, taken),
                "roc_auc_score": metrics.roc_auc_score(labels, margins[:, candidate, 0]),
            }
        )


@pytest.mark.parametrize(("classes", "records"), [(3, 2000), (12, 40)])
def test_many_classes(classes: int, records: int) -> None:
    """Of twelve classes and forty records some never come up: they count for nothing, as in scikit-learn."""
    rng = np.random.default_rng(2)
    labels = rng.choice(classes - 1, records)
    margins = rng.normal(size=(records, 2, classes)) + 2 * (np.arange(classes) == labels[:, None])[:, None]
    found = seen(Evaluation(Distance(), ManyClasses(2, classes, 2, 0.5), 2), margins, labels.astype(np.float32))
    for candidate in range(2):
        scores, mine = found.scores(candidate, np.nan), margins[:, candidate]
        taken = mine.argmax(axis=1)
        truth = np.arange(classes) == labels[:, None]
        precision, recall, f, _ = metrics.precision_recall_fscore_support(
            labels, taken, beta=0.5, average="macro", zero_division=0
        )
        scores.pop("distance_objective")
        assert scores == pytest.approx(
            {
                "multiclass_accuracy": metrics.accuracy_score(labels, taken),
                "multiclass_top_k_accuracy_2": metrics.top_k_accuracy_score(labels, mine, k=2, labels=range(classes)),
                "dcg": metrics.dcg_score(truth, mine),
                "macro_recall": recall,
                "macro_precision": precision,
                "macro_f_0.500": f,
                "multiclass_balanced_accuracy": metrics.recall_score(
                    labels, taken, average="macro", labels=np.unique(labels)
                ),
                "multiclass_log_loss": metrics.log_loss(labels, softmax(mine, axis=1), labels=range(classes)),
            }
        )


def test_equal_margins_go_to_the_first_class() -> None:
    found = seen(Evaluation(Distance(), ManyClasses(1, 3, 2, 1.0), 1), np.zeros((3, 1, 3)), np.arange(3.0), parts=1)
    scores = found.scores(0, np.nan)
    assert scores["multiclass_accuracy"] == pytest.approx(1 / 3)
    assert scores["multiclass_top_k_accuracy_2"] == pytest.approx(2 / 3)
    assert scores["dcg"] == pytest.approx((1 + 1 / np.log2(3) + 1 / 2) / 3)


def test_weights_enter_the_loss_and_nothing_else() -> None:
    margins, labels = np.array([[[1.0]], [[2.0]]]), np.array([0.0, 1.0])
    weighted = two_classes(1)
    weighted.update_margins(margins, labels, np.array([1.0, 5.0]))
    assert weighted.losses().tolist() == [(1 + 5) / 2]
    assert weighted.scores(0, 1.5)["binary_classification_accuracy"] == 1
    known = two_classes(1)
    known.update_margins(margins, labels, None, losses=np.array([[7.0], [8.0]]))
    assert known.losses().tolist() == [7.5]


def kinds(candidates: int) -> list[Evaluation]:
    return [
        Evaluation(Distance(), Errors(candidates), candidates),
        two_classes(candidates, Criterion("f_beta")),
        Evaluation(Distance(), ManyClasses(candidates, 3, 2, 1.0), candidates),
    ]


@pytest.mark.parametrize("kind", range(3))
def test_cleared_sums_begin_anew(kind: int) -> None:
    rng = np.random.default_rng(4)
    margins, labels = rng.integers(-9, 9, (80, 4, 3)) / 4, rng.integers(0, 2, 80).astype(np.float32)
    cleared = seen(kinds(4)[kind], margins[:50], labels[:50])
    cleared.clear()
    assert np.isnan(cleared.losses()).all()
    fresh = seen(kinds(4)[kind], margins[50:], labels[50:])
    seen(cleared, margins[50:], labels[50:])
    for candidate in range(4):
        assert cleared.scores(candidate, 0.0) == fresh.scores(candidate, 0.0)


@pytest.mark.parametrize("kind", range(3))
def test_merging_saving_and_keeping(kind: int) -> None:
    rng = np.random.default_rng(3)
    margins, labels = rng.normal(size=(90, 4, 3)), rng.integers(0, 2, 90).astype(np.float32)
    whole = seen(kinds(4)[kind], margins, labels)
    left, right = seen(kinds(4)[kind], margins[:40], labels[:40]), kinds(4)[kind]
    right.restore(seen(kinds(4)[kind], margins[40:], labels[40:]).arrays())
    left.merge(kinds(4)[kind])
    right.merge(left)
    choice = whole.choose()
    for candidate, margin in enumerate(choice.margins):
        assert right.scores(candidate, margin) == pytest.approx(whole.scores(candidate, margin))
    kept, other = seen(kinds(4)[kind], margins, labels), seen(kinds(4)[kind], -margins[:50], labels[:50])
    before = whole.arrays()
    kept.keep(np.array([True, False, False, True]), other)
    for candidate, source in enumerate((other, whole, whole, other)):
        assert kept.scores(candidate, 0.0) == source.scores(candidate, 0.0)
    for name, values in whole.arrays().items():
        assert_array_equal(values, before[name])


@pytest.mark.parametrize("kind", range(3))
def test_empty_evaluations_give_nan_and_the_first_candidate(kind: int) -> None:
    empty = kinds(2)[kind]
    assert all(np.isnan(value) for value in empty.finalise().values())
    choice = empty.choose()
    assert choice.candidate == 0
    assert choice.reason == "there were no records to judge by"


def test_one_class_is_judged_by_the_loss() -> None:
    margins = np.array([[[0.5], [0.1]], [[0.4], [0.2]]])
    choice = seen(two_classes(2, Criterion("f_beta")), margins, np.zeros(2)).choose()
    assert choice.candidate == 1
    assert choice.margin == 0
    assert choice.reason == (
        "lowest distance_objective of 2 candidates, 0.15; candidate 0 has 0.45; "
        "f_beta has no meaning, since no record is positive"
    )
    scores = seen(two_classes(2), margins, np.zeros(2)).scores(0, 0.45)
    assert scores["binary_classification_accuracy"] == 0.5
    assert all(np.isnan(scores[name]) for name in ("recall", "precision", "binary_f_1.000", "roc_auc_score"))


def test_the_highest_criterion_wins_then_the_lowest_loss() -> None:
    labels = np.array([0.0, 0, 1, 1])
    margins = np.array([[3, -1, 3], [-1, -2, -2], [2, 1, 1], [1, 2, 1.5]])[:, [0, 2, 1]]
    found = seen(two_classes(3, Criterion("accuracy")), margins[:, :, None], labels)
    choice = found.choose()
    assert choice.candidate == 2
    assert choice.criterion == "accuracy"
    assert choice.values.tolist() == [0.75, 0.75, 1]
    assert choice.reason == "highest accuracy of 3 candidates, 1; candidate 0 has 0.75"
    tied = seen(two_classes(2, Criterion("accuracy")), np.array([[[-5], [-1]], [[5], [1]]]) * 1.0, labels[[0, 2]])
    assert tied.choose().candidate == 1
    assert tied.choose().reason == (
        "highest accuracy of 2 candidates, 1; 2 candidates have it, of which this one has the lowest loss"
    )


def test_a_candidate_that_reaches_the_target_beats_all_that_do_not() -> None:
    labels = np.array([0.0, 0, 1, 1, 1])
    never = [9.0, 8, 1, 2, 3]  # precision 0.6 at recall 1
    rarely = [2.0, -1, -2, -3, 9]  # precision 1 at recall 1/3
    found = seen(
        two_classes(2, Criterion("recall_at_target_precision", target=0.9)),
        np.array([never, rarely]).T[:, :, None],
        labels,
    )
    assert found.choose().candidate == 1
    assert found.choose().ranks == pytest.approx([2 - 0.6, 1 - 1 / 3])  # so that passes are compared alike
    assert found.choose().reason == ("highest recall of 2 candidates with a precision of at least 0.9, 0.333333")
    alone = seen(
        two_classes(1, Criterion("recall_at_target_precision", target=0.9)), np.array([never]).T[:, :, None], labels
    )
    assert alone.choose().reason == (
        "no candidate has a threshold with precision of at least 0.9; this one comes nearest, with 0.6"
    )


def test_what_diverged_is_never_chosen() -> None:
    margins = np.array([[[np.nan], [np.inf], [3.0]]])
    for criterion in (None, Criterion("accuracy")):
        with np.errstate(invalid="ignore"):
            choice = seen(two_classes(3, criterion), margins, np.ones(1), parts=1).choose()
        assert choice.candidate == 2
    with pytest.raises(UserError, match=r"The distance_objective of no candidate is finite: .* Lower learning_rate"):
        seen(two_classes(2), margins[:, :2], np.ones(1), parts=1).choose()


def test_a_scorer_is_asked_for_each_batch_and_a_set_threshold_is_kept() -> None:
    def scorer(batch: Batch) -> Any:
        return np.asarray(batch.features)[:, :, None], labels_of(batch, 2), None

    found = two_classes(1, scorer=scorer, margin=0.75)
    found.tally.histogram.centre = 0.75
    found.update(Batch(np.array([[0.7], [0.75], [0.8]]), np.array([1.0, 0, 1])))
    found.update(Batch(np.empty((0, 1)), None))
    assert found.finalise()["binary_classification_accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("labels", "classes", "text"),
    [
        (None, 0, "got records with no labels, expected one label for each record"),
        (np.zeros((2, 3)), 0, "got records with 3 labels, expected one label for each record"),
        (np.array([0, np.nan]), 0, "got label nan, expected a finite number"),
        (np.array([0, np.inf]), 2, "got label inf, expected a whole number from 0 to 1"),
        (np.array([1, 2]), 2, "got label 2, expected a whole number from 0 to 1"),
        (np.array([1, 0.5]), 3, "got label 0.5, expected a whole number from 0 to 2"),
        (np.array([-1, 1]), 2, "got label -1, expected a whole number from 0 to 1"),
    ],
)
def test_labels_are_checked(labels: Any, classes: int, text: str) -> None:
    with pytest.raises(UserError, match=f"^{text}$"):
        labels_of(Batch(np.zeros((2, 1)), labels), classes)


def test_labels_of_one_column_or_of_none() -> None:
    assert labels_of(Batch(np.zeros((2, 1)), np.array([[1], [0]])), 2).tolist() == [1, 0]
    assert labels_of(Batch(np.zeros((2, 1)), np.array([-1.5, 7]))).tolist() == [-1.5, 7]
