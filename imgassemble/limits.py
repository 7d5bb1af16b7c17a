"""How much of everything is accepted, each bound with its reason.

Knows: numbers and names of formats. Must not know: who checks them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from .errors import UsageError

Format = Literal["PNG", "JPEG", "WEBP", "GIF", "SVG"]
FORMATS: tuple[Format, ...] = get_args(Format)
# SVG is a program for a browser rather than a picture: it is taken only where it is asked for.
_PICTURES: tuple[Format, ...] = ("PNG", "JPEG", "WEBP", "GIF")

# Where Pillow begins to warn of a decompression bomb (PIL.Image.MAX_IMAGE_PIXELS: a quarter of a gigabyte of RGB).
_PILLOW_WARNS_ABOVE = 89_478_485


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one assembler accepts; what goes beyond is a `LimitError`, and what was there stays."""

    max_event_bytes: int = 64 * 2**20
    """One message, in bytes. Real ones have 2 to 9 MB; openai-node tests its decoder with lines of 64 MiB."""

    max_frame_bytes: int = 48 * 2**20
    """One picture, in bytes: what fits in an event of that size as base64."""

    max_frame_pixels: int = _PILLOW_WARNS_ABOVE
    """One picture, width times height. Not more than 89,478,485, where Pillow begins to warn of a bomb."""

    max_frames_per_item: int = 1_000
    """Partials kept for one item; the highest indices stay. Services send up to four, a local model one a step."""

    max_items: int = 10_000
    """Items of one assembler. A response has a few; ten thousand cost some tens of megabytes without their pictures."""

    max_total_bytes: int = 2**30
    """All pictures of one assembler, in bytes: several hundred results of 1024x1024. A frame beyond it is not kept; a
    result is worth more than its item's lowest partials. Pixels are not counted: an item keeps those of the one frame
    for which `item.image` was asked last."""

    formats: tuple[Format, ...] = _PICTURES
    """Which formats are pictures. Whatever else comes is refused, and no other decoder is ever opened. "SVG" can be
    added: its bytes are kept and saved, and never drawn here."""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "formats", tuple(self.formats))
        except TypeError:
            raise UsageError(f"Limits.formats is a list of formats, not {self.formats!r}") from None
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "formats" and (type(value) is not int or value < 1):
                raise UsageError(f"Limits.{field.name} is a whole number from 1, not {value!r}")
        if self.max_frame_pixels > _PILLOW_WARNS_ABOVE:
            raise UsageError(
                f"Limits.max_frame_pixels is at most {_PILLOW_WARNS_ABOVE:,}: beyond, Pillow warns of a bomb"
            )
        if unknown := [form for form in self.formats if form not in FORMATS]:
            raise UsageError(f"Limits.formats knows {', '.join(FORMATS)}, not {', '.join(map(repr, unknown))}")
