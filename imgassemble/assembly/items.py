"""What a user asks for: an item as it stands, and the result of a whole stream.

Knows: the verdict on an item and its frames. Must not know: how they came about. All of it is immutable, and safe in
any thread; the one thing that is made later is a picture's pixels, kept for the frame that was asked for last.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..errors import FrameDecodeError, ImgassembleError, IncompleteStreamError, ProviderError, UsageError, quoted
from ..frames.frame import Frame
from ..readonly import ReadOnly, plain
from ..states import Ending, State
from .lifecycle import StreamFacts
from .updates import Anomaly, Outcome

if TYPE_CHECKING:
    from PIL.Image import Image


class Pixels:
    """The decoded pixels of one frame of an item: the one that was asked for last."""

    __slots__ = ("_frame", "_image", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._frame: Frame | None = None
        self._image: Image | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Pixels, ()  # pixels are made again where they are wanted

    def of(self, frame: Frame) -> Image:
        with self._lock:
            if self._image is None or self._frame is not frame:
                self._image = frame.decode()
                self._frame = frame
            return self._image


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One image being made, as it stood when it was asked for."""

    id: str
    """The item id: the service's, or "image-0", "image-1", … where it names none."""
    state: State
    """Where the item stands."""
    partials: tuple[Frame, ...] = ()
    """The partials by partial_image_index."""
    final: Frame | None = None
    """The final picture, or None."""
    is_provisional: bool = False
    """True where `final` is only the last partial: the service said completed and sent no result."""
    error: ImgassembleError | None = None
    """What went wrong, where the item is FAILED or INCOMPLETE."""
    reason: str | None = None
    """Why the item is INCOMPLETE, in the service's words where it said."""
    anomalies: tuple[Anomaly, ...] = field(default=(), compare=False)
    """What was wrong with its events: the newest 100."""
    output_index: float | None = None
    """Its place in the response's output."""
    revised_prompt: str | None = None
    """The prompt as the service rewrote it."""
    usage: Mapping[str, Any] | None = None
    """The tokens that the service says this image took, in its own words."""
    url: str | None = None
    """Where the service says that the picture is, when it sent a URL in its place. It is kept, and never fetched."""
    _pixels: Pixels = field(default_factory=Pixels, repr=False, compare=False)

    @property
    def latest(self) -> Frame | None:
        """The best picture so far: the final, else the partial with the highest index."""
        return self.final or (self.partials[-1] if self.partials else None)

    @property
    def image(self) -> Image | None:
        """`latest` as a Pillow image, decoded once and kept: copy it to draw on it.

        A partial that cannot be decoded gives the one before it. Raises FrameDecodeError where a result cannot be.
        """
        if self.final and self.final.is_final:
            return self._pixels.of(self.final)
        for frame in reversed(self.partials):
            try:
                return self._pixels.of(frame)
            except FrameDecodeError:
                continue
        return None

    def as_dict(self) -> dict[str, Any]:
        """The item as JSON-able facts, without base64 or pixels."""
        return {
            "id": self.id,
            "state": self.state,
            "is_provisional": self.is_provisional,
            "final": plain(self.final),
            "partials": [frame.as_dict() for frame in self.partials],
            "error": plain(self.error),
            "reason": self.reason,
            "anomalies": [{"code": each.code, "message": each.message} for each in self.anomalies],
            "output_index": self.output_index,
            "revised_prompt": self.revised_prompt,
            "url": self.url,
            "usage": plain(self.usage),
        }

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {**(self.latest._repr_mimebundle_() if self.latest else {}), "text/plain": repr(self)}


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the stream was heard, and so where to resume it; each is None until it was said.

    `last_event_id` is that of a server-sent event: `resuming` alone hears of it.
    """

    response_id: str | None = None
    sequence_number: float | None = None
    last_event_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a whole stream gave."""

    items: Mapping[str, Item]
    """The items by id, in the order in which they were first heard of."""
    outcome: Outcome
    """How the stream ended."""
    error: ImgassembleError | None = None
    """What went wrong; None where the outcome is COMPLETED."""
    anomalies: tuple[Anomaly, ...] = field(default=(), compare=False)
    """What was wrong with events that belong to no item: the newest 100."""

    @property
    def final(self) -> Frame | None:
        """The final of the only image, None where there is none. Raises UsageError where there are several images."""
        if len(self.items) > 1:
            names = ", ".join(quoted(name) for name in list(self.items)[:10])
            raise UsageError(f"there are {len(self.items)} images: say which, as in result.items[…].final, of {names}")
        return next((item.final for item in self.items.values()), None)

    def raise_for_outcome(self) -> None:
        """Raise what went wrong, unless the outcome is COMPLETED: ProviderError or IncompleteStreamError."""
        if self.error is not None:
            error = copy(self.error)  # an error that is raised collects tracebacks, and this one is kept
            for anomaly in self.anomalies[-3:]:
                error.add_note(anomaly.message)
            raise error from self.error.__cause__


def result_of(
    items: Mapping[str, Item], stream: StreamFacts, gone: Mapping[State, ImgassembleError | None] = ReadOnly({})
) -> Result:
    """The result of a stream with these `items`. `gone`: how others stood that were let go of, and why."""
    named = {state: sorted(name for name, item in items.items() if item.state is state) for state in State}
    if stream.failed or named[State.FAILED] or State.FAILED in gone:
        first = next((items[name].error for name in named[State.FAILED]), gone.get(State.FAILED))
        return Result(items=items, outcome=Outcome.FAILED, error=stream.error or first or ProviderError(""))
    if named[State.INCOMPLETE] or State.INCOMPLETE in gone or Ending.INCOMPLETE in stream.endings:
        sentence = _incomplete(named[State.INCOMPLETE], stream, has_any=bool(items), has_gone=State.INCOMPLETE in gone)
        incomplete = IncompleteStreamError(sentence, item_ids=named[State.INCOMPLETE])
        return Result(items=items, outcome=Outcome.INCOMPLETE, error=incomplete)
    if not (items or gone):
        sentence = (
            "the stream held no image: it was cut before its first, the service answered in text or refused, or it is "
            "another kind of stream; anomalies, where there are any, say more"
        )
        return Result(items=items, outcome=Outcome.NO_IMAGE, error=IncompleteStreamError(sentence))
    return Result(items=items, outcome=Outcome.COMPLETED)


def _incomplete(names: list[str], stream: StreamFacts, *, has_any: bool, has_gone: bool) -> str:
    which = ", ".join(map(quoted, names[:10])) or ("an image that was discarded" if has_gone else "")
    if not which:
        kept = "its images are whole" if has_any else "it has no image, change the request"
        return f"the service called the response incomplete{f': {stream.reason}' if stream.reason else ''}; {kept}"
    if stream.reason:
        return f"the service called {which} incomplete: {stream.reason}; what came is kept, change the request"
    return f"the stream ended before {which} was complete; what came is kept: resume the stream, or ask again"
