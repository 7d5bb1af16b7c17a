"""Follows ways in messages: from a mapping or an object to the values at the end of a way.

Must not know: the meaning of a message, which ways there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from .event_rows import Way
from .members import has_members, member_of

_MOST_MEMBERS = 1_000  # of one list; real lists are short
_Step = str | int | tuple[str, str]  # "*", "^", a place in a list, or the spellings of a name


class Chain(NamedTuple):
    """The way that was followed."""

    values: tuple[Any, ...]  # from the message to the end of the way, without lists
    positions: tuple[int, ...] = ()  # in each list of a "*"

    @property
    def end(self) -> Any:
        return self.values[-1]


def ends_of(way: Way, start: Chain) -> Iterator[Chain]:
    """Yield the chain to each value at the end of `way` that is not null.

    start: a message, or the holder of a picture with the objects around it. A way without a dot at its beginning
        begins at the first value of `start`.
    """
    values = start.values if way.startswith(".") else start.values[:1]
    return _follow(values, start.positions, _steps_of(way))


def value_at(way: Way, start: Chain) -> Any:
    """Return the first value at the end of `way`; None if there is none."""
    chain = next(ends_of(way, start), None)
    return chain.end if chain else None


def name_spellings(name: str) -> tuple[str, str]:
    """Return a name as Python and as JavaScript spell it."""
    first, *others = name.split("_")
    return name, first + "".join(map(str.capitalize, others))


def _follow(values: tuple[Any, ...], positions: tuple[int, ...], steps: tuple[_Step, ...]) -> Iterator[Chain]:
    for at, step in enumerate(steps):
        value = values[-1]
        if step == "^":
            values = values[:-1]
        elif step == "*":
            for position, each in enumerate(value[:_MOST_MEMBERS] if isinstance(value, (list, tuple)) else ()):
                yield from _follow((*values[:-1], each), (*positions, position), steps[at + 1 :])
            return
        elif isinstance(step, int):
            value = value[step] if isinstance(value, (list, tuple)) and len(value) > step else None
            values = (*values[:-1], value)
        elif isinstance(step, tuple):
            values = (*values, _member(value, step))
        if not values or values[-1] is None:
            return
    yield Chain(values, positions)


def _member(value: Any, names: tuple[str, ...]) -> Any:
    if not has_members(value):
        return None
    return next((found for name in names if (found := member_of(value, name)) is not None), None)


@cache
def _steps_of(way: Way) -> tuple[_Step, ...]:
    return tuple(map(_step_of, filter(None, way.split("."))))


def _step_of(name: str) -> _Step:
    if name in ("*", "^"):
        return name
    return int(name) if name.isdigit() else name_spellings(name)
