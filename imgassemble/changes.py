"""What one event would change, known whole before anything is changed.

Knows: the facts that are held, one reading, the limits. Must not know: listeners, and what was told of it.
A `Change` is made aside and put in place by the assembler, or dropped: so a strict assembler that raises has changed
nothing, and a lenient one that goes on has lost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import floor
from typing import Any, Literal

from .dialects import GREATEST_NUMBER, Reading, Signal
from .errors import EventError, FrameDecodeError, FrameEncodingError, FrameError, ImgassembleError, LimitError, quoted
from .frames import Frame, disagreements, read_frame, said_of
from .items import Cursor
from .lifecycle import Claim, Facts, Heard, State, StreamFacts
from .limits import Limits
from .updates import Anomaly, AnomalyCode

Keep = Literal["all", "latest"]
KeyBy = Literal["item_id", "output_index"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an assembler was told when it was made."""

    limits: Limits
    strict: bool
    keep: Keep
    key_by: KeyBy


@dataclass(slots=True, kw_only=True)
class Held:
    """What an assembler holds: the facts of its items and of its stream."""

    facts: dict[str, Facts] = field(default_factory=dict)
    stream: StreamFacts = field(default_factory=StreamFacts)
    cursor: Cursor = field(default_factory=Cursor)
    images_done: int = 0  # how many images without a name have ended: the number of the one under way
    usage: tuple[str, Any] | None = None  # the usage that was told last, and of which item
    total_bytes: int = 0
    skipped: int = 0


@dataclass(slots=True, kw_only=True)
class Change:
    """What one event would change."""

    facts: dict[str, Facts] = field(default_factory=dict)
    added: dict[str, list[Frame]] = field(default_factory=dict)
    anomalies: list[Anomaly] = field(default_factory=list)
    stream: StreamFacts
    cursor: Cursor
    images_done: int
    usage: tuple[str, Any] | None
    total_bytes: int
    skipped: int

    def trouble(self, item_id: str | None, code: AnomalyCode, error: ImgassembleError) -> None:
        # An error is kept with the item. Its traceback and context would hold on to the message, picture and all.
        each: BaseException | None = error
        while each is not None:
            each.__traceback__, each.__context__ = None, None
            each = each.__cause__
        self.anomalies.append(Anomaly(item_id, code, str(error), error))


def nothing_new(held: Held) -> Change:
    """The change that changes nothing yet."""
    return Change(
        stream=held.stream,
        cursor=held.cursor,
        images_done=held.images_done,
        usage=held.usage,
        total_bytes=held.total_bytes,
        skipped=held.skipped,
    )


def weigh(reading: Reading, held: Held, rules: Rules) -> Change:
    """What the event that was read would change in `held`."""
    change = nothing_new(held)
    change.cursor = _moved(held.cursor, reading)
    if reading.ending:
        change.stream = held.stream.with_ending(
            reading.ending, error=reading.error, reason=reading.reason, number=reading.sequence_number
        )
    is_repeat = _is_repeat(held.cursor, reading)
    taken = 0
    for signal in reading.signals:
        if is_repeat and _arrival_counts(signal):
            continue
        taken += 1
        item_id = _name(signal, reading, change, rules)
        if item_id is not None and _has_room(item_id, held, change, rules.limits):
            _take(signal, item_id, reading, held, change, rules)
    if not reading.is_for_us or (reading.signals and not taken):
        change.skipped += 1
    return change


def _moved(cursor: Cursor, reading: Reading) -> Cursor:
    if reading.response_id and cursor.response_id not in (None, reading.response_id):
        return Cursor(reading.response_id, reading.sequence_number)  # another response counts anew
    numbers = [number for number in (cursor.sequence_number, reading.sequence_number) if number is not None]
    return Cursor(reading.response_id or cursor.response_id, max(numbers, default=None))


def _is_repeat(cursor: Cursor, reading: Reading) -> bool:
    heard, number = cursor.sequence_number, reading.sequence_number
    return heard is not None and number is not None and number <= heard


def _arrival_counts(signal: Signal) -> bool:
    """Whether the order of arrival says what this is: an image without a name, or a partial without an index."""
    payload = signal.payload
    return signal.is_unnamed or (payload is not None and not payload.is_final and payload.index is None)


def _name(signal: Signal, reading: Reading, change: Change, rules: Rules) -> str | None:
    if signal.is_unnamed:
        number = change.images_done if signal.number is None else signal.number
        if signal.witness is not None:  # only the end of an image begins the next one
            change.images_done = max(change.images_done, number + 1)
        return f"image-{number}"
    if rules.key_by == "item_id" and signal.item_id is not None:
        return signal.item_id
    if rules.key_by == "output_index" and "output_index" in signal.details:
        return f"output-{signal.details['output_index']}"
    other = "output_index" if rules.key_by == "item_id" else "item_id"
    sentence = (
        f"{reading.event_type} has no {rules.key_by}, and so names no item; it is skipped. "
        f'Where a service never sends it, use Assembler(key_by="{other}")'
    )
    change.trouble(None, "missing_item_id", EventError(sentence, event_type=reading.event_type))
    return None


def _has_room(item_id: str, held: Held, change: Change, limits: Limits) -> bool:
    new = sum(name not in held.facts for name in change.facts)
    if item_id in held.facts or item_id in change.facts or len(held.facts) + new < limits.max_items:
        return True
    sentence = f"item {quoted(item_id)} is one more than Limits.max_items allows ({limits.max_items:,}); it is not kept"
    error = LimitError(sentence, limit="max_items", actual=limits.max_items + 1, item_id=item_id)
    change.trouble(None, "over_limit", error)
    return False


def _take(signal: Signal, item_id: str, reading: Reading, held: Held, change: Change, rules: Rules) -> None:
    facts = change.facts.get(item_id) or held.facts.get(item_id) or Facts()
    number = reading.sequence_number
    for name, value in signal.details.items():
        if name == "usage" and signal.is_unnamed and _is_told(value, item_id, change):
            continue
        facts = facts.with_detail(name, Heard(value=value, sequence_number=number))
    if signal.word is State.FAILED and signal.witness:
        facts = facts.with_claim(signal.witness, Claim(error=signal.error, sequence_number=number))
    else:
        facts = facts.with_word(signal.word) if signal.word in _WORDS else facts
        facts = _with_picture(signal, item_id, facts, change, rules) if signal.payload else facts
    change.facts[item_id] = facts


def _is_told(usage: Any, item_id: str, change: Change) -> bool:
    """Whether this is the usage of the image before: that of a request is repeated in full with each of its images."""
    if change.usage and change.usage[0] != item_id and change.usage[1] == usage:
        return True
    change.usage = (item_id, usage)
    return False


_WORDS = frozenset({State.GENERATING, State.COMPLETED, State.INCOMPLETE})


def _with_picture(signal: Signal, item_id: str, facts: Facts, change: Change, rules: Rules) -> Facts:
    """`facts` with the picture that the signal carries, or as they are where it cannot be used."""
    payload = signal.payload
    assert payload is not None
    if not payload.is_final and payload.index is None:
        payload = replace(payload, index=_next_index(facts))
        sentence = f"{said_of(payload, item_id)} has no usable partial_image_index; it counts as the next"
        change.trouble(item_id, "bad_index", FrameError(sentence, item_id=item_id, index=payload.index))
    try:
        frame = read_frame(payload, item_id, rules.limits, facts.pictures())
    except (FrameError, LimitError) as error:
        change.trouble(item_id, _CODES.get(type(error), "over_limit"), error)
        return facts
    for claim in disagreements(frame, payload):
        sentence = f"{said_of(payload, item_id)} {claim}; the bytes are believed"
        change.trouble(item_id, "false_claim", FrameError(sentence, item_id=item_id, index=frame.index))
    place = _place(frame, facts)
    # Equal bytes were made one object above.
    if any(frame.data is not other.data for other in place):
        sentence = (
            f"{said_of(payload, item_id)} is another picture than came before in its place; the one sent later counts"
        )
        change.trouble(item_id, "conflicting_picture", FrameError(sentence, item_id=item_id, index=frame.index))
    if signal.witness:
        after = facts.with_claim(signal.witness, Claim(picture=frame, sequence_number=frame.sequence_number))
    else:
        after = facts.with_partial(frame)
    return _within_limits(frame, item_id, facts, after, is_news=frame not in place, change=change, rules=rules)


_CODES: dict[type[ImgassembleError], AnomalyCode] = {FrameEncodingError: "bad_base64", FrameDecodeError: "bad_picture"}


def _place(frame: Frame, facts: Facts) -> list[Frame]:
    """What is held already in the place of `frame`: the partial of its index, or the results."""
    if frame.is_final:
        return [claim.picture for claim in facts.claims.values() if claim.picture]
    held = facts.partial(frame.index)
    return [held] if held else []


def _next_index(facts: Facts) -> int:
    return min(floor(facts.partials[-1].index or 0) + 1, GREATEST_NUMBER) if facts.partials else 0


def _within_limits(
    frame: Frame, item_id: str, before: Facts, after: Facts, *, is_news: bool, change: Change, rules: Rules
) -> Facts:
    if after is before:
        return before
    most = rules.limits.max_frames_per_item
    if len(after.partials) > most:
        many = f"more partials than Limits.max_frames_per_item allows ({most:,})"
        sentence = f"item {quoted(item_id)} has {many}; the highest stay"
        error = LimitError(sentence, limit="max_frames_per_item", actual=len(after.partials), item_id=item_id)
        change.trouble(item_id, "over_limit", error)
    after = replace(after, partials=after.partials[-1 if rules.keep == "latest" else -most :])
    total = change.total_bytes + _bytes_of(after) - _bytes_of(before)
    if total > rules.limits.max_total_bytes:
        sentence = (
            f"the pictures would come to {total:,} bytes, and Limits.max_total_bytes allows "
            f"{rules.limits.max_total_bytes:,}; a picture of item {quoted(item_id)} is not kept"
        )
        error = LimitError(sentence, limit="max_total_bytes", actual=total, item_id=item_id)
        change.trouble(item_id, "over_limit", error)
        return before
    change.total_bytes = total
    if is_news and not frame.is_final and after.partial(frame.index) is frame:  # a frame that is not kept is not told
        change.added.setdefault(item_id, []).append(frame)
    return after


def _bytes_of(facts: Facts) -> int:
    return sum({id(frame.data): len(frame.data) for frame in facts.pictures()}.values())
