"""Reads and writes JSON, and decodes long base64 inside the bytes of the JSON.

Nearly all of a message with a picture is base64. If the message arrives as bytes, long base64 is decoded before the
JSON is read. This saves a copy of the base64 as text.

Must not know: the meaning of a message, the form of a picture, the source of a text.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pybase64
from pydantic_core import from_json, to_json

from ..errors import EventError, clean

_LONG = 64 * 1024  # bytes: shorter base64 takes some microseconds either way
_LONGEST_PREFIX = 200  # characters: the media type of a data: URL has some twenty
_MARK = "\0"  # the first character of the text that stands in for decoded base64
_SENT_MARK = b"\\u0000"  # the same in JSON
_WHITE_SPACE = b" \t\r\n\f\v"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")

Load = Callable[[Any], Any]  # reads the JSON of a message


class Decoded:
    """Base64 that was decoded in place. `prefix`: the part of a data: URL before its comma."""

    __slots__ = ("data", "prefix")

    def __init__(self, data: bytes, prefix: str = "") -> None:
        self.data: bytes = data
        self.prefix: str = prefix

    @property
    def text(self) -> str:
        """The text as it was sent, for a field that is no picture."""
        base64 = b64encode(self.data).decode("ascii")
        return f"{self.prefix},{base64}" if self.prefix else base64


@dataclass(frozen=True, slots=True)
class Withheld:
    """The place of base64 that was taken out of a message. `sha256`: the SHA-256 of its bytes in hexadecimal."""

    sha256: str


_REFERENCE = re.compile("[0-9a-f]{64}")
_REFERENCE_NAMES = {"sha256", "media_type"}


def withheld_in(value: Any) -> Withheld | None:
    """Return the reference in a member that has one in place of base64: {"sha256": 64 hexadecimal digits}."""
    if not isinstance(value, dict) or not value.keys() <= _REFERENCE_NAMES:
        return None
    digest = value.get("sha256")
    return Withheld(digest) if isinstance(digest, str) and _REFERENCE.fullmatch(digest) else None


def withheld_in_url(url: str) -> Withheld | None:
    """Return the reference in a data: URL that has one in place of base64: "data:image/png;sha256,…"."""
    kind, _, digest = url.partition(";sha256,")
    return Withheld(digest) if kind[:5].lower() == "data:" and _REFERENCE.fullmatch(digest) else None


def load_json(data: str | bytes | bytearray | memoryview) -> Any:
    """Return the JSON value in `data`. Raises EventError if there is none."""
    if isinstance(data, memoryview):
        data = bytes(data)
    cause: Exception
    try:
        return from_json(data)
    except (ValueError, TypeError) as error:  # a TypeError if the text has a lone surrogate
        cause = error
    with suppress(ValueError, RecursionError):
        import json  # rarely needed, and pydantic does without it

        return json.loads(data)  # it also reads lone surrogates, and a prompt can contain them
    # Raised outside of `except`, so that it does not reference the second error, which holds the whole message.
    sentence = f"a message of {len(data):,} bytes is not JSON ({clean(str(cause), 80)}); it is skipped"
    raise EventError(sentence) from cause


def dump_json(value: Any) -> bytes:
    """Return the JSON of `value`, indented by two spaces."""
    with suppress(ValueError):
        return to_json(value, indent=2)
    import json

    return json.dumps(value, indent=2).encode()  # a prompt can contain a lone surrogate, which JSON can only escape


def load_decoded(data: str | bytes | bytearray | memoryview) -> Any:
    """Return the JSON value in `data` as `load_json` does, with long base64 in members as `Decoded`."""
    if len(data) > _LONG and not isinstance(data, str):
        data = bytes(data) if isinstance(data, memoryview) else data
        rest, found = _decode_long_base64(data)
        if found and rest.count(_SENT_MARK) == len(found):  # the text itself contained no mark
            with suppress(ValueError, RecursionError):  # load_json reports the error
                return _put_back(from_json(rest), found)
    return load_json(data)


def _decode_long_base64(data: bytes | bytearray) -> tuple[bytes, list[bytes]]:
    """Return the JSON text with a mark in the place of each long base64, and the decoded bytes.

    The prefix of a data: URL stays in the text.
    """
    pieces: list[bytes] = []
    found: list[bytes] = []
    at = 0
    with memoryview(data) as whole:
        for start, end in _long_values(data):
            if data.startswith(b"data:", start):
                start = data.find(b",", start, start + _LONGEST_PREFIX) + 1 or start
            try:
                decoded = pybase64.b64decode(whole[start:end], validate=True)
            except ValueError:
                continue
            if b64encode(decoded[-(len(decoded) % 3 or 3) :]) != data[end - 4 : end]:
                continue  # its last bits belong to no byte: encoding the bytes would not give the same text
            pieces += whole[at:start].tobytes(), b"%s%d" % (_SENT_MARK, len(found))
            found.append(decoded)
            at = end
        if found:
            pieces.append(whole[at:].tobytes())
    return b"".join(pieces), found


def _long_values(data: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each text that can be the long string of a member, between its quotes.

    The caller accepts only base64 between the two quotes. If a colon is before the first quote, the string begins
    there. A quote inside a string has a backslash before it. A string can also end with a colon, but base64 after its
    last quote is not JSON, and neither is a mark there.
    """
    at = data.find(b'"')
    while 0 <= at < len(data) - _LONG:
        nearer = data.rfind(b'"', at + 1, at + _LONG)
        if nearer >= 0:  # this near, it makes the text too short: continue from the last such quote
            at = nearer
            continue
        end = data.find(b'"', at + _LONG)
        if end < 0:
            return
        if data[at - 2 : at].rstrip(b" ").endswith(b":"):
            yield at + 1, end
        at = end


def _put_back(value: Any, found: list[bytes]) -> Any:
    """Return `value` with the decoded bytes in the places of the marks."""
    if isinstance(value, dict):
        for name, member in value.items():
            if isinstance(member, str):
                if _MARK in member:
                    prefix, _, number = member.partition(_MARK)
                    value[name] = Decoded(found[int(number)], prefix.removesuffix(","))
            elif isinstance(member, (dict, list)):
                _put_back(member, found)
    elif isinstance(value, list):
        for member in value:  # a mark is the value of a member, never an element of a list
            _put_back(member, found)
    return value


def url_prefix(text: str | Decoded | Withheld) -> str:
    """Return the part of a data: URL before its comma; "" for base64 alone."""
    if not isinstance(text, str):
        return text.prefix if isinstance(text, Decoded) else ""
    if text[:5].lower() != "data:":
        return ""
    return text[:at] if (at := text.find(",")) >= 0 else text


def decode_base64(text: str | Decoded | Withheld) -> bytes:
    """Return the bytes that `text` encodes, decoded now or before.

    Base64 is accepted in the standard and the URL-safe alphabet, with or without padding, white space or a data:
    prefix. Raises ValueError if it is not base64, or empty.
    """
    if isinstance(text, Withheld):
        raise ValueError("it was left out of the event")  # noqa: TRY004 - the type is allowed, and has no bytes
    prefix = url_prefix(text)
    if prefix and not prefix.lower().rstrip().endswith(";base64"):
        raise ValueError("it is a data: URL without base64")
    if isinstance(text, Decoded):
        return text.data
    text = text[len(prefix) + 1 :] if prefix else text
    try:
        if data := pybase64.b64decode(text, validate=True):
            return data
    except ValueError:
        pass  # an unusual form: the slower steps below accept more
    if not text.isascii():
        raise ValueError("it has letters that are not base64")
    raw = text.encode("ascii").translate(_TO_STANDARD, _WHITE_SPACE).rstrip(b"=")
    if not raw:
        raise ValueError("it is empty")
    return pybase64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
