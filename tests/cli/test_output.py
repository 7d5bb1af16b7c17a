"""The outputs of the commands: closed, full, without a reader, on terminals, and text from outside."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import samples

from cli.running import (
    CODES,
    FINAL,
    WHOLE,
    command_line,
    environment,
    run,
    stream_file,
)
from imgassemble.cli.main import main

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("name", ["a failure", "bad pictures", "partials only", "HTML", "a refusal"])
def test_lines_of_json_are_json_for_any_stream(name: str, tmp_path: Path) -> None:
    for command in (["save", "-o", str(tmp_path / "out")], ["inspect"]):
        ended = run(*command, stream_file(tmp_path, CODES[name][1]), "--json")
        for line in ended.stdout.splitlines():
            assert isinstance(json.loads(line), dict)
        assert ended.stdout.isascii()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("command", ["watch", "save --show -o out"])
def test_pictures_may_go_to_closed_outputs(closed: str, command: str, tmp_path: Path) -> None:
    line = f"{sys.executable} -m imgassemble {command} {stream_file(tmp_path, WHOLE)} --graphics blocks {closed}"
    ended = subprocess.run(
        ["sh", "-c", line], capture_output=True, env=environment(), text=True, cwd=tmp_path, check=False
    )
    assert ended.returncode == 0
    assert "Error" not in ended.stderr


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_pictures_are_saved_although_standard_output_has_no_reader(more: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = stream_file(tmp_path, WHOLE)
    ended = subprocess.run(
        command_line("save", stream, "-o", tmp_path / "out", *more),
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
        check=False,
    )
    os.close(writing)
    assert ended.returncode == 0
    assert "Error" not in ended.stderr
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


def test_a_list_of_faults_without_a_reader_prints_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = command_line("simulate", "--list-faults")
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment(), text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("command", ["inspect", "watch"])
def test_results_without_a_reader_print_no_error(command: str, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = stream_file(tmp_path, WHOLE)
    ended = subprocess.run(
        command_line(command, stream), stdout=writing, stderr=subprocess.PIPE, env=environment(), text=True, check=False
    )
    os.close(writing)
    assert re.fullmatch(r"( *\d+\.\d\d s  completed\n)?", ended.stderr)
    assert ended.returncode in (0, 130)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("more", ["", "--json"])
def test_save_runs_with_closed_outputs(closed: str, more: str, tmp_path: Path) -> None:
    line = f"{sys.executable} -m imgassemble save {stream_file(tmp_path, WHOLE)} -o {tmp_path / 'out'} {more} {closed}"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, env=environment(), text=True, check=False)
    assert ended.returncode == 0
    assert "Error" not in ended.stderr
    assert (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize(
    "arguments", [["save", "-o", "out"], ["save", "-o", "out", "--json"], ["inspect"], ["inspect", "--json"], ["watch"]]
)
def test_a_full_output_is_a_storage_error_that_is_printed_once(arguments: list[str], tmp_path: Path) -> None:
    stream = stream_file(tmp_path, WHOLE)
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command_line(*arguments, stream),
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
            cwd=tmp_path,
            check=False,
        )
    assert ended.returncode == 7
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("No space left on device") == 1
    assert "save" not in arguments or (tmp_path / "out" / "ig_1" / "final.png").read_bytes() == FINAL


def stderr_on_a_terminal(arguments: list[str], **more: str) -> str:
    """Run the command with a terminal as standard error and return its output there."""
    terminal, side = pty.openpty()
    process = subprocess.Popen(
        command_line(*arguments), stdout=subprocess.DEVNULL, stderr=side, env=environment(**more)
    )
    os.close(side)
    said = b""
    try:
        while piece := os.read(terminal, 4096):
            said += piece
    except OSError:  # the process has ended and closed its side of the terminal
        pass
    os.close(terminal)
    assert process.wait() == 0
    return said.decode()


def test_colours_are_printed_on_terminals_only_and_not_with_no_color(tmp_path: Path) -> None:
    save = ["save", str(stream_file(tmp_path, WHOLE)), "--overwrite", "-o", str(tmp_path / "out")]
    coloured = stderr_on_a_terminal(save, TERM="xterm")
    assert COLOUR.search(coloured)
    plain = stderr_on_a_terminal(save, TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in plain
    assert "\x1b" not in run(*save).stderr
    assert COLOUR.search(
        stderr_on_a_terminal(save, TERM="xterm", NO_COLOR="")
    )  # no-color.org: only a value that is not empty


HOSTILE = "\x1b[2J\x1b]0;pwned\x07\r\n\u202edrawkcab\u2066\x9b31m\x00"


@pytest.mark.parametrize("command", ["save", "inspect", "watch"])
def test_control_characters_from_a_service_are_not_printed(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    streams = {
        "id": [
            samples.partial("ig" + HOSTILE, 0),
            samples.done("ig" + HOSTILE, FINAL, revised_prompt="p" + HOSTILE),
        ],
        "error": [samples.added(), samples.error("c" + HOSTILE, "m" + HOSTILE)],
        "claims": [samples.done(content=FINAL, output_format="x" + HOSTILE, size="9x9")],
        "reason": [samples.partial(), samples.snapshot("incomplete", reason="r" + HOSTILE)],
        "type": [{"type": "response.image_generation_call.generating", "output_index": 0, "x": HOSTILE}],
        "response": [samples.created("resp" + HOSTILE), *WHOLE[1:4]],
        "picture": [
            samples.done(content=HOSTILE.encode()),
            samples.partial(content=b"\0\0\0\x20ftyp" + HOSTILE.encode()),
        ],
        "status": [samples.added(status="s" + HOSTILE), samples.done(status="s" + HOSTILE)],
    }
    for name, events in streams.items():
        out = ["-o", str(tmp_path / f"out-{name}")] if command == "save" else []
        main([command, str(stream_file(tmp_path, events, f"{name}.sse")), *out])
        for line in "".join(capsys.readouterr()).split("\n"):
            assert line.isprintable(), name


@pytest.mark.parametrize("command", ["save", "inspect", "watch"])
def test_a_body_that_is_no_stream_is_quoted_without_control_characters(command: str, tmp_path: Path) -> None:
    out = ["-o", str(tmp_path / "out")] if command == "save" else []
    ended = run(command, stream_file(tmp_path, HOSTILE.encode()), *out)
    assert ended.returncode == 6
    assert all(line.isprintable() for line in (ended.stdout + ended.stderr).split("\n"))


def test_a_name_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    events = [samples.done("猫\ud800", FINAL, revised_prompt="猫 \udc80")]
    for command in (["save", "-o", str(tmp_path / "out")], ["inspect"], ["watch"]):
        ended = run(
            *command,
            stream_file(tmp_path, events),
            env=environment(PYTHONIOENCODING="ascii", LC_ALL="C"),
            encoding="ascii",
        )
        assert ended.returncode == 0
        assert "Traceback" not in ended.stderr


def test_a_simulated_stream_on_a_terminal_ends_with_the_way_to_its_pictures() -> None:
    terminal, side = pty.openpty()
    simulate = ["simulate", "--size", "4x4", "--api", "images", "--partials", "0"]
    process = subprocess.Popen(
        command_line(*simulate), stdout=side, stderr=subprocess.PIPE, env=environment(), text=True
    )
    os.close(side)
    with suppress(OSError):  # the process has ended and closed its side of the terminal
        while os.read(terminal, 4096):
            pass
    os.close(terminal)
    assert "| imgassemble watch -" in process.communicate()[1]
    assert "watch" not in run(*simulate).stderr
