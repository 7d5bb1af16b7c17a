"""Finds the response that an event belongs to.

A response begins with `response.created` or `.queued` under an unknown id. After the current response of a lane has
ended, a response begins with the first event that names an unknown response. So it does with an event without a number,
or with a number that the ended response has used, if that names an unknown item or brings another result of a known
one, or, in a stream without numbers, a draft or a numbered image. While a response is open, another unknown id is
another name of it. An event that names no response belongs to the open response of its lane that has its item, else to
the current one.

Must not know: the formats of pictures, the states of items, listeners.
"""

from __future__ import annotations

from ..limits import Limits
from ..states import Ending
from ..wire.dialects import Naming, Reading, Signal
from .changes import Change
from .held import Held, Lane, ResponseRecord
from .repeats import frame_in, picture_of
from .responses import ResponseFacts

_MAX_IDS = 20_000  # of all responses. A service that gives each event another id sends a few hundred.
_MAX_OTHERS = 100  # earlier responses of a lane that are still open
_ERRORS = frozenset({Ending.ERROR, Ending.STRAY_ERROR})


def find_response(reading: Reading, held: Held, limits: Limits, change: Change) -> ResponseRecord | None:
    """Return the response of the event, a new one if it begins one; None if the event concerns no response."""
    lane = held.lanes.get(reading.lane)
    if reading.response_id is not None:
        return _named(reading, lane, held, limits, change)
    if reading.ending in _ERRORS and reading.lane is None and (record := _of_error(lane, held)):
        return record
    if lane is not None and (lane.current.facts.is_open or not _begins_next(reading, lane.current, held, limits)):
        return _holder(reading, lane, held, limits) if lane.others else lane.current
    if reading.concerns_response or (reading.lane is None and reading.sequence_number is not None):
        return _begin(reading, lane, held, change)
    return None


def _named(reading: Reading, lane: Lane | None, held: Held, limits: Limits, change: Change) -> ResponseRecord:
    response_id = reading.response_id
    assert response_id is not None
    record = held.ids.get(response_id)
    if record is None and lane is not None:
        current = lane.current
        may_be_named = current.facts.id is None and not current.facts.is_lone_error
        if may_be_named and not _begins_next(reading, current, held, limits):
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


def _begins_next(reading: Reading, current: ResponseRecord, held: Held, limits: Limits) -> bool:
    """Return whether an event that names no known response begins the one after `current`."""
    facts = current.facts
    if facts.is_lone_error:
        return reading.begins
    if facts.is_open:
        return False
    if not reading.begins or not facts.has_begun:
        if held.items_have_ids and _names_another_item(reading, current, held):
            return True
        is_late = reading.sequence_number is not None and reading.sequence_number not in current.numbers
        return not is_late and _brings_another_result(reading, current, held, limits)
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


def _brings_another_result(reading: Reading, record: ResponseRecord, held: Held, limits: Limits) -> bool:
    """Return whether the event brings a result of an item whose end is known, and another one than that item had."""
    for signal in reading.signals:
        payload, name = picture_of(signal), _known_item(signal, record, held)
        facts = held.facts.get(name) if name is not None else None
        if payload is None or not payload.is_final or facts is None or not facts.claims:
            continue
        frame = frame_in(payload, limits)
        results = (claim.picture for claim in facts.claims.values())
        if frame is None or any(each is not None and frame.data == each.data for each in results):
            continue
        if hash(frame.data) not in held.dropped:
            return True
    return False


def _known_item(signal: Signal, record: ResponseRecord, held: Held) -> str | None:
    """Return the item of the response that has the id of the signal, or its place."""
    place = signal.details.get("output_index")
    if not held.items_have_ids:
        return record.names.get(f"output-{place}")
    if signal.item_id is not None:
        return record.names.get(signal.item_id)
    return None if place is None else record.places.get(place)


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


def _holder(reading: Reading, lane: Lane, held: Held, limits: Limits) -> ResponseRecord:
    """Return the open response of the lane that has the item of the event, else the current one.

    A second result of an item belongs to the current response: it uses the id again.
    """
    for record in (lane.current, *lane.others):
        if record.facts.is_open and any(signal.item_id in record.names for signal in reading.signals):
            is_other = record is not lane.current and _brings_another_result(reading, record, held, limits)
            return lane.current if is_other else record
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
    """Add the report of the event to the facts of its response; an error can concern several responses."""
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
