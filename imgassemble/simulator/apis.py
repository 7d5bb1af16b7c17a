"""Writes a scenario in the messages of each API, as a stream or as one whole answer.

Must not know: pictures, faults, how bytes are framed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal

from .a1111_messages import A1111_FRAMING, a1111_answer, a1111_stream
from .chat_messages import CHAT_FRAMING, chat_answer, chat_stream
from .comfy_api_messages import COMFY_API_FRAMING, comfy_api_files, comfy_api_stream
from .comfyui_messages import COMFYUI_FRAMING, comfyui_files, comfyui_stream
from .dialects import Dialect
from .error_forms import (
    BARE_ERRORS,
    a1111_error_body,
    comfyui_error_body,
    error_body,
    error_in_data,
    google_error_body,
    last_errors,
    novelai_error_body,
    router_error_body,
    typed_error,
)
from .event_changes import numbered, without_types
from .framing import Framing
from .gemini_messages import (
    GEMINI_FRAMING,
    INTERACTIONS_FRAMING,
    gemini_answer,
    gemini_stream,
    interactions_answer,
    interactions_stream,
)
from .messages import (
    MEDIA_TYPES,
    Event,
    ImageCall,
    created_at,
    flat_error,
    identifier,
    image_events,
    images_stream,
    responses_stream,
    whole_answer,
)
from .novelai_messages import NOVELAI_FRAMING, novelai_stream
from .pictures import Format
from .rendering import closing_events, opening_events, render_image, render_message, render_stream
from .scenarios import BLOCKED, Api, Reach, Scenario, ServiceError
from .seedream_messages import SEEDREAM_FRAMING, seedream_answer, seedream_stream


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiMessages:
    """How one API writes a scenario."""

    stream: Callable[[Scenario, Dialect], list[Event]]
    # The whole answer with the content of these events of a stream; None: the service only streams.
    whole: Callable[[Sequence[Event]], Event] | None = None
    has_partials: bool = True
    partial_format: Format | None = None  # None: that of the result
    result_format: Format | None = None  # the service has only this one; None: as ordered
    has_svg: bool = False
    ends_with_result: bool = False  # the result may come as the last partial too; the dialect decides
    has_data: bool = False  # a whole answer has the pictures in `data`
    # The codes of failures that a whole answer reports with the status 200; all others are HTTP errors.
    reported_failures: frozenset[str] = frozenset()
    error_body: Callable[[ServiceError], Event] = error_body  # the body of an HTTP error
    has_own_errors: bool = False  # a stream has errors in one form only, for every fault
    files: Callable[[Scenario], Mapping[str, str]] | None = None  # pictures at addresses of their own, as base64
    framing: Framing | None = None  # None: the framing and the headers of the dialect


def write_stream(scenario: Scenario, row: Dialect) -> list[Event]:
    """Return the events of one response."""
    api = APIS[scenario.api]
    forms = {} if api.has_own_errors else BARE_ERRORS
    typed = tuple(error for error in scenario.errors if error.form not in forms)
    bare = [forms[error.form](error) for error in scenario.errors if error.form in forms]
    events = api.stream(replace(scenario, errors=typed), row)
    return [*(_with_empty_error(event) if scenario.has_empty_errors else event for event in events), *bare]


def write_whole(scenario: Scenario, row: Dialect) -> Event:
    """Return the answer of one response that is not streamed."""
    api = APIS[scenario.api]
    failed = [error_in_data(error) for error in scenario.errors if error.form == "in data"]
    assert api.whole  # an order for a whole answer that there is not is refused
    body = api.whole(api.stream(replace(scenario, errors=(), reach="all") if failed else scenario, row))
    body |= {"data": [*body["data"][len(failed) :], *failed]} if failed else {}
    return body | {"error": {}} if scenario.has_empty_errors and not body.get("error") else body


_PICTURE_KEYS = {
    *("partial_image_b64", "b64_json", "result", "imageB64", "images", "inlineData", "data", "image", "current_image"),
}


def _with_empty_error(event: Event) -> Event:
    return event | {"error": {}} if _has_picture(event) else event


def _has_picture(value: Any) -> bool:
    if isinstance(value, dict):
        return any(bool(value.get(key)) for key in _PICTURE_KEYS) or any(map(_has_picture, value.values()))
    return isinstance(value, list) and any(map(_has_picture, value))


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


def _responses(scenario: Scenario, row: Dialect) -> list[Event]:
    first = opening_events(row, scenario.seed)
    failure = scenario.failure
    events = responses_stream(
        first,
        _response_items(scenario, row, output_index=1 if first else 0),
        _steering(scenario),
        map(typed_error, scenario.errors),
        seed=scenario.seed,
        format=scenario.calls[0].format,
        end=scenario.end,
        error={"code": failure.code, "message": failure.message} | dict(failure.more) if failure else None,
        reason=scenario.reason,
    )
    return render_stream(events, row, is_background=scenario.is_background)


def _response_items(scenario: Scenario, row: Dialect, *, output_index: int) -> list[Event]:
    if scenario.refusal:
        return render_message(row, scenario.refusal, scenario.seed, output_index)
    calls = enumerate(scenario.calls, output_index)
    images = [render_image(row, image_events(call, output_index=at)) for at, call in calls]
    events = _select_events(_reached_events(images, scenario.reach), scenario)
    if scenario.reach == "all":
        events += closing_events(row, scenario.seed, output_index + len(scenario.calls))
    return events


def _steering(scenario: Scenario) -> list[Event]:
    """Return the event that says that the client changed the task of a running response."""
    if scenario.reason != "steered":
        return []
    steer = {
        "id": identifier("steer", scenario.seed),
        "previous_response_id": identifier("resp", scenario.seed),
    }
    return [{"type": "response.steer.accepted", "steer": steer}]


def _reached_events(images: Sequence[list[Event]], reach: Reach) -> list[Event]:
    """Return the events of all images as far as these get."""
    if reach == "none":
        return []
    if reach == "all":
        return list(chain(*images))
    *before, last = images if reach == "partials" else images[:1]
    kept = without_types(last, *_RESULT_TYPES)
    return list(chain(*before, kept if reach == "partials" else (event for event in kept if not _is_partial(event))))


def _is_partial(event: Event) -> bool:
    return str(event["type"]).endswith(".partial_image")


def _select_events(events: Iterable[Event], scenario: Scenario) -> list[Event]:
    """Leave out the types that are not sent, and add the events that keep the connection alive."""
    keepalive: list[Event] = [{"type": "keepalive"}] if scenario.has_keepalives else []
    selected: list[Event] = []
    for event in events:
        selected += [event] if event["type"] not in scenario.left_out else []
        selected += keepalive if event["type"].endswith((".generating", ".partial_image")) else []
    return selected


def write_response(events: Sequence[Event]) -> Event:
    """Return the whole response that a stream of the Responses API has at its end."""
    last = [event for event in events if "response" in event][-1]
    response = last["response"]
    if response["status"] == "completed" and not response["output"]:  # a stream may not repeat the items
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        last = last | {"response": response | {"output": done}}
    return whole_answer([last])


# ---- the Images API


def _images(family: Literal["image_generation", "image_edit"]) -> Callable[[Scenario, Dialect], list[Event]]:
    def stream(scenario: Scenario, row: Dialect) -> list[Event]:
        streams = [images_stream(call, seed=scenario.seed, family=family) for call in scenario.calls]
        images = [without_types(events, *row.left_out) for events in streams]
        events = [] if scenario.refusal else _select_events(_reached_events(images, scenario.reach), scenario)
        return numbered([*events, *last_errors(scenario, typed_error)], place="last")

    return stream


def images_answer(events: Sequence[Event]) -> Event:
    """Return the whole answer of the Images API with the pictures of these events."""
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
_TEXT_CHUNK_CHARACTERS = 200


def _router_images(scenario: Scenario, row: Dialect) -> list[Event]:
    svgs = scenario.svgs or ("",) * len(scenario.calls)
    images = [_router_image(call, svg, scenario.seed) for call, svg in zip(scenario.calls, svgs, strict=True)]
    events = [] if scenario.refusal else _select_events(_reached_events(images, scenario.reach), scenario)
    return [*events, *last_errors(scenario, _router_error)]


def _router_image(call: ImageCall, svg: str, seed: object) -> list[Event]:
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


def _router_error(error: ServiceError) -> Event:
    if error.form == "flat":
        return flat_error(error.code, error.message)
    facts = {"message": error.message, "code": error.code, "type": error.kind}
    return {"type": "error", "error": facts | dict(error.more)}


def _router_answer(events: Sequence[Event]) -> Event:
    """Return the whole answer; its `created` is 0, as in a recording."""
    done = [event for event in events if event.get("type") == "image_generation.completed"]
    pictures = [{key: event[key] for key in ("b64_json", "media_type") if key in event} for event in done]
    return {"created": 0, "data": pictures, "usage": _ROUTER_USAGE}


_ROUTER_FRAMING = Framing(event_lines=False, comment="OPENROUTER PROCESSING", done=True)
_DATA = ApiMessages(stream=_images("image_generation"), whole=images_answer, has_data=True, has_svg=True)
APIS: Mapping[Api, ApiMessages] = MappingProxyType(
    {
        "responses": ApiMessages(
            stream=_responses,
            whole=write_response,
            has_svg=True,
            ends_with_result=True,
            reported_failures=frozenset({BLOCKED, "server_error"}),
        ),
        "images": _DATA,
        "edits": replace(_DATA, stream=_images("image_edit")),
        "router-images": ApiMessages(
            stream=_router_images,
            whole=_router_answer,
            has_data=True,
            has_svg=True,
            error_body=router_error_body,
            framing=_ROUTER_FRAMING,
        ),
        "chat": ApiMessages(stream=chat_stream, whole=chat_answer, has_partials=False, framing=CHAT_FRAMING),
        "gemini": ApiMessages(
            stream=gemini_stream,
            has_own_errors=True,
            whole=gemini_answer,
            reported_failures=frozenset({BLOCKED}),
            error_body=google_error_body,
            framing=GEMINI_FRAMING,
        ),
        "interactions": ApiMessages(
            stream=interactions_stream,
            has_own_errors=True,
            whole=interactions_answer,
            error_body=google_error_body,
            framing=INTERACTIONS_FRAMING,
        ),
        "seedream": ApiMessages(
            stream=seedream_stream,
            has_own_errors=True,
            whole=seedream_answer,
            has_partials=False,
            has_data=True,
            reported_failures=frozenset({BLOCKED}),
            framing=SEEDREAM_FRAMING,
        ),
        "novelai": ApiMessages(
            stream=novelai_stream,
            has_own_errors=True,
            partial_format="JPEG",
            result_format="PNG",
            error_body=novelai_error_body,
            framing=NOVELAI_FRAMING,
        ),
        "comfyui": ApiMessages(
            stream=comfyui_stream,
            has_own_errors=True,
            partial_format="JPEG",
            result_format="PNG",
            error_body=comfyui_error_body,
            files=comfyui_files,
            framing=COMFYUI_FRAMING,
        ),
        "comfy-api": ApiMessages(
            stream=comfy_api_stream,
            has_own_errors=True,
            partial_format="JPEG",
            result_format="PNG",
            files=comfy_api_files,
            framing=COMFY_API_FRAMING,
        ),
        "a1111": ApiMessages(
            stream=a1111_stream,
            has_own_errors=True,
            whole=a1111_answer,
            partial_format="JPEG",
            error_body=a1111_error_body,
            framing=A1111_FRAMING,
        ),
    }
)
