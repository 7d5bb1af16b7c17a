"""A Tk widget that shows the pictures of a stream while they arrive.

Tk is used only in its own thread. Another thread can wake Tk only while the main loop runs, so Tk polls a queue.
Must not know: events, the choice of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ..assembly.updates import Outcome, StreamEnded, Update
from ..errors import UsageError
from .refresher import Refresher
from .stopwatch import Stopwatch
from .tile_grid import COLOURS, GAP, assign_tile, check_tiles, count_rows_and_columns
from .tiles import Painter, Tile, make_placeholder

try:
    import tkinter
    from tkinter import ttk
except ImportError as _cause:
    raise UsageError(
        f"Tk needs tkinter, which this Python lacks: apt-get install python3-tk, or brew install python-tk ({_cause})"
    ) from _cause

if TYPE_CHECKING:
    from PIL.Image import Image

_POLL_MS = 15  # shorter than a frame of most displays, at a thousandth of a core


class TkScreen(ttk.Frame):
    """A widget that is a listener: pack or grid it, and use it as `on_update` in a thread that reads the stream.

        screen = TkScreen(root)
        screen.pack()
        Thread(target=assemble, args=(stream,), kwargs={"on_update": screen}, daemon=True).start()
        root.mainloop()

    parent: the parent widget. Make both in the thread of the main loop.
    size: (width, height) of the largest picture in pixels, each from 1. A placeholder of that size is shown at once.
    min_interval_s: the least time between the beginnings of two previews, in seconds, from 0.
    columns: the number of tiles side by side, from 1.
    options: options of a ttk.Frame, for example `padding`.

    Each item has a tile, which needs 10 bytes of memory for each pixel of its picture. X11 has no windows with a side
    above 32,767 pixels, so the number of tiles is bounded: a hundred in two columns of 512x512. A further item takes
    the tile that changed longest ago.

    After all of a stream is shown, the event `<<StreamEnded>>` is generated, and `outcome` is set. A stream that raises
    has ended too, and the caption says why. With `keep_open=True` no end is reported. Destroying the widget does not
    affect the stream. An SVG drawing is shown as a placeholder with a sentence. The previews of a blocked image are
    hidden, and the seconds are counted until the stream ends, so make the widget when you send the request.
    Raises UsageError for invalid arguments, and on import if Python has no tkinter.
    """

    def __init__(
        self,
        parent: tkinter.Misc,
        *,
        size: tuple[int, int] = (512, 512),
        min_interval_s: float = 0.05,
        columns: int = 2,
        **options: Any,
    ) -> None:
        check_tiles(size, columns)
        self._painter, self._stopwatch = Painter(size), Stopwatch()
        self._refresher = Refresher(
            self._show, min_interval_s=min_interval_s, prepare=self._prepare, note=self._note, dispatch=self._dispatch
        )
        self._is_destroyed = True  # if Tk refuses an option, the parent keeps the half-made child
        super().__init__(parent, **options)
        self._is_destroyed = False
        self._size = size
        self._rows, self._columns = count_rows_and_columns(size, columns)
        self._outcome: Outcome | None = None
        self._waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._tiles: dict[str, _TkTile] = {}
        self._find_tile(Tile()).show(Tile(), _encode_image(make_placeholder(size)))
        self._stopwatch.start()
        self._next_poll = self.after(_POLL_MS, self._poll)

    def __call__(self, update: Update) -> None:
        """Show `update` soon; return at once. Any thread may call it. After the widget was destroyed, do nothing."""
        if not self._is_destroyed:
            self._refresher(update)

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the last stream; None until its end is shown."""
        return self._outcome

    def destroy(self) -> None:
        """Destroy the widget; the stream goes on."""
        if self._is_destroyed:
            return
        self._is_destroyed = True
        self.after_cancel(self._next_poll)
        self._refresher.abandon()
        self._tiles.clear()
        super().destroy()
        # The reading thread still refers to this listener. If that were the last reference to Tk, Tk would be freed in
        # that thread, and abort.
        vars(self).update(tk=_DestroyedTk(), master=None)

    def winfo_exists(self) -> bool:
        """Return whether the widget was not destroyed."""
        return not self._is_destroyed and bool(super().winfo_exists())

    def _poll(self) -> None:
        """Run the waiting call in Tk's thread, and schedule the next poll."""
        if not self.winfo_exists():  # Tcl destroyed it, as a text widget destroys its children
            self.destroy()
            return
        self._run_waiting()
        if self._stopwatch.is_running:
            for tile in self._tiles.values():
                tile.show_seconds(self._stopwatch.seconds)
        self._next_poll = self.after(_POLL_MS, self._poll)

    def _run_waiting(self) -> None:
        with suppress(Empty):
            self._waiting.get_nowait()()  # at most one waits

    def _dispatch(self, function: Callable[[], object]) -> None:
        self._waiting.put(function)

    def _note(self, update: Update) -> None:
        self._painter.note(update)
        self._stopwatch.note(update)

    def _prepare(self, update: Update) -> tuple[Tile, bytes] | None:
        shown = None if self._is_destroyed else self._painter(update)
        return (shown.tile, _encode_image(shown.image)) if shown else None

    def _show(self, update: Update, painted: tuple[Tile, bytes] | None) -> None:
        if painted:
            self._find_tile(painted[0]).show(*painted)
        if isinstance(update, StreamEnded):
            self._outcome = update.outcome
            self.event_generate("<<StreamEnded>>", when="tail")  # "tail": a handler may destroy the window

    def _find_tile(self, shown: Tile) -> _TkTile:
        def make(number: int) -> _TkTile:
            tile = _TkTile(self, self._size)
            row, column = divmod(number, self._columns)
            tile.grid(row=row, column=column, padx=GAP, pady=GAP, sticky="n")
            return tile

        return assign_tile(self._tiles, shown.place, self._rows * self._columns, make)


class _TkTile(ttk.Frame):
    """A picture in the middle of a fixed space, and its caption below, so that a new picture moves no other widget."""

    def __init__(self, parent: ttk.Frame, size: tuple[int, int]) -> None:
        super().__init__(parent)
        space = ttk.Frame(self, width=size[0], height=size[1])
        self._picture = ttk.Label(space)
        self._caption = ttk.Label(self, wraplength=size[0], justify="center")
        self._picture.place(relx=0.5, rely=0.5, anchor="center")
        space.pack()
        self._caption.pack(pady=(GAP, 0))

    def show(self, tile: Tile, data: bytes) -> None:
        photo = tkinter.PhotoImage(master=self, data=data)
        self._picture.configure(image=photo)
        self._photo = photo  # the label does not keep a reference to it
        self._tile = tile
        self._text = ""
        self._caption.configure(foreground=COLOURS[tile.kind])
        self.show_seconds(0)

    def show_seconds(self, seconds: float) -> None:
        """Show the caption with the seconds of waiting, if they have changed."""
        text = self._tile.caption_after(seconds)
        if text != self._text:
            self._text = text
            self._caption.configure(text=text)

    def destroy(self) -> None:
        super().destroy()
        vars(self).clear()  # without cycles the garbage collector cannot free Tk objects in another thread


class _DestroyedTk:
    """Replaces Tk in a widget that was destroyed."""

    def __getattr__(self, name: str) -> Any:
        raise tkinter.TclError("this screen has been destroyed")


def _encode_image(image: Image) -> bytes:
    """Return the picture as PPM or PNG, which Tk reads without PIL.ImageTk; some systems package that separately."""
    if image.mode == "RGB":
        return b"P6 %d %d 255\n" % image.size + image.tobytes()
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
