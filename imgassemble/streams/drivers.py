"""Runs a stream through an assembler, sync and async, from the first event to the end, and serves listeners and sinks.

If the program ends the reading early, the stream is closed, so that the service stops sending.
Must not know: the meaning of an event, how a stream is opened and read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from inspect import GEN_RUNNING, getgeneratorstate
from typing import TYPE_CHECKING, Any, Self, cast

from ..assembly.assembler import Assembler, stop_signal
from ..assembly.listeners import Listener, check_listener
from ..assembly.results import Result
from ..assembly.sink import Sink
from ..assembly.updates import Update
from ..errors import SinkError, UsageError
from ..frames.base64_json import load_decoded
from .ends import end_stream, leave_stream
from .open_sinks import OpenSinks
from .openings import AsyncOpening, Opening, StreamStoppedError
from .sources import StreamReader, read_events

if TYPE_CHECKING:
    from .async_drivers import AsyncUpdates  # it imports asyncio, which programs without an event loop do not need


def iter_updates(stream: Any, assembler: Assembler | None = None, *, keep_open: bool = False) -> Updates:
    """Return an iterator of the updates of a stream as they come, and of its end. It is also a context manager.

    stream: an iterable of events or of chunks of bytes, the stream of an SDK, the streamed response of an HTTP client
        (httpx, requests, urllib), a context manager of such a response, a Path, one whole answer (a mapping, a model,
        text or bytes), or a function that opens any of these. In an iterable a str is one event. A server-sent event
        that a client has split already, as an object or a mapping with `event` and `data`, counts as the event in it.
    keep_open: leave the assembler open if the stream raises or is left early, so that another stream can continue it.

    When the block ends, the stream is closed, so that the service stops sending; files that you opened stay open. An
    exception of the stream is raised after the last update. If it comes after the end of every response, it is only
    logged. Raises UsageError if `stream` is no stream, and for an assembler that was closed.

        with iter_updates(client.images.generate(..., stream=True)) as updates:
            for update in updates:
                print(update)
    """
    opening, assembler = Opening(stream), _checked(assembler)
    return Updates(opening, assembler, keep_open=keep_open)


def aiter_updates(stream: Any, assembler: Assembler | None = None, *, keep_open: bool = False) -> AsyncUpdates:
    """Return an async iterator of the same updates as `iter_updates`. It is also an async context manager.

    stream: as for `iter_updates`, but async: an async iterable or response (httpx, aiohttp), or an awaitable of one.
        A list, a path and a whole answer are accepted, too.

    `asyncio.wait_for(anext(updates), t)` loses nothing if it times out.

        async with aiter_updates(client.images.generate(..., stream=True)) as updates:
            async for update in updates:
                print(update)
    """
    from .async_drivers import AsyncRun, AsyncUpdates

    return AsyncUpdates(AsyncRun(AsyncOpening(stream), _checked(assembler), keep_open=keep_open, kept=OpenSinks(())))


def assemble(
    stream: Any,
    *,
    on_update: Listener | Iterable[Listener] | None = None,
    sinks: Iterable[Sink] = (),
    assembler: Assembler | None = None,
    keep_open: bool = False,
) -> Result:
    """Read a stream to its end and return its result; call `on_update` and store frames in `sinks` as they come.

    stream, keep_open: as for `iter_updates`. A function or a path is opened after the sinks.
    on_update: one callable or a list, called with each update, after the sinks. The stream waits while it runs. If it
        raises, that is logged, and the stream goes on.

    If the program ends the reading early (`assembler.stop()`, an interrupt), the stream is closed, and sinks and
    listeners receive its end. Raises SinkError at the end if a sink failed; its `result` is the result. Raises the
    stream's exception after the sinks are closed. Raises UsageError if `stream` is no stream, or `on_update` a
    coroutine function.

        result = assemble(Path("otter.sse"), sinks=[DirectorySink("otter")])
    """
    kept, listeners = OpenSinks(sinks), _listeners(on_update)
    opening, assembler = Opening(stream), _checked(assembler)
    subscriptions: list[Callable[[], None]] = []
    try:
        subscriptions.append(assembler.subscribe(kept))  # first, so that a callback finds its frame on disk
        subscriptions += map(assembler.subscribe, listeners)
        kept.open(assembler)
        deque(_updates(opening, assembler, keep_open=keep_open, kept=kept), maxlen=0)
    except BaseException as error:
        kept.close_after(error)
        raise
    finally:
        opening.close()
        for unsubscribe in subscriptions:
            unsubscribe()
    return _result_of(kept.close(), assembler)


async def aassemble(
    stream: Any,
    *,
    on_update: Listener | Iterable[Listener] | None = None,
    sinks: Iterable[Sink] = (),
    assembler: Assembler | None = None,
    keep_open: bool = False,
) -> Result:
    """Do the same as `assemble`, async.

    stream: as for `aiter_updates`.
    on_update: may be a coroutine function, or a list with some. Sinks run in a thread, in order.

    If the task is cancelled, sinks and listeners receive the end of the stream first, within one second; coroutine
    functions have 0.25 seconds for it, all together.
    """
    from .async_drivers import AsyncRun, drain
    from .delivery import in_thread

    kept, listeners = OpenSinks(sinks), _listeners(on_update)
    run = AsyncRun(AsyncOpening(stream), _checked(assembler), keep_open=keep_open, kept=kept)
    try:
        await drain(run, listeners)
    except BaseException as error:
        await in_thread(partial(kept.close_after, error))
        raise
    return _result_of(await in_thread(kept.close), run.assembler)


class Updates(Iterator[Update]):
    """The updates of a stream: an iterator, and a context manager that closes the stream.

    A loop that is left with `break` closes the stream too, unless a variable holds this object.
    """

    def __init__(self, opening: Opening, assembler: Assembler, *, keep_open: bool) -> None:
        self._assembler = assembler
        self._run = _updates(opening, assembler, keep_open=keep_open, kept=OpenSinks(()))
        next(self._run)  # to its beginning, from where `close` runs to its end

    def __next__(self) -> Update:
        """Return the next update."""
        return cast("Update", next(self._run))

    def close(self) -> None:
        """End the reading, close the stream, and unless it is kept open the assembler. A second call changes nothing.

        In a listener, or in another thread than the reader's, it does the same as `assembler.stop()`.
        """
        if getgeneratorstate(self._run) == GEN_RUNNING:
            self._assembler.stop("the program closed the stream")
        else:
            self._run.close()

    def __enter__(self) -> Self:
        """Return the iterator."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the stream."""
        self.close()


def _checked(assembler: Assembler | None) -> Assembler:
    """Return the assembler to feed. Raises UsageError if it is none, or was closed."""
    if assembler is None:
        return Assembler()
    if not isinstance(assembler, Assembler):
        raise UsageError(f"assembler is an Assembler, not {type(assembler).__name__}")
    if assembler.result is not None:
        raise UsageError("the stream was closed: make a new Assembler for another stream")
    return assembler


def _listeners(on_update: Listener | Iterable[Listener] | None) -> list[Listener]:
    """Return the listeners in `on_update`, one or several."""
    if on_update is None:
        return []
    listeners: list[Any] = list(on_update) if isinstance(on_update, (list, tuple)) else [on_update]
    for listener in listeners:
        check_listener(listener)
    return listeners


def _updates(opening: Opening, assembler: Assembler, *, keep_open: bool, kept: OpenSinks) -> Generator[Update | None]:
    """Yield None, and then the updates of a stream and of its end."""
    error: Exception | None = None
    try:
        yield None  # from here on, closing the generator ends the stream
        with stop_signal(assembler).interrupting(opening.interrupt):
            kept.continue_run(assembler)
            for box in read_events(opening, StreamReader(assembler.limits, load=load_decoded)):
                yield from assembler.feed(kept.join(box.pop()))
                if assembler.is_stopped:
                    break
    except StreamStoppedError:
        pass
    except Exception as raised:  # noqa: BLE001 - it is raised below, after the end of the stream
        error = raised
    except BaseException as leaving:
        opening.close()
        leave_stream(assembler, leaving, keep_open=keep_open)
        raise
    opening.close()
    updates, error = end_stream(assembler, error, keep_open=keep_open)
    yield from updates
    if error is not None:
        try:
            raise error
        finally:
            del error  # its traceback has this frame


def _result_of(errors: list[SinkError], assembler: Assembler) -> Result:
    assert assembler.result is not None
    if errors:
        errors[0].result = assembler.result
        raise errors[0]
    return assembler.result
