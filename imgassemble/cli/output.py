"""The outputs of the commands: results on standard output, progress on standard error, pictures on either.

Must not know: how a stream is read, exit codes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..assembly.listeners import call_each as call_each
from ..assembly.updates import Update
from ..console import is_terminal, say, write_line
from ..errors import SinkError, printable
from ..screens.progress import Progress

if TYPE_CHECKING:
    from ..screens.terminal import TerminalScreen
    from ..storage.directory import DirectorySink


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


def describe_files(sink: DirectorySink, directory: Path, error: SinkError | None, *, awaited: str) -> str:
    """Return a line that says which files `sink` has written, which it found, and in which folders they are.

    awaited: the kind of picture that the sink would have written.
    """
    found = set(sink.paths_found)
    written = [path for path in sink.paths if path not in found]
    parts = []
    if _is_any_picture(written):
        parts.append(f"saved {_count_pictures(written)} in {_place_of(written, directory)}")
    if _is_any_picture(found):
        parts.append(f"{_count_pictures(found)} already in {_place_of(found, directory)}, with the same bytes")
    if error:
        parts.append(f"{'not everything' if parts else 'nothing'} is saved: {error}")
    return "; ".join(parts or [f"no {awaited} came; nothing is saved"])


_KINDS = {"final": "final", "partial": "preview", "rejected": "refused picture"}  # the beginnings of file names


def _is_any_picture(paths: Iterable[Path]) -> bool:
    return any(path.name != "item.json" for path in paths)


def _count_pictures(paths: Iterable[Path]) -> str:
    """Return "1 final and 2 previews"."""
    counts = Counter(_KINDS[path.stem.partition("-")[0]] for path in paths if path.name != "item.json")
    texts = [f"{counts[kind]} {kind}{'s' if counts[kind] > 1 else ''}" for kind in _KINDS.values() if counts[kind]]
    return " and ".join(texts)


def _place_of(paths: Iterable[Path], directory: Path) -> str:
    folders = {path.parent for path in paths if path.name != "item.json"}
    return (
        printable(str(min(folders))) if len(folders) == 1 else f"{len(folders)} folders of {printable(str(directory))}"
    )


def progress_on_stderr(kinds: tuple[type, ...] | None = None) -> Progress:
    """Return a listener that prints updates on standard error: all, or only those of `kinds`."""
    return Progress(lambda line: write_line(sys.stderr, line), _has_colour, kinds)


def _has_colour() -> bool:
    return is_terminal(sys.stderr) and not os.environ.get("NO_COLOR")


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
