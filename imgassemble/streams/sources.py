"""From bytes to events: which kind of file or body it is, told by looking.

Knows: SSE, JSON Lines, a JSON array, one JSON answer. Must not know: what the events mean.
An event is given as a mapping; where bytes are no event, the error stands in its place, and the stream goes on.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import EventError, LimitError, UsageError, clean, quoted
from ..frames.base64_json import Load, load_json
from ..limits import Limits
from ..wire.dialects import ROWS, WITHOUT_TYPE
from ..wire.sse import BOM, LineDecoder, ServerSentEvent, SSEDecoder

READ_BYTES = 64 * 1024  # a read of a file or a pipe: large enough to be cheap, small enough to show what came
_SSE_TEXT = re.compile(r"\ufeff?(data|event|id|retry)?:")


class EventDecoder:
    """Events from the bytes of one stream, cut anywhere; its first character tells which kind of stream it is.

    load: how JSON is read. `load_json` gives mappings for anyone; with `load_decoded` they are quicker to be had, and
        an assembler is to have them, and nobody else.
    """

    def __init__(self, limits: Limits | None = None, *, load: Load = load_json) -> None:
        self._limits = limits or Limits()
        self._load = load
        self._head: bytes | None = b""
        self._framing: _SSE | _JSONLines | _Document | None = None

    def feed(self, chunk: bytes) -> Iterable[Any]:
        """The events that `chunk` completes: mappings, or the error that stands in an event's place."""
        if self._framing is None:
            chunk = self._after_mark(chunk).lstrip()
            if not chunk:
                return ()
            self._framing = _FRAMINGS.get(chunk[:1], _SSE)(self._limits, self._load)
        return self._framing.feed(chunk)

    @property
    def last_event_id(self) -> str:
        """The id of the event that was given last, where server-sent events have one."""
        return self._framing.last_event_id if self._framing else ""

    @property
    def is_done(self) -> bool:
        """Whether the stream has said so, by [DONE]."""
        return self._framing is not None and self._framing.is_done

    def _after_mark(self, chunk: bytes) -> bytes:
        """What is left of the stream's beginning without its byte order mark, which may be cut, too."""
        if self._head is None:
            return chunk
        chunk = self._head + chunk
        is_open = len(chunk) < len(BOM) and BOM.startswith(chunk)
        self._head = chunk if is_open else None
        return b"" if is_open else chunk.removeprefix(BOM)

    def close(self) -> Iterator[Any]:
        """The last events, where the stream ends without saying so."""
        if self._framing is not None:
            yield from self._framing.close()


_SHOWN = 80  # bytes of what is no stream of events, in the sentence that says so


class _SSE:
    last_event_id, is_done = "", False

    def __init__(self, limits: Limits, load: Load) -> None:
        self._load = load
        self._lines = LineDecoder(limits.max_event_bytes, extra_bytes=len(b"data: "))
        self._decoder = SSEDecoder(limits.max_event_bytes)
        self._start = b""

    def feed(self, chunk: bytes) -> Iterable[Any]:
        if len(self._start) < _SHOWN:
            self._start = (self._start + chunk[:_SHOWN])[:_SHOWN]
        lines = self._lines.feed(chunk)
        return self._events(lines) if lines else ()

    def _events(self, lines: Iterable[bytearray | LimitError]) -> Iterator[Any]:
        return map(self._event_of, filter(self._is_event, map(self._decoder.take, lines)))

    def close(self) -> Iterator[Any]:
        yield from self._events((*self._lines.close(), bytearray()))
        if not self._decoder.is_recognised:
            shown = clean(self._start.decode("utf-8", "replace"), 60)
            advice = "pass the body as it was received, response.iter_bytes(), line ends included"
            yield EventError(f"this is no stream of events: it begins with '{shown}'; {advice}")

    def _is_event(self, event: ServerSentEvent | LimitError | None) -> bool:
        if event is None:
            return False
        if isinstance(event, LimitError):
            return True
        if event.data == b"[DONE]":
            self.is_done = True
            return False
        self.last_event_id = event.id
        return True

    def _event_of(self, event: ServerSentEvent | LimitError | None) -> Any:
        if not isinstance(event, ServerSentEvent):
            return event
        value = _value_of(event.data, self._load)
        event.data.clear()  # the line goes before the picture is looked at: that lowers the peak of a large event
        if isinstance(value, dict) and event.event and not (value.get("type") or value.get("Type")):
            told = [name for name, _, _ in WITHOUT_TYPE if value.get(name) is not None]
            # "message" is the name of an event that has none, and `data` alone may be anybody's.
            if not told or (told == ["data"] and event.event in ROWS):
                value["type"] = event.event
        return value


def _value_of(data: bytes | bytearray, load: Load = load_json) -> Any:
    """The JSON value in `data`, or the error that stands in its place."""
    try:
        return load(data)
    except EventError as error:
        return error


class _JSONLines:
    """JSON Lines; or one JSON value over several lines, where the first line is none."""

    last_event_id, is_done = "", False

    def __init__(self, limits: Limits, load: Load) -> None:
        self._load = load
        self._limits = limits
        self._lines = LineDecoder(limits.max_event_bytes)
        self._is_first = True
        self._document: _Document | None = None

    def feed(self, chunk: bytes) -> Iterator[Any]:
        for line in self._lines.feed(chunk):
            yield from self._take(line)

    def close(self) -> Iterator[Any]:
        for line in self._lines.close():
            yield from self._take(line)
        if self._document:
            yield from self._document.close()

    def _take(self, line: bytearray | LimitError) -> Iterator[Any]:
        if isinstance(line, LimitError):
            yield line
        elif self._document:
            self._document.add_line(line)
        elif not line.isspace() and line:
            is_first, self._is_first = self._is_first, False
            # A name for the value itself would hold it while its updates are shown.
            values = [_value_of(line, self._load)]
            if is_first and isinstance(values[0], EventError):
                self._document = _Document(self._limits, self._load)
                self._document.add_line(line)
            else:
                line.clear()  # as in _event_of
                yield values.pop()


class _Document:
    """One JSON value, kept until it is whole: an array of events, or one answer."""

    last_event_id, is_done = "", False

    def __init__(self, limits: Limits, load: Load) -> None:
        self._load = load
        self._most = limits.max_total_bytes
        self._size = 0
        self._data = bytearray()

    def feed(self, chunk: bytes | bytearray) -> Iterable[Any]:
        self._size += len(chunk)
        if self._size <= self._most:
            self._data += chunk
        else:
            self._data.clear()
        return ()

    def add_line(self, line: bytearray) -> None:
        self.feed(line)
        line.clear()
        self.feed(b"\n")

    def close(self) -> Iterator[Any]:
        if self._size > self._most:
            sentence = (
                f"a JSON document of {self._size:,} bytes is too large: Limits.max_total_bytes allows {self._most:,}"
            )
            yield LimitError(sentence, limit="max_total_bytes", actual=self._size)
            return
        value = _value_of(self._data, self._load)
        if isinstance(value, EventError):
            yield value
            yield from _members_of(self._data) if self._data.lstrip().startswith(b"[") else _lines_of(self._data)
            return
        self._data.clear()
        events = value[::-1] if isinstance(value, list) else [value]
        del value
        while events:
            yield events.pop()


def _members_of(array: bytearray) -> Iterator[dict[str, Any]]:
    """The events that came whole in a JSON array that was cut."""
    from json import JSONDecoder  # rarely needed, and pydantic does without

    text, decode, at = array.decode("utf-8", "replace"), JSONDecoder().raw_decode, array.index(b"[") + 1
    with suppress(ValueError, RecursionError):
        while between := _BETWEEN.match(text, at):
            value, at = decode(text, between.end())
            if isinstance(value, dict):
                yield value


def _lines_of(data: bytearray) -> Iterator[dict[str, Any]]:
    """JSON Lines whose first line was damaged: the others are whole."""
    lines = (line for line in BytesIO(data) if line.lstrip().startswith(b"{"))
    yield from (event for event in map(_value_of, lines) if isinstance(event, dict))


_BETWEEN = re.compile(r"[\s,]*")

_FRAMINGS: dict[bytes, type[_SSE | _JSONLines | _Document]] = {b"{": _JSONLines, b"[": _Document}


def open_chunks(source: str | os.PathLike[str] | BinaryIO) -> Iterator[bytes]:
    """The bytes of `source` as they come: a path, "-" for standard input, or a binary file, which stays open.

    Raises UsageError where there is nothing to read.
    """
    if isinstance(source, (str, os.PathLike)):
        if os.fspath(source) == "-":
            if sys.stdin is None:
                raise UsageError("there is no standard input: it was closed; name a file")
            return _read(sys.stdin.buffer)
        try:
            if Path(source).is_dir() or not os.access(source, os.R_OK):
                Path(source).open("rb").close()  # it cannot be opened; this tells why
        except (OSError, ValueError) as cause:
            raise _unreadable(source, cause) from cause
        return _read_path(source)
    if not hasattr(source, "read") or isinstance(source, TextIOBase):
        raise UsageError(f"a source is a path, - or a file opened in binary mode, not {type(source).__name__}")
    return _read(source)


def _read_path(path: str | os.PathLike[str]) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        yield from _read(file)


def _read(file: BinaryIO) -> Iterator[bytes]:
    read = getattr(file, "read1", file.read)  # read1 gives what a pipe holds, and does not wait for more
    while chunk := read(READ_BYTES):
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise UsageError(f"a source is opened in binary mode; {type(file).__name__} gives {type(chunk).__name__}")
        yield bytes(chunk)


def _unreadable(path: str | os.PathLike[str], cause: Exception) -> UsageError:
    reason = getattr(cause, "strerror", None) or cause
    return UsageError(f"cannot read {quoted(os.fspath(path))}: {reason}; name a file, or - for standard input")


def open_events(source: str | os.PathLike[str] | BinaryIO, limits: Limits | None = None) -> Iterator[Any]:
    """The events of a recorded or running stream, each as a mapping for `Assembler.feed`.

    source: a path, "-" for standard input, or a binary file. Whether it is SSE, JSON Lines, a JSON array or one whole
        answer is told by looking. Where something in it is no event, the error stands in its place.

    Raises UsageError where there is nothing to read.
    """
    chunks, decoder = open_chunks(source), EventDecoder(limits)

    def events() -> Iterator[Any]:
        for chunk in chunks:
            yield from decoder.feed(chunk)
        yield from decoder.close()

    return events()


def looks_like_lines(text: str) -> bool:
    """Whether `text` is a line of an event stream, and not an event."""
    return _SSE_TEXT.match(text) is not None
