"""The command line: wrong use, help, version."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import get_args

import pytest

import imgassemble
from cli.running import (
    WHOLE,
    environment,
    run,
    stream_file,
)
from imgassemble.cli.main import COMMANDS, main
from imgassemble.screens.graphics import Graphics


class _Interrupting(MetaPathFinder):
    """Interrupts the import of one module."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "imgassemble.cli.strip":
            raise KeyboardInterrupt


def test_an_interrupt_while_the_command_is_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "imgassemble.cli.strip", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Interrupting(), *sys.meta_path])
    assert main(["strip", "otter.sse"]) == 130
    assert capsys.readouterr().err == "imgassemble: interrupted; everything received so far is kept\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["save"], ["save", "x"], ["save", "-o", "out"], ["inspect"], ["unheard-of"], ["save", "x", "-o"],
        ["--wrong"], ["save", "x", "-o", "out", "--keep", "none"], ["inspect", "x", "--key-by", "name"],
        ["inspect", "x", "y"],
        ["inspect", "x", "--tee", "y"], ["watch"], ["watch", "x", "--json"], ["watch", "x", "-o", "out"],
        ["watch", "x", "--graphics", "sixel"], ["watch", "x", "--size", "1024"], ["watch", "x", "--size", "0x9"],
    ],
)  # fmt: skip
def test_wrong_use_prints_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: imgassemble")


@pytest.mark.parametrize("source", ["missing.sse", "folder", "missing/x"])
@pytest.mark.parametrize("command", ["save", "inspect", "watch"])
def test_a_missing_source_is_wrong_use_and_writes_nothing(command: str, source: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    ended = run(command, source, *(["-o", "out", "--tee", "tee"] if command == "save" else []), cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"imgassemble: cannot read '{source}': ")
    assert len(ended.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that opens and cannot be read")
@pytest.mark.parametrize("command", ["save", "inspect", "watch"])
def test_an_unreadable_source_is_reported_in_one_line(command: str, tmp_path: Path) -> None:
    ended = run(command, "/proc/self/mem", *(["-o", str(tmp_path / "out")] if command == "save" else []))
    assert ended.returncode in (2, 6)
    assert "Traceback" not in ended.stderr
    assert "Input/output error" in ended.stderr


@pytest.mark.parametrize("command", ["save", "inspect", "watch"])
def test_a_closed_standard_input_is_wrong_use(command: str, tmp_path: Path) -> None:
    more = f"-o {tmp_path / 'out'}" if command == "save" else ""
    line = f"{sys.executable} -m imgassemble {command} - {more} <&-"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, env=environment(), text=True, check=False)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [["save", "-o", "out"], ["inspect"], ["watch"]])
def test_a_stream_is_read_without_the_simulator(command: list[str], tmp_path: Path) -> None:
    stream = stream_file(tmp_path, WHOLE)
    program = (
        "import sys; from imgassemble.cli.main import main; code = main(sys.argv[1:]);"
        "sys.exit(code or sorted(name for name in sys.modules if name.startswith('imgassemble.simulator')) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *command, stream],
        capture_output=True,
        env=environment(),
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_help_names_the_commands_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["save", "--help"], ["watch", "--help"], ["inspect", "-h"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        out, err = capsys.readouterr()
        assert err == ""
        for code in ("7 ", "6 ", "5 ", "4 ", "3 ", "0 ", "2 ", "130 "):
            assert re.search(rf"^ +{code} +\w", out, re.MULTILINE)
        assert all(len(line) <= 120 for line in out.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_ends_with_its_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    _, codes = capsys.readouterr().out.split("exit codes (the first that applies):")
    assert all(re.search(rf"^  {code} +\w", codes, re.MULTILINE) for code in (0, 2, 130))


def test_the_help_of_save_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["save", "--help"])
    out = capsys.readouterr().out
    for option in (
        "SOURCE", "-o DIR", "--output DIR", "--keep", "--overwrite", "--tee FILE", "--json", "--show", "--key-by",
    ):  # fmt: skip
        assert option in out
    assert "standard input" in out


def test_every_way_to_show_pictures_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["watch", "--help"])
    assert "{" + ",".join(get_args(Graphics)) + "}" in capsys.readouterr().out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"imgassemble {imgassemble.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["unheard-of"]])
def test_the_list_of_commands_is_printed_without_their_modules(arguments: list[str]) -> None:
    program = (
        "import sys; from imgassemble.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: print(*sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    heavy = ("imgassemble.assembly", "imgassemble.frames", "imgassemble.streams", "imgassemble.simulator", "pydantic")
    assert not [name for name in ended.stdout.split() if name.startswith(heavy)]
