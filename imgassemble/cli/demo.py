"""The command `imgassemble demo`: show simulated streams on a live page, or in the terminal without the extra `web`.

Must not know: the contents of the page, how it is served.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

from ..console import say
from ..errors import UsageError
from ..simulator import Order, Pace, play
from ..streams.driving.drivers import assemble
from ..web.gallery import Gallery
from .exit_codes import OK
from .serve_page import PAGE_OPTIONS, serve_page

OPTIONS = PAGE_OPTIONS

_PACE = Pace(delay_s=0.9, jitter_s=0.4)
_LONGEST_WITHOUT_PICTURE = 4_000  # bytes of an event
# Seconds after the beginning, and the stream that then starts.
_STREAMS: tuple[tuple[float, Order], ...] = (
    (0.0, Order(prompt="an otter on a lake at dusk", partials=3)),
    (0.8, Order(prompt="a lighthouse at night", size=(1536, 1024), partials=3, format="JPEG", seed=2)),
    (1.6, Order(prompt="pines in the morning", size=(1024, 1536), partials=2, format="WEBP", seed=3)),
    (2.4, Order(prompt="two islands", items=2, size=(1024, 768), seed=4, api="responses")),
    (3.2, Order(prompt="a harbour in the rain", faults=("error-nested",), seed=5)),
    (4.0, Order(prompt="a field in winter", faults=("no-final",), dialect="openai-2025", seed=6)),
)


def demo(options: argparse.Namespace) -> int:
    """Show simulated streams until Ctrl-C and return the exit code."""
    gallery = Gallery(keep_s=float("inf"))
    try:
        from ..web import server  # noqa: F401 - raises UsageError if the extra `web` is missing
    except UsageError as missing:
        say(f"{missing}; until then the demo runs in the terminal")
        return _show_in_terminal()
    return serve_page(gallery, [_feeder(gallery, after_s, order) for after_s, order in _STREAMS], options)


def _feeder(gallery: Gallery, after_s: float, order: Order) -> Callable[[], object]:
    def feed() -> object:
        return assemble(_paced(order, after_s), on_update=gallery.add(order.prompt, size=order.size))

    return feed


def _paced(order: Order, after_s: float = 0.0) -> Iterator[bytes]:
    """Yield the chunks of a simulated stream: its first picture at once, and the rest at the pace of a service."""
    time.sleep(after_s)  # before the pictures are drawn, so that they do not compete with those of the first stream
    has_begun = False
    for wait_s, chunk in _PACE.chunks(play(order).body, seed=order.seed):
        if has_begun:
            time.sleep(wait_s)
        has_begun |= len(chunk) > _LONGEST_WITHOUT_PICTURE
        yield chunk


def _show_in_terminal() -> int:
    from ..screens import TerminalScreen

    _, order = _STREAMS[0]
    with TerminalScreen(size=order.size) as screen:
        assemble(_paced(order), on_update=screen)
    return OK
