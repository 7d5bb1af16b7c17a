"""Decodes the bytes of one stream into events. Its first bytes tell its kind: `STREAM_KINDS` is the table.

An event is a mapping. Bytes that are no event become an error in its place, and the stream goes on.
Must not know: what the events mean, where the bytes come from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from ...errors import EventError, ImgassembleError, LimitError
from ...frames.base64_json import Load, load_json
from ...limits import Limits
from ...wire.sse import LineDecoder, ServerSentEvent, SSEDecoder
from .archives import archive_of, event_of_error_field, event_of_error_text, with_type_from_name
from .file_kinds import START_BYTES, error_of_start
from .json_values import JSONStream
from .wrappings import UTF16, ByteOrderMark, Gzip, HTTPHeaders, Wrapping

_MOST_WRAPPINGS = 8  # inside of each other: gzip, a byte order mark, some HTTP headers of a proxy and of redirects
_HEAD_BYTES = 20  # the longest beginning in STREAM_KINDS has 18


class _Decoder(Protocol):
    """Decodes the bytes of one kind of stream."""

    @property
    def last_event_id(self) -> str: ...

    @property
    def is_done(self) -> bool: ...

    def feed(self, chunk: bytes) -> Iterable[Any]: ...

    def close(self) -> Iterator[Any]: ...


class EventDecoder:
    """Decodes one stream of bytes, which may be cut anywhere, into events.

    load: reads JSON. `load_json` gives plain mappings. `load_decoded` is faster, and its values are for an assembler
        only.

        >>> decoder = EventDecoder()
        >>> list(decoder.feed(b'data: {"type": "keepalive"}\\n\\n'))
        [{'type': 'keepalive'}]
        >>> list(decoder.close())
        []
    """

    def __init__(self, limits: Limits | None = None, *, load: Load = load_json) -> None:
        self._inner: _Decoder = _Unknown(_Options(limits or Limits(), load))

    def feed(self, chunk: bytes) -> Iterable[Any]:
        """Return the events that `chunk` completes: mappings, or the error in an event's place."""
        return self._inner.feed(chunk)

    def close(self) -> Iterator[Any]:
        """Yield the last events, if the stream ends without saying so."""
        return self._inner.close()

    @property
    def last_event_id(self) -> str:
        """The id of the last event that was yielded; "" if server-sent events have none."""
        return self._inner.last_event_id

    @property
    def is_done(self) -> bool:
        """Whether the last thing that the stream said is that it ended ([DONE])."""
        return self._inner.is_done


class _Options(NamedTuple):
    """The settings of a decoder, and how many wrappings may follow inside."""

    limits: Limits
    load: Load
    has_gzip: bool = False
    wrappings_left: int = _MOST_WRAPPINGS


class _Unknown:
    """A stream whose kind is not known yet: it keeps the first bytes until one row of STREAM_KINDS fits."""

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._head = b""
        self._decoder: _Decoder | None = None
        self.feed: Callable[[bytes], Iterable[Any]] = self._feed_head  # that of the decoder, once it is known

    def _feed_head(self, chunk: bytes) -> Iterable[Any]:
        self._head = (self._head + chunk).lstrip()
        self._decoder = self._chosen(self._head)
        if self._decoder is None:
            return ()
        chunk, self._head = self._head, b""
        self.feed = self._decoder.feed
        return self.feed(chunk)

    def close(self) -> Iterator[Any]:
        if self._decoder is None and self._head:
            self._decoder = _SSE(self._options)
            yield from self._decoder.feed(self._head)
        if self._decoder is not None:
            yield from self._decoder.close()

    @property
    def last_event_id(self) -> str:
        return self._decoder.last_event_id if self._decoder else ""

    @property
    def is_done(self) -> bool:
        return self._decoder is not None and self._decoder.is_done

    def _chosen(self, head: bytes) -> _Decoder | None:
        """Return the decoder for a stream that begins with `head`; None if more bytes are needed.

        The answer never depends on how much comes at once: the beginnings are literal, and none contains another.
        """
        for kind in STREAM_KINDS:
            if kind.beginning.match(head):
                return kind.decoder(self._options)
        is_long_enough = len(head) >= _HEAD_BYTES or b"\n" in head or b"\r" in head
        return _SSE(self._options) if is_long_enough else None


class _Wrapped:
    """A stream inside of a wrapping."""

    def __init__(self, wrapping: Wrapping, options: _Options) -> None:
        self._wrapping = wrapping
        self._inner = _Unknown(options)

    @property
    def last_event_id(self) -> str:
        return self._inner.last_event_id

    @property
    def is_done(self) -> bool:
        return self._inner.is_done

    def feed(self, chunk: bytes) -> Iterator[Any]:
        return self._events(self._wrapping.feed(chunk))

    def close(self) -> Iterator[Any]:
        yield from self._events(self._wrapping.close())
        yield from self._inner.close()

    def _events(self, pieces: Iterable[bytes | ImgassembleError]) -> Iterator[Any]:
        for piece in pieces:
            if isinstance(piece, ImgassembleError):
                yield piece
            else:
                yield from self._inner.feed(piece)


class _SSE:
    """Server-sent events."""

    def __init__(self, options: _Options) -> None:
        limits, self._load = options.limits, options.load
        self._lines = LineDecoder(limits.max_event_bytes, extra_bytes=len(b"data: "))
        self._decoder = SSEDecoder(limits.max_event_bytes)
        self._start = b""
        self.last_event_id, self.is_done = "", False

    def feed(self, chunk: bytes) -> Iterable[Any]:
        if len(self._start) < START_BYTES:
            self._start = (self._start + chunk[:START_BYTES])[:START_BYTES]
        lines = self._lines.feed(chunk)
        return self._events(lines) if lines else ()

    def close(self) -> Iterator[Any]:
        yield from self._events((*self._lines.close(), bytearray()))
        if not self._decoder.is_recognised:
            yield error_of_start(self._start)

    def _events(self, lines: Iterable[bytearray | LimitError]) -> Iterator[Any]:
        return map(self._event_of, filter(self._is_event, map(self._decoder.take, lines)))

    def _is_event(self, event: ServerSentEvent | LimitError | None) -> bool:
        if event is None:
            return False
        if isinstance(event, LimitError):
            return True
        self.is_done = event.data == b"[DONE]"
        if not self.is_done:
            self.last_event_id = event.id
        return not self.is_done

    def _event_of(self, event: ServerSentEvent | LimitError | None) -> Any:
        if not isinstance(event, ServerSentEvent):
            return event
        value: Any
        try:
            value = self._load(event.data)
        except EventError as error:
            if not event.is_error:
                return event_of_error_text(event.data, event.event) or error
            value = event.data.decode("utf-8", "replace")
        event.data.clear()  # the line goes before the picture is looked at: that lowers the peak of a large event
        return event_of_error_field(value) if event.is_error else with_type_from_name(value, event.event)


class _JSON:
    """JSON values; those that are archives are opened."""

    last_event_id, is_done = "", False

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._values = JSONStream(options.limits, options.load)

    def feed(self, chunk: bytes) -> Iterator[Any]:
        return self._events(self._values.feed(chunk))

    def close(self) -> Iterator[Any]:
        return self._events(self._values.close())

    def _events(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            box = [value]  # out of which it is taken, so that nothing holds it while its updates are shown
            del value
            archive = archive_of(box[0])
            if archive:
                yield from archive.events(box.pop(), self._decode_body)
            else:
                yield box.pop()

    def _decode_body(self, body: bytes) -> Iterator[Any]:
        left = self._options.wrappings_left - 1
        if left < 0:
            return
        decoder = _Unknown(self._options._replace(wrappings_left=left))
        yield from decoder.feed(body)
        yield from decoder.close()


class _NoStream:
    """A file that holds no events: all of it is skipped, and one error names its kind."""

    last_event_id, is_done = "", False

    def __init__(self, _options: _Options) -> None:
        self._start = b""

    def feed(self, chunk: bytes) -> Iterable[Any]:
        if len(self._start) < START_BYTES:
            self._start = (self._start + chunk[:START_BYTES])[:START_BYTES]
        return ()

    def close(self) -> Iterator[Any]:
        yield error_of_start(self._start)


def _wrapped(wrapping: Callable[[Limits], Wrapping]) -> Callable[[_Options], _Decoder]:
    def make(options: _Options) -> _Decoder:
        is_gzip = wrapping is Gzip
        if not options.wrappings_left or (is_gzip and options.has_gzip):
            return _NoStream(options)
        inside = options._replace(has_gzip=options.has_gzip or is_gzip, wrappings_left=options.wrappings_left - 1)
        return _Wrapped(wrapping(options.limits), inside)

    return make


class StreamKind(NamedTuple):
    """A kind of stream: its name, how it begins, and what decodes it."""

    name: str
    beginning: re.Pattern[bytes]
    decoder: Callable[[_Options], _Decoder]


def _row(name: str, beginning: bytes, decoder: Callable[[_Options], _Decoder]) -> StreamKind:
    return StreamKind(name, re.compile(beginning), decoder)


# A stream that begins like none of these is one of server-sent events that begins with an unknown field; or it is no
# stream, which its end shows.
STREAM_KINDS: tuple[StreamKind, ...] = (
    _row("server-sent events", rb"(data|event|id|retry|error)?:", _SSE),
    _row("JSON: lines, values, an array, HAR, a Codex session", rb"[{\x1e]|\[(\D|\d{1,3}\D|\d{4}[^-])", _JSON),
    _row("HTTP headers (curl -i)", rb"HTTP/\d", _wrapped(HTTPHeaders)),
    _row("gzip, zlib", rb"\x1f\x8b|x[\x01\x9c\xda]", _wrapped(Gzip)),
    _row("UTF-8 with a byte order mark", rb"\xef\xbb\xbf", _wrapped(ByteOrderMark)),
    _row("UTF-16 with a byte order mark", rb"\xff\xfe|\xfe\xff", _wrapped(UTF16)),
    _row("HTML, XML", rb"<", _NoStream),
    _row("a log that begins with a date in brackets", rb"\[\d{4}-", _NoStream),
    _row("YAML", rb"(http_)?interactions:|---[ \t]*[\r\n]", _NoStream),
    _row("binary files", rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF|%PDF|PK\x03\x04|\x28\xb5\x2f\xfd|BZh[1-9]|\xfd7zXZ",
         _NoStream),
)  # fmt: skip
