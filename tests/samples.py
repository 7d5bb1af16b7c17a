"""Tiny pictures and wire events for tests, as the services send them. It builds; it asserts nothing.

A picture is `bytes`, which become base64; a `str` goes on the wire as it is; None is null. An argument that is None
is left out of the message, and `**more` are further fields of it.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from io import BytesIO
from struct import pack
from typing import Any

import PIL

from imgassemble.frames.base64_json import Decoded

Wire = dict[str, Any]
Picture = bytes | str | None


def png(width: int = 1, height: int = 1, colour: tuple[int, int, int] = (200, 60, 20)) -> bytes:
    """A whole PNG of one colour."""
    rows = (b"\0" + bytes(colour) * width) * height
    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def png_chunk(kind: bytes, body: bytes = b"") -> bytes:
    """One chunk of a PNG, with its length and CRC."""
    return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))


def shade(index: Any) -> bytes:
    """A small PNG whose red tells `index`."""
    return png(
        colour=(int(index) % 256, 0, 0) if isinstance(index, (int, float)) and 0 <= index <= 2**53 else (0, 0, 9)
    )


@cache
def picture(form: str, width: int = 8, height: int = 6) -> bytes:
    """A whole picture in a format that Pillow writes: "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", …"""
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (width, height), (30, 90, 160)).save(file, form)
    return file.getvalue()


@cache
def has_avif() -> bool:
    """Return whether this Pillow reads and writes AVIF; it does from 11.3 on."""
    from PIL import features

    return "avif" in features.modules and bool(features.check_module("avif"))


def survives_lack_of_memory() -> bool:
    """Return whether Pillow reports an AVIF that needs more memory than there is; before 12.2 the process crashes."""
    return tuple(map(int, PIL.__version__.split(".")[:2])) >= (12, 2)


def b64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _text(content: Picture) -> str | None:
    return b64(content) if isinstance(content, bytes) else content


def _message(kind: str, seq: float | None, **fields: Any) -> Wire:
    said = {"sequence_number": seq, **fields}
    return {"type": kind} | {name: value for name, value in said.items() if value is not None}


def call(
    kind: str, item_id: str | None = "ig_1", *, seq: float | None = None, output_index: Any = 0, **more: Any
) -> Wire:
    """`response.image_generation_call.<kind>`: in_progress, generating, completed."""
    name = f"response.image_generation_call.{kind}"
    return _message(name, seq, item_id=item_id, output_index=output_index) | more


def partial(
    item_id: str | None = "ig_1", index: Any = 0, content: Picture = None, *, seq: float | None = None, **more: Any
) -> Wire:
    """`response.image_generation_call.partial_image`; without `content` a small PNG whose colour tells the index."""
    shown = shade(index) if content is None else content
    fields: Wire = {"partial_image_b64": _text(shown)} | ({} if index is None else {"partial_image_index": index})
    return call("partial_image", item_id, seq=seq, **(fields | more))


def member(
    item_id: str | None = "ig_1", content: Picture = None, *, status: str | None = "completed", **more: Any
) -> Wire:
    """One image among the members of `response.output`."""
    fields = {"id": item_id, "status": status}
    said = {name: value for name, value in fields.items() if value is not None}
    return {"type": "image_generation_call", "result": _text(content)} | said | more


def added(item_id: str | None = "ig_1", *, seq: float | None = None, output_index: Any = 0, **more: Any) -> Wire:
    """`response.output_item.added`; `**more` are fields of its item."""
    item = member(item_id, None, **({"status": "in_progress"} | more))
    return _message("response.output_item.added", seq, output_index=output_index, item=item)


def done(
    item_id: str | None = "ig_1",
    content: Picture = None,
    *,
    status: str | None = "completed",
    seq: float | None = None,
    output_index: Any = 0,
    **more: Any,
) -> Wire:
    """`response.output_item.done`; `**more` are fields of its item."""
    item = member(item_id, content, status=status, **more)
    return _message("response.output_item.done", seq, output_index=output_index, item=item)


def created(response_id: str = "resp_1", *, seq: float | None = None) -> Wire:
    return _message("response.created", seq, response={"id": response_id, "status": "in_progress", "output": []})


def answer(
    kind: str, members: Iterable[Any] = (), *, error: Any = None, reason: str | None = None, **more: Any
) -> Wire:
    """A response as a whole, as a terminal event holds it and as it comes without streaming."""
    details = None if reason is None else {"reason": reason}
    said = {"id": "resp_1", "object": "response", "status": kind, "error": error, "incomplete_details": details}
    return {**said, "output": list(members), **more}


def snapshot(
    kind: str, members: Iterable[Any] = (), *, seq: float | None = None, error: Any = None, reason: str | None = None
) -> Wire:
    """`response.completed`, `.failed` or `.incomplete`, with the `member`s of its output."""
    return _message(f"response.{kind}", seq, response=answer(kind, members, error=error, reason=reason))


def error(code: str = "server_error", message: str = "it broke", *, seq: float | None = None) -> Wire:
    """`error` as it is sent, with a nested error."""
    return _message("error", seq, error={"type": code, "code": code, "message": message, "param": None})


def image_partial(
    index: Any = 0, content: Picture = None, *, seq: float | None = None, api: str = "image_generation", **more: Any
) -> Wire:
    """`image_generation.partial_image` of the Images API, or of `api="image_edit"`; `content` as for `partial`."""
    said = partial(None, index, content)
    fields = {"b64_json": said["partial_image_b64"]} | ({} if index is None else {"partial_image_index": index})
    return _message(f"{api}.partial_image", seq, **fields) | more


def image_completed(
    content: Picture = None, *, seq: float | None = None, api: str = "image_generation", **more: Any
) -> Wire:
    """`image_generation.completed` of the Images API, or of `api="image_edit"`."""
    return _message(f"{api}.completed", seq) | {"b64_json": _text(content)} | more


def sse(events: Sequence[Wire], *, done: bool = False) -> bytes:
    """The events as the body of a stream of server-sent events."""
    names = (f"event: {each['type']}\n" if "type" in each else "" for each in events)
    body = "".join(f"{name}data: {json.dumps(each)}\n\n" for name, each in zip(names, events, strict=True))
    return body.encode() + (b"data: [DONE]\n\n" if done else b"")


def cut_off(events: Iterable[Any]) -> Iterator[Any]:
    """The events of a stream whose connection breaks behind them."""
    yield from events
    raise ConnectionError("cut off")


def as_text(value: Any) -> Any:
    """Return a JSON value with its decoded base64 as it was sent."""
    if isinstance(value, Decoded):
        return value.text
    if isinstance(value, dict):
        return {name: as_text(member) for name, member in value.items()}
    return type(value)(map(as_text, value)) if isinstance(value, (list, tuple)) else value
