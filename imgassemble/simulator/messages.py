"""Makes the wire events of image services, with events and keys in the order of the wire, and encodes them.

One function makes each standard stream of the Responses API and of the Images API. The differences of the services are
made by `event_changes`.
Must not know: pixels, sockets, time.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import Any, Literal

from .event_changes import Event as Event
from .event_changes import alphabetical, numbered

_CALL = "response.image_generation_call."
ERROR_FIELD = "error:"  # the key of an event that is written as the field `error:`, not `data:`
EVENT_FIELD = "event:"  # the key of an event with its name, which is only in the line `event:`
BINARY_FIELD = "binary:"  # the key of an event that is a binary frame of a websocket, with the frame's kind

MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCall:
    """One image generation call. Its pictures are base64 text, so that a fault can change them."""

    id: str
    partials: tuple[str, ...] = ()
    result: str | None = None
    format: str = "png"
    size: str = "1024x1024"
    quality: str = "high"
    background: str = "opaque"
    revised_prompt: str = ""
    status: str = "completed"


def base64_text(data: bytes) -> str:
    """Return `data` as the services write it: standard alphabet, padded, in one piece."""
    return b64encode(data).decode("ascii")


def picture_bytes(text: str) -> bytes:
    """Return the bytes of base64 text; a fault may have cut it, then the bytes are cut too."""
    sound = text.partition(".")[0]
    return b64decode(sound[: len(sound) // 4 * 4])


def identifier(kind: str, seed: object) -> str:
    """Return an id in OpenAI's form: `kind` ("ig", "resp", …) and 50 hexadecimal digits, from the seed."""
    return f"{kind}_{sha256(f'{kind}/{seed}'.encode()).hexdigest()[:50]}"


def created_at(seed: object) -> int:
    """Return a time in the second half of 2025, in seconds since 1970; the same for the same seed."""
    return 1_751_328_000 + int(sha256(f"time/{seed}".encode()).hexdigest()[:8], 16) % (180 * 86_400)


# ---- the Responses API


def image_events(call: ImageCall, *, output_index: float = 0, index_step: float = 1) -> list[Event]:
    """Return all events of one image, without sequence numbers: added, …, partials, `completed`, done.

    The indices of the partials are 0, `index_step`, 2 * `index_step`, ….
    """
    place = {"output_index": output_index, "item_id": call.id}
    item = {"id": call.id, "type": "image_generation_call"}
    about = {"background": call.background, "output_format": call.format, "quality": call.quality}
    text = {"revised_prompt": call.revised_prompt} if call.revised_prompt else {}
    added = item | {"status": "in_progress"}
    done = item | {"status": call.status} | about | {"result": call.result} | text | {"size": call.size}
    # A partial has these keys in another order than the item, as in recordings.
    facts = {
        "size": call.size,
        "quality": call.quality,
        "background": call.background,
        "output_format": call.format,
    }
    return [
        {"type": "response.output_item.added", "output_index": output_index, "item": added},
        {"type": _CALL + "in_progress", **place},
        {"type": _CALL + "generating", **place},
        *(
            {
                "type": _CALL + "partial_image",
                **place,
                "partial_image_index": n * index_step,
                "partial_image_b64": b64,
            }
            | facts
            for n, b64 in enumerate(call.partials)
        ),
        {"type": _CALL + "completed", **place},
        {"type": "response.output_item.done", "output_index": output_index, "item": done},
    ]


def reasoning_events(*, seed: object = 0, output_index: int = 0) -> list[Event]:
    """Return the events of a reasoning item, which often comes before the image."""
    item = {"id": identifier("rs", seed), "type": "reasoning", "summary": []}
    return [
        {"type": f"response.output_item.{word}", "output_index": output_index, "item": item}
        for word in ("added", "done")
    ]


def message_events(text: str, *, seed: object = 0, output_index: int = 1) -> list[Event]:
    """Return the events of a message from the assistant, one delta for each word."""
    name = identifier("msg", seed)
    place = {"item_id": name, "output_index": output_index, "content_index": 0}
    item = {"id": name, "type": "message", "status": "in_progress", "content": [], "role": "assistant"}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    words = [word if n == 0 else " " + word for n, word in enumerate(text.split(" ")) if text]
    full = part | {"text": text}
    return [
        {"type": "response.output_item.added", "output_index": output_index, "item": item},
        {"type": "response.content_part.added", **place, "part": part},
        *({"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in words),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": full},
        {
            "type": "response.output_item.done",
            "output_index": output_index,
            "item": item | {"status": "completed", "content": [full]},
        },
    ]


def responses_stream(
    *parts: Iterable[Event],
    seed: object = 0,
    format: str = "png",  # noqa: A002  (the name on the wire)
    end: Literal["completed", "failed", "incomplete", "cut"] = "completed",
    error: Mapping[str, str] | None = None,
    reason: str | None = None,
) -> list[Event]:
    """Return a whole stream that contains `parts` (events of the functions above), numbered from 0.

    Arguments: `format`: the output format in the response's copy of the tool. `end`: selects the terminal event;
    "cut": there is none. `error`: the code and message of "failed". `reason`: the reason of "incomplete".
    The terminal event "completed" repeats all items that were done; the others have no output, as in recordings.
    """
    body = list(chain(*parts))
    done = sorted(
        (event for event in body if event["type"] == "response.output_item.done"),
        key=lambda event: float(event["output_index"]),
    )
    start = _response(seed, format, status="in_progress")
    output = [event["item"] for event in done] if end == "completed" else []
    last = _response(seed, format, status=end, error=error, reason=reason, output=output)
    opening: list[Event] = [{"type": f"response.{word}", "response": start} for word in ("created", "in_progress")]
    closing: list[Event] = [] if end == "cut" else [{"type": f"response.{end}", "response": last}]
    return numbered(opening + body + closing)


def _response(
    seed: object,
    output_format: str,
    *,
    status: str,
    error: Mapping[str, str] | None = None,
    reason: str | None = None,
    output: Sequence[Event] = (),
) -> dict[str, Any]:
    is_done = status == "completed"
    tool = {
        "type": "image_generation",
        "background": "auto",
        "moderation": "auto",
        "n": 1,
        "output_compression": 100,
    }
    return {
        "id": identifier("resp", seed),
        "object": "response",
        "created_at": created_at(seed),
        "status": status,
        "background": False,
        "error": error,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "gpt-5-2025-08-07",
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": "medium", "summary": None},
        "safety_identifier": None,
        "service_tier": "default" if is_done else "auto",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        # The copy of the tool has defaults added, and no `partial_images`.
        "tools": [tool | {"output_format": output_format, "quality": "auto", "size": "auto"}],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _RESPONSE_USAGE if is_done else None,
        "user": None,
        "metadata": {},
    }


# This counts the text model only, not the image.
_RESPONSE_USAGE = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 85,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 1285,
}


def whole_answer(events: Sequence[Event]) -> Event:
    """Return the answer without streaming: the response of the last event, its keys in alphabetical order."""
    answer: Event = alphabetical(events[-1]["response"])
    return answer


# ---- the Images API


def images_stream(
    *calls: ImageCall, seed: object = 0, family: Literal["image_generation", "image_edit"] = "image_generation"
) -> list[Event]:
    """Return for each call its partials, then its `completed`; the keys are in the order of the wire."""
    events: list[Event] = []
    for call in calls:
        start = {"created_at": created_at(seed)}
        about = {"background": call.background, "output_format": call.format}
        rest = {"quality": call.quality, "sequence_number": 0, "size": call.size}
        for index, picture in enumerate(call.partials):
            event = {"type": f"{family}.partial_image", "b64_json": picture}
            events.append(start | event | about | {"partial_image_index": index} | rest)
        event = {"type": f"{family}.completed"} | ({} if call.result is None else {"b64_json": call.result})
        events.append(start | event | about | rest | {"usage": _IMAGES_USAGE})
    return numbered(events)


_IMAGES_USAGE = {
    "input_tokens": 16,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 16},
    "output_tokens": 472,
    "output_tokens_details": {"image_tokens": 472, "text_tokens": 0},
    "total_tokens": 488,
}


# ---- errors


def flat_error(code: str, message: str) -> Event:
    """Return an `error` as OpenAI documents it, with its code and message beside the type."""
    return {"type": "error", "code": code, "message": message, "param": None}


# ---- to bytes


def json_text(value: object) -> str:
    """Return `value` as the services write JSON: no spaces and no unnecessary escapes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def sse(
    events: Iterable[Event],
    *,
    event_lines: bool = True,
    newline: str = "\n",
    comment: str = "",
    done: bool = False,
) -> bytes:
    """Return the events as the body of a stream of server-sent events.

    Arguments: `event_lines`: whether a line `event:` repeats the type. `newline`: the end of each line. `comment`: a
    comment before each event, which keeps the connection alive. `done`: whether `[DONE]` comes at the end.
    An event with the key ERROR_FIELD becomes the field `error:`, as llama.cpp and GPUStack write it.
    """
    lines: list[str] = []
    for event in events:
        lines += [f": {comment}", ""] if comment else []
        name = event.get(EVENT_FIELD) or event.get("type") or event.get("event_type")
        data = {key: value for key, value in event.items() if key != EVENT_FIELD}
        lines += [f"event: {name}"] if event_lines and name else []
        lines += [
            f"error: {json_text(event[ERROR_FIELD])}" if ERROR_FIELD in event else f"data: {json_text(data)}",
            "",
        ]
    lines += ["data: [DONE]", ""] if done else []
    return "".join(line + newline for line in lines).encode()


def json_lines(events: Iterable[Event]) -> bytes:
    """Return the events as JSON Lines, one on each line."""
    return "".join(json_text(event) + "\n" for event in events).encode()
