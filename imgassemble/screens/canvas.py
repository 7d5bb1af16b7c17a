"""Lay out the items of a terminal screen, and write them to the terminal.

The items are at the bottom, each with a picture and a caption; or they are lines of text. The canvas chooses the items
that fit, and leaves ended items above them. One thread at a time draws.
Must not know: escape codes (they are in `graphics`), updates, threads.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TextIO

from ..errors import clean
from ..frames.frame import Frame
from .graphics import (
    RESET,
    RESTORE,
    Block,
    Graphics,
    choose_graphics,
    draw_half_blocks,
    encode_inline,
    encode_kitty,
    encode_kitty_removal,
    encode_png,
    fit_cells,
    measure_columns,
    redraw,
    wrap_to_columns,
)
from .progress import size_text
from .tiles import WAITING_STREAM, Kind, Tile

_LEAST_ROWS = 8  # of an item with its caption; if items had fewer rows, fewer items are shown
_FREE_LINES = 3  # below the items: for the cursor, and later for an outcome and a prompt
_MOST_CAPTION_LINES = 4  # of a caption that explains a failure
_UNBROKEN = "\0"  # stands for a space at which no line is broken
_COLOURS = {Kind.FINAL: "\x1b[32m", Kind.DRAFT: "\x1b[33m", Kind.FAILED: "\x1b[31m", Kind.BLOCKED: "\x1b[31m"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedPicture:
    """The picture of an item.

    name: "image 1"; "" for the stream itself. frame: the frame that `image` shows, None for a placeholder. seconds: its
    time.
    """

    tile: Tile
    name: str = ""
    image: Any
    frame: Frame | None = None
    seconds: float | None = None
    image_id: int = 0

    @property
    def has_ended(self) -> bool:
        return not self.tile.kind.is_open

    @property
    def caption(self) -> str:
        """The name and the caption."""
        return f"{self.name}: {_describe(self.tile)}" if self.name else _describe(self.tile)

    @property
    def aspect(self) -> tuple[int, int]:
        size: tuple[int, int] = (self.frame and self.frame.size) or self.image.size
        return size


def _describe(tile: Tile) -> str:
    """Return the caption of a tile; for a final with its format and size."""
    if tile.kind is not Kind.FINAL or tile.frame is None:
        return clean(tile.caption)
    kind = " ".join(filter(None, (tile.frame.format, size_text(tile.frame))))
    return f"final, {kind}{clean(tile.caption.removeprefix('final'))}"


class Output:
    """The text file of a terminal screen. Text is flushed at once. After an error nothing is written any more."""

    def __init__(self, file: TextIO | None) -> None:
        self.error: Exception | None = None
        self._file = file

    def graphics(self) -> Graphics:
        encoding = getattr(self._file, "encoding", None)
        return choose_graphics(os.environ, is_terminal=self.is_terminal(), encoding=encoding)

    def is_terminal(self) -> bool:
        with suppress(OSError, ValueError, AttributeError):  # it was closed, or there is no file
            return self._file is not None and self._file.isatty()
        return False

    def write(self, text: str) -> None:
        if self._file is None or self.error:
            return
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        try:
            self._send(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as cause:  # ValueError: the file was closed
            self.error = cause
        except BaseException:  # interrupted in the middle of a picture
            with suppress(Exception):
                self._send(RESTORE)
            raise

    def _send(self, text: str) -> None:
        assert self._file is not None
        self._file.write(text)
        self._file.flush()

    def _fileno(self) -> int:
        if self._file is None:
            raise OSError("there is no output file")
        return self._file.fileno()

    def size(self) -> tuple[int, int]:
        """Return the (columns, lines) of the terminal."""
        with suppress(OSError, ValueError, AttributeError):
            columns, lines = os.get_terminal_size(self._fileno())
            if columns > 0 and lines > 0:
                return columns, lines
        return shutil.get_terminal_size()

    def cell_aspect(self) -> float:
        """Return height / width of a cell; 2 if the terminal does not report it."""
        try:
            from fcntl import ioctl
            from struct import unpack
            from termios import TIOCGWINSZ

            lines, columns, width, height = unpack("4H", ioctl(self._fileno(), TIOCGWINSZ, bytes(8)))
            aspect: float = (height / lines) / (width / columns)
        except (ImportError, OSError, ValueError, AttributeError, ZeroDivisionError):
            return 2.0
        return min(4.0, max(1.0, aspect))  # a wrong report must not distort pictures


class Canvas(Protocol):
    """A place to draw pictures."""

    def show(self, picture: TimedPicture) -> None:
        """Draw the picture in place of the earlier one of the same item."""

    def print(self, text: str) -> None:
        """Print a line above all pictures that may still change."""

    def show_seconds(self, seconds: float) -> None:
        """Show how long the unfinished items have been waited for."""

    def finish(self) -> None:
        """Remove the placeholders: no picture follows."""


class LineCanvas:
    """A canvas that prints one line for each change, without escape codes."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def show(self, picture: TimedPicture) -> None:
        self.print(picture.caption)

    def print(self, text: str) -> None:
        self._output.write(f"{text}\n")

    def show_seconds(self, seconds: float) -> None:
        pass

    def finish(self) -> None:
        pass


class PictureCanvas:
    """A canvas at the bottom of a terminal: items one below the other, each with its picture and a caption."""

    def __init__(self, output: Output, graphics: Graphics, columns: int | None) -> None:
        self._output, self._graphics, self._most_columns = output, graphics, columns
        self._pictures: dict[str, TimedPicture] = {}  # by place, in the order of their first pictures
        self._changed: list[str] = []  # places, the newest change last
        self._blocks: list[Block] = []  # as drawn last
        self._ids: set[int] = set()  # of the pictures in the terminal
        self._size = (0, 0)  # of the terminal, at the last drawing

    def show(self, picture: TimedPicture) -> None:
        place = picture.tile.place
        others = [each for each in self._pictures.values() if each.tile.place != place]
        ended = [each for each in others if each.has_ended]
        for each in others:
            if each.has_ended or each.tile.place == WAITING_STREAM:
                del self._pictures[each.tile.place]
        self._pictures[place] = picture
        self._changed = [each for each in self._changed if each in self._pictures and each != place] + [place]
        self._draw(ended)

    def print(self, text: str) -> None:
        self._draw(above=[Block((text,))])

    def show_seconds(self, seconds: float) -> None:
        unfinished = {place: each for place, each in self._pictures.items() if not each.has_ended}
        self._pictures |= {place: replace(each, seconds=seconds) for place, each in unfinished.items()}
        if unfinished:
            self._draw()

    def finish(self) -> None:
        waiting = [place for place, picture in self._pictures.items() if picture.tile.kind is Kind.WAITING]
        for place in waiting:
            del self._pictures[place]
        if waiting:
            self._draw()

    def _draw(self, ended: Sequence[TimedPicture] = (), above: Sequence[Block] = ()) -> None:
        size = self._output.size()
        if size != self._size:  # after a resize the old lines may have moved: leave them, and draw below
            self._size, self._blocks = size, []
        rows = max(1, size[1] - _FREE_LINES)
        for place in self._changed[: -max(1, rows // _LEAST_ROWS)]:
            self._pictures.pop(place, None)  # its next change shows it again
        each = rows // max(1, len(self._pictures))
        blocks = [self._block(picture, each) for picture in self._pictures.values()]
        over = [*above, *(self._block(picture, rows) for picture in ended)]
        self._output.write(redraw(self._blocks, blocks, over) + self._removals(ended))
        self._blocks = blocks

    def _removals(self, ended: Sequence[TimedPicture]) -> str:
        """Return the text that frees replaced pictures in the terminal. Ended items keep theirs."""
        ids = {picture.image_id for picture in self._pictures.values()}
        gone = self._ids - ids - {picture.image_id for picture in ended}
        self._ids = ids
        return "".join(map(encode_kitty_removal, sorted(gone))) if self._graphics == "kitty" else ""

    def _block(self, picture: TimedPicture, rows: int) -> Block:
        """Return the picture and the caption of an item, on at most `rows` lines."""
        columns = max(1, self._size[0] - 1)  # some terminals wrap a full line
        caption = _caption(picture, columns, min(_MOST_CAPTION_LINES, rows))
        room = min(columns, self._most_columns or columns), rows - len(caption)
        if room[1] < 1 or (picture.tile.kind.has_failed and picture.tile.frame is None):
            return Block(caption)
        cells = fit_cells(picture.aspect, room, self._output.cell_aspect())
        if self._graphics.startswith("blocks"):
            lines = draw_half_blocks(picture.image, cells, has_all_colours=self._graphics == "blocks")
            return Block((*lines, *caption))
        return Block((*[""] * cells[1], *caption), self._picture(picture, cells), cells)

    def _picture(self, picture: TimedPicture, cells: tuple[int, int]) -> str:
        frame = None if picture.tile.kind is Kind.FAILED else picture.frame  # a failed one is painted without colours
        if self._graphics == "kitty":
            return encode_kitty(encode_png(frame, picture.image), cells, picture.image_id)
        return encode_inline(frame.data if frame else encode_png(None, picture.image), cells)


def _caption(picture: TimedPicture, columns: int, most_lines: int) -> tuple[str, ...]:
    """Return the line under a picture; an explanation may take several lines."""
    tile = picture.tile
    seconds = "" if picture.seconds is None else f"  {picture.seconds:.1f}{_UNBROKEN}s"
    may_wrap = tile.kind in (Kind.FAILED, Kind.BLOCKED, Kind.DRAFT) or picture.frame is not tile.frame
    text = f"{picture.caption}{seconds}"
    if not may_wrap and measure_columns(text) > columns:
        text = f"{_describe(tile)}{seconds}"  # more important than the name
    lines = wrap_to_columns(text.replace("image ", f"image{_UNBROKEN}", 1), columns, most_lines if may_wrap else 1)
    lines = [line.replace(_UNBROKEN, " ") for line in lines]
    colour = _COLOURS.get(tile.kind)
    return tuple(f"{colour}{line}{RESET}" if colour else line for line in lines)
