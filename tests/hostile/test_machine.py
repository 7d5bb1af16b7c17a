"""An assembler beside a small model of the laws, step by step: for all events in any order, the two agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import samples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from imgassemble import (
    Anomaly,
    Assembler,
    FinalReady,
    FinalWithdrawn,
    Frame,
    FrameAdded,
    ItemEnded,
    Limits,
    Outcome,
    State,
    StateChanged,
    StreamEnded,
    Update,
    UsageError,
)

IDS = ("ig_1", "ig_2", "../ig_3")
INDICES = (0, 1, 2, 2.5)
PICTURES = tuple(samples.png(colour=(at, 9, 9)) for at in range(3))
CONTENTS: tuple[bytes | str | None, ...] = (*PICTURES, *PICTURES, None, "", samples.b64(samples.png()[:-4]))
STATUSES = ("completed", "completed", "failed", "incomplete", "generating", None)
SNAPSHOT, DONE, OWN = 3, 2, 1

items = st.sampled_from(IDS)
contents = st.sampled_from(CONTENTS)
statuses = st.sampled_from(STATUSES)
members = st.fixed_dictionaries({}, optional={each: st.tuples(contents, statuses) for each in IDS})
ENDS = (State.COMPLETED, State.FAILED, State.INCOMPLETE)
CLIMB = {State.IN_PROGRESS: 0, State.GENERATING: 1, State.PARTIAL_IMAGE: 2, **dict.fromkeys(ENDS, 3)}


@dataclass
class Known:
    """The facts that the model stores for one item."""

    partials: dict[float, tuple[int, bytes]] = field(default_factory=dict)
    claims: dict[int, tuple[int, bytes | None]] = field(default_factory=dict)  # by witness; None: failed
    words: set[str] = field(default_factory=set)
    state: State | None = None  # as it was last, for the climb
    told_state: State | None = None
    told_final: Frame | None = None
    told_end: State | None = None


class Lifecycle(RuleBasedStateMachine):
    """Feeds an assembler, and computes the expected state by its own table."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {}
        self.gone: set[str] = set()
        self.fed: list[samples.Wire] = []
        self.endings: set[str] = set()
        self.is_closed = False
        self.number = 0
        self.before: dict[str, tuple[bool, float] | None] = {}

    @initialize(keep=st.sampled_from(("all", "latest")))
    def begin(self, keep: Any) -> None:
        self.keep = keep
        self.limits = Limits(max_items=len(IDS))
        self.assembler = Assembler(keep=keep, limits=self.limits)
        self.heard: list[Update] = []
        self.assembler.subscribe(self.heard.append)

    # Events

    @precondition(lambda self: not self.is_closed)
    @rule(item_id=items, index=st.sampled_from(INDICES), content=contents)
    def partial(self, item_id: str, index: float, content: bytes | str | None) -> None:
        self._feed(samples.partial(item_id, index, content if content is not None else "", seq=self._next()))

    @precondition(lambda self: not self.is_closed)
    @rule(item_id=items, word=st.sampled_from(("in_progress", "generating", "completed")))
    def word(self, item_id: str, word: str) -> None:
        self._feed(samples.call(word, item_id, seq=self._next()))

    @precondition(lambda self: not self.is_closed)
    @rule(item_id=items, content=contents, status=statuses)
    def done(self, item_id: str, content: bytes | str | None, status: str | None) -> None:
        self._feed(samples.done(item_id, content, status=status, seq=self._next()))

    @precondition(lambda self: not self.is_closed)
    @rule(kind=st.sampled_from(("completed", "completed", "incomplete", "failed")), said=members)
    def snapshot(self, kind: str, said: dict[str, tuple[bytes | str | None, str | None]]) -> None:
        output = [samples.member(item_id, content, status=status) for item_id, (content, status) in said.items()]
        self._feed(samples.snapshot(kind, output, seq=self._next()))

    @precondition(lambda self: not self.is_closed)
    @rule()
    def error(self) -> None:
        self._feed(samples.error(seq=self._next()))

    @precondition(lambda self: self.fed and not self.is_closed)
    @rule(data=st.data())
    def repetition(self, data: st.DataObject) -> None:
        self._feed(data.draw(st.sampled_from(self.fed)))

    @precondition(lambda self: not self.is_closed)
    @rule(
        noise=st.sampled_from(
            (b"\xff{", "[1]", None, 7, {}, {"type": "keepalive"}, samples.partial(None, 0, output_index=None))
        )
    )
    def noise(self, noise: Any) -> None:
        before = dict(self.assembler.items)
        updates = self.assembler.feed(noise)
        assert all(isinstance(update, Anomaly) for update in updates)
        assert dict(self.assembler.items) == before

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        item_id = data.draw(st.sampled_from(sorted(self.known)))
        item = self.assembler[item_id]
        assert self.assembler.discard(item_id) == item
        assert item_id not in self.assembler
        del self.known[item_id]
        self.before.pop(item_id, None)
        self.gone.add(item_id)

    @rule()
    def close(self) -> None:
        updates = self.assembler.close()
        assert (updates == ()) is self.is_closed
        if not self.is_closed:
            self.is_closed = True
            assert isinstance(updates[-1], StreamEnded)
            self._take(updates[:-1])
        try:
            self.assembler.feed({})
        except UsageError:
            pass
        else:
            raise AssertionError("a closed assembler took an event")

    def _next(self) -> int:
        """A number that is sometimes lower than one before, as in a stream that came in the wrong order."""
        self.number += 1
        return self.number * 7 % 23

    def _feed(self, event: samples.Wire) -> None:
        self.fed.append(event)
        self._learn(event)
        self._take(self.assembler.feed(event))

    # The model

    def _learn(self, event: samples.Wire) -> None:
        kind, number = event["type"], event["sequence_number"]
        if kind == "error":
            self.endings.add("failed")
        elif "response" in event:
            self.endings.add(kind.removeprefix("response."))
            for member in event["response"]["output"]:
                self._claim(SNAPSHOT, member, number)
        elif "item" in event:
            self._claim(DONE, event["item"], number)
        elif event["item_id"] not in self.gone:
            known = self._item(event["item_id"])
            if kind.endswith("partial_image"):
                self._partial(known, event, number)
            else:
                known.words.add(kind.rpartition(".")[2])

    def _item(self, item_id: str) -> Known:
        return self.known.setdefault(item_id, Known())

    def _partial(self, known: Known, event: samples.Wire, number: int) -> None:
        data = _bytes_of(event["partial_image_b64"])
        index = event["partial_image_index"]
        held = known.partials.get(index)
        if data is None or (held and number < held[0]):
            return
        known.partials[index] = number, data
        if self.keep == "latest":
            known.partials = {max(known.partials): known.partials[max(known.partials)]}

    def _claim(self, witness: int, member: samples.Wire, number: int) -> None:
        if member["id"] in self.gone:
            return
        known = self._item(member["id"])
        status, data = member.get("status"), _bytes_of(member["result"])
        if status != "failed":
            known.words.add(status or "")
        held = known.claims.get(witness)
        if (status == "failed" or data) and not (held and number < held[0]):
            known.claims[witness] = number, None if status == "failed" else data

    def _verdict(self, known: Known) -> tuple[State, bytes | None, bool]:
        """Return the state, the bytes of the final and whether it is provisional, by the evidence table."""
        for witness in (SNAPSHOT, DONE, OWN):
            if witness in known.claims:
                data = known.claims[witness][1]
                return (State.COMPLETED if data else State.FAILED), data, False
        if "failed" in self.endings:
            return State.FAILED, None, False
        if "incomplete" in known.words or (self.is_closed and not known.partials):
            return State.INCOMPLETE, None, False
        if "completed" in known.words:
            stand_in = known.partials[max(known.partials)][1] if known.partials else None
            return State.COMPLETED, stand_in, stand_in is not None
        if self.is_closed or "incomplete" in self.endings:
            return State.INCOMPLETE, None, False
        if known.partials:
            return State.PARTIAL_IMAGE, None, False
        return (State.GENERATING if "generating" in known.words else State.IN_PROGRESS), None, False

    def _take(self, updates: tuple[Update, ...]) -> None:
        """Receive the updates, as a listener does that has no other source."""
        for update in updates:
            if isinstance(update, (Anomaly, StreamEnded)):
                continue
            known = self.known[update.item_id]
            if isinstance(update, StateChanged):
                assert update.previous == known.told_state
                known.told_state = update.state
            elif isinstance(update, FinalReady):
                known.told_final = update.frame
            elif isinstance(update, FinalWithdrawn):
                assert update.frame == known.told_final
                known.told_final = None
            elif isinstance(update, ItemEnded):
                assert update.state is not State.COMPLETED or known.told_final
                known.told_end = update.state
            elif isinstance(update, FrameAdded) and update.is_latest:
                assert update.frame == self.assembler[update.item_id].latest

    # Laws

    @invariant()
    def items_are_what_the_table_says(self) -> None:
        assert set(self.assembler.items) == set(self.known)
        for item_id, known in self.known.items():
            item = self.assembler[item_id]
            state, data, is_provisional = self._verdict(known)
            assert (item.state, item.final and item.final.data, item.is_provisional) == (state, data, is_provisional)
            assert {frame.index: frame.data for frame in item.partials} == {
                index: data for index, (_, data) in known.partials.items()
            }
            assert [frame.index for frame in item.partials] == sorted(known.partials)

    @invariant()
    def states_climb(self) -> None:
        for item_id, known in self.known.items():
            state = self.assembler[item_id].state
            assert known.state is None or CLIMB[state] >= CLIMB[known.state]
            known.state = state

    @invariant()
    def the_latest_never_goes_back_unless_a_final_is_withdrawn(self) -> None:
        for item_id in self.known:
            item, before = self.assembler[item_id], self.before.get(item_id)
            now = _rank(item.latest)
            if before and now and not (before[0] and not item.final):
                assert now >= before
            assert now or not before or (before[0] and not item.final)
            self.before[item_id] = now

    @invariant()
    def what_was_told_is_what_is_so(self) -> None:
        is_over = self.is_closed or bool(self.endings - {"failed"}) or self._response_failed()
        for item_id, known in self.known.items():
            item = self.assembler[item_id]
            assert known.told_state == item.state
            is_told = item.final is not None and (is_over or not item.is_provisional)
            assert known.told_final == (item.final if is_told else None)
            assert known.told_end is None or known.told_end in ENDS
            if self.is_closed:
                assert item.state in ENDS

    def _response_failed(self) -> bool:
        return any(event["type"] == "response.failed" for event in self.fed)

    @invariant()
    def no_more_is_kept_than_is_allowed_and_equal_bytes_once(self) -> None:
        for item in self.assembler.items.values():
            frames = [*item.partials, *([item.final] if item.final else [])]
            assert len({id(frame.data) for frame in frames}) == len({frame.data for frame in frames})
            assert len(item.partials) <= (1 if self.keep == "latest" else len(INDICES))
        assert len(self.assembler.items) <= self.limits.max_items

    @invariant()
    def the_outcome_is_told_once_it_is_closed(self) -> None:
        assert (self.assembler.outcome is not None) is self.is_closed
        assert sum(isinstance(update, StreamEnded) for update in self.heard) == self.is_closed
        if self.is_closed and "failed" in self.endings:
            assert self.assembler.outcome is Outcome.FAILED


def _bytes_of(text: str | None) -> bytes | None:
    """Return the picture in a message; None if it cannot be used."""
    return next((picture for picture in PICTURES if samples.b64(picture) == text), None)


def _rank(frame: Frame | None) -> tuple[bool, float] | None:
    return (frame.is_final, -1 if frame.index is None else frame.index) if frame else None


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
