"""An item as a user sees it, and the cursor of a stream.

Items are immutable, and safe in any thread. The pixels of a picture are decoded on demand. They are kept for the
frame that was last used.

Must not know: events, the facts behind an item.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..errors import FrameDecodeError, ImgassembleError, IncompleteStreamError, clean, quoted
from ..frames.frame import Frame
from ..readonly import ReadOnly, plain
from ..states import State
from .updates import Anomaly

if TYPE_CHECKING:
    from PIL.Image import Image


class Pixels:
    """The decoded pixels of one frame of an item: the frame that was last used."""

    __slots__ = ("_frame", "_image", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._frame: Frame | None = None
        self._image: Image | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Pixels, ()  # pixels are decoded again on demand

    def of(self, frame: Frame) -> Image:
        """Return the pixels of `frame`. Raises FrameDecodeError."""
        with self._lock:
            if self._image is None or self._frame is not frame:
                self._image = frame.decode()
                self._frame = frame
            return self._image


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Item:
    """One image that is being made, as it was at the moment of your call.

    for item in result.items.values():
        print(item.state, len(item.partials), item.final)
    """

    id: str
    """The id that the service gave; "image-0", "image-1", … or "output-0", … if it gave none; ID@RESPONSE if another
    response has used the id."""
    state: State
    """The stage of the item."""
    partials: tuple[Frame, ...] = ()
    """The partials by partial_image_index."""
    final: Frame | None = None
    """The final picture, or None."""
    is_provisional: bool = False
    """True if `final` is only the last partial: the service said completed and sent no result."""
    error: ImgassembleError | None = None
    """The error of an item that is FAILED or INCOMPLETE; None in other states."""
    reason: str | None = None
    """The reason of an item that is INCOMPLETE, in the words of the service if it gave one."""
    anomalies: tuple[Anomaly, ...] = field(default=(), compare=False)
    """The anomalies of its events: the newest 100."""
    output_index: float | None = None
    """Its place in the response's output."""
    revised_prompt: str | None = None
    """The prompt as the service rewrote it."""
    usage: Mapping[str, Any] | None = None
    """The tokens that this image took, in the words of the service."""
    url: str | None = None
    """The URL that the service sent in place of the picture."""
    wire_id: str | None = None
    """The id in the events of the item: `id` without the name of the response."""
    response_id: str | None = None
    """The id of the response to which the item belongs."""
    settings: Mapping[str, Any] = field(default_factory=lambda: ReadOnly({}))
    """size, quality, background, output_format, action, model: those that the service reported, in its words.
    Local engines report percent (0 to 100) and eta_s (the seconds that are left)."""
    _pixels: Pixels = field(default_factory=Pixels, repr=False, compare=False)

    @property
    def latest(self) -> Frame | None:
        """Return the best picture so far: the final, else the partial with the highest index; None without either."""
        return self.final or (self.partials[-1] if self.partials else None)

    @property
    def image(self) -> Image | None:
        """Return `latest` as a Pillow image, decoded once and kept: copy it to draw on it.

        If a partial cannot be decoded, the one before it is used. Raises FrameDecodeError if a result cannot be.
        """
        if self.final and self.final.is_final:
            return self._pixels.of(self.final)
        for frame in reversed(self.partials):
            try:
                return self._pixels.of(frame)
            except FrameDecodeError:
                continue
        return None

    def require_final(self, *, provisional: bool = False) -> Frame:
        """Return the final picture.

        provisional: also accept a provisional final, which is only the last partial.

        Raises the error of the item if it has none: ProviderError or IncompleteStreamError.
        """
        if self.final is not None and (provisional or not self.is_provisional):
            return self.final
        raise copy_to_raise(self.error or self._without_result())

    def _without_result(self) -> IncompleteStreamError:
        name = quoted(self.id)
        if self.is_provisional:
            sentence = (
                f"the image {name} has no result, only a last preview: the service said completed and sent none; use "
                "require_final(provisional=True) to accept the preview"
            )
        elif self.state is State.COMPLETED:
            sentence = (
                f"the image {name} is complete, and its picture is not in the events: feed the rest of the stream, or "
                "if its picture was taken out, put it back by with_pictures()"
            )
        else:
            sentence = f"the image {name} has no final picture yet: feed the rest of the stream, then close it"
        return IncompleteStreamError(sentence, item_ids=[self.id])

    def as_dict(self) -> dict[str, Any]:
        """Return the item as JSON-able facts, without base64 or pixels."""
        frames = {"final": plain(self.final), "partials": [frame.as_dict() for frame in self.partials]}
        return facts_without_frames(self) | frames

    def __repr__(self) -> str:
        n_partials, name = len(self.partials), "draft" if self.is_provisional else "final"
        final = f", {name} {self.final!r}" if self.final else ""
        partials = f"{n_partials} {'partial' if n_partials == 1 else 'partials'}"
        return f"<Item {clean(self.id, 100)!r} {self.state}, {partials}{final}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {**(self.latest._repr_mimebundle_() if self.latest else {}), "text/plain": repr(self)}


def facts_without_frames(item: Item) -> dict[str, Any]:
    """Return the facts of `Item.as_dict` as for an item without frames: the digests of frames take time."""
    return {
        "id": item.id,
        "state": item.state,
        "is_provisional": item.is_provisional,
        "final": None,
        "partials": [],
        "error": plain(item.error),
        "reason": item.reason,
        "anomalies": [{"code": each.code, "message": each.message} for each in item.anomalies],
        "output_index": item.output_index,
        "revised_prompt": item.revised_prompt,
        "url": item.url,
        "usage": plain(item.usage),
        "wire_id": item.wire_id,
        "response_id": item.response_id,
        "settings": plain(item.settings),
    }


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position at which to resume a stream; each field is None until it is known.

    response_id: the id of the response that came last.
    sequence_number: its highest sequence number; with `resuming`, the one up to which nothing is missing.
    last_event_id: the id of the last server-sent event that has one; only `resuming` sets it.

        client.responses.retrieve(cursor.response_id, stream=True, starting_after=cursor.sequence_number)
    """

    response_id: str | None = None
    sequence_number: float | None = None
    last_event_id: str | None = None


def copy_to_raise(error: ImgassembleError) -> ImgassembleError:
    """Return a copy of `error` to raise, because raising adds a traceback, and `error` itself is kept."""
    return copy(error)
