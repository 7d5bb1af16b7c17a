"""Files: whole or absent, with the permissions of the user's umask, and never written through a link."""

from __future__ import annotations

import os
import resource
import secrets
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EFBIG
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgassemble import SinkError
from imgassemble.files import sink_error, write_atomically


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@given(data=st.binary(max_size=2_000))
def test_the_bytes_are_written_as_they_are(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.bin"
    assert write_atomically(path, data) == path
    assert path.read_bytes() == data


def test_a_path_may_be_text(tmp_path: Path) -> None:
    assert write_atomically(str(tmp_path / "a"), b"x") == tmp_path / "a"


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o666), (0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_permissions_that_the_umask_gives(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


@contextmanager
def no_large_files() -> Iterator[None]:
    """The disk takes no file beyond 4,000 bytes: writing more stops in the middle."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, before[1]))
    try:
        yield
    finally:  # within the test: pytest itself may be writing to a file
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with no_large_files(), pytest.raises(SinkError) as caught:
        write_atomically(tmp_path / "a.png", bytes(1_000_000))
    assert (caught.value.errno, caught.value.path) == (EFBIG, str(tmp_path / "a.png"))
    assert isinstance(caught.value.__cause__, OSError)
    assert _names(tmp_path) == []


def test_a_write_that_fails_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    with no_large_files(), pytest.raises(SinkError):
        write_atomically(tmp_path / "a.png", bytes(1_000_000))
    assert _names(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_an_interrupt_in_the_middle_leaves_nothing_and_passes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.png", b"x")
    assert _names(tmp_path) == []


_KILLED = """
import os, signal, sys
from pathlib import Path
from imgassemble.files import write_atomically
Path.replace = os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(sys.argv[1], b"new" * 100_000)
"""


def test_a_process_killed_in_the_middle_leaves_no_half_file_under_the_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    ended = subprocess.run([sys.executable, "-c", _KILLED, tmp_path / "a.png"], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (tmp_path / "a.png").read_bytes() == b"old"
    others = [name for name in _names(tmp_path) if name != "a.png"]
    assert [(name[0], name[-4:]) for name in others] == [(".", ".tmp")]


def test_a_link_under_the_temporary_name_is_refused_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda size: "0" * 2 * size)
    (tmp_path / "folder").mkdir()
    write_atomically(tmp_path / "folder" / "a", b"x")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (tmp_path / "folder" / f".imgassemble-{'0' * 16}.tmp").symlink_to(secret)
    with pytest.raises(SinkError):
        write_atomically(tmp_path / "folder" / "a", b"y")
    assert secret.read_bytes() == b"secret"
    assert (tmp_path / "folder" / "a").read_bytes() == b"x"


def test_the_temporary_file_of_another_program_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda size: "0" * 2 * size)
    theirs = tmp_path / f".imgassemble-{'0' * 16}.tmp"
    theirs.write_bytes(b"theirs")
    with pytest.raises(SinkError):
        write_atomically(tmp_path / "a", b"x")
    assert theirs.read_bytes() == b"theirs"


def test_a_link_under_the_final_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (tmp_path / "a").symlink_to(secret)
    write_atomically(tmp_path / "a", b"x")
    assert not (tmp_path / "a").is_symlink()
    assert secret.read_bytes() == b"secret"


@pytest.mark.parametrize("is_link", [False, True])
def test_a_special_file_is_never_replaced(is_link: bool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "pipe"
    if is_link:
        path = tmp_path / "link"
        path.symlink_to("pipe")
    before = _names(tmp_path)
    with pytest.raises(SinkError, match="a device, a pipe or a socket") as caught:
        write_atomically(path, b"x")
    assert caught.value.path == str(path)
    assert (_names(tmp_path), (tmp_path / "pipe").is_fifo(), path.is_symlink()) == (before, True, is_link)


def test_the_null_device_is_never_replaced() -> None:
    with pytest.raises(SinkError, match="a device, a pipe or a socket"):
        write_atomically(os.devnull, b"x")
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "é" * 120 + ".png", "猫" * 80 + ".png", "a", ".hidden", "…"])
def test_any_name_that_the_file_system_takes_can_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")  # it does take it
    write_atomically(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"
    assert _names(tmp_path) == [name]


@pytest.mark.parametrize("path", ["missing/a", "a\0b", "folder", "file/a", "a" * 300, "", ".", "..", "/"])
def test_a_path_that_cannot_be_written_is_a_sink_error_with_its_path(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SinkError) as caught:
        write_atomically(path, b"x")
    assert caught.value.path == str(Path(path))
    assert str(caught.value).isprintable()
    assert _names(tmp_path) == ["file", "folder"]
    assert _names(tmp_path / "folder") == []


def test_the_sentence_of_a_failed_write_names_path_reason_and_remedy() -> None:
    error = sink_error("/d/\x1b[2Ja", OSError(28, "No space left on device"))
    assert str(error) == ("cannot write '/d/ [2Ja': No space left on device; choose another place, or free this one")
    assert (error.path, error.errno) == ("/d/\x1b[2Ja", 28)
    missing = sink_error("no/such/a.png", OSError(2, "No such file or directory"))
    assert str(missing) == "cannot write 'no/such/a.png': No such file or directory; make its folder first"
