"""One stream that a gallery lets one producer make, and the contents that earlier producers have left of it.

Must not know: where a gallery keeps its streams, how a stream is read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from threading import TIMEOUT_MAX
from typing import Any, Protocol

from ..arguments import check_seconds, check_text
from ..assembly.assembler import Assembler
from ..assembly.items import Cursor
from ..assembly.updates import Outcome
from ..errors import UsageError
from ..screens.tiles import Kind, check_size
from ..storage.saved import item_events
from ..storage.saved_items import SavedItem
from ..streams.opening.closing import Interruptible
from .changes import PageChange

LEASE_S, RENEW_S = 30.0, 5.0  # the seconds of a lease, and between two renewals, unless a producer sets them
_CAN_GO_ON = "The program that made this picture has stopped. It can be started again, and goes on here."
_CANNOT_GO_ON = "The program that made this picture has stopped, and the picture cannot be finished."


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierStream:
    """The contents that earlier producers have left of a stream.

    items: in the order of their responses, and of their first events.
    cursor: the position up to which nothing of the stream is missing in `items`.
    is_over: the stream has ended, so its service is asked for nothing.
    error: the facts of the error of a stream that failed without an item.
    """

    items: tuple[SavedItem, ...] = ()
    cursor: Cursor = field(default_factory=Cursor)
    is_over: bool = False
    error: dict[str, Any] | None = None

    @property
    def can_go_on(self) -> bool:
        """Whether a producer can continue it, or begin it, and pays for no image twice."""
        return self.is_over or self.cursor.response_id is not None or not self.items

    def all_events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of a stream that is over."""
        response_id = self.cursor.response_id
        if not self.items and response_id:
            yield {"type": "response.created", "response": {"id": response_id}}
        yield from item_events(self.items, {}, is_finished=True)
        if not self.items and self.error:
            yield {"type": "error", "error": self.error}
        elif not self.items and response_id:
            yield {"type": "response.completed", "response": {"id": response_id}}


def check_shown_as(name: object, title: object, size: object) -> None:
    """Raise UsageError for a wrong name, title or size of a stream."""
    check_text("name", name)
    if title is not None:
        check_text("title", title)
    if size is not None:
        check_size(size)


def check_added(assembler: object) -> None:
    """Raise UsageError if `assembler` is neither None nor an Assembler."""
    if not isinstance(assembler, Assembler | None):
        raise UsageError(f"assembler is an Assembler, not {type(assembler).__name__}: gallery.add(name, assembler)")


def check_lease(lease_s: float, renew_s: float) -> None:
    """Raise UsageError unless both are seconds, and the lease is renewed before it ends."""
    check_seconds("lease_s", lease_s)
    check_seconds("renew_s", renew_s)
    if not 0 < renew_s < lease_s < TIMEOUT_MAX:
        raise UsageError(f"lease_s={lease_s:g} ends before it is renewed: choose renew_s below it, as 5 of 30 seconds")


def orphan_change(change: PageChange, *, can_go_on: bool) -> PageChange:
    """Return the change of a stream whose producer has gone before its end."""
    caption = _CAN_GO_ON if can_go_on else _CANNOT_GO_ON
    return replace(change, facts=change.facts | {"is_orphaned": True, "kind": str(Kind.FAILED), "caption": caption})


def in_order_of_responses(items: Iterable[SavedItem]) -> tuple[SavedItem, ...]:
    """Return items in the order of the first items of their responses. `items`: in the order of their first events."""
    ordered = list(items)
    places: dict[str | None, int] = {}
    for item in ordered:
        places.setdefault(item.response_id, len(places))
    return tuple(sorted(ordered, key=lambda item: places[item.response_id]))


def has_all(outcome: Outcome, cursor: Cursor, *, is_read_to_end: bool, has_items: bool) -> bool:
    """Return whether a stream with this outcome needs nothing more from its service.

    All images of a stream can be complete where its producer was interrupted, and others, or better finals, follow.
    A failure is the end of a stream that cannot go on: it has images, and no response id.
    """
    if cursor.response_id is not None:
        return outcome is Outcome.COMPLETED and is_read_to_end
    return outcome is Outcome.COMPLETED or (outcome is Outcome.FAILED and is_read_to_end and has_items)


class StoringWait(Interruptible):
    """The wait until a position is stored. `interrupt` ends it, from any thread."""

    @abstractmethod
    def wait(self) -> None:
        """Return when the position is stored, or after some seconds."""


class Production(Protocol):
    """The right of one producer to make a stream of a gallery."""

    name: str

    def claim(self) -> EarlierStream:
        """Take the stream. Raises StreamTakenError if another producer has it."""

    def show(self, assembler: Assembler) -> None:
        """Show the contents of `assembler`, and each later update."""

    def note(self, cursor: Cursor, *, is_over: bool) -> StoringWait | None:
        """Note the position after an event, and whether the stream is over.

        Returns the wait to make before the next event is read, if the position must be stored first.
        """

    def note_end(self) -> None:
        """Note that the service has ended the stream, and nothing has interrupted it."""

    def finish(self, assembler: Assembler, timeout_s: float) -> None:
        """Wait until viewers can see everything. Raises StreamTakenError or SinkError, with the result."""

    def leave(self) -> None:
        """End the wait of `finish`, in any thread."""

    def release(self) -> None:
        """Give the stream up, so that another producer can take it. A second call changes nothing."""
