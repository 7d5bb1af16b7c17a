"""The facts and frames of one stream that wait to be sent to Redis, the most important first.

Only the newest version of each fact waits. Results are sent before previews, and newer previews before older ones. If
too many previews wait, the oldest are left out; results and the newest preview of each item never are.
Safe in any thread. Must not know: connections, threads, when anything is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any, NamedTuple, cast

from ...assembly.assembler import Assembler
from ...assembly.items import Cursor, Item
from ...assembly.updates import StreamEnded, Update
from ...frames.frame import Frame
from ...storage.item_facts import facts_of
from ..changes import PageChange
from ..production import has_all
from ..shown_streams import ShownStream
from .entries import encode_change, field_of
from .stored_stream import StoredFact
from .waiting_frames import WaitingFrames

_MOST_WAITING_BYTES = 32 * 2**20  # of previews that a newer one has replaced: about ten of 1024x1024
_MOST_REPEATS = 3  # of a frame whose bytes Redis removes, because its memory is full
_NOT_STORED = ("revised_prompt", "facts")  # Redis holds no prompts


class WaitingFrame(NamedTuple):
    """A frame whose bytes have to be in Redis before its fact."""

    number: int
    frame: Frame


@dataclass(slots=True, kw_only=True)
class Batch:
    """The facts of one write, and the position that holds with them; None if bytes are missing for it."""

    changes: list[PageChange]
    records: list[tuple[int, str]]  # the numbers and ids of items
    cursor: Cursor | None
    is_over: bool
    next_frame: int

    @property
    def cursor_text(self) -> str:
        """The position as the server keeps it; "" to keep the one before."""
        if self.cursor is None or (self.cursor.response_id is None and not self.is_over):
            return ""
        facts = {"response_id": self.cursor.response_id, "sequence_number": self.cursor.sequence_number}
        return json.dumps(facts | {"is_over": self.is_over})


class Outbox:
    """The facts and frames of `stream` that are not yet in Redis. None of them wait before `show`.

    cursor, is_over: the position up to which the facts in Redis hold, and whether the stream has ended there.
    is_read_to_end: whether the service has ended the stream, and nothing has interrupted it.
    """

    def __init__(self, stream: ShownStream, cursor: Cursor | None = None, *, is_over: bool = False) -> None:
        self.stream = stream
        self.cursor: Cursor = cursor or Cursor()
        self.is_over: bool = is_over
        self.is_read_to_end: bool = False
        self._assembler: Assembler | None = None
        self._is_shown = False
        self._lock = Lock()
        self._items: dict[int, PageChange] = {}
        self._frames = WaitingFrames()
        self._stored: dict[int, PageChange] = {}  # those whose bytes are in Redis, and not their facts
        self._digests: dict[int, str] = {}  # of the frames whose bytes are in Redis
        self._sent: set[int] = set()
        self._n_missing: dict[int, int] = {}  # how often Redis has removed the bytes of a frame
        self._dropped: dict[int, None] = {}
        self._dirty: dict[tuple[str, int], None] = {}
        self._is_cursor_new = self._is_in_flight = False

    # ---- in the thread that feeds

    def show(
        self,
        updates: Iterable[Update] = (),
        *,
        assembler: Assembler | None = None,
        earlier: Iterable[Mapping[str, Any]] = (),
        dropped: Iterable[int] = (),
    ) -> None:
        """Let the stream be shown from now on, with `updates` that led to its present state.

        assembler: its items are stored for the next producer; None if there will be none.
        earlier, dropped: the facts of items that viewers have, and the numbers of frames whose facts have to go.
        """
        with self._lock:
            self._assembler, self._is_shown = assembler, True
            self.stream.catch_up(updates, earlier)
            self._dropped |= dict.fromkeys(dropped)
            self._note(self.stream.changes())

    def take(self, update: Update, now_s: float) -> None:
        """Take the facts of an update."""
        with self._lock:
            self._note(self.stream.take(update, now_s))
            if isinstance(update, StreamEnded):
                self.is_over = self.is_over or has_all(
                    update.outcome,
                    self.cursor,
                    is_read_to_end=self.is_read_to_end,
                    has_items=bool(self.stream.items),
                )

    def set_cursor(self, cursor: Cursor, *, is_over: bool) -> None:
        """Set the position up to which all updates were taken."""
        with self._lock:
            self._is_cursor_new = self._is_cursor_new or (cursor, is_over) != (self.cursor, self.is_over)
            self.cursor, self.is_over = cursor, is_over or self.is_over

    def _note(self, changes: Iterable[PageChange]) -> None:
        for change in changes:
            number = int(change.key or 0)
            if change.kind == "frame":
                self._let_wait(change)
            elif change.kind == "dropped":
                self._forget(number)
            else:
                self._dirty[change.kind, number] = None
                if change.kind == "item":
                    self._items[number] = change
                    self._frames.rank_again(change.facts["frames"][:-1], is_newest=False)
                    self._frames.rank_again(change.facts["frames"][-1:], is_newest=True)
        self._frames.leave_out_replaced(_MOST_WAITING_BYTES)

    def _let_wait(self, change: PageChange) -> None:
        self._frames.add(change, is_newest=self._is_newest(change))

    def _forget(self, number: int) -> None:
        """Forget a frame that is not shown any more; if its fact was sent, it has to go."""
        self._frames.pop(number)
        self._stored.pop(number, None)
        if number in self._sent:
            self._sent.discard(number)
            self._dropped[number] = None

    def leave_out_all_previews(self) -> None:
        """Leave out the waiting previews that a newer one has replaced: Redis has no room for them."""
        with self._lock:
            self._frames.leave_out_replaced(0)

    def _is_newest(self, change: PageChange) -> bool:
        """Return whether a frame is the last one of its item."""
        item = self._items.get(change.facts["item"])
        return item is None or item.facts["frames"][-1:] == [int(change.key)]

    # ---- in the thread that sends

    @property
    def has_facts(self) -> bool:
        """Whether facts or frames wait."""
        with self._lock:
            return self._has_facts()

    @property
    def is_empty(self) -> bool:
        """Whether everything was sent, the position too."""
        with self._lock:
            return not (self._has_facts() or self._is_cursor_new or self._is_in_flight)

    def _has_facts(self) -> bool:
        return bool(self._dirty or self._frames or self._stored or self._dropped)

    def next_frame(self) -> WaitingFrame | None:
        """Return the most important frame whose bytes wait: a result, the last preview of an item, the newest other."""
        with self._lock:
            number = self._frames.first()
            return None if number is None else WaitingFrame(number, self.stream.frames[number])

    def set_stored(self, number: int, digest: str) -> None:
        """Note that the bytes of a frame are in Redis under `digest`, so that its fact can be written."""
        with self._lock:
            self._digests[number] = digest
            if change := self._frames.pop(number):
                self._stored[number] = change

    def batch(self) -> Batch:
        """Return the facts that can be written now. `set_written` or `put_back` follows."""
        with self._lock:
            self._is_in_flight = True
            stored, self._stored = self._stored, {}
            dropped, self._dropped = self._dropped, {}
            dirty, self._dirty = self._dirty, {}
            self._sent |= stored.keys()
            dirty |= {("item", change.facts["item"]): None for change in stored.values()}
            items = sorted(number for kind, number in dirty if kind == "item")
            changes = [self.stream.change()] if ("stream", 0) in dirty else []
            changes += [PageChange(stream=self.stream.name, kind="dropped", key=str(number)) for number in dropped]
            changes += [*stored.values(), *(self._sendable(self._items[number]) for number in items)]
            ids = [(number, self._items[number].facts["id"]) for number in items] if self._assembler else []
            is_whole = self._frames.are_replaced
            if is_whole:
                self._is_cursor_new = False
            return Batch(
                changes=changes,
                records=ids,
                cursor=self.cursor if is_whole else None,
                is_over=self.is_over,
                next_frame=self.stream.next_frame,
            )

    def _sendable(self, item: PageChange) -> PageChange:
        """Return the change of an item with those frames alone whose facts viewers have."""
        frames = [number for number in item.facts["frames"] if number in self._sent]
        return PageChange(stream=item.stream, kind="item", key=item.key, facts=item.facts | {"frames": frames})

    def set_written(self) -> None:
        """Note that the last batch was written."""
        with self._lock:
            self._is_in_flight = False

    def put_back(self, batch: Batch) -> None:
        """Let the facts of a batch wait again: it was not written."""
        with self._lock:
            self._is_in_flight = False
            self._is_cursor_new = True
            for change in batch.changes:
                number = int(change.key or 0)
                if change.kind == "dropped":
                    self._dropped[number] = None
                elif change.kind != "frame":
                    self._dirty[change.kind, number] = None
                elif number in self._sent:  # it may have been dropped meanwhile
                    self._sent.discard(number)
                    self._let_wait(change)

    def check_stored(self) -> None:
        """Let the frames wait again whose facts were not written: the server may have lost their bytes."""
        with self._lock:
            stored, self._stored = self._stored, {}
            for change in stored.values():
                self._let_wait(change)

    def send_all_again(self, numbers: Iterable[int]) -> None:
        """Let everything wait again. `numbers`: the frames of which Redis has facts."""
        with self._lock:
            self._frames, self._stored, self._sent = WaitingFrames(), {}, set()
            self._is_cursor_new = True
            if self._is_shown:
                self._dropped = {number: None for number in numbers if number not in self.stream.frames}
                self._note(self.stream.changes())

    def shown_frames(self) -> list[WaitingFrame]:
        """Return the frames whose facts viewers have."""
        with self._lock:
            return [WaitingFrame(number, self.stream.frames[number]) for number in sorted(self._sent)]

    def set_missing(self, number: int) -> None:
        """Send a frame again whose bytes Redis has removed to make room, or drop its fact.

        A result or the last preview of an item is sent again, a few times; the fact of another preview is dropped.
        """
        with self._lock:
            changes = {change.key: change for change in self.stream.changes() if change.kind == "frame"}
            change = changes.get(str(number))
            if change is None or number not in self._sent:
                return
            self._let_wait(change)
            self._n_missing[number] = self._n_missing.get(number, 0) + 1
            is_best = change.facts["is_final"] or self._is_newest(change)
            if is_best and self._n_missing[number] <= _MOST_REPEATS:
                self._sent.discard(number)
            else:
                self._forget(number)
                self._dirty["item", change.facts["item"]] = None

    def texts_of(self, batch: Batch) -> list[StoredFact]:
        """Return the facts of a batch as texts. It computes digests, which takes milliseconds."""
        facts = [self._text_of(change) for change in batch.changes]
        for number, item_id in batch.records:
            with suppress(KeyError):  # it was discarded
                record = json.dumps(_record_of(cast("Assembler", self._assembler)[item_id]))
                facts.append(StoredFact("hash", field_of("record", str(number)), record))
        return facts

    def _text_of(self, change: PageChange) -> StoredFact:
        if change.kind == "dropped":
            return StoredFact("drop", field_of("frame", change.key), encode_change(change))
        digest = self._digests[int(change.key)] if change.kind == "frame" else ""
        text = encode_change(change, address=self.stream.key, sha256=digest)
        return StoredFact("log", field_of(change.kind, change.key), text)


def _record_of(item: Item) -> Mapping[str, Any]:
    """Return the facts of an item with which the next producer goes on."""
    facts = facts_of(item, datetime.now(UTC))
    return {name: value for name, value in facts.items() if name not in _NOT_STORED}
