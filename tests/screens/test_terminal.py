"""Pictures in a terminal: the bytes that are written, their effect in a terminal, and sessions in real terminals."""

from __future__ import annotations

import asyncio
import fcntl
import io
import logging
import os
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, Literal, cast, get_args

import pytest
import samples
import strategies as some
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgassemble import Assembler, FinalReady, Frame, UsageError, assemble
from imgassemble.screens import TerminalScreen
from imgassemble.screens.graphics import (
    Block,
    Graphics,
    choose_graphics,
    cut_to_columns,
    draw_half_blocks,
    encode_inline,
    encode_kitty,
    encode_kitty_removal,
    encode_png,
    fit_cells,
    measure_columns,
    redraw,
    wrap_to_columns,
)
from imgassemble.screens.terminal import printing_above
from imgassemble.simulator import Order, pictures_of, play

PATIENCE_S = 30  # each wait takes milliseconds; a busy machine may need longer
FINAL = samples.png(8, 8, (0, 200, 0))
UNDECODABLE = b"".join([samples.png(3, 3)[:33], samples.png_chunk(b"IDAT", b"no pixels"), samples.png_chunk(b"IEND")])
EVIL = "\x1b[2J\x1b]0;pwned\x07\r\n\u202e\x9b31m\x00"
WHOLE = [
    samples.call("generating", seq=1),
    samples.partial(index=0, seq=2),
    samples.partial(index=1, seq=3),
    samples.done(content=FINAL, seq=4),
]


@pytest.fixture(autouse=True)
def _a_terminal_of_80_by_24(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the size of an output that does not report its own."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    for name in ("NO_COLOR", "TMUX", "KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


# ---- the choice of graphics

_SAID: list[tuple[dict[str, str], Graphics]] = [
    ({"TERM": "xterm-kitty"}, "kitty"),
    ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
    ({"TERM": "xterm-ghostty"}, "kitty"),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app", "COLORTERM": "truecolor"}, "iterm2"),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
    ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
    ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "blocks"),
    ({"TERM": "xterm", "COLORTERM": "24bit"}, "blocks"),
    ({"TERM": "xterm-direct"}, "blocks"),
    ({"WT_SESSION": "1"}, "blocks"),
    ({"TERM": "xterm-256color"}, "blocks-256"),
    ({"TERM": "xterm"}, "blocks-256"),
    ({"TERM": "tmux-256color", "TMUX": "/tmp/tmux,1,0", "KITTY_WINDOW_ID": "1"}, "blocks-256"),
    ({"TERM": "screen", "LC_TERMINAL": "iTerm2"}, "blocks-256"),
    ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux,1,0", "COLORTERM": "truecolor"}, "blocks"),
    ({"TERM": "dumb", "COLORTERM": "truecolor"}, "text"),
    ({}, "text"),
    ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, "text"),
    ({"TERM": "xterm-kitty", "NO_COLOR": ""}, "kitty"),  # no-color.org: when not an empty string
]


@pytest.mark.parametrize(("environment", "graphics"), _SAID)
def test_the_environment_variables_choose_the_graphics(environment: dict[str, str], graphics: Graphics) -> None:
    assert choose_graphics(environment, is_terminal=True, encoding="utf-8") == graphics
    assert choose_graphics(environment, is_terminal=False, encoding="utf-8") == "text"


@pytest.mark.parametrize(("encoding", "graphics"), [("ascii", "text"), ("latin-1", "text"), (None, "blocks-256")])
def test_lines_are_printed_if_half_blocks_cannot_be_encoded(encoding: str | None, graphics: Graphics) -> None:
    assert choose_graphics({"TERM": "xterm"}, is_terminal=True, encoding=encoding) == graphics


# ---- half blocks, byte for byte


def image_of(rows: list[list[Any]], mode: Literal["RGB", "RGBA"] = "RGB") -> Image.Image:
    image = Image.new(mode, (len(rows[0]), len(rows)))
    for y, row in enumerate(rows):
        for x, colour in enumerate(row):
            image.putpixel((x, y), colour)
    return image


RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), (128, 128, 128)


def test_a_cell_is_two_pixels_and_a_colour_is_sent_only_when_it_changes() -> None:
    image = image_of([[RED, RED, BLUE], [BLUE, BLUE, BLUE], [GREY] * 3, [GREY] * 3])
    assert draw_half_blocks(image, (3, 2)) == (
        "\x1b[38;2;255;0;0;48;2;0;0;255m▀▀\x1b[38;2;0;0;255m▀\x1b[0m",
        "\x1b[38;2;128;128;128;48;2;128;128;128m▀▀▀\x1b[0m",
    )


def test_with_256_colours_the_nearest_is_named() -> None:
    image = image_of([[RED, GREY, (1, 2, 3)], [(0, 95, 175), (190, 188, 186), (254, 255, 255)]])
    assert draw_half_blocks(image, (3, 1), has_all_colours=False) == (
        "\x1b[38;5;196;48;5;25m▀\x1b[38;5;244;48;5;250m▀\x1b[38;5;16;48;5;231m▀\x1b[0m",
    )


def test_the_terminal_is_visible_behind_transparent_pixels() -> None:
    seen, gone = (255, 0, 0, 255), (0, 0, 255, 0)
    image = image_of([[gone, seen, gone, seen], [gone, gone, seen, seen]], "RGBA")
    assert draw_half_blocks(image, (4, 1)) == (" \x1b[38;2;255;0;0m▀▄\x1b[48;2;255;0;0m▀\x1b[0m",)


def test_a_picture_is_averaged_to_its_cells() -> None:
    image = image_of([[(0, 0, 0), (100, 100, 100)] * 2] * 4)
    assert draw_half_blocks(image, (1, 1)) == ("\x1b[38;2;50;50;50;48;2;50;50;50m▀\x1b[0m",)


sides = st.integers(1, 300)


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.sampled_from((1.0, 1.9, 2.0, 2.4)))
def test_cells_fit_their_room(aspect: tuple[int, int], room: tuple[int, int], cell_aspect: float) -> None:
    columns, rows = fit_cells(aspect, room, cell_aspect)
    assert 1 <= columns <= room[0]
    assert 1 <= rows <= room[1]


def test_cells_keep_the_aspect_of_a_picture() -> None:
    assert fit_cells((1024, 1024), (79, 20)) == (40, 20)
    assert fit_cells((1536, 1024), (79, 50)) == (79, 26)
    assert fit_cells((1024, 1024), (79, 20), 2.5) == (50, 20)


# ---- protocols, byte for byte


def test_a_small_png_is_one_kitty_command() -> None:
    assert encode_kitty(b"PNG", (4, 2), 7) == "\x1b_Ga=T,f=100,i=7,p=1,c=4,r=2,C=1,q=2,m=0;UE5H\x1b\\"
    assert encode_kitty_removal(7) == "\x1b_Ga=d,d=I,i=7,q=2\x1b\\"


def test_a_large_png_is_sent_in_chunks_of_4096_characters() -> None:
    data = bytes(range(256)) * 30
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", encode_kitty(data, (4, 2), 7))
    assert [keys for keys, _ in chunks] == ["a=T,f=100,i=7,p=1,c=4,r=2,C=1,q=2,m=1", "m=1", "m=0"]
    assert [len(text) for _, text in chunks] == [4096, 4096, 2048]
    assert b64decode("".join(text for _, text in chunks)) == data


def test_an_inline_picture_is_one_command_of_iterm2() -> None:
    said = "inline=1;size=3;width=4;height=2;preserveAspectRatio=1;doNotMoveCursor=1"
    assert encode_inline(b"GIF", (4, 2)) == f"\x1b]1337;File={said}:R0lG\x07"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_png_is_sent_as_received_and_another_format_is_encoded_as_png(form: str) -> None:
    data = samples.picture(form)
    frame = assemble([samples.done(content=data)]).final
    assert frame is not None
    sent = encode_png(frame, frame.decode().convert("RGB"))
    assert (sent == data) == (form == "PNG")
    with Image.open(io.BytesIO(sent), formats=["PNG"]) as image:
        assert image.size == frame.size


# ---- lines


@given(st.text(), st.integers(0, 40))
def test_shortened_text_fits(text: str, columns: int) -> None:
    assert measure_columns(cut_to_columns(text, columns)) <= columns
    assert measure_columns(text) > columns or cut_to_columns(text, columns) == text


@given(st.text(), st.integers(1, 40), st.integers(1, 5))
def test_wrapped_text_fits(text: str, columns: int, most_lines: int) -> None:
    lines = wrap_to_columns(text, columns, most_lines)
    assert 1 <= len(lines) <= most_lines
    assert all(measure_columns(line) <= columns for line in lines)


def test_wide_letters_fill_two_columns_and_marks_none() -> None:
    assert [measure_columns(text) for text in ("otter", "猫", "🦦", "e\u0301")] == [5, 2, 2, 1]
    assert cut_to_columns("猫猫猫", 5) == "猫猫…"
    assert wrap_to_columns("one two three four", 9, 2) == ["one two", "three fo…"]


# ---- redrawing

BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"


def test_the_first_drawing_goes_down_from_the_cursor() -> None:
    assert redraw([], [Block(("one", "two"))]) == f"{BEGIN}\rone\x1b[K\r\ntwo\x1b[K\r\n{END}"


def test_unchanged_lines_are_not_sent() -> None:
    assert redraw([Block(("one", "two"))], [Block(("one", "2"))]) == f"{BEGIN}\x1b[2A\r\r\n2\x1b[K\r\n{END}"


def test_lower_lines_are_erased() -> None:
    assert redraw([Block(("one", "two"))], [Block(("1",))]) == f"{BEGIN}\x1b[2A\r1\x1b[K\r\n\x1b[J{END}"


def test_the_blocks_above_stay_and_the_rest_moves_down() -> None:
    stands = [Block(("one",))]
    assert redraw(stands, stands, [Block(("said",))]) == f"{BEGIN}\x1b[1A\rsaid\x1b[K\r\none\x1b[K\r\n{END}"


def test_a_picture_is_drawn_once_its_lines_are_there() -> None:
    block = Block(("", "", "caption"), "PICTURE", (4, 2))
    assert redraw([], [block]) == f"{BEGIN}\r\x1b[K\r\n\x1b[K\r\n\x1b7\x1b[2APICTURE\x1b8caption\x1b[K\r\n{END}"
    again = Block(("", "", "other"), "PICTURE", (4, 2))
    assert redraw([block], [again]) == f"{BEGIN}\x1b[3A\r\r\n\r\nother\x1b[K\r\n{END}"
    new = Block(("", "", "caption"), "NEW", (4, 2))
    assert redraw([block], [new]) == f"{BEGIN}\x1b[3A\r\r\n\r\n\x1b7\x1b[2ANEW\x1b8\r\n{END}"


# ---- the output of a screen


class Glass(io.StringIO):
    """An output that keeps the written text, and can be waited for."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self._written = threading.Condition()

    def write(self, text: str) -> int:
        with self._written:
            self._written.notify_all()
            return super().write(text)

    def until(self, words: str) -> str:
        with self._written:
            assert self._written.wait_for(lambda: words in self.getvalue(), PATIENCE_S), self.getvalue()[-300:]
            return self.getvalue()


def clock_of(seconds: Iterable[float]) -> Callable[[], float]:
    return iter(seconds).__next__


def lines_of(events: Iterable[Any]) -> list[str]:
    glass = Glass()
    with TerminalScreen(glass) as screen:
        assemble(events, on_update=screen)
    assert "\x1b" not in glass.getvalue()
    return glass.getvalue().splitlines()


def drawn(events: Iterable[Any], graphics: Graphics, **options: Any) -> str:
    glass = Glass()
    with TerminalScreen(glass, graphics=graphics, **options) as screen:
        assemble(events, on_update=screen)
    assert screen.error is None
    return glass.getvalue()


def test_without_a_terminal_every_change_is_a_plain_line() -> None:
    assert lines_of(WHOLE) == [
        "image 1: generating",
        "image 1: preview 1",
        "image 1: preview 2",
        "image 1: final, PNG 8x8",
    ]


def test_drafts_and_failures_are_named_in_lines() -> None:
    assert lines_of([samples.partial(), samples.call("completed")]) == [
        "image 1: preview 1",
        "image 1: draft: the last preview, because no final picture came",
    ]
    *_, last = lines_of([samples.partial(), samples.error("server_error", "not that")])
    assert last.startswith("image 1: failed: ")
    *_, last = lines_of([samples.partial(), samples.error("moderation_blocked", "not that")])
    assert last == "image 1: blocked (moderation_blocked): not that; its previews are hidden"
    assert "not that" in last
    *_, last = lines_of([samples.partial()])
    assert last.startswith("image 1: draft: ")
    assert lines_of([samples.created(), samples.snapshot("completed")])[0].startswith("no image")


@pytest.mark.parametrize(("size", "fact"), [(None, "SVG"), ((30, 20), "SVG 30x20")])
@pytest.mark.parametrize("graphics", get_args(Graphics))
def test_an_svg_drawing_is_named_with_the_size_that_it_has(
    graphics: Graphics, size: tuple[int, int] | None, fact: str
) -> None:
    frame = Frame(data=b"<svg xmlns='http://www.w3.org/2000/svg'/>", format="SVG", size=cast(Any, size), is_final=True)
    glass = Glass()
    with TerminalScreen(glass, graphics=graphics) as screen:
        screen(FinalReady("ig_1", frame, is_provisional=False))
    assert f"final, {fact}" in glass.getvalue()
    assert ("an SVG drawing is not shown here" in glass.getvalue()) == (graphics != "text")


def test_no_line_is_printed_for_a_late_preview() -> None:
    assert lines_of([samples.partial(index=1), samples.partial(index=0), samples.done(content=FINAL)]) == [
        "image 1: preview 2",
        "image 1: final, PNG 8x8",
    ]


@given(some.responses_streams(indexed=False) | some.images_streams())
def test_lines_are_plain_for_every_stream(stream: list[samples.Wire]) -> None:
    assert all(line.isprintable() for line in lines_of(stream))


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": "xterm-kitty", "NO_COLOR": "1"}, {"TERM": ""}])
def test_a_terminal_that_wants_no_codes_gets_lines(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    glass = Glass()
    glass.isatty = lambda: True  # type: ignore[method-assign]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with TerminalScreen(glass) as screen:
        assemble(WHOLE, on_update=screen)
    assert screen.graphics == "text"
    assert "\x1b" not in glass.getvalue()


def test_the_requested_graphics_are_drawn_without_a_terminal_too() -> None:
    assert "▀" in drawn(WHOLE, "blocks")


@pytest.mark.parametrize("graphics", get_args(Graphics))
def test_no_control_of_a_stream_is_ever_printed(graphics: Graphics) -> None:
    events = [
        samples.partial("ig" + EVIL),
        samples.done("ig_2" + EVIL, FINAL),
        samples.error("code" + EVIL, "message" + EVIL),
    ]
    said = drawn(events, graphics)
    assert not re.search(r"\x1b\[2J|\x1b\]0|\x07[^\x1b\r]|\u202e|\x9b|\x00", said)
    assert "code [2J ]0;pwned" in said


@pytest.mark.parametrize("graphics", get_args(Graphics))
def test_the_cursor_is_never_hidden_and_the_terminal_never_cleared(graphics: Graphics) -> None:
    said = drawn([*WHOLE, samples.partial("ig_2"), samples.done("ig_2", status="failed")], graphics)
    assert "?25" not in said
    assert not re.search(r"\x1b\[[23]J|\x1bc|\x1b\[\?1049", said)
    assert said.count(BEGIN) == said.count(END)


def test_the_placeholder_is_drawn_before_the_first_update() -> None:
    glass = Glass()
    with TerminalScreen(glass, graphics="blocks", size=(1536, 1024)):
        assert "waiting for the first preview" in glass.getvalue()
        assert glass.getvalue().count("\r\n") == 20 + 1  # a picture, and its caption
        assert glass.getvalue().split("\r\n")[0].count("▀") == 60


def test_a_placeholder_without_a_picture_is_removed() -> None:
    glass = Glass()
    with pytest.raises(ConnectionError), TerminalScreen(glass, graphics="blocks") as screen:
        assemble(samples.cut_off([]), on_update=screen, keep_open=True)  # the stream may go on
    assert glass.getvalue().endswith(f"{BEGIN}\x1b[21A\r\x1b[J{END}")


def test_seconds_count_from_when_the_screen_is_entered() -> None:
    said = drawn(WHOLE[3:], "blocks", clock=clock_of((100.0, 102.25)))
    assert "final, PNG 8x8  2.2 s" in said


def apc(said: str) -> list[tuple[int, bytes]]:
    """Return the pictures that were sent to kitty, with their ids, in order."""
    found: list[tuple[int, str]] = []
    for keys, text in re.findall(r"\x1b_G([^;\x1b]*);([^\x1b]*)\x1b\\", said):
        if image_id := re.search(r"i=(\d+)", keys):
            found.append((int(image_id[1]), ""))
        found[-1] = found[-1][0], found[-1][1] + text
    return [(image_id, b64decode(text)) for image_id, text in found]


def test_kitty_gets_the_bytes_of_a_png_as_received() -> None:
    (_, empty), (_, sent) = apc(drawn(WHOLE[3:], "kitty"))
    assert sent == FINAL
    assert empty.startswith(b"\x89PNG")


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "GIF"])
def test_kitty_gets_other_formats_as_png(form: str) -> None:
    *_, (_, sent) = apc(drawn([samples.done(content=samples.picture(form))], "kitty"))
    with Image.open(io.BytesIO(sent), formats=["PNG"]) as image:
        assert image.size == (8, 6)


def test_pictures_that_were_drawn_over_are_freed_and_the_last_stays() -> None:
    glass = Glass()
    with TerminalScreen(glass, graphics="kitty", min_interval_s=0) as screen:
        feed(screen, glass, (WHOLE[1], "preview 1"), (WHOLE[2], "preview 2"), (WHOLE[3], "final"))
    sent = [image_id for image_id, _ in apc(glass.getvalue())]
    freed = [int(image_id) for image_id in re.findall(r"a=d,d=I,i=(\d+)", glass.getvalue())]
    assert len(set(sent)) == 4
    assert freed == sent[:-1]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_iterm2_gets_the_bytes_of_any_format_as_received(form: str) -> None:
    said = drawn([samples.done(content=samples.picture(form))], "iterm2")
    _, sent = re.findall(r"\x1b\]1337;File=[^:]*:([^\x07]*)\x07", said)
    assert b64decode(sent) == samples.picture(form)


@pytest.mark.parametrize("graphics", ["kitty", "iterm2"])
def test_a_picture_that_cannot_be_decoded_is_not_sent(graphics: Graphics) -> None:
    said = drawn([samples.done(content=UNDECODABLE)], graphics)
    assert "it cannot be decoded" in said
    assert samples.b64(UNDECODABLE) not in said


def feed(screen: TerminalScreen, glass: Glass, *steps: tuple[samples.Wire, str]) -> Assembler:
    """Feed each event, and wait for its text."""
    assembler = Assembler()
    assembler.subscribe(screen)
    for event, words in steps:
        assembler.feed(event)
        glass.until(words)
    assembler.close()
    return assembler


@pytest.mark.parametrize("raised", [BrokenPipeError(32, "Broken pipe"), OSError(28, "full"), ValueError("closed")])
@pytest.mark.parametrize("graphics", ["blocks", "text"])
def test_an_output_that_cannot_be_written_to_disturbs_nothing(
    raised: Exception, graphics: Graphics, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(io.StringIO):
        written = 0

        def write(self, text: str) -> int:
            self.written += 1
            raise raised

    output = Broken()
    with caplog.at_level(logging.WARNING), TerminalScreen(output, graphics=graphics) as screen:
        result = assemble(WHOLE, on_update=screen)
    assert result.final is not None
    assert (screen.error, output.written, caplog.records) == (raised, 1, [])


@pytest.mark.parametrize("graphics", get_args(Graphics))
def test_an_output_that_was_closed_or_is_none_disturbs_nothing(
    graphics: Graphics, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", None)
    for output in (closed, None):
        TerminalScreen(output)
        with TerminalScreen(output, graphics=graphics) as screen:
            assert assemble(WHOLE, on_update=screen).final is not None


def test_an_interrupted_drawing_leaves_the_terminal_in_order() -> None:
    class Interrupted(io.StringIO):
        has_begun = False

        def write(self, text: str) -> int:
            if not self.has_begun:
                self.has_begun = True
                super().write(text[:40])
                raise KeyboardInterrupt
            return super().write(text)

    output = Interrupted()
    with pytest.raises(KeyboardInterrupt), TerminalScreen(output, graphics="kitty"):
        pass
    assert output.getvalue().endswith("\x1b\\\x1b[0m\x1b[?2026l")


def test_leaving_waits_for_the_last_update() -> None:
    for _ in range(20):
        assert "final, PNG 8x8" in drawn(WHOLE, "blocks", min_interval_s=60)


def test_an_event_loop_leaves_it_as_well() -> None:
    async def show(glass: Glass) -> None:
        async with TerminalScreen(glass, graphics="blocks") as screen:
            feed(screen, glass, (WHOLE[1], "preview 1"))

    glass = Glass()
    asyncio.run(show(glass))
    assert "draft: " in glass.getvalue()


def test_a_screen_that_is_not_entered_shows_all_the_same() -> None:
    glass = Glass()
    screen = TerminalScreen(glass)
    assemble(WHOLE, on_update=screen)
    screen.close()
    assert glass.getvalue().endswith("final, PNG 8x8\n")


@pytest.mark.parametrize(
    "options",
    [
        {"graphics": "sixel"}, {"graphics": ""}, {"graphics": []}, {"size": (0, 1)}, {"size": "1x1"},
        {"size": 7}, {"size": (1, 2, 3)}, {"size": (1.5, 2)}, {"columns": 0}, {"columns": "80"}, {"columns": True},
        {"min_interval_s": -1}, {"min_interval_s": "1"},
    ],
)  # fmt: skip
def test_invalid_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        TerminalScreen(io.StringIO(), **options)


def test_it_says_how_it_shows() -> None:
    assert repr(TerminalScreen(io.StringIO(), graphics="blocks")) == "<TerminalScreen of blocks>"


# ---- the effect in a terminal


class Terminal:
    """A terminal with a number of columns and lines, and its contents."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        pyte = pytest.importorskip("pyte", reason="a terminal to look at is missing: pip install pyte")
        self.screen = pyte.HistoryScreen(columns, lines, history=10_000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)

    def feed(self, data: bytes) -> None:
        self._stream.feed(data)

    def resize(self, columns: int, lines: int) -> None:
        """Resize as real terminals do: the line of the cursor stays visible."""
        gone = max(0, self.screen.lines - lines)
        self.screen.resize(lines, columns)
        self.screen.cursor.y = max(0, self.screen.cursor.y - gone)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def above(self) -> list[str]:
        """Return the lines that were scrolled out."""
        return ["".join(line[x].data for x in sorted(line)).rstrip() for line in self.screen.history.top]

    @property
    def captions(self) -> list[str]:
        return [line for line in self.lines if line and "▀" not in line]

    def colour(self, x: int, y: int) -> str:
        """Return the colour of the upper half of a cell in hexadecimal."""
        return str(self.screen.buffer[y][x].fg)

    def rows_of(self, colour: str) -> int:
        return sum(self.colour(0, y) == colour for y in range(self.screen.lines))


GREEN = "00c800"  # of FINAL


class Looked(Glass):
    """An output whose text a terminal shows."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self.terminal = terminal
        self.resize(terminal.screen.columns, terminal.screen.lines)

    def resize(self, columns: int, lines: int) -> None:
        self.terminal.resize(columns, lines)
        os.environ.update(COLUMNS=str(columns), LINES=str(lines))  # the fixture above restores them

    def write(self, text: str) -> int:
        self.terminal.feed(text.encode())
        return super().write(text)


def test_a_picture_replaces_the_placeholder() -> None:
    terminal = Terminal()
    glass = Looked(terminal)
    with TerminalScreen(glass, graphics="blocks", min_interval_s=0) as screen:
        assert terminal.captions == ["waiting for the first preview"]
        assert terminal.colour(0, 0) == "e8e8e8"
        feed(screen, glass, (WHOLE[0], "generating"), (WHOLE[1], "preview 1"), (WHOLE[2], "preview 2"))
    assert terminal.captions[0].startswith("image 1: draft: ")
    assert not terminal.above
    assert terminal.rows_of("010000") == 21 - len(terminal.captions)


def test_the_final_is_drawn_last_and_alone() -> None:
    terminal = Terminal()
    glass = Looked(terminal)
    with TerminalScreen(glass, graphics="blocks", min_interval_s=0, clock=clock_of(count())) as screen:
        feed(screen, glass, (WHOLE[1], "preview 1"), (WHOLE[2], "preview 2"), (WHOLE[3], "final"))
    assert terminal.captions == ["image 1: final, PNG 8x8  3.0 s"]
    assert terminal.rows_of(GREEN) == 20
    assert (terminal.screen.cursor.x, terminal.screen.cursor.y) == (0, 21)


def test_a_failure_without_a_picture_is_shown_as_text() -> None:
    terminal = Terminal(columns=40)
    glass = Looked(terminal)
    with TerminalScreen(glass, graphics="blocks") as screen:
        assemble([samples.added(), samples.error("server_error", "it broke badly")], on_update=screen)
    assert not any("▀" in line for line in terminal.lines)
    assert "it broke badly" in " ".join(terminal.captions)
    assert all(len(line) < 40 for line in terminal.lines)


def test_an_ended_item_is_left_above_when_another_one_changes() -> None:
    terminal = Terminal(lines=30)
    glass = Looked(terminal)
    with TerminalScreen(glass, graphics="blocks", min_interval_s=0) as screen:
        feed(
            screen,
            glass,
            (samples.partial("ig_1"), "image 1: preview"),
            (samples.partial("ig_2"), "image 2: preview"),
            (samples.done("ig_1", FINAL), "image 1: final"),
            (samples.partial("ig_2", 1), "image 2: preview 2"),
            (samples.done("ig_2", samples.png(8, 8, (0, 0, 200))), "image 2: final"),
        )
    whole = [*terminal.above, *terminal.lines]
    captions = [line for line in whole if line and "▀" not in line]
    assert [caption.split("  ")[0] for caption in captions] == ["image 1: final, PNG 8x8", "image 2: final, PNG 8x8"]
    assert terminal.rows_of("0000c8") == 26


def test_items_under_way_share_the_terminal_as_many_as_fit_and_the_newest_stays() -> None:
    terminal = Terminal(lines=30)
    glass = Looked(terminal)
    names = [f"ig_{at}" for at in range(6)]
    assembler = Assembler()
    with TerminalScreen(glass, graphics="blocks", min_interval_s=0) as screen:
        assembler.subscribe(screen)
        for number, name in enumerate(names, 1):
            assembler.feed(samples.partial(name))
            glass.until(f"image {number}: preview 1")
        assert [caption.split(":")[0] for caption in terminal.captions] == ["image 4", "image 5", "image 6"]
        assembler.feed(samples.partial("ig_0", 1))
        glass.until("image 1: preview 2")
        assert [caption.split(":")[0] for caption in terminal.captions] == ["image 5", "image 6", "image 1"]
        assert not terminal.above


@pytest.mark.parametrize(("columns", "lines"), [(1, 1), (2, 2), (5, 3), (12, 8), (19, 24), (80, 3), (300, 100)])
@pytest.mark.parametrize("graphics", ["blocks", "blocks-256"])
def test_no_terminal_is_too_small(columns: int, lines: int, graphics: Graphics) -> None:
    terminal = Terminal(columns, lines)
    glass = Looked(terminal)
    with TerminalScreen(glass, graphics=graphics, min_interval_s=0) as screen:
        assemble([*WHOLE, samples.partial("猫猫" * 20), samples.done("ig_3", status="failed")], on_update=screen)
    assert screen.error is None
    if columns >= 12:
        assert "image 3" in " ".join(terminal.captions) or "failed" in " ".join(terminal.captions)


def test_after_a_resize_the_items_are_drawn_again_below() -> None:
    terminal = Terminal(80, 24)
    glass = Looked(terminal)
    with TerminalScreen(glass, graphics="blocks", min_interval_s=0) as screen:
        assembler = Assembler()
        assembler.subscribe(screen)
        assembler.feed(WHOLE[1])
        glass.until("preview 1")
        glass.resize(30, 12)
        assembler.feed(WHOLE[3])
        glass.until("final")
    assert terminal.captions[-1].startswith("final, PNG 8x8")  # the name has no room
    assert terminal.rows_of(GREEN) == 8
    assert all(len(line) < 30 for line in terminal.lines if "final" in line)


@pytest.mark.parametrize("graphics", ["blocks", "text"])
def test_a_printed_line_is_above_the_pictures(graphics: Graphics) -> None:
    terminal = Terminal()
    glass = Looked(terminal)
    glass.isatty = lambda: True  # type: ignore[method-assign]
    with TerminalScreen(glass, graphics=graphics) as screen, printing_above(screen):
        screen.print("  beware\x1b[2J")
        feed(screen, glass, (WHOLE[3], "final"))
    assert terminal.lines[0] == "  beware [2J"
    assert terminal.captions[-1].strip().startswith("image 1")


def test_text_that_is_printed_meanwhile_is_above_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    glass = Looked(terminal)
    glass.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", glass)
    with TerminalScreen(glass, graphics="blocks") as screen, printing_above(screen):
        sys.stderr.write("one\ntwo\n")
        feed(screen, glass, (WHOLE[3], "final"))
    assert sys.stderr is glass
    assert [terminal.lines[0], terminal.lines[1]] == ["one", "two"]
    assert terminal.captions[-1].startswith("image 1: final")


def test_columns_are_how_wide_a_picture_is_at_most() -> None:
    terminal = Terminal()
    glass = Looked(terminal)
    with TerminalScreen(glass, graphics="blocks", columns=10) as screen:
        assemble(WHOLE, on_update=screen)
    assert [line.count("▀") for line in terminal.lines if "▀" in line] == [10] * 5


# ---- whole sessions in a real terminal

ORDER = Order(prompt="a lake at night", size=(64, 64))
REACHED = ("waiting for the first preview", "generating", "preview 1", "preview 2", "preview 3", "final, PNG 64x64")


class Session:
    """A command in a pseudo-terminal, fed through a pipe and read until its screen shows something."""

    def __init__(self, *arguments: str, folder: Path | None = None, **environment: str) -> None:
        self.terminal = Terminal()
        self.written = b""
        self.captions: list[str] = []
        self._side, side = pty.openpty()
        self.resize(80, 24)
        left_out = ("NO_COLOR", "COLUMNS", "LINES", "TMUX", "PYTHONUNBUFFERED")
        usual = {name: value for name, value in os.environ.items() if name not in left_out}
        command = [sys.executable, "-m", "imgassemble", *arguments]
        says = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONUTF8": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=side, stderr=side, cwd=folder, env=usual | says | environment
        )
        os.close(side)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        os.close(self._side)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._side, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))
        self.terminal.resize(columns, lines)

    def feed(self, *pieces: bytes) -> None:
        assert self.process.stdin is not None
        for piece in pieces:
            self.process.stdin.write(piece)
        self.process.stdin.flush()

    def until(self, words: str) -> None:
        while words not in "\n".join(self.terminal.lines):
            assert self._read(), f"it ended without {words!r}: {self.terminal.lines}"

    def end(self) -> int:
        """Close the input, read the rest, and return the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        while self._read():
            pass
        return self.process.wait(PATIENCE_S)

    def _read(self) -> bool:
        assert select.select([self._side], [], [], PATIENCE_S)[0], f"nothing came: {self.terminal.lines}"
        try:
            piece = os.read(self._side, 65_536)
        except OSError:  # the other side is closed
            return False
        self.written += piece
        self.terminal.feed(piece)
        self.captions += [line for line in self.terminal.captions if line not in self.captions[-1:]]
        return bool(piece)


def steps_of(order: Order) -> Iterator[tuple[bytes, str]]:
    """Return the pieces of a stream, each with the text that it brings to the screen; "" for no new text."""
    answer = play(order)
    previews = count(1)
    for event, piece in zip(answer.events, answer.body, strict=False):
        kind = event["type"].rpartition(".")[2]
        if kind == "partial_image":
            yield piece, f"preview {next(previews)}"
        elif kind == "generating":
            yield piece, "generating"
        else:
            has_result = kind == "done" and event.get("item", {}).get("result")
            yield piece, "final, PNG 64x64" if has_result else ""


def stages_of(captions: list[str]) -> list[int]:
    """Return, in order, the parts of `reached` that the captions contain."""
    return [at for caption in captions for at, words in enumerate(REACHED) if words in caption]


@pytest.mark.parametrize("colours", ["truecolor", ""])
def test_watch_shows_a_stream_in_a_terminal_while_it_arrives(colours: str) -> None:
    with Session("watch", "-", COLORTERM=colours) as session:
        session.until("waiting for the first preview")
        assert "▀" in session.terminal.lines[0]
        for piece, words in steps_of(ORDER):
            session.feed(piece)
            session.until(words)
        assert session.end() == 0
    stages = stages_of(session.captions)
    assert stages == sorted(stages)
    assert {0, 1, 2, 3} <= set(stages)
    *_, caption, outcome = session.terminal.captions
    assert "final, PNG 64x64" in caption
    assert outcome.endswith("s  completed")
    assert "▀" in session.terminal.lines[0]
    assert b"?25" not in session.written


def test_at_the_end_the_picture_itself_is_shown() -> None:
    with Session("watch", "-") as session:
        session.feed(*play(ORDER).body)
        assert session.end() == 0
    (shot,) = pictures_of(ORDER)
    with Image.open(io.BytesIO(shot.result)) as image:
        expected = image.convert("RGB").resize((40, 40), Image.Resampling.BOX)
    for y in range(20):
        for x in range(40):
            assert session.terminal.colour(x, y) == "{:02x}{:02x}{:02x}".format(*as_colour(expected, x, 2 * y))


def as_colour(image: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    colour = image.getpixel((x, y))
    assert isinstance(colour, tuple)
    return int(colour[0]), int(colour[1]), int(colour[2])


def test_a_terminal_that_is_resized_meanwhile_breaks_nothing() -> None:
    with Session("watch", "-") as session:
        for at, (piece, words) in enumerate(steps_of(ORDER)):
            session.feed(piece)
            session.until(words)
            session.resize(*((18, 10), (80, 24), (120, 50))[at % 3])
        session.resize(80, 24)
        assert session.end() == 0
    assert session.terminal.captions[-1].endswith("completed")


def test_kitty_gets_every_picture_as_it_was_received() -> None:
    with Session("watch", "-", TERM="xterm-kitty") as session:
        for piece, words in steps_of(ORDER):
            session.feed(piece)
            while words.encode() not in session.written:
                assert session._read()
        assert session.end() == 0
    (shot,) = pictures_of(ORDER)
    sent = [data for _, data in apc(session.written.decode())]
    received = [*shot.partials, shot.result]
    places = [sent.index(data) for data in received if data in sent]
    assert places == sorted(places)
    assert sent[-1] == shot.result


def test_save_shows_the_pictures_beside_the_saving(tmp_path: Path) -> None:
    with Session("save", "-", "-o", "out", "--show", folder=tmp_path) as session:
        session.until("waiting for the first preview")
        for piece, words in steps_of(ORDER):
            session.feed(piece)
            session.until(words)
        session.feed(b"data: {broken\n\n")
        session.until("problem: ")
        assert session.end() == 0
    (final,) = (tmp_path / "out").glob("*/final.png")
    assert final.read_bytes() == pictures_of(ORDER)[0].result
    told = " ".join([*session.terminal.above, *session.terminal.captions])
    assert told.index("problem") < told.index("final, PNG 64x64") < told.index("completed") < told.index("final.png")


def test_a_failure_is_reported_and_the_last_preview_stays() -> None:
    with Session("watch", "-") as session:
        session.feed(*play(Order(size=(64, 64), faults=("response-failed",))).body)
        assert session.end() == 5
    told = " ".join(session.terminal.captions)
    assert "failed: " in told
    assert "final, PNG" not in told


def test_the_seconds_are_counted_while_nothing_comes() -> None:
    with Session("watch", "-") as session:
        session.until("waiting for the first preview  1.0 s")
        steps = steps_of(ORDER)
        for piece, words in steps:
            session.feed(piece)
            session.until(words)
            if words == "preview 1":
                break
        before = session.terminal.captions[-1]
        while session.terminal.captions[-1] == before:
            assert session._read()
        assert session.terminal.captions[-1].endswith(" s")
        assert "preview 1" in session.terminal.captions[-1]
        assert "▀" in session.terminal.lines[0]


@pytest.mark.parametrize("command", ["save - -o out", "watch - --graphics text", "inspect -"])
def test_a_clock_runs_below_the_lines_of_a_command_while_nothing_comes(command: str, tmp_path: Path) -> None:
    with Session(*command.split(), folder=tmp_path) as session:
        session.until("1 s  waiting for the first preview")
        session.feed(samples.sse([samples.partial()]))
        session.until("s  waiting for the next picture")
        session.feed(samples.sse([samples.done(content=FINAL)]))
        assert session.end() == 0
    assert not [line for line in session.terminal.captions if "waiting" in line]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("moderation-stream", "blocked (moderation_blocked): "),
        ("moderation-after-previews", "its previews are hidden"),
        ("response-failed", "failed: the service failed (server_error)"),
        ("refusal", "no image: the service answered in words: "),
        ("no-final", "draft: the stream ended before its final picture"),
        ("disconnect-after-event=6", "draft: the stream ended before its final picture"),
    ],
)
def test_watch_shows_each_failure_in_a_terminal(fault: str, words: str) -> None:
    with Session("watch", "-") as session:
        session.feed(*play(Order(size=(64, 64), faults=(fault,))).body)
        assert session.end() in (3, 4, 5)
    said = " ".join(session.terminal.captions)
    assert words in said
    assert "final, PNG" not in said
    assert any("▀" in line for line in session.terminal.lines) == ("draft" in said)


def test_an_interruption_is_reported_below_the_picture() -> None:
    with Session("watch", "-") as session:
        for piece, words in steps_of(ORDER):
            session.feed(piece)
            session.until(words)
            if words == "preview 1":
                break
        session.process.send_signal(signal.SIGINT)
        session.until("interrupted; everything received so far is kept")
        assert session.end() == 130
    assert "draft: the program was interrupted" in session.terminal.captions[-2]


# ---- tmux, another terminal


def test_watch_in_tmux_shows_half_blocks_and_ends_with_the_truth() -> None:
    if not shutil.which("tmux"):
        pytest.skip("a second terminal to look at is missing: apt-get install tmux")
    with tempfile.TemporaryDirectory(prefix="tm") as folder:  # the path of its socket must be short
        pipe = Path(folder) / "stream"
        os.mkfifo(pipe)
        tmux = Tmux(folder)
        watch = shlex.join([sys.executable, "-m", "imgassemble", "watch", str(pipe)])
        try:
            tmux.run("new-session", "-d", "-x", "80", "-y", "24", f"{watch}; cat")  # cat keeps the session open
            with pipe.open("wb", buffering=0) as stream:
                tmux.until("waiting for the first preview")
                for piece, words in steps_of(ORDER):
                    stream.write(piece)
                    tmux.until(words)
            tmux.until("completed")
            *_, caption, outcome = (line for line in tmux.seen[-1].splitlines() if line.strip())
        finally:
            tmux.run("kill-server")
    assert "final, PNG 64x64" in caption
    assert outcome.endswith("completed")
    assert tmux.seen[-1].splitlines()[0].startswith("▀" * 40)
    stages = stages_of([line for seen in tmux.seen for line in seen.splitlines()])
    assert stages == sorted(stages)


class Tmux:
    """A tmux server that is separate from all others."""

    def __init__(self, folder: str) -> None:
        self.seen: list[str] = []
        left_out = ("TMUX", "TMUX_PANE", "NO_COLOR", "COLUMNS", "LINES", "KITTY_WINDOW_ID")
        usual = {name: value for name, value in os.environ.items() if name not in left_out}
        self._environment = usual | {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", "TMUX_TMPDIR": folder}

    def run(self, *arguments: str) -> str:
        command = ["tmux", "-u", "-f", "/dev/null", *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True).stdout

    def until(self, words: str) -> None:
        patient_until = monotonic() + PATIENCE_S
        while True:
            self.seen.append(self.run("capture-pane", "-p"))
            if words in self.seen[-1]:
                return
            assert monotonic() < patient_until, self.seen[-1]
