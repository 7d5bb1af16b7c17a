"""The simulator: pictures that sharpen, keys in the order of the wire, and the fixtures that it makes."""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from PIL import Image, ImageChops, ImageStat
from pydantic import TypeAdapter

from imgassemble.cli import simulate
from imgassemble.cli.options import add_options
from imgassemble.errors import SinkError, UsageError
from imgassemble.simulator import (
    base64_text,
    draw,
    draw_svg,
    encode,
    encode_animation,
    event_changes,
    messages,
    sharpen,
)
from imgassemble.simulator.answers import DIALECTS, FAULTS, Order, Pace, pictures_of, play, response_ids, resumed
from imgassemble.simulator.apis import APIS
from imgassemble.simulator.dialects import DialectName
from imgassemble.simulator.pictures import Format
from imgassemble.simulator.recordings import replay

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "fixtures"
RECORDINGS = ROOT.parent / "shared" / "recordings"
FORMATS: tuple[Format, ...] = ("PNG", "JPEG", "WEBP")


def _distance(one: Image.Image, other: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def _decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# ---- pictures


@pytest.mark.parametrize("steps", [1, 3, 8])
@pytest.mark.parametrize("size", [(96, 64), (64, 96), (256, 256)])
@pytest.mark.parametrize("seed", range(4))
def test_each_draft_is_closer_to_the_final(steps: int, size: tuple[int, int], seed: int) -> None:
    final = draw("an otter at night", seed=seed, size=size)
    distances = [_distance(draft, final) for draft in sharpen(final, steps, seed=seed)]
    assert distances == sorted(set(distances), reverse=True)
    assert distances[-1] > 0


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 5), (97, 63)])
@pytest.mark.parametrize("prompt", ["the sea", "hills"])
def test_pictures_and_drafts_have_the_size_asked_for(prompt: str, size: tuple[int, int]) -> None:
    final = draw(prompt, size=size)
    assert {image.size for image in [final, *sharpen(final, 3)]} == {size}


def test_prompt_and_seed_make_the_picture() -> None:
    made = [draw(prompt, seed=seed, size=(48, 32)).tobytes() for prompt in ("a", "b") for seed in (0, 1)]
    assert len(set(made)) == 4
    assert draw("a", seed=0, size=(48, 32)).tobytes() == made[0]


@pytest.mark.parametrize("form", FORMATS)
def test_files_have_their_format_and_the_picture_in_them(form: Format) -> None:
    image = draw("a lake", size=(97, 64))
    read = _decoded(encode(image, form))
    assert (read.format, read.size) == (form, image.size)
    assert _distance(read.convert("RGB"), image) < (1e-9 if form == "PNG" else 12)


@pytest.mark.parametrize("size", [(97, 64), (1, 1), (300, 450)])
def test_a_portable_png_shows_the_picture_in_sixteen_colours(size: tuple[int, int]) -> None:
    image = draw("a lake", size=size)
    read = _decoded(encode(image, "PNG", is_portable=True))
    assert (read.mode, read.size) == ("P", size)
    assert len(read.convert("RGB").getcolors() or []) <= 16
    assert _distance(read.convert("RGB"), image) < 30


@pytest.mark.parametrize(("form", "mark"), [("PNG", b"caBX"), ("JPEG", b"\xff\xeb")])
def test_provenance_is_in_the_file_and_lost_when_it_is_encoded_again(form: Format, mark: bytes) -> None:
    data = encode(draw("a lake", size=(48, 32)), form, provenance="made by a test")
    assert mark in data
    assert b"made by a test" in data
    again = io.BytesIO()
    _decoded(data).save(again, form)
    assert b"made by a test" not in again.getvalue()


def test_arguments_out_of_range_raise_value_errors() -> None:
    image = draw("a lake", size=(8, 8))
    with pytest.raises(ValueError, match="pixels a side"):
        draw("a lake", size=(0, 8))
    with pytest.raises(ValueError, match="drafts"):
        sharpen(image, 9)
    with pytest.raises(ValueError, match="WebP"):
        encode(image, "WEBP", provenance="made by a test")


def test_a_large_picture_is_drawn_in_reasonable_time() -> None:
    start = time.perf_counter()
    draw("the sea", size=(3840, 2160))
    assert time.perf_counter() - start < 20  # half a second as a rule; a loaded machine may take longer


# ---- fixtures


STREAMS = sorted(json.loads((FOLDER / "expected.json").read_text()))


def test_the_committed_fixtures_are_those_that_the_program_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, FOLDER / "make.py", tmp_path], check=True)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".py"}
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == []


def test_every_fixture_is_listed() -> None:
    rows = (FOLDER / "README.md").read_text().splitlines()
    assert {row.split(" | ")[0].removeprefix("| ") for row in rows if row.startswith("| ")} - {"file"} == set(STREAMS)


def test_fixtures_stay_small() -> None:
    sizes = [(FOLDER / name).stat().st_size for name in STREAMS]
    assert max(sizes) < 60_000
    assert sum(sizes) < 1_000_000


def test_the_spellings_of_base64_differ_as_described() -> None:
    body = (FOLDER / "base64-spellings.sse").read_text()
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]
    first, second, third = (event["partial_image_b64"] for event in events if "partial_image_b64" in event)
    result = events[-1]["response"]["output"][0]["result"]
    assert first.startswith("data:image/png;base64,")
    assert set("-_") & set(second)
    assert "\r\n" in third
    assert len(result) % 4


# ---- events


def test_a_number_keeps_its_place_or_comes_after_the_type() -> None:
    events: list[messages.Event] = [{"type": "a", "x": 1}, {"type": "b", "x": 1, "sequence_number": 9}]
    made = event_changes.numbered(events, start=3)
    assert [list(event) for event in made] == [
        ["type", "sequence_number", "x"],
        ["type", "x", "sequence_number"],
    ]
    assert [event["sequence_number"] for event in made] == [3, 4]


def test_sse_is_framed_as_asked() -> None:
    events: list[messages.Event] = [{"type": "a"}]
    assert messages.sse(events) == b'event: a\ndata: {"type":"a"}\n\n'
    assert messages.sse(events, event_lines=False, newline="\r\n", comment="hi", done=True) == (
        b': hi\r\n\r\ndata: {"type":"a"}\r\n\r\ndata: [DONE]\r\n\r\n'
    )


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        return [json.loads(path.read_text(encoding="utf-8"))]
    lines = (line.removeprefix("data: ") for line in path.read_text(encoding="utf-8").splitlines())
    return [json.loads(line) for line in lines if line.startswith("{")]


def _key_orders(value: Any, name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the keys of each object in `value`, with a name for its place."""
    if isinstance(value, dict):
        name = f"{name}.{value.get('type', '')}"
        yield name, list(value)
        for key, inner in value.items():
            yield from _key_orders(inner, f"{name}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _key_orders(inner, name)


@pytest.mark.parametrize(
    ("fixture", "recording"),
    [
        ("openai-2025-06-jpeg.sse", "streams/openai-2025-06-jpeg-two-partials.sse"),
        ("openai-2025-10-png.sse", "streams/openai-2025-10-png-no-completed.sse"),
        ("error-then-failed.sse", "aux/openai-error-then-failed.jsonl"),
        ("whole-response.json", "json/openai-two-images-one-response.json"),
        ("whole-images.json", "json/openai-images-edit.json"),
    ],
)
def test_keys_are_in_the_order_of_the_recordings(fixture: str, recording: str) -> None:
    if not RECORDINGS.is_dir():
        pytest.skip("the recordings are missing: set IMGASSEMBLE_SHARED")
    wire: dict[str, set[tuple[str, ...]]] = {}
    for name, keys in _key_orders(_read(RECORDINGS / recording), ""):
        wire.setdefault(name, set()).add(tuple(keys))
    compared = 0
    for name, keys in _key_orders(_read(FOLDER / fixture), ""):
        if name in wire:
            compared += 1
            assert any([key for key in real if key in keys] == keys for real in wire[name]), name
    assert compared > 2


# ---- dialects

# The recording that each dialect of the Responses API imitates.
IMITATED = {
    "openai-2025": "streams/openai-2025-09-webp-base64-cut.jsonl",
    "azure": "streams/azure-2025-12-png-placeholder.jsonl",
    "xai": "streams/xai-not-an-image.jsonl",
    "copilot": "aux/copilot-rotating-item-ids.jsonl",
}
NOT_COMPARED = {
    "openai-2025": ("cache_write_tokens",),  # newer, but the openai package's own models demand it
    "copilot": ("tools",),  # there were none
}
SMALL = Order(size=(24, 16), partials=0)


def _recorded(name: str) -> list[dict[str, Any]]:
    if not RECORDINGS.is_dir():
        pytest.skip("the recordings are missing: set IMGASSEMBLE_SHARED")
    return _read(RECORDINGS / name)


def _shape(value: Any) -> Any:
    """Return the keys of `value` in order, with the types of their values; 1 and 1.0 have the same type."""
    if isinstance(value, dict):
        return [(key, _shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [_shape(inner) for inner in value[:1]]
    return "number" if type(value) in (int, float) else type(value).__name__


def _told(events: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Return the type and shape of each event; repeated types count once."""
    told = [(event["type"], _shape(event)) for event in events]
    return [one for one, before in zip(told, [None, *told], strict=False) if before is None or one[0] != before[0]]


def _is_recorded(event: dict[str, Any]) -> bool:
    """Copilot was recorded without an image."""
    return "image_generation_call" not in (event["type"] + event.get("item", {}).get("type", ""))


@pytest.mark.parametrize(("dialect", "recording"), IMITATED.items())
def test_a_dialect_has_the_shape_of_its_recording(dialect: Any, recording: str) -> None:
    made = [dict(event) for event in play(replace(SMALL, dialect=dialect)).events]
    wire = _recorded(recording)
    if dialect == "copilot":
        made = [event for event in made if _is_recorded(event)]
    made, wire = (event_changes.without_keys(events, *NOT_COMPARED.get(dialect, ())) for events in (made, wire))
    assert [name for name, _ in _told(made)] == [name for name, _ in _told(wire)]
    for (name, ours), (_, theirs) in zip(_told(made), _told(wire), strict=True):
        assert ours == theirs, name


def test_a_response_in_the_background_has_the_shape_of_its_recording() -> None:
    wire = _told(_recorded("aux/openai-background-failed.sse"))
    order = replace(SMALL, is_background=True, faults=("error-nested", "response-failed"))
    made = _told([dict(event) for event in play(order).events])
    assert [name for name, _ in made][:2] == [name for name, _ in wire][:2]
    assert [name for name, _ in made][-2:] == [name for name, _ in wire][-2:]
    for (name, ours), (_, theirs) in zip(made[:2], wire[:2], strict=True):
        assert [key for key, _ in ours] == [key for key, _ in theirs], name
        assert [key for key, _ in ours[1][1]] == [key for key, _ in theirs[1][1]], name


@pytest.mark.parametrize(
    ("api", "recording"),
    [("edits", "json/openai-images-edit.json"), ("router-images", "json/openrouter-images-edit.json")],
)
def test_a_whole_answer_has_the_shape_of_its_recording(api: Any, recording: str) -> None:
    (wire,) = _recorded(recording)
    (body,) = play(replace(SMALL, api=api, is_streamed=False)).body
    assert _shape(json.loads(body)) == _shape(wire)


def _openai_model(api: str) -> Any:
    types = pytest.importorskip("openai.types", reason="the openai package is not installed")
    from openai.types import responses

    return {
        "responses": responses.ResponseStreamEvent,
        "images": types.ImageGenStreamEvent,
        "edits": types.ImageEditStreamEvent,
    }[api]


@pytest.mark.parametrize("api", ["responses", "images", "edits"])
@pytest.mark.parametrize("dialect", ["openai", "openai-2025"])
@pytest.mark.parametrize("is_background", [False, True])
@pytest.mark.parametrize("form", FORMATS)
def test_every_event_is_one_of_openais_own_models(api: Any, dialect: Any, is_background: bool, form: Format) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(_openai_model(api))
    order = Order(
        api=api, dialect=dialect, size=(24, 16), partials=3, items=2, format=form, is_background=is_background
    )
    made = play(order)
    assert len(made.events) > 6
    for event in made.events:
        read = adapter.validate_python(event, strict=True)
        assert read.type == event["type"]


def test_a_whole_response_is_openais_own_model() -> None:
    responses = pytest.importorskip("openai.types.responses", reason="the openai package is not installed")
    for dialect in ("openai", "openai-2025"):
        (body,) = play(replace(SMALL, dialect=dialect, is_streamed=False, items=2)).body
        read = responses.Response.model_validate_json(body, strict=True)
        assert [item.type for item in read.output].count("image_generation_call") == 2


def test_the_names_of_the_dialects_are_typed() -> None:
    assert get_args(DialectName) == tuple(DIALECTS)


def test_no_repr_has_a_picture_in_it() -> None:
    order = replace(SMALL, picture=encode(draw("a lake", size=(8, 8)), "PNG"))
    made, (shot,) = play(order), pictures_of(order)
    assert re.fullmatch(r"<Answer 200, \d+ events, [\d,]+ bytes, closed>", repr(made))
    assert re.fullmatch(r"<ImageFiles \d partials and a result, PNG \d+x\d+>", repr(shot))
    assert "PNG\\r" not in repr(order)


def test_each_dialect_is_described() -> None:
    assert list(DIALECTS)[:2] == ["openai", "openai-2025"]
    assert {"azure", "xai", "openrouter", "codex", "copilot"} < set(DIALECTS)
    for name in get_args(DialectName):
        row = DIALECTS[name]
        assert row.name == name
        assert row.description
        assert play(replace(SMALL, dialect=name)).status == 200


def test_the_differences_of_a_dialect_are_on_the_wire() -> None:
    def told(dialect: Any, **changed: Any) -> tuple[list[dict[str, Any]], str]:
        made = play(replace(SMALL, dialect=dialect, **changed))
        return [dict(event) for event in made.events], b"".join(made.body).decode()

    events, _ = told("codex")
    assert "keepalive" in [event["type"] for event in events]
    assert events[-1]["response"]["output"] == []
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    events, body = told("openrouter")
    assert body.startswith(": OPENROUTER PROCESSING\n\ndata: {")
    assert body.endswith("data: [DONE]\n\n")
    assert "event:" not in body
    item = events[-2]["item"]
    assert (item["type"], {"imageB64", "revisedPrompt"} <= set(item)) == ("openrouter:image_generation", True)
    assert "result" not in item
    events, _ = told("openrouter-docs")
    assert events[-1]["type"] == "response.done"
    assert all("response_id" in event and "sequence_number" not in event for event in events)
    ids = [event["item_id"] for event in told("copilot")[0] if "item_id" in event]
    assert len(ids) == len(set(ids)) > 2


# ---- orders


@pytest.mark.parametrize("api", list(APIS))
@pytest.mark.parametrize("is_streamed", [True, False])
def test_an_order_is_answered_the_same_each_time(api: Any, is_streamed: bool) -> None:
    order = replace(SMALL, api=api, is_streamed=is_streamed or not APIS[api].whole, partials=1)
    assert play(order) == play(replace(order))
    assert play(order).body != play(replace(order, seed=1)).body


@pytest.mark.parametrize("api", ["responses", "images", "edits", "router-images"])
@pytest.mark.parametrize("partials", range(4))
def test_partials_come_as_asked_and_one_more_if_it_is_the_result(api: Any, partials: int) -> None:
    order = replace(SMALL, api=api, partials=partials, dialect="openai-2025")
    got = [event for event in play(order).events if event["type"].endswith(".partial_image")]
    assert len(got) == partials + (api == "responses")
    assert [event["partial_image_index"] for event in got] == list(range(len(got)))
    (shot,) = pictures_of(order)
    sent = [b64decode(event.get("partial_image_b64") or event["b64_json"]) for event in got]
    assert tuple(sent) == shot.partials
    assert (shot.result in shot.partials) is (api == "responses")


@pytest.mark.parametrize("form", FORMATS)
def test_the_picture_asked_for_is_in_the_answer(form: Format) -> None:
    order = replace(SMALL, format=form, size=(40, 24))
    (shot,) = pictures_of(order)
    item = play(order).events[-1]["response"]["output"][0]
    assert b64decode(item["result"]) == shot.result
    assert (item["output_format"], item["size"]) == (form.lower(), "40x24")
    read = _decoded(shot.result)
    assert (read.format, read.size) == (form, (40, 24))
    assert (b"imgassemble simulator" in shot.result) is (form != "WEBP")


def test_the_users_own_picture_is_shown_in_the_size_asked_for() -> None:
    own = encode(Image.new("RGB", (80, 40), (200, 30, 30)), "JPEG")
    (shot,) = pictures_of(replace(SMALL, picture=own, partials=1))
    shown = _decoded(shot.result)
    assert (shown.format, shown.size) == ("PNG", (24, 16))
    red, green, blue = cast("tuple[int, int, int]", shown.convert("RGB").getpixel((12, 8)))
    assert red > 180 > 60 > max(green, blue)
    assert shot.partials[0] != shot.result


@pytest.mark.parametrize("api", list(APIS))
@pytest.mark.parametrize("prompt", ["", "\ud800", "\x00\n", "ünïcödé 🦦", "x" * 5000])
def test_any_prompt_is_drawn(api: Any, prompt: str) -> None:
    assert play(replace(SMALL, api=api, prompt=prompt)).status == 200


def test_several_items_are_several_pictures() -> None:
    shots = pictures_of(replace(SMALL, items=3))
    assert len({shot.result for shot in shots}) == 3
    output = play(replace(SMALL, items=3, dialect="openai-2025")).events[-1]["response"]["output"]
    calls = [item for item in output if item["type"] == "image_generation_call"]
    assert [b64decode(call["result"]) for call in calls] == [shot.result for shot in shots]
    chat = play(replace(SMALL, items=2, api="chat"))
    images = [image for event in chat.events for image in event["choices"][0]["delta"].get("images", ())]
    assert [image["index"] for image in images] == [0, 1]


def test_turns_are_responses_one_after_the_other() -> None:
    order = replace(SMALL, turns=3, dialect="openai-2025")
    events = play(order).events
    begun = [event for event in events if event["type"] == "response.created"]
    assert [event["sequence_number"] for event in begun] == [0, 0, 0]
    assert len({event["response"]["id"] for event in begun}) == 3
    done = [
        event["item"] for event in events if event["type"] == "response.output_item.done" and "result" in event["item"]
    ]
    assert [b64decode(item["result"]) for item in done] == [files.result for files in pictures_of(order)]
    assert len({item["id"] for item in done}) == len({item["result"] for item in done}) == 3
    assert play(replace(order, turns=1)).events == events[: len(events) // 3]


def test_lanes_come_side_by_side_and_are_marked() -> None:
    order = replace(SMALL, lanes=2, turns=2)
    events = play(order).events
    assert [event["stream_id"] for event in events[:4]] == ["lane-1", "lane-2", "lane-1", "lane-2"]
    lanes = [[event for event in events if event["stream_id"] == f"lane-{n}"] for n in (1, 2)]
    for lane in lanes:
        numbers = [event["sequence_number"] for event in lane]
        assert numbers == [*range(len(lane) // 2)] * 2
    results = {
        item["result"] for event in events for item in event.get("response", {}).get("output", ()) if "result" in item
    }
    assert {b64decode(result) for result in results} == {files.result for files in pictures_of(order)}
    assert len(results) == 4


def test_the_events_of_one_of_several_responses_can_be_resumed() -> None:
    made = play(replace(SMALL, turns=2, lanes=2))
    for name in response_ids(made.events):
        rest = resumed(made, 3, name)
        assert rest.events[-1]["response"]["id"] == name
        assert [event["sequence_number"] for event in rest.events] == list(range(4, 4 + len(rest.events)))
        assert len({event["stream_id"] for event in rest.events}) == 1


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
@pytest.mark.parametrize("api", ["responses", "images", "edits", "router-images", "chat"])
def test_an_animation_has_its_frames(api: Any, form: Format) -> None:
    order = replace(SMALL, api=api, format=form, frames=3)
    (files,) = pictures_of(order)
    image = Image.open(io.BytesIO(files.result))
    assert (image.format, image.size, getattr(image, "n_frames", 1)) == (form, (24, 16), 3)
    assert base64_text(files.result) in b"".join(play(order).body).decode()
    frames = []
    for at in range(3):
        image.seek(at)
        frames.append(image.convert("RGB").tobytes())
    assert len(set(frames)) == 3


def test_a_gif_has_nine_frames_by_default_and_no_partials() -> None:
    (files,) = pictures_of(replace(SMALL, format="GIF", partials=2))
    assert getattr(Image.open(io.BytesIO(files.result)), "n_frames", 1) == 9
    assert files.partials == ()


def test_a_still_gif_shows_the_picture() -> None:
    image = draw("a lake", size=(97, 64))
    read = _decoded(encode(image, "GIF"))
    assert (read.format, read.size, getattr(read, "n_frames", 1)) == ("GIF", image.size, 1)
    assert _distance(read.convert("RGB"), image) < 30
    with pytest.raises(ValueError, match="no animation"):
        encode_animation([image], "PNG")


@pytest.mark.parametrize("api", ["responses", "images"])
def test_an_svg_comes_in_a_response_and_in_a_whole_answer(api: Any) -> None:
    body = b"".join(play(replace(SMALL, api=api, format="SVG", is_streamed=api == "responses")).body).decode()
    assert base64_text(draw_svg(SMALL.prompt, size=(24, 16)).encode()) in body
    assert '"output_format":"svg"' in body


def test_an_svg_comes_as_chunks_of_text_and_then_whole() -> None:
    events = play(replace(SMALL, api="router-images", format="SVG")).events
    text = "".join(event["text"] for event in events if event["type"] == "image_generation.text_chunk")
    assert text.startswith("<svg ")
    assert events[-1]["media_type"] == "image/svg+xml"
    assert b64decode(events[-1]["b64_json"]).decode() == text


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"api": "telex"}, "there is no API 'telex'; there are responses, images"),
        ({"dialect": "klingon"}, "there is no dialect 'klingon'; there are openai, openai-2025"),
        ({"format": "TIFF"}, "there is no format 'TIFF' here; there are PNG, JPEG, WEBP"),
        ({"format": "SVG", "api": "chat"}, "there is no format 'SVG' here"),
        ({"size": (0, 9)}, "at least one pixel a side, not 0x9"),
        ({"size": (3840, 2161)}, "at most 3840x2160 pixels, not 3840x2161"),
        ({"size": (20_000, 1)}, "at most 16383 pixels a side"),
        ({"partials": 4}, "0 to 3 partials, not 4"),
        ({"items": 0}, "1 to 10 items, not 0"),
        ({"picture": b"this is no picture"}, "the picture cannot be read"),
        ({"picture": b""}, "the picture cannot be read"),
        ({"format": "SVG", "api": "images"}, "the Images API does not stream an SVG"),
        ({"frames": 31, "format": "GIF"}, "an animation has 1 to 30 frames, not 31"),
        ({"frames": 2}, "only GIF and WEBP have several frames, not PNG"),
        ({"turns": 9}, "there are 1 to 8 turns, not 9"),
        ({"lanes": 0}, "there are 1 to 16 lanes, not 0"),
        ({"lanes": 2, "api": "chat"}, "turns and lanes belong to the Responses API"),
        ({"turns": 2, "is_streamed": False}, "a whole answer holds one response"),
        ({"faults": ("earthquake",)}, "there is no fault 'earthquake'; there are fewer-partials"),
        ({"faults": ("hangs",)}, "did you mean 'hang'?"),
        ({"faults": ("hang=3",)}, "the fault hang takes no value"),
        ({"faults": ("disconnect-after-event",)}, "needs a whole number from 0 to 1000000"),
        ({"faults": ("disconnect-after-event=-1",)}, "needs a whole number"),
        ({"faults": ("fewer-partials=4",)}, "needs a whole number from 1 to 3: fewer-partials=N"),
    ],
)
def test_an_impossible_order_raises_an_error_of_one_line(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        play(replace(SMALL, **changed))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_content_type_names_the_kind_of_answer() -> None:
    assert play(SMALL).headers["content-type"] == "text/event-stream; charset=utf-8"
    assert play(replace(SMALL, is_streamed=False)).headers["content-type"] == "application/json"


# ---- resuming and replaying


@pytest.mark.parametrize("after", [-1, 0, 4, 8.5, 99])
def test_a_resumed_stream_is_all_that_comes_after_a_number(after: float) -> None:
    whole = play(replace(SMALL, is_background=True))
    rest = resumed(whole, after)
    assert list(rest.events) == [event for event in whole.events if event["sequence_number"] > after]
    assert rest.body == whole.body[len(whole.events) - len(rest.events) :]


def test_a_stream_that_broke_does_not_break_again_when_it_is_resumed() -> None:
    whole = play(SMALL)
    broken = play(replace(SMALL, faults=("disconnect-after-event=4",)))
    assert (broken.ending, broken.body) == ("disconnected", whole.body[:4])
    assert resumed(broken, 3).body == whole.body[4:]
    assert resumed(broken, 3).ending == "closed"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.sse")))
def test_a_recorded_stream_is_replayed_byte_for_byte(name: str) -> None:
    recorded = (FOLDER / name).read_bytes()
    made = replay(recorded)
    assert b"".join(made.body) == recorded
    assert len(made.events) <= len(made.body)
    assert list(made.events) == [json.loads(line[6:]) for line in recorded.splitlines() if line.startswith(b"data: {")]


def test_recorded_events_become_server_sent_and_a_whole_answer_stays_whole() -> None:
    array = json.loads((FOLDER / "json-array.json").read_text())
    assert list(replay((FOLDER / "json-array.json").read_bytes()).events) == array
    lines = (FOLDER / "founding-camel.jsonl").read_bytes()
    assert len(replay(lines).body) == len(lines.splitlines())
    whole = (FOLDER / "whole-response.json").read_bytes()
    assert (replay(whole).body, replay(whole).headers["content-type"]) == ((whole,), "application/json")


@pytest.mark.parametrize("data", [b"", b"hello", b"[]", b"[1]", b"\xff\xfe", b"data: 1\n\n"])
def test_a_file_without_events_cannot_be_replayed(data: bytes) -> None:
    with pytest.raises(UsageError, match="no event in it"):
        replay(data)


# ---- pace


def test_an_event_is_waited_for_and_the_chunks_of_it_are_not() -> None:
    body = play(replace(SMALL, faults=("byte-chunks", "refusal"))).body
    pace = Pace(delay_s=0.5, chunk_bytes=7)
    chunks = list(pace.chunks(play(replace(SMALL, faults=("refusal",))).body))
    assert {len(chunk) for _, chunk in chunks[:20]} == {7}
    events = b"".join(body).count(b"\n\n")
    assert [wait for wait, _ in chunks if wait] == [0.5] * events
    assert [wait for wait, _ in Pace(delay_s=0.5).chunks(body) if wait] == [0.5] * events
    assert b"".join(chunk for _, chunk in chunks) == b"".join(body)


def test_jitter_is_the_same_for_the_same_seed() -> None:
    pace = Pace(delay_s=1.0, jitter_s=0.25)
    waits = [wait for wait, _ in pace.chunks([b"data: 1\n\n"] * 50, seed=3)]
    assert waits == [wait for wait, _ in pace.chunks([b"data: 1\n\n"] * 50, seed=3)]
    assert 0.75 <= min(waits) < 0.9 < 1.1 < max(waits) <= 1.25


# ---- the command


def _simulate(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_options(parser, simulate.OPTIONS)
    return simulate.simulate(parser.parse_args(arguments))


def test_the_command_writes_the_stream(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    asked = ("a red barn", "--size", "24x16", "--api", "images", "--seed", "7", "--fault", "crlf")
    order = Order(api="images", prompt="a red barn", size=(24, 16), seed=7, faults=("crlf",))
    assert _simulate(*asked) == 0
    assert capfdbinary.readouterr().out == b"".join(play(order).body)
    assert _simulate(*asked, "-o", str(tmp_path / "out.sse")) == 0
    assert (tmp_path / "out.sse").read_bytes() == b"".join(play(order).body)
    assert capfdbinary.readouterr().out == b""


def test_the_command_lists_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert _simulate("--list-faults") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("=")[0].split("[")[0].split()[0] for line in lines] == list(FAULTS)


def test_the_command_replays(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert _simulate("--replay", str(FOLDER / "images-edit.sse")) == 0
    assert capfdbinary.readouterr().out == (FOLDER / "images-edit.sse").read_bytes()


def test_the_command_shows_a_picture_in_its_own_size(tmp_path: Path) -> None:
    (tmp_path / "own.png").write_bytes(encode(draw("a lake", size=(30, 20)), "PNG"))
    out = tmp_path / "out.json"
    assert _simulate("--picture", str(tmp_path / "own.png"), "--whole", "-o", str(out)) == 0
    (item, _) = json.loads(out.read_text())["output"]
    assert item["size"] == "30x20"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--fault", "earthquake"], "there is no fault 'earthquake'"),
        (["--format", "TIFF"], "there is no format 'TIFF'"),
        (["--partials", "9"], "0 to 3 partials"),
        (["--picture", "no such file"], "the picture 'no such file' cannot be read"),
        (["--replay", "no such file"], "the recording 'no such file' cannot be read"),
        (["--serve", "8000", "-o", "x"], "--serve makes its own streams"),
        (["--api", "comfyui"], "the API 'comfyui' sends the messages of a websocket: use --serve"),
    ],
)
def test_the_command_reports_bad_input_in_one_line(arguments: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        _simulate(*arguments)


@pytest.mark.parametrize(
    "argument",
    ["--size=big", "--delay-s=-1", "--jitter-s=nan", "--chunk-bytes=0", "--serve=eighty", "--serve=99999"],
)
def test_the_command_refuses_values_out_of_range(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _simulate(argument)
    assert caught.value.code == 2
    assert "not '" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_a_sink_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot be written"):
        _simulate("--size", "8x8", "-o", str(tmp_path))
