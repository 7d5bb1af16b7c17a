"""What waits to be shown, and what is shown next.

Knows: which update takes the place of which, and which are owed. Must not know: threads, clocks, screens: it is told
what time it is.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import Any, Literal

from ..assembly.updates import FinalReady, FinalWithdrawn, FrameAdded, ItemEnded, StreamEnded, Update

Policy = Literal["latest", "all"]

# Four items with all the partials that `Limits` keeps by default: a screen that is further behind shows the past.
MOST_WAITING = 4_096
_OWED = (FinalReady, FinalWithdrawn, ItemEnded, StreamEnded)


class Mailbox:
    """What waits to be shown, in the order told: previews, which may be skipped, and the rest, which is owed."""

    def __init__(self, policy: Policy, min_interval_s: float) -> None:
        self.skipped = 0
        self._keeps_all = policy == "all"
        self._min_interval_s = float(min_interval_s)
        self._preview_due_at = float("-inf")
        self._places = count()
        self._previews: OrderedDict[object, tuple[int, FrameAdded]] = OrderedDict()  # by item, or each by its place
        self._owed: OrderedDict[int, Update] = OrderedDict()
        self._newest: dict[tuple[str, bool], int] = {}  # of an item: the place of its final, and of its end

    def __len__(self) -> int:
        return len(self._previews) + len(self._owed)

    def wants(self, update: object) -> bool:
        """Is this one of those that are shown?"""
        return isinstance(update, _OWED) or (isinstance(update, FrameAdded) and (self._keeps_all or update.is_latest))

    def put(self, update: Update) -> None:
        """Have `update`, one that is wanted, wait. It takes the place of what it supersedes."""
        place = next(self._places)
        if isinstance(update, FrameAdded):
            key = place if self._keeps_all else update.item_id
            if superseded := self._previews.get(key):
                self.skipped += 1
                place = superseded[0]
            self._previews[key] = place, update
        else:
            if isinstance(update, (FinalReady, FinalWithdrawn, ItemEnded)):
                self._supersede(update, place)
            elif not self._keeps_all:  # the stream has ended: what waits are the last pictures of their items
                self._owed |= dict(self._previews.values())
                self._previews.clear()
            self._owed[place] = update
        if self._keeps_all and self._previews and len(self) > MOST_WAITING:
            self._skip_preview()

    def next(self, now: float) -> Update | float | None:
        """The update that is due, and is taken out; or the seconds until one is; or None where nothing waits."""
        place, preview = next(iter(self._previews.values()), (-1, None))
        owed = next(iter(self._owed), None)
        if preview and (owed is None or place < owed):
            if now >= self._preview_due_at:
                self._previews.popitem(last=False)
                self.began(now)
                return preview
            if owed is None or self._keeps_all:
                return self._preview_due_at - now
        return None if owed is None else self._take_owed(now)

    def began(self, now: float) -> None:
        """A preview is being shown since `now`: the next one is due an interval later."""
        self._preview_due_at = now + self._min_interval_s

    def skip_previews(self) -> int:
        """Skip the previews that wait, and are owed to nobody; how many were there?"""
        skipped = len(self._previews)
        self.skipped += skipped
        self._previews.clear()
        return skipped

    def clear(self) -> None:
        """Skip all that waits."""
        self.skipped += len(self)
        for waiting in (self._previews, self._owed, self._newest):
            waiting.clear()

    def _take_owed(self, now: float) -> Update:
        place, update = self._owed.popitem(last=False)
        if isinstance(update, FrameAdded):
            self.began(now)
        elif not isinstance(update, StreamEnded) and self._newest.get(_kind(update)) == place:
            del self._newest[_kind(update)]
        return update

    def _supersede(self, update: FinalReady | FinalWithdrawn | ItemEnded, place: int) -> None:
        place_and_preview = None if self._keeps_all else self._previews.pop(update.item_id, None)
        if place_and_preview and isinstance(update, ItemEnded):  # no final took its place: it is the last picture
            self._owed[place_and_preview[0]] = place_and_preview[1]
        elif place_and_preview:
            self.skipped += 1
        older = self._newest.get(_kind(update))
        if older is not None and len(self._owed) >= MOST_WAITING:
            del self._owed[older]
            self.skipped += 1
        self._newest[_kind(update)] = place

    def _skip_preview(self) -> None:
        self._previews.popitem(last=False)
        self.skipped += 1


def _kind(update: Any) -> tuple[str, bool]:
    """What an update tells: of two that tell the same, the later one alone counts."""
    return update.item_id, isinstance(update, ItemEnded)
