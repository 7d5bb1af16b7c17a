"""The tests of every window, Tk's and Qt's: its pictures, captions, ends and order.

A module with a fixture `window` takes the tests of `WindowLaws`. Must not know: Tk, Qt.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import samples

from imgassemble import Assembler, Outcome, assemble

PATIENCE_S = 30  # each wait takes milliseconds; a busy machine may need longer
GROUND = (32, 64, 96)  # the background of the window: no picture and no placeholder has this colour
RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)
GREY, GREEN_AS_GREY = (60, 60, 60), (117, 117, 117)  # RED and GREEN as pictures of failed images
SIZE = (96, 64)


def reading(events: Iterable[Any], listener: Callable[[Any], object]) -> threading.Thread:
    """Start a thread that reads the stream, as in a program, and return it."""
    thread = threading.Thread(target=assemble, args=(events,), kwargs={"on_update": listener}, daemon=True)
    thread.start()
    return thread


def picture(colour: tuple[int, int, int], size: tuple[int, int] = SIZE) -> bytes:
    return samples.png(*size, colour)


def refreshers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name in ("imgassemble-refresh", "imgassemble-close")]


def flood(colours: Iterable[int]) -> list[samples.Wire]:
    """Return previews whose colours rise, and a blue final."""
    previews = [samples.partial(index=at, content=picture((at // 2, at % 2, 0)), seq=at) for at in colours]
    return [*previews, samples.done(content=picture(BLUE), seq=1_000)]


# The final of the second item skips its preview, and is withdrawn: the first item's preview must still be shown.
WITHDRAWN = [
    samples.partial("ig_1", content=picture(RED)),
    samples.partial("ig_2", content=picture(GREEN), output_index=1),
    samples.done("ig_2", picture(BLUE), output_index=1),
    samples.snapshot("completed", [samples.member("ig_2", content=None, status="failed")]),
]


class WindowLaws:
    """The tests of a window."""

    def test_each_preview_replaces_the_one_before_and_the_final_is_last(self, window: Callable[..., Any]) -> None:
        shown = window()
        assembler = Assembler()
        assembler.subscribe(shown.screen)
        for index, colour in enumerate((RED, GREEN)):
            assembler.feed(samples.partial(index=index, content=picture(colour)))
            shown.wait(partial(shown.shows, colour))
            assert shown.captions() == [(f"preview {index + 1}", "#767676")]
        assembler.feed(samples.done(content=picture(BLUE)))
        shown.wait(partial(shown.shows, BLUE))
        assert shown.captions() == [("final", "")]
        assembler.close()
        shown.wait(lambda: shown.ended == [Outcome.COMPLETED])
        assert shown.colour() == BLUE

    @pytest.mark.parametrize(
        ("events", "words", "tint", "colour"),
        [
            ([samples.partial(content=picture(RED)), samples.error(message="no otters")], "no otters", "#d32f2f", GREY),
            ([samples.done(content=None, status="failed")], "failed", "#d32f2f", None),
            ([samples.partial(content=picture(RED)), samples.call("completed")], "draft", "#b26a00", RED),
            ([samples.partial(content=picture(RED))], "draft: the stream ended", "#b26a00", RED),
            ([], "no image", "#d32f2f", None),
        ],
        ids=["failed", "failed before a preview", "draft", "cut", "nothing"],
    )
    def test_drafts_and_failures_are_not_shown_as_finals(
        self, window: Callable[..., Any], events: list[Any], words: str, tint: str, colour: Any
    ) -> None:
        shown = window()
        shown.show(events)
        ((caption, foreground),) = shown.captions()
        assert words in caption
        assert foreground == tint
        seen = shown.colour()
        assert seen == colour if colour else min(seen) > 0xD0

    def test_a_stream_that_raises_has_ended_and_leaves_a_draft(self, window: Callable[..., Any]) -> None:
        shown = window()
        with pytest.raises(ConnectionError):
            assemble(samples.cut_off([samples.partial(content=picture(RED))]), on_update=shown.screen)
        shown.wait(lambda: shown.ended == [Outcome.INCOMPLETE])
        ((caption, colour),) = shown.captions()
        assert caption.replace("\u200b", "") == "draft: the stream was cut: ConnectionError: cut off"
        assert colour == "#b26a00"
        assert shown.colour() == RED

    def test_a_screen_shows_one_stream_after_the_other(self, window: Callable[..., Any]) -> None:
        shown = window()
        shown.show([samples.done(content=picture(RED))])
        shown.ended.clear()
        shown.show([samples.done(content=picture(GREEN))])
        assert shown.colour() == GREEN
        assert shown.ended == [Outcome.COMPLETED]

    def test_a_window_counts_the_seconds_while_it_waits(self, window: Callable[..., Any]) -> None:
        shown = window()
        shown.wait(partial(shown.says, "waiting for the first preview  1 s"))
        assembler = Assembler()
        assembler.subscribe(shown.screen)
        assembler.feed(samples.partial(content=picture(RED)))
        shown.wait(partial(shown.says, "preview 1  2 s"))
        assembler.close()
        shown.wait(partial(shown.says, "draft: the stream ended before its final picture"))

    def test_the_previews_of_a_blocked_image_are_hidden_in_a_window(self, window: Callable[..., Any]) -> None:
        shown, assembler = window(), Assembler()
        assembler.subscribe(shown.screen)
        assembler.feed(samples.partial(content=picture(RED)))
        shown.wait(partial(shown.shows, RED))
        assembler.feed(samples.error("moderation_blocked", "not that"))
        assembler.feed(samples.partial(index=1, content=picture(RED)))
        shown.wait(lambda: not shown.shows(RED))
        assembler.close()
        shown.wait(lambda: bool(shown.ended))
        ((caption, colour),) = shown.captions()
        assert caption.replace("\u200b", "") == "blocked (moderation_blocked): not that; its previews are hidden"
        assert colour == "#d32f2f"
        assert min(shown.colour()) > 0xD0

    def test_a_break_after_the_end_of_the_response_changes_nothing(self, window: Callable[..., Any]) -> None:
        shown, assembler = window(), Assembler()
        assembler.subscribe(shown.screen)
        for event in (samples.created(), samples.done(content=picture(GREEN)), samples.snapshot("completed")):
            assembler.feed(event)
        assembler.close(ConnectionError("reset by peer"))
        shown.wait(lambda: bool(shown.ended))
        assert shown.captions() == [("final", "")]
        assert shown.ended == [Outcome.COMPLETED]

    def test_the_failure_of_a_stream_stays_when_another_stream_begins(self, window: Callable[..., Any]) -> None:
        shown = window()
        shown.show([samples.error("quota", "slow down")])
        shown.ended.clear()
        shown.show([samples.done(content=picture(GREEN))])
        assert shown.captions() == [
            ("failed: the service failed (quota): slow down", "#d32f2f"),
            ("final", ""),
        ]

    def test_a_busy_window_delays_no_stream_and_shows_the_final_later(self, window: Callable[..., Any]) -> None:
        shown = window()
        reader = reading(flood(range(300)), shown.screen)
        reader.join(PATIENCE_S)  # the window runs nothing meanwhile
        assert not reader.is_alive()
        shown.wait(lambda: bool(shown.ended))
        assert shown.colour() == BLUE
        assert shown.captions() == [("final", "")]

    def test_the_window_never_goes_back(self, window: Callable[..., Any]) -> None:
        shown = window()
        reader = reading(flood(range(300)), shown.screen)
        seen: list[Any] = []
        shown.wait(lambda: seen.append(shown.colour()) or bool(shown.ended))  # type: ignore[func-returns-value]
        reader.join(PATIENCE_S)
        pictures = [colour for colour in [*seen, shown.colour()] if min(colour) < 0xD0]
        assert pictures[-1] == BLUE
        ranks = [1_000 if colour == BLUE else 2 * colour[0] + colour[1] for colour in pictures]
        assert all(before <= after for before, after in pairwise(ranks))
