"""The updates that wait to be shown, and the choice of the next one.

Must not know: threads, clocks, screens; its caller passes the time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from ..assembly.updates import FinalReady, FinalWithdrawn, FrameAdded, ItemEnded, StreamEnded, Update
from ..errors import is_blocked

Policy = Literal["latest", "all"]
"""Which previews a Refresher shows: the newest of each item, or all."""

# Four items with all the partials that `Limits` keeps by default. A screen with more waiting updates is too slow.
MOST_WAITING = 4_096
_REQUIRED = (FinalReady, FinalWithdrawn, ItemEnded, StreamEnded)


@dataclass(frozen=True, slots=True)
class Passing:
    """News of a screen that is no loss if it is skipped: a state before the first picture, or a second that passed.

    The next preview or news with the same `item_id` replaces it.
    """

    item_id: str


_Preview = FrameAdded | Passing


class Mailbox:
    """The updates that wait, in the order of their arrival: previews may be skipped, required updates may not.

    skipped: the number of updates that were not and will not be taken.
    """

    def __init__(self, policy: Policy, min_interval_s: float) -> None:
        self.skipped: int = 0
        self._shows_all = policy == "all"
        self._min_interval_s = float(min_interval_s)
        self._preview_due_at = float("-inf")
        self._positions = count()
        # By item id; with "all" by position. Each with its position.
        self._previews: OrderedDict[object, tuple[int, _Preview]] = OrderedDict()
        self._required: OrderedDict[int, Update] = OrderedDict()  # by position
        self._newest: dict[tuple[str, bool], int] = {}  # the positions of an item's newest final and newest end

    def __len__(self) -> int:
        return len(self._previews) + len(self._required)

    def accepts(self, update: object) -> bool:
        """Return whether `update` is of a kind that is shown."""
        return isinstance(update, (*_REQUIRED, Passing)) or (
            isinstance(update, FrameAdded) and (self._shows_all or update.is_latest)
        )

    def put(self, update: Update | Passing) -> None:
        """Add an accepted update. It replaces the waiting update that it supersedes."""
        position = next(self._positions)
        if isinstance(update, _Preview):
            key = position if self._shows_all else update.item_id
            if superseded := self._previews.get(key):
                self.skipped += 1
                position = superseded[0]
            self._previews[key] = position, update
        else:
            if isinstance(update, (FinalReady, FinalWithdrawn, ItemEnded)):
                self._supersede(update, position)
            elif not self._shows_all:  # the stream has ended: the waiting previews are the last pictures of their items
                self._required |= {at: each for at, each in self._previews.values() if isinstance(each, FrameAdded)}
                self._previews.clear()
            self._required[position] = update
        if self._shows_all and self._previews and len(self) > MOST_WAITING:
            self._skip_oldest_preview()

    def take_due(self, now_s: float) -> Update | Passing | float | None:
        """Remove and return the update that is due; or return the seconds until one is due; None if none waits."""
        position, preview = next(iter(self._previews.values()), (-1, None))
        required = next(iter(self._required), None)
        if preview and (required is None or position < required):
            if now_s >= self._preview_due_at:
                self._previews.popitem(last=False)
                self.restart_interval(now_s)
                return preview
            if required is None or self._shows_all:
                return self._preview_due_at - now_s
        return None if required is None else self._take_required(now_s)

    def restart_interval(self, now_s: float) -> None:
        """Count the interval until the next preview from `now_s`, the time at which a preview begins to be shown."""
        self._preview_due_at = now_s + self._min_interval_s

    def skip_previews(self) -> int:
        """Skip the previews that wait and are not required. Return how many of them are a loss."""
        lost = _count_losses(update for _, update in self._previews.values())
        self.skipped += len(self._previews)
        self._previews.clear()
        return lost

    def clear(self) -> int:
        """Skip all updates that wait. Return how many of them are a loss."""
        lost = self.skip_previews() + len(self._required)
        self.skipped += len(self._required)
        self._required.clear()
        self._newest.clear()
        return lost

    def _take_required(self, now_s: float) -> Update:
        position, update = self._required.popitem(last=False)
        if isinstance(update, FrameAdded):
            self.restart_interval(now_s)
        elif not isinstance(update, StreamEnded) and self._newest.get(_subject(update)) == position:
            del self._newest[_subject(update)]
        return update

    def _supersede(self, update: FinalReady | FinalWithdrawn | ItemEnded, position: int) -> None:
        """Drop the updates that `update` supersedes.

        If an item ends without a final, its waiting preview is its last picture and must be shown, unless the service
        has blocked the image.
        """
        has_blocked = not isinstance(update, FinalReady) and is_blocked(update.error)
        if has_blocked and self._shows_all:
            self._skip_previews_of(update.item_id)
        position_and_preview = None if self._shows_all else self._previews.pop(update.item_id, None)
        if position_and_preview:
            at, preview = position_and_preview
            if isinstance(update, ItemEnded) and isinstance(preview, FrameAdded) and not has_blocked:
                self._required[at] = preview
            else:
                self.skipped += 1
        older = self._newest.get(_subject(update))
        if older is not None and len(self._required) >= MOST_WAITING:
            del self._required[older]
            self.skipped += 1
        self._newest[_subject(update)] = position

    def _skip_previews_of(self, item_id: str) -> None:
        for key in [key for key, (_, preview) in self._previews.items() if preview.item_id == item_id]:
            del self._previews[key]
            self.skipped += 1

    def _skip_oldest_preview(self) -> None:
        self._previews.popitem(last=False)
        self.skipped += 1


def _subject(update: Any) -> tuple[str, bool]:
    """Return the subject of an update: of two updates about the same subject, only the later one counts."""
    return update.item_id, isinstance(update, ItemEnded)


def _count_losses(updates: Iterable[object]) -> int:
    return sum(not isinstance(update, Passing) for update in updates)
