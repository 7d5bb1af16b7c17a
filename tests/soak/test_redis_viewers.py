"""Viewers of a gallery on Redis while workers and servers are killed, replaced, or hang, with real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import samples

pytest.importorskip("redis", reason="a gallery on Redis needs the extra: pip install 'imgassemble[redis]'")
pytest.importorskip("uvicorn", reason="the live page needs the extra: pip install 'imgassemble[web]'")

import redis_stage as stage
from page_visitors import Visitor, gallery_workers, visitors
from redis_stage import HandProducer, RedisServer, wait_until
from screens.hosts import PATIENCE_S, serving

if stage.SERVER is None:
    pytest.skip(stage.MISSING, allow_module_level=True)

from imgassemble.web import RedisGallery
from soak.redis_agreement import Run

FOLDER = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path / "redis")
    yield running
    running.kill()
    running.client.close()


def draw(producer: HandProducer, n_previews: int = 2) -> list[bytes]:
    """Make one picture to its end, and return its frames."""
    pictures = [samples.png(40 + 8 * at, 40) for at in range(n_previews + 1)]
    item_id = f"ig_{producer.stream}"
    for at, data in enumerate(pictures[:-1]):
        producer.feed(samples.partial(item_id, at, data))
    producer.feed(samples.done(item_id, pictures[-1]))
    producer.close()
    return pictures


def test_each_of_24_fresh_viewers_of_two_workers_sees_every_stream_and_frame(
    tmp_path: Path, server: RedisServer
) -> None:
    streams = [f"otter-{at}" for at in range(4)]
    with gallery_workers(tmp_path, server.url) as url:
        drawn = {name: draw(HandProducer(server.client, "pictures", name)) for name in streams[:2]}
        with visitors(url, 24) as present:
            drawn |= {name: draw(HandProducer(server.client, "pictures", name)) for name in streams[2:]}
            for visitor in present:
                wait_until(lambda visitor=visitor: visitor.has_ended(*streams))
                frames = {(facts["stream"], facts["number"]): facts["url"] for facts in visitor.facts("frame")}
                for (stream, number), address in frames.items():
                    assert visitor.get(address) == (200, drawn[stream][number])
                for stream in streams:
                    assert (stream, 2) in frames
            assert len({visitor.workers[0] for visitor in present}) == 2
            assert all(len(visitor.facts("hello")) == 1 for visitor in present)


def test_a_viewer_whose_worker_is_killed_goes_on_at_another_and_gets_nothing_twice(
    tmp_path: Path, server: RedisServer
) -> None:
    # First, because a viewer of a gallery that never had a stream begins again at the first one.
    producer = HandProducer(server.client, "pictures", "otter", lease_s=60)
    with gallery_workers(tmp_path, server.url) as url, visitors(url, 6) as present:
        for at in range(40):
            producer.feed(samples.partial("ig_1", at, samples.png(20 + at, 20)))
            if at == 10:
                wait_until(lambda: all(visitor.facts("frame") for visitor in present))
                killed = present[0].workers[0]
                os.kill(killed, signal.SIGKILL)
            time.sleep(0.02)
        producer.feed(samples.done("ig_1", samples.png(9, 9)))
        producer.close()
        wait_until(lambda: all(visitor.has_ended("otter") for visitor in present))
        moved = [visitor for visitor in present if visitor.workers[0] == killed]
        assert moved
        for visitor in present:
            assert [hello["is_new"] for hello in visitor.facts("hello")] == [True] + [False] * (
                len(visitor.workers) - 1
            )
            numbers = [facts["number"] for facts in visitor.facts("frame")]
            assert max(Counter(numbers).values()) == 1
            assert max(numbers) == 40
            assert visitor.facts("item")[-1]["kind"] == "final"
        assert all(len(visitor.workers) == 2 and visitor.workers[1] != killed for visitor in moved)


def test_after_a_restart_with_persistence_viewers_go_on(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always")
    producer = HandProducer(server.client, "pictures", "otter", lease_s=60)
    with gallery_workers(tmp_path, server.url, 1) as url, visitors(url, 1) as (visitor,):
        producer.feed(samples.partial("ig_1", 0))
        wait_until(lambda: visitor.facts("item"))
        server.kill()
        server.start()
        producer.feed(samples.done("ig_1", samples.png(30, 30)))
        producer.close()
        wait_until(lambda: visitor.has_ended("otter"))
        assert len(visitor.facts("hello")) == 1  # it did not begin again
        assert [facts["number"] for facts in visitor.facts("frame")] == [0, 1]
        assert visitor.get(visitor.facts("frame")[-1]["url"]) == (200, samples.png(30, 30))
    server.kill()
    server.client.close()


def test_after_a_restart_without_persistence_viewers_begin_again(tmp_path: Path, server: RedisServer) -> None:
    with gallery_workers(tmp_path, server.url, 1) as url, visitors(url, 1) as (visitor,):
        HandProducer(server.client, "pictures", "lost").feed(samples.partial("ig_1", 0))
        wait_until(lambda: visitor.facts("item"))
        server.kill()
        server.start()
        draw(HandProducer(server.client, "pictures", "otter"))
        wait_until(lambda: visitor.has_ended("otter"))
        last_hello = max(at for at, (kind, _) in enumerate(visitor.events) if kind == "hello")
        assert visitor.events[last_hello][1]["is_new"]
        assert {facts["stream"] for kind, facts in visitor.events[last_hello:] if kind == "stream"} == {"otter"}


class Switch:
    """A TCP address that leads to one server at a time, as that of a managed Redis does."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.port)) as server:
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            _pass_on(client, server)
            back.join()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
    for each in (one, other):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def test_after_a_failover_that_lost_writes_viewers_see_what_is_left(tmp_path: Path, server: RedisServer) -> None:
    replica = RedisServer(tmp_path / "replica", "--replicaof", "127.0.0.1", str(server.port))
    switch = Switch(server.port)
    with gallery_workers(tmp_path, switch.url) as url, visitors(url, 4) as present:
        producer = HandProducer(server.client, "pictures", "otter")
        producer.feed(samples.partial("ig_1", 0))
        server.client.execute_command("WAIT", 1, 10_000)
        replica.client.replicaof("NO", "ONE")  # from here on it lacks the writes
        producer.feed(samples.partial("ig_1", 1), samples.partial("ig_lost", 0))
        wait_until(lambda: all(len(visitor.facts("frame")) == 3 for visitor in present))
        switch.port = replica.port
        server.kill()
        heron = HandProducer(replica.client, "pictures", "heron")
        draw(heron)
        wait_until(lambda: all(visitor.has_ended("heron") for visitor in present))
        for visitor in present:
            last_hello = max(at for at, (kind, _) in enumerate(visitor.events) if kind == "hello")
            assert visitor.events[last_hello][1]["is_new"]
            items = [
                (facts["stream"], facts["frames"]) for kind, facts in visitor.events[last_hello:] if kind == "item"
            ]
            assert ("otter", [0]) in items
            assert all(frames != [0, 1] for stream, frames in items if stream == "otter")
    replica.kill()
    replica.client.close()
    switch.close()


def hang(server: RedisServer, producer: HandProducer, url: str, visitor: Visitor, hang_s: float) -> None:
    """Stop the server for a while, and check that nothing is lost."""
    producer.feed(samples.partial("ig_1", 0))
    wait_until(lambda: visitor.facts("item"))
    os.kill(server.process.pid, signal.SIGSTOP)
    asked: list[Any] = []
    asking = threading.Thread(target=lambda: asked.append(visitor.get(visitor.facts("frame")[0]["url"])))
    asking.start()
    time.sleep(hang_s / 2)
    with visitors(url, 1) as (other,):
        wait_until(lambda: other.facts("item"))  # the worker goes on with the facts that it has
    time.sleep(hang_s / 2)
    os.kill(server.process.pid, signal.SIGCONT)
    asking.join(PATIENCE_S)
    assert asked == [(200, samples.shade(0))]
    producer.feed(samples.done("ig_1", samples.png(30, 30)))
    producer.close()
    wait_until(lambda: visitor.has_ended("otter"))
    assert len(visitor.facts("hello")) == 1
    assert [facts["number"] for facts in visitor.facts("frame")] == [0, 1]


@pytest.mark.parametrize("hang_s", [3.0, 13.0])
def test_a_server_that_hangs_holds_up_no_viewer(tmp_path: Path, server: RedisServer, hang_s: float) -> None:
    query = "?socket_timeout=1" if hang_s < 10 else ""  # the usual patience is 10 seconds
    producer = HandProducer(server.client, "pictures", "otter", lease_s=90)
    with gallery_workers(tmp_path, server.url + query, 1) as url, visitors(url, 1) as (visitor,):
        hang(server, producer, url, visitor, hang_s)


def test_a_gallery_whose_server_starts_later_shows_its_streams(tmp_path: Path, server: RedisServer) -> None:
    server.kill()
    gallery = RedisGallery(server.url)
    assert gallery.changes()[1] == []
    server.start()
    HandProducer(server.client, "pictures", "otter")
    wait_until(lambda: gallery.names == ("otter",))
    gallery.close()


@contextmanager
def viewing(folder: Path, server: RedisServer) -> Iterator[str]:
    """Run the command view, and yield the URL of its page."""
    command = ["-m", "imgassemble", "view", server.url, "--gallery", "otters", "--no-browser"]
    with serving(command, folder, os.environ | {"PYTHONPATH": str(FOLDER)}) as url:
        yield url


def test_the_command_view_shows_a_gallery_on_redis(tmp_path: Path, server: RedisServer) -> None:
    draw(HandProducer(server.client, "otters", "otter"))
    with viewing(tmp_path, server) as url, visitors(url, 1) as (visitor,):
        wait_until(lambda: visitor.has_ended("otter"))
        assert [visitor.get(facts["url"])[0] for facts in visitor.facts("frame")] == [200] * 3


def test_the_page_says_that_a_producer_has_gone_until_the_next_one_goes_on(tmp_path: Path, server: RedisServer) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
    from browser.stage import chromium

    producer = HandProducer(server.client, "otters", "otter", lease_s=0.001)
    producer.feed(samples.partial("ig_1", 0))
    with viewing(tmp_path, server) as url, chromium() as browser:
        page = browser.new_page()
        page.goto(url)
        page.locator(".badge", has_text="Stopped").wait_for()
        assert "cannot be" in page.locator(".caption").inner_text()
        assert page.locator("#count").inner_text() == "1 picture"
        producer.lease_ms = 60_000
        producer.claim()
        page.locator(".badge", has_text="Preview").wait_for()
        assert page.locator("#count").inner_text() == "1 picture · 1 running"


def test_viewers_that_change_processes_agree_after_random_losses(server: RedisServer) -> None:
    for seed in range(3):
        run = Run(server, seed)
        run.play()
        run.check()


IMPATIENT = """
import asyncio, sys
from imgassemble.web import RedisGallery

async def ask():
    await asyncio.wait_for(gallery.load_frame(sys.argv[2], 0), 0.2)

gallery = RedisGallery(sys.argv[1])
print(gallery.names, flush=True)
sys.stdin.readline()
asyncio.run(ask())
"""


def test_a_server_that_hangs_does_not_hold_up_the_end_of_a_program(server: RedisServer) -> None:
    producer = HandProducer(server.client, "pictures", "otter")
    producer.feed(samples.partial("ig_1", 0))
    command = [sys.executable, "-c", IMPATIENT, server.url, producer.shown.key]
    environment, pipe = os.environ | {"PYTHONPATH": str(FOLDER)}, subprocess.PIPE
    with subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as program:
        assert program.stdout
        assert "otter" in program.stdout.readline()
        os.kill(server.process.pid, signal.SIGSTOP)
        began_at = time.monotonic()
        _, said = program.communicate("\n", timeout=PATIENCE_S)
        assert time.monotonic() - began_at < 4
        assert said.rstrip().endswith("TimeoutError")
    os.kill(server.process.pid, signal.SIGCONT)
