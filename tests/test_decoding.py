"""JSON whose base64 is decoded where it stands: the same values, whatever the text is, and nothing else for whom it is
no picture."""

from __future__ import annotations

import json
import tracemalloc
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire import as_text

from imgassemble import Assembler, EventError, assemble, open_events
from imgassemble.decoding import Decoded, load_decoded, load_json
from imgassemble.events import parse_event
from imgassemble.simulator import Order, play
from imgassemble.simulator.orders import Api

_SHORT = 8  # what counts as long here
_LONG_TEXT = b64encode(bytes(range(256)) * 400).decode()  # 136 KB, as a small picture has


@contextmanager
def _long_is_short() -> Iterator[None]:
    with mock.patch("imgassemble.decoding._LONG", _SHORT):
        yield


_BASE64 = st.binary(min_size=_SHORT, max_size=60).map(lambda data: b64encode(data).decode())
_STRINGS = st.one_of(
    _BASE64,
    st.tuples(st.sampled_from(['"', ': "', '": "', "\\", '\\"', "\0", "\0000", "é", ": "]), _BASE64).map("".join),
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
def test_what_is_no_json_is_none_either_way_and_in_the_same_words(
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


def test_long_base64_is_decoded_where_it_stands_and_short_is_not() -> None:
    short = _LONG_TEXT[: 4 * 1024]
    text = json.dumps({"a": _LONG_TEXT, "b": [{"c": _LONG_TEXT}], "d": short, "e": "é" + _LONG_TEXT, "f": 1}).encode()
    read = load_decoded(text)
    assert isinstance(read["a"], Decoded)
    assert isinstance(read["b"][0]["c"], Decoded)
    assert read["a"].data == read["b"][0]["c"].data == b64decode(_LONG_TEXT)
    assert (read["d"], read["e"], read["f"]) == (short, "é" + _LONG_TEXT, 1)
    assert json.loads(text) == as_text(read) == load_json(text)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_was_read_can_be_cleared(kind: Any) -> None:
    text = json.dumps({"result": _LONG_TEXT}).encode()
    data = kind(text)
    assert isinstance(load_decoded(data)["result"], Decoded)
    if isinstance(data, bytearray):
        data.clear()  # nothing looks at it any more
    assert load_decoded(text.decode()) == {"result": _LONG_TEXT}


def test_of_a_large_event_no_text_is_made() -> None:
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


# ---- to whom it is no picture, it is the text that was sent


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
    assert parse_event(text) == parse_event(event)
    error = {"type": "error", "error": {"message": _LONG_TEXT, "code": "x"}}
    assert parse_event(json.dumps(error).encode()) == parse_event(error)


@pytest.mark.parametrize("name", ["item", "response", "part", "delta", "data", "output", "usage", "content", "type"])
def test_base64_where_something_else_belongs_is_what_a_text_there_is(name: str) -> None:
    for kind in ("response.completed", "response.output_item.done", "image_generation.completed", "ai", "part_start"):
        event = {"type": kind, name: _LONG_TEXT}
        told = [[str(update) for update in Assembler().feed(each)] for each in (event, json.dumps(event).encode())]
        assert told[0] == told[1]


@pytest.mark.parametrize("api", ["responses", "images", "chat"])
def test_bytes_give_the_frames_that_their_events_give(api: Api) -> None:
    body = b"".join(play(Order(api=api, size=(512, 512))).body)
    events = list(open_events(BytesIO(body)))
    assert json.loads(json.dumps(events)) == events  # who asks for events has them as they were sent
    from_events, from_bytes = assemble(events), assemble([body])
    assert from_events.items == from_bytes.items
    assert all(item.final for item in from_bytes.items.values())
    with _long_is_short():
        assert assemble([body]).items == from_bytes.items
