"""The laws for each client and each way to stream with it, and the measured facts on the page about it.

A module of a client names its `CLIENT` and its `ROUTES` and takes the tests of `ClientLaws`. The facts that a route
passes on are compared with `docs/clients.json`; with IMGASSEMBLE_MEASURE set they are written there instead, with the
price.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import pytest

from imgassemble import Assembler, Item, Outcome, ProviderError, Result, aassemble, assemble
from imgassemble.simulator.answers import Answer, Api, Order, pictures_of, play
from imgassemble.simulator.comfyui_frames import socket_messages
from imgassemble.streams import comfyui_events, polled_events

PAGE = Path(__file__).parents[2] / "docs" / "clients.json"
IS_MEASURING = "IMGASSEMBLE_MEASURE" in os.environ
ENVIRONMENT = os.environ.get("CLIENT")  # of .ci/clients; others may have a client too, in another version
PROMPT = "an otter on a lake"
TOOL: dict[str, Any] = {"type": "image_generation", "partial_images": 2}
RESPONSE: dict[str, Any] = {"model": "gpt-5", "input": PROMPT, "tools": [TOOL]}
IMAGE: dict[str, Any] = {"model": "gpt-image-1", "prompt": PROMPT, "partial_images": 2}
CHAT: dict[str, Any] = {"model": "some-model", "messages": [{"role": "user", "content": PROMPT}]}
FAULTS = ("moderation-stream", "response-failed", "disconnect-after-event", "moderation-http")
_DISAGREES = "wrong-format"  # makes a claim of the service false, which shows whether the claim arrives
_ROUNDS = 5
_CUTS: dict[Api, int] = {
    "responses": 7,
    "images": 2,
    "edits": 2,
    "router-images": 2,
    "chat": 2,
    "gemini": 2,
    "interactions": 4,
    "seedream": 1,
    "novelai": 1,
    "comfyui": 8,
    "a1111": 2,
}


@dataclass(frozen=True, kw_only=True)
class Where:
    """The addresses of a service, as `image_server` has them."""

    url: str
    base_url: str
    openrouter_url: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way to stream with a client: `open` asks for a picture and returns the stream of the client."""

    name: str
    open: Callable[[Any], Any]
    api: Api = "responses"
    is_router: bool = False
    has_price: bool = True
    is_lossy: bool = False  # the client may drop events that it has received if an error follows


@dataclass(frozen=True, kw_only=True)
class Got:
    """The outcome: the result or the exception that passed through, and the received items."""

    assembler: Assembler
    error: Exception | None = None

    @property
    def result(self) -> Result:
        assert self.assembler.result is not None, self.error
        return self.assembler.result


def run(route: Route, where: Any) -> Got:
    """Hand a client's stream over as it is."""
    assembler = Assembler()
    try:
        stream = route.open(where)
        if isinstance(stream, AsyncIterator):
            asyncio.run(aassemble(stream, assembler=assembler))
        else:
            assemble(stream, assembler=assembler)
    except Exception as error:  # noqa: BLE001 - the type is measured
        return Got(assembler=assembler, error=error)
    return Got(assembler=assembler)


def raw_of(server: Any) -> Result:
    """Return the result of the last answer, as it was sent."""
    made = server.sent[-1]
    return assemble(_READERS[made.framing.container](made))


def _polls(made: Answer) -> Any:
    answers = (json.loads(line) for line in b"".join(made.body).splitlines())
    return polled_events(lambda: next(answers, None), 0, sleep=lambda _: None)


def _socket(made: Answer) -> Any:
    return comfyui_events(socket_messages(made.body))


_READERS: dict[str, Callable[[Answer], Any]] = {
    "sse": lambda made: made.body,
    "lines": _polls,
    "messages": _socket,
}


def pictures(result: Result | Assembler) -> dict[str, list[bytes]]:
    """The partials of each item."""
    return {name: [frame.data for frame in item.partials] for name, item in result.items.items()}


def shown(items: Mapping[str, Item]) -> dict[str, Any]:
    """Return the compared facts of each item; `usage` has fields of the client's own."""
    return {
        name: (item.state, item.partials, item.final, item.is_provisional, item.revised_prompt)
        for name, item in items.items()
    }


def how_partials(got: Result, sent: Result) -> str:
    """How many of the partials that were sent are there, and under which index."""
    came, whole = list(pictures(got).values()), list(pictures(sent).values())  # some clients rename the items
    if not any(whole):
        return "none sent"
    if not any(came):
        return "lost"
    if came != whole:
        return "without index; the result counts as one more"
    indices = [[frame.index for frame in item.partials] for item in got.items.values()]
    assert indices == [[frame.index for frame in item.partials] for item in sent.items.values()]
    return "all, by index"


def how_final(got: Result, sent: Result) -> str:
    assert sent.final is not None
    finals = [item.final for item in got.items.values()]
    if not finals or finals == [None]:
        return "lost"
    assert finals == [sent.final], "a final that is not what was sent"
    return "a draft" if got.items and next(iter(got.items.values())).is_provisional else "the result"


def how_claims(got: Result, sent: Result) -> str:
    """Return whether the service's claims about format and size arrive: a false one is then an anomaly."""

    def doubts(result: Result) -> int:
        return sum(each.code == "false_claim" for item in result.items.values() for each in item.anomalies)

    if not doubts(sent):
        return "none sent"
    return "kept" if doubts(got) else "lost"


def how_failed(got: Got) -> str:
    """The error that a user sees: ours with the service's code, or the client's own."""
    if got.error:
        return f"{type(got.error).__module__.partition('.')[0]}.{type(got.error).__qualname__}"
    error = got.result.error
    return f"ProviderError: {error.code}" if isinstance(error, ProviderError) else type(error).__qualname__


def facts_of(route: Route, server: Any) -> dict[str, str]:
    """The facts that a route passes on."""
    server.use(size=(96, 64), faults=[])
    got = run(route, server)
    assert got.error is None, got.error
    facts = {"partials": how_partials(got.result, raw_of(server)), "final": how_final(got.result, raw_of(server))}
    same = got.result.outcome is raw_of(server).outcome
    facts["outcome"] = "as sent" if same else str(got.result.outcome)
    server.use(faults=[_DISAGREES])
    facts["claims"] = how_claims(run(route, server).result, raw_of(server))
    for fault in FAULTS:
        server.use(faults=[f"{fault}={_CUTS[route.api]}" if fault.startswith("disconnect") else fault])
        facts[fault] = how_failed(run(route, server))
    return facts


def written_page() -> dict[str, Any]:
    """Return the earlier measurements."""
    written: dict[str, Any] = json.loads(PAGE.read_text()) if PAGE.exists() else {}
    return written


def write(client: str, packages: Mapping[str, str], routes: dict[str, Any]) -> None:
    """Replace the earlier measurements of a client."""
    page = written_page() | {client: {"versions": dict(packages), "routes": routes}}
    PAGE.write_text(json.dumps(dict(sorted(page.items())), indent=1) + "\n")


def versions(*packages: str) -> dict[str, str]:
    return {name: version(name) for name in packages}


class ClientLaws:
    """The tests that each client's module takes over; `client` is its name on the page."""

    client = ""
    environment = ""  # the name for .ci/clients, if it is another one
    packages: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()

    def installed(self) -> dict[str, str]:
        return versions(*self.packages)

    @pytest.fixture(autouse=True)
    def _only_in_its_environment(self) -> None:
        if ENVIRONMENT not in (None, self.environment or self.client):
            pytest.skip(f"tested by .ci/clients {self.environment or self.client}")

    def test_what_is_passed_on_is_what_the_page_says(self, image_server: Any) -> None:
        measured: dict[str, Any] = {route.name: facts_of(route, image_server) for route in self.routes}
        if IS_MEASURING:
            for route in self.routes:
                measured[route.name]["price"] = price_of(route) if route.has_price else None
            write(self.client, self.installed(), measured)
        told = written_page()[self.client]["routes"]
        assert measured == {
            name: {fact: said for fact, said in facts.items() if IS_MEASURING or fact != "price"}
            for name, facts in told.items()
        }, "what the client passes on has changed: .ci/clients --measure"

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
    def test_each_picture_is_byte_for_byte_one_that_was_sent(self, image_server: Any, format: Any) -> None:  # noqa: A002
        for route in self.routes:
            image_server.use(format=format, size=(64, 48), faults=[])
            got, sent = run(route, image_server), raw_of(image_server)
            assert got.error is None, route.name
            there = {frame.data for item in sent.items.values() for frame in (*item.partials, item.final) if frame}
            came = [frame for item in got.result.items.values() for frame in (*item.partials, item.final) if frame]
            assert {frame.data for frame in came} <= there, route.name
            order = Order(api=route.api, prompt=PROMPT, size=(64, 48), format=format)
            drawn = [shot.result for shot in pictures_of(order)]
            is_own = route.api != "edits"  # an edit shows the picture that was sent
            assert not is_own or [frame.data for frame in got.result.finals] in ([], drawn), route.name

    def test_what_came_before_the_connection_broke_stays(self, image_server: Any) -> None:
        for route in self.routes:
            image_server.use(size=(64, 48), faults=[])
            whole = run(route, image_server)
            is_lossless = pictures(whole.assembler) == pictures(raw_of(image_server))
            image_server.use(faults=[f"disconnect-after-event={_CUTS[route.api]}"])
            cut = run(route, image_server)
            assert cut.error or cut.result.outcome is not Outcome.COMPLETED, f"{route.name}: the cut is not told"
            there, came = pictures(whole.assembler), pictures(cut.assembler)
            for name, data in came.items():
                assert data == there[name][: len(data)], route.name
            if is_lossless and not route.is_lossy:  # all that was sent before the cut is there
                assert came == pictures(raw_of(image_server)), route.name


# ---- the price


@contextmanager
def replayed(api: Api, *, is_router: bool) -> Iterator[Where]:
    """A server in a process of its own that sends one recorded stream of large pictures again and again."""
    order = Order(api=api, size=(1024, 1024), dialect="openrouter" if is_router else "openai")
    with TemporaryDirectory() as folder:
        recorded = Path(folder) / "recorded.sse"
        recorded.write_bytes(b"".join(play(order).body))
        command = [sys.executable, str(Path(__file__).with_name("replay.py")), str(recorded)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            root = f"http://127.0.0.1:{int(process.stdout.readline())}"
            try:
                yield Where(url=root, base_url=f"{root}/v1", openrouter_url=f"{root}/api/v1")
            finally:
                process.terminate()


def price_of(route: Route) -> float:
    """The time of a route, as a multiple of that of the body's bytes read with urllib, both with the assembling."""
    with replayed(route.api, is_router=route.is_router) as where:

        def tap() -> None:
            with urlopen(where.base_url, data=b"{}") as body:
                assemble(body)

        def times(work: Callable[[], Any]) -> float:
            start = time.perf_counter()
            work()
            return time.perf_counter() - start

        tap()
        run(route, where)
        ratios = [times(lambda: run(route, where)) / times(tap) for _ in range(_ROUNDS)]
    return round(statistics.median(ratios), 1)
