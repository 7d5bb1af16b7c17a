"""Makes the change of one event: the new facts of its response and of its items, within the limits.

The assembler stores the change afterwards.

Must not know: listeners, updates that were reported before.
"""

from __future__ import annotations

from dataclasses import replace
from math import floor
from typing import Any

from ..errors import FrameDecodeError, FrameEncodingError, FrameError, ImgassembleError, LimitError, quoted
from ..frames.base64_json import Decoded, Withheld
from ..frames.frame import Frame, Payload, describe_payload, disagreements, read_frame
from ..states import State, Witness
from ..wire.dialects import GREATEST_NUMBER, Reading, Signal
from .changes import Change
from .held import Held, ResponseRecord, has_more_than_beginning
from .item_names import ItemNames
from .lifecycle import Facts
from .open_texts import end_texts, with_text_pictures
from .options import Rules
from .repeats import hash_of_refused, remember_dropped
from .response_lookup import find_response, weigh_response
from .responses import Claim
from .updates import AnomalyCode

FETCHED = "picture.final"  # the type of the event that a fetched picture stands for
_LAST_RESULT = "is_last_result"  # a detail: the last draft of the item is its result
_WORDS = frozenset({State.GENERATING, State.COMPLETED, State.INCOMPLETE})
_CODES: dict[type[ImgassembleError], AnomalyCode] = {FrameEncodingError: "bad_base64", FrameDecodeError: "bad_picture"}


def weigh(reading: Reading, held: Held, rules: Rules, change: Change) -> None:
    """Put the change that the event makes in `held` into `change`. After an exception the caller undoes its steps."""
    change.number = reading.sequence_number
    if not reading.concerns_images:
        change.is_skipped = True
        change.skipped_type = None if reading.is_known else reading.event_type
    if reading.is_bare_body and any(has_more_than_beginning(record) for record in held.responses.values()):
        change.is_skipped, change.skipped_type = True, "a message without a type"
        return
    if reading.anomaly is not None:
        change.report(None, "no_picture", reading.anomaly)
    change.record = record = find_response(reading, held, rules.limits, change)
    if record is None:
        return
    if reading.parts or (held.open_texts and reading.ending is not None):
        reading = with_text_pictures(reading, record, held, rules.limits, change)
    if reading.signals:
        _weigh_items(reading, record, held, rules, change)
        change.is_skipped = not (change.facts or change.anomalies)
    has_first_items = bool(change.facts) and not record.facts.has_items
    if has_first_items or reading.begins or reading.details or reading.ending is not None:
        weigh_response(reading, record, held, change, has_items=has_first_items)


def weigh_fetched(item_id: str, data: bytes, held: Held, rules: Rules) -> Change:
    """Return the change that the picture at the URL of an item makes. It counts as the result of the item."""
    change = Change(held)
    payload = Payload(base64=Decoded(data), event_type=FETCHED, is_final=True)
    signal = Signal({}, item_id, witness=Witness.DONE, payload=payload)
    items = _ItemChanges(Reading(FETCHED), held.owners[item_id], held, rules, change)
    try:
        items.weigh(signal, item_id)
    except BaseException:
        change.journal.undo()
        raise
    return change


def weigh_open_texts(held: Held, rules: Rules, change: Change) -> None:
    """Add to `change` the pictures that are complete because the stream has ended."""
    for record, reading in list(end_texts(held, rules.limits, change)):
        _weigh_items(reading, record, held, rules, change)
        weigh_response(reading, record, held, change, has_items=any(name in change.facts for name in record.items))


def _weigh_items(reading: Reading, record: ResponseRecord, held: Held, rules: Rules, change: Change) -> None:
    items = _ItemChanges(reading, record, held, rules, change)
    named = []
    for at, signal in enumerate(reading.signals):
        if (item_id := items.name_of(signal, at)) is not None:
            named.append((signal, item_id))
    for signal, item_id in named:
        items.weigh(signal, item_id)


def weigh_last_drafts(held: Held, change: Change) -> None:
    """Add to `change` the results that are known because the stream has ended: the last drafts of some services."""
    for item_id, facts in held.facts.items():
        last = facts.detail(_LAST_RESULT)
        if not last or facts.claims or held.response_of(item_id).has_failed:
            continue
        if facts.partials:
            picture = replace(facts.partials[-1], index=None, is_final=True)
            change.facts[item_id] = facts.with_claim(Witness.OWN, Claim(picture=picture))
        elif isinstance(last, Withheld):
            change.facts[item_id] = facts.with_claim(Witness.OWN, Claim(withheld=last))


class _ItemChanges(ItemNames):
    """Applies the signals of one event to its items."""

    __slots__ = ()

    def weigh(self, signal: Signal, item_id: str) -> None:
        """Put the facts of the item, changed by the signal, into the change."""
        before = self._change.facts.get(item_id) or self._held.facts.get(item_id) or Facts()
        number, details = self._reading.sequence_number, signal.details
        if signal.is_unnamed and "usage" in details and self._is_usage_of_another(details["usage"], item_id):
            details = {name: value for name, value in details.items() if name != "usage"}
        facts = before.with_details(details, number) if details else before
        if signal.word in _WORDS:
            facts = facts.with_word(signal.word)
        if signal.witness and signal.payload is None and "url" in details:
            self._change.links += ((item_id, details["url"]),)
        if signal.witness and signal.word is State.FAILED:
            failed = facts.with_claim(signal.witness, Claim(error=signal.error, sequence_number=number))
            facts = self._within_limits(item_id, facts, failed)  # a picture that the claim replaces counts no longer
            remember_dropped(before, facts, None, self._held, self._change)
        elif (payload := signal.payload) is not None:
            if isinstance(payload.base64, Withheld):
                facts = self._with_withheld(signal, payload, payload.base64, item_id, facts)
            else:
                facts = self._with_picture(signal, payload, item_id, facts)
        self._change.facts[item_id] = facts

    def _is_usage_of_another(self, usage: Any, item_id: str) -> bool:
        """Return whether an earlier image has this usage.

        A service repeats the usage of the whole request with each image.
        """
        record = self._record
        if record.usage is None or record.usage[1] != usage:
            self._change.journal.set(record, "usage", (item_id, usage))
        return record.usage is not None and record.usage[0] != item_id

    def _with_withheld(self, signal: Signal, payload: Payload, withheld: Withheld, item_id: str, facts: Facts) -> Facts:
        """Return `facts` with a picture that was left out of the event: it counts for the state, and is no frame."""
        if self._held.marks:
            self._change.journal.put(self._held.dropped, hash_of_refused(payload), None)
        if not signal.witness:
            if _LAST_RESULT in signal.details:
                facts = facts.with_details({_LAST_RESULT: withheld}, self._reading.sequence_number)
            return facts.with_word(State.PARTIAL_IMAGE)
        claim = Claim(withheld=withheld, sequence_number=self._reading.sequence_number)
        return self._within_limits(item_id, facts, facts.with_claim(signal.witness, claim))

    def _with_picture(self, signal: Signal, payload: Payload, item_id: str, facts: Facts) -> Facts:
        """Return `facts` with the picture of the signal, or unchanged if the picture cannot be used."""
        held, change = self._held, self._change
        is_counted = not payload.is_final and payload.index is None
        if is_counted:
            payload = replace(payload, index=_next_index(facts))
            if not signal.is_unnumbered:
                self._report("bad_index", "has no usable partial_image_index; it counts as the next", payload, item_id)
        try:
            frame = read_frame(payload, item_id, self._rules.limits, facts.pictures())
        except (FrameError, LimitError) as error:
            if held.marks:
                change.journal.put(held.dropped, hash_of_refused(payload), None)
            change.report(item_id, _CODES.get(type(error), "over_limit"), error)
            is_empty = isinstance(error, FrameEncodingError) and not payload.base64
            return facts if is_empty else facts.with_details({"refused": True}, self._reading.sequence_number)
        if signal.is_unnumbered and is_counted and any(map(frame.has_same_image, facts.partials)):
            return facts
        place = _place(frame, facts)
        is_news = frame not in place
        if is_news:
            for claim in disagreements(frame, payload):
                self._report("false_claim", f"{claim}; the bytes decide", payload, item_id)
        if any(frame.data is not other.data for other in place):  # read_frame shares equal bytes
            doubt = "differs from the earlier picture in the same place; the later one is used"
            self._report("conflicting_picture", doubt, payload, item_id)
        if signal.witness:
            equal = [*(other for other in place if other == frame), frame]
            # The frame that was reported first; frames that an earlier run has stored may have no number.
            first = next((each for each in equal if each.sequence_number is not None), equal[0])
            claim_now = Claim(picture=first, sequence_number=payload.sequence_number)
            after = self._within_limits(item_id, facts, facts.with_claim(signal.witness, claim_now))
        else:
            after = self._within_limits(item_id, facts, facts.with_partial(frame))
            if is_news and after.partial(frame.index) is frame:  # a frame that is not kept is not reported
                change.added.setdefault(item_id, []).append(frame)
        remember_dropped(facts, after, frame, held, change)
        return after

    def _report(self, code: AnomalyCode, doubt: str, payload: Payload, item_id: str) -> None:
        sentence = f"{describe_payload(payload, item_id)} {doubt}"
        self._change.report(item_id, code, FrameError(sentence, item_id=item_id, index=payload.index))

    def _within_limits(self, item_id: str, before: Facts, after: Facts) -> Facts:
        """Return `after` within the limits: the highest partials stay, and a result replaces the lowest partials."""
        limits = self._rules.limits
        if len(after.partials) > (most := limits.max_frames_per_item):
            many = f"more partials than Limits.max_frames_per_item allows ({most:,})"
            sentence = f"item {quoted(item_id)} has {many}; the highest stay"
            error = LimitError(sentence, limit="max_frames_per_item", actual=len(after.partials), item_id=item_id)
            self._change.report(item_id, "over_limit", error)
        after = after.with_highest(1 if self._rules.keep == "latest" else most)
        room = limits.max_total_bytes - self._change.total_bytes + before.n_bytes
        if after.n_bytes > room:
            self._report_total(item_id, limits.max_total_bytes - room + after.n_bytes)
            while after.claims is not before.claims and after.partials and after.n_bytes > room:
                after = after.without_lowest()
            after = after if after.n_bytes <= room else before
        self._change.total_bytes += after.n_bytes - before.n_bytes
        return after

    def _report_total(self, item_id: str, total: int) -> None:
        sentence = (
            f"the pictures would come to {total:,} bytes, and Limits.max_total_bytes allows "
            f"{self._rules.limits.max_total_bytes:,}; not all of item {quoted(item_id)} is kept"
        )
        error = LimitError(sentence, limit="max_total_bytes", actual=total, item_id=item_id)
        self._change.report(item_id, "over_limit", error)


def _place(frame: Frame, facts: Facts) -> list[Frame]:
    """Return the frames that are held in the place of `frame`: the partial of its index, or the results."""
    if frame.is_final:
        return [claim.picture for claim in facts.claims.values() if claim.picture]
    held = facts.partial(frame.index)
    return [held] if held else []


def _next_index(facts: Facts) -> int:
    return min(floor(facts.partials[-1].index or 0) + 1, GREATEST_NUMBER) if facts.partials else 0
