"""Updates as lines for people.

Knows: how an update, an item id and a frame are told in a few words. Must not know: files, terminals, pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..assembly.results import Result
from ..assembly.updates import (
    Anomaly,
    FinalReady,
    FinalWithdrawn,
    FrameAdded,
    ItemEnded,
    StateChanged,
    StreamEnded,
    Update,
)
from ..errors import clean
from ..frames.frame import Frame
from ..states import State


class Progress:
    """Tells updates as lines: all of them, or beside a screen only those of `kinds`.

    write: is given the lines, without their end. has_colour: asked for each whether it may have colours.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        has_colour: Callable[[], bool],
        kinds: tuple[type, ...] | None = None,
    ) -> None:
        self._write, self._has_colour = write, has_colour
        self._start = time.monotonic()
        self._kinds = tuple(_LINES) if kinds is None else kinds

    def __call__(self, update: Update) -> None:
        if isinstance(update, self._kinds):
            self._tell(update)

    def end(self, result: Result | None) -> None:
        """Tell how it went, once the screen has shown all."""
        if result is not None:
            self._tell(StreamEnded(result.outcome, result.error))

    def _tell(self, update: Update) -> None:
        told = _LINES[type(update)](update)
        if told is None:
            return
        colour, text = told
        if self._has_colour():
            text = f"\x1b[{colour}m{text}\x1b[0m"
        self._write(f"{time.monotonic() - self._start:7.2f} s  {text}")


_PLAIN, _GOOD, _BAD, _DOUBTFUL = "0", "32", "31", "33"  # SGR colours: none, green, red, yellow

_LINES: dict[type, Callable[[Any], tuple[str, str] | None]] = {
    StateChanged: lambda update: (
        None
        if update.state.is_end or update.state is State.PARTIAL_IMAGE
        else (_PLAIN, f"{short(update.item_id)}  {update.state}")
    ),
    FrameAdded: lambda update: (
        _PLAIN,
        f"{short(update.item_id)}  preview {update.frame.index}  {facts(update.frame)}",
    ),
    FinalReady: lambda update: (
        (_DOUBTFUL, f"{short(update.item_id)}  no result came; the last preview stands in: {facts(update.frame)}")
        if update.is_provisional
        else (_GOOD, f"{short(update.item_id)}  final  {facts(update.frame)}")
    ),
    FinalWithdrawn: lambda update: (_BAD, f"{short(update.item_id)}  the final is withdrawn"),
    ItemEnded: lambda update: (
        None if update.error is None else (_BAD, f"{short(update.item_id)}  {update.state}: {update.error}")
    ),
    Anomaly: lambda update: (_DOUBTFUL, f"anomaly: {update.message}"),
    StreamEnded: lambda update: (
        (_BAD, f"{update.outcome}: {update.error}") if update.error else (_GOOD, update.outcome)
    ),
}


def short(item_id: str) -> str:
    """An item id from outside, as it stands in a line: cleaned, and at most 24 characters."""
    name = clean(item_id, 100) or "''"
    return name if len(name) <= 24 else f"{name[:12]}…{name[-8:]}"


def facts(frame: Frame) -> str:
    """Format, size in pixels and bytes."""
    width, height = frame.size
    return f"{frame.format} {width}x{height}, {len(frame.data):,} bytes"
