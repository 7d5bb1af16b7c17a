"""Thread safety of an assembler: one thread at a time feeds it, and any thread can stop the reading of its stream.

Must not know: events, items, how a stream is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, get_ident

from ..errors import UsageError


class Turn:
    """The right to feed an assembler or to close it. One call at a time has it."""

    __slots__ = ("_lock", "_thread_id")

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread_id: int | None = None  # of the thread that took the turn last

    def take(self) -> None:
        """Take the turn. Raises UsageError if a call of this thread or of another one has it."""
        if self._lock.acquire(blocking=False):
            self._thread_id = get_ident()
        elif self._thread_id == get_ident():
            raise UsageError("a listener cannot feed or close its own assembler: do it after `feed()` has returned")
        else:
            raise UsageError("two threads feed one assembler at the same moment: give each stream its own Assembler")

    def release(self) -> None:
        """Return the turn."""
        self._lock.release()

    @property
    def is_taken(self) -> bool:
        """Whether a call has the turn, with its listeners."""
        return self._lock.locked()


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
