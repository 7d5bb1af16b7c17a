"""Computes when each chunk of an answer is due.

Must not know: the content of events, sockets, clocks. The sender does the waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The pace of an answer.

    delay_s: seconds before each event, from 0.
    jitter_s: up to this many seconds more or less, by chance, from 0.
    chunk_bytes: the size of a chunk; 0: a whole event.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    chunk_bytes: int = 0

    def waits(self, *, seed: int = 0) -> Iterator[float]:
        """Yield the seconds to wait before each event, without end; the same for the same seed."""
        chance = Random(f"pace/{seed}").random  # noqa: S311  (chance, not a secret)
        while True:
            yield max(0.0, self.delay_s + self.jitter_s * (2 * chance() - 1))

    def chunks(self, body: Iterable[bytes], *, seed: int = 0) -> Iterator[tuple[float, bytes]]:
        """Yield for each chunk of `body` the seconds to wait before it, and its bytes; the same for the same seed.

        Only the first chunk of an event has to be waited for. An event ends with a blank line.
        """
        waits, tail = self.waits(seed=seed), b"\n\n"
        for piece in body:
            is_due = tail.endswith((b"\n\n", b"\r\n\r\n"))
            wait_s = next(waits) if is_due else 0.0
            tail = (tail + piece[-4:])[-4:]
            for at in range(0, len(piece), self.chunk_bytes or len(piece)):
                yield (0.0 if at else wait_s), piece[at : at + (self.chunk_bytes or len(piece))]
