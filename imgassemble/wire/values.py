"""Reads the value of one field: a number, a text, base64, or plain JSON. A value of another kind counts as missing.

Must not know: the field that a value belongs to, and its place in the message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from math import isfinite
from typing import Any

from ..errors import clean, shorten_base64
from ..frames.base64_json import Decoded, Withheld, withheld_in
from ..readonly import read_only
from .dialects import GREATEST_NUMBER

_MOST_MEMBERS = 1_000  # of `usage` or `error`, at all depths; real ones have a dozen
_LONGEST_ID = 4_096  # characters; real ids have up to 83. An id is never cut: two long ids would become one
_LONGEST_WORDS = 32_768  # characters: the longest prompt that an image model takes
_SHORT = 100  # characters: a text up to this length is not cut
_DEEPEST = 6
_MOST_DIGITS = 16  # of 2**53
_MOST_BITS = 64  # a larger integer can be too long to print


def read_number(value: Any) -> float | None:
    """Return an index or a sequence number from 0 to 2**53, an integer as int."""
    if type(value) is int and 0 <= value <= GREATEST_NUMBER:  # nearly always
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= GREATEST_NUMBER:
        return None  # NaN fails the comparison, too
    return int(value) if value == int(value) else float(value)


def read_count(value: Any) -> float | None:
    """Return a number as `read_number` does, also one that was sent as text: "0"."""
    is_digits = type(value) is str and value.isdecimal() and len(value) <= _MOST_DIGITS
    return read_number(int(value) if is_digits else value)


def read_name(value: Any) -> str | None:
    """Return an id as `read_identifier` does, also one that was sent as a number."""
    return str(value) if type(value) is int and value.bit_length() <= _MOST_BITS else read_identifier(value)


def read_text(value: Any) -> str | None:
    """Return a whole text: a text itself, the value of an enum, or the text sent for decoded base64."""
    if type(value) is str:  # nearly always
        return value
    if isinstance(value, Decoded):
        return value.text
    if isinstance(value, Enum):
        value = value.value
    return value if isinstance(value, str) else None


def read_words(value: Any) -> str | None:
    """Return a text for people or a name of the service, bounded in length and without base64."""
    if type(value) is str and len(value) <= _SHORT:  # nearly always
        return value
    text = read_text(value)
    return shorten_base64(text[:_LONGEST_WORDS]) if text else text


def read_identifier(value: Any) -> str | None:
    """Return a whole id; None if the id is too long."""
    if type(value) is str and len(value) <= _SHORT:  # nearly always
        return value
    text = read_text(value)
    return text if text is not None and len(text) <= _LONGEST_ID else None


def read_base64(value: Any) -> str | Decoded | Withheld | None:
    """Return base64 or a URL as it is: as text, as bytes that were decoded already, or as a reference in its place."""
    if isinstance(value, dict):
        return withheld_in(value)
    if isinstance(value, (bytes, bytearray, memoryview)):  # google-genai
        return Decoded(bytes(value)) if len(value) else ""
    return value if isinstance(value, (Decoded, Withheld)) else read_text(value)


def read_plain(value: Any) -> Any:
    """Return a copy of `value` as plain JSON, bounded in depth and number of members, without other kinds of values."""
    return _copied(value, _DEEPEST, iter(range(_MOST_MEMBERS)))


def read_mapping(value: Any) -> Mapping[str, Any] | None:
    """Return a mapping as plain JSON that cannot be changed."""
    facts = read_only(read_plain(value))
    return facts if isinstance(facts, Mapping) else None


def _copied(value: Any, depth: int, budget: Iterator[int]) -> Any:
    if isinstance(value, Decoded):
        value = value.text
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, Mapping) and depth:
        members = zip(value.items(), budget, strict=False)
        return {clean(str(name), 100): _copied(each, depth - 1, budget) for (name, each), _ in members}
    if isinstance(value, (list, tuple)) and depth:
        return [_copied(each, depth - 1, budget) for each, _ in zip(value, budget, strict=False)]
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return None
    return clean(value) if isinstance(value, str) else value if isinstance(value, (bool, int, float)) else None
