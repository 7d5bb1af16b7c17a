"""Join a stream to the run that an earlier process saved.

The stream may begin at its start, or at the place where it broke. Its events are given after the saved ones. Images
with ids are joined by their ids. Images without ids are counted, so their number depends on the place at which the
stream begins. This module finds the place by comparing pictures, and adds the number to the event.
Must not know: files, sinks, the effect of an event on an item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from hashlib import sha256
from typing import Any, NamedTuple

from ..assembly.assembler import Assembler
from ..errors import EventError, FrameError, ImgassembleError, LimitError, ProviderError, clean, quoted
from ..frames.base64_json import load_decoded
from ..frames.frame import Frame, Payload, read_frame
from ..limits import Limits
from ..states import State
from ..wire.dialects import ROWS, Reading, Shape, Signal
from ..wire.reader import read_event
from ..wire.readings import read
from .saved import Event, item_events
from .saved_items import SavedItem, number_in_id

_REPEAT = {"type": "imgassemble.repeat"}  # replaces an event that an earlier run has read; the assembler skips it
_TEXT = (str, bytes, bytearray, memoryview)
_RESPONSE_BEGINNINGS = frozenset({"response.created", "response.queued", "response.in_progress", "response"})


class EarlierRun:
    """A run that was saved, and that a stream continues.

    items: the saved items, in the order of `read_items`.
    drops_partials: whether partials of an image that has ended can be missing.
    """

    def __init__(self, items: Sequence[SavedItem], *, drops_partials: bool) -> None:
        self._items = items
        self._drops_partials = drops_partials
        self._same_stream = _SameStreamCheck(items)
        self._responses: _CurrentResponses | None = None
        self._counter: _ImageCounter | None = None

    @property
    def contradiction(self) -> str | None:
        """The reason why the stream must be another one; None if there is none."""
        return self._same_stream.contradiction or (self._counter.contradiction if self._counter else None)

    @property
    def is_joined(self) -> bool:
        """Whether the rest of the stream needs no change."""
        return self._is_settled and self._responses is not None and not self._responses.are_saved

    @property
    def _is_settled(self) -> bool:
        return self._same_stream.is_settled and self._counter is not None and self._counter.is_settled

    def events(self) -> Iterator[Event]:
        """Yield the saved items as events."""
        return item_events(self._items, {}, is_finished=False)

    def join(self, event: object, assembler: Assembler) -> object:
        """Return an event of the stream as the assembler needs it, after it was fed with `events()`.

        Raises nothing: an event that cannot be read is returned unchanged.
        """
        if self._counter is None or self._responses is None:
            self._responses = _CurrentResponses(self._items, assembler.limits)
            self._counter = _ImageCounter(self._items, assembler, drops_partials=self._drops_partials)
        if isinstance(event, ImgassembleError) or self.is_joined:
            return event
        try:
            reading = read(read_event(event, load_decoded))
            loaded = load_decoded(event) if isinstance(event, _TEXT) else event
        except ImgassembleError:
            return event
        self._same_stream.check(reading, loaded)
        return self._responses.name_in(self._counter.with_number(loaded, reading), reading, assembler)


class _SameStreamCheck:
    """Compares the ids in a stream with the saved ones, until it is known whether the stream is the same."""

    def __init__(self, items: Sequence[SavedItem]) -> None:
        self._response_ids = {item.response_id for item in items} - {None}
        self._item_ids = {item.wire_id for item in items if item.number is None}
        self._unsaved_response_id: str | None = None  # of the response that began last, if none of it was saved
        self.is_settled = not self._response_ids
        self.contradiction: str | None = None

    def check(self, reading: Reading, event: object) -> None:
        if self.is_settled:
            return
        if any(signal.item_id in self._item_ids for signal in reading.signals if signal.item_id is not None):
            self.is_settled = True
        elif reading.response_id is not None:
            is_beginning = reading.begins or reading.event_type in _RESPONSE_BEGINNINGS
            self._check_response(reading.response_id, event, is_beginning=is_beginning)
        elif reading.event_type.startswith("response.") and self._unsaved_response_id is None:
            self.is_settled = True  # the stream continues in the middle of a response
        has_picture = any(signal.payload for signal in reading.signals)
        if has_picture and self._unsaved_response_id is not None and not self.is_settled:
            saved = ", ".join(quoted(str(each)) for each in sorted(map(str, self._response_ids))[:3])
            self.contradiction = (
                f"its images belong to the response {quoted(self._unsaved_response_id)}, and the saved ones to {saved}"
            )
            self.is_settled = True

    def _check_response(self, response_id: str, event: object, *, is_beginning: bool) -> None:
        if response_id in self._response_ids or _previous_response_of(event) in self._response_ids:
            self.is_settled = True
        elif is_beginning:
            # Not an error yet: the response may have no images, so that nothing of it was saved.
            self._unsaved_response_id = response_id
        elif self._unsaved_response_id is None:
            # The stream continues in the middle of a response; some services change the id with every event.
            self.is_settled = True


def _previous_response_of(event: object) -> str | None:
    found = _member(_member(event, "response") or event, "previous_response_id")
    return found if isinstance(found, str) else None


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


class _CurrentResponses:
    """Adds the response id to events that have none.

    The saved events leave responses open. Without this class, an event without a response id would go to the last one
    of them. A stream that begins at its start brings earlier responses first, another response can follow, and the
    next response can use an item id again.
    """

    def __init__(self, items: Sequence[SavedItem], limits: Limits) -> None:
        self._limits = limits
        self._last = items[-1].response_id if items else None
        self._items: dict[tuple[str, str], SavedItem] = {  # by response id and the id of the service
            (item.response_id, item.wire_id): item for item in items if item.response_id and item.wire_id
        }
        self._current: dict[object, str] = {}  # by lane
        self.are_saved = self._last is not None

    def name_in(self, event: object, reading: Reading, assembler: Assembler) -> object:
        kind, lane = _member(event, "type"), reading.lane
        if not self.are_saved or not isinstance(kind, str) or not kind.startswith("response."):
            return event
        if kind in _RESPONSE_BEGINNINGS:
            if reading.response_id is not None:
                self._current[lane] = reading.response_id
                self._begin(reading.response_id, assembler)
            return event
        if _member(event, "response_id") or _member(event, "response"):
            return event
        response_id = self._response_of(reading, assembler)
        return event if response_id is None else _with_members(event, response_id=response_id)

    def _response_of(self, reading: Reading, assembler: Assembler) -> str | None:
        """Return the id of the response that has the event; None if the assembler finds it itself."""
        current = self._current.get(reading.lane)
        item_id = next((signal.item_id for signal in reading.signals if signal.item_id is not None), None)
        owners = [response_id for response_id, wire_id in self._items if wire_id == item_id]
        if current is None and len(owners) == 1 and reading.lane is not None:
            self._current[reading.lane] = owners[0]  # the saved events have no lanes
            return owners[0]
        if current is None:
            if self._last in owners and self._is_of_another_response(str(item_id), reading, assembler):
                self._leave_last(assembler)
            return None
        if current == self._last:
            return None if reading.lane is None else current
        is_open = self._last in owners and not self._items[str(self._last), str(item_id)].has_ended
        return None if is_open and current not in owners else current

    def _is_of_another_response(self, item_id: str, reading: Reading, assembler: Assembler) -> bool:
        """Return whether the event brings a picture that contradicts the saved item, which has its result."""
        item = self._items[str(self._last), item_id]
        if not item.has_ended or item.drops_partials:
            return False
        pictures = (_data_of(signal.payload, self._limits) for signal in reading.signals if signal.payload)
        held = assembler.items.get(item.id)
        frames = [frame for frame in (*held.partials, held.final) if frame] if held else []
        return any(data is not None and not _is_saved(data, item, frames) for data in pictures)

    def _begin(self, response_id: str, assembler: Assembler) -> None:
        """Begin a response whose `response.created` was lost: otherwise its id is another name of the last one."""
        are_over = all(item.has_ended for (owner, _), item in self._items.items() if owner == self._last)
        if are_over and response_id not in {owner for owner, _ in self._items}:
            assembler.feed({"type": "response.created", "response": {"id": response_id}})

    def _leave_last(self, assembler: Assembler) -> None:
        """End the last saved response: the next one has begun, and its first events were lost."""
        assembler.feed({"type": "response.completed", "response": {"id": self._last}})
        assembler.feed({"type": "response.created", "response": {}})
        self.are_saved = False


class _RepeatPhase(Enum):
    """Whether a stream is repeating the saved images."""

    UNKNOWN = "no event has shown whether the stream repeats"
    REPEATING = "the stream brings the saved images again"
    PAST = "the stream brings new images"


class _SavedPicture(NamedTuple):
    """A saved picture of an image without a name, and the sequence number of the event that brought it."""

    frame: Frame
    sequence_number: float | None


class _SavedImage(NamedTuple):
    """A saved image without a name."""

    number: int
    pictures: tuple[_SavedPicture, ...]
    error: tuple[str | None, str] | None
    has_ended: bool

    @property
    def result(self) -> _SavedPicture | None:
        return next((each for each in self.pictures if each.frame.is_final), None)

    @property
    def lowest_partial(self) -> float | None:
        return next((each.frame.index for each in self.pictures if not each.frame.is_final), None)


class _ImageCounter:
    """Finds the number of the image that an event without a name concerns."""

    def __init__(self, items: Sequence[SavedItem], assembler: Assembler, *, drops_partials: bool) -> None:
        self._images = _images_in(items, assembler)
        self._limits = assembler.limits
        self._drops_partials = drops_partials
        self._n_ended = max((image.number + 1 for image in self._images if image.has_ended), default=0)
        self._next = 0  # the number of the next image, while the stream is repeating
        self._phase = _RepeatPhase.UNKNOWN if self._n_ended else _RepeatPhase.PAST
        results = [image.result.sequence_number for image in self._images if image.result]
        self._numbers = {number for number in results if number is not None}
        # Some services give every event the same number, or count from 0 for each image.
        self._numbers_rise = len(self._numbers) == len(results) >= 2
        self.contradiction: str | None = None

    @property
    def is_settled(self) -> bool:
        return self._phase is _RepeatPhase.PAST

    def with_number(self, event: object, reading: Reading) -> object:
        """Return `event` with the number of its first image, if the assembler would count it wrongly."""
        counted = [signal for signal in reading.signals if _is_counted(signal)]
        if not counted or self.is_settled:
            return event
        if self._phase is _RepeatPhase.UNKNOWN:
            found = self._look_for(counted[0], reading)
            if not isinstance(found, int):
                return event if found is None else found
            self._next, self._phase = found, _RepeatPhase.REPEATING
        number = self._next
        n_saved = min(len(counted), self._n_ended - number)
        for signal in counted:
            self._advance(signal)
        if self.contradiction:
            return event
        is_answer = ROWS[reading.event_type].shape is Shape.IMAGES
        return _without_first(event, n_saved) if is_answer else _with_members(event, image_index=number)

    def _look_for(self, signal: Signal, reading: Reading) -> int | object | None:
        """Return the number of the saved image that has the signal's picture or error; None if the image is new.

        Returns a replacement event if the image is uncertain, or if the event only repeats saved facts.
        """
        data = _data_of(signal.payload, self._limits)
        for image in self._images:
            if _is_of(image, data, signal.error, reading.sequence_number):
                return image.number
        if signal.witness is not None:
            self._pass()
            if self._numbers_rise and reading.sequence_number in self._numbers:
                self._contradict("the event that brought a saved result brings another one")
            return None
        return self._replacement(signal.payload, data, reading)

    def _replacement(self, payload: Payload | None, data: bytes | None, reading: Reading) -> object | None:
        """Return the replacement for a partial that was not saved; None if the partial belongs to the next image."""
        if payload is None:
            return None
        may_be_dropped = self._may_be_dropped(payload)
        number, highest_saved = reading.sequence_number, max(self._numbers, default=None)
        is_before_saved = number is not None and highest_saved is not None and number < highest_saved
        if is_before_saved and (may_be_dropped or data is None):
            return _REPEAT
        if not may_be_dropped:
            return None
        sentence = (
            f"{clean(reading.event_type)} can be of a saved image or of the next one; it is skipped until a result "
            "shows which"
        )
        return EventError(sentence, event_type=reading.event_type, has_picture=bool(payload.base64))

    def _may_be_dropped(self, payload: Payload) -> bool:
        """Return whether an image that has ended may have had this partial: perhaps only its highest one was kept."""
        if self._drops_partials:
            return True
        lowest = [image.lowest_partial for image in self._images if image.has_ended]
        return any(index is not None and index > (payload.index or 0) for index in lowest)

    def _advance(self, signal: Signal) -> None:
        if signal.witness is None or self.is_settled:
            return
        image = next((each for each in self._images if each.number == self._next), None)
        data = _data_of(signal.payload, self._limits)
        if image and image.result and data is not None and data != image.result.frame.data:
            self._contradict(f"it has another result for {quoted(f'image-{self._next}')}")
        self._next += 1
        if self._next >= self._n_ended:
            self._pass()

    def _contradict(self, reason: str) -> None:
        self.contradiction = reason
        self._pass()

    def _pass(self) -> None:
        self._phase, self._images = _RepeatPhase.PAST, []  # they hold pictures


def _is_saved(data: bytes, item: SavedItem, frames: Sequence[Frame]) -> bool:
    """Return whether a picture of `item` was saved. `frames`: those of its pictures that the assembler holds.

    item.json has no digests of partials: for one that is not held its size stands for it.
    """
    if any(frame.data == data for frame in frames):
        return True
    indices = {frame.index for frame in frames}
    others = [each for each in item.frames.values() if each["bytes"] == len(data) and each["index"] not in indices]
    return any(each.get("sha256") in (None, sha256(data).hexdigest()) for each in others)


def _is_counted(signal: Signal) -> bool:
    """Return whether the image is counted. If a service sends no numbers, the assembler compares pictures itself."""
    return signal.is_unnamed and signal.number is None and not signal.is_unnumbered


def _images_in(items: Sequence[SavedItem], assembler: Assembler) -> list[_SavedImage]:
    """Return the images without names that the assembler holds, with the sequence numbers that were saved."""
    saved = {item.id: item for item in items}
    images = []
    for item_id, item in assembler.items.items():
        number = number_in_id(item_id)
        if number is not None:
            described = saved[item_id].frames.values() if item_id in saved else ()
            numbers = {(each["index"], each["bytes"]): each["sequence_number"] for each in described}
            results = [item.final] if item.final and item.final.is_final else []
            pictures = tuple(
                _SavedPicture(frame, numbers.get((frame.index, len(frame.data))))
                for frame in (*item.partials, *results)
            )
            has_ended = bool(results) or item.state is State.FAILED
            images.append(_SavedImage(number, pictures, _words_of(item.error), has_ended))
    return sorted(images, key=lambda image: image.number)


def _is_of(image: _SavedImage, data: bytes | None, error: ProviderError | None, number: float | None) -> bool:
    if error is not None and _words_of(error) == image.error:
        return True
    return any(
        data == picture.frame.data and (None in (number, picture.sequence_number) or number == picture.sequence_number)
        for picture in image.pictures
    )


def _words_of(error: ImgassembleError | None) -> tuple[str | None, str] | None:
    return (error.code, error.message) if isinstance(error, ProviderError) else None


def _data_of(payload: Payload | None, limits: Limits) -> bytes | None:
    with suppress(FrameError, LimitError):
        return read_frame(payload, "", limits, ()).data if payload else None
    return None


class _ChangedEvent:
    """An SDK's event with other members."""

    def __init__(self, event: object, members: Mapping[str, object]) -> None:
        self._event = event
        self.__dict__.update(members)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._event, name)


def _with_members(event: object, **members: object) -> object:
    return {**event, **members} if isinstance(event, Mapping) else _ChangedEvent(event, members)


def _without_first(answer: object, count: int) -> object:
    """Return an answer of the Images API without its first images, which are saved already."""
    data = answer.get("data") if isinstance(answer, Mapping) else getattr(answer, "data", None)
    images = [image for image in data or () if image is not None]
    return _with_members(answer, data=images[count:]) if len(images) > count else _REPEAT
