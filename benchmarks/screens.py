"""What showing costs: the longest stall of an event loop with many streams on it, and a Refresher under a flood."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from random import Random

from imgassemble import Assembler, FrameAdded, Refresher, aassemble, iter_updates
from imgassemble.screens import LoopScreen
from imgassemble.screens.tiles import Shown

_BEAT_S = 0.001


def longest_stall(chunks: list[bytes], *, streams: int = 20) -> float:
    """The longest time in seconds that the loop was held while so many streams were read, decoded and shown on it."""
    return asyncio.run(_longest_stall(chunks, streams))


async def _longest_stall(chunks: list[bytes], streams: int) -> float:
    longest, is_over = 0.0, False

    async def beat() -> None:
        nonlocal longest
        while not is_over:
            start = time.perf_counter()
            await asyncio.sleep(_BEAT_S)
            longest = max(longest, time.perf_counter() - start - _BEAT_S)

    async def stream(number: int) -> AsyncIterator[bytes]:
        for _ in range(Random(number).randrange(len(chunks))):  # users do not come at one moment, either
            await asyncio.sleep(0)
        for chunk in chunks:
            yield chunk
            await asyncio.sleep(0)

    async def show(_shown: Shown) -> None:
        pass

    async def one(number: int) -> None:
        async with LoopScreen(show, size=(512, 512)) as screen:
            await aassemble(stream(number), on_update=screen)

    beating = asyncio.ensure_future(beat())
    await asyncio.gather(*(one(number) for number in range(streams)))
    is_over = True
    await beating
    return longest


def flood(chunks: list[bytes], previews: int = 1_000) -> float:
    """The seconds to tell one of many previews to a Refresher whose callback takes all the time there is."""
    frame = next(update for update in iter_updates(chunks, Assembler()) if isinstance(update, FrameAdded))
    gate = threading.Event()
    with Refresher(lambda _: gate.wait()) as refresher:
        start = time.perf_counter()
        for _ in range(previews):
            refresher(frame)
        seconds = time.perf_counter() - start
        gate.set()
    return seconds / previews
