"""Cancels a driver at each of its awaits: `python -X dev -W error cancellations.py` fails if anything is left."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from imgassemble import Assembler, StreamEnded, Update, aassemble, aiter_updates

TIMES = 200
EVENTS = [{"type": "image_generation_call.generating", "item_id": "ig_1", "sequence_number": n} for n in range(1)] + [
    {"type": "image_generation_call.in_progress", "item_id": f"ig_{n}", "sequence_number": n} for n in range(2, 16)
]


class Stream:
    """An async stream that notes whether it was closed."""

    def __init__(self) -> None:
        self.is_begun = self.is_closed = False

    async def events(self) -> AsyncIterator[Any]:
        self.is_begun = True
        try:
            for event in EVENTS:
                await asyncio.sleep(0)
                yield event
        finally:
            try:
                await asyncio.sleep(0)
            finally:
                self.is_closed = True


class Recorder:
    """A sink that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def open(self, assembler: Assembler) -> None:
        self.calls.append("open")

    def __call__(self, update: Update) -> None:
        self.calls.append(update)

    def close(self) -> None:
        self.calls.append("close")


async def cancel_after(steps: int, task: asyncio.Task[Any]) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)
    is_done = task.done()
    task.cancel()
    began_at = time.monotonic()
    await asyncio.wait([task])
    assert time.monotonic() - began_at < 3  # it takes milliseconds
    assert is_done or task.cancelled(), steps


async def cancel_aassemble(steps: int) -> None:
    stream, sink, assembler, plain, awaited = Stream(), Recorder(), Assembler(), list[Update](), list[Update]()
    made: list[Update] = []
    assembler.subscribe(made.append)

    async def listen(update: Update) -> None:
        awaited.append(update)
        await asyncio.sleep(0)

    drained = aassemble(stream.events(), on_update=[plain.append, listen], sinks=[sink], assembler=assembler)
    await cancel_after(steps, asyncio.create_task(drained))
    assert stream.is_closed or not stream.is_begun, steps
    assert sink.calls in ([], ["open", *made, "close"]), steps
    assert plain == awaited == made, steps
    if made:
        assert isinstance(made[-1], StreamEnded), steps


async def cancel_aiter_updates(steps: int) -> None:
    stream, assembler, received = Stream(), Assembler(), list[Update]()
    made: list[Update] = []
    assembler.subscribe(made.append)

    async def read() -> None:
        async with aiter_updates(stream.events(), assembler) as updates:
            async for update in updates:
                received.append(update)

    await cancel_after(steps, asyncio.create_task(read()))
    assert stream.is_closed or not stream.is_begun, steps
    assert received == made[: len(received)], steps
    assert len(made) - len(received) <= 3, steps  # those of one event, and the end
    if made:
        assert isinstance(made[-1], StreamEnded), steps


async def time_out(steps: int) -> None:
    """Give up the wait for an update again and again. Nothing is lost."""
    stream, assembler, received = Stream(), Assembler(), list[Update]()
    made: list[Update] = []
    assembler.subscribe(made.append)
    async with aiter_updates(stream.events(), assembler) as updates:
        while True:
            waiting = asyncio.ensure_future(anext(updates, None))
            for _ in range(steps % 5):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            if not waiting.cancelled():
                if (update := waiting.result()) is None:
                    break
                received.append(update)
            steps += 1
    assert received == made
    assert stream.is_closed


async def main() -> None:
    asyncio.get_running_loop().slow_callback_duration = 60  # the machine may be busy
    for steps in range(TIMES):
        await cancel_aassemble(steps)
        await cancel_aiter_updates(steps)
        await time_out(steps)
    assert asyncio.all_tasks() == {asyncio.current_task()}


if __name__ == "__main__":
    unraisable: list[Any] = []
    sys.unraisablehook = unraisable.append
    asyncio.run(main())
    gc.collect()
    assert not unraisable, unraisable
    assert threading.active_count() == 1
