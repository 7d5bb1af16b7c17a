"""A screen in a notebook: one output of a cell, which is updated in place.

Knows: the HTML of the output, and how a kernel is handed it from any thread. Must not know: events, cells, front ends.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from dataclasses import replace
from html import escape
from importlib import import_module
from io import BytesIO
from threading import Event, Lock, Thread
from typing import Any

from PIL import Image

from ..assembly.updates import StreamEnded, Update
from ..errors import FrameDecodeError, UsageError, clean
from .event_loop import running_loop
from .refresher import Refresher
from .tiles import Kind, Tile, Tiles, check_size, fitted, paint, placeholder

_PATIENCE_S = 10.0  # as long as a Refresher waits for what is under way when it is closed
_LONGEST_PLACEHOLDER = 64  # pixels of its longer side: the browser stretches it
_QUALITY = 85  # of a JPEG preview: a sixth of the PNG, and a photograph looks the same
_ADVICE = "a JupyterScreen shows in a notebook, and this is none: run it in a cell, or use TerminalScreen()"
_COLOURS = {Kind.DRAFT: "color:#b35900", Kind.FAILED: "color:#c62828"}  # readable on white and on black
# The box keeps its size whatever is in it: `aspect-ratio`, and not what the picture has.
_FIGURE = """\
<figure style="margin:0;width:{width}px;max-width:100%">\
<img src="{source}" alt="{caption}" title="{item_id}" width="{width}" height="{height}" decoding="sync" \
style="display:block;width:100%;height:auto;aspect-ratio:{width}/{height};object-fit:contain">\
<figcaption style="overflow-wrap:anywhere;{colour}">{caption}</figcaption></figure>"""
_PAGE = '<div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'


class JupyterScreen:
    """A listener that shows all pictures of a stream in one output of a notebook's cell, updated in place.

        with JupyterScreen() as screen:              # or: async with JupyterScreen() as screen:
            assemble(stream, on_update=screen)       #         await aassemble(stream, on_update=screen)

    width: how wide a picture is shown, in pixels. Of a larger one the output then holds a smaller copy, re-encoded as
        JPEG (as PNG where it is transparent), so that the notebook's file stays small. Without it, and of a picture
        that is small already, the output holds the bytes as received.
    size: (width, height) in pixels that are expected: so much room, or `width` with this aspect, is kept from the
        beginning, so that nothing jumps. A picture of another aspect is fitted into it.
    min_interval_s: two previews begin at least so many seconds apart.

    The display is made when the `with` block is entered, or else when the first update comes; another cell wants
    another screen. It is updated from a thread of its own and holds up no stream. What stays is the truth: the finals,
    and what became of the rest; leaving the block names as drafts what was interrupted, by an exception or by the stop
    button. The cell ends when all is shown, so that whoever executes the notebook has it. `async with` waits for that
    when the block is left, and holds up nothing else that runs in the kernel; without it, only the end of the cell
    waits, or in a thread of your own the call that tells the end of the stream.
    Raises UsageError outside a notebook, and for arguments that cannot work.
    """

    def __init__(
        self, *, width: int | None = None, size: tuple[int, int] = (1024, 1024), min_interval_s: float = 0.1
    ) -> None:
        check_size(size)
        if width is not None and not _is_length(width):
            raise UsageError(f"width is a number of pixels, at least 1, or None for the full size, not {width!r}")
        self._shell = _shell_of_kernel()
        self._gallery = _Gallery(size, width)
        self._refresher = Refresher(self._show, min_interval_s=min_interval_s)
        self._opening = Lock()
        self._handle: Any = None
        self._cell: Context | None = None  # an update finds its cell by the context in which the display was made
        self._ends: deque[Event] = deque()  # of each stream whose end is not shown yet
        self._is_closed = False

    def __call__(self, update: Update) -> None:
        """Have `update` shown; returns at once."""
        if self._is_closed:
            return
        self._open()
        self._gallery.note(update)
        if not isinstance(update, StreamEnded):
            self._refresher(update)
            return
        ended = Event()
        self._ends.append(ended)
        self._refresher(update)
        self._hold(ended.wait)

    def __enter__(self) -> JupyterScreen:
        self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        closing = Thread(target=self._close, args=(kind,), name="imgassemble-close", daemon=True)
        self._is_closed = True
        closing.start()
        self._hold(closing.join)

    async def __aenter__(self) -> JupyterScreen:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        from asyncio import to_thread

        self._is_closed = True
        await to_thread(self._close, kind)

    def _close(self, kind: type[BaseException] | None) -> None:
        if self._refresher.close() and self._gallery.interrupt(kind):
            self._publish()

    def _hold(self, wait: Callable[[float], object]) -> None:
        """`wait` for what is to be shown, here; or on an event loop, which cells run on too, when the cell ends."""

        def hold() -> None:
            self._shell.events.unregister("post_execute", hold)
            wait(_PATIENCE_S)

        if running_loop():
            self._shell.events.register("post_execute", hold)
        else:
            wait(_PATIENCE_S)

    def _open(self) -> None:
        with self._opening:
            if self._handle is None:
                self._cell = copy_context()
                display = import_module("IPython.display").display
                self._handle = display(self._gallery.bundle(), raw=True, display_id=True)

    def _show(self, update: Update) -> None:
        try:
            if self._gallery.take(update):
                self._publish()
        finally:
            if isinstance(update, StreamEnded):
                self._ends.popleft().set()

    def _publish(self) -> None:
        if self._cell:
            self._cell.copy().run(self._handle.update, self._gallery.bundle(), raw=True)


class _Gallery:
    """What is shown of each item, as HTML."""

    def __init__(self, size: tuple[int, int], width: int | None) -> None:
        self._width = width
        self._box = size if width is None else (width, max(1, round(width * size[1] / size[0])))
        empty = placeholder(fitted(size, (_LONGEST_PLACEHOLDER, _LONGEST_PLACEHOLDER)))
        self._placeholder = _data_url(empty, "PNG")
        self._tiles = Tiles()
        self._shown: dict[str, tuple[Tile, str]] = {"": (Tile(), self._placeholder)}  # with the source of each picture

    def note(self, update: Any) -> None:
        """Hear of every update when it comes: of one that is skipped the picture may be needed."""
        self._tiles.note(update)

    def take(self, update: Any) -> bool:
        """Did `update` change what is shown?"""
        tile = self._tiles.take(update)
        if tile is None:
            return False
        before, source = self._shown.get(tile.item_id, (Tile(), self._placeholder))
        try:
            if tile.frame is not before.frame and tile.frame is not None:
                source = self._source(tile)
        except FrameDecodeError:  # what was there before stays
            tile = replace(tile, frame=before.frame, caption=f"{tile.caption}; it cannot be decoded")
        if tile.item_id:
            self._shown.pop("", None)
        self._shown[tile.item_id] = tile, source
        return True

    def interrupt(self, kind: type[BaseException] | None) -> bool:
        """Name what nothing more will come for; was there anything?"""
        caption = f"interrupted by {kind.__name__}" if kind else "interrupted: the end of the stream never came"
        open_ends = [tile for tile, _ in self._shown.values() if tile.kind in (Kind.WAITING, Kind.PREVIEW)]
        for tile in open_ends:
            became = Kind.DRAFT if tile.frame else Kind.FAILED
            self._shown[tile.item_id] = (
                replace(tile, kind=became, caption=f"{became}: {caption}"),
                self._shown[tile.item_id][1],
            )
        return bool(open_ends)

    def bundle(self) -> Mapping[str, str]:
        """What a notebook is handed, by media type."""
        figures = "".join(self._figure(tile, source) for tile, source in self._shown.values())
        words = "\n".join(tile.caption for tile, _ in self._shown.values())
        return {"text/html": _PAGE.format(figures=figures), "text/plain": words}

    def _figure(self, tile: Tile, source: str) -> str:
        return _FIGURE.format(
            source=source,
            caption=escape(tile.caption),
            item_id=escape(clean(tile.item_id)),
            colour=_COLOURS.get(tile.kind, ""),
            width=self._box[0],
            height=self._box[1],
        )

    def _source(self, tile: Tile) -> str:
        """The picture as a URL. Raises FrameDecodeError where no browser could show it."""
        frame = tile.frame
        assert frame
        if frame.format == "SVG":
            return frame.data_url
        image = paint(tile, self._box if self._width else (1, 1))  # where nothing is to be seen, whether it can be
        return frame.data_url if self._width is None or image.size == frame.size else _small(image)


def _small(image: Image.Image) -> str:
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")  # services send an alpha channel that says nothing
    return _data_url(image, "PNG" if image.mode == "RGBA" else "JPEG")


def _data_url(image: Image.Image, form: str) -> str:
    profile = image.info.get("icc_profile") or b""
    profile = profile if profile[16:20] == b"RGB " else None  # or it told the colours of a mode that was converted
    file = BytesIO()
    image.save(file, form, quality=_QUALITY, icc_profile=profile)
    return f"data:image/{form.lower()};base64,{b64encode(file.getvalue()).decode('ascii')}"


def _shell_of_kernel() -> Any:
    """The shell of the kernel. Raises UsageError where there is none: in a script, or in IPython in a terminal."""
    ipython = sys.modules.get("IPython")  # whatever runs a cell has imported it
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:
        raise UsageError(_ADVICE)
    return shell


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31
