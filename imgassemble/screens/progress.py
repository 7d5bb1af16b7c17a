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
from ..assembly.wording import (
    DRAFT_CAPTION,
    ImageNumbers,
    describe_state,
    name_preview,
    reason_of_item,
    reason_of_stream,
)
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
        self._numbers = ImageNumbers()
        self._reason = ""  # of the last line with one
        self._kinds = tuple(_LINES) if kinds is None else kinds

    def __call__(self, update: Update) -> None:
        self._numbers(update)
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
        colour, text = line[0], self._worded(update, line[1])
        if self._has_colour():
            text = f"\x1b[{colour}m{text}\x1b[0m"
        self._write(f"{time.monotonic() - self._start_s:7.2f} s  {text}")

    def _worded(self, update: Update, text: str) -> str:
        """Return the text of a line with the name of its image. A reason is not repeated in the line of the outcome."""
        text = self._numbers.reword(text)
        if isinstance(update, StreamEnded):
            return text.partition(": ")[0] if self._reason and self._reason in text else text
        self._reason = text.partition(": ")[2] or self._reason
        return text if isinstance(update, Anomaly) else f"{self._numbers.name(update.item_id)}: {text}"


_PLAIN, _GOOD, _BAD, _DOUBTFUL = "0", "32", "31", "33"  # SGR colours: none, green, red, yellow
_Line = tuple[str, str]  # the colour and the text


def _line_of_state(update: StateChanged) -> _Line | None:
    is_said_otherwise = update.state.is_end or update.state is State.PARTIAL_IMAGE
    return None if is_said_otherwise else (_PLAIN, describe_state(update.state))


def _line_of_end(update: ItemEnded) -> _Line | None:
    if update.error is None:
        return None
    return _BAD, f"{describe_state(update.state)}: {reason_of_item(update.item_id, update.error)}"


def _line_of_final(update: FinalReady) -> _Line:
    colour, name = (_DOUBTFUL, DRAFT_CAPTION) if update.is_provisional else (_GOOD, "final")
    return colour, f"{name}, {describe_frame(update.frame)}"


def _line_of_outcome(update: StreamEnded) -> _Line:
    outcome = describe_state(update.outcome)
    return (_BAD, f"{outcome}: {reason_of_stream(update.error)}") if update.error else (_GOOD, outcome)


_LINES: dict[type, Callable[[Any], _Line | None]] = {
    StateChanged: _line_of_state,
    FrameAdded: lambda update: (_PLAIN, f"{name_preview(update.frame)}, {describe_frame(update.frame)}"),
    FinalReady: _line_of_final,
    FinalWithdrawn: lambda update: (_BAD, "the final is withdrawn"),
    ItemEnded: _line_of_end,
    Anomaly: lambda update: (_DOUBTFUL, f"problem: {update.message}"),
    StreamEnded: _line_of_outcome,
}


def describe_frame(frame: Frame) -> str:
    """Return the format, the size in pixels (unless it is unknown) and the bytes, as "PNG 1024x1024, 1,234 bytes"."""
    return f"{' '.join(filter(None, (frame.format, size_text(frame))))}, {len(frame.data):,} bytes"


def size_text(frame: Frame) -> str:
    """Return "WIDTHxHEIGHT" in pixels, or "" for a drawing without a size."""
    return "" if frame.size is None else "{}x{}".format(*frame.size)
