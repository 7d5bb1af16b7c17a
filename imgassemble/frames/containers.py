"""Tells the format and the size of a picture from its bytes, whether it is whole, and which parts make the image.

Has one row for each format; the structure of each is in the module of its name. Must not know: Pillow, items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from struct import error

from ..limits import Format
from . import avif, gif, jpeg, png, svg, webp
from .binary import HeaderError, Part, Size, join_parts

_TURNED = 5  # EXIF's orientations from 5 on exchange width and height


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The format of a whole picture and its upright size, (width, height) in pixels; None if an SVG tells none."""

    format: Format
    size: Size | None


@dataclass(frozen=True, slots=True)
class Container:
    """How the files of one format are read. Each function takes the bytes of a file."""

    matches: Callable[[bytes], bool]
    """Whether the bytes begin as a file of this format does."""
    read_size: Callable[[bytes], Size | None]
    """The size as stored. Raises HeaderError if the file is not whole."""
    orientation: Callable[[bytes], int]
    """The orientation of the stored picture: a number of EXIF, 1 to 8."""
    image_parts: Callable[[bytes], Iterator[Part]]
    """The file without its metadata."""
    still: Callable[[bytes], bytes]
    """A file with the first picture alone and its colour information."""
    animation: Callable[[bytes], bytes]
    """A file with all pictures and their colour information."""
    has_animation: Callable[[bytes], bool]
    """Whether the file holds more than one picture, to be shown in turn."""
    has_manifest: Callable[[bytes], bool]
    """Whether the file carries a C2PA manifest."""


def read_header(data: bytes) -> Header:
    """Return the header of the whole picture in `data`.

    Raises HeaderError if `data` is cut short, damaged in its structure, or in none of the formats.
    """
    form = format_of(data)
    if form is None:
        raise HeaderError(f"is no PNG, JPEG, WebP, GIF, AVIF or SVG{_looks_like(data)}")
    try:
        size = _CONTAINERS[form].read_size(data)
        if size is not None and orientation_of(data, form) >= _TURNED:
            size = size[1], size[0]
    except (IndexError, error):
        raise HeaderError("is cut short") from None
    if size is not None and not all(size):
        raise HeaderError("is {}x{} pixels".format(*size))
    return Header(format=form, size=size)


def format_of(data: bytes) -> Format | None:
    """Return the format of the file that begins with `data`; None if it is unknown."""
    return next((form for form, container in _CONTAINERS.items() if container.matches(data)), None)


def orientation_of(data: bytes, form: Format) -> int:
    """Return the orientation of the stored picture, a number of EXIF: 1 (upright) to 8."""
    return _CONTAINERS[form].orientation(data)


def is_same_image(one: bytes, other: bytes, form: Format) -> bool:
    """Return whether two files of one format hold the same image: whether they are equal without their metadata.

    Nothing is decoded: two megabytes take about one millisecond. GIF, AVIF and SVG are compared whole.
    """
    if one == other:
        return True
    parts = _CONTAINERS[form].image_parts
    pairs = zip_longest(parts(one), parts(other), fillvalue=(0, 0))
    return all(one[slice(*first)] == other[slice(*second)] for first, second in pairs)


def still_of(data: bytes, form: Format) -> bytes:
    """Return a file with the first picture alone and without metadata, for a decoder.

    Raises HeaderError or ValueError if a part of it is damaged.
    """
    return _CONTAINERS[form].still(data)


def animation_of(data: bytes, form: Format) -> bytes:
    """Return a file with all pictures and without metadata, for a decoder.

    Raises HeaderError or ValueError if a part of it is damaged.
    """
    return _CONTAINERS[form].animation(data)


def has_animation(data: bytes, form: Format) -> bool:
    """Return whether the file holds an animation. Nothing is decoded. An SVG is not searched for one."""
    try:
        return _CONTAINERS[form].has_animation(data)
    except (HeaderError, IndexError, error):
        return False


def has_c2pa_manifest(data: bytes, form: Format) -> bool:
    """Return whether the file carries a C2PA manifest. It is not verified, and its contents are not read."""
    try:
        return _CONTAINERS[form].has_manifest(data)
    except (HeaderError, IndexError, error):
        return False


def _upright(_: bytes) -> int:
    return 1


def _whole(data: bytes) -> Iterator[Part]:
    yield 0, len(data)


def _unchanged(data: bytes) -> bytes:
    return data


def _never(_: bytes) -> bool:
    return False


def _png_still(data: bytes) -> bytes:
    return join_parts(data, png.png_still_parts(data))


def _jpeg_still(data: bytes) -> bytes:
    return join_parts(data, jpeg.jpeg_still_parts(data))


def _gif_still(data: bytes) -> bytes:
    return join_parts(data, gif.gif_still_parts(data)) + b";"


def _gif_animation(data: bytes) -> bytes:
    return join_parts(data, gif.gif_animation_parts(data)) + b";"


_CONTAINERS: dict[Format, Container] = {
    "PNG": Container(
        png.is_png, png.read_png_size, png.png_orientation, png.png_image_parts, _png_still, png.png_animation,
        png.has_png_animation, png.has_png_manifest,
    ),
    "JPEG": Container(
        jpeg.is_jpeg, jpeg.read_jpeg_size, jpeg.jpeg_orientation, jpeg.jpeg_image_parts, _jpeg_still, _jpeg_still,
        _never, jpeg.has_jpeg_manifest,
    ),
    "WEBP": Container(
        webp.is_webp, webp.read_webp_size, webp.webp_orientation, webp.webp_image_parts, webp.webp_still,
        webp.webp_animation, webp.has_webp_animation, webp.has_webp_manifest,
    ),
    "GIF": Container(
        gif.is_gif, gif.read_gif_size, _upright, _whole, _gif_still, _gif_animation,
        gif.has_gif_animation, gif.has_gif_manifest,
    ),
    "AVIF": Container(
        avif.is_avif, avif.read_avif_size, avif.avif_orientation, _whole, avif.avif_without_metadata,
        avif.avif_without_metadata, avif.has_avif_animation, avif.has_avif_manifest,
    ),
    "SVG": Container(
        svg.is_svg, svg.read_svg_size, _upright, _whole, _unchanged, _unchanged, _never, svg.has_svg_manifest
    ),
}  # fmt: skip

# The files that services and proxies send in place of a picture, so that the sentence can name them.
_OTHER_FILES: dict[bytes, str] = {
    b"<?xml": "XML", b"<!doctype": "HTML", b"<html": "HTML", b"{": "JSON", b"http": "a URL",
    b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL": "JPEG XL",
    b"8BPS": "PSD", b"%pdf": "PDF", b"%!ps": "PostScript", b"\0\0\1\0": "ICO", b"\x1f\x8b": "gzip", b"pk\3\4": "ZIP",
}  # fmt: skip


def _looks_like(data: bytes) -> str:
    start = data[:64].lstrip().lower()
    if data[4:8] == b"ftyp" and data[8:12].isalnum():
        return f" (it looks like {data[8:12].decode('ascii').upper()})"
    name = next((name for magic, name in _OTHER_FILES.items() if start.startswith(magic.lower())), None)
    return f" (it looks like {name})" if name else ""
