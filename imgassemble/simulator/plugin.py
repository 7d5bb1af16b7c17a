"""A pytest plugin: the fixture `image_server`, a simulated service on a loopback port, for tests of clients.

pytest imports this module in every test run of every user of the library. So it imports nothing else before a test uses
the fixture. The server needs the extra `web`.
Must not know: how the server works.

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
    from typing import Literal

    from .answers import Answer
    from .dialects import DialectName
    from .faults import FaultName
    from .pictures import Format
    from .server import ReceivedRequest, RunningServer

_SIZE = (256, 256)  # pixels: drawn in 25 ms, and large enough for previews to differ


class ImageServer:
    """The server in a test, which the fixture `image_server` gives: its addresses, its options, the requests that came.

    def test_my_program_tries_again(image_server):
        image_server.use(faults=["response-failed"], times=1)
        draw("an otter", OpenAI(base_url=image_server.base_url, api_key="any"))
        assert len(image_server.requests) == 2
    """

    def __init__(self, running: RunningServer) -> None:
        self._running = running

    @property
    def base_url(self) -> str:
        """Return the base URL for a client of OpenAI, for example `http://127.0.0.1:40123/v1`."""
        return f"{self._running.url}/v1"

    @property
    def openrouter_url(self) -> str:
        """Return the base URL for a client of OpenRouter, `…/api/v1`."""
        return f"{self._running.url}/api/v1"

    @property
    def url(self) -> str:
        """Return the address without a path: for google-genai, ComfyUI, AUTOMATIC1111 and other services."""
        return self._running.url

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """Return the requests of this test, oldest first; each has `method`, `path`, `json`, `query` and `headers`."""
        return tuple(self._running.service.requests)

    @property
    def sent(self) -> tuple[Answer, ...]:
        """Return the last 32 answers of this test, oldest first; each has `status`, `events` and `body`."""
        return tuple(self._running.service.sent)

    def __repr__(self) -> str:
        return f"<ImageServer {self.url}>"

    def use(
        self,
        *,
        faults: Sequence[FaultName | str] | None = None,
        times: int | None = None,
        retry_after_s: int | None = None,
        size: tuple[int, int] | None = None,
        delay_s: float | None = None,
        jitter_s: float | None = None,
        chunk_bytes: int | None = None,
        dialect: DialectName | None = None,
        format: Format | Literal["SVG"] | None = None,  # noqa: A002  (the name of the field of an order)
        partials: int | None = None,
        items: int | None = None,
        frames: int | None = None,
        turns: int | None = None,
        lanes: int | None = None,
        prompt: str | None = None,
        seed: int | None = None,
        picture: bytes | None = None,
        **order: Any,
    ) -> None:
        """Set the answers for the rest of this test; the fields of a request have priority.

        faults: names (see `imgassemble simulate --list-faults`), with `=value` if they take one.
        times: how many of the next requests get the faults, 0 or more; None: all of them.
        retry_after_s: whole seconds in the header retry-after of the fault `rate-limit`, from 0.
        size: (width, height) in pixels.
        delay_s, jitter_s: seconds before each event, from 0.
        chunk_bytes: the size of the chunks, 0 for whole events.
        partials: 0 to 3; OpenAI's Responses API sends one more, which is the result already.
        dialect, format, items, frames, turns, lanes, prompt, seed, picture, order: fields of
            `imgassemble.simulator.Order`.

        Raises UsageError, which names the nearest known name.

            image_server.use(faults=["rate-limit"], times=1, retry_after_s=0)
        """
        from dataclasses import fields, replace

        from ..errors import UsageError
        from .choices import unknown_name
        from .dialects import dialect_named
        from .faults import choose_faults

        service = self._running.service
        if times is not None and (not isinstance(times, int) or times < 0):
            raise UsageError(f"times is a whole number of requests, 0 or more, not {times!r}")
        wanted = {"faults": None if faults is None else tuple(faults), "size": size and tuple(size), **order}
        wanted |= {"dialect": dialect, "format": format, "partials": partials, "items": items, "frames": frames}
        wanted |= {"turns": turns, "lanes": lanes, "prompt": prompt, "seed": seed, "picture": picture}
        paces: dict[str, Any] = {"delay_s": delay_s, "jitter_s": jitter_s, "chunk_bytes": chunk_bytes}
        known = [field.name for field in fields(service.order)]
        for name in wanted:
            if name not in known:
                raise unknown_name("image_server.use() has no", name, [*known, *paces, "times", "retry_after_s"])
        made = replace(service.order, **{name: value for name, value in wanted.items() if value is not None})
        made = made if retry_after_s is None else replace(made, faults=_set_retry_after(made.faults, retry_after_s))
        choose_faults(made.faults, seed=made.seed)  # raises UsageError for an unknown fault
        dialect_named(made.dialect)
        service.pace = replace(service.pace, **{name: value for name, value in paces.items() if value is not None})
        service.order, service.faulty_requests = made, times


def _set_retry_after(faults: Sequence[str], retry_after_s: int) -> tuple[str, ...]:
    """Give the fault `rate-limit` its seconds. Raises UsageError if it is not among the faults."""
    from ..errors import UsageError

    names = [fault.partition("=")[0] for fault in faults]
    if "rate-limit" not in names:
        raise UsageError("retry_after_s belongs to the fault rate-limit: use(faults=['rate-limit'], retry_after_s=0)")
    pairs = zip(names, faults, strict=True)
    return tuple(f"rate-limit={retry_after_s}" if name == "rate-limit" else fault for name, fault in pairs)


@pytest.fixture(scope="session")
def _image_server_running() -> Iterator[RunningServer]:
    from ..errors import UsageError

    try:
        from .server import running_server
    except UsageError as error:
        sentence = f"the fixture image_server cannot start: {error}"
        raise pytest.fail.Exception(sentence, pytrace=False) from None
    with running_server() as running:
        yield running


@pytest.fixture
def image_server(_image_server_running: RunningServer) -> Iterator[ImageServer]:
    """A simulated image service on this machine: OpenAI's, or another one with `image_server.use(dialect=…)`.

    `base_url` and `openrouter_url` are the addresses for clients. `use(…)` sets the dialect, the faults and the
    pictures for this test. `requests` holds the requests that came, `sent` the answers to them.
    """
    from .answers import Order, Pace

    service = _image_server_running.service
    service.order, service.pace, service.faulty_requests = Order(size=_SIZE), Pace(), None
    service.requests.clear()
    service.sent.clear()
    yield ImageServer(_image_server_running)
    _image_server_running.release()  # a stream that hangs ends with its test
    service.store.clear()
