"""A server that sends the beginning of a stream, is silent then, and notices when its client has gone."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_LOOK_S = 0.02


class SilentServer:
    """Answers each request with `events`, and then keeps the connection open without a word.

    has_asked: set when a request has come. is_gone: set when the last client has closed its connection.
    """

    def __init__(self, events: Iterable[Any]) -> None:
        self.has_asked, self.is_gone = threading.Event(), threading.Event()
        self._is_dropping = threading.Event()
        server, body = self, b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream; charset=utf-8")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body))
                server.has_asked.set()
                server._wait_for_the_end(self.connection)
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def _wait_for_the_end(self, connection: socket.socket) -> None:
        while not self._is_dropping.is_set():
            if select.select([connection], [], [], _LOOK_S)[0]:
                with suppress(OSError):
                    if connection.recv(1):
                        continue
                self.is_gone.set()
                return

    def drop(self) -> None:
        """Close the connections."""
        self._is_dropping.set()

    def run(self) -> None:
        self._http.serve_forever(poll_interval=_LOOK_S)

    def close(self) -> None:
        self.drop()
        self._http.shutdown()
        self._http.server_close()


@contextmanager
def silent_server(events: Iterable[Any]) -> Iterator[SilentServer]:
    """Run a SilentServer in a thread of its own."""
    server = SilentServer(events)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
