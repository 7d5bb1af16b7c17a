"""Plan the film of an item, and paint its frames one at a time: previews that fade into each other, then the final.

The final is held longest. A film is never larger than 4,096 pixels on a side, and holds three pictures in memory.
Must not know: file formats, paths, streams.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from ..assembly.items import Item
from ..assembly.strip import Captioned, Look, captioned_pictures
from ..errors import FrameDecodeError
from ..frames.frame import Frame
from ..frames.pixels import as_rgb
from .tiles import fit_into

STEP_S = 0.06  # seconds of a step of a cross-fade; a GIF counts hundredths of a second
LONGEST_SIDE = 4096  # pixels: the largest real pictures, and the largest video that most players show
_MOST_FADE_STEPS = 6  # of one cross-fade
_PREVIEW_S, _ALL_PREVIEWS_S = 0.8, 15.0  # seconds of one preview, and of all of them together
_SQUARE = 16  # pixels of a square of the checkerboard
_LIGHT, _DARK = 255, 224  # greys of the checkerboard
_BARS = (240, 240, 240)  # beside a preview of another aspect than the final
_BADGES = {Look.DRAFT: "draft", Look.GREY: "failed"}


@dataclass(frozen=True, kw_only=True)
class FilmPlan:
    """The film of one item: what its frames show, and for how many steps of `STEP_S` seconds each is shown."""

    pictures: Sequence[Captioned]
    size: tuple[int, int]
    """(width, height) in pixels of every frame."""
    keeps_alpha: bool
    """Whether the frames are RGBA. Otherwise they are RGB, on a checkerboard."""
    preview_steps: int
    final_steps: int

    @property
    def steps(self) -> list[int]:
        """The steps of each frame: a preview and its cross-fade, and so on, and at the end the final."""
        hold = self.preview_steps - self._fade_steps
        return (len(self.pictures) - 1) * [hold, *[1] * self._fade_steps] + [self.final_steps]

    def frames(self) -> Iterator[Image.Image]:
        """Yield the frames, each painted when it is asked for."""
        image = self._paint(self.pictures[0])
        for picture in self.pictures[1:]:
            yield image
            following = self._paint(picture)
            for step in range(1, self._fade_steps + 1):
                yield _blend(image, following, step / (self._fade_steps + 1))
            image = following
        _draw_badge(image, _BADGES.get(self.pictures[-1].look))
        yield image

    @property
    def _fade_steps(self) -> int:
        return min(_MOST_FADE_STEPS, self.preview_steps // 2)

    def _paint(self, picture: Captioned) -> Image.Image:
        assert picture.frame is not None
        image = paint_frame(picture.frame, self.size, is_grey=picture.look is Look.GREY)
        ground = Image.new("RGBA", self.size) if self.keeps_alpha else Image.new("RGB", self.size, _BARS)
        place = (self.size[0] - image.width) // 2, (self.size[1] - image.height) // 2
        ground.paste(image if self.keeps_alpha else on_checkerboard(image), place)
        return ground


def plan_film(
    item: Item,
    *,
    can_keep_alpha: bool,
    has_even_sides: bool = False,
    size: int | None = None,
    preview_s: float | None = None,
    final_s: float = 3.0,
) -> FilmPlan | None:
    """Return the plan of an item's film; None if the item has no picture to show, or is blocked.

    can_keep_alpha: whether the format of the film has transparency. The film has it if its last picture has.
    has_even_sides: whether the sides must be even numbers of pixels, as for a video.
    size: the longest side in pixels, at most LONGEST_SIDE; None for that of the last picture.
    preview_s, final_s: the seconds of a preview with its cross-fade, and of the final. None: 0.8 seconds, and less for
        more than 18 previews.

    Previews that cannot be decoded are left out. Raises FrameDecodeError if the final cannot be decoded.
    """
    pictures = list(shown_pictures(item))
    while pictures and not _is_result(pictures[-1]) and not _can_paint(pictures[-1], (LONGEST_SIDE, LONGEST_SIDE)):
        pictures.pop()
    if not pictures:
        return None
    last = pictures[-1].frame
    assert last is not None
    film_size = fit_side(last.size or (1, 1), min(size or LONGEST_SIDE, LONGEST_SIDE))  # an SVG may have no size
    if has_even_sides:
        film_size = max(2, film_size[0] & ~1), max(2, film_size[1] & ~1)
    image = paint_frame(last, film_size)
    return FilmPlan(
        pictures=[*(each for each in pictures[:-1] if _can_paint(each, film_size)), pictures[-1]],
        size=film_size,
        keeps_alpha=can_keep_alpha and _is_transparent(image),
        preview_steps=_steps(min(_PREVIEW_S, _ALL_PREVIEWS_S / len(pictures)) if preview_s is None else preview_s),
        final_steps=_steps(final_s),
    )


def shown_pictures(item: Item) -> Iterator[Captioned]:
    """Yield the pictures of an item that people may see, in their order: none of a blocked image."""
    return (picture for picture in captioned_pictures(item) if picture.frame is not None)


def paint_frame(frame: Frame, room: tuple[int, int], *, is_grey: bool = False) -> Image.Image:
    """Return the picture of a frame in RGB or RGBA, as large as it fits into `room`, (width, height) in pixels.

    A picture with nearly the aspect of `room` fills it. Raises FrameDecodeError if the frame cannot be decoded.
    """
    size = fit_into(frame.size or room, room)
    if all(abs(side - full) <= max(1, full // 100) for side, full in zip(size, room, strict=True)):
        size = room
    image = as_rgb(frame.thumbnail(size))
    if is_grey:
        image = image.convert("LA" if image.mode == "RGBA" else "L").convert(image.mode)
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def fit_side(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return `size`, (width, height) in pixels, made smaller if a side is longer than `longest`."""
    return size if max(size) <= longest else fit_into(size, (longest, longest))


def on_checkerboard(image: Image.Image) -> Image.Image:
    """Return an image in RGB or RGBA as RGB, with light and dark squares behind its transparency."""
    if image.mode == "RGB":
        return image
    columns, rows = -(-image.width // _SQUARE), -(-image.height // _SQUARE)
    greys = bytes(_DARK if (at % columns + at // columns) % 2 else _LIGHT for at in range(columns * rows))
    squares = Image.frombytes("L", (columns, rows), greys)
    squares = squares.resize((columns * _SQUARE, rows * _SQUARE), Image.Resampling.NEAREST)
    board = squares.crop((0, 0, *image.size)).convert("RGB")
    board.paste(image, mask=image)
    return board


def _is_result(picture: Captioned) -> bool:
    return picture.frame is not None and picture.frame.is_final and picture.look is Look.PLAIN


def _can_paint(picture: Captioned, size: tuple[int, int]) -> bool:
    with suppress(FrameDecodeError):
        assert picture.frame is not None
        picture.frame.thumbnail(size)
        return True
    return False


def _is_transparent(image: Image.Image) -> bool:
    return image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255)


def _steps(seconds: float) -> int:
    return max(1, round(seconds / STEP_S))


def _blend(image: Image.Image, following: Image.Image, share: float) -> Image.Image:
    if image.mode == "RGB":
        return Image.blend(image, following, share)
    # The colour of a transparent pixel is meaningless, so the colours are multiplied by their opacity first.
    return Image.blend(image.convert("RGBa"), following.convert("RGBa"), share).convert("RGBA")


def _draw_badge(image: Image.Image, word: str | None) -> None:
    """Write a word into the lower left corner, so that the picture is not taken for a result."""
    if word is None:
        return
    letters = max(10, min(image.size) // 16)
    drawing = ImageDraw.Draw(image)
    margin, place = letters // 2, (0, image.height)
    font = ImageFont.load_default(letters)
    left, top, right, bottom = drawing.textbbox((place[0] + margin, place[1] - margin), word, font, anchor="ld")
    drawing.rectangle((left - margin, top - margin, right + margin, bottom + margin), fill=(40, 40, 40))
    drawing.text((place[0] + margin, place[1] - margin), word, (255, 255, 255), font, anchor="ld")
