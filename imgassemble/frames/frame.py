"""A received picture: base64 from a message becomes a Frame, which can be shown and saved.

The bytes are never changed. Format and size come from the bytes, never from the claims of a message.
Must not know: items, states, events.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from struct import error as StructError  # noqa: N812 - it is a class
from typing import TYPE_CHECKING, Any, Never, TypeVar, get_args

from ..arguments import check_path, closest, shorten
from ..errors import FrameDecodeError, FrameEncodingError, LimitError, UsageError, clean, quoted
from ..files import write_atomically
from ..limits import Format, Limits
from .base64_json import Decoded, Withheld, decode_base64
from .binary import HeaderError
from .containers import Header, format_of, is_same_image, read_header
from .pixels import decode_animation, decode_picture, encode_picture

if TYPE_CHECKING:
    from PIL.Image import Image

_T = TypeVar("_T")

# The usual suffix of each format first, then others that fit it.
_SUFFIXES: dict[Format, tuple[str, ...]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "AVIF": (".avif", ".avifs"),
    "SVG": (".svg",),
}
# Notebooks show these as pictures; others only inside of an <img> element.
_SHOWN_BY_NOTEBOOKS = frozenset({"PNG", "JPEG", "GIF", "WEBP"})
_DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Frame:
    """One received picture: a partial (`index` is its partial_image_index) or a result (`index` is None).

    Immutable, and safe in any thread. Frames are equal when index, is_final and data are.

        print(frame.format, frame.size, frame.sha256)
        path.with_suffix(frame.suffix).write_bytes(frame.data)
    """

    data: bytes
    """The bytes of the picture, exactly as they were received."""
    format: Format = field(compare=False)
    """"PNG", "JPEG", "WEBP", "GIF", "AVIF" or "SVG", read from the bytes."""
    size: tuple[int, int] | None = field(compare=False)
    """The upright (width, height) in pixels, read from the bytes; None if an SVG tells none."""
    index: float | None = None
    """The wire's partial_image_index, a number from 0 to 2**53; None for a result."""
    is_final: bool = False
    """True if the picture came as a result."""
    sequence_number: float | None = field(default=None, compare=False)
    """The sequence_number of the event that brought the picture."""
    event_type: str = field(default="", compare=False)
    """The wire type of the event that brought the picture, for example "response.output_item.done"."""
    _limits: Limits = field(default=_DEFAULT_LIMITS, compare=False)
    _digest: list[str] = field(default_factory=list, init=False, compare=False)

    @property
    def mime_type(self) -> str:
        """The media type, for example "image/png"."""
        return "image/svg+xml" if self.format == "SVG" else f"image/{self.format.lower()}"

    @property
    def suffix(self) -> str:
        """The suffix of a file name that fits the bytes, for example ".png"."""
        return _SUFFIXES[self.format][0]

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hexadecimal, computed at the first use."""
        if not self._digest:
            self._digest.append(sha256(self.data).hexdigest())
        return self._digest[0]

    @property
    def data_url(self) -> str:
        """The picture as a data: URL, for the `src` of an <img> element."""
        return f"data:{self.mime_type};base64,{b64encode(self.data).decode('ascii')}"

    def decode(self) -> Image:
        """Return a new Pillow image of `size`, (width, height) in pixels: upright as in browsers, and loaded.

        The image is yours to change. Any thread may call this. Metadata that does not concern pixels (EXIF, text,
        provenance) is not in `Image.info`; it is in `data`. For an animation this is its first picture.

        Raises FrameDecodeError if the pixels or the checksums of a PNG are damaged, for an SVG, and for an AVIF if
        Pillow has no AVIF.
        """
        return self._decoded(lambda: decode_picture(self.data, self.format, self.size))

    def thumbnail(self, size: tuple[int, int], *others: Never) -> Image:
        """Return a new Pillow image that fits in `size`: upright, with the aspect of the picture, never enlarged.

        `size` is (width, height) in pixels, each from 1. Cheaper than `decode` if the format can be read at a smaller
        scale. Raises FrameDecodeError as `decode` does, and UsageError if `size` is no size.

            frame.thumbnail((256, 256)).show()
        """
        if others:
            raise UsageError(f"the size of a thumbnail is one argument: thumbnail(({size!r:.40}, {others[0]!r:.40}))")
        box = _checked_size(size)
        return self._decoded(lambda: decode_picture(self.data, self.format, self.size, box))

    def encode(self, size: tuple[int, int], format: Format = "WEBP") -> bytes:  # noqa: A002 - as in Frame.format
        """Return a small picture for a web page: the thumbnail for `size` as a file in `format`.

        `size` is (width, height) in pixels, each from 1. `format` is "WEBP", "JPEG", "PNG", "GIF" or "AVIF". The file
        has no metadata. JPEG shows transparency as white. Raises FrameDecodeError as `decode` does, and UsageError for
        a wrong `size` or `format`, and if Pillow cannot write the format.

            page_bytes = frame.encode((256, 256), "WEBP")
        """
        known = [form for form in get_args(Format) if form != "SVG"]
        if format not in known:
            raise UsageError(
                f"a picture is encoded as {', '.join(known)}, not as {shorten(format)}{closest(format, known)}"
            )
        return encode_picture(self.thumbnail(size), format)

    def animation(self) -> Iterator[tuple[Image, float]]:
        """Return an iterator over every picture of an animation with its seconds; a still picture comes with 0 seconds.

        Each picture is a new Pillow image of `size`, upright, in RGB or RGBA, decoded when the iterator reaches it. A
        duration below 0.011 seconds is 0.1 seconds, as in browsers.

        Raises FrameDecodeError as `decode` does, also at a later picture, and LimitError after as many pictures as
        `Limits.max_frames_per_item` allows.

            for image, seconds in frame.animation():
                ...
        """
        self._check_has_pixels()
        return self._pictures()

    def has_same_image(self, other: Frame) -> bool:
        """Return whether `other` holds the same image data: the same file, apart from its metadata.

        Nothing is decoded. A frame is the same image in PNG, JPEG or WebP if only EXIF, text or provenance differ; in
        the other formats if all bytes are equal.
        """
        if self.format != other.format or self.size != other.size:
            return False
        try:
            return is_same_image(self.data, other.data, self.format)
        except (HeaderError, IndexError, StructError):  # a frame that was made by hand, of bytes that are not whole
            return False

    def save(self, path: str | os.PathLike[str], as_is: bool = False) -> Path:  # noqa: FBT001, FBT002
        """Write the bytes as received to `path`, atomically and never re-encoded, and return the path of the file.

        A path without a suffix gets the one of the format. A suffix of another format is a UsageError. `as_is=True`
        takes the path as it is. An existing file is replaced. Raises SinkError, with the path, if writing fails.

            frame.save("otter")        # writes otter.png
        """
        check_path("the place of a picture", path)
        return write_atomically(path if as_is else self._path_with_suffix(path), self.data)

    def as_dict(self) -> dict[str, Any]:
        """Return the facts of the frame for JSON: no base64, no pixels. `size` is [width, height] in pixels or None."""
        return {**facts_without_digest(self), "sha256": self.sha256}

    def _pictures(self) -> Iterator[tuple[Image, float]]:
        pictures = decode_animation(self.data, self.format, self.size)
        most = self._limits.max_frames_per_item
        for count in range(most + 1):
            picture = self._decoded(lambda: next(pictures, None))
            if picture is None:
                return
            if count == most:
                raise LimitError(
                    f"{self._name()} has more than {most:,} pictures, the most that Limits.max_frames_per_item allows;"
                    " show those that came",
                    limit="max_frames_per_item",
                    actual=most + 1,
                )
            yield picture

    def _decoded(self, decode: Callable[[], _T]) -> _T:
        self._check_has_pixels()
        try:
            return decode()
        except Exception as cause:  # Pillow raises many kinds: OSError, SyntaxError, ValueError, struct.error, …
            sentence = f"the pixels of {self._name()} cannot be decoded: {_reason(cause)}; show another frame"
            raise FrameDecodeError(sentence, index=self.index) from cause

    def _check_has_pixels(self) -> None:
        if self.format == "SVG":
            sentence = f"{self._name()} is a drawing without pixels: save it, or show it in a browser"
            raise FrameDecodeError(sentence, index=self.index)

    def _path_with_suffix(self, path: str | os.PathLike[str]) -> Path:
        if os.fspath(path).endswith(("/", os.sep)):
            raise UsageError(f"{quoted(os.fspath(path))} is a folder: add the name of a file, as 'otter'")
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix in _SUFFIXES[self.format] or not target.name:
            return target
        if suffix in ("", "."):
            return target.with_name(target.name.rstrip(".") + self.suffix) if target.name.strip(".") else target
        raise UsageError(
            f"the picture is {self.format}, and the name {quoted(target.name)} ends in {quoted(target.suffix)}:"
            f" leave the suffix out, use {self.suffix!r}, or pass as_is=True"
        )

    def _name(self) -> str:
        kind = "the result" if self.index is None else f"partial {self.index}"
        return f"{kind}, {self.format}" + ("" if self.size is None else " {}x{}".format(*self.size))

    def __repr__(self) -> str:
        return f"<Frame {self._name().removeprefix('the ')}, {len(self.data):,} bytes>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        if self.format in _SHOWN_BY_NOTEBOOKS:
            return {"text/plain": repr(self), self.mime_type: b64encode(self.data).decode("ascii")}
        # Inside of <img> a browser runs no script of a drawing, and loads nothing for it.
        return {"text/plain": repr(self), "text/html": f'<img alt="{self.format}" src="{self.data_url}">'}


def facts_without_digest(frame: Frame) -> dict[str, Any]:
    """Return the facts of `Frame.as_dict` that take no time."""
    return {
        "index": frame.index,
        "is_final": frame.is_final,
        "sequence_number": frame.sequence_number,
        "event_type": frame.event_type,
        "format": frame.format,
        "size": None if frame.size is None else list(frame.size),
        "bytes": len(frame.data),
    }


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, (tuple, list)) else ()
    if len(sides) != 2 or not all(isinstance(side, (int, float)) and 1 <= side < 2**31 for side in sides):
        raise UsageError(f"the size of a thumbnail is (width, height) in pixels, each from 1, not {size!r}")
    return sides


def _reason(cause: Exception) -> str:
    """Return the message of Pillow without the address of an object. A MemoryError has no message."""
    return str(cause).partition(" <")[0] or type(cause).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A picture as a message carries it: its base64, and the claims of the message."""

    base64: str | Decoded | Withheld = field(repr=False)
    event_type: str
    sequence_number: float | None = None
    index: float | None = None
    is_final: bool = False
    claimed_format: str | None = None
    claimed_size: str | None = None


def read_frame(payload: Payload, item_id: str, limits: Limits, known: Iterable[Frame] = ()) -> Frame:
    """Return the frame in `payload`. If a frame in `known` has the same bytes, they are shared, not kept twice.

    Raises FrameEncodingError, LimitError, or FrameDecodeError with the refused bytes as `data`.
    """
    try:
        data = decode_base64(payload.base64)
    except ValueError as cause:
        raise FrameEncodingError(
            f"{describe_payload(payload, item_id)} cannot be read: {cause}; what came before it is kept",
            item_id=item_id,
            index=payload.index,
        ) from cause
    twin = next((frame for frame in known if frame.data == data), None)
    header = twin or _checked_header(data, payload, item_id, limits)
    return Frame(
        data=twin.data if twin else data,
        format=header.format,
        size=header.size,
        index=payload.index,
        is_final=payload.is_final,
        sequence_number=payload.sequence_number,
        event_type=payload.event_type,
        _limits=limits,
    )


def disagreements(frame: Frame, payload: Payload) -> list[str]:
    """Return the claims of a message that the bytes of `frame` contradict, each as the end of a sentence about it."""
    found = []
    form = (payload.claimed_format or "").lower().removeprefix("image/").removesuffix("+xml").replace("jpg", "jpeg")
    if form and form != frame.format.lower():
        found.append(f"is {frame.format} and not {clean(form, 20)}")
    if frame.size is None or frame.format == "SVG":  # a drawing is shown at any size
        return found
    if payload.claimed_size and _SIZE.fullmatch(payload.claimed_size):
        size = "{}x{}".format(*frame.size)
        if payload.claimed_size != size:
            found.append(f"is {size} pixels and not {payload.claimed_size}")
    return found


_SIZE = re.compile("[0-9]{1,6}x[0-9]{1,6}")


def describe_payload(payload: Payload, item_id: str) -> str:
    """Return the subject of a sentence about the picture in `payload`."""
    picture = "the result" if payload.is_final else f"partial {payload.index}"
    return f"{picture} of item {quoted(item_id)} in {payload.event_type}"


def _checked_header(data: bytes, payload: Payload, item_id: str, limits: Limits) -> Header:
    if len(data) > limits.max_frame_bytes:
        raise _limit_error(limits, "max_frame_bytes", len(data), f"has {len(data):,} bytes", payload, item_id)
    form = format_of(data)
    if form is not None and form not in limits.formats:
        raise _limit_error(limits, "formats", form, f"is {form}", payload, item_id)
    try:
        header = read_header(data)
    except HeaderError as cause:
        sentence = f"{describe_payload(payload, item_id)} {cause}; what came before it is kept"
        raise FrameDecodeError(sentence, item_id=item_id, index=payload.index, data=data) from cause
    width, height = header.size or (0, 0)
    if width * height > limits.max_frame_pixels:
        fact = f"is {width}x{height} pixels"
        raise _limit_error(limits, "max_frame_pixels", width * height, fact, payload, item_id)
    return header


def _limit_error(limits: Limits, name: str, actual: int | str, fact: str, payload: Payload, item_id: str) -> LimitError:
    allowed = getattr(limits, name)
    allowed = ", ".join(allowed) if isinstance(allowed, tuple) else f"{allowed:,}"
    sentence = f"{describe_payload(payload, item_id)} {fact}, and Limits.{name} allows {allowed}; it is not kept"
    return LimitError(sentence, limit=name, actual=actual, item_id=item_id)
