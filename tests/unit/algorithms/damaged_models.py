"""Damage model files, and predict with what is left: `damaged_models.py COUNT [FIRST]` prints served and refused.

A crash or a hang ends it. The library's own reader, given such files, ends by SIGSEGV or SIGABRT every thirtieth time.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

import numpy as np
import xgboost

from algorithms.artifacts import ubjson
from algorithms.xgboost.model import XGBoostModel, load
from recordio.batch import Batch
from recordio.errors import UserError
from tests.unit.algorithms.boosters import FEATURES, KINDS, records, trained

SECONDS = 10  # for one file
MEMORY = 6 << 30
PIECES = (b"\x7f" + b"\xff" * 7, b"\xff" * 8, bytes(8), b"\x7f\xff\xff\xff", b"\xff" * 4, bytes(4), b"\0\0\0\1", b"999")
INTEGERS = (0, 1, 2, -1, 5, 127, 255, 2**31 - 1, -(2**31), 2**40)
FLOATS = (np.nan, np.inf, -np.inf, 0.0, 1e38, -1.0)
TEXTS = ("", "0", "1", "2", "3", "-1", "2147483647", "nan", "[1,2,3]", "dart", "gbtree", "multi:softmax", "rank:ndcg")


def damaged_bytes(random: Random, content: bytes) -> bytes:
    found = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        place, size = random.randrange(len(found)), random.choice((1, 4, 8, 50))
        match random.randrange(4):
            case 0:
                found[place] ^= 1 << random.randrange(8)
            case 1:
                del found[place : place + size]
            case 2:
                found[place:place] = found[random.randrange(len(found)) :][:size]
            case _:
                piece = random.choice(PIECES)
                found[place : place + len(piece)] = piece
    return bytes(found)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for name, inner in members for found in places(inner, (*path, name))] + ([path] if path else [])


def damaged_document(random: Random, content: bytes) -> bytes:
    """Valid UBJSON of another sense."""
    found = ubjson.decode(content)
    *path, name = random.choice(places(found))
    where = found
    for step in path:
        where = where[step]
    match where[name]:
        case np.ndarray() as old if len(old):
            new = old.astype(old.dtype.newbyteorder("="))
            for _ in range(random.choice((1, 1, 3))):
                value = random.choice(FLOATS if new.dtype.kind == "f" else (*INTEGERS, len(new), len(new) - 1))
                with np.errstate(over="ignore"):
                    new[random.randrange(len(new))] = np.array(value).astype(new.dtype)
            where[name] = random.choice((new, new, new, new[:-1], np.append(new, new[:1])))
        case str():
            where[name] = random.choice(TEXTS)
        case int() | float():
            where[name] = random.choice(INTEGERS)
        case _ if isinstance(where, dict) and random.random() < 0.5:
            del where[name]
        case _:
            where[name] = random.choice((None, True, [], {}, "x", 1, [1], np.zeros(3, np.int32)))
    return ubjson.encode(found)


def served(content: bytes, folder: Path) -> bool:
    (folder / "xgboost-model").write_bytes(content)
    try:
        model = load(folder)
        some = Batch(np.resize(records(2, 70), (70, min(model.feature_dim, FEATURES))))
        if model.feature_dim != some.width:
            return True
        model.predict(some)
        model.predict(some[:1])
        for tell in (XGBoostModel.margin, XGBoostModel.contributions, XGBoostModel.interactions, XGBoostModel.leaves):
            tell(model, some[:5])
    except (UserError, MemoryError):
        return False
    return True


def main(count: int, first: int = 0) -> None:
    xgboost.set_config(verbosity=0)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    boosters = [trained(kind) for kind in KINDS]
    forms = [(bytes(booster.save_raw("ubj")), bytes(booster.save_raw("json"))) for booster in boosters]
    assert all(json.loads(text) for _, text in forms)
    good = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + count):
            random = Random(number)
            binary, text = random.choice(forms)
            damage, whole = random.choice(((damaged_bytes, binary), (damaged_bytes, text), (damaged_document, binary)))
            content = damage(random, whole)
            signal.alarm(SECONDS)
            good += served(content, Path(folder))
            signal.alarm(0)
    print(good, count - good)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
