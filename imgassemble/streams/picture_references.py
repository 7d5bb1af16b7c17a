"""Takes the pictures out of events, and puts them back from a folder of saved frames.

Must not know: the fields of a service; a picture is found by its bytes, wherever it stands.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Any, overload

from ..errors import EventError, UsageError
from ..files import read_bounded
from ..frames.base64_json import Decoded, decode_base64, load_decoded, withheld_in
from ..frames.binary import HeaderError
from ..frames.containers import format_of, read_header
from ..frames.picture import Picture
from ..storage.file_names import MAX_FRAME_BYTES
from .sources import StreamReader, aread_events, read_events

_SHORTEST = 32  # characters of base64; the smallest picture has 36
_HEAD = 1_024  # characters of base64 that show the format
_DEEPEST = 100  # levels of an event
_DEEPEST_FOLDER = 3  # a sink writes DIR/<item>/<file>
_DATA_URL = re.compile(
    r"data:(image/[\w.+-]{1,60})[^,\"'`()<>]{0,100};base64,([A-Za-z0-9+/_-]{32,}={0,2})", re.IGNORECASE
)
_URL_REFERENCE = re.compile(r"data:(image/[\w.+-]{1,60});sha256,([0-9a-f]{64})")

Change = Callable[[Any], Any]


@overload
def without_pictures(events: Iterable[Any]) -> Iterator[Any]: ...
@overload
def without_pictures(events: AsyncIterable[Any]) -> AsyncIterator[Any]: ...
def without_pictures(events: Iterable[Any] | AsyncIterable[Any]) -> Iterator[Any] | AsyncIterator[Any]:
    """Return an iterator of the events of a stream as plain JSON values, with a reference in place of each picture.

    events: events of any form, or chunks of bytes, as the drivers take them; for an async iterable the result is an
        async iterator.

    A reference is {"sha256": "…"}, the SHA-256 of the picture's bytes in 64 hexadecimal digits. In place of a data: URL
    it also has the member "media_type". Inside a longer text it is "data:image/png;sha256,…". Only whole pictures are
    taken out: bytes that are no picture, and a picture in pieces, stay as they are. Megabytes of events become some
    kilobytes, for logs, cassettes and bug reports.

    An assembler reads these events: the states are right, and items have no frames. `with_pictures` puts the pictures
    back. Raises UsageError if `events` is no stream of events.

        with open("otter.jsonl", "w") as file:
            for event in without_pictures(open_events("otter.sse")):
                print(json.dumps(event), file=file)
    """
    return _changed(events, lambda event: _plain(event, _without_picture))


@overload
def with_pictures(events: Iterable[Any], directory: str | os.PathLike[str]) -> Iterator[Any]: ...
@overload
def with_pictures(events: AsyncIterable[Any], directory: str | os.PathLike[str]) -> AsyncIterator[Any]: ...
def with_pictures(
    events: Iterable[Any] | AsyncIterable[Any], directory: str | os.PathLike[str]
) -> Iterator[Any] | AsyncIterator[Any]:
    """Return an iterator of events with the pictures back in place of their references, as base64.

    events: those of `without_pictures`; for an async iterable the result is an async iterator.
    directory: the folder that was given to a DirectorySink, or any folder with the pictures.

    A file counts by the SHA-256 of its bytes, and not by its name; links are not followed. A reference without a file
    stays as it is. Raises UsageError if `directory` is no folder.

        events = open_events("otter.jsonl")
        result = assemble(with_pictures(events, "otter"))
    """
    folder = _PictureFolder(directory)

    def restored(value: Any) -> Any:
        return _with_picture(value, folder)

    return _changed(events, lambda event: _plain(event, restored))


def _changed(events: Any, change: Change) -> Iterator[Any] | AsyncIterator[Any]:
    if isinstance(events, AsyncIterable):
        return _achanged_events(events, change)
    if isinstance(events, Iterable) and not isinstance(events, (str, bytes, Mapping, os.PathLike)):
        return _changed_events(events, change)
    raise UsageError(
        f"events are an iterable, not {type(events).__name__}: pass [event], or open_events(path) for a file"
    )


def _changed_events(events: Iterable[Any], change: Change) -> Iterator[Any]:
    for box in read_events(events, StreamReader(load=load_decoded)):
        yield change(_loaded(box.pop()))


async def _achanged_events(events: AsyncIterable[Any], change: Change) -> AsyncIterator[Any]:
    async for box in aread_events(events, StreamReader(load=load_decoded)):
        yield change(_loaded(box.pop()))


def _loaded(event: Any) -> Any:
    """Return the value of an event that is JSON text."""
    if isinstance(event, str) and event != "[DONE]":
        with suppress(EventError):
            return load_decoded(event)
    return event


# ---- values


def _plain(value: Any, change: Change, depth: int = _DEEPEST) -> Any:
    """Return a value as plain JSON, with `change` applied to each of its parts. An error stays as it is."""
    if depth == 0 or value is None or isinstance(value, (bool, int, float, Exception)):
        return None if depth == 0 else value
    value = change(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Decoded):
        return value.text
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b64encode(value).decode("ascii")
    if isinstance(value, Enum):
        return _plain(value.value, change, depth - 1)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each, change, depth - 1) for each in value]
    return {str(name): _plain(each, change, depth - 1) for name, each in _members(value).items()}


def _members(value: Any) -> Mapping[str, Any]:
    """Return the members of a mapping, or of an SDK's object."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Picture):
        return {"type": value.type, "item_id": value.item_id, "index": value.index, "b64": value.b64}
    if hasattr(value, "model_dump"):
        dumped = value.model_dump(by_alias=True, exclude_none=True, warnings=False)
        return dumped if isinstance(dumped, Mapping) else {}
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    own = {name: getattr(value, name, None) for name in slots} | getattr(value, "__dict__", {})
    return {name: each for name, each in own.items() if not name.startswith("_") and not callable(each)}


def _without_picture(value: Any) -> Any:
    """Return the reference for a value that is a picture; another value as it is."""
    if isinstance(value, Decoded):
        return _reference(value.data, value.prefix) or value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _reference(bytes(value), "") or value
    if not isinstance(value, str) or len(value) < _SHORTEST:
        return value
    prefix, _, base64 = value.partition(",") if value[:5].lower() == "data:" else ("", "", value)
    if data := _picture_in(base64):
        return _reference(data, prefix)
    return _DATA_URL.sub(_url_reference, value) if ";base64," in value else value


def _picture_in(base64: str) -> bytes | None:
    """Return the bytes of a whole picture in base64; None for other texts."""
    with suppress(ValueError):
        if format_of(decode_base64(base64[:_HEAD])) is not None:
            data = decode_base64(base64)
            return data if _is_whole(data) else None
    return None


def _is_whole(data: bytes) -> bool:
    with suppress(HeaderError):
        read_header(data)
        return True
    return False


def _reference(data: bytes, prefix: str) -> dict[str, str] | None:
    if not _is_whole(data):
        return None
    reference = {"sha256": sha256(data).hexdigest()}
    return reference | {"media_type": prefix[5:].partition(";")[0].strip()} if prefix else reference


def _url_reference(found: re.Match[str]) -> str:
    data = _picture_in(found[2])
    return f"data:{found[1].lower()};sha256,{sha256(data).hexdigest()}" if data else found[0]


# ---- the way back


class _PictureFolder:
    """The files of a folder by the SHA-256 of their bytes. They are read when the first is asked for."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        if not self._directory.is_dir():
            raise UsageError(f"there is no folder {os.fspath(directory)!r:.200}: name the one that holds the pictures")
        self._files: dict[str, Path] | None = None

    def picture(self, digest: str) -> bytes | None:
        """Return the bytes of a picture; None if the folder lacks it."""
        if self._files is None:
            self._files = {sha256(data).hexdigest(): path for path, data in self._all(self._directory, _DEEPEST_FOLDER)}
        if digest not in self._files:
            return None
        data = _read(self._files[digest])  # the file can be another one by now
        return data if data is not None and sha256(data).hexdigest() == digest else None

    def _all(self, folder: Path, depth: int) -> Iterator[tuple[Path, bytes]]:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from self._all(Path(entry.path), depth - 1) if depth > 1 else ()
            elif (data := _read(Path(entry.path))) is not None:
                yield Path(entry.path), data


def _read(path: Path) -> bytes | None:
    with suppress(OSError):
        return read_bounded(path, MAX_FRAME_BYTES)
    return None


def _with_picture(value: Any, folder: _PictureFolder) -> Any:
    """Return the base64 for a reference; another value as it is."""
    if isinstance(value, str):
        return _URL_REFERENCE.sub(lambda found: _data_url(found, folder), value) if ";sha256," in value else value
    withheld = withheld_in(value)
    data = folder.picture(withheld.sha256) if withheld else None
    if data is None:
        return value
    base64 = b64encode(data).decode("ascii")
    return f"data:{value['media_type']};base64,{base64}" if value.get("media_type") else base64


def _data_url(found: re.Match[str], folder: _PictureFolder) -> str:
    data = folder.picture(found[2])
    return f"data:{found[1]};base64,{b64encode(data).decode('ascii')}" if data else found[0]
