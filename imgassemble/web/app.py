"""The live page as an application that is mounted in another: facts as server-sent events, frames as they came.

Knows: starlette, routes, headers, who is asked whether a viewer may see a stream. Must not know: how it is served,
where streams come from. It needs the extra `web`; without it, importing this module is a UsageError.

    GET /                          the page
    GET /static/{name}             its style and its script
    GET /events                    server-sent events: `hello`, then `stream`, `item` and `gone` as they change
    GET /frames/{key}/{name}       a frame, byte for byte as it was received

`hello` with `is_new` means that what was told before counts no more: all that is shown follows. It comes again where a
viewer has slept too long, and where a stream has gone whose name it may not hear any more. `seen` ends what is told at
once, and has the id from which the viewer goes on when it is connected again: from the beginning where a stream was
kept from it, for it may be allowed by then.
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

_KEEP_ALIVE_S = 15.0  # shorter than the idle time-outs of common proxies, which begin at 30 seconds
_SCRIPTS = ("page.js", "news.js", "wall.js", "tile.js", "crossfade.js", "words.js")
_STATIC = {"page.css": "text/css", "icon.svg": "image/svg+xml"} | dict.fromkeys(_SCRIPTS, "text/javascript")
_YEAR = 365 * 24 * 3600
_REST_S = 0.02  # between two looks at what is new: nobody sees it, and a reader at full speed has the processor
_PIECE_BYTES = 128 * 1024  # sent at a time: a fast viewer gets a whole frame in a few, and a slow one holds two
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
# A frame is somebody else's bytes: opened on its own it may run nothing and load nothing.
_FRAME_HEADERS = SECURITY_HEADERS | {"content-security-policy": "default-src 'none'; sandbox"}


def create_app(
    gallery: Gallery, *, authorize: Authorize, max_viewers: int = 1_000, keep_alive_s: float = _KEEP_ALIVE_S
) -> Starlette:
    """The live page of `gallery`, to be mounted in a FastAPI or Starlette application, or served on its own.

    authorize: `authorize(request, stream)` says for each stream, and for each frame of it, whether the viewer may see
        it; it may be a coroutine function. Where it raises, that is logged and a no. Of each viewer it is asked one
        question at a time: about a stream that is shown, before its news are told; about one that is new or withheld,
        when those have been told, at its news and every `keep_alive_s`. So what is shown waits for one question about
        what is not, at most; and of a thousand streams each viewer costs a thousand questions when it comes, and as
        many every `keep_alive_s` as are withheld: where an answer takes long, remember it. `everyone` shows all.
    max_viewers: who comes when so many are there is told to come back later (503).
    keep_alive_s: seconds without news after which a comment is sent.

    It answers under whatever name it is asked for, as the application around it does: that one says which hosts are its
    own, by Starlette's TrustedHostMiddleware or at its proxy.
    """
    page = _Page(gallery, authorize, max_viewers, keep_alive_s)
    app = Starlette(
        routes=[
            Route("/", page.index),
            Route("/static/{name}", page.static),
            Route("/events", page.events),
            Route("/frames/{key}/{name}", page.frame),
        ],
        exception_handlers={404: _refused, 405: _refused},
    )
    app.router.redirect_slashes = False  # it would redirect to whatever `Host` says
    return app


def everyone(_request: Request, _stream: str) -> bool:
    """Shows every stream to every viewer: for a page that only those can reach who may see it."""
    return True


class _Page:
    def __init__(self, gallery: Gallery, authorize: Authorize, max_viewers: int, keep_alive_s: float) -> None:
        self._gallery, self._authorize = gallery, authorize
        self._max_viewers, self._keep_alive_s = max_viewers, keep_alive_s
        self._bells: dict[asyncio.AbstractEventLoop, _Bell] = {}

    async def index(self, request: Request) -> Response:
        is_linked = request.headers.get("sec-fetch-dest") == "document"  # a link from elsewhere may lead to the page
        return (None if is_linked else _foreign(request)) or _static("page.html", "text/html", "no-cache")

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        return _static(name, _STATIC[name], "no-cache") if name in _STATIC else _nothing()

    async def events(self, request: Request) -> Response:
        if foreign := _foreign(request):
            return foreign
        if sum(bell.viewers for bell in tuple(self._bells.values())) >= self._max_viewers:
            sentence = f"There are {self._max_viewers} viewers already, the most that are served. Try again later.\n"
            return PlainTextResponse(sentence, 503, SECURITY_HEADERS | {"retry-after": "10"})
        headers = SECURITY_HEADERS | {"cache-control": "no-store", "x-accel-buffering": "no"}
        if request.method == "HEAD":
            return Response(media_type="text/event-stream", headers=headers)
        bell = self._enter()
        return _News(self._news(request, bell), lambda: self._leave(bell), headers)

    async def frame(self, request: Request) -> Response:
        if foreign := _foreign(request):
            return foreign
        found = self._gallery.frame(request.path_params["key"], request.path_params["name"])
        if found is None or not await self._may_see(request, found[0]):
            return _nothing()
        frame = found[1]
        etag = f'"{frame.sha256}"'
        headers = _FRAME_HEADERS | {"etag": etag, "cache-control": f"private, max-age={_YEAR}, immutable"}
        known = request.headers.get("if-none-match", "")  # a list, and a proxy may have put a W/ before ours
        if etag in known or known == "*":
            return Response(status_code=304, headers=headers)
        if frame.format == "SVG":
            headers["content-disposition"] = 'attachment; filename="drawing.svg"'
        return _Picture(frame.data, media_type=frame.mime_type, headers=headers)

    async def _may_see(self, request: Request, stream: str) -> bool:
        try:
            answer = self._authorize(request, stream)
            return bool(await answer) if isawaitable(answer) else bool(answer)
        except Exception:  # noqa: BLE001 - somebody else's code; what it says may be secret, and other streams go on
            _log.exception("authorize failed on stream %s, which is not shown to this viewer", quoted(stream))
            return False

    async def _news(self, request: Request, bell: _Bell) -> AsyncGenerator[bytes]:
        """Server-sent events for one viewer, from where it was. Nothing waits for it: it is told what is so by then."""
        epoch, now = self._gallery.epoch, asyncio.get_running_loop().time
        seen = _seen(request.headers.get("last-event-id", ""), epoch)
        viewer = Viewer(self._gallery, partial(self._may_see, request), seen)
        piece, told, alive_at = bytearray(_hello(epoch, seen)), -1, now() + self._keep_alive_s
        while True:
            has_news = bell.next
            changes = await viewer.look(has_news)
            for change in changes:
                is_anew = change.kind == "anew"
                piece += _hello(epoch, 0) if is_anew else f"event: {change.kind}\ndata: {change.json}\n\n".encode()
                if len(piece) >= _PIECE_BYTES:
                    yield bytes(piece)
                    piece.clear()
                    await asyncio.sleep(0)  # the others have their turn, and it is found out who has gone
            if changes or viewer.seen != told:
                told = viewer.seen
                yield bytes(piece + _event("seen", f"{epoch}.{told}", {}))
                piece.clear()
            if now() >= alive_at:
                alive_at = now() + self._keep_alive_s
                viewer.ask_again()
                yield b": still here\n\n"
            await asyncio.wait([has_news], timeout=0 if viewer.has_questions else alive_at - now())

    def _enter(self) -> _Bell:
        loop = asyncio.get_running_loop()
        if loop not in self._bells:
            self._bells[loop] = _Bell(self._gallery, loop)
        self._bells[loop].viewers += 1
        return self._bells[loop]

    def _leave(self, bell: _Bell) -> None:
        bell.viewers -= 1
        if not bell.viewers:
            bell.stop()
            self._bells.pop(bell.loop, None)


class _News(StreamingResponse):
    """Server-sent events; `leave` is called when the viewer has gone, also where it was sent none."""

    def __init__(self, news: AsyncGenerator[bytes], leave: Callable[[], None], headers: dict[str, str]) -> None:
        super().__init__(news, media_type="text/event-stream", headers=headers)
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


class _Picture(Response):
    """A body that goes out in pieces: what a slow viewer has not taken yet is not copied for it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for at in range(0, len(self.body), _PIECE_BYTES):
            piece = self.body[at : at + _PIECE_BYTES]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Bell:
    """Tells the viewers on one loop that there is news: once, however many they are."""

    def __init__(self, gallery: Gallery, loop: asyncio.AbstractEventLoop) -> None:
        self.viewers = 0
        self.next: asyncio.Future[None] = loop.create_future()
        self.loop = loop
        self._is_rung = False
        self.stop = gallery.watch(self._ring)

    def _ring(self) -> None:
        if not self._is_rung:  # from whatever thread
            self._is_rung = True
            try:
                self.loop.call_soon_threadsafe(self.loop.call_later, _REST_S, self._tell)
            except RuntimeError:  # the loop was closed: nobody is there any more
                self.stop()

    def _tell(self) -> None:
        self._is_rung = False
        rung, self.next = self.next, self.loop.create_future()
        rung.set_result(None)


def _seen(last_event_id: str, epoch: str) -> int:
    """How far the viewer was; 0 where that was another process, or nothing that was sent here."""
    told, _, version = last_event_id.partition(".")
    return int(version) if told == epoch and version.isascii() and version.isdecimal() and len(version) < 16 else 0


def _hello(epoch: str, version: int) -> bytes:
    return _event("hello", f"{epoch}.{version}", {"is_new": version == 0})


def _event(kind: str, event_id: str, facts: dict[str, object]) -> bytes:
    return f"id: {event_id}\nevent: {kind}\ndata: {json.dumps(facts)}\n\n".encode()


def _static(name: str, media_type: str, cache: str) -> Response:
    data = (files(__package__) / "static" / name).read_bytes()
    return Response(data, media_type=media_type, headers=SECURITY_HEADERS | {"cache-control": cache})


def _nothing() -> Response:
    return PlainTextResponse("There is no such thing here.\n", 404, SECURITY_HEADERS)


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _nothing()
    return PlainTextResponse(
        "This page is only read: GET.\n", error.status_code, SECURITY_HEADERS | dict(error.headers or {})
    )


def _foreign(request: Request) -> Response | None:
    """A refusal, where the request was made by a page of another origin."""
    origin = request.headers.get("origin")
    is_same = origin is None or origin.partition("://")[2] == request.headers.get("host")
    if is_same and request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
        return None
    return PlainTextResponse("This is only for the page itself.\n", 403, SECURITY_HEADERS)
