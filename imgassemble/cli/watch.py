"""The command `imgassemble watch`: show a stream in the terminal as it arrives.

Must not know: how a stream is read, how a picture is drawn.
"""

from __future__ import annotations

import argparse
import sys

from ..assembly.assembler import Assembler
from ..assembly.updates import Anomaly
from ..streams.driving.drivers import assemble
from ..streams.sources import open_chunks
from .clock import Clock
from .exit_codes import STORAGE
from .options import KEY_BY, LIMITS, LOOKS, SOURCE, limits_from
from .output import ResultPrinter, call_each, open_screens, progress_on_stderr
from .tally import StreamTally

OPTIONS = (SOURCE, *LOOKS, KEY_BY, *LIMITS)


def watch(options: argparse.Namespace) -> int:
    """Show the stream of `options.source` on standard output and return the exit code."""
    limits = limits_from(options)
    assembler = Assembler(limits=limits, keep="latest", key_by=options.key_by)
    chunks = open_chunks(options.source)
    printer, tally, progress = ResultPrinter(), StreamTally(), progress_on_stderr((Anomaly,))
    with (
        open_screens(options, sys.stdout) as screens,
        Clock(is_shown=all(screen.graphics == "text" for screen in screens)) as clock,
    ):
        listener = call_each(tally, clock, progress, *screens)
        assemble(tally.read_events(chunks, limits), on_update=listener, assembler=assembler)
    printer.report(*(screen.error for screen in screens))
    progress.end(assembler.result)
    return STORAGE if printer.error else tally.exit_code(assembler.result)
