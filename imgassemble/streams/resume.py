"""One uninterrupted stream of events over cuts: it is opened again where it broke, and goes on from there.

Knows: how far a stream was heard, which errors pass, when to try again and when to give up. Must not know: HTTP, which
client opens the stream, what becomes of the events. An image that was asked for is never asked for again: what was
heard of nothing cannot be gone on with, and its error passes through. A stream that is not cut is given as it is; of
one that was opened again only that is left out which was given before.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from inspect import isawaitable
from queue import Empty, Queue
from threading import TIMEOUT_MAX, Thread
from typing import Any

from ..assembly.items import Cursor
from ..errors import ImgassembleError, IncompleteStreamError, UsageError
from ..limits import Limits
from ..states import Witness
from ..wire.dialects import Reading
from .repeats import MOST_TOLD, Told, looked_at
from .sources import EventDecoder

# HTTP states that pass: too slow, too early, too many, and the ones of proxies and of a server that is restarted.
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
# Errors of a broken connection, by the name of their class or of one above it, as the standard library, httpx, openai,
# aiohttp, requests and urllib3 have them; and one that looks like them and comes again each time.
_BROKEN = frozenset(
    {
        *("ConnectionError", "TimeoutError", "gaierror", "SSLError", "IncompleteRead", "IncompleteReadError"),
        *("TransportError", "APIConnectionError", "ClientConnectionError", "ClientPayloadError"),
        *("Timeout", "ChunkedEncodingError", "ProtocolError"),
    }
)
_DISTRUST = "SSLCertVerificationError"
_NO_WAY = frozenset({errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH})
_LONGEST_CHAIN = 10  # of causes that are looked at; real ones have four
_MOST_TIMES_DOUBLED = 10  # of the wait; beyond it is longer than anybody's max_wait_s
_TICK_S = 0.001  # a timer may ring so much early
_CLOSING_S = (0.1, 1.0)  # for a stream to close: at least, so that it has a turn, and at most

OpenStream = Callable[[Cursor], Iterable[Any]]
AsyncOpenStream = Callable[[Cursor], "AsyncIterable[Any] | Awaitable[AsyncIterable[Any]]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long to try: all in seconds, but for `max_retries`, which counts cuts without news between."""

    max_retries: int = 5
    first_wait_s: float = 0.5  # doubled with each retry, …
    max_wait_s: float = 30.0  # … up to this; half of each wait is chance, so that many clients do not come at once
    silence_s: float | None = 120.0  # without anything: a service that generates sends a keepalive every 30 seconds
    deadline_s: float | None = 900.0  # for the whole

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
    """The events of a stream, over cuts: give it to `assemble` as if it had never been cut.

    open_stream: called with a Cursor, it opens the stream behind that event; first with an empty one, which asks for
        the image. It gives events or bytes, as a client does. Later it gets the `response_id`, the `sequence_number`
        up to which nothing is missing, and the `last_event_id` of server-sent events that have one. Where the service
        sends more than that, from the start even, what was given before is left out.
    limits: of the events that are read from bytes, as for `open_events`.
    may_retry: tells of an exception of the client's whether it passes; unless told, a broken connection does, and the
        HTTP states 408, 409, 425, 429, 500, 502, 503 and 504.

    A stream has ended when it says so, or stops behind the result of an image; one that says `error` is not opened
    again for the better words that `response.failed` may have.

    Raises what the client raised, where it does not pass or there is no place to go on from; IncompleteStreamError
    where it is given up, or breaks behind the first of its images without a name, with the reason in its sentence and
    the last error as its cause.
    """
    heard = _Heard(patience or Patience(), may_retry or passes, clock, chance)
    while not heard.is_over:
        heard.begin()
        cut: BaseException | None = None
        decoder = EventDecoder(limits)
        pieces = _Pieces(lambda: open_stream(heard.cursor))
        try:
            while (piece := pieces.next(heard.time_left())) is not _END:
                yield from heard.news(_events_in(piece, decoder))
            yield from heard.last_news(decoder)
        except (Exception, _Silent) as error:  # noqa: BLE001 - what may come of a client; which is looked at
            cut = error
        finally:
            pieces.close()
        if heard.is_whole(cut):
            return
        try:
            wait_s = heard.wait_after(cut)
        except Exception:
            yield from heard.last_news(decoder, is_cut=True)
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
    """The async twin of `resuming`; `open_stream` may be a coroutine function, and `sleep` is asyncio's."""
    import asyncio

    heard = _Heard(patience or Patience(), may_retry or passes, clock, chance)
    sleep = sleep or asyncio.sleep
    while not heard.is_over:
        heard.begin()
        cut: BaseException | None = None
        decoder = EventDecoder(limits)
        stream: Any = None
        try:
            stream = await _in_time(heard.time_left(), _opened(open_stream, heard.cursor))
            pieces = aiter(stream)
            while (piece := await _next(pieces, heard.time_left())) is not _END:
                for event in heard.news(_events_in(piece, decoder)):
                    yield event
            for event in heard.last_news(decoder):
                yield event
        except (Exception, _Silent) as error:  # noqa: BLE001 - as above
            cut = error
        finally:
            await _aclose(stream, heard.time_left())
        if heard.is_whole(cut):
            return
        try:
            wait_s = heard.wait_after(cut)
        except Exception:
            for event in heard.last_news(decoder, is_cut=True):
                yield event
            raise
        await sleep(wait_s)


def passes(error: Exception) -> bool:
    """Whether what a client raised may be gone the next time: a broken connection, a server that is busy."""
    status = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
    status = status or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status in _PASSING
    if any(_DISTRUST in _names_of(each) for each in _chain(error)):
        return False
    if isinstance(reason := getattr(error, "reason", None), Exception):  # urllib's wraps what happened
        return passes(reason)
    return bool(_BROKEN & _names_of(error)) or (isinstance(error, OSError) and error.errno in _NO_WAY)


def _names_of(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came of."""
    found: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


class _Silent(BaseException):
    """Nothing came in time, or the time is over. No Exception, so that nobody takes it for the client's."""


_END = object()


class _Heard:
    """How far a stream was heard, and what follows from it."""

    def __init__(
        self,
        patience: Patience,
        may_retry: Callable[[Exception], bool],
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.cursor = Cursor()
        self.is_over = False
        self._has_image = False  # a whole one, of those without a name: only the end of the stream ends their row
        self._may_be_over = False  # nothing of another image has come since
        self._patience, self._may_retry, self._clock, self._chance = patience, may_retry, clock, chance
        self._began_at = clock()
        self._retries = 0
        self._told = Told()
        self._ahead: set[float] = set()  # numbers that were heard, while one below them is missing
        self._last_event_id = ""  # of this connection
        self._place = 0  # the mark of the event that was heard last and has a number or an id
        self._is_placed = False  # whether that was in this connection

    def begin(self) -> None:
        """The stream is opened, once more."""
        self._told.begin()
        self._last_event_id, self._is_placed = "", False

    def news(self, events: Iterable[tuple[Any, str]]) -> Iterator[Any]:
        """Those of `events` that were not given before the stream was opened again."""
        for event, last_event_id in events:
            if self._take(event, last_event_id):
                self._retries = 0
                yield event

    def last_news(self, decoder: EventDecoder, *, is_cut: bool = False) -> Iterator[Any]:
        """What the end of the bytes completes; a piece of an event is passed over where it was cut, or the whole one
        will come.
        """
        self.is_over = self.is_over or decoder.is_done
        for event, last_event_id in _ends_of(decoder):
            if not (isinstance(event, ImgassembleError) and (is_cut or self._can_go_on())):
                yield from self.news([(event, last_event_id)])

    def _take(self, event: Any, last_event_id: str) -> bool:
        """Whether an event is news; how far it leads is kept."""
        own_id = last_event_id if last_event_id != self._last_event_id else ""
        self._last_event_id = last_event_id
        if last_event_id:
            self.cursor = replace(self.cursor, last_event_id=last_event_id)
        mark, reading = looked_at(event)
        is_numbered = reading is not None and reading.sequence_number is not None
        mark = mark if is_numbered else hash((mark, own_id))
        if not self._is_news(mark, is_named=is_numbered or bool(own_id)):
            return False
        if reading:
            self._go_on(reading)
        return True

    def _is_news(self, mark: int, *, is_named: bool) -> bool:
        """Whether more such events came than were given; what has no name is told from its like by its place."""
        if is_named:
            self._place, self._is_placed = mark, True
            return self._told.is_news(mark)
        # What a connection begins with may stand anywhere: then it is news where nothing like it was given.
        here = hash((mark, self._place))
        first, second = (here, mark) if self._is_placed else (mark, here)
        is_news = self._told.is_news(first)
        if is_news:
            self._told.add(second)
        return is_news

    def _go_on(self, reading: Reading) -> None:
        cursor, number = self.cursor, reading.sequence_number
        at = cursor.sequence_number
        if reading.response_id not in (None, cursor.response_id):  # another response counts anew
            at = None
            self._ahead.clear()
        if number is not None:
            at = self._reached(number, number if at is None else at)
        self.cursor = replace(cursor, response_id=reading.response_id or cursor.response_id, sequence_number=at)
        self.is_over = self.is_over or reading.ending is not None or reading.event_type == "[DONE]"
        if reading.signals:
            self._may_be_over = all(each.is_unnamed and each.witness is Witness.OWN for each in reading.signals)
            self._has_image = self._has_image or self._may_be_over

    def _reached(self, number: float, at: float) -> float:
        """The number up to which nothing is missing."""
        if number > at:
            self._ahead.add(number)
        if len(self._ahead) > MOST_TOLD:  # what is missing so long was never there
            at = max(self._ahead)
            self._ahead.clear()
        while at + 1 in self._ahead:
            at += 1
            self._ahead.remove(at)
        return at

    def _can_go_on(self) -> bool:
        """Whether there is a place to go on from."""
        cursor = self.cursor
        is_numbered = cursor.response_id is not None and cursor.sequence_number is not None
        return not self.is_over and (is_numbered or cursor.last_event_id is not None)

    def is_whole(self, cut: BaseException | None) -> bool:
        """Whether what was heard is all there is; or it simply ended, and there is no way to ask for more."""
        # What breaks behind the last event breaks nothing.
        return self.is_over or (cut is None and (self._may_be_over or not self._can_go_on()))

    def time_left(self) -> float | None:
        """The seconds to wait for the next piece."""
        times = [each for each in (self._left_s(), self._patience.silence_s) if each is not None]
        return max(0.0, min(times)) if times else None

    def _left_s(self) -> float | None:
        """The seconds until the deadline of the whole."""
        deadline_s = self._patience.deadline_s
        return None if deadline_s is None else self._began_at + deadline_s - self._clock()

    def wait_after(self, cut: BaseException | None) -> float:
        """The seconds until the next try. Raises what ends it."""
        is_ours = self._can_go_on() or self._has_image
        if isinstance(cut, Exception) and not (is_ours and self._may_retry(cut)):
            raise cut
        patience, left_s = self._patience, self._left_s()
        asked_s = _told_to_wait(cut, patience.max_wait_s)
        is_late = left_s is not None and left_s <= asked_s + _TICK_S
        if is_late or self._retries >= patience.max_retries or not self._can_go_on():
            raise self._given_up(cut, is_late=is_late) from (cut if isinstance(cut, Exception) else None)
        self._retries += 1
        longest = min(patience.max_wait_s, patience.first_wait_s * 2.0 ** min(self._retries - 1, _MOST_TIMES_DOUBLED))
        if left_s is not None:
            longest = min(longest, left_s / 2)  # the other half is for the stream
        return max(longest * (1 + self._chance()) / 2, asked_s)

    def _given_up(self, cut: BaseException | None, *, is_late: bool) -> IncompleteStreamError:
        why = f"{type(cut).__name__}: {cut}" if isinstance(cut, Exception) else "it ended before its time"
        if isinstance(cut, _Silent):
            why = f"nothing came for {self._patience.silence_s or 0:g} seconds"
        if is_late:  # or the service asks to wait beyond the deadline
            was_not = "cannot be" if (self._left_s() or 0.0) > _TICK_S else "was not"
            why = f"it {was_not} whole within {self._patience.deadline_s:g} seconds"
        tries = f" after {self._retries} retries" if self._retries else ""
        return IncompleteStreamError(f"the stream is given up{tries}: {why}; what came is kept")


def _events_in(piece: Any, decoder: EventDecoder) -> Iterator[tuple[Any, str]]:
    """The events in what a stream gave, each with its id where it is a server-sent one."""
    if isinstance(piece, (bytes, bytearray, memoryview)):
        for event in decoder.feed(bytes(piece)):
            yield event, decoder.last_event_id
    else:
        yield piece, ""


def _ends_of(decoder: EventDecoder) -> Iterator[tuple[Any, str]]:
    for event in decoder.close():
        yield event, decoder.last_event_id


def _told_to_wait(cut: BaseException | None, most_s: float) -> float:
    """The seconds that the service asked for (`Retry-After`), within reason."""
    headers: Any = getattr(getattr(cut, "response", None), "headers", None) or getattr(cut, "headers", None)
    asked_s = 0.0
    with suppress(Exception):  # somebody else's object
        asked_s = float(headers["retry-after"]) if headers else 0.0
    return min(asked_s, most_s) if asked_s > 0 else 0.0


class _Pieces:
    """What a stream gives, waited for no longer than was said: it is read in a thread of its own."""

    def __init__(self, opened: Callable[[], Iterable[Any]]) -> None:
        self._queue: Queue[tuple[Any, BaseException | None]] = Queue(maxsize=1)
        self._stream: Any = None
        self._is_closed = False
        Thread(target=self._read, args=(opened,), name="imgassemble-resume", daemon=True).start()

    def next(self, seconds: float | None) -> Any:
        if seconds == 0:  # what is there already does not count: the time is over
            raise _Silent
        try:
            piece, error = self._queue.get(timeout=seconds)
        except Empty:
            raise _Silent from None
        if error is not None:
            raise error
        return piece

    def close(self) -> None:
        self._is_closed = True
        self._close_stream()
        with suppress(Empty):
            self._queue.get_nowait()  # lets the thread go on to its end

    def _close_stream(self) -> None:
        with suppress(Exception):  # what a client makes of being closed while it waits is nobody's concern any more
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
            if self._is_closed:  # nobody was there any more to close what came, or it could not be closed meanwhile
                self._close_stream()


async def _opened(open_stream: AsyncOpenStream, cursor: Cursor) -> Any:
    stream = open_stream(cursor)
    return await stream if isawaitable(stream) else stream


async def _next(pieces: AsyncIterator[Any], seconds: float | None) -> Any:
    if seconds == 0:  # a stream that never waits gives no timeout a turn
        raise _Silent
    return await _in_time(seconds, anext(pieces, _END))


async def _in_time(seconds: float | None, awaitable: Awaitable[Any]) -> Any:
    import asyncio

    try:
        async with asyncio.timeout(seconds) as limit:
            return await awaitable
    except TimeoutError:
        if limit.expired():
            raise _Silent from None
        raise


async def _aclose(stream: Any, seconds: float | None) -> None:
    import asyncio

    least_s, most_s = _CLOSING_S
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    with suppress(Exception):  # as in _Pieces.close
        async with asyncio.timeout(max(least_s, min(most_s if seconds is None else seconds, most_s))):
            if close and isawaitable(answer := close()):
                await answer
