"""Sources: the kind of a stream is recognised by its content, and an error replaces bytes that are no event."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from imgassemble import Assembler, EventError, LimitError, Limits, UsageError, assemble, open_events
from imgassemble.streams.decoding.decoder import EventDecoder
from imgassemble.streams.sources import looks_like_lines, open_chunks

BOM = b"\xef\xbb\xbf"
EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "sequence_number": 0},
    {"type": "keepalive", "sequence_number": 1, "text": "é [DONE] data: x"},
    {"type": "error", "error": {"message": "\u2028\x85"}},
]


def _facts(event: Any) -> Any:
    return (type(event).__name__, str(event)) if isinstance(event, Exception) else event


def _decoded(chunks: Iterable[bytes], limits: Limits | None = None) -> list[Any]:
    decoder = EventDecoder(limits)
    told = [_facts(event) for chunk in chunks for event in decoder.feed(chunk)]
    return told + [_facts(event) for event in decoder.close()]


def _read(body: bytes | str, limits: Limits | None = None) -> list[Any]:
    return _decoded([body.encode() if isinstance(body, str) else body], limits)


def _cut(body: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return [body[start:end] for start, end in pairwise(at)]


def _lines(end: str = "\n") -> str:
    return "".join(json.dumps(event) + end for event in EVENTS)


_BODIES: dict[str, bytes] = {
    "SSE": samples.sse(EVENTS),
    "SSE with [DONE]": samples.sse(EVENTS, done=True),
    "SSE without names": "".join(f"data: {json.dumps(event)}\n\n" for event in EVENTS).encode(),
    "SSE without spaces": "".join(f"data:{json.dumps(event)}\n\n" for event in EVENTS).encode(),
    "SSE with comments": b": hi\n\n" + samples.sse(EVENTS).replace(b"\n\n", b"\n\n: keep-alive\n\n"),
    "SSE with CRLF": samples.sse(EVENTS).replace(b"\n", b"\r\n"),
    "SSE with CR": samples.sse(EVENTS).replace(b"\n", b"\r"),
    "SSE without its last blank line": samples.sse(EVENTS)[:-2],
    "SSE pretty-printed": "".join(
        "".join(f"data: {line}\n" for line in json.dumps(event, indent=1).split("\n")) + "\n" for event in EVENTS
    ).encode(),
    "JSON Lines": _lines().encode(),
    "JSON Lines with CRLF": _lines("\r\n").encode(),
    "JSON Lines with blank lines": _lines("\n\n \n").encode(),
    "JSON Lines without a last end": _lines().encode()[:-1],
    "JSON Lines not escaped": "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in EVENTS).encode(),
    "a JSON array": json.dumps(EVENTS).encode(),
    "a JSON array, pretty-printed": json.dumps(EVENTS, indent=2).encode(),
}


# ---- told by looking


@pytest.mark.parametrize("name", sorted(_BODIES))
@pytest.mark.parametrize("start", [b"", BOM, b"\n", b" \r\n\t", BOM + b"\n\n"])
def test_each_kind_of_stream_gives_its_events(name: str, start: bytes) -> None:
    assert _read(start + _BODIES[name]) == EVENTS


@pytest.mark.parametrize("name", sorted(_BODIES))
@pytest.mark.parametrize("start", [b"", BOM])
def test_single_bytes_give_the_same_events(name: str, start: bytes) -> None:
    assert _decoded(bytes([byte]) for byte in start + _BODIES[name]) == EVENTS


@given(
    name=st.sampled_from(sorted(_BODIES)),
    start=st.sampled_from([b"", BOM, b"\n"]),
    places=st.lists(st.integers(0, 600)),
)
def test_any_cut_gives_the_same_events(name: str, start: bytes, places: list[int]) -> None:
    assert _decoded(_cut(start + _BODIES[name], places)) == EVENTS


@given(
    body=st.binary(max_size=120)
    | st.text('{}[]":,\n\r data1', max_size=60).map(str.encode)
    | st.tuples(st.sampled_from([BOM, b"{", b"[", b"data: ", b"\xef\xbb"]), st.binary(max_size=60)).map(b"".join),
    places=st.lists(st.integers(0, 200)),
)
def test_arbitrary_bytes_never_raise_and_cut_the_same(body: bytes, places: list[int]) -> None:
    limits = Limits(max_event_bytes=40, max_total_bytes=80)
    whole = _read(body, limits)
    assert _decoded(_cut(body, places), limits) == whole
    assert _decoded((bytes([byte]) for byte in body), limits) == whole


@given(places=st.lists(st.integers(0, 10)))
def test_a_mark_of_byte_order_alone_is_an_empty_stream(places: list[int]) -> None:
    assert _decoded(_cut(BOM, places)) == []


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n ", BOM, b"\n" * 1_000])
def test_an_empty_stream_gives_no_event(body: bytes) -> None:
    assert _read(body) == []


# ---- SSE


def test_the_last_id_is_that_of_an_event_that_was_given() -> None:
    decoder = EventDecoder()
    assert decoder.last_event_id == ""
    events = decoder.feed(b'id: 1\ndata: {"a": 1}\n\nid: 2\ndata: {"a": 2}\n\nid: 3\ndata: [DONE]\n\n')
    assert [decoder.last_event_id for _ in events] == ["1", "2"]
    assert decoder.last_event_id == "2"
    assert decoder.is_done


def test_the_name_of_an_event_is_its_type_where_its_data_has_none() -> None:
    assert _read('event: a\ndata: {"x": 1}\n\n') == [{"x": 1, "type": "a"}]
    assert _read('event: a\ndata: {"type": "b"}\n\n') == [{"type": "b"}]
    assert _read('event: a\ndata: {"type": null}\n\n') == [{"type": "a"}]
    assert _read('event: a\ndata: {"object": "response"}\n\n') == [{"object": "response"}]
    assert _read('event: a\ndata: {"Type": "b"}\n\n')[0]["Type"] == "b"
    assert _read("event: a\ndata: [1]\n\n") == [[1]]


def test_a_type_in_another_spelling_stands_against_the_events_name() -> None:
    name = "response.image_generation_call.in_progress"
    (event,) = _read(f'event: message\ndata: {{"Type": "{name}", "ItemID": "ig_1", "OutputIndex": 0}}\n\n')
    assembler = Assembler()
    assembler.feed(event)
    assert list(assembler.items) == ["ig_1"]


@pytest.mark.parametrize(
    "done", ["data: [DONE]\n\n", "data: [DONE]", "data:[DONE]\r\n\r\n", "event: done\ndata: [DONE]\n\n"]
)
def test_done_is_no_event(done: str) -> None:
    assert _read('data: {"type": "a"}\n\n' + done) == [{"type": "a"}]


_PICTURE = {"b64_json": samples.b64(samples.png())}
_CHUNK = {"choices": [{"delta": {"images": [{"image_url": {"url": f"data:image/png;base64,{_PICTURE['b64_json']}"}}]}}]}


@pytest.mark.parametrize("name", ["message", "chunk"])
@pytest.mark.parametrize(
    ("data", "outcome"),
    [({"data": [_PICTURE]}, "completed"), ({"error": {"code": "x"}}, "failed"), (_CHUNK, "completed")],
)
def test_the_name_of_an_event_hides_no_answer_that_is_known_without_a_type(
    name: str, data: dict[str, Any], outcome: str
) -> None:
    body = f"event: {name}\ndata: {json.dumps(data)}\n\n"
    assert _read(body) == [data]
    assert assemble([body.encode()]).outcome == outcome


@pytest.mark.parametrize("name", ["done", "final", "partial", "partial_image", "error", "upstream_error"])
def test_a_name_that_is_a_wire_type_is_the_type_whatever_its_data_has(name: str) -> None:
    data = {"data": [_PICTURE], "error": None}
    assert _read(f"event: {name}\ndata: {json.dumps(data)}\n\n") == [data | {"type": name}]


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("done", ["[DONE]", b"[DONE]", bytearray(b"[DONE]"), memoryview(b"[DONE]")])
def test_done_is_skipped_without_an_anomaly_where_it_is_fed(done: Any, is_strict: bool) -> None:
    assembler = Assembler(strict=is_strict)
    assert assembler.feed(done) == ()
    assert (assembler.skipped, assembler.anomalies) == (1, ())


@pytest.mark.parametrize("is_strict", [False, True])
def test_done_is_skipped_without_an_anomaly_among_the_texts_of_a_stream(is_strict: bool) -> None:
    texts = [json.dumps(samples.image_completed(samples.png())), "[DONE]"]
    result = assemble(texts, assembler=Assembler(strict=is_strict))
    assert (result.outcome, result.anomalies) == ("completed", ())


def test_data_that_is_no_json_is_an_error_in_its_place() -> None:
    first, second, third = _read('data: {"type": "a"}\n\ndata: {"type": \n\ndata: {"type": "b"}\n\n')
    assert (first, third) == ({"type": "a"}, {"type": "b"})
    assert second[0] == "EventError"
    assert "is not JSON" in second[1]


def test_a_bare_line_of_json_after_events_is_an_event() -> None:
    assert _read('data: {"type": "a"}\n\n{"error": {"message": "x"}}\n') == [{"type": "a"}, {"error": {"message": "x"}}]


def test_a_line_too_long_is_told_once_and_passed_over() -> None:
    limits = Limits(max_event_bytes=30)
    body = 'data: {"type": "a"}\n\ndata: ' + "x" * 100 + '\n\ndata: {"type": "b"}\n\n'
    first, error, last = _read(body, limits)
    assert (first, last) == ({"type": "a"}, {"type": "b"})
    assert error == ("LimitError", "a line of 106 bytes is skipped: Limits.max_event_bytes allows 30")


@pytest.mark.parametrize("field", ["data:", "data: ", "id: 7\nevent: a\ndata: "])
def test_the_limit_of_an_event_counts_its_data_and_not_the_names_of_its_fields(field: str) -> None:
    data = '{"type": "a", "x": "é"}'
    size = len(data.encode())
    assert _read(f"{field}{data}\n\n", Limits(max_event_bytes=size)) == [json.loads(data)]
    assert _read(f"{field}{data}\n\n", Limits(max_event_bytes=size - 1))[0][0] == "LimitError"


def test_the_limit_of_an_event_counts_the_data_of_all_its_lines() -> None:
    body = 'data: {"type":\ndata: "a"}\n\n'
    assert _read(body, Limits(max_event_bytes=13)) == [{"type": "a"}]
    assert _read(body, Limits(max_event_bytes=12))[0][0] == "LimitError"


# ---- JSON


@pytest.mark.parametrize("indent", [None, 0, 2, "\t"])
def test_one_whole_answer_is_one_event(indent: int | str | None) -> None:
    answer = samples.answer("completed", [samples.member("ig_1", samples.png())])
    assert _read(json.dumps(answer, indent=indent)) == [answer]


def test_one_answer_is_read_wherever_it_is_cut() -> None:
    answer = json.dumps({"a": 1, "b": [{"c": "é"}]}, indent=2).encode()
    for at in range(len(answer)):
        assert _decoded([answer[:at], answer[at:]]) == [json.loads(answer)]


def test_json_lines_are_told_as_they_come() -> None:
    decoder = EventDecoder()
    assert list(decoder.feed(b'{"type": "a"}\n{"ty')) == [{"type": "a"}]
    assert list(decoder.feed(b'pe": "b"}\n')) == [{"type": "b"}]


def test_a_damaged_line_among_json_lines_is_an_error_in_its_place() -> None:
    first, error, last = _read('{"type": "a"}\n{"type": \n{"type": "b"}\n')
    assert (first, error[0], last) == ({"type": "a"}, "EventError", {"type": "b"})


@pytest.mark.parametrize("blank", ["", "\n", "  \r\n"])
def test_a_damaged_first_line_hides_no_other(blank: str) -> None:
    told = _read(f'{{"type": \n{blank}{{"type": "a"}}\n{blank}{{"type": "b"}}\n')
    assert told[0][0] == "EventError"
    assert told[1:] == [{"type": "a"}, {"type": "b"}]


def test_a_line_of_json_that_is_too_long_is_told_once() -> None:
    body = '{"type": "a"}\n{"type": "' + "x" * 100 + '"}\n{"type": "b"}\n'
    assert [each if isinstance(each, dict) else each[0] for each in _read(body, Limits(max_event_bytes=40))] == [
        {"type": "a"}, "LimitError", {"type": "b"},
    ]  # fmt: skip


def test_a_document_is_bounded_while_it_is_kept() -> None:
    decoder = EventDecoder(Limits(max_total_bytes=1_000))
    assert list(decoder.feed(b"[[")) == []
    for _ in range(1_000):
        assert list(decoder.feed(b"1," * 500)) == []
    (error,) = decoder.close()
    assert isinstance(error, LimitError)
    assert (error.limit, error.actual) == ("max_total_bytes", 1_000_001)


def test_members_of_an_array_come_before_the_array_has_ended() -> None:
    decoder = EventDecoder()
    assert list(decoder.feed(b'[{"type": "a"}, {"ty')) == [{"type": "a"}]
    assert list(decoder.feed(b'pe": "b"}')) == [{"type": "b"}]


def test_a_value_before_garbage_and_the_members_of_an_array_that_is_cut_count() -> None:
    value, (kind, _) = _read('{"a": 1}}')
    assert (value, kind) == ({"a": 1}, "EventError")
    first, second, (kind, _) = _read("[1, 2")
    assert (first, second, kind) == (1, 2, "EventError")


def test_members_of_an_array_that_are_no_events_come_as_they_are() -> None:
    assert _read('[{"type": "a"}, 5, null, "x", [], {"type": "b"}]') == [
        {"type": "a"}, 5, None, "x", [], {"type": "b"},
    ]  # fmt: skip


@pytest.mark.parametrize("body", ['{"type": "a"', '[{"type": "a"', "[", "{", "[DONE]", "{" * 9_000])
def test_json_cut_short_is_one_event_error(body: str) -> None:
    ((kind, sentence),) = _read(body)
    assert kind == "EventError"
    assert sentence.isprintable()


@pytest.mark.parametrize(("line", "count"), [(b"[\n", 200_000), (b"{\n", 2_000)])
def test_a_broken_document_of_many_lines_is_one_error_in_bounded_memory(line: bytes, count: int) -> None:
    body = line * count
    tracemalloc.start()
    try:
        told = _decoded([body])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [kind for kind, _ in told] == ["EventError"]
    assert peak < 1_500_000


# ---- other files


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"upstream connect error or disconnect", "upstream connect error or disconnect"),
        (b"\x1b[2J\x1b]0;pwned\x07", "[2J ]0;pwned"),
        (b"x" * 500, "x" * 59 + "…"),
        (b'"text"', '"text"'),
        (b"null", "null"),
    ],
)
def test_garbage_is_one_event_error_that_shows_how_it_begins(body: bytes, shown: str) -> None:
    ((kind, sentence),) = _read(body)
    assert kind == "EventError"
    assert sentence.startswith("this is no stream of events: it begins with '")
    assert shown in sentence
    assert sentence.isprintable()
    assert _decoded(bytes([byte]) for byte in body) == [(kind, sentence)]


@pytest.mark.parametrize("body", [b"event: ping\n\n", b"retry: 3000\n\n", b"id: 7\n\n", b": ping\n\n", b"data:\n\n"])
def test_what_keeps_a_connection_alive_is_a_stream_without_events(body: bytes) -> None:
    assert _read(body) == []


# ---- arrays that are cut


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("separator", [", ", ",\n"])
def test_an_array_that_is_cut_anywhere_gives_the_events_that_came_whole(indent: int | None, separator: str) -> None:
    members = [json.dumps(event, indent=indent) for event in EVENTS]
    body = f"[{separator.join(members)}]"
    for cut in range(1, len(body), 7):
        *others, last = _read(body[:cut].encode())
        assert last[0] == "EventError"
        assert others == EVENTS[: len(others)]
        whole = len("[" + separator.join(members[: len(others) + 1])) if len(others) < len(members) else len(body)
        assert cut < whole, "one more had come whole"


# ---- opening


def test_a_path_is_opened_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "stream.sse"
    path.write_bytes(samples.sse(EVENTS))
    assert list(open_events(path)) == EVENTS
    assert list(open_events(str(path))) == EVENTS


@pytest.mark.filterwarnings("error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning")
def test_a_path_that_is_not_read_to_its_end_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "stream.sse"
    path.write_bytes(samples.sse(EVENTS))
    events = open_events(path)
    assert next(events) == EVENTS[0]
    del events


@pytest.mark.filterwarnings("error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning")
def test_a_path_that_is_not_read_at_all_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "stream.sse"
    path.write_bytes(samples.sse(EVENTS))
    events = open_events(path)
    del events


def test_a_binary_file_is_read_to_its_end_and_stays_open(tmp_path: Path) -> None:
    file = io.BytesIO(b"skipped" + samples.sse(EVENTS))
    file.seek(7)
    assert list(open_events(file)) == EVENTS
    assert not file.closed
    with gzip.open(tmp_path / "stream.gz", "wb") as out:
        out.write(samples.sse(EVENTS))
    with gzip.open(tmp_path / "stream.gz") as compressed:
        assert list(open_events(compressed)) == EVENTS  # type: ignore[arg-type]


def test_a_raw_file_without_a_buffer_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(samples.sse(EVENTS))
    with (tmp_path / "a").open("rb", buffering=0) as file:
        assert list(open_events(file)) == EVENTS


def test_the_limits_given_are_those_that_hold(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(samples.sse(EVENTS))
    told = list(open_events(tmp_path / "a", Limits(max_event_bytes=50)))
    assert any(isinstance(each, LimitError) for each in told)


def test_a_stream_whose_lines_are_all_too_long_is_a_stream_all_the_same() -> None:
    told = _read('data: {"type": "a"}\n\n', Limits(max_event_bytes=10))
    assert [each[0] for each in told] == ["LimitError"]


@pytest.mark.parametrize("take", [open_events, assemble])
@pytest.mark.parametrize("url", ["https://example.com/otter.sse", Path("http://example.com/otter")])
def test_a_url_in_place_of_a_stream_is_a_usage_error_that_says_how_to_open_it(take: Any, url: Any) -> None:
    with pytest.raises(UsageError, match=r"is a URL.*pass the response of an HTTP client.*curl"):
        take(url)


@pytest.mark.parametrize("name", ["missing.sse", "folder", "a\0b", "missing/also"])
def test_where_there_is_nothing_to_read_is_a_usage_error_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=r"cannot read .* name a file, or - for standard input") as caught:
        open_events(tmp_path / name)
    assert str(caught.value).isprintable()
    assert isinstance(caught.value.__cause__, (OSError, ValueError))


@pytest.mark.parametrize("source", [None, 5, b"stream.sse", ["stream.sse"], {}, EVENTS, io.StringIO("data: {}\n\n")])
def test_what_is_no_source_is_a_usage_error_that_says_what_is(source: Any) -> None:
    with pytest.raises(UsageError, match="a source is a path, - or a file opened in binary mode"):
        open_events(source)


def test_a_file_in_text_mode_is_a_usage_error_under_any_wrapper(tmp_path: Path) -> None:
    file: IO[Any]
    with tempfile.NamedTemporaryFile("w+", dir=tmp_path) as file:
        file.write("data: {}\n\n")
        file.seek(0)
        with pytest.raises(UsageError, match="binary mode"):
            list(open_events(file))


_FROM_STDIN = """
import sys
from imgassemble import open_events
for event in open_events("-"):
    print(event["type"], flush=True)
"""


def test_standard_input_gives_its_events_as_they_come() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _FROM_STDIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as reader:
        assert reader.stdin
        assert reader.stdout
        for name in ("a", "b", "c"):
            reader.stdin.write(f'data: {{"type": "{name}"}}\n\n'.encode())
            assert reader.stdout.readline() == name.encode() + b"\n"  # before the next is written
        reader.stdin.close()
        assert reader.stdout.read() == b""
    assert reader.returncode == 0


def test_a_pipe_gives_its_chunks_as_they_come() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as file:
        chunks = open_chunks(file)
        os.write(writing, b"data: a")
        assert next(chunks) == b"data: a"
        os.write(writing, b"\n\n")
        assert next(chunks) == b"\n\n"
        os.close(writing)
        assert list(chunks) == []


def test_an_error_of_the_file_passes_through() -> None:
    class _Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        list(open_events(io.BufferedReader(_Broken())))


def test_a_source_error_is_told_by_the_assembler_in_its_place() -> None:
    assembler = Assembler()
    for event in [*EventDecoder().feed(b'data: {"type": "response.created"}\n\ndata: {\n\n')]:
        assembler.feed(event)
    assert [anomaly.code for anomaly in assembler.anomalies] == ["unreadable_event"]
    assert isinstance(assembler.anomalies[0].error, EventError)


# ---- text that is lines


@pytest.mark.parametrize(
    "text", ["data: {}", "data:{}", "event: a", ": comment", ":", "id: 7", "retry: 1", "\ufeffdata: x"]
)
def test_lines_of_an_event_stream_look_so(text: str) -> None:
    assert looks_like_lines(text)


@pytest.mark.parametrize("text", ["", '{"data": 1}', "[1]", "database: x", "null", " {}", '"data: x"'])
def test_json_does_not_look_like_lines(text: str) -> None:
    assert not looks_like_lines(text)


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("response.completed", {"object": "response", "status": "completed"}, None),
        ("done", {"choices": []}, None),
        ("partial_image", {"error": {"code": "q"}}, None),
        ("message", {"data": []}, None),
        ("done", {"data": [], "error": None}, "done"),
        ("partial_image", {"b64_json": ""}, "partial_image"),
    ],
)
def test_what_data_says_of_itself_stands_against_the_events_name(
    name: str, data: dict[str, Any], kind: str | None
) -> None:
    (event,) = _read(f"event: {name}\ndata: {json.dumps(data)}\n\n")
    assert event.get("type") == kind
