"""The protocol of a sink: a listener that stores frames.

Must not know: where frames are stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from .assembler import Assembler
from .updates import Update


@runtime_checkable
class Sink(Protocol):
    """A listener that stores frames. A sink that fails raises SinkError, at the latest from `close()`."""

    def open(self, assembler: Assembler) -> None:
        """Begin to store the frames of this assembler."""

    def __call__(self, update: Update) -> None:
        """Store the frame of `update`, if it has one."""

    def close(self) -> None:
        """Finish: no update follows."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files that exist now."""
