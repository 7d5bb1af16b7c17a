"""The programs of docs/clients.md, run unchanged: only the address and the key are in the environment."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from clients.laws import IS_MEASURING, raw_of

DOCS = Path(__file__).parents[2] / "docs"
# One asks a server of another kind: tests/test_resume.py runs it.
PROGRAMS = sorted(set((DOCS / "clients").glob("*.py")) - {DOCS / "clients" / "with_sse_resuming.py"})
DRAWN = runpy.run_path(str(DOCS / "clients.py"))
# The imports of a program, if its name does not show them.
IMPORTS = {
    "openai_async": ("openai",),
    "openai_resuming": ("openai",),
    "openai_agents": ("agents",),
    "langchain": ("langchain_openai",),
    "urllib": ("urllib",),
    "google_genai": ("google.genai",),
    "google_genai_interactions": ("google.genai",),
    "seedream": ("httpx",),
    "novelai": ("httpx",),
    "comfyui": ("websockets", "httpx"),
    "a1111": ("httpx",),
}
# For the programs that read a workflow of ComfyUI.
WORKFLOW = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "positive": ["6", 0]}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 96, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "An otter on a lake at dusk", "clip": ["4", 1]}},
    "12": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["8", 0]}},
}


def has_package(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the parent of a package is not there
        return False


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_each_program_runs_and_keeps_the_result(image_server: Any, tmp_path: Path, program: Path) -> None:
    name = program.stem.removeprefix("with_")
    if not all(map(has_package, IMPORTS.get(name, (name,)))):
        pytest.skip(f"{name} is not installed here: .ci/clients makes an environment for each client")
    image_server.use(size=(96, 64))
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": image_server.base_url,
        "OPENAI_API_KEY": "-",
        "OPENROUTER_BASE_URL": image_server.openrouter_url,
        "OPENROUTER_API_KEY": "-",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "GOOGLE_GEMINI_BASE_URL": image_server.url,
        "GEMINI_API_KEY": "-",
        "ARK_BASE_URL": f"{image_server.url}/api/v3",
        "ARK_API_KEY": "-",
        "NOVELAI_BASE_URL": image_server.url,
        "NOVELAI_API_KEY": "-",
        "COMFYUI_HOST": image_server.url.removeprefix("http://"),
        "COMFY_BASE_URL": image_server.url,
        "A1111_URL": image_server.url,
    }
    workflow = tmp_path / "workflow.json"
    workflow.write_text(json.dumps(WORKFLOW))
    run = subprocess.run(
        [sys.executable, str(program), str(workflow)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    sent = raw_of(image_server)
    files = image_server.sent[-1].files.values()  # pictures at addresses of their own
    finals = [*files, *(frame.data for frame in sent.finals)]
    assert (tmp_path / "otter.png").read_bytes() == finals[0]
    shown = [line for line in run.stdout.splitlines() if line.startswith("<Frame ")]
    assert files or shown[-1] == repr(sent.final)
    if name not in ("langchain", "pydantic_ai"):  # the one has no previews, the other one more than were sent
        assert len(shown) == 1 + sum(len(item.partials) for item in sent.items.values())


@pytest.mark.skipif(IS_MEASURING, reason="it is being measured; the page is drawn afterwards")
def test_the_page_has_every_program_and_what_was_measured() -> None:
    assert {name for names in DRAWN["PROGRAMS"].values() for name in names} == {
        path.name for path in (DOCS / "clients").iterdir() if path.suffix in (".py", ".mjs")
    }
    assert DRAWN["page"]() == (DOCS / "clients.md").read_text(), "run: python docs/clients.py"


def test_the_versions_that_were_measured_are_those_that_are_installed_for_it() -> None:
    pins = (DOCS.parent / "pyproject.toml").read_text() + (
        Path(__file__).parent / "node" / "package.json"
    ).read_text().replace('": "', "==")
    for client in DRAWN["json"].loads((DOCS / "clients.json").read_text()).values():
        for package, number in client["versions"].items():
            is_brought_along = package == "openai" and len(client["versions"]) > 1
            assert is_brought_along or f"{package}=={number}" in pins.replace("[openai]", ""), package
