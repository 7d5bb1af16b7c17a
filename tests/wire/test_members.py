"""Each form of an event gives the same as a plain mapping with the same members, and is never changed.

Beside each form stands that mapping.
"""

from __future__ import annotations

import ctypes
import gc
from collections import ChainMap, OrderedDict, UserDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, make_dataclass
from enum import Enum, StrEnum
from functools import cached_property
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any, Generic, NamedTuple, TypeVar
from unittest.mock import Mock
from weakref import proxy

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel, computed_field
from samples import b64, done, member, partial, png

from imgassemble import Assembler

PICTURE = b64(png())
PARTIAL = partial(content=png())
TYPE: str = PARTIAL["type"]
ITEM = member(content=png())
DONE = done(content=png())
MANY = {f"foreign_{number}": number for number in range(200_000)}
UNREADABLE: Mapping[str, Any] = {}  # as this is: it has no type


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in PARTIAL.items() if name not in names}


def item_done(item: Any) -> dict[str, Any]:
    return DONE | {"item": item}


def chat(message: Any) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [{"message": message}]}


# ---- mappings


class Lazy(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __getitem__(self, name: str) -> Any:
        return PARTIAL[name]

    def __iter__(self) -> Iterator[str]:
        return iter(PARTIAL)

    def __len__(self) -> int:
        return len(PARTIAL)


class Inventive(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "made up"


class WithAttributes(dict[str, Any]):
    item_id = "an attribute"


# ---- objects


class Slotted:
    __slots__ = (*PARTIAL, "__weakref__")

    def __init__(self, members: Mapping[str, Any] = PARTIAL) -> None:
        for name, value in members.items():
            setattr(self, name, value)


class SlottedChild(Slotted):
    pass


class Plain:
    """An object that keeps its members in its `__dict__`."""

    def __init__(self, **more: Any) -> None:
        self.__dict__.update(PARTIAL | more)


class Making:
    """Its members are made when they are asked for."""

    def __getattr__(self, name: str) -> Any:
        if name in PARTIAL:
            return PARTIAL[name]
        raise AttributeError(name)


class MakingAll:
    def __getattribute__(self, name: str) -> Any:
        return PARTIAL[name] if name in PARTIAL else object.__getattribute__(self, name)


class Renaming(SimpleNamespace):
    def __getattribute__(self, name: str) -> Any:
        return "ig_2" if name == "item_id" else super().__getattribute__(name)


class RaisingUsage(Plain):
    @property
    def usage(self) -> Any:
        raise ValueError("no")


class RaisingElsewhere(Plain):
    """Its broken properties stand for fields that an event of this type does not have."""

    @property
    def choices(self) -> Any:
        raise ValueError("no")

    parts = object = contents = choices


class RaisingAttributeError(Plain):
    @property
    def usage(self) -> Any:
        raise AttributeError("no")


class RaisingType:
    @property
    def type(self) -> str:
        raise ValueError("no")


class MethodsNamedLikeFields(Plain):
    def revised_prompt(self) -> str:
        return "a method"

    def usage(self) -> dict[str, int]:
        return {}


class MethodInTheWay(Plain):
    """A method with the first other name of `media_type`, which hides the second."""

    mime_type = "image/jpeg"

    def format(self) -> str:
        return "image/webp"


class ValuesOfTheClass:
    pass


for _name, _value in PARTIAL.items():
    setattr(ValuesOfTheClass, _name, _value)


class Cached(Plain):
    @cached_property
    def revised_prompt(self) -> str:
        return "an otter"


class PropertyBeforeDict(Plain):
    @property
    def item_id(self) -> str:
        return "ig_2"


Data = make_dataclass("Data", list(PARTIAL))
FrozenData = make_dataclass("FrozenData", list(PARTIAL), frozen=True, slots=True)
DefaultData = make_dataclass("DefaultData", [(name, Any, field(default=value)) for name, value in PARTIAL.items()])
Tuple = NamedTuple("Tuple", [(name, Any) for name in PARTIAL])  # type: ignore[misc]
ItemTuple = NamedTuple("ItemTuple", [(name, Any) for name in ITEM])  # type: ignore[misc]


class Structure(ctypes.Structure):
    _fields_ = (("output_index", ctypes.c_int),)


class WeirdError(Exception):
    def __init__(self) -> None:
        self.__dict__.update(PARTIAL)


# ---- pydantic models


class Model(BaseModel):
    type: str = TYPE
    item_id: Any = "ig_1"
    output_index: int = 0
    partial_image_index: int | None = 0
    partial_image_b64: str = PICTURE


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    type: str = TYPE


class WithUnsetFields(Model):
    response_id: str | None = None
    status: str | None = None
    sequence_number: int | None = None
    result: str | None = None


class Overriding(Model):
    item_id: Any = "ig_2"


class Private(Model):
    _secret: int = PrivateAttr(default=3)


class OwnGetattr(Model):
    def __getattr__(self, name: str) -> Any:
        if name == "revised_prompt":
            return "an otter"
        raise AttributeError(name)


class Aliased(BaseModel):
    """Its attributes have the names of fields, and their aliases do not."""

    type: str = Field(alias="kind")
    item_id: str = Field(alias="the_item")
    partial_image_b64: str = Field(alias="picture")


class AliasedAway(BaseModel):
    """Its aliases have the names of fields, and its attributes do not."""

    kind: str = Field(alias="type")
    the_item: str = Field(alias="item_id")


class WithProperties(BaseModel):
    number: int = 0

    @property
    def type(self) -> str:
        return TYPE

    @property
    def item_id(self) -> str:
        return "ig_1"

    @property
    def partial_image_index(self) -> int:
        return self.number

    @computed_field  # type: ignore[prop-decorator]
    @property
    def partial_image_b64(self) -> str:
        return PICTURE


T = TypeVar("T")


class Generics(Model, Generic[T]):
    item_id: T


class Root(RootModel[dict[str, Any]]):
    pass


class ItemModel(BaseModel):
    id: str = "ig_1"
    type: str = "image_generation_call"
    status: Any = "completed"
    result: str = PICTURE


class DoneModel(BaseModel):
    type: str = DONE["type"]
    output_index: int = 0
    item: Any


class Kind(str, Enum):  # noqa: UP042 - as a client has it
    PARTIAL = TYPE


class StrKind(StrEnum):
    PARTIAL = TYPE


class Status(Enum):
    FAILED = "failed"


class Text(str):
    __slots__ = ()


_TARGET = Plain()
_IMAGE = {"image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
_FAILED = item_done(ITEM | {"status": "failed"})
_COMPLETED = {"type": "response.image_generation_call.completed", "item_id": "ig_1", "result": PICTURE}
_IMAGES = {"type": "image_generation.completed", "b64_json": PICTURE}
_RESPONSE = {"type": "response.completed", "response": {"id": "resp_1", "output": [ITEM, ITEM]}}
_ERROR = {"type": "error", "error": {"message": "it broke", "code": "c"}}

# The name of a form: the function that makes it, and the plain mapping that gives the same.
FORMS: dict[str, tuple[Callable[[], Any], Any]] = {
    "a mapping that is no dict": (Lazy, PARTIAL),
    "a read-only mapping": (lambda: MappingProxyType(PARTIAL), PARTIAL),
    "an ordered dict": (lambda: OrderedDict(PARTIAL), PARTIAL),
    "a UserDict": (lambda: UserDict(PARTIAL), PARTIAL),
    "a chain of mappings": (lambda: ChainMap(PARTIAL, {"item_id": "ig_2"}), PARTIAL),
    "a dict with defaults": (lambda: defaultdict(str, PARTIAL), PARTIAL),
    "a dict that makes members up": (lambda: Inventive(PARTIAL), PARTIAL),
    "a dict with attributes, which are no members": (lambda: WithAttributes(without("item_id")), without("item_id")),
    "an object with attributes": (lambda: SimpleNamespace(**PARTIAL), PARTIAL),
    "slots": (Slotted, PARTIAL),
    "slots that are empty": (lambda: Slotted(without("output_index")), without("output_index")),
    "slots of a parent": (SlottedChild, PARTIAL),
    "a __getattr__": (Making, PARTIAL),
    "a __getattribute__": (MakingAll, PARTIAL),
    "a __getattribute__ that hides an attribute": (lambda: Renaming(**PARTIAL), PARTIAL | {"item_id": "ig_2"}),
    "a weak proxy": (lambda: proxy(_TARGET), PARTIAL),
    "a mock": (lambda: Mock(spec=list(PARTIAL), **PARTIAL), PARTIAL),
    "a property that raises": (RaisingUsage, UNREADABLE),
    "properties of other events that raise": (RaisingElsewhere, PARTIAL),
    "a property that has no value": (RaisingAttributeError, PARTIAL),
    "a type that raises": (RaisingType, UNREADABLE),
    "methods named like fields": (MethodsNamedLikeFields, PARTIAL),
    "a method before another name of its field": (MethodInTheWay, PARTIAL),
    "values of the class": (ValuesOfTheClass, PARTIAL),
    "a cached property": (Cached, PARTIAL | {"revised_prompt": "an otter"}),
    "a property before a member": (PropertyBeforeDict, PARTIAL | {"item_id": "ig_2"}),
    "a dataclass": (lambda: Data(**PARTIAL), PARTIAL),
    "a frozen dataclass with slots": (lambda: FrozenData(**PARTIAL), PARTIAL),
    "a dataclass with defaults": (DefaultData, PARTIAL),
    "a named tuple": (lambda: Tuple(**PARTIAL), PARTIAL),
    "a structure of C": (Structure, UNREADABLE),
    "an exception with members": (WeirdError, PARTIAL),
    "a module": (lambda: ModuleType("event"), UNREADABLE),
    "a pydantic model": (Model, PARTIAL),
    "a model with its members in extra fields": (lambda: Open(**PARTIAL), PARTIAL),
    "a model with unset fields": (WithUnsetFields, PARTIAL),
    "a subclass of a model": (Overriding, PARTIAL | {"item_id": "ig_2"}),
    "a model with private attributes": (Private, PARTIAL),
    "a model with a __getattr__": (OwnGetattr, PARTIAL | {"revised_prompt": "an otter"}),
    "a model whose aliases have other names": (
        lambda: Aliased(kind=TYPE, the_item="ig_1", picture=PICTURE),
        without("partial_image_index", "output_index"),
    ),
    "a model whose attributes have other names": (lambda: AliasedAway(type=TYPE, item_id="ig_1"), UNREADABLE),
    "a model with properties": (WithProperties, without("output_index")),
    "a generic model": (lambda: Generics[str](item_id="ig_1"), PARTIAL),
    "a model that was not validated": (lambda: Model.model_construct(item_id=7), PARTIAL | {"item_id": None}),
    "a model with a root": (lambda: Root(PARTIAL), UNREADABLE),
    "a type that is an enum": (lambda: PARTIAL | {"type": Kind.PARTIAL}, PARTIAL),
    "a type that is a StrEnum": (lambda: SimpleNamespace(**PARTIAL | {"type": StrKind.PARTIAL}), PARTIAL),
    "a type that is a subclass of str": (lambda: PARTIAL | {"type": Text(TYPE)}, PARTIAL),
    "a status that is an enum": (lambda: item_done(ITEM | {"status": Status.FAILED}), _FAILED),
    "an object in a mapping": (lambda: item_done(SimpleNamespace(**ITEM)), DONE),
    "a model in a mapping": (lambda: item_done(ItemModel()), DONE),
    "a named tuple in a mapping": (lambda: item_done(ItemTuple(**ITEM)), DONE),
    "a mapping in an object": (lambda: SimpleNamespace(**DONE), DONE),
    "a mapping in a model": (lambda: DoneModel(item=ITEM), DONE),
    "a model in a model": (lambda: DoneModel(item=ItemModel(status=Status.FAILED)), _FAILED),
    "a text in the place of a mapping": (lambda: item_done("an item"), item_done(None)),
    "a list in the place of a mapping": (lambda: item_done([ITEM]), item_done(None)),
    "a tuple of mappings, objects and others": (
        lambda: {**_RESPONSE, "response": {"id": "resp_1", "output": (ITEM, SimpleNamespace(**ITEM), 7, None)}},
        _RESPONSE,
    ),
    "a path through a mapping in an object": (
        lambda: SimpleNamespace(type=_COMPLETED["type"], item={"id": "ig_1", "result": PICTURE}),
        _COMPLETED,
    ),
    "a path through an object in a mapping": (
        lambda: {"type": _COMPLETED["type"], "item": SimpleNamespace(id="ig_1", result=PICTURE)},
        _COMPLETED,
    ),
    "a path through a list": (lambda: {"type": _IMAGES["type"], "data": [{"b64_json": PICTURE}]}, _IMAGES),
    "a path through a tuple": (
        lambda: SimpleNamespace(type=_IMAGES["type"], data=(SimpleNamespace(b64_json=PICTURE),)),
        _IMAGES,
    ),
    "an own name before a path": (lambda: _IMAGES | {"data": {"b64_json": "AAAA"}}, _IMAGES),
    "a path before a spelling": (
        lambda: {"type": _IMAGES["type"], "b64Json": "AAAA", "data": {"b64_json": PICTURE}},
        _IMAGES,
    ),
    "an own name of the wrong type before another name": (
        lambda: PARTIAL | {"partial_image_index": "first", "partial_index": 3},
        PARTIAL | {"partial_image_index": None},
    ),
    "null before another name": (lambda: PARTIAL | {"item_id": None, "itemId": "ig_1"}, PARTIAL),
    "null in a path before another name": (
        lambda: without("partial_image_index") | {"item": {"id": None}, "ItemID": "ig_2", "index": 0},
        PARTIAL,
    ),
    "the names of TypeScript": (
        lambda: {"type": TYPE, "itemId": "ig_1", "outputIndex": 0, "partialImageB64": PICTURE, "partialImageIndex": 0},
        PARTIAL,
    ),
    "the names of Go": (
        lambda: SimpleNamespace(Type=TYPE, ItemID="ig_1", OutputIndex=0, PartialImageB64=PICTURE, PartialImageIndex=0),
        PARTIAL,
    ),
    "200,000 foreign members": (lambda: PARTIAL | MANY, PARTIAL),
    "200,000 foreign attributes": (lambda: SimpleNamespace(**PARTIAL, **MANY), PARTIAL),
    "200,000 foreign members in an object with properties": (lambda: Cached(**MANY, revised_prompt=None), PARTIAL),
    "200,000 extra fields": (lambda: Open(**(PARTIAL | MANY)), PARTIAL),
    "a chat of objects": (
        lambda: SimpleNamespace(
            object="chat.completion", choices=[SimpleNamespace(message=SimpleNamespace(images=[_IMAGE]))]
        ),
        chat({"images": [_IMAGE]}),
    ),
    "a chat of mappings and objects": (
        lambda: chat(SimpleNamespace(images=(SimpleNamespace(**_IMAGE),))),
        chat({"images": [_IMAGE]}),
    ),
    "a model in an object that carries it": (
        lambda: SimpleNamespace(type="raw_response_event", data=Model()),
        PARTIAL,
    ),
    "a model in two objects that carry it": (
        lambda: SimpleNamespace(raw_representation=SimpleNamespace(raw_representation=Model())),
        PARTIAL,
    ),
    "an error that is a read-only mapping": (
        lambda: SimpleNamespace(type="error", error=MappingProxyType(_ERROR["error"])),  # type: ignore[arg-type]
        _ERROR,
    ),
    "values that are no numbers": (
        lambda: PARTIAL | {"sequence_number": True, "output_index": 0.0, "partial_image_index": float("nan")},
        PARTIAL | {"partial_image_index": None},
    ),
    "names that are no texts": (lambda: {**PARTIAL, 7: 8, None: 9, (): ()}, PARTIAL),
    "a list": (lambda: [PARTIAL], UNREADABLE),
    "a number": (lambda: 7, UNREADABLE),
    "an object of no class of its own": (object, UNREADABLE),
}
every_form = pytest.mark.parametrize(("make", "plain"), FORMS.values(), ids=FORMS)


def outcome(event: Any) -> Any:
    """The updates without the sentences of their errors, and all else that an event can change."""
    assembler = Assembler()
    updates = [*assembler.feed(event)]
    shown = [{**update.as_dict(), "error": None, "message": None} for update in updates]
    items = {item.id: (item.output_index, item.revised_prompt, item.usage) for item in assembler.items.values()}
    return shown, assembler.skipped, items, assembler.cursor, assembler.close()[-1].as_dict()["outcome"]


@every_form
def test_a_form_gives_what_its_plain_mapping_gives(make: Callable[[], Any], plain: Any) -> None:
    assert outcome(make()) == outcome(plain)


def shown(event: Any) -> str:
    """All that an event holds. A cached property is kept by its own class."""
    members = vars(event) if hasattr(event, "__dict__") else event
    if isinstance(event, Cached):
        members = {name: value for name, value in members.items() if name != "revised_prompt"}
    return repr(members)


@every_form
def test_a_form_is_never_changed(make: Callable[[], Any], plain: Any) -> None:
    event = make()
    before = shown(event)
    Assembler().feed(event)
    assert shown(event) == before


def test_types_are_remembered_up_to_a_bound() -> None:
    for _ in range(1_100):
        Assembler().feed(type("Passing", (), {"type": TYPE})())
    gc.collect()
    assert sum(kind.__name__ == "Passing" for kind in object.__subclasses__()) < 1_000
