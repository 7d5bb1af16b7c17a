"""The thread of a Refresher: it takes one update at a time out of the mailbox and calls the callback with it.

Must not know: arguments of the caller, how long closing may take, widgets.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from inspect import isawaitable
from threading import Condition, Thread, get_ident
from typing import Any

from ..arguments import is_async_function
from ..assembly.listeners import FailureLog
from ..assembly.updates import FrameAdded, StreamEnded, Update
from ..errors import UsageError
from .callback_call import CallbackCall
from .event_loop import NO_LOOP, CallbackLoop
from .mailbox import Mailbox, Passing


class RefresherPhase(Enum):
    """The phase of a Refresher. Each phase follows the one above it."""

    OPEN = auto()  # updates are accepted
    CLOSING = auto()  # updates are no longer accepted; those that wait are still shown
    CLOSED = auto()  # everything was shown, or the rest was abandoned


class ShowingThread:
    """Shows the updates of a mailbox one after the other, in a thread that starts with the first one.

    dispatch: None: the callback is called in this thread. The other arguments are those of Refresher.
    loop: the event loop of a coroutine callback. is_async: whether the callback is known to return an awaitable.
    shown: the number of calls that have begun. lost: the number of updates that were not shown, and that no later
    update replaced.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        callback: Callable[..., object],
        *,
        prepare: Callable[[Any], object] | None,
        dispatch: Callable[[Callable[[], None]], object] | None,
        clock: Callable[[], float],
    ) -> None:
        self.loop: CallbackLoop = CallbackLoop()
        self.is_async: bool = is_async_function(callback)
        self._callback, self._prepare, self._dispatch, self._clock = callback, prepare, dispatch, clock
        failures = FailureLog()  # of prepare and dispatch, too
        self._log_failure: Callable[[Update | Passing], None] = lambda update: failures.add(
            callback, type(update).__name__
        )
        self._changed = Condition()  # guards all attributes below
        self.mailbox = mailbox
        self.phase: RefresherPhase = RefresherPhase.OPEN
        self.shown: int = 0
        self.lost: int = 0
        self._thread: Thread | None = None
        self._call: CallbackCall | None = None  # the call that is prepared or made now
        self._dispatch_thread_id: int | None = None  # of the thread in which `dispatch` makes the calls
        self._closers: list[Callable[[], object]] = []  # each is called once all is shown or abandoned

    def put(self, update: Update | Passing) -> None:
        """Have an accepted update shown. After closing began it is lost. Raises UsageError without an event loop."""
        with self._changed:
            if self.phase is not RefresherPhase.OPEN:
                self.mailbox.skipped += 1
                self.lost += not isinstance(update, Passing)
                return
            if not self.loop.find() and is_async_function(self._callback):
                raise UsageError(NO_LOOP)
            self.mailbox.put(update)
            if self._thread is None:
                thread = Thread(target=self._work, name="imgassemble-refresh", daemon=True)
                thread.start()
                self._thread = thread
            self._changed.notify_all()

    def wake(self) -> None:
        """Read the clock again."""
        with self._changed:
            self._changed.notify_all()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and no call is made, or the rest was abandoned."""
        return self.phase is RefresherPhase.CLOSED or (self._call is None and not self.mailbox)

    @property
    def has_shown_all(self) -> bool:
        """Whether nothing waits, and nothing was lost."""
        return not self.lost and not self.mailbox

    def is_inside_call(self) -> bool:
        """Return whether this thread makes or prepares a call."""
        call = self._call
        return get_ident() in (call and call.thread_id, self._thread and self._thread.ident)

    def is_dispatch_thread(self) -> bool:
        """Return whether `dispatch` makes its calls in this thread."""
        return self._dispatch_thread_id == get_ident()

    # ---- closing

    def begin_closing(self, on_done: Callable[[], object]) -> CallbackCall | None:
        """Accept no more updates. Call `on_done` after the last one was shown. Return the present call."""
        with self._changed:
            if self.phase is RefresherPhase.OPEN:
                self.phase = RefresherPhase.CLOSING
            self._closers.append(on_done)
            self._notify()
            return self._call

    def skip_previews(self) -> tuple[CallbackCall | None, int]:
        """Skip the waiting previews. Return the present call, and how many previews were lost."""
        with self._changed:
            skipped = self.mailbox.skip_previews()
            self.lost += skipped
            self._notify()
            return self._call, skipped

    def make_calls_here(self, timeout_s: float) -> None:
        """Make the remaining calls in this thread, which `dispatch` serves. Give up if none comes for `timeout_s`."""
        while call := self._wait_for_offered_call(timeout_s):
            call.run()

    def abandon(self) -> bool:
        """Show nothing more. Return whether all had been shown."""
        with self._changed:
            if not self.is_idle:
                self.lost += self.mailbox.clear() + (self._call is not None)
                if self._call:
                    self._call.end()
            self.phase = RefresherPhase.CLOSED
            self._notify()
            return self.has_shown_all

    def _wait_for_offered_call(self, timeout_s: float) -> CallbackCall | None:
        def is_offered() -> bool:
            return self._call is not None and self._call.is_offered

        with self._changed:
            self._changed.wait_for(lambda: is_offered() or self.is_idle, timeout_s)
            return self._call if is_offered() else None

    def _notify(self) -> None:
        self._changed.notify_all()
        while self.is_idle and self._closers:
            with suppress(RuntimeError):  # the loop of an `aclose` was closed, so that it does not wait
                self._closers.pop()()

    # ---- the thread

    def _work(self) -> None:
        is_stream_over = False
        while (call := self._take(is_stream_over=is_stream_over)) is not None:
            is_stream_over = isinstance(call.update, StreamEnded)
            was_shown = False
            try:
                was_shown = self._perform(call)
            except BaseException:  # noqa: BLE001 - prepare, dispatch and callback are the caller's code
                was_shown = call.has_begun
                self._log_failure(call.update)
            finally:
                self._finish(call, was_shown=was_shown)
            del call  # the next update may be far away: keep no picture until then

    def _take(self, *, is_stream_over: bool) -> CallbackCall | None:
        """Wait for the next call. Return None if the thread can end; the next update then starts another thread."""
        with self._changed:
            while self.phase is not RefresherPhase.CLOSED:
                due = self.mailbox.take_due(self._clock())
                if due is None and (self.phase is not RefresherPhase.OPEN or is_stream_over):
                    break
                if not isinstance(due, float | None):
                    self._call = CallbackCall(due, self._log_failure)
                    return self._call
                self._changed.wait(due)
            self._thread = None
            return None

    def _perform(self, call: CallbackCall) -> bool:
        """Prepare and dispatch the call, and wait for it. Return whether the update was shown."""
        if self.is_async and not self.loop.can_await():
            return False
        arguments = (call.update, self._prepare(call.update)) if self._prepare else (call.update,)
        call.offer(partial(self._make_call, call.update, arguments))
        del arguments
        with self._changed:
            self._changed.notify_all()
        try:
            self._dispatch(call.run) if self._dispatch else call.run()
        except BaseException:
            if call.is_offered:
                raise
            self._log_failure(call.update)
        call.wait()
        if not isawaitable(call.answer):
            return call.has_begun
        self.is_async = True
        return self.loop.wait_for(call.answer, lambda: self.phase is RefresherPhase.CLOSED)

    def _make_call(self, update: Update, arguments: tuple[Any, ...]) -> object:
        """Call the callback, in the thread that `dispatch` chose."""
        with self._changed:
            self.shown += 1
            self._dispatch_thread_id = get_ident() if self._dispatch else None
            if isinstance(update, FrameAdded):
                self.mailbox.restart_interval(self._clock())
        return self._callback(*arguments)

    def _finish(self, call: CallbackCall, *, was_shown: bool) -> None:
        """Count the call, which was made or will never be made."""
        with self._changed:
            call.end()
            self.mailbox.skipped += not call.has_begun
            if self._call is call:
                self.lost += not was_shown and self.phase is not RefresherPhase.CLOSED
                self._call = None
                self._notify()
