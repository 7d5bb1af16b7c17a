"""Read an item.json with its additions, and the frames and anomalies that it describes.

Any program can put files into a folder: links, pipes, files that are too large, and facts of an unknown form are
skipped.
Must not know: events, how a folder is written.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Any, TypeGuard

from ..assembly.updates import MOST_ANOMALIES
from ..files import read_bounded
from ..wire.dialects import GREATEST_NUMBER
from .additions import additions_to, with_additions
from .file_names import MAX_FACTS_BYTES

Facts = dict[str, Any]

_NUMBER = (int, float, NoneType)
_KINDS: dict[str, type | tuple[type, ...]] = {  # the members of a frame in item.json, and their types
    "file": str, "index": _NUMBER, "is_final": bool, "sequence_number": _NUMBER, "event_type": str, "format": str,
    "size": (list, NoneType), "bytes": int, "sha256": (str, NoneType), "received_at": str,
}  # fmt: skip


def read_facts(path: Path) -> Facts:
    """Return the facts in an `item.json` and in its additions; {} if there are none."""
    with suppress(OSError):
        text = read_bounded(path, MAX_FACTS_BYTES)
        if facts := parse_facts(text):
            return with_additions(facts, map(parse_facts, _lines_in(additions_to(path, text))))
    return {}


def parse_facts(text: bytes) -> Facts:
    """Return the facts in the text of an `item.json`; {} if it is damaged."""
    with suppress(ValueError, RecursionError):
        facts = json.loads(text)
        return facts if isinstance(facts, dict) else {}
    return {}


def _lines_in(path: Path) -> list[bytes]:
    with suppress(OSError):
        return read_bounded(path, MAX_FACTS_BYTES).splitlines()
    return []


def described_frames(facts: Facts) -> dict[str, Facts]:
    """Return the frames that an `item.json` describes in the form that a sink gives them, by file name."""
    partials = facts.get("partials")
    frames = [*(partials if isinstance(partials, list) else ()), facts.get("final")]
    described = filter(_is_described, frames)
    return {frame["file"]: {name: frame[name] for name in _KINDS if name in frame} for frame in described}


def described_anomalies(facts: Facts) -> list[Facts]:
    """Return the anomalies that an `item.json` describes in the form that a sink gives them: the newest 100."""
    anomalies = facts.get("anomalies")
    newest = anomalies[-MOST_ANOMALIES:] if isinstance(anomalies, list) else ()
    pairs = [{name: each.get(name) for name in ("code", "message")} for each in newest if isinstance(each, dict)]
    return [each for each in pairs if all(isinstance(text, str) for text in each.values())]


def _is_described(frame: Any) -> TypeGuard[Facts]:
    if not isinstance(frame, dict) or not all(isinstance(frame.get(name), kind) for name, kind in _KINDS.items()):
        return False
    numbers = (frame["index"], frame["sequence_number"], frame["bytes"], *(frame["size"] or ()))
    if not all(isinstance(number, _NUMBER) and 0 <= (number or 0) <= GREATEST_NUMBER for number in numbers):
        return False
    return frame["file"].startswith("final.") is frame["is_final"] is (frame["index"] is None)
