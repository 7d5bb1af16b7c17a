"""The options of an assembler: how many partials it keeps, and how it identifies an item.

Must not know: events, items, listeners.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..limits import Limits

Keep = Literal["all", "latest"]
"""How many partials of an item stay in memory: all of them, or the latest one."""

KeyBy = Literal["item_id", "output_index"]
"""The field that identifies an item. "output_index" is for services that change the item id with every event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The options of one assembler."""

    limits: Limits
    strict: bool
    keep: Keep
    key_by: KeyBy
