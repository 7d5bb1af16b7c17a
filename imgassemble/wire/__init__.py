"""Messages of services: bytes become events (sse), events become fields (reader), fields become signals (signals).

`dialects` holds the tables of all services. This package gives the pydantic models of events, imported when they are
asked for: `from imgassemble.wire import ImageCallEvent`.
Must not know: pydantic, before a model is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .events import (
        AnswerImage,
        ChatChoice,
        ChatEvent,
        ChatMessage,
        ContentEvent,
        ErrorEvent,
        Event,
        ImageCallEvent,
        ImageData,
        ImageEvent,
        ImagesEvent,
        OutputItem,
        OutputItemEvent,
        Part,
        PartEvent,
        PlacedEvent,
        PlacedPicture,
        Response,
        ResponseEvent,
        RunEvent,
        TextEvent,
    )

__all__ = [
    "AnswerImage",
    "ChatChoice",
    "ChatEvent",
    "ChatMessage",
    "ContentEvent",
    "ErrorEvent",
    "Event",
    "ImageCallEvent",
    "ImageData",
    "ImageEvent",
    "ImagesEvent",
    "OutputItem",
    "OutputItemEvent",
    "Part",
    "PartEvent",
    "PlacedEvent",
    "PlacedPicture",
    "Response",
    "ResponseEvent",
    "RunEvent",
    "TextEvent",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".events", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
