"""Turns a message into the fields of its event: JSON text, a mapping, or an SDK's own object.

Must not know: pydantic, the meaning of an event, the source of its bytes.
A value of the wrong type counts as missing; it never makes the rest of its message unreadable.
"""

from __future__ import annotations

from typing import Any

from ..errors import EventError
from ..frames.base64_json import Load
from .dialects import CARRIER, CARRIERS, ROWS, TYPE_NAMES, WITHOUT_TYPE
from .failures import ERROR_NAMES, error_in, error_of_body, has_content
from .fields import FIELDS_OF_SHAPES, ErrorEventFields, EventFields, read_fields
from .members import has_members, member_of, members_of
from .values import read_text

_MOST_LAYERS = 6  # of objects that carry an event; real ones have two
_TEXTS = (str, bytes, bytearray, memoryview)
_TYPES = frozenset((*TYPE_NAMES, CARRIER))
_KEPT = ("sequence_number", "response_id", "stream_id", "message")  # of a message that becomes an error event
_FAILURE_NAMES = ERROR_NAMES | {*_KEPT}
_FIELDS_WITHOUT_TYPE = frozenset((*(name for name, _, _ in WITHOUT_TYPE), "object"))


def read_event(event: object, load: Load) -> EventFields:
    """Return the fields of an event: a mapping, an SDK's own object, or JSON that `load` reads.

    With `load_decoded` long base64 is decoded already. Raises EventError if there is nothing to read.
    """
    try:
        return _read(event if type(event) is dict else _message_in(event, load))
    except EventError:
        raise
    except Exception as cause:  # a property of an SDK's object can raise anything
        sentence = f"an event cannot be read: {type(cause).__name__}; pass what the client gave, as it is"
        raise EventError(sentence) from cause


def _message_in(event: Any, load: Load) -> Any:
    """Return the message in an event: the value of its JSON, or the event itself."""
    if isinstance(event, _TEXTS):
        if event in ("[DONE]", b"[DONE]"):  # the end of many streams
            return {"type": "[DONE]"}
        event = load(event)
    if not has_members(event):
        raise EventError(f"an event is a JSON object or an SDK's event, not {type(event).__name__}")
    return event


def _read(message: Any) -> EventFields:
    members = message if type(message) is dict else members_of(message, _TYPES)
    kind = members.get("type")
    row = ROWS.get(kind) if type(kind) is str else None
    if row is None or members.get(CARRIER) is not None:
        message, kind = _message_and_type(message)
        row = ROWS.get(kind)
    if row is None:
        if isinstance(message, EventFields):
            return message
        if failure := _failure_in(message, kind or ""):
            return read_fields(ErrorEventFields, failure)
        if not kind:
            raise EventError("a message has no type, and is no answer that is known; it is skipped")
    fields_of = FIELDS_OF_SHAPES[row.shape] if row else EventFields
    if isinstance(message, fields_of):  # it was read before
        return message
    if kind == "response":  # not streamed: the message is the response
        message = {"type": kind, "response": message}
    fields = read_fields(fields_of, message)
    if not fields.type:
        vars(fields)["type"] = kind
    return fields


def _message_and_type(message: Any) -> tuple[Any, str]:
    """Return the service's own message, taken out of objects that only carry it, and its type."""
    for _ in range(_MOST_LAYERS):
        members = members_of(message, _TYPES)
        kind = read_text(members.get("type"))
        carrier = CARRIERS.get(kind, CARRIER)
        carried = members.get(carrier) if carrier == CARRIER else member_of(message, carrier)
        if carried is None or not has_members(carried):
            break
        message = carried
    return message, _type_of(message)


def _type_of(message: Any) -> str:
    members = members_of(message, _TYPES)
    for name in TYPE_NAMES:
        if kind := read_text(members.get(name)):
            return kind
    members = members_of(message, _FIELDS_WITHOUT_TYPE)
    for name, value, kind in WITHOUT_TYPE:
        found = members.get(name)
        if found is None or (name == "error" and not has_content(found)):
            continue
        if value is None or read_text(found) == value:
            return kind
    return read_text(members.get("object")) or ""


def _failure_in(message: Any, kind: str) -> dict[str, Any] | None:
    """Return the members of an error event for a message of an unknown type that reports an error."""
    members = members_of(message, _FAILURE_NAMES)
    error, is_bare_body = error_in(members, kind), False
    if error is None:
        error, is_bare_body = error_of_body(message, kind), True
    if error is None:
        return None
    kept = {name: members.get(name) for name in _KEPT}
    return kept | {"type": kind or "error", "error": error, "is_bare_body": is_bare_body}
