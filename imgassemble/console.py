"""Print lines on standard output and standard error, also if these are closed or have no reader.

Must not know: the work of a command.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def say(text: str) -> None:
    """Print a line for people on standard error; a failure to print it is ignored."""
    write_line(sys.stderr, f"imgassemble: {text}")


def write_line(stream: TextIO | None, line: str) -> OSError | None:
    """Write a line and flush it. Return the error if that fails; later lines to this stream are then dropped."""
    if stream is None or stream.closed:
        return None
    try:
        encoding = stream.encoding or "utf-8"
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError as cause:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return cause
    return None
