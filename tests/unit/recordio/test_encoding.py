"""Replies, as the original's clients read them."""

import csv
import io
import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from recordio import AlgorithmError, UnsupportedContentType, encode, encoding, records
from recordio.encoding import CsvForm
from recordio.protobuf import Record

COLUMNS = {
    "closest_cluster": np.array([1, 0]),
    "distance_to_cluster": np.array([23.40593910217285, 3], np.float32),
    "score": np.array([[0.5, 1e-7], [1e16, -2]]),
}


def test_json() -> None:
    assert json.loads(encode(COLUMNS, "application/json")) == {
        "predictions": [
            {"closest_cluster": 1.0, "distance_to_cluster": 23.40593910217285, "score": [0.5, 1e-7]},
            {"closest_cluster": 0.0, "distance_to_cluster": 3.0, "score": [1e16, -2.0]},
        ]
    }
    assert encode({"score": np.ones(1)}, "application/json", "scores") == b'{"scores":[{"score":1.0}]}'


def test_json_lines_have_no_newline_at_the_end() -> None:
    assert encode({"score": np.array([1.0, 2])}, "application/jsonlines") == b'{"score":1.0}\n{"score":2.0}'


def test_integers_are_integers_in_json() -> None:
    columns = {"predicted_label": np.array([1, 0], np.int32), "score": np.array([1, 0.5], np.float32)}
    assert encode(columns, "application/jsonlines") == (
        b'{"predicted_label":1,"score":1.0}\n{"predicted_label":0,"score":0.5}'
    )
    assert encode(columns, "text/csv") == b"1.0,1.0\n0.0,0.5"


def test_csv() -> None:
    assert encode(COLUMNS, "text/csv; verbose=true") == b"1.0,23.40593910217285,0.5,1e-07\n0.0,3.0,1e+16,-2.0"


def test_recordio() -> None:
    found = [Record.FromString(payload) for payload in records(encode(COLUMNS, "application/x-recordio-protobuf"))]
    assert len(found) == 2
    for row, record in enumerate(found):
        assert not record.features
        assert sorted(record.label) == sorted(COLUMNS)
        for name, column in COLUMNS.items():
            tensor = record.label[name].float32_tensor
            assert_array_equal(tensor.values, np.atleast_1d(column[row]).astype(np.float32))
            assert not tensor.keys
            assert not tensor.shape


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", b'{"predictions":[]}'),
        ("application/jsonlines", b""),
        ("text/csv", b""),
        ("application/x-recordio-protobuf", b""),
    ],
)
def test_no_records(content_type: str, expected: bytes) -> None:
    assert encode({"score": np.empty(0), "projection": np.empty((0, 3))}, content_type) == expected


@pytest.mark.parametrize("content_type", ["application/json", "application/jsonlines", "text/csv", "recordio-protobuf"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_replies_are_finite(content_type: str, value: float) -> None:
    with pytest.raises(AlgorithmError, match=r"^score of record 1 is not a finite float"):
        encode({"score": np.array([[0, 1], [2, value]])}, content_type)


def test_recordio_holds_float32() -> None:
    with pytest.raises(AlgorithmError, match=r"^score of record 0 is not a finite float32$"):
        encode({"score": np.array([1e300])}, "recordio-protobuf")


def test_unsupported_content_type() -> None:
    with pytest.raises(UnsupportedContentType, match=r"^content-type image/png not supported$"):
        encode(COLUMNS, "image/png")


def test_large_replies_are_joined_without_a_seam() -> None:
    count = 2 * encoding.PIECE_RECORDS + 1
    columns = {"a": np.arange(count, dtype=np.float32), "b": np.ones((count, 2), np.float32)}
    rows = [{"a": float(number), "b": [1.0, 1.0]} for number in range(count)]
    assert json.loads(encode(columns, "application/json", "scores")) == {"scores": rows}
    lines = encode(columns, "application/jsonlines").split(b"\n")
    assert [json.loads(line) for line in lines] == rows
    assert encode(columns, "text/csv").decode().split("\n") == [f"{float(number)},1.0,1.0" for number in range(count)]


def test_lists_of_a_cell_in_csv() -> None:
    columns = {"label": np.array([1, 0]), "labels": np.array([[0, 1], [0, 1]]), "p": np.array([[0.5, 0.25], [1, 0]])}
    quoted = b'1,"[0, 1]","[0.5, 0.25]"\n0,"[0, 1]","[1.0, 0.0]"'
    assert encode(columns, "text/csv", csv=CsvForm("quoted")) == quoted
    assert encode(columns, "text/csv", csv=CsvForm("bare", ended=True)) == quoted.replace(b'"', b"") + b"\n"
    assert encode(columns, "text/csv", csv=CsvForm(ended=True)) == b"1.0,0.0,1.0,0.5,0.25\n0.0,0.0,1.0,1.0,0.0\n"
    assert encode({"p": np.empty(0)}, "text/csv", csv=CsvForm(ended=True)) == b""


def test_lists_of_lists() -> None:
    columns = {"pairs": np.arange(8.0).reshape(2, 2, 2)}
    assert (
        encode(columns, "application/jsonlines") == b'{"pairs":[[0.0,1.0],[2.0,3.0]]}\n{"pairs":[[4.0,5.0],[6.0,7.0]]}'
    )
    assert encode(columns, "text/csv") == b"0.0,1.0,2.0,3.0\n4.0,5.0,6.0,7.0"
    body = encode(columns, "application/x-recordio-protobuf")
    values = [Record.FromString(payload).label["pairs"].float32_tensor.values for payload in records(body)]
    assert_array_equal(values, columns["pairs"].reshape(2, 4))


def test_column_without_values_is_nan() -> None:
    columns = {"p": np.full(2, None), "score": np.array([1.0, 2])}
    assert encode(columns, "application/json") == b'{"predictions":[{"p":NaN,"score":1.0},{"p":NaN,"score":2.0}]}'
    assert encode(columns, "text/csv", csv=CsvForm("quoted")) == b"nan,1.0\nnan,2.0"
    body = encode(columns, "application/x-recordio-protobuf")
    values = [Record.FromString(payload).label["p"].float32_tensor.values for payload in records(body)]
    assert np.isnan(values).all()


NAMES = np.array(["plain", 'a, "b"', "line\r\nfeed", "é日\0\\", " [0]"], object)
TEXTS = {"name": NAMES, "names": np.broadcast_to(NAMES, (5, 5)), "score": np.arange(5, dtype=np.float32)}
ROWS = [{"name": name, "names": NAMES.tolist(), "score": float(number)} for number, name in enumerate(NAMES)]


def test_texts_in_json() -> None:
    assert json.loads(encode(TEXTS, "application/json")) == {"predictions": ROWS}
    assert [json.loads(line) for line in encode(TEXTS, "application/jsonlines").split(b"\n")] == ROWS


def test_texts_in_cells_of_csv() -> None:
    body = encode(TEXTS, "text/csv", csv=CsvForm("quoted", ended=True)).decode()
    assert body.startswith('plain,"[""plain"", ')
    lines = list(csv.reader(io.StringIO(body, newline="")))
    assert lines == [[row["name"], json.dumps(row["names"], ensure_ascii=False), str(row["score"])] for row in ROWS]
    lines = list(csv.reader(io.StringIO(encode(TEXTS, "text/csv").decode(), newline="")))
    assert lines == [[row["name"], *row["names"], str(row["score"])] for row in ROWS]
    assert encode({"name": NAMES[:1]}, "text/csv", csv=CsvForm("bare")) == b"plain"


def test_texts_are_bytes_in_recordio() -> None:
    body = encode({**TEXTS, "none": np.full(5, None)}, "application/x-recordio-protobuf")
    found = [Record.FromString(payload).label for payload in records(body)]
    assert [[text.decode() for text in one["name"].bytes.value] for one in found] == [[name] for name in NAMES]
    assert [[text.decode() for text in one["names"].bytes.value] for one in found] == [NAMES.tolist()] * 5
    assert [list(one["score"].float32_tensor.values) for one in found] == [[0], [1], [2], [3], [4]]
    assert all(np.isnan(one["none"].float32_tensor.values).all() for one in found)


@pytest.mark.parametrize("kind", ["application/json", "application/jsonlines", "text/csv", "recordio-protobuf"])
def test_no_texts(kind: str) -> None:
    assert encode({"name": np.empty(0, object), "names": np.empty((0, 2), object)}, kind) == (
        b'{"predictions":[]}' if kind == "application/json" else b""
    )
