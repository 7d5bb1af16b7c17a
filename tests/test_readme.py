"""The README and the pages are run: every program, every command; and what they show is what decides."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hostile.pictures import table

from imgassemble.assembly.lifecycle import TABLE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SIMULATOR = (ROOT / "docs" / "simulator.md").read_text()


def blocks_of(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.M | re.S)


def programs_of(page: str) -> list[tuple[str, str | None]]:
    """Each program, and what is shown as its output."""
    blocks = [*blocks_of(page), ("", "")]
    pairs = pairwise(blocks)
    return [(text, after if then == "text" else None) for (kind, text), (then, after) in pairs if kind == "python"]


BLOCKS, PROGRAMS = blocks_of(README), programs_of(README)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the fixtures in it, as a clone has."""
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    return tmp_path


@pytest.mark.parametrize(("program", "printed"), PROGRAMS + programs_of(SIMULATOR))
def test_every_program_runs_and_prints_what_is_shown(clone: Path, program: str, printed: str | None) -> None:
    command = ["-c", program]
    if "def test_" in program:
        pytest.importorskip("uvicorn", reason="the server needs the extra: pip install 'imgassemble[web]'")
        (clone / "test_shown.py").write_text(program)
        command = ["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "--rootdir=."]
    run = subprocess.run([sys.executable, *command], cwd=clone, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    if "def test_" in program:
        assert "1 passed" in run.stdout
        return
    assert run.stdout == (printed or "")


@pytest.mark.parametrize("line", re.findall(r"^\$ imgassemble (.+)$", README + SIMULATOR, re.M))
def test_every_command_runs(clone: Path, line: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "imgassemble", *shlex.split(line)], cwd=clone, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout


def test_the_exit_codes_are_those_of_the_help() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "imgassemble", "save", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
        check=True,
    )
    shown = next(text for kind, text in BLOCKS if kind == "text" and text.startswith("exit codes"))
    assert shown in run.stdout


def test_the_table_that_is_shown_is_the_one_that_runs() -> None:
    shown = README.split("| strongest evidence that holds | state | final |\n|---|---|---|\n")[1].split("\n\n")[0]
    assert shown.splitlines() == [f"| {row.evidence} | {row.state} | {row.final} |" for row in TABLE]


def test_the_first_program_has_ten_lines() -> None:
    assert len(PROGRAMS[0][0].splitlines()) <= 10


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or target == "imgassemble/lifecycle.py" or (ROOT / target).exists(), target


def test_the_page_of_the_simulator_is_drawn_from_its_tables() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "simulator.py"))["page"]()
    assert drawn == SIMULATOR, "run: python docs/simulator.py"


# ---- figures

_OPTIONAL = ("openai", "openrouter", "viewer")  # lines that are printed only where their packages are


def _always(labels: list[str]) -> list[str]:
    return [label for label in labels if not any(name in label for name in _OPTIONAL)]


def test_the_table_of_speed_has_the_lines_that_the_command_prints() -> None:
    program = "from benchmarks.lines import lines; print(*(line.what for line in lines(is_full=False)), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    printed = done.stdout.splitlines()
    shown = re.findall(r"^(\S.*?)  +[\d.]+ +[\d.]+ +[\d.]+", README.partition("## Speed")[2], re.M)
    assert len(set(printed)) == len(printed)
    assert _always(shown) == _always(printed)


def test_the_readme_counts_the_hostile_pictures_that_there_are() -> None:
    assert f"formats ({len(table())} of them in the tests)" in README
