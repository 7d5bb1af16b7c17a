"""The protocol of a sink: a listener that stores frames.

Must not know: where frames are stored.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from .assembler import Assembler
from .updates import Update


@runtime_checkable
class Sink(Protocol):
    """A listener that stores frames. A sink that fails raises SinkError, at the latest in `close()`.

    A sink may also have `paths`: the files that it has written.
    """

    def open(self, assembler: Assembler) -> None:
        """Start to store the frames of `assembler`."""

    def __call__(self, update: Update) -> None:
        """Store the frame of `update`."""

    def close(self) -> None:
        """Finish: no update follows."""
