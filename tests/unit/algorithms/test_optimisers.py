"""The compiled steps against the same rules written out in NumPy, and against torch."""

import importlib.util

import numpy as np
import pytest

from algorithms.numerics import rows as compiled
from algorithms.numerics.optimisers import Descent, Rule, adagrad, adam, rmsprop, sgd
from algorithms.numerics.schedules import Schedule

RULES = {
    "sgd": sgd(0),
    "momentum": sgd(0.9),
    "adam": adam(0.9, 0.999),
    "rmsprop": rmsprop(0.9),
    "adagrad": adagrad(),
    "fading adam": adam(0.9, 0.999, memory=2),
    "fading adagrad": adagrad(memory=4),
    "no memory": sgd(0, memory=1),
}


def schedule(columns: int, decay: float = 0.0, shrinkage: float = 0.0, rate: float = 0.05) -> Schedule:
    """Rates differ by column, so that a mix-up would show."""

    def row(value: float) -> np.ndarray:
        return (value * np.linspace(1, 2, columns)).astype(np.float32)

    return Schedule(
        row(rate), np.full(columns, 0.9, np.float32), np.full(columns, 3), row(1e-3), row(decay), row(shrinkage)
    )


class Reference:
    """The rules of the module's docstring, one dense array after the other, in double precision."""

    def __init__(self, weights: np.ndarray, rule: Rule, plan: Schedule) -> None:
        self.rule, self.plan, self.steps = rule, plan, 0
        self.weights = weights.astype(float)
        self.average = self.weights.copy()
        self.first, self.second = np.zeros_like(self.weights), np.zeros_like(self.weights)
        self.counts = np.zeros((len(weights), 1))

    def step(self, gradient: np.ndarray, touched: np.ndarray) -> None:
        self.steps += 1
        rule, some, clock = self.rule, touched, min(self.steps, self.rule.memory)
        rate = np.maximum(self.plan.rates * 0.9 ** ((clock - 1) // 3), np.minimum(self.plan.least, self.plan.rates))
        self.counts[some] += 1
        move = gradient.astype(float)
        if rule.first:
            self.first[some] = rule.first[0] * self.first[some] + rule.first[1] * move
            move = self.first[some]
            if rule.corrected:
                move = move / (1 - rule.first[0] ** self.counts[some])
        speed = np.broadcast_to(rate, self.weights.shape).copy()
        if rule.second:
            self.second[some] = rule.second[0] * self.second[some] + rule.second[1] * gradient.astype(float) ** 2
            size = self.second.copy()
            if rule.corrected:
                size = size / np.maximum(1 - rule.second[0] ** self.counts, 1e-300)
            speed = rate / (np.sqrt(size) + 1e-8)
        self.weights[some] -= speed[some] * move
        started = self.counts[:, 0] > 0  # rows that never came have no speed
        shrunk = np.maximum(np.abs(self.weights) - speed * self.plan.shrinkage, 0)
        shrunk = np.sign(self.weights) * shrunk / (1 + speed * self.plan.decay)
        self.weights[started] = shrunk[started]
        clock = min(self.steps, 8 * self.rule.memory)
        self.average += (1 - ((clock - 1) / clock) ** 8) * (self.weights - self.average)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("decay", "shrinkage"), [(0, 0), (0.3, 0), (0, 0.02), (0.1, 0.01)])
def test_dense_steps_are_those_of_the_rules(name: str, decay: float, shrinkage: float) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(9, 7)).astype(np.float32)
    plan = schedule(7, decay, shrinkage)
    ours, reference = Descent(weights, RULES[name], plan), Reference(weights, RULES[name], plan)
    for _ in range(40):
        gradient = rng.normal(size=(9, 7)).astype(np.float32)
        ours.step(gradient)
        reference.step(gradient, np.arange(9))
    # 40 steps in single precision; adaptive rules divide by small roots at first.
    np.testing.assert_allclose(ours.weights, reference.weights, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(ours.average, reference.average, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", RULES)
def test_sparse_steps_touch_no_other_rows(name: str) -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(30, 5)).astype(np.float32)
    plan = schedule(5)
    ours, reference = Descent(weights, RULES[name], plan), Reference(weights, RULES[name], plan)
    for _ in range(60):
        rows = rng.permutation(30)[: rng.integers(1, 6)].astype(np.int32)
        gradient = rng.normal(size=(len(rows), 5)).astype(np.float32)
        np.testing.assert_allclose(ours.settled(rows), reference.weights[rows], rtol=2e-4, atol=2e-5)
        ours.step(gradient, rows)
        reference.step(gradient, rows)
    ours.settle()
    np.testing.assert_allclose(ours.weights, reference.weights, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(ours.average, reference.average, rtol=2e-4, atol=2e-5)


def test_penalties_of_untouched_rows_are_brought_up() -> None:
    """Soft thresholds add up exactly; decay over n steps is one implicit step n times as long."""
    flat = Schedule(
        *(np.ones(2, np.float32) for _ in range(2)), np.ones(2, np.int64), *(np.zeros(2, np.float32) for _ in range(3))
    )
    plan = Schedule(
        flat.rates, flat.factors, flat.steps, flat.least, np.array([0, 0.1], np.float32), np.array([0.1, 0], np.float32)
    )
    descent = Descent(np.full((2, 2), 3, np.float32), sgd(0), plan)
    both = np.array([0, 1], np.int32)
    descent.step(np.zeros((2, 2), np.float32), both)
    for _ in range(5):
        descent.step(np.zeros((1, 2), np.float32), both[:1])
    descent.settle()
    np.testing.assert_allclose(descent.weights[:, 0], 3 - 6 * 0.1, rtol=1e-6)
    np.testing.assert_allclose(descent.weights[:, 1], [3 / 1.1**6, 3 / 1.1 / 1.5], rtol=1e-6)


@pytest.mark.parametrize("rate", [0.01, 100])
def test_strong_penalties_are_stable(rate: float) -> None:
    plan = schedule(3, decay=10, rate=rate)
    descent = Descent(np.full((4, 3), 5, np.float32), adam(0.9, 0.999), plan)
    for _ in range(300):
        descent.step(np.full((4, 3), 0.1, np.float32))
    assert np.isfinite(descent.weights).all()
    assert (np.abs(descent.weights) <= 5).all()


@pytest.mark.parametrize("rule", [adam(0.9, 0.999), adagrad(), sgd(0)])
def test_l1_gives_exact_zeros_at_the_optimum(rule: Rule) -> None:
    """min sum (w - c)^2 / 2 + 0.5 |w|: the solution is the soft threshold of c."""
    target = np.array([[2.0], [0.3], [-0.2], [-1.0]], np.float32)
    one = np.ones(1, np.float32)
    plan = Schedule(0.05 * one, one, np.ones(1, np.int64), 0 * one, 0 * one, 0.5 * one)
    descent = Descent(np.ones((4, 1), np.float32), rule, plan)
    for _ in range(3000):
        descent.step(descent.weights - target)
    np.testing.assert_allclose(descent.weights, [[1.5], [0], [0], [-0.5]], atol=2e-3)
    assert (descent.weights[1:3] == 0).all()


@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="torch is not installed")
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adagrad"])
def test_steps_are_those_of_torch(name: str) -> None:
    import torch

    weights = np.random.default_rng(2).normal(size=(6, 3)).astype(np.float32)
    tensor = torch.tensor(weights.copy(), requires_grad=True)
    peer = {
        "sgd": lambda: torch.optim.SGD([tensor], lr=0.02),
        "momentum": lambda: torch.optim.SGD([tensor], lr=0.02, momentum=0.9),
        "adam": lambda: torch.optim.Adam([tensor], lr=0.02, eps=1e-8),
        "adagrad": lambda: torch.optim.Adagrad([tensor], lr=0.02, eps=1e-8),
    }[name]()
    one = np.ones(3, np.float32)
    ours = Descent(weights, RULES[name], Schedule(0.02 * one, one, np.ones(3, np.int64), 0 * one, 0 * one, 0 * one))
    rng = np.random.default_rng(3)
    for _ in range(50):
        gradient = rng.normal(size=(6, 3)).astype(np.float32)
        ours.step(gradient)
        tensor.grad = torch.tensor(gradient)
        peer.step()
    np.testing.assert_allclose(ours.weights, tensor.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_averages_of_noise_are_quieter() -> None:
    rng = np.random.default_rng(0)
    one = np.ones(200, np.float32)
    plan = Schedule(0.1 * one, one, np.ones(200, np.int64), 0 * one, 0 * one, 0 * one)
    descent = Descent(np.zeros((1, 200), np.float32), sgd(0), plan)
    for _ in range(1000):
        descent.step(descent.weights - rng.normal(size=(1, 200)).astype(np.float32))
    assert np.std(descent.average) < np.std(descent.weights) / 2


def test_nan_stays_in_its_column() -> None:
    descent = Descent(np.ones((3, 4), np.float32), adam(0.9, 0.999), schedule(4, 0.1, 0.1))
    gradient = np.ones((3, 4), np.float32)
    gradient[:, 1] = np.nan
    for _ in range(3):
        descent.step(gradient)
    assert np.isnan(descent.weights[:, 1]).all()
    assert np.isfinite(descent.weights[:, [0, 2, 3]]).all()


def test_rates_fall_to_a_floor() -> None:
    one = np.ones(1, np.float32)
    plan = Schedule(0.1 * one, 0.5 * one, np.array([10]), 0.03 * one, 0 * one, 0 * one)
    found = [plan.at(update).item() for update in (1, 10, 11, 20, 21, 1000)]
    np.testing.assert_allclose(found, [0.1, 0.1, 0.05, 0.05, 0.03, 0.03])


def test_a_floor_above_the_first_rate_does_not_raise_it() -> None:
    one = np.ones(1, np.float32)
    assert Schedule(0.1 * one, 0.5 * one, np.array([1]), one, 0 * one, 0 * one).at(1) == np.float32(0.1)


def test_merging_is_a_mean() -> None:
    rng = np.random.default_rng(0)
    plan = schedule(2)
    one, other = (Descent(rng.normal(size=(3, 2)).astype(np.float32), adagrad(), plan) for _ in range(2))
    for descent, steps in ((one, 4), (other, 2)):
        for _ in range(steps):
            descent.step(rng.normal(size=(3, 2)).astype(np.float32))
    mean, size = 0.75 * one.weights + 0.25 * other.weights, one.kept[:, 2] + other.kept[:, 2]
    one.merge(other, 0.25)
    np.testing.assert_allclose(one.weights, mean, rtol=1e-6)
    np.testing.assert_allclose(one.kept[:, 2], size)
    assert one.steps == 4


def test_a_memory_forgets() -> None:
    """Gradients of another size long ago: sums of squares, and steps, are those of a descent that never had them."""
    plan = schedule(3)
    fading, fresh, lasting = (Descent(np.ones((4, 3), np.float32), adagrad(memory), plan) for memory in (9, 9, np.inf))
    rng = np.random.default_rng(0)
    for _ in range(50):
        early = rng.normal(size=(4, 3)).astype(np.float32)
        fading.step(100 * early)
        lasting.step(100 * early)
    for _ in range(200):
        late = rng.normal(size=(4, 3)).astype(np.float32)
        for descent in (fading, fresh, lasting):
            descent.step(late)
    np.testing.assert_allclose(fading.kept[:, 2], fresh.kept[:, 2], rtol=1e-3)
    assert (lasting.kept[:, 2] > 1000 * fading.kept[:, 2]).all()


def test_touched_rows() -> None:
    places = np.full(10, -1, np.int32)
    rows, positions = compiled.touched(np.array([7, 2, 7, 0, 2], np.int32), places)
    assert rows.tolist() == [7, 2, 0]
    assert positions.tolist() == [0, 1, 0, 2, 1]
    assert (places == -1).all()


@pytest.mark.parametrize("wrong", [-1, 10, 2**31 - 1])
def test_rows_outside_are_refused(wrong: int) -> None:
    places = np.full(10, -1, np.int32)
    with pytest.raises(ValueError, match=f"got index {wrong}, expected 0 to 9"):
        compiled.touched(np.array([3, wrong], np.int32), places)
    assert (places == -1).all()
    descent = Descent(np.ones((10, 2), np.float32), sgd(0), schedule(2))
    with pytest.raises(ValueError, match=f"got row {wrong}, expected 0 to 9"):
        descent.step(np.ones((1, 2), np.float32), np.array([wrong], np.int32))
    with pytest.raises(ValueError, match=f"got row {wrong}, expected 0 to 9"):
        descent.settled(np.array([wrong], np.int32))


def test_shapes_that_do_not_fit_are_refused() -> None:
    descent = Descent(np.ones((10, 2), np.float32), adam(0.9, 0.999), schedule(2))
    with pytest.raises(ValueError, match="another shape than its rows"):
        descent.step(np.ones((9, 2), np.float32))
    descent.counts = descent.counts[:5]
    with pytest.raises(ValueError, match="one count for each row"):
        descent.step(np.ones((10, 2), np.float32))
    with pytest.raises(ValueError, match="one rate for each column"):
        Descent(np.ones((10, 3), np.float32), sgd(0), schedule(2)).step(np.ones((10, 3), np.float32))
