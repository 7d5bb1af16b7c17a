"""The keys of a gallery in Redis.

All facts of a gallery have the hash tag `{name}`, so that one script can write them in a cluster. Frames have their
own tag each, so that they spread over its nodes.
Must not know: connections, the contents of the keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...arguments import shorten
from ...errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class GalleryKeys:
    """The keys of the gallery `name`. Raises UsageError if the name has other characters than letters, digits, `_.-`.

    epoch: a random text, made once; another one means that the data were lost, and viewers begin again.
    log: the stream of changes; the ids of its entries are the positions of viewers.
    numbers: counts the streams that were added.
    expires: a sorted set of the names of all streams, by the time in milliseconds at which each may be removed.
    leases: a sorted set of the names of those that have a producer, by the time in milliseconds until which it has the
        stream, unless it renews its lease. It is no key with a time to live: those are removed first if memory is full.
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise UsageError(
                f"the name of a gallery has 1 to 64 letters, digits and _.- and is not {shorten(self.name)}"
            )

    @property
    def epoch(self) -> str:
        return self._key("epoch")

    @property
    def log(self) -> str:
        return self._key("log")

    @property
    def numbers(self) -> str:
        return self._key("numbers")

    @property
    def expires(self) -> str:
        return self._key("expires")

    @property
    def leases(self) -> str:
        return self._key("leases")

    def meta(self, stream: str) -> str:
        """Return the key of a hash: the facts with which a producer goes on with a stream."""
        return self._key("stream", stream)

    def facts(self, stream: str) -> str:
        """Return the key of a hash: the last change of the stream, and of each item and frame."""
        return self._key("facts", stream)

    def frame(self, sha256: str) -> str:
        """Return the key of the bytes of a frame."""
        return f"imgassemble:{self.name}:frame:{{{sha256}}}"

    def _key(self, *parts: str) -> str:
        return ":".join((f"imgassemble:{{{self.name}}}", *parts))
