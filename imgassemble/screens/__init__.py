"""Screens that show previews as they come, each in its host's way: a terminal, Tk, Qt, a notebook, an event loop.

Knows: where each screen lives. Must not know: their hosts; a screen is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asyncio_screen import LoopScreen
    from .jupyter import JupyterScreen
    from .qt import QtScreen
    from .terminal import TerminalScreen
    from .tk import TkScreen

__all__ = ["JupyterScreen", "LoopScreen", "QtScreen", "TerminalScreen", "TkScreen"]

_HOMES = {
    "JupyterScreen": "jupyter",
    "LoopScreen": "asyncio_screen",
    "QtScreen": "qt",
    "TerminalScreen": "terminal",
    "TkScreen": "tk",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
