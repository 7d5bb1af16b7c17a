"""Calls sinks and listeners with updates, in an event loop.

Must not know: events, how a stream is read.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar

from ...assembly.listeners import FailureLog, Listener, report_first_event
from ...assembly.updates import Update
from .open_sinks import OpenSinks

_T = TypeVar("_T")
_LISTENING_S = 0.25  # for the coroutine functions of a cancelled task to receive the end, all together


class Delivery:
    """Calls the sinks and the coroutine functions of `aassemble` with each update, one after the other.

    A call that was cancelled is not repeated.
    """

    def __init__(self, kept: OpenSinks, listeners: list[Listener]) -> None:
        self._kept, self._listeners = kept, listeners
        self._waiting: deque[tuple[Listener, Update]] = deque()
        self._failures = FailureLog()

    def note_first_event(self) -> None:
        """Report the first event to the listeners at once."""
        report_first_event(self._listeners, self._failures)

    def __call__(self, update: Update) -> None:
        """Take an update for later delivery."""
        callees = (*([self._kept] if self._kept.sinks else ()), *self._listeners)
        self._waiting.extend((callee, update) for callee in callees)

    @property
    def is_waiting(self) -> bool:
        """Return whether a call waits."""
        return bool(self._waiting)

    async def deliver(self) -> None:
        """Make the calls that wait. A sink is called in a thread."""
        while self._waiting:
            callee, update = self._waiting.popleft()
            if callee is self._kept:
                await in_thread(partial(callee, update))
            else:
                await self._call(callee, update)

    async def deliver_end(self, *, is_cancelled: bool) -> None:
        """Make the last calls, sinks first. Coroutine functions of a cancelled task have `_LISTENING_S` in all."""
        if not is_cancelled:
            return await self.deliver()
        waiting, self._waiting = self._waiting, deque()
        for update in [update for callee, update in waiting if callee is self._kept]:
            with suppress(CancelledError):
                await in_thread(partial(self._kept, update))
        until = asyncio.get_running_loop().time() + _LISTENING_S
        for callee, update in waiting:
            if callee is not self._kept:
                with suppress(CancelledError):
                    await self._call(callee, update, until=until)
        return None

    async def _call(self, listener: Listener, update: Update, *, until: float | None = None) -> None:
        """Call a listener, and await its answer until a time of the loop. An exception is logged."""
        limit = asyncio.timeout_at(until)
        try:
            answer = listener(update)
            if isawaitable(answer):
                async with limit:
                    await answer
        except Exception:  # noqa: BLE001 - a listener can raise anything
            if not limit.expired():
                self._failures.add(listener, type(update).__name__)


async def in_thread(work: Callable[[], _T]) -> _T:
    """Run `work` in a thread and return its result. A cancelled caller waits for it, so that two never run at once."""
    return await uninterrupted(asyncio.to_thread(work))


async def uninterrupted(work: Coroutine[Any, Any, _T]) -> _T:
    """Wait for `work` also if the caller is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    return task.result()
