"""A page that is served on its own, by uvicorn.

Knows: uvicorn, how many connections there may be, and for how long without a request. Must not know: what is served. It
needs the extra `web`; without it, importing this is a UsageError.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial

from ..errors import UsageError
from .gallery import Gallery

try:
    import uvicorn
    from starlette.types import ASGIApp
    from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

    from .app import create_app, everyone
    from .guard import MAX_HEADER_BYTES, Guard, is_loopback
except ModuleNotFoundError as missing:
    package = str(missing.name).partition(".")[0]
    raise UsageError(f"the live page needs {package}: pip install 'imgassemble[web]'") from missing

_STOP_S = 1  # seconds that stopping waits for viewers
_MAX_VIEWERS = 500
_MAX_CONNECTIONS = 900  # viewers, and as many again that fetch; most systems let a process have 1,024 open
_MAX_REFUSALS = 60  # connections more than those that are told so at once; of any further one nothing is heard
_REFUSAL_S = 1  # in which the answer is read
_PATIENCE_S = 5  # for the first line and the headers of a request, which a browser sends at once


def guarded(gallery: Gallery, host: str, *, link: Callable[[str], object]) -> ASGIApp:
    """The live page for `host`; anywhere but on this machine `link` is told the token that each viewer needs."""
    app = create_app(gallery, authorize=everyone, max_viewers=_MAX_VIEWERS)
    return Guard(app, host=host, link=None if is_loopback(host) else link)


_SENTENCE = "There are too many connections already. Try again later.\n"
_REFUSAL = (
    "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 10\r\ncache-control: no-store\r\n"
    f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(_SENTENCE)}\r\n\r\n{_SENTENCE}"
)


class _Connection(H11Protocol):
    """A connection that is refused where it is one too many, and closed where it brings no whole request in time."""

    _look: asyncio.TimerHandle | None = None
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) <= _MAX_CONNECTIONS:
            self._wait(None)
        elif len(self.connections) <= _MAX_CONNECTIONS + _MAX_REFUSALS:
            self._is_refused = True
            transport.write(_REFUSAL.encode())
            transport.write_eof()  # what it says is still taken, for else the answer might be lost
            self._look = self.loop.call_later(_REFUSAL_S, transport.abort)
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._is_refused:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._look:
            self._look.cancel()
        super().connection_lost(exc)

    def _wait(self, before: RequestResponseCycle | None) -> None:
        """Look after a while whether it waits for the same request as now, and close it then."""
        if self._look and self.cycle is before and (before is None or before.response_complete):
            self.transport.close()
        else:
            self._look = self.loop.call_later(self.timeout_keep_alive, self._wait, self.cycle)


class Server(uvicorn.Server):
    """A server of one application that does not wait for viewers when it is stopped.

    `on_started` is called once it answers, on its loop.
    """

    def __init__(self, app: ASGIApp, *, patience_s: int = _PATIENCE_S, on_started: Callable[[], object] = list) -> None:
        self._on_started = on_started
        super().__init__(
            uvicorn.Config(
                app,
                http=_Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=patience_s,
                h11_max_incomplete_event_size=2 * MAX_HEADER_BYTES,
                timeout_graceful_shutdown=_STOP_S,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until interrupted."""
        logger, is_news = logging.getLogger("uvicorn.error"), partial(_is_news)  # another server's stays
        logger.addFilter(is_news)
        serving = self.serve(sockets)
        try:
            asyncio.run(serving)
        finally:
            serving.close()  # an interrupt may come before it has begun
            logger.removeFilter(is_news)


_NO_NEWS = (
    "ASGI callable returned without",  # an impatient stop, which is meant
    "Cancel %s running task",
    "Invalid HTTP request received",  # what anybody can send as often as they like
    "Unsupported upgrade request",
    "No supported WebSocket library",
)


# An impatient stop; and an answer to a request that turned out to be none while it was answered.
_NO_ERRORS = ("CancelledError", "LocalProtocolError")


def _is_news(record: logging.LogRecord) -> bool:
    """Whether it is for the one who runs the server."""
    error = record.exc_info[0] if record.exc_info else None
    return not str(record.msg).startswith(_NO_NEWS) and not (error and error.__name__ in _NO_ERRORS)
