"""The command `imgassemble strip`: print the events of a stream without their pictures, as lines of JSON.

Must not know: how a stream is read, how a picture is found.
"""

from __future__ import annotations

import argparse
import json

from ..console import say
from ..errors import ImgassembleError
from ..streams.picture_references import without_pictures
from ..streams.sources import open_chunks
from .exit_codes import OK, STORAGE, UNREADABLE
from .options import SOURCE
from .output import ResultPrinter

OPTIONS = (SOURCE,)


def strip(options: argparse.Namespace) -> int:
    """Print the events of `options.source` on standard output, and return the exit code.

    Each picture becomes a reference, {"sha256": …}. Bytes that are no event are reported on standard error.
    """
    printer, n_events = ResultPrinter(), 0
    for event in without_pictures(open_chunks(options.source)):
        if isinstance(event, ImgassembleError):
            say(str(event))
        else:
            n_events += 1
            printer.print(json.dumps(event, ensure_ascii=False))
    if printer.error:
        return STORAGE
    return OK if n_events else UNREADABLE
