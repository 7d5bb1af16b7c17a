"""Messages of an unknown form that look like those of a known service: they make no image, and the error names them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from samples import b64, png

from imgassemble import Assembler, IncompleteStreamError, assemble

A = png(2, 1)
TEXT = "c3VubnkgYW5kIHdhcm0="  # base64 of words

# A message, and a word of the error that tells which one it was.
STRANGERS: dict[str, tuple[dict[str, Any], str]] = {
    "candidates of an election": ({"candidates": [{"name": "Ada", "votes": 3}]}, "candidates"),
    "candidates with a file of another kind": (
        {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "audio/wav", "data": TEXT}}]}}]},
        "candidates",
    ),
    "predictions of a number": ({"predictions": [0.3, 0.7], "deployedModelId": "m"}, "predictions"),
    "images of a shop": ({"images": [{"url": "https://example.org/otter"}]}, "listed_images"),
    "a list of names": ({"images": ["otter.png", "newt.png"]}, "made_images"),
    "the result of another tool": (
        {"type": "tool-output-available", "toolCallId": "w", "output": {"result": TEXT, "image": "none"}},
        "tool-output-available",
    ),
    "a file that is no picture": (
        {"type": "file", "url": "https://example.org/a.pdf", "mediaType": "application/pdf"},
        "file",
    ),
    "a file without a type": ({"type": "file", "url": f"data:text/plain;base64,{TEXT}"}, "file"),
    "a step of a workflow": ({"event_type": "step.delta", "index": 0, "delta": {"type": "log", "data": TEXT}}, "step"),
    "a thread of a forum": (
        {
            "type": "thread.item.added",
            "item": {"id": "1", "type": "post", "image": {"url": "https://example.org/a.png"}},
        },
        "thread.item.added",
    ),
    "the status of a job": ({"type": "status", "status": "running"}, "status"),
    "a preview of a mail": ({"type": "preview", "text": "Dear otter"}, "preview"),
    "a final score": ({"event_type": "final", "score": [1, 2]}, "final"),
    "an artifact of a build": (
        {"kind": "artifact-update", "artifact": {"artifactId": "a", "parts": [{"text": "built"}]}},
        "artifact-update",
    ),
    "a task of a list": ({"type": "task", "title": "feed the otter", "artifacts": []}, "task"),
    "a notification": (
        {"method": "item/completed", "params": {"item": {"type": "order", "id": "1"}}},
        "item/completed",
    ),
    "an answer of a JSON-RPC server": ({"jsonrpc": "2.0", "id": 1, "result": {"sum": 3}}, "a JSON-RPC answer"),
    "a chunk of text of a known service": (
        {"object": "image.edit.chunk", "type": "ar_delta", "delta": "think"},
        "ar_delta",
    ),
    "a batch of a data set": ({"batch": 3, "image_path": "otter.png"}, "batch, image_path"),
    "progress of a download": ({"progress": 0.5, "message": "half"}, "progress"),
    "data of a sensor": ({"samp_ix": 3, "values": [1, 2]}, "samp_ix, values"),
}
every_stranger = pytest.mark.parametrize(("message", "word"), STRANGERS.values(), ids=STRANGERS)


@every_stranger
def test_a_stranger_makes_no_image_and_is_named(message: dict[str, Any], word: str) -> None:
    result = assemble([json.dumps(message).encode() + b"\n"])
    assert dict(result.items) == {}
    assert result.outcome == "no_image"
    assert isinstance(result.error, IncompleteStreamError)
    assert word in str(result.error)


@every_stranger
def test_a_stranger_beside_a_picture_changes_nothing(message: dict[str, Any], word: str) -> None:
    picture = {"type": "image_generation.completed", "b64_json": b64(A)}
    result = assemble([message, picture, message])
    assert {name: item.final and item.final.data for name, item in result.items.items()} == {"image-0": A}
    assert (result.outcome, result.error) == ("completed", None)
    assert word not in result.items


def test_a_message_of_a_known_service_without_a_picture_is_no_anomaly() -> None:
    assembler = Assembler(strict=True)
    for message in (
        {"candidates": [{"content": {"parts": [{"text": "Planning", "thought": True}]}}]},
        {"gen_progress": {"batch_index": "0", "overall_percent": 0.1}},
        {"job_id": "j", "job_stage": "RUNNING", "job_progress": 3, "job_step_preview": None, "job_result": None},
        {"progress": 0.5, "message": "half"},
        {"status": {"waiting_gens": 1}, "backend_status": {"status": "running"}},
        {"data": [{"taskType": "authentication", "connectionSessionUUID": "s"}]},
    ):
        assert assembler.feed(message) == ()
    assert dict(assembler.items) == {}
