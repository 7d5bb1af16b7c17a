"""Frames whose bytes wait to be sent, in three ranks: results, the newest preview of each item, and replaced previews.

Each operation takes the same time for any number of frames, because the thread that feeds performs them.
Must not know: items, connections, when anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from ..changes import PageChange


class Rank(IntEnum):
    """How important a waiting frame is; the greatest is sent first."""

    REPLACED = 0
    NEWEST = 1
    RESULT = 2


class WaitingFrames:
    """The changes of kind `frame` that wait, by the numbers of their frames."""

    def __init__(self) -> None:
        self._ranks: dict[Rank, dict[int, PageChange]] = {rank: {} for rank in Rank}
        self._replaced_bytes = 0

    def __bool__(self) -> bool:
        return any(self._ranks.values())

    @property
    def are_replaced(self) -> bool:
        """Whether all of them are previews that a newer one has replaced."""
        return not (self._ranks[Rank.RESULT] or self._ranks[Rank.NEWEST])

    def add(self, change: PageChange, *, is_newest: bool) -> None:
        """Let a frame wait. is_newest: whether it is the last one of its item."""
        self.pop(int(change.key))
        rank = Rank.RESULT if change.facts["is_final"] else Rank.NEWEST if is_newest else Rank.REPLACED
        self._ranks[rank][int(change.key)] = change
        if rank is Rank.REPLACED:
            self._replaced_bytes += int(change.facts["bytes"])

    def rank_again(self, numbers: Iterable[int], *, is_newest: bool) -> None:
        """Give another rank to the previews among `numbers` that wait."""
        other = self._ranks[Rank.REPLACED if is_newest else Rank.NEWEST]
        for number in numbers:
            if number in other:
                self.add(other[number], is_newest=is_newest)

    def pop(self, number: int) -> PageChange | None:
        """Let a frame wait no longer. Return its change; None if it does not wait."""
        for rank, changes in self._ranks.items():
            if change := changes.pop(number, None):
                if rank is Rank.REPLACED:
                    self._replaced_bytes -= int(change.facts["bytes"])
                return change
        return None

    def first(self) -> int | None:
        """Return the number of the newest frame of the highest rank; None if none waits."""
        changes = next((changes for changes in reversed(self._ranks.values()) if changes), None)
        return None if changes is None else next(reversed(changes))

    def leave_out_replaced(self, max_bytes: int) -> None:
        """Leave out the replaced previews that have waited longest, while they have more than `max_bytes` together."""
        while self._replaced_bytes > max_bytes:
            self.pop(next(iter(self._ranks[Rank.REPLACED])))
