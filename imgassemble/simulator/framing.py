"""Turns events into the pieces of a body, and records how the connection ends after them.

Must not know: services, pictures, sockets, time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from .comfyui_frames import comfyui_frame
from .messages import ERROR_FIELD, Event, json_text, sse

ConnectionEnd = Literal["closed", "disconnected", "hanging"]
Container = Literal["sse", "lines", "array", "messages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How events become bytes, and after which event or byte these stop."""

    container: Container = "sse"  # the fields down to `done` are for "sse" only
    event_lines: bool = True
    newline: str = "\n"
    comment: str = ""
    done: bool = False
    piece_bytes: int = 0  # 0: one piece for each event
    last_event: int | None = None  # how many events are sent; None: all of them
    last_byte: int | None = None
    ending: ConnectionEnd = "closed"


PLAIN = Framing()


def frame_events(events: Iterable[Event], framing: Framing) -> tuple[bytes, ...]:
    """Return the body of a stream: one piece for each event (and one for `[DONE]`), cut as `framing` says."""
    return cut_pieces(_WRITERS[framing.container](list(events), framing), framing)


def _write_sse(events: Sequence[Event], framing: Framing) -> list[bytes]:
    pieces = [
        sse([event], event_lines=framing.event_lines, newline=framing.newline, comment=framing.comment)
        for event in events
    ]
    return [*pieces, sse([], newline=framing.newline, done=True)] if framing.done else pieces


def _write_lines(events: Sequence[Event], framing: Framing) -> list[bytes]:
    return [_json_of(event) + b"\n" for event in events]


def _write_array(events: Sequence[Event], framing: Framing) -> list[bytes]:
    return [*((b",\r\n" if n else b"[") + _json_of(event) for n, event in enumerate(events)), b"]"]


def _json_of(event: Event) -> bytes:
    return json_body({"error": event[ERROR_FIELD]} if ERROR_FIELD in event else event)


def _write_messages(events: Sequence[Event], framing: Framing) -> list[bytes]:
    return [comfyui_frame(event) for event in events]


_WRITERS: Mapping[Container, Callable[[Sequence[Event], Framing], list[bytes]]] = {
    "sse": _write_sse,
    "lines": _write_lines,
    "array": _write_array,
    "messages": _write_messages,
}


def cut_pieces(pieces: Iterable[bytes], framing: Framing) -> tuple[bytes, ...]:
    """Return the pieces that are sent, cut as `framing` says."""
    kept = list(pieces)[: framing.last_event]
    if framing.last_byte is not None:
        ends = accumulate(map(len, kept))
        kept = [piece[: max(0, framing.last_byte - end + len(piece))] for piece, end in zip(kept, ends, strict=True)]
    size = framing.piece_bytes
    if size:
        kept = [piece[at : at + size] for piece in kept for at in range(0, len(piece), size)]
    return tuple(filter(None, kept))


# ---- recorded streams

# A blank line with any line ends; the piece keeps it.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)+")


def split_events(recorded: bytes) -> list[bytes]:
    """Split a stream of server-sent events after each blank line. The joined pieces are the stream."""
    ends = [match.end() for match in _BLANK_LINE.finditer(recorded)]
    pieces = [recorded[start:end] for start, end in zip([0, *ends], [*ends, len(recorded)], strict=True)]
    return [piece for piece in pieces if piece]


def parse_piece(piece: bytes) -> Event | None:
    """Return the event in one piece of a server-sent stream; None if it has no readable event."""
    lines = piece.decode("utf-8", "replace").removeprefix("\ufeff").splitlines()
    data = "\n".join(line[5:].removeprefix(" ") for line in lines if line.startswith("data:"))
    return parse_object(data)


def parse_object(text: str) -> Event | None:
    """Return the JSON object in `text`; None if it is no JSON object."""
    found = parse_json(text)
    return found if isinstance(found, dict) else None


def parse_json(text: str) -> Any:
    """Return the value of the JSON in `text`; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def json_body(value: object) -> bytes:
    """Return the body of an answer that is not streamed."""
    return json_text(value).encode()
