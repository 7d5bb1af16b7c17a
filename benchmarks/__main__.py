"""Runs the benchmarks and prints them as ratios: `python -m benchmarks`.

All sides get the same bytes in one process, in turn; a figure is the median of the rounds' ratios, with the least and
the greatest beside it. Absolute times on a shared machine mean little, the ratio inside one round means much.
"""

from __future__ import annotations

import argparse
import base64
import gc
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from PIL import Image

from imgassemble import Assembler, FinalReady, FrameAdded, Limits, iter_updates
from imgassemble.simulator import Call, base64_text, draw, encode, image_events, responses_stream, sharpen, sse
from imgassemble.simulator.pictures import Format
from imgassemble.sources import EventDecoder

from .screens import flood, longest_stall
from .viewers import viewer_costs

CHUNK = 16 * 1024  # bytes: what an HTTP client gives at a time
FORMATS: tuple[Format, ...] = ("PNG", "JPEG", "WEBP")


def make_stream(form: Format, size: tuple[int, int] = (1024, 1024)) -> bytes:
    """The body of one response: three partials, and a result that comes twice."""
    final = draw("an otter on a lake at dusk", size=size)
    *partials, result = (base64_text(encode(image, form)) for image in [*sharpen(final, 3), final])
    shape = "{}x{}".format(*size)
    call = Call(id="ig_1", partials=tuple(partials), result=result, format=form.lower(), size=shape)
    return sse(responses_stream(image_events(call), format=form.lower()))


def chunks_of(body: bytes, size: int = CHUNK) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


# ---- from the wire to frames


def with_imgassemble(chunks: list[bytes]) -> list[bytes]:
    updates = iter_updates(chunks)
    return [update.frame.data for update in updates if isinstance(update, (FrameAdded, FinalReady))]


def with_bare_loop(chunks: list[bytes]) -> list[bytes]:
    """The floor: splits lines, parses JSON and decodes base64 by the fastest means there are, and keeps no state."""
    from pybase64 import b64decode
    from pydantic_core import from_json

    frames = []
    for line in lines_of(chunks):
        if line.startswith(b"data: "):
            event = from_json(line[6:])
            if text := event.get("partial_image_b64") or (event.get("item") or {}).get("result"):
                frames.append(b64decode(text, validate=True))
            for item in (event.get("response") or {}).get("output") or ():
                b64decode(item["result"], validate=True)
    return frames


def lines_of(chunks: list[bytes]) -> Iterator[bytes]:
    pieces: list[bytes] = []
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            yield b"".join([*pieces, line])
            pieces = []
        pieces.append(rest)


def with_openai(chunks: list[bytes]) -> list[bytes]:
    """The loop that the documentation shows: the SDK's stream, its decoder and its types, and base64.b64decode."""
    import httpx2 as http
    from openai import OpenAI

    transport = http.MockTransport(
        lambda request: http.Response(200, headers={"content-type": "text/event-stream"}, content=iter(chunks))
    )
    client = OpenAI(api_key="none", base_url="http://localhost/v1", http_client=http.Client(transport=transport))
    frames = []
    for event in client.responses.create(model="gpt-5", input="an otter", stream=True):
        if event.type == "response.image_generation_call.partial_image":
            frames.append(base64.b64decode(event.partial_image_b64))
        elif event.type == "response.output_item.done" and event.item.type == "image_generation_call":
            frames.append(base64.b64decode(event.item.result or ""))
    return frames


# ---- from the wire to pixels


def pixels_with_imgassemble(chunks: list[bytes]) -> int:
    frames = (update.frame for update in iter_updates(chunks) if isinstance(update, (FrameAdded, FinalReady)))
    return sum(frame.decode().width for frame in frames)


def pixels_with_pillow(frames: list[bytes]) -> int:
    return sum(decoded(data).width for data in frames)


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# ---- memory, many items, the event loop, start-up


def peak_of_one_event(body: bytes) -> float:
    """The peak of memory while one event with a picture is taken, in sizes of that event."""
    line = max(body.split(b"\n\n"), key=lambda event: len(event) if b"partial_image_b64" in event else 0) + b"\n\n"
    chunks = (bytes(line[at : at + CHUNK]) for at in range(0, len(line), CHUNK))
    with_imgassemble([b"data: {}\n\n"])  # what is loaded once
    gc.collect()
    tracemalloc.start()
    for _ in iter_updates(chunks, Assembler()):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / len(line)


def seconds_per_event(items: int, events: int = 2_000) -> float:
    """What one more event costs, in seconds, with so many items held."""
    assembler = Assembler(limits=Limits(max_items=items + 1))
    kind = "response.image_generation_call.generating"
    for number in range(items):
        assembler.feed({"type": kind, "item_id": f"ig_{number}", "output_index": number})
    start = time.perf_counter()
    for number in range(events):
        assembler.feed({"type": kind, "item_id": f"ig_{number % items}", "output_index": number % items})
    return (time.perf_counter() - start) / events


def longest_step(body: bytes) -> float:
    """The longest time that taking one chunk holds an event loop, in seconds, the first frame included."""
    decoder, assembler, longest = EventDecoder(), Assembler(), 0.0
    for chunk in chunks_of(body):
        start = time.perf_counter()
        for event in decoder.feed(chunk):
            assembler.feed(event)
        longest = max(longest, time.perf_counter() - start)
    return longest


IMPORT_FLOOR = """
import pydantic, PIL.Image
class Model(pydantic.BaseModel):
    type: str
Model(type="")
"""
IMPORT_OURS = """
import imgassemble, PIL.Image
imgassemble.Assembler().feed({"type": "response.image_generation_call.generating", "item_id": "ig_1"})
"""


def run_python(code: str, cache: str) -> None:
    """Run `code` in a new interpreter whose modules are compiled already, as they are after an installation."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


# ---- measuring


def seconds(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratios(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> list[float]:
    """The time of `ours` as a multiple of the time of `theirs`, round by round, after one round that does not count."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds + 1)][1:]
    return [one / other for one, other in pairs]


def measure(rounds: int) -> Iterator[tuple[str, str, list[float]]]:
    """(what, goal, figures) one after the other."""
    bodies = {form: make_stream(form) for form in FORMATS}
    for form, body in bodies.items():
        chunks = chunks_of(body)
        frames = with_imgassemble(chunks)
        assert frames == with_openai(chunks) == with_bare_loop(chunks), "all sides must give the same frames"
        name = f"{form} 1024x1024"
        yield f"ingestion, {name}, to the bare loop", "1.25", ratios(
            partial(with_imgassemble, chunks), partial(with_bare_loop, chunks), rounds * 4
        )  # fmt: skip
        yield f"ingestion, {name}, openai's loop to ours", "", ratios(
            partial(with_openai, chunks), partial(with_imgassemble, chunks), max(1, rounds // 3)
        )  # fmt: skip
        yield f"wire to pixels, {name}, to Pillow alone", "1.10", ratios(
            partial(pixels_with_imgassemble, chunks), partial(pixels_with_pillow, frames), rounds
        )  # fmt: skip
    yield "peak memory of one event, in its sizes", "2.5", [peak_of_one_event(bodies["PNG"])]
    yield "an event without a picture, in microseconds", "", [seconds_per_event(10) * 1e6 for _ in range(rounds)]
    yield "an event at 100,000 items to one at 10", "1.5", [
        seconds_per_event(100_000) / seconds_per_event(10) for _ in range(max(1, rounds // 3))
    ]  # fmt: skip
    yield "longest hold of an event loop, in 5 ms", "1", [longest_step(bodies["PNG"]) / 0.005 for _ in range(rounds)]
    chunks = chunks_of(bodies["PNG"])
    yield "longest stall with 20 streams shown, in 5 ms", "1", [longest_stall(chunks) / 0.005 for _ in range(rounds)]
    yield "a preview told to a busy Refresher, in microseconds", "", [flood(chunks)[1] * 1e3 for _ in range(rounds)]
    yield from viewer_costs(rounds)
    with tempfile.TemporaryDirectory() as cache:
        yield "import and first feed to pydantic and PIL", "1.35", ratios(
            lambda: run_python(IMPORT_OURS, cache), lambda: run_python(IMPORT_FLOOR, cache), rounds * 2
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each comparison (default: 9)")
    parser.add_argument("--json", action="store_true", help="print lines of JSON")
    options = parser.parse_args()
    try:
        versions = ", ".join(f"{name} {version(name)}" for name in ("imgassemble", "pillow", "pydantic", "openai"))
    except PackageNotFoundError as missing:
        parser.error(f"the comparison needs {missing.name}: pip install --group bench")
    if not options.json:
        print(f"Python {platform.python_version()}, {versions}, {platform.machine()}\n")
        print(f"{'':<52}{'median':>8}{'least':>8}{'most':>8}{'goal':>7}")
    for what, goal, figures in measure(options.rounds):
        middle, least, most = statistics.median(figures), min(figures), max(figures)
        if options.json:
            print(json.dumps({"what": what, "median": middle, "least": least, "most": most, "goal": goal or None}))
        else:
            print(f"{what:<52}{middle:>8.2f}{least:>8.2f}{most:>8.2f}{goal:>7}", flush=True)


if __name__ == "__main__":
    main()
