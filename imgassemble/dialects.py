"""How the services say it: one row for each wire type, and the names under which a field goes.

Knows: wire types, what each one means, and where in the message its items stand. Must not know: pydantic, bytes,
items, listeners. A service is added by adding rows here and one stream to fixtures/.
Sources: the OpenAI API reference (Responses and Images streaming events), OpenRouter's SDK schemas, recorded streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from .errors import ProviderError
from .frames import Payload
from .lifecycle import Ending, State, Witness


class Shape(Enum):
    """Where in a message its items stand."""

    CALL = "the message itself, which names its item"
    ITEM = "its `item`"
    RESPONSE = "the members of its `response.output`"
    IMAGE = "the message itself, which names no item"
    IMAGES = "the members of its `data`, which have no names"
    ERROR = "nowhere: it concerns them all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one wire type means."""

    shape: Shape
    word: State | None = None  # what the type says of its item; None: what the item's own `status` says
    witness: Witness | None = None  # who speaks, where it can say how an item ended
    is_partial: bool = False  # it brings a partial
    ending: Ending | None = None  # what it says of the response; None: what the response's own `status` says


_PARTIAL_IMAGE = Row(shape=Shape.IMAGE, is_partial=True)
_COMPLETED_IMAGE = Row(shape=Shape.IMAGE, witness=Witness.OWN)

# fmt: off
ROWS: Mapping[str, Row] = MappingProxyType({
    # Responses API: one image
    "response.image_generation_call.in_progress":   Row(shape=Shape.CALL, word=State.IN_PROGRESS),
    "response.image_generation_call.generating":    Row(shape=Shape.CALL, word=State.GENERATING),
    "response.image_generation_call.partial_image": Row(shape=Shape.CALL, is_partial=True),
    "response.image_generation_call.completed":     Row(shape=Shape.CALL, word=State.COMPLETED, witness=Witness.OWN),
    "response.output_item.added":                   Row(shape=Shape.ITEM),
    "response.output_item.done":                    Row(shape=Shape.ITEM, witness=Witness.DONE),
    # Responses API: the response as a whole
    "response.created": Row(shape=Shape.RESPONSE),
    "response.queued": Row(shape=Shape.RESPONSE),
    "response.in_progress": Row(shape=Shape.RESPONSE),
    "response.completed":  Row(shape=Shape.RESPONSE, witness=Witness.SNAPSHOT, ending=Ending.COMPLETED),
    "response.incomplete": Row(shape=Shape.RESPONSE, witness=Witness.SNAPSHOT, ending=Ending.INCOMPLETE),
    "response.failed":     Row(shape=Shape.RESPONSE, witness=Witness.SNAPSHOT, ending=Ending.FAILED),
    "response":            Row(shape=Shape.RESPONSE, witness=Witness.SNAPSHOT),  # it was not streamed
    "error":               Row(shape=Shape.ERROR, ending=Ending.ERROR),
    # Images API
    "image_generation.partial_image":               _PARTIAL_IMAGE,
    "image_generation.completed":                   _COMPLETED_IMAGE,
    "image_edit.partial_image":                     _PARTIAL_IMAGE,
    "image_edit.completed":                         _COMPLETED_IMAGE,
    "images":                                       Row(shape=Shape.IMAGES, witness=Witness.OWN),  # not streamed
})

# A message without a `type` is what its first field in this list says: (field, value or None for any, row above).
WITHOUT_TYPE: tuple[tuple[str, str | None, str], ...] = (
    ("object", "response", "response"),
    ("data", None, "images"),
    ("error", None, "error"),
)

# Which members of `output` are images; all others are text, reasoning and tools.
ITEM_TYPES = frozenset({"image_generation_call"})

# Words of `status`. Whatever else stands there says nothing.
STATUSES: Mapping[str, State] = MappingProxyType({
    "in_progress": State.IN_PROGRESS,
    "generating":  State.GENERATING,
    "completed":   State.COMPLETED,
    "failed":      State.FAILED,
    "incomplete":  State.INCOMPLETE,
    "cancelled":   State.INCOMPLETE,
})
ENDINGS: Mapping[State, Ending] = MappingProxyType({
    State.COMPLETED:  Ending.COMPLETED,
    State.INCOMPLETE: Ending.INCOMPLETE,
    State.FAILED:     Ending.FAILED,
})

# Other names for a field, where a service does not use the documented one.
OTHER_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "revised_prompt": ("prompt",),                   # xAI, OpenRouter
})
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What an event means for one item."""

    item_id: str | None = None
    output_index: float | None = None
    is_unnamed: bool = False  # the Images API names no items; they are counted
    word: State | None = None
    witness: Witness | None = None
    payload: Payload | None = None
    error: ProviderError | None = None
    details: Mapping[str, Any]  # output_index, revised_prompt, usage, as far as they were said


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an event means: for each of its items, and for the response."""

    event_type: str
    sequence_number: float | None = None
    response_id: str | None = None
    is_for_us: bool = True
    signals: tuple[Signal, ...] = ()
    ending: Ending | None = None
    error: ProviderError | None = None
    reason: str | None = None
