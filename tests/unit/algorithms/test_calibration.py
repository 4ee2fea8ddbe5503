"""Thresholds and areas from a histogram, against scikit-learn and counting by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, fbeta_score, precision_recall_curve, roc_auc_score

from algorithms.numerics.calibration import Criterion, Histogram
from algorithms.numerics.counting import count

NAMES = ("accuracy", "f_beta", "precision_at_target_recall", "recall_at_target_precision")


def told_apart(records: int, seed: int, positive: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Margins of three candidates on a grid of 1/64, so that bins hold equals only; and classes."""
    rng = np.random.default_rng(seed)
    labels = rng.random(records) < positive
    spread = np.array([0.05, 2.0, 7.0])
    margins = (rng.normal(size=(records, 3)) + labels[:, None]) * spread
    return (np.round(margins * 64) / 64).astype(np.float32), labels


def histogram(
    margins: np.ndarray,
    labels: np.ndarray,
    cuts: tuple[int, ...] = (),
    centre: float = 0.0,
    most: int | None = None,
) -> Histogram:
    counted = Histogram(margins.shape[1], centre, most=most)
    for some, theirs in zip(np.split(margins, cuts), np.split(labels, cuts), strict=True):
        counted.add(some, theirs)
    return counted


def same(one: Histogram, other: Histogram) -> bool:
    return np.array_equal(one.counts, other.counts) and np.array_equal(one.ranges, other.ranges)


def best_by_counting(margins: np.ndarray, labels: np.ndarray, criterion: Criterion) -> float:
    """The criterion at the best of all thresholds, from scikit-learn; -1 when the target is out of reach."""
    taken = [margins >= threshold for threshold in [*np.unique(margins), np.inf]]
    if criterion.name == "accuracy":
        return max(float((each == labels).mean()) for each in taken)
    if criterion.name == "f_beta":
        return max(fbeta_score(labels, each, beta=criterion.beta, zero_division=0) for each in taken)
    precision, recall, _ = precision_recall_curve(labels, margins)
    precision, recall = precision[:-1], recall[:-1]  # the last is a convention, not a threshold
    value, held = (precision, recall) if criterion.held == "recall" else (recall, precision)
    return float(value[held >= criterion.target].max(initial=-1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("records", "positive"), [(50, 0.3), (2000, 0.5), (5000, 0.002)])
def test_the_best_threshold_is_the_best_of_all(name: str, records: int, positive: float) -> None:
    margins, labels = told_apart(records, records, positive)
    criterion = Criterion(name, beta=2.0, target=0.6)
    counted = histogram(margins, labels)
    found = counted.thresholds(criterion)
    for candidate in range(3):
        scores = margins[:, candidate]
        expected = best_by_counting(scores, labels, criterion)
        assert found.reached[candidate] == (expected >= 0)
        if expected >= 0:
            assert found.values[candidate] == pytest.approx(expected, abs=1e-12)
        at = counted.confusion(candidate, found.margins[candidate])
        taken = scores >= found.margins[candidate]
        assert confusion_matrix(labels, taken).tolist() == [
            [at.true_negatives, at.false_positives],
            [at.false_negatives, at.true_positives],
        ]
        assert at.f(1.0) == pytest.approx(f1_score(labels, taken, zero_division=0))


@pytest.mark.parametrize("positive", [0.5, 0.001])
def test_areas_are_those_of_scikit_learn(positive: float) -> None:
    margins, labels = told_apart(20_000, 3, positive)
    expected = [roc_auc_score(labels, margins[:, candidate]) for candidate in range(3)]
    assert histogram(margins, labels).auc() == pytest.approx(expected, abs=1e-12)


def test_areas_of_margins_that_share_bins_are_close() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.2
    margins = rng.normal(size=(20_000, 1)) * 1e-3 - 5 + 1e-3 * labels[:, None]  # a candidate that hardly differs
    assert histogram(margins, labels).auc()[0] == pytest.approx(roc_auc_score(labels, margins), abs=2e-4)


@settings(max_examples=60, deadline=None)
@given(
    margins=st.lists(
        st.tuples(st.floats(-80, 80, width=32), st.floats(5, 5.0625, width=32), st.booleans()),
        min_size=2,
        max_size=30,
    ),
    data=st.data(),
)
def test_order_cuts_and_merges_do_not_matter(margins: list[tuple[float, float, bool]], data: st.DataObject) -> None:
    table = np.array([each[:2] for each in margins], np.float32)
    labels = np.array([each[2] for each in margins])
    whole = histogram(table, labels)
    order = data.draw(st.permutations(range(len(labels))))
    cuts = tuple(sorted(data.draw(st.lists(st.integers(0, len(labels)), max_size=4))))
    assert same(histogram(table[order], labels[order], cuts), whole)
    left, right = histogram(table[: len(table) // 2], labels[: len(table) // 2]), Histogram(2)
    right.merge(histogram(table[len(table) // 2 :], labels[len(table) // 2 :]))
    right.merge(left)
    left.merge(Histogram(2))
    assert same(right, whole)
    assert left.counts.sum() == 2 * (len(table) // 2)


@pytest.mark.parametrize("cuts", [(), (999,), (1000,), (7, 500, 1001, 1002)])
def test_the_first_records_choose_the_threshold_and_all_are_scored(cuts: tuple[int, ...]) -> None:
    margins, labels = told_apart(3000, 5)
    labels = labels | (np.arange(3000) >= 1000) & (margins[:, 1] > -1)  # another threshold would fit these
    criterion = Criterion("accuracy")
    few, counted = histogram(margins[:1000], labels[:1000]), histogram(margins, labels, cuts, most=1000)
    expected, found = few.thresholds(criterion), counted.thresholds(criterion)
    assert found.values == pytest.approx(expected.values)
    for candidate in range(3):
        taken = margins[:, candidate] >= found.margins[candidate]
        assert (taken[:1000] == labels[:1000]).mean() == pytest.approx(expected.values[candidate])
        assert counted.confusion(candidate, found.margins[candidate]).accuracy == (taken == labels).mean()
    assert found.margins[1] != histogram(margins, labels).thresholds(criterion).margins[1]
    assert counted.auc() == pytest.approx(histogram(margins, labels).auc())


def test_merged_histograms_choose_by_no_more_records_than_allowed() -> None:
    margins, labels = told_apart(300, 5)
    parts = [
        histogram(margins[part], labels[part], most=150) for part in (slice(100), slice(100, 140), slice(140, 300))
    ]
    for part in parts[1:]:
        parts[0].merge(part)
    assert parts[0].counts[:, :2].sum(axis=(1, 2)).tolist() == [140] * 3
    assert parts[0].auc() == pytest.approx(histogram(margins, labels).auc())


def test_no_record_is_on_the_other_side_of_a_threshold() -> None:
    """Also of margins beyond reach, infinite ones and nan, which is taken for the lowest."""
    rng = np.random.default_rng(1)
    margins = (rng.standard_cauchy((4000, 1)) * 5).astype(np.float32)
    margins[:3, 0] = np.inf, -np.inf, np.nan
    labels = rng.random(4000) < 0.5 + 0.4 * np.tanh(np.nan_to_num(margins[:, 0]))
    counted = histogram(margins, labels)
    for name in NAMES:
        margin = counted.thresholds(Criterion(name)).margins[0]
        at, taken = counted.confusion(0, margin), margins[:, 0] >= margin
        assert (at.true_positives, at.false_positives) == (int((taken & labels).sum()), int((taken & ~labels).sum()))


def test_of_equal_thresholds_the_one_nearest_the_centre_is_taken() -> None:
    apart = np.array([[-3.0], [-2.0], [2.0], [4.0]], np.float32)
    labels = np.array([False, False, True, True])
    assert histogram(apart, labels).thresholds(Criterion("accuracy")).margins[0] == 0
    assert histogram(apart, labels, centre=0.5).thresholds(Criterion("accuracy")).margins[0] == 0.5
    above = histogram(apart + 10, labels).thresholds(Criterion("accuracy"))
    assert above.values[0] == 1
    assert 8 < above.margins[0] < 8.01  # just above the negatives


def test_the_centre_is_a_threshold_at_any_width() -> None:
    margins = np.array([[0.3], [0.29999], [0.30001], [29.0]])
    labels = np.array([True, True, False, True])
    at = histogram(margins, labels, centre=0.3).confusion(0, 0.3)
    assert (at.true_positives, at.false_positives, at.false_negatives) == (2, 1, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["empty", "positives", "negatives"])
def test_one_class_or_none(name: str, kind: str) -> None:
    margins = np.empty((0, 2)) if kind == "empty" else np.random.default_rng(0).normal(size=(20, 2))
    counted = histogram(margins, np.full(len(margins), kind == "positives"))
    found = counted.thresholds(Criterion(name))
    assert np.isfinite(found.margins).all()
    assert np.isnan(counted.auc()).all()
    if kind == "positives" or (kind == "negatives" and name == "accuracy"):
        assert found.values.tolist() == [1, 1]
    else:
        assert np.isnan(found.values).all()
        assert not found.reached.any()


def test_a_target_out_of_reach_is_approached() -> None:
    margins = np.array([[0.0], [1], [2], [3], [4]])
    labels = np.array([True, False, True, True, False])
    found = histogram(margins, labels).thresholds(Criterion("recall_at_target_precision", target=0.9))
    assert not found.reached[0]
    assert found.values[0] == pytest.approx(2 / 3)  # the best precision that there is, at 2


def test_many_candidates_share_the_memory_and_keep_their_counts() -> None:
    rng = np.random.default_rng(0)
    margins, labels = rng.normal(size=(300, 500)).astype(np.float32), rng.random(300) < 0.5
    counted = histogram(margins, labels, cuts=(7, 150))
    assert counted.counts.nbytes <= 2**24
    assert (counted.counts.sum(axis=(1, 2)) == 300).all()
    assert counted.auc()[77] == pytest.approx(roc_auc_score(labels, margins[:, 77]), abs=2e-3)


def test_candidates_are_kept_from_another_histogram() -> None:
    margins, labels = told_apart(100, 0)
    kept, other = histogram(margins, labels), histogram(4 * margins, ~labels)
    kept.keep(np.array([False, True, False]), other)
    for candidate, source in enumerate((histogram(margins, labels), other, histogram(margins, labels))):
        assert np.array_equal(kept.counts[candidate], source.counts[candidate])
        assert (kept.ranges[:, candidate] == source.ranges[:, candidate]).all()


@pytest.mark.parametrize(
    ("value", "kind", "records"), [(16.0, 0, 2), (-1.0, 0, 2), (1.0, 2, 2), (np.inf, 0, 2), (1.0, 0, 3)]
)
def test_compiled_counting_keeps_inside_the_counts(value: float, kind: int, records: int) -> None:
    counts = np.zeros((1, 2, 16), np.int64)
    with pytest.raises(ValueError, match=r"outside the counts|one class for each record"):
        count(np.array([[value], [1.0]]), np.full(records, kind, np.uint8), np.ones(1), np.zeros(1, np.int64), counts)
