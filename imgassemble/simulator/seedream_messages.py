"""Writes a scenario in the messages of Seedream: several finished pictures in one stream, and no drafts.

Source: byteplus-python-sdk-v2 3.0.63 (`types/images`).
Must not know: pictures, faults, how bytes are framed, dialects.
"""

from __future__ import annotations

from collections.abc import Sequence

from .dialects import Dialect
from .error_forms import error_in_data, last_errors
from .framing import Framing
from .messages import Event, created_at
from .scenarios import BLOCKED, Scenario, ServiceError

SEEDREAM_FRAMING = Framing(done=True)
_MODEL = "seedream-5-0-260128"
_TOKENS = 16_224  # for each picture
_TYPE = "image_generation."


def seedream_stream(scenario: Scenario, row: Dialect) -> list[Event]:
    """Return an event for each picture, then the sum. A blocked picture is an event too, and the others still come."""
    head = {"model": _MODEL, "created": created_at(scenario.seed)}
    done = [(n, call) for n, call in enumerate(scenario.reached_calls) if call.result is not None]
    events: list[Event] = [
        {"type": _TYPE + "partial_succeeded"} | head | {"image_index": n, "b64_json": call.result, "size": call.size}
        for n, call in done
    ]
    next_index = len(done)
    events += last_errors(scenario, lambda error: _seedream_error(error, head | {"image_index": next_index}))
    is_over = scenario.end == "completed" or any(map(_is_of_one_picture, scenario.errors))
    usage = {"generated_images": len(done), "output_tokens": _TOKENS * len(done), "total_tokens": _TOKENS * len(done)}
    return [*events, {"type": _TYPE + "completed"} | head | {"usage": usage}] if is_over else events


def _seedream_error(error: ServiceError, head: Event) -> Event:
    if not _is_of_one_picture(error):
        return error_in_data(error)
    code = "OutputImageSensitiveContentDetected" if error.code == BLOCKED else error.code
    return {"type": _TYPE + "partial_failed"} | head | {"error": {"code": code, "message": error.message}}


def _is_of_one_picture(error: ServiceError) -> bool:
    """Return whether only one picture fails; the request goes on."""
    return error.code == BLOCKED or error.form == "in data"


def seedream_answer(events: Sequence[Event]) -> Event:
    """Return the whole answer; a picture that was blocked is a member of `data` with its error."""
    images = [event for event in events if "image_index" in event]
    data = [{key: event[key] for key in ("b64_json", "size", "error") if key in event} for event in images]
    last = events[-1] if events else {}
    return {key: last[key] for key in ("model", "created") if key in last} | {"data": data, "usage": last.get("usage")}
