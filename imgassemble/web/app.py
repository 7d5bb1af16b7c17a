"""The live page as an application to be mounted in another: facts as server-sent events, frames as received.

    GET /                          the page
    GET /static/{name}             its style and its scripts
    GET /events                    server-sent events: `hello`, then `stream`, `item` and `gone` for each change
    GET /frames/{key}/{name}       a frame, byte for byte as it was received

`hello` with `is_new` says that the viewer must discard what it has: everything that is shown follows. It is sent again
if the viewer was too slow, or if a removed stream has a name that the viewer may no longer receive. `seen` ends a
batch of changes. Its id is the version from which the viewer continues when it connects again; the version is 0 if a
stream is withheld from the viewer, because that may be allowed by then.

It needs the extra `web`; without that, importing this module is a UsageError.
Must not know: how the application is served, where streams come from.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from importlib.resources import files
from inspect import isawaitable

from ..errors import UsageError, quoted
from .changes import RESET, PageChange
from .gallery import Gallery
from .viewer import Viewer

try:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send
except ModuleNotFoundError as missing:
    package = str(missing.name).partition(".")[0]
    raise UsageError(f"the live page needs {package}: pip install 'imgassemble[web]'") from missing

_log = logging.getLogger("imgassemble")

Authorize = Callable[[Request, str], "bool | Awaitable[bool]"]

_KEEP_ALIVE_S = 15.0  # shorter than the idle timeouts of common proxies, which are 30 seconds and more
_SCRIPTS = ("page.js", "changes.js", "tiles.js", "tile.js", "crossfade.js", "sentences.js")
_STATIC = {"page.css": "text/css", "icon.svg": "image/svg+xml"} | dict.fromkeys(_SCRIPTS, "text/javascript")
_YEAR_S = 365 * 24 * 3600
_REST_S = 0.02  # between two batches: too short to be seen, and long enough for a stream at full speed to be fed
_PIECE_BYTES = 128 * 1024  # sent at a time: a frame takes a few pieces, and a slow viewer holds two of them in memory
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
# The bytes of a frame come from outside: opened as a document of its own, it may run nothing and load nothing.
_FRAME_HEADERS = SECURITY_HEADERS | {"content-security-policy": "default-src 'none'; sandbox"}


def create_app(
    gallery: Gallery, *, authorize: Authorize, max_viewers: int = 1_000, keep_alive_s: float = _KEEP_ALIVE_S
) -> Starlette:
    """Return the live page of `gallery` as an application, to be mounted in FastAPI or Starlette or served on its own.

    authorize: `authorize(request, stream)` returns whether the viewer may see a stream, for the stream and for each of
        its frames; it may be a coroutine function. If it raises, the exception is logged and the answer is no. Asked:
        (a) before changes of a shown stream are sent; (b) when a new or withheld stream changes;
        (c) every `keep_alive_s` for withheld streams.
        For one viewer, one question is asked at a time. So each of a thousand streams costs one question when a viewer
        connects, and one every `keep_alive_s` if it is withheld: cache answers that take long.
        `everyone` shows all streams.
    max_viewers: a viewer beyond this number receives the status 503 and tries again later.
    keep_alive_s: seconds without a change after which a comment is sent.

    The application answers under any host name. The application around it restricts host names, with Starlette's
    TrustedHostMiddleware, or the proxy does.

        app.mount("/pictures", create_app(gallery, authorize=may_see))
    """
    page = _Page(gallery, authorize, max_viewers, keep_alive_s)
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


def everyone(_request: Request, _stream: str) -> bool:
    """Allow every stream to every viewer: for a page that only permitted viewers can reach."""
    return True


class _Page:
    def __init__(self, gallery: Gallery, authorize: Authorize, max_viewers: int, keep_alive_s: float) -> None:
        self._gallery, self._authorize = gallery, authorize
        self._max_viewers, self._keep_alive_s = max_viewers, keep_alive_s
        self._change_signals: dict[asyncio.AbstractEventLoop, _ChangeSignal] = {}  # usually one

    async def index(self, request: Request) -> Response:
        is_linked = request.headers.get("sec-fetch-dest") == "document"  # another site may link to the page
        return (None if is_linked else _refuse_foreign(request)) or _static("page.html", "text/html", "no-cache")

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        return _static(name, _STATIC[name], "no-cache") if name in _STATIC else _not_found()

    async def events(self, request: Request) -> Response:
        if refusal := _refuse_foreign(request):
            return refusal
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
        found = self._gallery.frame(request.path_params["key"], request.path_params["name"])
        if found is None or not await self._may_see(request, found[0]):
            return _not_found()
        frame = found[1]
        etag = f'"{frame.sha256}"'
        headers = _FRAME_HEADERS | {"etag": etag, "cache-control": f"private, max-age={_YEAR_S}, immutable"}
        known = request.headers.get("if-none-match", "")  # a list; a proxy may have added the prefix W/
        if etag in known or known == "*":
            return Response(status_code=304, headers=headers)
        if frame.format == "SVG":  # never a document of its own: <img> shows it and runs no script
            headers["content-disposition"] = 'attachment; filename="drawing.svg"'
        return _PictureResponse(frame.data, media_type=frame.mime_type, headers=headers)

    async def _may_see(self, request: Request, stream: str) -> bool:
        try:
            answer = self._authorize(request, stream)
            return bool(await answer) if isawaitable(answer) else bool(answer)
        except Exception:  # noqa: BLE001 - the application's own code; its message may be secret, and other streams go on
            _log.exception("authorize failed for stream %s, which is not shown to this viewer", quoted(stream))
            return False

    async def _events(self, request: Request, change_signal: _ChangeSignal) -> AsyncGenerator[bytes]:
        """Yield the server-sent events for one viewer, from its last version on.

        The gallery does not wait for a slow viewer: it receives the facts as they are when it is ready for them.
        """
        epoch, now = self._gallery.epoch, asyncio.get_running_loop().time
        seen = _last_seen(request.headers.get("last-event-id", ""), epoch)
        viewer = Viewer(self._gallery, partial(self._may_see, request), seen)
        piece, sent, alive_at = bytearray(_hello(epoch, seen)), -1, now() + self._keep_alive_s
        while True:
            has_news = change_signal.next
            changes = await viewer.next_changes(has_news)
            for change in changes:
                piece += _hello(epoch, 0) if change is RESET else _encode_change(change)
                if len(piece) >= _PIECE_BYTES:
                    yield bytes(piece)
                    piece.clear()
                    await asyncio.sleep(0)  # lets other viewers proceed, and notices a viewer that has left
            if changes or viewer.seen != sent:
                sent = viewer.seen
                yield bytes(piece + _encode("seen", f"{epoch}.{sent}", {}))
                piece.clear()
            if now() >= alive_at:
                alive_at = now() + self._keep_alive_s
                viewer.ask_again()
                yield b": still here\n\n"
            await asyncio.wait([has_news], timeout=0 if viewer.has_questions else alive_at - now())

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
    """Wakes all viewers of one event loop after the gallery has changed, at most once every _REST_S seconds."""

    def __init__(self, gallery: Gallery, loop: asyncio.AbstractEventLoop) -> None:
        self.viewers = 0
        self.next: asyncio.Future[None] = loop.create_future()  # done at the next change
        self.loop = loop
        self._is_scheduled = False
        self.stop = gallery.watch(self._schedule_wake)

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


def _last_seen(last_event_id: str, epoch: str) -> int:
    """Return the version in an event id; 0 if the id is of another process, or invalid."""
    its_epoch, _, version = last_event_id.partition(".")
    return int(version) if its_epoch == epoch and version.isascii() and version.isdecimal() and len(version) < 16 else 0


def _hello(epoch: str, version: int) -> bytes:
    return _encode("hello", f"{epoch}.{version}", {"is_new": version == 0})


def _encode_change(change: PageChange) -> bytes:
    return f"event: {change.kind}\ndata: {change.json}\n\n".encode()


def _encode(kind: str, event_id: str, facts: dict[str, object]) -> bytes:
    return f"id: {event_id}\nevent: {kind}\ndata: {json.dumps(facts)}\n\n".encode()


def _static(name: str, media_type: str, cache: str) -> Response:
    data = (files(__package__) / "static" / name).read_bytes()
    return Response(data, media_type=media_type, headers=SECURITY_HEADERS | {"cache-control": cache})


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
