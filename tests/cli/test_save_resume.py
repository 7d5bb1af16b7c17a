"""`save --resume` continues a run that was killed at any moment, and loses nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import samples

from imgassemble import DirectorySink, assemble
from imgassemble.simulator.answers import Order, play

PLAY = play(Order(size=(48, 32), items=3, partials=3))
BODY = b"".join(PLAY.body)
SAVE = [sys.executable, "-m", "imgassemble", "save", "-"]


def save(stream: bytes, folder: Path, *flags: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*SAVE, "-o", str(folder), *flags], input=stream, capture_output=True)


def files_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            found[str(path.relative_to(folder))] = without_times(json.loads(data)) if path.suffix == ".json" else data
    return found


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(each) for name, each in value.items() if name != "received_at"}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def test_a_killed_run_that_is_resumed_ends_with_the_files_of_a_whole_run(tmp_path: Path) -> None:
    save(BODY, tmp_path / "whole")
    for at in range(2, len(PLAY.body), 5):
        folder = tmp_path / str(at)
        with subprocess.Popen(
            [*SAVE, "-o", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as run:
            assert run.stdin is not None
            run.stdin.write(b"".join(PLAY.body[:at]))
            run.stdin.flush()
            run.send_signal(signal.SIGKILL)  # while it works through them
        again = save(BODY, folder, "--resume")
        assert again.returncode == 0, again.stderr
        assert files_in(folder) == files_in(tmp_path / "whole"), at


@pytest.mark.parametrize("last", ["partial", "final"])
def test_a_picture_that_item_json_did_not_describe_yet_is_described_in_the_end(tmp_path: Path, last: str) -> None:
    save(BODY, tmp_path / "whole")
    torn = 0
    for at in range(6, len(PLAY.body), 6):
        folder = tmp_path / str(at)
        assemble([b"".join(PLAY.body[:at])], sinks=[DirectorySink(folder)])  # without the start of a process
        for path in folder.glob("*/item.json"):  # as if the run was killed between the picture and this file
            facts = json.loads(path.read_text())
            if last == "final" and facts["final"]:
                facts |= {"final": None, "state": "partial_image"}
            elif last == "partial" and facts["partials"] and not facts["final"]:
                facts |= {"partials": facts["partials"][:-1], "state": "in_progress"}
            else:
                continue
            path.write_text(json.dumps(facts))
            torn += 1
        assert save(BODY, folder, "--resume").returncode == 0
        assert files_in(folder) == files_in(tmp_path / "whole"), at
    assert torn


def test_the_copy_of_a_torn_stream_is_extended_and_replays_as_a_whole(tmp_path: Path) -> None:
    tee, cut = tmp_path / "stream.sse", len(BODY) // 2
    assert save(BODY[:cut], tmp_path / "out", "--tee", str(tee)).returncode == 3
    assert tee.read_bytes() == BODY[:cut]
    assert save(BODY, tmp_path / "out", "--resume", "--tee", str(tee)).returncode == 0
    assert tee.read_bytes() == BODY[:cut] + b"\n\n" + BODY
    once, again = assemble([BODY]), assemble([tee.read_bytes()])
    assert again.items == once.items
    assert [anomaly.code for anomaly in again.anomalies] == ["unreadable_event"]


def test_without_resume_the_copy_must_be_new(tmp_path: Path) -> None:
    tee = tmp_path / "stream.sse"
    tee.write_bytes(b"mine")
    assert save(BODY, tmp_path / "out", "--tee", str(tee)).returncode == 7
    assert tee.read_bytes() == b"mine"


def test_resume_without_an_earlier_run_is_a_first_run(tmp_path: Path) -> None:
    assert save(BODY, tmp_path / "out", "--resume").returncode == 0
    save(BODY, tmp_path / "whole")
    assert files_in(tmp_path / "out") == files_in(tmp_path / "whole")


def test_the_rest_of_the_stream_is_enough_to_resume(tmp_path: Path) -> None:
    save(BODY, tmp_path / "whole")
    for at in (5, 9, len(PLAY.body) - 3):
        folder = tmp_path / str(at)
        save(b"".join(PLAY.body[:at]), folder)
        assert save(b"".join(PLAY.body[at:]), folder, "--resume").returncode == 0
        pictures = {name: data for name, data in files_in(folder).items() if not name.endswith(".json")}
        assert pictures == {n: d for n, d in files_in(tmp_path / "whole").items() if not n.endswith(".json")}


def test_saved_pictures_count_for_the_exit_code(tmp_path: Path) -> None:
    events = [
        samples.partial("ig_1", 0, seq=1, partial_image_b64="!!bad"),
        samples.done("ig_1", samples.png(3), seq=2),
        samples.snapshot("completed", [], seq=3),
    ]
    out = tmp_path / "out"
    assert save(samples.sse(events[:2]), out).returncode == 0
    for stream in (samples.sse(events), samples.sse(events), b"", samples.sse(events[2:])):
        assert save(stream, out, "--resume").returncode == 0
    assert save(b"", tmp_path / "nothing", "--resume").returncode == 6
    assert save(samples.sse(events[:1]), tmp_path / "bad", "--resume").returncode == 6


def test_a_damaged_item_json_causes_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "ig_1").mkdir()
    (tmp_path / "ig_1" / "item.json").write_text('{"id": "ig_1", "partials": 5, "final": "x"}')
    again = save(samples.sse([samples.done("ig_1", samples.png(3))]), tmp_path, "--resume")
    assert (again.returncode, b"Traceback" in again.stderr) == (0, False)
    assert (tmp_path / "ig_1" / "final.png").read_bytes() == samples.png(3)


def test_a_temporary_file_that_cannot_be_removed_is_reported_at_the_end(tmp_path: Path) -> None:
    in_the_way = tmp_path / "x" / ".imgassemble-a.tmp"
    in_the_way.mkdir(parents=True)
    again = save(BODY, tmp_path, "--resume")
    assert again.returncode == 7
    assert str(in_the_way).encode() in again.stderr
    assert len(list(tmp_path.glob("*/final.png"))) == 3


@pytest.mark.parametrize("flags", [["--resume", "--overwrite"], ["--refuse", "--overwrite"], ["--resume", "--refuse"]])
def test_resume_overwrite_and_refuse_exclude_each_other(flags: list[str], tmp_path: Path) -> None:
    run = save(BODY, tmp_path / "out", *flags)
    assert run.returncode == 2
    assert run.stderr.count(b"\n") == 1


@pytest.mark.parametrize("name", ["a" * 180, "b" * 150])
def test_a_long_path_is_printed_whole(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    printed = save(BODY, folder).stdout.decode().split()
    assert {Path(path) for path in printed} == set(folder.glob("*/final.png"))
