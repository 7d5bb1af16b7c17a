"""A Qt widget that shows the pictures of a stream while they arrive.

Widgets and pixmaps are used only in the thread of the application. Must not know: events, the choice of the picture.
"""

# mypy: allow-subclassing-any
# (without PySide6 its classes have no types)

from __future__ import annotations

import os
import sys
from atexit import register, unregister
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, ClassVar
from weakref import ref

from ..assembly.listeners import call_each
from ..assembly.updates import StreamEnded, Update
from ..errors import UsageError
from .refresher import Refresher
from .stopwatch import Stopwatch
from .tile_grid import COLOURS, GAP, assign_tile, check_tiles, count_rows_and_columns
from .tiles import Painter, Shown, Tile, make_placeholder

try:
    from PySide6.QtCore import QObject, Qt, Signal  # type: ignore[import-not-found, unused-ignore]
    from PySide6.QtGui import QImage, QPixmap  # type: ignore[import-not-found, unused-ignore]
    from PySide6.QtWidgets import (  # type: ignore[import-not-found, unused-ignore]
        QApplication,
        QGridLayout,
        QLabel,
        QVBoxLayout,
        QWidget,
    )
except ImportError as _cause:
    raise UsageError(f"Qt needs PySide6: pip install PySide6-Essentials ({_cause})") from _cause

if TYPE_CHECKING:
    from PIL.Image import Image

_NO_WIDTH = "\u200b"
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


class QtScreen(QWidget):
    """A widget that is a listener: show it, and use it as `on_update` in a thread that reads the stream.

        screen = QtScreen()
        screen.show()
        Thread(target=assemble, args=(stream,), kwargs={"on_update": screen}, daemon=True).start()
        app.exec()

    parent: the parent widget. Make the screen in the thread of the application.
    size: (width, height) of the largest picture in Qt's pixels, each from 1; a dense display shows all of its pixels.
        A placeholder of that size is shown at once.
    min_interval_s: the least time between the beginnings of two previews, in seconds, from 0.
    columns: the number of tiles side by side, from 1.

    Each item has a tile, which needs 4 bytes of memory for each pixel of its picture. X11 has no windows with a side
    above 32,767 pixels, so the number of tiles is bounded: a hundred in two columns of 512x512. A further item takes
    the tile that changed longest ago.

    After all of a stream is shown, the signal `stream_ended` is emitted with its outcome. A stream that raises has
    ended too, and the caption says why. With `keep_open=True` no end is reported. Closing or deleting the widget does
    not affect the stream. An SVG drawing is shown as a placeholder with a sentence. The previews of a blocked image are
    hidden, and the seconds are counted until the stream ends, so make the widget when you send the request.
    Raises UsageError for invalid arguments, without a QApplication, and on import without PySide6.
    """

    stream_ended: ClassVar[Signal] = Signal(object)

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        size: tuple[int, int] = (512, 512),
        min_interval_s: float = 0.05,
        columns: int = 2,
    ) -> None:
        check_tiles(size, columns)
        _check_application()
        super().__init__(parent)
        self._size = size
        self._rows, self._columns = count_rows_and_columns(size, columns)
        self._tiles: dict[str, _QtTile] = {}
        self._grid = QGridLayout(self)
        self._grid.setSpacing(2 * GAP)
        self._grid.setAlignment(Qt.AlignmentFlag.AlignCenter)
        ratio = self.devicePixelRatioF()
        dense = round(size[0] * ratio), round(size[1] * ratio)
        self._find_tile(Tile()).show_tile(Tile(), make_placeholder(dense))
        self._calls = calls = _CallQueue()
        self._stopwatch, painter = Stopwatch(), Painter(dense)
        self._refresher = Refresher(
            _show_weakly(self, calls),
            min_interval_s=min_interval_s,
            prepare=painter,
            note=call_each(painter.note, self._stopwatch.note),
            dispatch=calls.put,
        )
        self._stopwatch.start()
        self.startTimer(1_000)
        self.destroyed.connect(partial(_disconnect, calls, self._refresher))

    def __call__(self, update: Update) -> None:
        """Show `update` soon; return at once. Any thread may call it. After the widget was deleted, do nothing."""
        if not self._calls.is_closed:
            self._refresher(update)

    def timerEvent(self, _: object) -> None:  # noqa: N802 - as Qt calls it
        """Show the seconds of waiting."""
        if self._stopwatch.is_running:
            for tile in self._tiles.values():
                tile.show_seconds(self._stopwatch.seconds)

    def _show_update(self, update: Update, shown: Shown | None) -> None:
        if shown:
            self._find_tile(shown.tile).show_tile(shown.tile, shown.image)
        if isinstance(update, StreamEnded):
            self.stream_ended.emit(update.outcome)

    def _find_tile(self, shown: Tile) -> _QtTile:
        def make(number: int) -> _QtTile:
            tile = _QtTile(self._size)
            self._grid.addWidget(tile, *divmod(number, self._columns), Qt.AlignmentFlag.AlignTop)
            return tile

        return assign_tile(self._tiles, shown.place, self._rows * self._columns, make)


class _QtTile(QWidget):
    """A picture in the middle of a fixed space, and its caption below, so that a new picture moves no other widget."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self._size = size
        self._picture, self._caption = QLabel(), QLabel()
        self._picture.setFixedSize(*size)
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._caption.setFixedWidth(size[0])
        self._caption.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._caption.setWordWrap(True)
        self._caption.setTextFormat(Qt.TextFormat.PlainText)  # the text of a service must not be read as HTML
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self._picture)
        column.addWidget(self._caption)

    def show_tile(self, tile: Tile, image: Image) -> None:
        self._picture.setPixmap(_pixmap(image, self._size))
        self._tile = tile
        self._caption.setStyleSheet(COLOURS[tile.kind] and f"color: {COLOURS[tile.kind]}")
        self.show_seconds(0)

    def show_seconds(self, seconds: float) -> None:
        """Show the caption with the seconds of waiting."""
        self._caption.setText(self._breakable(self._tile.caption_after(seconds)))
        # A window does not grow by itself for a caption of several lines, which would then cover the picture.
        self._caption.setMinimumHeight(self._caption.heightForWidth(self._caption.width()))

    def _breakable(self, caption: str) -> str:
        """Return the caption with spaces of no width in long words: Qt breaks lines only at spaces."""
        metrics, width = self._caption.fontMetrics(), self._size[0]
        return " ".join(
            word if metrics.horizontalAdvance(word) <= width else _NO_WIDTH.join(word) for word in caption.split(" ")
        )


class _CallQueue(QObject):
    """Calls functions in the thread of the application.

    It lives longer than the widget. A signal of the widget could not.
    """

    _called = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False  # the widget is gone, and nothing more is shown
        self._may_call = Lock()
        self._waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._called.connect(self._run_waiting, Qt.ConnectionType.QueuedConnection)
        register(self.close)

    def put(self, function: Callable[[], object]) -> None:
        self._waiting.put(function)
        with self._may_call, suppress(RuntimeError):  # the application is gone, with all of its objects
            if not self.is_closed:
                self._called.emit()
                return
        self._run_waiting()  # here, after closing, the call does nothing

    def close(self) -> None:
        """Emit nothing from now on.

        When Python exits, it stops threads. A thread stopped inside Qt crashes the process.
        """
        with self._may_call:
            self.is_closed = True
        self._run_waiting()
        unregister(self.close)

    def _run_waiting(self) -> None:
        with suppress(Empty):
            self._waiting.get_nowait()()  # at most one waits


def _disconnect(calls: _CallQueue, refresher: Refresher, *_: object) -> None:
    """Close the queue and the Refresher of a widget that is destroyed; the stream goes on."""
    calls.close()
    refresher.abandon()


def _show_weakly(screen: QtScreen, calls: _CallQueue) -> Callable[[Update, Shown | None], None]:
    """Return a function that shows on `screen`, with a weak reference to it.

    A cycle would be freed by the garbage collector in any thread, and Qt allows only its own.
    """
    weak = ref(screen)

    def show(update: Update, shown: Shown | None) -> None:
        if (screen := weak()) is not None and not calls.is_closed:
            screen._show_update(update, shown)

    return show


def _pixmap(image: Image, size: tuple[int, int]) -> QPixmap:
    """Return the picture for Qt. The extra pixels of a picture larger than `size` are for a dense display."""
    form = QImage.Format.Format_RGB888 if image.mode == "RGB" else QImage.Format.Format_RGBA8888
    bytes_per_line = image.width * len(image.mode)
    pixels = image.tobytes()  # the QImage refers to them
    pixmap = QPixmap.fromImage(QImage(pixels, image.width, image.height, bytes_per_line, form))
    pixmap.setDevicePixelRatio(max(1.0, image.width / size[0], image.height / size[1]))
    return pixmap


def _check_application() -> None:
    """Raise UsageError without a QApplication: Qt would abort the process."""
    if isinstance(QApplication.instance(), QApplication):
        return
    if sys.platform == "linux" and not any(os.environ.get(name) for name in _DISPLAYS):
        advice = "set DISPLAY or WAYLAND_DISPLAY, or QT_QPA_PLATFORM=offscreen to draw without a display"
        raise UsageError(f"there is no display: {advice}")
    raise UsageError("a QtScreen needs its application first: app = QApplication([])")
