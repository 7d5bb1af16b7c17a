"""Sync files and folders, so that they outlast a power cut, but never on the thread of an event loop.

Must not know: the contents of the files.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from threading import Thread

from ..errors import SinkError
from ..files import sink_error, sync_path

_log = logging.getLogger("imgassemble")


def is_on_event_loop() -> bool:
    """Return whether an asyncio loop runs in this thread: it must not wait for a disk."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Syncing:
    """Remembers the files and folders that must outlast a power cut, and syncs them.

    On the thread of an event loop it only remembers them. They are synced by the next call on another thread, or by a
    thread of their own at the end.
    """

    def __init__(self, *, is_on: bool) -> None:
        self._is_on = is_on
        self._new_names: dict[Path, None] = {}  # folders in which a folder was made
        self._waiting: dict[Path, None] = {}

    @property
    def is_possible(self) -> bool:
        """Whether a file can be synced in this thread while it is written."""
        return self._is_on and not is_on_event_loop()

    def note_new_folder(self, path: Path) -> None:
        """Remember a folder that was made. Its name is synced with the first file that must last."""
        self._new_names[path.parent] = None

    def add(self, *paths: Path) -> None:
        """Remember files and folders that must last."""
        if self._is_on:
            self._waiting |= dict.fromkeys((*paths, *self._new_names))
            self._new_names = {}

    def run(self) -> None:
        """Sync what is remembered, unless an event loop runs in this thread. Raises SinkError."""
        if self._waiting and not is_on_event_loop():
            waiting, self._waiting = self._waiting, {}
            _sync_all(waiting)

    def finish(self) -> None:
        """Sync what is remembered: in a thread of its own if an event loop runs in this one. Raises SinkError."""
        if self._waiting and is_on_event_loop():
            waiting, self._waiting = self._waiting, {}
            Thread(target=_sync_and_log, args=[waiting], name="imgassemble sync").start()
        self.run()


def _sync_all(paths: Iterable[Path]) -> None:
    errors: list[SinkError] = []
    for path in paths:
        try:
            sync_path(path)
        except OSError as cause:
            errors.append(sink_error(path, cause))
    if errors:
        raise errors[0]


def _sync_and_log(paths: Iterable[Path]) -> None:
    try:
        _sync_all(paths)
    except SinkError as error:
        _log.warning("%s", error)
