"""The command `imgassemble`: a stream becomes files, or a report.

Knows: arguments, terminals, exit codes. Must not know: how a stream is read or a file written.
Results go to standard output, progress and trouble to standard error; text from outside is printed without controls.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from . import __version__
from .assembler import Assembler
from .drivers import assemble
from .errors import SinkError, UsageError, clean, printable, quoted
from .files import sink_error
from .frames import Frame
from .items import Item, Result
from .saved import saved_events
from .screens.lines import Progress, facts
from .sinks import DirectorySink
from .sources import EventDecoder, open_chunks
from .sse import BOM
from .updates import (
    Anomaly,
    FinalReady,
    FrameAdded,
    Outcome,
    Update,
)
from .values import plain

if TYPE_CHECKING:
    from .screens.terminal import TerminalScreen

OK, INCOMPLETE, NO_IMAGE, FAILED, UNREADABLE, STORAGE, USAGE, INTERRUPTED = 0, 3, 4, 5, 6, 7, 2, 130

_EXIT_CODES = """\
exit codes (of several, the first):
  7    storage: a file cannot be written, or stands in the way
  6    nothing could be read, or pictures came and none could be used
  5    failed: the service said so
  4    no image: a refusal, a text answer, another kind of stream
  3    incomplete, or a final that is only the last preview
  0    every image has its final
  2    wrong use
  130  interrupted; what came is kept
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(words[0] if words else "").parse_args(words)
    try:
        return int(options.run(options))
    except UsageError as error:
        _say(str(error))
        return USAGE
    except SinkError as error:
        _say(str(error))
        return STORAGE
    except KeyboardInterrupt:
        _say("interrupted; what came is kept")
        return INTERRUPTED


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="imgassemble",
        description="Turn the event stream of an image-generation API into pictures.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"imgassemble {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(commands, "save", _save, "write every preview and every final picture to a folder, as they come", [
        (("-o", "--output"), {"metavar": "DIR", "required": True, "type": Path,
            "help": "the folder: DIR/<item>/partial-000.png, …, final.png, item.json; made where it is missing"}),
        (("--keep",), {"choices": ("all", "latest"), "default": "all",
            "help": "which previews stay: all, or only the latest of each image (default: all)"}),
        (("--overwrite",), {"action": "store_true", "help": "replace what an earlier run wrote for the same image"}),
        (("--resume",), {"action": "store_true",
            "help": "go on in the DIR of a run that was cut or killed, and that holds nothing of other streams; SOURCE "
                "may begin anew or where it broke"}),
        (("--tee",), {"metavar": "FILE", "type": Path,
            "help": "also keep the stream in FILE, which must be new; with --resume it is added to"}),
        (("--json",), {"action": "store_true", "help": "tell every update as a line of JSON on standard output"}),
        (("--show",), {"action": "store_true", "help": "also show the pictures, as watch does, on standard error"}),
        *_LOOKS,
    ])  # fmt: skip
    _add(
        commands,
        "watch",
        _watch,
        "show a stream in the terminal as it comes: previews in place, states, seconds",
        _LOOKS,
    )
    _add(commands, "inspect", _inspect, "tell what is in a stream: images, states, frames, sizes, timings, anomalies", [
        (("--json",), {"action": "store_true", "help": "tell every image, and then the stream, as a line of JSON"}),
    ])  # fmt: skip
    for name, (home, about) in _ELSEWHERE.items():
        other = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        if name == chosen:  # the others do without its modules
            import_module(home, __package__).add_command(name, other)
    return parser


# Commands that live with what they serve, and what they are for.
_ELSEWHERE = {
    "view": (".web.command", "show a stream, or a folder that save writes, on a live page in the browser"),
    "demo": (".web.command", "show streams that are made here on a live page: no key, no network"),
    "simulate": (".simulator.command", "stand in for a service: a stream of previews and pictures, made here, with any "
        "fault wanted"),
}  # fmt: skip


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not all(side.isascii() and side.isdigit() and int(side[:6]) for side in (width, height)):
        raise argparse.ArgumentTypeError(f"a size is WIDTHxHEIGHT in pixels, such as 1024x1024, not {quoted(text)}")
    return int(width[:6]), int(height[:6])


_LOOKS: list[Any] = [
    (("--graphics",), {"choices": ("kitty", "iterm2", "blocks", "blocks-256", "text"),
        "help": "how pictures are shown (default: the best that the terminal says it can; text where there is none)"}),
    (("--size",), {"metavar": "WxH", "type": _size, "default": (1024, 1024),
        "help": "the size that is expected, for the placeholder (default: 1024x1024)"}),
]  # fmt: skip


def _add(commands: Any, name: str, run: Callable[[Any], int], about: str, options: list[Any]) -> None:
    parser = commands.add_parser(
        name,
        help=about,
        description=about[0].upper() + about[1:] + ".",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="a recorded stream or answer (SSE, JSON Lines, JSON); - for standard input"
    )
    for flags, details in options:
        parser.add_argument(*flags, **details)
    parser.add_argument("--key-by", choices=("item_id", "output_index"), default="item_id",
        help="what names an image; output_index for services whose item ids change with every event")  # fmt: skip
    parser.set_defaults(run=run)


def _save(options: argparse.Namespace) -> int:
    assembler = Assembler(keep=options.keep, key_by=options.key_by)
    chunks = open_chunks(options.source)
    tee, results, heard = _Tee(options.tee, is_resumed=options.resume), _Results(), _Heard()
    sink = DirectorySink(options.output, keep=options.keep, overwrite=options.overwrite, resume=options.resume)
    for event in saved_events(options.output, is_to_go_on=True) if options.resume else ():
        assembler.feed(event)
    progress = _progress((Anomaly,) if options.show else None)
    listener = results.update if options.json else progress
    error: SinkError | None = None
    try:
        with _screens(options, sys.stderr if options.show else None) as screens:
            listen = _each(heard, listener, *screens)
            assemble(heard.events_in(tee.copy(chunks)), on_update=listen, sinks=[sink], assembler=assembler)
    except SinkError as failed:
        error = failed
        if assembler.result is None:  # DIR cannot be made; whatever else fails was told when it did
            _say(str(error))
    if not options.json:
        if options.show:
            progress.end(assembler.result)
        for path in sink.paths:
            if path.stem == "final":
                results.line(printable(str(path)))
    return STORAGE if error or tee.error or results.error else heard.exit_code(assembler.result)


def _watch(options: argparse.Namespace) -> int:
    assembler = Assembler(keep="latest", key_by=options.key_by)
    chunks = open_chunks(options.source)
    results, heard, progress = _Results(), _Heard(), _progress((Anomaly,))
    with _screens(options, sys.stdout) as screens:
        listen = _each(heard, progress, *screens)
        assemble(heard.events_in(chunks), on_update=listen, assembler=assembler)
    results.check(*(screen.error for screen in screens))
    progress.end(assembler.result)
    return STORAGE if results.error else heard.exit_code(assembler.result)


@contextmanager
def _screens(options: argparse.Namespace, output: TextIO | None) -> Iterator[tuple[TerminalScreen, ...]]:
    """The screen on `output`, where there is one. What is printed meanwhile stands above the pictures."""
    if output is None:
        yield ()
        return
    from .screens.terminal import TerminalScreen, printing_above

    with TerminalScreen(output, size=options.size, graphics=options.graphics) as screen, printing_above(screen):
        yield (screen,)
    if screen.error:
        _write(output, "")  # it fails again, and then nothing is left to be written


def _inspect(options: argparse.Namespace) -> int:
    assembler = Assembler(key_by=options.key_by)
    results, heard, times = _Results(), _Heard(), _Times()
    assemble(heard.events_in(open_chunks(options.source)), on_update=_each(heard, times), assembler=assembler)
    result = assembler.result
    assert result is not None
    if options.json:
        for item in result.items.values():
            results.line(json.dumps(item.as_dict() | {"seconds": times.of_item(item)}))
        results.line(json.dumps(_stream_facts(result, assembler, heard)))
    else:
        for line in _report(result, assembler, heard, times):
            results.line(line)
    return STORAGE if results.error else heard.exit_code(result)


def _each(*listeners: Callable[[Update], None]) -> Callable[[Update], None]:
    def tell(update: Update) -> None:
        for listener in listeners:
            listener(update)

    return tell


@dataclass(slots=True)
class _Heard:
    """What came, as far as the exit code needs to know."""

    is_blank: bool = True
    events: int = 0
    unreadable: int = 0
    pictures: int = 0
    bad_pictures: int = 0

    def events_in(self, chunks: Iterable[bytes]) -> Iterator[Any]:
        decoder = EventDecoder()
        try:
            for chunk in chunks:
                self.is_blank = self.is_blank and not chunk.removeprefix(BOM).strip()
                yield from map(self._count, decoder.feed(chunk))
        except OSError as cause:  # as if the stream were cut here
            _say(f"the stream cannot be read on: {cause.strerror or cause}")
        yield from map(self._count, decoder.close())

    def _count(self, event: Any) -> Any:
        self.events += 1
        return event

    def __call__(self, update: Update) -> None:
        self.pictures += isinstance(update, (FrameAdded, FinalReady))
        if isinstance(update, Anomaly):
            self.unreadable += update.code == "unreadable_event" or (
                update.item_id is None and update.code == "over_limit"
            )
            self.bad_pictures += update.item_id is not None and update.code in (
                "bad_base64",
                "bad_picture",
                "over_limit",
            )

    def exit_code(self, result: Result | None) -> int:
        assert result is not None
        has_frames = any(item.latest for item in result.items.values())  # an earlier run may have left them
        if self.events == self.unreadable and (self.events or (self.is_blank and not has_frames)):
            _say("nothing could be read" if self.events else "nothing came: the stream is empty")
            return UNREADABLE
        if self.bad_pictures and not (self.pictures or has_frames):
            return UNREADABLE
        if result.outcome is Outcome.COMPLETED and any(item.is_provisional for item in result.items.values()):
            return INCOMPLETE
        return {Outcome.FAILED: FAILED, Outcome.NO_IMAGE: NO_IMAGE, Outcome.INCOMPLETE: INCOMPLETE}.get(
            result.outcome, OK
        )


class _Tee:
    """Keeps a copy of the stream as it was received. A copy that fails is told, and the stream goes on.

    What stands in the file is never changed: a resumed stream is added behind it.
    """

    def __init__(self, path: Path | None, *, is_resumed: bool) -> None:
        self.error: SinkError | None = None
        self._path = path
        self._is_resumed = is_resumed

    def copy(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        if self._path is None:
            yield from chunks
            return
        try:
            copy = self._path.open("ab" if self._is_resumed else "xb")
            if copy.tell():
                copy.write(b"\n\n")  # what was torn there is an event of its own, that is told and passed over
        except OSError as cause:
            self._fail(cause)
            yield from chunks
            return
        try:
            for chunk in chunks:
                if not self.error:
                    try:
                        copy.write(chunk)
                        copy.flush()
                    except OSError as cause:
                        self._fail(cause)
                yield chunk
        finally:
            with suppress(OSError):  # what cannot be written was told when it could not
                copy.close()

    def _fail(self, cause: OSError) -> None:
        assert self._path is not None
        self.error = sink_error(self._path, cause)
        _say(str(self.error))


def _say(text: str) -> None:
    """A line for people on standard error; where nobody reads it, nothing is lost."""
    _write(sys.stderr, f"imgassemble: {text}")


def _write(stream: TextIO | None, line: str) -> OSError | None:
    """Write a line at once; what goes wrong is the answer, and then the stream is quiet for good."""
    if stream is None or stream.closed:
        return None
    try:
        encoding = stream.encoding or "utf-8"
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError as cause:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return cause
    return None


class _Results:
    """What the command gives, on standard output. A reader that goes away is no error, a full disk is."""

    def __init__(self) -> None:
        self.error: OSError | None = None

    def line(self, text: str) -> None:
        self.check(_write(sys.stdout, text))

    def check(self, *failed: Exception | None) -> None:
        """Tell the error with which writing failed, where there is one."""
        for error in failed:
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                self.error = error
                _say(f"the results cannot be written: {error.strerror}; choose another place for them")

    def update(self, update: Update) -> None:
        self.line(json.dumps(update.as_dict()))


def _progress(kinds: tuple[type, ...] | None) -> Progress:
    return Progress(lambda line: _write(sys.stderr, line), _has_colour, kinds)


def _has_colour() -> bool:
    is_terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return is_terminal and not os.environ.get("NO_COLOR")


class _Times:
    """When each frame came, in seconds since the stream was opened."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._seconds: dict[tuple[str, float | None], float] = {}

    def __call__(self, update: Update) -> None:
        if isinstance(update, (FrameAdded, FinalReady)):
            self._seconds.setdefault((update.item_id, update.frame.index), round(time.monotonic() - self._start, 3))

    def of(self, item: Item, frame: Frame) -> float | None:
        return self._seconds.get((item.id, frame.index))

    def of_item(self, item: Item) -> dict[str, float | None]:
        frames = [*item.partials, *([item.final] if item.final and item.final.is_final else [])]
        return {"final" if frame.is_final else str(frame.index): self.of(item, frame) for frame in frames}


def _stream_facts(result: Result, assembler: Assembler, heard: _Heard) -> dict[str, Any]:
    return {
        "outcome": result.outcome,
        "error": plain(result.error),
        "response_id": assembler.cursor.response_id,
        "events": heard.events,
        "skipped": assembler.skipped,
        "anomalies": [{"code": each.code, "message": each.message} for each in assembler.anomalies],
    }


def _report(result: Result, assembler: Assembler, heard: _Heard, times: _Times) -> Iterator[str]:
    response = clean(assembler.cursor.response_id or "", 100)
    named = f", response {response}" if response else ""
    yield f"{result.outcome}  {heard.events} events, {assembler.skipped} not for us{named}"
    if result.error:
        yield f"  {result.error}"
    for item in result.items.values():
        yield from _report_item(item, times)
    for anomaly in assembler.anomalies:
        yield f"anomaly: {anomaly.message}"


def _report_item(item: Item, times: _Times) -> Iterator[str]:
    yield ""
    yield f"{clean(item.id, 200) or repr(item.id)}  {item.state}"
    results = [item.final] if item.final and item.final.is_final else []
    for frame in (*item.partials, *results):
        name = "final" if frame.is_final else f"partial {frame.index}"
        stands_in = "  (stands in for the final)" if item.is_provisional and frame is item.final else ""
        seconds = times.of(item, frame)
        when = "" if seconds is None else f"{seconds:8.2f} s"
        yield f"  {name:<12} {facts(frame):<36}{when}  {clean(frame.event_type, 60)}{stands_in}"
    if item.error:
        yield f"  {item.error}"
    if item.revised_prompt:
        yield f"  prompt: {clean(item.revised_prompt, 300)}"
    for anomaly in item.anomalies:
        yield f"  anomaly: {anomaly.message}"
