"""Boosters: artifact, predictions, and what else they can tell of a record."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from algorithms.artifacts.published import ARCHIVES, describe
from algorithms.contract import Arrays
from algorithms.hyperparameters import shown
from algorithms.xgboost.classes import classes_of, names_of
from algorithms.xgboost.documents import checked
from recordio.batch import Batch
from recordio.errors import UserError

if TYPE_CHECKING:
    from xgboost import Booster

NAME = "xgboost-model"
DESCRIPTION = ".model.json"  # hidden: every other file of the folder is a booster to all who serve it
VOTED = ("multi:softmax", "binary:hinge")  # objectives whose predictions are classes

PLACE = re.compile(r"^\[[^]]*\] \S+:\d+: (Check failed: )?")  # time, and line of the library's code

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Member:
    """A booster as it is asked for predictions.

    rounds   first and past-the-last one that predict: up to the best, where the booster knows it; (0, 0) stands for all
    """

    booster: Booster
    kind: str
    rounds: tuple[int, int]

    def predicted(self, batch: Batch, *, margin: bool = False) -> Floats:
        """Predictions, or what they are made of   (records,) or (records, outputs)

        In place, records are not copied first. The other kinds of boosters can't, or round their sums in another way.
        """
        if self.kind != "gbtree":
            return self.told(batch, output_margin=margin)
        if not len(batch):  # of which the library doesn't say how many outputs they would have
            return self.predicted(nothing_known(batch.width), margin=margin)[:0]
        with refusing(f"A booster of kind {self.kind} can't predict"):
            found = self.booster.inplace_predict(
                known(batch),
                iteration_range=self.rounds,
                predict_type="margin" if margin else "value",
                validate_features=False,
            )
        return np.asarray(found, np.float32)

    def told(self, batch: Batch, **what: bool) -> Floats:
        """What `Booster.predict` gives for a matrix. Raises UserError when the kind of booster doesn't have it."""
        import xgboost

        if not len(batch):
            return self.told(nothing_known(batch.width), **what)[:0]
        with refusing(f"A booster of kind {self.kind} can't tell this"):
            matrix = xgboost.DMatrix(known(batch), nthread=1)
            found = self.booster.predict(matrix, iteration_range=self.rounds, validate_features=False, **what)
        return np.asarray(found, np.float32)


@dataclass(frozen=True, eq=False)
class XGBoostModel:
    """One booster, or several that are asked together, all with the same features, objective and outputs."""

    boosters: tuple[Booster, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feature_dim(self) -> int:
        return int(self.boosters[0].num_features())

    @cached_property
    def first(self) -> XGBoostModel:
        """The first booster alone."""
        return replace(self, boosters=self.boosters[:1])

    @property
    def objective(self) -> str:
        return self._traits[0].objective

    @property
    def outputs(self) -> int:
        """Classes or targets; 1 where there is one number for a record."""
        return self._traits[0].outputs

    @property
    def kind(self) -> str:
        """gbtree, dart or gblinear"""
        return self._traits[0].kind

    @cached_property
    def trees(self) -> int:
        """Of all boosters together, in the rounds that predict. Raises UserError when they have none."""
        return int(self.leaves(nothing_known(self.feature_dim)).shape[1])

    @property
    def class_names(self) -> tuple[str, ...]:
        """By number, of the first booster that names them; empty where none does."""
        return next(filter(None, self.all_class_names), ())

    @cached_property
    def all_class_names(self) -> list[tuple[str, ...]]:
        """Of each booster."""
        return [names_of(booster, classes_of(self.objective, self.outputs)) for booster in self.boosters]

    @cached_property
    def _traits(self) -> tuple[Traits, ...]:
        return tuple(map(traits, self.boosters))

    @cached_property
    def members(self) -> tuple[Member, ...]:
        return tuple(
            Member(booster, one.kind, used_rounds(booster))
            for booster, one in zip(self.boosters, self._traits, strict=True)
        )

    def predict(self, batch: Batch) -> Arrays:
        """score, float32: (records,), or (records, outputs) where there are several.

        Of several boosters the mean, or for objectives that give classes the one that most of them give, the smallest
        of equals.
        """
        return {"score": self.scores(batch)}

    def scores(self, batch: Batch) -> Floats:
        found = [member.predicted(batch) for member in self.members]
        if len(found) == 1:
            return found[0]
        return voted(found) if self.objective in VOTED else averaged(found)

    def margin(self, batch: Batch) -> Floats:
        """Before the link of the objective   (records,) or (records, outputs)"""
        return averaged([member.predicted(batch, margin=True) for member in self.members])

    def contributions(self, batch: Batch) -> Floats:
        """SHAP values that add up to the margin, the bias last   (records, [outputs,] features + 1)"""
        return averaged([member.told(batch, pred_contribs=True) for member in self.members])

    def interactions(self, batch: Batch) -> Floats:
        """SHAP values of pairs of features   (records, [outputs,] features + 1, features + 1)"""
        if self.kind == "gblinear":
            raise UserError("A booster of kind gblinear has no interactions")
        return averaged([member.told(batch, pred_interactions=True) for member in self.members])

    def leaves(self, batch: Batch) -> NDArray[np.int32]:
        """The leaf in which a record ends, for each tree of each booster   (records, trees)"""
        found = [member.told(batch, pred_leaf=True) for member in self.members]
        tables = [one.reshape(len(one), math.prod(one.shape[1:])) for one in found]
        return np.concatenate(tables, axis=1).astype(np.int32)

    def save(self, directory: Path, host: str) -> None:  # noqa: ARG002 - the public names are without it
        """xgboost-model, or xgboost-model-0 and so on, in UBJSON."""
        for number, booster in enumerate(self.boosters):
            name = NAME if len(self.boosters) == 1 else f"{NAME}-{number}"
            (directory / name).write_bytes(booster.save_raw("ubj"))
        describe(directory, "xgboost", self, self.hyperparameters, objective=self.objective)
        (directory / "model.json").rename(directory / DESCRIPTION)


@dataclass(frozen=True)
class Traits:
    """What the library itself knows of a booster; members of an ensemble have the same."""

    kind: str
    objective: str
    features: int
    outputs: int


def traits(booster: Booster) -> Traits:
    learner = json.loads(booster.save_config())["learner"]
    parameters = learner["learner_model_param"]
    outputs = max(1, int(parameters["num_class"]), int(parameters["num_target"]))
    kind, objective = learner["gradient_booster"]["name"], learner["objective"]["name"]
    return Traits(kind, objective, int(booster.num_features()), outputs)


def nothing_known(features: int) -> Batch:
    """One record whose features are all missing."""
    return Batch(np.full((1, features), np.nan, np.float32))


def known(batch: Batch) -> Any:
    """The records as a type that the library knows: of the two kinds of sparse matrices, the older one."""
    features = batch.features
    if isinstance(features, np.ndarray):
        return features
    from scipy.sparse import csr_matrix

    return csr_matrix((features.data, features.indices, features.indptr), shape=features.shape)


def named(booster: Booster, names: tuple[str, ...] | None) -> Booster:
    """The booster with its features named so, as far as the library can write them; it learns on without names."""
    fitting = names is not None and len(names) == booster.num_features() and not set("[]<") & set("".join(names))
    booster.feature_names = list(names) if names is not None and fitting else None
    return booster


def used_rounds(booster: Booster) -> tuple[int, int]:
    """All of them, where the attribute is none of training's."""
    best = booster.attr("best_iteration") or ""
    if not (best.isascii() and best.isdigit() and len(best) < 10) or int(best) >= booster.num_boosted_rounds():
        return 0, 0
    return 0, int(best) + 1


def averaged(found: list[Floats]) -> Floats:
    return found[0] if len(found) == 1 else np.stack(found).mean(axis=0, dtype=np.float64).astype(np.float32)


def voted(found: list[Floats]) -> Floats:
    """The class that most give, for each record   (records,)"""
    votes = np.stack(found)
    classes = np.unique(votes)
    winners: Floats = classes[np.stack([(votes == one).sum(axis=0) for one in classes]).argmax(axis=0)]
    return winners


def load(directory: Path) -> XGBoostModel:
    """Every file that is not hidden, as an ensemble; archives are what clients leave beside a model.

    Raises UserError when one of them is no model, or they don't belong together.
    """
    found = sorted(
        path
        for path in directory.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.suffix not in ARCHIVES
    )
    if not found:
        raise UserError(f"The model has no file {NAME}.")
    boosters = [opened(path.name, path.read_bytes()) for path in found]
    for path, kind in zip(found, map(traits, boosters), strict=True):
        if kind != traits(boosters[0]):
            raise UserError(
                f"{path.name} and {found[0].name} can't be served together, which all files of a model are: "
                f"got {kind} and {traits(boosters[0])}"
            )
    model = XGBoostModel(tuple(boosters))
    for path, names in zip(found, model.all_class_names, strict=True):
        for number, pair in enumerate(zip(names, model.class_names, strict=False)):
            if pair[0] != pair[1]:
                name, before = map(shown, pair)
                raise UserError(f"{path.name}: class {number} is called {name}, expected {before} as in files before")
    return model


def renewed(name: str, content: bytes) -> bytes:
    """A model file as this version of the library writes it. Raises UserError."""
    return bytes(opened(name, content).save_raw("ubj"))


def opened(name: str, content: bytes) -> Booster:
    """One that has made a prediction, so that it is configured, and any number of threads may ask it."""
    import xgboost
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    # One thread, from the first moment on: workers that fork lose all others, and would wait for them forever.
    with refusing(name), threadpool_limits(1, user_api="openmp"):
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(checked(content)))
        model = XGBoostModel((booster,))
        model.predict(nothing_known(model.feature_dim))
        return booster


@contextmanager
def refusing(where: str) -> Iterator[None]:
    """Errors of the library, and UserErrors, as UserErrors that say where: in one sentence, without its stack."""
    from xgboost.core import XGBoostError

    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except XGBoostError as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"{where}: {PLACE.sub('', first)}") from error
