"""Finds the item that a signal belongs to.

An item has the id that the service gives it. Without an id it is the item at its place in the response, else a new
item `output-N`. The Images API and chats give neither: their items are `image-0`, `image-1`, … in the order of arrival.
Some relays send events of the Images API inside a response whose items have ids: they concern its unfinished item.
An id that another response already used gives a new item, `ID@RESPONSE`.

Must not know: what the pictures show, limits, listeners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import EventError, LimitError, clean, quoted
from ..frames.base64_json import Withheld
from ..frames.frame import Frame
from ..wire.dialects import Naming, Reading, Signal
from .changes import Change
from .held import Held, ResponseRecord, Track
from .lifecycle import Facts, judge
from .options import Rules
from .repeats import frame_in, picture_of, remember, repeat_key, repeated_item

_MANY_CHANGES = 2  # of the id at one place: the third id
_REPORTED = -float("inf")
_MAX_PLACES = 20_000  # that are remembered of one response: more than a snapshot can name


def _is_repeat(frame: Frame, other: Frame) -> bool:
    return (other.is_final or not frame.is_final) and frame.has_same_image(other)


class ItemNames:
    """The names of the items of one event. New names are put into `held` through the undo log of the change."""

    __slots__ = ("_change", "_counts_on", "_held", "_named", "_reading", "_record", "_rules")

    def __init__(self, reading: Reading, record: ResponseRecord, held: Held, rules: Rules, change: Change) -> None:
        self._reading, self._record, self._held, self._rules, self._change = reading, record, held, rules, change
        self._counts_on = False  # the images of this whole answer have numbers that those of an earlier answer have
        self._named: list[tuple[int | None, Frame]] = []  # pictures of this event whose items were counted, by track

    def name_of(self, signal: Signal, position: int) -> str | None:
        """Return the name of the item; None if the signal is a repeat, concerns a discarded item, or names none.

        position: that of the signal in its event.
        """
        place, has_ids = signal.details.get("output_index"), self._held.items_have_ids
        if has_ids and signal.item_id is not None:
            name = self._by_id(signal.item_id, place, signal)
        elif not has_ids and place is not None:
            name = self._by_id(f"output-{place}", None, signal)
        elif signal.is_unnamed:
            name = self._item_beside(signal)
            if name is None:
                return self._by_arrival(signal, position)
        elif has_ids and place is not None:
            name = self._by_place(signal, place)
        else:
            payload = picture_of(signal)
            name = self._item_beside(signal) if payload is not None and payload.is_final else None
            if name is None:
                self._report_missing_id(signal)
                return None
        is_repeat = name is not None and signal.payload is not None and self._is_repeat_of(name, signal, position)
        return None if is_repeat else name

    # Items with an id

    def _by_id(self, item_id: str, place: float | None, signal: Signal) -> str | None:
        held, record = self._held, self._record
        name = record.names.get(item_id)
        if name is None:
            if signal.naming is Naming.KNOWN or (record.number, item_id) in held.discarded:
                return None
            name = self._of_place_without_id(item_id, place) or self._of_parallel_response(item_id, signal)
            name = name or self._image_without_id(item_id)
            if name is None:
                self._look_for_changing_ids(item_id, place, is_announced=signal.naming is Naming.ANNOUNCED)
                name = self._new_name(item_id)
            if name is None:
                return None
        if place is not None and record.places.get(place) != name:
            self._set_place(place, name)
        if record.assumed and self._reading.response_id is not None:
            self._change.journal.discard(record.assumed, name)
        return name

    def _set_place(self, place: float, name: str) -> None:
        """Note that the item came last at this place. An image has one place, but a hostile stream can move it."""
        places = self._record.places
        if place in places or len(places) < _MAX_PLACES:
            self._change.journal.put(places, place, name)

    def _of_place_without_id(self, item_id: str, place: float | None) -> str | None:
        """Return the item at this place if no event gave its id before. It now gets the id, and keeps its name."""
        record, journal = self._record, self._change.journal
        if place is None or place not in record.places_without_id:
            return None
        name = record.places[place]
        journal.put(record.names, item_id, name)
        journal.put(record.items, name, item_id)
        journal.discard(record.places_without_id, place)
        return name

    def _image_without_id(self, item_id: str) -> str | None:
        """Return the unfinished item that was counted although its response gives ids. It now gets its id."""
        record, journal = self._record, self._change.journal
        name = record.image_without_id
        facts = self._facts_of(name) if name is not None else None
        if name is None or facts is None or facts.claims:
            return None
        journal.put(record.names, item_id, name)
        journal.put(record.items, name, item_id)
        journal.set(record, "image_without_id", None)
        journal.set(record, "images_done", record.images_done + 1)
        return name

    def _of_parallel_response(self, item_id: str, signal: Signal) -> str | None:
        """Return the item of this id that was given to the wrong response; None if there is none.

        An event without a response id goes to the current response, which may be another one of several that run side
        by side in one lane, or one that has ended if the beginning of the next one is missing. A later event with the
        response id corrects this.
        """
        held, record, journal = self._held, self._record, self._change.journal
        other = held.owners.get(item_id)
        if other is None or other is record or self._reading.response_id is None or item_id not in other.assumed:
            return None
        ran_side_by_side = other.facts.is_open or record.number < other.number
        is_beginning_missing = other.assumed[item_id] and not record.facts.has_begun
        if not (ran_side_by_side or is_beginning_missing) or other.facts.lane != record.facts.lane:
            return None
        if not self._keeps_end(item_id, other, signal):
            return None
        for wire_id in [wire_id for wire_id, name in other.names.items() if name == item_id]:
            journal.discard(other.names, wire_id)
        for place in [place for place, name in other.places.items() if name == item_id]:
            journal.discard(other.places, place)
        journal.discard(other.items, item_id)
        journal.discard(other.assumed, item_id)
        if not other.items:
            journal.set(other, "facts", other.facts._replace(has_items=False))
            journal.put(held.empty_responses, other.number, None)
        self._assign(item_id, item_id)
        self._change.judged_again.append(record)
        return item_id

    def _keeps_end(self, item_id: str, other: ResponseRecord, signal: Signal) -> bool:
        """Return whether an item that has ended in the `other` response has an end in this one too."""
        facts = self._facts_of(item_id)
        if facts is None or not judge(facts, other.facts).state.is_end or judge(facts, self._record.facts).state.is_end:
            return True
        limits, payload = self._rules.limits, picture_of(signal)
        frame = frame_in(payload, limits) if payload is not None and payload.is_final else None
        return frame is not None and self._change.total_bytes + len(frame.data) <= limits.max_total_bytes

    def _look_for_changing_ids(self, item_id: str, place: float | None, *, is_announced: bool) -> None:
        """Report a third id at a place before the item there is whole, once for each place.

        An announced item may have a new id.
        """
        record, journal = self._record, self._change.journal
        if place is None or (before := record.places.get(place)) is None:
            return
        facts = self._facts_of(before)
        changes = 0 if facts is None or facts.claims else record.id_changes.get(place, 0) + 1
        journal.put(record.id_changes, place, changes)
        if changes >= _MANY_CHANGES and not is_announced:
            journal.put(record.id_changes, place, _REPORTED)
            sentence = (
                f"a third id, {quoted(item_id)}, came at output_index {place} before the item there was whole: the "
                'service seems to change the ids; use Assembler(key_by="output_index"), or --key-by output_index'
            )
            self._change.report(None, "changing_ids", EventError(sentence, event_type=self._reading.event_type))

    # Items without an id

    def _item_beside(self, signal: Signal) -> str | None:
        """Return the item that a signal without an id concerns, in a response that gives ids or places to its items.

        It is the item that has the same picture, else the one without a result at its place, or in the response.
        """
        places, facts = self._record.places, self._record.facts
        if not (places and facts.is_open and (facts.has_begun or facts.id is not None)):
            return None
        if signal.is_unnumbered or signal.number is not None or signal.track is not None:
            return None
        if name := self._item_with_result_of(signal) or self._item_with_partial_of(signal):
            return name
        known = {name: self._facts_of(name) for name in places.values()}
        unfinished = {name for name, held in known.items() if held is not None and not held.claims}
        at_place = places.get(signal.details.get("output_index", _REPORTED))
        if at_place in unfinished:
            return at_place
        return unfinished.pop() if len(unfinished) == 1 else None

    def _by_place(self, signal: Signal, place: Any) -> str | None:
        record, held = self._record, self._held
        name = record.places.get(place)
        facts = held.facts.get(name) if name is not None else None
        if name is None or (facts and facts.claims):
            name = self._item_with_result_of(signal) or name
        if name is not None:
            return name
        if (record.number, f"output-{place}") in held.discarded:
            return None
        name = self._new_name(f"output-{place}")
        if name is None:
            return None
        self._change.journal.put(record.places, place, name)
        self._change.journal.put(record.places_without_id, place, None)
        return name

    def _item_with_result_of(self, signal: Signal) -> str | None:
        """Return the item of this response that already has the same result.

        It can be at another place: a snapshot may leave members out.
        """
        payload = picture_of(signal)
        if payload is None or not payload.is_final:
            return None
        if isinstance(payload.base64, Withheld):
            return self._item_with_withheld(payload.base64, self._record.items)
        frame = frame_in(payload, self._rules.limits)
        if frame is None:
            return None
        data = frame.data
        return self._item_with(lambda other: data == other.data, self._record.items)

    def _item_with_partial_of(self, signal: Signal) -> str | None:
        """Return the item of this response that already has the same partial."""
        payload = picture_of(signal)
        frame = None if payload is None or payload.is_final else frame_in(payload, self._rules.limits)
        return None if frame is None else self._item_with(lambda other: frame.data == other.data, self._record.items)

    def _item_with_withheld(self, withheld: Withheld, names: Iterable[str]) -> str | None:
        """Return the item among `names` whose result was left out under the same reference."""
        for name in names:
            facts = self._facts_of(name)
            if facts is not None and any(claim.withheld == withheld for claim in facts.claims.values()):
                return name
        return None

    def _item_with(self, is_equal: Callable[[Frame], bool], names: Iterable[str]) -> str | None:
        for name in names:
            facts = self._facts_of(name)
            if facts is not None and any(is_equal(frame) for frame in facts.pictures()):
                return name
        return None

    def _facts_of(self, name: str) -> Facts | None:
        return self._change.facts.get(name) or self._held.facts.get(name)

    def _report_missing_id(self, signal: Signal) -> None:
        key_by, kind = self._rules.key_by, self._reading.event_type
        other = "output_index" if key_by == "item_id" else "item_id"
        sentence = (
            f"{clean(kind)} has no {key_by}, and so names no item; it is skipped. If a service never sends it, use "
            f'Assembler(key_by="{other}")'
        )
        has_picture = bool(signal.payload and signal.payload.base64)
        error = EventError(sentence, event_type=kind, has_picture=has_picture)
        self._change.report(None, "missing_item_id", error)

    # Items that are counted in the order of arrival

    def _by_arrival(self, signal: Signal, position: int) -> str | None:
        held, record, journal = self._held, self._record, self._change.journal
        if signal.is_unnumbered and signal.number is not None:
            self._counts_on = self._counts_on or self._is_other_image(signal, signal.number)
            signal = signal._replace(number=None) if self._counts_on else signal
        if signal.is_unnumbered and signal.number is None and self._has_image_of(signal):
            return None
        mark = repeat_key(self._reading, signal, position, record)
        if mark and repeated_item(mark, signal, held, self._rules.limits) is not None:
            return None
        number = self._number_of(signal)
        if number is None:
            return None
        base = f"image-{number}"
        name = record.names.get(base)
        if name is None and signal.naming is Naming.KNOWN:
            return None
        if signal.witness is not None and number >= record.images_done:  # only the end of an image begins the next one
            journal.set(record, "images_done", number + 1)
        if name is None:
            if (record.number, base) in held.discarded:
                return None
            name = self._new_name(base)
            if record.facts.has_begun and not signal.is_unnumbered:
                journal.set(record, "image_without_id", name)
        if signal.track is not None and name is not None:
            journal.put(record.tracks, signal.track, Track(number, has_ended=signal.witness is not None))
        if mark and name is not None:
            remember(mark, name, signal, held, self._change)
        return name

    def _number_of(self, signal: Signal) -> int | None:
        """Return the number of the image of a signal; None if it concerns an image of a track that has none."""
        record, track = self._record, signal.track
        if track is None:
            return record.images_done if signal.number is None else signal.number
        newest = record.tracks.get(track)
        if signal.naming is Naming.KNOWN:
            return newest and newest.number
        if newest is None or (newest.has_ended and not self._is_result_of(newest.number, signal)):
            return self._free_number(track)
        return newest.number

    def _is_other_image(self, signal: Signal, number: int) -> bool:
        """Return whether the signal is a result, and the image of this number has another one.

        The numbers of a whole answer begin at 0 although an earlier answer may have such images.
        """
        facts = self._facts_of(self._record.names.get(f"image-{number}", ""))
        if facts is None or signal.witness is None:
            return False
        payload, url = picture_of(signal), facts.detail("url")
        if payload is None:
            return url is not None and signal.details.get("url") not in (None, url)
        results = [claim.picture for claim in facts.claims.values() if claim.picture]
        frame = frame_in(payload, self._rules.limits) if results else None
        return frame is not None and not any(map(frame.has_same_image, results))

    def _is_result_of(self, number: int, signal: Signal) -> bool:
        """Return whether the signal has the picture of a result of which only the URL came before."""
        payload = picture_of(signal)
        facts = self._facts_of(self._record.names.get(f"image-{number}", ""))
        return payload is not None and payload.is_final and facts is not None and not facts.claims

    def _free_number(self, wanted: int) -> int:
        """Return `wanted`, or the next number that no image has."""
        record = self._record
        numbers = [each.number for each in record.tracks.values()]
        if wanted not in numbers and f"image-{wanted}" not in record.names:
            return wanted
        return max((record.images_done, *(each + 1 for each in numbers)))

    def _has_image_of(self, signal: Signal) -> bool:
        """Return whether the response already has the image of the signal, or its URL.

        A result that equals a draft is still a result.
        """
        payload, names = picture_of(signal), self._names_beside(signal)
        if payload is None:
            url = signal.details.get("url")
            known = (self._facts_of(name) for name in names)
            return url is not None and any(facts.detail("url") == url for facts in known if facts)
        if isinstance(payload.base64, Withheld):
            return self._item_with_withheld(payload.base64, names) is not None
        frame = frame_in(payload, self._rules.limits)
        if frame is None:
            return False
        if any(track == signal.track and _is_repeat(frame, other) for track, other in self._named):
            return True
        self._named.append((signal.track, frame))
        return self._item_with(lambda other: _is_repeat(frame, other), names) is not None

    def _names_beside(self, signal: Signal) -> Iterable[str]:
        """Return the names of the items that can already have the image of the signal."""
        record = self._record
        if signal.track is None:
            return record.items
        # Images that are made side by side can look the same, such as first drafts.
        others = {f"image-{each.number}" for track, each in record.tracks.items() if track != signal.track}
        return [name for item_id, name in record.names.items() if item_id not in others]

    def _is_repeat_of(self, name: str, signal: Signal, position: int) -> bool:
        """Return whether a partial without an index came before."""
        payload = signal.payload
        if payload is None or payload.is_final or payload.index is not None:
            return False
        mark = repeat_key(self._reading, signal, position, self._record, name)
        if mark is None:
            return False
        if repeated_item(mark, signal, self._held, self._rules.limits) is not None:
            return True
        remember(mark, name, signal, self._held, self._change)
        return False

    # New names

    def _new_name(self, item_id: str) -> str | None:
        """Return a name for a new item of this response: its id, or ID@RESPONSE if another response has used the id.

        Returns None if there are too many items.
        """
        held, most = self._held, self._rules.limits.max_items
        if len(held.owners) >= most:
            sentence = f"item {quoted(item_id)} is one more than Limits.max_items allows ({most:,}); it is not kept"
            error = LimitError(sentence, limit="max_items", actual=most + 1, item_id=item_id)
            self._change.report(None, "over_limit", error)
            return None
        name, again = item_id, 0
        while held.is_used(name):
            name = f"{item_id}@{self._response_name()}" + (f"-{self._record.number + again - 1}" if again else "")
            again += 1
        self._assign(item_id, name)
        return name

    def _response_name(self) -> str:
        facts = self._record.facts
        return next((each for each in (facts.id, facts.lane) if each is not None), str(self._record.number))

    def _assign(self, item_id: str, name: str) -> None:
        record, journal = self._record, self._change.journal
        journal.put(record.names, item_id, name)
        journal.put(record.items, name, item_id)
        journal.put(self._held.owners, name, record)
        journal.discard(self._held.empty_responses, record.number)
        if self._reading.response_id is None:
            journal.put(record.assumed, name, record.is_over_before(self._reading.sequence_number))
