"""The structure: imports point one way, the core is pure, names are defined once, and an import stays light."""

from __future__ import annotations

import ast
import inspect
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

import imgassemble
import imgassemble.streams

PACKAGE = Path(imgassemble.__file__).parent
PUBLIC: list[str] = vars(imgassemble)["__all__"]  # type checkers see imports in its place

# The way of the data. A module imports from earlier groups, from earlier members of its own group, and from its folder.
GROUPS = (
    ("readonly", "errors", "arguments", "limits", "states", "files", "console", "serving"),
    ("frames",),
    ("wire",),
    ("assembly",),
    ("storage", "streams", "screens", "meter", "simulator"),
    ("film",),
    ("web",),
    ("cli",),
    ("__init__", "__main__"),
)
PLACES = {name: (group, at) for group, names in enumerate(GROUPS) for at, name in enumerate(names)}
# The members of a folder, in the order of the data: each imports only those before it. Other folders have no circle.
ORDERS = {
    "frames": (
        "base64_json",
        "binary",
        "exif",
        "c2pa",
        "png",
        "jpeg",
        "webp",
        "gif",
        "av1",
        "avif",
        "svg",
        "containers",
        "pixels",
        "picture",
        "frame",
    ),
    "wire": (
        "sse",
        "text_pictures",
        "event_rows",
        "services",
        "dialects",
        "members",
        "paths",
        "values",
        "failures",
        "field_types",
        "fields",
        "message_types",
        "placed",
        "reader",
        "events",
        "signals",
        "readings",
    ),
    "assembly": (
        "options",
        "responses",
        "lifecycle",
        "updates",
        "listeners",
        "held",
        "changes",
        "repeats",
        "response_lookup",
        "item_names",
        "open_texts",
        "weighing",
        "items",
        "wording",
        "strip",
        "results",
        "stream_errors",
        "stream_log",
        "turns",
        "assembler",
        "sink",
    ),
    "streams": (
        "decoding",
        "sources",
        "picture_references",
        "own_thread",
        "opening",
        "fetching",
        "engines",
        "resuming",
        "driving",
    ),
}
# Which rooms may import a third-party package.
GUESTS = {
    "pydantic": {"wire/events"},
    "pydantic_core": {"frames/base64_json"},
    "pybase64": {"frames/base64_json"},
    "PIL": {"frames/frame", "frames/picture", "frames/pixels", "assembly/items", "screens", "simulator"},
    # Hosts of screens, imported when a screen is made.
    "IPython": {"screens"},
    "PySide6": {"screens"},
    # The extra `objects`.
    "obstore": {f"storage/{name}" for name in ("conditional_objects", "object_copy", "objects", "saved")},
    # The extra `web`.
    "anyio": {"simulator"},
    "python_multipart": {"simulator"},
    "redis": {"web/redis/connecting"},
    "starlette": {"simulator", "web"},
    "uvicorn": {"serving", "simulator", "web"},
    "pytest": {"simulator"},
}
# Modules that the pure core must not import. A lock is allowed: it protects values that are built on demand.
WORLD = {"asyncio", "socket", "time", "datetime", "subprocess", "http", "urllib", "tempfile", "shutil", "queue"}
PURE = ("frames", "wire", "assembly")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """The imports of a file: modules of the package as ".folder.module", others by their first name."""
    found = set()
    package = dotted(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            for alias in node.names:
                target = [*base, *(node.module.split(".") if node.module else [alias.name])]
                found.add("." + ".".join(target))
    return found


IDS = {"ids": lambda path: str(path.relative_to(PACKAGE))}


@pytest.mark.parametrize("path", modules(), **IDS)  # type: ignore[arg-type]
def test_imports_point_to_earlier_steps(path: Path) -> None:
    here = dotted(path)
    room, step, *_ = [*here.split("."), ""]
    for found in imports(path):
        if not found.startswith(".") or found == ".__version__":
            continue
        target, member, *_ = [*found[1:].split("."), ""]
        if target != room:
            assert PLACES[target] < PLACES[room], f"{here} must not import {found}"
        elif room in ORDERS and step not in ("__init__", member):
            order = ORDERS[room]
            assert order.index(member) < order.index(step), f"{here} must not import {found}"


def test_no_import_is_a_circle() -> None:
    known = {dotted(path): {each[1:] for each in imports(path) if each.startswith(".")} for path in modules()}
    graph = {name: {each for each in found if each in known} for name, found in known.items()}
    while leaves := {name for name, found in graph.items() if not found}:
        graph = {name: found - leaves for name, found in graph.items() if name not in leaves}
    assert not graph


@pytest.mark.parametrize("path", modules(), **IDS)  # type: ignore[arg-type]
def test_third_party_packages_have_their_rooms(path: Path) -> None:
    here = dotted(path).replace(".", "/")
    for name in imports(path):
        if not name.startswith(".") and name not in sys.stdlib_module_names:
            allowed = GUESTS.get(name, set())
            assert here in allowed or here.partition("/")[0] in allowed, f"{here} must not import {name}"


CORE = [path for path in modules() if dotted(path).partition(".")[0] in PURE]


@pytest.mark.parametrize("path", CORE, **IDS)  # type: ignore[arg-type]
def test_the_core_is_pure(path: Path) -> None:
    assert not imports(path) & WORLD
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "open"]


@pytest.mark.parametrize("path", modules(), **IDS)  # type: ignore[arg-type]
def test_a_module_says_what_it_knows_and_what_it_must_not_know(path: Path) -> None:
    said = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
    assert said
    if path.name not in ("__init__.py", "__main__.py"):
        assert "Must not know:" in said


def test_no_module_has_an_empty_name() -> None:
    assert not {path.stem for path in modules()} & {"utils", "helpers", "common", "base", "misc"}


def definitions(kind: type | tuple[type, ...]) -> dict[str, list[str]]:
    """The names that modules define at their top, each with the modules that define it. Overloads only add types."""
    found: dict[str, list[str]] = {}
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, kind) and not any(ast.unparse(each) == "overload" for each in node.decorator_list):  # type: ignore[attr-defined]
                found.setdefault(node.name, []).append(dotted(path))  # type: ignore[attr-defined]
    return found


def test_each_class_name_is_defined_once() -> None:
    assert not {name: places for name, places in definitions(ast.ClassDef).items() if len(places) > 1}


def test_each_public_function_name_is_defined_once() -> None:
    found = definitions((ast.FunctionDef, ast.AsyncFunctionDef))
    public = {name: places for name, places in found.items() if not name.startswith("_")}
    assert not {name: places for name, places in public.items() if len(places) > 1}


def imports_of_types(path: Path) -> set[str]:
    """The names that type checkers see in a file that imports when it is asked."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {alias.name for node in nodes if isinstance(node, ast.ImportFrom) and node.level for alias in node.names}


def test_what_is_exported_is_there_typed_and_documented() -> None:
    assert imports_of_types(PACKAGE / "__init__.py") == set(PUBLIC)
    for name in PUBLIC:
        thing = getattr(imgassemble, name)
        assert name == "Update" or inspect.getdoc(thing), name


REFERENCE = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "site" / "reference.py"))


def test_each_public_name_is_on_one_page_of_the_reference() -> None:
    assert REFERENCE["misplaced_names"]() == [], "put it on a page in docs/site/reference.py"


def functions_of_the_reference() -> Iterator[tuple[str, Callable[..., object]]]:
    for name in (name for *_, names in REFERENCE["REFERENCE"] for name in names.split()):
        module, _, last = name.rpartition(".")
        try:
            value = getattr(import_module(f"imgassemble.{module}".rstrip(".")), last)
        except imgassemble.UsageError:  # its host is not installed
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            yield from ((f"{name}.{each}", one) for each, one in vars(value).items() if inspect.isfunction(one))


def test_public_functions_name_their_arguments_in_their_docstrings() -> None:
    for name, function in functions_of_the_reference():
        if name.rpartition(".")[2].startswith("_"):
            continue
        for argument, facts in inspect.signature(function).parameters.items():
            is_named = argument == "self" or argument[0] == "_" or facts.kind is facts.VAR_POSITIONAL
            assert is_named or argument in str(function.__doc__), f"{name} does not say what {argument} is"


def test_the_sources_of_streams_are_there_and_documented() -> None:
    assert dir(imgassemble.streams) == ["comfyui_events", "fetch_https", "polled_events"]
    for name in dir(imgassemble.streams):
        assert inspect.getdoc(getattr(imgassemble.streams, name)), name
    with pytest.raises(AttributeError):
        _ = imgassemble.streams.otter


def test_public_methods_are_documented() -> None:
    for name in PUBLIC:
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
    heavy = {"pydantic", "asyncio", "http", "html", "argparse", "socket", "ssl", "email", "PIL", "openai", "httpx"}
    assert not loaded & (heavy | {"starlette"})
    assert not {name for name in loaded if name.startswith(("imgassemble.simulator", "imgassemble.cli.main"))}


def test_the_pytest_plugin_brings_nothing_along() -> None:
    loaded = loaded_by("import imgassemble.simulator.plugin") - loaded_by("import pytest")
    assert {name for name in loaded if "." not in name} <= {"imgassemble"}


def test_a_first_frame_opens_no_decoder() -> None:
    stream = Path(__file__).parents[1] / "fixtures" / "openai-2025-10-png.sse"
    code = "import sys, imgassemble\nresult = imgassemble.assemble(imgassemble.open_events(sys.argv[1]))"
    assert not {name for name in loaded_by(code, str(stream)) if name.startswith("PIL")}


def test_what_the_first_events_need_is_there_before_them() -> None:
    """An import during the first event would hold the event loop that feeds it."""
    stream = Path(__file__).parents[1] / "fixtures" / "openai-2025-10-png.sse"
    code = f"""
import asyncio, sys
from imgassemble import Assembler, aiter_updates

async def main():
    async def chunks():
        yield open({str(stream)!r}, "rb").read()
    before = set(sys.modules)
    updates = [update async for update in aiter_updates(chunks())]
    print("updates:", len(updates) > 5)
    print("imported:", *set(sys.modules) - before)

asyncio.run(main())
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split("\n") == ["updates: True", "imported:", ""]
