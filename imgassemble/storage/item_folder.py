"""Write the files of one item: its frames, its refused pictures, and item.json.

Must not know: updates, the assembler, other items.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from errno import EDQUOT, EEXIST, ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from ..assembly.items import Item
from ..errors import ProviderError, SinkError, quoted
from ..files import sink_error, write_atomically
from ..frames.containers import format_of
from ..frames.frame import Frame
from .placing import FolderIdentity, FolderSearch, identity_of, is_folder, make_folder
from .saved import MAX_FRAME_BYTES, described_anomalies, described_frames, read_bounded, read_facts
from .syncing import Syncing

Existing = Literal["beside", "refuse", "replace", "continue"]
KeepFiles = Literal["all", "latest", "final"]
Facts = dict[str, Any]

MAX_REJECTED = 32  # refused pictures of one item: enough to see what is wrong
_BLOCK_BYTES = 4096  # a file takes whole blocks of the disk
_OURS = re.compile(r"(partial-[0-9.e+-]+|final|rejected-[0-9]{3})\.(png|jpg|webp|gif|avif|svg|bin)|item\.json")

_log = logging.getLogger("imgassemble")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOptions:
    """The options that all folders of a sink share; those with the names of options of DirectorySink are these.

    facts: the caller's own facts, in the form of JSON; None if there are none.
    clock: gives the time at which a frame arrived.
    """

    existing: Existing
    keep: KeepFiles
    facts: Facts | None
    clock: Callable[[], datetime]
    syncing: Syncing


class FolderPhase(Enum):
    """How far a run has come with the folder of an item."""

    UNTOUCHED = "this run has no folder for the item"
    SHARED = "it belongs to another run, and holds all files of this run; nothing is written"
    CLAIMED = "it belongs to this run; item.json is missing"
    DESCRIBED = "it belongs to this run; item.json is written"


class ItemFolder:
    """The folder of one item, and the files in it.

    path: the folder. It is made with its first file, perhaps under a higher number.
    """

    def __init__(self, path: Path, options: FolderOptions) -> None:
        self.path = path
        self.phase = FolderPhase.UNTOUCHED
        self.error: SinkError | None = None  # the first
        self._options = options
        self._search = FolderSearch(path)
        self._own: FolderIdentity | None = None  # the folder that this run made beside those of other runs
        self._frames: dict[str, Facts] = {}  # by file name
        self._not_repeated: set[str] = set()  # files of an earlier run that this run's stream has not repeated
        self._rejected: dict[str, Facts] = {}  # by digest
        self._earlier: Facts = {}  # the item.json of an earlier run
        self.written: set[str] = set()  # the names of the files that this run has written
        self._text_digest = ""  # of item.json as this run wrote it
        self._lost: SinkError | None = None  # for a picture that cannot be restored; raised by `write_facts`
        if options.existing == "continue" and is_folder(path):
            self._adopt()

    def _adopt(self) -> None:
        """Take over the files of an earlier run."""
        self._earlier = read_facts(self.path / "item.json")
        described = described_frames(self._earlier).items()
        self._frames = {name: facts for name, facts in described if _is_intact(self.path / name, facts)}
        self._not_repeated = set(self._frames)
        for file in sorted(self.path.glob("rejected-*.*"))[:MAX_REJECTED]:
            with suppress(OSError):
                self._record_rejected(file.name, read_bounded(file, MAX_FRAME_BYTES))

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names of the files that exist now."""
        is_shared = self.phase is FolderPhase.SHARED and (self.path / "item.json").is_file()
        has_facts = is_shared or self.phase is FolderPhase.DESCRIBED
        return (*self._pictures, *(["item.json"] if has_facts else []))

    @property
    def _pictures(self) -> dict[str, str]:
        """The names of the pictures that exist now, with their digests."""
        return {facts["file"]: facts["sha256"] for facts in (*self._frames.values(), *self._rejected.values())}

    @property
    def n_frames(self) -> int:
        """The number of frames that exist now."""
        return len(self._frames)

    @property
    def has_result(self) -> bool:
        """Whether this run's stream has brought a result that was not withdrawn."""
        return any(facts["is_final"] and name not in self._not_repeated for name, facts in self._frames.items())

    def write_frame(self, frame: Frame, item: Item) -> None:
        """Write a frame, unless it exists already. A result is synced. Raises SinkError."""
        stem, name = _stem_of(frame), _name_of(frame)
        self._not_repeated.discard(name)
        if self._frames.get(name, {}).get("sha256") == frame.sha256:
            return
        is_only_one = self._options.keep == "latest" and not frame.is_final

        def is_outdated(old: str) -> bool:
            return old != name and (_stem(old) == stem or (is_only_one and _stem(old) != "final"))

        if self.phase is FolderPhase.SHARED:
            self._remove(is_outdated)
        self._write(name, frame.data, frame.sha256, item, is_lasting=frame.is_final)
        self._remove(is_outdated)
        self._frames[name] = {"file": name, **frame.as_dict(), "received_at": self._options.clock().isoformat()}

    def remove_result(self) -> None:
        """Remove a result that was withdrawn. Raises SinkError."""
        self._remove(lambda name: _stem(name) == "final")

    def write_rejected(self, data: bytes, item: Item) -> int:
        """Write a refused picture; return its size in bytes, 0 if it exists already or the item has too many.

        Raises SinkError.
        """
        digest = sha256(data).hexdigest()
        if len(self._rejected) >= MAX_REJECTED or digest in self._rejected:
            return 0
        name = f"rejected-{len(self._rejected):03d}{_suffix_of(data)}"
        self._write(name, data, digest, item)
        self._record_rejected(name, data)
        return len(data)

    def _record_rejected(self, name: str, data: bytes) -> None:
        digest = sha256(data).hexdigest()
        self._rejected[digest] = {"file": name, "bytes": len(data), "sha256": digest}

    def write_facts(self, item: Item) -> None:
        """Write item.json, unless it has the same text already. That of an end is synced. Raises SinkError.

        Nothing is written in the folder of another run.
        """
        self._write_facts(item)
        if self._lost:
            error, self._lost = self._lost, None
            raise error

    def _write_facts(self, item: Item) -> None:
        text = json.dumps(self._facts_of(item), indent=2).encode() + b"\n"
        digest = sha256(text).hexdigest()
        if self.phase is FolderPhase.SHARED and self._pictures:
            if self._is_shared({}, item):
                return
        elif digest == self._text_digest:
            return
        self._write("item.json", text, digest, item, is_lasting=item.state.is_end)
        self._text_digest = digest
        if self.phase is FolderPhase.CLAIMED:
            self.phase = FolderPhase.DESCRIBED

    def _facts_of(self, item: Item) -> Facts:
        self._complete(item)
        partials = sorted(
            (each for each in self._frames.values() if not each["is_final"]), key=lambda each: each["index"]
        )
        facts = {**item.as_dict(), "final": self._final_of(item, partials), "partials": partials}
        if isinstance(item.error, ProviderError):
            facts["error"] = {**facts["error"], "is_blocked": item.error.is_blocked}
        earlier = (each for each in described_anomalies(self._earlier) if each not in facts["anomalies"])
        facts["anomalies"] = [*earlier, *facts["anomalies"]]
        if self._rejected:
            facts["rejected"] = list(self._rejected.values())
        if isinstance(settings := self._earlier.get("settings"), dict) and "settings" in facts:
            facts["settings"] = settings | facts["settings"]
        if (own := self._options.facts or self._earlier.get("facts")) is not None:
            facts["facts"] = own
        return facts

    def _final_of(self, item: Item, partials: list[Facts]) -> Facts | None:
        final = item.final
        if final is None:
            return None
        results = (each for each in self._frames.values() if each["is_final"])
        drafts = (each for each in partials if each["index"] == final.index)
        return next(drafts if item.is_provisional else results, None)

    def _complete(self, item: Item) -> None:
        """Add the facts of frames that were missing.

        If a run was killed before item.json was written, number and type are missing; the stream sends both again.
        """
        for frame in filter(None, (*item.partials, item.final)):
            facts = self._frames.get(_name_of(frame))
            is_missing = facts and facts["sequence_number"] is None and frame.sequence_number is not None
            if facts and is_missing and facts["sha256"] == frame.sha256:
                facts.update(sequence_number=frame.sequence_number, event_type=frame.event_type)

    # ---- the place of the files

    def _write(self, name: str, data: bytes, digest: str, item: Item, *, is_lasting: bool = False) -> None:
        """Write a file, unless it is in the folder of another run. Raises SinkError.

        is_lasting: the file must outlast a power cut, and is worth more than the previews.
        """
        syncing = self._options.syncing
        is_shared = self._is_shared({name: digest}, item)
        if not is_shared:
            if self._own is None:
                self._claim(item)
            try:
                self._store(name, data, is_lasting=is_lasting)
            except SinkError as error:
                if not (is_lasting and self._make_room(error, len(data))):
                    raise
                self._store(name, data, is_lasting=is_lasting)
        if is_lasting and is_shared:
            syncing.add(self.path / name, self.path, self.path.parent)
        elif is_lasting:
            syncing.add(*([] if syncing.is_possible else [self.path / name]), self.path)

    def _store(self, name: str, data: bytes, *, is_lasting: bool) -> None:
        write_atomically(self.path / name, data, is_synced=is_lasting and self._options.syncing.is_possible)
        self.written.add(name)

    def _is_shared(self, added: dict[str, str], item: Item) -> bool:
        """Return whether all pictures, and `added` files, are in the folder of another run.

        Otherwise they get a folder of their own. Raises SinkError.
        """
        if self._options.existing != "beside" or (self._own is not None and self._own == identity_of(self.path)):
            return False
        files = self._pictures | added
        is_placed = self.phase is FolderPhase.SHARED
        if is_placed and self._search.holds(self.path, files):
            return True
        shared = self.path if is_placed else None
        try:
            self.path, is_new = self._search.find(files)
        except NotADirectoryError as cause:
            raise _in_the_way(Path(cause.filename), str(cause.strerror)) from cause
        except OSError as cause:
            raise sink_error(self.path, cause) from cause
        self.phase = FolderPhase.CLAIMED if is_new else FolderPhase.SHARED
        self._own = identity_of(self.path) if is_new else None
        if is_new:
            self._options.syncing.note_new_folder(self.path)
            self._restore(item, shared)
        return not is_new

    def _claim(self, item: Item) -> None:
        """Make sure that the folder exists and belongs to this run. A link is never followed. Raises SinkError."""
        is_untouched = self.phase is FolderPhase.UNTOUCHED
        try:
            if not is_folder(self.path):
                if not make_folder(self.path):
                    raise _in_the_way(self.path, "it is a file or a link")
                self._options.syncing.note_new_folder(self.path)
                if not is_untouched:
                    self._restore(item, None)
            elif is_untouched and self._options.existing != "continue" and any(self.path.iterdir()):
                if self._options.existing == "refuse":
                    raise _in_the_way(self.path, "it holds files of another run")
                _remove_old(self.path)
        except SinkError:
            raise
        except OSError as cause:
            raise sink_error(self.path, cause) from cause
        if is_untouched:
            self.phase = FolderPhase.CLAIMED

    def _restore(self, item: Item, shared: Path | None) -> None:
        """Write the pictures again that were in a folder that was shared, or was removed.

        They are taken from memory, or from the folder that was shared.
        """
        self._text_digest = ""
        held = {_name_of(frame): frame for frame in (*item.partials, item.final) if frame is not None}
        for name, digest in self._pictures.items():
            try:
                data = held[name].data if name in held and held[name].sha256 == digest else None
                self._store(name, data or self._read_shared(shared, name, digest), is_lasting=_stem(name) == "final")
            except SinkError as error:
                self._lost = self._lost or error
                self._frames.pop(name, None)
                self._rejected = {each: facts for each, facts in self._rejected.items() if facts["file"] != name}

    def _read_shared(self, shared: Path | None, name: str, digest: str) -> bytes:
        """Return a picture from the folder that was shared. Raises SinkError if it is gone."""
        with suppress(OSError):
            if shared and self._search.digest_of(shared / name) == digest:
                return read_bounded(shared / name, MAX_FRAME_BYTES)
        sentence = (
            f"{quoted(str((shared or self.path) / name))} was removed by another program; use a folder of your own"
        )
        raise SinkError(sentence, path=(shared or self.path) / name)

    def _make_room(self, error: SinkError, n_bytes: int) -> bool:
        """Remove the previews if the disk is full and `n_bytes` then fit. Return whether they are gone."""
        previews = [facts for facts in self._frames.values() if not facts["is_final"]]
        if error.errno not in (ENOSPC, EDQUOT) or not previews:
            return False
        with suppress(OSError):
            free = shutil.disk_usage(self.path).free + sum(facts["bytes"] for facts in previews)
            if error.errno == ENOSPC and free < n_bytes + _BLOCK_BYTES:
                return False
        _log.warning("the disk is full: the previews in %s are removed to write its result", quoted(str(self.path)))
        self._remove(lambda name: not self._frames[name]["is_final"])
        return True

    def _remove(self, is_removed: Callable[[str], bool]) -> None:
        is_own = self.phase is not FolderPhase.SHARED and is_folder(self.path)
        for name in list(filter(is_removed, self._frames)):
            try:
                if is_own:
                    (self.path / name).unlink(missing_ok=True)
            except OSError as cause:
                raise sink_error(self.path / name, cause) from cause
            del self._frames[name]


def _in_the_way(path: Path, reason: str) -> SinkError:
    sentence = f"{quoted(str(path))} is in the way: {reason}; choose another folder, or replace it on purpose"
    return SinkError(sentence, path=path, errno=EEXIST)


def _name_of(frame: Frame) -> str:
    return _stem_of(frame) + frame.suffix


def _stem_of(frame: Frame) -> str:
    if frame.is_final:
        return "final"
    index = frame.index or 0
    return f"partial-{int(index):03d}" if index == int(index) else f"partial-{index}"


def _stem(name: str) -> str:
    return name.rpartition(".")[0]  # an index can contain a point, too


def _suffix_of(data: bytes) -> str:
    form = format_of(data)
    return ".bin" if form is None else ".jpg" if form == "JPEG" else f".{form.lower()}"


def _remove_old(path: Path) -> None:
    """Remove the files of an earlier run: an old final beside new drafts would look like their result."""
    for old in path.iterdir():
        if _OURS.fullmatch(old.name):
            old.unlink()


def _is_intact(file: Path, facts: Facts) -> bool:
    """Return whether a file has the bytes that item.json describes."""
    with suppress(OSError):
        return bool(
            _OURS.fullmatch(file.name) and sha256(read_bounded(file, MAX_FRAME_BYTES)).hexdigest() == facts["sha256"]
        )
    return False


def temporary_files(directory: Path) -> Iterator[Path]:
    """Yield the files that runs are about to write, or were about to write when they were killed."""
    return (path for path in directory.glob("*/.imgassemble-*.tmp") if not path.parent.is_symlink())
