"""A stream that is cut at any place and resumed gives the same events as the uncut one; giving up names a reason."""

from __future__ import annotations

import asyncio
import errno
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError
from urllib.request import Request, urlopen
from weakref import ref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import b64, call, created, done, image_completed, image_partial, partial, png, snapshot, sse

from imgassemble import (
    Assembler,
    Cursor,
    EventError,
    IncompleteStreamError,
    LimitError,
    Limits,
    Patience,
    Result,
    UsageError,
    aassemble,
    aresuming,
    assemble,
    open_events,
    resuming,
)
from imgassemble.simulator.answers import Answer, Order, play, resumed
from imgassemble.streams.resuming.patience import is_temporary
from imgassemble.streams.resuming.position import MOST_IDS, MOST_NUMBERS, Arrival, StreamPosition

PLAY = play(Order(size=(24, 16), dialect="openai-2025"))
TWO = play(Order(size=(24, 16), items=2))
BODY = b"".join(PLAY.body)
WHOLE = assemble([BODY])
EVENTS = tuple(open_events(BytesIO(BODY)))
HASTE = Patience(first_wait_s=0.0)


def no_sleep(_seconds: float) -> None:
    """Do not wait."""


class BrokenError(ConnectionError):
    """A broken connection."""


def cut(body: Iterable[Any], after: int) -> Iterator[Any]:
    """Yield the first `after` elements, then break."""
    yield from list(body)[:after]
    raise BrokenError("reset by peer")


class Service:
    """Opens a stream several times: it breaks at each of `cuts` in turn, and comes whole after the last."""

    def __init__(self, made: Answer, *cuts: int, of_bytes: bool = False, from_start: bool = False) -> None:
        self.made, self.cuts, self.of_bytes, self.from_start = made, list(cuts), of_bytes, from_start
        self.asked: list[Cursor] = []

    def __call__(self, cursor: Cursor) -> Iterator[Any]:
        self.asked.append(cursor)
        made = self.made
        if cursor.sequence_number is not None and not self.from_start:
            made = resumed(made, cursor.sequence_number)
        if self.of_bytes:
            body = b"".join(made.body)
            return cut([body[: self.cuts.pop(0)]], 1) if self.cuts else iter([body])
        return cut(made.events, self.cuts.pop(0)) if self.cuts else iter(made.events)


def shown(result: Result) -> Any:
    return result.items, result.outcome


def opened(service: Callable[[Cursor], Iterable[Any]], **more: Any) -> Iterator[Any]:
    return resuming(service, patience=HASTE, sleep=no_sleep, **more)


# ---- cuts at any place


@pytest.mark.parametrize("made", [PLAY, TWO], ids=["one item", "two items"])
def test_a_stream_that_is_cut_between_any_two_events_comes_whole(made: Answer) -> None:
    whole = assemble(made.body)
    for after in range(1, len(made.events)):
        service = Service(made, after)
        assert shown(assemble(opened(service))) == shown(whole), after
        assert len(service.asked) == 2


@settings(max_examples=150)
@given(st.lists(st.integers(len(PLAY.body[0]), len(BODY) - 1), min_size=1, max_size=4))
def test_a_stream_that_is_cut_several_times_at_any_byte_comes_whole(cuts: list[int]) -> None:
    service = Service(PLAY, cuts[0], *(each % 2_000 + len(BODY) // 3 for each in cuts[1:]), of_bytes=True)
    assert shown(assemble(opened(service))) == shown(WHOLE)


def test_events_that_are_replayed_from_the_start_are_dropped() -> None:
    for after in range(1, len(PLAY.events)):
        service = Service(PLAY, after, from_start=True)
        told = list(opened(service))
        assert told == list(PLAY.events), after


def test_events_that_overlap_are_dropped() -> None:
    def service(cursor: Cursor) -> Iterator[Any]:
        if cursor.sequence_number is None:
            return cut(PLAY.events, 6)
        return iter(resumed(PLAY, cursor.sequence_number - 3).events)

    assert list(opened(service)) == list(PLAY.events)


def test_a_stream_that_ends_too_early_without_an_exception_is_resumed() -> None:
    def service(cursor: Cursor) -> Iterator[Any]:
        return iter(PLAY.events[:5] if cursor.sequence_number is None else resumed(PLAY, cursor.sequence_number).events)

    assert list(opened(service)) == list(PLAY.events)


def test_an_incomplete_event_at_an_early_end_is_no_anomaly() -> None:
    def service(cursor: Cursor) -> Iterator[bytes]:
        return iter([BODY[: len(BODY) // 2] if cursor.sequence_number is None else b"".join(PLAY.body)])

    assembler = Assembler()
    assert shown(assemble(opened(service), assembler=assembler)) == shown(WHOLE)
    assert assembler.anomalies == ()


def test_aresuming_gives_the_same_events() -> None:
    async def astream(service: Service, cursor: Cursor) -> AsyncIterator[Any]:
        for event in service(cursor):
            yield event

    async def run(after: int, *, is_coroutine: bool) -> Result:
        service = Service(PLAY, after)

        async def ask(cursor: Cursor) -> AsyncIterator[Any]:
            return astream(service, cursor)

        async def no_wait(_seconds: float) -> None:
            pass

        open_stream: Any = ask if is_coroutine else lambda cursor: astream(service, cursor)
        return await aassemble(aresuming(open_stream, patience=HASTE, sleep=no_wait))

    for after in range(1, len(PLAY.events)):
        for is_coroutine in (True, False):
            assert shown(asyncio.run(run(after, is_coroutine=is_coroutine))) == shown(WHOLE)


# ---- uncut streams

KEEPALIVE = {"type": "keepalive"}
FIXTURES = Path(__file__).parents[2] / "fixtures"


def renumbered(*numbers: float) -> list[dict[str, Any]]:
    return [created(seq=numbers[0]), *(partial(index=at, seq=seq) for at, seq in enumerate(numbers[1:]))]


@pytest.mark.parametrize(
    "events",
    [
        renumbered(0, 2, 1, 3),
        renumbered(0, 0, 0, 0),
        renumbered(0, 1, 2, 0),
        [*renumbered(0, 1), *renumbered(0, 1)],
        [KEEPALIVE, KEEPALIVE, "no JSON", "no JSON", {"x": float("nan")}, [], None],
        [image_partial(0), image_partial(0), image_completed(), image_completed()],
    ],
)
def test_an_uncut_stream_is_not_changed(events: list[Any]) -> None:
    events = [*events, snapshot("completed", [])]
    assert list(opened(lambda _: iter(events))) == events


@pytest.mark.parametrize("seed", range(4))
def test_no_picture_of_a_stream_in_disorder_is_lost(seed: int) -> None:
    body = play(Order(size=(32, 24), faults=("reordered-events",), seed=seed)).body
    assert shown(assemble(opened(lambda _: iter(body)))) == shown(assemble(body))


WITH_END = sorted(path for path in FIXTURES.glob("*.sse") if path.stem != "partials-only")


@pytest.mark.parametrize("path", WITH_END, ids=lambda path: path.stem)
def test_no_fixture_is_changed(path: Path) -> None:
    events = list(open_events(path))
    assert list(map(repr, opened(lambda _: iter(events)))) == list(map(repr, events))


# ---- repeats


def broken_once(events: list[Any], after: int, start: int) -> Callable[[Cursor], Iterator[Any]]:
    """Return a service whose stream breaks once, and then comes from event number `start`."""
    streams = iter([cut(events, after), iter(events[start:])])
    return lambda _: next(streams)


MIXED = [
    created(seq=0),
    KEEPALIVE,
    "no JSON",
    partial(index=0, seq=1),
    KEEPALIVE,
    partial(index=0, seq=2),
    call("generating", seq=3),
    KEEPALIVE,
    KEEPALIVE,
    done(seq=4),
    snapshot("completed", [], seq=5),
]


def numbered(events: Iterable[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, dict) and "sequence_number" in event]


def test_each_event_with_a_number_comes_once_and_no_other_event_is_lost() -> None:
    for after in range(1, len(MIXED)):
        for start in (0, max(0, after - 2), after):
            events = list(opened(broken_once(MIXED, after, start)))
            assert numbered(events) == numbered(MIXED), (after, start)
            assert all(events.count(event) >= MIXED.count(event) for event in MIXED)


def test_a_stream_in_disorder_is_opened_at_the_first_missing_number() -> None:
    events = renumbered(0, 1, 3, 4, 2)
    asked: list[float | None] = []

    def service(cursor: Cursor) -> Iterator[Any]:
        asked.append(cursor.sequence_number)
        if len(asked) == 1:
            return cut(events, 4)
        return iter([*(each for each in events if each["sequence_number"] > 1), snapshot("completed", [], seq=5)])

    assert list(opened(service))[:-1] == events
    assert asked == [None, 1]


def text_of(event: Any) -> Any:
    return json.dumps(event)


def test_members_in_another_order_are_the_same_event() -> None:
    replayed = [dict(reversed(event.items())) for event in PLAY.events]
    services = iter([cut(PLAY.events, 5), iter(replayed)])
    assert list(opened(lambda _: next(services))) == list(PLAY.events)
    services = iter([cut(map(text_of, PLAY.events), 5), map(text_of, replayed)])
    assert len(list(opened(lambda _: next(services)))) == len(PLAY.events)


class Said:
    """An event of an SDK: an object with members, which equals no other."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.__dict__.update(said)


def test_repeated_objects_of_an_sdk_are_dropped() -> None:
    for after in range(1, len(PLAY.events)):
        told = list(opened(broken_once(list(map(Said, PLAY.events)), after, 0)))
        assert [vars(each) for each in told] == list(PLAY.events), after


def identified(events: list[Any], start: int = 0) -> bytes:
    return b"".join(b"id: %d\n%b" % (at, sse([event])) for at, event in enumerate(events) if at >= start)


TWIN = [image_partial(0), image_completed(""), image_partial(0), image_completed("")]


@pytest.mark.parametrize("is_replayed", [True, False])
def test_without_numbers_no_image_comes_twice_and_equal_images_both_come(is_replayed: bool) -> None:
    whole = assemble([identified(TWIN)])
    assert len(whole.items) == 2
    for after in range(len(identified(TWIN[:1])), len(identified(TWIN))):

        def service(cursor: Cursor, after: int = after) -> Iterator[bytes]:
            if cursor.last_event_id is None:
                return cut([identified(TWIN)[:after]], 1)
            return iter([identified(TWIN, 0 if is_replayed else int(cursor.last_event_id) + 1)])

        assert shown(assemble(opened(service))) == shown(whole), after


# ---- several responses in one stream


def ended(response_id: str, seq: float) -> dict[str, Any]:
    event = snapshot("completed", [], seq=seq)
    return event | {"response": event["response"] | {"id": response_id}}


TURNS = [
    created("resp_1", seq=0),
    partial("ig_1", index=0, seq=1),
    done("ig_1", seq=2),
    ended("resp_1", seq=3),
    created("resp_2", seq=0),
    partial("ig_2", index=0, seq=1),
    partial("ig_2", index=1, seq=2),
    done("ig_2", seq=3),
    ended("resp_2", seq=4),
]


@pytest.mark.parametrize("after", range(5, len(TURNS)))
@pytest.mark.parametrize("start", ["the whole stream", "the second response", "the cursor"])
def test_a_cut_in_the_second_response_is_resumed_from_there(after: int, start: str) -> None:
    asked: list[Cursor] = []

    def service(cursor: Cursor) -> Iterator[Any]:
        asked.append(cursor)
        if len(asked) == 1:
            return cut(TURNS, after)
        return iter(TURNS[{"the whole stream": 0, "the second response": 4, "the cursor": after}[start] :])

    assert list(opened(service)) == TURNS
    assert asked[1] == Cursor("resp_2", after - 5)


def test_an_exception_after_the_last_response_is_logged_and_ends_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    assert list(opened(lambda _: cut(TURNS, len(TURNS)))) == TURNS
    assert [(record.levelname, "broke after its end" in record.message) for record in caplog.records] == [
        ("WARNING", True)
    ]


def test_an_exception_is_raised_while_one_of_two_interleaved_responses_is_open() -> None:
    events = [TURNS[0], TURNS[4], TURNS[1], ended("resp_1", seq=3)]
    with pytest.raises(ValueError, match="the program's own"):

        def service(_: Cursor) -> Iterator[Any]:
            yield from events
            raise ValueError("the program's own")

        list(opened(service))


def test_an_id_that_changes_with_each_event_is_another_name_of_the_response() -> None:
    events = [event | {"response_id": f"resp_{at}"} for at, event in enumerate(PLAY.events)]
    asked: list[Cursor] = []

    def service(cursor: Cursor) -> Iterator[Any]:
        asked.append(cursor)
        return iter(events) if len(asked) > 1 else cut(events, 6)

    assert list(opened(service)) == events
    assert asked[1].sequence_number == 5


def test_a_series_without_an_end_stops_after_its_last_response() -> None:
    events = [TURNS[0], *TURNS[4:]]  # the first response is retried and never ends
    assert list(opened(lambda _: iter(events))) == events


# ---- numbers and ids that identify no event


@pytest.mark.parametrize("numbers", [(0, 0, 0, 0), (3, 2, 1, 0), (0, 1, 2, 0), (0, 2, 1, 3)])
def test_no_event_is_dropped_if_the_numbers_do_not_rise(numbers: tuple[int, ...]) -> None:
    events = [*renumbered(*numbers), partial(index=7, seq=numbers[0]), snapshot("completed", [], seq=9)]
    received = list(opened(broken_once(events, 4, 0)))
    assert received == [*events[:4], *events]
    assert shown(assemble(received)) == shown(assemble(events))


def test_no_event_is_dropped_if_each_connection_is_numbered_from_zero() -> None:
    events = [*renumbered(0, 1, 2), done(seq=3), snapshot("completed", [], seq=4)]
    rest = [event | {"sequence_number": at} for at, event in enumerate(events[3:])]
    streams = iter([cut(events, 3), iter(rest)])
    assert list(opened(lambda _: next(streams))) == [*events[:3], *rest]


def test_no_event_is_dropped_if_all_events_have_the_same_id() -> None:
    def body(events: list[Any]) -> bytes:
        return b"".join(b"id: %d\n%b" % (at % 2, sse([event])) for at, event in enumerate(events))

    events = [image_partial(0), image_partial(1), image_partial(2), image_completed("")]
    streams = iter([cut([body(events[:3])], 1), iter([body(events[2:])])])
    received = list(opened(lambda _: next(streams)))
    assert received == [*events[:3], *events[2:]]


def test_ids_and_numbers_are_kept_in_bounded_memory() -> None:
    position = StreamPosition()
    for number in range(3 * MOST_NUMBERS):
        position.receive(KEEPALIVE | {"sequence_number": number * 2, "response_id": f"resp_{number}"}, str(number))
        if number % 1_000 == 0:
            position.reopen()
    position.reopen()
    assert position.receive(KEEPALIVE, str(3 * MOST_NUMBERS - 1)) is Arrival.REPEAT
    sizes = [len(value) for value in vars(position).values() if isinstance(value, dict)]
    assert max(sizes) <= MOST_IDS
    assert len(position._current.types) <= MOST_NUMBERS


# ---- series of images without names, which only the end of the stream ends


@pytest.mark.parametrize(
    ("name", "afters"), [("images-several-completed", (2, 3)), ("chat-images", (5, 6, 7))], ids=["images", "chat"]
)
def test_a_cut_after_an_image_without_a_name_is_a_cut(name: str, afters: tuple[int, ...]) -> None:
    events = list(open_events(FIXTURES / f"{name}.sse"))
    whole = assemble(events)
    for after in afters:
        assembler = Assembler()
        with pytest.raises(IncompleteStreamError, match="BrokenError") as over:
            assemble(opened(broken_once(events, after, 0)), assembler=assembler)
        assert isinstance(over.value.__cause__, BrokenError)
        assert assembler["image-0"] == whole.items["image-0"]

        def service(cursor: Cursor, after: int = after) -> Iterator[Any]:
            start = 0 if cursor.last_event_id is None else int(cursor.last_event_id) + 1
            body = identified(events, start)
            return iter([body]) if start else cut([body[: len(identified(events[:after]))]], 1)

        assert shown(assemble(opened(service))) == shown(whole)


def test_a_permanent_error_after_an_image_without_a_name_is_raised() -> None:
    def service(_: Cursor) -> Iterator[Any]:
        yield image_completed()
        raise ValueError("the program's own")

    with pytest.raises(ValueError, match="the program's own"):
        list(opened(service))


def test_a_stream_that_stops_after_an_image_without_a_name_has_ended() -> None:
    services = iter([[identified([image_partial(0), image_completed("")])]])
    assert len(list(opened(lambda _: next(services)))) == 2


# ---- streams without a position, and permanent errors


def test_an_image_is_never_requested_twice() -> None:
    service = Service(PLAY, 0)
    with pytest.raises(BrokenError):
        list(opened(service))
    assert service.asked == [Cursor()]


@pytest.mark.parametrize("events", [[image_partial(0)], [partial()], [created()]])
def test_the_exception_of_a_stream_without_a_position_is_raised(events: list[Any]) -> None:
    asked: list[Cursor] = []

    def service(cursor: Cursor) -> Iterator[Any]:
        asked.append(cursor)
        return cut(events, 1)

    with pytest.raises(BrokenError):
        list(opened(service))
    assert len(asked) == 1


@pytest.mark.parametrize(
    "events", [[image_partial(0, seq=0), image_completed(seq=1)], [partial(), done()], [{"choices": []}, "[DONE]"]]
)
def test_the_end_of_a_stream_without_a_position_is_its_end(events: list[Any]) -> None:
    assert list(opened(lambda _: iter(events))) == events


def test_a_stream_that_has_ended_is_not_opened_again() -> None:
    asked: list[Cursor] = []
    events = [created(seq=0), partial(seq=1), snapshot("failed", [], seq=2)]

    def service(cursor: Cursor) -> Iterator[Any]:
        asked.append(cursor)
        return cut(events, 3)

    assert list(opened(service)) == events  # the connection breaks after the last of them
    assert len(asked) == 1


class RefusedError(Exception):
    def __init__(self, status_code: int, **headers: str) -> None:
        super().__init__(f"HTTP {status_code}")
        self.status_code, self.headers = status_code, headers


def test_a_refused_request_is_not_tried_again() -> None:
    asked: list[Cursor] = []

    def service(cursor: Cursor) -> Iterator[Any]:
        asked.append(cursor)
        if cursor.sequence_number is not None:
            raise RefusedError(400)
        return cut(PLAY.events, 4)

    with pytest.raises(RefusedError):
        list(opened(service))
    assert len(asked) == 2


def test_may_retry_decides_which_errors_are_temporary() -> None:
    asked: list[Cursor] = []

    def service(cursor: Cursor) -> Iterator[Any]:
        asked.append(cursor)
        if len(asked) == 2:
            raise RefusedError(400)
        return cut(PLAY.events, 4) if len(asked) == 1 else iter(resumed(PLAY, cursor.sequence_number or 0).events)

    assert list(opened(service, may_retry=lambda error: True)) == list(PLAY.events)


TRANSPORT: Any = type("TransportError", (Exception,), {})


@pytest.mark.parametrize(
    "error",
    [
        BrokenError(),
        TimeoutError(),
        OSError(errno.ENETUNREACH, "network is unreachable"),
        socket.gaierror(-3, "temporary failure in name resolution"),
        ssl.SSLEOFError("EOF occurred in violation of protocol"),
        URLError(ConnectionRefusedError()),
        RefusedError(503),
        RefusedError(429),
        TRANSPORT(),
        type("ReadError", (TRANSPORT,), {})(),
    ],
)
def test_an_error_of_the_connection_is_temporary(error: Exception) -> None:
    assert is_temporary(error)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        RefusedError(401),
        RefusedError(404),
        ValueError(),
        KeyError(),
        EventError("x"),
        FileNotFoundError(),
        PermissionError(),
        IsADirectoryError(),
        OSError(errno.ENOSPC, "no space left on device"),
        ssl.SSLCertVerificationError("bad certificate"),
        URLError(ssl.SSLCertVerificationError("bad certificate")),
        URLError("unknown url type"),
        caused(TRANSPORT(), ssl.SSLCertVerificationError("bad certificate")),
    ],
)
def test_any_other_error_is_permanent(error: Exception) -> None:
    assert not is_temporary(error)


# ---- retries and waits


def waits(cuts: int, patience: Patience, chance: float = 1.0, error: Exception | None = None) -> list[float]:
    """Return the waits in seconds for a stream that breaks `cuts` times without progress."""
    slept: list[float] = []
    left = [cuts]

    def service(cursor: Cursor) -> Iterator[Any]:
        if cursor.sequence_number is None:
            return cut(PLAY.events, 4)
        if left[0] > 1:
            left[0] -= 1
            raise error or BrokenError("again")
        return iter(resumed(PLAY, cursor.sequence_number).events)

    events = list(resuming(service, patience=patience, sleep=slept.append, chance=lambda: chance))
    assert events == list(PLAY.events)
    return slept


def test_each_wait_is_twice_the_previous_one_up_to_the_longest() -> None:
    patience = Patience(max_retries=9, first_wait_s=1.0, max_wait_s=5.0)
    assert waits(5, patience) == [1.0, 2.0, 4.0, 5.0, 5.0]


@given(st.floats(0, 1, exclude_max=True))
def test_half_of_each_wait_is_random(chance: float) -> None:
    for longest, waited in zip((1.0, 2.0, 4.0), waits(3, Patience(first_wait_s=1.0), chance), strict=True):
        assert longest / 2 <= waited <= longest


def test_retry_after_makes_a_wait_longer() -> None:
    error = RefusedError(429, **{"retry-after": "7"})
    assert waits(2, Patience(first_wait_s=1.0), error=error)[1] == 7.0
    assert waits(2, Patience(first_wait_s=1.0, max_wait_s=3.0), error=error)[1] == 3.0


def test_the_error_after_the_last_retry_names_the_reason() -> None:
    asked: list[Cursor] = []

    def service(cursor: Cursor) -> Iterator[Any]:
        asked.append(cursor)
        return cut(PLAY.events, 9 if cursor.sequence_number is None else 0)

    assembler = Assembler()
    with pytest.raises(IncompleteStreamError, match=r"after 2 retries: BrokenError: reset by peer") as over:
        assemble(resuming(service, patience=Patience(max_retries=2), sleep=no_sleep), assembler=assembler)
    assert len(asked) == 3
    assert isinstance(over.value.__cause__, BrokenError)
    assert [len(item.partials) for item in assembler.items.values()] == [2]


def test_progress_between_two_cuts_resets_the_count_of_retries() -> None:
    service = Service(PLAY, 3, 1, 1, 1, 1, 1)
    assert list(resuming(service, patience=Patience(max_retries=1), sleep=no_sleep)) == list(PLAY.events)


@pytest.mark.parametrize("again", ["no JSON", KEEPALIVE, object(), {"x": 1}, EventError("no event")])
def test_an_event_that_comes_with_each_connection_is_no_progress(again: Any) -> None:
    opens = count(1)

    def service(_cursor: Cursor) -> Iterator[Any]:
        assert next(opens) < 9
        return cut([created(seq=0), again], 2)

    told: list[Any] = []
    with pytest.raises(IncompleteStreamError, match="after 5 retries"):
        told.extend(opened(service))
    assert next(opens) == 7


def test_bytes_that_come_with_each_connection_are_no_progress() -> None:
    opens = count(1)

    def service(_cursor: Cursor) -> Iterator[bytes]:
        assert next(opens) < 9
        return cut([identified(TWIN)[:-20]], 1)

    with pytest.raises(IncompleteStreamError, match="after 5 retries"):
        list(opened(service))


def test_silence_is_a_cut() -> None:
    gate = threading.Event()

    def service(cursor: Cursor) -> Iterator[Any]:
        if cursor.sequence_number is not None:
            yield from resumed(PLAY, cursor.sequence_number).events
            return
        yield from PLAY.events[:5]
        gate.wait(30)

    patience = Patience(silence_s=0.05, first_wait_s=0.0)
    assert list(resuming(service, patience=patience, sleep=no_sleep)) == list(PLAY.events)
    gate.set()


def test_the_error_after_a_silence_names_it() -> None:
    gate = threading.Event()

    def service(cursor: Cursor) -> Iterator[Any]:
        yield from PLAY.events[: 5 if cursor.sequence_number is None else 0]
        gate.wait(30)

    with pytest.raises(IncompleteStreamError, match=r"nothing came for 0\.02 seconds"):
        list(resuming(service, patience=Patience(silence_s=0.02, max_retries=1), sleep=no_sleep))
    gate.set()


def test_the_error_after_the_deadline_names_it() -> None:
    now = [0.0]

    def sleep(_seconds: float) -> None:
        now[0] += 50

    service = Service(PLAY, 3, 0, 0, 0, 0)
    patience = Patience(deadline_s=120, silence_s=None)
    with pytest.raises(IncompleteStreamError, match="it was not whole within 120 seconds"):
        list(resuming(service, patience=patience, clock=lambda: now[0], sleep=sleep))
    assert len(service.asked) == 3


def test_no_wait_is_longer_than_half_of_the_time_left() -> None:
    slept: list[float] = []
    patience = Patience(first_wait_s=4.0, deadline_s=10, silence_s=None)
    service = Service(PLAY, 3, 0, 0, 0)
    times = {"clock": lambda: sum(slept), "sleep": slept.append, "chance": lambda: 1.0}
    assert list(resuming(service, patience=patience, **times)) == list(PLAY.events)  # type: ignore[arg-type]
    assert slept == [4.0, 3.0, 1.5, 0.75]


def test_a_retry_after_beyond_the_deadline_ends_the_stream_at_once() -> None:
    slept: list[float] = []

    def service(cursor: Cursor) -> Iterator[Any]:
        if cursor.sequence_number is None:
            return cut(PLAY.events, 3)
        raise RefusedError(503, **{"retry-after": "5"})

    patience = Patience(first_wait_s=0.0, deadline_s=1)
    with pytest.raises(IncompleteStreamError, match="it cannot be whole within 1 seconds") as over:
        list(resuming(service, patience=patience, clock=lambda: 0.0, sleep=slept.append))
    assert slept == [0.0]
    assert isinstance(over.value.__cause__, RefusedError)


async def endless(_cursor: Cursor) -> AsyncIterator[Any]:
    yield created(seq=0)
    for seq in count(1):
        yield KEEPALIVE | {"sequence_number": seq}


def test_the_deadline_ends_a_stream_that_never_waits() -> None:
    now = count()
    patience = Patience(deadline_s=50, silence_s=None)

    async def run() -> None:
        async for event in aresuming(endless, patience=patience, clock=lambda: next(now)):
            assert event.get("sequence_number", 0) < 60

    with pytest.raises(IncompleteStreamError, match="it was not whole within 50 seconds"):
        asyncio.run(run())

    def service(_cursor: Cursor) -> Iterator[Any]:
        return ({"type": "keepalive", "sequence_number": seq} for seq in count())

    now = count()
    with pytest.raises(IncompleteStreamError, match="it was not whole within 50 seconds"):
        for event in resuming(service, patience=patience, clock=lambda: next(now)):
            assert event["sequence_number"] < 60


class Hanging:
    """An async stream that gives two events, and never closes."""

    def __init__(self) -> None:
        self.events = iter(PLAY.events[:2])

    def __aiter__(self) -> Hanging:
        return self

    async def __anext__(self) -> Any:
        event = next(self.events, None)
        if event is None:
            await asyncio.Event().wait()
        return event

    async def aclose(self) -> None:
        await asyncio.Event().wait()


def test_a_stream_that_never_closes_does_not_hold_up_its_end() -> None:
    async def run() -> None:
        async for _ in aresuming(lambda _: Hanging(), patience=Patience(silence_s=0.02, max_retries=1, first_wait_s=0)):
            pass

    with pytest.raises(IncompleteStreamError, match="nothing came"):
        asyncio.run(asyncio.wait_for(run(), 20))


def test_a_stream_that_opens_after_it_was_given_up_is_closed() -> None:
    gate, closed = threading.Event(), threading.Event()

    class Late:
        def __iter__(self) -> Iterator[Any]:
            return iter(PLAY.events)

        def close(self) -> None:
            closed.set()

    def service(_cursor: Cursor) -> Late:
        gate.wait(30)
        return Late()

    with pytest.raises(IncompleteStreamError, match="nothing came"):
        list(resuming(service, patience=Patience(silence_s=0.02)))
    assert not closed.is_set()
    gate.set()
    assert closed.wait(30)


def test_a_broken_connection_is_closed_before_the_wait() -> None:
    told: list[str] = []

    def service(cursor: Cursor) -> Iterator[Any]:
        if cursor.sequence_number is not None:
            return iter(resumed(PLAY, cursor.sequence_number).events)
        return Breaking()

    class Breaking:
        events = iter(PLAY.events[:3])

        def __iter__(self) -> Iterator[Any]:
            return self

        def __next__(self) -> Any:
            for event in self.events:
                return event
            raise BrokenError

        def close(self) -> None:
            told.append("closed")

    list(resuming(service, sleep=lambda _: told.append("waited")))
    assert told[-1] == "waited"
    assert "closed" in told


def test_the_error_after_an_async_silence_names_it() -> None:
    async def service(cursor: Cursor) -> AsyncIterator[Any]:
        for event in PLAY.events[: 5 if cursor.sequence_number is None else 0]:
            yield event
        await asyncio.Event().wait()

    async def run() -> None:
        async for _ in aresuming(service, patience=Patience(silence_s=0.02, max_retries=0)):
            pass

    with pytest.raises(IncompleteStreamError, match="nothing came"):
        asyncio.run(run())


def test_a_timeout_of_the_client_is_no_silence() -> None:
    async def service(_cursor: Cursor) -> AsyncIterator[Any]:
        for event in PLAY.events[:4]:
            yield event
        raise TimeoutError("the client's")

    async def run() -> None:
        async for _ in aresuming(service, patience=Patience(max_retries=0)):
            pass

    with pytest.raises(IncompleteStreamError, match="the client's"):
        asyncio.run(run())


# ---- whole events before a cut


def _broken_answer(_cursor: Cursor) -> Iterator[bytes]:
    return cut([json.dumps({"created": 1, "data": [{"b64_json": b64(png())}]}).encode()], 1)


def _broken_after_its_last_event(_cursor: Cursor) -> Iterator[bytes]:
    return cut([sse([image_completed(png())]).rstrip()], 1)


@pytest.mark.parametrize("service", [_broken_answer, _broken_after_its_last_event])
def test_whole_pictures_are_kept_if_a_stream_without_a_position_breaks(
    service: Callable[[Cursor], Iterator[bytes]],
) -> None:
    async def aservice(cursor: Cursor) -> AsyncIterator[bytes]:
        for piece in service(cursor):
            yield piece

    async def run() -> None:
        await aassemble(aresuming(aservice, patience=HASTE), assembler=other)

    assembler, other = Assembler(), Assembler()
    with pytest.raises(BrokenError):
        assemble(opened(service), assembler=assembler)
    with pytest.raises(BrokenError):
        asyncio.run(run())
    assert [item.final and item.final.data for item in assembler.items.values()] == [png()]
    assert other.items == assembler.items


def test_the_last_event_of_a_stream_that_is_given_up_is_kept() -> None:
    body = sse([created(seq=0), partial(seq=1)]).rstrip()
    assembler = Assembler()
    with pytest.raises(IncompleteStreamError, match="given up"):
        assemble(opened(lambda _: cut([body], 1)), assembler=assembler)
    assert len(assembler["ig_1"].partials) == 1


def test_the_limits_of_the_caller_hold() -> None:
    body = sse([created(), done()])
    assert [type(each) for each in opened(lambda _: [body], limits=Limits(max_event_bytes=120))][-1] is LimitError
    assert [type(each) for each in opened(lambda _: [body])] == [dict, dict]


# ---- patience


@pytest.mark.parametrize("name", ["max_retries", "first_wait_s", "silence_s", "deadline_s"])
@pytest.mark.parametrize("value", [-1, float("nan"), True, "1", float("inf"), pytest.param(10**400, id="long")])
def test_wrong_values_of_patience_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        Patience(**{name: value})


def test_only_silence_and_the_deadline_may_have_no_limit() -> None:
    patience = Patience(silence_s=None, deadline_s=None)
    assert list(resuming(lambda _: iter(PLAY.events), patience=patience)) == list(PLAY.events)
    with pytest.raises(UsageError, match="max_retries"):
        Patience(max_retries=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("call", [resuming, aresuming])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (((5,), {}), "open_stream is a function that opens the stream after a Cursor, not int:{name}\\("),
        (((no_sleep,), {"patience": 5}), r"patience is a Patience, not int: patience=Patience\("),
        (((no_sleep,), {"since": 5}), "since is a Cursor, as assembler.cursor, not int"),
        (((no_sleep,), {"limits": 5}), r"limits is a Limits, not int: Limits\("),
    ],
)
def test_wrong_arguments_are_refused_by_the_call(call: Any, arguments: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence.replace("{name}", f" {call.__name__}")):
        call(*arguments[0], **arguments[1])


def test_an_async_function_is_refused_by_resuming() -> None:
    with pytest.raises(UsageError, match="use aresuming"):
        resuming(endless)


def test_a_function_that_opens_an_async_stream_is_refused_with_the_name_of_the_twin() -> None:
    with pytest.raises(UsageError, match="is async: use aresuming"):
        next(resuming(lambda cursor: endless(cursor)))


def test_a_function_that_opens_a_sync_stream_is_refused_by_aresuming() -> None:
    async def read() -> None:
        await anext(aresuming(lambda _: iter([{}])))

    with pytest.raises(UsageError, match="would block the event loop: use resuming"):
        asyncio.run(read())


# ---- the stream of another reader


def test_a_stream_begins_at_the_cursor_of_another_reader() -> None:
    first, second = Assembler(), Assembler()
    for event in EVENTS[:6]:
        first.feed(event)
    service = Service(PLAY, 2)
    result = assemble([*EVENTS[:6], *opened(service, since=first.cursor)], assembler=second)
    assert [each.sequence_number for each in service.asked] == [
        first.cursor.sequence_number,
        EVENTS[7]["sequence_number"],
    ]
    assert [each.response_id for each in service.asked] == [first.cursor.response_id] * 2
    assert shown(result) == shown(WHOLE)


def test_a_stream_that_cannot_be_opened_at_first_is_tried_again_if_it_has_begun_elsewhere() -> None:
    assert list(opened(Service(PLAY, 0, 0), since=Cursor(EVENTS[0]["response"]["id"], -1))) == list(PLAY.events)


def test_nothing_of_a_service_that_numbers_each_connection_from_zero_is_lost_after_a_cursor() -> None:
    since = Cursor(EVENTS[0]["response"]["id"], 1_000)
    assert list(opened(Service(PLAY, from_start=True), since=since)) == list(PLAY.events)


class Event(dict[str, Any]):
    """An event whose life can be observed."""


def test_no_event_is_kept_after_it_was_given() -> None:
    async def aservice(_cursor: Cursor) -> AsyncIterator[Any]:
        for event in PLAY.events:
            yield Event(event)

    async def run() -> None:
        async for event in aresuming(aservice):
            lives.append(ref(event))
            del event
            assert lives[-1]() is None

    lives: list[ref[Event]] = []
    for event in resuming(lambda _: map(Event, PLAY.events)):
        lives.append(ref(event))
        del event
        assert lives[-1]() is None
    asyncio.run(run())
    assert len(lives) == 2 * len(PLAY.events)


def test_closing_the_events_ends_the_reading() -> None:
    closed = threading.Event()

    def service(_cursor: Cursor) -> Iterator[Any]:
        try:
            yield from PLAY.events
        finally:
            closed.set()

    events = resuming(service)
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert closed.wait(30)


# ---- server-sent events with ids, over a real socket


class Numbered(http.server.BaseHTTPRequestHandler):
    """A plain SSE URL: each event has an id, and Last-Event-ID continues after it. It breaks after some events."""

    asked: ClassVar[list[str | None]]
    events_each: ClassVar[int] = 4

    def do_GET(self) -> None:
        last = self.headers.get("last-event-id")
        type(self).asked.append(last)
        start = int(last) + 1 if last else 0
        events = [replace_number(event) for event in PLAY.events][start : start + self.events_each]
        self.send_response(200)
        self.send_header("content-length", str(10**9))  # so that the client sees the cut
        self.end_headers()
        for at, event in enumerate(events, start):
            self.wfile.write(b"id: %d\n%b" % (at, sse([event])))

    def log_message(self, *_: object) -> None:
        pass


def replace_number(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "sequence_number"}


def test_a_plain_sse_url_is_resumed_by_its_last_event_id() -> None:
    class Handler(Numbered):
        asked: ClassVar[list[str | None]] = []

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"

        def open_stream(cursor: Cursor) -> Iterator[bytes]:
            headers = {"Last-Event-ID": cursor.last_event_id} if cursor.last_event_id else {}
            with urlopen(Request(url, headers=headers)) as body:
                yield from iter(lambda: body.read1(65_536), b"")

        result = assemble(opened(open_stream))
        server.shutdown()
    assert Handler.asked == [None, "3", "7", "11", "15"][: -(-len(PLAY.events) // 4)]
    expected = assemble(map(replace_number, PLAY.events))
    assert shown(result) == shown(expected)


def test_the_program_for_a_plain_sse_url_runs_unchanged(tmp_path: Path) -> None:
    class Handler(Numbered):
        asked: ClassVar[list[str | None]] = []
        events_each = len(PLAY.events) // 2 + 1

    program = Path(__file__).parents[2] / "docs" / "clients" / "with_sse_resuming.py"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {**os.environ, "EVENTS_URL": f"http://127.0.0.1:{server.server_port}/"}
        run = subprocess.run(
            [sys.executable, str(program)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        server.shutdown()
    assert run.returncode == 0, run.stderr
    assert Handler.asked == [None, str(len(PLAY.events) // 2)]
    final = WHOLE.final
    assert final is not None
    assert (tmp_path / "otter.png").read_bytes() == final.data
    assert run.stdout.splitlines()[-1] == "otter.png"


def test_a_cursor_can_be_made_without_an_event_id() -> None:
    assert Cursor("resp_1", 3) == Cursor("resp_1", 3, None)
    assert replace(Cursor("resp_1", 3), sequence_number=4) == Cursor("resp_1", 4)
