"""From the typed event to its meaning: a signal for each of its items, and what it says of the response.

Knows: where in each shape of message its items stand. Must not know: pydantic, JSON, what is held of an item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from ..errors import ProviderError
from ..frames.base64_json import Decoded, url_prefix
from ..frames.frame import Payload
from ..states import Ending, State
from .dialects import (
    CONTENT_TYPES,
    ENDINGS,
    ID_IS_OPTIONAL,
    ITEM_TYPES,
    PARTS,
    ROWS,
    STATUSES,
    Reading,
    Row,
    Shape,
    Signal,
)
from .events import (
    ChatEvent,
    ContentEvent,
    ErrorEvent,
    Event,
    ImageCallEvent,
    ImageEvent,
    ImagesEvent,
    OutputItem,
    OutputItemEvent,
    Part,
    PartEvent,
    Response,
    ResponseEvent,
    RunEvent,
    Said,
)

_T = TypeVar("_T")


def read(event: Event) -> Reading:
    """What `event` means for its items and for its response."""
    kind = event.type or ""
    row = ROWS.get(kind)
    if row is None:
        return Reading(
            event_type=kind,
            sequence_number=event.sequence_number,
            response_id=event.response_id,
            is_for_us=False,
        )
    signals = tuple(_SIGNALS[row.shape](event, row))
    reading = Reading(
        event_type=kind,
        sequence_number=event.sequence_number,
        response_id=_response_id_of(event),
        is_for_us=bool(signals) or row.shape not in _MAY_BE_TEXT,
        signals=signals,
        ending=row.ending,
    )
    match event:
        case ErrorEvent():
            said = event.error or {"code": event.code, "message": event.message, "param": event.param}
            if isinstance(said, dict) and event.message and not said.get("message"):
                said = {**said, "message": event.message}
            return reading._replace(error=_provider_error(said))
        case ChatEvent(error=said) if said:
            return reading._replace(ending=Ending.ERROR, error=_provider_error(said), is_for_us=True)
        case ResponseEvent(response=Response() as response) if row.witness:
            return _with_response(reading, response, row)
    return reading


def _response_id_of(event: Event) -> str | None:
    own = event.response.id if isinstance(event, ResponseEvent) and event.response else None
    return own or event.response_id


def _with_response(reading: Reading, response: Response, row: Row) -> Reading:
    status = STATUSES.get(response.status or "") if row.heeds_status else None
    error = _provider_error(response.error) if response.error else None
    reason = (response.incomplete_details or {}).get("reason") or (error and error.message)
    return reading._replace(
        ending=(ENDINGS.get(status) if status else None) or row.ending or (Ending.FAILED if error else None),
        error=error,
        reason=str(reason) if reason else None,
    )


def _call_signals(event: ImageCallEvent, row: Row) -> Iterable[Signal]:
    index = event.partial_image_index
    yield _signal(event, row, event, item_id=event.item_id, output_index=event.output_index, index=index)


def _item_signals(event: OutputItemEvent, row: Row) -> Iterable[Signal]:
    if event.item and event.item.type in ITEM_TYPES:
        item_id = _id_of(event.item, event.output_index)
        yield _signal(event, row, event.item, item_id=item_id, output_index=event.output_index)


def _id_of(item: OutputItem, output_index: float | None) -> str | None:
    if item.id is None and item.type in ID_IS_OPTIONAL and output_index is not None:
        return f"output-{output_index}"
    return item.id


def _response_signals(event: ResponseEvent, row: Row) -> Iterable[Signal]:
    if not (row.witness and event.response):
        return
    images = [(at, item) for at, item in enumerate(event.response.output) if item and item.type in ITEM_TYPES]
    # The usage is that of all images together: with one it is that one's, with several it is nobody's.
    usage = (event.response.tool_usage or {}).get("image_gen") if len(images) == 1 else None
    for output_index, item in images:
        yield _signal(event, row, item, item_id=_id_of(item, output_index), output_index=output_index, usage=usage)


def _image_signals(event: ImageEvent, row: Row) -> Iterable[Signal]:
    number = None if event.image_index is None else int(event.image_index)
    yield _signal(
        event,
        row,
        event,
        item_id=event.item_id,
        output_index=event.output_index,
        is_unnamed=event.item_id is None,
        number=number,
        index=event.partial_image_index,
    )


def _images_signals(event: ImagesEvent, row: Row) -> Iterable[Signal]:
    usage = event.usage if len(event.data) == 1 else None
    for image in filter(None, event.data):
        claims = {"output_format": image.output_format or event.output_format, "size": image.size or event.size}
        yield _signal(event, row, image.model_copy(update=claims), is_unnamed=True, usage=usage)


def _numbered(first: float | None, images: Iterable[_T]) -> Iterator[tuple[int | None, _T]]:
    """Yield the images with their numbers, counted from `first`; with None where no number is given."""
    for at, image in enumerate(images):
        yield None if first is None else int(first) + at, image


def _chat_signals(event: ChatEvent, row: Row) -> Iterable[Signal]:
    choices = tuple(filter(None, event.choices))
    pieces = [image for choice in choices if choice.delta for image in choice.delta.pictures()]
    for number, image in _numbered(event.image_index, pieces):
        yield _signal(event, row, image, is_unnamed=True, number=number)
    # A whole message repeats what its pieces brought: its pictures go by their number.
    whole = [image for choice in choices if choice.message for image in choice.message.pictures()]
    for number, image in enumerate(whole):
        yield _signal(event, row, image, is_unnamed=True, number=number)


def _part_signals(event: PartEvent, _row: Row) -> Iterable[Signal]:
    part = event.part
    row = PARTS.get((part and part.part_kind) or "")
    if part and row and (_is_picture(part) or part.tool_name == "image_generation"):
        yield _signal(event, row, part, item_id=part.id or part.tool_call_id)


def _run_signals(event: RunEvent, row: Row) -> Iterable[Signal]:
    for part in filter(None, event.parts):
        if _is_picture(part):
            yield _signal(event, row, part, item_id=part.id)


def _is_picture(part: Part) -> bool:
    return part.part_kind == "file" and (part.media_type or "").startswith("image/")


def _content_signals(event: ContentEvent, row: Row) -> Iterable[Signal]:
    for block in filter(None, event.content):
        if block.type in CONTENT_TYPES:
            yield _signal(event, row, block, item_id=block.id)


_SIGNALS: dict[Shape, Callable[[Any, Row], Iterable[Signal]]] = {
    Shape.CALL: _call_signals,
    Shape.ITEM: _item_signals,
    Shape.RESPONSE: _response_signals,
    Shape.IMAGE: _image_signals,
    Shape.IMAGES: _images_signals,
    Shape.CHAT: _chat_signals,
    Shape.PART: _part_signals,
    Shape.RUN: _run_signals,
    Shape.CONTENT: _content_signals,
    Shape.ERROR: lambda event, row: (),
}
_MAY_BE_TEXT = frozenset({Shape.ITEM, Shape.CHAT, Shape.PART, Shape.CONTENT})


def _signal(
    event: Event,
    row: Row,
    said: Said,
    *,
    item_id: str | None = None,
    output_index: float | None = None,
    is_unnamed: bool = False,
    number: int | None = None,
    index: float | None = None,
    usage: Mapping[str, Any] | None = None,
) -> Signal:
    status = STATUSES.get(said.status or "")
    if not (status is State.FAILED and row.witness):
        status = row.word or status
    picture, link = said.picture_and_link(is_partial=row.is_partial)
    details = {
        "output_index": output_index,
        "revised_prompt": said.revised_prompt,
        "usage": usage or said.usage,
        "url": link,
    }
    # A message that exists to bring a picture and has none is trouble; others may have one.
    is_missing = (row.is_partial or (is_unnamed and row.witness is not None)) and not link
    payload = None
    if picture or is_missing:
        payload = Payload(
            base64=picture or "",
            event_type=event.type or "",
            sequence_number=event.sequence_number,
            index=index,
            is_final=not row.is_partial,
            claimed_format=said.output_format or said.media_type or _media_type(picture),
            claimed_size=said.size,
        )
    return Signal(
        item_id=item_id,
        is_unnamed=is_unnamed,
        number=number,
        word=status if row.witness or status is State.GENERATING else None,
        witness=row.witness,
        payload=payload if row.is_partial or row.witness else None,
        error=_provider_error(said.error) if said.error else None,
        details={name: value for name, value in details.items() if value is not None},
    )


def _media_type(picture: str | Decoded | None) -> str | None:
    """What a data: URL says of the picture in it."""
    prefix = url_prefix(picture) if picture else ""
    return prefix[5:].partition(";")[0] if prefix[:11].lower() == "data:image/" else None


def _provider_error(said: Any) -> ProviderError:
    details = said if isinstance(said, dict) else {"message": said}
    code = next((str(details[name]) for name in ("code", "type") if details.get(name) not in (None, "")), None)
    return ProviderError(str(details.get("message") or ""), code=code, details=details)
