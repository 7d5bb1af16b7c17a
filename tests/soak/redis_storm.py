"""Kill producers, Redis and web workers at random moments: `PYTHONPATH=tests python -m soak.redis_storm 24`.

The streams are responses in the background of a simulated service. Each producer is a process with the client of
OpenAI. It is killed at a random moment, and another one takes over. The storm ends when each stream has its end.
Every result must have the bytes that the service sent, in Redis and for each viewer of the page: for those that were
there all the time, and for those that come at the end. An image may be asked for again only if its producer was killed
before its response id was stored.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

from page_visitors import gallery_workers, visitors
from redis_stage import RedisServer, wait_until

from imgassemble import Cursor, assemble
from imgassemble.simulator import Order, Pace
from imgassemble.simulator.server import RunningServer, running_server
from imgassemble.web.redis.keys import GalleryKeys
from soak.redis_producer import opener, produce

STREAMS = 8
LEASE_S = 1.0
_PATIENCE_S = 120
_VISITORS = 4
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["soak.redis_producer", "imgassemble.web.redis.gallery"])


@dataclass(slots=True, kw_only=True)
class StormFigures:
    """What came of a storm. `excess`: requests for an image that was already under way, of which there must be none."""

    kills: int = 0
    redis_kills: int = 0
    worker_kills: int = 0
    early: Counter[str] = field(default_factory=Counter)  # kills before the response id was stored, by stream
    asked: Counter[str] = field(default_factory=Counter)  # requests for an image, by stream
    wrong: list[str] = field(default_factory=list)  # streams whose result has other bytes

    @property
    def excess(self) -> list[str]:
        return [name for name, n_asked in self.asked.items() if n_asked > 1 + self.early[name]]


def start_producer(
    server: RedisServer, service: RunningServer, name: str, folder: Path, lease_s: float = LEASE_S
) -> BaseProcess:
    """Start a process that makes one stream."""
    arguments = (server.url, service.url, name, str(folder / name), lease_s)
    process = _PROCESSES.Process(target=produce, args=arguments, daemon=True)
    process.start()
    return process


def storm(
    folder: Path, n_streams: int, n_kills: int, *, redis_kills: int = 0, worker_kills: int = 0, seed: int = 0
) -> StormFigures:
    """Make streams while producers, Redis and web workers are killed so many times; return the figures."""
    figures, chance = StormFigures(kills=n_kills, redis_kills=redis_kills, worker_kills=worker_kills), Random(seed)
    server = RedisServer(folder / "redis", "--appendonly", "yes", "--appendfsync", "always")
    order = Order(size=(64, 64), dialect="openai-2025")
    with (
        running_server(order, pace=Pace(delay_s=0.1)) as service,
        gallery_workers(folder, server.url) as url,
        visitors(url, _VISITORS) as present,
    ):
        names = [f"otter {at}" for at in range(n_streams)]
        producers = {name: start_producer(server, service, name, folder) for name in names}
        wait_until(lambda: len(service.service.requests) >= n_streams)
        moments = ["producer"] * n_kills + ["redis"] * redis_kills + ["worker"] * worker_kills
        chance.shuffle(moments)
        for victim in moments:
            time.sleep(chance.uniform(0.05, 0.4))
            open_names = [name for name in names if not (folder / name).exists()]
            if victim == "redis":
                server.kill()
                time.sleep(chance.uniform(0.0, 0.5))
                server.start()
            elif victim == "worker":
                with suppress(ProcessLookupError):  # it was killed, and its visitor has not noticed it yet
                    os.kill(chance.choice(present).workers[-1], signal.SIGKILL)
            elif open_names:
                name = chance.choice(open_names)
                _kill(producers[name], server, name, figures)
                producers[name] = start_producer(server, service, name, folder)
        _finish(producers, server, service, folder)
        for request in service.service.requests:
            if request.method == "POST":
                figures.asked[request.json["input"]] += 1
        service.service.pace = Pace()
        with visitors(url, _VISITORS) as fresh:
            for name in names:
                sent = assemble(opener(service.url, name)(Cursor())).require_final()
                stored = server.client.get(GalleryKeys("pictures").frame(sent.sha256)) or b""
                if not (folder / name).read_text() == sent.sha256 == sha256(stored).hexdigest():
                    figures.wrong.append(name)
                for visitor in (*present, *fresh):
                    wait_until(lambda visitor=visitor, name=name: visitor.outcome(name) == "completed")
                    if visitor.final(name) != sent.data:
                        figures.wrong.append(f"{name} for a viewer")
    server.kill()
    server.client.close()
    return figures


def _kill(producer: BaseProcess, server: RedisServer, name: str, figures: StormFigures) -> None:
    producer.kill()
    producer.join()
    if not server.client.hget(GalleryKeys("pictures").meta(name), "cursor"):
        figures.early[name] += 1


def _finish(producers: dict[str, BaseProcess], server: RedisServer, service: RunningServer, folder: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while waiting := [name for name in producers if not (folder / name).exists()]:
        assert time.monotonic() < until, f"{waiting} have no end"
        for name in waiting:
            if not producers[name].is_alive() and not (folder / name).exists():
                producers[name] = start_producer(server, service, name, folder)
        time.sleep(0.05)
    for producer in producers.values():
        producer.join()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        n_kills = int(sys.argv[1])
        made = storm(Path(work), STREAMS, n_kills, redis_kills=n_kills // 6, worker_kills=n_kills // 6)
    print(made)
    sys.exit(bool(made.excess or made.wrong))
