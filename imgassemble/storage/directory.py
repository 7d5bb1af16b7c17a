"""Listeners that keep frames: here, a folder on disk.

Knows: paths, and what stands in a folder. Must not know: events, base64, the loop that feeds.
Item ids come from outside: no id leads out of the folder, and no two share one.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from errno import EEXIST
from functools import partial
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR
from typing import Any, get_args

from ..assembly import Keep
from ..assembly.assembler import Assembler
from ..assembly.items import Item
from ..assembly.updates import FinalReady, FinalWithdrawn, FrameAdded, ItemEnded, StateChanged, StreamEnded, Update
from ..errors import SinkError, UsageError, quoted
from ..files import sink_error, write_atomically
from ..frames.frame import Frame
from .saved import MAX_FRAME_BYTES, anomalies_told, frames_told, read_bounded, read_facts

_log = logging.getLogger("imgassemble")


@dataclass(slots=True)
class _Folder:
    """What a sink has written for one item."""

    path: Path
    frames: dict[str, dict[str, Any]] = field(default_factory=dict)  # file name -> facts
    anomalies: list[dict[str, Any]] = field(default_factory=list)  # that an earlier run told of
    has_facts: bool = False  # item.json stands
    has_result: bool = False  # final.* was told of in this run
    is_ours: bool = False
    is_stale: bool = False  # item.json is older than what is known
    has_failed: bool = False


_FEW = 32  # frames of one item; services send up to five
_MANY = 500  # folders, of a kilobyte or two each: before there are more, those of discarded items are forgotten


def _now() -> datetime:
    return datetime.now(UTC)


class DirectorySink:
    """Keeps every frame as a file, as it comes: DIR/<item>/partial-000.png, …, final.png, and item.json.

    directory: DIR; it is made where it is missing.
    keep: "all" partials, or only the "latest" of each item.
    overwrite: replace what an earlier run left in an item's folder, instead of failing.
    resume: go on with what an earlier run of the same stream left, however that run ended: what stands there stays.
        Feed the assembler `saved_events(directory, is_to_go_on=True)` first, so that it knows of it. DIR holds one
        stream then: items of others would be taken for its own. Where images have neither names nor numbers, a picture
        that stands there tells that the stream begins anew.
    clock: gives the time at which a frame came, for item.json.

    Files are the bytes as received, and appear whole or not at all. `final.*` holds a result, never a draft. A write
    that fails is logged, the rest goes on, and `close()` raises its SinkError.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        keep: Keep = "all",
        overwrite: bool = False,
        resume: bool = False,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        if keep not in get_args(Keep):
            raise UsageError(f"keep is one of {', '.join(map(repr, get_args(Keep)))}, not {keep!r}")
        if overwrite and resume:
            raise UsageError("overwrite replaces what an earlier run left, resume goes on with it: choose one")
        self._directory = Path(directory)
        self._keep = keep
        self._overwrite, self._resume = overwrite, resume
        self._clock = clock
        self._assembler: Assembler | None = None
        self._folders: dict[str, _Folder] = {}
        self._most_folders = _MANY
        self._error: SinkError | None = None  # the first
        self._left_over: list[Path] = []  # temporary files that stood here when this run began

    def open(self, assembler: Assembler) -> None:
        """Make DIR, and keep what `assembler` holds already. Raises SinkError where DIR cannot be made."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as cause:
            raise sink_error(self._directory, cause) from cause
        if assembler is not self._assembler:  # what was written of another stream is not ours any more
            self._assembler, self._folders, self._error = assembler, {}, None
        if self._resume or self._overwrite:
            self._left_over = _temporary_in(self._directory)
        for item in assembler.items.values():
            for frame in item.partials:
                self(FrameAdded(item.id, frame, frame is item.partials[-1]))
            if item.final:
                self(FinalReady(item.id, item.final, item.is_provisional))
            elif item.state.is_end:
                self(ItemEnded(item.id, item.state, item.error))

    def __call__(self, update: Update) -> None:
        """Keep what `update` tells. Raises UsageError before `open()`."""
        if self._assembler is None:
            raise UsageError("a sink is opened first: assemble(stream, sinks=[sink]), or sink.open(assembler)")
        if isinstance(update, StreamEnded) or update.item_id is None:
            return
        folder = self._folders.get(update.item_id)
        if folder is None:
            folder = _Folder(self._directory / folder_name(update.item_id))
            if self._resume and not folder.path.is_symlink():
                facts = read_facts(folder.path / "item.json")
                folder.frames, folder.anomalies = _frames_in(folder.path, facts), anomalies_told(facts)
            self._forget_some(self._assembler)
            self._folders[update.item_id] = folder
        folder.is_stale = True
        if step := _STEPS.get(type(update)):
            self._try(folder, partial(step, self, folder, update))

    def _forget_some(self, assembler: Assembler) -> None:
        """Forget the folders of discarded items, where there are many: what stands in them is not ours any more."""
        if len(self._folders) >= self._most_folders:
            self._folders = {item_id: folder for item_id, folder in self._folders.items() if item_id in assembler}
            self._most_folders = 2 * len(self._folders) + _MANY

    def close(self) -> None:
        """Write what is left to write. Raises the first SinkError that there was."""
        for item_id, folder in self._folders.items():
            if self._assembler is None or item_id not in self._assembler:  # it may have been discarded
                continue
            if folder.is_stale or _completed(folder, self._assembler[item_id]):
                self._try(folder, partial(self._write_facts, folder, item_id))
        left_over = self._remove_left_over()
        for error in (self._error, *left_over):
            if error:
                raise error

    def _remove_left_over(self) -> list[SinkError]:
        """Remove what runs that were killed were about to write. A run that is alive has renamed its own by now."""
        errors = []
        while self._left_over:
            path = self._left_over.pop()
            try:
                path.unlink(missing_ok=True)
            except OSError as cause:
                errors.append(sink_error(path, cause))
                _log.warning("%s", errors[-1])
        return errors

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that stand now, item by item, but for those of items that were discarded long ago."""
        return tuple(
            folder.path / name
            for folder in self._folders.values()
            for name in (*folder.frames, *(["item.json"] if folder.has_facts else []))
        )

    def _try(self, folder: _Folder, step: Callable[[], object]) -> None:
        try:
            step()
        except SinkError as error:
            self._error = self._error or error
            if not folder.has_failed:
                folder.has_failed = True
                _log.warning("%s; the stream goes on", error)

    def _prepare(self, folder: _Folder) -> None:
        """Make sure that the item's folder is a folder, and ours. A link is never followed."""
        try:
            if not os.path.lexists(folder.path):
                folder.path.mkdir()
            elif not S_ISDIR(folder.path.lstat().st_mode):
                raise SinkError(_in_the_way(folder.path, "a file or a link"), path=folder.path, errno=EEXIST)
            elif not (folder.is_ours or self._resume) and any(folder.path.iterdir()):
                if not self._overwrite:
                    raise SinkError(_in_the_way(folder.path, "what another run wrote"), path=folder.path, errno=EEXIST)
                _remove_old(folder.path)
        except SinkError:
            raise
        except OSError as cause:
            raise sink_error(folder.path, cause) from cause
        folder.is_ours = True

    def _add_partial(self, folder: _Folder, update: FrameAdded) -> None:
        if self._keep == "latest" and not update.is_latest:
            return
        self._write_frame(folder, update.frame)
        # Beyond a few, item.json is written with the end: a thousand previews would rewrite it a thousand times.
        if len(folder.frames) <= _FEW:
            self._write_facts(folder, update.item_id)

    def _set_final(self, folder: _Folder, update: FinalReady) -> None:
        if not update.is_provisional:
            self._write_frame(folder, update.frame)
            folder.has_result = True
        self._end(folder, update)

    def _change(self, folder: _Folder, update: StateChanged) -> None:
        assert self._assembler is not None
        if self._assembler[update.item_id].is_provisional:  # a run that goes on here will not hear it again
            self._write_facts(folder, update.item_id)

    def _end(self, folder: _Folder, update: FinalReady | FinalWithdrawn | ItemEnded) -> None:
        assert self._assembler is not None
        final = self._assembler[update.item_id].final
        if folder.has_result and not (final and final.is_final):  # it may have been withdrawn while the sink was closed
            _remove(folder, lambda name: _stem(name) == "final")
            folder.has_result = False
        self._write_facts(folder, update.item_id)

    def _write_frame(self, folder: _Folder, frame: Frame) -> None:
        stem = _stem_of(frame)
        name = stem + frame.suffix
        if folder.frames.get(name, {}).get("sha256") == frame.sha256:
            return  # the sink was opened again, and has it
        self._prepare(folder)
        write_atomically(folder.path / name, frame.data)
        only_one = self._keep == "latest" and not frame.is_final
        _remove(folder, lambda old: old != name and (_stem(old) == stem or (only_one and _stem(old) != "final")))
        folder.frames[name] = {"file": name, **frame.as_dict(), "received_at": self._clock().isoformat()}

    def _write_facts(self, folder: _Folder, item_id: str) -> None:
        assert self._assembler is not None
        self._prepare(folder)
        item = self._assembler[item_id]
        _completed(folder, item)
        partials = sorted((f for f in folder.frames.values() if not f["is_final"]), key=lambda f: f["index"])
        results = [facts for facts in folder.frames.values() if facts["is_final"]]
        stand_in = [facts for facts in partials if item.final and facts["index"] == item.final.index]
        final = next(iter(stand_in if item.is_provisional else results if item.final else ()), None)
        facts = {**item.as_dict(), "final": final, "partials": partials}
        facts["anomalies"] = [
            *(each for each in folder.anomalies if each not in facts["anomalies"]),
            *facts["anomalies"],
        ]
        write_atomically(folder.path / "item.json", json.dumps(facts, indent=2).encode() + b"\n")
        folder.has_facts, folder.is_stale = True, False


_STEPS: dict[type, Callable[[DirectorySink, _Folder, Any], None]] = {
    FrameAdded: DirectorySink._add_partial,
    FinalReady: DirectorySink._set_final,
    FinalWithdrawn: DirectorySink._end,
    ItemEnded: DirectorySink._end,
    StateChanged: DirectorySink._change,
}


def _stem_of(frame: Frame) -> str:
    if frame.is_final:
        return "final"
    index = frame.index or 0
    return f"partial-{int(index):03d}" if index == int(index) else f"partial-{index}"


def _stem(name: str) -> str:
    return name.rpartition(".")[0]  # an index may have a point, too


def _completed(folder: _Folder, item: Item) -> bool:
    """Whether facts were missing of what is written: a run that was killed leaves pictures that no item.json tells of,
    and the stream tells of them once more.
    """
    found = False
    for frame in filter(None, (*item.partials, item.final)):
        facts = folder.frames.get(_stem_of(frame) + frame.suffix)
        is_missing = facts and facts["sequence_number"] is None and frame.sequence_number is not None
        if facts and is_missing and facts["sha256"] == frame.sha256:
            facts.update(sequence_number=frame.sequence_number, event_type=frame.event_type)
            found = True
    return found


def _remove(folder: _Folder, goes: Callable[[str], bool]) -> None:
    """Remove those of the frames that this run wrote whose name `goes`."""
    for name in list(filter(goes, folder.frames)):
        try:
            (folder.path / name).unlink(missing_ok=True)
        except OSError as cause:
            raise sink_error(folder.path / name, cause) from cause
        del folder.frames[name]


_OURS = re.compile(r"(partial-[0-9.e+-]+|final)\.(png|jpg|webp|gif|svg)|item\.json")


def _remove_old(path: Path) -> None:
    """Remove what an earlier run left: its final beside this run's drafts would be taken for theirs."""
    for old in path.iterdir():
        if _OURS.fullmatch(old.name):
            old.unlink()


def _frames_in(path: Path, facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What an earlier run wrote into an item's folder and told of in its item.json, as far as it is still so."""
    frames = frames_told(facts)
    return {name: frame for name, frame in frames.items() if _OURS.fullmatch(name) and _is_whole(path / name, frame)}


def _is_whole(path: Path, frame: dict[str, Any]) -> bool:
    try:
        return bool(sha256(read_bounded(path, MAX_FRAME_BYTES)).hexdigest() == frame["sha256"])
    except OSError:
        return False


def _temporary_in(directory: Path) -> list[Path]:
    """What runs are about to write, or were when they were killed."""
    return [path for path in directory.glob("*/.imgassemble-*.tmp") if not path.parent.is_symlink()]


def _in_the_way(path: Path, what: str) -> str:
    return f"{quoted(str(path))} is in the way: {what} stands there; choose another folder, or overwrite it on purpose"


# Names that every file system takes as they are. Capitals are not among them: some systems fold them, and two ids
# would share a folder.
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,98}[a-z0-9_-]|[a-z0-9_]")
_HASHED = re.compile(r".*-[0-9a-f]{32}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")  # what Windows opens in place of a file


def folder_name(item_id: str) -> str:
    """The name of an item's folder: the id where it is a plain name, else what can be read of it and its hash.

    The same id always gives the same name, and two ids never do, whatever a file system folds.
    """
    if _PLAIN.fullmatch(item_id) and not _DEVICES.fullmatch(item_id) and not _HASHED.fullmatch(item_id):
        return item_id
    readable = re.sub("[^a-z0-9_]+", "-", item_id.lower())[:40].strip("-")
    digest = sha256(item_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{readable or 'item'}-{digest}"
