"""Reads an async stream in a task of its own, so that a reader whose wait is cancelled loses nothing.

One element is read for each request, and none ahead.
Must not know: events, the assembler, how a stream is opened.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from .openings import AsyncOpening, StreamStoppedError

END = object()  # in place of an element: the stream has ended
_NOTHING = object()
_CLOSING_S = 0.7  # for the task to end after it was cancelled; a cancelled reader has one second in all


class Pump:
    """Reads a stream in one task, which opens it, reads it and closes it. Make it in a running event loop."""

    def __init__(self, opening: AsyncOpening) -> None:
        self._opening, self._loop = opening, asyncio.get_running_loop()
        self._element: Any = _NOTHING
        self._is_ending = False
        self._is_asked, self._is_filled = asyncio.Event(), asyncio.Event()
        self._task = self._loop.create_task(self._read(), name="imgassemble-read")
        self._task.add_done_callback(lambda _: self._is_filled.set())

    async def next(self) -> Any:
        """Return the next element, or END. If it is cancelled, the next call returns the same element.

        Raises the exception of the stream, or StreamStoppedError after `interrupt`.
        """
        if self._element is _NOTHING and not self._task.done():
            self._is_asked.set()
            await self._is_filled.wait()
        if self._element is _NOTHING:
            return self._last()
        element, self._element = self._element, _NOTHING
        if not self._task.done():
            self._is_filled.clear()
        return element

    def _last(self) -> Any:
        if self._task.cancelled():
            raise StreamStoppedError
        if (error := self._task.exception()) is not None:
            raise error
        return END

    async def _read(self) -> None:
        try:
            await self._is_asked.wait()
            async for element in await self._opening.open():
                self._element = element
                del element
                self._is_asked.clear()
                self._is_filled.set()
                await self._is_asked.wait()
        finally:
            await self._opening.aclose()

    def interrupt(self) -> None:
        """End the reading at once, from any thread."""
        with suppress(RuntimeError):  # the loop was closed, and its tasks are cancelled
            self._loop.call_soon_threadsafe(self._cancel)

    async def aclose(self) -> None:
        """End the reading, and close the stream. It takes at most `_CLOSING_S`, also if the caller is cancelled."""
        self._cancel()
        ends_at, cancelled = self._loop.time() + _CLOSING_S, None
        while not self._task.done() and (left_s := ends_at - self._loop.time()) > 0:
            try:
                await asyncio.wait([self._task], timeout=left_s)
            except asyncio.CancelledError as error:
                cancelled = error
        if self._task.done():
            await self._opening.aclose()  # a task that was cancelled before its first step has closed nothing
        else:
            self._task.cancel()  # its client has ignored the first one, or does not close
        if cancelled:
            raise cancelled

    def _cancel(self) -> None:
        if not self._is_ending:  # a second cancellation would interrupt the closing
            self._is_ending = True  # `cancelling()` also counts the cancellations that anyio uses inside a client
            self._task.cancel()
