"""Gets the results that a service sent as URLs, and feeds them to the assembler of the stream.

Must not know: how a URL is fetched, how a stream is read.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any, NamedTuple

from ...arguments import is_async_function
from ...assembly.assembler import Assembler, links_at_end, links_of_last_event, put_fetched
from ...assembly.updates import Update
from ...errors import FrameError, ImgassembleError, UsageError, clean, quoted

Fetch = Callable[[str], Any]
"""Returns the bytes of the picture at a URL; for the async drivers it may be async."""


class Link(NamedTuple):
    """An item, and the URL of its result."""

    item_id: str
    url: str


class LinkFetcher:
    """Gets the results of one stream that are at URLs, each URL of an item once. Without `fetch` it finds none."""

    def __init__(self, assembler: Assembler, fetch: Fetch | None) -> None:
        if fetch is not None and not callable(fetch):
            raise UsageError(f"fetch is a function that returns the bytes at a URL, not {type(fetch).__name__}")
        self._assembler, self._fetch = assembler, fetch
        self.are_fetched: bool = fetch is not None
        self._tried: set[Link] = set()

    @property
    def is_async(self) -> bool:
        """Return whether `fetch` is an async function."""
        return is_async_function(self._fetch)

    def found(self) -> list[Link]:
        """Return the links of the last event that were not tried before."""
        return self._new(links_of_last_event)

    def found_at_end(self) -> list[Link]:
        """Return the links that are those of results because the stream has ended."""
        return self._new(links_at_end)

    def _new(self, links_of: Callable[[Assembler], list[tuple[str, str]]]) -> list[Link]:
        if self._fetch is None or len(self._tried) >= self._assembler.limits.max_items:
            return []
        links = [Link(*link) for link in links_of(self._assembler)]
        return [link for link in dict.fromkeys(links) if link not in self._tried]

    def get(self, link: Link) -> tuple[Update, ...]:
        """Fetch the picture of a link, feed it, and return the updates."""
        fetched: Any
        try:
            fetched = self.ask(link)
        except Exception as error:  # noqa: BLE001 - the caller's function can raise anything
            fetched = error
        return self.put(link, fetched)

    def ask(self, link: Link) -> Any:
        """Return the answer of `fetch` for a link."""
        assert self._fetch is not None
        return self._fetch(link.url)

    def put(self, link: Link, fetched: Any) -> tuple[Update, ...]:
        """Feed the picture of a link, or the exception in its place, and return the updates."""
        self._tried.add(link)
        if isinstance(fetched, (bytes, bytearray, memoryview)):
            return put_fetched(self._assembler, link.item_id, bytes(fetched))
        return put_fetched(self._assembler, link.item_id, _failure(link, fetched))


def _failure(link: Link, answer: Any) -> ImgassembleError:
    """Return the error for an answer that is no picture: an exception, or a value of another type."""
    if isinstance(answer, ImgassembleError):
        return answer
    if isinstance(answer, Exception):
        words = f": {clean(str(answer), 200)}" if str(answer) else ""
        reason = f"{type(answer).__name__}{words}"
    else:
        if isawaitable(answer) and hasattr(answer, "close"):
            answer.close()  # it is never awaited
        reason = f"fetch returned {type(answer).__name__}, not bytes"
    shown = clean(link.url.partition("?")[0], 200)
    sentence = f"the picture of {quoted(link.item_id)} at '{shown}' cannot be fetched: {reason}; its URL is kept"
    error = FrameError(sentence, item_id=link.item_id)
    error.__cause__ = answer if isinstance(answer, Exception) else None
    return error
