"""The commands `save`, `watch` and `inspect`: a stream becomes files, pictures in a terminal, or a report.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..assembly.assembler import Assembler
from ..assembly.items import Item, Result
from ..assembly.updates import (
    Anomaly,
    FinalReady,
    FrameAdded,
    Outcome,
    Update,
)
from ..console import FAILED, INCOMPLETE, NO_IMAGE, OK, STORAGE, UNREADABLE, say, write
from ..errors import EventError, SinkError, UsageError, clean, printable, quoted
from ..files import sink_error
from ..frames.base64_json import load_decoded
from ..frames.frame import Frame
from ..readonly import plain
from ..screens.progress import Progress, facts
from ..storage.directory import DirectorySink
from ..storage.saved import saved_events
from ..streams.drivers import assemble
from ..streams.sources import EventDecoder, open_chunks
from ..wire.sse import BOM

if TYPE_CHECKING:
    from ..screens.terminal import TerminalScreen


def save(options: argparse.Namespace) -> int:
    assembler = Assembler(keep=options.keep, key_by=options.key_by)
    chunks = open_chunks(options.source)
    _check_tee(options.tee, options.source)
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
            say(str(error))
    if not options.json:
        if options.show:
            progress.end(assembler.result)
        for path in sink.paths:
            if path.stem == "final":
                results.line(printable(str(path)))
    return STORAGE if error or tee.error or results.error else heard.exit_code(assembler.result)


def watch(options: argparse.Namespace) -> int:
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
    from ..screens.terminal import TerminalScreen, printing_above

    with TerminalScreen(output, size=options.size, graphics=options.graphics) as screen, printing_above(screen):
        yield (screen,)
    if screen.error:
        write(output, "")  # it fails again, and then nothing is left to be written


def inspect(options: argparse.Namespace) -> int:
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
        decoder = EventDecoder(load=load_decoded)
        try:
            for chunk in chunks:
                self.is_blank = self.is_blank and not chunk.removeprefix(BOM).strip()
                yield from map(self._count, decoder.feed(chunk))
        except OSError as cause:  # as if the stream were cut here
            say(f"the stream cannot be read on: {cause.strerror or cause}")
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
            self.bad_pictures += (
                update.error.has_picture
                if isinstance(update.error, EventError)
                else update.item_id is not None and update.code in ("bad_base64", "bad_picture", "over_limit")
            )

    def exit_code(self, result: Result | None) -> int:
        assert result is not None
        has_frames = any(item.latest for item in result.items.values())  # an earlier run may have left them
        if self.events == self.unreadable and (self.events or (self.is_blank and not has_frames)):
            say("nothing could be read" if self.events else "nothing came: the stream is empty")
            return UNREADABLE
        if self.bad_pictures and not (self.pictures or has_frames):
            return UNREADABLE
        if result.outcome is Outcome.COMPLETED and any(item.is_provisional for item in result.items.values()):
            return INCOMPLETE
        return {Outcome.FAILED: FAILED, Outcome.NO_IMAGE: NO_IMAGE, Outcome.INCOMPLETE: INCOMPLETE}.get(
            result.outcome, OK
        )


def _check_tee(path: Path | None, source: str) -> None:
    """Raise UsageError where the stream would be copied into itself, which has no end."""
    with suppress(OSError):  # what is not there is not the stream
        if path and os.path.samestat(path.stat(), os.fstat(0) if source == "-" else Path(source).stat()):
            raise UsageError(f"--tee {quoted(str(path))} is SOURCE itself: leave it out, or name another file")


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
        say(str(self.error))


class _Results:
    """What the command gives, on standard output. A reader that goes away is no error, a full disk is."""

    def __init__(self) -> None:
        self.error: OSError | None = None

    def line(self, text: str) -> None:
        self.check(write(sys.stdout, text))

    def check(self, *failed: Exception | None) -> None:
        """Tell the error with which writing failed, where there is one."""
        for error in failed:
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                self.error = error
                say(f"the results cannot be written: {error.strerror}; choose another place for them")

    def update(self, update: Update) -> None:
        self.line(json.dumps(update.as_dict()))


def _progress(kinds: tuple[type, ...] | None) -> Progress:
    return Progress(lambda line: write(sys.stderr, line), _has_colour, kinds)


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
