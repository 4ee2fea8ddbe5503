"""Small requests: microseconds to decode one record of 64 features, against the shortest code for each format."""

from __future__ import annotations

import numpy as np
import orjson

import recordio
from benchmarks.recordio.data import RECORDIO, Matrix, as_recordio, dense
from benchmarks.recordio.decode import dense_rows
from benchmarks.rounds import measured

FEATURES = 64
TIMES = 1000  # a run


def run(rounds: int) -> None:
    row = dense(FEATURES, 4 * FEATURES)[0]
    numbers = row[0].tolist()
    bodies = {
        "text/csv": ",".join(map(str, numbers)).encode(),
        "application/json": orjson.dumps({"instances": [{"features": numbers}]}),
        RECORDIO: as_recordio(row, np.zeros(1, np.float32)),
    }
    peers = {
        "text/csv": ("split, float", lambda body: np.array([[float(cell) for cell in body.split(b",")]], np.float32)),
        "application/json": ("orjson, np.array", orjson_rows),
        RECORDIO: ("protobuf, np.array", dense_rows),
    }
    print("\n| one record of 64 features | µs | peer | µs | ours / peer |\n|---|---|---|---|---|")
    for content_type, body in bodies.items():
        name, peer = peers[content_type]

        def ours(body: bytes = body, content_type: str = content_type) -> None:
            for _ in range(TIMES):
                recordio.decode(body, content_type)

        def theirs(body: bytes = body, peer: object = peer) -> None:
            for _ in range(TIMES):
                peer(body)  # type: ignore[operator]

        found = measured({"ours": ours, "peer": theirs}, rounds)
        own, other = (found.seconds(who).times(1e6 / TIMES) for who in ("ours", "peer"))
        print(f"| {content_type} | {own} | {name} | {other} | {found.ratio('ours', 'peer')} |")
        print(f"| *{found.load}* | | | | |", flush=True)


def orjson_rows(body: bytes) -> Matrix:
    return np.array([one["features"] for one in orjson.loads(body)["instances"]], np.float32)
