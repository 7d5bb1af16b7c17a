"""The facts that the page shows of a stream, its items and its frames, kept up to date by updates.

A fact that an update holds has the same name and form as in `Item.as_dict` and `Frame.as_dict`, so the same as in
`item.json` and with `--json`. The others are for the page only.
Must not know: viewers, how long a stream is kept, how many bytes its frames may have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from secrets import token_urlsafe
from typing import Any, NamedTuple

from ..assembly.updates import (
    Anomaly,
    FinalReady,
    FinalWithdrawn,
    FrameAdded,
    ItemEnded,
    StateChanged,
    StreamEnded,
    Update,
)
from ..errors import ImgassembleError, clean
from ..frames.frame import Frame
from ..screens.tiles import Kind, Tile, Tiles
from ..states import State
from .changes import PageChange

_MAX_FRAMES = 32  # frames of an item that the page can show; the newest
_MAX_ANOMALIES = 20  # anomalies of a stream or an item; the newest
_MAX_CHARACTERS = 2_000  # characters of a sentence from outside


class ShownFrame(NamedTuple):
    """A frame with its number among those of the stream. A number is never given twice."""

    number: int
    frame: Frame

    @property
    def place(self) -> tuple[bool, float]:
        """The place among the frames of the item: the partials by index, then the final."""
        return self.frame.is_final, self.frame.index or 0


@dataclass(slots=True, kw_only=True)
class ShownItem:
    """One item as viewers receive it. `frames`: the partials by index, then the final; the last one is shown."""

    id: str
    facts: dict[str, Any]
    frames: list[ShownFrame] = field(default_factory=list)

    @property
    def number(self) -> int:
        number: int = self.facts["number"]
        return number

    @property
    def partials(self) -> list[ShownFrame]:
        return [shown for shown in self.frames if not shown.frame.is_final]


@dataclass(slots=True, kw_only=True, eq=False)
class ShownStream:
    """One stream as viewers receive it.

    title: the words that the page shows for it.
    began_s: when it was added, in seconds by the clock of the gallery; None if it had begun before.
    size: the expected (width, height) in pixels, or None.
    key: a random part of the addresses of its frames, which cannot be guessed.
    frames: those that have an address, by number.
    n_bytes: those of all `frames` together.
    next_frame: the number of the next frame.
    """

    name: str
    title: str
    number: int
    began_s: float | None
    size: tuple[int, int] | None
    key: str = field(default_factory=lambda: token_urlsafe(18))
    items: dict[str, ShownItem] = field(default_factory=dict)
    frames: dict[int, Frame] = field(default_factory=dict)
    n_bytes: int = 0
    outcome: str | None = None
    error: dict[str, Any] | None = None
    anomalies: list[dict[str, Any]] = field(default_factory=list)
    tile: Tile = field(default_factory=Tile)  # that of the stream itself: it waits for an item, or has failed
    tiles: Tiles = field(default_factory=Tiles)
    caught_up: tuple[Update, ...] = ()  # anomalies shown when it was added; its listener may receive them again
    next_frame: int = 0

    def changes(self) -> list[PageChange]:
        """Return everything that is shown of the stream."""
        frames = [self._frame_change(item, shown) for item in self.items.values() for shown in item.frames]
        return [self.change(), *frames, *map(self._item_change, self.items.values())]

    def take(self, update: Update, now_s: float) -> list[PageChange]:
        """Take the facts of an update, and return the changes for viewers. `now_s`: by the clock of the gallery."""
        if isinstance(update, StreamEnded) or (isinstance(update, Anomaly) and update.item_id is None):
            self._take_own(update)
            return [self.change()]
        item = self._item(update.item_id or "")
        frames = self._take_item_update(item, update, now_s)
        return [*self._set_frames(item, frames), self._item_change(item)]

    def successor(self) -> ShownStream:
        """Return the same stream for another producer: without items, and with numbers that were not given before."""
        return replace(
            self,
            items={},
            frames={},
            n_bytes=0,
            outcome=None,
            error=None,
            anomalies=[],
            tile=Tile(),
            tiles=Tiles(),
            caught_up=(),
        )

    def catch_up(self, updates: Iterable[Update], earlier: Iterable[Mapping[str, Any]] = ()) -> None:
        """Take updates of a stream that had begun before.

        earlier: the facts of its items as viewers have them. The items keep their numbers and their seconds.
        """
        known = {facts["id"]: facts for facts in sorted(earlier, key=lambda facts: int(facts["number"]))}
        for item_id, facts in known.items():
            self._item(item_id).facts["preview_s"] = facts["preview_s"]
        began_s, self.began_s = self.began_s, None
        for update in updates:
            self.take(update, 0.0)
        self.began_s = began_s
        for item in self.items.values():
            if item.facts["has_final"] and item.id in known:
                item.facts["final_s"] = known[item.id]["final_s"]

    def drop_oldest_frame(self, item: ShownItem) -> list[PageChange]:
        """Take the address from the oldest frame of an item, and return the changes for viewers."""
        return [*self._set_frames(item, item.frames[1:]), self._item_change(item)]

    def drop(self, item: ShownItem) -> list[PageChange]:
        """Take the addresses from all frames of an item, and return the changes for viewers."""
        return [*self._set_frames(item, []), self._item_change(item)]

    def drop_frames(self) -> None:
        """Take the addresses from all frames: the stream was removed."""
        self.items.clear()  # its listener still holds the stream
        self.frames.clear()
        self.n_bytes = 0

    def change(self) -> PageChange:
        """Return the facts of the stream, without those of its items."""
        facts = {
            "name": self.name,
            "title": self.title,
            "number": self.number,
            "size": list(self.size) if self.size else None,
            "began_s": self.began_s,
            "outcome": self.outcome,
            "kind": str(self.tile.kind),
            "caption": self.tile.caption,
            "error": self.error,
            "anomalies": self.anomalies,
        }
        return PageChange(stream=self.name, kind="stream", facts=facts)

    def _item_change(self, item: ShownItem) -> PageChange:
        facts = item.facts | {"frames": [shown.number for shown in item.frames]}
        return PageChange(stream=self.name, kind="item", key=str(item.number), facts=facts)

    def _frame_change(self, item: ShownItem, shown: ShownFrame) -> PageChange:
        number, frame = shown
        facts = {
            # As in `Frame.as_dict`. Its SHA-256 would take milliseconds in the thread that feeds.
            "index": frame.index,
            "is_final": frame.is_final,
            "format": frame.format,
            "size": list(frame.size) if frame.size else None,
            "bytes": len(frame.data),
            # For the page only.
            "number": number,
            "item": item.number,
            "url": f"frames/{self.key}/{number}{frame.suffix}",
            "small_url": f"frames/{self.key}/{number}-small",
        }
        return PageChange(stream=self.name, kind="frame", key=str(number), facts=facts)

    def _item(self, item_id: str) -> ShownItem:
        """Return the item of this id, a new one if there is none."""
        if item_id not in self.items:
            self.items[item_id] = ShownItem(id=item_id, facts=_facts_of_new_item(self, item_id))
        return self.items[item_id]

    def _take_own(self, update: StreamEnded | Anomaly) -> None:
        """Take the facts of an update of the stream itself."""
        if isinstance(update, StreamEnded):
            self.outcome, self.error = str(update.outcome), _error_facts(update.error)
            self.tile = self.tiles.take(update) or self.tile
        else:
            self.anomalies = _with_anomaly(self.anomalies, update)

    def _take_item_update(self, item: ShownItem, update: Update, now_s: float) -> list[ShownFrame]:
        """Take the facts of an update of `item` and return the frames that the item then has.

        The previews of a blocked item are hidden: it has no frames.
        """
        facts, frames = item.facts, item.frames
        seconds = None if self.began_s is None else round(now_s - self.began_s, 3)
        match update:
            case StateChanged(state=state):
                facts |= {"state": str(state), "has_ended": state.is_end, "error": None}
            case FrameAdded(frame=frame):
                frames = self._with_frame(frames, frame)
                facts["preview_s"] = seconds if facts["preview_s"] is None else facts["preview_s"]
            case FinalReady(frame=frame, is_provisional=is_draft):
                frames = self._with_frame(item.partials, frame)
                final_s = None if is_draft else seconds
                facts |= {"is_provisional": is_draft, "has_final": not is_draft, "final_s": final_s}
            case FinalWithdrawn():
                frames = item.partials
                facts |= {"is_provisional": False, "has_final": False, "final_s": None}
            case ItemEnded(error=error):
                facts["error"] = _error_facts(error)
            case Anomaly():
                facts["anomalies"] = _with_anomaly(facts["anomalies"], update)
        if tile := self._changed_tile(update):
            facts |= {"kind": str(tile.kind), "caption": tile.caption}
        return [] if facts["kind"] == Kind.BLOCKED else frames

    def _with_frame(self, frames: Iterable[ShownFrame], frame: Frame) -> list[ShownFrame]:
        """Return `frames` and `frame`, which replaces another frame of its place. An equal one keeps its number."""
        new = ShownFrame(self.next_frame, frame)
        others = []
        for shown in frames:
            if shown.place != new.place:
                others.append(shown)
            elif shown.frame == frame:
                new = shown
        if new.number == self.next_frame:
            self.next_frame += 1
        return sorted([*others, new], key=lambda shown: shown.place)[-_MAX_FRAMES:]

    def _set_frames(self, item: ShownItem, frames: list[ShownFrame]) -> list[PageChange]:
        """Make `frames` the frames of an item, and return the changes. Its other frames have no address any more."""
        before, after = dict(item.frames), dict(frames)
        dropped, added = before.keys() - after.keys(), after.keys() - before.keys()
        for number in dropped:
            self.n_bytes -= len(self.frames.pop(number).data)
        for number in added:
            self.n_bytes += len(after[number].data)
            self.frames[number] = after[number]
        item.frames = frames
        changes = [PageChange(stream=self.name, kind="dropped", key=str(number)) for number in sorted(dropped)]
        return changes + [self._frame_change(item, shown) for shown in frames if shown.number in added]

    def _changed_tile(self, update: Update) -> Tile | None:
        if isinstance(update, FrameAdded | FinalReady | FinalWithdrawn):
            # Only the words of the tile are used. Without this, `tiles` would keep the bytes of the frame.
            update = replace(update, frame=replace(update.frame, data=b""))
        return self.tiles.take(update)


def _facts_of_new_item(stream: ShownStream, item_id: str) -> dict[str, Any]:
    tile = Tile()
    return {
        # As in `Item.as_dict`, as far as updates hold them.
        "id": item_id,
        "state": str(State.IN_PROGRESS),
        "is_provisional": False,
        "error": None,
        "anomalies": [],
        # For the page only.
        "number": len(stream.items),
        "kind": str(tile.kind),
        "caption": tile.caption,
        "size": list(stream.size) if stream.size else None,
        "has_final": False,
        "has_ended": False,
        "preview_s": None,
        "final_s": None,
    }


def _with_anomaly(anomalies: list[dict[str, Any]], anomaly: Anomaly) -> list[dict[str, Any]]:
    facts = {"code": anomaly.code, "message": clean(anomaly.message, _MAX_CHARACTERS)}
    return [*anomalies, facts][-_MAX_ANOMALIES:]


def _error_facts(error: ImgassembleError | None) -> dict[str, Any] | None:
    """Return the short facts of an error, without its lists and mappings, whose size has no bound."""
    if error is None:
        return None
    short = {name: value for name, value in error.as_dict().items() if not isinstance(value, dict | list)}
    return {name: clean(value, _MAX_CHARACTERS) if isinstance(value, str) else value for name, value in short.items()}
