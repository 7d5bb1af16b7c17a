"""Follows ways in messages: from a mapping or an object to the values at the end of a way.

Must not know: the meaning of a message, which ways there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from .event_rows import Way
from .members import has_members, member_of

_MOST_MEMBERS = 1_000  # of one list; real lists are short
_Step = str | int | tuple[str, str]  # "*", "^", a place in a list, or the spellings of a name
Chain = tuple[Any, ...]  # the values on a way; the last one is its end. Lists are left out


def ends_of(way: Way, message: Any, holder: Chain = ()) -> Iterator[Chain]:
    """Yield the chain to each value at the end of `way` that is not null. holder: the chain of a picture's holder."""
    chain = holder if way.startswith(".") else (message,)
    return _follow(chain, _steps_of(way))


def value_at(way: Way, message: Any, holder: Chain = ()) -> Any:
    """Return the first value at the end of `way`; None if there is none."""
    chain = next(ends_of(way, message, holder), None)
    return chain[-1] if chain else None


def name_spellings(name: str) -> tuple[str, str]:
    """Return a name as Python and as JavaScript spell it."""
    first, *others = name.split("_")
    return name, first + "".join(map(str.capitalize, others))


def _follow(chain: Chain, steps: tuple[_Step, ...]) -> Iterator[Chain]:
    for at, step in enumerate(steps):
        value = chain[-1]
        if step == "^":
            chain = chain[:-1]
        elif step == "*":
            for each in value[:_MOST_MEMBERS] if isinstance(value, (list, tuple)) else ():
                yield from _follow((*chain[:-1], each), steps[at + 1 :])
            return
        elif isinstance(step, int):
            value = value[step] if isinstance(value, (list, tuple)) and len(value) > step else None
            chain = (*chain[:-1], value)
        elif isinstance(step, tuple):
            chain = (*chain, _member(value, step))
        if not chain or chain[-1] is None:
            return
    yield chain


def _member(value: Any, names: tuple[str, ...]) -> Any:
    if value is None or not has_members(value):
        return None
    return next((found for name in names if (found := member_of(value, name)) is not None), None)


@cache
def _steps_of(way: Way) -> tuple[_Step, ...]:
    return tuple(map(_step_of, filter(None, way.split("."))))


def _step_of(name: str) -> _Step:
    if name in ("*", "^"):
        return name
    return int(name) if name.isdigit() else name_spellings(name)
