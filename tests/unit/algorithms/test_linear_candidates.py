"""Hyperparameters of Linear Learner, and the candidates that come of them."""

import pytest

from algorithms.linear_learner.candidates import candidates
from algorithms.linear_learner.hyperparameters import LinearLearnerHyperparameters
from recordio.errors import UserError
from tests.unit.algorithms.linear_tasks import BINARY, settings


def test_a_tuning_job_trains_one_model() -> None:
    assert settings(BINARY, num_models=8, _tuning_objective_metric="validation:objective_loss").num_models == 1
    assert settings(BINARY, num_models=8, _tuning_objective_metric="").num_models == 8


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"predictor_type": "multiclass_classifier"}, "got num_classes 1, expected at least 3"),
        (
            BINARY | {"loss": "squared_loss"},
            "got loss 'squared_loss', expected 'auto' or one of 'logistic', 'hinge_loss'",
        ),
        (BINARY | {"momentum": "1"}, "'momentum'"),
        (BINARY | {"positive_example_weight_mult": "0"}, "'positive_example_weight_mult'"),
        ({}, "No value.s. were specified for 'predictor_type'"),
    ],
)
def test_wrong_hyperparameters_are_told(given: dict[str, str], text: str) -> None:
    with pytest.raises(UserError, match=text):
        LinearLearnerHyperparameters.from_strings(given)


@pytest.mark.parametrize("name", ["f1", "cross_entropy_loss"])
def test_old_names_of_criteria_are_taken(name: str) -> None:
    settings({"predictor_type": "binary_classifier"}, binary_classifier_model_selection_criteria=name)


def test_the_first_candidate_is_what_was_asked_for() -> None:
    found = candidates(settings(BINARY), 100, sparse=False)
    assert len(found) == len(set(found)) == 32
    first = found[0]
    assert (first.optimizer, first.learning_rate, first.wd, first.l1) == ("adam", 0.005, 0, 0)
    assert (first.lr_scheduler_step, first.lr_scheduler_factor, first.lr_scheduler_minimum_lr) == (100, 0.99, 1e-5)
    assert (first.bias_lr_mult, first.bias_wd_mult) == (10, 0)
    assert {(one.wd, one.l1) for one in found} >= {(wd, 0) for wd in (0, 0.01, 0.1, 1)} | {
        (0, l1) for l1 in (0.01, 0.1, 1)
    }


def test_what_was_asked_for_holds_for_all() -> None:
    found = candidates(settings(BINARY, wd=0.3, learning_rate=0.7, lr_scheduler_step=7), 100, sparse=False)
    assert len(found) > 1
    for one in found:
        assert (one.wd, one.learning_rate, one.lr_scheduler_step, one.bias_lr_mult) == (0.3, 0.7, 7, 10)
    fixed = settings(BINARY, wd=0, l1=0, learning_rate=0.1, lr_scheduler_step=5, num_models=32)
    assert len(candidates(fixed, 100, sparse=False)) == 1


def test_candidates_stay_within_memory() -> None:
    assert len(candidates(settings(BINARY), 10_000_000, sparse=True)) == 1
    assert len(candidates(settings(BINARY), 1_000_000, sparse=True)) == 16
    many = settings({"predictor_type": "multiclass_classifier", "num_classes": "1000"})
    assert len(candidates(many, 100, sparse=False)) == 4
    assert len(candidates(settings(BINARY, num_models=5), 10_000_000, sparse=True)) == 5


def test_sparse_data_have_an_optimiser_of_their_own() -> None:
    assert candidates(settings(BINARY), 100, sparse=True)[0].optimizer == "adagrad"
    assert candidates(settings(BINARY, optimizer="adam"), 100, sparse=True)[0].optimizer == "adam"


def test_without_a_schedule_rates_are_constant() -> None:
    assert {
        one.lr_scheduler_factor for one in candidates(settings(BINARY, use_lr_scheduler="false"), 10, sparse=False)
    } == {1}
