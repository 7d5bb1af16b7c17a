"""The TypeScript clients under Node: their parsed events, in camelCase, come as lines of JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.laws import ClientLaws, Route
from imgassemble import assemble
from imgassemble.simulator.answers import Api

# A folder with node_modules in it, as .ci/clients makes it.
PLACE = os.environ.get("IMGASSEMBLE_NODE", "")
HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    not (PLACE and shutil.which("node")),
    reason="Node and its clients: npm install openai @openrouter/sdk, then IMGASSEMBLE_NODE=that folder",
)


def node(script: Path, *arguments: str, server: Any) -> subprocess.Popen[bytes]:
    """A program under Node, in the folder of its packages."""
    there = Path(shutil.copy(script, PLACE))
    addresses = {"OPENAI_BASE_URL": server.base_url, "OPENROUTER_BASE_URL": server.openrouter_url}
    keys = {"OPENAI_API_KEY": "-", "OPENROUTER_API_KEY": "-"}
    return subprocess.Popen(
        ["node", str(there), *arguments],
        env={**os.environ, **addresses, **keys},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def route(name: str, api: Api = "responses", *, is_router: bool = False, package: str = "openai") -> Route:
    package = "openrouter" if is_router else package

    def stream(server: Any) -> Iterator[bytes]:
        with node(HERE / "node" / "stream.mjs", f"{package} {name}", server=server) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            yield from process.stdout
            if said := process.stderr.read().decode().strip():
                raise type(said, (Exception,), {"__module__": "node"})

    return Route(name=name, open=stream, api=api, is_router=is_router, has_price=False)


def installed(package: str) -> dict[str, str]:
    facts = json.loads((Path(PLACE) / "node_modules" / package / "package.json").read_text())
    return {package: facts["version"]}


class TestOpenAI(ClientLaws):
    client = "node-openai"
    environment = "node"
    routes = (
        route("responses.create"),
        route("responses.stream"),
        route("images.generate", "images"),
        route("chat.completions.create", "chat"),
    )

    def installed(self) -> dict[str, str]:
        return installed("openai")


class TestAISDK(ClientLaws):
    client = "node-ai"
    environment = "node"
    routes = (route("streamText().toUIMessageStream", package="ai"),)

    def installed(self) -> dict[str, str]:
        return installed("ai") | installed("@ai-sdk/openai")


class TestOpenRouter(ClientLaws):
    client = "node-openrouter"
    environment = "node"
    routes = (
        route("responses.send", is_router=True),
        route("images.generate", "router-images", is_router=True),
        route("chat.send", "chat", is_router=True),
    )

    def installed(self) -> dict[str, str]:
        return installed("@openrouter/sdk")


@pytest.mark.parametrize("program", ["with_openai.mjs", "with_openrouter.mjs"])
def test_each_program_of_the_page_pipes_its_events_into_save(image_server: Any, tmp_path: Path, program: str) -> None:
    image_server.use(size=(64, 48))
    save = [sys.executable, "-m", "imgassemble", "save", "-", "-o", str(tmp_path)]
    with node(HERE.parents[1] / "docs" / "clients" / program, server=image_server) as source:
        run = subprocess.run(save, stdin=source.stdout, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (final,) = tmp_path.glob("*/final.png")
    sent = assemble(image_server.sent[-1].body).final
    assert sent is not None
    assert final.read_bytes() == sent.data
    assert len(list(tmp_path.glob("*/partial-*.png"))) == 3
