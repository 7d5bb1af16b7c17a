"""Finds the number of an image without an id in a stream that continues an earlier run.

Images without ids are counted, so their numbers depend on the place at which the stream begins. Comparing pictures with
the saved ones shows that place.
Must not know: files, sinks, responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from ..assembly.assembler import Assembler
from ..assembly.repeats import frame_in
from ..errors import EventError, ImgassembleError, ProviderError, clean, quoted
from ..frames.frame import Frame, Payload
from ..states import State
from ..wire.dialects import ROWS, Reading, Shape, Signal
from .changed_events import REPEAT, with_members, without_first
from .saved_items import SavedItem, number_in_id


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
    has_replaced: bool  # a partial was replaced by another one of the same index

    @property
    def result(self) -> _SavedPicture | None:
        return next((each for each in self.pictures if each.frame.is_final), None)

    @property
    def lowest_partial(self) -> float | None:
        return next((each.frame.index for each in self.pictures if not each.frame.is_final), None)


class ImageCounter:
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
        self._heard: set[tuple[object, ...]] = set()  # the numbered events of the stream so far
        self.contradiction: str | None = None

    @property
    def is_settled(self) -> bool:
        return self._phase is _RepeatPhase.PAST

    def with_number(self, event: object, reading: Reading) -> object:
        """Return `event` with the number of its first image, if the assembler would count it wrongly."""
        counted = [signal for signal in reading.signals if _is_counted(signal)]
        if not counted or self.is_settled:
            return event
        if self._is_heard(counted[0], reading):
            return REPEAT
        if self._next >= self._n_ended:
            self._pass()
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
        return without_first(event, n_saved) if is_answer else with_members(event, image_index=number)

    def _is_heard(self, signal: Signal, reading: Reading) -> bool:
        """Return whether the stream brings a numbered event again; remember it if not."""
        if reading.sequence_number is None:
            return False
        frame = frame_in(signal.payload, self._limits)
        index = signal.payload and signal.payload.index
        mark = (reading.sequence_number, reading.event_type, index, frame and hash(frame.data), _words_of(signal.error))
        is_heard = mark in self._heard
        self._heard.add(mark)
        return is_heard

    def _look_for(self, signal: Signal, reading: Reading) -> int | object | None:
        """Return the number of the saved image that has the signal's picture or error; None if the image is new.

        Returns a replacement event if the image is uncertain, or if the event only repeats saved facts.
        """
        frame = frame_in(signal.payload, self._limits)
        data = frame.data if frame else None
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
            return REPEAT
        if not may_be_dropped:
            return None
        sentence = (
            f"{clean(reading.event_type)} can be of a saved image or of the next one; it is skipped until a result "
            "shows which"
        )
        return EventError(sentence, event_type=reading.event_type, has_picture=bool(payload.base64))

    def _may_be_dropped(self, payload: Payload) -> bool:
        """Return whether an image that has ended may have had this partial: perhaps only its highest one was kept."""
        if self._drops_partials or any(image.has_replaced for image in self._images):
            return True
        lowest = [image.lowest_partial for image in self._images if image.has_ended]
        return any(index is not None and index > (payload.index or 0) for index in lowest)

    def _advance(self, signal: Signal) -> None:
        if signal.witness is None or self.is_settled:
            return
        image = next((each for each in self._images if each.number == self._next), None)
        frame = frame_in(signal.payload, self._limits)
        if image and image.result and frame is not None and frame.data != image.result.frame.data:
            self._contradict(f"the new one has another result for {quoted(f'image-{self._next}')}")
        self._next += 1

    def _contradict(self, reason: str) -> None:
        self.contradiction = reason
        self._pass()

    def _pass(self) -> None:
        self._phase, self._images = _RepeatPhase.PAST, []  # they hold pictures
        self._heard.clear()


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
            has_replaced = item_id in saved and _has_replaced(saved[item_id])
            images.append(_SavedImage(number, pictures, _words_of(item.error), has_ended, has_replaced))
    return sorted(images, key=lambda image: image.number)


def _has_replaced(item: SavedItem) -> bool:
    anomalies = item.facts.get("anomalies")
    codes = (each.get("code") for each in anomalies if isinstance(each, dict)) if isinstance(anomalies, list) else ()
    return "conflicting_picture" in codes


def _is_of(image: _SavedImage, data: bytes | None, error: ProviderError | None, number: float | None) -> bool:
    if error is not None and _words_of(error) == image.error:
        return True
    return any(
        data == picture.frame.data and (None in (number, picture.sequence_number) or number == picture.sequence_number)
        for picture in image.pictures
    )


def _words_of(error: ImgassembleError | None) -> tuple[str | None, str] | None:
    return (error.code, error.message) if isinstance(error, ProviderError) else None
