"""Hyperparameters of K-Means."""

from __future__ import annotations

from typing import Annotated, Literal

from algorithms.hyperparameters import Ge, Hyperparameters, hyper


class KMeansHyperparameters(Hyperparameters):
    feature_dim: int = hyper("Features in one record.", ge=1, fixed=True)
    k: int = hyper("Clusters in the final model.", ge=1, refinable=True)
    mini_batch_size: int = hyper("Records in one update.", default=5000, ge=1, tune=(3000, 15000))
    epochs: int = hyper("Passes over the data.", default=1, ge=1, tune=(1, 10))
    init_method: Literal["random", "kmeans++"] = hyper(
        "How first centres are drawn from the first records.", default="random", tune=("kmeans++", "random")
    )
    extra_center_factor: Literal["auto"] | Annotated[int, Ge(1)] = hyper(
        "Working centres per cluster; auto gives 10, and fewer where k is more than 400.",
        default="auto",
        tune=(4, 10),
        fixed=True,
    )
    half_life_time_size: int = hyper("Records after which a record counts half; 0 for always in full.", default=0, ge=0)
    local_lloyd_init_method: Literal["random", "kmeans++"] = hyper(
        "How the final stage draws its first centres.", default="kmeans++", refinable=True
    )
    local_lloyd_max_iter: int = hyper("Most iterations of one final trial.", default=300, ge=1, refinable=True)
    local_lloyd_num_trials: Literal["auto"] | Annotated[int, Ge(1)] = hyper(
        "Final trials, of which the best is kept; auto gives 10.", default="auto", refinable=True
    )
    local_lloyd_tol: float = hyper(
        "A final trial stops when an iteration improves the loss by less than this part of it.",
        default=0.0001,
        ge=0,
        le=1,
        refinable=True,
    )
    eval_metrics: list[Literal["msd", "ssd"]] = hyper("Scores of the test channel.", default=["msd"], refinable=True)
    force_dense: bool = hyper("Accepted from clients; records are always learned dense.", default=True)

    @property
    def center_factor(self) -> int:
        """What extra_center_factor comes to.

        More than about 4000 working centres get too few of the records of a mini-batch each to settle well, and cost
        in proportion, so auto lowers the factor, within its tuning range.
        """
        if self.extra_center_factor != "auto":
            return self.extra_center_factor
        return min(10, max(4, 4000 // self.k))

    @property
    def trials(self) -> int:
        return 10 if self.local_lloyd_num_trials == "auto" else self.local_lloyd_num_trials
