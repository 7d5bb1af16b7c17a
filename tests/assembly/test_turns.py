"""One thread feeds an assembler, and any thread can stop the reading of its stream."""

from __future__ import annotations

import asyncio
import threading

import pytest
import samples

from imgassemble import Assembler, IncompleteStreamError, Outcome, StreamEnded, Update, UsageError
from imgassemble.assembly.assembler import stop_signal

EARLY_ENDS = {
    GeneratorExit: "the program stopped reading the stream",
    KeyboardInterrupt: "the program was interrupted",
    asyncio.CancelledError: "the task that read the stream was cancelled",
}


def test_a_second_thread_that_feeds_at_the_same_moment_gets_a_usage_error() -> None:
    assembler = Assembler()
    is_called, may_go = threading.Event(), threading.Event()

    def wait(_: Update) -> None:
        is_called.set()
        assert may_go.wait(30)

    assembler.subscribe(wait)
    thread = threading.Thread(target=assembler.feed, args=(samples.partial(index=0, seq=1),))
    thread.start()
    assert is_called.wait(30)
    with pytest.raises(UsageError, match="two threads"):
        assembler.feed(samples.partial(index=1, seq=2))
    with pytest.raises(UsageError, match="two threads"):
        assembler.close()
    may_go.set()
    thread.join()
    assert len(assembler["ig_1"].partials) == 1
    assert assembler.feed(samples.partial(index=1, seq=2))


def test_threads_that_feed_one_after_the_other_are_allowed() -> None:
    assembler = Assembler()
    for index in range(3):
        thread = threading.Thread(target=assembler.feed, args=(samples.partial(index=index, seq=index),))
        thread.start()
        thread.join()
    assert len(assembler["ig_1"].partials) == 3


def test_an_assembler_is_stopped_once_and_keeps_the_first_reason() -> None:
    assembler = Assembler()
    assert not assembler.is_stopped
    assembler.stop("the user left")
    assembler.stop("something else")
    assert assembler.is_stopped
    assembler.feed(samples.partial(index=0))
    assembler.close()
    assert assembler["ig_1"].reason == "the user left"


def test_the_given_reason_is_the_reason_of_items_and_responses_that_are_incomplete() -> None:
    assembler = Assembler()
    assembler.feed(samples.created(seq=0))
    assembler.feed(samples.partial(index=0, seq=1))
    assembler.stop("the user left")
    assembler.close()
    assert assembler.outcome is Outcome.INCOMPLETE
    assert assembler["ig_1"].reason == "the user left"
    assert assembler.result is not None
    assert assembler.result.responses[0].reason == "the user left"
    assert "the user left" in str(assembler.result.error)
    assert isinstance(assembler.result.error, IncompleteStreamError)
    assert assembler.result.error.item_ids == ("ig_1",)


@pytest.mark.parametrize("error", EARLY_ENDS)
def test_a_program_that_stops_reading_gives_the_outcome_of_a_stream_that_ended_there(
    error: type[BaseException],
) -> None:
    for events in ([samples.created(seq=0), samples.done(seq=1)], [samples.partial(index=0)], []):
        left, ended = Assembler(), Assembler()
        for event in events:
            left.feed(event)
            ended.feed(event)
        left.close(error())
        ended.close()
        assert left.outcome is ended.outcome
        assert {name: item.state for name, item in left.items.items()} == {
            name: item.state for name, item in ended.items.items()
        }
        assert left.result is not None
        if left.result.error is not None:
            assert EARLY_ENDS[error] in str(left.result.error)


def test_a_stop_after_the_last_response_changes_nothing() -> None:
    assembler, other = Assembler(), Assembler()
    for each in (assembler, other):
        each.feed(samples.partial(index=0))
        each.feed(samples.snapshot("incomplete", reason="max_output_tokens"))
    assembler.stop()
    assembler.close()
    other.close()
    assert assembler.result == other.result


def test_an_interrupt_in_a_listener_is_raised_after_the_others_have_received_all_updates() -> None:
    assembler = Assembler()
    received: list[Update] = []

    def interrupt(_: Update) -> None:
        raise KeyboardInterrupt

    assembler.subscribe(interrupt)
    assembler.subscribe(received.append)
    with pytest.raises(KeyboardInterrupt):
        assembler.feed(samples.partial(index=0))
    assert [type(update).__name__ for update in received] == ["StateChanged", "FrameAdded"]
    with pytest.raises(KeyboardInterrupt):
        assembler.close()
    assert isinstance(received[-1], StreamEnded)


def test_a_stop_interrupts_each_driver_also_one_that_registers_later() -> None:
    assembler, calls = Assembler(), list[str]()
    with stop_signal(assembler).interrupting(lambda: calls.append("first")):
        assembler.stop()
    assert calls == ["first"]
    with stop_signal(assembler).interrupting(lambda: calls.append("late")):
        assert calls == ["first", "late"]
    assembler.stop()
    assert calls == ["first", "late"]
