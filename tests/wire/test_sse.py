"""Server-sent events: the same events however the bytes are cut, and a line too long told once and passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgassemble import LimitError
from imgassemble.wire.sse import LineDecoder, ServerSentEvent, SSEDecoder

ENDS = ["\n", "\r", "\r\n"]
_Told = tuple[bytes, str, str] | tuple[str, int | str]


def _facts(event: ServerSentEvent | LimitError) -> _Told:
    if isinstance(event, LimitError):
        return event.limit, event.actual
    return bytes(event.data), event.event, event.id


def _events(chunks: Iterable[bytes], max_bytes: int = 1_000) -> list[_Told]:
    lines, decoder = LineDecoder(max_bytes, extra_bytes=len(b"data: ")), SSEDecoder(max_bytes)
    told = [decoder.take(line) for chunk in chunks for line in lines.feed(chunk)]
    told += map(decoder.take, (*lines.close(), bytearray()))
    return [_facts(event) for event in told if event]


def _data(body: str | bytes, max_bytes: int = 1_000) -> list[bytes | str]:
    return [each[0] for each in _events([body.encode() if isinstance(body, str) else body], max_bytes)]


def _lines(chunks: Iterable[bytes], max_bytes: int = 1_000) -> list[bytes | int | str]:
    decoder = LineDecoder(max_bytes)

    def told() -> Iterator[bytearray | LimitError]:
        for chunk in chunks:
            yield from decoder.feed(chunk)
        yield from decoder.close()

    return [line.actual if isinstance(line, LimitError) else bytes(line) for line in told()]


def _cut(body: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return [body[start:end] for start, end in pairwise(at)]


# ---- lines


@given(
    lines=st.lists(st.tuples(st.text("ab: \t\v\f\x1c\x85\u2028", max_size=8), st.sampled_from(ENDS)), max_size=8),
    last=st.text("ab", max_size=3),
    places=st.lists(st.integers(0, 200)),
)
def test_lines_are_those_between_the_ends_wherever_the_bytes_are_cut(
    lines: list[tuple[str, str]], last: str, places: list[int]
) -> None:
    # A CR and an LF that meet are one end.
    body = "".join(line + end for line, end in lines) + last
    expected = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    expected = expected if expected[-1] else expected[:-1]
    encoded = [line.encode() for line in expected]
    assert _lines(_cut(body.encode(), places)) == encoded
    assert _lines(bytes([byte]) for byte in body.encode()) == encoded


def test_a_crlf_cut_in_the_middle_is_one_end() -> None:
    assert _lines([b"a\r", b"\nb\r", b"", b"\n", b"\nc"]) == [b"a", b"b", b"", b"c"]


def test_a_cr_ends_a_line_at_once() -> None:
    assert [bytes(line) for line in LineDecoder(9).feed(b"a\r") if not isinstance(line, LimitError)] == [b"a"]


@given(st.lists(st.integers(0, 30), max_size=6), st.lists(st.integers(0, 200)))
def test_a_line_too_long_is_told_once_with_its_length_and_the_others_stay(
    lengths: list[int], places: list[int]
) -> None:
    body = b"".join(b"x" * length + b"\n" for length in lengths)
    expected: list[bytes | int] = [b"x" * length if length <= 10 else length for length in lengths]
    assert _lines(_cut(body, places), 10) == expected


def test_of_a_line_too_long_nothing_is_kept() -> None:
    decoder = LineDecoder(10)
    for _ in range(1_000):
        assert list(decoder.feed(b"x" * 1_000)) == []
    (error,) = decoder.close()
    assert isinstance(error, LimitError)
    assert (error.limit, error.actual) == ("max_event_bytes", 1_000_000)
    assert str(error) == "a line of 1,000,000 bytes is skipped: Limits.max_event_bytes allows 10"


# ---- events


@pytest.mark.parametrize("end", ENDS)
def test_fields_become_an_event(end: str) -> None:
    body = end.join(["event: a", "id: 7", 'data: {"x": 1}', "", ""])
    assert _events([body.encode()]) == [(b'{"x": 1}', "a", "7")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("data: a\n\n", [b"a"]),
        ("data:a\n\n", [b"a"]),
        ("data:  a\n\n", [b" a"]),
        ("data: a\ndata: b\ndata:\ndata: c\n\n", [b"a\nb\n\nc"]),
        ("data: a: b\n\n", [b"a: b"]),
        ("data: a\n\ndata: b\n\n", [b"a", b"b"]),
        ("data: a\n\n\n\n\ndata: b", [b"a", b"b"]),
        ("data: a", [b"a"]),
        ("data: a\n", [b"a"]),
        ("\n\n", []),
        ("", []),
        (": comment\n\n", []),
        (": comment\ndata: a\n: another\n\n", [b"a"]),
        (":\n:\n:data: x\n\n", []),
        ("event: ping\n\ndata: a\n\n", [b"a"]),
        ("data\n\n", []),
        ("data:\n\n", []),
        ("retry: 10\ndata: a\n\n", [b"a"]),
        ("unknown: x\ndata: a\nnothing\n\n", [b"a"]),
        ("DATA: x\n data: y\n\n", []),
        ("dataset: x\ndata-foo: y\ndatadata: z\n\n", []),
        ("data: é\u2028\x85\x0b\n\n", ["é\u2028\x85\x0b".encode()]),
    ],
)
def test_data_is_what_the_lines_say(body: str, expected: list[bytes]) -> None:
    assert _data(body) == expected


def test_a_name_belongs_to_one_event_and_an_id_to_those_that_follow() -> None:
    body = b"event: a\nid: 1\ndata: x\n\ndata: y\n\nevent: lost\n\ndata: z\n\n"
    assert _events([body]) == [(b"x", "a", "1"), (b"y", "", "1"), (b"z", "", "1")]


@pytest.mark.parametrize("after", ["", "\n", "\n\n", "\ndata: b\n\n"])
def test_a_bare_line_of_json_is_an_event(after: str) -> None:
    assert _data('data: a\n\n{"error": {"message": "x"}}' + after)[:2] == [b"a", b'{"error": {"message": "x"}}']


# ---- limits


@pytest.mark.parametrize("end", ENDS)
def test_a_data_line_too_long_is_told_once_and_the_next_event_is_whole(end: str) -> None:
    body = end.join(["data: a", "", "event: x", "data: " + "x" * 50, "", "data: b", "", ""])
    assert _events([body.encode()], 20) == [(b"a", "", ""), ("max_event_bytes", 56), (b"b", "", "")]


@pytest.mark.parametrize("more", [1, 2, 5])
def test_many_data_lines_that_are_too_long_together_are_told_once_and_passed_over(more: int) -> None:
    body = b"data: 12345678\n" * 3 + b"data: 9\n" * more + b"\ndata: b\n\n"
    told = _events([body], 20)
    assert [each[0] for each in told] == ["max_event_bytes", b"b"]


@pytest.mark.parametrize("lines", [[50, 3], [3, 50], [3, 50, 3]])
def test_an_event_one_of_whose_lines_is_too_long_is_told_once_and_passed_over(lines: list[int]) -> None:
    body = b"".join(b"data: " + b"1" * length + b"\n" for length in lines) + b"\ndata: b\n\n"
    assert [each[0] for each in _events([body], 20)] == ["max_event_bytes", b"b"]


def test_an_event_of_exactly_the_limit_passes() -> None:
    assert _data("data: 123\ndata: 456\n\n", 9) == [b"123\n456"]
    assert _data("data: 1234\ndata: 5678\n\n", 10) == [b"1234\n5678"]
    assert _data("data: 1234\n\n", 10) == [b"1234"]
    assert _data("data: 1234\n\n", 3) == ["max_event_bytes"]


# ---- any cut gives the same

_LINE = st.one_of(
    st.sampled_from(["", "", ":", ": keep-alive", "event: a", "id: 7", "data", "data:", "data: [DONE]", '{"a": 1}']),
    st.text("ab {:\u00e9", max_size=6).map("data: ".__add__),
    st.text("adt: x", max_size=9),
    st.just("data: " + "x" * 40),
)
_BODY = st.lists(st.tuples(_LINE, st.sampled_from(ENDS)), max_size=14).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)


@given(body=_BODY, tail=st.sampled_from([b"", b"data: last", b"\r"]), places=st.lists(st.integers(0, 400)))
def test_bytes_cut_anywhere_give_the_same_events(body: bytes, tail: bytes, places: list[int]) -> None:
    whole = _events([body + tail], 30)
    assert _events(_cut(body + tail, places), 30) == whole
    assert _events((bytes([byte]) for byte in body + tail), 30) == whole


@given(body=_BODY)
def test_the_kind_of_line_end_makes_no_difference(body: bytes) -> None:
    in_lf = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for end in (b"\n", b"\r", b"\r\n"):
        assert _data(in_lf.replace(b"\n", end)) == _data(body)


@given(st.binary(max_size=200), st.lists(st.integers(0, 300)))
def test_arbitrary_bytes_never_raise_and_cut_the_same(body: bytes, places: list[int]) -> None:
    assert _events(_cut(body, places), 20) == _events([body], 20)


# ---- fields that the standard does not have


def _errors(body: str) -> list[bytes]:
    lines, decoder = LineDecoder(1_000), SSEDecoder(1_000)
    events = map(decoder.take, (*lines.feed(body.encode()), *lines.close(), bytearray()))
    return [bytes(event.data) for event in events if isinstance(event, ServerSentEvent) and event.is_error]


def test_a_field_error_is_an_event_at_once_and_leaves_the_event_that_has_begun() -> None:
    body = "event: a\ndata: 1\nerror: no\ndata: 2\n\n"
    assert _errors(body) == [b"no"]
    assert _events([body.encode()]) == [(b"no", "", ""), (b"1\n2", "a", "")]


@pytest.mark.parametrize("nothing", ["", "{}", "[]", "null", "false", '""'])
def test_an_empty_field_error_is_no_event(nothing: str) -> None:
    assert _data(f"error: {nothing}\n\n") == []
    assert _data(f"error:{nothing}") == []


def test_a_field_error_that_only_begins_with_an_empty_word_is_an_event() -> None:
    assert _errors("error: false alarm\n") == [b"false alarm"]


@pytest.mark.parametrize("line", ["data: data: {}", "data:data:{}", "data: data: data:{}", "data: data:   {}"])
def test_a_field_in_the_data_of_a_field_counts_as_that_field(line: str) -> None:
    assert [str(data, "ascii").strip() for data in _data(f"{line}\n\n") if isinstance(data, bytes)] == ["{}"]
    assert _events([f"data: event: a\ndata: id: 7\n{line}\n\n".encode()])[0][1:] == ("a", "7")


@pytest.mark.parametrize("data", ["data:image/png;base64,AAAA", "database: x", "[1]", "identity: y", '"event: a"'])
def test_data_that_only_resembles_a_field_stays(data: str) -> None:
    assert _data(f"data: {data}\n\n") == [data.encode()]
