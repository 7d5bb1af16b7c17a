"""Listeners: callables of the caller that receive updates.

Must not know: items, events, when updates are made.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any, Protocol, get_args, runtime_checkable

from ..errors import UsageError
from .updates import Update

Listener = Callable[[Any], object]
UPDATES: tuple[type, ...] = get_args(Update)

_log = logging.getLogger("imgassemble")


@runtime_checkable
class FirstEventListener(Protocol):
    """A listener that is also called for the first event, which may cause no update. A Meter is one."""

    def __call__(self, update: Any) -> object:
        """Receive an update."""

    def note_first_event(self) -> None:
        """Note that the first event of the stream has been read. Called before the updates of that event."""


def call_each(*listeners: Listener) -> Callable[[Any], None]:
    """Return a listener that calls `listeners` in this order."""

    def call(update: Any) -> None:
        for listener in listeners:
            listener(update)

    return call


def check_listener(callback: object) -> None:
    """Raise UsageError if `callback` cannot be called, or is the type of an update."""
    if callback in UPDATES:
        kind = getattr(callback, "__name__", "")
        raise UsageError(f"{kind} is a type of updates: name a listener first, as in subscribe(callback, {kind})")
    if not callable(callback):
        raise UsageError(f"a listener is called with each update, and {type(callback).__name__} cannot be called")


class FailureLog:
    """Logs the exceptions of listeners with their tracebacks, once for each listener and type of exception."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, type[BaseException] | None], object] = {}  # holds the listeners: their ids stay

    def add(self, listener: object, cause: str) -> None:
        """Log the current exception, which `listener` raised, unless one of its type was logged for this listener.

        cause: the name of the update, or other words for the call.
        """
        key = id(listener), sys.exc_info()[0]
        if key not in self._known:
            self._known[key] = listener
            _log.exception("a listener failed on %s; the stream goes on", cause)


def report_first_event(listeners: Iterable[object], failures: FailureLog) -> None:
    """Call `note_first_event` of each listener that has it. An exception is logged."""
    for listener in listeners:
        if isinstance(listener, FirstEventListener):
            try:
                listener.note_first_event()
            except Exception:  # noqa: BLE001 - a listener is code of the caller
                failures.add(listener, "the first event")
