"""Finds the events in recorded values: HAR files, session files of Codex, mappings of an event's name and data.

Must not know: bytes, the meaning of an event.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import suppress
from typing import Any, NamedTuple

from ...errors import EventError
from ...frames.base64_json import load_json
from ...wire.dialects import ITEM_TYPES, NAMED_EVENTS, ROWS, TYPE_NAMES, Shape
from ...wire.message_types import type_of_members
from .file_kinds import CASSETTE, error_of_kind

Decode = Callable[[bytes], Iterator[Any]]  # the body of an answer to its events


class Archive(NamedTuple):
    """A kind of value that holds events."""

    name: str
    is_one: Callable[[Mapping[str, Any]], bool]
    events: Callable[[Mapping[str, Any], Decode], Iterator[Any]]


def with_type_from_name(value: Any, name: str) -> Any:
    """Return `value` with `name`, the event's name of a server-sent event, as its type if it has none.

    "message" is the default name, and any event can have `data`. So a value that is recognised by its members does not
    get the name as its type.
    """
    if name and isinstance(value, str) and value != "[DONE]":
        return event_of_error_text(value, name) or value
    if not (name and isinstance(value, dict)):
        return value
    if name in NAMED_EVENTS and value.get(NAMED_EVENTS[name][0]) is not None:
        value["type"] = NAMED_EVENTS[name][1]
        return value
    if any(map(value.get, TYPE_NAMES)):
        return value
    kind = type_of_members(value)
    if kind in ("", "progress") or (kind == "images" and name in ROWS):
        value["type"] = name
    return value


def event_of_data(data: Any, name: str = "") -> Any:
    """Return the event in the data of a server-sent event: JSON text or a value; or the EventError in its place."""
    if isinstance(data, (str, bytes)) and data != "[DONE]":
        try:
            data = load_json(data)
        except EventError as error:
            return event_of_error_text(data, name) or error
    return with_type_from_name(data, name)


def event_of_error_text(text: Any, name: str) -> dict[str, Any] | None:
    """Return the error event for data that is only text, if `name` is one of an error; else None."""
    row = ROWS.get(name)
    if row is None or row.shape is not Shape.ERROR:
        return None
    return {"type": name, "message": text if isinstance(text, str) else bytes(text).decode("utf-8", "replace")}


def event_of_error_field(value: Any) -> Any:
    """Return the event that an SSE field `error:` stands for."""
    is_event = isinstance(value, dict) and ("error" in value or value.get("type") == "error")
    return value if is_event else {"error": value}


# ---- the kinds


def is_event_and_data(value: Mapping[str, Any]) -> bool:
    """Return whether `value` is a server-sent event as a mapping: its name in `event`, its content in `data`."""
    return isinstance(value.get("event"), str) and "data" in value and value.get("type") is None


def _events_of_mapping(value: Mapping[str, Any], _decode: Decode) -> Iterator[Any]:
    yield event_of_data(value["data"], value["event"])


def _is_browser_event(value: Mapping[str, Any]) -> bool:
    """Return whether `value` is a MessageEvent of a browser's EventSource; its `type` is the name of the event."""
    return "lastEventId" in value and isinstance(value.get("data"), str) and isinstance(value.get("type"), str)


def _events_of_browser_event(value: Mapping[str, Any], _decode: Decode) -> Iterator[Any]:
    yield event_of_data(value["data"], value["type"])


_CODEX_LINES = frozenset({"session_meta", "response_item", "event_msg", "turn_context", "compacted"})


def _has_type(value: Mapping[str, Any], types: Set[str]) -> bool:
    kind = value.get("type")
    return isinstance(kind, str) and kind in types


def _is_codex_line(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("payload"), dict) and _has_type(value, _CODEX_LINES)


def _events_of_codex_line(value: Mapping[str, Any], _decode: Decode) -> Iterator[Any]:
    """Yield the item of a line, which Codex writes when the item is done. Other lines are not events of images."""
    payload = value["payload"]
    if _has_type(payload, {"image_generation_end"}):
        payload = {**payload, "type": "image_generation_call", "id": payload.get("call_id")}
    is_answer = _has_type(payload, ITEM_TYPES) or payload.get("role") == "assistant"
    yield {"type": "response.output_item.done", "item": payload} if is_answer else value


def _is_har(value: Mapping[str, Any]) -> bool:
    log = value.get("log")
    return isinstance(log, dict) and isinstance(log.get("entries"), list)


# Media types of answers that can hold events, by words in them: text/event-stream, application/x-ndjson, …
_MEDIA_WORDS = ("event-stream", "json", "octet-stream", "text/plain", "unknown")


def _events_of_har(value: Mapping[str, Any], decode: Decode) -> Iterator[Any]:
    """Yield the events in the bodies of the answers. Requests and headers, which hold keys, are not read.

    A page makes many requests: if some bodies are event streams or hold events of a known kind, the others are skipped.
    """
    bodies = [body for entry in value["log"]["entries"] if isinstance(entry, dict) for body in _bodies_of(entry)]
    answers = [(list(decode(body)), is_stream) for body, is_stream in bodies]
    answers = [(events, is_stream) for events, is_stream in answers if any(isinstance(each, dict) for each in events)]
    known = [(events, True) for events, is_stream in answers if is_stream or any(map(_is_known, events))]
    if not answers:
        sentence = "this HAR file holds no event: record the request again, and save it with its content"
        yield EventError(sentence, file_kind="a HAR file without events")
    for events, _ in known or answers:
        events.reverse()
        while events:
            yield events.pop()


def _is_known(event: Any) -> bool:
    """Return whether an event is of a known kind, and no error: many services send errors of the same form."""
    if not isinstance(event, dict):
        return False
    kind = event.get("type")
    row = (ROWS.get(kind) if isinstance(kind, str) else None) or ROWS.get(type_of_members(event))
    return row is not None and row.shape is not Shape.ERROR


def _bodies_of(entry: dict[str, Any]) -> Iterator[tuple[bytes, bool]]:
    """Yield the bodies of an entry, and whether each is an event stream."""
    response = entry.get("response")
    content = response.get("content") if isinstance(response, dict) else None
    if isinstance(content, dict) and isinstance(content.get("text"), str):
        media_type = str(content.get("mimeType") or "json").lower()
        if any(word in media_type for word in _MEDIA_WORDS):
            for body in _bytes_of(content["text"], is_base64=content.get("encoding") == "base64"):
                yield body, "event-stream" in media_type
    messages = entry.get("_webSocketMessages")  # as Chrome records them; together they are one stream
    received = [
        message["data"]
        for message in (messages if isinstance(messages, list) else ())
        if isinstance(message, dict) and message.get("type") == "receive" and isinstance(message.get("data"), str)
    ]
    for body in _bytes_of("\n".join(received), is_base64=False):
        yield body, False


def _bytes_of(text: str, *, is_base64: bool) -> Iterator[bytes]:
    with suppress(ValueError):  # a body that cannot be decoded has no event
        yield b64decode(text) if is_base64 else text.encode("utf-8", "surrogatepass")


def _is_cassette(value: Mapping[str, Any]) -> bool:
    return any(isinstance(value.get(name), list) for name in ("interactions", "http_interactions"))


def _error_of_cassette(_value: Mapping[str, Any], _decode: Decode) -> Iterator[Any]:
    yield error_of_kind(CASSETTE)


def _is_item(value: Mapping[str, Any]) -> bool:
    return _has_type(value, ITEM_TYPES)


def _event_of_item(value: Mapping[str, Any], _decode: Decode) -> Iterator[Any]:
    yield {"type": "response.output_item.done", "item": value}


ARCHIVES: tuple[Archive, ...] = (
    Archive("a mapping of a server-sent event", is_event_and_data, _events_of_mapping),
    Archive("a MessageEvent of a browser", _is_browser_event, _events_of_browser_event),
    Archive("a line of a Codex session", _is_codex_line, _events_of_codex_line),
    Archive("a HAR file", _is_har, _events_of_har),
    Archive("a VCR cassette", _is_cassette, _error_of_cassette),
    Archive("an item of a response", _is_item, _event_of_item),
)
_MEMBERS = frozenset({"event", "lastEventId", "payload", "log", "interactions", "http_interactions"})


def archive_of(value: Any) -> Archive | None:
    """Return the kind of archive that `value` is; None if it is an event itself, or no event."""
    if type(value) is not dict:
        return None
    if _MEMBERS.isdisjoint(value) and not _has_type(value, ITEM_TYPES):  # as nearly always
        return None
    return next((archive for archive in ARCHIVES if archive.is_one(value)), None)
