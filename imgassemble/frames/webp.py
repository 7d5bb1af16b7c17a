"""Reads the structure of WebP files, animated ones included.

Must not know: Pillow, other formats. Sources: RFC 9649; C2PA 2.4, annex A.3 (the chunk C2PA).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import pack

from .binary import LE16, LE32, HeaderError, Part, Size, le24
from .c2pa import is_manifest_store
from .exif import exif_orientation

_MAX_CHUNKS = 300_000  # an animation has one a picture, and a still picture ten at most
_EXIF, _XMP, _ANIMATION = 0x08, 0x04, 0x02  # flags of VP8X
_IMAGE = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})

Chunk = tuple[bytes, int, int]


def is_webp(data: bytes) -> bool:
    """Return whether `data` begins as a WebP does."""
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP"


def webp_chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a WebP: (type, start, end), with the chunk's head and its padding inside [start, end)."""
    end = 8 + LE32(data, 4)[0]
    if end > len(data):
        raise HeaderError("is cut short")
    at = 12
    for _ in range(_MAX_CHUNKS):
        if at + 8 > end:
            return
        length = LE32(data, at + 4)[0]
        if at + 8 + length > end:
            raise HeaderError("is cut short")
        following = min(at + 8 + length + (length & 1), end)
        yield data[at : at + 4], at, following
        at = following
    raise HeaderError("has too many chunks to be a picture")


def read_webp_size(data: bytes) -> Size:
    """Return the size of the canvas, as stored. Raises HeaderError if the WebP is not whole."""
    canvas: Size | None = None
    for kind, start, _ in webp_chunks(data):
        if kind == b"VP8X":
            canvas = le24(data, start + 12) + 1, le24(data, start + 15) + 1
        elif kind in _PIXELS:
            size = _PIXELS[kind](data, start + 8)
            if canvas and kind != b"ANMF" and size != canvas:
                raise HeaderError("is a WebP whose two sizes disagree")
            return canvas or size
    raise HeaderError("is a WebP without pixels")


def webp_orientation(data: bytes) -> int:
    """Return the orientation in the EXIF chunk, 1 to 8."""
    if data[12:16] != b"VP8X" or not data[20] & _EXIF:
        return 1
    exif = next((data[start + 8 : end] for kind, start, end in webp_chunks(data) if kind == b"EXIF"), b"")
    return exif_orientation(exif)


def has_webp_animation(data: bytes) -> bool:
    """Return whether the file has an animation in place of a still picture."""
    return data[12:16] == b"VP8X" and bool(data[20] & _ANIMATION)


def has_webp_manifest(data: bytes) -> bool:
    """Return whether a C2PA chunk holds a C2PA manifest."""
    return any(kind == b"C2PA" and is_manifest_store(data, start + 8, end) for kind, start, end in webp_chunks(data))


def webp_image_parts(data: bytes) -> Iterator[Part]:
    """Return the parts that make the image, its colours and its animation: the file without its metadata."""
    return ((start, end) for kind, start, end in webp_chunks(data) if kind in _IMAGE)


def webp_still(data: bytes) -> bytes:
    """Return the file with its first picture alone, without metadata."""
    parts: list[Part] = []
    for kind, start, end in webp_chunks(data):
        if kind in _IMAGE or kind == b"VP8X":
            parts.append((start, end))
        if kind in _PIXELS:
            break
    return _joined(data, parts)


def webp_animation(data: bytes) -> bytes:
    """Return the file with all its pictures, without metadata."""
    kinds = _IMAGE | {b"VP8X"}
    return _joined(data, [(start, end) for kind, start, end in webp_chunks(data) if kind in kinds])


def _joined(data: bytes, parts: list[Part]) -> bytes:
    """Return a WebP of these chunks, whose header says that there is no metadata."""
    if sum(end - start for start, end in parts) == len(data) - 12:
        return data
    whole = memoryview(data)
    pieces: list[bytes | memoryview] = [whole[start:end] for start, end in parts]
    if data[12:16] == b"VP8X":
        start, end = parts[0]
        head = bytearray(whole[start:end])
        head[8] &= ~(_EXIF | _XMP)
        pieces[0] = bytes(head)
    return b"".join([b"RIFF", pack("<I", 4 + sum(map(len, pieces))), b"WEBP", *pieces])


def _read_vp8(data: bytes, at: int) -> Size:
    if data[at + 3 : at + 6] != b"\x9d\x01\x2a" or data[at] & 1:
        raise HeaderError("is a damaged WebP")
    return LE16(data, at + 6)[0] & 0x3FFF, LE16(data, at + 8)[0] & 0x3FFF


def _read_vp8l(data: bytes, at: int) -> Size:
    if data[at] != 0x2F or data[at + 4] >> 5:
        raise HeaderError("is a damaged WebP")
    bits = LE32(data, at + 1)[0]
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _read_anmf(data: bytes, at: int) -> Size:
    return le24(data, at + 6) + 1, le24(data, at + 9) + 1


_PIXELS: dict[bytes, Callable[[bytes, int], Size]] = {b"VP8 ": _read_vp8, b"VP8L": _read_vp8l, b"ANMF": _read_anmf}
