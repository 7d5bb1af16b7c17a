"""The words for how far an item is, who reports its end, and how a response ended.

Knows: three enums. Must not know: what gives an item its state.
"""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum


class State(StrEnum):
    """Where an item stands, in the wire's words."""

    IN_PROGRESS = "in_progress"
    GENERATING = "generating"
    PARTIAL_IMAGE = "partial_image"
    COMPLETED = "completed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"

    @property
    def is_end(self) -> bool:
        """Whether an item in this state has ended."""
        return self in _ENDS


_ENDS = frozenset({State.COMPLETED, State.FAILED, State.INCOMPLETE})


class Witness(IntEnum):
    """Who can say what became of an item; a higher one is believed before a lower one."""

    OWN = 1  # the item's own `completed` event
    DONE = 2  # response.output_item.done
    SNAPSHOT = (
        3  # the response as a whole: response.completed, .failed, .incomplete, or an answer that was not streamed
    )


class Ending(Enum):
    """What a message says of the response as a whole."""

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    STRAY_ERROR = "stray_error"  # an `error` beside an unknown type: it fails a response that does not complete
    ERROR = "error"  # an `error` event: it fails the response too, and response.failed may follow with better words
