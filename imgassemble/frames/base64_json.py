"""Text becomes values and bytes: JSON, and the base64 that stands in it.

Knows: JSON and base64. Must not know: what a message says, what a picture is, where text comes from.
Long base64 is nearly all of its message. Where that comes as bytes, it is decoded where it stands: made a text first,
it would be searched, copied, and held beside its line and its bytes.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pybase64
from pydantic_core import from_json

from ..errors import EventError, clean

_LONG = 64 * 1024  # bytes: what is shorter takes some microseconds either way
_LONGEST_PREFIX = 200  # characters: a data: URL's media type has some twenty
_MARK = "\0"  # so begins what stands in the place of base64 that was decoded
_SENT_MARK = b"\\u0000"  # as JSON spells it
_WHITE_SPACE = b" \t\r\n\f\v"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")

Load = Callable[[Any], Any]  # a message's JSON to its value


class Decoded:
    """Base64 that was decoded where it stood in a JSON text. `prefix`: of a data: URL what stood before the comma."""

    __slots__ = ("data", "prefix")

    def __init__(self, data: bytes, prefix: str = "") -> None:
        self.data = data
        self.prefix = prefix

    @property
    def text(self) -> str:
        """The text as it was sent, for whom it is no picture."""
        base64 = b64encode(self.data).decode("ascii")
        return f"{self.prefix},{base64}" if self.prefix else base64


def load_json(data: str | bytes | bytearray | memoryview) -> Any:
    """The JSON value in `data`. Raises EventError where it is none."""
    if isinstance(data, memoryview):
        data = bytes(data)
    cause: Exception
    try:
        return from_json(data)
    except (ValueError, TypeError) as error:  # a TypeError where text has a lone surrogate
        cause = error
    with suppress(ValueError, RecursionError):
        import json  # rarely needed, and pydantic does without

        return json.loads(data)  # it also reads lone surrogates, which may stand inside a prompt
    # Raised out here, so that it does not hold on to the second error, which holds the whole message.
    sentence = f"a message of {len(data):,} bytes is not JSON ({clean(str(cause), 80)}); it is skipped"
    raise EventError(sentence) from cause


def load_decoded(data: str | bytes | bytearray | memoryview) -> Any:
    """As `load_json`, but long base64 that is the value of a member is given as `Decoded`."""
    if isinstance(data, memoryview):
        data = bytes(data)
    if not isinstance(data, str) and len(data) > _LONG:
        rest, found = _without_base64(data)
        if found and rest.count(_SENT_MARK) == len(found):  # none of them came with the text
            with suppress(ValueError, RecursionError):  # load_json says what is wrong
                return _put_back(from_json(rest), found)
    return load_json(data)


def _without_base64(data: bytes | bytearray) -> tuple[bytes, list[bytes]]:
    """The JSON text with a mark in the place of each long base64, and what that encodes.

    The beginning of a data: URL stays in the text.
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
                continue  # it ends in bits that belong to no byte, and would be another text afterwards
            pieces += whole[at:start].tobytes(), b"%s%d" % (_SENT_MARK, len(found))
            found.append(decoded)
            at = end
        if found:
            pieces.append(whole[at:].tobytes())
    return b"".join(pieces), found


def _long_values(data: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """What may be the long string of a member, (start, end) between its quotes.

    What lies between two quotes and is nothing but base64 lies inside a string. Where the first of them follows a
    colon, it begins that string: within one a backslash would stand before it, and behind the end of one nothing of
    this is JSON, with the mark as without.
    """
    at = data.find(b'"')
    while 0 <= at < len(data) - _LONG:
        nearer = data.rfind(b'"', at + 1, at + _LONG)
        if nearer >= 0:  # the last of them is the next behind which something long may stand
            at = nearer
            continue
        end = data.find(b'"', at + _LONG)
        if end < 0:
            return
        if data[at - 2 : at].rstrip(b" ").endswith(b":"):
            yield at + 1, end
        at = end


def _put_back(value: Any, found: list[bytes]) -> Any:
    """`value` with what was decoded in the places of the marks."""
    if isinstance(value, str):
        prefix, mark, number = value.partition(_MARK)
        return Decoded(found[int(number)], prefix.removesuffix(",")) if mark else value
    if isinstance(value, dict):
        for name, member in value.items():
            if isinstance(member, (str, dict, list)):
                value[name] = _put_back(member, found)
    elif isinstance(value, list):
        for member in value:  # a mark stands in a member of a mapping, never for an element
            _put_back(member, found)
    return value


def url_prefix(text: str | Decoded) -> str:
    """What a data: URL says before its comma; "" for base64 alone."""
    if isinstance(text, Decoded):
        return text.prefix
    if text[:5].lower() != "data:":
        return ""
    return text[:at] if (at := text.find(",")) >= 0 else text


def decode_base64(text: str | Decoded) -> bytes:
    """The bytes that `text` encodes: base64 in the standard or the URL-safe alphabet, with or without padding,
    white space or a data: prefix; or those that it was decoded to already.

    Raises ValueError where it is none, or empty.
    """
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
        pass  # not as the services send it; read it the patient way
    if not text.isascii():
        raise ValueError("it has letters that no base64 has")
    raw = text.encode("ascii").translate(_TO_STANDARD, _WHITE_SPACE).rstrip(b"=")
    if not raw:
        raise ValueError("it is empty")
    return pybase64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
