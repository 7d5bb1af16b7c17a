"""Recognises files that hold no events, so that the error can name the kind of file and give advice.

Must not know: how events are decoded, or their meaning.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ...errors import EventError, clean

START_BYTES = 2_048  # of a file, enough to name its kind and to find the title of a page
_SHOWN_BYTES = 80


class FileKind(NamedTuple):
    """A kind of file without events. `pattern` is searched in its first bytes; `advice` ends the error's sentence."""

    name: str
    pattern: re.Pattern[bytes]
    advice: str


def _kind(name: str, pattern: bytes, advice: str) -> FileKind:
    return FileKind(name, re.compile(pattern), advice)


_SAVE_BODY = "save the body of the response alone, as it was received"
_UNPACK = "unpack it first"
_CASSETTE_NAME = "a VCR cassette (HTTP traffic recorded for tests)"

# The first kind that matches is used.
FILE_KINDS: tuple[FileKind, ...] = (
    _kind("an SVG picture", rb"(?i)\A(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg[\s>]", "open it with a browser"),
    _kind("a printout of Python objects", rb"\A<[\w.]+ object at 0x", "save each event as JSON: event.to_json()"),
    _kind("an HTML page", rb"(?i)\A<(!doctype html|html|head|body|title|h1|center|!--)",
          "a proxy or a wrong address answered; check the URL and the HTTP status"),
    _kind("an XML document", rb"\A<", "check the URL and the HTTP status"),
    _kind(_CASSETTE_NAME, rb"(?m)^(http_)?interactions:", _SAVE_BODY),
    _kind("a YAML file", rb"\A---\s", _SAVE_BODY),
    _kind("a picture file", rb"(?s)\A(\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|....ftypavif)",
          "it is a picture already; open it with a viewer"),
    _kind("a PDF document", rb"\A%PDF", _SAVE_BODY),
    _kind("a ZIP archive", rb"\APK\x03\x04", _UNPACK),
    _kind("a file compressed by zstd", rb"\A\x28\xb5\x2f\xfd", _UNPACK),
    _kind("a file compressed by bzip2", rb"\ABZh[1-9]", _UNPACK),
    _kind("a file compressed by xz", rb"\A\xfd7zXZ", _UNPACK),
    _kind("a file compressed by gzip more than once", rb"\A\x1f\x8b", _UNPACK),
    _kind("an error message of curl", rb"\Acurl: \(", "check the URL and the connection"),
    _kind("a Python traceback", rb"Traceback \(most recent call last\)", _SAVE_BODY),
    _kind("a printout of Python objects", rb"\A\[?[A-Z]\w+\(\w+=|\A\[?\{'|\A\[?b['\"]",
          "save each event as JSON: event.to_json(), or json.dumps(event)"),
    _kind("a log", rb"\A[\[(]?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d|\A\[?(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL)\b"
                   rb"|\A\[?\d\d:\d\d:\d\d|\A[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d", _SAVE_BODY),
)  # fmt: skip
CASSETTE = next(kind for kind in FILE_KINDS if kind.name == _CASSETTE_NAME)
_TITLE = re.compile(rb"(?is)<title[^>]*>(.*?)</title>")


def kind_of_file(start: bytes) -> FileKind | None:
    """Return the kind of file that begins with `start`, or None if it is not known."""
    return next((kind for kind in FILE_KINDS if kind.pattern.search(start)), None)


def error_of_kind(kind: FileKind, start: bytes = b"") -> EventError:
    """Return the error that names `kind`; its `file_kind` holds the name. A title in `start` is quoted."""
    title = _TITLE.search(start)
    shown = clean(title[1].decode("utf-8", "replace"), 100) if title else ""
    quoted = f" ('{shown}')" if shown else ""
    return EventError(f"this is {kind.name}{quoted}, not a stream of events; {kind.advice}", file_kind=kind.name)


def error_of_start(start: bytes) -> EventError:
    """Return the error for a stream that begins with `start` and holds no event."""
    kind = kind_of_file(start)
    if kind:
        return error_of_kind(kind, start)
    shown = clean(start[:_SHOWN_BYTES].decode("utf-8", "replace"), 60)
    advice = "pass the body as it was received, response.iter_bytes(), line ends included"
    return EventError(f"this is no stream of events: it begins with '{shown}'; {advice}")
