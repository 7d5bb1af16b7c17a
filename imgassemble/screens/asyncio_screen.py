"""A screen for asyncio: it calls a function with painted pictures on the event loop.

Must not know: events, the use of a picture. asyncio is imported when a screen is entered, not before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from inspect import isawaitable

from ..assembly.assembler import check_listener
from ..assembly.updates import Update
from .refresher import Refresher
from .screen import PLACEHOLDER_FAILED
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

    Pictures are decoded in a thread and never on the loop. Leaving the block waits until the last picture was shown.
    An exception of `show` is logged, and the next pictures are shown. Raises UsageError for invalid arguments.
    """

    def __init__(
        self, show: Callable[[Shown], object], *, size: tuple[int, int] = (1024, 1024), min_interval_s: float = 0.0
    ) -> None:
        check_listener(show)
        self._show, self._size = show, size
        self._painter = Painter(size)
        # No method of this screen: without a reference cycle, its memory of frames is freed at once.
        show_painted = partial(_show_painted, show)
        self._refresher = Refresher(show_painted, prepare=self._painter, min_interval_s=min_interval_s)

    def __call__(self, update: Update) -> None:
        """Show `update` soon; return at once."""
        self._painter.note(update)
        self._refresher(update)

    async def __aenter__(self) -> LoopScreen:
        from asyncio import to_thread

        await self._refresher.__aenter__()
        image = await to_thread(make_placeholder, self._size)
        try:
            await _await_show(self._show, Shown(tile=Tile(), image=image))
        except Exception:  # noqa: BLE001 - show is the caller's code
            _log.exception(PLACEHOLDER_FAILED)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._refresher.aclose()


async def _show_painted(show: Callable[[Shown], object], _: Update, shown: Shown | None) -> None:
    if shown is not None:
        await _await_show(show, shown)


async def _await_show(show: Callable[[Shown], object], shown: Shown) -> None:
    answer = show(shown)
    if isawaitable(answer):
        await answer
