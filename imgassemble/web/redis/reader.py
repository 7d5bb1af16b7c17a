"""Follow a gallery in Redis: one thread and one connection of a process, for any number of viewers.

The thread reads everything at its start, and then follows the log. It reads everything again after a gap in the log,
after writes were lost, and for a new epoch.
Must not know: viewers, the commands of Redis, the bytes of frames, producers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Condition, Event, Thread

from ..changes import Version
from .connecting import connect
from .entries import Entry, MalformedEntryError, StoredFrame
from .keys import GalleryKeys
from .mirror import Mirror
from .stored_gallery import BEGINNING, PORTION, REST_S, RawEntry, StoredGallery, last_entry

_log = logging.getLogger("imgassemble")

_LULL_S = 0.01  # between two reads of the log: entries that follow each other at once are read together
_CHECK_S = 2.0  # between two looks at leases, the epoch, and the streams whose time has come
_TIMEOUT_S = 10.0  # for an answer; a server that hangs for longer is connected again
_ASKING_S = 2.0  # for an answer to another thread
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0  # before the next attempt after a failure


class _TimelineError(Exception):
    """The log does not continue the entries that were read: everything is read again."""


class Reader:
    """The facts of a gallery in Redis, followed by a thread. Safe in any thread.

    on_change: called after the facts have changed, usually in the thread of the reader.
    lock: protects `mirror`.
    """

    def __init__(self, url: str, keys: GalleryKeys, on_change: Callable[[], object]) -> None:
        self._client = connect(url, timeout_s=_TIMEOUT_S, retries=0)
        self._asking = connect(url, timeout_s=_ASKING_S, retries=0)  # for questions of other threads
        # The address may set a shorter timeout. A server that has no entry must answer within it.
        self._longest_block_s = self._client.connection_pool.connection_kwargs["socket_timeout"] / 2
        self._keys, self._on_change = keys, on_change
        self._stored = StoredGallery(self._client, keys)
        self.lock: Condition = Condition()
        self.mirror: Mirror = Mirror(None)
        self._epoch: str | None = None
        self._last: RawEntry = BEGINNING  # the last entry that was read
        self._is_connected = self._is_synced = False
        self._must_sync = True
        self._check_at = 0.0
        self._logged: set[type[Exception]] = set()
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="imgassemble-redis", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and its connections."""
        self._stopped.set()
        for client in (self._client, self._asking):
            client.connection_pool.disconnect()

    @property
    def n_malformed(self) -> int:
        """The number of texts in Redis that were no changes."""
        return self._stored.n_malformed

    @property
    def clock_offset_s(self) -> float:
        """The seconds from the clock of this machine to that of the server."""
        return self._stored.clock_offset_s

    def wait_until_synced(self, timeout_s: float) -> bool:
        """Wait until everything was read once. Return whether it was."""
        with self.lock:
            return self.lock.wait_for(lambda: self._is_synced, timeout_s)

    def catch_up(self, timeout_s: float) -> None:
        """Wait until all changes that were made before this call are known here, at most `timeout_s` seconds."""
        until = time.monotonic() + timeout_s
        if not self.wait_until_synced(timeout_s) or not self._is_connected:
            return
        last = last_entry(self._asking, self._keys).version
        with self.lock:
            self.lock.wait_for(lambda: self.mirror.version >= last, max(0.0, until - time.monotonic()))

    def lose_frame(self, stored: StoredFrame) -> None:
        """Show a frame no longer whose bytes are gone."""
        with self.lock:
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
            reason = f"{type(error).__name__}: {str(error).rstrip('.')}"
            _log.warning(
                "Redis cannot be read: %s; viewers keep their pictures, and it is tried again: check that Redis runs "
                "at this address, and the rights of the user (logged once per type)", reason,
            )  # fmt: skip

    def _read(self) -> None:
        """Read the next entries, or wait for them for a while."""
        if not self._is_connected:
            self._must_sync = self._must_sync or not self._continues()
            if self._must_sync:
                self._sync()
            self._is_connected, self._must_sync = True, False
        if time.monotonic() >= self._check_at:
            self._check_at = time.monotonic() + _CHECK_S
            self._check()
        wait_s = min(self._check_at - time.monotonic(), self._longest_block_s)
        if n_read := self._follow(self.mirror, block_ms=max(1, int(1_000 * wait_s))):
            self._publish()
            time.sleep(REST_S if n_read == PORTION else _LULL_S)

    def _continues(self) -> bool:
        """Return whether the log still has the last entry that was read, after a lost connection."""
        return self._stored.epoch() == self._epoch and self._stored.has_entry(self._last)

    def _follow(self, mirror: Mirror, *, block_ms: int | None = None) -> int:
        """Read the next entries of the log into `mirror` and return their number. None does not wait for entries."""
        entries = self._stored.entries_after(self._last, block_ms=block_ms)
        for before, entry in zip([self._last, *entries], entries, strict=False):
            if entry.fields.get(b"p", before.id) != before.id:  # an entry without `p` is malformed, and is counted
                raise _TimelineError
        decoded = [(entry.version, self._stored.decode(entry.fields.get(b"c", b""))) for entry in entries]
        with self.lock:
            for version, change in decoded:
                if change and mirror.is_hidden(change.change.stream):
                    raise _TimelineError
                if change:
                    self._take(mirror, change, version)
                mirror.note(version)
        if entries and self._epoch is None and self._stored.epoch():  # the first entries of the gallery
            raise _TimelineError
        self._last = entries[-1] if entries else self._last
        return len(entries)

    def _take(self, mirror: Mirror, change: Entry, version: Version) -> None:
        try:
            mirror.take(change, version)
        except MalformedEntryError as error:
            self._stored.note_malformed(error)

    def _sync(self) -> None:
        """Read everything into a new mirror, and follow the log to its end. Viewers see the new mirror after that."""
        self._check_at = 0.0
        self._epoch = self._stored.epoch()
        self._last = last_entry(self._client, self._keys)
        self._stored.measure_clock()
        mirror = Mirror(self._epoch)
        for version, change in self._stored.changes_until(self._last, mirror.note):
            self._take(mirror, change, version)
        mirror.note(self._last.version)
        while self._follow(mirror):
            time.sleep(REST_S)
        mirror.set_orphans(self._stored.orphans(mirror.open_names, mirror.has_items))
        with self.lock:
            self.mirror, self._is_synced = mirror, True
        self._publish()

    def _check(self) -> None:
        """Look at the epoch, at leases, and at the streams whose time has come."""
        if self._stored.epoch() != self._epoch:
            raise _TimelineError
        self._stored.measure_clock()  # that of this machine can jump
        orphans = self._stored.orphans(self.mirror.open_names, self.mirror.has_items)
        while self._follow(self.mirror):  # a stream ends before its producer gives back the lease
            self._publish()
            time.sleep(REST_S)
        with self.lock:
            has_changed = self.mirror.set_orphans(orphans)
        for name in self._stored.expired_names():
            if not self.mirror.is_hidden(name) and not self._stored.remove_expired(name):
                with self.lock:
                    self.mirror.hide(name)
                has_changed = True
        if has_changed:
            self._publish()

    def _publish(self) -> None:
        with self.lock:
            self.lock.notify_all()
        self._on_change()
