"""Writes files atomically.

A process that is killed at any moment leaves the old file or the new file, and at most a hidden `.imgassemble-*.tmp`
beside it. Must not know: the content of the files.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from .errors import SinkError, quoted


def write_atomically(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path` and return it as a Path. No reader ever sees half a file.

    The file has the permissions of the user's umask. Raises SinkError with the path if writing fails; an existing file
    then stays as it was.
    """
    target = Path(path)
    try:
        temporary = target.with_name(f".imgassemble-{secrets.token_hex(8)}.tmp")
        # O_EXCL and O_NOFOLLOW: an existing link under this name is refused, never followed.
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
    """Return the SinkError for a write to `path` that failed."""
    reason = getattr(cause, "strerror", None) or str(cause)
    message = f"cannot write {quoted(os.fspath(path))}: {reason}; choose another place, or free this one"
    return SinkError(message, path=path, errno=getattr(cause, "errno", None))
