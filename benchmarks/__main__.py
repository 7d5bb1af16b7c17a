"""Runs the benchmarks and prints them as ratios: `python -m benchmarks`, and `--full` for all sizes and all rivals.

All sides get the same bytes in one process, in turn; a figure is the median of the rounds' ratios, with the least and
the greatest beside it. Absolute times on a shared machine mean little, the ratio inside one round means much.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from .lines import lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each comparison (default: 9)")
    parser.add_argument("--full", action="store_true", help="all sizes, all chunks and all rivals; takes some minutes")
    parser.add_argument(
        "--beside",
        default="",
        metavar="FOLDER",
        help="a folder with another version of openai, which is measured, too: "
        "pip install --no-deps --target FOLDER --group client-openai-2 distro",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only the lines that have TEXT in them")
    parser.add_argument("--json", action="store_true", help="print lines of JSON")
    parser.add_argument("--guard", action="store_true", help="fail where a line is beyond its bound")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    chosen = [line for line in lines(is_full=options.full, beside=options.beside) if options.only in line.what]
    if not chosen:
        parser.error(f"no line has {options.only!r} in it")
    if options.json:
        print(json.dumps({"python": platform.python_version(), "machine": platform.machine(), **dict(_versions())}))
    else:
        versions = ", ".join(map(" ".join, _versions()))
        print(f"Python {platform.python_version()}, {versions}, {platform.machine()}\n")
        print(f"{'':<60}{'median':>8}{'least':>8}{'most':>8}{'goal':>7}")
    beyond = []
    for line in chosen:
        figures = line.measure(options.rounds)
        if not figures:
            continue
        middle, least, most = statistics.median(figures), min(figures), max(figures)
        facts = {"what": line.what, "median": middle, "least": least, "most": most, "goal": line.goal}
        goal = "" if line.goal is None else f"{line.goal:g}"
        shown = f"{line.what:<60}{middle:>8.2f}{least:>8.2f}{most:>8.2f}{goal:>7}"
        print(json.dumps(facts) if options.json else shown, flush=True)
        if line.is_beyond(figures):
            beyond.append(f"{line.what}: {least:.2f}, and the bound is {line.bound:g}")
    if options.guard:
        print(*beyond, sep="\n", file=sys.stderr)
    return bool(options.guard and beyond)


def _versions() -> Iterator[tuple[str, str]]:
    for name in ("imgassemble", "pillow", "pydantic", "openai", "openrouter", "httpx-sse"):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


if __name__ == "__main__":
    sys.exit(main())
