"""Defines the fields of each kind of message, and reads them from a mapping or an SDK's object.

Each class below is the single definition of its fields: their names, their types, and how a value is read. A field that
a message lacks has the default of its class. `dialects` lists the other names of fields.
Must not know: pydantic, the meaning of an event, the source of its bytes.
"""

from collections.abc import Callable, KeysView, Mapping
from functools import cache
from inspect import get_annotations
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, TypeVar, dataclass_transform

from ..errors import printable
from ..frames.base64_json import Decoded, Withheld
from .dialects import OTHER_NAMES, PICTURE_NAMES, Shape, Spelling
from .field_types import (
    Anything,
    Base64,
    Count,
    Flag,
    Identifier,
    Name,
    Number,
    PlainObject,
    ReadBy,
    Text,
    WholeText,
)
from .members import has_members, member_of, members_of
from .values import read_text

_LONGEST_URL = 8_192  # characters, the most that servers take. A URL is never cut: a cut URL does not work
# Lists are read up to these lengths, because a member needs hundreds of times its size on the wire. Real lists
# are short.
_MOST_ITEMS = 20_000  # twice the default of `Limits.max_items`
_MOST_CHOICES = 128  # the most that a request can ask for
_MOST_PICTURES = 500  # of one message of a chat


@dataclass_transform(kw_only_default=True)  # type checkers see that the models of `events` take fields as keywords
class Fields:
    """The fields of a message. They cannot be changed."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted")


_Kind = TypeVar("_Kind", bound=Fields)


def _object_of(kind: type[Fields]) -> ReadBy:
    return ReadBy(lambda value: read_fields(kind, value) if has_members(value) else None)


def _list_of(kind: type[Fields], most: int) -> ReadBy:
    read = _object_of(kind).read
    return ReadBy(lambda value: tuple(map(read, value[:most])) if isinstance(value, (list, tuple)) else ())


# ---- the fields of each kind of message


class ItemFields(Fields):
    """The facts that a message can report about one item."""

    status: Text = None
    output_format: Text = None
    quality: Text = None
    background: Text = None
    action: Text = None
    model: Text = None
    media_type: Text = None
    size: Text = None
    revised_prompt: Text = None
    percent: Number = None
    eta_s: Number = None
    error: Anything = None
    usage: PlainObject = None
    partial_image_b64: Base64 = None
    b64_json: Base64 = None
    result: Base64 = None
    image_b64: Base64 = None
    image_base64: Base64 = None
    b64: Base64 = None
    image_result_b64: Base64 = None
    url: Base64 = None
    image_url: Base64 = None

    def has_picture_field(self, *, counts_empty: bool = True) -> bool:
        """Return whether a field for a picture is present. null is absent; "" is present if `counts_empty`."""
        if _PICTURES.isdisjoint(self.__dict__):  # nearly always
            return False
        return any(given is not None and (given or counts_empty) for given in _given_in(self))

    def picture_and_link(self, *, is_partial: bool = False) -> tuple[str | Decoded | Withheld | None, str | None]:
        """Return the base64 of the picture and its URL, None for each that is absent. Nothing is fetched."""
        if _PICTURES.isdisjoint(self.__dict__):  # nearly always
            return None, None
        given = _given_in(self)
        pictures = [text for text in given[0 if is_partial else 1 :] if text and not _is_link(text)]
        links = [text for text in given if text and _is_link(text)]
        link = printable(links[0]) if links and len(links[0]) <= _LONGEST_URL else None
        return pictures[0] if pictures else None, link


_PICTURES = frozenset(PICTURE_NAMES)
_given_in: Callable[[ItemFields], tuple[Any, ...]] = attrgetter(*PICTURE_NAMES)


def _is_link(text: str | Decoded | Withheld) -> bool:
    return isinstance(text, str) and text[:8].lower().startswith(("http://", "https://"))


class EventFields(Fields):
    type: Text = None
    sequence_number: Number = None
    response_id: Identifier = None
    stream_id: Identifier = None


class ImageCallFields(EventFields, ItemFields):
    item_id: Identifier = None
    output_index: Number = None
    partial_image_index: Number = None


class OutputItemFields(ItemFields):
    id: Identifier = None
    type: Text = None
    content: Anything = None

    def text(self) -> str:
        """Return the words of a message, or of its refusal."""
        parts = self.content if isinstance(self.content, list) and self.type == "message" else ()
        return "".join(str(part.get("text") or part.get("refusal") or "") for part in parts if isinstance(part, dict))


class OutputItemEventFields(EventFields):
    output_index: Number = None
    item: Annotated[OutputItemFields | None, _object_of(OutputItemFields)] = None


class ResponseFields(Fields):
    id: Identifier = None
    status: Text = None
    error: Anything = None
    incomplete_details: PlainObject = None
    tool_usage: PlainObject = None
    usage: PlainObject = None
    model: Text = None
    output: Annotated[tuple[OutputItemFields | None, ...], _list_of(OutputItemFields, _MOST_ITEMS)] = ()


class ResponseEventFields(EventFields):
    response: Annotated[ResponseFields | None, _object_of(ResponseFields)] = None


class ErrorEventFields(EventFields):
    code: Anything = None
    message: Text = None
    param: Anything = None
    error: Anything = None
    errors: Text = None  # AUTOMATIC1111: the words, beside the name of the exception in `error`
    detail: Text = None
    is_bare_body: Flag = False


class TextEventFields(EventFields):
    item_id: Identifier = None
    delta: WholeText = None


class ImageDataFields(ItemFields):
    """One picture of the Images API, or of a chat message."""


class AnswerImageFields(ImageDataFields):
    progress: Number = None


class ImageEventFields(EventFields, ImageDataFields):
    item_id: Identifier = None
    output_index: Number = None
    image_index: Number = None
    partial_image_index: Number = None


class ImagesEventFields(EventFields, ItemFields):
    data: Annotated[tuple[AnswerImageFields | None, ...], _list_of(AnswerImageFields, _MOST_ITEMS)] = ()


def _text_of_content(content: Any) -> str | None:
    """Return the text of a message's content: the content itself, or the text in its parts."""
    if not isinstance(content, (list, tuple)):
        return read_text(content)
    texts = (read_text(member_of(part, "text")) for part in content[:_MOST_PICTURES] if has_members(part))
    return "".join(filter(None, texts)) or None


def _parts_of_content(content: Any) -> tuple[ImageDataFields, ...]:
    """Return the parts of a message's content."""
    parts = content[:_MOST_PICTURES] if isinstance(content, (list, tuple)) else ()
    return tuple(read_fields(ImageDataFields, part) for part in parts if has_members(part))


class ChatMessageFields(Fields):
    images: Annotated[tuple[ImageDataFields | None, ...], _list_of(ImageDataFields, _MOST_PICTURES)] = ()
    content: Annotated[tuple[ImageDataFields, ...], ReadBy(_parts_of_content)] = ()
    text: Annotated[str | None, ReadBy(_text_of_content)] = None
    refusal: Text = None

    def pictures(self) -> tuple[ImageDataFields, ...]:
        """Return its pictures in order, without those in its text."""
        shown = (image for image in self.images or self.content if image)
        return tuple(image for image in shown if any(image.picture_and_link()))


class ChatChoiceFields(Fields):
    index: Number = None
    finish_reason: Text = None
    delta: Annotated[ChatMessageFields | None, _object_of(ChatMessageFields)] = None
    message: Annotated[ChatMessageFields | None, _object_of(ChatMessageFields)] = None


class ChatEventFields(EventFields):
    id: Identifier = None
    choices: Annotated[tuple[ChatChoiceFields | None, ...], _list_of(ChatChoiceFields, _MOST_CHOICES)] = ()
    error: Anything = None
    image_index: Number = None  # the number of its first image
    model: Text = None
    usage: PlainObject = None


class PartFields(ItemFields):
    id: Identifier = None
    part_kind: Text = None
    tool_name: Text = None
    tool_call_id: Identifier = None


class PartEventFields(EventFields):
    part: Annotated[PartFields | None, _object_of(PartFields)] = None


class RunEventFields(EventFields):
    parts: Annotated[tuple[PartFields | None, ...], _list_of(PartFields, _MOST_PICTURES)] = ()


class ContentEventFields(EventFields):
    content: Annotated[tuple[OutputItemFields | None, ...], _list_of(OutputItemFields, _MOST_PICTURES)] = ()


class PlacedPictureFields(ItemFields):
    """One picture in a place that a layout names, or an item without a picture."""

    item_id: Name = None
    number: Count = None  # of the image
    track: Count = None  # of the image among those made side by side; a later request counts from 0 again
    share: Number = None  # how far the image is, from 0 to 1
    partial_image_index: Count = None
    is_draft: Flag = False
    link: Base64 = None  # a URL, perhaps without the name of the server


class PlacedEventFields(EventFields):
    response_id: Name = None
    pictures: Annotated[tuple[PlacedPictureFields | None, ...], _list_of(PlacedPictureFields, _MOST_ITEMS)] = ()
    words: WholeText = None
    status: Text = None
    reason: Text = None
    error: Anything = None
    has_failed: Flag = False
    model: Text = None
    usage: PlainObject = None


FIELDS_OF_SHAPES: dict[Shape, type[EventFields]] = {
    Shape.CALL: ImageCallFields,
    Shape.ITEM: OutputItemEventFields,
    Shape.RESPONSE: ResponseEventFields,
    Shape.IMAGE: ImageEventFields,
    Shape.IMAGES: ImagesEventFields,
    Shape.CHAT: ChatEventFields,
    Shape.PART: PartEventFields,
    Shape.RUN: RunEventFields,
    Shape.CONTENT: ContentEventFields,
    Shape.PLACED: PlacedEventFields,
    Shape.ERROR: ErrorEventFields,
    Shape.TEXT: TextEventFields,
}


# ---- the table of names, and the reader


class _OtherPlace(NamedTuple):
    """A place of a field besides its own name. The lowest rank that is present counts."""

    rank: int
    field: str
    way: tuple[str | int, ...]  # from the member with that name to the value


class _Table(NamedTuple):
    """All names under which the fields of a class are found in a message."""

    readers: dict[str, Callable[[Any], Any]]  # how a field is read, by its own name
    places: dict[str, list[_OtherPlace]]  # the fields that can have this other name
    other: KeysView[str]  # the names in `places`
    names: frozenset[str]  # the names in `readers` and `places`


def read_fields(kind: type[_Kind], message: Any) -> _Kind:
    """Return the fields of `message`, a mapping or an object. Null counts as absent."""
    readers, places, other, names = _table_of(kind)  # type: ignore[arg-type] # each type is hashable
    members = message if type(message) is dict else members_of(message, names)
    fields = object.__new__(kind)
    found = fields.__dict__
    for name, value in members.items():
        if value is not None and (reader := readers.get(name)) is not None:
            found[name] = reader(value)
    if not members.keys().isdisjoint(other):
        ranked = sorted((place, name) for name in members.keys() & other for place in places[name])
        for (_, field, way), name in ranked:
            if field not in found and (value := _follow(members[name], way)) is not None:
                found[field] = readers[field](value)
    return fields


def fields_of_values(kind: type[_Kind], values: Mapping[str, Any]) -> _Kind:
    """Return the fields with these values, by their own names. A value that is null, or of a wrong type, is absent."""
    readers = _table_of(kind).readers  # type: ignore[arg-type] # each type is hashable
    fields = object.__new__(kind)
    read = {name: readers[name](value) for name, value in values.items() if value is not None}
    fields.__dict__.update((name, value) for name, value in read.items() if value is not None)
    return fields


@cache
def _table_of(kind: type[Fields]) -> _Table:
    annotations = {name: each for base in reversed(kind.__mro__) for name, each in get_annotations(base).items()}
    readers = {field: annotation.__metadata__[0].read for field, annotation in annotations.items()}
    places: dict[str, list[_OtherPlace]] = {}
    for field in readers:
        for rank, (name, *way) in enumerate(_other_places(field)):
            places.setdefault(name, []).append(_OtherPlace(rank, field, tuple(way)))
    return _Table(readers, places, places.keys(), frozenset((*readers, *places)))


@cache
def _other_places(field: str) -> tuple[tuple[Any, ...], ...]:
    """Return the places of a field besides its own name, best first, each as a path of names.

    Paths are tried first, because their first name can also be another name of this field.
    """
    others: tuple[Spelling, ...] = OTHER_NAMES.get(field, ())
    paths = [each for each in others if isinstance(each, tuple)]
    names = [(name,) for each in (field, *others) if isinstance(each, str) for name in _spellings(each)]
    return tuple(place for place in dict.fromkeys((*paths, *names)) if place != (field,))


_IN_GO = {"id": "ID", "b64": "B64", "json": "JSON", "url": "URL"}


def _spellings(name: str) -> tuple[str, str, str, str]:
    """Return a name as the wire, TypeScript, C# and Go spell it: item_id, itemId, ItemId, ItemID."""
    first, *others = words = name.split("_")
    camel = first + "".join(map(str.capitalize, others))
    go = "".join(_IN_GO.get(word, word.capitalize()) for word in words)
    return name, camel, camel[:1].upper() + camel[1:], go


def _follow(value: Any, way: tuple[str | int, ...]) -> Any:
    """Return the value at the end of `way`; None if there is none."""
    for step in way:
        if isinstance(step, int):
            value = value[step] if isinstance(value, (list, tuple)) and len(value) > step else None
        else:
            value = member_of(value, step) if has_members(value) else None
    return value
