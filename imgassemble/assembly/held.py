"""The contents of an assembler: the facts of each item and response, and the names that lead to them.

Must not know: what an event means, listeners.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import ImgassembleError
from ..states import State
from ..wire.text_pictures import TextState
from .lifecycle import Facts
from .responses import AnswerText, ResponseFacts

_MAX_DISCARDED = 10_000  # remembered, at some hundred bytes each: a response repeats all its items at its end
_MAX_EMPTY_RESPONSES = 1_000  # responses without an item that are remembered
_MAX_MARKS = 10_000  # events that are remembered to find their repeats
MAX_NUMBERS = 10_000  # sequence numbers of a response that are remembered; real ones have some hundred
_MAX_TYPES = 100  # different types of events that do not concern images

Mark = tuple[Any, ...]
"""The members that an event and its repeat have in common, apart from the picture."""


class Track(NamedTuple):
    """The newest image of a track: one of several images that are made side by side."""

    number: int
    has_ended: bool = False


@dataclass(slots=True, eq=False)
class ResponseRecord:
    """One response: its facts, and the names of its items."""

    number: int  # in the order in which the responses began
    facts: ResponseFacts = field(default_factory=ResponseFacts)
    text: AnswerText = field(default_factory=AnswerText)
    highest: float | None = None  # the highest sequence number
    numbers: set[float] = field(default_factory=set)  # the sequence numbers, at most MAX_NUMBERS
    begun_at: float | None = None  # the sequence number of `response.created`
    ids: dict[str, None] = field(default_factory=dict)  # all its ids on the wire
    items: dict[str, str] = field(default_factory=dict)  # the names of its items -> their ids on the wire
    names: dict[str, str] = field(default_factory=dict)  # the id on the wire -> the name of the item
    # items of events that did not name this response: whether the first one came after its end
    assumed: dict[str, bool] = field(default_factory=dict)
    places: dict[float, str] = field(default_factory=dict)  # output_index -> the item that came last there
    places_without_id: dict[float, None] = field(default_factory=dict)  # no id for the item there has arrived
    # by place: how often the id there changed before its item was whole
    id_changes: dict[float, float] = field(default_factory=dict)
    images_done: int = 0  # the number of unnamed images that have ended, which is also the number of the current image
    image_without_id: str | None = None  # the newest item that was counted, if the response can name it later
    tracks: dict[int, Track] = field(default_factory=dict)
    links: dict[str, None] = field(default_factory=dict)  # links of pictures in its text
    usage: tuple[str, Any] | None = None  # the item and the usage of the latest report for an unnamed image

    def is_over_before(self, number: float | None) -> bool:
        """Return whether an event with this sequence number comes after the end of the response."""
        return self.facts.is_over and (number is None or self.highest is None or number > self.highest)


def has_facts(record: ResponseRecord) -> bool:
    """Return whether the events of a response reported anything apart from their numbers."""
    return record.facts.has_begun or has_more_than_beginning(record)


def has_more_than_beginning(record: ResponseRecord) -> bool:
    """Return whether the events of a response reported more than its beginning."""
    facts = record.facts
    return bool(facts.id is not None or facts.has_items or facts.endings or facts.details or str(record.text))


class Lane(NamedTuple):
    """The responses of one lane: the current one, and earlier ones that are still open."""

    current: ResponseRecord
    others: tuple[ResponseRecord, ...] = ()


class OpenText(NamedTuple):
    """A text of an answer. Its end can be the beginning of a picture."""

    state: TextState
    event_type: str  # of its newest event
    sequence_number: float | None = None  # of its newest event


class EarlierEvent(NamedTuple):
    """An earlier event that is remembered to find its repeat: its item, and whether it had a picture."""

    item_id: str
    has_picture: bool


@dataclass(slots=True, kw_only=True)
class Held:
    """The contents of one assembler."""

    items_have_ids: bool = True  # False if the service changes the ids, so that items go by their place
    facts: dict[str, Facts] = field(default_factory=dict)  # by item
    owners: dict[str, ResponseRecord] = field(default_factory=dict)  # by item
    responses: dict[int, ResponseRecord] = field(default_factory=dict)  # by number
    empty_responses: dict[int, None] = field(default_factory=dict)  # the numbers of those without an item
    ids: dict[str, ResponseRecord] = field(default_factory=dict)  # by each id of a response
    lanes: dict[str | None, Lane] = field(default_factory=dict)
    heard_last: ResponseRecord | None = None
    n_responses: int = 0
    total_bytes: int = 0
    skipped: int = 0
    # types that do not concern images, with the number of their events
    types: dict[str, int] = field(default_factory=dict)
    marks: dict[Mark, tuple[EarlierEvent, ...]] = field(default_factory=dict)
    oldest_marks: deque[Mark] = field(default_factory=deque)
    # hashes of pictures that were refused, or are no longer held
    dropped: dict[int, None] = field(default_factory=dict)
    open_texts: dict[tuple[int, str | float | None], OpenText] = field(default_factory=dict)  # by response and text
    open_text_bytes: int = 0
    discarded: dict[tuple[int, str], str] = field(default_factory=dict)  # (response, id) -> item; oldest first
    discarded_names: dict[str, None] = field(default_factory=dict)
    gone: dict[State, ImgassembleError | None] = field(default_factory=dict)  # ends of discarded items, first error
    has_read_event: bool = False  # an event could be read, whatever it means
    unreadable: str | None = None  # why the first unreadable event could not be read

    def response_of(self, item_id: str) -> ResponseFacts:
        """Return the facts of the response to which the item belongs."""
        return self.owners[item_id].facts

    def is_used(self, name: str) -> bool:
        """Return whether an item has this name, or a discarded one had it."""
        return name in self.owners or name in self.discarded_names

    def open_responses(self) -> Iterator[ResponseRecord]:
        return (record for record in self.responses.values() if record.facts.is_open)

    def discard(self, item_id: str, state: State, error: ImgassembleError | None) -> None:
        """Remove an item, and remember its ids, so that later events about it are skipped."""
        self.gone.setdefault(state, error)
        facts, record = self.facts.pop(item_id), self.owners.pop(item_id)
        self.total_bytes -= facts.n_bytes
        if self.marks:
            self.dropped.update((hash(frame.data), None) for frame in facts.pictures())
        self.discarded_names[item_id] = None
        for wire_id in [wire_id for wire_id, name in record.names.items() if name == item_id]:
            del record.names[wire_id]
            self.discarded[record.number, wire_id] = item_id
        for place in [place for place, name in record.places.items() if name == item_id]:
            del record.places[place]
            record.places_without_id.pop(place, None)
        record.assumed.pop(item_id, None)
        del record.items[item_id]
        if not record.items:
            self.empty_responses[record.number] = None
        self.forget_oldest()

    @property
    def is_full(self) -> bool:
        """Whether `forget_oldest` has work to do."""
        has_many_events = len(self.oldest_marks) > _MAX_MARKS or len(self.dropped) > _MAX_MARKS
        return has_many_events or len(self.empty_responses) > _MAX_EMPTY_RESPONSES

    def forget_oldest(self) -> None:
        """Keep each memory of the past within its bound."""
        _keep_newest(self.discarded, _MAX_DISCARDED)
        _keep_newest(self.discarded_names, _MAX_DISCARDED)
        _keep_newest(self.dropped, _MAX_MARKS)
        while len(self.oldest_marks) > _MAX_MARKS:
            mark = self.oldest_marks.popleft()
            if len(self.marks[mark]) == 1:
                del self.marks[mark]
            else:
                self.marks[mark] = self.marks[mark][1:]
        while len(self.empty_responses) > _MAX_EMPTY_RESPONSES:
            self._forget_response(next(iter(self.empty_responses)))

    def _forget_response(self, number: int) -> None:
        """Forget a response. It has no items."""
        del self.empty_responses[number]
        record = self.responses.pop(number)
        for response_id in record.ids:
            del self.ids[response_id]
        lane = self.lanes.get(record.facts.lane)
        if lane and lane.current is record:
            del self.lanes[record.facts.lane]
        elif lane and record in lane.others:
            others = tuple(each for each in lane.others if each is not record)
            self.lanes[record.facts.lane] = lane._replace(others=others)

    def count_type(self, kind: str) -> None:
        """Count an event that does not concern images."""
        if kind in self.types or len(self.types) < _MAX_TYPES:
            self.types[kind] = self.types.get(kind, 0) + 1


def _keep_newest(memory: dict[Any, Any], most: int) -> None:
    while len(memory) > most:
        del memory[next(iter(memory))]
