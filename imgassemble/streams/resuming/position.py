"""Follows the progress of a stream: its cursor, the events that it has brought, and whether it is over.

Must not know: connections, clocks, when a stream is opened again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from ...assembly.items import Cursor
from ...errors import EventError, ImgassembleError
from ...frames.base64_json import load_json
from ...states import Witness
from ...wire.dialects import Reading
from ...wire.reader import read_event
from ...wire.readings import read

MOST_NUMBERS = 10_000  # of one response: a stream of images has a few hundred events
MOST_IDS = 10_000  # of server-sent events
MOST_RESPONSES = 100  # of one stream: a long run of an agent
_FIRST_EVENTS = frozenset({"response.created", "response.queued"})


class Phase(Enum):
    """The phase of a stream."""

    OPEN = auto()  # nothing has ended yet
    BETWEEN_IMAGES = auto()  # a whole image without a name came last: the stream may end here, or go on
    NEXT_IMAGE = auto()  # another image has begun after one without a name
    OVER = auto()  # every response has ended


class Arrival(Enum):
    """The relation of an event to the events before."""

    PROGRESS = auto()  # the stream has come further
    OTHER = auto()  # it has no number or id, or these cannot be trusted
    REPEAT = auto()  # it came before the stream was opened again


@dataclass(slots=True)
class _Numbers:
    """The sequence numbers of one response."""

    types: dict[float, str] = field(default_factory=dict)  # the type of the event with each number
    reached: float | None = None  # up to this number nothing is missing
    last: float | None = None  # the last one of this connection
    is_rising: bool = True  # whether they rose strictly in each connection: only then a number names an event
    has_ended: bool = False

    def is_repeat(self, number: float, event_type: str) -> bool:
        """Return whether the event came before. A number that belongs to another type of event is not trusted."""
        if self.last is not None and number <= self.last:
            self.is_rising = False
        self.last = number
        known = self.types.get(number)
        self.is_rising = self.is_rising and known in (None, event_type)
        return self.is_rising and known is not None

    def add(self, number: float, event_type: str) -> bool:
        """Add an event; return whether its number is a new one."""
        is_new = number not in self.types
        self.types[number] = event_type
        if len(self.types) > MOST_NUMBERS:
            del self.types[next(iter(self.types))]
        if self.reached is None:
            self.reached = number
        elif len(self.types) == MOST_NUMBERS and self.reached + 1 not in self.types:
            self.reached = max(self.reached, number)  # a number that is still missing was never sent
        while self.reached + 1 in self.types:
            self.reached += 1
        return is_new


class StreamPosition:
    """How far a stream has come, over all of its connections.

    An event that came before the stream was opened again is recognised by its SSE id; else by its number, while the
    numbers of its response rise strictly. Other repeats are not recognised here; the assembler drops them.
    """

    def __init__(self, since: Cursor | None = None) -> None:
        """since: the position of another reader, at which this one begins. Repeats of its events are not recognised."""
        self.cursor: Cursor = since or Cursor()
        self.phase: Phase = Phase.OPEN
        self._current = _Numbers(reached=self.cursor.sequence_number)
        self._responses: dict[str | None, _Numbers] = {}
        if self.cursor.response_id is not None:
            self._responses[self.cursor.response_id] = self._current
        self._ids: dict[str, None] = {}  # of earlier connections
        self._own_ids: dict[str, None] = {}  # of this connection
        self._are_ids_unique = True
        self._last_id = ""

    @property
    def can_go_on(self) -> bool:
        """Whether there is a position to resume from."""
        cursor = self.cursor
        is_numbered = cursor.response_id is not None and cursor.sequence_number is not None
        return self.phase is not Phase.OVER and (is_numbered or cursor.last_event_id is not None)

    @property
    def has_image(self) -> bool:
        """Whether a whole image without a name came; only the end of the stream ends a series of them."""
        return self.phase in (Phase.BETWEEN_IMAGES, Phase.NEXT_IMAGE)

    @property
    def may_end_here(self) -> bool:
        """Whether a stream that stops now can be complete."""
        return self.phase in (Phase.BETWEEN_IMAGES, Phase.OVER) or self._current.has_ended

    def reopen(self) -> None:
        """Begin another connection: it may bring again the events of the ones before."""
        self._ids |= self._own_ids
        for old in list(self._ids)[:-MOST_IDS]:
            del self._ids[old]
        self._own_ids = {}
        self._last_id = ""
        for numbers in (self._current, *self._responses.values()):
            numbers.last = None

    def end_if(self, *, is_done: bool) -> None:
        """End the stream if its bytes said so."""
        if is_done:
            self.phase = Phase.OVER

    def receive(self, event: Any, last_event_id: str = "") -> Arrival:
        """Take in an event; return whether it is progress or a repeat.

        last_event_id: the decoder's last event id after this event.
        """
        own_id = last_event_id if last_event_id != self._last_id else ""
        self._last_id = last_event_id
        if own_id and self._is_known_id(own_id):
            return Arrival.REPEAT
        reading = _reading_of(event)
        is_new = reading is not None and self._follow(reading, has_id=bool(own_id))
        if is_new is None:
            return Arrival.REPEAT
        if last_event_id:
            self.cursor = replace(self.cursor, last_event_id=last_event_id)
        return Arrival.PROGRESS if is_new or own_id else Arrival.OTHER

    def _is_known_id(self, own_id: str) -> bool:
        if own_id in self._own_ids:
            self._are_ids_unique = False  # then an id names no event
        self._own_ids[own_id] = None
        if len(self._own_ids) > MOST_IDS:
            del self._own_ids[next(iter(self._own_ids))]
        return self._are_ids_unique and own_id in self._ids

    def _follow(self, reading: Reading, *, has_id: bool) -> bool | None:
        """Follow an event; return whether it has a new number, or None if it is a repeat by its number."""
        is_first = self._follow_response(reading)
        numbers, number = self._current, reading.sequence_number
        is_new = False
        if number is not None:
            if numbers.is_repeat(number, reading.event_type) and not has_id:
                return None
            is_new = numbers.add(number, reading.event_type)
        if is_first and not numbers.has_ended:
            self.phase = Phase.OPEN
        self.cursor = replace(self.cursor, response_id=self._name_of(numbers), sequence_number=numbers.reached)
        self._follow_phase(reading)
        return is_new

    def _follow_response(self, reading: Reading) -> bool:
        """Make the response of an event the current one; return whether the event begins it."""
        named, begins = reading.response_id, reading.event_type in _FIRST_EVENTS
        if named is None:
            return False
        known = self._responses.get(named)
        if known is None:
            is_other = self._current.has_ended or (begins and not self._is_nameless(self._current))
            # Otherwise it is another name of the response: some services change it with each event.
            known = _Numbers() if is_other else self._current
            self._responses[named] = known
            if len(self._responses) > MOST_RESPONSES:
                del self._responses[next(iter(self._responses))]
        is_first = begins and not known.types
        self._current = known
        return is_first

    def _is_nameless(self, numbers: _Numbers) -> bool:
        return all(each is not numbers for each in self._responses.values())

    def _name_of(self, numbers: _Numbers) -> str | None:
        """Return the first id of a response."""
        return next((name for name, each in self._responses.items() if each is numbers), None)

    def _follow_phase(self, reading: Reading) -> None:
        if reading.event_type == "[DONE]":
            self.phase = Phase.OVER
        elif reading.ending is not None:
            self._end(reading)
        elif reading.signals:
            is_result = all(each.is_unnamed and each.witness is Witness.OWN for each in reading.signals)
            if is_result:
                self.phase = Phase.BETWEEN_IMAGES
            elif self.phase is Phase.BETWEEN_IMAGES:
                self.phase = Phase.NEXT_IMAGE

    def _end(self, reading: Reading) -> None:
        """End the response that the event names; an error without an id ends all of them."""
        ended = [self._current] if reading.response_id else [self._current, *self._responses.values()]
        for numbers in ended:
            numbers.has_ended = True
        if all(numbers.has_ended for numbers in (self._current, *self._responses.values())):
            self.phase = Phase.OVER


def _reading_of(event: Any) -> Reading | None:
    """Return the reading of an event; None if the event cannot be read, which the assembler reports."""
    if isinstance(event, ImgassembleError):
        return None
    with suppress(EventError):
        return read(read_event(event, load_json))
    return None
