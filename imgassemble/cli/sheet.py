"""The command `imgassemble sheet`: write all pictures of a stream, a file or a saved folder in a grid with captions.

The path of the sheet goes to standard output. Must not know: how a sheet is drawn.
"""

from __future__ import annotations

import argparse

from ..film import save_sheet, sheet_path
from .animate import OVERWRITE, write_pictures
from .options import KEY_BY, LIMITS, option, output_option, whole_number
from .source_events import SOURCE_OR_FOLDER

OPTIONS = (
    SOURCE_OR_FOLDER,
    output_option(
        "FILE",
        "the sheet: .png, .webp, .jpg or .avif; without a suffix it is .png",
    ),
    option(
        "--size",
        metavar="N",
        type=whole_number,
        default=256,
        help="the longest side of a picture (default: 256 pixels)",
    ),
    OVERWRITE,
    KEY_BY,
    *LIMITS,
)


def sheet(options: argparse.Namespace) -> int:
    """Write the sheet of `options.source` and return the exit code."""
    sheet_path(options.output)  # a wrong name is reported before the stream is read
    return write_pictures(
        options,
        lambda result, seconds: [
            save_sheet(result, options.output, size=options.size, seconds=seconds, overwrite=options.overwrite)
        ],
    )
