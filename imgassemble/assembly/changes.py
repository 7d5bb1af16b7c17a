"""The change that one event makes. It is complete before the assembler stores it.

The change holds the new facts of items until the assembler stores them. Names and responses are changed at once. Each
of these steps is recorded and can be undone: a strict assembler that raises has changed nothing.

Must not know: events, listeners.
"""

from __future__ import annotations

from typing import Any

from ..errors import ImgassembleError
from ..frames.frame import Frame
from .held import MAX_NUMBERS, Held, ResponseRecord
from .lifecycle import Facts
from .updates import Anomaly, AnomalyCode

_MAX_ANOMALIES = 100  # reported for one event: it can name ten thousand items
_MISSING = object()


class UndoLog(list[tuple[Any, Any, Any]]):
    """Records steps, so that they can be undone.

    A step is the mapping or object, the key or name, and the value before.
    """

    __slots__ = ()

    def put(self, mapping: dict[Any, Any], key: Any, value: Any) -> None:
        """Set `mapping[key]`."""
        self.append((mapping, key, mapping.get(key, _MISSING)))
        mapping[key] = value

    def discard(self, mapping: dict[Any, Any], key: Any) -> None:
        """Remove `key`, if it is there."""
        if key in mapping:
            self.append((mapping, key, mapping.pop(key)))

    def set(self, owner: object, name: str, value: Any) -> None:
        """Set an attribute."""
        self.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def undo(self) -> None:
        """Take all steps back, the last one first."""
        while self:
            owner, name, before = self.pop()
            if not isinstance(owner, dict):
                setattr(owner, name, before)
            elif before is _MISSING:
                owner.pop(name, None)
            else:
                owner[name] = before


class Change:
    """The change that one event makes. A member that few events change has its first value in the class."""

    links: tuple[tuple[str, str], ...] = ()  # the items whose result is at a URL, each with the URL
    record: ResponseRecord | None = None  # the response to which the event belongs
    number: float | None = None  # the sequence number of the event
    piece: str | None = None  # a piece of the answer in words
    is_skipped: bool = False
    skipped_type: str | None = None
    unreadable: str | None = None  # why the event could not be read

    def __init__(self, held: Held) -> None:
        self.journal: UndoLog = UndoLog()
        self.facts: dict[str, Facts] = {}  # of the items that the event names
        self.added: dict[str, list[Frame]] = {}  # new partials, by item
        self.anomalies: list[Anomaly] = []
        self.judged_again: list[ResponseRecord] = []  # they got another ending, or an item of another response
        self.total_bytes: int = held.total_bytes
        self.new_marks: list[tuple[Any, ...]] = []

    def report(self, item_id: str | None, code: AnomalyCode, error: ImgassembleError) -> None:
        """Report an anomaly."""
        if len(self.anomalies) < _MAX_ANOMALIES:
            self.anomalies.append(Anomaly(item_id, code, str(error), error))

    def moved_items(self, held: Held) -> list[str]:
        """Return the items that can have another state or picture after the change, which `held` does not have yet."""
        moved = []
        for name, facts in self.facts.items():
            before = held.facts.get(name)
            if before is not facts and (before is None or facts.is_other_evidence(before)):
                moved.append(name)
        if self.judged_again:  # an ending can move every item of its response; that happens a few times in a stream
            others = (name for record in self.judged_again for name in record.items if name not in self.facts)
            moved = [*self.facts, *others]
        return moved

    def store(self, held: Held) -> None:
        """Store the change in `held`."""
        if self.facts:
            held.facts.update(self.facts)
            held.total_bytes = self.total_bytes
        record = self.record
        if record is not None:
            held.heard_last = record
            if self.number is not None:
                if record.highest is None or self.number > record.highest:
                    record.highest = self.number
                if len(record.numbers) < MAX_NUMBERS:
                    record.numbers.add(self.number)
            if self.piece is not None:
                record.text.add(self.piece, self.number)
        if self.is_skipped:
            held.skipped += 1
            if self.skipped_type is not None:
                held.count_type(self.skipped_type)
        if self.unreadable is not None:
            held.unreadable = held.unreadable or self.unreadable
        if self.journal:  # without a step no memory has grown
            held.oldest_marks.extend(self.new_marks)
            if held.is_full:
                held.forget_oldest()
