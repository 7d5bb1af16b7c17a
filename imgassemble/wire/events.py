"""From a message to the typed event.

Knows: pydantic, and how each SDK spells a field. Must not know: what an event means, where bytes come from.
A member that is wrong in type or value counts as missing; it never makes the rest of its message unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from itertools import islice
from math import isfinite
from operator import attrgetter
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
)
from pydantic_core import CoreSchema

from ..errors import EventError, clean, printable, without_base64
from ..frames.base64_json import Decoded, Load, load_json
from ..readonly import read_only
from .dialects import (
    GREATEST_NUMBER,
    OTHER_NAMES,
    PICTURE_NAMES,
    ROWS,
    TYPE_NAMES,
    WITHOUT_TYPE,
    WRAPPERS,
    Shape,
)

_MOST_MEMBERS = 1_000  # of `usage` or `error`, at all depths; real ones have a dozen
_LONGEST_ID = 4_096  # characters; real ids have up to 83, and two that were cut would be one
_LONGEST_WORDS = 32_768  # characters: the longest prompt that an image model takes
_LONGEST_URL = 8_192  # characters: what servers take; one that was cut would lead nowhere
# A list is read so far, for each member costs hundreds of times what it has on the wire. Real ones have a few.
_MOST_ITEMS = 20_000  # twice what `Limits.max_items` allows
_MOST_CHOICES = 128  # the most that can be asked for
_MOST_PICTURES = 500  # of one message of a chat
_DEEPEST = 6
_MOST_BITS = 64  # an integer beyond can be too long to be printed
_MAPPINGS = (dict, Mapping)  # in this order: to look for the second takes ten times as long
_IN_GO = {"id": "ID", "b64": "B64", "json": "JSON", "url": "URL"}


def _spellings(name: str) -> AliasChoices:
    """A field under each of its names, as the wire, TypeScript, C# and Go spell it: item_id, itemId, ItemId, ItemID."""
    found: list[str | AliasPath] = []
    for each in (name, *OTHER_NAMES.get(name, ())):
        if isinstance(each, tuple):
            found.append(AliasPath(*each))  # type: ignore[arg-type]
            continue
        first, *others = each.split("_")
        camel = first + "".join(map(str.capitalize, others))
        go = "".join(_IN_GO.get(word, word.capitalize()) for word in (first, *others))
        found += dict.fromkeys((each, camel, camel[:1].upper() + camel[1:], go))
    # A path goes first: the name that it begins with may be a name of its own, for a value of another kind.
    return AliasChoices(*sorted(found, key=lambda alias: alias != name and isinstance(alias, str)))


def _number(value: Any) -> float | None:
    if type(value) is int and 0 <= value <= GREATEST_NUMBER:  # as nearly always
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= GREATEST_NUMBER:
        return None  # NaN is no number from 0, either
    return int(value) if value == int(value) else float(value)


def _text(value: Any) -> str | None:
    if type(value) is str:  # as nearly always
        return value
    if isinstance(value, Decoded):
        return value.text
    if isinstance(value, Enum):
        value = value.value
    return value if isinstance(value, str) else None


def _base64(value: Any) -> str | Decoded | None:
    return value if isinstance(value, Decoded) else _text(value)


def _identifier(value: Any) -> str | None:
    text = _text(value)
    return text if text is not None and len(text) <= _LONGEST_ID else None


def _words(value: Any) -> str | None:
    text = _text(value)
    return without_base64(text[:_LONGEST_WORDS]) if text else text


def _plain(value: Any) -> Any:
    """A copy of `value` as plain JSON, bounded in depth and in number; what JSON has no word for is left out."""
    return _copied(value, _DEEPEST, iter(range(_MOST_MEMBERS)))


def _copied(value: Any, depth: int, budget: Iterator[int]) -> Any:
    if isinstance(value, Decoded):
        value = value.text
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, Mapping) and depth:
        members = zip(value.items(), budget, strict=False)
        return {clean(str(name), 100): _copied(each, depth - 1, budget) for (name, each), _ in members}
    if isinstance(value, (list, tuple)) and depth:
        return [_copied(each, depth - 1, budget) for each, _ in zip(value, budget, strict=False)]
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return None
    return clean(value) if isinstance(value, str) else value if isinstance(value, (bool, int, float)) else None


def _facts(value: Any) -> Mapping[str, Any] | None:
    facts = read_only(_plain(value))
    return facts if isinstance(facts, Mapping) else None


def _readable(value: Any) -> Any:
    """`value` where it can have members, else None: mappings have, and whatever is not built in may have attributes."""
    if isinstance(value, _MAPPINGS):
        return value
    return None if type(value).__module__ == "builtins" or isinstance(value, Decoded) else value


def _readable_members(value: Any, most: int) -> list[Any]:
    return [_readable(each) for each in value[:most]] if isinstance(value, (list, tuple)) else []


def _at_most(most: int) -> BeforeValidator:
    return BeforeValidator(partial(_readable_members, most=most))


class _ReadBy:
    """A PlainValidator whose schema is made once: to make it for each of 180 fields takes half of an import's time."""

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._validator = PlainValidator(read)
        self._schema: CoreSchema | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if self._schema is None:
            self._schema = self._validator.__get_pydantic_core_schema__(source, handler)
        return self._schema


Number = Annotated[float | None, _ReadBy(_number)]
Text = Annotated[str | None, _ReadBy(_words)]
Identifier = Annotated[str | None, _ReadBy(_identifier)]
Base64 = Annotated[str | None, _ReadBy(_base64), Field(repr=False)]  # an assembler also has it as `Decoded`
Plain = Annotated[Mapping[str, Any] | None, _ReadBy(_facts)]
Anything = Annotated[Any, _ReadBy(_plain)]


class _Message(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        alias_generator=AliasGenerator(validation_alias=_spellings),
    )


class Said(_Message):
    """What a message can say of one item."""

    status: Text = None
    output_format: Text = None
    media_type: Text = None
    size: Text = None
    revised_prompt: Text = None
    error: Anything = None
    usage: Plain = None
    partial_image_b64: Base64 = None
    b64_json: Base64 = None
    result: Base64 = None
    image_b64: Base64 = None
    image_base64: Base64 = None
    b64: Base64 = None
    image_result_b64: Base64 = None
    url: Base64 = None
    image_url: Base64 = None

    def picture_and_link(self, *, is_partial: bool = False) -> tuple[str | Decoded | None, str | None]:
        """The base64 of the picture and its URL, as far as the message has them. Nothing is fetched."""
        given = _given_in(self)
        if not any(given):  # as nearly always
            return None, None
        pictures = [text for text in given[0 if is_partial else 1 :] if text and not _is_link(text)]
        links = [text for text in given if text and _is_link(text)]
        link = printable(links[0]) if links and len(links[0]) <= _LONGEST_URL else None
        return pictures[0] if pictures else None, link


_given_in: Callable[[Said], tuple[Any, ...]] = attrgetter(*PICTURE_NAMES)


def _is_link(text: str | Decoded) -> bool:
    return isinstance(text, str) and text[:8].lower().startswith(("http://", "https://"))


class Event(_Message):
    """One wire message. Events that do not concern images have this type and nothing more."""

    type: Text = None
    sequence_number: Number = None
    response_id: Identifier = None


class ImageCallEvent(Event, Said):
    """`response.image_generation_call.in_progress`, `.generating`, `.partial_image` and `.completed`."""

    item_id: Identifier = None
    output_index: Number = None
    partial_image_index: Number = None


class OutputItem(Said):
    """One member of `response.output`."""

    id: Identifier = None
    type: Text = None


class OutputItemEvent(Event):
    """`response.output_item.added` and `.done`."""

    output_index: Number = None
    item: Annotated[OutputItem | None, BeforeValidator(_readable)] = None


class Response(_Message):
    """A response as a whole, as a terminal event or an answer that was not streamed gives it."""

    id: Identifier = None
    status: Text = None
    error: Anything = None
    incomplete_details: Plain = None
    tool_usage: Plain = None
    output: Annotated[tuple[OutputItem | None, ...], _at_most(_MOST_ITEMS)] = ()


class ResponseEvent(Event):
    """`response.created`, `.completed`, `.failed` and their like; and a response that was not streamed."""

    response: Annotated[Response | None, BeforeValidator(_readable)] = None


class ErrorEvent(Event):
    """`error`, flat as documented or with a nested `error` as sent."""

    code: Anything = None
    message: Text = None
    param: Anything = None
    error: Anything = None


class ImageData(Said):
    """One picture of the Images API, or of a chat message."""


class ImageEvent(Event, ImageData):
    """`image_generation.partial_image`, `.completed`, and the same of `image_edit`."""

    item_id: Identifier = None
    output_index: Number = None
    image_index: Number = None
    partial_image_index: Number = None


class ImagesEvent(Event, Said):
    """The Images API's answer that was not streamed."""

    data: Annotated[tuple[ImageData | None, ...], _at_most(_MOST_ITEMS)] = ()


def _images_in_text(content: Any) -> list[Any]:
    """The pictures in a message's content: parts of it, or data: URLs in its text, as proxies for chat programs do."""
    if (text := _text(content)) and "data:image/" in text:
        return [{"url": found[0]} for found in islice(_DATA_URL.finditer(text), _MOST_PICTURES)]
    return [part for part in _readable_members(content, _MOST_PICTURES) if part is not None]


_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,[A-Za-z0-9+/=_-]+")


class ChatMessage(_Message):
    """The assistant's message, or a piece of it."""

    images: Annotated[tuple[ImageData | None, ...], _at_most(_MOST_PICTURES)] = ()
    content: Annotated[tuple[ImageData | None, ...], BeforeValidator(_images_in_text)] = ()

    def pictures(self) -> tuple[ImageData, ...]:
        """Its pictures in order."""
        shown = (image for image in self.images or self.content if image)
        return tuple(image for image in shown if any(image.picture_and_link()))


class ChatChoice(_Message):
    """One choice of a chat completion."""

    delta: Annotated[ChatMessage | None, BeforeValidator(_readable)] = None
    message: Annotated[ChatMessage | None, BeforeValidator(_readable)] = None


class ChatEvent(Event):
    """A chunk of a chat completion, or a whole one."""

    id: Identifier = None
    image_index: Number = None  # the number of its first image
    choices: Annotated[tuple[ChatChoice | None, ...], _at_most(_MOST_CHOICES)] = ()
    error: Anything = None


class Part(Said):
    """One part of a message of pydantic-ai: a file, or the call of a tool and what it returned."""

    id: Identifier = None
    part_kind: Text = None
    tool_name: Text = None
    tool_call_id: Identifier = None


class PartEvent(Event):
    """`part_start`: a part begins, or replaces the one before in its place."""

    part: Annotated[Part | None, BeforeValidator(_readable)] = None


class RunEvent(Event):
    """`agent_run_result`: an agent has answered."""

    parts: Annotated[
        tuple[Part | None, ...],
        _at_most(_MOST_PICTURES),
        Field(validation_alias=AliasPath("result", "response", "parts")),
    ] = ()


class ContentEvent(Event):
    """A message of LangChain, or a piece of it."""

    content: Annotated[tuple[OutputItem | None, ...], _at_most(_MOST_PICTURES)] = ()


_MODELS: dict[Shape, type[Event]] = {
    Shape.CALL: ImageCallEvent,
    Shape.ITEM: OutputItemEvent,
    Shape.RESPONSE: ResponseEvent,
    Shape.IMAGE: ImageEvent,
    Shape.IMAGES: ImagesEvent,
    Shape.CHAT: ChatEvent,
    Shape.PART: PartEvent,
    Shape.RUN: RunEvent,
    Shape.CONTENT: ContentEvent,
    Shape.ERROR: ErrorEvent,
}


def parse_event(event: object) -> Event:
    """The typed event in a message: a mapping, JSON text or bytes, or an SDK's own object.

    A wire type that does not concern images gives a plain `Event`. Raises EventError where there is nothing to read.
    """
    return read_event(event, load_json)


def read_event(event: object, load: Load) -> Event:
    """As `parse_event`, with JSON read by `load`: by `load_decoded`, it has base64 that is decoded already."""
    try:
        return _parsed(event, load)
    except EventError:
        raise
    except Exception as cause:  # an SDK's object may raise anything when it is asked for a member
        sentence = f"an event cannot be read: {type(cause).__name__}; pass what the client gave, as it is"
        raise EventError(sentence) from cause


def _parsed(event: object, load: Load) -> Event:
    if isinstance(event, Event):
        return event
    if isinstance(event, (str, bytes, bytearray, memoryview)):
        if event in ("[DONE]", b"[DONE]"):  # how many streams say that they have ended
            return Event(type="[DONE]")
        event = load(event)
    if _readable(event) is None:
        raise EventError(f"an event is a JSON object or an SDK's event, not {type(event).__name__}")
    event = _unwrapped(event)
    kind = _type_of(event)
    row = ROWS.get(kind)
    if kind == "response":  # not streamed: the message is the response
        event = {"type": kind, "response": event}
    parsed = (_MODELS[row.shape] if row else Event).model_validate(event)
    return parsed if parsed.type else parsed.model_copy(update={"type": kind})


def _members_of(event: object) -> Callable[[str], Any]:
    """What gives a member by its name, and None where there is none."""
    return event.get if isinstance(event, _MAPPINGS) else lambda name: getattr(event, name, None)


def _unwrapped(event: object) -> object:
    """The service's own event, where `event` only carries it."""
    for _ in range(_DEEPEST):
        inner = _carried_in(event)
        if inner is None:
            break
        event = inner
    return event


def _carried_in(event: object) -> object:
    member = _members_of(event)
    for name, value, carried in WRAPPERS:
        if _is_said(member(name), value):
            return _readable(member(carried))
    return None


def _is_said(found: Any, value: str | None) -> bool:
    """Whether a member is there, and is this where something is given."""
    return found is not None and (value is None or _text(found) == value)


def _type_of(event: object) -> str:
    member = _members_of(event)
    for name in TYPE_NAMES:
        if kind := _text(member(name)):
            return kind
    for name, value, kind in WITHOUT_TYPE:
        if _is_said(member(name), value):
            return kind
    if kind := _text(member("object")):
        return kind
    raise EventError("a message has no type, and is no answer that is known; it is skipped")
