"""The Refresher: the laws of its mailbox at explicit times, and its thread, which never delays a feed."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import queue
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest
import samples
import strategies as some
from hypothesis import given
from hypothesis import strategies as st
from samples import Wire

from imgassemble import (
    Assembler,
    FinalReady,
    FinalWithdrawn,
    FrameAdded,
    ItemEnded,
    Limits,
    StreamEnded,
    Update,
    UsageError,
    aassemble,
    assemble,
    iter_updates,
)
from imgassemble.screens.mailbox import MOST_WAITING, Mailbox, Policy
from imgassemble.screens.refresher import Refresher
from imgassemble.screens.showing import RefresherPhase

PATIENCE_S = 30  # each wait takes milliseconds; a busy machine may need longer
REQUIRED = (FinalReady, FinalWithdrawn, ItemEnded, StreamEnded)
FINAL = samples.png(5, 4)
EVENTS = [
    samples.call("generating", seq=1),
    samples.partial(index=0, seq=2),
    samples.partial(index=1, seq=3),
    samples.done(content=FINAL, seq=4),
]


def updates_of(events: Iterable[Any]) -> list[Update]:
    return list(iter_updates(events))


def failed_then_good(times: int) -> list[Wire]:
    """Return snapshots that withdraw the picture of an item and send it again, `times` times."""
    members = (samples.member(content=None, status="failed"), samples.member(content=FINAL))
    return [samples.snapshot("completed", [members[at % 2]], seq=at) for at in range(2 * times)]


def wanted(updates: Iterable[Update], policy: Policy) -> list[Update]:
    """Return the updates that a policy shows."""
    previews = (each for each in updates if isinstance(each, (FrameAdded, *REQUIRED)))
    return [each for each in previews if policy == "all" or not isinstance(each, FrameAdded) or each.is_latest]


def required(updates: Iterable[Update]) -> list[Update]:
    return [each for each in updates if isinstance(each, REQUIRED)]


def of_item(updates: Iterable[Update], item_id: str) -> list[Update]:
    return [each for each in updates if getattr(each, "item_id", None) == item_id]


def ids_in(updates: Iterable[Update]) -> set[str]:
    return {each.item_id for each in updates if not isinstance(each, StreamEnded) and each.item_id is not None}


def is_subsequence(some_of: Iterable[Update], updates: Iterable[Update]) -> bool:
    rest = iter(updates)
    return all(any(one is other for other in rest) for one in some_of)


# The mailbox


class Play:
    """A mailbox with the updates that were put in, and the updates that were taken out with their times."""

    def __init__(self, policy: Policy = "latest", min_interval_s: float = 0.0) -> None:
        self.policy = policy
        self.mailbox = Mailbox(policy, min_interval_s)
        self.put: list[Update] = []
        self.taken: list[tuple[float, Any]] = []
        self.now = 0.0

    @property
    def shown(self) -> list[Update]:
        return [update for _, update in self.taken]

    def tell(self, *updates: Update) -> None:
        for update in wanted(updates, self.policy):
            assert self.mailbox.accepts(update)
            self.mailbox.put(update)
            self.put.append(update)

    def take(self) -> bool:
        """Take the update that is due now, if there is one."""
        due = self.mailbox.take_due(self.now)
        if isinstance(due, float):
            assert due > 0
            assert self.policy == "all" or len(required(self.shown)) == len(required(self.put)), (
                "a required update waited"
            )
        elif due is not None:
            self.taken.append((self.now, due))
        return not isinstance(due, float | None)

    def drain(self) -> list[Update]:
        """Take all waiting updates, each as soon as it is due."""
        before = len(self.taken)
        while len(self.mailbox):
            due = self.mailbox.take_due(self.now)
            assert due is not None
            if isinstance(due, float):
                self.now += due
            else:
                self.taken.append((self.now, due))
        assert self.mailbox.take_due(self.now) is None
        return self.shown[before:]


streams: st.SearchStrategy[list[Wire]] = st.one_of(
    some.responses_streams(indexed=False), some.images_streams(), st.integers(1, 4).map(failed_then_good)
)
policies: st.SearchStrategy[Policy] = st.sampled_from(("latest", "all"))


@st.composite
def plays(draw: st.DrawFn) -> Play:
    """Draw one or two streams in a row, cut anywhere or closed, with takes at any moments in between."""
    play = Play(draw(policies), draw(st.sampled_from((0, 0.5, 3.0))))
    for _ in range(draw(st.integers(1, 2))):
        updates = updates_of(draw(streams))
        for update in updates[: draw(st.integers(0, len(updates)))] if draw(st.booleans()) else updates:
            play.tell(update)
            for wait_s in draw(st.lists(st.sampled_from((0.0, 0.3, 0.5, 4.0)), max_size=3)):
                play.now += wait_s
                play.take()
    return play


@given(plays())
def test_required_updates_are_shown_in_their_order(play: Play) -> None:
    play.drain()
    assert required(play.shown) == required(play.put)


@given(plays())
def test_an_item_never_goes_back(play: Play) -> None:
    play.drain()
    for item_id in ids_in(play.put):
        assert is_subsequence(of_item(play.shown, item_id), of_item(play.put, item_id))


@given(plays())
def test_all_shows_everything_in_order(play: Play) -> None:
    play.drain()
    assert play.policy == "latest" or play.shown == play.put


@given(st.lists(st.booleans(), max_size=30), streams)
def test_the_end_of_a_stream_comes_after_everything_else_of_it(takes: list[bool], events: list[Wire]) -> None:
    play = Play(min_interval_s=2.0)
    for at, update in enumerate(updates_of(events)):
        play.tell(update)
        if at < len(takes) and takes[at]:
            play.take()
    play.drain()
    assert isinstance(play.shown[-1], StreamEnded)
    assert len([each for each in play.shown if isinstance(each, StreamEnded)]) == 1


@given(plays())
def test_each_update_is_shown_or_counted_as_skipped(play: Play) -> None:
    play.drain()
    assert len(play.shown) + play.mailbox.skipped == len(play.put)


@given(plays())
def test_only_the_newest_preview_of_an_item_waits_and_it_comes_last(play: Play) -> None:
    waiting = play.drain()
    for item_id in ids_in(waiting) if play.policy == "latest" else ():
        previews = [each for each in of_item(waiting, item_id) if isinstance(each, FrameAdded)]
        told_of_it = [each for each in of_item(play.put, item_id) if isinstance(each, FrameAdded)]
        ends = [each for each in waiting if isinstance(each, (ItemEnded, StreamEnded))]
        assert not previews or previews[-1] == told_of_it[-1]
        assert len(previews) <= 1 + len(ends)  # one before each end that came without a final


@given(plays())
def test_required_updates_are_shown_after_previews_were_skipped(play: Play) -> None:
    waiting = len(play.mailbox)
    before = play.mailbox.skipped
    skipped = play.mailbox.skip_previews()
    assert play.mailbox.skipped == before + skipped
    assert len(play.drain()) == waiting - skipped
    assert required(play.shown) == required(play.put)


@given(plays(), st.sampled_from((0.0, 0.5, 3.0)))
def test_two_previews_are_an_interval_apart(play: Play, later_s: float) -> None:
    play.now += later_s
    play.drain()
    ends = (ItemEnded, StreamEnded)  # the last preview before them is shown at once
    starts = [
        at
        for (at, update), (_, then) in pairwise([*play.taken, (0.0, None)])
        if isinstance(update, FrameAdded) and not (play.policy == "latest" and (then is None or isinstance(then, ends)))
    ]
    assert all(later >= earlier + play.mailbox._min_interval_s for earlier, later in pairwise(starts))


def partials(count: int, item_id: str = "ig_1") -> list[Wire]:
    return [samples.partial(item_id, index, seq=index + 1) for index in range(count)]


@given(st.lists(st.booleans(), max_size=12), policies)
def test_the_indices_of_previews_increase(takes: list[bool], policy: Policy) -> None:
    play = Play(policy)
    for update, is_taken in zip(updates_of(partials(12)), [*takes, *[False] * 99], strict=False):
        play.tell(update)
        if is_taken:
            play.take()
    play.drain()
    indices = [update.frame.index or 0 for update in play.shown if isinstance(update, FrameAdded)]
    assert all(earlier < later for earlier, later in pairwise(indices))


def test_an_item_keeps_its_turn_when_its_preview_is_replaced() -> None:
    play = Play()
    for event in (
        samples.partial("ig_1", 0),
        samples.partial("ig_2", 0),
        samples.done("ig_3", FINAL),
        samples.partial("ig_1", 1),
    ):
        play.tell(*Assembler().feed(event))
    turns = [(each.item_id, each.frame.index) for each in play.drain() if isinstance(each, (FrameAdded, FinalReady))]
    assert turns == [("ig_1", 1), ("ig_2", 0), ("ig_3", None)]


def test_the_end_of_a_stream_does_not_wait_for_the_interval_of_late_previews() -> None:
    play = Play(min_interval_s=9.0)
    early, late = ([samples.partial(f"ig_{at}", index) for at in range(3)] for index in (0, 1))
    play.tell(*updates_of([*early, samples.snapshot("incomplete", []), *late]))
    play.tell(*Assembler().feed(samples.partial("ig_9", 0)))  # of a stream that goes on
    shown = play.drain()
    assert [type(each) for each in shown] == [*[FrameAdded, ItemEnded] * 3, *[FrameAdded] * 3, StreamEnded, FrameAdded]
    assert [at for at, _ in play.taken][-2:] == [0.0, 9.0]
    assert len(shown) + play.mailbox.skipped == len(play.put)


def test_a_final_overtakes_previews_that_wait_for_the_interval() -> None:
    play, assembler = Play(min_interval_s=9.0), Assembler()
    play.tell(*assembler.feed(samples.partial("ig_1", 0)), *assembler.feed(samples.partial("ig_2", 0)))
    assert play.take()
    play.tell(*assembler.feed(samples.done("ig_1", FINAL)))
    assert play.take()
    assert play.take()
    assert not play.take()
    play.now = 9.0
    assert play.take()
    assert [type(each) for each in play.shown] == [FrameAdded, FinalReady, ItemEnded, FrameAdded]


def test_the_interval_counts_from_when_a_preview_is_begun() -> None:
    play = Play(min_interval_s=2.0)
    play.tell(*Assembler().feed(samples.partial("ig_1", 0)), *Assembler().feed(samples.partial("ig_2", 0)))
    assert play.mailbox.take_due(0.0)
    play.mailbox.restart_interval(5.0)  # it was prepared until then
    assert play.mailbox.take_due(6.0) == 1.0
    assert isinstance(play.mailbox.take_due(7.0), FrameAdded)


def test_with_all_the_updates_after_a_preview_wait_for_it() -> None:
    play = Play("all", min_interval_s=2.0)
    play.tell(*updates_of(EVENTS))
    assert play.take()
    assert not play.take()
    assert [at for at, update in play.taken + [(play.now, each) for each in play.drain()]][-1] == 2.0


def test_a_preview_may_follow_a_withdrawn_final() -> None:
    play, assembler = Play(), Assembler()
    play.tell(*assembler.feed(samples.done(content=FINAL, seq=1)))
    play.tell(*assembler.feed(samples.done(content=None, status="failed", seq=2)))
    play.tell(*assembler.feed(samples.partial(index=0, seq=3)))
    assert [type(each) for each in play.drain()] == [FinalReady, ItemEnded, FinalWithdrawn, ItemEnded, FrameAdded]


def test_a_partial_that_came_late_is_shown_by_all_alone() -> None:
    updates = [update for index in (1, 0) for update in Assembler().feed(samples.partial(index=index))]
    previews = updates_of([samples.partial(index=1), samples.partial(index=0)])
    late = [each for each in previews if isinstance(each, FrameAdded)]
    assert [each.is_latest for each in late] == [True, False]
    assert [Mailbox("latest", 0).accepts(each) for each in late] == [True, False]
    assert [Mailbox("all", 0).accepts(each) for each in late] == [True, True]
    assert not any(Mailbox("all", 0).accepts(each) for each in updates if not isinstance(each, FrameAdded))


def test_all_skips_the_oldest_previews_above_its_bound() -> None:
    play = Play("all")
    (first, *_) = (each for each in updates_of(partials(1)) if isinstance(each, FrameAdded))
    play.tell(*[FrameAdded("ig_1", first.frame, is_latest=True) for _ in range(MOST_WAITING + 10)])
    play.tell(*(each for each in updates_of(EVENTS) if isinstance(each, REQUIRED)))
    assert len(play.mailbox) == MOST_WAITING
    shown = play.drain()
    assert play.mailbox.skipped == 13
    assert [*map(id, shown)] == [*map(id, play.put[13:])]


@pytest.mark.parametrize("policy", ["latest", "all"])
def test_a_stream_that_replaces_finals_forever_keeps_its_last_words(policy: Policy) -> None:
    play = Play(policy)
    assembler = Assembler()
    play.tell(*Assembler().feed(samples.done("ig_2", FINAL)))
    play.drain()
    for event in failed_then_good(3_000):
        play.tell(*assembler.feed(event))
    play.tell(*Assembler().feed(samples.done("ig_2", FINAL)))
    assert len(play.put) > 2 * MOST_WAITING
    assert len(play.mailbox) <= MOST_WAITING + 2 * 2  # two for each item
    play.tell(*assembler.close())
    shown = play.drain()
    assert [*map(id, shown[-5:])] == [*map(id, play.put[-5:])]
    assert [type(each) for each in shown[-5:]] == [*[FinalReady, ItemEnded] * 2, StreamEnded]
    assert len(play.shown) + play.mailbox.skipped == len(play.put)


# The thread


class Screen:
    """A callback that records its arguments and its thread. The test can block it."""

    def __init__(self, *, is_held: bool = False) -> None:
        self.shown: list[Any] = []
        self.prepared: list[Any] = []
        self.threads: set[int] = set()
        self.is_busy = threading.Event()
        self._may_go_on = threading.Event()
        if not is_held:
            self._may_go_on.set()

    def __call__(self, update: Any, *prepared: Any) -> None:
        self.shown.append(update)
        self.prepared += prepared
        self.threads.add(threading.get_ident())
        self.is_busy.set()
        assert self._may_go_on.wait(PATIENCE_S)

    def wait(self) -> None:
        assert self.is_busy.wait(PATIENCE_S)

    def release(self) -> None:
        self._may_go_on.set()

    @property
    def kinds(self) -> list[str]:
        return [type(each).__name__ for each in self.shown]

    @property
    def indices(self) -> list[Any]:
        return [each.frame.index for each in self.shown if isinstance(each, FrameAdded)]


ENDS = ["FinalReady", "ItemEnded", "StreamEnded"]


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


def test_a_feed_returns_while_the_screen_is_busy() -> None:
    screen, assembler = Screen(is_held=True), Assembler()
    with Refresher(screen) as refresher:
        assembler.subscribe(refresher)
        assembler.feed(samples.partial(index=0))
        screen.wait()
        for event in partials(1_000)[1:]:
            assembler.feed(event)
        assert screen.indices == [0]
        screen.release()
    assert screen.indices == [0, 999]
    assert (refresher.shown, refresher.skipped) == (2, 998)


def test_a_final_comes_last_and_no_preview_after_it() -> None:
    screen = Screen(is_held=True)
    with Refresher(screen) as refresher:
        assembler = Assembler()
        assembler.subscribe(refresher)
        assembler.feed(samples.partial(index=0))
        screen.wait()
        assemble([*partials(1_000), samples.done(content=FINAL)], assembler=assembler)
        screen.release()
    assert screen.kinds == ["FrameAdded", *ENDS]
    assert screen.threads.isdisjoint({threading.get_ident()})
    assert (refresher.shown, refresher.skipped) == (4, 999)


def test_a_busy_screen_that_shows_all_shows_all() -> None:
    screen = Screen(is_held=True)
    with Refresher(screen, policy="all") as refresher:
        assemble([*reversed(partials(100)), samples.done(content=FINAL)], on_update=refresher)
        screen.release()
    assert screen.indices == [*reversed(range(100))]
    assert screen.kinds == ["FrameAdded"] * 100 + ENDS


def test_a_busy_screen_that_shows_all_skips_above_the_bound() -> None:
    screen, assembler = Screen(is_held=True), Assembler(limits=Limits(max_frames_per_item=10_000))
    with Refresher(screen, policy="all") as refresher:
        assembler.subscribe(refresher)
        assembler.feed(samples.partial(index=0))
        screen.wait()
        assemble([*partials(5_000)[1:], samples.done(content=FINAL)], assembler=assembler)
        screen.release()
    assert (refresher.shown, refresher.skipped) == (1 + MOST_WAITING, 4_999 + 3 - MOST_WAITING)
    assert screen.kinds[-3:] == ENDS
    assert screen.indices[1:] == list(range(5_000 - MOST_WAITING + 3, 5_000))


class Decoded:
    """Stands for pixels, and supports weak references, so that the test sees when it is freed."""


def test_decoded_pixels_are_freed_with_their_call_without_the_garbage_collector() -> None:
    alive: list[weakref.ref[Decoded]] = []

    def prepare(_update: Any) -> Decoded:
        decoded = Decoded()
        alive.append(weakref.ref(decoded))
        return decoded

    gc.disable()
    try:
        with Refresher(lambda *_: None, prepare=prepare) as refresher:
            assemble(EVENTS, on_update=refresher)
        assert [ref() for ref in alive] == [None] * refresher.shown
    finally:
        gc.enable()
    assert refresher.shown > 1


def test_refreshers_do_not_delay_each_other() -> None:
    slow, slower, fast = Screen(is_held=True), Screen(is_held=True), Screen()
    refreshers = [Refresher(slow), Refresher(slower, policy="all"), Refresher(fast)]
    assembler = Assembler()
    for refresher in refreshers:
        assembler.subscribe(refresher)
    assemble(EVENTS, assembler=assembler)
    assert refreshers[2].close(PATIENCE_S)
    assert fast.kinds[-3:] == ENDS
    for screen, refresher in zip((slow, slower), refreshers, strict=False):
        screen.release()
        assert refresher.close(PATIENCE_S)
        assert screen.kinds[-3:] == ENDS
    assert slower.kinds == ["FrameAdded", "FrameAdded", *ENDS]


@pytest.mark.parametrize("policy", ["latest", "all"])
def test_several_threads_may_feed_one_refresher(policy: Policy) -> None:
    screen, start = Screen(), threading.Barrier(4)

    def feed(item_id: str) -> None:
        start.wait(PATIENCE_S)
        assemble([*partials(50, item_id), samples.done(item_id, FINAL)], on_update=refresher)

    with Refresher(screen, policy=policy) as refresher:
        threads = [threading.Thread(target=feed, args=(f"ig_{at}",)) for at in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert refresher.shown + refresher.skipped == 4 * (50 + 3)
    assert refresher.skipped == 0 or policy == "latest"
    for at in range(4):
        mine = of_item(screen.shown, f"ig_{at}")
        assert [type(each).__name__ for each in mine[-2:]] == ENDS[:2]
        indices = [each.frame.index or 0 for each in mine if isinstance(each, FrameAdded)]
        assert indices == sorted(set(indices))


def workers_of(refresher: Refresher) -> list[threading.Thread]:
    return [thread] if (thread := refresher._showing._thread) else []


def test_one_refresher_serves_one_stream_after_another_and_its_thread_ends_between_them() -> None:
    screen = Screen(is_held=True)
    with Refresher(screen) as refresher:
        assemble(EVENTS, on_update=refresher)
        (worker,) = workers_of(refresher)
        assert worker.daemon
        screen.wait()
        screen.release()
        worker.join(PATIENCE_S)
        assert not worker.is_alive()
        first = screen.kinds
        assemble(EVENTS[-1:], on_update=refresher)
    assert screen.kinds == [*first, *ENDS]


def test_two_previews_are_shown_an_interval_apart() -> None:
    starts, looks = [], [0.0]

    def clock() -> float:
        looks.append(monotonic())
        return looks[-1]

    with Refresher(lambda _: starts.append(looks[-1]), min_interval_s=0.02, clock=clock) as refresher:
        for at in range(3):
            refresher(*(each for each in Assembler().feed(samples.partial(f"ig_{at}")) if isinstance(each, FrameAdded)))
    assert len(starts) == 3
    assert all(later >= earlier + 0.02 for earlier, later in pairwise(starts))


def test_a_final_does_not_wait_for_the_interval() -> None:
    screen, assembler = Screen(), Assembler()
    with Refresher(screen, min_interval_s=1e6, clock=lambda: 5.0) as refresher:
        assembler.subscribe(refresher)
        assembler.feed(samples.partial("ig_1", 0))
        screen.wait()
        assembler.feed(samples.partial("ig_2", 0))
        assemble([samples.done("ig_1", FINAL), samples.done("ig_2", FINAL)], assembler=assembler)
    assert screen.kinds == ["FrameAdded", "FinalReady", "ItemEnded", *ENDS]


def test_the_interval_counts_from_when_the_callback_is_called() -> None:
    screen, assembler, now = Screen(), Assembler(), [0]
    is_ended = threading.Event()

    def prepare(update: Update) -> None:
        now[0] = max(now[0], 7)

    def show(update: Update, _: None) -> None:
        screen(update)
        if isinstance(update, ItemEnded):
            is_ended.set()

    refresher = Refresher(show, min_interval_s=10, prepare=prepare, clock=lambda: now[0])
    assembler.subscribe(refresher)
    assembler.feed(samples.partial("ig_1", 0))
    screen.wait()
    now[0] = 16  # ten seconds after the first was taken, nine after it was shown
    assembler.feed(samples.partial("ig_2", 0))
    assembler.feed(samples.done("ig_1", FINAL))
    assert is_ended.wait(PATIENCE_S)
    now[0] = 17
    assert refresher.close(PATIENCE_S)
    assert screen.kinds == ["FrameAdded", "FinalReady", "ItemEnded", "FrameAdded"]


def test_a_clock_that_is_set_by_hand_is_asked_again_when_the_refresher_is_woken() -> None:
    screen, assembler, now = Screen(), Assembler(), [0.0]
    has_looked, both = threading.Event(), threading.Event()

    def clock() -> float:
        has_looked.set()
        return now[0]

    def show(update: Update) -> None:
        screen(update)
        if len(screen.shown) == 2:
            both.set()

    refresher = Refresher(show, min_interval_s=1e6, clock=clock)
    assembler.subscribe(refresher)
    assembler.feed(samples.partial("ig_1", 0))
    screen.wait()
    has_looked.clear()
    assembler.feed(samples.partial("ig_2", 0))
    assert has_looked.wait(PATIENCE_S)
    now[0] = 1e6
    refresher.wake()
    assert both.wait(PATIENCE_S)
    assert refresher.close(PATIENCE_S)


# The thread of the callback


def test_dispatch_calls_the_callback_in_the_thread_of_the_window() -> None:
    window: queue.Queue[Callable[[], None]] = queue.Queue()
    screen = Screen()
    refresher = Refresher(screen, dispatch=window.put, policy="all")
    assemble(EVENTS, on_update=refresher)
    for _ in range(5):
        function = window.get(timeout=PATIENCE_S)
        assert window.empty(), "at most one call waits"
        function()
        function()  # a second call does nothing
    assert refresher.close()
    assert screen.threads == {threading.get_ident()}
    assert screen.kinds == ["FrameAdded", "FrameAdded", *ENDS]


def test_a_dispatch_may_call_at_once() -> None:
    screen = Screen()
    with Refresher(screen, dispatch=lambda function: function()) as refresher:
        assemble(EVENTS, on_update=refresher)
    assert screen.kinds[-3:] == ENDS


def test_a_dispatch_that_raises_is_logged_and_its_update_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    kept = []

    def dispatch(function: Callable[[], None]) -> None:
        kept.append(function)
        if len(kept) == 1:
            raise RuntimeError("the window is gone")
        function()

    screen = Screen()
    refresher = Refresher(screen, dispatch=dispatch, policy="all")
    assemble(EVENTS, on_update=refresher)
    assert not refresher.close()
    kept[0]()  # it was skipped: this does nothing
    assert screen.kinds == ["FrameAdded", *ENDS]
    assert (refresher.shown, refresher.skipped) == (4, 1)
    assert lines(caplog) == [
        "a listener failed on FrameAdded; the stream goes on",
        "a Refresher was closed; updates that it did not show: 1",
    ]
    assert "the window is gone" in caplog.text


def test_closing_in_the_thread_of_the_window_makes_the_required_calls_there() -> None:
    window: queue.Queue[Callable[[], None]] = queue.Queue()
    screen, assembler = Screen(), Assembler()
    refresher = Refresher(screen, dispatch=window.put, prepare=lambda update: type(update).__name__)
    assembler.subscribe(refresher)
    assembler.feed(samples.partial(index=0))
    (worker,) = workers_of(refresher)
    window.get(timeout=PATIENCE_S)()
    assemble(EVENTS[-1:], assembler=assembler)
    function = window.get(timeout=PATIENCE_S)
    assert refresher.close(timeout_s=1e6)
    worker.join(PATIENCE_S)
    assert not worker.is_alive()
    function()  # this does nothing: the call was made
    assert screen.kinds == screen.prepared == ["FrameAdded", *ENDS]
    assert screen.threads == {threading.get_ident()}


def test_closing_in_the_thread_of_the_window_skips_previews_at_once(caplog: pytest.LogCaptureFixture) -> None:
    window: queue.Queue[Callable[[], None]] = queue.Queue()
    screen, assembler = Screen(), Assembler()
    refresher = Refresher(screen, dispatch=window.put, min_interval_s=1e6)
    assembler.subscribe(refresher)
    assembler.feed(samples.partial("ig_1", 0))
    window.get(timeout=PATIENCE_S)()
    assembler.feed(samples.partial("ig_2", 0))
    assert not refresher.close(timeout_s=1e6)
    assert (screen.kinds, refresher.skipped) == (["FrameAdded"], 1)
    assert lines(caplog) == ["a Refresher was closed; updates that it did not show: 1"]


def test_a_callback_that_raises_is_logged_and_the_rest_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    screen = Screen()

    def fail(update: Update) -> None:
        screen(update)
        raise (SystemExit if isinstance(update, FinalReady) else ZeroDivisionError)("broken screen")

    with Refresher(fail, policy="all") as refresher:
        assemble(EVENTS, on_update=refresher)
    assert screen.kinds == ["FrameAdded", "FrameAdded", *ENDS]
    assert (refresher.shown, refresher.skipped) == (5, 0)
    logged = ["FrameAdded", "FinalReady"]  # the first of each type of exception
    assert lines(caplog) == [f"a listener failed on {kind}; the stream goes on" for kind in logged]
    assert all(record.exc_info for record in caplog.records)


def test_a_callback_that_raises_the_same_exception_each_time_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_update: Update) -> None:
        raise ZeroDivisionError("broken screen")

    with Refresher(fail, policy="all") as refresher:
        assemble(EVENTS, on_update=refresher)
    assert (refresher.shown, refresher.skipped) == (5, 0)
    assert lines(caplog) == ["a listener failed on FrameAdded; the stream goes on"]


def test_prepare_runs_in_the_refreshers_thread_for_shown_updates() -> None:
    window: queue.Queue[Callable[[], None]] = queue.Queue()
    screen, preparing = Screen(), Screen()

    def prepare(update: Any) -> str:
        preparing(update)
        return type(update).__name__

    refresher = Refresher(screen, dispatch=window.put, prepare=prepare)
    assemble(EVENTS[-1:], on_update=refresher)
    for _ in range(3):
        window.get(timeout=PATIENCE_S)()
    assert refresher.close(PATIENCE_S)
    assert screen.prepared == screen.kinds == preparing.kinds == ENDS
    assert threading.get_ident() not in preparing.threads


def test_an_update_that_cannot_be_prepared_is_logged_and_skipped(caplog: pytest.LogCaptureFixture) -> None:
    screen = Screen()

    def prepare(update: Update) -> None:
        if isinstance(update, FinalReady):
            raise OSError("cannot decode")

    with Refresher(screen, prepare=prepare, policy="all") as refresher:
        assemble(EVENTS, on_update=refresher)
    assert screen.kinds == ["FrameAdded", "FrameAdded", "ItemEnded", "StreamEnded"]
    assert (refresher.shown, refresher.skipped) == (4, 1)
    assert lines(caplog) == [
        "a listener failed on FinalReady; the stream goes on",
        "a Refresher was closed; updates that it did not show: 1",
    ]


# Coroutine callbacks


class AsyncScreen(Screen):
    """A callback that needs several turns of the loop."""

    async def __call__(self, update: Any, *prepared: Any) -> None:  # type: ignore[override]
        super().__call__(update, *prepared)
        before = len(self.shown)
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(self.shown) == before, "the next call began before this one was done"


class Later:
    """An awaitable that is no coroutine."""

    def __init__(self, coroutine: Awaitable[None]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Any:
        return self._coroutine.__await__()


def as_object(screen: AsyncScreen) -> Callable[..., Any]:
    return screen


def as_function(screen: AsyncScreen) -> Callable[..., Any]:
    async def show(update: Update) -> None:
        await screen(update)

    return show


def as_plain_function(screen: AsyncScreen) -> Callable[..., Any]:
    return lambda update: screen(update)


def as_other_awaitable(screen: AsyncScreen) -> Callable[..., Any]:
    return lambda update: Later(screen(update))


forms = pytest.mark.parametrize("form", [as_object, as_function, as_plain_function, as_other_awaitable])


async def streamed(events: Iterable[Any]) -> AsyncIterator[Any]:
    for event in events:
        await asyncio.sleep(0)
        yield event


@forms
def test_coroutine_callbacks_are_awaited_in_order_on_their_loop(
    form: Callable[[AsyncScreen], Any], caplog: pytest.LogCaptureFixture
) -> None:
    screen = AsyncScreen()

    async def main() -> None:
        async with Refresher(form(screen), policy="all") as refresher:
            await aassemble(streamed(EVENTS), on_update=refresher)

    asyncio.run(main())
    assert screen.kinds == ["FrameAdded", "FrameAdded", *ENDS]
    assert screen.threads == {threading.get_ident()}
    assert not lines(caplog)


@forms
def test_the_loop_may_be_that_of_the_first_update(form: Callable[[AsyncScreen], Any]) -> None:
    screen = AsyncScreen()
    refresher = Refresher(form(screen), policy="all")

    async def main() -> None:
        await aassemble(streamed(EVENTS), on_update=refresher)
        assert await refresher.aclose()

    asyncio.run(main())
    assert screen.kinds == ["FrameAdded", "FrameAdded", *ENDS]


def test_a_thread_may_feed_a_refresher_whose_callback_runs_on_a_loop() -> None:
    screen = AsyncScreen()

    async def main() -> None:
        async with Refresher(screen, policy="all") as refresher:
            await asyncio.to_thread(assemble, EVENTS, on_update=refresher)

    asyncio.run(main())
    assert screen.kinds == ["FrameAdded", "FrameAdded", *ENDS]


def test_a_coroutine_callback_may_be_dispatched() -> None:
    screen = AsyncScreen()

    async def main() -> None:
        dispatch = asyncio.get_running_loop().call_soon_threadsafe
        async with Refresher(screen, dispatch=dispatch, policy="all") as refresher:
            await aassemble(streamed(EVENTS), on_update=refresher)

    asyncio.run(main())
    assert screen.kinds == ["FrameAdded", "FrameAdded", *ENDS]


def test_a_coroutine_callback_that_raises_is_logged_and_the_rest_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(update: Update) -> None:
        await asyncio.sleep(0)
        raise TimeoutError("broken screen")

    async def main() -> Refresher:
        async with Refresher(fail, policy="all") as refresher:
            await aassemble(streamed(EVENTS), on_update=refresher)
        return refresher

    assert asyncio.run(main()).shown == 5
    assert len(lines(caplog)) == caplog.text.count("TimeoutError: broken screen") == 1


def test_a_callback_that_awaits_a_cancelled_task_is_logged_and_the_rest_is_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def show(update: Update) -> None:
        if isinstance(update, FinalReady):
            work = asyncio.ensure_future(asyncio.sleep(PATIENCE_S))
            work.cancel()
            await work

    async def main() -> Refresher:
        async with Refresher(show, policy="all") as refresher:
            await aassemble(streamed(EVENTS), on_update=refresher)
        return refresher

    assert asyncio.run(main()).shown == 5
    assert lines(caplog) == ["a listener failed on FinalReady; the stream goes on"]


def test_a_coroutine_callback_without_a_loop_is_refused() -> None:
    refresher = Refresher(AsyncScreen())
    with pytest.raises(UsageError, match="make the Refresher inside a coroutine"):
        refresher(updates_of(EVENTS)[-1])
    assert refresher.close()
    refresher(updates_of(EVENTS)[-1])


def test_an_awaitable_without_a_loop_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with Refresher(as_plain_function(AsyncScreen()), policy="all") as refresher:
        assemble(EVENTS, on_update=refresher)
    assert not refresher.close()
    assert (refresher.shown, refresher.skipped) == (1, 4)
    no_loop, lost = lines(caplog)
    assert "make the Refresher inside a coroutine" in no_loop
    assert lost == "a Refresher was closed; updates that it did not show: 5"


def test_updates_after_the_end_of_the_loop_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    screen = AsyncScreen()

    async def main() -> Refresher:
        return Refresher(screen, policy="all")

    with asyncio.run(main()) as refresher:
        assemble(EVENTS, on_update=refresher)
    assert not refresher.close()
    assert (refresher.shown, refresher.skipped) == (0, 5)
    stopped, lost = lines(caplog)
    assert "event loop" in stopped
    assert lost == "a Refresher was closed; updates that it did not show: 5"


def test_a_callback_that_is_cancelled_with_its_loop_is_the_last(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> Refresher:
        has_begun = asyncio.Event()

        async def show_forever(update: Update) -> None:
            has_begun.set()
            await asyncio.Event().wait()

        refresher = Refresher(show_forever, policy="all")
        await aassemble(streamed(EVENTS), on_update=refresher)
        await has_begun.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:  # as asyncio.run does at its end
            task.cancel()
        assert not await refresher.aclose(PATIENCE_S)
        return refresher

    refresher = asyncio.run(main())
    assert (refresher.shown, refresher.skipped) == (1, 4)
    assert len(lines(caplog)) == 2


def test_closing_does_not_wait_for_a_stopped_loop(caplog: pytest.LogCaptureFixture) -> None:
    has_begun = threading.Event()

    async def show_forever(update: Update) -> None:
        has_begun.set()
        await asyncio.Event().wait()

    async def main() -> Refresher:
        refresher = Refresher(show_forever, policy="all")
        assemble(EVENTS, on_update=refresher)
        assert await asyncio.to_thread(has_begun.wait, PATIENCE_S)
        return refresher

    async def tidy() -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    loop = asyncio.new_event_loop()
    try:
        refresher = loop.run_until_complete(main())
        assert not refresher.close(PATIENCE_S)
        loop.run_until_complete(tidy())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    assert len(lines(caplog)) == 2


# Closing


def test_closing_waits_until_the_last_update_was_shown() -> None:
    screen, has_closed = Screen(is_held=True), []
    refresher = Refresher(screen)
    assemble(EVENTS, on_update=refresher)
    closer = threading.Thread(target=lambda: has_closed.append(refresher.close(PATIENCE_S)))
    closer.start()
    screen.wait()
    assert has_closed == []
    screen.release()
    closer.join(PATIENCE_S)
    assert has_closed == [True]
    assert screen.kinds[-3:] == ENDS
    assert refresher.close()


def test_closing_abandons_a_long_call_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    screen = Screen(is_held=True)
    refresher = Refresher(screen, policy="all")
    assemble(EVENTS, on_update=refresher)
    screen.wait()
    (worker,) = workers_of(refresher)
    assert not refresher.close(timeout_s=0.01)
    assert not refresher.close()
    assert lines(caplog) == ["a Refresher was closed; updates that it did not show: 5"]
    screen.release()
    worker.join(PATIENCE_S)
    assert not worker.is_alive()
    assert screen.kinds == ["FrameAdded"]
    assert (refresher.shown, refresher.skipped) == (1, 4)


def test_updates_after_closing_are_skipped(caplog: pytest.LogCaptureFixture) -> None:
    screen = Screen()
    refresher = Refresher(screen)
    assert refresher.close(0)
    assemble(EVENTS, on_update=refresher)
    assert not refresher.close(0)
    assert screen.shown == []
    assert refresher.skipped == 5
    assert not lines(caplog)


def test_an_exception_leaves_the_block_after_the_updates_are_shown() -> None:
    screen, assembler = Screen(), Assembler()
    with pytest.raises(ZeroDivisionError):
        with Refresher(screen) as refresher:
            assembler.subscribe(refresher)
            assembler.feed(samples.partial(index=3))
            raise ZeroDivisionError
    assert screen.indices == [3]


def close_there(refresher: Refresher) -> bool:
    return refresher.close(timeout_s=1e6)


def aclose_there(refresher: Refresher) -> bool:
    return asyncio.run(refresher.aclose(timeout_s=1e6))


@pytest.mark.parametrize("close", [close_there, aclose_there])
def test_a_callback_may_close_its_refresher(
    close: Callable[[Refresher], bool], caplog: pytest.LogCaptureFixture
) -> None:
    screen, answers = Screen(), []
    all_told = threading.Event()

    def show(update: Update) -> None:
        assert all_told.wait(PATIENCE_S)
        screen(update)
        answers.append(close(refresher))

    refresher = Refresher(show, policy="all")
    assemble(EVENTS, on_update=refresher)
    all_told.set()
    assert refresher.close(PATIENCE_S)
    assert screen.kinds == ["FrameAdded", "FrameAdded", *ENDS]
    assert answers == [False, False, False, False, True]
    assert not lines(caplog)


def test_a_coroutine_callback_may_close_its_refresher(caplog: pytest.LogCaptureFixture) -> None:
    screen, answers = AsyncScreen(), []

    async def main() -> None:
        async def show(update: Update) -> None:
            await screen(update)
            answers.append(await refresher.aclose(timeout_s=1e6))

        refresher = Refresher(show, policy="all")
        assemble(EVENTS, on_update=refresher)
        assert await refresher.aclose(PATIENCE_S)

    asyncio.run(main())
    assert screen.kinds == ["FrameAdded", "FrameAdded", *ENDS]
    assert answers == [False, False, False, False, True]
    assert not lines(caplog)


def test_closing_on_the_loop_of_the_callback_is_refused() -> None:
    screen = AsyncScreen()

    async def main() -> Refresher:
        refresher = Refresher(screen, policy="all")
        with pytest.raises(UsageError, match="async with"):
            refresher.__enter__()
        assemble(EVENTS, on_update=refresher)
        with pytest.raises(UsageError, match=r"await refresher\.aclose\(\)"):
            refresher.close()
        assert await refresher.aclose()
        assert refresher.close()
        return refresher

    assert asyncio.run(main()).shown == 5


def test_closing_on_a_loop_that_may_be_the_one_of_the_dispatched_calls_is_refused() -> None:
    screen = Screen()

    async def main() -> None:
        refresher = Refresher(screen, dispatch=asyncio.get_running_loop().call_soon_threadsafe)
        with pytest.raises(UsageError, match="async with"):
            refresher.__enter__()
        assemble(EVENTS[-1:], on_update=refresher)
        with pytest.raises(UsageError, match=r"await refresher\.aclose\(\)"):
            refresher.close()
        assert await refresher.aclose(PATIENCE_S)
        assert refresher.close()

    asyncio.run(main())
    assert screen.kinds == ENDS


def close_sync(refresher: Refresher, timeout_s: float) -> bool:
    return refresher.close(timeout_s)


def close_async(refresher: Refresher, timeout_s: float) -> bool:
    return asyncio.run(refresher.aclose(timeout_s))


closings = pytest.mark.parametrize("close", [close_sync, close_async])


@closings
def test_after_the_timeout_previews_are_skipped_and_required_updates_are_shown(
    close: Callable[[Refresher, float], bool], caplog: pytest.LogCaptureFixture
) -> None:
    screen = Screen()
    refresher = Refresher(screen, policy="all", min_interval_s=1e6)
    assemble([*partials(100), samples.done(content=FINAL)], on_update=refresher)
    assert not close(refresher, 0.2)
    assert screen.kinds == ["FrameAdded", *ENDS]
    assert (refresher.shown, refresher.skipped) == (4, 99)
    assert lines(caplog) == ["a Refresher was closed; updates that it did not show: 99"]


@closings
def test_a_slow_callback_is_waited_for_while_it_returns(close: Callable[[Refresher, float], bool]) -> None:
    kinds = []

    def show(update: Update) -> None:
        kinds.append(type(update).__name__)
        while refresher._showing.phase is RefresherPhase.OPEN or (
            len(kinds) == 2 and not refresher.skipped
        ):  # until the timeout
            threading.Event().wait(0.001)

    refresher = Refresher(show, policy="all")
    assemble([*partials(100), samples.done(content=FINAL)], on_update=refresher)
    assert not close(refresher, 0.2)
    assert kinds == ["FrameAdded", "FrameAdded", *ENDS]
    assert (refresher.shown, refresher.skipped) == (5, 98)


def test_closing_on_a_loop_abandons_a_long_call_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        screen = Screen(is_held=True)
        refresher = Refresher(screen)
        assemble(EVENTS, on_update=refresher)
        assert not await refresher.aclose(timeout_s=0.01)
        assert not await refresher.aclose()
        screen.release()

    asyncio.run(main())
    assert len(lines(caplog)) == 1


def test_a_coroutine_callback_that_never_ends_is_cancelled_when_it_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        has_begun, is_cancelled = asyncio.Event(), asyncio.Event()

        async def show_forever(update: Update) -> None:
            has_begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                is_cancelled.set()

        refresher = Refresher(show_forever)
        assemble(EVENTS, on_update=refresher)
        (worker,) = workers_of(refresher)
        await has_begun.wait()
        assert not await refresher.aclose(timeout_s=0.01)
        await asyncio.wait_for(is_cancelled.wait(), PATIENCE_S)
        await asyncio.to_thread(worker.join, PATIENCE_S)
        assert not worker.is_alive()

    asyncio.run(main())
    assert len(lines(caplog)) == 1


def test_two_may_close_at_once() -> None:
    screen = Screen(is_held=True)
    refresher = Refresher(screen)
    assemble(EVENTS, on_update=refresher)
    answers: Counter[bool] = Counter()
    closers = [threading.Thread(target=lambda: answers.update([refresher.close(PATIENCE_S)])) for _ in range(2)]
    for closer in closers:
        closer.start()
    screen.wait()
    screen.release()
    for closer in closers:
        closer.join(PATIENCE_S)
    assert answers == {True: 2}


# Blocked images


@pytest.mark.parametrize("policy", ["latest", "all"])
def test_a_preview_that_waits_when_its_image_is_blocked_is_no_longer_shown(policy: Policy) -> None:
    screen, assembler = Screen(is_held=True), Assembler()
    refresher = Refresher(screen, policy=policy)
    assembler.subscribe(refresher)
    assembler.feed(samples.partial("ig_0"))
    screen.wait()
    for event in [*partials(3), samples.error("moderation_blocked", "not that")]:
        assembler.feed(event)
    screen.release()
    assert refresher.close(PATIENCE_S)
    assert [(type(each).__name__, each.item_id) for each in screen.shown] == [
        ("FrameAdded", "ig_0"),
        ("ItemEnded", "ig_0"),
        ("ItemEnded", "ig_1"),
    ]


# A window that was closed


def test_an_abandoned_refresher_shows_nothing_more_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    window: queue.Queue[Callable[[], None]] = queue.Queue()
    screen = Screen()
    refresher = Refresher(screen, dispatch=window.put)
    assemble(EVENTS, on_update=refresher)
    (worker,) = workers_of(refresher)
    function = window.get(timeout=PATIENCE_S)
    assert not refresher.abandon()
    worker.join(PATIENCE_S)
    function()
    assert not refresher.close()
    assert screen.shown == []
    assert not lines(caplog)


def test_abandoning_a_refresher_that_has_shown_all_is_no_loss() -> None:
    refresher = Refresher(Screen())
    assemble(EVENTS, on_update=refresher)
    assert refresher.close(PATIENCE_S)
    assert refresher.abandon()


# Python's own warnings


ENDED_LOOPS = """
import asyncio, gc, logging, sys, threading
from imgassemble import FinalReady, Outcome, Refresher, StreamEnded
logging.disable()
has_begun = threading.Event()

async def show(update):
    has_begun.set()
    await asyncio.Event().wait()

def show_later(update):
    return show(update)

def close_at_once(loop, callback):
    "The loop ends while it awaits the callback, and its tasks are not cancelled."
    async def main():
        refresher = Refresher(callback)
        refresher(StreamEnded(Outcome.NO_IMAGE, None))
        await asyncio.to_thread(has_begun.wait, 30)
        return refresher
    refresher = loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    return refresher

def close_before_it_begins(loop, callback):
    "The loop ends before it hears of the callback."
    async def main():
        refresher = Refresher(callback)
        refresher(StreamEnded(Outcome.NO_IMAGE, None))
        threading.Event().wait(0.05)  # the thread has called the callback, and the loop has had no turn
        return refresher
    return loop.run_until_complete(main())

def run_as_usual(loop, callback):
    async def main():
        return close_at_once_inside(callback)
    def close_at_once_inside(callback):
        refresher = Refresher(callback)
        refresher(StreamEnded(Outcome.NO_IMAGE, None))
        return refresher
    loop.close()
    return asyncio.run(main())

for play in (close_at_once, close_before_it_begins, run_as_usual):
    for callback in (show, show_later):
        for is_closed_first in (True, False):
            has_begun.clear()
            loop = asyncio.new_event_loop()
            refresher = play(loop, callback)
            if is_closed_first:
                loop.close()
            assert not refresher.close(5), (play, callback)
            loop.close()
            del loop, refresher
            gc.collect()
"""


def test_a_loop_that_ends_makes_python_warn_of_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", ENDED_LOOPS],
        env={**os.environ, "PYTHONASYNCIODEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


FORKED = """
import os, sys, threading
from imgassemble import Outcome, Refresher, StreamEnded, UsageError
END = StreamEnded(Outcome.NO_IMAGE, None)
is_busy, may_end = threading.Event(), threading.Event()
def show(update):
    is_busy.set()
    may_end.wait()
refresher = Refresher(show)
refresher(END)
is_busy.wait(30)
child = os.fork()
if not child:
    for use in (lambda: refresher(END), refresher.close, refresher.__enter__, refresher.abandon):
        try:
            use()
        except UsageError as error:
            assert "forked" in str(error)
        else:
            os._exit(1)
    with Refresher(print) as own:
        own(END)
    os._exit(0 if own.close() else 2)
may_end.set()
assert os.waitpid(child, 0)[1] == 0
assert refresher.close(30)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_a_fork_a_refresher_raises_at_once_and_a_new_one_works() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60)


# Programs and wrong use


PROGRAM = """
import threading
import weakref
import imgassemble
from imgassemble.screens.refresher import Refresher
is_busy = threading.Event()
def show(update):
    is_busy.set()
    threading.Event().wait()
refresher = Refresher(show)
refresher(imgassemble.StreamEnded(imgassemble.Outcome.NO_IMAGE, None))
assert is_busy.wait(30)
"""


@pytest.mark.parametrize("last", ["", "assert not refresher.close(timeout_s=0.01)"])
def test_a_callback_that_never_returns_does_not_keep_a_program_from_ending(last: str) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM + last], check=True, timeout=60)


def test_asyncio_is_not_imported_if_nothing_is_awaited() -> None:
    code = """
import pydantic
class Model(pydantic.BaseModel):
    type: str
Model(type="")  # this imports the plugins of pydantic
import sys
before = set(sys.modules)
import imgassemble
from imgassemble.screens.refresher import Refresher
shown = []
with Refresher(shown.append) as refresher:
    refresher(imgassemble.StreamEnded(imgassemble.Outcome.NO_IMAGE, None))
assert len(shown) == 1
print(*set(sys.modules) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "imgassemble.screens.refresher" in done.stdout.split()
    assert not {"asyncio", "concurrent.futures", "PIL", "socket", "ssl"} & set(done.stdout.split())


async def _coroutine(*_: object) -> None: ...


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"callback": 3}, "cannot be called"),
        ({"policy": "newest"}, "policy is one of 'latest', 'all'"),
        ({"policy": []}, "policy is one of"),
        *(({"min_interval_s": value}, "a number of seconds") for value in (-1, float("nan"), float("inf"), True, "1")),
        ({"min_interval_s": 10**400}, "a number of seconds"),
        ({"dispatch": 3}, "dispatch is a function"),
        ({"prepare": 3}, "prepare is a function"),
        ({"clock": None}, "clock is a function"),
        ({"dispatch": _coroutine}, "dispatch is a plain function"),
        ({"prepare": _coroutine}, "prepare is a plain function"),
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Refresher(**({"callback": print} | wrong))


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), float("inf"), None, True])
def test_a_wrong_timeout_is_refused(timeout_s: Any) -> None:
    refresher = Refresher(print)
    with pytest.raises(UsageError, match="timeout_s is a number of seconds"):
        refresher.close(timeout_s)
    with pytest.raises(UsageError, match="timeout_s is a number of seconds"):
        asyncio.run(refresher.aclose(timeout_s))


def test_a_refresher_says_how_far_it_is() -> None:
    refresher = Refresher(print)
    refresher.close()
    refresher(updates_of(EVENTS)[-1])
    assert repr(refresher) == "<Refresher of 0 waiting updates, 0 shown, 1 skipped>"
