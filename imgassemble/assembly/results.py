"""The result of a whole stream: its items, its outcome and error, and a summary of each response.

Must not know: events, listeners, how items are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ImgassembleError, IncompleteStreamError, ProviderError, UsageError, clean, quoted, shorten_base64
from ..frames.frame import Frame
from ..states import Ending, State
from .held import Held, ResponseRecord, has_facts
from .items import Item, copy_to_raise
from .lifecycle import CALLED_INCOMPLETE, CUT_AFTER_PARTIALS, CUT_WITHOUT_PICTURE
from .responses import MAX_TEXT_LENGTH
from .updates import REFUSED_PICTURE, Anomaly, Outcome

_MAX_QUOTED = 300  # characters of an answer in words that a sentence shows
_OWN_REASONS = (CALLED_INCOMPLETE, CUT_AFTER_PARTIALS, CUT_WITHOUT_PICTURE)
_MAX_NAMED = 10  # items that a sentence names


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ResponseSummary:
    """One response: how it ended, and what the service reported about it."""

    id: str | None
    """The id that the service gave; the first one if it gave several."""
    lane: str | None = None
    """The `stream_id` of its events."""
    model: str | None = None
    """The model that answered, as the service reported it."""
    outcome: Outcome
    """How the response ended."""
    error: ImgassembleError | None = None
    """The error; None if the outcome is COMPLETED."""
    reason: str | None = None
    """The reason of the service for calling the response incomplete, or the reason for which the reading was ended."""
    usage: Mapping[str, Any] | None = None
    """The tokens of the text model, in the words of the service."""
    image_usage: Mapping[str, Any] | None = None
    """The tokens of the image tool, in the words of the service."""
    text: str | None = None
    """The answer in words, at most 4,096 characters, without base64."""

    def __repr__(self) -> str:
        facts = (f"{name} {clean(text, 100)!r}" for name, text in (("model", self.model), ("text", self.text)) if text)
        parts = [f"{clean(self.id or '', 100)!r} {self.outcome}", *facts, *([repr(self.error)] if self.error else [])]
        return f"<ResponseSummary {', '.join(parts)}>"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Result:
    """The result of a whole stream.

    result = assemble(stream)
    if result.outcome == "completed":
        result.require_final().save("otter")
    else:
        print(result.error)
    """

    items: Mapping[str, Item]
    """The items by id, in the order of their first events."""
    outcome: Outcome
    """How the stream ended."""
    error: ImgassembleError | None = None
    """The error; None if the outcome is COMPLETED."""
    anomalies: tuple[Anomaly, ...] = field(default=(), compare=False)
    """The anomalies of events that belong to no item: the newest 100."""
    responses: tuple[ResponseSummary, ...] = ()
    """A summary of each response, in the order in which they began."""

    @property
    def final(self) -> Frame | None:
        """Return the final of the only image, or None. Raises UsageError if there are several images."""
        if len(self.items) > 1:
            raise UsageError(f"{self._several()}: say which, as in result.items[…].final")
        return next((item.final for item in self.items.values()), None)

    @property
    def finals(self) -> tuple[Frame, ...]:
        """Return the results of all items, in the order of the items, without provisional finals."""
        finals = (item.final for item in self.items.values() if not item.is_provisional)
        return tuple(final for final in finals if final is not None)

    @property
    def text(self) -> str | None:
        """Return the answer of the last response in words, at most 4,096 characters; None if it has none."""
        return self.responses[-1].text if self.responses else None

    def require_final(self, *, provisional: bool = False) -> Frame:
        """Return the final picture of the only image.

        provisional: also accept a provisional final, which is only the last partial.

        Raises the error of the stream; IncompleteStreamError if the final is provisional; UsageError if there are
        several images.
        """
        if len(self.items) > 1:
            raise UsageError(
                f"{self._several()}: say which, as in result.items[…].require_final(), or use result.finals"
            )
        item = next(iter(self.items.values()), None)
        if item is None or item.final is None:
            self.raise_for_outcome()
        if item is None:
            sentence = "the stream has no image any more: all were discarded; keep the frames of FinalReady"
            raise IncompleteStreamError(sentence)
        return item.require_final(provisional=provisional)

    def raise_for_outcome(self) -> Result:
        """Return the result. Raises ProviderError or IncompleteStreamError unless the outcome is COMPLETED."""
        if self.error is not None:
            error = copy_to_raise(self.error)
            for anomaly in self.anomalies[-3:]:
                error.add_note(anomaly.message)
            raise error from self.error.__cause__
        return self

    def __repr__(self) -> str:
        return f"<Result {self.outcome}: {counts_of(self)}{f'; {self.error}' if self.error else ''}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        from .strip import strip_of  # only notebooks need it; it imports html

        return {"text/plain": repr(self), "text/html": strip_of(self.items.values(), self.error)}

    def _several(self) -> str:
        return f"there are {len(self.items)} images, {_listed(self.items)}"


def counts_of(result: Result) -> str:
    """Return the numbers of images and of finals, as in "2 images, 1 final"."""
    n_items, n_finals = len(result.items), len(result.finals)
    return f"{n_items} image{'s' * (n_items != 1)}, {n_finals} final{'s' * (n_finals != 1)}"


def result_of(items: Mapping[str, Item], held: Held, anomalies: tuple[Anomaly, ...]) -> Result:
    """Return the result of a stream that has ended."""
    records = [record for record in held.responses.values() if has_facts(record)]
    lasts = list({record.facts.lane: record for record in records}.values())
    outcome, error = _ended_how(items, lasts, held)
    own: dict[int, dict[str, Item]] = {}
    for name, item in items.items():
        own.setdefault(held.owners[name].number, {})[name] = item
    summaries = tuple(_summary(own.get(record.number, {}), record) for record in records)
    return Result(items=items, outcome=outcome, error=error, anomalies=anomalies, responses=summaries)


def _ended_how(
    items: Mapping[str, Item], lasts: list[ResponseRecord], held: Held
) -> tuple[Outcome, ImgassembleError | None]:
    """Return the outcome of the stream, and its error. lasts: the last response of each lane."""
    named = _by_state(items)
    failed = next((record.facts for record in lasts if _has_failed(record, items)), None)
    if failed or named[State.FAILED] or State.FAILED in held.gone:
        first = next((items[name].error for name in named[State.FAILED]), held.gone.get(State.FAILED))
        return Outcome.FAILED, (failed.error if failed else None) or first or ProviderError("")
    if named[State.INCOMPLETE] or State.INCOMPLETE in held.gone:
        return Outcome.INCOMPLETE, _incomplete(items, named[State.INCOMPLETE])
    cut = next((record for record in lasts if Ending.INCOMPLETE in record.facts.endings or _is_cut(record)), None)
    if cut:
        return Outcome.INCOMPLETE, IncompleteStreamError(_incomplete_response(cut, has_any=bool(items or held.gone)))
    if not (items or held.gone):
        return Outcome.NO_IMAGE, IncompleteStreamError(f"there is no image: {_no_image(lasts, held)}")
    return Outcome.COMPLETED, None


def _summary(items: Mapping[str, Item], record: ResponseRecord) -> ResponseSummary:
    facts = record.facts
    outcome, error = _response_ended_how(items, record)
    return ResponseSummary(
        id=facts.id,
        lane=facts.lane,
        model=facts.detail("model"),
        outcome=outcome,
        error=error,
        reason=facts.reason or (facts.stop_reason if error is not None else None),
        usage=facts.detail("usage"),
        image_usage=facts.detail("image_usage"),
        text=text_of(record),
    )


def _response_ended_how(items: Mapping[str, Item], record: ResponseRecord) -> tuple[Outcome, ImgassembleError | None]:
    """Return the outcome of one response, as if it were the only response of the stream."""
    named, facts = _by_state(items), record.facts
    has_failed = _has_failed(record, items)
    if has_failed or named[State.FAILED]:
        first = next((items[name].error for name in named[State.FAILED]), None)
        return Outcome.FAILED, (facts.error if has_failed else None) or first or ProviderError("")
    if named[State.INCOMPLETE]:
        return Outcome.INCOMPLETE, _incomplete(items, named[State.INCOMPLETE], facts.stop_reason)
    if Ending.INCOMPLETE in facts.endings or _is_cut(record):
        sentence = _incomplete_response(record, has_any=facts.has_items)
        return Outcome.INCOMPLETE, IncompleteStreamError(sentence)
    if not facts.has_items:
        return Outcome.NO_IMAGE, IncompleteStreamError(f"there is no image: {_answer_without_image(record)}")
    return Outcome.COMPLETED, None


def _by_state(items: Mapping[str, Item]) -> dict[State, list[str]]:
    named: dict[State, list[str]] = {state: [] for state in State}
    for name in sorted(items, key=lambda name: (items[name].wire_id or "", name)):
        named[items[name].state].append(name)
    return named


def _has_failed(record: ResponseRecord, items: Mapping[str, Item]) -> bool:
    """Return whether a response failed, or was refused and has no result."""
    if Ending.REFUSED not in record.facts.endings:
        return record.facts.has_failed
    own = (items[name] for name in record.items if name in items)
    # A result whose picture was left out has no frame.
    return record.facts.has_failed or not any(item.state is State.COMPLETED and not item.is_provisional for item in own)


def _is_cut(record: ResponseRecord) -> bool:
    """Return whether a response began, but did not end and gave no item."""
    facts = record.facts
    return facts.has_begun and not facts.endings and not facts.has_items


def text_of(record: ResponseRecord) -> str | None:
    """Return the answer in words: the text of the snapshot, else the pieces that arrived."""
    text = record.facts.detail("text") or str(record.text)
    return shorten_base64(text)[:MAX_TEXT_LENGTH].strip() or None


def _incomplete(items: Mapping[str, Item], names: list[str], stop_reason: str | None = None) -> IncompleteStreamError:
    which = _listed(names) if names else "an image that was discarded"
    waiting = [items[name] for name in names]
    reasons = {item.reason for item in waiting}
    if url := next((item.url for item in waiting if item.url), None):
        sentence = f"the service sent a URL in place of the picture of {which}: {url}; fetch the picture there"
    elif reported := sorted(reason for reason in reasons if reason and reason not in (*_OWN_REASONS, stop_reason)):
        sentence = f"the service called {which} incomplete: {reported[0]}; what came is kept, change the request"
    elif CALLED_INCOMPLETE in reasons:
        sentence = f"the service called {which} incomplete; what came is kept, change the request"
    else:
        has_picture = not names or any(item.latest or _has_refused(item) for item in items.values())
        advice = "what came is kept: resume the stream" if has_picture else "resume the stream, or ask again"
        sentence = f"the stream ended before {which} was complete; {advice}"
    return IncompleteStreamError(sentence, item_ids=names)


def _has_refused(item: Item) -> bool:
    """Return whether a picture arrived that could not be used."""
    return any(each.code in REFUSED_PICTURE for each in item.anomalies)


def _incomplete_response(record: ResponseRecord, *, has_any: bool) -> str:
    if _is_cut(record):
        text = text_of(record)
        words = f"; until then the service answered in words: {_quoted_text(text)}" if text else ""
        advice = "resume the stream" if has_any or text else "resume the stream, or ask again"
        place = "the image of its last response" if has_any else "its first image"
        return f"the stream was cut before {place}{words}; {advice}"
    reason = record.facts.reason
    kept = "its images are whole" if has_any else "it has no image, change the request"
    return f"the service called the response incomplete{f': {reason}' if reason else ''}; {kept}"


def _no_image(lasts: list[ResponseRecord], held: Held) -> str:
    """Return the cause in words."""
    answered = next((record for record in reversed(lasts) if text_of(record)), None)
    if answered or any(record.facts.endings for record in lasts):
        return _answer_without_image(answered or lasts[-1])
    if held.types:
        shown = ", ".join(clean(kind, 60) for kind in sorted(held.types)[:3])
        return f"the events are of other types ({shown}); check that the stream is one of a service that makes images"
    if held.has_read_event:
        return "the stream ended before its first image; check that it was read from its beginning to its end"
    if held.unreadable:
        return f"nothing in the stream could be read: {held.unreadable}"
    return "the stream was empty; check that the request was sent with stream=True, and that it was accepted"


def _answer_without_image(record: ResponseRecord) -> str:
    text = text_of(record)
    if text:
        return f"the service answered in words: {_quoted_text(text)}; change the request"
    return "the response ended without an image and without text; change the request"


def _quoted_text(text: str) -> str:
    return f"'{clean(text, _MAX_QUOTED)}'"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(quoted, list(names)[:_MAX_NAMED]))
