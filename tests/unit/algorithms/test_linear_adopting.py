"""Going on from weights and bias alone, as artifacts made elsewhere have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from algorithms.linear_learner import ALGORITHM
from algorithms.linear_learner.state import LinearLearnerState
from recordio.batch import Batch
from recordio.errors import UserError
from tests.unit.algorithms.linear_tasks import BINARY, MANY, REGRESSOR, arrays_equal, learn, records, settings, state

STILL = {"learning_rate": "1e-12", "use_lr_scheduler": "false"}


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("task", [BINARY, REGRESSOR, MANY], ids=lambda task: task["predictor_type"])
def test_a_job_begins_with_the_earlier_model(tmp_path: Path, task: dict[str, str], sparse: bool) -> None:
    """On records of another mean and scale, one column of which does not vary now; without steps nothing is lost."""
    x, y = records(task)
    earlier = learn(state(task), x, y, passes=2).finalise()
    earlier.save(tmp_path, "algo-1")
    loaded = ALGORITHM.load(tmp_path)
    new = (x[:500] * 2 + 1).astype(np.float32)
    new[:, 1] = 500
    assert ALGORITHM.adopt is not None
    learner = ALGORITHM.adopt(settings(task, num_models=2, **STILL), loaded)
    again = LinearLearnerState.restore(learner.settings, *learner.snapshot())  # before anything was learned
    for one in (learner, again):
        learn(one, csr_array(new) if sparse else new, y[:500])
    arrays_equal(learner, again)
    found, expected = learner.finalise().margins(Batch(new)), earlier.margins(Batch(new))
    # Weights are kept in single precision on another scale, and columns far from zero are multiplied by them.
    assert np.allclose(found, expected, rtol=1e-4, atol=2e-3 * np.abs(expected).std())


def test_an_earlier_model_shortens_the_way() -> None:
    """After a few updates it is better than one that begins anew."""
    x, y = records(BINARY, 4000)
    given = settings(BINARY, mini_batch_size=50, num_point_for_scaler=100, num_models=1)
    earlier = learn(state(BINARY), x[:2000], y[:2000], passes=2).finalise()
    assert ALGORITHM.adopt is not None
    losses = [
        np.mean(np.logaddexp(0, margins) - y[2200:] * margins)
        for learner in (ALGORITHM.adopt(given, earlier), LinearLearnerState(given, np.random.default_rng(0)))
        for margins in [learn(learner, x[2000:2200], y[2000:2200]).finalise().margins(Batch(x[2200:]))[:, 0]]
    ]
    assert losses[0] < 0.98 * losses[1]


def test_a_model_of_another_task_is_refused() -> None:
    x, y = records(REGRESSOR)
    earlier = learn(state(REGRESSOR), x, y).finalise()
    assert ALGORITHM.adopt is not None
    with pytest.raises(UserError, match="expected 'regressor' with 1, as the earlier model has it"):
        ALGORITHM.adopt(settings(BINARY), earlier)
