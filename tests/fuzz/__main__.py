"""Fuzz one target for some seconds: `PYTHONPATH=tests python -m fuzz header --seconds 60`.

Bytes that break a law are written to a file in --findings, and the exit code is not 0; add them to FOUND in found.py,
with a description. It needs atheris (`pip install atheris`), which has wheels for Linux and macOS.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any


def main() -> None:
    options = _options()
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["imgassemble"]):
        import imgassemble.frames.frame
        import imgassemble.streams.sources
        import imgassemble.wire.sse  # noqa: F401 - imported here, so that they are instrumented
    from fuzz.seeds import seeds
    from fuzz.targets import TARGETS

    with tempfile.TemporaryDirectory() as folder:
        for at, seed in enumerate(seeds(options.target)):
            (Path(folder) / f"{at:04}").write_bytes(seed)
        options.findings.mkdir(parents=True, exist_ok=True)
        atheris.Setup([
            sys.argv[0], f"-max_total_time={options.seconds}", "-max_len=9000", "-timeout=20", "-rss_limit_mb=3000",
            "-print_final_stats=1", f"-artifact_prefix={options.findings}/{options.target}-", f"-seed={options.seed}",
            "-verbosity=1", folder,
        ], TARGETS[options.target])  # fmt: skip
        atheris.Fuzz()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz one target for some seconds.")
    parser.add_argument("target", choices=("sse", "feed", "header"))
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--findings", type=Path, default=Path(tempfile.gettempdir()) / "imgassemble-findings")
    return parser.parse_args()


main()
