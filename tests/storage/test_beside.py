"""Runs into one folder stand beside each other: no run writes into a folder that another run made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import samples

from imgassemble import Assembler, DirectorySink, SinkError, assemble, saved_events
from imgassemble.storage.placing import FolderSearch
from imgassemble.storage.watched import watched_events

OLD = 3_600  # seconds: a run that wrote this long ago writes nothing more


def run_of(*pictures: bytes, result: bytes | None = None, item_id: str = "ig_1") -> list[samples.Wire]:
    """Return a stream of previews, and a result if one is given."""
    previews = [samples.partial(item_id, at, picture) for at, picture in enumerate(pictures)]
    return previews if result is None else [*previews, samples.done(item_id, result)]


def save(events: list[samples.Wire], folder: Path, **options: Any) -> DirectorySink:
    sink = DirectorySink(folder, **options)
    assemble(events, sinks=[sink])
    return sink


def make_old(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (time.time() - OLD,) * 2, follow_symlinks=False)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def pictures_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


A, B, C, D = (samples.png(width) for width in (11, 12, 13, 14))


# ---- the folder of a run


def test_a_second_run_with_other_pictures_has_folders_of_its_own(tmp_path: Path) -> None:
    save(run_of(A, result=B), tmp_path)
    before = snapshot(tmp_path)
    second = save(run_of(C, result=D), tmp_path)
    save(run_of(D, result=C), tmp_path)
    after = snapshot(tmp_path)
    assert {name: after[name] for name in before} == before
    assert pictures_in(tmp_path) == {
        "ig_1/partial-000.png": A, "ig_1/final.png": B,
        "ig_1-2/partial-000.png": C, "ig_1-2/final.png": D,
        "ig_1-3/partial-000.png": D, "ig_1-3/final.png": C,
    }  # fmt: skip
    assert {path.parent.name for path in second.paths} == {"ig_1-2"}
    facts = json.loads((tmp_path / "ig_1-2" / "item.json").read_text())
    assert (facts["id"], facts["final"]["file"], facts["state"]) == ("ig_1", "final.png", "completed")


def test_a_second_run_with_the_same_pictures_writes_nothing(tmp_path: Path) -> None:
    save(run_of(A, result=B), tmp_path)
    before = snapshot(tmp_path)
    sink = save(run_of(A, result=B), tmp_path)
    assert snapshot(tmp_path) == before
    assert sorted(path.name for path in sink.paths) == ["final.png", "item.json", "partial-000.png"]
    assert sink.paths_found == sink.paths
    assert all(path.is_file() for path in sink.paths)


@pytest.mark.parametrize("keep", ["all", "latest"])
def test_a_run_that_differs_late_takes_all_its_pictures_into_its_own_folder(keep: Any, tmp_path: Path) -> None:
    save(run_of(A, B, result=C), tmp_path)
    before = snapshot(tmp_path)
    assembler = Assembler(keep=keep)  # "latest": the earlier preview is no longer in memory
    assemble(run_of(A, B, result=D), sinks=[DirectorySink(tmp_path)], assembler=assembler)
    after = snapshot(tmp_path)
    assert {name: after[name] for name in before} == before
    found = {name: data for name, data in pictures_in(tmp_path).items() if "-2/" in name}
    assert found == {"ig_1-2/partial-000.png": A, "ig_1-2/partial-001.png": B, "ig_1-2/final.png": D}
    facts = json.loads((tmp_path / "ig_1-2" / "item.json").read_text())
    assert [frame["file"] for frame in facts["partials"]] == ["partial-000.png", "partial-001.png"]


def test_a_run_that_keeps_one_preview_shares_no_folder_without_its_result(tmp_path: Path) -> None:
    save(run_of(A, B, result=C), tmp_path)
    save(run_of(A, B, result=D), tmp_path, keep="latest")
    found = {name: data for name, data in pictures_in(tmp_path).items() if "-2/" in name}
    assert found == {"ig_1-2/partial-001.png": B, "ig_1-2/final.png": D}
    save(run_of(A, B, result=D), tmp_path, keep="latest")
    assert not (tmp_path / "ig_1-3").exists()


def test_a_run_without_pictures_is_never_lost_in_the_folder_of_another_run(tmp_path: Path) -> None:
    save(run_of(A, result=B), tmp_path)
    failed = [samples.added("ig_1"), samples.error("moderation_blocked", "no")]
    for _ in range(2):  # the same run twice: the second one writes nothing
        save(failed, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ig_1", "ig_1-2"]
    assert json.loads((tmp_path / "ig_1-2" / "item.json").read_text())["state"] == "failed"


def test_refused_pictures_count_as_pictures(tmp_path: Path) -> None:
    broken = [*run_of(A), samples.partial("ig_1", 1, B[:-20])]
    save(run_of(A, result=B), tmp_path)
    make_old(tmp_path)
    save(broken, tmp_path)
    assert (tmp_path / "ig_1-2" / "rejected-000.png").read_bytes() == B[:-20]
    before = snapshot(tmp_path)
    save(broken, tmp_path)
    assert snapshot(tmp_path) == before


def test_a_file_or_a_link_in_the_place_of_a_folder_stays(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    for folder in (out, outside):
        folder.mkdir()
    (out / "ig_1").symlink_to(outside)
    (out / "ig_2").write_bytes(b"mine")
    for item_id in ("ig_1", "ig_2"):
        with pytest.raises(SinkError, match="is in the way: it is a file or a link") as caught:
            save(run_of(A, result=B, item_id=item_id), out)
        assert caught.value.path == str(out / item_id)
    assert (out / "ig_1").is_symlink()
    assert (out / "ig_2").read_bytes() == b"mine"
    assert list(outside.iterdir()) == []


def test_an_id_that_looks_like_the_second_folder_of_another_one_shares_none_with_it(tmp_path: Path) -> None:
    save(run_of(A, result=B, item_id="image-0-2"), tmp_path)
    for picture in (C, D):
        save([samples.image_completed(picture)], tmp_path)
    finals = {path.parent.name: path.read_bytes() for path in tmp_path.glob("*/final.png")}
    assert finals == {"image-0": C, "image-0-2": B, "image-0-3": D}
    found = assemble(saved_events(tmp_path)).items
    assert {name: item.final.data for name, item in found.items() if item.final} == finals


# ---- a folder of another run that changes


def test_a_shared_picture_that_is_removed_is_written_again(tmp_path: Path) -> None:
    save(run_of(A, result=B), tmp_path)
    make_old(tmp_path)
    assembler, sink = Assembler(), DirectorySink(tmp_path)
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.feed(samples.partial("ig_1", 0, A))
    shutil.rmtree(tmp_path / "ig_1")
    assembler.feed(samples.done("ig_1", B))
    assembler.close()
    sink.close()
    assert set(pictures_in(tmp_path).values()) == {A, B}
    assert sink.paths_found == ()
    assert all(path.is_file() for path in sink.paths)


def test_a_shared_picture_that_is_gone_from_disk_and_memory_is_an_error(tmp_path: Path) -> None:
    save(run_of(A, B, result=C), tmp_path)
    make_old(tmp_path)
    assembler, sink = Assembler(keep="latest"), DirectorySink(tmp_path)
    sink.open(assembler)
    assembler.subscribe(sink)
    for event in run_of(A, B):
        assembler.feed(event)
    (tmp_path / "ig_1" / "partial-000.png").unlink()
    assembler.feed(samples.done("ig_1", D))
    assembler.close()
    with pytest.raises(SinkError, match="was removed by another program"):
        sink.close()
    found = {name: data for name, data in pictures_in(tmp_path).items() if "-2/" in name}
    assert found == {"ig_1-2/partial-001.png": B, "ig_1-2/final.png": D}
    facts = json.loads((tmp_path / "ig_1-2" / "item.json").read_text())
    assert [frame["file"] for frame in facts["partials"]] == ["partial-001.png"]


def test_a_folder_that_another_run_made_in_the_place_of_a_removed_one_stays(tmp_path: Path) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path)
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.feed(samples.partial("ig_1", 0, A))
    (tmp_path / "ig_1").rename(tmp_path / "moved")
    save(run_of(C, result=D), tmp_path)
    before = snapshot(tmp_path / "ig_1")
    assembler.feed(samples.done("ig_1", B))
    assembler.close()
    sink.close()
    assert snapshot(tmp_path / "ig_1") == before
    found = {name: data for name, data in pictures_in(tmp_path).items() if "-2/" in name}
    assert found == {"ig_1-2/partial-000.png": A, "ig_1-2/final.png": B}


def test_the_temporary_file_of_a_live_run_is_never_removed(tmp_path: Path) -> None:
    save(run_of(A), tmp_path)
    theirs = tmp_path / "ig_1" / ".imgassemble-0123456789abcdef.tmp"
    theirs.write_bytes(b"half")
    save(run_of(B), tmp_path)
    assert theirs.read_bytes() == b"half"


# ---- several runs at once

_RUN = """
import sys
from imgassemble.cli import save
from imgassemble.cli.main import main
print("ready", flush=True)
sys.stdin.readline()
sys.exit(main(["save", sys.argv[1], "-o", sys.argv[2]]))
"""


def save_at_once(streams: list[list[samples.Wire]], out: Path) -> None:
    """Save each stream in a process of its own, all at the same moment."""
    runs = []
    for at, events in enumerate(streams):
        source = out.with_name(f"stream-{at}.sse")
        source.write_bytes(samples.sse(events))
        command = [sys.executable, "-c", _RUN, str(source), str(out)]
        runs.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    assert [run.stdout and run.stdout.readline() for run in runs] == [b"ready\n"] * len(runs)
    for run in runs:
        assert run.stdin is not None
        run.stdin.write(b"go\n")
        run.stdin.flush()
    with ThreadPoolExecutor(len(runs)) as pool:
        errors = list(pool.map(lambda run: run.communicate()[1], runs))
    assert not any(b"Traceback" in error for error in errors), errors
    assert [run.returncode for run in runs] == [0] * len(runs), errors


def images(*pictures: bytes) -> list[samples.Wire]:
    previews = [samples.image_partial(index=at, content=picture) for at, picture in enumerate(pictures[:-1])]
    return [*previews, samples.image_completed(pictures[-1])]


def test_eight_runs_at_once_keep_eight_different_pictures(tmp_path: Path) -> None:
    out = tmp_path / "out"
    streams = [images(samples.png(9), samples.png(20 + at), samples.png(30 + at)) for at in range(8)]
    save_at_once(streams, out)
    finals = sorted(path.read_bytes() for path in out.glob("*/final.png"))
    assert finals == sorted(samples.png(30 + at) for at in range(8))
    assert len(pictures_in(out)) == 24
    found = assemble(saved_events(out)).items.values()
    assert sorted(item.final.data for item in found if item.final) == finals
    watched = assemble(watched_events(out, is_over=lambda: True)).items.values()
    assert sorted(item.final.data for item in watched if item.final) == finals


def test_eight_equal_runs_at_once_share_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    save_at_once([images(A, B, C)] * 8, out)
    assert pictures_in(out) == {
        "image-0/partial-000.png": A,
        "image-0/partial-001.png": B,
        "image-0/final.png": C,
    }


def test_the_result_of_a_run_whose_service_says_completed_first_is_waited_for(tmp_path: Path) -> None:
    events = [samples.partial("ig_1", 0, A), samples.call("completed", "ig_1"), samples.done("ig_1", B)]
    first = Assembler()
    sink = DirectorySink(tmp_path, durable=False)
    sink.open(first)
    first.subscribe(sink)
    for event in events[:2]:
        first.feed(event)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(save, events, tmp_path, durable=False)
        first.feed(events[2])
        assert {path.parent.name for path in second.result().paths} == {"ig_1"}
    assert [path.name for path in tmp_path.iterdir()] == ["ig_1"]


class FinishedDuringLook(Mapping[str, str]):
    """The files of a run; the other run finishes while these are compared for the `n_looks`-th time."""

    def __init__(self, files: dict[str, bytes], finish: Callable[[], object], *, n_looks: int) -> None:
        self._digests = {name: sha256(data).hexdigest() for name, data in files.items()}
        self._finish, self._n_looks = finish, n_looks

    def __iter__(self) -> Iterator[str]:
        self._n_looks -= 1
        yield from self._digests
        if self._n_looks == 0:
            self._finish()

    def __getitem__(self, name: str) -> str:
        return self._digests[name]

    def __len__(self) -> int:
        return len(self._digests)


@pytest.mark.parametrize("n_looks", [1, 2, 3])
def test_a_run_that_ends_between_two_looks_is_shared(n_looks: int, tmp_path: Path) -> None:
    folder = tmp_path / "ig_1"
    folder.mkdir()

    def finish() -> None:
        (folder / "final.png").write_bytes(A)
        (folder / "item.json").write_text('{"id": "ig_1", "state": "completed"}')

    files = FinishedDuringLook({"final.png": A}, finish, n_looks=n_looks)
    assert FolderSearch(folder).find(lambda: files) == (folder, False)


@pytest.mark.parametrize(("age", "name"), [(2, "ig_1"), (OLD, "ig_1-2")])
def test_a_result_that_the_disk_takes_seconds_to_write_is_shared(age: float, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "ig_1"
    folder.mkdir()
    temporary = folder / ".imgassemble-0123456789abcdef.tmp"
    temporary.write_bytes(A)
    for path in (temporary, folder):
        os.utime(path, (time.time() - age,) * 2)

    files = FinishedDuringLook({"final.png": A}, lambda: temporary.rename(folder / "final.png"), n_looks=7)
    assert FolderSearch(folder).find(lambda: files)[0].name == name


def test_two_runs_with_the_same_ids_are_read_back_with_all_their_results(tmp_path: Path) -> None:
    for picture in (A, B):
        for event in (samples.done("ig_1", picture), samples.done(None, picture, output_index=0)):
            save([samples.created(), event], tmp_path)
    finals = sorted(path.read_bytes() for path in tmp_path.glob("*/final.png"))
    assert finals == sorted([A, A, B, B])
    for events in (saved_events(tmp_path), watched_events(tmp_path, is_over=lambda: True)):
        found = assemble(events).items.values()
        assert sorted(item.final.data for item in found if item.final) == finals


@pytest.mark.parametrize(("age", "name"), [(5, "ig_1"), (OLD, "ig_1-2")])
def test_a_run_that_gets_the_same_result_a_moment_later_is_waited_for(
    age: float, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgassemble.storage.placing._SKEW_S", 60)  # a busy machine needs more than a moment
    folder = tmp_path / "ig_1"
    folder.mkdir()
    os.utime(folder, (time.time() - age,) * 2)
    files = FinishedDuringLook({"final.png": A}, lambda: (folder / "final.png").write_bytes(A), n_looks=3)
    assert FolderSearch(folder).find(lambda: files)[0].name == name
