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
from ..assembly.updates import Anomaly, Outcome
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

    cursors: list[Cursor] = []

    def open_stream(cursor: Cursor) -> Iterator[Any]:
        cursors.append(cursor)
        return tally.read_events(chunks, limits)

    error: ImgassembleError | None = None
    with closing(RedisGallery(options.url, options.gallery)) as gallery:
        try:
            with gallery.produce(_name(options)) as making, Clock() as clock:
                listener = call_each(tally, clock, progress)
                making.assemble(open_stream, on_update=listener, assembler=assembler, patience=_ONCE)
        except (SinkError, StreamTakenError, IncompleteStreamError) as failed:
            error = failed
        except KeyboardInterrupt:
            if assembler.result is not None:
                say(_place_of(options, assembler, is_cut=True))
            raise
    if assembler.result is not None:
        progress.end(assembler.result)
    return _exit_code(options, assembler, tally, error, is_read=bool(cursors))


def _exit_code(
    options: argparse.Namespace,
    assembler: Assembler,
    tally: StreamTally,
    error: ImgassembleError | None,
    *,
    is_read: bool,
) -> int:
    """Say how the stream was sent, and return the exit code."""
    if error is None or (isinstance(error, IncompleteStreamError) and assembler.result is not None):
        is_cut = is_read and assembler.outcome is Outcome.INCOMPLETE
        say(_place_of(options, assembler, is_cut=is_cut))
        if not is_read:
            say("this stream had ended before, so nothing was read: choose another name with --as for another stream")
        return tally.exit_code(assembler.result)
    if isinstance(error, IncompleteStreamError):
        say(f"{error}, or choose another name with --as")
        return INCOMPLETE
    say(str(error))
    return STORAGE


def _place_of(options: argparse.Namespace, assembler: Assembler, *, is_cut: bool) -> str:
    """Return a line that says where the stream is, and how a stream that was cut goes on."""
    place = f"the stream {quoted(_name(options))} is in the gallery {quoted(options.gallery)}"
    if not is_cut:
        return f"{place}: imgassemble view shows it"
    if assembler.items and assembler.cursor.response_id is None:
        advice = "it cannot go on, because it has no response id: choose another name with --as to send it again"
    else:
        advice = "run this command again with the whole stream, and it goes on"
    return f"{place} up to here: imgassemble view shows it; {advice}"


def _name(options: argparse.Namespace) -> str:
    return options.stream or ("standard input" if options.source == "-" else printable(Path(options.source).name))
