"""Check arguments of public functions: a wrong one is a UsageError that says what works.

Must not know: the functions that use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import iscoroutinefunction
from os import PathLike

from .errors import UsageError, clean


def check_seconds(name: str, value: object) -> None:
    """Raise UsageError unless `value` is a number from 0; infinity is one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise UsageError(f"{name} is a number of seconds from 0, not {shorten(value)}")


def check_count(name: str, value: object) -> None:
    """Raise UsageError unless `value` is a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} is a whole number from 1, not {shorten(value)}")


def check_text(name: str, value: object) -> None:
    """Raise UsageError unless `value` is a str."""
    if not isinstance(value, str):
        raise UsageError(f"{name} is a str, not {shorten(value)}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise UsageError unless `value` is one of `choices`."""
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise UsageError(f"{name} is one of {known}, not {shorten(value)}{closest(value, choices)}")


def check_switch(name: str, value: object) -> None:
    """Raise UsageError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} is True or False, not {shorten(value)}")


def check_path(name: str, value: object) -> None:
    """Raise UsageError unless `value` is a path: a str or an os.PathLike."""
    if not isinstance(value, str | PathLike):
        raise UsageError(f"{name} is a path, not {shorten(value)}: 'otter.png' or Path('otter.png')")


def name_of_type(value: object) -> str:
    """Return the type of a value for a sentence; a class is named as such."""
    return f"the class {value.__name__}: call it" if isinstance(value, type) else type(value).__name__


def check_function(name: str, value: object) -> None:
    """Raise UsageError unless `value` can be called."""
    if not callable(value):
        raise UsageError(f"{name} is a function, and {type(value).__name__} cannot be called")


def is_async_function(value: object) -> bool:
    """Return whether a call of `value` must be awaited, as far as its type shows it."""
    return iscoroutinefunction(value) or iscoroutinefunction(type(value).__call__)


def closest(given: object, known: Iterable[str]) -> str:
    """Return "; did you mean 'PNG'?" with the known word that is most like `given`, or "" if none is."""
    from difflib import get_close_matches  # only for a mistake

    words = {word.lower(): word for word in known}
    matches = get_close_matches(str(given).lower()[:100], words, n=1)
    return f"; did you mean {words[matches[0]]!r}?" if matches else ""


def shorten(value: object) -> str:
    """Return a value of the caller in the form for a sentence."""
    return clean(repr(value), 80)
