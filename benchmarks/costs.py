"""Measures imgassemble itself: time by event and by chunk, memory, files, start-up."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from PIL import Image

from imgassemble import Assembler, DirectorySink, FinalReady, Frame, FrameAdded, Item, Limits, assemble, iter_updates
from imgassemble.simulator import encode, sse
from imgassemble.streams.decoding.decoder import EventDecoder
from imgassemble.wire.reader import read_event

from .streams import CHUNK


def frames_of(chunks: Iterable[bytes]) -> Iterator[Frame]:
    return (update.frame for update in iter_updates(chunks) if isinstance(update, (FrameAdded, FinalReady)))


def with_imgassemble(chunks: list[bytes]) -> list[bytes]:
    return [frame.data for frame in frames_of(chunks)]


def pixels_with_imgassemble(chunks: list[bytes]) -> int:
    return sum(frame.decode().width for frame in frames_of(chunks))


def fed(events: list[Any]) -> dict[str, Item]:
    assembler = Assembler()
    for event in events:
        assembler.feed(event)
    assembler.close()
    return dict(assembler.items)


def saved(chunks: list[bytes], folder: Path, *, durable: bool) -> None:
    assemble(chunks, sinks=[DirectorySink(folder, durable=durable)])


def calls_while_saving(chunks: list[bytes], folder: Path, name: str) -> float:
    """Return how often a function of `os` is called while a stream is saved durably."""
    function, count = getattr(os, name), 0

    def profile(_frame: FrameType, what: str, called: Any) -> None:
        nonlocal count
        count += what == "c_call" and called is function

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        saved(chunks, folder, durable=True)
    finally:
        sys.setprofile(before)
    assert count, f"os.{name} is not called"
    return count


# ---- by event and by chunk

_EVENT = {"type": "response.image_generation_call.generating", "item_id": "ig_1", "output_index": 0}
_PARTIAL = _EVENT | {"type": "response.image_generation_call.partial_image"}


def seconds_per_event(items: int, events: int = 2_000) -> float:
    """Return the seconds that an event takes if the assembler holds so many items."""
    assembler = Assembler(limits=Limits(max_items=items + 1))
    for number in range(items):
        assembler.feed(_EVENT | {"item_id": f"ig_{number}", "output_index": number})
    chance = Random(0)
    numbers = (chance.randrange(items) for _ in range(events))
    told = [_EVENT | {"item_id": f"ig_{number}", "output_index": number} for number in numbers]
    start = time.perf_counter()
    for event in told:
        assembler.feed(event)
    return (time.perf_counter() - start) / events


def seconds_per_partial(partials: int, more: int = 50) -> float:
    """Return the seconds that a partial takes if its item has so many partials."""
    assembler = Assembler(limits=Limits(max_frames_per_item=partials + more))
    data = encode(Image.new("RGB", (8, 8)), "PNG")
    told = [
        _PARTIAL | {"partial_image_index": at, "partial_image_b64": b64encode(data + at.to_bytes(4)).decode("ascii")}
        for at in range(partials + more)
    ]
    for event in told[:partials]:
        assembler.feed(event)
    start = time.perf_counter()
    for event in told[partials:]:
        assembler.feed(event)
    return (time.perf_counter() - start) / more


def instructions_per_event() -> float:
    """Return the number of Python instructions for an event without a picture, the same in every run."""
    assembler = Assembler()
    assembler.feed(_EVENT)
    count = 0

    def trace(frame: FrameType, what: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += what == "opcode"
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for it when tracing begins
    sys.settrace(trace)
    try:
        assembler.feed(_EVENT)
    finally:
        sys.settrace(before)
    assert count, "nothing was counted"
    return count


def reads_of_one_event(body: bytes) -> float:
    """Return how often the JSON, the fields or the base64 of an event are read, the largest of the three."""
    event, assembler = sse([_largest_partial(body)]), Assembler()
    counts = dict.fromkeys(("from_json", "read_event", "b64decode"), 0)

    def profile(frame: FrameType, what: str, called: Any) -> None:
        if what == "c_call" and called.__name__ in counts:
            counts[called.__name__] += 1
        if what == "call" and frame.f_code is read_event.__code__:
            counts["read_event"] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        for _ in iter_updates([event], assembler):
            break
    finally:
        sys.setprofile(before)
    assert assembler.latest, "nothing was read"
    assert all(counts.values()), f"it is read by other means: {counts}"
    return max(counts.values())


def numbered_events(count: int) -> list[bytes]:
    """Return events without a picture as JSON, with rising numbers."""
    return [json.dumps(_EVENT | {"sequence_number": number}).encode() for number in range(count)]


def seconds_for(work: Callable[[], object], times: int = 500) -> float:
    """Return the seconds that `work` takes, as the mean of so many times."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def seconds_per_byte(n_bytes: int) -> float:
    """Return the seconds that a chunk of one byte takes, in an event of so many bytes."""
    line = b'data: {"type": "response.other", "padding": "' + b"x" * n_bytes + b'"}\n\n'
    chunks = [line[at : at + 1] for at in range(len(line))]
    decoder = EventDecoder()
    start = time.perf_counter()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    seconds = time.perf_counter() - start
    assert len(events) == 1
    return seconds / len(chunks)


# ---- memory


def peak_of_one_event(body: bytes) -> float:
    """Return the peak of memory while the largest event of a stream is read, in sizes of that event."""
    event = max(body.split(b"\n\n"), key=len) + b"\n\n"
    return _peak_of_bodies([event], Assembler()) / len(event)


def peak_of_stream(body: bytes) -> float:
    """Return the peak of memory while a whole stream is read, in sizes of the stream."""
    return _peak_of_bodies([body], Assembler()) / len(body)


def peak_of_latest(body: bytes, *, partials: int) -> float:
    """Return the peak of memory with `keep="latest"` over so many different partials, in sizes of one event."""
    event = _largest_partial(body)
    data = b64decode(event["partial_image_b64"])
    numbered = (
        event
        | {
            "partial_image_index": at,
            "sequence_number": at,
            "partial_image_b64": b64encode(data + bytes([at])).decode("ascii"),
        }
        for at in range(partials)
    )
    bodies = [sse([each]) for each in numbered]
    return _peak_of_bodies(bodies, Assembler(keep="latest")) / len(bodies[0])


def _largest_partial(body: bytes) -> dict[str, Any]:
    events = (event for event in EventDecoder().feed(body) if "partial_image_b64" in event)
    return max(events, key=lambda event: len(event["partial_image_b64"]))


def _peak_of_bodies(bodies: list[bytes], assembler: Assembler) -> int:
    with_imgassemble([b"data: {}\n\n"])  # loads the modules
    gc.collect()
    tracemalloc.start()
    for _ in iter_updates((chunk for body in bodies for chunk in _cut(body)), assembler):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _cut(body: bytes) -> Iterator[bytes]:
    """Yield the chunks of `body`, each made when it is read, as from a socket."""
    for at in range(0, len(body), CHUNK):
        yield body[at : at + CHUNK]


# ---- start-up

FIRST_MODEL = ["-c", """
import pydantic, PIL.Image
class Model(pydantic.BaseModel):
    type: str
Model(type="")
"""]  # fmt: skip
FIRST_FEED = ["-c", """
import imgassemble, PIL.Image
imgassemble.Assembler().feed({"type": "response.image_generation_call.generating", "item_id": "ig_1"})
"""]  # fmt: skip
IMPORTS = ["-c", "import pydantic, PIL.Image"]
HELP = ["-m", "imgassemble", "--help"]


def run_python(arguments: list[str]) -> None:
    """Run a new interpreter whose modules are compiled already, as they are after an installation."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": _compiled()}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)


def _compiled(_folder: list[tempfile.TemporaryDirectory[str]] = []) -> str:  # noqa: B006 - made once, and removed at the end
    if not _folder:
        _folder.append(tempfile.TemporaryDirectory())
    return _folder[0].name
