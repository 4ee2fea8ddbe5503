"""The web server: gunicorn with threads, workers forked after the model is loaded."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import flask
import orjson
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http import errors as http
from gunicorn.workers.gthread import ThreadWorker

from algorithms.contract import Algorithm
from recordio.errors import PlatformError
from serving.app import ROUTES, create_app
from serving.metrics import Meter
from serving.models import ModelTable, OneModel
from serving.settings import Settings

GRACE_SECONDS = 25  # for open requests at the end; the platform kills after 30
KEEPALIVE_SECONDS = 75  # of an idle connection; longer than the 60 of usual proxies, so that they hang up first
HEARTBEAT_SECONDS = 30  # at least, until a worker that shows no life is replaced; it shows some every second
LINE_FORMAT = "[%(asctime)s %(levelname)s %(thread)d] %(message)s"  # as the originals log
DATE_FORMAT = "%m/%d/%Y %H:%M:%S"
FORMATS = ("recordio.csv", "recordio.json_records", "recordio.tabular", "recordio.writing")
REFUSED: tuple[tuple[type[Exception], tuple[int, str]], ...] = (  # what is not HTTP; the first that fits
    (http.LimitRequestLine, (414, "URI Too Long")),
    (http.LimitRequestHeaders, (431, "Request Header Fields Too Large")),
    (http.UnsupportedTransferCoding, (501, "Not Implemented")),
    (http.ExpectationFailed, (417, "Expectation Failed")),
    (http.ParseException, (400, "Bad Request")),
)
FAULT = (500, "Internal Server Error")

log = logging.getLogger(__name__)


def run(algorithm: Algorithm, folder: Path, settings: Settings) -> int:
    """Serve until SIGTERM and give the exit code. In a worker process SystemExit passes through.

    folder   of the model; with several models, the one that their folders lie in
    A model that can't be loaded does not end the server: /ping tells why it is not ready.
    Raises UserError for settings that don't fit the algorithm, PlatformError when there is no folder to write in.
    """
    signal.signal(signal.SIGTERM, _leave)  # PID 1 of a container has no default; gunicorn sets its own once it starts
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format=LINE_FORMAT, datefmt=DATE_FORMAT)
    for name in FORMATS:
        importlib.import_module(name)  # once, before the workers fork, and not in the first request of each
    models: OneModel | ModelTable
    if settings.multi_model:
        models = ModelTable(algorithm, folder, settings.timeout_seconds)
    else:
        models = OneModel(algorithm, folder)
    meter = Meter(ROUTES, settings.workers)
    meter.ready = isinstance(models, ModelTable) or models.reason is None
    server = Gunicorn(create_app(algorithm, models, settings, meter), settings, meter)
    master = os.getpid()
    gc.collect()
    gc.freeze()  # what is here now is never looked at again, so that its pages stay shared
    try:
        server.run()
    except SystemExit as end:
        if os.getpid() != master:
            raise
        return end.code if isinstance(end.code, int) else 0
    return 0


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def options(settings: Settings, meter: Meter) -> dict[str, Any]:
    """gunicorn's settings."""

    def pre_fork(arbiter: Any, worker: Any) -> None:
        taken = {other.row for other in arbiter.WORKERS.values()}
        worker.row = next(row for row in count() if row not in taken)

    def post_fork(_arbiter: Any, worker: Any) -> None:
        meter.take_row(worker.row)

    return {
        "bind": f"0.0.0.0:{settings.port}",
        "workers": settings.workers,
        "threads": settings.connections,  # made when needed; few compute at a time, so that /ping finds one
        "worker_connections": 2 * settings.connections,  # idle ones need no thread
        "worker_class": Worker,
        "logger_class": Log,
        "preload_app": True,  # all workers share the pages of one model
        "timeout": max(HEARTBEAT_SECONDS, settings.timeout_seconds),
        "graceful_timeout": GRACE_SECONDS,
        "keepalive": KEEPALIVE_SECONDS,
        "worker_tmp_dir": str(writable_folder()),
        "user": os.geteuid(),  # as now: gunicorn remembers the user who imported it, who may have given up rights since
        "group": os.getegid(),
        "control_socket_disable": True,  # it wants a home folder
        "forwarded_allow_ips": "",  # no header may change path or scheme
        "secure_scheme_headers": {},
        "pre_fork": pre_fork,
        "post_fork": post_fork,
    }


def writable_folder(candidates: tuple[str, ...] = ("/dev/shm", "/run", "/tmp", "/var/tmp", ".")) -> Path:  # noqa: S108
    """Where the heartbeat files of the workers may lie, memory first. Raises PlatformError when there is no place."""
    for candidate in (candidates[0], os.environ.get("TMPDIR", candidates[0]), *candidates[1:]):
        try:
            with tempfile.TemporaryFile(dir=candidate):
                return Path(candidate).resolve()
        except OSError:
            continue
    raise PlatformError(f"No folder can be written to: expected one of {', '.join(candidates)}, or TMPDIR")


class Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, app: flask.Flask, settings: Settings, meter: Meter) -> None:
        self.settings = settings
        self._app = app
        self._options = options(settings, meter)
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        return self._app


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, with time limits on sockets and an end that does not wait for idle clients."""

    def enqueue_req(self, conn: Any) -> None:
        limit = struct.pack("ll", self.app.settings.timeout_seconds, 0)  # a struct timeval
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        keep = super().handle(conn)
        if keep is False:
            # Here and not in the loop that accepts connections, which would wait for the client to hang up.
            conn.close(graceful=True)
            conn.close = lambda **_: None
        return keep

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(timeout)
        if not self.alive:
            for conn in (*self.keepalived_conns, *self.pending_conns):  # those that asked for nothing
                conn.timeout = 0

    def handle_error(self, _req: Any, client: Any, _addr: Any, exc: Exception) -> None:
        """Answer what is not HTTP as all other errors are answered."""
        status, reason = next((answer for kind, answer in REFUSED if isinstance(exc, kind)), FAULT)
        if status == 500:
            self.log.error("%s", reason, exc_info=exc)
        body = orjson.dumps({"error": reason if status == 500 else f"{reason}: {str(exc)[:200]}"})
        head = (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode("ascii") + body)
        except OSError:  # the client is gone
            self.log.debug("An error could not be sent.")


class Log(Logger):  # type: ignore[misc]
    """gunicorn's messages through the process's own logging, and a line for each request. Pings are for debugging."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._second, self._time = 0, ""
        for logger in (self.error_log, self.access_log):
            logger.propagate = True

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """A client that stopped sending is no fault of the server."""
        level = logging.DEBUG if isinstance(sys.exception(), BlockingIOError) else logging.ERROR
        self.error_log.log(level, msg, *args, exc_info=True, **kwargs)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        """Written without a log record: those take as long as a prediction."""
        if not self.access_log.isEnabledFor(logging.DEBUG if environ["PATH_INFO"] == "/ping" else logging.INFO):
            return
        now = time.time()
        if int(now) != self._second:
            self._second, self._time = int(now), time.strftime(DATE_FORMAT, time.localtime(now))
        path = environ["RAW_URI"][:200].encode("ascii", "backslashreplace").decode()
        milliseconds = request_time.total_seconds() * 1000
        text = f"{req.method} {path} {resp.status_code}, {resp.sent} bytes, {milliseconds:.1f} ms"
        sys.stdout.write(f"[{self._time} INFO {threading.get_ident()}] {text}\n")
        sys.stdout.flush()
