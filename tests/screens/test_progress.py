"""Updates as lines of text: ids, frames and previews."""

from __future__ import annotations

from typing import Any, cast

import pytest
import samples

from imgassemble import Frame, assemble
from imgassemble.screens.progress import Progress, describe_frame, shorten_id

SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


@pytest.mark.parametrize(
    ("size", "text"), [(None, f"SVG, {len(SVG)} bytes"), ((30, 20), f"SVG 30x20, {len(SVG)} bytes")]
)
def test_a_frame_is_described_with_the_size_that_it_has(size: tuple[int, int] | None, text: str) -> None:
    assert describe_frame(Frame(data=SVG, format="SVG", size=cast(Any, size))) == text


@pytest.mark.parametrize(
    ("item_id", "text"),
    [("ig_1", "ig_1"), ("", "''"), ("ig_\x1b[2J", "ig_ [2J"), ("a" * 12 + "-" + "b" * 12, "a" * 12 + "…" + "b" * 8)],
)
def test_an_item_id_is_printable_and_short(item_id: str, text: str) -> None:
    assert shorten_id(item_id) == text


def test_previews_are_counted_from_one() -> None:
    lines: list[str] = []
    assemble([samples.partial(index=0), samples.partial(index=1)], on_update=Progress(lines.append, lambda: False))
    assert [line.split("  ")[-2] for line in lines if "preview " in line] == ["preview 1", "preview 2"]
