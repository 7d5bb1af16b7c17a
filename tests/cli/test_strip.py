"""The command `imgassemble strip`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imgassemble.cli.main import main

FIXTURES = Path(__file__).parents[2] / "fixtures"


def test_events_are_printed_without_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strip", str(FIXTURES / "openai-2025-10-png.sse")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len("".join(lines)) < 8_000
    results = [json.loads(line).get("item", {}).get("result") for line in lines]
    assert [sorted(result) for result in results if result] == [["sha256"]]


def test_the_lines_are_a_stream_without_a_final(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["strip", str(FIXTURES / "openai-2025-10-png.sse")])
    (tmp_path / "otter.jsonl").write_text(capsys.readouterr().out)
    assert main(["save", str(tmp_path / "otter.jsonl"), "-o", str(tmp_path / "out")]) == 3
    assert "could be read" not in capsys.readouterr().err


def test_bytes_that_are_no_events_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "page.html").write_text("<!doctype html><title>Sign in</title>")
    assert main(["strip", str(tmp_path / "page.html")]) == 6
    said = capsys.readouterr()
    assert (said.out, "an HTML page" in said.err) == ("", True)
