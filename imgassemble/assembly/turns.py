"""Thread safety of an assembler: one thread at a time feeds it, and any thread can stop the reading of its stream.

Must not know: events, items, how a stream is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock, get_ident

from ..errors import UsageError


class Turn:
    """The right to feed an assembler or to close it. One call at a time has it, and each event takes it."""

    __slots__ = ("_acquire", "_is_locked", "listening_thread_id", "release")

    def __init__(self) -> None:
        lock = Lock()
        self._acquire, self._is_locked = partial(lock.acquire, blocking=False), lock.locked
        self.release: Callable[[], None] = lock.release  # returns the turn
        self.listening_thread_id: int | None = None  # of the thread whose listeners are called

    def take(self) -> None:
        """Take the turn. Raises UsageError if a call of this thread or of another one has it."""
        if self._acquire():
            return
        if self.listening_thread_id == get_ident():
            raise UsageError("a listener cannot feed or close its own assembler: do it after `feed()` has returned")
        raise UsageError("two threads feed one assembler at the same moment: give each stream its own Assembler")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note that the thread which has the turn calls listeners, until the block ends."""
        self.listening_thread_id = get_ident()
        try:
            yield
        finally:
            self.listening_thread_id = None

    @property
    def is_taken(self) -> bool:
        """Whether a call has the turn, with its listeners."""
        return self._is_locked()


class StopSignal:
    """The request to stop the reading of a stream, from any thread. `reason`: None until it is set."""

    __slots__ = ("_interrupts", "reason")

    def __init__(self) -> None:
        self.reason: str | None = None
        self._interrupts: dict[object, Callable[[], object]] = {}

    def set(self, reason: str) -> None:
        """Set the first reason, and interrupt the drivers that read."""
        if self.reason is None:
            self.reason = reason
        for interrupt in tuple(self._interrupts.values()):
            interrupt()

    @contextmanager
    def interrupting(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Call `interrupt` when the signal is set, or at once if it is; until the block ends."""
        key = object()
        self._interrupts[key] = interrupt
        try:
            if self.reason is not None:  # read after `interrupt` is registered, so that no signal is missed
                interrupt()
            yield
        finally:
            self._interrupts.pop(key, None)
