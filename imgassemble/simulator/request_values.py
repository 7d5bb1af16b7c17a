"""Reads the values of a client's request, or raises the refusal with which the service answers.

Must not know: sockets, which API has which fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import quoted
from .error_forms import (
    a1111_error_body,
    comfyui_error_body,
    error_body,
    google_error_body,
    novelai_error_body,
    router_error_body,
)
from .messages import Event
from .scenarios import ServiceError

MAX_SIDE, MAX_PIXELS = 3840, 3840 * 2160  # pixels: the limits of the services for `size`
MAX_ITEMS = 10  # the limit of the services for `n`
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)


def _refusal_body(error: ServiceError) -> Event:
    """Return the refusal as OpenAI writes it, and Seedream too; the keys have another order than in a stream."""
    return {"error": {"message": error.message, "type": error.kind} | dict(error.more)}


# The form of an error, by the beginning of the path; OpenAI's for all other paths.
_ERROR_BODIES: Mapping[str, Callable[[ServiceError], Event]] = {
    "/api/v3/": _refusal_body,
    "/api/v2/": error_body,
    "/api/": router_error_body,
    "/v1beta/": google_error_body,
    "/v1/models/": google_error_body,
    "/v1/interactions": google_error_body,
    "/ai/": novelai_error_body,
    "/prompt": comfyui_error_body,
    "/sdapi/": a1111_error_body,
    "/internal/": a1111_error_body,
}


class RequestError(Exception):
    """A request that the service answers with an error. `body(path)`: its JSON in the form of that service."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status = status
        more = {"param": param, "code": code}
        self._error = ServiceError(code=code or "", message=message, kind=kind, status=status, more=more)

    def body(self, path: str) -> Event:
        """Return the error as the service at this path writes it."""
        forms = (form for start, form in _ERROR_BODIES.items() if path.startswith(start))
        return next(forms, _refusal_body)(self._error)


# ---- simple values


_KINDS: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    type(None): "null",
}


def wrong_type(name: str, expected: str, value: object) -> RequestError:
    message = f"Invalid type for '{name}': expected {expected}, but got {_KINDS[type(value)]} instead."
    return RequestError(message, param=name, code="invalid_type")


def _wrong_value(name: str, expected: str, value: object) -> RequestError:
    shown = _KINDS[type(value)] if isinstance(value, (dict, list)) else quoted(str(value))
    return RequestError(f"Invalid value for '{name}': {shown}. {expected}", param=name, code="invalid_value")


def missing(name: str) -> RequestError:
    return RequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def read_string(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    if not value.strip():
        raise missing(name)
    try:
        value.encode()
    except UnicodeEncodeError as cause:
        raise _wrong_value(name, "Half of a surrogate pair is no text.", value) from cause
    return value


def read_boolean(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise wrong_type(name, "a boolean", value)
    return value


def integer_reader(lowest: int, highest: int) -> Callable[[object, str], int]:
    def read(value: object, name: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong_type(name, "an integer", value)
        if not lowest <= value <= highest:
            raise _wrong_value(name, f"Expected an integer from {lowest} to {highest}.", value)
        return value

    return read


def read_size(value: object, name: str) -> tuple[int, int] | None:
    if value == "auto":
        return None
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise _wrong_value(name, "Expected 'auto' or WIDTHxHEIGHT in pixels, such as '1024x1024'.", value)
    return _checked_size((int(found[1]), int(found[2])), name, value)


def _checked_size(size: tuple[int, int], name: str, value: object) -> tuple[int, int]:
    if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        raise _wrong_value(name, f"Expected at most {MAX_SIDE} pixels a side and {MAX_PIXELS:,} in all.", value)
    return size


def read_named_size(value: object, name: str) -> tuple[int, int] | None:
    """Return a size as Seedream takes it: in pixels, or "1K", "2K", "4K", which leave the default."""
    return None if value in ("1K", "2K", "3K", "4K") else read_size(value, name)


def read_sides(value: object, name: str) -> tuple[int, int] | None:
    """Return the size in the members `width` and `height` of an object; None if it has none."""
    if not isinstance(value, dict) or "width" not in value or "height" not in value:
        return None
    read = integer_reader(1, MAX_SIDE)
    sides = (read(value[side], f"{name}.{side}".lstrip(".")) for side in ("width", "height"))
    width, height = (side for side in sides if isinstance(side, int))
    return _checked_size((width, height), name, f"{width}x{height}")


def choice_reader(*known: str) -> Callable[[object, str], str]:
    def read(value: object, name: str) -> str:
        if value not in known:
            raise _wrong_value(name, f"Supported values are: {', '.join(map(repr, known))}.", value)
        return str(value).upper()

    return read


def read_prompt(value: object, name: str) -> str:
    """Return the text of an input: a string, or the texts in a list of messages or of contents with parts."""
    if not isinstance(value, (str, list)):
        raise wrong_type(name, "a string or an array", value)
    return read_string(" ".join(_texts_in(value)), name)


def _texts_in(value: object) -> Iterator[str]:
    """Yield the texts of messages: strings, and those under `content`, `parts` and `text`."""
    if isinstance(value, str):
        yield value
    inner = value if isinstance(value, list) else []
    if isinstance(value, dict):
        inner = [value[key] for key in ("content", "parts", "text") if key in value]
    for each in inner:
        yield from _texts_in(each)


def _workflow_inputs(value: object, name: str) -> list[dict[str, Any]]:
    """Return the inputs of the nodes of ComfyUI's workflow in its API format."""
    if not isinstance(value, dict):
        raise wrong_type(name, "an object", value)
    nodes = [node for node in value.values() if isinstance(node, dict)]
    return [node["inputs"] for node in nodes if isinstance(node.get("inputs"), dict)]


def read_workflow_text(value: object, name: str) -> str | None:
    texts = [inputs.get("text") for inputs in _workflow_inputs(value, name)]
    return next((text for text in texts if isinstance(text, str) and text.strip()), None)


def read_workflow_size(value: object, name: str) -> tuple[int, int] | None:
    sizes = (read_sides(inputs, name) for inputs in _workflow_inputs(value, name))
    return next(filter(None, sizes), None)


def read_workflow_count(value: object, name: str) -> object:
    counts = [inputs["batch_size"] for inputs in _workflow_inputs(value, name) if "batch_size" in inputs]
    return integer_reader(1, MAX_ITEMS)(counts[0], f"{name}.batch_size") if counts else None


def reject(value: object, name: str) -> None:
    raise RequestError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
