"""Applies a dialect to the standard stream: which events come, their fields, and how they are written.

Must not know: any service by its name, pictures, faults, sockets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from .dialects import Dialect
from .event_changes import numbered, renamed, with_new_ids, without_keys
from .messages import Event, identifier, message_events, reasoning_events
from .response_objects import JsonFields

# ---- the parts of a stream


def opening_events(row: Dialect, seed: object) -> list[Event]:
    """Return the events of the item before the image; none if the service sends none."""
    if row.reasoning == "summary":
        return _summary_events(seed)
    return reasoning_events(seed=seed) if row.reasoning else []


def closing_events(row: Dialect, seed: object, output_index: int) -> list[Event]:
    """Return the events of the message after the image; none if the service sends none."""
    return [] if row.message is None else render_message(row, row.message, seed, output_index)


def render_message(row: Dialect, text: str, seed: object, output_index: int) -> list[Event]:
    """Return the events of a message with this text."""
    events = message_events(text, seed=seed, output_index=output_index)
    return [_with_item(event, row.message_fields) | (row.delta_fields if "delta" in event else {}) for event in events]


def render_image(row: Dialect, events: Iterable[Event]) -> list[Event]:
    """Return the events of one image as the service sends them, unnumbered."""
    return [_image_event(event, row) for event in events if not _is_left_out(event, row)]


def _is_left_out(event: Event, row: Dialect) -> bool:
    return event["type"] in row.left_out


def _image_event(event: Event, row: Dialect) -> Event:
    event = dict(without_keys(event, *row.dropped_fields))
    if "item" not in event:
        return event
    item: Event = event["item"] | {"type": row.item_type}
    is_done = event["type"].endswith(".done")
    head: Event = {key: item.pop(key) for key in ("id", "type", "status")}
    rest = {row.field_names.get(key, key): value for key, value in item.items()}
    return event | {"item": head | (row.done_fields if is_done else row.added_fields) | rest}


def _with_item(event: Event, more: JsonFields) -> Event:
    return event | {"item": event["item"] | more} if "item" in event else event


def _summary_events(seed: object) -> list[Event]:
    """Return the events of a reasoning item with a summary."""
    text = "**Choosing what to paint**"
    item: Event = {"id": identifier("rs", seed), "type": "reasoning", "content": [], "encrypted_content": None}
    place = {"output_index": 0, "item_id": item["id"], "summary_index": 0}
    part = {"type": "summary_text", "text": ""}
    full = part | {"text": text}
    return [
        {"type": "response.output_item.added", "output_index": 0, "item": item | {"summary": []}},
        {"type": "response.reasoning_summary_part.added", **place, "part": part},
        {"type": "response.reasoning_summary_text.delta", **place, "delta": text},
        {"type": "response.reasoning_summary_text.done", **place, "text": text},
        {"type": "response.reasoning_summary_part.done", **place, "part": full},
        {"type": "response.output_item.done", "output_index": 0, "item": item | {"summary": [full]}},
    ]


# ---- the stream as a whole


def render_stream(events: Sequence[Event], row: Dialect, *, is_background: bool = False) -> list[Event]:
    """Return a whole stream of the Responses API as the service numbers and writes it."""
    made = [_fill_response(event, row) for event in events]
    if is_background:
        made = _add_queue(made)
    made[-1:] = [_render_end(event, row) for event in made[-1:]]
    made = numbered(without_keys(made, "sequence_number"), place=row.number_at)
    if row.has_response_ids:
        made = [event | {"response_id": events[0]["response"]["id"]} for event in made]
    if row.ids == "rotating":
        return with_new_ids(made)
    made = [renamed(event, _uuid_name) for event in made] if row.ids == "uuid" else made
    return [ordered(event, row.keys) for event in made] if row.keys else made


def _fill_response(event: Event, row: Dialect) -> Event:
    if "response" not in event:
        return event
    response = event["response"]
    is_done = response["status"] == "completed"
    if row.response is not None:
        changing = {key: response[key] for key in _CHANGING if key in row.response}
        response = row.response | changing | {"tools": _fill_tools(row.response["tools"], response["tools"][0])}
        response |= {"completed_at": response["created_at"] + 30} if is_done and "completed_at" in response else {}
    response = response | (row.response_at_end if is_done else {})
    return event | {"response": response if row.repeats_output else response | {"output": []}}


# The fields of a response that change during a stream, or from stream to stream.
_CHANGING = ("id", "created_at", "status", "background", "error", "incomplete_details", "output", "service_tier")


def _fill_tools(echo: Sequence[JsonFields], asked: JsonFields) -> list[JsonFields]:
    return [{key: asked["output_format"] if key == "output_format" else tool[key] for key in tool} for tool in echo]


def _add_queue(events: list[Event]) -> list[Event]:
    """Add the waiting in a queue with which a response in the background begins."""
    made = [
        event | {"response": event["response"] | {"background": True}} if "response" in event else event
        for event in events
    ]
    first = made[0] | {"response": made[0]["response"] | {"status": "queued"}}
    return [first, first | {"type": "response.queued"}, *made[1:]]


def _render_end(event: Event, row: Dialect) -> Event:
    is_completed = event["type"] == "response.completed"
    return (event | {"type": row.terminal} if is_completed else event) | row.terminal_fields


def _uuid_name(name: str) -> str:
    """Return an id of OpenAI's form in the form of xAI; equal ids stay equal."""
    kind, _, digits = name.partition("_")
    uuid = UUID((digits + "0" * 32)[:32])
    return {"resp": f"{uuid}", "ig": f"ig_{uuid}_call-{uuid}-0"}.get(kind, f"{kind}_{uuid}")


def ordered(value: Any, keys: Sequence[str]) -> Any:
    """Return `value` with its keys in this order, other keys after them; a response keeps its own order."""
    if isinstance(value, dict):
        ranks = {key: at for at, key in enumerate(() if "object" in value else keys)}
        return {key: ordered(value[key], keys) for key in sorted(value, key=lambda key: ranks.get(key, len(ranks)))}
    return [ordered(inner, keys) for inner in value] if isinstance(value, list) else value
