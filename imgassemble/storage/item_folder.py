"""Write the files of one item: its frames, its refused pictures, and item.json.

Must not know: updates, the assembler, other items.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from errno import EDQUOT, EEXIST, ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import Literal

from ..assembly.items import Item
from ..errors import SinkError, quoted
from ..files import read_bounded, sink_error, write_atomically
from ..frames.frame import Frame
from .additions import Additions, additions_to
from .file_names import (
    FACTS_NAME,
    MAX_FACTS_BYTES,
    MAX_FRAME_BYTES,
    TEMPORARY_PATTERN,
    frame_file_name,
    is_sink_file,
    stem_in,
)
from .item_facts import ItemFacts, text_of_facts
from .item_json import Facts
from .placing import FolderIdentity, FolderSearch, identity_of, is_folder, make_folder
from .syncing import Syncing

Existing = Literal["beside", "refuse", "replace", "continue"]
KeepFiles = Literal["all", "latest", "final"]
_BLOCK_BYTES = 4096  # a file takes whole blocks of the disk

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
        self.path: Path = path
        self.phase: FolderPhase = FolderPhase.UNTOUCHED
        self.error: SinkError | None = None  # the first
        self._options = options
        self._search = FolderSearch(path)
        self._own: FolderIdentity | None = None  # the folder that this run made beside those of other runs
        self._facts = ItemFacts(options.facts)
        self.written: set[str] = set()  # the names of the files that this run has written
        self._additions: Additions | None = None  # to item.json as this run wrote it
        self._lost: SinkError | None = None  # for a picture that cannot be restored; raised by `write_facts`
        if options.existing == "continue" and is_folder(path):
            self._facts.adopt(path)

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names of the files that exist now."""
        is_shared = self.phase is FolderPhase.SHARED and (self.path / FACTS_NAME).is_file()
        has_facts = is_shared or self.phase is FolderPhase.DESCRIBED
        return (*self._facts.pictures, *([FACTS_NAME] if has_facts else []))

    @property
    def has_result(self) -> bool:
        """Whether this run's stream has brought a result that was not withdrawn."""
        return self._facts.has_result

    def write_frame(self, frame: Frame, item: Item) -> bool:
        """Write a frame, unless it exists already. A result is synced. Raises SinkError.

        Returns whether item.json does not describe the frame yet.
        """
        name = frame_file_name(frame)
        self._facts.not_repeated.discard(name)
        if self._facts.holds(frame) or self._has_file_of(frame):
            return self.phase is FolderPhase.UNTOUCHED
        outdated = self._facts.outdated_by(frame, keeps_one_partial=self._options.keep == "latest")
        if self.phase is FolderPhase.SHARED:
            self._remove(outdated)
        self._write(name, frame.data, lambda: frame.sha256, item, is_lasting=frame.is_final)
        self._remove(outdated)
        is_shared = self.phase is FolderPhase.SHARED
        self._facts.add_frame(frame, self._options.clock(), has_digest=frame.is_final or is_shared)
        return not is_shared

    def _has_file_of(self, frame: Frame) -> bool:
        """Return whether the file of a frame exists with the same bytes. Only a frame that comes again has one."""
        name = frame_file_name(frame)
        with suppress(OSError):
            return name in self._facts.frames and read_bounded(self.path / name, MAX_FRAME_BYTES) == frame.data
        return False

    def remove_result(self) -> None:
        """Remove a result that was withdrawn. Raises SinkError."""
        self._remove(self._facts.results)

    def write_rejected(self, data: bytes, item: Item) -> int:
        """Write a refused picture; return its size in bytes, 0 if it exists already or the item has too many.

        Raises SinkError.
        """
        digest = sha256(data).hexdigest()
        if (name := self._facts.name_for_rejected(digest, data)) is None:
            return 0
        self._write(name, data, lambda: digest, item)
        self._facts.add_rejected(name, data)
        return len(data)

    def write_facts(self, item: Item) -> None:
        """Write item.json, unless it has the same text already. That of an end is synced. Raises SinkError.

        Nothing is written in the folder of another run.
        """
        self._write_facts(item)
        if self._lost:
            error, self._lost = self._lost, None
            raise error

    def _write_facts(self, item: Item) -> None:
        text = text_of_facts(self._facts.as_dict(item))
        digest, before = sha256(text).hexdigest(), self._additions
        if self.phase is FolderPhase.SHARED and self._facts.pictures:
            if self._is_shared(dict, item):
                return
        elif before and digest == before.digest:
            before.remove()
            return
        if self._is_earlier(text):
            self.phase = FolderPhase.CLAIMED
        else:
            self._write(FACTS_NAME, text, lambda: digest, item, is_lasting=item.state.is_end)
        self._additions = Additions(self.path, digest, has_frames=bool(self._facts.frames))
        if self.phase is FolderPhase.CLAIMED:
            self.phase = FolderPhase.DESCRIBED
        if before:
            before.remove()

    def _is_earlier(self, text: bytes) -> bool:
        """Return whether the run that is continued has written this item.json. Its time tells when the run began."""
        path = self.path / FACTS_NAME
        if self._options.existing != "continue" or self.phase is not FolderPhase.UNTOUCHED or not is_folder(self.path):
            return False
        with suppress(OSError):
            return read_bounded(path, MAX_FACTS_BYTES) == text and not additions_to(path, text).exists()
        return False

    def describe_frame(self, frame: Frame, item: Item) -> None:
        """Add the facts of a partial to item.json, or write it if it describes no frame yet. Raises SinkError."""
        if self._additions and self._additions.has_frames:
            self._additions.add({"partials": [self._facts.frames[frame_file_name(frame)]]})
        else:
            self.write_facts(item)

    def describe_state(self, item: Item) -> None:
        """Add the facts of the item to item.json, or write it if it is missing. Raises SinkError."""
        if not self._additions:
            self.write_facts(item)
            return
        facts = self._facts.as_dict(item)
        if self._additions.digest != sha256(text_of_facts(facts)).hexdigest():
            self._additions.add({**facts, "partials": []})

    # ---- the place of the files

    def _write(
        self, name: str, data: bytes, digest: Callable[[], str], item: Item, *, is_lasting: bool = False
    ) -> None:
        """Write a file, unless it is in the folder of another run. Raises SinkError.

        digest: called only if the folder of another run exists.
        is_lasting: the file must outlast a power cut, and is worth more than the previews.
        """
        syncing = self._options.syncing
        is_shared = self._is_shared(lambda: {name: digest()}, item)
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

    def _is_shared(self, added: Callable[[], dict[str, str]], item: Item) -> bool:
        """Return whether all pictures, and `added` files, are in the folder of another run.

        Otherwise they get a folder of their own. Raises SinkError.
        """
        if self._options.existing != "beside" or (self._own is not None and self._own == identity_of(self.path)):
            return False

        def files() -> dict[str, str]:
            return self._facts.digests(item) | added()

        is_placed = self.phase is FolderPhase.SHARED
        if is_placed and self._search.holds(self.path, files()):
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
        else:
            self._facts.add_digests(files())
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
                    raise _in_the_way(
                        self.path, "it holds files of another run", 'pass existing="replace" (--overwrite)'
                    )
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
        self._additions = None
        held = {frame_file_name(frame): frame for frame in (*item.partials, item.final) if frame is not None}
        for name, digest in self._facts.digests(item).items():
            try:
                data = held[name].data if name in held and held[name].sha256 == digest else None
                self._store(name, data or self._read_shared(shared, name, digest), is_lasting=stem_in(name) == "final")
            except SinkError as error:
                self._lost = self._lost or error
                self._facts.forget(name)

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
        previews = [facts for facts in self._facts.frames.values() if not facts["is_final"]]
        if error.errno not in (ENOSPC, EDQUOT) or not previews:
            return False
        with suppress(OSError):
            free = shutil.disk_usage(self.path).free + sum(facts["bytes"] for facts in previews)
            if error.errno == ENOSPC and free < n_bytes + _BLOCK_BYTES:
                return False
        _log.warning("the disk is full: the previews in %s are removed to write its result", quoted(str(self.path)))
        self._remove([facts["file"] for facts in previews])
        return True

    def _remove(self, names: list[str]) -> None:
        is_own = self.phase is not FolderPhase.SHARED and is_folder(self.path)
        for name in names:
            try:
                if is_own:
                    (self.path / name).unlink(missing_ok=True)
            except OSError as cause:
                raise sink_error(self.path / name, cause) from cause
            self._facts.frames.pop(name, None)


def _in_the_way(path: Path, reason: str, remedy: str = "remove it") -> SinkError:
    sentence = f"{quoted(str(path))} is in the way: {reason}; choose another folder, or {remedy}"
    return SinkError(sentence, path=path, errno=EEXIST)


def _remove_old(path: Path) -> None:
    """Remove the files of an earlier run: an old final beside new drafts would look like their result."""
    for old in path.iterdir():
        if is_sink_file(old.name):
            old.unlink()


def temporary_files(directory: Path) -> Iterator[Path]:
    """Yield the files that runs are about to write, or were about to write when they were killed."""
    return (path for path in directory.glob(f"*/{TEMPORARY_PATTERN}") if not path.parent.is_symlink())
