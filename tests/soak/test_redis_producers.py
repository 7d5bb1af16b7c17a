"""Producers of a gallery on Redis while processes and servers are killed, hang, fall asleep, or have no room.

Short forms; for the long ones see `redis_storm`, and set SOAK_HANG_S=13 for a server that hangs as long as that.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import samples

pytest.importorskip("redis", reason="a gallery on Redis needs the extra: pip install 'imgassemble[redis]'")
pytest.importorskip("openai", reason="the producers use its client: pip install openai")
pytest.importorskip("uvicorn", reason="the simulated service needs the extra: pip install 'imgassemble[web]'")

import redis_stage as stage
from redis_stage import RedisServer, wait_until

if stage.SERVER is None:
    pytest.skip(stage.MISSING, allow_module_level=True)

from imgassemble import Cursor, Result
from imgassemble.simulator import Order, Pace
from imgassemble.simulator.server import running_server
from imgassemble.web import RedisGallery
from imgassemble.web.redis.keys import GalleryKeys
from soak.redis_storm import start_producer, storm

HANG_S = float(os.environ.get("SOAK_HANG_S", "2"))
MIB = 2**20
KEYS = GalleryKeys("pictures")


def large(n_bytes: int, seed: int) -> bytes:
    """Return a picture of about `n_bytes`."""
    small = samples.png(colour=(seed % 256, 7, 7))
    return small[:-12] + samples.png_chunk(b"teSt", Random(seed).randbytes(n_bytes)) + small[-12:]


def events_of(*pictures: bytes, item: str = "ig_1") -> list[samples.Wire]:
    """Return a response: every picture but the last one is a preview."""
    previews = [samples.partial(item, at, data, seq=at + 1) for at, data in enumerate(pictures[:-1])]
    result = samples.done(item, pictures[-1], seq=len(pictures))
    end = samples.snapshot("completed", [samples.member(item, pictures[-1])], seq=len(pictures) + 1)
    return [samples.created("resp_1", seq=0), *previews, result, end]


def make(
    gallery: RedisGallery, events: Callable[[], Iterator[Any]], name: str = "otter", **options: Any
) -> tuple[Result, list[float]]:
    """Make a stream; return its result, and the seconds at which each update came."""
    times: list[float] = []

    def open_stream(_cursor: Cursor) -> Iterator[Any]:
        return events()

    with gallery.produce(name, **options) as making:
        result = making.assemble(open_stream, on_update=lambda _: times.append(time.monotonic()))
    return result, times


def stored(server: RedisServer, data: bytes) -> bool:
    return bool(server.client.get(KEYS.frame(sha256(data).hexdigest())) == data)


def facts_text(server: RedisServer, name: str = "otter") -> bytes:
    return b"".join(server.client.hgetall(KEYS.facts(name)).values())


@contextmanager
def server_in(folder: Path, *options: str) -> Iterator[RedisServer]:
    server = RedisServer(folder / "redis", *options)
    try:
        yield server
    finally:
        server.process.send_signal(signal.SIGCONT)
        server.kill()
        server.client.close()


def test_no_image_is_asked_for_twice_and_every_result_is_whole_in_a_storm_of_kills(tmp_path: Path) -> None:
    figures = storm(tmp_path, 2, 2, redis_kills=1, worker_kills=1)
    assert figures.wrong == []
    assert figures.excess == []


def test_a_producer_that_sleeps_past_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    with server_in(tmp_path) as server, running_server(Order(size=(64, 64)), pace=Pace(delay_s=0.1)) as service:
        sleeper = start_producer(server, service, "otter", tmp_path, 0.6)
        wait_until(lambda: server.client.hget(KEYS.meta("otter"), "cursor"))
        os.kill(sleeper.pid or 0, signal.SIGSTOP)
        successor = start_producer(server, service, "otter", tmp_path, 0.6)
        successor.join(60)
        assert (tmp_path / "otter").exists()
        n_entries = server.client.xlen(KEYS.log)
        os.kill(sleeper.pid or 0, signal.SIGCONT)
        sleeper.join(60)
        assert sleeper.exitcode == 3  # StreamTakenError
        assert server.client.xlen(KEYS.log) == n_entries
        assert [request.method for request in service.service.requests] == ["POST", "GET"]


def test_stop_from_another_process_ends_a_stream_within_about_a_second(tmp_path: Path) -> None:
    with server_in(tmp_path) as server, running_server(Order(size=(64, 64)), pace=Pace(delay_s=20)) as service:
        producer = start_producer(server, service, "otter", tmp_path, 30)
        wait_until(lambda: server.client.exists(KEYS.meta("otter")))
        gallery = RedisGallery(server.url)
        began = time.monotonic()
        gallery.stop("otter")
        producer.join(30)
        assert time.monotonic() - began < 10  # about a second; the next event comes after 20
        assert not (tmp_path / "otter").exists()
        gallery.close()


@pytest.mark.parametrize("has_file", [False, True], ids=["without persistence", "with persistence"])
def test_everything_is_sent_again_to_a_server_that_was_killed(tmp_path: Path, *, has_file: bool) -> None:
    pictures = [large(100_000, seed) for seed in range(5)]
    options = ["--appendonly", "yes", "--appendfsync", "everysec"] if has_file else []
    with server_in(tmp_path, *options) as server:

        def events() -> Iterator[Any]:
            for at, event in enumerate(events_of(*pictures)):
                if at == 3:
                    server.kill()
                if at == 5:
                    server.start()
                yield event

        result, _ = make(RedisGallery(server.url), events)
        assert result.require_final().data == pictures[-1]
        assert all(stored(server, picture) for picture in pictures)
        assert b'"outcome":"completed"' in facts_text(server)


def test_a_server_that_lacks_the_last_writes_gets_them_again(tmp_path: Path) -> None:
    pictures = [large(50_000, seed) for seed in range(5)]
    with server_in(tmp_path) as server:

        def events() -> Iterator[Any]:
            made = events_of(*pictures)
            yield from made[:2]
            wait_until(lambda: stored(server, pictures[0]))
            server.client.save()  # a replica that has got no more than this takes over
            yield from made[2:5]
            wait_until(lambda: stored(server, pictures[3]))
            server.kill()
            server.start()
            yield from made[5:]

        result, _ = make(RedisGallery(server.url), events)
        assert result.require_final().data == pictures[-1]
        assert all(stored(server, picture) for picture in pictures)
        assert facts_text(server).count(b'["frame",') == len(pictures)


def test_the_stream_never_waits_for_a_server_that_hangs(tmp_path: Path) -> None:
    pictures = [large(20_000, seed) for seed in range(40)]
    with server_in(tmp_path) as server:

        def events() -> Iterator[Any]:
            for at, event in enumerate(events_of(*pictures)):
                if at == 3:
                    server.process.send_signal(signal.SIGSTOP)
                    timer = threading.Timer(HANG_S, server.process.send_signal, (signal.SIGCONT,))
                    timer.start()
                yield event
                time.sleep(0.01)

        began = time.monotonic()
        result, times = make(RedisGallery(server.url), events)
        assert times[-2] - began < HANG_S  # the result came while the server hung
        assert max(later - earlier for earlier, later in pairwise(times)) < 0.75 * HANG_S
        assert result.require_final().data == pictures[-1]
        assert stored(server, pictures[-1])


@pytest.mark.parametrize("policy", ["noeviction", "volatile-ttl"])
def test_no_result_is_lost_where_the_memory_is_full(tmp_path: Path, policy: str) -> None:
    pictures = [large(700_000, seed) for seed in range(8)]
    with server_in(tmp_path, "--maxmemory", "5mb", "--maxmemory-policy", policy) as server:
        makes_room = threading.Timer(1.0, server.client.config_set, ("maxmemory", 0))

        def events() -> Iterator[Any]:
            yield from events_of(*pictures)
            if policy == "noeviction":
                makes_room.start()

        result, times = make(RedisGallery(server.url), events)
        if policy == "noeviction":
            makes_room.cancel()  # the result may have had room without the previews
            makes_room.join()
        assert result.require_final().data == pictures[-1]
        assert times[-1] - times[0] < 2
        assert stored(server, pictures[-1])
        assert b'"outcome":"completed"' in facts_text(server)


def test_a_producer_keeps_its_lease_where_the_memory_is_full(tmp_path: Path) -> None:
    with server_in(tmp_path, "--maxmemory", "4mb", "--maxmemory-policy", "volatile-ttl") as server:
        gallery = RedisGallery(server.url)
        with gallery.produce("otter", lease_s=20, renew_s=10):
            for at in range(20):
                server.client.set(f"other {at}", large(400_000, at), px=600_000)
            assert (server.client.zscore(KEYS.leases, "otter") or 0) > 1_000 * time.time()
        gallery.close()


def test_results_go_before_old_previews_over_a_slow_link(tmp_path: Path) -> None:
    pictures = [large(MIB, seed) for seed in range(8)]
    arrived: list[int] = []
    with server_in(tmp_path) as server, slow_link(server.port, 4 * MIB) as port:
        known = {KEYS.frame(sha256(data).hexdigest()).encode(): at for at, data in enumerate(pictures)}

        def look(stop: threading.Event) -> None:
            while not stop.wait(0.005) and len(arrived) < len(pictures):
                there = set(server.client.keys("imgassemble:pictures:frame:*"))
                arrived.extend(at for key, at in known.items() if key in there and at not in arrived)

        stop = threading.Event()
        watcher = threading.Thread(target=look, args=(stop,), daemon=True)
        watcher.start()
        gallery = RedisGallery(f"redis://127.0.0.1:{port}/0")
        result, times = make(gallery, lambda: iter(events_of(*pictures)))
        stop.set()
        watcher.join()
        gallery.close()
    assert times[-1] - times[0] < 1.5
    assert result.require_final().data == pictures[-1]
    assert arrived.index(len(pictures) - 1) <= 2  # after at most the preview that was under way, and the next


@contextmanager
def slow_link(port: int, bytes_per_s: int) -> Iterator[int]:
    """Forward a port at so many bytes per second towards the server; yield the new port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def forward(source: socket.socket, target: socket.socket, rate: int | None) -> None:
            with source, target:
                try:
                    while data := source.recv(16_384):
                        target.sendall(data)
                        time.sleep(len(data) / rate if rate else 0)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                    server = socket.create_connection(("127.0.0.1", port))
                except OSError:
                    return
                for way in ((client, server, bytes_per_s), (server, client, None)):
                    threading.Thread(target=forward, args=way, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


def test_redis_needs_at_most_a_tenth_more_than_the_bytes_of_the_frames(tmp_path: Path) -> None:
    # The allocator of the server rounds each size up to one of four steps between two powers of two: by 8 % on average.
    sizes = Random(0).choices(range(500_000, 2_500_000), k=16)
    pictures = [large(size, seed) for seed, size in enumerate(sizes)]
    with server_in(tmp_path) as server:
        make(RedisGallery(server.url), lambda: iter(events_of(*pictures)))
        keys = list(server.client.scan_iter("imgassemble:*"))
        used = sum(int(server.client.memory_usage(key, samples=0) or 0) for key in keys)
    assert used <= 1.1 * sum(map(len, pictures))
