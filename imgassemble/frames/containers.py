"""What the first look at a picture's bytes tells: its format, its size, and whether it is whole.

Knows: the containers of PNG, JPEG, WebP, GIF and SVG, as far as their lengths and markers go. Must not know: pixels,
Pillow, items. Sources: W3C PNG (Third Edition), ITU T.81, RFC 9649, GIF89a.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from struct import Struct, error

from ..limits import Format

# Real files have one block per 255 bytes (GIF), per 8 KiB (PNG) or per 64 KiB (a JPEG's metadata); this many fit a GIF
# of 64 MiB, and the others tenfold. More are made to keep a reader busy.
_MAX_BLOCKS = 300_000
_MAX_CHUNKS = 100_000
_MAX_SEGMENTS = 10_000
# A decoder goes over the whole picture for each scan, and a scan takes a hundred bytes. libjpeg writes ten: this is
# ten of the largest picture that is kept, and a hundred of what the services send.
_MAX_SCANNED_PIXELS = 900_000_000

_U16, _U32 = Struct(">H").unpack_from, Struct(">I").unpack_from
_LE16, _LE32 = Struct("<H").unpack_from, Struct("<I").unpack_from

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Which bit depths a colour type may have.
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# The next marker in compressed JPEG data: not a stuffed zero, not a restart, not a fill byte.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_FILL = re.compile(rb"\xff+")
_JPEG_SIZES = frozenset({0xC0, 0xC1, 0xC2})  # the frames that decoders in use can read: baseline, extended, progressive
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length


class HeaderError(Exception):
    """These bytes are no whole picture; the message ends the sentence "the picture …"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The format of a whole picture and its size, (width, height) in pixels."""

    format: Format
    size: tuple[int, int]


def read_header(data: bytes) -> Header:
    """The header of the whole picture in `data`.

    Raises HeaderError where `data` is cut short, damaged in its structure, or no PNG, JPEG, WebP or GIF.
    """
    form = format_of(data)
    if form is None:
        raise HeaderError(f"is no PNG, JPEG, WebP or GIF{_looks_like(data)}")
    try:
        width, height = _READERS[form][1](data)
    except (IndexError, error):
        raise HeaderError("is cut short") from None
    if not (width and height):
        raise HeaderError(f"is {width}x{height} pixels")
    return Header(format=form, size=(width, height))


def format_of(data: bytes) -> Format | None:
    """The format of which `data` is the beginning, None where it is none that is known."""
    return next((form for form, (matches, _) in _READERS.items() if matches(data)), None)


def png_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """The chunks of a PNG up to IEND: (type, start, end), with the chunk's length and CRC inside [start, end)."""
    chunks: list[tuple[bytes, int, int]] = []
    at = len(PNG_SIGNATURE)
    while not chunks or chunks[-1][0] != b"IEND":
        end = at + 12 + _U32(data, at)[0]
        if end > len(data):
            raise HeaderError("is cut short")
        if len(chunks) >= _MAX_CHUNKS:
            raise HeaderError("has too many chunks to be a picture")
        chunks.append((data[at + 4 : at + 8], at, end))
        at = end
    return chunks


def _read_png(data: bytes) -> tuple[int, int]:
    chunks = png_chunks(data)
    if chunks[0][0] != b"IHDR" or chunks[0][2] - chunks[0][1] != 25:
        raise HeaderError("is a PNG without its IHDR")
    if any(kind == b"IHDR" for kind, _, _ in chunks[1:]):  # a decoder believes the last one
        raise HeaderError("is a PNG with two sizes")
    if data[24] not in _PNG_DEPTHS.get(data[25], ()) or data[26] or data[27] or data[28] > 1:
        raise HeaderError("is a PNG of a kind that does not exist")
    if not any(kind == b"IDAT" and end - start > 12 for kind, start, end in chunks):
        raise HeaderError("is a PNG without pixels")
    return _U32(data, 16)[0], _U32(data, 20)[0]


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The segments of a JPEG up to EOI: (marker, start, end); a scan's compressed data belongs to its SOS segment."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        fill = _JPEG_FILL.match(data, at)  # a marker may stand behind any number of fill bytes
        if fill is None:
            raise HeaderError("is cut short" if at >= len(data) else "is a damaged JPEG")
        at = fill.end() - 1
        marker = data[at + 1]
        end = at + 2 if marker == 0xD9 or marker in _JPEG_ALONE else at + 2 + _U16(data, at + 2)[0]
        if marker == 0xDA:
            found = _JPEG_MARKER.search(data, end)
            end = found.start() if found else len(data)
        yield marker, at, end
        if marker == 0xD9:
            return
        at = end
    raise HeaderError("has too many segments to be a picture")


def _read_jpeg(data: bytes) -> tuple[int, int]:
    segments = list(jpeg_segments(data))
    frames = [start for marker, start, _ in segments if marker in _JPEG_SIZES]
    scans = sum(marker == 0xDA for marker, _, _ in segments)
    if len(frames) != 1 or not scans:
        raise HeaderError("is a JPEG without pixels" if not frames else "is a JPEG that cannot be shown")
    width, height = _U16(data, frames[0] + 7)[0], _U16(data, frames[0] + 5)[0]
    if scans > 1 and width * height * scans > _MAX_SCANNED_PIXELS:
        raise HeaderError("has too many scans for its size")
    return width, height


def _read_webp(data: bytes) -> tuple[int, int]:
    end = 8 + _LE32(data, 4)[0]
    if end > len(data):
        raise HeaderError("is cut short")
    canvas: tuple[int, int] | None = None
    at = 12
    for _ in range(_MAX_BLOCKS):
        if at + 8 > end:
            break
        kind, length = data[at : at + 4], _LE32(data, at + 4)[0]
        if at + 8 + length > end:
            raise HeaderError("is cut short")
        if kind == b"VP8X":
            canvas = _U24(data, at + 12) + 1, _U24(data, at + 15) + 1
        elif kind in _WEBP_PIXELS:
            size = _WEBP_PIXELS[kind](data, at + 8)
            if canvas and kind != b"ANMF" and size != canvas:
                raise HeaderError("is a WebP whose two sizes disagree")
            return canvas or size
        at += 8 + length + (length & 1)
    raise HeaderError("is a WebP without pixels")


def _U24(data: bytes, at: int) -> int:  # noqa: N802 - one of the family above
    return int.from_bytes(data[at : at + 3], "little")


def _read_vp8(data: bytes, at: int) -> tuple[int, int]:
    if data[at + 3 : at + 6] != b"\x9d\x01\x2a" or data[at] & 1:
        raise HeaderError("is a damaged WebP")
    return _LE16(data, at + 6)[0] & 0x3FFF, _LE16(data, at + 8)[0] & 0x3FFF


def _read_vp8l(data: bytes, at: int) -> tuple[int, int]:
    if data[at] != 0x2F or data[at + 4] >> 5:
        raise HeaderError("is a damaged WebP")
    bits = _LE32(data, at + 1)[0]
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _read_anmf(data: bytes, at: int) -> tuple[int, int]:
    return _U24(data, at + 6) + 1, _U24(data, at + 9) + 1


_WEBP_PIXELS: dict[bytes, Callable[[bytes, int], tuple[int, int]]] = {
    b"VP8 ": _read_vp8,
    b"VP8L": _read_vp8l,
    b"ANMF": _read_anmf,
}


def gif_blocks(data: bytes) -> list[tuple[bytes, int, int]]:
    """The blocks of a GIF behind its palette, up to the trailer: (kind, start, end), where the kind is b"," for a
    picture, and b"!" and its label for an extension.
    """
    blocks: list[tuple[bytes, int, int]] = []
    at = gif_start(data)
    budget = repeat(None, _MAX_BLOCKS)  # one for all loops, so that the whole walk is bounded
    for _ in budget:
        start, kind = at, data[at]
        if kind == 0x3B:
            return blocks
        if kind not in (0x21, 0x2C):
            raise HeaderError("is a damaged GIF")
        at += 2 if kind == 0x21 else 11 + _gif_palette(data[at + 9])
        for _ in budget:
            length = data[at]
            at += 1 + length
            if not length:
                break
        blocks.append((data[start : start + 2] if kind == 0x21 else b",", start, at))
    raise HeaderError("has too many blocks to be a picture")


def gif_start(data: bytes) -> int:
    """Where the first block of a GIF begins: behind its size and its palette."""
    return 13 + _gif_palette(data[10])


def _read_gif(data: bytes) -> tuple[int, int]:
    at = next((start for kind, start, _ in gif_blocks(data) if kind == b","), None)
    if at is None:
        raise HeaderError("is a GIF without pixels")
    # The first picture may lie beyond the canvas, and decoders enlarge that.
    width, height = (_LE16(data, at + place)[0] + _LE16(data, at + 4 + place)[0] for place in (1, 3))
    return max(width, _LE16(data, 6)[0]), max(height, _LE16(data, 8)[0])


def _gif_palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


_SVG_START = re.compile(
    rb"\xef\xbb\xbf|\s+|<\?xml[^>]{0,200}\?>|<!--.{0,4000}?-->|<!DOCTYPE svg[^>\[]{0,400}>", re.DOTALL
)
_SVG_ROOT = re.compile(rb"<svg(?=[\s>])([^>]{0,4000})>")
_SVG_TAG = re.compile(rb"<svg(?=[\s>/])([^<>]{0,4000})>")
_SVG_SIDES = re.compile(rb"""\s(width|height|viewBox)\s*=\s*["']([^"']{0,100})["']""")
_SVG_UNSIZED = (300, 150)  # what a browser gives a drawing that does not say (CSS 2.2, section 10.3.2)


def _svg_root(data: bytes) -> re.Match[bytes] | None:
    at = 0
    for _ in range(20):  # a prologue has three parts or so
        if not (part := _SVG_START.match(data, at)):
            break
        at = part.end()
    return _SVG_ROOT.match(data, at)


def _read_svg(data: bytes) -> tuple[int, int]:
    root = _svg_root(data)
    is_alone = root is not None and root[1].endswith(b"/")
    if root is None or not (is_alone or _is_closed(data)):
        raise HeaderError("is cut short")
    said = dict(_SVG_SIDES.findall(root[1]))
    box = [_pixels(each) for each in said.get(b"viewBox", b"").replace(b",", b" ").split()]
    width, height = box[2:4] if len(box) == 4 else _SVG_UNSIZED
    return _pixels(said.get(b"width", b"")) or width, _pixels(said.get(b"height", b"")) or height


def _is_closed(data: bytes) -> bool:
    opened = sum(not tag.endswith(b"/") for tag in _SVG_TAG.findall(data))
    return data.rstrip().endswith(b"</svg>") and opened == data.count(b"</svg>")


def _pixels(length: bytes) -> int:
    """A length without a unit or in px, as whole pixels; 0 for any other."""
    found = re.fullmatch(rb"\s*([0-9]{1,9})(\.[0-9]*)?(px)?\s*", length)
    return int(found[1]) if found else 0


_READERS: dict[Format, tuple[Callable[[bytes], bool], Callable[[bytes], tuple[int, int]]]] = {
    "PNG": (lambda data: data.startswith(PNG_SIGNATURE), _read_png),
    "JPEG": (lambda data: data.startswith(b"\xff\xd8\xff"), _read_jpeg),
    "WEBP": (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", _read_webp),
    "GIF": (lambda data: data.startswith((b"GIF87a", b"GIF89a")), _read_gif),
    "SVG": (lambda data: _svg_root(data) is not None, _read_svg),
}

# What services and proxies send in a picture's place, so that the sentence can name it.
_STRANGERS: dict[bytes, str] = {
    b"<?xml": "XML", b"<!doctype": "HTML", b"<html": "HTML", b"{": "JSON", b"http": "a URL",
    b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL": "JPEG XL",
    b"8BPS": "PSD", b"%pdf": "PDF", b"%!ps": "PostScript", b"\0\0\1\0": "ICO", b"\x1f\x8b": "gzip", b"pk\3\4": "ZIP",
}  # fmt: skip


def _looks_like(data: bytes) -> str:
    start = data[:64].lstrip().lower()
    if data[4:8] == b"ftyp" and data[8:12].isalnum():
        return f" (it looks like {data[8:12].decode('ascii').upper()})"
    name = next((name for magic, name in _STRANGERS.items() if start.startswith(magic.lower())), None)
    return f" (it looks like {name})" if name else ""
