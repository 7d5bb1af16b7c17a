"""Name the files of an item, and bound their sizes: partial-000.png, final.png, rejected-000.bin, item.json.

Must not know: the place of the files, items.
"""

from __future__ import annotations

import re

from ..frames.containers import format_of
from ..frames.frame import Frame
from ..limits import MOST_FRAME_BYTES

FACTS_NAME = "item.json"
TEMPORARY_PATTERN = ".imgassemble-*.tmp"  # the names of files that are being written
MAX_FRAME_BYTES = MOST_FRAME_BYTES  # no sink receives a larger picture
MAX_FACTS_BYTES = 16 * 2**20  # forty thousand partials, which a stream of one each second brings in half a day
_SUFFIXES = ("png", "jpg", "webp", "gif", "avif", "svg", "bin")
_OURS = re.compile(rf"(partial-[0-9.e+-]+|final|rejected-[0-9]{{3}})\.({'|'.join(_SUFFIXES)})|item\.json")


def is_sink_file(name: str) -> bool:
    """Return whether a sink gives this name to a file."""
    return _OURS.fullmatch(name) is not None


def frame_file_name(frame: Frame) -> str:
    """Return the name of a frame's file."""
    return _frame_stem(frame) + frame.suffix


def _frame_stem(frame: Frame) -> str:
    """Return the name of a frame's file without the suffix."""
    if frame.is_final:
        return "final"
    index = frame.index or 0
    return f"partial-{int(index):03d}" if index == int(index) else f"partial-{index}"


def stem_in(name: str) -> str:
    """Return the name of a file without the suffix."""
    return name.rpartition(".")[0]  # an index can contain a point, too


def names_in_other_formats(name: str) -> list[str]:
    """Return the names that the file of a frame would have in other formats."""
    names = [f"{stem_in(name)}.{suffix}" for suffix in _SUFFIXES]
    return [each for each in names if each != name]


def rejected_file_name(number: int, data: bytes) -> str:
    """Return the name of the file for a refused picture, counted from 0."""
    form = format_of(data)
    suffix = "bin" if form is None else "jpg" if form == "JPEG" else form.lower()
    return f"rejected-{number:03d}.{suffix}"
