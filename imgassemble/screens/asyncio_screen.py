"""A screen for asyncio: it calls a function with painted pictures on the event loop.

Must not know: events, the use of a picture. asyncio is imported when a screen is entered, not before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from ..assembly.listeners import call_each, check_listener
from ..assembly.updates import Update
from .mailbox import Passing
from .refresher import Refresher
from .screen import PLACEHOLDER_FAILED, await_if_needed
from .stopwatch import Stopwatch, Ticker
from .tiles import Painter, Shown, Tile, make_placeholder

_log = logging.getLogger("imgassemble")


class LoopScreen:
    """A listener that calls `show` on the event loop with each picture that should be shown.

        async with LoopScreen(show) as screen:
            await aassemble(stream, on_update=screen)

    show: is called with a `Shown`: its `tile` says which item it is, its `image` is a Pillow image, RGB or RGBA. A
        coroutine function is awaited before the next call; previews that arrive meanwhile are skipped.
    size: (width, height) of the largest picture in pixels, each from 1. The aspect of a picture is kept. The
        placeholder, which is shown when the block is entered, has exactly this size.
    min_interval_s: the least time between the beginnings of two previews, in seconds, from 0.
    count_seconds: is called on the loop with the seconds of waiting, about once a second until the stream ends. It may
        be a coroutine function. None: the seconds are not counted.

    Pictures are decoded in a thread and never on the loop. Leaving the block waits until the last picture was shown.
    An exception of `show` is logged, and the next pictures are shown. Raises UsageError for invalid arguments.
    """

    def __init__(
        self,
        show: Callable[[Shown], object],
        *,
        size: tuple[int, int] = (1024, 1024),
        min_interval_s: float = 0.0,
        count_seconds: Callable[[float], object] | None = None,
    ) -> None:
        check_listener(show)
        self._show, self._size = show, size
        painter, stopwatch = Painter(size), Stopwatch()
        # No method of this screen: without a reference cycle, its memory of frames is freed at once.
        self._refresher = Refresher(
            partial(_show_painted, show, count_seconds, stopwatch),
            prepare=painter,
            note=call_each(painter.note, stopwatch.note),
            min_interval_s=min_interval_s,
        )
        self._ticker = Ticker(stopwatch, partial(self._refresher, Passing(""))) if count_seconds else None

    def __call__(self, update: Update) -> None:
        """Show `update` soon; return at once."""
        self._refresher(update)

    async def __aenter__(self) -> LoopScreen:
        from asyncio import to_thread

        await self._refresher.__aenter__()
        image = await to_thread(make_placeholder, self._size)
        try:
            await await_if_needed(self._show(Shown(tile=Tile(), image=image)))
        except Exception:  # noqa: BLE001 - show is the caller's code
            _log.exception(PLACEHOLDER_FAILED)
        if self._ticker:
            self._ticker.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ticker:
            self._ticker.stop()
        await self._refresher.aclose()


async def _show_painted(
    show: Callable[[Shown], object],
    count_seconds: Callable[[float], object] | None,
    stopwatch: Stopwatch,
    update: Update | Passing,
    shown: Shown | None,
) -> None:
    if shown is not None:
        await await_if_needed(show(shown))
    elif count_seconds and isinstance(update, Passing):
        await await_if_needed(count_seconds(stopwatch.seconds))
