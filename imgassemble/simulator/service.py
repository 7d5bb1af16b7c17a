"""The simulated services as a web application: routes, answers, and the requests that came.

Must not know: how a stream is made (`answers`), the fields of a request (`request_parsing`), when a chunk is due
(`delivery`), how the application is run (`server`).

    POST /v1/responses, /v1/images/generations, /v1/images/edits, /v1/chat/completions
    POST /api/v1/responses, /api/v1/images, /api/v1/chat/completions          the paths of OpenRouter
    GET  /v1/responses/{id}[?stream=true[&starting_after=N]]                  and below /api
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.applications import Starlette
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..errors import UsageError, quoted
from .answers import Answer, Order, Pace, play, response_ids, resumed
from .apis import APIS
from .delivery import Clock, PacedResponse, Sleep
from .framing import json_body
from .messages import Event
from .request_parsing import RequestError, read_form_values, read_order
from .response_store import ResponseStore, StoredResponse
from .scenarios import Api

_MAX_REQUEST_BYTES = 64 * 2**20  # the services accept pictures of up to 50 MB
_MAX_SENT = 32  # answers that are kept; each can have megabytes

_ROUTES: dict[str, Api] = {
    "/v1/responses": "responses",
    "/v1/images/generations": "images",
    "/v1/images/edits": "edits",
    "/v1/chat/completions": "chat",
    "/api/v1/responses": "responses",
    "/api/v1/images": "router-images",
    "/api/v1/chat/completions": "chat",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """A request. `json`: its body; for a form its fields, and each file as its name, type and size in bytes."""

    method: str
    path: str
    json: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # they can contain an API key


@dataclass(slots=True, kw_only=True)
class Service:
    """The answers of a running server; `app.state.service`. `order` and `pace` may be replaced between requests.

    `requests`: the requests that came, oldest first, as many as are stored. `sent`: the last answers to them.
    `faulty_requests`: how many of the next POST requests get the faults of `order`; None: all of them.
    """

    order: Order
    pace: Pace
    clock: Clock
    sleep: Sleep
    requests: deque[ReceivedRequest]
    sent: deque[Answer] = field(default_factory=lambda: deque(maxlen=0))
    store: ResponseStore = field(default_factory=ResponseStore)
    faulty_requests: int | None = None
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Cut every answer that is being sent, also those that hang. Call it in the loop of the server."""
        self._released.set()
        self._released = asyncio.Event()

    async def post(self, request: Request) -> Response:
        """Answer a request for pictures."""
        path: str = request.scope["path"]
        body, picture = await self._read(request)
        # Paths below /api mean OpenRouter, unless a dialect other than the default was chosen.
        is_router = path.startswith("/api/") and self.order.dialect == Order().dialect
        order = self._next_order()
        default = replace(order, dialect="openrouter") if is_router else order
        order = read_order(_ROUTES[path], body, request.headers, default=default, picture=picture)
        # A request in the background is answered at once and stored as a stream, even if no stream was asked for.
        is_queued = order.is_background and not order.is_streamed
        made = await self._play(replace(order, is_streamed=True) if is_queued else order)
        if order.api != "responses" or made.status != 200:
            return self._answer(made)
        if body.get("store") is not False:
            self._store(order, made)
        return self._answer(_queued_answer(made) if is_queued else made)

    async def get(self, request: Request) -> Response:
        """Answer with a response that was made before: whole, or streamed again after an event."""
        self._record(request, None)
        name, query = request.path_params["response_id"], request.query_params
        stored = self.store.get(name)
        if stored is None:
            raise RequestError(f"Response with id {quoted(name)} not found.", status=404)
        stream = stored.stream or await self._play(replace(stored.order, is_streamed=True))
        if query.get("stream", "false").lower() != "true":
            is_done = self.clock() >= stored.done_at
            events = resumed(stream, -inf, name).events
            body = json_body(APIS["responses"].whole(events)) if is_done else _beginning(events, "in_progress")
            return Response(body, media_type="application/json")
        if not stored.order.is_background:
            raise RequestError("This response cannot be streamed because it was not created with background=true.")
        return self._answer(resumed(stream, _starting_after(query.get("starting_after")), name))

    def _next_order(self) -> Order:
        """Return the order for the next request: without its faults if enough requests have had them."""
        left = self.faulty_requests
        if left is None:
            return self.order
        self.faulty_requests = max(0, left - 1)
        return self.order if left else replace(self.order, faults=())

    async def _read(self, request: Request) -> tuple[Any, bytes | None]:
        """Read the body of a request, and the picture in it."""
        data = await _read_body(request)
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            body, shown, picture = await _parse_form(request.headers, data)
            self._record(request, shown)
            return body, picture
        try:
            body = json.loads(data)
        except (ValueError, RecursionError) as cause:
            self._record(request, None)
            raise RequestError("We could not parse the JSON body of your request. Is it valid JSON?") from cause
        self._record(request, body)
        return body, None

    def _record(self, request: Request, body: Any) -> None:
        query, headers = dict(request.query_params), dict(request.headers)
        asked = ReceivedRequest(
            method=request.method, path=request.scope["path"], json=body, query=query, headers=headers
        )
        self.requests.append(asked)

    async def _play(self, order: Order) -> Answer:
        # In a thread, because drawing a large picture takes a second, and others are served meanwhile.
        try:
            return await asyncio.to_thread(play, order)
        except UsageError as cause:
            is_theirs = order.picture is not None and order.picture is not self.order.picture
            param, code = ("image", "invalid_image_file") if is_theirs else (None, "invalid_value")
            raise RequestError(str(cause), param=param, code=code) from cause

    def _store(self, order: Order, made: Answer) -> None:
        is_queued = order.is_background and not order.is_streamed
        pace_s = sum(wait_s for wait_s, _ in self.pace.chunks(made.body, seed=order.seed)) if is_queued else 0.0
        stored = StoredResponse(order=order, stream=made if made.events else None, done_at=self.clock() + pace_s)
        for name in response_ids(made.events) or (made.response_id or "",):
            before = self.store.get(name)
            # Equal orders have equal ids; a response that can be resumed stays so.
            if order.is_background or not (before and before.order.is_background):
                self.store.put(name, stored)

    def _answer(self, made: Answer) -> Response:
        self.sent.append(made)
        return PacedResponse(
            made,
            pace=self.pace,
            seed=self.order.seed,
            clock=self.clock,
            sleep=self.sleep,
            released=self._released,
        )


def _starting_after(text: str | None) -> float:
    if text is None:
        return -inf
    if not re.fullmatch("-?[0-9]{1,15}", text, re.ASCII):
        message = f"Invalid type for 'starting_after': expected an integer, but got {quoted(text)} instead."
        raise RequestError(message, param="starting_after", code="invalid_type")
    return int(text)


def _beginning(events: Iterable[Event], status: str) -> bytes:
    """Return the response at its beginning."""
    found = [event["response"] for event in events if isinstance(event.get("response"), dict)]
    return json_body((found[0] if found else {}) | {"status": status})


def _queued_answer(made: Answer) -> Answer:
    headers = {**made.headers, "content-type": "application/json"}
    return replace(made, headers=headers, body=(_beginning(made.events, "queued"),), ending="closed")


async def _read_body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MAX_REQUEST_BYTES:
            raise RequestError(f"Request body exceeds the limit of {_MAX_REQUEST_BYTES:,} bytes.", status=413)
    return bytes(data)


async def _parse_form(headers: Headers, data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes | None]:
    """Return the fields of a form, the same with descriptions of its files, and the first picture in it."""

    async def body() -> AsyncGenerator[bytes, None]:
        yield data

    try:
        form = await MultiPartParser(headers, body()).parse()
    except (MultiPartException, FormParserError) as cause:  # old versions of starlette do not catch the second one
        raise RequestError(f"We could not parse the multipart body of your request: {cause}") from cause
    except KeyError as cause:
        raise RequestError("We could not parse the multipart body of your request: it has no boundary.") from cause
    texts: dict[str, str] = {}
    files: dict[str, Any] = {}
    picture = None
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            content = await value.read()
            files[name] = {"filename": value.filename, "content_type": value.content_type, "bytes": len(content)}
            if picture is None and name in ("image", "image[]"):
                picture = content
        else:
            texts[name] = value
    await form.close()
    fields = read_form_values(texts)
    return fields, fields | files, picture


# ---- the application


def create_server_app(
    order: Order | None = None,
    *,
    pace: Pace | None = None,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
    keep_requests: int = 0,
) -> Starlette:
    """Return the simulated services as an ASGI application; its `state.service` is the Service.

    Arguments: `order`: the defaults; a request changes them with its body and the `x-imgassemble-…` headers.
    `pace`: of the answers. `clock` and `sleep`: seconds, as in `time.monotonic` and `asyncio.sleep`.
    `keep_requests`: how many requests `state.service.requests` keeps.
    """
    service = Service(
        order=order or Order(),
        pace=pace or Pace(),
        clock=clock,
        sleep=sleep,
        requests=deque(maxlen=keep_requests),
        sent=deque(maxlen=min(keep_requests, _MAX_SENT)),
    )
    posts = [Route(path, service.post, methods=["POST"]) for path in _ROUTES]
    gets = [Route(path + "/{response_id}", service.get, methods=["GET"]) for path in _ROUTES if "responses" in path]
    app = Starlette(routes=[*posts, *gets], exception_handlers=_HANDLERS)
    app.state.service = service
    return app


def _answer_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return JSONResponse(error.body(request.scope["path"]), status_code=error.status)


def _answer_unknown_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    request.app.state.service.requests.append(ReceivedRequest(method=request.method, path=request.scope["path"]))
    asked = f"{request.method} {request.scope['path']}"
    message = f"Invalid URL ({asked})" if error.status_code == 404 else f"{error.detail} ({asked})"
    return _answer_refusal(request, RequestError(message, status=error.status_code))


def _ignore_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # the client has left and does not read it


def _answer_crash(request: Request, _error: Exception) -> Response:
    message = "The server had an error while processing your request. Sorry about that!"
    return _answer_refusal(request, RequestError(message, status=500, kind="server_error"))


_HANDLERS: Mapping[Any, Callable[[Request, Exception], Response]] = {
    RequestError: _answer_refusal,
    HTTPException: _answer_unknown_route,
    ClientDisconnect: _ignore_disconnect,
    Exception: _answer_crash,
}
