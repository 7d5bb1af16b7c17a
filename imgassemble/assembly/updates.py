"""Updates: the changes that an event caused, as past facts, and the order in which they are reported.

In one feed, for one item: StateChanged, FrameAdded, FinalReady or FinalWithdrawn, ItemEnded; then anomalies.

Must not know: events, listeners.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from ..errors import ImgassembleError, clean
from ..frames.frame import Frame
from ..readonly import plain
from ..states import State
from .lifecycle import Verdict

_LONGEST_SHOWN = 100  # characters of a text in a repr


class Outcome(StrEnum):
    """How a stream ended. Each is also a str: `Outcome.COMPLETED == "completed"`.

    COMPLETED: every image has its final, and no response failed.
    FAILED: the service reported an error for an image, or for the last response.
    INCOMPLETE: the stream ended before an image was whole.
    NO_IMAGE: the stream has no image: a refusal, an answer in words, another kind of stream.
    """

    COMPLETED = "completed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    NO_IMAGE = "no_image"


def _show(value: Any) -> str:
    """Return a value for a repr: an enum as its word, and long text shortened."""
    if isinstance(value, StrEnum):
        return str(value)
    return repr(clean(value, _LONGEST_SHOWN)) if isinstance(value, str) else repr(value)


class _Update:
    """A change; `as_dict` returns it as JSON-able facts, without base64 or pixels."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the update as JSON-able facts: its name under "update", then its fields. No base64, no pixels."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {"update": type(self).__name__} | {name: plain(value) for name, value in values.items()}

    def __repr__(self) -> str:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]
        shown = (f"{name}={_show(value)}" for name, value in values if value is not None)
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True, repr=False)
class StateChanged(_Update):
    """An item has another state.

    item_id: the id of the item.
    state: its state now.
    previous: its state before; None for a new item.
    """

    item_id: str
    state: State
    previous: State | None


@dataclass(frozen=True, slots=True, repr=False)
class FrameAdded(_Update):
    """A partial arrived.

    item_id: the id of its item.
    frame: the picture.
    is_latest: whether it is the best picture of the item so far. A partial that comes late is not: do not show it.

        case FrameAdded(is_latest=True, frame=frame):
            show(frame.decode())
    """

    item_id: str
    frame: Frame
    is_latest: bool


@dataclass(frozen=True, slots=True, repr=False)
class FinalReady(_Update):
    """An item has its final picture. It is reported again if a better one arrives.

    item_id: the id of the item.
    frame: the picture.
    is_provisional: whether it is only the last partial, because the service completed the image without a result.

        case FinalReady(frame=frame, is_provisional=False):
            frame.save("otter")
    """

    item_id: str
    frame: Frame
    is_provisional: bool


@dataclass(frozen=True, slots=True, repr=False)
class FinalWithdrawn(_Update):
    """The final that was reported before is not valid any more: remove it where you have stored it.

    item_id: the id of the item.
    frame: the picture that is withdrawn.
    error: the reason, which the item has too; None if it has none.
    """

    item_id: str
    frame: Frame
    error: ImgassembleError | None


@dataclass(frozen=True, slots=True, repr=False)
class ItemEnded(_Update):
    """An item has ended. It is reported again if stronger evidence moves the item to another end.

    item_id: the id of the item.
    state: COMPLETED, FAILED or INCOMPLETE.
    error: the reason; None if the item is COMPLETED.
    """

    item_id: str
    state: State
    error: ImgassembleError | None


AnomalyCode = Literal[
    "unreadable_event",  # EventError: no JSON, no type, cut in the middle
    "missing_item_id",  # EventError: it concerns an item, and has neither an id nor a place
    "changing_ids",  # EventError: a third id for one place; the service seems to change ids from event to event
    "no_picture",  # EventError: a whole answer without a picture that can be used
    "bad_index",  # FrameError: a partial without a usable partial_image_index; it counts as the next
    "bad_base64",  # FrameEncodingError
    "bad_picture",  # FrameDecodeError
    "over_limit",  # LimitError
    "false_claim",  # FrameError: the bytes have another format or size than their message says
    "conflicting_picture",  # FrameError: two different pictures for one place
    "not_fetched",  # FrameError: the picture at a URL cannot be fetched
]
# The codes for a picture of an item that cannot be used.
REFUSED_PICTURE: tuple[AnomalyCode, ...] = ("bad_base64", "bad_picture", "over_limit")


MOST_ANOMALIES = 100  # kept for an item, and for the stream: enough to find the cause, bounded for a hostile stream


@dataclass(frozen=True, slots=True, repr=False)
class Anomaly(_Update):
    """Part of an event was wrong, and the stream goes on.

    item_id: the item that it concerns; None if it concerns none.
    code: the kind of problem, for example "bad_picture" or "false_claim".
    message: one sentence for people.
    error: the same problem as an exception, with its data.
    """

    item_id: str | None
    code: AnomalyCode
    message: str
    error: ImgassembleError


@dataclass(frozen=True, slots=True, repr=False)
class StreamEnded(_Update):
    """The stream has ended; no update follows.

    outcome: how it ended.
    error: the reason; None if the outcome is COMPLETED.

        case StreamEnded(error=error) if error:
            print(error)
    """

    outcome: Outcome
    error: ImgassembleError | None


Update = StateChanged | FrameAdded | FinalReady | FinalWithdrawn | ItemEnded | Anomaly | StreamEnded
"""Any of the updates: the type of the argument of a listener."""


class LastReport(NamedTuple):
    """The last report about an item. New updates are the difference to it."""

    state: State | None = None
    final: Frame | None = None
    is_provisional: bool = False
    end: State | None = None


def updates_for(
    item_id: str,
    before: LastReport,
    verdict: Verdict,
    *,
    latest: Frame | None,
    added: Iterable[Frame],
    error: ImgassembleError | None,
    is_over: bool,
) -> tuple[list[Update], LastReport]:
    """Return the updates that lead from `before` to `verdict`, in order, and the new last report.

    A provisional final is reported only once no real result can arrive (`is_over`). The final of an item is reported
    before the item is reported as COMPLETED.
    """
    final = verdict.final if is_over or not verdict.is_provisional else None
    has_ended = verdict.state.is_end and (final is not None or verdict.state is not State.COMPLETED)
    is_provisional = final is not None and verdict.is_provisional
    now = LastReport(verdict.state, final, is_provisional, verdict.state if has_ended else None)
    return list(_steps(item_id, before, now, latest, added, error)), now


def _steps(
    item_id: str,
    before: LastReport,
    now: LastReport,
    latest: Frame | None,
    added: Iterable[Frame],
    error: ImgassembleError | None,
) -> Iterator[Update]:
    if now.state is not None and now.state is not before.state:
        yield StateChanged(item_id, now.state, before.state)
    for frame in added:
        yield FrameAdded(item_id, frame, frame is latest)
    if now.final is not None and (now.final, now.is_provisional) != (before.final, before.is_provisional):
        yield FinalReady(item_id, now.final, now.is_provisional)
    if now.final is None and before.final is not None:
        yield FinalWithdrawn(item_id, before.final, error)
    if now.end is not None and now.end is not before.end:
        yield ItemEnded(item_id, now.end, error)
