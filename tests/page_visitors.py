"""Web workers of the page in processes, and visitors that read its events as a browser does.

It starts and reads; it asserts nothing.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis_stage import wait_until
from screens.hosts import PATIENCE_S, serving

ROOT = Path(__file__).parents[1]
_NAMED_WORKERS = """
import os
from {module} import app as served

async def app(scope, receive, send):
    async def send_with_pid(message):
        if message["type"] == "http.response.start":
            message["headers"].append((b"x-worker", str(os.getpid()).encode()))
        await send(message)
    await served(scope, receive, send_with_pid if scope["type"] == "http" else send)
"""
_GALLERY = """
import os
from imgassemble.web import RedisGallery, create_app, everyone

app = create_app(RedisGallery(os.environ["REDIS_URL"]), authorize=everyone)
"""


@contextmanager
def gallery_workers(folder: Path, redis_url: str, n: int = 2) -> Iterator[str]:
    """Serve the page of a gallery with uvicorn and `n` worker processes; yield its URL."""
    (folder / "pictures_app.py").write_text(_GALLERY)
    with workers(folder, "pictures_app", {"REDIS_URL": redis_url}, n) as url:
        yield url


@contextmanager
def workers(folder: Path, module: str, variables: Mapping[str, str], n: int = 2) -> Iterator[str]:
    """Serve the `app` of a module with uvicorn and `n` worker processes; yield its URL.

    folder: the module is there, or in the PYTHONPATH of `variables`. The answers name the process of their worker.
    """
    (folder / "named_workers.py").write_text(_NAMED_WORKERS.format(module=module))
    command = ["-m", "uvicorn", "named_workers:app", "--port", "0", "--workers", str(n), "--log-level", "info"]
    with serving(command, folder, {**os.environ, "PYTHONPATH": str(ROOT), **variables}) as url:
        started: set[str] = set()

        def have_all_started() -> bool:
            with suppress(OSError, HTTPException):
                started.add(answer_of(url, "")[1]["x-worker"])
            return len(started) == n

        wait_until(have_all_started)
        yield url


def answer_of(url: str, path: str, method: str = "GET") -> tuple[int, Any, bytes]:
    """Return status, headers and body."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    try:
        connection.request(method, f"{urlsplit(url).path}/{path}")
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


class Visitor:
    """A browser without a window: it reads events in a thread, and connects again with its Last-Event-ID."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.workers: list[int] = []  # the process of each of its connections
        self._last_event_id = ""
        self._is_leaving = False
        self._connection: HTTPConnection | None = None
        self._thread = threading.Thread(target=self._read_on, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        self._is_leaving = True
        if self._connection and self._connection.sock:
            with suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)

    def facts(self, kind: str) -> list[dict[str, Any]]:
        return [facts for name, facts in tuple(self.events) if name == kind]

    def has_ended(self, *streams: str) -> bool:
        """Return whether it knows the ends of these streams, and has everything before them."""
        ended = {facts["stream"] for facts in self.facts("stream") if facts["outcome"]}
        return ended >= set(streams) and bool(self.events) and self.events[-1][0] == "seen"

    def outcome(self, stream: str) -> str | None:
        """Return the last outcome that it knows of a stream; None while it is under way."""
        known = [facts["outcome"] for facts in self.facts("stream") if facts["stream"] == stream]
        return known[-1] if known else None

    def final(self, stream: str) -> bytes:
        """Return the bytes of the last frame of a stream with one item; empty if they cannot be loaded."""
        frames = {facts["number"]: facts["url"] for facts in self.facts("frame") if facts["stream"] == stream}
        items = [facts for facts in self.facts("item") if facts["stream"] == stream]
        status, data = self.get(frames[items[-1]["frames"][-1]])
        return data if status == 200 else b""

    def get(self, path: str) -> tuple[int, bytes]:
        status, _, body = answer_of(self._url, path)
        return status, body

    def _read_on(self) -> None:
        while not self._is_leaving:
            self._connection = HTTPConnection(urlsplit(self._url).netloc, timeout=PATIENCE_S)
            with suppress(OSError, HTTPException), closing(self._connection):
                self._read(self._connection)
            time.sleep(0.05)

    def _read(self, connection: HTTPConnection) -> None:
        headers = {"last-event-id": self._last_event_id} if self._last_event_id else {}
        connection.request("GET", f"{urlsplit(self._url).path}/events", headers=headers)
        answer = connection.getresponse()
        if answer.status == 200:
            self.workers.append(int(answer.headers.get("x-worker", 0)))
        event: dict[str, str] = {}
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
            elif "event" in event:
                self.events.append((event["event"], json.loads(event["data"])))
                self._last_event_id = event.get("id", self._last_event_id)
                event = {}


@contextmanager
def visitors(url: str, n: int) -> Iterator[list[Visitor]]:
    present = [Visitor(url) for _ in range(n)]
    try:
        yield present
    finally:
        for visitor in present:
            visitor.leave()
