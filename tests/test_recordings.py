"""Recorded streams of real services, through the library and through the command."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shared import MISSING
from shared import RECORDINGS as ROOT

from imgassemble import (
    Anomaly,
    Assembler,
    FinalReady,
    FrameAdded,
    ItemEnded,
    Outcome,
    ProviderError,
    Result,
    State,
    Update,
    assemble,
    open_events,
)
from imgassemble.cli.main import main

CODES = {
    "streams/openai-2025-06-jpeg-two-partials.sse": 0,
    "streams/openai-2025-10-png-no-completed.sse": 0,
    "streams/openai-2025-09-webp-base64-cut.jsonl": 6,
    "streams/azure-2025-12-png-placeholder.jsonl": 0,
    "streams/xai-not-an-image.jsonl": 6,
    "aux/openai-error-then-failed.jsonl": 5,
    "aux/openai-background-failed.sse": 5,
    "aux/openai-background-stream.sse": 4,
    "aux/openai-background-resume-after-1.sse": 4,
    "aux/copilot-rotating-item-ids.jsonl": 4,
    "json/openai-two-images-one-response.json": 0,
    "json/openai-images-edit.json": 0,
    "json/openrouter-images-edit.json": 0,
}
OUTCOMES = {0: Outcome.COMPLETED, 4: Outcome.NO_IMAGE, 5: Outcome.FAILED, 6: Outcome.INCOMPLETE}

pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason=MISSING)


def _assembled(name: str) -> tuple[Result, list[Update]]:
    told: list[Update] = []
    result = assemble(open_events(ROOT / name), on_update=told.append)
    return result, told


def _kinds(told: list[Update], kind: type) -> list[Any]:
    return [update for update in told if isinstance(update, kind)]


def _messages(name: str) -> list[dict[str, Any]]:
    """The messages of a recording, read without the library."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if name.endswith(".json"):
        return [json.loads(text)]
    lines = (line.removeprefix("data: ") for line in text.split("\n"))
    return [json.loads(line) for line in lines if line.startswith("{")]


def _payloads(value: Any) -> Iterator[str]:
    """Every base64 of a picture in a message."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name in ("partial_image_b64", "b64_json", "result") and isinstance(each, str) and each:
                yield each
            yield from _payloads(each)
    elif isinstance(value, list):
        for each in value:
            yield from _payloads(each)


def test_every_recording_has_its_test() -> None:
    assert {f"{path.parent.name}/{path.name}" for path in ROOT.glob("*/*")} == set(CODES)


@pytest.mark.parametrize("name", sorted(CODES))
def test_the_command_ends_with_its_code_and_the_library_with_its_outcome(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["save", str(ROOT / name), "-o", str(tmp_path / "out")]) == CODES[name]
    assert "Traceback" not in capsys.readouterr().err
    result, told = _assembled(name)
    assert result.outcome is OUTCOMES[CODES[name]]
    assert all(str(update.error).isprintable() for update in _kinds(told, Anomaly))


@pytest.mark.parametrize("name", sorted(CODES))
def test_inspect_ends_with_the_same_code(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(ROOT / name), "--json"]) == CODES[name]
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert len(out) < 20_000
    *items, stream = map(json.loads, out.splitlines())
    assert all(item["id"] for item in items)
    assert stream["events"]


@pytest.mark.parametrize("name", sorted(CODES))
def test_the_files_are_the_frames_byte_for_byte(name: str, tmp_path: Path) -> None:
    main(["save", str(ROOT / name), "-o", str(tmp_path)])
    result, _ = _assembled(name)
    expected = {frame.data for item in result.items.values() for frame in item.partials}
    finals = {item.final.data for item in result.items.values() if item.final and not item.is_provisional}
    pictures = [path for path in tmp_path.rglob("*.*") if path.name != "item.json" and "rejected" not in path.stem]
    assert {path.read_bytes() for path in pictures if path.stem != "final"} == expected
    assert {path.read_bytes() for path in pictures if path.stem == "final"} == finals
    assert len(list(tmp_path.glob("*/item.json"))) == len(result.items)


@pytest.mark.parametrize("name", sorted(name for name in CODES if not name.endswith(".json")))
def test_raw_chunks_give_the_same_updates_as_events(name: str) -> None:
    body = (ROOT / name).read_bytes()
    told: list[Update] = []
    assemble((body[at : at + 4096] for at in range(0, len(body), 4096)), on_update=told.append)
    assert told == _assembled(name)[1]


def test_two_jpeg_partials_and_one_final_equal_to_the_second() -> None:
    result, told = _assembled("streams/openai-2025-06-jpeg-two-partials.sse")
    (item,) = result.items.values()
    assert [(frame.index, frame.format, frame.size) for frame in item.partials] == [
        (0, "JPEG", (1024, 1024)),
        (1, "JPEG", (1024, 1024)),
    ]
    assert item.final is not None
    assert item.final.data == item.partials[1].data
    assert item.final.data is item.partials[1].data
    assert (item.final.is_final, item.is_provisional, item.state) == (True, False, State.COMPLETED)
    assert [update.is_provisional for update in _kinds(told, FinalReady)] == [False]
    assert [update.is_latest for update in _kinds(told, FrameAdded)] == [True, True]
    assert _kinds(told, Anomaly) == []
    assert item.image is not None
    assert item.image.size == (1024, 1024)


def test_a_png_is_final_although_its_status_says_generating(tmp_path: Path) -> None:
    name = "streams/openai-2025-10-png-no-completed.sse"
    result, told = _assembled(name)
    (item,) = result.items.values()
    assert [(frame.index, frame.format, frame.size) for frame in item.partials] == [(0, "PNG", (1024, 1024))]
    messages = _messages(name)
    (done,) = (
        each["item"] for each in messages if each["type"] == "response.output_item.done" and "result" in each["item"]
    )
    assert done["status"] == "generating"
    assert not any(each["type"] == "response.image_generation_call.completed" for each in messages)
    assert len(_kinds(told, FinalReady)) == 1
    assert main(["save", str(ROOT / name), "-o", str(tmp_path)]) == 0
    (final,) = tmp_path.glob("*/final.png")
    assert final.read_bytes() == b64decode(done["result"], validate=True)
    assert b"caBX" in final.read_bytes()  # the provenance is still in it


@pytest.mark.parametrize(
    ("name", "code"),
    [("streams/openai-2025-09-webp-base64-cut.jsonl", "bad_base64"), ("streams/xai-not-an-image.jsonl", "bad_picture")],
)
def test_where_no_picture_can_be_used_each_is_an_anomaly(
    name: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, told = _assembled(name)
    (item,) = result.items.values()
    payloads = [payload for message in _messages(name) for payload in _payloads(message)]
    assert payloads
    assert [anomaly.code for anomaly in _kinds(told, Anomaly)] == [code] * len(payloads)
    assert (item.state, item.latest) == (State.INCOMPLETE, None)
    assert item.reason == "no usable picture came"
    main(["save", str(ROOT / name), "-o", str(tmp_path)])
    out, err = capsys.readouterr()
    assert out == ""
    assert "no usable picture came" in err
    assert err.count("problem: ") == len(payloads)
    assert not any(payload[:30] in err for payload in payloads)
    assert [path.name for path in tmp_path.glob("*/*") if "rejected" not in path.stem] == ["item.json"]


def test_a_placeholder_is_believed_and_its_false_size_is_an_anomaly() -> None:
    result, told = _assembled("streams/azure-2025-12-png-placeholder.jsonl")
    assert result.final is not None
    assert result.final.size == (1, 1)
    assert _kinds(told, Anomaly)
    for anomaly in _kinds(told, Anomaly):
        assert anomaly.code == "false_claim"
        assert "is 1x1 pixels and not 1024x1024" in anomaly.message


@pytest.mark.parametrize("name", ["aux/openai-error-then-failed.jsonl", "aux/openai-background-failed.sse"])
def test_a_failure_is_told_once_with_the_providers_code_and_message(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, told = _assembled(name)
    (said,) = (message["response"]["error"] for message in _messages(name) if message["type"] == "response.failed")
    error = result.error
    assert isinstance(error, ProviderError)
    assert (error.code, error.message) == (said["code"], " ".join(said["message"].split()))
    ends = _kinds(told, ItemEnded)
    assert len(ends) == len(result.items)
    assert main(["save", str(ROOT / name), "-o", str(tmp_path)]) == 5
    err = capsys.readouterr().err
    assert err.count(error.message) == 1 + len(ends)


def test_a_resumed_stream_changes_nothing() -> None:
    assembler = Assembler()
    for event in open_events(ROOT / "aux/openai-background-stream.sse"):
        assembler.feed(event)
    before = (dict(assembler.items), assembler.cursor, assembler.anomalies)
    assert assembler.cursor.sequence_number == 411
    for event in open_events(ROOT / "aux/openai-background-resume-after-1.sse"):
        assert assembler.feed(event) == ()
    assert (dict(assembler.items), assembler.cursor, assembler.anomalies) == before
    assembler.close()
    assert assembler.outcome is Outcome.NO_IMAGE


def test_two_images_of_one_answer_with_their_sizes() -> None:
    result, told = _assembled("json/openai-two-images-one-response.json")
    assert [item.final and item.final.size for item in result.items.values()] == [(1024, 1024), (1536, 1024)]
    assert len(_kinds(told, FinalReady)) == 2
    assert list(result.items) == [
        member["id"]
        for member in _messages("json/openai-two-images-one-response.json")[0]["output"]
        if member["type"] == "image_generation_call"
    ]


@pytest.mark.parametrize("name", ["json/openai-images-edit.json", "json/openrouter-images-edit.json"])
def test_the_images_answers_give_their_picture(name: str) -> None:
    result, told = _assembled(name)
    (payload,) = _payloads(_messages(name)[0])
    assert list(result.items) == ["image-0"]
    assert result.final is not None
    assert result.final.data == b64decode(payload)
    assert result.final.decode().size == result.final.size
    assert _kinds(told, Anomaly) == []
    assert result.items["image-0"].usage
