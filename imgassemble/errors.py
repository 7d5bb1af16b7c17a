"""What can go wrong, as one tree of errors.

Knows: what happened, to which item, and a sentence that says what to do. Must not know: who raises it or when.

    ImgassembleError
    ├── EventError               a message that is no readable event
    ├── FrameError               a picture that is not what it should be
    │   ├── FrameEncodingError   its base64 cannot be read
    │   └── FrameDecodeError     its bytes are no whole picture
    ├── LimitError               something is larger than `Limits` allows
    ├── ProviderError            the service said that it failed
    ├── IncompleteStreamError    the stream ended before the pictures were there
    ├── SinkError                storage failed (also an OSError)
    └── UsageError               the caller did something that cannot work (also a ValueError)

An error is a value: it can be compared, pickled and written as JSON, and it never holds base64 or pixels.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .readonly import plain

# C0 and C1 controls move a terminal's cursor; the bidirectional ones reorder what is read; a lone surrogate
# cannot be printed at all.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]+"
)
# What no word or id is: nobody reads base64.
_LONGEST_WORD = 120
_BASE64 = re.compile(f"[A-Za-z0-9+/_=-]{{{_LONGEST_WORD + 1},}}")
_LONGEST_TEXT = 1_000  # characters: a paragraph. What a service says beyond that helps nobody in a log line.
_LONGEST_NAME = 100  # characters: real item ids have up to 83, and a sentence must stay one

_BLOCKING = re.compile("moderation|contentpolicy|contentfilter|safety|sensitivecontent|prohibitedcontent|blocklist")


def printable(text: str) -> str:
    """`text` on one line and without control characters, whole."""
    return _UNPRINTABLE.sub(" ", text)


def without_base64(text: str) -> str:
    """`text` with what nobody reads cut short."""
    return text if len(text) <= _LONGEST_WORD else _BASE64.sub(lambda run: run[0][:16] + "…", text)


def clean(text: str, longest: int = _LONGEST_TEXT) -> str:
    """`text` from outside, safe to print: on one line, no control characters, at most `longest` characters."""
    shown = without_base64(printable(text[: longest * 2]).strip())
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def quoted(name: str) -> str:
    """An item id or a file name from outside as it stands in a sentence."""
    return f"'{clean(name, _LONGEST_NAME)}'"


class ImgassembleError(Exception):
    """Whatever this library raises on purpose. `str(error)` is a sentence that says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and (self.args, self._data()) == (other.args, other._data())

    def __hash__(self) -> int:
        return hash((type(self), self.args))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self._data())

    def _data(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "__notes__"}

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON-able facts: its type, its sentence, and its data."""
        return {"type": type(self).__name__, **plain(self._data()), "message": str(self)}


def _restore(kind: type[ImgassembleError], args: tuple[Any, ...], data: dict[str, Any]) -> ImgassembleError:
    error = kind.__new__(kind)
    error.args = args
    for name, value in data.items():
        setattr(error, name, value)
    return error


class EventError(ImgassembleError):
    """A message that cannot be read as an event. `event_type`: its wire type, where it has one.

    `has_picture`: it brought a picture, of which nobody can tell whose it is.
    """

    def __init__(self, message: str, *, event_type: str | None = None, has_picture: bool = False) -> None:
        super().__init__(message)
        self.event_type = event_type
        self.has_picture = has_picture


class FrameError(ImgassembleError):
    """A picture that is not what it should be. `item_id`, and `index`: its partial_image_index, None for a result."""

    def __init__(self, message: str, *, item_id: str | None = None, index: float | None = None) -> None:
        super().__init__(message)
        self.item_id = item_id
        self.index = index


class FrameEncodingError(FrameError):
    """The base64 of a picture is missing or cannot be read."""


class FrameDecodeError(FrameError):
    """The bytes of a picture are cut short, damaged, or no picture at all."""


class LimitError(ImgassembleError):
    """Something is larger than `Limits` allows. `limit`: the field of Limits; `actual`: what came."""

    def __init__(self, message: str, *, limit: str, actual: int | str, item_id: str | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.actual = actual
        self.item_id = item_id


class ProviderError(ImgassembleError):
    """The service said that it failed. `code` and `message` in its words, `details`: all that it said."""

    def __init__(self, message: str, *, code: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        self.message = clean(message) or "the service gave no reason"
        self.code = None if code is None else clean(code, _LONGEST_NAME)
        self.details: Mapping[str, Any] = plain(details or {})
        super().__init__(f"the service failed ({self.code}): {self.message}" if self.code else
                         f"the service failed: {self.message}")  # fmt: skip

    @property
    def is_blocked(self) -> bool:
        """Whether the service refused the picture: by moderation, a content policy, or a safety filter.

        Source: the codes that OpenAI, Azure, OpenRouter, Gemini and Seedream document.
        """
        words = _BLOCKING.search(re.sub("[^a-z]", "", (self.code or "").lower()))
        return words is not None or bool(self.details.get("moderation_details"))

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON-able facts; `message` is what the service said."""
        return {**super().as_dict(), "message": self.message}


class IncompleteStreamError(ImgassembleError):
    """The stream ended before the pictures were there. `item_ids`: whose, sorted."""

    def __init__(self, message: str, *, item_ids: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.item_ids = tuple(sorted(item_ids))


class SinkError(ImgassembleError, OSError):
    """A file or folder cannot be written. `path`: which. Also an OSError, with the cause's errno."""

    def __init__(self, message: str, *, path: str | os.PathLike[str] | None, errno: int | None = None) -> None:
        super().__init__(message)
        self.path = None if path is None else os.fspath(path)
        self.errno = errno

    def _data(self) -> dict[str, Any]:
        return {**super()._data(), "errno": self.errno}  # OSError has its own place for it


class UsageError(ImgassembleError, ValueError):
    """The caller did something that cannot work; the sentence says what does."""
