"""A stream continues a run that was saved before: it is joined by ids, by counting, or refused as another stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import samples

from imgassemble import Assembler, DirectorySink, FrameAdded, SinkError, aassemble, assemble, saved_events


def continue_run(events: list[Any], folder: Path, **options: Any) -> Assembler:
    assembler = Assembler()
    assemble(events, sinks=[DirectorySink(folder, existing="continue", **options)], assembler=assembler)
    return assembler


def save(events: list[Any], folder: Path) -> None:
    assemble(events, sinks=[DirectorySink(folder)])


def change_facts(item_folder: Path, **facts: Any) -> None:
    path = item_folder / "item.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def pictures_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def completed(picture: bytes, number: int | None = None) -> samples.Wire:
    event = {"type": "image_generation.completed", "b64_json": samples.b64(picture)}
    return event if number is None else {**event, "sequence_number": number}


def begin(response_id: str, **others: Any) -> samples.Wire:
    return {"type": "response.created", "response": {"id": response_id, **others}}


# ---- the events of the earlier run


def test_listeners_receive_the_saved_frames_before_those_of_the_stream(tmp_path: Path) -> None:
    save([samples.partial("ig_1", 0)], tmp_path)
    seen: list[Any] = []
    sink = DirectorySink(tmp_path, existing="continue")
    assemble([samples.partial("ig_1", 1)], sinks=[sink], on_update=seen.append)
    assert [update.frame.index for update in seen if isinstance(update, FrameAdded)] == [0, 1]


def test_the_async_driver_continues_a_run_too(tmp_path: Path) -> None:
    save([completed(samples.png(1))], tmp_path)
    seen: list[Any] = []

    async def stream() -> AsyncIterator[Any]:
        yield completed(samples.png(1))
        yield completed(samples.png(2))

    sink = DirectorySink(tmp_path, existing="continue")
    result = asyncio.run(aassemble(stream(), sinks=[sink], on_update=seen.append))
    assert list(result.items) == ["image-0", "image-1"]
    assert seen[0].item_id == "image-0"
    assert pictures_in(tmp_path) == {"image-0/final.png": samples.png(1), "image-1/final.png": samples.png(2)}


def test_a_sink_that_is_opened_again_gives_the_saved_events_once(tmp_path: Path) -> None:
    save([completed(samples.png(1))], tmp_path)
    assembler, sink = Assembler(), DirectorySink(tmp_path, existing="continue")
    sink.open(assembler)
    assert len(list(sink.saved_events())) == 1
    sink.open(assembler)
    assert list(sink.saved_events()) == []


# ---- images without ids


@pytest.mark.parametrize("n_saved", [1, 2, 3])
@pytest.mark.parametrize("way", ["replay", "rest"])
def test_the_images_of_one_answer_are_counted_on(n_saved: int, way: str, tmp_path: Path) -> None:
    pictures = [samples.png(1 + at) for at in range(4)]
    data = [{"b64_json": samples.b64(picture)} for picture in pictures]
    save([{"created": 1, "data": data[:n_saved]}], tmp_path)
    continue_run([{"created": 1, "data": data if way == "replay" else data[n_saved:]}], tmp_path)
    assert pictures_in(tmp_path) == {f"image-{at}/final.png": each for at, each in enumerate(pictures)}


@pytest.mark.parametrize("form", ["text", "bytes", "object"])
def test_events_of_each_form_are_numbered(form: str, tmp_path: Path) -> None:
    forms: dict[str, Any] = {
        "text": json.dumps, "bytes": lambda event: json.dumps(event).encode(), "object": lambda e: SimpleNamespace(**e),
    }  # fmt: skip
    events = [completed(samples.png(1)), completed(samples.png(2)), completed(samples.png(3))]
    save(events[:2], tmp_path)
    chunks = ["[DONE]", "{", *(forms[form](event) for event in events)]
    assembler = Assembler()
    sink = DirectorySink(tmp_path, existing="continue")
    sink.open(assembler)
    assembler.subscribe(sink)
    for event in sink.saved_events():
        assembler.feed(event)
    for event in chunks:
        assembler.feed(sink.join(event))
    assembler.close()
    sink.close()
    assert pictures_in(tmp_path) == {f"image-{at}/final.png": samples.png(1 + at) for at in range(3)}


def test_events_that_all_have_one_number_lose_no_image(tmp_path: Path) -> None:
    save([completed(samples.png(1), 0)], tmp_path)
    continue_run([completed(samples.png(2), 0)], tmp_path)
    assert len(pictures_in(tmp_path)) == 2


def test_a_run_that_kept_results_only_does_not_take_a_repeated_preview_for_the_next_image(tmp_path: Path) -> None:
    preview = {
        "type": "image_generation.partial_image",
        "partial_image_index": 0,
        "b64_json": samples.b64(samples.png(9)),
    }
    events = [preview, completed(samples.png(1)), completed(samples.png(2))]
    assemble(events[:2], sinks=[DirectorySink(tmp_path, keep="final")])
    assembler = continue_run(events, tmp_path, keep="final")
    assert list(assembler.items) == ["image-0", "image-1"]
    assert pictures_in(tmp_path) == {"image-0/final.png": samples.png(1), "image-1/final.png": samples.png(2)}


# ---- another stream


def test_a_stream_of_another_response_is_refused_and_its_result_is_returned(tmp_path: Path) -> None:
    save([samples.partial("ig_1", 0)], tmp_path)
    change_facts(tmp_path / "ig_1", response_id="resp_1")
    before, assembler = pictures_in(tmp_path), Assembler()
    with pytest.raises(SinkError, match="belong to the response 'resp_2', and the saved ones to 'resp_1'"):
        assemble(
            [begin("resp_2"), samples.done("ig_2", samples.png(2))],
            sinks=[DirectorySink(tmp_path, existing="continue")],
            assembler=assembler,
        )
    assert pictures_in(tmp_path) == before
    assert assembler["ig_2"].final


@pytest.mark.parametrize(
    "beginning",
    [
        [begin("resp_1")],
        [begin("resp_0"), begin("resp_1")],
        [begin("resp_2", previous_response_id="resp_1")],
        [begin("resp_1"), begin("resp_2")],
        [],
    ],
    ids=["the same", "one without images first", "its successor", "another one behind it", "the middle"],
)
def test_a_stream_that_can_be_the_same_is_continued(beginning: list[Any], tmp_path: Path) -> None:
    save([samples.partial("ig_1", 0)], tmp_path)
    change_facts(tmp_path / "ig_1", response_id="resp_1")
    continue_run([*beginning, samples.done("ig_2", samples.png(2))], tmp_path)
    assert pictures_in(tmp_path)["ig_2/final.png"] == samples.png(2)


def test_a_stream_that_brings_a_saved_item_is_the_same_one(tmp_path: Path) -> None:
    save([samples.partial("ig_1", 0)], tmp_path)
    change_facts(tmp_path / "ig_1", response_id="resp_1")
    continue_run([begin("resp_x"), samples.done("ig_1", samples.png(2))], tmp_path)
    assert pictures_in(tmp_path)["ig_1/final.png"] == samples.png(2)


def test_another_result_under_the_number_of_a_saved_one_is_of_another_stream(tmp_path: Path) -> None:
    save([completed(samples.png(1), 0), completed(samples.png(2), 1)], tmp_path)
    before = pictures_in(tmp_path)
    with pytest.raises(SinkError, match="another stream"):
        continue_run([completed(samples.png(8), 0), completed(samples.png(9), 1)], tmp_path)
    assert pictures_in(tmp_path) == before


# ---- several responses


def test_the_items_of_several_responses_are_given_with_the_ids_of_the_service(tmp_path: Path) -> None:
    save([samples.done("ig_1", samples.png(1)), samples.done("ig_1@resp_2", samples.png(2))], tmp_path)
    first, second = sorted(tmp_path.iterdir(), key=lambda folder: folder.name == "ig_1", reverse=True)
    change_facts(first, response_id="resp_1")
    change_facts(second, response_id="resp_2", wire_id="ig_1")
    told = [
        (event["type"].removeprefix("response."), event.get("response_id") or event["response"]["id"],
         event.get("item", {}).get("id"))
        for event in saved_events(tmp_path)
    ]  # fmt: skip
    assert told == [
        ("created", "resp_1", None),
        ("output_item.done", "resp_1", "ig_1"),
        ("completed", "resp_1", None),
        ("created", "resp_2", None),
        ("output_item.done", "resp_2", "ig_1"),
    ]


def test_an_item_that_the_service_named_by_its_place_only_is_given_without_an_id(tmp_path: Path) -> None:
    save([samples.done("output-2", samples.png(1), output_index=2)], tmp_path)
    change_facts(tmp_path / "output-2", response_id="resp_1", wire_id=None)
    done = list(saved_events(tmp_path))[-1]
    assert (done["output_index"], done["item"]["id"]) == (2, None)


def test_events_are_joined_to_the_response_that_began_before_them(tmp_path: Path) -> None:
    save([samples.done("ig_1", samples.png(1)), samples.done("ig_2", samples.png(2))], tmp_path)
    for number in (1, 2):
        change_facts(tmp_path / f"ig_{number}", response_id=f"resp_{number}")
    sink, assembler = DirectorySink(tmp_path, existing="continue"), Assembler()
    sink.open(assembler)
    for event in sink.saved_events():
        assembler.feed(event)
    stream = [
        begin("resp_1"), samples.call("generating", "ig_1"), begin("resp_2"), samples.call("generating", "ig_2"),
        begin("resp_3"), samples.call("generating", "ig_1"), {"type": "ping"},
    ]  # fmt: skip
    joined: list[Any] = [sink.join(event) for event in stream]
    assert [event.get("response_id") for event in joined] == [None, "resp_1", None, None, None, "resp_3", None]


def test_an_item_of_the_second_response_without_a_picture_is_continued_in_that_response(tmp_path: Path) -> None:
    first = [begin("r1"), samples.done("ig_1", samples.png(1), seq=7), samples.snapshot("completed", seq=8)]
    second = [begin("r2"), samples.added("ig_2", seq=1)]
    rest = [samples.partial("ig_2", 0, samples.png(2), seq=2), samples.done("ig_2", samples.png(3), seq=3)]
    member = samples.member("ig_2", samples.png(3))
    end = {"type": "response.completed", "response": {"id": "r2", "output": [member]}, "sequence_number": 4}
    save([*of_id("r1", first), *second], tmp_path)
    items = continue_run([*rest, end], tmp_path).items
    assert {name: item.response_id for name, item in items.items()} == {"ig_1": "r1", "ig_2": "r2"}
    assert sorted(pictures_in(tmp_path)) == ["ig_1/final.png", "ig_2/final.png", "ig_2/partial-000.png"]


def of_id(response_id: str, events: list[samples.Wire]) -> list[samples.Wire]:
    return [
        {**event, "response": {**event["response"], "id": response_id}} if "response" in event else event
        for event in events
    ]


@pytest.mark.parametrize("cut", range(2, 5))
@pytest.mark.parametrize("is_from_start", [False, True])
def test_an_image_that_got_its_id_late_is_continued(cut: int, is_from_start: bool, tmp_path: Path) -> None:
    drafts = [samples.image_partial(at, samples.shade(at)) for at in range(2)]
    member = samples.member("ig_1", samples.png(3))
    result = samples.done("ig_1", samples.png(3))
    events = [begin("r1"), *drafts, result, *of_id("r1", [samples.snapshot("completed", [member])])]
    save(events[:cut], tmp_path)
    (item,) = continue_run(events if is_from_start else events[cut:], tmp_path).items.values()
    assert (len(item.partials), item.require_final().data) == (2, samples.png(3))
    assert sorted(pictures_in(tmp_path)) == [f"image-0/{name}.png" for name in ("final", "partial-000", "partial-001")]


def test_a_failed_image_without_a_picture_keeps_the_folders_of_the_others_in_each_further_run(tmp_path: Path) -> None:
    failed = {"type": "image_generation.partial_failed", "image_index": 0, "error": {"code": "c", "message": "no"}}
    made = {"type": "image_generation.partial_succeeded", "image_index": 1, "b64_json": samples.b64(samples.png(1))}
    save([failed, made], tmp_path)
    facts = tmp_path / "image-0" / "item.json"
    written_at = facts.stat().st_mtime_ns
    for _ in range(2):
        continue_run([failed, made], tmp_path)
    assert facts.stat().st_mtime_ns == written_at
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image-0", "image-1"]


def test_drafts_that_replaced_each_other_are_not_taken_for_those_of_the_next_image(tmp_path: Path) -> None:
    drafts = [samples.image_partial(0, samples.shade(at)) for at in range(2)]  # of two images that are made together
    events = [*drafts, completed(samples.png(1)), completed(samples.png(2))]
    save(events, tmp_path)
    assert list(continue_run(events, tmp_path).items) == ["image-0", "image-1"]


@pytest.mark.parametrize("numbers", [(0, 1, 2), (0, 0, 0)])
def test_events_that_come_twice_are_counted_once(numbers: tuple[int, ...], tmp_path: Path) -> None:
    events = [completed(samples.png(width), number) for width, number in zip((1, 2, 3), numbers, strict=True)]
    save(events[:2], tmp_path)
    continue_run([event for event in events for _ in range(2)], tmp_path)
    assert pictures_in(tmp_path) == {f"image-{at}/final.png": samples.png(at + 1) for at in range(3)}


@pytest.mark.parametrize("end", ["failed", "incomplete"])
def test_a_run_that_is_continued_from_its_start_has_the_same_last_response(end: str, tmp_path: Path) -> None:
    def response(response_id: str, *events: samples.Wire) -> list[samples.Wire]:
        return [begin(response_id), *({**event, "response_id": response_id} for event in events)]

    error = [samples.error(seq=1)] if end == "failed" else []  # without an id it concerns the responses that are open
    first = [*response("r1"), *error, *response("r1", *of_id("r1", [samples.snapshot(end, seq=2)]))[1:]]
    second = response("r2", samples.done("ig_2", samples.png(2)), *of_id("r2", [samples.snapshot("completed")]))
    save([*first, *second], tmp_path)
    assembler = continue_run([*first, *second], tmp_path)
    assert assembler.outcome == "completed"
    assert assembler.result is not None
    assert [response.id for response in assembler.result.responses] == ["r1", "r2"]
