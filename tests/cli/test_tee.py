"""`imgassemble save --tee`: the copy of the stream."""

from __future__ import annotations

import io
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import samples

from cli.running import (
    FINAL,
    WHOLE,
    pictures_in,
    run,
    stream_file,
)
from imgassemble.cli.main import main


@pytest.mark.parametrize(
    "body", [samples.sse(WHOLE), samples.sse(WHOLE).replace(b"\n", b"\r\n") + b"\0\xff", b"", b"<html>"]
)
def test_tee_copies_the_stream_byte_for_byte(body: bytes, tmp_path: Path) -> None:
    tee = tmp_path / "tee"
    with stream_file(tmp_path, body).open("rb") as stdin:
        run("save", "-", "-o", tmp_path / "out", "--tee", tee, stdin=stdin)
    assert tee.read_bytes() == body


@pytest.mark.parametrize("kind", ["file", "link", "link to nowhere", "folder"])
def test_tee_overwrites_nothing_and_the_pictures_are_still_saved(kind: str, tmp_path: Path) -> None:
    tee, other = tmp_path / "tee", tmp_path / "other"
    other.write_bytes(b"mine")
    make: dict[str, Callable[[], object]] = {
        "file": lambda: tee.write_bytes(b"mine"),
        "link": lambda: tee.symlink_to(other),
        "link to nowhere": lambda: tee.symlink_to(tmp_path / "nowhere"),
        "folder": tee.mkdir,
    }
    make[kind]()
    ended = run("save", stream_file(tmp_path, WHOLE), "-o", tmp_path / "out", "--tee", tee)
    assert ended.returncode == 7
    assert ended.stderr.startswith(f"imgassemble: cannot write '{tee}': ")
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL
    assert other.read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()
    assert kind != "file" or tee.read_bytes() == b"mine"


def limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, resource.RLIM_INFINITY))


@pytest.mark.parametrize("more", [[], ["--resume"]])
@pytest.mark.parametrize("is_piped", [False, True])
@pytest.mark.parametrize("kind", ["the file", "a hard link", "a link"])
def test_a_stream_is_never_copied_into_itself(kind: str, is_piped: bool, more: list[str], tmp_path: Path) -> None:
    stream = stream_file(tmp_path, WHOLE)
    tee = stream if kind == "the file" else tmp_path / "tee"
    if kind == "a hard link":
        tee.hardlink_to(stream)
    elif kind == "a link":
        tee.symlink_to(stream)
    with stream.open("rb") as stdin:
        ended = run(
            *("save", "-" if is_piped else stream, "-o", tmp_path / "out", "--tee", tee, *more),
            stdin=stdin if is_piped else None,
            preexec_fn=limit_file_size,
        )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"imgassemble: --tee '{tee}' is SOURCE itself: leave it out, or name another file\n"
    assert stream.read_bytes() == samples.sse(WHOLE)
    assert not (tmp_path / "out").exists()


def test_the_copy_may_be_in_the_output_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["save", str(stream_file(tmp_path, WHOLE)), "-o", str(out), "--tee", str(out / "raw.sse")]) == 0
    assert (out / "raw.sse").read_bytes() == samples.sse(WHOLE)


def test_a_copy_that_cannot_be_completed_is_a_storage_error(tmp_path: Path) -> None:
    body = samples.sse(WHOLE) + b": keep-alive\n\n" * 2_000
    ended = run(
        "save",
        stream_file(tmp_path, body),
        "-o",
        tmp_path / "out",
        "--tee",
        tmp_path / "tee",
        preexec_fn=limit_file_size,
    )
    assert ended.returncode == 7
    assert f"cannot write '{tmp_path / 'tee'}'" in ended.stderr
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


class FailingFile(io.BytesIO):
    """A file whose reading fails at its end."""

    def read1(self, size: int | None = -1, /) -> bytes:
        if chunk := super().read1(size):
            return chunk
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("is_tee", [False, True])
def test_a_source_that_fails_is_reported_once_with_and_without_a_copy(
    is_tee: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body, tee = samples.sse(WHOLE[:4]), tmp_path / "tee"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=FailingFile(body)))
    assert main(["save", "-", "-o", str(tmp_path / "out"), *(["--tee", str(tee)] if is_tee else [])]) == 3
    assert capsys.readouterr().err.count("reading the stream failed: Input/output error") == 1
    assert not is_tee or tee.read_bytes() == body
    assert list(pictures_in(tmp_path / "out")) == ["ig_1/partial-000.png", "ig_1/partial-001.png"]
