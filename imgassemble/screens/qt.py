"""A Qt widget that shows the pictures of a stream as they come.

Knows: PySide6, and that widgets and pixmaps belong to the thread of the application. Must not know: events, and which
picture is the truth.
"""

# mypy: allow-subclassing-any
# (where PySide6 is not installed, its classes have no types)

from __future__ import annotations

import os
import sys
from atexit import register, unregister
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING
from weakref import ref

from ..assembly.updates import StreamEnded, Update
from ..errors import UsageError
from .refresher import Refresher
from .tile_grid import COLOURS, GAP, check_tiles, rows_and_columns, tile_of
from .tiles import Painter, Shown, Tile, placeholder

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
except ImportError as cause:
    raise UsageError(f"Qt needs PySide6: pip install PySide6-Essentials ({cause})") from cause

if TYPE_CHECKING:
    from PIL.Image import Image

_NO_WIDTH = "\u200b"
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


class QtScreen(QWidget):
    """A widget that is a listener: show it, and hand it over as `on_update` in a thread that reads the stream.

        screen = QtScreen()
        screen.show()
        Thread(target=assemble, args=(stream,), kwargs={"on_update": screen}, daemon=True).start()
        app.exec()

    parent: the widget in which it lives; it is made in the thread of the application.
    size: (width, height) of a tile's picture, at most, in Qt's pixels (of a dense display, it uses all that there are);
        a placeholder of that size stands there at once.
    min_interval_s: two previews are shown at least so many seconds apart.
    columns: so many tiles stand side by side before the next row begins, 1 or more.

    Each item has a tile, and 4 bytes of memory for each pixel of its picture. X11 has no window with a side of more
    than 32,767 pixels, so a further item takes the tile that changed longest ago: in two columns of 512x512 there are a
    hundred.

    When all of a stream has been shown, the signal `stream_ended` tells its outcome. One that raises has ended too, and
    its last previews are called drafts; where the assembler was given, it stays open, and no end is told. Closing or
    deleting the widget disturbs no stream. Raises UsageError for arguments that cannot work and where there is no
    QApplication, and on import where there is no PySide6.
    """

    stream_ended = Signal(object)

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
        self._rows, self._columns = rows_and_columns(size, columns)
        self._tiles: dict[str, _Tile] = {}
        self._grid = QGridLayout(self)
        self._grid.setSpacing(2 * GAP)
        self._grid.setAlignment(Qt.AlignmentFlag.AlignCenter)
        ratio = self.devicePixelRatioF()
        dense = round(size[0] * ratio), round(size[1] * ratio)
        self._tile_of("").show_tile(Tile(), placeholder(dense))
        self._courier = courier = _Courier()
        self._painter = Painter(dense)
        self._refresher = Refresher(
            _shower(self, courier),
            min_interval_s=min_interval_s,
            prepare=self._painter,
            dispatch=courier.carry,
        )
        self.destroyed.connect(partial(_leave, courier, self._refresher))

    def __call__(self, update: Update) -> None:
        """Have `update` shown; from any thread, and at once. Where the widget was deleted, nothing is."""
        if not self._courier.has_left:
            self._painter.note(update)
            self._refresher(update)

    def _show_update(self, update: Update, shown: Shown | None) -> None:
        if shown:
            self._tile_of(shown.tile.item_id).show_tile(shown.tile, shown.image)
        if isinstance(update, StreamEnded):
            self.stream_ended.emit(update.outcome)

    def _tile_of(self, item_id: str) -> _Tile:
        def make(number: int) -> _Tile:
            tile = _Tile(self._size)
            self._grid.addWidget(tile, *divmod(number, self._columns), Qt.AlignmentFlag.AlignTop)
            return tile

        return tile_of(self._tiles, item_id, self._rows * self._columns, make)


class _Tile(QWidget):
    """A picture in the middle of its room, and its caption below: what is around it never moves."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self._size = size
        self._picture, self._caption = QLabel(), QLabel()
        self._picture.setFixedSize(*size)
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._caption.setFixedWidth(size[0])
        self._caption.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._caption.setWordWrap(True)
        self._caption.setTextFormat(Qt.TextFormat.PlainText)  # a service's words are no HTML
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self._picture)
        column.addWidget(self._caption)

    def show_tile(self, tile: Tile, image: Image) -> None:
        self._picture.setPixmap(_pixmap(image, self._size))
        self._caption.setText(self._breakable(tile.caption))
        self._caption.setStyleSheet(COLOURS[tile.kind] and f"color: {COLOURS[tile.kind]}")
        # A window does not grow by itself for words that wrap: they would lie on the picture.
        self._caption.setMinimumHeight(self._caption.heightForWidth(self._caption.width()))

    def _breakable(self, caption: str) -> str:
        """Qt wraps between words alone: one that is too long for a line may be broken at a space of no width."""
        metrics, width = self._caption.fontMetrics(), self._size[0]
        return " ".join(
            word if metrics.horizontalAdvance(word) <= width else _NO_WIDTH.join(word) for word in caption.split(" ")
        )


class _Courier(QObject):
    """Has a function called in the thread of the application. It outlives its widget, which a signal must not."""

    _called = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.has_left = False  # the widget is gone: nothing is shown
        self._may_call = Lock()
        self._waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._called.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        register(self.leave)

    def carry(self, function: Callable[[], object]) -> None:
        self._waiting.put(function)
        with self._may_call, suppress(RuntimeError):  # the application is gone, and took all that was its own
            if not self.has_left:
                self._called.emit()
                return
        self._deliver()  # where it does nothing

    def leave(self) -> None:
        """Call nothing from now on. The interpreter ends its threads, and one that it ends inside of Qt aborts."""
        with self._may_call:
            self.has_left = True
        self._deliver()
        unregister(self.leave)

    def _deliver(self) -> None:
        with suppress(Empty):
            self._waiting.get_nowait()()  # there is never more than one


def _leave(courier: _Courier, refresher: Refresher, *_: object) -> None:
    """The widget is being destroyed; the stream goes on."""
    courier.leave()
    with suppress(RuntimeError):  # the interpreter ends, and starts no thread any more
        # Not here: what is being decoded just now would hold up the window.
        Thread(target=refresher.close, name="imgassemble-close", daemon=True).start()


def _shower(screen: QtScreen, courier: _Courier) -> Callable[[Update, Shown | None], None]:
    """Shows it on the screen, which it does not keep: no cycle is left for the collector, which runs in any thread."""
    found = ref(screen)

    def show(update: Update, shown: Shown | None) -> None:
        if (screen := found()) is not None and not courier.has_left:
            screen._show_update(update, shown)

    return show


def _pixmap(image: Image, size: tuple[int, int]) -> QPixmap:
    """The picture for Qt. One with more pixels than `size` has them shown closer together."""
    form = QImage.Format.Format_RGB888 if image.mode == "RGB" else QImage.Format.Format_RGBA8888
    bytes_per_line = image.width * len(image.mode)
    pixels = image.tobytes()  # they live as long as the QImage
    made = QPixmap.fromImage(QImage(pixels, image.width, image.height, bytes_per_line, form))
    made.setDevicePixelRatio(max(1.0, image.width / size[0], image.height / size[1]))
    return made


def _check_application() -> None:
    """Without an application, Qt would abort the process."""
    if isinstance(QApplication.instance(), QApplication):
        return
    if sys.platform == "linux" and not any(os.environ.get(name) for name in _DISPLAYS):
        advice = "set DISPLAY or WAYLAND_DISPLAY, or QT_QPA_PLATFORM=offscreen to draw where nobody looks"
        raise UsageError(f"there is no display: {advice}")
    raise UsageError("a QtScreen needs its application first: app = QApplication([])")
