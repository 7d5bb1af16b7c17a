"""Make the small pictures of the page: each once, in one thread, however many viewers ask.

A preview of 1.5 MB is about 15 KB as a small picture. The original is for enlarging and saving.
Must not know: HTTP, galleries, which viewer may see a picture.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import RLock, Thread
from typing import NamedTuple

from ..errors import ImgassembleError
from ..frames.containers import has_animation
from ..frames.frame import Frame

SMALL_SIZE = (512, 512)  # the longest sides in pixels: a tile is at most 400 wide, and a phone has 2 or 3 to one
_MOST_BYTES = 32 * 2**20  # about two thousand small pictures
_SMALL_BYTES = 24 * 1024  # a frame that is not larger is sent as it is


class ServedPicture(NamedTuple):
    """The bytes of a picture and their media type."""

    data: bytes
    mime_type: str


def make_small(frame: Frame) -> ServedPicture:
    """Return a frame as a small WebP. An animation, and a frame that Pillow cannot decode, is returned as it is."""
    if len(frame.data) > _SMALL_BYTES and not has_animation(frame.data, frame.format):
        try:
            data = frame.encode(SMALL_SIZE, "WEBP")
        except (ImgassembleError, MemoryError):  # the browser may be able to show it: a drawing, for example
            return as_it_is(frame)
        if len(data) < len(frame.data):
            return ServedPicture(data, "image/webp")
    return as_it_is(frame)


def as_it_is(frame: Frame) -> ServedPicture:
    """Return a frame as it was received."""
    return ServedPicture(frame.data, frame.mime_type)


@dataclass(slots=True, eq=False)
class _Making:
    """A small picture that is made, or waits for it. `waiters`: the number of requests that wait for it."""

    frame: Frame
    picture: Future[ServedPicture] = field(default_factory=Future)
    waiters: int = 0


class SmallPictures:
    """The small pictures of frames, the last used ones kept. Safe in any event loop.

    max_bytes: those of all pictures that are kept.
    make: returns the small picture of a frame; called in the thread.
    """

    def __init__(self, max_bytes: int = _MOST_BYTES, make: Callable[[Frame], ServedPicture] = make_small) -> None:
        self._max_bytes, self._make = max_bytes, make
        self._n_bytes = 0
        self._lock = RLock()
        self._made: OrderedDict[str, ServedPicture] = OrderedDict()  # by address, the last used one at the end
        self._making: dict[str, _Making] = {}  # by address
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread()  # not started

    async def of(self, address: str, frame: Frame) -> ServedPicture:
        """Return the small picture of the frame at `address`.

        It is made once, however many requests wait for it, and not at all if none of them waits any more.
        """
        with self._lock:
            if made := self._made.get(address):
                self._made.move_to_end(address)
                return made
            if not self._thread.is_alive():
                try:
                    self._start_thread()
                except RuntimeError:  # the system allows no more threads
                    return as_it_is(frame)
            making = self._making.get(address) or self._begin(address, frame)
            making.waiters += 1
        try:
            return await asyncio.shield(asyncio.wrap_future(making.picture))  # a request that leaves cancels no other
        finally:
            with self._lock:
                making.waiters -= 1
                if not making.waiters:
                    making.picture.cancel()  # without effect if it is being made

    def _start_thread(self) -> None:
        """Start the thread: at the first request, and at the first one in a forked process.

        One thread is enough. Pillow releases the interpreter lock, and more threads would compete with the event loop.
        The program does not wait for it at its end, and it ends with this object.
        """
        self._making.clear()
        queue = self._queue = SimpleQueue()
        self._thread = Thread(target=_work, args=(queue,), name="imgassemble-small", daemon=True)
        self._thread.start()
        weakref.finalize(self, queue.put, None).atexit = False

    def _begin(self, address: str, frame: Frame) -> _Making:
        making, make = _Making(frame), self._make
        making.picture.add_done_callback(lambda picture: self._keep(address, picture))
        self._making[address] = making
        self._queue.put(lambda: _finish(making, make))
        return making

    def _keep(self, address: str, picture: Future[ServedPicture]) -> None:
        with self._lock:
            self._making.pop(address, None)
            if picture.cancelled() or picture.exception():
                return
            made = self._made[address] = picture.result()
            self._n_bytes += len(made.data)
            while self._n_bytes > self._max_bytes and len(self._made) > 1:
                _, oldest = self._made.popitem(last=False)
                self._n_bytes -= len(oldest.data)


def _work(queue: SimpleQueue[Callable[[], None] | None]) -> None:
    while call := queue.get():
        call()
        del call  # it holds a frame


def _finish(making: _Making, make: Callable[[Frame], ServedPicture]) -> None:
    if not making.picture.set_running_or_notify_cancel():
        return
    try:
        picture = make(making.frame)
    except BaseException as error:  # noqa: BLE001 - it is raised in the requests
        making.picture.set_exception(error)
    else:
        making.picture.set_result(picture)
