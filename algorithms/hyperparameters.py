"""Hyperparameters: declared once as typed fields; parsing, error texts and documentation come from the declaration.

    class KMeansHyperparameters(Hyperparameters):
        k: int = hyper("Clusters in the final model.", ge=1)
        init_method: Literal["random", "kmeans++"] = hyper("How first centres are drawn.", default="random")

A thin layer over pydantic, which collects faults and checks ranges. This layer owns the accepted spellings
(`spellings.py`) and the wording of faults (`forms.py`).
"""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from algorithms.forms import Choice, Form, Number, forms_of, phrases
from algorithms.spellings import as_string, plain
from recordio.errors import UserError

__all__ = ["Ge", "Gt", "Hyperparameters", "Le", "Lt", "hyper"]

Kind = Literal["unknown", "missing", "unreadable", "outside"]

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
    name: str = "",
    aliases: tuple[str, ...] = (),
) -> Any:
    """Declare one hyperparameter; without a default it is required.

    ge, gt, le, lt   bounds of a plain number; inside a union they stand in the annotation: Annotated[int, Ge(1)]
    tune             (lowest, highest) of a number or the choices that a tuning job should try
    refinable        may change when a saved state is finalised again
    fixed            may not change when a model is continued with new data
    name             as users write it, where Python has no such name
    aliases          other names of it, of which the one that comes last counts
    """
    extra: Any = {"tune": tune, "refinable": refinable, "fixed": fixed, "name": name, "aliases": list(aliases)}
    return Field(default, description=description, ge=ge, gt=gt, le=le, lt=lt, json_schema_extra=extra)


@dataclass(frozen=True)
class Declared:
    """One hyperparameter as its class declares it; `forms` are the alternatives it accepts, `field` holds its value."""

    name: str
    field: str
    aliases: tuple[str, ...]
    description: str
    forms: tuple[Form, ...]
    required: bool
    default: Any
    tune: tuple[Any, ...] | None
    refinable: bool
    fixed: bool

    def wrong(self, value: object, reason: str = "") -> str:
        """The sentence for a value that fits no form; reason says what can't be seen from the forms."""
        because = f" ({reason})" if reason else ""
        return (
            f"The value {shown(value)} is not valid for the '{self.name}' hyperparameter which {self.expected}{because}"
        )

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
        names = {alias: item.name for item in declared.values() for alias in item.aliases}
        faults = []
        if len(given) > MOST_ENTRIES:
            faults.append(f"Got {len(given)} hyperparameters, expected at most {MOST_ENTRIES}")
        given = {names.get(name, name): value for name, value in given.items()}
        given = {name: value for name, value in given.items() if name in declared or not ignored(name)}
        unknown = [name for name in given if name not in declared]
        if unknown:
            faults.append(cls._sentence("unknown", None, unknown[0], _unexpected(unknown, list(declared))))
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
            all_missing = ", ".join(f"'{name}'" for name in missing)
            sentence = f"No value(s) were specified for {all_missing} which are required hyperparameter(s)"
            faults.append(cls._sentence("missing", declared[missing[0]], None, sentence))
        values = {declared[name].field: value for name, value in values.items()}
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            beyond = {str(fault["loc"][0]) for fault in error.errors()}
            known = (*missing, *wrong)
            wrong |= {name: "" for name, item in declared.items() if item.field in beyond and name not in known}
        for item in (item for name, item in declared.items() if name in wrong):
            kind: Kind = "outside" if item.field in values else "unreadable"
            sentence = item.wrong(given[item.name], wrong[item.name])
            faults.append(cls._sentence(kind, item, given[item.name], sentence))
        if unsure := {declared[name].field for name in (*wrong, *missing)}:
            settings = cls.model_construct(**values)
        faults += _found(cls.conflicts, settings, unsure)
        if faults:
            raise UserError("\n".join(faults))
        return settings

    def conflicts(self) -> tuple[Iterable[str], ...]:
        """Faults between values that are each right by themselves, as sentences. Algorithms override this.

        Each check by itself: one that needs a value which is wrong or missing ends there.
        """
        return ()

    @classmethod
    def original(cls, kind: Kind, item: Declared | None, value: object) -> str:  # noqa: ARG003
        """The original's words for a fault, where clients look for them: they stand before ours.

        item    of the value, or None for a name that is not known, which then is the value
        """
        return ""

    @classmethod
    def _sentence(cls, kind: Kind, item: Declared | None, value: object, ours: str) -> str:
        words = cls.original(kind, item, value)
        return f"{words}. {ours}" if words else ours

    @classmethod
    def declared(cls) -> tuple[Declared, ...]:
        return tuple(_declared(name, info) for name, info in cls.model_fields.items())

    @classmethod
    def defaults(cls) -> dict[str, str]:
        """Values used when nothing is given, as the strings that clients would write."""
        return {item.name: as_string(item.default) for item in cls.declared() if not item.required}

    def as_strings(self) -> dict[str, str]:
        return {item.name: as_string(getattr(self, item.field)) for item in self.declared()}


class _Unknown(Exception):
    """A check needs a value that is wrong or missing."""


class _Partial:
    """Settings of which some fields have no value."""

    def __init__(self, settings: Hyperparameters, unknown: set[str]) -> None:
        self._settings = settings
        self._unknown = unknown

    def __getattr__(self, name: str) -> Any:
        if name in self._unknown:
            raise _Unknown
        derived: Any = getattr(type(self._settings), name, None)
        return derived.__get__(self) if hasattr(derived, "__get__") else getattr(self._settings, name)


def _found(
    conflicts: Callable[[Any], tuple[Iterable[str], ...]], settings: Hyperparameters, unknown: set[str]
) -> Iterator[str]:
    for check in conflicts(_Partial(settings, unknown) if unknown else settings):
        with contextlib.suppress(_Unknown):
            yield from check


def shown(value: object) -> str:
    """A value in a message, quoted and cut: a line feed in it must not begin a line of the log."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…")


def ignored(name: str) -> bool:
    """Settings of the original's own machinery and of script mode, which clients and tuning jobs add undeclared."""
    return name.startswith(("_", "sagemaker_"))


def _unexpected(unknown: list[str], known: list[str]) -> str:
    some = [name[:SHOWN_CHARACTERS] for name in unknown[:SHOWN_NAMES]]
    names = ", ".join(map(repr, some)) + (", …" if len(unknown) > len(some) else "")
    verb = "was" if len(unknown) == 1 else "were"
    near = [match for name in some for match in difflib.get_close_matches(name, known, n=1)]
    hint = f". Did you mean {', '.join(map(repr, dict.fromkeys(near)))}?" if near else ""
    return f"Additional hyperparameters are not allowed ({names} {verb} unexpected){hint}"


def _declared(name: str, info: FieldInfo) -> Declared:
    extra = info.json_schema_extra
    assert isinstance(extra, dict), f"declare {name} with hyper(...)"
    assert info.description is not None
    required = info.is_required()
    tune: Any = extra["tune"]
    aliases: Any = extra["aliases"]
    return Declared(
        name=str(extra["name"] or name),
        field=name,
        aliases=tuple(aliases),
        description=info.description,
        forms=tuple(forms_of(info.annotation, tuple(info.metadata))),
        required=required,
        default=None if required else info.get_default(),
        tune=tune,
        refinable=bool(extra["refinable"]),
        fixed=bool(extra["fixed"]),
    )
