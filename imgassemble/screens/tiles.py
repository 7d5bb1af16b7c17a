"""The tiles that every screen shows: for each item a picture and a caption.

All screens share them, so that a draft is called a draft everywhere, and a failure a failure.
Must not know: windows, terminals, threads.
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

_TOP, _BOTTOM = (0xE8, 0xE8, 0xE8), (0xD4, 0xD4, 0xD4)  # colours of a placeholder
# The number of pictures that are decoded at once. Pillow releases the interpreter lock, but twenty decoding threads
# compete with the event loop for the processors: its longest stall was 180 ms without this limit, and under 5 with it.
_DECODING = BoundedSemaphore(max(1, (os.cpu_count() or 2) - 1))
LONGEST_CAPTION = 200  # characters
_ONLY_DRAFT = "; only a draft is left"
UNDECODABLE_NOTE = "; it cannot be decoded"
DRAWING_NOTE = "; an SVG drawing is not shown here: save it and open it in a browser"
# The beginning and the end of the error sentence of an incomplete item, which a tile does not repeat.
_INCOMPLETE, _KEPT = "the image {} is incomplete: ", "; its previews are kept"
# The memory for received frames: forty results of 1024x1024, more than are made at once. Each item counts for its
# frames and for some objects, so that many small items are bounded too.
_MOST_BYTES, _ITEM_BYTES = 64 * 2**20, 2_000


class Kind(StrEnum):
    """The kind of picture on a tile."""

    WAITING = "waiting"
    """No picture yet."""
    PREVIEW = "preview"
    """A preview; the item goes on."""
    FINAL = "final"
    """The result."""
    DRAFT = "draft"
    """The last preview of an item that gets no result."""
    FAILED = "failed"
    """The item or the stream failed; the tile may hold the last preview."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """The present picture and caption of one item."""

    item_id: str = ""
    """The item's id; "" for a stream that has named no item yet."""
    kind: Kind = Kind.WAITING
    """The kind of picture."""
    frame: Frame | None = None
    """The item's picture; None before the first one."""
    caption: str = "waiting for the first preview"
    """One line of at most 200 characters that says what the picture is, or what went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierFrames:
    """The frames of an item that may be shown again. They are kept as received, and decoded again."""

    preview: Frame | None = None  # shown if a final is withdrawn or never arrives
    painted: Frame | None = None  # shown if a later frame cannot be decoded
    end: tuple[str, str] | None = None  # the state and the reason of an end without a final

    @property
    def size_bytes(self) -> int:
        buffers = {id(frame.data): len(frame.data) for frame in (self.preview, self.painted) if frame}
        return _ITEM_BYTES + sum(buffers.values())


class EarlierFramesOfItems:
    """The earlier frames of the items that changed last, by item id. Any thread may use it.

    Above 64 MiB, the items whose last change is the oldest are dropped. A dropped item that changes again starts empty.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._by_item: dict[str, EarlierFrames] = {}  # the newest last
        self._bytes = 0

    def __getitem__(self, item_id: str) -> EarlierFrames:
        with self._lock:
            return self._by_item.get(item_id) or EarlierFrames()

    def keep_preview(self, item_id: str, preview: Frame) -> None:
        """Keep a preview, unless a later one is known."""
        with self._lock:
            known = self[item_id].preview
            if known is None or (known.index or 0) <= (preview.index or 0):
                self.keep(item_id, preview=preview)

    def keep(self, item_id: str, **fields: Any) -> None:
        """Set these fields of an item's EarlierFrames."""
        with self._lock:
            before = self._by_item.pop(item_id, None)
            self._by_item[item_id] = known = replace(before or EarlierFrames(), **fields)
            self._bytes += known.size_bytes - (before.size_bytes if before else 0)
            while self._bytes > _MOST_BYTES and len(self._by_item) > 1:
                self._bytes -= self._by_item.pop(next(iter(self._by_item))).size_bytes


class Tiles:
    """The tiles of a stream, computed from the updates that a Refresher passes on."""

    def __init__(self, earlier: EarlierFramesOfItems | None = None) -> None:
        self._earlier = earlier or EarlierFramesOfItems()
        self._has_items = False

    def remember_picture(self, update: Any) -> None:
        """Remember the picture of `update`. A Refresher may skip the update, but its picture may be the last one."""
        match update:
            case FrameAdded(item_id=item_id, frame=frame):
                self._earlier.keep_preview(item_id, frame)

    def take(self, update: Any) -> Tile | None:
        """Return the tile that `update` changed, or None if it changed no tile."""
        tile = self._changed_tile(update)
        self._has_items = self._has_items or tile is not None
        return tile

    def _changed_tile(self, update: Any) -> Tile | None:
        match update:
            case FrameAdded(is_latest=False):
                self.remember_picture(update)
            case FrameAdded(item_id=item_id, frame=frame):
                self.remember_picture(update)
                if end := self._earlier[item_id].end:  # a late preview does not reopen an item
                    return self._tile_without_final(item_id, *end)
                number = "" if frame.index is None else f" {frame.index + 1:g}"
                return Tile(item_id=item_id, kind=Kind.PREVIEW, frame=frame, caption=f"preview{number}")
            case FinalReady(item_id=item_id, frame=frame, is_provisional=False):
                self._earlier.keep(item_id, end=None)
                return Tile(item_id=item_id, kind=Kind.FINAL, frame=frame, caption="final")
            case FinalReady(item_id=item_id, frame=frame):
                self._earlier.keep(item_id, end=None)
                caption = "draft: the last preview, because no final picture came"
                return Tile(item_id=item_id, kind=Kind.DRAFT, frame=frame, caption=caption)
            case FinalWithdrawn(item_id=item_id, error=error):
                return self._tile_without_final(item_id, "withdrawn", _reason(item_id, error))
            case ItemEnded(item_id=item_id, state=State.FAILED | State.INCOMPLETE as state, error=error):
                end = str(state), _reason(item_id, error)
                self._earlier.keep(item_id, end=end)
                return self._tile_without_final(item_id, *end)
            case StreamEnded(outcome=outcome, error=error) if not self._has_items:
                return Tile(kind=Kind.FAILED, caption=_sentence(str(outcome).replace("_", " "), error))
        return None

    def _tile_without_final(self, item_id: str, end: str, reason: str) -> Tile:
        """Return the tile of an item that ended without a final: its last preview, which is called a draft."""
        frame = self._earlier[item_id].preview
        if frame and end == State.INCOMPLETE:
            return Tile(item_id=item_id, kind=Kind.DRAFT, frame=frame, caption=_sentence("draft", reason))
        caption = _sentence(end, reason, _ONLY_DRAFT if frame else "")
        return Tile(item_id=item_id, kind=Kind.FAILED, frame=frame, caption=caption)


def _reason(item_id: str, error: Exception | None) -> str:
    """Return why an item has no final, without the parts of the sentence that every tile would repeat."""
    return str(error or "").removeprefix(_INCOMPLETE.format(quoted(item_id))).partition(_KEPT)[0]


def _sentence(end: str, reason: object, ending: str = "") -> str:
    return clean(f"{end}: {reason}" if reason else end, LONGEST_CAPTION - len(ending)) + ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A painted tile: the argument of the `show` of LoopScreen and of an own screen."""

    tile: Tile
    """The item, the kind of its picture, and the caption."""
    image: Image.Image
    """The picture in pixels, mode RGB or RGBA, no larger than the screen's `size`; or a placeholder."""
    frame: Frame | None = None
    """The frame that `image` shows; None for a placeholder. It is older than `tile.frame` if that is damaged."""


class Painter:
    """Paints the tile that an update changed. Use it as the `prepare` of a Refresher, which calls it in its thread.

    size: (width, height) in pixels, each from 1: the largest picture. The aspect of a picture is kept.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        check_size(size)
        self._size = size
        self._earlier = EarlierFramesOfItems()
        self._tiles = Tiles(self._earlier)

    def note(self, update: Any) -> None:
        """Remember the picture of `update`. Call this with each update when it arrives, from any thread.

        A Refresher may skip the update, but its picture may be needed later.
        """
        self._tiles.remember_picture(update)

    def __call__(self, update: Any) -> Shown | None:
        """Return the painted tile, or None if `update` changes no tile.

        A picture that cannot be decoded leaves the one before it, and an SVG drawing, which has no pixels, gives a
        placeholder. The caption then says so.
        """
        tile = self._tiles.take(update)
        if tile is None:
            return None
        image, frame = self._paint(tile)
        if frame is not tile.frame:
            tile = append_note(tile, DRAWING_NOTE if is_drawing(tile.frame) else UNDECODABLE_NOTE)
        self._earlier.keep(tile.item_id, painted=frame)
        return Shown(tile=tile, image=image, frame=frame)

    def _paint(self, tile: Tile) -> tuple[Image.Image, Frame | None]:
        """Return the picture of a tile and its frame, or an earlier frame of the item, or a placeholder."""
        if is_drawing(tile.frame):
            return make_placeholder(self._size), None
        known = self._earlier[tile.item_id]
        for frame in (tile.frame, known.painted or known.preview):
            with suppress(FrameDecodeError), _DECODING:
                return paint_tile(replace(tile, frame=frame), self._size), frame
        return make_placeholder(self._size), None


def append_note(tile: Tile, note: str) -> Tile:
    """Return the tile with `note` at the end of its caption, which stays within its longest length."""
    return replace(tile, caption=clean(tile.caption, LONGEST_CAPTION - len(note)) + note)


def is_drawing(frame: Frame | None) -> bool:
    """Return whether `frame` is an SVG drawing, which has no pixels and may have no size."""
    return frame is not None and frame.format == "SVG"


def paint_tile(tile: Tile, size: tuple[int, int]) -> Image.Image:
    """Return the picture of a tile, at most `size`; for a tile without a frame a placeholder of exactly that size.

    Raises FrameDecodeError if the frame cannot be decoded.
    """
    if tile.frame is None:
        return make_placeholder(size)
    image = tile.frame.thumbnail(size)
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGBA" if image.has_transparency_data else "RGB")


def make_placeholder(size: tuple[int, int]) -> Image.Image:
    """Return a plain grey picture of `size` = (width, height) in pixels, mode RGB, to show before the first picture."""
    top_and_bottom = Image.new("RGB", (1, 2), _TOP)
    top_and_bottom.putpixel((0, 1), _BOTTOM)
    return top_and_bottom.resize(size, Image.Resampling.BILINEAR)


def check_size(size: object) -> None:
    """Raise UsageError unless `size` is (width, height) in pixels, each from 1."""
    sides = size if isinstance(size, (tuple, list)) else ()
    if len(sides) != 2 or not all(map(is_count, sides)):
        raise UsageError(f"size is (width, height) in pixels, each at least 1, not {size!r}")


def is_count(value: object) -> bool:
    """Return whether `value` is a whole number from 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def fit_into(aspect: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (width, height) with this aspect that fits into `room`, at least (1, 1)."""
    scale = min(room[0] / aspect[0], room[1] / aspect[1])
    return max(1, round(aspect[0] * scale)), max(1, round(aspect[1] * scale))
