"""Bytes cut anywhere become lines, and lines become server-sent events.

Knows: line ends, and the fields of an event stream (WHATWG HTML, section 9.2). Must not know: JSON, images, files.
Pure, and linear in the bytes however they are cut. A line that is too long is passed over, and told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..errors import LimitError

BOM = b"\xef\xbb\xbf"
_FIELDS = frozenset({b"data", b"event", b"id", b"retry", b""})  # without a name: a comment, to keep a connection alive


class LineDecoder:
    """Cuts bytes into lines; a line ends with LF, CR or CRLF.

    A line beyond `max_bytes`, and what it may have beside its event (`extra_bytes`), becomes a LimitError.
    """

    __slots__ = ("_after_cr", "_lost", "_max_bytes", "_most", "_open")

    def __init__(self, max_bytes: int, *, extra_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._most = max_bytes + extra_bytes
        self._open = bytearray()  # the line under way
        self._lost = 0  # how many bytes of the line under way were passed over
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterable[bytearray | LimitError]:
        """The lines that `chunk` completes, without their ends; nothing, at once, where it completes none."""
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
        else:
            self._add(chunk)
            return ()
        return self._ended(pieces)

    def _ended(self, pieces: list[bytes]) -> Iterator[bytearray | LimitError]:
        pieces.reverse()
        while len(pieces) > 1:
            self._add(pieces.pop())
            yield self._take()
        self._add(pieces.pop())

    def close(self) -> Iterator[bytearray | LimitError]:
        """The last line, where it has no end."""
        if self._open or self._lost:
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
        sentence = f"a line of {lost:,} bytes is passed over: Limits.max_event_bytes allows {self._max_bytes:,}"
        return LimitError(sentence, limit="max_event_bytes", actual=lost)


@dataclass(slots=True, kw_only=True)
class ServerSentEvent:
    """One event of the stream: its data as bytes, its name and id where they were sent."""

    data: bytearray
    event: str = ""
    id: str = ""


class SSEDecoder:
    """Server-sent events from the lines of a stream; one more blank line ends the last.

    More patient than the standard where real streams need it: a last event counts without its blank line, and a bare
    line of JSON is an event (proxies append an error so). `is_recognised`: something came that such a stream has.
    """

    __slots__ = ("_data", "_event", "_id", "_is_lost", "_max_bytes", "is_recognised")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._data: bytearray | None = None
        self._event = self._id = ""
        self._is_lost = self.is_recognised = False

    def take(self, line: bytearray | LimitError) -> ServerSentEvent | LimitError | None:
        """What one more line completes: at most one event, or the error that stands in its place."""
        if isinstance(line, LimitError):
            return self._lose(line)
        if not line:
            return self._dispatch()
        if line.startswith(b"{"):
            self.is_recognised = True
            return ServerSentEvent(data=line)
        return self._field(line)

    def _field(self, line: bytearray) -> LimitError | None:
        name = bytes(line[:8].partition(b":")[0])
        del line[: len(name) + 1]
        if line.startswith(b" "):
            del line[:1]
        self.is_recognised = self.is_recognised or name in _FIELDS
        if name == b"data":
            return self._add(line)
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
            sentence = f"an event of {size:,} bytes is passed over: Limits.max_event_bytes allows {self._max_bytes:,}"
            return self._lose(LimitError(sentence, limit="max_event_bytes", actual=size))
        if self._data is None:
            self._data = line
        else:
            self._data += b"\n" + line
        return None

    def _lose(self, error: LimitError) -> LimitError | None:
        """Pass over the event under way up to its end; tell it once."""
        is_told = self._is_lost
        self._is_lost, self.is_recognised, self._data = True, True, None
        return None if is_told else error

    def _dispatch(self) -> ServerSentEvent | None:
        data, event = self._data, self._event
        self._data, self._event, self._is_lost = None, "", False
        return ServerSentEvent(data=data, event=event, id=self._id) if data else None
