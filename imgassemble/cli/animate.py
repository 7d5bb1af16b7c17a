"""The command `imgassemble animate`: write a film of each image of a stream, a file, or a folder that `save` wrote.

The paths of the films go to standard output. Must not know: how a film is painted and encoded.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from ..assembly.assembler import Assembler
from ..assembly.results import Result
from ..assembly.updates import Anomaly
from ..console import say
from ..errors import FrameDecodeError, IncompleteStreamError, ProviderError, printable
from ..film import film_path, write_films
from ..frames.frame import Frame
from ..meter.job import Meter
from ..storage.saved_items import saved_seconds
from ..streams.driving.drivers import assemble
from .clock import Clock
from .exit_codes import STORAGE, UNREADABLE
from .options import KEY_BY, LIMITS, limits_from, option, output_option, seconds, whole_number
from .output import ResultPrinter, call_each, progress_on_stderr
from .source_events import SOURCE_OR_FOLDER, events_of_source, is_saved_folder
from .tally import StreamTally

_LEAST_SECONDS = 0.05  # captions show tenths of a second
OVERWRITE = option("--overwrite", action="store_true", help="replace a file that exists (default: stop with code 7)")
OPTIONS = (
    SOURCE_OR_FOLDER,
    output_option(
        "FILE",
        "the film: .webp, .avif, .gif, or .mp4 with the extra `video`; without a suffix it is .webp. "
        "Of several images each has a file: otter-1.webp, otter-2.webp, ...",
    ),
    option("--size", metavar="N", type=whole_number, help="the longest side in pixels (default: that of the final)"),
    option("--preview-s", metavar="N", type=seconds, help="seconds of each preview with its cross-fade (default: 0.8)"),
    option("--final-s", metavar="N", type=seconds, default=3.0, help="seconds of the final (default: 3)"),
    OVERWRITE,
    KEY_BY,
    *LIMITS,
)


def animate(options: argparse.Namespace) -> int:
    """Write the films of `options.source` and return the exit code."""
    film_path(options.output)  # a wrong name is reported before the stream is read

    def write(result: Result, _: Mapping[Frame, float]) -> Iterator[Path]:
        return write_films(
            result,
            options.output,
            size=options.size,
            preview_s=options.preview_s,
            final_s=options.final_s,
            overwrite=options.overwrite,
        )

    return write_pictures(options, write)


def write_pictures(
    options: argparse.Namespace, write: Callable[[Result, Mapping[Frame, float]], Iterable[Path]]
) -> int:
    """Read `options.source`, call `write`, print the paths that it yields, and return the exit code.

    write: is called with the result, and with the seconds at which each frame arrived, as far as they are known.
    """
    limits = limits_from(options)
    assembler = Assembler(limits=limits, key_by=options.key_by)
    printer, tally, progress, meter = ResultPrinter(), StreamTally(), progress_on_stderr((Anomaly,)), Meter()
    events = events_of_source(options.source, tally, limits)
    with Clock() as clock:
        result = assemble(events, on_update=call_each(tally, clock, meter, progress), assembler=assembler)
    progress.end(result)
    code = tally.exit_code(result)
    try:
        for path in write(result, _seconds_of(options.source, result, meter)):
            printer.print(printable(str(path)))
    except (IncompleteStreamError, ProviderError):
        say("no picture came that can be shown; nothing is written")  # the outcome has said why
    except FrameDecodeError as error:
        say(str(error))
        code = UNREADABLE
    return STORAGE if printer.error else code


def _seconds_of(source: str, result: Result, meter: Meter) -> dict[Frame, float]:
    """Return when each frame arrived: since the start, or of a folder since its first picture; none of a recorded file.

    A stream that was read in no time was recorded.
    """
    if source == "-":
        seconds = meter.frame_seconds(result)
    elif is_saved_folder(source):
        saved = saved_seconds(source)
        frames = {frame for item in result.items.values() for frame in (*item.partials, item.final) if frame}
        keys = {frame: (frame.index, len(frame.data)) for frame in frames}
        seconds = {frame: saved[key] for frame, key in keys.items() if key in saved}
    else:
        return {}
    return seconds if max(seconds.values(), default=0) >= _LEAST_SECONDS else {}
