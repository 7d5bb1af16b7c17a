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
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from ..errors import ImgassembleError, IncompleteStreamError, ProviderError, quoted
from ..frames.frame import Frame
from ..states import Ending, State, Witness

_FAILURES = frozenset({Ending.FAILED, Ending.ERROR})
_NOT_LAST_WORDS = frozenset({Ending.ERROR})  # response.failed may follow

# Values that are made anew with every event are named tuples, here and where an event is read and weighed: as frozen
# dataclasses they take more than twice the time, and a third of what an event costs.


class Heard(NamedTuple):
    """Something that was said, and the sequence number of the message that said it."""

    value: Any
    sequence_number: float | None = None


class Claim(NamedTuple):
    """A witness's word on how an item ended: with a picture, or in failure where `picture` is None."""

    picture: Frame | None = None
    error: ProviderError | None = None
    sequence_number: float | None = None


def is_newer(number: float | None, held: float | None) -> bool:
    """Whether a message numbered `number`, arriving now, outweighs an equal one numbered `held`."""
    return number is None or held is None or number >= held


_Key = TypeVar("_Key")
_Said = TypeVar("_Said", Heard, Claim)


def _with(held: Mapping[_Key, _Said], key: _Key, said: _Said) -> Mapping[_Key, _Said]:
    """`held`, with what is said now of `key` where it outweighs what was said before."""
    before = held.get(key)
    if before is not None and not is_newer(said.sequence_number, before.sequence_number):
        return held
    return {**held, key: said}


_NOTHING: Mapping[Any, Any] = MappingProxyType({})


class Facts(NamedTuple):
    """All that is known of one item."""

    partials: tuple[Frame, ...] = ()  # by index, one for each
    claims: Mapping[Witness, Claim] = _NOTHING
    words: frozenset[State] = frozenset()  # which of GENERATING, COMPLETED, INCOMPLETE were heard
    details: Mapping[str, Heard] = _NOTHING  # output_index, revised_prompt, usage
    n_bytes: int = 0  # of its pictures; what two of them share counts once

    # What is made with every event is made by position: _replace takes twice the time.

    def with_word(self, word: State) -> Facts:
        if word in self.words:
            return self
        return Facts(self.partials, self.claims, self.words | {word}, self.details, self.n_bytes)

    def with_claim(self, witness: Witness, claim: Claim) -> Facts:
        return self._with_pictures(self.partials, _with(self.claims, witness, claim))

    def with_details(self, said: Mapping[str, Any], number: float | None) -> Facts:
        details = self.details
        for name, value in said.items():
            details = _with(details, name, Heard(value=value, sequence_number=number))
        return self if details is self.details else Facts(self.partials, self.claims, self.words, details, self.n_bytes)

    def with_partial(self, frame: Frame) -> Facts:
        at = bisect_left(self.partials, frame.index, key=_index)
        held = self.partial(frame.index)
        if held and not is_newer(frame.sequence_number, held.sequence_number):
            return self
        partials = (*self.partials[:at], frame, *self.partials[at + (held is not None) :])
        if held:
            return self._with_pictures(partials, self.claims)
        is_shared = any(frame.data is twin.data for twin in self.pictures())
        n_bytes = self.n_bytes + (0 if is_shared else len(frame.data))
        return Facts(partials, self.claims, self.words, self.details, n_bytes)

    def with_highest(self, most: int) -> Facts:
        """Without the partials beyond so many; those of the highest indices stay."""
        return self if len(self.partials) <= most else self._with_pictures(self.partials[-most:], self.claims)

    def without_lowest(self) -> Facts:
        return self._with_pictures(self.partials[1:], self.claims)

    def _with_pictures(self, partials: tuple[Frame, ...], claims: Mapping[Witness, Claim]) -> Facts:
        now = Facts(partials, claims, self.words, self.details)
        return now._replace(n_bytes=sum({id(frame.data): len(frame.data) for frame in now.pictures()}.values()))

    def partial(self, index: float | None) -> Frame | None:
        at = bisect_left(self.partials, index, key=_index)
        return self.partials[at] if at < len(self.partials) and self.partials[at].index == index else None

    def detail(self, name: str) -> Any:
        heard = self.details.get(name)
        return heard.value if heard else None

    def pictures(self) -> tuple[Frame, ...]:
        """Every frame that is held: the partials by index, then the witnesses' pictures."""
        if not self.claims:
            return self.partials
        claimed = (self.claims[witness].picture for witness in sorted(self.claims))
        return (*self.partials, *filter(None, claimed))


def _index(frame: Frame) -> Any:
    return frame.index


class StreamFacts(NamedTuple):
    """All that is known of the response, or of the stream where there is no response."""

    endings: frozenset[Ending] = frozenset()
    has_ended: bool = False
    errors: Mapping[Ending, Heard] = _NOTHING  # what the service said went wrong
    reasons: Mapping[Ending, Heard] = _NOTHING  # why it ended the response so

    @property
    def failed(self) -> bool:
        return not self.endings.isdisjoint(_FAILURES)

    @property
    def is_over(self) -> bool:
        """Whether nothing better can come: the response has said how it ended, or the stream has ended."""
        return self.has_ended or not self.endings <= _NOT_LAST_WORDS

    @property
    def error(self) -> ProviderError | None:
        """What the service said; response.failed's own words before those of an `error`."""
        heard = self.errors.get(Ending.FAILED) or self.errors.get(Ending.ERROR)
        return heard.value if heard else None

    @property
    def reason(self) -> str | None:
        """Why the service calls the response incomplete, where it said."""
        heard = self.reasons.get(Ending.INCOMPLETE)
        return heard.value if heard else None

    def ended(self) -> StreamFacts:
        return self._replace(has_ended=True)

    def with_ending(
        self, ending: Ending, *, error: ProviderError | None, reason: str | None, number: float | None
    ) -> StreamFacts:
        errors, reasons = self.errors, self.reasons
        if error is not None:
            errors = _with(errors, ending, Heard(value=error, sequence_number=number))
        if reason is not None:
            reasons = _with(reasons, ending, Heard(value=reason, sequence_number=number))
        return self._replace(endings=self.endings | {ending}, errors=errors, reasons=reasons)


class Verdict(NamedTuple):
    """What the table reads off the facts."""

    state: State
    final: Frame | None = None
    is_provisional: bool = False
    claim: Claim | None = None


class Seen(NamedTuple):
    """All by which a row of the table is chosen."""

    witness: Witness | None  # the highest that claims how the item ended
    words: frozenset[State]
    has_partials: bool
    endings: frozenset[Ending]
    has_ended: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: the evidence, the state and the final in words, and the same as functions."""

    evidence: str
    state: str
    final: str
    holds: Callable[[Seen], bool]
    verdict: Callable[[Facts], Verdict]


def _claimed(facts: Facts) -> Verdict:
    claim = facts.claims[max(facts.claims)]
    return Verdict(State.COMPLETED if claim.picture else State.FAILED, claim.picture, claim=claim)


def _said_completed(facts: Facts) -> Verdict:
    stand_in = facts.partials[-1] if facts.partials else None
    return Verdict(State.COMPLETED, stand_in, is_provisional=stand_in is not None)


def _without_final(state: State) -> Callable[[Facts], Verdict]:
    verdict = Verdict(state)
    return lambda facts: verdict


# fmt: off
TABLE: tuple[Row, ...] = (
    Row("the terminal snapshot names it: failed, or with a picture",
        "FAILED, COMPLETED", "none, that picture",
        lambda seen: seen.witness is Witness.SNAPSHOT, _claimed),
    Row("`output_item.done`: failed, or with a picture",
        "FAILED, COMPLETED", "none, that picture",
        lambda seen: seen.witness is Witness.DONE, _claimed),
    Row("its own `completed` event (Images API, chat, relays): failed, or with a picture",
        "FAILED, COMPLETED", "none, that picture",
        lambda seen: seen.witness is Witness.OWN, _claimed),
    Row("the response failed, or an `error` came",
        "FAILED", "none",
        lambda seen: not seen.endings.isdisjoint(_FAILURES), _without_final(State.FAILED)),
    Row("the snapshot or `output_item.done` calls it incomplete",
        "INCOMPLETE", "none",
        lambda seen: State.INCOMPLETE in seen.words, _without_final(State.INCOMPLETE)),
    Row("the stream has ended, no usable picture ever came",
        "INCOMPLETE", "none",
        lambda seen: seen.has_ended and not seen.has_partials, _without_final(State.INCOMPLETE)),
    Row("`image_generation_call.completed`, or the snapshot or `output_item.done` says completed",
        "COMPLETED", "the highest partial, provisionally; none while there is none",
        lambda seen: State.COMPLETED in seen.words, _said_completed),
    Row("the response is incomplete, or the stream has ended",
        "INCOMPLETE", "none",
        lambda seen: seen.has_ended or Ending.INCOMPLETE in seen.endings, _without_final(State.INCOMPLETE)),
    Row("a usable partial",
        "PARTIAL_IMAGE", "none",
        lambda seen: seen.has_partials, _without_final(State.PARTIAL_IMAGE)),
    Row("`generating`",
        "GENERATING", "none",
        lambda seen: State.GENERATING in seen.words, _without_final(State.GENERATING)),
    Row("anything else",
        "IN_PROGRESS", "none",
        lambda seen: True, _without_final(State.IN_PROGRESS)),
)
# fmt: on


@cache  # with every event an item is asked for its row; there are some thousands of kinds of evidence, and few come
def _row(seen: Seen) -> Row:
    return next(row for row in TABLE if row.holds(seen))


def judge(facts: Facts, stream: StreamFacts) -> Verdict:
    """The state and the final that the strongest evidence gives: the first row of TABLE that holds."""
    witness = max(facts.claims) if facts.claims else None
    seen = Seen(witness, facts.words, bool(facts.partials), stream.endings, stream.has_ended)
    return _row(seen).verdict(facts)


def reason_of(verdict: Verdict, facts: Facts, stream: StreamFacts) -> str | None:
    """Why an item is INCOMPLETE, in the service's words or ours; None in other states."""
    if verdict.state is not State.INCOMPLETE:
        return None
    if stream.reason:
        return stream.reason
    if State.INCOMPLETE in facts.words or Ending.INCOMPLETE in stream.endings:
        return "the service called it incomplete"
    if facts.detail("url"):
        return "the service sent a URL in place of the picture, and nothing is fetched"
    return "the stream ended before its final picture" if facts.partials else "no usable picture came"


def error_of(item_id: str, verdict: Verdict, facts: Facts, stream: StreamFacts) -> ImgassembleError | None:
    """What went wrong with an item that FAILED or is INCOMPLETE; None in other states."""
    if verdict.state is State.FAILED:
        own = verdict.claim.error if verdict.claim else None
        return own or stream.error or ProviderError(f"the image {quoted(item_id)} failed, and no reason was given")
    reason = reason_of(verdict, facts, stream)
    if reason is None:
        return None
    kept = (
        "its previews are kept" if facts.partials else "its URL is kept" if facts.detail("url") else "nothing was kept"
    )
    sentence = f"the image {quoted(item_id)} is incomplete: {reason}; {kept}, ask again for a result"
    return IncompleteStreamError(sentence, item_ids=[item_id])
