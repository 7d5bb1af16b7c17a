"""A server that sends the beginning of a stream and is silent then, and reports when its clients have gone."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR, socket
from threading import Condition, Thread
from typing import Any

CERTIFICATE = Path(__file__).parent / "localhost.pem"  # for localhost and 127.0.0.1, signed by itself
AT_ONCE_S = 10.0  # far below a second as a rule; a busy machine may take longer


class SilentServer(ThreadingHTTPServer):
    """`body`: sent to each client before the silence; None: not even the head is sent."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, body: bytes | None, *, is_tls: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self._scheme = body, "https" if is_tls else "http"
        self.came = self.left = 0  # clients
        self.connections: list[socket] = []
        self._changed = Condition()
        if is_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.server_port}"

    def count(self, *, came: int = 0, left: int = 0) -> None:
        with self._changed:
            self.came, self.left = self.came + came, self.left + left
            self._changed.notify_all()

    def wait_for(self, *, came: int = 0, left: int = 0, timeout_s: float) -> bool:
        """Wait until so many clients have come and left; return whether they did in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.came >= came and self.left >= left, timeout_s)

    def drop(self) -> None:
        """Shut down every connection, as a server does that goes."""
        for connection in self.connections:
            connection.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SilentServer

    def do_GET(self) -> None:
        self.server.connections.append(self.connection)  # before the client can react to the body
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.server.body is not None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream; charset=utf-8")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            if self.server.body:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(self.server.body), self.server.body))
        self.server.count(came=1)
        with suppress(OSError):
            self.rfile.read(1)  # returns when the client has gone
        self.server.count(left=1)
        self.close_connection = True

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def silent_server(body: bytes | None, *, is_tls: bool = False) -> Iterator[SilentServer]:
    with SilentServer(body, is_tls=is_tls) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
