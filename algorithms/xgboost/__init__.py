"""XGBoost: boosted trees by the library of that name, which drives; channels, contract and artifacts are ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from algorithms.contract import Algorithm, Arrays, Channel
from algorithms.foreign import Foreign
from algorithms.xgboost.answers import answers
from algorithms.xgboost.hyperparameters import XGBoostHyperparameters
from algorithms.xgboost.importances import importances
from algorithms.xgboost.metrics import METRICS

if TYPE_CHECKING:
    import numpy as np

    from algorithms.xgboost.model import XGBoostModel
    from algorithms.xgboost.state import XGBoostState

# The library takes most of a second to import: settings are checked before.


def _create(settings: XGBoostHyperparameters, _: np.random.Generator) -> XGBoostState:
    from algorithms.xgboost.state import XGBoostState

    return XGBoostState(settings)


def _restore(settings: XGBoostHyperparameters, arrays: Arrays, values: dict[str, Any]) -> XGBoostState:
    from algorithms.xgboost.state import XGBoostState

    return XGBoostState.restore(settings, arrays, values)


def _adopt(settings: XGBoostHyperparameters, model: XGBoostModel) -> XGBoostState:
    from algorithms.xgboost.state import XGBoostState

    return XGBoostState.adopt(settings, model)


def _load(folder: Path) -> XGBoostModel:
    from algorithms.xgboost.model import load

    return load(folder)


def _renewed(name: str, content: bytes) -> bytes:
    from algorithms.xgboost.model import renewed

    return renewed(name, content)


CARRIED = "its rounds, to which num_round more are added; objective, num_class and booster stay as they were"

ALGORITHM = Algorithm(
    name="xgboost",
    title="XGBoost",
    description="Learns boosted trees, or a boosted linear model, for regression, classification and ranking.",
    dimension="XGBoost",
    hyperparameters=XGBoostHyperparameters,
    channels=(
        Channel("train", "Records to learn, with their labels.", required=True),
        Channel("validation", "Records to judge each round by."),
    ),
    content_types=("text/csv", "text/libsvm", "application/x-parquet", "application/x-recordio-protobuf"),
    metrics=METRICS,
    create=_create,
    restore=_restore,
    load=_load,
    artifact="xgboost-model*",
    carried=CARRIED,
    alone=CARRIED,
    adopt=_adopt,
    label_size=1,
    sparse=True,
    missing=True,
    labelled=True,
    weighted=lambda settings: settings.csv_weights == 1,
    gpu=True,
    pooled=True,
    lasting="num_round",
    stateless=True,
    load_factor=12,  # 6.5 to 11 were measured: the checked document and the library's trees
    content_type="text/libsvm",
    request_types=(
        "text/csv",
        "text/libsvm",
        "application/x-recordio-protobuf",
        "application/json",
        "application/jsonlines",
    ),
    reply_types=("text/csv", "application/json", "application/jsonlines", "application/x-recordio-protobuf"),
    answers=answers,
    importances=importances,
    foreign=Foreign(Path(__file__).with_name("unpickling.py"), _renewed),
)
