"""Watch a folder that a DirectorySink writes, and give its contents as events.

Must not know: the files of a folder (`saved_items`), and the viewers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from .saved import Event, Seen, item_events
from .saved_items import SavedItem, read_items, with_own_names

_INTERVAL_S = 0.5  # between two looks: a preview every few seconds is usual


def watched_events(
    folder: Path, *, is_over: Callable[[], bool] = lambda: False, wait: Callable[[float], object] = time.sleep
) -> Iterator[Event]:
    """Yield the frames and the ends of the items in `folder` as events, and then each addition, until `is_over()`.

    wait: called between two looks with the time to wait, in seconds.
    """
    seen: Seen = {}
    while True:
        is_last = is_over()  # asked before the look, so that the look finds all that was written until then
        yield from item_events(map(_with_own_response, with_own_names(read_items(folder))), seen, is_finished=True)
        if is_last:
            return
        wait(_INTERVAL_S)


def _with_own_response(item: SavedItem) -> SavedItem:
    """Return the item with a response of its own, because its real response may become known after its first frames."""
    return replace(item, facts={**item.facts, "wire_id": item.id, "response_id": f"of {item.id}"}, is_named=True)
