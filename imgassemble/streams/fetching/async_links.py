"""Gets the results of an async stream that are at URLs, each in a task of its own.

Must not know: events, how a URL is fetched, how a stream is read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from typing import Any

from ...assembly.assembler import Assembler, stop_signal
from ...assembly.updates import Update
from ..opening.openings import StreamStoppedError
from ..own_thread import in_own_thread
from .links import Fetch, Link, LinkFetcher


class AsyncLinks:
    """The links of one stream that wait for their pictures. A reader whose wait is cancelled loses nothing."""

    def __init__(self, assembler: Assembler, fetch: Fetch | None) -> None:
        self._assembler, self._fetcher = assembler, LinkFetcher(assembler, fetch)
        self.waiting: deque[Link] = deque()
        self._task: asyncio.Task[Any] | None = None  # it gets the first one

    def find(self) -> None:
        """Add the links of the last event."""
        if self._fetcher.are_fetched:
            self.waiting.extend(self._fetcher.found())

    def find_last(self) -> None:
        """Add the links that are those of results because the stream has ended."""
        self.waiting.extend(self._fetcher.found_at_end())

    async def next_updates(self) -> tuple[Update, ...]:
        """Get the picture of the first link, feed it, and return the updates.

        Raises StreamStoppedError after a stop.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._fetched(self.waiting[0]), name="imgassemble-fetch")
        task, loop = self._task, asyncio.get_running_loop()

        def interrupt() -> None:
            with suppress(RuntimeError):  # the loop was closed, and its tasks are cancelled
                loop.call_soon_threadsafe(task.cancel)

        with stop_signal(self._assembler).interrupting(interrupt):
            await asyncio.wait([task])
        self._task = None
        if task.cancelled():
            self.waiting.clear()
            raise StreamStoppedError
        return self._fetcher.put(self.waiting.popleft(), task.result())

    async def _fetched(self, link: Link) -> Any:
        """Return the answer of `fetch`, or its exception. A function that is not async runs in a thread."""
        try:
            if self._fetcher.is_async:
                return await self._fetcher.ask(link)
            answer = await in_own_thread(partial(self._fetcher.ask, link), "imgassemble-fetch")
            return await answer if isawaitable(answer) else answer
        except Exception as error:  # noqa: BLE001 - the caller's function can raise anything
            return error

    def cancel(self) -> None:
        """Leave the links that wait without pictures."""
        self.waiting.clear()
        if self._task is not None:
            with suppress(RuntimeError):  # its loop was closed
                self._task.cancel()
