"""Send the outbox of one stream to Redis in a thread of its own, and hold the lease.

The thread that feeds never waits for the server, except for the first write of a response id.
Must not know: the meaning of facts, how a stream is read.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread

from ...assembly.items import Cursor
from ...assembly.updates import Update
from ...errors import StreamTakenError, quoted
from ..production import StoringWait
from .connecting import OutOfMemoryError, RedisError
from .outbox import Outbox
from .stored_stream import Claimed, Keeping, LostWritesError, StoredStream

_log = logging.getLogger("imgassemble")

_LOOK_S = 0.5  # between two looks at whether the stream is to be stopped
_UPLOAD_S = 0.25  # of frames, before the facts of those are written
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0  # before the next attempt
_STORING_S = 10.0  # for the server to store a response id
_CHECK_S = 60.0  # between two checks that the frames are still there
_EXIT_S = 30.0  # for everything to be sent when the program ends
_LEAST_EXIT_S = 1.0  # the same if the program has already waited in vain
_MOST_NAMES = 3  # in one sentence
_QUIET_S = 2.0  # of a wait, before the log names its reason


class Sending:
    """Sends the contents of `outbox`, until it is closed, the stream is removed, or another producer takes it over.

    on_stop: called in the thread when the reading of the stream has to end.
    claimed: the answer of the server when the stream was taken.
    exit_s: the seconds for which the end of the program waits until everything is sent.
    """

    def __init__(
        self,
        stored: StoredStream,
        outbox: Outbox,
        keeping: Keeping,
        *,
        renew_s: float,
        claimed: Claimed,
        on_stop: Callable[[str], object],
    ) -> None:
        self.taken: StreamTakenError | None = None
        self.last_error: Exception | None = None
        self.exit_s: float = _EXIT_S
        self._stored, self._outbox, self._on_stop = stored, outbox, on_stop
        self._renew_s = renew_s
        self._server_ahead_s = claimed.now_s - time.monotonic()
        self._check_s = min(_CHECK_S, keeping.preview_ms / 2_000)
        self._changed = Condition()
        self._is_closing = self._is_over = self._is_lost = self._is_left = False
        self._has_news = True
        self._awaited_id: str | None = None  # it is waited for once
        self._stored_id = outbox.cursor.response_id
        self._written_at = self._checked_at = time.monotonic()
        self._logged: set[type[Exception]] = set()
        self._process_id = os.getpid()
        self._thread = Thread(target=self._run, name="imgassemble-redis", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        _RUNNING.add(self)

    @property
    def is_of_this_process(self) -> bool:
        """Whether the thread is in this process, and not in the one from which it was forked."""
        return self._process_id == os.getpid()

    @property
    def name(self) -> str:
        """The name of the stream."""
        return self._stored.name

    @property
    def trouble(self) -> str:
        """The reason why not everything is sent, for a sentence."""
        error = self.last_error
        return f"{type(error).__name__}: {str(error).rstrip('.')}" if error else "Redis has not answered yet"

    # ---- in the thread that feeds

    def take(self, update: Update) -> None:
        """Take an update. Never waits. In a forked process nothing is taken."""
        if not self.is_of_this_process:
            return
        self._outbox.take(update, time.monotonic() + self._server_ahead_s)
        self.wake()

    def note(self, cursor: Cursor, *, is_over: bool) -> StoringWait | None:
        """Note the position after an event. Returns the wait until it is stored, if it names another response."""
        self._outbox.set_cursor(cursor, is_over=is_over)
        if cursor.response_id in (None, self._stored_id, self._awaited_id) or not self.is_of_this_process:
            return None
        self._awaited_id = cursor.response_id
        return _IdStoring(self, cursor.response_id)

    def wake(self) -> None:
        """Send the facts and frames that wait."""
        with self._changed:
            self._has_news = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let the thread send everything, give the lease back, and end. Does not wait."""
        if not self.is_of_this_process:
            return
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is sent; return whether it is. True also if the stream was taken over or removed.

        The reason of a long wait is logged. The end of the program waits shorter then.
        """
        self.wake()
        try:
            is_sent = self._wait_for_rest(min(timeout_s, _QUIET_S))
            if not is_sent and timeout_s > _QUIET_S and not self._is_left:
                _log.warning(
                    "the stream %s has ended, and Redis does not have all of it: %s; this is tried for %.0f s more "
                    "(Ctrl-C ends the wait)", quoted(self.name), self.trouble, timeout_s - _QUIET_S,
                )  # fmt: skip
                is_sent = self._wait_for_rest(timeout_s - _QUIET_S)
        except BaseException:  # KeyboardInterrupt
            self.leave()
            raise
        if not is_sent:
            self.exit_s = max(_LEAST_EXIT_S, self.exit_s - timeout_s)
        return is_sent

    def leave(self) -> None:
        """End `flush`, in any thread: its caller waits no longer, nor does the end of the program."""
        with self._changed:
            self._is_left, self.exit_s = True, _LEAST_EXIT_S
            self._changed.notify_all()

    def _wait_for_rest(self, timeout_s: float) -> bool:
        self._wait_for(lambda: self._is_sent or self._is_left, timeout_s)
        return self._is_sent

    @property
    def _is_sent(self) -> bool:
        return self._is_over or self._outbox.is_empty

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended; return whether it has."""
        return self._wait_for(lambda: self._is_over, timeout_s)

    def join_until(self, time_s: float) -> bool:
        """Do the same as `join`, until `time.monotonic()` is `time_s`."""
        return self.join(max(0.0, time_s - time.monotonic()))

    def wait_until_stored(self, response_id: str, is_interrupted: Callable[[], bool]) -> None:
        """Wait until the server knows the response id, at most 10 seconds."""
        self.wake()

        def is_done() -> bool:
            return self._is_over or self._stored_id == response_id or is_interrupted()

        if not self._wait_for(is_done, _STORING_S):
            _log.warning(
                "the response id of the stream %s is not stored on Redis after %g s: %s; the stream goes on",
                quoted(self.name), _STORING_S, self.trouble,
            )  # fmt: skip

    def _wait_for(self, is_done: Callable[[], bool], timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(is_done, timeout_s)

    # ---- in the thread that sends

    def _run(self) -> None:
        pause_s = _SHORTEST_PAUSE_S
        try:
            while not self._is_over:
                try:
                    self._step()
                    pause_s = _SHORTEST_PAUSE_S
                    self.last_error = None
                except StreamTakenError as error:
                    self.taken = error
                    self._on_stop("another producer has taken the stream over")
                    return
                except LostWritesError:
                    self._is_lost = True
                except Exception as error:  # noqa: BLE001 - the thread never ends without a reason
                    self._note_failure(error)
                    with self._changed:
                        self._changed.wait_for(lambda: False, pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        _RUNNING.discard(self)
        self._stored.close()

    def _step(self) -> None:
        """Wait for the next thing to do, and do it."""
        with self._changed:
            self._changed.wait_for(self._has_work, min(_LOOK_S, self._renew_s))
            is_closing, has_news, self._has_news = self._is_closing, self._has_news, False
        if self._is_lost:
            self._begin_again()
        elif self._is_check_due():
            self._check_frames()
        if self._is_over:
            return
        if self._outbox.has_facts or has_news or is_closing or self._is_renewal_due():
            self._send()
        elif self._stored.is_stopped():
            self._on_stop("stopped")
        if is_closing and self._outbox.is_empty:
            self._finish()

    def _has_work(self) -> bool:
        return self._has_news or self._is_closing or self._is_lost or self._outbox.has_facts

    def _is_renewal_due(self) -> bool:
        longest_s = self._renew_s if self._outbox.is_empty else min(self._renew_s, _LOOK_S)
        return time.monotonic() - self._written_at >= longest_s

    def _is_check_due(self) -> bool:
        return time.monotonic() - self._checked_at >= self._check_s

    def _send(self) -> None:
        """Send frames for a moment, and then the facts that can be written; as often as there are some."""
        while True:
            until = time.monotonic() + _UPLOAD_S
            while time.monotonic() < until and (waiting := self._outbox.next_frame()):
                frame = waiting.frame
                self._stored.put_frame(frame.sha256, frame.data, is_final=frame.is_final)
                self._outbox.set_stored(waiting.number, frame.sha256)
            self._write()
            if not self._outbox.has_facts:
                return

    def _write(self) -> None:
        batch = self._outbox.batch()
        try:
            facts = self._outbox.texts_of(batch)
            is_stopped = self._stored.write(facts, cursor=batch.cursor_text, next_frame=batch.next_frame)
        except BaseException:
            self._outbox.put_back(batch)
            raise
        self._outbox.set_written()
        with self._changed:
            self._written_at = time.monotonic()
            if batch.cursor is not None and batch.cursor.response_id is not None:
                self._stored_id = batch.cursor.response_id
            self._changed.notify_all()
        if is_stopped:
            self._on_stop("stopped")

    def _begin_again(self) -> None:
        """Take the stream again, and send all of it: the server has lost some of it. A removed one is left alone."""
        if self._stored.was_removed():
            self._is_over = True
            return
        self._outbox.stream.number = self._stored.claim().number
        self._outbox.send_all_again(self._stored.frame_numbers())
        self._is_lost, self._has_news = False, True

    def _check_frames(self) -> None:
        """Begin the time of all frames again. Those that Redis has removed to make room are sent again."""
        shown = self._outbox.shown_frames()
        there = self._stored.keep_frames((each.frame.sha256, each.frame.is_final) for each in shown) if shown else []
        for each, is_there in zip(shown, there, strict=True):
            if not is_there:
                self._outbox.set_missing(each.number)
        self._checked_at = time.monotonic()

    def _finish(self) -> None:
        """Give the lease back, once all frames are there with their whole time."""
        self._check_frames()
        if self._outbox.is_empty:
            self._stored.release()
            self._is_over = True

    def _note_failure(self, error: Exception) -> None:
        """Log each type of error once. After it, frames may be gone: a server can have started again."""
        self.last_error = error
        self._checked_at = -self._check_s
        self._outbox.check_stored()
        if type(error) not in self._logged:
            self._logged.add(type(error))
            level = logging.WARNING if isinstance(error, RedisError | OSError) else logging.ERROR
            _log.log(level, "the stream %s cannot be sent to Redis: %s; it is tried again, and the stream goes on",
                     quoted(self.name), self.trouble, exc_info=level == logging.ERROR)  # fmt: skip
        if isinstance(error, OutOfMemoryError):
            self._outbox.leave_out_all_previews()
            with suppress(RedisError, OSError, LostWritesError):
                self._stored.keep_lease()


class _IdStoring(StoringWait):
    """The wait until the server knows a response id."""

    def __init__(self, sending: Sending, response_id: str) -> None:
        self._sending, self._response_id = sending, response_id
        self._is_interrupted = False

    def wait(self) -> None:
        self._sending.wait_until_stored(self._response_id, lambda: self._is_interrupted)

    def interrupt(self) -> None:
        self._is_interrupted = True
        self._sending.wake()


_RUNNING: weakref.WeakSet[Sending] = weakref.WeakSet()


def _finish_all() -> None:
    """Send the rest when the program ends. Ctrl-C ends the wait."""
    running = [sending for sending in _RUNNING if sending.is_of_this_process]
    began_at = time.monotonic()
    for sending in running:
        sending.close()
    with suppress(KeyboardInterrupt):
        late = _unfinished(running, began_at, _QUIET_S)
        if longest_s := max((sending.exit_s for sending in late if sending.exit_s > _QUIET_S), default=0.0):
            _log.warning(
                "the program waits up to %.0f s more for Redis to take the rest of %s: %s (Ctrl-C ends the wait)",
                longest_s - _QUIET_S, _names_of(late), late[0].trouble,
            )  # fmt: skip
        _unfinished(late, began_at, _EXIT_S)
    if left := _unfinished(running, began_at, 0.0):
        _log.warning(
            "the program ends, and viewers may miss the end of the stream %s: not all was sent to Redis: %s",
            _names_of(left), left[0].trouble,
        )  # fmt: skip


def _names_of(sendings: list[Sending]) -> str:
    names = ", ".join(sorted(quoted(sending.name) for sending in sendings)[:_MOST_NAMES])
    return names if len(sendings) <= _MOST_NAMES else f"{names} and {len(sendings) - _MOST_NAMES} others"


def _unfinished(sendings: list[Sending], began_at: float, longest_s: float) -> list[Sending]:
    """Return those that have not ended `longest_s` seconds after `began_at`, or in the time that each has."""
    return [each for each in sendings if not each.join_until(began_at + min(longest_s, each.exit_s))]


atexit.register(_finish_all)
