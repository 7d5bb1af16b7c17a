"""Frames: base64 in every spelling, pixels as Pillow decodes them, and files as they were received."""

from __future__ import annotations

import binascii
import os
import pickle
import stat
import sys
import warnings
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from random import Random
from struct import pack
from typing import Any
from zlib import compress

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from imgassemble import Frame, FrameDecodeError, FrameEncodingError, LimitError, Limits, SinkError, UsageError
from imgassemble.frames.base64_json import decode_base64
from imgassemble.frames.containers import animation_of, read_header, still_of
from imgassemble.frames.exif import exif_orientation
from imgassemble.frames.frame import Payload, disagreements, read_frame
from imgassemble.frames.gif import gif_blocks
from imgassemble.frames.jpeg import jpeg_segments
from imgassemble.frames.pixels import import_plugin
from imgassemble.frames.png import find_damaged_chunks, png_chunks
from imgassemble.frames.webp import webp_chunks

HAS_AVIF = samples.has_avif()
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", *(("AVIF",) if HAS_AVIF else ()))
needs_avif = pytest.mark.skipif(not HAS_AVIF, reason="this Pillow has no AVIF")
ANIMATED = ("PNG", "WEBP", "GIF", *(("AVIF",) if HAS_AVIF else ()))
WHITE_SPACE = " \t\r\n\f\v"


def _picture(mode: str = "RGB", size: tuple[int, int] = (40, 30), seed: int = 3) -> Image.Image:
    return Image.frombytes("RGB", size, Random(seed).randbytes(3 * size[0] * size[1])).convert(mode)


def _written(image: Image.Image, form: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _frame(data: bytes, *, index: float | None = None, is_final: bool = False, **more: Any) -> Frame:
    header = read_header(data)
    return Frame(data=data, format=header.format, size=header.size, index=index, is_final=is_final, **more)


def _read(data: bytes | str, limits: Limits | None = None, known: tuple[Frame, ...] = (), **more: Any) -> Frame:
    text = data if isinstance(data, str) else samples.b64(data)
    return read_frame(Payload(base64=text, event_type="t", **more), "ig_1", limits or Limits(), known)


def _pixels_of(data: bytes) -> tuple[str, tuple[int, int], bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(BytesIO(data)) as image:
            image.load()
            return image.mode, image.size, image.tobytes()


# ---- base64

_SPELLINGS: dict[str, Callable[[bytes], str]] = {
    "standard": lambda data: b64encode(data).decode(),
    "url-safe": lambda data: urlsafe_b64encode(data).decode(),
    "unpadded": lambda data: b64encode(data).decode().rstrip("="),
    "url-safe, unpadded": lambda data: urlsafe_b64encode(data).decode().rstrip("="),
    "in lines": lambda data: "\r\n".join(samples.b64(data)[at : at + 7] for at in range(0, len(data) * 2, 7)),
    "as a data URL": lambda data: "data:image/png;base64," + samples.b64(data),
    "as a data URL of another case": lambda data: "DATA:image/webp;charset=x;BASE64," + samples.b64(data),
    "as a data URL with a space": lambda data: "data:image/png;base64, " + samples.b64(data),
    "as a data URL with a tab before its comma": lambda data: "data:image/png;base64\t," + samples.b64(data),
    "as a data URL without a type": lambda data: "data:;base64," + urlsafe_b64encode(data).decode().rstrip("="),
}


@pytest.mark.parametrize("spelling", sorted(_SPELLINGS))
@given(data=st.binary(min_size=1, max_size=100))
def test_every_spelling_of_base64_is_read(spelling: str, data: bytes) -> None:
    assert decode_base64(_SPELLINGS[spelling](data)) == data


@given(data=st.binary(min_size=1, max_size=60), places=st.lists(st.integers(0, 99)), space=st.sampled_from(WHITE_SPACE))
def test_white_space_may_stand_anywhere(data: bytes, places: list[int], space: str) -> None:
    text = list(samples.b64(data))
    for place in places:
        text.insert(place % (len(text) + 1), space)
    assert decode_base64("".join(text)) == data


@given(st.text("ABCabc019+/-_= \n", max_size=24) | st.text(max_size=12))
def test_base64_is_read_as_strict_binascii_reads_it_or_is_a_value_error(text: str) -> None:
    plain = "".join(each for each in text if each not in WHITE_SPACE).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        expected = binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except ValueError:
        expected = b""
    if not plain.isascii() or "=" in plain or len(plain) % 4 == 1:
        expected = b""
    if expected:
        assert decode_base64(text) == expected
    else:
        with pytest.raises(ValueError):
            decode_base64(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "=", " ", "data:image/png;base64,", "data:image/png;base64", "data:image/png,QUJD", "data:", "Q", "QUJDR",
        "QUJD...", "QUJD!", "QU*D", "QUJDé", "\ud800", "https://example.org/a.png", "HTTP://x/QUJD", "blob:sha256:ab",
        "QQ==QQ==", "\0QUJD", "AAAA\x00",
    ],
)  # fmt: skip
def test_text_that_is_not_base64_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        decode_base64(text)


def test_the_error_of_bad_base64_names_item_and_index_and_holds_no_text() -> None:
    with pytest.raises(FrameEncodingError) as caught:
        _read("SECRETsecret" * 50 + "...", index=3)
    assert (caught.value.item_id, caught.value.index) == ("ig_1", 3)
    assert "partial 3" in str(caught.value)
    assert "'ig_1'" in str(caught.value)
    assert "secret" not in repr(caught.value).lower()
    assert isinstance(caught.value.__cause__, ValueError)


# ---- reading a payload


@pytest.mark.parametrize("form", FORMATS)
def test_a_payload_becomes_a_frame_of_its_bytes(form: str) -> None:
    data = samples.picture(form)
    frame = _read(data, index=2, sequence_number=7)
    assert (frame.data, frame.format, frame.size, frame.index) == (data, form, (8, 6), 2)
    assert (frame.sequence_number, frame.event_type, frame.is_final) == (7, "t", False)


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_cut_at_any_byte_is_a_frame_decode_error(form: str) -> None:
    data = samples.picture(form)
    for at in range(1, len(data), 1 if len(data) < 500 else 7):
        with pytest.raises(FrameDecodeError) as caught:
            _read(data[:at], index=1)
        assert (caught.value.item_id, caught.value.index) == ("ig_1", 1)


@pytest.mark.parametrize("form", ["BMP", "TIFF", "PPM", "ICO"])
def test_another_format_is_a_frame_decode_error_under_any_name(form: str) -> None:
    data = samples.picture(form, 16, 16)
    for claim in (None, "png", form.lower()):
        with pytest.raises(FrameDecodeError, match="is no PNG, JPEG, WebP, GIF, AVIF or SVG"):
            _read(data, claimed_format=claim)


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_that_is_not_allowed_is_a_limit_error_under_any_name(form: str) -> None:
    others = tuple(each for each in FORMATS if each != form)
    for claim in (None, others[0].lower(), form.lower()):
        with pytest.raises(LimitError) as caught:
            _read(samples.picture(form), Limits(formats=others), claimed_format=claim)
        assert (caught.value.limit, caught.value.actual, caught.value.item_id) == ("formats", form, "ig_1")


def test_a_frame_at_the_limits_is_kept_and_one_beyond_is_a_limit_error() -> None:
    data = samples.png(4, 3)
    at_limit = Limits(max_frame_bytes=len(data), max_frame_pixels=12)
    assert _read(data, at_limit).size == (4, 3)
    for limits, name, actual in (
        (Limits(max_frame_bytes=len(data) - 1), "max_frame_bytes", len(data)),
        (Limits(max_frame_pixels=11), "max_frame_pixels", 12),
    ):
        with pytest.raises(LimitError) as caught:
            _read(data, limits)
        assert (caught.value.limit, caught.value.actual, caught.value.item_id) == (name, actual, "ig_1")
        assert name in str(caught.value)


def test_a_drawing_is_kept_and_saved_and_has_no_pixels(tmp_path: Path) -> None:
    data = b'<svg width="4" height="3"><rect/></svg>'
    frame = _read(data)
    assert (frame.format, frame.size, frame.mime_type, frame.suffix) == ("SVG", (4, 3), "image/svg+xml", ".svg")
    assert frame.save(tmp_path / "a.svg").read_bytes() == data
    for decode in (frame.decode, lambda: frame.thumbnail((2, 2)), frame.animation, lambda: frame.encode((2, 2))):
        with pytest.raises(FrameDecodeError, match="without pixels"):
            decode()


def test_a_drawing_that_tells_no_size_has_none() -> None:
    frame = _read(b"<svg><rect/></svg>", claimed_size="8x6")
    assert frame.size is None
    assert frame.as_dict()["size"] is None
    assert repr(frame) == "<Frame result, SVG, 18 bytes>"
    for drawing in (frame, _read(b'<svg width="4" height="3"/>')):
        assert disagreements(drawing, Payload(base64="", event_type="t", claimed_size="8x6")) == []


def test_a_drawing_is_refused_if_the_limits_do_not_name_it() -> None:
    for size in ('width="4" height="3"', ""):
        with pytest.raises(LimitError) as refused:
            _read(f"<svg {size}><rect/></svg>".encode(), Limits(formats=("PNG", "JPEG")))
        assert (refused.value.limit, refused.value.actual) == ("formats", "SVG")
    with pytest.raises(LimitError, match="1073741824x1073741824 pixels"):
        _read(b'<svg width="1073741824" height="1073741824"/>')


@pytest.mark.parametrize("rest", [b"", b"<svg " * 400_000, b"</svg>" * 300_000])
def test_a_drawing_is_not_read_if_the_limits_do_not_name_it(rest: bytes) -> None:
    with pytest.raises(LimitError) as refused:
        _read(b"<svg>" + rest, Limits(formats=("PNG",)))
    assert (refused.value.limit, refused.value.actual) == ("formats", "SVG")


def test_a_bomb_is_refused_by_its_header_alone() -> None:
    header = pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        samples.png_chunk(kind, body) for kind, body in ((b"IHDR", header), (b"IDAT", compress(b"")), (b"IEND", b""))
    )
    with pytest.raises(LimitError, match="60000x60000"):
        _read(bomb)


def test_equal_bytes_share_one_buffer() -> None:
    first = _read(samples.png(), index=0)
    second = _read(samples.png(), known=(_read(samples.png(2, 2)), first), is_final=True)
    assert second.data is first.data
    assert second != first


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({}, []),
        ({"claimed_format": "png", "claimed_size": "8x6"}, []),
        ({"claimed_format": "image/png", "claimed_size": "auto"}, []),
        ({"claimed_format": "PNG", "claimed_size": "8×6"}, []),
        ({"claimed_format": "jpeg"}, ["is PNG and not jpeg"]),
        ({"claimed_format": "image/jpg"}, ["is PNG and not jpeg"]),
        ({"claimed_size": "1024x1024"}, ["is 8x6 pixels and not 1024x1024"]),
        ({"claimed_format": "a\x1b[2J", "claimed_size": "6x8"}, ["is PNG and not a [2j", "is 8x6 pixels and not 6x8"]),
    ],
)
def test_claims_that_the_bytes_contradict_are_listed(claims: dict[str, str], said: list[str]) -> None:
    payload = Payload(base64="", event_type="t", **claims)  # type: ignore[arg-type]
    assert disagreements(_frame(samples.picture("PNG")), payload) == said


def test_jpg_is_jpeg() -> None:
    for claim in ("jpg", "JPEG", "image/jpeg", "image/jpg"):
        payload = Payload(base64="", event_type="t", claimed_format=claim)
        assert disagreements(_frame(samples.picture("JPEG")), payload) == []


# ---- the value


def test_frames_are_equal_when_index_is_final_and_data_are() -> None:
    data = samples.png()
    frame = _frame(data, index=1)
    assert frame == _frame(bytes(bytearray(data)), index=1, sequence_number=9, event_type="other")
    assert hash(frame) == hash(_frame(data, index=1, sequence_number=9))
    assert frame != _frame(data, index=2)
    assert frame != _frame(data, index=1, is_final=True)
    assert frame != _frame(samples.png(2), index=1)


@pytest.mark.parametrize(
    ("form", "mime_type", "suffix"),
    [
        ("PNG", "image/png", ".png"),
        ("JPEG", "image/jpeg", ".jpg"),
        ("WEBP", "image/webp", ".webp"),
        ("GIF", "image/gif", ".gif"),
        pytest.param("AVIF", "image/avif", ".avif", marks=needs_avif),
    ],
)
def test_a_frame_has_a_mime_type_a_suffix_a_digest_and_a_data_url(form: str, mime_type: str, suffix: str) -> None:
    frame = _frame(samples.picture(form))
    assert (frame.mime_type, frame.suffix) == (mime_type, suffix)
    assert frame.sha256 == frame.sha256 == sha256(frame.data).hexdigest()
    prefix, _, text = frame.data_url.partition(",")
    assert prefix == f"data:{mime_type};base64"
    assert b64decode(text, validate=True) == frame.data
    assert decode_base64(frame.data_url) == frame.data


def test_a_frame_cannot_be_changed() -> None:
    frame = _frame(samples.png())
    for name in ("data", "index", "size", "unheard_of"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(frame, name, None)


def test_a_frame_can_be_pickled() -> None:
    frame = _frame(samples.png(), index=0.5, sequence_number=3, event_type="t")
    again = pickle.loads(pickle.dumps(frame))
    assert (again, again.sha256, again.sequence_number) == (frame, frame.sha256, 3)


def test_repr_and_facts_hold_no_data() -> None:
    data = _written(_picture(), "PNG")
    frame = _frame(data, index=1)
    for shown in (repr(frame), str(frame), repr([frame]), repr(frame.as_dict())):
        assert len(shown) < 400
        assert samples.b64(data)[40:60] not in shown
        assert repr(data[40:50])[2:-1] not in shown
    assert repr(frame) == f"<Frame partial 1, PNG 40x30, {len(data):,} bytes>"
    assert repr(_frame(samples.png(), is_final=True)) == f"<Frame result, PNG 1x1, {len(samples.png())} bytes>"


def test_the_facts_of_a_frame_are_json_able() -> None:
    frame = _frame(samples.png(2, 3), index=1, sequence_number=4, event_type="t")
    assert frame.as_dict() == {
        "index": 1,
        "is_final": False,
        "sequence_number": 4,
        "event_type": "t",
        "format": "PNG",
        "size": [2, 3],
        "bytes": len(frame.data),
        "sha256": frame.sha256,
    }


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_notebook_gets_the_picture_and_a_line_of_text(form: str) -> None:
    frame = _frame(samples.picture(form))
    bundle = frame._repr_mimebundle_(include=None, exclude=None)
    assert bundle["text/plain"] == repr(frame)
    assert b64decode(bundle[frame.mime_type]) == frame.data


def test_a_notebook_gets_a_drawing_inside_of_an_img_element() -> None:
    frame = _frame(b'<svg width="4" height="3"><script>alert(1)</script></svg>')
    bundle = frame._repr_mimebundle_()
    assert bundle == {"text/plain": repr(frame), "text/html": f'<img alt="SVG" src="{frame.data_url}">'}
    assert "<script" not in bundle["text/html"]


# ---- pixels

_MODES = [
    *(("PNG", mode) for mode in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")),
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(("WEBP", mode) for mode in ("RGB", "RGBA")),
    *(("GIF", mode) for mode in ("1", "L", "P")),
    *(("AVIF", mode) for mode in ("L", "RGB", "RGBA") if HAS_AVIF),
]


def _in_mode(form: str, mode: str, size: tuple[int, int] = (40, 30)) -> bytes:
    image = _picture("L", size).convert("I").convert(mode) if mode == "I;16" else _picture(mode, size)
    return _written(image, form)


@pytest.mark.parametrize(("form", "mode"), _MODES)
def test_decode_gives_the_pixels_that_pillow_gives(form: str, mode: str) -> None:
    data = _in_mode(form, mode)
    image = _frame(data).decode()
    assert (image.mode, image.size, image.tobytes()) == _pixels_of(data)


def test_decode_gives_a_new_loaded_image_each_time() -> None:
    frame = _frame(samples.png(3, 3))
    first = frame.decode()
    first.putpixel((0, 0), (1, 2, 3))
    second = frame.decode()
    assert second is not first
    assert second.getpixel((0, 0)) == (200, 60, 20)
    assert getattr(second, "fp", None) is None


@pytest.mark.parametrize(("form", "mode"), _MODES)
def test_thumbnail_gives_a_smaller_image_in_every_mode(form: str, mode: str) -> None:
    frame = _frame(_in_mode(form, mode, (240, 180)))
    assert [frame.thumbnail((width, 200)).size for width in (160, 100, 20, 4)] == [
        (160, 120),
        (100, 75),
        (20, 15),
        (4, 3),
    ]


@given(
    form=st.sampled_from(FORMATS),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    box=st.tuples(st.integers(1, 120), st.integers(1, 120)),
)
def test_thumbnail_fits_keeps_the_aspect_and_never_enlarges(
    form: str, size: tuple[int, int], box: tuple[int, int]
) -> None:
    width, height = _frame(samples.picture(form, *size)).thumbnail(box).size
    assert 1 <= width <= min(size[0], box[0])
    assert 1 <= height <= min(size[1], box[1])
    scale = min(1.0, box[0] / size[0], box[1] / size[1])
    assert abs(width - size[0] * scale) <= 1
    assert abs(height - size[1] * scale) <= 1


def test_thumbnail_of_a_picture_that_fits_is_the_picture() -> None:
    data = _in_mode("PNG", "RGB")
    preview = _frame(data).thumbnail((40, 30))
    assert (preview.mode, preview.size, preview.tobytes()) == _pixels_of(data)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (5,), (0, 0), ("a", 1), (1, 2, 3)])
def test_a_thumbnail_of_an_impossible_size_is_not_reported_as_damage(size: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:  # UsageError is a ValueError
        _frame(samples.png(3, 3)).thumbnail(size)
    assert not isinstance(caught.value, FrameDecodeError)


def test_a_thumbnail_of_two_numbers_is_a_usage_error_with_the_right_call() -> None:
    with pytest.raises(UsageError, match=r"thumbnail\(\(256, 128\)\)"):
        _frame(samples.png(3, 3)).thumbnail(256, 128)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(float("inf"), float("inf")), (float("nan"), 5), (2**31, 5), 5, None, "55", {5, 6}])
def test_a_thumbnail_of_a_wrong_size_is_a_usage_error(size: Any) -> None:
    with pytest.raises(UsageError, match="width, height"):
        _frame(samples.png(3, 3)).thumbnail(size)


def test_many_threads_may_decode_one_frame() -> None:
    frames = [_frame(_in_mode(form, "L")) for form in ("PNG", "JPEG", "GIF")]
    expected = {frame: frame.decode().tobytes() for frame in frames}
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda at: (frames[at % 3], frames[at % 3].decode()), range(120)))
        small = list(pool.map(lambda at: frames[at % 3].thumbnail((9, 9)).size, range(120)))
    assert all(image.tobytes() == expected[frame] for frame, image in images)
    assert set(small) == {(9, 7)}


# ---- pictures that make Pillow warn or stumble, although their pixels are sound


def _with_chunks(data: bytes, *chunks: bytes) -> bytes:
    return data[:33] + b"".join(chunks) + data[33:]


def _with_segments(data: bytes, *segments: tuple[int, bytes]) -> bytes:
    put = b"".join(bytes([0xFF, marker]) + pack(">H", len(body) + 2) + body for marker, body in segments)
    return data[:20] + put + data[20:]  # behind the JFIF segment


_BAD_EXIF = b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\3\xff\xff\xff\xff" * 4
_MPF = b"MPF\0MM\0*\0\0\0\x08\0\x03\xb0\0\0\7\0\0\0\x040100\xb0\1\0\4\0\0\0\1\0\0\0\2\xb0\2\0\7\0\0\0\x20\xff\xff\xff\0"


@cache
def _odd_pictures() -> dict[str, tuple[bytes, bytes]]:
    """Each picture with metadata, and the plain one with the same pixels."""
    png, jpeg = _written(_picture(), "PNG"), _written(_picture(), "JPEG")
    webp = _written(_picture(), "WEBP")
    text_bomb = samples.png_chunk(b"zTXt", b"Comment\0\0" + compress(bytes(PngImagePlugin.MAX_TEXT_CHUNK * 4)))
    apng = (samples.png_chunk(b"acTL", pack(">II", 3, 0)), samples.png_chunk(b"fcTL", bytes(26)))
    icc = b"ICC_PROFILE\0"
    return {
        "PNG with EXIF that is broken": (_with_chunks(png, samples.png_chunk(b"eXIf", _BAD_EXIF)), png),
        "PNG with a text bomb": (_with_chunks(png, text_bomb), png),
        "PNG with 100 texts": (_with_chunks(png, *[samples.png_chunk(b"tEXt", b"a\0" + b"x" * 9)] * 100), png),
        "PNG with a text that is broken": (_with_chunks(png, samples.png_chunk(b"zTXt", b"a\0\0broken")), png),
        "PNG with a text in no language": (_with_chunks(png, samples.png_chunk(b"iTXt", b"a\0\7\7")), png),
        "PNG with an ICC profile that is broken": (_with_chunks(png, samples.png_chunk(b"iCCP", b"a\0\0broken")), png),
        "PNG with chunks that are too short": (
            _with_chunks(png, *(samples.png_chunk(kind) for kind in (b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tIME"))),
            png,
        ),
        "PNG with C2PA": (_with_chunks(png, samples.png_chunk(b"caBX", bytes(3_000))), png),
        "PNG with an animation of three that has none": (_with_chunks(png, *apng), png),
        "PNG with an animation of none": (_with_chunks(png, samples.png_chunk(b"acTL", pack(">II", 0, 0))), png),
        "PNG with an animation cut short": (_with_chunks(png, samples.png_chunk(b"acTL", b"\0")), png),
        "PNG with two animations": (_with_chunks(png, apng[0], apng[0]), png),
        "PNG with a text whose CRC is wrong": (_with_chunks(png, samples.png_chunk(b"tEXt", b"a\0b")[:-1] + b"?"), png),
        "PNG with bytes behind its end": (png + bytes(100), png),
        "JPEG with EXIF that is broken": (_with_segments(jpeg, (0xE1, b"Exif\0\0" + _BAD_EXIF)), jpeg),
        "JPEG with EXIF that is empty": (_with_segments(jpeg, (0xE1, b"Exif\0\0")), jpeg),
        "JPEG with MPF": (_with_segments(jpeg, (0xE2, _MPF)), jpeg),
        "JPEG with MPF that is broken": (_with_segments(jpeg, (0xE2, b"MPF\0MM\0*\0\0")), jpeg),
        "JPEG with an ICC profile of five parts": (_with_segments(jpeg, (0xE2, icc + b"\1\5abc")), jpeg),
        "JPEG with an ICC profile cut short": (_with_segments(jpeg, (0xE2, icc)), jpeg),
        "JPEG with Photoshop's segment broken": (_with_segments(jpeg, (0xED, b"Photoshop 3.0\x008BIM\xff\xff")), jpeg),
        "JPEG with C2PA": (_with_segments(jpeg, (0xEB, b"JP" + bytes(3_000))), jpeg),
        "JPEG with Adobe's segment cut short": (_with_segments(jpeg, (0xEE, b"Adobe")), jpeg),
        "JPEG with a second JFIF cut short": (_with_segments(jpeg, (0xE0, b"JFIF\0")), jpeg),
        "JPEG with a comment": (_with_segments(jpeg, (0xFE, b"\xff\xd9" * 9)), jpeg),
        "JPEG with bytes behind its end": (jpeg + b"\xff\xd8" * 50, jpeg),
        "WebP with EXIF that is broken": (_written(_picture(), "WEBP", exif=b"Exif\0\0" + _BAD_EXIF), webp),
        "WebP with an ICC profile that is broken": (_written(_picture(), "WEBP", icc_profile=b"broken"), webp),
        "WebP with bytes behind its end": (webp + bytes(9), webp),
    }


@pytest.mark.parametrize("name", sorted(_odd_pictures()))
def test_a_sound_picture_decodes_without_warnings_with_any_metadata(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    odd, plain = _odd_pictures()[name]
    frame = _read(odd)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        image = frame.decode()
        preview = frame.thumbnail((9, 9))
    assert (image.mode, image.size, image.tobytes()) == _pixels_of(plain)
    assert preview.size == (9, 7)
    assert [str(each.message) for each in warned] == []
    assert capfd.readouterr() == ("", "")
    assert frame.data == odd


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_colour_profile_stays_for_it_says_how_the_pixels_look(form: Any) -> None:
    profile = bytes(range(256)) * 12
    assert _frame(_written(_picture(), form, icc_profile=profile)).decode().info["icc_profile"] == profile


_PROFILES = {
    "without a name": b"\0\0" + compress(b"x"),
    "with a name too long": b"a" * 80 + b"\0\0" + compress(b"x"),
    "packed by no method that exists": b"a\0\1" + compress(b"x"),
    "cut short": b"a\0\0" + compress(bytes(range(256)))[:-3],
    "that is a bomb": b"a\0\0" + compress(bytes(PngImagePlugin.MAX_TEXT_CHUNK * 4)),
    "of nothing": b"",
}


@pytest.mark.parametrize("name", _PROFILES)
def test_a_png_is_shown_without_a_colour_profile_that_is_broken(name: str) -> None:
    png = _written(_picture(), "PNG")
    image = _read(_with_chunks(png, samples.png_chunk(b"iCCP", _PROFILES[name]))).decode()
    assert "icc_profile" not in image.info
    assert image.tobytes() == _pixels_of(png)[2]


def test_a_png_is_shown_without_a_colour_profile_whose_crc_is_wrong() -> None:
    png = _written(_picture(), "PNG")
    chunk = samples.png_chunk(b"iCCP", b"a\0\0" + compress(b"x"))
    assert "icc_profile" not in _read(_with_chunks(png, chunk[:-1] + b"?")).decode().info


@pytest.mark.parametrize("name", [*sorted(_odd_pictures()), "GIF with a comment"])
def test_metadata_that_does_not_concern_pixels_is_left_out_of_the_image(name: str) -> None:
    gif = _written(_picture("P"), "GIF", comment=b"by a painter")
    image = _frame(gif if name.startswith("GIF") else _odd_pictures()[name][0]).decode()
    assert {"exif", "xmp", "comment", "Comment", "photoshop", "mp", "a"} & set(image.info) == set()
    assert dict(image.getexif()) == {}


def test_some_of_these_pictures_do_make_pillow_warn_or_stumble() -> None:
    trouble = 0
    for odd, _ in _odd_pictures().values():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                with Image.open(BytesIO(odd)) as image:
                    image.load()
            except Exception:  # noqa: BLE001 - any exception of Pillow
                trouble += 1
    assert trouble >= 5


@pytest.mark.parametrize("form", ANIMATED)
def test_of_an_animation_the_first_picture_is_shown(form: str) -> None:
    frames = [_picture("L", seed=seed) for seed in range(3)]
    data = _written(frames[0], form, save_all=True, append_images=frames[1:], duration=50)
    still = _pixels_of(data)
    image = _frame(data).decode()
    assert (image.mode, image.size, image.tobytes()) == still


def _settings() -> list[Any]:
    return [
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, ImageFile.MAXBLOCK, PngImagePlugin.MAX_TEXT_CHUNK,
        PngImagePlugin.MAX_TEXT_MEMORY, list(warnings.filters), warnings.showwarning,
    ]  # fmt: skip


def test_pillows_globals_and_the_warning_filters_stay_as_they_are() -> None:
    before = _settings()
    for odd, _ in _odd_pictures().values():
        _frame(odd).decode()
        _frame(odd).thumbnail((5, 5))
    with pytest.raises(FrameDecodeError):
        _frame(_damaged()["PNG"]).decode()
    assert _settings() == before


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of Pillow's decoders, as they are opened."""
    names: list[str] = []
    Image.init()

    def recording(name: str, factory: Callable[..., Any]) -> Callable[..., Any]:
        def open_it(*arguments: Any) -> Any:
            names.append(name)
            return factory(*arguments)

        return open_it

    for name, (factory, accepts) in list(Image.OPEN.items()):
        monkeypatch.setitem(Image.OPEN, name, (recording(name, factory), accepts))
    return names


@pytest.mark.parametrize("form", FORMATS)
def test_only_the_frames_own_decoder_is_opened(form: str, opened: list[str]) -> None:
    frame = _read(samples.picture(form))
    assert opened == []
    frame.decode()
    frame.thumbnail((3, 3))
    assert opened == [form, form]


@pytest.mark.parametrize("stranger", ["BMP", "TIFF", "ICO", "PPM", "GIF"])
def test_a_stranger_under_a_png_claim_reaches_no_decoder(stranger: str, opened: list[str]) -> None:
    data = samples.picture(stranger, 16, 16)
    with pytest.raises((FrameDecodeError, LimitError)):
        _read(data, Limits(formats=("PNG",)), claimed_format="png")
    with pytest.raises(FrameDecodeError):
        Frame(data=data, format="PNG", size=(16, 16)).decode()
    assert set(opened) <= {"PNG"}


def test_the_library_opens_no_picture_before_it_is_asked_for_pixels(opened: list[str]) -> None:
    from imgassemble import assemble

    result = assemble([samples.partial(index=0), samples.partial(index=1), samples.done(content=samples.png(4, 4))])
    assert result.final is not None
    assert repr(result.items)
    assert opened == []


# ---- damaged pixels


@cache
def _damaged() -> dict[str, bytes]:
    """Pictures whose structure is whole and whose pixels are not."""
    png = samples.png(20, 20)
    at = png.index(b"IDAT") + 4
    jpeg = _written(_picture(), "JPEG")
    tables = jpeg.index(b"\xff\xdb")
    gif = _written(_picture("P"), "GIF")
    lossless = _written(_picture(), "WEBP", lossless=True)
    return {
        "PNG": png[: at + 6] + bytes([png[at + 6] ^ 0xFF]) + png[at + 7 :],
        "PNG with no rows": _png_of(b"broken", 20, 20),
        "JPEG without its tables": jpeg[:tables] + jpeg[jpeg.index(b"\xff\xc0") :],
        "WEBP": lossless[:40] + bytes(len(lossless) - 40),
        "GIF of an impossible code size": gif[: (at := gif.index(b",")) + 10] + b"\x0d" + gif[at + 11 :],
    }


def _png_of(pixels: bytes, width: int, height: int) -> bytes:
    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(samples.png_chunk(kind, body) for kind, body in chunks)


@pytest.mark.parametrize("name", sorted(_damaged()))
def test_damaged_pixels_are_a_frame_decode_error_from_its_cause(name: str) -> None:
    frame = _frame(_damaged()[name], index=4)
    for decode in (frame.decode, lambda: frame.thumbnail((3, 3))):
        with pytest.raises(FrameDecodeError) as caught:
            decode()
        assert caught.value.index == 4
        assert caught.value.__cause__ is not None
        assert "partial 4" in str(caught.value)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("size", [(4, 4), (4_000, 4_000)])
@pytest.mark.parametrize("name", sorted(_damaged()))
def test_a_thumbnail_of_damaged_pixels_is_a_frame_decode_error_at_any_size(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(FrameDecodeError):
        _frame(_damaged()[name]).thumbnail(size)


@given(
    form=st.sampled_from(FORMATS),
    edits=st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_every_frame_decodes_or_is_a_frame_decode_error(form: str, edits: list[tuple[int, int]]) -> None:
    data = bytearray(samples.picture(form))
    for at, value in edits:
        data[at % len(data)] = value
    try:
        frame = _read(bytes(data), Limits(max_frame_pixels=1_000_000))
    except (FrameDecodeError, LimitError):
        return
    for decode in (frame.decode, lambda: frame.thumbnail((3, 3))):
        with suppress(FrameDecodeError):
            width, height = decode().size
            assert (width, height) == frame.size or max(width, height) == 3


# ---- saving


@pytest.mark.parametrize("form", FORMATS)
def test_save_writes_the_bytes_as_received_and_gives_the_path(form: str, tmp_path: Path) -> None:
    frame = _frame(_odd_pictures()["PNG with C2PA"][0] if form == "PNG" else samples.picture(form))
    path = tmp_path / f"otter{frame.suffix}"
    assert frame.save(str(path)) == path
    assert path.read_bytes() == frame.data
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_save_gives_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        path = _frame(samples.png()).save(tmp_path / "a.png")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_save_replaces_a_file_that_stands_there(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    _frame(samples.png()).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == samples.png()


@pytest.mark.parametrize("name", ["missing/a.png", "folder.png", "a\0b.png"])
def test_a_failed_write_is_a_sink_error_with_its_path(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SinkError) as caught:
        _frame(samples.png()).save(tmp_path / name)
    assert caught.value.path == str(tmp_path / name)
    assert [each.name for each in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("name", ["otter", "otter.", ".otter", "two words"])
def test_save_adds_the_suffix_to_a_name_without_one(name: str, tmp_path: Path) -> None:
    path = _frame(samples.picture("JPEG")).save(tmp_path / name)
    assert path == tmp_path / (name.rstrip(".") + ".jpg")
    assert path.read_bytes() == samples.picture("JPEG")


@pytest.mark.parametrize(
    ("form", "name"), [("JPEG", "a.jpeg"), ("JPEG", "a.JPG"), ("JPEG", "a.jfif"), ("PNG", "a.apng"), ("GIF", "a.GIF")]
)
def test_save_takes_every_suffix_of_the_format(form: str, name: str, tmp_path: Path) -> None:
    assert _frame(samples.picture(form)).save(tmp_path / name) == tmp_path / name


def test_a_path_that_ends_as_a_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder: add the name of a file"):
        _frame(samples.png()).save(f"{tmp_path}/otters/")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["otter.png", "otter.PNG", "otter.webp", "otter.txt", "otter.jpg.bak"])
def test_a_suffix_of_another_format_is_a_usage_error_unless_the_path_is_taken_as_it_is(
    name: str, tmp_path: Path
) -> None:
    frame = _frame(samples.picture("JPEG"))
    with pytest.raises(UsageError, match=r"the picture is JPEG, and the name .* '\.jpg', or pass as_is=True"):
        frame.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    assert frame.save(tmp_path / name, as_is=True).read_bytes() == frame.data
    assert frame.save(tmp_path / "bare", as_is=True) == tmp_path / "bare"


# ---- upright


_TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _corners(image: Image.Image) -> list[bool]:
    """Whether each corner is red: the upper two, then the lower two."""
    image = image.convert("RGB")
    right, bottom = image.width - 1, image.height - 1
    pixels = [image.getpixel(at) for at in ((0, 0), (right, 0), (0, bottom), (right, bottom))]
    return [isinstance(pixel, tuple) and pixel[0] > 150 > pixel[2] for pixel in pixels]


def _with_red_corner(size: tuple[int, int] = (64, 32)) -> Image.Image:
    image = Image.new("RGB", size, (10, 10, 200))
    image.paste((250, 10, 10), (0, 0, size[0] // 2, size[1] // 2))
    return image


def _exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


_TURNED = [(form, orientation) for form in ("JPEG", "PNG", "WEBP") for orientation in range(1, 9)]
_TURNED += [("AVIF", orientation) for orientation in range(1, 9) if HAS_AVIF]


@pytest.mark.parametrize(("form", "orientation"), _TURNED)
def test_a_picture_is_upright_as_browsers_show_it(form: str, orientation: int) -> None:
    stored = _with_red_corner()
    turn = _TURNS[orientation]
    upright = stored if turn is None else stored.transpose(turn)
    frame = _frame(_written(stored, form, exif=_exif_of(orientation)))
    assert frame.size == upright.size
    image = frame.decode()
    assert (image.size, _corners(image)) == (upright.size, _corners(upright))
    assert sum(_corners(image)) == 1
    small = frame.thumbnail((16, 16))
    assert (max(small.size), _corners(small)) == (16, _corners(upright))
    ((animated, seconds),) = frame.animation()
    assert (_corners(animated), seconds) == (_corners(upright), 0)
    with Image.open(BytesIO(frame.encode((16, 16), "PNG"))) as encoded:
        assert (encoded.size, _corners(encoded)) == (small.size, _corners(upright))


@pytest.mark.parametrize("exif", [
    b"", b"Exif\0\0", b"MM\0*", b"MM\0*\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x09\0\0", b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\0\0\0",
    b"MM\0*\0\0\0\x08\0\1\x01\x12\0\4\0\0\0\1\0\6\0\0", b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\2\0\6\0\0",
    b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0",
])  # fmt: skip
def test_an_orientation_that_cannot_be_read_is_upright(exif: bytes) -> None:
    assert exif_orientation(exif) == 1
    png = _with_chunks(_written(_with_red_corner(), "PNG"), samples.png_chunk(b"eXIf", exif))
    assert _frame(png).size == _frame(png).decode().size == (64, 32)


def test_the_orientation_in_a_damaged_chunk_is_not_used() -> None:
    png = _written(_with_red_corner(), "PNG", exif=_exif_of(6))
    assert (_frame(png).size, _frame(_with_damage(png, b"eXIf")).size) == ((32, 64), (64, 32))


def test_an_orientation_is_read_in_both_byte_orders_and_after_other_entries() -> None:
    other = pack(">HHII", 0x010F, 3, 1, 5 << 16)
    big = b"MM\0*" + pack(">IH", 8, 2) + other + pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    little = b"II*\0" + pack("<IH", 8, 1) + pack("<HHIHH", 0x0112, 3, 1, 7, 0)
    assert (exif_orientation(big), exif_orientation(b"Exif\0\0" + little)) == (6, 7)


# ---- animations

_COLOURS = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]


def _animated(form: str, durations: list[int], size: tuple[int, int] = (32, 24), **options: Any) -> bytes:
    """An animation of one colour after the other, with the milliseconds of each."""
    first, *others = (Image.new("RGB", size, _COLOURS[at % 3]) for at in range(len(durations)))
    return _written(first, form, save_all=True, append_images=others, duration=durations, **options)


def _shown(frame: Frame) -> list[tuple[Any, float]]:
    """The strongest colour in the middle of each picture of an animation, and its seconds."""
    shown = []
    for image, seconds in frame.animation():
        assert (image.size, image.mode in ("RGB", "RGBA")) == (frame.size, True)
        pixel = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
        assert isinstance(pixel, tuple)
        shown.append((pixel.index(max(pixel)), round(seconds, 3)))
    return shown


@pytest.mark.parametrize("form", ANIMATED)
def test_an_animation_gives_each_picture_with_its_seconds(form: str) -> None:
    frame = _frame(_animated(form, [200, 50, 100, 40]))
    assert _shown(frame) == [(0, 0.2), (1, 0.05), (2, 0.1), (0, 0.04)]
    assert _shown(frame) == _shown(frame)


@pytest.mark.parametrize("form", FORMATS)
def test_a_still_picture_is_an_animation_of_one(form: str) -> None:
    frame = _frame(_written(Image.new("RGB", (32, 24), _COLOURS[1]), form))
    assert _shown(frame) == [(1, 0.0)]


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF"])
def test_a_very_short_duration_is_a_tenth_of_a_second_as_in_browsers(form: str) -> None:
    assert [seconds for _, seconds in _shown(_frame(_animated(form, [10, 20, 10])))] == [0.1, 0.02, 0.1]


def test_the_picture_for_programs_without_animation_is_not_part_of_a_png_animation() -> None:
    first, *others = (Image.new("RGB", (32, 24), colour) for colour in _COLOURS)
    data = _written(first, "PNG", save_all=True, append_images=others, default_image=True, duration=100)
    frame = _frame(data)
    assert [colour for colour, _ in _shown(frame)] == [1, 2]
    assert frame.decode().convert("RGB").getpixel((3, 3)) == _COLOURS[0]


def test_an_animation_with_a_wrong_number_of_pictures_is_shown_without_a_warning() -> None:
    data = _animated("PNG", [100, 100, 100])
    kind, start, end = next(chunk for chunk in png_chunks(data) if chunk[0] == b"acTL")
    for count in (0, 1, 2**31, 2**32 - 1):
        other = data[:start] + samples.png_chunk(kind, pack(">II", count, 0)) + data[end:]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(_shown(_frame(other))) == 3


def test_an_animation_ends_with_a_limit_error_after_as_many_pictures_as_are_allowed() -> None:
    data = _animated("GIF", [50] * 5)
    assert len(_shown(_read(data, Limits(max_frames_per_item=5)))) == 5
    pictures = _read(data, Limits(max_frames_per_item=3)).animation()
    assert len([next(pictures) for _ in range(3)]) == 3
    with pytest.raises(LimitError) as caught:
        next(pictures)
    assert (caught.value.limit, caught.value.actual) == ("max_frames_per_item", 4)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF"])
def test_a_later_picture_that_is_damaged_is_a_frame_decode_error(form: str) -> None:
    first, *others = (_picture(seed=seed) for seed in range(3))
    data = bytearray(_written(first, form, save_all=True, append_images=others, lossless=True))
    if form == "WEBP":
        data[data.rindex(b"VP8L") + 8] ^= 0xFF  # the signature of the last picture
    elif form == "PNG":
        data[data.rindex(b"fdAT") + 99] ^= 0xFF
    else:
        start = [start for kind, start, _ in gif_blocks(bytes(data)) if kind == b","][-1]
        palette = 3 << (data[start + 9] & 7) + 1 if data[start + 9] & 0x80 else 0
        data[start + 10 + palette] = 13  # the size of its codes
    frame = _frame(bytes(data))
    assert frame.decode().size == (40, 30)
    with pytest.raises(FrameDecodeError):
        list(frame.animation())


def test_the_pictures_of_an_animation_are_decoded_one_at_a_time() -> None:
    pictures = _frame(_animated("WEBP", [50] * 30)).animation()
    first, _ = next(pictures)
    first.putpixel((0, 0), (1, 2, 3))
    second, _ = next(pictures)
    assert second is not first


# ---- pictures for a page


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("source", "mode"), _MODES)
def test_encode_makes_a_small_file_from_every_mode(form: Any, source: str, mode: str) -> None:
    data = _frame(_in_mode(source, mode, (240, 180))).encode((80, 80), form)
    header = read_header(data)
    assert (header.format, header.size) == (form, (80, 60))
    with Image.open(BytesIO(data)) as image:
        image.load()
        assert not {"exif", "xmp", "comment"} & set(image.info) or form == "GIF"


def test_encode_makes_webp_by_default_and_never_enlarges() -> None:
    header = read_header(_frame(_in_mode("PNG", "RGB")).encode((500, 500)))
    assert (header.format, header.size) == ("WEBP", (40, 30))


def test_encode_shows_16_bits_as_the_same_gray() -> None:
    image = Image.new("I;16", (20, 20), 0x8080)
    with Image.open(BytesIO(_frame(_written(image, "PNG")).encode((20, 20), "PNG"))) as encoded:
        assert encoded.convert("L").getpixel((5, 5)) == 0x80


def test_encode_as_jpeg_shows_transparency_as_white() -> None:
    data = _frame(_written(Image.new("RGBA", (20, 20), (9, 9, 9, 0)), "PNG")).encode((20, 20), "JPEG")
    with Image.open(BytesIO(data)) as image:
        assert image.convert("RGB").getpixel((5, 5)) == (255, 255, 255)


def test_encode_keeps_a_profile_for_rgb_and_no_other() -> None:
    profile = bytearray(range(256)) * 2
    for space, is_kept in ((b"RGB ", True), (b"CMYK", False)):
        profile[16:20] = space
        frame = _frame(_written(_picture(), "PNG", icc_profile=bytes(profile)))
        for form in ("PNG", "JPEG", "WEBP"):
            with Image.open(BytesIO(frame.encode((9, 9), form))) as image:
                assert ("icc_profile" in image.info) is is_kept


@pytest.mark.parametrize("form", ["SVG", "BMP", "webp", "", None, 5])
def test_encode_as_an_unknown_format_is_a_usage_error(form: Any) -> None:
    with pytest.raises(UsageError, match="PNG, JPEG, WEBP, GIF, AVIF, not as"):
        _frame(samples.png(3, 3)).encode((3, 3), form)


# ---- checksums


def _kinds(data: bytes) -> list[bytes]:
    return [kind for kind, _, _ in png_chunks(data)]


def _with_damage(data: bytes, kind: bytes) -> bytes:
    """The PNG with one bit of the checksum of its first chunk of this type turned."""
    end = next(end for each, _, end in png_chunks(data) if each == kind)
    return data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:]


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"])
def test_a_damaged_chunk_of_a_png_is_a_frame_decode_error_that_names_it(kind: bytes) -> None:
    data = _written(_picture("P"), "PNG", transparency=3)
    assert find_damaged_chunks(data) == ()
    damaged = _with_damage(data, kind)
    frame = _frame(damaged)
    for decode in (frame.decode, lambda: frame.thumbnail((3, 3)), lambda: list(frame.animation())):
        with pytest.raises(FrameDecodeError, match=f"chunk {kind.decode()} is damaged"):
            decode()
    assert find_damaged_chunks(damaged) == (kind.decode(),)


def test_a_damaged_chunk_of_an_animation_is_a_frame_decode_error_for_the_animation_alone() -> None:
    frame = _frame(_with_damage(_animated("PNG", [100, 100]), b"fdAT"))
    assert frame.decode().size == frame.size
    with pytest.raises(FrameDecodeError, match="chunk fdAT is damaged"):
        next(frame.animation())


def test_damage_in_metadata_changes_no_pixel_and_is_found_by_name() -> None:
    png = _with_chunks(
        _written(_picture(), "PNG"), samples.png_chunk(b"tEXt", b"a\0b"), samples.png_chunk(b"caBX", b"x")
    )
    damaged = _with_damage(_with_damage(png, b"caBX"), b"tEXt")
    assert _frame(damaged).decode().tobytes() == _frame(png).decode().tobytes()
    assert find_damaged_chunks(damaged) == ("tEXt", "caBX")
    odd = _with_chunks(png, samples.png_chunk(b"\x1b[2J", b"x")[:-1] + b"?")
    assert find_damaged_chunks(odd) == ("1b5b324a",)


# ---- the same image


def _twins() -> dict[str, tuple[bytes, bytes]]:
    """Two files with the same image and other metadata, of each format that is compared without metadata."""
    png, jpeg, exif = _written(_picture(), "PNG"), _written(_picture(), "JPEG"), _exif_of(1)
    lossless = {"lossless": True}
    text = samples.png_chunk(b"tEXt", b"prompt\0an otter")
    return {
        "PNG with C2PA": (_with_chunks(png, samples.png_chunk(b"caBX", bytes(3_000))), png),
        "PNG with other text": (_with_chunks(png, text), _with_chunks(png, samples.png_chunk(b"zTXt", b"a\0\0x"))),
        "PNG with EXIF": (_written(_picture(), "PNG", exif=exif), png),
        "JPEG with C2PA": (_with_segments(jpeg, (0xEB, b"JP" + bytes(3_000))), jpeg),
        "JPEG with EXIF and a comment": (_written(_picture(), "JPEG", exif=exif, comment=b"x"), jpeg),
        "JPEG with bytes behind its end": (jpeg + b"\0" * 9, jpeg),
        "WebP with EXIF": (_written(_picture(), "WEBP", exif=exif), _written(_picture(), "WEBP")),
        "WebP with XMP": (
            _written(_picture(), "WEBP", xmp=b"<x/>", **lossless),
            _written(_picture(), "WEBP", **lossless),
        ),
    }


@pytest.mark.parametrize("name", sorted(_twins()))
def test_two_files_that_differ_in_metadata_hold_the_same_image(name: str) -> None:
    one, other = map(_frame, _twins()[name])
    assert one.data != other.data
    assert one.has_same_image(other)
    assert other.has_same_image(one)


@pytest.mark.parametrize("form", FORMATS)
def test_a_frame_has_the_same_image_as_itself_and_not_as_another_picture(form: str) -> None:
    frame, other = (_frame(_written(_picture(seed=seed), form)) for seed in (1, 2))
    assert frame.has_same_image(_frame(bytes(bytearray(frame.data)), index=5))
    assert not frame.has_same_image(other)
    assert not frame.has_same_image(_frame(samples.png(40, 30)))


def test_a_picture_with_other_colours_is_not_the_same_image() -> None:
    palettes = [Image.new("P", (8, 8)) for _ in range(2)]
    for at, image in enumerate(palettes):
        image.putpalette([at * 90, 0, 0] * 256)
    one, other = (_frame(_written(image, "PNG")) for image in palettes)
    assert not one.has_same_image(other)
    assert not _frame(_animated("PNG", [50, 60])).has_same_image(_frame(_animated("PNG", [50, 70])))


def test_frames_of_bytes_that_are_not_whole_are_the_same_image_only_if_they_are_equal() -> None:
    one = Frame(data=b"\x89PNG\r\n\x1a\nab", format="PNG", size=(1, 1))
    other = Frame(data=b"\x89PNG\r\n\x1a\ncd", format="PNG", size=(1, 1))
    assert one.has_same_image(one)
    assert not one.has_same_image(other)


# ---- refused bytes


@pytest.mark.parametrize("data", [samples.png(40, 40)[:-20], b"GIF89a", b"no picture at all", samples.picture("BMP")])
def test_refused_bytes_are_on_the_error_and_nowhere_in_its_text(data: bytes) -> None:
    with pytest.raises(FrameDecodeError) as caught:
        _read(data, index=2)
    error = caught.value
    assert error.data == data
    for shown in (repr(error), str(error), str(error.as_dict())):
        assert repr(data)[2:-1] not in shown
        assert len(shown) < 400


def test_the_error_of_a_frame_holds_no_bytes() -> None:
    with pytest.raises(FrameDecodeError) as caught:
        _frame(_damaged()["PNG"]).decode()
    assert caught.value.data is None


# ---- the data for the decoder


@needs_avif
def test_metadata_of_an_avif_is_hidden_from_its_decoder() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    data = _written(_picture(), "AVIF", exif=exif, xmp=b"<x/>", icc_profile=bytes(range(256)) * 4)
    given = still_of(data, "AVIF")
    assert (len(given), given != data) == (len(data), True)
    with Image.open(BytesIO(data)) as image, Image.open(BytesIO(given)) as stripped:
        assert {"exif", "xmp"} <= set(image.info)
        assert set(stripped.info) & {"exif", "xmp"} == set()
        assert image.tobytes() == stripped.tobytes()
    assert "icc_profile" in _frame(data).decode().info


def test_of_an_animated_webp_the_decoder_gets_the_first_picture_alone_for_decode() -> None:
    data = _animated("WEBP", [50] * 9, exif=_exif_of(1), xmp=b"<x/>")
    given = still_of(data, "WEBP")
    assert [kind for kind, _, _ in webp_chunks(given)] == [b"VP8X", b"ANIM", b"ANMF"]
    with Image.open(BytesIO(given)) as image:
        assert (getattr(image, "n_frames", 1), set(image.info) & {"exif", "xmp"}) == (1, set())
    assert [kind for kind, _, _ in webp_chunks(animation_of(data, "WEBP"))] == [b"VP8X", b"ANIM", *[b"ANMF"] * 9]


def test_a_pillow_without_avif_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.AvifImagePlugin", None)  # an import of it raises
    frame = Frame(data=b"\0\0\0\x20ftypavif" + bytes(20), format="AVIF", size=(4, 3))
    with pytest.raises(FrameDecodeError):
        frame.decode()
    with pytest.raises(ImportError, match=r"install pillow 11\.3 or newer"):
        import_plugin("AVIF")
    with pytest.raises(UsageError, match="this Pillow cannot write AVIF"):
        _frame(samples.png(3, 3)).encode((3, 3), "AVIF")


def test_bytes_between_the_segments_of_a_jpeg_change_no_pixel() -> None:
    jpeg = _written(_picture(), "JPEG")
    parts = [jpeg[start:end] for _, start, end in jpeg_segments(jpeg)]
    odd = b"\xff\xd8" + b"\0junk\xff\0".join(parts)
    assert _frame(odd).decode().tobytes() == _pixels_of(jpeg)[2]
