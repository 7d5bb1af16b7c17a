"""Makes the changes of the faults, one function for each: to pictures, calls, scenarios, events, framing, HTTP errors.

Must not know: the names of the faults, sockets, time, clients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from .apis import COMPLETED_TYPES
from .error_forms import HttpError, plain_http_error
from .framing import Framing
from .image_series import ImagePlan
from .messages import Event, ImageCall
from .scenarios import BLOCKED, ErrorForm, Reach, Scenario, ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultInput:
    """The value of a fault, and a source of chance that is the same for the same seed."""

    value: int
    chance: Random


# ---- pictures


def send_fewer_partials(plan: ImagePlan, given: FaultInput) -> ImagePlan:
    return replace(plan, drafts=max(0, plan.drafts - given.value), result_as_partial="no")


def repeat_final_as_partial(plan: ImagePlan, given: FaultInput) -> ImagePlan:
    return plan if plan.result_as_partial == "one more" else replace(plan, result_as_partial="the last")


def change_final(plan: ImagePlan, given: FaultInput) -> ImagePlan:
    return replace(plan, result_prompt=f"anything but {plan.prompt}", result_as_partial="no")


def cut_picture(plan: ImagePlan, given: FaultInput) -> ImagePlan:
    return replace(plan, is_cut=True)


def shrink_pictures(plan: ImagePlan, given: FaultInput) -> ImagePlan:
    return replace(plan, size=(1, 1))


def pad_final(plan: ImagePlan, given: FaultInput) -> ImagePlan:
    return replace(plan, result_bytes=given.value * 750_000)  # three bytes are four characters of base64


# ---- calls: pictures as base64


def _change_texts(call: ImageCall, change: Callable[[str], str]) -> ImageCall:
    result = None if call.result is None else change(call.result)
    return replace(call, partials=tuple(map(change, call.partials)), result=result)


def cut_base64(call: ImageCall, given: FaultInput) -> ImageCall:
    return _change_texts(call, lambda text: text[: len(text) // 2] + "...")


def blank_pictures(call: ImageCall, given: FaultInput) -> ImageCall:
    return _change_texts(call, lambda text: "")


def claim_wrong_format(call: ImageCall, given: FaultInput) -> ImageCall:
    return replace(call, format="webp" if call.format == "png" else "png")


def keep_generating(call: ImageCall, given: FaultInput) -> ImageCall:
    return replace(call, status="generating")


def drop_final(call: ImageCall, given: FaultInput) -> ImageCall:
    return replace(call, result=None)


# ---- scenarios

_SAFETY = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us at help.openai.com "
    "and include the request ID req_simulated."
)
_USER_ERROR = "image_generation_user_error"
_SERVER_ERROR = ServiceError(
    code="server_error",
    message="The server had an error while processing your request. Sorry about that!",
    kind="server_error",
    status=500,
)
_REFUSAL = "I can't make that picture, but I'd be glad to paint another one."


def _blocked(stage: Literal["input", "output"]) -> ServiceError:
    details = {"moderation_details": {"moderation_stage": stage, "categories": ["other"]}}
    return ServiceError(code=BLOCKED, message=_SAFETY, kind=_USER_ERROR, more=details)


def drop_completed(scenario: Scenario, given: FaultInput) -> Scenario:
    return replace(scenario, left_out=scenario.left_out | COMPLETED_TYPES)


def add_keepalives(scenario: Scenario, given: FaultInput) -> Scenario:
    return replace(scenario, has_keepalives=True)


def add_empty_errors(scenario: Scenario, given: FaultInput) -> Scenario:
    return replace(scenario, has_empty_errors=True)


def _reach_partials(scenario: Scenario) -> Reach:
    return "partials" if scenario.reach == "all" else scenario.reach


def fail_with(form: ErrorForm) -> Callable[[Scenario, FaultInput], Scenario]:
    def change(scenario: Scenario, given: FaultInput) -> Scenario:
        errors = (*scenario.errors, replace(_SERVER_ERROR, form=form))
        return replace(scenario, reach=_reach_partials(scenario), errors=errors, end="cut")

    return change


def fail_in_data(scenario: Scenario, given: FaultInput) -> Scenario:
    has_data = scenario.api in ("images", "edits", "router-images", "seedream")
    return fail_with("in data")(scenario, given) if has_data else scenario


def block_at_once(scenario: Scenario, given: FaultInput) -> Scenario:
    blocked = _blocked("output")
    return replace(scenario, reach="start", errors=(*scenario.errors, blocked), end="failed", failure=blocked)


def block_after_previews(scenario: Scenario, given: FaultInput) -> Scenario:
    blocked = _blocked("output")
    errors = (*scenario.errors, blocked)
    return replace(scenario, reach=_reach_partials(scenario), errors=errors, end="failed", failure=blocked)


def end_incomplete(scenario: Scenario, given: FaultInput) -> Scenario:
    return replace(scenario, reach=_reach_partials(scenario), end="incomplete", reason="content_filter")


def end_failed(scenario: Scenario, given: FaultInput) -> Scenario:
    failure = scenario.failure or _SERVER_ERROR
    return replace(scenario, reach=_reach_partials(scenario), end="failed", failure=failure, reason=None)


def answer_in_words(scenario: Scenario, given: FaultInput) -> Scenario:
    return replace(scenario, refusal=_REFUSAL)


# ---- responses: the scenarios of one lane


def _earlier(scenarios: list[Scenario], **changes: Any) -> list[Scenario]:
    """Put a response without an image before the others."""
    first = scenarios[0]
    if first.api != "responses":
        return scenarios
    return [replace(first, seed=f"{first.seed}/earlier {len(scenarios)}", reach="none", **changes), *scenarios]


def retry_response(scenarios: list[Scenario], given: FaultInput) -> list[Scenario]:
    return _earlier(scenarios, errors=(_SERVER_ERROR,), end="failed", failure=_SERVER_ERROR, reason=None)


def steer(scenarios: list[Scenario], given: FaultInput) -> list[Scenario]:
    return _earlier(scenarios, errors=(), end="incomplete", failure=None, reason="steered")


def reuse_item_ids(scenarios: list[Scenario], given: FaultInput) -> list[Scenario]:
    """Give the images of all responses the ids of the last one's; a single response comes twice."""
    last = scenarios[-1]
    if last.api != "responses":
        return scenarios
    others = scenarios[:-1] or [replace(last, seed=f"{last.seed}/again")]
    renamed = [
        replace(each, calls=tuple(replace(call, id=like.id) for call, like in zip(each.calls, last.calls, strict=True)))
        for each in others
    ]
    return [*renamed, last]


# ---- events, numbered


def repeat_events(events: list[Event], given: FaultInput) -> list[Event]:
    """Repeat half of the events. The last event stays the last, so that a terminal event still ends the stream."""
    middle = range(len(events) - 1)
    again = given.chance.sample(middle, (len(middle) + 1) // 2)
    late = [(min(at + given.chance.randrange(4), len(middle) - 1), 1, at) for at in again]
    return [events[at] for _, _, at in sorted([*((at, 0, at) for at in range(len(events))), *late])]


def reorder_events(events: list[Event], given: FaultInput) -> list[Event]:
    """Move each event up to three places; the first and the last stay."""
    first, middle, last = events[:1], events[1:-1], events[1:][-1:]
    places = [at + given.chance.random() * 4 for at in range(len(middle))]
    mixed = [middle[at] for at in sorted(range(len(middle)), key=places.__getitem__)]
    if mixed == middle and len(middle) > 1:
        mixed = [middle[1], middle[0], *middle[2:]]
    return first + mixed + last


def number_with_zero(events: list[Event], given: FaultInput) -> list[Event]:
    return [event | {"sequence_number": 0} if "sequence_number" in event else event for event in events]


def remove_image_ids(events: list[Event], given: FaultInput) -> list[Event]:
    return [_without_ids(event) for event in events]


def _without_ids(event: Event) -> Event:
    """Remove the ids of images from an event of the Responses API."""
    changed = {key: value for key, value in event.items() if key != "item_id" or "image_gen" not in event["type"]}
    if "item" in event:
        changed["item"] = _without_id(event["item"])
    if "response" in event:
        output = [_without_id(item) for item in event["response"]["output"]]
        changed["response"] = event["response"] | {"output": output}
    return changed


def _without_id(item: Event) -> Event:
    is_image = "image_generation" in item["type"]
    return {key: value for key, value in item.items() if not (is_image and key == "id")}


# ---- framing


def add_comments(framing: Framing, given: FaultInput) -> Framing:
    return replace(framing, comment=framing.comment or "keep-alive")


def use_crlf(framing: Framing, given: FaultInput) -> Framing:
    return replace(framing, newline="\r\n")


def drop_event_lines(framing: Framing, given: FaultInput) -> Framing:
    return replace(framing, event_lines=False)


def cut_into_bytes(framing: Framing, given: FaultInput) -> Framing:
    return replace(framing, piece_bytes=1)


def keep_open(framing: Framing, given: FaultInput) -> Framing:
    return replace(framing, ending="hanging")


def hang_after_event(framing: Framing, given: FaultInput) -> Framing:
    return replace(framing, last_event=given.value, ending="hanging")


def disconnect_after_event(framing: Framing, given: FaultInput) -> Framing:
    last = given.value if framing.last_event is None else min(framing.last_event, given.value)
    return replace(framing, last_event=last, ending="disconnected")


def disconnect_after_bytes(framing: Framing, given: FaultInput) -> Framing:
    return replace(framing, last_byte=given.value, ending="disconnected")


# ---- the HTTP answer


def reject_request(refused: HttpError | None, given: FaultInput) -> HttpError:
    return refused or HttpError(error=_blocked("input"), headers={})


def fail_request(refused: HttpError | None, given: FaultInput) -> HttpError:
    return refused or HttpError(error=_SERVER_ERROR, headers={})


def limit_rate(refused: HttpError | None, given: FaultInput) -> HttpError:
    error = ServiceError(
        code="rate_limit_exceeded",
        message="Rate limit reached for images per minute: Limit 5, Used 5, Requested 1. "
        f"Please try again in {given.value}s.",
        kind="requests",
        status=429,
    )
    headers = {
        "retry-after": str(given.value),
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "0",
    }
    return refused or HttpError(error=error, headers=headers)


def refuse_with_body(
    status: int, body: Mapping[str, Any], content_type: str = "application/json"
) -> Callable[[HttpError | None, FaultInput], HttpError]:
    made = plain_http_error(status, body, content_type=content_type)
    return lambda refused, given: refused or made
