"""The services that do not speak OpenAI's messages: their shapes, and their results in the library."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from shared import CASES, MISSING

from imgassemble import Outcome, ProviderError, Result, State, UsageError, assemble
from imgassemble.simulator import Order, pictures_of, play
from imgassemble.simulator.apis import APIS
from imgassemble.simulator.comfyui_frames import socket_messages
from imgassemble.streams import comfyui_events, polled_events

SMALL = Order(size=(48, 32), seed=7, partials=2)
OTHERS = ("gemini", "interactions", "seedream", "novelai", "comfyui", "comfy-api", "a1111")
VIEW = "http://127.0.0.1:8188/view"


def events_of(api: Any, *faults: str, **more: Any) -> list[dict[str, Any]]:
    return list(play(replace(SMALL, api=api, faults=faults, **more)).events)


def keys(value: Any, place: str = "") -> Iterator[str]:
    """The places of all keys in a JSON value; the elements of an array share one."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield f"{place}.{key}"
        yield from keys(inner, f"{place}.{key}")
    for inner in value if isinstance(value, list) else ():
        yield from keys(inner, place)


# ---- shapes


def recorded(name: str) -> list[Any]:
    """The events of a small stream."""
    lines = (CASES / name).read_text().splitlines()
    texts = [line.removeprefix("data: ") for line in lines if line.removeprefix("data: ").startswith("{")]
    return [json.loads(text) for text in texts]


@pytest.mark.skipif(not CASES.is_dir(), reason=MISSING)
@pytest.mark.parametrize(
    ("api", "name"),
    [
        ("gemini", "s-gemini-stream.sse"),
        ("interactions", "s-interactions.sse"),
        ("seedream", "s-seedream-b64-two.sse"),
        ("novelai", "s-novelai.sse"),
        ("comfyui", "s-comfyui-text-frames.jsonl"),
        ("comfy-api", "s-comfy-v2.sse"),
        ("a1111", "s-a1111-progress.jsonl"),
    ],
)
def test_a_service_has_the_fields_of_its_small_stream(api: Any, name: str) -> None:
    wanted = {place for event in recorded(name) for place in keys(event)}
    sent = {place for event in events_of(api, items=2) for place in keys(event)}
    assert wanted - sent <= {".data.sid"}  # of the first message, which the server sends


def test_a_draft_of_gemini_is_a_thought_and_the_picture_is_not() -> None:
    parts = [part for event in events_of("gemini") for part in event["candidates"][0]["content"]["parts"]]
    pictures = [part for part in parts if "inlineData" in part]
    (shot,) = pictures_of(replace(SMALL, api="gemini"))
    assert [part.get("thought", False) for part in pictures] == [True, True, False]
    assert [b64decode(part["inlineData"]["data"]) for part in pictures] == [*shot.partials, shot.result]
    assert events_of("gemini")[-1]["candidates"][0]["finishReason"] == "STOP"


def test_gemini_has_neither_event_lines_nor_an_end_mark() -> None:
    body = b"".join(play(replace(SMALL, api="gemini")).body)
    assert body.startswith(b'data: {"candidates":')
    assert b"event:" not in body
    assert b"[DONE]" not in body


def test_a_blocked_picture_of_gemini_is_a_reason_to_finish_streamed_and_whole() -> None:
    streamed = events_of("gemini", "moderation-stream")[-1]
    whole = play(replace(SMALL, api="gemini", is_streamed=False, faults=("moderation-stream",)))
    for answer in (streamed, json.loads(b"".join(whole.body))):
        assert answer["candidates"][0]["finishReason"] == "IMAGE_SAFETY"
        assert "rejected by the safety system" in answer["candidates"][0]["finishMessage"]
    assert whole.status == 200


@pytest.mark.parametrize("fault", ["response-failed", "error-text", "error-field"])
def test_an_error_of_gemini_has_googles_form_whichever_fault_asks_for_it(fault: str) -> None:
    error = events_of("gemini", fault)[-1]["error"]
    assert (error["code"], error["status"]) == (500, "INTERNAL")


def test_the_steps_of_an_interaction_are_numbered_and_closed() -> None:
    events = events_of("interactions", items=2)
    steps = [(event["event_type"], event["index"]) for event in events if "index" in event]
    assert [index for kind, index in steps if kind == "step.start"] == [0, 1, 2, 3]
    assert [index for kind, index in steps if kind == "step.stop"] == [0, 1, 2, 3]
    assert [event["event_id"] for event in events] == [f"e{n}" for n in range(1, len(events) + 1)]
    first, last = events[0]["interaction"], events[-1]["interaction"]
    assert (first["id"], first["status"], last["status"]) == (last["id"], "in_progress", "completed")
    assert b"event: step.delta\ndata: " in b"".join(play(replace(SMALL, api="interactions")).body)


def test_a_whole_interaction_has_the_steps_of_the_stream() -> None:
    whole = json.loads(b"".join(play(replace(SMALL, api="interactions", is_streamed=False)).body))
    thought, output = whole["steps"]
    (shot,) = pictures_of(replace(SMALL, api="interactions"))
    assert (thought["type"], len(thought["summary"]), output["type"]) == ("thought", 3, "model_output")
    assert b64decode(output["content"][0]["data"]) == shot.result


def test_one_picture_of_seedream_fails_and_the_request_does_not() -> None:
    events = events_of("seedream", "moderation-after-previews", items=3)
    assert [event["type"].rpartition(".")[2] for event in events] == [
        *("partial_succeeded", "partial_succeeded", "partial_failed", "completed"),
    ]
    assert [event.get("image_index") for event in events] == [0, 1, 2, None]
    assert events[-1]["usage"]["generated_images"] == 2


def test_the_samples_of_novelai_come_step_by_step_as_jpeg_and_then_as_png() -> None:
    events = events_of("novelai", items=2)
    assert [(event["samp_ix"], event.get("step_ix")) for event in events] == [
        *((0, 0), (1, 0), (0, 1), (1, 1), (0, None), (1, None)),
    ]
    assert [b64decode(event["image"])[:3] for event in events] == [b"\xff\xd8\xff"] * 4 + [b"\x89PN"] * 2


def test_an_api_that_only_streams_has_no_whole_answer() -> None:
    with pytest.raises(UsageError, match="the API 'novelai' only streams"):
        play(replace(SMALL, api="novelai", is_streamed=False))


@pytest.mark.parametrize("api", OTHERS)
@pytest.mark.parametrize("fault", ["moderation-http", "rate-limit"])
def test_a_refused_request_has_the_form_of_the_service(api: Any, fault: str) -> None:
    made = play(replace(SMALL, api=api, faults=(fault,)))
    body = json.loads(b"".join(made.body))
    assert made.status == (400 if fault == "moderation-http" else 429)
    assert "openai-version" not in made.headers
    places = {"gemini": "error.message", "interactions": "error.message", "novelai": "message", "a1111": "detail"}
    for name in places.get(api, "error.message").split("."):
        body = body[name]
    assert "rejected by the safety system" in body or "Rate limit reached" in body


# ---- through the library

STREAMED = ("gemini", "interactions", "seedream", "novelai")


@pytest.mark.parametrize("api", STREAMED)
@pytest.mark.parametrize("items", [1, 3])
def test_the_drafts_and_the_pictures_of_each_image_arrive(api: Any, items: int) -> None:
    order = replace(SMALL, api=api, items=items)
    result = assemble(play(order).body)
    shots = pictures_of(order)
    assert [frame.data for frame in result.finals] == [shot.result for shot in shots]
    drafts = [[frame.data for frame in item.partials] for item in result.items.values()]
    assert drafts == [list(shot.partials) for shot in shots]
    assert (result.outcome, result.error) == (Outcome.COMPLETED, None)
    assert all(item.anomalies == () for item in result.items.values())


@pytest.mark.parametrize("api", ["gemini", "interactions", "seedream"])
def test_a_whole_answer_has_the_pictures_too(api: Any) -> None:
    order = replace(SMALL, api=api, items=2, is_streamed=False)
    result = assemble(play(order).body)
    assert [frame.data for frame in result.finals] == [shot.result for shot in pictures_of(order)]


@pytest.mark.parametrize("api", STREAMED)
@pytest.mark.parametrize(
    ("fault", "outcome", "said"),
    [
        ("moderation-stream", Outcome.FAILED, "rejected by the safety system"),
        ("moderation-after-previews", Outcome.FAILED, "rejected by the safety system"),
        ("response-failed", Outcome.FAILED, "The server had an error"),
        ("error-in-data", Outcome.FAILED, "The server had an error"),
        ("disconnect-after-event=0", Outcome.NO_IMAGE, "empty"),
    ],
)
def test_a_stream_that_fails_says_why(api: Any, fault: str, outcome: Outcome, said: str) -> None:
    if api != "seedream" and fault == "error-in-data":
        pytest.skip("only an image API has `data`")
    result = assemble(play(replace(SMALL, api=api, faults=(fault,))).body)
    assert result.outcome is outcome
    assert said in str(result.error)
    assert result.final is None


@pytest.mark.parametrize("api", ["gemini", "interactions"])
def test_a_refusal_in_words_is_quoted(api: Any) -> None:
    result = assemble(play(replace(SMALL, api=api, faults=("refusal",))).body)
    assert result.outcome is Outcome.NO_IMAGE
    assert "I can't make that picture" in str(result.text)


@pytest.mark.parametrize("api", STREAMED)
def test_chunks_of_one_byte_give_the_same_pictures(api: Any) -> None:
    order = replace(SMALL, api=api, items=2)
    cut = assemble(play(replace(order, faults=("byte-chunks",))).body)
    assert cut.items == assemble(play(order).body).items


# ---- ComfyUI's frames


def test_the_frames_of_comfyui_have_big_endian_headers() -> None:
    made = play(replace(SMALL, api="comfyui"))
    (shot,) = pictures_of(replace(SMALL, api="comfyui"))
    binary = [message for message in socket_messages(made.body) if isinstance(message, bytes)]
    assert binary[0] == b"\0\0\0\3" + b"\0\0\0\1" + b"3" + b"sampling"
    for message, draft in zip(binary[1:], shot.partials, strict=True):
        assert message[:4] == b"\0\0\0\4"
        end = 8 + int.from_bytes(message[4:8], "big")
        assert json.loads(message[8:end])["image_type"] == "image/jpeg"
        assert message[end:] == draft
    plain = [message for message in socket_messages(made.body, has_metadata=False) if isinstance(message, bytes)]
    assert plain == [binary[0], *(b"\0\0\0\1\0\0\0\1" + draft for draft in shot.partials)]


@pytest.mark.parametrize("has_metadata", [True, False])
def test_the_messages_of_comfyui_give_the_previews_and_the_file(has_metadata: bool) -> None:
    made = play(replace(SMALL, api="comfyui"))
    (shot,) = pictures_of(replace(SMALL, api="comfyui"))
    result = assemble(comfyui_events(socket_messages(made.body, has_metadata=has_metadata), VIEW))
    (item,) = result.items.values()
    assert [frame.data for frame in item.partials] == list(shot.partials)
    ((name, data),) = made.files.items()
    assert item.url is not None
    assert f"filename={name}&" in item.url
    assert data == shot.result


@pytest.mark.parametrize(
    ("fault", "outcome", "said"),
    [
        ("response-failed", Outcome.FAILED, "The server had an error"),
        ("moderation-after-previews", Outcome.FAILED, "rejected by the safety system"),
        ("response-incomplete", Outcome.INCOMPLETE, "interrupted"),
    ],
)
def test_a_prompt_of_comfyui_that_fails_says_why(fault: str, outcome: Outcome, said: str) -> None:
    made = play(replace(SMALL, api="comfyui", faults=(fault,)))
    result = assemble(comfyui_events(socket_messages(made.body), VIEW))
    assert result.outcome is outcome
    assert said in str(result.error)
    assert made.files == {}


# ---- AUTOMATIC1111's answers


def polled(*faults: str) -> Result:
    answers = iter(events_of("a1111", *faults))
    return assemble(polled_events(lambda: next(answers, None), 0, sleep=lambda _: None))


def test_the_polls_of_a1111_give_each_preview_once_and_the_result() -> None:
    result = polled()
    (shot,) = pictures_of(replace(SMALL, api="a1111"))
    (item,) = result.items.values()
    assert [frame.data for frame in item.partials] == list(shot.partials)
    assert result.require_final().data == shot.result


def test_a_job_of_a1111_that_fails_says_why() -> None:
    result = polled("response-failed")
    assert isinstance(result.error, ProviderError)
    assert "The server had an error" in str(result.error)
    assert all(item.state is State.FAILED for item in result.items.values())


def test_every_other_service_is_tested_here() -> None:
    assert set(OTHERS) == {name for name, api in APIS.items() if api.has_own_errors}
