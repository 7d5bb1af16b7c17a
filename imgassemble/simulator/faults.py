"""Lists the faults that an answer can have: for each a sentence, and the one change that it makes.

Faults combine: they are applied in the order of the table, not in the order in which they were chosen.
Must not know: sockets, time, clients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any, Literal

from ..errors import UsageError
from . import fault_changes as change
from .choices import unknown_name
from .fault_changes import FaultInput

Stage = Literal["pictures", "calls", "scenario", "responses", "events", "framing", "http"]
# The names of the table below, so that editors complete them. Some take a value: "hang-after-event=3".
FaultName = Literal[
    "fewer-partials",
    "final-equals-partial",
    "final-unlike-partial",
    "tiny-picture",
    "huge-event",
    "cut-picture",
    "wrong-format",
    "status-generating",
    "no-final",
    "cut-base64",
    "blank-payload",
    "no-completed",
    "keepalive",
    "empty-errors",
    "error-nested",
    "error-flat",
    "error-text",
    "error-object",
    "error-field",
    "error-in-data",
    "response-incomplete",
    "moderation-stream",
    "moderation-after-previews",
    "response-failed",
    "refusal",
    "reused-item-ids",
    "steered",
    "retry",
    "repeated-events",
    "reordered-events",
    "constant-numbers",
    "missing-ids",
    "comments",
    "crlf",
    "no-event-lines",
    "byte-chunks",
    "hang",
    "hang-after-event",
    "disconnect-after-event",
    "disconnect-after-bytes",
    "moderation-http",
    "server-error",
    "rate-limit",
    "http-text",
    "http-object",
    "http-detail",
    "http-message",
    "http-errors",
    "http-problem",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultValue:
    """The whole number that a fault takes; `default` is used if it is not given, None: it must be given."""

    letter: str
    smallest: int
    largest: int
    default: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault: its name, a sentence that describes it, and its change at one stage of an answer."""

    name: str
    description: str
    stage: Stage
    change: Callable[[Any, FaultInput], Any]
    value: FaultValue | None = None

    @property
    def usage(self) -> str:
        """Return the name with its value: `hang-after-event=N`, or `fewer-partials[=N]` if it can be left out."""
        if self.value is None:
            return self.name
        letter = self.value.letter
        return f"{self.name}={letter}" if self.value.default is None else f"{self.name}[={letter}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenFaults:
    """The faults of one answer, by name, with their values."""

    values: Mapping[str, int]
    seed: object

    def apply(self, stage: Stage, thing: Any) -> Any:
        """Return `thing` with the changes of all chosen faults of this stage."""
        for name, fault in FAULTS.items():
            if fault.stage == stage and name in self.values:
                chance = Random(f"{name}/{self.seed}")  # noqa: S311  (chance, not a secret)
                thing = fault.change(thing, FaultInput(value=self.values[name], chance=chance))
        return thing


def choose_faults(names: Iterable[str], *, seed: object) -> ChosenFaults:
    """Read `names`, each "name" or "name=value". Raises UsageError for an unknown fault or a bad value."""
    return ChosenFaults(values=dict(map(_read_fault, names)), seed=seed)


def _read_fault(text: str) -> tuple[str, int]:
    name, separator, number = text.strip().partition("=")
    if name not in FAULTS:
        raise unknown_name("there is no fault", name, FAULTS)
    value = FAULTS[name].value
    if value is None:
        if separator:
            raise UsageError(f"the fault {name} takes no value")
        return name, 0
    if not separator and value.default is not None:
        return name, value.default
    if not (number.isascii() and number.isdigit() and value.smallest <= int(number[:20]) <= value.largest):
        raise UsageError(
            f"the fault {name} needs a whole number from {value.smallest} to {value.largest}: {name}={value.letter}"
        )
    return name, int(number)


# ---- the table

_TEXT_BODY = {"error": "Not Found", "message": "Cannot POST /v1/responses"}
_DETAIL_BODY = {"detail": "Not Found"}
_MESSAGE_BODY = {"message": "no Route matched with those values"}
_NO_MODEL = "The model `gpt-image-0` does not exist."
_OBJECT_BODY = {"object": "error", "message": _NO_MODEL, "type": "NotFoundError", "param": None, "code": 404}
_LIST_BODY = {
    "errors": [{"message": "You are being rate limited.", "code": 10000}],
    "success": False,
    "result": None,
    "messages": [],
}
_PROBLEM_BODY = {
    "type": "about:blank",
    "title": "Bad Gateway",
    "status": 502,
    "detail": "The model did not answer in time.",
}
_FEW = FaultValue(letter="N", smallest=1, largest=3, default=1)
_MEGABYTES = FaultValue(letter="N", smallest=1, largest=200, default=30)
_EVENTS = FaultValue(letter="N", smallest=0, largest=10**6)
_BYTES = FaultValue(letter="N", smallest=0, largest=10**9)
_SECONDS = FaultValue(letter="S", smallest=0, largest=86_400, default=12)

_Change = Callable[[Any, FaultInput], Any]
_FaultRow = tuple[FaultName, _Change, str] | tuple[FaultName, _Change, str, FaultValue]
# fmt: off
_TABLE: Mapping[Stage, tuple[_FaultRow, ...]] = {
    "pictures": (
        ("fewer-partials", change.send_fewer_partials, "N fewer previews come than were asked for (default: 1)", _FEW),
        ("final-equals-partial", change.repeat_final_as_partial, "the last preview has the bytes of the final"),
        ("final-unlike-partial", change.change_final, "the final is another picture than the previews show"),
        ("tiny-picture", change.shrink_pictures, "every picture has one pixel, although another size is claimed"),
        ("huge-event", change.pad_final, "the final is padded so that its event has N MB (default: 30)", _MEGABYTES),
        ("cut-picture", change.cut_picture, "the base64 of the final is sound, but the picture in it ends half-way"),
    ),
    "calls": (
        ("wrong-format", change.claim_wrong_format,
         "output_format or the media type names another format than the pictures have"),
        ("status-generating", change.keep_generating,
         "the done item still has the status `generating` (Responses API)"),
        ("no-final", change.drop_final, "no final comes: its field is null or missing, a chat has no image"),
        ("cut-base64", change.cut_base64, "the base64 of every picture is cut in the middle, with `...`"),
        ("blank-payload", change.blank_pictures, "every picture is an empty text"),
    ),
    "scenario": (
        ("no-completed", change.drop_completed,
         "no image gets its `completed` event, which in the Images API has the final"),
        ("keepalive", change.add_keepalives,
         "`keepalive` events with sequence numbers come between the others (not in chats)"),
        ("empty-errors", change.add_empty_errors,
         "an empty `error` object, which is no error, is beside each picture"),
        ("error-nested", change.fail_with("nested"),
         "after the previews an `error` with its code in an object, then the end"),
        ("error-flat", change.fail_with("flat"),
         "after the previews an `error` with its code beside the type, then the end"),
        ("error-text", change.fail_with("text"), "after the previews an `error` that is a text, then the end"),
        ("error-object", change.fail_with("object"),
         "after the previews an event with `\"object\":\"error\"`, then the end"),
        ("error-field", change.fail_with("field"), "after the previews the SSE field `error:`, then the end"),
        ("error-in-data", change.fail_in_data, "after the previews a member of `data` is an error (image APIs)"),
        ("response-incomplete", change.end_incomplete, "after the previews `response.incomplete`, or just the end"),
        ("moderation-stream", change.block_at_once, "in place of pictures the stream has the error moderation_blocked"),
        ("moderation-after-previews", change.block_after_previews, "after the previews the error moderation_blocked"),
        ("response-failed", change.end_failed, "after the previews `response.failed`, or an `error` in other APIs"),
        ("refusal", change.answer_in_words,
         "the model answers in words without a picture; an Images API sends nothing"),
    ),
    "responses": (
        ("reused-item-ids", change.reuse_item_ids,
         "two responses come, and their images have the same ids (Responses API)"),
        ("steered", change.steer,
         "a first response is `incomplete` (steered), its successor has the image (Responses API)"),
        ("retry", change.retry_response,
         "a first response fails, then the service tries again in the stream (Responses API)"),
    ),
    "events": (
        ("repeated-events", change.repeat_events, "half of the events come twice, up to three places later"),
        ("reordered-events", change.reorder_events, "events move up to three places, except the first and the last"),
        ("constant-numbers", change.number_with_zero, "every sequence_number is 0"),
        ("missing-ids", change.remove_image_ids, "images have no ids, only their output_index (Responses API)"),
    ),
    "framing": (
        ("comments", change.add_comments, "a comment line comes before every event"),
        ("crlf", change.use_crlf, "lines end with CR LF"),
        ("no-event-lines", change.drop_event_lines, "there are no `event:` lines, only `data:`"),
        ("byte-chunks", change.cut_into_bytes, "every chunk is one byte"),
        ("hang", change.keep_open, "the connection stays open after the last event"),
        ("hang-after-event", change.hang_after_event,
         "nothing comes after event N, and the connection stays open", _EVENTS),
        ("disconnect-after-event", change.disconnect_after_event, "the connection breaks after event N", _EVENTS),
        ("disconnect-after-bytes", change.disconnect_after_bytes,
         "the connection breaks after byte N of the body", _BYTES),
    ),
    "http": (
        ("moderation-http", change.reject_request, "the request is rejected: HTTP 400, moderation_blocked"),
        ("server-error", change.fail_request, "the service fails: HTTP 500, server_error"),
        ("rate-limit", change.limit_rate, "too many requests: HTTP 429, retry-after S seconds (default: 12)", _SECONDS),
        ("http-text", change.refuse_with_body(404, _TEXT_BODY), "HTTP 404, `error` is a text"),
        ("http-object", change.refuse_with_body(404, _OBJECT_BODY),
         "HTTP 404, the body is the error: `\"object\":\"error\"` (vLLM, Mistral)"),
        ("http-detail", change.refuse_with_body(404, _DETAIL_BODY), "HTTP 404, the body has only `detail` (FastAPI)"),
        ("http-message", change.refuse_with_body(404, _MESSAGE_BODY), "HTTP 404, the body has only `message` (Kong)"),
        ("http-errors", change.refuse_with_body(429, _LIST_BODY),
         "HTTP 429, the body has a list `errors` (Cloudflare)"),
        ("http-problem", change.refuse_with_body(502, _PROBLEM_BODY, "application/problem+json"),
         "HTTP 502, problem details of RFC 9457"),
    ),
}
# fmt: on
FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        name: Fault(name=name, description=description, stage=stage, change=apply, value=value[0] if value else None)
        for stage, rows in _TABLE.items()
        for name, apply, description, *value in rows
    }
)
