"""The facts that the page shows of a stream and of its items, kept up to date by updates.

A fact that an update holds has the same name and form as in `Item.as_dict` and `Frame.as_dict`, so the same as in
`item.json` and with `--json`. The others are for the page only.
Must not know: viewers, how long a stream is kept, how many bytes its frames have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from secrets import token_urlsafe
from typing import Any

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

_MAX_FRAMES = 32  # frames of an item that the page can show; the newest
_MAX_ANOMALIES = 20  # anomalies of a stream or an item; the newest
_MAX_CHARACTERS = 2_000  # characters of a sentence from outside


@dataclass(slots=True, kw_only=True)
class ShownItem:
    """One item as viewers receive it. `frames`: the partials by index, then the final."""

    id: str
    facts: dict[str, Any]
    frames: list[Frame] = field(default_factory=list)

    @property
    def partials(self) -> list[Frame]:
        return [frame for frame in self.frames if not frame.is_final]


@dataclass(slots=True, kw_only=True, eq=False)
class ShownStream:
    """One stream as viewers receive it.

    title: the words that the page shows for it.
    began_s: when it was added, in seconds since the gallery was made; None if it had begun before.
    size: the expected (width, height) in pixels, or None.
    key: a random part of the addresses of its frames, which cannot be guessed.
    """

    name: str
    title: str
    number: int
    began_s: float | None
    size: tuple[int, int] | None
    key: str = field(default_factory=lambda: token_urlsafe(18))
    items: dict[str, ShownItem] = field(default_factory=dict)
    outcome: str | None = None
    error: dict[str, Any] | None = None
    anomalies: list[dict[str, Any]] = field(default_factory=list)
    tile: Tile = field(default_factory=Tile)  # that of the stream itself: it waits for an item, or has failed
    tiles: Tiles = field(default_factory=Tiles)
    caught_up: tuple[Update, ...] = ()  # anomalies shown when it was added; its listener may receive them again

    def facts(self) -> dict[str, Any]:
        """Return the facts of the stream, without those of its items."""
        return {
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

    def item_facts(self, item: ShownItem) -> dict[str, Any]:
        """Return a copy of the facts of an item, with those of its frames."""
        facts = item.facts
        frames = [self._frame_facts(item, frame) for frame in item.frames]
        return facts | {
            "partials": [frame for frame in frames if not frame["is_final"]],
            "final": frames[-1] if facts["has_final"] or facts["is_provisional"] else None,
            "shown": frames[-1]["url"] if frames else None,
        }

    def address(self, item: ShownItem, frame: Frame) -> str:
        """Return the address of a frame, relative to the page."""
        return f"frames/{self.key}/{item.facts['number']}-{frame.sha256}{frame.suffix}"

    def item(self, item_id: str) -> ShownItem:
        """Return the item of this id, a new one if there is none."""
        if item_id not in self.items:
            self.items[item_id] = ShownItem(id=item_id, facts=_facts_of_new_item(self, item_id))
        return self.items[item_id]

    def take(self, update: StreamEnded | Anomaly) -> None:
        """Take the facts of an update of the stream itself."""
        if isinstance(update, StreamEnded):
            self.outcome, self.error = str(update.outcome), _error_facts(update.error)
            self.tile = self.tiles.take(update) or self.tile
        else:
            self.anomalies = _with_anomaly(self.anomalies, update)

    def take_item_update(self, item: ShownItem, update: Update, now_s: float) -> list[Frame]:
        """Take the facts of an update of `item` and return the frames that the item then has.

        The previews of a blocked item are hidden: it has no frames.
        """
        facts, frames = item.facts, item.frames
        seconds = None if self.began_s is None else round(now_s - self.began_s, 3)
        match update:
            case StateChanged(state=state):
                facts |= {"state": str(state), "has_ended": state.is_end, "error": None}
            case FrameAdded(frame=frame):
                frames = _with_frame(frames, frame)
                facts["preview_s"] = seconds if facts["preview_s"] is None else facts["preview_s"]
            case FinalReady(frame=frame, is_provisional=is_draft):
                frames = _with_frame(item.partials, frame)
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

    def _changed_tile(self, update: Update) -> Tile | None:
        if isinstance(update, FrameAdded | FinalReady | FinalWithdrawn):
            # Only the words of the tile are used. Without this, `tiles` would keep the bytes of the frame.
            update = replace(update, frame=replace(update.frame, data=b""))
        return self.tiles.take(update)

    def _frame_facts(self, item: ShownItem, frame: Frame) -> dict[str, Any]:
        return frame.as_dict() | {"url": self.address(item, frame), "suffix": frame.suffix}


def _facts_of_new_item(stream: ShownStream, item_id: str) -> dict[str, Any]:
    tile = Tile()
    return {
        # As in `Item.as_dict`, as far as updates hold them.
        "id": item_id,
        "state": str(State.IN_PROGRESS),
        "is_provisional": False,
        "final": None,
        "partials": [],
        "error": None,
        "anomalies": [],
        # For the page only.
        "number": len(stream.items),
        "kind": str(tile.kind),
        "caption": tile.caption,
        "size": list(stream.size) if stream.size else None,
        "shown": None,
        "has_final": False,
        "has_ended": False,
        "preview_s": None,
        "final_s": None,
    }


def _with_frame(frames: Iterable[Frame], frame: Frame) -> list[Frame]:
    """Return `frames` and `frame`: the partials by index, then the final. It replaces another frame of its place."""
    others = [each for each in frames if (each.is_final, each.index) != (frame.is_final, frame.index)]
    return sorted([*others, frame], key=lambda each: (each.is_final, each.index or 0))[-_MAX_FRAMES:]


def _with_anomaly(anomalies: list[dict[str, Any]], anomaly: Anomaly) -> list[dict[str, Any]]:
    facts = {"code": anomaly.code, "message": clean(anomaly.message, _MAX_CHARACTERS)}
    return [*anomalies, facts][-_MAX_ANOMALIES:]


def _error_facts(error: ImgassembleError | None) -> dict[str, Any] | None:
    """Return the short facts of an error, without its lists and mappings, whose size has no bound."""
    if error is None:
        return None
    short = {name: value for name, value in error.as_dict().items() if not isinstance(value, dict | list)}
    return {name: clean(value, _MAX_CHARACTERS) if isinstance(value, str) else value for name, value in short.items()}
