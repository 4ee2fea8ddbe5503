"""The corpus of the fuzzer and the seeds, checked again without it."""

from pathlib import Path

import pytest

from tests.fuzz import laws, seeds

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", laws.DECODERS)
def test_what_was_found_stays_mended(name: str) -> None:
    found = sorted((CORPUS / name).iterdir())
    assert found
    for path in found:
        laws.check(name, path.read_bytes())


@pytest.mark.parametrize("name", laws.DECODERS)
def test_seeds_are_read(name: str) -> None:
    """A law that all inputs keep because all are refused would say nothing."""
    bodies = seeds.bodies(name)
    read = [body for body in bodies if not isinstance(laws.check(name, bytes(laws.OPTION_BYTES) + body), str)]
    assert len(read) * 2 > len(bodies)


def test_a_law_that_is_broken_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders that lose the last byte of a stream that comes in pieces, refuse nothing, or raise other errors."""
    data = bytes(laws.OPTION_BYTES) + b"1,2\n3,45"
    plain = laws.DECODERS["csv"]
    assert laws.check("csv", data)

    def decode(source: object, options: laws.Options) -> object:
        return plain.decode(b"1,2\n3,4" if isinstance(source, laws.Trickle) else source, options)

    wrong = {
        "cut: got": laws.Decoder(decode),
        "expected a fault": laws.Decoder(lambda *_: [], laws.DECODERS["recordio"].slowly),
        "not": laws.Decoder(lambda *_: [], plain.slowly),
    }
    for text, decoder in wrong.items():
        monkeypatch.setitem(laws.DECODERS, "csv", decoder)
        with pytest.raises(AssertionError, match=text):
            laws.check("csv", data)
    monkeypatch.setitem(laws.DECODERS, "csv", laws.Decoder(lambda *_: int("x")))
    with pytest.raises(ValueError, match="invalid literal"):
        laws.check("csv", data)
