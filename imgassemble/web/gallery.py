"""A gallery in one process: producers and viewers in any number of threads.

Feeding threads add updates; server threads read them. A timer removes a stream that has been kept long enough, even
if no thread asks.
Must not know: HTTP, event loops, which viewer may see a stream, the bounds of the streams (`local_streams`).
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock, Timer

from ..arguments import check_count, check_function, check_seconds
from ..assembly.assembler import Assembler, updates_so_far
from ..assembly.updates import Update
from ..errors import UsageError
from ..frames.frame import Frame
from .changes import PageChange
from .local_production import LocalProduction, MadeStream
from .local_streams import LocalStreams
from .making import Making
from .production import LEASE_S, RENEW_S, check_added, check_lease, check_shown_as
from .shown_streams import ShownStream
from .watchers import Watchers


class Gallery:
    """The streams that viewers see, each under its name with its items and frames. Safe in any thread.

        gallery = Gallery()
        result = assemble(stream, on_update=gallery.add("an otter"))

    keep_s: seconds for which a stream that has ended is kept, from 0; `float("inf")` keeps it until `remove()`.
    max_bytes: all frames together, from 1. Above it the oldest previews are removed, but never the newest picture of an
        item; if that is not enough, the streams that ended first are removed.
    max_streams: from 1; above it the streams that ended first are removed.
    clock: returns seconds, as `time.monotonic` does.

    A process that is forked has a copy of its own, with its own viewers: neither process sees the later streams of the
    other. Raises UsageError for an argument of a wrong type or range.
    """

    def __init__(
        self,
        *,
        keep_s: float = 3_600.0,
        max_bytes: int = 256 * 2**20,
        max_streams: int = 1_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_seconds("keep_s", keep_s)
        check_count("max_bytes", max_bytes)
        check_count("max_streams", max_streams)
        check_function("clock", clock)
        self.is_closed: bool = False
        self._watchers = Watchers()
        self._lock = Lock()  # guards all attributes below
        self._streams = LocalStreams(keep_s, max_bytes, max_streams, clock)
        self._timers: list[Timer] = []  # at most one: for the stream that ended first
        weakref.finalize(self, _cancel, self._timers).atexit = False
        with _FORKING:
            _GALLERIES.add(self)

    def add(
        self,
        name: str,
        assembler: Assembler | None = None,
        *,
        title: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> Callable[[Update], None]:
        """Show a stream under `name`, and return the listener for its updates.

        name: identifies the stream here, and for `authorize`.
        assembler: the listener is subscribed to it, and the items that it holds already are shown at once, also if it
            is closed. Of a stream that had begun before, the page shows no seconds.
        title: the words that the page shows for the stream; None shows the name.
        size: the requested (width, height) in pixels, so that a tile has its shape before the first frame.
        Raises UsageError if a stream of this name is shown, if max_streams are shown that have not ended, after
        `close()`, and for an argument of a wrong type.
        """
        check_shown_as(name, title, size)
        check_added(assembler)
        with self._lock:
            self._check_open()
            stream = self._streams.add(name, title, size)
            listener = self._listener_of(stream)
            if assembler is not None:
                assembler.subscribe(listener)  # it waits for the lock, so it continues after the following
                self._streams.catch_up(stream, updates_so_far(assembler))
            self._prune()
        self._watchers.call()
        return listener

    def produce(
        self,
        name: str,
        *,
        title: str | None = None,
        size: tuple[int, int] | None = None,
        lease_s: float = LEASE_S,
        renew_s: float = RENEW_S,
    ) -> Making:
        """Return the making of a stream: one producer at a time, which goes on where an earlier one stopped.

        name, title, size: as for `add`.
        lease_s, renew_s: the seconds after which another producer may take over from one that has stopped, and those
            between two renewals. Only a gallery with a server needs them: here all producers are in one process.

            with gallery.produce("otter", size=(1024, 1024)) as making:
                result = making.assemble(lambda cursor: client.open(after=cursor.sequence_number))

        Raises UsageError for an argument of a wrong type or range. Entering the block raises StreamTakenError if
        another producer makes the stream, and UsageError if a stream of this name was added by `add`.
        """
        check_shown_as(name, title, size)
        check_lease(lease_s, renew_s)
        return Making(LocalProduction(self, name, title, size))

    def stop(self, name: str) -> None:
        """End the reading of a stream that `produce` makes; its Result names the reason. Without one, nothing happens.

        A stream that was added by `add` is stopped by `assembler.stop()`.
        """
        with self._lock:
            producer = self._streams.producer_of(name)
        if producer is not None:
            producer.stop()

    def orphans(self) -> tuple[str, ...]:
        """Return the names of the streams whose producer has gone before their end; `produce` continues them."""
        with self._lock:
            return self._streams.orphans

    def remove(self, name: str) -> None:
        """Remove a stream and its frames. Without a stream of this name, nothing happens."""
        with self._lock:
            self._streams.remove(name)
        self._watchers.call()

    def close(self) -> None:
        """End the event streams of all viewers, for a server in a thread, which receives no signal. `add` then raises.

        Call it before you stop the server. A server that uvicorn or hypercorn runs in the main thread of its
        process needs no call: the event streams end when it stops.
        """
        with self._lock:
            self.is_closed = True
            _cancel(self._timers)
        self._watchers.call()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the streams that are shown, the oldest first."""
        with self._lock:
            self._prune()
            return self._streams.names

    @property
    def now_s(self) -> float:
        """The seconds since the gallery was made, by its clock."""
        return self._streams.now_s

    def changes(self, since: str = "") -> tuple[str, list[PageChange]]:
        """Return the present position, and the changes since another one ("": everything that is shown).

        An item that has changed many times is in it once, as it is now: a slow viewer skips the changes between.
        Removals come first, then streams, frames and items, each in the order of the changes. If the changes since that
        position are not known, the first change has the kind "reset", and everything that is shown follows.
        """
        with self._lock:
            self._prune()
            return self._streams.log.position, self._streams.log.since(since)

    def is_known(self, position: str) -> bool:
        """Return whether `changes(position)` has no reset."""
        with self._lock:
            return self._streams.log.is_known(position)

    async def catch_up(self) -> None:
        """Do nothing: all changes are known here. A gallery on Redis waits for those of other processes."""

    def stream_of(self, key: str) -> str | None:
        """Return the name of the stream whose frames have this key in their address; None if there is none."""
        with self._lock:
            self._prune()
            return self._streams.name_of(key)

    def frame(self, key: str, number: int) -> Frame | None:
        """Return the frame with this number of the stream with this key; None if there is none."""
        with self._lock:
            self._prune()
            return self._streams.frame(key, number)

    async def load_frame(self, key: str, number: int) -> Frame | None:
        """Return the frame as `frame(key, number)` does."""
        return self.frame(key, number)

    def watch(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` after each change, in the thread that made it. Return a function that ends this."""
        return self._watchers.add(callback)

    def _check_open(self) -> None:
        if self.is_closed:
            raise UsageError("this gallery was closed: make a new Gallery")

    def _listener_of(self, stream: ShownStream) -> Callable[[Update], None]:
        def listen(update: Update) -> None:
            with self._lock:
                if not self._streams.take(stream, update):
                    return  # it was removed
                self._prune()
            self._watchers.call()

        return listen

    # ---- producing: called by LocalProduction

    def _claim_stream(self, production: LocalProduction) -> MadeStream:
        """Give the stream to a producer. Raises StreamTakenError if another one has it."""
        with self._lock:
            if not self._streams.is_made(production.name):
                self._check_open()
            made = self._streams.claim(production)
            self._prune()
        self._watchers.call()
        return made

    def _show_stream(self, production: LocalProduction, assembler: Assembler) -> None:
        """Show what `assembler` holds under the name of the stream, and each later update."""

        def updates(stream: ShownStream) -> Iterable[Update]:
            assembler.subscribe(self._listener_of(stream))  # before the look at what it holds, so that none is missed
            return updates_so_far(assembler)

        with self._lock:
            if not self._streams.succeed(production, updates):
                return  # it was removed
            self._prune()
        self._watchers.call()

    def _release_stream(self, production: LocalProduction) -> None:
        """Take the stream from its producer. Without an end, it is an orphan."""
        with self._lock:
            if not self._streams.release(production):
                return
            self._prune()
        self._watchers.call()

    # ---- removing

    def _prune(self) -> None:
        """Remove what exceeds the bounds now, and set the timer for the stream whose time comes next."""
        self._streams.prune()
        wait_s = self._streams.next_removal_s
        if wait_s is not None and not (self._timers or self.is_closed):
            self._wake_after(wait_s)

    def _wake_after(self, seconds: float) -> None:
        """Prune after so many seconds. The timer keeps neither the gallery nor the process alive."""
        gallery = weakref.ref(self)

        def wake() -> None:
            if found := gallery():
                found._wake()

        timer = Timer(seconds, wake)
        timer.daemon = True
        with suppress(RuntimeError):  # no thread can be started: the next call of a method prunes
            timer.start()
            self._timers.append(timer)

    def _wake(self) -> None:
        with self._lock:
            self._timers.clear()
            self._prune()
        self._watchers.call()

    def _begin_in_child(self) -> None:
        """Begin again in a forked process, which has neither the timer nor the viewers of its parent."""
        self._lock = Lock()
        self._streams.log.begin_in_child()
        self._timers.clear()
        self._watchers.begin_in_child()
        self._prune()


# ---- after a fork

_GALLERIES: weakref.WeakSet[Gallery] = weakref.WeakSet()
_FORKING = Lock()
_FORKED: list[Gallery] = []  # those whose lock is held during a fork, so that the child gets no half-made change


def _before_fork() -> None:
    _FORKING.acquire()
    _FORKED[:] = _GALLERIES
    for gallery in _FORKED:
        gallery._lock.acquire()


def _after_fork_in_parent() -> None:
    for gallery in _FORKED:
        gallery._lock.release()
    _FORKED.clear()
    _FORKING.release()


def _after_fork_in_child() -> None:
    for gallery in _FORKED:
        gallery._begin_in_child()
    _FORKED.clear()
    _FORKING.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _cancel(timers: list[Timer]) -> None:
    for timer in timers:
        timer.cancel()
