"""The streams of image services made by code: for tests, demonstrations, and work without a key.

Knows: how pictures are drawn (`pictures`), what the services send (`scripts`), and the streams kept as
fixtures (`fixtures`). Must not know: the assembler; what it says about a stream is checked against what is
expected here.
"""

from .pictures import draw, encode, sharpen
from .scripts import (
    Call,
    Event,
    base64_text,
    image_events,
    images_stream,
    json_lines,
    message_events,
    responses_stream,
    sse,
)

__all__ = [
    "Call",
    "Event",
    "base64_text",
    "draw",
    "encode",
    "image_events",
    "images_stream",
    "json_lines",
    "message_events",
    "responses_stream",
    "sharpen",
    "sse",
]
