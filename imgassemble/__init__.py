"""imgassemble turns the event stream of an image-generation API into pictures that can be shown at once.

The road: bytes (sse, sources) → events (events, readings by the rows of dialects) → assembler (lifecycle: facts and one
table) → frames and updates → sinks and screens. `assemble(stream)` walks it in one call.

A name is imported when it is first asked for: pytest loads this package in every test run of every user.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .assembly.assembler import Assembler
    from .assembly.items import Cursor, Item
    from .assembly.results import ResponseSummary, Result
    from .assembly.sink import Sink
    from .assembly.updates import (
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
    from .frames.frame import Frame
    from .limits import Limits
    from .screens.refresher import Refresher
    from .states import State
    from .storage.directory import DirectorySink
    from .storage.saved import saved_events
    from .streams.drivers import aassemble, aiter_updates, assemble, iter_updates
    from .streams.resume import Patience, aresuming, resuming
    from .streams.sources import open_events
    from .wire.events import (
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
    "ResponseSummary",
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
    "assembly.assembler": ("Assembler",),
    "streams.drivers": ("aassemble", "aiter_updates", "assemble", "iter_updates"),
    "errors": ("EventError", "FrameDecodeError", "FrameEncodingError", "FrameError", "ImgassembleError",
        "IncompleteStreamError", "LimitError", "ProviderError", "SinkError", "UsageError"),
    "wire.events": ("ChatEvent", "ErrorEvent", "Event", "ImageData", "ImageCallEvent", "ImageEvent", "ImagesEvent",
        "OutputItem", "OutputItemEvent", "Response", "ResponseEvent", "parse_event"),
    "frames.frame": ("Frame",),
    "assembly.items": ("Cursor", "Item"),
    "assembly.results": ("ResponseSummary", "Result"),
    "states": ("State",),
    "limits": ("Limits",),
    "screens.refresher": ("Refresher",),
    "streams.resume": ("Patience", "aresuming", "resuming"),
    "storage.saved": ("saved_events",),
    "storage.directory": ("DirectorySink",),
    "assembly.sink": ("Sink",),
    "streams.sources": ("open_events",),
    "assembly.updates": ("Anomaly", "FinalReady", "FinalWithdrawn", "FrameAdded", "ItemEnded", "Outcome",
        "StateChanged", "StreamEnded", "Update"),
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
