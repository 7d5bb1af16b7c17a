"""Finds the type of a message, and takes the message out of objects that only carry it.

The type is a member; without one, it follows from a member that only one kind of message has.
Must not know: pydantic, the meaning of a type, the fields of a message.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .dialects import (
    ANSWER,
    ANSWER_TYPE,
    CARRIER,
    CARRIERS,
    METHOD,
    PARAMS,
    SHARED_TYPES,
    TYPE_NAMES,
    WITHOUT_TYPE,
)
from .event_rows import Way
from .failures import has_content
from .members import has_members, member_of, members_of
from .paths import Chain, name_spellings, value_at
from .values import read_text

_MOST_LAYERS = 6  # of objects that carry an event; real ones have two
TYPE_MEMBERS = frozenset((*TYPE_NAMES, CARRIER))
_ENVELOPE_MEMBERS = frozenset((METHOD, PARAMS, ANSWER, "id", "jsonrpc"))


class _Mark(NamedTuple):
    """A member that only one kind of message has. The lowest rank counts."""

    rank: int
    way: Way
    value: str | None  # None: any value
    kind: str


def _marks_by_member() -> dict[str, list[_Mark]]:
    marks: dict[str, list[_Mark]] = {}
    for rank, (way, value, kind) in enumerate(WITHOUT_TYPE):
        for name in dict.fromkeys(name_spellings(way.partition(".")[0])):
            marks.setdefault(name, []).append(_Mark(rank, way, value, kind))
    return marks


_MARKS = _marks_by_member()
_MARKED = frozenset(_MARKS)
_KINDS_OF_OBJECTS = {value: kind for way, value, kind in WITHOUT_TYPE if way == "object"}


def message_and_type(message: Any) -> tuple[Any, str]:
    """Return the service's own message, taken out of objects that only carry it, and its type; "" if it has none."""
    kind = ""
    for _ in range(_MOST_LAYERS):
        members = members_of(message, TYPE_MEMBERS)
        kind = next((text for name in TYPE_NAMES if name in members and (text := read_text(members[name]))), "")
        carrier = CARRIERS.get(kind, CARRIER)
        carried = members.get(carrier) if carrier == CARRIER else member_of(message, carrier)
        if carried is None or not has_members(carried):
            break
        message = carried
    if kind:
        return message, _own_type(message, kind)
    kind = type_of_members(message)
    return (message, kind) if kind else _out_of_envelope(message)


def _out_of_envelope(message: Any) -> tuple[Any, str]:
    """Return the message in a notification or an answer of JSON-RPC, and its type; "" for any other message."""
    members = members_of(message, _ENVELOPE_MEMBERS)
    params, answer = members.get(PARAMS), members.get(ANSWER)
    method = read_text(members.get(METHOD))
    if method and params is not None and has_members(params):
        return params, _own_type(params, method)
    if answer is not None and has_members(answer) and ("id" in members or "jsonrpc" in members):
        return answer, type_of_members(answer) or ANSWER_TYPE
    return message, ""


def type_of_members(message: Any) -> str:
    """Return the type of a message without a `type`: that of the first member that only one kind has, else "".

    message: a mapping, or an SDK's own object.
    """
    members = members_of(message, _MARKED)
    kind = read_text(members.get("object")) or ""
    if kind in _KINDS_OF_OBJECTS:  # nearly always
        return _KINDS_OF_OBJECTS[kind]
    found = [mark for name in _MARKED & members.keys() for mark in _MARKS[name] if _has(message, members[name], mark)]
    return min(found).kind if found else kind


def _has(message: Any, member: Any, mark: _Mark) -> bool:
    found = value_at(mark.way, Chain((message,))) if "." in mark.way else member
    if found is None or (mark.kind == "error" and not has_content(found)):
        return False
    return mark.value is None or read_text(found) == mark.value


def _own_type(message: Any, kind: str) -> str:
    """Return the type of a message: `kind`, unless several services use that and this is the message of one of them."""
    if kind not in SHARED_TYPES:
        return kind
    way, value, own = SHARED_TYPES[kind]
    found = value_at(way, Chain((message,)))
    return own if found is not None and (value is None or found == value) else kind
