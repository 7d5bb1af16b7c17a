"""Cancel `aresuming` at every await: `python -X dev -W error cancelling.py CLIENT` prints how often, and raises if
anything stays open. The server is real and silent, so the awaits are those of opening, reading, silence, closing and
waiting.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

from samples import created, sse
from silent_server import AT_ONCE_S, SilentServer, silent_server

from imgassemble import Cursor, IncompleteStreamError, Patience, aresuming

BODY = sse([created(seq=0)])
ASKED: dict[str, Any] = {"model": "gpt-5", "input": "an otter"}
PATIENCE = Patience(silence_s=0.05, max_retries=1, first_wait_s=0.01)


class Waits:
    """Counts how often the tasks of a loop wait, and cancels `task` when one of them waits for the `at`-th time."""

    def __init__(self, at: int | None) -> None:
        self._at, self.count = at, 0
        self.has_cancelled = False
        self.task: asyncio.Task[None] | None = None

    def new_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        """Return a task whose waits are counted: the task factory of the loop."""
        return asyncio.Task(self._counted(coroutine), loop=loop, **more)

    async def _counted(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return await _Steps(coroutine, self._wait)

    def _wait(self) -> None:
        if self.task is None:
            return
        if self.count == self._at:
            self.has_cancelled = self.task.cancel()
        self.count += 1


class _Steps(Awaitable[Any]):
    """Runs a coroutine, and calls `wait` each time before it waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], wait: Callable[[], None]) -> None:
        self._coroutine, self._wait = coroutine, wait

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._coroutine.__await__()
        step = partial(next, steps)
        while True:
            try:
                waited_for = step()
            except StopIteration as end:
                return end.value
            self._wait()
            try:
                yield waited_for
                step = partial(next, steps)
            except BaseException as error:  # noqa: BLE001 - passed on to the coroutine
                step = partial(steps.throw, error)


async def over_httpx(url: str) -> AsyncIterator[Callable[[Cursor], Any]]:
    async with importlib.import_module("httpx").AsyncClient() as client:
        yield lambda _: client.send(client.build_request("GET", url), stream=True)


async def over_aiohttp(url: str) -> AsyncIterator[Callable[[Cursor], Any]]:
    async with importlib.import_module("aiohttp").ClientSession() as session:
        yield lambda _: session.get(url)


async def over_openai(url: str) -> AsyncIterator[Callable[[Cursor], Any]]:
    openai: Any = importlib.import_module("openai")
    async with openai.AsyncOpenAI(base_url=url, api_key="-", max_retries=0) as client:
        yield lambda _: client.responses.create(**ASKED, stream=True)


async def over_asyncio(url: str) -> AsyncIterator[Callable[[Cursor], Any]]:
    async def read(_cursor: Cursor) -> AsyncIterator[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        try:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await writer.drain()
            await reader.readuntil(b"\r\n\r\n")
            while await reader.readline():
                yield await reader.readuntil(b"\n\n")
        finally:
            writer.close()

    yield read


async def read(open_stream: Callable[[Cursor], Any]) -> None:
    """Read until the stream is given up."""
    events = aresuming(open_stream, patience=PATIENCE, since=Cursor("resp_1", 0))
    with suppress(IncompleteStreamError):
        async for _ in events:
            pass


async def run(server: SilentServer, client: Any, at: int | None) -> int:
    """Read, cancelled at the `at`-th wait, and check that nothing is open; return how often the tasks waited."""
    waits = Waits(at)
    asyncio.get_running_loop().set_task_factory(waits.new_task)
    async with aclosing(client(server.url)) as clients:
        open_stream = await anext(clients)
        before = asyncio.all_tasks()
        task = waits.task = asyncio.create_task(read(open_stream))
        await asyncio.wait([task])
        waits.task = None
        assert task.cancelled() is waits.has_cancelled, (at, task)
        if left := asyncio.all_tasks() - before:  # the tasks of a client end a moment later
            assert not (await asyncio.wait(left, timeout=AT_ONCE_S))[1], (at, left)
        assert server.wait_for(left=server.came, timeout_s=AT_ONCE_S), f"a connection is open after a cancel at {at}"
    return waits.count


def main(client: str) -> None:
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # its debug mode reports slow steps
    with silent_server(BODY) as server:
        opener = globals()[f"over_{client}"]
        asyncio.run(run(server, opener, None))  # the client imports its modules
        gc.freeze()  # they stay, and need not be searched for garbage after each cancellation
        waits = asyncio.run(run(server, opener, None))
        for at in range(waits):
            asyncio.run(run(server, opener, at))
            gc.collect()
    sys.stdout.write(f"{waits}\n")


if __name__ == "__main__":
    main(sys.argv[1])
