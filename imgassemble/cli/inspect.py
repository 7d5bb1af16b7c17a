"""The command `imgassemble inspect`: report what a stream or a saved folder contains, as text or as lines of JSON.

Text from outside is printed without control characters.
Must not know: how a stream is read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from typing import Any

from ..assembly.assembler import Assembler
from ..assembly.items import Item
from ..assembly.results import Result
from ..assembly.wording import (
    DRAFT_CAPTION,
    ImageNumbers,
    describe_state,
    name_preview,
    reason_of_item,
    reason_of_stream,
)
from ..errors import clean
from ..frames.containers import has_c2pa_manifest
from ..frames.frame import Frame
from ..frames.png import find_damaged_chunks
from ..meter.job import Meter
from ..readonly import plain
from ..screens.progress import describe_frame
from ..storage.saved_items import saved_seconds
from ..streams.driving.drivers import assemble
from .clock import Clock
from .exit_codes import STORAGE
from .options import KEY_BY, LIMITS, limits_from, option
from .output import ResultPrinter, call_each
from .source_events import SOURCE_OR_FOLDER, events_of_source, is_saved_folder
from .tally import StreamTally

OPTIONS = (
    SOURCE_OR_FOLDER,
    option("--json", action="store_true", help="print each image, and then the stream, as a line of JSON"),
    KEY_BY,
    *LIMITS,
)

# Returns the seconds to each frame of an item, by the name of the frame; None if they are unknown.
_SecondsOf = Callable[[Item], dict[str, float | None]]


def inspect(options: argparse.Namespace) -> int:
    """Print a report of the contents of `options.source` on standard output and return the exit code."""
    limits = limits_from(options)
    assembler = Assembler(limits=limits, key_by=options.key_by)
    printer, tally, meter, numbers = ResultPrinter(), StreamTally(), Meter(), ImageNumbers()
    events = events_of_source(options.source, tally, limits)
    with Clock() as clock:
        result = assemble(events, on_update=call_each(tally, meter, numbers, clock), assembler=assembler)
    seconds_of = _saved_seconds_of(options.source) if is_saved_folder(options.source) else _measured_seconds_of(meter)
    if options.json:
        lines = _json_lines(result, assembler, tally, seconds_of)
    else:
        lines = map(numbers.reword, _text_lines(result, assembler, tally, seconds_of))
    for line in lines:
        printer.print(line)
    return STORAGE if printer.error else tally.exit_code(result)


def _frames(item: Item) -> tuple[Frame, ...]:
    """Return the partials of an item, and its result if it has one."""
    return (*item.partials, item.final) if item.final and item.final.is_final else tuple(item.partials)


def _name_of(frame: Frame) -> str:
    return "final" if frame.is_final else str(frame.index)


def _measured_seconds_of(meter: Meter) -> _SecondsOf:
    """Return a function that gives the seconds from the opening of the stream to each frame of an item."""

    def seconds_of(item: Item) -> dict[str, float | None]:
        measured = meter.seconds_of(item.id)
        return {name: measured.get(name) for name in map(_name_of, _frames(item))}

    return seconds_of


def _saved_seconds_of(folder: str) -> _SecondsOf:
    """Return a function that gives the seconds from the first picture of a saved folder to each frame of an item."""
    saved = saved_seconds(folder)
    return lambda item: {_name_of(frame): saved.get((frame.index, len(frame.data))) for frame in _frames(item)}


def _damaged_chunks(frame: Frame) -> tuple[str, ...]:
    """Return the types of the chunks of a PNG whose checksum is wrong; () for other formats."""
    return find_damaged_chunks(frame.data) if frame.format == "PNG" else ()


def _json_lines(result: Result, assembler: Assembler, tally: StreamTally, seconds_of: _SecondsOf) -> Iterator[str]:
    for item in result.items.values():
        damaged = {_name_of(frame): chunks for frame in _frames(item) if (chunks := _damaged_chunks(frame))}
        signed = [_name_of(frame) for frame in _frames(item) if has_c2pa_manifest(frame.data, frame.format)]
        facts = {"seconds": seconds_of(item), "damaged_chunks": damaged, "c2pa_manifests": signed}
        yield json.dumps(item.as_dict() | facts)
    yield json.dumps(_stream_facts(result, assembler, tally))


def _stream_facts(result: Result, assembler: Assembler, tally: StreamTally) -> dict[str, Any]:
    return {
        "outcome": result.outcome,
        "error": plain(result.error),
        "response_id": assembler.cursor.response_id,
        "events": tally.events,
        "skipped": assembler.skipped,
        "anomalies": [{"code": each.code, "message": each.message} for each in assembler.anomalies],
    }


def _text_lines(result: Result, assembler: Assembler, tally: StreamTally, seconds_of: _SecondsOf) -> Iterator[str]:
    events = f"{tally.events} {'event' if tally.events == 1 else 'events'}, {assembler.skipped} of other types"
    yield f"{describe_state(result.outcome)}: {events}{_describe_responses(result, assembler)}"
    if result.error:
        yield f"  {reason_of_stream(result.error)}"
    for number, item in enumerate(result.items.values(), 1):
        yield ""
        named = clean(item.id, 200) or repr(item.id)
        yield f"image {number}: {describe_state(item.state)}, id {named}{_describe_response(item, result)}"
        yield from _item_lines(item, seconds_of)
    for anomaly in assembler.anomalies:
        yield f"problem: {anomaly.message}"


def _describe_response(item: Item, result: Result) -> str:
    """Return the response of an item in words if the stream has several."""
    is_named = len(result.responses) > 1 and item.response_id
    return f", of response {clean(item.response_id or '', 100)}" if is_named else ""


def _describe_responses(result: Result, assembler: Assembler) -> str:
    """Return the id of the response, or the number of the responses if there are several."""
    if len(result.responses) > 1:
        return f", {len(result.responses)} responses"
    response = clean(assembler.cursor.response_id or "", 100)
    return f", response {response}" if response else ""


def _item_lines(item: Item, seconds_of: _SecondsOf) -> Iterator[str]:
    seconds = seconds_of(item)
    for frame in _frames(item):
        yield _frame_line(item, frame, seconds[_name_of(frame)])
    if item.error:
        yield f"  {reason_of_item(item.id, item.error)}"
    if item.revised_prompt:
        yield f"  prompt: {clean(item.revised_prompt, 300)}"
    for anomaly in item.anomalies:
        yield f"  problem: {anomaly.message}"


def _frame_line(item: Item, frame: Frame, seconds: float | None) -> str:
    name = "final" if frame.is_final else name_preview(frame)
    when = "" if seconds is None else f"{seconds:8.2f} s"
    note = f"  ({DRAFT_CAPTION})" if item.is_provisional and frame is item.final else ""
    if has_c2pa_manifest(frame.data, frame.format):
        note += "  (with a C2PA manifest, not verified)"
    if damaged := _damaged_chunks(frame):
        note += f"  (damaged: the checksum of {', '.join(damaged)} is wrong)"
    return f"  {name:<12} {describe_frame(frame):<36}{when}  {clean(frame.event_type, 60)}{note}"
