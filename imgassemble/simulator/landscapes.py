"""Draws landscapes from a prompt and a seed, as pixels or as SVG, and drafts of them that sharpen step by step.

The same arguments give the same pixels on every machine: chance comes from hashes, and pixels are computed in whole
numbers (resize, paste through a mask, tables). There are no blends, blurs or drawn shapes, because these use floats
or have changed between versions of Pillow.
Must not know: picture files, events, base64, services.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import shake_256
from random import Random
from typing import Literal

from PIL import Image, ImageChops

Colour = tuple[int, int, int]

_LONGEST_SIDE = 16_383  # the limit of WebP


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mood:
    """The colours of a time of day: the sky from the zenith down, its light, and the nearest ground."""

    sky: tuple[Colour, ...]
    light: Colour
    ground: Colour
    stars: int = 0


_MOODS = (
    _Mood(
        sky=((38, 32, 84), (104, 62, 122), (222, 110, 110), (255, 190, 122)),
        light=(255, 238, 200),
        ground=(24, 18, 42),
        stars=50,
    ),
    _Mood(
        sky=((6, 12, 38), (14, 34, 76), (32, 74, 116), (96, 148, 160)),
        light=(244, 246, 226),
        ground=(4, 12, 24),
        stars=170,
    ),
    _Mood(
        sky=((88, 128, 178), (156, 172, 204), (242, 190, 186), (255, 222, 186)),
        light=(255, 250, 232),
        ground=(38, 46, 66),
    ),
    _Mood(
        sky=((16, 52, 78), (38, 104, 118), (156, 178, 140), (250, 216, 138)),
        light=(255, 244, 206),
        ground=(8, 28, 36),
        stars=20,
    ),
    _Mood(
        sky=((40, 18, 62), (116, 34, 84), (214, 72, 74), (252, 152, 76)),
        light=(255, 218, 150),
        ground=(26, 10, 32),
        stars=40,
    ),
    _Mood(
        sky=((18, 18, 58), (52, 44, 108), (112, 84, 152), (214, 152, 178)),
        light=(255, 240, 238),
        ground=(14, 14, 38),
        stars=120,
    ),
)


_NIGHT, _WATER = 1, ("sea", "ocean", "lake", "water", "river", "boat", "island", "otter")


def draw(prompt: str, *, seed: int = 0, size: tuple[int, int] = (1024, 1024)) -> Image.Image:
    """Draw a landscape for `prompt`; the same prompt and seed give the same scene at any size.

    Arguments: `prompt`: any text; words like "night" or "sea" change the scene, the others are only hashed. `seed`:
    any whole number. `size`: (width, height) in pixels, each from 1 to 16383; 3840x2160 takes half a second.
    Returns an RGB image of that size. Raises ValueError if `size` is out of range.
    """
    if not all(1 <= side <= _LONGEST_SIDE for side in size):
        raise ValueError(f"a picture has 1 to {_LONGEST_SIDE} pixels a side, not {size[0]}x{size[1]}")
    # Of its methods, `random` is the one that never changes between Pythons.
    chance = Random(f"{prompt}/{seed}").random  # noqa: S311  (chance, not a secret)
    words = prompt.lower().split()
    mood = _MOODS[_NIGHT if "night" in words else int(chance() * len(_MOODS))]
    has_water = chance() < 0.4 or any(word.strip(".,;!?") in _WATER for word in words)
    horizon = 0.56 + 0.1 * chance()
    image = _gradient(mood.sky, (size[0], max(1, int(size[1] * horizon))), size)
    _add_stars(image, mood, chance)
    light_at = _add_light(image, mood, chance, horizon)
    _add_clouds(image, mood, chance)
    _add_hills(image, mood, chance, horizon, far_only=has_water)
    if has_water:
        _add_water(image, mood, chance, horizon, light_at)
    _add_firs(image, mood, chance)
    return image


def sharpen(final: Image.Image, steps: int, *, seed: int = 0) -> list[Image.Image]:
    """Make the drafts of `final`, the coarsest first; each is closer to `final` than the one before.

    Arguments: `final`: an RGB image. `steps`: the number of drafts, from 0 to 8; services send up to four.
    `seed`: selects the noise at the beginning.
    Returns images of the size of `final` that look like the previews of a diffusion model: noisy blobs of colour, then
    shapes, then details. (An image below 32 pixels a side may be too small for eight steps.)
    Raises ValueError if `steps` is out of range.
    """
    if not 0 <= steps <= 8:
        raise ValueError(f"a picture has 0 to 8 drafts, not {steps}")
    return [_draft(final, (step + 1) / (steps + 1), seed) for step in range(steps)]


# ---- the landscape, from the back to the front, in fractions of width and height: any size shows the same scene


def _gradient(stops: Sequence[Colour], filled: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """Paint colours from top to bottom over the size `filled`; the last one fills the rest of `size`."""
    column = Image.frombytes("RGB", (1, len(stops)), bytes(value for stop in stops for value in stop))
    image = Image.new("RGB", size, stops[-1])
    image.paste(_scaled(column, filled))
    return image


def _scaled(
    image: Image.Image, size: tuple[int, int], filtering: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    """Scale `image` in two steps, because the order of the two directions has changed with Pillow 13."""
    return image.resize((size[0], image.height), filtering).resize(size, filtering)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _noise(key: object, mode: Literal["L", "RGB"], size: tuple[int, int]) -> Image.Image:
    return Image.frombytes(mode, size, shake_256(repr(key).encode()).digest(size[0] * size[1] * len(mode)))


def _table(curve: Callable[[float], float]) -> list[int]:
    """Return a table for `Image.point`; `curve` maps 0..1 to 0..1."""
    return [min(255, max(0, round(255 * curve(value / 255)))) for value in range(256)]


def _add_stars(image: Image.Image, mood: _Mood, chance: Callable[[], float]) -> None:
    width, height = image.size
    dot = max(1, min(image.size) // 400)
    for _ in range(mood.stars):
        x, depth, glow = int(chance() * width), chance(), chance()
        y = int(depth * depth * height * 0.5)
        bright = round(230 * glow * glow * (1 - depth * 0.7))
        spot = dot + (glow > 0.93) * dot
        image.paste(mood.light, (x, y, x + spot, y + spot), Image.new("L", (spot, spot), bright))


def _add_light(image: Image.Image, mood: _Mood, chance: Callable[[], float], horizon: float) -> float:
    """Paint the sun or the moon with its glow; return its position as a fraction of the width."""
    width, height = image.size
    across, up = 0.2 + 0.6 * chance(), horizon * (0.3 + 0.45 * chance())
    for colour, diameter, curve in (
        (_mix(mood.sky[-1], mood.light, 0.3), 2.4, lambda far: 0.5 * (1 - far) * (1 - far)),
        (mood.light, 0.5, lambda far: 0.45 * (1 - far) * (1 - far)),
        (mood.light, 0.12 + 0.05 * chance(), lambda far: (0.97 - far) * 40),
    ):
        side = max(1, int(min(width, height) * diameter))
        mask = _disc((side, side), curve)
        image.paste(colour, (int(across * width) - side // 2, int(up * height) - side // 2), mask)
    return across


def _disc(size: tuple[int, int], curve: Callable[[float], float]) -> Image.Image:
    """Make a round mask that fills `size`; `curve` gives its strength from the middle (0) to the rim (1)."""
    gradient = Image.radial_gradient("L")  # 255 in its corners, so that the rim is at 181
    mask = gradient.point(_table(lambda value: curve(value * 255 / 181) if value < 181 / 255 else 0))
    return _scaled(mask, size)


def _add_clouds(image: Image.Image, mood: _Mood, chance: Callable[[], float]) -> None:
    key, much = chance(), 0.5 + 0.12 * chance()
    wide, fine = (_scaled(_noise((key, grid), "L", grid), image.size) for grid in ((4, 16), (13, 46)))
    both = ImageChops.add(wide, fine.point(_table(lambda value: value / 2)), scale=1.5)
    streaks = both.point(_table(lambda value: (value - much) * 2.2))
    fade = _scaled(Image.frombytes("L", (1, 6), bytes((40, 100, 150, 90, 0, 0))), image.size)
    image.paste(_mix(mood.sky[-1], mood.light, 0.4), mask=ImageChops.multiply(streaks, fade))


def _wave(chance: Callable[[], float], width: int, bends: int, octaves: int) -> list[float]:
    """Return one height of 0..1 for each column: noise with `bends` bends, and finer, weaker ones added to it."""
    heights, share = [0.0] * width, 0.5
    for _ in range(octaves):
        knots = [chance() for _ in range(bends + 2)]
        for x in range(width):
            left = int(at := (x + 0.5) / width * bends)
            part = (at - left) * (at - left) * (3 - 2 * (at - left))
            heights[x] += share * (knots[left] + (knots[left + 1] - knots[left]) * part)
        bends, share = bends * 2 + 1, share / 2.1
    return heights


def _below(tops: Sequence[float], size: tuple[int, int]) -> Image.Image:
    """Make a mask with a smooth edge of the area below `tops`: a fraction of the height for each column."""
    height = size[1]
    columns = []
    for top in tops:
        y = min(max(top, 0.0), 0.9999) * height
        columns.append(bytes(int(y)) + bytes((255 - int(y % 1 * 255),)) + b"\xff" * (height - int(y) - 1))
    return Image.frombytes("L", (height, size[0]), b"".join(columns)).transpose(Image.Transpose.TRANSPOSE)


def _add_hills(image: Image.Image, mood: _Mood, chance: Callable[[], float], horizon: float, *, far_only: bool) -> None:
    haze = _mix(mood.sky[-1], mood.sky[-2], 0.35)
    layers = 2 if far_only else 5
    for layer in range(layers):
        nearness = layer / 5
        base = horizon + (0.02 if far_only else nearness * nearness * 0.55)
        rise = (0.2 - 0.07 * layer) if far_only else 0.2 - 0.02 * layer
        tops = [base + 0.02 - rise * height for height in _wave(chance, image.width, 3 + layer * 2, 5)]
        body = _mix(haze, mood.ground, 0.25 + 0.62 * nearness)
        foot = _mix(body, haze, 0.55 - 0.3 * nearness)
        _paint_below(image, tops, (body, _mix(body, foot, 0.5), foot))


def _paint_below(image: Image.Image, tops: Sequence[float], colours: Sequence[Colour]) -> None:
    """Fill the area below `tops` with `colours`; the last of them starts after a third of the height."""
    first = min(int(min(tops) * image.height), image.height - 1)
    rest = (image.width, image.height - first)
    fill = _gradient(colours, (rest[0], max(1, min(rest[1], image.height // 3))), rest)
    image.paste(fill, (0, first), _below(tops, image.size).crop((0, first, *image.size)))


def _add_water(image: Image.Image, mood: _Mood, chance: Callable[[], float], horizon: float, light_at: float) -> None:
    """Paint a mirror of the part above the horizon, darker towards the front, with waves and a path of light."""
    width, height = image.size
    shore = min(int(height * horizon), height - 1)
    size = (width, height - shore)
    above = image.crop((0, max(0, shore - size[1]), width, max(1, shore)))
    water = _scaled(above.transpose(Image.Transpose.FLIP_TOP_BOTTOM), size)
    deep = _scaled(Image.frombytes("L", (1, 4), bytes((60, 105, 150, 190))), size)
    water.paste(_mix(mood.sky[0], mood.ground, 0.3), mask=deep)
    waves = _waves(chance(), size)
    water.paste(mood.ground, mask=waves.point(_table(lambda value: (0.46 - value) * 1.2)))
    water.paste(mood.sky[-1], mask=waves.point(_table(lambda value: (value - 0.6) * 0.7)))
    path = Image.new("L", size)
    side = (max(1, int(min(width, height) * 0.55)), size[1] * 3)
    path.paste(_disc(side, lambda far: (1 - far) * 1.2), (int(light_at * width) - side[0] // 2, -size[1]))
    crests = waves.point(_table(lambda value: (value - 0.46) * 3.5))
    water.paste(mood.light, mask=ImageChops.multiply(path, crests))
    image.paste(water, (0, shore))


def _waves(key: float, size: tuple[int, int]) -> Image.Image:
    """Make noise in rows that grow from the horizon to the front (row 1/distance), as in perspective."""
    columns, lines, depth = 26, 240, 800
    noise = _scaled(_noise(key, "L", (columns, 100)), (columns, depth))
    waves = Image.new("L", (columns, lines))
    for line in range(lines):
        row = int(depth * line / (line + 0.12 * (lines - line)))
        waves.paste(noise.crop((0, row, columns, row + 1)), (0, line))
    return _scaled(waves, size)


def _add_firs(image: Image.Image, mood: _Mood, chance: Callable[[], float]) -> None:
    """Paint the near bank with fir trees; each tree is a saw-toothed triangle on top of the ground line."""
    width, height = image.size
    slope = chance() - 0.5
    wave = _wave(chance, width, 2, 4)
    tops = [0.93 + 0.10 * slope * (x / width - 0.5) * 4 - 0.08 * top for x, top in enumerate(wave)]
    for _ in range(9 + int(chance() * 14)):
        tall, inwards = 0.06 + 0.13 * chance() * chance(), chance()
        aside = inwards * inwards / 2  # most trees are at the sides and frame the view
        at = aside if chance() < 0.5 else 1 - aside
        half = tall * 0.27 * height / width
        for x in range(max(0, int((at - half) * width)), min(width, int((at + half) * width) + 1)):
            away = abs((x + 0.5) / width - at) / half
            tiers = 1 - away + 0.12 * (away * 6 % 1)
            tops[x] = min(tops[x], 0.93 - tall * max(0.0, tiers))
    _paint_below(image, tops, (_mix(mood.ground, mood.sky[0], 0.12), mood.ground))


# ---- the drafts


def _draft(final: Image.Image, ripeness: float, seed: int) -> Image.Image:
    """Return `final` at a `ripeness` of 0..1: on a coarse grid, under noise."""
    rawness = (1 - ripeness) * (1 - 0.85 * ripeness)
    cell = 1 + max(final.size) / 18 * rawness
    grid = (max(1, round(final.width / cell)), max(1, round(final.height / cell)))
    latent = _scaled(final, grid, Image.Resampling.BOX)
    for noise in (_noise((seed, grid), "RGB", grid), _noise((seed, grid), "L", grid).convert("RGB")):
        latent.paste(noise, mask=Image.new("L", grid, round(70 * rawness)))
    draft = _scaled(latent, final.size)
    draft.paste(final, mask=Image.new("L", final.size, round(130 * ripeness * ripeness)))
    return draft


# ---- vector graphics


def draw_svg(prompt: str, *, seed: int = 0, size: tuple[int, int] = (1024, 1024)) -> str:
    """Return the text of an SVG of hills under a sun; the same for the same arguments."""
    chance = Random(f"{prompt}/{seed}/svg").random  # noqa: S311  (chance, not a secret)
    mood = _MOODS[int(chance() * len(_MOODS))]
    width, height = size
    stops = "".join(f'<stop offset="{n / 3:.2f}" stop-color="{_hex(colour)}"/>' for n, colour in enumerate(mood.sky))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 160 100">',
        f'<defs><linearGradient id="sky" x2="0" y2="1">{stops}</linearGradient></defs>',
        '<rect width="160" height="100" fill="url(#sky)"/>',
        f'<circle cx="{30 + int(chance() * 100)}" cy="{20 + int(chance() * 25)}" r="9" fill="{_hex(mood.light)}"/>',
    ]
    for layer in range(4):
        tops = " ".join(f"{x},{52 + layer * 12 - int(chance() * 14)}" for x in range(0, 161, 20))
        colour = _hex(_mix(mood.sky[-1], mood.ground, 0.3 + 0.22 * layer))
        lines.append(f'<polygon points="0,100 {tops} 160,100" fill="{colour}"/>')
    return "\n".join([*lines, "</svg>", ""])


def _hex(colour: Colour) -> str:
    return "#" + bytes(colour).hex()
