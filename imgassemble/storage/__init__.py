"""Frames on disk: written by a DirectorySink (directory, item_folder), read back (saved_items) as events (saved).

A watcher reads a folder that is being written (watched). A stream can continue an earlier run (earlier_run).

The types of the options of DirectorySink are `Existing` and `KeepFiles`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .item_folder import Existing, KeepFiles

__all__ = ["Existing", "KeepFiles"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import item_folder

    return getattr(item_folder, name)
