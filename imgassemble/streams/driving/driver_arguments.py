"""Checks the arguments that the drivers have in common.

Must not know: streams, events.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...arguments import is_async_function, name_of_type
from ...assembly.assembler import Assembler
from ...assembly.listeners import Listener, check_listener
from ...errors import UsageError
from ..fetching.links import Fetch


def checked_assembler(assembler: Assembler | None) -> Assembler:
    """Return the assembler to feed. Raises UsageError if it is none, or was closed."""
    if assembler is None:
        return Assembler()
    if not isinstance(assembler, Assembler):
        raise UsageError(f"assembler is an Assembler, not {name_of_type(assembler)}")
    if assembler.result is not None:
        raise UsageError("the stream was closed: make a new Assembler for another stream")
    return assembler


def checked_sync_fetch(fetch: Fetch | None) -> Fetch | None:
    """Return the function that fetches a URL for a sync driver. Raises UsageError if it is async."""
    if is_async_function(fetch):
        raise UsageError("fetch is an async function: use aassemble or aiter_updates")
    return fetch


def checked_listeners(on_update: Listener | Iterable[Listener] | None) -> list[Listener]:
    """Return the listeners in `on_update`, one or several."""
    if on_update is None:
        return []
    listeners: list[Any] = list(on_update) if isinstance(on_update, (list, tuple)) else [on_update]
    for listener in listeners:
        check_listener(listener)
    return listeners
