"""ComfyUI: the messages of its websocket become one item for each prompt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import picture, png, shade
from shared import CASES, MISSING

from imgassemble import Assembler, FinalReady, Outcome, Result, State, UsageError, aassemble, assemble
from imgassemble.streams import comfyui_events

VIEW = "http://127.0.0.1:8188/view"
JPEG = [picture("JPEG", width, 6) for width in range(8, 14)]


def text(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


def preview(data: bytes, form: int = 1) -> bytes:
    return pack(">II", 1, form) + data


def named_preview(data: bytes, prompt: str = "p1", node: str = "3") -> bytes:
    facts = json.dumps({"node_id": node, "prompt_id": prompt, "image_type": "image/jpeg"}).encode()
    return pack(">II", 4, len(facts)) + facts + data


def words(node: str = "3", said: str = "loading") -> bytes:
    return pack(">II", 3, len(node)) + node.encode() + said.encode()


def start(prompt: str = "p1", node: str = "3") -> list[str]:
    return [text("execution_start", prompt_id=prompt), text("executing", node=node, prompt_id=prompt)]


def saved(prompt: str = "p1", *names: str, kind: str = "output") -> str:
    images = [{"filename": name, "subfolder": "a b", "type": kind} for name in names]
    return text("executed", node="9", prompt_id=prompt, output={"images": images})


def success(prompt: str = "p1") -> str:
    return text("execution_success", prompt_id=prompt)


def result_of(messages: Iterable[Any], view_url: str | None = None) -> Result:
    return assemble(comfyui_events(messages, view_url))


@pytest.mark.skipif(not CASES.is_dir(), reason=MISSING)
@pytest.mark.parametrize("place", [0, 3, 6])
def test_recorded_messages_give_one_item_with_two_partials(place: int) -> None:
    messages: list[Any] = (CASES / "s-comfyui-text-frames.jsonl").read_text().splitlines()
    messages[place:place] = [(CASES / f"comfyui-frame-{kind}.bin").read_bytes() for kind in (1, 4)]
    assembler = Assembler()
    (item,) = assemble(comfyui_events(messages, VIEW), assembler=assembler).items.values()
    assert (item.id, len(item.partials), item.anomalies, assembler.anomalies) == ("p1", 2, (), ())
    assert item.url == f"{VIEW}?filename=ComfyUI_00001_.png&subfolder=&type=output"


def test_previews_are_counted_in_order_with_and_without_metadata() -> None:
    messages = [*start(), preview(JPEG[0]), words(), named_preview(JPEG[1]), preview(JPEG[2])]
    (item,) = result_of(messages).items.values()
    assert [(frame.index, frame.data) for frame in item.partials] == [(0, JPEG[0]), (1, JPEG[1]), (2, JPEG[2])]
    assert item.anomalies == ()


def test_a_preview_before_any_name_belongs_to_the_first_prompt() -> None:
    assert list(result_of([preview(JPEG[0]), named_preview(JPEG[1])]).items) == ["p1"]
    assert list(result_of([preview(JPEG[0])]).items) == ["comfyui"]


def test_a_png_from_the_saving_node_is_the_result() -> None:
    messages = [*start(), preview(JPEG[0]), text("executing", node="12", prompt_id="p1"), preview(shade(9), 2)]
    result = result_of([*messages, success()])
    assert (result.require_final().data, result.outcome) == (shade(9), Outcome.COMPLETED)


def test_each_picture_of_a_batch_is_an_item() -> None:
    result = result_of([*start(node="12"), *(preview(shade(each), 2) for each in range(3)), success()])
    assert {name: item.final and item.final.data for name, item in result.items.items()} == {
        "p1": shade(0),
        "p1/1": shade(1),
        "p1/2": shade(2),
    }


def test_a_jpeg_from_the_node_of_the_example_is_the_result() -> None:
    result = result_of([*start(node="save_image_websocket_node"), preview(JPEG[3])])
    assert result.require_final().data == JPEG[3]


def test_a_png_of_a_node_that_sends_previews_is_a_preview() -> None:
    (item,) = result_of([*start(), preview(JPEG[0]), preview(png(), 2)]).items.values()
    assert (len(item.partials), item.final) == (2, None)


def test_a_saved_picture_has_a_url() -> None:
    result = result_of([*start(), saved("p1", "a.png", "b.png"), success()], VIEW)
    assert {name: item.url for name, item in result.items.items()} == {
        "p1": f"{VIEW}?filename=a.png&subfolder=a+b&type=output",
        "p1/1": f"{VIEW}?filename=b.png&subfolder=a+b&type=output",
    }


def test_a_picture_that_is_only_shown_counts_if_none_is_saved() -> None:
    shown = saved("p1", "shown.png", kind="temp")
    (item,) = result_of([*start(), shown, success()], VIEW).items.values()
    assert "shown.png" in (item.url or "")
    (item,) = result_of([*start(), shown, saved("p1", "a.png"), success()], VIEW).items.values()
    assert "a.png" in (item.url or "")


def test_without_an_address_the_reason_names_the_file() -> None:
    (item,) = result_of([*start(), preview(JPEG[0]), saved("p1", "a.png"), success()]).items.values()
    assert (item.state, item.latest and item.latest.data) == (State.INCOMPLETE, JPEG[0])
    assert "a.png" in str(item.reason)
    assert "view_url" in str(item.reason)


def test_success_without_a_picture_gives_a_provisional_final_at_once() -> None:
    assembler = Assembler()
    updates = [
        update for event in comfyui_events([*start(), preview(JPEG[0]), success()]) for update in assembler.feed(event)
    ]
    assert [update.is_provisional for update in updates if isinstance(update, FinalReady)] == [True]


def test_an_error_fails_its_prompt_only() -> None:
    failed = text("execution_error", prompt_id="p1", node_id="3", exception_message="out of memory", exception_type="E")
    messages = [*start(), preview(JPEG[0]), failed, *start("p2", "12"), preview(shade(1), 2), success("p2")]
    result = result_of(messages)
    assert [item.state for item in result.items.values()] == [State.FAILED, State.COMPLETED]
    assert "out of memory" in str(result.items["p1"].error)


def test_an_interruption_is_incomplete() -> None:
    (item,) = result_of([*start(), preview(JPEG[0]), text("execution_interrupted", prompt_id="p1")]).items.values()
    assert (item.state, item.reason) == (State.INCOMPLETE, "interrupted")


def test_a_late_preview_stays_with_its_prompt() -> None:
    messages = [*start(), success(), *start("p2"), named_preview(JPEG[0], "p1"), named_preview(JPEG[1], "p2")]
    result = result_of(messages)
    assert {name: [frame.data for frame in item.partials] for name, item in result.items.items()} == {
        "p1": [JPEG[0]],
        "p2": [JPEG[1]],
    }


def test_the_percent_of_the_node_that_runs_is_a_setting() -> None:
    assembler = Assembler()
    nodes = {"1": {"value": 1, "max": 1, "state": "finished"}, "3": {"value": 5, "max": 20, "state": "running"}}
    seen = []
    for message in (
        text("progress", value=1, max=20, prompt_id="p1"),
        text("progress_state", nodes=nodes, prompt_id="p1"),
    ):
        for event in comfyui_events([message]):
            assembler.feed(event)
        seen.append(assembler["p1"].settings["percent"])
    assert seen == [5, 25]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0\0\0\1",
        pack(">II", 9, 1) + JPEG[0],
        pack(">II", 4, 900) + b"{}",
        pack(">II", 4, 2) + b"{" + JPEG[0],
        "{",
    ],
)
def test_a_message_that_cannot_be_read_is_an_anomaly(message: str | bytes) -> None:
    assembler = Assembler()
    result = assemble(comfyui_events([*start(), message, preview(JPEG[0])], VIEW), assembler=assembler)
    assert len(result.items["p1"].partials) == 1
    assert [each.code for each in assembler.anomalies] == ["unreadable_event"]


@pytest.mark.parametrize(
    "message",
    [
        "[]",
        "7",
        '{"type": 3}',
        text("executed", prompt_id="p1"),
        text("executed", prompt_id="p1", output={"images": [1]}),
        text("progress_state", prompt_id="p1", nodes=[1]),
    ],
)
def test_unusual_messages_are_no_pictures(message: str) -> None:
    assert [item.latest for item in result_of([message], VIEW).items.values()] in ([], [None])


def test_a_socket_without_a_prompt_is_named() -> None:
    assert "comfyui.status" in str(result_of([text("status", status={})]).error)


MEMBERS = ("prompt_id", "node", "nodes", "output", "images", "filename", "type", "value", "max", "state", "node_id")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["p1", "p2", "temp", "running", "3"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), each, max_size=4),
    max_leaves=12,
)
TEXTS = st.builds(
    lambda kind, data: json.dumps({"type": kind, "data": data}),
    st.sampled_from(["executing", "progress", "progress_state", "executed", "execution_success", "execution_error"]),
    st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=5),
)
FRAMES = st.builds(
    lambda kind, facts, tail: pack(">II", kind, len(facts)) + facts + tail,
    st.sampled_from([1, 3, 4, 5]),
    VALUES.map(lambda facts: json.dumps(facts).encode()),
    st.binary(max_size=9) | st.just(shade(1)),
)


@given(st.lists(TEXTS | FRAMES | st.binary(max_size=12) | st.text(max_size=9), max_size=6))
def test_any_messages_give_events(messages: list[Any]) -> None:
    for view_url in (None, VIEW):
        assert result_of(messages, view_url).outcome


def test_an_async_socket_gives_the_same() -> None:
    messages: list[str | bytes] = [*start(), preview(JPEG[0]), named_preview(JPEG[1]), saved("p1", "a.png"), success()]

    async def socket() -> AsyncIterator[str | bytes]:
        for message in messages:
            yield message

    result = asyncio.run(aassemble(comfyui_events(socket(), VIEW)))
    assert result == result_of(messages, VIEW)


@pytest.mark.parametrize("messages", ["text", b"bytes", {}, 7])
def test_messages_are_an_iterable(messages: Any) -> None:
    with pytest.raises(UsageError):
        comfyui_events(messages)
