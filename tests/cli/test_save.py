"""`imgassemble save`: the files it writes and the lines it prints, as they arrive."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import samples

import imgassemble
from cli.running import (
    BAD_PICTURE,
    CODES,
    FINAL,
    JPEG,
    PROVISIONAL,
    WHOLE,
    command_line,
    environment,
    files_in,
    pictures_in,
    run,
    stream_file,
)
from imgassemble.cli.main import main


def test_save_writes_frames_and_facts_and_prints_the_finals(tmp_path: Path) -> None:
    ended = run("save", stream_file(tmp_path, WHOLE), "-o", "out", cwd=tmp_path)
    assert pictures_in(tmp_path / "out") == {
        "ig_1/partial-000.png": samples.shade(0),
        "ig_1/partial-001.png": samples.shade(1),
        "ig_1/final.png": FINAL,
    }
    assert json.loads((tmp_path / "out" / "ig_1" / "item.json").read_text())["state"] == "completed"
    assert ended.stdout == "out/ig_1/final.png\n"
    assert ended.returncode == 0


def test_save_prints_a_line_for_each_important_update_on_standard_error(tmp_path: Path) -> None:
    told = run("save", stream_file(tmp_path, WHOLE), "-o", tmp_path / "out").stderr.splitlines()
    assert [re.sub(r"^ *\d+\.\d\d s  ", "", line) for line in told] == [
        "image 1: generating",
        f"image 1: preview 1, PNG 1x1, {len(samples.shade(0))} bytes",
        f"image 1: preview 2, PNG 1x1, {len(samples.shade(1))} bytes",
        f"image 1: final, PNG 5x4, {len(FINAL)} bytes",
        "completed",
        f"imgassemble: saved 1 final and 2 previews in {tmp_path / 'out' / 'ig_1'}",
    ]


def test_an_anomaly_is_one_line_on_standard_error(tmp_path: Path) -> None:
    told = run("save", stream_file(tmp_path, BAD_PICTURE), "-o", tmp_path / "out").stderr
    assert told.count("base64") == 1
    assert "logged once" not in told


def test_without_a_result_no_final_is_written_or_printed(tmp_path: Path) -> None:
    ended = run("save", stream_file(tmp_path, PROVISIONAL), "-o", tmp_path / "out")
    assert ended.stdout == ""
    assert "image 1: draft: the last preview, because no final picture came, PNG" in ended.stderr
    assert list(pictures_in(tmp_path / "out")) == ["ig_1/partial-000.png"]


def test_a_failure_is_printed_in_the_words_of_the_service(tmp_path: Path) -> None:
    events = [
        samples.added(),
        samples.error("insufficient_quota", "You exceeded your quota"),
        samples.snapshot("failed"),
    ]
    ended = run("save", stream_file(tmp_path, events), "-o", tmp_path / "out")
    assert ended.returncode == 5
    assert "insufficient_quota" in ended.stderr
    assert "You exceeded your quota" in ended.stderr


def test_keep_latest_leaves_one_preview(tmp_path: Path) -> None:
    assert main(["save", str(stream_file(tmp_path, WHOLE)), "-o", str(tmp_path / "out"), "--keep", "latest"]) == 0
    assert sorted(pictures_in(tmp_path / "out")) == ["ig_1/final.png", "ig_1/partial-001.png"]


def test_keep_final_leaves_no_preview(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    assert main(["save", str(stream_file(tmp_path, WHOLE[:-2])), "-o", str(cut), "--keep", "final"]) == 3
    assert capsys.readouterr().err.endswith("imgassemble: no final came; nothing is saved\n")
    assert main(["save", str(stream_file(tmp_path, WHOLE)), "-o", str(whole), "--keep", "final"]) == 0
    assert [sorted(pictures_in(folder)) for folder in (cut, whole)] == [[], ["ig_1/final.png"]]


def test_rotating_ids_are_joined_on_request(tmp_path: Path) -> None:
    rotating = [
        {**event, "item_id": f"id_{at}"} for at, event in enumerate([samples.partial(), samples.call("completed")])
    ]
    events = [*rotating, samples.done("id_9", FINAL)]
    stream = str(stream_file(tmp_path, events))
    assert main(["save", stream, "-o", str(tmp_path / "apart")]) == 3
    assert main(["save", stream, "-o", str(tmp_path / "joined"), "--key-by", "output_index"]) == 0
    assert sorted(pictures_in(tmp_path / "joined")) == ["output-0/final.png", "output-0/partial-000.png"]
    assert main(["inspect", stream, "--key-by", "output_index"]) == 0


def test_a_second_run_stands_beside_the_first_one(tmp_path: Path) -> None:
    stream, out = stream_file(tmp_path, WHOLE), tmp_path / "out"
    run("save", stream, "-o", out)
    before = files_in(out)
    other = stream_file(tmp_path, [samples.done(content=JPEG)], "other.sse")
    ended = run("save", other, "-o", out)
    assert (ended.returncode, ended.stdout) == (0, f"{out / 'ig_1-2' / 'final.jpg'}\n")
    assert ended.stderr.splitlines()[-1] == f"imgassemble: saved 1 final in {out / 'ig_1-2'}"
    after = files_in(out)
    assert {name: after[name] for name in before} == before
    assert pictures_in(out)["ig_1-2/final.jpg"] == JPEG


def test_a_second_run_of_the_same_stream_says_that_its_pictures_stand_there_already(tmp_path: Path) -> None:
    stream, out = stream_file(tmp_path, WHOLE), tmp_path / "out"
    run("save", stream, "-o", out)
    before = files_in(out)
    ended = run("save", stream, "-o", out)
    assert (ended.returncode, ended.stdout) == (0, f"{out / 'ig_1' / 'final.png'}\n")
    said = "1 final and 2 previews already in {}, with the same bytes"
    assert ended.stderr.splitlines()[-1] == f"imgassemble: {said.format(out / 'ig_1')}"
    assert files_in(out) == before


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([samples.done("ig_1", FINAL), samples.done("ig_2", JPEG)], "saved 2 finals in 2 folders of {}"),
        ([samples.done("ig_1", FINAL), samples.done("ig_2", status="failed")], "saved 1 final in {}/ig_1"),
        ([samples.added("ig_1"), samples.error()], "no picture came; nothing is saved"),
        ([samples.partial("ig_1", 0), samples.partial("ig_1", 1, FINAL[:-9])],
         "saved 1 preview and 1 refused picture in {}/ig_1"),
    ],
)  # fmt: skip
def test_the_last_line_counts_what_was_saved(events: list[samples.Wire], said: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = run("save", stream_file(tmp_path, events), "-o", out)
    assert ended.stderr.splitlines()[-1] == f"imgassemble: {said.format(out)}"


@pytest.mark.parametrize("name", ["HTML", "nothing", "broken events"])
def test_the_last_line_says_that_nothing_is_saved_if_nothing_could_be_read(name: str, tmp_path: Path) -> None:
    *_, before, last = run("save", stream_file(tmp_path, CODES[name][1]), "-o", tmp_path / "out").stderr.splitlines()
    assert before in ("imgassemble: no event could be read", "imgassemble: the stream is empty")
    assert last == "imgassemble: no picture came; nothing is saved"


def test_the_last_line_names_the_file_that_could_not_be_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "ig_1" / "final.png").mkdir(parents=True)
    ended = run("save", stream_file(tmp_path, WHOLE), "-o", out, "--resume")
    assert ended.returncode == 7
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"imgassemble: saved 2 previews in {out / 'ig_1'}; not everything is saved: ")
    assert str(out / "ig_1" / "final.png") in last


def test_existing_files_are_overwritten_only_on_request(tmp_path: Path) -> None:
    stream = stream_file(tmp_path, WHOLE)
    out = tmp_path / "out"
    assert main(["save", str(stream), "-o", str(out)]) == 0
    before = files_in(out)
    other = stream_file(tmp_path, [samples.done(content=JPEG)], "other.sse")
    ended = run("save", other, "-o", out, "--refuse")
    assert ended.returncode == 7
    assert ended.stderr.splitlines()[-1].startswith(f"imgassemble: nothing is saved: '{out / 'ig_1'}' is in the way")
    assert files_in(out) == before
    assert ended.stdout == ""
    assert main(["save", str(other), "-o", str(out), "--overwrite"]) == 0
    assert pictures_in(out) == {"ig_1/final.jpg": JPEG}


def test_an_output_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"mine")
    ended = run("save", stream_file(tmp_path, WHOLE), "-o", tmp_path / "out")
    assert ended.returncode == 7
    assert str(tmp_path / "out") in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "out").read_bytes() == b"mine"


def test_json_prints_every_update_as_a_line_without_base64(tmp_path: Path) -> None:
    ended = run("save", stream_file(tmp_path, WHOLE), "-o", tmp_path / "out", "--json")
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assembler = imgassemble.Assembler()
    updates = [update for event in WHOLE for update in assembler.feed(event)] + list(assembler.close())
    assert told == [json.loads(json.dumps(update.as_dict())) for update in updates]
    assert told[-1] == {"update": "StreamEnded", "outcome": "completed", "error": None}
    assert samples.b64(FINAL)[:20] not in ended.stdout
    assert ended.stderr == ""


def test_save_with_show_prints_lines_on_standard_error_and_the_finals_on_standard_output(tmp_path: Path) -> None:
    ended = run("save", stream_file(tmp_path, WHOLE), "-o", "out", "--show", cwd=tmp_path)
    assert ended.stdout == "out/ig_1/final.png\n"
    *told, outcome, saved = ended.stderr.splitlines()
    assert told == ["image 1: generating", "image 1: preview 1", "image 1: preview 2", "image 1: final, PNG 5x4"]
    assert outcome.endswith("s  completed")
    assert saved == "imgassemble: saved 1 final and 2 previews in out/ig_1"
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


def test_save_with_show_does_not_change_the_lines_of_json(tmp_path: Path) -> None:
    stream = stream_file(tmp_path, WHOLE)
    plain = run("save", stream, "-o", tmp_path / "one", "--json")
    shown = run("save", stream, "-o", tmp_path / "two", "--json", "--show", "--graphics", "blocks")
    assert shown.stdout == plain.stdout
    assert "▀" in shown.stderr


def line_with(lines: IO[str], words: str) -> str:
    for line in lines:
        if words in line:
            return line
    pytest.fail(f"it never said {words!r}")


@pytest.fixture
def saving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`imgassemble save - -o out`, which waits for its first event."""
    with subprocess.Popen(
        command_line("save", "-", "-o", tmp_path / "out"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        yield process
        process.kill()


def send(process: subprocess.Popen[str], event: samples.Wire) -> None:
    assert process.stdin
    process.stdin.write(samples.sse([event]).decode())
    process.stdin.flush()


def test_standard_input_is_saved_as_it_arrives(saving: subprocess.Popen[str], tmp_path: Path) -> None:
    assert saving.stderr
    assert saving.stdin
    assert saving.stdout
    folder = tmp_path / "out" / "ig_1"
    for event, words, name, data in (
        (samples.partial(index=0), "preview 1", "partial-000.png", samples.shade(0)),
        (samples.partial(index=1), "preview 2", "partial-001.png", samples.shade(1)),
        (samples.done(content=FINAL), "final", "final.png", FINAL),
    ):
        assert not (folder / name).exists()
        send(saving, event)
        line_with(saving.stderr, words)
        assert (folder / name).read_bytes() == data
    saving.stdin.close()
    assert saving.stdout.read() == f"{folder / 'final.png'}\n"
    assert saving.wait() == 0


def test_an_interrupt_keeps_everything_received_so_far(saving: subprocess.Popen[str], tmp_path: Path) -> None:
    assert saving.stderr
    send(saving, samples.partial(index=0))
    line_with(saving.stderr, "preview 1")
    send(saving, samples.call("generating", "ig_2"))
    line_with(saving.stderr, "image 2: generating")  # by now the first is on the disk
    saving.send_signal(signal.SIGINT)
    rest = saving.stderr.read()
    assert saving.wait() == 130
    assert rest.endswith("imgassemble: interrupted; everything received so far is kept\n")
    assert "Traceback" not in rest
    assert pictures_in(tmp_path / "out") == {"ig_1/partial-000.png": samples.shade(0)}
    facts = json.loads((tmp_path / "out" / "ig_1" / "item.json").read_text())
    assert (facts["state"], facts["final"]) == ("incomplete", None)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]


def test_a_command_without_data_says_what_it_waits_for(saving: subprocess.Popen[str]) -> None:
    assert saving.stderr
    began_at = time.monotonic()
    assert saving.stderr.readline() == ("imgassemble: waiting for a stream on standard input (Ctrl-C ends it)\n")
    assert 4 < time.monotonic() - began_at < 15
    saving.send_signal(signal.SIGINT)
    assert saving.stderr.read().endswith("imgassemble: interrupted; everything received so far is kept\n")
    assert saving.wait() == 130


def silent(folder: Path, *events: samples.Wire) -> tuple[int, str]:
    """Save a stream that is silent after `events`; return the exit code and the lines on standard error."""
    command = command_line("save", "-", "-o", folder / "out", "--silence-s", "0.5")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=environment()) as process:  # type: ignore[call-overload]
        for event in events:
            send(process, event)
        return process.wait(timeout=30), process.stderr.read()


def test_a_silence_ends_the_command(tmp_path: Path) -> None:
    code, said = silent(tmp_path, samples.partial(index=0))
    assert code == 3
    assert "imgassemble: nothing came on standard input for 0.5 seconds, so the stream ends here\n" in said
    assert pictures_in(tmp_path / "out") == {"ig_1/partial-000.png": samples.shade(0)}


def test_a_silence_from_the_beginning_is_no_image(tmp_path: Path) -> None:
    code, said = silent(tmp_path)
    assert code == 6
    assert said.startswith("imgassemble: nothing came on standard input for 0.5 seconds, so the stream ends here\n")
    assert "waiting" not in said


def test_a_silence_of_a_file_is_wrong_use(tmp_path: Path) -> None:
    ended = run("save", stream_file(tmp_path, WHOLE), "-o", tmp_path / "out", "--silence-s", "5")
    assert ended.returncode == 2
    assert "--silence-s is for standard input" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "1e7"])
def test_a_silence_is_a_number_of_seconds(text: str, tmp_path: Path) -> None:
    ended = run("save", "-", "-o", tmp_path / "out", f"--silence-s={text}", stdin=subprocess.DEVNULL)
    assert ended.returncode == 2
    assert "a time is a number of seconds above 0" in ended.stderr


def test_json_lines_are_printed_as_the_events_arrive(tmp_path: Path) -> None:
    with subprocess.Popen(
        command_line("save", "-", "-o", tmp_path, "--json"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout
        assert process.stdin
        for index in range(3):
            send(process, samples.partial(index=index))
            line_with(process.stdout, '"FrameAdded"')
        process.stdin.close()
        line_with(process.stdout, '"StreamEnded"')
    assert process.returncode == 3


def test_nothing_is_written_outside_the_output(tmp_path: Path) -> None:
    events = [samples.done(item_id, FINAL) for item_id in ("../../x", "/abs", "..", "a/b")]
    out = tmp_path / "deep" / "out"
    assert main(["save", str(stream_file(tmp_path, events)), "-o", str(out)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"stream.sse", "deep"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert len(pictures_in(out)) == 4
