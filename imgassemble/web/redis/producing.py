"""Produce streams of a gallery on Redis: take them, read the contents of earlier producers, and send the new ones.

Must not know: viewers, how a stream is read, the commands of Redis.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from ...assembly.assembler import Assembler, updates_so_far
from ...assembly.items import Cursor
from ...assembly.updates import StreamEnded, Update
from ...errors import SinkError, StreamTakenError, UsageError, quoted
from ..changes import is_name
from ..making import Making
from ..production import LEASE_S, RENEW_S, EarlierStream, StoringWait, check_added, check_lease, check_shown_as
from ..shown_streams import ShownStream
from .connecting import AuthenticationError, NoPermissionError, RedisError, connect
from .earlier_facts import EarlierFacts
from .keys import GalleryKeys
from .outbox import Outbox
from .scripts import STOP
from .sending import Sending
from .stored_stream import Claimed, Keeping, StoredStream

_log = logging.getLogger("imgassemble")

_CLAIMING_S = 10.0  # for a server that starts again
_PAUSE_S = 0.2  # before the next attempt
_RELEASING_S = 1.0  # for the lease to be given back; after it, this goes on while the program runs

_T = TypeVar("_T")


class RedisProducers:
    """The producers of this process for a gallery on Redis. `keep_s`: seconds for which a stream is kept."""

    def __init__(self, url: str, keys: GalleryKeys, keep_s: float) -> None:
        self._url, self._keys, self._keep_s = url, keys, keep_s

    def add(
        self, name: str, assembler: Assembler | None, title: str | None, size: tuple[int, int] | None
    ) -> Callable[[Update], None]:
        """Show a stream, and return the listener for its updates, as `Gallery.add` does. Waits for the server."""
        check_shown_as(name, title, size)
        _check_name(name)
        check_added(assembler)
        keeping = Keeping(keep_s=self._keep_s, lease_s=LEASE_S)
        stored = StoredStream(self._url, self._keys, name, keeping, "add")
        claimed = _claimed(stored)
        outbox = Outbox(_shown(name, title, size, claimed))
        sending = Sending(stored, outbox, keeping, renew_s=RENEW_S, claimed=claimed, on_stop=_ignore)

        def listen(update: Update) -> None:
            sending.take(update)
            if isinstance(update, StreamEnded):
                sending.close()

        weakref.finalize(listen, sending.close).atexit = False  # the stream can get no end any more
        updates: list[Update] = []
        if assembler is not None:
            assembler.subscribe(listen)
            updates += updates_so_far(assembler)
        if updates:
            outbox.stream.began_s = None
        outbox.show(updates)
        sending.start()
        if assembler is not None and assembler.result is not None:
            sending.close()
        return listen

    def produce(
        self, name: str, title: str | None, size: tuple[int, int] | None, lease_s: float, renew_s: float
    ) -> Making:
        """Return the making of a stream, as `Gallery.produce` does."""
        check_shown_as(name, title, size)
        _check_name(name)
        check_lease(lease_s, renew_s)
        keeping = Keeping(keep_s=self._keep_s, lease_s=lease_s)
        opened = partial(StoredStream, self._url, self._keys, name, keeping, "produce")
        return Making(RedisProduction(opened, keeping, renew_s, name, title, size))

    def stop(self, name: str) -> None:
        """End the reading of a stream that any process makes. Without one, nothing happens."""
        client = connect(self._url)
        try:
            client.eval(STOP, 1, self._keys.meta(name))
        finally:
            client.close()


class RedisProduction:
    """The right of one producer to make a stream of a gallery on Redis."""

    def __init__(
        self,
        open_stored: Callable[[], StoredStream],
        keeping: Keeping,
        renew_s: float,
        name: str,
        title: str | None,
        size: tuple[int, int] | None,
    ) -> None:
        self.name = name
        self._title, self._size = title, size
        self._open_stored, self._keeping, self._renew_s = open_stored, keeping, renew_s
        self._taken: _RunningParts | None = None
        self._assembler: Assembler | None = None
        self._stop_reason: str | None = None

    def claim(self) -> EarlierStream:
        """Take the stream. Raises StreamTakenError if another producer has it, SinkError if Redis does not answer."""
        stored = self._open_stored()
        claimed = _claimed(stored)
        try:
            earlier = EarlierFacts(_retried(stored.facts, stored), claimed.cursor, stored)
            left = _retried(earlier.stream, stored)
        except BaseException:
            with suppress(RedisError):
                stored.release()
            stored.close()
            raise
        title, size = self._title or earlier.title, self._size or earlier.size
        outbox = Outbox(_shown(self.name, title, size, claimed), left.cursor, is_over=left.is_over)
        if earlier.is_new:
            outbox.show()
        sending = Sending(stored, outbox, self._keeping, renew_s=self._renew_s, claimed=claimed, on_stop=self._stop)
        self._taken = _RunningParts(earlier, outbox, sending)
        sending.start()
        return left

    def show(self, assembler: Assembler) -> None:
        """Show the contents of `assembler`, and each later update."""
        assert self._taken is not None
        earlier, outbox, sending = self._taken
        assembler.subscribe(sending.take)
        outbox.show(
            updates_so_far(assembler), assembler=assembler, earlier=earlier.items, dropped=earlier.frame_numbers
        )
        sending.wake()
        self._assembler = assembler
        if self._stop_reason is not None:
            assembler.stop(self._stop_reason)

    def note(self, cursor: Cursor, *, is_over: bool) -> StoringWait | None:
        """Note the position after an event. The first one of a response is stored before the next event is read."""
        assert self._taken is not None
        return self._taken.sending.note(cursor, is_over=is_over)

    def note_end(self) -> None:
        """Note that the service has ended the stream, and nothing has interrupted it."""
        assert self._taken is not None
        self._taken.outbox.is_read_to_end = True

    def finish(self, assembler: Assembler, timeout_s: float) -> None:
        """Wait until everything is sent. Raises StreamTakenError or SinkError, with the result."""
        if self._taken is None:
            return
        sending = self._taken.sending
        is_sent = sending.flush(timeout_s)
        failed: StreamTakenError | SinkError
        if sending.taken is not None:
            failed = StreamTakenError(str(sending.taken))
        elif not is_sent:
            failed = SinkError(
                f"not all of the stream {quoted(self.name)} is on Redis after {timeout_s:g} s, so viewers may not see "
                f"its end: {sending.trouble}; the result is complete here, and the sending goes on while the "
                "program runs",
                path=None,
            )
        else:
            return
        failed.result = assembler.result
        raise failed

    def leave(self) -> None:
        """End the wait of `finish`, in any thread."""
        if self._taken is not None:
            self._taken.sending.leave()

    def release(self) -> None:
        """Give the stream up, so that another producer can take it. A second call changes nothing."""
        taken, self._taken = self._taken, None
        self._assembler = self._stop_reason = None
        if taken is not None:
            taken.sending.close()
            taken.sending.join(_RELEASING_S)

    def _stop(self, reason: str) -> None:
        self._stop_reason = self._stop_reason or reason
        if self._assembler is not None:
            self._assembler.stop(reason)


class _RunningParts(NamedTuple):
    """The parts of a production that has the stream."""

    earlier: EarlierFacts
    outbox: Outbox
    sending: Sending


def _check_name(name: str) -> None:
    """Raise UsageError for a name that no viewer would get."""
    if not is_name(name):
        sentence = "the name of a stream on Redis has 1 to 1,000 characters that UTF-8 can hold: choose another name"
        raise UsageError(sentence)


def _shown(name: str, title: str | None, size: tuple[int, int] | None, claimed: Claimed) -> ShownStream:
    return ShownStream(
        name=name,
        title=name if title is None else title,
        number=claimed.number,
        began_s=round(claimed.began_s, 3),
        size=size,
        next_frame=claimed.next_frame,
    )


def _claimed(stored: StoredStream) -> Claimed:
    try:
        return _retried(stored.claim, stored)
    except BaseException:
        stored.close()
        raise


def _retried(command: Callable[[], _T], stored: StoredStream) -> _T:
    """Return the answer of a command; a server that does not answer is asked again for ten seconds.

    A server that refuses the user is not asked again.
    """
    until, is_logged = time.monotonic() + _CLAIMING_S, False
    while True:
        try:
            return command()
        except (RedisError, OSError) as error:
            reason = f"{type(error).__name__}: {str(error).rstrip('.')}"
            if isinstance(error, AuthenticationError | NoPermissionError) or time.monotonic() >= until:
                advice = "check that Redis runs at this address, and the rights of the user"
                sentence = f"the stream {quoted(stored.name)} cannot be made on Redis: {reason}; {advice}"
                raise SinkError(sentence, path=None) from error
            if not is_logged:
                waits = f"it tries again for {_CLAIMING_S:g} s"
                _log.warning("the stream %s cannot be made on Redis yet: %s; %s", quoted(stored.name), reason, waits)
            is_logged = True
        time.sleep(_PAUSE_S)


def _ignore(_reason: str) -> None:
    """Go on: the program that has added the stream ends its reading itself."""
