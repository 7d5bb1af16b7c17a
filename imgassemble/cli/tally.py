"""Count the events and pictures of a stream, and choose the exit code of the command that reads it.

Must not know: files, terminals, arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..assembly.results import Result
from ..assembly.updates import REFUSED_PICTURE, Anomaly, FinalReady, FrameAdded, Outcome, Update
from ..console import say
from ..errors import EventError
from ..frames.base64_json import load_decoded
from ..limits import Limits
from ..streams.sources import StreamReader, read_events
from ..wire.sse import BOM
from .exit_codes import FAILED, INCOMPLETE, NO_IMAGE, OK, UNREADABLE

_OF_OUTCOME = {
    Outcome.COMPLETED: OK,
    Outcome.FAILED: FAILED,
    Outcome.NO_IMAGE: NO_IMAGE,
    Outcome.INCOMPLETE: INCOMPLETE,
}


@dataclass(slots=True)
class StreamTally:
    """Count the events and the pictures of one stream. It is a listener of the assembler that is fed with them."""

    is_blank: bool = True
    events: int = 0
    unreadable_events: int = 0
    pictures: int = 0
    bad_pictures: int = 0

    def read_events(self, chunks: Iterable[bytes], limits: Limits) -> Iterator[Any]:
        """Yield the events of a stream. If reading fails, print why and end as if the stream were cut there."""
        for box in read_events(self._watched(chunks), StreamReader(limits, load=load_decoded)):
            self.events += 1
            yield box.pop()

    def count(self, events: Iterable[Any]) -> Iterator[Any]:
        """Yield `events`, which need no reading, as those of a saved folder."""
        for event in events:
            self.events += 1
            yield event

    def _watched(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                self.is_blank = self.is_blank and not chunk.removeprefix(BOM).strip()
                yield chunk
        except OSError as cause:
            say(f"reading the stream failed: {cause.strerror or cause}")

    def __call__(self, update: Update) -> None:
        if isinstance(update, Anomaly):
            self.unreadable_events += _is_unreadable_event(update)
            self.bad_pictures += _is_bad_picture(update)
        else:
            self.pictures += isinstance(update, (FrameAdded, FinalReady))

    def exit_code(self, result: Result | None) -> int:
        """Return the exit code of the stream that gave `result`, and print why if nothing could be read."""
        assert result is not None
        has_frames = any(item.latest for item in result.items.values())  # they may be of an earlier run
        if self.events == self.unreadable_events and (self.events or (self.is_blank and not has_frames)):
            say("no event could be read" if self.events else "the stream is empty")
            return UNREADABLE
        if self.bad_pictures and not (self.pictures or has_frames):
            return UNREADABLE
        if result.outcome is Outcome.COMPLETED and any(
            item.is_provisional or item.final is None for item in result.items.values()
        ):
            return INCOMPLETE
        return _OF_OUTCOME[result.outcome]


def _is_unreadable_event(anomaly: Anomaly) -> bool:
    return anomaly.code == "unreadable_event" or (anomaly.item_id is None and anomaly.code == "over_limit")


def _is_bad_picture(anomaly: Anomaly) -> bool:
    if isinstance(anomaly.error, EventError):
        return anomaly.error.has_picture
    return anomaly.item_id is not None and anomaly.code in REFUSED_PICTURE
