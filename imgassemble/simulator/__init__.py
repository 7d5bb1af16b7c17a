"""Makes the streams of image services by code: for tests, for demonstrations, and for work without a key.

Must not know: the assembler. Its results are tested against the pictures that the simulator sent.

    from imgassemble.simulator import Order, play

    answer = play(Order(prompt="a lake at night", size=(256, 256), faults=("disconnect-after-event=6",)))
    result = assemble(answer.body)      # the pieces of bytes that are sent; answer.events are the events themselves

An `Order` describes the pictures and the service, `play` returns the answer, `resumed` the rest of an answer, `replay`
a recorded stream. `FAULTS` and `DIALECTS` list the possible values. Nothing is imported before it is used, because the
pytest plugin in this folder is loaded in every test run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answers import Answer, Order, pictures_of, play, resumed
    from .dialects import DIALECTS, Dialect
    from .faults import FAULTS, Fault
    from .image_series import ImageFiles
    from .landscapes import draw, draw_svg, sharpen
    from .messages import (
        Event,
        ImageCall,
        base64_text,
        image_events,
        images_stream,
        json_lines,
        message_events,
        responses_stream,
        sse,
    )
    from .pace import Pace
    from .pictures import encode, encode_animation, pan
    from .recordings import replay

__all__ = [
    "DIALECTS",
    "FAULTS",
    "Answer",
    "Dialect",
    "Event",
    "Fault",
    "ImageCall",
    "ImageFiles",
    "Order",
    "Pace",
    "base64_text",
    "draw",
    "draw_svg",
    "encode",
    "encode_animation",
    "image_events",
    "images_stream",
    "json_lines",
    "message_events",
    "pan",
    "pictures_of",
    "play",
    "replay",
    "responses_stream",
    "resumed",
    "sharpen",
    "sse",
]

_NAMES_OF = {
    "answers": ("Answer", "Order", "pictures_of", "play", "resumed"),
    "dialects": ("DIALECTS", "Dialect"),
    "faults": ("FAULTS", "Fault"),
    "image_series": ("ImageFiles",),
    "landscapes": ("draw", "draw_svg", "sharpen"),
    "pace": ("Pace",),
    "pictures": ("encode", "encode_animation", "pan"),
    "recordings": ("replay",),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> Any:
    """Return a name of `__all__` from its module."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'messages')}"), name)
