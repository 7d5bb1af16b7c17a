"""Hostile pictures: each is a picture or a typed error, within a second and 256 MB, and no other decoder runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import samples
from PIL import Image

from hostile.pictures import SIDE, Expected, flat, gif, gif_frame, png, table, written
from imgassemble import Assembler, Frame, FrameDecodeError, Limits
from imgassemble.frames.binary import HeaderError
from imgassemble.frames.containers import read_header

TESTS = Path(__file__).parents[1]
NAMES = sorted(table())
GROUPS = 8
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", *(("AVIF",) if samples.has_avif() else ()))
SHOWN, DAMAGED = Expected.SHOWN.name, Expected.DAMAGED.name


def _run(*arguments: str) -> str:
    """Return the output of a new Python process in which warnings are errors; it must print no errors."""
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# ---- each of them


@cache
def _results(group: int) -> dict[str, dict[str, str]]:
    lines = _run("-m", "hostile.measure", *NAMES[group::GROUPS]).splitlines()
    return {facts.pop("name"): facts for facts in map(json.loads, lines)}


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS bounds memory on Linux alone")
@pytest.mark.parametrize("group", range(GROUPS))
def test_a_hostile_picture_is_a_picture_or_a_typed_error_within_a_second_and_256_mb(group: int) -> None:
    became = _results(group)
    assert list(became) == NAMES[group::GROUPS]
    for name, facts in became.items():
        expected = table()[name].expected
        if expected in (Expected.REFUSED, Expected.TOO_MUCH):
            assert facts == {"feed": expected.name}, name
        elif expected in (Expected.AS_MAY_BE, Expected.DRAWING):
            assert facts["feed"] == "frame", name
        else:
            steps = ("decode", "thumbnail", "encode")
            assert {step: facts[step] for step in steps} == dict.fromkeys(steps, expected.name), name
            assert facts["feed"] == "frame", name


# ---- no other decoder

_REACHED = """
import logging, samples
logging.disable()
from hostile.pictures import table
from PIL import Image
from imgassemble import Assembler, FrameDecodeError
Image.init()  # all of them stand ready
reached = set()
def recording(name, factory):
    def opened(*arguments):
        reached.add(name)
        return factory(*arguments)
    return opened
Image.OPEN.update({name: (recording(name, factory), accept) for name, (factory, accept) in Image.OPEN.items()})
for name, hostile in table().items():
    data = hostile.make()
    if len(data) > 100_000 or "flat" in name or "large" in name or "-one-" in name:
        continue
    reached.clear()
    assembler = Assembler()
    assembler.feed(samples.done("ig_1", data))
    frame = assembler["ig_1"].final
    assert not reached
    for pixels in (frame.decode, lambda: frame.thumbnail((9, 9)), lambda: next(frame.animation())) if frame else ():
        reached.clear()
        try:
            pixels()
        except FrameDecodeError:
            pass
        assert reached <= {frame.format}, (name, reached)
"""

_LOADED = """
import sys, samples
from imgassemble import Assembler
for form in sys.argv[1:]:
    assembler = Assembler()
    assembler.feed(samples.done("ig_1", samples.b64(bytes.fromhex(form))))
    assembler["ig_1"].final.decode()
    assembler["ig_1"].final.thumbnail((3, 3))
print(*(name for name in sys.modules if name.endswith("ImagePlugin")))
"""


def test_no_decoder_but_the_frames_own_is_ever_reached() -> None:
    _run("-c", _REACHED)


def test_no_plugin_is_loaded_but_the_five_and_those_that_pillow_itself_loads() -> None:
    made = [samples.picture(form).hex() for form in FORMATS]
    loaded = _run("-c", _LOADED, *made).split()
    own, begins = {"Png", "Jpeg", "WebP", "Gif", "Avif"}, {"Bmp", "Ppm", "Gif", "Jpeg", "Png"}
    assert {name.removeprefix("PIL.").removesuffix("ImagePlugin") for name in loaded} <= own | begins


# ---- the header and Pillow

SIZES = ((1, 1), (1, 9), (9, 1), (8, 8), (17, 3), (64, 65), (255, 256), (300, 2))


def _good() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A format, a mode and how to write it: all that Pillow has."""
    options: dict[str, Any]
    for mode in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"):
        for options in ({}, {"optimize": True}, {"compress_level": 0}, {"dpi": (72, 72), "icc_profile": b"icc" * 99}):
            yield "PNG", mode, options
    for mode in ("1", "L", "RGB", "CMYK"):
        for options in ({}, {"progressive": True}, {"quality": 1}, {"quality": 100, "subsampling": 0},
                        {"subsampling": 1}, {"optimize": True}, {"restart_marker_blocks": 1}, {"comment": b"x" * 999},
                        {"icc_profile": b"icc" * 40_000}, {"restart_marker_rows": 1, "progressive": True}):  # fmt: skip
            yield "JPEG", mode, options
    for mode in ("L", "LA", "P", "RGB", "RGBA"):
        for options in ({}, {"lossless": True}, {"quality": 1, "method": 0}, {"exact": True, "lossless": True},
                        {"xmp": b"<x/>"}, {"icc_profile": b"icc"}, {"save_all": True}):  # fmt: skip
            yield "WEBP", mode, options
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        for options in ({}, {"interlace": 0}, {"optimize": True}, {"transparency": 0}, {"comment": b"x" * 999},
                        {"loop": 0, "duration": 9, "disposal": 2}):  # fmt: skip
            yield "GIF", mode, options
    for mode in ("L", "RGB", "RGBA") if "AVIF" in FORMATS else ():
        for options in ({}, {"quality": 100}, {"subsampling": "4:4:4"}, {"icc_profile": b"icc" * 99}, {"xmp": b"<x/>"}):
            yield "AVIF", mode, options | {"speed": 10}


GOOD = list(_good())


@pytest.mark.parametrize("form", FORMATS)
def test_header_and_pillow_agree_about_every_good_file_and_it_is_shown(form: str) -> None:
    for _, mode, options in (each for each in GOOD if each[0] == form):
        for size in SIZES:
            data = written(form, mode, size, **options)
            head = read_header(data)
            with Image.open(BytesIO(data)) as image:
                assert (image.format, image.size) == (head.format, head.size), (mode, options, size)
            frame = Frame(data=data, format=head.format, size=head.size)
            assert frame.decode().size == size
            assert max(frame.thumbnail((5, 5)).size) <= 5


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF"])
def test_of_an_animation_the_first_picture_is_shown(form: str) -> None:
    frames = [Image.new("L", (9, 7), shade) for shade in (0, 120, 250)]
    file = BytesIO()
    frames[0].save(file, form, save_all=True, append_images=frames[1:], lossless=True)
    data = file.getvalue()
    head = read_header(data)
    shown = Frame(data=data, format=head.format, size=head.size).decode().convert("L")
    assert shown.tobytes() == frames[0].tobytes()


def _sizes(data: bytes, form: str) -> tuple[int, int] | None:
    """Return the size that Pillow reads; None if it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(data), formats=[form]) as image:
                return image.size
        except Exception:  # noqa: BLE001 - any exception of Pillow
            return None


def test_the_header_of_a_hostile_file_has_the_size_that_pillow_reads() -> None:
    for name, hostile in table().items():
        data = hostile.make()
        if len(data) > 2**21:  # of comments and texts, of which Pillow makes much
            continue
        try:
            head = read_header(data)
        except HeaderError:
            continue
        if head.format != "SVG":
            stored = _sizes(data, head.format)
            assert stored is None or head.size in (stored, stored[::-1]), name


# ---- earlier faults


@pytest.mark.parametrize(
    "data",
    [
        table()["png-two-sizes"].make(),  # two IHDR chunks: Pillow believes the second
        table()["gif-frame-12000"].make(),  # a picture that is larger than its canvas: Pillow enlarges that
    ],
)
def test_a_size_that_comes_late_is_not_one_at_which_pillow_warns(data: bytes) -> None:
    assembler = Assembler()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assembler.feed(samples.done("ig_1", data))
        assert assembler["ig_1"].final is None
    assert warned == []


def test_an_extension_without_data_does_not_hide_the_picture_behind_it() -> None:
    picture = Frame(data=gif(b"!\xf9\0", b"!\x01\0", gif_frame()), format="GIF", size=(2, 2))
    assert picture.decode().size == (2, 2)


def test_an_error_holds_no_addresses_and_always_a_reason() -> None:
    damaged = Frame(data=table()["png-tRNS-short"].make(), format="PNG", size=(2, 2))
    reasons = "cannot identify image file|Truncated tRNS chunk"  # of older and newer Pillows
    with pytest.raises(FrameDecodeError, match=f"cannot be decoded: ({reasons}); show another frame"):
        damaged.decode()


@pytest.mark.parametrize("form", FORMATS)
def test_the_limit_of_pixels_is_that_of_the_caller(form: str) -> None:
    for limit, is_kept in ((16 * 12, True), (16 * 12 - 1, False)):
        assembler = Assembler(limits=Limits(max_frame_pixels=limit))
        assembler.feed(samples.done("ig_1", written(form)))
        assert (assembler["ig_1"].final is not None) is is_kept


def test_the_largest_pictures_of_the_table_are_as_large_as_the_limit() -> None:
    assert SIDE * SIDE <= Limits().max_frame_pixels < (SIDE + 1) ** 2
    assert read_header(flat(SIDE, SIDE)).size == (SIDE, SIDE)
    with pytest.raises(HeaderError):
        read_header(png())
