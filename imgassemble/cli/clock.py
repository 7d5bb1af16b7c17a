"""A clock at the bottom of the terminal: it counts the seconds of a command while nothing comes.

It is on standard error, and only if that is a terminal. Must not know: how a stream is read, pictures.
"""

from __future__ import annotations

import sys
from threading import Lock
from time import monotonic
from typing import Self

from ..assembly.updates import FinalReady, FrameAdded, StateChanged, Update
from ..console import is_terminal, show_passing
from ..screens.stopwatch import Stopwatch, Ticker

_QUIET_S = 0.9  # without an update; a screen prints in this time, and the clock would be in its line
_FIRST, _NEXT, _END = "the first preview", "the next picture", "the end of the stream"


class Clock:
    """A listener that shows the seconds in its `with` block, if standard error is a terminal.

    is_shown: False if something else shows the seconds.
    """

    def __init__(self, *, is_shown: bool = True) -> None:
        self._lock = Lock()
        self._is_shown = is_shown and is_terminal(sys.stderr)
        self._stopwatch = Stopwatch()
        self._ticker = Ticker(self._stopwatch, self._tick)
        self._awaited = _FIRST
        self._update_s = monotonic()

    def __enter__(self) -> Self:
        if self._is_shown:
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ticker.stop()
        with self._lock:
            self._is_shown = False
        show_passing("")

    def __call__(self, update: Update) -> None:
        """Note the event that the command waits for after `update`, and remove the seconds from the line."""
        self._stopwatch.note(update)
        match update:
            case FrameAdded():
                self._awaited = _NEXT
            case FinalReady():
                self._awaited = _END
            case StateChanged(state=state) if self._awaited == _END and not state.is_end:  # of another image
                self._awaited = _NEXT
        with self._lock:  # a tick that has begun shows the seconds first
            self._update_s = monotonic()
            if self._is_shown:
                show_passing("")

    def _tick(self) -> None:
        with self._lock:
            if self._is_shown and monotonic() - self._update_s > _QUIET_S:
                show_passing(f"{int(self._stopwatch.seconds):7} s  waiting for {self._awaited}")
