"""Sends a recorded stream again.

Must not know: how a stream is made, sockets, time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from ..errors import UsageError
from .answers import Answer, first_response_id
from .framing import Framing, frame_events, parse_json, parse_object, parse_piece, split_events
from .messages import Event


def replay(recorded: bytes) -> Answer:
    """Return a recorded stream as an answer, one piece for each event.

    recorded: server-sent events, which are sent byte for byte; JSON Lines or a JSON array of events, which become
        server-sent events; or one whole answer.

    Raises UsageError if it is none of these.
    """
    events = _json_events(recorded)
    if events is not None:
        framing = Framing(event_lines=all("type" in event for event in events))
        return _recorded_answer(events, frame_events(events, framing), framing)
    if parse_object(_text(recorded)) is not None:
        return Answer(headers={"content-type": "application/json"}, body=(recorded,))
    pieces = split_events(recorded)
    found = [event for event in map(parse_piece, pieces) if event is not None]
    if not found:
        raise UsageError("the recording cannot be replayed: there is no event in it")
    return _recorded_answer(found, tuple(pieces), _recorded_framing(recorded))


def _text(recorded: bytes) -> str:
    return recorded.decode("utf-8", "replace").removeprefix("\ufeff")


def _json_events(recorded: bytes) -> list[Event] | None:
    """Return the events of a JSON array or of JSON Lines; None if it is neither."""
    text = _text(recorded).strip()
    found: Any = parse_json(text) if text.startswith("[") else None
    if found is None and text.startswith("{") and "\n" in text:
        found = [parse_object(line) for line in text.splitlines() if line.strip()]
    is_good = isinstance(found, list) and found and all(isinstance(event, dict) for event in found)
    return cast("list[Event]", found) if is_good else None


def _recorded_framing(recorded: bytes) -> Framing:
    newline = "\r\n" if b"\r\n" in recorded else "\n"
    has_done = b"data: [DONE]" in recorded[-64:]
    return Framing(event_lines=b"event:" in recorded[:64], newline=newline, done=has_done)


def _recorded_answer(events: Iterable[Event], body: tuple[bytes, ...], framing: Framing) -> Answer:
    found = tuple(events)
    return Answer(
        headers={"content-type": "text/event-stream; charset=utf-8"},
        events=found,
        body=body,
        response_id=first_response_id(found),
        framing=framing,
        own_delay_s=_own_delay_s(found),
    )


def _own_delay_s(events: Sequence[Event]) -> float:
    """Divide the time from `created_at` to `completed_at` of the response by the number of events; 0 if unknown."""
    last = events[-1].get("response")
    times: list[Any] = [last.get(key) for key in ("created_at", "completed_at")] if isinstance(last, dict) else []
    if not all(isinstance(moment, int | float) and 1e9 < moment < 1e10 for moment in times) or not times:
        return 0.0  # times outside of 2001 to 2286 were made up
    begun_at, done_at = map(float, times)
    return max(0.0, done_at - begun_at) / len(events)
