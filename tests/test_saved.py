"""What a sink wrote is read back; and a run that goes on with it ends with the files of one that was never cut."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from imgassemble import Assembler, DirectorySink, SinkError, UsageError, assemble, open_events
from imgassemble.saved import saved_events
from imgassemble.simulator.orders import Order, play

ORDERS = {
    "one item": Order(size=(24, 16)),
    "two items": Order(size=(24, 16), items=2),
    "a draft": Order(size=(24, 16), dialect="openai-2025", faults=("no-final",)),
    "a failure": Order(size=(24, 16), faults=("error-nested",)),
    "another final": Order(size=(24, 16), faults=("final-unlike-partial",)),
}
EVENTS = {name: list(open_events(BytesIO(b"".join(play(order).body)))) for name, order in ORDERS.items()}


def files_in(folder: Path) -> dict[str, Any]:
    """Every file below `folder`; of the facts all but the times."""
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
    """A run that was killed: its sink was never closed, and the stream never ended."""
    assembler, sink = Assembler(), DirectorySink(folder)
    sink.open(assembler)
    assembler.subscribe(sink)
    for event in events[:count]:
        assembler.feed(event)


def gone_on_with(events: Iterable[Any], folder: Path) -> None:
    assembler = Assembler()
    for event in saved_events(folder, is_to_go_on=True):
        assembler.feed(event)
    assemble(events, sinks=[DirectorySink(folder, resume=True)], assembler=assembler)


@pytest.mark.parametrize("name", ORDERS)
def test_what_was_saved_is_read_back(name: str, tmp_path: Path) -> None:
    saved(EVENTS[name], tmp_path)
    once, again = assemble(EVENTS[name]), assemble(list(saved_events(tmp_path)))
    assert list(again.items) == sorted(once.items)
    for item_id, item in once.items.items():
        read = again.items[item_id]
        assert (read.state, read.partials, read.final, read.is_provisional) == (
            item.state, item.partials, item.final, item.is_provisional,
        )  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_a_run_that_was_killed_behind_any_event_is_gone_on_with_by_a_replay(name: str, tmp_path: Path) -> None:
    saved(EVENTS[name], tmp_path / "whole")
    for count in range(len(EVENTS[name])):
        folder = tmp_path / str(count)
        killed_after(EVENTS[name], count, folder)
        gone_on_with(EVENTS[name], folder)
        assert files_in(folder) == files_in(tmp_path / "whole"), count


@pytest.mark.parametrize("name", ["one item", "two items", "another final"])
def test_or_by_what_was_still_to_come(name: str, tmp_path: Path) -> None:
    saved(EVENTS[name], tmp_path / "whole")
    for count in range(len(EVENTS[name])):
        folder = tmp_path / str(count)
        killed_after(EVENTS[name], count, folder)
        gone_on_with(EVENTS[name][count:], folder)
        assert files_in(folder) == files_in(tmp_path / "whole"), count


def test_temporary_files_of_the_run_that_was_killed_go(tmp_path: Path) -> None:
    killed_after(EVENTS["one item"], 8, tmp_path)
    (item,) = tmp_path.iterdir()
    (item / ".imgassemble-0123456789abcdef.tmp").write_bytes(b"half")
    (item / "mine.txt").write_text("kept")
    gone_on_with(EVENTS["one item"], tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))
    assert (item / "mine.txt").read_text() == "kept"


def test_a_frame_that_was_changed_since_is_written_anew(tmp_path: Path) -> None:
    saved(EVENTS["one item"], tmp_path)
    before = files_in(tmp_path)
    (final,) = tmp_path.glob("*/final.png")
    final.write_bytes(b"somebody's")
    assemble(EVENTS["one item"], sinks=[DirectorySink(tmp_path, resume=True)])
    assert files_in(tmp_path) == before


def test_without_resume_what_stands_there_is_in_the_way(tmp_path: Path) -> None:
    killed_after(EVENTS["one item"], 8, tmp_path)
    with pytest.raises(SinkError, match="is in the way"):
        saved(EVENTS["one item"], tmp_path)


def test_overwrite_and_resume_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose one"):
        DirectorySink(tmp_path, overwrite=True, resume=True)


def test_links_and_others_facts_are_passed_over(tmp_path: Path) -> None:
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
