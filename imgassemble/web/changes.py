"""Keep the last change of each stream and item, so that a viewer can ask for all changes since a version.

Must not know: viewers, frames, how long a stream is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

_KINDS = ("reset", "gone", "stream", "item")  # the order in which a viewer receives them


@dataclass(frozen=True, slots=True, kw_only=True)
class PageChange:
    """A change that viewers receive: `kind` is the name of the server-sent event, `facts` can be written as JSON.

    "stream" and "item" hold the facts as they are now. "gone": the stream and its items were removed. "reset": the
    viewer discards all that it has, and receives everything that is shown.
    """

    stream: str
    kind: Literal["reset", "gone", "stream", "item"]
    facts: dict[str, Any]
    _json: list[str] = field(default_factory=list, init=False, compare=False, repr=False)

    @property
    def json(self) -> str:
        """The facts and the name of their stream, in ASCII; made once for all viewers."""
        if not self._json:
            self._json.append(json.dumps({"stream": self.stream} | self.facts))
        return self._json[0]


RESET = PageChange(stream="", kind="reset", facts={})


class ChangeLog:
    """The last change of each stream, item and removed name, each with its version. Not thread-safe.

    max_removed: how many names of removed streams are kept. A viewer that is older than the oldest gets a reset.
    version: the number of changes so far.
    """

    def __init__(self, max_removed: int) -> None:
        self.version: int = 0
        self._max_removed = max_removed
        # By kind, stream and item id, the newest at the end: a viewer that has nearly everything reads only the end.
        self._last: dict[tuple[str, str, str], tuple[int, PageChange]] = {}
        self._removed: dict[str, int] = {}  # names of removed streams, and the version of their removal
        self._forgotten = 0  # the version of the last removal that is not kept any more

    def add(self, kind: Literal["stream", "item"], stream: str, facts: dict[str, Any], item_id: str = "") -> None:
        """Add a change of a stream or of an item; the one before it is dropped."""
        self._add(PageChange(stream=stream, kind=kind, facts=facts), item_id)

    def remove(self, stream: str, item_ids: list[str]) -> None:
        """Drop the changes of a stream and of its items, and add its removal."""
        for item_id in item_ids:
            del self._last["item", stream, item_id]
        del self._last["stream", stream, ""]
        self._add(PageChange(stream=stream, kind="gone", facts={}))
        self._removed.pop(stream, None)
        self._removed[stream] = self.version
        while len(self._removed) > self._max_removed:
            oldest = next(iter(self._removed))
            self._forgotten = self._removed.pop(oldest)
            del self._last["gone", oldest, ""]

    def since(self, version: int) -> list[PageChange]:
        """Return the changes after `version` (0: everything that is shown).

        Removals come first, then streams, then items, each in the order of the changes. If the changes since that
        version are not known, the first one is RESET, and everything that is shown follows.
        """
        is_known = self._forgotten <= version <= self.version
        first = version if is_known else 0
        changes = [] if is_known or not version else [RESET]
        for changed_at, change in reversed(self._last.values()):
            if changed_at <= first:
                break
            if first or change.kind != "gone":
                changes.append(change)
        changes.reverse()
        return sorted(changes, key=lambda change: _KINDS.index(change.kind))

    def _add(self, change: PageChange, item_id: str = "") -> None:
        self.version += 1
        self._last.pop((change.kind, change.stream, item_id), None)
        self._last[change.kind, change.stream, item_id] = self.version, change
