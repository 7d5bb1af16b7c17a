"""The fields of a message: found under all their names, immutable, and the same in the typed models."""

from __future__ import annotations

from typing import Any

import pytest

from imgassemble import wire
from imgassemble.wire import events
from imgassemble.wire.dialects import OTHER_NAMES, Shape
from imgassemble.wire.fields import FIELDS_OF_SHAPES, EventFields, Fields, ImageCallFields, ItemFields, read_fields


def all_below(kind: type[Any]) -> set[type[Any]]:
    return {kind, *(each for child in kind.__subclasses__() for each in all_below(child))}


@pytest.mark.parametrize("name", ["item_id", "itemId", "ItemId", "ItemID"])
def test_a_field_is_found_in_the_spelling_of_each_language(name: str) -> None:
    assert read_fields(ImageCallFields, {name: "ig_1"}).item_id == "ig_1"


@pytest.mark.parametrize(
    ("message", "index"),
    [
        ({"partial_image_index": 1, "partialImageIndex": 2, "index": 3}, 1),
        ({"partialImageIndex": 2, "index": 3}, 2),
        ({"partial_image_index": None, "partialImageIndex": None, "index": 3}, 3),
        ({"partial_image_index": "one", "index": 3}, None),
    ],
)
def test_the_best_name_that_is_not_null_counts(message: dict[str, object], index: float | None) -> None:
    assert read_fields(ImageCallFields, message).partial_image_index == index


def test_a_path_counts_before_another_spelling() -> None:
    message = {"itemId": "ig_2", "item": {"id": "ig_1"}}
    assert read_fields(ImageCallFields, message).item_id == "ig_1"
    assert read_fields(ImageCallFields, message | {"item_id": "ig_3"}).item_id == "ig_3"


def test_only_present_fields_are_stored() -> None:
    fields = read_fields(ImageCallFields, {"type": "x", "item_id": None, "foreign": 1})
    assert vars(fields) == {"type": "x"}
    assert fields.item_id is None


def test_fields_cannot_be_changed() -> None:
    fields = read_fields(EventFields, {"type": "x"})
    with pytest.raises(AttributeError, match=r"EventFields\.type cannot be changed"):
        fields.type = "y"
    with pytest.raises(AttributeError, match=r"EventFields\.type cannot be deleted"):
        del fields.type


def test_no_field_shows_its_base64() -> None:
    assert "AAAA" not in repr(read_fields(ItemFields, {"result": "AAAA"}))


def test_every_other_name_belongs_to_a_field() -> None:
    fields = {name for kind in all_below(Fields) for name in getattr(kind, "__annotations__", {})}
    assert OTHER_NAMES.keys() <= fields


def test_every_shape_has_its_fields() -> None:
    assert FIELDS_OF_SHAPES.keys() == set(Shape)


def test_every_model_of_the_module_is_exported() -> None:
    models = {kind.__name__ for kind in all_below(Fields) if kind.__module__ == events.__name__}
    assert models == set(wire.__all__)
