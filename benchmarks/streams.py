"""The bodies that all sides get: one response each, with pictures as large as the services send them."""

from __future__ import annotations

from functools import cache

from PIL import Image

from imgassemble.simulator import (
    ImageCall,
    Order,
    base64_text,
    draw,
    encode,
    image_events,
    play,
    responses_stream,
    sharpen,
    sse,
)
from imgassemble.simulator.pictures import Format

CHUNK = 16 * 1024  # bytes that an HTTP client gives at a time
FORMATS: tuple[Format, ...] = ("PNG", "JPEG", "WEBP")
SQUARE = (1024, 1024)


@cache
def make_stream(form: Format, size: tuple[int, int] = SQUARE, items: int = 1) -> bytes:
    """The body of one response: of each item three partials, and a result that comes twice."""
    final = grained(draw("an otter on a lake at dusk", size=size))
    *partials, result = (base64_text(encode(image, form)) for image in [*sharpen(final, 3), final])
    shape = "{}x{}".format(*size)
    calls = [
        ImageCall(id=f"ig_{number}", partials=tuple(partials), result=result, format=form.lower(), size=shape)
        for number in range(items)
    ]
    made = (image_events(call, output_index=number) for number, call in enumerate(calls))
    return sse(responses_stream(*made, format=form.lower()))


@cache
def make_chat() -> bytes:
    """The body of a chat completion with one picture, as a data: URL."""
    return b"".join(play(Order(api="chat")).body)


def grained(image: Image.Image) -> Image.Image:
    """With grain, as photographs have it: recorded PNGs of 1024x1024 have 1.5 MB and JPEGs 80 KB, and so have these."""
    return Image.blend(image, Image.effect_noise(image.size, 40).convert("RGB"), 0.06)


def chunks_of(body: bytes, size: int = CHUNK) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]
