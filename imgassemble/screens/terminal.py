"""A screen in a terminal: previews are drawn in place while they arrive.

Must not know: the layout (it is in `canvas`), escape codes, events.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import TextIOBase
from itertools import count
from threading import RLock
from time import monotonic
from typing import Any, TextIO, get_args

from ..assembly.updates import StateChanged, Update
from ..assembly.wording import ImageNumbers, describe_state
from ..errors import UsageError, clean
from ..states import State
from .canvas import Canvas, LineCanvas, Output, PictureCanvas, TimedPicture
from .graphics import Graphics
from .mailbox import Passing
from .refresher import Refresher
from .stopwatch import Stopwatch, Ticker
from .tiles import Painter, Shown, Tile, Tiles, check_size, fit_into, is_count, make_placeholder

# The largest (width, height) of painted pictures in pixels. Half blocks show few pixels; sent pictures should be sharp.
_PAINTED_SIZES: dict[Graphics, tuple[int, int]] = {"blocks": (512, 512), "blocks-256": (512, 512)}
_PAINTED_SIZE = (1024, 1024)
_STATES_BEFORE_PICTURES = (State.IN_PROGRESS, State.GENERATING)  # no picture belongs to these states
_LONGEST_LINE = 4_000  # characters


class TerminalScreen:
    """A listener that shows pictures in a terminal while they arrive. Its `with` block waits for the last one.

        with TerminalScreen() as screen:
            assemble(stream, on_update=screen)

    output: a text file; None: standard output.
    size: (width, height) in pixels of the pictures that are expected: the placeholder has their aspect.
    graphics: "kitty" and "iterm2" send the received pictures (the kitty protocol takes only PNG: other formats are
        encoded as PNG); "blocks" and "blocks-256" draw half blocks in 24-bit colours or in the 256 colours of xterm;
        "text" prints each change as a line without escape codes. None: the best choice by the environment variables;
        "text" if `output` is no terminal, TERM is "dumb" or NO_COLOR is set.
    columns: the largest width of a picture in columns, from 1; None: the width of the terminal.
    min_interval_s: the least time between two drawn previews, in seconds, from 0; "text" prints every preview.
    clock: returns the seconds for the captions, which count from the beginning of the `with` block.

    As many items as fit are drawn one below the other at the bottom. An ended item stays above when the next one
    changes. After a resize of the terminal the items are drawn again below. After a failed write nothing more is
    written, and `error` holds the exception. An SVG drawing is shown as a placeholder with a sentence.
    Raises UsageError for invalid arguments.
    """

    def __init__(
        self,
        output: TextIO | None = None,
        *,
        size: tuple[int, int] = (1024, 1024),
        graphics: Graphics | None = None,
        columns: int | None = None,
        min_interval_s: float = 0.1,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        _check(size, graphics, columns, min_interval_s)
        self._output = Output(sys.stdout if output is None else output)
        self._graphics: Graphics = graphics or self._output.graphics()
        is_text = self._graphics == "text"
        painted = _PAINTED_SIZES.get(self._graphics, _PAINTED_SIZE)
        self._painter: _TextPainter | Painter = _TextPainter() if is_text else Painter(painted)
        self._canvas: Canvas = (
            LineCanvas(self._output) if is_text else PictureCanvas(self._output, self._graphics, columns)
        )
        self._placeholder = make_placeholder((1, 1) if is_text else fit_into(size, painted))
        self._stopwatch, self._numbers = Stopwatch(clock), ImageNumbers()
        self._lock = RLock()  # the Refresher's thread draws, and so do threads that enter, print and leave
        self._refresher = Refresher(
            self._show,
            prepare=self._prepare,
            note=self._note,
            policy="all" if is_text else "latest",
            min_interval_s=0 if is_text else min_interval_s,
        )
        self._ticker = Ticker(self._stopwatch, self._show_seconds)

    @property
    def graphics(self) -> Graphics:
        """The way in which pictures are shown."""
        return self._graphics

    @property
    def error(self) -> Exception | None:
        """The exception of the output after which nothing is written any more; None while writing works."""
        return self._output.error

    def __call__(self, update: Update) -> None:
        """Show `update` soon; return at once."""
        self._refresher(update)
        if isinstance(update, StateChanged) and update.state in _STATES_BEFORE_PICTURES:
            self._refresher(_StateShown(update.item_id, update.state))

    def print(self, text: str) -> None:
        """Print a line above the pictures. They would overwrite text that is printed in another way."""
        indent = " " * (len(text) - len(text.lstrip(" ")))
        with self._lock:
            self._canvas.print(indent + clean(text, _LONGEST_LINE))

    def close(self) -> None:
        """Wait until all is shown. Then remove the placeholders of items that got no picture."""
        self._ticker.stop()
        self._refresher.close()
        self._finish()

    def __enter__(self) -> TerminalScreen:
        self._stopwatch.start()
        if self._graphics != "text":
            self._ticker.start()
            self._show(None, TimedPicture(tile=Tile(), image=self._placeholder, image_id=next(_image_ids)))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> TerminalScreen:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self._ticker.stop()
        await self._refresher.aclose()
        self._finish()

    def __repr__(self) -> str:
        return f"<TerminalScreen of {self._graphics}>"

    def _note(self, update: Any) -> None:
        self._numbers(update)
        self._painter.note(update)
        self._stopwatch.note(update)

    def _prepare(self, update: Any) -> TimedPicture | None:
        seconds = self._stopwatch.seconds
        shown: Shown | None
        if isinstance(update, _StateShown):
            tile = Tile(item_id=update.item_id, caption=describe_state(update.state))
            shown = Shown(tile=tile, image=self._placeholder)
        else:
            shown = self._painter(update)
        if shown is None:
            return None
        return TimedPicture(
            tile=shown.tile,
            name=self._numbers.name(shown.tile.item_id) if shown.tile.item_id else "",
            image=shown.image,
            frame=shown.frame,
            seconds=seconds,
            image_id=next(_image_ids),
        )

    def _show(self, _: object, picture: TimedPicture | None) -> None:
        with self._lock:
            if picture:
                self._canvas.show(picture)

    def _show_seconds(self) -> None:
        with self._lock:
            self._canvas.show_seconds(self._stopwatch.seconds)

    def _finish(self) -> None:
        with self._lock:
            self._canvas.finish()


@contextmanager
def printing_above(screen: TerminalScreen) -> Iterator[None]:
    """Print above the pictures of `screen` the lines that are printed to its terminal inside the `with` block."""
    if screen.graphics == "text" or not screen._output.is_terminal():
        yield
        return
    above: Any = _LinesAbove(screen)
    with ExitStack() as stack:
        for stream, redirected in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if Output(stream).is_terminal():
                stack.enter_context(redirected(above))
        yield


class _LinesAbove(TextIOBase):
    """A text file that prints its lines above the pictures."""

    def __init__(self, screen: TerminalScreen) -> None:
        self._screen = screen
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._screen.print(line)
        return len(text)


def _check(size: object, graphics: object, columns: object, min_interval_s: object) -> None:
    if graphics is not None and graphics not in get_args(Graphics):
        raise UsageError(f"graphics is one of {', '.join(map(repr, get_args(Graphics)))}, not {graphics!r}")
    check_size(size)
    if not (columns is None or is_count(columns)):
        raise UsageError(f"columns is a whole number, at least 1, not {columns!r}")
    if not (isinstance(min_interval_s, (int, float)) and min_interval_s >= 0):
        raise UsageError(f"min_interval_s is a number of seconds, 0 or more, not {min_interval_s!r}")


@dataclass(frozen=True, slots=True)
class _StateShown(Passing):
    """A new state of an item without a picture. The first preview replaces it."""

    state: State


_image_ids = count(secrets.randbits(30) + 1)  # of the kitty protocol; random: earlier runs left pictures


class _TextPainter:
    """A painter for lines of text: it decodes no picture."""

    def __init__(self) -> None:
        self._tiles, self._no_image = Tiles(), make_placeholder((1, 1))
        self.note = self._tiles.note

    def __call__(self, update: Any) -> Shown | None:
        tile = self._tiles.take(update)
        return None if tile is None else Shown(tile=tile, image=self._no_image)
