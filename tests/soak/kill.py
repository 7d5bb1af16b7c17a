"""Kill `imgassemble save` at random moments: `PYTHONPATH=tests python -m soak.kill 300`.

The streams of the Responses API and of the Images API take turns. No half-written picture or JSON may have its final
name, and a run with `--resume` must end with the files of a run that was not killed. The process is killed after a
random byte of its stream, while it still works through the bytes in the pipe. So the moment is random, and the test
does not sleep.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import samples
from samples import png_chunk

from imgassemble import DirectorySink, assemble
from imgassemble.storage.earlier_run import EarlierRun
from imgassemble.storage.folder_names import folder_name
from imgassemble.storage.saved_items import read_items

ITEMS, PARTIALS = 4, 12
_PADDING_BYTES = 6_000  # a picture that takes more than one page


@dataclass(slots=True, kw_only=True)
class Figures:
    """The sums over all runs. `halves`: incomplete files and folders, of which there must be none."""

    runs: int = 0
    killed: int = 0
    files: int = 0
    temporary: int = 0
    halves: list[str] = field(default_factory=list)


def picture(item: int, index: int) -> bytes:
    """Return a picture for one place: a different one for each, of some kilobytes."""
    small = samples.png(colour=(item, index, 7))
    noise = Random(item * 1_000 + index).randbytes(_PADDING_BYTES)
    return small[:-12] + png_chunk(b"teSt", noise) + small[-12:]


def responses_stream() -> bytes:
    """Return a stream whose images are made side by side, and have ids."""
    partials = [
        samples.partial(f"ig_{item}", at, picture(item, at), output_index=item)
        for at in range(PARTIALS)
        for item in range(ITEMS)
    ]
    results = [samples.done(f"ig_{item}", picture(item, PARTIALS), output_index=item) for item in range(ITEMS)]
    return samples.sse([*partials, *results])


def images_stream() -> bytes:
    """Return a stream whose images are made one after the other, and have no ids."""
    events = []
    for item in range(ITEMS):
        events += [samples.image_partial(at, picture(item, at)) for at in range(PARTIALS)]
        events.append(samples.image_completed(picture(item, PARTIALS)))
    return samples.sse(events)


STREAMS = {"ig": responses_stream, "image": images_stream}  # by the beginning of the item ids
SEPARATORS = {"ig": "_", "image": "-"}


def kill_often(times: int, *, seed: int = 0) -> Figures:
    """Run and kill the command so many times; return the sums."""
    figures, chance = Figures(), Random(seed)
    bodies = {name: stream() for name, stream in STREAMS.items()}
    wholes = {}
    for name, body in bodies.items():
        with tempfile.TemporaryDirectory() as folder:
            _go_on(body, Path(folder))
            wholes[name] = _files(Path(folder))
    for number in range(times):
        name = list(STREAMS)[number % len(STREAMS)]
        body, whole = bodies[name], wholes[name]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            figures.runs += 1
            figures.killed += _killed(body, chance.randint(0, len(body)), out)
            _look(out, name, figures)
            _go_on(body, out)
            found = _files(out)
            unlike = [file for file in sorted(found | whole) if found.get(file) != whole.get(file)]
            figures.halves += [
                f"{file}: after --resume not equal to that of a run that was not killed" for file in unlike
            ]
    return figures


def _go_on(body: bytes, out: Path) -> None:
    """Do the same as `imgassemble save - -o OUT --resume` in this process, which starts a hundred times as fast."""
    assemble([body], sinks=[DirectorySink(out, existing="continue")])


def _files(out: Path) -> dict[str, Any]:
    """Return every file below `out`, with the temporary ones; item.json without the arrival times."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return {name: _without_times(json.loads(data)) if name.endswith(".json") else data for name, data in found.items()}


def _without_times(facts: dict[str, Any]) -> dict[str, Any]:
    for frame in (*facts["partials"], facts["final"] or {}):
        frame.pop("received_at", None)
    return facts


def _killed(body: bytes, at: int, out: Path) -> bool:
    """Save `body` up to a byte, and kill the process. Return whether it was still running."""
    command = [sys.executable, "-m", "imgassemble", "save", "-", "-o", str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        assert run.stdin is not None
        run.stdin.write(body[:at])
        run.stdin.flush()
        run.kill()
        with suppress(BrokenPipeError):
            run.stdin.close()
        return run.wait() == -9


def _look(out: Path, name: str, figures: Figures) -> None:
    if not out.exists():
        return
    for item in range(ITEMS):
        item_id = f"{name}{SEPARATORS[name]}{item}"
        folder = out / folder_name(item_id)
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            figures.files += 1
            if path.name.startswith(".imgassemble-"):
                figures.temporary += 1
            elif not _is_whole(path, item, item_id):
                figures.halves.append(f"{path.relative_to(out)}: {path.stat().st_size} bytes")
    # And the files can be continued.
    result = assemble(EarlierRun(read_items(out), drops_partials=False).events())
    assert not result.anomalies
    assert not [anomaly for each in result.items.values() for anomaly in each.anomalies]


def _is_whole(path: Path, item: int, item_id: str) -> bool:
    if path.name == "item.json":
        facts = json.loads(path.read_bytes())
        frames = [*facts["partials"], *filter(None, [facts["final"]])]
        return facts["id"] == item_id and all(
            _is_described_by(frame, (path.parent / frame["file"]).read_bytes()) for frame in frames
        )
    index = PARTIALS if path.stem == "final" else int(path.stem.removeprefix("partial-"))
    return path.read_bytes() == picture(item, index)


def _is_described_by(frame: dict[str, Any], data: bytes) -> bool:
    return len(data) == frame["bytes"] and frame.get("sha256", "") in ("", sha256(data).hexdigest())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m soak.kill", description="Kill `imgassemble save` again and again.")
    parser.add_argument("times", type=int, nargs="?", default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    figures = kill_often(options.times, seed=options.seed)
    print(f"{figures.runs} runs, {figures.killed} killed; {figures.files} files were left, {figures.temporary} of them "
          f"under a temporary name; half-written, or not made whole by --resume: {len(figures.halves)}")  # fmt: skip
    print(*figures.halves, sep="\n")
    sys.exit(bool(figures.halves))


if __name__ == "__main__":
    main()
