"""Random losses of a gallery on Redis, and viewers that change processes: in the end all of them show the same.

`python -m soak.redis_agreement 100`: so many runs, each from a seed of its own.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import samples
from redis_stage import HandProducer, RedisServer, wait_until

from imgassemble.web import RedisGallery
from imgassemble.web.redis.connecting import ResponseError

STEPS = 100
PATIENCE_S = 15


@dataclass
class PageModel:
    """What a page has after the changes that it received."""

    position: str = ""
    facts: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    def read(self, gallery: RedisGallery) -> None:
        self.position, changes = gallery.changes(self.position)
        for change in changes:
            if change.kind == "reset":
                self.facts.clear()
            elif change.kind == "gone":
                self.facts = {key: facts for key, facts in self.facts.items() if key[1] != change.stream}
            else:
                self.facts[change.kind, change.stream, change.key] = change.facts

    def shown(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """The facts, without the frames that their item does not list any more."""
        return {key: facts for key, facts in self.facts.items() if key[0] != "frame" or self._is_listed(key[1], facts)}

    def _is_listed(self, stream: str, frame: dict[str, Any]) -> bool:
        item = self.facts.get(("item", stream, str(frame["item"])), {"frames": ()})
        return frame["number"] in item["frames"]


class Run:
    """Random steps: producers, viewers of two processes, cut connections, and losses of every kind."""

    def __init__(self, server: RedisServer, seed: int) -> None:
        self.random, self.client, self.name = Random(seed), server.client, f"seed-{seed}"
        self.galleries = [RedisGallery(server.url, self.name) for _ in range(2)]
        self.models = [PageModel() for _ in range(4)]
        self.producers: dict[str, HandProducer] = {}
        self._url, self._log = server.url, f"imgassemble:{{{self.name}}}:log"

    def play(self) -> None:
        steps: list[tuple[Callable[[], object], int]] = [
            (self._feed, 50),
            (self._add_or_remove, 10),
            (lambda: self.client.client_kill_filter(_type="normal", skipme=True), 6),
            (lambda: self.client.xtrim(self._log, maxlen=self.random.randrange(4), approximate=False), 4),
            (self._lose_everything, 2),
            (lambda: self.client.xadd(self._log, {"c": "junk", "p": self.random.choice(["0-0", "5-5"])}), 4),
            (lambda: self.random.choice(self.models).read(self.random.choice(self.galleries)), 24),
        ]
        for step in self.random.choices([step for step, _ in steps], [weight for _, weight in steps], k=STEPS):
            step()
            if self.random.random() < 0.3:
                time.sleep(self.random.random() / 50)

    def check(self) -> None:
        """Raise AssertionError unless all viewers come to show the facts that a new process shows."""
        wait_until(self._agrees, PATIENCE_S)
        for gallery in self.galleries:
            gallery.close()

    def _agrees(self) -> bool:
        fresh, gallery = PageModel(), RedisGallery(self._url, self.name)
        assert gallery.names is not None  # it has read everything
        fresh.read(gallery)
        gallery.close()
        for model in self.models:
            model.read(self.random.choice(self.galleries))
        return all(model.shown() == fresh.shown() for model in self.models)

    def _feed(self) -> None:
        if not self.producers:
            return
        producer = self.random.choice(list(self.producers.values()))
        picture = samples.png(self.random.randrange(1, 40), 3)
        item_id = f"ig_{self.random.randrange(3)}"
        try:
            producer.feed(samples.partial(item_id, self.random.randrange(6), picture, output_index=None))
        except ResponseError as error:
            assert str(error).startswith(("LOST", "FENCED"))

    def _add_or_remove(self) -> None:
        stream = f"otter {self.random.randrange(4)}"
        if stream in self.producers:
            del self.producers[stream]
            self.random.choice(self.galleries).remove(stream)
        else:
            self.producers[stream] = HandProducer(self.client, self.name, stream)

    def _lose_everything(self) -> None:
        self.producers.clear()
        if keys := self.client.keys(f"imgassemble:{{{self.name}}}:*"):
            self.client.delete(*keys)


def main(n_runs: int) -> None:
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        try:
            for seed in range(n_runs):
                run = Run(server, seed)
                run.play()
                run.check()
                print(f"seed {seed}: agreed", flush=True)
        finally:
            server.kill()


if __name__ == "__main__":
    main(int(sys.argv[1]))
