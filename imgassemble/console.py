"""What a command says, and the code with which it ends.

Knows: standard output and standard error, and that nobody may be reading them. Must not know: what a command does.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

OK, INCOMPLETE, NO_IMAGE, FAILED, UNREADABLE, STORAGE, USAGE, INTERRUPTED = 0, 3, 4, 5, 6, 7, 2, 130

EXIT_CODES = """\
exit codes (of several, the first):
  7    storage: a file cannot be written, or stands in the way
  6    nothing could be read, or pictures came and none could be used
  5    failed: the service said so
  4    no image: a refusal, a text answer, another kind of stream
  3    incomplete, or a final that is only the last preview
  0    every image has its final
  2    wrong use
  130  interrupted; what came is kept
"""


def say(text: str) -> None:
    """A line for people on standard error; where nobody reads it, nothing is lost."""
    write(sys.stderr, f"imgassemble: {text}")


def write(stream: TextIO | None, line: str) -> OSError | None:
    """Write a line at once; what goes wrong is the answer, and then the stream is quiet for good."""
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
