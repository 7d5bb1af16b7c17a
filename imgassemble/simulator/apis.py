"""What happens to an order, told in the words of each API: as a stream, or as one whole answer.

Knows: the Responses API, the Images API, OpenRouter's images and chats; what is told, and how far it gets. Must not
know: pictures, faults, how bytes are framed. A whole answer is what its stream comes to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal

from . import rendering as speech
from .dialects import Dialect
from .framing import Framing
from .messages import (
    Call,
    Event,
    created_at,
    flat_error,
    identifier,
    image_events,
    images_stream,
    numbered,
    responses_stream,
    whole_answer,
    without,
)

Told = Literal["all", "partials", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What the service says of its own failure; `status` is the HTTP status where the answer is not a stream."""

    code: str
    message: str
    kind: str
    status: int = 400
    is_flat: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What happens: the images, how far they get, and how it ends."""

    calls: tuple[Call, ...]
    seed: object = 0
    is_background: bool = False
    told: Told = "all"  # how far the images get: the last one to its partials, or none to anything
    left_out: frozenset[str] = frozenset()  # types that are not sent
    has_keepalives: bool = False
    errors: tuple[Trouble, ...] = ()
    end: Literal["completed", "failed", "incomplete", "cut"] = "completed"
    failure: Trouble | None = None
    reason: str | None = None
    refusal: str = ""  # said in place of a picture
    svgs: tuple[str, ...] = ()  # the pictures as text, one for each call


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one API tells a scene."""

    stream: Callable[[Scene, Dialect], list[Event]]
    whole: Callable[[Sequence[Event]], Event]  # what the events of that stream come to
    has_partials: bool = True
    ends_with_result: bool = False  # whether the result may come as the last partial too: the dialect says
    tells_failure: bool = False  # whether a whole answer may say that it failed; else that is an HTTP error
    framing: Framing | None = None  # None: the dialect's


# ---- the Responses API


_RESULT_TYPES = frozenset(
    {
        "response.image_generation_call.completed",
        "response.output_item.done",
        "image_generation.completed",
        "image_edit.completed",
    }
)
COMPLETED_TYPES = _RESULT_TYPES - {"response.output_item.done"}


def _responses(scene: Scene, row: Dialect) -> list[Event]:
    first = speech.opening(row, scene.seed)
    at = 1 if first else 0
    if scene.refusal:
        body = speech.message(row, scene.refusal, scene.seed, at)
    else:
        images = [speech.image(row, image_events(call, output_index=n)) for n, call in enumerate(scene.calls, at)]
        body = _begun(_reached(images, scene.told), scene)
        if scene.told == "all":
            body += speech.closing(row, scene.seed, at + len(scene.calls))
    failure = scene.failure
    error = {"code": failure.code, "message": failure.message} | dict(failure.more) if failure else None
    events = responses_stream(
        first,
        body,
        (_error(trouble) for trouble in scene.errors),
        seed=scene.seed,
        format=scene.calls[0].format,
        end=scene.end,
        error=error,
        reason=scene.reason,
    )
    return speech.spoken(events, row, is_background=scene.is_background)


def _reached(images: Sequence[list[Event]], told: Told) -> list[Event]:
    """The events of all images; where they do not get that far, up to the partials of the last, or to the first's."""
    if told == "all":
        return list(chain(*images))
    *before, last = images if told == "partials" else images[:1]
    kept = without(last, *_RESULT_TYPES)
    return list(chain(*before, kept if told == "partials" else (event for event in kept if not _is_partial(event))))


def _is_partial(event: Event) -> bool:
    return str(event["type"]).endswith(".partial_image")


def _begun(events: Iterable[Event], scene: Scene) -> list[Event]:
    """The events of images without those that are left out, and with what keeps the connection alive."""
    beat: list[Event] = [{"type": "keepalive"}] if scene.has_keepalives else []
    made: list[Event] = []
    for event in events:
        made += [event] if event["type"] not in scene.left_out else []
        made += beat if event["type"].endswith((".generating", ".partial_image")) else []
    return made


def _error(trouble: Trouble) -> Event:
    if trouble.is_flat:
        return flat_error(trouble.code, trouble.message)
    return {"type": "error", "error": error_object(trouble)}


def error_object(trouble: Trouble) -> Event:
    """The error as OpenAI has it in the body of an answer."""
    facts = {"type": trouble.kind, "code": trouble.code, "message": trouble.message, "param": None}
    return facts | dict(trouble.more)


def _whole_response(events: Sequence[Event]) -> Event:
    last = [event for event in events if "response" in event][-1]
    response = last["response"]
    if response["status"] == "completed" and not response["output"]:  # a stream may leave out what it has sent already
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        last = last | {"response": response | {"output": done}}
    return whole_answer([last])


# ---- the Images API


def _images(family: Literal["image_generation", "image_edit"]) -> Callable[[Scene, Dialect], list[Event]]:
    def stream(scene: Scene, row: Dialect) -> list[Event]:
        images = [without(images_stream(call, seed=scene.seed, family=family), *row.left_out) for call in scene.calls]
        events = [] if scene.refusal else _begun(_reached(images, scene.told), scene)
        return numbered([*events, *_last_words(scene, _error)], place="last")

    return stream


def _last_words(scene: Scene, error: Callable[[Trouble], Event]) -> list[Event]:
    """The errors; a failure is one where an API has no other word for it."""
    failures = [scene.failure] if scene.failure and not scene.errors else []
    return [error(trouble) for trouble in (*scene.errors, *failures)]


def _whole_images(events: Sequence[Event]) -> Event:
    done = [event for event in events if event.get("type") in COMPLETED_TYPES]
    first = done[0] if done else {}
    same = {key: first.get(key) for key in ("background", "output_format", "quality", "size", "usage")}
    pictures = [{key: event[key] for key in ("b64_json",) if key in event} for event in done]
    head = {"created": first.get("created_at", 0), "background": same.pop("background"), "data": pictures}
    return head | same


# ---- OpenRouter's images


_ROUTER_USAGE = {
    "prompt_tokens": 1125,
    "completion_tokens": 1120,
    "total_tokens": 2245,
    "cost": 0.03388125,
    "is_byok": False,
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "video_tokens": 0},
    "cost_details": {
        "upstream_inference_cost": 0.03388125,
        "upstream_inference_prompt_cost": 0.00028125,
        "upstream_inference_completions_cost": 0.0336,
    },
    "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 1120},
}
MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "svg": "image/svg+xml"}
_TEXT_CHUNK_CHARACTERS = 200


def _router_images(scene: Scene, row: Dialect) -> list[Event]:
    svgs = scene.svgs or ("",) * len(scene.calls)
    images = [_router_image(call, svg, scene.seed) for call, svg in zip(scene.calls, svgs, strict=True)]
    events = [] if scene.refusal else _begun(_reached(images, scene.told), scene)
    return [*events, *_last_words(scene, _router_error)]


def _router_image(call: Call, svg: str, seed: object) -> list[Event]:
    name = "image_generation."
    texts = [svg[at : at + _TEXT_CHUNK_CHARACTERS] for at in range(0, len(svg), _TEXT_CHUNK_CHARACTERS)]
    picture = {} if call.result is None else {"b64_json": call.result}
    return [
        *({"type": name + "text_chunk", "text": text, "phase": "content"} for text in texts),
        *(
            {"type": name + "partial_image", "partial_image_index": n, "b64_json": b64}
            for n, b64 in enumerate(call.partials)
        ),
        {"type": name + "completed"}
        | picture
        | {"created": created_at(seed), "media_type": MEDIA_TYPES[call.format], "usage": _ROUTER_USAGE},
    ]


def _router_error(trouble: Trouble) -> Event:
    return flat_error(trouble.code, trouble.message) if trouble.is_flat else _short_error(trouble)


def _short_error(trouble: Trouble) -> Event:
    facts = {"message": trouble.message, "code": trouble.code, "type": trouble.kind}
    return {"type": "error", "error": facts | dict(trouble.more)}


def _whole_router_images(events: Sequence[Event]) -> Event:
    """`created` is 0 here, so recorded."""
    done = [event for event in events if event.get("type") == "image_generation.completed"]
    pictures = [{key: event[key] for key in ("b64_json", "media_type") if key in event} for event in done]
    return {"created": 0, "data": pictures, "usage": _ROUTER_USAGE}


# ---- chats


_CHAT_USAGE = {"prompt_tokens": 12, "completion_tokens": 1302, "total_tokens": 1314}
_CHAT_ENDS = {"completed": "stop", "failed": "error", "incomplete": "content_filter", "cut": "stop"}
_CHAT_MODEL = "google/gemini-2.5-flash-image"


def _chat(scene: Scene, row: Dialect) -> list[Event]:
    """One chunk for each image, whole; the last chunk has the usage."""
    has_result = scene.told == "all" and not scene.refusal
    text = scene.refusal or "Here is your picture."
    words = [word if n == 0 else " " + word for n, word in enumerate(text.split(" "))]
    deltas: list[Event] = [{"content": word} for word in words if has_result or scene.refusal]
    calls = scene.calls if has_result else scene.calls[:-1] if scene.told == "partials" else ()
    images = [_chat_image(call, n) for n, call in enumerate(calls) if call.result is not None]
    deltas += [{"content": "", "images": [image]} for image in images]
    chunks = [_chunk(scene, delta) for delta in deltas]
    chunks += _last_words(scene, lambda trouble: _chat_error(scene, trouble))
    if scene.end in ("cut", "failed"):
        return chunks
    last = _chunk(scene, {"content": ""}, _CHAT_ENDS[scene.end])
    return [*chunks, last, _chunk(scene, {"content": ""}) | {"usage": _CHAT_USAGE}]


def _chat_image(call: Call, at: int) -> Event:
    url = f"data:{MEDIA_TYPES[call.format]};base64,{call.result}"
    return {"type": "image_url", "image_url": {"url": url}, "index": at}


def _chunk(scene: Scene, delta: Event, finish_reason: str | None = None) -> Event:
    choice = {"index": 0, "delta": {"role": "assistant"} | delta, "finish_reason": finish_reason}
    return {
        "id": identifier("gen", scene.seed),
        "object": "chat.completion.chunk",
        "created": created_at(scene.seed),
        "model": _CHAT_MODEL,
        "choices": [choice],
    }


def _chat_error(scene: Scene, trouble: Trouble) -> Event:
    error = {"error": {"code": trouble.code, "message": trouble.message}}
    if trouble.is_flat:
        return flat_error(trouble.code, trouble.message)
    chunk = _chunk(scene, {"content": ""}, "error")
    return {key: chunk[key] for key in chunk if key != "choices"} | error | {"choices": chunk["choices"]}


def _whole_chat(events: Sequence[Event]) -> Event:
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
    return head | {"object": "chat.completion", "choices": [choice], "usage": _CHAT_USAGE}


_ROUTER = Framing(event_lines=False, comment="OPENROUTER PROCESSING", done=True)
_CHAT = Framing(event_lines=False, done=True)
APIS: Mapping[str, Manner] = MappingProxyType(
    {
        "responses": Manner(stream=_responses, whole=_whole_response, ends_with_result=True, tells_failure=True),
        "images": Manner(stream=_images("image_generation"), whole=_whole_images),
        "edits": Manner(stream=_images("image_edit"), whole=_whole_images),
        "router-images": Manner(stream=_router_images, whole=_whole_router_images, framing=_ROUTER),
        "chat": Manner(stream=_chat, whole=_whole_chat, has_partials=False, framing=_CHAT),
    }
)
