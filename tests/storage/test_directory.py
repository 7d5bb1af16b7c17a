"""A DirectorySink writes each frame byte for byte, in a folder that no id escapes and that no two ids share."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from errno import EEXIST
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from imgassemble import (
    Anomaly,
    Assembler,
    DirectorySink,
    FrameAdded,
    FrameDecodeError,
    Limits,
    Sink,
    SinkError,
    UsageError,
    assemble,
)
from imgassemble.storage.folder_names import folder_name

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FINAL = samples.png(5, 4)


class Clock:
    """A clock that is one second later at each call."""

    def __init__(self) -> None:
        self._looks = -1

    def __call__(self) -> datetime:
        self._looks += 1
        return START + timedelta(seconds=self._looks)


def _saved(folder: Path, events: list[samples.Wire], **options: Any) -> DirectorySink:
    sink = DirectorySink(folder, clock=Clock(), **options)
    assemble(events, sinks=[sink])
    return sink


def _files(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files under `folder`, without item.json."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if not path.is_dir()}
    return {name: path.read_bytes() for name, path in found.items() if path.name != "item.json"}


def _facts(folder: Path, item: str = "ig_1") -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / item / "item.json").read_text())
    return facts


def _listed(facts: dict[str, Any]) -> set[str]:
    """Return the names of the files that item.json describes."""
    return {frame["file"] for frame in [*facts["partials"], facts["final"]] if frame}


def _whole() -> list[samples.Wire]:
    return [
        samples.created(seq=0),
        samples.partial(index=0, seq=4),
        samples.partial(index=1, seq=5),
        samples.done(content=FINAL, seq=6),
        samples.snapshot("completed", [samples.member(content=FINAL)], seq=7),
    ]


# ---- files


def test_every_frame_has_its_file_byte_for_byte(tmp_path: Path) -> None:
    sink = _saved(tmp_path, _whole())
    assert _files(tmp_path) == {
        "ig_1/partial-000.png": samples.shade(0),
        "ig_1/partial-001.png": samples.shade(1),
        "ig_1/final.png": FINAL,
    }
    assert {path.name for path in sink.paths} == {"partial-000.png", "partial-001.png", "final.png", "item.json"}
    assert all(path.is_file() for path in sink.paths)


def test_a_directory_sink_is_a_sink(tmp_path: Path) -> None:
    assert isinstance(DirectorySink(tmp_path), Sink)
    assert DirectorySink(tmp_path).paths == ()


@pytest.mark.parametrize(("form", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif")])
def test_the_suffix_is_that_of_the_bytes(form: str, suffix: str, tmp_path: Path) -> None:
    picture = samples.picture(form)
    _saved(tmp_path, [samples.partial(content=picture, output_format="png"), samples.done(content=picture)])
    assert _files(tmp_path) == {f"ig_1/partial-000.{suffix}": picture, f"ig_1/final.{suffix}": picture}


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (0, "partial-000"), (7, "partial-007"), (999, "partial-999"), (1000, "partial-1000"),
        (2**53, f"partial-{2**53}"), (0.0, "partial-000"), (3.0, "partial-003"), (1141.42, "partial-1141.42"),
        (0.5, "partial-0.5"),
    ],
)  # fmt: skip
def test_a_partial_is_named_by_its_index(index: float, name: str, tmp_path: Path) -> None:
    _saved(tmp_path, [samples.partial(index=index)])
    assert list(_files(tmp_path)) == [f"ig_1/{name}.png"]


@settings(max_examples=40)
@given(indices=st.lists(st.integers(0, 400).map(lambda each: each / 2) | st.floats(0, 2**53), min_size=1, unique=True))
def test_no_two_indices_share_a_file(indices: list[float], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("indices")
    pictures = {index: samples.png(1 + at) for at, index in enumerate(indices)}
    _saved(folder, [samples.partial(index=index, content=picture) for index, picture in pictures.items()])
    assert sorted(_files(folder).values()) == sorted(pictures.values())
    facts = _facts(folder)
    assert [frame["index"] for frame in facts["partials"]] == sorted(indices)
    assert {f"ig_1/{name}" for name in _listed(facts)} == set(_files(folder))
    shutil.rmtree(folder)


def test_a_frame_is_on_disk_before_the_next_event_is_read(tmp_path: Path) -> None:
    def stream() -> Iterator[samples.Wire]:
        for at, event in enumerate(_whole()):
            yield event
            stood.append(sorted(_files(tmp_path)) if at in (1, 3) else [])

    stood: list[list[str]] = []
    assemble(stream(), sinks=[DirectorySink(tmp_path)])
    assert stood[1] == ["ig_1/partial-000.png"]
    assert "ig_1/final.png" in stood[3]


def test_two_items_have_two_folders(tmp_path: Path) -> None:
    _saved(tmp_path, [samples.done("ig_1", samples.png(1)), samples.done("ig_2", samples.png(2))])
    assert _files(tmp_path) == {"ig_1/final.png": samples.png(1), "ig_2/final.png": samples.png(2)}


def test_missing_folders_are_made(tmp_path: Path) -> None:
    _saved(tmp_path / "a" / "b", _whole())
    assert (tmp_path / "a" / "b" / "ig_1" / "final.png").read_bytes() == FINAL


def test_files_have_the_permissions_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        sink = _saved(tmp_path / "out", _whole())
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in sink.paths} == {0o640}
    assert stat.S_IMODE((tmp_path / "out" / "ig_1").stat().st_mode) == 0o750


def test_no_temporary_file_is_left(tmp_path: Path) -> None:
    _saved(tmp_path, _whole())
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(".")] == []


def test_another_picture_for_the_same_index_replaces_the_first(tmp_path: Path) -> None:
    jpeg = samples.picture("JPEG")
    _saved(tmp_path, [samples.partial(index=1, seq=1), samples.partial(index=1, content=jpeg, seq=2)])
    assert _files(tmp_path) == {"ig_1/partial-001.jpg": jpeg}
    assert _listed(_facts(tmp_path)) == {"partial-001.jpg"}


@pytest.mark.parametrize(("first", "second"), [(100.5, 100), (100, 100.5), (1.5, 1), (200.25, 200)])
def test_a_partial_removes_no_other_one_with_a_similar_index(first: float, second: float, tmp_path: Path) -> None:
    _saved(tmp_path, [samples.partial(index=first), samples.partial(index=second)])
    assert len(_files(tmp_path)) == 2


# ---- finals


def test_a_provisional_final_is_named_in_item_json_and_has_no_file(tmp_path: Path) -> None:
    _saved(tmp_path, [samples.partial(index=0), samples.partial(index=1), samples.call("completed")])
    assert sorted(_files(tmp_path)) == ["ig_1/partial-000.png", "ig_1/partial-001.png"]
    facts = _facts(tmp_path)
    assert (facts["state"], facts["is_provisional"]) == ("completed", True)
    assert facts["final"] == facts["partials"][1]
    assert facts["final"]["file"] == "partial-001.png"


def test_item_json_of_an_item_without_a_final_names_none(tmp_path: Path) -> None:
    _saved(tmp_path, [samples.partial(index=0)])
    facts = _facts(tmp_path)
    assert (facts["state"], facts["final"], facts["is_provisional"]) == ("incomplete", None, False)
    assert facts["error"]["type"] == "IncompleteStreamError"


def test_a_withdrawn_final_is_removed(tmp_path: Path) -> None:
    failed = samples.member(status="failed", error={"code": "moderation", "message": "no"})
    events = [
        samples.partial(index=0),
        samples.done(content=FINAL, seq=6),
        samples.snapshot("completed", [failed], seq=7),
    ]
    sink = _saved(tmp_path, events)
    assert list(_files(tmp_path)) == ["ig_1/partial-000.png"]
    assert sorted(path.name for path in sink.paths) == ["item.json", "partial-000.png"]
    facts = _facts(tmp_path)
    assert (facts["state"], facts["final"]) == ("failed", None)
    assert (facts["error"]["type"], facts["error"]["code"]) == ("ProviderError", "moderation")


def test_a_final_that_is_replaced_leaves_no_file_of_another_suffix(tmp_path: Path) -> None:
    jpeg = samples.picture("JPEG")
    events = [samples.done(content=FINAL, seq=1), samples.snapshot("completed", [samples.member(content=jpeg)], seq=2)]
    sink = _saved(tmp_path, events)
    assert _files(tmp_path) == {"ig_1/final.jpg": jpeg}
    assert _facts(tmp_path)["final"]["file"] == "final.jpg"
    assert all(path.is_file() for path in sink.paths)


def test_a_withdrawn_final_may_be_missing_on_disk(tmp_path: Path) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path)
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.feed(samples.done(content=FINAL, seq=1))
    (tmp_path / "ig_1" / "final.png").unlink()
    assembler.feed(samples.snapshot("failed", [samples.member(status="failed")], seq=2))
    assembler.close()
    sink.close()
    assert _facts(tmp_path)["state"] == "failed"


# ---- keep


def test_keep_latest_leaves_one_partial_and_the_final(tmp_path: Path) -> None:
    events = [samples.partial(index=0), samples.partial(index=2), samples.partial(index=1)]
    sink = _saved(tmp_path, events, keep="latest")
    assert list(_files(tmp_path)) == ["ig_1/partial-002.png"]
    assert _listed(_facts(tmp_path)) == {"partial-002.png"}
    assert sorted(path.name for path in sink.paths) == ["item.json", "partial-002.png"]
    other = tmp_path / "other"
    _saved(other, [*events, samples.done(content=FINAL)], keep="latest")
    assert sorted(_files(other)) == ["ig_1/final.png", "ig_1/partial-002.png"]


def test_keep_latest_has_one_partial_on_disk_at_any_time(tmp_path: Path) -> None:
    sink = DirectorySink(tmp_path, keep="latest")
    seen: list[int] = []

    def count(_: object) -> None:
        seen.append(len(list((tmp_path / "ig_1").glob("partial-*"))))

    assembler = Assembler()
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.subscribe(count, FrameAdded)
    for index in range(5):
        assembler.feed(samples.partial(index=index))
    assert seen == [1] * 5


@pytest.mark.parametrize("keep", ["none", None, "ALL", 3])
def test_an_unknown_keep_is_a_usage_error(keep: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keep"):
        DirectorySink(tmp_path, keep=keep)


def test_keep_final_leaves_results_only(tmp_path: Path) -> None:
    _saved(tmp_path, _whole(), keep="final")
    assert _files(tmp_path) == {"ig_1/final.png": FINAL}
    assert _listed(_facts(tmp_path)) == {"final.png"}
    _saved(tmp_path / "draft", [samples.partial(index=0), samples.call("completed")], keep="final")
    facts = _facts(tmp_path / "draft")
    assert (facts["state"], facts["is_provisional"], facts["final"]) == ("completed", True, None)


# ---- refused pictures


def _refused(*pictures: bytes) -> Iterator[Anomaly]:
    for picture in pictures:
        error = FrameDecodeError("the picture is cut short", item_id="ig_1", index=1)
        error.data = picture  # type: ignore[attr-defined, unused-ignore]
        yield Anomaly("ig_1", "bad_picture", str(error), error)


def _save_refused(folder: Path, *pictures: bytes, limits: Limits | None = None, **options: Any) -> DirectorySink:
    sink, assembler = DirectorySink(folder, clock=Clock(), **options), Assembler(limits=limits)
    assembler.feed(samples.partial(index=0))
    sink.open(assembler)
    for anomaly in _refused(*pictures):
        sink(anomaly)
    sink.close()
    return sink


def test_a_refused_picture_is_kept_under_a_name_of_its_own(tmp_path: Path) -> None:
    sink = _save_refused(tmp_path, FINAL[:50], b"<html>", samples.picture("JPEG")[:40])
    assert _files(tmp_path) == {
        "ig_1/partial-000.png": samples.shade(0),
        "ig_1/rejected-000.png": FINAL[:50],
        "ig_1/rejected-001.bin": b"<html>",
        "ig_1/rejected-002.jpg": samples.picture("JPEG")[:40],
    }
    assert tmp_path / "ig_1" / "rejected-001.bin" in sink.paths
    assert _facts(tmp_path)["rejected"][1] == {
        "file": "rejected-001.bin", "bytes": 6, "sha256": sha256(b"<html>").hexdigest()
    }  # fmt: skip


def test_a_refused_picture_is_kept_once_even_by_a_run_that_continues(tmp_path: Path) -> None:
    _save_refused(tmp_path, b"<html>", b"<html>")
    _save_refused(tmp_path, b"<html>", b"<xml>", existing="continue")
    assert [name for name in sorted(_files(tmp_path)) if "rejected" in name] == [
        "ig_1/rejected-000.bin",
        "ig_1/rejected-001.bin",
    ]


def test_only_so_many_refused_pictures_of_an_item_are_kept(tmp_path: Path) -> None:
    _save_refused(tmp_path, *(b"%d" % at for at in range(40)))
    assert len([name for name in _files(tmp_path) if "rejected" in name]) == 32


def test_refused_pictures_count_in_the_limit_of_all_bytes(tmp_path: Path) -> None:
    _save_refused(tmp_path, b"a" * 600, b"b" * 600, b"c" * 300, limits=Limits(max_total_bytes=1_000))
    sizes = [len(data) for name, data in sorted(_files(tmp_path).items()) if "rejected" in name]
    assert sizes == [600, 300]


def test_refused_pictures_are_left_out_on_request_and_replaced_with_the_other_files(tmp_path: Path) -> None:
    _save_refused(tmp_path, b"<html>")
    _save_refused(tmp_path, b"<html>", existing="replace", keep_rejected=False)
    assert list(_files(tmp_path)) == ["ig_1/partial-000.png"]
    assert "rejected" not in _facts(tmp_path)


# ---- item.json


def test_item_json_describes_each_frame_and_the_time_of_its_arrival(tmp_path: Path) -> None:
    _saved(tmp_path, _whole())
    facts = _facts(tmp_path)

    def frame(at: int, **others: Any) -> dict[str, Any]:
        picture = FINAL if others["is_final"] else samples.shade(at)
        return {
            "format": "PNG", "size": [5, 4] if others["is_final"] else [1, 1], "bytes": len(picture),
            "received_at": (START + timedelta(seconds=at)).isoformat(), **others,
        }  # fmt: skip

    partial = "response.image_generation_call.partial_image"
    assert facts["partials"] == [
        frame(0, file="partial-000.png", index=0, sequence_number=4, event_type=partial, is_final=False),
        frame(1, file="partial-001.png", index=1, sequence_number=5, event_type=partial, is_final=False),
    ]
    final = frame(2, file="final.png", index=None, sequence_number=6, event_type="", is_final=True)
    final["sha256"] = sha256(FINAL).hexdigest()  # those of previews would take as long as writing them
    assert {**facts["final"], "event_type": "", "sequence_number": 6} == final
    assert facts["final"]["event_type"] in ("response.output_item.done", "response.completed")
    assert (facts["state"], facts["is_provisional"], facts["error"], facts["anomalies"]) == (
        "completed",
        False,
        None,
        [],
    )


def test_item_json_is_the_item_as_a_dict_with_files_and_times(tmp_path: Path) -> None:
    assembler = Assembler()
    done = samples.done(content=FINAL, seq=6, revised_prompt="an otter")
    assemble([_whole()[1], done], sinks=[DirectorySink(tmp_path)], assembler=assembler)
    facts = _facts(tmp_path)
    for frame in [*facts["partials"], facts["final"]]:
        del frame["file"], frame["received_at"]
    expected = json.loads(json.dumps(assembler["ig_1"].as_dict()))
    for frame in expected["partials"]:
        del frame["sha256"]
    assert facts == expected
    assert facts["revised_prompt"] == "an otter"


def test_item_json_lists_anomalies(tmp_path: Path) -> None:
    _saved(
        tmp_path,
        [samples.partial(index=0), samples.partial(index=1, content="!"), samples.done(content=FINAL, size="9x9")],
    )
    codes = [anomaly["code"] for anomaly in _facts(tmp_path)["anomalies"]]
    assert codes == ["bad_base64", "false_claim"]


def test_an_item_without_frames_has_an_item_json(tmp_path: Path) -> None:
    _saved(tmp_path, [samples.added("ig_1"), samples.call("generating")])
    assert (tmp_path / "ig_1" / "item.json").is_file()
    assert _facts(tmp_path)["state"] == "incomplete"
    assert _facts(tmp_path)["partials"] == []


def test_item_json_holds_no_base64(tmp_path: Path) -> None:
    broken = samples.partial(index=1, content="ABCD" * 200 + "!")
    _saved(tmp_path, [*_whole()[:2], broken, *_whole()[3:]])
    text = (tmp_path / "ig_1" / "item.json").read_text()
    assert samples.b64(FINAL)[:30] not in text
    assert "ABCDABCD" not in text


def test_item_json_marks_an_image_that_moderation_blocked_and_its_previews_stay(tmp_path: Path) -> None:
    for code, is_blocked in (("moderation_blocked", True), ("server_error", False)):
        out = tmp_path / code
        failed = samples.member(status="failed", error={"code": code, "message": "no"})
        _saved(out, [samples.partial(index=0), samples.snapshot("failed", [failed])])
        assert _facts(out)["error"]["is_blocked"] is is_blocked
        assert _files(out) == {"ig_1/partial-000.png": samples.shade(0)}


# ---- facts of the caller


def test_the_facts_of_the_caller_stand_in_each_item_json(tmp_path: Path) -> None:
    facts: dict[str, Any] = {"prompt": "an otter", "settings": {"seed": 7, "tags": ("a", None)}}
    sink = DirectorySink(tmp_path, facts=facts)
    facts["settings"]["seed"] = 8  # the sink has a copy
    assemble([samples.done("ig_1", FINAL), samples.partial("ig_2", 0)], sinks=[sink])
    for item in ("ig_1", "ig_2"):
        assert _facts(tmp_path, item)["facts"] == {"prompt": "an otter", "settings": {"seed": 7, "tags": ["a", None]}}
    _saved(tmp_path / "none", _whole())
    assert "facts" not in _facts(tmp_path / "none")


def test_a_run_that_continues_keeps_the_facts_unless_it_has_others(tmp_path: Path) -> None:
    _saved(tmp_path, [samples.partial(index=0)], facts={"prompt": "an otter"})
    _saved(tmp_path, [samples.partial(index=1)], existing="continue")
    assert _facts(tmp_path)["facts"] == {"prompt": "an otter"}
    _saved(tmp_path, _whole(), existing="continue", facts={"prompt": "two otters"})
    assert _facts(tmp_path)["facts"] == {"prompt": "two otters"}


_ROUND: dict[str, Any] = {}
_ROUND["round"] = _ROUND


@pytest.mark.parametrize(
    "facts", ["an otter", 7, [("prompt", "x")], {1: "x"}, {"x": b"bytes"}, {"x": float("nan")}, {"x": {1, 2}}, _ROUND]
)
def test_wrong_facts_are_a_usage_error(facts: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="facts"):
        DirectorySink(tmp_path, facts=facts)


def test_item_json_is_valid_json_for_odd_text_and_numbers(tmp_path: Path) -> None:
    odd = "\ud800 \u2028 é \0"
    _saved(tmp_path, [samples.done("ig_1", FINAL, revised_prompt=odd, usage={"a": float("nan"), "b": 10**300})])
    text = (tmp_path / "ig_1" / "item.json").read_bytes().decode("utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@settings(max_examples=40)
@given(indices=st.lists(st.integers(0, 5), max_size=8), ends=st.sampled_from(["none", "done", "completed", "failed"]))
def test_item_json_names_exactly_the_files_on_disk(
    indices: list[int], ends: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("stand")
    forms = ("PNG", "JPEG", "GIF")
    events = [samples.partial(index=index, content=samples.picture(forms[at % 3])) for at, index in enumerate(indices)]
    ending = {
        "none": [],
        "done": [samples.done(content=FINAL)],
        "completed": [samples.call("completed")],
        "failed": [
            samples.done(content=FINAL, seq=1),
            samples.snapshot("failed", [samples.member(status="failed")], seq=2),
        ],
    }
    sink = _saved(folder, [samples.added(), *events, *ending[ends]])
    names = {Path(name).name for name in _files(folder)}
    assert _listed(_facts(folder)) == names
    assert {path.name for path in sink.paths} == names | {"item.json"}
    shutil.rmtree(folder)


# ---- files of an earlier run


def test_files_of_another_run_are_in_the_way(tmp_path: Path) -> None:
    _saved(tmp_path, _whole())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(SinkError, match="is in the way") as caught:
        _saved(
            tmp_path,
            [samples.partial(index=0, content=samples.png(9)), samples.done(content=samples.png(9, 9))],
            existing="refuse",
        )
    assert (caught.value.path, caught.value.errno) == (str(tmp_path / "ig_1"), EEXIST)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_replace_removes_all_files_of_another_run(tmp_path: Path) -> None:
    _saved(tmp_path, _whole())
    _saved(tmp_path, [samples.partial(index=1, content=samples.picture("JPEG"))], existing="replace")
    assert _files(tmp_path) == {"ig_1/partial-001.jpg": samples.picture("JPEG")}


def test_replace_removes_files_of_every_format(tmp_path: Path) -> None:
    assembler = Assembler(limits=Limits(formats=("PNG", "SVG")))
    drawing = b'<svg width="4" height="3"><rect/></svg>'
    assemble([samples.done(content=drawing)], sinks=[DirectorySink(tmp_path)], assembler=assembler)
    assert _files(tmp_path) == {"ig_1/final.svg": drawing}
    (tmp_path / "ig_1" / "partial-000.avif").write_bytes(b"of another version")
    _saved(tmp_path, [samples.partial(index=0)], existing="replace")
    assert list(_files(tmp_path)) == ["ig_1/partial-000.png"]


def test_replace_leaves_files_of_the_user(tmp_path: Path) -> None:
    _saved(tmp_path, _whole())
    (tmp_path / "ig_1" / "notes.txt").write_bytes(b"mine")
    (tmp_path / "ig_1" / "final.psd").write_bytes(b"mine")
    (tmp_path / "ig_0").mkdir()
    (tmp_path / "ig_0" / "final.png").write_bytes(b"other")
    _saved(tmp_path, [samples.partial(index=0)], existing="replace")
    assert _files(tmp_path) == {
        "ig_0/final.png": b"other",
        "ig_1/final.psd": b"mine",
        "ig_1/notes.txt": b"mine",
        "ig_1/partial-000.png": samples.shade(0),
    }


@pytest.mark.parametrize("existing", ["beside", "refuse", "replace"])
def test_a_file_at_the_path_of_an_item_folder_stays(existing: Any, tmp_path: Path) -> None:
    (tmp_path / "ig_1").write_bytes(b"mine")
    with pytest.raises(SinkError, match="is in the way") as caught:
        _saved(tmp_path, _whole(), existing=existing)
    assert caught.value.path == str(tmp_path / "ig_1")
    assert (tmp_path / "ig_1").read_bytes() == b"mine"


@pytest.mark.parametrize("existing", ["beside", "refuse", "replace"])
@pytest.mark.parametrize("leads_to", ["folder", "nowhere", "file"])
def test_a_link_at_the_path_of_an_item_folder_is_not_followed(existing: Any, leads_to: str, tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    out.mkdir()
    if leads_to == "folder":
        outside.mkdir()
        (outside / "final.png").write_bytes(b"mine")
    elif leads_to == "file":
        outside.write_bytes(b"mine")
    (out / "ig_1").symlink_to(outside)
    with pytest.raises(SinkError) as caught:
        _saved(out, _whole(), existing=existing)
    assert caught.value.path == str(out / "ig_1")
    assert os.path.lexists(out / "ig_1")
    if leads_to == "folder":
        assert _files(outside) == {"final.png": b"mine"}
    else:
        assert not outside.exists() or outside.read_bytes() == b"mine"


def test_a_folder_that_becomes_a_link_during_the_run_is_not_followed(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    assembler, sink = Assembler(), DirectorySink(out)
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.feed(samples.partial(index=0))
    shutil.rmtree(out / "ig_1")
    (out / "ig_1").symlink_to(outside)
    assembler.feed(samples.partial(index=1))
    assembler.close()
    with pytest.raises(SinkError):
        sink.close()
    assert list(outside.iterdir()) == []


def test_a_link_at_the_path_of_a_frame_is_replaced_and_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"mine")
    assembler, sink = Assembler(), DirectorySink(tmp_path / "out")
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.feed(samples.partial(index=0))
    for name in ("final.png", "partial-001.png"):
        (tmp_path / "out" / "ig_1" / name).symlink_to(secret)
    assembler.feed(samples.partial(index=1))
    assembler.feed(samples.done(content=FINAL))
    assert secret.read_bytes() == b"mine"
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


@pytest.mark.parametrize("existing", ["refuse", "replace", "continue"])
def test_an_empty_folder_is_not_in_the_way(existing: Any, tmp_path: Path) -> None:
    (tmp_path / "ig_1").mkdir()
    _saved(tmp_path, _whole(), existing=existing)
    assert (tmp_path / "ig_1" / "final.png").read_bytes() == FINAL


def test_the_folder_itself_may_be_a_link_that_the_user_made(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    _saved(tmp_path / "out", _whole())
    assert (tmp_path / "real" / "ig_1" / "final.png").read_bytes() == FINAL


def test_a_sink_that_is_used_for_a_second_stream_keeps_the_files_of_the_first(tmp_path: Path) -> None:
    sink = DirectorySink(tmp_path)
    assemble([samples.image_partial(index=3), samples.image_completed(samples.png(1))], sinks=[sink])
    assemble([samples.image_completed(samples.png(2))], sinks=[sink])
    assert _files(tmp_path) == {
        "image-0/final.png": samples.png(1),
        "image-0/partial-003.png": samples.shade(3),
        "image-0-2/final.png": samples.png(2),
    }


def test_a_sink_serves_one_live_assembler(tmp_path: Path) -> None:
    sink, assembler = DirectorySink(tmp_path), Assembler()
    sink.open(assembler)
    with pytest.raises(UsageError, match="one live assembler"):
        sink.open(Assembler())
    with pytest.raises(UsageError, match="one live assembler"):
        assemble(_whole(), sinks=[sink])
    sink.close()
    assemble(_whole(), sinks=[sink])
    assert _files(tmp_path)["ig_1/final.png"] == FINAL


# ---- opened late, opened again


def test_a_sink_that_is_opened_late_writes_the_frames_that_are_held(tmp_path: Path) -> None:
    assembler = Assembler()
    for event in _whole():
        assembler.feed(event)
    sink = DirectorySink(tmp_path / "late", clock=Clock())
    sink.open(assembler)
    sink.close()
    _saved(tmp_path / "early", _whole())
    assert _files(tmp_path / "late") == _files(tmp_path / "early")
    late, early = _facts(tmp_path / "late"), _facts(tmp_path / "early")
    for facts in (late, early):  # the event that brought the picture depends on the time of opening
        del facts["final"]["sequence_number"], facts["final"]["event_type"]
    assert late == early


@pytest.mark.parametrize(
    "events",
    [
        [samples.added("ig_1"), samples.error()],
        [samples.added("ig_1")],
        [samples.partial(), samples.call("completed")],
        [samples.partial(content="!")],
        [samples.done(content=FINAL, seq=1), samples.snapshot("failed", [samples.member(status="failed")], seq=2)],
    ],
)
def test_a_sink_that_is_opened_after_the_end_writes_the_same_files(events: list[samples.Wire], tmp_path: Path) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path / "late", clock=Clock())
    assemble(events, assembler=assembler)
    sink.open(assembler)
    sink.close()
    _saved(tmp_path / "early", events)
    assert _files(tmp_path / "late") == _files(tmp_path / "early")
    assert _facts(tmp_path / "late") == _facts(tmp_path / "early")


def test_a_provisional_final_becomes_a_result_when_the_stream_goes_on(tmp_path: Path) -> None:
    assembler = Assembler()
    for event in (samples.partial(index=0), samples.call("completed")):
        assembler.feed(event)
    sink = DirectorySink(tmp_path)
    sink.open(assembler)
    assert list(_files(tmp_path)) == ["ig_1/partial-000.png"]
    assembler.subscribe(sink)
    assembler.feed(samples.done(content=FINAL))
    assert _files(tmp_path)["ig_1/final.png"] == FINAL


_REFUSED = samples.snapshot("failed", [samples.member(status="failed")], seq=3)


def test_a_final_that_is_withdrawn_while_the_sink_is_closed_is_removed(tmp_path: Path) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path)
    told = [samples.partial(index=0, seq=1), samples.done(content=FINAL, seq=2)]
    with pytest.raises(ConnectionError):
        assemble(samples.cut_off(told), sinks=[sink], assembler=assembler, keep_open=True)
    assert sorted(_files(tmp_path)) == ["ig_1/final.png", "ig_1/partial-000.png"]
    assembler.feed(_REFUSED)
    assemble([], sinks=[sink], assembler=assembler)
    assert list(_files(tmp_path)) == ["ig_1/partial-000.png"]
    assert (_facts(tmp_path)["state"], _facts(tmp_path)["final"]) == ("failed", None)
    assert {path.name for path in sink.paths} == {"partial-000.png", "item.json"}


def test_a_result_of_an_earlier_run_stays_if_this_run_never_received_it(tmp_path: Path) -> None:
    _saved(tmp_path, _whole())
    sink, assembler = DirectorySink(tmp_path, existing="continue"), Assembler()
    assembler.feed(samples.partial(index=0))
    assembler.feed(_REFUSED)
    for _ in range(2):
        sink.open(assembler)
        sink.close()
    assert _files(tmp_path)["ig_1/final.png"] == FINAL
    assert (_facts(tmp_path)["state"], _facts(tmp_path)["final"]) == ("failed", None)


def test_a_sink_that_is_opened_again_keeps_the_times_of_its_frames(tmp_path: Path) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path, clock=Clock())
    for events in ([samples.partial(index=0), samples.done(content=FINAL)], [samples.partial(index=1)]):
        before = _times(tmp_path)
        sink.open(assembler)
        unsubscribe = assembler.subscribe(sink)
        for event in events:
            assembler.feed(event)
        unsubscribe()
        sink.close()
        now = _times(tmp_path)
        assert before == {name: now[name] for name in before}
    assert list(now) == ["partial-000.png", "partial-001.png", "final.png"]


def _times(folder: Path) -> dict[str, str]:
    if not (folder / "ig_1").exists():
        return {}
    facts = _facts(folder)
    return {frame["file"]: frame["received_at"] for frame in [*facts["partials"], facts["final"]] if frame}


@pytest.mark.parametrize("is_cut", [False, True])
def test_item_json_is_not_rewritten_for_each_of_many_frames_and_is_complete_in_the_end(
    is_cut: bool, tmp_path: Path
) -> None:
    assembler, sink, versions = Assembler(), DirectorySink(tmp_path), set[bytes]()
    sink.open(assembler)
    assembler.subscribe(sink)
    for index in range(80):
        assembler.feed(samples.partial(index=index))
        versions.add((tmp_path / "ig_1" / "item.json").read_bytes())
    if not is_cut:
        assembler.close()
    sink.close()
    assert len(versions) <= 40
    facts = _facts(tmp_path)
    assert [frame["index"] for frame in facts["partials"]] == list(range(80))
    assert facts["state"] == ("partial_image" if is_cut else "incomplete")
    assert _listed(facts) == {path.name for path in (tmp_path / "ig_1").iterdir()} - {"item.json"}


def test_a_sink_that_was_not_opened_is_a_usage_error(tmp_path: Path) -> None:
    assembler = Assembler()
    (_, added) = assembler.feed(samples.partial())
    with pytest.raises(UsageError, match="opened first"):
        DirectorySink(tmp_path)(added)
    assert list(tmp_path.iterdir()) == []


def test_a_stream_without_images_leaves_an_empty_folder(tmp_path: Path) -> None:
    sink = _saved(tmp_path / "out", [samples.snapshot("completed")])
    assert list((tmp_path / "out").iterdir()) == []
    assert sink.paths == ()


def test_folders_of_items_that_were_discarded_long_ago_are_forgotten_and_their_files_and_errors_stay(
    tmp_path: Path,
) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path, durable=False)
    (tmp_path / "ig_0").write_bytes(b"mine")
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.feed(samples.partial("ig_stays"))
    for number in range(1_200):
        assembler.feed(samples.done(f"ig_{number}", FINAL, output_index=number))
        assembler.discard(f"ig_{number}")
    assert len(sink.paths) < 1_200
    assert tmp_path / "ig_stays" / "partial-000.png" in sink.paths
    assert len(list(tmp_path.glob("*/final.png"))) == 1_199
    assembler.close()
    with pytest.raises(SinkError) as caught:
        sink.close()
    assert caught.value.path == str(tmp_path / "ig_0")


# ---- ids from outside

_SAFE = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_-])?")
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_HOSTILE = [
    "../../x", "..", ".", "/", "/etc/passwd", "a/b", "a\\b", "..\\..\\x", "C:\\x", "C:", "CON", "con", "con.png", "NUL",
    "com1", "LPT9.txt", "", " ", "\t", "a" * 300, "é" * 300, "\0", "a\0b", "A", "a", "ß", "SS", "ss", "ﬁ", "fi", "é",
    "e\u0301", "K", "\u212a", "k", "a.", "a..", "a ", " a", ".hidden", "-rf", "~", "$HOME", "*", "?", "a:b", "a|b",
    '"', "'", "\ud800", "\udfff", "\U0001f9a6", "\u202e", "\n", "item.json", "ig_1", "IG_1", "Ig_1",
    "\uff0e\uff0e/x", "\u2024\u2024", "ı", "i", "İ", "x" * 99, "x" * 100, "x" * 101,
]  # fmt: skip
_ID = st.text(st.characters(), max_size=12) | st.sampled_from(_HOSTILE) | st.text("aA.-_ \u0301éÉ/\\", max_size=5)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@given(_ID)
def test_a_folder_name_is_safe_on_every_system(item_id: str) -> None:
    name = folder_name(item_id)
    assert _SAFE.fullmatch(name)
    assert not _DEVICES.fullmatch(name)
    assert len(name) <= 100
    assert name == _folded(name)
    assert name == folder_name(item_id)


@given(_ID, _ID)
def test_two_ids_have_two_folders_on_every_file_system(one: str, other: str) -> None:
    assert (folder_name(one) == folder_name(other)) == (one == other)


def test_the_hostile_ids_have_folders_of_their_own() -> None:
    names = {item_id: folder_name(item_id) for item_id in _HOSTILE}
    assert len(set(names.values())) == len(set(_HOSTILE))
    assert all(_SAFE.fullmatch(name) and not _DEVICES.fullmatch(name) for name in names.values())


@given(_ID)
def test_an_id_that_is_a_folder_name_has_another_folder(item_id: str) -> None:
    name = folder_name(item_id)
    assert name == item_id or folder_name(name) != name


@pytest.mark.parametrize("item_id", ["ig_686d3f1a2b8c8191", "image-0", "output-0", "output-0.5", "a.b", "x" * 100])
def test_a_plain_id_is_its_own_folder(item_id: str) -> None:
    assert folder_name(item_id) == item_id


def test_the_readable_part_of_an_id_stays_readable() -> None:
    assert folder_name("../../Otter at Night").startswith("otter-at-night-")
    assert folder_name("").startswith("item-")


def test_every_hostile_item_is_saved_in_a_folder_of_its_own_inside_the_directory(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    ids = list(dict.fromkeys(_HOSTILE))
    pictures = {item_id: samples.png(1 + at) for at, item_id in enumerate(ids)}
    events = [samples.done(item_id, picture, output_index=at) for at, (item_id, picture) in enumerate(pictures.items())]
    sink = _saved(out, [*events, samples.snapshot("completed")])
    assert sorted(_files(tmp_path).values()) == sorted(pictures.values())
    assert all(path.parent.parent == out for path in sink.paths)
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"out"}
    told = {json.loads(path.read_text())["id"] for path in out.glob("*/item.json")}
    assert told == set(ids)


# ---- disks that fail


def test_a_folder_that_cannot_be_made_is_a_sink_error_before_the_stream_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"mine")
    for folder in (tmp_path / "out", tmp_path / "out" / "deeper", tmp_path / "a\0b"):
        with pytest.raises(SinkError) as caught:
            assemble(iter(lambda: pytest.fail("it was read"), None), sinks=[DirectorySink(folder)])
        assert caught.value.path == str(folder)
    assert (tmp_path / "out").read_bytes() == b"mine"


@pytest.mark.parametrize("existing", ["beside", "refuse", "replace", "continue"])
def test_a_folder_that_is_removed_during_the_run_is_made_again_with_all_pictures(existing: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assembler, sink = Assembler(), DirectorySink(out, existing=existing)
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.feed(samples.partial("ig_1", 0))
    shutil.rmtree(out)
    assembler.feed(samples.partial("ig_1", 1))
    assembler.feed(samples.done("ig_2", FINAL))
    assembler.close()
    sink.close()
    assert _files(out) == {
        "ig_1/partial-000.png": samples.shade(0),
        "ig_1/partial-001.png": samples.shade(1),
        "ig_2/final.png": FINAL,
    }
    assert _listed(_facts(out)) == {"partial-000.png", "partial-001.png"}


@contextmanager
def no_large_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, before[1]))
    try:
        yield
    finally:  # within the test: pytest itself may be writing to a file
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_frame_that_does_not_fit_on_the_disk_affects_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    large = samples.png() + bytes(20_000)
    events = [
        samples.partial("ig_1", 0),
        samples.partial("ig_1", 1, large),
        samples.partial("ig_1", 2),
        samples.done("ig_1", large),
        samples.done("ig_2", FINAL),
        samples.snapshot("completed"),
    ]
    sink, assembler = DirectorySink(tmp_path), Assembler()
    with no_large_files(), pytest.raises(SinkError) as caught:
        assemble(events, sinks=[sink], assembler=assembler)
    assert caught.value.path == str(tmp_path / "ig_1" / "partial-001.png")
    assert _files(tmp_path) == {
        "ig_1/partial-000.png": samples.shade(0),
        "ig_1/partial-002.png": samples.shade(2),
        "ig_2/final.png": FINAL,
    }
    assert {str(path.relative_to(tmp_path)) for path in sink.paths} == {
        *_files(tmp_path),
        "ig_1/item.json",
        "ig_2/item.json",
    }
    facts = _facts(tmp_path)
    assert _listed(facts) == {"partial-000.png", "partial-002.png"}
    assert facts["state"] == "completed"
    final = assembler["ig_1"].final
    assert final is not None
    assert final.data == large
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_item_json_describes_the_old_final_if_its_replacement_cannot_be_written(tmp_path: Path) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path)
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.feed(samples.done(content=FINAL, seq=1))
    (tmp_path / "ig_1" / "final.jpg").mkdir()
    assembler.feed(samples.snapshot("completed", [samples.member(content=samples.picture("JPEG"))], seq=2))
    assembler.close()
    with pytest.raises(SinkError) as caught:
        sink.close()
    assert caught.value.path == str(tmp_path / "ig_1" / "final.jpg")
    final = _facts(tmp_path)["final"]
    assert final is None or sha256((tmp_path / "ig_1" / final["file"]).read_bytes()).hexdigest() == final["sha256"]


def test_a_clock_that_fails_is_reported_and_does_not_end_the_run(tmp_path: Path) -> None:
    def broken() -> datetime:
        raise OSError("no time")

    with pytest.raises(SinkError):
        assemble(_whole(), sinks=[DirectorySink(tmp_path, clock=broken)])
    assert _files(tmp_path)["ig_1/final.png"] == FINAL
