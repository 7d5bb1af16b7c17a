"""Where an item stands: facts that are kept, and one table that reads state and final off them.

Knows: what was heard of one item and of its response, and how strong each piece of evidence is. Must not know: events,
wire types, listeners, time. Facts only grow or are replaced by a later word of the same kind, and the table looks at
nothing else; so the order of arrival cannot matter.

The laws (each one is a property in tests/test_laws.py):
1. Keyed by item id: what is heard of one item changes no other.
2. States only climb: in_progress, generating, partial_image, then an end; an end gives way to stronger evidence only.
3. Convergence: the same events in any order and repetition give the same items.
4. Partials are ordered by index, and the latest never goes back, unless a final is withdrawn.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

from .errors import ImgassembleError, IncompleteStreamError, ProviderError, quoted
from .frames import Frame


class State(StrEnum):
    """Where an item stands, in the wire's words."""

    IN_PROGRESS = "in_progress"
    GENERATING = "generating"
    PARTIAL_IMAGE = "partial_image"
    COMPLETED = "completed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"

    @property
    def is_end(self) -> bool:
        """Whether an item in this state has ended."""
        return self in _ENDS


_ENDS = frozenset({State.COMPLETED, State.FAILED, State.INCOMPLETE})


class Witness(IntEnum):
    """Who can say what became of an item; a higher one is believed before a lower one."""

    OWN = 1  # the item's own `completed` event
    DONE = 2  # response.output_item.done
    SNAPSHOT = (
        3  # the response as a whole: response.completed, .failed, .incomplete, or an answer that was not streamed
    )


class Ending(Enum):
    """What a message says of the response as a whole."""

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    ERROR = "error"  # an `error` event: it fails the response too, and response.failed may follow with better words


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Something that was said, and the sequence number of the message that said it."""

    value: Any
    sequence_number: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A witness's word on how an item ended: with a picture, or in failure where `picture` is None."""

    picture: Frame | None = None
    error: ProviderError | None = None
    sequence_number: float | None = None


def is_newer(number: float | None, held: float | None) -> bool:
    """Whether a message numbered `number`, arriving now, outweighs an equal one numbered `held`."""
    return number is None or held is None or number >= held


_NOTHING: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of one item."""

    partials: tuple[Frame, ...] = ()  # by index, one for each
    claims: Mapping[Witness, Claim] = field(default_factory=lambda: _NOTHING)
    words: frozenset[State] = frozenset()  # which of GENERATING, COMPLETED, INCOMPLETE were heard
    details: Mapping[str, Heard] = field(
        default_factory=lambda: _NOTHING
    )  # output_index, revised_prompt, usage, reason

    def with_word(self, word: State) -> Facts:
        return self if word in self.words else replace(self, words=self.words | {word})

    def with_claim(self, witness: Witness, claim: Claim) -> Facts:
        held = self.claims.get(witness)
        if held and not is_newer(claim.sequence_number, held.sequence_number):
            return self
        return replace(self, claims={**self.claims, witness: claim})

    def with_detail(self, name: str, heard: Heard) -> Facts:
        held = self.details.get(name)
        if held and not is_newer(heard.sequence_number, held.sequence_number):
            return self
        return replace(self, details={**self.details, name: heard})

    def with_partial(self, frame: Frame) -> Facts:
        at = bisect_left(self.partials, frame.index, key=_index)
        held = self.partial(frame.index)
        if held and not is_newer(frame.sequence_number, held.sequence_number):
            return self
        return replace(self, partials=(*self.partials[:at], frame, *self.partials[at + (held is not None) :]))

    def partial(self, index: float | None) -> Frame | None:
        at = bisect_left(self.partials, index, key=_index)
        return self.partials[at] if at < len(self.partials) and self.partials[at].index == index else None

    def detail(self, name: str) -> Any:
        heard = self.details.get(name)
        return heard.value if heard else None

    def pictures(self) -> tuple[Frame, ...]:
        """Every frame that is held: the partials by index, then the witnesses' pictures."""
        claimed = (self.claims[witness].picture for witness in sorted(self.claims))
        return (*self.partials, *(picture for picture in claimed if picture))


def _index(frame: Frame) -> Any:
    return frame.index


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFacts:
    """All that is known of the response, or of the stream where there is no response."""

    endings: frozenset[Ending] = frozenset()
    has_ended: bool = False
    errors: Mapping[Ending, Heard] = field(default_factory=lambda: _NOTHING)
    reason: Heard | None = None

    @property
    def failed(self) -> bool:
        return bool(self.endings & {Ending.FAILED, Ending.ERROR})

    @property
    def is_over(self) -> bool:
        """Whether nothing better can come: the response has said how it ended, or the stream has ended."""
        return self.has_ended or bool(self.endings - {Ending.ERROR})

    @property
    def error(self) -> ProviderError | None:
        """What the service said; response.failed's own words before those of an `error`."""
        heard = self.errors.get(Ending.FAILED) or self.errors.get(Ending.ERROR)
        return heard.value if heard else None

    def with_ending(self, ending: Ending) -> StreamFacts:
        return self if ending in self.endings else replace(self, endings=self.endings | {ending})

    def ended(self) -> StreamFacts:
        return replace(self, has_ended=True)

    def with_error(self, ending: Ending, heard: Heard) -> StreamFacts:
        held = self.errors.get(ending)
        if held and not is_newer(heard.sequence_number, held.sequence_number):
            return self
        return replace(self, errors={**self.errors, ending: heard})

    def with_reason(self, heard: Heard) -> StreamFacts:
        if self.reason and not is_newer(heard.sequence_number, self.reason.sequence_number):
            return self
        return replace(self, reason=heard)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the table reads off the facts."""

    state: State
    final: Frame | None = None
    is_provisional: bool = False
    claim: Claim | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table: the evidence in words, what it leads to in words, and the same as a function."""

    evidence: str
    state: str
    final: str
    judge: Callable[[Facts, StreamFacts], Verdict | None]


def _claimed_by(witness: Witness) -> Callable[[Facts, StreamFacts], Verdict | None]:
    def judge(facts: Facts, stream: StreamFacts) -> Verdict | None:
        claim = facts.claims.get(witness)
        if claim is None:
            return None
        return Verdict(State.COMPLETED if claim.picture else State.FAILED, claim.picture, claim=claim)

    return judge


def _when(holds: Callable[[Facts, StreamFacts], bool], state: State) -> Callable[[Facts, StreamFacts], Verdict | None]:
    return lambda facts, stream: Verdict(state) if holds(facts, stream) else None


def _said_completed(facts: Facts, stream: StreamFacts) -> Verdict | None:
    if State.COMPLETED not in facts.words:
        return None
    stand_in = facts.partials[-1] if facts.partials else None
    return Verdict(State.COMPLETED, stand_in, stand_in is not None)


_CLAIMED: dict[str, str] = {"state": "FAILED, COMPLETED", "final": "none, that picture"}

TABLE: tuple[Row, ...] = (
    Row(
        evidence="the terminal snapshot names it: failed, or with a picture",
        judge=_claimed_by(Witness.SNAPSHOT),
        **_CLAIMED,
    ),
    Row(
        evidence="`output_item.done`: failed, or with a picture",
        judge=_claimed_by(Witness.DONE),
        **_CLAIMED,
    ),
    Row(
        evidence="its own `completed` event (Images API, chat, relays): failed, or with a picture",
        judge=_claimed_by(Witness.OWN),
        **_CLAIMED,
    ),
    Row(
        evidence="the response failed, or an `error` came",
        state="FAILED",
        final="none",
        judge=_when(lambda facts, stream: stream.failed, State.FAILED),
    ),
    Row(
        evidence="the snapshot or `output_item.done` calls it incomplete",
        state="INCOMPLETE",
        final="none",
        judge=_when(lambda facts, stream: State.INCOMPLETE in facts.words, State.INCOMPLETE),
    ),
    Row(
        evidence="the stream has ended, no usable picture ever came",
        state="INCOMPLETE",
        final="none",
        judge=_when(lambda facts, stream: stream.has_ended and not facts.partials, State.INCOMPLETE),
    ),
    Row(
        evidence="`image_generation_call.completed`, or the snapshot or `output_item.done` says completed",
        state="COMPLETED",
        final="the highest partial, provisionally; none while there is none",
        judge=_said_completed,
    ),
    Row(
        evidence="the response is incomplete, or the stream has ended",
        state="INCOMPLETE",
        final="none",
        judge=_when(lambda facts, stream: stream.has_ended or Ending.INCOMPLETE in stream.endings, State.INCOMPLETE),
    ),
    Row(
        evidence="a usable partial",
        state="PARTIAL_IMAGE",
        final="none",
        judge=_when(lambda facts, stream: bool(facts.partials), State.PARTIAL_IMAGE),
    ),
    Row(
        evidence="`generating`",
        state="GENERATING",
        final="none",
        judge=_when(lambda facts, stream: State.GENERATING in facts.words, State.GENERATING),
    ),
    Row(
        evidence="anything else",
        state="IN_PROGRESS",
        final="none",
        judge=_when(lambda facts, stream: True, State.IN_PROGRESS),
    ),
)


def judge(facts: Facts, stream: StreamFacts) -> Verdict:
    """The state and the final that the strongest evidence gives: the first row of TABLE that holds."""
    return next(verdict for row in TABLE if (verdict := row.judge(facts, stream)))


def reason_of(verdict: Verdict, facts: Facts, stream: StreamFacts) -> str | None:
    """Why an item is INCOMPLETE, in the service's words or ours; None in other states."""
    if verdict.state is not State.INCOMPLETE:
        return None
    heard = facts.detail("reason") or (stream.reason and stream.reason.value)
    if heard:
        return str(heard)
    if State.INCOMPLETE in facts.words or Ending.INCOMPLETE in stream.endings:
        return "the service called it incomplete"
    return "the stream ended before its final picture" if facts.partials else "no usable picture came"


def error_of(item_id: str, verdict: Verdict, facts: Facts, stream: StreamFacts) -> ImgassembleError | None:
    """What went wrong with an item that FAILED or is INCOMPLETE; None in other states."""
    if verdict.state is State.FAILED:
        own = verdict.claim.error if verdict.claim else None
        return own or stream.error or ProviderError(f"the image {quoted(item_id)} failed, and no reason was given")
    reason = reason_of(verdict, facts, stream)
    if reason is None:
        return None
    kept = "its previews are kept" if facts.partials else "nothing was kept"
    sentence = f"the image {quoted(item_id)} is incomplete: {reason}; {kept}, ask again for a result"
    return IncompleteStreamError(sentence, item_ids=[item_id])
