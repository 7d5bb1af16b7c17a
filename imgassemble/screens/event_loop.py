"""The event loop that awaits a coroutine callback for a thread.

Must not know: updates, queues, screens. asyncio is imported only when a callback returns an awaitable.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from threading import Event, Lock
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
        self._call: _AwaitedCall | None = None
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
        if not self._has_warned:
            self._has_warned = True
            _log.warning(_STOPPED if self._loop else NO_LOOP)
        return False

    def runs(self, task: Task[Any] | None) -> bool:
        """Return whether `task` is the task that awaits the callback now."""
        return task is not None and self._call is not None and task is self._call.task

    def wait_for(self, awaitable: Any, is_abandoned: Callable[[], bool]) -> bool:
        """Have the loop await `awaitable`, and block this thread until it is done. Return whether it came to its end.

        It does not if the loop stops or cancels it, or if `is_abandoned()` becomes true. Raises the exception of the
        awaitable.
        """
        self._call = call = _AwaitedCall(awaitable)
        try:
            with suppress(RuntimeError):  # the loop is closed
                if self._loop:
                    self._loop.call_soon_threadsafe(call.start, self._loop)
            while is_open := not (is_abandoned() or not self.can_await()):
                if call.is_done.wait(_POLL_S):
                    break
            if not is_open and not call.is_done.is_set():
                self._has_ended = True
                call.abandon(self._loop)
                return False
            return self._end_of(call)
        finally:
            self._call = None

    def _end_of(self, call: _AwaitedCall) -> bool:
        if call.was_cancelled:  # a loop that ends cancels its tasks
            self._has_ended = True
            self.can_await()
            return False
        if call.error:
            raise call.error
        return True


class _AwaitedCall:
    """An awaitable, and the task of the loop that awaits it."""

    def __init__(self, awaitable: Any) -> None:
        self.task: Task[Any] | None = None
        self.is_done = Event()
        self.error: BaseException | None = None
        self.was_cancelled = False
        self._awaitable = awaitable
        self._coroutine: Any = None
        self._lock = Lock()
        self._is_abandoned = False

    def start(self, loop: AbstractEventLoop) -> None:
        """Make the task, on the loop."""
        with self._lock:
            if not self._is_abandoned:
                self._coroutine = self._await()
                self.task = loop.create_task(self._coroutine)
                self.task.add_done_callback(self._end)

    def abandon(self, loop: AbstractEventLoop | None) -> None:
        """Cancel the task. If the loop runs no more, prevent the warnings of Python about what it leaves behind."""
        with self._lock:
            self._is_abandoned = True
        if self.task is None or loop is None:
            self._close_unstarted()
            return
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self.task.cancel)
        if not loop.is_running():
            self._close_unstarted()
            self.task._log_destroy_pending = False  # type: ignore[attr-defined]  # as asyncio itself does

    async def _await(self) -> None:
        from asyncio import CancelledError, current_task

        task = current_task()
        try:
            await self._awaitable
        except CancelledError as error:
            self.was_cancelled = task is not None and task.cancelling() > 0
            self.error = error
            raise
        except Exception as error:  # noqa: BLE001 - the waiting thread raises it
            self.error = error
        finally:
            self.is_done.set()

    def _end(self, task: Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # read, so that Python does not warn
        if not self.is_done.is_set():  # it was cancelled before it began
            self.was_cancelled = True
            self._close_unstarted()
            self.is_done.set()

    def _close_unstarted(self) -> None:
        """Close the coroutines that will never start, because Python warns about those."""
        for each in (self._coroutine, self._awaitable):
            if iscoroutine(each) and getcoroutinestate(each) == CORO_CREATED:
                each.close()


def running_loop() -> AbstractEventLoop | None:
    """Return the event loop that runs in this thread, or None. asyncio is not imported for it."""
    asyncio = sys.modules.get("asyncio")
    with suppress(RuntimeError, AttributeError):  # no loop runs, or another thread is importing asyncio
        return asyncio.get_running_loop() if asyncio else None
    return None
