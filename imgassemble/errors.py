"""Everything that can go wrong, as one tree of errors.

Must not know: the code that raises them.

    ImgassembleError
    ├── EventError               a message that cannot be read as an event
    ├── FrameError               a picture that cannot be used
    │   ├── FrameEncodingError   its base64 cannot be read
    │   └── FrameDecodeError     its bytes are not a whole picture
    ├── LimitError               something is larger than `Limits` allows
    ├── ProviderError            the service reported a failure
    ├── IncompleteStreamError    the stream ended before the pictures were there
    ├── SinkError                storage failed (also an OSError)
    └── UsageError               the caller made a mistake (also a ValueError)

An error is a value: it can be compared, pickled and written as JSON. Its sentence and its facts hold no base64 and no
pixels; `FrameDecodeError.data` alone can hold refused bytes, and takes no part in comparisons, pickles and JSON.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeGuard

from .readonly import plain

# C0 and C1 controls move a terminal's cursor; the bidirectional ones change the order of the text; a lone surrogate
# cannot be printed at all.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]+"
)
_LONGEST_WORD = 120  # characters; a longer word is base64
_BASE64 = re.compile(f"[A-Za-z0-9+/_=-]{{{_LONGEST_WORD + 1},}}")
_LONGEST_TEXT = 1_000  # characters: a paragraph, which is enough for a log line
_LONGEST_NAME = 100  # characters: real item ids have up to 83, and a sentence must stay short
_LONGEST_SHOWN = 200  # characters of a sentence in a repr
_ATTACHED = frozenset({"__notes__", "data", "result"})  # attributes of an error that are no facts about it

_BLOCKING = re.compile("moderation|contentpolicy|contentfilter|safety|sensitivecontent|prohibitedcontent|blocklist")


def printable(text: str) -> str:
    """Return the whole `text` on one line and without control characters."""
    return _UNPRINTABLE.sub(" ", text)


def shorten_base64(text: str) -> str:
    """Return `text` with each run of base64 cut to its first 16 characters."""
    return text if len(text) <= _LONGEST_WORD else _BASE64.sub(lambda run: run[0][:16] + "…", text)


def clean(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Return text from outside, safe to print: on one line, no control characters, at most `longest` characters."""
    shown = shorten_base64(printable(text[: longest * 2]).strip())
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def quoted(name: str) -> str:
    """Return an item id or a file name from outside in the form for a sentence."""
    return f"'{clean(name, _LONGEST_NAME)}'"


class ImgassembleError(Exception):
    """The base of all errors of this library. `str(error)` is a sentence that says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({clean(str(self), _LONGEST_SHOWN)!r})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and (self.args, self._facts()) == (other.args, other._facts())

    def __hash__(self) -> int:
        return hash((type(self), self.args))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self._facts())

    def _facts(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _ATTACHED}

    def as_dict(self) -> dict[str, Any]:
        """Return the facts of the error for JSON: its type, its sentence, and its attributes."""
        return {"type": type(self).__name__, **plain(self._facts()), "message": str(self)}


def _restore(kind: type[ImgassembleError], args: tuple[Any, ...], facts: dict[str, Any]) -> ImgassembleError:
    error = kind.__new__(kind)
    error.args = args
    for name, value in facts.items():
        setattr(error, name, value)
    return error


class EventError(ImgassembleError):
    """A message that cannot be read as an event.

    event_type: its type on the wire; None if it has none.
    has_picture: whether the message brought a picture that belongs to no known item.
    file_kind: the name of the kind of file, if the source is another kind of file: "an HTML page".
    """

    def __init__(
        self,
        message: str,
        *,
        event_type: str | None = None,
        has_picture: bool = False,
        file_kind: str | None = None,
    ) -> None:
        super().__init__(message)
        self.event_type = event_type
        self.has_picture = has_picture
        self.file_kind = file_kind


class FrameError(ImgassembleError):
    """A picture that cannot be used.

    item_id: its item; None if it belongs to none.
    index: its partial_image_index; None for a result.
    """

    def __init__(self, message: str, *, item_id: str | None = None, index: float | None = None) -> None:
        super().__init__(message)
        self.item_id = item_id
        self.index = index


class FrameEncodingError(FrameError):
    """The base64 of a picture is missing or cannot be read."""


class FrameDecodeError(FrameError):
    """The bytes of a picture are cut short, damaged, or no picture at all.

    data: the refused bytes, in the error of the update that reports them; None in every other error. They take no
        part in comparisons, repr, pickles and `as_dict`.
    """

    data: bytes | None = None

    def __init__(
        self, message: str, *, item_id: str | None = None, index: float | None = None, data: bytes | None = None
    ) -> None:
        super().__init__(message, item_id=item_id, index=index)
        if data is not None:
            self.data = data

    def without_data(self) -> FrameDecodeError:
        """Return an equal error to keep: without the refused bytes, and without the traceback, which holds them too."""
        if self.data is None and self.__traceback__ is None:
            return self
        error = type(self)(self.args[0], item_id=self.item_id, index=self.index)
        if self.__cause__ is not None:
            with suppress(TypeError, ValueError):  # some exceptions are not made from their arguments
                error.__cause__ = type(self.__cause__)(*self.__cause__.args)
        return error


class LimitError(ImgassembleError):
    """Something is larger than `Limits` allows.

    limit: the field of Limits, for example "max_frame_bytes".
    actual: the value that came.
    item_id: the item that it concerns; None if it concerns none.
    """

    def __init__(self, message: str, *, limit: str, actual: int | str, item_id: str | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.actual = actual
        self.item_id = item_id


class ProviderError(ImgassembleError):
    """The service reported a failure.

    message: the reason in the words of the service.
    code: its code, for example "server_error" or "moderation_blocked"; None if it gave none.
    details: its whole error object.

        except ProviderError as error:
            print("not allowed" if error.is_blocked else error.message)
    """

    def __init__(self, message: str, *, code: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        self.message: str = clean(message) or "the service gave no reason"
        self.code: str | None = None if code is None else clean(code, _LONGEST_NAME)
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
        """Return the facts of the error for JSON; `message` is the service's."""
        return {**super().as_dict(), "message": self.message}


def is_blocked(error: BaseException | None) -> TypeGuard[ProviderError]:
    """Return whether `error` is a ProviderError that `is_blocked`: the previews of its image are then not shown."""
    return isinstance(error, ProviderError) and error.is_blocked


class IncompleteStreamError(ImgassembleError):
    """The stream ended before the pictures were there.

    item_ids: the items without a picture, sorted.
    """

    def __init__(self, message: str, *, item_ids: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.item_ids: tuple[str, ...] = tuple(sorted(item_ids))


class SinkError(ImgassembleError, OSError):
    """A file or folder cannot be written. Also an OSError, with the errno of its cause.

    path: the path of the file or folder; None if the storage has no paths.
    result: the Result of the stream, if a driver raises this error at the end; None otherwise. It takes no part in
        comparisons, pickles and JSON.
    """

    result: Any = None

    def __init__(self, message: str, *, path: str | os.PathLike[str] | None, errno: int | None = None) -> None:
        super().__init__(message)
        self.path: str | None = None if path is None else os.fspath(path)
        self.errno = errno

    def _facts(self) -> dict[str, Any]:
        return {**super()._facts(), "errno": self.errno}  # OSError keeps it outside of __dict__


class StreamTakenError(ImgassembleError):
    """Another producer holds the stream of this name, or has taken it over.

    result: the Result up to there, if the stream was under way; None otherwise. It takes no part in comparisons,
        pickles and JSON.
    """

    result: Any = None


class UsageError(ImgassembleError, ValueError):
    """The caller made a mistake; the sentence names what works."""
