"""Reads the structure of PNG files, animated ones included, and checks their checksums.

Must not know: Pillow, other formats. Sources: W3C PNG (Third Edition); C2PA 2.4, annex A.3 (caBX).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from struct import pack
from zlib import crc32, decompressobj
from zlib import error as ZlibError  # noqa: N812 - it is a class

from .binary import BE32, HeaderError, Part, Size
from .c2pa import is_manifest_store
from .exif import exif_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS = 100_000  # real files have one chunk per 8 KiB; the largest allowed picture has a tenth of this
# The bit depths that each colour type may have.
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# The chunks that Pillow needs for the pixels of the still picture. The others (EXIF, text, animation, provenance) can
# be wrong in ways at which Pillow warns or raises, and they change no pixel.
_STILL = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_ANIMATED = frozenset({b"fcTL", b"fdAT"})
_COLOURS = frozenset({b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"mDCV", b"cLLI"})
_LARGEST_PROFILE = 1024 * 1024  # bytes; the largest that Pillow unpacks. Real ones have some kilobytes.

Chunk = tuple[bytes, int, int]


def is_png(data: bytes) -> bool:
    """Return whether `data` begins as a PNG does."""
    return data.startswith(SIGNATURE)


def png_chunks(data: bytes) -> list[Chunk]:
    """Return the chunks of a PNG up to IEND: (type, start, end). The chunk's length and CRC lie inside [start, end)."""
    chunks: list[Chunk] = []
    at = len(SIGNATURE)
    while not chunks or chunks[-1][0] != b"IEND":
        end = at + 12 + BE32(data, at)[0]
        if end > len(data):
            raise HeaderError("is cut short")
        if len(chunks) >= _MAX_CHUNKS:
            raise HeaderError("has too many chunks to be a picture")
        chunks.append((data[at + 4 : at + 8], at, end))
        at = end
    return chunks


def read_png_size(data: bytes) -> Size:
    """Return the size in IHDR. Raises HeaderError if the PNG is not whole."""
    chunks = png_chunks(data)
    if chunks[0][0] != b"IHDR" or chunks[0][2] - chunks[0][1] != 25:
        raise HeaderError("is a PNG without its IHDR")
    if any(kind == b"IHDR" for kind, _, _ in chunks[1:]):  # a decoder believes the last one
        raise HeaderError("is a PNG with two sizes")
    if data[24] not in _DEPTHS.get(data[25], ()) or data[26] or data[27] or data[28] > 1:
        raise HeaderError("is a PNG of a kind that does not exist")
    if not any(kind == b"IDAT" and end - start > 12 for kind, start, end in chunks):
        raise HeaderError("is a PNG without pixels")
    return BE32(data, 16)[0], BE32(data, 20)[0]


def png_orientation(data: bytes) -> int:
    """Return the orientation in the eXIf chunk, 1 to 8; 1 if the chunk is damaged."""
    place = next(((start, end) for kind, start, end in png_chunks(data) if kind == b"eXIf"), None)
    return exif_orientation(data[place[0] + 8 : place[1] - 4]) if place and _is_sound(data, *place) else 1


def has_png_animation(data: bytes) -> bool:
    """Return whether the file has an animation beside its still picture."""
    return any(kind == b"acTL" for kind, _, _ in png_chunks(data))


def has_png_manifest(data: bytes) -> bool:
    """Return whether a caBX chunk holds a C2PA manifest."""
    return any(kind == b"caBX" and is_manifest_store(data, start + 8, end - 4) for kind, start, end in png_chunks(data))


def find_damaged_chunks(data: bytes) -> tuple[str, ...]:
    """Return the types of the chunks of a PNG whose checksum is wrong, in the order of the file; () if all are right.

    A PNG with 3 MB takes about one millisecond.
    """
    return tuple(_type_name(kind) for kind, start, end in png_chunks(data) if not _is_sound(data, start, end))


def png_image_parts(data: bytes) -> Iterator[Part]:
    """Return the parts that make the image, its colours and its animation: the file without its metadata."""
    for kind, start, end in png_chunks(data):
        is_critical = not kind[0] & 0x20
        if is_critical or kind in _COLOURS or kind in _ANIMATED:
            yield start, end


def png_still_parts(data: bytes) -> Iterator[Part]:
    """Return the parts that Pillow needs for the still picture. Raises ValueError if one of them is damaged."""
    yield 0, len(SIGNATURE)
    for kind, start, end in png_chunks(data):
        if kind in _STILL:
            yield _checked(data, kind, start, end)
        elif kind == b"iCCP" and _is_profile(data[start + 4 : end]):
            yield start, end


def png_animation(data: bytes) -> bytes:
    """Return the file with all pictures of its animation, without metadata; one of a single picture if it has none.

    acTL gets the true number of pictures, because Pillow warns about another one. Raises ValueError if a chunk is
    damaged.
    """
    pieces: list[bytes] = [SIGNATURE]
    count, has_animation = 0, False
    for kind, start, end in png_chunks(data):
        has_animation |= kind == b"acTL"
        count += kind == b"fcTL"
        if kind in _STILL or kind in _ANIMATED:
            _checked(data, kind, start, end)
            pieces.append(data[start:end])
        elif kind == b"iCCP" and _is_profile(data[start + 4 : end]):
            pieces.append(data[start:end])
    if has_animation and count:
        pieces.insert(2, _chunk(b"acTL", pack(">II", count, 0)))  # behind IHDR
        return b"".join(pieces)
    return b"".join(piece for piece in pieces if piece[4:8] not in _ANIMATED)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return pack(">I", len(body)) + kind + body + pack(">I", crc32(kind + body))


def _is_sound(data: bytes, start: int, end: int) -> bool:
    with memoryview(data) as whole:
        return crc32(whole[start + 4 : end - 4]) == int.from_bytes(whole[end - 4 : end], "big")


def _checked(data: bytes, kind: bytes, start: int, end: int) -> Part:
    if not _is_sound(data, start, end):
        raise ValueError(f"its chunk {_type_name(kind)} is damaged (the checksum is wrong)")
    return start, end


def _type_name(kind: bytes) -> str:
    return kind.decode("ascii") if kind.isalpha() else kind.hex()


def _is_profile(chunk: bytes) -> bool:
    """Whether the colour profile of a PNG is whole. If it is not, Pillow would refuse the picture."""
    name, _, packed = chunk[4:-4].partition(b"\0")
    if not 1 <= len(name) <= 79 or packed[:1] != b"\0" or crc32(chunk[:-4]) != BE32(chunk, len(chunk) - 4)[0]:
        return False
    unpacking = decompressobj()
    with suppress(ZlibError):
        unpacking.decompress(packed[1:], _LARGEST_PROFILE)
    return unpacking.eof
