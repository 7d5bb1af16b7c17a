"""The protocol of a sink: a listener that stores frames.

Must not know: where frames are stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from .assembler import Assembler
from .updates import Update


@runtime_checkable
class Sink(Protocol):
    """A listener that stores frames. A sink that fails raises SinkError, at the latest in `close()`.

    A sink may also have `paths`: the files that it has written. A driver calls `open`, then the sink with each update,
    then `close`, also if the stream fails.

        assemble(stream, sinks=[DirectorySink("pictures")])
    """

    def open(self, assembler: Assembler) -> None:
        """Start to store the frames of `assembler`."""

    def __call__(self, update: Update) -> None:
        """Store the frame of `update`."""

    def close(self) -> None:
        """Finish: no update follows."""


@runtime_checkable
class ContinuingSink(Sink, Protocol):
    """A sink that continues an earlier run. A driver feeds the saved events first, and then the joined ones."""

    def saved_events(self) -> Iterable[object]:
        """Return the events of the earlier run. Called after `open`; a second call gives no event twice."""

    def join(self, event: object) -> object:
        """Return an event of the stream, changed so that it fits to the earlier run."""
