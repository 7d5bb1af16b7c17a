"""Print lines on standard output and standard error, also if these are closed or have no reader.

A passing line stands at the bottom of a terminal until the next line or the next passing line overwrites it.
Must not know: the work of a command.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from threading import RLock
from typing import TextIO

_LOCK = RLock()  # a thread shows passing lines while another one prints
_passing_width = 0  # letters of the passing line


def say(text: str) -> None:
    """Print a line for people on standard error; a failure to print it is ignored."""
    write_line(sys.stderr, f"imgassemble: {text}")


def write_line(stream: TextIO | None, line: str) -> OSError | None:
    """Write a line and flush it. Return the error if that fails; later lines to this stream are then dropped."""
    with _LOCK:
        if is_terminal(stream):
            show_passing("")
        return _write(stream, f"{line}\n")


def show_passing(text: str) -> None:
    """Show `text` at the bottom of the terminal of standard error, in place of the passing line; "" removes that."""
    global _passing_width
    with _LOCK:
        if text or _passing_width:
            shown = text[: shutil.get_terminal_size().columns - 1]
            _write(sys.stderr, f"{shown.ljust(_passing_width)}\r")
            _passing_width = len(shown)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether `stream` is a terminal on which a line can be overwritten."""
    with suppress(OSError, ValueError, AttributeError):  # it is closed, or there is none
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    return False


def _write(stream: TextIO | None, text: str) -> OSError | None:
    if stream is None or stream.closed:
        return None
    try:
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as cause:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return cause
    return None
