"""The forms of the tables of dialects: the row of a wire type, and the places of pictures in a message.

Must not know: pydantic, bytes, items, listeners, any service.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from ..states import Ending, State, Witness


class Shape(StrEnum):
    """The place of the items in a message."""

    CALL = "the message itself, by its `item_id`"
    ITEM = "its `item`"
    RESPONSE = "the members of `response.output`"
    IMAGE = "the message itself: the current image, or that of its `image_index`"
    IMAGES = "the members of `data`, one image after the other"
    CHAT = "the images in `choices`, one after the other"
    PART = "its `part`, if that is a picture or a call of the tool that makes pictures"
    RUN = "the pictures in `result.response.parts`"
    CONTENT = "the pictures in `content`"
    PLACED = "the places of its row"
    ERROR = "none: it concerns all images"
    TEXT = "none: it is a piece of the answer in words"


# A way leads to a value in a message: names with dots between them, each spelled as in Python or JavaScript. `*` is
# each member of a list, a number is one member, `#` is the position of the holder, `^` is the object around. A way that
# begins with a dot begins at the holder of a picture, any other way at the message.
Way = str
Ways = Way | tuple[Way, ...]  # the first that leads to a value counts


class Place(NamedTuple):
    """A place of pictures in a message."""

    at: Way  # to the holder: the object with the picture and its facts; "" is the message
    fields: Mapping[str, Ways]  # the fields of `PlacedPictureFields`
    where: tuple[str, ...] = ()  # a way from the holder, and the values of which it has one
    is_draft: bool = False  # its pictures are partials
    is_sure: bool = True  # False: the field can hold other things, so a picture must be called one, or begin like one
    is_item: bool = False  # the holder is an item, also without a picture


class Words(NamedTuple):
    """A place of the answer in words."""

    at: Way
    text: Way = ".text"
    where: tuple[str, ...] = ()
    unless: Way | None = None  # a way from the holder: its value True means that the text is no answer


ENDINGS_OF_STATUSES: Mapping[str, Ending | None] = {
    "completed": Ending.COMPLETED,
    "succeeded": Ending.COMPLETED,
    "success": Ending.COMPLETED,
    "failed": Ending.FAILED,
    "error": Ending.FAILED,
    "rejected": Ending.FAILED,
    "incomplete": Ending.INCOMPLETE,
    "budget_exceeded": Ending.INCOMPLETE,
    "canceled": Ending.INCOMPLETE,
    "cancelled": Ending.INCOMPLETE,
    "interrupted": Ending.INCOMPLETE,
}


class Layout(NamedTuple):
    """The places of everything in a message of one wire type."""

    places: tuple[Place, ...] = ()
    words: tuple[Words, ...] = ()
    facts: Mapping[str, Ways] = {}  # the fields of `PlacedEventFields`
    endings: Mapping[str, Ending | None] = ENDINGS_OF_STATUSES  # by `status`; "*": by any other
    is_whole: bool = False  # a whole answer
    is_of_known: bool = False  # it concerns only an item that an earlier event named
    is_last_result: bool = False  # its pictures are drafts, and the last one before the end of the stream is the result
    has_true_claims: bool = True  # False: the service calls each picture PNG
    failure: str | None = None  # why the item failed, if the service does not say it


class EventRow(NamedTuple):
    """The meaning of one wire type."""

    shape: Shape
    sender: str
    word: State | None = None  # the state that the type reports for its item; None: that of the item's own `status`
    witness: Witness | None = None  # the rank of the event, if it can report how an item ended
    is_partial: bool = False  # the event brings a partial
    ending: Ending | None = None  # the end that the type reports for the response
    heeds_status: bool = False  # the `status` of the response is more exact than `ending`
    begins: bool = False  # the event begins a response, if it names an unknown one
    is_numbered: bool = True  # False: neither its events nor its images have numbers
    is_progress: bool = False  # the event reports settings without a picture: how far its item is
    layout: Layout | None = None  # of Shape.PLACED
