"""The targets of fuzzing: functions of bytes that return if the laws hold, and raise if one does not.

They need nothing but the library, so that findings are replayed as tests on every machine.
"""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from itertools import pairwise
from struct import pack
from typing import Any
from unittest.mock import patch

import samples
from hostile import pictures
from samples import as_text

from imgassemble import (
    Anomaly,
    Assembler,
    FinalReady,
    FinalWithdrawn,
    FrameDecodeError,
    ImgassembleError,
    IncompleteStreamError,
    Item,
    Limits,
    State,
    Update,
)
from imgassemble.frames.base64_json import Load, load_decoded, load_json
from imgassemble.frames.binary import HeaderError
from imgassemble.frames.containers import has_c2pa_manifest, read_header
from imgassemble.frames.frame import Frame
from imgassemble.frames.gif import gif_blocks
from imgassemble.streams.decoding.decoder import EventDecoder
from imgassemble.wire.dialects import ROWS
from imgassemble.wire.sse import LineDecoder, SSEDecoder

ENDS = {State.COMPLETED, State.FAILED, State.INCOMPLETE}
CLIMB = {State.IN_PROGRESS: 0, State.GENERATING: 1, State.PARTIAL_IMAGE: 2, **dict.fromkeys(ENDS, 3)}
_MOST_PIXELS = 2**20  # decoded here, so that a run has many thousand pictures a second and not one


class Reader:
    """Takes choices from bytes; if none are left, each is the first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def choice(self, among: Any) -> Any:
        return among[self.byte() % len(among)]

    def rest(self) -> bytes:
        return self._data[self._at :]

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)


# ---- server-sent events, and the other framings


def sse(data: bytes) -> None:
    """The same bytes give the same events at any cut, also if base64 is decoded inside them.

    First a limit, then a number of cuts and the cuts.
    """
    reader = Reader(data)
    most = reader.choice((10, 64, 1_000, 2**20))
    places = [reader.byte() << 8 | reader.byte() for _ in range(reader.byte() % 8)]
    body = reader.rest()
    cuts = sorted(place % (len(body) + 1) for place in places)
    pieces = [body[start:end] for start, end in pairwise([0, *cuts, len(body)])]
    for decode in (_sse_events, _any_events):
        whole = decode([body], most)
        assert decode(pieces, most) == whole, f"{decode.__name__} differs where the bytes are cut"
        if len(body) < 200:
            assert decode([bytes([each]) for each in body], most) == whole, f"{decode.__name__} differs byte by byte"
    with patch("imgassemble.frames.base64_json._LONG", 4):
        assert _any_events(pieces, most, load_decoded) == _any_events(pieces, most), "it differs where it is decoded"


def _sse_events(pieces: Iterable[bytes], most: int) -> list[str]:
    lines, decoder = LineDecoder(most), SSEDecoder(most)
    events = [decoder.take(line) for piece in pieces for line in lines.feed(piece)]
    events += map(decoder.take, (*lines.close(), bytearray()))
    return [repr(event) for event in events if event]


def _any_events(pieces: Iterable[bytes], most: int, load: Load = load_json) -> list[str]:
    decoder = EventDecoder(Limits(max_event_bytes=most, max_total_bytes=most * 4), load=load)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    events += decoder.close()
    return [f"{as_text(event)!r} {decoder.last_event_id!r} {decoder.is_done}" for event in events]


# ---- Assembler.feed


def feed(data: bytes) -> None:
    """Any events give updates or an error of ours, and no state ever falls."""
    reader = Reader(data)
    how = reader.byte()
    limits = Limits(max_items=4, max_frames_per_item=3, max_total_bytes=600) if how & 1 else Limits()
    assembler = Assembler(
        limits=limits,
        strict=bool(how & 2),
        keep="latest" if how & 4 else "all",
        key_by="output_index" if how & 8 else "item_id",
    )
    watch = _Watch(assembler, limits)
    events = _built_events(reader) if how & 16 else _written_events(reader.rest())
    for event in events:
        watch.feed(event)
    watch.close()


class _Watch:
    """Feeds an assembler, and looks at the laws after each event."""

    def __init__(self, assembler: Assembler, limits: Limits) -> None:
        self._assembler, self._limits = assembler, limits
        self._before: dict[str, Item] = {}
        self._told: dict[str, FinalReady | FinalWithdrawn] = {}

    def feed(self, event: Any) -> None:
        cursor = self._assembler.cursor
        try:
            self._look(self._assembler.feed(event))
        except ImgassembleError as error:
            assert self._assembler is not None
            repr(error)
            json.dumps(error.as_dict())
            assert dict(self._assembler.items) == self._before, "a refused event changed something"
            assert self._assembler.cursor == cursor, "a refused event moved the cursor"

    def close(self) -> None:
        try:
            self._look(self._assembler.close())
        except IncompleteStreamError:
            assert self._assembler.result is not None
        assert self._assembler.outcome is not None
        assert all(item.state in ENDS for item in self._assembler.items.values())

    def _look(self, updates: tuple[Update, ...]) -> None:
        for update in updates:
            json.dumps(update.as_dict())
            assert repr(update).isprintable()
            if isinstance(update, (FinalReady, FinalWithdrawn)):
                self._told[update.item_id] = update
            if isinstance(update, Anomaly):
                assert update.message.isprintable()
        items = dict(self._assembler.items)
        frames = [frame for item in items.values() for frame in (*item.partials, *filter(None, [item.final]))]
        total = sum({id(frame.data): len(frame.data) for frame in frames}.values())
        assert total <= self._limits.max_total_bytes
        assert len(items) <= self._limits.max_items
        for name, item in items.items():
            before = self._before.get(name)
            assert CLIMB[item.state] >= (CLIMB[before.state] if before else 0), "a state fell"
            assert len(item.partials) <= self._limits.max_frames_per_item
            told = self._told.get(name)
            if isinstance(told, FinalReady):
                assert (told.frame, told.is_provisional) == (item.final, item.is_provisional)
            else:
                assert item.final is None or item.is_provisional
            json.dumps(item.as_dict())
        self._before = items


def _written_events(data: bytes) -> Iterator[Any]:
    """Each line as it is, and as the JSON value that it is."""
    for line in data.split(b"\n")[:20]:
        yield line
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            yield line.decode("utf-8", "surrogateescape")


_IDS = ("ig_1", "ig_2", "", None, 7, "\0", "../x", "\ud800", "x" * 5_000)
_NUMBERS = (0, 1, 2, 3, 0.5, 2**53, -1, None, "1", True, 1e999, float("nan"), 10**30)
_STATUSES = ("completed", "failed", "incomplete", "generating", None, "in_progress", "?")
_PICTURES = (
    samples.png(colour=(1, 2, 3)),
    samples.png(colour=(9, 2, 3)),
    samples.png(2, 3),
    samples.png()[:-5],
    "",
    "%%%",
    None,
    "https://example.com/a.png",
    "data:image/png;base64," + samples.b64(samples.png(colour=(4, 4, 4))),
    "\ud800",
    7,
    samples.b64(b"no picture"),
)
_TYPES = tuple(ROWS)


def _built_events(reader: Reader) -> Iterator[Any]:
    """Events of known types, built from choices: the lifecycle is reached sooner than by chance."""
    for _ in range(40):
        if reader.is_over:
            return
        yield _event(reader)


def _event(reader: Reader) -> Any:
    kind = reader.choice(_TYPES)
    fields = reader.byte()
    said: dict[str, Any] = {"type": kind, "item_id": reader.choice(_IDS)}
    if fields & 1:
        said["sequence_number"] = reader.byte() if fields & 128 else reader.choice(_NUMBERS)
    if fields & 2:
        said["partial_image_index"] = reader.choice(_NUMBERS)
    if fields & 4:
        said["partial_image_b64"] = said["b64_json"] = _picture(reader)
    if fields & 8:
        said["item"] = _member(reader)
    if fields & 16:
        members = [_member(reader) for _ in range(reader.byte() % 4)]
        said["response"] = {"id": reader.choice(_IDS), "status": reader.choice(_STATUSES), "output": members}
    if fields & 32:
        said["output_index"] = reader.choice(_NUMBERS)
    if fields & 64:
        said["error"] = reader.choice((None, "broke", {"code": 7, "message": "\x1b[2J"}, [], {"message": {"a": []}}))
        said["status"] = reader.choice(_STATUSES)
        said["data"] = [{"b64_json": _picture(reader)}, None]
    return said


def _picture(reader: Reader) -> Any:
    content = reader.choice(_PICTURES)
    return samples.b64(content) if isinstance(content, bytes) else content


def _member(reader: Reader) -> Any:
    kind = reader.choice(("image_generation_call", "message", "openrouter:image_generation", None))
    return {"type": kind, "id": reader.choice(_IDS), "status": reader.choice(_STATUSES), "result": _picture(reader)}


# ---- pictures


def header(data: bytes) -> None:
    """Pillow reads the same format and size as the header reader, or refuses; pixels or a FrameDecodeError follow.

    The first byte tells whether the checksums of a PNG are put right, so that more than those is tried.
    """
    picture = _with_checksums(data[1:]) if data[:1] == b"\1" else data[1:]
    try:
        head = read_header(picture)
    except HeaderError as error:
        assert str(error).isprintable()
        return
    assert head.size is None or min(head.size) > 0
    assert has_c2pa_manifest(picture, head.format) in (True, False)
    if head.format == "SVG" or head.size is None or head.size[0] * head.size[1] > _MOST_PIXELS:
        return
    if not _is_misread(picture, head.format):
        seen = _pillow_size(picture, head.format)
        assert seen is None or head.size in (seen, seen[::-1]), f"the header says {head.size}, and Pillow {seen}"
    frame = Frame(data=picture, format=head.format, size=head.size)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for pixels in (frame.decode, lambda: frame.thumbnail((9, 9)), lambda: next(frame.animation(), None)):
            try:
                pixels()
            except FrameDecodeError as error:
                assert str(error).isprintable()
                assert "its header says" not in str(error), "what Pillow is given has another size"
    assert not warned, f"Pillow warns: {warned[0].message}"


def _is_misread(picture: bytes, form: str) -> bool:
    """Return whether Pillow, given all of a GIF, would go on at the wrong byte, after an extension with an early end.
    The library gives it only the needed blocks, without extensions of this kind.
    """
    if form != "GIF":
        return False
    return any(kind == b"!\xff" or end - start == 3 for kind, start, end in gif_blocks(picture))


def _pillow_size(picture: bytes, form: str) -> tuple[int, int] | None:
    """Return the size that Pillow reads; None if it refuses."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(picture), formats=[form]) as image:
                return image.size
        except Exception:  # noqa: BLE001 - Pillow can raise anything
            return None


def _with_checksums(data: bytes) -> bytes:
    at, parts = len(pictures.SIGNATURE), [data[: len(pictures.SIGNATURE)]]
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        body = data[at + 4 : at + 8 + length]
        parts += [data[at : at + 4], body, pack(">I", zlib.crc32(body))]
        at += 12 + length
    return b"".join([*parts, data[at:]])


TARGETS: dict[str, Callable[[bytes], None]] = {"sse": sse, "feed": feed, "header": header}
