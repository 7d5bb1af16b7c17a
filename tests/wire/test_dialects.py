"""The page about dialects is drawn from their table, and each service's pictures come out as they were sent."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from samples import (
    Wire,
    added,
    answer,
    b64,
    call,
    created,
    done,
    error,
    image_completed,
    image_partial,
    member,
    partial,
    png,
    snapshot,
    sse,
)

from imgassemble import (
    Assembler,
    DirectorySink,
    FrameDecodeError,
    Item,
    LimitError,
    Limits,
    Picture,
    ProviderError,
    Result,
    assemble,
    iter_updates,
    open_events,
    parse_event,
)
from imgassemble.simulator.answers import DIALECTS, Api, Order, pictures_of, play, resumed
from imgassemble.simulator.apis import APIS
from imgassemble.wire.dialects import OTHER_NAMES, ROWS
from imgassemble.wire.services import SERVICE_ROWS

DOCS = Path(__file__).parents[2] / "docs"
A, B, C = png(2, 1), png(3, 1), png(4, 1)
DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"/>'
LINK = "https://example.org/otter.png"


def test_the_page_is_drawn_from_the_table() -> None:
    drawn = runpy.run_path(str(DOCS / "dialects.py"))["page"]()
    assert (DOCS / "dialects.md").read_text() == drawn, "run: python docs/dialects.py"


# ---- every service that is simulated


def order_of(api: str, dialect: str, **more: Any) -> Order:
    return Order(api=api, dialect=dialect, size=(64, 48), is_portable=True, **more)  # type: ignore[arg-type]


def assembler_of(order: Order) -> Assembler:
    """Return an assembler as a user of this service makes it: the ids of Copilot change with every event."""
    return Assembler(key_by="output_index" if DIALECTS[order.dialect].ids == "rotating" else "item_id")


def assembled(stream: Any, assembler: Assembler | None = None) -> Result:
    return assemble(stream, assembler=assembler)


# The streams of local engines are no events: `comfyui_events` and `polled_events` read them. Others give a URL.
SERVICES = [api for api in APIS if not (APIS[api].files or api == "a1111")]
every_api = pytest.mark.parametrize("api", SERVICES)
every_whole_api = pytest.mark.parametrize("api", [api for api in SERVICES if APIS[api].whole])
every_dialect = pytest.mark.parametrize("dialect", list(DIALECTS))


@every_api
@every_dialect
@pytest.mark.parametrize("items", [1, 2])
def test_a_stream_gives_the_pictures_that_were_sent(api: str, dialect: str, items: int) -> None:
    order = order_of(api, dialect, items=items)
    assembler = assembler_of(order)
    result, shots = assembled(play(order).body, assembler), pictures_of(order)
    assert [item.final and item.final.data for item in result.items.values()] == [shot.result for shot in shots]
    partials = [[(frame.index, frame.data) for frame in item.partials] for item in result.items.values()]
    assert partials == [list(enumerate(shot.partials)) for shot in shots]
    assert [(item.state, item.is_provisional, item.anomalies) for item in result.items.values()] == [
        ("completed", False, ())
    ] * items
    assert (result.outcome, result.error, assembler.anomalies) == ("completed", None, ())


@every_whole_api
@every_dialect
@pytest.mark.parametrize("items", [1, 2])
def test_a_whole_answer_gives_the_pictures_that_were_sent(api: str, dialect: str, items: int) -> None:
    order = order_of(api, dialect, items=items, is_streamed=False)
    assembler = assembler_of(order)
    result = assembled(play(order).body, assembler)
    finals = [item.final and item.final.data for item in result.items.values()]
    assert finals == [shot.result for shot in pictures_of(order)]
    assert [(item.state, item.anomalies) for item in result.items.values()] == [("completed", ())] * items
    drafts = [tuple(frame.data for frame in item.partials) for item in result.items.values()]
    has_drafts = api in ("gemini", "interactions")
    assert drafts == [shot.partials if has_drafts else () for shot in pictures_of(order)]
    assert (result.outcome, result.error, assembler.anomalies) == ("completed", None, ())


@every_api
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_every_format_comes_as_it_was_sent(api: str, form: str) -> None:
    order = order_of(api, "openai", format=form)
    (item,), (shot,) = assembled(play(order).body).items.values(), pictures_of(order)
    assert item.final is not None
    sent = APIS[api].result_format or form  # type: ignore[index] # its name is a text here
    assert (item.final.data, item.final.format, item.final.size) == (shot.result, sent, (64, 48))


def test_the_event_types_of_a_background_response_are_read() -> None:
    order = order_of("responses", "openai", is_background=True)
    assert assembled(play(order).body).final == assembled(play(replace(order, is_background=False)).body).final


# ---- resume: a cut stream goes on behind the highest number that was heard

NUMBERED: list[tuple[Api, str]] = [
    *(("responses", name) for name in DIALECTS if name != "openrouter-docs"),
    *((api, "openai") for api in ("images", "edits")),
]


class LineBrokeError(Exception):
    """The error that a client raises if the connection breaks."""


def broken(body: tuple[bytes, ...]) -> Iterator[bytes]:
    yield from body
    raise LineBrokeError


def went_on(order: Order, cut: str) -> Result:
    """Return the result of a stream that is cut by this fault and resumed at the cursor."""
    assembler, made = assembler_of(order), play(replace(order, faults=(cut,)))
    with suppress(LineBrokeError):  # it is not raised after the end of the last response
        assemble(broken(made.body), assembler=assembler, keep_open=True)
    if assembler.result is not None:
        return assembler.result
    heard = assembler.cursor.sequence_number
    return assembled(resumed(made, -1 if heard is None else heard).body, assembler)


@pytest.mark.parametrize(("api", "dialect"), NUMBERED)
@pytest.mark.parametrize("items", [1, 2])
def test_a_stream_that_is_resumed_behind_any_event_gives_the_same(api: str, dialect: str, items: int) -> None:
    order = order_of(api, dialect, items=items)
    whole = assembled(play(order).body, assembler_of(order))
    for number in range(len(play(order).events) + 1):
        result = went_on(order, f"disconnect-after-event={number}")
        assert (dict(result.items), result.outcome) == (dict(whole.items), whole.outcome), number


@pytest.mark.parametrize(("api", "dialect"), NUMBERED)
def test_a_stream_that_is_resumed_inside_an_event_gives_the_same(api: str, dialect: str) -> None:
    order = order_of(api, dialect)
    whole, size = assembled(play(order).body, assembler_of(order)), sum(map(len, play(order).body))
    for number in range(0, size, size // 40):
        result = went_on(order, f"disconnect-after-bytes={number}")
        assert (dict(result.items), result.outcome) == (dict(whole.items), whole.outcome), number


@pytest.mark.parametrize(("api", "dialect"), NUMBERED)
def test_a_resumed_stream_may_repeat_earlier_events(api: str, dialect: str) -> None:
    order = order_of(api, dialect, items=2)
    whole, sent = assembled(play(order).body, assembler_of(order)), play(order)
    for number in range(len(sent.events) + 1):
        assembler = assembler_of(order)
        for event in sent.events[:number]:
            assembler.feed(event)
        result = assembled(resumed(sent, number - 4).body, assembler)
        assert (dict(result.items), result.outcome) == (dict(whole.items), whole.outcome), number


@pytest.mark.parametrize("dialect", ["openrouter-docs"])
def test_a_service_that_numbers_nothing_has_no_cursor(dialect: str) -> None:
    assembler = Assembler()
    assembled(play(order_of("responses", dialect)).body, assembler)
    assert assembler.cursor.response_id is not None
    assert assembler.cursor.sequence_number is None


# ---- every shape that a relay sends


@dataclass(frozen=True, kw_only=True)
class Gives:
    """The expected facts of one image."""

    state: str = "completed"
    final: bytes | None = None
    partials: Mapping[float, bytes] = field(default_factory=dict)
    is_provisional: bool = False
    url: str | None = None
    anomalies: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A stream and its expected result; `error`: a piece of its sentence."""

    sent: list[Any]  # events, or pieces of a body
    items: Mapping[str, Gives] = field(default_factory=dict)
    outcome: str = "completed"
    error: str | None = None

    def events(self) -> Iterator[Any]:
        if all(isinstance(each, bytes) for each in self.sent):
            return iter(list(open_events(BytesIO(b"".join(self.sent)))))
        return iter(self.sent)


def data_url(picture: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64(picture)}"


def chunk(**choice: Any) -> Wire:
    """A piece of a chat."""
    return {"object": "chat.completion.chunk", "id": "gen-1", "choices": [{"index": 0, **choice}]}


def chat(*messages: Wire) -> Wire:
    """A whole chat, a choice for each message."""
    choices = [{"index": at, "message": message} for at, message in enumerate(messages)]
    return {"object": "chat.completion", "id": "gen-1", "choices": choices}


def shown(*pictures: bytes) -> list[Wire]:
    """Pictures as a chat has them; gateways give each the index 0."""
    return [{"type": "image_url", "image_url": {"url": data_url(each)}, "index": 0} for each in pictures]


def exo(kind: str, image: int, picture: bytes, **more: Any) -> Wire:
    return {"type": kind, "image_index": image, "format": "png", "data": {"b64_json": b64(picture)}, **more}


def router_item(**more: Any) -> Wire:
    return {"type": "openrouter:image_generation", "status": "completed", **more}


def item_done(item: Wire, output_index: float = 0) -> Wire:
    return {"type": "response.output_item.done", "output_index": output_index, "item": item}


def response_done(status: str | None, *members: Wire, **more: Any) -> Wire:
    return {"type": "response.done", "response": {"id": "resp_1", "status": status, "output": [*members], **more}}


def _lines(*events: tuple[str, Any]) -> list[bytes]:
    return [f"event: {name}\ndata: {json.dumps(data)}\n\n".encode() for name, data in events]


_LINKED = Gives(state="incomplete", url=LINK)
_HELD = Gives(state="incomplete", partials={0: A})
_LOST = Gives(state="failed", partials={0: A})
SHAPES: dict[str, Shape] = {
    "exo, two images at once": Shape(
        sent=[
            *(exo("partial", image, A, partial_index=1, total_partials=5) for image in (0, 1)),
            exo("final", 1, C),
            exo("final", 0, B),
        ],
        items={"image-0": Gives(final=B, partials={1: A}), "image-1": Gives(final=C, partials={1: A})},
    ),
    "9router, whose types stand on event: lines": Shape(
        sent=_lines(
            ("progress", {"percent": 40}),
            ("partial_image", {"b64_json": b64(A), "index": 0}),
            ("done", {"created": 1, "data": [{"b64_json": b64(B)}]}),
        ),
        items={"image-0": Gives(final=B, partials={0: A})},
    ),
    "LiteLLM, the Images API's partials inside a Responses stream": Shape(
        sent=[
            created(seq=0),
            added(seq=1),
            image_partial(0, A, seq=2, item_id="ig_1"),
            image_partial(1, B, seq=3, item_id="ig_1"),
            done(content=C, seq=4),
            snapshot("completed", [member(content=C)], seq=5),
        ],
        items={"ig_1": Gives(final=C, partials={0: A, 1: B})},
    ),
    "grok2api, progress without a picture and a URL": Shape(
        sent=[
            {"type": "image_generation.partial_image", "url": "", "index": 0, "progress": 42},
            {"type": "image_generation.completed", "url": LINK},
        ],
        items={"image-0": replace(_LINKED, anomalies=("bad_base64",))},
        outcome="incomplete",
        error="'image-0'",
    ),
    "grok2api, a data: URL in place of base64": Shape(
        sent=[
            {"type": "image_generation.partial_image", "url": data_url(A), "index": 0},
            {"type": "image_generation.completed", "url": data_url(B)},
        ],
        items={"image-0": Gives(final=B, partials={0: A})},
    ),
    "grok2api, one image fails and the next is made": Shape(
        sent=[
            {"type": "image_generation.failed", "error": {"code": "blocked", "message": "not this one"}},
            image_completed(B),
        ],
        items={"image-0": Gives(state="failed"), "image-1": Gives(final=B)},
        outcome="failed",
        error="the service failed (blocked): not this one",
    ),
    "Seedream, several images, one of which fails": Shape(
        sent=[
            {"type": "image_generation.partial_succeeded", "image_index": 1, "b64_json": b64(A)},
            {"type": "image_edit.partial_succeeded", "image_index": 2, "b64_json": b64(B)},
            {"type": "image_generation.partial_failed", "image_index": 0, "error": {"message": "not this one"}},
            {"type": "image_edit.partial_failed", "image_index": 3, "error": {"message": "nor this"}},
        ],
        items={
            "image-0": Gives(state="failed"),
            "image-1": Gives(final=A),
            "image-2": Gives(final=B),
            "image-3": Gives(state="failed"),
        },
        outcome="failed",
        error="not this one",
    ),
    "an edit that fails": Shape(
        sent=[image_partial(0, A, api="image_edit"), {"type": "image_edit.failed", "error": "no"}],
        items={"image-0": _LOST},
        outcome="failed",
        error="the service failed: no",
    ),
    "an edit": Shape(
        sent=[image_partial(0, A, api="image_edit"), image_completed(B, api="image_edit")],
        items={"image-0": Gives(final=B, partials={0: A})},
    ),
    "a URL and base64 beside it": Shape(
        sent=[{"type": "image_generation.completed", "url": LINK, "b64_json": b64(A)}],
        items={"image-0": Gives(final=A, url=LINK)},
    ),
    "several completed in one Images stream": Shape(
        sent=[image_partial(0, A), image_completed(B), image_completed(C), image_partial(0, A), image_completed(A)],
        items={
            "image-0": Gives(final=B, partials={0: A}),
            "image-1": Gives(final=C),
            "image-2": Gives(final=A, partials={0: A}),
        },
    ),
    "generations and edits in one stream": Shape(
        sent=[image_completed(A), image_completed(B, api="image_edit")],
        items={"image-0": Gives(final=A), "image-1": Gives(final=B)},
    ),
    "a whole Images answer with a URL": Shape(
        sent=[{"created": 1, "data": [{"url": LINK}, {"b64_json": b64(A)}]}],
        items={"image-0": _LINKED, "image-1": Gives(final=A)},
        outcome="incomplete",
        error="'image-0'",
    ),
    "relays that send the item itself": Shape(
        sent=[
            {"type": "response.image_generation_call.in_progress", "item": {"id": "ig_1"}},
            {"type": "response.image_generation_call.generating", "item": {"id": "ig_1"}},
            {"type": "response.image_generation_call.completed", "item": {"id": "ig_1", "result": b64(A)}},
        ],
        items={"ig_1": Gives(final=A)},
    ),
    # Chats
    "chat, a chunk for each image and all of them again at the end": Shape(
        sent=[
            chunk(delta={"images": shown(A)}),
            chunk(delta={"images": shown(B)}),
            chunk(delta={}, message={"images": shown(A, B)}, finish_reason="stop"),
        ],
        items={"image-0": Gives(final=A), "image-1": Gives(final=B)},
    ),
    "chat, two images in one chunk": Shape(
        sent=[chunk(delta={"images": shown(A, B)})],
        items={"image-0": Gives(final=A), "image-1": Gives(final=B)},
    ),
    "chat, two choices in a stream": Shape(
        sent=[
            {
                "object": "chat.completion.chunk",
                "choices": [{"index": at, "delta": {"images": shown(each)}} for at, each in enumerate((A, B))],
            }
        ],
        items={"image-0": Gives(final=A), "image-1": Gives(final=B)},
    ),
    "chat, two choices in a whole answer": Shape(
        sent=[chat({"images": shown(A)}, {"images": shown(B)})],
        items={"image-0": Gives(final=A), "image-1": Gives(final=B)},
    ),
    "chat, a picture in the markdown": Shape(
        sent=[chunk(delta={"content": f"Here: ![image]({data_url(A)}) and done."})],
        items={"image-0": Gives(final=A)},
    ),
    "chat, a picture in HTML": Shape(
        sent=[chat({"content": f'<img src="{data_url(A)}"> or <img src="{data_url(B)}">'})],
        items={"image-0": Gives(final=A), "image-1": Gives(final=B)},
    ),
    "chat, a picture among the parts": Shape(
        sent=[chat({"content": [{"type": "text", "text": "Here."}, *shown(A)]})],
        items={"image-0": Gives(final=A)},
    ),
    "chat, a picture in the text and among the images": Shape(
        sent=[chat({"content": f"![image]({data_url(A)})", "images": shown(A)})],
        items={"image-0": Gives(final=A)},
    ),
    "chat, a URL": Shape(
        sent=[chunk(delta={"images": [{"type": "image_url", "image_url": {"url": LINK}}]})],
        items={"image-0": _LINKED},
        outcome="incomplete",
        error="'image-0'",
    ),
    "chat, a data: URL that names another format": Shape(
        sent=[chat({"images": [{"image_url": {"url": data_url(A, "image/webp")}}]})],
        items={"image-0": Gives(final=A, anomalies=("false_claim",))},
    ),
    "chat, an error in a chunk": Shape(
        sent=[chunk(delta={"images": shown(A)}), {**chunk(delta={}), "error": {"code": 429, "message": "slow down"}}],
        items={"image-0": Gives(final=A)},
        outcome="failed",
        error="the service failed (429): slow down",
    ),
    "chat, only words": Shape(sent=[chunk(delta={"content": "No."})], outcome="no_image", error="in words: 'No.'"),
    "Responses API, a refusal in words": Shape(
        sent=[{"type": "response.refusal.delta", "delta": "I will not."}], outcome="no_image", error="'I will not.'"
    ),
    "OpenRouter, imageB64": Shape(
        sent=[item_done(router_item(id="ig_tmp_1", imageB64=b64(A), revisedPrompt="an otter"))],
        items={"ig_tmp_1": Gives(final=A)},
    ),
    "OpenRouter, imageUrl with a data: URL": Shape(
        sent=[item_done(router_item(id="ig_tmp_1", imageUrl=data_url(A)))],
        items={"ig_tmp_1": Gives(final=A)},
    ),
    "OpenRouter, imageUrl": Shape(
        sent=[item_done(router_item(id="ig_tmp_1", imageUrl=LINK)), response_done("completed")],
        items={"ig_tmp_1": _LINKED},
        outcome="incomplete",
        error="'ig_tmp_1'",
    ),
    "OpenRouter, an item without an id goes by its place": Shape(
        sent=[
            item_done(router_item(imageB64=b64(A)), 1),
            response_done("completed", {"type": "message"}, router_item(imageB64=b64(A))),
        ],
        items={"output-1": Gives(final=A)},
    ),
    "OpenRouter, the same item again and again": Shape(
        sent=[
            *(item_done(router_item(id="ig_tmp_1", status="in_progress")) for _ in range(3)),
            *(item_done(router_item(id="ig_tmp_1", imageB64=b64(A))) for _ in range(3)),
        ],
        items={"ig_tmp_1": Gives(final=A)},
    ),
    "OpenRouter, result null and the picture in imageB64": Shape(
        sent=[item_done(router_item(id="ig_tmp_1", result=None, imageB64=b64(A)))],
        items={"ig_tmp_1": Gives(final=A)},
    ),
    "OpenRouter, a URL in result and the picture in imageB64": Shape(
        sent=[item_done(router_item(id="ig_tmp_1", result=LINK, imageB64=b64(A)))],
        items={"ig_tmp_1": Gives(final=A, url=LINK)},
    ),
    "a URL in result": Shape(
        sent=[done(content=LINK), snapshot("completed", [member(content=LINK)])],
        items={"ig_1": _LINKED},
        outcome="incomplete",
        error="'ig_1'",
    ),
    "a URL in result after a partial": Shape(
        sent=[partial(content=A), done(content=LINK), snapshot("completed", [member(content=LINK)])],
        items={"ig_1": Gives(final=A, partials={0: A}, is_provisional=True, url=LINK)},
    ),
    "SVG": Shape(
        sent=[
            {"type": "image_generation.text_chunk", "text": DRAWING, "phase": "content"},
            {"type": "image_generation.completed", "b64_json": b64(DRAWING.encode()), "media_type": "image/svg+xml"},
        ],
        items={"image-0": Gives(final=DRAWING.encode())},
    ),
    # How a stream ends
    "response.done, status none": Shape(
        sent=[partial(content=A), done(content=B), response_done(None, member(content=B, status=None))],
        items={"ig_1": Gives(final=B, partials={0: A})},
    ),
    "response.done, status completed": Shape(
        sent=[partial(content=A), call("completed"), response_done("completed")],
        items={"ig_1": Gives(final=A, partials={0: A}, is_provisional=True)},
    ),
    "response.done, status failed": Shape(
        sent=[partial(content=A), response_done("failed", error={"code": "c", "message": "it broke"})],
        items={"ig_1": _LOST},
        outcome="failed",
        error="the service failed (c): it broke",
    ),
    "response.done, status incomplete": Shape(
        sent=[partial(content=A), response_done("incomplete")],
        items={"ig_1": _HELD},
        outcome="incomplete",
        error="'ig_1'",
    ),
    "response.incomplete": Shape(
        sent=[partial(content=A), snapshot("incomplete", reason="max_output_tokens")],
        items={"ig_1": _HELD},
        outcome="incomplete",
        error="max_output_tokens",
    ),
    "response.failed after error, told once": Shape(
        sent=[
            partial(content=A),
            error("e", "first words"),
            snapshot("failed", error={"code": "f", "message": "better words"}),
        ],
        items={"ig_1": _LOST},
        outcome="failed",
        error="the service failed (f): better words",
    ),
    "response.error": Shape(
        sent=[partial(content=A), {"type": "response.error", "error": {"code": "c", "message": "it broke"}}],
        items={"ig_1": _LOST},
        outcome="failed",
        error="the service failed (c): it broke",
    ),
    "upstream_error on an event: line": Shape(
        sent=[sse([partial(content=A)]), *_lines(("upstream_error", {"message": "it broke"}))],
        items={"ig_1": _LOST},
        outcome="failed",
        error="the service failed: it broke",
    ),
    "an error with its reason beside it": Shape(
        sent=[partial(content=A), {"type": "error", "message": "the real reason", "error": {"code": "x"}}],
        items={"ig_1": _LOST},
        outcome="failed",
        error="the service failed (x): the real reason",
    ),
    "an error without a type, on a bare line": Shape(
        sent=[sse([partial(content=A)]), b'{"error": {"code": 503, "message": "it broke"}}\n'],
        items={"ig_1": _LOST},
        outcome="failed",
        error="the service failed (503): it broke",
    ),
    "an error without a type, as a string": Shape(
        sent=[partial(content=A), {"error": "it broke"}],
        items={"ig_1": _LOST},
        outcome="failed",
        error="the service failed: it broke",
    ),
    "an error in the place of the pictures": Shape(
        sent=[{"created": 0, "data": [], "error": {"code": "c", "message": "it broke"}}],
        outcome="failed",
        error="the service failed (c): it broke",
    ),
    "an error in a whole response": Shape(
        sent=[answer("failed", error={"code": "c", "message": "it broke"})],
        outcome="failed",
        error="the service failed (c): it broke",
    ),
}


# ---- clients that hand over parts of their own, or carry the service's events


def part(kind: str, **more: Any) -> Wire:
    return {"event_kind": "part_start", "index": 1, "part": {"part_kind": kind, **more}}


def file(picture: bytes, media_type: str = "image/png") -> Wire:
    content = {"data": b64(picture), "media_type": media_type, "kind": "binary"}
    return {"part_kind": "file", "id": "ig_1", "content": content}


def run_ended(*parts: Wire) -> Wire:
    return {"event_kind": "agent_run_result", "result": {"response": {"parts": [*parts]}}}


_TOOL = {"tool_name": "image_generation", "tool_call_id": "ig_1"}
SHAPES |= {
    "pydantic-ai, whose drafts have no index and whose result comes with the end of the run": Shape(
        sent=[
            part("builtin-tool-call", **_TOOL),
            part("builtin-tool-call", tool_name="web_search", tool_call_id="ws_1"),
            {"event_kind": "part_start", "index": 1, "part": file(A)},
            {"event_kind": "part_start", "index": 1, "part": file(B)},
            {"event_kind": "part_start", "index": 2, "part": file(b"sound", "audio/wav")},
            part("builtin-tool-return", content={"status": "completed"}, **_TOOL),
            part("text", content="There it is."),
            {"event_kind": "part_delta", "delta": {"content_delta": "!"}},
            run_ended(file(B), {"part_kind": "text", "content": "There it is."}),
        ],
        items={"ig_1": Gives(final=B, partials={0: A, 1: B}, anomalies=("bad_index", "bad_index"))},
    ),
    "pydantic-ai, cut before the end of the run": Shape(
        sent=[
            {"event_kind": "part_start", "index": 1, "part": file(A)},
            part("builtin-tool-return", content={"status": "completed"}, **_TOOL),
        ],
        items={"ig_1": Gives(final=A, partials={0: A}, is_provisional=True, anomalies=("bad_index",))},
    ),
    "LangChain, which hands on results only": Shape(
        sent=[
            {"type": "AIMessageChunk", "content": []},
            {"type": "AIMessageChunk", "content": "Here"},
            {"type": "AIMessageChunk", "content": [{"type": "image_generation_call", "id": "ig_1", "result": b64(A)}]},
            {"type": "AIMessageChunk", "content": [{"type": "text", "text": "it is"}]},
        ],
        items={"ig_1": Gives(final=A)},
    ),
    "LangChain, with its own blocks and not streamed": Shape(
        sent=[{"type": "ai", "content": [{"type": "image", "id": "ig_1", "base64": b64(A), "mime_type": "image/png"}]}],
        items={"ig_1": Gives(final=A)},
    ),
    "LangChain, whose blocks for Gemini have no id": Shape(
        sent=[
            {"type": "AIMessageChunk", "content": [{"type": "image_url", "image_url": {"url": data_url(A)}}]},
            {"type": "AIMessageChunk", "content": [{"type": "image"}]},
            {"type": "ai", "content": [{"type": "image", "base64": b64(A)}, {"type": "image", "base64": b64(B)}]},
        ],
        items={"image-0": Gives(final=A), "image-1": Gives(final=B)},
    ),
    "openai-agents, which carries the events": Shape(
        sent=[
            {"type": "agent_updated_stream_event", "new_agent": {}},
            {"type": "raw_response_event", "data": partial(content=A)},
            {"type": "raw_response_event", "data": done(content=B)},
            {"type": "run_item_stream_event", "name": "tool_called", "item": {"type": "tool_call_item"}},
        ],
        items={"ig_1": Gives(final=B, partials={0: A})},
    ),
    "agent-framework, which carries them in two layers": Shape(
        sent=[
            {"contents": [], "raw_representation": {"raw_representation": partial(content=A)}},
            {"contents": [], "raw_representation": {"raw_representation": done(content=B)}},
            {"contents": [{"type": "text"}], "raw_representation": None},
        ],
        items={"ig_1": Gives(final=B, partials={0: A})},
    ),
    "OpenRouter's SDKs, of what their schema does not have": Shape(
        sent=[
            partial(content=A),
            {"type": "UNKNOWN", "isUnknown": True, "raw": {"type": "error", "error": {"code": "c", "message": "no"}}},
        ],
        items={"ig_1": _LOST},
        outcome="failed",
        error="the service failed (c): no",
    ),
}


def gives_of(item: Item) -> Gives:
    return Gives(
        state=str(item.state),
        final=item.final.data if item.final else None,
        partials={frame.index: frame.data for frame in item.partials if frame.index is not None},
        is_provisional=item.is_provisional,
        url=item.url,
        anomalies=tuple(anomaly.code for anomaly in item.anomalies),
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_shape_gives_its_images(shape: Shape) -> None:
    assembler = Assembler()
    result = assembled(shape.sent, assembler)
    assert {name: gives_of(item) for name, item in result.items.items()} == shape.items
    assert (result.outcome, assembler.anomalies) == (shape.outcome, ())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_shape_gives_its_error(shape: Shape) -> None:
    found = assembled(shape.sent).error
    assert (found is None) == (shape.error is None)
    assert shape.error is None or shape.error in str(found)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_shape_gives_the_same_as_bytes(shape: Shape) -> None:
    once, again = Assembler(), Assembler()
    body = [json.dumps(event).encode() + b"\n" for event in shape.events()]
    assert list(iter_updates(shape.sent, once)) == list(iter_updates(body, again))


def test_every_row_of_the_table_has_an_event_here() -> None:
    orders = [order_of(api, name, is_streamed=streamed, is_background=api == "responses")
              for api in SERVICES for name in DIALECTS for streamed in (True, False)
              if streamed or APIS[api].whole]  # fmt: skip
    events: list[Any] = [event for shape in SHAPES.values() for event in shape.events()]
    events += [Picture("otter", b""), Picture("otter", b"", is_final=True), {"type": "picture.progress"}]
    events += [event for order in orders for event in open_events(BytesIO(b"".join(play(order).body)))]
    assert ROWS.keys() - SERVICE_ROWS.keys() <= {parse_event(event).type for event in events}


# ---- the names of fields


def nested(path: str, value: str) -> Wire:
    """A field under a dotted path, for example data.0.b64_json."""
    first, _, rest = path.partition(".")
    if not rest:
        return {first: value}
    return {first: [nested(rest.removeprefix("0."), value)] if rest.startswith("0.") else nested(rest, value)}


PARTIAL = ["partial_image_b64", "partialImageB64", "PartialImageB64", "b64_json", "b64", "partial_image.b64_json",
           "delta.partialImageB64", "delta.partial_image_b64"]  # fmt: skip
RESULT = ["result", "Result", "image_b64", "imageB64", "ImageB64", "image_base64", "b64_json", "b64Json", "B64JSON",
          "b64", "image_result_b64", "data.0.b64_json"]  # fmt: skip
IMAGE = ["b64_json", "b64Json", "B64JSON", "image_b64", "imageB64", "image_base64", "b64", "result", "data.b64_json",
         "data.0.b64_json"]  # fmt: skip
URL = ["url", "image_url.url", "imageUrl.url", "image_url", "imageUrl", "ImageURL"]


def test_every_other_name_of_a_picture_is_tried_here() -> None:
    def dotted(field_name: str) -> set[str]:
        return {each if isinstance(each, str) else ".".join(map(str, each)) for each in OTHER_NAMES[field_name]}

    assert dotted("partial_image_b64") <= set(PARTIAL)
    assert dotted("result") - {"item.result"} <= set(RESULT)  # that one is among the shapes
    assert dotted("b64_json") <= set(IMAGE)
    assert dotted("url") <= set(URL)


@pytest.mark.parametrize("name", PARTIAL)
def test_a_partial_is_found_under_each_name(name: str) -> None:
    event = call("partial_image", partial_image_index=4) | nested(name, b64(A))
    assert gives_of(assembled([event]).items["ig_1"]) == Gives(state="incomplete", partials={4: A})


@pytest.mark.parametrize("name", RESULT)
def test_a_result_is_found_under_each_name(name: str) -> None:
    assert assembled([call("completed") | nested(name, b64(A))]).final == assembled([done(content=A)]).final


@pytest.mark.parametrize("name", RESULT)
def test_the_result_of_an_item_is_found_under_each_name(name: str) -> None:
    item = {"id": "ig_1", "type": "image_generation_call", **nested(name, b64(A))}
    assert gives_of(assembled([item_done(item)]).items["ig_1"]) == Gives(final=A)


@pytest.mark.parametrize("name", IMAGE)
def test_an_image_is_found_under_each_name(name: str) -> None:
    result = assembled([{"type": "image_generation.completed", **nested(name, b64(A))}])
    assert gives_of(result.items["image-0"]) == Gives(final=A)


@pytest.mark.parametrize("name", URL)
def test_a_url_is_found_under_each_name(name: str) -> None:
    result = assembled([{"type": "image_generation.completed", **nested(name, LINK)}])
    assert gives_of(result.items["image-0"]) == _LINKED


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("name", ["image_b64", "imageB64", "b64_json", "image_result_b64", "data.0.b64_json"])
def test_an_empty_field_hides_no_other_field_with_a_picture(name: str, nothing: str | None) -> None:
    item = {"id": "ig_1", "type": "image_generation_call", "result": nothing, **nested(name, b64(A))}
    assert gives_of(assembled([item_done(item)]).items["ig_1"]) == Gives(final=A)


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_partial_without_a_picture_under_one_name_has_it_under_another(nothing: str | None) -> None:
    event = call("partial_image", partial_image_index=0) | {"partial_image_b64": nothing, "b64_json": b64(A)}
    assert gives_of(assembled([event]).items["ig_1"]) == _HELD


# ---- URLs, usage


def test_a_url_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: object, **__: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr("socket.socket.connect", called)
    monkeypatch.setattr("socket.getaddrinfo", called)
    item = assembled([done(content=LINK)]).items["ig_1"]
    assert (item.url, item.image, item.reason) == (
        LINK,
        None,
        "the service sent a URL in place of the picture",
    )


@pytest.mark.parametrize("query", ["X-Goog-Signature=" + "0123456789abcdef" * 32, "&".join(["k=v%2F"] * 300)])
def test_a_url_is_kept_whole(query: str) -> None:
    link = f"https://storage.example/otter.png?{query}"
    assert assembled([done(content=link)]).items["ig_1"].url == link


def test_a_url_that_is_too_long_for_servers_is_ignored() -> None:
    link = "https://storage.example/" + "x/" * 5_000
    assert assembled([done(content=link)]).items["ig_1"].url is None


def test_usage_that_is_repeated_in_full_belongs_to_the_first_image() -> None:
    usage = {"total_tokens": 488, "input_tokens": 16}
    result = assembled([image_completed(picture, usage=usage) for picture in (A, B, C)])
    told = [item.usage for item in result.items.values()]
    assert told == [usage, None, None]


def test_different_usage_belongs_to_each_image() -> None:
    result = assembled([image_completed(A, usage={"total_tokens": at}) for at in (1, 2)])
    assert [item.usage for item in result.items.values()] == [{"total_tokens": 1}, {"total_tokens": 2}]


@pytest.mark.parametrize("api", ["images", "router-images"])
def test_the_usage_of_a_streamed_request_belongs_to_its_first_image(api: str) -> None:
    first, second = assembled(play(order_of(api, "openai", items=2)).body).items.values()
    assert first.usage is not None
    assert second.usage is None


# ---- SVG: a drawing without pixels

SVG = order_of("router-images", "openrouter", format="SVG")
PICTURES = Limits(formats=("PNG", "JPEG", "WEBP", "GIF"))


@pytest.mark.parametrize("is_streamed", [True, False])
def test_svg_is_refused_if_the_limits_do_not_name_it(is_streamed: bool) -> None:
    made = play(replace(SVG, is_streamed=is_streamed))
    item = assembled(made.body, Assembler(limits=PICTURES)).items["image-0"]
    (anomaly,) = item.anomalies
    assert isinstance(anomaly.error, LimitError)
    assert (anomaly.error.limit, anomaly.error.actual, item.state, item.final) == ("formats", "SVG", "incomplete", None)


@pytest.mark.parametrize("is_streamed", [True, False])
def test_svg_is_kept_and_saved_as_received(is_streamed: bool, tmp_path: Path) -> None:
    sink = DirectorySink(tmp_path)
    made = play(replace(SVG, is_streamed=is_streamed))
    result = assemble(made.body, sinks=[sink])
    text = "".join(event["text"] for event in play(SVG).events if event["type"].endswith("text_chunk"))
    frame = result.final
    assert frame is not None
    assert (frame.data.decode(), frame.format, frame.mime_type, frame.suffix, frame.size) == (
        text,
        "SVG",
        "image/svg+xml",
        ".svg",
        (64, 48),
    )
    assert (tmp_path / "image-0" / "final.svg").read_bytes() == frame.data
    assert {path.name for path in sink.paths} == {"final.svg", "item.json"}
    assert (result.outcome, result.items["image-0"].anomalies) == ("completed", ())


def test_decoding_svg_is_an_error() -> None:
    item = assembled(play(SVG).body).items["image-0"]
    assert item.final is not None
    with pytest.raises(FrameDecodeError, match="without pixels: save it, or show it in a browser"):
        item.final.decode()
    with pytest.raises(FrameDecodeError, match="without pixels"):
        item.final.thumbnail((8, 8))
    with pytest.raises(FrameDecodeError, match="without pixels"):
        _ = item.image


def test_an_item_is_generating_while_its_drawing_is_streamed() -> None:
    assembler = Assembler()
    assembler.feed(play(SVG).events[0])
    assert assembler["image-0"].state == "generating"


def test_the_error_of_a_failed_image_has_the_words_of_the_service() -> None:
    item = assembled(SHAPES["grok2api, one image fails and the next is made"].sent).items["image-0"]
    assert isinstance(item.error, ProviderError)
    assert (item.error.code, item.error.message) == ("blocked", "not this one")
