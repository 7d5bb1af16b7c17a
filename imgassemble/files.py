"""Writes files atomically, makes them outlast a power cut, and reads files of other programs within a bound.

A process that is killed at any moment leaves the old file or the new file, and at most a hidden `.imgassemble-*.tmp`
beside it. Must not know: the content of the files.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from errno import EINVAL, ENOENT, ENOTSUP
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

from .errors import SinkError, quoted

_NOT_SYNCED = (EINVAL, ENOTSUP)  # file systems in memory or on a network that have no sync


def write_atomically(path: str | os.PathLike[str], data: bytes, *, is_synced: bool = False) -> Path:
    """Write `data` to `path` and return it as a Path. No reader ever sees half a file.

    The file has the permissions of the user's umask. A device, a pipe or a socket is never replaced.

    is_synced: wait until the bytes are on the disk before the file gets its name. Its folder is not synced.

    Raises SinkError with the path if writing fails; an existing file then stays as it was.
    """
    target = path if isinstance(path, Path) else Path(path)
    try:
        if _is_special(target):
            raise OSError("it is a device, a pipe or a socket, and not a file")
        temporary = target.with_name(f".imgassemble-{secrets.token_hex(8)}.tmp")
        # O_EXCL and O_NOFOLLOW: an existing link under this name is refused, never followed.
        handle = _open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            _write_and_close(handle, data, is_synced=is_synced)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as cause:
        raise sink_error(target, cause) from cause
    return target


def read_bounded(file: Path, max_bytes: int) -> bytes:
    """Return the contents of a regular file of at most `max_bytes`.

    Raises OSError for others: a link leads elsewhere, and a pipe never ends.
    """
    facts = file.lstat()
    if not S_ISREG(facts.st_mode) or facts.st_size > max_bytes:
        raise OSError(f"{file.name} is not a file of at most {max_bytes} bytes")
    return file.read_bytes()


def append_line(path: str | os.PathLike[str], line: bytes) -> None:
    """Add `line` to the file at `path`, which is made if it is missing. A link is never followed.

    Raises SinkError with the path if writing fails.
    """
    try:
        # O_NONBLOCK: a pipe is refused, and does not block.
        handle = _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0))
        _write_and_close(handle, line)
    except OSError as cause:
        raise sink_error(path, cause) from cause


def _open(path: str | os.PathLike[str], flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o666)


def _write_and_close(handle: int, data: bytes, *, is_synced: bool = False) -> None:
    try:
        with memoryview(data) as rest:
            written = 0
            while written < len(data):  # a disk that is nearly full, and a signal, end a write early
                written += os.write(handle, rest[written:])
        if is_synced:
            _sync(handle)
    finally:
        os.close(handle)


def _is_special(path: Path) -> bool:
    """Return whether `path` is, or leads to, anything but a file or a folder."""
    with suppress(OSError):  # also a link that leads nowhere
        mode = path.lstat().st_mode
        mode = path.stat().st_mode if S_ISLNK(mode) else mode
        return not (S_ISREG(mode) or S_ISDIR(mode))
    return False


def sync_path(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Raises OSError if the disk fails.

    Does nothing if the system cannot do that: Windows opens no folders.
    """
    try:
        # A link is not followed, and a pipe does not block.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return
    try:
        _sync(handle)
    finally:
        os.close(handle)


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as cause:
        if cause.errno not in _NOT_SYNCED:
            raise


def sink_error(path: str | os.PathLike[str], cause: Exception) -> SinkError:
    """Return the SinkError for a write to `path` that failed."""
    reason = getattr(cause, "strerror", None) or str(cause)
    errno = getattr(cause, "errno", None)
    advice = "make its folder first" if errno == ENOENT else "choose another place, or free this one"
    return SinkError(f"cannot write {quoted(os.fspath(path))}: {reason}; {advice}", path=path, errno=errno)
