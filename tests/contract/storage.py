"""A real S3 server, and a way to it on which things go wrong."""

from __future__ import annotations

import http.client
import http.server
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "bucket"
KINDS = ("cut", "cut", "cut", "reset", "500", "503")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


class Storage:
    """An S3 server of its own, with one bucket."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.variables = CREDENTIALS | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"}
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.variables["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket=BUCKET)

    def put(self, objects: Mapping[str, bytes]) -> None:
        for key, content in objects.items():
            self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def put_manifest(self, key: str, prefix: str, names: list[str]) -> None:
        self.put({key: json.dumps([{"prefix": f"s3://{BUCKET}/{prefix}"}, *names]).encode()})

    def get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def names(self, prefix: str = "") -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", ())]


@contextmanager
def storage() -> Iterator[Storage]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield Storage(server.get_host_and_port()[1])
    finally:
        server.stop()


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on to the storage, and hurts GETs of objects: cuts bodies short, breaks off, answers 500 or 503.

    What happens depends on the seed, the object, the first byte asked for and how often it was asked before, so it is
    the same in every run, whatever the order of requests.

    share    of the requests that are hurt; the rest pass
    dropped  headers that the storage doesn't get to see
    hurt     how many were, by kind
    ranges   the Range header of each request
    """

    daemon_threads = True

    def __init__(self, port: int, *, seed: int, share: float, kinds: tuple[str, ...] = KINDS) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.storage_port = port
        self.seed, self.share, self.kinds = seed, share, kinds
        self.dropped: tuple[str, ...] = ()
        self.hurt: Counter[str] = Counter()
        self.ranges: list[str | None] = []
        self._asked: Counter[tuple[str, str | None]] = Counter()
        self._lock = threading.Lock()

    @property
    def variables(self) -> dict[str, str]:
        return CREDENTIALS | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.server_port}"}

    def fate(self, path: str, asked: str | None) -> tuple[str, float]:
        """A kind of harm, or "", and where in the body it strikes, as a share of it."""
        with self._lock:
            self._asked[path, asked] += 1
            chance = random.Random(f"{self.seed} {path} {asked} {self._asked[path, asked]}")
            self.ranges.append(asked)
            kind = chance.choice(self.kinds) if chance.random() < self.share else ""
            self.hurt[kind] += 1
            return kind, chance.random()

    def __enter__(self) -> Proxy:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        of_object = self.command == "GET" and path.count("/") > 1 and "list-type" not in self.path
        kind, place = self.server.fate(path, self.headers.get("Range")) if of_object else ("", 0.0)
        if kind == "reset":
            self.close_connection = True
            return
        if kind in ("500", "503"):
            self._answer(int(kind), {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>")
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.server.storage_port, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name not in self.server.dropped}
        connection.request(self.command, self.path, content, headers)
        reply = connection.getresponse()
        body = reply.read()
        if kind == "cut" and body:
            self.close_connection = True
            self._answer(reply.status, dict(reply.headers), body, int(len(body) * place))
        else:
            self._answer(reply.status, dict(reply.headers), body)
        connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes, sent: int | None = None) -> None:
        self.send_response_only(status)
        names = {name.lower() for name in headers}
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        if "content-length" not in names:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])

    def log_message(self, *_: object) -> None:
        pass
