"""Makes one uninterrupted async stream of events over cuts.

Must not know: HTTP, which client opens the stream, how the events are used.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from ...assembly.items import Cursor
from ...limits import Limits
from ..opening.openings import AsyncOpening
from ..opening.pump import END, Pump
from ..sources import StreamReader
from .patience import Patience, Retries, SilenceError, is_temporary
from .position import StreamPosition
from .resume import USUAL_PATIENCE, OpenStream, check_arguments, is_whole, new_events


def aresuming(
    open_stream: OpenStream,
    *,
    since: Cursor | None = None,
    patience: Patience = USUAL_PATIENCE,
    limits: Limits | None = None,
    may_retry: Callable[[Exception], bool] = is_temporary,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] | None = None,
    chance: Callable[[], float] = random.random,
) -> AsyncIterator[Any]:
    """Return an async iterator of the events of a stream over cuts, for `aassemble`; the async form of `resuming`.

    open_stream: as for `resuming`; it may be a coroutine function, or return an awaitable.
    since, patience, limits, may_retry, clock, chance: as for `resuming`.
    sleep: a coroutine function that waits for a number of seconds; None: asyncio.sleep.

    Raises as `resuming` does.

        result = await aassemble(aresuming(lambda cursor: client.open(after=cursor.sequence_number)))
    """
    check_arguments(open_stream, since, patience, limits, "aresuming")
    return _aresume(open_stream, since, Retries(patience, may_retry, clock, chance), limits, sleep)


async def _aresume(
    open_stream: OpenStream,
    since: Cursor | None,
    retries: Retries,
    limits: Limits | None,
    sleep: Callable[[float], Awaitable[object]] | None,
) -> AsyncIterator[Any]:
    position = StreamPosition(since)
    sleep = sleep or asyncio.sleep
    retries.begin()
    while True:
        position.reopen()
        cut: Exception | None = None
        reader = StreamReader(limits)
        pump = Pump(AsyncOpening(partial(open_stream, position.cursor), sync_twin="resuming"))
        try:
            while (box := [await _next(pump, retries.time_left_s())])[0] is not END:
                for new in new_events(reader.take(box.pop()), reader, position, retries):
                    yield new.pop()
            position.end_if(is_done=reader.is_done)
            for new in new_events(reader.finish(is_cut=position.can_go_on), reader, position, retries):
                yield new.pop()
        except Exception as error:  # noqa: BLE001 - as above
            cut = error
        finally:
            await pump.aclose()
        if is_whole(position, cut):
            return
        try:
            wait_s = retries.wait_s_after(cut, position)
        except Exception:
            for new in new_events(reader.finish(is_cut=True), reader, position, retries):
                yield new.pop()
            raise
        await sleep(wait_s)


async def _next(pump: Pump, seconds: float | None) -> Any:
    """Return the next piece, or `END`. Raises SilenceError if none comes in time."""
    if seconds == 0:  # a stream that never waits lets no timeout fire
        raise SilenceError
    try:
        async with asyncio.timeout(seconds) as limit:
            return await pump.next()
    except TimeoutError:
        if limit.expired():
            raise SilenceError from None
        raise
