"""What a screen shows of each item: its tile, and the picture on it.

Knows: which picture and which words are the truth after an update. Must not know: windows, terminals, threads.
Every screen shows the same tiles, so that a draft is called a draft everywhere, and a failure a failure.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import BoundedSemaphore, RLock
from typing import Any

from PIL import Image

from ..assembly.updates import FinalReady, FinalWithdrawn, FrameAdded, ItemEnded, StreamEnded
from ..errors import FrameDecodeError, UsageError, clean, quoted
from ..frames.frame import Frame
from ..states import State

_TOP, _BOTTOM = (0xE8, 0xE8, 0xE8), (0xD4, 0xD4, 0xD4)  # of a placeholder
# So many pictures are decoded at once: Pillow lets go of the interpreter, but twenty threads that decode take turns on
# the processors with the event loop. With all of them its longest stall was 180 ms, so it is under 5.
_DECODING = BoundedSemaphore(max(1, (os.cpu_count() or 2) - 1))
LONGEST_CAPTION = 200
_LEFT = "; only a draft is left"
# What the sentence of an item that is incomplete begins and ends with: a tile shows it by itself.
_INCOMPLETE, _KEPT = "the image {} is incomplete: ", "; its previews are kept, ask again for a result"
# So much is remembered: forty results of 1024x1024, which is more than are made at once. An item counts for as much as
# its frames and some objects, so that there is an end to small ones too.
_MOST_BYTES, _ITEM_BYTES = 64 * 2**20, 2_000


class Kind(StrEnum):
    """What is on a tile."""

    WAITING = "waiting"
    PREVIEW = "preview"
    FINAL = "final"
    DRAFT = "draft"  # the last preview, and no final will come
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """What is to be shown of one item. `item_id` is "" for a stream that has named none yet.

    `frame`: its picture, None before the first. `caption`: one line that says what it is.
    """

    item_id: str = ""
    kind: Kind = Kind.WAITING
    frame: Frame | None = None
    caption: str = "waiting for the first preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What may be needed again of an item, as it was received: pixels are made again."""

    preview: Frame | None = None  # what is left where a final is withdrawn, or never comes
    painted: Frame | None = None  # what is shown where a later one cannot be decoded
    end: tuple[str, str] | None = None  # what became of it, and why, where it has no final

    @property
    def size_bytes(self) -> int:
        buffers = {id(frame.data): len(frame.data) for frame in (self.preview, self.painted) if frame}
        return _ITEM_BYTES + sum(buffers.values())


class Memory:
    """The past of the items that changed last, by item id; any thread may ask and tell.

    It does not grow with their number: beyond 64 MiB the oldest go. Where one of those changes once more, only what
    comes then is known of it.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._pasts: dict[str, Past] = {}  # the newest last
        self._bytes = 0

    def __getitem__(self, item_id: str) -> Past:
        with self._lock:
            return self._pasts.get(item_id) or Past()

    def note(self, item_id: str, preview: Frame) -> None:
        """Remember a preview, where it is not before the one that is known."""
        with self._lock:
            known = self[item_id].preview
            if known is None or (known.index or 0) <= (preview.index or 0):
                self.keep(item_id, preview=preview)

    def keep(self, item_id: str, **news: Any) -> None:
        """Remember `news`, which are fields of its past."""
        with self._lock:
            before = self._pasts.pop(item_id, None)
            self._pasts[item_id] = past = replace(before or Past(), **news)
            self._bytes += past.size_bytes - (before.size_bytes if before else 0)
            while self._bytes > _MOST_BYTES and len(self._pasts) > 1:
                self._bytes -= self._pasts.pop(next(iter(self._pasts))).size_bytes


class Tiles:
    """The tiles of a stream, by item id, as far as a Refresher's updates tell."""

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory or Memory()
        self._has_items = False

    def note(self, update: Any) -> None:
        """Remember the picture that `update` brought, in case a Refresher skips it: it may be the last one."""
        match update:
            case FrameAdded(item_id=item_id, frame=frame):
                self._memory.note(item_id, frame)

    def take(self, update: Any) -> Tile | None:
        """The tile that `update` changed; None where it changed nothing on a screen."""
        tile = self._changed(update)
        self._has_items = self._has_items or tile is not None
        return tile

    def _changed(self, update: Any) -> Tile | None:
        match update:
            case FrameAdded(is_latest=False):
                self.note(update)
            case FrameAdded(item_id=item_id, frame=frame):
                self.note(update)
                if end := self._memory[item_id].end:  # a late one does not make it begin again
                    return self._left(item_id, *end)
                number = "" if frame.index is None else f" {frame.index + 1:g}"
                return Tile(item_id=item_id, kind=Kind.PREVIEW, frame=frame, caption=f"preview{number}")
            case FinalReady(item_id=item_id, frame=frame, is_provisional=False):
                self._memory.keep(item_id, end=None)
                return Tile(item_id=item_id, kind=Kind.FINAL, frame=frame, caption="final")
            case FinalReady(item_id=item_id, frame=frame):
                self._memory.keep(item_id, end=None)
                caption = "draft: the last preview, for no final picture came"
                return Tile(item_id=item_id, kind=Kind.DRAFT, frame=frame, caption=caption)
            case FinalWithdrawn(item_id=item_id, error=error):
                return self._left(item_id, "withdrawn", _reason(item_id, error))
            case ItemEnded(item_id=item_id, state=State.FAILED | State.INCOMPLETE as state, error=error):
                end = str(state), _reason(item_id, error)
                self._memory.keep(item_id, end=end)
                return self._left(item_id, *end)
            case StreamEnded(outcome=outcome, error=error) if not self._has_items:
                return Tile(kind=Kind.FAILED, caption=_words(str(outcome).replace("_", " "), error))
        return None

    def _left(self, item_id: str, what: str, reason: str) -> Tile:
        """What is left of an item that has no final: its last preview, where one came, and that is called a draft."""
        frame = self._memory[item_id].preview
        if frame and what == State.INCOMPLETE:
            return Tile(item_id=item_id, kind=Kind.DRAFT, frame=frame, caption=_words("draft", reason))
        caption = _words(what, reason, _LEFT if frame else "")
        return Tile(item_id=item_id, kind=Kind.FAILED, frame=frame, caption=caption)


def _reason(item_id: str, error: Exception | None) -> str:
    """Why an item has no final; not the error itself, which holds all that the service said."""
    return str(error or "").removeprefix(_INCOMPLETE.format(quoted(item_id))).removesuffix(_KEPT)


def _words(what: str, reason: object, rest: str = "") -> str:
    return clean(f"{what}: {reason}" if reason else what, LONGEST_CAPTION - len(rest)) + rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A tile, painted: `image` is RGB or RGBA, as large as fits.

    `frame`: the one that `image` shows, None for a placeholder. It is an older one than the tile's where that cannot be
    decoded.
    """

    tile: Tile
    image: Image.Image
    frame: Frame | None = None


class Painter:
    """Paints the tile that an update changed: what a Refresher is to `prepare`, in its own thread.

    size: (width, height) in pixels, at most; a picture's aspect is kept.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._memory = Memory()
        self._tiles = Tiles(self._memory)

    def note(self, update: Any) -> None:
        """Hear of every update when it comes, in any thread: of one that is skipped the picture may be needed."""
        self._tiles.note(update)

    def __call__(self, update: Any) -> Shown | None:
        """The painted tile; None where `update` changes nothing on a screen.

        A picture that cannot be decoded leaves the one before it, and the caption says so.
        """
        tile = self._tiles.take(update)
        if tile is None:
            return None
        image, frame = self._painted(tile)
        if frame is not tile.frame:
            tile = replace(tile, caption=f"{tile.caption}; it cannot be decoded")
        self._memory.keep(tile.item_id, painted=frame)
        return Shown(tile=tile, image=image, frame=frame)

    def _painted(self, tile: Tile) -> tuple[Image.Image, Frame | None]:
        """The picture of a tile and its frame, or those before it."""
        past = self._memory[tile.item_id]
        for frame in (tile.frame, past.painted or past.preview):
            with suppress(FrameDecodeError), _DECODING:
                return paint(replace(tile, frame=frame), self._size), frame
        return placeholder(self._size), None


def paint(tile: Tile, size: tuple[int, int]) -> Image.Image:
    """The picture of a tile, at most `size`; a tile without a frame is a placeholder of exactly that size.

    Raises FrameDecodeError where the frame cannot be decoded.
    """
    if tile.frame is None:
        return placeholder(size)
    image = tile.frame.thumbnail(size)
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGBA" if image.has_transparency_data else "RGB")


def placeholder(size: tuple[int, int]) -> Image.Image:
    """A quiet picture of `size` = (width, height) in pixels, to stand where one will come."""
    top_and_bottom = Image.new("RGB", (1, 2), _TOP)
    top_and_bottom.putpixel((0, 1), _BOTTOM)
    return top_and_bottom.resize(size, Image.Resampling.BILINEAR)


def check_size(size: object) -> None:
    """Raise UsageError for what is no (width, height) in pixels."""
    sides = size if isinstance(size, (tuple, list)) else ()
    if len(sides) != 2 or not all(map(is_count, sides)):
        raise UsageError(f"size is (width, height) in pixels, each at least 1, not {size!r}")


def is_count(value: object) -> bool:
    """Is it a whole number from 1?"""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def fitted(aspect: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """The largest (width, height) with this aspect that fits into `room`, at least (1, 1)."""
    scale = min(room[0] / aspect[0], room[1] / aspect[1])
    return max(1, round(aspect[0] * scale)), max(1, round(aspect[1] * scale))
