"""Drivers: the same updates sync and async, from events or raw bytes; sinks are closed after every failure."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from imgassemble import (
    Anomaly,
    Assembler,
    DirectorySink,
    EventError,
    FinalReady,
    FrameAdded,
    FrameEncodingError,
    ImgassembleError,
    IncompleteStreamError,
    Limits,
    Outcome,
    ProviderError,
    Result,
    SinkError,
    State,
    StateChanged,
    StreamEnded,
    Update,
    UsageError,
    aassemble,
    aiter_updates,
    assemble,
    iter_updates,
)

FINAL = samples.png(5, 4)
EVENTS = [
    samples.created(seq=0),
    samples.added(seq=1),
    samples.call("in_progress", seq=2),
    samples.call("generating", seq=3),
    samples.partial(index=0, seq=4),
    samples.partial(index=1, seq=5),
    samples.done(content=FINAL, seq=6),
    samples.snapshot("completed", [samples.member(content=FINAL)], seq=7),
]


async def _async(elements: Iterable[Any]) -> AsyncIterator[Any]:
    for element in elements:
        await asyncio.sleep(0)
        yield element


def _sync_updates(elements: Iterable[Any], assembler: Assembler | None = None) -> list[Update]:
    return list(iter_updates(elements, assembler))


def _async_updates(elements: Iterable[Any], assembler: Assembler | None = None) -> list[Update]:
    async def collect() -> list[Update]:
        return [update async for update in aiter_updates(_async(elements), assembler)]

    return asyncio.run(collect())


def _assemble(elements: Iterable[Any], **options: Any) -> Result:
    return assemble(elements, **options)


def _aassemble(elements: Iterable[Any], **options: Any) -> Result:
    async def drain() -> Result:
        return await aassemble(_async(elements), **options)

    return asyncio.run(drain())


both_iterators = pytest.mark.parametrize("updates_of", [_sync_updates, _async_updates])
both = pytest.mark.parametrize("drain", [_assemble, _aassemble])


class Listening:
    """A sink that notes its calls, and fails at the chosen one."""

    def __init__(self, fails_in: str = "", error: BaseException | None = None) -> None:
        self.told: list[Any] = []
        self.threads: set[int] = set()
        self._fails_in = fails_in
        self._error = error or OSError("broken")

    def open(self, assembler: Assembler) -> None:
        self._do("open")

    def __call__(self, update: Update) -> None:
        self._do(update)

    def close(self) -> None:
        self._do("close")

    @property
    def paths(self) -> tuple[Path, ...]:
        return ()

    def _do(self, what: Any) -> None:
        self.told.append(what)
        self.threads.add(threading.get_ident())
        name = what if isinstance(what, str) else "call"
        if name == self._fails_in:
            raise self._error


class LostError(Exception):
    """The connection is lost."""


def _broken(elements: Iterable[Any]) -> Iterator[Any]:
    yield from elements
    raise LostError


# ---- updates


@both_iterators
def test_updates_come_in_order_from_the_first_to_the_streams_end(updates_of: Callable[..., list[Update]]) -> None:
    updates = updates_of(EVENTS)
    assert [type(update).__name__ for update in updates] == [
        "StateChanged", "StateChanged", "StateChanged", "FrameAdded", "FrameAdded", "StateChanged", "FinalReady",
        "ItemEnded", "StreamEnded",
    ]  # fmt: skip
    assert updates[-1] == StreamEnded(Outcome.COMPLETED, None)
    assert updates == [
        update for assembler in [Assembler()] for event in EVENTS for update in assembler.feed(event)
    ] + [StreamEnded(Outcome.COMPLETED, None)]


_BODY = samples.sse(EVENTS, done=True)


@both_iterators
@pytest.mark.parametrize(
    "chunks",
    [
        [_BODY],
        [_BODY[:99], b"", _BODY[99:]],
        [bytearray(_BODY)],
        [memoryview(_BODY)],
        [json.dumps(event) for event in EVENTS],
        [json.dumps(event) + "\n" for event in EVENTS],
        [b"".join(json.dumps(event).encode() + b"\n" for event in EVENTS)],
        [json.dumps(EVENTS).encode()],
    ],
)
def test_events_in_any_clothes_give_the_same_updates(
    updates_of: Callable[..., list[Update]], chunks: list[Any]
) -> None:
    assert updates_of(chunks) == _sync_updates(EVENTS)


@given(st.lists(st.integers(0, len(_BODY)), max_size=12))
def test_a_body_cut_anywhere_gives_the_same_updates(places: list[int]) -> None:
    at = sorted({0, len(_BODY), *places})
    chunks = [_BODY[start:end] for start, end in pairwise(at)]
    assert _sync_updates(chunks) == _sync_updates(EVENTS)


def test_a_body_in_single_bytes_gives_the_same_updates_sync_and_async() -> None:
    chunks = [bytes([byte]) for byte in _BODY]
    assert _sync_updates(chunks) == _sync_updates(EVENTS)
    assert _async_updates(chunks) == _sync_updates(EVENTS)


def test_an_update_is_told_before_the_next_element_is_asked_for() -> None:
    asked: list[int] = []

    def stream() -> Iterator[Any]:
        for number, event in enumerate(EVENTS):
            asked.append(number)
            yield event

    for update in iter_updates(stream()):
        if isinstance(update, FrameAdded) and update.frame.index == 0:
            assert asked[-1] == 4


_LARGE = json.dumps(samples.partial(index=0, content=samples.png() + bytes(10**6)))


class _Async:
    """An async stream that keeps no reference to its events."""

    def __init__(self, elements: Iterator[Any]) -> None:
        self._elements = elements

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._elements)
        except StopIteration:
            raise StopAsyncIteration from None


def _chunks(body: str) -> Iterator[bytes]:
    data = body.encode()
    return (data[at : at + 16_384] for at in range(0, len(data), 16_384))


@pytest.mark.parametrize(
    "stream_of",
    [
        lambda: _chunks(f"data: {_LARGE}\n\n"),
        lambda: map(str.encode, [f"data: {_LARGE}\n\n: the end\n"]),
        lambda: _chunks(f"{_LARGE}\n"),
        lambda: _chunks(f"[{_LARGE}]"),
        lambda: map(json.loads, [_LARGE]),
    ],
    ids=["server-sent events", "all in one chunk", "JSON Lines", "JSON array", "mappings"],
)
@pytest.mark.parametrize("driver", ["iter_updates", "aiter_updates", "assemble", "aassemble"])
def test_while_a_frame_is_shown_nothing_else_is_held_of_its_event(
    stream_of: Callable[[], Iterator[Any]], driver: str
) -> None:
    held: list[int] = []

    def note(update: Update) -> None:
        if isinstance(update, FrameAdded):
            held.append(tracemalloc.get_traced_memory()[0])

    async def drain(stream: Iterator[Any]) -> None:
        if driver == "aassemble":
            await aassemble(_Async(stream), on_update=note)
        else:
            async for update in aiter_updates(_Async(stream)):
                note(update)

    def run(stream: Iterator[Any]) -> None:
        if driver == "assemble":
            assemble(stream, on_update=note)
        elif driver == "iter_updates":
            for update in iter_updates(stream):
                note(update)
        else:
            asyncio.run(drain(stream))

    run(stream_of())  # modules that are loaded once
    stream = stream_of()
    tracemalloc.start()
    try:
        run(stream)
    finally:
        tracemalloc.stop()
    assert 10**6 < held[-1] < 1.3 * 10**6  # the frame has a million bytes, its text a third more


def test_an_open_file_is_a_stream(tmp_path: Path) -> None:
    (tmp_path / "a.sse").write_bytes(_BODY)
    with (tmp_path / "a.sse").open("rb") as file:
        assert _sync_updates(file) == _sync_updates(EVENTS)


@both_iterators
def test_an_empty_stream_has_no_image(updates_of: Callable[..., list[Update]]) -> None:
    (ended,) = updates_of([])
    assert isinstance(ended, StreamEnded)
    assert ended.outcome is Outcome.NO_IMAGE


@both_iterators
def test_an_element_that_is_no_event_is_an_anomaly_and_the_stream_goes_on(
    updates_of: Callable[..., list[Update]],
) -> None:
    updates = updates_of([5, None, "no json", [], *EVENTS])
    assert [update.code for update in updates if isinstance(update, Anomaly)] == ["unreadable_event"] * 4
    assert any(isinstance(update, FinalReady) for update in updates)


@both_iterators
def test_a_loop_that_is_left_early_leaves_an_assembler_open_that_is_kept_open(
    updates_of: Callable[..., list[Update]],
) -> None:
    assembler = Assembler()
    for update in iter_updates(EVENTS, assembler, keep_open=True):
        if isinstance(update, FrameAdded):
            break
    assert assembler.outcome is None
    assert updates_of(EVENTS[5:], assembler)[-1] == StreamEnded(Outcome.COMPLETED, None)


def test_arguments_are_not_changed() -> None:
    given = json.loads(json.dumps(EVENTS))
    _sync_updates(given)
    assert given == EVENTS


# ---- draining


@both
def test_a_stream_is_drained_in_one_call(drain: Callable[..., Result]) -> None:
    result = drain(EVENTS)
    assert result.outcome is Outcome.COMPLETED
    assert result.final is not None
    assert result.final.data == FINAL
    result.raise_for_outcome()


@both
def test_the_callback_hears_every_update_in_order(drain: Callable[..., Result]) -> None:
    told: list[Update] = []
    drain(EVENTS, on_update=told.append)
    assert told == _sync_updates(EVENTS)


@both
def test_sinks_are_opened_told_and_closed_in_order(drain: Callable[..., Result]) -> None:
    sinks = [Listening(), Listening()]
    drain(EVENTS, sinks=iter(sinks))
    for sink in sinks:
        assert sink.told == ["open", *_sync_updates(EVENTS), "close"]


@both
def test_a_frame_is_kept_before_the_callback_hears_of_it(drain: Callable[..., Result], tmp_path: Path) -> None:
    stood: list[bool] = []

    def on_update(update: Update) -> None:
        if isinstance(update, FrameAdded):
            stood.append((tmp_path / "ig_1" / f"partial-{update.frame.index:03}.png").is_file())

    drain(EVENTS, on_update=on_update, sinks=[DirectorySink(tmp_path)])
    assert stood == [True, True]


@both
def test_a_given_assembler_is_fed_and_closed_and_no_longer_listened_to(drain: Callable[..., Result]) -> None:
    assembler = Assembler()
    told: list[Update] = []
    result = drain(EVENTS, on_update=told.append, assembler=assembler)
    assert assembler.result is result
    assert assembler._listeners == {}


def test_sinks_of_aassemble_do_not_work_in_the_loops_thread() -> None:
    sink = Listening()
    _aassemble(EVENTS, sinks=[sink])
    assert threading.get_ident() not in sink.threads


def test_a_coroutine_function_is_awaited_for_each_update_in_order() -> None:
    told: list[Update] = []
    under_way = 0

    async def on_update(update: Update) -> None:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        for _ in range(3):
            await asyncio.sleep(0)
        told.append(update)
        under_way -= 1

    _aassemble(EVENTS, on_update=on_update)
    assert told == _sync_updates(EVENTS)


def test_a_coroutine_function_is_a_usage_error_where_nobody_awaits_it() -> None:
    async def on_update(update: Update) -> None:
        raise AssertionError

    class Callback:
        async def __call__(self, update: Update) -> None:
            raise AssertionError

    for callback in (on_update, Callback()):
        with pytest.raises(UsageError, match="aassemble"):
            assemble(EVENTS, on_update=callback)


def test_a_coroutine_function_that_was_refused_leaves_no_subscription_behind() -> None:
    async def on_update(update: Update) -> None:
        raise AssertionError

    assembler, sink = Assembler(), Listening()
    with pytest.raises(UsageError):
        assemble(EVENTS, on_update=on_update, sinks=[sink], assembler=assembler)
    assert assembler._listeners == {}
    assert assembler.feed(EVENTS[1])
    assert sink.told == []


@both
def test_a_callback_that_raises_is_logged_once_and_disturbs_nothing(
    drain: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    sink = Listening()

    def on_update(update: Update) -> None:
        raise ZeroDivisionError(type(update).__name__)

    result = drain(EVENTS, on_update=on_update, sinks=[sink])
    assert result.outcome is Outcome.COMPLETED
    assert sink.told == ["open", *_sync_updates(EVENTS), "close"]
    (record,) = caplog.records
    assert (record.name, record.exc_info and record.exc_info[0]) == ("imgassemble", ZeroDivisionError)
    assert samples.b64(FINAL) not in caplog.text


def test_a_coroutine_that_raises_is_logged_once_and_disturbs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def on_update(update: Update) -> None:
        raise ZeroDivisionError

    assert _aassemble(EVENTS, on_update=on_update).outcome is Outcome.COMPLETED
    assert len(caplog.records) == 1


@both
def test_an_interrupt_in_a_callback_passes_through_after_the_sinks_are_closed(drain: Callable[..., Result]) -> None:
    sink = Listening()

    def on_update(update: Update) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(EVENTS, on_update=on_update, sinks=[sink])
    assert sink.told[-1] == "close"


@both
def test_the_exception_that_ends_a_stream_has_a_note_of_each_sink_that_failed(drain: Callable[..., Result]) -> None:
    with pytest.raises(LostError) as caught:
        drain(_broken(EVENTS[:5]), sinks=[Listening("close", OSError("the disk is full")), Listening()])
    assert ["the disk is full" in note for note in caught.value.__notes__] == [True]


# ---- wrong arguments

_DRIVERS: dict[str, Callable[..., Any]] = {
    "iter_updates": iter_updates,
    "aiter_updates": aiter_updates,
    "assemble": assemble,
    "aassemble": lambda stream: asyncio.run(_of(stream)),
}


async def _of(stream: Any) -> Result:
    return await aassemble(stream)


@pytest.mark.parametrize("driver", sorted(_DRIVERS))
@pytest.mark.parametrize("stream", [None, 5, object()])
def test_anything_else_is_no_stream(driver: str, stream: Any) -> None:
    with pytest.raises(UsageError, match=r"is no stream: pass the client's stream"):
        _DRIVERS[driver](stream)


@pytest.mark.parametrize("driver", sorted(_DRIVERS))
@pytest.mark.parametrize("text", ["otter.sse", "/tmp/otter.sse", r"C:\otter.sse", "", "5", "an otter"])
def test_a_text_without_events_is_a_usage_error_that_names_path(driver: str, text: str) -> None:
    with pytest.raises(UsageError, match=r"for a file pass Path\("):
        _DRIVERS[driver](text)


class _AsyncStream:
    def __aiter__(self) -> AsyncIterator[Any]:
        return _async(EVENTS)


@pytest.mark.parametrize(
    ("driver", "stream", "named"),
    [
        ("iter_updates", _AsyncStream(), "aiter_updates or aassemble"),
        ("assemble", _AsyncStream(), "aiter_updates or aassemble"),
        ("aiter_updates", iter(EVENTS), "iter_updates or assemble"),
        ("aassemble", iter(EVENTS), "iter_updates or assemble"),
    ],
)
def test_a_stream_of_the_other_kind_is_a_usage_error_that_names_the_twin(driver: str, stream: Any, named: str) -> None:
    with pytest.raises(UsageError, match=f"use {named}"):
        _DRIVERS[driver](stream)


@both_iterators
@pytest.mark.parametrize("line", ["event: a", "data: {}", ": comment", "id: 1", "retry: 3", "\ufeffdata: {}"])
def test_lines_of_text_are_a_usage_error_that_names_iter_bytes(
    updates_of: Callable[..., list[Update]], line: str
) -> None:
    with pytest.raises(UsageError, match=r"iter_bytes\(\)"):
        updates_of([line, "", "data: {}"])


@both
@pytest.mark.parametrize("on_update", ["print", 5, [5], [print, None]])
def test_a_callback_that_cannot_be_called_is_a_usage_error(drain: Callable[..., Result], on_update: Any) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        drain(EVENTS, on_update=on_update)


@both
@pytest.mark.parametrize("sinks", [5, "out", ["out"], [print], [None]])
def test_what_is_no_list_of_sinks_is_a_usage_error(drain: Callable[..., Result], sinks: Any) -> None:
    with pytest.raises(UsageError, match="sink"):
        drain(EVENTS, sinks=sinks)


@both
def test_one_sink_without_a_list_is_a_usage_error(drain: Callable[..., Result], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sinks"):
        drain(EVENTS, sinks=DirectorySink(tmp_path))


@both
def test_an_assembler_that_was_closed_is_a_usage_error(drain: Callable[..., Result]) -> None:
    assembler = Assembler()
    assembler.close()
    with pytest.raises(UsageError, match="new Assembler"):
        drain(EVENTS, assembler=assembler)


# ---- streams that break


@both
def test_the_streams_exception_passes_through_after_the_sinks_are_closed(drain: Callable[..., Result]) -> None:
    sink = Listening()
    with pytest.raises(LostError):
        drain(_broken(EVENTS[:5]), sinks=[sink])
    assert sink.told[0] == "open"
    assert sink.told[-1] == "close"


ANSWER = json.dumps({"created": 1, "data": [{"b64_json": samples.b64(FINAL)}]}).encode()
UNENDED = samples.sse(EVENTS).rstrip()


@both
@pytest.mark.parametrize("body", [ANSWER, UNENDED])
def test_what_came_whole_counts_where_a_stream_of_bytes_breaks_instead_of_ending(
    drain: Callable[..., Result], body: bytes
) -> None:
    assembler = Assembler()
    with suppress(LostError):  # a stream that breaks after its last response raises nothing
        drain(_broken([body]), assembler=assembler)
    assert [item.final and item.final.data for item in assembler.items.values()] == [FINAL]


@both
def test_a_torn_event_at_a_break_is_no_anomaly(drain: Callable[..., Result]) -> None:
    assembler = Assembler(strict=True)
    with pytest.raises(LostError):
        drain(_broken([samples.sse(EVENTS)[:-40]]), assembler=assembler)
    assert assembler.anomalies == ()


@both
@pytest.mark.parametrize("is_given", [True, False])
def test_listeners_and_sinks_receive_the_end_of_a_stream_that_raises(
    drain: Callable[..., Result], is_given: bool
) -> None:
    sink, told = Listening(), list[Update]()
    with pytest.raises(LostError):
        drain(_broken(EVENTS[:5]), on_update=told.append, sinks=[sink], assembler=Assembler() if is_given else None)
    assert sink.told == ["open", *told, "close"]
    assert [type(update) for update in told] == [type(update) for update in _sync_updates(EVENTS[:5])]
    assert isinstance(told[-1], StreamEnded)
    assert told[-1].outcome is Outcome.INCOMPLETE
    assert "LostError" in str(told[-1].error)


@both_iterators
def test_the_iterators_yield_the_end_of_a_stream_before_they_raise(updates_of: Callable[..., list[Update]]) -> None:
    assembler, told = Assembler(), list[Update]()
    assembler.subscribe(told.append)
    with pytest.raises(LostError):
        updates_of(_broken(EVENTS[:5]), assembler)
    updates: list[Update] = []
    with pytest.raises(LostError):
        updates.extend(iter_updates(_broken(EVENTS[:5])))
    assert updates == told
    assert isinstance(updates[-1], StreamEnded)
    assert assembler.result is not None


@both
def test_an_exception_after_every_response_has_ended_is_logged_and_ends_the_stream_normally(
    drain: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    assert drain(_broken(EVENTS)).outcome is Outcome.COMPLETED
    assert "LostError" in caplog.text


class APIError(Exception):
    """An exception that carries an error of the service, as openai's does."""

    def __init__(self) -> None:
        super().__init__("Error code: 400")
        self.body = {"code": "moderation_blocked", "message": "no otters"}


@both
def test_the_error_of_the_service_in_an_exception_reaches_the_listeners(drain: Callable[..., Result]) -> None:
    def stream() -> Iterator[Any]:
        yield from EVENTS[:5]
        raise APIError

    told: list[Update] = []
    with pytest.raises(APIError):
        drain(stream(), on_update=told.append)
    assert isinstance(told[-1], StreamEnded)
    assert told[-1].outcome is Outcome.FAILED
    assert isinstance(told[-1].error, ProviderError)
    assert told[-1].error.code == "moderation_blocked"


@both
@pytest.mark.parametrize("cut", range(len(EVENTS)))
@pytest.mark.parametrize("overlap", [0, 1, 3])
def test_an_assembler_that_is_kept_open_goes_on_with_a_resumed_stream(
    drain: Callable[..., Result], cut: int, overlap: int, tmp_path: Path
) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path / "out")
    with pytest.raises(LostError):
        drain(_broken(EVENTS[:cut]), sinks=[sink], assembler=assembler, keep_open=True)
    assert assembler.result is None
    assert assembler.cursor.sequence_number == (cut - 1 if cut else None)
    result = drain(EVENTS[max(0, cut - overlap) :], sinks=[sink], assembler=assembler)
    assert result.items == assemble(EVENTS).items
    assert sorted(path.name for path in sink.paths) == ["final.png", "item.json", "partial-000.png", "partial-001.png"]
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


@both
def test_bytes_cut_in_the_middle_of_an_event_can_be_resumed_from_the_cursor(drain: Callable[..., Result]) -> None:
    body = samples.sse(EVENTS)
    assembler = Assembler()
    with pytest.raises(LostError):
        drain(_broken([body[: len(body) // 2]]), assembler=assembler, keep_open=True)
    heard = assembler.cursor.sequence_number
    assert heard is not None
    rest = [event for event in EVENTS if event["sequence_number"] > heard]
    assert drain([samples.sse(rest)], assembler=assembler).items == assemble(EVENTS).items


@both
def test_a_stream_that_simply_ends_closes_the_assembler(drain: Callable[..., Result]) -> None:
    assembler = Assembler()
    result = drain(EVENTS[:5], assembler=assembler)
    assert result.outcome is assembler.outcome is Outcome.INCOMPLETE


def test_a_task_that_is_cancelled_closes_its_sinks() -> None:
    sink, assembler = Listening(), Assembler()

    async def stalled() -> AsyncIterator[Any]:
        for event in EVENTS[:5]:
            yield event
        await asyncio.Event().wait()

    async def cancel() -> None:
        seen = asyncio.Event()

        def on_update(update: Update) -> None:
            if isinstance(update, FrameAdded):
                seen.set()

        task = asyncio.create_task(aassemble(stalled(), on_update=on_update, sinks=[sink], assembler=assembler))
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert [type(each) for each in sink.told[-2:]] == [StreamEnded, str]
    assert sink.told[-1] == "close"
    assert assembler.outcome is Outcome.INCOMPLETE
    assert assembler["ig_1"].reason == "the task that read the stream was cancelled"
    assert [frame.index for frame in assembler["ig_1"].partials] == [0]


class Counting(ThreadPoolExecutor):
    """Writes down how many of its jobs were ever under way at once."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Future[Any]] = []
        self.most = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        self.most = max(self.most, 1 + sum(not job.done() for job in self.jobs))
        self.jobs.append(job := super().submit(fn, *args, **options))
        return job


class Blocking(Listening):
    """A sink whose first update takes until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun, self.may_go = threading.Event(), threading.Event()

    def __call__(self, update: Update) -> None:
        self.has_begun.set()
        assert self.may_go.wait(PATIENCE_S)
        super().__call__(update)


PATIENCE_S = 30  # how long a test waits for an event; the machine may be busy


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_task_that_is_cancelled_while_a_sink_works_never_has_it_work_in_two_threads(times: int) -> None:
    sink, executor = Blocking(), Counting()

    async def cancel() -> None:
        asyncio.get_running_loop().set_default_executor(executor)
        task = asyncio.create_task(aassemble(_async(EVENTS), sinks=[sink]))
        while not sink.has_begun.is_set():
            await asyncio.sleep(0)
        for _ in range(times):
            task.cancel()
            for _ in range(10):  # until whatever follows was begun
                await asyncio.sleep(0)
        sink.may_go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert executor.most == 1
    assert (sink.told[0], sink.told[-1], sink.told.count("close")) == ("open", "close", 1)


# ---- sinks that fail


@both
@pytest.mark.parametrize("fails_in", ["call", "close"])
def test_a_sink_that_fails_is_a_sink_error_at_the_end_and_disturbs_no_other(
    drain: Callable[..., Result], fails_in: str
) -> None:
    error = SinkError("the disk is full", path="/d/x", errno=28)
    failing, other = Listening(fails_in, error), Listening()
    assembler = Assembler()
    with pytest.raises(SinkError) as caught:
        drain(EVENTS, sinks=[failing, other], assembler=assembler)
    assert caught.value is error
    assert caught.value.path == "/d/x"
    assert caught.value.result is assembler.result
    assert other.told == failing.told == ["open", *_sync_updates(EVENTS), "close"]
    assert assembler.outcome is Outcome.COMPLETED


@both
@pytest.mark.parametrize("fails_in", ["open", "call", "close"])
def test_whatever_a_sink_raises_is_a_sink_error_from_its_cause(drain: Callable[..., Result], fails_in: str) -> None:
    failing, other = Listening(fails_in, ZeroDivisionError("x")), Listening()
    with pytest.raises(SinkError, match="Listening failed: x") as caught:
        drain(EVENTS, sinks=[other, failing])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert other.told[-1] == "close"


@both
def test_a_sink_that_fails_at_each_update_is_logged_once(
    drain: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SinkError):
        drain(EVENTS, sinks=[Listening("call", ZeroDivisionError("x"))])
    logged = [record for record in caplog.records if "a sink failed" in record.message]
    assert len(logged) == 1


@both
def test_the_notes_of_an_exception_name_each_sink_that_failed(drain: Callable[..., Result]) -> None:
    def broken() -> Iterator[Any]:
        yield from EVENTS[:2]
        raise ConnectionError("reset")

    sinks = [Listening("call", SinkError(f"disk {number} is full", path="/d")) for number in (1, 2)]
    with pytest.raises(ConnectionError) as caught:
        drain(broken(), sinks=sinks)
    assert caught.value.__notes__ == ["disk 1 is full", "disk 2 is full"]


@both
def test_where_a_sink_cannot_be_opened_the_others_are_closed_and_nothing_is_drained(
    drain: Callable[..., Result],
) -> None:
    error = SinkError("no", path="/d")
    first, failing, assembler = Listening(), Listening("open", error), Assembler()
    with pytest.raises(SinkError) as caught:
        drain(EVENTS, sinks=[first, failing], assembler=assembler)
    assert caught.value is error
    assert first.told == ["open", "close"]
    assert failing.told == ["open"]
    assert not assembler.items
    assert assembler.result is None


@both
def test_the_rest_is_kept_where_one_file_cannot_be_written(drain: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "ig_1").write_bytes(b"in the way")
    events = [samples.done("ig_1", FINAL), samples.done("ig_2", FINAL), samples.snapshot("completed")]
    assembler, sink = Assembler(), DirectorySink(tmp_path)
    with pytest.raises(SinkError) as caught:
        drain(events, sinks=[sink], assembler=assembler)
    assert caught.value.path == str(tmp_path / "ig_1")
    assert (tmp_path / "ig_2" / "final.png").read_bytes() == FINAL
    assert sorted(path.name for path in sink.paths) == ["final.png", "item.json"]
    assert assembler.outcome is Outcome.COMPLETED


# ---- strict


@both
def test_strict_raises_what_is_wrong_and_closes_the_sinks(drain: Callable[..., Result]) -> None:
    sink, assembler = Listening(), Assembler(strict=True)
    events = [*EVENTS[:5], samples.partial(index=1, content="!", seq=5)]
    with pytest.raises(FrameEncodingError):
        drain(events, sinks=[sink], assembler=assembler)
    assert sink.told[-1] == "close"
    assert assembler.outcome is Outcome.INCOMPLETE
    assert [frame.index for frame in assembler["ig_1"].partials] == [0]


@both
def test_strict_tells_everything_before_it_raises_that_the_stream_is_incomplete(drain: Callable[..., Result]) -> None:
    sink, told = Listening(), list[Update]()
    with pytest.raises(IncompleteStreamError) as caught:
        drain(EVENTS[:5], on_update=told.append, sinks=[sink], assembler=Assembler(strict=True))
    assert caught.value.item_ids == ("ig_1",)
    assert told == _sync_updates(EVENTS[:5])
    assert sink.told == ["open", *told, "close"]


@both_iterators
def test_strict_iteration_gives_the_last_updates_before_it_raises(updates_of: Callable[..., list[Update]]) -> None:
    told: list[Update] = []
    assembler = Assembler(strict=True)
    assembler.subscribe(told.append)
    with pytest.raises(IncompleteStreamError):
        updates_of(EVENTS[:5], assembler)
    assert isinstance(told[-1], StreamEnded)
    seen: list[Update] = []
    with pytest.raises(IncompleteStreamError):
        for update in iter_updates(EVENTS[:5], Assembler(strict=True)):
            seen.append(update)  # noqa: PERF402 - the earlier elements are needed after it raised
    assert seen == told


@both_iterators
def test_strict_raises_what_a_body_holds_that_is_no_event(updates_of: Callable[..., list[Update]]) -> None:
    with pytest.raises(EventError):
        updates_of([b"data: {\n\n"], Assembler(strict=True))


# ---- limits and totality


def test_the_assemblers_limits_hold_for_the_bytes_too() -> None:
    assembler = Assembler(limits=Limits(max_event_bytes=300))
    body = samples.sse([samples.call("in_progress"), samples.done(content="A" * 400), samples.call("generating")])
    assemble([body], assembler=assembler)
    assert [anomaly.code for anomaly in assembler.anomalies] == ["over_limit"]
    assert assembler["ig_1"].state is State.INCOMPLETE


@given(
    st.lists(
        st.none()
        | st.binary(max_size=30)
        | st.text(max_size=20)
        | st.sampled_from(EVENTS)
        | st.dictionaries(st.text(max_size=4), st.integers(), max_size=3),
        max_size=8,
    )
)
def test_whatever_a_stream_gives_sync_and_async_agree_and_raise_nothing_of_others(elements: list[Any]) -> None:
    told: list[Any] = []
    for updates_of in (_sync_updates, _async_updates):
        try:
            told.append(updates_of(elements))
        except ImgassembleError as error:
            told.append(error)
    assert told[0] == told[1]


def test_logs_hold_no_base64(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    broken: dict[str, Any] = samples.partial(index=7, content="AAAA" * 100 + "!")
    with pytest.raises(SinkError):
        assemble([*EVENTS, broken], on_update=lambda update: 1 / 0, sinks=[Listening("call", ValueError("x"))])
    assert caplog.records
    assert "AAAA" not in caplog.text
    assert samples.b64(FINAL)[:20] not in caplog.text


def test_states_are_told_one_by_one() -> None:
    states = [update.state for update in iter_updates(EVENTS) if isinstance(update, StateChanged)]
    assert states == [State.IN_PROGRESS, State.GENERATING, State.PARTIAL_IMAGE, State.COMPLETED]


# ---- streams that a client has split already


class SplitEvent:
    """A server-sent event as the readers of event streams give it."""

    def __init__(self, event: str | None, data: str) -> None:
        self._event, self._data = event, data
        self.id, self.retry = "", None

    @property
    def event(self) -> str | None:
        return self._event

    @property
    def data(self) -> str:
        return self._data


class PlainSplitEvent:
    def __init__(self, event: str, data: str) -> None:
        self.event, self.data = event, data


_NAMED = [(event["type"], json.dumps({name: event[name] for name in event if name != "type"})) for event in EVENTS]


@pytest.mark.parametrize(
    "elements",
    [
        [SplitEvent(event["type"], json.dumps(event)) for event in EVENTS],
        [SplitEvent(None, json.dumps(event)) for event in EVENTS],
        [SplitEvent(name, data) for name, data in _NAMED],
        [PlainSplitEvent(name, data) for name, data in _NAMED],
        [{"event": event["type"], "data": event} for event in EVENTS],
        [{"event": name, "data": json.loads(data), "id": "1"} for name, data in _NAMED],
        [{"event": name, "data": data} for name, data in _NAMED],
    ],
)
@both_iterators
def test_server_sent_events_that_are_split_already_give_the_same_updates(
    updates_of: Callable[..., list[Update]], elements: list[Any]
) -> None:
    assert updates_of([*elements, SplitEvent("message", "[DONE]")]) == _sync_updates(EVENTS)


def test_the_events_of_httpx_sse_give_the_same_updates() -> None:
    httpx, httpx_sse = pytest.importorskip("httpx"), pytest.importorskip("httpx_sse")
    response = httpx.Response(200, content=_BODY, headers={"content-type": "text/event-stream"})
    assert _sync_updates(httpx_sse.EventSource(response).iter_sse()) == _sync_updates(EVENTS)


def test_an_object_with_data_of_its_own_stays_as_it_is() -> None:
    class Own:
        type = "keepalive"
        event = "x"
        data = 5

    assembler = Assembler()
    assemble([Own(), *EVENTS], assembler=assembler)
    assert assembler.anomalies == ()


@both_iterators
@pytest.mark.parametrize("ends_with_blank", [True, False])
def test_lines_of_bytes_without_their_ends_are_a_usage_error_that_names_the_right_call(
    updates_of: Callable[..., list[Update]], ends_with_blank: bool
) -> None:
    lines = [line for line in _BODY.splitlines() if line or ends_with_blank]
    with pytest.raises(UsageError, match=r"iter_content\(None\) of requests"):
        updates_of(lines)


@pytest.mark.parametrize(
    "body",
    [
        b"data: data: {}",
        b"event: x\ndata: {}",
        b"data: {}\n\ndata: {}\n\n",
        b"id: 1\nevent: x\ndata: {}\n\n",
        b"data: 1",
    ],
)
def test_a_body_that_is_cut_at_any_place_is_no_list_of_lines(body: bytes) -> None:
    whole = [update.as_dict() for update in _sync_updates([body])]
    for at in range(len(body) + 1):
        assert [update.as_dict() for update in _sync_updates([body[:at], body[at:]])] == whole


@pytest.mark.parametrize(
    "body", [b"event: xdata: {}", b"data: {}data: {}", b"id: 1event: xdata: {}", b'data: {"}": "{"}event: xdata: {}']
)
def test_lines_that_lost_their_ends_are_the_same_usage_error_cut_at_any_place(body: bytes) -> None:
    for at in range(len(body) + 1):
        updates: list[Update] = []
        with pytest.raises(UsageError, match="without their ends"):
            updates.extend(iter_updates([body[:at], body[at:]]))
        assert [type(update) for update in updates] == [StreamEnded]


def test_chunks_that_are_cut_before_a_data_url_are_no_lines() -> None:
    event = samples.image_completed(None, url=f"data:image/png;base64,{samples.b64(FINAL)}")
    body = f"data: {json.dumps(event)}\n\n".encode()
    at = body.index(b"data:image")
    assert assemble([body[:at], body[at:]]).items == assemble([event]).items


def test_a_path_among_the_events_is_a_usage_error_that_names_open_events(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"open_events\(path\)"):
        assemble([tmp_path / "otter.sse"])


def test_an_interrupt_in_a_callback_of_aassemble_leaves_the_loop_running() -> None:
    def interrupt(_: Update) -> None:
        raise KeyboardInterrupt

    async def run() -> str:
        with pytest.raises(KeyboardInterrupt):
            await aassemble(_async(EVENTS), on_update=interrupt)
        return await asyncio.sleep(0, "still running")

    assert asyncio.run(run()) == "still running"


def test_a_stop_does_not_cancel_the_callback_that_runs() -> None:
    assembler, heard = Assembler(), list[Update]()

    async def stop(update: Update) -> None:
        assembler.stop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        heard.append(update)

    async def run() -> None:
        await aassemble(_async(EVENTS), on_update=stop, assembler=assembler)

    updates: list[Update] = []
    assembler.subscribe(updates.append)
    asyncio.run(run())
    assert heard == updates
    assert isinstance(heard[-1], StreamEnded)


def test_a_client_that_ignores_a_cancellation_does_not_hold_up_a_cancelled_task() -> None:
    is_read, may_go, assembler = asyncio.Event(), asyncio.Event(), Assembler()

    async def stubborn() -> AsyncIterator[Any]:
        yield EVENTS[0]
        while not may_go.is_set():
            is_read.set()
            with suppress(asyncio.CancelledError):
                await may_go.wait()
        yield EVENTS[1]

    async def run() -> None:
        task = asyncio.create_task(aassemble(stubborn(), assembler=assembler))
        await is_read.wait()
        task.cancel()
        await asyncio.wait([task], timeout=10)
        assert task.cancelled()
        assert assembler.outcome is not None
        may_go.set()

    asyncio.run(run())


def test_aassemble_changes_no_tasks_for_the_elements_that_are_there() -> None:
    turns = 0

    async def many() -> AsyncIterator[Any]:
        nonlocal turns
        loop: Any = asyncio.get_running_loop()
        call_soon = loop.call_soon

        def count(*args: Any, **options: Any) -> Any:
            nonlocal turns
            turns += 1
            return call_soon(*args, **options)

        loop.call_soon = count
        for number in range(500):
            yield {"type": "response.output_text.delta", "delta": "a", "sequence_number": number}
        loop.call_soon = call_soon

    async def run() -> None:
        await aassemble(many())

    asyncio.run(run())
    assert turns == 0
