"""Keep frames in a folder on disk: a sink that writes each frame as it arrives.

Must not know: events, base64, the loop that feeds the assembler.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, get_args

from ..arguments import check_choice, check_path, check_switch
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
from ..errors import SinkError, UsageError
from ..files import sink_error
from .additions import belongs_to_facts
from .continued_run import ContinuedRun
from .folder_names import folder_name
from .item_facts import checked_facts, utc_now
from .item_folder import Existing, FolderOptions, ItemFolder, KeepFiles, temporary_files
from .placing import folder_to_continue, newest_run
from .saved import Event
from .saved_items import read_items
from .syncing import Syncing

_log = logging.getLogger("imgassemble")

_MANY = 500  # folders, of a kilobyte or two each: above this number, those of discarded items are forgotten


class DirectorySink:
    """Write each frame to a file as it arrives: DIR/ITEM/partial-000.png, …, final.png, and item.json.

    directory: DIR; it is made if it is missing.
    existing: the treatment of an item's folder that another run made.
        "beside": no file of another run is changed. If all pictures of the item are in that folder with the same
        bytes, nothing is written, and that folder is used. Otherwise the item gets a folder of its own, ITEM-2, ….
        "refuse": a SinkError. "replace": its files are replaced.
        "continue": goes on with the newest run in DIR, which may have been killed at any moment. The stream may begin
        at its start or at the place where it broke. A stream that is known to be another one is refused.
    keep: the frames that stay: "all"; the "latest" partial of each item, and its result; or only the "final" result.
    keep_rejected: also write pictures that were refused, as rejected-000.bin, …; at most 32 for each item.
    durable: sync each result, and item.json at an end, with their folders, before the other listeners receive the
        update, so that they outlast a power cut. Previews are not synced. On the thread of an event loop nothing is
        synced before `close()`, which leaves that to a thread; drivers never call a sink there.
    facts: your own facts about the pictures, such as the prompt: a mapping that can be written as JSON. They are
        under "facts" in each item.json.
    clock: gives the time at which a frame arrived, for item.json.

    Files have the received bytes, and appear whole or not at all. `final.*` is a result, never a draft. A failed write
    is logged, the other files are written, and `close()` raises the first SinkError. On a full disk the previews of an
    item are removed if its result then fits. A sink serves one live assembler: another one can be opened after
    `close()`.

    Raises UsageError if a value is wrong.

    Example: `assemble(stream, sinks=[DirectorySink("pictures", existing="continue")])`.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        existing: Existing = "beside",
        keep: KeepFiles = "all",
        keep_rejected: bool = True,
        durable: bool = True,
        facts: Mapping[str, Any] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        for name, value, kind in (("existing", existing, Existing), ("keep", keep, KeepFiles)):
            check_choice(name, value, get_args(kind))
        check_path("the folder of a DirectorySink", directory)
        check_switch("keep_rejected", keep_rejected)
        check_switch("durable", durable)
        self._directory = Path(directory)
        self._existing, self._keep, self._keep_rejected = existing, keep, keep_rejected
        self._syncing = Syncing(is_on=durable)
        self._options = FolderOptions(
            existing=existing, keep=keep, facts=checked_facts(facts), clock=clock, syncing=self._syncing
        )
        self._assembler: Assembler | None = None
        self._is_open = False
        self._continued = ContinuedRun()
        self._folders: dict[str, ItemFolder] = {}
        self._max_folders = _MANY
        self._rejected_bytes = 0
        self._error: SinkError | None = None  # the first
        self._left_over: list[Path] = []  # temporary files that were there when this run began

    def __repr__(self) -> str:
        return f"<DirectorySink {str(self._directory)!r}>"

    def open(self, assembler: Assembler) -> None:
        """Make DIR, and write the frames that `assembler` holds already.

        Raises SinkError if DIR cannot be made, and UsageError if the sink is open for another assembler.
        """
        if self._is_open and assembler is not self._assembler:
            raise UsageError("a sink serves one live assembler: make a DirectorySink for each, or close it first")
        self._make_directory()
        if assembler is not self._assembler:  # files of another stream do not belong to this one
            self._begin(assembler)
        self._is_open = True
        if self._existing in ("replace", "continue"):
            self._left_over = list(temporary_files(self._directory))
        for update in updates_so_far(assembler):
            self(update)

    def _make_directory(self) -> None:
        try:
            made = [folder for folder in self._directory.parents if not folder.exists()]
            self._directory.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as cause:
            raise sink_error(self._directory, cause) from cause
        for folder in (self._directory, *made):  # another run may have made DIR a moment ago
            self._syncing.note_new_folder(folder)

    def _begin(self, assembler: Assembler) -> None:
        self._assembler, self._folders, self._error = assembler, {}, None
        self._rejected_bytes, self._continued = 0, ContinuedRun()
        if self._existing == "continue":
            items = newest_run(read_items(self._directory))
            self._continued = ContinuedRun(items, drops_partials=self._keep == "final", place=str(self._directory))

    def saved_events(self) -> Iterator[Event]:
        """Yield the events of the run that is continued, once. A driver feeds them before those of the stream."""
        return self._continued.events()

    def join(self, event: object) -> object:
        """Return an event of the stream, joined to the run that is continued. A driver feeds it in place of `event`.

        The images of some services have no ids: then this adds the number of the image.
        """
        return event if self._assembler is None else self._continued.join(event, self._assembler)

    @property
    def _is_refused(self) -> bool:
        """Whether nothing more is written, because the stream is another one."""
        return self._continued.refusal is not None

    def __call__(self, update: Update) -> None:
        """Write the files that `update` changes. Raises UsageError before `open()`."""
        if self._assembler is None:
            raise UsageError("a sink is opened first: assemble(stream, sinks=[sink]), or sink.open(assembler)")
        if self._is_refused or isinstance(update, StreamEnded) or update.item_id is None:
            return
        folder = self._folder_of(update.item_id, self._assembler)
        if step := _STEPS.get(type(update)):
            self._try(folder, partial(step, self, folder, update, self._assembler[update.item_id]))

    def _folder_of(self, item_id: str, assembler: Assembler) -> ItemFolder:
        if item_id not in self._folders:
            self._forget_discarded(assembler)
            path = self._directory / folder_name(item_id)
            if self._existing == "continue":
                item = assembler[item_id]
                path = folder_to_continue(path, item, self._continued.items_like(item))
            self._folders[item_id] = ItemFolder(path, self._options)
        return self._folders[item_id]

    def _forget_discarded(self, assembler: Assembler) -> None:
        """Forget the folders of discarded items, if there are many: their files no longer belong to this run."""
        if len(self._folders) >= self._max_folders:
            self._folders = {item_id: folder for item_id, folder in self._folders.items() if item_id in assembler}
            self._max_folders = 2 * len(self._folders) + _MANY

    def close(self) -> None:
        """Write each item.json that is not up to date. Raises the first SinkError of this run."""
        for item_id, folder in self._folders.items():
            if self._is_refused or self._assembler is None or item_id not in self._assembler:  # it may be discarded
                continue
            self._try(folder, partial(folder.write_facts, self._assembler[item_id]))
        self._is_open = False
        left_over = [] if self._is_refused else self._remove_left_over()
        self._sync(self._syncing.finish)
        for error in (self._continued.refusal or self._error, *left_over):
            if error:
                raise error

    def _remove_left_over(self) -> list[SinkError]:
        """Remove the temporary files of runs that were killed. A live run has renamed its own by now."""
        errors = []
        while self._left_over:
            path = self._left_over.pop()
            if belongs_to_facts(path):
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as cause:
                errors.append(sink_error(path, cause))
                _log.warning("%s", errors[-1])
        return errors

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that exist now, item by item, without those of items that were discarded long ago."""
        return tuple(folder.path / name for folder in self._folders.values() for name in folder.file_names)

    @property
    def paths_found(self) -> tuple[Path, ...]:
        """The files among `paths` that this run did not write, because they were already there with the same bytes."""
        folders = self._folders.values()
        return tuple(
            folder.path / name for folder in folders for name in folder.file_names if name not in folder.written
        )

    def _try(self, folder: ItemFolder, step: Callable[[], object]) -> None:
        try:
            step()
        except SinkError as error:
            self._error = self._error or error
            if folder.error is None:
                folder.error = error
                _log.warning("%s; the stream goes on", error)
        self._sync(self._syncing.run)

    def _sync(self, step: Callable[[], None]) -> None:
        try:
            step()
        except SinkError as error:
            _log.warning("%s; the stream goes on", error)
            self._error = self._error or error

    def _add_partial(self, folder: ItemFolder, update: FrameAdded, item: Item) -> None:
        is_highest = update.is_latest or update.frame in item.partials[-1:]
        if self._keep == "final" or (self._keep == "latest" and not is_highest):
            return
        if folder.write_frame(update.frame, item):
            folder.describe_frame(update.frame, item)

    def _set_final(self, folder: ItemFolder, update: FinalReady, item: Item) -> None:
        if not update.is_provisional:
            folder.write_frame(update.frame, item)
        self._end(folder, update, item)

    def _change_state(self, folder: ItemFolder, _update: StateChanged, item: Item) -> None:
        if item.is_provisional:  # a run that continues this one does not receive the update again
            folder.describe_state(item)

    def _end(self, folder: ItemFolder, _update: FinalReady | FinalWithdrawn | ItemEnded, item: Item) -> None:
        has_result = item.final is not None and item.final.is_final
        if folder.has_result and not has_result:  # it may have been withdrawn while the sink was closed
            folder.remove_result()
        folder.write_facts(item)

    def _add_rejected(self, folder: ItemFolder, update: Anomaly, item: Item) -> None:
        data = getattr(update.error, "data", None)
        if not (self._keep_rejected and isinstance(data, bytes) and data and self._assembler):
            return
        if self._rejected_bytes + len(data) <= self._assembler.limits.max_total_bytes:
            self._rejected_bytes += folder.write_rejected(data, item)


_STEPS: dict[type, Callable[[DirectorySink, ItemFolder, Any, Item], None]] = {
    FrameAdded: DirectorySink._add_partial,
    FinalReady: DirectorySink._set_final,
    FinalWithdrawn: DirectorySink._end,
    ItemEnded: DirectorySink._end,
    StateChanged: DirectorySink._change_state,
    Anomaly: DirectorySink._add_rejected,
}
