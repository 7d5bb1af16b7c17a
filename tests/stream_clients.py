"""Opens a stream with each sync client, also under TLS; a client that is not installed skips the test."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest
from samples import created, sse
from silent_server import CERTIFICATE, silent_server

ASKED: dict[str, Any] = {"model": "gpt-5", "input": "an otter"}


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def over_urllib(url: str) -> Any:
    return urlopen(url, context=trusting())


def lines_over_urllib(url: str) -> Any:
    with urlopen(url, context=trusting()) as body:
        yield from iter(lambda: body.read1(65_536), b"")


def over_requests(url: str) -> Any:
    return pytest.importorskip("requests").get(url, stream=True, verify=str(CERTIFICATE)).iter_content(None)


def over_urllib3(url: str) -> Any:
    pool = pytest.importorskip("urllib3").PoolManager(ca_certs=str(CERTIFICATE))
    return pool.request("GET", url, preload_content=False).stream(65_536)


def over_httpx(url: str) -> Any:
    with pytest.importorskip("httpx").stream("GET", url, verify=trusting(), timeout=None) as response:
        yield from response.iter_bytes()


def over_httpx2(url: str) -> Any:
    with pytest.importorskip("httpx2").stream("GET", url, verify=trusting(), timeout=None) as response:
        yield from response.iter_bytes()


def openai_client(url: str) -> Any:
    openai: Any = pytest.importorskip("openai")
    http_client = openai.DefaultHttpxClient(verify=trusting())
    return openai.OpenAI(base_url=url, api_key="-", max_retries=0, http_client=http_client)


def over_openai(url: str) -> Any:
    return openai_client(url).responses.create(**ASKED, stream=True)


def over_openai_that_manages(url: str) -> Any:
    with openai_client(url).responses.stream(**ASKED) as stream:
        yield from stream


def over_openrouter(url: str) -> Any:
    client = pytest.importorskip("httpx").Client(verify=trusting())
    made = pytest.importorskip("openrouter").OpenRouter(api_key="-", server_url=url, client=client)
    return made.responses.send(**ASKED, stream=True)


CLIENTS: tuple[Callable[[str], Any], ...] = (
    over_urllib,
    lines_over_urllib,
    over_requests,
    over_urllib3,
    over_httpx,
    over_httpx2,
    over_openai,
    over_openai_that_manages,
    over_openrouter,
)


def warm_up(client: Callable[[str], Any]) -> None:
    """Open and close a stream, because a client imports modules and builds its models at first, which takes seconds."""
    with silent_server(sse([created(seq=0)])) as server:
        stream = client(server.url)
        next(iter(stream))
        stream.close()
