"""The decoder: each kind of stream is recognised by its content, at any cut of its bytes; other files are named."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from base64 import b64encode
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from imgassemble import Assembler, EventError, LimitError, Limits, assemble, open_events
from imgassemble.frames.base64_json import load_decoded
from imgassemble.streams.decoding.decoder import EventDecoder

EVENTS: list[dict[str, Any]] = [
    samples.created(seq=0),
    samples.added(seq=1),
    samples.partial(index=0, seq=2),
    {"type": "keepalive", "sequence_number": 3, "text": 'é \\ {"[ data: \U0001f9a6'},
    samples.done(content=samples.png(), seq=4),
    samples.snapshot("completed", [samples.member(content=samples.png())], seq=5),
]
SSE = samples.sse(EVENTS)
JSON_LINES = b"".join(json.dumps(event).encode() + b"\n" for event in EVENTS)
PRETTY = "\n".join(json.dumps(event, indent=2) for event in EVENTS).encode()
HEADERS = b"HTTP/2 200 \r\ndate: Thu, 10 Sep 2026 10:00:00 GMT\r\nx-data: {}\r\n\r\n"


def har(*contents: dict[str, Any], indent: int | None = 2) -> bytes:
    entries = [
        {
            "request": {"headers": [{"name": "authorization", "value": "secret"}]},
            "response": {"status": 200, "headers": [], "content": content},
        }
        for content in contents
    ]
    return json.dumps({"log": {"version": "1.2", "entries": entries}}, indent=indent).encode()


def event_stream(body: bytes) -> dict[str, Any]:
    return {"mimeType": "text/event-stream; charset=utf-8", "text": body.decode()}


def in_base64(body: bytes) -> dict[str, Any]:
    return {"mimeType": "text/event-stream", "encoding": "base64", "text": b64encode(body).decode()}


def mappings(events: Iterable[dict[str, Any]], *, is_text: bool = False) -> list[dict[str, Any]]:
    return [{"event": event["type"], "data": json.dumps(event) if is_text else event, "id": None} for event in events]


KINDS: dict[str, bytes] = {
    "values one after the other": PRETTY,
    "values without white space between": b"".join(json.dumps(event).encode() for event in EVENTS),
    "values with commas between": b",\n".join(json.dumps(event).encode() for event in EVENTS),
    "pretty-printed with tabs": "".join(json.dumps(event, indent="\t") + "\r\n" for event in EVENTS).encode(),
    "pretty-printed without indent": "\n".join(json.dumps(event, indent=0) for event in EVENTS).encode(),
    "a JSON text sequence": b"".join(b"\x1e" + json.dumps(event).encode() + b"\n" for event in EVENTS),
    "an array of lines": b"[\n" + b",\n".join(json.dumps(event).encode() for event in EVENTS) + b"\n]\n",
    "two arrays": json.dumps(EVENTS[:2]).encode() + b"\n" + json.dumps(EVENTS[2:], indent=1).encode(),
    "a line, then an array of plain values and lines": JSON_LINES[: JSON_LINES.index(b"\n") + 1]
    + b"[\n"
    + b"\n,".join(json.dumps(event).encode() for event in EVENTS[1:])
    + b"\n\n]\n",
    "lines with white space around": b"".join(b" " + json.dumps(event).encode() + b"    \n" for event in EVENTS),
    "lines, then pretty-printed": JSON_LINES[: JSON_LINES.index(b"\n") + 1]
    + "\n".join(json.dumps(event, indent=2) for event in EVENTS[1:]).encode(),
    "headers and server-sent events": HEADERS + SSE,
    "headers and values": HEADERS.replace(b"\r\n", b"\n") + PRETTY,
    "headers of a proxy, of a redirect and of the answer": b"HTTP/1.1 200 Connection established\r\n\r\n"
    b"HTTP/1.1 307 \r\nlocation: x\r\n\r\n" + HEADERS + JSON_LINES,
    "headers and gzip": HEADERS + gzip.compress(SSE),
    "gzip": gzip.compress(SSE),
    "gzip of several members": gzip.compress(SSE[:700]) + gzip.compress(SSE[700:]) + b"\0\0\0",
    "gzip with a byte order mark": gzip.compress(b"\xef\xbb\xbf" + PRETTY),
    "gzip of UTF-16": gzip.compress(b"\xff\xfe" + SSE.decode().encode("utf-16-le")),
    "UTF-16 little-endian": b"\xff\xfe" + SSE.decode().replace("\n", "\r\n").encode("utf-16-le"),
    "UTF-16 big-endian": b"\xfe\xff" + PRETTY.decode().encode("utf-16-be"),
    "UTF-16 with headers": b"\xff\xfe" + (HEADERS + PRETTY).decode().encode("utf-16-le"),
    "HAR": har(event_stream(SSE)),
    "HAR in one line": har(event_stream(SSE), indent=None),
    "HAR in base64": har(in_base64(SSE)),
    "HAR of lines": har({"mimeType": "application/x-ndjson", "text": JSON_LINES.decode()}),
    "HAR of several answers": har(
        {"mimeType": "text/html", "text": "<html>"},
        {"mimeType": "application/json"},
        event_stream(SSE[: SSE.index(b"\n\n") + 2]),
        {"mimeType": "application/json", "text": "no JSON"},
        in_base64(SSE[SSE.index(b"\n\n") + 2 :]),
    ),
    "data: twice": SSE.replace(b"\ndata: ", b"\ndata: data: "),
    "data: before each field": SSE.replace(b"\ndata: ", b"\ndata:data:").replace(b"event: ", b"data: event: "),
    "mappings of event and data": b"".join(json.dumps(each).encode() + b"\n" for each in mappings(EVENTS)),
    "message events of a browser": b"".join(
        json.dumps({"type": "message", "data": json.dumps(event), "lastEventId": ""}).encode() + b"\n"
        for event in EVENTS
    ),
    "zlib": zlib.compress(SSE),
    "headers, and zlib": HEADERS + zlib.compress(JSON_LINES, 1),
    "mappings of event and text": json.dumps(mappings(EVENTS, is_text=True), indent=2).encode(),
}


def facts(event: Any) -> Any:
    return (type(event).__name__, str(event)) if isinstance(event, Exception) else event


def decoded(chunks: Iterable[bytes], limits: Limits | None = None) -> list[Any]:
    decoder = EventDecoder(limits)
    events = [facts(event) for chunk in chunks for event in decoder.feed(chunk)]
    return events + [facts(event) for event in decoder.close()]


def in_chunks(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [10**9, 5, 1])
def test_each_kind_gives_its_events_however_it_is_cut(name: str, size: int) -> None:
    assert decoded(in_chunks(KINDS[name], size)) == EVENTS


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_gives_the_result_of_its_events(name: str) -> None:
    result, expected = assemble([KINDS[name]]), assemble(EVENTS)
    assert (result.items, result.outcome, result.anomalies) == (expected.items, expected.outcome, ())


@given(name=st.sampled_from(sorted(KINDS)), places=st.lists(st.integers(0, 10_000)), end=st.integers(0, 10_000))
def test_a_stream_that_ends_anywhere_gives_the_same_however_it_is_cut(name: str, places: list[int], end: int) -> None:
    body = KINDS[name]
    body = body[: end % (len(body) + 1)]
    at = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    whole = decoded([body])
    assert decoded(body[start:stop] for start, stop in pairwise(at)) == whole
    assert decoded(in_chunks(body, 7)) == whole


@given(st.text('{}[]",:\\ \n\r1a\x1e', max_size=60), st.lists(st.integers(0, 60)))
def test_broken_json_gives_the_same_however_it_is_cut(text: str, places: list[int]) -> None:
    body = b"{" + text.encode()
    at = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    assert decoded(body[start:stop] for start, stop in pairwise(at)) == decoded([body])
    assert decoded(in_chunks(b"[" + body, 1)) == decoded([b"[" + body])


def test_large_pictures_are_decoded_in_every_kind_of_json() -> None:
    event = samples.partial(content=samples.png() + bytes(200_000))
    for body in (json.dumps(event), json.dumps(event, indent=1), json.dumps([event]), json.dumps(event) * 2):
        decoder = EventDecoder(load=load_decoded)
        events = [*decoder.feed(body.encode()), *decoder.close()]
        assert [event["partial_image_b64"].data for event in events] == [samples.png() + bytes(200_000)] * len(events)
        assert events


# ---- events come as soon as they are whole


@pytest.mark.parametrize("name", ["values one after the other", "headers and server-sent events", "UTF-16 big-endian"])
def test_events_come_before_the_stream_has_ended(name: str) -> None:
    decoder = EventDecoder()
    events = [event for chunk in in_chunks(KINDS[name], 64) for event in decoder.feed(chunk)]
    assert len(events) >= len(EVENTS) - 1
    assert events + list(decoder.close()) == EVENTS


def test_gzip_gives_events_while_it_is_received() -> None:
    decoder, compress = EventDecoder(), zlib.compressobj(wbits=31)
    events: list[Any] = []
    for event in EVENTS:
        data = compress.compress(samples.sse([event])) + compress.flush(zlib.Z_SYNC_FLUSH)
        events += decoder.feed(data)
        assert events[-1] == event


# ---- damage


def test_a_value_that_is_cut_in_the_middle_of_lines_hides_no_other() -> None:
    lines = [json.dumps(event) for event in EVENTS]
    for cut in range(1, len(lines[2]) - 1, 9):
        body = "\n".join([lines[0], lines[1], lines[2][:cut], *lines[3:]]).encode()
        events = decoded([body])
        assert [event for event in events if isinstance(event, dict)] == EVENTS[:2] + EVENTS[3:]
        assert [event[0] for event in events if isinstance(event, tuple)] == ["EventError"]


def test_a_line_too_long_in_a_pretty_printed_value_is_one_error() -> None:
    values = [{"a": "x" * 100, "b": [1, {"c": 2}]}, {"d": 3}]
    body = "\n".join(json.dumps(value, indent=1) for value in values).encode()
    (kind, _), last = decoded([body], Limits(max_event_bytes=50))
    assert (kind, last) == ("LimitError", {"d": 3})


def test_neighbouring_damage_is_reported_once() -> None:
    assert [kind for kind, _ in decoded([b'{"a": \n' * 50])] == ["EventError"]
    one, error, two = decoded([b'{"a": 1}\n{x}\n{y}\n{"a": 2}\n'])
    assert (one, error[0], two) == ({"a": 1}, "EventError", {"a": 2})


@pytest.mark.parametrize("size", [10**9, 5, 1])
def test_gzip_that_is_damaged_gives_the_events_before_the_damage(size: int) -> None:
    body = bytearray(gzip.compress(SSE + b": \xc3\xa9\n\n" * 1_000, 0))
    body[-2_000] ^= 0xFF
    body[-9] ^= 0xFF
    *events, (kind, sentence) = decoded(in_chunks(bytes(body), size))
    assert events == EVENTS
    assert kind == "EventError"
    assert "gzip data is damaged" in sentence


def test_gzip_that_is_cut_gives_the_events_that_came_whole() -> None:
    body = gzip.compress(SSE)
    for cut in range(2, len(body), 31):
        events = [event for event in decoded([body[:cut]]) if isinstance(event, dict)]
        assert events == EVENTS[: len(events)]


def test_a_gzip_bomb_is_passed_over_at_the_limit() -> None:
    limits = Limits(max_event_bytes=1_000, max_total_bytes=100_000)
    bomb = gzip.compress(b"data: " + bytes(50_000_000))
    decoder = EventDecoder(limits)
    errors = [*decoder.feed(bomb), *decoder.feed(bomb), *decoder.close()]
    assert {type(error) for error in errors} == {LimitError}
    assert [error.limit for error in errors] == ["max_total_bytes", "max_event_bytes"]


def test_gzip_in_gzip_is_named_and_not_read() -> None:
    ((kind, sentence),) = decoded([gzip.compress(gzip.compress(SSE))])
    assert kind == "EventError"
    assert "compressed by gzip more than once" in sentence


def test_many_headers_one_after_the_other_end_in_an_error() -> None:
    ((kind, _),) = decoded([b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000])
    assert kind == "EventError"


@pytest.mark.parametrize("body", [HEADERS, HEADERS[:30]])
def test_headers_without_a_body(body: bytes) -> None:
    errors = decoded([body])
    assert all(kind == "EventError" for kind, _ in errors)


# ---- archives


def test_of_a_har_file_no_request_and_no_header_is_kept() -> None:
    assert "secret" not in repr(decoded([har(event_stream(SSE), {"mimeType": "text/css", "text": "x"})]))


def test_other_requests_of_a_page_in_a_har_file_are_skipped() -> None:
    others = [{"error": {"message": "telemetry is off"}}, {"ok": True}, {"type": "ping"}]
    contents = [{"mimeType": "application/json", "text": json.dumps(each)} for each in others]
    assert decoded([har(*contents, event_stream(SSE), *contents)]) == EVENTS
    answer = {"created": 1, "data": [{"b64_json": samples.b64(samples.png())}]}
    saved = {"mimeType": "application/json", "text": json.dumps(answer)}
    assert decoded([har(*contents, saved, *contents)]) == [answer]
    assert decoded([har(*contents)]) == others


def test_a_har_file_keeps_the_messages_of_a_websocket() -> None:
    messages = [{"type": "send", "data": "{}"}, *({"type": "receive", "data": json.dumps(each)} for each in EVENTS)]
    body = json.dumps({"log": {"entries": [{"_webSocketMessages": messages, "response": {}}]}}).encode()
    assert decoded([body]) == EVENTS


@pytest.mark.parametrize("entries", [[], [None, 5, {}], [{"response": {"content": {"text": 5}}}]])
def test_a_har_file_without_bodies_says_so(entries: list[Any]) -> None:
    ((kind, sentence),) = decoded([json.dumps({"log": {"entries": entries}}).encode()])
    assert kind == "EventError"
    assert "HAR" in sentence


def codex_lines(*payloads: dict[str, Any], kind: str = "response_item") -> bytes:
    lines = [{"timestamp": "2026-07-10T10:00:00.000Z", "type": kind, "payload": payload} for payload in payloads]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.mark.parametrize("size", [10**9, 5, 1])
def test_a_session_file_of_codex_gives_its_pictures(size: int) -> None:
    item = samples.member("ig_1", samples.png()) | {"status": "generating"}
    end = {name: value for name, value in item.items() if name != "id"} | {
        "type": "image_generation_end",
        "call_id": "ig_1",
    }
    body = (
        codex_lines({"id": "019f", "cwd": "/home"}, kind="session_meta")
        + codex_lines({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a cat"}]})
        + codex_lines(end, kind="event_msg")
        + codex_lines(item)
        + codex_lines({"type": "token_count", "info": None}, {"type": ["odd"]}, kind="event_msg")
    )
    result = assemble(in_chunks(body, size))
    assert [(name, frame.final and frame.final.data) for name, frame in result.items.items()] == [
        ("ig_1", samples.png())
    ]
    assert (result.outcome, result.anomalies) == ("completed", ())


def test_items_of_a_response_that_were_saved_alone_are_events() -> None:
    result = assemble([json.dumps([samples.member("ig_1", samples.png())]).encode()])
    assert result.final
    assert result.final.data == samples.png()


@pytest.mark.parametrize("data", ["no JSON", 5, None, [1], "[DONE]"])
def test_a_mapping_of_event_and_data_with_odd_data_stops_nothing(data: Any) -> None:
    body = json.dumps({"event": "message", "data": data}).encode() + b"\n" + JSON_LINES
    assert assemble([body]).items == assemble(EVENTS).items


# ---- the field `error`


@pytest.mark.parametrize("size", [10**9, 5, 1])
@pytest.mark.parametrize(
    ("field", "message"),
    [
        (b'error: {"code": 500, "message": "failed to sample", "type": "server_error"}', "failed to sample"),
        (b'error: {"error": {"message": "failed to sample"}}', "failed to sample"),
        (b"error: failed to sample", "failed to sample"),
        (b'data: error: "failed to sample"', "failed to sample"),
    ],
)
@pytest.mark.parametrize("start", [b"", samples.sse([samples.image_partial(0)])])
def test_a_field_error_is_an_error_event(field: bytes, message: str, size: int, start: bytes) -> None:
    result = assemble(in_chunks(start + field + b"\n\n", size))
    assert result.outcome == "failed"
    assert message in str(result.error)


@pytest.mark.parametrize("nothing", [b"", b"{}", b" {} ", b"null", b"false", b'""', b"[]"])
def test_an_empty_field_error_is_no_event_and_hides_none(nothing: bytes) -> None:
    data = json.dumps({"x": 1}).encode()
    assert decoded([b"event: a\nerror: " + nothing + b"\ndata: " + data + b"\n\n"]) == [{"x": 1, "type": "a"}]


@pytest.mark.parametrize("nothing", [{}, "", False, None, {"code": None, "message": ""}, {"inner": {"code": 0}}])
def test_an_empty_error_hides_no_name_of_an_event(nothing: Any) -> None:
    body = f"event: partial_image\ndata: {json.dumps({'b64_json': 'x', 'error': nothing})}\n\n".encode()
    assert decoded([body])[0]["type"] == "partial_image"


def test_a_data_url_in_data_is_no_field() -> None:
    ((kind, sentence),) = decoded([b"data: data:image/png;base64,AAAA\n\n"])
    assert (kind, "not JSON" in sentence) == ("EventError", True)


@pytest.mark.parametrize("data", [b"upstream timeout", b'"upstream timeout"', b'{"message": "upstream timeout"}'])
@pytest.mark.parametrize("name", [b"error", b"upstream_error"])
def test_an_event_named_error_can_hold_text(data: bytes, name: bytes) -> None:
    result = assemble([b"event: " + name + b"\ndata: " + data + b"\n\n"])
    assert (result.outcome, "upstream timeout" in str(result.error)) == ("failed", True)
    result = assemble([{"event": name.decode(), "data": data.decode()}])
    assert (result.outcome, "upstream timeout" in str(result.error)) == ("failed", True)


@pytest.mark.parametrize("size", [10**9, 5, 1])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n: the end\n\n"])
def test_bare_json_after_events_may_be_pretty_printed(end: bytes, size: int) -> None:
    error = {"error": {"message": "bad gateway", "details": [{"a": 1}]}}
    body = SSE + json.dumps(error, indent=2).encode() + end
    assert decoded(in_chunks(body, size)) == [*EVENTS, error]


def test_bare_json_that_is_cut_hides_no_event() -> None:
    events = decoded([b': hi\n{\n  "a": 1,\n' + SSE])
    assert [event for event in events if isinstance(event, dict)] == EVENTS
    limits = Limits(max_event_bytes=20)
    body = b': hi\n{\n  "a": 1,\n  "bbbbbbbb": 1,\n}\n\ndata: {"c": 1}\n\n'
    assert [event if isinstance(event, dict) else event[0] for event in decoded([body], limits)] == [
        "LimitError", {"c": 1},
    ]  # fmt: skip


# ---- other kinds of files

CASSETTE = """interactions:
- request:
    body: '{}'
  response:
    body:
      string: |+
        event: response.created
        data: {"type":"response.created"}

"""
OTHERS: list[tuple[bytes | str, str]] = [
    ("<!DOCTYPE html>\n<title>api | 524: A timeout\noccurred</title>\ndata: not really\n", "an HTML page"),
    ("\n  <HTML><body>502 Bad Gateway</body></HTML>", "an HTML page"),
    (HEADERS + b"<html></html>", "an HTML page"),
    ('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
    ('<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG picture"),
    (CASSETTE, "a VCR cassette"),
    ("---\nhttp_interactions:\n- request: {}\n", "a VCR cassette"),
    (json.dumps({"version": 1, "interactions": [{"request": {}}]}, indent=1), "a VCR cassette"),
    (json.dumps({"http_interactions": [{"request": {}}], "recorded_with": "betamax"}), "a VCR cassette"),
    ("--- \na: 1\n", "a YAML file"),
    (samples.png(), "a picture file"),
    (samples.picture("JPEG"), "a picture file"),
    (samples.picture("WEBP"), "a picture file"),
    (b"%PDF-1.7\n", "a PDF document"),
    (b"PK\x03\x04\x14\0", "a ZIP archive"),
    (b"\x28\xb5\x2f\xfd\0", "a file compressed by zstd"),
    ("curl: (6) Could not resolve host: api.example.net\n", "an error message of curl"),
    ("Traceback (most recent call last):\n  File x\nKeyError: 'x'\n", "a Python traceback"),
    ("ResponseCreatedEvent(response=Response(id='x'), type='response.created')\n" * 3, "a printout of Python objects"),
    ("{'type': 'response.created', 'response': None}\n" * 3, "a printout of Python objects"),
    ("[{'type': 'response.created'}]\n", "a printout of Python objects"),
    ("b'data: {}'\nb''\n", "a printout of Python objects"),
    ("<openai.types.Event object at 0x7f>\n", "a printout of Python objects"),
    ("2026-09-10 10:00:00,000 INFO httpx: HTTP Request\n" * 3, "a log"),
    ("[2026-09-10 10:00:00] INFO started {}\n" * 3, "a log"),
    ("INFO:httpx:HTTP Request: POST\n", "a log"),
]


@pytest.mark.parametrize(("body", "name"), OTHERS, ids=range(len(OTHERS)))
def test_another_kind_of_file_is_one_error_that_names_it(body: bytes | str, name: str) -> None:
    body = body.encode() if isinstance(body, str) else body
    (error,) = [*(decoder := EventDecoder()).feed(body), *decoder.close()]
    assert isinstance(error, EventError)
    assert str(error).startswith(f"this is {name}")
    assert str(error).isprintable()
    assert "iter_bytes" not in str(error)
    assert error.file_kind is not None
    assert error.file_kind.startswith(name)
    for size in (5, 1):
        assert decoded(in_chunks(body, size)) == [facts(error)]


def test_the_title_of_a_page_is_quoted() -> None:
    ((_, sentence),) = decoded([b"<html><head><title>api |\n 524: A timeout occurred</title>"])
    assert "('api |  524: A timeout occurred')" in sentence


def test_a_file_that_is_no_stream_is_not_kept_in_memory() -> None:
    decoder = EventDecoder()
    for _ in range(1_000):
        assert list(decoder.feed(b"<html>" + b"x" * 10_000)) == []
    assert len(list(decoder.close())) == 1


def test_open_events_names_the_kind_too() -> None:
    (error,) = open_events(io.BytesIO(CASSETTE.encode()))
    assembler = Assembler()
    assembler.feed(error)
    assert "cassette" in assembler.anomalies[0].message
