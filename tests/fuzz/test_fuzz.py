"""Fuzzing, as tests: the seeds and the earlier findings always, and twenty seconds of search for each target in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fuzz.found import FOUND
from fuzz.seeds import seeds
from fuzz.targets import TARGETS

_IN_CI = os.environ.get("CI") == "true" and find_spec("atheris") is not None
_WHY_NOT = "the search runs in CI, where atheris is: CI=true, and pip install atheris (Linux and macOS have wheels)"


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_laws_hold_for_every_seed(target: str) -> None:
    assert len(seeds(target)) > 50
    for seed in seeds(target):
        TARGETS[target](seed)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_the_laws_hold_for_every_seed_cut_short_or_spoilt(target: str) -> None:
    for at, seed in enumerate(seeds(target)):
        place = (at * 7_919) % (len(seed) + 1)
        TARGETS[target](seed[:place])
        TARGETS[target](seed[:place] + bytes([at % 256]) + seed[place + 1 :])


@pytest.mark.parametrize(("target", "what"), [(target, what) for target, found in FOUND.items() for what in found])
def test_what_was_found_once_is_mended(target: str, what: str) -> None:
    TARGETS[target](FOUND[target][what])


@pytest.mark.skipif(not _IN_CI, reason=_WHY_NOT)
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_twenty_seconds_of_search_find_nothing(target: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "fuzz", target, "--seconds", "20", "--findings", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "stat::number_of_executed_units" in done.stderr
