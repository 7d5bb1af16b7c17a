"""Measures a gallery on Redis beside one in a process: times, bytes over Redis, memory, and holds of an event loop.

The producer is this process. Workers that serve the page, and viewers that load each frame, have processes of their
own. All of them have the same monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import zip_longest
from typing import Any
from zlib import crc32

import uvicorn
from redis import Redis
from redis.exceptions import ConnectionError as RefusedError

from imgassemble import Assembler, FinalReady, FrameAdded, open_events
from imgassemble.serving import listen
from imgassemble.web import Gallery, RedisGallery, create_app, everyone

from .streams import make_stream
from .viewers import Crowd, serving

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
TIME = "feed to viewer with the frame, by Redis to in process"
SECONDS = "the same by Redis, in milliseconds"
BYTES = "bytes out of Redis for 20 viewers, in those of the frames"
MEMORY = "memory of an image in Redis, in its frames"
HOLD = "hold of a loop by a gallery on Redis, p95, in 5 ms"
FAR = "until 10 x 1,000 viewers have the final by Redis, in seconds"

_PAUSE_S, _LONG_PAUSE_S = 0.05, 5.0  # between two frames, for one viewer and for many; a service takes seconds


# ---- Redis, workers and viewers, in processes of their own


@contextlib.contextmanager
def running_redis() -> Iterator[Redis]:
    """Run a server without persistence until the block ends, and yield a client."""
    assert SERVER
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [SERVER, "--port", str(port), "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        client = Redis(port=port)
        while True:
            with contextlib.suppress(RefusedError):
                client.ping()
                break
            time.sleep(0.01)
        try:
            yield client
        finally:
            client.close()
            process.terminate()
            process.wait()


def url_of(client: Redis) -> str:
    return f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}/0"


class Part:
    """Another process of this module, which reads and writes lines."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "benchmarks.redis_galleries", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str = "") -> str:
        """Write a line, and return the answer."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self.read()

    def read(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def leave(self) -> None:
        self._process.kill()
        self._process.communicate()


async def work(url: str) -> None:
    """Serve the page, and print its port. For each line of standard input, print the holds of the loop in seconds."""
    listener = listen("127.0.0.1", 0)
    app = create_app(RedisGallery(url), authorize=everyone)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    holds: list[float] = []
    tasks = [asyncio.create_task(server.serve([listener])), asyncio.create_task(_sample(holds))]
    print(listener.getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(holds), flush=True)
        holds.clear()
    server.should_exit = True
    await tasks[0]
    tasks[1].cancel()


async def _sample(holds: list[float]) -> None:
    while True:
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        holds.append(time.perf_counter() - start - 0.001)


async def view(port: int, viewers: int) -> None:
    """Run viewers that load each frame. Print a line for each frame of each: stream, number, and the time."""
    for task in [asyncio.create_task(_view(port)) for _ in range(viewers)]:
        await task


async def _view(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(b"GET /events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    loading, kind = await asyncio.open_connection("127.0.0.1", port, limit=2**20), b""
    async for line in reader:
        if line.startswith(b"event: "):
            kind = line[7:].strip()
            if kind == b"seen":
                print("seen", time.monotonic(), flush=True)
        elif line.startswith(b"data: ") and kind == b"frame":
            facts = json.loads(line[6:])
            assert await _load(*loading, facts["url"]) == facts["bytes"]
            print(facts["stream"], facts["number"], time.monotonic(), flush=True)


async def _load(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> int:
    writer.write(f"GET /{path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    return len(await reader.readexactly(size))


class Viewers:
    """The process of viewers that load each frame."""

    def __init__(self, port: int, viewers: int) -> None:
        self._part, self._viewers = Part("view", port, viewers), viewers
        self._times = defaultdict[str, list[float]](list)  # by stream and number
        self._wait("seen")

    def wait(self, stream: str, number: int) -> float:
        """Return the time at which each viewer has this frame."""
        return self._wait(f"{stream} {number}")

    def leave(self) -> None:
        self._part.leave()

    def _wait(self, name: str) -> float:
        while len(self._times[name]) < self._viewers:
            found, _, time_s = self._part.read().rpartition(" ")
            assert time_s, "the viewers have left"
            self._times[found].append(float(time_s))
        return max(self._times[name])


# ---- the figures


def _events(comment: object = "") -> list[Any]:
    """Return the events of a stream. Streams with different comments in their PNGs have different frames."""

    def with_comment(picture: re.Match[bytes]) -> bytes:
        data, text = b64decode(picture[0]), b"tEXt" + f"Comment\0{comment}".encode()
        chunk = (len(text) - 4).to_bytes(4) + text + crc32(text).to_bytes(4)
        return b64encode(data[:33] + chunk + data[33:])  # after the header

    body = re.sub(rb"iVBOR[A-Za-z0-9+/]{1000,}=*", with_comment, make_stream("PNG"))
    return list(open_events(BytesIO(body)))


def _feed(gallery: Any, name: str, events: Iterable[Any]) -> Iterator[tuple[int, float]]:
    """Feed a stream that `gallery` shows, and yield the number of each new frame with the time before its event."""
    assembler, number = Assembler(), 0
    gallery.add(name, assembler)
    for event in events:
        start = time.monotonic()
        for update in assembler.feed(event):
            if isinstance(update, FrameAdded) or (isinstance(update, FinalReady) and not update.is_provisional):
                yield number, start
                number += 1
    assembler.close()


def _seconds(gallery: Any, viewers: Viewers, name: str, events: list[Any]) -> list[float]:
    found = []
    for number, start in _feed(gallery, name, events):
        found.append(viewers.wait(name, number) - start)
        time.sleep(_PAUSE_S)
    gallery.remove(name)
    return found


def costs(rounds: int) -> dict[str, list[float]]:
    """Return the figures by the text of their line."""
    events, figures = _events(), dict[str, list[float]]()
    shown = Gallery()
    with running_redis() as client, serving(shown) as port:
        gallery, worker = RedisGallery(url_of(client)), Part("work", url_of(client))
        worker_port = int(worker.read())
        near, far = Viewers(port, 1), Viewers(worker_port, 1)
        for number in range(rounds + 1):
            here = statistics.median(_seconds(shown, near, str(number), events))
            there = statistics.median(_seconds(gallery, far, str(number), events))
            if number:  # the first round does not count
                figures.setdefault(TIME, []).append(there / here)
                figures.setdefault(SECONDS, []).append(there * 1_000)
        near.leave()
        far.leave()
        figures[MEMORY], figures[BYTES] = _in_redis(client, gallery, worker_port)
        for turn in range((rounds + 1) // 2):
            streams = [_events(f"{turn} {number}") for number in range(20)]
            figures.setdefault(HOLD, []).append(_hold_s(gallery, worker, worker_port, streams) / 0.005)
        worker.leave()
        gallery.close()
    return figures


def _in_redis(client: Redis, gallery: Any, port: int) -> tuple[list[float], list[float]]:
    """Return the memory of a stream in Redis, and the bytes that Redis sends for 20 viewers, both in its frames."""
    client.flushall()
    viewers = Viewers(port, 20)
    before = client.info("stats")["total_net_output_bytes"]
    for number, _ in _feed(gallery, "stored", _events("stored")):
        viewers.wait("stored", number)
    n_sent = client.info("stats")["total_net_output_bytes"] - before
    viewers.leave()
    size = sum(client.strlen(key) for key in client.scan_iter("imgassemble:pictures:frame:*"))
    n_used = sum(client.memory_usage(key, samples=0) for key in client.scan_iter("imgassemble:*"))
    gallery.remove("stored")
    return [n_used / size], [n_sent / size]


def _hold_s(gallery: Any, worker: Part, port: int, streams: list[list[Any]]) -> float:
    """Return the 95th percentile of the seconds for which the loop of a worker is held while 20 streams are shown."""
    viewers = Viewers(port, 1)
    worker.ask()
    names, last = [f"at once {number}" for number in range(len(streams))], 0
    for steps in zip_longest(*(_feed(gallery, *feed) for feed in zip(names, streams, strict=True))):  # at full speed
        last = max(number for number, _ in filter(None, steps))
    for name in names:
        viewers.wait(name, last)
    holds = sorted(json.loads(worker.ask()))
    viewers.leave()
    for name in names:
        gallery.remove(name)
    return float(holds[len(holds) * 95 // 100])


def seconds_to_many(rounds: int, *, workers: int = 10, viewers: int = 1_000) -> list[float]:
    """Return the seconds from the feeding of a result until each of so many viewers of each worker has it."""
    events, late = _events(), list[float]()
    n_frames = len(list(_feed(Gallery(), "counted", events)))
    with running_redis() as client:
        gallery = RedisGallery(url_of(client))
        parts = [Part("work", url_of(client)) for _ in range(workers)]
        crowds = [Crowd(int(part.read()), viewers) for part in parts]
        for name in map(str, range(rounds + 1)):
            start = 0.0
            for number, start in _feed(gallery, name, events):  # noqa: B007 - the last one is that of the result
                if number < n_frames - 1:
                    time.sleep(_LONG_PAUSE_S)
            for crowd in crowds:
                crowd.wait(name)
            late.append(time.monotonic() - start)
        for part in parts:
            part.leave()
        for crowd in crowds:
            crowd.leave()
        gallery.close()
    return late[1:]


if __name__ == "__main__":
    command, *values = sys.argv[1:]
    if command == "work":
        asyncio.run(work(*values))
    elif command == "view":
        asyncio.run(view(*map(int, values)))
    elif command == "far":
        print(json.dumps({FAR: seconds_to_many(*map(int, values))}))
    else:
        print(json.dumps(costs(*map(int, values))))
