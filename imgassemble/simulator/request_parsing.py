"""From what a client asked for to the order that is played, or to the service's own refusal.

Knows: the fields of each API's request body, the `x-imgassemble-…` headers, and how the services word a refusal.
Must not know: sockets, time, how a picture or a stream is made. What a service accepts is rows in a table.
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
from .faults import chosen

FAULTS_HEADER, DIALECT_HEADER, SEED_HEADER = "x-imgassemble-faults", "x-imgassemble-dialect", "x-imgassemble-seed"

MAX_SIDE, MAX_PIXELS = 3840, 3840 * 2160  # pixels: the services' own limits for `size`
_MAX_PARTIALS = 3  # the services' own limit for `partial_images`
_MAX_ITEMS = 10  # the services' own limit for `n`
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)
_SEED = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class Refusal(Exception):  # noqa: N818  (what the service says, not what went wrong here)
    """A request that the service answers with an error. `body(path)`: its JSON in the words of that service."""

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
        """The error as OpenAI writes it or, below /api/, as OpenRouter does: its code is the HTTP status."""
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


def _wrong_type(name: str, expected: str, value: object) -> Refusal:
    message = f"Invalid type for '{name}': expected {expected}, but got {_KINDS[type(value)]} instead."
    return Refusal(message, param=name, code="invalid_type")


def _wrong_value(name: str, expected: str, value: object) -> Refusal:
    shown = _KINDS[type(value)] if isinstance(value, (dict, list)) else quoted(str(value))
    return Refusal(f"Invalid value for '{name}': {shown}. {expected}", param=name, code="invalid_value")


def _missing(name: str) -> Refusal:
    return Refusal(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(name, "a string", value)
    if not value.strip():
        raise _missing(name)
    try:
        value.encode()
    except UnicodeEncodeError as cause:
        raise _wrong_value(name, "Half of a surrogate pair is no text.", value) from cause
    return value


def _is_true(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(name, "a boolean", value)
    return value


def _whole_number(lowest: int, highest: int) -> Callable[[object, str], int]:
    def read(value: object, name: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong_type(name, "an integer", value)
        if not lowest <= value <= highest:
            raise _wrong_value(name, f"Expected an integer from {lowest} to {highest}.", value)
        return value

    return read


def _size(value: object, name: str) -> tuple[int, int] | None:
    if value == "auto":
        return None
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise _wrong_value(name, "Expected 'auto' or WIDTHxHEIGHT in pixels, such as '1024x1024'.", value)
    size = int(found[1]), int(found[2])
    if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        raise _wrong_value(name, f"Expected at most {MAX_SIDE} pixels a side and {MAX_PIXELS:,} in all.", value)
    return size


def _one_of(*known: str) -> Callable[[object, str], str]:
    def read(value: object, name: str) -> str:
        if value not in known:
            raise _wrong_value(name, f"Supported values are: {', '.join(map(repr, known))}.", value)
        return str(value).upper()

    return read


def _written(value: object, name: str) -> str:
    """The text in the input of the Responses API, or in the messages of a chat: a string, or messages of parts."""
    if isinstance(value, str):
        return _text(value, name)
    if not isinstance(value, list):
        raise _wrong_type(name, "a string or an array", value)
    contents = [message.get("content") for message in value if isinstance(message, dict)]
    parts = [part for content in contents for part in (content if isinstance(content, list) else [{"text": content}])]
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return _text(" ".join(text for text in texts if isinstance(text, str)), name)


def _not_known(value: object, name: str) -> None:
    raise Refusal(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


# ---- what each API reads


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One field of a request: its name on the wire, the order's own, and how its value is read (None: no change)."""

    wire: str
    order: str
    read: Callable[[object, str], object]
    is_required: bool = False


def _field(wire: str, order: str, read: Callable[[object, str], object], *, is_required: bool = False) -> _Field:
    return _Field(wire=wire, order=order, read=read, is_required=is_required)


_STREAM = _field("stream", "is_streamed", _is_true)
_FORMAT = _field("output_format", "format", _one_of("png", "jpeg", "webp"))
_PICTURE = (
    _field("size", "size", _size),
    _field("partial_images", "partials", _whole_number(0, _MAX_PARTIALS)),
)
_IMAGES = (
    _field("prompt", "prompt", _text, is_required=True),
    _FORMAT,
    *_PICTURE,
    _field("n", "items", _whole_number(1, _MAX_ITEMS)),
    _STREAM,
)
_FIELDS: dict[Api, tuple[_Field, ...]] = {
    "responses": (
        _field("input", "prompt", _written, is_required=True),
        _STREAM,
        _field("background", "is_background", _is_true),
    ),
    "images": _IMAGES,
    "edits": _IMAGES,
    # Of what is named twice the last counts.
    "router-images": (*_IMAGES, _field("output_format", "format", _one_of("png", "jpeg", "webp", "svg"))),
    "chat": (_field("messages", "prompt", _written, is_required=True), _STREAM),
}
# The image tool of the Responses API knows no `n`.
_TOOL = (_FORMAT, *_PICTURE, _field("n", "items", _not_known))


def order_of(
    api: Api,
    body: object,
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    default: Order,
    picture: bytes | None = None,
) -> Order:
    """The order that a request makes: the default one, changed by what its body and its headers say.

    Arguments: `body`: the parsed JSON, or the fields of a form. `headers`: by their names in lower case.
    `picture`: the file to be edited. May raise Refusal.
    """
    if not isinstance(body, dict):
        raise _wrong_type("body", "an object", body)
    # Services neither stream nor work in the background unless asked; that is not for the default order to say.
    asked: dict[str, Any] = {"api": api, "is_streamed": False, "is_background": False}
    asked |= _read(_FIELDS[api], body)
    asked |= _of_tool(body.get("tools")) if api == "responses" else {}
    asked |= {"picture": picture or _picture_in(body)} if api == "edits" else {}
    if api in ("images", "edits") and asked["is_streamed"] and asked.get("items", 1) > 1:
        raise Refusal(
            "Streaming is only supported with n=1.",
            param="input",
            code="unsupported_parameter",
            kind="image_generation_user_error",
        )
    return replace(default, **asked, **_of_headers(headers))


def _read(known: tuple[_Field, ...], body: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    found = {}
    for field in known:
        name, value = place + field.wire, body.get(field.wire)
        if value is None and field.is_required:
            raise _missing(name)
        if value is not None and (read := field.read(value, name)) is not None:
            found[field.order] = read
    return found


def _of_tool(tools: object) -> dict[str, Any]:
    if tools is None:
        return {}
    if not isinstance(tools, list):
        raise _wrong_type("tools", "an array", tools)
    for at, tool in enumerate(tools):
        if isinstance(tool, dict) and tool.get("type") == "image_generation":
            return _read(_TOOL, tool, f"tools[{at}].")
    return {}


def _picture_in(body: Mapping[str, Any]) -> bytes | None:
    """The first picture of an edit that is asked for in JSON; None where it is only a reference (never fetched)."""
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
        raise Refusal(message, param="images[0].image_url", code="invalid_value") from cause


def _of_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, (field, read) in _HEADERS.items():
        if name in headers:
            try:
                found[field] = read(headers[name])
            except UsageError as cause:
                raise Refusal(f"{name}: {cause}.", param=name, code="invalid_value") from cause
    return found


def _faults(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    chosen(names, seed=0)  # says so where there is no such fault
    return names


def _dialect(value: str) -> str:
    return dialect_named(value.strip()).name


def _seed(value: str) -> int:
    if not _SEED.fullmatch(value.strip()):
        raise UsageError(f"the seed is a whole number, not {quoted(value)}")
    return int(value)


_HEADERS: dict[str, tuple[str, Callable[[str], object]]] = {
    DIALECT_HEADER: ("dialect", _dialect),
    SEED_HEADER: ("seed", _seed),
    FAULTS_HEADER: ("faults", _faults),
}


def form_values(fields: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a form with their types as JSON has them; what is not of its type stays text and is refused."""
    return {name: _FORM.get(name, _as_it_is)(value) for name, value in fields.items()}


def _as_it_is(value: str) -> object:
    return value


def _form_number(value: str) -> object:
    return int(value) if re.fullmatch("-?[0-9]{1,9}", value, re.ASCII) else value


def _form_truth(value: str) -> object:
    return {"true": True, "false": False}.get(value.lower(), value)


_FORM: dict[str, Callable[[str], object]] = {
    "n": _form_number,
    "partial_images": _form_number,
    "stream": _form_truth,
}
