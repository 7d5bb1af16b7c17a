"""The pictures of one image, from what they are to be to their files.

Knows: which pictures a service sends of one image, and how a file is made longer without changing its picture. Must
not know: pixels, base64, events.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from .pictures import Format, Picture, draw, encode, opened, sharpen


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What the pictures of one image are to be, before they are made."""

    prompt: str
    seed: int = 0
    format: Format = "PNG"
    size: tuple[int, int] = (1024, 1024)
    drafts: int = 1
    result_as_partial: Literal["no", "one more", "the last"] = "no"
    result_prompt: str = ""  # of a result that is another picture than the drafts were of
    is_cut: bool = False  # the result ends half-way
    result_bytes: int = 0  # what the result is padded to
    source: bytes | None = None  # a picture to be shown in place of a drawn one
    provenance: str = ""
    is_portable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """The pictures of one image, as files. The size is (width, height) in pixels."""

    partials: tuple[bytes, ...]
    result: bytes
    format: Format
    size: tuple[int, int]


@lru_cache(maxsize=4)  # a server is often asked the same again, and four are not much memory
def shoot(sketch: Sketch) -> Shot:
    """The pictures that `sketch` asks for. Raises ValueError for what `draw`, `sharpen` and `opened` refuse."""
    own = sketch.source
    final = _drawn(sketch, sketch.prompt) if own is None else opened(own, sketch.size)
    shown = _drawn(sketch, sketch.result_prompt) if sketch.result_prompt else final
    claim = "" if sketch.format == "WEBP" else sketch.provenance
    *partials, result = (
        encode(image, sketch.format, provenance=claim, is_portable=sketch.is_portable)
        for image in [*sharpen(final, sketch.drafts, seed=sketch.seed), shown]
    )
    if sketch.result_as_partial != "no":
        partials = [*(partials if sketch.result_as_partial == "one more" else partials[:-1]), result]
    result = padded(result, sketch.format, sketch.result_bytes)
    result = result[: len(result) // 2] if sketch.is_cut else result
    return Shot(partials=tuple(partials), result=result, format=sketch.format, size=sketch.size)


def _drawn(sketch: Sketch, prompt: str) -> Picture:
    return draw(prompt, seed=sketch.seed, size=sketch.size)


def padded(data: bytes, form: Format, least_bytes: int) -> bytes:
    """`data` made `least_bytes` long by metadata that says nothing; the picture in it is the same."""
    missing = least_bytes - len(data)
    return data if missing <= 0 else _PADDINGS[form](data, missing)


# ---- padding, in the place that each format has for what nobody must read


def _padded_png(png: bytes, missing: int) -> bytes:
    body = bytes(missing)
    chunk = struct.pack(">I", missing) + b"paDd" + body + struct.pack(">I", zlib.crc32(b"paDd" + body))
    return png[:-12] + chunk + png[-12:]  # in front of IEND


def _padded_jpeg(jpeg: bytes, missing: int) -> bytes:
    longest = 65_533  # what a segment's length of two bytes leaves for its body
    parts = [bytes(min(longest, missing - at)) for at in range(0, missing, longest)]
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return jpeg[:2] + comments + jpeg[2:]


def _padded_webp(webp: bytes, missing: int) -> bytes:
    body = webp[8:] + b"paDd" + struct.pack("<I", missing + missing % 2) + bytes(missing + missing % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


_PADDINGS: dict[Format, Callable[[bytes, int], bytes]] = {
    "PNG": _padded_png,
    "JPEG": _padded_jpeg,
    "WEBP": _padded_webp,
}
