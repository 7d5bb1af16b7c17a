"""Writes a scenario in the messages of Google: generateContent, and the Interactions API.

Source: google-genai 3.6.1 (`types.GenerateContentResponse`, `_gaos/types/interactions`).
Must not know: pictures, faults, how bytes are framed, dialects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from .dialects import Dialect
from .error_forms import google_error_body, last_errors
from .framing import Framing
from .messages import MEDIA_TYPES, Event, created_at, identifier
from .scenarios import BLOCKED, Scenario, ServiceError

GEMINI_FRAMING = Framing(event_lines=False)
INTERACTIONS_FRAMING = Framing(done=True)
_MODEL = "gemini-3-pro-image"
_PLAN = "Choosing what to paint"

# ---- generateContent

_USAGE = {"promptTokenCount": 12, "candidatesTokenCount": 1120, "totalTokenCount": 1132}
# Why a model stopped; a stream that failed otherwise has an object `error` in place of it.
_FINISH_REASONS = {"completed": "STOP", "incomplete": "MAX_TOKENS"}


def gemini_stream(scenario: Scenario, row: Dialect) -> list[Event]:
    """Return the chunks: each picture is one part, and a part with `thought` is a draft; the last chunk has the end."""
    parts = [_text(scenario.refusal)] if scenario.refusal else []
    for call in scenario.reached_calls:
        parts += [_text(_PLAN) | {"thought": True}]
        parts += [_inline(call.format, draft) | {"thought": True} for draft in call.partials]
        parts += [] if call.result is None else [_inline(call.format, call.result) | {"thoughtSignature": "c2ln"}]
    chunks = [_chunk(scenario, parts=[part]) for part in parts]
    chunks += last_errors(scenario, lambda error: _gemini_error(scenario, error))
    reason = _FINISH_REASONS.get(scenario.end)
    return [*chunks, _chunk(scenario, parts=[_text("")], reason=reason)] if reason else chunks


def _text(text: str) -> Event:
    return {"text": text}


def _inline(form: str, picture: str) -> Event:
    return {"inlineData": {"mimeType": MEDIA_TYPES[form], "data": picture}}


def _chunk(scenario: Scenario, *, parts: Sequence[Event] = (), reason: str | None = None, message: str = "") -> Event:
    end = ({"finishReason": reason} if reason else {}) | ({"finishMessage": message} if message else {})
    content = {"content": {"parts": list(parts), "role": "model"}} if parts else {}
    return {
        "candidates": [content | end | {"index": 0}],
        "usageMetadata": _USAGE,
        "modelVersion": _MODEL,
        "responseId": identifier("resp", scenario.seed)[-24:],
    }


def _gemini_error(scenario: Scenario, error: ServiceError) -> Event:
    """Return the chunk of an error; a blocked picture is no error for Google, but a reason to finish."""
    if error.code == BLOCKED:
        return _chunk(scenario, reason="IMAGE_SAFETY", message=error.message)
    return google_error_body(error)


def gemini_answer(events: Sequence[Event]) -> Event:
    """Return the whole answer: the parts of all chunks in one candidate."""
    candidates = [event["candidates"][0] for event in events if "candidates" in event]
    parts = [part for each in candidates for part in each.get("content", {}).get("parts", ()) if part != _text("")]
    whole = events[-1] if events else {}
    last = candidates[-1] if candidates else {}
    content = {"content": {"parts": parts, "role": "model"}} if parts else {}
    return whole | {"candidates": [content | {key: last[key] for key in last if key != "content"}]}


# ---- the Interactions API

_TOKENS = {"total_input_tokens": 12, "total_output_tokens": 1120, "total_tokens": 1132}


def interactions_stream(scenario: Scenario, row: Dialect) -> list[Event]:
    """Return the events: for each image a step `thought` with its drafts and a step `model_output` with the picture."""
    events = _interaction("created", scenario, "in_progress")
    for at, deltas in enumerate(_steps(scenario)):
        events += _step(at, *deltas)
    events += last_errors(scenario, _interactions_error)
    if scenario.end != "cut":
        events += _interaction("completed", scenario, scenario.end)
    return [event | {"event_id": f"e{n}"} for n, event in enumerate(events, 1)]


def _steps(scenario: Scenario) -> list[tuple[str, list[Event]]]:
    """Return the kind of each step, and its deltas."""
    if scenario.refusal:
        return [("model_output", [{"type": "text", "text": scenario.refusal}])]
    steps: list[tuple[str, list[Event]]] = []
    for call in scenario.reached_calls:
        drafts = [{"type": "thought_summary", "content": _image(call.format, draft)} for draft in call.partials]
        plan: Event = {"type": "thought_summary", "content": {"type": "text", "text": _PLAN}}
        steps += [("thought", [plan, *drafts])]
        steps += [] if call.result is None else [("model_output", [_image(call.format, call.result)])]
    return steps


def _image(form: str, picture: str) -> Event:
    return {"type": "image", "data": picture, "mime_type": MEDIA_TYPES[form]}


def _step(index: int, kind: str, deltas: Iterable[Event]) -> list[Event]:
    return [
        {"event_type": "step.start", "index": index, "step": {"type": kind}},
        *({"event_type": "step.delta", "index": index, "delta": delta} for delta in deltas),
        {"event_type": "step.stop", "index": index},
    ]


def _interaction(word: str, scenario: Scenario, status: str) -> list[Event]:
    time = datetime.fromtimestamp(created_at(scenario.seed), UTC).isoformat().replace("+00:00", "Z")
    head = {"id": identifier("int", scenario.seed)[:24], "status": status, "object": "interaction", "model": _MODEL}
    usage: Event = {"usage": _TOKENS} if status == "completed" else {}
    return [{"event_type": f"interaction.{word}", "interaction": head | {"created": time, "updated": time} | usage}]


def _interactions_error(error: ServiceError) -> Event:
    return {"event_type": "error", "error": {"code": error.code, "message": error.message}}


def interactions_answer(events: Sequence[Event]) -> Event:
    """Return the whole interaction with its steps."""
    steps: dict[int, Event] = {}
    for event in events:
        if event["event_type"] == "step.start":
            steps[event["index"]] = dict(event["step"])
        elif event["event_type"] == "step.delta":
            kind, content = _content_of(event["delta"])
            steps[event["index"]].setdefault(kind, []).append(content)
    interaction: Event = [event["interaction"] for event in events if "interaction" in event][-1]
    return interaction | {"steps": list(steps.values())}


def _content_of(delta: Event) -> tuple[str, Any]:
    """Return the field of a step that the delta fills, and its content."""
    return ("summary", delta["content"]) if delta["type"] == "thought_summary" else ("content", delta)
