"""How one service tells what all of them tell: a row of differences for each.

Knows: what each service has changed in the messages of OpenAI's. Must not know: how a row is applied (`speech`),
pictures, faults, sockets. The defaults are OpenAI's stream of September 2025; a new service is a new row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ..errors import UsageError
from .framing import PLAIN, Framing
from .messages import NumberAt
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
    Fields,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a service says in its own way; the defaults are OpenAI's of September 2025."""

    name: str
    says: str  # one sentence for people
    headers: Fields = field(default_factory=dict)  # of its answers, besides the content type
    framing: Framing = PLAIN
    # which events come
    reasoning: Literal["", "plain", "summary"] = ""  # what kind of item stands before the image
    message: str | None = None  # what the assistant says after it; None: there is no message
    left_out: frozenset[str] = frozenset()  # types that are not sent
    has_keepalives: bool = False  # as events, which take sequence numbers
    ends_with_result: bool = True  # one partial more than asked for, and that is the result
    terminal: str = "response.completed"  # the type of the event that ends a sound stream
    # what is in them
    done_status: str = "completed"  # of an image whose result is there
    item_type: str = "image_generation_call"
    begun: Fields = field(default_factory=dict)  # what an item has besides when it is added
    done: Fields = field(default_factory=dict)  # the same when it is done, behind its status
    dropped: tuple[str, ...] = ()  # fields of image events that it does not have
    names: Fields = field(default_factory=dict)  # other names for fields of an item
    delta: Fields = field(default_factory=dict)  # what a piece of text has besides
    said: Fields = field(default_factory=dict)  # what a message item has besides
    tells_response_id: bool = False  # on every event
    last_event: Fields = field(default_factory=dict)
    response: Fields | None = None  # the fields of a response in their order; None: as in September 2025
    response_at_end: Fields = field(default_factory=dict)  # those that have another value once it is completed
    repeats_output: bool = True  # whether the last event has all items in it once more
    # how it is written
    number_at: NumberAt = "behind the type"
    keys: tuple[str, ...] = ()  # the order of keys, where it is not the canonical one
    ids: Literal["openai", "uuid", "rotating"] = "openai"


def dialect_named(name: str) -> Dialect:
    """The row of this name. Raises UsageError that tells the known ones."""
    if name not in DIALECTS:
        raise UsageError(f"there is no dialect {name!r}; there are {', '.join(DIALECTS)}")
    return DIALECTS[name]


# ---- the rows

_XAI_KEYS = (
    *("sequence_number", "content", "id", "role", "type", "content_index", "delta", "item_id", "item"),
    *("output_index", "part", "text", "logprobs", "annotations"),
)
_COMPLETED = "response.image_generation_call.completed"
_PARTIAL = "response.image_generation_call.partial_image"
# What OpenRouter's schema does not have.
_CLAIMS = ("size", "quality", "background", "output_format")
_OPENAI_HEADERS: Fields = {"openai-processing-ms": "31000", "openai-version": "2020-10-01"}
_ROUTER_FRAMING = Framing(event_lines=False, comment="OPENROUTER PROCESSING", done=True)
_ROUTER_NAMES: Fields = {"result": "imageB64", "revised_prompt": "revisedPrompt"}

_ROWS = (
    Dialect(
        name="openai",
        says="OpenAI as of 2026: no `completed` for an image, the done item still says `generating`",
        headers=_OPENAI_HEADERS,
        left_out=frozenset({_COMPLETED}),
        done_status="generating",
        done={"action": "generate"},
        message="Here is your picture.",
        response=RESPONSE_2026,
        response_at_end=AT_END_2026,
        number_at="last",
    ),
    Dialect(
        name="openai-2025",
        says="OpenAI in September 2025: `completed` is sent, without the picture",
        headers=_OPENAI_HEADERS,
        reasoning="plain",
        message="",
        response_at_end={"usage": OPENAI_USAGE},
    ),
    Dialect(
        name="azure",
        says="Azure OpenAI: no `completed`, status `generating`, `content_filters` in the response",
        headers={"apim-request-id": "5f0c5d0e-2f0d-4c5b-9c55-3f1c9f1f5d11", "x-ms-region": "Sweden Central"},
        left_out=frozenset({_COMPLETED}),
        done_status="generating",
        message="Here is your picture.",
        delta={"obfuscation": "RnV6enk"},
        response=AZURE_RESPONSE,
        response_at_end={"usage": USAGE},
    ),
    Dialect(
        name="xai",
        says="xAI: no partials, `prompt` for revised_prompt, `result: null` at first, sequence_number in front",
        left_out=frozenset({_PARTIAL, "image_generation.partial_image", "image_edit.partial_image"}),
        begun={"result": None},
        dropped=_CLAIMS,
        names={"revised_prompt": "prompt"},
        message="Here's your picture.",
        response=XAI_RESPONSE,
        response_at_end={"usage": XAI_USAGE},
        number_at="first",
        keys=_XAI_KEYS,
        ids="uuid",
    ),
    Dialect(
        name="openrouter",
        says="OpenRouter: items `openrouter:image_generation` with camelCase fields, no event: lines, comments, [DONE]",
        framing=_ROUTER_FRAMING,
        item_type="openrouter:image_generation",
        dropped=_CLAIMS,
        names=_ROUTER_NAMES,
        response=ROUTER_RESPONSE,
    ),
    Dialect(
        name="openrouter-docs",
        says="OpenRouter as its guide shows it: `response.done` at the end, no sequence numbers",
        framing=_ROUTER_FRAMING,
        item_type="openrouter:image_generation",
        dropped=_CLAIMS,
        names=_ROUTER_NAMES,
        response=ROUTER_RESPONSE,
        terminal="response.done",
        tells_response_id=True,
        number_at="nowhere",
    ),
    Dialect(
        name="codex",
        says="The ChatGPT backend of Codex: keepalive events, and nothing in the output of `response.completed`",
        headers=_OPENAI_HEADERS,
        left_out=frozenset({_COMPLETED}),
        has_keepalives=True,
        ends_with_result=False,
        done_status="generating",
        done={"action": "generate"},
        response=RESPONSE_2026 | {"model": "gpt-5.3-codex", "store": False},
        response_at_end=AT_END_2026,
        repeats_output=False,
        number_at="last",
    ),
    Dialect(
        name="copilot",
        says="GitHub Copilot: another id in each place, keys by the alphabet; only output_index joins the events",
        left_out=frozenset({_COMPLETED}),
        done_status="generating",
        done={"action": "generate"},
        reasoning="summary",
        message="There it is.",
        said={"phase": "final_answer"},
        last_event={"copilot_usage": COPILOT_USAGE},
        response=COPILOT_RESPONSE,
        response_at_end=AT_END_2026,
        number_at="last",
        ids="rotating",
    ),
)
DIALECTS: Mapping[str, Dialect] = MappingProxyType({row.name: row for row in _ROWS})
