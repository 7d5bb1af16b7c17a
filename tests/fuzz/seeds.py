"""The seeds of fuzzing: the recorded streams, their events, and the hostile pictures; as far as they are small."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import samples
from hostile import pictures

from imgassemble import open_events

FIXTURES = Path(__file__).parents[2] / "fixtures"
_LONGEST = 8_000  # bytes: a mutation of more is hardly one


@cache
def seeds(target: str) -> tuple[bytes, ...]:
    """The seeds of a target, as it takes them."""
    return tuple(data for data in _ALL[target]() if len(data) <= _LONGEST)


def _streams() -> Iterator[Path]:
    yield from sorted(path for path in FIXTURES.iterdir() if path.suffix in (".sse", ".jsonl", ".json"))


def _sse() -> Iterator[bytes]:
    for at, path in enumerate(_streams()):
        body = path.read_bytes()
        for piece in (body, body[:3_000], body[-3_000:]):
            yield bytes([at % 4, 2, 0, at, 1, at]) + piece
    for body in (b"\xef\xbb\xbfdata: {}\r\n\r\n", b"{}\n{}", b'[{"type":"a"}]', b"event: error\rdata: {\rdata: }\r\r",
                 b"id: 1\ndata: [DONE]\n\n", b": ping\n\n", b"data:" * 30):  # fmt: skip
        yield b"\2\3\0\1\0\2\0\5" + body


def _feed() -> Iterator[bytes]:
    for path in _streams():
        events = [event for event in open_events(path) if isinstance(event, dict)]
        lines = [json.dumps(event).encode() for event in events]
        for how in (0, 1, 2, 4, 8):
            yield bytes([how]) + b"\n".join(line for line in lines if len(line) < 1_500)
    small = [
        samples.added(seq=0),
        samples.partial(seq=1),
        samples.partial(index=1, seq=2),
        samples.call("completed", seq=3),
        samples.done(content=samples.png(), seq=4),
        samples.snapshot("completed", [samples.member(content=samples.png())], seq=5),
        samples.error(seq=6),
        samples.image_partial(seq=7),
        samples.image_completed(samples.png(), seq=8),
    ]
    for how in range(16):
        yield bytes([how]) + b"\n".join(json.dumps(event).encode() for event in small)
        yield bytes([how | 16]) + bytes(range(how * 16, how * 16 + 16)) * 8


def _header() -> Iterator[bytes]:
    made = [hostile.make() for name, hostile in pictures.table().items() if name not in _LARGE]
    made += [
        samples.picture(form) for form in ("PNG", "JPEG", "WEBP", "GIF", "AVIF") if form != "AVIF" or samples.has_avif()
    ]
    made += [pictures.written("JPEG", size=(16, 16), progressive=True), pictures.written("PNG", "P", (9, 7)),
             pictures.written("WEBP", "RGBA", (9, 7))]  # fmt: skip
    for data in made:
        yield b"\0" + data
        if data.startswith(pictures.SIGNATURE):
            yield b"\1" + data


# These take long to make, and none of them is small.
_LARGE = frozenset(
    {
        "svg-long-root",
        "svg-tags",
        "svg-comments",
        "svg-attributes",
        "gif-comment-32-MB",
        "gif-200000-frames",
        "gif-20000-frames",
        "png-200000-chunks",
        "gif-flat",
    }
)
_ALL = {"sse": _sse, "feed": _feed, "header": _header}
