"""Builds hostile pictures by code: broken, cut, contradictory and enormous files, each with its expected result.

Asserts nothing. No binary file is kept in the repository.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from io import BytesIO
from struct import pack
from typing import Any
from zipfile import ZipFile

import samples
from samples import png_chunk

from imgassemble.frames.jpeg import jpeg_segments

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIDE = 5_792  # the largest square below the limit of 2**25 pixels: 33,547,264
WIDEST = 2**25


class Expected(Enum):
    """The expected result of a hostile picture."""

    SHOWN = "a frame with pixels"
    DAMAGED = "a frame; a FrameDecodeError for its pixels"
    AS_MAY_BE = "a frame; its pixels, or a FrameDecodeError, depending on memory and Pillow"
    REFUSED = "an anomaly with a FrameDecodeError"
    TOO_MUCH = "an anomaly with a LimitError"
    DRAWING = "a frame without pixels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """A hostile picture. `fault`: its description; `make`: builds its bytes."""

    fault: str
    expected: Expected
    make: Callable[[], bytes]


_TABLE: dict[str, Hostile] = {}


def _add(name: str, expected: Expected, fault: str, make: Callable[..., bytes]) -> None:
    assert name not in _TABLE
    _TABLE[name] = Hostile(fault=fault, expected=expected, make=make)


def table() -> dict[str, Hostile]:
    """Return all hostile pictures by name."""
    return dict(_TABLE)


# ---- PNG


def zeros(size: int, *, is_broken: bool = False) -> bytes:
    """A zlib stream of `size` zeros: a thousandth of that, and made in no time."""
    whole, rest = divmod(size, 2**20)
    piece, last = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.compressobj(9, zlib.DEFLATED, -15)
    unit = piece.compress(bytes(2**20)) + piece.flush(zlib.Z_FULL_FLUSH)
    checksum = (size % 65_521) << 16 | 1
    end = last.compress(bytes(rest)) + last.flush() + pack(">I", checksum ^ is_broken)
    return b"\x78\x9c" + unit * whole + end


def png(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks)


def ihdr(width: int = 2, height: int = 2, *, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    return png_chunk(b"IHDR", pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def flat(width: int, height: int, *, depth: int = 8, colour: int = 0, before: bytes = b"") -> bytes:
    """A whole PNG of one colour: some kilobytes at any size."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    pixels = png_chunk(b"IDAT", zeros(height * (1 + (width * bits + 7) // 8)))
    palette = png_chunk(b"PLTE", bytes(6)) if colour == 3 else b""
    return png(ihdr(width, height, depth=depth, colour=colour), palette, before, pixels, IEND)


IDAT, IEND = png_chunk(b"IDAT", zlib.compress(bytes(6))), png_chunk(b"IEND")
TINY = png(ihdr(), IDAT, IEND)


def _bad_crc(chunk: bytes) -> bytes:
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def _long(kind: bytes, length: int, body: bytes = bytes(9)) -> bytes:
    """A chunk whose length is not its body's."""
    return pack(">I", length) + kind + body + pack(">I", zlib.crc32(kind + body))


def _behind_ihdr(*chunks: bytes) -> bytes:
    return png(ihdr(), *chunks, IDAT, IEND)


def _fctl(number: int, **fields: int) -> bytes:
    at = (fields.get(name, default) for name, default in (("width", 2), ("height", 2), ("x", 0), ("y", 0)))
    return png_chunk(b"fcTL", pack(">IIIIIHHBB", number, *at, 1, 0, 9, 9))


def _zip() -> bytes:
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr("../../evil.sh", "rm -rf /")
    return file.getvalue()


def _pngs() -> None:
    shown, damaged, refused, much = Expected.SHOWN, Expected.DAMAGED, Expected.REFUSED, Expected.TOO_MUCH
    may_be = Expected.AS_MAY_BE
    text_bomb = zeros(64 * 2**20)
    # Bombs
    _add("png-flat-gray", shown, "as large as allowed, from 90 KB", lambda: flat(SIDE, SIDE))
    _add("png-flat-1-bit", may_be, "as large as allowed, from 11 KB", lambda: flat(SIDE, SIDE, depth=1))
    _add("png-flat-palette", may_be, "a palette of two, from 11 KB", lambda: flat(SIDE, SIDE, depth=1, colour=3))
    _add("png-flat-rgb", may_be, "100 MB of pixels from 100 KB", lambda: flat(SIDE, SIDE, colour=2))
    _add("png-flat-rgba-16", may_be, "270 MB from 260 KB", lambda: flat(SIDE, SIDE, depth=16, colour=6))
    _add("png-one-row", may_be, "a row of 270 MB", lambda: flat(WIDEST, 1, depth=16, colour=6))
    _add("png-one-column", may_be, "33 million rows", lambda: flat(1, WIDEST))
    _add("png-one-more-pixel", much, "one pixel more than allowed", lambda: png(ihdr(WIDEST + 1, 1), IDAT, IEND))
    _add("png-a-square-more", much, "a row and a column more", lambda: png(ihdr(SIDE + 1, SIDE + 1), IDAT, IEND))
    _add("png-2**31-1", much, "the format's own end", lambda: png(ihdr(2**31 - 1, 2**31 - 1), IDAT, IEND))
    _add("png-2**31", much, "a width beyond the format's end", lambda: png(ihdr(2**31, 1), IDAT, IEND))
    _add("png-2**32-1", much, "a width of -1", lambda: png(ihdr(2**32 - 1, 1), IDAT, IEND))
    _add("png-more-than-its-size", shown, "2x2 pixels in 64 MB", lambda: png(
        ihdr(), png_chunk(b"IDAT", zeros(64 * 2**20)), IEND))  # fmt: skip
    _add("png-large-and-empty", damaged, "a large size and no pixels", lambda: png(ihdr(SIDE, SIDE), IDAT, IEND))
    _add("png-large-interlaced", may_be, "seven passes over it", lambda: png(
        ihdr(SIDE, SIDE, interlace=1), png_chunk(b"IDAT", zeros(SIDE * SIDE * 2)), IEND))  # fmt: skip
    for kind, head in ((b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0\0\0"), (b"iCCP", b"icc\0\0")):
        _add(f"png-{kind.decode()}-bomb", shown, "64 MB of text or profile from 64 KB",
             lambda kind=kind, head=head: _behind_ihdr(png_chunk(kind, head + text_bomb)))  # fmt: skip
        _add(f"png-{kind.decode()}-bombs", shown, "200 of them",
             lambda kind=kind, head=head: _behind_ihdr(png_chunk(kind, head + text_bomb) * 200))  # fmt: skip
    _add("png-tEXt-10-MB", shown, "a long text", lambda: _behind_ihdr(png_chunk(b"tEXt", b"a\0" + bytes(10 * 2**20))))
    _add("png-90000-texts", shown, "90,000 texts", lambda: _behind_ihdr(png_chunk(b"tEXt", b"a\0b") * 90_000))
    _add("png-200000-chunks", refused, "too many chunks", lambda: _behind_ihdr(png_chunk(b"tEXt") * 200_000))
    _add("png-90000-empty-idats", shown, "pixels in 90,000 pieces", lambda: png(
        ihdr(), png_chunk(b"IDAT") * 90_000, IDAT, IEND))  # fmt: skip
    _add("png-90000-palettes", shown, "90,000 palettes", lambda: png(
        ihdr(colour=3), png_chunk(b"PLTE", bytes(6)) * 90_000, IDAT, IEND))  # fmt: skip
    # Animation
    _add("png-apng-2**31-frames", shown, "an animation that says 2**31 frames", lambda: _behind_ihdr(
        png_chunk(b"acTL", pack(">II", 2**31, 0)), _fctl(0)))  # fmt: skip
    _add("png-apng-no-frames", shown, "an animation of no frames", lambda: _behind_ihdr(
        png_chunk(b"acTL", pack(">II", 0, 0))))  # fmt: skip
    _add("png-apng-outside", shown, "a frame far outside of the picture", lambda: _behind_ihdr(
        png_chunk(b"acTL", pack(">II", 2, 0)), _fctl(0, width=2**31 - 1, height=2**31 - 1, x=2**31 - 1)))  # fmt: skip
    _add("png-apng-many", shown, "30,000 frames", lambda: png(
        ihdr(), png_chunk(b"acTL", pack(">II", 30_000, 0)), IDAT,
        *(_fctl(at) + png_chunk(b"fdAT", pack(">I", at) + IDAT[8:-4]) for at in range(30_000)), IEND))  # fmt: skip
    _add("png-apng-acTL-short", shown, "an acTL of three bytes", lambda: _behind_ihdr(png_chunk(b"acTL", bytes(3))))
    # Chunks
    for length in (2**31 - 1, 2**31, 2**32 - 1, 2**32 - 12, 2**32 - 8):
        _add(f"png-length-{length}", refused, f"a chunk of {length:,} bytes",
             lambda length=length: png(ihdr(), _long(b"IDAT", length), IDAT, IEND))  # fmt: skip
    _add("png-length-short", refused, "a chunk longer than it says", lambda: png(ihdr(), _long(b"IDAT", 3), IEND))
    _add("png-no-ihdr", refused, "no IHDR", lambda: png(IDAT, IEND))
    _add("png-late-ihdr", refused, "IHDR behind the pixels", lambda: png(IDAT, ihdr(), IEND))
    _add("png-two-sizes", refused, "a second, enormous IHDR", lambda: png(ihdr(), ihdr(12_000, 12_000), IDAT, IEND))
    _add("png-two-ihdrs", refused, "the same IHDR twice", lambda: png(ihdr(), ihdr(), IDAT, IEND))
    _add("png-late-second-ihdr", refused, "IHDR again behind the pixels", lambda: png(ihdr(), IDAT, ihdr(9, 9), IEND))
    _add("png-no-iend", refused, "no IEND", lambda: png(ihdr(), IDAT))
    _add("png-no-idat", refused, "no pixels", lambda: png(ihdr(), IEND))
    _add("png-zero-size", refused, "0x0", lambda: png(ihdr(0, 0), IDAT, IEND))
    _add("png-long-iend", shown, "an IEND with a body", lambda: png(ihdr(), IDAT, png_chunk(b"IEND", bytes(99))))
    _add("png-bad-names", shown, "chunks with names that are none", lambda: _behind_ihdr(
        *(png_chunk(name, b"x") for name in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"../.", b"%s%n"))))  # fmt: skip
    _add("png-unknown-critical", shown, "an unknown critical chunk", lambda: _behind_ihdr(png_chunk(b"EVIL")))
    _add("png-scattered", shown, "text between the pixels", lambda: png(
        ihdr(), png_chunk(b"IDAT", IDAT[8:12]), png_chunk(b"tEXt", b"a\0b"), png_chunk(b"IDAT", IDAT[12:-4]), IEND
    ))  # fmt: skip
    _add("png-late-palette", shown, "the palette behind the pixels", lambda: png(
        ihdr(colour=3), IDAT, png_chunk(b"PLTE", bytes(6)), IEND))  # fmt: skip
    _add("png-no-palette", shown, "no palette", lambda: png(ihdr(colour=3), IDAT, IEND))
    _add("png-palette-1-byte", shown, "a palette of one byte", lambda: png(
        ihdr(colour=3), png_chunk(b"PLTE", b"\1"), IDAT, IEND))  # fmt: skip
    _add("png-palette-10-MB", damaged, "a palette of 3.5 million colours", lambda: png(
        ihdr(colour=3), png_chunk(b"PLTE", bytes(10 * 2**20)), IDAT, IEND))  # fmt: skip
    _add("png-tRNS-10-MB", may_be, "10 MB of transparency", lambda: png(
        ihdr(colour=3), png_chunk(b"PLTE", bytes(6)), png_chunk(b"tRNS", bytes(10 * 2**20)), IDAT, IEND))  # fmt: skip
    _add("png-tRNS-short", damaged, "transparency of one byte for RGB", lambda: png(
        ihdr(colour=2), png_chunk(b"tRNS", b"\1"), png_chunk(b"IDAT", zeros(14)), IEND))  # fmt: skip
    # Sums and streams
    _add("png-crc-ihdr", damaged, "a wrong CRC of IHDR", lambda: png(_bad_crc(ihdr()), IDAT, IEND))
    _add("png-crc-idat", damaged, "a wrong CRC of IDAT", lambda: png(ihdr(), _bad_crc(IDAT), IEND))
    _add("png-crc-iend", damaged, "a wrong CRC of IEND", lambda: png(ihdr(), IDAT, _bad_crc(IEND)))
    _add("png-crc-text", shown, "a wrong CRC of text", lambda: _behind_ihdr(_bad_crc(png_chunk(b"tEXt", b"a\0b"))))
    _add("png-crc-palette", damaged, "a wrong CRC of the palette", lambda: png(
        ihdr(colour=3), _bad_crc(png_chunk(b"PLTE", bytes(6))), IDAT, IEND))  # fmt: skip
    _add("png-adler", damaged, "a wrong sum of the pixels", lambda: png(
        ihdr(), png_chunk(b"IDAT", zeros(6, is_broken=True)), IEND))  # fmt: skip
    _add("png-no-zlib", damaged, "pixels that are no zlib", lambda: png(ihdr(), png_chunk(b"IDAT", b"\xff" * 50), IEND))
    _add("png-cut-zlib", damaged, "pixels that end early", lambda: png(
        ihdr(99, 99), png_chunk(b"IDAT", zeros(5_000)[:-9]), IEND))  # fmt: skip
    _add("png-filter-9", damaged, "rows with a filter that is none", lambda: png(
        ihdr(), png_chunk(b"IDAT", zlib.compress(b"\x09\0\0" * 2)), IEND))  # fmt: skip
    _add("png-zlib-dictionary", damaged, "zlib that wants a dictionary", lambda: png(
        ihdr(), png_chunk(b"IDAT", b"\x78\xbb" + bytes(40)), IEND))  # fmt: skip
    _add("png-hostile-metadata", shown, "EXIF, gamma, time and sizes that are nonsense", lambda: _behind_ihdr(
        png_chunk(b"eXIf", _tiff_loop()), png_chunk(b"gAMA", bytes(4)), png_chunk(b"tIME", b"\xff" * 7),
        png_chunk(b"pHYs", bytes(2)), png_chunk(b"cHRM", bytes(1)), png_chunk(b"sRGB"), png_chunk(b"iCCP", b"\0" * 90),
        png_chunk(b"tEXt"), png_chunk(b"zTXt", b"\0\7"), png_chunk(b"iTXt", b"\xff" * 30)))  # fmt: skip
    _add("png-cut", refused, "cut in the middle", lambda: samples.picture("PNG", 64, 48)[:-30])
    # More than a PNG
    _add("png-tail", shown, "a megabyte behind its end", lambda: TINY + b"\xff" * 2**20)
    _add("png-zip", shown, "also a ZIP whose file leads outside", lambda: TINY + _zip())
    _add("png-html", shown, "also a page", lambda: _behind_ihdr(png_chunk(b"tEXt", b"a\0<script>alert(1)</script>")))
    _add("png-php", shown, "also a program", lambda: TINY + b"<?php system($_GET['c']); ?>")


def _tiff_loop() -> bytes:
    """EXIF whose directory is its own successor, with an orientation and lengths that are none."""
    entries = pack(">HHII", 0x0112, 3, 1, 0xFFFF0000) + pack(">HHII", 0x8769, 4, 1, 8)
    entries += pack(">HHII", 0x0201, 4, 1, 2**32 - 1) + pack(">HHII", 0x0202, 4, 1, 2**32 - 1)
    entries += pack(">HHII", 0x010F, 2, 2**32 - 1, 2**31)
    return b"MM\0*" + pack(">I", 8) + pack(">H", 5) + entries + pack(">I", 8)


# ---- JPEG


def segment(marker: int, body: bytes = b"") -> bytes:
    return pack(">BBH", 0xFF, marker, len(body) + 2) + body


def written(form: str, mode: str = "RGB", size: tuple[int, int] = (16, 12), **options: Any) -> bytes:
    """A whole picture as Pillow writes it."""
    from PIL import Image

    file = BytesIO()
    Image.new(mode, size).save(file, form, **options)
    return file.getvalue()


@cache
def _jpeg(mode: str = "RGB", **options: Any) -> bytes:
    return written("JPEG", mode, **options)


def _parts(data: bytes) -> dict[int, bytes]:
    """The first segment of each marker."""
    return {marker: data[start:end] for marker, start, end in reversed(list(jpeg_segments(data)))}


def _behind_soi(*segments: bytes, of: bytes | None = None) -> bytes:
    data = of or _jpeg()
    return data[:2] + b"".join(segments) + data[2:]


def _sized(width: int, height: int, of: bytes | None = None) -> bytes:
    """A JPEG that says another size than its own."""
    data = of or _jpeg("L")
    at = next(start for marker, start, _ in jpeg_segments(data) if marker in (0xC0, 0xC2))
    return data[: at + 5] + pack(">HH", height, width) + data[at + 9 :]


def _with_frame(edit: Callable[[bytearray], None], marker: int = 0xC0) -> bytes:
    """A JPEG whose SOF segment is another."""
    data = _jpeg()
    sof = _parts(data)[0xC0]
    edited = bytearray(sof)
    edit(edited)
    edited[1] = marker
    return data.replace(sof, bytes(edited), 1)


def _set(at: int, *values: int) -> Callable[[bytearray], None]:
    def edit(segment: bytearray) -> None:
        segment[at : at + len(values)] = bytes(values)

    return edit


def _scans(count: int, width: int, height: int) -> bytes:
    """A progressive JPEG whose last scan comes `count` times: each is a hundred bytes, and a walk over all pixels."""
    data = _sized(width, height, written("JPEG", "L", (8, 8), progressive=True))
    segments = jpeg_segments(data)
    *_, last = (data[start:end] for marker, start, end in segments if marker == 0xDA)
    return data[:-2] + last * count + b"\xff\xd9"


def _mpf() -> bytes:
    entries = pack(">HHI4s", 0xB000, 7, 4, b"0100") + pack(">HHII", 0xB001, 4, 1, 2**31)
    entries += pack(">HHII", 0xB002, 7, 2**32 - 1, 2**31)
    return segment(0xE2, b"MPF\0MM\0*" + pack(">I", 8) + pack(">H", 3) + entries + pack(">I", 8))


def _jpegs() -> None:
    shown, damaged, refused, much = Expected.SHOWN, Expected.DAMAGED, Expected.REFUSED, Expected.TOO_MUCH
    may_be = Expected.AS_MAY_BE
    # Bombs
    _add("jpeg-65535", much, "65,535 a side", lambda: _sized(65_535, 65_535))
    _add("jpeg-large-and-empty", may_be, "as large as allowed, from 600 bytes", lambda: _sized(SIDE, SIDE))
    _add("jpeg-large-rgb", may_be, "100 MB of pixels from 600 bytes", lambda: _sized(SIDE, SIDE, _jpeg()))
    _add("jpeg-wide-and-empty", damaged, "65,535x512 from 600 bytes", lambda: _sized(65_535, 512))
    _add("jpeg-large-progressive", may_be, "coefficients of 67 MB from 400 bytes", lambda: _sized(
        SIDE, SIDE, written("JPEG", "L", (8, 8), progressive=True)))  # fmt: skip
    _add("jpeg-scans-large", refused, "nine hundred scans of a large picture", lambda: _scans(900, SIDE, SIDE))
    _add("jpeg-scans-middle", refused, "nine hundred scans of 1024x1024", lambda: _scans(900, 1_024, 1_024))
    _add("jpeg-scans-small", shown, "nine hundred scans of 64x64", lambda: _scans(900, 64, 64))
    _add("jpeg-scans-tiny", refused, "20,000 scans of 8x8", lambda: _scans(20_000, 8, 8))
    _add("jpeg-9000-segments", shown, "9,000 comments", lambda: _behind_soi(segment(0xFE, b"x") * 9_000))
    _add("jpeg-90000-segments", refused, "90,000 comments", lambda: _behind_soi(segment(0xFE, b"x") * 90_000))
    for marker in (0xDB, 0xC4):
        _add(f"jpeg-9000-tables-{marker:x}", shown, "9,000 tables",
             lambda marker=marker: _behind_soi(_parts(_jpeg())[marker] * 9_000))  # fmt: skip
    _add("jpeg-16-MB-of-profile", shown, "255 pieces of a colour profile", lambda: _behind_soi(
        *(segment(0xE2, b"ICC_PROFILE\0" + bytes([at, 255]) + bytes(65_000)) for at in range(1, 256))))  # fmt: skip
    _add("jpeg-profile-lies", shown, "pieces of a profile with wrong numbers", lambda: _behind_soi(
        *(segment(0xE2, b"ICC_PROFILE\0" + bytes([0, at])) for at in range(256))))  # fmt: skip
    _add("jpeg-fill-bytes", shown, "a megabyte of fill bytes", lambda: _behind_soi(b"\xff" * 2**20))
    _add("jpeg-scan-of-zeros", shown, "8 MB of compressed data for 16x12", lambda: _jpeg()[:-2] + bytes(2**23)
         + b"\xff\xd9")  # fmt: skip
    # Segments
    _add("jpeg-length-0", shown, "a segment of length 0", lambda: _behind_soi(b"\xff\xe1\0\0"))
    _add("jpeg-length-1", shown, "a segment of length 1", lambda: _behind_soi(b"\xff\xe1\0\1"))
    _add("jpeg-length-65535", refused, "a segment beyond the end", lambda: _behind_soi(b"\xff\xe1\xff\xff"))
    _add("jpeg-length-2", shown, "a segment of nothing", lambda: _behind_soi(b"\xff\xe1\0\2"))
    for marker in (0xDB, 0xC4, 0xDD, 0xCC, 0xE0, 0xEE):
        for length in (0, 1, 9):
            _add(f"jpeg-{marker:x}-of-{length}", may_be, "a table or a word of another length than it has",
                 lambda marker=marker, length=length: _behind_soi(segment(marker, b"\x07" * length)))  # fmt: skip
    _add("jpeg-no-tables", shown, "no Huffman tables", lambda: _jpeg().replace(_parts(_jpeg())[0xC4], b""))
    _add("jpeg-no-quantizers", damaged, "no quantization tables", lambda: _jpeg().replace(_parts(_jpeg())[0xDB], b""))
    _add("jpeg-scan-first", damaged, "the scan before its frame", lambda: _behind_soi(_parts(_jpeg())[0xDA]))
    _add("jpeg-two-frames", refused, "two sizes", lambda: _behind_soi(_parts(_jpeg())[0xC0]))
    _add("jpeg-two-kinds", refused, "baseline and progressive", lambda: _behind_soi(
        b"\xff\xc2" + _parts(_jpeg())[0xC0][2:]))  # fmt: skip
    _add("jpeg-no-eoi", refused, "no end", lambda: _jpeg()[:-2])
    _add("jpeg-only-markers", refused, "a start and an end", lambda: b"\xff\xd8\xff\xd9")
    _add("jpeg-zero-height", refused, "a height that comes later (DNL)", lambda: _sized(16, 0))
    _add("jpeg-no-components", damaged, "no colours", lambda: _with_frame(_set(9, 0)))
    _add("jpeg-255-components", damaged, "255 colours", lambda: _with_frame(_set(9, 255)))
    _add("jpeg-samplings", damaged, "a sampling of 15x15", lambda: _with_frame(_set(11, 0xFF)))
    _add("jpeg-no-sampling", damaged, "a sampling of 0x0", lambda: _with_frame(_set(11, 0)))
    _add("jpeg-12-bits", damaged, "12 bits a colour", lambda: _with_frame(_set(4, 12), 0xC1))
    _add("jpeg-0-bits", damaged, "0 bits a colour", lambda: _with_frame(_set(4, 0)))
    _add("jpeg-sof-short", refused, "a frame of 0x0 without colours", lambda: _behind_soi(
        segment(0xC1, bytes(7)), of=_jpeg().replace(_parts(_jpeg())[0xC0], b"")))  # fmt: skip
    for marker in (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCF):
        _add(f"jpeg-sof-{marker:x}", refused, "lossless, hierarchical or arithmetic: a kind that decoders do not read",
             lambda marker=marker: _with_frame(lambda _: None, marker))  # fmt: skip
    _add(
        "jpeg-sequential-as-progressive", damaged, "a frame of another kind", lambda: _with_frame(lambda _: None, 0xC2)
    )
    _add("jpeg-interval", shown, "a restart interval that is not kept", lambda: _behind_soi(segment(0xDD, b"\0\1")))
    _add("jpeg-interval-65535", shown, "a restart interval beyond the end", lambda: _behind_soi(
        segment(0xDD, b"\xff\xff")))  # fmt: skip
    _add("jpeg-million-restarts", shown, "a million restart markers", lambda: _jpeg()[:-2] + b"\xff\xd3" * 2**20
         + b"\xff\xd9")  # fmt: skip
    # Colours and metadata
    _add("jpeg-cmyk", shown, "CMYK", lambda: _jpeg("CMYK"))
    _add("jpeg-adobe-255", shown, "a colour transform that is none", lambda: _behind_soi(
        segment(0xEE, b"Adobe" + bytes(6) + b"\xff")))  # fmt: skip
    _add("jpeg-cmyk-as-ycck", shown, "CMYK that says YCCK", lambda: _behind_soi(
        segment(0xEE, b"Adobe" + bytes(6) + b"\2"), of=_jpeg("CMYK")))  # fmt: skip
    for value in (0, 6, 9, 65_535):
        _add(f"jpeg-orientation-{value}", shown, "turned, or turned in a way that is none",
             lambda value=value: _behind_soi(segment(0xE1, b"Exif\0\0MM\0*" + pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1,
                                                                                   value, 0, 0))))  # fmt: skip
    _add("jpeg-exif-loop", shown, "a directory that is its own successor", lambda: _behind_soi(
        segment(0xE1, b"Exif\0\0" + _tiff_loop())))  # fmt: skip
    _add("jpeg-exif-thumbnail", shown, "a thumbnail of 65,535 a side", lambda: _behind_soi(
        segment(0xE1, b"Exif\0\0" + _tiff_loop() + _sized(65_535, 65_535))))  # fmt: skip
    _add("jpeg-mpf", shown, "2**31 pictures in one file", lambda: _behind_soi(_mpf()))
    _add("jpeg-mpf-real", shown, "two pictures, one behind the other", lambda: _behind_soi(_mpf()) + _jpeg())
    _add("jpeg-jfif-thumbnail", shown, "a thumbnail larger than its segment", lambda: _behind_soi(
        segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\xff\xff")))  # fmt: skip
    _add("jpeg-photoshop", shown, "resources that are cut short", lambda: _behind_soi(
        segment(0xED, b"Photoshop 3.0\08BIM\x03\xed\0\0\xff\xff\xff\xff")))  # fmt: skip
    _add("jpeg-markers-in-comment", shown, "an end inside of a comment", lambda: _behind_soi(
        segment(0xFE, b"\xff\xd9\xff\xd8\xff\xda")))  # fmt: skip
    # More than a JPEG
    _add("jpeg-tail", shown, "a megabyte behind its end", lambda: _jpeg() + b"\xff" * 2**20)
    _add(
        "jpeg-pdf", shown, "also a PDF", lambda: _behind_soi(segment(0xFE, b"%PDF-1.7\n1 0 obj<</S/JavaScript>>endobj"))
    )
    _add("jpeg-zip", shown, "also a ZIP", lambda: _jpeg() + _zip())
    _add("jpeg-script", shown, "also a script", lambda: _behind_soi(segment(0xFE, b"=alert(1);/*")))
    _add("jpeg-cut", refused, "cut in the middle", lambda: written("JPEG", size=(64, 48))[:-30])


# ---- WebP


def webp(*chunks: bytes, length: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + pack("<I", len(body) if length is None else length & 0xFFFFFFFF) + body


def riff(kind: bytes, body: bytes, length: int | None = None) -> bytes:
    return kind + pack("<I", len(body) if length is None else length) + body + b"\0" * (len(body) & 1)


def _u24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def vp8x(width: int, height: int, *, flags: int = 0x02) -> bytes:
    return riff(b"VP8X", bytes([flags, 0, 0, 0]) + _u24(width - 1) + _u24(height - 1))


def anmf(width: int = 2, height: int = 2, *, x: int = 0, y: int = 0) -> bytes:
    return riff(b"ANMF", b"".join(map(_u24, (x, y, width - 1, height - 1, 1))) + b"\0" + vp8l(width, height))


def vp8l(width: int, height: int) -> bytes:
    """A whole lossless picture of one colour: 21 bytes at any size."""
    bits = 0x2F | (width - 1) << 8 | (height - 1) << 22
    codes = 0b0000_0000  # no transform, no cache, no groups of codes
    at, value = 40, bits | codes << 40
    at += 3
    for _ in range(5):  # each code has one symbol, of one bit: 0
        value |= 0b0_0_0_1 << at
        at += 4
    return riff(b"VP8L", value.to_bytes((at + 7) // 8 + 1, "little"))


@cache
def _lossy() -> bytes:
    """The VP8 chunk of a small picture."""
    return written("WEBP")[12:]


def _animation(*frames: bytes, size: tuple[int, int] = (2, 2)) -> bytes:
    return webp(vp8x(*size), riff(b"ANIM", bytes(6)), *frames)


def _webps() -> None:
    shown, damaged, refused, much = Expected.SHOWN, Expected.DAMAGED, Expected.REFUSED, Expected.TOO_MUCH
    may_be = Expected.AS_MAY_BE
    _add("webp-flat", may_be, "134 MB of pixels from 34 bytes", lambda: webp(vp8l(SIDE, SIDE)))
    _add("webp-flat-small", shown, "a small one made so", lambda: webp(vp8l(2, 2)))
    _add("webp-16383", much, "16,383 a side", lambda: webp(vp8l(16_383, 16_383)))
    _add("webp-canvas-16383", much, "a canvas of 16,383 a side", lambda: _animation(anmf(), size=(16_383, 16_383)))
    _add("webp-canvas-2**24", much, "a canvas of 2**24 a side", lambda: _animation(anmf(), size=(2**24, 2**24)))
    _add("webp-canvas-large", may_be, "a canvas as large as allowed for 2x2", lambda: _animation(
        anmf(), size=(16_383, 2_048)))  # fmt: skip
    _add("webp-frame-outside", damaged, "a frame outside of its canvas", lambda: _animation(anmf(x=2**23, y=9)))
    _add("webp-frame-too-large", damaged, "a frame larger than its canvas", lambda: _animation(anmf(16_383, 16_383)))
    _add("webp-many-frames", shown, "50,000 frames", lambda: _animation(anmf() * 50_000))
    _add("webp-no-frames", refused, "an animation of no frames", lambda: _animation())
    _add("webp-empty-frame", damaged, "a frame without a picture", lambda: _animation(
        riff(b"ANMF", bytes(16))))  # fmt: skip
    _add("webp-frames-alone", damaged, "frames without a canvas", lambda: webp(anmf()))
    _add("webp-two-canvases", damaged, "two sizes of the canvas", lambda: webp(
        vp8x(2, 2), vp8x(9, 9), riff(b"ANIM", bytes(6)), anmf()))  # fmt: skip
    _add("webp-canvas-late", shown, "the canvas behind the picture", lambda: webp(vp8l(2, 2), vp8x(9, 9)))
    _add("webp-canvas-lies", refused, "a canvas of another size", lambda: webp(vp8x(16_000, 3, flags=0), vp8l(2, 2)))
    _add("webp-two-pictures", shown, "two pictures", lambda: webp(vp8l(2, 2), vp8l(16_000, 5_000)))
    _add("webp-no-picture", refused, "a canvas and no picture", lambda: webp(vp8x(2, 2, flags=0)))
    _add("webp-alpha-alone", refused, "transparency of no picture", lambda: webp(
        vp8x(2, 2, flags=0x10), riff(b"ALPH", bytes(9))))  # fmt: skip
    _add("webp-bad-alpha", damaged, "transparency that is none", lambda: webp(
        vp8x(16, 12, flags=0x10), riff(b"ALPH", b"\xff" * 9), _lossy()))  # fmt: skip
    for length, expected in ((0, refused), (4, refused), (12, refused), (2**31, refused), (2**32 - 1, refused)):
        _add(f"webp-length-{length}", expected, "a file of another length than it says",
             lambda length=length: webp(_lossy(), length=length))  # fmt: skip
    _add("webp-length-odd", refused, "a length that is one short", lambda: webp(_lossy(), length=len(_lossy()) + 3))
    _add("webp-chunk-2**31", refused, "a chunk beyond the end", lambda: webp(riff(b"VP8 ", bytes(30), 2**31)))
    _add("webp-chunk-2**32-1", refused, "a chunk of length -1", lambda: webp(riff(b"VP8 ", bytes(30), 2**32 - 1)))
    _add("webp-no-chunk", refused, "nothing inside", lambda: webp())
    _add("webp-cut", refused, "cut in the middle", lambda: written("WEBP", size=(64, 48))[:-9])
    _add("webp-lossy-of-nothing", damaged, "a header and no pixels", lambda: webp(
        riff(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + pack("<HH", 5_000, 5_000))))  # fmt: skip
    _add("webp-lossy-garbage", damaged, "a header and noise", lambda: webp(
        riff(b"VP8 ", b"\x10\x02\0\x9d\x01\x2a" + pack("<HH", 900, 900) + b"\xa5" * 999)))  # fmt: skip
    _add("webp-lossless-garbage", damaged, "a header and noise", lambda: webp(
        riff(b"VP8L", b"\x2f" + pack("<I", 899 | 899 << 14) + b"\xa5" * 999)))  # fmt: skip
    _add("webp-many-chunks", refused, "500,000 chunks before the picture", lambda: webp(
        riff(b"junk", b"") * 500_000, vp8l(2, 2)))  # fmt: skip
    _add("webp-metadata", shown, "EXIF, XMP and a profile that are nonsense", lambda: webp(
        vp8x(2, 2, flags=0x2C), riff(b"ICCP", b"\xff" * 9), vp8l(2, 2), riff(b"EXIF", _tiff_loop()),
        riff(b"XMP ", b"<!ENTITY a 'aaaa'>&a;&a;" * 999)))  # fmt: skip
    _add("webp-tail", shown, "a megabyte behind its end", lambda: webp(vp8l(2, 2)) + b"\xff" * 2**20)
    _add("webp-zip", shown, "also a ZIP", lambda: webp(vp8l(2, 2)) + _zip())
    _add("webp-wave", refused, "a sound", lambda: b"RIFF" + pack("<I", 40) + b"WAVEfmt " + bytes(32))


# ---- GIF


def gif(*blocks: bytes, size: tuple[int, int] = (2, 2), has_palette: bool = True, trailer: bytes = b";") -> bytes:
    head = b"GIF89a" + pack("<HHBBB", *size, 0x80 if has_palette else 0, 0, 0)
    return head + (bytes(3) + b"\xff" * 3 if has_palette else b"") + b"".join(blocks) + trailer


def sub_blocks(data: bytes) -> bytes:
    pieces = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def gif_frame(width: int = 2, height: int = 2, *, x: int = 0, y: int = 0, lzw: bytes | None = None, bits: int = 2,
              flags: int = 0) -> bytes:  # fmt: skip
    pixels = lzw_zeros(width * height) if lzw is None else lzw
    return b"," + pack("<HHHHB", x, y, width, height, flags) + bytes([bits]) + sub_blocks(pixels)


def lzw_zeros(count: int) -> bytes:
    """GIF's LZW of that many zeros, or some more: up to eight million in the six kilobytes of one table.

    With codes of two bits to begin with, 4 clears the table and 5 is the end. Each code is one that the reader is just
    about to make: the run before it, and a zero more.
    """
    codes, clear_bits = [(4, 3)], 3
    while count > 0:
        codes += [] if clear_bits == 3 else [(4, clear_bits)]
        codes.append((0, 3))
        count -= 1
        code = 6
        while count > 0 and code < 4_095:
            codes.append((code, code.bit_length()))
            count -= code - 4
            code += 1
        clear_bits = max(3, min(code, 4_095).bit_length())
    return _packed([*codes, (5, clear_bits)])


def _packed(codes: list[tuple[int, int]]) -> bytes:
    """Codes of so many bits each, the lowest bit first."""
    data, value, at = bytearray(), 0, 0
    for code, bits in codes:
        value |= code << at
        at += bits
        while at >= 8:
            data.append(value & 0xFF)
            value, at = value >> 8, at - 8
    return bytes([*data, value])


def _comment(size: int) -> bytes:
    return b"!\xfe" + sub_blocks(b"\xff" * size)


def _gifs() -> None:
    shown, damaged, refused, much = Expected.SHOWN, Expected.DAMAGED, Expected.REFUSED, Expected.TOO_MUCH
    may_be = Expected.AS_MAY_BE
    _add("gif-small", shown, "a small one made here", lambda: gif(gif_frame()))
    _add("gif-flat", may_be, "as large as allowed", lambda: gif(gif_frame(SIDE, SIDE), size=(SIDE, SIDE)))
    _add("gif-large-and-empty", damaged, "as large as allowed, from 40 bytes", lambda: gif(
        gif_frame(SIDE, SIDE, lzw=lzw_zeros(4)), size=(SIDE, SIDE)))  # fmt: skip
    _add("gif-65535", much, "65,535 a side", lambda: gif(gif_frame(), size=(65_535, 65_535)))
    _add("gif-frame-outside", shown, "a frame that enlarges its canvas", lambda: gif(gif_frame(9, 9, x=5, y=6)))
    _add("gif-frame-far-outside", much, "a frame far outside", lambda: gif(gif_frame(x=65_535, y=65_535)))
    _add("gif-frame-12000", much, "a frame at which Pillow would warn", lambda: gif(gif_frame(
        12_000, 12_000, lzw=b"\x4c\x01")))  # fmt: skip
    _add("gif-second-frame-65535", shown, "a second frame of 65,535 a side", lambda: gif(
        gif_frame(), gif_frame(65_535, 65_535, x=65_535, lzw=b"\x4c\x01")))  # fmt: skip
    _add("gif-empty-frame", damaged, "a frame of 0x0", lambda: gif(gif_frame(0, 0)))
    _add("gif-no-size", refused, "a canvas and a frame of 0x0", lambda: gif(gif_frame(0, 0), size=(0, 0)))
    _add("gif-canvas-0", shown, "a canvas of 0x0", lambda: gif(gif_frame(), size=(0, 0)))
    _add("gif-20000-frames", shown, "20,000 frames", lambda: gif(gif_frame() * 20_000))
    _add("gif-200000-frames", refused, "more blocks than are walked", lambda: gif(gif_frame() * 200_000))
    _add("gif-loops", shown, "an animation that never ends", lambda: gif(
        b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0", *((b"!\xf9\x04\x08\0\0\0\0" + gif_frame()) * 9,)))  # fmt: skip
    _add("gif-disposal", damaged, "a large frame that is to be taken away again", lambda: gif(
        b"!\xf9\x04\x09\0\0\0\0", gif_frame(SIDE, SIDE, lzw=lzw_zeros(4)), size=(SIDE, SIDE)))  # fmt: skip
    _add("gif-comment-32-MB", shown, "a comment of 32 MB", lambda: gif(_comment(32 * 2**20), gif_frame()))
    _add("gif-20000-comments", shown, "20,000 comments", lambda: gif(_comment(9) * 20_000, gif_frame()))
    _add("gif-block-of-bytes", refused, "a comment byte by byte", lambda: gif(
        b"!\xfe" + b"\1x" * 400_000 + b"\0", gif_frame()))  # fmt: skip
    for bits in (0, 1, 8, 12, 13, 255):
        _add(f"gif-lzw-{bits}-bits", may_be, "codes of another size than they are",
             lambda bits=bits: gif(gif_frame(bits=bits)))  # fmt: skip
    _add(
        "gif-lzw-garbage",
        damaged,
        "pixels that are noise",
        lambda: gif(gif_frame(99, 99, lzw=b"\xa5" * 999), size=(99, 99)),
    )
    _add("gif-lzw-no-end", damaged, "pixels without their end", lambda: gif(gif_frame(lzw=b"\x04")))
    _add("gif-lzw-nothing", damaged, "no pixels", lambda: gif(gif_frame(lzw=b"")))
    _add("gif-lzw-too-much", shown, "a megabyte of pixels for 2x2", lambda: gif(gif_frame(lzw=lzw_zeros(2**20))))
    _add("gif-lzw-clears", damaged, "a megabyte of clear codes", lambda: gif(gif_frame(lzw=b"\x24\x49\x92" * 350_000)))
    _add("gif-interlaced", damaged, "interlaced, and not enough rows", lambda: gif(gif_frame(flags=0x40, lzw=b"\x04")))
    _add("gif-control-short", damaged, "a control block of one byte", lambda: gif(b"!\xf9\x01\xff\0", gif_frame()))
    _add("gif-control-empty", shown, "a control block of nothing", lambda: gif(b"!\xf9\0", gif_frame()))
    _add("gif-control-long", shown, "a control block of 255 bytes", lambda: gif(
        b"!\xf9\xff" + b"\xff" * 255 + b"\0", gif_frame()))  # fmt: skip
    _add("gif-transparent-255", shown, "a transparent colour that is none", lambda: gif(
        b"!\xf9\x04\x01\0\0\xff\0", gif_frame()))  # fmt: skip
    _add("gif-50000-controls", shown, "50,000 control blocks", lambda: gif(
        b"!\xf9\x04\x01\0\0\0\0" * 50_000, gif_frame()))  # fmt: skip
    _add("gif-comma-extension", shown, "an extension by the name of a picture", lambda: gif(
        b"!,\x09" + pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\0", gif_frame()))  # fmt: skip
    _add("gif-no-palette", shown, "no palette", lambda: gif(gif_frame(), has_palette=False))
    _add("gif-palette-cut", refused, "a palette beyond the end", lambda: b"GIF89a" + pack("<HHBBB", 2, 2, 0x87, 0, 0))
    _add("gif-no-trailer", refused, "no trailer", lambda: gif(gif_frame(), trailer=b""))
    _add("gif-no-frame", refused, "no picture", lambda: gif())
    _add("gif-only-comments", refused, "nothing but comments", lambda: gif(_comment(9)))
    _add("gif-bad-block", refused, "a block that is none", lambda: gif(b"\0", gif_frame()))
    _add("gif-cut", refused, "cut in the middle", lambda: samples.picture("GIF", 64, 48)[:-9])
    _add("gif-tail", shown, "a megabyte behind its end", lambda: gif(gif_frame()) + b"\xff" * 2**20)
    # GIFAR and the like: the width 0x2F2A is the beginning of a comment in a script.
    _add("gif-script", shown, "also a script", lambda: gif(gif_frame(), size=(0x2A2F, 1)) + b"*/=1;alert(1)")
    _add("gif-zip", shown, "also a ZIP", lambda: gif(gif_frame()) + _zip())


# ---- other formats


def _strangers() -> None:
    refused = Expected.REFUSED
    for form in ("BMP", "TIFF", "PPM", "ICO", "TGA", "PCX", "SGI", "DIB", "ICNS", "JPEG2000", "PDF", "EPS", "MSP"):
        mode = "1" if form == "MSP" else "RGB"
        _add(f"other-{form}", refused, f"a whole {form}", lambda form=form, mode=mode: written(form, mode, (16, 16)))
    heads = {
        "psd": b"8BPS\0\1" + bytes(6) + pack(">HIIHH", 3, 30_000, 30_000, 8, 3) + bytes(40),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(rm -rf /) system\n",
        "eps-binary": b"\xc5\xd0\xd3\xc6" + bytes(26),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99),
        "jpeg-xl": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40),
        "wmf": b"\xd7\xcd\xc6\x9a" + bytes(40),
        "emf": b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(40),
        "fits": b"SIMPLE  =                    T" + b" " * 2_850,
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(40),
        "fli": b"\x99\0\0\0\x11\xaf" + bytes(122),
        "xpm": b'/* XPM */\nstatic char *a[] = {"1 1 1 1", "a c #000", "a"};',
        "xbm": b"#define a_width 9\n#define a_height 9\nstatic char a_bits[] = {0};",
        "dds": b"DDS \x7c\0\0\0" + bytes(120),
        "blp": b"BLP2\1\0\0\0" + bytes(200),
        "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        "mpeg": b"\0\0\1\xb3" + bytes(40),
        "zip": _zip(),
        "elf": b"\x7fELF\2\1\1" + bytes(60),
        "html": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
        "xml-bomb": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><svg>&c;</svg>',
        "json": b'{"error": "no"}',
        "empty": b"\0",
        "png-in-upper-case": b"\x89png\r\n\x1a\n" + TINY[8:],
        "png-by-text": TINY.replace(b"\r\n", b"\n"),
        "mng": b"\x8aMNG\r\n\x1a\n" + TINY[8:],
        "jng": b"\x8bJNG\r\n\x1a\n" + TINY[8:],
        "gif-88": b"GIF88a" + bytes(40),
        "rifx": b"RIFX" + webp(vp8l(2, 2))[4:],
        "after-a-space": b" " + TINY,
        "after-a-mark": b"\xef\xbb\xbf" + TINY,
        "qoi": b"qoif" + bytes(40),
    }
    for name, data in heads.items():
        _add(f"other-{name}", refused, f"no picture that is taken: {name}", lambda data=data: data)


# ---- SVG


def _svgs() -> None:
    drawing, refused, much = Expected.DRAWING, Expected.REFUSED, Expected.TOO_MUCH
    _add("svg-script", drawing, "a drawing that is a program", lambda: (
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'))  # fmt: skip
    _add("svg-file", drawing, "a drawing that reads a file", lambda: (
        b'<svg xmlns:x="http://www.w3.org/1999/xlink"><image x:href="file:///etc/passwd"/></svg>'))  # fmt: skip
    _add("svg-use-bomb", drawing, "a drawing that names itself", lambda: (
        b'<svg><g id="a"><use href="#a"/><use href="#a"/></g></svg>'))  # fmt: skip
    _add("svg-entities", refused, "a drawing whose text grows", lambda: (
        b'<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>'))  # fmt: skip
    _add("svg-huge", much, "a drawing of 2**30 a side", lambda: b'<svg width="1073741824" height="1073741824"/>')
    _add("svg-deep", drawing, "300,000 groups inside of each other", lambda: (
        b"<svg>" + b"<g>" * 300_000 + b"</g>" * 300_000 + b"</svg>"))  # fmt: skip
    _add("svg-deep-drawings", drawing, "100,000 drawings inside of each other", lambda: (
        b"<svg>" * 100_000 + b"</svg>" * 100_000))  # fmt: skip
    _add("svg-deep-and-cut", refused, "100,000 drawings, one without an end", lambda: (
        b"<svg>" * 100_000 + b"</svg>" * 99_999))  # fmt: skip
    _add("svg-tags", refused, "eight million tags", lambda: b"<svg>" + b"<" * 2**23 + b"</svg>")
    _add("svg-comments", refused, "a million comments", lambda: b"<svg>" + b"<!---->" * 2**20 + b"</svg>")
    _add("svg-open-comments", refused, "comments without an end", lambda: b"<svg>" + b"<!--" * 90_000 + b"</svg>")
    _add("svg-attributes", drawing, "a million attributes", lambda: b"<svg><g " + b"a='' " * 2**20 + b"/></svg>")
    _add("svg-long-root", refused, "a root of ten megabytes", lambda: b"<svg " + b"a='' " * 2**21 + b"/>")
    _add("svg-prologue", refused, "a prologue of 100,000 comments", lambda: b"<!---->" * 100_000 + b"<svg/>")
    _add("svg-size-0", drawing, "a size of nothing", lambda: b'<svg width="0" height="-1" viewBox="1 2"/>')
    _add("svg-long-numbers", drawing, "numbers beyond all bounds", lambda: (
        b'<svg width="' + b"9" * 90 + b'" height="1e999" viewBox="0 0 1e99 1"/>'))  # fmt: skip
    _add("svg-binary", drawing, "bytes that are no text", lambda: b"<svg>" + bytes(range(128, 256)) + b"\0</svg>")
    _add("svg-cut", refused, "cut in the middle", lambda: b'<svg width="4" height="3"><rect/>')


# ---- AVIF


def box(kind: bytes, *bodies: bytes, length: int | None = None) -> bytes:
    body = b"".join(bodies)
    return pack(">I", len(body) + 8 if length is None else length) + kind + body


def ftyp(brand: bytes = b"avif") -> bytes:
    return box(b"ftyp", brand + bytes(4) + b"avifmif1miaf")


def meta(width: int = 16, height: int = 12, *, offset: int = 0, length: int = 8, more: bytes = b"") -> bytes:
    """The description of one picture of which `length` bytes stand at `offset`."""
    return box(b"meta", bytes(4), box(b"pitm", bytes(4), b"\0\1"), iloc((offset, length)), _item_info(),
               box(b"iprp", box(b"ipco", box(b"ispe", bytes(4), pack(">II", width, height)), more),
                   box(b"ipma", bytes(4), pack(">IHB", 1, 1, 3), b"\1\2\3")))  # fmt: skip


def iloc(*extents: tuple[int, int], count: int | None = None) -> bytes:
    places = b"".join(pack(">II", *extent) for extent in extents)
    return box(b"iloc", bytes(4), b"\x44\0", pack(">HHHH", 1, 1, 0, len(extents) if count is None else count), places)


def _item_info() -> bytes:
    return box(b"iinf", bytes(4), b"\0\1", box(b"infe", b"\2\0\0\0\0\1\0\0av01\0"))


def _written_avif(**options: Any) -> bytes:
    return written("AVIF", size=(64, 48), **options)


def _with_noise(data: bytes) -> bytes:
    at = data.index(b"mdat") + 24  # behind the headers of its AV1 data
    return data[:at] + b"\xa5" * (len(data) - at)


def _resized_avif(width: int, height: int, data: bytes | None = None) -> bytes:
    """A whole AVIF that tells another size than its pixels have."""
    data = data or _written_avif()
    at = data.index(b"ispe") + 8
    return data[:at] + pack(">II", width, height) + data[at + 8 :]


def _avifs() -> None:
    damaged, refused, much, may_be = Expected.DAMAGED, Expected.REFUSED, Expected.TOO_MUCH, Expected.AS_MAY_BE
    mdat = box(b"mdat", bytes(8))
    _add("avif-no-pixels", damaged, "zeros in place of AV1", lambda: ftyp() + meta() + mdat)
    _add("avif-bomb", damaged, "as large as allowed, from 300 bytes", lambda: ftyp() + meta(SIDE, SIDE) + mdat)
    _add("avif-2**32-1", much, "a size at the format's end", lambda: ftyp() + meta(2**32 - 1, 2**32 - 1) + mdat)
    _add("avif-65536", much, "65,536 a side", lambda: ftyp() + meta(65_536, 65_536) + mdat)
    _add("avif-zero-size", refused, "0x0", lambda: ftyp() + meta(0, 0) + mdat)
    _add("avif-extent-beyond", refused, "data beyond the end", lambda: ftyp() + meta(offset=10**6) + mdat)
    _add("avif-extent-2**32-1", refused, "data of 4 GB", lambda: ftyp() + meta(length=2**32 - 1) + mdat)
    _add("avif-many-extents", refused, "65,535 extents of no bytes", lambda: ftyp() + box(
        b"meta", bytes(4), iloc(count=65_535), box(b"pitm", bytes(4), b"\0\1")) + mdat)  # fmt: skip
    _add("avif-many-boxes", refused, "90,000 boxes", lambda: ftyp() + box(b"free") * 90_000 + meta() + mdat)
    _add("avif-many-properties", refused, "90,000 properties", lambda: (
        ftyp() + meta(more=box(b"free") * 90_000) + mdat))  # fmt: skip
    _add("avif-deep", refused, "boxes inside of each other", lambda: ftyp() + _nested(b"meta", 1_000))
    for length in (0, 1, 7, 9, 2**31, 2**32 - 1):
        _add(f"avif-box-of-{length}", refused, "a box of another length than it has",
             lambda length=length: ftyp() + box(b"meta", bytes(40), length=length) + mdat)  # fmt: skip
    _add("avif-box-of-2**64-1", refused, "a box with a long length", lambda: (
        ftyp() + box(b"meta", b"\xff" * 8, bytes(40), length=1)))  # fmt: skip
    _add("avif-no-meta", refused, "no description", lambda: ftyp() + mdat)
    _add("avif-no-place", refused, "no places", lambda: ftyp() + box(b"meta", bytes(4)) + mdat)
    _add("avif-only-ftyp", refused, "nothing behind its name", ftyp)
    _add("avif-ftyp-4-GB", refused, "a name of 4 GB", lambda: pack(">I", 2**32 - 1) + ftyp()[4:] + bytes(2_000))
    _add("avif-sequence-alone", refused, "an animation without tracks", lambda: ftyp(b"avis") + meta() + mdat)
    if not samples.has_avif():
        return
    _add("avif-cut", refused, "cut in the middle", lambda: _written_avif()[:-30])
    _add("avif-lies", may_be, "another size than its pixels", lambda: _resized_avif(16, 12))
    if samples.survives_lack_of_memory():
        _add("avif-lies-large", may_be, "a size as large as allowed for 64x48", lambda: _resized_avif(SIDE, SIDE))
    _add("avif-pixel-bomb", refused, "2x2 that hold 2048x2048 pixels", lambda: _resized_avif(
        2, 2, written("AVIF", size=(2_048, 2_048), speed=10)))  # fmt: skip
    _add("avif-garbage", may_be, "noise in place of its pixels", lambda: _with_noise(_written_avif()))
    _add("avif-tail", may_be, "a megabyte behind its end", lambda: _written_avif() + b"\xff" * 2**20)
    _add("avif-zip", may_be, "also a ZIP", lambda: _written_avif() + _zip())
    _add("avif-metadata", may_be, "XMP that is nonsense", lambda: _written_avif(xmp=b"<!ENTITY a 'aaaa'>&a;&a;" * 999))


def _nested(kind: bytes, depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = box(kind, bytes(4), data)
    return data


_pngs()
_jpegs()
_webps()
_gifs()
_strangers()
_svgs()
_avifs()
