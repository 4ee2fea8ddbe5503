"""Stands in for an image of someone else: speaks the /opt/ml contract with nothing but the standard library.

Its model is what it read of each channel and pass, as text. The hyperparameter `act` says how it ends; with `@host`
behind it only that host acts so, and the others wait.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

BASE = Path(os.environ["BASE"])
CONFIG = BASE / "input" / "config"
DATA = BASE / "input" / "data"


def config(name: str) -> dict[str, Any]:
    return json.loads((CONFIG / f"{name}.json").read_text())


def read(channel: str, mode: str, number: int) -> str:
    if mode != "Pipe":
        return "".join(path.read_text() for path in sorted((DATA / channel).rglob("*")) if path.is_file())
    pipe = DATA / f"{channel}_{number}"
    while not pipe.exists():
        time.sleep(0.01)
    return pipe.read_text()


def train() -> int:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    settings = config("hyperparameters")
    assert all(isinstance(value, str) for value in settings.values())
    seen = {
        f"{channel}_{number}": read(channel, fields["TrainingInputMode"], number)
        for number in range(int(settings.get("epochs", "1")))
        for channel, fields in config("inputdataconfig").items()
    }
    resources = config("resourceconfig")
    host, hosts = resources["current_host"], resources["hosts"]
    print(f"#progress_metric: host={host}, completed 100 % of epochs", flush=True)
    act, _, actor = settings.get("act", "").partition("@")
    if actor and actor != host:
        act = "wait"
    if act == "fail":
        (BASE / "output" / "failure").write_text("Customer Error: the answer is 42")
        return 2
    if act == "vanish":
        os.kill(os.getpid(), signal.SIGKILL)
    if act in ("wait", "deaf"):
        print("waiting", flush=True)
        stopping.wait()
    if act == "deaf":
        print("not listening", flush=True)
        time.sleep(60)
    if act != "learn nothing":
        name = "facts.json" if host == hosts[0] else f"facts_{host}.json"
        facts = {"seen": seen, "stopped": stopping.is_set(), "job": os.environ["TRAINING_JOB_NAME"]}
        (BASE / "model" / name).write_text(json.dumps(facts))
    if act == "explain":
        (BASE / "output" / "data" / "why.txt").write_text("because")
    if (CONFIG / "checkpointconfig.json").exists():
        assert config("checkpointconfig")["LocalPath"] == "/opt/ml/checkpoints"
        (BASE / "checkpoints" / "saved").write_text("1")
    return 0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ping" else 404)
        self.end_headers()


def serve() -> int:
    assert (BASE / "model" / "facts.json").exists()
    server = http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    return 0


sys.exit(train() if sys.argv[1] == "train" else serve())
