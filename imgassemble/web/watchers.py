"""The callables of the viewers of a gallery, which are called after each change.

Must not know: changes, streams, event loops.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class Watchers:
    """Callables to call after each change. Safe in any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._callbacks: dict[object, Callable[[], object]] = {}

    def __len__(self) -> int:
        return len(self._callbacks)

    def add(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` after each change, in the thread that made it. Return a function that ends this."""
        key = object()

        def stop() -> None:
            with self._lock:
                self._callbacks.pop(key, None)

        with self._lock:
            self._callbacks[key] = callback
        return stop

    def call(self) -> None:
        """Call all of them."""
        with self._lock:
            callbacks = tuple(self._callbacks.values())
        for callback in callbacks:
            callback()

    def begin_in_child(self) -> None:
        """Begin again in a forked process, which has no viewers yet, and no thread that releases the lock."""
        self._lock = Lock()
        self._callbacks.clear()
