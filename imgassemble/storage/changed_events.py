"""Returns events with other members: mappings, and the objects of SDKs, which are not changed.

Must not know: the reason of a change, the meaning of a member.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..wire.members import member_of

REPEAT = {"type": "imgassemble.repeat"}  # replaces an event that an earlier run has read; the assembler skips it


class _ChangedEvent:
    """An SDK's event with other members."""

    def __init__(self, event: object, members: Mapping[str, object]) -> None:
        self._event = event
        self.__dict__.update(members)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._event, name)


def with_members(event: object, **members: object) -> object:
    """Return an event with these members in place of its own."""
    return {**event, **members} if isinstance(event, Mapping) else _ChangedEvent(event, members)


def without_first(answer: object, count: int) -> object:
    """Return an answer of the Images API without its first images, which are saved already."""
    images = [image for image in member_of(answer, "data") or () if image is not None]
    return with_members(answer, data=images[count:]) if len(images) > count else REPEAT
