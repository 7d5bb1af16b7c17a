"""Keep frames in an object store (S3, GCS, Azure): a sink that writes each frame as it arrives, in another thread.

Must not know: events, base64, the loop that feeds the assembler.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from errno import EEXIST, ESTALE
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from ..arguments import check_choice, check_count, check_switch
from ..assembly.assembler import Assembler, updates_so_far
from ..assembly.items import Item
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
from ..errors import SinkError, UsageError, quoted
from .continued_run import ContinuedRun
from .folder_names import folder_name
from .item_facts import checked_facts, utc_now
from .item_folder import Existing, KeepFiles
from .placing import folder_to_continue, newest_run
from .saved import Event
from .saved_items import read_items
from .write_queue import WriteQueue

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from .object_copy import ObjectCopy
    from .object_folder import ObjectFolder

_log = logging.getLogger("imgassemble")

_MOST_WAITING = 256  # updates: some streams have a thousand previews
_MANY = 500  # folders: above this number, those of discarded items are forgotten
_OF_ONE_ITEM = (EEXIST, ESTALE)  # another run is in the way; the other items are written
_ENDS = (FinalReady, FinalWithdrawn, ItemEnded)


class _Write(NamedTuple):
    """An update to store, with its item as it was then."""

    folder: ObjectFolder
    update: Update
    item: Item
    received_at: datetime


class ObjectSink:
    """Write each frame to an object as it arrives: PREFIX/ITEM/partial-000.png, …, final.png, and item.json.

    The names and facts are those of `DirectorySink`. Objects are written by another thread, and have content types.

    store: a store of obstore (`pip install 'imgassemble[objects]'`): S3Store, GCSStore, AzureStore, MemoryStore. Its
        `retry_config` and `client_options` set retries and time-outs. It needs the rights to list, read, write, delete.
    prefix: PREFIX, such as "jobs/otter-7". Use one for each job: a sink finds earlier runs in it one by one.
    existing: the treatment of an item that another run has stored.
        "beside": no object of another run is changed. If its item.json names all pictures of the item with the same
        bytes, nothing is written, and those objects are used. Otherwise the item gets a folder of its own, ITEM-2, ….
        "refuse": a SinkError. "replace": its objects are replaced.
        "continue": goes on with the newest run under PREFIX, which may have been killed at any moment. Its objects are
        read when the sink is opened. The stream may begin at its start or at the place where it broke. A stream that
        is known to be another one is refused.
    keep: the frames that stay: "all"; the "latest" partial of each item, and its result; or only the "final" result.
    keep_rejected: also write pictures that were refused, as rejected-000.bin, …; at most 32 for each item.
    facts: your own facts about the pictures, such as the prompt: a mapping that can be written as JSON. They are
        under "facts" in each item.json.
    clock: gives the time at which a frame arrived, for item.json.
    max_waiting_bytes: the size of the frames that wait for the store. The stream waits only while they are more.

    item.json is created first, and each write is conditional: a run that finds an object of another run, or whose
    objects another run replaces, stops writing that item. item.json names an object only while it has those bytes.

    If the store fails, the failure is logged and previews are no longer written. `close()` waits for the objects,
    tries once more to write the results, and raises the first SinkError. A sink serves one live assembler: another one
    can be opened after `close()`.

    Raises UsageError if a value is wrong, or the store has no conditional writes.

    Example: `assemble(stream, sinks=[ObjectSink(S3Store("pictures"), "jobs/otter-7")])`.
    """

    def __init__(
        self,
        store: ObjectStore,
        prefix: str = "",
        *,
        existing: Existing = "beside",
        keep: KeepFiles = "all",
        keep_rejected: bool = True,
        facts: Mapping[str, Any] | None = None,
        clock: Callable[[], datetime] = utc_now,
        max_waiting_bytes: int = 64 * 2**20,
    ) -> None:
        for name, value, kind in (("existing", existing, Existing), ("keep", keep, KeepFiles)):
            check_choice(name, value, get_args(kind))
        check_switch("keep_rejected", keep_rejected)
        check_count("max_waiting_bytes", max_waiting_bytes)
        try:
            from .conditional_objects import ConditionalObjects, checked_prefix
        except ModuleNotFoundError as missing:
            raise UsageError(f"an ObjectSink needs {missing.name}: pip install 'imgassemble[objects]'") from missing
        self._new_objects = partial(ConditionalObjects, store)
        self._new_objects()  # checks the store
        self._prefix = checked_prefix(prefix)
        self._existing, self._keep, self._keep_rejected = existing, keep, keep_rejected
        self._facts, self._clock, self._max_waiting_bytes = checked_facts(facts), clock, max_waiting_bytes
        self._assembler: Assembler | None = None
        self._is_open = False
        self._clear()

    def _clear(self) -> None:
        self._continued = ContinuedRun()
        self._copy: ObjectCopy | None = None  # of the run that is continued
        self._is_replaying = False  # the events of that run are being fed
        self._folders: dict[str, ObjectFolder] = {}
        self._max_folders = _MANY
        self._unsaved: dict[ObjectFolder, Item] = {}  # whose item.json is not up to date
        self._rejected_bytes = 0
        self._error: SinkError | None = None  # the first
        self._has_failed = False  # the store, so that previews are no longer written
        self._n_lost = 0

    def open(self, assembler: Assembler) -> None:
        """Ask the store for an answer, and write the frames that `assembler` holds already.

        Raises SinkError if the store cannot be used, and UsageError if the sink is open for another assembler.
        """
        if self._is_open and assembler is not self._assembler:
            raise UsageError("a sink serves one live assembler: make an ObjectSink for each, or close it first")
        if assembler is not self._assembler:  # objects of another stream do not belong to this one
            self._begin(assembler)
        if not self._is_open:
            self._queue: WriteQueue[_Write] = WriteQueue(
                self._run, self._save, max_jobs=_MOST_WAITING, max_bytes=self._max_waiting_bytes
            )
        self._is_open = True
        for update in updates_so_far(assembler):
            self(update)

    def _begin(self, assembler: Assembler) -> None:
        from .object_folder import ObjectOptions

        self._clear()
        self._objects = self._new_objects()
        self._objects.check(self._prefix)
        if self._existing == "continue":
            self._continue()
        self._options = ObjectOptions(
            prefix=self._prefix,
            existing=self._existing,
            keep=self._keep,
            facts=self._facts,
            run=secrets.token_hex(8),
        )
        self._assembler = assembler

    def _continue(self) -> None:
        from .object_copy import ObjectCopy

        self._copy = ObjectCopy(self._objects, self._prefix)
        items = newest_run(read_items(self._copy.path))
        for item in items:
            self._copy.fetch(item.folder.name, item.frames)
        self._continued = ContinuedRun(items, drops_partials=self._keep == "final", place=self._prefix or "the store")
        self._is_replaying = bool(items)

    def saved_events(self) -> Iterator[Event]:
        """Yield the events of the run that is continued, once. A driver feeds them before those of the stream."""
        return self._continued.events()

    def join(self, event: object) -> object:
        """Return an event of the stream, joined to the run that is continued. A driver feeds it in place of `event`.

        The images of some services have no ids: then this adds the number of the image.
        """
        joined = event if self._assembler is None else self._continued.join(event, self._assembler)
        self._is_replaying = False
        return joined

    def __call__(self, update: Update) -> None:
        """Take the change that `update` reports, to be written. Wait while too many wait.

        Raises UsageError before `open()`, and in a forked process.
        """
        if self._assembler is None:
            raise UsageError("a sink is opened first: assemble(stream, sinks=[sink]), or sink.open(assembler)")
        self._queue.check_process()
        if self._continued.refusal or isinstance(update, StreamEnded) or update.item_id is None:
            return
        item = self._assembler[update.item_id]
        measure = _SIZES.get(type(update))
        n_bytes = measure(self, update, item) if measure else None
        if n_bytes is not None:
            write = _Write(self._folder_of(item, self._assembler), update, item, self._clock())
            self._queue.put(write, n_bytes)

    def _folder_of(self, item: Item, assembler: Assembler) -> ObjectFolder:
        from .object_folder import ObjectFolder

        if item.id not in self._folders:
            self._forget_discarded(assembler)
            name, earlier = folder_name(item.id), None
            if self._copy is not None:
                path = folder_to_continue(self._copy.path / name, item, self._continued.items_like(item))
                name, earlier = path.name, path
            self._folders[item.id] = ObjectFolder(self._objects, name, self._options, earlier)
        return self._folders[item.id]

    def _forget_discarded(self, assembler: Assembler) -> None:
        if len(self._folders) >= self._max_folders:
            self._folders = {item_id: folder for item_id, folder in self._folders.items() if item_id in assembler}
            self._max_folders = 2 * len(self._folders) + _MANY

    # ---- the sizes of what is written; None for an update that changes no object

    def _size_of_partial(self, update: FrameAdded, item: Item) -> int | None:
        is_highest = update.is_latest or update.frame in item.partials[-1:]
        is_kept = self._keep == "all" or (self._keep == "latest" and is_highest)
        return len(update.frame.data) if is_kept else None

    def _size_of_rejected(self, update: Anomaly, _item: Item) -> int | None:
        data = getattr(update.error, "data", None)
        if not (self._keep_rejected and isinstance(data, bytes) and data and self._assembler):
            return None
        if self._rejected_bytes + len(data) > self._assembler.limits.max_total_bytes:
            return None
        self._rejected_bytes += len(data)
        return len(data)

    # ---- in the thread of the queue

    def _run(self, write: _Write) -> None:
        folder, update, item, _ = write
        if not self._has_failed or folder in self._unsaved or len(self._unsaved) < _MANY:  # they hold pictures
            self._unsaved[folder] = item
        if self._has_failed and not isinstance(update, _ENDS):
            self._n_lost += isinstance(update, FrameAdded)
        elif not self._has_failed and not folder.error:
            is_stored = self._try(folder, partial(_store, write))
            self._n_lost += isinstance(update, FrameAdded) and not is_stored
            if isinstance(update, _ENDS):
                self._save()

    def _save(self) -> None:
        """Write each item.json that is not up to date."""
        for folder, item in list(self._unsaved.items()):
            if self._continued.refusal or self._is_replaying or self._has_failed:
                return
            if folder.error or self._try(folder, partial(folder.write_facts, item)):
                del self._unsaved[folder]

    def _try(self, folder: ObjectFolder, step: Callable[[], object]) -> bool:
        """Return whether a step succeeded."""
        try:
            step()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as cause:  # noqa: BLE001 - a panic of obstore is no Exception
            error = cause if isinstance(cause, SinkError) else SinkError(f"ObjectSink failed: {cause}", path=None)
            _log.warning("%s; the stream goes on", error, exc_info=None if error is cause else cause)
            self._error = self._error or error
            if error.errno in _OF_ONE_ITEM:
                folder.error = error
            else:
                self._has_failed = True
            return False
        return True

    # ---- the end

    def close(self) -> None:
        """Wait for the objects, and write each item.json that is not up to date. Raises the first SinkError."""
        if self._assembler is None or not self._is_open:
            return
        self._queue.wait()
        self._is_open = self._is_replaying = False
        if not self._continued.refusal:
            self._finish(self._assembler)
        if self._copy is not None:
            self._copy.close()
        if error := self._continued.refusal or self._error:
            raise error

    def _finish(self, assembler: Assembler) -> None:
        """Write the last facts; if the store has failed, try once more to write the results."""
        has_failed, self._has_failed = self._has_failed, False
        for item_id, folder in self._folders.items():
            if item_id in assembler:
                self._unsaved[folder] = assembler[item_id]
        for folder, item in self._unsaved.items() if has_failed else ():
            if item.final is not None and item.final.is_final and not folder.error and not self._has_failed:
                self._try(folder, partial(folder.write_frame, item.final, item, self._clock()))
        self._save()
        if has_failed and self._error:
            self._error = self._with_losses(self._error)

    def _with_losses(self, error: SinkError) -> SinkError:
        """Return the failure of the store with the results and the previews that are not stored."""
        lost = [item.id for item in self._unsaved.values() if item.final is not None]
        named = ", ".join(map(quoted, lost[:3])) + (", …" if len(lost) > 3 else "")
        results = f"the results of {named} are not stored" if lost else "the results are stored"
        failure = SinkError(
            f"{error}; {results}; previews that are missing: {self._n_lost}", path=error.path, errno=error.errno
        )
        failure.__cause__ = error.__cause__
        return failure

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the objects that exist now, item by item, without items that were discarded long ago."""
        return tuple(key for folder in list(self._folders.values()) for key in folder.keys)


def _store(write: _Write) -> None:
    folder, update, item, received_at = write
    if isinstance(update, FrameAdded) or (isinstance(update, FinalReady) and not update.is_provisional):
        folder.write_frame(update.frame, item, received_at)
    elif isinstance(update, Anomaly):
        folder.write_rejected(getattr(update.error, "data", b""), item)


_SIZES: dict[type, Callable[[ObjectSink, Any, Item], int | None]] = {
    FrameAdded: ObjectSink._size_of_partial,
    FinalReady: lambda _sink, update, _item: 0 if update.is_provisional else len(update.frame.data),
    FinalWithdrawn: lambda _sink, _update, _item: 0,
    ItemEnded: lambda _sink, _update, _item: 0,
    StateChanged: lambda _sink, _update, item: 0 if item.is_provisional else None,
    Anomaly: ObjectSink._size_of_rejected,
}
