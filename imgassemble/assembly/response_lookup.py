"""Which response an event belongs to.

A response begins with `response.created` or `.queued` under an unknown id. After the current response of a lane has
ended, a response begins with the first event that names an unknown response, or that names an unknown item under a
number that the ended response has used, or, in a stream without numbers, that brings a draft or a numbered image. While
a response is open, another unknown id is another name of it. An event that names no response belongs to the open
response of its lane that has its item, else to the current one.

Must not know: pictures, limits, listeners.
"""

from __future__ import annotations

from ..states import Ending
from ..wire.dialects import Naming, Reading, Signal
from .changes import Change
from .held import Held, Lane, ResponseRecord
from .responses import ResponseFacts

_MAX_IDS = 20_000  # of all responses. A service that gives each event another id sends a few hundred.
_MAX_OTHERS = 100  # earlier responses of a lane that are still open
_ERRORS = frozenset({Ending.ERROR, Ending.STRAY_ERROR})


def find_response(reading: Reading, held: Held, change: Change) -> ResponseRecord | None:
    """Return the response of the event, a new one if it begins one; None if the event concerns no response."""
    lane = held.lanes.get(reading.lane)
    if reading.response_id is not None:
        return _named(reading, lane, held, change)
    if reading.ending in _ERRORS and reading.lane is None and (record := _of_error(lane, held)):
        return record
    if lane is not None and (lane.current.facts.is_open or not _begins_next(reading, lane.current, held)):
        return _holder(reading, lane) if lane.others else lane.current
    if reading.concerns_response or (reading.lane is None and reading.sequence_number is not None):
        return _begin(reading, lane, held, change)
    return None


def _named(reading: Reading, lane: Lane | None, held: Held, change: Change) -> ResponseRecord:
    response_id = reading.response_id
    assert response_id is not None
    record = held.ids.get(response_id)
    if record is None and lane is not None:
        current = lane.current
        if current.facts.id is None and not current.facts.is_lone_error and not _begins_next(reading, current, held):
            change.journal.set(current, "facts", current.facts._replace(id=response_id))
            change.journal.put(held.ids, response_id, current)
            change.journal.put(current.ids, response_id, None)
            record = current
        elif current.facts.is_open and not reading.begins:
            record = current
            if len(held.ids) < _MAX_IDS:
                change.journal.put(held.ids, response_id, record)
                change.journal.put(record.ids, response_id, None)
    if record is None:
        return _begin(reading, lane, held, change)
    if lane is not None and lane.current is not record and record.facts.lane == reading.lane:
        change.journal.put(held.lanes, reading.lane, _lane_with(record, lane))
    return record


def _begins_next(reading: Reading, current: ResponseRecord, held: Held) -> bool:
    """Return whether an event that names no known response begins the one after `current`."""
    facts = current.facts
    if facts.is_lone_error:
        return reading.begins
    if facts.is_open:
        return False
    if not reading.begins or not facts.has_begun:
        return held.items_have_ids and _names_another_item(reading, current, held)
    return reading.sequence_number is None or reading.sequence_number != current.begun_at


def _names_another_item(reading: Reading, ended: ResponseRecord, held: Held) -> bool:
    """Return whether the event names an item that an ended response lacks, under a number that it has used.

    A number that is new may belong to a late event of the ended response.
    """
    if reading.sequence_number is not None and reading.sequence_number not in ended.numbers:
        return False
    signals = [signal for signal in reading.signals if signal.naming is not Naming.KNOWN]
    if reading.sequence_number is None and Ending.COMPLETED in ended.facts.endings and _are_next(signals):
        return True
    ids = [signal.item_id for signal in signals if signal.item_id is not None]
    return bool(ids) and not any(each in ended.names or (ended.number, each) in held.discarded for each in ids)


def _are_next(signals: list[Signal]) -> bool:
    """Return whether signals without item ids, after the end of a response, concern the next one.

    These are drafts, or images with numbers. A result without a number can be the last result again.
    """
    unnamed = [signal for signal in signals if signal.is_unnamed]
    are_drafts = all(signal.payload is not None and not signal.payload.is_final for signal in unnamed)
    return bool(unnamed) and (are_drafts or any(signal.number is not None for signal in unnamed))


def _of_error(lane: Lane | None, held: Held) -> ResponseRecord | None:
    """Return the response of an error that names neither lane nor response: an open one, else the current one."""
    if lane is not None and lane.current.facts.is_open:
        return lane.current
    return next(held.open_responses(), None) or (lane.current if lane else held.heard_last)


def _holder(reading: Reading, lane: Lane) -> ResponseRecord:
    """Return the open response of the lane that has the item of the event, else the current one."""
    for record in (lane.current, *lane.others):
        if record.facts.is_open and any(signal.item_id in record.names for signal in reading.signals):
            return record
    if lane.current.facts.is_open or any(signal.item_id in lane.current.names for signal in reading.signals):
        return lane.current
    return next((record for record in reversed(lane.others) if record.facts.is_open), lane.current)


def _begin(reading: Reading, lane: Lane | None, held: Held, change: Change) -> ResponseRecord:
    is_lone_error = reading.ending is Ending.ERROR and reading.sequence_number is None and not reading.signals
    facts = ResponseFacts(
        id=reading.response_id,
        lane=reading.lane,
        is_lone_error=is_lone_error and reading.response_id is None,
    )
    record = ResponseRecord(held.n_responses, facts)
    journal = change.journal
    journal.set(held, "n_responses", record.number + 1)
    journal.put(held.responses, record.number, record)
    journal.put(held.empty_responses, record.number, None)
    if reading.response_id is not None:
        journal.put(held.ids, reading.response_id, record)
        record.ids[reading.response_id] = None
    journal.put(held.lanes, reading.lane, _lane_with(record, lane))
    return record


def _lane_with(current: ResponseRecord, lane: Lane | None) -> Lane:
    if lane is None:
        return Lane(current)
    others = [each for each in (*lane.others, lane.current) if each.facts.is_open and each is not current]
    return Lane(current, tuple(others[-_MAX_OTHERS:]))


def weigh_response(reading: Reading, record: ResponseRecord, held: Held, change: Change, *, has_items: bool) -> None:
    """Add to the facts of the response, or of several responses, what the event reports."""
    facts, number = record.facts, reading.sequence_number
    if reading.begins and not facts.has_begun:
        facts = facts._replace(has_begun=True)
        change.journal.set(record, "begun_at", number)
    if has_items and not facts.has_items:
        facts = facts._replace(has_items=True)
    if reading.details:
        facts = facts.with_details(reading.details, number)
    if reading.ending is not None:
        facts = _with_ending(facts, reading)
        if reading.ending in _ERRORS and reading.lane is None and reading.response_id is None:
            for other in held.open_responses():
                if other is not record:
                    _put(other, _with_ending(other.facts, reading), change)
    _put(record, facts, change)


def _with_ending(facts: ResponseFacts, reading: Reading) -> ResponseFacts:
    assert reading.ending is not None
    return facts.with_ending(reading.ending, error=reading.error, reason=reading.reason, number=reading.sequence_number)


def _put(record: ResponseRecord, facts: ResponseFacts, change: Change) -> None:
    before = record.facts
    if facts is before:
        return
    change.journal.set(record, "facts", facts)
    if facts.endings != before.endings:
        change.judged_again.append(record)
