"""The programs of docs/engines.md, run unchanged: only addresses come from environment variables."""

from __future__ import annotations

import json
import os
import re
import runpy
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from shared import ROOT

from imgassemble import Assembler, ItemEnded, assemble
from imgassemble.streams import comfyui_events

PROGRAMS = ROOT / "docs" / "engines"
PAGE = (ROOT / "docs" / "engines.md").read_text()

# A pipeline like those of diffusers, without a model: it calls back after each step, and looks at the page once.
STAND_IN = """
import json, os, time
from types import SimpleNamespace
from urllib.error import URLError
from urllib.request import urlopen
from PIL import Image

class StableDiffusionPipeline:
    vae = SimpleNamespace(config=SimpleNamespace(scaling_factor=0.5), decode=lambda latents, return_dict: (latents,))
    image_processor = SimpleNamespace(postprocess=lambda step: [Image.new("RGB", (24, 16), (int(step) * 8, 0, 0))])

    @classmethod
    def from_pretrained(cls, name):
        return cls()

    def __call__(self, prompt, num_inference_steps, callback_on_step_end):
        for step in range(num_inference_steps):
            tensors = callback_on_step_end(self, step, 1000 - step, {"latents": step / 2})
            assert tensors == {"latents": step / 2}
        self.look_at_the_page()
        return SimpleNamespace(images=[Image.new("RGB", (24, 16), (0, 255, 0))])

    def look_at_the_page(self):
        for _ in range(500):
            try:
                with urlopen(f"http://127.0.0.1:{os.environ['PORT']}/", timeout=5) as answer:
                    return open("page.html", "wb").write(answer.read())
            except URLError:
                time.sleep(0.01)  # its server is starting
"""


def run(program: str, folder: Path, **environment: str) -> str:
    command = [sys.executable, str(PROGRAMS / program)]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def needs(*packages: str) -> None:
    if missing := [name for name in packages if find_spec(name) is None]:
        pytest.skip(f"no {missing[0]} here: pip install {' '.join(packages)}")


def test_a_local_pipeline_shows_its_steps_on_a_screen_and_a_page(tmp_path: Path) -> None:
    needs("uvicorn", "starlette")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "diffusers.py").write_text(STAND_IN)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    path = os.pathsep.join([str(tmp_path / "modules"), *sys.path])
    shown = run("with_diffusers.py", tmp_path, PYTHONPATH=path, PORT=port)
    assert "final" in shown
    assert b"<html" in (tmp_path / "page.html").read_bytes().lower()
    assert (tmp_path / "otter.png").is_file()


def test_a_program_asks_automatic1111(image_server: Any, tmp_path: Path) -> None:
    needs("httpx")
    image_server.use(size=(96, 64))
    run("with_automatic1111.py", tmp_path, ENGINE_URL=image_server.url)
    (folder,) = (tmp_path / "pictures").iterdir()
    assert (tmp_path / "otter.png").read_bytes() == (folder / "final.png").read_bytes()
    assert list(folder.glob("partial-*"))


# The parts of a workflow that the simulator reads.
WORKFLOW = {
    "3": {"class_type": "KSampler", "inputs": {"steps": 20}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "An otter"}},
    "9": {"class_type": "SaveImage", "inputs": {}},
}


def test_a_program_reads_the_websocket_of_comfyui(image_server: Any, tmp_path: Path) -> None:
    needs("httpx", "websockets")
    image_server.use(size=(96, 64))
    shown = run("with_comfyui.py", tmp_path, ENGINE_URL=image_server.url, WORKFLOW=json.dumps(WORKFLOW)).split()
    assert shown.count("FrameAdded") == 2
    assert shown[-2:] == ["FinalReady", "ItemEnded"]


@pytest.mark.parametrize("has_metadata", [True, False])
def test_a_saving_node_sends_its_result_through_the_real_websocket(image_server: Any, *, has_metadata: bool) -> None:
    needs("httpx", "websockets")
    import httpx
    from websockets.sync.client import connect

    image_server.use(size=(96, 64))
    workflow = {**WORKFLOW, "9": {"class_type": "SaveImageWebsocket", "inputs": {}}}
    address = image_server.url.replace("http", "ws", 1)
    with connect(f"{address}/ws?clientId=otter", max_size=None) as websocket:
        if has_metadata:
            websocket.send('{"type": "feature_flags", "data": {"supports_preview_metadata": true}}')
        httpx.post(f"{image_server.url}/prompt", json={"prompt": workflow, "client_id": "otter"}).raise_for_status()
        assembler = Assembler()
        for event in comfyui_events(websocket):
            if any(isinstance(update, ItemEnded) for update in assembler.feed(event)):
                break
    (item,) = assembler.items.values()
    assert (len(item.partials), item.anomalies, assembler.anomalies) == (2, (), ())
    assert item.require_final().data in image_server.sent[-1].files.values()


def block_with(words: str) -> str:
    (found,) = [text for text in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S) if words in text]
    return str(found)


def test_the_page_has_every_program() -> None:
    assert runpy.run_path(str(ROOT / "docs" / "engines.py"))["page"]() == PAGE, "run: python docs/engines.py"
    assert all(path.read_text() in PAGE for path in PROGRAMS.glob("*.py"))


def test_the_program_without_pictures_prints_what_is_shown(tmp_path: Path) -> None:
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    command = [sys.executable, "-c", block_with("open_events(source)")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"```text\n{done.stdout}```" in PAGE


def test_the_filter_makes_a_cassette_small() -> None:
    names: dict[str, Any] = {}
    exec(block_with("vcr_config"), names)
    body = (ROOT / "fixtures" / "openai-2025-10-png.sse").read_bytes()
    headers = {"Content-Type": ["text/event-stream; charset=utf-8"], "Content-Length": [str(len(body))]}
    filtered = names["strip_body"]({"status": {"code": 200}, "headers": headers, "body": {"string": body}})
    assert (filtered["status"], list(filtered["headers"])) == ({"code": 200}, ["Content-Type"])
    assert len(filtered["body"]["string"]) < len(body) / 2
    states = [item.state for item in assemble([filtered["body"]["string"]]).items.values()]
    assert states == [item.state for item in assemble([body]).items.values()]
    answer = (ROOT / "fixtures" / "whole-images.json").read_bytes()
    filtered = names["strip_body"]({"headers": {}, "body": {"string": answer}})
    assert list(json.loads(filtered["body"]["string"])["data"][0]["b64_json"]) == ["sha256"]
