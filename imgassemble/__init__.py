"""imgassemble turns the event stream of an image-generation API into pictures that can be shown while they are made.

The way of the data: bytes become events (streams, wire), events become signals (wire, by the tables of its dialects),
signals become items, frames and updates (assembly), and these reach files and people (storage, screens, web).
`assemble(stream)` does all of it in one call.

A name is imported when it is first asked for, because pytest loads this package in every test run of every user.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .assembly.assembler import Assembler as Assembler
    from .assembly.items import Cursor as Cursor
    from .assembly.items import Item as Item
    from .assembly.results import ResponseSummary as ResponseSummary
    from .assembly.results import Result as Result
    from .assembly.sink import Sink as Sink
    from .assembly.updates import Anomaly as Anomaly
    from .assembly.updates import FinalReady as FinalReady
    from .assembly.updates import FinalWithdrawn as FinalWithdrawn
    from .assembly.updates import FrameAdded as FrameAdded
    from .assembly.updates import ItemEnded as ItemEnded
    from .assembly.updates import Outcome as Outcome
    from .assembly.updates import StateChanged as StateChanged
    from .assembly.updates import StreamEnded as StreamEnded
    from .assembly.updates import Update as Update
    from .errors import EventError as EventError
    from .errors import FrameDecodeError as FrameDecodeError
    from .errors import FrameEncodingError as FrameEncodingError
    from .errors import FrameError as FrameError
    from .errors import ImgassembleError as ImgassembleError
    from .errors import IncompleteStreamError as IncompleteStreamError
    from .errors import LimitError as LimitError
    from .errors import ProviderError as ProviderError
    from .errors import SinkError as SinkError
    from .errors import StreamTakenError as StreamTakenError
    from .errors import UsageError as UsageError
    from .frames.frame import Frame as Frame
    from .frames.picture import Picture as Picture
    from .limits import Limits as Limits
    from .screens.refresher import Refresher as Refresher
    from .states import State as State
    from .storage.directory import DirectorySink as DirectorySink
    from .storage.objects import ObjectSink as ObjectSink
    from .storage.saved import saved_events as saved_events
    from .streams.driving.async_drivers import aassemble as aassemble
    from .streams.driving.async_drivers import aiter_updates as aiter_updates
    from .streams.driving.drivers import assemble as assemble
    from .streams.driving.drivers import iter_updates as iter_updates
    from .streams.picture_references import with_pictures as with_pictures
    from .streams.picture_references import without_pictures as without_pictures
    from .streams.resuming.async_resume import aresuming as aresuming
    from .streams.resuming.patience import Patience as Patience
    from .streams.resuming.resume import resuming as resuming
    from .streams.sources import open_events as open_events
    from .wire.events import parse_event as parse_event
else:
    # The same names for the interpreter, by the module that defines them.
    _HOMES = {
        "assembly.assembler": ("Assembler",),
        "assembly.items": ("Cursor", "Item"),
        "assembly.results": ("ResponseSummary", "Result"),
        "assembly.sink": ("Sink",),
        "assembly.updates": (
            "Anomaly",
            "FinalReady",
            "FinalWithdrawn",
            "FrameAdded",
            "ItemEnded",
            "Outcome",
            "StateChanged",
            "StreamEnded",
            "Update",
        ),
        "errors": (
            "EventError",
            "FrameDecodeError",
            "FrameEncodingError",
            "FrameError",
            "ImgassembleError",
            "IncompleteStreamError",
            "LimitError",
            "ProviderError",
            "SinkError",
            "StreamTakenError",
            "UsageError",
        ),
        "frames.frame": ("Frame",),
        "frames.picture": ("Picture",),
        "limits": ("Limits",),
        "screens.refresher": ("Refresher",),
        "states": ("State",),
        "storage.directory": ("DirectorySink",),
        "storage.objects": ("ObjectSink",),
        "storage.saved": ("saved_events",),
        "streams.driving.async_drivers": ("aassemble", "aiter_updates"),
        "streams.resuming.async_resume": ("aresuming",),
        "streams.driving.drivers": ("assemble", "iter_updates"),
        "streams.resuming.patience": ("Patience",),
        "streams.resuming.resume": ("resuming",),
        "streams.picture_references": ("with_pictures", "without_pictures"),
        "streams.sources": ("open_events",),
        "wire.events": ("parse_event",),
    }
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
    __all__ = sorted(_HOME_OF)

    def __getattr__(name: str) -> Any:
        if name not in _HOME_OF:
            suggestion = import_module(".arguments", __name__).closest(name, __all__)
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}{suggestion}")
        globals()[name] = value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
        return value

    def __dir__() -> list[str]:
        return [*globals(), *__all__]
