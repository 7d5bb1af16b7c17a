"""Turns a message into the fields of its event: JSON text, a mapping, or an SDK's own object.

Must not know: pydantic, the meaning of an event, the source of its bytes.
A value of the wrong type counts as missing; it never makes the rest of its message unreadable.
"""

from __future__ import annotations

from typing import Any

from ..errors import EventError, clean
from ..frames.base64_json import Load
from .dialects import CARRIER, ROWS
from .failures import ERROR_NAMES, error_in, error_of_body
from .fields import FIELDS_OF_SHAPES, ErrorEventFields, EventFields, read_fields
from .members import has_members, members_of
from .message_types import TYPE_MEMBERS, message_and_type
from .placed import read_placed
from .values import read_words

_TEXTS = (str, bytes, bytearray, memoryview)
_KEPT = ("sequence_number", "response_id", "stream_id", "message")  # of a message that becomes an error event
_FAILURE_NAMES = ERROR_NAMES | {*_KEPT}
_MOST_NAMED = 5  # members of an unknown message that its error names


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
    if type(event) is not dict and not has_members(event):
        raise EventError(f"an event is a JSON object or an SDK's event, not {type(event).__name__}")
    return event


def _read(message: Any) -> EventFields:
    members = message if type(message) is dict else members_of(message, TYPE_MEMBERS)
    kind = members.get("type")
    row = ROWS.get(kind) if type(kind) is str else None
    if row is None or CARRIER in members:
        message, kind = message_and_type(message)
        row = ROWS.get(kind)
        if row is None:
            return _read_unknown(message, kind)
    fields_of = FIELDS_OF_SHAPES[row.shape]
    if type(message) is not dict and isinstance(message, fields_of):  # it was read before
        return message
    if row.layout:
        return read_placed(row.layout, str(kind), message)
    if kind == "response":  # not streamed: the message is the response
        message = {"response": message}
    fields = read_fields(fields_of, message)
    fields.__dict__["type"] = kind
    return fields


def _read_unknown(message: Any, kind: str) -> EventFields:
    """Return the fields of a message of a type without a row: those of its error, if it reports one."""
    if isinstance(message, EventFields):
        return message
    if failure := _failure_in(message, kind):
        return read_fields(ErrorEventFields, failure)
    if not kind:
        raise EventError(f"a message has no type, and is not a known answer{_named(message)}; it is skipped")
    fields = read_fields(EventFields, message)
    if not fields.type:
        vars(fields)["type"] = read_words(kind)
    return fields


def _named(message: Any) -> str:
    """Return the names of the members of an unknown message, for a sentence."""
    names = sorted(name for name in message if isinstance(name, str)) if isinstance(message, dict) else []
    shown = ", ".join(clean(name, 40) for name in names[:_MOST_NAMED])
    return f" (its members are {shown}{', …' if len(names) > _MOST_NAMED else ''})" if shown else ""


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
