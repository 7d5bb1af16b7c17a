"""Each fixture gives the result in fixtures/expected.json, through the library and the command."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from imgassemble import (
    Assembler,
    FinalReady,
    FinalWithdrawn,
    ItemEnded,
    Result,
    Update,
    assemble,
    open_events,
)
from imgassemble.assembly import KeyBy
from imgassemble.cli.main import main
from imgassemble.storage.folder_names import folder_name

ROOT = Path(__file__).parents[2] / "fixtures"
EXPECTED: dict[str, dict[str, Any]] = json.loads((ROOT / "expected.json").read_text())
every_fixture = pytest.mark.parametrize("name", sorted(EXPECTED))


def _assembler(name: str) -> Assembler:
    return Assembler(key_by=cast(KeyBy, EXPECTED[name]["key_by"]))


def _assembled(name: str, stream: Any = None) -> tuple[Result, list[Update], int]:
    assembler, told = _assembler(name), list[Update]()
    result = assemble(stream or open_events(ROOT / name), on_update=told.append, assembler=assembler)
    anomalies = len(assembler.anomalies) + sum(len(item.anomalies) for item in result.items.values())
    return result, told, anomalies


def _facts(result: Result) -> dict[str, Any]:
    return {
        item.id: {
            "state": str(item.state),
            "partials": len(item.partials),
            "partial_indices": [frame.index for frame in item.partials],
            "final_sha256": item.final.sha256 if item.final else None,
            "is_provisional": item.is_provisional,
            "format": item.latest.format if item.latest else None,
            "size": list(item.latest.size) if item.latest and item.latest.size else None,
        }
        for item in result.items.values()
    }


def _command(command: str, name: str, *more: str) -> int:
    return main([command, str(ROOT / name), "--key-by", EXPECTED[name]["key_by"], *more])


@every_fixture
def test_the_library_gives_the_expected_result(name: str) -> None:
    result, _, anomalies = _assembled(name)
    assert _facts(result) == EXPECTED[name]["items"]
    assert list(result.items) == list(EXPECTED[name]["items"])
    assert str(result.outcome) == EXPECTED[name]["outcome"]
    least = EXPECTED[name]["anomalies_at_least"]
    assert anomalies >= least
    assert bool(anomalies) == bool(least)


@every_fixture
def test_save_ends_with_the_expected_code_and_files(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _command("save", name, "-o", str(tmp_path)) == EXPECTED[name]["exit_code"]
    assert "Traceback" not in capsys.readouterr().err
    folders = {item_id: tmp_path / folder_name(item_id) for item_id in EXPECTED[name]["items"]}
    assert set(tmp_path.iterdir()) == set(folders.values())
    for item_id, expected in EXPECTED[name]["items"].items():
        folder = folders[item_id]
        finals = list(folder.glob("final.*"))
        is_result = expected["final_sha256"] is not None and not expected["is_provisional"]
        assert [sha256(path.read_bytes()).hexdigest() for path in finals] == [expected["final_sha256"]] * is_result
        assert len(list(folder.glob("partial-*"))) == expected["partials"]
        facts = json.loads((folder / "item.json").read_text())
        assert (facts["state"], facts["is_provisional"]) == (expected["state"], expected["is_provisional"])
        assert [frame["index"] for frame in facts["partials"]] == expected["partial_indices"]
        for frame in [*facts["partials"], *([facts["final"]] if facts["final"] else [])]:
            data = (folder / frame["file"]).read_bytes()
            assert len(data) == frame["bytes"]
            assert ("sha256" in frame) == frame["is_final"]
            assert frame.get("sha256", sha256(data).hexdigest()) == sha256(data).hexdigest()
        final = folder / facts["final"]["file"] if facts["final"] else None
        assert (final and sha256(final.read_bytes()).hexdigest()) == expected["final_sha256"]


@every_fixture
def test_inspect_lists_every_item_and_ends_with_the_same_code(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _command("inspect", name) == EXPECTED[name]["exit_code"]
    out = capsys.readouterr().out
    assert out.startswith(EXPECTED[name]["outcome"].replace("_", " "))
    items = [line.partition(", of response ")[0] for line in out.splitlines() if line.startswith("image ")]
    for item_id, expected in EXPECTED[name]["items"].items():
        assert any(line.endswith(f": {expected['state']}, id {item_id}") for line in items)


@every_fixture
def test_chunks_of_any_size_give_the_same_updates(name: str) -> None:
    body = (ROOT / name).read_bytes()
    _, told, _ = _assembled(name)
    for size in (1, 7, 1_000, len(body)):
        assert _assembled(name, (body[at : at + size] for at in range(0, len(body), size)))[1] == told


@every_fixture
def test_every_frame_of_it_can_be_decoded(name: str) -> None:
    result, _, _ = _assembled(name)
    for item in result.items.values():
        for frame in (*item.partials, *([item.final] if item.final else [])):
            if frame.format != "SVG":  # an SVG has no pixels here
                assert frame.decode().size == frame.size
        if item.latest is None or item.latest.format != "SVG":
            assert (item.image is None) == (item.latest is None)


@every_fixture
def test_the_last_updates_of_an_item_agree_with_its_state(name: str) -> None:
    result, told, _ = _assembled(name)
    for item in result.items.values():
        finals = [each for each in told if isinstance(each, (FinalReady, FinalWithdrawn)) and each.item_id == item.id]
        last = finals[-1] if finals else None
        assert (last.frame if isinstance(last, FinalReady) else None) == item.final
        ends = [each.state for each in told if isinstance(each, ItemEnded) and each.item_id == item.id]
        assert ends[-1] is item.state


@every_fixture
def test_feeding_it_twice_changes_nothing(name: str) -> None:
    once, _, _ = _assembled(name)
    events = list(open_events(ROOT / name))
    if all(isinstance(event, dict) and "sequence_number" in event for event in events):
        again = assemble([*events, *events], assembler=_assembler(name))
        assert (dict(again.items), again.outcome) == (dict(once.items), once.outcome)
