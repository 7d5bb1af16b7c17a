"""A pytest plugin: `image_server`, a simulated service on a loopback port, for tests of programs that show pictures.

Knows: pytest, and when the server is started, set up for a test, and stopped. Must not know: how it works. pytest
imports this module in every run of every user who has the library, so it imports nothing else before the fixture is
asked for; the server needs the extra `web`.

    def test_shows_every_preview(image_server):
        image_server.use(partials=3, faults=["disconnect-after-event=6"])
        show(OpenAI(base_url=image_server.base_url, api_key="-"), "an otter")
        assert image_server.requests[0].json["stream"] is True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .answers import Play
    from .server import Asked, Running

_SIZE = (256, 256)  # pixels: drawn in a fortieth of a second, and large enough for a preview to differ


class ImageServer:
    """What a test sees of the server: where it is, what it is to play, and what it was asked."""

    def __init__(self, running: Running) -> None:
        self._running = running

    @property
    def base_url(self) -> str:
        """Where a client of OpenAI is to be pointed at, such as `http://127.0.0.1:40123/v1`."""
        return f"{self._running.url}/v1"

    @property
    def openrouter_url(self) -> str:
        """The same for a client of OpenRouter, `…/api/v1`."""
        return f"{self._running.url}/api/v1"

    @property
    def requests(self) -> tuple[Asked, ...]:
        """What was asked in this test, the oldest first: `method`, `path`, `json`, `query`, `headers` of each."""
        return tuple(self._running.service.requests)

    @property
    def sent(self) -> tuple[Play, ...]:
        """What was answered in this test, the oldest first, the last 32: `status`, `events` and `body` of each."""
        return tuple(self._running.service.sent)

    def use(
        self,
        *,
        faults: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        delay_s: float | None = None,
        jitter_s: float | None = None,
        chunk_bytes: int | None = None,
        **order: Any,
    ) -> None:
        """Choose what is played for the rest of this test; what a request asks for goes before it.

        Arguments: `faults`: their names (`imgassemble simulate --list-faults`), with `=value` where they take one.
        `size`: (width, height) in pixels. `delay_s`, `jitter_s`: seconds before each event; `chunk_bytes`: how
        much is sent at once, 0 for whole events. `order`: any other field of `imgassemble.simulator.Order`, such
        as `dialect`, `partials`, `items`, `seed`, `prompt`, `format`, `picture`. Raises UsageError.
        """
        from dataclasses import fields, replace

        from ..errors import UsageError
        from .dialects import dialect_named
        from .faults import chosen

        service = self._running.service
        asked = {"faults": None if faults is None else tuple(faults), "size": size and tuple(size), **order}
        paces: dict[str, Any] = {"delay_s": delay_s, "jitter_s": jitter_s, "chunk_bytes": chunk_bytes}
        known = [field.name for field in fields(service.order)]
        for name in asked:
            if name not in known:
                raise UsageError(f"image_server.use() knows no {name!r}; it knows {', '.join([*known, *paces])}")
        made = replace(service.order, **{name: value for name, value in asked.items() if value is not None})
        chosen(made.faults, seed=made.seed)  # says so where there is no such fault
        dialect_named(made.dialect)
        service.pace = replace(service.pace, **{name: value for name, value in paces.items() if value is not None})
        service.order = made


@pytest.fixture(scope="session")
def _image_server_running() -> Iterator[Running]:
    from ..errors import UsageError

    try:
        from .server import running_server
    except UsageError as error:
        sentence = f"the fixture image_server cannot be had: {error}"
        raise pytest.fail.Exception(sentence, pytrace=False) from None
    with running_server() as running:
        yield running


@pytest.fixture
def image_server(_image_server_running: Running) -> Iterator[ImageServer]:
    """A simulated image service on this machine: OpenAI's, or another by `image_server.use(dialect=…)`.

    Its `base_url` and `openrouter_url` are where a client is to be pointed at; `use(…)` chooses dialect, faults and
    pictures for this test; `requests` are what was asked, `sent` what was answered.
    """
    from .answers import Order, Pace

    service = _image_server_running.service
    service.order, service.pace = Order(size=_SIZE), Pace()
    service.requests.clear()
    service.sent.clear()
    yield ImageServer(_image_server_running)
    _image_server_running.release()  # a stream that hangs ends with its test
    service.shelf.clear()
