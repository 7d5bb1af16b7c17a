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
from typing import Any, NamedTuple

from ..errors import EventError, ProviderError
from ..frames.frame import Payload
from ..states import Ending, State, Witness


class Shape(Enum):
    """Where in a message its items stand."""

    CALL = "the message itself, by its `item_id`"
    ITEM = "its `item`"
    RESPONSE = "the members of `response.output`"
    IMAGE = "the message itself: the image under way, or that of its `image_index`"
    IMAGES = "the members of `data`, one image after the other"
    CHAT = "the images in `choices`, one after the other"
    PART = "its `part`, where that is a picture or the call of the tool that makes one"
    RUN = "the pictures in `result.response.parts`"
    CONTENT = "the pictures in `content`"
    ERROR = "none: it concerns them all"
    TEXT = "none: it is a piece of the answer in words"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one wire type means."""

    shape: Shape
    who: str  # sends it
    word: State | None = None  # what the type says of its item; None: what the item's own `status` says
    witness: Witness | None = None  # who speaks, where it can say how an item ended
    is_partial: bool = False  # it brings a partial
    ending: Ending | None = None  # what the type says of the response
    heeds_status: bool = False  # the response's own `status` says it better
    begins: bool = False  # a response, if it names one that is not known
    is_numbered: bool = True  # False: neither its events nor its images have numbers


_RESPONSES, _IMAGES, _CHAT = "Responses API", "Images API", "chat completions"
_DELTA = Row(who=_RESPONSES, shape=Shape.RESPONSE)
_BEGINNING = Row(who=_RESPONSES, shape=Shape.RESPONSE, begins=True)
_TEXT = Row(who=_RESPONSES, shape=Shape.TEXT)
_PARTIAL_IMAGE = Row(who=_IMAGES, shape=Shape.IMAGE, is_partial=True)
_COMPLETED_IMAGE = Row(who=_IMAGES, shape=Shape.IMAGE, witness=Witness.OWN)
_FAILED_IMAGE = Row(who="grok2api", shape=Shape.IMAGE, witness=Witness.OWN, word=State.FAILED)


def _response(ending: Ending | None, who: str = _RESPONSES, *, heeds_status: bool = False, begins: bool = False) -> Row:
    return Row(
        who=who,
        shape=Shape.RESPONSE,
        witness=Witness.SNAPSHOT,
        ending=ending,
        heeds_status=heeds_status,
        begins=begins,
    )


# fmt: off
ROWS: Mapping[str, Row] = MappingProxyType({
    # One image of a response
    "response.image_generation_call.in_progress":   Row(who=_RESPONSES, shape=Shape.CALL, word=State.IN_PROGRESS),
    "response.image_generation_call.generating":    Row(who=_RESPONSES, shape=Shape.CALL, word=State.GENERATING),
    "response.image_generation_call.partial_image": Row(who=_RESPONSES, shape=Shape.CALL, is_partial=True),
    "response.image_generation_call.completed":     Row(who=_RESPONSES, shape=Shape.CALL, word=State.COMPLETED,
                                                        witness=Witness.OWN),
    "response.output_item.added":                   Row(who=_RESPONSES, shape=Shape.ITEM),
    "response.output_item.done":                    Row(who=_RESPONSES, shape=Shape.ITEM, witness=Witness.DONE),
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
    "error":                                        Row(who="all", shape=Shape.ERROR, ending=Ending.ERROR),
    "response.error":                               Row(who="OpenRouter", shape=Shape.ERROR, ending=Ending.ERROR),
    "upstream_error":                               Row(who="relays", shape=Shape.ERROR, ending=Ending.ERROR),
    # Images API
    "image_generation.partial_image":               _PARTIAL_IMAGE,
    "image_generation.completed":                   _COMPLETED_IMAGE,
    "image_generation.failed":                      _FAILED_IMAGE,
    "image_generation.text_chunk":                  Row(who="OpenRouter (SVG)", shape=Shape.IMAGE,
                                                        word=State.GENERATING),
    "image_edit.partial_image":                     _PARTIAL_IMAGE,
    "image_edit.completed":                         _COMPLETED_IMAGE,
    "image_edit.failed":                            _FAILED_IMAGE,
    "images":                                       Row(who="Images API, not streamed", shape=Shape.IMAGES,
                                                        witness=Witness.OWN),
    # Chat completions with images
    "chat.completion.chunk":                        Row(who=_CHAT, shape=Shape.CHAT, witness=Witness.OWN,
                                                        is_numbered=False),
    "chat.completion":                              Row(who="chat completions, not streamed", shape=Shape.CHAT,
                                                        witness=Witness.OWN, is_numbered=False),
    # Relays with words of their own
    "partial":                                      Row(who="exo", shape=Shape.IMAGE, is_partial=True),
    "final":                                        Row(who="exo", shape=Shape.IMAGE, witness=Witness.OWN),
    "partial_image":                                Row(who="9router", shape=Shape.IMAGE, is_partial=True),
    "done":                                         Row(who="9router", shape=Shape.IMAGES, witness=Witness.OWN),
    # Frameworks that hand on parts of their own
    "part_start":                                   Row(who="pydantic-ai", shape=Shape.PART),
    "agent_run_result":                             Row(who="pydantic-ai", shape=Shape.RUN, witness=Witness.SNAPSHOT,
                                                        ending=Ending.COMPLETED),
    "AIMessageChunk":                               Row(who="LangChain", shape=Shape.CONTENT, witness=Witness.DONE),
    "ai":                                           Row(who="LangChain, not streamed", shape=Shape.CONTENT,
                                                        witness=Witness.DONE),
})

# What the kinds of `part` mean. Drafts and the result come as the same kind, and none of them is numbered.
PARTS: Mapping[str, Row] = MappingProxyType({
    "file":                 Row(who="pydantic-ai", shape=Shape.PART, is_partial=True),
    "builtin-tool-call":    Row(who="pydantic-ai", shape=Shape.PART, word=State.IN_PROGRESS),
    "builtin-tool-return":  Row(who="pydantic-ai", shape=Shape.PART, witness=Witness.OWN),
})

# How an `error` is read beside a type that is not known: (the type names an error) -> row
UNKNOWN_ERRORS: Mapping[bool, Row] = MappingProxyType({
    True:  Row(who="all", shape=Shape.ERROR, ending=Ending.ERROR),
    False: Row(who="all", shape=Shape.ERROR, ending=Ending.STRAY_ERROR),
})

# Objects that only carry the service's own event: the field that tells, its value (None: any), and the event in it.
WRAPPERS: tuple[tuple[str, str | None, str], ...] = (
    ("type", "raw_response_event", "data"),                     # openai-agents
    ("type", "UNKNOWN", "raw"),                                 # OpenRouter's SDKs, of what their schema does not have
    ("raw_representation", None, "raw_representation"),         # agent-framework
)

# A message without a `type` is what its first field in this list says: (field, value or None for any, row above).
WITHOUT_TYPE: tuple[tuple[str, str | None, str], ...] = (
    ("object", "response", "response"),
    ("object", "chat.completion.chunk", "chat.completion.chunk"),
    ("object", "chat.completion", "chat.completion"),
    ("error", None, "error"),
    ("data", None, "images"),
    ("choices", None, "chat.completion.chunk"),
    ("contents", None, "contents"),  # agent-framework's own, without a service's event in it
)
TYPE_NAMES = ("type", "Type", "event_kind")  # where a message says what it is; the last is pydantic-ai's

GREATEST_NUMBER = 2**53  # of an index or a sequence number: beyond it a JSON number may stand for its neighbour

# Which members of `output` are images; all others are text, reasoning and tools.
ITEM_TYPES = frozenset({"image_generation_call", "openrouter:image_generation"})
CONTENT_TYPES = ITEM_TYPES | {"image"}  # of LangChain's blocks

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

Path = str | tuple[str | int, ...]

# Where else a field may stand when a service does not use its documented name: other names, or paths of names.
OTHER_NAMES: Mapping[str, tuple[Path, ...]] = MappingProxyType({
    "item_id":             (("item", "id"),),                                    # relays that send the item itself
    "revised_prompt":      ("prompt",),                                          # xAI, OpenRouter
    "partial_image_index": ("partial_index", "index"),                           # exo; 9router, grok2api
    "partial_image_b64":   (("delta", "partial_image_b64"), ("delta", "partialImageB64"),
                            ("partial_image", "b64_json")),                      # relays
    "b64_json":            (("data", "b64_json"), ("data", 0, "b64_json")),      # exo; relays
    "result":              (("item", "result"),),                                # relays that send the item itself
    "url":                 (("image_url", "url"), ("imageUrl", "url")),          # chat
    "media_type":          ("format", ("content", "media_type"), "mime_type"),   # exo; pydantic-ai; LangChain
    "b64":                 (("content", "base64"), ("content", "data"),          # pydantic-ai, and as JSON
                            "base64"),                                           # LangChain
    "status":              (("content", "status"),),                             # pydantic-ai
})

# The fields in which a service reports how it made an image.
SETTINGS = ("size", "quality", "background", "output_format", "action", "model")

# The fields in which a picture may stand, as base64, as a data: URL, or as a URL; the first that is not empty counts.
PICTURE_NAMES = (
    "partial_image_b64",  # a partial only
    "b64_json", "result",                                          # the Images API; the Responses API
    "image_b64", "image_base64", "b64", "image_result_b64",        # OpenRouter, relays, .NET
    "url", "image_url",
)
# fmt: on


class Signal(NamedTuple):
    """The meaning of an event for one item."""

    details: Mapping[str, Any]  # output_index, revised_prompt, usage, url, and the settings, as far as reported
    item_id: str | None = None
    is_unnamed: bool = False  # the item has no name: it is the image under way …
    number: int | None = None  # … or the one of this number, counted from 0
    word: State | None = None
    witness: Witness | None = None
    payload: Payload | None = None
    error: ProviderError | None = None
    is_announced: bool = False  # the event announces the item: its id may be new
    is_unnumbered: bool = False  # neither events nor images have numbers: equal image data is a repeat


class Reading(NamedTuple):
    """The meaning of an event: for each of its items, and for its response."""

    event_type: str
    sequence_number: float | None = None
    response_id: str | None = None
    is_for_us: bool = True
    signals: tuple[Signal, ...] = ()
    ending: Ending | None = None
    error: ProviderError | None = None
    reason: str | None = None
    lane: str | None = None  # its `stream_id`
    begins: bool = False  # a response, if it names one that is not known
    details: Mapping[str, Any] | None = None  # of the response: model, usage, image_usage, text
    piece: str | None = None  # of the answer in words
    is_known: bool = True  # False: its type does not concern images
    is_bare_body: bool = False  # an error only if nothing else of its response came
    anomaly: EventError | None = None  # a whole answer without a picture that can be used

    @property
    def concerns_response(self) -> bool:
        """Return whether the event tells anything about a response or an item."""
        return bool(self.signals or self.begins or self.piece or self.details) or self.ending is not None
