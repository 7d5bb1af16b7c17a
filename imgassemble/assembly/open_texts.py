"""Takes the pictures out of the answer in words.

The state of each text whose end can still be the beginning of a picture is held between events. All of them together
have at most `Limits.max_event_bytes`. A cut start, as "d" or "da" of a data: URL, has up to 10 bytes that do not count.
Must not know: which item a picture belongs to, what it shows, listeners.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import LimitError
from ..limits import Limits
from ..states import Ending
from ..wire.dialects import AnswerPart, Reading, Signal
from ..wire.signals import signals_in_text
from ..wire.text_pictures import NEW_TEXT, Scanned, TextState, finish, scan, state_after_words
from ..wire.values import read_words
from .changes import Change
from .held import Held, OpenText, ResponseRecord

_MAX_OPEN_TEXTS = 1_000  # at the same time; a chat has one for each choice
_MAX_LINKS = 10_000  # that are remembered of one response

_Key = tuple[int, str | float | None]


def with_text_pictures(reading: Reading, record: ResponseRecord, held: Held, limits: Limits, change: Change) -> Reading:
    """Return `reading` with a signal for each picture that is complete in the text of its response.

    The words of the text become the piece of `change`.
    """
    parts = reading.parts
    if len(parts) == 1 and _continue_words(parts[0], reading, record, held, change):  # nearly always
        change.piece = read_words(parts[0].text) or None
        return reading
    is_end = reading.ending is not None and reading.ending not in (Ending.ERROR, Ending.STRAY_ERROR)
    texts = _Texts(reading, record, held, limits, change)
    signals = [signal for part in parts for signal in texts.read(part)]
    if is_end:
        signals += texts.end()
    change.piece = "".join(texts.words) or None
    return reading._replace(signals=(*reading.signals, *signals)) if signals else reading


def _continue_words(part: AnswerPart, reading: Reading, record: ResponseRecord, held: Held, change: Change) -> bool:
    """Store the state of a text after a piece without a picture. Return False if the piece must be scanned.

    Many words end with "d" or "da", with which a data: URL begins: this costs less than a scan.
    """
    text, text_key, is_whole, is_last, is_quoted, _ = part
    if is_whole or is_last or not is_quoted or reading.ending is not None:
        return False
    open_texts, number = held.open_texts, reading.sequence_number
    opened = open_texts.get((record.number, text_key)) if open_texts else None
    if opened and _is_repeat(number, opened):
        return False
    state = state_after_words(opened.state if opened else NEW_TEXT, text)
    if state is None:
        return False
    if opened is None and state is NEW_TEXT:
        return True
    key = (record.number, text_key)
    if state is not NEW_TEXT:
        change.journal.put(open_texts, key, OpenText(state, reading.event_type, number))
        if len(open_texts) > _MAX_OPEN_TEXTS:
            _keep(next(iter(open_texts)), NEW_TEXT, reading, held, change)
    else:
        change.journal.discard(open_texts, key)
    return True


def end_texts(held: Held, limits: Limits, change: Change) -> Iterator[tuple[ResponseRecord, Reading]]:
    """End all texts, and yield for each response the pictures that are complete now."""
    for record in {number: held.responses.get(number) for number, _ in held.open_texts}.values():
        if record is None:
            continue
        event_type = next(
            opened.event_type for (number, _), opened in held.open_texts.items() if number == record.number
        )
        reading = Reading(event_type)
        if signals := tuple(_Texts(reading, record, held, limits, change).end()):
            yield record, reading._replace(signals=signals)


class _Texts:
    """The open texts of the response of one event."""

    def __init__(self, reading: Reading, record: ResponseRecord, held: Held, limits: Limits, change: Change) -> None:
        self._reading, self._record, self._held, self._limits, self._change = reading, record, held, limits, change
        self._n_images = len(reading.signals)  # of whole messages
        self.words: list[str] = []

    def read(self, part: AnswerPart) -> Iterator[Signal]:
        """Yield the pictures that are complete with this part."""
        key = (self._record.number, part.key)
        opened = None if part.is_whole else self._held.open_texts.get(key)
        if opened and _is_repeat(self._reading.sequence_number, opened):
            return
        state = opened.state if opened else NEW_TEXT
        room = self._limits.max_event_bytes - self._held.open_text_bytes + state.n_bytes
        scanned = scan(state, part.text, max_bytes=max(0, room))
        pictures = scanned.pictures
        if part.is_whole or part.is_last:
            pictures += finish(scanned.state)
        if not part.is_whole:
            self._keep(key, NEW_TEXT if part.is_last else scanned.state)
        if scanned.too_long:
            self._report(scanned)
        if part.is_quoted:
            self.words.append(read_words(scanned.words) or "")
        if part.has_pictures:
            yield from self._signals(pictures, is_whole=part.is_whole)

    def end(self) -> Iterator[Signal]:
        """End the texts of this response, and yield the pictures that are complete now."""
        for key, opened in list(self._held.open_texts.items()):
            if key[0] == self._record.number:
                self._keep(key, NEW_TEXT)
                yield from self._signals(finish(opened.state), is_whole=False)

    def _signals(self, pictures: tuple[str, ...], *, is_whole: bool) -> Iterator[Signal]:
        """Yield the signals of pictures. A whole message repeats those of its pieces, so they are counted from 0."""
        if is_whole and self._reading.sequence_number is None:
            first = self._n_images
            self._n_images += len(pictures)
            yield from signals_in_text(self._reading, pictures, first=first)
            return
        yield from signals_in_text(self._reading, [each for each in pictures if self._is_new(each)])

    def _is_new(self, picture: str) -> bool:
        """Return whether `picture` is a data: URL, which is compared later, or a link that did not come before."""
        links = self._record.links
        if picture.startswith("data:"):
            return True
        if picture in links:
            return False
        if len(links) < _MAX_LINKS:
            self._change.journal.put(links, picture, None)
        return True

    def _keep(self, key: _Key, state: TextState) -> None:
        _keep(key, state, self._reading, self._held, self._change)

    def _report(self, scanned: Scanned) -> None:
        most = self._limits.max_event_bytes
        sentence = (
            f"a data: URL in the text of the answer has {scanned.too_long:,} characters and more, and is skipped: "
            f"Limits.max_event_bytes allows {most:,} for all that are open"
        )
        error = LimitError(sentence, limit="max_event_bytes", actual=scanned.too_long)
        self._change.report(None, "over_limit", error)


def _keep(key: _Key, state: TextState, reading: Reading, held: Held, change: Change) -> None:
    """Store the state of a text, or remove a text that nothing can be added to."""
    journal = change.journal
    before = held.open_texts.get(key)
    n_bytes = held.open_text_bytes + state.n_bytes - (before.state.n_bytes if before else 0)
    if n_bytes != held.open_text_bytes:
        journal.set(held, "open_text_bytes", n_bytes)
    if state == NEW_TEXT:
        journal.discard(held.open_texts, key)
        return
    number = reading.sequence_number
    journal.put(held.open_texts, key, OpenText(state, reading.event_type, number))
    if len(held.open_texts) > _MAX_OPEN_TEXTS:
        _keep(next(iter(held.open_texts)), NEW_TEXT, reading, held, change)


def _is_repeat(number: float | None, opened: OpenText) -> bool:
    """Return whether an event that continues a text was heard before."""
    return number is not None and opened.sequence_number is not None and number <= opened.sequence_number
