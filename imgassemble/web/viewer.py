"""Choose the changes that one viewer receives: of the streams that it may see, those that it does not have yet.

`authorize` is asked one question at a time, because an answer may take long. The order is: changed streams that are
shown, new streams (newest first), withheld streams. A viewer that may see a stream receives all of it at once.
Must not know: HTTP, who answers the questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from ..frames.frame import Frame
from .changes import RESET, PageChange

_ASKING_S = 0.1  # after this time the viewer receives what is allowed so far, also if there are more questions


class ViewedGallery(Protocol):
    """The methods of `Gallery` and `RedisGallery` that the page needs."""

    is_closed: bool

    @property
    def now_s(self) -> float: ...
    def changes(self, since: str = "") -> tuple[str, list[PageChange]]: ...
    def is_known(self, position: str) -> bool: ...
    def stream_of(self, key: str) -> str | None: ...
    async def catch_up(self) -> None: ...
    async def load_frame(self, key: str, number: int) -> Frame | None: ...
    def watch(self, callback: Callable[[], object]) -> Callable[[], None]: ...


class Viewer:
    """One viewer of a gallery.

    may_see: returns whether the viewer may see a stream, now.
    seen: the position of the last change that the viewer has; "" for a new viewer.
    """

    def __init__(self, gallery: ViewedGallery, may_see: Callable[[str], Awaitable[bool]], seen: str) -> None:
        self._gallery, self._may_see, self._seen = gallery, may_see, seen
        self._has_history = bool(seen)  # it may have streams of an earlier connection, which are not in `_shown`
        self._history = seen  # the position up to which it has those streams
        self._shown: set[str] = set()  # streams that it has
        self._withheld: set[str] = set()  # streams that it may not see, or for which the answer is not known yet
        self._unasked: list[str] = []  # those of the withheld streams for which no question was asked
        self._ask_again: dict[str, None] = {}  # those for which the question is to be asked again, in this order

    @property
    def seen(self) -> str:
        """The position from which the viewer continues when it connects again; "" if a stream is withheld from it."""
        return "" if self._withheld else self._seen

    @property
    def has_questions(self) -> bool:
        """Whether there are questions to ask at once."""
        return bool(self._unasked or self._ask_again)

    def ask_again(self) -> None:
        """Ask again for each withheld stream: the permissions may have changed."""
        self._ask_again |= dict.fromkeys(self._withheld)

    async def next_changes(self, has_news: asyncio.Future[None]) -> list[PageChange]:
        """Return the changes that the viewer receives now.

        Questions for withheld streams stop once `has_news` is done, because the news may be of streams that are shown.
        """
        changes = await self._read_gallery()
        resets = [change for change in changes if change is RESET]
        return await self._changes_of_shown(changes) or resets + await self._changes_of_allowed(has_news)

    async def _read_gallery(self) -> list[PageChange]:
        self._seen, changes = self._gallery.changes(self._seen)
        if self._has_history and await self._has_secret_removal(changes):
            self._seen, changes = self._gallery.changes()
            changes.insert(0, RESET)
        if RESET in changes:
            self._has_history, self._history = False, ""
            for streams in (self._shown, self._withheld, self._unasked, self._ask_again):
                streams.clear()
        return changes

    async def _has_secret_removal(self, changes: list[PageChange]) -> bool:
        """Whether a stream was removed that the viewer may have, and whose name it may not receive any more."""
        for change in changes:
            if change.kind == "gone" and change.stream not in self._shown and not await self._may_see(change.stream):
                return True
        return False

    async def _changes_of_shown(self, changes: list[PageChange]) -> list[PageChange]:
        """Return the changes of streams that the viewer has, and add the questions for the others."""
        removals = self._removals(changes)
        allowed = set()
        for stream in dict.fromkeys(change.stream for change in changes if change.kind in ("stream", "frame", "item")):
            if stream not in self._shown or stream in self._withheld:
                self._add_question(stream)
            elif await self._may_see(stream):
                allowed.add(stream)
            else:
                self._withheld.add(stream)
        return removals + [change for change in changes if change.kind != "gone" and change.stream in allowed]

    def _removals(self, changes: list[PageChange]) -> list[PageChange]:
        """Forget the streams that were removed, and return the removals that concern the viewer."""
        removals = [change for change in changes if change.kind == "gone"]
        concerned = [change for change in removals if self._has_history or change.stream in self._shown]
        for streams in (self._shown, self._withheld):
            streams.difference_update(change.stream for change in removals)
        return concerned

    def _add_question(self, stream: str) -> None:
        if stream in self._withheld:
            self._ask_again.setdefault(stream)
        else:
            self._withheld.add(stream)
            self._unasked.append(stream)

    async def _changes_of_allowed(self, has_news: asyncio.Future[None]) -> list[PageChange]:
        """Ask for withheld streams, and return all that the viewer does not have of those that it may see."""
        now, allowed = asyncio.get_running_loop().time, set[str]()
        until = now() + _ASKING_S
        while self.has_questions:
            stream = self._unasked.pop() if self._unasked else next(iter(self._ask_again))
            self._ask_again.pop(stream, None)
            if stream in self._withheld and await self._may_see(stream):
                allowed.add(stream)
            if has_news.done() or now() >= until:
                break
        self._withheld -= allowed
        self._shown |= allowed
        if not allowed:
            return []
        changes = self._gallery.changes(self._history)[1]
        return [change for change in changes if change.stream in allowed and change.kind != "gone"]
