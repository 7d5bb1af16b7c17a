"""The loops that feed a stream, from its first event to its end.

Knows: iteration, sync and async, and when sinks are opened and closed. Must not know: what an event means.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar

from ..assembly.assembler import Assembler, check_listener, late_listeners, log_failure
from ..assembly.items import Result
from ..assembly.sink import ContinuingSink, Sink
from ..assembly.updates import Update
from ..errors import IncompleteStreamError, SinkError, UsageError
from ..frames.base64_json import load_decoded
from .sources import StreamReader, aread_events, read_events

_T = TypeVar("_T")
_MOST_NOTES = 3  # a reader reads the first

_log = logging.getLogger("imgassemble")


def iter_updates(stream: Iterable[Any], assembler: Assembler | None = None) -> Iterator[Update]:
    """The updates of a stream as they come, and those of its end.

    stream: an iterable of events, or of the raw bytes of a body (`response.iter_bytes()`, a file). A str is one event.

    An exception of the stream passes through; a given `assembler` then stays open, so that a resumed stream can go on.
    Raises UsageError for what is no stream of events.
    """
    _check_stream(stream, Iterable, "aiter_updates or aassemble")
    return _updates(stream, Assembler() if assembler is None else assembler)


def aiter_updates(stream: AsyncIterable[Any], assembler: Assembler | None = None) -> AsyncIterator[Update]:
    """The async twin of `iter_updates`: the same updates, from an async iterable."""
    _check_stream(stream, AsyncIterable, "iter_updates or assemble")
    return _aupdates(stream, Assembler() if assembler is None else assembler)


def assemble(
    stream: Iterable[Any],
    *,
    on_update: Callable[[Update], object] | None = None,
    sinks: Iterable[Sink] = (),
    assembler: Assembler | None = None,
) -> Result:
    """What a whole stream gave: drain it, telling `on_update` and keeping frames in `sinks` as they come.

    stream: as for `iter_updates`. A callback that raises is logged and disturbs nothing.

    Raises SinkError at the end where a sink failed; the stream's own exception, after the sinks are closed (all have
    heard then that the stream has ended, but a given `assembler` stays open, for a stream that goes on); UsageError for
    what is no stream, and for a coroutine function as callback.
    """
    is_given, assembler = assembler is not None, Assembler() if assembler is None else assembler
    _check_stream(stream, Iterable, "aiter_updates or aassemble")
    kept = _Sinks(sinks)
    updates = _updates(stream, assembler, kept.join)
    subscriptions = [assembler.subscribe(kept)]  # first, so that a callback finds its frame on disk
    try:
        if on_update is not None:
            subscriptions.append(assembler.subscribe(on_update))
        kept.open(assembler)
        with _ending(assembler, is_given=is_given):
            kept.continue_run(assembler)
            deque(updates, maxlen=0)
    except BaseException as error:
        _note(kept.close(), error)
        raise
    finally:
        for unsubscribe in subscriptions:
            unsubscribe()
    return _finished(kept.close(), assembler)


async def aassemble(
    stream: AsyncIterable[Any],
    *,
    on_update: Callable[[Update], object] | None = None,
    sinks: Iterable[Sink] = (),
    assembler: Assembler | None = None,
) -> Result:
    """The async twin of `assemble`. `on_update` may be a coroutine function; sinks work in a thread, in order."""
    is_given, assembler = assembler is not None, Assembler() if assembler is None else assembler
    _check_stream(stream, AsyncIterable, "iter_updates or assemble")
    if on_update is not None:
        check_listener(on_update)
    kept = _Sinks(sinks)
    updates = _aupdates(stream, assembler, kept.join)
    waiting: deque[Update] = deque()
    unsubscribe = assembler.subscribe(waiting.append)

    async def tell() -> None:
        while waiting:
            update = waiting.popleft()
            if kept.sinks:
                await _in_thread(partial(kept, update))
            if on_update:
                await _call(on_update, update)

    try:
        await _in_thread(partial(kept.open, assembler))
        with late_listeners(assembler) as let_go:
            try:
                with _ending(assembler, is_given=is_given):
                    if kept.continuing:
                        await _in_thread(partial(kept.continue_run, assembler))
                        await tell()
                        let_go()
                    async for _ in updates:
                        await tell()
                        let_go()
            finally:
                await tell()  # what a close() told, here or a strict one before it raised
    except BaseException as error:
        _note(await _in_thread(kept.close), error)
        raise
    finally:
        unsubscribe()
    return _finished(await _in_thread(kept.close), assembler)


@contextmanager
def _ending(assembler: Assembler, *, is_given: bool) -> Iterator[None]:
    """Where a stream raises, nobody can go on with an assembler that was not given: its listeners hear the end."""
    try:
        yield
    except BaseException:
        if not is_given:
            assembler.close()
        raise


def _note(failed: list[SinkError], error: BaseException) -> None:
    """What ends a stream is raised, and hides no sink that failed."""
    for each in failed[:_MOST_NOTES]:
        error.add_note(str(each))


def _check_stream(stream: object, kind: type, others: str) -> None:
    if isinstance(stream, (str, bytes, bytearray, memoryview, Mapping)):
        advice = "for one event or answer use Assembler().feed(it), or pass [it]; for a file pass open_events(path)"
        raise UsageError(
            f"a stream is an iterable of events or of chunks of bytes, not one {type(stream).__name__}: {advice}"
        )
    if not isinstance(stream, kind):
        is_other = isinstance(stream, (Iterable, AsyncIterable))
        advice = f"use {others}" if is_other else "pass the client's stream, or response.iter_bytes()"
        raise UsageError(f"{type(stream).__name__} is no {kind.__name__.lower()} of events: {advice}")


def _unchanged(event: object) -> object:
    return event


def _updates(
    stream: Iterable[Any], assembler: Assembler, join: Callable[[object], object] = _unchanged
) -> Iterator[Update]:
    for box in read_events(stream, StreamReader(assembler.limits, load=load_decoded)):
        yield from assembler.feed(join(box.pop()))
    yield from _closed(assembler)


async def _aupdates(
    stream: AsyncIterable[Any], assembler: Assembler, join: Callable[[object], object] = _unchanged
) -> AsyncIterator[Update]:
    async for box in aread_events(stream, StreamReader(assembler.limits, load=load_decoded)):
        for update in assembler.feed(join(box.pop())):
            yield update
    for update in _closed(assembler):
        yield update


def _closed(assembler: Assembler) -> Iterator[Update]:
    told: list[Update] = []
    unsubscribe = assembler.subscribe(told.append)
    error = None
    try:
        assembler.close()
    except IncompleteStreamError as strict:
        error = strict
    finally:
        unsubscribe()
    yield from told
    if error:
        raise error


async def _in_thread(work: Callable[[], _T]) -> _T:
    """What `work` gives, done in a thread. Whoever is cancelled meanwhile waits for it, so that no two run at once."""
    from asyncio import CancelledError, ensure_future, shield, to_thread

    task = ensure_future(to_thread(work))
    cancelled: CancelledError | None = None
    while not task.done():
        try:
            await shield(task)
        except CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled
    return task.result()


async def _call(callback: Callable[[Update], object], update: Update) -> None:
    try:
        answer = callback(update)
        if isawaitable(answer):
            await answer
    except Exception:  # noqa: BLE001 - a listener is somebody else's code
        log_failure(update)


class _Sinks:
    """Several sinks as one listener that never raises: what fails is kept until the end."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        if not isinstance(sinks, Iterable) or isinstance(sinks, str):
            raise UsageError(f"sinks is a list of sinks, not {type(sinks).__name__}: sinks=[DirectorySink(folder)]")
        self.sinks = tuple(sinks)
        if strangers := [sink for sink in self.sinks if not isinstance(sink, Sink)]:
            raise UsageError(f"a sink has open and close and can be called with updates; {strangers[0]!r:.80} does not")
        self.continuing = [sink for sink in self.sinks if isinstance(sink, ContinuingSink)]
        self._opened: list[Sink] = []
        self._errors: list[SinkError] = []

    def open(self, assembler: Assembler) -> None:
        for sink in self.sinks:
            try:
                sink.open(assembler)
            except SinkError:
                raise
            except Exception as cause:
                raise _failed(sink, cause) from cause
            self._opened.append(sink)

    def continue_run(self, assembler: Assembler) -> None:
        """Feed the events of earlier runs that sinks continue."""
        for sink in self.continuing:
            for event in sink.saved_events():
                assembler.feed(event)

    def join(self, event: object) -> object:
        """Return an event of the stream, joined to the earlier runs that sinks continue."""
        for sink in self.continuing:
            event = sink.join(event)
        return event

    def __call__(self, update: Update) -> None:
        for sink in self._opened:
            self._try(sink, partial(sink, update))

    def close(self) -> list[SinkError]:
        while self._opened:
            sink = self._opened.pop(0)
            self._try(sink, sink.close)
        return self._errors

    def _try(self, sink: Sink, step: Callable[[], object]) -> None:
        try:
            step()
        except SinkError as error:
            self._errors.append(error)
        except Exception as cause:  # noqa: BLE001 - so is a sink
            _log.exception("a sink failed; the stream goes on")
            failed = _failed(sink, cause)
            failed.__cause__ = cause
            self._errors.append(failed)


def _failed(sink: Sink, cause: Exception) -> SinkError:
    return SinkError(f"{type(sink).__name__} failed: {cause}; what it kept before stays", path=None)


def _finished(errors: list[SinkError], assembler: Assembler) -> Result:
    if errors:
        raise errors[0]
    assert assembler.result is not None
    return assembler.result
