"""Events are told by their shape: whatever has the fields is read, whatever else it has, and whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from samples import b64, partial, png

from imgassemble import Anomaly, Assembler, FrameAdded, parse_event
from imgassemble.wire.events import ImageCallEvent

A = png()
EVENT = partial(content=A) | {"an_unknown_member": {"of": ["any", "kind"]}}


class Kind(str, Enum):  # noqa: UP042 - as a client has it
    PARTIAL = "response.image_generation_call.partial_image"


class Lazy(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __getitem__(self, name: str) -> Any:
        return EVENT[name]

    def __iter__(self) -> Iterator[str]:
        return iter(EVENT)

    def __len__(self) -> int:
        return len(EVENT)


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")

    type: str


class Newer(Model):
    """A subclass with a field that nobody here knows."""

    a_newer_field: list[int] = [1]


class Slotted:
    __slots__ = tuple(EVENT)

    def __init__(self) -> None:
        for name, value in EVENT.items():
            setattr(self, name, value)


class Proxied:
    """Its members are made when they are asked for."""

    def __getattr__(self, name: str) -> Any:
        if name in EVENT:
            return EVENT[name]
        raise AttributeError(name)


Data = make_dataclass("Data", list(EVENT))
Tuple = NamedTuple("Tuple", [(name, Any) for name in EVENT])  # type: ignore[misc]

FORMS: dict[str, Any] = {
    "a mapping": EVENT,
    "a mapping that is no dict": Lazy(),
    "a read-only mapping": MappingProxyType(EVENT),
    "a subclass of dict": type("Box", (dict,), {})(EVENT),
    "an object with attributes": SimpleNamespace(**EVENT),
    "an object with slots": Slotted(),
    "an object that makes its members": Proxied(),
    "a dataclass": Data(**EVENT),
    "a named tuple": Tuple(**EVENT),
    "a pydantic model": Model(**EVENT),
    "a subclass of it": Newer(**EVENT),
    "a type that is an enum": EVENT | {"type": Kind.PARTIAL},
    "camelCase": {"type": EVENT["type"], "itemId": "ig_1", "partialImageB64": EVENT["partial_image_b64"],
                  "partialImageIndex": 0, "isNew": True},
    "carried": SimpleNamespace(type="raw_response_event", data=SimpleNamespace(**EVENT)),
}  # fmt: skip


@pytest.mark.parametrize("event", FORMS.values(), ids=FORMS)
def test_each_form_of_an_event_gives_its_frame(event: Any) -> None:
    parsed = parse_event(event)
    assert isinstance(parsed, ImageCallEvent)
    added = [update for update in Assembler().feed(event) if isinstance(update, FrameAdded)]
    assert [(update.item_id, update.frame.index, update.frame.data) for update in added] == [("ig_1", 0, A)]


class Chat(BaseModel):
    """A chat completion as an SDK has it: objects in objects, and what a reader asks for may be a property."""

    class Choice(BaseModel):
        class Message(BaseModel):
            class Part(BaseModel):
                image_url: Any

            images: list[Part]

        message: Message

    choices: list[Choice]

    @property
    def object(self) -> str:
        return "chat.completion"


class Link(BaseModel):
    url: str = f"data:image/png;base64,{b64(A)}"


@pytest.mark.parametrize("link", [Link(), SimpleNamespace(url=Link().url), {"url": Link().url}, Link().url])
def test_a_picture_deep_in_an_sdks_objects_is_found(link: Any) -> None:
    images = [Chat.Choice.Message.Part(image_url=link)]
    assembler = Assembler()
    assembler.feed(Chat(choices=[Chat.Choice(message=Chat.Choice.Message(images=images))]))
    (item,) = assembler.items.values()
    assert item.final
    assert item.final.data == A


@pytest.mark.parametrize("event", FORMS.values(), ids=FORMS)
def test_an_event_is_never_changed(event: Any) -> None:
    before = repr(event)
    Assembler().feed(event)
    assert repr(event) == before


class Loud:
    """An object of a client that breaks whenever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no")


@dataclass
class Ring:
    """It carries itself."""

    type: str = "raw_response_event"
    data: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.data = self


@pytest.mark.parametrize("make", [Loud, object, lambda: SimpleNamespace(type=7), SimpleNamespace])
def test_an_object_without_a_type_is_told_and_passed_over(make: Callable[[], Any]) -> None:
    (told,) = Assembler().feed(make())
    assert isinstance(told, Anomaly)


@pytest.mark.parametrize("event", [Ring(), {"type": "UNKNOWN", "raw": 7}, {"type": "UNKNOWN"}])
def test_what_carries_nothing_is_counted(event: Any) -> None:
    assembler = Assembler()
    assert assembler.feed(event) == ()
    assert assembler.skipped == 1


@given(
    name=st.sampled_from(sorted({*EVENT} - {"type", "item_id", "partial_image_b64"})),
    value=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists),
)
def test_no_value_of_another_member_makes_a_frame_unreadable(name: str, value: Any) -> None:
    updates = Assembler().feed(EVENT | {name: value})
    assert any(isinstance(update, FrameAdded) for update in updates)
