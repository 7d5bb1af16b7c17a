"""Listeners: callables of the caller that receive updates.

Must not know: items, events, when updates are made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, get_args

from ..errors import UsageError
from .updates import Update

Listener = Callable[[Any], object]
UPDATES: tuple[type, ...] = get_args(Update)

_log = logging.getLogger("imgassemble")


def call_listener(callback: Listener, update: Update) -> None:
    """Call `callback`. An exception that it raises is logged."""
    try:
        callback(update)
    except Exception:  # noqa: BLE001 - a listener is code of the caller
        log_failure(update)


def call_each(*listeners: Listener) -> Callable[[Any], None]:
    """Return a listener that calls `listeners` in this order."""

    def call(update: Any) -> None:
        for listener in listeners:
            listener(update)

    return call


def check_listener(callback: object) -> None:
    """Raise UsageError if `callback` cannot be called."""
    if not callable(callback):
        raise UsageError(f"a listener is called with each update, and {type(callback).__name__} cannot be called")


def log_failure(update: Update) -> None:
    """Log the current exception as that of a listener, with its traceback."""
    _log.exception("a listener failed on %s; the stream goes on", type(update).__name__)
