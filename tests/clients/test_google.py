"""google-genai: its chunks with raw bytes, its events of interactions, and its whole answers, as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from clients.laws import PROMPT, ClientLaws, Route, pictures, raw_of
from imgassemble import assemble

genai: Any = pytest.importorskip("google.genai", reason="Google's client is not installed: pip install google-genai")

MODEL = "gemini-3-pro-image"
genai._api_client.has_aiohttp = False  # it prefers aiohttp if that is installed; the page has the results of httpx2


def client(server: Any) -> Any:
    return genai.Client(api_key="-", http_options={"base_url": server.url})


def stream_of_content(server: Any) -> Iterator[Any]:
    with client(server) as made:
        yield from made.models.generate_content_stream(model=MODEL, contents=PROMPT)


async def async_stream_of_content(server: Any) -> AsyncIterator[Any]:
    async with client(server).aio as made:
        async for chunk in await made.models.generate_content_stream(model=MODEL, contents=PROMPT):
            yield chunk


def whole_content(server: Any) -> Any:
    with client(server) as made:
        return made.models.generate_content(model=MODEL, contents=PROMPT)


def stream_of_steps(server: Any) -> Iterator[Any]:
    with client(server) as made:
        yield from made.interactions.create(model=MODEL, input=PROMPT, stream=True)


async def async_stream_of_steps(server: Any) -> AsyncIterator[Any]:
    async with client(server).aio as made:
        async for event in await made.interactions.create(model=MODEL, input=PROMPT, stream=True):
            yield event


def whole_interaction(server: Any) -> Any:
    with client(server) as made:
        return made.interactions.create(model=MODEL, input=PROMPT)


class TestGoogle(ClientLaws):
    client = "google-genai"
    environment = "google"
    packages = ("google-genai",)
    routes = (
        Route(name="models.generate_content_stream()", open=stream_of_content, api="gemini"),
        Route(name="aio.models.generate_content_stream()", open=async_stream_of_content, api="gemini"),
        Route(name="interactions.create(stream=True)", open=stream_of_steps, api="interactions"),
        Route(name="aio.interactions.create(stream=True)", open=async_stream_of_steps, api="interactions"),
    )


@pytest.mark.parametrize("ask", [whole_content, whole_interaction])
def test_a_whole_answer_is_read_as_it_is(image_server: Any, ask: Any) -> None:
    image_server.use(size=(64, 48))
    answer = ask(image_server)
    result = assemble([answer])
    assert result.final is not None
    assert result.final == raw_of(image_server).final
    assert pictures(result) == pictures(raw_of(image_server))
