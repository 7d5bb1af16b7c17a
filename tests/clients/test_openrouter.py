"""OpenRouter's Python client: its events as they are, and its bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from clients.laws import CHAT, PROMPT, RESPONSE, ClientLaws, Route

openrouter: Any = pytest.importorskip(
    "openrouter", reason="OpenRouter's client is not installed: pip install openrouter"
)


def client(server: Any) -> Any:
    return openrouter.OpenRouter(api_key="-", server_url=server.openrouter_url)


def responses_send(server: Any) -> Iterator[Any]:
    with client(server) as made, made.responses.send(**RESPONSE, stream=True) as events:
        yield from events


async def async_responses_send(server: Any) -> AsyncIterator[Any]:
    async with client(server) as made, await made.responses.send_async(**RESPONSE, stream=True) as events:
        async for event in events:
            yield event


def images_generate(server: Any) -> Iterator[Any]:
    with client(server) as made, made.images.generate(model="some/model", prompt=PROMPT, stream=True) as events:
        yield from events


async def async_images_generate(server: Any) -> AsyncIterator[Any]:
    asked = {"model": "some/model", "prompt": PROMPT, "stream": True}
    async with client(server) as made, await made.images.generate_async(**asked) as events:
        async for event in events:
            yield event


def chat(server: Any) -> Iterator[Any]:
    with client(server) as made, made.chat.send(**CHAT, stream=True) as events:
        yield from events


def bytes_of_a_stream(server: Any) -> Iterator[bytes]:
    with client(server) as made, made.responses.send(**RESPONSE, stream=True) as events:
        yield from events.response.iter_bytes()


class TestOpenRouter(ClientLaws):
    client = "openrouter"
    packages = ("openrouter",)
    routes = (
        Route(name="responses.send(stream=True)", open=responses_send, is_router=True),
        Route(name="responses.send_async(stream=True)", open=async_responses_send, is_router=True),
        Route(name="images.generate(stream=True)", open=images_generate, api="router-images", is_router=True),
        Route(
            name="images.generate_async(stream=True)", open=async_images_generate, api="router-images", is_router=True
        ),
        Route(name="chat.send(stream=True)", open=chat, api="chat", is_router=True),
        Route(name="bytes: events.response.iter_bytes()", open=bytes_of_a_stream, is_router=True),
    )
