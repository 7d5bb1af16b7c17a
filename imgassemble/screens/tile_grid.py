"""What the windows of Tk and Qt have in common: how many tiles they have, and for which item; colours; wrong arguments.

Knows: tiles that stand side by side. Must not know: tkinter, PySide6, streams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import UsageError
from .tiles import LONGEST_CAPTION, Kind, check_size, is_count

GAP = 8  # pixels around a tile
# Of captions, readable on light and on dark; "" is the host's own.
COLOURS = {
    Kind.WAITING: "#767676",
    Kind.PREVIEW: "#767676",
    Kind.FINAL: "",
    Kind.DRAFT: "#b26a00",
    Kind.FAILED: "#d32f2f",
}
# Pixels. X11 knows none longer than 32,767: it ends a program whose Tk draws one. The rest is for what is around it.
_LONGEST_SIDE = 32_000
_LETTER = 10, 20  # (width, height) of a caption's letters in pixels, about

_Tile = TypeVar("_Tile")


def tile_of(tiles: dict[str, _Tile], item_id: str, most_tiles: int, make: Callable[[int], _Tile]) -> _Tile:
    """The tile of an item that changes, out of `tiles`, where it becomes the last.

    An item without one takes the tile of no item, else a new one: `make` is given its place. Where there are
    `most_tiles`, it takes the one that changed longest ago.
    """
    tile = tiles.pop(item_id if item_id in tiles else "", None)
    if tile is None and len(tiles) >= most_tiles:
        tile = tiles.pop(next(iter(tiles)))
    tiles[item_id] = tile = make(len(tiles)) if tile is None else tile
    return tile


def rows_and_columns(size: tuple[int, int], columns: int) -> tuple[int, int]:
    """How many rows of tiles fit in a window, whatever their captions say, and how many of the asked columns."""
    lines = 1 + LONGEST_CAPTION * _LETTER[0] // size[0]
    width, height = size[0] + 2 * GAP, size[1] + 3 * GAP + lines * _LETTER[1]
    return max(1, _LONGEST_SIDE // height), max(1, min(columns, _LONGEST_SIDE // width))


def check_tiles(size: object, columns: object) -> None:
    """Raise UsageError for a size that is no (width, height) in pixels, and for columns that are no number of tiles."""
    check_size(size)
    if not is_count(columns):
        raise UsageError(f"columns is a number of tiles, at least 1, not {columns!r}")
