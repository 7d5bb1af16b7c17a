"""Copy the objects that a sink wrote into a temporary folder, so that the readers of folders can read them.

Must not know: items, the contents of item.json.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .conditional_objects import ConditionalObjects, checked_prefix
from .file_names import FACTS_NAME, MAX_FACTS_BYTES, MAX_FRAME_BYTES, is_sink_file

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_FOLDER = re.compile(r"[a-z0-9_-][a-z0-9_.-]{0,199}")  # any program can write objects: no name leads out of the copy


def copy_of(store: ObjectStore, prefix: str) -> ObjectCopy:
    """Return a copy of the objects under a prefix of the user's. Raises UsageError if it cannot begin a key."""
    return ObjectCopy(ConditionalObjects(store), checked_prefix(prefix))


class ObjectCopy:
    """The objects under a prefix, in a folder of its own. Use it with `with`, or call `close`.

    prefix: ends with "/", or is empty.

    Raises SinkError if they cannot be listed or read.
    """

    def __init__(self, objects: ConditionalObjects, prefix: str) -> None:
        self._objects, self._prefix = objects, prefix
        self._folder = TemporaryDirectory(prefix="imgassemble-")
        self.path: Path = Path(self._folder.name)
        self._names: dict[str, list[str]] = {}  # the files in each folder
        try:
            self._copy_facts()
        except BaseException:
            self.close()
            raise

    def _copy_facts(self) -> None:
        for key in self._objects.keys(self._prefix):
            folder, _, name = key.removeprefix(self._prefix).rpartition("/")
            if _FOLDER.fullmatch(folder) and is_sink_file(name):
                self._names.setdefault(folder, []).append(name)
        for folder, names in self._names.items():
            if FACTS_NAME in names:
                self._copy(folder, FACTS_NAME, MAX_FACTS_BYTES)

    def fetch(self, folder: str, named: Container[str]) -> None:
        """Copy the frames of a folder that item.json names, and its refused pictures. Raises SinkError."""
        for name in self._names.get(folder, ()):
            if name in named or name.startswith("rejected-"):
                self._copy(folder, name, MAX_FRAME_BYTES)

    def _copy(self, folder: str, name: str, max_bytes: int) -> None:
        key = f"{self._prefix}{folder}/{name}"
        found = self._objects.read(key, max_bytes)
        if found is None:  # it was removed meanwhile
            return
        self._objects.adopt(key, found.version)
        path = self.path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(found.data)
        os.utime(path, (found.modified_s, found.modified_s))

    def __enter__(self) -> ObjectCopy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the copy."""
        self._folder.cleanup()
