"""The grid of tiles in the windows of Tk and Qt: the number of tiles, the tile of each item, colours, arguments.

Must not know: tkinter, PySide6, streams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import UsageError
from .tiles import LONGEST_CAPTION, WAITING_STREAM, Kind, check_size, is_count

GAP = 8  # pixels around a tile
# Colours of captions, readable on light and on dark backgrounds; "" is the host's own colour.
COLOURS = {
    Kind.WAITING: "#767676",
    Kind.PREVIEW: "#767676",
    Kind.FINAL: "",
    Kind.DRAFT: "#b26a00",
    Kind.FAILED: "#d32f2f",
    Kind.BLOCKED: "#d32f2f",
}
# Pixels. X11 allows 32,767 and ends a program whose Tk draws more. The difference is for the frame of the window.
_LONGEST_SIDE = 32_000
_LETTER = 10, 20  # approximate (width, height) of a letter of a caption in pixels

_Widget = TypeVar("_Widget")


def assign_tile(tiles: dict[str, _Widget], place: str, most_tiles: int, make: Callable[[int], _Widget]) -> _Widget:
    """Return the widget for a place (`Tile.place`) that changes, and make it the last in `tiles`.

    A place without a widget takes that of the waiting stream, or else a new one: `make` is called with its position
    from 0. With `most_tiles` widgets already, it takes the one that changed longest ago.
    """
    tile = tiles.pop(place if place in tiles else WAITING_STREAM, None)
    if tile is None and len(tiles) >= most_tiles:
        tile = tiles.pop(next(iter(tiles)))
    tiles[place] = tile = make(len(tiles)) if tile is None else tile
    return tile


def count_rows_and_columns(size: tuple[int, int], columns: int) -> tuple[int, int]:
    """Return how many rows of tiles a window can have with captions of any length, and how many of these columns."""
    lines = 1 + LONGEST_CAPTION * _LETTER[0] // size[0]
    width, height = size[0] + 2 * GAP, size[1] + 3 * GAP + lines * _LETTER[1]
    return max(1, _LONGEST_SIDE // height), max(1, min(columns, _LONGEST_SIDE // width))


def check_tiles(size: object, columns: object) -> None:
    """Raise UsageError unless `size` is (width, height) in pixels and `columns` a number of tiles, each from 1."""
    check_size(size)
    if not is_count(columns):
        raise UsageError(f"columns is a number of tiles, at least 1, not {columns!r}")
