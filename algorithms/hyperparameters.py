"""Hyperparameters: declared once as typed fields; parsing, error texts and documentation come from the declaration.

    class KMeansHyperparameters(Hyperparameters):
        k: int = hyper("Clusters in the final model.", ge=1)
        init_method: Literal["random", "kmeans++"] = hyper("How first centres are drawn.", default="random")

A thin layer over pydantic, which collects faults and checks ranges. This layer owns the accepted spellings
(`spellings.py`) and the wording of faults (`forms.py`).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from algorithms.forms import Choice, Form, Number, forms_of, phrases
from algorithms.spellings import as_string, plain
from recordio.errors import UserError

__all__ = ["Ge", "Gt", "Hyperparameters", "Le", "Lt", "hyper"]

SHOWN_CHARACTERS = 100  # of a wrong value or name, in a message
SHOWN_NAMES = 10  # of unknown hyperparameters
MOST_ENTRIES = 100  # the platform's own limit


def hyper(
    description: str,
    *,
    default: Any = PydanticUndefined,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    tune: tuple[Any, ...] | None = None,
    refinable: bool = False,
    fixed: bool = False,
) -> Any:
    """Declare one hyperparameter; without a default it is required.

    ge, gt, le, lt   bounds of a plain number; inside a union they stand in the annotation: Annotated[int, Ge(1)]
    tune             (lowest, highest) of a number or the choices that a tuning job should try
    refinable        may change when a saved state is finalised again
    fixed            may not change when a model is continued with new data
    """
    extra: Any = {"tune": tune, "refinable": refinable, "fixed": fixed}
    return Field(default, description=description, ge=ge, gt=gt, le=le, lt=lt, json_schema_extra=extra)


@dataclass(frozen=True)
class Declared:
    """One hyperparameter as its class declares it; `forms` are the alternatives it accepts."""

    name: str
    description: str
    forms: tuple[Form, ...]
    required: bool
    default: Any
    tune: tuple[Any, ...] | None
    refinable: bool
    fixed: bool

    def wrong(self, value: object, reason: str = "") -> str:
        """The sentence for a value that fits no form; reason says what can't be seen from the forms."""
        shown = value if isinstance(value, str) else json.dumps(value, default=str)
        shown = shown if len(shown) <= SHOWN_CHARACTERS else shown[:SHOWN_CHARACTERS] + "…"
        because = f" ({reason})" if reason else ""
        # repr: a line feed in a value must not begin a line of the log.
        return f"The value {shown!r} is not valid for the '{self.name}' hyperparameter which {self.expected}{because}"

    @property
    def expected(self) -> str:
        if len(self.forms) == 1 and isinstance(self.forms[0], Choice):
            return f"accepts one of the following: {self.forms[0]}"
        if len(self.forms) == 1 and not isinstance(self.forms[0], Number):
            return f"expects {phrases(self.forms[0])[0]}"
        *first, last = (phrase for form in self.forms for phrase in phrases(form))
        return f"expects one of the following: {'; '.join(first)}; or {last}"


class Hyperparameters(BaseModel):
    """Base of every algorithm's hyperparameters. Values are frozen; build them with `from_strings`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_strings(cls, given: Mapping[str, Any]) -> Self:
        """Read the content of hyperparameters.json, in any client's spelling.

        Raises UserError with every fault, one on a line.
        """
        declared = {item.name: item for item in cls.declared()}
        faults = []
        if len(given) > MOST_ENTRIES:
            faults.append(f"Got {len(given)} hyperparameters, expected at most {MOST_ENTRIES}")
        given = {name: value for name, value in given.items() if not ignored(name)}
        unknown = [name for name in given if name not in declared]
        if unknown:
            faults.append(_unexpected(unknown, list(declared)))
        values, wrong = {}, {}
        for name, item in declared.items():
            try:
                value = plain(given.get(name), item.forms)
            except ValueError as error:
                wrong[name] = str(error)
                continue
            if value is not None:
                values[name] = value
        missing = [name for name, item in declared.items() if item.required and not {name} & {*values, *wrong}]
        if missing:
            names = ", ".join(f"'{name}'" for name in missing)
            faults.append(f"No value(s) were specified for {names} which are required hyperparameter(s)")
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            beyond = {str(fault["loc"][0]) for fault in error.errors()} - {*missing, *wrong}
            wrong |= dict.fromkeys(beyond, "")
        faults += [item.wrong(given[name], wrong[name]) for name, item in declared.items() if name in wrong]
        if not wrong and not missing:
            faults += settings.conflicts()
        if faults:
            raise UserError("\n".join(faults))
        return settings

    def conflicts(self) -> Iterable[str]:
        """Faults between values that are each right by themselves, as sentences. Algorithms override this."""
        return ()

    @classmethod
    def declared(cls) -> tuple[Declared, ...]:
        return tuple(_declared(name, info) for name, info in cls.model_fields.items())

    @classmethod
    def defaults(cls) -> dict[str, str]:
        """Values used when nothing is given, as the strings that clients would write."""
        return {item.name: as_string(item.default) for item in cls.declared() if not item.required}

    def as_strings(self) -> dict[str, str]:
        return {name: as_string(getattr(self, name)) for name in type(self).model_fields}


def ignored(name: str) -> bool:
    """Settings of the original's own machinery and of script mode, which clients and tuning jobs add."""
    return name.startswith(("_", "sagemaker_"))


def _unexpected(unknown: list[str], known: list[str]) -> str:
    shown = [name[:SHOWN_CHARACTERS] for name in unknown[:SHOWN_NAMES]]
    names = ", ".join(map(repr, shown)) + (", …" if len(unknown) > len(shown) else "")
    verb = "was" if len(unknown) == 1 else "were"
    near = [match for name in shown for match in difflib.get_close_matches(name, known, n=1)]
    hint = f". Did you mean {', '.join(map(repr, dict.fromkeys(near)))}?" if near else ""
    return f"Additional hyperparameters are not allowed ({names} {verb} unexpected){hint}"


def _declared(name: str, info: FieldInfo) -> Declared:
    extra = info.json_schema_extra
    assert isinstance(extra, dict), f"declare {name} with hyper(...)"
    assert info.description is not None
    required = info.is_required()
    tune: Any = extra["tune"]
    return Declared(
        name=name,
        description=info.description,
        forms=tuple(forms_of(info.annotation, tuple(info.metadata))),
        required=required,
        default=None if required else info.get_default(),
        tune=tune,
        refinable=bool(extra["refinable"]),
        fixed=bool(extra["fixed"]),
    )
