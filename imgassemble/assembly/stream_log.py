"""Writes the log of one stream to the logger `imgassemble`.

INFO: the end of the stream. DEBUG: each update. WARNING: the first anomaly of each code. No line holds base64
or pixels.
Must not know: events, listeners, clocks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..errors import clean
from .results import Result, counts_of
from .updates import Anomaly, Update

_log = logging.getLogger("imgassemble")


class StreamLog:
    """The log of one stream, which remembers what it has logged already."""

    def __init__(self) -> None:
        self._codes: set[str] = set()

    def add_updates(self, updates: Sequence[Update]) -> None:
        """Log each update at the level DEBUG."""
        if _log.isEnabledFor(logging.DEBUG):
            for update in updates:
                _log.debug("%s", clean(repr(update)))

    def add_anomaly(self, anomaly: Anomaly) -> None:
        """Log an anomaly at the level WARNING, unless one of this code was logged."""
        if anomaly.code not in self._codes:
            self._codes.add(anomaly.code)
            extra = {"anomaly_code": anomaly.code}
            _log.warning("%s (%s; logged once for each stream)", clean(anomaly.message), anomaly.code, extra=extra)

    def add_end(self, result: Result) -> None:
        """Log the end of the stream at the level INFO."""
        if _log.isEnabledFor(logging.INFO):
            _log.info("stream %s: %s; %s", result.outcome, counts_of(result), result.error or "no error")
