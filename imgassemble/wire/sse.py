"""Splits bytes that are cut anywhere into lines, and lines into server-sent events (WHATWG HTML, section 9.2).

Linear in the bytes. A line that is too long is skipped, and reported as an error in its place.
Must not know: JSON, images, files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..errors import LimitError

BOM = b"\xef\xbb\xbf"
# A line without a name is a comment that keeps a connection alive. `error` is no field of the standard: llama.cpp,
# GPUStack and others send it (github.com/ggml-org/llama.cpp/issues/16109).
_FIELDS = frozenset({b"data", b"event", b"id", b"retry", b"error", b""})
_NO_ERROR = frozenset({b"", b"{}", b"[]", b"null", b"false", b'""'})
# A field in the data of a field. `data:` counts only before JSON or another field: it also begins a data: URL.
_INNER_FIELD = re.compile(rb"(event|id|retry|error)?:|data:\s*($|[{\[]|(event|id|retry|error|data)?:)")
_MOST_PREFIXES = 4  # `data: data: data: …`; real ones have two


class LineDecoder:
    """Splits bytes into lines; a line ends with LF, CR or CRLF.

    A line of more than `max_bytes`, plus the `extra_bytes` of its field's name, becomes a LimitError.
    """

    __slots__ = ("_after_cr", "_lost", "_max_bytes", "_most", "_open")

    def __init__(self, max_bytes: int, *, extra_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._most = max_bytes + extra_bytes
        self._open = bytearray()  # the line that has begun
        self._lost = 0  # how many bytes of that line were skipped
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterable[bytearray | LimitError]:
        """Return the lines that `chunk` completes, without their ends."""
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            pieces = chunk.splitlines()
            if chunk.endswith((b"\r", b"\n")):
                pieces.append(b"")
        elif b"\n" in chunk:
            pieces = chunk.split(b"\n")
        elif self._lost or len(self._open) + len(chunk) > self._most:
            self._add(chunk)
            return ()
        else:  # as nearly always in a picture: less work than `_add`
            line = self._open
            line += chunk
            return ()
        return self._ended(pieces)

    def _ended(self, pieces: list[bytes]) -> Iterator[bytearray | LimitError]:
        pieces.reverse()
        while len(pieces) > 1:
            self._add(pieces.pop())
            yield self._take()
        self._add(pieces.pop())

    @property
    def is_open(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._open or self._lost)

    def close(self) -> Iterator[bytearray | LimitError]:
        """Yield the last line if it has no end."""
        if self.is_open:
            yield self._take()

    def _add(self, piece: bytes) -> None:
        if self._lost or len(self._open) + len(piece) > self._most:
            self._lost += len(self._open) + len(piece)
            self._open = bytearray()
        else:
            self._open += piece

    def _take(self) -> bytearray | LimitError:
        line, lost = self._open, self._lost
        self._open, self._lost = bytearray(), 0
        if not lost:
            return line
        sentence = f"a line of {lost:,} bytes is skipped: Limits.max_event_bytes allows {self._max_bytes:,}"
        return LimitError(sentence, limit="max_event_bytes", actual=lost)


@dataclass(slots=True, kw_only=True)
class ServerSentEvent:
    """One event of the stream: its data as bytes, and its name and id, "" if they were not sent.

    `is_error`: the data is the content of a field `error`.
    """

    data: bytearray
    event: str = ""
    id: str = ""
    is_error: bool = False


class SSEDecoder:
    """Makes server-sent events from the lines of a stream; one more empty line ends the last event.

    More tolerant than the standard, because real streams need it:
    - The last event counts without its empty line.
    - Bare JSON is an event, also pretty-printed (some proxies append an error in this form).
    - A field `error` is an event.
    - A field in the data of a field (`data: data: {…}`) counts as that field.

    `is_recognised`: whether a line had the form of an event stream.
    """

    __slots__ = ("_bare", "_data", "_event", "_id", "_is_lost", "_max_bytes", "is_recognised")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._data: bytearray | None = None
        self._bare: bytearray | None = None  # the first lines of JSON without the name of a field
        self._event = self._id = ""
        self._is_lost = False
        self.is_recognised: bool = False

    def take(self, line: bytearray | LimitError) -> ServerSentEvent | LimitError | None:
        """Return the event that one more line completes, the error in its place, or None."""
        if self._bare is not None:
            return self._continue_bare(line)
        if isinstance(line, LimitError):
            return self._lose(line)
        if not line:
            return self._dispatch()
        if line.startswith(b"{"):
            return self._begin_bare(line)
        return self._field(line)

    def _begin_bare(self, line: bytearray) -> ServerSentEvent | None:
        self.is_recognised = True
        if line[-3:].rstrip().endswith(b"}"):
            return ServerSentEvent(data=line)
        self._bare = line
        return None

    def _continue_bare(self, line: bytearray | LimitError) -> ServerSentEvent | LimitError | None:
        """Add a line to pretty-printed JSON: lines that are indented, up to one that begins with a brace."""
        bare, self._bare = self._bare, None
        assert bare is not None
        if isinstance(line, bytearray) and line.startswith((b" ", b"\t", b"}")):
            if len(bare) + 1 + len(line) > self._max_bytes:
                return self._too_large(len(bare) + 1 + len(line))
            bare += b"\n" + line
            if line.startswith(b"}"):
                return ServerSentEvent(data=bare)
            self._bare = bare
            return None
        # The JSON was cut short, and its event shows that. The line belongs to the next event.
        return self.take(line) or ServerSentEvent(data=bare)

    def _field(self, line: bytearray) -> ServerSentEvent | LimitError | None:
        name = _take_name(line)
        self.is_recognised = self.is_recognised or name in _FIELDS
        if name == b"data":
            if line.startswith(b"{"):  # as nearly always
                return self._add(line)
            name = _take_inner_names(line)
        if name == b"data":
            return self._add(line)
        if name == b"error" and (len(line) > 8 or bytes(line.strip()) not in _NO_ERROR):
            return ServerSentEvent(data=line, id=self._id, is_error=True)
        if name == b"event":
            self._event = line.decode("utf-8", "replace")
        elif name == b"id":
            self._id = line.decode("utf-8", "replace")
        return None

    def _add(self, line: bytearray) -> LimitError | None:
        if self._is_lost:
            return None
        size = len(line) if self._data is None else len(self._data) + 1 + len(line)
        if size > self._max_bytes:
            return self._lose(self._too_large(size))
        if self._data is None:
            self._data = line
        else:
            self._data += b"\n" + line
        return None

    def _too_large(self, size: int) -> LimitError:
        sentence = f"an event of {size:,} bytes is skipped: Limits.max_event_bytes allows {self._max_bytes:,}"
        return LimitError(sentence, limit="max_event_bytes", actual=size)

    def _lose(self, error: LimitError) -> LimitError | None:
        """Skip the event that has begun, up to its end; return the error the first time only."""
        is_reported = self._is_lost
        self._is_lost, self.is_recognised, self._data = True, True, None
        return None if is_reported else error

    def _dispatch(self) -> ServerSentEvent | None:
        data, event = self._data, self._event
        self._data, self._event, self._is_lost = None, "", False
        return ServerSentEvent(data=data, event=event, id=self._id) if data else None


def _take_name(line: bytearray) -> bytes:
    """Remove the name of a field from `line`, with its colon and one space; return it."""
    name = bytes(line[:8].partition(b":")[0])
    del line[: len(name) + 1]
    if line.startswith(b" "):
        del line[:1]
    return name


def _take_inner_names(line: bytearray) -> bytes:
    """Remove the names of fields at the beginning of data, and return the last one.

    JSON never begins with a field name.
    """
    name = b"data"
    for _ in range(_MOST_PREFIXES):
        if name != b"data" or not _INNER_FIELD.match(line):
            break
        name = _take_name(line)
    return name
