"""Opens a stream of any kind that the drivers accept, reads its elements, and closes it.

`KINDS` is the table of the kinds; the first row that fits decides. Responses of HTTP clients come before iterables,
because some of them iterate over lines, or over pieces of 128 bytes.
Must not know: events, the assembler, clients by name.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from io import TextIOBase
from itertools import islice
from typing import Any, NamedTuple

from ...errors import UsageError
from ..sources import holds_events, is_url, open_chunks, url_error
from .closing import BlockingCalls, aclose_stream, close_stream, stays_open
from .response_bodies import aread_body, is_async_response, is_sync_response, read_body

_MOST_STEPS = 8  # from a function, over a coroutine and a context manager, to a response; more steps are a circle
_CLOSING_S = 0.5  # for each async object to close


class StreamStoppedError(Exception):
    """The reading of a stream was ended by `interrupt`."""


class AcceptedStream(NamedTuple):
    """One kind of stream, and how each driver reads it. None: this driver does not accept it.

    `sync` and `asynchronous` return the elements; if `leads_on`, they return the stream to open next.
    """

    fits: Callable[[Any], bool]
    sync: Callable[[Any], Any] | None
    asynchronous: Callable[[Any], Any] | None
    leads_on: bool = False


class Opening(Iterable[Any]):
    """The elements of a stream, which is opened at the first one. Raises UsageError if the stream is of no kind.

    An element is read when the iterator is asked for it, in the thread that asks. Iterate over it once.
    async_twin: the functions that read an async stream, for that error.
    """

    def __init__(self, stream: Any, *, async_twin: str = "aiter_updates or aassemble") -> None:
        self._stream, self._twin = stream, async_twin
        self._kind = _kind_of(stream, is_async=False, twin=async_twin)
        self._closers: list[Callable[[], object]] = []
        self._calls = BlockingCalls()
        self._is_interrupted = False

    def __iter__(self) -> Iterator[Any]:
        """Yield the elements. Raises StreamStoppedError after `interrupt`."""
        try:
            yield from self._calls.each(self._calls.run(self._open))
        except Exception:
            if self._is_interrupted:
                raise StreamStoppedError from None
            raise

    def _open(self) -> Iterator[Any]:
        stream, self._stream = self._stream, None
        for _ in range(_MOST_STEPS):
            kind = _kind_of(stream, is_async=False, twin=self._twin)
            assert kind.sync is not None
            if not kind.leads_on:
                elements = kind.sync(stream)
                self._closers += [partial(close_stream, each) for each in (stream, elements)]
                iterator: Iterator[Any] = iter(elements)
                self._closers.append(partial(close_stream, iterator))
                return iterator
            if kind.sync is _enter:
                self._closers.append(partial(_exit, stream))
            stream = kind.sync(stream)
        raise _never_opens(stream)

    def interrupt(self) -> None:
        """End the reading, from any thread: at once with the known clients, else at the next element."""
        self._is_interrupted = True
        self._calls.interrupt()

    def close(self) -> None:
        """Close the stream, in the thread that has read it. Files and pipes of the caller stay open."""
        stream, self._stream = self._stream, None
        if not (stream is None or self._kind.leads_on):
            close_stream(stream)
        while self._closers:
            self._closers.pop()()


class AsyncOpening:
    """The elements of a stream for a driver in an event loop. Raises UsageError if the stream is of no kind.

    One task opens, reads and closes it, so that time limits and task groups of the stream stay in one task.
    sync_twin: the functions that read a stream without an event loop, for that error.
    """

    def __init__(self, stream: Any, *, sync_twin: str = "iter_updates or assemble") -> None:
        self._stream, self._twin = stream, sync_twin
        self._kind = _kind_of(stream, is_async=True, twin=sync_twin)
        self._closers: list[Callable[[], Awaitable[object]]] = []

    async def open(self) -> AsyncIterator[Any]:
        """Open the stream, and return its elements."""
        stream, self._stream = self._stream, None
        for _ in range(_MOST_STEPS):
            kind = _kind_of(stream, is_async=True, twin=self._twin)
            assert kind.asynchronous is not None
            opened = kind.asynchronous(stream)
            if not kind.leads_on:
                elements = opened if isinstance(opened, AsyncIterable) else _each(opened)
                self._closers += [partial(aclose_stream, each, _CLOSING_S) for each in (stream, elements)]
                return aiter(elements)
            if kind.asynchronous is _aenter:
                self._closers.append(partial(aclose_stream, _Exit(stream), _CLOSING_S))
            stream = await opened if isawaitable(opened) else opened
        raise _never_opens(stream)

    async def aclose(self) -> None:
        """Close the stream. Files of the caller stay open."""
        stream, self._stream = self._stream, None
        if stream is not None and (isawaitable(stream) or not self._kind.leads_on):
            await aclose_stream(stream, _CLOSING_S)
        while self._closers:
            await self._closers.pop()()


def _never_opens(stream: Any) -> UsageError:
    """Return the error for an object that opens itself, as the client of a service does."""
    name = type(stream).__name__
    return UsageError(f"{name} opens itself, and no stream: pass the client's stream or response")


def _kind_of(stream: Any, *, is_async: bool, twin: str) -> AcceptedStream:
    """Return the kind of a stream that a driver accepts. Raises UsageError that names the right call, or the twin."""
    is_refused = False
    for kind in KINDS:
        if kind.fits(stream):
            if (kind.asynchronous if is_async else kind.sync) is not None:
                return kind
            is_refused = True
    if isawaitable(stream):
        close_stream(stream)  # a coroutine that is never awaited would warn
    name = type(stream).__name__
    if is_refused and is_async:
        raise UsageError(f"reading {name} would block the event loop: use {twin}, or an async client")
    if is_refused:
        raise UsageError(f"{name} is async: use {twin}")
    if isinstance(stream, str) and is_url(stream):
        raise url_error(stream)
    if isinstance(stream, str):
        raise UsageError(f"this text holds no events: for a file pass Path({stream[:60]!r}), for events a list")
    raise UsageError(f"{name} is no stream: pass the client's stream or response, events, a Path, or what opens one")


def _is_answer(stream: Any) -> bool:
    is_model = hasattr(type(stream), "model_dump") and not hasattr(stream, "__next__")
    return is_model or isinstance(stream, (bytes, bytearray, memoryview, Mapping))


def _is_file(stream: Any) -> bool:
    return stays_open(stream) and hasattr(stream, "read") and not isinstance(stream, TextIOBase)


def _is_seekable_file(stream: Any) -> bool:
    """Return whether it is a file that never makes its reader wait, as a pipe does."""
    return _is_file(stream) and hasattr(stream, "seekable") and bool(stream.seekable())


def _are_events(stream: Any) -> bool:
    """Return whether it is a list of events, or a similar collection."""
    return isinstance(stream, Collection) and not isinstance(stream, str)


def _is_iterable(stream: Any) -> bool:
    return isinstance(stream, Iterable) and not isinstance(stream, str)


def _is_manager(stream: Any) -> bool:
    return hasattr(type(stream), "__enter__")


def _is_async_manager(stream: Any) -> bool:
    return hasattr(type(stream), "__aenter__")


def _is_opener(stream: Any) -> bool:
    return callable(stream) and not (_is_manager(stream) or _is_async_manager(stream))  # contextlib's can be called


def _one(stream: Any) -> tuple[Any]:
    return (stream,)


def _content(text: str) -> tuple[bytes]:
    return (text.encode("utf-8", "surrogatepass"),)


def _itself(stream: Any) -> Any:
    return stream


def _enter(manager: Any) -> Any:
    return manager.__enter__()


def _aenter(manager: Any) -> Any:
    return manager.__aenter__()


def _call(opener: Callable[[], Any]) -> Any:
    return opener()


def _read_in_thread(source: Any) -> AsyncIterator[bytes]:
    return _each_in_thread(open_chunks(source))


KINDS: tuple[AcceptedStream, ...] = (
    AcceptedStream(lambda stream: isinstance(stream, str) and holds_events(stream), _content, _content),
    AcceptedStream(_is_answer, _one, _one),
    AcceptedStream(lambda stream: isinstance(stream, os.PathLike), open_chunks, _read_in_thread),
    AcceptedStream(isawaitable, None, _itself, leads_on=True),
    AcceptedStream(is_sync_response, read_body, None),
    AcceptedStream(is_async_response, None, aread_body),
    AcceptedStream(_is_seekable_file, open_chunks, _read_in_thread),
    AcceptedStream(_is_file, open_chunks, None),  # a pipe can make its reader wait
    AcceptedStream(_are_events, _itself, _itself),
    AcceptedStream(_is_iterable, _itself, None),  # can wait for the network
    AcceptedStream(lambda stream: isinstance(stream, AsyncIterable), None, _itself),
    AcceptedStream(_is_manager, _enter, None, leads_on=True),
    AcceptedStream(_is_async_manager, None, _aenter, leads_on=True),
    AcceptedStream(_is_opener, _call, _call, leads_on=True),
)


def _exit(manager: Any) -> None:
    with suppress(Exception):  # the manager is the client's, and nothing is read any more
        manager.__exit__(None, None, None)


class _Exit:
    """An async context manager in the form of a stream: to close it is to leave it."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    async def aclose(self) -> None:
        await self._manager.__aexit__(None, None, None)


async def _each(elements: Iterable[Any]) -> AsyncIterator[Any]:
    elements = iter(elements)
    while box := list(islice(elements, 1)):
        yield box.pop()


async def _each_in_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks of a file. They are read in a thread, because a disk can be slow, and a named pipe silent."""
    from ..own_thread import in_own_thread  # it imports asyncio, which sync programs do not need

    try:
        while box := await in_own_thread(lambda: list(islice(chunks, 1)), "imgassemble-file"):
            yield box.pop()
    finally:
        close_stream(chunks)
