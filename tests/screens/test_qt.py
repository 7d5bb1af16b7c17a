"""The Qt widget, drawn offscreen: its pixels, the threads that use widgets, and its end."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import samples
from PIL import Image

from imgassemble import Assembler, Outcome, UsageError, assemble, iter_updates
from imgassemble.simulator import Order, play
from imgassemble.simulator.plugin import ImageServer
from screens.window_laws import (
    BLUE,
    GREEN,
    GREEN_AS_GREY,
    GREY,
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

WHY = "needs Qt: pip install PySide6-Essentials, and apt-get install libegl1 libgl1 libfontconfig1 libdbus-1-3"
QtCore = pytest.importorskip("PySide6.QtCore", reason=WHY, exc_type=ImportError)
QtGui = pytest.importorskip("PySide6.QtGui", reason=WHY, exc_type=ImportError)
QtWidgets = pytest.importorskip("PySide6.QtWidgets", reason=WHY, exc_type=ImportError)

PROGRAM = Path(__file__).parents[2] / "docs" / "screens" / "with_qt.py"
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def app() -> Any:
    """Return the one application of the process, without a display."""
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["tests", "-platform", "offscreen"])


class Window:
    """A screen as a window, and its visible contents."""

    def __init__(self, app: Any, **options: Any) -> None:
        from imgassemble.screens.qt import QtScreen

        chosen: Any = {"size": SIZE, "min_interval_s": 0.0} | options
        self.app = app
        self.screen: Any = QtScreen(**chosen)
        self.screen.setAttribute(QtCore.Qt.WidgetAttribute.WA_StyledBackground)
        palette = self.screen.palette()
        palette.setColor(QtGui.QPalette.ColorRole.Window, QtGui.QColor(*GROUND))
        self.screen.setPalette(palette)
        self.screen.show()
        self.ended: list[Outcome] = []
        self.screen.stream_ended.connect(self.ended.append)

    def wait(self, holds: Callable[[], bool]) -> None:
        """Run Qt until `holds()` is true."""
        deadline = monotonic() + PATIENCE_S
        ticks = QtCore.QTimer()  # so that the condition is checked again
        ticks.start(10)
        while not holds():
            assert monotonic() < deadline, "the condition did not become true in time"
            self.app.processEvents(QtCore.QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    def look(self) -> Image.Image:
        """Return a picture of the window."""
        self.app.processEvents()
        file = QtCore.QBuffer()
        self.screen.grab().save(file, "PNG")
        return Image.open(BytesIO(file.data().data())).convert("RGB")

    def places(self) -> list[tuple[int, int]]:
        """Return the centres of the pictures, tile by tile."""
        pictures = self.screen.findChildren(QtWidgets.QLabel)[::2]
        middles = [label.mapTo(self.screen, label.rect().center()) for label in pictures]
        return [(middle.x(), middle.y()) for middle in middles]

    def colour(self) -> Any:
        return self.look().getpixel(self.places()[0])

    def shows(self, colour: tuple[int, int, int]) -> bool:
        return bool(self.colour() == colour)

    def captions(self) -> list[tuple[str, str]]:
        """Return the captions below the pictures, and their colours, tile by tile."""
        labels = self.screen.findChildren(QtWidgets.QLabel)[1::2]
        return [(label.text(), label.styleSheet().removeprefix("color: ")) for label in labels]

    def says(self, *captions: str) -> bool:
        return tuple(caption for caption, _ in self.captions()) == captions

    def show(self, events: Iterable[Any]) -> None:
        """Show a whole stream that another thread reads."""
        reader = reading(events, self.screen)
        self.wait(lambda: bool(self.ended))
        reader.join(PATIENCE_S)


@pytest.fixture
def window(app: Any) -> Iterator[Callable[..., Window]]:
    windows = []

    def make(**options: Any) -> Window:
        windows.append(Window(app, **options))
        return windows[-1]

    yield make
    for each in windows:
        each.screen = None
    app.processEvents()


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(TESTS), **environment},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
    )
    done.stderr = done.stderr.replace("This plugin does not support propagateSizeHints()\n", "")  # of "offscreen"
    return done


# The visible contents


class TestQtWindow(WindowLaws):
    """The tests of every window."""


def test_a_placeholder_of_the_requested_size_is_shown_before_any_event(window: Callable[..., Window]) -> None:
    shown = window(size=(300, 200))
    seen = shown.look()
    ((x, y),) = shown.places()
    left, top = x - 149, y - 99
    inside = [(left, top), (left + 299, top), (left, top + 199), (left + 299, top + 199)]
    outside = [(left - 1, top), (left + 300, top), (left, top + 200)]
    assert all(min(seen.getpixel(at)) > 0xD0 for at in inside)  # type: ignore[arg-type]
    assert {seen.getpixel(at) for at in outside} == {GROUND}
    assert shown.captions() == [("waiting for the first preview", "#767676")]


@pytest.mark.parametrize("size", [SIZE, (95, 63), (97, 61)], ids=["even", "odd", "prime"])
def test_the_window_shows_the_pixels_of_the_final(window: Callable[..., Window], size: tuple[int, int]) -> None:
    shown = window(size=(121, 91))
    file = BytesIO()
    drawn = assemble(play(Order(size=SIZE)).body).final
    assert drawn
    drawn.decode().convert("RGB").resize(size).save(file, "PNG")
    shown.show([samples.done(content=file.getvalue())])
    ((x, y),) = shown.places()
    left, top = x - 60 + (121 - size[0]) // 2, y - 45 + (91 - size[1]) // 2
    box = shown.look().crop((left, top, left + size[0], top + size[1]))
    assert box.tobytes() == Image.open(file).tobytes()


def test_a_picture_larger_than_its_room_is_made_to_fit(window: Callable[..., Window]) -> None:
    shown = window()
    shown.show([samples.done(content=picture(GREEN, (400, 100)))])
    ((x, y),) = shown.places()
    seen = shown.look()
    assert {seen.getpixel(at) for at in ((x, y), (x - 46, y), (x + 46, y))} == {GREEN}
    assert {seen.getpixel(at) for at in ((x, y - 15), (x, y + 15))} == {GROUND}


def test_the_window_is_visible_behind_transparent_pixels(window: Callable[..., Window]) -> None:
    file = BytesIO()
    clear = Image.new("RGBA", SIZE, (255, 0, 0, 0))
    clear.paste((*BLUE, 255), (0, 0, 48, 64))
    clear.save(file, "PNG")
    shown = window()
    shown.show([samples.done(content=file.getvalue())])
    ((x, y),) = shown.places()
    assert shown.look().getpixel((x - 10, y)) == BLUE
    assert shown.look().getpixel((x + 10, y)) == GROUND


def test_a_long_caption_lies_below_the_picture_and_is_no_html(window: Callable[..., Window]) -> None:
    shown = window()
    words = "<h1>no</h1> " + "otters here " * 8
    shown.show([samples.partial(content=picture(RED)), samples.error(message=words)])
    ((caption, _),) = shown.captions()
    assert "<h1>no</h1>" in caption
    seen = shown.look()
    ((x, y),) = shown.places()
    assert seen.crop((x - 47, y - 31, x + 49, y + 33)).getcolors() == [(96 * 64, GREY)]
    label = shown.screen.findChildren(QtWidgets.QLabel)[1]
    assert label.height() >= label.heightForWidth(label.width())


def test_a_word_that_is_too_long_for_a_line_is_broken(window: Callable[..., Window]) -> None:
    shown = window()
    shown.show([samples.partial(content=picture(RED)), samples.error(message=f"no {'otters' * 20} here")])
    label = shown.screen.findChildren(QtWidgets.QLabel)[1]
    flags = QtCore.Qt.TextFlag.TextWordWrap
    needed = label.fontMetrics().boundingRect(QtCore.QRect(0, 0, label.width(), 9_999), flags, label.text())
    assert needed.width() <= label.width()
    assert needed.height() <= label.height()
    assert "otters" * 20 in label.text().replace("\u200b", "")


def test_each_item_has_a_tile_and_the_rows_wrap(window: Callable[..., Window]) -> None:
    shown = window(columns=2)
    colours = dict(zip("abc", (RED, GREEN, BLUE), strict=True))
    assembler = Assembler()
    assembler.subscribe(shown.screen)
    for at, (item_id, colour) in enumerate(colours.items()):
        assembler.feed(samples.done(item_id, picture(colour), output_index=at))
        shown.wait(partial(shown.says, *["final"] * (at + 1)))
    seen = shown.look()
    first, second, third = shown.places()
    assert [seen.getpixel(at) for at in (first, second, third)] == [RED, GREEN, BLUE]
    assert first[1] == second[1] < third[1]
    assert first[0] == third[0] < second[0]


def test_a_window_has_as_many_tiles_as_x11_can_draw(window: Callable[..., Window]) -> None:
    shown = window(size=(64, 4_096), columns=1)
    shown.show([samples.done(f"ig_{at}", picture(GREEN), output_index=at) for at in range(20)])
    assert shown.captions() == [("final", "")] * 6


DENSE = """
import sys, threading
import samples
from io import BytesIO
from PIL import Image
from PySide6.QtWidgets import QApplication
from imgassemble import assemble
from imgassemble.screens.qt import QtScreen

app = QApplication([])
screen = QtScreen(size=(96, 64))
screen.show()
before = screen.grab().toImage()
screen.stream_ended.connect(app.quit)
width, height = map(int, sys.argv[1:])
quarter = Image.new("RGB", (width, height), (0, 0, 200))
quarter.paste((200, 0, 0), (0, 0, width // 4, height))
file = BytesIO()
quarter.save(file, "PNG")
stream = [samples.done(content=file.getvalue())]
threading.Thread(target=assemble, args=(stream,), kwargs={"on_update": screen}, daemon=True).start()
app.exec()
seen = screen.grab().toImage()
places = ((x, y) for x in range(seen.width()) for y in range(seen.height()))
red = {place for place in places if seen.pixelColor(*place).getRgb()[:3] == (200, 0, 0)}
print(seen.devicePixelRatio(), len({x for x, _ in red}), len({y for _, y in red}), before.size() == seen.size())
"""


@pytest.mark.parametrize("sent", [(192, 128), (400, 100), (96, 64)])
def test_a_dense_display_has_all_its_pixels_used(sent: tuple[int, int]) -> None:
    done = run(DENSE, *map(str, sent), QT_SCALE_FACTOR="2")
    assert (done.returncode, done.stderr) == (0, "")
    ratio, width, height, is_as_large = done.stdout.split()
    assert (ratio, is_as_large) == ("2.0", "True")
    assert 46 <= int(width) <= 48  # resampling blurs the edge
    assert int(height) == (48 if sent == (400, 100) else 128)


# Threads


def test_a_final_that_is_withdrawn_leaves_a_preview_that_was_skipped(window: Callable[..., Window]) -> None:
    shown = window()
    reader = reading(WITHDRAWN, shown.screen)
    reader.join(PATIENCE_S)  # the window runs nothing meanwhile
    shown.wait(lambda: bool(shown.ended))
    (at,) = (at for at, (caption, _) in enumerate(shown.captions()) if caption.endswith("only a draft is left"))
    assert shown.look().getpixel(shown.places()[at]) == GREEN_AS_GREY


def test_only_its_own_thread_touches_widgets_and_pixmaps(window: Callable[..., Window]) -> None:
    touched: dict[int, set[str]] = {}
    belongs_to_it = (QtCore.QObject, QtGui.QPixmap)

    def note(frame: Any, kind: str, function: Any) -> None:
        names = touched.setdefault(threading.get_ident(), set())
        if kind == "c_call" and isinstance(getattr(function, "__self__", None), belongs_to_it):
            names.add(function.__name__)

    shown = window()
    told_in: list[int] = []
    shown.screen.stream_ended.connect(lambda _: told_in.append(threading.get_ident()))
    threading.setprofile(note)  # for the threads that start from here on
    try:
        shown.show(play(Order(size=SIZE)).body)
    finally:
        threading.setprofile(None)
    assert len(touched) >= 2  # the reading thread and the decoding thread
    assert not set().union(*touched.values())
    assert told_in == [threading.get_ident()]


# The end of the window


def delete_later(shown: Window) -> None:
    shown.screen.deleteLater()
    shown.app.sendPostedEvents(shown.screen, QtCore.QEvent.Type.DeferredDelete)


def close_and_delete(shown: Window) -> None:
    shown.screen.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
    shown.screen.close()
    shown.app.sendPostedEvents(shown.screen, QtCore.QEvent.Type.DeferredDelete)


def delete_its_parent(shown: Window) -> None:
    parent = QtWidgets.QWidget()
    shown.screen.setParent(parent)
    parent.deleteLater()
    shown.app.sendPostedEvents(parent, QtCore.QEvent.Type.DeferredDelete)


@pytest.mark.parametrize("end", [delete_later, close_and_delete, delete_its_parent])
def test_a_widget_that_is_deleted_disturbs_no_stream(
    window: Callable[..., Window], caplog: pytest.LogCaptureFixture, end: Callable[[Window], None]
) -> None:
    shown = window()
    listener = shown.screen
    goes_on = threading.Event()
    told = []

    def stream() -> Iterator[Any]:
        yield samples.partial(index=0, content=picture(RED))
        assert goes_on.wait(PATIENCE_S)
        yield from flood(range(1, 50))

    def read() -> None:
        for update in iter_updates(stream()):
            listener(update)
            told.append(update)

    reader = threading.Thread(target=read)
    reader.start()
    shown.wait(partial(shown.shows, RED))
    goes_on.set()
    end(shown)
    reader.join(PATIENCE_S)
    for thread in refreshers():
        thread.join(PATIENCE_S)
    assert len(told) == len(list(iter_updates([samples.partial(content=picture(RED)), *flood(range(1, 50))])))
    assert not caplog.records
    assert not refreshers()
    assert not shown.ended


def test_waiting_updates_are_dropped_with_the_widget_and_without_a_message(
    window: Callable[..., Window], caplog: pytest.LogCaptureFixture
) -> None:
    shown = window()
    assembler = Assembler()
    assembler.subscribe(shown.screen)
    for at in range(50):
        assembler.feed(samples.done(f"ig_{at}", picture(RED), output_index=at))
    delete_later(shown)
    for thread in refreshers():
        thread.join(PATIENCE_S)
    assert not refreshers()
    assert not caplog.records


def test_a_window_that_is_opened_again_shows_the_pictures_that_arrived_meanwhile(window: Callable[..., Window]) -> None:
    shown = window()
    shown.screen.close()
    shown.show([samples.done(content=picture(GREEN))])
    shown.screen.show()
    assert shown.colour() == GREEN


def test_a_screen_is_freed_with_its_last_reference_without_the_garbage_collector(window: Callable[..., Window]) -> None:
    shown = window()
    shown.show([samples.done(content=picture(GREEN))])
    found = weakref.ref(shown.screen)
    gc.disable()
    try:
        shown.screen = None
        assert found() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("ending", ["app.exec()", "screen.close()", "del screen", "app.processEvents()", "app.quit()"])
def test_a_stream_that_hangs_lets_the_program_end(ending: str) -> None:
    code = f"""
import threading
import samples
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from imgassemble import assemble
from imgassemble.screens.qt import QtScreen

app = QApplication([])
screen = QtScreen()
screen.show()
began = threading.Event()

def stream():
    for index in range(10_000):
        yield samples.partial(index=index, content=samples.png(64, 64, (index % 256, 0, 0)))
        if index == 20:
            began.set()
    threading.Event().wait()

threading.Thread(target=assemble, args=(stream(),), kwargs={{"on_update": screen}}, daemon=True).start()
began.wait()
QTimer.singleShot(100, app.quit)
{ending}
print("done")
"""
    done = run(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


# Wrong use, and the documented program


def test_without_pyside6_the_error_names_the_package() -> None:
    code = "import sys; sys.modules['PySide6'] = None; import imgassemble.screens.qt"
    *_, sentence = run(code).stderr.strip().splitlines()
    assert sentence.startswith("imgassemble.errors.UsageError: Qt needs PySide6: pip install PySide6-Essentials")


@pytest.mark.parametrize(
    ("platform", "sentence"),
    [("offscreen", "needs its application first: app = QApplication([])"), ("", "there is no display: set DISPLAY")],
)
def test_a_screen_without_an_application_raises_an_error_with_advice(platform: str, sentence: str) -> None:
    code = "from imgassemble.screens.qt import QtScreen; QtScreen()"
    done = run(code, QT_QPA_PLATFORM=platform, DISPLAY="", WAYLAND_DISPLAY="")
    if sys.platform != "linux":
        sentence = "needs its application first"
    *_, said = done.stderr.strip().splitlines()
    assert said.startswith("imgassemble.errors.UsageError")
    assert sentence in said


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
def test_invalid_arguments_are_refused_at_once(app: Any, options: dict[str, Any], sentence: str) -> None:
    from imgassemble.screens.qt import QtScreen

    with pytest.raises(UsageError, match=re.escape(sentence)):
        QtScreen(**options)


# Runs a program unchanged. After the end of the stream it takes a picture of the window, and closes it.
RUNNER = """
import runpy, sys, warnings
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

program, target = sys.argv[1:]

def look(screen):
    screen.grab().save(target)
    screen.close()

def run(_, original=QApplication.exec):
    (screen,) = (each for each in QApplication.topLevelWidgets() if hasattr(each, "stream_ended"))
    screen.stream_ended.connect(lambda _: QTimer.singleShot(0, lambda: look(screen)))
    original()

QApplication.exec = run
warnings.simplefilter("ignore", ResourceWarning)  # the thread and its connection end with the program
runpy.run_path(program, run_name="__main__")
"""


@pytest.mark.skipif(not importlib.util.find_spec("openai"), reason="needs the client: pip install openai")
@pytest.mark.skipif(not importlib.util.find_spec("starlette"), reason="needs a server: pip install 'imgassemble[web]'")
def test_the_documented_program_shows_the_final(tmp_path: Path, image_server: ImageServer) -> None:
    image_server.use(size=SIZE)
    target = tmp_path / "seen.png"
    done = run(RUNNER, str(PROGRAM), str(target), OPENAI_BASE_URL=image_server.base_url, OPENAI_API_KEY="-")
    assert (done.returncode, done.stderr) == (0, "")
    (answer,) = image_server.sent
    final = assemble(answer.events).final
    assert final
    expected = final.decode().convert("RGB")
    with Image.open(target) as seen:
        picture = seen.convert("RGB")
    places = (
        picture.crop((left, top, left + 96, top + 64))
        for left in range((picture.width - 96) // 2 - 2, (picture.width - 96) // 2 + 3)
        for top in range((512 - 64) // 2, (512 - 64) // 2 + 24)
    )
    assert expected.tobytes() in (place.tobytes() for place in places)
