"""Reads numbers at a place in bytes, and joins parts of a file.

Must not know: formats.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

# Each takes (data, place) and returns a tuple of one number; each raises struct.error beyond the end.
BE16, BE32, BE64 = (Struct(form).unpack_from for form in (">H", ">I", ">Q"))
LE16, LE32 = (Struct(form).unpack_from for form in ("<H", "<I"))

Size = tuple[int, int]  # (width, height) in pixels
Part = tuple[int, int]  # (start, end) in the file


class HeaderError(Exception):
    """These bytes are not a whole picture. The message ends the sentence "the picture …"."""


def le24(data: bytes, at: int) -> int:
    """Return the little-endian number in the three bytes at `at`."""
    return int.from_bytes(data[at : at + 3], "little")


def join_parts(data: bytes, parts: Iterable[Part]) -> bytes:
    """Return the parts of `data` as bytes: `data` itself if they are all of it."""
    places = list(parts)
    if sum(end - start for start, end in places) == len(data):
        return data
    whole = memoryview(data)
    return b"".join(whole[start:end] for start, end in places)
