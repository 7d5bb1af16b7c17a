"""Anything that has the fields of an event is read as one, and gives a typed event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError
from samples import b64, done, partial, png

from imgassemble import Anomaly, Assembler, EventError, FrameAdded, parse_event, wire
from imgassemble.wire import Event, ImageCallEvent, ImageData, ImageEvent, OutputItem, OutputItemEvent

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
    """A subclass with a field that the library does not know."""

    a_newer_field: list[int] = [1]


class Slotted:
    __slots__ = tuple(EVENT)

    def __init__(self) -> None:
        for name, value in EVENT.items():
            setattr(self, name, value)


class Proxied:
    """An object that makes its members when they are read."""

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
    """A chat completion as an SDK has it: objects in objects, and a property in the place of a member."""

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
    """An object of a client with attributes that all raise."""

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
def test_an_object_without_a_type_is_an_anomaly(make: Callable[[], Any]) -> None:
    (told,) = Assembler().feed(make())
    assert isinstance(told, Anomaly)


@pytest.mark.parametrize("event", [Ring(), {"type": "UNKNOWN", "raw": 7}, {"type": "UNKNOWN"}])
def test_an_object_that_carries_no_event_is_counted(event: Any) -> None:
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


# ---- the typed form


@pytest.mark.parametrize("name", wire.__all__)
def test_each_model_is_there_when_it_is_asked_for(name: str) -> None:
    model = getattr(wire, name)
    assert issubclass(model, BaseModel)
    assert model.__doc__
    assert name in dir(wire)


def test_a_name_that_is_no_model_is_absent() -> None:
    with pytest.raises(AttributeError, match="no attribute 'BaseModel'"):
        _ = wire.BaseModel


def test_a_typed_event_has_typed_parts() -> None:
    event = parse_event(done(content=A))
    assert isinstance(event, OutputItemEvent)
    assert isinstance(event, Event)
    assert isinstance(event.item, OutputItem)
    assert event.item.result == b64(A)


def test_an_event_of_an_unknown_type_is_a_plain_event() -> None:
    event = parse_event({"type": "response.other", "sequence_number": 3, "item_id": "ig_1"})
    assert type(event) is Event
    assert (event.type, event.sequence_number) == ("response.other", 3)
    assert "item_id" not in event.model_dump()


def test_a_model_reads_all_names_of_a_field() -> None:
    by_name, by_alias = ImageCallEvent(item_id="ig_1"), ImageCallEvent.model_validate({"ItemID": "ig_1"})
    assert by_name == by_alias
    assert by_alias.item_id == "ig_1"
    assert ImageEvent.model_validate({"data": [{"b64_json": "AAAA"}]}).b64_json == "AAAA"


def test_a_model_is_a_model_of_its_parts_too() -> None:
    assert issubclass(ImageEvent, ImageData)
    assert ImageEvent.model_fields.keys() >= ImageData.model_fields.keys()


def test_a_typed_event_cannot_be_changed() -> None:
    event = parse_event(EVENT)
    with pytest.raises(ValidationError, match="frozen"):
        event.type = "another"


def test_a_typed_event_shows_no_base64() -> None:
    assert b64(A) not in repr(parse_event(done(content=A)))


def test_a_typed_event_survives_json() -> None:
    event = parse_event(done(content=A))
    assert parse_event(event.model_dump_json()) == event
    assert type(event).model_validate(event) is event
    assert json.loads(event.model_dump_json())["item"]["id"] == "ig_1"


def test_a_typed_event_gives_the_updates_of_its_message() -> None:
    assert Assembler().feed(parse_event(EVENT)) == Assembler().feed(EVENT)
    assert Assembler().feed(parse_event(done(content=A))) == Assembler().feed(done(content=A))


def test_an_event_of_a_model_for_other_types_is_read_by_its_type() -> None:
    assert Assembler().feed(Event(type="response.output_item.done")) == ()


def test_a_subclass_of_a_model_is_a_model() -> None:
    class Mine(ImageCallEvent):
        note: str = ""

    assert Mine.model_validate(EVENT).item_id == "ig_1"


@pytest.mark.parametrize("event", [7, None, [], {}, "7", b"{"])
def test_a_message_that_is_no_event_is_an_error(event: Any) -> None:
    with pytest.raises(EventError):
        parse_event(event)
