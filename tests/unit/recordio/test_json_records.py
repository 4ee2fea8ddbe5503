"""JSON and JSON Lines: every form of an instance, and every refusal."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from recordio import DataError, Limits, batches, decode, json_records

DENSE: list[Any] = [
    {"features": [1.5, 16]},
    {"features": [1.5, 16], "configuration": {"a": True}},
    {"data": {"features": {"values": [1.5, 16]}}},
    {"data": {"features": {"values": [1.5, 16], "keys": [], "shape": [2]}}, "configuration": {}},
    {"data": {"features": [1.5, 16]}},
]


def both(instances: list[Any], **options: Any) -> list[Any]:
    document = json.dumps({"instances": instances}).encode()
    lines = "\n".join(map(json.dumps, instances)).encode()
    return [
        decode(document, "application/json", **options),
        decode(lines + b"\n\n", "application/jsonlines", **options),
    ]


@pytest.mark.parametrize("instance", DENSE)
def test_dense_forms(instance: Any) -> None:
    for batch in both([instance, instance]):
        assert batch.labels is None
        assert batch.features.dtype == np.float32
        assert_array_equal(batch.features, [[1.5, 16], [1.5, 16]])


def test_sparse_form() -> None:
    instance = {"data": {"features": {"keys": [26, 3], "shape": [200], "values": [1, 4]}}}
    for batch in both([instance, {"data": {"features": {"keys": [], "shape": [200], "values": []}}}]):
        assert isinstance(batch.features, csr_array)
        expected = np.zeros((2, 200))
        expected[0, 26], expected[0, 3] = 1, 4
        assert_array_equal(batch.features.toarray(), expected)
        assert batch.features.has_canonical_format


def test_dense_and_sparse_together_are_sparse() -> None:
    instances = [{"features": [1, 0, 2]}, {"data": {"features": {"keys": [1], "shape": [3], "values": [5]}}}]
    for batch in both(instances):
        assert isinstance(batch.features, csr_array)
        assert_array_equal(batch.features.toarray(), [[1, 0, 2], [0, 5, 0]])


@pytest.mark.parametrize(
    ("given", "expected"),
    [([3, 4.5], [3, 4.5]), ([[3], [4]], [3, 4]), ([[3, 1], [4, 2]], [[3, 1], [4, 2]]), ([[], []], None)],
)
def test_labels(given: list[Any], expected: object) -> None:
    sparse_features = {"keys": [1], "shape": [3], "values": [5]}
    for form in ({"features": [1, 2]}, {"data": {"features": sparse_features}}, {"features": [1, 2], "id": "a"}):
        for batch in both([{**form, "label": label} for label in given]):
            if expected is None:
                assert batch.labels is None
            else:
                assert batch.labels.dtype == np.float32
                assert_array_equal(batch.labels, np.array(expected, np.float32))


def test_labels_in_some_records_only() -> None:
    labelled, bare = {"features": [1, 2], "label": 1}, {"features": [1, 2]}
    for instances, text in (
        ([labelled, bare], "record 1: got 0 labels, expected 1"),
        ([bare, bare, labelled], "record 2: got 1 labels, expected 0"),
        ([labelled, {**bare, "label": [1, 2]}], "record 1: got 2 labels, expected 1"),
    ):
        for body, kind in (
            (json.dumps({"instances": instances}).encode(), "application/json"),
            ("\n".join(map(json.dumps, instances)).encode(), "application/jsonlines"),
        ):
            with pytest.raises(DataError) as error:
                decode(body, kind)
            assert str(error.value) == text


def test_shape_may_be_missing_when_the_width_is_known() -> None:
    instance = {"data": {"features": {"keys": [1], "values": [5]}}}
    for batch in both([instance], width=3):
        assert_array_equal(batch.features.toarray(), [[0, 5, 0]])
    with pytest.raises(DataError, match=r"record 0: got keys without a shape, expected the number of columns in shape"):
        both([instance])


def test_no_instances() -> None:
    assert decode(b'{"instances": []}', "application/json", width=3).features.shape == (0, 3)


@pytest.mark.parametrize("kind", ["application/json", "application/jsonlines"])
def test_null_is_nan(kind: str) -> None:
    instances = [{"features": [1, None]}, {"data": {"features": {"values": [None, 4]}}}]
    lists = [{"features": [None, 2.5]}, {"features": [None, None]}]
    for some, expected in ((instances, [[1, np.nan], [np.nan, 4]]), (lists, [[np.nan, 2.5], [np.nan, np.nan]])):
        text = json.dumps({"instances": some}) if kind == "application/json" else "\n".join(map(json.dumps, some))
        assert_array_equal(decode(text.encode(), kind).features, expected)
    keyed = json.dumps({"features": {"keys": [1], "values": [None], "shape": [3]}})
    assert np.isnan(decode(keyed.encode(), "application/jsonlines").features.data).all()


def sparse(**features: Any) -> dict[str, Any]:
    return {"data": {"features": {"values": [1], "keys": [0], "shape": [4], **features}}}


@pytest.mark.parametrize(
    ("instance", "text"),
    [
        ({"features": [1, True]}, "got true in values, place 1, expected a number"),
        ({"features": [1, "2"]}, 'got "2" in values, place 1, expected a number'),
        (sparse(keys=[None]), "got null in keys, place 0, expected an integer"),
        ({"features": [[1, 2]]}, "got a list in values, place 0, expected a number"),
        ({"features": [1, 2], "label": "cat"}, 'got "cat" in label, place 0, expected a number'),
        ({"features": [1, 2], "label": None}, "got null in label, place 0, expected a number"),
        ({"features": [1, 2], "label": [1, [2]]}, "got a list in label, place 1, expected a number"),
        ({"features": "12"}, 'got "12", expected a list of numbers or an object with "values"'),
        ({"features": []}, "got no features, expected values"),
        ({"features": [1, 2, 3]}, "got 3 features, expected 2"),
        ({}, 'got an object, expected an object with "features"'),
        ([1, 2], 'got a list, expected an object with "features"'),
        (7, 'got 7, expected an object with "features"'),
        ({"data": [1, 2]}, 'got a list, expected an object with "features"'),
        (sparse(keys=[4]), "got key 4, expected 0 to 3"),
        (sparse(keys=[-1]), "got key -1, expected a column, counted from 0"),
        (sparse(keys=[2**63]), "got key 9223372036854775808, expected a column, counted from 0"),
        (sparse(keys=[1.0]), "got 1.0 in keys, place 0, expected an integer"),
        (sparse(keys=[0, 1]), "got 2 keys and 1 values, expected as many of both"),
        (sparse(keys=[1, 3, 1], values=[1, 2, 3]), "got key 1 twice, expected each key once"),
        (sparse(shape=[2**31]), "got shape [2147483648], expected 1 to 2147483647 columns"),
        (sparse(shape=[2**32, 2**32]), "got shape [4294967296, 4294967296], expected 1 to 2147483647 columns"),
        (sparse(shape=[-4]), "got shape [-4], expected 1 to 2147483647 columns"),
        (sparse(shape=[2**60] * 10_000), "got a shape of 10000 numbers, expected the number of columns"),
        (sparse(keys=[], shape=[3]), "got 1 values, expected 3 (shape [3]) or keys"),
        (sparse(shape=4), "got 4 as shape, expected a list"),
    ],
)
def test_fault_says_where_and_what(instance: Any, text: str) -> None:
    instances = [{"features": [1, 2]}, instance]
    for body, kind in (
        (json.dumps({"instances": instances}).encode(), "application/json"),
        ("\n".join(map(json.dumps, instances)).encode(), "application/jsonlines"),
    ):
        with pytest.raises(DataError) as error:
            decode(body, kind)
        assert str(error.value) == f"record 1: {text}"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[[1, 2]]", 'got a list without a list of instances, expected {"instances": [...]}'),
        (b'{"instances": 3}', 'got an object without a list of instances, expected {"instances": [...]}'),
        (b"3", 'got 3 without a list of instances, expected {"instances": [...]}'),
        (b'{"instances": [{"features": [NaN]}]}', "got bytes that are not JSON"),
        (b'{"instances": [{"features": [1,]}]}', "got bytes that are not JSON"),
        (b"\xff", "got bytes that are not JSON"),
        (b"", "got bytes that are not JSON"),
        (b"[" * 100_000, "got JSON nested more than 64 deep"),
        (b'{"a":' * 100_000, "got JSON nested more than 64 deep"),
        (b'{"instances":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "got JSON nested more than 64 deep"),
    ],
)
def test_bad_documents(body: bytes, text: str) -> None:
    with pytest.raises(DataError) as error:
        decode(body, "application/json")
    assert str(error.value).startswith(text)


def test_bad_line() -> None:
    with pytest.raises(DataError, match=r"^record 1: got bytes that are not JSON"):
        decode(b'{"features":[1]}\n\n{"features":[1}\n', "application/jsonlines")


def no_parser(*_: object) -> None:
    raise AssertionError("a line was parsed one by one")


def test_plain_lines_are_not_parsed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "_parse", no_parser)
    body = b'{"features":[1, 2.5e-1]}\n\n\t{ "features" : [ -3 , 0.0 ] }\r\n'
    assert_array_equal(decode(body, "application/jsonlines").features, [[1, 0.25], [-3, 0]])
    body = b'{"label":[1],"features":[1]}\n{"features":[2],"label":5}'
    assert_array_equal(decode(body, "application/jsonlines").labels, [1, 5])  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        decode(b'{"features":[1],"id":7}', "application/jsonlines")


def test_odd_lines_among_plain_ones() -> None:
    lines = [{"features": [number, 1]} for number in range(2000)]
    for place in (0, 5, *range(700, 1300), 1999):
        lines[place]["id"] = [place]
    (batch,) = batches("\n".join(map(json.dumps, lines)).encode(), "application/jsonlines", 5000)
    assert_array_equal(batch.features[:, 0], np.arange(2000))  # type: ignore[index]


def test_the_first_fault_counts() -> None:
    body = b'{"features":[1,2]}\n{"features":[1,2],"a":1}\n{"features":[1]}\n{"features":[true]}\nx\n'
    with pytest.raises(DataError, match=r"^record 2: got 1 features, expected 2$"):
        decode(body, "application/jsonlines")


def test_many_blank_lines() -> None:
    blank = b"\n \r\n\t" * 10**6
    body = blank + b'{"features":[1]}' + blank + b'{"features":[2],"id":7}' + blank
    assert decode(body, "application/jsonlines").features.tolist() == [[1], [2]]


def test_brackets_in_strings_do_not_nest() -> None:
    text = json.dumps({"instances": [{"features": [1], "configuration": {"a": '\\"[' * 200 + "\\"}}]})
    assert decode(text.encode(), "application/json").features.tolist() == [[1]]


def test_last_of_two_equal_names_counts() -> None:
    assert decode(b'{"instances":[{"features":[1],"features":[2]}]}', "application/json").features.tolist() == [[2]]


def test_limits() -> None:
    with pytest.raises(DataError, match=r"got a JSON document of more than 9 bytes"):
        decode(b'{"instances":[]}', "application/json", limits=Limits(record_bytes=9))
    for values in (b"1," * 2100 + b"1", b'{"a":1},' * 300 + b"1", b'["a"],' * 300 + b"1"):
        with pytest.raises(DataError, match=r"^record 0: got more in one piece of JSON than 2048 numbers take$"):
            odd = Limits(dense_width=1024, overhead_bytes=1024)
            decode(b'{"id":7,"features":[%s]}' % values, "application/jsonlines", limits=odd)
    with pytest.raises(DataError, match=r"record 0: got 3 values, the limit is 2"):
        decode(b'{"instances":[{"features":[1,2,3]}]}', "application/json", limits=Limits(dense_width=2))
    with pytest.raises(DataError, match=r"^record 1: got 3 values, the limit is 2$"):
        decode(b'{"features":[1,2]}\n{"features":[1,2,3]}', "application/jsonlines", limits=Limits(dense_width=2))
    assert decode(b'{"instances":[{"features":[1e39]}]}', "application/json").features.tolist() == [[np.inf]]
