"""Makes the files of one image: its partials and its result.

Must not know: pixels, base64, events.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from .landscapes import draw, sharpen
from .pictures import Format, Picture, encode, encode_animation, open_picture, pan


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """The description of the pictures of one image, before they are drawn."""

    prompt: str
    seed: int = 0
    format: Format = "PNG"
    size: tuple[int, int] = (1024, 1024)
    drafts: int = 1
    result_as_partial: Literal["no", "one more", "the last"] = "no"
    result_prompt: str = ""  # if the result is another picture than the drafts show
    is_cut: bool = False  # the file of the result ends half-way
    result_bytes: int = 0  # the result is padded to this length
    frames: int = 1  # pictures in the result; more than one makes an animation
    source: bytes | None = None  # a picture to show in place of a drawn one
    provenance: str = ""
    is_portable: bool = False
    partial_format: Format | None = None  # of the drafts; None: as the result


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFiles:
    """The pictures of one image, as files. The size is (width, height) in pixels."""

    partials: tuple[bytes, ...]
    result: bytes
    format: Format
    size: tuple[int, int]

    def __repr__(self) -> str:
        width, height = self.size
        return f"<ImageFiles {len(self.partials)} partials and a result, {self.format} {width}x{height}>"


@lru_cache(maxsize=4)  # a server often gets the same request again, and four take little memory
def make_image_files(plan: ImagePlan) -> ImageFiles:
    """Make the files that `plan` describes. Raises ValueError as `draw`, `sharpen` and `open_picture` do."""
    source = plan.source
    final = _draw(plan, plan.prompt) if source is None else open_picture(source, plan.size)
    shown = _draw(plan, plan.result_prompt) if plan.result_prompt else final
    form = plan.partial_format or plan.format
    partials = [_encode(plan, image, form) for image in sharpen(final, plan.drafts, seed=plan.seed)]
    is_animation = plan.frames > 1 or plan.format == "GIF"
    result = (
        encode_animation(pan(shown, plan.frames), plan.format) if is_animation else _encode(plan, shown, plan.format)
    )
    if plan.result_as_partial != "no":
        partials = [*(partials if plan.result_as_partial == "one more" else partials[:-1]), result]
    result = pad_file(result, plan.format, plan.result_bytes)
    result = result[: len(result) // 2] if plan.is_cut else result
    return ImageFiles(partials=tuple(partials), result=result, format=plan.format, size=plan.size)


def _draw(plan: ImagePlan, prompt: str) -> Picture:
    return draw(prompt, seed=plan.seed, size=plan.size)


def _encode(plan: ImagePlan, image: Picture, form: Format) -> bytes:
    claim = plan.provenance if form in ("PNG", "JPEG") else ""
    return encode(image, form, provenance=claim, is_portable=plan.is_portable)


def pad_file(data: bytes, form: Format, least_bytes: int) -> bytes:
    """Make `data` `least_bytes` long with empty metadata; its picture stays the same."""
    missing = least_bytes - len(data)
    return data if missing <= 0 else _PADDINGS[form](data, missing)


# ---- padding, in the place for unknown metadata of each format


def _pad_png(png: bytes, missing: int) -> bytes:
    body = bytes(missing)
    chunk = struct.pack(">I", missing) + b"paDd" + body + struct.pack(">I", zlib.crc32(b"paDd" + body))
    return png[:-12] + chunk + png[-12:]  # in front of IEND


def _pad_jpeg(jpeg: bytes, missing: int) -> bytes:
    longest = 65_533  # a segment's length has two bytes and includes them
    parts = [bytes(min(longest, missing - at)) for at in range(0, missing, longest)]
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return jpeg[:2] + comments + jpeg[2:]


def _pad_webp(webp: bytes, missing: int) -> bytes:
    body = webp[8:] + b"paDd" + struct.pack("<I", missing + missing % 2) + bytes(missing + missing % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _pad_gif(gif: bytes, missing: int) -> bytes:
    parts = [bytes(min(255, missing - at)) for at in range(0, missing, 255)]
    blocks = b"".join(bytes([len(part)]) + part for part in parts)
    return gif[:-1] + b"\x21\xfe" + blocks + b"\0" + gif[-1:]  # a comment in front of the trailer


_PADDINGS: dict[Format, Callable[[bytes, int], bytes]] = {
    "PNG": _pad_png,
    "JPEG": _pad_jpeg,
    "WEBP": _pad_webp,
    "GIF": _pad_gif,
}
