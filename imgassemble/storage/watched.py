"""A folder that `save` writes, as events: what stands there, and what is added while it is watched.

Knows: when to look again. Must not know: what stands in a folder (`saved`), who shows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .saved import Seen, saved_events

_LOOK_S = 0.5  # between two looks at the folder: a preview every few seconds is usual


def watched_events(
    folder: Path, *, is_over: Callable[[], bool] = lambda: False, wait: Callable[[float], object] = time.sleep
) -> Iterator[dict[str, Any]]:
    """The frames and the ends of the items in `folder`, and then what is added to it, until `is_over()`."""
    seen: Seen = set()
    while True:
        is_last = is_over()  # asked before the look: what was written until then is found
        yield from saved_events(folder, seen=seen)
        if is_last:
            return
        wait(_LOOK_S)
