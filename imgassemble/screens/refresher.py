"""A listener that shows updates in a thread of its own, so that a slow screen never holds up the stream.

Knows: in which thread or loop a callback runs, and when. Must not know: events, pixels, widgets; what is shown next is
the mailbox's to say. The thread takes one update at a time out of it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate, isawaitable, iscoroutine, iscoroutinefunction
from threading import TIMEOUT_MAX, Condition, Event, Thread, get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, get_args

from ..assembly.assembler import check_listener, log_failure
from ..assembly.updates import FrameAdded, StreamEnded, Update
from ..errors import UsageError
from .mailbox import Mailbox, Policy

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

_log = logging.getLogger("imgassemble")
_LOOK_S = 0.1  # so often a loop is looked at while a callback is awaited on it: nobody tells when a loop stops
_NO_LOOP = "a coroutine callback needs its event loop: make the Refresher inside a coroutine, or feed from one"
_STOPPED = "the event loop of a Refresher's callback stopped or cancelled it: nothing is shown while it stands still"


class _Loop:
    """The event loop of a coroutine callback: the one that ran when the Refresher was made, or when an update came."""

    def __init__(self) -> None:
        self._loop = running_loop()
        self._task: Task[Any] | None = None
        self._has_ended = self._is_said = False

    def is_known(self) -> bool:
        self._loop = self._loop or running_loop()
        return self._loop is not None

    def is_here(self) -> bool:
        return self._loop is not None and self._loop is running_loop()

    def is_running(self) -> bool:
        """Can a callback be awaited? Where it cannot, that is logged once."""
        if self._loop and self._loop.is_running() and not self._has_ended:
            return True
        self._say(_STOPPED if self._loop else _NO_LOOP)
        return False

    def awaits(self, task: Task[Any] | None) -> bool:
        """Is this the task of the callback that is being awaited?"""
        return task is not None and task is self._task

    def finish(self, answer: Any, has_given_up: Callable[[], bool]) -> None:
        """Wait until the loop has awaited `answer`, or never will. What it raises is raised."""
        from asyncio import run_coroutine_threadsafe
        from concurrent.futures import CancelledError

        coroutine, done = self._await(answer), Event()
        if has_given_up() or not self.is_running() or self._loop is None:
            _discard(coroutine, answer)
            return
        future = run_coroutine_threadsafe(coroutine, self._loop)
        future.add_done_callback(lambda _: done.set())
        while not done.wait(_LOOK_S):
            if has_given_up() or not self.is_running():
                self._has_ended = True
                if not self._loop.is_closed():
                    future.cancel()
                if not self._loop.is_running():
                    _discard(coroutine, answer)
                return
        try:
            future.result()
        except CancelledError:
            if not self._has_ended:
                raise

    async def _await(self, answer: Any) -> None:
        from asyncio import CancelledError, current_task

        self._task = task = current_task()
        try:
            await answer
        except CancelledError:
            if task and task.cancelling() and not self._has_ended:  # a loop that ends cancels its tasks
                self._has_ended = True
                self._say(_STOPPED)
            raise
        finally:
            self._task = None

    def _say(self, sentence: str) -> None:
        if not self._is_said:
            self._is_said = True
            _log.warning(sentence)


@dataclass(slots=True, eq=False)
class _Call:
    """One call of the callback, from when its update was taken."""

    update: Update
    run: Callable[[], None] | None = None  # makes it; None while it is being prepared
    answer: Any = None
    has_begun: bool = False
    is_settled: bool = False  # it has run, or it never will
    has_run: Event = field(default_factory=Event)


class Refresher:
    """A listener that has `callback` called with what a screen should show, and never holds up the stream.

    callback: called with the update, one call at a time, in a thread of the Refresher's own. A coroutine function (or
        one that returns an awaitable) is awaited on the loop on which the Refresher was made or an update came.
    policy: "latest" shows of each item the newest preview only: a slow screen skips. "all" shows every partial.
    min_interval_s: two previews begin at least so many seconds apart. With "latest" nothing else waits for it; with
        "all" what was told after a preview comes after it.
    dispatch: takes a function and has it called where the window lives: `loop.call_soon_threadsafe`, a Qt signal's
        `emit`, the `put` of a queue that Tk polls. At most one function waits there.
    prepare: called with the update in the Refresher's own thread, to decode it; what it gives is the callback's second
        argument.
    clock: gives the seconds for `min_interval_s`. One that is set by hand is asked again when `wake()` is called.

    Shown are FrameAdded, FinalReady, FinalWithdrawn, ItemEnded and StreamEnded. Finals, withdrawals and ends are owed:
    they are shown, in the order told. With "latest" they wait for the call under way and for nothing else: a preview
    that waits when its item's final is told is skipped, and where an item or the stream ends without a final, the last
    preview comes before the end, at once. With "all" they come after every preview that was told before them. Memory is
    bounded: above 4,096 waiting updates "all" skips the oldest previews, and where a stream replaces finals and ends
    forever, either policy skips those which a later one of the same item supersedes.

    Whatever raises is logged, and the rest is shown. Several streams may feed one Refresher, at once or in turn; items
    of the same id are taken for one. Leaving its `with` block (`async with` on an event loop) closes it, with ten
    seconds for the previews that wait. Raises UsageError for arguments that cannot work.
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
        for name, function in (("dispatch", dispatch or _at_once), ("prepare", prepare or _at_once), ("clock", clock)):
            _check_function(name, function)
        self._callback, self._prepare, self._dispatch = callback, prepare, dispatch or _at_once
        self._clock = clock
        self._mailbox = Mailbox(policy, min_interval_s)
        self._needs_loop = self._is_async = _is_async(callback)  # what it is may turn out from its answers
        self._loop = _Loop()
        self._shown = self._settled = self._missed = 0  # calls that were begun, that are over; what closing passed over
        self._changed = Condition()  # guards what is here above and below
        self._thread: Thread | None = None
        self._call: _Call | None = None  # the one under way
        self._caller: int | None = None  # the thread that the callback keeps busy
        self._home: int | None = None  # the thread that `dispatch` serves
        self._has_ended = self._is_closed = self._has_given_up = self._is_said = False
        self._waiters: list[Callable[[], object]] = []

    def __call__(self, update: Update) -> None:
        """Have `update` shown; returns at once. Raises UsageError for a coroutine callback that has no event loop."""
        if not self._mailbox.wants(update):
            return
        with self._changed:
            if self._is_closed:
                self._mailbox.skipped += 1
                return
            if not self._loop.is_known() and self._needs_loop:
                raise UsageError(_NO_LOOP)
            self._mailbox.put(update)
            if self._thread is None:
                thread = Thread(target=self._work, name="imgassemble-refresh", daemon=True)
                thread.start()
                self._thread = thread
            self._changed.notify_all()

    @property
    def shown(self) -> int:
        """How many calls of the callback were made, those that raised included."""
        return self._shown

    @property
    def skipped(self) -> int:
        """How many updates were not shown: superseded, passed over after a failure, or too late."""
        return self._mailbox.skipped

    def wake(self) -> None:
        """Have the clock asked again, where it does not run by itself."""
        with self._changed:
            self._changed.notify_all()

    def close(self, timeout_s: float = 10.0) -> bool:
        """Wait until all has been shown; True if it was, False, with a warning in the log, if something is missing.

        After `timeout_s` seconds the previews that wait are skipped, and what is owed is shown, last: it is waited for
        while the callback returns. A call that lasts `timeout_s` seconds by itself is given up, with all behind it.
        Updates that come afterwards are passed over. Called by the callback itself it waits for nothing, and what
        waits is still shown. The thread that `dispatch` serves would wait for itself: there, the previews that wait
        are skipped at once, and the calls that are owed are made here.
        Raises UsageError on the event loop of a coroutine callback, and on any event loop where there is a `dispatch`,
        which may serve that loop: use `async with`, or `await refresher.aclose()`.
        """
        _check_seconds("timeout_s", timeout_s)
        self._check_place()
        settled = Event()
        self._end(settled.set)
        if self._is_inside():
            return self._has_shown_all()
        calls: int | None = self._settled
        if self._home == get_ident():
            self._show_here(timeout_s)
        else:
            while calls is not None and not settled.wait(timeout_s):
                calls = self._hurry(calls)
        return self._give_up()

    async def aclose(self, timeout_s: float = 10.0) -> bool:
        """The async twin of `close()`; it holds up no event loop, and may be called on any."""
        import asyncio

        _check_seconds("timeout_s", timeout_s)
        settled = asyncio.Event()
        self._end(partial(asyncio.get_running_loop().call_soon_threadsafe, settled.set))
        if self._is_inside() or self._loop.awaits(asyncio.current_task()):
            return self._has_shown_all()
        calls: int | None = self._settled
        while calls is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(settled.wait(), timeout_s)
                break
            calls = self._hurry(calls)
        return self._give_up()

    def __enter__(self) -> Refresher:
        self._check_place()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Refresher:
        self._loop.is_known()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Refresher of {len(self._mailbox)} waiting updates, {self.shown} shown, {self.skipped} skipped>"

    def _check_place(self) -> None:
        is_on_loop = self._loop.is_here() if self._is_async else self._dispatch is not _at_once and running_loop()
        if is_on_loop and not self._is_inside() and not (self._is_closed and self._is_settled()):
            raise UsageError(
                "leaving or closing it here would hold up this event loop, and wait for a callback that waits for it: "
                "use `async with refresher`, or `await refresher.aclose()`"
            )

    def _is_inside(self) -> bool:
        return get_ident() in (self._caller, self._thread and self._thread.ident)

    def _is_settled(self) -> bool:
        return self._has_given_up or (self._call is None and not self._mailbox)

    def _has_shown_all(self) -> bool:
        return not self._missed and not self._mailbox

    def _end(self, tell: Callable[[], object]) -> None:
        """Take no more updates; `tell` when the last has been shown."""
        with self._changed:
            self._is_closed = True
            self._waiters.append(tell)
            self._tell_waiters()

    def _tell_waiters(self) -> None:
        self._changed.notify_all()
        while self._is_settled() and self._waiters:
            with suppress(RuntimeError):  # its loop was closed: nobody waits any more
                self._waiters.pop()()

    def _hurry(self, calls: int) -> int | None:
        """Time is up: skip the previews that wait. How many calls are over; None where that is no more than `calls`."""
        with self._changed:
            skipped = self._mailbox.skip_previews()
            self._missed += skipped
            self._tell_waiters()
            return self._settled if self._settled > calls or (skipped and self._call is None) else None

    def _show_here(self, timeout_s: float) -> None:
        """Make the calls that are owed in this thread, which `dispatch` serves."""
        self._hurry(self._settled)
        while run := self._next_here(timeout_s):
            run()

    def _next_here(self, timeout_s: float) -> Callable[[], None] | None:
        def waits() -> bool:
            return self._call is not None and self._call.run is not None and not self._call.has_begun

        with self._changed:
            self._changed.wait_for(lambda: waits() or self._is_settled(), timeout_s)
            return self._call.run if self._call and waits() else None

    def _give_up(self) -> bool:
        """Pass over what has not been shown, and say what is missing. True where nothing is."""
        with self._changed:
            if not self._is_settled():
                self._missed += len(self._mailbox) + (self._call is not None)
                self._has_given_up = True
                self._mailbox.clear()
                if self._call:
                    self._call.has_run.set()
                self._tell_waiters()
            is_news, self._is_said = self._missed > 0 and not self._is_said, True
        if is_news:
            _log.warning("a Refresher was closed before all was shown: %d updates are given up", self._missed)
        return self._has_shown_all()

    def _work(self) -> None:
        while self._show_next():
            pass

    def _show_next(self) -> bool:
        call = self._take()
        if call is None:
            return False
        try:
            self._show(call)
        except BaseException:  # noqa: BLE001 - prepare, dispatch and callback are somebody else's code
            log_failure(call.update)
        finally:
            self._settle(call)
        return True

    def _take(self) -> _Call | None:
        """The next call to make; None where the thread can end: the next update starts another."""
        with self._changed:
            while not self._has_given_up:
                due = self._mailbox.next(self._clock())
                if due is None and (self._is_closed or self._has_ended):
                    break
                if not isinstance(due, float | None):
                    self._call, self._has_ended = _Call(due), isinstance(due, StreamEnded)
                    return self._call
                self._changed.wait(due)
            self._thread = None
            return None

    def _show(self, call: _Call) -> None:
        if self._is_async and not self._loop.is_running():
            return
        arguments = (call.update, self._prepare(call.update)) if self._prepare else (call.update,)
        run = partial(self._run, call, arguments)
        with self._changed:
            call.run = run
            self._changed.notify_all()
        try:
            self._dispatch(run)
        except BaseException:
            if not call.has_begun:
                raise
            log_failure(call.update)
        call.has_run.wait()
        if not call.is_settled and isawaitable(call.answer):
            self._is_async = True
            self._loop.finish(call.answer, lambda: self._has_given_up)

    def _run(self, call: _Call, arguments: tuple[Any, ...]) -> None:
        """Make the call, in the thread where it belongs; once, and not where it was given up."""
        with self._changed:
            if call.has_begun or call.is_settled or self._has_given_up:
                return
            call.has_begun = True
            self._shown += 1
            self._caller = get_ident()
            self._home = None if self._dispatch is _at_once else self._caller
            if isinstance(call.update, FrameAdded):
                self._mailbox.began(self._clock())
        try:
            call.answer = self._callback(*arguments)
        except Exception:  # noqa: BLE001 - a listener is somebody else's code
            log_failure(call.update)
        finally:
            self._caller = None
            if not isawaitable(call.answer):
                self._settle(call)
            call.has_run.set()

    def _settle(self, call: _Call) -> None:
        """The call has been made, or it never will be."""
        with self._changed:
            call.run = None  # it holds the call, and what was decoded for it would wait for the collector of cycles
            if not call.is_settled:
                call.is_settled = True
                self._settled += 1
                self._mailbox.skipped += not call.has_begun
                self._call = None
                self._tell_waiters()


def _at_once(function: Callable[[], object]) -> None:
    function()


def _discard(*answers: Any) -> None:
    """Close the coroutines that nobody will begin: Python would warn of them."""
    for each in answers:
        if iscoroutine(each) and getcoroutinestate(each) == CORO_CREATED:
            each.close()


def running_loop() -> AbstractEventLoop | None:
    """The event loop that runs in this thread. Where nobody has imported asyncio, none does."""
    asyncio = sys.modules.get("asyncio")
    with suppress(RuntimeError, AttributeError):  # none runs; or it is being imported just now
        return asyncio.get_running_loop() if asyncio else None
    return None


def _is_async(function: object) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def _check_function(name: str, value: object) -> None:
    if not callable(value):
        raise UsageError(f"{name} is a function, and {type(value).__name__} cannot be called")
    if _is_async(value):
        raise UsageError(f"{name} is a plain function: only the callback may be a coroutine function")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= TIMEOUT_MAX:
        raise UsageError(f"{name} is a number of seconds, 0 or more and no more than a thread can wait, not {value!r}")
