"""Measures the costs of viewers of the live page.

One process reads streams and serves the page, another one holds the viewers: plain sockets, each of which must be told
every final. A stream is read at full speed, and at a pace that is still many times that of a service.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from imgassemble import Assembler, iter_updates
from imgassemble.serving import listen
from imgassemble.simulator import Order, play
from imgassemble.web import Gallery, create_app, everyone
from imgassemble.web.viewer import ViewedGallery

_CHUNK = 16 * 1024  # bytes that an HTTP client gives at a time
_PACE_S = 0.05  # between two chunks with news; a service takes seconds
_STATM = Path("/proc/self/statm")


# ---- the viewers, in a process of their own


async def crowd(port: int, viewers: int) -> None:
    """Run so many viewers. Print each name from standard input again when all have the final of that stream."""
    told = Told(viewers)
    watching = [asyncio.ensure_future(watch(port, told)) for _ in range(viewers)]
    await told.wait("")
    print("ready", flush=True)
    while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
        await told.wait(name)
        print(name, flush=True)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)


@dataclass(slots=True)
class Told:
    """Counts the viewers that received each final."""

    viewers: int
    counts: dict[str, int] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        self.changed.set()

    async def wait(self, name: str) -> None:
        while self.counts.get(name, 0) < self.viewers:
            self.changed.clear()
            await self.changed.wait()


async def watch(port: int, told: Told) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    finals: set[str] = set()
    async for line in reader:
        if line.startswith(b"event: seen") and "" not in finals:
            finals.add("")
            told.tell("")
        elif line.startswith(b"data: ") and b'"has_final":true' in line:
            name = json.loads(line[6:])["stream"]
            if name not in finals:
                finals.add(name)
                told.tell(name)


class Crowd:
    """The process of the viewers, seen from the process that reads streams."""

    def __init__(self, port: int, viewers: int) -> None:
        command = [sys.executable, "-m", "benchmarks.viewers", str(port), str(viewers)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")

    def wait(self, name: str) -> None:
        """Wait until every viewer has received the final of this stream."""
        assert self._process.stdin
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        self._expect(name)

    def leave(self) -> None:
        self._process.communicate(timeout=60)

    def _expect(self, word: str) -> None:
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        assert line == word, f"{line!r} instead of {word!r}"


# ---- the reader and the page


@contextlib.contextmanager
def serving(gallery: ViewedGallery) -> Iterator[int]:
    """Serve the page of `gallery` as an application does, and give its port."""
    listener = listen("127.0.0.1", 0)
    app = create_app(gallery, authorize=everyone)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def read(chunks: list[bytes], gallery: Gallery, name: str, *, pace_s: float = 0.0) -> float:
    """Return the seconds that reading a stream takes while it is shown, without the waiting for its chunks."""
    assembler = Assembler()
    gallery.add(name, assembler)
    waited = 0.0

    def coming() -> Iterator[bytes]:
        nonlocal waited
        for chunk in chunks:
            yield chunk
            if pace_s and b"\n\n" in chunk:
                start = time.perf_counter()
                time.sleep(pace_s)
                waited += time.perf_counter() - start

    start = time.perf_counter()
    for _ in iter_updates(coming(), assembler):
        pass
    return time.perf_counter() - start - waited


def memory() -> int:
    """Return the bytes of this process that are in memory."""
    gc.collect()
    return int(_STATM.read_text().split()[1]) * 4096


MEMORY = "memory of one viewer of 200, in 200 KB"
AT_A_PACE = "reading with 200 viewers, at a pace, to none"
AT_FULL_SPEED = "reading with 200 viewers, at full speed, to none"
LATE = "until 200 viewers have the final, in seconds"
VERY_LATE = "until 1,000 viewers have the final, in seconds"


def viewer_costs(rounds: int, *, viewers: int = 200) -> dict[str, list[float]]:
    """Return the figures by the text of their line; memory only if the system reports it."""
    body = b"".join(play(Order(partials=3)).body)
    chunks = [body[at : at + _CHUNK] for at in range(0, len(body), _CHUNK)]
    shown, alone = Gallery(), Gallery()
    with serving(shown) as port:
        few = Crowd(port, 5)  # modules and memory that are loaded once
        for number in range(5):
            read(chunks, shown, f"warm {number}")
            few.wait(f"warm {number}")
            shown.remove(f"warm {number}")
        few.leave()
        before = memory() if _STATM.exists() else None
        many = Crowd(port, viewers)
        figures: dict[float, list[float]] = {}
        late = []
        for pace_s in (0.0, _PACE_S):
            for number in range(rounds + 1):
                name = f"{pace_s} {number}"
                without = read(chunks, alone, name, pace_s=pace_s)
                alone.remove(name)
                seconds = read(chunks, shown, name, pace_s=pace_s)
                start = time.perf_counter()
                many.wait(name)
                late.append(time.perf_counter() - start)
                shown.remove(name)
                figures.setdefault(pace_s, []).append(seconds / without)
        used = [] if before is None else [(memory() - before) / viewers / 200_000]
        many.leave()
    late_of_many = seconds_until_told(chunks, rounds)
    return {
        MEMORY: used,
        AT_A_PACE: figures[_PACE_S][1:],
        AT_FULL_SPEED: figures[0.0][1:],
        LATE: late,
        VERY_LATE: late_of_many,
    }


def seconds_until_told(chunks: list[bytes], rounds: int, *, viewers: int = 1_000) -> list[float]:
    """Return for each round the seconds from the end of a stream until each of so many viewers has its final."""
    gallery, late = Gallery(), []
    with serving(gallery) as port:
        many = Crowd(port, viewers)
        for number in range(rounds):
            read(chunks, gallery, str(number))
            start = time.perf_counter()
            many.wait(str(number))
            late.append(time.perf_counter() - start)
            gallery.remove(str(number))
        many.leave()
    return late


if __name__ == "__main__":
    numbers = list(map(int, sys.argv[1:]))
    if len(numbers) == 2:  # the process that holds the viewers: a port, and how many
        asyncio.run(crowd(*numbers))
    else:
        print(json.dumps(viewer_costs(*numbers)))
