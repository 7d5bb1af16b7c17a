"""ComfyUI: the messages of its websocket, as the package websockets gives them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from clients.laws import PROMPT, ClientLaws, Route
from imgassemble.streams import comfyui_events

websockets: Any = pytest.importorskip("websockets.sync.client", reason="pip install websockets")

FEATURES = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
ENDS = ("execution_success", "execution_error", "execution_interrupted")
# The picture comes through the websocket, so that nothing has to be fetched.
WORKFLOW = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "positive": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": PROMPT, "clip": ["4", 1]}},
    "12": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["8", 0]}},
}


def post_prompt(server: Any, workflow: Any = WORKFLOW) -> None:
    data = json.dumps({"prompt": workflow, "client_id": "otter"}).encode()
    try:
        with urlopen(Request(f"{server.url}/prompt", data)) as answer:
            answer.read()
    except HTTPError as error:
        error.close()
        raise


def address(server: Any) -> str:
    return f"{server.url.replace('http://', 'ws://')}/ws?clientId=otter"


def is_end(message: str | bytes) -> bool:
    return isinstance(message, str) and json.loads(message)["type"] in ENDS


def messages(server: Any) -> Iterator[str | bytes]:
    with websockets.connect(address(server), max_size=None) as socket:
        socket.send(FEATURES)
        post_prompt(server)
        for message in socket:
            yield message
            if is_end(message):
                return


async def async_messages(server: Any) -> AsyncIterator[str | bytes]:
    from websockets.asyncio.client import connect

    async with connect(address(server), max_size=None) as socket:
        await socket.send(FEATURES)
        post_prompt(server)
        async for message in socket:
            yield message
            if is_end(message):
                return


class TestComfyUI(ClientLaws):
    client = "websockets"
    environment = "comfyui"
    packages = ("websockets",)
    routes = (
        Route(
            name="comfyui_events(connect())",
            open=lambda server: comfyui_events(messages(server)),
            api="comfyui",
            has_price=False,
        ),
        Route(
            name="comfyui_events(connect()), async",
            open=lambda server: comfyui_events(async_messages(server)),
            api="comfyui",
            has_price=False,
        ),
    )
