"""While previews arrive, item.json is not replaced: lines in a hidden file beside it have the new facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import samples

from imgassemble import Assembler, DirectorySink, SinkError, assemble
from imgassemble.storage.additions import additions_to
from imgassemble.storage.saved import read_facts, read_items

PREVIEWS = [samples.partial("ig_1", at, samples.shade(at), seq=at) for at in range(3)]


def killed_after(events: list[samples.Wire], folder: Path, **options: Any) -> None:
    """Save `events` as a run that is killed then."""
    assembler, sink = Assembler(), DirectorySink(folder, **options)
    sink.open(assembler)
    assembler.subscribe(sink)
    for event in events:
        assembler.feed(event)


def lines_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/.imgassemble-*.tmp"))


def numbers_in(folder: Path) -> list[float]:
    (item,) = read_items(folder)
    return [frame["sequence_number"] for frame in item.frames.values()]


def test_previews_do_not_replace_item_json(tmp_path: Path) -> None:
    killed_after(PREVIEWS[:1], tmp_path)
    before = (tmp_path / "ig_1" / "item.json").stat()
    killed_after(PREVIEWS, tmp_path / "more")
    first = json.loads((tmp_path / "more" / "ig_1" / "item.json").read_text())
    assert [frame["file"] for frame in first["partials"]] == ["partial-000.png"]
    assert before.st_size == (tmp_path / "more" / "ig_1" / "item.json").stat().st_size
    assert numbers_in(tmp_path / "more") == [0, 1, 2]


def test_the_end_of_an_item_replaces_item_json_and_removes_the_lines(tmp_path: Path) -> None:
    killed_after(PREVIEWS, tmp_path)
    assert len(lines_in(tmp_path)) == 1
    assemble([*PREVIEWS, samples.done("ig_1")], sinks=[DirectorySink(tmp_path, existing="continue")])
    assert lines_in(tmp_path) == []
    facts = json.loads((tmp_path / "ig_1" / "item.json").read_text())
    assert [frame["sequence_number"] for frame in facts["partials"]] == [0, 1, 2]


def test_a_provisional_final_is_in_the_lines(tmp_path: Path) -> None:
    killed_after([*PREVIEWS, samples.call("completed", "ig_1")], tmp_path)
    facts = read_facts(tmp_path / "ig_1" / "item.json")
    assert (facts["state"], facts["is_provisional"], facts["final"]["index"]) == ("completed", True, 2)
    assert len(facts["partials"]) == 3


def test_lines_that_belong_to_another_item_json_are_not_read(tmp_path: Path) -> None:
    killed_after(PREVIEWS, tmp_path)
    facts = tmp_path / "ig_1" / "item.json"
    facts.write_bytes(facts.read_bytes() + b" ")
    assert numbers_in(tmp_path) == [0]


@pytest.mark.parametrize("damage", [b'{"partials": [{"fi', b"[]\n", b"\0" * 99, b'{"partials": 3}\n', b"[" * 99_999])
def test_a_damaged_line_is_skipped(damage: bytes, tmp_path: Path) -> None:
    killed_after(PREVIEWS, tmp_path)
    (lines,) = lines_in(tmp_path)
    lines.write_bytes(damage + b"\n" + lines.read_bytes())
    assert numbers_in(tmp_path) == [0, 1, 2]


def test_another_run_does_not_remove_the_lines_of_a_killed_one(tmp_path: Path) -> None:
    killed_after(PREVIEWS, tmp_path)
    assemble([samples.done("ig_2")], sinks=[DirectorySink(tmp_path, existing="replace")])
    assert len(lines_in(tmp_path)) == 1


def test_a_run_that_replaces_a_killed_one_removes_its_lines(tmp_path: Path) -> None:
    killed_after(PREVIEWS, tmp_path)
    assemble([samples.done("ig_1")], sinks=[DirectorySink(tmp_path, existing="replace")])
    assert lines_in(tmp_path) == []


def test_a_link_in_the_place_of_the_lines_is_not_followed(tmp_path: Path) -> None:
    out, target = tmp_path / "out", tmp_path / "target"
    killed_after(PREVIEWS[:1], out)
    assembler, sink = Assembler(), DirectorySink(out, existing="continue")
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.feed(PREVIEWS[0])
    facts = out / "ig_1" / "item.json"
    additions_to(facts, facts.read_bytes()).symlink_to(target)
    assembler.feed(PREVIEWS[1])
    assembler.close()
    with pytest.raises(SinkError, match="cannot write"):
        sink.close()
    assert not target.exists()
