"""What a terminal shows of a stream: items at its bottom, each with a picture and a caption, or lines of text.

Knows: which items stand there, how much fits, and what is left above them. Must not know: escape codes (they are in
`graphics`), updates, threads; one at a time draws.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from ..errors import clean
from ..frames.frame import Frame
from .graphics import (
    RESET,
    RESTORE,
    Block,
    Graphics,
    cells_for,
    cut,
    graphics_of,
    half_blocks,
    inline_picture,
    kitty_picture,
    kitty_removal,
    png_of,
    redrawn,
    width_of,
    wrapped,
)
from .progress import short
from .tiles import Kind, Tile

_LEAST_ROWS = 8  # of an item, its caption included: below that nothing can be seen, and fewer items are shown
_LEFT_LINES = (
    3  # of the terminal: the cursor's, and those that push nothing out when it has ended, an outcome and a prompt
)
_MOST_WORDS = 4  # lines of a caption that says what went wrong
_COLOURS = {Kind.FINAL: "\x1b[32m", Kind.DRAFT: "\x1b[33m", Kind.FAILED: "\x1b[31m"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is shown of an item. `frame`: the one that `image` was painted from, None for a placeholder."""

    tile: Tile
    image: Any
    frame: Frame | None = None
    seconds: float | None = None
    image_id: int = 0

    @property
    def has_ended(self) -> bool:
        return self.tile.kind in (Kind.FINAL, Kind.DRAFT, Kind.FAILED)

    @property
    def stands_for_all(self) -> bool:
        return not self.tile.item_id and self.tile.kind is Kind.WAITING

    @property
    def aspect(self) -> tuple[int, int]:
        return self.frame.size if self.frame else self.image.size


def _named(tile: Tile) -> str:
    return short(tile.item_id) if tile.item_id else ""  # a stream that has named no item yet


def _said(tile: Tile) -> str:
    """What a tile's caption says, with the facts of a final."""
    if tile.kind is not Kind.FINAL or tile.frame is None:
        return clean(tile.caption)
    width, height = tile.frame.size
    return f"final {width}x{height} {tile.frame.format}{clean(tile.caption.removeprefix('final'))}"


class Paper:
    """The output: text goes out at once, or, where that fails, never again."""

    def __init__(self, output: TextIO | None) -> None:
        self.error: Exception | None = None
        self._output = output

    def graphics(self) -> Graphics:
        encoding = getattr(self._output, "encoding", None)
        return graphics_of(os.environ, is_terminal=self.is_terminal(), encoding=encoding)

    def is_terminal(self) -> bool:
        with suppress(OSError, ValueError, AttributeError):  # it was closed; there is none
            return self._output is not None and self._output.isatty()
        return False

    def write(self, text: str) -> None:
        if self._output is None or self.error:
            return
        encoding = getattr(self._output, "encoding", None) or "utf-8"
        try:
            self._send(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as cause:  # a reader that went away, a full disk; ValueError: it was closed
            self.error = cause
        except BaseException:  # interrupted in the middle of a picture
            with suppress(Exception):
                self._send(RESTORE)
            raise

    def _send(self, text: str) -> None:
        assert self._output is not None
        self._output.write(text)
        self._output.flush()

    def _fileno(self) -> int:
        if self._output is None:
            raise OSError("there is no output")
        return self._output.fileno()

    def size(self) -> tuple[int, int]:
        """(columns, lines) of the terminal."""
        with suppress(OSError, ValueError, AttributeError):
            columns, lines = os.get_terminal_size(self._fileno())
            if columns > 0 and lines > 0:
                return columns, lines
        return shutil.get_terminal_size()

    def cell_aspect(self) -> float:
        """Height to width of a cell; 2 where the terminal does not say."""
        try:
            from fcntl import ioctl
            from struct import unpack
            from termios import TIOCGWINSZ

            lines, columns, width, height = unpack("4H", ioctl(self._fileno(), TIOCGWINSZ, bytes(8)))
            aspect: float = (height / lines) / (width / columns)
        except (ImportError, OSError, ValueError, AttributeError, ZeroDivisionError):
            return 2.0
        return min(4.0, max(1.0, aspect))  # what is no letter any more is no measure


class Canvas(Protocol):
    """Where sights are drawn."""

    def show(self, sight: Sight) -> None:
        """Draw it, in place of what stands there of the same item."""

    def print(self, text: str) -> None:
        """Print a line over all that may still change."""

    def finish(self) -> None:
        """Nothing comes any more."""


class Lines:
    """One line for each change, without escape codes."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def show(self, sight: Sight) -> None:
        name, said = _named(sight.tile), _said(sight.tile)
        self.print(f"{name}: {said}" if name else said)

    def print(self, text: str) -> None:
        self._paper.write(f"{text}\n")

    def finish(self) -> None:
        pass


class Pictures:
    """The items at the bottom of a terminal, each with its picture and a caption."""

    def __init__(self, paper: Paper, graphics: Graphics, columns: int | None) -> None:
        self._paper, self._graphics, self._most_columns = paper, graphics, columns
        self._sights: dict[str, Sight] = {}  # in the order in which their items came
        self._changed: list[str] = []  # their ids, the newest change last
        self._blocks: list[Block] = []  # as they stand there
        self._ids: set[int] = set()  # of their pictures
        self._size = (0, 0)  # of the terminal, when it was last looked at

    def show(self, sight: Sight) -> None:
        item_id = sight.tile.item_id
        others = [each for each in self._sights.values() if each.tile.item_id != item_id]
        ended = [each for each in others if each.has_ended]
        for each in others:
            if each.has_ended or each.stands_for_all:
                del self._sights[each.tile.item_id]
        self._sights[item_id] = sight
        self._changed = [each for each in self._changed if each in self._sights and each != item_id] + [item_id]
        self._draw(ended)

    def print(self, text: str) -> None:
        self._draw(above=[Block((text,))])

    def finish(self) -> None:
        waiting = [item_id for item_id, sight in self._sights.items() if sight.tile.kind is Kind.WAITING]
        for item_id in waiting:
            del self._sights[item_id]
        if waiting:
            self._draw()

    def _draw(self, ended: Sequence[Sight] = (), above: Sequence[Block] = ()) -> None:
        size = self._paper.size()
        if size != self._size:  # lines may stand elsewhere now: what is there is left alone
            self._size, self._blocks = size, []
        rows = max(1, size[1] - _LEFT_LINES)
        for item_id in self._changed[: -max(1, rows // _LEAST_ROWS)]:
            self._sights.pop(item_id, None)  # it comes back with its next change
        each = rows // max(1, len(self._sights))
        blocks = [self._block(sight, each) for sight in self._sights.values()]
        over = [*above, *(self._block(sight, rows) for sight in ended)]
        self._paper.write(redrawn(self._blocks, blocks, over) + self._removals(ended))
        self._blocks = blocks

    def _removals(self, ended: Sequence[Sight]) -> str:
        """What frees the pictures that are drawn over. Those that have ended stay where they are."""
        ids = {sight.image_id for sight in self._sights.values()}
        gone = self._ids - ids - {sight.image_id for sight in ended}
        self._ids = ids
        return "".join(map(kitty_removal, sorted(gone))) if self._graphics == "kitty" else ""

    def _block(self, sight: Sight, rows: int) -> Block:
        """What is seen of an item on `rows` lines, at most."""
        columns = max(1, self._size[0] - 1)  # a full line would wrap in some terminals
        caption = _caption(sight, columns, min(_MOST_WORDS, rows))
        room = min(columns, self._most_columns or columns), rows - len(caption)
        if room[1] < 1 or (sight.tile.kind is Kind.FAILED and sight.tile.frame is None):
            return Block(caption)
        cells = cells_for(sight.aspect, room, self._paper.cell_aspect())
        if self._graphics.startswith("blocks"):
            lines = half_blocks(sight.image, cells, has_all_colours=self._graphics == "blocks")
            return Block((*lines, *caption))
        return Block((*[""] * cells[1], *caption), self._picture(sight, cells), cells)

    def _picture(self, sight: Sight, cells: tuple[int, int]) -> str:
        if self._graphics == "kitty":
            return kitty_picture(png_of(sight.frame, sight.image), cells, sight.image_id)
        return inline_picture(sight.frame.data if sight.frame else png_of(None, sight.image), cells)


def _caption(sight: Sight, columns: int, most_lines: int) -> tuple[str, ...]:
    """The line under a picture; what went wrong may take some more."""
    tile = sight.tile
    name, said = _named(tile), _said(tile)
    seconds = "" if sight.seconds is None else f"{sight.seconds:.1f} s"
    may_wrap = tile.kind in (Kind.FAILED, Kind.DRAFT)
    if not may_wrap and width_of("  ".join((name, said, seconds))) > columns:
        name = cut(name, max(0, columns - width_of(f"  {said}  {seconds}")))  # the rest says more
    parts = [part for part in (name, said, seconds) if part]
    lines = wrapped("  ".join(parts), columns, most_lines if may_wrap else 1)
    colour = _COLOURS.get(tile.kind)
    return tuple(f"{colour}{line}{RESET}" if colour else line for line in lines)
