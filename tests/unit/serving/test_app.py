from __future__ import annotations

import gzip
import io
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from algorithms.contract import Algorithm
from recordio.errors import UserError
from serving.app import create_app
from serving.models import ModelTable, OneModel
from serving.places import RESERVED
from serving.settings import Settings
from tests.unit.serving.toy import TOY, TOY_WITHOUT_CSV, Scale

JSON, LINES, CSV, RECORDIO = "application/json", "application/jsonlines", "text/csv", "application/x-recordio-protobuf"
SETTINGS = Settings(body_bytes=4096, records=20, timeout_seconds=2)


def client(folder: Path, algorithm: Algorithm = TOY, settings: Settings = SETTINGS, **fields: Any) -> FlaskClient:
    Scale(**{"feature_dim": 2, **fields}).save(folder, "algo-1")
    return create_app(algorithm, OneModel(algorithm, folder), settings).test_client()


def post(
    server: FlaskClient, body: bytes, content_type: str | None = None, accept: str | None = None, **headers: str
) -> TestResponse:
    given = {"Content-Type": content_type, "Accept": accept, **headers}
    return server.post("/invocations", data=body, headers={name: value for name, value in given.items() if value})


def error(response: TestResponse) -> str:
    assert response.content_type == JSON
    sentence: str = json.loads(response.data)["error"]
    assert list(json.loads(response.data)) == ["error"]
    return sentence


def record(*features: float) -> bytes:
    """A Record with a float32 tensor, in a frame."""
    values = struct.pack(f"<{len(features)}f", *features)
    packed = b"\x0a" + bytes([len(values)]) + values  # Float32Tensor.values
    value = b"\x12" + bytes([len(packed)]) + packed  # Value.float32_tensor
    entry = b"\x0a\x06values" + b"\x12" + bytes([len(value)]) + value
    payload = b"\x0a" + bytes([len(entry)]) + entry  # Record.features
    return struct.pack("<II", 0xCED7230A, len(payload)) + payload + bytes(-len(payload) % 4)


BODIES = {
    CSV: b"1,2\n3,4.5",
    f"{CSV}; label_size=0": b"1,2\r\n3,4.5\r\n",
    "Text/CSV;label_size=1;charset=UTF-8": b"9,1,2\n9,3,4.5\n",
    JSON: b'{"instances":[{"features":[1,2]},{"data":{"features":{"values":[3,4.5]}}}]}',
    f"{JSON} ; charset=utf-8": b'{"instances":[{"data":{"features":{"keys":[1],"values":[3]}}},{"features":[3,4.5]}]}',
    LINES: b'{"features":[1,2]}\n{"data":{"features":{"keys":[1,0],"shape":[2],"values":[4.5,3]}}}\n',
    RECORDIO: record(1, 2) + record(3, 4.5),
}
REPLIES = {
    JSON: b'{"predictions":[{"score":3.0},{"score":7.5}]}',
    LINES: b'{"score":3.0}\n{"score":7.5}',
    CSV: b"3.0\n7.5",
}


@pytest.mark.parametrize("content_type", BODIES)
@pytest.mark.parametrize("accept", REPLIES)
def test_every_type_in_and_out(tmp_path: Path, content_type: str, accept: str) -> None:
    response = post(client(tmp_path), BODIES[content_type], content_type, accept)
    assert (response.status_code, response.data, response.content_type) == (200, REPLIES[accept], accept)


def test_recordio_reply_has_one_record_for_each_row(tmp_path: Path) -> None:
    response = post(client(tmp_path), b"1,2\n3,4.5", CSV, RECORDIO)
    assert (response.status_code, response.content_type) == (200, RECORDIO)
    assert response.data.count(struct.pack("<I", 0xCED7230A)) == 2
    assert struct.pack("<f", 7.5) in response.data


@pytest.mark.parametrize("content_type", [CSV, JSON, RECORDIO])
def test_type_is_seen_from_the_body_when_it_is_not_told(tmp_path: Path, content_type: str) -> None:
    assert post(client(tmp_path), BODIES[content_type]).data == REPLIES[JSON]


@pytest.mark.parametrize(
    ("accept", "default", "expected"),
    [
        (None, None, JSON),
        ("*/*", None, JSON),
        ("", None, JSON),
        (None, CSV, CSV),
        ("*/*", CSV, CSV),
        (JSON, CSV, JSON),
        (f"{CSV}, {JSON}", None, CSV),
        (f"image/png, {LINES};q=0.5, {CSV}", None, LINES),
        ("APPLICATION/JSON; verbose=true", None, JSON),
        ("text/*", None, CSV),
    ],
)
def test_accept(tmp_path: Path, accept: str | None, default: str | None, expected: str) -> None:
    server = client(tmp_path, settings=replace(SETTINGS, accept=default))
    response = post(server, b"1,2\n3,4.5", CSV, accept)
    assert (response.status_code, response.content_type, response.data) == (200, expected, REPLIES[expected])


def test_envelope_is_the_algorithms(tmp_path: Path) -> None:
    assert post(client(tmp_path, TOY_WITHOUT_CSV), b"1,2", CSV).data == b'{"scores":[{"score":3.0}]}'


PAYLOAD = "Unable to evaluate payload provided: "


@pytest.mark.parametrize(
    ("body", "content_type", "status", "words"),
    [
        (b"1,2,3", CSV, 400, f"{PAYLOAD}record 0: got 3 features, expected 2"),
        (b"1,2\n3", CSV, 400, f"{PAYLOAD}record 1: got 1 features, expected 2"),
        (b"a,b\n1,2", CSV, 400, "header"),
        (b"1,nan", CSV, 400, f"{PAYLOAD}record 0: found missing (NaN) values, expected finite numbers"),
        (b"1,2\n1,", CSV, 400, "record 1: found missing (NaN) values"),
        (b"1,2\n-inf,2", CSV, 400, "record 1: found infinite values"),
        (b"1e39,2", CSV, 400, "record 0: found infinite values"),
        (b"3e38,3e38", CSV, 400, "record 0: score is not a finite number: these features are too large for the model"),
        (b"1,2", f"{CSV};label_size=x", 400, "label_size=x"),
        (b"1,2", f"{CSV};label_size=7", 400, "expected features after 7 label columns"),
        (b"1,2", f"{CSV};charset=nonsense", 400, "nonsense"),
        (b'{"instances":[', JSON, 400, PAYLOAD),
        (b'{"instances":{}}', JSON, 400, '{"instances": [...]}'),
        (b"[" * 2000, JSON, 400, "nested"),
        (b'{"instances":[{"features":[1,"x"]}]}', JSON, 400, "record 0"),
        (b'{"instances":[{"features":[1,NaN]}]}', JSON, 400, PAYLOAD),
        (b'{"instances":[{"features":[1]}]}', JSON, 400, f"{PAYLOAD}record 0: got 1 features, expected 2"),
        (b'{"features":[1,2]}\n{', LINES, 400, "record 1"),
        (record(1, 2)[:-3], RECORDIO, 400, PAYLOAD),
        (record(1, 2) + record(1, 2, 3), RECORDIO, 400, "record 1: got 3 features, expected 2"),
        (b"\xff\xfe\xfd", RECORDIO, 400, PAYLOAD),
        (b"\x00\xff", CSV, 400, PAYLOAD),
        (b"1,2", "text/foo", 415, "content-type text/foo not supported"),
        (b"PAR1", "application/x-parquet", 415, "content-type application/x-parquet not supported"),
        (b"0 1:2", "text/libsvm", 415, "content-type text/libsvm not supported"),
        (b"1,2", ";;;=,,", 415, "not supported"),
        (b"1,2\n" * 21, CSV, 413, "The request holds more than 20 records: send fewer, or set MAX_RECORDS"),
        (b"1" * 4097, CSV, 413, "The request body is larger than 4096 bytes"),
        (b"13,0", CSV, 500, "Internal Server Error"),
    ],
)
def test_refusals(tmp_path: Path, body: bytes, content_type: str, status: int, words: str) -> None:
    response = post(client(tmp_path), body, content_type)
    assert (response.status_code, words in error(response)) == (status, True), response.data
    assert b"secret" not in response.data


def test_unsupported_accept(tmp_path: Path) -> None:
    response = post(client(tmp_path, TOY_WITHOUT_CSV), b"1,2", CSV, "text/csv")
    assert response.status_code == 406
    assert error(response) == (
        "Accept type text/csv is not supported. "
        "Please use supported accept types: [application/json, application/jsonlines]."
    )


def test_internal_errors_go_to_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    post(client(tmp_path), b"13,0", CSV)
    assert "unlucky, and secret" in caplog.text


@pytest.mark.parametrize("content_type", [None, CSV, "text/foo"])
def test_empty_body_is_204(tmp_path: Path, content_type: str | None) -> None:
    response = post(client(tmp_path), b"", content_type)
    assert (response.status_code, response.data) == (204, b"")


@pytest.mark.parametrize(("body", "kind"), [(b'{"instances":[]}', JSON), (b"\n", CSV)])
def test_no_records_give_no_predictions(tmp_path: Path, body: bytes, kind: str) -> None:
    response = post(client(tmp_path), body, kind, JSON)
    assert (response.status_code, response.data) == (200, b'{"predictions":[]}')


def test_bare_record_of_a_batch_transform(tmp_path: Path) -> None:
    response = post(client(tmp_path), record(1, 2)[8:], RECORDIO, CSV)
    assert (response.status_code, response.data) == (200, b"3.0"), response.data


def test_gzip_is_undone_within_the_limit(tmp_path: Path) -> None:
    server = client(tmp_path)
    packed = gzip.compress(b"1,2\n") + gzip.compress(b"3,4.5")
    assert post(server, packed, CSV, **{"Content-Encoding": "GZIP"}).data == REPLIES[JSON]
    assert post(server, b"1,2", CSV, **{"Content-Encoding": "identity"}).status_code == 200
    bomb = gzip.compress(b"1" * 100_000)
    assert post(server, bomb, CSV, **{"Content-Encoding": "gzip"}).status_code == 413
    for broken in (packed[:-3], b"1,2", packed + b"x"):
        response = post(server, broken, CSV, **{"Content-Encoding": "gzip"})
        assert (response.status_code, "not gzip" in error(response)) == (400, True)
    assert post(server, packed, CSV, **{"Content-Encoding": "br"}).status_code == 415
    assert post(server, packed, CSV, **{"Content-Encoding": "gzip, gzip"}).status_code == 415


def test_answers_do_not_depend_on_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = client(tmp_path)
    rows = b"\n".join(b"%d,%d" % (row, row) for row in range(20))
    whole = post(server, rows, CSV, CSV).data
    monkeypatch.setattr("serving.inference.SLICE_CELLS", 6)
    assert post(server, rows, CSV, CSV).data == whole


def test_ping(tmp_path: Path) -> None:
    response = client(tmp_path).get("/ping")
    assert (response.status_code, response.data) == (200, b"")


def test_unloadable_model_is_told_by_ping_and_invocations(tmp_path: Path) -> None:
    server = create_app(TOY, OneModel(TOY, tmp_path), SETTINGS).test_client()
    expected = f"unable to load model: {tmp_path / 'scale_algo-1'} is missing"
    for response, status in ((server.get("/ping"), 503), (post(server, b"1,2", CSV), 500)):
        assert (response.status_code, error(response)) == (status, expected)


def test_fault_of_a_loader_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "scale_algo-1").write_text("{")
    server = create_app(TOY, OneModel(TOY, tmp_path), SETTINGS).test_client()
    assert (server.get("/ping").status_code, error(server.get("/ping"))) == (
        503,
        "unable to load model: JSONDecodeError",
    )


def test_other_paths_and_methods(tmp_path: Path) -> None:
    server = client(tmp_path)
    assert "There is no /nothing here" in error(server.get("/nothing"))
    assert server.get("/nothing").status_code == 404
    assert server.get("/models").status_code == 404
    response = server.get("/invocations")
    assert (response.status_code, error(response)) == (405, "GET is not allowed for /invocations")
    assert "POST" in response.headers["Allow"]


def test_alias_for_clients_of_the_runtime_api(tmp_path: Path) -> None:
    server = client(tmp_path)
    path = "/endpoints/my-endpoint/invocations"
    assert server.post(path, data=b"1,2", content_type=CSV).data == b'{"predictions":[{"score":3.0}]}'
    assert server.post(path).status_code == 204
    response = server.post(path, data=b"1,2,3", content_type=CSV)
    sentence = "Unable to evaluate payload provided: record 0: got 3 features, expected 2"
    original = json.dumps({"error": sentence}, separators=(",", ":"))
    assert (response.status_code, response.headers["x-amzn-ErrorType"]) == (424, "ModelError")
    assert json.loads(response.data) == {
        "Message": f"Received client error (400) from primary with message {json.dumps(original)}.",
        "OriginalStatusCode": 400,
        "OriginalMessage": original,
        "LogStreamArn": "",
    }
    assert json.loads(server.post(path, data=b"13,0", content_type=CSV).data)["OriginalStatusCode"] == 500


def test_execution_parameters(tmp_path: Path) -> None:
    settings = Settings(workers=4, body_bytes=6 << 20)
    response = client(tmp_path, settings=settings).get("/execution-parameters")
    assert response.data == b'{"MaxConcurrentTransforms":4,"BatchStrategy":"MULTI_RECORD","MaxPayloadInMB":6}'
    assert response.content_type == JSON


def test_metrics_count_requests_and_records(tmp_path: Path) -> None:
    server = client(tmp_path)
    post(server, b"1,2\n3,4", CSV)
    post(server, b"1", CSV)
    page = server.get("/metrics").get_data(as_text=True)
    assert 'onepass_requests_total{route="invocations",status="200"} 1.0' in page
    assert 'onepass_requests_total{route="invocations",status="400"} 1.0' in page
    assert "onepass_records_total 2.0" in page
    assert 'onepass_request_seconds_count{route="invocations"} 2.0' in page


def test_default_reply_type_must_be_one_of_the_algorithms() -> None:
    with pytest.raises(UserError, match="SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT: got 'text/csv', expected one of"):
        create_app(TOY_WITHOUT_CSV, OneModel(TOY, Path()), replace(SETTINGS, accept="text/csv"))


def test_no_place_left(tmp_path: Path) -> None:
    server = client(tmp_path, settings=replace(SETTINGS, connections=RESERVED + 1))
    inner: list[TestResponse] = []

    class Body(io.BytesIO):
        """Asks the same server while its own request is open."""

        def readinto(self, buffer: Any, /) -> int:
            inner.extend([post(server, b"1,2", CSV), server.get("/ping")])
            return super().readinto(buffer)

    outer = server.post("/invocations", input_stream=Body(b"1,2"), content_length=3, content_type=CSV)
    assert outer.status_code == 200
    assert (inner[0].status_code, error(inner[0])[:42]) == (503, "All places of this server are taken: try a")
    assert inner[1].status_code == 200
    assert post(server, b"1,2", CSV).status_code == 200


def table(folder: Path, free: int = 1 << 30) -> FlaskClient:
    for name in ("a", "b", "c"):
        (folder / name / "model").mkdir(parents=True)
        Scale(2, factor=ord(name)).save(folder / name / "model", "algo-1")
    models = ModelTable(TOY, folder, 2, lambda: free)
    return create_app(TOY, models, replace(SETTINGS, multi_model=True)).test_client()


def put(server: FlaskClient, name: object, url: object) -> TestResponse:
    return server.post("/models", data=json.dumps({"model_name": name, "url": str(url)}))


OPAQUE = "/3f8a//é %.tar.gz"  # whatever the platform calls it


def test_models_come_and_go(tmp_path: Path) -> None:
    server = table(tmp_path)
    assert server.get("/ping").status_code == 200
    assert server.get("/models").data == b'{"models":[]}'
    url = tmp_path / "a" / "model"
    assert put(server, OPAQUE, url).get_json() == {"status": f'Model "{OPAQUE}" registered'}
    assert put(server, OPAQUE, url).status_code == 409
    path = "/models//3f8a//%C3%A9 %25.tar.gz"
    assert server.get(path).get_json() == {"modelName": OPAQUE, "modelUrl": str(url)}
    assert server.post(f"{path}/invoke", data=b"1,0", content_type=CSV).data == b'{"predictions":[{"score":97.0}]}'
    assert server.post(f"{path}/invoke", data=b"1", content_type=CSV).status_code == 400
    assert server.delete(path).get_json() == {"status": f'Model "{OPAQUE}" unregistered'}
    for response in (server.delete(path), server.get(path), server.post(f"{path}/invoke", data=b"1,0")):
        assert (response.status_code, "is not loaded" in error(response)) == (404, True)


def test_models_are_listed_in_pages(tmp_path: Path) -> None:
    server = table(tmp_path)
    for name in ("b", "c", "a"):
        put(server, name, tmp_path / name / "model")
    first = server.get("/models?limit=2").get_json()
    assert [entry["modelName"] for entry in first["models"]] == ["a", "b"]
    server.delete("/models/b")
    rest = server.get("/models", query_string={"next_page_token": first["nextPageToken"]}).get_json()
    assert rest == {"models": [{"modelName": "c", "modelUrl": str(tmp_path / "c" / "model")}]}
    for limit in ("0", "-1", "x", "1" * 30):
        assert server.get(f"/models?limit={limit}").status_code == 400


def test_model_that_finds_no_memory(tmp_path: Path) -> None:
    response = put(table(tmp_path, free=1), "a", tmp_path / "a" / "model")
    assert (response.status_code, "bytes of memory to load, and 1 are free" in error(response)) == (507, True)


def test_model_outside_the_folder_of_models(tmp_path: Path) -> None:
    models = tmp_path / "models"
    server = table(models)
    Scale(2).save(tmp_path, "algo-1")
    (models / "link").symlink_to(tmp_path)
    for url in (tmp_path, models / "..", models / "link", models / "none", "/", "..", "a\0b", "x" * 5000):
        response = put(server, "a", url)
        assert (response.status_code, f"expected a folder under {models}" in error(response)) == (400, True)


def test_model_that_is_broken(tmp_path: Path) -> None:
    server = table(tmp_path)
    (tmp_path / "a" / "model" / "scale_algo-1").unlink()
    response = put(server, "a", tmp_path / "a" / "model")
    assert (response.status_code, error(response)[:22]) == (500, "unable to load model: ")
    assert put(server, "a", tmp_path / "b" / "model").status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model_name":"a"}', b'{"model_name":1,"url":"/"}', b"[" * 60_000]
)
def test_commands_that_are_none(tmp_path: Path, body: bytes) -> None:
    assert table(tmp_path).post("/models", data=body).status_code == 400


def test_server_of_several_models_has_no_default_model(tmp_path: Path) -> None:
    response = post(table(tmp_path), b"1,2", CSV)
    assert (response.status_code, "/models/{name}/invoke" in error(response)) == (404, True)
