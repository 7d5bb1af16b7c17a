"""Runs a call of an event loop in a thread of its own, for which the program does not wait at its end.

Must not know: the work of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import Any, TypeVar

_T = TypeVar("_T")


async def in_own_thread(call: Callable[[], _T], name: str) -> _T:
    """Run `call` in a new thread with `name`, in a copy of the context, and return its result or raise its exception.

    A cancelled caller leaves it at once. `asyncio.run` waits for a thread of `asyncio.to_thread`, but not for this one.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def put(value: Any, error: BaseException | None) -> None:
        if not outcome.done():
            outcome.set_result((value, error))

    def work() -> None:
        value, error = None, None
        try:
            value = call()
        except BaseException as raised:  # noqa: BLE001 - it is raised in the event loop
            error = raised
        with suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(put, value, error)

    Thread(target=copy_context().run, args=(work,), name=name, daemon=True).start()
    value, error = await outcome
    try:
        if error is not None:
            raise error
        result: _T = value
        return result
    finally:
        del error  # the traceback of the error has this frame
