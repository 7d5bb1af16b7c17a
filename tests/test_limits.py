"""Limits: frozen numbers with sensible defaults, and a UsageError for a wrong value."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from PIL import Image

from imgassemble import Limits, UsageError
from imgassemble.storage.file_names import MAX_FRAME_BYTES

NUMBERS = [field.name for field in fields(Limits) if field.name != "formats"]


def test_the_limits_are_those_of_the_design() -> None:
    assert {*NUMBERS, "formats"} == {
        "max_event_bytes", "max_frame_bytes", "max_frame_pixels", "max_frames_per_item", "max_items", "max_total_bytes",
        "formats",
    }  # fmt: skip
    assert Limits().formats == ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "SVG")
    assert Limits(formats=("PNG", "SVG")).formats == ("PNG", "SVG")
    limits = Limits()
    assert (limits.max_event_bytes, limits.max_frame_bytes) == (256 * 2**20, 64 * 2**20)
    assert limits.max_frame_pixels == 2**25


def test_the_defaults_let_real_pictures_pass() -> None:
    limits = Limits()
    largest_base64 = 20_046_248  # characters of the largest known 4K picture
    assert limits.max_event_bytes >= 13 * largest_base64
    assert limits.max_event_bytes >= 15 * 17_000_000
    assert 4 * largest_base64 * 3 // 4 <= limits.max_frame_bytes <= limits.max_event_bytes * 3 // 4
    assert limits.max_frame_pixels >= 4096 * 4096
    assert limits.max_frames_per_item > 4
    assert limits.max_total_bytes >= limits.max_frame_bytes


def test_the_bound_of_pixels_is_at_most_the_one_at_which_pillow_begins_to_warn() -> None:
    assert Limits(max_frame_pixels=89_478_485).max_frame_pixels == Image.MAX_IMAGE_PIXELS
    with pytest.raises(UsageError, match="at most 89,478,485"):
        Limits(max_frame_pixels=89_478_486)


def test_the_bound_of_bytes_is_at_most_what_is_read_again_from_a_folder() -> None:
    assert Limits(max_frame_bytes=MAX_FRAME_BYTES).max_frame_bytes == 256 * 2**20
    with pytest.raises(UsageError, match="at most 268,435,456"):
        Limits(max_frame_bytes=MAX_FRAME_BYTES + 1)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [0, -1, 1.5, "10", None, True, float("inf")])
def test_a_bound_that_is_no_whole_number_from_one_is_a_usage_error(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"Limits\.{name} is a whole number from 1, not "):
        Limits(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
def test_one_is_a_bound(name: str) -> None:
    arguments: dict[str, Any] = {name: 1}
    assert getattr(Limits(**arguments), name) == 1


@pytest.mark.parametrize("formats", [["PNG", "BMP"], ("png",), ["TIFF"], [7]])
def test_an_unknown_format_is_a_usage_error_that_names_the_known_ones(formats: Any) -> None:
    with pytest.raises(UsageError, match="PNG, JPEG, WEBP, GIF, AVIF, SVG"):
        Limits(formats=formats)


@pytest.mark.parametrize("formats", [None, 5, "PNG"])
def test_formats_that_are_no_list_of_names_are_a_usage_error(formats: Any) -> None:
    with pytest.raises(UsageError):
        Limits(formats=formats)


def test_formats_may_be_any_iterable_and_are_kept_as_a_tuple() -> None:
    given: Any = iter(["PNG", "WEBP"])
    assert Limits(formats=given).formats == ("PNG", "WEBP")


def test_limits_are_frozen_values_given_by_name() -> None:
    limits = Limits(max_items=3)
    assert limits == Limits(max_items=3)
    assert hash(limits) == hash(Limits(max_items=3))
    assert limits != Limits()
    assert replace(limits, max_items=4).max_items == 4
    assert pickle.loads(pickle.dumps(limits)) == copy.copy(limits) == limits
    with pytest.raises(FrozenInstanceError):
        limits.max_items = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        Limits(1)  # type: ignore[call-arg]
