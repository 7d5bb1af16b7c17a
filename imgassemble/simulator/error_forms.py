"""Writes the errors of services in all forms that were seen, in streams and as HTTP bodies.

Must not know: when an error comes, sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .messages import ERROR_FIELD, Event, flat_error
from .scenarios import ErrorForm, Scenario, ServiceError


def error_object(error: ServiceError) -> Event:
    """Return the member `error` of a body of OpenAI."""
    return {"type": error.kind, "code": error.code, "message": error.message, "param": None} | dict(error.more)


def error_body(error: ServiceError) -> Event:
    """Return the body of an HTTP error of OpenAI; Seedream's has the same form."""
    return {"error": error_object(error)}


def router_error_body(error: ServiceError) -> Event:
    """Return the body of an HTTP error of OpenRouter; its code is the HTTP status."""
    return {"error": {"message": error.message, "code": error.status}}


_GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


def google_error_body(error: ServiceError) -> Event:
    """Return the body of an HTTP error of Google; a chunk of a stream can be the same object."""
    status = _GOOGLE_STATUSES.get(error.status, "UNKNOWN")
    return {"error": {"code": error.status, "message": error.message, "status": status}}


def novelai_error_body(error: ServiceError) -> Event:
    """Return the body of an HTTP error of NovelAI."""
    return {"statusCode": error.status, "message": error.message}


def comfyui_error_body(error: ServiceError) -> Event:
    """Return the body of an HTTP error of ComfyUI."""
    facts = {"type": error.code or error.kind, "message": error.message, "details": "", "extra_info": {}}
    return {"error": facts, "node_errors": {}}


def a1111_error_body(error: ServiceError) -> Event:
    """Return the body of an HTTP error of AUTOMATIC1111."""
    return {"error": error.code or error.kind, "detail": error.message, "body": "", "errors": error.message}


def typed_error(error: ServiceError) -> Event:
    """Return an event `error` of OpenAI: its facts in an object, or beside the type."""
    if error.form == "flat":
        return flat_error(error.code, error.message)
    return {"type": "error", "error": error_object(error)}


def last_errors(scenario: Scenario, write: Callable[[ServiceError], Event]) -> list[Event]:
    """Return the errors at the end of a stream; for an API without a failed response the failure is one of them."""
    failures = [scenario.failure] if scenario.failure and not scenario.errors else []
    return [write(error) for error in (*scenario.errors, *failures)]


# Events that come last and have no sequence number, whichever API the stream belongs to.
BARE_ERRORS: Mapping[ErrorForm, Callable[[ServiceError], Event]] = MappingProxyType(
    {
        # The member `error` is a text.
        "text": lambda error: {"type": "error", "error": error.message},
        # vLLM and Mistral: the event itself is the error.
        "object": lambda error: {
            "object": "error",
            "message": error.message,
            "type": error.kind,
            "param": None,
            "code": error.status,
        },
        # llama.cpp and GPUStack: a field `error:` of the stream.
        "field": lambda error: {
            ERROR_FIELD: {"code": error.status, "message": error.message, "type": error.kind},
        },
        # Seedream: a member of `data` is an error in place of a picture.
        "in data": lambda error: {"data": [error_in_data(error)]},
    }
)


def error_in_data(error: ServiceError) -> Event:
    """Return a member of `data` with an error in place of a picture."""
    return {"error": {"code": error.code, "message": error.message}}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpError:
    """An answer that is an error from the start. `body`: None for the form of the API that is asked."""

    error: ServiceError
    headers: Mapping[str, str]
    body: Mapping[str, Any] | None = None


def plain_http_error(status: int, body: Mapping[str, Any], *, content_type: str = "application/json") -> HttpError:
    """Return an HTTP error with this body, which does not depend on the API."""
    error = ServiceError(code="", message="", kind="", status=status)
    return HttpError(error=error, headers={"content-type": content_type}, body=body)
