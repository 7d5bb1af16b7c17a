"""The streams of a gallery in one process, within its bounds: their facts as changes, and their frames as received.

Must not know: threads, timers, viewers, how a stream is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import TIMEOUT_MAX

from ..assembly.updates import Anomaly, StreamEnded, Update
from ..errors import StreamTakenError, UsageError, clean
from ..frames.frame import Frame
from .changes import ChangeLog, PageChange
from .local_production import LocalProduction, MadeStream
from .production import orphan_change
from .shown_streams import ShownItem, ShownStream


class LocalStreams:
    """The streams that viewers of this process see. Not thread-safe.

    keep_s, max_bytes, max_streams, clock: as for Gallery. `prune` keeps the first three.
    log: the changes for viewers.
    """

    def __init__(self, keep_s: float, max_bytes: int, max_streams: int, clock: Callable[[], float]) -> None:
        self.log: ChangeLog = ChangeLog(max_streams)
        self._keep_s, self._max_bytes, self._max_streams, self._clock = keep_s, max_bytes, max_streams, clock
        self._began_at = clock()
        self._n_added = 0
        self._streams: dict[str, ShownStream] = {}
        self._ended: dict[str, float] = {}  # the names of the streams that have ended, and when
        self._made: dict[str, MadeStream] = {}  # those that producers make
        self._names: dict[str, str] = {}  # the names of the streams by the key of their addresses
        self._n_bytes = 0  # of all frames that have an address
        self._prunable: dict[tuple[int, str], tuple[ShownStream, ShownItem]] = {}  # items with more than one frame

    @property
    def now_s(self) -> float:
        """The seconds since the beginning, by the clock."""
        return round(self._clock() - self._began_at, 3)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the streams, the oldest first."""
        return tuple(self._streams)

    @property
    def orphans(self) -> tuple[str, ...]:
        """The names of the streams whose producer has gone before their end."""
        return tuple(name for name, made in self._made.items() if made.is_orphan(self._streams[name]))

    def name_of(self, key: str) -> str | None:
        """Return the name of the stream with this key in its addresses; None if there is none."""
        return self._names.get(key)

    def frame(self, key: str, number: int) -> Frame | None:
        """Return the frame with this number of the stream with this key; None if there is none."""
        name = self._names.get(key)
        return None if name is None else self._streams[name].frames.get(number)

    # ---- adding a stream

    def add(self, name: str, title: str | None, size: tuple[int, int] | None) -> ShownStream:
        """Add a stream. Raises UsageError if its name is in use, or if too many streams have not ended."""
        self._check_room(name)
        shown_title = name if title is None else title
        stream = ShownStream(name=name, title=shown_title, number=self._n_added, began_s=self.now_s, size=size)
        self._n_added += 1
        self._streams[name] = stream
        self._names[stream.key] = name
        self.log.add(stream.change())
        return stream

    def _check_room(self, name: str) -> None:
        self.prune()
        if name in self._streams:
            raise UsageError(f"a stream {clean(name, 60)!r} is shown already: choose another name, or remove() it")
        self.prune(new_streams=1)
        if len(self._streams) >= self._max_streams:
            raise UsageError(f"{self._max_streams:,} streams have not ended: Gallery(max_streams=…) allows more")

    def catch_up(self, stream: ShownStream, updates: Iterable[Update]) -> None:
        """Take the updates before the first one of its listener. To take one twice is harmless, except an anomaly."""
        known = list(updates)
        if known:
            stream.began_s = None
        stream.caught_up = tuple(update for update in known if isinstance(update, Anomaly))
        for update in known:
            self._take(stream, update)

    # ---- taking updates

    def take(self, stream: ShownStream, update: Update) -> bool:
        """Take an update of a stream. Return False if the stream was removed."""
        if self._streams.get(stream.name) is not stream:
            return False
        if not _is_in(stream.caught_up, update):
            self._take(stream, update)
        return True

    def _take(self, stream: ShownStream, update: Update) -> None:
        n_bytes = stream.n_bytes
        self._publish(stream, stream.take(update, self.now_s), n_bytes)
        if isinstance(update, StreamEnded):
            self._note_ended(stream)
        elif update.item_id is not None:
            self._note_prunable(stream, stream.items[update.item_id])

    def _publish(self, stream: ShownStream, changes: list[PageChange], n_bytes: int) -> None:
        """Add changes of a stream to the log. `n_bytes`: those of its frames before the changes."""
        self._n_bytes += stream.n_bytes - n_bytes
        for change in changes:
            self.log.add(change)

    def _note_prunable(self, stream: ShownStream, item: ShownItem) -> None:
        if len(item.frames) > 1:
            self._prunable.setdefault((stream.number, item.id), (stream, item))
        else:
            self._prunable.pop((stream.number, item.id), None)

    # ---- producers

    def producer_of(self, name: str) -> LocalProduction | None:
        """Return the present producer of a stream; None if it has none."""
        made = self._made.get(name)
        return made.producer if made else None

    def is_made(self, name: str) -> bool:
        """Return whether the stream is one that producers make."""
        return name in self._made

    def claim(self, production: LocalProduction) -> MadeStream:
        """Give a stream to a producer; add it if it is new. Raises StreamTakenError if another producer has it."""
        name = production.name
        made = self._made.get(name)
        if made is None:
            self.add(name, production.title, production.size)  # refuses a stream without a producer
            made = self._made[name] = MadeStream()
        elif made.producer is not None:
            raise StreamTakenError(f"another producer makes the stream {clean(name, 60)!r}: wait for its end")
        made.producer = production
        self._ended.pop(name, None)
        return made

    def succeed(self, production: LocalProduction, updates: Callable[[ShownStream], Iterable[Update]]) -> bool:
        """Begin the stream of a producer again. Return False if the stream was removed.

        updates: called with the new stream, which is shown from then on; returns the updates before its first one.
        """
        if self._made.get(production.name) is not production.made:
            return False
        old = self._streams[production.name]
        stream = self._streams[old.name] = old.successor()
        n_bytes = old.n_bytes
        self._publish(old, [change for item in list(old.items.values()) for change in old.drop(item)], n_bytes)
        stream.catch_up(updates(stream), (item.facts for item in old.items.values()))
        for item in stream.items.values():
            self._note_prunable(stream, item)
        self._publish(stream, stream.changes(), 0)
        return True

    def release(self, production: LocalProduction) -> bool:
        """Take the stream from its producer; without an end it is an orphan. Return False if it is not the producer."""
        made = self._made.get(production.name)
        if made is None or made.producer is not production:
            return False
        made.producer = None
        stream = self._streams[production.name]
        if made.is_orphan(stream):
            self.log.add(orphan_change(stream.change(), can_go_on=made.earlier().can_go_on))
        self._note_ended(stream)
        return True

    # ---- removing

    def _note_ended(self, stream: ShownStream) -> None:
        """Keep a stream that has ended for keep_s from now on."""
        self._ended.pop(stream.name, None)
        self._ended[stream.name] = self._clock()

    def prune(self, *, new_streams: int = 0) -> None:
        """Remove what exceeds keep_s, max_streams (with `new_streams` more) and max_bytes."""
        now = self._clock()
        while self._ended:
            name, ended_at = next(iter(self._ended.items()))
            if now - ended_at < self._keep_s and len(self._streams) + new_streams <= self._max_streams:
                break
            self.remove(name)
        while self._prunable and self._n_bytes > self._max_bytes:
            stream, item = next(iter(self._prunable.values()))
            n_bytes = stream.n_bytes
            self._publish(stream, stream.drop_oldest_frame(item), n_bytes)
            self._note_prunable(stream, item)
        while self._ended and self._n_bytes > self._max_bytes:
            self.remove(next(iter(self._ended)))

    @property
    def next_removal_s(self) -> float | None:
        """The seconds for which the stream that ended first is still kept; None if none is removed by its time."""
        if not self._ended or self._keep_s >= TIMEOUT_MAX:
            return None
        return next(iter(self._ended.values())) + self._keep_s - self._clock()

    def remove(self, name: str) -> None:
        """Remove a stream and its frames. Without a stream of this name, nothing happens."""
        stream = self._streams.pop(name, None)
        if stream is None:
            return
        self._ended.pop(name, None)
        self._made.pop(name, None)
        del self._names[stream.key]
        for item in stream.items.values():
            self._prunable.pop((stream.number, item.id), None)
        self._n_bytes -= stream.n_bytes
        stream.drop_frames()
        self.log.add(PageChange(stream=name, kind="gone"))


def _is_in(caught_up: tuple[Update, ...], update: Update) -> bool:
    """Return whether `caught_up` has this anomaly. The assembler keeps it, or a copy with the very same message."""
    return isinstance(update, Anomaly) and any(
        isinstance(each, Anomaly) and each.message is update.message for each in caught_up
    )
