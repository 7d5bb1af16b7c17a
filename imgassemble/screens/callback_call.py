"""One call of a Refresher's callback: it is offered to the thread of the window, made once there, or abandoned.

Must not know: which update is shown next, event loops, closing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from threading import Event, Lock, get_ident
from typing import Any


class _Stage(Enum):
    """The stage of a call. Each stage follows the one above it; any may be followed by OVER."""

    NEW = auto()
    OFFERED = auto()  # the thread of the window may make it
    BEGUN = auto()
    OVER = auto()  # it returned, or will never be made


class CallbackCall:
    """One call of the callback for one update.

    on_failure: called with the update while the exception of the callback is handled.
    update: the update that it shows. answer: the callback's return value. has_begun: whether it was made.
    thread_id: the thread that is inside the callback.
    """

    def __init__(self, update: Any, on_failure: Callable[[Any], object]) -> None:
        self.update: Any = update
        self.answer: Any = None
        self.has_begun: bool = False
        self.thread_id: int | None = None
        self._on_failure = on_failure
        self._make: Callable[[], object] | None = None
        self._stage = _Stage.NEW
        self._lock = Lock()
        self._is_over = Event()

    @property
    def is_offered(self) -> bool:
        """Whether the thread of the window may make the call now."""
        return self._stage is _Stage.OFFERED

    def offer(self, make: Callable[[], object]) -> None:
        """Set the function that makes the call. It has no effect on an abandoned call."""
        with self._lock:
            if self._stage is _Stage.NEW:
                self._make, self._stage = make, _Stage.OFFERED

    def run(self) -> None:
        """Make the call in this thread. A second run does nothing, nor does that of an abandoned call."""
        with self._lock:
            make, self._make = self._make, None  # kept no longer, so that decoded pixels are freed at once
            if make is None or self._stage is not _Stage.OFFERED:
                return
            self._stage, self.has_begun, self.thread_id = _Stage.BEGUN, True, get_ident()
        try:
            self.answer = make()
        except Exception:  # noqa: BLE001 - the callback is the caller's code
            self._on_failure(self.update)
        finally:
            self.thread_id = None
            self.end()

    def end(self) -> None:
        """Mark the call as over. If it has not begun, it will never be made."""
        with self._lock:
            self._stage, self._make = _Stage.OVER, None
        self._is_over.set()

    def wait(self) -> None:
        """Wait until the call has returned or was abandoned."""
        self._is_over.wait()
