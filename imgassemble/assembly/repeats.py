"""Recognises repeats: events that equal an earlier event.

An event that arrives twice does not change facts. A repeat matters only if the order of arrival decides the meaning of
the event: for a picture without an item name, or a partial without an index. If the keys of two events are equal, the
picture is compared with the frames that are held. A hash represents a picture that is no longer held.

Must not know: which item an event belongs to, listeners.
"""

from __future__ import annotations

from contextlib import suppress

from ..errors import FrameError, LimitError
from ..frames.base64_json import Decoded
from ..frames.frame import Frame, Payload, read_frame
from ..limits import Limits
from ..states import State
from ..wire.dialects import Reading, Signal
from .changes import Change
from .held import EarlierEvent, Held, Mark, ResponseRecord
from .lifecycle import Facts


def picture_of(signal: Signal) -> Payload | None:
    """Return the picture of a signal; None if it has none, or if its image failed."""
    return None if signal.word is State.FAILED and signal.witness else signal.payload


def repeat_key(
    reading: Reading, signal: Signal, position: int, record: ResponseRecord, item_id: str | None = None
) -> Mark | None:
    """Return the key that an event and its repeat share.

    None if the event has no number: then no repeat can be recognised.
    """
    number = reading.sequence_number
    if number is None:
        return None
    payload, error = picture_of(signal), signal.error
    return (
        record.number,
        reading.lane,
        number,
        reading.event_type,
        position,
        item_id if item_id is not None else signal.number,
        payload and payload.index,
        error and (error.code, error.message),
    )


def repeated_item(mark: Mark, signal: Signal, held: Held, limits: Limits) -> str | None:
    """Return the item of the earlier event that this one repeats; None if the event is new."""
    if not (earlier := held.marks.get(mark)):
        return None
    payload = picture_of(signal)
    frame = frame_in(payload, limits)
    for heard in earlier:
        if heard.has_picture is not (payload is not None):
            continue
        if payload is None or _was_heard(heard.item_id, frame, payload, held):
            return heard.item_id
    return None


def _was_heard(item_id: str, frame: Frame | None, payload: Payload, held: Held) -> bool:
    if frame is None:
        return hash_of_refused(payload) in held.dropped
    facts = held.facts.get(item_id)
    if facts is not None and any(frame.data == other.data for other in facts.pictures()):
        return True
    return bool(held.dropped) and hash(frame.data) in held.dropped


def remember(mark: Mark, item_id: str, signal: Signal, held: Held, change: Change) -> None:
    """Remember an event, so that its repeat is found."""
    heard = EarlierEvent(item_id, picture_of(signal) is not None)
    change.journal.put(held.marks, mark, (*held.marks.get(mark, ()), heard))
    change.new_marks.append(mark)


def remember_dropped(before: Facts, after: Facts, frame: Frame | None, held: Held, change: Change) -> None:
    """Remember the pictures of `before`, and the new `frame`, that are not in `after`."""
    if len(after.partials) + len(after.claims) > len(before.partials) + len(before.claims):
        return  # the usual case: a picture was added, and none was replaced
    if not (held.marks or before.claims):
        return
    results = [claim.picture for claim in after.claims.values() if claim.picture]
    for each in (*before.pictures(), *([frame] if frame else [])):
        kept = results if each.is_final else after.pictures()  # a partial can equal a result that was replaced
        if not any(each.data is other.data or each.data == other.data for other in kept):
            change.journal.put(held.dropped, hash(each.data), None)


def frame_in(payload: Payload | None, limits: Limits) -> Frame | None:
    """Return the frame in `payload`; None if it has none that can be used."""
    if payload is None:
        return None
    with suppress(FrameError, LimitError):
        return read_frame(payload, "", limits, ())
    return None


def hash_of_refused(payload: Payload) -> int:
    """Return the hash of the picture in a payload that cannot be used."""
    return hash(payload.base64.data if isinstance(payload.base64, Decoded) else payload.base64)
