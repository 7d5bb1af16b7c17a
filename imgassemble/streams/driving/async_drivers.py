"""Runs an async stream through an assembler, as `drivers` does with sync ones.

Must not know: the meaning of an event, how a stream is opened and read.
"""

from __future__ import annotations

from asyncio import CancelledError, Task, create_task
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Self

from ...assembly.assembler import Assembler, late_listeners, stop_signal
from ...assembly.listeners import Listener
from ...assembly.results import Result
from ...assembly.sink import Sink
from ...assembly.updates import Update
from ...errors import UsageError
from ...frames.base64_json import load_decoded
from ..fetching.async_links import AsyncLinks
from ..fetching.links import Fetch
from ..opening.openings import AsyncOpening, StreamStoppedError
from ..opening.pump import END, DirectReader, Pump
from ..sources import StreamReader
from .delivery import Delivery, in_thread, uninterrupted
from .driver_arguments import checked_assembler, checked_listeners
from .ends import end_stream, leave_stream
from .open_sinks import OpenSinks


def aiter_updates(
    stream: Any, assembler: Assembler | None = None, *, fetch: Fetch | None = None, keep_open: bool = False
) -> AsyncUpdates:
    """Return an async iterator of the same updates as `iter_updates`. It is also an async context manager.

    stream: as for `iter_updates`, but async: an async iterable or response (httpx, aiohttp), or an awaitable of one.
        A list, a path and a whole answer are accepted, too.
    assembler, keep_open: as for `iter_updates`.
    fetch: as for `iter_updates`; it may be async. Another function runs in a thread.

    `asyncio.wait_for(anext(updates), t)` loses nothing if it times out.
    Raises as `iter_updates` does, and UsageError for a stream that would block the event loop.

        async with aiter_updates(client.images.generate(..., stream=True)) as updates:
            async for update in updates:
                print(update)
    """
    kept = OpenSinks(())
    return AsyncUpdates(
        AsyncRun(AsyncOpening(stream), checked_assembler(assembler), fetch, keep_open=keep_open, kept=kept)
    )


async def aassemble(
    stream: Any,
    *,
    on_update: Listener | Iterable[Listener] | None = None,
    sinks: Iterable[Sink] = (),
    assembler: Assembler | None = None,
    fetch: Fetch | None = None,
    keep_open: bool = False,
) -> Result:
    """Read a stream to its end and return its result, like `assemble`, without blocking the event loop.

    stream, fetch: as for `aiter_updates`.
    on_update: may be a coroutine function, or a list with some. Sinks run in a thread, in order.
    sinks, assembler, keep_open: as for `assemble`.

    If the task is cancelled, sinks and listeners receive the end of the stream first, within one second; coroutine
    functions have 0.25 seconds for it, all together. Raises as `assemble` does, and UsageError for a stream that would
    block the event loop.

        result = await aassemble(client.images.generate(..., stream=True), on_update=show)
    """
    kept, listeners = OpenSinks(sinks), checked_listeners(on_update)
    run = AsyncRun(AsyncOpening(stream), checked_assembler(assembler), fetch, keep_open=keep_open, kept=kept)
    try:
        await _drain(run, listeners)
    except BaseException as error:
        await in_thread(partial(kept.close_after, error))
        raise
    return await in_thread(partial(kept.finish, run.assembler))


_closing: set[Task[None]] = set()  # a loop alone does not keep its tasks


class AsyncRun:
    """Reads an async stream, and feeds its events."""

    def __init__(
        self, opening: AsyncOpening, assembler: Assembler, fetch: Fetch | None, *, keep_open: bool, kept: OpenSinks
    ) -> None:
        self.assembler = assembler
        self.kept = kept
        self._links = AsyncLinks(assembler, fetch)
        self._opening, self._keep_open = opening, keep_open
        self._source: Pump | DirectReader | None = None
        self._reader = StreamReader(assembler.limits, load=load_decoded)
        self._boxes: Iterator[list[Any]] = iter(())  # the events that were read and not yet fed
        self._is_read = self._is_over = False  # the stream has ended; its last updates were returned
        self._error: Exception | None = None  # raised after them
        self._registered = ExitStack()

    async def feed_all(self, deliver: Callable[[], Awaitable[None]]) -> None:
        """Feed each event, and call `deliver` after it. `advance` then returns the updates of the end."""

        async def work() -> None:
            while await self._feed_next() is not None:
                await deliver()

        reader = DirectReader(self._opening, work)
        self._use(reader)
        await reader.wait()

    async def advance(self) -> Iterable[Update] | None:
        """Feed events until one causes updates, and return them, or those of the end. Return None after the end.

        A cancelled call loses nothing. Raises the exception of the stream after its end.
        """
        if self._is_over:
            error, self._error = self._error, None
            if error is not None:
                raise error
            return None
        if self._source is None:
            self._use(Pump(self._opening))
        while (updates := await self._feed_next()) is not None:
            if updates:
                return updates
        await self.aclose()
        self._is_over = True
        self._registered.close()
        of_end, self._error = end_stream(self.assembler, self._error, keep_open=self._keep_open)
        return of_end

    def _use(self, source: Pump | DirectReader) -> None:
        self._source = source
        self._registered.enter_context(stop_signal(self.assembler).interrupting(source.interrupt))

    async def _feed_next(self) -> tuple[Update, ...] | None:
        """Feed the next event, or the picture of a link, and return its updates. Return None after the last."""
        links, assembler = self._links, self.assembler
        try:
            if links.waiting:
                return await links.next_updates()
            if (box := next(self._boxes, None)) is None:
                box = await self._next_box()
            if box is not None and not assembler.is_stopped:
                updates = assembler.feed(self.kept.join(box.pop()) if self.kept.continuing else box.pop())
                links.find()
                return updates
            if self._error is None and not assembler.is_stopped:
                links.find_last()
            if links.waiting:
                return await links.next_updates()
        except StreamStoppedError:
            pass
        except Exception as error:  # noqa: BLE001 - it is raised after the updates of the end
            self._error = error
        self._boxes, self._is_read = iter(()), True
        return None

    async def _next_box(self) -> list[Any] | None:
        """Read on, and return the next event in a list of one; None after the last."""
        assert self._source is not None
        while not self._is_read:
            try:
                element = await self._source.next()
            except Exception as error:  # noqa: BLE001 - as above
                self._boxes, self._is_read, self._error = self._reader.finish(is_cut=True), True, error
            else:
                self._is_read = element is END
                self._boxes = iter(self._reader.finish() if self._is_read else self._reader.take(element))
                del element
            if (box := next(self._boxes, None)) is not None:
                return box
        return None

    def leave(self, error: BaseException) -> None:
        """End the reading early, and close the assembler, unless it is kept open."""
        if self._is_over:
            return
        self._is_over = self._is_read = True
        self._registered.close()
        self._links.cancel()
        if self._source is not None:
            self._source.interrupt()
        leave_stream(self.assembler, error, keep_open=self._keep_open)

    async def aclose(self) -> None:
        """Close the stream."""
        await (self._opening if self._source is None else self._source).aclose()

    def abandon(self) -> None:
        """End the reading early, and close the stream as soon as its loop can do it."""
        self.leave(GeneratorExit())
        if self._source is None:
            with suppress(RuntimeError):  # no loop is running: nothing of the stream was opened here
                task = create_task(self._opening.aclose())
                _closing.add(task)
                task.add_done_callback(_closing.discard)


class AsyncUpdates(AsyncIterator[Update]):
    """The updates of a stream: an async iterator, and an async context manager that closes the stream."""

    def __init__(self, run: AsyncRun) -> None:
        self._run = run
        self._waiting: deque[Update] = deque()
        self._is_asked = False

    async def __anext__(self) -> Update:
        """Return the next update. If it is cancelled, the next call returns the same update."""
        if self._is_asked:
            raise UsageError("two tasks read one stream at the same moment: give each task its own stream")
        self._is_asked = True
        try:
            while not self._waiting:  # the end can cause no updates
                if (updates := await self._run.advance()) is None:
                    raise StopAsyncIteration
                self._waiting.extend(updates)
        finally:
            self._is_asked = False
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """End the reading, and close the stream. The assembler is closed unless it is kept open."""
        self._waiting.clear()
        self._run.leave(GeneratorExit())
        await self._run.aclose()

    async def __aenter__(self) -> Self:
        """Return the iterator."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the stream."""
        await self.aclose()

    def __del__(self) -> None:
        self._run.abandon()


async def _deliver_all(run: AsyncRun, delivery: Delivery) -> None:
    """Run a stream to its end, and deliver each update."""
    unsubscribe = run.assembler.subscribe(delivery)
    try:
        with late_listeners(run.assembler) as discard_pending:

            async def deliver() -> None:
                if delivery.is_waiting:
                    await delivery.deliver()
                discard_pending()

            try:
                if run.kept.continuing:
                    await in_thread(partial(run.kept.continue_run, run.assembler))
                    await deliver()
                await run.feed_all(deliver)
                while await run.advance() is not None:
                    await deliver()
            except BaseException as error:
                run.leave(error)
                await delivery.deliver_end(is_cancelled=not isinstance(error, Exception))
                raise
    finally:
        unsubscribe()


async def _drain(run: AsyncRun, listeners: list[Listener]) -> None:
    """Open the sinks, run a stream to its end, and call sinks and listeners with each update. Close the stream."""
    try:
        await in_thread(partial(run.kept.open, run.assembler))
        await _deliver_all(run, Delivery(run.kept, listeners))
    except BaseException:
        with suppress(CancelledError):  # the exception that is raised now comes first
            await uninterrupted(run.aclose())
        raise
