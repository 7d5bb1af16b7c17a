"""The command `imgassemble simulate`: its arguments, and a stream written to standard output.

Knows: argparse, orders, the clock. Must not know: how an answer is made, the assembler; the server only when asked.
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

from ..errors import SinkError, UsageError, quoted
from ..simulator.answers import DIALECTS, FAULTS, Order, Play, play, replay
from ..simulator.apis import APIS
from ..simulator.pace import Pace
from ..simulator.pictures import opened

_HOST = "127.0.0.1"  # nobody else's machine, unless asked
_LONGEST_WAIT_S = 3600.0


def add_command(_name: str, parser: argparse.ArgumentParser) -> None:
    """The arguments of `imgassemble simulate`, and what runs it."""
    add_arguments(parser)
    parser.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of `imgassemble simulate`."""
    usual = Order()
    add = parser.add_argument
    add("prompt", nargs="?", metavar="PROMPT", default=usual.prompt, help="what is drawn (%(default)s)")
    add("--api", choices=list(APIS), default=usual.api, help="which API answers (%(default)s)")
    add("--dialect", choices=list(DIALECTS), default=usual.dialect, help="whose words it uses (%(default)s)")
    add("--format", type=str.upper, default=usual.format, help="PNG, JPEG, WEBP, or SVG of router-images (%(default)s)")
    add("--size", type=_size, metavar="WxH", help="in pixels (1024x1024, or that of --picture)")
    add("--partials", type=int, metavar="N", default=usual.partials, help="0 to 3 (%(default)s)")
    add("--items", type=int, metavar="N", default=usual.items, help="how many images, 1 to 10 (%(default)s)")
    add("--seed", type=int, metavar="N", default=usual.seed, help="another one, another picture (%(default)s)")
    add("--picture", type=Path, metavar="FILE", help="show this picture in place of a drawn one")
    add("--fault", dest="faults", nargs="+", action="extend", metavar="NAME", default=[], help="what goes wrong")
    add("--list-faults", action="store_true", help="tell what can go wrong, and end")
    add("--whole", action="store_true", help="one whole answer, not a stream")
    add("--delay-s", type=_seconds, metavar="S", default=None, help="seconds before each event (0)")
    add("--jitter-s", type=_seconds, metavar="S", default=None, help="give or take so many (0)")
    add("--chunk-bytes", type=_count, metavar="N", default=0, help="cut the stream into chunks of N bytes")
    add("--replay", type=Path, metavar="FILE", help="send this recorded stream; its own pace, unless told")
    add("--serve", type=_address, metavar="[HOST:]PORT", help=f"be a server there, on {_HOST} unless told")
    add("--fixtures", type=Path, metavar="FOLDER", help="write the fixtures of imgassemble itself there, and end")
    add("-o", "--output", type=Path, metavar="FILE", help="write to this file, not to standard output")


def run(options: argparse.Namespace) -> int:
    """Do what `add_arguments` read; the exit code. Raises UsageError for bad input, SinkError where FILE fails."""
    if options.list_faults:
        print("\n".join(f"{fault.usage:<28} {fault.says}" for fault in FAULTS.values()))  # noqa: T201
        return 0
    if options.fixtures:
        return _write_fixtures(options.fixtures)
    if options.serve:
        return _serve(options)
    made = _replayed(options) if options.replay else play(_order(options))
    with _output(options.output) as file:
        _write(made, file, _pace(options, made), options.seed)
    return 0


# ---- arguments


def _size(text: str) -> tuple[int, int]:
    width, separator, height = text.lower().partition("x")
    if not (separator and width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"a size is WIDTHxHEIGHT in pixels, such as 1024x1024, not {quoted(text)}")
    return int(width[:9]), int(height[:9])


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST_WAIT_S:
        raise argparse.ArgumentTypeError(f"seconds are a number from 0 to {_LONGEST_WAIT_S:.0f}, not {quoted(text)}")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:12])):
        raise argparse.ArgumentTypeError(f"a count is a whole number above 0, not {quoted(text)}")
    return int(text[:12])


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port[:6]) < 65_536):
        raise argparse.ArgumentTypeError(f"an address is [HOST:]PORT, such as 8000, not {quoted(text)}")
    return host.strip("[]") or _HOST, int(port)


def _order(options: argparse.Namespace) -> Order:
    picture = _read(options.picture, "picture") if options.picture else None
    return Order(
        api=options.api,
        dialect=options.dialect,
        prompt=options.prompt,
        format=options.format,
        size=options.size or _size_of(picture),
        partials=options.partials,
        items=options.items,
        seed=options.seed,
        faults=tuple(options.faults),
        picture=picture,
        is_streamed=not options.whole,
    )


def _size_of(picture: bytes | None) -> tuple[int, int]:
    return Order().size if picture is None else opened(picture).size


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as trouble:
        why = trouble.strerror or str(trouble)
        raise UsageError(f"the {what} {quoted(str(path))} cannot be read: {why}") from trouble


def _replayed(options: argparse.Namespace) -> Play:
    return replay(_read(options.replay, "recording"))


def _pace(options: argparse.Namespace, made: Play | None) -> Pace:
    own_s = made.own_delay_s if made and options.delay_s is None and options.jitter_s is None else 0.0
    return Pace(
        delay_s=own_s if options.delay_s is None else options.delay_s,
        jitter_s=options.jitter_s or 0.0,
        chunk_bytes=options.chunk_bytes,
    )


# ---- sending


def _serve(options: argparse.Namespace) -> int:
    if options.replay or options.output:
        raise UsageError("--serve makes its own streams: leave out --replay and --output")
    order = _order(options)
    play(order)  # what is wrong with it is told now, and not to every client
    from ..simulator.server import serve  # starlette and uvicorn come with the extra `web`

    host, port = options.serve
    return serve(host, port, order, pace=_pace(options, None))


def _write_fixtures(folder: Path) -> int:
    from ..simulator.fixtures import write  # only who works on this library needs them

    with _told_as_sink_error(folder):
        for path in write(folder):
            print(path)  # noqa: T201
    return 0


@contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    with _told_as_sink_error(path), path.open("wb") as file:
        yield file


@contextmanager
def _told_as_sink_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as trouble:
        why = trouble.strerror or str(trouble)
        raise SinkError(f"{quoted(str(path))} cannot be written: {why}", path=path, errno=trouble.errno) from trouble


def _write(made: Play, file: BinaryIO, pace: Pace, seed: int, *, sleep: Callable[[float], Any] = time.sleep) -> None:
    """Write the body at this pace, each chunk at once. A reader that has gone away is not our trouble."""
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
