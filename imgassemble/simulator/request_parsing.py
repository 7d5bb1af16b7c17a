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
from .request_values import (
    MAX_ITEMS,
    RequestError,
    choice_reader,
    integer_reader,
    missing,
    read_boolean,
    read_named_size,
    read_prompt,
    read_sides,
    read_size,
    read_string,
    read_workflow_count,
    read_workflow_size,
    read_workflow_text,
    reject,
    wrong_type,
)

FAULTS_HEADER, DIALECT_HEADER, SEED_HEADER = "x-imgassemble-faults", "x-imgassemble-dialect", "x-imgassemble-seed"

_MAX_PARTIALS = 3  # the limit of the services for `partial_images`
_MAX_FRAMES = 30  # for `frame_count`
_SEED = re.compile(r"-?[0-9]{1,18}", re.ASCII)


# ---- the fields of each API


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """A field of a request: its names on the wire and in an order, and its reader (None: no change).

    A dot in `wire` leads into an object; an empty `wire` is the body itself.
    """

    wire: str
    order: str
    read: Callable[[object, str], object]
    is_required: bool = False


def _field(wire: str, order: str, read: Callable[[object, str], object], *, is_required: bool = False) -> _Field:
    return _Field(wire=wire, order=order, read=read, is_required=is_required)


_STREAM = _field("stream", "is_streamed", read_boolean)
_FORMAT = _field("output_format", "format", choice_reader("png", "jpeg", "webp", "gif", "svg"))
_PICTURE = (
    _field("size", "size", read_size),
    _field("partial_images", "partials", integer_reader(0, _MAX_PARTIALS)),
)
_IMAGES = (
    _field("prompt", "prompt", read_string, is_required=True),
    _FORMAT,
    *_PICTURE,
    _field("n", "items", integer_reader(1, MAX_ITEMS)),
    _STREAM,
)
_FIELDS: dict[Api, tuple[_Field, ...]] = {
    "responses": (
        _field("input", "prompt", read_prompt, is_required=True),
        _STREAM,
        _field("background", "is_background", read_boolean),
    ),
    "images": _IMAGES,
    "edits": _IMAGES,
    "router-images": _IMAGES,
    "chat": (_field("messages", "prompt", read_prompt, is_required=True), _STREAM),
    "gemini": (_field("contents", "prompt", read_prompt, is_required=True),),
    "interactions": (_field("input", "prompt", read_prompt, is_required=True), _STREAM),
    "seedream": (
        _field("prompt", "prompt", read_string, is_required=True),
        _field("size", "size", read_named_size),
        _field("output_format", "format", choice_reader("png", "jpeg")),
        _field("sequential_image_generation_options.max_images", "items", integer_reader(1, MAX_ITEMS)),
        _STREAM,
    ),
    "novelai": (
        _field("input", "prompt", read_string, is_required=True),
        _field("parameters", "size", read_sides),
        _field("parameters.n_samples", "items", integer_reader(1, MAX_ITEMS)),
    ),
    "comfyui": (
        _field("prompt", "prompt", read_workflow_text, is_required=True),
        _field("prompt", "size", read_workflow_size),
        _field("prompt", "items", read_workflow_count),
    ),
    "comfy-api": (
        _field("workflow", "prompt", read_workflow_text, is_required=True),
        _field("workflow", "size", read_workflow_size),
        _field("workflow", "items", read_workflow_count),
    ),
    "a1111": (
        _field("prompt", "prompt", read_string, is_required=True),
        _field("", "size", read_sides),
        _field("batch_size", "items", integer_reader(1, MAX_ITEMS)),
    ),
}
# The image tool of the Responses API has no `n`.
_TOOL = (
    _FORMAT,
    *_PICTURE,
    _field("frame_count", "frames", integer_reader(1, _MAX_FRAMES)),
    _field("n", "items", reject),
)


def read_order(
    api: Api,
    body: object,
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    default: Order,
    picture: bytes | None = None,
    is_streamed: bool = False,
) -> Order:
    """Return the order of a request: the default one, changed by its body and its headers.

    Arguments: `body`: the parsed JSON, or the fields of a form. `headers`: by their names in lower case.
    `picture`: the file to edit. `is_streamed`: whether the path asks for a stream. Raises RequestError.
    """
    if not isinstance(body, dict):
        raise wrong_type("body", "an object", body)
    # A service streams or works in the background only if the request says so, not if the default order does.
    asked: dict[str, Any] = {"api": api, "is_streamed": is_streamed, "is_background": False}
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
        name, value = place + field.wire, _value_at(body, field.wire)
        if value is None and field.is_required:
            raise missing(name)
        if value is not None and (read := field.read(value, name)) is not None:
            found[field.order] = read
    return found


def _value_at(body: Mapping[str, Any], place: str) -> object:
    """Return the value at a place like "parameters.n_samples"; None if it is not there."""
    value: object = body
    for name in filter(None, place.split(".")):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _read_tool(tools: object) -> dict[str, Any]:
    if tools is None:
        return {}
    if not isinstance(tools, list):
        raise wrong_type("tools", "an array", tools)
    for at, tool in enumerate(tools):
        if isinstance(tool, dict) and tool.get("type") == "image_generation":
            return _read_fields(_TOOL, tool, f"tools[{at}].")
    return {}


def _read_picture(body: Mapping[str, Any]) -> bytes | None:
    """Return the first picture of an edit in JSON; None if it is only a URL (which is never fetched)."""
    images = body.get("images")
    if not isinstance(images, list) or not images or not isinstance(images[0], dict):
        raise missing("image")
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
