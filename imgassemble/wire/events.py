"""The typed form of events: pydantic models of the fields that `fields` defines, and `parse_event`.

An assembler works without these models, so that an import and a first event need no pydantic.
Must not know: the meaning of an event, the source of its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from ..frames.base64_json import load_json
from .dialects import PICTURE_NAMES
from .fields import (
    AnswerImageFields,
    ChatChoiceFields,
    ChatEventFields,
    ChatMessageFields,
    ContentEventFields,
    ErrorEventFields,
    EventFields,
    Fields,
    ImageCallFields,
    ImageDataFields,
    ImageEventFields,
    ImagesEventFields,
    OutputItemEventFields,
    OutputItemFields,
    PartEventFields,
    PartFields,
    PlacedEventFields,
    PlacedPictureFields,
    ResponseEventFields,
    ResponseFields,
    RunEventFields,
    TextEventFields,
    read_fields,
)
from .reader import read_event


class _Model(BaseModel):
    """Takes its fields from the other base of each model, and their values from `read_fields`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, message: Any) -> Any:
        if isinstance(message, cls):
            return message
        fields = message if isinstance(message, Fields) else read_fields(_fields_of(cls), message)
        return {name: _typed(value) for name, value in vars(fields).items()}

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [(name, value) for name, value in super().__repr_args__() if name not in PICTURE_NAMES]


class Event(_Model, EventFields):
    """One wire message. Events that do not concern images have this type and nothing more."""


class ImageCallEvent(Event, ImageCallFields):
    """`response.image_generation_call.in_progress`, `.generating`, `.partial_image` and `.completed`."""


class OutputItem(_Model, OutputItemFields):
    """One member of `response.output`."""


class OutputItemEvent(Event, OutputItemEventFields):
    """`response.output_item.added` and `.done`."""


class Response(_Model, ResponseFields):
    """A response as a whole, from a terminal event or an answer that was not streamed."""


class ResponseEvent(Event, ResponseEventFields):
    """`response.created`, `.completed`, `.failed` and so on; and a response that was not streamed."""


class ErrorEvent(Event, ErrorEventFields):
    """`error`, flat as documented or with a nested `error` as sent."""


class ImageData(_Model, ImageDataFields):
    """One picture of the Images API, or of a chat message."""


class AnswerImage(ImageData, AnswerImageFields):
    """One member of `data`: a picture, an error in its place, or its progress."""


class TextEvent(Event, TextEventFields):
    """A piece of the answer in words."""


class ImageEvent(Event, ImageData, ImageEventFields):
    """`image_generation.partial_image`, `.completed`, and the same of `image_edit`."""


class ImagesEvent(Event, ImagesEventFields):
    """The Images API's answer that was not streamed."""


class ChatMessage(_Model, ChatMessageFields):
    """The assistant's message, or a piece of it."""


class ChatChoice(_Model, ChatChoiceFields):
    """One choice of a chat completion."""


class ChatEvent(Event, ChatEventFields):
    """A chunk of a chat completion, or a whole one."""


class Part(_Model, PartFields):
    """One part of a message of pydantic-ai: a file, or the call of a tool and its result."""


class PartEvent(Event, PartEventFields):
    """`part_start` of pydantic-ai: a part begins, or replaces the one before it."""


class RunEvent(Event, RunEventFields):
    """`agent_run_result` of pydantic-ai: an agent has answered."""


class ContentEvent(Event, ContentEventFields):
    """A message of LangChain, or a piece of it."""


class PlacedPicture(_Model, PlacedPictureFields):
    """One picture in a place that a layout names, or an item without a picture."""


class PlacedEvent(Event, PlacedEventFields):
    """A message of a service with a form of its own, such as a chunk of Gemini."""


def _fields_of(model: type[_Model]) -> type[Fields]:
    """Return the class that defines the fields of `model`: its first base that is no model itself."""
    return next(base for base in model.__mro__ if issubclass(base, Fields) and not issubclass(base, BaseModel))


_MODELS: dict[type[Fields], type[_Model]] = {
    _fields_of(model): model for model in (*_Model.__subclasses__(), *Event.__subclasses__())
}


def _typed(value: Any) -> Any:
    """Return the model of fields, and every other value as it is."""
    if isinstance(value, tuple):
        return tuple(map(_typed, value))
    return _MODELS[type(value)].model_validate(value) if type(value) in _MODELS else value


def typed_event(fields: EventFields) -> Event:
    """Return the model of the fields that `read_event` gave."""
    model: Event = _typed(fields)
    return model


def parse_event(event: object) -> Event:
    """Return the typed event in a message: a mapping, JSON text or bytes, or an SDK's own object.

    A wire type that does not concern images gives a plain `Event`. Raises EventError if there is nothing to read.

        event = parse_event('{"type": "response.image_generation_call.generating", "item_id": "ig_1"}')
        event.item_id
    """
    return typed_event(read_event(event, load_json))
