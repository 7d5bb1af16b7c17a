"""Copy the bytes of a stream to a file while it is read (`save --tee`).

Must not know: the meaning of the bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..console import say
from ..errors import SinkError, UsageError, quoted
from ..files import sink_error


def check_tee(path: Path | None, source: str) -> None:
    """Raise UsageError if `path` is the file that `source` names: the copy would never end."""
    with suppress(OSError):  # a file that does not exist is not the source
        if path and os.path.samestat(path.stat(), os.fstat(0) if source == "-" else Path(source).stat()):
            raise UsageError(f"--tee {quoted(str(path))} is SOURCE itself: leave it out, or name another file")


class Tee:
    """Copies a stream to the file `path`, or does nothing if it is None. If that fails, it prints why and goes on.

    The file must be new. If the stream is resumed, the copy is appended to the file.

    error: the error with which writing failed; None if there was none.
    """

    def __init__(self, path: Path | None, *, is_resumed: bool) -> None:
        self.error: SinkError | None = None
        self._path = path
        self._is_resumed = is_resumed

    def copy(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield `chunks`, after writing each to the file."""
        file = self._open()
        try:
            for chunk in chunks:
                if file and not self.error:
                    self._write(file, chunk)
                yield chunk
        finally:
            if file:
                with suppress(OSError):  # a failed write is reported already
                    file.close()

    def _open(self) -> BinaryIO | None:
        if self._path is None:
            return None
        try:
            file = self._path.open("ab" if self._is_resumed else "xb")
            if file.tell():
                file.write(b"\n\n")  # ends an event that was cut: a reader then skips that event only
        except OSError as cause:
            self._fail(self._path, cause)
            return None
        return file

    def _write(self, file: BinaryIO, chunk: bytes) -> None:
        assert self._path is not None
        try:
            file.write(chunk)
            file.flush()
        except OSError as cause:
            self._fail(self._path, cause)

    def _fail(self, path: Path, cause: OSError) -> None:
        self.error = sink_error(path, cause)
        say(str(self.error))
