"""The floor plan: who imports whom, what is public, and what an import brings along."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import imgassemble

PACKAGE = Path(imgassemble.__file__).parent

# From the ground up. A module imports from the floors below, and from its own where it stands to the right.
FLOORS = (
    ("values", "errors", "limits", "files", "addresses", "console"),
    ("decoding", "headers", "frames", "lifecycle", "dialects", "events", "readings"),
    ("updates", "items", "changes", "assembler"),
    ("sse", "sources", "saved", "sinks", "drivers", "repeats", "resume", "mailbox", "refresh", "screens", "simulator"),
    ("web",),
    ("commands", "cli"),
    ("__init__", "__main__"),
)
PLACES = {name: (floor, at) for floor, names in enumerate(FLOORS) for at, name in enumerate(names)}
# What may be imported by whom alone; everything else that is not in the standard library is nobody's.
GUESTS = {
    "pydantic": {"events"},
    "pydantic_core": {"decoding", "events"},
    "pybase64": {"decoding"},
    "PIL": {"frames", "items", "screens", "simulator"},
    # Hosts of screens, imported where one is made.
    "IPython": {"screens"},
    "PySide6": {"screens"},
    # The extra `web`.
    "anyio": {"simulator"},
    "python_multipart": {"simulator"},
    "starlette": {"simulator", "web"},
    "uvicorn": {"simulator", "web"},
    "pytest": {"simulator"},
}
# What the middle, which is pure, must not know.
WORLD = {"asyncio", "socket", "time", "datetime", "threading", "subprocess", "http", "urllib", "tempfile", "shutil"}
PURE = (
    "decoding",
    "headers",
    "lifecycle",
    "dialects",
    "events",
    "readings",
    "updates",
    "changes",
    "assembler",
    "sse",
    "mailbox",
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The modules that a file imports: those of the package by their room, the others by their first name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = node.level - 1 < len(path.relative_to(PACKAGE).parts) - 1
            if not node.level:
                found.add((node.module or "").split(".")[0])
            elif not inside:
                found |= {f".{(node.module or alias.name).split('.')[0]}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_only(path: Path) -> None:
    here = PLACES[room(path)]
    for name in imports(path):
        if name.startswith(".") and name != ".__version__":
            assert PLACES[name[1:]] < here, f"{path.name} must not know {name[1:]}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_guests_have_their_rooms(path: Path) -> None:
    for name in imports(path):
        if not name.startswith(".") and name not in sys.stdlib_module_names:
            assert room(path) in GUESTS.get(name, set()), f"{path.name} must not import {name}"


@pytest.mark.parametrize("name", PURE)
def test_the_middle_is_pure(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    assert not imports(path) & WORLD
    assert "open(" not in path.read_text().replace("def open(", "")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_says_what_it_knows_and_what_it_must_not_know(path: Path) -> None:
    said = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
    assert said
    if path.name not in ("__init__.py", "__main__.py"):
        assert "Knows:" in said
        assert "Must not know:" in said


def test_no_file_is_called_by_what_it_is_not() -> None:
    assert not {path.stem for path in modules()} & {"utils", "helpers", "common", "base", "misc"}


def imports_of_types(path: Path) -> set[str]:
    """The names that type checkers see in a file that imports when it is asked."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {alias.name for node in nodes if isinstance(node, ast.ImportFrom) and node.level for alias in node.names}


def test_what_is_exported_is_there_typed_and_documented() -> None:
    assert imports_of_types(PACKAGE / "__init__.py") == set(imgassemble.__all__)
    for name in imgassemble.__all__:
        thing = getattr(imgassemble, name)
        assert name == "Update" or inspect.getdoc(thing), name


def test_public_methods_are_documented() -> None:
    for name in imgassemble.__all__:
        thing = getattr(imgassemble, name)
        if inspect.isclass(thing):
            for attribute, value in vars(thing).items():
                if not attribute.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    assert inspect.getdoc(value), f"{name}.{attribute}"


def loaded_by(code: str, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)", *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_an_import_and_a_first_feed_bring_nothing_heavy_along() -> None:
    event = "{'type': 'response.image_generation_call.generating', 'item_id': 'ig_1'}"
    loaded = loaded_by(f"import imgassemble\nimgassemble.Assembler().feed({event})")
    # pydantic looks for its plugins when it builds its first model, and that loads a part of these.
    loaded -= loaded_by("import pydantic\nclass Model(pydantic.BaseModel):\n    type: str\nModel(type='')")
    heavy = {"asyncio", "http", "argparse", "socket", "ssl", "email", "PIL", "openai", "httpx", "starlette"}
    assert not loaded & heavy
    assert not {name for name in loaded if name.startswith(("imgassemble.simulator", "imgassemble.cli"))}


def test_the_pytest_plugin_brings_nothing_along() -> None:
    loaded = loaded_by("import imgassemble.simulator.plugin") - loaded_by("import pytest")
    assert {name for name in loaded if "." not in name} <= {"imgassemble"}


def test_a_first_frame_opens_no_decoder() -> None:
    stream = Path(__file__).parents[1] / "fixtures" / "openai-2025-10-png.sse"
    code = "import sys, imgassemble\nresult = imgassemble.assemble(imgassemble.open_events(sys.argv[1]))"
    assert not {name for name in loaded_by(code, str(stream)) if name.startswith("PIL")}


def test_what_the_first_events_need_is_there_before_them() -> None:
    """What is imported or built by the first event holds the event loop that feeds it."""
    stream = Path(__file__).parents[1] / "fixtures" / "openai-2025-10-png.sse"
    code = f"""
import sys
from imgassemble import Assembler, aiter_updates, events
from pydantic import BaseModel

def models_below(model):
    return {{model, *(each for kind in model.__subclasses__() for each in models_below(kind))}}

ours = {{model for model in models_below(BaseModel) if model.__module__ == events.__name__}}
print("unbuilt:", *(model.__name__ for model in ours if not model.__pydantic_complete__))

async def main():
    async def chunks():
        yield open({str(stream)!r}, "rb").read()
    return [update async for update in aiter_updates(chunks())]

before = set(sys.modules)
try:
    main().send(None)
except StopIteration as done:
    print("updates:", len(done.value) > 5)
print("imported:", *set(sys.modules) - before)
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split("\n") == ["unbuilt:", "updates: True", "imported:", ""]
