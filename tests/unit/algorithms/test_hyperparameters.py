"""Hyperparameters: every client's spelling of a value, and the wording of every fault (contract 1.3)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import algorithms
from algorithms.forms import Choice, Flag, Form, Many, Number
from algorithms.hyperparameters import Declared, Ge, Gt, Hyperparameters, Kind, Le, Lt, hyper
from algorithms.spellings import LONGEST_VALUE, as_string
from recordio.errors import UserError
from tests.unit.toy import ToyHyperparameters


class Sample(Hyperparameters):
    """One hyperparameter of each form."""

    count: int = hyper("An integer.", default=5, ge=1)
    offset: int = hyper("An integer with a sign.", default=0)
    part: float = hyper("A closed range.", default=0.5, ge=0, le=1)
    rate: float = hyper("A range that is open at one end.", default=0.5, gt=0, le=1)
    level: int = hyper("A closed range of integers.", default=3, gt=0, lt=10)
    below: float = hyper("An upper bound.", default=-1.0, lt=0)
    flag: bool = hyper("A boolean.", default=False)
    method: Literal["random", "kmeans++"] = hyper("A choice.", default="random")
    metrics: list[Literal["msd", "ssd"]] = hyper("A list of choices.", default=["msd"])
    layers: Literal["auto"] | list[Annotated[int, Ge(1)]] = hyper("A list of numbers, or auto.", default="auto")
    words: list[str] = hyper("A list of words.", default=["a"])
    text: str = hyper("Any text.", default="")
    factor: Literal["auto"] | Annotated[int, Ge(1)] = hyper("An integer, or auto.", default="auto")
    decay: Literal["auto"] | Annotated[float, Gt(0), Lt(1)] = hyper("A number, or auto.", default="auto")
    seed: Annotated[int, Le(9)] | None = hyper("An integer that may be left open.", default=None)
    pairs: list[list[Annotated[int, Ge(0)]]] = hyper("A list of lists.", default=[[0]])


class Named(Hyperparameters):
    """Names that are not Python's, and several for one."""

    lambda_: float = hyper("A keyword.", name="lambda", aliases=("reg_lambda", "_l2"), ge=0)
    folds: int | None = hyper("A setting that would be passed over.", default=None, name="_folds", ge=2)

    @classmethod
    def original(cls, kind: Kind, item: Declared | None, value: object) -> str:
        return f"{kind}: {item.name if item else ''}={value}"


class Strict(Hyperparameters):
    k: int = hyper("Needed.", ge=1)
    dim: int = hyper("Needed too.", ge=1)
    tries: int = hyper("Not needed.", default=3, ge=1)

    @property
    def room(self) -> int:
        return self.dim

    def conflicts(self) -> tuple[Iterable[str], ...]:
        return self._large(), self._often()

    def _large(self) -> Iterator[str]:
        if self.k > self.room:
            yield f"k is {self.k}, expected at most dim, which is {self.dim}"

    def _often(self) -> Iterator[str]:
        if self.tries > 5:
            yield f"tries is {self.tries}, expected at most 5"
            if self.tries > self.k:
                yield f"tries is {self.tries}, expected at most k, which is {self.k}"


def read(name: str, raw: object) -> Any:
    return getattr(Sample.from_strings({name: raw}), name)


def fault(settings: type[Hyperparameters], **given: object) -> str:
    with pytest.raises(UserError) as caught:
        settings.from_strings(given)
    return str(caught.value)


# One row of contract 1.3 after another: generic Estimator, class of its own, framework class, ModelTrainer.
@pytest.mark.parametrize(
    ("name", "value", "spellings"),
    [
        ("flag", True, ["True", "true", "true", True, "TRUE", ' "true" ']),
        ("flag", False, ["False", "false", False]),
        ("part", 0.1, ["0.1", 0.1, "1e-1", ".1", "+0.1", ' "0.1" ', "0.10"]),
        ("part", 1.0, ["1", "1.", "1.0", 1]),
        ("count", 7, ["7", 7, " 7 ", "+7", "07", "7.0", 7.0, '"7"']),
        ("offset", -3, ["-3", -3, "-3.0"]),
        ("metrics", ["msd", "ssd"], ["['msd', 'ssd']", '["msd", "ssd"]', ["msd", "ssd"], "msd,ssd", " msd , ssd "]),
        ("metrics", ["ssd"], ["['ssd']", '["ssd"]', '"ssd"', "ssd", ["ssd"]]),
        ("layers", [3, 1], ["[3, 1]", [3, 1], "3,1", "['3', '1']", ["3", "1"], "[3.0, 1.0]"]),
        ("layers", "auto", ["auto", '"auto"']),
        ("layers", [3, 1], ["(3, 1)", "(3,1,)", " ( 3 , 1 ) "]),
        ("layers", [3], ["(3,)", "(3)"]),
        ("pairs", [[1, 2], [3]], ["[[1,2],[3]]", [[1, 2], [3]], '[["1", "2"], ["3"]]', "([1, 2], [3])"]),
        ("words", ["it's", "a,b"], ['["it\'s", "a,b"]', ["it's", "a,b"]]),
        ("method", "kmeans++", ["kmeans++", '"kmeans++"', " kmeans++ "]),
        ("text", "abc", ["abc", '"abc"', " abc "]),
        ("text", 'say "hi"', ['"say \\"hi\\""', 'say "hi"']),
        ("text", "", ["", '""', " "]),
        ("text", "null", ['"null"']),
        ("factor", "auto", ["auto", '"auto"']),
        ("factor", 4, ["4", 4]),
        ("decay", 0.25, ["0.25", 0.25]),
    ],
)
def test_every_client_spelling(name: str, value: object, spellings: list[object]) -> None:
    for raw in spellings:
        found = read(name, raw)
        assert (found, type(found)) == (value, type(value)), raw


@pytest.mark.parametrize("name", Sample.model_fields)
@pytest.mark.parametrize("raw", [None, "None", "null", " null "])
def test_none_leaves_the_default(name: str, raw: object) -> None:
    assert read(name, raw) == getattr(Sample(), name)


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        # What int() and float() of Python would read, and the schemas of the original would not.
        ("count", ["1_000", "1e3", "0x10", "٧", "１２", "7.5", 7.5, "", "seven", "7 8", "--7", "7\n8", "nan", "inf"]),
        ("count", [True, False, "true", "True", [7], {"a": 7}, "[7]", 10**30, "9" * 40, -(2**63) - 1]),
        ("part", ["1_0e-2", "0,5", "٠.5", "nan", "NaN", "inf", "-Infinity", "", "0x1p-2", ".", "e5", [0.5], {}, True]),
        ("part", [math.nan, math.inf, -math.inf, 10**400, "1e400"]),
        ("flag", ["1", "0", 1, 0, 1.0, "yes", "on", "t", "", [True], "truefalse"]),
        ("method", ["Random", "kmeans", "", 1, True, ["random"]]),
        ("metrics", ["[]", [], "", "msd,,ssd", '["msd"', "msd]", '["msd",]', "[None]", [None], [["msd"]], [1], {}, 1]),
        ("metrics", ["[" * 2000, "['msd'"]),
        ("layers", ["(", ")", "()", "(3", "(3,,1)", "(3)(1)"]),
        ("pairs", ["[[1], 2]", "[[]]", "1,2", "[[-1]]", "[1]", [[[1]]], "[[1.5]]", "((1, 2), (3,))"]),
        ("layers", ["[true]", [True], "[1.5]", "[0]", "[1, null]", "Auto", "1_0,2", [[1]]]),
        ("words", [[1], [None], "[1]"]),
        ("text", [5, True, ["a"], {"a": 1}]),
        ("factor", ["0", "AUTO", "-1", "1.5", True]),
        ("decay", ["0", "1", "nan", "auto,"]),
        ("seed", ["10", True, ""]),
        *((name, ["x" * (LONGEST_VALUE + 1)]) for name in Sample.model_fields),
    ],
)
def test_refused_spellings(name: str, spellings: list[object]) -> None:
    for raw in spellings:
        text = fault(Sample, **{name: raw})
        assert text.startswith("The value ") and f"is not valid for the '{name}' hyperparameter which" in text, raw
        assert len(text) < 600 and "\n" not in text


@pytest.mark.parametrize(
    ("name", "raw", "sentence"),
    [
        (
            "method",
            "lloyd",
            "The value 'lloyd' is not valid for the 'method' hyperparameter which accepts one of the following: "
            "'random', 'kmeans++'",
        ),
        (
            "flag",
            "maybe",
            "The value 'maybe' is not valid for the 'flag' hyperparameter which expects a boolean: 'true' or 'false'",
        ),
        (
            "count",
            "abc",
            "The value 'abc' is not valid for the 'count' hyperparameter which expects one of the following: "
            "a string which matches the pattern '^([1-9][0-9]*)$'; or an integer greater than 0",
        ),
        ("level", "0", "pattern '^([1-9][0-9]*)$'; or an integer between 1 and 9"),
        ("offset", "x", "pattern '^-?[0-9]+$'; or an integer"),
        ("part", "2", "; or a number between 0 and 1"),
        ("rate", "0", "; or a number greater than 0 and of at most 1"),
        ("below", "0", "; or a number less than 0"),
        ("seed", "10", "; or an integer less than 10"),
        (
            "metrics",
            ["x"],
            "The value '[\"x\"]' is not valid for the 'metrics' hyperparameter which expects a JSON list",
        ),
        ("metrics", "x", "which expects a JSON list of one or more of 'msd', 'ssd'"),
        ("layers", "x", "which expects one of the following: 'auto'; or a JSON list of an integer greater than 0 each"),
        ("factor", "x", "'auto'; a string which matches the pattern '^([1-9][0-9]*)$'; or an integer greater than 0"),
        ("text", 5, "The value '5' is not valid for the 'text' hyperparameter which expects a string"),
        ("count", True, "The value 'true' is not valid"),
        ("count", 2**63, "or an integer greater than 0 (it does not fit into 64 bits)"),
        ("text", "x" * 2501, f"The value '{'x' * 100}…' is not valid for the 'text' hyperparameter which expects a"),
        ("text", "x" * 2501, "expects a string (it is longer than 2500 characters)"),
    ],
)
def test_wording(name: str, raw: object, sentence: str) -> None:
    text = fault(Sample, **{name: raw})
    assert sentence in text
    assert text.endswith(sentence) or not sentence.startswith("The value 'abc'")


def test_unknown_names_with_a_suggestion() -> None:
    expected = "Additional hyperparameters are not allowed ('contt' was unexpected). Did you mean 'count'?"
    assert fault(Sample, contt="5") == expected
    text = fault(Sample, zzzz="1", qqqq="2")
    assert text == "Additional hyperparameters are not allowed ('zzzz', 'qqqq' were unexpected)"


def test_all_faults_at_once() -> None:
    lines = fault(Strict, kk="5", dim="0", tries="many").split("\n")
    assert [line[:60] for line in lines] == [
        "Additional hyperparameters are not allowed ('kk' was unexpected). Did you mean 'k'?"[:60],
        "No value(s) were specified for 'k' which are required hyperparameter(s)"[:60],
        "The value '0' is not valid for the 'dim' hyperparameter which expects"[:60],
        "The value 'many' is not valid for the 'tries' hyperparameter which"[:60],
    ]
    expected = "No value(s) were specified for 'k', 'dim' which are required hyperparameter(s)"
    assert fault(Strict) == fault(Strict, k="null", dim=None) == expected


def test_conflicts_of_values_that_are_right_by_themselves() -> None:
    conflict, other = "k is 9, expected at most dim, which is 2", "tries is 6, expected at most 5"
    assert fault(Strict, k="9", dim="2") == conflict
    assert fault(Strict, k="9", dim="2", kk="").endswith(conflict)
    assert fault(Strict, k="9", dim="2", tries="x").split("\n")[1:] == [conflict]
    for wrong in ({"k": "many"}, {"k": "0"}, {}):
        assert fault(Strict, dim="2", tries="6", **wrong).split("\n")[1:] == [other]
    assert fault(Strict, k="4", dim="5", tries="6").split("\n") == [
        other,
        "tries is 6, expected at most k, which is 4",
    ]


def test_names_that_users_write() -> None:
    settings = Named.from_strings({"lambda": "0.5", "_folds": "3", "_other": "x"})
    assert (settings.lambda_, settings.folds) == (0.5, 3)
    assert settings.as_strings() == {"lambda": "0.5", "_folds": "3"}
    assert Named.defaults() == {"_folds": "null"}
    assert "'lambda_' was unexpected" in fault(Named, **{"lambda_": "1", "lambda": "1"})


def test_of_several_names_the_last_counts() -> None:
    for last in ("lambda", "reg_lambda", "_l2"):
        given = {name: "x" for name in ("lambda", "reg_lambda", "_l2") if name != last}
        assert Named.from_strings({**given, last: "2"}).lambda_ == 2


def test_words_of_the_original_come_first() -> None:
    lines = fault(Named, **{"lambda": "-1", "_folds": "x", "folds": "2"}).split("\n")
    assert [line.partition(". ")[0] for line in lines] == [
        "unknown: =folds",
        "outside: lambda=-1",
        "unreadable: _folds=x",
    ]
    assert lines[1].startswith("outside: lambda=-1. The value '-1' is not valid for the 'lambda' hyperparameter which")
    assert fault(Named).startswith("missing: lambda=None. No value(s) were specified for 'lambda' which are")


def test_settings_of_tools_are_ignored() -> None:
    Sample.from_strings({"_tuning_objective_metric": "test:msd", "sagemaker_program": '"train.py"', "_x": {"a": [1]}})
    assert "('sagemaker' was unexpected)" in fault(Sample, sagemaker="1")


def test_sizes_are_bounded() -> None:
    many = fault(Sample, **{f"key{number}": "1" for number in range(20_000)})
    assert many.startswith("Got 20000 hyperparameters, expected at most 100\nAdditional hyperparameters are not")
    assert "'key9', … were unexpected" in many and "'key10'" not in many
    assert len(many) < 1000
    assert len(fault(Sample, **{"c" * 1_000_000: "1"})) < 300
    assert len(fault(Sample, count=list(range(100_000)))) < 400


def test_values_and_names_forge_no_log_lines() -> None:
    forged = "5\n[01/01/2026 00:00:00 INFO 1] #quality_metric: host=algo-1, test msd <loss>=0"
    assert "\n" not in fault(Sample, count=forged)
    assert "\n" not in fault(Sample, **{forged: "1"})
    assert "\x1b" not in fault(Sample, method="\x1b[2J") and "\u2028" not in fault(Sample, method="\u2028")
    fault(Sample, method="\ud800").encode()  # a lone surrogate, as JSON may hold, can be written to a file


def test_defaults_are_strings_that_read_back() -> None:
    assert Sample.defaults() == Sample().as_strings()
    assert Sample.defaults()["metrics"] == '["msd"]' and Sample.defaults()["seed"] == "null"
    assert "k" not in Strict.defaults()


def form_values(form: Form) -> st.SearchStrategy[Any]:
    match form:
        case Choice(values):
            return st.sampled_from(values)
        case Flag():
            return st.booleans()
        case Number(integer=True):
            low = -(2**63) if form.lowest is None else int(form.lowest)
            return st.integers(low, 2**63 - 1 if form.highest is None else int(form.highest))
        case Number():
            return st.floats(
                form.lowest,
                form.highest,
                exclude_min=form.gt is not None,
                exclude_max=form.lt is not None,
                allow_nan=False,
                allow_infinity=False,
            )
        case Many(item):
            return st.lists(form_values(item), min_size=1, max_size=20)
    return st.text(max_size=100)


def value_of(item: Declared) -> st.SearchStrategy[Any]:
    return st.one_of(*map(form_values, item.forms))


def settings_of(kind: type[Hyperparameters]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({item.name: value_of(item) for item in kind.declared()})


def kind_of(name: str) -> type[Hyperparameters]:
    ours: dict[str, type[Hyperparameters]] = {"sample": Sample, "named": Named, "toy": ToyHyperparameters}
    return ours[name] if name in ours else algorithms.algorithm(name).hyperparameters


every_kind = pytest.mark.parametrize("name", ["sample", "named", "toy", *algorithms.TABLE])


@every_kind
@given(data=st.data())
def test_any_declared_value_goes_there_and_back(name: str, data: st.DataObject) -> None:
    kind = kind_of(name)
    values = data.draw(settings_of(kind))
    try:
        settings = kind.from_strings({name: as_string(value) for name, value in values.items()})
    except UserError as error:  # values that are each right by themselves may be at odds
        assert "is not valid for" not in str(error)
        return
    assert {item.name: getattr(settings, item.field) for item in kind.declared()} == values
    assert settings.as_strings() == kind.from_strings(settings.as_strings()).as_strings()


def outside(form: Number) -> st.SearchStrategy[Any]:
    below: st.SearchStrategy[Any] = st.nothing()
    above: st.SearchStrategy[Any] = st.integers(2**63, 2**70) if form.integer else st.nothing()
    if form.lowest is not None:
        below = st.integers(-(2**63), int(form.lowest) - 1) if form.integer else st.floats(None, form.lowest)
    if form.highest is not None:
        above = st.integers(int(form.highest) + 1) if form.integer else st.floats(form.highest, None)
    return (below | above).filter(lambda value: not math.isfinite(value) or not within(form, value))


def within(form: Number, value: float) -> bool:
    return (
        (form.ge is None or value >= form.ge)
        and (form.gt is None or value > form.gt)
        and (form.le is None or value <= form.le)
        and (form.lt is None or value < form.lt)
    )


@every_kind
@given(data=st.data())
def test_values_outside_the_range_are_refused(name: str, data: st.DataObject) -> None:
    kind = kind_of(name)
    bounded = [
        (item, form)
        for item in kind.declared()
        for form in item.forms
        if isinstance(form, Number) and (form.integer or form.lowest is not None or form.highest is not None)
    ]
    item, form = data.draw(st.sampled_from(bounded))
    value = data.draw(outside(form))
    for raw in (value, as_string(value)):
        assert f"is not valid for the '{item.name}' hyperparameter which" in fault(kind, **{item.name: raw})


@given(st.dictionaries(st.text(max_size=20) | st.sampled_from(list(Sample.model_fields)), st.text(max_size=40)))
def test_any_strings_give_settings_or_a_user_error(given: dict[str, str]) -> None:
    try:
        settings = Sample.from_strings(given)
    except UserError as error:
        assert re.search(r"unexpected|is not valid", str(error))
    else:
        assert Sample.from_strings(settings.as_strings()) == settings


def test_settings_are_frozen_and_declared_once() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Sample().count = 3
    declared = {item.name: item for item in ToyHyperparameters.declared()}
    assert declared["scale"].refinable and declared["mini_batch_size"].tune == (5, 50)
    assert declared["feature_dim"].required and declared["feature_dim"].forms == (Number(integer=True, ge=1),)
