"""The earlier run that a sink continues: its items, its events, and the refusal of another stream.

Must not know: files, the place of the items.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from ..assembly.assembler import Assembler
from ..assembly.items import Item
from ..errors import SinkError, quoted
from .earlier_run import EarlierRun
from .saved import Event
from .saved_items import SavedItem

_log = logging.getLogger("imgassemble")


class ContinuedRun:
    """A run that was saved, and that the stream of a sink continues.

    items: in the order of `read_items`; none if no run is continued.
    drops_partials: whether partials of an image that has ended can be missing.
    place: the folder or the prefix, for a sentence.
    """

    def __init__(self, items: Sequence[SavedItem] = (), *, drops_partials: bool = False, place: str = "") -> None:
        self._items = items
        self._positions: dict[str, list[int]] = {}  # in `items`, by each id of an item
        for position, item in enumerate(items):
            for item_id in filter(None, {item.id, item.wire_id}):
                self._positions.setdefault(item_id, []).append(position)
        self.refusal: SinkError | None = None
        """The reason why nothing more is written: the stream is another one."""
        self._place = place
        self._earlier_run = EarlierRun(items, drops_partials=drops_partials) if items else None
        self._events = self._earlier_run.events() if self._earlier_run else iter(())

    def items_like(self, item: Item) -> list[SavedItem]:
        """Return the saved items that have an id of `item`, in their order."""
        positions = {position for name in (item.id, item.wire_id) if name for position in self._positions.get(name, ())}
        return [self._items[position] for position in sorted(positions)]

    def events(self) -> Iterator[Event]:
        """Return the events of the run, once."""
        return self._events

    def join(self, event: object, assembler: Assembler) -> object:
        """Return an event of the stream, joined to the run."""
        if self._earlier_run is None:
            return event
        joined = self._earlier_run.join(event, assembler)
        if self._earlier_run.contradiction:
            self._refuse(self._earlier_run.contradiction)
        if self.refusal or self._earlier_run.is_joined:
            self._earlier_run = None
        return joined

    def _refuse(self, reason: str) -> None:
        sentence = (
            f"{quoted(self._place)} holds another stream: {reason}; nothing of this stream is written, choose "
            "another place"
        )
        self.refusal = SinkError(sentence, path=self._place)
        _log.warning("%s", self.refusal)
