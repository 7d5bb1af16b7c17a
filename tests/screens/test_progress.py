"""Updates as lines of text: ids, frames and previews."""

from __future__ import annotations

from typing import Any, cast

import pytest
import samples

from imgassemble import Frame, assemble
from imgassemble.screens.progress import Progress, describe_frame

SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


@pytest.mark.parametrize(
    ("size", "text"), [(None, f"SVG, {len(SVG)} bytes"), ((30, 20), f"SVG 30x20, {len(SVG)} bytes")]
)
def test_a_frame_is_described_with_the_size_that_it_has(size: tuple[int, int] | None, text: str) -> None:
    assert describe_frame(Frame(data=SVG, format="SVG", size=cast(Any, size))) == text


def test_previews_are_counted_from_one() -> None:
    lines: list[str] = []
    assemble([samples.partial(index=0), samples.partial(index=1)], on_update=Progress(lines.append, lambda: False))
    assert [line.split(": ")[1].split(",")[0] for line in lines if "preview " in line] == ["preview 1", "preview 2"]


def test_images_are_numbered_from_one_in_every_line_and_in_the_sentences_of_errors() -> None:
    lines: list[str] = []
    events = [
        samples.added("ig_long_1"),
        samples.added("ig_2"),
        samples.partial("ig_2", 0, b"no picture"),
        samples.done("ig_2", samples.png()),
        samples.partial("ig_long_1", 0),
    ]
    assemble(events, on_update=Progress(lines.append, lambda: False))
    texts = [line.partition("s  ")[2] for line in lines]
    assert texts[:2] == ["image 1: in progress", "image 2: in progress"]
    assert texts[2].startswith("problem: preview 1 of image 2 in response.image_generation_call.partial_image")
    assert texts[3].startswith("image 2: final, PNG")
    assert texts[-2] == "image 1: incomplete: the stream ended before its final picture"
    assert texts[-1] == "incomplete: the stream ended before image 1 was complete; what came is kept: resume the stream"
    assert not [text for text in texts if "ig_" in text]


def test_a_source_that_is_no_stream_is_explained_once() -> None:
    lines: list[str] = []
    assemble([b"<html>502</html>"], on_update=Progress(lines.append, lambda: False))
    problem, outcome = (line.partition("s  ")[2] for line in lines)
    assert problem.startswith("problem: ")
    assert outcome == "no image"


def test_the_reason_of_the_only_failure_is_printed_once() -> None:
    lines: list[str] = []
    events = [samples.partial(), samples.error("server_error", "it broke")]
    assemble(events, on_update=Progress(lines.append, lambda: False))
    assert [line.partition("s  ")[2] for line in lines][-2:] == [
        "image 1: failed: the service failed (server_error): it broke",
        "failed",
    ]


def test_the_reason_of_an_image_without_a_usable_picture_is_in_the_words_for_people() -> None:
    lines: list[str] = []
    assemble([samples.partial(content=b"no picture")], on_update=Progress(lines.append, lambda: False))
    ended = next(line for line in lines if "incomplete: " in line)
    assert ended.endswith("the picture that came could not be used")
