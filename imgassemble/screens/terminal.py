"""A screen in a terminal: the previews of a stream where it was started, in place, as they come.

Knows: updates, threads, and who draws when. Must not know: what is drawn where (that is in `canvas`), escape codes,
events.
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

from ..assembly.updates import FrameAdded, StateChanged, Update
from ..errors import UsageError, clean
from ..frames.frame import Frame
from ..states import State
from .canvas import Canvas, Lines, Paper, Pictures, Sight
from .graphics import Graphics
from .refresher import Refresher
from .tiles import Painter, Shown, Tile, Tiles, check_size, fitted, is_count, placeholder

# Pixels that are painted, at most: half blocks are few, and what is sent as a picture should look like one.
_PAINTED: dict[Graphics, tuple[int, int]] = {"blocks": (512, 512), "blocks-256": (512, 512)}
_PAINTED_ELSE = (1024, 1024)
_EARLY = (State.IN_PROGRESS, State.GENERATING)  # no picture tells of these
_LONGEST_LINE = 4_000  # characters


class TerminalScreen:
    """A listener that shows pictures in a terminal, as they come; its `with` block waits for the last one.

        with TerminalScreen() as screen:
            assemble(stream, on_update=screen)

    output: a text file; standard output where there is none.
    size: (width, height) in pixels of the pictures that are expected: the placeholder has their aspect.
    graphics: "kitty" and "iterm2" send the pictures as they were received (the kitty protocol takes PNG alone: others
        become one), "blocks" and "blocks-256" draw half blocks in 24-bit colour or with the 256 of xterm, "text" tells
        every change in a line without escape codes. None: the best that the environment says the terminal can; text
        where `output` is no terminal, TERM is "dumb" or NO_COLOR is set.
    columns: how wide pictures are, at most; None: as wide as the terminal.
    min_interval_s: two previews are drawn at least so many seconds apart; with "text" every one is told.
    clock: gives the seconds of the captions, which count from when the screen is entered.

    Items stand one below the other at the bottom, as many as fit; what has ended is left above when the next one
    changes. After the terminal was resized they are drawn anew below. An output that cannot be written to is passed
    over, and `error` tells why. Raises UsageError for arguments that cannot work.
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
        self._paper = Paper(sys.stdout if output is None else output)
        self._graphics: Graphics = graphics or self._paper.graphics()
        is_text = self._graphics == "text"
        painted = _PAINTED.get(self._graphics, _PAINTED_ELSE)
        self._painter: _Lookout | Painter = _Lookout() if is_text else Painter(painted)
        self._canvas: Canvas = Lines(self._paper) if is_text else Pictures(self._paper, self._graphics, columns)
        self._empty = placeholder((1, 1) if is_text else fitted(size, painted))
        self._clock = clock
        self._start: float | None = None  # until it is entered
        self._lock = RLock()  # one draws at a time: the Refresher's thread, or who enters, prints and leaves
        self._refresher = Refresher(
            self._show,
            prepare=self._prepare,
            policy="all" if is_text else "latest",
            min_interval_s=0 if is_text else min_interval_s,
        )

    @property
    def graphics(self) -> Graphics:
        """How pictures are shown."""
        return self._graphics

    @property
    def error(self) -> Exception | None:
        """Why nothing is written any more: the output's own error; None while all is well."""
        return self._paper.error

    def __call__(self, update: Update) -> None:
        """Have `update` shown; returns at once."""
        self._painter.note(update)
        if isinstance(update, StateChanged):
            if update.state in _EARLY:
                self._refresher(_Step(update.item_id, _NO_FRAME, True, update.state))  # noqa: FBT003 - as its fields are
        elif not isinstance(update, FrameAdded) or update.is_latest:
            self._refresher(update)

    def print(self, text: str) -> None:
        """Print a line above the pictures. What is printed in any other way would be drawn over."""
        indent = " " * (len(text) - len(text.lstrip(" ")))
        with self._lock:
            self._canvas.print(indent + clean(text, _LONGEST_LINE))

    def close(self) -> None:
        """Wait until all has been shown; what no picture ever came for goes from the terminal."""
        if self._refresher.close():
            self._finish()

    def __enter__(self) -> TerminalScreen:
        self._seconds()
        if self._graphics != "text":
            self._show(None, Sight(tile=Tile(), image=self._empty, image_id=next(_image_ids)))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> TerminalScreen:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        if await self._refresher.aclose():
            self._finish()

    def __repr__(self) -> str:
        return f"<TerminalScreen of {self._graphics}>"

    def _seconds(self) -> float:
        now = self._clock()
        if self._start is None:
            self._start = now
        return now - self._start

    def _prepare(self, update: Any) -> Sight | None:
        seconds = self._seconds()
        if isinstance(update, _Step):
            tile = Tile(item_id=update.item_id, caption=update.state.replace("_", " "))
            return Sight(tile=tile, image=self._empty, seconds=seconds, image_id=next(_image_ids))
        shown = self._painter(update)
        if shown is None:
            return None
        return Sight(tile=shown.tile, image=shown.image, frame=shown.frame, seconds=seconds, image_id=next(_image_ids))

    def _show(self, _: object, sight: Sight | None) -> None:
        with self._lock:
            if sight:
                self._canvas.show(sight)

    def _finish(self) -> None:
        with self._lock:
            self._canvas.finish()


@contextmanager
def printing_above(screen: TerminalScreen) -> Iterator[None]:
    """What is printed meanwhile on a terminal where `screen` draws stands above its pictures."""
    if screen.graphics == "text" or not screen._paper.is_terminal():
        yield
        return
    above: Any = _Above(screen)
    with ExitStack() as stack:
        for stream, redirected in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if Paper(stream).is_terminal():
                stack.enter_context(redirected(above))
        yield


class _Above(TextIOBase):
    """A text file whose lines are printed above the pictures."""

    def __init__(self, screen: TerminalScreen) -> None:
        self._screen = screen
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
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
class _Step(FrameAdded):
    """A step of an item that has no picture yet. To a Refresher it is a preview: the first real one supersedes it."""

    state: State


_NO_FRAME = Frame(data=b"", format="PNG", size=(1, 1))
_image_ids = count(secrets.randbits(30) + 1)  # of the kitty protocol: those of an earlier run still stand


class _Lookout:
    """A painter that paints nothing: for lines of text no picture is decoded."""

    def __init__(self) -> None:
        self._tiles, self._nothing = Tiles(), placeholder((1, 1))
        self.note = self._tiles.note

    def __call__(self, update: Any) -> Shown | None:
        tile = self._tiles.take(update)
        return None if tile is None else Shown(tile=tile, image=self._nothing)
