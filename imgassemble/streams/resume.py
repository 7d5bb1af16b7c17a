"""Makes one uninterrupted stream of events over cuts: opens the stream again and continues at the place of the cut.

A service is never asked for the same image twice: if there is no position to resume from, the error is raised.
Must not know: HTTP, which client opens the stream, how the events are used.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from inspect import isasyncgenfunction, isawaitable, iscoroutinefunction
from queue import Empty, Full, Queue
from threading import TIMEOUT_MAX, Event, Thread
from typing import Any

from ..assembly.items import Cursor
from ..errors import UsageError
from ..limits import Limits
from .closing import BlockingCalls, Interruptible, aclose_stream, close_stream
from .patience import Patience, Retries, SilenceError, is_temporary
from .position import Arrival, Phase, StreamPosition
from .sources import StreamReader

_log = logging.getLogger("imgassemble")

_USUAL = Patience()
_CLOSING_S = (0.1, 1.0)  # for a stream to close: the least, so that it can begin, and the most
_LONGEST_WAIT_S = 0.2 if sys.platform == "win32" else TIMEOUT_MAX  # there, Ctrl-C does not end the wait for a queue

OpenStream = Callable[[Cursor], Iterable[Any]]
AsyncOpenStream = Callable[[Cursor], "AsyncIterable[Any] | Awaitable[AsyncIterable[Any]]"]


def resuming(
    open_stream: OpenStream,
    *,
    since: Cursor | None = None,
    patience: Patience = _USUAL,
    limits: Limits | None = None,
    may_retry: Callable[[Exception], bool] = is_temporary,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] | None = None,
    chance: Callable[[], float] = random.random,
) -> Iterator[Any]:
    """Return an iterator of the events of a stream over cuts, for `assemble` as if the stream had never been cut.

    open_stream: called with a Cursor, it opens the stream after that event and returns events or bytes, as a client
        does. The first cursor is `since`, or empty: it asks for the image. Later cursors have the `response_id` of the
        response that came last, the `sequence_number` up to which nothing of it is missing, and the `last_event_id` of
        server-sent events that have one. If the service sends more than that, even from the start, events that came
        before are dropped as far as their ids or numbers tell; the assembler drops other repeats.
    since: the position at which another reader of the stream stopped, its `assembler.cursor`.
    limits: for the events that are read from bytes, as for `open_events`.
    may_retry: returns whether an exception of the client is temporary. The default accepts a broken connection, and
        the HTTP states 408, 409, 425, 429, 500, 502, 503 and 504.

    A stream has ended if it says so, or stops after the result of an image. After an `error` it is not opened again.
    An exception after the end of every response is logged, and ends the stream normally.

    Each connection is opened, read and closed in a thread of its own, in a copy of the caller's context. A wait ends at
    once with a KeyboardInterrupt, and when the stream is closed or stopped. A client that waits for its socket then
    ends too; turn off its own retries, because they would ask for the image again.

    Raises UsageError for a wrong argument. The iterator raises the client's exception if it is not temporary, or if
    there is no position to resume from. It raises IncompleteStreamError if the stream is given up, or breaks after the
    first of its images without a name: its sentence names the reason, and its cause is the last error.

        result = assemble(resuming(lambda cursor: client.open(after=cursor.sequence_number)))
    """
    _check(open_stream, since, patience, "aresuming")
    if iscoroutinefunction(open_stream) or isasyncgenfunction(open_stream):
        raise UsageError("open_stream is async: use aresuming")
    return _resume(open_stream, since, Retries(patience, may_retry, clock, chance), limits, sleep)


def aresuming(
    open_stream: AsyncOpenStream,
    *,
    since: Cursor | None = None,
    patience: Patience = _USUAL,
    limits: Limits | None = None,
    may_retry: Callable[[Exception], bool] = is_temporary,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] | None = None,
    chance: Callable[[], float] = random.random,
) -> AsyncIterator[Any]:
    """Return the same as `resuming`, async: `open_stream` may be a coroutine function, `sleep` is one (asyncio's)."""
    _check(open_stream, since, patience, "resuming")
    return _aresume(open_stream, since, Retries(patience, may_retry, clock, chance), limits, sleep)


def _check(open_stream: object, since: object, patience: object, name: str) -> None:
    if not callable(open_stream):
        raise UsageError(
            f"open_stream is a function that opens the stream after a Cursor, not {type(open_stream).__name__}: "
            f"{name}(lambda cursor: client.open(after=cursor.sequence_number))"
        )
    if since is not None and not isinstance(since, Cursor):
        raise UsageError(f"since is a Cursor, as assembler.cursor, not {type(since).__name__}")
    if not isinstance(patience, Patience):
        raise UsageError(f"patience is a Patience, not {type(patience).__name__}: patience=Patience(silence_s=60)")


def _resume(
    open_stream: OpenStream,
    since: Cursor | None,
    retries: Retries,
    limits: Limits | None,
    sleep: Callable[[float], object] | None,
) -> Iterator[Any]:
    position, waits = StreamPosition(since), _Waits()
    sleep = sleep or waits.pause
    retries.begin()
    while True:
        position.reopen()
        cut: Exception | None = None
        reader = StreamReader(limits)
        pieces = _ThreadedReader(open_stream, position.cursor)
        try:
            pieces.start()
            while (piece := waits.next_piece(pieces, retries.time_left_s())) is not _END:
                yield from _new_events(reader.take(piece), reader, position, retries)
            position.end_if(is_done=reader.is_done)
            yield from _new_events(reader.finish(is_cut=position.can_go_on), reader, position, retries)
        except Exception as error:  # noqa: BLE001 - a client can raise anything; it is examined below
            cut = error
        finally:
            pieces.close()
        if waits.are_over or _is_whole(position, cut):
            return
        try:
            wait_s = retries.wait_s_after(cut, position)
        except Exception:
            yield from _new_events(reader.finish(is_cut=True), reader, position, retries)
            raise
        sleep(wait_s)


async def _aresume(
    open_stream: AsyncOpenStream,
    since: Cursor | None,
    retries: Retries,
    limits: Limits | None,
    sleep: Callable[[float], Awaitable[object]] | None,
) -> AsyncIterator[Any]:
    import asyncio

    position = StreamPosition(since)
    sleep = sleep or asyncio.sleep
    retries.begin()
    while True:
        position.reopen()
        cut: Exception | None = None
        reader = StreamReader(limits)
        stream: Any = None
        try:
            stream = await _in_time(retries.time_left_s(), _opened(open_stream, position.cursor))
            pieces = aiter(stream)
            while (piece := await _next(pieces, retries.time_left_s())) is not _END:
                for event in _new_events(reader.take(piece), reader, position, retries):
                    yield event
            position.end_if(is_done=reader.is_done)
            for event in _new_events(reader.finish(is_cut=position.can_go_on), reader, position, retries):
                yield event
        except Exception as error:  # noqa: BLE001 - as above
            cut = error
        finally:
            await aclose_stream(stream, _closing_s(retries.time_left_s()))
        if _is_whole(position, cut):
            return
        try:
            wait_s = retries.wait_s_after(cut, position)
        except Exception:
            for event in _new_events(reader.finish(is_cut=True), reader, position, retries):
                yield event
            raise
        await sleep(wait_s)


def _new_events(
    boxes: Iterable[list[Any]], reader: StreamReader, position: StreamPosition, retries: Retries
) -> Iterator[Any]:
    """Yield the events that did not come before the stream was opened again. Progress resets the retries."""
    for box in boxes:
        arrival = position.receive(box[0], reader.last_event_id)
        if arrival is Arrival.PROGRESS:
            retries.reset()
        if arrival is not Arrival.REPEAT:
            yield box.pop()


def _is_whole(position: StreamPosition, cut: Exception | None) -> bool:
    """Return whether the stream is complete; or it ended, and there is no way to ask for more."""
    if position.phase is Phase.OVER:
        if cut is not None:
            _log.warning("the stream broke after its end, which changes nothing: %s", type(cut).__name__)
        return True
    return cut is None and (position.may_end_here or not position.can_go_on)


_END = object()


class _Waits(Interruptible):
    """The waits of one `resuming`: for a piece, and between two connections. None waits after `interrupt`."""

    def __init__(self) -> None:
        self._is_over = Event()
        self._queue: Queue[tuple[Any, BaseException | None]] | None = None

    @property
    def are_over(self) -> bool:
        return self._is_over.is_set()

    def pause(self, seconds: float) -> None:
        self._is_over.wait(seconds)

    def next_piece(self, reader: _ThreadedReader, seconds: float | None) -> Any:
        """Return the next piece, or `_END`. Raises SilenceError if none comes in time."""
        if seconds == 0:  # the time is over, even if a piece is available
            raise SilenceError
        ends_at = time.monotonic() + (TIMEOUT_MAX if seconds is None else seconds)
        self._queue = reader.queue
        while not self.are_over:
            try:
                piece, error = reader.queue.get(timeout=max(0.0, min(ends_at - time.monotonic(), _LONGEST_WAIT_S)))
            except Empty:
                if time.monotonic() >= ends_at:
                    raise SilenceError from None
                continue
            if error is not None:
                raise error
            return piece
        return _END

    def interrupt(self) -> None:
        self._is_over.set()
        if self._queue is not None:
            with suppress(Full):  # then no thread waits for it
                self._queue.put_nowait((_END, None))


class _ThreadedReader:
    """Reads one connection in a thread of its own, so that waiting for its next piece can have a limit.

    The thread opens, reads and closes the stream: most clients cannot be closed by one thread while another one reads.
    """

    def __init__(self, open_stream: OpenStream, cursor: Cursor) -> None:
        self.queue: Queue[tuple[Any, BaseException | None]] = Queue(maxsize=1)
        self._open_stream, self._cursor = open_stream, cursor
        self._stream: Any = None
        self._is_closed = False
        self._calls = BlockingCalls()
        self._thread = Thread(target=copy_context().run, args=(self._work,), name="imgassemble-resume", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the reading, and wait a moment for the thread. A client that waits for no socket is closed beside it."""
        self._is_closed = True
        with suppress(Empty):
            self.queue.get_nowait()  # the thread can pass on its last piece, and ends
        self._calls.interrupt()
        if self._thread.is_alive():
            self._thread.join(_CLOSING_S[0])
        if self._thread.is_alive() and self._stream is not None:
            Thread(target=close_stream, args=(self._stream,), name="imgassemble-close", daemon=True).start()

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            self._calls.run(self._read)
        except BaseException as raised:  # noqa: BLE001 - it is raised where the stream is read
            error = raised
        if not self._is_closed:
            self.queue.put((_END, error))
        close_stream(self._stream)

    def _read(self) -> None:
        self._stream = self._open_stream(self._cursor)
        if not self._is_closed:
            for piece in self._stream:
                self.queue.put((piece, None))
                del piece
                if self._is_closed:
                    return


async def _opened(open_stream: AsyncOpenStream, cursor: Cursor) -> Any:
    stream = open_stream(cursor)
    return await stream if isawaitable(stream) else stream


async def _next(pieces: AsyncIterator[Any], seconds: float | None) -> Any:
    if seconds == 0:  # a stream that never waits lets no timeout fire
        raise SilenceError
    return await _in_time(seconds, anext(pieces, _END))


async def _in_time(seconds: float | None, awaitable: Awaitable[Any]) -> Any:
    import asyncio

    try:
        async with asyncio.timeout(seconds) as limit:
            return await awaitable
    except TimeoutError:
        if limit.expired():
            raise SilenceError from None
        raise


def _closing_s(left_s: float | None) -> float:
    """Return the seconds that an async stream has to close."""
    least_s, most_s = _CLOSING_S
    return max(least_s, min(most_s if left_s is None else left_s, most_s))
