"""The facts of a gallery in Redis as one process has read them: changes for its viewers, and places of frames.

Must not know: connections, threads, the bytes of frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...errors import clean
from ...screens.tiles import LONGEST_CAPTION
from ..changes import RESET, ChangeLog, PageChange, Version
from ..production import orphan_change
from .entries import Entry, MalformedEntryError, StoredFrame

_NOT_KEPT = "; its pictures are no longer kept"
_MAX_REMOVED = 10_000  # names of removed streams
MAX_STREAMS = 10_000
_MAX_FRAMES = 20_000  # of a stream
_MAX_POSITIONS = 20_000  # ids of entries; the log has about 10,000 entries


class Mirror:
    """The facts of a gallery in Redis. Not thread-safe.

    A position is known if its entry belongs to the log. So a viewer whose position was lost with the last writes of a
    server begins again, in any process.
    """

    def __init__(self, epoch: str | None) -> None:
        self._log = ChangeLog(_MAX_REMOVED, epoch)
        self._positions: dict[Version, None] = {}  # of the entries of the log, in their order
        self._streams: dict[str, PageChange] = {}  # their facts as they are in Redis
        self._frames: dict[str, dict[int, StoredFrame]] = {}  # by stream and number
        self._owners: dict[str, str] = {}  # the streams by the key of their addresses
        self._orphans: dict[str, bool] = {}  # by name, whether a producer can go on
        self._hidden: set[str] = set()

    # ---- for viewers

    @property
    def position(self) -> str:
        return self._log.position

    @property
    def version(self) -> Version:
        """The version of the last entry, without the changes that this process has made."""
        return self._log.version._replace(local=0)

    def is_known(self, position: str) -> bool:
        version = self._log.version_of(position)
        return version is not None and version._replace(local=0) in self._positions and self._log.is_known(position)

    def since(self, position: str) -> list[PageChange]:
        """Return the changes after `position` as `Gallery.changes` does."""
        if position and not self.is_known(position):
            return [RESET, *self._log.since("")]
        return self._log.since(position)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the streams, the oldest first."""
        return tuple(sorted(self._streams, key=lambda name: int(self._streams[name].facts["number"])))

    @property
    def open_names(self) -> tuple[str, ...]:
        """The names of the streams that have not ended."""
        return tuple(name for name, change in self._streams.items() if change.facts["outcome"] is None)

    @property
    def orphans(self) -> tuple[str, ...]:
        """The names of the open streams without a producer, the oldest first."""
        return tuple(name for name in self.names if name in self._orphans)

    def stream_of(self, address: str) -> str | None:
        return self._owners.get(address)

    def stored_frame(self, address: str, number: int) -> StoredFrame | None:
        stored = self._frames.get(self._owners.get(address, ""), {}).get(number)
        return stored if stored is not None and stored.address == address else None

    def has_items(self, stream: str) -> bool:
        return self._log.last("item", stream, "0") is not None

    def is_hidden(self, stream: str) -> bool:
        return stream in self._hidden

    # ---- for the reader

    def note(self, version: Version) -> None:
        """Note that an entry of the log was read, well-formed or not: viewers may continue from it."""
        self._log.version = max(version, self._log.version)
        self._positions[version] = None
        while len(self._positions) > _MAX_POSITIONS:
            del self._positions[next(iter(self._positions))]

    def take(self, entry: Entry, version: Version) -> None:
        """Take the change that an entry has brought. Raises MalformedEntryError if another stream has its address."""
        change, stream = entry.change, entry.change.stream
        if entry.stored is not None:
            self._put_frame(entry.stored)
        elif change.kind == "dropped":
            self._drop_frame(stream, int(change.key))
        elif change.kind == "gone":
            self._forget(stream)
        elif change.kind == "stream":
            self._put_stream(change)
        self._log.add(change, version)

    def set_orphans(self, can_go_on: Mapping[str, bool]) -> bool:
        """Make these open streams the orphans, and return whether that changed anything.

        can_go_on: by name, whether another producer can go on with the stream.
        """
        before = self._orphans
        self._orphans = {name: can_go_on[name] for name in self.open_names if name in can_go_on}
        changed = {name for name, _ in before.items() ^ self._orphans.items() if name in self._streams}
        for name in changed:
            self._log.add(self._shown(self._streams[name]))
        return bool(changed)

    def hide(self, stream: str) -> None:
        """Remove a stream here alone, because its time has come and this process cannot write."""
        self._hidden.add(stream)
        self._forget(stream)
        self._log.add(PageChange(stream=stream, kind="gone"))

    def lose_frame(self, stored: StoredFrame) -> bool:
        """Take a frame from its item, because its bytes are gone or are other ones. Return whether it was there."""
        shown = self._log.last("frame", stored.stream, str(stored.number))
        if shown is None or self.stored_frame(stored.address, stored.number) != stored:
            return False
        self._drop_frame(stored.stream, stored.number)
        self._log.add(PageChange(stream=stored.stream, kind="dropped", key=str(stored.number)))
        if item := self._log.last("item", stored.stream, str(shown.facts["item"])):
            self._log.add(_without_frame(item, stored.number))
        return True

    def _put_stream(self, change: PageChange) -> None:
        if change.stream not in self._streams and len(self._streams) >= MAX_STREAMS:
            raise MalformedEntryError(f"there are {MAX_STREAMS:,} streams already")
        self._streams[change.stream] = change
        self._orphans.pop(change.stream, None)  # a producer has written it

    def _shown(self, change: PageChange) -> PageChange:
        """Return the facts of a stream for viewers: those of an orphan say that its producer has gone."""
        can_go_on = self._orphans.get(change.stream)
        return change if can_go_on is None else orphan_change(change, can_go_on=can_go_on)

    def _put_frame(self, stored: StoredFrame) -> None:
        if self._owners.get(stored.address, stored.stream) != stored.stream:
            raise MalformedEntryError("the address of a frame belongs to another stream")
        frames = self._frames.setdefault(stored.stream, {})
        if len(frames) >= _MAX_FRAMES and stored.number not in frames:
            raise MalformedEntryError(f"a stream has {_MAX_FRAMES:,} frames already")
        self._owners[stored.address] = stored.stream
        frames[stored.number] = stored

    def _drop_frame(self, stream: str, number: int) -> None:
        frames = self._frames.get(stream, {})
        stored = frames.pop(number, None)
        if stored is not None and all(other.address != stored.address for other in frames.values()):
            del self._owners[stored.address]

    def _forget(self, stream: str) -> None:
        self._streams.pop(stream, None)
        self._orphans.pop(stream, None)
        for stored in self._frames.pop(stream, {}).values():
            self._owners.pop(stored.address, None)


def _without_frame(item: PageChange, number: int) -> PageChange:
    frames = [kept for kept in item.facts["frames"] if kept != number]
    caption = item.facts["caption"]
    if not frames:
        caption = clean(caption, LONGEST_CAPTION - len(_NOT_KEPT)) + _NOT_KEPT
    return replace(item, facts=item.facts | {"frames": frames, "caption": caption})
