"""Storage that fails in the middle of a stream: `PYTHONPATH=tests python -m soak.disk`.

A disk that is full, a folder that may not be written to any more, a sink that raises: it is a SinkError with its path,
the stream goes on, and written files stay. A test that the machine does not allow is reported with its reason.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from shutil import which

import samples
from samples import png_chunk

from imgassemble import Assembler, DirectorySink, Outcome, SinkError, Update, assemble

SMALL, LARGE = samples.png(colour=(1, 2, 3)), samples.png(9, 9, colour=(3, 2, 1))
LARGE = LARGE[:-12] + png_chunk(b"teSt", Random(1).randbytes(300_000)) + LARGE[-12:]
_DISK_BYTES = 128 * 1024


class NotHereError(Exception):
    """This machine does not let us bring that about; the message says why."""


def _events(trouble: Callable[[], object] = lambda: None) -> Iterator[samples.Wire]:
    """Return two pictures that fit, then some that cannot be written, and a second item between them."""
    yield samples.partial("ig_1", 0, SMALL)
    yield samples.partial("ig_2", 0, SMALL)
    trouble()
    yield samples.partial("ig_1", 1, LARGE)
    yield samples.done("ig_1", LARGE)
    yield samples.done("ig_2", LARGE)


def _check(folder: Path, run: Callable[[Assembler], object]) -> SinkError:
    """Run a stream whose storage fails, check its laws, and return the error."""
    assembler = Assembler()
    heard: list[Update] = []
    assembler.subscribe(heard.append)
    try:
        run(assembler)
    except SinkError as error:
        assert error.path is not None
        assert Path(error.path).is_relative_to(folder)
        assert assembler.outcome is Outcome.COMPLETED  # the stream went on to its end
        assert [item.final and item.final.data for item in assembler.items.values()] == [LARGE, LARGE]
        for item_id in ("ig_1", "ig_2"):
            assert (folder / item_id / "partial-000.png").read_bytes() == SMALL
            assert not list((folder / item_id).glob("final.*"))
            assert not list((folder / item_id).glob(".imgassemble-*"))
        return error
    raise AssertionError("nobody was told that nothing could be written")


# ---- a full disk


def full_disk() -> SinkError:
    """A disk of 128 KiB; if mounting is not allowed, a limit on the file size."""
    with tempfile.TemporaryDirectory() as place, _small_disk(Path(place)) as is_mounted:
        out = Path(place) / "out"
        if is_mounted:
            return _check(out, lambda assembler: assemble(_events(), sinks=[DirectorySink(out)], assembler=assembler))
        return _check(out, lambda assembler: _with_small_files(out, assembler))


def room_for_a_result() -> SinkError:
    """Fill a disk with the previews of an image: they make room for its result, and another image fails."""
    previews = [samples.partial("ig_1", at, _of_size(at, 30_000)) for at in range(5)]
    result = _of_size(9, 60_000)
    with tempfile.TemporaryDirectory() as place, _small_disk(Path(place)) as is_mounted:
        if not is_mounted:
            raise NotHereError("a disk of 128 KiB cannot be mounted here")
        out = Path(place) / "out"
        try:
            assemble([*previews, samples.done("ig_1", result)], sinks=[DirectorySink(out)])
        except SinkError as error:
            assert (out / "ig_1" / "final.png").read_bytes() == result
            assert not list((out / "ig_1").glob("partial-*"))
            facts = json.loads((out / "ig_1" / "item.json").read_text())
            assert (facts["state"], facts["partials"]) == ("completed", [])
            assert error.path is not None
            assert "partial-" in error.path  # the previews that did not fit
            return error
    raise AssertionError("five previews of 30 KB fit on a disk of 128 KiB")


def _of_size(colour: int, n_bytes: int) -> bytes:
    small = samples.png(colour=(colour, 2, 3))
    return small[:-12] + png_chunk(b"teSt", Random(colour).randbytes(n_bytes)) + small[-12:]


@contextmanager
def _small_disk(place: Path) -> Iterator[bool]:
    is_mounted = _has_done("mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(place))
    try:
        yield is_mounted
    finally:
        if is_mounted:
            assert _has_done("umount", str(place))


def _with_small_files(out: Path, assembler: Assembler) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_DISK_BYTES, before[1]))
    try:
        assemble(_events(), sinks=[DirectorySink(out)], assembler=assembler)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def _has_done(*command: str) -> bool:
    return which(command[0]) is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


# ---- a folder that may not be written to any more


def lost_permission() -> SinkError:
    """The items' folders lose their write permission in the middle. Permissions do not bind root: chattr +i does."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        frozen: list[Path] = []

        def freeze() -> None:
            for folder in (out / "ig_1", out / "ig_2"):
                _freeze(folder)
                frozen.append(folder)

        try:
            return _check(
                out, lambda assembler: assemble(_events(freeze), sinks=[DirectorySink(out)], assembler=assembler)
            )
        finally:
            for folder in frozen:
                folder.chmod(0o755) if os.geteuid() else _has_done("chattr", "-i", str(folder))


def _freeze(folder: Path) -> None:
    if os.geteuid():
        folder.chmod(0o555)
    elif not _has_done("chattr", "+i", str(folder)):
        raise NotHereError("permissions do not bind root, and chattr +i is not possible on this file system")


# ---- a sink that raises


class _Broken:
    """A sink for storage that is gone."""

    paths: tuple[Path, ...] = ()

    def __init__(self, place: Path) -> None:
        self.place = place

    def open(self, assembler: Assembler) -> None:
        pass

    def __call__(self, update: Update) -> None:
        raise SinkError(f"{self.place} is gone", path=self.place)

    def close(self) -> None:
        pass


def broken_sink() -> SinkError:
    """A sink that raises at each update, beside one that works."""
    with tempfile.TemporaryDirectory() as place:
        out, gone = Path(place) / "out", Path(place) / "gone"
        works, assembler = DirectorySink(out), Assembler()
        try:
            assemble(_events(), sinks=[_Broken(gone), works], assembler=assembler)
        except SinkError as error:
            assert error.path == str(gone)
            assert assembler.outcome is Outcome.COMPLETED
            for item_id in ("ig_1", "ig_2"):
                assert (out / item_id / "partial-000.png").read_bytes() == SMALL
                assert (out / item_id / "final.png").read_bytes() == LARGE
                assert (out / item_id / "item.json").exists()
            return error
    raise AssertionError("nobody was told of the sink that failed")


CASES: dict[str, Callable[[], SinkError]] = {
    "a full disk": full_disk,
    "room for a result": room_for_a_result,
    "a folder that lost its permission": lost_permission,
    "a sink that raises": broken_sink,
}


def main() -> None:
    for name, case in CASES.items():
        try:
            print(f"{name}: {case()}")
        except NotHereError as reason:
            print(f"{name}: skipped: {reason}")


if __name__ == "__main__":
    main()
    sys.exit()
