"""Short forms of the soak scripts: twenty kills, some seconds of load, and storage that fails."""

from __future__ import annotations

import pytest

from soak import disk, kill


def test_no_half_of_a_file_stands_under_its_name_after_twenty_kills() -> None:
    figures = kill.kill_often(20)
    assert figures.halves == []
    assert figures.killed > 10
    assert figures.files > 50


@pytest.mark.parametrize("name", list(disk.CASES))
def test_storage_that_fails_is_told_and_the_stream_goes_on(name: str) -> None:
    try:
        error = disk.CASES[name]()
    except disk.NotHereError as reason:
        pytest.skip(str(reason))
    assert error.path is not None
    assert error.path in str(error)


def test_fifty_streams_at_a_time_lose_nothing() -> None:
    for name in ("starlette", "uvicorn", "python_multipart"):
        pytest.importorskip(name, reason="the server needs the extra web: pip install 'imgassemble[web]'")
    from soak.load import AT_A_TIME, load

    figures = load(3)
    assert figures.lost == []
    assert figures.streams >= AT_A_TIME
    assert figures.growth < 0.5  # the time is short; .ci/soak takes ten minutes
