"""Tables of the dialects: the meaning of each wire type, and the names of fields.

A service is added by adding rows to `ROWS`, names to `OTHER_NAMES`, and one stream to fixtures/. Services with messages
of their own form are in `services`.
Must not know: pydantic, bytes, items, listeners.
Sources: the OpenAI API reference (Responses and Images streaming events), OpenRouter's SDK schemas, recorded streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from ..errors import EventError, ProviderError
from ..frames.frame import Payload
from ..states import Ending, State, Witness
from .event_rows import EventRow as EventRow
from .event_rows import Shape as Shape
from .services import NAMED_EVENTS as NAMED_EVENTS
from .services import SERVICE_MARKS, SERVICE_ROWS
from .services import SHARED_TYPES as SHARED_TYPES

_RESPONSES, _IMAGES, _CHAT = "Responses API", "Images API", "chat completions"
_DELTA = EventRow(Shape.RESPONSE, _RESPONSES)
_BEGINNING = EventRow(Shape.RESPONSE, _RESPONSES, begins=True)
_TEXT = EventRow(Shape.TEXT, _RESPONSES)
_PARTIAL_IMAGE = EventRow(Shape.IMAGE, _IMAGES, is_partial=True)
_COMPLETED_IMAGE = EventRow(Shape.IMAGE, _IMAGES, witness=Witness.OWN)
_FAILED_IMAGE = EventRow(Shape.IMAGE, "grok2api", witness=Witness.OWN, word=State.FAILED)
# A second result under the number of an image is of another request: the events themselves have no numbers.
_SUCCEEDED_IMAGE = EventRow(Shape.IMAGE, "Seedream, MiniMax", witness=Witness.OWN, is_numbered=False)
_UNMADE_IMAGE = EventRow(Shape.IMAGE, "Seedream, MiniMax", witness=Witness.OWN, word=State.FAILED)


def _response(
    ending: Ending | None, sender: str = _RESPONSES, *, heeds_status: bool = False, begins: bool = False
) -> EventRow:
    witness = Witness.SNAPSHOT
    return EventRow(Shape.RESPONSE, sender, witness=witness, ending=ending, heeds_status=heeds_status, begins=begins)


# fmt: off
ROWS: Mapping[str, EventRow] = {
    # One image of a response
    "response.image_generation_call.in_progress":   EventRow(Shape.CALL, _RESPONSES, word=State.IN_PROGRESS),
    "response.image_generation_call.generating":    EventRow(Shape.CALL, _RESPONSES, word=State.GENERATING),
    "response.image_generation_call.partial_image": EventRow(Shape.CALL, _RESPONSES, is_partial=True),
    "response.image_generation_call.completed":     EventRow(Shape.CALL, _RESPONSES, word=State.COMPLETED,
                                                             witness=Witness.OWN),
    "response.output_item.added":                   EventRow(Shape.ITEM, _RESPONSES),
    "response.output_item.done":                    EventRow(Shape.ITEM, _RESPONSES, witness=Witness.DONE),
    # The response as a whole
    "response.created":                             _BEGINNING,
    "response.queued":                              _BEGINNING,
    "response.in_progress":                         _DELTA,
    "response.completed":                           _response(Ending.COMPLETED),
    "response.incomplete":                          _response(Ending.INCOMPLETE),
    "response.failed":                              _response(Ending.FAILED),
    "response.done":                                _response(Ending.COMPLETED, "OpenRouter", heeds_status=True),
    "response":                                     _response(None, "Responses API, not streamed", heeds_status=True,
                                                              begins=True),
    # The answer in words
    "response.output_text.delta":                   _TEXT,
    "response.refusal.delta":                       _TEXT,
    # Errors
    "error":                                        EventRow(Shape.ERROR, "all", ending=Ending.ERROR),
    "response.error":                               EventRow(Shape.ERROR, "OpenRouter", ending=Ending.ERROR),
    "upstream_error":                               EventRow(Shape.ERROR, "relays", ending=Ending.ERROR),
    # Images API
    "image_generation.partial_image":               _PARTIAL_IMAGE,
    "image_generation.completed":                   _COMPLETED_IMAGE,
    "image_generation.failed":                      _FAILED_IMAGE,
    "image_generation.partial_succeeded":           _SUCCEEDED_IMAGE,
    "image_generation.partial_failed":              _UNMADE_IMAGE,
    "image_generation.text_chunk":                  EventRow(Shape.IMAGE, "OpenRouter (SVG)", word=State.GENERATING),
    "image_edit.partial_image":                     _PARTIAL_IMAGE,
    "image_edit.completed":                         _COMPLETED_IMAGE,
    "image_edit.failed":                            _FAILED_IMAGE,
    "image_edit.partial_succeeded":                 _SUCCEEDED_IMAGE,
    "image_edit.partial_failed":                    _UNMADE_IMAGE,
    "images":                                       EventRow(Shape.IMAGES, "Images API, not streamed",
                                                             witness=Witness.OWN),
    # Chat completions with images
    "chat.completion.chunk":                        EventRow(Shape.CHAT, _CHAT, witness=Witness.OWN, is_numbered=False),
    "chat.completion":                              EventRow(Shape.CHAT, "chat completions, not streamed",
                                                             witness=Witness.OWN, is_numbered=False),
    # Relays with types of their own
    "partial":                                      EventRow(Shape.IMAGE, "exo", is_partial=True),
    "final":                                        EventRow(Shape.IMAGE, "exo", witness=Witness.OWN,
                                                             is_numbered=False),
    "partial_image":                                EventRow(Shape.IMAGE, "9router", is_partial=True),
    "done":                                         EventRow(Shape.IMAGES, "9router", witness=Witness.OWN),
    # Frameworks with types of their own
    "part_start":                                   EventRow(Shape.PART, "pydantic-ai"),
    "agent_run_result":                             EventRow(Shape.RUN, "pydantic-ai",
                                                             witness=Witness.SNAPSHOT, ending=Ending.COMPLETED),
    "AIMessageChunk":                               EventRow(Shape.CONTENT, "LangChain", witness=Witness.DONE,
                                                             is_numbered=False),
    "ai":                                           EventRow(Shape.CONTENT, "LangChain, not streamed",
                                                             witness=Witness.DONE, is_numbered=False),
    # Pictures from elsewhere: the class `Picture`
    "picture":                                      EventRow(Shape.CALL, "`Picture`", is_partial=True,
                                                             is_numbered=False),
    "picture.final":                                EventRow(Shape.CALL, "`Picture`", witness=Witness.DONE),
    "picture.progress":                             EventRow(Shape.CALL, "`polled_events`, `comfyui_events`",
                                                             word=State.GENERATING, is_progress=True),
    # Services, engines and protocols with messages of their own form
    **SERVICE_ROWS,
}

# The meaning of each kind of `part`. Drafts and the result have the same kind, and no number.
PARTS: Mapping[str, EventRow] = {
    "file":                 EventRow(Shape.PART, "pydantic-ai", is_partial=True),
    "builtin-tool-call":    EventRow(Shape.PART, "pydantic-ai", word=State.IN_PROGRESS),
    "builtin-tool-return":  EventRow(Shape.PART, "pydantic-ai", witness=Witness.OWN),
}

# The meaning of an `error` beside an unknown type: (the type names an error) -> row
UNKNOWN_ERRORS: Mapping[bool, EventRow] = {
    True:  EventRow(Shape.ERROR, "all", ending=Ending.ERROR),
    False: EventRow(Shape.ERROR, "all", ending=Ending.STRAY_ERROR),
}

# Objects that only carry the service's own event: their type, which has no row above, and the member with the event.
CARRIERS: Mapping[str, str] = {
    "raw_response_event": "data",  # openai-agents
    "UNKNOWN":            "raw",   # OpenRouter's SDKs, for events that their schema lacks
}
CARRIER = "raw_representation"     # the same member in an object of any other type: agent-framework

# The type of a message without a `type`, by the first member of this list that the message has:
# (the way to it, value or None for any value, type).
WITHOUT_TYPE: tuple[tuple[str, str | None, str], ...] = (
    ("object", "response", "response"),
    ("object", "chat.completion.chunk", "chat.completion.chunk"),
    ("object", "chat.completion", "chat.completion"),
    ("error", None, "error"),
    ("choices", None, "chat.completion.chunk"),
    ("contents", None, "contents"),  # agent-framework's own event, which carries none of the service
    *SERVICE_MARKS,
    ("data", None, "images"),
    ("progress", None, "progress"),
)
# The members that hold the type: all services; pydantic-ai; Interactions and NovelAI; xAI.
TYPE_NAMES = ("type", "Type", "event_kind", "event_type", "__type")
# JSON-RPC: the type and the message of a notification, and the message of an answer.
METHOD, PARAMS, ANSWER, ANSWER_TYPE = "method", "params", "result", "a JSON-RPC answer"

GREATEST_NUMBER = 2**53  # of an index or a sequence number; a larger JSON number is not exact

# The types of members of `output` that are images; all others are text, reasoning and tools.
ITEM_TYPES = frozenset({"image_generation_call", "openrouter:image_generation"})
CONTENT_TYPES = ITEM_TYPES | {"image", "image_url"}  # types of LangChain's blocks

# The values of `status` that are read; any other value is ignored.
STATUSES: Mapping[str, State] = {
    "in_progress": State.IN_PROGRESS,
    "generating":  State.GENERATING,
    "completed":   State.COMPLETED,
    "failed":      State.FAILED,
    "incomplete":  State.INCOMPLETE,
    "cancelled":   State.INCOMPLETE,
    "canceled":    State.INCOMPLETE,
}
ENDINGS: Mapping[State, Ending] = {
    State.COMPLETED:  Ending.COMPLETED,
    State.INCOMPLETE: Ending.INCOMPLETE,
    State.FAILED:     Ending.FAILED,
}

Spelling = str | tuple[str | int, ...]

# Other places of a field, for services that do not use its documented name: names, or paths of names.
OTHER_NAMES: Mapping[str, tuple[Spelling, ...]] = {
    "item_id":             (("item", "id"),),                                    # relays that send the item itself
    "revised_prompt":      ("prompt",),                                          # xAI, OpenRouter
    "partial_image_index": ("partial_index", "index"),                           # exo; 9router, grok2api
    "message":             ("error_text",),                                      # AI SDK
    "partial_image_b64":   (("delta", "partial_image_b64"), ("delta", "partialImageB64"),
                            ("partial_image", "b64_json")),                      # relays
    "b64_json":            (("data", "b64_json"), ("data", 0, "b64_json")),      # exo; relays
    "result":              (("item", "result"),),                                # relays that send the item itself
    "url":                 (("image_url", "url"), ("imageUrl", "url")),          # chat
    "media_type":          ("format", ("content", "media_type"), "mime_type"),   # exo; pydantic-ai; LangChain
    "b64":                 (("content", "base64"), ("content", "data"),          # pydantic-ai, and as JSON
                            "base64"),                                           # LangChain
    "status":              (("content", "status"),),                             # pydantic-ai
    "parts":               (("result", "response", "parts"),),                   # pydantic-ai
    "text":                ("content",),                                         # chat
}

# The fields in which a service reports how it made an image.
SETTINGS = ("size", "quality", "background", "output_format", "action", "model", "percent", "eta_s")

# The fields that can hold a picture, as base64, as a data: URL, or as a URL; the first that is not empty counts.
PICTURE_NAMES = (
    "partial_image_b64",  # a partial only
    "b64_json", "result",                                          # the Images API; the Responses API
    "image_b64", "image_base64", "b64", "image_result_b64",        # OpenRouter, relays, .NET
    "url", "image_url",
)
# fmt: on


class Naming(Enum):
    """How an event names its item."""

    ANNOUNCED = "it announces the item, whose id may be new"
    NAMED = "it concerns the item, known or new"
    KNOWN = "it concerns the item only if an earlier event named it"


class Signal(NamedTuple):
    """The meaning of an event for one item."""

    details: Mapping[str, Any]  # output_index, revised_prompt, usage, url and the settings, those that the event has
    item_id: str | None = None
    # The service gave no id: the item is the current image, or the image with number `number` if that is set.
    is_unnamed: bool = False
    number: int | None = None  # counted from 0
    track: int | None = None  # of several images that are made side by side; after its result the next one begins
    word: State | None = None
    witness: Witness | None = None
    payload: Payload | None = None
    error: ProviderError | None = None
    is_unnumbered: bool = False  # neither events nor images have numbers: equal image data means a repeat
    naming: Naming = Naming.NAMED


class AnswerPart(NamedTuple):
    """A piece of the answer in words. Its text can hold pictures."""

    text: str
    key: str | float | None = None  # the text to which it belongs, if several arrive at the same time
    is_whole: bool = False  # it is a whole text, and can repeat the pieces
    is_last: bool = False  # its text ends here
    is_quoted: bool = True  # its words are added to the answer; False: they were sent before
    has_pictures: bool = True  # its pictures count; False: the pictures beside it count


class Reading(NamedTuple):
    """The meaning of an event: for each of its items, and for its response."""

    event_type: str
    sequence_number: float | None = None
    response_id: str | None = None
    concerns_images: bool = True
    signals: tuple[Signal, ...] = ()
    ending: Ending | None = None
    lane: str | None = None  # its `stream_id`
    begins: bool = False  # the event begins a response if its response id is unknown
    error: ProviderError | None = None
    reason: str | None = None
    details: Mapping[str, Any] | None = None  # of the response: model, usage, image_usage, text
    is_known: bool = True  # False: its type does not concern images
    is_bare_body: bool = False  # counts as an error only if no other event of the response arrived
    anomaly: EventError | None = None  # a whole answer without a usable picture
    parts: tuple[AnswerPart, ...] = ()  # of the answer in words, as they were sent

    @property
    def concerns_response(self) -> bool:
        """Return whether the event reports anything about a response or an item."""
        if self.signals or self.begins or self.details or self.ending is not None:
            return True
        return any(part.text for part in self.parts)
