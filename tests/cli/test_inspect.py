"""`imgassemble inspect`: the report as text and as JSON."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import samples
from shared import ROOT

from cli.running import (
    FAILED,
    FINAL,
    JPEG,
    REFUSAL,
    WHOLE,
    run,
    stream_file,
)
from imgassemble import DirectorySink, assemble
from imgassemble.cli.main import main


def test_inspect_json_prints_the_facts_and_times_of_every_image(tmp_path: Path) -> None:
    events = [*WHOLE[:5], samples.partial("ig_2", 0, JPEG)]
    ended = run("inspect", stream_file(tmp_path, events), "--json")
    first, second, stream = (json.loads(line) for line in ended.stdout.splitlines())
    assert (stream["outcome"], stream["events"], stream["anomalies"]) == ("incomplete", 6, [])
    assert (first["id"], first["state"], first["final"]["size"]) == ("ig_1", "completed", [5, 4])
    assert set(first["seconds"]) == {"0", "1", "final"}
    assert (second["id"], second["state"], second["final"]) == ("ig_2", "incomplete", None)
    assert [frame["format"] for frame in second["partials"]] == ["JPEG"]
    assert samples.b64(FINAL)[:20] not in ended.stdout


def test_inspect_names_the_chunks_of_a_png_whose_checksum_is_wrong(tmp_path: Path) -> None:
    damaged = bytearray(FINAL)
    damaged[damaged.index(b"IDAT") + 5] ^= 1
    stream = stream_file(tmp_path, [samples.done("ig_1", bytes(damaged)), samples.done("ig_2", FINAL)])
    assert run("inspect", stream).stdout.count("(damaged: the checksum of IDAT is wrong)") == 1
    first, second, _ = map(json.loads, run("inspect", stream, "--json").stdout.splitlines())
    assert (first["damaged_chunks"], second["damaged_chunks"]) == ({"final": ["IDAT"]}, {})


def test_inspect_says_which_pictures_carry_a_c2pa_manifest(tmp_path: Path) -> None:
    signed = ROOT / "fixtures" / "openai-2025-10-png.sse"
    assert run("inspect", signed).stdout.count("(with a C2PA manifest, not verified)") == 2
    first, _ = map(json.loads, run("inspect", signed, "--json").stdout.splitlines())
    assert first["c2pa_manifests"] == ["0", "final"]
    unsigned = stream_file(tmp_path, WHOLE)
    assert "C2PA" not in run("inspect", unsigned).stdout
    first, _ = map(json.loads, run("inspect", unsigned, "--json").stdout.splitlines())
    assert first["c2pa_manifests"] == []


@pytest.mark.parametrize(
    ("events", "facts"),
    [
        (WHOLE, {"outcome": "completed", "error": None, "response_id": "resp_1", "anomalies": []}),
        (
            [*REFUSAL, {"type": "keepalive"}],
            {"outcome": "no_image", "events": 3, "skipped": 1, "response_id": "resp_1"},
        ),
        (b'data: {"x":\n\n', {"outcome": "no_image", "events": 1, "response_id": None}),
    ],
)
def test_inspect_json_ends_with_a_line_for_the_stream(
    events: list[samples.Wire] | bytes, facts: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["inspect", "--json", str(stream_file(tmp_path, events))])
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts.items() <= last.items()


def test_the_line_for_the_stream_holds_its_anomalies_without_base64(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = stream_file(tmp_path, [*WHOLE, samples.partial(None, 0, samples.picture("JPEG"), output_index=None)])
    assert main(["inspect", "--json", str(stream)]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    ((code, message),) = (each.values() for each in last["anomalies"])
    assert (code, "has no item_id" in message, "/9j/" in message) == ("missing_item_id", True, False)


def test_inspect_prints_items_states_frames_sizes_times_and_anomalies(tmp_path: Path) -> None:
    events = [
        *WHOLE[:5],
        samples.partial("ig_2", 3, JPEG),
        samples.partial("ig_2", 4, "!"),
        samples.call("generating", None, output_index=None),
    ]
    ended = run("inspect", stream_file(tmp_path, events))
    text = ended.stdout
    for words in (
        "incomplete: 8 events", "resp_1", "image 1: completed, id ig_1", "image 2: incomplete, id ig_2", "preview 1",
        "preview 4", "PNG 5x4", "JPEG 8x6", "problem: preview 5 of image 2", "response.output_item.done",
    ):  # fmt: skip
        assert words in text
    assert re.search(r"\d\.\d\d s", text)
    assert ended.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["stream.sse"]


def test_inspect_reports_an_empty_stream(tmp_path: Path) -> None:
    ended = run("inspect", stream_file(tmp_path, b""))
    assert ended.returncode == 6
    assert ended.stderr == "imgassemble: the stream is empty\n"


def test_inspect_prints_the_reason_of_a_failure(tmp_path: Path) -> None:
    assert "the service failed (server_error)" in run("inspect", stream_file(tmp_path, FAILED)).stdout


def test_inspect_counts_one_event_as_one(tmp_path: Path) -> None:
    assert run("inspect", stream_file(tmp_path, [samples.done(content=FINAL)])).stdout.startswith(
        "completed: 1 event, 0 "
    )


def test_inspect_reports_a_saved_folder_as_it_reports_its_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream, folder = str(stream_file(tmp_path, WHOLE)), str(tmp_path / "saved")
    main(["save", stream, "-o", folder])
    reports = []
    for source in (stream, folder):
        capsys.readouterr()
        assert main(["inspect", source]) == 0
        reports.append([line[:51] for line in capsys.readouterr().out.splitlines()[1:]])  # without the seconds
    assert reports[0] == reports[1]


def test_inspect_takes_the_seconds_of_a_saved_folder_from_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=10 * each) for each in count())
    assemble(WHOLE, sinks=[DirectorySink(tmp_path, clock=moments.__next__)])
    main(["inspect", "--json", str(tmp_path)])
    seconds = json.loads(capsys.readouterr().out.splitlines()[0])["seconds"]
    assert seconds == {"0": 0.0, "1": 10.0, "final": 20.0}


def test_inspect_counts_several_responses_and_names_the_one_of_each_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(ROOT / "fixtures" / "agent-turns.sse")]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith(", 2 responses")
    named = [line.rpartition(", of response ")[2] for line in lines if line.startswith("image ")]
    assert len(set(named)) == 2
