"""Streams as services could send them, good and bad, for the laws: drawn by hypothesis, built by `wire`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import samples
from hypothesis import strategies as st
from samples import Wire

from imgassemble.wire.dialects import ROWS

_SHARE = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "ci" else 4


def cases(number: int) -> int:
    """Return how many cases a test tries: `number` in one run of continuous integration, a quarter in the others."""
    return number // _SHARE


IDS = ("ig_1", "ig_2", "ig_3", "ig_4", "", "../../x", "CON", "\0")
GOOD = (
    samples.png(colour=(1, 2, 3)),
    samples.png(colour=(90, 2, 3)),
    samples.png(2, 3, colour=(90, 2, 200)),
    samples.picture("JPEG"),
    samples.picture("WEBP"),
    samples.picture("GIF"),
)
BAD = (
    "",
    "  ",
    "%%%",
    "iVBOR",
    "https://example.com/otter.png",
    "data:image/png,plain",
    samples.b64(b"no picture"),
    samples.b64(samples.png()[:-5]),
    samples.b64(samples.picture("JPEG")[:-2]),
    samples.b64(samples.picture("BMP")),
    "\ud800",
)
INDICES = (0, 1, 2, 3, 0.5, 9914.45, 2**53)
NO_INDICES = (None, -1, float("nan"), float("inf"), 2**53 + 1, "0", True, 10**400)
STATUSES = ("completed", "failed", "incomplete", "generating", "in_progress", "cancelled", None, "?")
ERRORS = (None, {"code": "moderation_blocked", "message": "no"}, {"code": "server_error", "message": "it broke"})

good = st.sampled_from(GOOD)
contents: st.SearchStrategy[bytes | str | None] = st.one_of(good, good, good, st.none(), st.sampled_from(BAD))
claims = st.fixed_dictionaries(
    {},
    optional={
        "size": st.sampled_from(("1x1", "8x6", "1024x1024", "auto")),
        "output_format": st.sampled_from(("png", "jpeg", "webp")),
        "revised_prompt": st.sampled_from(("an otter", "a red otter")),
        "usage": st.sampled_from(({"total_tokens": 1}, {"total_tokens": 2, "input_tokens_details": {"text": 1}})),
    },
)
nothing: st.SearchStrategy[Wire] = st.just({})
sayings = st.one_of(nothing, nothing, claims)
own_errors = st.sampled_from(ERRORS)


@st.composite
def members(draw: st.DrawFn, item_id: str) -> Wire:
    """One image as `output_item.done` and a snapshot have it: good, failed, incomplete, or with a bad payload."""
    status = draw(st.sampled_from(STATUSES))
    more = draw(sayings)
    error = draw(own_errors) if status == "failed" else None
    return samples.member(item_id, draw(contents), status=status, **(more | ({"error": error} if error else {})))


@st.composite
def snapshots(draw: st.DrawFn, ids: list[str]) -> Wire:
    """A terminal event. Each image is at its place in `ids`; another member replaces an image without a name."""
    kind = draw(st.sampled_from(("completed", "completed", "incomplete", "failed")))
    others = st.just({"type": "message", "id": "msg_1"})
    output = [draw(st.one_of(others, members(item_id), members(item_id))) for item_id in ids]
    return samples.snapshot(
        kind,
        draw(st.sampled_from((output, output, []))),
        error=draw(own_errors) if kind == "failed" else None,
        reason=draw(st.sampled_from((None, "max_output_tokens"))) if kind == "incomplete" else None,
    )


PHASES = {"created": 0, "added": 1, "in_progress": 2, "generating": 3, "partial": 4, "word": 5, "done": 6, "error": 7}
KINDS = ("created", "added", "in_progress", "generating", "word", "done", "done", "snapshot", "other", "error",
         *("partial",) * 6)  # fmt: skip


@st.composite
def events(draw: st.DrawFn, ids: list[str], *, indexed: bool = True) -> tuple[int, Wire]:
    """One event of a Responses stream, with its place in the natural order."""
    kind = draw(st.sampled_from(KINDS))
    place = draw(st.integers(0, len(ids) - 1))
    item_id = ids[place]
    if kind == "partial":
        index = draw(st.sampled_from(INDICES if indexed else INDICES + NO_INDICES))
        event = samples.partial(item_id, index, draw(contents) or "", output_index=place, **draw(sayings))
    elif kind == "done":
        event = samples.done(item_id, output_index=place) | {"item": draw(members(item_id))}
    else:
        makers: dict[str, Callable[[], Wire]] = {
            "created": samples.created,
            "added": lambda: samples.added(item_id, output_index=place),
            "in_progress": lambda: samples.call("in_progress", item_id, output_index=place),
            "generating": lambda: samples.call("generating", item_id, output_index=place),
            "word": lambda: samples.call("completed", item_id, output_index=place),
            "snapshot": lambda: draw(snapshots(ids)),
            "other": lambda: draw(st.sampled_from(OTHERS)),
            "error": lambda: samples.error(*draw(st.sampled_from((("a", "b"), ("server_error", "it broke"))))),
        }
        event = makers[kind]()
    return PHASES.get(kind, 8), event


OTHERS: tuple[Wire, ...] = (
    {"type": "keepalive"},
    {"type": "response.output_text.delta", "delta": "hello", "item_id": "msg_1"},
    {"type": "response.output_item.done", "output_index": 9, "item": {"type": "message", "id": "msg_1"}},
)


@st.composite
def responses_streams(
    draw: st.DrawFn, *, indexed: bool = True, most_items: int = 4, most_events: int = 14
) -> list[Wire]:
    """The events of one response in the order of their distinct sequence numbers; half of them in the natural order,
    the others with late and early words.
    """
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=most_items, unique=True))
    drawn = draw(st.lists(events(ids, indexed=indexed), min_size=1, max_size=most_events))
    if draw(st.booleans()):
        drawn.sort(key=lambda pair: pair[0])
    return numbered(draw, [event for _, event in drawn])


@st.composite
def images_streams(draw: st.DrawFn, *, most_events: int = 10) -> list[Wire]:
    """A stream of the Images API: several images, each begun by the `completed` before it."""
    api = draw(st.sampled_from(("image_generation", "image_edit")))
    index = st.sampled_from(INDICES + NO_INDICES)
    partials = st.builds(samples.image_partial, index, contents.map(lambda content: content or ""), api=st.just(api))
    status = st.sampled_from(({}, {}, {"status": "failed"}, {"status": "incomplete"}))
    completed = st.builds(
        lambda content, more: samples.image_completed(content, api=api) | more, contents, st.one_of(status, claims)
    )
    drawn = draw(st.lists(st.one_of(partials, partials, completed), min_size=1, max_size=most_events))
    return numbered(draw, drawn)


def numbered(draw: st.DrawFn, stream: list[Wire]) -> list[Wire]:
    start, step = draw(st.sampled_from(((0, 1), (1, 1), (4, 3))))
    return [{**event, "sequence_number": start + step * at} for at, event in enumerate(stream)]


@st.composite
def arrivals(draw: st.DrawFn, stream: list[Wire]) -> list[Wire]:
    """The events of `stream` in any order, each at least once."""
    repeated = draw(st.lists(st.sampled_from(stream), max_size=6))
    return draw(st.permutations(stream + repeated))


@st.composite
def two_pieces(draw: st.DrawFn, stream: list[Wire]) -> tuple[list[Wire], list[Wire]]:
    """A beginning of `stream` and an end of it that overlaps, as when a cut stream is resumed too early."""
    end = draw(st.integers(0, len(stream)))
    return stream[:end], stream[draw(st.integers(0, end)) :]


# Anything at all

NAMES = (
    "type", "item_id", "itemId", "ItemID", "item", "id", "response", "output", "data", "error", "code", "message",
    "partial_image_index", "partial_image_b64", "result", "b64_json", "status", "sequence_number", "output_index",
    "usage", "tool_usage", "incomplete_details", "reason", "object", "size", "output_format", "revised_prompt",
)  # fmt: skip
TYPES = (*ROWS, "image_generation_call", "response", "images", "message", "failed", "completed")
HUGE = (10**400, -(10**400), 2**53, 2**53 + 1, 2**64, float("nan"), float("inf"), -0.0, 1e300)
texts = st.text(st.characters(), max_size=8)  # lone surrogates included
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.sampled_from(HUGE), st.sampled_from(TYPES),
    st.sampled_from(BAD), good.map(samples.b64),
)  # fmt: skip
names = st.one_of(st.sampled_from(NAMES), texts)
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=12
)
json_events: st.SearchStrategy[Any] = st.one_of(
    json_values,
    st.builds(lambda kind, more: {**more, "type": kind}, st.sampled_from(TYPES), st.dictionaries(names, json_values)),
)
some_events = st.one_of(
    responses_streams(indexed=False, most_events=3).map(lambda stream: stream[-1]),
    images_streams(most_events=2).map(lambda stream: stream[-1]),
    st.just(samples.answer("completed", [samples.member(content=GOOD[0])])),
    st.just({"created": 1, "data": [{"b64_json": samples.b64(GOOD[0])}, {"b64_json": samples.b64(GOOD[3])}]}),
)


@st.composite
def damaged_events(draw: st.DrawFn) -> Wire:
    """A real event in which one to three members are something else, or gone."""
    event: Wire = deepcopy(draw(some_events))
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = event
        while True:
            places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            if isinstance(holder[place], (dict, list)) and draw(st.booleans()):
                holder = holder[place]
                continue
            if draw(st.booleans()):
                holder[place] = draw(json_values)
            else:
                del holder[place]
            break
    return event


@st.composite
def damaged_pictures(draw: st.DrawFn) -> str:
    """The base64 of a picture that was cut, or in which some characters are others."""
    data = draw(good)
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data) - 1))]
    text = samples.b64(data)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.one_of(st.sampled_from(" \n-_=%A"), texts)) + text[at + 1 :]
    return text


PIECES = (
    b"\xef\xbb\xbf", b"\xef", b"\xbb", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"data:", b"data: ", b"event: x", b"id: 1",
    b": ping", b"retry: 1", b"{", b"}", b"[", b"]", b",", b'{"type":', b'"error"}', b'{"type": "keepalive"}', b"[DONE]",
    b"\x00" * 70, "\u2026".encode() * 40, b"\xff", b"<html>",
)  # fmt: skip
pieces = st.one_of(st.sampled_from(PIECES), st.binary(max_size=40), some_events.map(lambda event: samples.sse([event])))
bodies = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join),
    st.lists(pieces, max_size=8).map(b"".join),
    st.builds(
        lambda stream, done: samples.sse(stream, done=done),
        responses_streams(indexed=False, most_events=6),
        st.booleans(),
    ),
)


cuts = st.lists(st.integers(0, 2_000), max_size=12)


def pieces_of(body: bytes, cuts: list[int]) -> list[bytes]:
    """`body` in pieces, some of them empty."""
    at = sorted(place % (len(body) + 1) for place in cuts)
    return [body[start:end] for start, end in zip([0, *at], [*at, len(body)], strict=True)]


# Several responses in one stream


def of_response(stream: list[Wire], response_id: str, lane: str | None = None) -> list[Wire]:
    """The events of `stream` as those of another response, and of a lane if one is given."""
    found = []
    for event in stream:
        mine = {**event, "response": {**event["response"], "id": response_id}} if "response" in event else event
        found.append(mine if lane is None else {**mine, "stream_id": lane})
    return found


@st.composite
def lanes(draw: st.DrawFn, *, most_lanes: int = 3) -> dict[str, list[Wire]]:
    """The events of each lane: one response, or images without names. Lanes can use the same item ids."""
    names = [f"lane-{at}" for at in range(draw(st.integers(1, most_lanes)))]
    found: dict[str, list[Wire]] = {}
    for name in names:
        if draw(st.integers(0, 3)) == 0:
            found[name] = of_response(draw(images_streams(most_events=5)), "", name)
        else:
            found[name] = of_response(draw(responses_streams(most_items=2, most_events=7)), f"resp-{name}", name)
    return found


@st.composite
def interleaved(draw: st.DrawFn, streams: Sequence[list[Wire]]) -> list[Wire]:
    """The events of all streams in any order that keeps the order of each."""
    order = draw(st.permutations([at for at, stream in enumerate(streams) for _ in stream]))
    waiting = [iter(stream) for stream in streams]
    return [next(waiting[at]) for at in order]


@st.composite
def whole_responses(draw: st.DrawFn, *, most: int = 3) -> list[list[Wire]]:
    """Responses that stand one after the other in one stream: each begins with `created` and ends."""
    found = []
    for at in range(draw(st.integers(1, most))):
        stream = draw(responses_streams(most_items=2, most_events=7))
        last = draw(snapshots(["ig_1", "ig_2"]))
        events = [samples.created(), *stream, last]
        found.append(of_response([{**event, "sequence_number": n} for n, event in enumerate(events)], f"resp-{at}"))
    return found
