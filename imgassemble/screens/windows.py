"""What the windows of Tk and Qt have in common: the colours of captions, and which arguments can work.

Knows: tiles that stand side by side. Must not know: tkinter, PySide6, streams.
"""

from __future__ import annotations

from ..errors import UsageError
from .tiles import Kind, check_size, is_count

GAP = 8  # pixels around a tile
# Of captions, readable on light and on dark; "" is the host's own.
COLOURS = {
    Kind.WAITING: "#767676",
    Kind.PREVIEW: "#767676",
    Kind.FINAL: "",
    Kind.DRAFT: "#b26a00",
    Kind.FAILED: "#d32f2f",
}


def check_tiles(size: object, columns: object) -> None:
    """Raise UsageError for a size that is no (width, height) in pixels, and for columns that are no number of tiles."""
    check_size(size)
    if not is_count(columns):
        raise UsageError(f"columns is a number of tiles, at least 1, not {columns!r}")
