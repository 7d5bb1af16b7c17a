"""Errors in messages: whether a message reports one, wherever a service puts it.

Must not know: pydantic, items, what an error changes.
Sources: docs/wire.md, section Errors; bodies of FastAPI, Kong, Cloudflare, vLLM, and RFC 9457 (problem details).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAPPINGS = (dict, Mapping)  # in this order: a check for the second takes ten times as long
_DEEPEST = 3
_WORDS = ("detail", "title", "message", "msg")
_CODES = ("code", "status", "statusCode", "status_code")
# A message with these members alone is the body of an HTTP error.
_BODY = frozenset({*_WORDS, *_CODES, "type", "instance", "param", "request_id", "requestId", "trace_id", "traceId"})
_ERROR_MEMBERS = ("message", "code", "type", "param")
ERROR_NAMES = frozenset({"error", "errors", "object", *_ERROR_MEMBERS})
_MEANS_SUCCESS = frozenset({"0", "200", "201", "ok", "success", "succeeded", "completed"})


def has_content(error: Any, depth: int = _DEEPEST) -> bool:
    """Return whether an `error` member reports anything: null, false, "", {} and objects of such members do not."""
    if isinstance(error, _MAPPINGS):
        return depth > 0 and any(has_content(each, depth - 1) for each in error.values())
    if isinstance(error, (list, tuple)):
        return depth > 0 and any(has_content(each, depth - 1) for each in error)
    return bool(error.strip() if isinstance(error, str) else error)


def names_error(kind: str) -> bool:
    """Return whether a wire type is that of an error.

    Also True for "" and for a URL: then the message is the body of an HTTP error.
    """
    return not kind or "error" in kind.lower() or _is_problem_type(kind)


def error_in(members: Mapping[str, Any], kind: str) -> Any:
    """Return the error that a message of an unknown type reports; None without one.

    members: those of the message that are in ERROR_NAMES, and perhaps others.
    """
    error = members.get("error")
    if has_content(error):
        return error
    errors = members.get("errors")
    if isinstance(errors, (list, tuple)) and has_content(errors):
        return next(each for each in errors if has_content(each))
    if members.get("object") == "error" or (kind and names_error(kind) and has_content(members.get("message"))):
        return {name: members.get(name) for name in _ERROR_MEMBERS}
    return None


def error_of_body(event: object, kind: str) -> Any:
    """Return the error in a body that consists of a message, a code and the like; None for other messages."""
    if not isinstance(event, _MAPPINGS) or (kind and not _is_problem_type(kind)):
        return None
    is_problem = bool(kind) or ("title" in event and "status" in event)
    if not (is_problem or all(name in _BODY for name, value in event.items() if value is not None)):
        return None
    words = next((text for name in _WORDS if (text := _text(event.get(name)))), None)
    code = next((event[name] for name in _CODES if event.get(name) not in (None, "")), None)
    if words is None or str(code).lower() in _MEANS_SUCCESS:
        return None
    title = _text(event.get("title"))
    return {"message": f"{title}: {words}" if title and title != words else words, "code": code}


def _is_problem_type(kind: str) -> bool:
    return "://" in kind or kind == "about:blank"


def _text(value: Any) -> str | None:
    """Return the words in a member; FastAPI gives a list of objects with `msg`."""
    if isinstance(value, (list, tuple)):
        words = [each.get("msg") for each in value if isinstance(each, _MAPPINGS)]
        return "; ".join(each for each in words if isinstance(each, str)) or None
    return value if isinstance(value, str) and value.strip() else None
