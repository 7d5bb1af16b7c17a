"""What feeding an event changed, as past facts, and the order in which they are told.

Knows: what was told of an item before, and the verdict now. Must not know: events, who listens.
In one feed, for one item: StateChanged, FrameAdded, FinalReady or FinalWithdrawn, ItemEnded; then anomalies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from ..errors import ImgassembleError
from ..frames.frame import Frame
from ..readonly import plain
from ..states import State
from .lifecycle import Verdict


class Outcome(StrEnum):
    """How a stream ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    NO_IMAGE = "no_image"


class _Update:
    """Something that happened; `as_dict` gives it as JSON-able facts, without base64 or pixels."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """The update as JSON-able facts: its name under "update", then its fields. No base64, no pixels."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {"update": type(self).__name__} | {name: plain(value) for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class StateChanged(_Update):
    """An item stands elsewhere now. `previous` is None for an item that is new."""

    item_id: str
    state: State
    previous: State | None


@dataclass(frozen=True, slots=True)
class FrameAdded(_Update):
    """A partial came. `is_latest`: it is the item's best picture so far, show it."""

    item_id: str
    frame: Frame
    is_latest: bool


@dataclass(frozen=True, slots=True)
class FinalReady(_Update):
    """An item has its final picture. `is_provisional`: it is only the last partial, no result will come."""

    item_id: str
    frame: Frame
    is_provisional: bool


@dataclass(frozen=True, slots=True)
class FinalWithdrawn(_Update):
    """The final that was told before is none any more. `frame`: that picture; `error`: why."""

    item_id: str
    frame: Frame
    error: ImgassembleError | None


@dataclass(frozen=True, slots=True)
class ItemEnded(_Update):
    """An item is COMPLETED, FAILED or INCOMPLETE. Told again where stronger evidence moves it to another end."""

    item_id: str
    state: State
    error: ImgassembleError | None


AnomalyCode = Literal[
    "unreadable_event",  # EventError: no JSON, no type, cut in the middle
    "missing_item_id",  # EventError: it concerns an item and does not say which
    "bad_index",  # FrameError: a partial without a usable partial_image_index; it counts as the next
    "bad_base64",  # FrameEncodingError
    "bad_picture",  # FrameDecodeError
    "over_limit",  # LimitError
    "false_claim",  # FrameError: the bytes are of another format or size than their message says
    "conflicting_picture",  # FrameError: two different pictures for one place
]


MOST_ANOMALIES = 100  # kept for an item, and for the stream: enough to see what is wrong, bounded on a hostile stream


@dataclass(frozen=True, slots=True)
class Anomaly(_Update):
    """Something was wrong with an event, and the stream goes on. `item_id` is None where it concerns no item."""

    item_id: str | None
    code: AnomalyCode
    message: str
    error: ImgassembleError


@dataclass(frozen=True, slots=True)
class StreamEnded(_Update):
    """The stream has ended. `error`: what went wrong, None where the outcome is COMPLETED."""

    outcome: Outcome
    error: ImgassembleError | None


Update = StateChanged | FrameAdded | FinalReady | FinalWithdrawn | ItemEnded | Anomaly | StreamEnded


class Told(NamedTuple):
    """What the listeners know of an item."""

    state: State | None = None
    final: Frame | None = None
    is_provisional: bool = False
    end: State | None = None


def tell(
    item_id: str,
    told: Told,
    verdict: Verdict,
    *,
    latest: Frame | None,
    added: Iterable[Frame],
    error: ImgassembleError | None,
    is_over: bool,
) -> tuple[list[Update], Told]:
    """The updates that lead from what was told to `verdict`, in order, and what is told then.

    A provisional final is told only when nothing better can come (`is_over`), and no item is told COMPLETED before its
    final is.
    """
    final = verdict.final if is_over or not verdict.is_provisional else None
    has_ended = verdict.state.is_end and (final is not None or verdict.state is not State.COMPLETED)
    now = Told(verdict.state, final, final is not None and verdict.is_provisional, verdict.state if has_ended else None)
    return list(_steps(item_id, told, now, latest, added, error)), now


def _steps(
    item_id: str, told: Told, now: Told, latest: Frame | None, added: Iterable[Frame], error: ImgassembleError | None
) -> Iterator[Update]:
    if now.state is not None and now.state is not told.state:
        yield StateChanged(item_id, now.state, told.state)
    for frame in added:
        yield FrameAdded(item_id, frame, frame is latest)
    if now.final is not None and (now.final, now.is_provisional) != (told.final, told.is_provisional):
        yield FinalReady(item_id, now.final, now.is_provisional)
    if now.final is None and told.final is not None:
        yield FinalWithdrawn(item_id, told.final, error)
    if now.end is not None and now.end is not told.end:
        yield ItemEnded(item_id, now.end, error)
