"""Follow a gallery in Redis: one thread and one connection of a process, for any number of viewers.

The thread reads everything at its start, and then follows the log. It reads everything again after a gap in the log,
after writes were lost, and for a new epoch. It works in portions, with rests between them, so that an event loop in
the same process can go on.
Must not know: viewers, the bytes of frames, producers.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from threading import Condition, Event, Thread
from typing import Any, TypeVar

from ..changes import PageChange, Version
from .connecting import NoPermissionError, ReadOnlyError, Redis, connect
from .entries import Entry, MalformedEntryError, StoredFrame, decode_entry, encode_change, field_of
from .keys import GalleryKeys
from .mirror import MAX_STREAMS, Mirror
from .scripts import MAX_ENTRIES, REMOVE

_log = logging.getLogger("imgassemble")
_T = TypeVar("_T")

_PORTION = 20  # entries or facts that are read at once: about a millisecond
_REST_S = 0.0005  # after a portion: the interpreter's lock is free for the event loop
_LULL_S = 0.01  # between two reads of the log: entries that follow each other at once are read together
_CHECK_S = 2.0  # between two looks at leases, the epoch, and the streams whose time has come
_TIMEOUT_S = 10.0  # for an answer; a server that hangs for longer is connected again
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0  # before the next attempt after a failure
_BEGINNING = b"0-0"
_EPOCH = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_ENTRY_ID = re.compile(rb"\d{1,15}-\d{1,15}")
_SHOWN_FIELDS = tuple(field_of(kind).encode() for kind in ("stream", "frame", "item"))
_GONE = b'["gone",'


class _TimelineError(Exception):
    """The log does not continue what was read: everything is read again."""


class Reader:
    """The facts of a gallery in Redis, followed by a thread. Safe in any thread.

    on_change: called in the thread of the reader, after the facts have changed.
    """

    def __init__(self, url: str, keys: GalleryKeys, on_change: Callable[[], object]) -> None:
        self._client = connect(url, timeout_s=_TIMEOUT_S, retries=0)
        self._asking = connect(url, timeout_s=2.0, retries=0)  # for questions of other threads
        # The address may set a shorter timeout. A server that has no entry must answer within it.
        self._longest_block_s = self._client.connection_pool.connection_kwargs["socket_timeout"] / 2
        self._keys, self._on_change = keys, on_change
        self._changed = Condition()  # its lock protects `mirror`
        self.mirror: Mirror = Mirror(None)
        self.n_malformed: int = 0
        self.clock_offset_s: float = 0.0  # from the clock of this machine to that of the server
        self._is_synced = False
        self._epoch: bytes | None = None
        self._last: tuple[bytes, Any] = _BEGINNING, None  # the id and the fields of the last entry that was read
        self._is_connected = False
        self._must_sync = True
        self._can_write = True
        self._check_at = 0.0
        self._logged: set[type[Exception]] = set()
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="imgassemble-redis", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread and its connections."""
        self._stopped.set()
        for client in (self._client, self._asking):
            client.connection_pool.disconnect()

    @property
    def lock(self) -> Condition:
        """Protects `mirror`."""
        return self._changed

    def wait_until_synced(self, timeout_s: float) -> bool:
        """Wait until everything was read once. Return whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_synced, timeout_s)

    def catch_up(self, timeout_s: float) -> None:
        """Return once the changes are known that any process made before now, or after `timeout_s` seconds."""
        until = time.monotonic() + timeout_s
        if not self.wait_until_synced(timeout_s) or not self._is_connected:
            return
        last = _id_of_last(self._asking.xrevrange(self._keys.log, count=1))
        with self._changed:
            self._changed.wait_for(lambda: self.mirror.version >= _version(last), max(0.0, until - time.monotonic()))

    def lose_frame(self, stored: StoredFrame) -> None:
        """Show a frame no longer whose bytes are gone."""
        with self._changed:
            has_changed = self.mirror.lose_frame(stored)
        if has_changed:
            self._publish()

    # ---- the thread

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopped.is_set():
            try:
                self._read()
                pause_s = _FIRST_PAUSE_S
            except _TimelineError:
                self._is_connected, self._must_sync = False, True
                self._stopped.wait(pause_s)
            except Exception as error:  # noqa: BLE001 - viewers would wait for ever if the thread ended
                if self._stopped.is_set():
                    break
                self._log_failure(error)
                self._is_connected = False
                self._client.connection_pool.disconnect()
                self._stopped.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        for client in (self._client, self._asking):
            client.close()

    def _log_failure(self, error: Exception) -> None:
        if type(error) not in self._logged:
            self._logged.add(type(error))
            advice = "viewers keep what they have, and the next attempt follows (logged once per type)"
            _log.warning("Redis cannot be read: %s: %s; %s", type(error).__name__, error, advice)

    def _read(self) -> None:
        """Read what is new, or wait for it for a while."""
        if not self._is_connected:
            self._must_sync = self._must_sync or not self._continues()
            if self._must_sync:
                self._sync()
            self._is_connected, self._must_sync = True, False
        now = time.monotonic()
        if now >= self._check_at:
            self._check_at = now + _CHECK_S
            self._check()
        wait_s = min(self._check_at - time.monotonic(), self._longest_block_s)
        n_read = self._follow(self.mirror, block_ms=max(1, int(1_000 * wait_s)))
        if n_read:
            self._publish()
            time.sleep(_REST_S if n_read == _PORTION else _LULL_S)

    def _publish(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._on_change()

    # ---- following the log

    def _follow(self, mirror: Mirror, *, block_ms: int | None) -> int:
        """Read the next entries of the log into `mirror` and return their number. None does not wait for entries."""
        answer = self._client.xread({self._keys.log: self._last[0]}, count=_PORTION, block=block_ms)
        entries = answer[0][1] if answer else []
        decoded = [(_version(entry_id), self._decode(fields.get(b"c"))) for entry_id, fields in entries]
        self._check_links(entries)
        with self._changed:
            for version, entry in decoded:
                if entry is not None:
                    if mirror.is_hidden(entry.change.stream):
                        raise _TimelineError
                    self._take(mirror, entry, version)
                mirror.note(version)
        if entries:
            if self._epoch is None and self._client.get(self._keys.epoch):  # the first entry of the gallery
                raise _TimelineError
            self._last = entries[-1]
        return len(entries)

    def _check_links(self, entries: Iterable[tuple[bytes, Any]]) -> None:
        """Raise _TimelineError if one of `entries` does not name the entry before it."""
        before = self._last[0]
        for entry_id, fields in entries:
            if fields.get(b"p", before) != before:  # an entry without `p` is malformed, and is counted
                raise _TimelineError
            before = entry_id

    def _decode(self, text: bytes | None) -> Entry | None:
        """Return the change of a text; None if it is malformed, which is counted."""
        try:
            return decode_entry(text or b"")
        except MalformedEntryError as error:
            self._note_malformed(error)
            return None

    def _take(self, mirror: Mirror, entry: Entry, version: Version) -> None:
        try:
            mirror.take(entry, version)
        except MalformedEntryError as error:
            self._note_malformed(error)

    def _note_malformed(self, error: Exception) -> None:
        self.n_malformed += 1
        if self.n_malformed == 1:
            _log.warning("%s; it is skipped (the first one is logged, all are counted in n_malformed)", error)

    def _continues(self) -> bool:
        """Return whether the log still has the last entry that was read, after a lost connection."""
        last_id, fields = self._last
        if self._client.get(self._keys.epoch) != self._epoch:
            return False
        return last_id == _BEGINNING or self._client.xrange(self._keys.log, last_id, last_id) == [(last_id, fields)]

    # ---- reading everything

    def _sync(self) -> None:
        """Read everything into a new mirror, and follow the log to its end. Viewers see the new mirror after that."""
        self._check_at = 0.0
        self._epoch = epoch = self._client.get(self._keys.epoch)
        mirror = Mirror(epoch.decode() if epoch and _EPOCH.fullmatch(epoch) else None)
        seconds, microseconds = self._client.time()
        self.clock_offset_s = seconds + microseconds / 1_000_000 - time.time()
        entries = self._client.xrevrange(self._keys.log, count=1)
        self._last = entries[0] if entries else (_BEGINNING, None)
        until = _version(self._last[0])
        found = [*self._removals(mirror, until), *self._facts(until)]
        for portion in _portions(sorted(found, key=lambda each: each[0])):
            for version, entry in portion:
                self._take(mirror, entry, version)
            time.sleep(_REST_S)
        mirror.note(until)
        while self._follow(mirror, block_ms=None):
            time.sleep(_REST_S)
        mirror.set_orphans(self._orphans(mirror.open_names, mirror))
        with self._changed:
            self.mirror, self._is_synced = mirror, True
        self._publish()

    def _removals(self, mirror: Mirror, until: Version) -> Iterator[tuple[Version, Entry]]:
        """Yield the removals in the log, and note the ids of its entries, up to `until`."""
        start = b"-"
        while entries := self._client.xrange(self._keys.log, start, self._last[0], count=_PORTION):
            if start == b"-" and entries[0][1].get(b"p") == _BEGINNING:
                mirror.note(Version())  # the log still has its first entry
            for entry_id, fields in entries:
                mirror.note(_version(entry_id))
                text = fields.get(b"c", b"")
                if text.startswith(_GONE) and (entry := self._decode(text)):
                    yield _version(entry_id), entry
            start = b"(" + entries[-1][0]
            time.sleep(_REST_S)

    def _facts(self, until: Version) -> Iterator[tuple[Version, Entry]]:
        """Yield the facts of all streams with the ids of their entries. Newer ones than `until` follow in the log."""
        names = [
            name for raw in self._client.zrange(self._keys.expires, 0, MAX_STREAMS - 1) if (name := self._name(raw))
        ]
        for name in names:
            fields = self._client.hgetall(self._keys.facts(name))
            for portion in _portions(fields.items()):
                yield from self._decoded_facts(name, portion, until)
                time.sleep(_REST_S)

    def _decoded_facts(
        self, stream: str, fields: Iterable[tuple[bytes, bytes]], until: Version
    ) -> Iterator[tuple[Version, Entry]]:
        for field, value in fields:
            if not field.startswith(_SHOWN_FIELDS):
                continue  # of use to producers only
            entry_id, _, text = value.partition(b"\n")
            entry = self._decode(text)
            if entry is None:
                continue
            place = field_of(entry.change.kind, entry.change.key).encode()
            if entry.change.stream != stream or field != place or not _ENTRY_ID.fullmatch(entry_id):
                self._note_malformed(MalformedEntryError("a fact in Redis has the place of another one"))
            elif _version(entry_id) <= until:
                yield _version(entry_id), entry

    def _name(self, raw: bytes) -> str | None:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            self._note_malformed(error)
            return None

    # ---- leases, the epoch, and streams whose time has come

    def _check(self) -> None:
        if self._client.get(self._keys.epoch) != self._epoch:
            raise _TimelineError
        names = self.mirror.open_names
        orphans = self._orphans(names, self.mirror)
        while self._follow(self.mirror, block_ms=None):  # a stream ends before its producer gives back the lease
            self._publish()
            time.sleep(_REST_S)
        with self._changed:
            has_changed = self.mirror.set_orphans(orphans)
        if has_changed:
            self._publish()
        self._remove_expired()

    def _orphans(self, names: Sequence[str], mirror: Mirror) -> dict[str, bool]:
        """Return the streams among `names` that have no producer, and whether another one can go on with each."""
        can_go_on, produced = {}, self._produced_names()
        for portion in _portions(name for name in names if name.encode() not in produced):
            with self._client.pipeline(transaction=False) as pipeline:
                for name in portion:
                    pipeline.hmget(self._keys.meta(name), "cursor", "kind")
                answers = pipeline.execute()
            for name, (cursor, kind) in zip(portion, answers, strict=True):
                can_go_on[name] = kind != b"add" and bool(cursor or not mirror.has_items(name))
            time.sleep(_REST_S)
        return can_go_on

    def _produced_names(self) -> set[bytes]:
        """Return the names of the streams that have a producer."""
        return set(self._client.zrange(self._keys.leases, self._now_ms, "+inf", byscore=True))

    @property
    def _now_ms(self) -> int:
        return int(1_000 * (time.time() + self.clock_offset_s))

    def _remove_expired(self) -> None:
        """Remove the streams whose time has come; a process that may not write removes them for its viewers."""
        keys, now_ms = self._keys, self._now_ms
        for raw in self._client.zrange(keys.expires, "-inf", now_ms, byscore=True, offset=0, num=MAX_STREAMS):
            name = self._name(raw)
            if name is not None and not self.mirror.is_hidden(name):
                self._remove(name)

    def _remove(self, name: str) -> None:
        if self._can_write:
            try:
                remove_stream(self._client, self._keys, name, only_expired=True)
            except (NoPermissionError, ReadOnlyError):
                self._can_write = False
        if not self._can_write and name.encode() not in self._produced_names():
            with self._changed:
                self.mirror.hide(name)
            self._publish()


def remove_stream(client: Redis, keys: GalleryKeys, name: str, *, only_expired: bool = False) -> None:
    """Remove a stream from Redis; with `only_expired` only if its time has come and it has no producer."""
    gone = encode_change(PageChange(stream=name, kind="gone"))
    places = (keys.log, keys.facts(name), keys.meta(name), keys.leases, keys.expires)
    client.eval(REMOVE, len(places), *places, MAX_ENTRIES, name, gone, *(["expired"] if only_expired else []))


def _portions(values: Iterable[_T]) -> Iterator[tuple[_T, ...]]:
    iterator = iter(values)
    while portion := tuple(islice(iterator, _PORTION)):
        yield portion


def _version(entry_id: bytes) -> Version:
    milliseconds, _, serial = entry_id.partition(b"-")
    return Version(int(milliseconds), int(serial))


def _id_of_last(entries: Sequence[tuple[bytes, Any]]) -> bytes:
    return entries[0][0] if entries else _BEGINNING
