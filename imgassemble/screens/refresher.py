"""A listener that shows updates in its own thread, so that a slow screen never delays the stream.

Its thread takes one update at a time out of the mailbox and calls the callback with it.
Must not know: events, pixels, widgets; the mailbox decides which update is shown next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from threading import TIMEOUT_MAX, Condition, Event, Thread, get_ident
from time import monotonic
from typing import Any, get_args

from ..assembly.assembler import check_listener, log_failure
from ..assembly.updates import FrameAdded, StreamEnded, Update
from ..errors import UsageError
from .event_loop import NO_LOOP, CallbackLoop, running_loop
from .mailbox import Mailbox, Policy

_log = logging.getLogger("imgassemble")


class _Phase(Enum):
    """The phase of a Refresher. Each phase follows the one above it."""

    OPEN = auto()  # updates are accepted
    CLOSING = auto()  # updates are no longer accepted; those that wait are still shown
    CLOSED = auto()  # everything was shown, or the rest was abandoned


class _Stage(Enum):
    """The stage of a call of the callback. A call may go from any stage to DONE."""

    PREPARING = auto()
    READY = auto()  # it was dispatched, and has not begun
    BEGUN = auto()
    DONE = auto()  # it returned, or will never be made


@dataclass(slots=True, eq=False)
class _Call:
    """One call of the callback for one update."""

    update: Update
    stage: _Stage = _Stage.PREPARING
    run: Callable[[], None] | None = None  # makes the call; set while its stage is READY or BEGUN
    thread_id: int | None = None  # of the thread that is inside the callback
    answer: Any = None
    has_returned: Event = field(default_factory=Event)  # also set when the call is abandoned


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
    dispatch: takes a function and has it called in the thread of the window: `loop.call_soon_threadsafe`, the `emit`
        of a Qt signal, the `put` of a queue that Tk polls. At most one function waits there.
    prepare: is called with the update in the Refresher's own thread, for example to decode the picture. Its result is
        the second argument of the callback.
    clock: returns the time in seconds for `min_interval_s`. After a manual clock has changed, call `wake()`.

    FrameAdded, FinalReady, FinalWithdrawn, ItemEnded and StreamEnded are shown; other updates are ignored. Finals,
    withdrawals and ends are never skipped, and are shown in the order in which they arrived. With "latest" they wait
    only for the call that is running. A final replaces the waiting preview of its item. If an item or the stream ends
    without a final, its last preview is shown at once, before the end. With "all" everything is shown in order.

    Memory is bounded. Above 4,096 waiting updates "all" skips the oldest previews. If a stream replaces finals without
    end, both policies skip the finals and ends that a later update of the same item supersedes.

    An exception of a callback is logged, and the next updates are shown. Several streams may feed one Refresher, at
    once or in turn; it treats equal item ids as one item. Leaving its `with` block (`async with` on an event loop)
    closes it; waiting previews have ten seconds to be shown. Raises UsageError for invalid arguments.
    """

    def __init__(
        self,
        callback: Callable[..., object],
        *,
        policy: Policy = "latest",
        min_interval_s: float = 0.0,
        dispatch: Callable[[Callable[[], None]], object] | None = None,
        prepare: Callable[[Any], object] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        check_listener(callback)
        if policy not in get_args(Policy):
            raise UsageError(f"policy is one of {', '.join(map(repr, get_args(Policy)))}, not {policy!r}")
        _check_seconds("min_interval_s", min_interval_s)
        for name, function in (
            ("dispatch", dispatch or _call_directly),
            ("prepare", prepare or _call_directly),
            ("clock", clock),
        ):
            _check_function(name, function)
        self._callback, self._prepare, self._dispatch = callback, prepare, dispatch or _call_directly
        self._clock = clock
        self._loop = CallbackLoop()
        self._is_async = _is_async(callback)  # becomes True when the callback returns an awaitable
        self._changed = Condition()  # guards all attributes below
        self._mailbox = Mailbox(policy, min_interval_s)
        self._phase = _Phase.OPEN
        self._thread: Thread | None = None
        self._call: _Call | None = None  # the call that is prepared or made now
        self._dispatch_thread_id: int | None = None  # of the thread in which `dispatch` makes the calls
        self._shown = self._lost = 0  # calls that have begun; updates that closing skipped
        self._closers: list[Callable[[], object]] = []  # each is called once all is shown or abandoned

    def __call__(self, update: Update) -> None:
        """Show `update` soon; return at once. Raises UsageError for a coroutine callback without an event loop."""
        if not self._mailbox.accepts(update):
            return
        with self._changed:
            if self._phase is not _Phase.OPEN:
                self._mailbox.skipped += 1
                return
            if not self._loop.find() and _is_async(self._callback):
                raise UsageError(NO_LOOP)
            self._mailbox.put(update)
            if self._thread is None:
                thread = Thread(target=self._work, name="imgassemble-refresh", daemon=True)
                thread.start()
                self._thread = thread
            self._changed.notify_all()

    @property
    def shown(self) -> int:
        """The number of calls of the callback, including those that raised."""
        return self._shown

    @property
    def skipped(self) -> int:
        """The number of updates that were not shown: superseded, failed before the callback, or too late."""
        return self._mailbox.skipped

    def wake(self) -> None:
        """Read the clock again. Call this after a manual clock has changed."""
        with self._changed:
            self._changed.notify_all()

    def close(self, timeout_s: float = 10.0) -> bool:
        """Accept no more updates and wait until all are shown. Return False, and log a warning, if one was not shown.

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
        is_done = Event()
        self._begin_closing(is_done.set)
        if self._is_inside_call():
            return self._has_shown_all()
        if self._dispatch_thread_id == get_ident():
            self._make_calls_here(timeout_s)
        else:
            call, goes_on = self._call, True
            while goes_on and not is_done.wait(timeout_s):
                call, goes_on = self._skip_previews(call)
        return self._end_closing()

    async def aclose(self, timeout_s: float = 10.0) -> bool:
        """Do the same as `close()` without blocking the event loop. Any event loop may run it."""
        import asyncio

        _check_seconds("timeout_s", timeout_s)
        is_done = asyncio.Event()
        self._begin_closing(partial(asyncio.get_running_loop().call_soon_threadsafe, is_done.set))
        if self._is_inside_call() or self._loop.runs(asyncio.current_task()):
            return self._has_shown_all()
        call, goes_on = self._call, True
        while goes_on:
            with suppress(TimeoutError):
                await asyncio.wait_for(is_done.wait(), timeout_s)
                break
            call, goes_on = self._skip_previews(call)
        return self._end_closing()

    def __enter__(self) -> Refresher:
        self._check_thread()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Refresher:
        self._loop.find()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Refresher of {len(self._mailbox)} waiting updates, {self.shown} shown, {self.skipped} skipped>"

    # ---- closing

    def _check_thread(self) -> None:
        """Raise UsageError if waiting in this thread would block the event loop that has to run the callback."""
        is_on_loop = (
            self._loop.is_current() if self._is_async else self._dispatch is not _call_directly and running_loop()
        )
        is_over = self._phase is not _Phase.OPEN and self._is_idle()
        if is_on_loop and not self._is_inside_call() and not is_over:
            raise UsageError(
                "closing the Refresher here would block this event loop, and the callback needs that loop: "
                "use `async with refresher`, or `await refresher.aclose()`"
            )

    def _is_inside_call(self) -> bool:
        call = self._call
        return get_ident() in (call and call.thread_id, self._thread and self._thread.ident)

    def _is_idle(self) -> bool:
        return self._phase is _Phase.CLOSED or (self._call is None and not self._mailbox)

    def _has_shown_all(self) -> bool:
        return not self._lost and not self._mailbox

    def _begin_closing(self, on_done: Callable[[], object]) -> None:
        """Accept no more updates. Call `on_done` after the last one was shown."""
        with self._changed:
            if self._phase is _Phase.OPEN:
                self._phase = _Phase.CLOSING
            self._closers.append(on_done)
            self._notify()

    def _notify(self) -> None:
        self._changed.notify_all()
        while self._is_idle() and self._closers:
            with suppress(RuntimeError):  # the loop of an `aclose` was closed, so that it does not wait
                self._closers.pop()()

    def _skip_previews(self, before: _Call | None) -> tuple[_Call | None, bool]:
        """Skip the waiting previews after a timeout that began during the call `before`.

        Return the present call, and whether waiting for it may help: False if one call took all of the time.
        """
        with self._changed:
            skipped = self._mailbox.skip_previews()
            self._lost += skipped
            self._notify()
            return self._call, self._call is not before or (skipped > 0 and self._call is None)

    def _make_calls_here(self, timeout_s: float) -> None:
        """Make the remaining calls in this thread, which `dispatch` serves."""
        self._skip_previews(None)
        while run := self._wait_for_ready_call(timeout_s):
            run()

    def _wait_for_ready_call(self, timeout_s: float) -> Callable[[], None] | None:
        def is_ready() -> bool:
            return self._call is not None and self._call.stage is _Stage.READY

        with self._changed:
            self._changed.wait_for(lambda: is_ready() or self._is_idle(), timeout_s)
            return self._call.run if self._call and is_ready() else None

    def _end_closing(self) -> bool:
        """Abandon the updates that were not shown, and log their number once. Return whether all were shown."""
        with self._changed:
            if not self._is_idle():
                self._lost += len(self._mailbox) + (self._call is not None)
                self._mailbox.clear()
                if self._call:
                    self._call.has_returned.set()
            is_first, self._phase = self._phase is not _Phase.CLOSED, _Phase.CLOSED
            self._notify()
        if self._lost and is_first:
            _log.warning("a Refresher was closed before all was shown: %d updates are abandoned", self._lost)
        return self._has_shown_all()

    # ---- the thread

    def _work(self) -> None:
        is_stream_over = False
        while (call := self._take(is_stream_over)) is not None:
            is_stream_over = isinstance(call.update, StreamEnded)
            self._perform(call)
            del call  # the next update may be far away: keep no picture until then

    def _take(self, is_stream_over: bool) -> _Call | None:  # noqa: FBT001 - private, and named where it is given
        """Wait for the next call. Return None if the thread can end; the next update then starts another thread."""
        with self._changed:
            while self._phase is not _Phase.CLOSED:
                due = self._mailbox.take_due(self._clock())
                if due is None and (self._phase is not _Phase.OPEN or is_stream_over):
                    break
                if not isinstance(due, float | None):
                    self._call = _Call(due)
                    return self._call
                self._changed.wait(due)
            self._thread = None
            return None

    def _perform(self, call: _Call) -> None:
        """Prepare and dispatch the call, and wait for it. Log what it raises."""
        try:
            self._prepare_and_dispatch(call)
        except BaseException:  # noqa: BLE001 - prepare, dispatch and callback are the caller's code
            log_failure(call.update)
        finally:
            self._finish(call)

    def _prepare_and_dispatch(self, call: _Call) -> None:
        if self._is_async and not self._loop.can_await():
            return
        arguments = (call.update, self._prepare(call.update)) if self._prepare else (call.update,)
        run = partial(self._run, call, arguments)
        with self._changed:
            call.run, call.stage = run, _Stage.READY
            self._changed.notify_all()
        try:
            self._dispatch(run)
        except BaseException:
            if call.stage is _Stage.READY:
                raise
            log_failure(call.update)
        call.has_returned.wait()
        if call.stage is not _Stage.DONE and isawaitable(call.answer):
            self._is_async = True
            self._loop.wait_for(call.answer, lambda: self._phase is _Phase.CLOSED)

    def _run(self, call: _Call, arguments: tuple[Any, ...]) -> None:
        """Make the call, in the thread that `dispatch` chose. A second run and an abandoned call do nothing."""
        with self._changed:
            if call.stage is not _Stage.READY or self._phase is _Phase.CLOSED:
                return
            call.stage, call.thread_id = _Stage.BEGUN, get_ident()
            self._shown += 1
            self._dispatch_thread_id = None if self._dispatch is _call_directly else call.thread_id
            if isinstance(call.update, FrameAdded):
                self._mailbox.restart_interval(self._clock())
        try:
            call.answer = self._callback(*arguments)
        except Exception:  # noqa: BLE001 - the callback is the caller's code
            log_failure(call.update)
        finally:
            call.thread_id = None
            if not isawaitable(call.answer):
                self._finish(call)
            call.has_returned.set()

    def _finish(self, call: _Call) -> None:
        """Mark the call as done: it was made, or it will never be made."""
        with self._changed:
            call.run = None  # it refers to the call; without the cycle, decoded pixels are freed at once
            if call.stage is not _Stage.DONE:
                self._mailbox.skipped += call.stage is not _Stage.BEGUN
                call.stage = _Stage.DONE
                self._call = None
                self._notify()


def _call_directly(function: Callable[[], object]) -> None:
    function()


def _is_async(function: object) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def _check_function(name: str, value: object) -> None:
    if not callable(value):
        raise UsageError(f"{name} is a function, and {type(value).__name__} cannot be called")
    if _is_async(value):
        raise UsageError(f"{name} is a plain function: only the callback may be a coroutine function")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= TIMEOUT_MAX:
        raise UsageError(f"{name} is a number of seconds, at least 0 and at most {TIMEOUT_MAX:.0f}, not {value!r}")
