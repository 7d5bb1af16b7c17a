"""`imgassemble watch`: the pictures and lines in a terminal. The drawing in terminals is tested in screens/."""

from __future__ import annotations

import re
from pathlib import Path

import samples

from cli.running import (
    FAILED,
    FINAL,
    JPEG,
    REFUSAL,
    WHOLE,
    run,
    stream_file,
)


def test_watch_without_a_terminal_prints_every_change_as_a_line(tmp_path: Path) -> None:
    ended = run("watch", stream_file(tmp_path, [*WHOLE, samples.partial("ig_2", "x"), samples.done("ig_2", JPEG)]))
    assert ended.stdout.splitlines() == [
        "image 1: generating",
        "image 1: preview 1",
        "image 1: preview 2",
        "image 1: final, PNG 5x4",
        "image 2: preview 1",
        "image 2: final, JPEG 8x6",
    ]
    anomaly, outcome = (re.sub(r"^ *\d+\.\d\d s  ", "", line) for line in ended.stderr.splitlines())
    assert anomaly.startswith("problem: ")
    assert outcome == "completed"
    assert [path.name for path in tmp_path.iterdir()] == ["stream.sse"]


def test_watch_draws_on_request_without_a_terminal(tmp_path: Path) -> None:
    ended = run("watch", stream_file(tmp_path, WHOLE), "--graphics", "blocks", "--size", "1536x1024")
    assert "▀" in ended.stdout
    assert "waiting for the first preview" in ended.stdout
    assert "\x1b" not in ended.stderr


def test_watch_joins_rotating_ids_on_request(tmp_path: Path) -> None:
    events = [samples.partial("ig_a"), samples.done("ig_b", FINAL)]
    ended = run("watch", stream_file(tmp_path, events), "--key-by", "output_index")
    assert ended.stdout.splitlines() == ["image 1: preview 1", "image 1: final, PNG 5x4"]


def test_watch_prints_the_outcome_of_a_stream_without_items(tmp_path: Path) -> None:
    assert run("watch", stream_file(tmp_path, REFUSAL)).stdout.startswith("no image")
    assert "failed: the service failed (server_error)" in run("watch", stream_file(tmp_path, FAILED)).stdout
