"""Plain HTTP clients: the bytes of the body, as each of them gives them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import Request, urlopen

import pytest

from clients.laws import PROMPT, RESPONSE, ClientLaws, Route
from imgassemble.streams import polled_events

ASKED = RESPONSE | {"stream": True}


def over_urllib(server: Any) -> Iterator[bytes]:
    with urlopen(Request(f"{server.base_url}/responses", json.dumps(ASKED).encode())) as body:
        yield from iter(lambda: body.read1(65_536), b"")  # iterated itself, it does not tell that it was cut


class TestUrllib(ClientLaws):
    client = "urllib"
    environment = "http"
    routes = (Route(name="iter(lambda: body.read1(65_536), b'')", open=over_urllib),)


def over_httpx(package: str) -> tuple[Route, ...]:
    """The routes of httpx and of its successor, which have the same face."""

    def sync(server: Any) -> Iterator[bytes]:
        httpx = pytest.importorskip(package, reason=f"{package} is not installed: pip install {package}")
        with httpx.stream("POST", f"{server.base_url}/responses", json=ASKED) as response:
            response.raise_for_status()
            yield from response.iter_bytes()

    async def asynchronous(server: Any) -> AsyncIterator[bytes]:
        httpx = pytest.importorskip(package, reason=f"{package} is not installed: pip install {package}")
        async with (
            httpx.AsyncClient() as client,
            client.stream("POST", f"{server.base_url}/responses", json=ASKED) as response,
        ):
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                yield chunk

    return (
        Route(name="response.iter_bytes()", open=sync),
        Route(name="response.aiter_bytes()", open=asynchronous),
    )


SEEDREAM = {"model": "seedream-5-0", "prompt": PROMPT, "response_format": "b64_json", "stream": True}
NOVELAI = {"model": "nai-diffusion-4-5-full", "input": PROMPT, "parameters": {"n_samples": 1, "stream": "sse"}}
A1111 = {"prompt": PROMPT, "steps": 20}


def bytes_from(path: str, asked: Any) -> Callable[[Any], Iterator[bytes]]:
    """A way to stream from another service with httpx."""

    def stream(server: Any) -> Iterator[bytes]:
        httpx = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
        with httpx.stream("POST", f"{server.url}{path}", json=asked) as response:
            response.raise_for_status()
            yield from response.iter_bytes()

    return stream


def polls(server: Any) -> Any:
    """AUTOMATIC1111's progress, asked while the request lasts."""
    httpx = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
    pool = ThreadPoolExecutor(1)
    job = pool.submit(lambda: httpx.post(f"{server.url}/sdapi/v1/txt2img", json=A1111, timeout=30).json())
    pool.shutdown(wait=False)

    def ask() -> Any:
        return job.result() if job.done() else httpx.get(f"{server.url}/sdapi/v1/progress").json()

    return polled_events(ask, 0.01)


class TestHttpx(ClientLaws):
    client = "httpx"
    environment = "http"
    packages = ("httpx",)
    routes = (
        *over_httpx("httpx"),
        Route(
            name="Seedream: response.iter_bytes()",
            open=bytes_from("/api/v3/images/generations", SEEDREAM),
            api="seedream",
        ),
        Route(
            name="NovelAI: response.iter_bytes()", open=bytes_from("/ai/generate-image-stream", NOVELAI), api="novelai"
        ),
        Route(name="AUTOMATIC1111: polled_events(ask)", open=polls, api="a1111", has_price=False),
    )


class TestHttpx2(ClientLaws):
    client = "httpx2"
    environment = "http"
    packages = ("httpx2",)
    routes = over_httpx("httpx2")


def over_requests(server: Any) -> Iterator[bytes]:
    requests: Any = pytest.importorskip("requests", reason="requests is not installed: pip install requests")
    with requests.post(f"{server.base_url}/responses", json=ASKED, stream=True) as response:
        response.raise_for_status()
        yield from response.iter_content(None)


class TestRequests(ClientLaws):
    client = "requests"
    environment = "http"
    packages = ("requests",)
    routes = (Route(name="response.iter_content(None)", open=over_requests),)


async def over_aiohttp(server: Any) -> AsyncIterator[bytes]:
    aiohttp: Any = pytest.importorskip("aiohttp", reason="aiohttp is not installed: pip install aiohttp")
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.post(f"{server.base_url}/responses", json=ASKED) as response,
    ):
        async for chunk in response.content.iter_any():
            yield chunk


class TestAiohttp(ClientLaws):
    client = "aiohttp"
    environment = "http"
    packages = ("aiohttp",)
    routes = (Route(name="response.content.iter_any()", open=over_aiohttp),)
