"""Bounds on everything that is accepted, each with its reason.

Must not know: the code that checks them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal, get_args

from .arguments import check_count, closest, name_of_type, shorten
from .errors import UsageError

Format = Literal["PNG", "JPEG", "WEBP", "GIF", "AVIF", "SVG"]
FORMATS: tuple[Format, ...] = get_args(Format)
_KNOWN = ", ".join(FORMATS)

# The bytes of the largest picture that any Limits let pass: readers of files take no more from other programs.
MOST_FRAME_BYTES = 256 * 2**20

# The pixels above which Pillow warns of a decompression bomb (PIL.Image.MAX_IMAGE_PIXELS: 256 MiB of RGB).
_PILLOW_WARNS_ABOVE = 89_478_485


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one assembler accepts. A larger value gives a `LimitError`. Everything received before it is
    kept.

        Assembler(limits=Limits(max_frame_pixels=2**22, formats=("PNG", "WEBP")))

    Raises UsageError for a bound that is no whole number from 1, or an unknown format.
    """

    max_event_bytes: int = 256 * 2**20
    """The size of one message, in bytes. The largest known 4K pictures have 20,046,248 characters of base64, and an
    answer that is not streamed holds several pictures: thirteen of these, or fifteen of 17 MB each."""

    max_frame_bytes: int = 64 * 2**20
    """The size of one picture, in bytes: four times the largest known 4K picture, which has 15 MB, so that one message
    can hold it as base64. The limit itself is at most 256 MiB: larger files are not read again."""

    max_frame_pixels: int = 2**25
    """The pixels of one picture: width times height. The largest real ones have 17 million (4096x4096); this is twice
    that, and takes at most 128 MiB as RGBA. The limit itself is at most 89,478,485: above it
    Pillow warns of a decompression bomb."""

    max_frames_per_item: int = 1_000
    """Partials that are kept for one item; the highest indices stay. Services send up to four, a local model one for
    each step. Also the most pictures that `Frame.animation` gives; services make some tens."""

    max_items: int = 10_000
    """Items of one assembler. A response has a few; ten thousand take some tens of megabytes without their pictures."""

    max_total_bytes: int = 2**30
    """All pictures of one assembler, in bytes: several hundred results of 1024x1024. A frame beyond it is not kept; for
    a result, the lowest partials of its item are removed first. Pixels are not counted: an item keeps
    the pixels of only one frame, which `item.image` showed last."""

    formats: tuple[Format, ...] = FORMATS
    """The formats that are accepted: all of them. A picture in any other format is refused, and no other decoder runs.
    An SVG is kept and saved as text, and never drawn here."""

    def __post_init__(self) -> None:
        if isinstance(self.formats, str) or not isinstance(self.formats, Iterable):
            raise UsageError(
                f"Limits.formats is a list of formats, not {shorten(self.formats)}: formats=('PNG', 'WEBP')"
            )
        object.__setattr__(self, "formats", tuple(self.formats))
        for field in fields(self):
            if field.name != "formats":
                check_count(f"Limits.{field.name}", getattr(self, field.name))
        if self.max_frame_bytes > MOST_FRAME_BYTES:
            raise UsageError(
                f"Limits.max_frame_bytes is at most {MOST_FRAME_BYTES:,}: larger files would not be read again"
            )
        if self.max_frame_pixels > _PILLOW_WARNS_ABOVE:
            raise UsageError(
                f"Limits.max_frame_pixels is at most {_PILLOW_WARNS_ABOVE:,}: beyond, Pillow warns of a bomb"
            )
        if not self.formats:
            raise UsageError(f"Limits.formats is empty, so every picture would be refused: name some of {_KNOWN}")
        if unknown := [form for form in self.formats if form not in FORMATS]:
            raise UsageError(
                f"Limits.formats knows {_KNOWN}, not {', '.join(map(shorten, unknown))}{closest(unknown[0], FORMATS)}"
            )


def check_limits(limits: object) -> None:
    """Raise UsageError unless `limits` is a Limits or None."""
    if not isinstance(limits, Limits | None):
        raise UsageError(f"limits is a Limits, not {name_of_type(limits)}: Limits(max_items=100)")
