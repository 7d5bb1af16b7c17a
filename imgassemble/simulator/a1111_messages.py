"""Writes a scenario as the answers of AUTOMATIC1111: to each poll of the progress, then to the request.

Source: AUTOMATIC1111 `modules/api/models.py` and `modules/progress.py` at 008a8e75.
Must not know: pictures, faults, how bytes are framed, dialects, the time of a poll.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from .dialects import Dialect
from .error_forms import a1111_error_body, last_errors
from .framing import Framing
from .messages import MEDIA_TYPES, Event, created_at, json_text
from .scenarios import Scenario

A1111_FRAMING = Framing(container="lines")
_STEPS = 20
_STEP_S = 0.5  # the seconds of a step that the estimates assume
_IDLE_STATE = {"skipped": False, "interrupted": False, "stopping_generation": False}


def a1111_stream(scenario: Scenario, row: Dialect) -> list[Event]:
    """Return the answers of `/sdapi/v1/progress`, one for each new preview, and last that of the request itself."""
    calls = scenario.reached_calls
    drafts = [(n, draft) for n, call in enumerate(calls) for draft in call.partials]
    shown = [(0, None), *drafts]
    polls = [_poll(scenario, at / len(shown), n, picture) for at, (n, picture) in enumerate(shown)]
    errors = last_errors(scenario, a1111_error_body)
    if errors or scenario.end == "cut":
        return [*polls, *errors]
    images = [call.result for call in calls if call.result is not None]
    info = json_text({"seed": 1, "steps": _STEPS, "all_seeds": list(range(1, len(images) + 1))})
    return [*polls, {"images": images, "parameters": {"steps": _STEPS, "batch_size": len(calls)}, "info": info}]


def _poll(scenario: Scenario, share: float, job: int, picture: str | None) -> Event:
    time = datetime.fromtimestamp(created_at(scenario.seed), UTC).strftime("%Y%m%d%H%M%S")
    state = _IDLE_STATE | {"job": "scripts_txt2img", "job_count": len(scenario.calls), "job_timestamp": time}
    state |= {"job_no": job, "sampling_step": int(share * _STEPS), "sampling_steps": _STEPS}
    left_s = round((1 - share) * _STEPS * _STEP_S, 2)
    head = {"progress": round(share, 2), "eta_relative": left_s, "state": state}
    return head | {"current_image": picture, "textinfo": None}


def a1111_answer(events: Sequence[Event]) -> Event:
    """Return the answer of the request."""
    return events[-1]


def idle_progress() -> Event:
    """Return the answer of `/sdapi/v1/progress` while there is no job."""
    state = _IDLE_STATE | {"job": "", "job_count": 0, "job_timestamp": "0", "job_no": 0}
    state |= {"sampling_step": 0, "sampling_steps": 0}
    return {"progress": 0.0, "eta_relative": 0.0, "state": state, "current_image": None, "textinfo": None}


def live_progress(event: Event, number: int, seen: int) -> Event:
    """Return a poll in the form of `/internal/progress`.

    Arguments: `event`: the answer of `/sdapi/v1/progress`. `number`: of its preview. `seen`: the number of the preview
    that the client has; an unchanged one is not sent again.
    """
    picture = event["current_image"]
    url = f"data:{MEDIA_TYPES['jpeg']};base64,{picture}" if picture and number != seen else None
    head: dict[str, Any] = {"active": True, "queued": False, "completed": False, "progress": event["progress"]}
    return head | {"eta": event["eta_relative"], "live_preview": url, "id_live_preview": number, "textinfo": None}


def ended_progress(*, is_known: bool) -> Event:
    """Return the answer of `/internal/progress` for a task that is over, or that is not known."""
    head: dict[str, Any] = {"active": False, "queued": False, "completed": is_known, "progress": None, "eta": None}
    return head | {"live_preview": None, "id_live_preview": -1, "textinfo": None if is_known else "Waiting..."}
