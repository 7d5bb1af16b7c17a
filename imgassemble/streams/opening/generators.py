"""Finds the responses from which a generator reads, so that they can be closed with it.

A generator that is closed does not close what it reads: `for event in client.stream(): yield event` leaves the response
of openai open until garbage is collected, and `iter_content()` of requests leaves its response open.
Must not know: how a stream is opened, read and closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from gc import get_referents
from inspect import isasyncgen, isgenerator
from types import CellType
from typing import Any

from .response_bodies import is_async_response, is_sync_response

_MOST_STEPS = 100  # from a generator to another one that it reads; a client has about ten
_ITERATOR_MODULES = ("builtins", "itertools")  # of map, filter, islice, …


def responses_in(stream: Any) -> list[Any]:
    """Return the responses that a generator or an iterator such as `map` reads, also through other generators."""
    waiting, seen, found = [stream] if _is_link(stream) else [], {id(stream)}, []
    for _ in range(_MOST_STEPS):
        if not waiting:
            break
        for each in _values_in(waiting.pop(0)):
            if id(each) in seen:
                continue
            seen.add(id(each))
            if _is_link(each):
                waiting.append(each)
            elif is_sync_response(each) or is_async_response(each):
                found.append(each)
    return found


def _is_link(value: Any) -> bool:
    """Return whether it can hold the iterator from which a generator reads: `map` holds a tuple of iterators."""
    is_iterator = type(value).__module__ in _ITERATOR_MODULES and hasattr(value, "__next__")
    return isgenerator(value) or isasyncgen(value) or isinstance(value, (CellType, tuple)) or is_iterator


def _values_in(link: Any) -> Iterator[Any]:
    """Yield the values that a link holds, and the responses of those that are streams of SDKs."""
    for value in get_referents(link):
        yield value
        if (response := getattr(value, "__dict__", {}).get("response")) is not None:
            yield response
