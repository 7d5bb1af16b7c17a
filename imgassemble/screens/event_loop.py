"""The event loop that awaits a coroutine callback for a thread.

Must not know: updates, queues, screens. asyncio is imported only when a callback returns an awaitable.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from threading import Event
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

_log = logging.getLogger("imgassemble")
_POLL_S = 0.1  # asyncio does not report that a loop has stopped, so the waiting thread checks this often
NO_LOOP = "a coroutine callback needs an event loop: make the Refresher inside a coroutine, or feed it from one"
_STOPPED = "the event loop of a Refresher's callback stopped or cancelled the callback; the next updates are not shown"


class CallbackLoop:
    """The event loop of a coroutine callback: the loop that ran when this was made, or when `find` was first called."""

    def __init__(self) -> None:
        self._loop = running_loop()
        self._task: Task[Any] | None = None
        self._has_ended = self._has_warned = False

    def find(self) -> bool:
        """Remember the loop that runs in this thread, unless one is known. Return whether a loop is known."""
        self._loop = self._loop or running_loop()
        return self._loop is not None

    def is_current(self) -> bool:
        """Return whether the loop runs in this thread."""
        return self._loop is not None and self._loop is running_loop()

    def can_await(self) -> bool:
        """Return whether the loop can await a callback. Log the first time that it cannot."""
        if self._loop and self._loop.is_running() and not self._has_ended:
            return True
        self._warn(_STOPPED if self._loop else NO_LOOP)
        return False

    def runs(self, task: Task[Any] | None) -> bool:
        """Return whether `task` is the task that awaits the callback now."""
        return task is not None and task is self._task

    def wait_for(self, awaitable: Any, is_abandoned: Callable[[], bool]) -> None:
        """Have the loop await `awaitable`, and block this thread until it is done.

        Return early when the loop stops or `is_abandoned()` is true. Raises the exception of the awaitable.
        """
        from asyncio import run_coroutine_threadsafe
        from concurrent.futures import CancelledError

        coroutine, done = self._await(awaitable), Event()
        if is_abandoned() or not self.can_await() or self._loop is None:
            _close_unstarted(coroutine, awaitable)
            return
        future = run_coroutine_threadsafe(coroutine, self._loop)
        future.add_done_callback(lambda _: done.set())
        while not done.wait(_POLL_S):
            if is_abandoned() or not self.can_await():
                self._has_ended = True
                if not self._loop.is_closed():
                    future.cancel()
                if not self._loop.is_running():
                    _close_unstarted(coroutine, awaitable)
                return
        try:
            future.result()
        except CancelledError:
            if not self._has_ended:
                raise

    async def _await(self, awaitable: Any) -> None:
        from asyncio import CancelledError, current_task

        self._task = task = current_task()
        try:
            await awaitable
        except CancelledError:
            if task and task.cancelling() and not self._has_ended:  # a loop that ends cancels its tasks
                self._has_ended = True
                self._warn(_STOPPED)
            raise
        finally:
            self._task = None

    def _warn(self, sentence: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning(sentence)


def running_loop() -> AbstractEventLoop | None:
    """Return the event loop that runs in this thread, or None. asyncio is not imported for it."""
    asyncio = sys.modules.get("asyncio")
    with suppress(RuntimeError, AttributeError):  # no loop runs, or another thread is importing asyncio
        return asyncio.get_running_loop() if asyncio else None
    return None


def _close_unstarted(*awaitables: Any) -> None:
    """Close coroutines that will never start, because Python warns about those."""
    for each in awaitables:
        if iscoroutine(each) and getcoroutinestate(each) == CORO_CREATED:
            each.close()
