"""Reads an order from a client's request, or the refusal with which the service answers.

Each field that an API accepts is a row in a table.
Must not know: sockets, time, how a picture or a stream is made.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ..errors import UsageError, quoted
from .answers import Api, Order
from .dialects import dialect_named
from .faults import choose_faults

FAULTS_HEADER, DIALECT_HEADER, SEED_HEADER = "x-imgassemble-faults", "x-imgassemble-dialect", "x-imgassemble-seed"

MAX_SIDE, MAX_PIXELS = 3840, 3840 * 2160  # pixels: the limits of the services for `size`
_MAX_PARTIALS = 3  # the limit of the services for `partial_images`
_MAX_FRAMES = 30  # for `frame_count`
_MAX_ITEMS = 10  # the limit of the services for `n`
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)
_SEED = re.compile(r"-?[0-9]{1,18}", re.ASCII)


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
        self._facts = {"message": message, "type": kind, "param": param, "code": code}

    def body(self, path: str) -> dict[str, Any]:
        """Return the error as OpenAI writes it, or below /api/ as OpenRouter does: its code is the HTTP status."""
        if path.startswith("/api/"):
            return {"error": {"message": self._facts["message"], "code": self.status}}
        return {"error": self._facts}


# ---- one value


_KINDS: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    type(None): "null",
}


def _wrong_type(name: str, expected: str, value: object) -> RequestError:
    message = f"Invalid type for '{name}': expected {expected}, but got {_KINDS[type(value)]} instead."
    return RequestError(message, param=name, code="invalid_type")


def _wrong_value(name: str, expected: str, value: object) -> RequestError:
    shown = _KINDS[type(value)] if isinstance(value, (dict, list)) else quoted(str(value))
    return RequestError(f"Invalid value for '{name}': {shown}. {expected}", param=name, code="invalid_value")


def _missing(name: str) -> RequestError:
    return RequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def _read_text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(name, "a string", value)
    if not value.strip():
        raise _missing(name)
    try:
        value.encode()
    except UnicodeEncodeError as cause:
        raise _wrong_value(name, "Half of a surrogate pair is no text.", value) from cause
    return value


def _read_boolean(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(name, "a boolean", value)
    return value


def _integer_reader(lowest: int, highest: int) -> Callable[[object, str], int]:
    def read(value: object, name: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong_type(name, "an integer", value)
        if not lowest <= value <= highest:
            raise _wrong_value(name, f"Expected an integer from {lowest} to {highest}.", value)
        return value

    return read


def _read_size(value: object, name: str) -> tuple[int, int] | None:
    if value == "auto":
        return None
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise _wrong_value(name, "Expected 'auto' or WIDTHxHEIGHT in pixels, such as '1024x1024'.", value)
    size = int(found[1]), int(found[2])
    if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        raise _wrong_value(name, f"Expected at most {MAX_SIDE} pixels a side and {MAX_PIXELS:,} in all.", value)
    return size


def _choice_reader(*known: str) -> Callable[[object, str], str]:
    def read(value: object, name: str) -> str:
        if value not in known:
            raise _wrong_value(name, f"Supported values are: {', '.join(map(repr, known))}.", value)
        return str(value).upper()

    return read


def _read_prompt(value: object, name: str) -> str:
    """Return the text of the input (Responses API) or the messages (chat): a string, or messages of parts."""
    if isinstance(value, str):
        return _read_text(value, name)
    if not isinstance(value, list):
        raise _wrong_type(name, "a string or an array", value)
    contents = [message.get("content") for message in value if isinstance(message, dict)]
    parts = [part for content in contents for part in (content if isinstance(content, list) else [{"text": content}])]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return _read_text(" ".join(text for text in texts if isinstance(text, str)), name)


def _reject(value: object, name: str) -> None:
    raise RequestError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


# ---- the fields of each API


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """A field of a request: its names on the wire and in an order, and its reader (None: no change)."""

    wire: str
    order: str
    read: Callable[[object, str], object]
    is_required: bool = False


def _field(wire: str, order: str, read: Callable[[object, str], object], *, is_required: bool = False) -> _Field:
    return _Field(wire=wire, order=order, read=read, is_required=is_required)


_STREAM = _field("stream", "is_streamed", _read_boolean)
_FORMAT = _field("output_format", "format", _choice_reader("png", "jpeg", "webp", "gif", "svg"))
_PICTURE = (
    _field("size", "size", _read_size),
    _field("partial_images", "partials", _integer_reader(0, _MAX_PARTIALS)),
)
_IMAGES = (
    _field("prompt", "prompt", _read_text, is_required=True),
    _FORMAT,
    *_PICTURE,
    _field("n", "items", _integer_reader(1, _MAX_ITEMS)),
    _STREAM,
)
_FIELDS: dict[Api, tuple[_Field, ...]] = {
    "responses": (
        _field("input", "prompt", _read_prompt, is_required=True),
        _STREAM,
        _field("background", "is_background", _read_boolean),
    ),
    "images": _IMAGES,
    "edits": _IMAGES,
    "router-images": _IMAGES,
    "chat": (_field("messages", "prompt", _read_prompt, is_required=True), _STREAM),
}
# The image tool of the Responses API has no `n`.
_TOOL = (
    _FORMAT,
    *_PICTURE,
    _field("frame_count", "frames", _integer_reader(1, _MAX_FRAMES)),
    _field("n", "items", _reject),
)


def read_order(
    api: Api,
    body: object,
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    default: Order,
    picture: bytes | None = None,
) -> Order:
    """Return the order of a request: the default one, changed by its body and its headers.

    Arguments: `body`: the parsed JSON, or the fields of a form. `headers`: by their names in lower case.
    `picture`: the file to edit. Raises RequestError.
    """
    if not isinstance(body, dict):
        raise _wrong_type("body", "an object", body)
    # A service streams or works in the background only if the request says so, not if the default order does.
    asked: dict[str, Any] = {"api": api, "is_streamed": False, "is_background": False}
    asked |= _read_fields(_FIELDS[api], body)
    asked |= _read_tool(body.get("tools")) if api == "responses" else {}
    asked |= {"picture": picture or _read_picture(body)} if api == "edits" else {}
    if api in ("images", "edits") and asked["is_streamed"] and asked.get("items", 1) > 1:
        raise RequestError(
            "Streaming is only supported with n=1.",
            param="input",
            code="unsupported_parameter",
            kind="image_generation_user_error",
        )
    return replace(default, **asked, **_read_headers(headers))


def _read_fields(known: tuple[_Field, ...], body: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    found = {}
    for field in known:
        name, value = place + field.wire, body.get(field.wire)
        if value is None and field.is_required:
            raise _missing(name)
        if value is not None and (read := field.read(value, name)) is not None:
            found[field.order] = read
    return found


def _read_tool(tools: object) -> dict[str, Any]:
    if tools is None:
        return {}
    if not isinstance(tools, list):
        raise _wrong_type("tools", "an array", tools)
    for at, tool in enumerate(tools):
        if isinstance(tool, dict) and tool.get("type") == "image_generation":
            return _read_fields(_TOOL, tool, f"tools[{at}].")
    return {}


def _read_picture(body: Mapping[str, Any]) -> bytes | None:
    """Return the first picture of an edit in JSON; None if it is only a URL (which is never fetched)."""
    images = body.get("images")
    if not isinstance(images, list) or not images or not isinstance(images[0], dict):
        raise _missing("image")
    url = images[0].get("image_url")
    if not isinstance(url, str) or not url.startswith("data:"):
        return None
    try:
        return a2b_base64(url.partition(",")[2])
    except (Base64Error, ValueError) as cause:
        message = "Invalid value for 'images[0].image_url': its base64 cannot be read."
        raise RequestError(message, param="images[0].image_url", code="invalid_value") from cause


def _read_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, (field, read) in _HEADERS.items():
        if name in headers:
            try:
                found[field] = read(headers[name])
            except UsageError as cause:
                raise RequestError(f"{name}: {cause}.", param=name, code="invalid_value") from cause
    return found


def _read_faults(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    choose_faults(names, seed=0)  # raises UsageError for an unknown fault
    return names


def _read_dialect(value: str) -> str:
    return dialect_named(value.strip()).name


def _read_seed(value: str) -> int:
    if not _SEED.fullmatch(value.strip()):
        raise UsageError(f"the seed is a whole number, not {quoted(value)}")
    return int(value)


_HEADERS: dict[str, tuple[str, Callable[[str], object]]] = {
    DIALECT_HEADER: ("dialect", _read_dialect),
    SEED_HEADER: ("seed", _read_seed),
    FAULTS_HEADER: ("faults", _read_faults),
}


def read_form_values(fields: Mapping[str, str]) -> dict[str, Any]:
    """Give the fields of a form their JSON types; a value of another type stays text and is refused."""
    return {name: _FORM.get(name, _keep_text)(value) for name, value in fields.items()}


def _keep_text(value: str) -> object:
    return value


def _read_number(value: str) -> object:
    return int(value) if re.fullmatch("-?[0-9]{1,9}", value, re.ASCII) else value


def _read_truth(value: str) -> object:
    return {"true": True, "false": False}.get(value.lower(), value)


_FORM: dict[str, Callable[[str], object]] = {
    "n": _read_number,
    "partial_images": _read_number,
    "stream": _read_truth,
}
