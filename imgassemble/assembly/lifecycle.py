"""The state of an item: stored facts, and one table that reads state and final from them.

An item stores facts, not its history. Facts are only added, or replaced by a later report of the same kind, and the
table reads nothing else. Therefore the order of arrival cannot matter.

The laws (each one is a property in tests/assembly/test_laws.py):
1. Keyed by item id: a report about one item changes no other.
2. States only climb: in_progress, generating, partial_image, then an end. Only stronger evidence changes an end.
3. Convergence: the same events in any order and repetition give the same items.
4. Partials are ordered by index, and the latest never goes back, unless a final is withdrawn.

Must not know: events, wire types, listeners, time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from ..errors import ImgassembleError, IncompleteStreamError, ProviderError, quoted
from ..frames.frame import Frame
from ..states import Ending, State, Witness
from .responses import NOTHING, Claim, ReportedValue, ResponseFacts, has_failed, is_newer, with_details, with_report


class Facts(NamedTuple):
    """All facts of one item."""

    partials: tuple[Frame, ...] = ()  # by index, one for each
    claims: Mapping[Witness, Claim] = NOTHING
    # Which of GENERATING, COMPLETED, INCOMPLETE were reported; PARTIAL_IMAGE for a partial that was left out
    words: frozenset[State] = frozenset()
    details: Mapping[str, ReportedValue] = NOTHING  # output_index, revised_prompt, usage, url, and the settings
    n_bytes: int = 0  # of its pictures; bytes that two of them share count once

    # These methods build the tuple by position: _replace takes twice the time. For details, which nearly every event
    # brings, they do it without the constructor, which also takes twice the time.

    def with_word(self, word: State) -> Facts:
        if word in self.words:
            return self
        return Facts(self.partials, self.claims, self.words | {word}, self.details, self.n_bytes)

    def with_claim(self, witness: Witness, claim: Claim) -> Facts:
        return self._with_pictures(self.partials, with_report(self.claims, witness, claim))

    def with_details(self, reported: Mapping[str, Any], number: float | None) -> Facts:
        details = with_details(self.details, reported, number)
        if details is self.details:
            return self
        return tuple.__new__(Facts, (self.partials, self.claims, self.words, details, self.n_bytes))

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
        """Return the facts with at most `most` partials: those of the highest indices."""
        return self if len(self.partials) <= most else self._with_pictures(self.partials[-most:], self.claims)

    def without_lowest(self) -> Facts:
        """Return the facts without the partial of the lowest index."""
        return self._with_pictures(self.partials[1:], self.claims)

    def _with_pictures(self, partials: tuple[Frame, ...], claims: Mapping[Witness, Claim]) -> Facts:
        now = Facts(partials, claims, self.words, self.details)
        return now._replace(n_bytes=sum({id(frame.data): len(frame.data) for frame in now.pictures()}.values()))

    def is_other_evidence(self, before: Facts) -> bool:
        """Return whether more than the details differs, so that the state or a picture can."""
        return (
            self.partials is not before.partials or self.claims is not before.claims or self.words is not before.words
        )

    def partial(self, index: float | None) -> Frame | None:
        at = bisect_left(self.partials, index, key=_index)
        return self.partials[at] if at < len(self.partials) and self.partials[at].index == index else None

    @property
    def has_partials(self) -> bool:
        """Whether a usable partial came, also one that was left out of its event."""
        return bool(self.partials) or State.PARTIAL_IMAGE in self.words

    def detail(self, name: str) -> Any:
        heard = self.details.get(name)
        return heard.value if heard else None

    def pictures(self) -> tuple[Frame, ...]:
        """Return every frame that is held: the partials by index, then the pictures of the witnesses."""
        if not self.claims:
            return self.partials
        claimed = (self.claims[witness].picture for witness in sorted(self.claims))
        return (*self.partials, *filter(None, claimed))


def _index(frame: Frame) -> Any:
    return frame.index


class Verdict(NamedTuple):
    """The state and the final that the table reads from the facts."""

    state: State
    final: Frame | None = None
    is_provisional: bool = False
    claim: Claim | None = None


class Evidence(NamedTuple):
    """The input of the table: it chooses a row by this alone."""

    witness: Witness | None  # the highest that claims how the item ended
    words: frozenset[State]
    has_partials: bool
    endings: frozenset[Ending]
    has_ended: bool


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One row of the table: the evidence, the state and the final in words, and the same as functions."""

    evidence: str
    state: str
    final: str
    holds: Callable[[Evidence], bool]
    verdict: Callable[[Facts], Verdict]


def _claimed(facts: Facts) -> Verdict:
    claim = facts.claims[max(facts.claims)]
    has_picture = claim.picture or claim.withheld
    return Verdict(State.COMPLETED if has_picture else State.FAILED, claim.picture, claim=claim)


def _completed_in_words(facts: Facts) -> Verdict:
    highest = facts.partials[-1] if facts.partials else None
    return Verdict(State.COMPLETED, highest, is_provisional=highest is not None)


def _without_final(state: State) -> Callable[[Facts], Verdict]:
    verdict = Verdict(state)
    return lambda facts: verdict


# fmt: off
TABLE: tuple[EvidenceRow, ...] = (
    EvidenceRow("the terminal snapshot names it: failed, or with a picture",
        "FAILED, COMPLETED", "none, that picture",
        lambda seen: seen.witness is Witness.SNAPSHOT, _claimed),
    EvidenceRow("`output_item.done`: failed, or with a picture",
        "FAILED, COMPLETED", "none, that picture",
        lambda seen: seen.witness is Witness.DONE, _claimed),
    EvidenceRow("its own `completed` event (Images API, chat, relays): failed, or with a picture",
        "FAILED, COMPLETED", "none, that picture",
        lambda seen: seen.witness is Witness.OWN, _claimed),
    EvidenceRow("its response failed, or an `error` came for it",
        "FAILED", "none",
        lambda seen: Ending.REFUSED in seen.endings or has_failed(seen.endings, has_ended=seen.has_ended),
        _without_final(State.FAILED)),
    EvidenceRow("the snapshot or `output_item.done` calls it incomplete",
        "INCOMPLETE", "none",
        lambda seen: State.INCOMPLETE in seen.words, _without_final(State.INCOMPLETE)),
    EvidenceRow("the stream has ended, no usable picture ever came",
        "INCOMPLETE", "none",
        lambda seen: seen.has_ended and not seen.has_partials, _without_final(State.INCOMPLETE)),
    EvidenceRow("`image_generation_call.completed`, or the snapshot or `output_item.done` says completed",
        "COMPLETED", "the highest partial, provisionally; none while there is none",
        lambda seen: State.COMPLETED in seen.words, _completed_in_words),
    EvidenceRow("its response is incomplete, or the stream has ended",
        "INCOMPLETE", "none",
        lambda seen: seen.has_ended or Ending.INCOMPLETE in seen.endings, _without_final(State.INCOMPLETE)),
    EvidenceRow("a usable partial",
        "PARTIAL_IMAGE", "none",
        lambda seen: seen.has_partials, _without_final(State.PARTIAL_IMAGE)),
    EvidenceRow("`generating`",
        "GENERATING", "none",
        lambda seen: State.GENERATING in seen.words, _without_final(State.GENERATING)),
    EvidenceRow("anything else",
        "IN_PROGRESS", "none",
        lambda seen: True, _without_final(State.IN_PROGRESS)),
)
# fmt: on


CALLED_INCOMPLETE = "the service called it incomplete"
URL_ALONE = "the service sent a URL in place of the picture"
CUT_AFTER_PARTIALS = "the stream ended before its final picture"
CUT_WITHOUT_PICTURE = "no usable picture came"


@cache  # every event asks for the row of an item; some thousand kinds of evidence are possible, and few occur
def _row(seen: Evidence) -> EvidenceRow:
    return next(row for row in TABLE if row.holds(seen))


def judge(facts: Facts, response: ResponseFacts) -> Verdict:
    """Return the state and the final that the strongest evidence gives: the first row of TABLE that holds."""
    witness = max(facts.claims) if facts.claims else None
    seen = Evidence(witness, facts.words, facts.has_partials, response.endings, response.has_ended)
    return _row(seen).verdict(facts)


def reason_of(verdict: Verdict, facts: Facts, response: ResponseFacts) -> str | None:
    """Return why an item is INCOMPLETE, in the words of the service if it gave a reason; None in other states."""
    if verdict.state is not State.INCOMPLETE:
        return None
    if response.reason:
        return response.reason
    if State.INCOMPLETE in facts.words or Ending.INCOMPLETE in response.endings:
        return CALLED_INCOMPLETE
    if facts.detail("url"):
        return URL_ALONE
    return response.stop_reason or (CUT_AFTER_PARTIALS if facts.has_partials else CUT_WITHOUT_PICTURE)


def error_of(item_id: str, verdict: Verdict, facts: Facts, response: ResponseFacts) -> ImgassembleError | None:
    """Return the error of an item that FAILED or is INCOMPLETE; None in other states."""
    if verdict.state is State.FAILED:
        own = verdict.claim.error if verdict.claim else None
        return own or response.error or ProviderError(f"the image {quoted(item_id)} failed, and no reason was given")
    reason = reason_of(verdict, facts, response)
    if reason is None:
        return None
    if facts.detail("url"):
        advice = f"fetch the picture there: {facts.detail('url')}"
    elif facts.has_partials:
        advice = "its previews are kept, resume the stream for the result"
    elif facts.detail("refused"):
        advice = "the picture that came could not be used, see the anomalies of the item"
    else:
        advice = "nothing of it was kept, resume the stream for it"
    return IncompleteStreamError(f"the image {quoted(item_id)} is incomplete: {reason}; {advice}", item_ids=[item_id])
