"""Events without pictures: small, readable by an assembler, and whole again with a folder of saved frames."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import samples
from samples import b64, picture, png, shade
from shared import MISSING, RECORDINGS

from imgassemble import (
    Assembler,
    DirectorySink,
    IncompleteStreamError,
    Outcome,
    Picture,
    Result,
    State,
    UsageError,
    aassemble,
    assemble,
    open_events,
    parse_event,
    with_pictures,
    without_pictures,
)

FIXTURES = sorted(
    path for path in (Path(__file__).parents[2] / "fixtures").iterdir() if path.suffix in (".sse", ".jsonl", ".json")
)
STREAMS = [path for path in FIXTURES if path.name != "expected.json"]
PICTURE = png(3, 2)
DIGEST = sha256(PICTURE).hexdigest()


def stripped(*events: Any) -> list[Any]:
    """The events without pictures, as they come back from a file."""
    return [json.loads(json.dumps(event)) for event in without_pictures(events)]


def states(result: Result) -> dict[str, State]:
    return {name: item.state for name, item in result.items.items()}


def frames(result: Result) -> dict[str, Any]:
    return {name: (item.state, item.partials, item.final, item.is_provisional) for name, item in result.items.items()}


def anomalies(result: Result) -> list[str]:
    own: list[str] = [each.code for item in result.items.values() for each in item.anomalies]
    return own + [each.code for each in result.anomalies]


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name)
def test_a_stripped_stream_has_the_same_states_and_comes_back_whole(path: Path, tmp_path: Path) -> None:
    whole = assemble(open_events(path), sinks=[DirectorySink(tmp_path / "out")])
    events = [event for event in without_pictures(open_events(path)) if not isinstance(event, Exception)]
    events = json.loads(json.dumps(events))
    read = assemble(events)
    assert (states(read), read.outcome) == (states(whole), whole.outcome)
    assert not set(anomalies(read)) - set(anomalies(whole))
    assert not [item for item in read.items.values() if item.final]
    back = assemble(with_pictures(events, tmp_path / "out"))
    assert (frames(back), back.outcome) == (frames(whole), whole.outcome)


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason=MISSING)
def test_six_megabytes_become_some_kilobytes() -> None:
    path = RECORDINGS / "streams" / "openai-2025-10-png-no-completed.sse"
    size = sum(len(json.dumps(event)) for event in without_pictures(open_events(path)))
    assert path.stat().st_size > 5_000_000
    assert size < 30_000


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        (b64(PICTURE), {"sha256": DIGEST}),
        (b64(PICTURE).rstrip("="), {"sha256": DIGEST}),
        (f"data:image/png;base64,{b64(PICTURE)}", {"sha256": DIGEST, "media_type": "image/png"}),
        (PICTURE, {"sha256": DIGEST}),
        (f"![]({'data:image/png;base64,' + b64(PICTURE)}) done", f"![](data:image/png;sha256,{DIGEST}) done"),
    ],
)
def test_each_form_of_a_picture_has_its_reference(value: Any, reference: Any, tmp_path: Path) -> None:
    assert stripped({"type": "x", "deep": [{"er": value}]}) == [{"type": "x", "deep": [{"er": reference}]}]
    (tmp_path / "a.bin").write_bytes(PICTURE)
    (event,) = with_pictures([{"type": "x", "deep": [{"er": reference}]}], tmp_path)
    back = event["deep"][0]["er"]
    text = value if isinstance(value, str) else b64(value)
    assert back == (text + "=" * (-len(text) % 4) if text.startswith("iVBOR") else text)


@pytest.mark.parametrize(
    "value", [b64(PICTURE)[:-8], b64(b"no picture at all, only words, many of them"), "words " * 20, "A" * 400, ""]
)
def test_other_values_stay(value: str) -> None:
    assert stripped({"type": "x", "value": value}) == [{"type": "x", "value": value}]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_every_format_is_taken_out(form: str) -> None:
    assert stripped(samples.done("ig_1", picture(form)))[0]["item"]["result"] == {
        "sha256": sha256(picture(form)).hexdigest()
    }


def test_a_drawing_is_taken_out() -> None:
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    assert stripped({"type": "image_generation.completed", "b64_json": b64(drawing)})[0]["b64_json"] == {
        "sha256": sha256(drawing).hexdigest()
    }


@dataclass
class Chunk:
    """An SDK's object."""

    type: str
    item_id: str
    result: bytes
    _private: int = 3


def test_objects_text_and_pictures_become_plain_events() -> None:
    partial = samples.partial("ig_1", 0, PICTURE)
    given = [
        json.dumps(partial),
        parse_event(partial),
        Chunk("x", "ig_1", PICTURE),
        Picture("otter", PICTURE, 4),
        "[DONE]",
    ]
    assert stripped(*given) == [
        {**partial, "partial_image_b64": {"sha256": DIGEST}},
        {**stripped(parse_event(partial))[0]},
        {"type": "x", "item_id": "ig_1", "result": {"sha256": DIGEST}},
        {"type": "picture", "item_id": "otter", "index": 4, "b64": {"sha256": DIGEST}},
        "[DONE]",
    ]
    assert assemble(stripped(*given)[:2]).items["ig_1"].anomalies == ()


def test_the_objects_of_a_real_client_become_small_and_whole_again(image_server: Any, tmp_path: Path) -> None:
    openai = pytest.importorskip("openai", reason="the real client is missing: pip install openai")
    image_server.use(size=(96, 64))
    tools = [{"type": "image_generation", "partial_images": 2}]
    with openai.OpenAI(base_url=image_server.base_url, api_key="-") as client:
        sent = list(client.responses.create(model="gpt-5", input="An otter", tools=tools, stream=True))
    whole = assemble(sent, sinks=[DirectorySink(tmp_path / "out")])
    events = stripped(*sent)
    read = assemble(events)
    assert (states(read), read.outcome, anomalies(read)) == (states(whole), whole.outcome, [])
    assert "iVBOR" not in json.dumps(events)
    assert frames(assemble(with_pictures(events, tmp_path / "out"))) == frames(whole)


def test_an_error_in_place_of_an_event_stays_one() -> None:
    (error,) = without_pictures([b"<html>no events</html>"])
    assert isinstance(error, Exception)


def test_the_events_given_are_not_changed() -> None:
    event = samples.done("ig_1", PICTURE)
    before = json.dumps(event)
    list(without_pictures([event]))
    assert json.dumps(event) == before


def test_a_reference_is_no_frame_and_no_phantom() -> None:
    events = stripped(samples.partial("ig_1", 0, shade(1)), samples.done("ig_1", PICTURE))
    assembler = Assembler(strict=True)
    for event in events[:1]:
        assembler.feed(event)
    assert (assembler["ig_1"].state, assembler["ig_1"].partials) == (State.PARTIAL_IMAGE, ())
    result = assemble(events[1:], assembler=assembler)
    assert (result.outcome, result.finals, result.items["ig_1"].final) == (Outcome.COMPLETED, (), None)
    with pytest.raises(IncompleteStreamError, match="with_pictures"):
        result.require_final()


def test_the_failure_of_another_tool_leaves_a_stripped_result_whole() -> None:
    sent = [
        {"type": "tool-output-error", "toolCallId": "weather", "errorText": "no network"},
        {"type": "tool-output-available", "toolCallId": "ig_a", "output": {"result": b64(shade(1))}},
    ]
    assert assemble(sent).outcome is assemble(stripped(*sent)).outcome is Outcome.COMPLETED


def test_a_repeated_reference_is_one_image() -> None:
    chunk = {"object": "chat.completion.chunk", "choices": [{"delta": {"images": [
        {"image_url": {"url": f"data:image/png;base64,{b64(PICTURE)}"}}]}}]}  # fmt: skip
    assert list(assemble(stripped(chunk, chunk)).items) == ["image-0"]
    numbered = {"type": "image_generation.completed", "b64_json": b64(PICTURE), "sequence_number": 3}
    assert list(assemble(stripped(numbered, numbered)).items) == ["image-0"]
    nameless = {
        "type": "response.output_item.done",
        "output_index": 0,
        "item": {"type": "image_generation_call", "result": b64(PICTURE)},
    }
    snapshot = {"type": "response.completed", "response": {"output": [{"type": "message"}, nameless["item"]]}}
    assert list(assemble(stripped(nameless, snapshot)).items) == ["output-0"]


def test_what_is_missing_in_the_folder_stays_a_reference(tmp_path: Path) -> None:
    events = stripped(samples.done("ig_1", PICTURE), samples.done("ig_2", shade(7)))
    (tmp_path / "otter").mkdir()
    (tmp_path / "otter" / "final.png").write_bytes(shade(7))
    result = assemble(with_pictures(events, tmp_path))
    assert [item.final and item.final.data for item in result.items.values()] == [None, shade(7)]
    assert states(result) == {"ig_1": State.COMPLETED, "ig_2": State.COMPLETED}


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (outside / "final.png").write_bytes(PICTURE)
    (folder / "link.png").symlink_to(outside / "final.png")
    (folder / "linked").symlink_to(outside)
    os.mkfifo(folder / "pipe.png")
    (event,) = with_pictures(stripped(samples.done("ig_1", PICTURE)), folder)
    assert event["item"]["result"] == {"sha256": DIGEST}


def test_a_file_that_changes_later_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    events = stripped(samples.done("ig_1", PICTURE), samples.done("ig_2", PICTURE))
    restored = with_pictures(events, tmp_path)
    assert next(restored)["item"]["result"] == b64(PICTURE)
    (tmp_path / "a.png").write_bytes(shade(3))
    assert next(restored)["item"]["result"] == {"sha256": DIGEST}


@pytest.mark.parametrize(
    "reference",
    [
        {"sha256": "../../etc/passwd"},
        {"sha256": DIGEST.upper()},
        {"sha256": DIGEST[:-1]},
        {"sha256": 7},
        {"sha256": DIGEST, "path": "/a"},
        {},
    ],
)
def test_only_64_digits_are_a_reference(reference: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    assert list(with_pictures([{"type": "x", "value": reference}], tmp_path)) == [{"type": "x", "value": reference}]
    assert assemble([samples.done("ig_1") | {"result": reference}]).items["ig_1"].final is None


def test_an_async_stream_gives_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PICTURE)
    events = [samples.partial("ig_1", 0, shade(1)), samples.done("ig_1", PICTURE)]

    async def stream() -> AsyncIterator[Any]:
        for event in events:
            yield event

    async def both() -> Result:
        return await aassemble(with_pictures(without_pictures(stream()), tmp_path))

    assert asyncio.run(both()).require_final().data == PICTURE


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    for events in ("text", b"bytes", {"type": "x"}, tmp_path, 7):
        with pytest.raises(UsageError):
            without_pictures(events)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="folder"):
        with_pictures([], tmp_path / "missing")


def test_bytes_of_a_body_are_read_as_by_a_driver() -> None:
    body = b'data: {"type": "image_generation.completed", "b64_json": "%s"}\n\n' % b64encode(PICTURE)
    (event,) = without_pictures([body[:40], body[40:]])
    assert event["b64_json"] == {"sha256": DIGEST}
    assert b64decode(b64(PICTURE)) == PICTURE
