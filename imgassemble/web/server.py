"""Serve the live page on its own: a bounded number of connections, each with a bounded time for its request.

It needs the extra `web`; without that, importing this module is a UsageError.
Must not know: the contents of the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import UsageError

try:
    from starlette.types import ASGIApp
    from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

    from ..serving import QuietServer
    from .app import create_app, everyone
    from .guard import MAX_HEADER_BYTES, Guard, is_loopback
    from .viewer import ViewedGallery
except ModuleNotFoundError as _missing:
    _package = str(_missing.name).partition(".")[0]
    raise UsageError(f"the live page needs {_package}: pip install 'imgassemble[web]'") from _missing

_MAX_VIEWERS = 500
_MAX_CONNECTIONS = 900  # the viewers, and nearly as many that fetch; most systems let a process open 1,024 files
_MAX_REFUSALS = 60  # further connections that get an answer; any beyond these are closed without one
_REFUSAL_S = 1  # seconds in which a refused client can read the answer
_PATIENCE_S = 5  # seconds for the first line and the headers of a request, which a browser sends at once


def guarded_page(gallery: ViewedGallery, host: str, *, link: Callable[[str], object]) -> ASGIApp:
    """Return the live page for a server on `host`.

    If other machines can reach `host`, each viewer needs a token, and `link` is called with each new token.
    """
    app = create_app(gallery, authorize=everyone, max_viewers=_MAX_VIEWERS)
    return Guard(app, host=host, link=None if is_loopback(host) else link)


_SENTENCE = "There are too many connections already. Try again later.\n"
_REFUSAL = (
    "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 10\r\ncache-control: no-store\r\n"
    f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(_SENTENCE)}\r\n\r\n{_SENTENCE}"
)


class _Connection(H11Protocol):
    """A connection that is refused if there are too many, and closed if its request is not complete in time."""

    _timer: asyncio.TimerHandle | None = None
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) <= _MAX_CONNECTIONS:
            self._close_if_idle_since(None)
        elif len(self.connections) <= _MAX_CONNECTIONS + _MAX_REFUSALS:
            self._is_refused = True
            transport.write(_REFUSAL.encode())
            transport.write_eof()  # the request is still received: a close before that could lose the answer
            self._timer = self.loop.call_later(_REFUSAL_S, transport.abort)
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._is_refused:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def _close_if_idle_since(self, before: RequestResponseCycle | None) -> None:
        """Close the connection if no request has completed since the last check, else check again later."""
        if self._timer and self.cycle is before and (before is None or before.response_complete):
            self.transport.close()
        else:
            self._timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle_since, self.cycle)


def page_server(app: ASGIApp, *, patience_s: int = _PATIENCE_S, on_started: Callable[[], object] = list) -> QuietServer:
    """Return a server of `app`. `QuietServer.run([listener])` serves until it is interrupted.

    patience_s: seconds that a client has for the first line and the headers of a request.
    on_started: called once the server answers, on its event loop.
    """
    return QuietServer(
        app,
        on_started=on_started,
        http=_Connection,
        timeout_keep_alive=patience_s,
        h11_max_incomplete_event_size=2 * MAX_HEADER_BYTES,
    )
