"""Keep the last change of each stream, item and frame, so that a viewer can ask for all changes since a position.

Must not know: viewers, the bytes of frames, how long a stream is kept.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any, Literal, NamedTuple

ChangeKind = Literal["reset", "gone", "stream", "frame", "item", "dropped"]
_KINDS = ("reset", "gone", "stream", "frame", "item")  # the order in which a viewer receives them
_MOST_CHARACTERS = 1_000  # of a name
_POSITION = re.compile(r"([\w-]{1,64})\.([\w-]{1,64})\.(\d{1,15})-(\d{1,15})-(\d{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageChange:
    """A change that viewers receive: `kind` is the name of the server-sent event, `facts` can be written as JSON.

    "stream", "item" and "frame" hold the facts as they are now. "gone": the stream was removed, with its items and
    frames. "reset": the viewer discards all that it has, and receives everything that is shown. "dropped" is for the
    log alone: a frame has no address any more. Viewers learn it from the item, which lists its frames.

    key: the number of the item, or of the frame, among those of the stream; "" for the stream itself.
    """

    stream: str
    kind: ChangeKind
    facts: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    _event: list[bytes] = field(default_factory=list, init=False, compare=False, repr=False)

    @property
    def event(self) -> bytes:
        """The server-sent event: the facts and the name of their stream, in ASCII. It is made once for all viewers."""
        if not self._event:
            facts = json.dumps({"stream": self.stream} | self.facts, separators=(",", ":"))
            self._event.append(f"event: {self.kind}\ndata: {facts}\n\n".encode("ascii"))
        return self._event[0]


RESET = PageChange(stream="", kind="reset")


def is_name(value: object) -> bool:
    """Return whether Redis takes `value` as the name of a stream: a text of 1 to 1,000 characters in UTF-8."""
    if isinstance(value, str) and 0 < len(value) <= _MOST_CHARACTERS:
        with suppress(UnicodeEncodeError):  # a lone surrogate
            return bool(value.encode())
    return False


class Version(NamedTuple):
    """The place of a change in the log.

    `milliseconds` and `serial` are the id of an entry that several processes read; `local` counts the changes that this
    process has added since that entry.
    """

    milliseconds: int = 0
    serial: int = 0
    local: int = 0


class ChangeLog:
    """The last change of each stream, item, frame and removed name, each with its version. Not thread-safe.

    max_removed: how many names of removed streams are kept. A viewer that is older than the oldest gets a reset.
    epoch: identifies the history to which the versions belong; a random one by default.
    version: that of the last change.
    """

    def __init__(self, max_removed: int, epoch: str | None = None) -> None:
        self._name = token_urlsafe(6)  # the local part of a version means nothing in another log
        self.epoch: str = epoch or self._name
        self.version: Version = Version()
        self._max_removed = max_removed
        # By kind, stream and key, the newest at the end: a viewer that has nearly everything reads only the end.
        self._last: dict[tuple[str, str, str], tuple[Version, PageChange]] = {}
        self._keys: dict[str, set[tuple[str, str, str]]] = {}  # by stream, all its keys in `_last`
        self._removed: dict[str, Version] = {}  # names of removed streams, and the version of their removal
        self._forgotten = Version()  # the version of the last removal that is not known here

    @property
    def position(self) -> str:
        """The present version as text, for `since`."""
        return f"{self.epoch}.{self._name}.{self.version.milliseconds}-{self.version.serial}-{self.version.local}"

    def begin(self, epoch: str, version: Version) -> None:
        """Discard all changes and begin a history at `version`. A viewer of another one gets a reset."""
        self.epoch, self.version, self._forgotten = epoch, version, version
        for changes in (self._last, self._keys, self._removed):
            changes.clear()

    def begin_in_child(self) -> None:
        """Continue in a forked process as a history of its own: the later versions of its parent mean nothing here."""
        self._name = self.epoch = token_urlsafe(6)

    def add(self, change: PageChange, version: Version | None = None) -> None:
        """Add a change; the one before it of the same kind, stream and key is dropped.

        version: that of the entry which brought the change; None for a change that this process makes.
        """
        self.version = version or self.version._replace(local=self.version.local + 1)
        if change.kind == "dropped":
            self._discard(("frame", change.stream, change.key))
        elif change.kind == "gone":
            self._remove(change)
        else:
            self._put(change)

    def last(self, kind: ChangeKind, stream: str, key: str = "") -> PageChange | None:
        """Return the last change of this kind, stream and key; None if there is none."""
        found = self._last.get((kind, stream, key))
        return found[1] if found else None

    def is_known(self, position: str) -> bool:
        """Return whether the changes since `position` are known."""
        version = self.version_of(position)
        return version is not None and self._forgotten <= version <= self.version

    def since(self, position: str) -> list[PageChange]:
        """Return the changes after `position` ("": everything that is shown).

        Removals come first, then streams, frames and items, each in the order of the changes. If the changes since that
        position are not known, the first one is RESET, and everything that is shown follows.
        """
        is_known = self.is_known(position)
        first = self.version_of(position) if is_known else None
        changes = [] if is_known or not position else [RESET]
        for changed_at, change in reversed(self._last.values()):
            if first is not None and changed_at <= first:
                break
            if first is not None or change.kind != "gone":
                changes.append(change)
        changes.reverse()
        return sorted(changes, key=lambda change: _KINDS.index(change.kind))

    def version_of(self, position: str) -> Version | None:
        """Return the version of a position of this history; None if it belongs to another one, or is no position."""
        found = _POSITION.fullmatch(position)
        if found is None or found[1] != self.epoch:
            return None
        version = Version(int(found[3]), int(found[4]), int(found[5]))
        return version if found[2] == self._name else version._replace(local=0)

    def _put(self, change: PageChange) -> None:
        key = change.kind, change.stream, change.key
        self._last.pop(key, None)
        self._last[key] = self.version, change
        self._keys.setdefault(change.stream, set()).add(key)

    def _discard(self, key: tuple[str, str, str]) -> None:
        if self._last.pop(key, None):
            self._keys[key[1]].discard(key)

    def _remove(self, change: PageChange) -> None:
        for key in self._keys.pop(change.stream, ()):
            del self._last[key]
        self._put(change)
        self._removed.pop(change.stream, None)
        self._removed[change.stream] = self.version
        while len(self._removed) > self._max_removed:
            oldest = next(iter(self._removed))
            self._forgotten = self._removed.pop(oldest)
            self._discard(("gone", oldest, ""))
