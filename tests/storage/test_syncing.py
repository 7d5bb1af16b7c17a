"""Results that a durable sink has reported outlast a power cut, and no event loop waits for a disk."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from errno import EINVAL, EIO
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import pytest
import samples

from imgassemble import (
    Assembler,
    DirectorySink,
    FinalReady,
    FrameAdded,
    ItemEnded,
    SinkError,
    aassemble,
    assemble,
    saved_events,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the record of syncs reads /proc")

PREVIEW, RESULT, OTHER = samples.png(3), samples.png(4), samples.png(5)
STREAM = [
    samples.created(seq=0),
    samples.partial("ig_1", 0, PREVIEW, seq=1),
    samples.done("ig_1", RESULT, seq=2),
    samples.partial("ig_2", 0, OTHER, seq=3),
    samples.snapshot("incomplete", [], seq=4),
]


class Disk:
    """Records each `os.fsync`, and gives the files that a power cut would leave.

    A file has the bytes of its last sync. A folder has the names of its last sync.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.synced: list[str] = []
        self.threads: set[threading.Thread] = set()
        self._bytes: dict[int, bytes] = {}  # by inode
        self._names: dict[int, dict[str, int]] = {}
        self._pins: list[int] = []  # a synced inode is not given to another file
        self._fsync = os.fsync
        self._names[root.stat().st_ino] = {}
        patch.setattr(os, "fsync", self._record)

    def _record(self, handle: int) -> None:
        self._fsync(handle)
        facts = os.fstat(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        self._pins.append(os.dup(handle))
        self.threads.add(threading.current_thread())
        self.synced.append(path.name)
        if S_ISDIR(facts.st_mode):
            self._names[facts.st_ino] = {each.name: each.lstat().st_ino for each in path.iterdir()}
        else:
            self._bytes[facts.st_ino] = path.read_bytes()

    def after_a_power_cut(self) -> dict[str, bytes]:
        """Return the files that are left."""
        return dict(self._files_in(self.root.stat().st_ino, ""))

    def _files_in(self, folder: int, path: str) -> Iterator[tuple[str, bytes]]:
        for name, inode in self._names.get(folder, {}).items():
            if inode in self._names or inode not in self._bytes:
                yield from self._files_in(inode, f"{path}{name}/")
            if inode in self._bytes:
                yield f"{path}{name}", self._bytes[inode]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


async def _events(events: list[samples.Wire]) -> AsyncIterator[samples.Wire]:
    for event in events:
        yield event


def _assemble(events: list[samples.Wire], sink: DirectorySink, on_update: Callable[[Any], object]) -> None:
    assemble(events, sinks=[sink], on_update=on_update)


def _aassemble(events: list[samples.Wire], sink: DirectorySink, on_update: Callable[[Any], object]) -> None:
    asyncio.run(aassemble(_events(events), sinks=[sink], on_update=on_update))


DRIVERS = pytest.mark.parametrize("run", [_assemble, _aassemble])


@DRIVERS
@pytest.mark.parametrize("existing", ["beside", "refuse", "replace", "continue"])
def test_a_reported_result_outlasts_a_power_cut(run: Any, existing: Any, disk: Disk, tmp_path: Path) -> None:
    reported = []

    def check(update: object) -> None:
        left = disk.after_a_power_cut()
        if isinstance(update, FinalReady):
            reported.append(update.item_id)
            assert left["deep/out/ig_1/final.png"] == RESULT
        elif isinstance(update, ItemEnded):
            reported.append(update.item_id)
            facts = json.loads(left[f"deep/out/{update.item_id}/item.json"])
            assert facts["state"] == update.state

    failed: list[BaseException] = []

    def on_update(update: object) -> None:
        try:
            check(update)
        except BaseException as error:  # a driver only logs it
            failed.append(error)
            raise

    run(STREAM, DirectorySink(tmp_path / "deep" / "out", existing=existing), on_update)
    assert failed == []
    assert reported == ["ig_1", "ig_1", "ig_2"]


def test_a_result_that_another_run_wrote_outlasts_a_power_cut(disk: Disk, tmp_path: Path) -> None:
    assemble(STREAM, sinks=[DirectorySink(tmp_path / "out", durable=False)])
    assert disk.synced == []
    assemble(STREAM, sinks=[DirectorySink(tmp_path / "out")])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ig_1", "ig_2"]
    assert disk.after_a_power_cut()["out/ig_1/final.png"] == RESULT


def test_a_result_in_a_new_folder_beside_another_run_outlasts_a_power_cut(disk: Disk, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assemble(STREAM, sinks=[DirectorySink(out)])
    assemble([*STREAM[:2], samples.done("ig_1", OTHER, seq=2)], sinks=[DirectorySink(out)])
    left = disk.after_a_power_cut()
    assert (left["out/ig_1/final.png"], left["out/ig_1-2/final.png"]) == (RESULT, OTHER)
    assert json.loads(left["out/ig_1-2/item.json"])["state"] == "completed"


def test_a_run_is_continued_after_a_power_cut(disk: Disk, tmp_path: Path) -> None:
    out, left = tmp_path / "out", tmp_path / "left"
    assembler, sink = Assembler(), DirectorySink(out)
    sink.open(assembler)
    assembler.subscribe(sink)
    for event in STREAM[:4]:
        assembler.feed(event)
    for name, data in disk.after_a_power_cut().items():
        path = left / Path(name).relative_to("out")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert assemble(saved_events(left)).items["ig_1"].final
    assemble(STREAM, sinks=[DirectorySink(left, existing="continue")])
    assert {str(path.relative_to(left)) for path in left.rglob("*.png")} == {
        "ig_1/partial-000.png", "ig_1/final.png", "ig_2/partial-000.png",
    }  # fmt: skip


def test_a_result_costs_three_syncs_and_those_of_the_new_folders(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assemble(STREAM[:3], sinks=[DirectorySink(tmp_path / "out")])
    assert [name.endswith(".tmp") for name in disk.synced] == [True, True, False, False, False]
    assert disk.synced[2:] == ["ig_1", tmp_path.name, "out"]


@DRIVERS
def test_previews_are_not_synced(run: Any, disk: Disk, tmp_path: Path) -> None:
    counts: list[int] = []

    def count(update: object) -> None:
        if isinstance(update, FrameAdded):
            counts.append(len(disk.synced))

    run([samples.partial("ig_1", at) for at in range(5)], DirectorySink(tmp_path / "out"), count)
    assert counts == [0] * 5
    assert "partial-000.png" not in disk.synced


def test_a_sink_that_is_not_durable_syncs_nothing(disk: Disk, tmp_path: Path) -> None:
    assemble(STREAM, sinks=[DirectorySink(tmp_path / "out", durable=False)])
    assert disk.synced == []


@pytest.mark.parametrize("is_closed_on_the_loop", [True, False])
def test_nothing_is_synced_on_the_thread_of_an_event_loop(
    is_closed_on_the_loop: bool, disk: Disk, tmp_path: Path
) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path / "out")

    async def feed() -> None:
        sink.open(assembler)
        assembler.subscribe(sink)
        for event in STREAM:
            assembler.feed(event)
        assembler.close()
        if is_closed_on_the_loop:
            sink.close()

    loop_thread = threading.Thread(target=lambda: asyncio.run(feed()))
    loop_thread.start()
    loop_thread.join()
    if not is_closed_on_the_loop:
        assert disk.synced == []
        sink.close()
    for thread in threading.enumerate():
        if thread.name == "imgassemble sync":
            thread.join()
    assert loop_thread not in disk.threads
    left = disk.after_a_power_cut()
    assert left["out/ig_1/final.png"] == RESULT
    assert json.loads(left["out/ig_1/item.json"])["state"] == "completed"


def test_the_async_driver_syncs_in_another_thread(disk: Disk, tmp_path: Path) -> None:
    asyncio.run(aassemble(_events(STREAM), sinks=[DirectorySink(tmp_path / "out")]))
    assert disk.threads
    assert threading.current_thread() not in disk.threads


def test_a_sync_that_fails_is_a_sink_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(handle: int) -> None:
        raise OSError(EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SinkError, match="Input/output error") as caught:
        assemble(STREAM, sinks=[DirectorySink(tmp_path)])
    assert caught.value.errno == EIO
    assert caught.value.result.items["ig_1"].final.data == RESULT


def test_a_file_system_without_syncs_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(handle: int) -> None:
        raise OSError(EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fail)
    assemble(STREAM, sinks=[DirectorySink(tmp_path)])
    assert (tmp_path / "ig_1" / "final.png").read_bytes() == RESULT
