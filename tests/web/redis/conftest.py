"""One real server for all tests of this folder; each test has a gallery of its own name."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

pytest.importorskip("redis", reason="a gallery on Redis needs the extra: pip install 'imgassemble[redis]'")

import redis_stage as stage

from imgassemble.web import RedisGallery


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stage.RedisServer]:
    if stage.SERVER is None:
        pytest.skip(stage.MISSING)
    running = stage.RedisServer(tmp_path_factory.mktemp("redis"))
    yield running
    running.kill()
    running.client.close()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of a gallery that no other test has."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", request.node.name)[-60:]


@pytest.fixture
def gallery(server: stage.RedisServer, name: str) -> Iterator[RedisGallery]:
    opened = RedisGallery(server.url, name)
    yield opened
    opened.close()
