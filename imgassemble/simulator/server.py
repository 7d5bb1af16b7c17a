"""Runs the simulated services over HTTP: for the command, for a test, or for any other program.

It needs the extra `web`; without it, importing this module raises UsageError.
Must not know: routes, and how the services answer (`service`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

from ..console import say
from ..errors import UsageError, clean
from .answers import Order, Pace

try:
    import python_multipart  # noqa: F401  (starlette imports it only when the first form comes)
    from starlette.applications import Starlette
    from starlette.types import Message, Receive, Scope, Send

    from ..serving import STOP_S, QuietServer, listen, url_of
    from .application import create_server_app
    from .delivery import Clock, Sleep
    from .service import ReceivedRequest, Service
except ModuleNotFoundError as _missing:
    raise UsageError(f"the server needs {_missing.name}: pip install 'imgassemble[web]'") from _missing

__all__ = ["ReceivedRequest", "RunningServer", "Service", "create_server_app", "running_server", "serve"]


def _make_server(app: Starlette, *, logs_requests: bool = False) -> QuietServer:
    """Return a server that does not wait for answers that are under way when it is stopped."""
    from uvicorn.config import WS_PROTOCOLS

    service: Service = app.state.service
    # uvicorn speaks websockets with `websockets` only, which nothing but ComfyUI needs: so it is no dependency of the
    # extra `web`, and without it the socket is refused with a sentence. A server of our own would be 200 lines more.
    ws = "websockets-sansio" if find_spec("websockets") and "websockets-sansio" in WS_PROTOCOLS else "none"
    # python_multipart logs errors of a form; the answer has them already.
    served = _LoggedApp(app) if logs_requests else app
    return QuietServer(served, on_stopping=service.release, quiet_loggers=("python_multipart.multipart",), ws=ws)


@dataclass(frozen=True, slots=True)
class _LoggedApp:
    """Writes a line to standard error for each request, once its answer begins: the time, the request, the status."""

    app: Starlette

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_log(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                method = scope.get("method", "WEBSOCKET")
                say(f"{time.strftime('%H:%M:%S')} {method} {clean(scope['path'], 200)} {message.get('status', 101)}")
            await send(message)

        await self.app(scope, receive, send_and_log)


def serve(
    host: str = "127.0.0.1",
    port: int = 8080,
    order: Order | None = None,
    *,
    pace: Pace | None = None,
    logs_requests: bool = False,
) -> int:
    """Serve until interrupted, and return an exit code: 130, or 2 if it cannot listen on the address.

    Arguments: `port`: 0 takes a free one. `logs_requests`: whether each request is a line on standard error.
    One line on standard error has the `base_url` for clients.
    """
    try:
        listener = listen(host, port)
    except UsageError as error:
        say(str(error))
        return 2
    try:
        url = url_of(listener)
        say(f'the simulated services are at base_url="{url}/v1" (OpenRouter\'s: "{url}/api/v1"); Ctrl-C stops them')
        _make_server(create_server_app(order, pace=pace), logs_requests=logs_requests).run([listener])
    except KeyboardInterrupt:
        return 130
    finally:
        listener.close()
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that runs in its own thread. `url`: without a path; `service`: its answers."""

    url: str
    service: Service
    _server: QuietServer = field(repr=False)

    def release(self) -> None:
        """Cut every answer that is being sent. Any thread may call this."""
        self._server.call_soon(self.service.release)


@contextmanager
def running_server(
    order: Order | None = None,
    *,
    pace: Pace | None = None,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
    keep_requests: int = 1_000,
) -> Iterator[RunningServer]:
    """Run a server on a free port of the loopback interface, in its own thread, until the block ends."""
    app = create_server_app(order, pace=pace, clock=clock, sleep=sleep, keep_requests=keep_requests)
    listener = listen("127.0.0.1", 0)
    server = _make_server(app)
    thread = threading.Thread(target=server.run, args=([listener],), name="imgassemble-server", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        if not thread.is_alive():
            raise UsageError("the server could not be started; see the log `uvicorn.error`")
        yield RunningServer(url=url_of(listener), service=app.state.service, _server=server)
    finally:
        server.should_exit = True
        thread.join(STOP_S + 5)
        listener.close()
