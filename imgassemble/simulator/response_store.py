"""Stores the responses that a client can ask for again, so that it can resume a stream that was cut.

Must not know: HTTP, the content of a response.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from .answers import Answer, Order

_MAX_COUNT = 64  # responses; enough for any test or demonstration
_MAX_BYTES = 256 * 2**20  # one response with three partials of 4K as PNG takes about 100 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """A response that can be asked for again; it is in progress until `done_at` (by the server's clock).

    `stream`: the answer that was sent; None if it was not streamed: then an equal order makes it again.
    """

    order: Order
    stream: Answer | None
    done_at: float

    @property
    def weight_bytes(self) -> int:
        """Return approximately how much memory it takes."""
        sent = self.stream
        return len(self.order.picture or b"") + (sum(map(len, sent.body)) + _text_length(sent.events) if sent else 0)


def _text_length(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return sum(map(_text_length, inner))


@dataclass(slots=True, kw_only=True)
class ResponseStore:
    """Keeps the newest responses, at most `max_count` of them with `max_bytes` together."""

    max_count: int = _MAX_COUNT
    max_bytes: int = _MAX_BYTES
    _stored: OrderedDict[str, tuple[StoredResponse, int]] = field(default_factory=OrderedDict)

    def put(self, response_id: str, response: StoredResponse) -> None:
        """Store a response as the newest one, and forget the oldest ones that exceed the limits."""
        self._stored.pop(response_id, None)
        self._stored[response_id] = response, response.weight_bytes
        while len(self._stored) > self.max_count or sum(weight for _, weight in self._stored.values()) > self.max_bytes:
            self._stored.popitem(last=False)

    def get(self, response_id: str) -> StoredResponse | None:
        """Return the response of this id; None if it is not stored."""
        return self._stored[response_id][0] if response_id in self._stored else None

    def clear(self) -> None:
        """Forget all responses."""
        self._stored.clear()
