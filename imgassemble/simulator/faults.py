"""What can go wrong on purpose: a table of faults, each with a sentence and the one change that it makes.

Knows: the stages of an answer, and what of each a fault changes. Must not know: sockets, time, what anybody makes of
it. Faults combine: they are applied in the order of the table, whatever order they were asked for in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from random import Random
from types import MappingProxyType
from typing import Any, Literal

from ..errors import UsageError, quoted
from .apis import COMPLETED_TYPES, Scene, Trouble
from .framing import Framing
from .image_series import Sketch
from .messages import Call, Event

Stage = Literal["pictures", "calls", "scene", "events", "framing", "http"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The whole number that a fault may be given; `usual` where it is not, None where it must be."""

    letter: str
    smallest: int
    largest: int
    usual: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a fault works with: its value, and chance that is the same for the same seed."""

    value: int
    chance: Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: its name, a sentence on what it does, and the change it makes at one stage of an answer."""

    name: str
    says: str
    stage: Stage
    change: Callable[[Any, Given], Any]
    value: Value | None = None

    @property
    def usage(self) -> str:
        """The name as it is asked for: `hang-after-event=N`, or `fewer-partials[=N]` where a value is not needed."""
        if self.value is None:
            return self.name
        return f"{self.name}={self.value.letter}" if self.value.usual is None else f"{self.name}[={self.value.letter}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An answer that is an error from the start: its HTTP status, its own headers, and what it says."""

    trouble: Trouble
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The faults that were asked for."""

    values: Mapping[str, int]
    seed: object

    def applied(self, stage: Stage, thing: Any) -> Any:
        """`thing` with the changes of all chosen faults of this stage."""
        for name, fault in FAULTS.items():
            if fault.stage == stage and name in self.values:
                chance = Random(f"{name}/{self.seed}")  # noqa: S311  (chance, not a secret)
                thing = fault.change(thing, Given(value=self.values[name], chance=chance))
        return thing


def chosen(asked: Iterable[str], *, seed: object) -> Chosen:
    """The faults named in `asked`, "name" or "name=value". Raises UsageError for an unknown one or a bad value."""
    return Chosen(values=dict(map(_read, asked)), seed=seed)


def _read(asked: str) -> tuple[str, int]:
    name, separator, text = asked.strip().partition("=")
    if name not in FAULTS:
        near = get_close_matches(name, FAULTS, n=1)
        hint = f"did you mean {near[0]}? There" if near else "there"
        raise UsageError(f"there is no fault {quoted(name)}; {hint} are {', '.join(FAULTS)}")
    fault = FAULTS[name]
    wanted = fault.value
    if wanted is None:
        if separator:
            raise UsageError(f"the fault {name} takes no value")
        return name, 0
    if not separator and wanted.usual is not None:
        return name, wanted.usual
    if not (text.isascii() and text.isdigit() and wanted.smallest <= int(text[:20]) <= wanted.largest):
        raise UsageError(
            f"the fault {name} needs a whole number from {wanted.smallest} to {wanted.largest}: {name}={wanted.letter}"
        )
    return name, int(text)


# ---- pictures


def _fewer_partials(sketch: Sketch, given: Given) -> Sketch:
    return replace(sketch, drafts=max(0, sketch.drafts - given.value), result_as_partial="no")


def _final_equals_partial(sketch: Sketch, given: Given) -> Sketch:
    return sketch if sketch.result_as_partial == "one more" else replace(sketch, result_as_partial="the last")


def _final_unlike_partial(sketch: Sketch, given: Given) -> Sketch:
    return replace(sketch, result_prompt=f"anything but {sketch.prompt}", result_as_partial="no")


def _cut_picture(sketch: Sketch, given: Given) -> Sketch:
    return replace(sketch, is_cut=True)


def _tiny_picture(sketch: Sketch, given: Given) -> Sketch:
    return replace(sketch, size=(1, 1))


def _huge_event(sketch: Sketch, given: Given) -> Sketch:
    return replace(sketch, result_bytes=given.value * 750_000)  # three bytes are four characters of base64


# ---- calls: pictures as base64


def _changed_texts(call: Call, change: Callable[[str], str]) -> Call:
    result = None if call.result is None else change(call.result)
    return replace(call, partials=tuple(map(change, call.partials)), result=result)


def _cut_base64(call: Call, given: Given) -> Call:
    return _changed_texts(call, lambda text: text[: len(text) // 2] + "...")


def _blank_payload(call: Call, given: Given) -> Call:
    return _changed_texts(call, lambda text: "")


def _wrong_format(call: Call, given: Given) -> Call:
    return replace(call, format="webp" if call.format == "png" else "png")


def _status_generating(call: Call, given: Given) -> Call:
    return replace(call, status="generating")


def _no_final(call: Call, given: Given) -> Call:
    return replace(call, result=None)


# ---- the scene

_SAFETY = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us at help.openai.com "
    "and include the request ID req_simulated."
)
_USER_ERROR = "image_generation_user_error"
_SERVER_ERROR = Trouble(
    code="server_error",
    message="The server had an error while processing your request. Sorry about that!",
    kind="server_error",
    status=500,
)
_REFUSAL = "I can't make that picture, but I'd be glad to paint another one."


def _blocked(stage: Literal["input", "output"]) -> Trouble:
    details = {"moderation_stage": stage, "categories": ["other"]}
    return Trouble(code="moderation_blocked", message=_SAFETY, kind=_USER_ERROR, more={"moderation_details": details})


def _no_completed(scene: Scene, given: Given) -> Scene:
    return replace(scene, left_out=scene.left_out | COMPLETED_TYPES)


def _keepalive(scene: Scene, given: Given) -> Scene:
    return replace(scene, has_keepalives=True)


def _short_of(scene: Scene) -> Literal["partials", "nothing"]:
    return "nothing" if scene.told == "nothing" else "partials"


def _error_nested(scene: Scene, given: Given) -> Scene:
    return replace(scene, told=_short_of(scene), errors=(*scene.errors, _SERVER_ERROR), end="cut")


def _error_flat(scene: Scene, given: Given) -> Scene:
    error = replace(_SERVER_ERROR, is_flat=True)
    return replace(scene, told=_short_of(scene), errors=(*scene.errors, error), end="cut")


def _moderation_stream(scene: Scene, given: Given) -> Scene:
    trouble = _blocked("output")
    return replace(scene, told="nothing", errors=(*scene.errors, trouble), end="failed", failure=trouble)


def _response_incomplete(scene: Scene, given: Given) -> Scene:
    return replace(scene, told=_short_of(scene), end="incomplete", reason="content_filter")


def _response_failed(scene: Scene, given: Given) -> Scene:
    failure = scene.failure or _SERVER_ERROR
    return replace(scene, told=_short_of(scene), end="failed", failure=failure, reason=None)


def _refusal(scene: Scene, given: Given) -> Scene:
    return replace(scene, refusal=_REFUSAL)


# ---- events, numbered


def _repeated_events(events: list[Event], given: Given) -> list[Event]:
    """The last event stays the last, so that what ends a stream still ends it."""
    middle = range(len(events) - 1)
    again = given.chance.sample(middle, (len(middle) + 1) // 2)
    late = [(min(at + given.chance.randrange(4), len(middle) - 1), 1, at) for at in again]
    return [events[at] for _, _, at in sorted([*((at, 0, at) for at in range(len(events))), *late])]


def _reordered_events(events: list[Event], given: Given) -> list[Event]:
    """Each goes up to three places away; the first and the last stay."""
    first, middle, last = events[:1], events[1:-1], events[1:][-1:]
    places = [at + given.chance.random() * 4 for at in range(len(middle))]
    mixed = [middle[at] for at in sorted(range(len(middle)), key=places.__getitem__)]
    if mixed == middle and len(middle) > 1:
        mixed = [middle[1], middle[0], *middle[2:]]
    return first + mixed + last


# ---- framing


def _comments(framing: Framing, given: Given) -> Framing:
    return replace(framing, comment=framing.comment or "keep-alive")


def _crlf(framing: Framing, given: Given) -> Framing:
    return replace(framing, newline="\r\n")


def _no_event_lines(framing: Framing, given: Given) -> Framing:
    return replace(framing, event_lines=False)


def _byte_chunks(framing: Framing, given: Given) -> Framing:
    return replace(framing, piece_bytes=1)


def _hang(framing: Framing, given: Given) -> Framing:
    return replace(framing, ending="hanging")


def _hang_after_event(framing: Framing, given: Given) -> Framing:
    return replace(framing, last_event=given.value, ending="hanging")


def _disconnect_after_event(framing: Framing, given: Given) -> Framing:
    return replace(framing, last_event=_least(framing.last_event, given.value), ending="disconnected")


def _disconnect_after_bytes(framing: Framing, given: Given) -> Framing:
    return replace(framing, last_byte=given.value, ending="disconnected")


def _least(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)


# ---- the HTTP answer


def _moderation_http(refused: Refused | None, given: Given) -> Refused:
    return refused or Refused(trouble=_blocked("input"), headers={})


def _rate_limit(refused: Refused | None, given: Given) -> Refused:
    trouble = Trouble(
        code="rate_limit_exceeded",
        message="Rate limit reached for images per minute: Limit 5, Used 5, Requested 1. Please try again in 12s.",
        kind="requests",
        status=429,
    )
    headers = {"retry-after": "12", "x-ratelimit-limit-requests": "5", "x-ratelimit-remaining-requests": "0"}
    return refused or Refused(trouble=trouble, headers=headers)


_FEW = Value(letter="N", smallest=1, largest=3, usual=1)
_MEGABYTES = Value(letter="N", smallest=1, largest=200, usual=30)
_EVENTS = Value(letter="N", smallest=0, largest=10**6)
_BYTES = Value(letter="N", smallest=0, largest=10**9)

_Row = tuple[str, Callable[[Any, Given], Any], str] | tuple[str, Callable[[Any, Given], Any], str, Value]
# fmt: off
_TABLE: Mapping[Stage, tuple[_Row, ...]] = {
    "pictures": (
        ("fewer-partials", _fewer_partials, "N partials fewer come than were asked for (1 unless told)", _FEW),
        ("final-equals-partial", _final_equals_partial, "the last partial has the bytes of the final"),
        ("final-unlike-partial", _final_unlike_partial, "the final is another picture than the partials showed"),
        ("tiny-picture", _tiny_picture, "every picture has one pixel, whatever the size that is claimed"),
        ("huge-event", _huge_event, "the final is padded so that its event has N MB (30 unless told)", _MEGABYTES),
        ("cut-picture", _cut_picture, "the base64 of the final is sound, but the picture in it ends half-way"),
    ),
    "calls": (
        ("wrong-format", _wrong_format, "output_format or the media type names another format than the pictures have"),
        ("status-generating", _status_generating, "the done item still says `generating` (Responses API)"),
        ("no-final", _no_final, "no final comes: its field is null or left out, a chat has no image"),
        ("cut-base64", _cut_base64, "the base64 of every picture is cut in the middle, with `...`"),
        ("blank-payload", _blank_payload, "every picture is an empty text"),
    ),
    "scene": (
        ("no-completed", _no_completed, "no image gets its `completed` event, which in the Images API has the final"),
        ("keepalive", _keepalive, "`keepalive` events come between the others, with sequence numbers (not in chats)"),
        ("error-nested", _error_nested, "after the partials an `error` comes, its facts in an object, then the end"),
        ("error-flat", _error_flat, "after the partials an `error` comes, its facts beside its type, then the end"),
        ("response-incomplete", _response_incomplete, "after the partials `response.incomplete`, or just the end"),
        ("moderation-stream", _moderation_stream, "in place of pictures the stream has the error moderation_blocked"),
        ("response-failed", _response_failed, "after the partials `response.failed`, or an `error` in other APIs"),
        ("refusal", _refusal, "the model answers with words and no picture; an Images API says nothing at all"),
    ),
    "events": (
        ("repeated-events", _repeated_events, "half of the events come twice, up to three places later"),
        ("reordered-events", _reordered_events, "events change places, up to three, but for the first and the last"),
    ),
    "framing": (
        ("comments", _comments, "a comment line comes before every event"),
        ("crlf", _crlf, "lines end with CR LF"),
        ("no-event-lines", _no_event_lines, "there are no `event:` lines, only `data:`"),
        ("byte-chunks", _byte_chunks, "every chunk is one byte"),
        ("hang", _hang, "the connection stays open after the last event"),
        ("hang-after-event", _hang_after_event, "nothing comes after event N, and the connection stays open", _EVENTS),
        ("disconnect-after-event", _disconnect_after_event, "the connection breaks after event N", _EVENTS),
        ("disconnect-after-bytes", _disconnect_after_bytes, "the connection breaks after byte N of the body", _BYTES),
    ),
    "http": (
        ("moderation-http", _moderation_http, "the request is rejected: HTTP 400, moderation_blocked"),
        ("rate-limit", _rate_limit, "too many requests: HTTP 429 with retry-after"),
    ),
}
# fmt: on
FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        name: Fault(name=name, says=says, stage=stage, change=change, value=value[0] if value else None)
        for stage, rows in _TABLE.items()
        for name, change, says, *value in rows
    }
)
