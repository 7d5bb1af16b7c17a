"""Streams from end to end: bytes become events, events are fed to an assembler, a cut stream goes on.

This package gives the sources that have no event stream, imported when they are asked for:
`from imgassemble.streams import comfyui_events`.
Must not know: what an event means.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engines.comfyui import comfyui_events
    from .engines.polling import polled_events
    from .fetching.https import fetch_https

_HOMES = {"comfyui_events": "engines.comfyui", "fetch_https": "fetching.https", "polled_events": "engines.polling"}
__all__ = ["comfyui_events", "fetch_https", "polled_events"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
