"""Reads the members of a message: of a mapping, or of an object that a client library made.

An object is read and never changed. Its `__dict__` comes first, because reading an attribute can run code of its class.
Must not know: which members a message has, the meaning of their values, pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from ..frames.base64_json import Decoded

_MAPPINGS = (dict, Mapping)  # dict first: the check for the second takes ten times as long
_MOST_TYPES = 1_000  # remembered pairs of a type and a set of names; an SDK has a few dozen


def has_members(value: Any) -> bool:
    """Return whether `value` can have members: a mapping, or an object of a class that is not built in."""
    if type(value).__module__ != "builtins":
        return not isinstance(value, Decoded)
    return isinstance(value, _MAPPINGS)


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
    form = _form_of(type(value), names)  # type: ignore[arg-type] # each type is hashable
    if form.is_mapping or (form.is_open and isinstance(value, Mapping)):
        return {name: value[name] for name in names if name in value}
    if form.is_open:
        return _read_attributes(value, form.attributes)
    members: dict[str, Any] = getattr(value, "__dict__", {})
    extra = getattr(value, "__pydantic_extra__", None)  # members without a field of a pydantic model
    if not (extra or form.attributes):
        return members
    found = {name: each[name] for each in (members, extra or {}) for name in names if name in each}
    return found | _read_attributes(value, form.attributes)


def _read_attributes(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: found for name in names if (found := getattr(value, name, None)) is not None}


class _Form(NamedTuple):
    """How the objects of a type keep their members."""

    is_mapping: bool
    is_open: bool  # it computes its attributes, so each name must be tried
    attributes: tuple[str, ...]  # read with getattr: slots, properties and defaults of the class


@lru_cache(maxsize=_MOST_TYPES)
def _form_of(kind: type, names: frozenset[str]) -> _Form:
    is_open = any(
        maker in vars(base)
        for base in kind.__mro__
        if base is not object and base.__module__ != "pydantic.main"  # its own gives what is in `__pydantic_extra__`
        for maker in ("__getattribute__", "__getattr__")
    )
    attributes = tuple(name for name in names if is_open or hasattr(kind, name))
    return _Form(issubclass(kind, Mapping), is_open, attributes)
