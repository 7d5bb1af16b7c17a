"""Makes the error of a stream that an exception ended.

It is the service's error if the exception carries one, else an IncompleteStreamError.

Must not know: clients and their exceptions by name, items, listeners.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from ..errors import ImgassembleError, IncompleteStreamError, ProviderError, clean

_WITHOUT_WORDS = {
    "GeneratorExit": "the program stopped reading the stream",
    "CancelledError": "the task that read it was cancelled",
    "KeyboardInterrupt": "it was interrupted",
}


def service_error(error: BaseException | None) -> ProviderError | None:
    """Return the error of the service that a client's exception carries, such as openai's APIError; else None.

    The exception is recognised by its shape: `body` holds the error, alone or under "error".
    """
    if error is None or isinstance(error, ImgassembleError):
        return error if isinstance(error, ProviderError) else None
    body = getattr(error, "body", None)
    inner = body.get("error") if isinstance(body, Mapping) else None
    reported = inner if isinstance(inner, Mapping) else body
    details = reported if isinstance(reported, Mapping) else {}
    code = details.get("code") or getattr(error, "code", None)
    if not (details or isinstance(code, str)):
        return None
    message = details.get("message") or getattr(error, "message", None) or str(error)
    return ProviderError(str(message), code=None if code is None else str(code), details=details)


def cut_error(error: BaseException, item_ids: tuple[str, ...]) -> IncompleteStreamError:
    """Return the error of a stream that an exception ended. Its cause is a copy of the exception without traceback."""
    if isinstance(error, IncompleteStreamError):
        return error
    name = type(error).__name__
    why = _WITHOUT_WORDS.get(name) or f"{name}: {clean(str(error), 300)}"
    cut = IncompleteStreamError(f"the stream was cut: {why}; what came is kept", item_ids=item_ids)
    cut.__cause__ = _copy_of(error)
    return cut


def _copy_of(error: BaseException) -> BaseException | None:
    """Return an exception of the same type and words; None if this type cannot be copied."""
    with suppress(Exception):
        copy = type(error).__new__(type(error), *error.args)
        copy.args = error.args
        str(copy)
        return copy
    return None
