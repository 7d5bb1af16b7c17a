"""Serves several sinks as one listener that never raises. Their errors are kept until the end of the stream.

Must not know: how a sink stores frames, how a stream is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial

from ...assembly.assembler import Assembler
from ...assembly.results import Result
from ...assembly.sink import ContinuingSink, Sink
from ...assembly.updates import Update
from ...errors import SinkError, UsageError

_MOST_NOTES = 3  # a reader reads the first

_log = logging.getLogger("imgassemble")


class OpenSinks:
    """Several sinks as one listener that never raises: the first error of each sink is kept until the end."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        if not isinstance(sinks, Iterable) or isinstance(sinks, str):
            raise UsageError(f"sinks is a list of sinks, not {type(sinks).__name__}: sinks=[DirectorySink(folder)]")
        self.sinks: tuple[Sink, ...] = tuple(sinks)
        if classes := [sink for sink in self.sinks if isinstance(sink, type)]:
            raise UsageError(
                f"{classes[0].__name__} is a class: make a sink of it, as in sinks=[DirectorySink(folder)]"
            )
        if invalid := [sink for sink in self.sinks if not isinstance(sink, Sink)]:
            raise UsageError(
                f"a sink has open and close and can be called with updates; {invalid[0]!r:.80} does not: "
                "for a folder pass DirectorySink(folder)"
            )
        self.continuing: list[ContinuingSink] = [sink for sink in self.sinks if isinstance(sink, ContinuingSink)]
        self._opened: list[Sink] = []
        self._errors: dict[int, SinkError] = {}  # by the id of the sink
        self._logged: set[tuple[int, type[Exception]]] = set()

    def open(self, assembler: Assembler) -> None:
        """Open the sinks. Raises SinkError at the first that fails."""
        for sink in self.sinks:
            try:
                sink.open(assembler)
            except (SinkError, UsageError):
                raise
            except Exception as cause:
                raise _sink_failure(sink, cause) from cause
            self._opened.append(sink)

    def continue_run(self, assembler: Assembler) -> None:
        """Feed the events of earlier runs that sinks continue."""
        for sink in self.continuing:
            for event in sink.saved_events():
                assembler.feed(event)

    def join(self, event: object) -> object:
        """Return an event of the stream, joined to the earlier runs that sinks continue."""
        for sink in self.continuing:
            event = sink.join(event)
        return event

    def __call__(self, update: Update) -> None:
        """Call each sink with `update`."""
        for sink in self._opened:
            self._try(sink, partial(sink, update))

    def close(self) -> list[SinkError]:
        """Close the sinks, and return the first error of each that failed."""
        while self._opened:
            sink = self._opened.pop(0)
            self._try(sink, sink.close)
        return list(self._errors.values())

    def finish(self, assembler: Assembler) -> Result:
        """Close the sinks, and return the result of the stream. Raises the first SinkError, which has the result."""
        assert assembler.result is not None
        if errors := self.close():
            errors[0].result = assembler.result
            raise errors[0]
        return assembler.result

    def close_after(self, error: BaseException) -> None:
        """Close the sinks, and name those that failed in the notes of the exception that ends the stream."""
        for failed in self.close()[:_MOST_NOTES]:
            error.add_note(str(failed))

    def _try(self, sink: Sink, step: Callable[[], object]) -> None:
        try:
            step()
        except SinkError as error:
            self._errors.setdefault(id(sink), error)
        except Exception as cause:  # noqa: BLE001 - a sink can raise anything, too
            if (key := (id(sink), type(cause))) not in self._logged:
                self._logged.add(key)
                _log.exception("a sink failed; the stream goes on")
            failed = _sink_failure(sink, cause)
            failed.__cause__ = cause
            self._errors.setdefault(id(sink), failed)


def _sink_failure(sink: Sink, cause: Exception) -> SinkError:
    return SinkError(f"{type(sink).__name__} failed: {cause}; the frames that it stored before stay", path=None)
