"""Reads the members of a message: of a mapping, or of an object that a client library made.

Must not know: which members a message has, what their values mean, pydantic.
An object is read and never changed. Its `__dict__` comes first, for reading an attribute can run code of its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..frames.base64_json import Decoded

_MAPPINGS = (dict, Mapping)  # dict first: the check for the second takes ten times as long
_MOST_TYPES = 1_000  # remembered pairs of a type and a set of names; an SDK has a few dozen


def has_members(value: Any) -> bool:
    """Return whether `value` can have members: a mapping, or an object of a class that is not built in."""
    if isinstance(value, _MAPPINGS):
        return True
    return type(value).__module__ != "builtins" and not isinstance(value, Decoded)


def member_of(value: Any, name: str) -> Any:
    """Return one member of `value`, which has members; None if it is absent."""
    return value.get(name) if isinstance(value, _MAPPINGS) else getattr(value, name, None)


def members_of(value: Any, names: frozenset[str]) -> Mapping[str, Any]:
    """Return the members of `value`, which has members: all that are in `names`, and perhaps others.

    The result can be the caller's own dict, so it must not be changed. An exception that a property raises passes
    through, except AttributeError, which means that the member is absent.
    """
    if isinstance(value, dict):
        return value
    if isinstance(value, Mapping):
        return {name: value[name] for name in names if name in value}
    attributes, is_open = _attributes(type(value), names)  # type: ignore[arg-type] # each type is hashable
    members: dict[str, Any] = {} if is_open else getattr(value, "__dict__", {})
    extra = None if is_open else getattr(value, "__pydantic_extra__", None)  # fields that a pydantic model lacks
    if not (attributes or extra):
        return members
    found = {name: each[name] for each in (members, extra) if each for name in names if name in each}
    for name in attributes:
        if (attribute := getattr(value, name, None)) is not None:
            found[name] = attribute
    return found


@lru_cache(maxsize=_MOST_TYPES)
def _attributes(kind: type, names: frozenset[str]) -> tuple[tuple[str, ...], bool]:
    """Return the names that objects of this type do not keep in their `__dict__` alone, and whether that is open.

    Those are slots, properties and defaults of the class. It is open if the type makes its attributes up: then each
    name must be tried.
    """
    is_open = any(
        maker in vars(base)
        for base in kind.__mro__
        if base is not object and base.__module__ != "pydantic.main"  # it gives what is in `__pydantic_extra__`
        for maker in ("__getattribute__", "__getattr__")
    )
    return tuple(name for name in names if is_open or hasattr(kind, name)), is_open
