"""Screens that show previews while they arrive: in a terminal, Tk, Qt, a notebook, an event loop, or your own host.

`Screen` is the base class of a screen of your own. `Shown`, `Tile` and `Kind` are what its `show` receives.
A screen is imported when its name is first used, because each needs a package of its host.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asyncio_screen import LoopScreen as LoopScreen
    from .graphics import Graphics as Graphics
    from .jupyter import JupyterScreen as JupyterScreen
    from .mailbox import Policy as Policy
    from .qt import QtScreen as QtScreen
    from .screen import Screen as Screen
    from .terminal import TerminalScreen as TerminalScreen
    from .tiles import Kind as Kind
    from .tiles import Painter as Painter
    from .tiles import Shown as Shown
    from .tiles import Tile as Tile
    from .tk import TkScreen as TkScreen

_MODULES = {
    "Graphics": "graphics",
    "JupyterScreen": "jupyter",
    "Kind": "tiles",
    "LoopScreen": "asyncio_screen",
    "Painter": "tiles",
    "Policy": "mailbox",
    "QtScreen": "qt",
    "Screen": "screen",
    "Shown": "tiles",
    "TerminalScreen": "terminal",
    "Tile": "tiles",
    "TkScreen": "tk",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
