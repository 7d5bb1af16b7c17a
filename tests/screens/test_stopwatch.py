"""The seconds that screens count while they wait."""

from __future__ import annotations

import threading

from imgassemble import Outcome, StateChanged, StreamEnded
from imgassemble.screens.stopwatch import Stopwatch, Ticker
from imgassemble.screens.tiles import Kind, Tile
from imgassemble.states import State

PATIENCE_S = 30  # a wait takes a second; a busy machine may need longer
NEWS = StateChanged("ig_1", State.GENERATING, None)
END = StreamEnded(Outcome.COMPLETED, None)


def test_seconds_count_from_the_start_and_again_from_the_first_update_after_an_end() -> None:
    now = [100.0]
    stopwatch = Stopwatch(lambda: now[0])
    assert (stopwatch.seconds, stopwatch.is_running) == (0.0, False)
    stopwatch.start()
    now[0] = 103.0
    stopwatch.note(NEWS)
    assert (stopwatch.seconds, stopwatch.is_running) == (3.0, True)
    stopwatch.note(END)
    assert not stopwatch.is_running
    now[0] = 200.0
    stopwatch.note(NEWS)
    assert (stopwatch.seconds, stopwatch.is_running) == (0.0, True)


def test_a_ticker_calls_each_second_until_it_is_stopped() -> None:
    ticks = threading.Semaphore(0)
    ticker = Ticker(Stopwatch(), ticks.release)
    ticker.start()
    assert ticks.acquire(timeout=PATIENCE_S)
    ticker.stop()


def test_a_caption_has_seconds_only_while_the_item_goes_on() -> None:
    assert Tile().caption_after(0.9) == "waiting for the first preview"
    assert Tile().caption_after(12.9) == "waiting for the first preview  12 s"
    assert Tile(kind=Kind.PREVIEW, caption="preview 1").caption_after(3) == "preview 1  3 s"
    for kind in (Kind.FINAL, Kind.DRAFT, Kind.FAILED, Kind.BLOCKED):
        assert Tile(kind=kind, caption="said").caption_after(3) == "said"
