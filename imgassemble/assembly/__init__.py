"""Signals become items: facts (lifecycle, responses), changes of facts (changes), updates, and the Assembler itself.

Each event passes through: response_lookup (which response), item_names (which item), repeats (whether it came before),
weighing (what it changes), lifecycle (which state and final follow), updates (what listeners receive).
"""

from .options import Keep, KeyBy

__all__ = ["Keep", "KeyBy"]
