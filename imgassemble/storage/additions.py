"""Add facts to an item.json without replacing it: one line of JSON for each change, in a hidden file beside it.

A file system may write to the disk at once when a file is replaced, which takes milliseconds. A line takes
microseconds. The name of the hidden file contains the digest of its item.json, so its lines belong to no other version.
It is also the name of a temporary file: a run that continues a killed one reads the lines, and removes the file.
Must not know: the meaning of the facts, apart from the list of partials.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..files import append_line, read_bounded, sink_error
from .file_names import FACTS_NAME, MAX_FACTS_BYTES


class Additions:
    """The lines that belong to the item.json with the SHA-256 `digest`.

    has_frames: whether that item.json describes a frame.
    """

    def __init__(self, folder: Path, digest: str, *, has_frames: bool) -> None:
        self.digest: str = digest
        self.has_frames: bool = has_frames
        self._path = _path_of(folder, digest)
        self._is_made = False

    def add(self, facts: dict[str, Any]) -> None:
        """Add members of item.json that have changed; "partials" has only those to add. Raises SinkError."""
        self._is_made = True
        append_line(self._path, json.dumps(facts).encode() + b"\n")

    def remove(self) -> None:
        """Remove the lines, because item.json has their facts. Raises SinkError."""
        if not self._is_made:
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as cause:
            raise sink_error(self._path, cause) from cause
        self._is_made = False


def additions_to(path: Path, text: bytes) -> Path:
    """Return the place of the lines that belong to the item.json at `path` with the contents `text`."""
    return _path_of(path.parent, sha256(text).hexdigest())


def with_additions(facts: dict[str, Any], added: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts of an item.json with those of its lines."""
    merged: dict[str, Any] = {}
    partials: list[Any] = []
    for each in (facts, *added):
        merged |= each
        partials += each["partials"] if isinstance(each.get("partials"), list) else []
    return merged | ({"partials": partials} if "partials" in merged else {})


def belongs_to_facts(path: Path) -> bool:
    """Return whether a temporary file has the lines of the item.json beside it."""
    facts = path.with_name(FACTS_NAME)
    with suppress(OSError):
        return path == additions_to(facts, read_bounded(facts, MAX_FACTS_BYTES))
    return False


def _path_of(folder: Path, digest: str) -> Path:
    return folder / f".imgassemble-{digest[:16]}.tmp"
