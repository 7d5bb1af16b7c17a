"""Measures hostile pictures in a process of its own that has little memory and little time.

`python -m hostile.measure NAME...` prints the result of each picture as a line of JSON. A step that takes more than
MOST_BYTES of address space in all or MOST_CPU_S ends the process.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from logging import NullHandler, getLogger
from typing import TypeVar

import samples

from hostile.pictures import Expected, table
from imgassemble import Anomaly, Assembler, Frame, FrameDecodeError, ImgassembleError, LimitError

T = TypeVar("T")
MOST_BYTES = 256 * 2**20
MOST_CPU_S = 1.0


class TookTooLongError(BaseException):
    """Not an Exception, so that no code takes it for a damaged picture."""


def main(names: list[str]) -> None:
    for plugin in ("Png", "Jpeg", "WebP", "Gif", *(("Avif",) if samples.has_avif() else ())):
        import_module(f"PIL.{plugin}ImagePlugin")
    getLogger("imgassemble").addHandler(NullHandler())  # anomalies are logged
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    signal.signal(signal.SIGPROF, _stop)
    for name in names:
        print(json.dumps({"name": name, **_measure(table()[name].make())}), flush=True)


def _stop(*_: object) -> None:
    raise TookTooLongError


def _measure(data: bytes) -> dict[str, str]:
    event = samples.done("ig_1", data)
    frame, result = _timed(lambda: _fed(event))
    assert _timed(lambda: _refused(event)) == result
    if frame is None:
        return {"feed": result}
    return {
        "feed": result,
        "decode": _timed(lambda: _pixels_of(frame.decode)),
        "thumbnail": _timed(lambda: _pixels_of(lambda: frame.thumbnail((64, 64)))),
        "encode": _timed(lambda: _pixels_of(lambda: frame.encode((64, 64)))),
        "animation": _timed(lambda: _pixels_of(lambda: next(frame.animation()))),
    }


def _timed(step: Callable[[], T]) -> T:
    signal.setitimer(signal.ITIMER_PROF, MOST_CPU_S)
    try:
        return step()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _fed(event: samples.Wire) -> tuple[Frame | None, str]:
    assembler = Assembler()
    updates = assembler.feed(event)
    anomalies = [update for update in updates if isinstance(update, Anomaly)]
    final = assembler["ig_1"].final
    assert len(anomalies) == (final is None)
    assert all(anomaly.message.isprintable() for anomaly in anomalies)
    return final, _kind(anomalies[0].error) if anomalies else "frame"


def _refused(event: samples.Wire) -> str:
    """Return the result of a strict assembler, which must hold no item then."""
    assembler = Assembler(strict=True)
    try:
        assembler.feed(event)
    except ImgassembleError as error:
        assert not assembler.items
        return _kind(error)
    return "frame"


def _kind(error: ImgassembleError) -> str:
    assert isinstance(error, (LimitError, FrameDecodeError))
    return Expected.TOO_MUCH.name if isinstance(error, LimitError) else Expected.REFUSED.name


def _pixels_of(make: Callable[[], object]) -> str:
    try:
        make()
    except FrameDecodeError as error:
        assert str(error).isprintable()
        assert " at 0x" not in str(error)
        return Expected.DAMAGED.name
    return Expected.SHOWN.name


if __name__ == "__main__":
    main(sys.argv[1:])
