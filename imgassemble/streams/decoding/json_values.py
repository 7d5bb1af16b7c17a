"""Splits bytes into JSON values: one a line, one after the other, pretty-printed, or the members of an array.

Must not know: what a value means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from io import BytesIO
from typing import Any

from ...errors import EventError, ImgassembleError, LimitError
from ...frames.base64_json import Load
from ...limits import Limits
from ...wire.sse import LineDecoder
from .file_kinds import START_BYTES, error_of_kind, kind_of_file

_SHORT_BYTES = 1_000
# A line of pretty-printed JSON with a name and a value that is no object or array, or with one of the two.
_PLAIN_MEMBER = re.compile(rb'\s*+(?:"[^"\\]*+"\s*+:?\s*+)?(?:"[^"\\]*+"|[\w.+-]*+)\s*+,?\s*+')


class _Place(Enum):
    """The place of a scanner in the bytes."""

    BETWEEN = auto()  # two values
    INSIDE = auto()  # an object, an array or a string
    BARE = auto()  # a number, a word, or bytes that are no JSON


class JSONScanner:
    """Finds where each JSON value ends, in bytes that are cut anywhere. A top-level array is opened: its members count.
    The byte 0x1E, which begins each value of a JSON text sequence (RFC 7464), counts as white space.

    Linear in the bytes: strings, which hold the pictures, are searched for their closing quote only.
    A value beyond `max_bytes` becomes a LimitError.
    """

    # Everything up to the next bracket, or up to a string that is long, escaped or not complete.
    _SKIPPED = re.compile(rb'(?:[^"\[\]{}]++|"[^"\\]{0,200}+")*+')
    _NEXT = re.compile(rb"[^\s,\x1e]")
    _BARE_END = (re.compile(rb"[\n{\[\x1e]"), re.compile(rb"[\s,\]\x1e]"))  # outside of an array, and in one

    def __init__(self, max_bytes: int) -> None:
        self._most = max_bytes
        self._place = _Place.BETWEEN
        self._depth = self._base = 0  # `_base` is 1 in a top-level array
        self._is_in_string = self._is_escaped = False
        self._value = bytearray()
        self._size = 0

    @property
    def is_open(self) -> bool:
        """Whether a value or a top-level array has begun and not ended."""
        return self._place is not _Place.BETWEEN or self._base > 0

    @property
    def is_inside(self) -> bool:
        """Whether an object, an array in an array, or a string is open."""
        return self._place is _Place.INSIDE

    @property
    def is_in_string(self) -> bool:
        """Whether the last byte stands in a string."""
        return self._is_in_string

    @property
    def size(self) -> int:
        """The size of the open value in bytes."""
        return self._size

    def feed(self, data: bytes | bytearray) -> Iterator[bytearray | LimitError]:
        """Yield the text of each value that `data` completes."""
        at = 0
        while at < len(data):
            if self._place is _Place.BETWEEN:
                at = self._begin(data, at)
                continue
            start = at
            at, is_whole = self._bare_end(data, at) if self._place is _Place.BARE else self._inside_end(data, at)
            self.keep(data[start:at])
            if is_whole:
                yield self._take()

    def close(self) -> bytearray | LimitError | None:
        """Return the text of the value that was not completed (a bare one is whole), or None. An array stays open."""
        return self._take() if self._place is not _Place.BETWEEN else None

    def _begin(self, data: bytes | bytearray, at: int) -> int:
        """Return the place where the next value begins."""
        found = self._NEXT.search(data, at)
        if not found:
            return len(data)
        at, first = found.start(), found[0]
        if first == b"[" and not self._base:
            self._base = self._depth = 1
            return at + 1
        if first == b"]" and self._base:
            self._base = self._depth = 0
            return at + 1
        if first not in b'{["':
            self._place = _Place.BARE
            return at
        self._place = _Place.INSIDE
        self._is_in_string = first == b'"'
        self._depth += not self._is_in_string
        self.keep(first)
        return at + 1

    def _bare_end(self, data: bytes | bytearray, at: int) -> tuple[int, bool]:
        found = self._BARE_END[self._base].search(data, at)
        return (found.start(), True) if found else (len(data), False)

    def _inside_end(self, data: bytes | bytearray, at: int) -> tuple[int, bool]:
        """Return the place after the value, or the end of the data, and whether the value is whole."""
        while at < len(data):
            if self._is_in_string:
                at = self._string_end(data, at)
                if self._is_in_string:
                    return at, False
            else:
                skipped = self._SKIPPED.match(data, at)
                at = skipped.end() if skipped else at
                mark = data[at : at + 1]
                at += len(mark)
                self._is_in_string = mark == b'"'
                self._depth += (mark in (b"{", b"[")) - (mark in (b"}", b"]"))
            if self._depth <= self._base and not self._is_in_string:
                return at, True
        return at, False

    def _string_end(self, data: bytes | bytearray, at: int) -> int:
        """Return the place after the closing quote, or the end of the data."""
        if self._is_escaped:
            self._is_escaped = False
            return at + 1
        end = data.find(b'"', at)
        stop = end if end >= 0 else len(data)
        first = stop
        while first > at and data[first - 1] == ord("\\"):
            first -= 1
        is_odd = (stop - first) % 2 == 1
        if end < 0:
            self._is_escaped = is_odd
            return stop
        self._is_in_string = is_odd
        return end + 1

    def keep(self, part: bytes | bytearray) -> None:
        """Add bytes to the open value; they must hold no bracket, and no part of a string."""
        self._size += len(part)
        if self._size <= self._most:
            self._value += part
        else:
            self._value.clear()

    def _take(self) -> bytearray | LimitError:
        value, size = self._value, self._size
        self._value, self._size, self._depth, self._place = bytearray(), 0, self._base, _Place.BETWEEN
        self._is_in_string = self._is_escaped = False
        if size <= self._most:
            return value
        sentence = f"a JSON document of {size:,} bytes is too large: Limits.max_total_bytes allows {self._most:,}"
        return LimitError(sentence, limit="max_total_bytes", actual=size)


class JSONStream:
    """Decodes a stream of JSON values.

    A value that is alone on its line is read as it comes, at the limit of an event; others are scanned, at the limit of
    a document. Neighbouring errors are reported once. If no value can be read, the error names the kind of file.
    """

    last_event_id: str = ""
    is_done: bool = False

    def __init__(self, limits: Limits, load: Load) -> None:
        self._load = load
        self._most = limits.max_total_bytes
        self._lines: LineDecoder | None = LineDecoder(limits.max_event_bytes)
        self._scanner = JSONScanner(self._most)
        self._last = b""  # the last byte of the open value that is no white space
        self._start = b""
        self._is_empty = True  # no value was read yet
        self._first_error: ImgassembleError | None = None  # if no value follows, the kind of file explains it better
        self._is_lost = False  # the last thing was an error, which was reported
        self._is_skipping = False  # the rest of a value that was given up, up to a line that begins another

    def feed(self, chunk: bytes) -> Iterator[Any]:
        """Yield the values that `chunk` completes, and errors in the places of values."""
        if not self._start and chunk.startswith(b"["):
            self._lines = None  # an array can be one long line
        if len(self._start) < START_BYTES:
            self._start = (self._start + chunk[:START_BYTES])[:START_BYTES]
        if self._lines is None:
            yield from self._scanned(chunk)
            return
        for line in self._lines.feed(chunk):
            is_open = self._scanner.is_open
            values = [] if is_open else self._loaded(line)
            if not values:
                if not is_open or not self._is_kept(line):
                    yield from self._line(line)
                continue
            if self._first_error:
                yield from self._held_error()
            line.clear()  # type: ignore[union-attr]  # the text goes before the picture is looked at: a lower peak
            if isinstance(values[0], list):
                yield from self._opened(values)
            else:
                yield values.pop()

    def close(self) -> Iterator[Any]:
        """Yield the last value, or the error of one that was cut; then the lines in it that are values of their own."""
        for line in self._lines.close() if self._lines else ():
            yield from self._line(line)
        rest = self._scanner.close()
        if rest is not None:
            yield from self._read(rest)
        if self._scanner.is_open:
            yield from self._reported(EventError("a JSON array was cut short; the members that came whole count"))
        if isinstance(rest, bytearray):
            yield from self._whole_lines(rest)
        yield from self._last_error()

    def _line(self, line: bytearray | LimitError) -> Iterator[Any]:
        if isinstance(line, LimitError):
            self._is_skipping = self._scanner.is_open
            self._scanner = JSONScanner(self._most)
            self._is_lost = True
            yield line
            return
        if self._scanner.is_inside and self._is_misplaced(line):
            yield from self._damaged()
        if self._is_skipping and not line.startswith((b"{", b"[")):
            return
        self._is_skipping = False
        if not self._scanner.is_open:
            while line[:1] and line[:1] in b" \t\x1e":
                del line[:1]
            values = self._loaded(line)
            if values:
                line.clear()
                yield from self._held_error()
                yield from self._opened(values)
                return
        self._last = bytes(line.rstrip()[-1:]) or self._last
        yield from self._scanned(line + b"\n")
        if self._scanner.is_in_string:  # no JSON string holds the end of a line
            yield from self._damaged()

    def _is_kept(self, line: bytearray | LimitError) -> bool:
        """Keep a line that is one plain member of the open value, as most of pretty-printed lines are."""
        if not self._scanner.is_inside or isinstance(line, LimitError):
            return False
        if len(line) > _SHORT_BYTES or not _PLAIN_MEMBER.fullmatch(line):
            return False
        self._last = bytes(line.rstrip()[-1:]) or self._last
        self._scanner.keep(line + b"\n")
        return True

    def _is_misplaced(self, line: bytearray) -> bool:
        """Return whether `line` begins a value at a place where the open value cannot have one."""
        first = line.lstrip()[:1]
        return bool(first) and first in b"{[" and self._last not in (b",", b":", b"[")

    def _damaged(self) -> Iterator[Any]:
        """Give up the open value: yield its error, and the lines in it that are values of their own."""
        sentence = f"a JSON value of {self._scanner.size:,} bytes is cut short or damaged; it is skipped"
        lines = self._scanner.close()
        self._scanner, self._is_skipping = JSONScanner(self._most), True
        yield from self._reported(EventError(sentence))
        if isinstance(lines, bytearray):
            yield from self._whole_lines(lines)

    def _whole_lines(self, lines: bytearray) -> Iterator[Any]:
        for number, line in enumerate(BytesIO(lines)):
            if number and line.startswith(b"{"):
                values = self._loaded(bytearray(line))
                if values:
                    yield from self._held_error()
                yield from self._opened(values)

    def _scanned(self, data: bytes | bytearray) -> Iterator[Any]:
        for text in self._scanner.feed(data):
            yield from self._read(text)

    def _read(self, text: bytearray | LimitError) -> Iterator[Any]:
        if isinstance(text, LimitError):
            yield from self._reported(text)
            return
        try:
            values = [self._load(text)]
        except EventError as error:
            yield from self._reported(error)
            return
        text.clear()
        self._is_empty = self._is_lost = False
        yield from self._held_error()
        yield values.pop()

    def _loaded(self, line: bytearray | LimitError) -> list[Any]:
        """Return the value of a line in a list, or an empty list if the line is no object or array."""
        if isinstance(line, LimitError) or not line.startswith((b"{", b"[")):
            return []
        if not line.endswith((b"}", b"]")) and not line[-3:].rstrip().endswith((b"}", b"]")):
            return []  # it is not whole, or it is followed by something: then it is scanned
        try:
            values = [self._load(line)]
        except EventError:
            return []
        self._is_empty = self._is_lost = self._is_skipping = False
        return values

    def _opened(self, values: list[Any]) -> Iterator[Any]:
        """Yield the value, or the members of an array. No name holds a value while its updates are shown."""
        if values and isinstance(values[0], list):
            values = values[0][::-1]
        while values:
            yield values.pop()

    def _reported(self, error: ImgassembleError) -> Iterable[ImgassembleError]:
        """Return the error in a list, unless the one before it was reported and nothing was read since.

        Before the first value it is held: at the end of a stream without any value the kind of file explains it.
        """
        if self._is_lost:
            return []
        self._is_lost = True
        if self._is_empty:
            self._first_error = error
            return []
        return [error]

    def _held_error(self) -> Iterable[ImgassembleError]:
        error, self._first_error = self._first_error, None
        return [error] if error else ()

    def _last_error(self) -> Iterable[ImgassembleError]:
        """Return the error of a stream without any value."""
        errors = self._held_error()
        kind = kind_of_file(self._start) if errors else None
        return [error_of_kind(kind, self._start)] if kind else errors
