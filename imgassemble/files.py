"""Whole files or none: how bytes get onto a disk.

Knows: temporary names, permissions, replacing. Must not know: what the bytes are.
A process that is killed at any moment leaves the old file, the new file, or a hidden `.imgassemble-*.tmp` beside them.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .errors import SinkError, quoted


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path` so that nobody ever sees half of it; the file has the permissions of the user's umask.

    Raises SinkError with the path; what stood there before stays.
    """
    target = Path(path)
    try:
        temporary = target.with_name(f".imgassemble-{secrets.token_hex(8)}.tmp")
        # O_EXCL and O_NOFOLLOW: a link that somebody laid under this name is refused, never followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(temporary, flags, 0o666), "wb") as file:
            try:
                file.write(data)
                file.close()
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except (OSError, ValueError) as cause:
        raise sink_error(target, cause) from cause
    return target


def sink_error(path: str | os.PathLike[str], cause: Exception) -> SinkError:
    """The SinkError that tells a failed write to `path`."""
    reason = getattr(cause, "strerror", None) or str(cause)
    message = f"cannot write {quoted(os.fspath(path))}: {reason}; choose another place, or free this one"
    return SinkError(message, path=path, errno=getattr(cause, "errno", None))
