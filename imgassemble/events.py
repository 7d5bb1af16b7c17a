"""From a message to its meaning: the typed event, and what it says of each item.

Knows: pydantic, JSON, and how each SDK spells a field. Must not know: what is held of an item, where bytes come from.
A member that is wrong in type or value counts as missing; it never makes the rest of its message unreadable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import Enum
from math import isfinite
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
)
from pydantic_core import from_json

from .dialects import ENDINGS, ITEM_TYPES, OTHER_NAMES, ROWS, STATUSES, WITHOUT_TYPE, Reading, Row, Shape, Signal
from .errors import EventError, ProviderError, clean
from .frames import Payload
from .lifecycle import State

_GREATEST_NUMBER = 2**53  # beyond it a JSON number may stand for its neighbour
_MOST_MEMBERS = 100  # of one object inside `usage` or `error`; real ones have a dozen
_DEEPEST = 6
_IN_GO = {"id": "ID", "b64": "B64", "json": "JSON", "url": "URL"}


def _spellings(name: str) -> AliasChoices:
    """A field as the wire, TypeScript, C# and Go spell it: item_id, itemId, ItemId, ItemID; under each of its names."""
    spelled: list[str] = []
    for each in (name, *OTHER_NAMES.get(name, ())):
        first, *others = each.split("_")
        camel = first + "".join(map(str.capitalize, others))
        go = "".join(_IN_GO.get(word, word.capitalize()) for word in (first, *others))
        spelled += [each, camel, camel[:1].upper() + camel[1:], go]
    return AliasChoices(*dict.fromkeys(spelled))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _GREATEST_NUMBER:
        return None  # NaN is no number from 0, either
    return int(value) if value == int(value) else float(value)


def _text(value: Any) -> str | None:
    if isinstance(value, Enum):
        value = value.value
    return value if isinstance(value, str) else None


def _plain(value: Any, depth: int = _DEEPEST) -> Any:
    """A copy of `value` as plain JSON, bounded in depth and width; what JSON has no word for is left out."""
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, Mapping) and depth:
        members = list(value.items())[:_MOST_MEMBERS]
        return {str(name): _plain(each, depth - 1) for name, each in members}
    if isinstance(value, (list, tuple)) and depth:
        return [_plain(each, depth - 1) for each in value[:_MOST_MEMBERS]]
    if isinstance(value, float) and not isfinite(value):
        return None
    return clean(value) if isinstance(value, str) else value if isinstance(value, (bool, int, float)) else None


def _facts(value: Any) -> dict[str, Any] | None:
    plain = _plain(value)
    return plain if isinstance(plain, dict) else None


def _readable(value: Any) -> Any:
    """`value` where it can have members, else None: mappings have, and whatever is not built in may have attributes."""
    return value if isinstance(value, Mapping) or type(value).__module__ != "builtins" else None


def _all_readable(value: Any) -> list[Any]:
    return [_readable(each) for each in value] if isinstance(value, (list, tuple)) else []


Number = Annotated[float | None, PlainValidator(_number)]
Text = Annotated[str | None, PlainValidator(_text)]
Base64 = Annotated[str | None, PlainValidator(_text), Field(repr=False)]
Plain = Annotated[dict[str, Any] | None, PlainValidator(_facts)]
Anything = Annotated[Any, PlainValidator(_plain)]


class _Message(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        defer_build=True,
        alias_generator=AliasGenerator(validation_alias=_spellings),
    )


class _Said(_Message):
    """What a message can say of one item."""

    status: Text = None
    output_format: Text = None
    size: Text = None
    revised_prompt: Text = None
    error: Anything = None
    usage: Plain = None

    @property
    def picture(self) -> str | None:
        return None


class Event(_Message):
    """One wire message. Events that do not concern images have this type and nothing more."""

    type: Text = None
    sequence_number: Number = None
    response_id: Text = None


class ImageCallEvent(Event, _Said):
    """`response.image_generation_call.in_progress`, `.generating`, `.partial_image` and `.completed`."""

    item_id: Text = Field(
        default=None,
        # Some relays send the item itself instead of its id.
        validation_alias=AliasChoices(*_spellings("item_id").choices, AliasPath("item", "id")),
    )
    output_index: Number = None
    partial_image_index: Number = None
    partial_image_b64: Base64 = None
    result: Base64 = None

    @property
    def picture(self) -> str | None:
        """The base64 of the picture, where there is one."""
        return self.partial_image_b64 or self.result


class OutputItem(_Said):
    """One member of `response.output`."""

    id: Text = None
    type: Text = None
    result: Base64 = None

    @property
    def picture(self) -> str | None:
        """The base64 of the picture, where there is one."""
        return self.result


class OutputItemEvent(Event):
    """`response.output_item.added` and `.done`."""

    output_index: Number = None
    item: Annotated[OutputItem | None, BeforeValidator(_readable)] = None


class Response(_Message):
    """A response as a whole, as a terminal event or an answer that was not streamed gives it."""

    id: Text = None
    status: Text = None
    error: Anything = None
    incomplete_details: Plain = None
    tool_usage: Plain = None
    output: Annotated[tuple[OutputItem | None, ...], BeforeValidator(_all_readable)] = ()


class ResponseEvent(Event):
    """`response.created`, `.completed`, `.failed` and their like; and a response that was not streamed."""

    response: Annotated[Response | None, BeforeValidator(_readable)] = None


class ErrorEvent(Event):
    """`error`, flat as documented or with a nested `error` as sent."""

    code: Anything = None
    message: Text = None
    param: Anything = None
    error: Anything = None


class Image(_Said):
    """One picture of the Images API."""

    b64_json: Base64 = None
    media_type: Text = None

    @property
    def picture(self) -> str | None:
        """The base64 of the picture, where there is one."""
        return self.b64_json


class ImageEvent(Event, Image):
    """`image_generation.partial_image`, `.completed`, and the same of `image_edit`."""

    partial_image_index: Number = None


class ImagesEvent(Event, _Said):
    """The Images API's answer that was not streamed."""

    data: Annotated[tuple[Image | None, ...], BeforeValidator(_all_readable)] = ()


_MODELS: dict[Shape, type[Event]] = {
    Shape.CALL: ImageCallEvent,
    Shape.ITEM: OutputItemEvent,
    Shape.RESPONSE: ResponseEvent,
    Shape.IMAGE: ImageEvent,
    Shape.IMAGES: ImagesEvent,
    Shape.ERROR: ErrorEvent,
}


def parse_event(event: object) -> Event:
    """The typed event in a message: a mapping, JSON text or bytes, or an SDK's own object.

    A wire type that does not concern images gives a plain `Event`. Raises EventError where there is nothing to read.
    """
    if isinstance(event, Event):
        return event
    if isinstance(event, (str, bytes, bytearray, memoryview)):
        event = load_json(event)
    if _readable(event) is None:
        raise EventError(f"an event is a JSON object or an SDK's event, not {type(event).__name__}")
    try:
        kind = _type_of(event)
        row = ROWS.get(kind)
        if kind == "response":  # not streamed: the message is the response
            event = {"type": kind, "response": event}
        model = _MODELS[row.shape] if row else Event
        parsed = model.model_validate(event)
        return parsed if parsed.type else parsed.model_copy(update={"type": kind})
    except EventError:
        raise
    except Exception as cause:  # an SDK's object may raise anything when it is asked for a member
        sentence = f"an event cannot be read: {type(cause).__name__}; pass what the client gave, as it is"
        raise EventError(sentence) from cause


def load_json(data: str | bytes | bytearray | memoryview) -> Any:
    """The JSON value in `data`. Raises EventError where it is none."""
    if isinstance(data, memoryview):
        data = bytes(data)
    try:
        return from_json(data)
    except ValueError as error:
        cause = error
    try:
        return json.loads(data)  # it also reads lone surrogates, which may stand inside a prompt
    except (ValueError, RecursionError):
        # `from` the first error: the second one would hold on to the whole message.
        raise EventError(
            f"a message of {len(data):,} bytes is not JSON ({clean(str(cause), 80)}); it is skipped"
        ) from cause


def _type_of(event: object) -> str:
    def member(name: str) -> Any:
        return event.get(name) if isinstance(event, Mapping) else getattr(event, name, None)

    if kind := _text(member("type")) or _text(member("Type")):
        return kind
    for name, value, kind in WITHOUT_TYPE:
        found = member(name)
        if found is not None and value in (None, found):
            return kind
    if _text(member("object")):
        return str(member("object"))
    raise EventError("a message has no type, and is no answer that is known; it is skipped")


def read(event: Event) -> Reading:
    """What `event` means for its items and for its response."""
    kind = event.type or ""
    row = ROWS.get(kind)
    signals = tuple(_SIGNALS[row.shape](event, row)) if row else ()
    reading = Reading(
        event_type=kind,
        sequence_number=event.sequence_number,
        response_id=event.response_id,
        is_for_us=row is not None and (row.shape is not Shape.ITEM or bool(signals)),
        signals=signals,
    )
    if isinstance(event, ErrorEvent) and row:
        said = event.error or {"code": event.code, "message": event.message, "param": event.param}
        return replace(reading, ending=row.ending, error=_provider_error(said))
    if isinstance(event, ResponseEvent) and event.response and row:
        return _with_response(reading, event.response, row)
    return reading


def _with_response(reading: Reading, response: Response, row: Row) -> Reading:
    reading = replace(reading, response_id=response.id or reading.response_id)
    if not row.witness:
        return reading
    status = STATUSES.get(response.status or "")
    details = response.incomplete_details or {}
    return replace(
        reading,
        ending=row.ending or (ENDINGS.get(status) if status else None),
        error=_provider_error(response.error) if response.error else None,
        reason=_text(details.get("reason")),
    )


def _call_signals(event: ImageCallEvent, row: Row) -> Iterable[Signal]:
    yield _signal(
        event, row, event, item_id=event.item_id, output_index=event.output_index, index=event.partial_image_index
    )


def _item_signals(event: OutputItemEvent, row: Row) -> Iterable[Signal]:
    if event.item and event.item.type in ITEM_TYPES:
        yield _signal(event, row, event.item, item_id=event.item.id, output_index=event.output_index)


def _response_signals(event: ResponseEvent, row: Row) -> Iterable[Signal]:
    if not (row.witness and event.response):
        return
    images = [(at, item) for at, item in enumerate(event.response.output) if item and item.type in ITEM_TYPES]
    # The usage is that of all images together: with one it is that one's, with several it is nobody's.
    usage = _facts((event.response.tool_usage or {}).get("image_gen")) if len(images) == 1 else None
    for output_index, item in images:
        yield _signal(event, row, item, item_id=item.id, output_index=output_index, usage=usage)


def _image_signals(event: ImageEvent, row: Row) -> Iterable[Signal]:
    yield _signal(event, row, event, is_unnamed=True, index=event.partial_image_index)


def _images_signals(event: ImagesEvent, row: Row) -> Iterable[Signal]:
    usage = event.usage if len(event.data) == 1 else None
    for image in event.data:
        if image:
            claims = {"output_format": image.output_format or event.output_format, "size": image.size or event.size}
            yield _signal(event, row, image.model_copy(update=claims), is_unnamed=True, usage=usage)


_SIGNALS: dict[Shape, Callable[[Any, Row], Iterable[Signal]]] = {
    Shape.CALL: _call_signals,
    Shape.ITEM: _item_signals,
    Shape.RESPONSE: _response_signals,
    Shape.IMAGE: _image_signals,
    Shape.IMAGES: _images_signals,
    Shape.ERROR: lambda event, row: (),
}


def _signal(
    event: Event,
    row: Row,
    said: _Said,
    *,
    item_id: str | None = None,
    output_index: float | None = None,
    is_unnamed: bool = False,
    index: float | None = None,
    usage: dict[str, Any] | None = None,
) -> Signal:
    status = row.word or STATUSES.get(said.status or "")
    details = {"output_index": output_index, "revised_prompt": said.revised_prompt, "usage": usage or said.usage}
    has_picture = row.is_partial or is_unnamed or (row.witness is not None and bool(said.picture))
    return Signal(
        item_id=item_id,
        output_index=output_index,
        is_unnamed=is_unnamed,
        word=status if row.witness or status is State.GENERATING else None,
        witness=row.witness,
        payload=Payload(
            text=said.picture or "",
            event_type=event.type or "",
            sequence_number=event.sequence_number,
            index=index,
            is_final=not row.is_partial,
            claimed_format=said.output_format or getattr(said, "media_type", None),
            claimed_size=said.size,
        )
        if has_picture
        else None,
        error=_provider_error(said.error) if said.error else None,
        details={name: value for name, value in details.items() if value is not None},
    )


def _provider_error(said: Any) -> ProviderError:
    details = said if isinstance(said, dict) else {"message": said}
    code = next((str(details[name]) for name in ("code", "type") if details.get(name) not in (None, "")), None)
    return ProviderError(str(details.get("message") or ""), code=code, details=details)
