"""Opens files and pipes, and turns the elements of a stream into events.

Must not know: the meaning of the events.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import AsyncIterable, AsyncIterator, Hashable, Iterable, Iterator, Mapping
from functools import lru_cache
from io import TextIOBase
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import ImgassembleError, UsageError, quoted
from ..frames.base64_json import Load, load_json
from ..limits import Limits, check_limits
from .decoding.archives import event_of_data, is_event_and_data
from .decoding.decoder import EventDecoder
from .decoding.json_values import JSONScanner

READ_BYTES = 64 * 1024  # a read of a file or a pipe: large enough to be cheap, small enough to show events soon
_SSE_TEXT = re.compile(r"\ufeff?(data|event|id|retry|error)?:")
_LINE_END = re.compile(rb"[\r\n]")
_FIELD = re.compile(rb"(data|event|id|retry|error):")
_NO_FIELD = re.compile(rb"\s*[^\sderi]")  # the beginning of a line that is no field
_NAME_AND_DATA = re.compile(rb"(event|id|retry):.*data: ?")
_MOST_FIELD_BYTES = 1_000  # of the fields before the JSON of an event
_MAPPINGS = (dict, Mapping)  # in this order: a check for the second takes ten times as long
_LINES = (
    "these are lines of an event stream without their ends, not events: pass the body's bytes, "
    "response.iter_bytes() of httpx, response.iter_content(None) of requests, or open_events(path) for a file"
)


class StreamReader:
    """Turns the elements of a stream into events: chunks of bytes are decoded, other elements are events already.

    An event can hold a picture, which should be freed before its updates are shown. A loop that has a name for the
    event would keep it; so each event is in a list of one, out of which the loop takes it.
    """

    def __init__(self, limits: Limits | None = None, *, load: Load = load_json) -> None:
        self._decoder = EventDecoder(limits, load=load)
        self._first_line: _FirstLine | None = _FirstLine()  # None once its end was seen

    @property
    def last_event_id(self) -> str:
        """The id of the last server-sent event; "" if it has none."""
        return self._decoder.last_event_id

    @property
    def is_done(self) -> bool:
        """Whether the bytes said that the stream ended ([DONE])."""
        return self._decoder.is_done

    def take(self, element: Any) -> Iterable[list[Any]]:
        """Return the events that `element` completes. Raises UsageError for lines of text, and lines without ends."""
        if type(element) is not bytes and isinstance(element, (bytes, bytearray, memoryview)):
            element = bytes(element)
        if type(element) is bytes:
            if self._first_line is not None:
                self._check_lines(self._first_line, element)
            events = self._decoder.feed(element)
            return map(_in_list, events) if events else ()
        if isinstance(element, str) and looks_like_lines(element):
            raise UsageError(_LINES)
        if type(element) is not dict and isinstance(element, os.PathLike):
            raise UsageError("a path is no event: pass open_events(path)")
        return ([_event_in(element)],)

    def finish(self, *, is_cut: bool = False) -> Iterator[list[Any]]:
        """Yield the events that the end of the bytes completes. If the bytes were cut, a torn event is no error."""
        boxes = map(_in_list, self._decoder.close())
        return (box for box in boxes if not (is_cut and isinstance(box[0], ImgassembleError)))

    def _check_lines(self, first_line: _FirstLine, chunk: bytes) -> None:
        """Raise UsageError if the chunks are lines without their ends, as `iter_lines()` of requests gives them."""
        if first_line.has_lost_its_end(chunk):
            self._decoder = EventDecoder()  # the end of the stream completes no event of these bytes
            raise UsageError(_LINES)
        if first_line.is_over:
            self._first_line = None


class _FirstLine:
    """Checks whether the first line of a stream is several lines of an event stream without their ends.

    It is if a second field follows a name or whole JSON: `event: xdata: {` or `data: {…}data: {`. The answer depends on
    the joined bytes, never on the places where they are cut: bytes can be cut after any whole line too.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._scanner = JSONScanner(_MOST_FIELD_BYTES)
        self._texts_seen = 0  # of the fields before the JSON, the JSON, and the fields after it

    def has_lost_its_end(self, chunk: bytes) -> bool:
        """Return whether the line is several, with the bytes of one more chunk."""
        end = _LINE_END.search(chunk)
        if not self._scanner.is_open and not self._texts_seen and _NO_FIELD.match(chunk):
            self.is_over = True
            return False
        for text in self._scanner.feed(chunk[: end.start()] if end else chunk):
            self._texts_seen += 1
            fields = text if isinstance(text, bytearray) else b""  # long JSON is not kept
            if self._texts_seen == 1 and _FIELD.match(fields):
                if _NAME_AND_DATA.fullmatch(fields):
                    return True
            elif self._texts_seen != 2:
                self.is_over = True
                return bool(_FIELD.match(fields))
        self.is_over = bool(end)
        return False


def _in_list(event: Any) -> list[Any]:
    return [event]


def _event_in(element: Any) -> Any:
    """Return the event in a server-sent event that a client has split already, or `element` itself."""
    if isinstance(element, _MAPPINGS):
        return event_of_data(element["data"], element["event"]) if is_event_and_data(element) else element
    if isinstance(element, (str, ImgassembleError)) or not _has_data(element):
        return element
    data, name = getattr(element, "data", None), getattr(element, "event", None)
    if isinstance(data, (str, bytes)) and (name is None or isinstance(name, str)):
        return event_of_data(data, name or "")
    return element


def _has_data(element: Any) -> bool:
    """Return whether an object has the attributes of a server-sent event: httpx-sse, sseclient and openai have them."""
    own = getattr(element, "__dict__", ())
    return ("data" in own and "event" in own) or _has_data_properties(cast("Hashable", type(element)))


@lru_cache(maxsize=256)
def _has_data_properties(kind: Hashable) -> bool:
    return hasattr(kind, "data") and hasattr(kind, "event")


def read_events(stream: Iterable[Any], reader: StreamReader) -> Iterator[list[Any]]:
    """Yield the events of a stream, each in a list of one; if the stream raises, first the ones that came whole."""
    try:
        for element in stream:
            boxes = reader.take(element)
            del element
            yield from boxes
            del boxes
    except Exception:
        yield from reader.finish(is_cut=True)
        raise
    yield from reader.finish()


async def aread_events(stream: AsyncIterable[Any], reader: StreamReader) -> AsyncIterator[list[Any]]:
    """Yield the same as `read_events`, from an async iterable."""
    try:
        async for element in stream:
            boxes = reader.take(element)
            del element
            for box in boxes:
                yield box
            del boxes
    except Exception:
        for box in reader.finish(is_cut=True):
            yield box
        raise
    for box in reader.finish():
        yield box


def open_chunks(source: str | os.PathLike[str] | BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of `source` as they come: a path, "-" for standard input, or a binary file, which stays open.

    Raises UsageError if `source` cannot be read, or `limits` is no Limits.
    """
    if isinstance(source, (str, os.PathLike)):
        if os.fspath(source) == "-":
            if sys.stdin is None:
                raise UsageError("there is no standard input: it was closed; name a file")
            return _read(sys.stdin.buffer)
        try:
            if Path(source).is_dir() or not os.access(source, os.R_OK):
                Path(source).open("rb").close()  # it cannot be opened; this raises the reason
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
    read = getattr(file, "read1", file.read)  # read1 returns the bytes that a pipe holds, and does not wait for more
    while chunk := read(READ_BYTES):
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise UsageError(f"a source is opened in binary mode; {type(file).__name__} gives {type(chunk).__name__}")
        yield bytes(chunk)


def _unreadable(path: str | os.PathLike[str], cause: Exception) -> UsageError:
    name = os.fspath(path)
    if is_url(name):
        return url_error(name)
    reason = getattr(cause, "strerror", None) or cause
    if isinstance(cause, OSError) and Path(path).is_dir():
        reason = "it is a folder, which saved_events() and the commands inspect, view, animate and sheet take"
    return UsageError(f"cannot read {quoted(name)}: {reason}; name a file, or - for standard input")


def is_url(text: str) -> bool:
    """Return whether a text is a URL, also one that was made a Path."""
    return re.match("https?:/", text, re.IGNORECASE) is not None


def url_error(url: str) -> UsageError:
    """Return the error for a URL in place of a stream."""
    advice = "pass the response of an HTTP client, or pipe it in: curl -sN URL | imgassemble save - -o DIR"
    return UsageError(f"{quoted(url)} is a URL, and nothing is fetched here: {advice}")


def open_events(source: str | os.PathLike[str] | BinaryIO, limits: Limits | None = None) -> Iterator[Any]:
    """Yield the events of a recorded or running stream, each as a mapping for `Assembler.feed`.

    source: a path, "-" for standard input, or a binary file. The kind is recognised by content: server-sent events,
        JSON Lines, JSON values one after the other, a JSON array, one whole answer, a HAR file, a session file of
        Codex; also compressed by gzip, in UTF-16 with a byte order mark, or after the headers that `curl -i` prints.
        Bytes that are no event become an EventError in its place; another kind of file is named by it.

    Raises UsageError if `source` cannot be read, or `limits` is no Limits.

        for event in open_events("otter.sse"):
            assembler.feed(event)
    """
    check_limits(limits)
    boxes = read_events(open_chunks(source), StreamReader(limits))
    return (box.pop() for box in boxes)


def looks_like_lines(text: str) -> bool:
    """Return whether `text` is a line of an event stream, and not an event."""
    return _SSE_TEXT.match(text) is not None


def holds_events(text: str) -> bool:
    """Return whether `text` is the content of a stream, and not a path or other words."""
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith(("{", "[")) or looks_like_lines(start):
        return True
    reader = StreamReader()
    boxes = chain(reader.take(text.encode("utf-8", "surrogatepass")), reader.finish())
    return any(isinstance(box[0], Mapping) for box in boxes)
