"""Saved items are read back as events, and a run that continues them ends with the files of a whole run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import samples

from imgassemble import Assembler, DirectorySink, Limits, SinkError, UsageError, assemble, open_events
from imgassemble.simulator.answers import Order, play
from imgassemble.storage.saved import saved_events
from imgassemble.storage.saved_items import read_items

ORDERS = {
    "one item": Order(size=(24, 16)),
    "two items": Order(size=(24, 16), items=2),
    "a draft": Order(size=(24, 16), dialect="openai-2025", faults=("no-final",)),
    "a failure": Order(size=(24, 16), faults=("error-nested",)),
    "another final": Order(size=(24, 16), faults=("final-unlike-partial",)),
}
EVENTS = {name: list(open_events(BytesIO(b"".join(play(order).body)))) for name, order in ORDERS.items()}


def files_in(folder: Path) -> dict[str, Any]:
    """Return the contents of every file below `folder`; item.json without the times."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            found[str(path.relative_to(folder))] = without_times(json.loads(data)) if path.suffix == ".json" else data
    return found


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(each) for name, each in value.items() if name != "received_at"}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def saved(events: Iterable[Any], folder: Path, **how: Any) -> None:
    assemble(events, sinks=[DirectorySink(folder, **how)])


def killed_after(events: list[Any], count: int, folder: Path) -> None:
    """Save the first events as a run that was killed: its sink is not closed, and the stream does not end."""
    assembler, sink = Assembler(), DirectorySink(folder)
    sink.open(assembler)
    assembler.subscribe(sink)
    for event in events[:count]:
        assembler.feed(event)


def continued_with(events: Iterable[Any], folder: Path) -> None:
    assemble(events, sinks=[DirectorySink(folder, existing="continue")])


@pytest.mark.parametrize("name", ORDERS)
def test_saved_items_are_read_back(name: str, tmp_path: Path) -> None:
    saved(EVENTS[name], tmp_path)
    once, again = assemble(EVENTS[name]), assemble(list(saved_events(tmp_path)))
    assert list(again.items) == list(once.items)
    for item_id, item in once.items.items():
        read = again.items[item_id]
        assert (read.state, read.partials, read.final, read.is_provisional) == (
            item.state, item.partials, item.final, item.is_provisional,
        )  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_a_replay_continues_a_run_that_was_killed_after_any_event(name: str, tmp_path: Path) -> None:
    saved(EVENTS[name], tmp_path / "whole")
    for count in range(len(EVENTS[name])):
        folder = tmp_path / str(count)
        killed_after(EVENTS[name], count, folder)
        continued_with(EVENTS[name], folder)
        assert files_in(folder) == files_in(tmp_path / "whole"), count


@pytest.mark.parametrize("name", ["one item", "two items", "another final"])
def test_the_rest_of_the_stream_continues_a_run_that_was_killed_after_any_event(name: str, tmp_path: Path) -> None:
    saved(EVENTS[name], tmp_path / "whole")
    for count in range(len(EVENTS[name])):
        folder = tmp_path / str(count)
        killed_after(EVENTS[name], count, folder)
        continued_with(EVENTS[name][count:], folder)
        assert files_in(folder) == files_in(tmp_path / "whole"), count


def test_temporary_files_of_the_killed_run_are_removed(tmp_path: Path) -> None:
    killed_after(EVENTS["one item"], 8, tmp_path)
    (item,) = tmp_path.iterdir()
    (item / ".imgassemble-0123456789abcdef.tmp").write_bytes(b"half")
    (item / "mine.txt").write_text("kept")
    continued_with(EVENTS["one item"], tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))
    assert (item / "mine.txt").read_text() == "kept"


def test_a_frame_that_was_changed_on_disk_is_written_again(tmp_path: Path) -> None:
    saved(EVENTS["one item"], tmp_path)
    before = files_in(tmp_path)
    (final,) = tmp_path.glob("*/final.png")
    final.write_bytes(b"changed")
    assemble(EVENTS["one item"], sinks=[DirectorySink(tmp_path, existing="continue")])
    assert files_in(tmp_path) == before


def test_files_of_an_earlier_run_are_refused_on_request(tmp_path: Path) -> None:
    killed_after(EVENTS["one item"], 8, tmp_path)
    with pytest.raises(SinkError, match="is in the way"):
        saved(EVENTS["one item"], tmp_path, existing="refuse")


def test_an_unknown_treatment_of_existing_files_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'beside', 'refuse', 'replace', 'continue'"):
        DirectorySink(tmp_path, existing="keep")  # type: ignore[arg-type]


HARD = {
    name: list(open_events(Path("fixtures", name)))
    for name in ("reused-item-ids.sse", "late-ids.sse", "lanes.jsonl", "agent-turns.sse", "retry.sse")
}


@pytest.mark.parametrize("name", HARD)
def test_a_replay_of_several_responses_continues_a_run_that_was_killed_after_any_event(
    name: str, tmp_path: Path
) -> None:
    saved(HARD[name], tmp_path / "whole", durable=False)
    for count in range(len(HARD[name]) + 1):
        folder = tmp_path / str(count)
        killed_after(HARD[name], count, folder)
        continued_with(HARD[name], folder)
        assert files_in(folder) == files_in(tmp_path / "whole"), count


def test_the_next_response_never_replaces_the_pictures_of_an_item_with_the_same_id(tmp_path: Path) -> None:
    events = HARD["reused-item-ids.sse"]
    saved(events, tmp_path / "whole")
    pictures = sorted(path.read_bytes() for path in (tmp_path / "whole").rglob("*.png"))
    for count in range(len(events) + 1):
        folder = tmp_path / str(count)
        killed_after(events, count, folder)
        before = {path: path.read_bytes() for path in folder.rglob("*.png")}
        continued_with(events[count:], folder)
        assert {path: path.read_bytes() for path in before} == before, count
        assert sorted(path.read_bytes() for path in folder.rglob("*.png")) == pictures, count


@pytest.mark.parametrize("api", ["images", "responses"])
def test_the_newest_of_several_runs_is_continued(api: Any, tmp_path: Path) -> None:
    order = Order(api=api, size=(24, 16), items=2)
    first, second = (list(open_events(BytesIO(b"".join(play(replace(order, seed=at)).body)))) for at in (1, 2))
    for events in (first, second):
        saved(events, tmp_path / "whole")
    begun = next(at for at, event in enumerate(second) if "partial_image" in str(event)[:99]) + 1
    for count in range(begun, len(second) + 1):
        folder = tmp_path / str(count)
        saved(first, folder, durable=False)
        killed_after(second, count, folder)
        continued_with(second, folder)
        assert files_in(folder) == files_in(tmp_path / "whole"), count


UNNAMED = {
    name: list(open_events(Path("fixtures", f"{name}.sse")))
    for name in ("images-several-completed", "chat-images", "openrouter-images", "images-edit")
}


def killed_and_continued_with(events: list[Any], count: int, rest: list[Any], folder: Path, keep: Any = "all") -> None:
    """Save `count` events as a run that was killed, and continue it with `rest`."""
    assembler, sink = Assembler(keep=keep), DirectorySink(folder, keep=keep)
    sink.open(assembler)
    assembler.subscribe(sink)
    for event in events[:count]:
        assembler.feed(event)
    sink = DirectorySink(folder, keep=keep, existing="continue")
    assemble(rest, sinks=[sink], assembler=Assembler(keep=keep))


@pytest.mark.parametrize("keep", ["all", "latest"])
@pytest.mark.parametrize("name", UNNAMED)
def test_images_without_ids_are_counted_on_by_a_replay_and_by_the_rest(name: str, keep: Any, tmp_path: Path) -> None:
    events = UNNAMED[name]
    assemble(events, assembler=Assembler(keep=keep), sinks=[DirectorySink(tmp_path / "whole", keep=keep)])
    for count in range(len(events)):
        for way, rest in (("replay", events), ("rest", events[count:])):
            folder = tmp_path / f"{way}-{count}"
            killed_and_continued_with(events, count, rest, folder, keep)
            assert files_in(folder) == files_in(tmp_path / "whole"), (way, count)


def image(kind: str, picture: bytes | None, number: int | None = None, **others: Any) -> samples.Wire:
    event = {"type": f"image_generation.{kind}", **others}
    event |= {} if picture is None else {"b64_json": samples.b64(picture)}
    return event if number is None else {**event, "sequence_number": number}


@pytest.mark.parametrize("rest", [slice(0, 4), slice(1, 4), slice(2, 4)], ids=["replay", "overlap", "rest"])
def test_equal_images_are_told_apart_by_their_sequence_numbers(rest: slice, tmp_path: Path) -> None:
    events = [image("completed", samples.png(3 + at % 2), at) for at in range(4)]  # two pairs of equal pictures
    killed_and_continued_with(events, 2, events[rest], tmp_path)
    found = [(tmp_path / f"image-{at}" / "final.png").read_bytes() for at in range(4)]
    assert found == [samples.png(3 + at % 2) for at in range(4)]


@pytest.mark.parametrize("rest", [slice(0, 3), slice(1, 3)], ids=["replay", "rest"])
def test_a_failed_image_without_an_id_is_counted(rest: slice, tmp_path: Path) -> None:
    failed = image("failed", None, error={"code": "moderation_blocked", "message": "no"})
    events = [failed, image("partial_image", samples.png(3), partial_image_index=0), image("completed", samples.png(4))]
    saved(events, tmp_path / "whole")
    killed_and_continued_with(events, 1, events[rest], tmp_path / "cut")
    assert files_in(tmp_path / "cut") == files_in(tmp_path / "whole")


def test_a_saved_result_is_never_replaced_with_the_picture_of_another_image(tmp_path: Path) -> None:
    first = [image("partial_image", samples.png(2), partial_image_index=0), image("completed", samples.png(3))]
    other = [first[0], image("completed", samples.png(4))]  # the same beginning, another result
    saved(first, tmp_path)
    before, assembler = files_in(tmp_path), Assembler()
    with pytest.raises(SinkError, match="holds another stream: the new one has another result for 'image-0'") as caught:
        assemble(other, sinks=[DirectorySink(tmp_path, existing="continue")], assembler=assembler)
    assert caught.value.path == str(tmp_path)
    assert files_in(tmp_path) == before
    finals = [item.final.data for item in assembler.items.values() if item.final]
    assert finals == [samples.png(3), samples.png(4)]


def test_a_preview_that_can_belong_to_two_images_is_skipped_with_an_anomaly(tmp_path: Path) -> None:
    previews = [image("partial_image", samples.png(2 + at), partial_image_index=at) for at in range(2)]
    events = [*previews, image("completed", samples.png(5))]
    assemble(events, assembler=Assembler(keep="latest"), sinks=[DirectorySink(tmp_path, keep="latest")])
    assembler = Assembler(keep="latest")
    late = image("partial_image", samples.png(9), partial_image_index=0)
    sink = DirectorySink(tmp_path, keep="latest", existing="continue")
    assemble([late], sinks=[sink], assembler=assembler)
    assert list(assembler.items) == ["image-0"]
    assert "skipped until a result shows which" in assembler.anomalies[0].message


def test_a_result_is_restored_with_the_strength_of_its_event(tmp_path: Path) -> None:
    kind = "response.image_generation_call.completed"
    events = [{"type": kind, "item_id": "q", "result": samples.b64(samples.png(at))} for at in (3, 4)]
    killed_and_continued_with(events, 1, events, tmp_path)
    assert (tmp_path / "q" / "final.png").read_bytes() == samples.png(4)


def test_a_picture_that_larger_limits_let_pass_is_read_back_and_its_folder_shared(tmp_path: Path) -> None:
    limits = Limits(max_frame_bytes=70 * 2**20)
    event = image("completed", samples.png() + bytes(65 * 2**20))
    for _ in range(2):
        assemble([event], sinks=[DirectorySink(tmp_path)], assembler=Assembler(limits=limits))
    assert [folder.name for folder in tmp_path.iterdir()] == ["image-0"]
    (again,) = assemble(list(saved_events(tmp_path)), assembler=Assembler(limits=limits)).items.values()
    assert again.require_final().data == samples.png() + bytes(65 * 2**20)


def test_the_facts_of_very_many_previews_are_read_back(tmp_path: Path) -> None:
    saved([samples.partial("ig_1", 0, samples.png())], tmp_path)
    path = tmp_path / "ig_1" / "item.json"
    facts = json.loads(path.read_bytes())
    first = facts["partials"][0]
    facts["partials"] = [{**first, "file": f"partial-{index:03d}.png", "index": index} for index in range(20_000)]
    path.write_bytes(json.dumps(facts).encode())
    (item,) = read_items(tmp_path)
    assert len(item.frames) == 20_000


def test_a_provisional_final_is_restored(tmp_path: Path) -> None:
    events = [samples.partial("ig_1", 0), samples.call("completed", "ig_1")]
    saved(events, tmp_path / "whole")
    killed_and_continued_with(events, 2, [], tmp_path / "cut")
    assert files_in(tmp_path / "cut") == files_in(tmp_path / "whole")


def test_the_url_of_a_picture_is_restored(tmp_path: Path) -> None:
    events = [samples.partial("ig_1", 0), samples.done("ig_1", "https://example.com/otter.png")]
    saved(events, tmp_path / "whole")
    killed_and_continued_with(events, 2, [], tmp_path / "cut")
    assert files_in(tmp_path / "cut") == files_in(tmp_path / "whole")


FRAME = {
    "file": "partial-000.png", "index": 0, "is_final": False, "sequence_number": None, "event_type": "",
    "format": "PNG", "size": [1, 1], "bytes": 1, "sha256": "", "received_at": "",
}  # fmt: skip


@pytest.mark.parametrize("rest", [slice(0, 3), slice(2, 3)], ids=["replay", "rest"])
def test_anomalies_from_before_the_kill_are_kept(rest: slice, tmp_path: Path) -> None:
    events = [
        samples.partial("ig_1", 0, partial_image_b64="!!"),
        samples.partial("ig_1", 1),
        samples.done("ig_1", samples.png(3)),
    ]
    saved(events, tmp_path / "whole")
    killed_and_continued_with(events, 2, events[rest], tmp_path / "cut")
    assert files_in(tmp_path / "cut") == files_in(tmp_path / "whole")


NO_INDICES: list[Any] = ["0", None, float("nan"), -1, 1e400, []]
DAMAGED: list[dict[str, Any]] = [
    {"partials": 5, "final": "x"},
    {"partials": {"a": 1}, "final": []},
    {"partials": [FRAME | {"file": 7}, FRAME | {"file": []}, [FRAME], None]},
    {"partials": [{"file": "partial-000.png"}], "final": {"file": "final.png"}},
    {"partials": [FRAME | {"index": index} for index in NO_INDICES]},
    {"partials": [FRAME | {"is_final": True}, FRAME | {"file": "final.png"}], "final": FRAME | {"index": None}},
    {"partials": [FRAME | {"size": [[[]]]}, FRAME | {"bytes": 10**400}, FRAME | {"sequence_number": "one"}]},
    {"state": ["failed"], "error": 5, "usage": "x", "output_index": [], "revised_prompt": {}, "is_provisional": "yes"},
    {"state": "failed", "error": {"details": [1]}, "anomalies": 5},
    {"url": 5},
    {"anomalies": [{"code": [], "message": 5}, 7, {"code": "x"}]},
]


@pytest.mark.parametrize("facts", DAMAGED, ids=str)
def test_an_item_is_saved_beside_any_damaged_item_json(facts: dict[str, Any], tmp_path: Path) -> None:
    events = [samples.partial("ig_1", 0, samples.png(3)), samples.done("ig_1", samples.png(4))]
    (tmp_path / "ig_1").mkdir()
    (tmp_path / "ig_1" / "partial-000.png").write_bytes(samples.png(3))
    (tmp_path / "ig_1" / "item.json").write_text(json.dumps({"id": "ig_1", **facts}))
    continued_with(events, tmp_path)
    assert (tmp_path / "ig_1" / "final.png").read_bytes() == samples.png(4)
    written = json.loads((tmp_path / "ig_1" / "item.json").read_text(), parse_constant=pytest.fail)
    assert [frame["file"] for frame in written["partials"]] == ["partial-000.png"]
    assert written["final"]["file"] == "final.png"


def test_a_pipe_with_the_name_of_a_frame_is_never_replaced_and_reported(tmp_path: Path) -> None:
    saved(EVENTS["one item"], tmp_path)
    (final,) = tmp_path.glob("*/final.png")
    final.unlink()
    os.mkfifo(final)
    with pytest.raises(SinkError, match="a device, a pipe or a socket") as caught:
        continued_with(EVENTS["one item"], tmp_path)
    assert caught.value.path == str(final)
    assert final.is_fifo()


def test_a_pipe_with_the_name_of_the_facts_does_not_block_the_end(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    os.mkfifo(tmp_path / "other" / "item.json")
    left_over = tmp_path / "other" / ".imgassemble-0123456789abcdef.tmp"
    left_over.touch()
    continued_with(EVENTS["one item"], tmp_path)
    assert not left_over.exists()


@pytest.mark.parametrize("existing", ["continue", "replace"])
def test_temporary_files_are_removed_from_every_item_folder(existing: Any, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    left_over = tmp_path / "another" / ".imgassemble-0123456789abcdef.tmp"
    left_over.write_bytes(b"half")
    saved(EVENTS["one item"], tmp_path, existing=existing)
    assert not left_over.exists()


def test_temporary_files_of_a_live_run_stay(tmp_path: Path) -> None:
    saved(EVENTS["one item"], tmp_path)
    (item,) = tmp_path.iterdir()
    its_own = item / ".imgassemble-0123456789abcdef.tmp"
    its_own.write_bytes(b"half")

    def stream() -> Iterator[Any]:
        its_own.rename(item / "theirs.png")
        (item / ".imgassemble-fedcba9876543210.tmp").write_bytes(b"half")
        yield from EVENTS["one item"]

    continued_with(stream(), tmp_path)
    assert (item / "theirs.png").exists()
    assert (item / ".imgassemble-fedcba9876543210.tmp").exists()


@pytest.mark.parametrize("existing", ["continue", "replace"])
def test_a_temporary_file_that_cannot_be_removed_is_an_error_at_the_end(existing: Any, tmp_path: Path) -> None:
    in_the_way = tmp_path / "x" / ".imgassemble-a.tmp"
    in_the_way.mkdir(parents=True)
    with pytest.raises(SinkError) as caught:
        saved(EVENTS["one item"], tmp_path, existing=existing)
    assert caught.value.path == str(in_the_way)
    assert len(list(tmp_path.glob("*/final.png"))) == 1


def test_links_and_unknown_facts_are_skipped(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    saved(EVENTS["one item"], outside)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(next(outside.iterdir()))
    for name, facts in (("a", "[]"), ("b", "{"), ("c", '{"id": 7}'), ("d", "[" * 100_000)):
        (folder / name).mkdir()
        (folder / name / "item.json").write_text(facts)
    assert list(saved_events(folder)) == []


def test_a_discarded_item_stays_on_disk(tmp_path: Path) -> None:
    assembler = Assembler()
    sink = DirectorySink(tmp_path)
    sink.open(assembler)
    assembler.subscribe(sink)
    for event in EVENTS["one item"]:
        assembler.feed(event)
    assembler.discard(next(iter(assembler.items)))
    assembler.close()
    sink.close()
    assert len(list(tmp_path.glob("*/final.png"))) == 1


def test_the_images_of_a_saved_response_come_in_the_order_of_its_output(tmp_path: Path) -> None:
    events = [
        samples.created(),
        samples.done("ig_z", samples.png(2, 2), output_index=0),
        samples.done("ig_a", samples.png(3, 3), output_index=1),
        samples.snapshot("completed"),
    ]
    assemble(events, sinks=[DirectorySink(tmp_path)])
    assert list(assemble(saved_events(tmp_path)).items) == ["ig_z", "ig_a"]
