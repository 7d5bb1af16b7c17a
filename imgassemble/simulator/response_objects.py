"""The response objects of the Responses API, field by field in the order of the wire, as each service has them.

Knows: what was recorded. Must not know: which dialect has which, and how they are filled in. Values that live through
a stream (id, status, output, …) are place-holders here; `usage` and what else comes at the end stands apart.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

Fields = dict[str, Any]  # never changed


def _fields(before: Fields, behind: str, **more: Any) -> dict[str, Any]:
    """`before` with `more` right behind the field of this name."""
    pairs = ([(key, value), *(more.items() if key == behind else ())] for key, value in before.items())
    return dict(chain.from_iterable(pairs))


_TOOL: Fields = {
    "type": "image_generation",
    "background": "auto",
    "moderation": "auto",
    "n": 1,
    "output_compression": 100,
    "output_format": "png",
    "quality": "auto",
    "size": "auto",
}
_TEXT: Fields = {"format": {"type": "text"}, "verbosity": "medium"}
_ALIVE_AT_FIRST: Fields = {"id": "", "object": "response", "created_at": 0, "status": ""}
USAGE: Fields = {
    "input_tokens": 1979,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 67,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2046,
}
_NO_TOKENS = {"image_tokens": 0, "text_tokens": 0}
_TOOL_USAGE: Fields = {
    "image_gen": {
        "input_tokens": 0,
        "input_tokens_details": _NO_TOKENS,
        "output_tokens": 0,
        "output_tokens_details": _NO_TOKENS,
        "total_tokens": 0,
    },
    "web_search": {"num_requests": 0},
}
_TOOL_USAGE_AT_END: Fields = _TOOL_USAGE | {
    "image_gen": {
        "input_tokens": 16,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 16},
        "output_tokens": 4260,
        "output_tokens_details": {"image_tokens": 4260, "text_tokens": 0},
        "total_tokens": 4276,
    }
}
# In streams of 2026, and mandatory in the models of today's openai package: so it is told of 2025 too.
OPENAI_USAGE = USAGE | {"input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0}}
# As recorded from OpenAI in April 2026.
RESPONSE_2026: Fields = {
    **_ALIVE_AT_FIRST,
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
AT_END_2026: Fields = {"usage": OPENAI_USAGE, "tool_usage": _TOOL_USAGE_AT_END}
AZURE_RESPONSE: Fields = {
    **_ALIVE_AT_FIRST,
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
    "tools": [_fields(_TOOL, "background", model="gpt-image-1")],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "usage": None,
    "user": None,
    "metadata": {},
}
XAI_RESPONSE: Fields = {
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
XAI_USAGE: Fields = USAGE | {
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
# What OpenRouter's schema demands of a response, and no more.
_ROUTER_KEYS = (
    *("id", "object", "created_at", "status", "completed_at", "error", "frequency_penalty", "incomplete_details"),
    *("instructions", "metadata", "model", "output", "parallel_tool_calls", "presence_penalty", "temperature"),
    *("tool_choice", "tools", "top_p", "usage"),
)
ROUTER_RESPONSE: Fields = {key: RESPONSE_2026[key] for key in _ROUTER_KEYS} | {"model": "openai/gpt-5"}
COPILOT_RESPONSE: Fields = {key: value for key, value in RESPONSE_2026.items() if key != "prompt_cache_key"} | {
    "model": "gpt-5.3-codex",
    "reasoning": {"context": "current_turn", "effort": "low", "mode": "standard", "summary": "detailed"},
    "safety_identifier": "simulated",
    "tool_usage": _TOOL_USAGE,
}
COPILOT_USAGE: Fields = {
    "token_details": [
        {"batch_size": 1_000_000, "cost_per_batch": 175_000_000_000, "token_count": 19, "token_type": "input"}
    ],
    "total_nano_aiu": 150_325_000,
}
