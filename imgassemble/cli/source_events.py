"""Give the events of SOURCE: a file, standard input, or a folder that `save` wrote.

Must not know: what a command does with the events.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import UsageError, quoted
from ..limits import Limits
from ..storage.saved import saved_events
from ..streams.sources import open_chunks
from .options import option
from .stdin import read_stdin
from .tally import StreamTally

SOURCE_OR_FOLDER = option(
    "source", metavar="SOURCE", help="a recorded stream or answer, a folder that save wrote, or - for standard input"
)


def is_saved_folder(source: str) -> bool:
    """Return whether a source is a folder, and not standard input."""
    return source != "-" and Path(source).is_dir()


def events_of_source(source: str, tally: StreamTally, limits: Limits) -> Iterator[Any]:
    """Yield the events of `source`, counted by `tally`. Raises UsageError if `source` cannot be read."""
    if source == "-":
        return tally.read_events(read_stdin(), limits)
    if not is_saved_folder(source):
        return tally.read_events(open_chunks(source), limits)
    events = iter(saved_events(source))
    first = next(events, None)
    if first is None:
        raise UsageError(f"cannot read {quoted(source)}: it is a folder, and not one that save wrote")
    return tally.count(chain((first,), events))
