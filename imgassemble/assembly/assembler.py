"""The assembler: events go in, updates come out, and at any moment every image can be asked for.

Knows: what is held, what was told, and who listens. Must not know: bytes on a wire, files, clocks, tasks. It is fed by
one thread at a time; what it hands out are immutable values, for any thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from inspect import iscoroutinefunction
from typing import Any, get_args

from ..errors import FrameDecodeError, ImgassembleError, LimitError, UsageError
from ..frames.base64_json import load_decoded
from ..frames.frame import Frame
from ..limits import Limits
from ..readonly import ReadOnly
from ..wire.reader import read_event
from ..wire.signals import read
from .changes import Change, Held, Keep, KeyBy, Rules, weigh
from .items import Cursor, Item, Pixels, Result, result_of
from .lifecycle import Facts, StreamFacts, Verdict, error_of, judge, reason_of
from .updates import MOST_ANOMALIES, Anomaly, FinalReady, FrameAdded, Outcome, StreamEnded, Told, Update, tell

Listener = Callable[[Any], object]
UPDATES: tuple[type, ...] = get_args(Update)

_log = logging.getLogger("imgassemble")


class Assembler:
    """Turns the events of one stream into images that can be shown at once.

    limits: what is accepted; beyond it is a LimitError.
    strict: raise the error of an anomaly, with nothing changed by its event, instead of telling it as an update.
    keep: "all" partials, or only the "latest" of each item, so that memory does not grow with them.
    key_by: what names an item; "output_index" joins the events of a service whose item ids change from event to event
        (the items are then "output-0", "output-1", …).
    """

    def __init__(
        self, *, limits: Limits | None = None, strict: bool = False, keep: Keep = "all", key_by: KeyBy = "item_id"
    ) -> None:
        for name, value, kind in (("keep", keep, Keep), ("key_by", key_by, KeyBy)):
            if value not in get_args(kind):
                raise UsageError(f"{name} is one of {', '.join(map(repr, get_args(kind)))}, not {value!r}")
        if not isinstance(limits, Limits | None):
            raise UsageError(f"limits is a Limits, not {type(limits).__name__}")
        self._rules = Rules(limits=limits or Limits(), strict=strict, keep=keep, key_by=key_by)
        self._held = Held()
        self._told: dict[str, Told] = {}
        self._anomalies: dict[str | None, tuple[Anomaly, ...]] = {}
        self._built: dict[str, tuple[Facts, StreamFacts, tuple[Anomaly, ...], Item]] = {}
        self._pixels: dict[str, Pixels] = {}
        self._newest: str | None = None
        self._result: Result | None = None
        self._listeners: dict[object, tuple[Listener, tuple[type, ...]]] = {}
        self._is_telling = False
        self._is_late = False  # some hear later than the listeners do
        self._to_discard: list[str] = []

    def feed(self, event: object) -> tuple[Update, ...]:
        """What `event` changed, in the order in which the listeners were told.

        event: a mapping, JSON text or bytes, or an SDK's own object. An ImgassembleError that a source gives in an
            event's place is told as an anomaly.

        Raises UsageError after `close()` and from inside a listener; and with strict=True whatever is wrong with the
        event, which then changes nothing.
        """
        self._check_turn()
        if self._result is not None:
            raise UsageError("the stream was closed: make a new Assembler for another stream")
        change = self._weigh(event)
        del event  # it holds a picture, and goes before the listeners hear
        if self._rules.strict and change.anomalies:
            raise change.anomalies[0].error
        updates = self._put(change)
        self._notify(updates)
        return tuple(updates)

    def close(self) -> tuple[Update, ...]:
        """The stream has ended: what that changed. A second call changes nothing and gives ().

        Raises IncompleteStreamError with strict=True where the outcome is INCOMPLETE, after everything was told.
        """
        self._check_turn()
        if self._result is not None:
            return ()
        standing = self._held.standing
        change = Change(standing=standing._replace(stream=standing.stream.ended()))
        updates = self._put(change)
        self._result = result = self._conclude()
        updates.append(StreamEnded(result.outcome, result.error))
        self._notify(updates)
        if self._rules.strict and result.outcome is Outcome.INCOMPLETE:
            result.raise_for_outcome()
        return tuple(updates)

    def discard(self, item_id: str) -> Item:
        """The item as it stood; from now on the assembler holds nothing of it, and passes over what is said of it.

        For a stream without end, so that memory does not grow with what was shown long ago. A listener may call it; it
        is done when all have heard, sinks among them. How the item ended still counts for the outcome. Raises KeyError
        where no event has named it.
        """
        item = self[item_id]
        self._to_discard.append(item_id)
        if not (self._is_telling or self._is_late):
            self._let_go()
        return item

    def _let_go(self) -> None:
        while self._to_discard:
            item_id = self._to_discard.pop()
            if item_id in self._held.facts:
                item = self[item_id]
                self._held.discard(item_id, item.state, item.error)
            for held in (self._told, self._anomalies, self._built, self._pixels):
                held.pop(item_id, None)
            self._newest = None if self._newest == item_id else self._newest

    def subscribe(self, callback: Listener, *types: Any) -> Callable[[], None]:
        """Have `callback` called in the feeding thread with each update of these types (no types: with every update).

        Returns a function that ends it. A callback that raises is logged and disturbs nothing else. Raises UsageError
        for what cannot be called, and for a coroutine function, which nobody would await here.
        """
        check_listener(callback)
        if iscoroutinefunction(callback) or iscoroutinefunction(type(callback).__call__):
            raise UsageError("a coroutine function would never be awaited here: use aassemble(…, on_update=callback)")
        wanted = tuple(each for kind in types for each in (get_args(kind) or (kind,)))
        if not all(kind in UPDATES for kind in wanted):
            raise UsageError(f"the types of updates are {', '.join(kind.__name__ for kind in UPDATES)}")
        key = object()
        self._listeners[key] = (callback, wanted)

        def unsubscribe() -> None:
            self._listeners.pop(key, None)

        return unsubscribe

    @property
    def items(self) -> Mapping[str, Item]:
        """The items as they stand, by id, in the order in which they were first heard of."""
        items = {}
        for item_id in tuple(self._held.facts):
            with suppress(KeyError):  # it was discarded in this moment, by the thread that feeds
                items[item_id] = self[item_id]
        return ReadOnly(items)

    def __getitem__(self, item_id: str) -> Item:
        """The item as it stands. Raises KeyError where no event has named it."""
        facts, stream = self._held.facts[item_id], self._held.standing.stream
        anomalies = self._anomalies.get(item_id, ())
        built = self._built.get(item_id)
        if built and built[0] is facts and built[1] is stream and built[2] is anomalies:
            return built[3]
        verdict = judge(facts, stream)
        item = Item(
            id=item_id,
            state=verdict.state,
            partials=facts.partials,
            final=verdict.final,
            is_provisional=verdict.is_provisional,
            error=error_of(item_id, verdict, facts, stream),
            reason=reason_of(verdict, facts, stream),
            anomalies=anomalies,
            output_index=facts.detail("output_index"),
            revised_prompt=facts.detail("revised_prompt"),
            usage=facts.detail("usage"),
            url=facts.detail("url"),
            _pixels=self._pixels.setdefault(item_id, Pixels()),
        )
        self._built[item_id] = (facts, stream, anomalies, item)
        return item

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._held.facts

    @property
    def latest(self) -> Frame | None:
        """The best picture of the item that got one last; None before the first."""
        with suppress(KeyError):
            return None if self._newest is None else self[self._newest].latest
        return None

    @property
    def result(self) -> Result | None:
        """What the whole stream gave; None until `close()`."""
        return self._result

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended; None until `close()`."""
        return self._result.outcome if self._result else None

    @property
    def cursor(self) -> Cursor:
        """How far the stream was heard: the response's id and the highest sequence number, where to resume it."""
        return self._held.standing.cursor

    @property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """What was wrong with events that belong to no item: the newest 100."""
        return self._anomalies.get(None, ())

    @property
    def skipped(self) -> int:
        """How many events were not for us: of other types, or repeats."""
        return self._held.standing.skipped

    @property
    def limits(self) -> Limits:
        """What is accepted."""
        return self._rules.limits

    def __repr__(self) -> str:
        return f"<Assembler of {len(self._held.facts)} items, {self.outcome or 'open'}>"

    def _weigh(self, event: object) -> Change:
        try:
            if isinstance(event, ImgassembleError):
                raise copy(event)  # what is kept of it is ours; the caller's stays as it is
            if isinstance(event, (str, bytes, bytearray, memoryview)):
                _check_size(event, self.limits)
            return weigh(read(read_event(event, load_decoded)), self._held, self._rules)
        except ImgassembleError as error:
            change = Change(standing=self._held.standing)
            change.trouble(None, "over_limit" if isinstance(error, LimitError) else "unreadable_event", error)
            return change

    def _put(self, change: Change) -> list[Update]:
        """Put `change` in place; the updates that tell it."""
        held, before, now = self._held, self._held.standing.stream, change.standing.stream
        held.facts.update(change.facts)
        held.standing = change.standing
        # What ends the response or the stream can move every item; that happens a handful of times in a stream.
        moves_all = before is not now and (before.endings, before.has_ended) != (now.endings, now.has_ended)
        updates: list[Update] = []
        for item_id in held.facts if moves_all else change.facts:
            self._built.pop(item_id, None)  # it would hold on to frames that are not held any more
            updates += self._tell(item_id, change.added.get(item_id, ()))
        for update in updates:
            if isinstance(update, (FrameAdded, FinalReady)):
                self._newest = update.item_id
        for anomaly in change.anomalies:
            _release(anomaly.error)
            kept = (*self._anomalies.get(anomaly.item_id, ()), _without_data(anomaly))
            self._anomalies[anomaly.item_id] = kept[-MOST_ANOMALIES:]
        return updates + change.anomalies

    def _tell(self, item_id: str, added: Iterable[Frame]) -> list[Update]:
        facts, stream = self._held.facts[item_id], self._held.standing.stream
        verdict = judge(facts, stream)
        updates, self._told[item_id] = tell(
            item_id,
            self._told.get(item_id, Told()),
            verdict,
            latest=verdict.final or (facts.partials[-1] if facts.partials else None),
            added=added,
            error=error_of(item_id, verdict, facts, stream),
            is_over=stream.is_over,
        )
        return updates

    def _conclude(self) -> Result:
        stream = self._held.standing.stream
        return replace(result_of(self.items, stream, self._held.gone), anomalies=self.anomalies)

    def _check_turn(self) -> None:
        if self._is_telling:
            raise UsageError("a listener cannot feed or close what it listens to: the others have not heard yet")

    def _notify(self, updates: list[Update]) -> None:
        self._is_telling = True
        try:
            for update in updates:
                for callback, types in tuple(self._listeners.values()):
                    if not types or isinstance(update, types):
                        _call(callback, update)
        finally:
            self._is_telling = False
            if not self._is_late:
                self._let_go()


@contextmanager
def late_listeners(assembler: Assembler) -> Iterator[Callable[[], None]]:
    """For those that hear later than listeners do. What is discarded stays until what this gives is called."""
    assembler._is_late = True
    try:
        yield assembler._let_go
    finally:
        assembler._is_late = False
        assembler._let_go()


def updates_so_far(assembler: Assembler) -> Iterator[Update]:
    """What a listener would have heard by now of what is held, for one that comes late."""
    is_over = assembler._held.standing.stream.is_over  # a provisional final is told only then
    for item in assembler.items.values():
        verdict = Verdict(item.state, item.final, is_provisional=item.is_provisional)
        updates, _ = tell(
            item.id, Told(), verdict, latest=item.latest, added=item.partials, error=item.error, is_over=is_over
        )
        yield from updates
        yield from item.anomalies
    yield from assembler.anomalies
    if assembler.result:
        yield StreamEnded(assembler.result.outcome, assembler.result.error)


def _release(error: ImgassembleError) -> None:
    """Let go of what an error that is kept would hold on to: through its traceback and context the whole message."""
    if type(error.__cause__).__module__.startswith("pydantic"):  # it holds what it could not read
        error.__cause__ = None
    for each in (error, error.__cause__):
        if each is not None:
            each.__traceback__ = each.__context__ = None


def _without_data(anomaly: Anomaly) -> Anomaly:
    """Return the anomaly in the form that is kept: without the refused bytes of its picture."""
    error = anomaly.error
    return replace(anomaly, error=error.without_data()) if isinstance(error, FrameDecodeError) else anomaly


def _call(callback: Listener, update: Update) -> None:
    try:
        callback(update)
    except Exception:  # noqa: BLE001 - a listener is somebody else's code
        log_failure(update)


def check_listener(callback: object) -> None:
    """Raise UsageError for what cannot be called."""
    if not callable(callback):
        raise UsageError(f"a listener is called with each update, and {type(callback).__name__} cannot be called")


def log_failure(update: Update) -> None:
    """Log the exception under way as that of a listener, with its traceback."""
    _log.exception("a listener failed on %s; the stream goes on", type(update).__name__)


def _check_size(event: str | bytes | bytearray | memoryview, limits: Limits) -> None:
    """Raise LimitError where a message is too large."""
    if isinstance(event, str) and not event.isascii():
        event = event.encode("utf-8", "surrogatepass")
    size = len(event)
    if size > limits.max_event_bytes:
        sentence = f"a message of {size:,} bytes is skipped: Limits.max_event_bytes allows {limits.max_event_bytes:,}"
        raise LimitError(sentence, limit="max_event_bytes", actual=size)
