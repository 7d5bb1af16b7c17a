"""Runs a stream through an assembler, sync and async, from the first event to the end, and serves listeners and sinks.

Must not know: the meaning of an event.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar

from ..assembly.assembler import Assembler, check_listener, late_listeners
from ..assembly.listeners import FailureLog
from ..assembly.results import Result
from ..assembly.sink import ContinuingSink, Sink
from ..assembly.updates import Update
from ..errors import IncompleteStreamError, SinkError, UsageError
from ..frames.base64_json import load_decoded
from .sources import StreamReader, aread_events, read_events

_T = TypeVar("_T")
_MOST_NOTES = 3  # a reader reads the first

_log = logging.getLogger("imgassemble")


def iter_updates(stream: Iterable[Any], assembler: Assembler | None = None) -> Iterator[Update]:
    """Return an iterator of the updates of a stream as they come, and of its end.

    stream: an iterable of events, or of the bytes of a body (`response.iter_bytes()`, a file). A str is one event. A
        server-sent event that a client has split already, as an object or a mapping with `event` and `data`, counts as
        the event in it.

    An exception of the stream is raised; a given `assembler` then stays open, so that a resumed stream can continue.
    Raises UsageError if `stream` is no stream of events.

        for update in iter_updates(client.images.generate(..., stream=True)):
            print(update)
    """
    _check_stream(stream, Iterable, "aiter_updates or aassemble")
    return _updates(stream, Assembler() if assembler is None else assembler)


def aiter_updates(stream: AsyncIterable[Any], assembler: Assembler | None = None) -> AsyncIterator[Update]:
    """Return an async iterator of the same updates as `iter_updates`, from an async iterable."""
    _check_stream(stream, AsyncIterable, "iter_updates or assemble")
    return _aupdates(stream, Assembler() if assembler is None else assembler)


def assemble(
    stream: Iterable[Any],
    *,
    on_update: Callable[[Update], object] | None = None,
    sinks: Iterable[Sink] = (),
    assembler: Assembler | None = None,
) -> Result:
    """Read a stream to its end and return its result; call `on_update` and store frames in `sinks` as they come.

    stream: as for `iter_updates`.
    on_update: called with each update, after the sinks. The stream waits while it runs. If it raises, that is logged,
        and the stream goes on.

    Raises SinkError at the end if a sink failed. Raises the stream's exception after the sinks are closed; listeners
    then have received the end of the stream, but a given `assembler` stays open, so that a resumed stream can
    continue. Raises UsageError if `stream` is no stream, or `on_update` a coroutine function.

        result = assemble(open_events("otter.sse"), sinks=[DirectorySink("otter")])
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
        with _closing_on_error(assembler, is_given=is_given):
            kept.continue_run(assembler)
            deque(updates, maxlen=0)
    except BaseException as error:
        _add_notes(kept.close(), error)
        raise
    finally:
        for unsubscribe in subscriptions:
            unsubscribe()
    return _result_of(kept.close(), assembler)


async def aassemble(
    stream: AsyncIterable[Any],
    *,
    on_update: Callable[[Update], object] | None = None,
    sinks: Iterable[Sink] = (),
    assembler: Assembler | None = None,
) -> Result:
    """Do the same as `assemble`, async. `on_update` may be a coroutine function; sinks run in a thread, in order."""
    is_given, assembler = assembler is not None, Assembler() if assembler is None else assembler
    _check_stream(stream, AsyncIterable, "iter_updates or assemble")
    if on_update is not None:
        check_listener(on_update)
    kept = _Sinks(sinks)
    updates = _aupdates(stream, assembler, kept.join)
    waiting: deque[Update] = deque()
    failures = FailureLog()
    unsubscribe = assembler.subscribe(waiting.append)

    async def pass_on() -> None:
        while waiting:
            update = waiting.popleft()
            if kept.sinks:
                await _in_thread(partial(kept, update))
            if on_update:
                await _call(on_update, update, failures)

    try:
        await _in_thread(partial(kept.open, assembler))
        with late_listeners(assembler) as discard_pending:
            try:
                with _closing_on_error(assembler, is_given=is_given):
                    if kept.continuing:
                        await _in_thread(partial(kept.continue_run, assembler))
                        await pass_on()
                        discard_pending()
                    async for _ in updates:
                        await pass_on()
                        discard_pending()
            finally:
                await pass_on()  # also the updates of close(), and those of a strict one before it raised
    except BaseException as error:
        _add_notes(await _in_thread(kept.close), error)
        raise
    finally:
        unsubscribe()
    return _result_of(await _in_thread(kept.close), assembler)


@contextmanager
def _closing_on_error(assembler: Assembler, *, is_given: bool) -> Iterator[None]:
    """If the stream raises, close an assembler that was not given: no other stream can continue it."""
    try:
        yield
    except BaseException:
        if not is_given:
            assembler.close()
        raise


def _add_notes(failed: list[SinkError], error: BaseException) -> None:
    """Name the sinks that failed in the notes of the exception that ends the stream."""
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
    yield from _closing_updates(assembler)


async def _aupdates(
    stream: AsyncIterable[Any], assembler: Assembler, join: Callable[[object], object] = _unchanged
) -> AsyncIterator[Update]:
    async for box in aread_events(stream, StreamReader(assembler.limits, load=load_decoded)):
        for update in assembler.feed(join(box.pop())):
            yield update
    for update in _closing_updates(assembler):
        yield update


def _closing_updates(assembler: Assembler) -> Iterator[Update]:
    updates: list[Update] = []
    unsubscribe = assembler.subscribe(updates.append)
    error = None
    try:
        assembler.close()
    except IncompleteStreamError as strict:
        error = strict
    finally:
        unsubscribe()
    yield from updates
    if error:
        raise error


async def _in_thread(work: Callable[[], _T]) -> _T:
    """Run `work` in a thread and return its result. A cancelled caller waits for it, so that two never run at once."""
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


async def _call(callback: Callable[[Update], object], update: Update, failures: FailureLog) -> None:
    try:
        answer = callback(update)
        if isawaitable(answer):
            await answer
    except Exception:  # noqa: BLE001 - a listener can raise anything
        failures.add(callback, update)


class _Sinks:
    """Several sinks as one listener that never raises: errors are kept until the end."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        if not isinstance(sinks, Iterable) or isinstance(sinks, str):
            raise UsageError(f"sinks is a list of sinks, not {type(sinks).__name__}: sinks=[DirectorySink(folder)]")
        self.sinks = tuple(sinks)
        if invalid := [sink for sink in self.sinks if not isinstance(sink, Sink)]:
            raise UsageError(f"a sink has open and close and can be called with updates; {invalid[0]!r:.80} does not")
        self.continuing = [sink for sink in self.sinks if isinstance(sink, ContinuingSink)]
        self._opened: list[Sink] = []
        self._errors: list[SinkError] = []

    def open(self, assembler: Assembler) -> None:
        for sink in self.sinks:
            try:
                sink.open(assembler)
            except (SinkError, UsageError):
                raise
            except Exception as cause:
                raise _sink_failure(sink, cause) from cause
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
        except Exception as cause:  # noqa: BLE001 - a sink can raise anything, too
            _log.exception("a sink failed; the stream goes on")
            failed = _sink_failure(sink, cause)
            failed.__cause__ = cause
            self._errors.append(failed)


def _sink_failure(sink: Sink, cause: Exception) -> SinkError:
    return SinkError(f"{type(sink).__name__} failed: {cause}; the frames that it stored before stay", path=None)


def _result_of(errors: list[SinkError], assembler: Assembler) -> Result:
    if errors:
        errors[0].result = assembler.result
        raise errors[0]
    assert assembler.result is not None
    return assembler.result
