"""What a DirectorySink has written, read back as events.

Knows: `item.json`, `partial-*` and `final.*`. Must not know: what becomes of the events. A folder is anybody's: links,
pipes, files that are too large, and facts of another form are passed over.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from types import NoneType
from typing import Any

from ..assembly.item_names import image_number
from ..assembly.updates import MOST_ANOMALIES
from ..states import Witness
from ..wire.dialects import GREATEST_NUMBER, ROWS

MAX_FRAME_BYTES = 64 * 2**20  # larger than any frame that is kept
_MAX_FACTS_BYTES = 4 * 2**20  # a thousand partials have 400 KB
_PARTIAL = re.compile(r"partial-(\d+(?:\.\d+)?(?:e[+-]\d+)?)\.\w+")
_DETAILS = ("output_index", "revised_prompt", "usage", "url")
_NUMBER = (int, float, NoneType)
_KINDS: dict[str, type | tuple[type, ...]] = {  # of what a sink writes of a frame
    "file": str, "index": _NUMBER, "is_final": bool, "sequence_number": _NUMBER, "event_type": str, "format": str,
    "size": list, "bytes": int, "sha256": str, "received_at": str,
}  # fmt: skip

Event = dict[str, Any]
Seen = set[tuple[str, int]]


def saved_events(
    directory: str | os.PathLike[str], *, seen: Seen | None = None, is_to_go_on: bool = False
) -> Iterator[Event]:
    """The frames and the ends of the items that `save` wrote to `directory`, for `Assembler.feed`.

    seen: what was given before is not given again; it is added to.
    is_to_go_on: the stream will be gone on with, from its beginning or from where it broke: that an item was incomplete
        then is not its end.
    """
    seen = set() if seen is None else seen
    numbers: list[float] = []
    for path in sorted(Path(directory).glob("*/item.json")):
        if not path.parent.is_symlink():
            facts = read_facts(path)
            heard = [frame["sequence_number"] for frame in frames_told(facts).values()]
            numbers += [number for number in heard if number is not None]
            yield from _item_events(path, facts, seen, is_to_go_on=is_to_go_on)


def read_facts(path: Path) -> Event:
    """The facts in an `item.json`; {} where there are none."""
    with suppress(OSError, ValueError, RecursionError):
        facts = json.loads(read_bounded(path, _MAX_FACTS_BYTES))
        return facts if isinstance(facts, dict) else {}
    return {}


def frames_told(facts: Event) -> dict[str, Event]:
    """What an `item.json` tells of its frames, by file, as far as it has the form that a sink gives it."""
    partials = facts.get("partials")
    told = [*(partials if isinstance(partials, list) else ()), facts.get("final")]
    return {frame["file"]: {name: frame[name] for name in _KINDS} for frame in told if _is_told(frame)}


def anomalies_told(facts: Event) -> list[Event]:
    """The anomalies in an `item.json`, as far as they have the form that a sink gives them."""
    told = facts.get("anomalies")
    sound = (each for each in (told[-MOST_ANOMALIES:] if isinstance(told, list) else ()) if isinstance(each, dict))
    pairs = [{name: each.get(name) for name in ("code", "message")} for each in sound]
    return [each for each in pairs if all(isinstance(said, str) for said in each.values())]


def _is_told(frame: Any) -> bool:
    if not isinstance(frame, dict) or not all(isinstance(frame.get(name), kind) for name, kind in _KINDS.items()):
        return False
    numbers = (frame["index"], frame["sequence_number"], frame["bytes"], *frame["size"])
    if not all(isinstance(number, _NUMBER) and 0 <= (number or 0) <= GREATEST_NUMBER for number in numbers):
        return False
    return frame["file"].startswith("final.") is frame["is_final"] is (frame["index"] is None)


def _item_events(path: Path, facts: Event, seen: Seen, *, is_to_go_on: bool) -> Iterator[Event]:
    item_id = facts.get("id")
    if not isinstance(item_id, str):
        return
    told = frames_told(facts)
    details = {name: facts[name] for name in _DETAILS if facts.get(name) is not None}
    # An image that the service did not name goes by its number, so that those after it are counted on. In such a stream
    # a sequence number behind the highest is a repeat: it is told with the end, for all of them.
    number = image_number(item_id)
    kind = "response.image_generation_call" if number is None else "image_generation"
    name = {"item_id": item_id, **details} if number is None else {"image_index": number, **details}
    for file in sorted(path.parent.glob("partial-*.*")):
        named = _PARTIAL.fullmatch(file.name)
        if named and (data := _unseen(file, seen)):
            picture = {"partial_image_index": float(named[1]), "partial_image_b64": data}
            yield {"type": f"{kind}.partial_image", **name, **picture, **_numbered(told.get(file.name), number)}
    for file in sorted(path.parent.glob("final.*")):
        if data := _unseen(file, seen):
            frame = told.get(file.name)
            row = ROWS.get(frame["event_type"]) if frame else None
            if row and row.witness and row.witness > Witness.OWN:
                yield {**_done(item_id, details, status="completed", result=data), **_numbered(frame, number)}
            else:  # what is not known to be stronger gives way to what is
                yield {"type": f"{kind}.completed", **name, "result": data, **_numbered(frame, number)}
    ends = ("failed",) if is_to_go_on else ("failed", "incomplete")
    if facts.get("state") in ends and _unseen(path, seen):
        error = facts.get("error")
        if isinstance(error, dict):
            error = error.get("details") or error  # what the service said, where it said something
        if facts["state"] == "failed" and number is not None:
            yield {"type": f"{kind}.failed", **name, "error": error}
        else:
            yield _done(item_id, details, status=facts["state"], error=error)
    elif facts.get("is_provisional") and _unseen(path, seen):
        yield {"type": "response.image_generation_call.completed", "item_id": item_id, **details}
        if not is_to_go_on:  # nothing better is waited for: a draft is told as one
            yield {"type": "response.completed", "response": {}}


def _numbered(frame: Event | None, image: int | None) -> Event:
    return {"sequence_number": frame["sequence_number"]} if frame and image is None else {}


def _done(item_id: str, details: Event, **facts: Any) -> Event:
    item = {"type": "image_generation_call", "id": item_id, **details, **facts}
    return {"type": "response.output_item.done", "output_index": details.get("output_index"), "item": item}


def _unseen(file: Path, seen: Seen) -> str:
    """The base64 of a file that is there for the first time; "" for others."""
    with suppress(OSError):
        mark = (str(file), file.lstat().st_mtime_ns)
        if mark not in seen:
            seen.add(mark)
            return b64encode(read_bounded(file, MAX_FRAME_BYTES)).decode()
    return ""


def read_bounded(file: Path, max_bytes: int) -> bytes:
    """What is in a file; an OSError where it is too long, or none: links lead elsewhere, and pipes never end."""
    facts = file.lstat()
    if not S_ISREG(facts.st_mode) or facts.st_size > max_bytes:
        raise OSError(f"{file.name} is no file of at most {max_bytes} bytes")
    return file.read_bytes()
