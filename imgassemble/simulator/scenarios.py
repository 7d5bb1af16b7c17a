"""Describes the course of one response: its images, how far they get, and how it ends.

Must not know: pictures, events, how an API words anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .messages import ImageCall

Api = Literal[
    "responses",
    "images",
    "edits",
    "router-images",
    "chat",
    "gemini",
    "interactions",
    "seedream",
    "novelai",
    "comfyui",
    "comfy-api",
    "a1111",
]
# How far the images get. "partials": the last one only to its partials; "start": the first one only to its first
# events; "none": there is no event of an image.
Reach = Literal["all", "partials", "start", "none"]
ErrorForm = Literal["nested", "flat", "text", "object", "field", "in data"]


BLOCKED = "moderation_blocked"  # the code of an error of the safety system


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceError:
    """An error of the service. `status`: the HTTP status if the answer is not a stream; `more`: further members."""

    code: str
    message: str
    kind: str
    status: int = 400
    form: ErrorForm = "nested"
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The course of one response."""

    calls: tuple[ImageCall, ...]
    api: Api = "responses"
    seed: object = 0  # ids and times are made from it
    is_background: bool = False
    reach: Reach = "all"
    left_out: frozenset[str] = frozenset()  # types that are not sent
    has_keepalives: bool = False
    has_empty_errors: bool = False  # `"error": {}` is beside each picture
    errors: tuple[ServiceError, ...] = ()
    end: Literal["completed", "failed", "incomplete", "cut"] = "completed"
    failure: ServiceError | None = None
    reason: str | None = None  # why it is incomplete
    refusal: str = ""  # the text that comes in place of a picture
    svgs: tuple[str, ...] = ()  # the pictures as text, one for each call

    @property
    def reached_calls(self) -> tuple[ImageCall, ...]:
        """Return the calls that are begun; one that does not get to its end has no result, or no partials either."""
        if self.refusal or self.reach == "none":
            return ()
        first, *_ = self.calls
        *before, last = self.calls
        return {
            "all": self.calls,
            "partials": (*before, replace(last, result=None)),
            "start": (replace(first, partials=(), result=None),),
        }[self.reach]
