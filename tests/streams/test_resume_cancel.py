"""`aresuming` is cancelled at every await, of every client, and leaves nothing open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("client", ["asyncio", "httpx", "aiohttp", "openai"])
def test_nothing_is_open_after_a_cancellation_at_each_await(client: str) -> None:
    if client != "asyncio":
        pytest.importorskip(client)
    folders = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent)])
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", str(HERE / "cancelling.py"), client],
        env=os.environ | {"PYTHONASYNCIODEBUG": "1", "PYTHONPATH": folders},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    assert int(ended.stdout) > 5  # awaits; fewer if pieces come together
