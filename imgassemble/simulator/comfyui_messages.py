"""Writes a scenario in the messages of ComfyUI's websocket: texts, and previews in binary frames.

Source: ComfyUI `server.py` and `protocol.py` at a125cd84, `comfy_execution/progress.py` at f098700b.
Must not know: pictures, faults, how messages become frames, dialects, sockets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from .dialects import Dialect
from .error_forms import last_errors
from .framing import Framing
from .messages import BINARY_FIELD, Event, created_at, identifier
from .scenarios import Scenario, ServiceError

COMFYUI_FRAMING = Framing(container="messages")
_SAMPLER, _DECODER, _SAVER = "3", "8", "9"  # the nodes of ComfyUI's default workflow
_STEPS = 20


def comfyui_stream(scenario: Scenario, row: Dialect) -> list[Event]:
    """Return the messages of one prompt. Previews show its first image; a final is a file for `/view`."""
    calls = scenario.reached_calls
    drafts = calls[0].partials if calls else ()
    body = [_progress(scenario, 0)]
    for n, draft in enumerate(drafts, 1):
        body += [_progress(scenario, n * _STEPS // (len(drafts) + 1)), _preview(scenario, draft)]
    is_done = bool(comfyui_files(scenario))
    body += [_progress(scenario, _STEPS), _executing(scenario, _DECODER), _executing(scenario, _SAVER)] * is_done
    body += [_message(scenario, "executed", node=_SAVER, display_node=_SAVER, output=_output(scenario))] * is_done
    opening = [
        _status(1),
        _message(scenario, "execution_start", timestamp=_timestamp(scenario)),
        _message(scenario, "execution_cached", nodes=[], timestamp=_timestamp(scenario)),
        _executing(scenario, _SAMPLER),
        {BINARY_FIELD: "text", "node_id": _SAMPLER, "text": "sampling"},
    ]
    errors = last_errors(scenario, lambda error: _execution_error(scenario, error))
    return [*opening, *body, *errors, *_END.get(scenario.end, _no_end)(scenario)]


def comfyui_files(scenario: Scenario) -> Mapping[str, str]:
    """Return the pictures for `/view` as base64, by the names that `executed` gives them."""
    calls = scenario.reached_calls if scenario.reach == "all" else ()  # a batch fails as a whole
    prefix = f"ComfyUI_{prompt_id(scenario)[:8]}"
    return {f"{prefix}_{n:05}_.png": call.result for n, call in enumerate(calls, 1) if call.result is not None}


def _output(scenario: Scenario) -> Event:
    return {"images": [{"filename": name, "subfolder": "", "type": "output"} for name in comfyui_files(scenario)]}


def prompt_id(scenario: Scenario) -> str:
    """Return the id of the prompt, a UUID as ComfyUI makes them."""
    return str(UUID(identifier("prompt", scenario.seed).removeprefix("prompt_")[:32]))


def _timestamp(scenario: Scenario) -> int:
    return created_at(scenario.seed) * 1000  # milliseconds


def _message(scenario: Scenario, kind: str, **data: Any) -> Event:
    return {"type": kind, "data": data | {"prompt_id": prompt_id(scenario)}}


def _status(remaining: int) -> Event:
    return {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": remaining}}}}


def _executing(scenario: Scenario, node: str | None) -> Event:
    return _message(scenario, "executing", node=node, **({"display_node": node} if node else {}))


def _progress(scenario: Scenario, step: int) -> Event:
    state = "finished" if step == _STEPS else "running"
    node = {"value": step, "max": _STEPS, "state": state, "node_id": _SAMPLER, "prompt_id": prompt_id(scenario)}
    node |= {"display_node_id": _SAMPLER, "parent_node_id": None, "real_node_id": _SAMPLER}
    return _message(scenario, "progress_state", nodes={_SAMPLER: node})


def _preview(scenario: Scenario, picture: str) -> Event:
    nodes = {"display_node_id": _SAMPLER, "parent_node_id": None, "real_node_id": _SAMPLER}
    about = {"node_id": _SAMPLER, "prompt_id": prompt_id(scenario)} | nodes | {"image_type": "image/jpeg"}
    return {BINARY_FIELD: "preview", "metadata": about, "picture": picture}


def _execution_error(scenario: Scenario, error: ServiceError) -> Event:
    facts = {"exception_message": error.message, "exception_type": error.code, "traceback": []}
    inputs: dict[str, Any] = {"current_inputs": {}, "current_outputs": []}
    return _message(scenario, "execution_error", node_id=_SAMPLER, node_type="KSampler", executed=[], **facts, **inputs)


def _success(scenario: Scenario) -> list[Event]:
    succeeded = _message(scenario, "execution_success", timestamp=_timestamp(scenario))
    return [succeeded, _executing(scenario, None), _status(0)]


def _interrupted(scenario: Scenario) -> list[Event]:
    place = {"node_id": _SAMPLER, "node_type": "KSampler", "executed": []}
    return [_message(scenario, "execution_interrupted", **place), _status(0)]


def _no_end(scenario: Scenario) -> list[Event]:
    return [_status(0)]


_END = {"completed": _success, "incomplete": _interrupted}
