"""Signals become items: facts (lifecycle, responses), changes of facts (changes), updates, and the Assembler itself.

Each event passes through: response_lookup (which response), item_names (which item), repeats (whether it came before),
weighing (what it changes), lifecycle (which state and final follow), updates (what listeners receive).
"""

from typing import TYPE_CHECKING, Any

from .options import Keep, KeyBy

if TYPE_CHECKING:
    from .assembler import updates_so_far

__all__ = ["Keep", "KeyBy", "updates_so_far"]


def __getattr__(name: str) -> Any:  # the options load nothing else
    if name != "updates_so_far":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .assembler import updates_so_far

    return updates_so_far
