"""Counts the seconds while a screen waits for a stream, so that it shows that it is alive although no event comes.

Must not know: how the seconds are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from time import monotonic

from ..assembly.updates import StreamEnded


class Stopwatch:
    """The seconds since a screen was shown, or since the first update after the end of a stream.

    clock: returns seconds, as `time.monotonic` does.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._start_s: float | None = None
        self.is_running: bool = False

    def start(self) -> None:
        """Count from now, unless it counts already."""
        if not self.is_running:
            self._start_s, self.is_running = self._clock(), True

    def note(self, update: object) -> None:
        """Start with an update, and stop with the end of a stream."""
        if isinstance(update, StreamEnded):
            self.is_running = False
        else:
            self.start()

    @property
    def seconds(self) -> float:
        """The seconds since the start; 0 before it."""
        return 0.0 if self._start_s is None else self._clock() - self._start_s


class Ticker:
    """A thread that calls `tick` about once a second while a stopwatch runs."""

    def __init__(self, stopwatch: Stopwatch, tick: Callable[[], object]) -> None:
        self._stopwatch, self._tick = stopwatch, tick
        self._is_stopped = Event()

    def start(self) -> None:
        """Start the stopwatch and the thread."""
        self._stopwatch.start()
        Thread(target=self._run, name="imgassemble-seconds", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._is_stopped.set()

    def _run(self) -> None:
        while not self._is_stopped.wait(1.0):
            if self._stopwatch.is_running:
                self._tick()
