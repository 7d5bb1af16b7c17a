"""The simulated services as a web application: their routes, what they answer, and what they were asked.

Knows: starlette, routes, bodies. Must not know: what is in a stream (`orders`), what a request may say (`requests`),
when a chunk is due (`sending`), how the application is served (`server`).

    POST /v1/responses, /v1/images/generations, /v1/images/edits, /v1/chat/completions
    POST /api/v1/responses, /api/v1/images, /api/v1/chat/completions          as OpenRouter has them
    GET  /v1/responses/{id}[?stream=true[&starting_after=N]]                  and below /api
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
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
from .answers import Api, Order, Pace, Play, play, resumed
from .apis import APIS
from .delivery import Clock, Sending, Sleep
from .framing import json_body
from .request_parsing import Refusal, form_values, order_of
from .response_store import Kept, Shelf

_MAX_REQUEST_BYTES = 64 * 2**20  # the services take pictures of up to 50 MB
_MOST_SENT = 32  # answers that are kept: they have megabytes

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
class Asked:
    """One request that came. `json`: its body, of a form the fields, a file as its name, type and size in bytes."""

    method: str
    path: str
    json: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # a key may be among them


# ---- the service


@dataclass(slots=True, kw_only=True)
class Service:
    """What a running server plays; `app.state.service`. `order` and `pace` may be replaced between requests.

    `requests`: what was asked, the oldest first, as many as were to be kept. `sent`: the last of the answers to them.
    """

    order: Order
    pace: Pace
    clock: Clock
    sleep: Sleep
    requests: deque[Asked]
    sent: deque[Play] = field(default_factory=lambda: deque(maxlen=0))
    shelf: Shelf = field(default_factory=Shelf)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Cut every answer that is being sent, those that hang included. To be called in the server's loop."""
        self._released.set()
        self._released = asyncio.Event()

    async def post(self, request: Request) -> Response:
        """The answer to a request for pictures."""
        path: str = request.scope["path"]
        body, picture = await self._heard(request)
        # Below /api is OpenRouter, unless another dialect than the usual one was chosen.
        is_router = path.startswith("/api/") and self.order.dialect == Order().dialect
        default = replace(self.order, dialect="openrouter") if is_router else self.order
        order = order_of(_ROUTES[path], body, request.headers, default=default, picture=picture)
        # What is made in the background is answered at once and kept as a stream, whether that is asked for or not.
        is_queued = order.is_background and not order.is_streamed
        made = await self._made(replace(order, is_streamed=True) if is_queued else order)
        if order.api != "responses" or made.status != 200:
            return self._answer(made)
        if body.get("store") is not False:
            self._keep(order, made)
        return self._answer(_queued(made) if is_queued else made)

    async def get(self, request: Request) -> Response:
        """A response that was made before, whole or streamed again from an event on."""
        self._note(request, None)
        name, query = request.path_params["response_id"], request.query_params
        kept = self.shelf.get(name)
        if kept is None:
            raise Refusal(f"Response with id {quoted(name)} not found.", status=404)
        stream = kept.stream or await self._made(replace(kept.order, is_streamed=True))
        if query.get("stream", "false").lower() != "true":
            is_done = self.clock() >= kept.done_at
            body = json_body(APIS["responses"].whole(stream.events)) if is_done else _begun(stream, "in_progress")
            return Response(body, media_type="application/json")
        if not kept.order.is_background:
            raise Refusal("This response cannot be streamed because it was not created with background=true.")
        return self._answer(resumed(stream, _starting_after(query.get("starting_after"))))

    async def _heard(self, request: Request) -> tuple[Any, bytes | None]:
        """The body of a request as it was meant, and the picture that came with it."""
        data = await _read_body(request)
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            body, shown, picture = await _parse_form(request.headers, data)
            self._note(request, shown)
            return body, picture
        try:
            body = json.loads(data)
        except (ValueError, RecursionError) as cause:
            self._note(request, None)
            raise Refusal("We could not parse the JSON body of your request. Is it valid JSON?") from cause
        self._note(request, body)
        return body, None

    def _note(self, request: Request, body: Any) -> None:
        query, headers = dict(request.query_params), dict(request.headers)
        asked = Asked(method=request.method, path=request.scope["path"], json=body, query=query, headers=headers)
        self.requests.append(asked)

    async def _made(self, order: Order) -> Play:
        # In a thread: a large picture takes a second to be drawn, and others are served meanwhile.
        try:
            return await asyncio.to_thread(play, order)
        except UsageError as cause:
            is_theirs = order.picture is not None and order.picture is not self.order.picture
            param, code = ("image", "invalid_image_file") if is_theirs else (None, "invalid_value")
            raise Refusal(str(cause), param=param, code=code) from cause

    def _keep(self, order: Order, made: Play) -> None:
        name = made.response_id or ""
        before = self.shelf.get(name)
        if before and before.order.is_background and not order.is_background:
            return  # an equal order gives an equal id; what can be resumed stays so
        is_queued = order.is_background and not order.is_streamed
        pace_s = sum(wait_s for wait_s, _ in self.pace.chunks(made.body, seed=order.seed)) if is_queued else 0.0
        stream = made if made.events else None
        self.shelf.put(name, Kept(order=order, stream=stream, done_at=self.clock() + pace_s))

    def _answer(self, made: Play) -> Response:
        self.sent.append(made)
        return Sending(
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
        raise Refusal(message, param="starting_after", code="invalid_type")
    return int(text)


def _begun(made: Play, status: str) -> bytes:
    """The response as it is in the beginning."""
    told = [event["response"] for event in made.events if isinstance(event.get("response"), dict)]
    return json_body((told[0] if told else {}) | {"status": status})


def _queued(made: Play) -> Play:
    headers = {**made.headers, "content-type": "application/json"}
    return replace(made, headers=headers, body=(_begun(made, "queued"),), ending="closed")


async def _read_body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MAX_REQUEST_BYTES:
            raise Refusal(f"Request body exceeds the limit of {_MAX_REQUEST_BYTES:,} bytes.", status=413)
    return bytes(data)


async def _parse_form(headers: Headers, data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes | None]:
    """The fields of a form, the same with its files told of, and the first picture in it."""

    async def body() -> AsyncGenerator[bytes, None]:
        yield data

    try:
        form = await MultiPartParser(headers, body()).parse()
    except (MultiPartException, FormParserError) as cause:  # older starlettes let the second through
        raise Refusal(f"We could not parse the multipart body of your request: {cause}") from cause
    except KeyError as cause:
        raise Refusal("We could not parse the multipart body of your request: it has no boundary.") from cause
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
    fields = form_values(texts)
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
    """The simulated services as an ASGI application; its `state.service` is the Service that is played.

    Arguments: `order`: the defaults, which a request changes by its body and the `x-imgassemble-…` headers.
    `pace`: of what is sent. `clock` and `sleep`: seconds, as `time.monotonic` and `asyncio.sleep` have them.
    `keep_requests`: how many requests `state.service.requests` keeps.
    """
    service = Service(
        order=order or Order(),
        pace=pace or Pace(),
        clock=clock,
        sleep=sleep,
        requests=deque(maxlen=keep_requests),
        sent=deque(maxlen=min(keep_requests, _MOST_SENT)),
    )
    posts = [Route(path, service.post, methods=["POST"]) for path in _ROUTES]
    gets = [Route(path + "/{response_id}", service.get, methods=["GET"]) for path in _ROUTES if "responses" in path]
    app = Starlette(routes=[*posts, *gets], exception_handlers=_HANDLERS)
    app.state.service = service
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse(error.body(request.scope["path"]), status_code=error.status)


def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    request.app.state.service.requests.append(Asked(method=request.method, path=request.scope["path"]))
    asked = f"{request.method} {request.scope['path']}"
    message = f"Invalid URL ({asked})" if error.status_code == 404 else f"{error.detail} ({asked})"
    return _refused(request, Refusal(message, status=error.status_code))


def _client_left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


def _broken(request: Request, _error: Exception) -> Response:
    message = "The server had an error while processing your request. Sorry about that!"
    return _refused(request, Refusal(message, status=500, kind="server_error"))


_HANDLERS: Mapping[Any, Callable[[Request, Exception], Response]] = {
    Refusal: _refused,
    HTTPException: _no_such_route,
    ClientDisconnect: _client_left,
    Exception: _broken,
}
