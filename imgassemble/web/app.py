"""The live page as an application to be mounted in another: facts as server-sent events, frames as received.

    GET /                          the page, with the title
    GET /static/{name}             its style and its scripts
    GET /events                    server-sent events: `hello`, then `stream`, `frame`, `item` and `gone` by changes
    GET /frames/{key}/{name}       a frame, byte for byte as it was received; `-small` after its number: a WebP of at
                                   most 512 pixels

`hello` has the present time of the gallery as `now_s`; a stream has the time of its beginning as `began_s`. `hello`
with `is_new` says that the viewer must discard what it has: everything that is shown follows. It is sent again if the
viewer was too slow, or if a removed stream has a name that the viewer may no longer receive. `seen` ends a batch of
changes. Its id is the position from which the viewer continues when it connects again; it is empty if a stream is
withheld from the viewer, because that may be allowed by then.

It needs the extra `web`; without that, importing this module is a UsageError.
Must not know: how the application is served, where streams come from.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from html import escape
from importlib.resources import files
from inspect import isawaitable

from ..arguments import check_count, check_function, check_seconds, check_text, shorten
from ..errors import UsageError
from .changes import RESET
from .server_stop import call_at_server_stop
from .small_pictures import SmallPictures, as_it_is
from .viewer import ViewedGallery, Viewer

try:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send
except ModuleNotFoundError as _missing:
    _package = str(_missing.name).partition(".")[0]
    raise UsageError(f"the live page needs {_package}: pip install 'imgassemble[web]'") from _missing

_log = logging.getLogger("imgassemble")

Authorize = Callable[[Request, str], "bool | Awaitable[bool]"]

_KEEP_ALIVE_S = 15.0  # shorter than the idle timeouts of common proxies, which are 30 seconds and more
_SCRIPTS = ("page.js", "changes.js", "tiles.js", "tile.js", "crossfade.js", "enlarged.js", "sentences.js")
_STATIC = {"page.css": "text/css", "icon.svg": "image/svg+xml"} | dict.fromkeys(_SCRIPTS, "text/javascript")
_YEAR_S = 365 * 24 * 3600
_REST_S = 0.02  # between two batches: too short to be seen, and long enough for a stream at full speed to be fed
_PIECE_BYTES = 128 * 1024  # sent at a time: a frame takes a few pieces, and a slow viewer holds two of them in memory
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {}"
)
SECURITY_HEADERS = {
    "content-security-policy": _POLICY.format("'none'"),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
# The bytes of a frame come from outside: opened as a document of its own, it may run nothing and load nothing.
_FRAME_HEADERS = SECURITY_HEADERS | {"content-security-policy": "default-src 'none'; sandbox"}
_SMALL = "-small"
_FRAME_NAME = re.compile(r"(?P<number>\d{1,12})(?P<suffix>\.[a-z]{3,4}|-small)", re.ASCII)
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d{1,5})?", re.IGNORECASE)


def create_app(
    gallery: ViewedGallery,
    *,
    authorize: Authorize,
    title: str = "imgassemble",
    frame_ancestors: Sequence[str] = (),
    max_viewers: int = 1_000,
    keep_alive_s: float = _KEEP_ALIVE_S,
) -> Starlette:
    """Return the live page of `gallery` as an application, to be mounted in FastAPI or Starlette or served on its own.

    authorize: `authorize(request, stream)` returns whether the viewer may see a stream, for the stream and for each of
        its frames; it may be a coroutine function. An HTTPException of Starlette or FastAPI means no. Any other
        exception withholds the stream, answers a frame with the status 500, and is logged once per type. Asked:
        (a) before changes of a shown stream are sent; (b) when a new or withheld stream changes;
        (c) every `keep_alive_s` for withheld streams.
        For one viewer, one question is asked at a time. So each of a thousand streams costs one question when a viewer
        connects, and one every `keep_alive_s` if it is withheld: cache answers that take long.
        `everyone` shows all streams.
    title: the heading of the page.
    frame_ancestors: the origins whose pages may show this page in a frame, such as "https://app.example.com"; "self"
        is the origin of the page itself. No page may by default.
    max_viewers: a viewer beyond this number receives the status 503 and tries again later; from 1.
    keep_alive_s: seconds without a change after which a comment is sent; above 0.

    The event streams end when the server stops (uvicorn or hypercorn, in the main thread of a process), or with
    `gallery.close()`. The application answers under any host name. The application around it restricts host names,
    with Starlette's TrustedHostMiddleware, or the proxy does. Raises UsageError for an argument of a wrong type or
    range.

        app.mount("/pictures", create_app(gallery, authorize=may_see))
    """
    if not callable(getattr(gallery, "watch", None)):
        given = type(gallery).__name__
        raise UsageError(f"create_app shows a Gallery, not {given}: create_app(Gallery(), authorize=…)")
    if authorize is None:
        raise UsageError("authorize=None allows no one: pass authorize=everyone to show all streams to every viewer")
    check_function("authorize", authorize)
    check_text("title", title)
    check_count("max_viewers", max_viewers)
    check_seconds("keep_alive_s", keep_alive_s)
    if not keep_alive_s:
        raise UsageError("keep_alive_s is the time between two comments: a number of seconds above 0")
    page = _Page(gallery, authorize, max_viewers, keep_alive_s, _Document(title, _check_origins(frame_ancestors)))
    app = Starlette(
        routes=[
            Route("/", page.index),
            Route("/static/{name}", page.static),
            Route("/events", page.events),
            Route("/frames/{key}/{name}", page.frame),
        ],
        exception_handlers={404: _refuse, 405: _refuse},
    )
    app.router.redirect_slashes = False  # a redirect would use the request's `Host`, which is not checked here
    return app


def _check_origins(given: Sequence[str]) -> list[str]:
    """Return the sources of a `frame-ancestors` directive. Raises UsageError for a text that is not an origin."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UsageError(f"frame_ancestors is a list of origins, not {shorten(given)}: ['https://app.example.com']")
    sources = []
    for origin in given:
        if origin in ("self", "'self'"):
            sources.append("'self'")
        elif isinstance(origin, str) and _ORIGIN.fullmatch(origin):
            sources.append(origin)
        else:
            advice = "scheme, host and port, such as 'https://app.example.com:8443', or 'self'"
            raise UsageError(f"frame_ancestors has origins, and {shorten(origin)} is not one: write {advice}")
    return sources


def everyone(_request: Request, _stream: str) -> bool:
    """Allow every stream to every viewer: for a page that only permitted viewers can reach."""
    return True


class _Document:
    """The HTML of the page with its title, and the pages that may frame it."""

    def __init__(self, title: str, frame_ancestors: list[str]) -> None:
        self.can_be_framed = bool(frame_ancestors)
        self._html = _read_static("page.html").replace(b"{title}", escape(title).encode("utf-8", "replace"))
        self._headers = SECURITY_HEADERS | {
            "cache-control": "no-cache",
            "content-security-policy": _POLICY.format(" ".join(frame_ancestors) or "'none'"),
        }

    def response(self) -> Response:
        return Response(self._html, media_type="text/html", headers=self._headers)


class _Page:
    def __init__(
        self, gallery: ViewedGallery, authorize: Authorize, max_viewers: int, keep_alive_s: float, document: _Document
    ) -> None:
        self._gallery, self._authorize, self._document = gallery, authorize, document
        self._logged: set[type[Exception]] = set()  # types of exceptions of `authorize`
        self._max_viewers, self._keep_alive_s = max_viewers, keep_alive_s
        self._change_signals: dict[asyncio.AbstractEventLoop, _ChangeSignal] = {}  # usually one
        self._small = SmallPictures()

    async def index(self, request: Request) -> Response:
        # Another site may link to the page, and frame it if that is allowed.
        destinations = ("document", "iframe", "frame") if self._document.can_be_framed else ("document",)
        is_opened = request.headers.get("sec-fetch-dest") in destinations
        return (None if is_opened else _refuse_foreign(request)) or self._document.response()

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            return _not_found()
        headers = SECURITY_HEADERS | {"cache-control": "no-cache"}
        return Response(_read_static(name), media_type=_STATIC[name], headers=headers)

    async def events(self, request: Request) -> Response:
        if refusal := _refuse_foreign(request):
            return refusal
        if self._gallery.is_closed:
            return PlainTextResponse("The gallery is closed.\n", 503, SECURITY_HEADERS)
        if sum(change_signal.viewers for change_signal in tuple(self._change_signals.values())) >= self._max_viewers:
            sentence = f"There are {self._max_viewers} viewers already, the maximum. Try again later.\n"
            return PlainTextResponse(sentence, 503, SECURITY_HEADERS | {"retry-after": "10"})
        headers = SECURITY_HEADERS | {"cache-control": "no-store", "x-accel-buffering": "no"}
        if request.method == "HEAD":
            return Response(media_type="text/event-stream", headers=headers)
        change_signal = self._enter()
        return _EventStream(self._events(request, change_signal), lambda: self._leave(change_signal), headers)

    async def frame(self, request: Request) -> Response:
        if refusal := _refuse_foreign(request):
            return refusal
        key, name = request.path_params["key"], _FRAME_NAME.fullmatch(request.path_params["name"])
        stream = await self._stream_of(key)
        try:
            is_allowed = name is not None and stream is not None and await self._ask(request, stream)
        except Exception as error:  # noqa: BLE001 - the application's own code can raise anything
            self._log_failure(error)
            return PlainTextResponse("The permission could not be checked.\n", 500, SECURITY_HEADERS)
        if name is None or not is_allowed:
            return _not_found()
        frame = await self._gallery.load_frame(key, int(name["number"]))
        if frame is None or name["suffix"] not in (frame.suffix, _SMALL):
            return _not_found()
        etag = f'"{key}-{name[0]}"'  # a number of a key is given once
        headers = _FRAME_HEADERS | {"etag": etag, "cache-control": f"private, max-age={_YEAR_S}, immutable"}
        known = request.headers.get("if-none-match", "")  # a list; a proxy may have added the prefix W/
        if etag in known or known == "*":
            return Response(status_code=304, headers=headers)
        if frame.format == "SVG":  # never a document of its own: <img> shows it and runs no script
            headers["content-disposition"] = 'attachment; filename="drawing.svg"'
        picture = await self._small.of(etag, frame) if name["suffix"] == _SMALL else as_it_is(frame)
        return _PictureResponse(picture.data, media_type=picture.mime_type, headers=headers)

    async def _stream_of(self, key: str) -> str | None:
        """Return the name of the stream with this key, also if another process has only just shown it."""
        stream = self._gallery.stream_of(key)
        if stream is None:
            await self._gallery.catch_up()
            stream = self._gallery.stream_of(key)
        return stream

    async def _ask(self, request: Request, stream: str) -> bool:
        """Return the answer of `authorize`; an HTTPException that it raises means no."""
        try:
            answer = self._authorize(request, stream)
            return bool(await answer if isawaitable(answer) else answer)
        except HTTPException:
            return False

    async def _may_see(self, request: Request, stream: str) -> bool:
        """Return whether the viewer may see a stream; no if that cannot be checked, so that other streams go on."""
        try:
            return await self._ask(request, stream)
        except Exception as error:  # noqa: BLE001 - the application's own code can raise anything
            self._log_failure(error)
            return False

    def _log_failure(self, error: Exception) -> None:
        if type(error) not in self._logged:
            self._logged.add(type(error))
            name = type(error).__name__
            _log.error("authorize raised %s: its streams are not shown (logged once per type)", name, exc_info=error)

    async def _events(self, request: Request, change_signal: _ChangeSignal) -> AsyncGenerator[bytes]:
        """Yield the server-sent events for one viewer, from its last version on.

        The gallery does not wait for a slow viewer: it receives the facts as they are when it is ready for them.
        """
        now = asyncio.get_running_loop().time
        last = request.headers.get("last-event-id", "")
        if not self._gallery.is_known(last):
            await self._gallery.catch_up()  # another process may have sent it
        seen = last if self._gallery.is_known(last) else ""
        viewer = Viewer(self._gallery, partial(self._may_see, request), seen)
        piece, sent, alive_at = bytearray(self._hello(seen)), None, now() + self._keep_alive_s
        while True:
            has_news = change_signal.next
            changes = await viewer.next_changes(has_news)
            for change in changes:
                piece += self._hello("") if change is RESET else change.event
                if len(piece) >= _PIECE_BYTES:
                    yield bytes(piece)
                    piece.clear()
                    await asyncio.sleep(0)  # lets other viewers proceed, and notices a viewer that has left
            if changes or viewer.seen != sent:
                sent = viewer.seen
                yield bytes(piece + _encode("seen", sent, {}))
                piece.clear()
            if now() >= alive_at:
                alive_at = now() + self._keep_alive_s
                viewer.ask_again()
                yield b": still here\n\n"
            if change_signal.is_last or self._gallery.is_closed:
                return
            await asyncio.wait([has_news], timeout=0 if viewer.has_questions else alive_at - now())

    def _hello(self, seen: str) -> bytes:
        return _encode("hello", seen, {"is_new": not seen, "now_s": self._gallery.now_s})

    def _enter(self) -> _ChangeSignal:
        loop = asyncio.get_running_loop()
        if loop not in self._change_signals:
            self._change_signals[loop] = _ChangeSignal(self._gallery, loop)
        self._change_signals[loop].viewers += 1
        return self._change_signals[loop]

    def _leave(self, change_signal: _ChangeSignal) -> None:
        change_signal.viewers -= 1
        if not change_signal.viewers:
            change_signal.stop()
            self._change_signals.pop(change_signal.loop, None)


class _EventStream(StreamingResponse):
    """Server-sent events; `leave` is called when the viewer has left, also if no event was sent."""

    def __init__(self, events: AsyncGenerator[bytes], leave: Callable[[], None], headers: dict[str, str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


class _PictureResponse(Response):
    """A body that is sent in pieces, so that no whole copy of it waits for a slow viewer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for at in range(0, len(self.body), _PIECE_BYTES):
            piece = self.body[at : at + _PIECE_BYTES]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _ChangeSignal:
    """Wakes all viewers of one event loop after the gallery has changed, at most once every _REST_S seconds.

    is_last: whether the viewers must leave, because their server stops.
    """

    def __init__(self, gallery: ViewedGallery, loop: asyncio.AbstractEventLoop) -> None:
        self.viewers = 0
        self.next: asyncio.Future[None] = loop.create_future()  # done at the next change
        self.loop = loop
        self.is_last = False
        self._is_scheduled = False
        self._unsubscribers = (gallery.watch(self._schedule_wake), call_at_server_stop(loop, self._end_viewers))

    def stop(self) -> None:
        for unsubscribe in self._unsubscribers:
            unsubscribe()

    def _end_viewers(self) -> None:
        self.is_last = True
        self._wake_viewers()

    def _schedule_wake(self) -> None:
        if not self._is_scheduled:  # called in any thread
            self._is_scheduled = True
            try:
                self.loop.call_soon_threadsafe(self.loop.call_later, _REST_S, self._wake_viewers)
            except RuntimeError:  # the loop is closed, so it has no viewers any more
                self.stop()

    def _wake_viewers(self) -> None:
        self._is_scheduled = False
        changed, self.next = self.next, self.loop.create_future()
        changed.set_result(None)


def _encode(kind: str, event_id: str, facts: Mapping[str, object]) -> bytes:
    return f"id: {event_id}\nevent: {kind}\ndata: {json.dumps(facts)}\n\n".encode()


def _read_static(name: str) -> bytes:
    return (files(__package__) / "static" / name).read_bytes()


def _not_found() -> Response:
    return PlainTextResponse("Not found.\n", 404, SECURITY_HEADERS)


def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _not_found()
    return PlainTextResponse(
        "Only GET and HEAD are allowed here.\n", error.status_code, SECURITY_HEADERS | dict(error.headers or {})
    )


def _refuse_foreign(request: Request) -> Response | None:
    """Return a refusal if a page of another origin made the request, else None."""
    origin = request.headers.get("origin")
    is_same = origin is None or origin.partition("://")[2] == request.headers.get("host")
    if is_same and request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
        return None
    return PlainTextResponse("Only the page itself may request this.\n", 403, SECURITY_HEADERS)
