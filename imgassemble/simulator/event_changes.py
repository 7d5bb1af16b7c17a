"""Changes wire events to others: their numbers, ids, keys and order.

Must not know: services, the meaning of an event, how events are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import count, zip_longest
from typing import Any, Literal

Event = dict[str, Any]

NumberAt = Literal["first", "after the type", "last", "nowhere"]


def numbered(events: Iterable[Event], *, start: int = 0, place: NumberAt = "after the type") -> list[Event]:
    """Return the events numbered from `start`. A new number goes to `place`, an old one is replaced in its place."""
    return [
        event | {"sequence_number": n} if "sequence_number" in event else _PLACES[place](event, n)
        for n, event in enumerate(events, start)
    ]


_PLACES: dict[NumberAt, Callable[[Event, int], Event]] = {
    "first": lambda event, n: {"sequence_number": n} | event,
    "after the type": lambda event, n: {"type": event["type"], "sequence_number": n} | event,
    "last": lambda event, n: event | {"sequence_number": n},
    "nowhere": lambda event, _: event,
}


def without_types(events: Iterable[Event], *types: str) -> list[Event]:
    """Leave out the events of these types; the other events keep their numbers."""
    return [event for event in events if event["type"] not in types]


def without_keys(value: Any, *names: str) -> Any:
    """Return `value` (events, an event or a part of one) without the keys of these names, at any depth."""
    if isinstance(value, dict):
        return {key: without_keys(inner, *names) for key, inner in value.items() if key not in names}
    return [without_keys(inner, *names) for inner in value] if isinstance(value, list) else value


def interleaved(*streams: Sequence[Event]) -> list[Event]:
    """Take one event of each stream in turn."""
    return [event for row in zip_longest(*streams) for event in row if event is not None]


def with_new_ids(events: Iterable[Event]) -> list[Event]:
    """Return the events with a new id in each place and their keys in alphabetical order, as Copilot relays them."""
    numbers = count(1)
    return [alphabetical(renamed(event, lambda _: f"relayed-{next(numbers)}")) for event in events]


def renamed(value: Any, new: Callable[[str], str]) -> Any:
    """Replace each id in `value` (an event or a part of one) by `new(id)`."""
    if isinstance(value, dict):
        return {key: new(inner) if key in ("id", "item_id") else renamed(inner, new) for key, inner in value.items()}
    return [renamed(inner, new) for inner in value] if isinstance(value, list) else value


def alphabetical(value: Any) -> Any:
    """Return `value` with the keys of every object in it in alphabetical order."""
    if isinstance(value, dict):
        return {key: alphabetical(value[key]) for key in sorted(value)}
    return [alphabetical(inner) for inner in value] if isinstance(value, list) else value
