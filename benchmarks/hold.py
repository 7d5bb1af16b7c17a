"""The longest time for which a chunk of a stream holds an event loop, in seconds: `python -m benchmarks.hold < BODY`.

In a process of its own, in which nothing was done before: the first event and the first frame count too.
"""

from __future__ import annotations

import sys
import time

from imgassemble import Assembler
from imgassemble.frames.base64_json import load_decoded
from imgassemble.streams.decoding.decoder import EventDecoder

_CHUNK = 16 * 1024  # bytes, as in streams.py, which would load the simulator


def longest_step(body: bytes) -> float:
    decoder, assembler, longest = EventDecoder(load=load_decoded), Assembler(), 0.0
    for at in range(0, len(body), _CHUNK):
        start = time.perf_counter()
        for event in decoder.feed(body[at : at + _CHUNK]):
            assembler.feed(event)
        longest = max(longest, time.perf_counter() - start)
    assert assembler.items, "the body has no image"
    return longest


if __name__ == "__main__":
    print(longest_step(sys.stdin.buffer.read()))
