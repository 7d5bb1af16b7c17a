"""The Tk widget, in a real window on its own display: its pixels, and the threads that use Tk."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import samples
from PIL import Image, ImageGrab, features

from imgassemble import Assembler, Outcome, UsageError, assemble, iter_updates
from imgassemble.simulator import Order, play
from imgassemble.simulator.plugin import ImageServer
from screens.window_laws import (
    BLUE,
    GREEN,
    GREEN_AS_GREY,
    GROUND,
    PATIENCE_S,
    RED,
    SIZE,
    WITHDRAWN,
    WindowLaws,
    flood,
    picture,
    reading,
    refreshers,
)

tkinter = pytest.importorskip("tkinter", reason="needs tkinter: apt-get install python3-tk, or another Python")
ttk = pytest.importorskip("tkinter.ttk")
if not shutil.which("Xvfb"):
    pytest.skip("needs a display of its own: apt-get install xvfb", allow_module_level=True)
if not features.check("xcb"):
    pytest.skip("needs a Pillow that can take screenshots of X11: pip install pillow", allow_module_level=True)

PROGRAM = Path(__file__).parents[2] / "docs" / "screens" / "with_tk.py"
GAP = 8
CENTRE = (GAP + SIZE[0] // 2, GAP + SIZE[1] // 2)
# Keep every Tk: one that the garbage collector frees in another thread aborts the process.
KEPT: list[object] = []


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """Start a display for these tests only."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server:
        os.close(writer)
        with os.fdopen(reader) as told:
            yield f":{told.readline().strip()}"
        server.terminate()


class Window:
    """A window with a screen in it, and its visible contents."""

    def __init__(self, display: str, **options: Any) -> None:
        chosen: Any = {"size": SIZE, "min_interval_s": 0.0} | options
        from imgassemble.screens.tk import TkScreen

        self.display = display
        self.root = tkinter.Tk(screenName=display)
        KEPT.append(self.root.tk)
        for style in ("TFrame", "TLabel"):
            ttk.Style(self.root).configure(style, background=f"#{bytes(GROUND).hex()}")
        self.screen = TkScreen(self.root, **chosen)
        self.screen.pack()
        self.ended: list[Outcome | None] = []
        self.screen.bind("<<StreamEnded>>", lambda _: self.ended.append(self.screen.outcome))

    def wait(self, holds: Callable[[], bool]) -> None:
        """Run Tk until `holds()` is true."""
        deadline = monotonic() + PATIENCE_S
        while not holds():
            assert monotonic() < deadline, "the condition did not become true in time"
            self.root.tk.dooneevent(0)

    def look(self) -> Image.Image:
        """Return a picture of the window."""
        self.root.update()
        self.root.winfo_pointerxy()  # the display answers after it has drawn
        left, top = self.root.winfo_rootx(), self.root.winfo_rooty()
        box = (left, top, left + self.root.winfo_width(), top + self.root.winfo_height())
        return ImageGrab.grab(bbox=box, xdisplay=self.display).convert("RGB")

    def colour(self, at: tuple[int, int] = CENTRE) -> Any:
        return self.look().getpixel(at)

    def shows(self, colour: tuple[int, int, int]) -> bool:
        return bool(self.colour() == colour)

    def says(self, *captions: str) -> bool:
        return tuple(caption for caption, _ in self.captions()) == captions

    def captions(self) -> list[tuple[str, str]]:
        """Return the captions below the pictures, and their colours, row by row."""
        tiles = sorted(
            self.screen.grid_slaves(), key=lambda tile: (tile.grid_info()["row"], tile.grid_info()["column"])
        )
        labels = [child for tile in tiles for child in tile.winfo_children() if isinstance(child, ttk.Label)]
        return [(label["text"], str(label["foreground"])) for label in labels]

    def show(self, events: Iterable[Any]) -> None:
        """Show a whole stream that another thread reads."""
        reader = reading(events, self.screen)
        self.wait(lambda: bool(self.ended))
        reader.join(PATIENCE_S)


@pytest.fixture
def window(display: str) -> Iterator[Callable[..., Window]]:
    windows = []

    def make(**options: Any) -> Window:
        windows.append(Window(display, **options))
        return windows[-1]

    yield make
    for each in windows:
        with suppress(tkinter.TclError):  # the test has destroyed it
            each.root.destroy()


def run(code: str, display: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "DISPLAY": display, **environment},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
    )


# The visible contents


class TestTkWindow(WindowLaws):
    """The tests of every window."""


def test_a_placeholder_of_the_requested_size_is_shown_before_any_event(window: Callable[..., Window]) -> None:
    shown = window(size=(300, 200))
    seen = shown.look()
    inside = [(GAP, GAP), (GAP + 299, GAP), (GAP, GAP + 199), (GAP + 299, GAP + 199)]
    outside = [(GAP - 1, GAP), (GAP + 300, GAP), (GAP, GAP + 200)]
    assert all(min(seen.getpixel(at)) > 0xD0 for at in inside)  # type: ignore[arg-type]
    assert {seen.getpixel(at) for at in outside} == {GROUND}
    assert shown.captions() == [("waiting for the first preview", "#767676")]


def test_the_window_shows_the_pixels_of_the_final(window: Callable[..., Window]) -> None:
    shown = window(size=(120, 90))
    answer = play(Order(size=SIZE))
    shown.show(answer.body)
    final = assemble(answer.body).final
    assert final
    left, top = GAP + (120 - 96) // 2, GAP + (90 - 64) // 2
    assert shown.look().crop((left, top, left + 96, top + 64)).tobytes() == final.decode().convert("RGB").tobytes()


def test_a_picture_larger_than_its_room_is_made_to_fit(window: Callable[..., Window]) -> None:
    shown = window()
    shown.show([samples.done(content=picture(GREEN, (400, 100)))])
    at = CENTRE[0]
    assert shown.colour((GAP, CENTRE[1])) == GREEN
    assert shown.colour((GAP + 95, CENTRE[1])) == GREEN
    assert shown.colour((at, CENTRE[1] - 14)) == GROUND
    assert shown.colour((at, CENTRE[1] + 14)) == GROUND


def test_the_window_is_visible_behind_transparent_pixels(window: Callable[..., Window]) -> None:
    file = BytesIO()
    clear = Image.new("RGBA", SIZE, (255, 0, 0, 0))
    clear.paste((*BLUE, 255), (0, 0, 48, 64))
    clear.save(file, "PNG")
    shown = window()
    shown.show([samples.done(content=file.getvalue())])
    assert shown.colour((CENTRE[0] - 10, CENTRE[1])) == BLUE
    assert shown.colour((CENTRE[0] + 10, CENTRE[1])) == GROUND


def test_each_item_has_a_tile_and_the_rows_wrap(window: Callable[..., Window]) -> None:
    shown = window(columns=2)
    colours = dict(zip("abc", (RED, GREEN, BLUE), strict=True))
    assembler = Assembler()
    assembler.subscribe(shown.screen)
    for at, (item_id, colour) in enumerate(colours.items()):
        assembler.feed(samples.done(item_id, picture(colour), output_index=at))
        shown.wait(partial(shown.says, *["final"] * (at + 1)))
    right, below = CENTRE[0] + SIZE[0] + 2 * GAP, CENTRE[1] + SIZE[1] + 2 * GAP
    seen = shown.look()
    assert seen.getpixel(CENTRE) == RED
    assert seen.getpixel((right, CENTRE[1])) == GREEN
    assert seen.getpixel((CENTRE[0], below + 30)) == BLUE


def test_a_window_has_as_many_tiles_as_x11_can_draw(display: str) -> None:
    code = f"""
import sys, threading, tkinter
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import samples
from imgassemble import assemble
from imgassemble.screens.tk import TkScreen

root = tkinter.Tk()
screen = TkScreen(root, size=(64, 4_096), columns=1)
screen.pack()
screen.bind("<<StreamEnded>>", lambda _: root.after_idle(root.quit))
stream = [samples.done(f"ig_{{at}}", samples.png(64, 4_096), output_index=at) for at in range(20)]
threading.Thread(target=assemble, args=(stream,), kwargs={{"on_update": screen}}, daemon=True).start()
root.mainloop()
root.update()
print(len(screen.grid_slaves()))
"""
    done = run(code, display)
    assert (done.returncode, done.stdout, done.stderr) == (0, "6\n", "")


def test_pictures_that_were_shown_are_not_kept(window: Callable[..., Window]) -> None:
    shown = window()
    assembler = Assembler()
    assembler.subscribe(shown.screen)
    before = len(shown.root.image_names())
    for index in range(20):
        assembler.feed(samples.partial(index=index, content=picture((index, 0, 9))))
        shown.wait(partial(shown.says, f"preview {index + 1}"))
    assert len(shown.root.image_names()) == before


# Threads


def test_a_final_that_is_withdrawn_leaves_a_preview_that_was_skipped(window: Callable[..., Window]) -> None:
    shown = window()
    reader = reading(WITHDRAWN, shown.screen)
    reader.join(PATIENCE_S)  # the window runs nothing meanwhile
    shown.wait(lambda: bool(shown.ended))
    (at,) = (at for at, (caption, _) in enumerate(shown.captions()) if caption.endswith("only a draft is left"))
    assert shown.colour((CENTRE[0] + at * (SIZE[0] + 2 * GAP), CENTRE[1])) == GREEN_AS_GREY


def test_only_its_own_thread_touches_tk(window: Callable[..., Window]) -> None:
    touched: dict[int, set[str]] = {}

    def note(frame: Any, kind: str, function: Any) -> None:
        names = touched.setdefault(threading.get_ident(), set())
        if kind == "call" and "tkinter" in Path(frame.f_code.co_filename).parts:
            names.add(frame.f_code.co_name)
        if kind == "c_call" and type(getattr(function, "__self__", None)).__name__ == "tkapp":
            names.add(function.__name__)

    shown = window()
    threading.setprofile(note)  # for the threads that start from here on
    try:
        shown.show(play(Order(size=SIZE)).body)
    finally:
        threading.setprofile(None)
    assert len(touched) >= 2  # the reading thread and the decoding thread
    assert not set().union(*touched.values())


# The end of the window


@pytest.mark.parametrize("way", ["the window", "the widget", "by Tcl"])
def test_a_window_that_is_destroyed_disturbs_no_stream(
    window: Callable[..., Window], caplog: pytest.LogCaptureFixture, way: str
) -> None:
    shown = window()
    goes_on = threading.Event()
    told = []

    def stream() -> Iterator[Any]:
        yield samples.partial(index=0, content=picture(RED))
        assert goes_on.wait(PATIENCE_S)
        yield from flood(range(1, 50))

    def read() -> None:
        for update in iter_updates(stream()):
            shown.screen(update)
            told.append(update)

    reader = threading.Thread(target=read)
    reader.start()
    shown.wait(partial(shown.shows, RED))
    goes_on.set()
    if way == "by Tcl":
        shown.root.tk.call("destroy", str(shown.screen))
        shown.wait(lambda: shown.screen.master is None)
    else:
        (shown.root if way == "the window" else shown.screen).destroy()
    reader.join(PATIENCE_S)
    for thread in refreshers():
        thread.join(PATIENCE_S)
    assert len(told) == len(list(iter_updates([samples.partial(content=picture(RED)), *flood(range(1, 50))])))
    assert not caplog.records
    assert not refreshers()
    assert not shown.screen.winfo_exists()
    assert not shown.ended


def test_waiting_updates_are_dropped_with_the_window_and_without_a_message(
    window: Callable[..., Window], caplog: pytest.LogCaptureFixture
) -> None:
    shown = window()
    assembler = Assembler()
    assembler.subscribe(shown.screen)
    for at in range(50):
        assembler.feed(samples.done(f"ig_{at}", picture(RED), output_index=at))
    shown.root.destroy()
    for thread in refreshers():
        thread.join(PATIENCE_S)
    assert not refreshers()
    assert not caplog.records
    assert not shown.screen._refresher.close()


def test_destroying_it_twice_and_using_it_afterwards_behaves_as_in_tk(window: Callable[..., Window]) -> None:
    shown = window()
    shown.screen.destroy()
    shown.screen.destroy()
    with pytest.raises(tkinter.TclError, match="destroyed"):
        shown.screen.pack()


def test_a_handler_may_close_the_window_at_the_end(
    window: Callable[..., Window], caplog: pytest.LogCaptureFixture
) -> None:
    shown = window()
    shown.screen.bind("<<StreamEnded>>", lambda _: shown.root.destroy())
    reading([samples.done(content=picture(GREEN))], shown.screen)
    shown.root.mainloop()
    assert shown.screen.outcome is Outcome.COMPLETED
    assert not caplog.records


OUTLIVED = """
import gc, sys, threading, tkinter
gc.disable()
sys.path.insert(0, {tests!r})
import samples
from imgassemble import assemble
from imgassemble.screens.tk import TkScreen

goes_on = threading.Event()

def stream():
    yield samples.partial(content=samples.png(9, 9))
    goes_on.wait()
    gc.collect()
    yield samples.done(content=samples.png(9, 9))

def window():
    root = tkinter.Tk()
    screen = TkScreen(root)
    screen.pack()
    reader = threading.Thread(target=assemble, args=(stream(),), kwargs=dict(on_update=screen))
    reader.start()
    root.after(200, root.destroy)
    root.mainloop()
    return reader

reader = window()
goes_on.set()
reader.join()
print("done")
"""


def test_a_stream_that_outlives_its_window_does_not_free_tk_in_its_thread(display: str) -> None:
    done = run(OUTLIVED.format(tests=str(Path(__file__).parents[1])), display)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_an_open_window_and_a_stream_that_hangs_let_the_program_end(display: str) -> None:
    code = OUTLIVED.format(tests=str(Path(__file__).parents[1])).partition("reader = window()")[0]
    code = code.replace("on_update=screen)", "on_update=screen), daemon=True").replace("root.destroy", "root.quit")
    done = run(f"{code}window()\nprint('done')", display)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


# Wrong use, and the documented program


def test_without_tkinter_the_error_names_the_package(display: str) -> None:
    code = "import sys; sys.modules['_tkinter'] = None; import imgassemble.screens.tk"
    *_, sentence = run(code, display).stderr.strip().splitlines()
    assert sentence.startswith("imgassemble.errors.UsageError: Tk needs tkinter")
    assert "apt-get install python3-tk" in sentence


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"min_interval_s": -1}, "min_interval_s is a number of seconds"),
        ({"size": (0, 5)}, "size is (width, height) in pixels"),
        ({"size": 512}, "size is (width, height) in pixels"),
        ({"columns": 0}, "columns is a number of tiles"),
        ({"columns": True}, "columns is a number of tiles"),
    ],
)
def test_invalid_arguments_leave_no_widget_behind(
    window: Callable[..., Window], options: dict[str, Any], sentence: str
) -> None:
    from imgassemble.screens.tk import TkScreen

    root = window().root
    before = len(root.winfo_children())
    with pytest.raises(UsageError, match=re.escape(sentence)):
        TkScreen(root, **options)
    assert len(root.winfo_children()) == before


def test_options_are_those_of_a_frame_and_a_wrong_one_lets_the_window_close(window: Callable[..., Window]) -> None:
    from imgassemble.screens.tk import TkScreen

    shown = window(padding=30)
    assert min(shown.look().getpixel((CENTRE[0] + 30, CENTRE[1] + 30))) > 0xD0  # type: ignore[arg-type]
    with pytest.raises(tkinter.TclError, match="-otter"):
        TkScreen(shown.root, otter=1)
    shown.root.destroy()


# Runs a program unchanged. After the end of the stream it takes a picture of the window, and closes it.
RUNNER = """
import os, runpy, sys, tkinter, warnings
from PIL import ImageGrab

program, target = sys.argv[1:]

def look(root):
    root.update()
    root.winfo_pointerxy()
    ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).save(target)
    root.tk.call(root.protocol("WM_DELETE_WINDOW"))

def mainloop(root, original=tkinter.Misc.mainloop):
    root.bind_all("<<StreamEnded>>", lambda _: root.after_idle(look, root))
    original(root)

tkinter.Misc.mainloop = mainloop
warnings.simplefilter("ignore", ResourceWarning)  # the thread and its connection end with the program
runpy.run_path(program, run_name="__main__")
"""


@pytest.mark.skipif(not importlib.util.find_spec("openai"), reason="needs the client: pip install openai")
@pytest.mark.skipif(not importlib.util.find_spec("starlette"), reason="needs a server: pip install 'imgassemble[web]'")
def test_the_documented_program_shows_the_final(display: str, tmp_path: Path, image_server: ImageServer) -> None:
    image_server.use(size=SIZE)
    runner = f"import sys; sys.argv[1:] = {[str(PROGRAM), str(tmp_path / 'seen.png')]!r}\n{RUNNER}"
    done = run(runner, display, OPENAI_BASE_URL=image_server.base_url, OPENAI_API_KEY="-")
    assert (done.returncode, done.stderr) == (0, "")
    (answer,) = image_server.sent
    final = assemble(answer.events).final
    assert final
    with Image.open(tmp_path / "seen.png") as seen:
        left, top = GAP + (512 - 96) // 2, GAP + (512 - 64) // 2
        box = seen.convert("RGB").crop((left, top, left + 96, top + 64))
    assert box.tobytes() == final.decode().convert("RGB").tobytes()
