"""The command `imgassemble save`: write the frames of a stream to a folder as they arrive.

The paths of the finals, or lines of JSON, go to standard output; progress and errors go to standard error.
Must not know: how a stream is read, how a file is written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import get_args

from ..assembly.assembler import Assembler
from ..assembly.options import Keep
from ..assembly.updates import Anomaly
from ..console import say
from ..errors import SinkError, UsageError, printable
from ..states import State
from ..storage.directory import DirectorySink
from ..storage.item_folder import Existing, KeepFiles
from ..streams.driving.drivers import assemble
from ..streams.sources import open_chunks
from .clock import Clock
from .exit_codes import STORAGE
from .options import KEY_BY, LIMITS, LOOKS, SOURCE, limits_from, option, output_option, seconds
from .output import ResultPrinter, call_each, describe_files, open_screens, progress_on_stderr
from .stdin import read_stdin
from .tally import StreamTally
from .tee import Tee, check_tee

OPTIONS = (
    SOURCE,
    output_option(
        "DIR",
        "the folder: DIR/<item>/partial-000.png, ..., final.png, item.json; it is made if it does not exist",
    ),
    option(
        "--keep",
        choices=get_args(KeepFiles),
        default="all",
        help="which pictures to keep: all, the latest preview of each image and its final, or only the final "
        "(default: all)",
    ),
    option(
        "--overwrite",
        action="store_true",
        help="replace the files that an earlier run wrote for the same image (default: other pictures get a folder "
        "beside it, DIR/<item>-2, and the same pictures are not written again)",
    ),
    option("--refuse", action="store_true", help="stop if DIR holds files of an earlier run for the same image"),
    option(
        "--resume",
        action="store_true",
        help="continue a run that was cut or killed, in its DIR, which must hold no other stream; "
        "SOURCE may start again from the beginning or continue after the cut",
    ),
    option(
        "--tee",
        metavar="FILE",
        type=Path,
        help="also copy the stream to FILE, which must be new; with --resume the copy is appended",
    ),
    option(
        "--silence-s",
        metavar="N",
        type=seconds,
        help="with SOURCE -: end when nothing has come for N seconds (default: wait)",
    ),
    option(
        "--fetch",
        action="store_true",
        help="fetch the pictures that the service sent as URLs: over https, from public hosts only",
    ),
    option("--json", action="store_true", help="print every update as a line of JSON on standard output"),
    option("--show", action="store_true", help="also show the pictures on standard error, as watch does"),
    *LOOKS,
    KEY_BY,
    *LIMITS,
)


def save(options: argparse.Namespace) -> int:
    """Write the stream of `options.source` to the folder `options.output` and return the exit code."""
    limits = limits_from(options)
    kept: Keep = "all" if options.keep == "all" else "latest"
    assembler = Assembler(limits=limits, keep=kept, key_by=options.key_by)
    chunks = _chunks_of(options)
    check_tee(options.tee, options.source)
    tee, printer, tally = Tee(options.tee, is_resumed=options.resume), ResultPrinter(), StreamTally()
    sink = DirectorySink(options.output, existing=_existing(options), keep=options.keep)
    progress = progress_on_stderr((Anomaly,) if options.show else None)
    error: SinkError | None = None
    try:
        with (
            open_screens(options, sys.stderr if options.show else None) as screens,
            Clock(is_shown=not options.show) as clock,
        ):
            listener = call_each(tally, clock, printer.print_update if options.json else progress, *screens)
            events = tally.read_events(tee.copy(chunks), limits)
            assemble(events, on_update=listener, sinks=[sink], assembler=assembler, fetch=_fetch(options))
    except SinkError as failed:
        error = failed
        if assembler.result is None:  # DIR cannot be made; any later failure was reported at once
            say(str(error))
    if options.show and not options.json:
        progress.end(assembler.result)
    if not options.json:
        _print_finals(sink, printer)
    if assembler.result is not None and not options.fetch:
        _say_links(assembler)
    code = STORAGE if error or tee.error or printer.error else tally.exit_code(assembler.result)
    if assembler.result is not None and not options.json:
        say(describe_files(sink, options.output, error, awaited="final" if options.keep == "final" else "picture"))
    return code


def _fetch(options: argparse.Namespace) -> Callable[[str], bytes] | None:
    """Return the function that fetches pictures at URLs, within the limits; None without --fetch."""
    if not options.fetch:
        return None
    from ..streams.fetching.https import fetch_https  # it imports ssl

    return partial(fetch_https, max_bytes=limits_from(options).max_frame_bytes)


def _say_links(assembler: Assembler) -> None:
    """Say how to get the pictures of which only a URL came."""
    items = assembler.items.values()
    if count := sum(item.url is not None and item.final is None and item.state is State.INCOMPLETE for item in items):
        say(f"{count} of the pictures came as URLs: add --fetch to fetch them, soon, because such URLs expire")


def _chunks_of(options: argparse.Namespace) -> Iterator[bytes]:
    """Return the bytes of the source as they come."""
    if options.source == "-":
        return read_stdin(options.silence_s)
    if options.silence_s is not None:
        raise UsageError("--silence-s is for standard input: for a named pipe write - < PIPE; a file is never silent")
    return open_chunks(options.source)


def _existing(options: argparse.Namespace) -> Existing:
    """Return the value of `DirectorySink(existing=…)` for the options."""
    chosen = [name for name in _EXISTING if getattr(options, name)]
    if len(chosen) > 1:
        raise UsageError(
            "--overwrite replaces the files of an earlier run, --resume continues it, --refuse stops: choose one"
        )
    return _EXISTING[chosen[0]] if chosen else "beside"


_EXISTING: dict[str, Existing] = {"overwrite": "replace", "resume": "continue", "refuse": "refuse"}  # by option


def _print_finals(sink: DirectorySink, printer: ResultPrinter) -> None:
    for path in sink.paths:
        if path.stem == "final":
            printer.print(printable(str(path)))
