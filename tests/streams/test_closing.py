"""A thread that waits for a real server that is silent wakes at once, with every client, also under TLS."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import IncompleteRead
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from samples import created, sse
from silent_server import AT_ONCE_S, silent_server
from stream_clients import CLIENTS, warm_up

from imgassemble.streams.opening.closing import BlockingCalls, Interruptible, aclose_stream, close_stream, stays_open

BODY = sse([created()])


def read_in_a_thread(calls: BlockingCalls, read: Callable[[], object]) -> threading.Thread:
    def work() -> None:
        with suppress(Exception):  # a client that is interrupted may raise anything
            calls.run(read)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def assert_is_woken(calls: BlockingCalls, thread: threading.Thread) -> None:
    calls.interrupt()
    thread.join(AT_ONCE_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_reader_of_a_silent_stream_is_woken_and_can_be_closed(client: Callable[[str], Any], is_tls: bool) -> None:
    warm_up(client)
    calls = BlockingCalls()
    with silent_server(BODY, is_tls=is_tls) as server:

        def read() -> None:
            stream = client(server.url)
            try:
                for _ in stream:
                    pass
            finally:
                close_stream(stream)

        thread = read_in_a_thread(calls, read)
        assert server.wait_for(came=1, timeout_s=10)
        assert_is_woken(calls, thread)
        assert server.wait_for(left=1, timeout_s=AT_ONCE_S)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_waits_for_the_head_of_the_answer_is_woken(client: Callable[[str], Any], is_tls: bool) -> None:
    warm_up(client)
    calls = BlockingCalls()
    with silent_server(None, is_tls=is_tls) as server:
        thread = read_in_a_thread(calls, lambda: list(client(server.url)))
        assert server.wait_for(came=1, timeout_s=10)
        assert_is_woken(calls, thread)
        assert server.wait_for(left=1, timeout_s=AT_ONCE_S)


def test_a_client_that_connects_again_is_woken_again() -> None:
    calls = BlockingCalls()
    with silent_server(None) as server:

        def read() -> None:
            for _ in range(3):
                with pytest.raises(OSError):
                    urlopen(server.url)

        thread = read_in_a_thread(calls, read)
        assert server.wait_for(came=1, timeout_s=10)
        assert_is_woken(calls, thread)
        assert server.came == 3


def test_a_reader_that_waits_in_an_object_that_can_be_interrupted_is_woken_by_it() -> None:
    class Waits(Interruptible):
        def __init__(self) -> None:
            self.bell = threading.Event()
            self.waits = threading.Event()

        def read(self) -> Iterator[int]:
            self.waits.set()
            self.bell.wait()
            yield 1

        def interrupt(self) -> None:
            self.bell.set()

    calls, waits = BlockingCalls(), Waits()
    thread = read_in_a_thread(calls, lambda: list(waits.read()))
    waits.waits.wait()
    assert_is_woken(calls, thread)


def test_calls_that_are_interrupted_before_they_begin_are_not_made() -> None:
    calls = BlockingCalls()
    assert calls.run(lambda: 5) == 5
    calls.interrupt()
    with pytest.raises(InterruptedError):
        calls.run(lambda: 5)


def test_a_socket_outside_the_calls_stays_open() -> None:
    calls = BlockingCalls()
    with silent_server(BODY) as server, urlopen(server.url) as other:

        def read_outside() -> None:
            calls.run(lambda: None)
            with suppress(IncompleteRead):
                other.read()

        thread = threading.Thread(target=read_outside, daemon=True)
        thread.start()
        calls.interrupt()
        assert not server.wait_for(left=1, timeout_s=0.1)
        assert thread.is_alive()
        other.fp.raw._sock.shutdown(socket.SHUT_RDWR)
        thread.join(AT_ONCE_S)


def test_files_and_pipes_stay_open_and_the_body_of_an_answer_does_not(tmp_path: Path) -> None:
    (tmp_path / "otter.sse").write_bytes(BODY)
    with (tmp_path / "otter.sse").open("rb") as file:
        close_stream(file)
        assert not file.closed
    memory = BytesIO(BODY)
    close_stream(memory)
    assert not memory.closed
    with silent_server(BODY) as server:
        body = urlopen(server.url)
        assert not stays_open(body)
        close_stream(body)
        assert body.closed


def test_a_stream_whose_close_raises_is_closed() -> None:
    class Broken:
        def close(self) -> None:
            raise RuntimeError("it has gone")

    close_stream(Broken())


@pytest.mark.parametrize("client", ["aiohttp", "httpx"])
def test_an_async_response_is_closed(client: str) -> None:
    async def open_and_close(url: str) -> None:
        if client == "httpx":
            async with pytest.importorskip("httpx").AsyncClient() as made:
                await aclose_stream(await made.send(made.build_request("GET", url), stream=True))
        else:
            async with pytest.importorskip("aiohttp").ClientSession() as made:
                await aclose_stream(await made.get(url))

    with silent_server(BODY) as server:
        asyncio.run(open_and_close(server.url))
        assert server.wait_for(left=1, timeout_s=AT_ONCE_S)
