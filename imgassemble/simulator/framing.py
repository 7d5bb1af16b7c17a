"""From events to the pieces of a body, and how the connection ends behind them.

Knows: server-sent events and JSON. Must not know: services, pictures, sockets, time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from .messages import Event, json_text, sse

Ending = Literal["closed", "disconnected", "hanging"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How events become bytes, and where these stop. Numbers of events and bytes count what is still sent."""

    event_lines: bool = True
    newline: str = "\n"
    comment: str = ""
    done: bool = False
    piece_bytes: int = 0  # 0: a piece for each event
    last_event: int | None = None  # None: all of them
    last_byte: int | None = None
    ending: Ending = "closed"


PLAIN = Framing()


def framed(events: Iterable[Event], framing: Framing) -> tuple[bytes, ...]:
    """The body of a stream, one piece for each event (and for `[DONE]`), cut as `framing` has it."""
    pieces = [
        sse([event], event_lines=framing.event_lines, newline=framing.newline, comment=framing.comment)
        for event in events
    ]
    pieces += [sse([], newline=framing.newline, done=True)] if framing.done else []
    return delivered(pieces, framing)


def delivered(pieces: Iterable[bytes], framing: Framing) -> tuple[bytes, ...]:
    """The pieces as far as they are sent, cut as `framing` has it."""
    kept = list(pieces)[: framing.last_event]
    if framing.last_byte is not None:
        ends = accumulate(map(len, kept))
        kept = [piece[: max(0, framing.last_byte - end + len(piece))] for piece, end in zip(kept, ends, strict=True)]
    size = framing.piece_bytes
    if size:
        kept = [piece[at : at + size] for piece in kept for at in range(0, len(piece), size)]
    return tuple(filter(None, kept))


# ---- recorded streams

# A blank line, whatever the line ends are; the piece keeps it.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)+")


def pieces_of(recorded: bytes) -> list[bytes]:
    """The pieces of a server-sent stream, each with the blank line that ends it; joined they are the stream."""
    ends = [match.end() for match in _BLANK_LINE.finditer(recorded)]
    pieces = [recorded[start:end] for start, end in zip([0, *ends], [*ends, len(recorded)], strict=True)]
    return [piece for piece in pieces if piece]


def event_in(piece: bytes) -> Event | None:
    """The event in one piece of a server-sent stream, None where there is none that can be read."""
    lines = piece.decode("utf-8", "replace").removeprefix("\ufeff").splitlines()
    data = "\n".join(line[5:].removeprefix(" ") for line in lines if line.startswith("data:"))
    return read_event(data)


def read_event(text: str) -> Event | None:
    """The JSON object in `text`, None where it is none."""
    found = read_json(text)
    return found if isinstance(found, dict) else None


def read_json(text: str) -> Any:
    """What the JSON in `text` says, None where it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def json_body(value: object) -> bytes:
    """The body of an answer that is not streamed."""
    return json_text(value).encode()
