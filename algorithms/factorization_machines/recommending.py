"""Scores of users with each of many items, without a record for each pair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from algorithms.factorization_machines.model import FactorizationMachine
from recordio.batch import Batch


def recommend(model: FactorizationMachine, users: Batch, items: NDArray[np.int64]) -> NDArray[np.float32]:
    """Scores of the records that users and one item more make.

    A feature j of value 1 adds w_j + <v_j, sum of v_i x_i> to a record's margin.

    users     records without an item     (users, feature_dim)
    items     features                    (items,)
    returns   as `predict` scores them    (users, items)
    """
    margins, sums = model.sums(users)
    more = sums @ model.factors[items].T + margins[:, None]
    return model.scores(more if model.linear is None else more + model.linear[items])
