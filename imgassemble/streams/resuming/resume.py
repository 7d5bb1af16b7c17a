"""Makes one uninterrupted stream of events over cuts: opens the stream again and continues at the place of the cut.

A service is never asked for the same image twice: if there is no position to resume from, the error is raised.
Must not know: HTTP, which client opens the stream, how the events are used.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from inspect import isasyncgenfunction
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX, Semaphore, Thread
from typing import Any, NamedTuple

from ...arguments import is_async_function
from ...assembly.items import Cursor
from ...errors import UsageError
from ...limits import Limits, check_limits
from ..opening.closing import Interruptible
from ..opening.openings import Opening
from ..sources import StreamReader
from .patience import Patience, Retries, SilenceError, is_temporary
from .position import Arrival, Phase, StreamPosition

_log = logging.getLogger("imgassemble")

USUAL_PATIENCE = Patience()
_CLOSING_S = 0.1  # for the thread of a connection to end; one that waits for its socket needs a millisecond
_LONGEST_WAIT_S = 0.2 if sys.platform == "win32" else TIMEOUT_MAX  # there, Ctrl-C does not end the wait for a queue

OpenStream = Callable[[Cursor], Any]  # opens any stream that the drivers accept


def resuming(
    open_stream: OpenStream,
    *,
    since: Cursor | None = None,
    patience: Patience = USUAL_PATIENCE,
    limits: Limits | None = None,
    may_retry: Callable[[Exception], bool] = is_temporary,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] | None = None,
    chance: Callable[[], float] = random.random,
) -> Iterator[Any]:
    """Return an iterator of the events of a stream over cuts, for `assemble` as if the stream had never been cut.

    open_stream: called with a Cursor, it opens the stream after that event and returns it, in any form that `assemble`
        accepts: the client's stream or response, a context manager of one, a generator of events or bytes. The first
        cursor is `since`, or empty: it asks for the image. Later cursors have the `response_id` of the response that
        came last, the `sequence_number` up to which nothing of it is missing, and the `last_event_id` of server-sent
        events that have one. If the service sends more than that, even from the start, events that came before are
        dropped as far as their ids or numbers tell; the assembler drops other repeats.
    since: the position at which another reader of the stream stopped, its `assembler.cursor`.
    patience: how often and how long to try.
    limits: for the events that are read from bytes, as for `open_events`.
    may_retry: returns whether an exception of the client is temporary. The default accepts a broken connection, and
        the HTTP states 408, 409, 425, 429, 500, 502, 503 and 504.
    clock: returns seconds, as `time.monotonic` does.
    sleep: waits for a number of seconds before a retry; None: a wait that ends when the stream is closed.
    chance: returns a number from 0 to 1 for the random half of each wait.

    A stream has ended if it says so, or stops after the result of an image. After an `error` it is not opened again.
    An exception after the end of every response is logged, and ends the stream normally.

    Each connection is opened, read and closed in a thread of its own, in a copy of the caller's context. A wait ends at
    once with a KeyboardInterrupt, and when the stream is closed or stopped. A client that waits for its socket then
    ends too; turn off its own retries, because they would ask for the image again.

    Raises UsageError for a wrong argument. The iterator raises the client's exception if it is not temporary, or if
    there is no position to resume from. It raises IncompleteStreamError if the stream is given up, or breaks after the
    first of its images without a name: its sentence names the reason, and its cause is the last error.

        result = assemble(resuming(lambda cursor: client.open(after=cursor.sequence_number)))
    """
    check_arguments(open_stream, since, patience, limits, "resuming")
    if is_async_function(open_stream) or isasyncgenfunction(open_stream):
        raise UsageError("open_stream is async: use aresuming")
    return _resume(open_stream, since, Retries(patience, may_retry, clock, chance), limits, sleep)


def check_arguments(open_stream: object, since: object, patience: object, limits: object, name: str) -> None:
    """Raise UsageError for a wrong argument of the function `name`."""
    if not callable(open_stream):
        raise UsageError(
            f"open_stream is a function that opens the stream after a Cursor, not {type(open_stream).__name__}: "
            f"{name}(lambda cursor: client.open(after=cursor.sequence_number))"
        )
    if since is not None and not isinstance(since, Cursor):
        raise UsageError(f"since is a Cursor, as assembler.cursor, not {type(since).__name__}")
    if not isinstance(patience, Patience):
        raise UsageError(f"patience is a Patience, not {type(patience).__name__}: patience=Patience(silence_s=60)")
    check_limits(limits)


def _resume(
    open_stream: OpenStream,
    since: Cursor | None,
    retries: Retries,
    limits: Limits | None,
    sleep: Callable[[float], object] | None,
) -> Iterator[Any]:
    position, waits = StreamPosition(since), _Waits()
    sleep = sleep or waits.pause
    retries.begin()
    while True:
        position.reopen()
        cut: Exception | None = None
        reader = StreamReader(limits)
        pieces = _ThreadedReader(open_stream, position.cursor)
        try:
            pieces.start()
            while (box := [waits.next_piece(pieces, retries.time_left_s())])[0] is not _END:
                for new in new_events(reader.take(box.pop()), reader, position, retries):
                    yield new.pop()
            position.end_if(is_done=reader.is_done)
            for new in new_events(reader.finish(is_cut=position.can_go_on), reader, position, retries):
                yield new.pop()
        except Exception as error:  # noqa: BLE001 - a client can raise anything; it is examined below
            cut = error
        finally:
            pieces.close()
        if waits.are_over or is_whole(position, cut):
            return
        try:
            wait_s = retries.wait_s_after(cut, position)
        except Exception:
            for new in new_events(reader.finish(is_cut=True), reader, position, retries):
                yield new.pop()
            raise
        sleep(wait_s)


def new_events(
    boxes: Iterable[list[Any]], reader: StreamReader, position: StreamPosition, retries: Retries
) -> Iterator[list[Any]]:
    """Yield the events that did not come before the stream was opened again, each in a list of one.

    Progress resets the retries.
    """
    for box in boxes:
        arrival = position.receive(box[0], reader.last_event_id)
        if arrival is Arrival.PROGRESS:
            retries.reset()
        if arrival is not Arrival.REPEAT:
            yield box


def is_whole(position: StreamPosition, cut: Exception | None) -> bool:
    """Return whether the stream is complete; or it ended, and there is no way to ask for more."""
    if position.phase is Phase.OVER:
        if cut is not None:
            _log.warning("the stream broke after its end, which changes nothing: %s", type(cut).__name__)
        return True
    return cut is None and (position.may_end_here or not position.can_go_on)


_END = object()


class _Piece(NamedTuple):
    """An element of a stream that a thread has read, or `_END`, or the exception that ended the stream."""

    element: Any
    error: BaseException | None = None


class _Waits(Interruptible):
    """Waits for the next piece, and between two connections. After `interrupt`, each wait ends at once.

    A signal handler can interrupt the wait of its own thread, because `SimpleQueue.put` can be called inside `get`.
    """

    def __init__(self) -> None:
        self.are_over = False
        self._pieces: SimpleQueue[_Piece] = SimpleQueue()

    def pause(self, seconds: float) -> None:
        """Wait for `seconds`."""
        self._pieces = SimpleQueue()
        with suppress(SilenceError):
            self._get(seconds)

    def next_piece(self, reader: _ThreadedReader, seconds: float | None) -> Any:
        """Return the next piece, or `_END`. Raises SilenceError if none comes in time."""
        if seconds == 0:  # the time is over, even if a piece is available
            raise SilenceError
        self._pieces = reader.pieces
        reader.ask()
        piece, error = self._get(TIMEOUT_MAX if seconds is None else seconds)
        if error is not None:
            raise error
        return piece

    def _get(self, seconds: float) -> _Piece:
        ends_at = time.monotonic() + seconds
        while not self.are_over:
            left_s = ends_at - time.monotonic()
            try:
                return self._pieces.get(timeout=max(0.0, min(left_s, _LONGEST_WAIT_S)))
            except Empty:
                if left_s <= _LONGEST_WAIT_S:
                    raise SilenceError from None
        return _Piece(_END)

    def interrupt(self) -> None:
        self.are_over = True
        self._pieces.put(_Piece(_END))


class _ThreadedReader:
    """Reads one connection in a thread of its own, so that waiting for its next piece can have a limit.

    The thread opens, reads and closes the stream: most clients cannot be closed by one thread while another one reads.
    It reads a piece when it is asked for one.
    """

    def __init__(self, open_stream: OpenStream, cursor: Cursor) -> None:
        self.pieces: SimpleQueue[_Piece] = SimpleQueue()
        self._opening = Opening(partial(open_stream, cursor), async_twin="aresuming")
        self._questions = Semaphore(0)
        self._is_closed = False
        self._thread = Thread(target=copy_context().run, args=(self._read,), name="imgassemble-resume", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask(self) -> None:
        """Let the thread read a piece, and put it into `pieces`."""
        self._questions.release()

    def close(self) -> None:
        """End the reading, and wait a moment for the thread. If it still waits, close the stream in a third thread."""
        self._is_closed = True
        self.ask()
        self._opening.interrupt()
        if self._thread.is_alive():
            self._thread.join(_CLOSING_S)
        if self._thread.is_alive():
            Thread(target=self._opening.close, name="imgassemble-close", daemon=True).start()

    def _read(self) -> None:
        elements = iter(self._opening)
        try:
            while self._questions.acquire() and not self._is_closed:
                self.pieces.put(_Piece(next(elements, _END)))
        except BaseException as error:  # noqa: BLE001 - it is raised where the stream is read
            self.pieces.put(_Piece(_END, error))
        finally:
            self._opening.close()
