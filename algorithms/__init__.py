"""The algorithms, one folder or module each. Only this table lists their names."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from recordio.errors import UserError

if TYPE_CHECKING:
    from algorithms.contract import Algorithm

TABLE = {
    "factorization-machines": "algorithms.factorization_machines",
    "kmeans": "algorithms.kmeans",
    "linear-learner": "algorithms.linear_learner",
    "pca": "algorithms.pca",
    "xgboost": "algorithms.xgboost",
}


def algorithm(name: str) -> Algorithm:
    """The declaration of one algorithm, imported when asked for.

    Raises UserError when there is none of that name.
    """
    if name not in TABLE:
        near = difflib.get_close_matches(name, TABLE, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UserError(f"There is no algorithm '{name}': expected one of {', '.join(sorted(TABLE))}.{hint}")
    found: Algorithm = importlib.import_module(TABLE[name]).ALGORITHM
    return found
