"""A Tk widget that shows the pictures of a stream as they come.

Knows: tkinter, and that nothing but its own thread may touch it. Must not know: events, and which picture is the truth.
Another thread can wake Tk only while its main loop runs, so Tk looks by itself whether something waits to be shown.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from ..assembly.updates import Outcome, StreamEnded, Update
from ..errors import UsageError
from .refresher import Refresher
from .tile_grid import COLOURS, GAP, check_tiles, rows_and_columns, tile_of
from .tiles import Painter, Tile, placeholder

try:
    import tkinter
    from tkinter import ttk
except ImportError as cause:
    raise UsageError(
        f"Tk needs tkinter, which this Python lacks: apt-get install python3-tk, or brew install python-tk ({cause})"
    ) from cause

if TYPE_CHECKING:
    from PIL.Image import Image

_LOOK_MS = 15  # so often Tk looks: less than a frame of most displays, and a thousandth of a core


class TkScreen(ttk.Frame):
    """A widget that is a listener: pack or grid it, and hand it over as `on_update` in a thread that reads the stream.

        screen = TkScreen(root)
        screen.pack()
        Thread(target=assemble, args=(stream,), kwargs={"on_update": screen}, daemon=True).start()
        root.mainloop()

    parent: the widget in which it lives; make both in the thread of the main loop.
    size: (width, height) in pixels of a tile's picture, at most; a placeholder of that size stands there at once.
    min_interval_s: two previews are shown at least so many seconds apart.
    columns: so many tiles stand side by side before the next row begins, 1 or more.
    options: those of a ttk.Frame, such as `padding`.

    Each item has a tile, and 10 bytes of memory for each pixel of its picture. X11 has no window with a side of more
    than 32,767 pixels, so a further item takes the tile that changed longest ago: in two columns of 512x512 there are a
    hundred.

    When all of a stream has been shown, the event `<<StreamEnded>>` comes, and `outcome` says how it ended. One that
    raises has ended too, and its last previews are called drafts; where the assembler was given, it stays open, and no
    end is told. Destroying the widget disturbs no stream. Raises UsageError for arguments that cannot work, and on
    import where Python has no tkinter.
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
        self._refresher = Refresher(
            self._show, min_interval_s=min_interval_s, prepare=self._prepare, dispatch=self._dispatch
        )
        self._is_gone = True  # where Tk refuses an option, its parent has it among its children all the same
        super().__init__(parent, **options)
        self._is_gone = False
        self._size = size
        self._rows, self._columns = rows_and_columns(size, columns)
        self._painter = Painter(size)
        self._outcome: Outcome | None = None
        self._waiting: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._tiles: dict[str, _Tile] = {}
        self._tile_of("").show(Tile(), _data(placeholder(size)))
        self._next_look = self.after(_LOOK_MS, self._look)

    def __call__(self, update: Update) -> None:
        """Have `update` shown; from any thread, and at once. Where the widget was destroyed, nothing is."""
        if not self._is_gone:
            self._painter.note(update)
            self._refresher(update)

    @property
    def outcome(self) -> Outcome | None:
        """How the stream ended, the last of them; None until that has been shown."""
        return self._outcome

    def destroy(self) -> None:
        """Destroy the widget, as every other; the stream goes on."""
        if self._is_gone:
            return
        self._is_gone = True
        self.after_cancel(self._next_look)
        self._run_waiting()
        # Not here: what is being decoded just now would hold up the window.
        Thread(target=self._refresher.close, name="imgassemble-close", daemon=True).start()
        self._tiles.clear()
        super().destroy()
        # The reading thread keeps its listener. Were that the last to keep Tk, Tk would be freed there, and abort.
        vars(self).update(tk=_Destroyed(), master=None)

    def winfo_exists(self) -> bool:
        """Has it not been destroyed?"""
        return not self._is_gone and bool(super().winfo_exists())

    def _look(self) -> None:
        """Show what waits, in Tk's thread; then look again."""
        if not self.winfo_exists():  # Tcl destroyed it, as a text does with what lies in it
            self.destroy()
            return
        self._run_waiting()
        self._next_look = self.after(_LOOK_MS, self._look)

    def _run_waiting(self) -> None:
        with suppress(Empty):
            self._waiting.get_nowait()()  # there is never more than one

    def _dispatch(self, function: Callable[[], object]) -> None:
        self._waiting.put(function)
        if self._is_gone:  # nobody looks any more, and it does nothing
            self._run_waiting()

    def _prepare(self, update: Update) -> tuple[Tile, bytes] | None:
        shown = None if self._is_gone else self._painter(update)
        return (shown.tile, _data(shown.image)) if shown else None

    def _show(self, update: Update, painted: tuple[Tile, bytes] | None) -> None:
        if self._is_gone:
            return
        if painted:
            self._tile_of(painted[0].item_id).show(*painted)
        if isinstance(update, StreamEnded):
            self._outcome = update.outcome
            self.event_generate("<<StreamEnded>>", when="tail")  # a handler may well destroy the window

    def _tile_of(self, item_id: str) -> _Tile:
        def make(number: int) -> _Tile:
            tile = _Tile(self, self._size)
            row, column = divmod(number, self._columns)
            tile.grid(row=row, column=column, padx=GAP, pady=GAP, sticky="n")
            return tile

        return tile_of(self._tiles, item_id, self._rows * self._columns, make)


class _Tile(ttk.Frame):
    """A picture in the middle of its room, and its caption below: what is around it never moves."""

    def __init__(self, parent: ttk.Frame, size: tuple[int, int]) -> None:
        super().__init__(parent)
        room = ttk.Frame(self, width=size[0], height=size[1])
        self._picture = ttk.Label(room)
        self._caption = ttk.Label(self, wraplength=size[0], justify="center")
        self._picture.place(relx=0.5, rely=0.5, anchor="center")
        room.pack()
        self._caption.pack(pady=(GAP, 0))

    def show(self, tile: Tile, data: bytes) -> None:
        photo = tkinter.PhotoImage(master=self, data=data)
        self._picture.configure(image=photo)
        self._photo = photo  # a label shows it, and does not keep it
        self._caption.configure(text=tile.caption, foreground=COLOURS[tile.kind])

    def destroy(self) -> None:
        super().destroy()
        vars(self).clear()  # no cycle is left for the collector, which would free Tk and its pictures in any thread


class _Destroyed:
    """Stands for Tk in a widget that was destroyed."""

    def __getattr__(self, name: str) -> Any:
        raise tkinter.TclError("this screen has been destroyed")


def _data(image: Image) -> bytes:
    """The picture as Tk reads it without Pillow's Tk part, which some distributions package by itself."""
    if image.mode == "RGB":
        return b"P6 %d %d 255\n" % image.size + image.tobytes()
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
