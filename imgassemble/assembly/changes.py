"""What one event would change, known whole before anything is changed.

Knows: the facts that are held, one reading, the limits. Must not know: listeners, and what was told of it.
A `Change` is made aside and put in place by the assembler, or dropped: so a strict assembler that raises has changed
nothing, and a lenient one that goes on has lost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import floor
from typing import Any, Literal, NamedTuple

from ..errors import (
    EventError,
    FrameDecodeError,
    FrameEncodingError,
    FrameError,
    ImgassembleError,
    LimitError,
    clean,
    quoted,
)
from ..frames.frame import Frame, Payload, describe_payload, disagreements, read_frame
from ..limits import Limits
from ..states import State
from ..wire.dialects import GREATEST_NUMBER, Reading, Signal
from .items import Cursor
from .lifecycle import Claim, Facts, StreamFacts
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


class Standing(NamedTuple):
    """How a stream stands, apart from its items."""

    stream: StreamFacts = StreamFacts()
    cursor: Cursor = Cursor()
    images_done: int = 0  # how many images without a name have ended: the number of the one under way
    usage: tuple[str, Any] | None = None  # the usage that was told last for such an image, and of which one
    total_bytes: int = 0
    skipped: int = 0


@dataclass(slots=True, kw_only=True)
class Held:
    """What an assembler holds."""

    facts: dict[str, Facts] = field(default_factory=dict)
    standing: Standing = field(default_factory=Standing)
    discarded: dict[str | None, None] = field(default_factory=dict)  # whose late events are passed over; oldest first
    gone: dict[State, ImgassembleError | None] = field(default_factory=dict)  # how they stood, and the first error

    def discard(self, item_id: str, state: State, error: ImgassembleError | None) -> None:
        """Let go of an item, and pass over what is still said of it."""
        self.gone.setdefault(state, error)
        total_bytes = self.standing.total_bytes - self.facts.pop(item_id).n_bytes
        self.standing = self.standing._replace(total_bytes=total_bytes)
        self.discarded[item_id] = None
        if len(self.discarded) > _MOST_DISCARDED:
            del self.discarded[next(iter(self.discarded))]


_MOST_DISCARDED = 10_000  # remembered, at some hundred bytes each: a response repeats all its items at its end
_MOST_ANOMALIES = 100  # told of one event, which may name ten thousand items


@dataclass(slots=True, kw_only=True)
class Change:
    """What one event would change: the facts of the items that it names, and how the stream stands then."""

    standing: Standing
    facts: dict[str, Facts] = field(default_factory=dict)
    added: dict[str, list[Frame]] = field(default_factory=dict)
    anomalies: list[Anomaly] = field(default_factory=list)

    def trouble(self, item_id: str | None, code: AnomalyCode, error: ImgassembleError) -> None:
        if len(self.anomalies) < _MOST_ANOMALIES:
            self.anomalies.append(Anomaly(item_id, code, str(error), error))


def weigh(reading: Reading, held: Held, rules: Rules) -> Change:
    """What the event that was read would change in `held`."""
    return _Weighing(reading, held, rules).change


class _Weighing:
    """One event on the scales."""

    def __init__(self, reading: Reading, held: Held, rules: Rules) -> None:
        self.reading, self.held, self.rules = reading, held, rules
        self.change = Change(standing=held.standing)
        self.images_done, self.usage = held.standing.images_done, held.standing.usage
        self.total_bytes = held.standing.total_bytes
        self.new_items = 0
        named = []
        for signal in reading.signals:
            if not (_arrival_counts(signal) and self._is_repeat()):
                item_id = self._name(signal)
                if item_id not in held.discarded:
                    named.append((signal, item_id))
        for signal, item_id in named:
            if item_id is not None and self._has_room(item_id):
                self._weigh_item(signal, item_id)
        is_skipped = not reading.is_for_us or bool(reading.signals and not named)
        self.change.standing = Standing(
            stream=self._stream(),
            cursor=_moved(held.standing.cursor, reading),
            images_done=self.images_done,
            usage=self.usage,
            total_bytes=self.total_bytes,
            skipped=held.standing.skipped + is_skipped,
        )

    def _trouble(self, code: AnomalyCode, error: ImgassembleError, item_id: str | None) -> None:
        self.change.trouble(item_id, code, error)

    def _stream(self) -> StreamFacts:
        reading, stream = self.reading, self.held.standing.stream
        if reading.ending is None:
            return stream
        number = reading.sequence_number
        return stream.with_ending(reading.ending, error=reading.error, reason=reading.reason, number=number)

    def _is_repeat(self) -> bool:
        cursor, number = self.held.standing.cursor, self.reading.sequence_number
        if self.reading.response_id not in (None, cursor.response_id):
            return False
        return cursor.sequence_number is not None and number is not None and number <= cursor.sequence_number

    def _name(self, signal: Signal) -> str | None:
        key_by, kind = self.rules.key_by, self.reading.event_type
        if key_by == "output_index" and "output_index" in signal.details:
            return f"output-{signal.details['output_index']}"
        if signal.is_unnamed:
            number = self.images_done if signal.number is None else signal.number
            if signal.witness is not None:  # only the end of an image begins the next one
                self.images_done = max(self.images_done, number + 1)
            return f"image-{number}"
        if key_by == "item_id" and signal.item_id is not None:
            return signal.item_id
        sentence = (
            f"{clean(kind)} has no {key_by}, and so names no item; it is skipped. Where a service never sends it, use "
            f'Assembler(key_by="{"output_index" if key_by == "item_id" else "item_id"}")'
        )
        self._nameless(sentence, signal)
        return None

    def _nameless(self, sentence: str, signal: Signal) -> None:
        has_picture = bool(signal.payload and signal.payload.base64)
        error = EventError(sentence, event_type=self.reading.event_type, has_picture=has_picture)
        self._trouble("missing_item_id", error, None)

    def _has_room(self, item_id: str) -> bool:
        if item_id in self.held.facts or item_id in self.change.facts:
            return True
        self.new_items += 1
        most = self.rules.limits.max_items
        if len(self.held.facts) + self.new_items <= most:
            return True
        sentence = f"item {quoted(item_id)} is one more than Limits.max_items allows ({most:,}); it is not kept"
        self._trouble("over_limit", LimitError(sentence, limit="max_items", actual=most + 1, item_id=item_id), None)
        return False

    def _weigh_item(self, signal: Signal, item_id: str) -> None:
        before = self.change.facts.get(item_id) or self.held.facts.get(item_id) or Facts()
        number = self.reading.sequence_number
        details = signal.details
        if signal.is_unnamed and "usage" in details and self._is_told(details["usage"], item_id):
            details = {name: value for name, value in details.items() if name != "usage"}
        facts = before.with_details(details, number)
        if signal.word is State.FAILED and signal.witness:
            failed = facts.with_claim(signal.witness, Claim(error=signal.error, sequence_number=number))
            facts = self._within_limits(item_id, facts, failed)  # the picture that it stands in for counts no more
        else:
            facts = facts.with_word(signal.word) if signal.word in _WORDS else facts
            facts = self._with_picture(signal, signal.payload, item_id, facts) if signal.payload else facts
        self.change.facts[item_id] = facts

    def _is_told(self, usage: Any, item_id: str) -> bool:
        """Whether the image before has this usage: that of a request is repeated in full with each of its images."""
        if self.usage is None or self.usage[1] != usage:
            self.usage = (item_id, usage)
        return self.usage[0] != item_id

    def _with_picture(self, signal: Signal, payload: Payload, item_id: str, facts: Facts) -> Facts:
        """`facts` with the picture that the signal carries, or as they are where it cannot be used."""
        if not payload.is_final and payload.index is None:
            payload = replace(payload, index=_next_index(facts))
            self._doubt("bad_index", "has no usable partial_image_index; it counts as the next", payload, item_id)
        try:
            frame = read_frame(payload, item_id, self.rules.limits, facts.pictures())
        except (FrameError, LimitError) as error:
            self._trouble(_CODES.get(type(error), "over_limit"), error, item_id)
            return facts
        place = _place(frame, facts)
        is_news = frame not in place
        if is_news:
            for claim in disagreements(frame, payload):
                self._doubt("false_claim", f"{claim}; the bytes are believed", payload, item_id)
        if any(frame.data is not other.data for other in place):  # equal bytes were made one object above
            doubt = "is another picture than came before in its place; the one sent later counts"
            self._doubt("conflicting_picture", doubt, payload, item_id)
        if signal.witness:
            equal = [*(other for other in place if other == frame), frame]
            # The frame that was told first; of those that an earlier run left, some have no number.
            first = next((each for each in equal if each.sequence_number is not None), equal[0])
            claim_now = Claim(picture=first, sequence_number=payload.sequence_number)
            return self._within_limits(item_id, facts, facts.with_claim(signal.witness, claim_now))
        after = self._within_limits(item_id, facts, facts.with_partial(frame))
        if is_news and after.partial(frame.index) is frame:  # a frame that is not kept is not told
            self.change.added.setdefault(item_id, []).append(frame)
        return after

    def _doubt(self, code: AnomalyCode, doubt: str, payload: Payload, item_id: str) -> None:
        sentence = f"{describe_payload(payload, item_id)} {doubt}"
        self._trouble(code, FrameError(sentence, item_id=item_id, index=payload.index), item_id)

    def _within_limits(self, item_id: str, before: Facts, after: Facts) -> Facts:
        """`after` as far as the limits allow it: the highest partials stay, and a result is worth more than them."""
        limits = self.rules.limits
        if len(after.partials) > (most := limits.max_frames_per_item):
            many = f"more partials than Limits.max_frames_per_item allows ({most:,})"
            sentence = f"item {quoted(item_id)} has {many}; the highest stay"
            error = LimitError(sentence, limit="max_frames_per_item", actual=len(after.partials), item_id=item_id)
            self._trouble("over_limit", error, item_id)
        after = after.with_highest(1 if self.rules.keep == "latest" else most)
        room = limits.max_total_bytes - self.total_bytes + before.n_bytes
        if after.n_bytes > room:
            total = limits.max_total_bytes - room + after.n_bytes
            sentence = (
                f"the pictures would come to {total:,} bytes, and Limits.max_total_bytes allows "
                f"{limits.max_total_bytes:,}; not all of item {quoted(item_id)} is kept"
            )
            error = LimitError(sentence, limit="max_total_bytes", actual=total, item_id=item_id)
            self._trouble("over_limit", error, item_id)
            while after.claims is not before.claims and after.partials and after.n_bytes > room:
                after = after.without_lowest()
            after = after if after.n_bytes <= room else before
        self.total_bytes += after.n_bytes - before.n_bytes
        return after


def _moved(cursor: Cursor, reading: Reading) -> Cursor:
    if reading.response_id and cursor.response_id not in (None, reading.response_id):
        return Cursor(reading.response_id, reading.sequence_number)  # another response counts anew
    at, number = cursor.sequence_number, reading.sequence_number
    if number is None or (at is not None and number < at):
        number = at
    return Cursor(reading.response_id or cursor.response_id, number)


def _arrival_counts(signal: Signal) -> bool:
    """Whether the order of arrival says what this is: an image without a name, or a partial without an index."""
    payload = signal.payload
    return signal.is_unnamed or (payload is not None and not payload.is_final and payload.index is None)


_WORDS = frozenset({State.GENERATING, State.COMPLETED, State.INCOMPLETE})
_CODES: dict[type[ImgassembleError], AnomalyCode] = {FrameEncodingError: "bad_base64", FrameDecodeError: "bad_picture"}


def _place(frame: Frame, facts: Facts) -> list[Frame]:
    """What is held already in the place of `frame`: the partial of its index, or the results."""
    if frame.is_final:
        return [claim.picture for claim in facts.claims.values() if claim.picture]
    held = facts.partial(frame.index)
    return [held] if held else []


def _next_index(facts: Facts) -> int:
    return min(floor(facts.partials[-1].index or 0) + 1, GREATEST_NUMBER) if facts.partials else 0
