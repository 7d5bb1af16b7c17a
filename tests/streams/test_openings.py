"""Each kind of stream that the drivers accept or refuse."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest
import samples
from pydantic import BaseModel, ConfigDict

from imgassemble import Result, SinkError, StreamEnded, Update, UsageError, aassemble, assemble, iter_updates
from imgassemble.streams.opening.openings import KINDS, AsyncOpening, Opening

FINAL = samples.png(5, 4)
EVENTS = [samples.created(seq=0), samples.partial(index=0, seq=1), samples.done(content=FINAL, seq=2)]
BODY = samples.sse(EVENTS)
ANSWER: dict[str, Any] = {"created": 1, "data": [{"b64_json": samples.b64(FINAL)}]}


class Model(BaseModel):
    """A whole answer as SDKs return it if `stream=True` was forgotten."""

    model_config = ConfigDict(extra="allow")


class ReadOnlyMapping(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        return ANSWER[name]

    def __iter__(self) -> Iterator[str]:
        return iter(ANSWER)

    def __len__(self) -> int:
        return len(ANSWER)


def events() -> Iterator[Any]:
    yield from EVENTS


async def async_events() -> AsyncIterator[Any]:
    for event in EVENTS:
        await asyncio.sleep(0)
        yield event


@contextmanager
def managed() -> Iterator[Any]:
    yield events()


@asynccontextmanager
async def async_managed() -> AsyncIterator[Any]:
    yield async_events()


async def awaited(stream: Any) -> Any:
    await asyncio.sleep(0)
    return stream


def run_async(stream: Any, **options: Any) -> Result:
    async def run() -> Result:
        return await aassemble(stream, **options)

    return asyncio.run(run())


WHOLE: dict[str, Callable[[], Any]] = {
    "mapping": lambda: ANSWER,
    "own mapping": ReadOnlyMapping,
    "model": lambda: Model(**ANSWER),
    "text": lambda: json.dumps(ANSWER),
    "bytes": lambda: json.dumps(ANSWER).encode(),
    "bytearray": lambda: bytearray(BODY),
    "memoryview": lambda: memoryview(BODY),
    "text of events": BODY.decode,
    "text with a mark": lambda: "\ufeff" + BODY.decode(),
    "lines of JSON": lambda: "\n".join(map(json.dumps, EVENTS)),
    "list": lambda: list(EVENTS),
    "file in memory": lambda: io.BytesIO(BODY),
    "function": lambda: lambda: EVENTS,
    "function for an answer": lambda: lambda: ANSWER,
}
SYNC: dict[str, Callable[[], Any]] = WHOLE | {
    "generator": events,
    "context manager": managed,
    "function for a context manager": lambda: managed,
    "function for a generator": lambda: events,
}
ASYNC: dict[str, Callable[[], Any]] = WHOLE | {
    "async generator": async_events,
    "coroutine": lambda: awaited(async_events()),
    "coroutine for an answer": lambda: awaited(ANSWER),
    "coroutine for a context manager": lambda: awaited(async_managed()),
    "async context manager": async_managed,
    "function for a context manager": lambda: async_managed,
    "coroutine function": lambda: lambda: awaited(async_events()),
}


@pytest.mark.parametrize("name", SYNC)
def test_a_sync_driver_accepts(name: str) -> None:
    assert assemble(SYNC[name]()).require_final().data == FINAL


@pytest.mark.parametrize("name", ASYNC)
def test_an_async_driver_accepts(name: str) -> None:
    assert run_async(ASYNC[name]()).require_final().data == FINAL


@pytest.mark.parametrize("drain", [assemble, run_async])
def test_a_path_is_a_file_of_events(drain: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "otter.sse").write_bytes(BODY)
    assert drain(tmp_path / "otter.sse").require_final().data == FINAL
    with (tmp_path / "otter.sse").open("rb") as file:
        assert drain(file).require_final().data == FINAL
        assert not file.closed


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_program_ends_although_its_thread_waits_for_a_named_pipe(tmp_path: Path) -> None:
    async def read() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(aassemble(tmp_path / "pipe"), 0.1)

    os.mkfifo(tmp_path / "pipe")
    thread = Thread(target=lambda: asyncio.run(read()), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("drain", [assemble, run_async])
def test_a_path_that_does_not_exist_is_a_usage_error_after_the_end(
    drain: Callable[..., Result], tmp_path: Path
) -> None:
    updates: list[Update] = []
    with pytest.raises(UsageError, match="cannot read"):
        drain(tmp_path / "otter.sse", on_update=updates.append)
    assert [type(update) for update in updates] == [StreamEnded]


@pytest.mark.parametrize("name", ["generator", "context manager"])
def test_an_async_driver_refuses_a_stream_that_could_block_its_loop(name: str) -> None:
    with pytest.raises(UsageError, match="use iter_updates or assemble"):
        run_async(SYNC[name]())


@pytest.mark.parametrize("name", ["async generator", "coroutine", "coroutine for an answer", "async context manager"])
def test_a_sync_driver_refuses_an_async_stream(name: str) -> None:
    with pytest.raises(UsageError, match="use aiter_updates or aassemble"):
        assemble(ASYNC[name]())


def test_a_function_that_opens_an_async_stream_is_refused_when_it_is_called() -> None:
    with pytest.raises(UsageError, match="use aiter_updates or aassemble"):
        assemble(lambda: awaited(async_events()))


@pytest.mark.parametrize("drain", [assemble, run_async])
def test_a_function_is_called_after_the_sinks_were_opened(drain: Callable[..., Result]) -> None:
    calls: list[str] = []

    class Sink:
        def open(self, assembler: object) -> None:
            calls.append("sink")
            raise SinkError("the disk is full", path=None)

        def __call__(self, update: Update) -> None:
            raise AssertionError

        def close(self) -> None:
            raise AssertionError

    def open_stream() -> Any:
        calls.append("stream")
        return EVENTS

    with pytest.raises(SinkError):
        drain(open_stream, sinks=[Sink()])
    assert calls == ["sink"]


@pytest.mark.parametrize("drain", [assemble, run_async])
def test_an_opening_that_fails_reaches_the_listeners(drain: Callable[..., Result]) -> None:
    class APIStatusError(Exception):
        def __init__(self) -> None:
            super().__init__("Error code: 400")
            self.body = {"error": {"code": "moderation_blocked", "message": "no otters"}}

    def open_stream() -> Any:
        raise APIStatusError

    updates: list[Update] = []
    with pytest.raises(APIStatusError):
        drain(open_stream, on_update=updates.append)
    (ended,) = updates
    assert isinstance(ended, StreamEnded)
    assert "no otters" in str(ended.error)


def test_a_context_manager_is_left_at_the_end() -> None:
    steps: list[str] = []

    @contextmanager
    def noting() -> Iterator[Any]:
        steps.append("enter")
        try:
            yield EVENTS
        finally:
            steps.append("exit")

    with iter_updates(noting()) as updates:
        next(updates)
        assert steps == ["enter"]
    assert steps == ["enter", "exit"]


def test_a_stream_that_opens_itself_again_and_again_is_refused() -> None:
    class Circle:
        def __enter__(self) -> Circle:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    with pytest.raises(UsageError, match="opens itself, and no stream"):
        assemble(Circle())


def test_only_what_is_asked_for_is_read() -> None:
    read: list[int] = []

    def stream() -> Iterator[Any]:
        for number, event in enumerate(EVENTS):
            read.append(number)
            yield event

    async def run() -> None:
        opening = AsyncOpening(async_events())
        assert await anext(await opening.open()) == EVENTS[0]
        await opening.aclose()

    opening = Opening(stream())
    assert (next(iter(opening)), read) == (EVENTS[0], [0])
    opening.close()
    asyncio.run(run())


def test_each_kind_is_read_by_a_driver() -> None:
    assert all(kind.sync or kind.asynchronous for kind in KINDS)


# ---- responses of HTTP clients


def asked(server: Any) -> dict[str, Any]:
    return {"model": "gpt-5", "input": "an otter", "stream": True, "tools": [{"type": "image_generation"}]}


@pytest.mark.parametrize("is_streamed", [True, False])
def test_responses_of_sync_clients_are_accepted_as_they_are(image_server: Any, is_streamed: bool) -> None:
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
    requests: Any = pytest.importorskip("requests", reason="requests is not installed: pip install requests")
    url, body = f"{image_server.base_url}/responses", asked(image_server) | {"stream": is_streamed}
    with httpx.Client() as client:
        for stream in (
            httpx.stream("POST", url, json=body),
            client.send(client.build_request("POST", url, json=body), stream=True),
            client.post(url, json=body),
            requests.post(url, json=body, stream=True),
            requests.post(url, json=body),
            urlopen(Request(url, json.dumps(body).encode())),
            lambda: urlopen(Request(url, json.dumps(body).encode())),
        ):
            assert assemble(stream).require_final().data == assemble(image_server.sent[-1].body).require_final().data


@pytest.mark.parametrize("is_streamed", [True, False])
def test_responses_of_async_clients_are_accepted_as_they_are(image_server: Any, is_streamed: bool) -> None:
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
    aiohttp: Any = pytest.importorskip("aiohttp", reason="aiohttp is not installed: pip install aiohttp")
    url, body = f"{image_server.base_url}/responses", asked(image_server) | {"stream": is_streamed}

    async def run() -> None:
        async with httpx.AsyncClient() as client, aiohttp.ClientSession() as session:
            for stream in (
                client.stream("POST", url, json=body),
                await client.send(client.build_request("POST", url, json=body), stream=True),
                client.post(url, json=body),
                session.post(url, json=body),
                await session.post(url, json=body),
                lambda: session.post(url, json=body),
            ):
                result = await aassemble(stream)
                assert result.require_final().data == assemble(image_server.sent[-1].body).require_final().data

    asyncio.run(run())


def test_a_sync_response_is_refused_by_an_async_driver_and_an_async_one_by_a_sync_driver() -> None:
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")

    class Body(httpx.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            yield BODY

    class AsyncBody(httpx.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield BODY

    with pytest.raises(UsageError, match="iter_updates or assemble"):
        run_async(httpx.Response(200, stream=Body()))
    with pytest.raises(UsageError, match="aiter_updates or aassemble"):
        assemble(httpx.Response(200, stream=AsyncBody()))
    assert assemble(httpx.Response(200, stream=Body())).require_final().data == FINAL
    assert run_async(httpx.Response(200, stream=AsyncBody())).require_final().data == FINAL


@pytest.mark.parametrize("is_async", [True, False])
def test_a_forgotten_stream_or_await_works(image_server: Any, is_async: bool) -> None:
    openai: Any = pytest.importorskip("openai", reason="openai is not installed: pip install openai")
    request = {"model": "gpt-5", "input": "an otter", "tools": [{"type": "image_generation"}]}

    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=image_server.base_url, api_key="-", max_retries=0) as client:
            assert (await aassemble(client.responses.create(**request))).finals
            assert (await aassemble(client.responses.create(**request, stream=True))).finals
            assert (await aassemble(client.responses.stream(**request))).finals
            assert (await aassemble(client.responses.with_streaming_response.create(**request, stream=True))).finals

    if is_async:
        asyncio.run(run())
        return
    with openai.OpenAI(base_url=image_server.base_url, api_key="-", max_retries=0) as client:
        assert assemble(client.responses.create(**request)).finals
        assert assemble(client.responses.stream(**request)).finals
        assert assemble(client.responses.with_streaming_response.create(**request, stream=True)).finals
        assert assemble(lambda: client.responses.create(**request, stream=True)).finals
        stream = client.responses.create(**request, stream=True)
        with pytest.raises(UsageError, match="iter_updates or assemble"):
            run_async(stream)
        stream.close()
