"""Lists the services: a row for each, with its differences from OpenAI's stream of September 2025.

Must not know: how a row is applied (`rendering`), pictures, faults, sockets. A new service is a new row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from .choices import unknown_name
from .event_changes import NumberAt
from .framing import PLAIN, Framing
from .response_objects import (
    AT_END_2026,
    AZURE_RESPONSE,
    COPILOT_RESPONSE,
    COPILOT_USAGE,
    OPENAI_USAGE,
    RESPONSE_2026,
    ROUTER_RESPONSE,
    USAGE,
    XAI_RESPONSE,
    XAI_USAGE,
    JsonFields,
)

DialectName = Literal[
    "openai",
    "openai-2025",
    "azure",
    "xai",
    "openrouter",
    "openrouter-docs",
    "codex",
    "copilot",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The messages of one service; the defaults are OpenAI's of September 2025."""

    name: str
    description: str  # one sentence for people
    headers: JsonFields = field(default_factory=dict)  # HTTP headers besides the content type
    framing: Framing = PLAIN
    # which events come
    reasoning: Literal["", "plain", "summary"] = ""  # the kind of reasoning item before the image
    message: str | None = None  # the text of the message after the image; None: there is no message
    left_out: frozenset[str] = frozenset()  # types that are not sent
    has_keepalives: bool = False  # events that take sequence numbers
    ends_with_result: bool = True  # one partial more than asked for, equal to the result
    terminal: str = "response.completed"  # the type of the event that ends a sound stream
    # which fields they have
    done_status: str = "completed"  # the status of an image with its result
    item_type: str = "image_generation_call"
    added_fields: JsonFields = field(default_factory=dict)  # more fields of an added item
    done_fields: JsonFields = field(default_factory=dict)  # more fields of a done item, after its status
    dropped_fields: tuple[str, ...] = ()  # fields of image events that the service does not send
    field_names: JsonFields = field(default_factory=dict)  # other names for fields of an item
    delta_fields: JsonFields = field(default_factory=dict)  # more fields of a piece of text
    message_fields: JsonFields = field(default_factory=dict)  # more fields of a message item
    terminal_fields: JsonFields = field(default_factory=dict)  # more fields of the last event
    has_response_ids: bool = False  # every event has a response_id
    response: JsonFields | None = None  # the fields of a response in their order; None: as in September 2025
    response_at_end: JsonFields = field(default_factory=dict)  # fields of a completed response that differ
    repeats_output: bool = True  # the last event repeats all items
    # how they are written
    number_at: NumberAt = "after the type"
    keys: tuple[str, ...] = ()  # the order of keys, if it is not the standard one
    ids: Literal["openai", "uuid", "rotating"] = "openai"


def dialect_named(name: str) -> Dialect:
    """Return the row of this name. Raises UsageError, which lists the known names, for another one."""
    if name not in DIALECTS:
        raise unknown_name("there is no dialect", name, DIALECTS)
    return DIALECTS[name]


# ---- the rows

_XAI_KEYS = (
    *("sequence_number", "content", "id", "role", "type", "content_index", "delta", "item_id", "item"),
    *("output_index", "part", "text", "logprobs", "annotations"),
)
_COMPLETED = "response.image_generation_call.completed"
_PARTIAL = "response.image_generation_call.partial_image"
# Fields that OpenRouter's schema does not have.
_CLAIMS = ("size", "quality", "background", "output_format")
_OPENAI_HEADERS: JsonFields = {"openai-processing-ms": "31000", "openai-version": "2020-10-01"}
_ROUTER_FRAMING = Framing(event_lines=False, comment="OPENROUTER PROCESSING", done=True)
_ROUTER_NAMES: JsonFields = {"result": "imageB64", "revised_prompt": "revisedPrompt"}

_ROWS = (
    Dialect(
        name="openai",
        description="OpenAI as of 2026: no `completed` for an image, the done item still is `generating`",
        headers=_OPENAI_HEADERS,
        left_out=frozenset({_COMPLETED}),
        done_status="generating",
        done_fields={"action": "generate"},
        message="Here is your picture.",
        response=RESPONSE_2026,
        response_at_end=AT_END_2026,
        number_at="last",
    ),
    Dialect(
        name="openai-2025",
        description="OpenAI in September 2025: `completed` is sent, without the picture",
        headers=_OPENAI_HEADERS,
        reasoning="plain",
        message="",
        response_at_end={"usage": OPENAI_USAGE},
    ),
    Dialect(
        name="azure",
        description="Azure OpenAI: no `completed`, status `generating`, `content_filters` in the response",
        headers={"apim-request-id": "5f0c5d0e-2f0d-4c5b-9c55-3f1c9f1f5d11", "x-ms-region": "Sweden Central"},
        left_out=frozenset({_COMPLETED}),
        done_status="generating",
        message="Here is your picture.",
        delta_fields={"obfuscation": "RnV6enk"},
        response=AZURE_RESPONSE,
        response_at_end={"usage": USAGE},
    ),
    Dialect(
        name="xai",
        description="xAI: no partials, `prompt` for revised_prompt, `result: null` when added, sequence_number first",
        left_out=frozenset({_PARTIAL, "image_generation.partial_image", "image_edit.partial_image"}),
        added_fields={"result": None},
        dropped_fields=_CLAIMS,
        field_names={"revised_prompt": "prompt"},
        message="Here's your picture.",
        response=XAI_RESPONSE,
        response_at_end={"usage": XAI_USAGE},
        number_at="first",
        keys=_XAI_KEYS,
        ids="uuid",
    ),
    Dialect(
        name="openrouter",
        description="OpenRouter: `openrouter:image_generation` items, camelCase, no event: lines, comments, [DONE]",
        framing=_ROUTER_FRAMING,
        item_type="openrouter:image_generation",
        dropped_fields=_CLAIMS,
        field_names=_ROUTER_NAMES,
        response=ROUTER_RESPONSE,
    ),
    Dialect(
        name="openrouter-docs",
        description="OpenRouter as in its guide: `response.done` at the end, no sequence numbers",
        framing=_ROUTER_FRAMING,
        item_type="openrouter:image_generation",
        dropped_fields=_CLAIMS,
        field_names=_ROUTER_NAMES,
        response=ROUTER_RESPONSE,
        terminal="response.done",
        has_response_ids=True,
        number_at="nowhere",
    ),
    Dialect(
        name="codex",
        description="The ChatGPT backend of Codex: keepalive events, and an empty output in `response.completed`",
        headers=_OPENAI_HEADERS,
        left_out=frozenset({_COMPLETED}),
        has_keepalives=True,
        ends_with_result=False,
        done_status="generating",
        done_fields={"action": "generate"},
        response=RESPONSE_2026 | {"model": "gpt-5.3-codex", "store": False},
        response_at_end=AT_END_2026,
        repeats_output=False,
        number_at="last",
    ),
    Dialect(
        name="copilot",
        description="GitHub Copilot: a new id in each event, keys in alphabetical order; only output_index joins them",
        left_out=frozenset({_COMPLETED}),
        done_status="generating",
        done_fields={"action": "generate"},
        reasoning="summary",
        message="There it is.",
        message_fields={"phase": "final_answer"},
        terminal_fields={"copilot_usage": COPILOT_USAGE},
        response=COPILOT_RESPONSE,
        response_at_end=AT_END_2026,
        number_at="last",
        ids="rotating",
    ),
)
DIALECTS: Mapping[str, Dialect] = MappingProxyType({row.name: row for row in _ROWS})
