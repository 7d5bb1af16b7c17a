"""Make the small pictures of the page: each once, in one thread, however many viewers ask.

A preview of 1.5 MB is about 15 KB as a small picture. The original is for enlarging and saving.
Must not know: HTTP, galleries, which viewer may see a picture.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from ..errors import ImgassembleError
from ..frames.frame import Frame

SMALL_SIZE = (512, 512)  # the longest sides in pixels: a tile is at most 400 wide, and a phone has 2 or 3 to one
_MOST_BYTES = 32 * 2**20  # about two thousand small pictures
_SMALL_BYTES = 24 * 1024  # a frame that is not larger is sent as it is


class ServedPicture(NamedTuple):
    """The bytes of a picture and their media type."""

    data: bytes
    mime_type: str


class SmallPictures:
    """The small pictures of frames, the last used ones kept. Safe in any event loop."""

    def __init__(self, max_bytes: int = _MOST_BYTES) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._made: OrderedDict[str, ServedPicture] = OrderedDict()  # by address, the last used one at the end
        self._making: dict[str, Future[ServedPicture]] = {}
        # One thread: Pillow releases the interpreter lock, and more of them would compete with the event loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="imgassemble-small")

    async def of(self, address: str, frame: Frame) -> ServedPicture:
        """Return the small picture of the frame at `address`: a WebP, or the frame itself if that is small enough.

        A drawing, an animation, and a picture that cannot be decoded are returned as they are.
        """
        if address in self._made:
            self._made.move_to_end(address)
            return self._made[address]
        if address not in self._making:
            self._making[address] = self._thread.submit(_small, frame)
        making = self._making[address]
        picture = await asyncio.shield(asyncio.wrap_future(making))  # other viewers wait for it, too
        if self._making.pop(address, None) is making:
            self._keep(address, picture)
        return picture

    def _keep(self, address: str, picture: ServedPicture) -> None:
        self._made[address] = picture
        self._n_bytes += len(picture.data)
        while self._n_bytes > self._max_bytes and len(self._made) > 1:
            _, oldest = self._made.popitem(last=False)
            self._n_bytes -= len(oldest.data)


def _small(frame: Frame) -> ServedPicture:
    original = ServedPicture(frame.data, frame.mime_type)
    if frame.format in ("SVG", "GIF") or len(frame.data) <= _SMALL_BYTES:
        return original
    try:
        data = frame.encode(SMALL_SIZE, "WEBP")
    except ImgassembleError:  # the browser may be able to show it
        return original
    return ServedPicture(data, "image/webp") if len(data) < len(frame.data) else original
