"""Three enums: the state of an item, the witness of its end, and the ending of a response.

Must not know: the rules that give an item its state.
"""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum


class State(StrEnum):
    """The stage of an item, in the words of the wire. Each is also a str: `State.COMPLETED == "completed"`.

    IN_PROGRESS: the service has begun the item.
    GENERATING: the service is making the picture.
    PARTIAL_IMAGE: a usable partial arrived.
    COMPLETED: the item has its final, or the service said so.
    FAILED: the service reported an error, or refused the picture.
    INCOMPLETE: the stream or the response ended before the picture was there.
    """

    IN_PROGRESS = "in_progress"
    GENERATING = "generating"
    PARTIAL_IMAGE = "partial_image"
    COMPLETED = "completed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"

    @property
    def is_end(self) -> bool:
        """Whether this state is an end: completed, failed or incomplete."""
        return self in _ENDS


_ENDS = frozenset({State.COMPLETED, State.FAILED, State.INCOMPLETE})


class Witness(IntEnum):
    """The message that reports the end of an item. A higher witness is stronger evidence than a lower one."""

    OWN = 1  # the item's own `completed` event
    DONE = 2  # response.output_item.done
    SNAPSHOT = 3  # the whole response: response.completed, .failed, .incomplete, or an answer that was not streamed


class Ending(Enum):
    """How the whole response ended, as a message reports it."""

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    STRAY_ERROR = "stray_error"  # an `error` beside an unknown type: it fails a response that does not complete
    REFUSED = "refused"  # the service gave no picture: it fails a response without a result
    ERROR = "error"  # an `error` event: it fails the response too, and response.failed may follow with better words
