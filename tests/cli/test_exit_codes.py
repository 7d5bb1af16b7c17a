"""The exit codes of the commands that read a stream."""

from __future__ import annotations

from pathlib import Path

import pytest
import samples

from cli.running import (
    BAD_PICTURE,
    CODES,
    FAILED,
    PARTIALS_ONLY,
    WHOLE,
    run,
    stream_file,
)
from imgassemble.cli.main import main


@pytest.mark.parametrize("name", sorted(CODES))
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_the_exit_code_depends_on_the_stream(
    name: str, more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, body = CODES[name]
    assert main(["save", str(stream_file(tmp_path, body)), "-o", str(tmp_path / "out"), *more]) == code
    assert main(["inspect", str(tmp_path / "stream.sse"), *more]) == code
    assert more or main(["watch", str(tmp_path / "stream.sse")]) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["every final", "partials only", "a refusal", "a failure", "HTML"])
def test_the_process_ends_with_the_exit_code(name: str, tmp_path: Path) -> None:
    code, body = CODES[name]
    ended = run("save", stream_file(tmp_path, body), "-o", tmp_path / "out")
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("events", [WHOLE, FAILED, BAD_PICTURE, PARTIALS_ONLY])
def test_a_storage_error_comes_before_all_other_codes(events: list[samples.Wire], tmp_path: Path) -> None:
    (tmp_path / "ig_1").write_bytes(b"mine")
    assert main(["save", str(stream_file(tmp_path, events)), "-o", str(tmp_path)]) == 7
    assert (tmp_path / "ig_1").read_bytes() == b"mine"
