"""The assembler: events go in, updates come out, and each image can be asked for at any moment.

One thread at a time feeds it. The values that it returns are immutable, and safe in any thread.

Must not know: bytes on a wire, files, clocks, tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from typing import Any, get_args

from ..arguments import check_choice, check_switch, check_text, is_async_function, name_of_type
from ..errors import EventError, FrameDecodeError, ImgassembleError, LimitError, UsageError
from ..frames.base64_json import load_decoded
from ..frames.frame import Frame
from ..limits import Limits, check_limits
from ..readonly import ReadOnly
from ..states import Ending, State
from ..wire.dialects import SETTINGS
from ..wire.reader import read_event
from ..wire.readings import read
from .changes import Change
from .held import Held
from .items import Cursor, Item, Pixels
from .lifecycle import Facts, Verdict, error_of, judge, reason_of
from .listeners import UPDATES, FailureLog, Listener, report_first_event
from .listeners import check_listener as check_listener
from .options import Keep, KeyBy, Rules
from .responses import ResponseFacts
from .results import Result, result_of
from .stream_errors import EndCause, end_cause, result_with_cause
from .stream_log import StreamLog
from .turns import StopSignal, Turn
from .updates import (
    MOST_ANOMALIES,
    Anomaly,
    FinalReady,
    FrameAdded,
    LastReport,
    Outcome,
    StreamEnded,
    Update,
    updates_for,
)
from .weighing import weigh, weigh_fetched, weigh_last_drafts, weigh_open_texts

_log = logging.getLogger("imgassemble")


class Assembler:
    """Turns the events of one stream into images that can be shown while they are made.

    limits: bounds on events, pictures and items. A larger value gives a LimitError.
    strict: raise the error of an anomaly instead of reporting it as an update; the event then changes nothing.
    keep: "all" partials, or only the "latest" of each item, so that memory does not grow with the partials.
    key_by: the field that identifies an item; "output_index" joins the events of a service that changes the item ids
        from event to event (the items are then "output-0", "output-1", …).

    Raises UsageError for a wrong argument.

        assembler = Assembler(keep="latest")
        for event in open_events("otter.sse"):
            for update in assembler.feed(event):
                print(update)
        assembler.close()
        print(assembler.result)
    """

    def __init__(
        self, *, limits: Limits | None = None, strict: bool = False, keep: Keep = "all", key_by: KeyBy = "item_id"
    ) -> None:
        for name, value, kind in (("keep", keep, Keep), ("key_by", key_by, KeyBy)):
            check_choice(name, value, get_args(kind))
        check_switch("strict", strict)
        check_limits(limits)
        self._rules = Rules(limits=limits or Limits(), strict=strict, keep=keep, key_by=key_by)
        self._held = Held(items_have_ids=key_by == "item_id")
        self._reported: dict[str, LastReport] = {}
        self._anomalies: dict[str | None, tuple[Anomaly, ...]] = {}
        self._built: dict[str, tuple[Facts, ResponseFacts, tuple[Anomaly, ...], Item]] = {}
        self._pixels: dict[str, Pixels] = {}
        self._newest: str | None = None
        self._result: Result | None = None
        self._listeners: dict[object, tuple[Listener, tuple[type, ...]]] = {}
        self._log, self._failures = StreamLog(), FailureLog()
        self._turn = Turn()
        self._stop_signal = StopSignal()
        self._has_late_listeners = False  # a driver calls some listeners after `feed` has returned
        self._to_discard: list[str] = []
        self._links: tuple[tuple[str, str], ...] = ()  # of the last event: items whose result is at a URL

    def feed(self, event: object) -> tuple[Update, ...]:
        """Return the updates that `event` caused, in the order in which the listeners received them.

        event: a mapping, JSON text or bytes, an SDK's own object, or a Picture. A source gives an
            ImgassembleError in place of an event that it cannot read: it is reported as an anomaly.

        Raises UsageError after `close()`, inside a listener, and while another thread feeds. With strict=True it also
        raises the error of the first anomaly, and the event then changes nothing.
        """
        self._turn.take()
        try:
            if self._result is not None:
                raise UsageError("the stream was closed: make a new Assembler for another stream")
            change = self._weigh(event)
            del event  # it holds a picture: release it before the listeners are called
            return self._apply(change)
        finally:
            self._turn.release()

    def _apply(self, change: Change) -> tuple[Update, ...]:
        """Store `change`, call the listeners, and return the updates. A strict assembler raises the first anomaly."""
        if self._rules.strict and change.anomalies:
            change.journal.undo()
            raise change.anomalies[0].error
        updates = self._store(change)
        if updates or self._to_discard:
            self._notify(updates)
        return tuple(updates)

    def close(self, error: BaseException | None = None) -> tuple[Update, ...]:
        """End the stream, and return the updates that this caused. A second call changes nothing and returns ().

        error: the exception that ended the stream. If it carries an error of the service, the outcome is FAILED;
            otherwise INCOMPLETE, with an IncompleteStreamError that names it. It is only logged if every response had
            ended before. GeneratorExit, CancelledError and KeyboardInterrupt mean that the program has stopped reading:
            the items are judged as if the stream had ended there.

        Raises IncompleteStreamError with strict=True if the outcome is INCOMPLETE, after the listeners were called.
        """
        if not isinstance(error, BaseException | None):
            raise UsageError(f"error is the exception that ended the stream, not {name_of_type(error)}")
        self._turn.take()
        try:
            if self._result is not None:
                return ()
            updates, result = self._end(error)
            self._notify(updates)
            self._log.add_end(result)
        finally:
            self._turn.release()
        if self._rules.strict and result.outcome is Outcome.INCOMPLETE:
            result.raise_for_outcome()
        return tuple(updates)

    def _end(self, error: BaseException | None) -> tuple[list[Update], Result]:
        """Store the end of the stream, and return its updates and the result."""
        cause = end_cause(error, self._stop_signal.reason)
        if self.is_over:
            if cause.exception is not None:
                _log.warning("the stream raised %s after its last response had ended", type(error).__name__)
            cause = EndCause()
        updates = self._store(self._end_responses(cause))
        self._result = result = result_with_cause(result_of(self.items, self._held, self.anomalies), cause)
        return [*updates, StreamEnded(result.outcome, result.error)], result

    def _end_responses(self, cause: EndCause) -> Change:
        """Return the change that the end of the stream makes."""
        change = Change(self._held)
        weigh_open_texts(self._held, self._rules, change)
        if cause == EndCause():
            weigh_last_drafts(self._held, change)
        for record in self._held.responses.values():
            facts = record.facts
            if cause.provider_error is not None and facts.is_open:
                facts = facts.with_ending(Ending.ERROR, error=cause.provider_error, reason=None, number=None)
            stop_reason = None if facts.is_over else cause.item_reason
            change.journal.set(record, "facts", facts._replace(has_ended=True, stop_reason=stop_reason))
            change.judged_again.append(record)
        return change

    def stop(self, reason: str = "stopped") -> None:
        """End the reading of the stream early, from any thread or listener; the driver then closes the stream.

        reason: the `reason` of the items that are incomplete then.

        It takes effect at once in async code, and with the clients that this library knows; with any other reader at
        its next event. Without a driver, `close()` uses the reason.
        """
        check_text("reason", reason)
        self._stop_signal.set(reason)

    @property
    def is_stopped(self) -> bool:
        """Return whether `stop` was called."""
        return self._stop_signal.reason is not None

    @property
    def is_over(self) -> bool:
        """Return whether no further result can arrive: every known response has ended, or the stream has."""
        responses = [record.facts for record in self._held.responses.values()]
        return self._result is not None or (bool(responses) and all(facts.is_over for facts in responses))

    def discard(self, item_id: str) -> Item:
        """Remove the item with the id `item_id`, and return it. Later events about it are skipped.

        Use it for a stream without end, so that memory does not grow with images that were shown long ago. A listener
        may call it: the item is removed after all listeners, sinks included, have received the updates. Its end still
        counts for the outcome. Raises KeyError if no event has named the item.
        """
        item = self[item_id]
        self._to_discard.append(item_id)
        if not (self._turn.is_taken or self._has_late_listeners):
            self._discard_pending()
        return item

    def _discard_pending(self) -> None:
        while self._to_discard:
            item_id = self._to_discard.pop()
            if item_id in self._held.facts:
                item = self[item_id]
                self._held.discard(item_id, item.state, item.error)
            for held in (self._reported, self._anomalies, self._built, self._pixels):
                held.pop(item_id, None)
            self._newest = None if self._newest == item_id else self._newest

    def subscribe(self, callback: Listener, *types: Any) -> Callable[[], None]:
        """Call `callback` in the feeding thread with each update of these types (no types: with every update).

        Returns a function that ends the subscription. The stream waits while the callback runs. An exception of the
        callback is logged, and the stream goes on. Raises UsageError if `callback` cannot be called, or is a coroutine
        function.
        """
        check_listener(callback)
        if is_async_function(callback):
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
        """Return the items as they are now, by id, in the order of their first events."""
        items = {}
        for item_id in tuple(self._held.facts):
            with suppress(KeyError):  # the feeding thread has just discarded it
                items[item_id] = self[item_id]
        return ReadOnly(items)

    def __getitem__(self, item_id: str) -> Item:
        """Return the item as it is now. Raises KeyError if no event has named it."""
        facts, record = self._held.facts[item_id], self._held.owners[item_id]
        response = record.facts
        anomalies = self._anomalies.get(item_id, ())
        built = self._built.get(item_id)
        if built and built[0] is facts and built[1] is response and built[2] is anomalies:
            return built[3]
        verdict = judge(facts, response)
        item = Item(
            id=item_id,
            state=verdict.state,
            partials=facts.partials,
            final=verdict.final,
            is_provisional=verdict.is_provisional,
            error=error_of(item_id, verdict, facts, response),
            reason=reason_of(verdict, facts, response),
            anomalies=anomalies,
            output_index=facts.detail("output_index"),
            revised_prompt=facts.detail("revised_prompt"),
            usage=facts.detail("usage"),
            url=facts.detail("url"),
            wire_id=record.items[item_id],
            response_id=response.id,
            settings=ReadOnly({name: facts.details[name].value for name in SETTINGS if name in facts.details}),
            _pixels=self._pixels.setdefault(item_id, Pixels()),
        )
        self._built[item_id] = (facts, response, anomalies, item)
        return item

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._held.facts

    @property
    def latest(self) -> Frame | None:
        """Return the best picture of the item that received one last; None before the first."""
        with suppress(KeyError):
            return None if self._newest is None else self[self._newest].latest
        return None

    @property
    def result(self) -> Result | None:
        """Return the result of the whole stream; None until `close()`."""
        return self._result

    @property
    def outcome(self) -> Outcome | None:
        """Return how the stream ended; None until `close()`."""
        return self._result.outcome if self._result else None

    @property
    def cursor(self) -> Cursor:
        """Return the position to resume at: the response id of the last event, and its highest sequence number."""
        record = self._held.heard_last
        return Cursor(record.facts.id, record.highest) if record else Cursor()

    @property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """Return the anomalies of events that belong to no item: the newest 100."""
        return self._anomalies.get(None, ())

    @property
    def skipped(self) -> int:
        """Return the number of events that were skipped: events of other types, and repeats."""
        return self._held.skipped

    @property
    def limits(self) -> Limits:
        """Return the limits of this assembler."""
        return self._rules.limits

    def __repr__(self) -> str:
        n_items = len(self._held.facts)
        return f"<Assembler of {n_items} {'item' if n_items == 1 else 'items'}, {self.outcome or 'open'}>"

    def _weigh(self, event: object) -> Change:
        """Return the change that `event` makes. An exception leaves the assembler as it was."""
        held = self._held
        change = Change(held)
        try:
            if type(event) is not dict:
                _check(event, self._rules.limits)
            reading = read(read_event(event, load_decoded))
            if not held.has_read_event:
                held.has_read_event = True
                report_first_event([callback for callback, _ in self._listeners.values()], self._failures)
            weigh(reading, held, self._rules, change)
        except ImgassembleError as error:
            change.journal.undo()
            change = Change(held)
            change.report(None, "over_limit" if isinstance(error, LimitError) else "unreadable_event", error)
            change.unreadable = str(error) if isinstance(error, EventError) else None
        except BaseException:
            change.journal.undo()
            raise
        return change

    def _store(self, change: Change) -> list[Update]:
        """Store `change`, and return its updates."""
        held = self._held
        moved = change.moved_items(held)
        change.store(held)
        self._links = change.links
        if not (moved or change.anomalies):  # nearly always
            return []
        updates: list[Update] = []
        for item_id in moved:
            self._built.pop(item_id, None)  # it holds frames that may not be held any more
            updates += self._updates_of(item_id, change.added.get(item_id, ()))
        for update in updates:
            if isinstance(update, (FrameAdded, FinalReady)):
                self._newest = update.item_id
        for anomaly in change.anomalies:
            _release(anomaly.error)
            kept = (*self._anomalies.get(anomaly.item_id, ()), _without_data(anomaly))
            self._anomalies[anomaly.item_id] = kept[-MOST_ANOMALIES:]
            self._log.add_anomaly(anomaly)
        return updates + change.anomalies

    def _updates_of(self, item_id: str, added: Iterable[Frame]) -> list[Update]:
        facts, response = self._held.facts[item_id], self._held.response_of(item_id)
        verdict = judge(facts, response)
        updates, self._reported[item_id] = updates_for(
            item_id,
            self._reported.get(item_id, _NOTHING_REPORTED),
            verdict,
            latest=verdict.final or (facts.partials[-1] if facts.partials else None),
            added=added,
            error=error_of(item_id, verdict, facts, response) if verdict.state.is_end else None,
            is_over=response.is_over,
        )
        return updates

    def _notify(self, updates: list[Update]) -> None:
        """Call the listeners. An interrupt in one of them is raised after the others have received the updates."""
        self._log.add_updates(updates)
        interrupt: BaseException | None = None
        with self._turn.listening():
            for update in updates:
                for callback, types in tuple(self._listeners.values()):
                    if not types or isinstance(update, types):
                        try:
                            callback(update)
                        except Exception:  # noqa: BLE001 - a listener is code of the caller
                            self._failures.add(callback, type(update).__name__)
                        except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt and the like
                            interrupt = interrupt or error
        if not self._has_late_listeners:
            self._discard_pending()
        if interrupt is not None:
            raise interrupt


_NOTHING_REPORTED = LastReport()


@contextmanager
def late_listeners(assembler: Assembler) -> Iterator[Callable[[], None]]:
    """Keep discarded items for listeners that are called after `feed` has returned.

    Yields a function that removes the items that were discarded in the meantime.
    """
    assembler._has_late_listeners = True
    try:
        yield assembler._discard_pending
    finally:
        assembler._has_late_listeners = False
        assembler._discard_pending()


def stop_signal(assembler: Assembler) -> StopSignal:
    """Return the signal that `assembler.stop()` sets, for the driver that reads the stream."""
    return assembler._stop_signal


def links_of_last_event(assembler: Assembler) -> list[tuple[str, str]]:
    """Return the items that still need a result, and that got a URL in its place by the last event, with their URLs."""
    found = [(assembler[item_id], url) for item_id, url in assembler._links if item_id in assembler]
    waiting = (each for each in found if each[0].final is None or each[0].is_provisional)
    return [(item.id, url) for item, url in waiting if item.state is not State.FAILED]


def links_at_end(assembler: Assembler) -> list[tuple[str, str]]:
    """Return the items whose last picture is the result, and that got only URLs, with the last URL of each."""
    facts_of = assembler._held.facts
    found = ((name, facts.detail("url")) for name, facts in facts_of.items() if facts.detail("is_last_result"))
    return [(name, url) for name, url in found if url is not None and not facts_of[name].pictures()]


def put_fetched(assembler: Assembler, item_id: str, fetched: bytes | ImgassembleError) -> tuple[Update, ...]:
    """Feed the picture at the URL of an item, or the error in its place, as `Assembler.feed` does.

    The picture belongs to the item, also if its response has ended.
    """
    held, rules = assembler._held, assembler._rules
    assembler._turn.take()
    try:
        if item_id not in held.facts:  # it was discarded in the meantime
            return ()
        if isinstance(fetched, bytes):
            return assembler._apply(weigh_fetched(item_id, fetched, held, rules))
        change = Change(held)
        change.report(item_id, "over_limit" if isinstance(fetched, LimitError) else "not_fetched", fetched)
        return assembler._apply(change)
    finally:
        assembler._turn.release()


def put_response_last(assembler: Assembler, response_id: str) -> None:
    """Count the response as the last one that began. Nothing happens if no event has named it.

    A stream that continues a saved run from its start begins the saved responses at their places.
    """
    held = assembler._held
    if record := held.ids.get(response_id):
        held.responses[record.number] = held.responses.pop(record.number)


def updates_so_far(assembler: Assembler) -> Iterator[Update]:
    """Return the updates that lead from an empty assembler to the present one, for a listener that subscribes late.

    Discarded items, and frames that are not kept, are left out.
    """
    for item in assembler.items.values():
        verdict = Verdict(item.state, item.final, is_provisional=item.is_provisional)
        owner = assembler._held.owners.get(item.id)
        is_over = owner is None or owner.facts.is_over
        updates, _ = updates_for(
            item.id, LastReport(), verdict, latest=item.latest, added=item.partials, error=item.error, is_over=is_over
        )
        yield from updates
        yield from item.anomalies
    yield from assembler.anomalies
    if assembler.result:
        yield StreamEnded(assembler.result.outcome, assembler.result.error)


def _without_data(anomaly: Anomaly) -> Anomaly:
    """Return the anomaly in the form that is kept: without the refused bytes of its picture."""
    error = anomaly.error
    return replace(anomaly, error=error.without_data()) if isinstance(error, FrameDecodeError) else anomaly


def _release(error: ImgassembleError) -> None:
    """Remove the references of a kept error to the whole message: traceback, context, pydantic's error."""
    if type(error.__cause__).__module__.startswith("pydantic"):
        error.__cause__ = None
    for each in (error, error.__cause__):
        if each is not None:
            each.__traceback__ = each.__context__ = None


def _check(event: object, limits: Limits) -> None:
    """Raise the error that stands for an event that a source could not read, and LimitError if a message is too large.

    The error is a copy, which is kept; the error of the caller is not changed.
    """
    if isinstance(event, ImgassembleError):
        raise copy(event)
    if not isinstance(event, (str, bytes, bytearray, memoryview)):
        return
    if isinstance(event, str) and not event.isascii():
        event = event.encode("utf-8", "surrogatepass")
    size = len(event)
    if size > limits.max_event_bytes:
        sentence = f"a message of {size:,} bytes is skipped: Limits.max_event_bytes allows {limits.max_event_bytes:,}"
        raise LimitError(sentence, limit="max_event_bytes", actual=size)
