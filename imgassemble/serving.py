"""Listen on an address, and serve one ASGI application there with uvicorn.

It needs the extra `web`: without uvicorn, importing this module is a UsageError.
Must not know: the application that is served.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from .errors import UsageError

try:
    import uvicorn
except ModuleNotFoundError as _missing:
    raise UsageError(f"the server needs {_missing.name}: pip install 'imgassemble[web]'") from _missing

Application = Callable[[Any, Any, Any], Awaitable[None]]  # an ASGI application
STOP_S = 1  # seconds that a server waits for its clients when it is stopped

# The addresses that mean "all of this machine's", and for each an address that routes to the network. These are
# reserved for documentation (RFC 5737, RFC 3849), and no packet is sent to them.
_REMOTE = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host`; port 0 takes a free one. Raises UsageError if that is impossible."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError, UnicodeError) as cause:  # UnicodeError: not a valid host name
        reason = getattr(cause, "strerror", None) or str(cause)
        raise UsageError(f"cannot listen on {host}:{port}: {reason}; choose another address or port") from cause


def url_of(listener: socket.socket) -> str:
    """Return the URL of a listening socket, without a path.

    If it listens on all addresses, the URL has the address that other machines can use.
    """
    host, port = listener.getsockname()[:2]
    if host in _REMOTE:
        host = _network_address(listener.family, _REMOTE[host])
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _network_address(family: int, remote: str) -> str:
    """Return the address of this machine in its network, or its host name if it has none."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((remote, 9))  # sends no packet: it only chooses the network interface
        return str(probe.getsockname()[0])
    return socket.gethostname()


class QuietServer(uvicorn.Server):
    """A server of one application that logs only problems of its operator, and stops within STOP_S seconds.

    on_started, on_stopping: called on the event loop of the server once it answers, and when it begins to stop.
    quiet_loggers: names of loggers whose records are dropped while the server runs.
    config: further options of `uvicorn.Config`.
    """

    def __init__(
        self,
        app: Application,
        *,
        on_started: Callable[[], object] | None = None,
        on_stopping: Callable[[], object] | None = None,
        quiet_loggers: Iterable[str] = (),
        **config: Any,
    ) -> None:
        self._on_started, self._on_stopping = on_started, on_stopping
        # Objects of this server alone: removing them leaves those of other servers in place.
        self._filters = {"uvicorn.error": partial(_is_for_operator)} | {name: partial(_drop) for name in quiet_loggers}
        self._loop: asyncio.AbstractEventLoop | None = None
        usual = {
            "http": "h11",
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "timeout_graceful_shutdown": STOP_S,
        }
        super().__init__(uvicorn.Config(app, **(usual | config)))

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call `callback` on the event loop of the server, from any thread, once the server has started."""
        assert self._loop
        self._loop.call_soon_threadsafe(callback)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self._on_started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._on_stopping:
            self._on_stopping()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # its client does not read the answer
        await asyncio.sleep(0)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `should_exit` is set or the process is interrupted."""
        for name, is_shown in self._filters.items():
            logging.getLogger(name).addFilter(is_shown)
        serving = self.serve(sockets)
        try:
            asyncio.run(serving)
        finally:
            serving.close()  # an interrupt may come before it has begun
            for name, is_shown in self._filters.items():
                logging.getLogger(name).removeFilter(is_shown)


# Records of uvicorn that are normal here: a cut answer, a stop that does not wait, and requests that anyone can send.
_NORMAL_MESSAGES = (
    "ASGI callable returned without",
    "Cancel %s running task",
    "Invalid HTTP request received",
    "Unsupported upgrade request",
    "No supported WebSocket library",
)
# A stop that does not wait; and an answer to a request that turned out to be invalid meanwhile.
_NORMAL_EXCEPTIONS = ("CancelledError", "LocalProtocolError")


def _is_for_operator(record: logging.LogRecord) -> bool:
    error = record.exc_info[0] if record.exc_info else None
    is_normal = str(record.msg).startswith(_NORMAL_MESSAGES) or (error and error.__name__ in _NORMAL_EXCEPTIONS)
    return not is_normal


def _drop(_record: logging.LogRecord) -> bool:
    return False
