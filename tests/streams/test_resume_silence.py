"""A stream that is silent on a real connection is given up, stopped and interrupted, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from functools import partial as partial_of
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from samples import created, partial, sse
from silent_server import AT_ONCE_S, silent_server
from stream_clients import CLIENTS, warm_up

from imgassemble import (
    Assembler,
    Cursor,
    FrameAdded,
    IncompleteStreamError,
    Patience,
    StateChanged,
    aiter_updates,
    aresuming,
    assemble,
    iter_updates,
    resuming,
)
from imgassemble.streams.opening.closing import BlockingCalls

BODY = sse([created(seq=0)])
OPEN_FILES = Path("/proc/self/fd")
USER: ContextVar[str] = ContextVar("USER")

needs_proc = pytest.mark.skipif(not OPEN_FILES.exists(), reason="open files are counted under Linux")


def sockets() -> set[str]:
    links = (str(each.readlink()) for each in OPEN_FILES.iterdir() if each.is_symlink())
    return {link for link in links if link.startswith("socket:")}


@contextmanager
def leaving_nothing_behind() -> Iterator[None]:
    """Check that the block leaves no thread of the library and no socket."""
    gc.collect()
    before, threads_before = sockets(), set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - threads_before:
        if thread.name.startswith("imgassemble-"):
            thread.join(AT_ONCE_S)
            assert not thread.is_alive(), thread.name
    gc.collect()
    ends_at = time.monotonic() + AT_ONCE_S
    while not sockets() <= before:  # the server closes its side a moment later, in this process
        assert time.monotonic() < ends_at, sockets() - before
        threading.Event().wait(0.01)


@needs_proc
@pytest.mark.parametrize(("body", "is_tls"), [(BODY, False), (BODY, True), (None, False)], ids=["plain", "TLS", "head"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_silent_stream_is_given_up_in_time(client: Callable[[str], Any], body: bytes | None, is_tls: bool) -> None:
    silence_s = 0.4 if is_tls else 0.1  # a busy machine needs time to agree on keys
    patience = Patience(silence_s=silence_s, max_retries=1, first_wait_s=0.0)
    warm_up(client)
    with silent_server(body, is_tls=is_tls) as server:
        with leaving_nothing_behind():
            began_at = time.monotonic()
            with pytest.raises(IncompleteStreamError, match=rf"nothing came for {silence_s} seconds"):
                list(resuming(lambda _: client(server.url), patience=patience, since=Cursor("resp_1", 0)))
            assert time.monotonic() - began_at < AT_ONCE_S
        assert server.wait_for(came=1, left=server.came, timeout_s=AT_ONCE_S)


@needs_proc
def test_the_deadline_holds_for_a_silent_stream() -> None:
    with silent_server(BODY) as server, leaving_nothing_behind():
        patience = Patience(silence_s=None, deadline_s=0.2)
        with pytest.raises(IncompleteStreamError, match=r"it was not whole within 0\.2 seconds"):
            list(resuming(lambda _: urlopen(server.url), patience=patience))


@needs_proc
def test_a_thousand_silences_leave_no_thread_and_no_socket() -> None:
    patience = Patience(silence_s=0.005, max_retries=1_000, first_wait_s=0.0)
    with silent_server(BODY) as server, leaving_nothing_behind():
        with pytest.raises(IncompleteStreamError, match="after 1000 retries: nothing came"):
            list(resuming(lambda _: urlopen(server.url), patience=patience, since=Cursor("resp_1", 0)))
        assert server.came > 100
        assert server.wait_for(left=server.came, timeout_s=5)


PROGRAM = """
import sys
from urllib.request import urlopen
from imgassemble import assemble, Cursor, Patience, resuming

def read(cursor):
    return urlopen(sys.argv[1])

def break_off(cursor):
    urlopen(sys.argv[1]).close()
    raise ConnectionError

patience = Patience(first_wait_s=60, max_wait_s=60)
assemble(resuming({open_stream}, patience=patience, since=Cursor("resp_1", 0)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a signal of another process cannot be sent there")
@pytest.mark.parametrize("open_stream", ["read", "break_off"])
def test_ctrl_c_ends_a_wait_at_once(open_stream: str) -> None:
    with silent_server(BODY) as server:
        command = [sys.executable, "-c", PROGRAM.format(open_stream=open_stream), server.url]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert server.wait_for(came=1, left=1 if open_stream == "break_off" else 0, timeout_s=20)
        process.send_signal(signal.SIGINT)
        began_at = time.monotonic()
        _, errors = process.communicate(timeout=3 * AT_ONCE_S)
        assert time.monotonic() - began_at < AT_ONCE_S
        assert "KeyboardInterrupt" in errors
        assert process.returncode == -signal.SIGINT
        assert server.wait_for(left=1, timeout_s=AT_ONCE_S)


@needs_proc
def test_a_reader_in_another_thread_is_stopped_at_once() -> None:
    calls = BlockingCalls()
    with silent_server(BODY) as server, leaving_nothing_behind():
        events = resuming(lambda _: urlopen(server.url))
        given: list[Any] = []
        thread = threading.Thread(target=lambda: calls.run(given.extend, events))
        thread.start()
        assert server.wait_for(came=1, timeout_s=10)
        calls.interrupt()
        thread.join(AT_ONCE_S)
        assert not thread.is_alive()
        assert server.wait_for(left=1, timeout_s=AT_ONCE_S)


def test_a_reader_that_waits_to_open_the_stream_again_is_stopped_at_once() -> None:
    calls, is_cut = BlockingCalls(), threading.Event()

    def open_stream(cursor: Cursor) -> Iterator[Any]:
        yield created(seq=0)
        is_cut.set()
        raise ConnectionError

    events = resuming(open_stream, patience=Patience(first_wait_s=60, max_wait_s=60))
    thread = threading.Thread(target=lambda: calls.run(list, events))
    thread.start()
    is_cut.wait(10)
    calls.interrupt()
    thread.join(AT_ONCE_S)
    assert not thread.is_alive()


@needs_proc
def test_stopping_the_assembler_ends_a_silent_stream_at_once() -> None:
    assembler = Assembler()
    with silent_server(BODY) as server, leaving_nothing_behind():
        thread = threading.Thread(
            target=assemble, args=(resuming(lambda _: urlopen(server.url)),), kwargs={"assembler": assembler}
        )
        thread.start()
        assert server.wait_for(came=1, timeout_s=10)
        assembler.stop("the window was closed")
        thread.join(AT_ONCE_S)
        assert not thread.is_alive()
        assert server.wait_for(left=1, timeout_s=AT_ONCE_S)
    assert assembler.result


def over_asyncio(port: int) -> Callable[[Cursor], AsyncIterator[bytes]]:
    async def open_stream(_cursor: Cursor) -> AsyncIterator[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            while await reader.readline():
                yield await reader.readuntil(b"\n\n")
        finally:
            writer.close()

    return open_stream


@pytest.mark.parametrize("end", ["stop", "aclose", "cancel"])
def test_an_async_silent_stream_ends_at_once(end: str) -> None:
    async def read(port: int) -> None:
        assembler = Assembler()
        updates = aiter_updates(aresuming(over_asyncio(port)), assembler)
        assert isinstance(await anext(updates), FrameAdded | StateChanged)
        while assembler.cursor.sequence_number != 1:
            await anext(updates)
        waiting = asyncio.ensure_future(consume(updates))
        await asyncio.sleep(0)
        if end == "stop":
            assembler.stop()
        elif end == "cancel":
            waiting.cancel()
        else:
            await updates.aclose()
        await asyncio.wait([waiting], timeout=AT_ONCE_S)
        assert waiting.done()
        assert waiting.cancelled() is (end == "cancel")
        await updates.aclose()

    async def consume(updates: AsyncIterator[object]) -> None:
        async for _ in updates:
            pass

    with silent_server(sse([created(seq=0), partial(seq=1)])) as server:
        asyncio.run(read(server.server_port))
        assert server.wait_for(came=1, left=1, timeout_s=AT_ONCE_S)


@needs_proc
def test_leaving_the_updates_closes_the_connection() -> None:
    with silent_server(sse([created(seq=0), partial(seq=1)])) as server, leaving_nothing_behind():
        with iter_updates(resuming(lambda _: urlopen(server.url))) as updates:
            next(updates)
        assert server.wait_for(left=1, timeout_s=AT_ONCE_S)


def read_on(url: str) -> None:
    with suppress(IncompleteRead):
        urlopen(url).read()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer that sends a signal")
@pytest.mark.parametrize("read", [read_on, lambda url: list(resuming(lambda _: urlopen(url)))])
def test_a_handler_of_a_signal_can_end_the_wait_of_its_own_thread(read: Callable[[str], object]) -> None:
    calls = BlockingCalls()
    with silent_server(BODY) as server:
        handler = signal.signal(signal.SIGALRM, lambda *_: calls.interrupt())
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            calls.run(read, server.url)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
        assert server.wait_for(came=1, left=1, timeout_s=AT_ONCE_S)


FORMS: dict[str, Callable[[str], Any]] = {
    "a response": urlopen,
    "a context manager": lambda url: closing(urlopen(url)),
    "a function": lambda url: partial_of(urlopen, url),
}


@needs_proc
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_stream_is_opened_in_any_form_that_assemble_accepts(form: Callable[[str], Any]) -> None:
    with silent_server(BODY) as server, leaving_nothing_behind():
        events = resuming(lambda _: form(server.url))
        assert next(events)["type"] == "response.created"
        events.close()  # type: ignore[attr-defined]
        assert server.wait_for(left=1, timeout_s=AT_ONCE_S)


@needs_proc
def test_closing_the_events_closes_the_connection() -> None:
    with silent_server(BODY) as server, leaving_nothing_behind():
        events = resuming(lambda _: urlopen(server.url))
        next(events)
        events.close()  # type: ignore[attr-defined]
        assert server.wait_for(left=1, timeout_s=AT_ONCE_S)


def test_the_stream_is_opened_and_read_in_the_context_of_the_caller() -> None:
    users: list[str] = []

    def open_stream(_cursor: Cursor) -> Iterator[Any]:
        users.append(USER.get())
        return read()

    def read() -> Iterator[Any]:
        users.append(USER.get())
        yield {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}}

    token = USER.set("an otter")
    list(resuming(open_stream))
    USER.reset(token)
    assert users == ["an otter", "an otter"]
