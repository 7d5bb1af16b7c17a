"""Removes the wrappings of the bytes of a stream: gzip, UTF-16, a byte order mark, HTTP headers.

Each wrapping takes chunks that are cut anywhere and gives the bytes inside, or an error in their place.
Must not know: JSON, server-sent events, the meaning of the bytes inside.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterator
from typing import Protocol

from ...errors import EventError, ImgassembleError, LimitError
from ...limits import Limits

_PIECE_BYTES = 16 * 1024  # of gzip data that are read at once
_MOST_OUT_BYTES = 64 * 1024  # of one call: hostile data can grow a thousand times
_MOST_HEADER_BYTES = 256 * 1024  # servers and proxies refuse more than 8 to 64 KiB
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # recognised by the first bytes


class Wrapping(Protocol):
    """Gives the bytes inside of a wrapped stream."""

    def feed(self, chunk: bytes) -> Iterator[bytes | ImgassembleError]:
        """Yield the bytes that `chunk` makes readable."""

    def close(self) -> Iterator[bytes | ImgassembleError]:
        """Yield the last bytes."""


class Gzip:
    """Decompresses gzip, or zlib ("deflate" in HTTP), as it comes; also several members one after the other.

    The size of the result is limited to twice `Limits.max_total_bytes`, so that a small file cannot take hours.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = 2 * limits.max_total_bytes
        self._size = 0
        self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._is_lost = False

    def feed(self, chunk: bytes) -> Iterator[bytes | ImgassembleError]:
        """Yield the decompressed bytes; or an error, once, after which the rest is skipped."""
        for at in range(0, len(chunk), _PIECE_BYTES):
            if self._is_lost:
                return
            yield from self._read(chunk[at : at + _PIECE_BYTES])

    def close(self) -> Iterator[bytes | ImgassembleError]:
        """Yield an error if nothing could be decompressed."""
        if not (self._size or self._is_lost or self._inflate.eof):
            yield EventError(
                "this is a gzip file that was cut short before its first byte of content; receive it again"
            )

    def _read(self, piece: bytes) -> Iterator[bytes | ImgassembleError]:
        before = self._inflate.copy()
        found: list[bytes | ImgassembleError] = []
        try:
            found.extend(self._inflated(piece))
        except zlib.error:
            # A failed call returns nothing. Reading byte by byte recovers everything before the damage, so the result
            # does not depend on the chunks.
            self._inflate, found = before, []
            try:
                for at in range(len(piece)):
                    found.extend(self._inflated(piece[at : at + 1]))
            except zlib.error:
                self._is_lost = True
                found.append(EventError("the gzip data is damaged here; the rest is passed over, receive it again"))
        for each in found:
            self._size += len(each) if isinstance(each, bytes) else 0
            if self._size > self._most:
                self._is_lost = True
                yield each[: self._most - self._size] if isinstance(each, bytes) else each
                yield self._too_large()
                return
            yield each

    def _too_large(self) -> LimitError:
        sentence = (
            f"gzip data that gives more than {self._most:,} bytes is passed over from there: twice what "
            f"Limits.max_total_bytes allows"
        )
        return LimitError(sentence, limit="max_total_bytes", actual=self._most + 1)

    def _inflated(self, piece: bytes) -> Iterator[bytes]:
        while True:
            if self._inflate.eof:
                piece = piece.lstrip(b"\0")  # members may be padded
                if not piece:
                    return
                self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)
            data = self._inflate.decompress(piece, _MOST_OUT_BYTES)
            piece = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
            if data:
                yield data
            if not piece and len(data) < _MOST_OUT_BYTES:
                return


class UTF16:
    """Turns UTF-16 with a byte order mark, as PowerShell's `>` writes it, into UTF-8."""

    def __init__(self, _limits: Limits) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the same text as UTF-8."""
        yield self._decoder.decode(chunk).encode()

    def close(self) -> Iterator[bytes]:
        """Yield the end of a text that was cut inside of a character."""
        yield self._decoder.decode(b"", final=True).encode()


class ByteOrderMark:
    """Removes the byte order mark of UTF-8."""

    def __init__(self, _limits: Limits) -> None:
        self._left = len(codecs.BOM_UTF8)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the bytes after the mark."""
        skipped = min(self._left, len(chunk))
        self._left -= skipped
        yield chunk[skipped:]

    def close(self) -> Iterator[bytes]:
        """Yield nothing: the mark has no end."""
        yield from ()


class HTTPHeaders:
    """Removes the status line and the headers of an HTTP answer, as `curl -i` prints them. None of them is kept."""

    _END = re.compile(rb"\n\r?\n")

    def __init__(self, _limits: Limits) -> None:
        self._headers: bytearray | None = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes | ImgassembleError]:
        """Yield the bytes of the body."""
        if self._headers is None:
            yield chunk
            return
        seen = max(0, len(self._headers) - 2)
        self._headers += chunk
        end = self._END.search(self._headers, seen)
        if end:
            body, self._headers = bytes(self._headers[end.end() :]), None
            yield body
        elif len(self._headers) > _MOST_HEADER_BYTES:
            del self._headers[:-_MOST_HEADER_BYTES]

    def close(self) -> Iterator[bytes | ImgassembleError]:
        """Yield an error if no body followed."""
        if self._headers is not None:
            yield EventError("only the headers of an HTTP answer came; receive it again, with its body")
