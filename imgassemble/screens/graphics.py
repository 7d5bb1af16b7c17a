"""Make the text that shows pictures in a terminal: escape codes and half blocks. Print nothing.

All functions are pure: they turn pixels and bytes into text. The kitty protocol is documented at
https://sw.kovidgoyal.net/kitty/graphics-protocol/, inline images at https://iterm2.com/documentation-images.html.
Must not know: streams, items, files, the time of drawing.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import chain, product
from typing import Literal
from unicodedata import category, east_asian_width

from PIL import Image

from ..frames.frame import Frame
from .tiles import fit_into

Graphics = Literal["kitty", "iterm2", "blocks", "blocks-256", "text"]
"""How a terminal shows pictures; see `graphics` of TerminalScreen."""
Colour = tuple[int, int, int]
CellColour = Colour | None  # None: transparent, the terminal's own background is visible

RESET = "\x1b[0m"
# Synchronized output: a terminal shows the text between these at once. Terminals without it ignore the codes.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
# Repairs output that was interrupted: ends the string of a picture, resets the colours, ends synchronized output.
RESTORE = "\x1b\\" + RESET + _END
_HALF = "▀"
_CHUNK = 4_096  # characters of base64 in one chunk: the limit of the kitty protocol


def choose_graphics(environment: Mapping[str, str], *, is_terminal: bool, encoding: str | None) -> Graphics:
    """Return the best way to show pictures by a terminal's environment variables; "text" for lines without pictures."""
    get = environment.get
    term = get("TERM", "")
    if not is_terminal or get("NO_COLOR") or (term in ("", "dumb") and not get("WT_SESSION")):
        return "text"
    if not _can_print(_HALF, encoding):
        return "text"
    if not (get("TMUX") or term.startswith(("screen", "tmux"))):  # these do not forward pictures
        if get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or get("TERM_PROGRAM") == "ghostty":
            return "kitty"
        if get("TERM_PROGRAM") in ("iTerm.app", "WezTerm") or get("LC_TERMINAL") == "iTerm2":
            return "iterm2"
    has_all_colours = get("COLORTERM") in ("truecolor", "24bit") or term.endswith("-direct") or get("WT_SESSION")
    return "blocks" if has_all_colours else "blocks-256"


def _can_print(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True


def fit_cells(aspect: tuple[int, int], room: tuple[int, int], cell_aspect: float = 2.0) -> tuple[int, int]:
    """Return the largest (columns, rows) for a picture of this aspect in `room`.

    cell_aspect: height / width of a cell.
    """
    columns, rows = fit_into(aspect, (room[0], max(1, round(room[1] * cell_aspect))))
    return columns, max(1, min(room[1], round(rows / cell_aspect)))


# ---- half blocks


def draw_half_blocks(image: Image.Image, cells: tuple[int, int], *, has_all_colours: bool = True) -> tuple[str, ...]:
    """Return `image`, RGB or RGBA, as lines of text that fill `cells` = (columns, rows).

    Each cell shows two pixels: one as its letter, one as its background.
    has_all_colours: use 24-bit colours, else the 256 colours of xterm.
    """
    columns, rows = cells
    image = image.resize((columns, rows * 2), Image.Resampling.BOX).convert("RGBA")
    reduced = image if has_all_colours else _in_xterm_colours(image)
    pixels = [
        colour if alpha >= 128 else None
        for colour, alpha in zip(_pixels(reduced.convert("RGB")), image.getchannel("A").tobytes(), strict=True)
    ]
    lines = [pixels[at : at + columns] for at in range(0, len(pixels), columns)]
    name = _rgb if has_all_colours else _numbered
    return tuple("".join(_cells(upper, lower, name)) for upper, lower in zip(lines[::2], lines[1::2], strict=True))


def _pixels(image: Image.Image) -> Iterator[Colour]:
    data = image.tobytes()
    return zip(data[::3], data[1::3], data[2::3], strict=True)


def _cells(upper: Iterable[CellColour], lower: Iterable[CellColour], name: Callable[[Colour], str]) -> Iterator[str]:
    """Yield the cells of one line. A colour code is sent only when the colour changes."""
    front: CellColour = None
    back: CellColour = None
    for top, bottom in zip(upper, lower, strict=True):
        letter, ink, paper = (_HALF, top, bottom) if top else ("▄", bottom, None) if bottom else (" ", front, None)
        codes = [f"38;{name(ink)}"] if ink and ink != front else []
        if paper != back:
            codes.append(f"48;{name(paper)}" if paper else "49")
        front, back = ink, paper
        yield f"\x1b[{';'.join(codes)}m{letter}" if codes else letter
    yield RESET


def _rgb(colour: Colour) -> str:
    return "2;{};{};{}".format(*colour)


# The levels in the colour cube of xterm, numbers 16 to 231; greys from 8 to 238 follow.
_STEPS = (0, 95, 135, 175, 215, 255)
_GREYS = range(8, 248, 10)
_XTERM: list[Colour] = [*product(_STEPS, _STEPS, _STEPS), *zip(_GREYS, _GREYS, _GREYS, strict=True)]
_NUMBERS = {colour: 16 + at for at, colour in reversed([*enumerate(_XTERM)])}


def _in_xterm_colours(image: Image.Image) -> Image.Image:
    """Return `image` in the 240 colours that no theme changes. Dithering would look like noise in large pixels."""
    palette = Image.new("P", (1, 1))
    palette.putpalette([*chain(*_XTERM), *_XTERM[0] * 16])
    return image.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB")


def _numbered(colour: Colour) -> str:
    return f"5;{_NUMBERS[colour]}"


# ---- pictures


def encode_kitty(png: bytes, cells: tuple[int, int], image_id: int) -> str:
    """Return the text that draws a PNG over `cells` = (columns, rows) from the cursor, which does not move.

    It replaces the picture with the same `image_id`.
    """
    text = b64encode(png).decode("ascii")
    chunks = [text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)]
    # q=2: the terminal sends no answers, which would appear as typed text.
    controls = f"a=T,f=100,i={image_id},p=1,c={cells[0]},r={cells[1]},C=1,q=2,"
    last = len(chunks) - 1
    return "".join(f"\x1b_G{'' if at else controls}m={int(at < last)};{chunk}\x1b\\" for at, chunk in enumerate(chunks))


def encode_kitty_removal(image_id: int) -> str:
    """Return the text that removes a picture and frees its memory in the terminal."""
    return f"\x1b_Ga=d,d=I,i={image_id},q=2\x1b\\"


def encode_inline(data: bytes, cells: tuple[int, int]) -> str:
    """Return the text that draws a picture file of any format over `cells` = (columns, rows) in iTerm2 and WezTerm."""
    controls = f"inline=1;size={len(data)};width={cells[0]};height={cells[1]};preserveAspectRatio=1;doNotMoveCursor=1"
    return f"\x1b]1337;File={controls}:{b64encode(data).decode('ascii')}\x07"


def encode_png(frame: Frame | None, image: Image.Image) -> bytes:
    """Return the received bytes of `frame` if they are a PNG, else `image` encoded as PNG."""
    if frame is not None and frame.format == "PNG":
        return frame.data
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


# ---- lines


def measure_columns(text: str) -> int:
    """Return the number of columns that `text` fills."""
    return sum(map(_width, text))


@lru_cache(maxsize=4_096)
def _width(letter: str) -> int:
    return 0 if category(letter) in ("Mn", "Me") else 1 + (east_asian_width(letter) in "WF")


def cut_to_columns(text: str, columns: int) -> str:
    """Return `text`, shortened with "…" if it does not fit into `columns`."""
    if measure_columns(text) <= columns:
        return text
    kept, left = [], columns - 1
    for letter in text:
        left -= _width(letter)
        if left < 0:
            break
        kept.append(letter)
    return "".join(kept) + "…" * (columns > 0)


def wrap_to_columns(text: str, columns: int, most_lines: int) -> list[str]:
    """Return `text` in at most `most_lines` lines that fit into `columns`; the last ends with "…" if text is left."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if measure_columns(longer) <= columns or not lines[-1] or len(lines) == most_lines:
            lines[-1] = longer
        else:
            lines.append(word)
    return [cut_to_columns(line, columns) for line in lines]


# ---- blocks of lines


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together. `picture` is drawn over the first of them, on `cells` = (columns, rows)."""

    lines: tuple[str, ...]
    picture: str = ""
    cells: tuple[int, int] = (0, 0)


def redraw(old: Sequence[Block], new: Sequence[Block], above: Sequence[Block] = ()) -> str:
    """Return the text that draws `new` in place of `old`, and prints `above` over it permanently.

    The cursor is at the start of the line below, before and after. Nothing else on the terminal changes.
    """
    height = _height(old)
    parts = [_BEGIN, f"\x1b[{height}A" if height else "", "\r"]
    if not above and [_layout(block) for block in old] == [_layout(block) for block in new]:
        parts += [_redrawn_block(before, after) for before, after in zip(old, new, strict=True)]
    else:
        parts += [_new_block(block) for block in (*above, *new)]
        if _height((*above, *new)) < height:
            parts.append("\x1b[J")  # erase the rest of the old blocks
    return "".join((*parts, _END))


def _height(blocks: Iterable[Block]) -> int:
    return sum(len(block.lines) for block in blocks)


def _layout(block: Block) -> tuple[int, tuple[int, int]]:
    return len(block.lines), block.cells


def _redrawn_block(before: Block, after: Block) -> str:
    """Return the text that draws a block over one of the same layout; lines without a change are not sent."""
    is_new = after.picture != before.picture
    lines = [
        f"{line}\x1b[K\r\n" if line != old else "\r\n" for old, line in zip(before.lines, after.lines, strict=True)
    ]
    return _with_picture(lines, after) if is_new else "".join(lines)


def _new_block(block: Block) -> str:
    return _with_picture([f"{line}\x1b[K\r\n" for line in block.lines], block)


def _with_picture(lines: list[str], block: Block) -> str:
    """Return the lines, then the picture over them: the lines make room, so that the picture does not scroll."""
    rows = block.cells[1]
    drawn = f"\x1b7\x1b[{rows}A{block.picture}\x1b8" if block.picture else ""
    return "".join((*lines[:rows], drawn, *lines[rows:]))
