"""What one viewer is told: of the streams that it may see, what it does not know yet.

Knows: what it was told, what was kept from it, what is to be asked. Must not know: HTTP, who answers.

One question is asked at a time, since an answer may take long: first about the streams that are shown and have news,
then about new ones, the newest first, then about those that are withheld. A viewer that may see a stream is told all
of it at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .gallery import ANEW, Change, Gallery

_ASKING_S = 0.1  # then what was found out is told, also where more is to be asked: that long nobody minds to wait


class Viewer:
    """One viewer of a gallery. `may_see`: whether it may see a stream, now. `seen`: how far it was; 0 for a new one."""

    def __init__(self, gallery: Gallery, may_see: Callable[[str], Awaitable[bool]], seen: int) -> None:
        self._gallery, self._may_see, self._seen = gallery, may_see, seen
        self._is_back = seen > 0  # it may know of streams that it is told nothing of here
        self._told: set[str] = set()  # the streams that it was told of
        self._withheld: set[str] = set()  # those of which it was not told all: it may not, or that is not known yet
        self._new: list[str] = []  # those among them that nobody was asked about
        self._again: dict[str, None] = {}  # those that are to be asked about again, in this order

    @property
    def seen(self) -> int:
        """From where it goes on when it comes again: from the beginning where something was kept from it."""
        return 0 if self._withheld else self._seen

    @property
    def has_questions(self) -> bool:
        """Whether there is more to be asked at once."""
        return bool(self._new or self._again)

    def ask_again(self) -> None:
        """Have all that is withheld asked about: what is allowed may have changed."""
        self._again |= dict.fromkeys(self._withheld)

    async def look(self, has_news: asyncio.Future[None]) -> list[Change]:
        """What it is to be told now. Asking ends where there `has_news`, for they may be of what is shown."""
        changes = await self._changes()
        anew = [change for change in changes if change is ANEW]
        return await self._news(changes) or anew + await self._answers(has_news)

    async def _changes(self) -> list[Change]:
        self._seen, changes = self._gallery.changes(self._seen)
        if self._is_back and await self._must_not_hear(changes):
            self._seen, changes = self._gallery.changes(0)
            changes.insert(0, ANEW)
        if ANEW in changes:
            self._is_back = False
            for known in (self._told, self._withheld, self._new, self._again):
                known.clear()
        return changes

    async def _must_not_hear(self, changes: list[Change]) -> bool:
        """Whether a stream has gone that it may know from before, and whose name it may not hear any more."""
        for change in changes:
            if change.kind == "gone" and change.stream not in self._told and not await self._may_see(change.stream):
                return True
        return False

    async def _news(self, changes: list[Change]) -> list[Change]:
        """The news of what it knows; about what it does not know there are questions then."""
        gone = [change for change in changes if change.kind == "gone"]
        told = [change for change in gone if self._is_back or change.stream in self._told]
        for known in (self._told, self._withheld):
            known.difference_update(change.stream for change in gone)
        allowed = set()
        for stream in dict.fromkeys(change.stream for change in changes if change.kind in ("stream", "item")):
            if stream in self._withheld:
                self._again.setdefault(stream)
            elif stream not in self._told:
                self._withheld.add(stream)
                self._new.append(stream)
            elif await self._may_see(stream):
                allowed.add(stream)
            else:
                self._withheld.add(stream)
        return told + [change for change in changes if change.kind != "gone" and change.stream in allowed]

    async def _answers(self, has_news: asyncio.Future[None]) -> list[Change]:
        """All of the streams about which a yes was heard."""
        now, allowed = asyncio.get_running_loop().time, set[str]()
        until = now() + _ASKING_S
        while self.has_questions:
            stream = self._new.pop() if self._new else next(iter(self._again))
            self._again.pop(stream, None)
            if stream in self._withheld and await self._may_see(stream):
                allowed.add(stream)
            if has_news.done() or now() >= until:
                break
        self._withheld -= allowed
        self._told |= allowed
        return [change for change in self._gallery.changes(0)[1] if change.stream in allowed] if allowed else []
