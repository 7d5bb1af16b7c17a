"""Reads standard input, says so while nothing comes, and ends after a silence.

A thread that reads `sys.stdin` would abort Python at its exit, and Ctrl-C could not end it. So `select` waits for data;
Windows has it for sockets only, so there a thread reads the file descriptor itself.
Must not know: the meaning of the bytes.
"""

from __future__ import annotations

import math
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

from ..console import say
from ..streams.sources import READ_BYTES, open_chunks

_SAYS_AFTER_S = 5.0  # a program that is piped in can take a few seconds to start
_TICK_S = 0.2  # Ctrl-C does not end a wait for a queue under Windows

# Returns the next bytes, b"" at the end, or None if nothing comes within the seconds (None: no limit).
_ReadWithin = Callable[[float | None], bytes | None]


def read_stdin(silence_s: float | None = None) -> Iterator[bytes]:
    """Yield the bytes of standard input as they come. After `silence_s` seconds without any, say so and end.

    Raises UsageError if there is no standard input.
    """
    chunks = open_chunks("-")
    try:
        fd = sys.stdin.fileno()
    except (AttributeError, OSError):  # a program has put another object there
        return chunks
    return _read(fd, silence_s)


def _read(fd: int, silence_s: float | None) -> Iterator[bytes]:
    read = _reader_in_thread(fd) if sys.platform == "win32" else _reader(fd)
    quiet_s = _SAYS_AFTER_S if silence_s is None else min(_SAYS_AFTER_S, silence_s)
    chunk = read(quiet_s)
    if chunk is None and quiet_s != silence_s:
        is_typed = os.isatty(fd)
        advice = ": pipe one in, name a file as SOURCE, or press Ctrl-C" if is_typed else " (Ctrl-C ends it)"
        say(f"waiting for a stream on standard input{advice}")
        chunk = read(None if silence_s is None else silence_s - quiet_s)
    while chunk:
        yield chunk
        chunk = read(silence_s)
    if chunk is None:
        say(f"nothing came on standard input for {silence_s:g} seconds, so the stream ends here")


def _reader(fd: int) -> _ReadWithin:
    def read(seconds: float | None) -> bytes | None:
        is_ready = select.select([fd], [], [], seconds)[0]
        return os.read(fd, READ_BYTES) if is_ready else None

    return read


def _reader_in_thread(fd: int) -> _ReadWithin:
    chunks: SimpleQueue[bytes | OSError] = SimpleQueue()

    def pass_on() -> None:
        try:
            while chunk := os.read(fd, READ_BYTES):
                chunks.put(chunk)
            chunks.put(b"")
        except OSError as error:
            chunks.put(error)

    def read(seconds: float | None) -> bytes | None:
        ends_at = math.inf if seconds is None else time.monotonic() + seconds
        while (left_s := ends_at - time.monotonic()) > 0:
            with suppress(Empty):
                chunk = chunks.get(timeout=min(left_s, _TICK_S))
                if isinstance(chunk, OSError):
                    raise chunk
                return chunk
        return None

    Thread(target=pass_on, name="imgassemble-stdin", daemon=True).start()
    return read
