"""The command `imgassemble relay`: send a stream to a gallery on Redis, where any number of processes show it.

Must not know: how a stream is read, how it is sent.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from ..assembly.assembler import Assembler
from ..assembly.items import Cursor
from ..assembly.updates import Anomaly
from ..console import say
from ..errors import ImgassembleError, IncompleteStreamError, SinkError, StreamTakenError, printable, quoted
from ..streams.resuming.patience import Patience
from ..streams.sources import open_chunks
from .clock import Clock
from .exit_codes import INCOMPLETE, STORAGE
from .options import GALLERY, KEY_BY, LIMITS, SOURCE, limits_from, option
from .output import call_each, progress_on_stderr
from .stdin import read_stdin
from .tally import StreamTally

OPTIONS = (
    SOURCE,
    option("url", metavar="URL", help="the address of Redis or Valkey: redis://..., rediss://... or unix://..."),
    GALLERY,
    option("--as", dest="stream", metavar="STREAM", help="the name of the stream (default: that of the file)"),
    KEY_BY,
    *LIMITS,
)
_ONCE = Patience(max_retries=0, silence_s=None, deadline_s=None)


def relay(options: argparse.Namespace) -> int:
    """Send the stream of `options.source` to the gallery and return the exit code.

    The command can be run again with the same source after it was killed: it goes on where it stopped.
    """
    from ..web.redis.gallery import RedisGallery  # it needs the extra redis

    limits = limits_from(options)
    assembler = Assembler(limits=limits, key_by=options.key_by)
    chunks = read_stdin(None) if options.source == "-" else open_chunks(options.source)
    tally, progress = StreamTally(), progress_on_stderr((Anomaly,))

    def open_stream(_cursor: Cursor) -> Iterator[Any]:
        return tally.read_events(chunks, limits)

    error: ImgassembleError | None = None
    with closing(RedisGallery(options.url, options.gallery)) as gallery:
        try:
            with gallery.produce(_name(options)) as making, Clock() as clock:
                listener = call_each(tally, clock, progress)
                making.assemble(open_stream, on_update=listener, assembler=assembler, patience=_ONCE)
        except (SinkError, StreamTakenError, IncompleteStreamError) as failed:
            error = failed
    if assembler.result is not None:
        progress.end(assembler.result)
    if error is None:
        place = f"the gallery {quoted(options.gallery)}"
        say(f"the stream {quoted(_name(options))} is in {place}: imgassemble view shows it")
    if error is None or (isinstance(error, IncompleteStreamError) and assembler.result is not None):
        return tally.exit_code(assembler.result)
    say(str(error))
    return INCOMPLETE if isinstance(error, IncompleteStreamError) else STORAGE


def _name(options: argparse.Namespace) -> str:
    return options.stream or ("standard input" if options.source == "-" else printable(Path(options.source).name))
