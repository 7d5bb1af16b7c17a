"""The protocol of a sink: a listener that stores frames.

Knows: when a sink is opened, called and closed. Must not know: where frames are stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from .assembler import Assembler
from .updates import Update


@runtime_checkable
class Sink(Protocol):
    """A listener that keeps frames. A sink that fails raises SinkError, at the latest from `close()`."""

    def open(self, assembler: Assembler) -> None:
        """Begin to keep the frames of this assembler."""

    def __call__(self, update: Update) -> None:
        """Keep what `update` tells."""

    def close(self) -> None:
        """All has been told."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that stand now."""
