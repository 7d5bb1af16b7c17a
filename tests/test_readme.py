"""The README and the pages run: every program and every command, and they print the text on the pages."""

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
from shared import ROOT

import imgassemble
from imgassemble.assembly.lifecycle import TABLE

README = (ROOT / "README.md").read_text()
DOCS = {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}
SIMULATOR = DOCS["simulator.md"]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks_of(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.M | re.S)


def programs_of(page: str) -> list[tuple[str, str | None]]:
    """Return each program with the output that the page shows."""
    blocks = [*blocks_of(page), ("", "")]
    pairs = pairwise(blocks)
    return [(text, after if then == "text" else None) for (kind, text), (then, after) in pairs if kind == "python"]


BLOCKS, PROGRAMS = blocks_of(README), programs_of(README)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the fixtures in it, as a clone has."""
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    return tmp_path


def run_program(command: list[str], folder: Path, *, needs_service: bool) -> subprocess.CompletedProcess[str]:
    """Run a program; one that calls OpenAI speaks to the simulator."""
    if not needs_service:
        return subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True)
    pytest.importorskip("openai", reason="the real client is missing: pip install openai 'imgassemble[web]'")
    from imgassemble.simulator.server import running_server

    with running_server() as server:
        service = {"OPENAI_API_KEY": "a key", "OPENAI_BASE_URL": server.url + "/v1"}
        return subprocess.run(
            [sys.executable, *command], cwd=folder, capture_output=True, text=True, env={**os.environ, **service}
        )


@pytest.mark.parametrize(("program", "printed"), PROGRAMS + programs_of(SIMULATOR) + programs_of(DOCS["costs.md"]))
def test_every_program_runs_and_prints_what_is_shown(clone: Path, program: str, printed: str | None) -> None:
    command = ["-c", program]
    if "def test_" in program:
        pytest.importorskip("uvicorn", reason="the server needs the extra: pip install 'imgassemble[web]'")
        (clone / "test_shown.py").write_text(program)
        command = ["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "--rootdir=."]
    run = run_program(command, clone, needs_service="OpenAI()" in program)
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


def test_the_evidence_table_that_is_shown_is_the_one_that_runs() -> None:
    shown = DOCS["architecture.md"].split("| strongest evidence that holds | state | final |\n|---|---|---|\n")[1]
    assert shown.split("\n\n")[0].splitlines() == [f"| {row.evidence} | {row.state} | {row.final} |" for row in TABLE]


def test_the_first_program_has_eight_lines_and_the_readme_260() -> None:
    assert len([line for line in PROGRAMS[0][0].splitlines() if line]) <= 8
    assert len(README.splitlines()) <= 260


PAGES = {"README.md": README, "CONTRIBUTING.md": CONTRIBUTING} | {f"docs/{name}": text for name, text in DOCS.items()}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES[page]):
        if target.startswith("../imgassemble/"):  # the package may be installed elsewhere
            assert (Path(imgassemble.__file__).parents[1] / target.removeprefix("../")).exists(), target
        else:
            assert target.startswith("https://") or ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_every_anchor_is_a_heading(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", PAGES[page]):
        path = str(((ROOT / page).parent / target).resolve().relative_to(ROOT)) if target else page
        headings = re.findall(r"^#+ (.+)$", PAGES[path], re.M)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_picture_of_the_architecture_is_drawn_from_the_imports() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "architecture.py"))["drawing"]()
    assert drawn == (ROOT / "docs" / "architecture.svg").read_text(), "run: python docs/architecture.py"


def test_a_sink_of_ones_own_is_one_file_with_public_names(clone: Path) -> None:
    program = ROOT / "docs" / "sinks" / "zip_sink.py"
    assert re.findall(r"^from (imgassemble\S*) import", program.read_text(), re.M) == ["imgassemble"]
    run = subprocess.run([sys.executable, str(program)], cwd=clone, capture_output=True, text=True, check=True)
    assert sorted(name.rpartition("/")[2] for name in run.stdout.splitlines()) == 2 * ["final.png"] + 2 * [
        "partial-0.png"
    ]


def test_the_page_of_the_simulator_is_drawn_from_its_tables() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "simulator.py"))["page"]()
    assert drawn == SIMULATOR, "run: python docs/simulator.py"


# ---- figures

_OPTIONAL = ("openai", "openrouter", "viewer", "Redis")  # lines that are printed only where these are installed


def _always(labels: list[str]) -> list[str]:
    return [label for label in labels if not any(name in label for name in _OPTIONAL)]


def test_the_table_of_speed_has_the_lines_that_the_command_prints() -> None:
    program = "from benchmarks.lines import lines; print(*(line.what for line in lines(is_full=False)), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    printed = done.stdout.splitlines()
    shown = re.findall(r"^(\S.*?)  +[\d.]+ +[\d.]+ +[\d.]+", DOCS["performance.md"], re.M)
    assert len(set(printed)) == len(printed)
    assert _always(shown) == _always(printed)


def test_the_readme_counts_the_hostile_pictures_that_there_are() -> None:
    assert "formats (more than 300 of them in the tests)" in README
    assert len(table()) > 300  # some need a Pillow with AVIF
