"""Serve the live page of a gallery until Ctrl-C, for the commands `view` and `demo`.

The server needs the extra `web`; importing it is a UsageError without that.
Must not know: the contents of the page, how a stream is read.
"""

from __future__ import annotations

import argparse
import threading
import webbrowser
from collections.abc import Callable, Iterable
from functools import partial

from ..console import say
from ..errors import UsageError
from ..web.viewer import ViewedGallery
from .exit_codes import INTERRUPTED, OK
from .options import option

PAGE_OPTIONS = (
    option(
        "--host",
        default="127.0.0.1",
        help="the address to listen on; if other machines can reach it, the page asks for a token (default: 127.0.0.1)",
    ),
    option("--port", type=int, default=0, metavar="N", help="the port (default: 0, which takes a free one)"),
    option("--no-browser", action="store_true", help="do not open the page, only print its address"),
)


def serve_page(gallery: ViewedGallery, feeders: Iterable[Callable[[], object]], options: argparse.Namespace) -> int:
    """Serve the page of `gallery` until Ctrl-C and return the exit code.

    Each of `feeders` runs in a thread of its own, which starts when the server answers.
    Raises UsageError if the extra `web` is missing or the address cannot be used.
    """
    from ..serving import listen, url_of
    from ..web.server import guarded_page, page_server

    listener = listen(options.host, options.port)
    url = url_of(listener)
    links: list[str] = []  # each has a token that is valid once; the last is the valid one

    def print_link(token: str) -> None:
        links.append(f"{url}/?token={token}")
        say(f"link for one viewer: {links[-1]}")

    def start() -> None:
        say(f"the page is at {url}/ (Ctrl-C ends it)")
        for feed in feeders:
            _run_in_background(partial(_feed, feed))
        if not options.no_browser:
            _run_in_background(partial(_open_browser, links[-1] if links else f"{url}/"))

    try:
        page_server(guarded_page(gallery, options.host, link=print_link), on_started=start).run([listener])
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        listener.close()
    return OK


def _run_in_background(work: Callable[[], object]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _open_browser(url: str) -> None:
    if not webbrowser.open(url):
        say("no browser was found: open the address yourself")


def _feed(feed: Callable[[], object]) -> None:
    try:
        feed()
    except (OSError, UsageError) as error:
        say(f"reading the stream failed: {error}")
