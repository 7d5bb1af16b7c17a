"""Errors: one tree, each a value that can be compared, pickled and written as JSON, with a sentence safe to print."""

from __future__ import annotations

import copy
import json
import pickle
import unicodedata
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

import imgassemble
from imgassemble import (
    EventError,
    FrameDecodeError,
    FrameEncodingError,
    FrameError,
    ImgassembleError,
    IncompleteStreamError,
    LimitError,
    ProviderError,
    SinkError,
    StreamTakenError,
    UsageError,
)
from imgassemble.errors import clean, quoted

_MADE: dict[str, Callable[[str], ImgassembleError]] = {
    "EventError": lambda text: EventError(text, event_type="response.x"),
    "FrameError": lambda text: FrameError(text, item_id="ig_1", index=1.5),
    "FrameEncodingError": lambda text: FrameEncodingError(text, item_id="ig_1", index=2),
    "FrameDecodeError": lambda text: FrameDecodeError(text),
    "LimitError": lambda text: LimitError(text, limit="max_items", actual=3, item_id="ig_1"),
    "ProviderError": lambda text: ProviderError(text, code="server_error", details={"a": [1, {"b": None}]}),
    "IncompleteStreamError": lambda text: IncompleteStreamError(text, item_ids=["b", "a"]),
    "SinkError": lambda text: SinkError(text, path=Path("/tmp/x"), errno=ENOSPC),
    "StreamTakenError": lambda text: StreamTakenError(text),
    "UsageError": lambda text: UsageError(text),
}
KINDS = sorted(_MADE)


def _facts(error: ImgassembleError) -> dict[str, Any]:
    return {"type": type(error), "args": error.args, "errno": getattr(error, "errno", None), **error.__dict__}


# ---- the tree


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (EventError, ImgassembleError),
        (FrameError, ImgassembleError),
        (FrameEncodingError, FrameError),
        (FrameDecodeError, FrameError),
        (LimitError, ImgassembleError),
        (ProviderError, ImgassembleError),
        (IncompleteStreamError, ImgassembleError),
        (SinkError, ImgassembleError),
        (SinkError, OSError),
        (UsageError, ImgassembleError),
        (UsageError, ValueError),
        (ImgassembleError, Exception),
    ],
)
def test_the_tree_of_errors(kind: type[Exception], parent: type[Exception]) -> None:
    assert issubclass(kind, parent)


def test_every_public_error_is_in_the_tree_and_in_these_tests() -> None:
    public = {name for name in vars(imgassemble)["__all__"] if name.endswith("Error")}
    assert public - {"ImgassembleError"} == set(KINDS)
    assert all(issubclass(getattr(imgassemble, name), ImgassembleError) for name in public)


def test_only_a_sink_error_is_an_os_error() -> None:
    assert [name for name in KINDS if issubclass(getattr(imgassemble, name), OSError)] == ["SinkError"]
    assert [name for name in KINDS if issubclass(getattr(imgassemble, name), ValueError)] == ["UsageError"]


# ---- values


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, *(lambda error, at=at: pickle.loads(pickle.dumps(error, at)) for at in range(6))],
)
def test_a_copied_or_pickled_error_is_the_same(name: str, again: Callable[[Any], Any]) -> None:
    error = _MADE[name]("something happened; do that")
    other = again(error)
    assert other == error
    assert _facts(other) == _facts(error)
    assert (str(other), repr(other), hash(other)) == (str(error), repr(error), hash(error))


@pytest.mark.parametrize("name", KINDS)
def test_errors_are_equal_when_type_sentence_and_data_are(name: str) -> None:
    error = _MADE[name]("something happened")
    assert error == _MADE[name]("something happened")
    assert hash(error) == hash(_MADE[name]("something happened"))
    assert error != _MADE[name]("something else happened")
    assert all(error != make("something happened") for other, make in _MADE.items() if other != name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (EventError("x", event_type="a"), EventError("x", event_type="b")),
        (EventError("x"), EventError("x", has_picture=True)),
        (FrameError("x", index=1), FrameError("x", index=2)),
        (FrameError("x", item_id="a"), FrameError("x", item_id="b")),
        (LimitError("x", limit="a", actual=1), LimitError("x", limit="a", actual=2)),
        (ProviderError("x", code="a"), ProviderError("x", code="b")),
        (ProviderError("x", details={"a": 1}), ProviderError("x", details={"a": 2})),
        (IncompleteStreamError("x", item_ids=["a"]), IncompleteStreamError("x", item_ids=["b"])),
        (SinkError("x", path="a"), SinkError("x", path="b")),
        (SinkError("x", path="a", errno=1), SinkError("x", path="a", errno=2)),
    ],
)
def test_errors_with_other_data_are_not_equal(one: ImgassembleError, other: ImgassembleError) -> None:
    assert one != other


def test_a_note_and_a_cause_change_no_value() -> None:
    error, other = UsageError("x"), UsageError("x")
    error.add_note("seen in the tests")
    error.__cause__ = ValueError("y")
    assert error == other
    assert pickle.loads(pickle.dumps(error)) == other
    assert error.as_dict() == other.as_dict()


@pytest.mark.parametrize("name", KINDS)
def test_an_error_is_its_sentence(name: str) -> None:
    error = _MADE[name]("something happened; do that")
    assert "something happened; do that" in str(error)
    assert str(error).isprintable()


@pytest.mark.parametrize("name", KINDS)
def test_as_dict_is_json_able_and_holds_all_data(name: str) -> None:
    error = _MADE[name]("something happened")
    facts = error.as_dict()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["type"] == name
    assert "something happened" in facts["message"]
    assert set(error.__dict__) <= set(facts)


def test_the_data_of_each_error_under_its_name() -> None:
    assert _MADE["FrameError"]("x").as_dict() == {"type": "FrameError", "item_id": "ig_1", "index": 1.5, "message": "x"}
    assert _MADE["LimitError"]("x").as_dict() == {
        "type": "LimitError",
        "limit": "max_items",
        "actual": 3,
        "item_id": "ig_1",
        "message": "x",
    }
    assert _MADE["IncompleteStreamError"]("x").as_dict()["item_ids"] == ["a", "b"]
    assert _MADE["SinkError"]("x").as_dict()["path"] == "/tmp/x"
    provider = _MADE["ProviderError"]("x").as_dict()
    assert (provider["code"], provider["message"], provider["details"]) == (
        "server_error",
        "x",
        {"a": [1, {"b": None}]},
    )


# ---- refused bytes


def test_refused_bytes_take_no_part_in_the_value_of_an_error() -> None:
    error = FrameDecodeError("cut short", item_id="ig_1", index=1, data=b"refused bytes")
    plain = FrameDecodeError("cut short", item_id="ig_1", index=1)
    assert (error.data, plain.data) == (b"refused bytes", None)
    assert error == plain
    assert hash(error) == hash(plain)
    assert error.as_dict() == plain.as_dict()
    for text in (repr(error), str(error), str(error.as_dict())):
        assert "refused" not in text
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (again, again.data) == (error, None)
    assert b"refused" not in pickle.dumps(error)


def test_an_error_to_keep_holds_no_refused_bytes_and_no_traceback() -> None:
    with pytest.raises(FrameDecodeError) as caught:
        raise FrameDecodeError("cut short", item_id="ig_1", index=1, data=b"refused") from ValueError("why")
    kept = caught.value.without_data()
    assert (kept, kept.data, kept.__traceback__) == (caught.value, None, None)
    assert caught.value.data == b"refused"
    assert kept.__cause__ is not None
    assert (type(kept.__cause__), str(kept.__cause__), kept.__cause__.__traceback__) == (ValueError, "why", None)
    assert kept.without_data() is kept


# ---- data of each error


def test_a_sink_error_has_the_errno_of_its_cause() -> None:
    error = SinkError("x", path=Path("a") / "b", errno=ENOSPC)
    assert (error.path, error.errno, str(error)) == (str(Path("a") / "b"), ENOSPC, "x")
    assert SinkError("x", path=None).errno is None


def test_a_provider_error_has_the_words_of_the_service() -> None:
    error = ProviderError("too much\x1b[2J\r\nof it", code="rate\u202elimit", details={"code": "rate"})
    assert str(error) == "the service failed (rate limit): too much [2J of it"
    assert (error.message, error.code) == ("too much [2J of it", "rate limit")
    assert ProviderError("  ").message == "the service gave no reason"
    assert str(ProviderError("")) == "the service failed: the service gave no reason"


def test_a_provider_error_keeps_its_own_details() -> None:
    details = {"code": "a"}
    error = ProviderError("x", details=details)
    details["code"] = "b"
    assert error.details == {"code": "a"}


def test_the_items_of_an_incomplete_stream_are_sorted() -> None:
    assert IncompleteStreamError("x", item_ids=iter("cab")).item_ids == ("a", "b", "c")


# ---- text from outside


_BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(st.text(st.characters(), max_size=80))
def test_clean_text_is_one_line_without_controls_bidi_or_surrogates(text: str) -> None:
    shown = clean(text)
    assert not any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in shown)
    assert not set(_BIDI_CONTROLS) & set(shown)
    assert shown == shown.strip()
    assert len(shown.splitlines()) <= 1
    shown.encode()


@pytest.mark.parametrize("control", [*_BIDI_CONTROLS, "\0", "\x1b", "\r", "\n", "\t", "\x7f", "\x85", "\x9b", "\ud83d"])
def test_each_control_becomes_a_space(control: str) -> None:
    assert clean(f"a{control}b") == "a b"


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "M"])).map(str.strip))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert clean(text, 10_000) == text


@given(st.text(max_size=60), st.integers(1, 30))
def test_clean_text_is_no_longer_than_asked_for(text: str, longest: int) -> None:
    assert len(clean(text, longest)) <= longest


def test_text_that_is_cut_ends_with_an_ellipsis() -> None:
    assert clean("abcdef", 4) == "abc…"
    assert clean("abcd", 4) == "abcd"
    assert len(clean("x " * 10**6)) == 1_000


def test_base64_is_not_shown() -> None:
    payload = samples.b64(samples.png(40, 40)) * 3
    assert payload[20:40] not in clean(f"cannot read {payload}, sorry")
    assert payload[20:40] not in str(ProviderError(f"invalid image: data:image/png;base64,{payload}"))
    assert payload[20:40] not in str(ProviderError("x", details={"image": payload}).as_dict()["message"])


@given(st.text(st.characters(), max_size=300))
def test_a_quoted_name_fits_in_a_sentence(name: str) -> None:
    shown = quoted(name)
    assert (shown[0], shown[-1]) == ("'", "'")
    assert len(shown) <= 102
    assert shown == quoted(name)
