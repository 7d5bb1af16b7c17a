"""Draw a sheet: the pictures of all items in a grid on a light ground, each with its caption. Each item begins a row.

Must not know: paths, streams, notebooks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from ..assembly.items import Item
from ..assembly.strip import Captioned, Look, numbered_pictures
from ..errors import FrameDecodeError, UsageError, clean
from ..frames.frame import Frame
from ..limits import Limits
from .film_frames import fit_side, on_checkerboard, paint_frame
from .tiles import is_drawing, make_placeholder

_MOST_PICTURES = 100  # of a sheet
_MOST_COLUMNS = 5
_MOST_PIXELS = Limits().max_frame_pixels
_GAP = 16  # pixels around a cell
_LETTER = 14  # pixels: the height of a letter
_LINE = 20  # pixels: from line to line
_LETTER_WIDTH = 0.56  # of a letter, as a share of its height: the average of English text
_MOST_LINES, _MOST_LINES_ALONE = 3, 8  # of a caption under a picture, and without one
_GROUND, _INK = (250, 250, 248), (40, 40, 40)
_INKS = {Look.DRAFT: (179, 89, 0), Look.FAILED: (198, 40, 40)}


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """A place of the grid: the room for a picture, (0, 0) without one, and the lines of the caption."""

    picture: Captioned
    room: tuple[int, int]
    lines: list[str]


def draw_sheet(items: Iterable[Item], size: int = 256, seconds: Mapping[Frame, float] | None = None) -> Image.Image:
    """Return the sheet of `items` as a Pillow image, mode RGB.

    size: the longest side of a picture in pixels, from 64. seconds: when frames arrived; their captions say it.

    A sheet has at most 100 pictures; a caption counts the others. Raises UsageError if it would have more than 2**25
    pixels.
    """
    rows = _rows(list(items), size, seconds or {})
    width = max(map(len, rows)) * (size + _GAP) + _GAP
    rooms = [max(cell.room[1] for cell in row) for row in rows]
    heights = [max(_height(cell, room) for cell in row) for row, room in zip(rows, rooms, strict=True)]
    height = sum(heights) + (len(rows) + 1) * _GAP
    if width * height > _MOST_PIXELS:
        raise UsageError(
            f"a sheet of {width}x{height} pixels is too large, the most is {_MOST_PIXELS:,}: choose a smaller size"
        )
    sheet = Image.new("RGB", (width, height), _GROUND)
    top = _GAP
    for row, room, height in zip(rows, rooms, heights, strict=True):
        for column, cell in enumerate(row):
            _draw_cell(sheet, cell, (_GAP + column * (size + _GAP), top), (size, room))
        top += height + _GAP
    return sheet


def _height(cell: _Cell, room: int) -> int:
    """Return the height of a cell in pixels; `room`: that of the pictures in its row."""
    caption = len(cell.lines) * _LINE
    return caption if cell.picture.frame is None else room + _LETTER // 2 + caption


def _rows(items: list[Item], size: int, seconds: Mapping[Frame, float]) -> list[list[_Cell]]:
    """Return the cells row by row."""
    rows: list[list[_Cell]] = []
    left = _MOST_PICTURES
    for pictures in numbered_pictures(items):
        cells = [_cell(picture, size, seconds) for picture in pictures[: max(0, left)]]
        left -= len(pictures)
        rows += [cells[at : at + _MOST_COLUMNS] for at in range(0, len(cells), _MOST_COLUMNS)]
    if left < 0:
        rows.append([_cell(Captioned(None, f"and {-left} more"), size, seconds)])
    return rows


def _cell(picture: Captioned, size: int, seconds: Mapping[Frame, float]) -> _Cell:
    frame = picture.frame
    arrived = f", {seconds[frame]:.1f} s" if frame is not None and frame in seconds else ""
    caption = clean(f"{picture.caption}{arrived}")
    if frame is None:
        return _Cell(picture=picture, room=(0, 0), lines=_wrapped(caption, size, _MOST_LINES_ALONE))
    room = fit_side(frame.size or (size, size), size)
    return _Cell(picture=picture, room=room, lines=_wrapped(caption, size, _MOST_LINES))


def _wrapped(text: str, width: int, most_lines: int) -> list[str]:
    letters = max(11, int(width / (_LETTER * _LETTER_WIDTH)))
    return wrap(text, letters, max_lines=most_lines, placeholder="…") or [""]


def _draw_cell(sheet: Image.Image, cell: _Cell, place: tuple[int, int], room: tuple[int, int]) -> None:
    """Draw a cell at `place`: its picture in the middle of `room`, and the caption below. Both are (x, y) in pixels."""
    if cell.picture.frame is not None:
        image = _paint(cell.picture.frame, cell.room, is_grey=cell.picture.look is Look.GREY)
        left = place[0] + (room[0] - image.width) // 2
        top = place[1] + (room[1] - image.height) // 2
        sheet.paste(on_checkerboard(image), (left, top))
    below = room[1] + _LETTER // 2 if cell.picture.frame is not None else 0
    _write(sheet, cell.lines, (place[0] + room[0] // 2, place[1] + below), _INKS.get(cell.picture.look, _INK))


def _paint(frame: Frame, room: tuple[int, int], *, is_grey: bool) -> Image.Image:
    """Return the picture of a frame; a placeholder with the reason if it has no pixels."""
    try:
        return paint_frame(frame, room, is_grey=is_grey)
    except FrameDecodeError:
        image = make_placeholder(room)
        note = "an SVG drawing" if is_drawing(frame) else "it cannot be decoded"
        lines = _wrapped(note, room[0], _MOST_LINES)
        _write(image, lines, (room[0] // 2, max(0, (room[1] - len(lines) * _LINE) // 2)), _INK)
        return image


def _write(image: Image.Image, lines: list[str], place: tuple[int, int], ink: tuple[int, int, int]) -> None:
    """Write lines, the first one below `place`, with their middles there."""
    drawing, font = ImageDraw.Draw(image), ImageFont.load_default(_LETTER)
    for at, line in enumerate(lines):
        drawing.text((place[0], place[1] + at * _LINE), line, ink, font, anchor="ma")
