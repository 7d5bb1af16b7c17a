"""imgassemble turns the event stream of an image-generation API into pictures that can be shown at once.

The road: bytes (sse, sources) → events (events, readings by the rows of dialects) → assembler (lifecycle: facts and one
table) → frames and updates → sinks and screens. `assemble(stream)` walks it in one call.

A name is imported when it is first asked for: pytest loads this package in every test run of every user.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .assembler import Assembler
    from .drivers import aassemble, aiter_updates, assemble, iter_updates
    from .errors import (
        EventError,
        FrameDecodeError,
        FrameEncodingError,
        FrameError,
        ImgassembleError,
        IncompleteStreamError,
        LimitError,
        ProviderError,
        SinkError,
        UsageError,
    )
    from .events import (
        ChatEvent,
        ErrorEvent,
        Event,
        ImageCallEvent,
        ImageData,
        ImageEvent,
        ImagesEvent,
        OutputItem,
        OutputItemEvent,
        Response,
        ResponseEvent,
        parse_event,
    )
    from .frames import Frame
    from .items import Cursor, Item, Result
    from .lifecycle import State
    from .limits import Limits
    from .refresh import Refresher
    from .resume import Patience, aresuming, resuming
    from .saved import saved_events
    from .sinks import DirectorySink, Sink
    from .sources import open_events
    from .updates import (
        Anomaly,
        FinalReady,
        FinalWithdrawn,
        FrameAdded,
        ItemEnded,
        Outcome,
        StateChanged,
        StreamEnded,
        Update,
    )

__version__ = "0.1.0"

__all__ = [
    "Anomaly",
    "Assembler",
    "ChatEvent",
    "Cursor",
    "DirectorySink",
    "ErrorEvent",
    "Event",
    "EventError",
    "FinalReady",
    "FinalWithdrawn",
    "Frame",
    "FrameAdded",
    "FrameDecodeError",
    "FrameEncodingError",
    "FrameError",
    "ImageCallEvent",
    "ImageData",
    "ImageEvent",
    "ImagesEvent",
    "ImgassembleError",
    "IncompleteStreamError",
    "Item",
    "ItemEnded",
    "LimitError",
    "Limits",
    "Outcome",
    "OutputItem",
    "OutputItemEvent",
    "Patience",
    "ProviderError",
    "Refresher",
    "Response",
    "ResponseEvent",
    "Result",
    "Sink",
    "SinkError",
    "State",
    "StateChanged",
    "StreamEnded",
    "Update",
    "UsageError",
    "aassemble",
    "aiter_updates",
    "aresuming",
    "assemble",
    "iter_updates",
    "open_events",
    "parse_event",
    "resuming",
    "saved_events",
]

# fmt: off
_HOMES = {
    "assembler": ("Assembler",),
    "drivers": ("aassemble", "aiter_updates", "assemble", "iter_updates"),
    "errors": ("EventError", "FrameDecodeError", "FrameEncodingError", "FrameError", "ImgassembleError",
        "IncompleteStreamError", "LimitError", "ProviderError", "SinkError", "UsageError"),
    "events": ("ChatEvent", "ErrorEvent", "Event", "ImageData", "ImageCallEvent", "ImageEvent", "ImagesEvent",
        "OutputItem", "OutputItemEvent", "Response", "ResponseEvent", "parse_event"),
    "frames": ("Frame",),
    "items": ("Cursor", "Item", "Result"),
    "lifecycle": ("State",),
    "limits": ("Limits",),
    "refresh": ("Refresher",),
    "resume": ("Patience", "aresuming", "resuming"),
    "saved": ("saved_events",),
    "sinks": ("DirectorySink", "Sink"),
    "sources": ("open_events",),
    "updates": ("Anomaly", "FinalReady", "FinalWithdrawn", "FrameAdded", "ItemEnded", "Outcome", "StateChanged",
        "StreamEnded", "Update"),
}
# fmt: on
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
