"""Pictures from elsewhere: bytes and Pillow images, fed like events."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from samples import picture as file_in
from samples import png, shade

from imgassemble import Assembler, DirectorySink, Picture, State, UsageError, assemble, saved_events


def test_bytes_become_a_partial_and_a_result_untouched() -> None:
    result = assemble([Picture("otter", shade(1), 4), Picture("otter", file_in("WEBP"), is_final=True)])
    (item,) = result.items.values()
    assert [(frame.index, frame.data) for frame in item.partials] == [(4, shade(1))]
    assert (result.require_final().data, result.require_final().event_type) == (file_in("WEBP"), "picture.final")


def test_pictures_without_an_index_are_counted() -> None:
    assembler = Assembler(strict=True)
    for shown in (1, 2, 3):
        assembler.feed(Picture("otter", shade(shown)))
    assert [(frame.index, frame.data) for frame in assembler["otter"].partials] == [
        (0, shade(1)),
        (1, shade(2)),
        (2, shade(3)),
    ]
    assert assembler["otter"].state is State.PARTIAL_IMAGE


def test_the_same_picture_twice_is_one_unless_it_has_an_index() -> None:
    counted = assemble([Picture("otter", shade(1)), Picture("otter", shade(1)), Picture("otter", shade(2))])
    assert [frame.index for frame in counted.items["otter"].partials] == [0, 1]
    numbered = assemble([Picture("otter", shade(1), 0), Picture("otter", shade(1), 5)])
    assert [frame.index for frame in numbered.items["otter"].partials] == [0, 5]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "I;16"])
def test_a_pillow_image_of_any_mode_becomes_a_png(mode: str) -> None:
    frame = assemble([Picture("otter", PIL.Image.new(mode, (7, 5)), is_final=True)]).require_final()
    assert (frame.format, frame.size) == ("PNG", (7, 5))


def test_a_pillow_image_is_encoded_at_once() -> None:
    image = PIL.Image.new("RGB", (2, 2), "red")
    picture = Picture("otter", image)
    image.putpixel((0, 0), (0, 0, 255))
    assert PIL.Image.open(BytesIO(picture.data)).getpixel((0, 0)) == (255, 0, 0)


def test_the_index_of_a_result_is_dropped() -> None:
    assert Picture("otter", png(), 20, is_final=True).index is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("", png()),
        (7, png()),
        ("o" * 5000, png()),
        ("otter", "iVBORw0KGgo="),
        ("otter", None),
        ("otter", png(), -1),
        ("otter", png(), "1"),
        ("otter", png(), True),
        ("otter", PIL.Image.new("RGB", (0, 0))),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError):
        Picture(*arguments)


def test_a_picture_shows_no_bytes() -> None:
    assert "PNG" not in repr(Picture("otter", png()))


def test_bytes_that_are_no_picture_are_an_anomaly() -> None:
    result = assemble([Picture("otter", b"no picture")])
    assert [each.code for each in result.items["otter"].anomalies] == ["bad_picture"]


def test_saved_pictures_are_read_back(tmp_path: Path) -> None:
    stream = [Picture("otter", shade(1), 0), Picture("otter", shade(9), is_final=True)]
    first = assemble(stream, sinks=[DirectorySink(tmp_path / "out")])
    again = assemble(saved_events(tmp_path / "out"))
    assert again.require_final() == first.require_final()
    assert again.items["otter"].partials == first.items["otter"].partials
