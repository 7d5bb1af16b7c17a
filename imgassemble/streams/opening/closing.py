"""Ends the reading of a client's stream early: wakes a thread that waits for the network, and closes the stream.

No known client can be closed safely while another thread reads from it: openai and httpx do not wake the reader, and
`close()` of urllib and requests waits for a lock that the reader holds. So the socket is shut down: the reader wakes,
and closes its stream itself. The socket is found in the frames of the waiting thread, so that no client is known by
name, and connecting and generators are covered too.
Must not know: events, which client opened the stream.
"""

from __future__ import annotations

import io
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from inspect import isawaitable
from threading import Lock, Thread, get_ident
from time import sleep
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from .generators import responses_in

_T = TypeVar("_T")
_P = ParamSpec("_P")

_RETRY_S = 0.02  # between two attempts to wake a reader that is not yet at its socket, or connects again
_ENDED = "the reading of the stream was ended"
_RETRIES_S = 15.0  # the time of all attempts: longer than a client sleeps before it connects again

# Modules whose sockets serve other readers, too: one HTTP/2 connection carries many streams, and asyncio wakes its loop
# through a socket.
_IS_SHARED = re.compile(r"^asyncio\.|\.http2(\.|$)")


class Interruptible(ABC):
    """An object in whose methods a thread waits, and which can end that wait."""

    @abstractmethod
    def interrupt(self) -> None:
        """End the wait, from any thread."""


class BlockingCalls(Interruptible):
    """Makes the calls that open and read one stream, so that another thread can end the call that waits.

    calls = BlockingCalls()
    response = calls.run(client.stream, "GET", url)
    calls.interrupt()  # in another thread: `run` ends at once, with the client's exception or result
    """

    def __init__(self) -> None:
        self._thread_id: int | None = None  # of the thread that is in `run`
        self._is_interrupted = False
        self._has_waker = Lock()

    def run(self, call: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Return the result of `call`. An interrupted call can raise anything, or return as if the stream had ended.

        Raises InterruptedError if `interrupt` was called before.
        """
        self._thread_id = get_ident()
        try:
            if self._is_interrupted:  # read after the id is set, so that `interrupt` misses no call
                raise InterruptedError(_ENDED)
            return call(*args, **kwargs)
        finally:
            self._thread_id = None

    def each(self, elements: Iterator[_T]) -> Iterator[_T]:
        """Yield the elements, and ask for each as `run` does, with less work."""
        while True:
            self._thread_id = get_ident()
            try:
                if self._is_interrupted:
                    raise InterruptedError(_ENDED)
                box = [next(elements)]
            except StopIteration:
                return
            finally:
                self._thread_id = None
            yield box.pop()  # without a name for the element, which can hold a picture

    def interrupt(self) -> None:
        """End the call that waits, from any thread, and refuse later calls.

        A call of a client that reads from a socket ends at once; any other one goes on. If the client connects again,
        as openai does by itself, that connection is shut down too.
        """
        self._is_interrupted = True
        self._shut_down()
        if self._thread_id is not None and self._has_waker.acquire(blocking=False):
            Thread(target=self._shut_down_again, name="imgassemble-wake", daemon=True).start()

    def _shut_down_again(self) -> None:
        try:
            for _ in range(int(_RETRIES_S / _RETRY_S)):
                if self._thread_id is None:
                    return
                sleep(_RETRY_S)
                self._shut_down()
        finally:
            self._has_waker.release()

    def _shut_down(self) -> None:
        """Shut down the socket for which the thread waits."""
        from socket import SHUT_RDWR, socket

        for frame in self._frames():
            if _IS_SHARED.search(frame.f_globals.get("__name__", "")):
                return
            values = list(frame.f_locals.values())
            owner = frame.f_locals.get("self")
            if isinstance(owner, Interruptible) and owner is not self:
                owner.interrupt()
                return
            values += getattr(owner, "__dict__", {}).values()
            if found := next((value for value in values if isinstance(value, socket)), None):
                with suppress(OSError):  # it is closed already
                    socket.shutdown(found, SHUT_RDWR)  # SSLSocket.shutdown would take the keys from the reader
                return

    def _frames(self) -> Iterator[FrameType]:
        """Yield the frames of the call that waits, the innermost first."""
        frames: list[FrameType] = []
        frame = sys._current_frames().get(self._thread_id or 0)
        while frame is not None:
            if frame.f_code in _CALLERS and frame.f_locals.get("self") is self:
                return iter(frames)
            frames.append(frame)
            frame = frame.f_back
        return iter(())


_CALLERS = {BlockingCalls.run.__code__, BlockingCalls.each.__code__}


def stays_open(stream: object) -> bool:
    """Return whether a stream is a file or a pipe, which its opener closes. The body of an HTTP response is none."""
    return (isinstance(stream, io.IOBase) or hasattr(stream, "seek")) and not hasattr(stream, "headers")


def close_stream(stream: Any) -> None:
    """Close a stream, in the thread that has read it. Files and pipes stay open; exceptions are suppressed.

    The responses from which a generator reads are closed too, because it frees them only when garbage is collected.
    """
    for each in (stream, *responses_in(stream)):
        close = getattr(each, "close", None)
        if callable(close) and not stays_open(each):
            with suppress(Exception):
                close()


async def aclose_stream(stream: Any, timeout_s: float | None = None) -> None:
    """Close an async stream of any client, as `close_stream` does. Only a cancellation of the caller is raised."""
    for each in (stream, *responses_in(stream)):
        close = getattr(each, "aclose", None) or getattr(each, "close", None)
        if callable(close) and not stays_open(each):
            await _finish(close, timeout_s)


async def _finish(close: Callable[[], Any], timeout_s: float | None) -> None:
    import asyncio

    try:
        async with asyncio.timeout(timeout_s):
            if isawaitable(answer := close()):
                await answer
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001, S110 - anyio's task groups raise a BaseExceptionGroup
        pass
