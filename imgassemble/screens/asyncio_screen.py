"""A screen for asyncio: a function that is handed painted pictures on the event loop.

Knows: what runs on the loop and what does not. Must not know: events, what is done with a picture.
asyncio is imported where a screen is entered: whoever does that has it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from inspect import isawaitable

from ..assembly.assembler import check_listener
from ..assembly.updates import Update
from .refresher import Refresher
from .tiles import Painter, Shown, Tile, check_size, placeholder

_log = logging.getLogger("imgassemble")


class LoopScreen:
    """A listener that has `show` called on the event loop with each picture that should be shown.

        async with LoopScreen(show) as screen:
            await aassemble(stream, on_update=screen)

    show: called with a `Shown`: its `tile` says what it is, its `image` is a Pillow image, RGB or RGBA. A coroutine
        function is awaited, and the next picture waits for it; what is skipped meanwhile are previews.
    size: (width, height) in pixels, at most; a picture's aspect is kept. The placeholder, which is shown first, when
        the block is entered, has exactly this size.
    min_interval_s: two previews begin at least so many seconds apart.

    Pictures are decoded in a thread and never on the loop. Leaving the block waits until the last has been shown. What
    `show` raises is logged, and the rest is shown. Raises UsageError for arguments that cannot work.
    """

    def __init__(
        self, show: Callable[[Shown], object], *, size: tuple[int, int] = (1024, 1024), min_interval_s: float = 0.0
    ) -> None:
        check_listener(show)
        check_size(size)
        self._show, self._size = show, size
        self._painter = Painter(size)
        # Not a method: a screen that is done with goes at once, and with it the frames that it remembers.
        painted = partial(_show_painted, show)
        self._refresher = Refresher(painted, prepare=self._painter, min_interval_s=min_interval_s)

    def __call__(self, update: Update) -> None:
        """Have `update` shown; returns at once."""
        self._painter.note(update)
        self._refresher(update)

    async def __aenter__(self) -> LoopScreen:
        from asyncio import to_thread

        await self._refresher.__aenter__()
        image = await to_thread(placeholder, self._size)
        try:
            await _call(self._show, Shown(tile=Tile(), image=image))
        except Exception:  # noqa: BLE001 - as a Refresher does for what comes later
            _log.exception("a screen failed to show the placeholder; the stream goes on")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._refresher.aclose()


async def _show_painted(show: Callable[[Shown], object], _: Update, shown: Shown | None) -> None:
    if shown is not None:
        await _call(show, shown)


async def _call(show: Callable[[Shown], object], shown: Shown) -> None:
    answer = show(shown)
    if isawaitable(answer):
        await answer
