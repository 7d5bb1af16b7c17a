"""What a DirectorySink has written, read back as events.

Knows: `item.json`, `partial-*` and `final.*`. Must not know: what becomes of the events. A folder is anybody's: links,
pipes, and files that are too large are passed over.
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
from typing import Any

_MAX_FRAME_BYTES = 64 * 2**20  # larger than any frame that is kept
_MAX_FACTS_BYTES = 4 * 2**20  # a thousand partials have 400 KB
_PARTIAL = re.compile(r"partial-(\d+(?:\.\d+)?(?:e[+-]\d+)?)\.\w+")

Event = dict[str, Any]
Seen = set[tuple[str, int]]


def saved_events(
    directory: str | os.PathLike[str], *, seen: Seen | None = None, is_to_go_on: bool = False
) -> Iterator[Event]:
    """The frames and the ends of the items that `save` wrote to `directory`, for `Assembler.feed`.

    seen: what was given before is not given again; it is added to.
    is_to_go_on: the stream will be gone on with: that an item was incomplete when it broke is not its end.
    """
    seen = set() if seen is None else seen
    ends = ("failed",) if is_to_go_on else ("failed", "incomplete")
    for path in sorted(Path(directory).glob("*/item.json")):
        if not path.parent.is_symlink():
            yield from _item_events(path, seen, ends)


def read_facts(path: Path) -> Event:
    """The facts in an `item.json`; {} where there are none."""
    with suppress(OSError, ValueError, RecursionError):
        facts = json.loads(_read(path, _MAX_FACTS_BYTES))
        return facts if isinstance(facts, dict) else {}
    return {}


def _item_events(path: Path, seen: Seen, ends: tuple[str, ...]) -> Iterator[Event]:
    facts = read_facts(path)
    item_id = facts.get("id")
    if not isinstance(item_id, str):
        return
    details = {name: facts[name] for name in ("output_index", "revised_prompt", "usage") if facts.get(name) is not None}
    for file in sorted(path.parent.glob("partial-*.*")):
        named = _PARTIAL.fullmatch(file.name)
        if named and (data := _unseen(file, seen)):
            index = float(named[1])
            kind = "response.image_generation_call.partial_image"
            picture = {"partial_image_index": index, "partial_image_b64": data}
            yield {"type": kind, "item_id": item_id, **picture, **details}
    for file in sorted(path.parent.glob("final.*")):
        if data := _unseen(file, seen):
            yield _done(item_id, details, status="completed", result=data)
    if facts.get("state") in ends and _unseen(path, seen):
        yield _done(item_id, details, status=facts["state"], error=facts.get("error"))
    elif facts.get("is_provisional") and _unseen(path, seen):
        yield {"type": "response.image_generation_call.completed", "item_id": item_id}


def _done(item_id: str, details: Event, **facts: Any) -> Event:
    item = {"type": "image_generation_call", "id": item_id, **details, **facts}
    return {"type": "response.output_item.done", "output_index": details.get("output_index"), "item": item}


def _unseen(file: Path, seen: Seen) -> str:
    """The base64 of a file that is there for the first time; "" for others."""
    with suppress(OSError):
        mark = (str(file), file.lstat().st_mtime_ns)
        if mark not in seen:
            seen.add(mark)
            return b64encode(_read(file, _MAX_FRAME_BYTES)).decode()
    return ""


def _read(file: Path, max_bytes: int) -> bytes:
    """What is in a file; an OSError where it is too long, or none: links lead elsewhere, and pipes never end."""
    facts = file.lstat()
    if not S_ISREG(facts.st_mode) or facts.st_size > max_bytes:
        raise OSError(f"{file.name} is no file of at most {max_bytes} bytes")
    return file.read_bytes()
