"""Find the folder of an item beside the folders of other runs.

A folder belongs to the run that made it. If all files of an item are in the folder of another run, with the same
bytes, the item uses that folder, and nothing is written.
Must not know: updates, frames, the assembler.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from errno import ENOTDIR
from hashlib import sha256
from itertools import count
from pathlib import Path
from stat import S_ISDIR

from ..assembly.items import Item
from ..files import read_bounded
from .file_names import FACTS_NAME, MAX_FRAME_BYTES, TEMPORARY_PATTERN
from .folder_names import numbered_path
from .item_json import read_facts
from .saved_items import SavedItem
from .syncing import is_on_event_loop

_PAUSE_S = 0.01  # between two looks at the folder of a run that is writing
_SILENCE_S = 1.0  # a run that has written nothing for this time does not write the same picture at the same time
_PICTURE_S = 60.0  # a service takes up to this time from one picture to the next
_SKEW_S = 0.25  # by which runs that read the same stream differ
_LONGEST_WRITE_S = 5.0  # a temporary file that is older was left by a run that was killed; a busy disk takes seconds
_ENDS = ("failed", "incomplete")  # apart from "completed", which a service can say before it sends the result

Digests = Mapping[str, str]
"""Maps the name of a file to the SHA-256 of its bytes."""
FolderIdentity = tuple[int, int]


class FolderSearch:
    """Finds the folder for the files of one item: `base`, "base-2", "base-3", …."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._known: dict[Path, tuple[tuple[int, ...], str]] = {}  # the stat and the digest of each file

    def find(self, files: Callable[[], Digests]) -> tuple[Path, bool]:
        """Return a folder that has `files`, or a new one; and whether it is new.

        files: called only if a folder exists, because digests take time.
        Raises NotADirectoryError if a file or a link is in the way, and OSError if no folder can be made.
        """
        for number in count(1):
            path = numbered_path(self._base, number)
            if make_folder(path):
                return path, True
            if not is_folder(path):
                raise NotADirectoryError(ENOTDIR, "it is a file or a link", str(path))
            if self._will_hold(path, files()):
                return path, False
        raise AssertionError("the numbers do not end")

    def holds(self, folder: Path, files: Digests) -> bool:
        """Return whether all `files` are in `folder`, with the same bytes. A link is not a folder."""
        return is_folder(folder) and all(self.digest_of(folder / name) == digest for name, digest in files.items())

    def digest_of(self, path: Path) -> str | None:
        """Return the SHA-256 of a file, which is read once; None if there is no file."""
        with suppress(OSError):
            facts = path.lstat()
            stat = (facts.st_size, facts.st_ino, facts.st_mtime_ns)
            if path not in self._known or self._known[path][0] != stat:
                self._known[path] = stat, sha256(read_bounded(path, MAX_FRAME_BYTES)).hexdigest()
            return self._known[path][1]
        return None

    def _will_hold(self, folder: Path, files: Digests) -> bool:
        """Return whether `files` are in `folder`. Wait for those that are missing while another run is writing.

        A run that has written nothing for a while may be about to receive the same picture: wait a moment for it.
        """
        waits_until = time.monotonic() + _SKEW_S
        while True:
            silence_s = _SILENCE_S if time.monotonic() > waits_until else _PICTURE_S
            # Before the look, because the last file may come after it.
            is_being_written = _is_being_written(folder, silence_s)
            found = {name: self.digest_of(folder / name) for name in files}
            if found == files:
                return is_folder(folder)
            differs = any(digest not in (None, files[name]) for name, digest in found.items())
            if differs or is_on_event_loop() or not is_being_written:
                return False
            time.sleep(_PAUSE_S)


def make_folder(path: Path) -> bool:
    """Make a folder, and the folders above it. Return False if something is there."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return make_folder(path)
    return True


def _is_being_written(folder: Path, silence_s: float) -> bool:
    facts = read_facts(folder / FACTS_NAME)
    has_result = facts.get("final") is not None and not facts.get("is_provisional")
    if facts.get("state") in _ENDS or (facts.get("state") == "completed" and has_result):
        return False
    temporary = any(_is_newer(path, _LONGEST_WRITE_S) for path in folder.glob(TEMPORARY_PATTERN))
    return temporary or _is_newer(folder, silence_s)


def _is_newer(path: Path, seconds: float) -> bool:
    with suppress(OSError):
        return 0 <= time.time() - path.lstat().st_mtime < seconds
    return False


def identity_of(folder: Path) -> FolderIdentity | None:
    """Return a value that another folder in the same place rarely has; None if no folder is there.

    A link that replaces a folder can get its inode, but is no folder.
    """
    with suppress(OSError):
        facts = folder.lstat()
        return (facts.st_dev, facts.st_ino) if S_ISDIR(facts.st_mode) else None
    return None


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder. A link is not a folder."""
    with suppress(OSError):
        return S_ISDIR(path.lstat().st_mode)
    return False


def folder_to_continue(base: Path, item: Item, saved: Iterable[SavedItem]) -> Path:
    """Return the folder of `item` among the `saved` items; for a new item the first one that belongs to no other item.

    A run that was killed may have left a folder without item.json: `base`, "base-2", ….
    """
    for each in saved:
        if each.response_id == item.response_id and each.wire_id is not None and each.wire_id == item.wire_id:
            return each.folder
        if each.id == item.id and (None in (each.response_id, item.response_id) or each.wire_id is None):
            return each.folder
    paths = (numbered_path(base, number) for number in count(1))
    return next(path for path in paths if not (is_folder(path) and "id" in read_facts(path / FACTS_NAME)))


def newest_run(items: Iterable[SavedItem]) -> list[SavedItem]:
    """Return the items of the newest run: the newest folder of each id.

    Images without names have the same ids in each run. Those that are older than the first one of the newest run
    belong to an earlier run.
    """
    newest = {item.id: item for item in sorted(items, key=lambda item: item.start)}
    numbers = {item.number: item.start for item in newest.values() if item.number is not None}
    start = numbers[min(numbers)] if numbers else ""
    return [item for item in items if newest[item.id] is item and (item.number is None or item.start >= start)]
