"""Reads the structure of JPEG files as browsers read it (with libjpeg).

Must not know: Pillow, other formats. Source: ITU T.81; libjpeg-turbo, `next_marker` and `read_markers` in jdmarker.c;
C2PA 2.4, annex A.3, and ISO 19566-5, annex D (JUMBF in APP11).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .binary import BE16, HeaderError, Part, Size
from .c2pa import is_manifest_store
from .exif import exif_orientation

_MAX_SEGMENTS = 10_000  # real files have one per 64 KiB of metadata
# A decoder goes over the whole picture for each scan, and a scan takes a hundred bytes. libjpeg writes ten: this is
# ten of the largest picture that `Limits` can allow, and a hundred of what services send.
_MAX_SCANNED_PIXELS = 900_000_000

# The next marker between segments: libjpeg skips other bytes, stuffed zeros and fill bytes.
_MARKER = re.compile(rb"\xff[^\x00\xff]")
# The next marker in compressed data: not a stuffed zero, not a restart, not a fill byte.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOI, _EOI, _SOS, _APP1, _APP11 = 0xD8, 0xD9, 0xDA, 0xE1, 0xEB
_SIZES = frozenset({0xC0, 0xC1, 0xC2})  # the frames that decoders in use can read: baseline, extended, progressive
_WITHOUT_LENGTH = frozenset({0x01, _EOI, *range(0xD0, 0xD8)})
_UNKNOWN = frozenset({_SOI, *range(0x02, 0xC0)})  # libjpeg gives up at a second start and at reserved markers
# JFIF, an ICC profile and Adobe's transform tell how the numbers become colours: marker -> (name, least length).
_COLOURS = {0xE0: (b"JFIF\0", 18), 0xE2: (b"ICC_PROFILE\0", 18), 0xEE: (b"Adobe", 16)}

Segment = tuple[int, int, int]


def is_jpeg(data: bytes) -> bool:
    """Return whether `data` begins as a JPEG does."""
    return data.startswith(b"\xff\xd8\xff")


def jpeg_segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments of a JPEG up to EOI: (marker, start, end). A scan's compressed data belongs to its segment."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        marker, start, end = _segment_at(data, at)
        if marker == _SOS:
            found = _MARKER_IN_SCAN.search(data, end)
            end = found.start() if found else len(data)
        yield marker, start, end
        if marker == _EOI:
            return
        at = end
    raise HeaderError("has too many segments to be a picture")


def _segments_before_scan(data: bytes) -> Iterator[Segment]:
    """Yield the segments up to the first SOS and its head, without a walk over compressed data."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        marker, start, at = _segment_at(data, at)
        yield marker, start, at
        if marker in (_SOS, _EOI):
            return


def _segment_at(data: bytes, at: int) -> Segment:
    """Return the next segment from `at` on; for a scan only its head."""
    found = _MARKER.search(data, at)
    if found is None:
        raise HeaderError("is cut short")
    start = found.start()
    marker = data[start + 1]
    if marker in _UNKNOWN:
        raise HeaderError("is a damaged JPEG")
    return marker, start, start + 2 if marker in _WITHOUT_LENGTH else start + 2 + BE16(data, start + 2)[0]


def read_jpeg_size(data: bytes) -> Size:
    """Return the size in the frame header, as stored. Raises HeaderError if the JPEG is not whole."""
    segments = list(jpeg_segments(data))
    frames = [start for marker, start, _ in segments if marker in _SIZES]
    scans = sum(marker == _SOS for marker, _, _ in segments)
    if len(frames) != 1 or not scans:
        raise HeaderError("is a JPEG without pixels" if not frames else "is a JPEG that cannot be shown")
    width, height = BE16(data, frames[0] + 7)[0], BE16(data, frames[0] + 5)[0]
    if scans > 1 and width * height * scans > _MAX_SCANNED_PIXELS:
        raise HeaderError("has too many scans for its size")
    return width, height


def jpeg_orientation(data: bytes) -> int:
    """Return the orientation in the first EXIF segment, 1 to 8."""
    for marker, start, end in _segments_before_scan(data):
        if marker == _APP1 and data.startswith(b"Exif\0\0", start + 4):
            return exif_orientation(data[start + 4 : end])
    return 1


def has_jpeg_manifest(data: bytes) -> bool:
    """Return whether an APP11 segment before the pixels begins a C2PA manifest.

    The box stands after the length, "JP" and the two numbers of the segment.
    """
    return any(
        marker == _APP11 and data.startswith(b"JP", start + 4) and is_manifest_store(data, start + 12, end)
        for marker, start, end in _segments_before_scan(data)
    )


def jpeg_image_parts(data: bytes) -> Iterator[Part]:
    """Return the parts that make the image: the file without its application segments and comments."""
    for marker, start, end in jpeg_segments(data):
        if not _is_application(marker):
            yield start, end


def jpeg_still_parts(data: bytes) -> Iterator[Part]:
    """Return the parts that Pillow needs for the pixels. Bytes between segments are left out."""
    yield 0, 2
    for marker, start, end in _segments_before_scan(data):
        if marker == _SOS:  # after the first scan begins, a decoder reads only pixels
            yield start, len(data)
            return
        name, least = _COLOURS.get(marker, (b"", 0))
        has_colours = name and end - start >= least and data.startswith(name, start + 4)
        if has_colours or not _is_application(marker):
            yield start, end


def _is_application(marker: int) -> bool:
    return 0xE0 <= marker <= 0xEF or marker == 0xFE
