"""A listener that shows updates in its own thread, so that a slow screen never delays the stream.

Must not know: events, pixels, widgets; the mailbox decides which update is shown next, `showing` how it is shown.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from threading import TIMEOUT_MAX, Event
from time import monotonic
from typing import Any, get_args

from ..arguments import check_choice, check_function, is_async_function
from ..assembly.listeners import check_listener
from ..assembly.updates import Update
from ..errors import UsageError
from .callback_call import CallbackCall
from .event_loop import running_loop
from .mailbox import Mailbox, Passing, Policy
from .showing import RefresherPhase, ShowingThread

_log = logging.getLogger("imgassemble")


class Refresher:
    """A listener that calls `callback` with the updates that a screen should show, and never delays the stream.

        with Refresher(show, min_interval_s=0.1) as refresher:
            assemble(stream, on_update=refresher)

    callback: is called with the update, one call at a time, in the Refresher's own thread. A coroutine function (or a
        function that returns an awaitable) is awaited on the event loop on which the Refresher was made or on which
        its first update arrived.
    policy: "latest" shows only the newest preview of each item: a slow screen skips the others. "all" shows every
        partial.
    min_interval_s: the least time between the beginnings of two previews, in seconds, from 0. With "latest" only
        previews wait for it. With "all" the updates that follow a preview wait with it.
    dispatch: receives a function, and calls it in the thread of the window: `loop.call_soon_threadsafe`, the `emit`
        of a Qt signal, the `put` of a queue that Tk polls. At most one function waits there.
    prepare: is called with the update in the Refresher's own thread, for example to decode the picture. Its result is
        the second argument of the callback.
    note: is called with each update in the thread that feeds it, for example to remember a picture that is skipped.
    clock: returns the time in seconds for `min_interval_s`. After a manual clock has changed, call `wake()`.

    FrameAdded, FinalReady, FinalWithdrawn, ItemEnded and StreamEnded are shown; other updates are ignored. Finals,
    withdrawals and ends are never skipped, and are shown in the order in which they arrived. With "latest" they wait
    only for the call that is running. A final replaces the waiting preview of its item. If an item or the stream ends
    without a final, its last preview is shown at once, before the end; but if the service blocked the image, its
    waiting previews are skipped. With "all" everything is shown in order.

    Memory is bounded. Above 4,096 waiting updates "all" skips the oldest previews. If a stream replaces finals without
    end, both policies skip the finals and ends that a later update of the same item supersedes.

    An exception of a callback is logged, and the next updates are shown. Several streams may feed one Refresher, at
    once or in turn; it treats equal item ids as one item. Leaving its `with` block (`async with` on an event loop)
    closes it; waiting previews have ten seconds to be shown. Raises UsageError for invalid arguments, and in a process
    that was forked after the Refresher was made.
    """

    def __init__(
        self,
        callback: Callable[..., object],
        *,
        policy: Policy = "latest",
        min_interval_s: float = 0.0,
        dispatch: Callable[[Callable[[], None]], object] | None = None,
        prepare: Callable[[Any], object] | None = None,
        note: Callable[[Any], object] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        check_listener(callback)
        check_choice("policy", policy, get_args(Policy))
        _check_seconds("min_interval_s", min_interval_s)
        _check_plain_function("clock", clock)
        for name, function in (("dispatch", dispatch), ("prepare", prepare), ("note", note)):
            if function is not None:
                _check_plain_function(name, function)
        self._note, self._has_dispatch, self._process_id = note, dispatch is not None, os.getpid()
        self._mailbox = Mailbox(policy, min_interval_s)
        self._showing = ShowingThread(self._mailbox, callback, prepare=prepare, dispatch=dispatch, clock=clock)

    def __call__(self, update: Update | Passing) -> None:
        """Show `update` soon; return at once. Raises UsageError for a coroutine callback without an event loop."""
        self._check_process()
        if self._note:
            self._note(update)
        if self._mailbox.accepts(update):
            self._showing.put(update)

    @property
    def shown(self) -> int:
        """The number of calls of the callback, including those that raised."""
        return self._showing.shown

    @property
    def skipped(self) -> int:
        """The number of updates that were not shown: superseded, failed before the callback, or too late."""
        return self._mailbox.skipped

    def wake(self) -> None:
        """Read the clock again. Call this after a manual clock has changed."""
        self._showing.wake()

    def close(self, timeout_s: float = 10.0) -> bool:
        """Accept no more updates and wait until all are shown. Return False, and log a warning, if one was not shown.

        An update was not shown if the time was over, if the event loop of the callback ended, if `prepare` or
        `dispatch` raised, or if it came after closing began. A preview that a newer one replaced is no loss.

        timeout_s: seconds, from 0. After this time the previews that wait are skipped; finals and ends are still shown
            while the callback keeps returning. A single call that takes longer than this is abandoned, with all
            updates after it.

        Inside the callback this returns at once, and the waiting updates are still shown. In the thread that
        `dispatch` serves, waiting would block the calls: there, the waiting previews are skipped at once, and the
        remaining calls are made by this method.
        Raises UsageError on the event loop of a coroutine callback, and on any event loop if there is a `dispatch`,
        which may serve that loop: use `async with`, or `await refresher.aclose()`.
        """
        _check_seconds("timeout_s", timeout_s)
        self._check_thread()
        is_done, showing = Event(), self._showing
        call = showing.begin_closing(is_done.set)
        if showing.is_inside_call():
            return showing.has_shown_all
        if showing.is_dispatch_thread():
            showing.skip_previews()
            showing.make_calls_here(timeout_s)
        else:
            for _ in self._rounds_of_waiting(call):
                if is_done.wait(timeout_s):
                    break
        return self._end_closing()

    async def aclose(self, timeout_s: float = 10.0) -> bool:
        """Do the same as `close(timeout_s)` without blocking the event loop. Any event loop may run it."""
        import asyncio

        _check_seconds("timeout_s", timeout_s)
        self._check_process()
        is_done, showing = asyncio.Event(), self._showing
        call = showing.begin_closing(partial(asyncio.get_running_loop().call_soon_threadsafe, is_done.set))
        if showing.is_inside_call() or showing.loop.runs(asyncio.current_task()):
            return showing.has_shown_all
        for _ in self._rounds_of_waiting(call):
            with suppress(TimeoutError):
                await asyncio.wait_for(is_done.wait(), timeout_s)
                break
        return self._end_closing()

    def abandon(self) -> bool:
        """Show nothing more, because the window was closed. Return whether all had been shown.

        It returns at once, in any thread, and logs nothing.
        """
        self._check_process()
        return self._showing.abandon()

    def __enter__(self) -> Refresher:
        self._check_thread()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Refresher:
        self._showing.loop.find()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Refresher of {len(self._mailbox)} waiting updates, {self.shown} shown, {self.skipped} skipped>"

    def _rounds_of_waiting(self, call: CallbackCall | None) -> Iterator[None]:
        """Yield for each round of waiting, as long as waiting helps. After a round the waiting previews are skipped.

        call: the present call. Waiting does not help if one call took the whole round.
        """
        while True:
            yield
            before, (call, n_skipped) = call, self._showing.skip_previews()
            if call is before and not (call is None and n_skipped):
                return

    def _end_closing(self) -> bool:
        """Abandon the updates that were not shown, and log their number once. Return whether all were shown."""
        is_first = self._showing.phase is not RefresherPhase.CLOSED
        has_shown_all = self._showing.abandon()
        if is_first and not has_shown_all:
            _log.warning("a Refresher was closed; updates that it did not show: %d", self._showing.lost)
        return has_shown_all

    def _check_process(self) -> None:
        """Raise UsageError in a forked process: its locks may be held forever by threads that it does not have."""
        if os.getpid() != self._process_id:
            raise UsageError(
                "this process was forked, and the thread of this Refresher is not in it: make the Refresher or screen "
                "in the new process"
            )

    def _check_thread(self) -> None:
        """Raise UsageError if waiting in this thread would block the event loop that has to run the callback."""
        self._check_process()
        showing = self._showing
        is_on_loop = showing.loop.is_current() if showing.is_async else self._has_dispatch and running_loop()
        is_over = showing.phase is not RefresherPhase.OPEN and showing.is_idle
        if is_on_loop and not is_over and not showing.is_inside_call():
            raise UsageError(
                "closing the Refresher here would block this event loop, and the callback needs that loop: "
                "use `async with refresher`, or `await refresher.aclose()`"
            )


def _check_plain_function(name: str, value: object) -> None:
    check_function(name, value)
    if is_async_function(value):
        raise UsageError(f"{name} is a plain function: only the callback may be a coroutine function")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= TIMEOUT_MAX:
        raise UsageError(f"{name} is a number of seconds, at least 0 and at most {TIMEOUT_MAX:.0f}, not {value!r}")
