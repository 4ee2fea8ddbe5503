"""Forms: what the value of a hyperparameter may look like, read from its type annotation, and how to say so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin


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
    item: Choice | Number | Text | Many


Form = Choice | Number | Flag | Text | Many


def forms_of(annotation: Any, bounds: tuple[Any, ...]) -> Iterable[Form]:
    """Alternatives of a type annotation: Literal["auto"] | Annotated[int, Ge(1)] has two."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *inner_bounds = get_args(annotation)
        yield from forms_of(inner, tuple(inner_bounds))
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from forms_of(part, bounds)
    elif origin is Literal:
        yield Choice(get_args(annotation))
    elif origin in (list, tuple):
        item = next(iter(forms_of(get_args(annotation)[0], bounds)))
        assert isinstance(item, Choice | Number | Text | Many)
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


def phrases(form: Form) -> list[str]:
    """What the form accepts, in the words of the original's messages."""
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
            of = f"one or more of {item}" if isinstance(item, Choice) else f"{phrases(item)[-1]} each"
            return [f"a JSON list of {of}"]


def _over(strict: bool, bound: float) -> str:
    return f"greater than {bound}" if strict else f"of at least {bound}"


def _under(strict: bool, bound: float) -> str:
    return f"less than {bound}" if strict else f"of at most {bound}"
