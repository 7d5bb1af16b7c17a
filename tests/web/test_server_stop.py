"""Event streams end when their server stops: real server processes, signals, and a client that keeps reading."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import pytest

pytest.importorskip("starlette", reason="the live page needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("uvicorn", reason="the live page needs the extra web: pip install 'imgassemble[web]'")

import uvicorn

from imgassemble.serving import listen
from imgassemble.web import Gallery, create_app, everyone

PATIENCE_S = 60  # the start of a process on a busy machine
LONGEST_STOP_S = 10  # it takes less than a second; without an end of the event streams it takes for ever
STARTED = ("Application startup complete", "Running on http")  # each worker of uvicorn and of hypercorn
APP = """
from starlette.applications import Starlette
from starlette.routing import Mount
from imgassemble.web import Gallery, create_app, everyone

gallery = Gallery()
gallery.add("otter")
app = Starlette(routes=[Mount("/pictures", create_app(gallery, authorize=everyone))])
"""
UVICORN = ("uvicorn", "site_app:app", "--port", "0")
HYPERCORN = ("hypercorn", "site_app:app", "--bind", "127.0.0.1:0", "--graceful-timeout", "60")


class EventReader:
    """A client that reads the event stream to its end."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._socket.sendall(b"GET /pictures/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        self._lines = self._socket.makefile("rb")
        self._until(b"event: seen\n")

    def _until(self, *wanted: bytes) -> None:
        give_up_at = time.monotonic() + PATIENCE_S
        while (line := self._lines.readline()) not in wanted:
            assert line, "the connection was closed"
            assert time.monotonic() < give_up_at  # the server sends a comment every some seconds

    def read_to_end(self, *, may_be_cut: bool = False) -> None:
        """Wait for the last chunk of the answer: the event stream ended properly, or was cut if it may be."""
        with self._socket, self._lines:
            self._until(b"0\r\n", *([b""] if may_be_cut else []))


@contextmanager
def running(command: Sequence[str], folder: Path, *, workers: int = 1) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server of the application, and yield its process and port once all its workers have started."""
    (folder / "site_app.py").write_text(APP)
    package = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(package)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        try:
            yield process, port_of(process.stdout, workers)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with its workers, which hold its pipe


def port_of(output: IO[str], workers: int) -> int:
    said, port, started = [], 0, 0
    for line in output:
        said.append(line)
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
            port = int(found[1])
        started += any(text in line for text in STARTED)
        if port and started >= workers:
            threading.Thread(target=output.read, daemon=True).start()  # else its pipe would fill up
            return port
    raise AssertionError(f"it did not start: {''.join(said)}")


def connect(port: int) -> EventReader:
    """Connect once the application answers: a worker may start later than its port."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return EventReader(port)
        except OSError:
            assert time.monotonic() < give_up_at


def assert_stops(
    process: subprocess.Popen[str], number: signal.Signals, readers: Sequence[EventReader], *, may_be_cut: bool = False
) -> None:
    began_at = time.monotonic()
    process.send_signal(number)
    for reader in readers:
        reader.read_to_end(may_be_cut=may_be_cut)
    process.wait(PATIENCE_S)
    assert time.monotonic() - began_at < LONGEST_STOP_S


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_uvicorn_stops_at_a_signal_although_viewers_are_connected(tmp_path: Path, number: signal.Signals) -> None:
    with running(UVICORN, tmp_path) as (process, port):
        assert_stops(process, number, [connect(port), connect(port)])


def test_the_workers_of_uvicorn_stop_although_viewers_are_connected(tmp_path: Path) -> None:
    with running((*UVICORN, "--workers", "2"), tmp_path, workers=2) as (process, port):
        assert_stops(process, signal.SIGTERM, [connect(port) for _ in range(6)])


def test_uvicorn_reloads_although_a_viewer_is_connected(tmp_path: Path) -> None:
    with running((*UVICORN, "--reload"), tmp_path) as (process, port):
        reader, has_reloaded = connect(port), threading.Event()

        def change() -> None:
            while not has_reloaded.wait(1.0):  # a change before the first look at the files is not seen
                (tmp_path / "site_app.py").write_text(f"{APP}\n# {time.monotonic()}\n")

        thread = threading.Thread(target=change)
        thread.start()
        try:
            reader.read_to_end()
        finally:
            has_reloaded.set()
            thread.join()
        assert_stops(process, signal.SIGTERM, [connect(port)])


@pytest.mark.parametrize("workers", ["0", "1", "2"])
@pytest.mark.skipif(find_spec("hypercorn") is None, reason="hypercorn is missing: pip install hypercorn")
def test_hypercorn_stops_although_viewers_are_connected(tmp_path: Path, workers: str) -> None:
    command = (*HYPERCORN, "--workers", workers)
    with running(command, tmp_path, workers=max(int(workers), 1)) as (process, port):
        # Once the first worker has ended, hypercorn kills the others.
        assert_stops(process, signal.SIGTERM, [connect(port), connect(port)], may_be_cut=workers == "2")


def test_a_server_in_a_thread_stops_after_the_gallery_was_closed() -> None:
    gallery = Gallery()
    app: Any = create_app(gallery, authorize=everyone)
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert connection.recv(65_536)
        gallery.close()
        server.should_exit = True
        thread.join(LONGEST_STOP_S)
        assert not thread.is_alive()
    listener.close()
