"""Content-Type and Accept, as clients of SageMaker write them."""

import pytest

from recordio import ContentType, UserError, negotiate, sniff

SUPPORTED = ("application/json", "application/jsonlines", "text/csv", "application/x-recordio-protobuf")


@pytest.mark.parametrize(
    ("text", "kind", "parameters"),
    [
        ("text/csv", "text/csv", {}),
        (" Text/CSV ; Label_Size = 1 ;", "text/csv", {"label_size": "1"}),
        ('application/json;charset="UTF-8"', "application/json", {"charset": "UTF-8"}),
        ("csv", "text/csv", {}),
        ("text/x-libsvm", "text/libsvm", {}),
        ("recordio-protobuf", "application/x-recordio-protobuf", {}),
        ("image/jpeg; q=0.5", "image/jpeg", {}),
    ],
)
def test_parse(text: str, kind: str, parameters: dict[str, str]) -> None:
    assert ContentType.parse(text) == ContentType(kind, parameters)


def test_parameters() -> None:
    parsed = ContentType.parse("text/csv; label_size=2; charset=Latin-1; verbose=True")
    assert (parsed.label_size, parsed.encoding, parsed.verbose) == (2, "latin-1", True)
    assert str(parsed) == "text/csv; label_size=2; charset=Latin-1; verbose=True"
    plain = ContentType.parse("text/csv")
    assert (plain.label_size, plain.encoding, plain.verbose) == (None, "utf-8", False)
    assert ContentType.parse("text/csv;encoding=utf-16").encoding == "utf-16"


@pytest.mark.parametrize("size", ["x", "-1", "1.0", "", "²", "9" * 5000])
def test_label_size_must_be_a_count(size: str) -> None:
    with pytest.raises(UserError, match=r"label_size=.*expected a count such as 0 or 1"):
        _ = ContentType.parse(f"text/csv;label_size={size}").label_size


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("text/csv, application/json", "text/csv"),
        ("application/x-npy, application/json;q=0.2, text/csv", "application/json"),
        ("text/*", "text/csv"),
        ("application/*", "application/json"),
        ("image/*, */*;q=0.1", "application/json"),
        ("application/json; verbose=True", "application/json; verbose=True"),
        ("*/*; verbose=true", "application/json; verbose=true"),
        ("csv", "text/csv"),
        ("image/png", None),
        ("image/*", None),
    ],
)
def test_negotiate(accept: str | None, expected: str | None) -> None:
    found = negotiate(accept, SUPPORTED, "application/json")
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b' \n{"instances": []}', "application/json"),
        (b"[1]", "application/json"),
        (b"\x0a\x23\xd7\xce\x00\x00\x00\x00", "application/x-recordio-protobuf"),
        (b"1,2", "text/csv"),
        (b"", "text/csv"),
    ],
)
def test_sniff(body: bytes, expected: str) -> None:
    assert sniff(body) == expected
