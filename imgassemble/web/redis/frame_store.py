"""Load frames from Redis when a viewer asks: each once for all viewers of a process, and checked.

The bytes are untrusted: they count only with the length, the SHA-256, the format and the size that their fact has.
Must not know: viewers, event loops, how facts arrive.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from hashlib import sha256
from threading import Lock

from ...errors import quoted
from ...frames.binary import HeaderError
from ...frames.containers import read_header
from ...frames.frame import Frame
from ...limits import Limits
from .connecting import RedisError, ResponseError, connect
from .daemon_threads import DaemonThreads
from .entries import StoredFrame
from .keys import GalleryKeys

_log = logging.getLogger("imgassemble")

_MOST_BYTES = 64 * 2**20  # about forty results of 1024x1024
_THREADS = 4  # frames that are loaded at once; the others wait
_LONGEST_WAIT_S = 20.0  # for a server that hangs or starts again
_PAUSE_S = 0.2  # before the next attempt
_OTHER_TYPE = "WRONGTYPE"  # the key of the frame holds no bytes


class FrameStore:
    """The frames that viewers of this process have asked for, the last used ones kept. Safe in any thread.

    on_lost: called with a frame whose bytes are gone or are other ones, in any thread.
    max_bytes: those of the frames that are kept, from 1.
    """

    def __init__(
        self,
        url: str,
        keys: GalleryKeys,
        on_lost: Callable[[StoredFrame], object] = list,
        max_bytes: int = _MOST_BYTES,
    ) -> None:
        self._client, self._on_lost = connect(url), on_lost
        self._keys, self._max_bytes = keys, max_bytes
        self._lock = Lock()
        self._loaded: OrderedDict[str, bytes] = OrderedDict()  # by SHA-256, the last used one at the end
        self._n_bytes = 0
        self._loading: dict[str, Future[bytes | None]] = {}
        self._threads = DaemonThreads(_THREADS, "imgassemble-frames")
        self._is_closed = False
        self.n_tampered: int = 0

    def load(self, stored: StoredFrame) -> Future[Frame | None]:
        """Return the frame as a future. Its result is None if Redis has no bytes for it, or has other ones."""
        with self._lock:
            if stored.sha256 in self._loaded:
                self._loaded.move_to_end(stored.sha256)
                loading: Future[bytes | None] = Future()
                loading.set_result(self._loaded[stored.sha256])
            elif stored.sha256 in self._loading:
                loading = self._loading[stored.sha256]
            else:
                loading = self._loading[stored.sha256] = self._threads.submit(self._fetch, stored)
        found: Future[Frame | None] = Future()
        found.set_running_or_notify_cancel()  # a viewer that leaves does not cancel it
        loading.add_done_callback(lambda done: found.set_result(_frame_of(stored, done)))
        return found

    def close(self) -> None:
        """End the threads and the connections, once all frames are loaded."""
        self._is_closed = True
        self._threads.close()
        self._client.close()

    def _fetch(self, stored: StoredFrame) -> bytes | None:
        data = None
        try:
            data = self._ask_for(stored)
            if data and (flaw := _flaw(data, stored)):
                self._note_tampered(stored, flaw)
                data = b""
            if data == b"":
                self._on_lost(stored)
                data = None
        finally:
            self._finish(stored.sha256, data)
        return data

    def _ask_for(self, stored: StoredFrame) -> bytes | None:
        """Return the bytes, b"" if there are none, or None if the server does not answer.

        Of a value that is too long, only one byte more than expected is read.
        """
        until = time.monotonic() + _LONGEST_WAIT_S
        while True:
            try:
                data: bytes = self._client.getrange(self._keys.frame(stored.sha256), 0, stored.n_bytes)
                return data
            except RedisError as error:
                if isinstance(error, ResponseError) and str(error).startswith(_OTHER_TYPE):
                    return b""
                if self._is_closed or time.monotonic() >= until:
                    _log.warning("a frame cannot be read from Redis: %s: %s", type(error).__name__, error)
                    return None
                time.sleep(_PAUSE_S)

    def _finish(self, sha256: str, data: bytes | None) -> None:
        with self._lock:
            del self._loading[sha256]
            if data is None:
                return
            self._loaded[sha256] = data
            self._n_bytes += len(data)
            while self._n_bytes > self._max_bytes and len(self._loaded) > 1:
                _, oldest = self._loaded.popitem(last=False)
                self._n_bytes -= len(oldest)

    def _note_tampered(self, stored: StoredFrame, flaw: str) -> None:
        self.n_tampered += 1
        if self.n_tampered == 1:
            advice = "it is not shown (the first one is logged, all are counted in n_tampered)"
            _log.warning("a frame of the stream %s in Redis %s; %s", quoted(stored.stream), flaw, advice)


def _frame_of(stored: StoredFrame, loading: Future[bytes | None]) -> Frame | None:
    data = None if loading.cancelled() or loading.exception() else loading.result()
    return None if data is None else replace(stored.frame, data=data)


def _flaw(data: bytes, stored: StoredFrame) -> str | None:
    """Return how `data` differs from its fact; None if it does not."""
    if len(data) != stored.n_bytes:
        return "has another length"
    if sha256(data).hexdigest() != stored.sha256:
        return "has another SHA-256"
    try:
        header = read_header(data)
    except HeaderError as error:
        return str(error)
    if (header.format, header.size) != (stored.frame.format, stored.frame.size):
        return "has another format or size"
    width, height = header.size or (0, 0)
    return "has too many pixels" if width * height > Limits().max_frame_pixels else None
