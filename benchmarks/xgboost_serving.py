"""Latency of served boosters, beside the library's bare `inplace_predict` behind the same server.

    python -m benchmarks.xgboost_serving [--requests 3000] [--trees 100] [--features 30]

The bare server is ours with a model that does nothing but hand records to the library: no ensemble, no choice of
rounds, no care for its errors. One client asks the servers in turn, request by request, so that other programs disturb
all alike; medians are compared.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from algorithms.answers import Answers
from algorithms.contract import Arrays
from algorithms.xgboost import ALGORITHM
from algorithms.xgboost.model import XGBoostModel
from recordio.batch import Batch
from serving.server import run
from serving.settings import Settings

WARMING = 50  # requests that don't count
PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Bare:
    """Nothing but the library."""

    booster: xgboost.Booster
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def feature_dim(self) -> int:
        return int(self.booster.num_features())

    def predict(self, batch: Batch) -> Arrays:
        return {"score": self.booster.inplace_predict(batch.features)}

    def save(self, directory: Path, host: str) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Bare:
        return cls(xgboost.Booster({"nthread": 1}, model_file=folder / "xgboost-model"))


BARE = replace(ALGORITHM, load=Bare.load, answers=lambda _: Answers())


def serve(name: str, folder: str) -> int:
    algorithm = BARE if name == "bare" else ALGORITHM
    return run(algorithm, Path(folder), Settings.from_environment(os.environ))


@contextmanager
def served(name: str, folder: Path) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server of one worker."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {"SAGEMAKER_BIND_TO_PORT": str(port), "MODEL_SERVER_WORKERS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.xgboost_serving", "--serve", name, str(folder)]
    process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.DEVNULL)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < give_up and process.poll() is None:
            try:
                connection.request("GET", "/ping")
                assert connection.getresponse().read() == b""
                break
            except ConnectionError:
                connection.close()
                time.sleep(0.05)
        yield connection
    finally:
        connection.close()
        process.terminate()
        process.wait()


def booster(trees: int, features: int) -> tuple[xgboost.Booster, Any]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, features)).astype(np.float32)
    labels = rows[:, :5].sum(axis=1) + rng.normal(size=len(rows)) > 0
    settings = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
    return xgboost.train(settings, xgboost.DMatrix(rows, labels), trees), rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        sys.exit(serve(*given.serve))
    model, rows = booster(given.trees, given.features)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as servers:
        folders = {"ours": Path(scratch) / "one", "ensemble of five": Path(scratch) / "five"}
        for folder, boosters in zip(folders.values(), ((model,), (model,) * 5), strict=True):
            folder.mkdir()
            XGBoostModel(boosters).save(folder, "algo-1")
        folders["bare"] = folders["ours"]
        clients = {name: servers.enter_context(served(name, folder)) for name, folder in folders.items()}
        for records in (1, 100):
            text = "\n".join(",".join(map(repr, row)) for row in rows[:records].tolist()).encode()
            times: dict[str, list[float]] = {name: [] for name in clients}
            for _ in range(WARMING + given.requests):
                for name, client in clients.items():
                    times[name].append(seconds(client, text))
            found = {name: np.array(values[WARMING:]) * 1000 for name, values in times.items()}
            print(f"\n{records} records of {given.features} features, {given.trees} trees; {given.requests} requests")
            for name, values in found.items():
                median, late = np.quantile(values, (0.5, 0.99))
                ratio = median / np.median(found["bare"])
                print(f"  {name:<18}{median:.3f} ms, 99 % within {late:.2f}, {ratio:.2f} of bare")


def seconds(client: http.client.HTTPConnection, body: bytes) -> float:
    """One request."""
    start = time.perf_counter()
    client.request("POST", "/invocations", body, {"Content-Type": "text/csv"})
    response = client.getresponse()
    content = response.read()
    taken = time.perf_counter() - start
    assert response.status == 200, content
    return taken


if __name__ == "__main__":
    main()
