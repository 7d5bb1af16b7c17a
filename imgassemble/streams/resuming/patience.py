"""Decides which errors of a client are temporary, how long to wait before the next try, and when to give up.

Must not know: streams, threads, how a wait is made.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import TIMEOUT_MAX
from typing import Any

from ...errors import IncompleteStreamError, UsageError, clean
from .position import StreamPosition

# Temporary HTTP statuses: too slow, too early, too many requests, and errors of proxies or of a server that restarts.
_TEMPORARY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
# Connection errors that may be temporary, by class name: those of the standard library, httpx, openai, aiohttp,
# requests and urllib3. An error is also recognised by the name of a base class.
_BROKEN = frozenset(
    {
        *("ConnectionError", "TimeoutError", "gaierror", "SSLError", "IncompleteRead", "IncompleteReadError"),
        *("TransportError", "APIConnectionError", "ClientConnectionError", "ClientPayloadError"),
        *("Timeout", "ChunkedEncodingError", "ProtocolError"),
    }
)
# A certificate error: similar, but permanent.
_BAD_CERTIFICATE = "SSLCertVerificationError"
_NO_ROUTE = frozenset({errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH})
_LONGEST_CHAIN = 10  # of causes that are examined; real ones have four
_MOST_TIMES_DOUBLED = 10  # of the wait; beyond it is longer than any max_wait_s in use
_TICK_S = 0.001  # a timer can fire this much too early


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often and how long to try.

    max_retries: the cuts without progress between them after which the stream is given up, from 0.
    first_wait_s: seconds before the first retry, from 0. The wait doubles with each retry.
    max_wait_s: the longest wait in seconds, from 0. Half of each wait is random, so that many clients do not come at
        once.
    silence_s: seconds without a piece of the stream after which its connection counts as cut, from 0; None: no limit.
        A service that generates sends a keepalive every 30 seconds.
    deadline_s: seconds for the whole stream, from 0; None: no limit.

    Raises UsageError for a value out of range.

        assemble(resuming(open_stream, patience=Patience(silence_s=60, deadline_s=600)))
    """

    max_retries: int = 5
    first_wait_s: float = 0.5
    max_wait_s: float = 30.0
    silence_s: float | None = 120.0
    deadline_s: float | None = 900.0

    def __post_init__(self) -> None:
        for name in ("max_retries", "first_wait_s", "max_wait_s", "silence_s", "deadline_s"):
            value = getattr(self, name)
            if value is None and name in ("silence_s", "deadline_s"):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= TIMEOUT_MAX:
                without = ", or None for no limit" if name in ("silence_s", "deadline_s") else ""
                raise UsageError(f"{name} is a number from 0 to {TIMEOUT_MAX:.0e}{without}, not {value!r}")


def is_temporary(error: Exception) -> bool:
    """Return whether a client's exception is temporary: a broken connection, a server that is busy."""
    status = getattr(error, "status_code", None) or getattr(error, "status", None) or getattr(error, "code", None)
    status = status or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status in _TEMPORARY_STATUSES
    if any(_BAD_CERTIFICATE in _names_of(each) for each in _chain(error)):
        return False
    if isinstance(reason := getattr(error, "reason", None), Exception):  # urllib wraps the cause
        return is_temporary(reason)
    return bool(_BROKEN & _names_of(error)) or (isinstance(error, OSError) and error.errno in _NO_ROUTE)


def _names_of(error: BaseException) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    found: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__


class SilenceError(Exception):
    """Nothing came in time, or the deadline has passed."""


class Retries:
    """Computes how long to wait for the next piece, and whether and when to open the stream again."""

    def __init__(
        self,
        patience: Patience,
        may_retry: Callable[[Exception], bool],
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._patience, self._may_retry, self._clock, self._chance = patience, may_retry, clock, chance
        self._began_at = 0.0
        self._count = 0

    def begin(self) -> None:
        """Start the time of the whole stream."""
        self._began_at = self._clock()

    def reset(self) -> None:
        """Begin to count again: there was progress."""
        self._count = 0

    def time_left_s(self) -> float | None:
        """Return the seconds to wait for the next piece, or None for no limit."""
        times = [each for each in (self._until_deadline_s(), self._patience.silence_s) if each is not None]
        return max(0.0, min(times)) if times else None

    def _until_deadline_s(self) -> float | None:
        deadline_s = self._patience.deadline_s
        return None if deadline_s is None else self._began_at + deadline_s - self._clock()

    def wait_s_after(self, cut: Exception | None, position: StreamPosition) -> float:
        """Return the seconds to wait before the stream is opened again. Raises the error that ends it."""
        is_ours = position.can_go_on or position.has_image
        if cut is not None and not isinstance(cut, SilenceError) and not (is_ours and self._may_retry(cut)):
            raise cut
        patience, left_s = self._patience, self._until_deadline_s()
        asked_s = _asked_to_wait_s(cut, patience.max_wait_s)
        is_late = left_s is not None and left_s <= asked_s + _TICK_S
        if is_late or self._count >= patience.max_retries or not position.can_go_on:
            raise self._given_up(cut, is_late=is_late) from (None if isinstance(cut, SilenceError) else cut)
        self._count += 1
        longest_s = min(patience.max_wait_s, patience.first_wait_s * 2.0 ** min(self._count - 1, _MOST_TIMES_DOUBLED))
        if left_s is not None:
            longest_s = min(longest_s, left_s / 2)  # the other half is for the stream
        return max(longest_s * (1 + self._chance()) / 2, asked_s)

    def _given_up(self, cut: Exception | None, *, is_late: bool) -> IncompleteStreamError:
        why = "it ended too early" if cut is None else f"{type(cut).__name__}: {clean(str(cut))}"
        if isinstance(cut, SilenceError):
            why = f"nothing came for {self._patience.silence_s or 0:g} seconds"
        if is_late:  # or the service asks to wait beyond the deadline
            was_not = "cannot be" if (self._until_deadline_s() or 0.0) > _TICK_S else "was not"
            why = f"it {was_not} whole within {self._patience.deadline_s:g} seconds"
        tries = f" after {self._count} retries" if self._count else ""
        return IncompleteStreamError(f"the stream is given up{tries}: {why}; what came is kept")


def _asked_to_wait_s(cut: BaseException | None, most_s: float) -> float:
    """Return the seconds that the service asked to wait (`Retry-After`), at most `most_s`."""
    headers: Any = getattr(getattr(cut, "response", None), "headers", None) or getattr(cut, "headers", None)
    asked_s = 0.0
    with suppress(Exception):  # the object is the client's
        asked_s = float(headers["retry-after"]) if headers else 0.0
    return min(asked_s, most_s) if asked_s > 0 else 0.0
