"""Measures the costs of showing: the stalls of an event loop with many streams, and a flooded Refresher."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator
from random import Random

from imgassemble import Assembler, FrameAdded, Refresher, aassemble, iter_updates
from imgassemble.screens import LoopScreen
from imgassemble.screens.tiles import Shown

_BEAT_S = 0.001
_LINE = 125_000_000  # bytes per second that all streams have together: a gigabit
_WITHIN_S = 1.0  # in which they begin: users do not come at one moment


def stalls(chunks: list[bytes], *, streams: int, is_paced: bool) -> list[float]:
    """Return the times in seconds that the loop was held while so many streams were read and shown on it, ascending.

    is_paced: the streams begin within a second and come over one line, of a gigabit; else all begin at once, and each
        has a chunk at every turn of the loop.
    """
    gc.collect()
    return sorted(asyncio.run(_stalls(chunks, streams, is_paced=is_paced)))


async def _stalls(chunks: list[bytes], streams: int, *, is_paced: bool) -> list[float]:
    found, is_over, line_is_free_at, now = list[float](), False, 0.0, asyncio.get_running_loop().time

    async def beat() -> None:
        while not is_over:
            start = time.perf_counter()
            await asyncio.sleep(_BEAT_S)
            found.append(time.perf_counter() - start - _BEAT_S)

    async def stream() -> AsyncIterator[bytes]:
        nonlocal line_is_free_at
        for chunk in chunks:
            if is_paced:
                line_is_free_at = max(line_is_free_at, now()) + len(chunk) / _LINE
            await asyncio.sleep(max(0.0, line_is_free_at - now()))
            yield chunk

    async def show(_shown: Shown) -> None:
        pass

    async def one(number: int) -> None:
        await asyncio.sleep(Random(number).random() * _WITHIN_S * is_paced)
        async with LoopScreen(show, size=(512, 512)) as screen:
            await aassemble(stream(), on_update=screen)

    beating = asyncio.ensure_future(beat())
    await asyncio.gather(*(one(number) for number in range(streams)))
    is_over = True
    await beating
    return found


def flood(chunks: list[bytes], previews: int = 1_000) -> float:
    """Return the seconds to pass one of many previews to a Refresher with a callback that is always busy."""
    frame = next(update for update in iter_updates(chunks, Assembler()) if isinstance(update, FrameAdded))
    gate = threading.Event()
    with Refresher(lambda _: gate.wait()) as refresher:
        start = time.perf_counter()
        for _ in range(previews):
            refresher(frame)
        seconds = time.perf_counter() - start
        gate.set()
    return seconds / previews
