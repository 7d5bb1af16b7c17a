"""imgassemble turns the event stream of an image-generation API into pictures that can be shown at once.

The road: bytes (sse, sources) → events (events, dialects) → assembler (lifecycle: facts and one table) → frames and
updates → sinks and screens. `assemble(stream)` walks it in one call.
"""

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
    ErrorEvent,
    Event,
    Image,
    ImageCallEvent,
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
    "Image",
    "ImageCallEvent",
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
    "ProviderError",
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
    "assemble",
    "iter_updates",
    "open_events",
    "parse_event",
]
