"""Read the items in a folder that a sink has written.

Must not know: events, how a folder is written.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ..wire.dialects import GREATEST_NUMBER
from .file_names import FACTS_NAME
from .folder_names import folder_name
from .item_json import Facts, described_frames, read_facts

_COUNTED = re.compile("image-(0|[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedItem:
    """The folder of one item, as its item.json describes it.

    folder: the place of its pictures; only the key of the item if they are loaded.
    frames: the described frames, by file name.
    is_named: the id names the item in events, also an id such as "image-0".
    load: returns the picture with this file name, or None if it is gone; None if the pictures are files.
    """

    folder: Path
    facts: Facts
    frames: dict[str, Facts]
    is_named: bool = False
    load: Callable[[str], bytes | None] | None = None

    @property
    def id(self) -> str:
        """The item id."""
        return str(self.facts["id"])

    @property
    def wire_id(self) -> str | None:
        """The id that the service gave the item; None if it gave none, or gave it only after the first events."""
        if not self.is_named and self._short_id == f"output-{self.facts.get('output_index')}":  # its place named it
            return None
        wire_id = self.facts.get("wire_id", self._short_id)
        return wire_id if isinstance(wire_id, str) else None

    @property
    def response_id(self) -> str | None:
        """The id of the item's response; None if it is unknown."""
        response_id = self.facts.get("response_id")
        return response_id if isinstance(response_id, str) and response_id else None

    @property
    def place(self) -> float:
        """The place in the output of the response; infinite if the service gave none."""
        place = self.facts.get("output_index")
        return place if isinstance(place, int | float) and 0 <= place <= GREATEST_NUMBER else math.inf

    @property
    def number(self) -> int | None:
        """The number of an image that the service did not name; None for others."""
        has_id = self.facts.get("wire_id") not in (None, self._short_id)  # it came after the first events
        return None if self.is_named or has_id else number_in_id(self._short_id)

    @property
    def _short_id(self) -> str:
        """The item id without the suffix "@" and response id, which marks an id that two responses use."""
        return self.id.removesuffix(f"@{self.response_id}")

    @property
    def first_time(self) -> str:
        """The time at which the first frame arrived; "" if there is none."""
        return min((frame["received_at"] for frame in self.frames.values()), default="")

    @property
    def start(self) -> str:
        """The time at which the first frame arrived; that of item.json if there is none, "" if that is gone."""
        if not self.first_time:
            with suppress(OSError):
                return datetime.fromtimestamp((self.folder / FACTS_NAME).stat().st_mtime, UTC).isoformat()
        return self.first_time

    @property
    def has_ended(self) -> bool:
        """Whether the item has its result, or failed."""
        has_result = any(frame["is_final"] for frame in self.frames.values())
        return self.facts.get("state") == "failed" or (self.facts.get("state") == "completed" and has_result)

    @property
    def drops_partials(self) -> bool:
        """Whether earlier partials than the first saved one can be missing."""
        indices = sorted(frame["index"] for frame in self.frames.values() if not frame["is_final"])
        return indices[:1] != [0]

    @property
    def is_beside(self) -> bool:
        """Whether the name of the folder is that of the id with a number: another run has the folder of the id."""
        return re.fullmatch(re.escape(folder_name(self.id)) + "-[0-9]+", self.folder.name) is not None


def number_in_id(item_id: str) -> int | None:
    """Return N for the id "image-N", which names the images that the service did not name; None for other ids."""
    counted = _COUNTED.fullmatch(item_id)
    return int(counted[1]) if counted else None


def read_items(directory: str | os.PathLike[str]) -> list[SavedItem]:
    """Return the items in a folder that a DirectorySink wrote.

    The responses are in the order of time, and their items in the order of their places in the output, then of names.
    """
    items = []
    for path in sorted(Path(directory).glob(f"*/{FACTS_NAME}")):
        facts = {} if path.parent.is_symlink() else read_facts(path)
        if isinstance(facts.get("id"), str):
            items.append(SavedItem(folder=path.parent, facts=facts, frames=described_frames(facts)))
    starts: dict[str | None, str] = {}
    for item in items:
        starts[item.response_id] = min(item.start, starts.get(item.response_id, item.start))
    return sorted(items, key=lambda item: (starts[item.response_id], item.response_id or "", item.place))


def saved_seconds(directory: str | os.PathLike[str]) -> dict[tuple[float | None, int], float]:
    """Return when the pictures of a saved folder arrived, in seconds after the first of them.

    The key is the index of a partial, None for a result, and the number of bytes; item.json is written before digests
    are known.
    """
    frames = [frame for item in read_items(directory) for frame in item.frames.values()]
    named = [((frame["index"], frame["bytes"]), _read_time(frame["received_at"])) for frame in frames]
    times = {key: time for key, time in named if time is not None}
    if not times:
        return {}
    first = min(times.values())
    return {key: (time - first).total_seconds() for key, time in times.items()}


def _read_time(text: str) -> datetime | None:
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).astimezone(UTC)
    return None


def with_own_names(items: Sequence[SavedItem]) -> list[SavedItem]:
    """Return `items` with a name for each folder. The later folders of an id have the names of their folders."""
    places = Counter((item.response_id, str(item.facts.get("output_index"))) for item in items)
    named: list[SavedItem] = []
    keys: set[object] = set()
    for item in items:
        is_place_shared = item.wire_id is None and places[item.response_id, str(item.facts.get("output_index"))] > 1
        keys_of_item = {item.id, (item.response_id, item.wire_id or item.id)}
        is_later = item.is_beside or not keys.isdisjoint(keys_of_item)
        if is_later or is_place_shared:  # the events name it
            name = item.folder.name if is_later else item.id
            named.append(replace(item, facts={**item.facts, "id": name, "wire_id": name}, is_named=True))
        else:
            named.append(item)
        keys |= keys_of_item
    return named
