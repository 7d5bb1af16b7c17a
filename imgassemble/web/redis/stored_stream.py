"""The commands of one producer for one stream in Redis: to take it, write it, keep it, and give it up.

Must not know: when anything is sent, the meaning of facts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from secrets import token_urlsafe
from string import hexdigits
from typing import Any, Literal, NamedTuple, cast

from ...errors import StreamTakenError, UsageError, quoted
from ...limits import MOST_FRAME_BYTES
from .connecting import MovedError, ResponseError, connect
from .keys import GalleryKeys
from .scripts import CLAIM, MAX_ENTRIES, RELEASE, RENEW, WRITE
from .stored_gallery import remove_expired_streams

_LONGEST_TIMEOUT_S = 20.0  # for one command: a frame of 64 MiB at 4 MB/s takes 16 s
_LONGEST_KEEPING_S = 10**9  # about thirty years; the server takes no time near infinity
_MOST_DIGITS = 15
_PORTION = 1_000  # entries of the log that are read at once
_NAME_OF_FRAME = "frame\0"


class LostWritesError(Exception):
    """The server has lost the stream or its last writes."""


class Claimed(NamedTuple):
    """The facts that the server keeps of a stream for its next producer.

    began_s, now_s: Unix seconds by the clock of the server.
    cursor: the text of the last position; "" if there is none.
    """

    number: int
    began_s: float
    next_frame: int
    cursor: str
    now_s: float


class StoredFact(NamedTuple):
    """A fact to write: an entry of the log and the fact, an entry that drops the fact, or only the fact."""

    where: Literal["log", "drop", "hash"]
    field: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long Redis keeps the parts of a stream, in seconds.

    keep_s: its facts and results after the last write. lease_s: the lease of a producer after its last renewal.
    """

    keep_s: float
    lease_s: float

    @property
    def keep_ms(self) -> int:
        return max(1, round(1_000 * min(self.keep_s, _LONGEST_KEEPING_S)))

    @property
    def lease_ms(self) -> int:
        return max(1, round(1_000 * min(self.lease_s, _LONGEST_KEEPING_S)))

    @property
    def preview_ms(self) -> int:
        """The milliseconds for which a preview is kept: at least those of a lease, because viewers see it."""
        return max(self.lease_ms, self.keep_ms // 6)

    @property
    def result_ms(self) -> int:
        """The milliseconds for which a result is kept."""
        return max(self.lease_ms, self.keep_ms)


class StoredStream:
    """One stream in Redis, as its producer writes it. For one thread at a time. Its methods raise errors of redis-py.

    kind: "produce" for a stream that another producer can continue, "add" for others.
    """

    def __init__(
        self, url: str, keys: GalleryKeys, name: str, keeping: Keeping, kind: Literal["produce", "add"]
    ) -> None:
        self.name = name
        self._keys, self._keeping, self._kind = keys, keeping, kind
        self._client = connect(url, timeout_s=min(_LONGEST_TIMEOUT_S, max(1.0, keeping.lease_s * 2 / 3)), retries=0)
        self._token = token_urlsafe(12)
        self._last_id = ""
        self._claimed_ms = 0
        scripts = (CLAIM, WRITE, RENEW, RELEASE)
        self._claim, self._write, self._renew, self._release = map(self._client.register_script, scripts)

    def claim(self) -> Claimed:
        """Take the stream, also again. Raises StreamTakenError if another producer has it.

        An earlier stream of this name whose time has come is removed first.
        """
        keys, keeping = self._keys, self._keeping
        self._check_server()
        remove_expired_streams(self._client, keys, self.name)
        places = [keys.meta(self.name), keys.leases, keys.epoch, keys.numbers, keys.expires]
        args = [self._token, keeping.lease_ms, keeping.keep_ms, token_urlsafe(6), self.name, self._kind]
        try:
            number, began_ms, next_frame, cursor = self._claim(keys=places, args=args)
        except ResponseError as error:
            raise self._read_error(error) from None
        seconds, microseconds = cast("tuple[int, int]", self._client.time())
        self._last_id, self._claimed_ms = "", seconds * 1_000 + microseconds // 1_000
        now_s = seconds + microseconds / 1_000_000
        return Claimed(
            _whole(number),
            _whole(began_ms) / 1_000,
            _whole(next_frame),
            (cursor or b"").decode(errors="replace"),
            now_s,
        )

    def _check_server(self) -> None:
        """Raise UsageError if the server has only some of the keys. Otherwise the first frame would show it."""
        pipeline = self._client.pipeline(transaction=False)
        for digit in hexdigits:
            pipeline.exists(self._keys.frame(digit))
        try:
            pipeline.execute()
        except MovedError:
            raise UsageError(
                "this Redis is one of several nodes of a cluster, and a gallery needs a single server: choose a server "
                "without cluster mode; it may have replicas"
            ) from None

    def write(self, facts: Iterable[StoredFact], *, cursor: str, next_frame: int) -> bool:
        """Write facts, and renew the lease; return whether the stream is to be stopped.

        Raises StreamTakenError if another producer has taken over, and LostWritesError.
        """
        keys, keeping = self._keys, self._keeping
        places = [
            keys.log, keys.facts(self.name), keys.meta(self.name), keys.leases, keys.expires,
        ]  # fmt: skip
        args: list[str | int] = [
            self._token, self._last_id, MAX_ENTRIES, keeping.lease_ms, keeping.keep_ms, self.name, cursor, next_frame,
        ]  # fmt: skip
        for fact in facts:
            args += fact
        try:
            stop, last_id = self._write(keys=places, args=args)
        except ResponseError as error:
            raise self._read_error(error) from None
        self._last_id = last_id.decode()
        return bool(stop)

    def is_stopped(self) -> bool:
        """Return whether the stream is to be stopped. Raises what `write` raises."""
        token, stop = self._client.hmget(self._keys.meta(self.name), ["token", "stop"])
        if token is None:
            raise LostWritesError
        if token.decode() != self._token:
            raise self._taken()
        return bool(stop)

    def keep_lease(self) -> None:
        """Renew the lease of this producer where nothing can be written, because the memory is full."""
        places = [self._keys.meta(self.name), self._keys.leases]
        self._renew(keys=places, args=[self._token, self._keeping.lease_ms, self.name])

    def release(self) -> None:
        """Give the lease back."""
        self._release(keys=[self._keys.meta(self.name), self._keys.leases], args=[self._token, self.name])

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def put_frame(self, digest: str, data: bytes, *, is_final: bool) -> None:
        """Store the bytes of a frame, unless they are there. Their time begins again."""
        if not self.keep_frames([(digest, is_final)])[0]:
            self._client.set(self._keys.frame(digest), data, px=self._kept_ms(is_final=is_final))

    def keep_frames(self, frames: Iterable[tuple[str, bool]]) -> list[bool]:
        """Begin the time of stored frames again, and return for each whether it is there.

        frames: the digest of each, and whether it is a result.
        """
        pipeline = self._client.pipeline(transaction=False)
        for digest, is_final in frames:
            pipeline.pexpire(self._keys.frame(digest), self._kept_ms(is_final=is_final), gt=True)
            pipeline.exists(self._keys.frame(digest))
        return [bool(there) for there in pipeline.execute()[1::2]]

    def _kept_ms(self, *, is_final: bool) -> int:
        return self._keeping.result_ms if is_final else self._keeping.preview_ms

    def load_frame(self, digest: str, n_bytes: int) -> bytes | None:
        """Return the bytes of a frame; None if they are gone, or are others."""
        data = self._client.getrange(self._keys.frame(digest), 0, min(n_bytes, MOST_FRAME_BYTES))
        return data if data and sha256(data).hexdigest() == digest else None

    def facts(self) -> Mapping[str, bytes]:
        """Return the fields of the facts with their texts, without the ids of the entries."""
        found = cast("dict[bytes, bytes]", self._client.hgetall(self._keys.facts(self.name)))
        return {
            field.decode(errors="replace"): text if field.startswith(b"record\0") else text.partition(b"\n")[2]
            for field, text in found.items()
        }

    def frame_numbers(self) -> list[int]:
        """Return the numbers of the frames that the facts have."""
        fields = (field.decode(errors="replace") for field in self._client.hkeys(self._keys.facts(self.name)))
        numbers = (field.removeprefix(_NAME_OF_FRAME) for field in fields if field.startswith(_NAME_OF_FRAME))
        return [int(number) for number in numbers if number.isascii() and number.isdecimal()]

    def was_removed(self) -> bool:
        """Return whether the stream was removed since it was taken."""
        gone = f'["gone",{json.dumps(self.name)},'.encode()
        return any(text.startswith(gone) for text in self._entries_since(f"{self._claimed_ms}-0"))

    def _entries_since(self, entry_id: str) -> Iterator[bytes]:
        while entries := cast("list[Any]", self._client.xrange(self._keys.log, entry_id, "+", count=_PORTION)):
            for found_id, fields in entries:
                entry_id = f"({found_id.decode()}"
                yield (fields or {}).get(b"c", b"")

    def _read_error(self, error: ResponseError) -> Exception:
        """Return the error for the words of a script; others stay as they are."""
        word, _, left_ms = str(error).partition(" ")
        if word == "HELD":
            wait = f"wait for its end, or {ceil(_whole(left_ms.encode()) / 1_000)} s if it was killed"
            return StreamTakenError(f"another producer makes the stream {quoted(self.name)}: {wait}")
        if word == "FENCED" or (word == "EXISTS" and self._claimed_ms):  # this producer had it before
            return self._taken()
        if word == "EXISTS":
            return UsageError(f"a stream {quoted(self.name)} is shown already: choose another name, or remove() it")
        return LostWritesError() if word == "LOST" else error

    def _taken(self) -> StreamTakenError:
        sentence = f"another producer has taken over the stream {quoted(self.name)}: this one writes nothing more"
        return StreamTakenError(sentence)


def _whole(text: bytes | None) -> int:
    """Return a number that the server keeps; 0 for a text that is none."""
    return int(text) if text and text.isdigit() and len(text) <= _MOST_DIGITS else 0
