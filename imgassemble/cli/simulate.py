"""The command `imgassemble simulate`: write a simulated stream to standard output, or serve one to each client.

Must not know: how an answer is made, the assembler. The server is imported only if `--serve` is given.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..console import say
from ..errors import SinkError, UsageError, quoted
from ..simulator.answers import DIALECTS, FAULTS, Answer, Order, play
from ..simulator.apis import APIS
from ..simulator.pace import Pace
from ..simulator.pictures import open_picture
from ..simulator.recordings import replay
from .exit_codes import OK, STORAGE
from .options import image_size, option, whole_number
from .output import ResultPrinter

_LOOPBACK = "127.0.0.1"
_LONGEST_WAIT_S = 3600.0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST_WAIT_S:
        raise argparse.ArgumentTypeError(f"seconds are a number from 0 to {_LONGEST_WAIT_S:.0f}, not {quoted(text)}")
    return seconds


def _listening_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port[:6]) < 65_536):
        raise argparse.ArgumentTypeError(f"an address is [HOST:]PORT, like 8000, not {quoted(text)}")
    return host.strip("[]") or _LOOPBACK, int(port)


_USUAL = Order()
_DEFAULT = "(default: %(default)s)"
OPTIONS = (
    option("prompt", nargs="?", metavar="PROMPT", default=_USUAL.prompt, help=f"what the picture shows {_DEFAULT}"),
    option("--api", choices=list(APIS), default=_USUAL.api, help=f"the API that answers {_DEFAULT}"),
    option("--dialect", choices=list(DIALECTS), default=_USUAL.dialect, help=f"its message format {_DEFAULT}"),
    option("--format", type=str.upper, default=_USUAL.format, help=f"PNG, JPEG, WEBP, GIF or SVG {_DEFAULT}"),
    option("--size", type=image_size, metavar="WxH", help="size in pixels (default: 1024x1024, or as --picture)"),
    option("--partials", type=int, metavar="N", default=_USUAL.partials,
           help=f"previews, 0 to 3 {_DEFAULT}; the Responses API sends the result as one more"),
    option("--items", type=int, metavar="N", default=_USUAL.items, help=f"number of images, 1 to 10 {_DEFAULT}"),
    option("--frames", type=int, metavar="N", help="pictures of a GIF or WEBP animation, 1 to 30 (default for GIF: 9)"),
    option("--turns", type=int, metavar="N", default=_USUAL.turns, help=f"responses in a row, 1 to 8 {_DEFAULT}"),
    option("--lanes", type=int, metavar="N", default=_USUAL.lanes,
           help=f"series of responses side by side, 1 to 16 {_DEFAULT}"),
    option("--seed", type=int, metavar="N", default=_USUAL.seed, help=f"each seed gives another picture {_DEFAULT}"),
    option("--picture", type=Path, metavar="FILE", help="send this picture in place of a drawn one"),
    option("--fault", dest="faults", nargs="+", action="extend", metavar="NAME", default=[],
           help="what goes wrong: names of --list-faults"),
    option("--list-faults", action="store_true", help="list the faults and end"),
    option("--whole", action="store_true", help="one whole answer, not a stream"),
    option("--delay-s", type=_seconds, metavar="S", help="seconds before each event (default: 0)"),
    option("--jitter-s", type=_seconds, metavar="S", help="random variation of that delay, in seconds (default: 0)"),
    option("--chunk-bytes", type=whole_number, metavar="N", default=0, help="cut the stream into chunks of N bytes"),
    option("--replay", type=Path, metavar="FILE",
           help="send this recorded stream (default: in the time that its service took, if the recording has it)"),
    option("--serve", type=_listening_address, metavar="[HOST:]PORT",
           help=f"serve it at this address (default for HOST: {_LOOPBACK})"),
    option("-q", "--quiet", action="store_true", help="with --serve: no line for each request"),
    option("-o", "--output", type=Path, metavar="FILE", help="write to this file in place of standard output"),
)  # fmt: skip


def simulate(options: argparse.Namespace) -> int:
    """Write or serve the stream that `options` describe and return the exit code.

    Raises UsageError for wrong input, SinkError if the output file cannot be written.
    """
    if options.list_faults:
        printer = ResultPrinter()
        for fault in FAULTS.values():
            printer.print(f"{fault.usage:<28} {fault.description}")
        return STORAGE if printer.error else OK
    if options.serve:
        return _serve(options)
    made = replay(_read_file(options.replay, "recording")) if options.replay else play(_order_from(options))
    if made.framing.container == "messages":
        raise UsageError(f"the API {options.api!r} sends the messages of a websocket: use --serve")
    with _open_output(options.output) as file:
        _write(made, file, _pace_of(options, made), options.seed)
    if options.output is None and sys.stdout.isatty():
        say('to see the pictures, put "| imgassemble watch -" behind this command; -o FILE keeps the stream')
    return OK


def _order_from(options: argparse.Namespace) -> Order:
    picture = _read_file(options.picture, "picture") if options.picture else None
    own_size = open_picture(picture).size if picture else _USUAL.size
    return Order(
        api=options.api,
        dialect=options.dialect,
        prompt=options.prompt,
        format=options.format,
        size=options.size or own_size,
        partials=options.partials,
        items=options.items,
        frames=options.frames,
        turns=options.turns,
        lanes=options.lanes,
        seed=options.seed,
        faults=tuple(options.faults),
        picture=picture,
        is_streamed=not options.whole,
    )


def _read_file(path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as cause:
        reason = cause.strerror or str(cause)
        raise UsageError(f"the {kind} {quoted(str(path))} cannot be read: {reason}") from cause


def _pace_of(options: argparse.Namespace, made: Answer | None) -> Pace:
    own_s = made.own_delay_s if made and options.delay_s is None and options.jitter_s is None else 0.0
    return Pace(
        delay_s=own_s if options.delay_s is None else options.delay_s,
        jitter_s=options.jitter_s or 0.0,
        chunk_bytes=options.chunk_bytes,
    )


def _serve(options: argparse.Namespace) -> int:
    if options.replay or options.output:
        raise UsageError("--serve makes its own streams: leave out --replay and --output")
    order = _order_from(options)
    play(order)  # reports a wrong order now, and not to every client
    from ..simulator.server import serve  # starlette and uvicorn come with the extra `web`

    host, port = options.serve
    return serve(host, port, order, pace=_pace_of(options, None), logs_requests=not options.quiet)


@contextmanager
def _open_output(path: Path | None) -> Iterator[BinaryIO]:
    """Give the file to write to. Raises SinkError if it cannot be opened or written."""
    if path is None:
        yield sys.stdout.buffer
        return
    try:
        with path.open("wb") as file:
            yield file
    except OSError as cause:
        reason = cause.strerror or str(cause)
        raise SinkError(f"{quoted(str(path))} cannot be written: {reason}", path=path, errno=cause.errno) from cause


def _write(made: Answer, file: BinaryIO, pace: Pace, seed: int, *, sleep: Callable[[float], Any] = time.sleep) -> None:
    """Write the body at this pace and flush each chunk. A reader that has closed its end is not an error."""
    try:
        for wait_s, chunk in pace.chunks(made.body, seed=seed):
            if wait_s:
                sleep(wait_s)
            file.write(chunk)
            file.flush()
        while made.ending == "hanging":
            sleep(_LONGEST_WAIT_S)
    except BrokenPipeError:
        # Python flushes standard output once more when it ends; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
