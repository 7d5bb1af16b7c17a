"""Facts of one response: how it ended, what the service reported about it, and its answer in words.

Must not know: events, items, listeners.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from ..errors import ProviderError
from ..frames.base64_json import Withheld
from ..frames.frame import Frame
from ..states import Ending

MAX_TEXT_LENGTH = 4_096  # characters of an answer in words
_FAILURES = frozenset({Ending.FAILED, Ending.ERROR})
_NOT_THE_END = frozenset({Ending.ERROR, Ending.STRAY_ERROR, Ending.REFUSED})  # another ending may follow

# Values that are created with every event are named tuples, here and in the modules that read and weigh an event:
# frozen dataclasses take more than twice the time, which is a third of the cost of an event.


class ReportedValue(NamedTuple):
    """A value and the sequence number of the message that reported it."""

    value: Any
    sequence_number: float | None = None


class Claim(NamedTuple):
    """The report of a witness about the end of an item: a picture, also one that was left out, or a failure."""

    picture: Frame | None = None
    error: ProviderError | None = None
    sequence_number: float | None = None
    withheld: Withheld | None = None


def is_newer(number: float | None, held: float | None) -> bool:
    """Return whether a new message replaces the stored one of equal rank.

    It does if its number is not lower than `held`, or if one of them has no number.
    """
    return number is None or held is None or number >= held


_Key = TypeVar("_Key")
_Report = TypeVar("_Report", ReportedValue, Claim)


def with_report(held: Mapping[_Key, _Report], key: _Key, report: _Report) -> Mapping[_Key, _Report]:
    """Return `held` with `report` under `key`, or `held` itself if its own report is newer."""
    before = held.get(key)
    if before is not None and not is_newer(report.sequence_number, before.sequence_number):
        return held
    return {**held, key: report}


def with_details(
    held: Mapping[str, ReportedValue], reported: Mapping[str, Any], number: float | None
) -> Mapping[str, ReportedValue]:
    """Return `held` with the `reported` values, except those that are older than the stored ones."""
    if not held:
        return {name: ReportedValue(value, number) for name, value in reported.items()}
    details = held
    for name, value in reported.items():
        before = held.get(name)
        is_kept = before is not None and (
            value == before.value if number is None else not is_newer(number, before.sequence_number)
        )
        if not is_kept:
            details = {**details, name: tuple.__new__(ReportedValue, (value, number))}
    return details


NOTHING: Mapping[Any, Any] = MappingProxyType({})


class ResponseFacts(NamedTuple):
    """All facts of one response."""

    id: str | None = None  # the first of its ids
    lane: str | None = None
    has_begun: bool = False  # `response.created` or `response.queued` arrived
    has_items: bool = False
    is_lone_error: bool = False  # an error without a number that came before any response
    endings: frozenset[Ending] = frozenset()
    has_ended: bool = False  # the stream has ended
    stop_reason: str | None = None  # why the reading ended before the response was over
    errors: Mapping[Ending, ReportedValue] = NOTHING
    reasons: Mapping[Ending, ReportedValue] = NOTHING
    details: Mapping[str, ReportedValue] = NOTHING  # model, usage, image_usage, text

    @property
    def has_failed(self) -> bool:
        """Whether the response failed, apart from a refusal, which fails a response without a result."""
        return has_failed(self.endings, has_ended=self.has_ended)

    @property
    def is_over(self) -> bool:
        """Whether no real result can arrive: the service reported the end, or the stream has ended."""
        return self.has_ended or not self.endings <= _NOT_THE_END

    @property
    def is_open(self) -> bool:
        """Whether events that do not name their response can belong to this one."""
        return not (self.has_ended or self.is_lone_error) and self.endings <= _NOT_THE_END

    @property
    def error(self) -> ProviderError | None:
        """The error of the service. The error of response.failed comes before that of an `error` event."""
        heard = next((self.errors[each] for each in _BY_WORDS if each in self.errors), None)
        return heard.value if heard else None

    @property
    def reason(self) -> str | None:
        """The reason of the service for calling the response incomplete, if it gave one."""
        heard = self.reasons.get(Ending.INCOMPLETE)
        return heard.value if heard else None

    def detail(self, name: str) -> Any:
        heard = self.details.get(name)
        return heard.value if heard else None

    def with_details(self, reported: Mapping[str, Any], number: float | None) -> ResponseFacts:
        details = with_details(self.details, reported, number)
        return self if details is self.details else self._replace(details=details)

    def with_ending(
        self, ending: Ending, *, error: ProviderError | None, reason: str | None, number: float | None
    ) -> ResponseFacts:
        errors, reasons = self.errors, self.reasons
        if error is not None:
            errors = with_report(errors, ending, ReportedValue(error, number))
        if reason is not None:
            reasons = with_report(reasons, ending, ReportedValue(reason, number))
        return self._replace(endings=self.endings | {ending}, errors=errors, reasons=reasons)


_BY_WORDS = (Ending.FAILED, Ending.ERROR, Ending.REFUSED, Ending.STRAY_ERROR)


def has_failed(endings: frozenset[Ending], *, has_ended: bool) -> bool:
    """Return whether these endings mean failure.

    A stray error fails only a response that ends without completing: the error of a tool is not that of the image.
    """
    if not endings.isdisjoint(_FAILURES):
        return True
    is_cut = has_ended or Ending.INCOMPLETE in endings
    return Ending.STRAY_ERROR in endings and is_cut and Ending.COMPLETED not in endings


class AnswerText:
    """The pieces of text that arrived for one response: those of the lowest numbers, up to MAX_TEXT_LENGTH characters.

    It changes in place and stores its size, because copying a tuple for each piece would cost more and more.
    """

    __slots__ = ("_numbers", "_pieces", "_size")

    def __init__(self) -> None:
        self._numbers: list[float] = []
        self._pieces: list[str] = []
        self._size = 0

    def add(self, piece: str, number: float | None) -> None:
        """Add a piece. Without a number it follows the last piece. An equal piece with the same number is a repeat."""
        is_numbered = number is not None
        numbers, last = self._numbers, self._numbers[-1] if self._numbers else -1.0
        number = last if number is None else number
        at = len(numbers) if number >= last else bisect_right(numbers, number)
        if at == len(numbers) and self._size >= MAX_TEXT_LENGTH:
            return
        if is_numbered and piece in self._pieces[bisect_left(numbers, number) : at]:
            return
        numbers.insert(at, number)
        self._pieces.insert(at, piece)
        self._size += len(piece)
        while self._size - len(self._pieces[-1]) >= MAX_TEXT_LENGTH:
            numbers.pop()
            self._size -= len(self._pieces.pop())

    def __str__(self) -> str:
        return "".join(self._pieces)
