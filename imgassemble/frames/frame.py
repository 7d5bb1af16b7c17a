"""One picture that was received: from base64 on the wire to a frame that can be shown and saved.

Knows: the received bytes, and how Pillow is asked for pixels. Must not know: items, states, events.
The bytes are never changed. Format and size come from the bytes, never from what a message claims of them.
Pillow is imported when the first picture is decoded, and only the frame's own decoder is ever opened.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32, decompressobj
from zlib import error as ZlibError  # noqa: N812 - it is a class

from ..errors import FrameDecodeError, FrameEncodingError, LimitError, UsageError, clean, quoted
from ..files import write_atomically
from ..limits import Format, Limits
from .base64_json import Decoded, decode_base64
from .containers import (
    PNG_SIGNATURE,
    Header,
    HeaderError,
    format_of,
    gif_blocks,
    gif_start,
    jpeg_segments,
    png_chunks,
    read_header,
)

if TYPE_CHECKING:
    from PIL.Image import Image

_SUFFIXES: dict[Format, str] = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "SVG": ".svg"}
_COLOUR_INFO = frozenset({"icc_profile", "transparency"})  # what says how the pixels look
# Modes that Pillow cannot scale smoothly, and those that it can.
_RESIZABLE = {"1": "L", "P": "RGBA", "PA": "RGBA", "I;16": "I", "I;16B": "I", "I;16L": "I"}
_PLUGINS: dict[Format, str] = {"PNG": "Png", "JPEG": "Jpeg", "WEBP": "WebP", "GIF": "Gif"}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Frame:
    """One received picture: a partial (`index` is its partial_image_index) or a result (`index` is None).

    Immutable, and safe in any thread. Frames are equal when index, is_final and data are.
    """

    data: bytes
    """The picture's bytes, exactly as they were received."""
    format: Format = field(compare=False)
    """"PNG", "JPEG", "WEBP" or "GIF", read from the bytes; "SVG" where `Limits.formats` allows it."""
    size: tuple[int, int] = field(compare=False)
    """(width, height) in pixels, read from the bytes."""
    index: float | None = None
    """The wire's partial_image_index, a number from 0 to 2**53; None for a result."""
    is_final: bool = False
    """True where the picture came as a result."""
    sequence_number: float | None = field(default=None, compare=False)
    """The sequence_number of the event that brought it."""
    event_type: str = field(default="", compare=False)
    """The wire type of the event that brought it, such as "response.output_item.done"."""
    _digest: list[str] = field(default_factory=list, init=False, compare=False)

    @property
    def mime_type(self) -> str:
        """The media type, such as "image/png"."""
        return "image/svg+xml" if self.format == "SVG" else f"image/{self.format.lower()}"

    @property
    def suffix(self) -> str:
        """The file ending that fits the bytes, such as ".png"."""
        return _SUFFIXES[self.format]

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hexadecimal, computed when first asked for."""
        if not self._digest:
            self._digest.append(sha256(self.data).hexdigest())
        return self._digest[0]

    @property
    def data_url(self) -> str:
        """The picture as a data: URL, as an <img> element takes it."""
        return f"data:{self.mime_type};base64,{b64encode(self.data).decode('ascii')}"

    def decode(self) -> Image:
        """A new Pillow image with the picture's pixels, loaded; it is the caller's to change. Any thread may call it.

        Metadata that does not concern pixels (EXIF, text, provenance) is left out of `Image.info`; it is in `data`.
        Raises FrameDecodeError where the pixels are damaged.
        """
        return self._pixels(None)

    def thumbnail(self, size: tuple[int, int]) -> Image:
        """A new Pillow image that fits in `size`, (width, height) in pixels, with the picture's aspect; never enlarged.

        Cheaper than `decode` where the format can be read at a smaller scale. Raises FrameDecodeError as `decode` does,
        and UsageError where `size` is none.
        """
        sides = tuple(size) if isinstance(size, (tuple, list)) else ()
        if len(sides) != 2 or not all(isinstance(side, (int, float)) and 1 <= side < 2**31 for side in sides):
            raise UsageError(f"a preview's size is (width, height) in pixels, each at least 1, not {size!r}")
        return self._pixels(size)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the bytes as received to `path` and return it: atomically, never re-encoded.

        `frame.suffix` is the ending that fits. A file that stands there is replaced. Raises SinkError with the path.
        """
        return write_atomically(path, self.data)

    def as_dict(self) -> dict[str, Any]:
        """The frame's facts, JSON-able: no base64, no pixels. `size` is [width, height] in pixels."""
        return {
            "index": self.index,
            "is_final": self.is_final,
            "sequence_number": self.sequence_number,
            "event_type": self.event_type,
            "format": self.format,
            "size": list(self.size),
            "bytes": len(self.data),
            "sha256": self.sha256,
        }

    def _pixels(self, at_most: tuple[int, int] | None) -> Image:
        if self.format == "SVG":
            sentence = f"{self._name()} is a drawing without pixels: save it, or show it in a browser"
            raise FrameDecodeError(sentence, index=self.index)
        import_module(f"PIL.{_PLUGINS[self.format]}ImagePlugin")
        from PIL import Image

        try:
            image: Image.Image = Image.open(BytesIO(_without_metadata(self.data, self.format)), formats=[self.format])
            if image.size != self.size:
                raise ValueError(f"its pixels are {image.size} and its header says {self.size}")
            if at_most is not None:
                image = image.convert(_RESIZABLE[image.mode]) if image.mode in _RESIZABLE else image
                image.thumbnail(at_most, reducing_gap=1.0)  # pixels are averaged first: half the time, by eye the same
            image.load()  # also where a picture is smaller than asked, and so was left as it is
            image.info = {name: value for name, value in image.info.items() if name in _COLOUR_INFO}
            return image
        except Exception as cause:  # Pillow raises what it meets: OSError, SyntaxError, ValueError, struct.error, …
            raise FrameDecodeError(
                f"the pixels of {self._name()} cannot be decoded: {_said(cause)}; show another frame", index=self.index
            ) from cause

    def _name(self) -> str:
        width, height = self.size
        return f"{'the result' if self.index is None else f'partial {self.index}'}, {self.format} {width}x{height}"

    def __repr__(self) -> str:
        return f"<Frame {self._name()}, {len(self.data):,} bytes{', final' if self.is_final else ''}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        is_text = self.format == "SVG"  # a notebook wants a drawing as text, and pixels as base64
        shown = self.data.decode("utf-8", "replace") if is_text else b64encode(self.data).decode("ascii")
        return {"text/plain": repr(self), self.mime_type: shown}


def _said(cause: Exception) -> str:
    """What Pillow says, without the address of what it could not read; where there is no memory it says nothing."""
    return str(cause).partition(" <")[0] or type(cause).__name__


# What Pillow needs to make the pixels that are shown first. The rest of a PNG (EXIF, text, animation, provenance) can
# be wrong in ways at which Pillow warns or raises, and changes no pixel.
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_LARGEST_PROFILE = 1024 * 1024  # bytes; the largest that Pillow unpacks, and real ones have some kilobytes
# JFIF, an ICC profile and Adobe's transform say what the numbers of a JPEG mean: marker -> (name, least length).
_JPEG_COLOURS = {0xE0: (b"JFIF\0", 18), 0xE2: (b"ICC_PROFILE\0", 18), 0xEE: (b"Adobe", 16)}


def _without_metadata(data: bytes, form: Format) -> bytes:
    if form == "PNG":
        return _kept(data, (0, len(PNG_SIGNATURE)), *_png_pixels(data))
    if form == "JPEG":
        return _kept(data, (0, 2), *_jpeg_pixels(data))
    if form == "GIF":
        return _kept(data, (0, gif_start(data)), *_gif_pixels(data)) + b";"
    return data


def _kept(data: bytes, *places: tuple[int, int]) -> bytes:
    """What stands in these places; where that is all, it is not copied."""
    if sum(end - start for start, end in places) == len(data):
        return data
    whole = memoryview(data)
    return b"".join(whole[start:end] for start, end in places)


def _png_pixels(data: bytes) -> Iterator[tuple[int, int]]:
    for kind, start, end in png_chunks(data):
        if kind in _PNG_PIXELS or (kind == b"iCCP" and _is_profile(data[start + 4 : end])):
            yield start, end


def _is_profile(chunk: bytes) -> bool:
    """Whether the colour profile of a PNG is whole; else Pillow would give up the picture for it."""
    name, _, packed = chunk[4:-4].partition(b"\0")
    if not 1 <= len(name) <= 79 or packed[:1] != b"\0" or crc32(chunk[:-4]) != int.from_bytes(chunk[-4:], "big"):
        return False
    unpacking = decompressobj()
    with suppress(ZlibError):
        unpacking.decompress(packed[1:], _LARGEST_PROFILE)
    return unpacking.eof


def _jpeg_pixels(data: bytes) -> Iterator[tuple[int, int]]:
    for marker, start, end in jpeg_segments(data):
        if marker == 0xDA:  # from the first scan on, a decoder looks for nothing but pixels
            yield start, len(data)
            return
        name, least = _JPEG_COLOURS.get(marker, (b"", 0))
        is_metadata = 0xE0 <= marker <= 0xEF or marker == 0xFE
        if not is_metadata or (name and end - start >= least and data.startswith(name, start + 4)):
            yield start, end


def _gif_pixels(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the first picture of a GIF stands, and before it what says how it is shown.

    Of a comment, which may have megabytes, Pillow before 13 makes a text in quadratic time; and behind an extension
    without data it reads on in the wrong place.
    """
    for kind, start, end in gif_blocks(data):
        if kind == b"," or (kind == b"!\xf9" and end - start > 3):
            yield start, end
        if kind == b",":
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A picture as a message carries it: its base64, and what the message claims of it."""

    base64: str | Decoded = field(repr=False)
    event_type: str
    sequence_number: float | None = None
    index: float | None = None
    is_final: bool = False
    claimed_format: str | None = None
    claimed_size: str | None = None


def read_frame(payload: Payload, item_id: str, limits: Limits, known: Iterable[Frame] = ()) -> Frame:
    """The frame in `payload`. Bytes that a frame in `known` holds already are shared with it, not kept twice.

    Raises FrameEncodingError, FrameDecodeError or LimitError.
    """
    try:
        data = decode_base64(payload.base64)
    except ValueError as cause:
        raise FrameEncodingError(
            f"{said_of(payload, item_id)} cannot be read: {cause}; what came before it is kept",
            item_id=item_id,
            index=payload.index,
        ) from cause
    twin = next((frame for frame in known if frame.data == data), None)
    header = twin or _look_at(data, payload, item_id, limits)
    return Frame(
        data=twin.data if twin else data,
        format=header.format,
        size=header.size,
        index=payload.index,
        is_final=payload.is_final,
        sequence_number=payload.sequence_number,
        event_type=payload.event_type,
    )


def disagreements(frame: Frame, payload: Payload) -> list[str]:
    """What the bytes of `frame` deny of its message's claims, each as the end of a sentence that begins with it."""
    found = []
    form = (payload.claimed_format or "").lower().removeprefix("image/").removesuffix("+xml").replace("jpg", "jpeg")
    if form and form != frame.format.lower():
        found.append(f"is {frame.format} and not {clean(form, 20)}")
    size = "{}x{}".format(*frame.size)
    if payload.claimed_size and _SIZE.fullmatch(payload.claimed_size) and payload.claimed_size != size:
        found.append(f"is {size} pixels and not {payload.claimed_size}")
    return found


_SIZE = re.compile("[0-9]{1,6}x[0-9]{1,6}")


def _look_at(data: bytes, payload: Payload, item_id: str, limits: Limits) -> Header:
    if len(data) > limits.max_frame_bytes:
        raise _beyond(limits, "max_frame_bytes", len(data), f"has {len(data):,} bytes", payload, item_id)
    form = format_of(data)
    if form is not None and form not in limits.formats:
        raise _beyond(limits, "formats", form, f"is {form}", payload, item_id)
    try:
        header = read_header(data)
    except HeaderError as cause:
        sentence = f"{said_of(payload, item_id)} {cause}; what came before it is kept"
        raise FrameDecodeError(sentence, item_id=item_id, index=payload.index) from cause
    width, height = header.size
    if width * height > limits.max_frame_pixels:
        raise _beyond(limits, "max_frame_pixels", width * height, f"is {width}x{height} pixels", payload, item_id)
    return header


def _beyond(limits: Limits, name: str, actual: int | str, fact: str, payload: Payload, item_id: str) -> LimitError:
    allowed = getattr(limits, name)
    allowed = ", ".join(allowed) if isinstance(allowed, tuple) else f"{allowed:,}"
    sentence = f"{said_of(payload, item_id)} {fact}, and Limits.{name} allows {allowed}; it is not kept"
    return LimitError(sentence, limit=name, actual=actual, item_id=item_id)


def said_of(payload: Payload, item_id: str) -> str:
    """The subject of a sentence about the picture in `payload`."""
    what = "the result" if payload.is_final else f"partial {payload.index}"
    return f"{what} of item {quoted(item_id)} in {payload.event_type}"
