"""Makes one uninterrupted stream of events over cuts: opens the stream again and continues at the place of the cut.

Decides which errors are temporary, when to try again, and when to give up. A service is never asked for the same image
twice: if there is no position to resume from, the error is raised.
Must not know: HTTP, which client opens the stream, how the events are used.
"""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from inspect import isawaitable
from queue import Empty, Queue
from threading import TIMEOUT_MAX, Thread
from typing import Any

from ..assembly.items import Cursor
from ..errors import IncompleteStreamError, UsageError, clean
from ..limits import Limits
from .position import Arrival, Phase, StreamPosition
from .sources import StreamReader

_log = logging.getLogger("imgassemble")

# Temporary HTTP statuses: too slow, too early, too many requests, and errors of proxies or of a server that restarts.
_TEMPORARY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
# Connection errors that may be temporary, by class name: those of the standard library, httpx, openai, aiohttp,
# requests and urllib3. An error is also recognised by the name of a base class.
_BROKEN = frozenset(
    {
        *("ConnectionError", "TimeoutError", "gaierror", "SSLError", "IncompleteRead", "IncompleteReadError"),
        *("TransportError", "APIConnectionError", "ClientConnectionError", "ClientPayloadError"),
        *("Timeout", "ChunkedEncodingError", "ProtocolError"),
    }
)
# A certificate error: similar, but permanent.
_BAD_CERTIFICATE = "SSLCertVerificationError"
_NO_ROUTE = frozenset({errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH})
_LONGEST_CHAIN = 10  # of causes that are examined; real ones have four
_MOST_TIMES_DOUBLED = 10  # of the wait; beyond it is longer than any max_wait_s in use
_TICK_S = 0.001  # a timer can fire this much too early
_CLOSING_S = (0.1, 1.0)  # for a stream to close: the least, so that it can begin, and the most

OpenStream = Callable[[Cursor], Iterable[Any]]
AsyncOpenStream = Callable[[Cursor], "AsyncIterable[Any] | Awaitable[AsyncIterable[Any]]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long to try, in seconds; `max_retries` counts the cuts without progress between them."""

    max_retries: int = 5
    first_wait_s: float = 0.5  # doubled with each retry, …
    max_wait_s: float = 30.0  # … up to this; half of each wait is random, so that many clients do not come at once
    silence_s: float | None = 120.0  # without a piece: a service that generates sends a keepalive every 30 seconds
    deadline_s: float | None = 900.0  # for the whole stream

    def __post_init__(self) -> None:
        for name in ("max_retries", "first_wait_s", "max_wait_s", "silence_s", "deadline_s"):
            value = getattr(self, name)
            if value is None and name in ("silence_s", "deadline_s"):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= TIMEOUT_MAX:
                without = ", or None for no limit" if name in ("silence_s", "deadline_s") else ""
                raise UsageError(f"{name} is a number from 0 to {TIMEOUT_MAX:.0e}{without}, not {value!r}")


def resuming(
    open_stream: OpenStream,
    *,
    patience: Patience | None = None,
    limits: Limits | None = None,
    may_retry: Callable[[Exception], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> Iterator[Any]:
    """Yield the events of a stream over cuts, for `assemble` as if the stream had never been cut.

    open_stream: called with a Cursor, it opens the stream after that event and returns events or bytes, as a client
        does. The first cursor is empty: it asks for the image. Later cursors have the `response_id` of the response
        that came last, the `sequence_number` up to which nothing of it is missing, and the `last_event_id` of
        server-sent events that have one. If the service sends more than that, even from the start, events that came
        before are dropped as far as their ids or numbers tell; the assembler drops other repeats.
    limits: for the events that are read from bytes, as for `open_events`.
    may_retry: returns whether an exception of the client is temporary. The default accepts a broken connection, and
        the HTTP states 408, 409, 425, 429, 500, 502, 503 and 504.

    A stream has ended if it says so, or stops after the result of an image. After an `error` it is not opened again.
    An exception after the end of every response is logged, and ends the stream normally.

    Raises the client's exception if it is not temporary, or if there is no position to resume from. Raises
    IncompleteStreamError if the stream is given up, or breaks after the first of its images without a name: its
    sentence names the reason, and its cause is the last error.

        result = assemble(resuming(lambda cursor: client.open(after=cursor.sequence_number)))
    """
    retries, position = _Retries(patience or Patience(), may_retry or is_temporary, clock, chance), StreamPosition()
    while True:
        position.reopen()
        cut: Exception | None = None
        reader = StreamReader(limits)
        pieces = _ThreadedReader(lambda: open_stream(position.cursor))
        try:
            while (piece := pieces.next(retries.time_left_s())) is not _END:
                yield from _new_events(reader.take(piece), reader, position, retries)
            position.end_if(is_done=reader.is_done)
            yield from _new_events(reader.finish(is_cut=position.can_go_on), reader, position, retries)
        except Exception as error:  # noqa: BLE001 - a client can raise anything; it is examined below
            cut = error
        finally:
            pieces.close()
        if _is_whole(position, cut):
            return
        try:
            wait_s = retries.wait_s_after(cut, position)
        except Exception:
            yield from _new_events(reader.finish(is_cut=True), reader, position, retries)
            raise
        sleep(wait_s)


async def aresuming(
    open_stream: AsyncOpenStream,
    *,
    patience: Patience | None = None,
    limits: Limits | None = None,
    may_retry: Callable[[Exception], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] | None = None,
    chance: Callable[[], float] = random.random,
) -> AsyncIterator[Any]:
    """Yield the same as `resuming`; `open_stream` may be a coroutine function, and the default `sleep` is asyncio's."""
    import asyncio

    retries, position = _Retries(patience or Patience(), may_retry or is_temporary, clock, chance), StreamPosition()
    sleep = sleep or asyncio.sleep
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
            await _aclose(stream, retries.time_left_s())
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
    boxes: Iterable[list[Any]], reader: StreamReader, position: StreamPosition, retries: _Retries
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


def is_temporary(error: Exception) -> bool:
    """Return whether a client's exception is temporary: a broken connection, a server that is busy."""
    status = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
    status = status or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status in _TEMPORARY_STATUSES
    if any(_BAD_CERTIFICATE in _names_of(each) for each in _chain(error)):
        return False
    if isinstance(reason := getattr(error, "reason", None), Exception):  # urllib wraps the cause
        return is_temporary(reason)
    return bool(_BROKEN & _names_of(error)) or (isinstance(error, OSError) and error.errno in _NO_ROUTE)


def _names_of(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    found: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


class _SilenceError(Exception):
    """Nothing came in time, or the deadline has passed."""


_END = object()


class _Retries:
    """Computes how long to wait for the next piece, and whether and when to open the stream again."""

    def __init__(
        self,
        patience: Patience,
        may_retry: Callable[[Exception], bool],
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._patience, self._may_retry, self._clock, self._chance = patience, may_retry, clock, chance
        self._began_at = clock()
        self._count = 0

    def reset(self) -> None:
        """Begin to count again: there was progress."""
        self._count = 0

    def time_left_s(self) -> float | None:
        """Return the seconds to wait for the next piece, or None for no limit."""
        times = [each for each in (self._until_deadline_s(), self._patience.silence_s) if each is not None]
        return max(0.0, min(times)) if times else None

    def _until_deadline_s(self) -> float | None:
        deadline_s = self._patience.deadline_s
        return None if deadline_s is None else self._began_at + deadline_s - self._clock()

    def wait_s_after(self, cut: Exception | None, position: StreamPosition) -> float:
        """Return the seconds to wait before the stream is opened again. Raises the error that ends it."""
        is_ours = position.can_go_on or position.has_image
        if cut is not None and not isinstance(cut, _SilenceError) and not (is_ours and self._may_retry(cut)):
            raise cut
        patience, left_s = self._patience, self._until_deadline_s()
        asked_s = _asked_to_wait_s(cut, patience.max_wait_s)
        is_late = left_s is not None and left_s <= asked_s + _TICK_S
        if is_late or self._count >= patience.max_retries or not position.can_go_on:
            raise self._given_up(cut, is_late=is_late) from (None if isinstance(cut, _SilenceError) else cut)
        self._count += 1
        longest_s = min(patience.max_wait_s, patience.first_wait_s * 2.0 ** min(self._count - 1, _MOST_TIMES_DOUBLED))
        if left_s is not None:
            longest_s = min(longest_s, left_s / 2)  # the other half is for the stream
        return max(longest_s * (1 + self._chance()) / 2, asked_s)

    def _given_up(self, cut: Exception | None, *, is_late: bool) -> IncompleteStreamError:
        why = "it ended too early" if cut is None else f"{type(cut).__name__}: {clean(str(cut))}"
        if isinstance(cut, _SilenceError):
            why = f"nothing came for {self._patience.silence_s or 0:g} seconds"
        if is_late:  # or the service asks to wait beyond the deadline
            was_not = "cannot be" if (self._until_deadline_s() or 0.0) > _TICK_S else "was not"
            why = f"it {was_not} whole within {self._patience.deadline_s:g} seconds"
        tries = f" after {self._count} retries" if self._count else ""
        return IncompleteStreamError(f"the stream is given up{tries}: {why}; what came is kept")


def _asked_to_wait_s(cut: BaseException | None, most_s: float) -> float:
    """Return the seconds that the service asked to wait (`Retry-After`), at most `most_s`."""
    headers: Any = getattr(getattr(cut, "response", None), "headers", None) or getattr(cut, "headers", None)
    asked_s = 0.0
    with suppress(Exception):  # the object is the client's
        asked_s = float(headers["retry-after"]) if headers else 0.0
    return min(asked_s, most_s) if asked_s > 0 else 0.0


class _ThreadedReader:
    """Reads a stream in a thread of its own, so that waiting for its next piece can have a limit."""

    def __init__(self, opened: Callable[[], Iterable[Any]]) -> None:
        self._queue: Queue[tuple[Any, BaseException | None]] = Queue(maxsize=1)
        self._stream: Any = None
        self._is_closed = False
        Thread(target=self._read, args=(opened,), name="imgassemble-resume", daemon=True).start()

    def next(self, seconds: float | None) -> Any:
        if seconds == 0:  # the time is over, even if a piece is available
            raise _SilenceError
        try:
            piece, error = self._queue.get(timeout=seconds)
        except Empty:
            raise _SilenceError from None
        if error is not None:
            raise error
        return piece

    def close(self) -> None:
        self._is_closed = True
        self._close_stream()
        with suppress(Empty):
            self._queue.get_nowait()  # lets the thread end

    def _close_stream(self) -> None:
        with suppress(Exception):  # a client that waits may raise anything when it is closed
            self._stream.close()

    def _read(self, opened: Callable[[], Iterable[Any]]) -> None:
        try:
            self._stream = opened()
            if not self._is_closed:
                for piece in self._stream:
                    self._queue.put((piece, None))
                    del piece
                    if self._is_closed:
                        return
            self._queue.put((_END, None))
        except BaseException as error:  # noqa: BLE001 - it is raised where the stream is read
            self._queue.put((None, error))
        finally:
            if self._is_closed:  # it opened too late to be closed by `close`, or could not be closed then
                self._close_stream()


async def _opened(open_stream: AsyncOpenStream, cursor: Cursor) -> Any:
    stream = open_stream(cursor)
    return await stream if isawaitable(stream) else stream


async def _next(pieces: AsyncIterator[Any], seconds: float | None) -> Any:
    if seconds == 0:  # a stream that never waits lets no timeout fire
        raise _SilenceError
    return await _in_time(seconds, anext(pieces, _END))


async def _in_time(seconds: float | None, awaitable: Awaitable[Any]) -> Any:
    import asyncio

    try:
        async with asyncio.timeout(seconds) as limit:
            return await awaitable
    except TimeoutError:
        if limit.expired():
            raise _SilenceError from None
        raise


async def _aclose(stream: Any, seconds: float | None) -> None:
    import asyncio

    least_s, most_s = _CLOSING_S
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    with suppress(Exception):  # as in _ThreadedReader.close
        async with asyncio.timeout(max(least_s, min(most_s if seconds is None else seconds, most_s))):
            if close and isawaitable(answer := close()):
                await answer
