"""Updates as lines of text for people: one line for the change of an update.

Must not know: files, terminals, pixels.
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
    """A listener that writes one line for each update.

    write: is called with each line, without a line end. has_colour: is asked before each line whether it may have
    colours. kinds: the types of the updates to write; None: all types.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        has_colour: Callable[[], bool],
        kinds: tuple[type, ...] | None = None,
    ) -> None:
        self._write, self._has_colour = write, has_colour
        self._start_s = time.monotonic()
        self._kinds = tuple(_LINES) if kinds is None else kinds

    def __call__(self, update: Update) -> None:
        if isinstance(update, self._kinds):
            self._write_line(update)

    def end(self, result: Result | None) -> None:
        """Write the outcome of the stream. Call this after the screen has shown everything."""
        if result is not None:
            self._write_line(StreamEnded(result.outcome, result.error))

    def _write_line(self, update: Update) -> None:
        line = _LINES[type(update)](update)
        if line is None:
            return
        colour, text = line
        if self._has_colour():
            text = f"\x1b[{colour}m{text}\x1b[0m"
        self._write(f"{time.monotonic() - self._start_s:7.2f} s  {text}")


_PLAIN, _GOOD, _BAD, _DOUBTFUL = "0", "32", "31", "33"  # SGR colours: none, green, red, yellow

_LINES: dict[type, Callable[[Any], tuple[str, str] | None]] = {
    StateChanged: lambda update: (
        None
        if update.state.is_end or update.state is State.PARTIAL_IMAGE
        else (_PLAIN, f"{shorten_id(update.item_id)}  {update.state}")
    ),
    FrameAdded: lambda update: (
        _PLAIN,
        f"{shorten_id(update.item_id)}  {_name_preview(update.frame)}  {describe_frame(update.frame)}",
    ),
    FinalReady: lambda update: (
        (
            _DOUBTFUL,
            f"{shorten_id(update.item_id)}  no result came; the last preview stands in: {describe_frame(update.frame)}",
        )
        if update.is_provisional
        else (_GOOD, f"{shorten_id(update.item_id)}  final  {describe_frame(update.frame)}")
    ),
    FinalWithdrawn: lambda update: (_BAD, f"{shorten_id(update.item_id)}  the final is withdrawn"),
    ItemEnded: lambda update: (
        None if update.error is None else (_BAD, f"{shorten_id(update.item_id)}  {update.state}: {update.error}")
    ),
    Anomaly: lambda update: (_DOUBTFUL, f"anomaly: {update.message}"),
    StreamEnded: lambda update: (
        (_BAD, f"{update.outcome}: {update.error}") if update.error else (_GOOD, update.outcome)
    ),
}


def shorten_id(item_id: str) -> str:
    """Return an untrusted item id for a line of text: without control characters, and at most 24 characters long."""
    name = clean(item_id, 100) or "''"
    return name if len(name) <= 24 else f"{name[:12]}…{name[-8:]}"


def describe_frame(frame: Frame) -> str:
    """Return the format, the size in pixels (unless it is unknown) and the bytes, as "PNG 1024x1024, 1,234 bytes"."""
    return f"{' '.join(filter(None, (frame.format, size_text(frame))))}, {len(frame.data):,} bytes"


def size_text(frame: Frame) -> str:
    """Return "WIDTHxHEIGHT" in pixels, or "" for a drawing without a size."""
    return "" if frame.size is None else "{}x{}".format(*frame.size)


def _name_preview(frame: Frame) -> str:
    """Return the name of a preview for people, who count from 1."""
    return "preview" if frame.index is None else f"preview {frame.index + 1:g}"
