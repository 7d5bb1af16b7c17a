"""Writes a scenario in the messages of NovelAI: a JPEG after each step, then the picture as PNG.

Source: novelai-sdk 0.14.1 (`ImageStreamChunk`). The fields of an error are those of its HTTP errors.
Must not know: pictures, faults, how bytes are framed, dialects.
"""

from __future__ import annotations

from hashlib import sha256

from .dialects import Dialect
from .error_forms import last_errors, novelai_error_body
from .event_changes import interleaved
from .framing import PLAIN
from .messages import Event, ImageCall
from .scenarios import Scenario

NOVELAI_FRAMING = PLAIN
_FIRST_SIGMA = 14.6  # the noise before the first step


def novelai_stream(scenario: Scenario, row: Dialect) -> list[Event]:
    """Return the events of all samples, one step after the other, as a batch is computed."""
    number = int(sha256(f"gen/{scenario.seed}".encode()).hexdigest()[:8], 16)
    calls = enumerate(scenario.reached_calls)
    events = interleaved(*(_sample_events(call, {"samp_ix": n, "gen_id": number}) for n, call in calls))
    return [*events, *last_errors(scenario, lambda error: {"event_type": "error"} | novelai_error_body(error))]


def _sample_events(call: ImageCall, place: Event) -> list[Event]:
    steps: list[Event] = [
        {"event_type": "intermediate", "samp_ix": place["samp_ix"], "step_ix": step, "gen_id": place["gen_id"]}
        | {"sigma": round(_FIRST_SIGMA / (step + 1), 3), "image": picture}
        for step, picture in enumerate(call.partials)
    ]
    final: Event = {"event_type": "final"} | place | {"image": call.result}
    return steps if call.result is None else [*steps, final]
