"""Writes a scenario in the messages of Comfy's API v2 (Comfy Cloud, serverless, comfy-api-proxy).

Source: comfy-sdk 0.5.0 (`comfy_low/models`, `comfy_sdk/events`), comfy-api-proxy 0.1.6.
Must not know: pictures, faults, how bytes are framed, dialects, sockets.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from .dialects import Dialect
from .framing import Framing
from .messages import EVENT_FIELD, MEDIA_TYPES, Event, created_at, identifier, picture_bytes
from .scenarios import Scenario

COMFY_API_FRAMING = Framing(comment="keepalive")
COMFY_API_HOST = "https://cloud.comfy.org"
_SAMPLER, _SAVER, _STEPS = "3", "9", 20
_LINK_DAYS = 7
_STATUSES = {"completed": "succeeded", "incomplete": "canceled", "failed": "failed", "cut": "failed"}


def comfy_api_stream(scenario: Scenario, row: Dialect) -> list[Event]:
    """Return the events of one job. The last status comes before the outputs; an error is only in the job itself."""
    calls = scenario.reached_calls
    drafts = calls[0].partials if calls else ()
    events = [_event("status", status="queued", queue_position=0), _event("status", status="running")]
    for n, draft in enumerate(drafts, 1):
        events.append(_progress(n / (len(drafts) + 1)))
        events.append(_event("preview", node_id=_SAMPLER, content_type="image/jpeg", data_base64=draft))
    events += [_progress(1.0)] if scenario.reach == "all" else []
    events.append(_event("status", status="failed" if scenario.errors else _STATUSES[scenario.end]))
    return [*events, *(_event("output", **output) for output in job_outputs(scenario))]


def comfy_api_files(scenario: Scenario) -> Mapping[str, str]:
    """Return the pictures as base64, by the ids of their assets."""
    calls = scenario.reached_calls if scenario.reach == "all" else ()
    finals = [call.result for call in calls if call.result is not None]
    return {_uuid(f"{scenario.seed}/{n}"): final for n, final in enumerate(finals)}


def job_outputs(scenario: Scenario) -> list[Event]:
    """Return the outputs of a job."""
    expires = datetime.fromtimestamp(created_at(scenario.seed), UTC) + timedelta(days=_LINK_DAYS)
    return [
        {
            "node_id": _SAVER,
            "name": f"ComfyUI_{n:05}_.png",
            "type": "image",
            "content_type": MEDIA_TYPES["png"],
            "size_bytes": len(picture_bytes(text)),
            "id": name,
            "hash": None,
            "url": f"{COMFY_API_HOST}/api/v2/assets/{name}/content",
            "url_expires_at": expires.isoformat().replace("+00:00", "Z"),
            "job_id": job_id(scenario.seed),
        }
        for n, (name, text) in enumerate(comfy_api_files(scenario).items(), 1)
    ]


def job_id(seed: object) -> str:
    """Return the id of the job of a response with this seed."""
    return _uuid(f"job/{seed}")


def _uuid(seed: str) -> str:
    return str(UUID(identifier("uuid", seed).removeprefix("uuid_")[:32]))


def _event(kind: str, **facts: object) -> Event:
    return {EVENT_FIELD: kind, **facts}


def _progress(share: float) -> Event:
    step = int(share * _STEPS)
    nodes = {"nodes_done": 7 if share == 1 else 4, "nodes_total": 7, "current_node": _SAMPLER}
    steps = {"current_node_class": "KSampler", "step": step, "steps": _STEPS, "message": f"KSampler {step}/{_STEPS}"}
    return _event("progress", value=round(share, 2), **nodes, **steps)
