"""Read the folders that a DirectorySink has written, and give their contents as events.

The pictures of an item can also come from elsewhere: then a function loads each by its name.

Any program can put files into a folder: links, pipes, files that are too large, and facts of an unknown form are
skipped.
Must not know: who uses the events.
"""

from __future__ import annotations

import json
import math
import os
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from stat import S_ISREG
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from ..arguments import check_path
from ..assembly.updates import MOST_ANOMALIES
from ..errors import UsageError, quoted
from ..frames.containers import format_of
from ..states import Witness
from ..wire.dialects import GREATEST_NUMBER, ROWS
from .additions import additions_to, with_additions
from .file_names import MAX_FACTS_BYTES, MAX_FRAME_BYTES
from .folder_names import folder_name

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PARTIAL = re.compile(r"partial-(\d+(?:\.\d+)?(?:e[+-]\d+)?)\.\w+")
_FINAL = re.compile(r"final\..*")
_COUNTED = re.compile("image-(0|[1-9][0-9]{0,15})")
_DETAILS = ("output_index", "revised_prompt", "usage", "url")
_NUMBER = (int, float, NoneType)
_KINDS: dict[str, type | tuple[type, ...]] = {  # the members of a frame in item.json, and their types
    "file": str, "index": _NUMBER, "is_final": bool, "sequence_number": _NUMBER, "event_type": str, "format": str,
    "size": (list, NoneType), "bytes": int, "sha256": (str, NoneType), "received_at": str,
}  # fmt: skip
_NO_NAME = "saved"  # the id given to a response without an id, when an event must end it

Event = dict[str, Any]
Seen = dict[object, object]
"""Maps a file, or a part of item.json, to its version at the last look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedItem:
    """The folder of one item, as its item.json describes it.

    folder: the place of its pictures; only the key of the item if they are loaded.
    frames: the described frames, by file name.
    is_named: the id names the item in events, also an id such as "image-0".
    load: returns the picture with this file name, or None if it is gone; None if the pictures are files.
    """

    folder: Path
    facts: Event
    frames: dict[str, Event]
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
        return None if self.is_named else number_in_id(self._short_id)

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
                return datetime.fromtimestamp((self.folder / "item.json").stat().st_mtime, UTC).isoformat()
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


def saved_events(directory: str | os.PathLike[str] | ObjectStore, prefix: str = "") -> Iterator[Event]:
    """Yield the frames and the ends of the items that a DirectorySink or an ObjectSink wrote, as events.

    directory: the folder or the store that was given to the sink. If it holds several runs, each folder of an item is
        an item of its own, and the later ones have the names of their folders: "image-0", "image-0-2", ….
    prefix: the prefix in the store.

    Raises UsageError if there is no folder of this name, and SinkError if the store cannot be read.

    Example: `assemble(saved_events("pictures"))` gives the items of the run again.
    """
    if hasattr(directory, "list_with_delimiter"):
        return _stored_events(directory, prefix)
    check_path("directory", directory)
    if not Path(directory).is_dir():
        raise UsageError(f"there is no folder {quoted(os.fspath(directory))}: name the one that a DirectorySink wrote")
    return item_events(with_own_names(read_items(directory)), {}, is_finished=True)


def _stored_events(store: ObjectStore, prefix: str) -> Iterator[Event]:
    from .object_copy import copy_of

    with copy_of(store, prefix) as copied:
        items = with_own_names(read_items(copied.path))
        for item in items:
            copied.fetch(item.folder.name, item.frames)
        yield from item_events(items, {}, is_finished=True)


def read_items(directory: str | os.PathLike[str]) -> list[SavedItem]:
    """Return the items in a folder that a DirectorySink wrote.

    The responses are in the order of time, and their items in the order of their places in the output, then of names.
    """
    items = []
    for path in sorted(Path(directory).glob("*/item.json")):
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
    return {key: (time - min(times.values())).total_seconds() for key, time in times.items()}


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


def item_events(items: Iterable[SavedItem], seen: Seen, *, is_finished: bool) -> Iterator[Event]:
    """Yield the frames and the ends of `items` as events.

    items: in the order of `read_items`.
    seen: the versions that were given before; they are not given again, and new ones are added.
    is_finished: False if the stream will be continued. Its last response is then open, and each one with an item that
        can still be completed.
    """
    groups = [(response_id, list(group)) for response_id, group in groupby(items, key=lambda item: item.response_id)]
    for at, (response_id, group) in enumerate(groups):
        is_last = at == len(groups) - 1
        is_over = is_finished or (not is_last and all(item.has_ended for item in group))
        yield from _response_events(response_id, group, seen, is_open=not is_over, is_last=is_last)


def _response_events(
    response_id: str | None, items: list[SavedItem], seen: Seen, *, is_open: bool, is_last: bool
) -> Iterator[Event]:
    ended = ("end", response_id)
    name = response_id or (_NO_NAME if ended in seen else None)
    for item in items:
        for event in _item_events(item, seen, is_open=is_open):
            if response_id is not None and _is_new(seen, ("begin", response_id), None):
                yield {"type": "response.created", "response": {"id": response_id}}
            yield event if name is None else {**event, "response_id": name}
    has_draft = any(item.facts.get("is_provisional") for item in items)  # reported once its response has ended
    if not is_open and (has_draft or not is_last) and _is_new(seen, ended, None):
        yield {"type": "response.completed", "response": {"id": response_id or _NO_NAME}}


def _item_events(item: SavedItem, seen: Seen, *, is_open: bool) -> Iterator[Event]:
    # A damaged file is an anomaly to a viewer. A stream that is continued brings the picture again.
    yield from _partial_events(item, seen, only_pictures=is_open)
    yield from _result_events(item, seen, only_pictures=is_open)
    state, is_draft, error = (item.facts.get(name) for name in ("state", "is_provisional", "error"))
    if not _is_new(seen, (item.folder, "end"), json.dumps([state, is_draft, error])):
        return
    if state == "failed" or (state == "incomplete" and not is_open):
        yield _end_event(item, state, error)
    elif is_draft:
        yield {"type": "response.image_generation_call.completed", **_named(item)}


def _partial_events(item: SavedItem, seen: Seen, *, only_pictures: bool) -> Iterator[Event]:
    for named, data in _new_pictures(item, _PARTIAL, seen, only_pictures=only_pictures):
        picture = {"partial_image_index": float(named[1]), "partial_image_b64": data}
        yield {"type": f"{_kind(item)}.partial_image", **_name(item), **picture, **_numbered(item, named[0])}


def _result_events(item: SavedItem, seen: Seen, *, only_pictures: bool) -> Iterator[Event]:
    for named, data in _new_pictures(item, _FINAL, seen, only_pictures=only_pictures):
        name = named[0]
        frame = item.frames.get(name)
        row = ROWS.get(frame["event_type"]) if frame else None
        if row and row.witness and row.witness > Witness.OWN:
            yield {**_done(item, status="completed", result=data), **_numbered(item, name)}
        else:  # the witness is OWN or unknown: written as the weakest, so that a stronger report replaces it
            yield {"type": f"{_kind(item)}.completed", **_name(item), "result": data, **_numbered(item, name)}


def _end_event(item: SavedItem, state: str, error: Any) -> Event:
    if isinstance(error, dict):  # the error as the service sent it, if it sent one
        error = error.get("details") or {name: error[name] for name in ("code", "message") if name in error}
    if state == "failed" and item.number is not None:
        return {"type": f"{_kind(item)}.failed", **_name(item), "error": error}
    return _done(item, status=state, error=error)


def _kind(item: SavedItem) -> str:
    return "response.image_generation_call" if item.number is None else "image_generation"


def _name(item: SavedItem) -> Event:
    """Return the members that name an item in an event. An image without a name has its number."""
    return _named(item) if item.number is None else {"image_index": item.number, **_details(item)}


def _named(item: SavedItem) -> Event:
    details = _details(item)
    name = item.wire_id if item.number is None else item.id
    if name is None and "output_index" in details:  # the output index names the item
        return details
    return {"item_id": name or item.id, **details}


def _details(item: SavedItem) -> Event:
    return {name: item.facts[name] for name in _DETAILS if item.facts.get(name) is not None}


def _numbered(item: SavedItem, file: str) -> Event:
    """Return the sequence number of a frame.

    Unnamed images share one series of numbers, and the files are not read in that order. So their numbers are left out.
    """
    frame = item.frames.get(file)
    return {"sequence_number": frame["sequence_number"]} if frame and item.number is None else {}


def _done(item: SavedItem, **facts: Any) -> Event:
    named = _named(item)
    member = {"type": "image_generation_call", **named, "id": named.get("item_id"), **facts}
    return {"type": "response.output_item.done", "output_index": named.get("output_index"), "item": member}


def read_facts(path: Path) -> Event:
    """Return the facts in an `item.json` and in its additions; {} if there are none."""
    with suppress(OSError):
        text = read_bounded(path, MAX_FACTS_BYTES)
        if facts := parse_facts(text):
            return with_additions(facts, _lines_in(additions_to(path, text)))
    return {}


def parse_facts(text: bytes) -> Event:
    """Return the facts in the text of an `item.json`; {} if it is damaged."""
    with suppress(ValueError, RecursionError):
        facts = json.loads(text)
        return facts if isinstance(facts, dict) else {}
    return {}


def _lines_in(path: Path) -> list[bytes]:
    with suppress(OSError):
        return read_bounded(path, MAX_FACTS_BYTES).splitlines()
    return []


def described_frames(facts: Event) -> dict[str, Event]:
    """Return the frames that an `item.json` describes in the form that a sink gives them, by file name."""
    partials = facts.get("partials")
    frames = [*(partials if isinstance(partials, list) else ()), facts.get("final")]
    described = filter(_is_described, frames)
    return {frame["file"]: {name: frame[name] for name in _KINDS if name in frame} for frame in described}


def described_anomalies(facts: Event) -> list[Event]:
    """Return the anomalies that an `item.json` describes in the form that a sink gives them: the newest 100."""
    anomalies = facts.get("anomalies")
    newest = anomalies[-MOST_ANOMALIES:] if isinstance(anomalies, list) else ()
    pairs = [{name: each.get(name) for name in ("code", "message")} for each in newest if isinstance(each, dict)]
    return [each for each in pairs if all(isinstance(text, str) for text in each.values())]


def _is_described(frame: Any) -> TypeGuard[Event]:
    if not isinstance(frame, dict) or not all(isinstance(frame.get(name), kind) for name, kind in _KINDS.items()):
        return False
    numbers = (frame["index"], frame["sequence_number"], frame["bytes"], *(frame["size"] or ()))
    if not all(isinstance(number, _NUMBER) and 0 <= (number or 0) <= GREATEST_NUMBER for number in numbers):
        return False
    return frame["file"].startswith("final.") is frame["is_final"] is (frame["index"] is None)


def _is_new(seen: Seen, key: object, version: object) -> bool:
    """Return whether `key` had no version or another one, and store this one."""
    if key in seen and seen[key] == version:
        return False
    seen[key] = version
    return True


class _FileVersion(NamedTuple):
    """A version of a picture on disk."""

    stat: tuple[int, ...]
    digest: str  # of its bytes
    described: str | None  # the digest in item.json; the time of arrival if it has no digest


def _new_pictures(
    item: SavedItem, pattern: re.Pattern[str], seen: Seen, *, only_pictures: bool
) -> Iterator[tuple[re.Match[str], str]]:
    """Yield the name and the base64 of each picture that is new or was replaced, if its name has the pattern."""
    load, folder = item.load, item.folder
    for name in sorted(item.frames if load else (file.name for file in folder.glob("*.*"))):
        if not (named := pattern.fullmatch(name)):
            continue
        if load is None:
            data = _new_base64(item, folder / name, seen, only_pictures=only_pictures)
        else:
            data = b64encode(load(name) or b"").decode()
        if data:
            yield named, data


def _new_base64(item: SavedItem, file: Path, seen: Seen, *, only_pictures: bool) -> str:
    """Return the base64 of a file that is new or was replaced; "" for others.

    A replaced file can have the same size, inode and time, because clocks can be coarse and inodes are used again.
    Then item.json describes another digest, or another time.
    """
    frame = item.frames.get(file.name, {})
    described = frame.get("sha256") or frame.get("received_at")
    with suppress(OSError):
        facts = file.lstat()
        stat, known = (facts.st_size, facts.st_ino, facts.st_mtime_ns), seen.get(file)
        before = known if isinstance(known, _FileVersion) and known.stat == stat else None
        if before and described in (None, before.digest, before.described):
            return ""
        data = read_bounded(file, MAX_FRAME_BYTES)
        seen[file] = now = _FileVersion(stat, sha256(data).hexdigest(), described)
        is_same = before is not None and before.digest == now.digest
        return "" if is_same or (only_pictures and format_of(data) is None) else b64encode(data).decode()
    return ""


def read_bounded(file: Path, max_bytes: int) -> bytes:
    """Return the contents of a regular file of at most `max_bytes`.

    Raises OSError for others: a link leads elsewhere, and a pipe never ends.
    """
    facts = file.lstat()
    if not S_ISREG(facts.st_mode) or facts.st_size > max_bytes:
        raise OSError(f"{file.name} is not a file of at most {max_bytes} bytes")
    return file.read_bytes()
