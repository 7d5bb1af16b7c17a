"""Standard input is read as it comes, with a limit on silence, by `select` and by a thread."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from imgassemble.cli.stdin import _reader, _reader_in_thread


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    os.close(ends[0])


@pytest.mark.parametrize("reader", [_reader, _reader_in_thread])
def test_bytes_come_at_once_and_a_silence_is_none(reader: Any, pipe: tuple[int, int]) -> None:
    read = reader(pipe[0])
    assert read(0.01) is None
    os.write(pipe[1], b"an otter")
    assert read(None) == b"an otter"
    assert read(0.01) is None
    os.close(pipe[1])
    assert read(10.0) == b""


def test_an_error_of_the_reading_thread_is_raised(pipe: tuple[int, int]) -> None:
    read = _reader_in_thread(pipe[1])  # which cannot be read
    with pytest.raises(OSError):
        read(10.0)
    os.close(pipe[1])


def test_python_ends_while_a_thread_reads_standard_input() -> None:
    program = "from imgassemble.cli.stdin import _reader_in_thread; print(_reader_in_thread(0)(0.01))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.wait(timeout=20) == 0
        assert process.stdout
        assert process.stderr
        assert (process.stdout.read(), process.stderr.read()) == (b"None\n", b"")
