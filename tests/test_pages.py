"""The how-to pages in docs/: their programs run against the simulator, and their sentences are those of the source."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from shared import ROOT

import imgassemble
from imgassemble.assembly.updates import Update

DOCS = ROOT / "docs"
HOW_TO = ("quickstart", "async", "errors", "ending_early", "resuming", "storing")
PATIENCE_S = 60

# Runs [page, program, printed] of a file in one process, each in a folder of its own, and reports those that differ.
RUN_ALL = """
import io, json, os, shutil, sys, traceback
from contextlib import redirect_stdout

for number, (page, program, printed) in enumerate(json.load(open(sys.argv[1]))):
    os.makedirs(f"{number}")
    os.symlink(os.path.abspath("fixtures"), f"{number}/fixtures")
    with redirect_stdout(io.StringIO()) as output:
        os.chdir(f"{number}")
        try:
            exec(compile(program, f"docs/{page}.md", "exec"), {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc(file=output)
        os.chdir("..")
    if printed is not None and output.getvalue() != printed:
        print(f"--- docs/{page}.md", program, "--- printed, in place of what is shown:", output.getvalue(), sep="\\n")
"""

# Presses the first button of the application, and closes it when a caption contains the wanted words.
PRESS = """
import sys, tkinter
from tkinter import ttk

mainloop = tkinter.Misc.mainloop

def widgets(of):
    return [of, *(each for child in of.winfo_children() for each in widgets(child))]

def look(root):
    if any(sys.argv[2] in str(each.cget("text")) for each in widgets(root) if "text" in each.keys()):
        root.destroy()
    else:
        root.after(10, look, root)

def watched(root, *arguments):
    next(each for each in widgets(root) if isinstance(each, ttk.Button)).invoke()
    look(root)
    mainloop(root, *arguments)

tkinter.Misc.mainloop = watched
exec(open(sys.argv[1]).read(), {"__name__": "__main__"})
"""

EXECUTE = """
import sys, nbformat, nbclient

cells = [nbformat.v4.new_code_cell(text) for text in open("cells").read().split("\\0")]
notebook = nbformat.v4.new_notebook(cells=cells)
nbclient.NotebookClient(notebook, timeout=60).execute()
nbformat.write(notebook, "run.ipynb")
"""


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text()


def blocks(name: str, kind: str = "python") -> list[tuple[str, str | None]]:
    """Return the programs of a page, each with the output that the page shows after it."""
    found = re.findall(rf"^```{kind}\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", page(name), re.M | re.S)
    return [(program, printed or None) for program, printed in found]


@pytest.fixture
def environment(image_server: Any, tmp_path: Path) -> dict[str, str]:
    pytest.importorskip("openai", reason="the real client is missing: pip install openai 'imgassemble[web]'")
    image_server.use(size=(96, 64))
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    return {**os.environ, "OPENAI_BASE_URL": image_server.base_url, "OPENAI_API_KEY": "-", "HOME": str(tmp_path)}


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_programs_of_the_how_to_pages_print_what_is_shown(tmp_path: Path, environment: dict[str, str]) -> None:
    programs = [
        (name, program, None if "Screen" in program else printed or "")
        for name in HOW_TO
        for program, printed in blocks(name)
        if "S3Store" not in program  # needs a bucket: tests/storage/test_objects.py runs it
    ]
    (tmp_path / "programs.json").write_text(json.dumps(programs))
    differences = run([sys.executable, "-c", RUN_ALL, "programs.json"], tmp_path, environment)
    assert not differences, differences


def test_the_tests_that_are_shown_pass(tmp_path: Path, environment: dict[str, str]) -> None:
    for number, (program, _) in enumerate(blocks("testing")):
        named = re.match(r"# (\w+\.py)\n", program)
        (tmp_path / (named[1] if named else f"test_{number}.py")).write_text(program)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "-W", "error"]
    assert "8 passed in" in run(command, tmp_path, environment)


def test_the_window_that_is_shown_draws_a_picture(tmp_path: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("tkinter", reason="needs tkinter: apt-get install python3-tk, or another Python")
    display = [] if "DISPLAY" in os.environ else ["xvfb-run", "-a"]
    if display and shutil.which(display[0]) is None:
        pytest.skip("no display here: apt-get install xvfb")
    ((program, _),) = blocks("desktop")
    (tmp_path / "application.py").write_text(program)
    run([*display, sys.executable, "-c", PRESS, "application.py", "final"], tmp_path, environment)
    assert list((tmp_path / "pictures").glob("*/final.png"))


def test_the_cells_that_are_shown_display_their_pictures(tmp_path: Path, environment: dict[str, str]) -> None:
    for package in ("ipykernel", "nbclient"):
        pytest.importorskip(package, reason="no notebooks here: pip install ipykernel nbclient")
    (tmp_path / "cells").write_text("\0".join(program for program, _ in blocks("notebooks")))
    run([sys.executable, "-c", EXECUTE], tmp_path, {**environment, "IPYTHONDIR": str(tmp_path / "ipython")})
    strip, saved, live, inline, pixels = (
        cell["outputs"] for cell in json.loads((tmp_path / "run.ipynb").read_text())["cells"]
    )
    for outputs, pictures in ((strip, 4), (saved, 4), (live, 1), (inline, 1)):
        (shown,) = (each["data"] for each in outputs if "data" in each)
        assert "".join(shown["text/html"]).count("<img") == pictures
    assert "".join(pixels[0]["text"]) == blocks("notebooks")[-1][1]


def test_the_table_of_the_updates_names_each_one_with_its_fields() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (`item_id`.*?|`outcome`.*?) \|", page("quickstart"), re.M)
    shown = {name: re.findall(r"`(\w+)`", named) for name, named in rows}
    assert shown == {kind.__name__: [each.name for each in fields(kind)] for kind in get_args(Update)}


# ---- troubleshooting

SOURCE = " ".join(path.read_text() for path in Path(imgassemble.__file__).parent.rglob("*.py"))


def fragments(sentence: str) -> list[str]:
    """Return the fixed parts of a quoted sentence, between the dots that stand for names and numbers."""
    return [part.strip(" ,;:'") for part in sentence.split("…")]


def test_every_sentence_of_the_troubleshooting_page_is_in_the_source() -> None:
    joined = re.sub(r'"\s*\n\s*f?"', "", SOURCE)  # a sentence may go on in the next line of the source
    sentences = re.findall(r"^### (.+)$", page("troubleshooting"), re.M)
    assert len(sentences) > 20
    for sentence in sentences:
        for part in filter(None, fragments(sentence)):
            assert part in joined, f"{part!r} of {sentence!r}"
