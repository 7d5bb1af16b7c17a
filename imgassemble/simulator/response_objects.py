"""Holds the response objects of the Responses API of each service, with their fields in the order of the wire.

Values that change during a stream (id, status, output, …) are placeholders here; the fields that come at the end, for
example `usage`, are separate.
Must not know: the dialects, and how they fill in the values.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

JsonFields = dict[str, Any]  # never changed


def _insert_after(before: JsonFields, name: str, **more: Any) -> dict[str, Any]:
    """Return `before` with `more` inserted after the field of this name."""
    pairs = ([(key, value), *(more.items() if key == name else ())] for key, value in before.items())
    return dict(chain.from_iterable(pairs))


_TOOL: JsonFields = {
    "type": "image_generation",
    "background": "auto",
    "moderation": "auto",
    "n": 1,
    "output_compression": 100,
    "output_format": "png",
    "quality": "auto",
    "size": "auto",
}
_TEXT: JsonFields = {"format": {"type": "text"}, "verbosity": "medium"}
_PLACEHOLDERS: JsonFields = {"id": "", "object": "response", "created_at": 0, "status": ""}
USAGE: JsonFields = {
    "input_tokens": 1979,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 67,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2046,
}
_NO_TOKENS = {"image_tokens": 0, "text_tokens": 0}
_TOOL_USAGE: JsonFields = {
    "image_gen": {
        "input_tokens": 0,
        "input_tokens_details": _NO_TOKENS,
        "output_tokens": 0,
        "output_tokens_details": _NO_TOKENS,
        "total_tokens": 0,
    },
    "web_search": {"num_requests": 0},
}
_TOOL_USAGE_AT_END: JsonFields = _TOOL_USAGE | {
    "image_gen": {
        "input_tokens": 16,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 16},
        "output_tokens": 4260,
        "output_tokens_details": {"image_tokens": 4260, "text_tokens": 0},
        "total_tokens": 4276,
    }
}
# Streams of 2026 have it, and the models of the openai package demand it: so the dialect of 2025 has it too.
OPENAI_USAGE = USAGE | {"input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0}}
# As recorded from OpenAI in April 2026.
RESPONSE_2026: JsonFields = {
    **_PLACEHOLDERS,
    "background": False,
    "completed_at": None,
    "error": None,
    "frequency_penalty": 0.0,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "model": "gpt-5.4-2026-03-05",
    "moderation": None,
    "output": [],
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": "in_memory",
    "reasoning": {"effort": "none", "summary": None},
    "safety_identifier": None,
    "service_tier": "auto",
    "store": True,
    "temperature": 1.0,
    "text": _TEXT,
    "tool_choice": "auto",
    "tools": [_TOOL],
    "top_logprobs": 0,
    "top_p": 0.98,
    "truncation": "disabled",
    "usage": None,
    "user": None,
    "metadata": {},
}
# `tool_usage` has been seen at the end of streams since 2026, and throughout those that Copilot relays.
AT_END_2026: JsonFields = {"usage": OPENAI_USAGE, "tool_usage": _TOOL_USAGE_AT_END}
AZURE_RESPONSE: JsonFields = {
    **_PLACEHOLDERS,
    "background": False,
    "content_filters": None,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "model": "gpt-4.1-mini",
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "auto",
    "store": True,
    "temperature": 1.0,
    "text": _TEXT,
    "tool_choice": "auto",
    "tools": [_insert_after(_TOOL, "background", model="gpt-image-1")],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": None,
    "user": None,
    "metadata": {},
}
XAI_RESPONSE: JsonFields = {
    "created_at": 0,
    "completed_at": None,
    "id": "",
    "max_output_tokens": None,
    "model": "grok-4.5",
    "object": "response",
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "temperature": 1,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [{"type": "image_generation"}],
    "top_p": 1,
    "usage": None,
    "user": None,
    "incomplete_details": None,
    "status": "",
    "store": True,
    "metadata": {"system_fingerprint": "fp_0000000000000000"},
    "background": False,
    "service_tier": "default",
    "truncation": "disabled",
    "top_logprobs": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "prompt_cache_key": None,
    "max_tool_calls": None,
    "safety_identifier": None,
    "error": None,
    "instructions": None,
}
XAI_USAGE: JsonFields = USAGE | {
    "num_sources_used": 0,
    "num_server_side_tools_used": 1,
    "cost_in_usd_ticks": 123_456,
    "server_side_tool_usage_details": {
        "web_search_calls": 0,
        "x_search_calls": 0,
        "code_interpreter_calls": 0,
        "file_search_calls": 0,
        "mcp_calls": 0,
        "document_search_calls": 0,
        "image_generation_calls": 1,
    },
    "context_details": {"input_tokens": 1979, "output_tokens": 67},
}
# The fields that OpenRouter's schema requires of a response, and no others.
_ROUTER_KEYS = (
    *("id", "object", "created_at", "status", "completed_at", "error", "frequency_penalty", "incomplete_details"),
    *("instructions", "metadata", "model", "output", "parallel_tool_calls", "presence_penalty", "temperature"),
    *("tool_choice", "tools", "top_p", "usage"),
)
ROUTER_RESPONSE: JsonFields = {key: RESPONSE_2026[key] for key in _ROUTER_KEYS} | {"model": "openai/gpt-5"}
COPILOT_RESPONSE: JsonFields = {key: value for key, value in RESPONSE_2026.items() if key != "prompt_cache_key"} | {
    "model": "gpt-5.3-codex",
    "reasoning": {"context": "current_turn", "effort": "low", "mode": "standard", "summary": "detailed"},
    "safety_identifier": "simulated",
    "tool_usage": _TOOL_USAGE,
}
COPILOT_USAGE: JsonFields = {
    "token_details": [
        {"batch_size": 1_000_000, "cost_per_batch": 175_000_000_000, "token_count": 19, "token_type": "input"}
    ],
    "total_nano_aiu": 150_325_000,
}
