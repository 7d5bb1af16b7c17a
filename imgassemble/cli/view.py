"""The command `imgassemble view`: show a stream, a folder that `save` writes, or a gallery on Redis on a live page.

Must not know: the contents of the page, how it is served.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from ..assembly.assembler import Assembler
from ..errors import printable
from ..storage.watched import watched_events
from ..streams.driving.drivers import assemble
from ..streams.sources import open_chunks
from ..web.gallery import Gallery
from .options import GALLERY, KEY_BY, LIMITS, is_redis, limits_from, option
from .serve_page import PAGE_OPTIONS, serve_page

OPTIONS = (
    option(
        "source",
        metavar="SOURCE",
        help="a recorded stream, a folder that save writes, - for standard input, or redis://... of a gallery",
    ),
    GALLERY,
    KEY_BY,
    *PAGE_OPTIONS,
    *LIMITS,
)


def view(options: argparse.Namespace) -> int:
    """Show the stream, the folder or the gallery `options.source` until Ctrl-C and return the exit code."""
    if is_redis(options.source):
        from ..web.redis.gallery import RedisGallery  # it needs the extra redis

        with closing(RedisGallery(options.source, options.gallery)) as on_redis:
            on_redis.changes()  # connects now, so that a wrong address is reported before the first viewer comes
            return serve_page(on_redis, [], options)
    limits = limits_from(options)
    assembler = Assembler(limits=limits, key_by=options.key_by)
    gallery = Gallery(keep_s=float("inf"), max_bytes=limits.max_total_bytes)
    stream = _open(options.source)
    gallery.add("standard input" if options.source == "-" else printable(options.source), assembler)
    return serve_page(gallery, [partial(assemble, stream, assembler=assembler)], options)


def _open(source: str) -> Iterator[Any]:
    """Return the chunks of a stream, or the events of a folder and of its later changes."""
    if source == "-" and sys.stdin is not None:
        # Unbuffered: a thread in a buffered read holds the buffer's lock, and Python then aborts at Ctrl-C.
        return open_chunks(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
    return watched_events(Path(source)) if source != "-" and Path(source).is_dir() else open_chunks(source)
