"""The canonical stream told as a dialect has it: which events come, what is in them, how they are written.

Knows: the messages that `scripts` makes, and what a row of `dialects` changes in them. Must not know: any service by
its name, pictures, faults, sockets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from .dialects import Dialect
from .messages import (
    Event,
    dropping,
    identifier,
    message_events,
    numbered,
    reasoning_events,
    renamed,
    rotating,
)
from .response_objects import Fields

# ---- the parts of a stream, as a row has them


def opening(row: Dialect, seed: object) -> list[Event]:
    """The item that stands before the image, where the service has one."""
    if row.reasoning == "summary":
        return _summary_events(seed)
    return reasoning_events(seed=seed) if row.reasoning else []


def closing(row: Dialect, seed: object, output_index: int) -> list[Event]:
    """What the assistant says after the image."""
    return [] if row.message is None else message(row, row.message, seed, output_index)


def message(row: Dialect, text: str, seed: object, output_index: int) -> list[Event]:
    """The events of a message with this text."""
    events = message_events(text, seed=seed, output_index=output_index)
    return [_with_item(event, row.said) | (row.delta if "delta" in event else {}) for event in events]


def image(row: Dialect, events: Iterable[Event]) -> list[Event]:
    """The events of one image, unnumbered, as the service has them."""
    return [_image_event(event, row) for event in events if not _is_left_out(event, row)]


def _is_left_out(event: Event, row: Dialect) -> bool:
    return event["type"] in row.left_out


def _image_event(event: Event, row: Dialect) -> Event:
    event = dict(dropping(event, *row.dropped))
    if "item" not in event:
        return event
    item: Event = event["item"] | {"type": row.item_type}
    is_done = event["type"].endswith(".done")
    head: Event = {key: item.pop(key) for key in ("id", "type", "status")}
    rest = {row.names.get(key, key): value for key, value in item.items()}
    return event | {"item": head | (row.done if is_done else row.begun) | rest}


def _with_item(event: Event, more: Fields) -> Event:
    return event | {"item": event["item"] | more} if "item" in event else event


def _summary_events(seed: object) -> list[Event]:
    """A reasoning item whose summary is told."""
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


def spoken(events: Sequence[Event], row: Dialect, *, is_background: bool = False) -> list[Event]:
    """A whole stream of the Responses API, made of such parts, as the service numbers and writes it."""
    made = [_with_response(event, row) for event in events]
    if is_background:
        made = _queued(made)
    made[-1:] = [_ended(event, row) for event in made[-1:]]
    made = numbered(dropping(made, "sequence_number"), place=row.number_at)
    if row.tells_response_id:
        made = [event | {"response_id": events[0]["response"]["id"]} for event in made]
    if row.ids == "rotating":
        return rotating(made)
    made = [renamed(event, _uuid_name) for event in made] if row.ids == "uuid" else made
    return [ordered(event, row.keys) for event in made] if row.keys else made


def _with_response(event: Event, row: Dialect) -> Event:
    if "response" not in event:
        return event
    told = event["response"]
    is_done = told["status"] == "completed"
    if row.response is not None:
        alive = {key: told[key] for key in _ALIVE if key in row.response}
        told = row.response | alive | {"tools": _tools(row.response["tools"], told["tools"][0])}
        told |= {"completed_at": told["created_at"] + 30} if is_done and "completed_at" in told else {}
    told = told | (row.response_at_end if is_done else {})
    return event | {"response": told if row.repeats_output else told | {"output": []}}


# The fields of a response that are not the same throughout a stream, or in every stream.
_ALIVE = ("id", "created_at", "status", "background", "error", "incomplete_details", "output", "service_tier")


def _tools(echo: Sequence[Fields], asked: Fields) -> list[Fields]:
    return [{key: asked["output_format"] if key == "output_format" else tool[key] for key in tool} for tool in echo]


def _queued(events: list[Event]) -> list[Event]:
    """A response that is made in the background waits in a queue first."""
    made = [
        event | {"response": event["response"] | {"background": True}} if "response" in event else event
        for event in events
    ]
    first = made[0] | {"response": made[0]["response"] | {"status": "queued"}}
    return [first, first | {"type": "response.queued"}, *made[1:]]


def _ended(event: Event, row: Dialect) -> Event:
    is_completed = event["type"] == "response.completed"
    return (event | {"type": row.terminal} if is_completed else event) | row.last_event


def _uuid_name(name: str) -> str:
    """An id of OpenAI's kind as xAI has it; the same ids stay the same."""
    kind, _, digits = name.partition("_")
    uuid = UUID((digits + "0" * 32)[:32])
    return {"resp": f"{uuid}", "ig": f"ig_{uuid}_call-{uuid}-0"}.get(kind, f"{kind}_{uuid}")


def ordered(value: Any, keys: Sequence[str]) -> Any:
    """`value` with its keys in this order, those that are not in it behind; a response keeps its own."""
    if isinstance(value, dict):
        ranks = {key: at for at, key in enumerate(() if "object" in value else keys)}
        return {key: ordered(value[key], keys) for key in sorted(value, key=lambda key: ranks.get(key, len(ranks)))}
    return [ordered(inner, keys) for inner in value] if isinstance(value, list) else value
