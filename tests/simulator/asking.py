"""Sends requests to the simulated services over real sockets.

Must not know: the answers that a test expects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING, Any

from imgassemble.simulator import Order

if TYPE_CHECKING:
    from imgassemble.simulator.server import RunningServer

SMALL = Order(size=(48, 32), seed=7)
PATIENCE_S = 30  # how long a test waits for an event; the machine may be busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of the simulated services."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        lines = [line for line in self.body.decode().splitlines() if line.startswith("data: {")]
        return [json.loads(line.removeprefix("data: ")) for line in lines]


@contextmanager
def asking(
    server: RunningServer,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = PATIENCE_S,
) -> Iterator[HTTPResponse]:
    """Send a request and yield the answer, whose body is not yet read."""
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=timeout_s)
    try:
        connection.request(method, path, body, dict(headers or {}))
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def send(
    server: RunningServer,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request and return the whole answer. `body`: bytes are sent unchanged, other values as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    with asking(server, method, path, data, headers) as response:
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=named, body=response.read())
