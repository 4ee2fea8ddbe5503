"""Hyperparameters: declared once as typed fields; parsing, error texts and documentation come from the declaration.

    class KMeansHyperparameters(Hyperparameters):
        k: int = hyper("Clusters in the final model.", ge=1)
        init_method: Literal["random", "kmeans++"] = hyper("How first centres are drawn.", default="random")

A thin layer over pydantic, which collects faults and checks ranges. This layer owns the accepted spellings (every
client writes the same Python value in another way) and the wording of faults.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Self, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from recordio.errors import UserError

__all__ = ["Ge", "Gt", "Hyperparameters", "Le", "Lt", "hyper"]

SHOWN_CHARACTERS = 100  # of a wrong value or name, in a message
SHOWN_NAMES = 10  # of unknown hyperparameters
LONGEST_VALUE = 2500  # characters; the platform's own limit
MOST_ENTRIES = 100  # likewise
INTEGER = re.compile(r"[-+]?[0-9]+(\.0*)?")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


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
) -> Any:
    """Declare one hyperparameter; without a default it is required.

    ge, gt, le, lt   bounds of a plain number; inside a union they stand in the annotation: Annotated[int, Ge(1)]
    tune             (lowest, highest) of a number or the choices that a tuning job should try
    refinable        may change when a saved state is finalised again
    """
    extra: Any = {"tune": tune, "refinable": refinable}
    return Field(default, description=description, ge=ge, gt=gt, le=le, lt=lt, json_schema_extra=extra)


@dataclass(frozen=True)
class Choice:
    values: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(f"'{value}'" for value in self.values)


@dataclass(frozen=True)
class Number:
    integer: bool
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    @property
    def lowest(self) -> float | None:
        """Smallest integer allowed, or the lower bound of a real number."""
        if self.integer and self.gt is not None:
            return self.gt + 1
        return self.ge if self.ge is not None else self.gt

    @property
    def highest(self) -> float | None:
        if self.integer and self.lt is not None:
            return self.lt - 1
        return self.le if self.le is not None else self.lt

    @property
    def pattern(self) -> str:
        """Strings that may stand for the number: the shape only, bounds are told in words."""
        if not self.integer:
            return r"^[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?$"
        if self.lowest is None or self.lowest < 0:
            return "^-?[0-9]+$"
        return "^([1-9][0-9]*)$" if self.lowest > 0 else "^(0|[1-9][0-9]*)$"

    @property
    def range(self) -> str:
        """In words: 'an integer greater than 0', 'a number between 0.0 and 1.0'."""
        noun = "an integer" if self.integer else "a number"
        low, high = self.lowest, self.highest
        if low is not None and high is not None:
            if self.integer or (self.gt is None and self.lt is None):
                return f"{noun} between {low} and {high}"
            return f"{noun} {_over(self.gt is not None, low)} and {_under(self.lt is not None, high)}"
        if low is not None:
            return (
                f"{noun} greater than {low - 1}"
                if self.integer and low > 0
                else f"{noun} {_over(self.gt is not None and not self.integer, low)}"
            )
        if high is not None:
            return f"{noun} less than {high + 1}" if self.integer else f"{noun} {_under(self.lt is not None, high)}"
        return noun


@dataclass(frozen=True)
class Flag:
    pass


@dataclass(frozen=True)
class Text:
    pass


@dataclass(frozen=True)
class Many:
    item: Choice | Number | Text


Form = Choice | Number | Flag | Text | Many


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
            return f"expects {_phrases(self.forms[0])[0]}"
        phrases = [phrase for form in self.forms for phrase in _phrases(form)]
        return f"expects one of the following: {'; '.join(phrases[:-1])}; or {phrases[-1]}"


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


def as_string(value: object) -> str:
    """One spelling that reads back as the same value."""
    plainly = isinstance(value, str) and plain(value, (Text(),)) == value
    return str(value) if plainly else json.dumps(value)


def plain(raw: Any, forms: tuple[Form, ...]) -> Any:
    """Undo a client's spelling: '"abc"' is abc, 'True' is true, "['a', 'b']" and 'a,b' are lists, 'null' is not set.

    Raises ValueError, with a reason where the forms don't tell it, when no form fits. Ranges are left to pydantic.
    """
    if isinstance(raw, str):
        if len(raw) > LONGEST_VALUE:
            raise ValueError(f"it is longer than {LONGEST_VALUE} characters")
        raw = raw.strip()
        if raw in ("null", "None"):
            return None
        raw = _unquoted(raw)
    if raw is None:
        return None
    reason = ""
    for form in forms:
        try:
            return _in_form(raw, form)
        except ValueError as error:
            reason = reason or str(error)
    raise ValueError(reason)


def _in_form(raw: Any, form: Form) -> Any:
    match form:
        case Choice(values) if raw in values:
            return raw
        case Text() if isinstance(raw, str):
            return raw
        case Flag() if isinstance(raw, bool):
            return raw
        case Flag() if isinstance(raw, str) and raw.lower() in ("true", "false"):
            return raw.lower() == "true"
        case Number(integer) if not isinstance(raw, bool):
            return _integer(raw) if integer else _real(raw)
        case Many(item) if items := _items(raw):
            return [_in_form(each, item) for each in items]
    raise ValueError


def _integer(raw: Any) -> int:
    if isinstance(raw, str) and INTEGER.fullmatch(raw):
        raw = int(raw.partition(".")[0])
    elif isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if not isinstance(raw, int):
        raise ValueError
    if not -(2**63) <= raw < 2**63:
        raise ValueError("it does not fit into 64 bits")
    return raw


def _real(raw: Any) -> float:
    if isinstance(raw, str) and NUMBER.fullmatch(raw):
        return float(raw)
    if not isinstance(raw, int | float):
        raise ValueError
    return raw


def _items(raw: Any) -> list[Any]:
    """A JSON list, what Python prints for a list, or words between commas."""
    if not isinstance(raw, str):
        return raw if isinstance(raw, list) else []
    if not raw.startswith("["):
        return [part.strip().strip("'\"") for part in raw.split(",")]
    for text in (raw, raw.replace("'", '"')):
        try:
            items: list[Any] = json.loads(text)
        except (ValueError, RecursionError):
            continue
        return items
    return []


def _unquoted(text: str) -> str:
    if len(text) < 2 or not text[0] == text[-1] == '"':
        return text
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        return text


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
        forms=tuple(_forms(info.annotation, tuple(info.metadata))),
        required=required,
        default=None if required else info.get_default(),
        tune=tune,
        refinable=bool(extra["refinable"]),
    )


def _forms(annotation: Any, bounds: tuple[Any, ...]) -> Iterable[Form]:
    """Alternatives of a type annotation: Literal["auto"] | Annotated[int, Ge(1)] has two."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *inner_bounds = get_args(annotation)
        yield from _forms(inner, tuple(inner_bounds))
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _forms(part, bounds)
    elif origin is Literal:
        yield Choice(get_args(annotation))
    elif origin in (list, tuple):
        item = next(iter(_forms(get_args(annotation)[0], bounds)))
        assert isinstance(item, Choice | Number | Text)
        yield Many(item)
    elif annotation is bool:
        yield Flag()
    elif annotation in (int, float):
        limits = {
            side: getattr(bound, side) for bound in bounds for side in ("ge", "gt", "le", "lt") if hasattr(bound, side)
        }
        yield Number(annotation is int, **limits)
    elif annotation is str:
        yield Text()
    else:
        assert annotation is NoneType, f"no form for {annotation}"


def _phrases(form: Form) -> list[str]:
    match form:
        case Choice():
            return [str(form)]
        case Number():
            return [f"a string which matches the pattern '{form.pattern}'", form.range]
        case Flag():
            return ["a boolean: 'true' or 'false'"]
        case Text():
            return ["a string"]
        case Many(item):
            of = f"one or more of {item}" if isinstance(item, Choice) else f"{_phrases(item)[-1]} each"
            return [f"a JSON list of {of}"]


def _over(strict: bool, bound: float) -> str:
    return f"greater than {bound}" if strict else f"of at least {bound}"


def _under(strict: bool, bound: float) -> str:
    return f"less than {bound}" if strict else f"of at most {bound}"
