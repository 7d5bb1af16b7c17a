"""Base64 that is decoded in place gives the same values as its text, and a field that is no picture gets the text."""

from __future__ import annotations

import inspect
import json
import sys
import tracemalloc
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import product
from typing import Any
from unittest import mock

import pytest
import samples
from hypothesis import example, given
from hypothesis import strategies as st
from samples import as_text

from imgassemble import Assembler, EventError, assemble, open_events
from imgassemble.frames.base64_json import Decoded, load_decoded, load_json
from imgassemble.simulator import Order, play
from imgassemble.simulator.answers import Api
from imgassemble.wire.dialects import OTHER_NAMES, ROWS
from imgassemble.wire.events import parse_event, typed_event
from imgassemble.wire.fields import FIELDS_OF_SHAPES, OutputItemFields, PartFields, ResponseFields
from imgassemble.wire.reader import read_event

_SHORT = 8  # bytes that count as long in these tests
_SHORT_TEXT = b64encode(b"a picture").decode()
_LONG_TEXT = b64encode(bytes(range(256)) * 400).decode()  # 136 KB, as a small picture has


@contextmanager
def _long_is_short() -> Iterator[None]:
    with mock.patch("imgassemble.frames.base64_json._LONG", _SHORT):
        yield


_BASE64 = st.binary(min_size=_SHORT, max_size=60).map(lambda data: b64encode(data).decode())
_STRINGS = st.one_of(
    _BASE64,
    st.tuples(st.sampled_from(['"', ': "', '": "', "\\", '\\"', "\0", "\0000", "é", ": "]), _BASE64).map("".join),
    st.tuples(
        st.sampled_from(
            ["data:", "data:image/png;base64,", "DATA:,", "data:a\\,", 'data:"', "data:\0,", "data:é,", ","]
        ),
        _BASE64,
    ).map("".join),
    st.tuples(_BASE64, st.sampled_from(['"', "\\", ":", "\0", " "])).map("".join),
    st.text('AB01":,\\{}[] \0\n=', max_size=40),
)
_VALUES = st.recursive(
    _STRINGS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_STRINGS, inner, max_size=4),
    max_leaves=12,
)
_SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",\n", ":\t")])


@given(_VALUES, _SEPARATORS, st.booleans())
@example({"a": "A" * 14 + "B="}, (",", ":"), True)
@example({"a": "=" * 16}, (",", ":"), True)
@example({"a": "A" * 16, "b": "\0000"}, (",", ":"), True)
@example({"a": "A" * 16, 'a": ': "B" * 16}, (",", ": "), True)
def test_the_values_are_those_of_the_text(value: Any, separators: tuple[str, str], is_ascii: bool) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=is_ascii).encode()
    with _long_is_short():
        assert as_text(load_decoded(text)) == load_json(text) == value


@given(
    _VALUES,
    st.lists(st.tuples(st.integers(0), st.integers(0, 3), st.sampled_from([b"", b'"', b"\\", b":", b"\xff", b"A"]))),
)
@example({"a": "A" * 12}, [(5, 0, b"\\")])
@example({"a": "A" * 12}, [(9, 1, b"\xff")])
def test_text_that_is_not_json_gives_the_same_error_either_way(
    value: Any, changes: list[tuple[int, int, bytes]]
) -> None:
    text = json.dumps(value).encode()
    for place, gone, put in changes:
        at = place % (len(text) + 1)
        text = text[:at] + put + text[at + gone :]
    with _long_is_short():
        assert _told(load_decoded, text) == _told(load_json, text)


def _told(load: Any, text: bytes) -> Any:
    try:
        return repr(as_text(load(text)))
    except EventError as error:
        return str(error)


def test_long_base64_is_decoded_in_place_and_short_is_not() -> None:
    short = _LONG_TEXT[: 4 * 1024]
    text = json.dumps({"a": _LONG_TEXT, "b": [{"c": _LONG_TEXT}], "d": short, "e": "é" + _LONG_TEXT, "f": 1}).encode()
    read = load_decoded(text)
    assert isinstance(read["a"], Decoded)
    assert isinstance(read["b"][0]["c"], Decoded)
    assert read["a"].data == read["b"][0]["c"].data == b64decode(_LONG_TEXT)
    assert (read["d"], read["e"], read["f"]) == (short, "é" + _LONG_TEXT, 1)
    assert json.loads(text) == as_text(read) == load_json(text)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind_are_read_and_released(kind: Any) -> None:
    data = bytearray(json.dumps({"result": _LONG_TEXT}).encode())
    assert load_decoded(kind(data))["result"].data == b64decode(_LONG_TEXT)
    data.clear()  # bytes that are still referenced cannot be cleared


def test_the_values_of_a_text_are_texts() -> None:
    assert load_decoded(json.dumps({"result": _LONG_TEXT})) == {"result": _LONG_TEXT}


def test_a_large_event_is_never_made_a_text() -> None:
    picture = bytes(1_000_000)
    text = json.dumps({"type": "response", "result": b64encode(picture).decode()}).encode()
    tracemalloc.start()
    try:
        read = load_decoded(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read["result"].data == picture
    assert peak < 1.1 * len(picture)


def test_deep_values_are_read_near_the_limit_of_recursion() -> None:
    text = (b'{"x":' * 150) + json.dumps(_LONG_TEXT).encode() + b"}" * 150

    def at_depth(depth: int) -> Any:
        return at_depth(depth - 1) if depth else load_decoded(text)

    room = sys.getrecursionlimit() - len(inspect.stack())
    assert as_text(at_depth(0)) == as_text(at_depth(room - 80)) == load_json(text)


# ---- a field that is no picture gets the text that was sent


def test_a_long_text_that_is_no_picture_stays_a_text() -> None:
    event = {
        "type": "response.output_item.done",
        "item": {
            "type": "image_generation_call",
            "id": _LONG_TEXT,
            "status": "completed",
            "revised_prompt": _LONG_TEXT,
        },
    }
    text = json.dumps(event).encode()
    assert typed_event(read_event(text, load_decoded)) == parse_event(event)
    error = {"type": "error", "error": {"message": _LONG_TEXT, "code": "x"}}
    assert typed_event(read_event(json.dumps(error).encode(), load_decoded)) == parse_event(error)


_NAMES = {
    *(name for kind in (*FIELDS_OF_SHAPES.values(), OutputItemFields, ResponseFields, PartFields)
      for base in kind.__mro__ for name in inspect.get_annotations(base)),
    *OTHER_NAMES, "object",
    *(path for paths in OTHER_NAMES.values() for path in paths if isinstance(path, str)),
    *(part for paths in OTHER_NAMES.values() for path in paths if isinstance(path, tuple) for part in path[:1]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(map(str, _NAMES)))
def test_base64_in_any_member_gives_the_same_as_its_text(name: str) -> None:
    url = "data:image/png;base64," + _SHORT_TEXT
    for kind, text in product(ROWS, (_SHORT_TEXT, url)):
        for inner in ({name: text}, {"item": {"type": "image_generation_call", "id": "a", name: text}}):
            event = {"type": kind} | inner
            with _long_is_short():
                read = read_event(json.dumps(event).encode(), load_decoded)
            assert as_text(typed_event(read).model_dump(warnings=False)) == parse_event(event).model_dump()
            with _long_is_short():
                told = [str(update) for update in Assembler().feed(json.dumps(event).encode())]
            assert told == [str(update) for update in Assembler().feed(event)]


def test_a_typed_event_holds_texts_only() -> None:
    event = samples.partial("ig_1", 0, content=_LONG_TEXT)
    read = parse_event(json.dumps(event).encode())
    assert read == parse_event(event)
    assert json.loads(read.model_dump_json())["partial_image_b64"] == _LONG_TEXT


_PNG = b64encode(samples.png(40, 40)).decode()
_URLS = {
    "as services send it": "data:image/png;base64," + _PNG,
    "another format": "data:image/jpeg;base64," + _PNG,
    "no base64": "data:image/png," + _PNG,
    "no media type": "data:;base64," + _PNG,
    "spaces": "data:image/png ; base64 ," + _PNG,
    "a tab": "data:image/png;base64\t," + _PNG,
    "another case": "DATA:IMAGE/PNG;BASE64," + _PNG,
    "no padding": "data:image/png;base64," + _PNG.rstrip("="),
    "two": "data:image/png;base64,data:image/png;base64," + _PNG,
    "a parameter": 'data:image/png;name="x";base64,' + _PNG,
}


@pytest.mark.parametrize("url", _URLS.values(), ids=_URLS)
def test_a_data_url_gives_the_same_as_text_and_decoded(url: str) -> None:
    image = {"image_url": {"url": url}}
    for message in ({"images": [image]}, {"content": [image]}, {"content": url}, {"content": f"here: {url} there"}):
        event = {"object": "chat.completion", "choices": [{"message": message}]}
        told = [[str(update) for update in Assembler().feed(event)]]
        with _long_is_short():
            told += [[str(update) for update in Assembler().feed(json.dumps(event).encode())]]
        assert told[0] == told[1]


@pytest.mark.parametrize("api", ["responses", "images", "chat"])
def test_bytes_give_the_frames_that_their_events_give(api: Api) -> None:
    body = b"".join(play(Order(api=api, size=(512, 512))).body)
    events = list(open_events(BytesIO(body)))
    assert json.loads(json.dumps(events)) == events  # callers of open_events get the events as they were sent
    from_events, from_bytes = assemble(events), assemble([body])
    assert from_events.items == from_bytes.items
    assert all(item.final for item in from_bytes.items.values())
    with _long_is_short():
        assert assemble([body]).items == from_bytes.items
