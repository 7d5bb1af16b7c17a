"""The form of the facts in Redis: a change as one JSON text, and back, with a check of each value.

The contents of Redis are untrusted: another program may have written them. So kinds and names of facts are on a list,
texts are cleaned, numbers have ranges, and the addresses of frames are made here.
Must not know: connections, keys, viewers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from ...assembly.updates import Outcome
from ...errors import clean
from ...frames.frame import Frame
from ...limits import FORMATS, MOST_FRAME_BYTES
from ...screens.tiles import LONGEST_CAPTION, Kind
from ...states import State
from ..changes import PageChange, is_name

_MAX_CHARACTERS = 512 * 1024  # of an entry: twenty anomalies of 2,000 characters, all of them escaped, have 240,000
_MAX_SENTENCE = 2_000  # characters of a title or a message
_MAX_COUNT = 2**31
_MAX_SECONDS = 2**40
_MAX_FRAMES = 32  # of an item
_MAX_ANOMALIES = 20
_MAX_MEMBERS = 20  # of an error
_ADDRESS = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WORD = re.compile(r"[a-z0-9_]{1,60}", re.ASCII | re.IGNORECASE)


class MalformedEntryError(ValueError):
    """A text in Redis that is no change of a gallery."""


class StoredFrame(NamedTuple):
    """A frame whose bytes are in Redis under `sha256`. `frame` has all of its facts, and no bytes.

    address: the random part of its address, which is that of its stream.
    """

    stream: str
    address: str
    number: int
    sha256: str
    n_bytes: int
    frame: Frame


class Entry(NamedTuple):
    """A change that viewers receive; of a frame also the place of its bytes."""

    change: PageChange
    stored: StoredFrame | None = None


def field_of(kind: str, key: str = "") -> str:
    """Return the field of the hash of facts for a kind of change and its key."""
    return f"{kind}\0{key}"


def encode_change(change: PageChange, *, address: str = "", sha256: str = "") -> str:
    """Return the text of a change. `address` and `sha256`: those of a frame."""
    facts = {name: value for name, value in change.facts.items() if name not in ("url", "small_url")}
    if change.kind == "frame":
        facts |= {"address": address, "sha256": sha256}
    return json.dumps([change.kind, change.stream, change.key, facts], separators=(",", ":"))


def decode_entry(text: bytes) -> Entry:
    """Return the change of a text. Raises MalformedEntryError if any part of it is no part of a change."""
    try:
        if len(text) > _MAX_CHARACTERS:
            raise ValueError("it is too long")
        kind, stream, key, given = json.loads(text)
        _name(stream)
        return _DECODERS[kind](stream, key, given)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise MalformedEntryError(f"an entry in Redis is no change of a gallery: {clean(str(error), 200)}") from None


# ---- the kinds of changes


def _decode_stream(stream: str, key: str, given: Mapping[str, Any]) -> Entry:
    facts = _checked(_STREAM_FACTS, given)
    if key != "" or facts["name"] != stream:
        raise ValueError("the name of the stream differs")
    return Entry(PageChange(stream=stream, kind="stream", facts=facts))


def _decode_item(stream: str, key: str, given: Mapping[str, Any]) -> Entry:
    facts = _checked(_ITEM_FACTS, given)
    return Entry(PageChange(stream=stream, kind="item", key=_checked_key(key, facts["number"]), facts=facts))


def _decode_frame(stream: str, key: str, given: Mapping[str, Any]) -> Entry:
    facts = _checked(_FRAME_FACTS, given)
    address, sha256, number, n_bytes = (facts[name] for name in ("address", "sha256", "number", "bytes"))
    size = cast("tuple[int, int] | None", tuple(facts["size"]) if facts["size"] else None)
    frame = Frame(data=b"", format=facts["format"], size=size, index=facts["index"], is_final=facts["is_final"])
    shown = {name: value for name, value in facts.items() if name not in ("address", "sha256")} | {
        "url": f"frames/{address}/{number}{frame.suffix}",
        "small_url": f"frames/{address}/{number}-small",
    }
    change = PageChange(stream=stream, kind="frame", key=_checked_key(key, number), facts=shown)
    return Entry(change, StoredFrame(stream, address, number, sha256, n_bytes, frame))


def _decode_dropped(stream: str, key: str, given: Mapping[str, Any]) -> Entry:
    return Entry(PageChange(stream=stream, kind="dropped", key=_checked_key(key, _count(int(key)))))


def _decode_gone(stream: str, key: str, given: Mapping[str, Any]) -> Entry:
    return Entry(PageChange(stream=stream, kind="gone", key=_one_of("")(key)))


_DECODERS: dict[str, Callable[[str, str, Mapping[str, Any]], Entry]] = {
    "stream": _decode_stream,
    "item": _decode_item,
    "frame": _decode_frame,
    "dropped": _decode_dropped,
    "gone": _decode_gone,
}


def _checked_key(key: str, number: int) -> str:
    if key != str(number):
        raise ValueError("the key is not the number")
    return key


# ---- the checks of values: each returns the value, or raises ValueError or TypeError

_Check = Callable[[Any], Any]


def _checked(checks: Mapping[str, _Check], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of `given` that have a check; all of these must be there."""
    if not isinstance(given, dict):
        raise TypeError("its facts are no JSON object")
    return {name: check(given[name]) for name, check in checks.items()}


def _name(value: Any) -> str:
    """Return the name of a stream. Raises ValueError if it is none."""
    if not is_name(value):
        raise ValueError("a name is not a text of 1 to 1,000 characters that UTF-8 can hold")
    return str(value)


def _item_id(value: Any) -> str:
    """Return the id of an item, by which the next producer finds it. Pages do not show it, so it is not cleaned."""
    return value if isinstance(value, str) and len(value) <= _MAX_SENTENCE else _text(_MAX_SENTENCE)(value)


def _text(longest: int) -> _Check:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError("a text is expected")
        return clean(value, longest)

    return check


def _number(least: float, most: float) -> _Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError("a number is out of its range")
        return value

    return check


def _whole(least: int, most: int) -> _Check:
    in_range = _number(least, most)

    def check(value: Any) -> int:
        if not isinstance(value, int):
            raise TypeError("a whole number is expected")
        return int(in_range(value))

    return check


def _one_of(*choices: str) -> _Check:
    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError("a word is not on its list")
        return str(value)

    return check


def _matching(pattern: re.Pattern[str]) -> _Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError("a text does not have its form")
        return value

    return check


def _optional(check: _Check) -> _Check:
    return lambda value: None if value is None else check(value)


def _list(check: _Check, longest: int) -> _Check:
    def check_all(values: Any) -> list[Any]:
        if not isinstance(values, list) or len(values) > longest:
            raise ValueError("a list is expected, or it is too long")
        return [check(value) for value in values]

    return check_all


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is expected")
    return value


def _size(value: Any) -> list[int]:
    width, height = _list(_whole(1, 2**20), 2)(value)
    return [width, height]


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value, _MAX_SENTENCE)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value) and abs(value) <= 2**53:
        return value
    raise ValueError("a fact of an error is no text, number, or truth")


def _error(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > _MAX_MEMBERS:
        raise ValueError("an error is no JSON object, or has too many members")
    return {_matching(_WORD)(name): _scalar(member) for name, member in value.items()}


def _anomaly(value: Any) -> dict[str, str]:
    return _checked({"code": _matching(_WORD), "message": _sentence}, value)


_count = _whole(0, _MAX_COUNT)
_seconds = _optional(_number(0, _MAX_SECONDS))
_sentence = _text(_MAX_SENTENCE)
_anomalies = _list(_anomaly, _MAX_ANOMALIES)
_SHOWN: dict[str, _Check] = {
    "number": _count,
    "size": _optional(_size),
    "kind": _one_of(*Kind),
    "caption": _text(LONGEST_CAPTION),
    "error": _optional(_error),
    "anomalies": _anomalies,
}
_STREAM_FACTS: dict[str, _Check] = _SHOWN | {
    "name": _name,
    "title": _sentence,
    "began_s": _seconds,
    "outcome": _optional(_one_of(*Outcome)),
}
_ITEM_FACTS: dict[str, _Check] = _SHOWN | {
    "id": _item_id,
    "state": _one_of(*State),
    "is_provisional": _truth,
    "has_final": _truth,
    "has_ended": _truth,
    "preview_s": _seconds,
    "final_s": _seconds,
    "frames": _list(_count, _MAX_FRAMES),
}
_FRAME_FACTS: dict[str, _Check] = {
    "index": _optional(_number(0, 2**53)),
    "is_final": _truth,
    "format": _one_of(*FORMATS),
    "size": _optional(_size),
    "bytes": _whole(1, MOST_FRAME_BYTES),
    "number": _count,
    "item": _count,
    "address": _matching(_ADDRESS),
    "sha256": _matching(_SHA256),
}
