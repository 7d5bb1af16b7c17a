"""Reads the structure of AVIF files, animated ones included: sizes, rotation, and whether all data is there.

Must not know: Pillow, AV1, other formats. Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (HEIF), the AVIF
specification; libavif, read.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .binary import BE16, BE32, BE64, HeaderError, Size

_MAX_BOXES = 10_000  # real files have some tens, and one a picture in animations
_MAX_EXTENTS = 100_000
_BRANDS = (b"avif", b"avis")
_TOP = frozenset({b"ftyp", b"meta", b"moov", b"mdat", b"free", b"skip", b"uuid", b"idat", b"styp", b"moof", b"sidx"})
# How EXIF calls a turn by irot (quarter turns counterclockwise), and after it a mirror by imir: none, axis 0, axis 1.
_ORIENTATIONS = ((1, 4, 2), (8, 5, 7), (3, 2, 4), (6, 7, 5))
_METADATA = (b"Exif", b"mime")  # item types
_NO_TYPE = b"none"


class Box(NamedTuple):
    """One box of a file: its type, and where its body stands."""

    kind: bytes
    start: int
    end: int


def is_avif(data: bytes) -> bool:
    """Return whether `data` begins as an AVIF does."""
    if data[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(data[:4], "big"), 400)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    return any(brand in _BRANDS for brand in brands)


def read_avif_size(data: bytes) -> Size:
    """Return the size of the main picture, as stored. Raises HeaderError if the AVIF is not whole."""
    meta = _meta(data)
    _check_extents(data, meta)
    for each in _primary_properties(data, meta):
        if each.kind == b"ispe":
            return BE32(data, each.start + 4)[0], BE32(data, each.start + 8)[0]
    raise HeaderError("is an AVIF without a size")


def avif_orientation(data: bytes) -> int:
    """Return the rotation and mirroring of the main picture, as EXIF numbers it, 1 to 8."""
    turns = mirror = 0
    for each in _primary_properties(data, _meta(data)):
        if each.kind == b"irot":
            turns = data[each.start] & 3
        elif each.kind == b"imir":
            mirror = 1 + (data[each.start] & 1)
    return _ORIENTATIONS[turns][mirror]


def avif_without_metadata(data: bytes) -> bytes:
    """Return the file with EXIF and XMP under a type that decoders skip; no place in the file moves."""
    places = [at for at in _item_types(data) if data[at : at + 4] in _METADATA]
    if not places:
        return data
    changed = bytearray(data)
    for at in places:
        changed[at : at + 4] = _NO_TYPE
    return bytes(changed)


def _boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        length, kind, head = BE32(data, at)[0], data[at + 4 : at + 8], 8
        if length == 1:
            length, head = BE64(data, at + 8)[0], 16
        elif length == 0:  # the last box reaches to the end
            length = end - at
        if length < head:
            raise HeaderError("is a damaged AVIF")
        if at + length > end:
            raise HeaderError("is cut short")
        yield Box(kind, at + head, at + length)
        at += length
    raise HeaderError("has too many boxes to be a picture")


def _meta(data: bytes) -> Box:
    """Return the box with the description of the pictures, and check that the boxes after it are whole.

    Bytes that are no box of a picture may follow the picture.
    """
    found: dict[bytes, Box] = {}
    needed = {b"meta", b"moov"} if data[8:12] == b"avis" else {b"meta"}
    boxes = _boxes(data, 0, len(data))
    try:
        for box in boxes:
            if box.kind not in _TOP and needed <= found.keys():
                break
            found.setdefault(box.kind, box)
    except HeaderError:
        if not needed <= found.keys() or _is_cut_in_picture(data, found):
            raise
    if missing := needed - found.keys():
        raise HeaderError("is cut short" if b"mdat" not in found else f"is an AVIF without {min(missing).decode()}")
    return found[b"meta"]


def _is_cut_in_picture(data: bytes, found: dict[bytes, Box]) -> bool:
    """Whether the box after the last whole one belongs to the picture."""
    at = max(box.end for box in found.values())
    return data[at + 4 : at + 8] in _TOP


def _children(data: bytes, parent: Box, skipped: int = 0) -> dict[bytes, Box]:
    """Return the first box of each type in `parent`, whose own fields take `skipped` bytes."""
    found: dict[bytes, Box] = {}
    for box in _boxes(data, parent.start + skipped, parent.end):
        found.setdefault(box.kind, box)
    return found


def _primary_properties(data: bytes, meta: Box) -> list[Box]:
    """Return the properties of the main picture (ispe, irot, imir, …)."""
    inside = _children(data, meta, 4)
    primary, described = inside.get(b"pitm"), inside.get(b"iprp")
    if primary is None or described is None:
        raise HeaderError("is an AVIF without a main picture")
    item_id = (BE32 if data[primary.start] else BE16)(data, primary.start + 4)[0]
    properties = list(_property_boxes(data, described))
    return [properties[at - 1] for at in _associations(data, described, item_id) if 0 < at <= len(properties)]


def _property_boxes(data: bytes, described: Box) -> Iterator[Box]:
    container = _children(data, described).get(b"ipco")
    return _boxes(data, container.start, container.end) if container else iter(())


def _associations(data: bytes, described: Box, item_id: int) -> list[int]:
    """Return the numbers of the properties of an item, counted from 1."""
    box = _children(data, described).get(b"ipma")
    if box is None:
        return []
    read_id, id_bytes = (BE32, 4) if data[box.start] else (BE16, 2)
    wide = data[box.start + 3] & 1
    at = box.start + 8
    for _ in range(min(BE32(data, box.start + 4)[0], _MAX_BOXES)):
        found, count = read_id(data, at)[0], data[at + id_bytes]
        at += id_bytes + 1
        if found == item_id:
            if wide:
                return [BE16(data, at + 2 * each)[0] & 0x7FFF for each in range(count)]
            return [data[at + each] & 0x7F for each in range(count)]
        at += count << wide
    return []


def _item_types(data: bytes) -> Iterator[int]:
    """Yield the place of the type of each item."""
    info = _children(data, _meta(data), 4).get(b"iinf")
    if info is None:
        return
    for box in _boxes(data, info.start + (8 if data[info.start] else 6), info.end):
        if box.kind == b"infe" and data[box.start] in (2, 3):
            yield box.start + (8 if data[box.start] == 2 else 10)


def _check_extents(data: bytes, meta: Box) -> None:
    """Raise HeaderError if the data of an item lies beyond the end of the file."""
    box = _children(data, meta, 4).get(b"iloc")
    if box is None:
        raise HeaderError("is an AVIF without pixels")
    version, sizes = data[box.start], BE16(data, box.start + 4)[0]
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_bytes = sizes & 15 if version in (1, 2) else 0
    wide = 2 if version == 2 else 0  # two more bytes for each number of an item
    at = box.start + 8 + wide
    budget = _MAX_EXTENTS
    for _ in range((BE32 if wide else BE16)(data, box.start + 6)[0]):
        is_in_file = version == 0 or not BE16(data, at + 2 + wide)[0] & 15
        at += 4 + wide + (2 if version else 0)
        base = int.from_bytes(data[at : at + base_bytes], "big")
        count = BE16(data, at + base_bytes)[0]
        at += base_bytes + 2
        budget -= count + 1
        if budget < 0:
            raise HeaderError("has too many parts to be a picture")
        for _ in range(count):
            at += index_bytes
            offset = int.from_bytes(data[at : at + offset_bytes], "big")
            length = int.from_bytes(data[at + offset_bytes : at + offset_bytes + length_bytes], "big")
            at += offset_bytes + length_bytes
            if is_in_file and base + offset + length > len(data):
                raise HeaderError("is cut short")
