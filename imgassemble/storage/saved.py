"""Give the contents of the folders that a sink has written as events.

The pictures of an item can also come from elsewhere: then a function loads each by its name.
Must not know: how a folder is written, who uses the events.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..arguments import check_path
from ..errors import UsageError, quoted
from ..files import read_bounded
from ..frames.containers import format_of
from ..states import Witness
from ..wire.dialects import ROWS
from .file_names import MAX_FRAME_BYTES
from .saved_items import SavedItem, read_items, with_own_names

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PARTIAL = re.compile(r"partial-(\d+(?:\.\d+)?(?:e[+-]\d+)?)\.\w+")
_FINAL = re.compile(r"final\..*")
_DETAILS = ("output_index", "revised_prompt", "usage", "url")
_NO_NAME = "saved"  # the id given to a response without an id, when an event must end it

Event = dict[str, Any]
Seen = dict[object, object]
"""Maps a file, or a part of item.json, to its version at the last look."""


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
