"""Writes a scenario as a chat completion: one chunk for each image, or one whole answer.

Must not know: pictures, faults, how bytes are framed, dialects.
"""

from __future__ import annotations

from collections.abc import Sequence

from .dialects import Dialect
from .error_forms import last_errors
from .framing import Framing
from .messages import MEDIA_TYPES, Event, ImageCall, created_at, flat_error, identifier
from .scenarios import Scenario, ServiceError

CHAT_FRAMING = Framing(event_lines=False, done=True)
_USAGE = {"prompt_tokens": 12, "completion_tokens": 1302, "total_tokens": 1314}
_FINISH_REASONS = {"completed": "stop", "failed": "error", "incomplete": "content_filter", "cut": "stop"}
_MODEL = "google/gemini-2.5-flash-image"


def chat_stream(scenario: Scenario, row: Dialect) -> list[Event]:
    """Return the chunks: text, one chunk for each image, and a last one with the usage."""
    has_result = scenario.reach == "all" and not scenario.refusal
    text = scenario.refusal or "Here is your picture."
    words = [word if n == 0 else " " + word for n, word in enumerate(text.split(" "))]
    deltas: list[Event] = [{"content": word} for word in words if has_result or scenario.refusal]
    calls = scenario.calls if has_result else scenario.calls[:-1] if scenario.reach == "partials" else ()
    images = [_image(call, n) for n, call in enumerate(calls) if call.result is not None]
    deltas += [{"content": "", "images": [image]} for image in images]
    chunks = [_chunk(scenario, delta) for delta in deltas]
    chunks += last_errors(scenario, lambda error: _error_chunk(scenario, error))
    if scenario.end in ("cut", "failed"):
        return chunks
    last = _chunk(scenario, {"content": ""}, _FINISH_REASONS[scenario.end])
    return [*chunks, last, _chunk(scenario, {"content": ""}) | {"usage": _USAGE}]


def _image(call: ImageCall, at: int) -> Event:
    url = f"data:{MEDIA_TYPES[call.format]};base64,{call.result}"
    return {"type": "image_url", "image_url": {"url": url}, "index": at}


def _chunk(scenario: Scenario, delta: Event, finish_reason: str | None = None) -> Event:
    choice = {"index": 0, "delta": {"role": "assistant"} | delta, "finish_reason": finish_reason}
    return {
        "id": identifier("gen", scenario.seed),
        "object": "chat.completion.chunk",
        "created": created_at(scenario.seed),
        "model": _MODEL,
        "choices": [choice],
    }


def _error_chunk(scenario: Scenario, error: ServiceError) -> Event:
    if error.form == "flat":
        return flat_error(error.code, error.message)
    chunk = _chunk(scenario, {"content": ""}, "error")
    facts = {"error": {"code": error.code, "message": error.message}}
    return {key: chunk[key] for key in chunk if key != "choices"} | facts | {"choices": chunk["choices"]}


def chat_answer(events: Sequence[Event]) -> Event:
    """Return the whole answer with the content of these chunks."""
    choices = [event["choices"][0] for event in events if "choices" in event]
    deltas = [choice["delta"] for choice in choices]
    images = [image for delta in deltas for image in delta.get("images", ())]
    message = {"role": "assistant", "content": "".join(delta["content"] for delta in deltas)}
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    head = {key: events[0].get(key) for key in ("id", "object", "created", "model")} if events else {}
    choice = {
        "index": 0,
        "message": message | ({"images": images} if images else {}),
        "finish_reason": reasons[0] if reasons else "stop",
    }
    return head | {"object": "chat.completion", "choices": [choice], "usage": _USAGE}
