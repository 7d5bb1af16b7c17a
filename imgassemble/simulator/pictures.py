"""Reads and writes picture files: PNG, JPEG, WebP and GIF, still or animated, with and without C2PA metadata.

The same arguments give the same bytes under Pillow 11, 12 and 13, except for lossless WebP.
Must not know: the content of a picture, events, base64, services.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from PIL import Image, ImageChops, ImageOps

from ..errors import UsageError

Format = Literal["PNG", "JPEG", "WEBP", "GIF"]
Picture = Image.Image
_FRAME_MS = 200  # the services' default for each picture of an animation


def encode(image: Image.Image, form: Format, *, provenance: str = "", is_portable: bool = False) -> bytes:
    """Return `image` as a file of the format `form`.

    Arguments: `image`: an RGB image. `form`: "PNG", "JPEG", "WEBP" or "GIF". `provenance`: a text that the file
    carries as C2PA metadata, in the chunk (PNG) or segment (JPEG) that the services use; re-encoding loses it.
    `is_portable`: a PNG of sixteen colours without compression, so that its bytes do not depend on the zlib in use.
    JPEG, GIF and lossy WebP are equal under Pillow 11, 12 and 13 anyway; lossless WebP is not.
    Raises ValueError for a provenance in a WebP or GIF.
    """
    claim = _jumbf(provenance) if provenance else b""
    if form == "PNG":
        return _portable_png(image, claim) if is_portable else _compressed_png(image, claim)
    if form not in ("PNG", "JPEG") and claim:
        raise ValueError("a simulated WebP or GIF has no provenance")
    if form == "GIF":
        return encode_animation([image], "GIF")
    file = io.BytesIO()
    image.save(file, form, quality=80)
    data = file.getvalue()
    return _with_segment(data, claim) if claim else data


def encode_animation(images: Sequence[Image.Image], form: Format, *, frame_ms: int = _FRAME_MS) -> bytes:
    """Return an animation that shows `images` one after the other, `frame_ms` milliseconds each, without end.

    Arguments: `images`: RGB images of one size, at least one. `form`: "GIF" or "WEBP".
    Raises ValueError for another format.
    """
    if form == "GIF":
        return _gif(images, frame_ms)
    if form == "WEBP":
        return _animated_webp(images, frame_ms)
    raise ValueError(f"a simulated {form} has no animation")


def pan(image: Image.Image, frames: int) -> list[Image.Image]:
    """Return `frames` views of `image`, each one moved further to the side; the first is `image` itself."""
    return [ImageChops.offset(image, image.width * at // frames, 0) for at in range(frames)]


def open_picture(data: bytes, size: tuple[int, int] | None = None) -> Image.Image:
    """Read the picture in `data`, any file that Pillow reads, as RGB; scale and crop it to `size` if that is given.

    Raises UsageError if it cannot be read.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError, Warning) as trouble:
        raise UsageError("the picture cannot be read: it is in no format that Pillow knows, or damaged") from trouble
    return ImageOps.fit(upright, size) if size else upright


# ---- the files


def _compressed_png(image: Image.Image, claim: bytes) -> bytes:
    """Return a true-colour PNG with filter 2 (each row minus the one above): Pillow subtracts all rows at once."""
    above = Image.new("RGB", image.size)
    above.paste(image, (0, 1))
    rows = _rows(ImageChops.subtract_modulo(image, above).tobytes(), image.width * 3, b"\2")
    return _png(image.size, b"\x08\x02", zlib.compress(rows, 3), claim=claim)


def _portable_png(image: Image.Image, claim: bytes) -> bytes:
    palette, numbers = _sixteen_colours(image)
    width = image.width + image.width % 2
    even = Image.new("L", (width, image.height))
    even.paste(Image.frombytes("L", image.size, numbers))
    pixels = even.tobytes()
    packed = bytes(left << 4 | right for left, right in zip(pixels[::2], pixels[1::2], strict=True))
    return _png(image.size, b"\x04\x03", _stored(_rows(packed, width // 2, b"\0")), palette, claim=claim)


def _sixteen_colours(image: Image.Image) -> tuple[bytes, bytes]:
    """Return a palette (the means of sixteen equal groups by brightness) and each pixel's nearest place in it."""
    values = image.tobytes()
    pixels = list(zip(values[::3], values[1::3], values[2::3], strict=True))
    ordered = sorted(pixels, key=lambda pixel: (2 * pixel[0] + 5 * pixel[1] + pixel[2], pixel))
    edges = [len(pixels) * part // 16 for part in range(17)]
    groups = [ordered[start:end] or ordered[:1] for start, end in pairwise(edges)]
    palette = [_mean(group) for group in groups]
    nearest = {pixel: _nearest(pixel, palette) for pixel in set(pixels)}
    return bytes(value for colour in palette for value in colour), bytes(nearest[pixel] for pixel in pixels)


def _mean(group: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    red, green, blue = (sum(channel) // len(group) for channel in zip(*group, strict=True))
    return red, green, blue


def _nearest(pixel: tuple[int, int, int], palette: list[tuple[int, int, int]]) -> int:
    red, green, blue = pixel
    distances = [(red - r) * (red - r) + (green - g) * (green - g) + (blue - b) * (blue - b) for r, g, b in palette]
    return distances.index(min(distances))


def _rows(data: bytes, width_bytes: int, filter_type: bytes) -> bytes:
    return b"".join(filter_type + data[at : at + width_bytes] for at in range(0, len(data), width_bytes))


def _stored(data: bytes) -> bytes:
    """Return a zlib stream of uncompressed blocks (RFC 1950, RFC 1951 section 3.2.4)."""
    parts = [data[at : at + 65_535] for at in range(0, len(data), 65_535)]
    blocks = [struct.pack("<BHH", part is parts[-1], len(part), len(part) ^ 0xFFFF) + part for part in parts]
    return b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(data))


def _png(size: tuple[int, int], kind: bytes, pixels: bytes, palette: bytes = b"", *, claim: bytes = b"") -> bytes:
    """Return a PNG; `kind` is its bit depth and colour type. The claim comes before the pixels, as in real files."""
    chunks = [(b"IHDR", struct.pack(">II", *size) + kind + b"\0\0\0"), (b"caBX", claim), (b"PLTE", palette)]
    chunks = [*((name, body) for name, body in chunks if body), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def _jumbf(claim: str) -> bytes:
    """Return a C2PA box (ISO 19566-5; C2PA 2.1, section 11.1) with `claim` in place of a signed manifest."""
    kind = b"c2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71" + b"\x03c2pa\0"
    return _box(b"jumb", _box(b"jumd", kind) + _box(b"json", claim.encode()))


def _with_segment(jpeg: bytes, claim: bytes) -> bytes:
    """Return `jpeg` with the claim in an APP11 segment after the JFIF header, as the services write it."""
    at = 4 + struct.unpack_from(">H", jpeg, 4)[0]
    body = b"JP" + struct.pack(">HI", 1, 1) + claim
    return jpeg[:at] + b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body + jpeg[at:]


# ---- animations


def _gif(images: Sequence[Image.Image], frame_ms: int) -> bytes:
    """Return a GIF89a (its specification, sections 18 to 26) with sixteen colours for each picture."""
    size = struct.pack("<HH", *images[0].size)
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0" if len(images) > 1 else b""
    frames = b""
    for image in images:
        palette, numbers = _sixteen_levels(image)
        control = b"\x21\xf9\x04\x04" + struct.pack("<H", frame_ms // 10) + b"\0\0"
        frames += (
            control + b"\x2c\0\0\0\0" + size + b"\x83" + palette + b"\x04" + _sub_blocks(_plain_lzw(numbers)) + b"\0"
        )
    return b"GIF89a" + size + b"\0\0\0" + loop + frames + b"\x3b"


def _sixteen_levels(image: Image.Image) -> tuple[bytes, bytes]:
    """Return a palette (the means of up to sixteen groups by brightness) and the group of each pixel."""
    grey = image.convert("L")
    total, below, table = grey.width * grey.height, 0, list[int]()
    for count in grey.histogram():
        table.append(min(15, below * 16 // total))
        below += count
    levels = grey.point(table)
    means = (_mean_colour(image, levels.point([255 * (at == level) for at in range(256)])) for level in range(16))
    return b"".join(means), levels.tobytes()


def _mean_colour(image: Image.Image, mask: Image.Image) -> bytes:
    counts = image.histogram(mask)
    channels = [counts[at : at + 256] for at in (0, 256, 512)]
    return bytes(
        sum(value * count for value, count in enumerate(channel)) // max(1, sum(channel)) for channel in channels
    )


def _plain_lzw(numbers: bytes) -> bytes:
    """Return LZW data of 5-bit codes; a clear code before every 14 pixels keeps the codes at that length."""
    clear, end = b"\x10", b"\x11"
    codes = b"".join(clear + numbers[at : at + 14] for at in range(0, len(numbers), 14)) + end
    codes += bytes(-len(codes) % 8)
    eights = zip(*(codes[at::8] for at in range(8)), strict=True)
    return b"".join(sum(code << 5 * at for at, code in enumerate(eight)).to_bytes(5, "little") for eight in eights)


def _sub_blocks(data: bytes) -> bytes:
    parts = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"".join(bytes([len(part)]) + part for part in parts)


def _animated_webp(images: Sequence[Image.Image], frame_ms: int) -> bytes:
    """Return a WebP whose frames are lossy still pictures (WebP container specification, "Animation")."""
    width, height = images[0].size
    sides = _three_bytes(width - 1) + _three_bytes(height - 1)
    body = _webp_chunk(b"VP8X", b"\x02\0\0\0" + sides) + _webp_chunk(b"ANIM", bytes(6))
    for image in images:
        still = encode(image, "WEBP")[12:]  # its chunks, after the head of the file
        body += _webp_chunk(b"ANMF", bytes(6) + sides + _three_bytes(frame_ms) + b"\x02" + still)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _three_bytes(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _webp_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
