"""While previews arrive, item.json is not replaced: lines in a hidden file beside it have the new facts."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
import samples

from imgassemble import Assembler, DirectorySink, SinkError, assemble
from imgassemble.storage.additions import additions_to
from imgassemble.storage.item_json import read_facts
from imgassemble.storage.saved_items import read_items

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


# ---- previews have no digests in item.json


def described_by_an_earlier_version(folder: Path) -> list[Path]:
    """Save previews with their digests, as earlier versions did. Return the files of the previews."""
    assemble([*PREVIEWS, samples.done("ig_1", samples.png(9), seq=3)], sinks=[DirectorySink(folder)])
    path = folder / "ig_1" / "item.json"
    facts = json.loads(path.read_text())
    for frame in facts["partials"]:
        frame["sha256"] = sha256((folder / "ig_1" / frame["file"]).read_bytes()).hexdigest()
    path.write_text(json.dumps(facts, indent=2))
    return [folder / "ig_1" / frame["file"] for frame in facts["partials"]]


@pytest.mark.parametrize("rest", [PREVIEWS, []], ids=["replay", "rest"])
def test_a_folder_of_an_earlier_version_is_continued(rest: list[samples.Wire], tmp_path: Path) -> None:
    files = described_by_an_earlier_version(tmp_path)
    before = [path.stat().st_ino for path in files]
    assemble([*rest, samples.done("ig_1", samples.png(9), seq=3)], sinks=[DirectorySink(tmp_path, existing="continue")])
    assert [path.stat().st_ino for path in files] == before
    facts = json.loads((tmp_path / "ig_1" / "item.json").read_text())
    assert [frame["sequence_number"] for frame in facts["partials"]] == [0, 1, 2]


def test_a_preview_is_compared_with_the_digest_of_an_earlier_version(tmp_path: Path) -> None:
    files = described_by_an_earlier_version(tmp_path)
    files[1].write_bytes(samples.shade(7))
    assert files[1].stat().st_size == files[2].stat().st_size
    assemble(PREVIEWS, sinks=[DirectorySink(tmp_path, existing="continue")])
    assert files[1].read_bytes() == samples.shade(1)


def test_a_preview_of_another_size_is_not_the_described_one(tmp_path: Path) -> None:
    killed_after(PREVIEWS, tmp_path)
    (tmp_path / "ig_1" / "partial-001.png").write_bytes(samples.png(7))
    assemble(PREVIEWS, sinks=[DirectorySink(tmp_path, existing="continue")])
    assert (tmp_path / "ig_1" / "partial-001.png").read_bytes() == samples.shade(1)


def test_a_preview_that_is_replaced_by_one_of_the_same_size_is_written(tmp_path: Path) -> None:
    another = samples.partial("ig_1", 0, samples.shade(7), seq=5)
    assemble([*PREVIEWS, another], sinks=[DirectorySink(tmp_path)])
    written = (tmp_path / "ig_1" / "partial-000.png").read_bytes()
    (item,) = assemble([*PREVIEWS, another]).items.values()
    assert written == item.partials[0].data


def test_two_runs_share_a_folder_only_if_their_previews_are_equal(tmp_path: Path) -> None:
    assemble(PREVIEWS, sinks=[DirectorySink(tmp_path)])
    assemble(PREVIEWS, sinks=[DirectorySink(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["ig_1"]
    assemble([*PREVIEWS[:2], samples.partial("ig_1", 2, samples.shade(7), seq=2)], sinks=[DirectorySink(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ig_1", "ig_1-2"]
    assert len(list((tmp_path / "ig_1-2").glob("partial-*"))) == 3


def test_previews_are_written_again_if_their_folder_is_removed(tmp_path: Path) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path)
    sink.open(assembler)
    assembler.subscribe(sink)
    for event in PREVIEWS[:2]:
        assembler.feed(event)
    rmtree(tmp_path / "ig_1")
    assembler.feed(PREVIEWS[2])
    assert len(list((tmp_path / "ig_1").glob("partial-*"))) == 3
    assert numbers_in(tmp_path) == [0, 1, 2]


def test_a_prompt_with_a_lone_surrogate_is_written(tmp_path: Path) -> None:
    assemble(PREVIEWS, sinks=[DirectorySink(tmp_path, facts={"prompt": "\ud83e"})])
    assert read_facts(tmp_path / "ig_1" / "item.json")["facts"] == {"prompt": "\ud83e"}
