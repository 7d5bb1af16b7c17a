"""Run functions in a few threads for which the program does not wait at its end.

`concurrent.futures` waits for its threads: a server that hangs would hold up the end of the program.
Must not know: the functions that it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads:
    """Up to `n_threads` threads; each starts when a function needs it. Safe in any thread."""

    def __init__(self, n_threads: int, name: str) -> None:
        self._n_threads, self._name = n_threads, name
        self._lock = Lock()
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._n_started = self._n_open = 0
        self._is_closed = False

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `function(*args, **kwargs)` in a thread, and return its result as a future.

        After `close()` each function has a thread of its own.
        """
        future: Future[T] = Future()
        call = partial(_run, future, partial(function, *args, **kwargs))
        with self._lock:
            if self._is_closed:
                Thread(target=call, name=self._name, daemon=True).start()
                return future
            self._n_open += 1
            if self._n_started < min(self._n_open, self._n_threads):
                self._n_started += 1
                Thread(target=self._work, name=self._name, daemon=True).start()
            self._queue.put(call)
        return future

    def close(self) -> None:
        """End the threads once they have run everything."""
        with self._lock:
            self._is_closed = True
        for _ in range(self._n_threads):
            self._queue.put(None)

    def _work(self) -> None:
        while call := self._queue.get():
            call()
            del call  # it holds the result
            with self._lock:
                self._n_open -= 1


def _run(future: Future[T], function: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - it is raised by `future.result()`
        future.set_exception(error)
