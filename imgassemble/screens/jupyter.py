"""A screen in a notebook: one output of a cell, which is updated in place.

It makes the HTML of the output, and gives it to the kernel from any thread. Must not know: events, cells, front ends.
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
from .stopwatch import Stopwatch
from .tiles import (
    UNDECODABLE_NOTE,
    WAITING_STREAM,
    Kind,
    Tile,
    Tiles,
    append_note,
    check_size,
    fit_into,
    is_drawing,
    make_placeholder,
    paint_tile,
)

_TIMEOUT_S = 10.0  # the time that `Refresher.close` waits for a call
_LONGEST_PLACEHOLDER = 64  # pixels of its longer side; the browser enlarges it
_QUALITY = 85  # of a JPEG: a sixth of the bytes of a PNG, and a photograph looks the same
_ADVICE = "a JupyterScreen works in a notebook, and this is not one: run it in a cell, or use TerminalScreen()"
_RED = "color:#c62828"
_COLOURS = {Kind.DRAFT: "color:#b35900", Kind.FAILED: _RED, Kind.BLOCKED: _RED}  # readable on white and on black
# `aspect-ratio` keeps the size of the box when a picture has another aspect.
_FIGURE = """\
<figure style="margin:0;width:{width}px;max-width:100%">{picture}\
<figcaption style="overflow-wrap:anywhere;{colour}">{caption}{seconds}</figcaption></figure>"""
_PICTURE = """\
<img src="{source}" alt="{caption}" title="{item_id}" width="{width}" height="{height}" decoding="sync" \
style="display:block;width:100%;height:auto;aspect-ratio:{width}/{height};object-fit:contain{filter}">"""
_PAGE = '<div style="display:flex;flex-wrap:wrap;gap:8px">{figures}</div>'
# The browser counts the seconds: if the kernel did, it would send the pictures again each second. A day at most.
_COUNTING = """\
<style>@property --imgassemble-s{syntax:"<integer>";inherits:false;initial-value:0}\
@keyframes imgassemble-s{to{--imgassemble-s:86400}}\
.imgassemble-s{animation:imgassemble-s 86400s steps(86400);counter-reset:imgassemble-s var(--imgassemble-s)}\
.imgassemble-s::after{content:counter(imgassemble-s) " s"}</style>"""
_SECONDS = '&ensp;<span class="imgassemble-s" style="animation-delay:-{:.1f}s"></span>'


class JupyterScreen:
    """A listener that shows all pictures of a stream in one output of a notebook's cell, and updates it in place.

        with JupyterScreen() as screen:              # or: async with JupyterScreen() as screen:
            assemble(stream, on_update=screen)       #         await aassemble(stream, on_update=screen)

    width: the width of each picture in pixels, from 1. The output then holds a smaller copy of a larger picture,
        encoded as JPEG (as PNG if it is transparent), so that the notebook's file stays small. A smaller picture, and
        with `width=None` every picture, is in the output as received.
    size: the expected (width, height) in pixels, each from 1. The output keeps room for it (with `width`: for its
        aspect) from the beginning, so that the page does not jump. A picture of another aspect is fitted into it.
    min_interval_s: the least time between the beginnings of two previews, in seconds, from 0.

    The output is made when the `with` block is entered, or when the first update arrives. Another cell needs another
    screen. A thread of the screen updates it and never delays the stream. At the end it shows the finals, the failures
    and the drafts. Leaving the block after an exception or the stop button marks interrupted items as drafts.
    The cell ends after everything is shown, so that an executed notebook contains it. `async with` waits for that at
    the end of the block without blocking the kernel. Without a block, the end of the cell waits; in your own thread,
    the call with the end of the stream waits.
    An SVG drawing is shown inside <img>, which runs no scripts.
    Raises UsageError outside a notebook, and for invalid arguments.
    """

    def __init__(
        self, *, width: int | None = None, size: tuple[int, int] = (1024, 1024), min_interval_s: float = 0.1
    ) -> None:
        check_size(size)
        if width is not None and not _is_length(width):
            raise UsageError(f"width is a number of pixels, at least 1, or None for the full size, not {width!r}")
        self._shell = _shell_of_kernel()
        self._tiles = _NotebookTiles(size, width)
        self._refresher = Refresher(self._show, note=self._tiles.note, min_interval_s=min_interval_s)
        self._opening = Lock()
        self._handle: Any = None
        self._cell: Context | None = None  # the context in which the output was made; an update finds its cell by it
        self._ends: deque[Event] = deque()  # one for each stream whose end is not shown yet
        self._is_closed = False

    def __call__(self, update: Update) -> None:
        """Show `update` soon; return at once."""
        if self._is_closed:
            return
        self._open()
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
        self._refresher.close()
        if self._tiles.interrupt(kind):
            self._publish()

    def _hold(self, wait: Callable[[float], object]) -> None:
        """Call `wait` now. On an event loop, call it at the end of the cell, so that other cells can run."""

        def hold() -> None:
            self._shell.events.unregister("post_execute", hold)
            wait(_TIMEOUT_S)

        if running_loop():
            self._shell.events.register("post_execute", hold)
        else:
            wait(_TIMEOUT_S)

    def _open(self) -> None:
        with self._opening:
            if self._handle is None:
                self._cell = copy_context()
                display = import_module("IPython.display").display
                self._handle = display(self._tiles.bundle(), raw=True, display_id=True)

    def _show(self, update: Update) -> None:
        try:
            if self._tiles.take(update):
                self._publish()
        finally:
            if isinstance(update, StreamEnded):
                self._ends.popleft().set()

    def _publish(self) -> None:
        if self._cell:
            self._cell.copy().run(self._handle.update, self._tiles.bundle(), raw=True)


class _NotebookTiles:
    """The tiles of a stream as HTML."""

    def __init__(self, size: tuple[int, int], width: int | None) -> None:
        self._width = width
        self._box = size if width is None else (width, max(1, round(width * size[1] / size[0])))
        empty = make_placeholder(fit_into(size, (_LONGEST_PLACEHOLDER, _LONGEST_PLACEHOLDER)))
        self._placeholder = _data_url(empty, "PNG")
        self._tiles = Tiles()
        self._stopwatch = Stopwatch()
        self._stopwatch.start()
        self._shown = {WAITING_STREAM: (Tile(), self._placeholder)}  # by place, each with the URL of its picture

    def note(self, update: Any) -> None:
        """Remember the picture of `update`, which may be skipped and needed later."""
        self._tiles.note(update)
        self._stopwatch.note(update)

    def take(self, update: Any) -> bool:
        """Apply `update`. Return whether a tile has changed."""
        tile = self._tiles.take(update)
        if tile is None:
            return False
        before, source = self._shown.get(tile.place, (Tile(), self._placeholder))
        try:
            if tile.frame is not before.frame:
                source = self._source(tile) if tile.frame else self._placeholder
        except FrameDecodeError:  # the earlier picture stays
            tile = append_note(replace(tile, frame=before.frame), UNDECODABLE_NOTE)
        self._shown.pop(WAITING_STREAM, None)
        self._shown[tile.place] = tile, source
        return True

    def interrupt(self, kind: type[BaseException] | None) -> bool:
        """Mark the unfinished items as interrupted. Return whether there were any."""
        caption = f"interrupted by {kind.__name__}" if kind else "interrupted: the end of the stream never came"
        open_ends = {place: shown for place, shown in self._shown.items() if shown[0].kind.is_open}
        for place, (tile, source) in open_ends.items():
            end = Kind.DRAFT if tile.frame else Kind.FAILED
            self._shown[place] = replace(tile, kind=end, caption=f"{end}: {caption}"), source
        return bool(open_ends)

    def bundle(self) -> Mapping[str, str]:
        """Return the contents of the output by media type."""
        figures = "".join(self._figure(tile, source) for tile, source in self._shown.values())
        captions = "\n".join(tile.caption for tile, _ in self._shown.values())
        is_open = any(tile.kind.is_open for tile, _ in self._shown.values())
        return {"text/html": (_COUNTING if is_open else "") + _PAGE.format(figures=figures), "text/plain": captions}

    def _figure(self, tile: Tile, source: str) -> str:
        """Return a tile as HTML. A failure without a picture is its caption alone, which is not below an empty box."""
        has_picture = tile.frame is not None or not tile.kind.has_failed
        return _FIGURE.format(
            picture=self._picture(tile, source) if has_picture else "",
            caption=escape(tile.caption),
            seconds=_SECONDS.format(self._stopwatch.seconds) if tile.kind.is_open else "",
            colour=_COLOURS.get(tile.kind, ""),
            width=self._box[0],
        )

    def _picture(self, tile: Tile, source: str) -> str:
        return _PICTURE.format(
            source=source,
            caption=escape(tile.caption),
            item_id=escape(clean(tile.item_id)),
            filter=";filter:grayscale(1)" if tile.kind is Kind.FAILED else "",
            width=self._box[0],
            height=self._box[1],
        )

    def _source(self, tile: Tile) -> str:
        """Return the picture as a data: URL for an <img> element. Raises FrameDecodeError if it is damaged."""
        frame = tile.frame
        assert frame
        if is_drawing(frame):  # it has no pixels, and in <img> a browser runs none of its scripts
            return frame.data_url
        image = paint_tile(tile, self._box if self._width else (1, 1))  # (1, 1): only to find out whether it is damaged
        return frame.data_url if self._width is None or image.size == frame.size else _small(image)


def _small(image: Image.Image) -> str:
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")  # services send an alpha channel without transparency
    return _data_url(image, "PNG" if image.mode == "RGBA" else "JPEG")


def _data_url(image: Image.Image, form: str) -> str:
    profile = image.info.get("icc_profile") or b""
    if profile[16:20] != b"RGB ":  # a profile of another mode does not fit the converted pixels
        profile = None
    file = BytesIO()
    image.save(file, form, quality=_QUALITY, icc_profile=profile)
    return f"data:image/{form.lower()};base64,{b64encode(file.getvalue()).decode('ascii')}"


def _shell_of_kernel() -> Any:
    """Return the shell of the kernel. Raises UsageError without a kernel: in a script, or in IPython in a terminal."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:
        raise UsageError(_ADVICE)
    return shell


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31
