"""Read the contents of a gallery from Redis: its log, its facts, its leases, and the streams whose time has come.

Everything is read in portions, with rests between them, so that an event loop in the same process can go on.
Must not know: threads, viewers, the bytes of frames.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple, TypeVar

from ..changes import PageChange, Version
from .connecting import NoPermissionError, ReadOnlyError, Redis, ResponseError
from .entries import Entry, MalformedEntryError, decode_entry, encode_change, field_of
from .keys import GalleryKeys
from .mirror import MAX_STREAMS
from .scripts import MAX_ENTRIES, REMOVE

_log = logging.getLogger("imgassemble")
_T = TypeVar("_T")

PORTION = 20  # entries or facts that are read at once: about a millisecond
REST_S = 0.0005  # after a portion: the interpreter's lock is free for the event loop
_EPOCH = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_ENTRY_ID = re.compile(rb"\d{1,15}-\d{1,15}")
_SHOWN_FIELDS = tuple(field_of(kind).encode() for kind in ("stream", "frame", "item"))
_GONE = b'["gone",'


class RawEntry(NamedTuple):
    """An entry of the log as Redis returns it."""

    id: bytes
    fields: dict[bytes, bytes]

    @property
    def version(self) -> Version:
        return _version(self.id)


_LATEST = Version(milliseconds=2**64)
BEGINNING = RawEntry(b"0-0", {})
"""The place before the first entry of a log."""


class StoredGallery:
    """The contents of a gallery in Redis. For one thread.

    n_malformed: texts that were no changes, and were skipped.
    clock_offset_s: from the clock of this machine to that of the server.
    """

    def __init__(self, client: Redis, keys: GalleryKeys) -> None:
        self._client, self._keys = client, keys
        self._can_write = True
        self.n_malformed: int = 0
        self.clock_offset_s: float = 0.0

    # ---- the log

    def epoch(self) -> str | None:
        """Return the epoch; None while no stream was ever added."""
        epoch = self._client.get(self._keys.epoch)
        return epoch.decode() if epoch and _EPOCH.fullmatch(epoch) else None

    def has_entry(self, entry: RawEntry) -> bool:
        """Return whether the log has this very entry."""
        return entry == BEGINNING or self._client.xrange(self._keys.log, entry.id, entry.id) == [entry]

    def entries_after(self, entry: RawEntry, *, block_ms: int | None = None) -> list[RawEntry]:
        """Return the next entries, at most PORTION. Waits for the first one at most `block_ms`; None does not wait."""
        answer = self._client.xread({self._keys.log: entry.id}, count=PORTION, block=block_ms)
        return [RawEntry(*found) for found in answer[0][1]] if answer else []

    def decode(self, text: bytes) -> Entry | None:
        """Return the change of a text; None if it is malformed, which is counted."""
        try:
            return decode_entry(text)
        except MalformedEntryError as error:
            self.note_malformed(error)
            return None

    def note_malformed(self, error: Exception) -> None:
        self.n_malformed += 1
        if self.n_malformed == 1:
            _log.warning("%s; it is skipped (the first one is logged, all are counted in n_malformed)", error)

    # ---- everything

    def changes_until(self, last: RawEntry, note: Callable[[Version], object]) -> Iterator[tuple[Version, Entry]]:
        """Yield all facts and removals up to the entry `last`, in the order of their entries.

        Newer facts follow in the log. If the log is empty, its entries were removed, and all facts count.
        note: called with the version of each entry of the log.
        """
        until = last.version if last != BEGINNING else _LATEST
        found = [*self._removals(last, note), *self._facts(until)]
        for portion in _portions(sorted(found, key=lambda each: each[0])):
            yield from portion
            time.sleep(REST_S)

    def _removals(self, last: RawEntry, note: Callable[[Version], object]) -> Iterator[tuple[Version, Entry]]:
        start = b"-"
        while found := self._client.xrange(self._keys.log, start, last.id, count=PORTION):
            entries = [RawEntry(*each) for each in found]
            if start == b"-" and entries[0].fields.get(b"p") == BEGINNING.id:
                note(BEGINNING.version)  # the log still has its first entry
            for entry in entries:
                note(entry.version)
                text = entry.fields.get(b"c", b"")
                if text.startswith(_GONE) and (removal := self.decode(text)):
                    yield entry.version, removal
            start = b"(" + entries[-1].id
            time.sleep(REST_S)

    def _facts(self, until: Version) -> Iterator[tuple[Version, Entry]]:
        """Yield the facts of all streams, up to the version `until`."""
        for name in self._names(self._client.zrange(self._keys.expires, 0, MAX_STREAMS - 1)):
            for portion in _portions(self._fields_of(name).items()):
                for field, value in portion:
                    fact = self._fact(name, field, value) if field.startswith(_SHOWN_FIELDS) else None
                    if fact and fact[0] <= until:
                        yield fact
                time.sleep(REST_S)

    def _fields_of(self, stream: str) -> dict[bytes, bytes]:
        try:
            fields: dict[bytes, bytes] = self._client.hgetall(self._keys.facts(stream))
            return fields
        except ResponseError as error:
            self._skip_wrong_type(error)
            return {}

    def _skip_wrong_type(self, error: Exception) -> None:
        """Count a key of another type as malformed. Raises other errors."""
        if not str(error).startswith("WRONGTYPE"):
            raise error
        self.note_malformed(MalformedEntryError("a key of a stream in Redis is no hash"))

    def _fact(self, stream: str, field: bytes, value: bytes) -> tuple[Version, Entry] | None:
        """Return a fact with the version of its entry; None if it is malformed."""
        entry_id, _, text = value.partition(b"\n")
        entry = self.decode(text)
        if entry is None:
            return None
        place = field_of(entry.change.kind, entry.change.key).encode()
        if entry.change.stream == stream and field == place and _ENTRY_ID.fullmatch(entry_id):
            return _version(entry_id), entry
        self.note_malformed(MalformedEntryError("a fact in Redis has the place of another one"))
        return None

    def _names(self, names: Iterable[bytes]) -> Iterator[str]:
        for name in names:
            try:
                yield name.decode()
            except UnicodeDecodeError as error:
                self.note_malformed(error)

    # ---- leases, and streams whose time has come

    def measure_clock(self) -> None:
        """Set `clock_offset_s`."""
        seconds, microseconds = self._client.time()
        self.clock_offset_s = seconds + microseconds / 1_000_000 - time.time()

    def orphans(self, names: Sequence[str], has_items: Callable[[str], bool]) -> dict[str, bool]:
        """Return the streams among `names` that have no producer, and whether another one can go on with each."""
        can_go_on, produced = {}, self._produced_names()
        for portion in _portions(name for name in names if name.encode() not in produced):
            with self._client.pipeline(transaction=False) as pipeline:
                for name in portion:
                    pipeline.hmget(self._keys.meta(name), "cursor", "kind")
                answers = pipeline.execute(raise_on_error=False)
            for name, answer in zip(portion, answers, strict=True):
                if isinstance(answer, Exception):
                    self._skip_wrong_type(answer)
                    can_go_on[name] = False
                else:
                    cursor, kind = answer
                    can_go_on[name] = kind != b"add" and bool(cursor or not has_items(name))
            time.sleep(REST_S)
        return can_go_on

    def expired_names(self) -> list[str]:
        """Return the names of the streams whose time has come."""
        found = self._client.zrange(self._keys.expires, "-inf", self._now_ms, byscore=True, offset=0, num=MAX_STREAMS)
        return list(self._names(found))

    def remove_expired(self, name: str) -> bool:
        """Remove a stream whose time has come. Return False if this process may not write, and it has no producer."""
        if self._can_write:
            try:
                remove_stream(self._client, self._keys, name, only_expired=True)
            except (NoPermissionError, ReadOnlyError):
                self._can_write = False
        return self._can_write or name.encode() in self._produced_names()

    def _produced_names(self) -> set[bytes]:
        return set(self._client.zrange(self._keys.leases, self._now_ms, "+inf", byscore=True))

    @property
    def _now_ms(self) -> int:
        return int(1_000 * (time.time() + self.clock_offset_s))


def last_entry(client: Redis, keys: GalleryKeys) -> RawEntry:
    """Return the last entry of the log of a gallery, or BEGINNING."""
    found = client.xrevrange(keys.log, count=1)
    return RawEntry(*found[0]) if found else BEGINNING


def remove_expired_streams(client: Redis, keys: GalleryKeys, name: str) -> None:
    """Remove `name` and some other streams, if their time has come and this process may: perhaps no worker does."""
    seconds, microseconds = client.time()
    now_ms = 1_000 * seconds + microseconds // 1_000
    with suppress(NoPermissionError):
        for other in client.zrange(keys.expires, "-inf", now_ms, byscore=True, offset=0, num=PORTION):
            remove_stream(client, keys, other.decode(errors="replace"), only_expired=True)
        remove_stream(client, keys, name, only_expired=True)


def remove_stream(client: Redis, keys: GalleryKeys, name: str, *, only_expired: bool = False) -> None:
    """Remove a stream from Redis; with `only_expired` only if its time has come and it has no producer."""
    gone = encode_change(PageChange(stream=name, kind="gone"))
    places = (keys.log, keys.facts(name), keys.meta(name), keys.leases, keys.expires)
    client.eval(REMOVE, len(places), *places, MAX_ENTRIES, name, gone, *(["expired"] if only_expired else []))


def _portions(values: Iterable[_T]) -> Iterator[tuple[_T, ...]]:
    iterator = iter(values)
    while portion := tuple(islice(iterator, PORTION)):
        yield portion


def _version(entry_id: bytes) -> Version:
    milliseconds, _, serial = entry_id.partition(b"-")
    return Version(int(milliseconds), int(serial))
