"""Learn that the server of this process stops, from inside its application.

A server that stops waits for open responses, and an event stream has no end of its own. A mounted application receives
no message about it: the lifespan ends only after the last response.
- uvicorn sets `should_exit` of its server, whose method handles the signals of the process. It is read at intervals.
- hypercorn ends the task `raise_shutdown`, in its worker processes too.
Must not know: viewers, streams.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

_LOOK_S = 0.25  # between two looks at uvicorn: too short to be noticed at a stop
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def call_at_server_stop(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> Callable[[], None]:
    """Call `callback` once on `loop`, which runs, when its server stops. Return a function that ends this.

    It is never called for a server in another thread than the main one, which handles no signals, or for a server that
    is not known here.
    """
    watch = _ServerWatch(loop, callback)
    return watch.end


class _ServerWatch:
    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self._loop, self._callback = loop, callback
        self._timer = loop.call_later(_LOOK_S, self._look)
        self._tasks = [task for task in asyncio.all_tasks(loop) if _name(task) == "raise_shutdown"]
        for task in self._tasks:
            task.add_done_callback(self._report)

    def end(self) -> None:
        self._timer.cancel()
        for task in self._tasks:
            task.remove_done_callback(self._report)

    def _look(self) -> None:
        if _is_uvicorn_stopping():
            self._report()
        else:
            self._timer = self._loop.call_later(_LOOK_S, self._look)

    def _report(self, _task: object = None) -> None:
        self.end()
        self._callback()


def _is_uvicorn_stopping() -> bool:
    handlers = (signal.getsignal(number) for number in _SIGNALS)
    return any(getattr(getattr(handler, "__self__", None), "should_exit", False) is True for handler in handlers)


def _name(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__name__", "")
