"""What a terminal is sent to show pictures: escape codes and half blocks, as text.

Knows: the protocols of terminals, cells, colours. Must not know: streams, items, files, when something is drawn.
All here is pure: text out of pixels and bytes. The kitty protocol is documented at
https://sw.kovidgoyal.net/kitty/graphics-protocol/, inline images at https://iterm2.com/documentation-images.html.
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
from .tiles import fitted

Graphics = Literal["kitty", "iterm2", "blocks", "blocks-256", "text"]
Colour = tuple[int, int, int]
Seen = Colour | None  # None: transparent, the terminal's own background shows

RESET = "\x1b[0m"
# A terminal that knows it shows what stands between these at once; the others pass over them.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
# Whatever was cut off: the string of a picture ends, colours are the usual ones, and what was drawn is shown.
RESTORE = "\x1b\\" + RESET + _END
_HALF = "▀"
_CHUNK = 4_096  # characters of base64 in one piece: the protocol's limit


def graphics_of(environment: Mapping[str, str], *, is_terminal: bool, encoding: str | None) -> Graphics:
    """The best way to show pictures that a terminal's environment tells of; "text" where only lines are wanted."""
    says = environment.get
    term = says("TERM", "")
    if not is_terminal or says("NO_COLOR") or (term in ("", "dumb") and not says("WT_SESSION")):
        return "text"
    if not _can_print(_HALF, encoding):
        return "text"
    if not (says("TMUX") or term.startswith(("screen", "tmux"))):  # these pass no pictures on
        if says("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or says("TERM_PROGRAM") == "ghostty":
            return "kitty"
        if says("TERM_PROGRAM") in ("iTerm.app", "WezTerm") or says("LC_TERMINAL") == "iTerm2":
            return "iterm2"
    has_all_colours = says("COLORTERM") in ("truecolor", "24bit") or term.endswith("-direct") or says("WT_SESSION")
    return "blocks" if has_all_colours else "blocks-256"


def _can_print(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True


def cells_for(aspect: tuple[int, int], room: tuple[int, int], cell_aspect: float = 2.0) -> tuple[int, int]:
    """The most (columns, rows) that a picture of this aspect fills in `room`. `cell_aspect`: height to width of one."""
    columns, rows = fitted(aspect, (room[0], max(1, round(room[1] * cell_aspect))))
    return columns, max(1, min(room[1], round(rows / cell_aspect)))


# ---- half blocks


def half_blocks(image: Image.Image, cells: tuple[int, int], *, has_all_colours: bool = True) -> tuple[str, ...]:
    """`image`, RGB or RGBA, as lines of `cells` = (columns, rows), each cell two pixels: its letter and its background.

    has_all_colours: 24-bit colours, else the 256 of xterm.
    """
    columns, rows = cells
    image = image.resize((columns, rows * 2), Image.Resampling.BOX).convert("RGBA")
    seen = image if has_all_colours else _in_xterm_colours(image)
    pixels = [
        colour if alpha >= 128 else None
        for colour, alpha in zip(_pixels(seen.convert("RGB")), image.getchannel("A").tobytes(), strict=True)
    ]
    lines = [pixels[at : at + columns] for at in range(0, len(pixels), columns)]
    name = _rgb if has_all_colours else _numbered
    return tuple("".join(_cells(upper, lower, name)) for upper, lower in zip(lines[::2], lines[1::2], strict=True))


def _pixels(image: Image.Image) -> Iterator[Colour]:
    data = image.tobytes()
    return zip(data[::3], data[1::3], data[2::3], strict=True)


def _cells(upper: Iterable[Seen], lower: Iterable[Seen], name: Callable[[Colour], str]) -> Iterator[str]:
    """The cells of one line; a colour is named where it changes."""
    front: Seen = None
    back: Seen = None
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


_STEPS = (0, 95, 135, 175, 215, 255)  # of each colour in xterm's cube, its numbers 16 to 231; above are greys, 8 to 238
_GREYS = range(8, 248, 10)
_XTERM: list[Colour] = [*product(_STEPS, _STEPS, _STEPS), *zip(_GREYS, _GREYS, _GREYS, strict=True)]
_NUMBERS = {colour: 16 + at for at, colour in reversed([*enumerate(_XTERM)])}


def _in_xterm_colours(image: Image.Image) -> Image.Image:
    """`image` in the 240 colours that no theme changes. It is not dithered: in pixels as large that is noise."""
    palette = Image.new("P", (1, 1))
    palette.putpalette([*chain(*_XTERM), *_XTERM[0] * 16])
    return image.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB")


def _numbered(colour: Colour) -> str:
    return f"5;{_NUMBERS[colour]}"


# ---- pictures


def kitty_picture(png: bytes, cells: tuple[int, int], image_id: int) -> str:
    """A PNG over `cells` = (columns, rows) from the cursor on, which stays; it takes the place of that `image_id`."""
    text = b64encode(png).decode("ascii")
    chunks = [text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)]
    said = f"a=T,f=100,i={image_id},p=1,c={cells[0]},r={cells[1]},C=1,q=2,"  # q: answers would be read as typed
    last = len(chunks) - 1
    return "".join(f"\x1b_G{'' if at else said}m={int(at < last)};{chunk}\x1b\\" for at, chunk in enumerate(chunks))


def kitty_removal(image_id: int) -> str:
    """That picture goes, and its memory is free."""
    return f"\x1b_Ga=d,d=I,i={image_id},q=2\x1b\\"


def inline_picture(data: bytes, cells: tuple[int, int]) -> str:
    """A picture file of any format over `cells` = (columns, rows), as iTerm2 and WezTerm show it."""
    said = f"inline=1;size={len(data)};width={cells[0]};height={cells[1]};preserveAspectRatio=1;doNotMoveCursor=1"
    return f"\x1b]1337;File={said}:{b64encode(data).decode('ascii')}\x07"


def png_of(frame: Frame | None, image: Image.Image) -> bytes:
    """The bytes of `frame` as received where they are a PNG, else `image` as one."""
    if frame is not None and frame.format == "PNG":
        return frame.data
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


# ---- lines


def width_of(text: str) -> int:
    """How many columns `text` fills."""
    return sum(map(_width, text))


@lru_cache(maxsize=4_096)
def _width(letter: str) -> int:
    return 0 if category(letter) in ("Mn", "Me") else 1 + (east_asian_width(letter) in "WF")


def cut(text: str, columns: int) -> str:
    """As much of `text` as fits into `columns`."""
    if width_of(text) <= columns:
        return text
    kept, left = [], columns - 1
    for letter in text:
        left -= _width(letter)
        if left < 0:
            break
        kept.append(letter)
    return "".join(kept) + "…" * (columns > 0)


def wrapped(text: str, columns: int, most_lines: int) -> list[str]:
    """`text` in lines that fit into `columns`; the last ends with "…" where there would be more."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(longer) <= columns or not lines[-1] or len(lines) == most_lines:
            lines[-1] = longer
        else:
            lines.append(word)
    return [cut(line, columns) for line in lines]


# ---- what stands on the terminal


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that stand together. `picture` is drawn over the first of them, on `cells` = (columns, rows)."""

    lines: tuple[str, ...]
    picture: str = ""
    cells: tuple[int, int] = (0, 0)


def redrawn(old: Sequence[Block], new: Sequence[Block], above: Sequence[Block] = ()) -> str:
    """What makes `new` stand where `old` does, and `above` over it for good.

    The cursor is at the start of the line below, before and after. Nothing else on the terminal changes.
    """
    height = _height(old)
    parts = [_BEGIN, f"\x1b[{height}A" if height else "", "\r"]
    if not above and [_layout(block) for block in old] == [_layout(block) for block in new]:
        parts += [_over(before, after) for before, after in zip(old, new, strict=True)]
    else:
        parts += [_fresh(block) for block in (*above, *new)]
        if _height((*above, *new)) < height:
            parts.append("\x1b[J")  # what stood lower
    return "".join((*parts, _END))


def _height(blocks: Iterable[Block]) -> int:
    return sum(len(block.lines) for block in blocks)


def _layout(block: Block) -> tuple[int, tuple[int, int]]:
    return len(block.lines), block.cells


def _over(before: Block, after: Block) -> str:
    """A block where one of the same layout stands: what has not changed is passed over."""
    is_new = after.picture != before.picture
    lines = [
        f"{line}\x1b[K\r\n" if line != old else "\r\n" for old, line in zip(before.lines, after.lines, strict=True)
    ]
    return _with_picture(lines, after) if is_new else "".join(lines)


def _fresh(block: Block) -> str:
    return _with_picture([f"{line}\x1b[K\r\n" for line in block.lines], block)


def _with_picture(lines: list[str], block: Block) -> str:
    """The lines first, so that there is room, and nothing scrolls any more while the picture is drawn."""
    rows = block.cells[1]
    drawn = f"\x1b7\x1b[{rows}A{block.picture}\x1b8" if block.picture else ""
    return "".join((*lines[:rows], drawn, *lines[rows:]))
