"""Turns an event into its meaning: a signal for each of its items, and its message about the response.

The place of the items in each shape of message is written here, once.
Must not know: pydantic, JSON, the facts that are stored of an item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

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
    EventRow,
    Reading,
    Shape,
    Signal,
)
from .fields import (
    ChatEventFields,
    ContentEventFields,
    ErrorEventFields,
    EventFields,
    ImageCallFields,
    ImageEventFields,
    ImagesEventFields,
    ItemFields,
    OutputItemEventFields,
    OutputItemFields,
    PartEventFields,
    PartFields,
    ResponseEventFields,
    ResponseFields,
    RunEventFields,
)

_T = TypeVar("_T")


def read(event: EventFields) -> Reading:
    """Return the meaning of `event` for its items and for its response."""
    kind = event.type or ""
    row = ROWS.get(kind)
    if row is None:
        return Reading(kind, event.sequence_number, event.response_id, is_for_us=False)
    find, complete, may_be_text = _RULES[row.shape]
    signals = tuple(find(event, row))
    is_for_us = bool(signals) or not may_be_text
    reading = Reading(kind, event.sequence_number, event.response_id, is_for_us, signals, row.ending)
    return complete(event, row, reading) if complete else reading


# ---- the response


def _with_error(event: ErrorEventFields, _row: EventRow, reading: Reading) -> Reading:
    said = event.error or {"code": event.code, "message": event.message, "param": event.param}
    if isinstance(said, dict) and event.message and not said.get("message"):
        said = {**said, "message": event.message}
    return reading._replace(error=_provider_error(said))


def _with_chat_error(event: ChatEventFields, _row: EventRow, reading: Reading) -> Reading:
    if not event.error:
        return reading
    return reading._replace(ending=Ending.ERROR, error=_provider_error(event.error), is_for_us=True)


def _with_response(event: ResponseEventFields, row: EventRow, reading: Reading) -> Reading:
    response = event.response
    if response is None:
        return reading
    reading = reading._replace(response_id=response.id or event.response_id)
    return _with_outcome(response, row, reading) if row.witness else reading


def _with_outcome(response: ResponseFields, row: EventRow, reading: Reading) -> Reading:
    status = STATUSES.get(response.status or "") if row.heeds_status else None
    error = _provider_error(response.error) if response.error else None
    reason = (response.incomplete_details or {}).get("reason") or (error and error.message)
    return reading._replace(
        ending=(ENDINGS.get(status) if status else None) or row.ending or (Ending.FAILED if error else None),
        error=error,
        reason=str(reason) if reason else None,
    )


# ---- the items


def _call_signals(event: ImageCallFields, row: EventRow) -> Iterable[Signal]:
    index = event.partial_image_index
    return (_signal(event, row, event, item_id=event.item_id, output_index=event.output_index, index=index),)


def _item_signals(event: OutputItemEventFields, row: EventRow) -> Iterable[Signal]:
    if event.item and event.item.type in ITEM_TYPES:
        item_id = _id_of(event.item, event.output_index)
        yield _signal(event, row, event.item, item_id=item_id, output_index=event.output_index)


def _id_of(item: OutputItemFields, output_index: float | None) -> str | None:
    if item.id is None and item.type in ID_IS_OPTIONAL and output_index is not None:
        return f"output-{output_index}"
    return item.id


def _response_signals(event: ResponseEventFields, row: EventRow) -> Iterable[Signal]:
    if not (row.witness and event.response):
        return
    images = [(at, item) for at, item in enumerate(event.response.output) if item and item.type in ITEM_TYPES]
    # The usage is the sum for all images, so it belongs to an image only if there is one.
    usage = (event.response.tool_usage or {}).get("image_gen") if len(images) == 1 else None
    for output_index, item in images:
        yield _signal(event, row, item, item_id=_id_of(item, output_index), output_index=output_index, usage=usage)


def _image_signals(event: ImageEventFields, row: EventRow) -> Iterable[Signal]:
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


def _images_signals(event: ImagesEventFields, row: EventRow) -> Iterable[Signal]:
    usage = event.usage if len(event.data) == 1 else None
    for image in filter(None, event.data):
        yield _signal(event, row, image, is_unnamed=True, usage=usage, claims=event)


def _numbered(first: float | None, images: Iterable[_T]) -> Iterator[tuple[int | None, _T]]:
    """Yield the images with their numbers, counted from `first`; with None if `first` is None."""
    for at, image in enumerate(images):
        yield None if first is None else int(first) + at, image


def _chat_signals(event: ChatEventFields, row: EventRow) -> Iterable[Signal]:
    choices = tuple(filter(None, event.choices))
    pieces = [image for choice in choices if choice.delta for image in choice.delta.pictures()]
    for number, image in _numbered(event.image_index, pieces):
        yield _signal(event, row, image, is_unnamed=True, number=number)
    # A whole message repeats the pictures of its pieces, so they are counted from 0.
    whole = [image for choice in choices if choice.message for image in choice.message.pictures()]
    for number, image in enumerate(whole):
        yield _signal(event, row, image, is_unnamed=True, number=number)


def _part_signals(event: PartEventFields, _row: EventRow) -> Iterable[Signal]:
    part = event.part
    row = PARTS.get((part and part.part_kind) or "")
    if part and row and (_is_picture(part) or part.tool_name == "image_generation"):
        yield _signal(event, row, part, item_id=part.id or part.tool_call_id)


def _run_signals(event: RunEventFields, row: EventRow) -> Iterable[Signal]:
    for part in filter(None, event.parts):
        if _is_picture(part):
            yield _signal(event, row, part, item_id=part.id)


def _is_picture(part: PartFields) -> bool:
    return part.part_kind == "file" and (part.media_type or "").startswith("image/")


def _content_signals(event: ContentEventFields, row: EventRow) -> Iterable[Signal]:
    for block in filter(None, event.content):
        if block.type in CONTENT_TYPES:
            yield _signal(event, row, block, item_id=block.id)


class _Rule(NamedTuple):
    """How messages of one shape are read."""

    find: Callable[[Any, EventRow], Iterable[Signal]]  # the signals of its items
    complete: Callable[[Any, EventRow, Reading], Reading] | None = None  # adds the facts about the response
    may_be_text: bool = False  # without a signal it does not concern images


_RULES: dict[Shape, _Rule] = {
    Shape.CALL: _Rule(_call_signals),
    Shape.ITEM: _Rule(_item_signals, may_be_text=True),
    Shape.RESPONSE: _Rule(_response_signals, _with_response),
    Shape.IMAGE: _Rule(_image_signals),
    Shape.IMAGES: _Rule(_images_signals),
    Shape.CHAT: _Rule(_chat_signals, _with_chat_error, may_be_text=True),
    Shape.PART: _Rule(_part_signals, may_be_text=True),
    Shape.RUN: _Rule(_run_signals),
    Shape.CONTENT: _Rule(_content_signals, may_be_text=True),
    Shape.ERROR: _Rule(lambda event, row: (), _with_error),
}


def _signal(
    event: EventFields,
    row: EventRow,
    said: ItemFields,
    *,
    item_id: str | None = None,
    output_index: float | None = None,
    is_unnamed: bool = False,
    number: int | None = None,
    index: float | None = None,
    usage: Mapping[str, Any] | None = None,
    claims: ItemFields | None = None,
) -> Signal:
    """Return the signal in `said`. `claims`: the fields that claim a format and a size if `said` does not."""
    witness = row.witness
    status = STATUSES.get(said.status) if said.status else None
    word = row.word if row.word and not (status is State.FAILED and witness) else status
    picture, link = said.picture_and_link(is_partial=row.is_partial)
    # An event that exists to bring a picture and has none is an anomaly; other events can do without.
    is_missing = not link and (row.is_partial or (is_unnamed and witness is not None))
    payload = None
    if (picture or is_missing) and (row.is_partial or witness):
        payload = _payload(event, said, picture or "", index=index, is_final=not row.is_partial, claims=claims or said)
    return Signal(
        _details(said, output_index, usage, link),
        item_id,
        is_unnamed,
        number,
        word if witness or word is State.GENERATING else None,
        witness,
        payload,
        _provider_error(said.error) if said.error else None,
    )


def _details(
    said: ItemFields, output_index: float | None, usage: Mapping[str, Any] | None, link: str | None
) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if output_index is not None:
        details["output_index"] = output_index
    if said.revised_prompt is not None:
        details["revised_prompt"] = said.revised_prompt
    if (usage := usage or said.usage) is not None:
        details["usage"] = usage
    if link is not None:
        details["url"] = link
    return details


def _payload(
    event: EventFields,
    said: ItemFields,
    base64: str | Decoded,
    *,
    index: float | None,
    is_final: bool,
    claims: ItemFields,
) -> Payload:
    return Payload(
        base64=base64,
        event_type=event.type or "",
        sequence_number=event.sequence_number,
        index=index,
        is_final=is_final,
        claimed_format=said.output_format or claims.output_format or said.media_type or _media_type(base64),
        claimed_size=said.size or claims.size,
    )


def _media_type(picture: str | Decoded) -> str | None:
    """Return the media type of an image in a data: URL."""
    prefix = url_prefix(picture)
    return prefix[5:].partition(";")[0] if prefix[:11].lower() == "data:image/" else None


def _provider_error(said: Any) -> ProviderError:
    details = said if isinstance(said, dict) else {"message": said}
    code = next((str(details[name]) for name in ("code", "type") if details.get(name) not in (None, "")), None)
    return ProviderError(str(details.get("message") or ""), code=code, details=details)
