"""A gallery whose facts and frames are in Redis or Valkey, for producers and viewers in any number of processes.

Must not know: HTTP, how facts are read and frames are checked.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import Lock

from ...arguments import check_seconds, check_text
from ...assembly.assembler import Assembler
from ...assembly.updates import Update
from ...errors import SinkError, UsageError, quoted
from ...frames.frame import Frame
from ..changes import PageChange, is_name
from ..making import Making
from ..production import LEASE_S, RENEW_S
from ..watchers import Watchers
from .connecting import RedisError, check_url, connect
from .daemon_threads import DaemonThreads
from .frame_store import FrameStore
from .keys import GalleryKeys
from .producing import RedisProducers
from .reader import Reader
from .stored_gallery import remove_stream

_SYNC_S = 5.0  # for everything to be read once
_CATCH_UP_S = 2.0  # for the changes made before now


class RedisGallery:
    """A gallery on Redis or Valkey, with the interface of `Gallery`. Safe in any thread, event loop and process.

        gallery = RedisGallery("redis://localhost:6379/0")
        app.mount("/pictures", create_app(gallery, authorize=may_see))

    url: the address of the server: `redis://`, `rediss://` (TLS) or `unix://`, with name and password if it has some.
    name: identifies the gallery on the server: 1 to 64 letters, digits and `_.-`.
    keep_s: seconds for which a stream is kept after its last change, from 0.

    Nothing is connected before a method needs it. Each process has one thread that reads the changes, for any number
    of viewers; frames are loaded when a viewer asks. While the server cannot be reached, viewers keep what they have.
    It needs the extra `redis`. Raises UsageError for an argument of a wrong type or range.
    """

    def __init__(self, url: str, name: str = "pictures", keep_s: float = 3_600.0) -> None:
        check_url(url)
        check_text("name", name)
        check_seconds("keep_s", keep_s)
        self.is_closed: bool = False
        self._url, self._keys, self._keep_s = url, GalleryKeys(name), keep_s
        self._client = connect(url)
        self._producers = RedisProducers(url, self._keys, keep_s)
        self._lock = Lock()
        self._watchers = Watchers()
        self._parts: _Parts | None = None  # those of this process, once a method needs them
        _GALLERIES.add(self)

    def add(
        self,
        name: str,
        assembler: Assembler | None = None,
        *,
        title: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> Callable[[Update], None]:
        """Show a stream under `name` in all processes, and return the listener for its updates, as `Gallery.add` does.

        name, assembler, title, size: as for `Gallery.add`.

        Waits for the server until the name is taken. A thread sends the updates, so the stream never waits; what is
        left is sent when the program ends. Raises UsageError if a stream of this name is shown, and SinkError if the
        server does not answer for ten seconds.
        """
        self._check_open()
        return self._producers.add(name, assembler, title, size)

    def produce(
        self,
        name: str,
        *,
        title: str | None = None,
        size: tuple[int, int] | None = None,
        lease_s: float = LEASE_S,
        renew_s: float = RENEW_S,
    ) -> Making:
        """Return the making of a stream: one producer at a time in all processes, as `Gallery.produce` does.

        name, title, size: as for `Gallery.add`.
        lease_s, renew_s: the seconds after which another producer can take over from one that has stopped or does not
            reach the server, and those between two renewals.

        A producer that wakes up after another one has taken over gets StreamTakenError, and writes nothing. The stream
        waits for the server only once, after a response id has arrived: at most ten seconds. If the server does not get
        everything within 30 seconds after the end, `making.assemble` raises SinkError with the result.
        """
        self._check_open()
        return self._producers.produce(name, title, size, lease_s, renew_s)

    def stop(self, name: str) -> None:
        """End the reading of a stream that `produce` makes in any process, within about a second.

        Its producer gets its Result, which names the reason. Without a stream of this name, nothing happens. Raises
        SinkError if the server does not answer.
        """
        if is_name(name):
            with _as_sink_error("stopped", name):
                self._producers.stop(name)

    def remove(self, name: str) -> None:
        """Remove a stream and its facts in all processes. Without a stream of this name, nothing happens.

        Waits for the server. Raises SinkError if it does not answer, or does not allow it.
        """
        if not is_name(name):
            return
        with _as_sink_error("removed", name):
            remove_stream(self._client, self._keys, name)
        if not self.is_closed:
            with suppress(RedisError):
                self._synced().catch_up()

    def close(self) -> None:
        """End the event streams of all viewers of this process, and its connections. Streams stay as they are."""
        with self._lock:
            self.is_closed = True
            if self._parts is not None:
                self._parts.close()
        self._watchers.call()
        self._client.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the streams that are shown, the oldest first. Waits at most 5 s for the first answer."""
        reader = self._synced().reader
        with reader.lock:
            return reader.mirror.names

    def orphans(self) -> tuple[str, ...]:
        """Return the names of the streams that have not ended and whose producer has gone, the oldest first.

        It is known about two seconds after the lease of the producer has run out.
        """
        reader = self._synced().reader
        with reader.lock:
            return reader.mirror.orphans

    @property
    def now_s(self) -> float:
        """The present time of the server, in seconds since 1970: it is the same in all processes."""
        return round(time.time() + self._started().reader.clock_offset_s, 3)

    @property
    def n_malformed(self) -> int:
        """The number of entries in Redis that were no changes and were skipped by this process."""
        return self._started().reader.n_malformed

    @property
    def n_tampered(self) -> int:
        """The number of frames in Redis that differed from their facts and were not shown by this process."""
        return self._started().frames.n_tampered

    def changes(self, since: str = "") -> tuple[str, list[PageChange]]:
        """Return the present position, and the changes since another one, as `Gallery.changes` does.

        A position holds in all processes. Never waits: before the first answer of the server there are no changes.
        """
        reader = self._started().reader
        with reader.lock:
            return reader.mirror.position, reader.mirror.since(since)

    def is_known(self, position: str) -> bool:
        """Return whether `changes(position)` has no reset."""
        reader = self._started().reader
        with reader.lock:
            return reader.mirror.is_known(position)

    async def catch_up(self) -> None:
        """Wait until this process knows all changes that were made before this call, at most about 2 seconds."""
        with suppress(RedisError):
            await asyncio.shield(asyncio.wrap_future(self._started().catching_up()))

    def stream_of(self, key: str) -> str | None:
        """Return the name of the stream whose frames have this key in their address; None if there is none."""
        reader = self._started().reader
        with reader.lock:
            return reader.mirror.stream_of(key)

    def frame(self, key: str, number: int) -> Frame | None:
        """Return the frame with this number of the stream with this key; None if there is none.

        Waits for the server. In an event loop, `load_frame` does not block.
        """
        self._synced()
        loading = self._loading(key, number)
        return None if loading is None else loading.result()

    async def load_frame(self, key: str, number: int) -> Frame | None:
        """Return the frame as `frame(key, number)` does, without blocking the event loop."""
        loading = self._loading(key, number)
        if loading is None:
            await self.catch_up()
            loading = self._loading(key, number)
        return None if loading is None else await asyncio.wrap_future(loading)

    def watch(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` after each change, in a thread of the gallery. Return a function that ends this."""
        stop = self._watchers.add(callback)
        self._started()
        return stop

    def _check_open(self) -> None:
        if self.is_closed:
            raise UsageError("this gallery was closed: make a new RedisGallery")

    def _loading(self, key: str, number: int) -> Future[Frame | None] | None:
        parts = self._started()
        with parts.reader.lock:
            stored = parts.reader.mirror.stored_frame(key, number)
        return None if stored is None else parts.frames.load(stored)

    def _started(self) -> _Parts:
        """Return the reader and the frames of this process."""
        with self._lock:
            if self._parts is None:
                self._parts = _Parts(self._url, self._keys, self)
                if not self.is_closed:
                    self._parts.reader.start()
            return self._parts

    def _synced(self) -> _Parts:
        parts = self._started()
        parts.reader.wait_until_synced(0.0 if self.is_closed else _SYNC_S)
        return parts

    def _begin_in_child(self) -> None:
        """Begin again in a forked process, which has neither the threads nor the viewers of its parent."""
        self._lock = Lock()
        self._watchers.begin_in_child()
        self._parts = None


@contextmanager
def _as_sink_error(purpose: str, name: str) -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        sentence = f"the stream {quoted(name)} cannot be {purpose} on Redis: {type(error).__name__}: {error}"
        raise SinkError(sentence, path=None) from error


class _Parts:
    """The reader and the frames of one process."""

    def __init__(self, url: str, keys: GalleryKeys, gallery: RedisGallery) -> None:
        found = weakref.ref(gallery)  # the thread of the reader does not keep the gallery

        def call_watchers() -> None:
            if gallery := found():
                gallery._watchers.call()

        self.reader = Reader(url, keys, call_watchers)
        self.frames = FrameStore(url, keys, self.reader.lose_frame)
        self._lock = Lock()
        self._thread = DaemonThreads(1, "imgassemble-catch-up")
        self._latest: Future[None] | None = None
        weakref.finalize(gallery, self.close).atexit = False

    def catch_up(self) -> None:
        """Wait until the changes that any process made before now are known, at most for about 2 seconds."""
        self.reader.catch_up(_CATCH_UP_S)

    def catching_up(self) -> Future[None]:
        """Return a future of `catch_up`, for all that wait and have not asked the server yet."""
        with self._lock:
            if self._latest is None or self._latest.running() or self._latest.done():
                self._latest = self._thread.submit(self.catch_up)
            return self._latest

    def close(self) -> None:
        self.reader.stop()
        self.frames.close()
        self._thread.close()


# ---- after a fork

_GALLERIES: weakref.WeakSet[RedisGallery] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for gallery in _GALLERIES:
        gallery._begin_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
