"""The recipe of docs/dialects.md, applied to a copy of the package, makes it read the stream of the example."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from samples import b64, shade

import imgassemble
from imgassemble.wire import services

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "docs" / "dialects.md").read_text().partition("## Adding one")[2]
PREVIEW, RESULT = shade(3), shade(200)

READ = """
import json, sys
from imgassemble import assemble, open_events
result = assemble(open_events(sys.argv[1]))
result.raise_for_outcome()
print(json.dumps({name: [item.state, {f.index: f.data_url for f in item.partials}, item.final.data_url,
                         [each.code for each in item.anomalies]] for name, item in result.items.items()}))
"""


def block(language: str) -> str:
    """The only block of the recipe in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", RECIPE, re.DOTALL)
    return str(found)


def additions() -> tuple[dict[str, str], dict[str, str]]:
    """The rows and the names, each as the recipe writes it; `…` stands for the names that are there already."""
    lines = [line for line in block("text").splitlines() if line]
    pairs = {line.partition(":")[0].strip('"'): line.partition(":")[2].strip().removesuffix(",") for line in lines}
    rows = {name: text for name, text in pairs.items() if text.startswith("EventRow(")}
    return rows, {name: text for name, text in pairs.items() if name not in rows}


def added(source: str) -> str:
    """The source of imgassemble/wire/dialects.py with the rows and the names added."""
    rows, names = additions()
    original = source
    tables = {
        node.target.id: node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(node.value, ast.Dict)
    }
    for name, text in names.items():
        before = ast.get_source_segment(original, members(tables["OTHER_NAMES"])[name]) or ""
        inner = before.removeprefix("(").removesuffix(")").strip().removesuffix(",")
        assert source.count(before) == 1
        source = source.replace(before, text.replace("…", inner))
    last = list(members(tables["ROWS"]))[-1]
    (at,) = [found.start() for found in re.finditer(rf'^ +"{last}":', source, re.MULTILINE)]
    return source[:at] + "".join(f'    "{name}": {text},\n' for name, text in rows.items()) + source[at:]


def members(table: ast.expr) -> dict[str, ast.expr]:
    """The members of a table, as written."""
    assert isinstance(table, ast.Dict)
    return {ast.literal_eval(key): value for key, value in zip(table.keys, table.values, strict=True) if key}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and of docs/ to which the recipe was applied."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        Path(imgassemble.__file__).parent, root / "imgassemble", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "docs", root / "docs", ignore=shutil.ignore_patterns("*.png"))
    table = root / "imgassemble" / "wire" / "dialects.py"
    table.write_text(added(table.read_text()))
    return root


def run(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stream(folder: Path) -> Path:
    """The recipe's example with pictures in it."""
    events = [json.loads(line) for line in block("json").splitlines()]
    for event, picture in zip(events, (PREVIEW, RESULT), strict=True):
        event["picture"]["base64"] = b64(picture)
    path = folder / "studio.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def test_the_recipe_shows_two_rows_and_two_names() -> None:
    rows, names = additions()
    assert (list(rows), list(names)) == (["studio.preview", "studio.done"], ["partial_image_index", "b64_json"])


def test_a_package_with_the_rows_reads_the_example_stream(copy: Path) -> None:
    said: dict[str, Any] = json.loads(run(copy, "-c", READ, str(stream(copy))))
    ((state, partials, final, anomalies),) = said.values()
    assert (state, anomalies) == ("completed", [])
    assert {index: b64decode(url.partition(",")[2]) for index, url in partials.items()} == {"3": PREVIEW}
    assert b64decode(final.partition(",")[2]) == RESULT


def test_a_package_without_the_rows_ignores_the_example_stream(copy: Path) -> None:
    code = "import sys; from imgassemble import *; print(assemble(open_events(sys.argv[1])).outcome)"
    assert run(ROOT, "-c", code, str(stream(copy))) == "no_image\n"


def test_a_page_that_is_drawn_again_has_the_rows_and_the_names(copy: Path) -> None:
    run(copy, "docs/dialects.py")
    page = (copy / "docs" / "dialects.md").read_text()
    assert "| `studio.preview` | Studio | the message itself: the current image" in page
    assert "`index`, `step` |" in page
    assert "`data.0.b64_json`, `picture.base64` |" in page


def test_the_streams_of_all_other_services_are_read_as_before(copy: Path) -> None:
    code = """
import json, sys
from pathlib import Path
from imgassemble import Assembler, assemble, open_events
root = Path(sys.argv[1])
for name, expected in json.loads((root / "expected.json").read_text()).items():
    result = assemble(open_events(root / name), assembler=Assembler(key_by=expected["key_by"]))
    found = {item.id: item.final and item.final.sha256 for item in result.items.values()}
    assert found == {key: item["final_sha256"] for key, item in expected["items"].items()}, name
"""
    run(copy, "-c", code, str(ROOT / "fixtures"))


def test_the_row_on_the_page_is_the_row_in_the_table() -> None:
    page = (ROOT / "docs" / "dialects.md").read_text()
    (text,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    shown = eval("{" + text + "}", dict(vars(services)))
    assert shown == {name: services.SERVICE_ROWS[name] for name in shown}
