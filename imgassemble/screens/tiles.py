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
from typing import Any, NamedTuple

from PIL import Image

from ..assembly.updates import FinalReady, FinalWithdrawn, FrameAdded, ItemEnded, Outcome, StateChanged, StreamEnded
from ..assembly.wording import DRAFT_CAPTION, describe_state, name_preview, reason_of_item, reason_of_stream
from ..errors import FrameDecodeError, ImgassembleError, ProviderError, UsageError, clean, is_blocked
from ..frames.frame import Frame
from ..states import State

_TOP, _BOTTOM = (0xE8, 0xE8, 0xE8), (0xD4, 0xD4, 0xD4)  # colours of a placeholder
# The number of pictures that are decoded at once. Pillow releases the interpreter lock, but twenty decoding threads
# compete with the event loop for the processors: its longest stall was 180 ms without this limit, and under 5 with it.
_DECODING = BoundedSemaphore(max(1, (os.cpu_count() or 2) - 1))
LONGEST_CAPTION = 200  # characters
_ONLY_DRAFT = "; only a draft is left"
_HIDDEN = "; its previews are hidden"
# The places of the tiles of a stream itself. No item has these ids: those of items have no control characters.
WAITING_STREAM, FAILED_STREAM = "", "\0"
UNDECODABLE_NOTE = "; it cannot be decoded"
DRAWING_NOTE = "; an SVG drawing is not shown here: save it and open it in a browser"
# The memory for received frames: forty results of 1024x1024, more than are made at once. Each item counts for its
# frames and for some objects, so that many small items are bounded too.
_MOST_BYTES, _ITEM_BYTES = 64 * 2**20, 2_000
_MOST_ENDS = 10_000  # items whose end without a final is remembered: more than a stream can have


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
    BLOCKED = "blocked"
    """The service refused the picture. Its previews are hidden: the tile holds none."""

    @property
    def is_open(self) -> bool:
        """Whether the item goes on, so that a screen counts the seconds."""
        return self in (Kind.WAITING, Kind.PREVIEW)

    @property
    def has_failed(self) -> bool:
        """Whether the tile shows a failure."""
        return self in (Kind.FAILED, Kind.BLOCKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """The present picture and caption of one item."""

    item_id: str = ""
    """The item's id; "" for the stream itself: it has named no item yet, or it has failed."""
    kind: Kind = Kind.WAITING
    """The kind of picture."""
    frame: Frame | None = None
    """The item's picture; None before the first one."""
    caption: str = "waiting for the first preview"
    """One line of at most 200 characters that says what the picture is, or what went wrong."""

    @property
    def place(self) -> str:
        """The key of its place on a screen. The first item takes the place WAITING_STREAM."""
        return self.item_id or (WAITING_STREAM if self.kind is Kind.WAITING else FAILED_STREAM)

    def caption_after(self, seconds: float) -> str:
        """Return the caption; while the item goes on, with the whole seconds that the screen has waited."""
        return f"{self.caption}  {int(seconds)} s" if self.kind.is_open and seconds >= 1 else self.caption


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierFrames:
    """The frames of an item that may be shown again. They are kept as received, and decoded again."""

    preview: Frame | None = None  # shown if a final is withdrawn or never arrives
    painted: Frame | None = None  # shown if a later frame cannot be decoded

    @property
    def size_bytes(self) -> int:
        buffers = {id(frame.data): len(frame.data) for frame in (self.preview, self.painted) if frame}
        return _ITEM_BYTES + sum(buffers.values())


class _End(NamedTuple):
    """The end of an item without a final: its name, the reason, and the end of the caption."""

    name: str
    reason: str
    ending: str = ""
    is_block: bool = False

    @property
    def caption(self) -> str:
        return _sentence(self.name, self.reason, self.ending)


class ItemMemory:
    """The earlier frames of the items that changed last, and the ends without a final. Any thread may use it.

    Above 64 MiB, the frames of the items whose last change is the oldest are dropped; above 10,000, the oldest ends.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._frames: dict[str, EarlierFrames] = {}  # by item id, the newest last
        self._bytes = 0
        self._ends: dict[str, _End] = {}  # by item id, the newest last

    def frames(self, item_id: str) -> EarlierFrames:
        """Return the earlier frames of an item."""
        with self._lock:
            return self._frames.get(item_id) or EarlierFrames()

    def end(self, item_id: str) -> _End | None:
        """Return the end of an item without a final, or None."""
        with self._lock:
            return self._ends.get(item_id)

    def is_blocked(self, item_id: str) -> bool:
        """Return whether the service has refused the picture of this item."""
        end = self.end(item_id)
        return end is not None and end.is_block

    def keep_preview(self, item_id: str, preview: Frame) -> None:
        """Keep a preview, unless a later one is known or the item is blocked."""
        with self._lock:
            known = self.frames(item_id).preview
            if (known is None or (known.index or 0) <= (preview.index or 0)) and not self.is_blocked(item_id):
                self.keep(item_id, preview=preview)

    def keep(self, item_id: str, **fields: Frame | None) -> None:
        """Set these fields of an item's EarlierFrames."""
        with self._lock:
            before = self._frames.pop(item_id, None)
            self._frames[item_id] = known = replace(before or EarlierFrames(), **fields)
            self._bytes += known.size_bytes - (before.size_bytes if before else 0)
            while self._bytes > _MOST_BYTES and len(self._frames) > 1:
                self._bytes -= self._frames.pop(next(iter(self._frames))).size_bytes

    def set_end(self, item_id: str, end: _End | None) -> None:
        """Remember that an item has ended without a final; None: it goes on, or has one."""
        with self._lock:
            self._ends.pop(item_id, None)
            if end is not None:
                self._ends[item_id] = end
            if len(self._ends) > _MOST_ENDS:
                del self._ends[next(iter(self._ends))]

    def forget_ends(self) -> None:
        """Forget all ends: late previews of these items do not follow."""
        with self._lock:
            self._ends.clear()

    def block(self, item_id: str, error: ProviderError) -> None:
        """Drop the frames of an item that the service has refused, so that none of them is shown again."""
        with self._lock:
            before = self.end(item_id)
            has_hidden = self.frames(item_id).preview is not None or bool(before and before.ending == _HIDDEN)
            self.set_end(item_id, _blocked_end(error, _HIDDEN if has_hidden else ""))
            self.keep(item_id, preview=None, painted=None)


class Tiles:
    """The tiles of a stream, computed from the updates that a Refresher passes on."""

    def __init__(self, memory: ItemMemory | None = None) -> None:
        self._memory = memory or ItemMemory()
        self._unfinished: dict[str, str] = {}  # the items of this stream that ended without a final, and the reasons

    def note(self, update: Any) -> None:
        """Remember the picture of `update`, and whether it blocks one. Call this with each update when it arrives.

        A Refresher may skip the update, but its picture may be the last one. The previews that wait when an image is
        blocked are not shown.
        """
        match update:
            case StateChanged(item_id=item_id, previous=None):  # another stream may have had an item of this id
                self._memory.keep(item_id, preview=None, painted=None)
            case FrameAdded(item_id=item_id, frame=frame):
                self._memory.keep_preview(item_id, frame)
            case FinalWithdrawn(item_id=item_id, error=error) | ItemEnded(item_id=item_id, error=error):
                if is_blocked(error):
                    self._memory.block(item_id, error)

    def take(self, update: Any) -> Tile | None:
        """Return the tile that `update` changed, or None if it changed no tile."""
        self.note(update)
        match update:
            case FrameAdded(item_id=item_id, frame=frame, is_latest=True):
                return self._tile_of_preview(item_id, frame)
            case FinalReady(item_id=item_id, frame=frame, is_provisional=is_draft):
                return self._tile_of_final(item_id, frame, is_draft=is_draft)
            case FinalWithdrawn(item_id=item_id, error=error):
                return self._tile_of_end(item_id, _End("withdrawn", reason_of_item(item_id, error)))
            case ItemEnded(item_id=item_id, state=State.FAILED | State.INCOMPLETE as state, error=error):
                end = _End(str(state), reason_of_item(item_id, error))
                self._unfinished[item_id] = end.reason
                if not self._memory.is_blocked(item_id):
                    self._memory.set_end(item_id, end)
                return self._tile_of_end(item_id, end)
            case StreamEnded(outcome=outcome, error=error):
                return self._tile_of_stream(outcome, error)
        return None

    def _tile_of_preview(self, item_id: str, frame: Frame) -> Tile | None:
        if self._memory.is_blocked(item_id):
            return None
        if end := self._memory.end(item_id):  # a late preview does not reopen an item
            return self._tile_of_end(item_id, end)
        return Tile(item_id=item_id, kind=Kind.PREVIEW, frame=frame, caption=name_preview(frame))

    def _tile_of_final(self, item_id: str, frame: Frame, *, is_draft: bool) -> Tile:
        self._memory.set_end(item_id, None)
        self._unfinished.pop(item_id, None)
        if not is_draft:
            return Tile(item_id=item_id, kind=Kind.FINAL, frame=frame, caption="final")
        return Tile(item_id=item_id, kind=Kind.DRAFT, frame=frame, caption=DRAFT_CAPTION)

    def _tile_of_end(self, item_id: str, end: _End) -> Tile:
        """Return the tile of an item that ended without a final: its last preview, called a draft, unless blocked."""
        known = self._memory.end(item_id)
        if known and known.is_block:
            return Tile(item_id=item_id, kind=Kind.BLOCKED, caption=known.caption)
        frame = self._memory.frames(item_id).preview
        if frame and end.name == State.INCOMPLETE:
            return Tile(item_id=item_id, kind=Kind.DRAFT, frame=frame, caption=_sentence("draft", end.reason))
        caption = _sentence(end.name, end.reason, _ONLY_DRAFT if frame else "")
        return Tile(item_id=item_id, kind=Kind.FAILED, frame=frame, caption=caption)

    def _tile_of_stream(self, outcome: Outcome, error: ImgassembleError | None) -> Tile | None:
        """Return the tile of a stream that ended with an error, unless the tiles of its items show that error."""
        unfinished, self._unfinished = self._unfinished, {}
        self._memory.forget_ends()  # the next stream may have items of the same ids
        sentence = str(error or "")
        of_items = getattr(error, "item_ids", ())
        is_shown = any(reason in sentence or item_id in of_items for item_id, reason in unfinished.items())
        if outcome is Outcome.COMPLETED or is_shown:
            return None
        if is_blocked(error):
            return Tile(kind=Kind.BLOCKED, caption=_blocked_end(error).caption)
        return Tile(kind=Kind.FAILED, caption=_sentence(describe_state(outcome), reason_of_stream(error)))


def _blocked_end(error: ProviderError, ending: str = "") -> _End:
    return _End(f"{Kind.BLOCKED} ({error.code})" if error.code else Kind.BLOCKED, error.message, ending, is_block=True)


def _sentence(end: str, reason: object, ending: str = "") -> str:
    sentence = clean(f"{end}: {reason}" if reason else end, LONGEST_CAPTION - len(ending))
    return sentence.rstrip(".") + ending if ending else sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A painted tile: the argument of the `show` of LoopScreen and of a screen of your own."""

    tile: Tile
    """The item, the kind of its picture, and the caption."""
    image: Image.Image
    """The picture in pixels, mode RGB or RGBA, no larger than the screen's `size`; or a placeholder."""
    frame: Frame | None = None
    """The frame that `image` shows; None for a placeholder. It is older than `tile.frame` if that is damaged."""


class Painter:
    """Paints the tile that an update changed. Use it as the `prepare` of a Refresher, which calls it in its thread.

    size: (width, height) in pixels, each from 1: the largest picture. The aspect of a picture is kept.

    Raises UsageError for a wrong size.

        painter = Painter((512, 512))
        refresher = Refresher(show, prepare=painter, note=painter.note)
    """

    def __init__(self, size: tuple[int, int]) -> None:
        check_size(size)
        self._size = size
        self._memory = ItemMemory()
        self._tiles = Tiles(self._memory)

    def note(self, update: Any) -> None:
        """Remember the picture of `update`. Call this with each update when it arrives, from any thread.

        A Refresher may skip the update, but its picture may be needed later. The previews that wait when the service
        blocks their image are not shown.
        """
        self._tiles.note(update)

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
        self._memory.keep(tile.item_id, painted=frame)
        return Shown(tile=tile, image=image, frame=frame)

    def _paint(self, tile: Tile) -> tuple[Image.Image, Frame | None]:
        """Return the picture of a tile and its frame, or an earlier frame of the item, or a placeholder."""
        if is_drawing(tile.frame):
            return make_placeholder(self._size), None
        known = self._memory.frames(tile.item_id)
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

    The last preview of an item that failed has no colours.

    Raises FrameDecodeError if the frame cannot be decoded.
    """
    if tile.frame is None:
        return make_placeholder(size)
    image = tile.frame.thumbnail(size)
    if tile.kind is Kind.FAILED:  # so that it is not taken for a result
        return image.convert("LA").convert("RGBA") if image.has_transparency_data else image.convert("L").convert("RGB")
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
