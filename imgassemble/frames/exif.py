"""Reads the orientation from EXIF.

Must not know: the file that holds the EXIF. Source: Exif 3.0 (CIPA DC-008), tag 0x0112.
"""

from __future__ import annotations

from struct import Struct

_ORIENTATION = 0x0112
_SHORT = 3
_MAX_ENTRIES = 1_000  # real directories have some tens
_PREFIX = b"Exif\0\0"  # JPEG puts it before EXIF, and some writers of WebP do, too


def exif_orientation(exif: bytes) -> int:
    """Return the orientation in `exif`, 1 to 8; 1 (upright) if it has none that can be read."""
    tiff = exif.removeprefix(_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    entry, number = Struct(order + "HHIH2x"), Struct(order + "H")
    start = Struct(order + "I").unpack_from(tiff, 4)[0]
    if start + 2 > len(tiff):
        return 1
    count = min(number.unpack_from(tiff, start)[0], _MAX_ENTRIES, (len(tiff) - start - 2) // entry.size)
    for at in range(count):
        tag, kind, values, value = entry.unpack_from(tiff, start + 2 + at * entry.size)
        if tag == _ORIENTATION:
            return value if kind == _SHORT and values == 1 and 1 <= value <= 8 else 1
    return 1
