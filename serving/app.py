"""The routes of the container, as a Flask application."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from time import perf_counter
from typing import Any

import flask
import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from algorithms.contract import Algorithm, Model
from recordio.content_types import JSON
from recordio.errors import UserError
from serving import body as bodies
from serving.errors import NotFound, Refusal, refusal
from serving.inference import Inference
from serving.metrics import Meter
from serving.models import ModelTable, OneModel
from serving.places import Places
from serving.settings import Settings

ROUTES = (
    *("ping", "invocations", "endpoint", "execution_parameters", "metrics"),
    *("load", "page", "model", "invoke"),
    "other",
)
PAGE = 100  # models in one listing
COMMAND_BYTES = 1 << 16  # body of a request that is not for inference


class Request(flask.Request):
    """records   predicted for this request"""

    def __init__(self, environ: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(environ, *args, **kwargs)
        self.started = perf_counter()
        self.records = 0

    def body(self, limit: int, timeout_seconds: float, large: Callable[[], object] = lambda: None) -> bytes:
        return bodies.read(self.stream, self.content_length, limit=limit, timeout_seconds=timeout_seconds, large=large)


class Opaque(BaseConverter):
    """A name as the platform makes it, slashes and all."""

    regex = ".+?"
    part_isolating = False


class Server(flask.Flask):
    request_class = Request


def create_app(
    algorithm: Algorithm, models: OneModel | ModelTable, settings: Settings, meter: Meter | None = None
) -> flask.Flask:
    """The application of one worker. Raises UserError for settings that don't fit the algorithm."""
    inference = Inference.of(algorithm, settings)
    meter = meter or Meter(ROUTES)
    app = Server(__name__, static_folder=None)
    app.url_map.converters["opaque"] = Opaque
    places = Places(settings.connections, settings.threads, settings.timeout_seconds)

    def answer(model: Model) -> flask.Response:
        request = _request()
        with ExitStack() as held:
            held.enter_context(places.open)
            body = request.body(settings.body_bytes, settings.timeout_seconds, lambda: held.enter_context(places.large))
            if not body:
                return flask.Response(status=204)
            held.enter_context(places.computing)
            body = bodies.unpack(body, request.environ.get("HTTP_CONTENT_ENCODING"), settings.body_bytes)
            content_type, accept = request.environ.get("CONTENT_TYPE"), request.environ.get("HTTP_ACCEPT")
            reply = inference.reply(model, body, content_type, accept)
            request.records = reply.records
            return flask.Response(reply.body, content_type=reply.content_type)

    def invocations() -> flask.Response:
        if isinstance(models, ModelTable):
            raise NotFound("This server holds several models: call /models/{name}/invoke")
        return answer(models.model)

    def endpoint(name: str) -> flask.Response:
        """Where clients of the platform's runtime API send what reaches a container as /invocations."""
        del name
        return invocations()

    def ping() -> flask.Response:
        if isinstance(models, OneModel) and models.reason is not None:
            return _json({"error": models.reason}, 503)
        return flask.Response()

    def execution_parameters() -> flask.Response:
        return _json(settings.execution_parameters())

    def metrics() -> flask.Response:
        return flask.Response(meter.text(), content_type=CONTENT_TYPE_LATEST)

    def refuse(error: Exception) -> flask.Response:
        # The one door: whatever goes wrong in a request must reach its caller as a status and a sentence.
        if isinstance(error, HTTPException):
            return _http_refusal(error)
        refused = refusal(error)
        return _model_error(refused) if flask.request.endpoint == "endpoint" else _refused(refused)

    def count(response: flask.Response) -> flask.Response:
        request = _request()
        meter.count(request.endpoint, response.status_code, perf_counter() - request.started, request.records)
        return response

    app.add_url_rule("/ping", view_func=ping)
    app.add_url_rule("/invocations", view_func=invocations, methods=["POST"])
    app.add_url_rule("/endpoints/<opaque:name>/invocations", view_func=endpoint, methods=["POST"])
    app.add_url_rule("/execution-parameters", view_func=execution_parameters)
    app.add_url_rule("/metrics", view_func=metrics)
    if isinstance(models, ModelTable):
        _add_models(app, models, settings, answer)
    app.register_error_handler(Exception, refuse)
    app.after_request(count)
    return app


def _add_models(
    app: flask.Flask, models: ModelTable, settings: Settings, answer: Callable[[Model], flask.Response]
) -> None:
    """The routes by which the platform loads, lists and unloads models."""

    def load() -> flask.Response:
        name, url = _names(_request().body(COMMAND_BYTES, settings.timeout_seconds))
        models.load(name, url)
        return _json({"status": f'Model "{name}" registered'})

    def page() -> flask.Response:
        limit = flask.request.args.get("limit", str(PAGE))
        if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and int(limit) >= 1):
            raise UserError(f"limit: got {limit[:100]!r}, expected an integer of at least 1")
        entries, more = models.page(flask.request.args.get("next_page_token"), int(limit))
        return _json({"models": entries} if more is None else {"models": entries, "nextPageToken": more})

    def model(name: str) -> flask.Response:
        if flask.request.method == "DELETE":
            models.unload(name)
            return _json({"status": f'Model "{name}" unregistered'})
        return _json(models.described(name))

    def invoke(name: str) -> flask.Response:
        with models.using(name) as found:
            return answer(found)

    app.add_url_rule("/models", view_func=load, methods=["POST"])
    app.add_url_rule("/models", view_func=page)
    app.add_url_rule("/models/<opaque:name>", view_func=model, methods=["GET", "DELETE"])
    app.add_url_rule("/models/<opaque:name>/invoke", view_func=invoke, methods=["POST"])


def _names(body: bytes) -> tuple[str, str]:
    try:
        command = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UserError(f"The request body is not JSON: {error}") from error
    fields = command if isinstance(command, dict) else {}
    name, url = fields.get("model_name"), fields.get("url")
    if not (isinstance(name, str) and name and isinstance(url, str) and url):
        raise UserError('The request body has to be {"model_name": "...", "url": "..."}')
    return name, url


def _request() -> Request:
    """The request itself: each look through Flask's proxy costs as much as a small step of prediction."""
    request = flask.request._get_current_object()  # type: ignore[attr-defined]  # Flask declares what it stands for
    assert isinstance(request, Request)
    return request


def _json(value: object, status: int = 200) -> flask.Response:
    return flask.Response(orjson.dumps(value), status, content_type=JSON)


def _refused(refused: Refusal) -> flask.Response:
    return _json({"error": refused.sentence}, refused.status)


def _model_error(refused: Refusal) -> flask.Response:
    """The form in which the runtime API passes on what a container refused."""
    original = _refused(refused).get_data(as_text=True)
    side = "client" if refused.status < 500 else "server"
    message = f"Received {side} error ({refused.status}) from primary with message {orjson.dumps(original).decode()}."
    fields = {"Message": message, "OriginalStatusCode": refused.status, "OriginalMessage": original}
    response = _json({**fields, "LogStreamArn": ""}, 424)
    response.headers["x-amzn-ErrorType"] = "ModelError"
    return response


def _http_refusal(error: HTTPException) -> flask.Response:
    """A path or a method that is not there, and what Flask itself refuses."""
    path, method = flask.request.path[:200], flask.request.method[:20]
    sentences = {
        404: f"There is no {path} here: expected /ping, /invocations, /execution-parameters or /metrics",
        405: f"{method} is not allowed for {path}",
    }
    status = error.code or 500
    response = _refused(Refusal(status, sentences.get(status) or error.description or error.name))
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(allowed)
    return response
