"""The result of a stream that an exception ended, or that the program stopped reading.

Its error is the service's if the exception carries one, else an IncompleteStreamError.

Must not know: clients and their exceptions by name, items, listeners.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from ..errors import ImgassembleError, IncompleteStreamError, ProviderError, clean
from ..wire.failures import error_of_body
from .results import Result
from .updates import Outcome

_STOP_REASONS = {
    "GeneratorExit": "the program stopped reading the stream",
    "CancelledError": "the task that read the stream was cancelled",
    "KeyboardInterrupt": "the program was interrupted",
}


class EndCause(NamedTuple):
    """The cause of the end of a stream. All members are None if the stream ended by itself."""

    exception: Exception | None = None  # that the stream raised
    provider_error: ProviderError | None = None  # that the exception carries
    stop_reason: str | None = None  # the program ended the reading early

    @property
    def item_reason(self) -> str | None:
        """Why the items that are not complete get no result; None if the stream ended by itself."""
        if self.exception is None or self.provider_error is not None:
            return self.stop_reason
        return _cut_sentence(self.exception)


def end_cause(error: BaseException | None, stop_reason: str | None) -> EndCause:
    """Return the cause for the exception that ended the reading, and for the reason given to `stop()`."""
    if error is not None and not isinstance(error, Exception):
        return EndCause(stop_reason=stop_reason or _STOP_REASONS.get(type(error).__name__, type(error).__name__))
    if error is None:
        return EndCause(stop_reason=stop_reason)
    return EndCause(exception=error, provider_error=service_error(error))


def result_with_cause(result: Result, cause: EndCause) -> Result:
    """Return the result of a stream that ended by `cause`."""
    item_ids = getattr(result.error, "item_ids", ())
    if result.outcome is Outcome.FAILED:
        return result
    if cause.provider_error is not None:
        return replace(result, outcome=Outcome.FAILED, error=cause.provider_error)
    if cause.exception is not None:
        return replace(result, outcome=Outcome.INCOMPLETE, error=cut_error(cause.exception, item_ids))
    if cause.stop_reason is not None and result.error is not None:
        sentence = f"the reading of the stream was ended early: {cause.stop_reason}; what came is kept"
        return replace(result, error=IncompleteStreamError(sentence, item_ids=item_ids))
    return result


def service_error(error: BaseException | None) -> ProviderError | None:
    """Return the error of the service that a client's exception carries, such as openai's APIError; else None.

    The exception is recognised by its shape: `body` holds the error, alone or under "error". Only its own members are
    read, because a property may run code of the client, or warn that it is deprecated.
    """
    if error is None or isinstance(error, ImgassembleError):
        return error if isinstance(error, ProviderError) else None
    own = vars(error)
    body = own.get("body")
    inner = body.get("error") if isinstance(body, Mapping) else None
    reported = inner if isinstance(inner, Mapping) else body
    details = reported if isinstance(reported, Mapping) else {}
    code = details.get("code") or own.get("code")
    if not (details or isinstance(code, str)):
        return None
    written = error_of_body(details, str(details.get("type") or "")) or {}  # as in FastAPI, and in problem details
    message = details.get("message") or written.get("message") or own.get("message") or str(error)
    return ProviderError(str(message), code=None if code is None else str(code), details=details)


def cut_error(error: BaseException, item_ids: tuple[str, ...]) -> IncompleteStreamError:
    """Return the error of a stream that an exception ended. Its cause is a copy of the exception without traceback."""
    if isinstance(error, IncompleteStreamError):
        return error
    cut = IncompleteStreamError(f"{_cut_sentence(error)}; what came is kept", item_ids=item_ids)
    cut.__cause__ = _copy_of(error)
    return cut


def _cut_sentence(error: BaseException) -> str:
    if isinstance(error, IncompleteStreamError):
        return str(error)
    status = _http_status_of(error)
    happened = "the stream was cut" if status is None else f"the service answered with the HTTP status {status}"
    words = clean(str(error), 300).rstrip(".")
    return f"{happened}: {type(error).__name__}{f': {words}' if words else ''}"


def _http_status_of(error: BaseException) -> int | None:
    """Return the status of an HTTP error, 400 to 599, that a client's exception or its response has; else None."""
    own = vars(error)
    holders = (own, getattr(own.get("response"), "__dict__", {}))
    found = (holder.get(name) for holder in holders for name in ("status_code", "status", "code"))
    return next((status for status in found if isinstance(status, int) and 400 <= status < 600), None)


def _copy_of(error: BaseException) -> BaseException | None:
    """Return an exception of the same type and words; None if this type cannot be copied."""
    with suppress(Exception):
        copy = type(error).__new__(type(error), *error.args)
        copy.args = error.args
        str(copy)
        return copy
    return None
