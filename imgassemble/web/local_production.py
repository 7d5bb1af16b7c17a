"""Produce a stream of a gallery in this process.

Must not know: viewers, how a stream is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ..assembly.assembler import Assembler
from ..assembly.items import Cursor, Item
from ..assembly.updates import Outcome
from ..storage.file_names import frame_file_name
from ..storage.item_facts import facts_of
from ..storage.item_json import described_frames
from ..storage.saved_items import SavedItem
from .production import EarlierStream, StoringWait, has_all, in_order_of_responses
from .shown_streams import ShownStream


@dataclass(slots=True, kw_only=True, eq=False)
class MadeStream:
    """A stream that producers of this process make, one after the other.

    producer: the present one; None if it has gone.
    items: those that earlier producers have left. Those of a stream that is over have no previews.
    """

    producer: LocalProduction | None = None
    items: tuple[Item, ...] = ()
    cursor: Cursor = field(default_factory=Cursor)
    is_over: bool = False
    error: dict[str, object] | None = None

    def earlier(self) -> EarlierStream:
        """Return the contents that earlier producers have left."""
        items = in_order_of_responses(map(_saved, self.items))
        return EarlierStream(items=items, cursor=self.cursor, is_over=self.is_over, error=self.error)

    def is_orphan(self, shown: ShownStream) -> bool:
        """Return whether its producer has gone before its end."""
        return self.producer is None and shown.outcome is None


class ProducingGallery(Protocol):
    """The part of Gallery that a production uses."""

    def _claim_stream(self, production: LocalProduction) -> MadeStream: ...
    def _show_stream(self, production: LocalProduction, assembler: Assembler) -> None: ...
    def _release_stream(self, production: LocalProduction) -> None: ...


class LocalProduction:
    """The right of one producer to make a stream of a Gallery."""

    def __init__(self, gallery: ProducingGallery, name: str, title: str | None, size: tuple[int, int] | None) -> None:
        self.name = name
        self.title: str | None = title
        self.size: tuple[int, int] | None = size
        self.made: MadeStream | None = None
        self._gallery = gallery
        self._assembler: Assembler | None = None
        self._is_stopped = self._is_read_to_end = False

    def claim(self) -> EarlierStream:
        """Take the stream. Raises StreamTakenError if another producer has it."""
        self.made = self._gallery._claim_stream(self)
        return self.made.earlier()

    def show(self, assembler: Assembler) -> None:
        """Show the contents of `assembler`, and each later update."""
        self._gallery._show_stream(self, assembler)
        self._assembler = assembler
        if self._is_stopped:
            assembler.stop()

    def note(self, cursor: Cursor, *, is_over: bool) -> StoringWait | None:
        """Note the position after an event, and whether the stream is over."""
        assert self.made is not None
        self.made.cursor, self.made.is_over = cursor, is_over
        return None

    def note_end(self) -> None:
        """Note that the service has ended the stream, and nothing has interrupted it."""
        self._is_read_to_end = True

    def finish(self, assembler: Assembler, timeout_s: float) -> None:
        """Keep the items for a later producer. Viewers can see everything already."""
        made, result = self.made, assembler.result
        if made is None or self._assembler is None or result is None:
            return
        made.is_over = made.is_over or has_all(
            result.outcome, made.cursor, is_read_to_end=self._is_read_to_end, has_items=bool(result.items)
        )
        made.items = tuple(replace(item, partials=()) if made.is_over else item for item in result.items.values())
        made.error = (
            result.error.as_dict() if made.is_over and result.outcome is Outcome.FAILED and result.error else None
        )

    def leave(self) -> None:
        """Do nothing: `finish` does not wait."""

    def release(self) -> None:
        """Give the stream up, so that another producer can take it. A second call changes nothing."""
        self._gallery._release_stream(self)
        self._assembler, self._is_stopped, self._is_read_to_end = None, False, False

    def stop(self) -> None:
        """End the reading of the stream, from any thread; at its beginning if it has not begun."""
        self._is_stopped = True
        if self._assembler is not None:
            self._assembler.stop()


def _saved(item: Item) -> SavedItem:
    facts = facts_of(item, datetime.now(UTC))
    frames = {frame_file_name(frame): frame.data for frame in (*item.partials, item.final) if frame is not None}
    return SavedItem(folder=Path(item.id), facts=facts, frames=described_frames(facts), load=frames.get)
