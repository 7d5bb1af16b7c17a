"""Every fault has the effect that its sentence describes, the same for the same seed, and combines with others."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from itertools import combinations
from typing import Any, get_args

import pytest
from PIL import Image

from imgassemble.simulator.answers import FAULTS, Answer, Order, play
from imgassemble.simulator.apis import APIS
from imgassemble.simulator.faults import FaultName
from imgassemble.simulator.pictures import Format

# A dialect whose stream has every event that a fault can remove.
PLAIN = Order(dialect="openai-2025", size=(24, 16))
IMAGES = replace(PLAIN, api="images")
CHAT = replace(PLAIN, api="chat")
STREAMS = (PLAIN, IMAGES, replace(PLAIN, api="edits"), replace(PLAIN, api="router-images"), CHAT)
RESULT = "response.output_item.done"


def asked(name: str, value: int = 3) -> str:
    """Return the fault, with a value if it takes one."""
    return f"{name}={value}" if FAULTS[name].value else name


def faulty(*faults: str, order: Order = PLAIN) -> Answer:
    return play(replace(order, faults=faults))


def types(made: Answer) -> list[str]:
    return [str(event.get("type", "chunk")).removeprefix("response.") for event in made.events]


def payloads(made: Answer) -> list[str]:
    """All base64 in the events, in the order of arrival."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in ("result", "b64_json", "partial_image_b64") and inner is not None:
                    found.append(inner)
                elif key == "url":
                    found.append(inner.partition(",")[2])
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    for event in made.events:
        look(event)
    return found


def partials(made: Answer) -> list[str]:
    keys = ("partial_image_b64", "b64_json")
    events = (event for event in made.events if str(event.get("type")).endswith(".partial_image"))
    return [event[key] for event in events for key in keys if key in event]


def opened(text: str) -> Image.Image:
    image = Image.open(BytesIO(b64decode(text, validate=True)))
    image.load()
    return image


# ---- all of them


@pytest.mark.parametrize("name", list(FAULTS))
@pytest.mark.parametrize("api", list(APIS))
@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_fault_is_the_same_each_time(name: str, api: Any, is_streamed: bool) -> None:
    order = replace(PLAIN, api=api, is_streamed=is_streamed or not APIS[api].whole, faults=(asked(name),))
    assert play(order) == play(replace(order))


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_fault_changes_an_answer(name: str) -> None:
    order = IMAGES if name in ("final-equals-partial", "error-in-data") else PLAIN
    sound, made = play(order), faulty(asked(name), order=order)
    assert (sound.body, sound.ending, sound.status) != (made.body, made.ending, made.status)


@pytest.mark.parametrize("pair", list(combinations(FAULTS, 2)), ids="+".join)
def test_faults_combine_in_any_order(pair: tuple[str, str]) -> None:
    one, other = (asked(name, 1) for name in pair)
    order = replace(PLAIN, size=(8, 8), partials=1)
    assert faulty(one, other, order=order) == faulty(other, one, order=order)


@pytest.mark.parametrize("fault", list(FAULTS.values()), ids=lambda fault: fault.name)
def test_a_fault_is_explained_in_a_line(fault: Any) -> None:
    assert 15 < len(fault.description) < 90
    assert not fault.description.endswith(".")
    assert fault.usage.startswith(fault.name)


def test_the_type_of_fault_names_has_every_fault() -> None:
    assert get_args(FaultName) == tuple(FAULTS)


def test_how_a_fault_is_asked_for() -> None:
    assert FAULTS["hang"].usage == "hang"
    assert FAULTS["hang-after-event"].usage == "hang-after-event=N"
    assert FAULTS["huge-event"].usage == "huge-event[=N]"


# ---- pictures


@pytest.mark.parametrize(("fault", "left"), [("fewer-partials", 2), ("fewer-partials=2", 1), ("fewer-partials=3", 0)])
def test_fewer_partials(fault: str, left: int) -> None:
    for order in STREAMS[:4]:
        assert len(partials(faulty(fault, order=replace(order, partials=3)))) == left


def test_final_equals_partial() -> None:
    first, last, final = payloads(faulty("final-equals-partial", order=IMAGES))
    assert first != last == final
    assert first == payloads(play(IMAGES))[0]


@pytest.mark.parametrize("order", STREAMS[:4])
def test_final_unlike_partial(order: Order) -> None:
    made, sound = faulty("final-unlike-partial", order=order), play(order)
    assert partials(made) == partials(sound)[:2]
    assert payloads(made)[-1] not in payloads(sound)
    assert opened(payloads(made)[-1]).size == (24, 16)


@pytest.mark.parametrize("order", STREAMS)
def test_tiny_picture(order: Order) -> None:
    made = faulty("tiny-picture", order=order)
    assert {opened(text).size for text in payloads(made)} == {(1, 1)}
    assert {event["size"] for event in made.events if "size" in event} <= {"24x16"}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_huge_event(form: Format) -> None:
    made = faulty("huge-event=2", order=replace(IMAGES, format=form))
    assert 2_000_000 <= max(map(len, made.body)) < 2_001_000
    final = opened(payloads(made)[-1])
    assert (final.format, final.size) == (form, (24, 16))
    assert max(map(len, payloads(made)[:-1])) < 20_000


def test_a_huge_event_has_thirty_megabytes_by_default() -> None:
    assert 30_000_000 <= max(map(len, faulty("huge-event", order=IMAGES).body)) < 30_010_000


@pytest.mark.parametrize("order", STREAMS[:4])
def test_cut_picture(order: Order) -> None:
    made, sound = faulty("cut-picture", order=order), play(order)
    assert partials(made) == partials(sound)
    cut, whole = (b64decode(payloads(each)[-1], validate=True) for each in (made, sound))
    assert cut == whole[: len(whole) // 2]


# ---- payloads


def test_wrong_format() -> None:
    event = faulty("wrong-format", order=IMAGES).events[-1]
    assert (event["output_format"], opened(event["b64_json"]).format) == ("webp", "PNG")
    event = faulty("wrong-format", order=replace(STREAMS[3], format="JPEG")).events[-1]
    assert (event["media_type"], opened(event["b64_json"]).format) == ("image/png", "JPEG")
    assert "data:image/webp;base64,iVBOR" in json.dumps(faulty("wrong-format", order=CHAT).events)


def test_status_generating() -> None:
    *_, last = (event["item"] for event in faulty("status-generating").events if event["type"] == RESULT)
    items = [event["item"] for event in faulty("status-generating").events if event["type"] == RESULT]
    statuses = {item["type"]: item.get("status") for item in items}
    assert statuses["image_generation_call"] == "generating"
    assert (last["type"], last["status"]) == ("message", "completed")


def test_no_final() -> None:
    made = faulty("no-final")
    assert types(made) == types(play(PLAIN))
    assert [item["result"] for item in made.events[-1]["response"]["output"] if "result" in item] == [None]
    assert "b64_json" not in faulty("no-final", order=IMAGES).events[-1]
    assert "images" not in json.dumps(faulty("no-final", order=CHAT).events)


@pytest.mark.parametrize("order", STREAMS)
def test_cut_base64(order: Order) -> None:
    sound = payloads(play(order))
    assert payloads(faulty("cut-base64", order=order)) == [text[: len(text) // 2] + "..." for text in sound]


@pytest.mark.parametrize("order", STREAMS)
def test_blank_payload(order: Order) -> None:
    made = faulty("blank-payload", order=order)
    assert types(made) == types(play(order))
    assert set(payloads(made)) == {""}


# ---- scenarios


def test_no_completed() -> None:
    left = [name for name in types(play(PLAIN)) if name != "image_generation_call.completed"]
    assert types(faulty("no-completed")) == left
    assert left[-1] == "completed"
    assert types(faulty("no-completed", order=IMAGES)) == ["image_generation.partial_image"] * 2


@pytest.mark.parametrize("order", STREAMS[:3])
def test_keepalive(order: Order) -> None:
    made = faulty("keepalive", order=order)
    assert types(made).count("keepalive") > 1
    assert [event["sequence_number"] for event in made.events] == list(range(len(made.events)))
    assert b"event: keepalive\ndata: {" in b"".join(made.body)


def test_error_nested() -> None:
    made = faulty("error-nested")
    assert types(made)[-2:] == ["image_generation_call.partial_image", "error"]
    assert made.events[-1]["error"]["code"] == "server_error"
    assert "message" not in made.events[-1]


def test_error_flat() -> None:
    made = faulty("error-flat", order=IMAGES)
    assert types(made) == ["image_generation.partial_image"] * 2 + ["error"]
    assert (made.events[-1]["code"], made.events[-1]["sequence_number"]) == ("server_error", 2)
    assert "error" not in made.events[-1]


def test_an_error_in_a_chat_is_in_a_chunk() -> None:
    chunk = faulty("error-nested", order=CHAT).events[-1]
    assert (chunk["error"]["code"], chunk["choices"][0]["finish_reason"]) == ("server_error", "error")


def test_response_failed() -> None:
    last = faulty("response-failed").events[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"]["code"] == "server_error"
    assert types(faulty("response-failed", order=IMAGES))[-1] == "error"


def test_an_error_and_a_failed_response_come_one_after_the_other() -> None:
    assert types(faulty("response-failed", "error-nested"))[-2:] == ["error", "failed"]


def test_response_incomplete() -> None:
    last = faulty("response-incomplete").events[-1]
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert types(faulty("response-incomplete", order=IMAGES)) == ["image_generation.partial_image"] * 2
    chat = faulty("response-incomplete", order=CHAT)
    assert "content_filter" in [event["choices"][0]["finish_reason"] for event in chat.events]


def test_moderation_stream() -> None:
    made = faulty("moderation-stream")
    assert partials(made) == []
    assert types(made)[-2:] == ["error", "failed"]
    assert made.events[-2]["error"]["moderation_details"]["moderation_stage"] == "output"
    (event,) = faulty("moderation-stream", order=IMAGES).events
    assert list(event) == ["type", "error", "sequence_number"]
    assert (event["error"]["type"], event["error"]["code"]) == ("image_generation_user_error", "moderation_blocked")


def test_refusal() -> None:
    made = faulty("refusal")
    assert "can't" in json.dumps(made.events[-1])
    assert not [name for name in types(made) if "image" in name]
    assert types(made)[-1] == "completed"
    assert faulty("refusal", order=IMAGES).body == ()
    assert "can't" in b"".join(faulty("refusal", order=replace(CHAT, is_streamed=False)).body).decode()


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("error-nested", 500, "server_error"), ("moderation-stream", 400, "moderation_blocked")],
)
def test_an_error_that_ends_a_stream_is_an_http_error_of_a_whole_answer(fault: str, status: int, code: str) -> None:
    made = faulty(fault, order=replace(IMAGES, is_streamed=False))
    assert (made.status, json.loads(made.body[0])["error"]["code"]) == (status, code)


def test_a_whole_response_has_the_status_failed() -> None:
    made = faulty("response-failed", order=replace(PLAIN, is_streamed=False))
    assert (made.status, json.loads(made.body[0])["status"]) == (200, "failed")


def test_moderation_after_previews() -> None:
    made = faulty("moderation-after-previews")
    assert types(made)[-3:] == ["image_generation_call.partial_image", "error", "failed"]
    assert made.events[-2]["error"]["code"] == "moderation_blocked"
    assert types(faulty("moderation-after-previews", order=IMAGES)) == [
        *["image_generation.partial_image"] * 2,
        "error",
    ]


# ---- forms of errors


@pytest.mark.parametrize("order", STREAMS)
def test_empty_errors_stand_beside_pictures_only(order: Order) -> None:
    sound, made = play(order).events, faulty("empty-errors", order=order).events
    assert [{key: event[key] for key in event if key != "error"} for event in made] == list(sound)
    found = [event for event in made if event.get("error") == {}]
    assert found
    assert all("iVBOR" in json.dumps(event) for event in found)


def test_an_empty_error_stands_in_a_whole_answer_too() -> None:
    body = json.loads(faulty("empty-errors", order=replace(IMAGES, is_streamed=False)).body[0])
    assert body["error"] == {}
    assert body["data"][0]["b64_json"]


@pytest.mark.parametrize("order", STREAMS)
@pytest.mark.parametrize(
    ("fault", "written"),
    [
        ("error-text", b'data: {"type":"error","error":"The server had an error'),
        ("error-object", b'data: {"object":"error","message":"The server had an error'),
        ("error-field", b'error: {"code":500,"message":"The server had an error'),
    ],
)
def test_an_error_comes_last_in_its_form(order: Order, fault: str, written: bytes) -> None:
    made = faulty(fault, order=order)
    pieces = [piece for piece in made.body if b"[DONE]" not in piece]
    assert written in pieces[-1]
    assert len(partials(made)) == len(partials(play(order)))
    assert faulty(fault, order=replace(order, is_streamed=False)).status == 500


@pytest.mark.parametrize("order", STREAMS[1:4])
def test_error_in_data(order: Order) -> None:
    made = faulty("error-in-data", order=order)
    assert made.events[-1]["data"][0]["error"]["code"] == "server_error"
    whole = faulty("error-in-data", order=replace(order, is_streamed=False, items=2))
    good, bad = json.loads(whole.body[0])["data"]
    assert (whole.status, bool(good["b64_json"]), bad["error"]["code"]) == (200, True, "server_error")


# ---- several responses


def begun(made: Answer) -> list[str]:
    """The ids of the responses that begin."""
    return [event["response"]["id"] for event in made.events if event["type"] == "response.created"]


def done_items(made: Answer) -> list[dict[str, Any]]:
    items = [event["item"] for event in made.events if event["type"] == RESULT]
    return [item for item in items if item["type"] == "image_generation_call"]


def test_retry() -> None:
    made, sound = faulty("retry"), play(PLAIN)
    assert types(made)[:6] == ["created", "in_progress", "output_item.added", "output_item.done", "error", "failed"]
    assert made.events[-len(sound.events) :] == sound.events
    assert len(set(begun(made))) == 2


def test_steered() -> None:
    made, sound = faulty("steered"), play(PLAIN)
    first = made.events[: -len(sound.events)]
    assert first[-2]["steer"]["previous_response_id"] == begun(made)[0]
    assert first[-1]["response"]["incomplete_details"] == {"reason": "steered"}
    assert made.events[len(first) :] == sound.events


def test_reused_item_ids() -> None:
    made = faulty("reused-item-ids")
    assert len(set(begun(made))) == 2
    assert len({item["id"] for item in done_items(made)}) == 1
    turns = faulty("reused-item-ids", order=replace(PLAIN, turns=3, items=2))
    assert len(set(begun(turns))) == 3
    assert len({item["id"] for item in done_items(turns)}) == 2
    assert len({item["result"] for item in done_items(turns)}) == 6


@pytest.mark.parametrize("name", ["retry", "steered", "reused-item-ids"])
def test_other_apis_have_no_second_response(name: str) -> None:
    assert faulty(name, order=CHAT) == play(replace(CHAT, faults=(name,)))
    assert faulty(name, order=IMAGES).events == play(IMAGES).events


# ---- arrival


@pytest.mark.parametrize("order", STREAMS[:3])
def test_constant_numbers(order: Order) -> None:
    made, sound = faulty("constant-numbers", order=order).events, play(order).events
    assert {event["sequence_number"] for event in made} == {0}
    assert [event | {"sequence_number": 1} for event in made] == [event | {"sequence_number": 1} for event in sound]


def test_missing_ids() -> None:
    made = faulty("missing-ids")
    images = [event for event in made.events if "image_generation_call" in event["type"]]
    assert {"item_id" in event for event in images} == {False}
    assert {event["output_index"] for event in images} == {1}
    assert not any("id" in item for item in done_items(made))
    assert [item.get("type") for item in made.events[-1]["response"]["output"] if "id" not in item] == [
        "image_generation_call"
    ]


@pytest.mark.parametrize("order", STREAMS)
@pytest.mark.parametrize("seed", range(5))
def test_repeated_events(order: Order, seed: int) -> None:
    order = replace(order, seed=seed)
    sound, made = list(play(order).events), list(faulty("repeated-events", order=order).events)
    assert len(made) == len(sound) + len(sound) // 2
    assert [event for at, event in enumerate(made) if event not in made[:at]] == sound
    assert made[-1] == sound[-1]


@pytest.mark.parametrize("order", STREAMS)
@pytest.mark.parametrize("seed", range(5))
def test_reordered_events(order: Order, seed: int) -> None:
    order = replace(order, seed=seed, partials=3)
    sound, made = list(play(order).events), list(faulty("reordered-events", order=order).events)
    assert made != sound
    assert (made[0], made[-1]) == (sound[0], sound[-1])
    assert all(made.count(event) == 1 for event in sound)
    assert max(abs(made.index(event) - at) for at, event in enumerate(sound)) <= 3


def test_another_seed_repeats_other_events() -> None:
    orders = [types(faulty("repeated-events", order=replace(PLAIN, seed=seed))) for seed in range(5)]
    assert len({tuple(order) for order in orders}) > 1


# ---- framing


@pytest.mark.parametrize(
    ("fault", "changed"),
    [
        ("comments", lambda sound: sound.replace(b"event: ", b": keep-alive\n\nevent: ")),
        ("crlf", lambda sound: sound.replace(b"\n", b"\r\n")),
        ("no-event-lines", lambda sound: b"".join(line for line in sound.splitlines(True) if line[:1] != b"e")),
        ("byte-chunks", lambda sound: sound),
    ],
)
def test_framing(fault: str, changed: Callable[[bytes], bytes]) -> None:
    sound, made = play(PLAIN), faulty(fault)
    assert b"".join(made.body) == changed(b"".join(sound.body))
    assert made.events == sound.events


def test_byte_chunks_are_of_one_byte() -> None:
    assert {len(piece) for piece in faulty("byte-chunks").body} == {1}


@pytest.mark.parametrize("number", [0, 1, 5, 10**6])
def test_disconnect_after_event(number: int) -> None:
    made = faulty(f"disconnect-after-event={number}")
    assert (made.body, made.ending) == (play(PLAIN).body[:number], "disconnected")


@pytest.mark.parametrize("number", [0, 1, 4999, 10**9])
@pytest.mark.parametrize("more", [(), ("byte-chunks",), ("crlf",)])
def test_disconnect_after_bytes(number: int, more: tuple[str, ...]) -> None:
    made = faulty(f"disconnect-after-bytes={number}", *more)
    assert b"".join(made.body) == b"".join(faulty(*more).body)[:number]
    assert made.ending == "disconnected"
    assert all(made.body)


def test_hang() -> None:
    made = faulty("hang")
    assert (made.body, made.ending) == (play(PLAIN).body, "hanging")
    made = faulty("hang-after-event=2")
    assert (made.body, made.ending) == (play(PLAIN).body[:2], "hanging")


# ---- the HTTP answer


@pytest.mark.parametrize("order", STREAMS[:3])
def test_moderation_http(order: Order) -> None:
    made = faulty("moderation-http", order=order)
    assert (made.status, made.events, made.headers["content-type"]) == (400, (), "application/json")
    error = json.loads(made.body[0])["error"]
    assert (error["type"], error["code"]) == ("image_generation_user_error", "moderation_blocked")
    assert error["moderation_details"] == {"moderation_stage": "input", "categories": ["other"]}


@pytest.mark.parametrize(
    ("fault", "status", "has"),
    [
        ("http-text", 404, '"error":"Not Found"'),
        ("http-object", 404, '"object":"error"'),
        ("http-detail", 404, '"detail":"Not Found"'),
        ("http-message", 404, '"message":"no Route'),
        ("http-errors", 429, '"errors":[{"message":'),
        ("http-problem", 502, '"title":"Bad Gateway"'),
    ],
)
def test_an_http_error_has_the_form_of_its_server(fault: str, status: int, has: str) -> None:
    made = faulty(fault)
    assert (made.status, made.events, has in made.body[0].decode()) == (status, (), True)
    assert ("problem" in made.headers["content-type"]) is (fault == "http-problem")


def test_the_seconds_of_a_rate_limit_can_be_chosen() -> None:
    made = faulty("rate-limit=0")
    assert made.headers["retry-after"] == "0"
    assert "try again in 0s" in made.body[0].decode()


def test_rate_limit() -> None:
    made = faulty("rate-limit")
    assert (made.status, made.headers["retry-after"]) == (429, "12")
    assert json.loads(made.body[0])["error"]["code"] == "rate_limit_exceeded"


def test_openrouter_gives_the_http_status_as_code() -> None:
    made = faulty("rate-limit", order=STREAMS[3])
    assert json.loads(made.body[0])["error"]["code"] == 429
