"""Turns signals into items.

The stages of an event: weighing makes its change. It uses response_lookup (finds the response), item_names (finds the
item) and repeats (recognises a repeated event). The assembler stores the change. lifecycle gives the state and the
final, and updates gives the changes that listeners receive.

The values: facts (lifecycle, responses), all contents of an assembler (held), items for the user (items), and the
result of the stream (results).
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
