"""Headers: format and size are those that Pillow reads, and bytes that are not a whole picture are a HeaderError."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from io import BytesIO
from random import Random
from struct import pack
from typing import Any, SupportsIndex, get_args

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgassemble.frames.av1 import av1_sizes
from imgassemble.frames.binary import HeaderError
from imgassemble.frames.containers import Header, format_of, has_animation, read_header
from imgassemble.frames.jpeg import jpeg_segments
from imgassemble.frames.png import png_chunks
from imgassemble.limits import Format

HAS_AVIF = samples.has_avif()
WRITTEN = ["PNG", "JPEG", "WEBP", "GIF", *(["AVIF"] if HAS_AVIF else [])]


def _written(image: Image.Image, form: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _picture(mode: str = "RGB", size: tuple[int, int] = (37, 23), seed: int = 7) -> Image.Image:
    """Noise, which no format can make small; the same each time."""
    return Image.frombytes("RGB", size, Random(seed).randbytes(3 * size[0] * size[1])).convert(mode)


def _exif_with_thumbnail() -> bytes:
    """EXIF that holds a whole JPEG, with an end-of-image marker of its own."""
    thumbnail = _written(_picture(size=(16, 16)), "JPEG")
    first = pack(">HHHHII", 0x4D4D, 42, 0, 8, 0, 0)[:4] + pack(">I", 8) + pack(">H", 0) + pack(">I", 14)
    entries = pack(">HHII", 0x0201, 4, 1, 44) + pack(">HHII", 0x0202, 4, 1, len(thumbnail))
    return b"Exif\0\0" + first + pack(">H", 2) + entries + pack(">I", 0) + thumbnail


def _avif_samples(noise: Image.Image, frames: list[Image.Image]) -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    return {
        "avif": _written(noise, "AVIF"),
        "avif-alpha": _written(_picture("RGBA"), "AVIF"),
        "avif-gray": _written(_picture("L"), "AVIF"),
        "avif-metadata": _written(noise, "AVIF", exif=exif, xmp=b"<x/>", icc_profile=b"icc" * 99),
        "avif-animated": _written(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=50),
    }


@cache
def _samples() -> dict[str, bytes]:
    noise = _picture()
    frames = [_picture("L", seed=seed) for seed in range(3)]
    return {
        "png": _written(noise, "PNG"),
        "png-gray": _written(_picture("L"), "PNG"),
        "png-gray-alpha": _written(_picture("LA"), "PNG"),
        "png-bilevel": _written(_picture("1"), "PNG"),
        "png-16-bit": _written(_picture("L").convert("I").convert("I;16"), "PNG"),
        "png-palette": _written(_picture("P"), "PNG"),
        "png-rgba": _written(_picture("RGBA"), "PNG"),
        "png-animated": _written(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "png-one-pixel": samples.png(),
        "jpeg": _written(noise, "JPEG"),
        "jpeg-gray": _written(_picture("L"), "JPEG"),
        "jpeg-cmyk": _written(_picture("CMYK"), "JPEG"),
        "jpeg-progressive": _written(noise, "JPEG", progressive=True),
        "jpeg-restarts": _written(noise, "JPEG", restart_marker_blocks=1),
        "jpeg-thumbnail": _written(noise, "JPEG", exif=_exif_with_thumbnail()),
        "jpeg-comment": _written(noise, "JPEG", comment=b"\xff\xd9\xff\xda\xff\xc0"),
        "webp": _written(noise, "WEBP", quality=50),
        "webp-lossless": _written(noise, "WEBP", lossless=True),
        "webp-alpha": _written(_picture("RGBA"), "WEBP", quality=50),
        "webp-alpha-lossless": _written(_picture("RGBA"), "WEBP", lossless=True),
        "webp-exif": _written(noise, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
        "webp-animated": _written(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "gif": _written(_picture("P"), "GIF"),
        "gif-comment": _written(_picture("L"), "GIF", comment=b";;;" * 200),
        "gif-animated": _written(frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0),
        **(_avif_samples(noise, frames) if HAS_AVIF else {}),
    }


NAMES = sorted(_samples())
_ANY_SAMPLE = st.sampled_from(NAMES).map(lambda name: _samples()[name])


def _header_or_error(data: bytes) -> Header | None:
    """Return the header, or None for a HeaderError; any other exception fails the test."""
    try:
        return read_header(data)
    except HeaderError:
        return None


class _Counting(bytes):
    """Bytes that count how often they are looked at."""

    looks = 0

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        type(self).looks += 1
        return super().__getitem__(at)


def _looks(data: bytes) -> int:
    _Counting.looks = 0
    with pytest.raises(HeaderError):
        read_header(_Counting(data))
    return _Counting.looks


# ---- whole pictures


@pytest.mark.parametrize("name", NAMES)
def test_format_and_size_are_those_that_pillow_reads(name: str) -> None:
    data = _samples()[name]
    with Image.open(BytesIO(data)) as image:
        expected = "JPEG" if image.format == "MPO" else image.format
        assert read_header(data) == Header(format=expected, size=image.size)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_an_animation_is_found_where_pillow_finds_one(name: str) -> None:
    data = _samples()[name]
    with Image.open(BytesIO(data)) as image:
        assert has_animation(data, read_header(data).format) is getattr(image, "is_animated", False)
        assert has_animation(data, read_header(data).format) is name.endswith("-animated")


@pytest.mark.parametrize("form", get_args(Format))
def test_a_file_that_is_cut_short_has_no_animation(form: Format) -> None:
    for name in NAMES:
        for n_bytes in (0, 5, 13, 25):
            assert isinstance(has_animation(_samples()[name][:n_bytes], form), bool)


@given(
    form=st.sampled_from(WRITTEN),
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    mode=st.sampled_from(["L", "RGB"]),
)
def test_any_size_is_read(form: str, width: int, height: int, mode: str) -> None:
    data = _written(Image.new(mode, (width, height)), form)
    assert read_header(data).size == (width, height)


@pytest.mark.parametrize(
    ("form", "size"), [("PNG", (70_000, 1)), ("JPEG", (65_500, 1)), ("WEBP", (16_383, 1)), ("GIF", (65_535, 1))]
)
def test_a_size_at_the_formats_end_is_read(form: str, size: tuple[int, int]) -> None:
    assert read_header(_written(Image.new("L", size), form)).size == size


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tail", [b"\0", b"\n", b"garbage", b"\xff\xd9", samples.png()])
def test_bytes_after_the_end_change_nothing(name: str, tail: bytes) -> None:
    data = _samples()[name]
    assert read_header(data + tail) == read_header(data)


# ---- cut short


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_cut_anywhere_is_a_header_error(name: str) -> None:
    data = _samples()[name]
    cuts = (
        range(len(data)) if len(data) < 6_000 else sorted({*range(0, len(data), 11), *range(len(data) - 64, len(data))})
    )
    for at in cuts:
        with pytest.raises(HeaderError):
            read_header(data[:at])


@pytest.mark.parametrize("form", WRITTEN)
def test_a_large_picture_cut_in_hundreds_of_places_is_a_header_error(form: str) -> None:
    data = _written(_picture(size=(400, 300)), form)
    for at in {*range(0, len(data), len(data) // 400), *range(len(data) - 200, len(data))}:
        with pytest.raises(HeaderError):
            read_header(data[:at])


def test_the_end_of_an_embedded_thumbnail_is_not_the_end() -> None:
    data = _samples()["jpeg-thumbnail"]
    end_of_thumbnail = data.index(b"\xff\xd9") + 2
    assert end_of_thumbnail < len(data) // 2 < len(data)
    with pytest.raises(HeaderError, match="cut short"):
        read_header(data[:end_of_thumbnail])
    assert read_header(data).size == (37, 23)


def test_a_progressive_picture_without_its_last_scan_is_cut_short() -> None:
    data = _samples()["jpeg-progressive"]
    scans = [start for marker, start, _ in jpeg_segments(data) if marker == 0xDA]
    assert len(scans) > 2
    for start in scans:
        with pytest.raises(HeaderError, match="cut short"):
            read_header(data[:start])


def test_a_picture_cut_in_its_only_scan_is_no_picture_where_another_follows() -> None:
    data = samples.picture("JPEG", 64, 48)
    assert read_header(data + data).size == (64, 48)
    with pytest.raises(HeaderError):
        read_header(data[:-30] + data)


def test_restart_markers_belong_to_their_scan() -> None:
    segments = list(jpeg_segments(_samples()["jpeg-restarts"]))
    assert [marker for marker, _, _ in segments if 0xD0 <= marker <= 0xD7] == []
    assert segments[-1][0] == 0xD9


# ---- structures


def test_the_chunks_of_a_png_lie_end_to_end() -> None:
    data = _samples()["png-animated"]
    chunks = png_chunks(data)
    assert b"".join(data[start:end] for _, start, end in chunks) == data[8:]
    assert chunks[0][0] == b"IHDR"
    assert chunks[-1][0] == b"IEND"


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("jpeg")])
def test_the_segments_of_a_jpeg_lie_end_to_end(name: str) -> None:
    data = _samples()[name]
    assert b"\xff\xd8" + b"".join(data[start:end] for _, start, end in jpeg_segments(data)) == data


def _png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _ihdr(*, size: tuple[int, int] = (2, 2), depth: int = 8, colour: int = 2, **others: int) -> bytes:
    rest = (others.get(name, 0) for name in ("compression", "filter", "interlace"))
    return samples.png_chunk(b"IHDR", pack(">IIBBBBB", *size, depth, colour, *rest))


_IDAT, _IEND = samples.png_chunk(b"IDAT", b"x"), samples.png_chunk(b"IEND")
_SOF = b"\xff\xc0\x00\x0b\x08\x00\x02\x00\x02\x01\x01\x11\x00"
_APP = b"\xff\xe0\x00\x04ab"
_SOS = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"scan"


def _webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + pack("<I", len(body)) + body


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def _vp8(width: int, height: int, *, key: int = 0, sync: bytes = b"\x9d\x01\x2a") -> bytes:
    return _chunk(b"VP8 ", bytes([0x10 | key, 0, 0]) + sync + pack("<HH", width, height) + b"pixels")


_WRONG: dict[str, bytes] = {
    "nothing": b"",
    "png: only its signature": _png(),
    "png: no IHDR": _png(_IDAT, _IEND),
    "png: IHDR too long": _png(samples.png_chunk(b"IHDR", bytes(14)), _IDAT, _IEND),
    "png: IHDR too short": _png(samples.png_chunk(b"IHDR", bytes(12)), _IDAT, _IEND),
    "png: IHDR second": _png(samples.png_chunk(b"tEXt", bytes(13)), _ihdr(), _IDAT, _IEND),
    "png: no IDAT": _png(_ihdr(), _IEND),
    "png: an IDAT without bytes": _png(_ihdr(), samples.png_chunk(b"IDAT"), _IEND),
    "png: IDAT after IEND": _png(_ihdr(), _IEND, _IDAT),
    "png: no IEND": _png(_ihdr(), _IDAT),
    "png: no width": _png(_ihdr(size=(0, 2)), _IDAT, _IEND),
    "png: no height": _png(_ihdr(size=(2, 0)), _IDAT, _IEND),
    "png: depth 3": _png(_ihdr(depth=3), _IDAT, _IEND),
    "png: a palette of 16 bits": _png(_ihdr(depth=16, colour=3), _IDAT, _IEND),
    "png: colour 5": _png(_ihdr(colour=5), _IDAT, _IEND),
    "png: compression 1": _png(_ihdr(compression=1), _IDAT, _IEND),
    "png: filter 1": _png(_ihdr(filter=1), _IDAT, _IEND),
    "png: interlace 2": _png(_ihdr(interlace=2), _IDAT, _IEND),
    "png: a chunk beyond the end": _png(_ihdr(), pack(">I", 0xFFFFFFFF) + b"IDAT", _IEND),
    "jpeg: only its start": b"\xff\xd8\xff",
    "jpeg: ends at once": b"\xff\xd8\xff\xd9",
    "jpeg: no frame": b"\xff\xd8" + _SOS + b"\xff\xd9",
    "jpeg: no scan": b"\xff\xd8" + _SOF + b"\xff\xd9",
    "jpeg: two frames": b"\xff\xd8" + _SOF + _SOF + _SOS + b"\xff\xd9",
    "jpeg: no end": b"\xff\xd8" + _SOF + _SOS,
    "jpeg: a reserved marker": b"\xff\xd8\xff\x42" + _SOF + _SOS + b"\xff\xd9",
    "jpeg: a second start": b"\xff\xd8" + _SOF + b"\xff\xd8" + _SOS + b"\xff\xd9",
    "jpeg: a segment beyond the end": b"\xff\xd8\xff\xe0\xff\xff" + _SOF + _SOS + b"\xff\xd9",
    "jpeg: lossless, which decoders do not read": b"\xff\xd8" + _SOF.replace(b"\xc0", b"\xc3", 1) + _SOS + b"\xff\xd9",
    "jpeg: no height": b"\xff\xd8" + _SOF.replace(b"\x00\x02\x00\x02", bytes(4)) + _SOS + b"\xff\xd9",
    "webp: no chunk": _webp(),
    "webp: only its canvas": _webp(_chunk(b"VP8X", bytes(10))),
    "webp: the canvas and the picture disagree": _webp(_chunk(b"VP8X", bytes(10)), _vp8(2, 2)),
    "webp: no key frame": _webp(_vp8(2, 2, key=1)),
    "webp: no start code": _webp(_vp8(2, 2, sync=b"abc")),
    "webp: no width": _webp(_vp8(0, 2)),
    "webp: lossless without its signature": _webp(_chunk(b"VP8L", b"\x2e" + bytes(9))),
    "webp: lossless of another version": _webp(_chunk(b"VP8L", b"\x2f\0\0\0\xe0" + bytes(5))),
    "webp: a chunk beyond its end": _webp(b"VP8 " + pack("<I", 999)),
    "webp: an empty picture at its end": _webp(_chunk(b"VP8L", b"")),
    "gif: only its signature": b"GIF89a",
    "gif: no picture": b"GIF89a" + pack("<HHBBB", 2, 2, 0, 0, 0) + b";",
    "gif: no size": b"GIF89a" + pack("<HHBBB", 0, 2, 0, 0, 0) + b"," + bytes(9) + b"\x02\x01x\0;",
    "gif: an unknown block": b"GIF89a" + pack("<HHBBB", 2, 2, 0, 0, 0) + b"?;",
    "gif: no trailer": b"GIF89a" + pack("<HHBBB", 2, 2, 0, 0, 0) + b"," + bytes(9) + b"\x02\x01x\0",
}


@pytest.mark.parametrize("name", sorted(_WRONG))
def test_a_wrong_structure_is_a_header_error(name: str) -> None:
    with pytest.raises(HeaderError):
        read_header(_WRONG[name])


@pytest.mark.parametrize(
    "between", [b"xx", b"\0", b"\xff\x00", b"\xff\x00ab\xff", bytes(70_000), b"\xff\xd0", b"\xff\x01"]
)
def test_bytes_between_segments_are_skipped_as_browsers_skip_them(between: bytes) -> None:
    data = b"\xff\xd8" + _APP + between + _SOF + between + _SOS + b"\xff\xd9"
    assert read_header(data) == Header(format="JPEG", size=(2, 2))


def test_a_segment_without_length_is_skipped_as_browsers_skip_it() -> None:
    assert read_header(b"\xff\xd8\xff\xe0\0\0" + _SOF + _SOS + b"\xff\xd9").size == (2, 2)


def test_fill_bytes_may_stand_before_a_marker() -> None:
    data = b"\xff\xd8\xff\xff\xff" + _SOF[1:] + b"\xff\xff" + _SOS[1:] + b"\xff\xff\xff\xd9"
    assert read_header(data) == Header(format="JPEG", size=(2, 2))


# ---- drawings

_SVG = b"""<?xml version="1.0"?>
<!-- made by <a painter/> -->
<svg xmlns="http://www.w3.org/2000/svg" width="20px" height="10"><g><rect height="9"/></g><path d="M0 0"/></svg>
"""


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ('width="20" height="10"', (20, 10)),
        ("width='20px' height='10.5'", (20, 10)),
        ('viewBox="0 0 40 30"', (40, 30)),
        ('viewBox="0,0,40,30" width="80"', (80, 60)),
        ('viewBox="0 0 40 30" height="15"', (20, 15)),
        ('width="1in" height="2.54cm"', (96, 96)),
        ('width="10mm" height="12pt"', (37, 16)),
        ('width="10em" height="5"', None),
        ('width="20"', None),
        ('width="20" height="0"', None),
        ('viewBox="0 0 0 30"', None),
        ('viewBox="0 0 40"', None),
        ('width="100%" height="100%" viewBox="0 0 40 30"', (40, 30)),
        ('data-width="7"', None),
        ("", None),
    ],
)
def test_the_size_of_a_drawing_is_the_one_that_a_browser_gives_it(
    attributes: str, size: tuple[int, int] | None
) -> None:
    for start in ("", "\ufeff", "\n ", '<?xml version="1.0"?>\n', "<!-- x -->", "<!DOCTYPE svg>"):
        data = f"{start}<svg {attributes}><g/></svg>".encode()
        assert read_header(data) == Header(format="SVG", size=size)


def test_a_drawing_cut_anywhere_is_a_header_error() -> None:
    assert read_header(_SVG).size == (20, 10)
    for at in range(len(_SVG.rstrip())):
        with pytest.raises(HeaderError):
            read_header(_SVG[:at])


def test_a_drawing_may_be_empty() -> None:
    assert read_header(b'<svg width="2" height="3" />').size == (2, 3)


@pytest.mark.parametrize("start", [b"", b"<svg>", b"<svg><svg>"])
def test_tags_without_end_are_no_drawing_and_no_endless_work(start: bytes) -> None:
    data = start + b"<svg " * 400_000
    assert format_of(data) == ("SVG" if start else None)
    with pytest.raises(HeaderError):
        read_header(data)


@pytest.mark.parametrize(
    "drawing",
    [
        "<svg><!-- <svg> is how it begins --><g/></svg>",
        "<svg><style><![CDATA[ .a > svg { } /* <svg > */ ]]></style></svg>",
        "<svg><svg width='3'/><svg></svg ></svg >",
        "<svg></svg>\n<!-- made by a program -->\n",
        '<svg:svg xmlns:svg="http://www.w3.org/2000/svg"><svg:g/></svg:svg>',
        '<?xml version="1.0"?><?xml-stylesheet href="a.css"?><svg><g/></svg>',
    ],
)
def test_a_drawing_is_whole_with_any_comments_and_prefixes(drawing: str) -> None:
    assert read_header(drawing.encode()) == Header(format="SVG", size=None)
    with pytest.raises(HeaderError, match="cut short"):
        read_header(drawing.encode().rstrip()[:-2])


def test_a_deep_drawing_is_read_without_recursion() -> None:
    depth = 200_000
    assert read_header(b"<svg>" + b"<g>" * depth + b"</g>" * depth + b"</svg>").size is None
    nested = b"<svg>" * depth + b"</svg>" * depth
    assert read_header(nested).format == "SVG"


def test_a_page_that_holds_a_drawing_is_no_drawing() -> None:
    with pytest.raises(HeaderError):
        read_header(b"<!DOCTYPE html><html><svg></svg></html>")


# ---- other files


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\n  <!DOCTYPE html><html>", "HTML"),
        (b'{"error": "x"}', "JSON"),
        (b"https://example.org/a.png", "a URL"),
        (samples.picture("BMP"), "BMP"),
        (samples.picture("TIFF"), "TIFF"),
        (b"\0\0\0\x20ftypheic\0\0\0\0", "HEIC"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "ZIP"),
    ],
)
def test_another_kind_of_file_is_named(data: bytes, name: str) -> None:
    with pytest.raises(HeaderError, match=rf"is no PNG, JPEG, WebP, GIF, AVIF or SVG \(it looks like {name}\)$"):
        read_header(data)


@given(brand=st.binary(min_size=4, max_size=4))
def test_the_name_of_another_kind_of_file_has_no_control_characters(brand: bytes) -> None:
    with pytest.raises(HeaderError) as caught:
        read_header(b"\0\0\0\x20ftyp" + brand + bytes(16))
    assert str(caught.value).isprintable()


# ---- hostile bytes


@given(
    st.binary(max_size=300)
    | st.tuples(
        st.sampled_from(
            [
                b"\x89PNG\r\n\x1a\n",
                b"\xff\xd8\xff",
                b"RIFF\x40\0\0\0WEBP",
                b"GIF89a",
                b"GIF87a",
                b"<svg ",
                b"<!--",
                b"\0\0\0\x0cftypavif",
                b"\0\0\0\x0cftypavif\0\0\0\x60meta\0\0\0\0\0\0\0\x0epitm\0\0\0\0\0\1",
            ]
        ),
        st.binary(max_size=300),
    ).map(b"".join)
)
def test_arbitrary_bytes_are_a_header_or_a_header_error(data: bytes) -> None:
    _header_or_error(data)


@given(data=_ANY_SAMPLE, edits=st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes_are_a_header_or_a_header_error(data: bytes, edits: list[tuple[int, int]]) -> None:
    changed = bytearray(data)
    for at, value in edits:
        # Most of the structure is at the beginning.
        changed[at % min(len(changed), 120 if at % 3 else len(changed))] = value
    _header_or_error(bytes(changed))


@given(data=_ANY_SAMPLE, start=st.integers(0, 2**16), length=st.integers(1, 200))
def test_bytes_missing_in_the_middle_are_a_header_or_a_header_error(data: bytes, start: int, length: int) -> None:
    start %= len(data)
    _header_or_error(data[:start] + data[start + length :])


def _box(kind: bytes, body: bytes = b"") -> bytes:
    return pack(">I", len(body) + 8) + kind + body


def _ftyp(brand: bytes = b"avif") -> bytes:
    return _box(b"ftyp", brand + bytes(4) + b"mif1")


def _hostile() -> Iterator[tuple[str, Callable[[int], bytes]]]:
    gif = b"GIF89a" + pack("<HHBBB", 2, 2, 0, 0, 0)
    yield "png chunks", lambda size: _png(_ihdr(), samples.png_chunk(b"tEXt") * (size // 12))
    yield "jpeg segments", lambda size: b"\xff\xd8" + b"\xff\xe1\x00\x02" * (size // 4)
    yield "jpeg markers alone", lambda size: b"\xff\xd8" + b"\xff\x01" * (size // 2)
    yield "jpeg scans", lambda size: b"\xff\xd8" + b"\xff\xda\x00\x02" * (size // 4)
    yield "jpeg fill bytes", lambda size: b"\xff\xd8" + b"\xff" * size
    yield "jpeg restarts", lambda size: b"\xff\xd8" + _SOF + _SOS + b"\xff\xd0" * (size // 2)
    yield "webp chunks", lambda size: _webp(_chunk(b"junk", b"") * (size // 8))
    yield "svg prologue", lambda size: b"<!---->" * (size // 7)
    yield "svg comment", lambda size: b"<!--" + b"-" * size
    yield "svg comments inside", lambda size: b"<svg>" + b"<!--" * (size // 4) + b"</svg>"
    yield "svg tags", lambda size: b"<svg>" + b"<" * size + b"</svg>"
    yield "avif boxes", lambda size: _ftyp() + _box(b"free") * (size // 8)
    yield "avif boxes inside", lambda size: _ftyp() + _box(b"meta", bytes(4) + _box(b"free") * (size // 8))
    yield "gif extensions", lambda size: gif + b"!\xfe\0" * (size // 3)
    yield "gif blocks", lambda size: gif + b"!\xfe" + b"\x01x" * (size // 2)
    yield "gif pictures", lambda size: gif + (b"," + bytes(9) + b"\x02\0") * (size // 12)


@pytest.mark.parametrize("name", [name for name, _ in _hostile()])
def test_the_work_for_many_small_blocks_is_bounded(name: str) -> None:
    make = dict(_hostile())[name]
    assert _looks(make(4 * 2**20)) < 2_000_000


# ---- AV1


class _BitWriter:
    def __init__(self) -> None:
        self.text = ""

    def put(self, value: int, count: int) -> _BitWriter:
        self.text += f"{value:0{count}b}" if count else ""
        return self

    def unit(self, kind: int = 1) -> bytes:
        """The bits as one unit of AV1 data with its length."""
        body = int(self.text.ljust(-(-len(self.text) // 8) * 8, "0"), 2).to_bytes(-(-len(self.text) // 8), "big")
        return bytes([kind << 3 | 2, len(body)]) + body


def _size_bits(bits: _BitWriter, width: int, height: int) -> bytes:
    return bits.put(15, 4).put(11, 4).put(width - 1, 16).put(height - 1, 12).unit()


def test_the_size_in_a_short_sequence_header_is_read() -> None:
    assert list(av1_sizes(_size_bits(_BitWriter().put(0, 3).put(0b11, 2).put(5, 5), 5_000, 3_000))) == [(5_000, 3_000)]


def test_the_size_behind_timing_and_operating_points_is_read() -> None:
    bits = _BitWriter().put(0, 3).put(0, 2)
    bits.put(1, 1).put(1, 32).put(30, 32).put(1, 1).put(0b00101, 5)  # timing with a number of variable length
    bits.put(1, 1).put(9, 5).put(7, 32).put(3, 5).put(3, 5)  # a decoder model
    bits.put(1, 1).put(1, 5)  # display delays, two operating points
    bits.put(0, 12).put(9, 5).put(1, 1).put(1, 1).put(0, 21).put(1, 1).put(4, 4)
    bits.put(1, 12).put(3, 5).put(0, 1).put(0, 1)
    other = _BitWriter().put(0, 8).unit(kind=2)
    data = other + _size_bits(bits, 641, 480) + other
    assert list(av1_sizes(data)) == [(641, 480)]


@given(st.binary(max_size=100))
def test_arbitrary_av1_data_has_sizes_or_is_an_error(data: bytes) -> None:
    with suppress(HeaderError, IndexError):
        assert all(width > 0 and height > 0 for width, height in av1_sizes(data))


def test_av1_data_of_endless_small_units_is_a_header_error() -> None:
    with pytest.raises(HeaderError, match="too many parts"):
        list(av1_sizes(b"\x12\0" * 100_000))
