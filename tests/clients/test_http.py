"""Plain HTTP clients: the bytes of the body, as each of them gives them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest

from clients.laws import RESPONSE, ClientLaws, Route

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


class TestHttpx(ClientLaws):
    client = "httpx"
    environment = "http"
    packages = ("httpx",)
    routes = over_httpx("httpx")


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
