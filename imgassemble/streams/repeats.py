"""Whether an event was given already, told without keeping it.

Knows: what makes two events equal. Must not know: connections, and when a stream is opened again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..errors import EventError, ImgassembleError
from ..frames.base64_json import load_json
from ..wire.dialects import Reading
from ..wire.events import Event, parse_event
from ..wire.signals import read

MOST_TOLD = 100_000  # events that are known again, in some 20 MB; a stream of images has a few hundred
_DEEPEST = 20  # an event is looked at; a response's own members are four deep


class Told:
    """Which events were given already, by their marks: so many equal ones as one connection brought."""

    def __init__(self) -> None:
        # For each mark: how many were given, the connection that brought the last, and how many it brought itself.
        self._counts: OrderedDict[int, tuple[int, int, int]] = OrderedDict()
        self._connection = 0

    def begin(self) -> None:
        """Another connection: it may bring again what was given."""
        self._connection += 1

    def is_news(self, mark: int) -> bool:
        """Whether an event is more than was given; from now on it is given."""
        given, connection, brought = self._counts.get(mark, (0, self._connection, 0))
        brought = brought + 1 if connection == self._connection else 1
        self._put(mark, max(given, brought), brought)
        return brought > given

    def add(self, mark: int) -> None:
        """One more was given."""
        given = self._counts.get(mark, (0,))[0] + 1
        self._put(mark, given, given)

    def _put(self, mark: int, given: int, brought: int) -> None:
        self._counts[mark] = (given, self._connection, brought)
        if len(self._counts) > MOST_TOLD:
            self._counts.popitem(last=False)


def looked_at(event: Any) -> tuple[int, Reading | None]:
    """A mark that equal events have, and what the event says where it can be read."""
    if isinstance(event, ImgassembleError):
        return hash((type(event), str(event))), None
    parsed: Event | None = None
    with suppress(EventError):  # the assembler tells what is wrong with it
        event = load_json(event) if isinstance(event, str) and event != "[DONE]" else event
        parsed = parse_event(event)
    reading = read(parsed) if parsed else None
    try:
        return _mark(event), reading
    except Exception:  # noqa: BLE001 - an SDK's own object: it goes by what it says of images
        return (_mark(parsed.model_dump(warnings=False)) if parsed else hash(type(event))), reading


def _mark(value: Any, depth: int = _DEEPEST) -> int:
    """A number that equal JSON values have, in whatever order their members are. A text is read once, and not kept."""
    if not depth:
        return 0
    if isinstance(value, Mapping):
        return hash(frozenset((name, _mark(each, depth - 1)) for name, each in value.items()))
    if isinstance(value, (list, tuple)):
        return hash(tuple(_mark(each, depth - 1) for each in value))
    if value is None or isinstance(value, (str, int, float)):
        return hash((type(value), value if value == value else None))  # NaN has the hash of its address
    raise TypeError(f"{type(value).__name__} is no JSON")
