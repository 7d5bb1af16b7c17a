"""Each way to end the reading early, with each client, against a server that notices when its client has gone."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, closing
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import samples
from silent_server import SilentServer, silent_server
from stream_clients import CLIENTS as TLS_CLIENTS
from stream_clients import warm_up

from imgassemble import (
    Assembler,
    DirectorySink,
    FrameAdded,
    Outcome,
    StreamEnded,
    Update,
    aassemble,
    aiter_updates,
    assemble,
    iter_updates,
)

GONE_S = 1.0  # the service stops sending within that time
PATIENCE_S = 30  # for the events before
BEGINNING = [
    samples.created(seq=0),
    samples.added(seq=1),
    samples.call("generating", seq=2),
    samples.partial(index=0, seq=3),
]


@pytest.fixture(autouse=True, scope="module")
def _end_generators() -> Iterator[None]:
    """End the generators that openai leaves behind. They import httpx when they end, and other tests forbid imports."""
    yield
    gc.collect()


@pytest.fixture
def server() -> Iterator[SilentServer]:
    with silent_server(samples.sse(BEGINNING)) as running:
        yield running


# ---- the clients


def over_openai(url: str, stack: ExitStack) -> Any:
    openai: Any = pytest.importorskip("openai", reason="openai is not installed: pip install openai")
    client = stack.enter_context(openai.OpenAI(base_url=url, api_key="-", max_retries=0))
    return client.responses.create(model="gpt-5", input="an otter", stream=True)


def over_openai_loop(url: str, stack: ExitStack) -> Iterator[Any]:
    for event in over_openai(url, stack):
        yield event.model_dump()


def over_openai_chain(url: str, stack: ExitStack) -> Iterator[Any]:
    return map(dict, (event.model_dump() for event in over_openai(url, stack)))


def over_openai_bytes(url: str, stack: ExitStack) -> Any:
    openai: Any = pytest.importorskip("openai", reason="openai is not installed: pip install openai")
    client = stack.enter_context(openai.OpenAI(base_url=url, api_key="-", max_retries=0))
    return client.responses.with_streaming_response.create(model="gpt-5", input="an otter", stream=True)


def over_httpx(url: str, stack: ExitStack) -> Any:
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
    client = stack.enter_context(httpx.Client())
    return client.send(client.build_request("POST", url), stream=True)


def over_httpx_manager(url: str, stack: ExitStack) -> Any:
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
    return httpx.stream("POST", url)


def over_httpx_generator(url: str, stack: ExitStack) -> Iterator[bytes]:
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
    with httpx.stream("POST", url) as response:
        yield from response.iter_bytes()


def over_requests(url: str, stack: ExitStack) -> Any:
    requests: Any = pytest.importorskip("requests", reason="requests is not installed: pip install requests")
    return requests.post(url, stream=True)


def over_requests_content(url: str, stack: ExitStack) -> Any:
    return over_requests(url, stack).iter_content(None)


def over_urllib(url: str, stack: ExitStack) -> Any:
    return urlopen(Request(url, b"{}"))


def over_urllib_function(url: str, stack: ExitStack) -> Any:
    return lambda: urlopen(Request(url, b"{}"))


def over_urllib3(url: str, stack: ExitStack) -> Any:
    urllib3: Any = pytest.importorskip("urllib3", reason="urllib3 is not installed: pip install urllib3")
    return stack.enter_context(urllib3.PoolManager()).request("POST", url, preload_content=False)


SYNC_CLIENTS: list[Callable[[str, ExitStack], Any]] = [
    over_openai,
    over_openai_loop,
    over_openai_chain,
    over_openai_bytes,
    over_httpx,
    over_httpx_manager,
    over_httpx_generator,
    over_requests,
    over_requests_content,
    over_urllib,
    over_urllib_function,
    over_urllib3,
]


async def aover_openai(url: str, stack: AsyncExitStack) -> Any:
    openai: Any = pytest.importorskip("openai", reason="openai is not installed: pip install openai")
    client = await stack.enter_async_context(openai.AsyncOpenAI(base_url=url, api_key="-", max_retries=0))
    return await client.responses.create(model="gpt-5", input="an otter", stream=True)


async def aover_openai_loop(url: str, stack: AsyncExitStack) -> Any:
    pytest.importorskip("openai", reason="openai is not installed: pip install openai")

    async def events() -> AsyncIterator[Any]:
        async for event in await aover_openai(url, stack):
            yield event

    return events()


async def aover_openai_coroutine(url: str, stack: AsyncExitStack) -> Any:
    openai: Any = pytest.importorskip("openai", reason="openai is not installed: pip install openai")
    client = await stack.enter_async_context(openai.AsyncOpenAI(base_url=url, api_key="-", max_retries=0))
    return client.responses.create(model="gpt-5", input="an otter", stream=True)


async def aover_httpx(url: str, stack: AsyncExitStack) -> Any:
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
    client = await stack.enter_async_context(httpx.AsyncClient())
    return await client.send(client.build_request("POST", url), stream=True)


async def aover_httpx_manager(url: str, stack: AsyncExitStack) -> Any:
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")
    client = await stack.enter_async_context(httpx.AsyncClient())
    return client.stream("POST", url)


async def aover_httpx_generator(url: str, stack: AsyncExitStack) -> Any:
    pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")

    async def chunks() -> AsyncIterator[bytes]:
        async with await aover_httpx_manager(url, stack) as response:
            async for chunk in response.aiter_bytes():
                yield chunk

    return chunks()


async def aover_aiohttp(url: str, stack: AsyncExitStack) -> Any:
    aiohttp: Any = pytest.importorskip("aiohttp", reason="aiohttp is not installed: pip install aiohttp")
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return await session.post(url)


async def aover_aiohttp_manager(url: str, stack: AsyncExitStack) -> Any:
    aiohttp: Any = pytest.importorskip("aiohttp", reason="aiohttp is not installed: pip install aiohttp")
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return session.post(url)


ASYNC_CLIENTS: list[Callable[[str, AsyncExitStack], Awaitable[Any]]] = [
    aover_openai,
    aover_openai_loop,
    aover_openai_coroutine,
    aover_httpx,
    aover_httpx_manager,
    aover_httpx_generator,
    aover_aiohttp,
    aover_aiohttp_manager,
]


# ---- the ends


def with_break(stream: Any, assembler: Assembler, **_: Any) -> None:
    for update in iter_updates(stream, assembler):
        if isinstance(update, FrameAdded):
            break


def with_close(stream: Any, assembler: Assembler, **_: Any) -> None:
    updates = iter_updates(stream, assembler)
    assert any(isinstance(update, FrameAdded) for update in updates)
    updates.close()
    assert list(updates) == []


def with_closing(stream: Any, assembler: Assembler, **_: Any) -> None:
    with closing(iter_updates(stream, assembler)) as updates:
        assert any(isinstance(update, FrameAdded) for update in updates)


def with_block(stream: Any, assembler: Assembler, **_: Any) -> None:
    with iter_updates(stream, assembler) as updates:
        assert any(isinstance(update, FrameAdded) for update in updates)


def with_exception_in_the_block(stream: Any, assembler: Assembler, **_: Any) -> None:
    with pytest.raises(ZeroDivisionError), iter_updates(stream, assembler) as updates:
        for update in updates:
            if isinstance(update, FrameAdded):
                raise ZeroDivisionError


def with_interrupt_in_a_callback(stream: Any, assembler: Assembler, folder: Path, **_: Any) -> None:
    def interrupt(update: Update) -> None:
        if isinstance(update, FrameAdded):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assemble(stream, assembler=assembler, on_update=interrupt, sinks=[DirectorySink(folder)])


def with_stop_in_a_callback(stream: Any, assembler: Assembler, folder: Path, **_: Any) -> None:
    def stop(update: Update) -> None:
        if isinstance(update, FrameAdded):
            assembler.stop()

    result = assemble(stream, assembler=assembler, on_update=stop, sinks=[DirectorySink(folder)])
    assert result is assembler.result


def with_stop_from_a_thread(stream: Any, assembler: Assembler, folder: Path, server: SilentServer) -> None:
    def stop(update: Update) -> None:
        if isinstance(update, FrameAdded):
            threading.Timer(0.05, assembler.stop).start()  # the reader waits for the network by then

    assemble(stream, assembler=assembler, on_update=stop, sinks=[DirectorySink(folder)])


def with_a_server_that_goes(stream: Any, assembler: Assembler, folder: Path, server: SilentServer) -> None:
    def drop(update: Update) -> None:
        if isinstance(update, FrameAdded):
            server.drop()

    with pytest.raises(Exception, match=r".") as caught:
        assemble(stream, assembler=assembler, on_update=drop, sinks=[DirectorySink(folder)])
    assert type(caught.value).__name__ in str(assembler.result and assembler.result.error)


SYNC_ENDS: list[Callable[..., None]] = [
    with_break,
    with_close,
    with_closing,
    with_block,
    with_exception_in_the_block,
    with_interrupt_in_a_callback,
    with_stop_in_a_callback,
    with_stop_from_a_thread,
    with_a_server_that_goes,
]


def check(server: SilentServer, assembler: Assembler, ends: list[StreamEnded], folder: Path) -> None:
    """Check that the client has gone, and that everything that came is there."""
    assert server.wait_for(left=1, timeout_s=GONE_S)
    assert assembler.outcome is Outcome.INCOMPLETE
    assert [end.outcome for end in ends] == [Outcome.INCOMPLETE]
    assert [frame.data for frame in assembler["ig_1"].partials] == [samples.shade(0)]
    if folder.exists():
        assert (folder / "ig_1" / "partial-000.png").read_bytes() == samples.shade(0)
        assert json.loads((folder / "ig_1" / "item.json").read_text())["state"] == "incomplete"


@pytest.mark.parametrize("end", SYNC_ENDS)
@pytest.mark.parametrize("client", SYNC_CLIENTS)
def test_the_service_stops_sending_when_the_reader_ends_early(
    client: Callable[[str, ExitStack], Any], end: Callable[..., None], server: SilentServer, tmp_path: Path
) -> None:
    assembler, ends = Assembler(), list[StreamEnded]()
    assembler.subscribe(ends.append, StreamEnded)
    with ExitStack() as stack:
        end(client(server.url, stack), assembler, folder=tmp_path / "out", server=server)
        check(server, assembler, ends, tmp_path / "out")


@pytest.mark.parametrize("end", [with_break, with_interrupt_in_a_callback, with_stop_from_a_thread])
@pytest.mark.parametrize("client", TLS_CLIENTS)
def test_the_service_stops_sending_over_tls_when_the_reader_ends_early(
    client: Callable[[str], Any], end: Callable[..., None], tmp_path: Path
) -> None:
    warm_up(client)
    assembler, ends = Assembler(), list[StreamEnded]()
    assembler.subscribe(ends.append, StreamEnded)
    with silent_server(samples.sse(BEGINNING), is_tls=True) as server:
        end(client(server.url), assembler, folder=tmp_path / "out", server=server)
        check(server, assembler, ends, tmp_path / "out")


@pytest.mark.parametrize("client", SYNC_CLIENTS)
def test_a_stream_that_is_closed_before_its_first_element_is_not_read(
    client: Callable[[str, ExitStack], Any], server: SilentServer
) -> None:
    assembler = Assembler()
    with ExitStack() as stack:
        iter_updates(client(server.url, stack), assembler).close()
        assert server.wait_for(left=server.came, timeout_s=GONE_S)
    assert assembler.outcome is Outcome.NO_IMAGE


# ---- async


async def awith_break(stream: Any, assembler: Assembler, **_: Any) -> None:
    async for update in aiter_updates(stream, assembler):
        if isinstance(update, FrameAdded):
            break


async def awith_aclose(stream: Any, assembler: Assembler, **_: Any) -> None:
    updates = aiter_updates(stream, assembler)
    while not isinstance(await anext(updates), FrameAdded):
        pass
    await updates.aclose()
    assert [update async for update in updates] == []


async def awith_aclosing(stream: Any, assembler: Assembler, **_: Any) -> None:
    async with aclosing(aiter_updates(stream, assembler)) as updates:
        while not isinstance(await anext(updates), FrameAdded):
            pass


async def awith_block(stream: Any, assembler: Assembler, **_: Any) -> None:
    async with aiter_updates(stream, assembler) as updates:
        while not isinstance(await anext(updates), FrameAdded):
            pass


async def awith_a_wait_that_times_out(stream: Any, assembler: Assembler, **_: Any) -> None:
    async with aiter_updates(stream, assembler) as updates:
        while not isinstance(await anext(updates), FrameAdded):
            pass
        for _attempt in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(updates), 0.05)


async def awith_cancel(stream: Any, assembler: Assembler, folder: Path, **_: Any) -> None:
    seen = asyncio.Event()

    async def note(update: Update) -> None:
        if isinstance(update, FrameAdded):
            seen.set()

    sinks = [DirectorySink(folder)]
    task = asyncio.create_task(aassemble(stream, assembler=assembler, on_update=note, sinks=sinks))
    await seen.wait()
    task.cancel()
    async with asyncio.timeout(GONE_S):
        await asyncio.wait([task])
    assert task.cancelled()


async def awith_stop_in_a_callback(stream: Any, assembler: Assembler, folder: Path, **_: Any) -> None:
    async def stop(update: Update) -> None:
        if isinstance(update, FrameAdded):
            assembler.stop()

    await aassemble(stream, assembler=assembler, on_update=stop, sinks=[DirectorySink(folder)])


async def awith_stop_from_a_thread(stream: Any, assembler: Assembler, folder: Path, **_: Any) -> None:
    def stop(update: Update) -> None:
        if isinstance(update, FrameAdded):
            threading.Timer(0.05, assembler.stop).start()

    await aassemble(stream, assembler=assembler, on_update=stop, sinks=[DirectorySink(folder)])


async def awith_a_server_that_goes(stream: Any, assembler: Assembler, folder: Path, server: SilentServer) -> None:
    def drop(update: Update) -> None:
        if isinstance(update, FrameAdded):
            server.drop()

    with pytest.raises(Exception, match=r".") as caught:
        await aassemble(stream, assembler=assembler, on_update=drop, sinks=[DirectorySink(folder)])
    assert type(caught.value).__name__ in str(assembler.result and assembler.result.error)


ASYNC_ENDS: list[Callable[..., Awaitable[None]]] = [
    awith_break,
    awith_aclose,
    awith_aclosing,
    awith_block,
    awith_a_wait_that_times_out,
    awith_cancel,
    awith_stop_in_a_callback,
    awith_stop_from_a_thread,
    awith_a_server_that_goes,
]


@pytest.mark.parametrize("end", ASYNC_ENDS)
@pytest.mark.parametrize("client", ASYNC_CLIENTS)
def test_the_service_stops_sending_when_the_async_reader_ends_early(
    client: Callable[[str, AsyncExitStack], Awaitable[Any]],
    end: Callable[..., Awaitable[None]],
    server: SilentServer,
    tmp_path: Path,
) -> None:
    assembler, ends = Assembler(), list[StreamEnded]()
    assembler.subscribe(ends.append, StreamEnded)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            await end(await client(server.url, stack), assembler, folder=tmp_path / "out", server=server)
            await asyncio.to_thread(check, server, assembler, ends, tmp_path / "out")

    asyncio.run(run())


@pytest.mark.parametrize("client", ASYNC_CLIENTS)
def test_an_async_stream_that_is_closed_before_its_first_element_is_not_read(
    client: Callable[[str, AsyncExitStack], Awaitable[Any]], server: SilentServer
) -> None:
    assembler = Assembler()

    async def run() -> None:
        async with AsyncExitStack() as stack:
            await aiter_updates(await client(server.url, stack), assembler).aclose()
            assert await asyncio.to_thread(server.wait_for, left=server.came, timeout_s=GONE_S)

    asyncio.run(run())
    assert assembler.outcome is Outcome.NO_IMAGE


@pytest.mark.parametrize("how", ["file", "pipe", "memory"])
def test_files_and_pipes_of_the_caller_stay_open(how: str, tmp_path: Path) -> None:
    body = samples.sse(BEGINNING)
    (tmp_path / "a.sse").write_bytes(body)
    readable, writable = os.pipe()
    os.write(writable, body)
    opened: dict[str, Callable[[], Any]] = {
        "file": lambda: (tmp_path / "a.sse").open("rb"),
        "pipe": lambda: os.fdopen(readable, "rb", closefd=False),
        "memory": lambda: io.BytesIO(body),
    }
    with opened[how]() as file:
        with iter_updates(file) as updates:
            assert any(isinstance(update, FrameAdded) for update in updates)
        assert not file.closed
    os.close(readable)
    os.close(writable)


def test_two_hundred_cancellations_at_every_await_leave_nothing_open_and_lose_nothing() -> None:
    program = Path(__file__).with_name("cancellations.py")
    environment = os.environ | {"PYTHONASYNCIODEBUG": "1"}
    command = [sys.executable, "-X", "dev", "-W", "error", str(program)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
