"""The streams of image services made by code: for tests, demonstrations, and work without a key.

Knows: which module has what a user asks for. Must not know: the assembler; what it says about a stream is checked
against what is expected here.

    from imgassemble.simulator import Order, play

    answer = play(Order(prompt="a lake at night", size=(256, 256), faults=("disconnect-after-event=6",)))
    result = assemble(answer.body)      # pieces of bytes, as they are sent; answer.events are the events themselves

`Order` says what is asked, `play` answers, `resumed` goes on behind an event, `replay` sends a recording again;
`FAULTS` and `DIALECTS` tell what there is. Nothing is imported before it is asked for, since the pytest plugin beside
this file is loaded in every test run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answers import Order, Play, pictures_of, play, replay, resumed
    from .dialects import DIALECTS, Dialect
    from .faults import FAULTS, Fault
    from .image_series import Shot
    from .messages import (
        Call,
        Event,
        base64_text,
        image_events,
        images_stream,
        json_lines,
        message_events,
        responses_stream,
        sse,
    )
    from .pace import Pace
    from .pictures import draw, draw_svg, encode, sharpen

__all__ = [
    "DIALECTS",
    "FAULTS",
    "Call",
    "Dialect",
    "Event",
    "Fault",
    "Order",
    "Pace",
    "Play",
    "Shot",
    "base64_text",
    "draw",
    "draw_svg",
    "encode",
    "image_events",
    "images_stream",
    "json_lines",
    "message_events",
    "pictures_of",
    "play",
    "replay",
    "responses_stream",
    "resumed",
    "sharpen",
    "sse",
]

_HOMES = {
    "dialects": ("DIALECTS", "Dialect"),
    "faults": ("FAULTS", "Fault"),
    "answers": ("Order", "Play", "pictures_of", "play", "replay", "resumed"),
    "pace": ("Pace",),
    "pictures": ("draw", "draw_svg", "encode", "sharpen"),
    "image_series": ("Shot",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Whatever is in `__all__`, from the module that has it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME.get(name, 'messages')}"), name)
