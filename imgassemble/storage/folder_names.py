"""Name the folder of an item.

Item ids are untrusted: no id leads out of the directory, and two ids never share a folder.
Must not know: files, items.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

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


def numbered_path(path: Path, number: int) -> Path:
    """Return the path of the folder of the run with this number, counted from 1: "image-0", "image-0-2", …."""
    return path if number == 1 else path.with_name(f"{path.name}-{number}")
