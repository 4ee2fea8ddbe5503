"""A real server and what real, slow, broken and hostile clients get from it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.served import PATIENCE_SECONDS, Served, read
from tests.unit.serving.toy import Scale

HEAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
ANSWER = b'{"predictions":[{"score":3.0}]}'


def toy(folder: Path, seconds: float = 0.0, **variables: str) -> Served:
    folder.mkdir(exist_ok=True)
    Scale(2, seconds=seconds).save(folder, "algo-1")
    return Served("toy", folder, variables)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serving") / "model"
    limits = {"MODEL_SERVER_TIMEOUT": "1", "MAX_CONTENT_LENGTH": "3000000", "MODEL_SERVER_WORKERS": "2"}
    with toy(folder, 0.0, **limits) as running:
        yield running


def test_ping_and_invocations(server: Served) -> None:
    ping = server.get("/ping")
    assert (ping.status, ping.body) == (200, b"")
    reply = server.invoke(b"1,2")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, ANSWER, "application/json")
    assert "transfer-encoding" not in reply.headers


def test_workers_are_counted_together(server: Served) -> None:
    def count() -> float:
        lines = server.get("/metrics").body.decode().splitlines()
        wanted = 'onepass_requests_total{route="invocations",status="200"} '
        return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))

    before = count()
    with ThreadPoolExecutor(8) as clients:
        assert all(reply.body == ANSWER for reply in clients.map(server.invoke, [b"1,2"] * 64))
    assert {count() for _ in range(8)} == {before + 64}


def test_chunked_body_that_comes_slowly(server: Served) -> None:
    with server.wire(HEAD + b"Transfer-Encoding: chunked\r\n\r\n") as connection:
        for chunk in (b"2\r\n1,\r\n", b"1\r\n2", b"\r\n", b"0\r\n\r\n"):
            time.sleep(0.05)
            connection.sendall(chunk)
        assert read(connection).body == ANSWER


def test_chunked_body_beyond_the_limit(server: Served) -> None:
    reply = server.invoke(iter([b"1" * 100_000] * 40))
    assert (reply.status, "larger than 3000000 bytes" in reply.error) == (413, True)


def test_large_body_up_to_the_limit(server: Served) -> None:
    body = b"1,2\n" * 700_000
    reply = server.invoke(body, Accept="text/csv")
    assert (reply.status, reply.body) == (200, b"3.0\n" * 699_999 + b"3.0")
    assert server.invoke(iter([body[:1_000_000], body[1_000_000:]]), Accept="text/csv").body == reply.body


@pytest.mark.parametrize(
    "unfinished", [b"Content-Length: 3\r\n\r\n1,", b"Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n"]
)
def test_body_that_stops_coming(server: Served, unfinished: bytes) -> None:
    with server.wire(HEAD + unfinished) as connection:
        reply = read(connection)
    assert (reply.status, reply.error) == (408, "The request body stopped coming in")


def test_bomb(server: Served) -> None:
    def peaks() -> list[int]:
        """Most memory of each worker so far, in KiB."""
        texts = [Path(f"/proc/{worker}/status").read_text() for worker in server.workers()]
        return [int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("VmHWM")]

    before = peaks()
    bomb = gzip.compress(bytes(300 << 20), 9)
    reply = server.invoke(bomb, **{"Content-Encoding": "gzip"})
    assert (reply.status, "larger than 3000000 bytes" in reply.error) == (413, True)
    assert max(after - first for first, after in zip(before, peaks(), strict=True)) < 50 << 10


@pytest.mark.parametrize("kind", ["application/json", "application/jsonlines"])
def test_deep_json(server: Served, kind: str) -> None:
    for body in (b"[" * 100_000, b'{"instances":' + b'{"a":' * 100_000 + b"}" * 100_001):
        assert server.invoke(body, kind).status == 400


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /ping HTTP/9.9\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /ping HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /ping HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET /ping HTTP/1.1\r\nbad header: 1\r\n\r\n", 400),
        (b"GET /%ff%00 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /ping HTTP/1.1\r\nHost: \xff\xfe/\\:x\r\nScript-Name: /a\r\nX-Forwarded-Proto: https\r\n\r\n", 200),
        (b"GET /ping HTTP/1.1\r\nHost: x\r\nSCRIPT_NAME: /a\r\n\r\n", 200),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n1,2", 400),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1,2", 400),
        (HEAD + b"Transfer-Encoding: foo\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n1,2\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n1,2XX0\r\n\r\n", 400),
        (HEAD + b"Accept: ;;,=,*/;q=x, \xff\r\nContent-Length: 3\r\n\r\n1,2", 406),
        (HEAD + b"Content-Encoding: \xff\r\nContent-Length: 3\r\n\r\n1,2", 415),
        (HEAD + b"Expect: nothing\r\nContent-Length: 3\r\n\r\n1,2", 417),
        (HEAD + b"Expect: 100-continue\r\nX-Amzn-SageMaker-Unheard-Of: \xe9\r\nContent-Length: 3\r\n\r\n1,2", 200),
        (HEAD + b"X-Amzn-SageMaker-Custom-Attributes: " + b"~" * 1024 + b"\r\nContent-Length: 3\r\n\r\n1,2", 200),
        (b"POST /invocations HTTP/1.0\r\nContent-Type: text/csv\r\nContent-Length: 3\r\n\r\n1,2", 200),
    ],
)
def test_malformed_requests_are_the_callers_fault(server: Served, sent: bytes, status: int) -> None:
    reply = server.raw(sent)
    assert reply.status == status, reply
    if status >= 400:
        assert reply.error


def test_headers_that_stop_coming(server: Served) -> None:
    with server.wire(b"GET /ping HTTP/1.1\r\nHost") as connection:
        assert connection.recv(1) == b""


def test_client_that_hangs_up_leaves_the_server_alive(server: Served) -> None:
    for _ in range(20):
        with server.wire(HEAD + b"Content-Length: 1000\r\n\r\n1,2"):
            pass
    assert server.invoke(b"1,2").status == 200


def test_connection_serves_many_requests(server: Served) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n%b"
    with server.wire(b"") as connection:
        for body, status in ((b"1,2", 200), (b"x", 400), (b"", 204), (b"1" * 3_000_001, 413), (b"1,2", 200)):
            connection.sendall(request % (len(body), body))
            assert read(connection).status == status


def test_alias(server: Served) -> None:
    boto3 = pytest.importorskip("boto3")
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{server.port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    response = client.invoke_endpoint(EndpointName="any", Body=b"1,2", ContentType="text/csv")
    assert response["Body"].read() == ANSWER
    with pytest.raises(client.exceptions.ModelError) as raised:
        client.invoke_endpoint(EndpointName="any", Body=b"1", ContentType="text/csv")
    assert raised.value.response["OriginalStatusCode"] == 400
    assert "got 1 features, expected 2" in raised.value.response["OriginalMessage"]


def test_open_request_is_finished_and_idle_clients_are_not_waited_for(tmp_path: Path) -> None:
    with (
        toy(tmp_path / "model", seconds=0.5) as server,
        server.wire(b"") as silent,
        server.wire(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n") as idle,
        server.wire(HEAD + b"Content-Length: 3\r\n\r\n1,") as open_request,
    ):
        assert read(idle).status == 200
        time.sleep(0.2)  # until the worker has taken the request up
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        open_request.sendall(b"2")
        reply = read(open_request)
        assert (reply.status, reply.body) == (200, ANSWER)
        silent.close()
        start = time.monotonic()
        assert server.ended() == 0
        assert time.monotonic() - start < 5


def test_ping_does_not_wait_behind_inference(tmp_path: Path) -> None:
    with (
        toy(tmp_path / "model", seconds=0.7, MODEL_SERVER_WORKERS="1", MODEL_SERVER_THREADS="1") as server,
        ThreadPoolExecutor(4) as clients,
    ):
        replies = [clients.submit(server.invoke, b"1,2") for _ in range(4)]
        start = time.monotonic()
        assert [server.get("/ping").status for _ in range(3)] == [200] * 3
        assert time.monotonic() - start < 2  # the contract's limit; the last reply comes after 2.8
        assert not replies[-1].done()
        assert [reply.result().status for reply in replies] == [200] * 4


def test_ping_does_not_wait_for_clients_that_do_not_hang_up(tmp_path: Path) -> None:
    goodbye = b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with (
        toy(tmp_path / "model", MODEL_SERVER_WORKERS="1") as server,
        server.wire(goodbye) as one,
        server.wire(goodbye) as other,
    ):
        assert (read(one).status, read(other).status) == (200, 200)
        start = time.monotonic()
        assert server.get("/ping").status == 200
        assert time.monotonic() - start < 1


def test_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with toy(tmp_path / "model", MODEL_SERVER_WORKERS="1") as server:
        assert server.invoke(b"1,2").status == 200
        os.kill(server.workers()[0], signal.SIGKILL)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                assert server.invoke(b"1,2").status == 200
                break
            except ConnectionError:
                assert time.monotonic() < give_up
        counted = 'onepass_requests_total{route="invocations",status="200"} 2.0'
        assert counted in server.get("/metrics").body.decode()


def test_model_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with Served("toy", tmp_path / "model") as server:
        expected = f"unable to load model: {tmp_path}/model/scale_algo-1 is missing"
        assert (server.get("/ping").status, server.get("/ping").error) == (503, expected)
        assert (server.invoke(b"1,2").status, server.invoke(b"1,2").error) == (500, expected)
        assert b"onepass_ready 0.0" in server.get("/metrics").body
        assert server.stop() == 0
    assert expected in server.output


def test_several_models_in_one_process(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name in ("a", "b"):
        (models / name / "model").mkdir(parents=True)
        Scale(2, factor=ord(name)).save(models / name / "model", "algo-1")
    with Served("toy", models, {"SAGEMAKER_MULTI_MODEL": "true"}) as server:
        assert server.get("/ping").status == 200
        for name in ("a", "b"):
            command = json.dumps({"model_name": f"{name}-1", "url": str(models / name / "model")})
            assert server.invoke(command, "application/json", "/models").status == 200
            assert server.invoke(command, "application/json", "/models").status == 409
        replies = [server.invoke(b"1,0", path=f"/models/{name}-1/invoke", Accept="text/csv") for name in "abab"]
        assert [reply.body for reply in replies] == [b"97.0", b"98.0"] * 2
        assert server.ask("DELETE", "/models/a-1").status == 200
        assert server.invoke(b"1,0", path="/models/a-1/invoke").status == 404


def test_log_has_requests_and_faults_but_no_pings(tmp_path: Path) -> None:
    with toy(tmp_path / "model", MODEL_SERVER_TIMEOUT="1") as server:
        assert server.invoke(b"13,0").error == "Internal Server Error"
        server.get("/ping")
        with server.wire(b"GET /ping HTTP/1.1\r\nHost") as connection:
            assert connection.recv(1) == b""
        assert server.stop() == 0
    assert "POST /invocations 500, 33 bytes" in server.output
    assert "ZeroDivisionError: unlucky, and secret" in server.output
    assert server.output.count("Traceback") == 1
    assert "/ping" not in server.output


def test_no_home_and_no_temporary_folder_are_needed(tmp_path: Path) -> None:
    with toy(tmp_path / "model", TMPDIR="/nowhere") as server:
        assert server.invoke(b"1,2").body == ANSWER


def test_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)), pytest.raises(AssertionError, match="expected an integer between 1"):
        toy(tmp_path / "model", SAGEMAKER_BIND_TO_PORT="0").__enter__()


def test_a_port_in_use_is_a_failure(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "entrypoint", "serve"],
            env={
                **os.environ,
                "ALGORITHM": "kmeans",
                "SAGEMAKER_BASE_DIR": str(tmp_path),
                "SAGEMAKER_BIND_TO_PORT": port,
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert done.returncode == 1
    assert port in done.stdout + done.stderr
