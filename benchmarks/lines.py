"""Lists the lines of the benchmark: the measurement, its goal, and the bound beyond which CI fails."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from shutil import which
from statistics import median
from typing import Any

from imgassemble.simulator.pictures import Format
from imgassemble.streams.decoding.decoder import EventDecoder

from . import costs, rivals
from .screens import flood, stalls
from .streams import CHUNK, FORMATS, SQUARE, chunks_of, make_chat, make_stream

_HOLD_S = 0.005  # the longest time that an event loop may be held
_SHORTEST_S = 0.02  # the shortest time of a round of a comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: its text, its measurement (rounds → figures, none if it cannot be measured here), goal and bound.

    The bound is for the least figure, which a busy machine does not raise. It stands near the reached figures.
    """

    what: str
    measure: Callable[[int], list[float]]
    goal: float | None = None
    bound: float | None = None

    def is_beyond(self, figures: list[float]) -> bool:
        return self.bound is not None and min(figures, default=0.0) > self.bound


def lines(*, is_full: bool, beside: str = "") -> Iterator[Line]:
    """Yield the lines in order. `beside`: a folder with another version of openai, which is measured, too."""
    for form in FORMATS:
        yield from _ingestion(form, SQUARE, CHUNK)
        yield from _rivals(form, is_full=is_full, beside=beside)
        yield from _pixels(form, SQUARE)
    yield from _ingestion("JPEG", SQUARE, CHUNK, items=10)
    if is_full:
        for form in FORMATS:
            for size in (SQUARE, (1536, 1024), (3840, 2160)):
                for n_bytes in (1_400, CHUNK, 256 * 1024):
                    if (size, n_bytes) != (SQUARE, CHUNK):
                        yield from _ingestion(form, size, n_bytes)
                if size != SQUARE:
                    yield from _pixels(form, size)
    yield from _events()
    yield from _memory()
    yield from _loop()
    yield from _files_and_previews()
    yield from _viewers()
    yield from _processes(is_full=is_full)
    yield from _start_up()


# ---- from the wire to frames and to pixels

_GOALS: dict[Format, float] = {"PNG": 1.25, "JPEG": 3.5, "WEBP": 3.5}
_PIXEL_GOALS: dict[Format, float] = {"PNG": 1.07, "JPEG": 1.15, "WEBP": 1.07}
# A third more than was measured. A JPEG or a WebP has some tens of kilobytes, so the fixed cost of an event shows.
_BOUNDS: dict[Format, float] = {"PNG": 2.5, "JPEG": 10.0, "WEBP": 11.0}
_MOST_INSTRUCTIONS = 1_170  # for an event without a picture: a little more than Python 3.11 needs


def _ingestion(form: Format, size: tuple[int, int], n_bytes: int, items: int = 1) -> Iterator[Line]:
    many, cut = "" if items == 1 else f"{items} items of ", "" if n_bytes == CHUNK else f" by {n_bytes:,} bytes"
    name = f"{many}{_named(form, size)}{cut}"

    def measure(rounds: int) -> list[float]:
        chunks = chunks_of(make_stream(form, size, items), n_bytes)
        assert costs.with_imgassemble(chunks) == rivals.with_bare_loop(chunks), "all sides must give the same frames"
        ours, theirs = partial(costs.with_imgassemble, chunks), partial(rivals.with_bare_loop, chunks)
        return ratios(ours, theirs, rounds * 2 if size == SQUARE else rounds)

    bound = _BOUNDS[form] if size == SQUARE and n_bytes == CHUNK and items == 1 else None
    yield Line(what=f"ingestion, {name}, to the bare loop", measure=measure, goal=_GOALS[form], bound=bound)


_Loop = Callable[[list[bytes]], list[bytes]]


def _rivals(form: Format, *, is_full: bool, beside: str) -> Iterator[Line]:
    def measure(loop: _Loop, other: _Loop, rounds: int) -> list[float]:
        chunks = chunks_of(make_stream(form))
        assert other(chunks) == loop(chunks), "all sides must give the same frames"
        # The SDKs' decoders are slow, and one of them takes seconds.
        return ratios(partial(loop, chunks), partial(other, chunks), max(1, rounds // 4))

    what = f"ingestion, {_named(form, SQUARE)}"
    for name, module, loop in rivals.RIVALS if is_full else rivals.RIVALS[:1]:
        if rivals.is_here(module):
            yield Line(what=f"{what}, {name} to ours", measure=partial(measure, loop, costs.with_imgassemble))
            if is_full:
                yield Line(
                    what=f"{what}, {name} to the bare loop", measure=partial(measure, loop, rivals.with_bare_loop)
                )

    if beside:
        what_elsewhere = f"{what}, openai to ours"
        name = f"openai {rivals.version_in(beside)}"
        yield Line(what=f"{what}, {name} to ours", measure=partial(_elsewhere, what_elsewhere, beside))

    def copying(rounds: int) -> list[float]:
        chunks = chunks_of(make_stream(form))
        return ratios(partial(costs.with_imgassemble, chunks), partial(rivals.copied, chunks), rounds)

    if is_full:
        yield Line(what=f"{what}, to a copy of the bytes", measure=copying)


def _elsewhere(what: str, beside: str, rounds: int) -> list[float]:
    """Return the least, the middle and the largest figure of this line, with the packages in `beside`."""
    command = [sys.executable, "-m", "benchmarks", "--json", "--rounds", str(rounds), "--only", what]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([beside, *filter(None, sys.path)])}
    run = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
    _versions, line = map(json.loads, run.stdout.splitlines())
    return [line["least"], line["median"], line["most"]]


def _pixels(form: Format, size: tuple[int, int]) -> Iterator[Line]:
    def measure(loop: Callable[[list[bytes]], int], rounds: int) -> list[float]:
        chunks = chunks_of(make_stream(form, size))
        frames = costs.with_imgassemble(chunks)
        return ratios(partial(loop, chunks), partial(rivals.with_pillow, frames), rounds)

    what, bound = f"wire to pixels, {_named(form, size)}, to Pillow alone", 1.5 if size == SQUARE else None
    yield Line(what=what, measure=partial(measure, costs.pixels_with_imgassemble), goal=_PIXEL_GOALS[form], bound=bound)
    what = f"wire to pixels, {_named(form, size)}, bare loop to Pillow"
    yield Line(what=what, measure=partial(measure, rivals.pixels_with_bare_loop))


def _named(form: Format, size: tuple[int, int]) -> str:
    return f"{form} {size[0]}x{size[1]}"


# ---- the costs of an event, a chunk and a stream


def _events() -> Iterator[Line]:
    def by_items(items: int, rounds: int) -> list[float]:
        return [costs.seconds_per_event(items) / costs.seconds_per_event(10) for _ in range(max(1, rounds // 3))]

    def by_partials(rounds: int) -> list[float]:
        return [costs.seconds_per_partial(100) / costs.seconds_per_partial(10) for _ in range(rounds)]

    def linear(rounds: int) -> list[float]:
        return [costs.seconds_per_byte(200_000) / costs.seconds_per_byte(100_000) for _ in range(rounds)]

    yield Line(
        what="an event without a picture, in microseconds",
        measure=lambda rounds: [costs.seconds_per_event(10) * 1e6 for _ in range(rounds)],
    )
    yield Line(
        what="an event without a picture, in instructions of Python",
        measure=lambda _: [costs.instructions_per_event()],
        goal=850,
        bound=_MOST_INSTRUCTIONS,
    )
    yield Line(
        what="how often an event's JSON, fields or base64 are read",
        measure=lambda _: [costs.reads_of_one_event(make_stream("PNG"))],
        goal=1,
        bound=1,
    )
    yield Line(
        what="an event as JSON with rising numbers, to one plain model",
        measure=_numbered,
        goal=6,
        bound=7.5,
    )
    for form in FORMATS[1:]:
        yield Line(
            what=f"an event in the bare loop, {_named(form, SQUARE)}, in microseconds",
            measure=partial(_in_the_bare_loop, form),
        )
    yield Line(
        what="a partial after 100 of its item to one after 10",
        measure=by_partials,
        goal=1.5,
        bound=2.5,
    )
    for items in (1_000, 100_000):
        what = f"an event at {items:,} items to one at 10"
        yield Line(what=what, measure=partial(by_items, items), goal=1.3, bound=2)
    yield Line(
        what="a chunk of one byte, in microseconds",
        measure=lambda rounds: [costs.seconds_per_byte(100_000) * 1e6 for _ in range(rounds)],
    )
    yield Line(what="a chunk of one byte in an event twice as long", measure=linear, goal=1.2, bound=1.7)
    for name, events in (("openai", rivals.openai_events), ("openrouter", rivals.openrouter_events)):
        if rivals.is_here(name):
            for which, has_pictures in (("with pictures", True), ("without", False)):
                what = f"{name}'s own objects {which}, to mappings"
                measure = partial(_objects, events, has_pictures=has_pictures)
                yield Line(what=what, measure=measure, goal=1.3, bound=1.25)


def _numbered(rounds: int) -> list[float]:
    events = costs.numbered_events(1_000)
    return ratios(partial(costs.fed, events), partial(rivals.validated, events), rounds)


def _in_the_bare_loop(form: Format, rounds: int) -> list[float]:
    body = make_stream(form)
    chunks, events = chunks_of(body), body.count(b"data: ")
    return [costs.seconds_for(lambda: rivals.with_bare_loop(chunks)) / events * 1e6 for _ in range(rounds)]


def _objects(events: Callable[[list[bytes]], Iterator[Any]], rounds: int, *, has_pictures: bool) -> list[float]:
    chunks = chunks_of(make_stream("JPEG", items=10))
    pairs = zip(events(chunks), EventDecoder().feed(b"".join(chunks)), strict=True)
    chosen = [(own, mapping) for own, mapping in pairs if has_pictures or len(str(mapping)) < _LONGEST_WITHOUT_PICTURE]
    objects, mappings = map(list, zip(*chosen, strict=True))
    assert costs.fed(objects) == costs.fed(mappings), "both must give the same items"
    return ratios(partial(costs.fed, objects), partial(costs.fed, mappings), rounds)


_LONGEST_WITHOUT_PICTURE = 4_000  # characters


def _memory() -> Iterator[Line]:
    png = partial(make_stream, "PNG")
    for what, body in (("one event", png), ("one event of a chat", make_chat)):
        yield Line(
            what=f"peak memory of {what}, in its sizes",
            measure=lambda _, body=body: [costs.peak_of_one_event(body())],  # type: ignore[misc]
            goal=1.85,
            bound=1.95,
        )
    yield Line(
        what="peak memory of a stream, PNG 1024x1024, in its bytes",
        measure=lambda _: [costs.peak_of_stream(png())],
        bound=1.05,
    )
    yield Line(
        what='keep="latest": peak of 30 partials to that of 3',
        measure=lambda _: [costs.peak_of_latest(png(), partials=30) / costs.peak_of_latest(png(), partials=3)],
        goal=1.1,
        bound=1.1,
    )


# ---- the event loop, screens, files, viewers, start-up


def _loop() -> Iterator[Line]:
    body = partial(make_stream, "PNG")

    def held(rounds: int) -> list[float]:
        command = [sys.executable, "-m", "benchmarks.hold"]
        runs = (subprocess.run(command, check=True, input=body(), stdout=subprocess.PIPE) for _ in range(rounds))
        return [float(run.stdout) / _HOLD_S for run in runs]

    def stalled(rounds: int, *, share: float, streams: int, is_paced: bool) -> list[float]:
        chunks = chunks_of(body())
        runs = (stalls(chunks, streams=streams, is_paced=is_paced) for _ in range((rounds + 1) // 2))
        return [run[int(share * (len(run) - 1))] / _HOLD_S for run in runs]

    def flooded(rounds: int) -> list[float]:
        return [flood(chunks_of(body())) * 1e6 for _ in range(rounds)]

    yield Line(what="longest hold of a loop by a chunk, the first too, in 5 ms", measure=held, goal=1, bound=2)
    for what, streams, is_paced in (
        ("one stream at full speed", 1, False),
        ("20 streams over a gigabit line", 20, True),
        ("20 streams at full speed", 20, False),
    ):
        goal = None if streams > 1 and not is_paced else 1
        measure = partial(stalled, share=1.0, streams=streams, is_paced=is_paced)
        yield Line(what=f"longest stall, {what}, in 5 ms", measure=measure, goal=goal)
    measure = partial(stalled, share=0.95, streams=20, is_paced=False)
    yield Line(what="95 % of stalls, 20 streams at full speed, in 5 ms", measure=measure, goal=1, bound=1.5)
    yield Line(what="a preview passed to a busy Refresher, in microseconds", measure=flooded)


def _files_and_previews() -> Iterator[Line]:
    yield Line(what="a stream onto the disk, to the bare loop and plain writes", measure=_saving, goal=1.5, bound=3.2)
    yield Line(what="a durable stream onto the disk, to one with plain syncs", measure=_syncing, goal=1.5)
    for name, what, most in (
        ("replace", "files written for a result and three partials", 6),
        ("fsync", "syncs for a durable result in two new folders", 5),
    ):
        yield Line(what=what, measure=partial(_file_calls, name), goal=most, bound=most)
    for form in FORMATS:
        for side in (512, 256):
            what = f"a preview of {side} pixels, {_named(form, SQUARE)}, to all of it"
            bound = 1.0 if form == "JPEG" and side == 256 else None
            yield Line(what=what, measure=partial(_previewing, form, side), bound=bound)


def _saving(rounds: int) -> list[float]:
    chunks = chunks_of(make_stream("PNG"))

    def plain(folder: Path) -> None:
        rivals.written(rivals.with_bare_loop(chunks), folder)

    return [_in_new_folders(partial(costs.saved, chunks, durable=False), plain) for _ in range(rounds)]


def _syncing(rounds: int) -> list[float]:
    chunks = chunks_of(make_stream("PNG"))

    def plain(folder: Path) -> None:
        rivals.written(rivals.with_bare_loop(chunks), folder, is_synced=True)

    return [_in_new_folders(partial(costs.saved, chunks, durable=True), plain) for _ in range((rounds + 1) // 2)]


def _file_calls(name: str, _rounds: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        return [costs.calls_while_saving(chunks_of(make_stream("PNG")), Path(folder) / "new", name)]


_FOLDERS = 12  # in a round, for each side


def _in_new_folders(ours: Callable[[Path], object], theirs: Callable[[Path], object]) -> float:
    """Return the time of `ours` divided by that of `theirs`: medians of several runs, each in a new folder.

    The sides take turns. A folder is removed at once, so that the disk has less to write.
    """
    sides = (ours, theirs)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_FOLDERS):
        for side, found in zip(sides, seconds, strict=True):
            with tempfile.TemporaryDirectory() as folder:
                found.append(_seconds(partial(side, Path(folder) / "new"), 1))
    return median(seconds[0]) / median(seconds[1])


def _previewing(form: Format, side: int, rounds: int) -> list[float]:
    *_, frame = costs.frames_of(chunks_of(make_stream(form)))
    return ratios(lambda: frame.thumbnail((side, side)), frame.decode, (rounds + 1) // 2)


def _viewers() -> Iterator[Line]:
    if not (rivals.is_here("uvicorn") and rivals.is_here("starlette")):
        return
    from .updates import bytes_of_update, feeding_beside_small_pictures
    from .viewers import AT_A_PACE, AT_FULL_SPEED, LATE, MEMORY, VERY_LATE  # needs uvicorn and starlette

    measured: dict[str, list[float]] = {}

    def measure(what: str, rounds: int) -> list[float]:
        if not measured:
            measured.update(_in_a_process("benchmarks.viewers", rounds))
        return measured[what]

    for what, goal in ((MEMORY, 1.0), (AT_A_PACE, 1.25), (AT_FULL_SPEED, None), (LATE, None), (VERY_LATE, 1.0)):
        yield Line(what=what, measure=partial(measure, what), goal=goal, bound=2.0 if what is VERY_LATE else None)
    for name, number in (("2nd", 2), ("20th", 20)):
        yield Line(
            what=f"bytes to a viewer after the {name} preview",
            measure=lambda _, number=number: [bytes_of_update(number)],  # type: ignore[misc]
            goal=800,
            bound=800,
        )
    yield Line(
        what="feeding beside small pictures for viewers, to alone",
        measure=lambda rounds: feeding_beside_small_pictures(chunks_of(make_stream("PNG")), (rounds + 1) // 2),
        goal=1.02,
        bound=1.1,
    )


def _processes(*, is_full: bool) -> Iterator[Line]:
    has_server = which("redis-server") or which("valkey-server")
    if not (has_server and all(map(rivals.is_here, ("redis", "uvicorn", "starlette")))):
        print("without a gallery on Redis: apt install redis-server; pip install '.[web,redis]'", file=sys.stderr)
        return
    from .redis_galleries import BYTES, FAR, HOLD, MEMORY, SECONDS, TIME

    measured: dict[str, list[float]] = {}

    def measure(what: str, rounds: int) -> list[float]:
        if not measured:
            measured.update(_in_a_process("benchmarks.redis_galleries", "near", rounds))
        return measured[what]

    for what, goal, bound in (
        (TIME, 2.0, 3.0), (SECONDS, None, None), (BYTES, 1.05, 1.05), (MEMORY, 1.1, 1.15), (HOLD, 1.0, None),
    ):  # fmt: skip
        yield Line(what=what, measure=partial(measure, what), goal=goal, bound=bound)
    if is_full:
        far = partial(_in_a_process, "benchmarks.redis_galleries", "far")
        yield Line(what=FAR, measure=lambda rounds: far(min(rounds, 3))[FAR], goal=2.0)


def _in_a_process(module: str, *arguments: object) -> Any:
    """Return the figures that a module prints: nothing else has used the memory of its process."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _start_up() -> Iterator[Line]:
    for what, ours, theirs, goal, bound in (
        ("import and first feed, to pydantic, PIL and a model", costs.FIRST_FEED, costs.FIRST_MODEL, 0.8, 0.92),
        ("imgassemble --help, to importing pydantic and PIL", costs.HELP, costs.IMPORTS, 1.7, 2.2),
    ):
        yield Line(what=what, measure=partial(_started, ours, theirs), goal=goal, bound=bound)


def _started(ours: list[str], theirs: list[str], rounds: int) -> list[float]:
    """Return the ratio of the medians of the faster half of many starts: a disturbance only makes a start slower."""
    runs: dict[str, list[float]] = {"ours": [], "theirs": []}
    for arguments in (ours, theirs):
        costs.run_python(arguments)  # compiles the modules
    for _ in range(rounds * _STARTS):
        for side, arguments in (("ours", ours), ("theirs", theirs)):
            runs[side].append(_seconds(partial(costs.run_python, arguments), 1))
    quiet = {side: median(sorted(seconds)[: (len(seconds) + 1) // 2]) for side, seconds in runs.items()}
    return [quiet["ours"] / quiet["theirs"]]


_STARTS = 5  # in a round, on each side


# ---- measuring


def ratios(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> list[float]:
    """Return the time of `ours` divided by the time of `theirs` for each round, after one round that does not count.

    Short work is repeated in a round, equally often on both sides, so that the clock and garbage collection disturb
    little.
    """
    times = ceil(_SHORTEST_S / (_seconds(ours, 1) + _seconds(theirs, 1)))
    found = []
    for number in range(rounds):
        if number % 2:  # neither side always comes first
            other, one = _seconds(theirs, times), _seconds(ours, times)
        else:
            one, other = _seconds(ours, times), _seconds(theirs, times)
        found.append(one / other)
    return found


def _seconds(work: Callable[[], object], times: int) -> float:
    gc.collect()
    start = time.perf_counter()
    for _ in range(times):
        work()
    return time.perf_counter() - start
