"""Reads the structure of GIF files, animated ones included.

Must not know: Pillow, other formats. Sources: GIF89a; C2PA 2.4, annex A.3 (the application extension).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

from .binary import LE16, HeaderError, Part, Size
from .c2pa import is_manifest_store

# Real files have one block per 255 bytes; this many fit a GIF of 64 MiB. More would only keep a reader busy.
_MAX_BLOCKS = 300_000
_PICTURE, _CONTROL, _APPLICATION = b",", b"!\xf9", b"!\xff"
_MANIFEST = b"\x0bC2PA_GIF\x01\0\0"  # the first sub-block of the extension, with its length

Block = tuple[bytes, int, int]


def is_gif(data: bytes) -> bool:
    """Return whether `data` begins as a GIF does."""
    return data.startswith((b"GIF87a", b"GIF89a"))


def gif_blocks(data: bytes) -> list[Block]:
    """Return the blocks of a GIF after its palette, up to the trailer: (kind, start, end).

    The kind is b"," for a picture, and b"!" with the label for an extension.
    """
    blocks: list[Block] = []
    at = _first_block(data)
    budget = repeat(None, _MAX_BLOCKS)  # one for all loops, so that the whole walk is bounded
    for _ in budget:
        start, kind = at, data[at]
        if kind == 0x3B:
            return blocks
        if kind not in (0x21, 0x2C):
            raise HeaderError("is a damaged GIF")
        at += 2 if kind == 0x21 else 11 + _palette_bytes(data[at + 9])
        for _ in budget:
            length = data[at]
            at += 1 + length
            if not length:
                break
        blocks.append((data[start : start + 2] if kind == 0x21 else _PICTURE, start, at))
    raise HeaderError("has too many blocks to be a picture")


def read_gif_size(data: bytes) -> Size:
    """Return the size of the canvas. Raises HeaderError if the GIF is not whole."""
    at = next((start for kind, start, _ in gif_blocks(data) if kind == _PICTURE), None)
    if at is None:
        raise HeaderError("is a GIF without pixels")
    # The first picture may lie beyond the canvas, and decoders enlarge that.
    right, bottom = _corner(data, at)
    return max(right, LE16(data, 6)[0]), max(bottom, LE16(data, 8)[0])


def has_gif_animation(data: bytes) -> bool:
    """Return whether the file has more than one picture."""
    return sum(kind == _PICTURE for kind, _, _ in gif_blocks(data)) > 1


def has_gif_manifest(data: bytes) -> bool:
    """Return whether an application extension holds a C2PA manifest; its second sub-block begins the manifest."""
    return any(
        kind == _APPLICATION and data.startswith(_MANIFEST, start + 2) and is_manifest_store(data, start + 15, end)
        for kind, start, end in gif_blocks(data)
    )


def gif_still_parts(data: bytes) -> Iterator[Part]:
    """Return the parts of the first picture of a GIF, and before it those that tell how it is shown.

    Pillow before 13 makes a text of a comment in quadratic time, and a comment may have megabytes. After an extension
    without data it reads on in the wrong place.
    """
    yield 0, _first_block(data)
    for kind, start, end in gif_blocks(data):
        if _is_shown(kind, start, end):
            yield start, end
        if kind == _PICTURE:
            return


def gif_animation_parts(data: bytes) -> Iterator[Part]:
    """Return the parts of all pictures of a GIF. Raises ValueError if a later picture lies outside of the canvas."""
    width, height = read_gif_size(data)
    yield 0, _first_block(data)
    for kind, start, end in gif_blocks(data):
        if kind == _PICTURE:
            right, bottom = _corner(data, start)
            if right > width or bottom > height:
                raise ValueError("one of its pictures lies outside of the canvas")
        if _is_shown(kind, start, end):
            yield start, end


def _is_shown(kind: bytes, start: int, end: int) -> bool:
    return kind == _PICTURE or (kind == _CONTROL and end - start > 3)


def _corner(data: bytes, at: int) -> Size:
    """Return the right and the bottom edge of the picture at `at`, in pixels of the canvas."""
    left, top, width, height = (LE16(data, at + place)[0] for place in (1, 3, 5, 7))
    return left + width, top + height


def _first_block(data: bytes) -> int:
    """Return the place of the first block: after the size and the palette."""
    return 13 + _palette_bytes(data[10])


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
