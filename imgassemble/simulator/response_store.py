"""The responses that can be asked for again, so that a stream that was cut can be resumed.

Knows: how many responses of how many bytes are kept. Must not know: HTTP, what is in a response.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from .answers import Order, Play

_MAX_COUNT = 64  # responses; enough for any test or demonstration
_MAX_BYTES = 256 * 2**20  # one response with three partials of 4K as PNG takes about 100 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A response that can be asked for again; until `done_at` (by the server's clock) it is in progress.

    `stream`: as it was sent; None where it was not streamed, an equal order makes it again.
    """

    order: Order
    stream: Play | None
    done_at: float

    @property
    def weight_bytes(self) -> int:
        """What it takes in memory, as good as."""
        sent = self.stream
        return len(self.order.picture or b"") + (sum(map(len, sent.body)) + _text_length(sent.events) if sent else 0)


def _text_length(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return sum(map(_text_length, inner))


@dataclass(slots=True, kw_only=True)
class Shelf:
    """The newest responses, at most so many of so many bytes together."""

    max_count: int = _MAX_COUNT
    max_bytes: int = _MAX_BYTES
    _kept: OrderedDict[str, tuple[Kept, int]] = field(default_factory=OrderedDict)

    def put(self, name: str, kept: Kept) -> None:
        self._kept.pop(name, None)
        self._kept[name] = kept, kept.weight_bytes
        while len(self._kept) > self.max_count or sum(weight for _, weight in self._kept.values()) > self.max_bytes:
            self._kept.popitem(last=False)

    def get(self, name: str) -> Kept | None:
        return self._kept[name][0] if name in self._kept else None

    def clear(self) -> None:
        self._kept.clear()
