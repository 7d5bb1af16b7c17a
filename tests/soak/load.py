"""Fifty streams at a time from the simulator's server, for a while: `PYTHONPATH=tests python -m soak.load 600`.

Nothing may be lost, and memory must be flat after the first tenth.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from imgassemble import Outcome, Result, assemble
from imgassemble.simulator.answers import Order, play
from imgassemble.simulator.server import RunningServer, running_server

AT_A_TIME = 50
CHUNK_BYTES = 4_096
ORDER = Order(size=(96, 64), partials=3, seed=7)
_ASKED = {
    "model": "gpt-5",
    "input": "an otter on a lake at dusk",
    "stream": True,
    "tools": [{"type": "image_generation", "partial_images": 3, "size": "96x64"}],
}


@dataclass(slots=True, kw_only=True)
class Figures:
    """The measurements. `lost`: streams that gave anything but all their pictures; memory in bytes."""

    seconds: float = 0.0
    streams: int = 0
    frames: int = 0
    bytes: int = 0
    lost: list[str] = field(default_factory=list)
    memory_first: int = 0
    memory_last: int = 0
    memory_most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def growth(self) -> float:
        """Return the growth of memory after the first tenth, as a fraction."""
        return self.memory_last / self.memory_first - 1 if self.memory_first else 0.0


def load(seconds: float) -> Figures:
    """Run streams for that time, and return the measurements."""
    figures = Figures()
    start = time.monotonic()
    with running_server(ORDER, keep_requests=AT_A_TIME) as server, ThreadPoolExecutor(AT_A_TIME) as pool:
        expected = _facts(assemble(_chunks(server, figures)))
        whole = _facts(assemble(play(ORDER).body))
        assert sorted(size for _, size in expected) == sorted(size for _, size in whole)
        runs = [pool.submit(_run, server, expected, start + seconds, figures) for _ in range(AT_A_TIME)]
        _watch(start, seconds, figures)
        for run in runs:
            run.result()
    figures.seconds = time.monotonic() - start
    return figures


def _run(server: RunningServer, expected: list[tuple[str, int]], until: float, figures: Figures) -> None:
    while time.monotonic() < until:
        try:
            result = assemble(_chunks(server, figures))
            lost = "" if _facts(result) == expected and result.outcome is Outcome.COMPLETED else repr(result)[:300]
        except (OSError, http.client.HTTPException) as error:
            lost = repr(error)
        with figures.lock:
            figures.streams += 1
            figures.frames += len(expected)
            if lost:
                figures.lost.append(lost)


def _chunks(server: RunningServer, figures: Figures) -> Iterator[bytes]:
    """The body of one answer as it comes."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        connection.request("POST", "/v1/responses", json.dumps(_ASKED), {"content-type": "application/json"})
        with connection.getresponse() as answer:
            assert answer.status == 200
            while chunk := answer.read1(CHUNK_BYTES):
                figures.bytes += len(chunk)
                yield chunk
    finally:
        connection.close()


def _facts(result: Result) -> list[tuple[str, int]]:
    """Which pictures came: their hashes and sizes in bytes. The ids are others each time."""
    return [
        (frame.sha256, len(frame.data))
        for item in result.items.values()
        for frame in (*item.partials, *filter(None, [item.final]))
    ]


def _watch(start: float, seconds: float, figures: Figures) -> None:
    """Look at the memory of this process, the server in it included, at the first tenth and then until the end."""
    tick = threading.Event()
    while (now := time.monotonic()) < start + seconds:
        if now >= start + seconds / 10:
            figures.memory_last = _memory_bytes()
            figures.memory_first = figures.memory_first or figures.memory_last
            figures.memory_most = max(figures.memory_most, figures.memory_last)
        tick.wait(max(0.05, seconds / 200))


def _memory_bytes() -> int:
    """Return the bytes of memory of this process; 0 if the system does not report them."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m soak.load", description="Fifty streams at a time, for a while.")
    parser.add_argument("seconds", type=float, nargs="?", default=600)
    figures = load(parser.parse_args().seconds)
    print(f"{figures.streams:,} streams of {figures.frames:,} frames and {figures.bytes / 2**20:,.0f} MiB "
          f"in {figures.seconds:,.0f} s, {AT_A_TIME} at a time; lost: {len(figures.lost)}")  # fmt: skip
    first, last, most = (size / 2**20 for size in (figures.memory_first, figures.memory_last, figures.memory_most))
    print(f"memory: {first:.1f} MiB after the first tenth, {last:.1f} MiB at the end ({figures.growth:+.1%}), "
          f"at most {most:.1f} MiB")  # fmt: skip
    print(*figures.lost[:5], sep="\n")
    sys.exit(bool(figures.lost) or figures.growth > 0.1)


if __name__ == "__main__":
    main()
