"""The base class of a screen of your own: it decodes pictures in a thread, and calls `show` with each.

Must not know: events, hosts, the use of a picture.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from inspect import isawaitable
from typing import Self

from ..arguments import is_async_function
from ..assembly.listeners import call_each
from ..assembly.updates import Outcome, StreamEnded, Update
from ..errors import UsageError
from .mailbox import Passing
from .refresher import Refresher
from .stopwatch import Stopwatch, Ticker
from .tiles import Painter, Shown, Tile, make_placeholder

_log = logging.getLogger("imgassemble")


class Screen:
    """Base class of a screen of your own. A subclass defines `show`, and its objects are listeners.

        class CaptionScreen(Screen):
            def show(self, shown):
                print(shown.tile.item_id, shown.tile.caption)

        with CaptionScreen() as screen:
            assemble(stream, on_update=screen)

    size: (width, height) of the largest picture in pixels, each from 1. The aspect of a picture is kept.
    min_interval_s: the least time between the beginnings of two previews, in seconds, from 0.
    dispatch: as for Refresher: receives a function, and calls it in the thread of the window. Without it, `show` is
        called in a thread of the screen's own.

    The calling code is never delayed: pictures are decoded in another thread, and a slow `show` skips previews, but no
    final, failure or end. A `show` that is a coroutine function is awaited on the event loop; use `async with` then.
    Entering the block shows a placeholder of exactly `size`; leaving it waits until the last picture was shown. An
    exception of `show` is logged, and the next pictures are shown. Raises UsageError for invalid arguments.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] = (512, 512),
        min_interval_s: float = 0.05,
        dispatch: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        painter, self._size, self._dispatch = Painter(size), size, dispatch
        self._stopwatch = Stopwatch()
        self._refresher = Refresher(
            self._show_update,
            prepare=painter,
            note=call_each(painter.note, self._stopwatch.note),
            min_interval_s=min_interval_s,
            dispatch=dispatch,
        )
        self._ticker = Ticker(self._stopwatch, partial(self._refresher, Passing("")))

    def show(self, shown: Shown) -> object:
        """Show a picture: `shown.image` is a Pillow image, and `shown.tile` says which item it is, and its caption.

        Called with one picture at a time. Each picture replaces the one of the same `shown.tile.item_id`.
        """
        raise NotImplementedError("a screen of your own defines show(self, shown)")

    def count_seconds(self, seconds: float) -> object:
        """Show the seconds of waiting. Called about once a second until the stream ends. The default does nothing."""
        return None

    def end(self, outcome: Outcome) -> object:
        """React to the end of a stream, after its last picture was shown. By default nothing happens.

        outcome: how the stream ended.
        """
        return None

    def __call__(self, update: Update) -> None:
        """Show `update` soon; return at once. Any thread may call it."""
        self._refresher(update)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Wait until all is shown, at most `timeout_s` seconds for previews. Return whether everything was shown."""
        self._ticker.stop()
        return self._refresher.close(timeout_s)

    async def aclose(self, timeout_s: float = 10.0) -> bool:
        """Do the same as `close(timeout_s)` without blocking the event loop."""
        self._ticker.stop()
        return await self._refresher.aclose(timeout_s)

    def __enter__(self) -> Self:
        if is_async_function(self.show):
            raise UsageError("the show of this screen is a coroutine function: use `async with`")
        self._dispatch_placeholder()
        self._start_ticker()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self._refresher.__aenter__()
        self._start_ticker()
        if self._dispatch and not is_async_function(self.show):
            self._dispatch_placeholder()
            return self
        try:
            await await_if_needed(self.show(self._placeholder()))
        except Exception:  # noqa: BLE001 - show is the caller's code
            _log.exception(PLACEHOLDER_FAILED)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _start_ticker(self) -> None:
        if type(self).count_seconds is not Screen.count_seconds:
            self._ticker.start()

    def _dispatch_placeholder(self) -> None:
        show = partial(_show_placeholder, self.show, self._placeholder())
        if self._dispatch:
            self._dispatch(show)
        else:
            show()

    def _placeholder(self) -> Shown:
        return Shown(tile=Tile(), image=make_placeholder(self._size))

    def _show_update(self, update: Update | Passing, shown: Shown | None) -> object:
        if isinstance(update, Passing):
            return self.count_seconds(self._stopwatch.seconds)
        if not isinstance(update, StreamEnded):
            return self.show(shown) if shown else None
        if is_async_function(self.show) or is_async_function(self.end):
            return self._show_and_end_async(shown, update.outcome)
        try:
            return self.show(shown) if shown else None
        finally:
            self.end(update.outcome)

    async def _show_and_end_async(self, shown: Shown | None, outcome: Outcome) -> None:
        try:
            await await_if_needed(self.show(shown) if shown else None)
        finally:
            await await_if_needed(self.end(outcome))


PLACEHOLDER_FAILED = "a screen failed to show the placeholder; the stream goes on"


def _show_placeholder(show: Callable[[Shown], object], placeholder: Shown) -> None:
    try:
        show(placeholder)
    except Exception:  # noqa: BLE001 - show is the caller's code
        _log.exception(PLACEHOLDER_FAILED)


async def await_if_needed(answer: object) -> None:
    """Await the answer of a function of the caller if it is an awaitable."""
    if isawaitable(answer):
        await answer
