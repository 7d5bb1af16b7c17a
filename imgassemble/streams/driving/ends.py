"""Ends the stream of an assembler: after its last event, after an exception, or because the program stops reading.

Must not know: how a stream is read and closed.
"""

from __future__ import annotations

from contextlib import suppress

from ...assembly.assembler import Assembler
from ...assembly.updates import Update
from ...errors import ImgassembleError, IncompleteStreamError


def end_stream(
    assembler: Assembler, error: Exception | None, *, keep_open: bool
) -> tuple[list[Update], Exception | None]:
    """Close the assembler after its stream. Return the last updates, and the exception to raise after them."""
    if assembler.is_stopped:
        error = None
    if keep_open and (error is not None or assembler.is_stopped) and not assembler.is_over:
        return [], error
    is_late = assembler.is_over and not isinstance(error, ImgassembleError)
    updates: list[Update] = []
    unsubscribe = assembler.subscribe(updates.append)  # a strict assembler raises in place of returning them
    try:
        assembler.close(error)
    except IncompleteStreamError as incomplete:
        error = error or incomplete
    finally:
        unsubscribe()
    return updates, None if is_late else error


def leave_stream(assembler: Assembler, error: BaseException, *, keep_open: bool) -> None:
    """Close the assembler of a stream whose reading was ended early by `error`."""
    if not keep_open:
        with suppress(ImgassembleError):  # a strict assembler raises that the stream is incomplete
            assembler.close(error)
