"""`imgassemble view` and `imgassemble demo`: the live page of a stream on a port of this machine.

Knows: uvicorn, threads, the browser. Must not know: what is on the page, how a stream is read.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..assembly.assembler import Assembler
from ..console import INTERRUPTED, say
from ..errors import UsageError
from ..limits import Limits
from ..serving import listen, url_of
from ..simulator import Order, Pace, play
from ..streams.drivers import assemble
from ..streams.sources import open_chunks
from ..web.folder import folder_events
from ..web.gallery import Gallery

_PACE = Pace(delay_s=0.9, jitter_s=0.4)
# What the demonstration plays, and how many seconds after its beginning.
_SHOWS: tuple[tuple[float, Order], ...] = (
    (0.0, Order(prompt="an otter on a lake at dusk", partials=3)),
    (0.8, Order(prompt="a lighthouse at night", size=(1536, 1024), partials=3, format="JPEG", seed=2)),
    (1.6, Order(prompt="pines in the morning", size=(1024, 1536), partials=2, format="WEBP", seed=3)),
    (2.4, Order(prompt="two islands", items=2, size=(1024, 768), seed=4, api="responses")),
    (3.2, Order(prompt="a harbour in the rain", faults=("error-nested",), seed=5)),
    (4.0, Order(prompt="a field in winter", faults=("no-final",), dialect="openai-2025", seed=6)),
)


def add_command(name: str, parser: argparse.ArgumentParser) -> None:
    """The arguments of `view` or `demo`, and what runs it."""
    if name == "view":
        parser.add_argument("source", metavar="SOURCE", help="a recorded stream, a folder that save writes, or - for "
            "standard input")  # fmt: skip
        parser.add_argument("--key-by", choices=("item_id", "output_index"), default="item_id",
            help="what names an image; output_index for services whose item ids change with every event")  # fmt: skip
    parser.set_defaults(run={"view": view, "demo": demo}[name])
    parser.add_argument("--host", default="127.0.0.1",
        help="where to listen; anywhere but on this machine a token is asked for (127.0.0.1)")  # fmt: skip
    parser.add_argument("--port", type=int, default=0, metavar="N", help="0, which is the default, takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page, only print its address")


def view(options: argparse.Namespace) -> int:
    """Show a stream, or a folder that `save` writes, until interrupted."""
    gallery, assembler = (
        Gallery(keep_s=float("inf"), max_bytes=Limits().max_total_bytes),
        Assembler(key_by=options.key_by),
    )
    stream = _stream_of(options.source)
    gallery.add("standard input" if options.source == "-" else str(options.source), assembler)

    def run() -> None:
        try:
            assemble(stream, assembler=assembler)
        finally:
            assembler.close()  # also where it cannot be read on: nothing more comes

    return _show(gallery, [run], options)


def demo(options: argparse.Namespace) -> int:
    """Show streams that are made here, until interrupted; in the terminal where the extra `web` is missing."""
    gallery = Gallery(keep_s=float("inf"))
    try:
        from ..web import server  # noqa: F401 - is it there, with all that it needs?
    except UsageError as missing:
        say(f"{missing}; here it is in the terminal")
        return _in_terminal()
    return _show(gallery, [_player(gallery, after_s, order) for after_s, order in _SHOWS], options)


def _player(gallery: Gallery, after_s: float, order: Order) -> Callable[[], object]:
    def run() -> object:
        body = _paced(order, after_s)
        return assemble(body, on_update=gallery.add(order.prompt, size=order.size))

    return run


def _paced(order: Order, after_s: float = 0.0) -> Iterator[bytes]:
    body = play(order).body
    time.sleep(after_s)
    for wait_s, chunk in _PACE.chunks(body, seed=order.seed):
        time.sleep(wait_s)
        yield chunk


def _in_terminal() -> int:
    from ..screens import TerminalScreen

    _, order = _SHOWS[0]
    with TerminalScreen(size=order.size) as screen:
        assemble(_paced(order), on_update=screen)
    return 0


def _stream_of(source: str) -> Iterator[Any]:
    if source == "-" and sys.stdin is not None:
        # Without a buffer: a thread that waits in a buffered read holds its lock, and then Ctrl-C is a fatal error.
        return open_chunks(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
    return folder_events(Path(source)) if source != "-" and Path(source).is_dir() else open_chunks(source)


def _show(gallery: Gallery, feeders: list[Callable[[], object]], options: argparse.Namespace) -> int:
    from ..web.server import Server, guarded

    listener = listen(options.host, options.port)
    url = url_of(listener)
    links: list[str] = []  # the newest last

    def link(token: str) -> None:
        links.append(f"{url}/?token={token}")
        say(f"one viewer: {links[-1]}")

    def started() -> None:
        say(f"the page is at {url}/ (Ctrl-C ends it)")
        for feed in feeders:
            _in_background(partial(_feed, feed))
        if not options.no_browser:
            _in_background(partial(_open, links[-1] if links else f"{url}/"))

    try:
        Server(guarded(gallery, options.host, link=link), on_started=started).run([listener])
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        listener.close()
    return 0


def _in_background(work: Callable[[], object]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _open(url: str) -> None:
    if not webbrowser.open(url):
        say("there is no browser to open it with: open the address yourself")


def _feed(feed: Callable[[], object]) -> None:
    try:
        feed()
    except (OSError, UsageError) as error:
        say(f"the stream cannot be read on: {error}")
