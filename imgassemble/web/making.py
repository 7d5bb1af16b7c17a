"""Make a stream of a gallery: go on where an earlier producer stopped, and let other processes stop it.

Must not know: where a gallery keeps its streams, viewers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, closing, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from ..assembly.assembler import Assembler
from ..assembly.items import Cursor
from ..assembly.listeners import Listener
from ..assembly.results import Result
from ..assembly.sink import Sink
from ..errors import IncompleteStreamError, SinkError, StreamTakenError, UsageError, clean, quoted
from ..storage.earlier_run import EarlierRun
from ..streams.driving.async_drivers import aassemble
from ..streams.driving.delivery import uninterrupted
from ..streams.driving.driver_arguments import checked_assembler
from ..streams.driving.drivers import assemble
from ..streams.fetching.links import Fetch
from ..streams.own_thread import in_own_thread
from ..streams.resuming.async_resume import aresuming
from ..streams.resuming.patience import Patience, is_temporary
from ..streams.resuming.resume import USUAL_PATIENCE, OpenStream, check_arguments, resuming
from .production import EarlierStream, Production, StoringWait

_log = logging.getLogger("imgassemble")
_T = TypeVar("_T")

_THREAD = "imgassemble-making"  # each call has its own: a loop has few, and a server that hangs would hold them all
_FINISHING_S = 30.0  # for viewers to get everything, before the result is returned
_LEAVING_S = 0.5  # the same if the program is interrupted; the sending goes on in the background


class Making:
    """The making of one stream, by one producer at a time. `gallery.produce(name)` returns it, for a `with` block.

        with gallery.produce("otter") as making:
            result = making.assemble(open_stream)

    Entering the block takes the stream. It raises StreamTakenError if another producer has it, and
    IncompleteStreamError if an earlier producer has stopped at a place where the stream cannot go on: its service gave
    no response id. Then nothing is asked for again; `gallery.remove(name)` comes first to begin again. Leaving the
    block gives the stream up. An event loop uses `async with` and `aassemble`.
    """

    def __init__(self, production: Production) -> None:
        self._production = production
        self._earlier: EarlierStream | None = None
        self._position = Cursor()
        self._is_other_stream = False

    @property
    def name(self) -> str:
        """The name of the stream in the gallery."""
        return self._production.name

    def __enter__(self) -> Self:
        """Take the stream."""
        earlier = self._production.claim()
        if not earlier.can_go_on:
            self._production.release()
            raise IncompleteStreamError(
                f"the stream {clean(self.name, 60)!r} had begun, its producer has stopped, and its service gave no "
                "response id with which it could go on; nothing is asked for again: remove() the stream first to "
                "begin again"
            )
        self._earlier, self._position = earlier, earlier.cursor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the stream up."""
        self._earlier = None
        self._production.release()

    async def __aenter__(self) -> Self:
        """Take the stream, without blocking the event loop."""
        try:
            return await _in_thread(self.__enter__)
        except BaseException:
            await _in_thread(self._production.release)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the stream up, without blocking the event loop."""
        self._earlier = None
        await _in_thread(self._production.release)

    def assemble(
        self,
        open_stream: OpenStream,
        *,
        on_update: Listener | Iterable[Listener] | None = None,
        sinks: Iterable[Sink] = (),
        assembler: Assembler | None = None,
        fetch: Fetch | None = None,
        patience: Patience = USUAL_PATIENCE,
        may_retry: Callable[[Exception], bool] = is_temporary,
    ) -> Result:
        """Read the stream to its end, show it in the gallery, and return its result.

        open_stream, patience, may_retry: as for `resuming`. open_stream gets an empty cursor only if no producer of
            this stream has received a response id; later cursors name the place at which the stream goes on.
        on_update, sinks, assembler, fetch: as for `assemble`. Items that earlier producers have left come first.

        The response id is stored before the next event is read, so that no image is asked for twice. A stream that
        has ended before, also by a failure of its service, is not opened: its result is returned, without previews.
        Raises what `assemble` raises; StreamTakenError if another producer takes the stream over; SinkError if viewers
        of other processes may not see all of it. Both have the `result`.
        """
        assembler = self._begin(open_stream, assembler, patience, "assemble")
        resumed = partial(
            resuming, open_stream, since=self._since, patience=patience, limits=assembler.limits, may_retry=may_retry
        )
        try:
            result = assemble(
                self._events(resumed, assembler), on_update=on_update, sinks=sinks, assembler=assembler, fetch=fetch
            )
        except BaseException as error:
            self._finish_after(error, assembler)
            raise
        self._production.finish(assembler, _FINISHING_S)
        return result

    async def aassemble(
        self,
        open_stream: OpenStream,
        *,
        on_update: Listener | Iterable[Listener] | None = None,
        sinks: Iterable[Sink] = (),
        assembler: Assembler | None = None,
        fetch: Fetch | None = None,
        patience: Patience = USUAL_PATIENCE,
        may_retry: Callable[[Exception], bool] = is_temporary,
    ) -> Result:
        """Do the same as `assemble`, async: open_stream is as for `aresuming`, the others as for `aassemble`."""
        assembler = self._begin(open_stream, assembler, patience, "aassemble")
        resumed = partial(
            aresuming, open_stream, since=self._since, patience=patience, limits=assembler.limits, may_retry=may_retry
        )
        try:
            result = await aassemble(
                self._aevents(resumed, assembler), on_update=on_update, sinks=sinks, assembler=assembler, fetch=fetch
            )
        except BaseException as error:
            await self._finished(partial(self._finish_after, error, assembler))
            raise
        await self._finished(partial(self._production.finish, assembler, _FINISHING_S))
        return result

    def _begin(
        self, open_stream: OpenStream, assembler: Assembler | None, patience: Patience, method: str
    ) -> Assembler:
        if self._earlier is None:
            raise UsageError(
                f"a stream is made once, in its block: with gallery.produce(name) as making: making.{method}(…)"
            )
        check_arguments(open_stream, None, patience, None, f"making.{method}")
        return checked_assembler(assembler)

    @property
    def _since(self) -> Cursor | None:
        return None if self._position == Cursor() else self._position

    def _earlier_events(self, run: EarlierRun, assembler: Assembler) -> Iterator[Any]:
        """Yield the events of earlier producers, so that the stream can go on."""
        yield from run.events()
        response_id = self._position.response_id
        if response_id is not None and assembler.cursor.response_id != response_id:  # no picture of it has come
            yield {"type": "response.created", "response": {"id": response_id}}

    def _joined(self, event: object, run: EarlierRun, assembler: Assembler) -> object:
        """Return an event of the stream, joined to the earlier ones. Logs once if it is of another stream."""
        joined = run.join(event, assembler)
        if run.contradiction and not self._is_other_stream:
            self._is_other_stream = True
            _log.warning(
                "the stream %s goes on with another stream: %s; if open_stream asks for the image again, it is paid "
                "for twice: open the response of the cursor",
                quoted(self.name), run.contradiction,
            )  # fmt: skip
        return joined

    def _events(self, resumed: Callable[[], Iterator[Any]], assembler: Assembler) -> Iterator[Any]:
        """Yield the events of earlier producers, and then those of the stream. Note the position after each."""
        earlier, self._earlier = cast("EarlierStream", self._earlier), None
        if earlier.is_over:
            yield from earlier.all_events()
            return
        run = EarlierRun(earlier.items, drops_partials=True, response_id=self._position.response_id)
        yield from self._earlier_events(run, assembler)
        self._production.show(assembler)
        if assembler.is_stopped:
            return
        with closing(cast("Any", resumed())) as events:
            while box := list(islice(events, 1)):
                yield self._joined(box.pop(), run, assembler)
                if storing := self._noted(assembler):
                    storing.wait()
        if not assembler.is_stopped:
            self._production.note_end()

    async def _aevents(self, resumed: Callable[[], AsyncIterator[Any]], assembler: Assembler) -> AsyncIterator[Any]:
        """Do the same as `_events`, async."""
        earlier, self._earlier = cast("EarlierStream", self._earlier), None
        if earlier.is_over:
            for event in earlier.all_events():
                yield event
            return
        run = EarlierRun(earlier.items, drops_partials=True, response_id=self._position.response_id)
        for event in self._earlier_events(run, assembler):
            yield event
        self._production.show(assembler)
        if assembler.is_stopped:
            return
        async with aclosing(cast("Any", resumed())) as events:
            async for event in events:
                box = [event]
                del event  # it can hold a picture
                yield self._joined(box.pop(), run, assembler)
                if storing := self._noted(assembler):
                    try:
                        await in_own_thread(storing.wait, _THREAD)
                    finally:
                        storing.interrupt()
        if not assembler.is_stopped:
            self._production.note_end()

    async def _finished(self, finish: Callable[[], None]) -> None:
        """Call `finish` in a thread. If the task is cancelled, viewers are waited for no longer."""
        finishing = asyncio.ensure_future(in_own_thread(finish, _THREAD))
        try:
            await asyncio.shield(finishing)
        except asyncio.CancelledError:
            self._production.leave()
            with suppress(SinkError, StreamTakenError):
                await finishing
            raise

    def _finish_after(self, error: BaseException, assembler: Assembler) -> None:
        """Finish after the exception that ended the stream. Raises StreamTakenError in its place."""
        try:
            self._production.finish(assembler, _FINISHING_S if isinstance(error, Exception) else _LEAVING_S)
        except SinkError as failed:
            error.add_note(str(failed))

    def _noted(self, assembler: Assembler) -> StoringWait | None:
        """Note the position after an event that was fed. A known response id is never replaced by None."""
        position, before = assembler.cursor, self._position
        if position.response_id in (None, before.response_id):
            number = before.sequence_number if position.sequence_number is None else position.sequence_number
            position = replace(before, sequence_number=number)
        self._position = position
        return self._production.note(position, is_over=assembler.is_over)


async def _in_thread(work: Callable[[], _T]) -> _T:
    """Run `work` in a thread and return its result. A cancelled caller waits for it."""
    return await uninterrupted(in_own_thread(work, _THREAD))
