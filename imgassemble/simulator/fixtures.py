"""The streams kept in `fixtures/`: one for each behaviour, how it is made, and what must come of it.

Knows: `scripts`, `orders` and `shots`, and the words for states and outcomes. Must not know: the assembler; what is
expected follows from how a stream was made. `imgassemble simulate --fixtures FOLDER` writes them all.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from .answers import Order, Play, pictures_of, play
from .image_series import Shot, Sketch, shoot
from .messages import (
    Call,
    Event,
    base64_text,
    dropping,
    flat_error,
    identifier,
    image_events,
    images_answer,
    images_stream,
    interleaved,
    json_lines,
    json_text,
    message_events,
    nested_error,
    numbered,
    only,
    reasoning_events,
    responses_stream,
    rotating,
    spelled,
    sse,
    whole_answer,
    without,
)
from .pictures import Format

COMPLETED = "response.image_generation_call.completed"
_IMAGE_EVENTS = "response.image_generation_call."
_REFUSAL = "I can't make that picture, but I'd be glad to paint another one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What must come of one image; format and size, (width, height), are those of its latest frame."""

    state: str
    partials: int
    partial_indices: tuple[float, ...]
    final_sha256: str | None
    is_provisional: bool
    format: str | None
    size: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must come of one stream: its outcome, the exit code of `imgassemble save`, and its items by id."""

    outcome: str
    exit_code: int
    items: dict[str, Item] = field(default_factory=dict)
    anomalies_at_least: int = 0
    key_by: str = "item_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """One file of `fixtures/`, and the sentence that tells what it shows."""

    name: str
    shows: str
    data: bytes
    expected: Expected


_NOTHING = Shot(partials=(), result=b"", format="PNG", size=(0, 0))
_SMALL = Order(size=(96, 64), partials=1, is_portable=True)

_Maker = Callable[[], tuple[bytes, Expected]]
_TABLE: dict[str, tuple[str, _Maker]] = {}


def _fixture(name: str, shows: str) -> Callable[[_Maker], _Maker]:
    def entered(maker: _Maker) -> _Maker:
        _TABLE[name] = shows, maker
        return maker

    return entered


def all_fixtures() -> list[Fixture]:
    """Every fixture, made anew; the same bytes each time."""
    made = ((name, shows, *maker()) for name, (shows, maker) in _TABLE.items())
    return [Fixture(name=name, shows=shows, data=data, expected=expected) for name, shows, data, expected in made]


# ---- what the makers are made of


def _shot(
    prompt: str,
    form: Format = "PNG",
    size: tuple[int, int] = (96, 64),
    *,
    drafts: int = 1,
    provenance: str = "",
) -> Shot:
    """`drafts` drafts of a picture, and the picture."""
    return shoot(Sketch(prompt=prompt, format=form, size=size, drafts=drafts, provenance=provenance, is_portable=True))


def _twice(shot: Shot) -> Shot:
    """The shot as real streams of the Responses API have it: the last partial is the result already."""
    return replace(shot, partials=(*shot.partials, shot.result))


def _call(shot: Shot, seed: str) -> Call:
    width, height = shot.size
    return Call(
        id=identifier("ig", seed),
        partials=tuple(map(base64_text, shot.partials)),
        result=base64_text(shot.result),
        format=shot.format.lower(),
        size=f"{width}x{height}",
        revised_prompt="A quiet landscape at dusk.",
    )


def _item(
    shot: Shot,
    state: str = "completed",
    *,
    indices: Sequence[float] | None = None,
    final: bytes | None = None,
) -> Item:
    """An item that got the shot's partials, as a rule with the indices 0, 1, …, and this final."""
    found = tuple(range(len(shot.partials)) if indices is None else indices)
    has_frame = bool(found or final)
    return Item(
        state=state,
        partials=len(found),
        partial_indices=found,
        final_sha256=sha256(final).hexdigest() if final else None,
        is_provisional=final is not None and final != shot.result,
        format=shot.format if has_frame else None,
        size=shot.size if has_frame else None,
    )


def _good(shots: dict[str, Shot], *, key_by: str = "item_id", anomalies_at_least: int = 0) -> Expected:
    """Every item has all its partials and its result."""
    items = {name: _item(shot, final=shot.result) for name, shot in shots.items()}
    return Expected(outcome="completed", exit_code=0, items=items, key_by=key_by, anomalies_at_least=anomalies_at_least)


def _played(order: Order) -> tuple[bytes, Expected]:
    """What the simulator answers to a small order, and that all its pictures must come of it."""
    made, shots = play(order), pictures_of(order)
    return b"".join(made.body), _good(dict(zip(_names(made, len(shots)), shots, strict=True)))


def _names(made: Play, images: int) -> list[str]:
    """The ids of the items, or those that items without one are given."""
    done = (event["item"] for event in made.events if event.get("type") == "response.output_item.done")
    named = [item["id"] for item in done if "image_generation" in item["type"]]
    return named or [f"image-{at}" for at in range(images)]


def _as_in_2025_10(call: Call, *, output_index: int = 0) -> list[Event]:
    """No `completed`, and a status that lags behind: what OpenAI and Azure send since autumn 2025."""
    return without(image_events(replace(call, status="generating"), output_index=output_index), COMPLETED)


# ---- the four events this project began from


def _founding() -> tuple[list[Event], Expected]:
    """Of one item the last partial overtakes the one before; of the other the first is repeated."""
    shots = [replace(_twice(_shot(prompt, drafts=2)), result=b"") for prompt in ("a valley", "a lake at night")]
    calls = [_call(shot, f"founding/{n}") for n, shot in enumerate(shots)]
    whole = [image_events(call, output_index=9914.45, index_step=1141.42) for call in calls]
    later = ("size", "quality", "background", "output_format")  # keys that the founding events do not have
    streams = [dropping(only(events, _IMAGE_EVENTS), *later) for events in whole]
    sent = [
        event | {"sequence_number": event["sequence_number"] * 7.5 + 0.25} for event in numbered(interleaved(*streams))
    ]
    early, late, repeated = sent[6], sent[8], sent[5]
    arrived = [*sent[:6], late, sent[7], early, sent[9], repeated, *sent[10:]]
    indices = [event["partial_image_index"] for event in streams[0] if "partial_image_index" in event]
    items = {
        call.id: _item(shot, indices=indices, final=shot.partials[-1]) for call, shot in zip(calls, shots, strict=True)
    }
    return arrived, Expected(outcome="completed", exit_code=3, items=items)


@_fixture(
    "founding-snake.sse",
    "The four founding events alone, numbered in fractions: two items share an output_index, a partial "
    "overtakes another, one comes twice; the one with the highest index stands in for the final.",
)
def _founding_snake() -> tuple[bytes, Expected]:
    events, expected = _founding()
    return sse(events), expected


@_fixture("founding-camel.jsonl", "The same events as objects of a TypeScript SDK: `itemId`, `partialImageB64`.")
def _founding_camel() -> tuple[bytes, Expected]:
    events, expected = _founding()
    return json_lines(spelled(events, "camel")), expected


@_fixture("founding-pascal.jsonl", "The same events as structs of a Go SDK: `ItemID`, `PartialImageB64`.")
def _founding_pascal() -> tuple[bytes, Expected]:
    events, expected = _founding()
    return json_lines(spelled(events, "pascal")), expected


# ---- Responses API: whole streams


@_fixture(
    "openai-2025-06-jpeg.sse",
    "A whole stream of June 2025: two JPEG partials, `completed` without a picture, the result in the done "
    "item, and again at the end.",
)
def _openai_2025_06() -> tuple[bytes, Expected]:
    shot = _twice(_shot("a mountain lake", "JPEG", provenance="imgassemble simulator"))
    call = _call(shot, "2025-06")
    events = responses_stream(
        image_events(call),
        message_events("Here is your lake.", seed="2025-06"),
        seed="2025-06",
        format="jpeg",
    )
    later = (
        "max_tool_calls",
        "prompt_cache_key",
        "safety_identifier",
        "top_logprobs",
        "verbosity",
        "logprobs",
    )
    return sse(dropping(events, *later)), _good({call.id: shot})


@_fixture(
    "openai-2025-10-png.sse",
    "A whole stream of October 2025: behind a reasoning item, no `completed`, and the done item still says "
    "`generating`; PNG with C2PA.",
)
def _openai_2025_10() -> tuple[bytes, Expected]:
    shot = _twice(_shot("an axolotl in the sea", drafts=0, provenance="imgassemble simulator"))
    call = _call(shot, "2025-10")
    events = responses_stream(
        reasoning_events(seed="2025-10"),
        _as_in_2025_10(call, output_index=1),
        message_events("", seed="2025-10", output_index=2),
        seed="2025-10",
    )
    return sse(events), _good({call.id: shot})


@_fixture("openai-webp.sse", "WebP pictures.")
def _openai_webp() -> tuple[bytes, Expected]:
    shot = _twice(_shot("an island", "WEBP", (144, 96)))
    call = _call(shot, "webp")
    return sse(responses_stream(image_events(call), seed="webp", format="webp")), _good({call.id: shot})


@_fixture("two-items-interleaved.sse", "Two images of different sizes under way at once in one response.")
def _two_items() -> tuple[bytes, Expected]:
    shots = {"wide": _shot("two boats", size=(120, 64)), "tall": _shot("a tall fir", size=(64, 96))}
    calls = [_call(shot, f"two/{name}") for name, shot in shots.items()]
    streams = [image_events(call, output_index=at) for at, call in enumerate(calls)]
    return sse(responses_stream(interleaved(*streams), seed="two")), _good(
        {call.id: shot for call, shot in zip(calls, shots.values(), strict=True)}
    )


@_fixture(
    "final-unlike-last-partial.sse",
    "The result is another picture than the last partial: only the result is the final.",
)
def _unlike() -> tuple[bytes, Expected]:
    shot = replace(_shot("a smeared preview"), result=_shot("a clear evening").result)
    call = _call(shot, "unlike")
    return sse(responses_stream(image_events(call), seed="unlike")), _good({call.id: shot})


@_fixture(
    "codex-empty-output.sse",
    "`response.completed` repeats nothing, and `keepalive` events take sequence numbers.",
)
def _codex() -> tuple[bytes, Expected]:
    shot = _shot("a lighthouse")
    call = _call(shot, "codex")
    events = responses_stream(_as_in_2025_10(call), seed="codex")
    last = events[-1] | {"response": events[-1]["response"] | {"output": []}}
    keepalive: Event = {"type": "keepalive"}
    return sse(numbered([*events[:5], keepalive, events[5], keepalive, *events[6:-1], last])), _good({call.id: shot})


@_fixture("copilot-rotating-ids.sse", "Every event has another id; only output_index joins them, on request.")
def _copilot() -> tuple[bytes, Expected]:
    shot = _twice(_shot("a red barn"))
    events = responses_stream(image_events(_call(shot, "copilot")), message_events("There it is."), seed="copilot")
    return sse(rotating(events)), _good({"output-0": shot}, key_by="output_index")


# ---- Responses API: trouble


def _none_usable(call: Call) -> Expected:
    items = {call.id: _item(_NOTHING, "incomplete")}
    return Expected(outcome="incomplete", exit_code=6, items=items, anomalies_at_least=1)


@_fixture("base64-cut.sse", "All base64 was cut in the middle with `...`: pictures came, and none can be used.")
def _base64_cut() -> tuple[bytes, Expected]:
    call = _call(_shot("a shortened story"), "base64-cut")
    cut = replace(
        call,
        partials=tuple(text[:300] + "..." for text in call.partials),
        result=(call.result or "")[:300] + "...",
    )
    return sse(responses_stream(image_events(cut), seed="base64-cut")), _none_usable(call)


@_fixture(
    "picture-cut-short.sse",
    "The result's base64 is sound but the picture in it ends early: the partial stands in for it.",
)
def _picture_cut() -> tuple[bytes, Expected]:
    shot = _shot("half a hill")
    call = replace(_call(shot, "cut-short"), result=base64_text(shot.result[:1500]))
    item = _item(shot, final=shot.partials[-1])
    return sse(responses_stream(image_events(call), seed="cut-short")), Expected(
        outcome="completed", exit_code=3, items={call.id: item}, anomalies_at_least=1
    )


@_fixture("not-an-image.sse", "The result is sound base64 of something that is no picture.")
def _not_an_image() -> tuple[bytes, Expected]:
    call = Call(id=identifier("ig", "no-image"), result=base64_text(b"this is not a picture"))
    return sse(responses_stream(image_events(call), seed="no-image")), _none_usable(call)


@_fixture(
    "azure-placeholder.sse",
    "`size` says 1024x1024, the picture has one pixel: the bytes are believed, the claim is an anomaly.",
)
def _azure() -> tuple[bytes, Expected]:
    shot = _twice(_shot("a pixel", size=(1, 1), drafts=0))
    call = replace(_call(shot, "azure"), size="1024x1024")
    events = responses_stream(_as_in_2025_10(call), message_events("Here is a pixel.", seed="azure"), seed="azure")
    return sse(events), _good({call.id: shot}, anomalies_at_least=1)


def _failed(name: str, item: Item) -> Expected:
    return Expected(outcome="failed", exit_code=5, items={name: item})


@_fixture(
    "error-then-failed.sse",
    "An `error` with its facts nested, then `response.failed`: one failure, told once.",
)
def _error_then_failed() -> tuple[bytes, Expected]:
    call = Call(id=identifier("ig", "quota"))
    facts = {"code": "insufficient_quota", "message": "You exceeded your current quota."}
    error = nested_error(**facts, kind="insufficient_quota")
    events = responses_stream([*image_events(call)[:3], error], seed="quota", end="failed", error=facts)
    return sse(events), _failed(call.id, _item(_NOTHING, "failed"))


@_fixture(
    "error-flat-mid-stream.sse",
    "A flat `error` after a partial, and then nothing: failed, the partial is still there.",
)
def _error_flat() -> tuple[bytes, Expected]:
    shot = _shot("an early end")
    call = _call(shot, "flat")
    error = flat_error("server_error", "The server had an error while it made the picture.")
    events = responses_stream([*image_events(call)[:4], error], seed="flat", end="cut")
    return sse(events), _failed(call.id, _item(shot, "failed"))


@_fixture(
    "snapshot-says-failed.sse",
    "A picture was done, then the last event calls its item failed: there is no final any more.",
)
def _snapshot_failed() -> tuple[bytes, Expected]:
    shot = _shot("a withdrawn picture")
    call = _call(shot, "withdrawn")
    *events, last = responses_stream(image_events(call), message_events(_REFUSAL, seed="withdrawn"), seed="withdrawn")
    image, message = last["response"]["output"]
    output = [image | {"status": "failed", "result": None}, message]
    events.append(last | {"response": last["response"] | {"output": output}})
    return sse(events), _failed(call.id, _item(shot, "failed"))


@_fixture(
    "incomplete-content-filter.sse",
    "`response.incomplete` (content_filter) after a partial: incomplete, the partial is still there.",
)
def _incomplete() -> tuple[bytes, Expected]:
    shot = _shot("a filtered picture")
    call = _call(shot, "filtered")
    events = responses_stream(image_events(call)[:4], seed="filtered", end="incomplete", reason="content_filter")
    return sse(events), Expected(outcome="incomplete", exit_code=3, items={call.id: _item(shot, "incomplete")})


@_fixture(
    "partials-only.sse",
    "The stream ends after two partials: incomplete, and a draft is never passed off as a result.",
)
def _partials_only() -> tuple[bytes, Expected]:
    shot = _shot("a lost connection", drafts=2)
    call = _call(shot, "lost")
    events = responses_stream(image_events(call)[:5], seed="lost", end="cut")
    return sse(events), Expected(outcome="incomplete", exit_code=3, items={call.id: _item(shot, "incomplete")})


@_fixture("refusal.sse", "The model answers with words: there is no image at all.")
def _refusal() -> tuple[bytes, Expected]:
    events = responses_stream(message_events(_REFUSAL, output_index=0), seed="refusal")
    return sse(events), Expected(outcome="no_image", exit_code=4)


# ---- Images API


@_fixture(
    "images-generation.sse",
    "Images API: two partials, then `image_generation.completed`; `type` is not the first key.",
)
def _images_generation() -> tuple[bytes, Expected]:
    shot = _shot("a poster of hills", drafts=2)
    return sse(images_stream(_call(shot, ""), seed="generation")), _good({"image-0": shot})


@_fixture("images-edit.sse", "The same with the names of an edit, `image_edit.*`.")
def _images_edit() -> tuple[bytes, Expected]:
    shot = _shot("the hills, but at night", drafts=2)
    return sse(images_stream(_call(shot, ""), seed="edit", family="image_edit")), _good({"image-0": shot})


@_fixture(
    "images-several-completed.sse",
    "One Images API stream with two pictures: what follows a `completed` is the next image.",
)
def _images_several() -> tuple[bytes, Expected]:
    shots = [_shot("the first of two"), _shot("the second of two")]
    events = images_stream(*(_call(shot, "") for shot in shots), seed="several")
    return sse(events), _good({f"image-{n}": shot for n, shot in enumerate(shots)})


@_fixture("images-moderation.sse", "Images API: the request is rejected in the stream; failed, without any item.")
def _images_moderation() -> tuple[bytes, Expected]:
    error = nested_error(
        "moderation_blocked",
        "Your request was rejected by the safety system.",
        kind="image_generation_user_error",
    )
    return sse([error | {"sequence_number": 0}]), Expected(outcome="failed", exit_code=5)


# ---- other services


@_fixture(
    "xai.sse",
    "xAI: no partials, `result: null` at first, `prompt` in place of revised_prompt, sequence_number in front.",
)
def _xai() -> tuple[bytes, Expected]:
    return _played(replace(_SMALL, dialect="xai", prompt="a paper boat on a pond"))


@_fixture(
    "openrouter-responses.sse",
    "OpenRouter: `openrouter:image_generation` items, whose picture is in `imageB64`; comments and `[DONE]`.",
)
def _openrouter() -> tuple[bytes, Expected]:
    return _played(replace(_SMALL, dialect="openrouter", prompt="a router by a river", items=2))


@_fixture(
    "openrouter-response-done.sse",
    "OpenRouter as its guide shows it: no sequence numbers, and `response.done` ends the stream.",
)
def _openrouter_done() -> tuple[bytes, Expected]:
    return _played(replace(_SMALL, dialect="openrouter-docs", prompt="a done deal"))


@_fixture("openrouter-images.sse", "OpenRouter's images: `created` and `media_type`; comments, `[DONE]`, and JPEG.")
def _router_images() -> tuple[bytes, Expected]:
    return _played(replace(_SMALL, api="router-images", prompt="a harbour", format="JPEG", partials=2))


@_fixture(
    "openrouter-images-svg.sse",
    "An SVG, as chunks of text and then whole: unless `Limits` allows SVG, it is no usable picture.",
)
def _router_svg() -> tuple[bytes, Expected]:
    made = play(replace(_SMALL, api="router-images", prompt="a drawn line", format="SVG"))
    items = {"image-0": _item(_NOTHING, "incomplete")}
    expected = Expected(outcome="incomplete", exit_code=6, items=items, anomalies_at_least=1)
    return b"".join(made.body), expected


@_fixture("chat-images.sse", "A chat: two pictures as data: URLs in `delta.images`, one chunk for each.")
def _chat() -> tuple[bytes, Expected]:
    return _played(replace(_SMALL, api="chat", dialect="openrouter", prompt="small talk", items=2))


@_fixture("chat-whole.json", "A whole answer of a chat, not streamed: the pictures are in `message.images`.")
def _whole_chat() -> tuple[bytes, Expected]:
    order = replace(_SMALL, api="chat", dialect="openrouter", prompt="a long talk", items=2)
    return _played(replace(order, is_streamed=False))


@_fixture("openrouter-whole-images.json", "A whole answer of OpenRouter's images, not streamed: `created` is 0.")
def _whole_router_images() -> tuple[bytes, Expected]:
    order = replace(_SMALL, api="router-images", prompt="an answer in one piece", partials=0)
    return _played(replace(order, is_streamed=False))


# ---- answers that were not streamed, and unusual wrappings


@_fixture(
    "whole-response.json",
    "A whole answer of the Responses API, not streamed, with two images of different sizes.",
)
def _whole_response() -> tuple[bytes, Expected]:
    shots = [_shot("a lake", drafts=0), _shot("a wide lake", size=(144, 96), drafts=0)]
    calls = [_call(shot, f"whole/{n}") for n, shot in enumerate(shots)]
    events = responses_stream(*(image_events(call, output_index=n) for n, call in enumerate(calls)), seed="whole")
    return json_text(whole_answer(events)).encode(), _good(
        {call.id: shot for call, shot in zip(calls, shots, strict=True)}
    )


@_fixture("whole-images.json", "A whole answer of the Images API, not streamed.")
def _whole_images() -> tuple[bytes, Expected]:
    shot = _shot("an answer in one piece", "JPEG", (144, 96), drafts=0)
    return json_text(images_answer(_call(shot, ""), seed="answer")).encode(), _good({"image-0": shot})


@_fixture("framing-crlf.sse", "A byte order mark, CRLF, comments, no `event:` lines, and `[DONE]` at the end.")
def _framing() -> tuple[bytes, Expected]:
    shot = _shot("a crooked frame")
    call = _call(shot, "framing")
    events = responses_stream(image_events(call), seed="framing")
    body = sse(events, event_lines=False, newline="\r\n", comment="OPENROUTER PROCESSING", done=True)
    return b"\xef\xbb\xbf" + body, _good({call.id: shot})


@_fixture("json-array.json", "All events in one JSON array.")
def _json_array() -> tuple[bytes, Expected]:
    shot = _shot("a row of hills")
    call = _call(shot, "array")
    return json_text(responses_stream(image_events(call), seed="array")).encode(), _good({call.id: shot})


@_fixture(
    "base64-spellings.sse",
    "Base64 as a data: URL, in the URL-safe alphabet, with line breaks, and without padding.",
)
def _base64_spellings() -> tuple[bytes, Expected]:
    shot = _shot("four spellings", drafts=3, provenance="a")
    first, second, third = shot.partials
    plain = base64_text(third)
    partials = (
        f"data:image/png;base64,{base64_text(first)}",
        urlsafe_b64encode(second).decode(),
        "\r\n".join(plain[at : at + 76] for at in range(0, len(plain), 76)),
    )
    call = replace(_call(shot, "spellings"), partials=partials, result=base64_text(shot.result).rstrip("="))
    return sse(responses_stream(image_events(call), seed="spellings")), _good({call.id: shot})


# ---- the folder


def write(folder: Path) -> list[Path]:
    """The paths written into `folder`: every fixture, expected.json and README.md. May raise OSError."""
    made = all_fixtures()
    files = {fixture.name: fixture.data for fixture in made}
    files["expected.json"] = (json.dumps(_expectations(made), indent=2) + "\n").encode()
    files["README.md"] = _readme(made).encode()
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def _expectations(made: Iterable[Fixture]) -> dict[str, Any]:
    return {fixture.name: asdict(fixture.expected) for fixture in made}


def _readme(made: Iterable[Fixture]) -> str:
    rows = "\n".join(f"| {fixture.name} | {fixture.shows} |" for fixture in made)
    return f"""# Streams, one for each behaviour

Made by `imgassemble.simulator`; nothing here was recorded, and every picture was drawn by code. To make them
again, with the same bytes under Pillow 11, 12 and 13 and any zlib:

    imgassemble simulate --fixtures fixtures

`expected.json` tells for each file what the library must make of it: the outcome, the exit code of
`imgassemble save`, the least number of anomalies, and for each item its state, its partials with their
indices, the sha256 of its final (null: there is none), whether that is only a partial that stands in, and
format and size, [width, height] in pixels, of its latest frame (null: there is none). `key_by` tells how the
file is to be read.

| file | what it shows |
|---|---|
{rows}
"""
