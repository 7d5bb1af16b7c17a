"""The contents of one item's item.json: the facts of the item and of its files.

Must not know: the place of the files, updates, the assembler.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..assembly.items import Item, facts_without_frames
from ..errors import ProviderError, UsageError
from ..files import read_bounded
from ..frames.base64_json import dump_json
from ..frames.binary import HeaderError
from ..frames.containers import read_header
from ..frames.frame import Frame, facts_without_digest
from .file_names import (
    FACTS_NAME,
    MAX_FRAME_BYTES,
    frame_file_name,
    is_sink_file,
    names_in_other_formats,
    rejected_file_name,
)
from .item_json import Facts, described_anomalies, described_frames, read_facts

MAX_REJECTED = 32  # refused pictures of one item: enough to see what is wrong


class ItemFacts:
    """The facts of the files of one item, and of an earlier run that is continued.

    own: the caller's own facts, in the form of JSON; None if there are none.
    """

    def __init__(self, own: Facts | None) -> None:
        self._own = own
        self.frames: dict[str, Facts] = {}  # by file name
        self.not_repeated: set[str] = set()  # files of an earlier run that this run's stream has not repeated
        self.rejected: dict[str, Facts] = {}  # by digest
        self.earlier: Facts = {}  # the item.json of an earlier run

    def adopt(self, folder: Path) -> None:
        """Take over the files in the folder of an earlier run, if they have the bytes that its item.json describes."""
        self.earlier = read_facts(folder / FACTS_NAME)
        described = described_frames(self.earlier).items()
        self.frames = {name: facts for name, facts in described if _is_intact(folder / name, facts)}
        self.not_repeated = set(self.frames)
        for file in sorted(folder.glob("rejected-*.*"))[:MAX_REJECTED]:
            with suppress(OSError):
                self.add_rejected(file.name, read_bounded(file, MAX_FRAME_BYTES))

    @property
    def pictures(self) -> dict[str, str]:
        """The names of the pictures that exist now, with their digests; "" if a digest is not known."""
        return {facts["file"]: facts.get("sha256", "") for facts in (*self.frames.values(), *self.rejected.values())}

    @property
    def results(self) -> list[str]:
        """The names of the files of results."""
        return [name for name, facts in self.frames.items() if facts["is_final"]]

    @property
    def has_result(self) -> bool:
        """Whether this run's stream has brought a result that was not withdrawn."""
        return any(name not in self.not_repeated for name in self.results)

    def holds(self, frame: Frame) -> bool:
        """Return whether the file of a frame exists, and its digest is known to be that of the frame."""
        digest = self.frames.get(frame_file_name(frame), {}).get("sha256")
        return digest is not None and bool(digest == frame.sha256)

    def add_frame(self, frame: Frame, received_at: datetime, *, has_digest: bool = True) -> None:
        """Add the file of a frame. The digest of a large picture takes milliseconds."""
        name = frame_file_name(frame)
        facts = frame.as_dict() if has_digest else facts_without_digest(frame)
        self.frames[name] = {"file": name, **facts, "received_at": received_at.isoformat()}

    def add_digests(self, digests: Mapping[str, str]) -> None:
        """Add the digests of frames, by file name."""
        for name, facts in self.frames.items():
            facts["sha256"] = digests[name]

    def digests(self, item: Item) -> dict[str, str]:
        """Return `pictures`, with the digests of the frames that `item` holds."""
        held = {frame_file_name(frame): frame for frame in (*item.partials, item.final) if frame is not None}
        return {
            name: digest or (held[name].sha256 if name in held and _is_of(self.frames[name], held[name]) else "")
            for name, digest in self.pictures.items()
        }

    def name_for_rejected(self, digest: str, data: bytes) -> str | None:
        """Return the name for a refused picture; None if it exists already or the item has too many."""
        if len(self.rejected) >= MAX_REJECTED or digest in self.rejected:
            return None
        return rejected_file_name(len(self.rejected), data)

    def add_rejected(self, name: str, data: bytes) -> None:
        """Add the file of a refused picture."""
        digest = sha256(data).hexdigest()
        self.rejected[digest] = {"file": name, "bytes": len(data), "sha256": digest}

    def forget(self, name: str) -> None:
        """Remove the facts of a picture that is gone."""
        self.frames.pop(name, None)
        self.rejected = {each: facts for each, facts in self.rejected.items() if facts["file"] != name}

    def outdated_by(self, frame: Frame, *, keeps_one_partial: bool) -> list[str]:
        """Return the names of the files that a frame replaces: another format of it, or the earlier partials."""
        name = frame_file_name(frame)
        if keeps_one_partial and not frame.is_final:
            return [old for old, facts in self.frames.items() if old != name and not facts["is_final"]]
        return [old for old in names_in_other_formats(name) if old in self.frames]

    def as_dict(self, item: Item) -> Facts:
        """Return the facts of `item` and of its files."""
        self._complete(item)
        partials = sorted(
            (each for each in self.frames.values() if not each["is_final"]), key=lambda each: each["index"]
        )
        facts = facts_without_frames(item)
        facts["final"], facts["partials"] = self._final_of(item, partials), partials
        if isinstance(item.error, ProviderError):
            facts["error"] = {**facts["error"], "is_blocked": item.error.is_blocked}
        earlier = (each for each in described_anomalies(self.earlier) if each not in facts["anomalies"])
        facts["anomalies"] = [*earlier, *facts["anomalies"]]
        if self.rejected:
            facts["rejected"] = list(self.rejected.values())
        if isinstance(settings := self.earlier.get("settings"), dict) and "settings" in facts:
            facts["settings"] = settings | facts["settings"]
        if (own := self._own or self.earlier.get("facts")) is not None:
            facts["facts"] = own
        return facts

    def _final_of(self, item: Item, partials: list[Facts]) -> Facts | None:
        final = item.final
        if final is None:
            return None
        results = (each for each in self.frames.values() if each["is_final"])
        drafts = (each for each in partials if each["index"] == final.index)
        return next(drafts if item.is_provisional else results, None)

    def _complete(self, item: Item) -> None:
        """Add the facts of frames that were missing.

        If a run was killed before item.json was written, number and type are missing; the stream sends both again.
        """
        for frame in filter(None, (*item.partials, item.final)):
            facts = self.frames.get(frame_file_name(frame))
            is_missing = facts and facts["sequence_number"] is None and frame.sequence_number is not None
            if facts and is_missing and _is_of(facts, frame):
                facts.update(sequence_number=frame.sequence_number, event_type=frame.event_type)


def text_of_facts(facts: Facts) -> bytes:
    """Return the contents of item.json."""
    return dump_json(facts) + b"\n"


def _is_intact(file: Path, facts: Facts) -> bool:
    """Return whether a file has the bytes that item.json describes.

    Without a digest, their number and the header of the picture stand for them.
    """
    if not is_sink_file(file.name):
        return False
    with suppress(OSError, HeaderError):
        data = read_bounded(file, MAX_FRAME_BYTES)
        if "sha256" in facts:
            return bool(sha256(data).hexdigest() == facts["sha256"])
        header = read_header(data)
        size = None if header.size is None else list(header.size)
        return [len(data), header.format, size] == [facts["bytes"], facts["format"], facts["size"]]
    return False


def facts_of(item: Item, received_at: datetime) -> Facts:
    """Return the facts of an item and of its frames, as in item.json. They need the digests of the frames."""
    facts = ItemFacts(None)
    for frame in filter(None, (*item.partials, item.final)):
        facts.add_frame(frame, received_at)
    return facts.as_dict(item)


def _is_of(facts: Facts, frame: Frame) -> bool:
    """Return whether these can be the facts of a frame; partials of one index rarely have the same size."""
    return bool(facts["bytes"] == len(frame.data) and facts.get("sha256", "") in ("", frame.sha256))


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def checked_facts(facts: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a copy of the caller's facts in the form of JSON. Raises UsageError if they have no such form."""
    if facts is None:
        return None
    if not isinstance(facts, Mapping) or not all(isinstance(name, str) for name in facts):
        raise UsageError(f"facts is a mapping with names, like {{'prompt': 'an otter'}}, not {type(facts).__name__}")
    try:
        checked: dict[str, Any] = json.loads(json.dumps(dict(facts), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as cause:
        raise UsageError(f"facts cannot be written as JSON: {cause}") from cause
    return checked
