"""Reads an async stream in a task of its own, so that a reader whose wait is cancelled is not held up by the client.

One element is read for each request, and none ahead.
Must not know: events, the assembler, how a stream is opened.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, Future
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from .openings import AsyncOpening, StreamStoppedError

END = object()  # in place of an element: the stream has ended
_NOTHING = object()
_CLOSING_S = 0.7  # for the task to end after it was cancelled; a cancelled reader has one second in all


class StreamTask:
    """One task, which opens a stream, reads it and closes it. Make it in a running event loop.

    work: is called in the task, and reads the stream.
    """

    def __init__(self, opening: AsyncOpening, work: Callable[[], Awaitable[None]]) -> None:
        self._opening, self._loop = opening, asyncio.get_running_loop()
        self._is_ending = False
        self._task = self._loop.create_task(self._run(work), name="imgassemble-read")

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
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
            except CancelledError as error:
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


class Pump(StreamTask):
    """Reads a stream for a reader in another task, whose wait can be cancelled and repeated."""

    def __init__(self, opening: AsyncOpening) -> None:
        super().__init__(opening, self._read)
        self._element: Any = _NOTHING
        self._asked: Future[None] = self._loop.create_future()
        self._filled: Future[None] = self._loop.create_future()
        self._task.add_done_callback(lambda _: _wake(self._filled))

    async def next(self) -> Any:
        """Return the next element, or END. If it is cancelled, the next call returns the same element.

        Raises the exception of the stream, or StreamStoppedError after `interrupt`.
        """
        if self._element is _NOTHING and not self._task.done():
            self._filled = self._loop.create_future()  # the earlier one is done, or was cancelled with its reader
            _wake(self._asked)
            await self._filled
        if self._element is _NOTHING:
            return self._last()
        element, self._element = self._element, _NOTHING
        return element

    def _last(self) -> Any:
        if self._task.cancelled():
            raise StreamStoppedError
        if (error := self._task.exception()) is not None:
            raise error
        return END

    async def _read(self) -> None:
        await self._asked
        async for element in await self._opening.open():
            self._element = element
            del element
            self._asked = self._loop.create_future()
            _wake(self._filled)
            await self._asked


def _wake(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class DirectReader(StreamTask):
    """Lets `work` read a stream in one task with the use of its elements, without a change of tasks for each element.

    A reader that was cancelled cannot continue.
    """

    def __init__(self, opening: AsyncOpening, work: Callable[[], Awaitable[None]]) -> None:
        self._elements: AsyncIterator[Any] | None = None
        self._is_waiting = self._is_stopped = False  # for the stream; no further element may be read
        self._error: BaseException | None = None
        super().__init__(opening, partial(self._work_to_end, work))  # kept by the task alone: it can lead back to here
        self._has_ended: Future[None] = self._loop.create_future()
        self._task.add_done_callback(lambda _: _wake(self._has_ended))

    async def next(self) -> Any:
        """Return the next element, or END. Only `work` calls it.

        Raises the exception of the stream, or StreamStoppedError after `interrupt`.
        """
        if self._is_stopped:
            raise StreamStoppedError
        self._is_waiting = True
        try:
            if self._elements is None:
                self._elements = await self._opening.open()
            return await anext(self._elements, END)
        except CancelledError:
            if self._is_stopped:
                raise StreamStoppedError from None
            raise
        finally:
            self._is_waiting = False

    async def wait(self) -> None:
        """Wait until `work` has ended and the stream is closed. Raises the exception of `work`.

        If the caller is cancelled, `work` is cancelled too, and ends first, unless it waits for the stream.
        """
        try:
            await asyncio.wait([self._task])
        except CancelledError:
            self._is_stopped = True
            self._cancel()
            while not (self._is_waiting or self._has_ended.done()):
                with suppress(CancelledError):
                    await asyncio.wait([self._has_ended])
            raise
        if self._error is not None:
            raise self._error

    def interrupt(self) -> None:
        """End the reading at once, from any thread. Other waits of `work` go on."""
        self._is_stopped = True
        with suppress(RuntimeError):  # as above
            self._loop.call_soon_threadsafe(self._end_wait)

    def _end_wait(self) -> None:
        if self._is_waiting:
            self._cancel()

    async def _work_to_end(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except BaseException as error:  # noqa: BLE001 - a KeyboardInterrupt belongs to the task that called
            self._error = error
        finally:
            _wake(self._has_ended)
