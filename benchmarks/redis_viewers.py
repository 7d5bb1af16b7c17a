"""Measures a gallery on Redis beside one in the process: the way to a viewer, traffic, memory, and stalls of the loop.

A server of its own is started for it. Nothing is measured where redis-py or redis-server is missing.
`python -m benchmarks.redis_viewers PROCESSES VIEWERS` prints the seconds until all viewers of all have a final.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from imgassemble import Assembler
from imgassemble.simulator import Order, play
from imgassemble.web import Gallery, RedisGallery

from .viewers import Crowd, serving

_HOLD_S = 0.005  # for which an event loop may be held: the 95th percentile, beyond that of a loop without a gallery
_SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
_STREAMS, _FEEDING_S = 20, 3.0

FEED = "feed to viewer through Redis, to in the process"
TRAFFIC = "bytes from Redis for a frame with 50 viewers, to the frame"
MEMORY = "memory of Redis for an image, to its frames"
HOLD = "event loop held by 20 streams on Redis, p95 of 5 ms"


def redis_costs(rounds: int) -> dict[str, list[float]]:
    """Return the figures by the text of their line; empty lists if there is no server."""
    if _SERVER is None or find_spec("redis") is None:
        return {FEED: [], TRAFFIC: [], MEMORY: [], HOLD: []}
    with redis_server() as (url, client):
        fed, seen, alone = RedisGallery(url), RedisGallery(url), Gallery()
        feed = [_seconds_to_viewer(fed, seen, rounds) / _seconds_to_viewer(alone, alone, rounds) for _ in range(rounds)]
        traffic, memory = _bytes_of_frames(url, client)
        late_alone, late = (asyncio.run(_stalls(url, is_shown=is_shown)) for is_shown in (False, True))
        for gallery in (fed, seen):
            gallery.close()
    return {FEED: feed, TRAFFIC: traffic, MEMORY: memory, HOLD: [max(0.0, late - late_alone) / _HOLD_S]}


@contextmanager
def redis_server() -> Iterator[tuple[str, Any]]:
    """Run a server, and yield its URL and a client."""
    from redis import Redis, RedisError

    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "redis.sock")
        command = [str(_SERVER), "--port", "0", "--unixsocket", place, "--save", "", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            client = Redis(unix_socket_path=place)
            try:
                for _ in range(1_000):
                    try:
                        client.ping()
                        break
                    except RedisError:
                        time.sleep(0.01)
                yield f"unix://{place}", client
            finally:
                process.kill()


def _seconds_to_viewer(fed: Gallery | RedisGallery, seen: Gallery | RedisGallery, n_streams: int) -> float:
    """Return the seconds from the feeding of a final to the moment when a viewer of the page has heard of it."""
    events = list(play(Order(size=(256, 256))).events)
    at = next(at for at, event in enumerate(events) if event["type"] == "response.output_item.done")
    passed = 0.0
    with serving(seen) as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/events")
        answer = connection.getresponse()
        for number in range(n_streams):
            assembler, name = Assembler(), f"{time.time_ns()} {number}"
            fed.add(name, assembler)
            for event in events[:at]:
                assembler.feed(event)
            time.sleep(0.1)  # the page sends at most every 20 ms
            start = time.perf_counter()
            assembler.feed(events[at])
            while not ((line := answer.readline()).startswith(b"data: ") and _is_final(line, name)):
                pass
            passed += time.perf_counter() - start
            assembler.close()
        connection.close()
    return passed


def _is_final(line: bytes, name: str) -> bool:
    facts = json.loads(line[6:])
    return facts.get("stream") == name and facts.get("has_final") is True


def _bytes_of_frames(url: str, client: Any) -> tuple[list[float], list[float]]:
    """Return the bytes that Redis has sent for a frame, and the memory that an image takes, each to the frames."""
    gallery, n_images = RedisGallery(url, "frames"), 20
    memory = client.info("memory")["used_memory"]
    n_bytes = 0
    for number in range(n_images):
        assembler = Assembler()
        gallery.add(str(number), assembler)
        for event in play(Order(partials=3, prompt=str(random.random()))).events:
            assembler.feed(event)
        assembler.close()
        n_bytes += sum(len(partial.data) for item in assembler.items.values() for partial in item.partials)
        n_bytes += sum(len(item.final.data) for item in assembler.items.values() if item.final)
    frames = []
    for _ in range(1_000):
        frames = [
            change.facts for change in gallery.changes()[1] if change.kind == "frame" and change.facts["is_final"]
        ]
        if len(frames) == n_images:
            break
        time.sleep(0.02)
    grown = client.info("memory")["used_memory"] - memory

    async def load(facts: dict[str, Any]) -> float:
        before = client.info("stats")["total_net_output_bytes"]
        key = facts["url"].split("/")[1]
        await asyncio.gather(*(gallery.load_frame(key, facts["number"]) for _ in range(50)))
        sent: int = client.info("stats")["total_net_output_bytes"] - before
        return sent / int(facts["bytes"])

    traffic = [asyncio.run(load(facts)) for facts in frames]
    gallery.close()
    return traffic, [grown / n_bytes]


async def _stalls(url: str, *, is_shown: bool) -> float:
    """Return how long a loop is late, the 95th percentile in seconds, while another process feeds 20 streams."""
    name = f"stalls-{is_shown}"
    command = [sys.executable, "-m", "benchmarks.redis_viewers", "feed", url, name]
    gallery, late = RedisGallery(url, name), []
    if is_shown:
        gallery.changes()  # from here on it follows the streams
    with subprocess.Popen(command) as feeding:
        while feeding.poll() is None:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - start - 0.001)
    assert feeding.returncode == 0, "the feeding failed"
    gallery.close()
    late.sort()
    return late[int(0.95 * len(late))]


def feed_streams(url: str, name: str) -> None:
    """Feed 20 streams one after the other's event, again and again, for some seconds."""
    gallery, until, number = RedisGallery(url, name), time.monotonic() + _FEEDING_S, 0
    events = list(play(Order(size=(64, 64), partials=3)).events)
    while time.monotonic() < until:
        assemblers = [Assembler() for _ in range(_STREAMS)]
        for at, assembler in enumerate(assemblers):
            gallery.add(f"{number} {at}", assembler)
        for event in events:
            for assembler in assemblers:
                assembler.feed(event)
        for assembler in assemblers:
            assembler.close()
        number += 1


# ---- many processes with many viewers


def seconds_until_all_have_it(n_processes: int, n_viewers: int) -> float:
    """Return the seconds from the end of a stream until all viewers of all processes have its final."""
    with redis_server() as (url, _), ExitStack() as stack:
        crowds = []
        for _ in range(n_processes):
            command = [sys.executable, "-m", "benchmarks.redis_viewers", "serve", url]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(process.kill)
            assert process.stdout
            crowds.append(Crowd(int(process.stdout.readline()), n_viewers))
        gallery, assembler = RedisGallery(url), Assembler()
        gallery.add("otter", assembler)
        for event in play(Order(partials=3)).events:
            assembler.feed(event)
        assembler.close()
        start = time.perf_counter()
        threads = [threading.Thread(target=crowd.wait, args=("otter",)) for crowd in crowds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - start
        for crowd in crowds:
            crowd.leave()
        gallery.close()
    return seconds


def serve(url: str) -> None:
    """Serve the page until standard input ends; print the port."""
    with serving(RedisGallery(url)) as port:
        print(port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["feed", url, name]:
            feed_streams(url, name)
        case ["serve", url]:
            serve(url)
        case [n_processes, n_viewers]:
            print(f"{seconds_until_all_have_it(int(n_processes), int(n_viewers)):.2f} s")
        case _:
            print(json.dumps(redis_costs(3)))
