"""Reads the structure of AVIF files, animated ones included: sizes, rotation, and whether all data is there.

Must not know: Pillow, AV1, other formats. Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (HEIF), the AVIF
specification; libavif, read.c; C2PA 2.4, annex A.5 (the uuid box).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .av1 import av1_sizes
from .binary import BE16, BE32, BE64, HeaderError, Part, Size, join_parts
from .c2pa import is_manifest_store

_MAX_BOXES = 10_000  # real files have some tens, and one a picture in animations
_MAX_EXTENTS = 100_000
# How many pixels AV1 data may have: some more than the picture, because the tiles of a picture may be larger in all.
_LARGER, _SMALL = 4, 2**20
_BRANDS = (b"avif", b"avis")
_TOP = frozenset({b"ftyp", b"meta", b"moov", b"mdat", b"free", b"skip", b"uuid", b"idat", b"styp", b"moof", b"sidx"})
# How EXIF calls a turn by irot (quarter turns counterclockwise), and after it a mirror by imir: none, axis 0, axis 1.
_ORIENTATIONS = ((1, 4, 2), (8, 5, 7), (3, 2, 4), (6, 7, 5))
_METADATA = (b"Exif", b"mime")  # item types
_NO_TYPE = b"none"
_MANIFEST = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # the type of the uuid box
_LONGEST_PURPOSE = 32  # bytes; "manifest" and others like it


class Box(NamedTuple):
    """One box of a file: its type, and the place of its body."""

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
    properties = _primary_properties(data, meta)
    place = next((each.start for each in properties if each.kind == b"ispe"), None)
    if place is None:
        raise HeaderError("is an AVIF without a size")
    size = BE32(data, place + 4)[0], BE32(data, place + 8)[0]
    _check_pictures(data, meta, size)
    return size


def avif_orientation(data: bytes) -> int:
    """Return the rotation and mirroring of the main picture, as EXIF numbers it, 1 to 8."""
    turns = mirror = 0
    for each in _primary_properties(data, _meta(data)):
        if each.kind == b"irot":
            turns = data[each.start] & 3
        elif each.kind == b"imir":
            mirror = 1 + (data[each.start] & 1)
    return _ORIENTATIONS[turns][mirror]


def has_avif_animation(data: bytes) -> bool:
    """Return whether the file has an animation beside its main picture."""
    return data[8:12] == b"avis"


def has_avif_manifest(data: bytes) -> bool:
    """Return whether a uuid box of the file holds a C2PA manifest.

    Before the manifest stand the type, version and flags, a purpose that ends with a zero, and a place in the file.
    """
    for box in _top_boxes(data):
        if box.kind == b"uuid" and data.startswith(_MANIFEST, box.start, box.end):
            purpose = box.start + len(_MANIFEST) + 4
            zero = data.find(b"\0", purpose, min(box.end, purpose + _LONGEST_PURPOSE))
            if zero >= 0 and is_manifest_store(data, zero + 9, box.end):
                return True
    return False


def avif_without_metadata(data: bytes) -> bytes:
    """Return the file with EXIF and XMP under a type that decoders skip; no place in the file moves."""
    places = [at for at in _item_types(data, _meta(data)) if data[at : at + 4] in _METADATA]
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
    """Return the box with the description of the pictures. Raises HeaderError if a box of the file is not whole."""
    found = {box.kind: box for box in reversed(_top_boxes(data))}
    needed = _needed(data)
    if missing := needed - found.keys():
        raise HeaderError("is cut short" if b"mdat" not in found else f"is an AVIF without {min(missing).decode()}")
    return found[b"meta"]


def _top_boxes(data: bytes) -> list[Box]:
    """Return the boxes of the file. Bytes that are no box of a picture may follow the picture."""
    found: list[Box] = []
    needed = _needed(data)
    try:
        for box in _boxes(data, 0, len(data)):
            if box.kind not in _TOP and not needed:
                break
            needed.discard(box.kind)
            found.append(box)
    except HeaderError:
        at = found[-1].end if found else 0
        if needed or data[at + 4 : at + 8] in _TOP:
            raise
    return found


def _needed(data: bytes) -> set[bytes]:
    return {b"meta", b"moov"} if data[8:12] == b"avis" else {b"meta"}


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


def _item_types(data: bytes, meta: Box) -> Iterator[int]:
    """Yield the place of the type of each item."""
    info = _children(data, meta, 4).get(b"iinf")
    if info is None:
        return
    for box in _boxes(data, info.start + (8 if data[info.start] else 6), info.end):
        if box.kind == b"infe" and data[box.start] in (2, 3):
            yield box.start + (8 if data[box.start] == 2 else 10)


def _check_pictures(data: bytes, meta: Box, size: Size) -> None:
    """Raise HeaderError if the data of a picture is not in the file, or has far more pixels than the file tells.

    A decoder makes all pixels of the AV1 data, and scales them to the size in the file.
    """
    most = _LARGER * size[0] * size[1] + _SMALL
    budget = 2 * len(data)
    for parts in (*_item_parts(data, meta), *_sample_parts(data)):
        if any(end > len(data) for _, end in parts):
            raise HeaderError("is cut short")
        budget -= sum(end - start for start, end in parts)
        if budget < 0:
            raise HeaderError("has too many parts to be a picture")
        for width, height in av1_sizes(join_parts(data, parts)):
            if width * height > most:
                raise HeaderError("is an AVIF whose two sizes disagree")


def _item_parts(data: bytes, meta: Box) -> list[list[Part]]:
    """Return the parts of the file that hold each AV1 item."""
    inside = _children(data, meta, 4)
    box, idat = inside.get(b"iloc"), inside.get(b"idat")
    if box is None:
        raise HeaderError("is an AVIF without pixels")
    version, sizes = data[box.start], BE16(data, box.start + 4)[0]
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_bytes = sizes & 15 if version in (1, 2) else 0
    wide = 2 if version == 2 else 0  # two more bytes for each number of an item
    coded = _coded_items(data, meta)
    items: list[list[Part]] = []
    at = box.start + 8 + wide
    budget = _MAX_EXTENTS
    for _ in range((BE32 if wide else BE16)(data, box.start + 6)[0]):
        item_id = (BE32 if wide else BE16)(data, at)[0]
        is_in_idat = version != 0 and BE16(data, at + 2 + wide)[0] & 15 == 1
        at += 4 + wide + (2 if version else 0)
        base = int.from_bytes(data[at : at + base_bytes], "big") + (idat.start if is_in_idat and idat else 0)
        count = BE16(data, at + base_bytes)[0]
        at += base_bytes + 2
        budget -= count + 1
        if budget < 0:
            raise HeaderError("has too many parts to be a picture")
        parts: list[Part] = []
        for _ in range(count):
            at += index_bytes
            start = base + int.from_bytes(data[at : at + offset_bytes], "big")
            length = int.from_bytes(data[at + offset_bytes : at + offset_bytes + length_bytes], "big")
            at += offset_bytes + length_bytes
            parts.append((start, start + length if length_bytes else len(data)))
        if item_id in coded:
            items.append(parts)
        elif any(end > len(data) for _, end in parts):
            raise HeaderError("is cut short")
    return items


def _coded_items(data: bytes, meta: Box) -> set[int]:
    """Return the ids of the items that are AV1 data."""
    coded = set()
    for at in _item_types(data, meta):
        if data[at : at + 4] == b"av01":
            is_wide = data[at - 10] == 3  # version 3 has an id of four bytes
            coded.add(BE32(data, at - 6)[0] if is_wide else BE16(data, at - 4)[0])
    return coded


def _sample_parts(data: bytes) -> list[list[Part]]:
    """Return the parts of the file that hold each picture of an animation."""
    moov = next((box for box in _top_boxes(data) if box.kind == b"moov"), None)
    tracks = [] if moov is None else [box for box in _boxes(data, moov.start, moov.end) if box.kind == b"trak"]
    return [[part] for track in tracks for part in _track_parts(data, track)]


def _track_parts(data: bytes, track: Box) -> Iterator[Part]:
    place: Box | None = track
    for name in (b"mdia", b"minf", b"stbl"):
        place = _children(data, place).get(name) if place else None
    tables = _children(data, place) if place else {}
    chunks, sizes, runs = tables.get(b"stco") or tables.get(b"co64"), tables.get(b"stsz"), tables.get(b"stsc")
    if chunks is None or sizes is None or runs is None:
        return
    same, count = BE32(data, sizes.start + 4)[0], min(BE32(data, sizes.start + 8)[0], _MAX_EXTENTS)
    read, step = (BE64, 8) if chunks.kind == b"co64" else (BE32, 4)
    firsts = [BE32(data, runs.start + 8 + 12 * at)[0] for at in range(min(BE32(data, runs.start + 4)[0], _MAX_EXTENTS))]
    sample = run = 0
    for chunk in range(min(BE32(data, chunks.start + 4)[0], _MAX_EXTENTS)):
        start = read(data, chunks.start + 8 + step * chunk)[0]
        while run + 1 < len(firsts) and firsts[run + 1] <= chunk + 1:
            run += 1
        for _ in range(min(BE32(data, runs.start + 12 + 12 * run)[0] if firsts else 0, count - sample)):
            length = same or BE32(data, sizes.start + 12 + 4 * sample)[0]
            yield start, start + length
            start += length
            sample += 1
