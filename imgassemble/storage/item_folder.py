"""Write the files of one item: its frames, its refused pictures, and item.json.

Item ids are untrusted: no id leads out of the directory, and two ids never share a folder.
Must not know: updates, the assembler, other items.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from enum import Enum
from errno import EEXIST
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Literal

from ..assembly.items import Item
from ..errors import SinkError, quoted
from ..files import sink_error, write_atomically
from ..frames.containers import format_of
from ..frames.frame import Frame
from .saved import MAX_FRAME_BYTES, described_anomalies, described_frames, read_bounded, read_facts

Existing = Literal["refuse", "replace", "continue"]
KeepFiles = Literal["all", "latest", "final"]
Facts = dict[str, Any]

MAX_REJECTED = 32  # refused pictures of one item: enough to see what is wrong
_OURS = re.compile(r"(partial-[0-9.e+-]+|final|rejected-[0-9]{3})\.(png|jpg|webp|gif|avif|svg|bin)|item\.json")


class FolderPhase(Enum):
    """How far a run has come with the folder of an item."""

    UNTOUCHED = "this run has not written to it"
    CLAIMED = "it belongs to this run; item.json is missing"
    DESCRIBED = "it belongs to this run; item.json is written"


class ItemFolder:
    """The folder of one item, and the files that stand in it.

    path: the folder. It is made with its first file.
    existing: the treatment of files that an earlier run left.
    keep: the frames that stay.
    clock: gives the time at which a frame arrived.
    """

    def __init__(self, path: Path, *, existing: Existing, keep: KeepFiles, clock: Callable[[], datetime]) -> None:
        self.path = path
        self.phase = FolderPhase.UNTOUCHED
        self.error: SinkError | None = None  # the first
        self._existing, self._keep, self._clock = existing, keep, clock
        self._frames: dict[str, Facts] = {}  # by file name
        self._not_repeated: set[str] = set()  # files of an earlier run that this run's stream has not repeated
        self._rejected: dict[str, Facts] = {}  # by digest
        self._earlier: Facts = {}  # the item.json of an earlier run
        self._text_digest = b""  # of item.json as this run wrote it
        if existing == "continue" and not path.is_symlink():
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
        """The names of the files that stand now."""
        has_facts = self.phase is FolderPhase.DESCRIBED
        rejected = (facts["file"] for facts in self._rejected.values())
        return (*self._frames, *rejected, *(["item.json"] if has_facts else []))

    @property
    def n_frames(self) -> int:
        """The number of frames that stand now."""
        return len(self._frames)

    @property
    def has_result(self) -> bool:
        """Whether this run's stream has brought a result that stands."""
        return any(facts["is_final"] and name not in self._not_repeated for name, facts in self._frames.items())

    def write_frame(self, frame: Frame) -> None:
        """Write a frame, unless it stands already. Raises SinkError."""
        stem = _stem_of(frame)
        name = stem + frame.suffix
        self._not_repeated.discard(name)
        if self._frames.get(name, {}).get("sha256") == frame.sha256:
            return
        self._claim()
        write_atomically(self.path / name, frame.data)
        is_only_one = self._keep == "latest" and not frame.is_final
        self._remove(lambda old: old != name and (_stem(old) == stem or (is_only_one and _stem(old) != "final")))
        self._frames[name] = {"file": name, **frame.as_dict(), "received_at": self._clock().isoformat()}

    def remove_result(self) -> None:
        """Remove a result that was withdrawn. Raises SinkError."""
        self._remove(lambda name: _stem(name) == "final")

    def write_rejected(self, data: bytes) -> int:
        """Write a refused picture; return its size in bytes, 0 if it stands already or the item has too many.

        Raises SinkError.
        """
        if len(self._rejected) >= MAX_REJECTED or sha256(data).hexdigest() in self._rejected:
            return 0
        self._claim()
        name = f"rejected-{len(self._rejected):03d}{_suffix_of(data)}"
        write_atomically(self.path / name, data)
        self._record_rejected(name, data)
        return len(data)

    def _record_rejected(self, name: str, data: bytes) -> None:
        digest = sha256(data).hexdigest()
        self._rejected[digest] = {"file": name, "bytes": len(data), "sha256": digest}

    def write_facts(self, item: Item) -> None:
        """Write item.json, unless it has the same text already. Raises SinkError."""
        text = json.dumps(self._facts_of(item), indent=2).encode() + b"\n"
        digest = sha256(text).digest()
        if digest != self._text_digest:
            self._claim()
            write_atomically(self.path / "item.json", text)
            self._text_digest = digest
        self.phase = FolderPhase.DESCRIBED

    def _facts_of(self, item: Item) -> Facts:
        self._complete(item)
        partials = sorted(
            (each for each in self._frames.values() if not each["is_final"]), key=lambda each: each["index"]
        )
        facts = {**item.as_dict(), "final": self._final_of(item, partials), "partials": partials}
        earlier = (each for each in described_anomalies(self._earlier) if each not in facts["anomalies"])
        facts["anomalies"] = [*earlier, *facts["anomalies"]]
        if self._rejected:
            facts["rejected"] = list(self._rejected.values())
        if isinstance(settings := self._earlier.get("settings"), dict) and "settings" in facts:
            facts["settings"] = settings | facts["settings"]
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
            facts = self._frames.get(_stem_of(frame) + frame.suffix)
            is_missing = facts and facts["sequence_number"] is None and frame.sequence_number is not None
            if facts and is_missing and facts["sha256"] == frame.sha256:
                facts.update(sequence_number=frame.sequence_number, event_type=frame.event_type)

    def _claim(self) -> None:
        """Make sure that the folder exists and belongs to this run. A link is never followed."""
        try:
            if not os.path.lexists(self.path):
                self.path.mkdir()
            elif not S_ISDIR(self.path.lstat().st_mode):
                raise self._in_the_way("it is a file or a link")
            elif self.phase is FolderPhase.UNTOUCHED and self._existing != "continue" and any(self.path.iterdir()):
                if self._existing == "refuse":
                    raise self._in_the_way("it holds files of another run")
                _remove_old(self.path)
        except SinkError:
            raise
        except OSError as cause:
            raise sink_error(self.path, cause) from cause
        if self.phase is FolderPhase.UNTOUCHED:
            self.phase = FolderPhase.CLAIMED

    def _in_the_way(self, reason: str) -> SinkError:
        sentence = f"{quoted(str(self.path))} is in the way: {reason}; choose another folder, or replace it on purpose"
        return SinkError(sentence, path=self.path, errno=EEXIST)

    def _remove(self, is_removed: Callable[[str], bool]) -> None:
        for name in list(filter(is_removed, self._frames)):
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as cause:
                raise sink_error(self.path / name, cause) from cause
            del self._frames[name]


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


# Names that every file system accepts unchanged. They have no capitals: some file systems ignore case, and two ids
# would share a folder.
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,98}[a-z0-9_-]|[a-z0-9_]")
_HASHED = re.compile(r".*-[0-9a-f]{32}")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")  # Windows opens a device in place of these files


def folder_name(item_id: str) -> str:
    """Return the name of an item's folder: the id if it is a plain name, else its readable part and its hash.

    The same id always gives the same name, and two ids never do, even on a file system that ignores case.
    """
    if _PLAIN.fullmatch(item_id) and not _DEVICES.fullmatch(item_id) and not _HASHED.fullmatch(item_id):
        return item_id
    readable = re.sub("[^a-z0-9_]+", "-", item_id.lower())[:40].strip("-")
    digest = sha256(item_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{readable or 'item'}-{digest}"
