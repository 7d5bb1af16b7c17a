"""Turns an event into its meaning: the signals of its items, and its facts about the response.

Must not know: pydantic, JSON, the facts that are stored of a response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ..errors import EventError, ProviderError
from ..states import Ending
from .dialects import (
    ENDINGS,
    ROWS,
    STATUSES,
    UNKNOWN_ERRORS,
    AnswerPart,
    EventRow,
    Reading,
    Shape,
    Signal,
)
from .failures import has_content, names_error
from .fields import (
    ChatChoiceFields,
    ChatEventFields,
    ErrorEventFields,
    EventFields,
    ImageEventFields,
    ImagesEventFields,
    PlacedEventFields,
    ResponseEventFields,
    TextEventFields,
)
from .signals import SIGNALS, reported_error


def read(event: EventFields) -> Reading:
    """Return the meaning of `event` for its items and for its response."""
    kind = event.type or ""
    reader = _READERS.get(kind)
    if reader is None:
        if not isinstance(event, ErrorEventFields):
            return Reading(
                kind,
                event.sequence_number,
                event.response_id,
                concerns_images=False,
                lane=event.stream_id,
                is_known=False,
            )
        reader = _reader_of(UNKNOWN_ERRORS[names_error(kind)])
    row, signals_in, about_response, may_be_text = reader
    signals = tuple(signals_in(event, row))
    reading = Reading(
        kind,
        event.sequence_number,
        event.response_id,
        not may_be_text or bool(signals),
        signals,
        row.ending,
        event.stream_id,
        row.begins,
    )
    return about_response(reading, event, row) if about_response else reading


def _with_error(reading: Reading, event: ErrorEventFields, _row: EventRow) -> Reading:
    said, words = event.error, event.message or event.errors or event.detail
    if not has_content(said):
        said = {"code": event.code, "message": words, "param": event.param}
    elif words and isinstance(said, dict) and not said.get("message"):
        said = {**said, "message": words}
    elif words and isinstance(said, str) and words != said:
        said = {"message": f"{said}: {words}", "code": event.code}
    return reading._replace(error=reported_error(said), is_bare_body=event.is_bare_body)


def _with_text(reading: Reading, event: TextEventFields, _row: EventRow) -> Reading:
    return reading._replace(parts=(AnswerPart(event.delta, event.item_id),)) if event.delta else reading


def _with_image_error(reading: Reading, event: ImageEventFields, _row: EventRow) -> Reading:
    if reading.signals:
        return reading
    if has_content(event.error):
        return reading._replace(ending=Ending.ERROR, error=reported_error(event.error), concerns_images=True)
    if event.usage is None:
        return reading._replace(concerns_images=False, is_known=False)
    # The sum of Seedream. It ends the answer.
    return reading._replace(ending=Ending.COMPLETED, concerns_images=False, details={"image_usage": event.usage})


def _with_answer_error(reading: Reading, event: ImagesEventFields, _row: EventRow) -> Reading:
    if has_content(event.error):
        return reading._replace(ending=Ending.ERROR, error=reported_error(event.error), concerns_images=True)
    if not reading.signals and not any(image and image.progress is not None for image in event.data):
        return reading._replace(anomaly=_no_picture_in(event))
    if len(event.data) > 1 and event.usage is not None:  # the usage is the sum for all images
        return reading._replace(details={"image_usage": event.usage})
    return reading


def _with_chat(reading: Reading, event: ChatEventFields, _row: EventRow) -> Reading:
    if has_content(event.error):
        return reading._replace(ending=Ending.ERROR, error=reported_error(event.error), concerns_images=True)
    parts = tuple(part for choice in event.choices if choice for part in _parts_of(choice))
    details = {name: value for name, value in (("model", event.model), ("usage", event.usage)) if value is not None}
    if event.type == "chat.completion" and not (reading.signals or any(part.text for part in parts)):
        reading = reading._replace(anomaly=_no_picture_in(event))
    return reading._replace(parts=parts, details=details or None)


def _parts_of(choice: ChatChoiceFields) -> Iterator[AnswerPart]:
    """Yield the text of a choice: of its delta, and of its message."""
    delta, message = choice.delta, choice.message
    text = (delta.text or delta.refusal or "") if delta else ""
    if delta and (text or choice.finish_reason):
        # Some services report a reason with each piece, so only one without a text ends it.
        yield AnswerPart(text, choice.index, is_last=not text, has_pictures=not delta.pictures())
    if message and (text := message.text or message.refusal or ""):
        yield AnswerPart(
            text, choice.index, is_whole=True, is_quoted=delta is None, has_pictures=not message.pictures()
        )


def _with_response(reading: Reading, event: ResponseEventFields, row: EventRow) -> Reading:
    response = event.response
    if response is None:
        return reading
    if response.id is not None:
        reading = reading._replace(response_id=response.id)
    if not (row.witness or row.begins):
        return reading
    image_usage = (response.tool_usage or {}).get("image_gen")
    text = "".join(item.text() for item in response.output if item) if row.witness else ""
    reported = (
        ("model", response.model),
        ("usage", response.usage),
        ("image_usage", image_usage),
        ("text", text or None),
    )
    details = {name: value for name, value in reported if value is not None}
    reading = reading._replace(details=details or None)
    if not row.witness:
        return reading
    status = STATUSES.get(response.status or "") if row.heeds_status else None
    error = reported_error(response.error) if has_content(response.error) else None
    reason = (response.incomplete_details or {}).get("reason") or (error and error.message)
    reading = reading._replace(
        ending=(ENDINGS.get(status) if status else None) or row.ending or (Ending.FAILED if error else None),
        error=error,
        reason=str(reason) if reason else None,
    )
    is_whole = event.type == "response" and reading.ending in (None, Ending.COMPLETED)
    if is_whole and not (reading.signals or text):
        return reading._replace(anomaly=_no_picture_in(event))
    return reading


def _no_picture_in(event: EventFields) -> EventError:
    return EventError("the answer holds no picture; nothing in it can be used", event_type=event.type)


def _with_placed(reading: Reading, event: PlacedEventFields, row: EventRow) -> Reading:
    layout = row.layout
    assert layout is not None
    is_of_row = bool(reading.signals) or all(place.is_sure for place in layout.places)
    ending = (row.ending if is_of_row else None) or _ending_of(event, row)
    details = {name: value for name, value in (("model", event.model), ("usage", event.usage)) if value is not None}
    reading = reading._replace(
        parts=(AnswerPart(event.words),) if event.words and ending not in _BAD_ENDINGS else (),
        details=details or None,
        ending=ending,
        error=_error_of_placed(event, ending),
        reason=event.reason or event.status if ending is Ending.INCOMPLETE else None,
        concerns_images=bool(reading.signals or row.begins or ending),
        is_known=reading.concerns_images or row.begins or bool(ending or details or event.words),
    )
    if layout.is_whole and ending in (None, Ending.COMPLETED) and not (reading.signals or event.words):
        return reading._replace(anomaly=_no_picture_in(event))
    return reading


def _ending_of(event: PlacedEventFields, row: EventRow) -> Ending | None:
    """Return the end that the status of a message reports for its response."""
    if event.has_failed:
        return Ending.REFUSED
    if not event.status or row.layout is None:
        return None
    endings = row.layout.endings
    return endings.get(event.status.lower().removeprefix("task_state_"), endings.get("*"))


def _error_of_placed(event: PlacedEventFields, ending: Ending | None) -> ProviderError | None:
    """Return the error of a message with this ending; None without one, or if the message has no words for it."""
    if ending not in _BAD_ENDINGS:
        return None
    if has_content(event.error):
        return reported_error(event.error)
    code = event.status if ending is Ending.REFUSED else None
    words = event.reason or event.words
    return reported_error({"message": words, "code": code}) if words or code else None


_BAD_ENDINGS = frozenset({Ending.FAILED, Ending.REFUSED})
_MAY_BE_TEXT = frozenset({Shape.TEXT, Shape.ITEM, Shape.CHAT, Shape.PART, Shape.CONTENT, Shape.PLACED})
_ABOUT_RESPONSE: dict[Shape, Callable[[Reading, Any, EventRow], Reading]] = {
    Shape.ERROR: _with_error,
    Shape.TEXT: _with_text,
    Shape.IMAGE: _with_image_error,
    Shape.IMAGES: _with_answer_error,
    Shape.CHAT: _with_chat,
    Shape.RESPONSE: _with_response,
    Shape.PLACED: _with_placed,
}


class _Reader(NamedTuple):
    """The functions that read the events of one row."""

    row: EventRow
    signals_in: Callable[[Any, EventRow], Iterable[Signal]]
    about_response: Callable[[Reading, Any, EventRow], Reading] | None
    may_be_text: bool


def _reader_of(row: EventRow) -> _Reader:
    return _Reader(row, SIGNALS[row.shape], _ABOUT_RESPONSE.get(row.shape), row.shape in _MAY_BE_TEXT)


_READERS = {kind: _reader_of(row) for kind, row in ROWS.items()}  # one look-up for each event
