"""Threads: one feeds, and any others may look, decode, save, subscribe and unsubscribe meanwhile.

There is no sleeping: the readers begin at a barrier and go on until the feeding thread says that it is done, and the
interpreter is told to change threads as often as it can.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import samples

from imgassemble import Assembler, FinalReady, Frame, FrameAdded, Item, Limits, State, Update, UsageError, assemble

ENDS = (State.COMPLETED, State.FAILED, State.INCOMPLETE)
CLIMB = {State.IN_PROGRESS: 0, State.GENERATING: 1, State.PARTIAL_IMAGE: 2, **dict.fromkeys(ENDS, 3)}
FRAMES = tuple(samples.png(24, 16, colour=(at, 90, 160)) for at in range(12))
IDS = tuple(f"ig_{at}" for at in range(8))
ROUNDS = 3
PATIENCE_S = 30  # for a reader that has failed, and takes no turn any more


@pytest.fixture(autouse=True)
def _often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def _events() -> Iterator[samples.Wire]:
    numbers = iter(range(10_000))
    for item_id in IDS:
        yield samples.added(item_id, seq=next(numbers))
    for index, picture in enumerate(FRAMES):
        for item_id in IDS:
            yield samples.partial(item_id, index, picture, seq=next(numbers))
    for item_id in IDS:
        yield samples.done(item_id, FRAMES[-1], seq=next(numbers))
    yield samples.snapshot("completed", seq=next(numbers))


def _while_fed(assembler: Assembler, *readers: Callable[[], object]) -> list[Update]:
    """Feed a stream in this thread while each reader is called often in two other threads. Return the updates.

    Wait for a reader between two events, so that the feeding is not over before the reading begins.
    """
    is_done = threading.Event()
    turns = threading.Semaphore(0)
    barrier = threading.Barrier(2 * len(readers) + 1)

    def read(reader: Callable[[], object]) -> None:
        barrier.wait()
        while not is_done.is_set():
            try:
                reader()
            finally:
                turns.release()
        reader()

    with ThreadPoolExecutor(max_workers=2 * len(readers)) as pool:
        reading = [pool.submit(read, reader) for reader in readers for _ in range(2)]
        told: list[Update] = []
        try:
            barrier.wait()
            for event in _events():
                told += assembler.feed(event)
                turns.acquire(timeout=PATIENCE_S)
            told += assembler.close()
        finally:
            is_done.set()
        for each in reading:
            each.result()
    return told


def _looks_whole(item: Item) -> None:
    assert item.latest is (item.final or (item.partials[-1] if item.partials else None))
    assert all(one.index < other.index for one, other in pairwise(item.partials))  # type: ignore[operator]
    assert item.state is not State.COMPLETED or item.final is not None
    assert item.state is State.COMPLETED or item.final is None


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_whoever_reads_items_sees_each_as_it_stood_at_one_moment(round_: int) -> None:
    assembler = Assembler()
    seen = threading.local()

    def look() -> None:
        last = seen.__dict__.setdefault("last", {})
        for name, item in assembler.items.items():
            _looks_whole(item)
            assert name in assembler
            before: Item | None = last.get(name)
            assert before is None or CLIMB[item.state] >= CLIMB[before.state]
            assert before is None or len(item.partials) >= len(before.partials)
            last[name] = item

    told = _while_fed(assembler, look)
    assert {name: item.final and item.final.data for name, item in assembler.items.items()} == dict.fromkeys(
        IDS, FRAMES[-1]
    )
    assert told == _while_fed(Assembler(), lambda: None)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_latest_cursor_result_and_repr_can_be_asked_for_from_anywhere(round_: int) -> None:
    assembler = Assembler()
    seen = threading.local()

    def look() -> None:
        latest, cursor, result = assembler.latest, assembler.cursor, assembler.result
        assert latest is None or latest.data in FRAMES
        number = cursor.sequence_number or 0
        assert number >= seen.__dict__.get("number", 0)
        seen.number = number
        assert result is None or result.outcome is assembler.outcome
        assert repr(assembler)
        assert assembler.skipped == 0
        assert assembler.anomalies == ()

    _while_fed(assembler, look)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_pixels_are_made_in_any_thread_and_of_one_item_once(round_: int, tmp_path: Path) -> None:
    assembler = Assembler()
    places = iter(range(10**9))

    def decode() -> None:
        for item in assembler.items.values():
            image = item.image
            assert image is None or image.size == (24, 16)
            if item.latest:
                red, _, _ = item.latest.decode().getpixel((3, 3))  # type: ignore[misc]
                assert red == FRAMES.index(item.latest.data)
                assert item.latest.thumbnail((9, 9)).size == (9, 6)

    def save() -> None:
        latest = assembler.latest
        if latest:
            path = latest.save(tmp_path / f"{threading.get_ident()}-{next(places) % 4}.png")
            assert path.read_bytes() in FRAMES
            assert len(latest.sha256) == 64

    _while_fed(assembler, decode, save)
    assert {path.read_bytes() for path in tmp_path.iterdir()} <= set(FRAMES)
    images = [assembler["ig_0"].image for _ in range(2)]
    assert images[0] is images[1]


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_listeners_come_and_go_in_any_thread_and_those_that_stay_hear_everything(round_: int) -> None:
    assembler = Assembler()
    stays: list[Update] = []
    threads: set[int] = set()
    assembler.subscribe(stays.append)
    assembler.subscribe(lambda _: threads.add(threading.get_ident()))

    def come_and_go() -> None:
        heard: list[Update] = []
        unsubscribe = assembler.subscribe(heard.append, FrameAdded, FinalReady)
        unsubscribe()
        unsubscribe()
        assert all(isinstance(update, (FrameAdded, FinalReady)) for update in heard)

    told = _while_fed(assembler, come_and_go)
    assert stays == told
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_assemblers_in_many_threads_do_not_touch_each_other(round_: int) -> None:
    def run(at: int) -> dict[str, Item]:
        events = [samples.partial("ig_1", index, FRAMES[(index + at) % 12]) for index in range(6)]
        return dict(assemble([*events, samples.done("ig_1", FRAMES[at])], assembler=Assembler(limits=Limits())).items)

    with ThreadPoolExecutor(max_workers=12) as pool:
        for at, items in enumerate(pool.map(run, range(12))):
            assert items["ig_1"].final is not None
            assert items["ig_1"].final.data == FRAMES[at]
            assert [frame.data for frame in items["ig_1"].partials] == [FRAMES[(k + at) % 12] for k in range(6)]


def test_one_frame_is_saved_to_one_place_by_many_threads_and_is_always_whole(tmp_path: Path) -> None:
    frames = [Frame(data=data, format="PNG", size=(24, 16)) for data in FRAMES]
    target = tmp_path / "latest.png"
    frames[0].save(target)
    barrier = threading.Barrier(4)

    def save(frame: Frame) -> None:
        barrier.wait()
        for _ in range(60):
            frame.save(target)
            assert target.read_bytes() in FRAMES

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(save, frames[:4]))
    assert list(tmp_path.iterdir()) == [target]


def test_a_listener_is_told_that_it_cannot_feed() -> None:
    assembler = Assembler()
    caught: list[UsageError] = []

    def feed_again(_: Update) -> None:
        try:
            assembler.feed({})
        except UsageError as error:
            caught.append(error)

    assembler.subscribe(feed_again)
    assembler.feed(samples.partial())
    assert len(caught) == 2
