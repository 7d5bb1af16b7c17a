"""What a screen shows of each item: its tile, and the picture on it.

Knows: which picture and which words are the truth after an update. Must not know: windows, terminals, threads.
Every screen shows the same tiles, so that a draft is called a draft everywhere, and a failure a failure.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import BoundedSemaphore
from typing import Any

from PIL import Image

from ..errors import FrameDecodeError, UsageError, clean, quoted
from ..frames import Frame
from ..lifecycle import State
from ..updates import FinalReady, FinalWithdrawn, FrameAdded, ItemEnded, StreamEnded

_TOP, _BOTTOM = (0xE8, 0xE8, 0xE8), (0xD4, 0xD4, 0xD4)  # of a placeholder
# So many pictures are decoded at once: Pillow lets go of the interpreter, but twenty threads that decode take turns on
# the processors with the event loop. With all of them its longest stall was 180 ms, so it is under 5.
_DECODING = BoundedSemaphore(max(1, (os.cpu_count() or 2) - 1))
_LONGEST_CAPTION = 200
_LEFT = "; only a draft is left"
# What the sentence of an item that is incomplete begins and ends with: a tile shows it by itself.
_INCOMPLETE, _KEPT = "the image {} is incomplete: ", "; its previews are kept, ask again for a result"


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


class Tiles:
    """The tiles of a stream, by item id, as far as a Refresher's updates tell."""

    def __init__(self) -> None:
        self._tiles: dict[str, Tile] = {}
        self._previews: dict[str, Frame] = {}  # what is left where a final is withdrawn, or never comes
        self._ends: dict[str, tuple[str, Exception | None]] = {}  # of items that have no final: what became of them

    def note(self, update: Any) -> None:
        """Remember the picture that `update` brought, in case a Refresher skips it: it may be the last one."""
        match update:
            case FrameAdded(item_id=item_id, frame=frame):
                known = self._previews.get(item_id)
                if known is None or (known.index or 0) <= (frame.index or 0):
                    self._previews[item_id] = frame

    def take(self, update: Any) -> Tile | None:
        """The tile that `update` changed; None where it changed nothing on a screen."""
        tile = self._changed(update)
        if tile is not None:
            self._tiles[tile.item_id] = tile
        return tile

    def _changed(self, update: Any) -> Tile | None:
        match update:
            case FrameAdded(is_latest=False):
                self.note(update)
            case FrameAdded(item_id=item_id, frame=frame):
                self.note(update)
                if item_id in self._ends:  # a late one does not make it begin again
                    return self._ended(item_id, *self._ends[item_id])
                number = "" if frame.index is None else f" {frame.index + 1:g}"
                return Tile(item_id=item_id, kind=Kind.PREVIEW, frame=frame, caption=f"preview{number}")
            case FinalReady(item_id=item_id, frame=frame, is_provisional=False):
                self._ends.pop(item_id, None)
                return Tile(item_id=item_id, kind=Kind.FINAL, frame=frame, caption="final")
            case FinalReady(item_id=item_id, frame=frame):
                self._ends.pop(item_id, None)
                caption = "draft: the last preview, for no final picture came"
                return Tile(item_id=item_id, kind=Kind.DRAFT, frame=frame, caption=caption)
            case FinalWithdrawn(item_id=item_id, error=error):
                return self._left(item_id, "withdrawn", error)
            case ItemEnded(item_id=item_id, state=State.FAILED | State.INCOMPLETE as state, error=error):
                return self._ended(item_id, str(state), error)
            case StreamEnded(outcome=outcome, error=error) if not self._tiles:
                return Tile(kind=Kind.FAILED, caption=_words(str(outcome).replace("_", " "), error))
        return None

    def _ended(self, item_id: str, what: str, error: Exception | None) -> Tile:
        self._ends[item_id] = what, error
        return self._left(item_id, what, error)

    def _left(self, item_id: str, what: str, error: Exception | None) -> Tile:
        """What is left of an item that has no final: its last preview, where one came, and that is called a draft."""
        frame = self._previews.get(item_id)
        reason = str(error or "").removeprefix(_INCOMPLETE.format(quoted(item_id))).removesuffix(_KEPT)
        if frame and what == State.INCOMPLETE:
            return Tile(item_id=item_id, kind=Kind.DRAFT, frame=frame, caption=_words("draft", reason))
        caption = _words(what, reason, _LEFT if frame else "")
        return Tile(item_id=item_id, kind=Kind.FAILED, frame=frame, caption=caption)


def _words(what: str, reason: object, rest: str = "") -> str:
    return clean(f"{what}: {reason}" if reason else what, _LONGEST_CAPTION - len(rest)) + rest


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
        self._tiles = Tiles()
        self._painted: dict[str, tuple[Image.Image, Frame | None]] = {}

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
        try:
            with _DECODING:
                image, frame = paint(tile, self._size), tile.frame
        except FrameDecodeError:
            image, frame = self._painted.get(tile.item_id) or (placeholder(self._size), None)
            tile = replace(tile, caption=f"{tile.caption}; it cannot be decoded")
        self._painted[tile.item_id] = image, frame
        return Shown(tile=tile, image=image, frame=frame)


def paint(tile: Tile, size: tuple[int, int]) -> Image.Image:
    """The picture of a tile, at most `size`; a tile without a frame is a placeholder of exactly that size.

    Raises FrameDecodeError where the frame cannot be decoded.
    """
    if tile.frame is None:
        return placeholder(size)
    image = tile.frame.preview(size)
    try:
        image.load()  # where the picture is smaller than asked, it is not yet
    except Exception as cause:  # as for a frame: Pillow raises what it meets
        raise FrameDecodeError(f"the pixels cannot be decoded: {cause}", index=tile.frame.index) from cause
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
