"""Answers the requests of the services that stream over HTTP, and keeps the requests that came.

Must not know: how a stream is made (`answers`), the fields of a request (`request_parsing`), when a chunk is due
(`delivery`), the paths (`application`).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from ..errors import UsageError, quoted
from .answers import Answer, Order, Pace, play, response_ids, resumed
from .apis import write_response
from .delivery import Clock, PacedResponse, Sleep
from .framing import frame_events, json_body
from .messages import Event
from .request_parsing import read_form_values, read_order
from .request_values import RequestError
from .response_store import ResponseStore, StoredResponse
from .scenarios import Api

_MAX_REQUEST_BYTES = 64 * 2**20  # the services accept pictures of up to 50 MB
MAX_SENT = 32  # answers that are kept; each can have megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedRequest:
    """A request. `json`: its body; for a form its fields, and each file as its name, type and size in bytes."""

    method: str
    path: str
    json: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<ReceivedRequest {self.method} {self.path}>"  # no body: pictures; no headers: an API key


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
    _tasks: set[asyncio.Future[None]] = field(default_factory=set)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Cut every answer that is being sent, also those that hang. Call it in the loop of the server."""
        self.released.set()
        self.released = asyncio.Event()
        for task in list(self._tasks):
            task.cancel()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside the requests; `release` ends it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def post(self, api: Api, request: Request) -> Response:
        """Answer a request for pictures."""
        path: str = request.scope["path"]
        body, picture = await self.read(request)
        # Paths below /api mean OpenRouter, unless a dialect other than the default was chosen.
        is_router = path.startswith("/api/v1/") and self.order.dialect == Order().dialect
        order = self.next_order()
        default = replace(order, dialect="openrouter") if is_router else order
        is_streamed = path.endswith((":streamGenerateContent", "-stream"))
        order = read_order(api, body, request.headers, default=default, picture=picture, is_streamed=is_streamed)
        # A request in the background is answered at once and stored as a stream, even if no stream was asked for.
        is_queued = order.is_background and not order.is_streamed
        made = await self.play(replace(order, is_streamed=True) if is_queued else order)
        if api == "gemini" and is_streamed and request.query_params.get("alt") != "sse":
            made = _array_answer(made)
        if api != "responses" or made.status != 200:
            return self.answer(made)
        if body.get("store") is not False:
            self._store(order, made)
        return self.answer(_queued_answer(made) if is_queued else made)

    async def get(self, request: Request) -> Response:
        """Answer with a response that was made before: whole, or streamed again after an event."""
        self.record(request, None)
        name, query = request.path_params["response_id"], request.query_params
        stored = self.store.get(name)
        if stored is None:
            raise RequestError(f"Response with id {quoted(name)} not found.", status=404)
        stream = stored.stream or await self.play(replace(stored.order, is_streamed=True))
        if query.get("stream", "false").lower() != "true":
            is_done = self.clock() >= stored.done_at
            events = resumed(stream, -inf, name).events
            body = json_body(write_response(events)) if is_done else _beginning(events, "in_progress")
            return Response(body, media_type="application/json")
        if not stored.order.is_background:
            raise RequestError("This response cannot be streamed because it was not created with background=true.")
        return self.answer(resumed(stream, _starting_after(query.get("starting_after")), name))

    def next_order(self) -> Order:
        """Return the order for the next request: without its faults if enough requests have had them."""
        left = self.faulty_requests
        if left is None:
            return self.order
        self.faulty_requests = max(0, left - 1)
        return self.order if left else replace(self.order, faults=())

    async def read(self, request: Request) -> tuple[Any, bytes | None]:
        """Read the body of a request, and the picture in it."""
        data = await _read_body(request)
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            body, shown, picture = await _parse_form(request.headers, data)
            self.record(request, shown)
            return body, picture
        try:
            body = json.loads(data)
        except (ValueError, RecursionError) as cause:
            self.record(request, None)
            raise RequestError("We could not parse the JSON body of your request. Is it valid JSON?") from cause
        self.record(request, body)
        return body, None

    def record(self, request: Request, body: Any) -> None:
        query, headers = dict(request.query_params), dict(request.headers)
        asked = ReceivedRequest(
            method=request.method, path=request.scope["path"], json=body, query=query, headers=headers
        )
        self.requests.append(asked)

    async def play(self, order: Order) -> Answer:
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

    def answer(self, made: Answer) -> Response:
        self.sent.append(made)
        return self.respond(made)

    def respond(self, made: Answer) -> Response:
        """Return the response that sends an answer which `sent` has already."""
        return PacedResponse(
            made,
            pace=self.pace,
            seed=self.order.seed,
            clock=self.clock,
            sleep=self.sleep,
            released=self.released,
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


def _array_answer(made: Answer) -> Answer:
    """Return a stream of Google as one JSON array, which it is without `alt=sse`."""
    if not made.events:
        return made
    framing = replace(made.framing, container="array")
    headers = {**made.headers, "content-type": "application/json; charset=UTF-8"}
    return replace(made, headers=headers, body=frame_events(made.events, framing), framing=framing)


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
