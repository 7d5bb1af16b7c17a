"""The outputs of the commands: results on standard output, progress on standard error, pictures on either.

Must not know: how a stream is read, exit codes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from ..assembly.listeners import call_each as call_each
from ..assembly.updates import Update
from ..console import say, write_line
from ..screens.progress import Progress

if TYPE_CHECKING:
    from ..screens.terminal import TerminalScreen


class ResultPrinter:
    """Prints the results of a command on standard output. A reader that has closed its end is not an error.

    error: the last error with which printing failed, for example a full disk; None if there was none.
    """

    def __init__(self) -> None:
        self.error: OSError | None = None

    def print(self, text: str) -> None:
        """Print a line."""
        self.report(write_line(sys.stdout, text))

    def print_update(self, update: Update) -> None:
        """Print an update as a line of JSON."""
        self.print(json.dumps(update.as_dict()))

    def report(self, *errors: Exception | None) -> None:
        """Keep and print the errors among `errors` that are failures to write."""
        for error in errors:
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                self.error = error
                say(f"the results cannot be written: {error.strerror}; redirect them to another place")


def progress_on_stderr(kinds: tuple[type, ...] | None = None) -> Progress:
    """Return a listener that prints updates on standard error: all, or only those of `kinds`."""
    return Progress(lambda line: write_line(sys.stderr, line), _has_colour, kinds)


def _has_colour() -> bool:
    is_terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return is_terminal and not os.environ.get("NO_COLOR")


@contextmanager
def open_screens(options: argparse.Namespace, output: TextIO | None) -> Iterator[tuple[TerminalScreen, ...]]:
    """Show pictures on `output`: give the screen, or no screen if `output` is None. Printed lines go above it."""
    if output is None:
        yield ()
        return
    from ..screens.terminal import TerminalScreen, printing_above

    with TerminalScreen(output, size=options.size, graphics=options.graphics) as screen, printing_above(screen):
        yield (screen,)
    if screen.error:
        write_line(output, "")  # fails again: this makes `output` quiet, so that Python's own flush cannot fail
