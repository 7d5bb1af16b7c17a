"""One uninterrupted stream of events over cuts: it is opened again where it broke, and goes on from there.

Knows: how far a stream was heard, which errors pass, when to try again and when to give up. Must not know: HTTP, which
client opens the stream, what becomes of the events. An image that was asked for is never asked for again: what was
heard of nothing cannot be gone on with, and its error passes through.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from inspect import isawaitable
from queue import Empty, Queue
from threading import Thread
from typing import Any

from .dialects import Reading
from .errors import EventError, ImgassembleError, IncompleteStreamError, UsageError
from .events import parse_event
from .items import Cursor
from .lifecycle import Witness
from .readings import read
from .sources import EventDecoder

# HTTP states that pass: too slow, too early, too many, and the ones of proxies and of a server that is restarted.
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
# Errors of a broken connection that are no OSError, by the name of their class or of one above it, as httpx, openai,
# aiohttp and http.client have them.
_BROKEN = frozenset(
    {"TransportError", "APIConnectionError", "ClientConnectionError", "ClientPayloadError", "IncompleteRead"}
)
_MOST_TIMES_DOUBLED = 10  # of the wait; beyond it is longer than anybody's max_wait_s

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
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0):
                raise UsageError(f"{name} is 0 or more, not {value!r}")


def resuming(
    open_stream: OpenStream,
    *,
    patience: Patience | None = None,
    may_retry: Callable[[Exception], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> Iterator[Any]:
    """The events of a stream, over cuts: give it to `assemble` as if it had never been cut.

    open_stream: called with a Cursor, it opens the stream behind that event; first with an empty one, which asks for
        the image. It gives events or bytes, as a client does. Later it gets the `response_id` and `sequence_number`
        that were heard last, and the `last_event_id` of server-sent events that have one.
    may_retry: tells of an exception of the client's whether it passes; unless told, a broken connection does, and the
        HTTP states 408, 409, 425, 429, 500, 502, 503 and 504.

    Raises what the client raised, where it does not pass or nothing was heard yet; IncompleteStreamError where it is
    given up, with the reason in its sentence and the last error as its cause.
    """
    heard = _Heard(patience or Patience(), may_retry or passes, clock, chance)
    while not heard.is_over:
        pieces = None
        try:
            pieces = _Pieces(lambda: open_stream(heard.cursor))
            decoder = EventDecoder()
            while (piece := pieces.next(heard.time_left())) is not _END:
                yield from heard.news(_events_in(piece, decoder))
            yield from heard.last_news(decoder)
        except (Exception, _Silent) as cut:  # noqa: BLE001 - what may come of a client; which is looked at
            if not heard.is_over:  # what breaks behind the last event breaks nothing
                sleep(heard.wait_after(cut))
        else:
            if heard.is_whole():
                return
            sleep(heard.wait_after(None))
        finally:
            if pieces:
                pieces.close()


async def aresuming(
    open_stream: AsyncOpenStream,
    *,
    patience: Patience | None = None,
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
        stream: Any = None
        try:
            stream = open_stream(heard.cursor)
            if isawaitable(stream):
                stream = await _in_time(stream, heard)
            pieces, decoder = aiter(stream), EventDecoder()
            while (piece := await _in_time(anext(pieces, _END), heard)) is not _END:
                for event in heard.news(_events_in(piece, decoder)):
                    yield event
            for event in heard.last_news(decoder):
                yield event
        except (Exception, _Silent) as cut:  # noqa: BLE001 - as above
            if not heard.is_over:
                await sleep(heard.wait_after(cut))
        else:
            if heard.is_whole():
                return
            await sleep(heard.wait_after(None))
        finally:
            await _aclose(stream)


def passes(error: Exception) -> bool:
    """Whether what a client raised may be gone the next time: a broken connection, a server that is busy."""
    status = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
    status = status or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status in _PASSING
    return isinstance(error, OSError) or any(kind.__name__ in _BROKEN for kind in type(error).__mro__)


class _Silent(BaseException):
    """Nothing came in time. No Exception, so that nobody takes it for the client's."""


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
        self._patience, self._may_retry, self._clock, self._chance = patience, may_retry, clock, chance
        self._began_at = clock()
        self._retries = 0

    def news(self, events: Iterable[tuple[Any, str]]) -> Iterator[Any]:
        """Those of `events` that were not heard before the cut."""
        for event, last_event_id in events:
            is_news = self._take(event)
            if last_event_id:
                self.cursor = replace(self.cursor, last_event_id=last_event_id)
            if is_news:
                self._retries = 0
                yield event

    def last_news(self, decoder: EventDecoder) -> Iterator[Any]:
        """What the end of the bytes completes; a piece of an event is passed over where the whole one will come."""
        self.is_over = self.is_over or decoder.is_done
        for event, last_event_id in _ends_of(decoder):
            if not (isinstance(event, ImgassembleError) and self._can_go_on()):
                yield from self.news([(event, last_event_id)])

    def _take(self, event: Any) -> bool:
        """Whether an event is news; how far it leads is kept."""
        try:
            if isinstance(event, ImgassembleError):
                return True
            reading = read(parse_event(event))
        except EventError:
            return True  # the assembler tells what is wrong with it
        number, before = reading.sequence_number, self.cursor.sequence_number
        is_same = reading.response_id in (None, self.cursor.response_id)
        if is_same and number is not None and before is not None and number <= before:
            return False
        self.cursor = replace(
            self.cursor,
            response_id=reading.response_id or self.cursor.response_id,
            sequence_number=before if number is None else number,
        )
        self.is_over = self.is_over or _ends(reading)
        return True

    def _can_go_on(self) -> bool:
        """Whether there is a place to go on from."""
        cursor = self.cursor
        is_numbered = cursor.response_id is not None and cursor.sequence_number is not None
        return not self.is_over and (is_numbered or cursor.last_event_id is not None)

    def is_whole(self) -> bool:
        """Whether a stream that simply ended was all there is; or there is no way to ask for more."""
        return not self._can_go_on()

    def time_left(self) -> float | None:
        """The seconds to wait for the next piece."""
        patience = self._patience
        left = None if patience.deadline_s is None else self._began_at + patience.deadline_s - self._clock()
        return min((each for each in (left, patience.silence_s) if each is not None), default=None)

    def wait_after(self, cut: BaseException | None) -> float:
        """The seconds until the next try. Raises what ends it."""
        if isinstance(cut, Exception) and not (self._can_go_on() and self._may_retry(cut)):
            raise cut
        patience = self._patience
        is_late = patience.deadline_s is not None and self._clock() - self._began_at >= patience.deadline_s
        if is_late or self._retries >= patience.max_retries or not self._can_go_on():
            raise self._given_up(cut, is_late=is_late) from (cut if isinstance(cut, Exception) else None)
        self._retries += 1
        longest = min(patience.max_wait_s, patience.first_wait_s * 2.0 ** min(self._retries - 1, _MOST_TIMES_DOUBLED))
        return max(longest * (1 + self._chance()) / 2, _told_to_wait(cut, patience.max_wait_s))

    def _given_up(self, cut: BaseException | None, *, is_late: bool) -> IncompleteStreamError:
        why = f"{type(cut).__name__}: {cut}" if isinstance(cut, Exception) else "it ended before its time"
        if isinstance(cut, _Silent):
            why = f"nothing came for {self._patience.silence_s:g} seconds"
        if is_late:
            why = f"it was not whole within {self._patience.deadline_s:g} seconds"
        tries = f" after {self._retries} retries" if self._retries else ""
        return IncompleteStreamError(f"the stream is given up{tries}: {why}; what came is kept")


def _ends(reading: Reading) -> bool:
    """Whether nothing more is to come behind this event."""
    is_last_image = any(signal.is_unnamed and signal.witness is Witness.OWN for signal in reading.signals)
    return reading.ending is not None or reading.event_type == "[DONE]" or is_last_image


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
        try:
            piece, error = self._queue.get(timeout=None if seconds is None else max(0.0, seconds))
        except Empty:
            raise _Silent from None
        if error is not None:
            raise error
        return piece

    def close(self) -> None:
        self._is_closed = True
        with suppress(Exception):  # what a client makes of being closed while it waits is nobody's concern any more
            self._stream.close()
        with suppress(Empty):
            self._queue.get_nowait()  # lets the thread go on to its end

    def _read(self, opened: Callable[[], Iterable[Any]]) -> None:
        try:
            self._stream = opened()
            for piece in self._stream:
                self._queue.put((piece, None))
                del piece
                if self._is_closed:
                    return
            self._queue.put((_END, None))
        except BaseException as error:  # noqa: BLE001 - it is raised where the stream is read
            self._queue.put((None, error))


async def _in_time(awaitable: Any, heard: _Heard) -> Any:
    import asyncio

    try:
        async with asyncio.timeout(heard.time_left()) as limit:
            return await awaitable
    except TimeoutError:
        if limit.expired():
            raise _Silent from None
        raise


async def _aclose(stream: Any) -> None:
    close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
    with suppress(Exception):  # as in _Pieces.close
        if close and isawaitable(answer := close()):
            await answer
