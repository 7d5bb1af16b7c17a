"""The strip of a result in a notebook: its pictures and captions as HTML."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import pytest
import samples
from PIL import Image

from imgassemble import Result, assemble

LARGE = samples.png(600, 300)


def captions(events: Iterable[samples.Wire]) -> list[str]:
    return re.findall("<figcaption[^>]*>([^<]*)<", html_of(assemble(list(events))))


def html_of(result: Result) -> str:
    return result._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [samples.partial(), samples.partial(index=1), samples.done(content=LARGE)],
            ["preview 1", "preview 2", "final"],
        ),
        (
            [samples.partial(), samples.call("completed")],
            ["draft: the last preview, because no final picture came"],
        ),
        (
            [samples.partial(), samples.partial(index=1)],
            ["preview 1", "draft: the stream ended before its final picture"],
        ),
        ([samples.partial(), samples.error()], ["preview 1", "failed: the service failed (server_error): it broke"]),
        (
            [samples.partial(), samples.error("moderation_blocked", "not that")],
            ["blocked: not that; its previews are hidden"],
        ),
        ([samples.error("server_error", "<b>no</b>")], ["the service failed (server_error): &lt;b&gt;no&lt;/b&gt;"]),
    ],
    ids=["completed", "draft", "cut", "failed", "blocked", "no image"],
)
def test_each_picture_has_a_caption(events: list[samples.Wire], expected: list[str]) -> None:
    assert captions(events) == expected


def test_several_images_are_numbered() -> None:
    events = [samples.partial("ig_1"), samples.done("ig_1", LARGE), samples.done("ig_2", LARGE)]
    assert captions(events) == ["image 1: preview 1", "image 1: final", "image 2: final"]


def test_the_error_of_the_stream_follows_whole_images() -> None:
    first = [samples.created("resp_1"), samples.done(content=LARGE), samples.snapshot("completed")]
    events = [*first, samples.created("resp_2"), samples.error("rate_limit_exceeded", "slow down")]
    assert captions(events) == ["final", "the service failed (rate_limit_exceeded): slow down"]


def test_the_pictures_are_small_copies() -> None:
    (source,) = re.findall('src="data:image/webp;base64,([^"]*)"', html_of(assemble([samples.done(content=LARGE)])))
    assert Image.open(BytesIO(b64decode(source))).size == (256, 128)


def test_a_picture_that_cannot_be_decoded_has_a_caption_alone() -> None:
    broken = samples.png(3, 3)[:33] + samples.png_chunk(b"IDAT", b"no pixels") + samples.png_chunk(b"IEND")
    assert captions([samples.done(content=broken)]) == ["final; it cannot be decoded"]


def test_a_blocked_image_leaves_no_picture_in_the_notebook() -> None:
    assert "base64" not in html_of(assemble([samples.partial(), samples.error("moderation_blocked", "no")]))


def test_a_strip_has_a_hundred_pictures_at_most() -> None:
    events = [samples.done(f"ig_{at}", samples.png(1, 1, (at, 0, 0)), output_index=at) for at in range(102)]
    assert captions(events)[-1] == "2 more pictures: see result.items"


def test_the_text_of_a_result_and_of_an_item_is_short() -> None:
    result = assemble([samples.partial(), samples.done(content=samples.png(5, 4))])
    assert repr(result) == result._repr_mimebundle_()["text/plain"] == "<Result completed: 1 image, 1 final>"
    final = "<Frame result, PNG 5x4, 74 bytes>"
    assert repr(result.items["ig_1"]) == f"<Item 'ig_1' completed, 1 partial, final {final}>"
    failed = assemble([samples.error()])
    assert repr(failed) == "<Result failed: 0 images, 0 finals; the service failed (server_error): it broke>"


def test_the_text_of_an_update_an_error_and_a_response_is_short() -> None:
    updates: list[Any] = []
    events = [samples.created(), samples.added(), samples.error("server_error", "it broke. " * 90)]
    result = assemble(events, on_update=updates.append)
    assert repr(updates[0]) == "StateChanged(item_id='ig_1', state=in_progress)"
    assert repr(result.error).startswith("ProviderError('the service failed (server_error): it broke. it broke.")
    shown = [*updates, result.error, *result.responses]
    assert [len(repr(each)) for each in shown if len(repr(each)) > 300] == []
    assert repr(result.responses[0]).startswith("<ResponseSummary 'resp_1' failed, ProviderError('the service")
