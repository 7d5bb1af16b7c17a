"""Reads the body of a streamed response of an HTTP client in small pieces, as they arrive.

A response has headers, and one of the methods in the two tables below.
Must not know: events, clients by import, how a response is opened and closed.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from inspect import isasyncgenfunction
from typing import Any, NamedTuple

_READ_BYTES = 64 * 1024
_PIECE_BYTES = 1024  # for clients that return nothing until a piece is full, or until its HTTP chunk has ended


class BodyReader(NamedTuple):
    """A way to read a body: whether a response has it, and the pieces of bytes that it gives."""

    fits: Callable[[Any], bool]
    read: Callable[[Any], Any]


def _has_stream(response: Any, kind: type) -> bool:
    """Return whether it is a response of httpx whose body is read in this way."""
    return hasattr(response, "aiter_bytes") and isinstance(getattr(response, "stream", None), kind)


def _has_sync_bytes(response: Any) -> bool:
    has_method = hasattr(response, "iter_bytes") and not hasattr(response, "aiter_bytes")
    return has_method and not isasyncgenfunction(response.iter_bytes)


def _read1(body: Any) -> Iterator[bytes]:
    return iter(partial(body.read1, _READ_BYTES), b"")  # read1 does not wait until that many bytes have arrived


def _read_requests(response: Any) -> Iterator[bytes]:
    """Yield the pieces of a response of requests, whose `iter_content(None)` can wait for the end of the body."""
    raw = response.raw
    if not getattr(raw, "chunked", False) and hasattr(raw, "read1") and not raw.closed:
        return iter(partial(raw.read1, _READ_BYTES, decode_content=True), b"")
    pieces: Iterator[bytes] = response.iter_content(_PIECE_BYTES)
    return pieces


SYNC_READERS = (
    BodyReader(lambda response: _has_stream(response, Iterable), lambda response: response.iter_bytes()),  # httpx
    BodyReader(_has_sync_bytes, lambda response: response.iter_bytes()),  # openai's with_streaming_response
    BodyReader(lambda response: hasattr(response, "iter_content"), _read_requests),
    BodyReader(lambda response: hasattr(response, "read1"), _read1),  # urllib and urllib3
)
# `content` of other clients is a property that reads the whole body, so only an attribute of the instance is looked at.
ASYNC_READERS = (
    BodyReader(lambda response: _has_stream(response, AsyncIterable), lambda response: response.aiter_bytes()),
    BodyReader(
        lambda response: isasyncgenfunction(getattr(response, "iter_bytes", None)),
        lambda response: response.iter_bytes(),
    ),
    BodyReader(
        lambda response: hasattr(getattr(response, "__dict__", {}).get("content"), "iter_any"),
        lambda response: response.content.iter_any(),  # aiohttp
    ),
)


def is_sync_response(stream: Any) -> bool:
    """Return whether `stream` is a streamed response that a thread reads."""
    return hasattr(stream, "headers") and any(reader.fits(stream) for reader in SYNC_READERS)


def is_async_response(stream: Any) -> bool:
    """Return whether `stream` is a streamed response that an event loop reads."""
    return hasattr(stream, "headers") and any(reader.fits(stream) for reader in ASYNC_READERS)


def read_body(response: Any) -> Iterator[bytes]:
    """Return the pieces of the body of a sync response."""
    pieces: Iterator[bytes] = next(reader.read(response) for reader in SYNC_READERS if reader.fits(response))
    return pieces


def aread_body(response: Any) -> AsyncIterator[bytes]:
    """Return the pieces of the body of an async response."""
    pieces: AsyncIterator[bytes] = next(reader.read(response) for reader in ASYNC_READERS if reader.fits(response))
    return pieces
