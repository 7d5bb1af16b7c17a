"""The simulated services over real sockets: routes, refusals, resuming, cutting and hanging, and the real clients."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imgassemble import assemble
from imgassemble.simulator import draw, encode
from imgassemble.simulator.answers import Pace, play
from simulator.asking import PATIENCE_S, SMALL, Answer, asking, send

pytest.importorskip("starlette", reason="the server needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("uvicorn", reason="the server needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("python_multipart", reason="the server needs the extra web: pip install 'imgassemble[web]'")

from imgassemble.simulator.response_store import ResponseStore, StoredResponse
from imgassemble.simulator.server import RunningServer, create_server_app, running_server

POSTS: dict[str, dict[str, Any]] = {
    "/v1/responses": {
        "model": "gpt-5",
        "input": "an otter",
        "tools": [{"type": "image_generation"}],
    },
    "/v1/images/generations": {"model": "gpt-image-1", "prompt": "an otter"},
    "/v1/chat/completions": {
        "model": "some-model",
        "messages": [{"role": "user", "content": "an otter"}],
    },
    "/api/v1/responses": {
        "model": "openai/gpt-5",
        "input": [{"role": "user", "content": "an otter"}],
    },
    "/api/v1/images": {"model": "some/model", "prompt": "an otter"},
    "/api/v1/chat/completions": {
        "model": "some/model",
        "messages": [{"role": "user", "content": "an otter"}],
    },
}


def streamed(path: str, **more: Any) -> dict[str, Any]:
    return {**POSTS[path], "stream": True, **more}


class Gate:
    """A `sleep` for the server that ends only when the test lets it: one event for one `open`."""

    def __init__(self) -> None:
        self._permits = threading.Semaphore(0)

    async def sleep(self, _seconds: float) -> None:
        while not self._permits.acquire(blocking=False):
            await asyncio.sleep(0.002)

    def open(self, times: int = 1) -> None:
        self._permits.release(times)


def wait_for(is_so: Callable[[], object]) -> None:
    """Wait until it is so, as long as a busy machine may take."""
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "it did not come"
        threading.Event().wait(0.01)


# ---- routes


@pytest.mark.parametrize("path", POSTS)
def test_a_stream_has_the_bytes_of_the_answer(server: RunningServer, path: str) -> None:
    answer = send(server, "POST", path, streamed(path))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["transfer-encoding"] == "chunked"
    result = assemble([answer.body])
    assert result.final is not None
    assert result.final.size == SMALL.size


@pytest.mark.parametrize("path", POSTS)
def test_an_answer_that_is_not_streamed_is_json_with_the_picture(server: RunningServer, path: str) -> None:
    answer = send(server, "POST", path, POSTS[path])
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["content-length"] == str(len(answer.body))
    result = assemble([answer.json])
    assert result.final is not None
    assert result.final.size == SMALL.size


def test_a_request_overrides_the_default_order(server: RunningServer) -> None:
    tool = {
        "type": "image_generation",
        "size": "40x24",
        "output_format": "webp",
        "partial_images": 3,
    }
    answer = send(
        server,
        "POST",
        "/v1/responses",
        streamed("/v1/responses", tools=[{"type": "web_search"}, tool]),
    )
    order = replace(SMALL, prompt="an otter", size=(40, 24), format="WEBP", partials=3)
    assert answer.body == b"".join(play(order).body)


def test_auto_and_null_leave_the_default(server: RunningServer) -> None:
    body = streamed("/v1/images/generations", size="auto", n=None, output_format=None)
    answer = send(server, "POST", "/v1/images/generations", body)
    assert answer.body == b"".join(play(replace(SMALL, api="images", prompt="an otter")).body)


def test_several_images_come_in_a_whole_answer(server: RunningServer) -> None:
    answer = send(server, "POST", "/v1/images/generations", POSTS["/v1/images/generations"] | {"n": 2})
    assert len(answer.json["data"]) == 2


def test_headers_choose_the_seed_the_dialect_and_the_faults(server: RunningServer) -> None:
    headers = {
        "x-imgassemble-seed": "11",
        "x-imgassemble-dialect": "openai-2025",
        "x-imgassemble-faults": "crlf, comments",
    }
    answer = send(server, "POST", "/v1/responses", streamed("/v1/responses"), headers)
    order = replace(SMALL, prompt="an otter", seed=11, dialect="openai-2025", faults=("crlf", "comments"))
    assert answer.body == b"".join(play(order).body)


def test_paths_below_api_are_those_of_openrouter(server: RunningServer) -> None:
    answer = send(server, "POST", "/api/v1/responses", streamed("/api/v1/responses"))
    assert answer.body == b"".join(play(replace(SMALL, prompt="an otter", dialect="openrouter")).body)
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_the_texts_of_an_input_of_many_parts_are_the_prompt(server: RunningServer) -> None:
    parts = [
        {"type": "input_text", "text": "an otter"},
        {"type": "input_image", "image_url": "data:,"},
    ]
    asked = [{"role": "system", "content": "draw"}, {"role": "user", "content": parts}]
    answer = send(server, "POST", "/v1/responses", streamed("/v1/responses", input=asked))
    assert answer.body == b"".join(play(replace(SMALL, prompt="draw an otter")).body)


def test_requests_are_kept(server: RunningServer) -> None:
    send(
        server,
        "POST",
        "/v1/images/generations?x=1",
        POSTS["/v1/images/generations"],
        {"authorization": "Bearer s3"},
    )
    (asked,) = server.service.requests
    assert (asked.method, asked.path, asked.query) == ("POST", "/v1/images/generations", {"x": "1"})
    assert asked.json == POSTS["/v1/images/generations"]
    assert "s3" not in repr(asked)


# ---- forms


def form(
    fields: Mapping[str, str], files: Mapping[str, bytes], boundary: str = "cut-here"
) -> tuple[bytes, dict[str, str]]:
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts += [(f'name="{name}"; filename="a.png"\r\nContent-Type: image/png', data) for name, data in files.items()]
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n"
        for head, data in parts
    )
    return body + f"--{boundary}--\r\n".encode(), {"content-type": f"multipart/form-data; boundary={boundary}"}


@pytest.mark.parametrize("name", ["image", "image[]"])
def test_an_edit_comes_as_a_form_with_the_picture(server: RunningServer, name: str) -> None:
    picture = encode(draw("a barn", size=(32, 32)), "PNG")
    body, headers = form({"prompt": "an otter", "stream": "true", "partial_images": "1", "n": "1"}, {name: picture})
    answer = send(server, "POST", "/v1/images/edits", body, headers)
    order = replace(SMALL, api="edits", prompt="an otter", partials=1, picture=picture)
    assert answer.body == b"".join(play(order).body)
    assert {event["type"].split(".")[0] for event in answer.events} == {"image_edit"}
    shown = {"filename": "a.png", "content_type": "image/png", "bytes": len(picture)}
    assert server.service.requests[-1].json[name] == shown


def test_an_edit_that_is_not_streamed_is_json(server: RunningServer) -> None:
    picture = encode(draw("a barn", size=(32, 32)), "PNG")
    body, headers = form({"prompt": "an otter"}, {"image": picture})
    answer = send(server, "POST", "/v1/images/edits", body, headers)
    assert answer.status == 200
    assert b64decode(answer.json["data"][0]["b64_json"])


def test_an_edit_may_come_as_json(server: RunningServer) -> None:
    picture = encode(draw("a barn", size=(32, 32)), "PNG")
    url = f"data:image/png;base64,{b64encode(picture).decode()}"
    asked = {"prompt": "an otter", "stream": True, "images": [{"image_url": url}]}
    answer = send(server, "POST", "/v1/images/edits", asked)
    assert answer.body == b"".join(play(replace(SMALL, api="edits", prompt="an otter", picture=picture)).body)


# ---- refusals

TOOL = "tools[0]."
BAD_BODIES: list[tuple[str, Any, str | None, str | None]] = [
    ("/v1/responses", b"{", None, None),
    ("/v1/responses", b'"' + b"[" * 100_000, None, None),
    ("/v1/responses", b"[" * 100_000, None, None),
    ("/v1/responses", b"\xff\xfe", None, None),
    ("/v1/responses", b"", None, None),
    ("/v1/responses", [], "body", "invalid_type"),
    ("/v1/responses", {}, "input", "missing_required_parameter"),
    ("/v1/responses", {"input": " "}, "input", "missing_required_parameter"),
    ("/v1/responses", {"input": []}, "input", "missing_required_parameter"),
    ("/v1/responses", {"input": "\ud800"}, "input", "invalid_value"),
    ("/v1/responses", b'{"input":' + b"[" * 400 + b"]" * 400 + b"}", "input", "missing_required_parameter"),
    ("/v1/responses", b'{"input":"x","stream":' + b"[" * 400 + b"]" * 400 + b"}", "stream", "invalid_type"),
    ("/v1/responses", {"input": 7}, "input", "invalid_type"),
    ("/v1/responses", {"input": "x", "stream": "true"}, "stream", "invalid_type"),
    ("/v1/responses", {"input": "x", "background": 1}, "background", "invalid_type"),
    ("/v1/responses", {"input": "x", "tools": {}}, "tools", "invalid_type"),
    ("/v1/responses", {"input": "x", "tools": [{"n": 2}]}, TOOL + "n", "unknown_parameter"),
    ("/v1/responses", {"input": "x", "tools": [{"size": "7"}]}, TOOL + "size", "invalid_value"),
    (
        "/v1/responses",
        {"input": "x", "tools": [{"size": "3840x3840"}]},
        TOOL + "size",
        "invalid_value",
    ),
    ("/v1/responses", {"input": "x", "tools": [{"size": [1]}]}, TOOL + "size", "invalid_value"),
    (
        "/v1/responses",
        {"input": "x", "tools": [{"output_format": {}}]},
        TOOL + "output_format",
        "invalid_value",
    ),
    (
        "/v1/responses",
        {"input": "x", "tools": [{"partial_images": 4}]},
        TOOL + "partial_images",
        "invalid_value",
    ),
    ("/v1/images/generations", {}, "prompt", "missing_required_parameter"),
    ("/v1/images/generations", {"prompt": None}, "prompt", "missing_required_parameter"),
    ("/v1/images/generations", {"prompt": ["x"]}, "prompt", "invalid_type"),
    ("/v1/images/generations", {"prompt": "x", "n": 11}, "n", "invalid_value"),
    ("/v1/images/generations", {"prompt": "x", "n": True}, "n", "invalid_type"),
    (
        "/v1/images/generations",
        {"prompt": "x", "output_format": "tiff"},
        "output_format",
        "invalid_value",
    ),
    ("/v1/images/edits", {"prompt": "x"}, "image", "missing_required_parameter"),
    (
        "/v1/images/edits",
        {"prompt": "x", "images": [{"image_url": "data:,a"}]},
        "images[0].image_url",
        "invalid_value",
    ),
    ("/v1/chat/completions", {}, "messages", "missing_required_parameter"),
    (
        "/v1/chat/completions",
        {"messages": [{"content": 7}, 8]},
        "messages",
        "missing_required_parameter",
    ),
]


def with_type(path: str, body: Any) -> Any:
    """Return the body with the type of the tool, which all of them need."""
    if path != "/v1/responses" or not isinstance(body, dict) or not isinstance(body.get("tools"), list):
        return body
    return body | {"tools": [{"type": "image_generation", **tool} for tool in body["tools"]]}


@pytest.mark.parametrize(("path", "body", "param", "code"), BAD_BODIES)
def test_a_bad_body_is_refused_in_the_form_of_the_service(
    server: RunningServer, path: str, body: Any, param: str | None, code: str | None
) -> None:
    answer = send(server, "POST", path, with_type(path, body))
    assert answer.status == 400
    error = answer.json["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert error["message"].endswith((".", "?"))


def test_several_images_are_not_streamed(server: RunningServer) -> None:
    answer = send(server, "POST", "/v1/images/generations", streamed("/v1/images/generations", n=2))
    assert answer.status == 400
    assert answer.json == {
        "error": {
            "message": "Streaming is only supported with n=1.",
            "type": "image_generation_user_error",
            "param": "input",
            "code": "unsupported_parameter",
        }
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-imgassemble-faults", "no-such-fault"),
        ("x-imgassemble-faults", "crlf=\t, =, ,,"),
        ("x-imgassemble-dialect", "no-such-service"),
        ("x-imgassemble-seed", "seven"),
    ],
)
def test_a_header_that_names_nothing_is_refused(server: RunningServer, name: str, value: str) -> None:
    answer = send(server, "POST", "/v1/responses", POSTS["/v1/responses"], {name: value})
    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")
    assert answer.json["error"]["param"] == name


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"nothing", {"content-type": "multipart/form-data; boundary=x"}),
        (b"--x\r\nno header\r\n\r\n", {"content-type": "multipart/form-data; boundary=x"}),
        (b"--x--", {"content-type": "multipart/form-data"}),
        form({"prompt": "x"}, {}),
        form({}, {"image": b"GIF89a"}),
        form({"prompt": "x", "n": "two"}, {"image": b"GIF89a"}),
        form({"prompt": "x", "stream": "perhaps"}, {"image": b"GIF89a"}),
        form({"prompt": "x"}, {"image": b"this is no picture"}),
    ],
)
def test_a_bad_form_is_refused(server: RunningServer, body: bytes, headers: dict[str, str]) -> None:
    answer = send(server, "POST", "/v1/images/edits", body, headers)
    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")


def test_a_body_that_is_too_large_is_refused(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgassemble.simulator.service._MAX_REQUEST_BYTES", 100)
    answer = send(server, "POST", "/v1/responses", {"input": "x" * 200})
    assert answer.status == 413
    assert "100 bytes" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/no/such/thing", 404),
        ("GET", "/v1/images/generations", 405),
        ("GET", "/v1/responses/resp_unknown", 404),
        ("GET", "/v1/responses/resp_unknown?stream=true", 404),
    ],
)
def test_an_unknown_path_gets_an_error_in_the_form_of_the_service(
    server: RunningServer, method: str, path: str, status: int
) -> None:
    answer = send(server, method, path)
    assert answer.status == status
    assert list(answer.json["error"]) == ["message", "type", "param", "code"]


def test_openrouter_has_its_own_form_of_an_error(server: RunningServer) -> None:
    answer = send(server, "POST", "/api/v1/images", {})
    assert answer.json == {"error": {"message": "Missing required parameter: 'prompt'.", "code": 400}}


# ---- kept responses


def made_in_background(server: RunningServer, headers: Mapping[str, str] | None = None) -> Answer:
    return send(server, "POST", "/v1/responses", streamed("/v1/responses", background=True), headers)


def id_of(answer: Answer) -> str:
    return str(answer.events[0]["response"]["id"])


@pytest.mark.parametrize("after", [0, 1, 5, 6])
def test_a_resumed_stream_is_the_tail_of_the_whole(server: RunningServer, after: int) -> None:
    whole = made_in_background(server)
    rest = send(server, "GET", f"/v1/responses/{id_of(whole)}?stream=true&starting_after={after}")
    assert rest.status == 200
    assert rest.events == [event for event in whole.events if event["sequence_number"] > after]


def test_without_a_number_the_whole_stream_comes_again(server: RunningServer) -> None:
    whole = made_in_background(server)
    assert send(server, "GET", f"/v1/responses/{id_of(whole)}?stream=true").body == whole.body


def test_a_number_beyond_the_end_leaves_nothing(server: RunningServer) -> None:
    whole = made_in_background(server)
    rest = send(server, "GET", f"/v1/responses/{id_of(whole)}?stream=true&starting_after=999")
    assert (rest.status, rest.events) == (200, [])


def test_a_number_that_is_none_is_refused(server: RunningServer) -> None:
    whole = made_in_background(server)
    rest = send(server, "GET", f"/v1/responses/{id_of(whole)}?stream=true&starting_after=six")
    assert (rest.status, rest.json["error"]["param"]) == (400, "starting_after")


def test_each_of_several_responses_can_be_read_and_resumed(server: RunningServer) -> None:
    server.service.order = replace(SMALL, turns=2)
    body = streamed("/v1/responses") | {"background": True}
    made = send(server, "POST", "/v1/responses", body)
    names = [event["response"]["id"] for event in made.events if event["type"] == "response.created"]
    assert len(set(names)) == 2
    for name in names:
        assert send(server, "GET", f"/v1/responses/{name}").json["id"] == name
        rest = send(server, "GET", f"/v1/responses/{name}?stream=true&starting_after=5")
        assert rest.events[0]["sequence_number"] == 6
        assert rest.events[-1]["response"]["id"] == name


def test_a_response_without_background_can_only_be_read_whole(server: RunningServer) -> None:
    made = send(server, "POST", "/v1/responses", streamed("/v1/responses"))
    again = send(server, "GET", f"/v1/responses/{id_of(made)}")
    assert again.json == made.events[-1]["response"]
    refused = send(server, "GET", f"/v1/responses/{id_of(made)}?stream=true&starting_after=2")
    assert refused.status == 400
    assert refused.json["error"] == {
        "message": "This response cannot be streamed because it was not created with background=true.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_a_response_that_is_not_to_be_stored_is_not(server: RunningServer) -> None:
    made = send(server, "POST", "/v1/responses", streamed("/v1/responses", store=False))
    assert send(server, "GET", f"/v1/responses/{id_of(made)}").status == 404


def test_in_the_background_a_response_is_queued_then_in_progress_then_done() -> None:
    now_s, gate = [100.0], Gate()
    gate.open(4)  # for the four answers
    with running_server(SMALL, pace=Pace(delay_s=1.0), sleep=gate.sleep, clock=lambda: now_s[0]) as server:
        queued = send(server, "POST", "/v1/responses", POSTS["/v1/responses"] | {"background": True})
        assert (queued.json["status"], queued.json["output"]) == ("queued", [])
        path = f"/v1/responses/{queued.json['id']}"
        assert send(server, "GET", path).json["status"] == "in_progress"
        now_s[0] += 60
        done = send(server, "GET", path)
        assert done.json["status"] == "completed"
        assert assemble([done.json]).final is not None


def kept(size: int) -> StoredResponse:
    return StoredResponse(
        order=replace(SMALL, picture=b"x" * size), stream=play(replace(SMALL, size=(1, 1))), done_at=0.0
    )


def test_the_shelf_keeps_the_newest_up_to_a_number() -> None:
    shelf = ResponseStore(max_count=2)
    for name in ("a", "b", "c"):
        shelf.put(name, kept(1))
    assert [shelf.get(name) is not None for name in ("a", "b", "c")] == [False, True, True]


def test_the_shelf_keeps_the_newest_up_to_their_bytes() -> None:
    shelf = ResponseStore(max_bytes=2 * kept(1_000).weight_bytes)
    for name in ("a", "b", "c"):
        shelf.put(name, kept(1_000))
    assert [shelf.get(name) is not None for name in ("a", "b", "c")] == [False, True, True]
    shelf.put("d", kept(10_000_000))
    assert [name for name in "abcd" if shelf.get(name)] == []


# ---- connections


@pytest.mark.parametrize("fault", ["disconnect-after-event=6", "disconnect-after-bytes=4000"])
def test_a_cut_stream_is_a_broken_read(server: RunningServer, fault: str) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        send(
            server,
            "POST",
            "/v1/responses",
            streamed("/v1/responses"),
            {"x-imgassemble-faults": fault},
        )
    whole = b"".join(play(replace(SMALL, prompt="an otter")).body)
    assert caught.value.partial
    assert whole.startswith(caught.value.partial)
    assert len(caught.value.partial) < len(whole)


def test_a_cut_stream_and_its_rest_give_the_items_of_the_whole(server: RunningServer) -> None:
    whole = assemble([made_in_background(server, {"x-imgassemble-dialect": "openai"}).body])
    with pytest.raises(http.client.IncompleteRead) as caught:
        made_in_background(server, {"x-imgassemble-faults": "disconnect-after-event=7"})
    first = caught.value.partial
    events = Answer(status=200, headers={}, body=first).events
    name, after = events[0]["response"]["id"], events[-1]["sequence_number"]
    rest = send(server, "GET", f"/v1/responses/{name}?stream=true&starting_after={after}")
    assert dict(assemble([first, rest.body]).items) == dict(whole.items)


def test_a_hanging_stream_hangs_until_the_client_has_enough(server: RunningServer) -> None:
    body = json.dumps(streamed("/v1/responses")).encode()
    headers = {"x-imgassemble-faults": "hang"}
    with asking(server, "POST", "/v1/responses", body, headers, timeout_s=0.5) as response:
        with pytest.raises(TimeoutError):
            response.read()
    assert send(server, "POST", "/v1/responses", POSTS["/v1/responses"]).status == 200


def test_a_hanging_stream_does_not_hold_up_the_stop() -> None:
    body = json.dumps(streamed("/v1/responses")).encode()
    with contextlib.ExitStack() as stack:
        with running_server(SMALL) as server:
            headers = {"x-imgassemble-faults": "hang"}
            response = stack.enter_context(asking(server, "POST", "/v1/responses", body, headers))
            assert response.read(10)
            start = time.monotonic()
        assert time.monotonic() - start < PATIENCE_S / 3
        with pytest.raises(http.client.IncompleteRead):
            response.read()


def test_a_client_that_does_not_read_does_not_delay_others(server: RunningServer) -> None:
    body = json.dumps(streamed("/v1/responses", tools=[{"type": "image_generation", "size": "1024x1024"}])).encode()
    with asking(server, "POST", "/v1/responses", body) as slow:
        assert slow.status == 200
        assert send(server, "POST", "/v1/responses", POSTS["/v1/responses"]).status == 200


def test_events_come_when_they_are_due() -> None:
    gate = Gate()
    with running_server(SMALL, pace=Pace(delay_s=1.0), sleep=gate.sleep) as server:
        with asking(server, "POST", "/v1/responses", json.dumps(streamed("/v1/responses")).encode()) as response:
            for event in play(replace(SMALL, prompt="an otter")).events:
                gate.open()
                lines = iter(response.readline, b"\n")
                assert json.loads([*lines][-1].removeprefix(b"data: ")) == event
            assert response.read() == b""


def test_waits_are_counted_from_the_start_so_that_they_do_not_add_up() -> None:
    now_s, waits = [0.0], list[float]()

    async def late(seconds: float) -> None:
        waits.append(seconds)
        now_s[0] += seconds + 0.25  # it is always a quarter of a second late

    with running_server(SMALL, pace=Pace(delay_s=1.0), sleep=late, clock=lambda: now_s[0]) as server:
        send(server, "POST", "/v1/responses", streamed("/v1/responses"))
    assert waits[0] == 1.0
    assert set(waits[1:]) == {0.75}


# ---- the command's part


def run_server(*arguments: str) -> subprocess.Popen[str]:
    code = f"import sys\nfrom imgassemble.simulator.server import serve\nsys.exit(serve({', '.join(arguments)}))"
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def test_the_server_prints_its_address_and_ends_when_interrupted() -> None:
    with run_server("port=0") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r'base_url="http://(127\.0\.0\.1:\d+)/v1"', line)
        assert found, line
        client = http.client.HTTPConnection(found[1], timeout=PATIENCE_S)
        with contextlib.closing(client):  # interrupted while a stream hangs, and without a word about it
            asked = {"prompt": "an otter", "stream": True, "size": "16x16"}
            client.request("POST", "/v1/images/generations", json.dumps(asked), {"x-imgassemble-faults": "hang"})
            with client.getresponse() as response:
                assert response.read(10)
                process.send_signal(signal.SIGINT)
                assert process.wait(PATIENCE_S) == 130
        assert process.stderr.read() == ""


def test_each_request_is_a_line_of_the_log_if_it_is_asked_for() -> None:
    with run_server("port=0", "logs_requests=True") as process:
        assert process.stderr is not None
        found = re.search(r'base_url="http://(127\.0\.0\.1:\d+)/v1"', process.stderr.readline())
        assert found
        client = http.client.HTTPConnection(found[1], timeout=PATIENCE_S)
        with contextlib.closing(client):
            for path in ("/v1/images/generations", "/nowhere"):
                client.request("POST", path, json.dumps({"prompt": "an otter", "size": "16x16"}))
                with client.getresponse() as response:
                    response.read()
        lines = [re.sub(r"\d\d:\d\d:\d\d", "12:00:00", process.stderr.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
    assert lines == [
        "imgassemble: 12:00:00 POST /v1/images/generations 200\n",
        "imgassemble: 12:00:00 POST /nowhere 404\n",
    ]


def test_a_port_in_use_is_one_line_and_wrong_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with run_server(f"port={port}") as process:
            _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in said


@pytest.mark.parametrize("arguments", ["port=70000", "host='192.0.2.1'"])
def test_an_address_that_cannot_be_is_one_line_and_wrong_use(arguments: str) -> None:
    with run_server(arguments) as process:
        _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said.count("\n")) == (2, 1)


def test_the_application_can_be_mounted_anywhere() -> None:
    assert create_server_app(SMALL).state.service.order is SMALL


LINES = re.findall(r"^curl .*\n.*$", (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(), re.M)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to pipe from")
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.rpartition("/")[2])
def test_every_curl_line_of_the_page_saves_the_picture(server: RunningServer, tmp_path: Path, line: str) -> None:
    shown = line.replace("localhost:8000", server.url).replace(
        "imgassemble save", f"{sys.executable} -m imgassemble save"
    )
    run = subprocess.run(["bash", "-c", f"set -o pipefail; {shown}"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert len(list(tmp_path.glob("out/*/*/final.png"))) == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to pipe from")
def test_curl_into_save_writes_each_file_as_its_event_comes(tmp_path: Path) -> None:
    gate = Gate()
    order = replace(SMALL, dialect="openai-2025")
    with running_server(order, pace=Pace(delay_s=1.0), sleep=gate.sleep) as server:
        types = [event["type"].rpartition(".")[2] for event in play(order).events]
        url = f"{server.url}/v1/responses"
        curl = [
            "curl",
            "-sN",
            url,
            "-H",
            "content-type: application/json",
            "-d",
            json.dumps(streamed("/v1/responses")),
        ]
        save = [sys.executable, "-m", "imgassemble", "save", "-", "-o", str(tmp_path)]
        with (
            subprocess.Popen(curl, stdout=subprocess.PIPE) as source,
            subprocess.Popen(
                save, stdin=source.stdout, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            ) as process,
        ):
            assert source.stdout is not None
            source.stdout.close()  # so that `save` alone reads it
            seen: list[str] = []
            for word in types:
                gate.open()
                if word == "partial_image":
                    name = f"partial-{len(seen):03}.png"
                    wait_for(lambda name=name: list(tmp_path.glob(f"*/{name}")))  # type: ignore[misc]
                    seen.append(name)
                    pictures = sorted(path.name for path in tmp_path.glob("*/*.png"))
                    assert pictures == seen  # and no later picture
            assert process.wait(PATIENCE_S) == 0
    times = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*/partial-*.png"))]
    assert times == sorted(set(times))
    assert len(list(tmp_path.glob("*/final.png"))) == 1


# ---- the real client


@pytest.fixture
def client(server: RunningServer) -> Iterator[Any]:
    openai = pytest.importorskip("openai", reason="the openai package is not installed: pip install openai")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0) as made:
        yield made


def faults(*names: str) -> dict[str, str]:
    return {"x-imgassemble-faults": ", ".join(names)}


IMAGE_TOOL: Sequence[Any] = [{"type": "image_generation", "partial_images": 2}]


def test_the_client_streams_a_response(client: Any) -> None:
    from openai.types import responses

    events = list(client.responses.create(model="gpt-5", input="an otter", stream=True, tools=IMAGE_TOOL))
    partials = [event for event in events if isinstance(event, responses.ResponseImageGenCallPartialImageEvent)]
    assert [event.partial_image_index for event in partials] == [0, 1, 2]
    assert isinstance(events[-1], responses.ResponseCompletedEvent)
    result = assemble(events)
    assert result.final is not None


def test_the_client_reads_a_whole_response(client: Any) -> None:
    response = client.responses.create(model="gpt-5", input="an otter", tools=IMAGE_TOOL)
    assert [item.type for item in response.output if item.type == "image_generation_call"]
    assert client.responses.retrieve(response.id).id == response.id


def test_the_client_streams_an_image(client: Any) -> None:
    from openai.types import ImageGenCompletedEvent, ImageGenPartialImageEvent

    events = list(client.images.generate(prompt="an otter", model="gpt-image-1", stream=True, partial_images=2))
    assert [type(event) for event in events] == [ImageGenPartialImageEvent] * 2 + [ImageGenCompletedEvent]


def test_the_client_edits_an_image(client: Any) -> None:
    from openai.types import ImageEditCompletedEvent, ImageEditPartialImageEvent

    picture = ("a.png", encode(draw("a barn", size=(32, 32)), "PNG"), "image/png")
    asked = {"prompt": "at night", "model": "gpt-image-1", "partial_images": 1}
    events = list(client.images.edit(image=[picture, picture], stream=True, **asked))
    assert [type(event) for event in events] == [
        ImageEditPartialImageEvent,
        ImageEditCompletedEvent,
    ]
    assert client.images.edit(image=picture, prompt="at night").data[0].b64_json


def test_the_client_resumes_a_stream(client: Any) -> None:
    stream = client.responses.create(model="gpt-5", input="an otter", stream=True, background=True, tools=IMAGE_TOOL)
    whole = list(stream)
    rest = list(client.responses.retrieve(whole[0].response.id, stream=True, starting_after=5))
    assert rest == [event for event in whole if event.sequence_number > 5]


def test_the_client_raises_its_own_errors(client: Any) -> None:
    import openai

    with pytest.raises(openai.BadRequestError, match="Missing required parameter") as refused:
        client.images.generate(prompt="", model="gpt-image-1")
    assert (refused.value.param, refused.value.code) == ("prompt", "missing_required_parameter")
    with pytest.raises(openai.BadRequestError) as blocked:
        client.images.generate(prompt="x", model="gpt-image-1", extra_headers=faults("moderation-http"))
    assert blocked.value.code == "moderation_blocked"
    with pytest.raises(openai.RateLimitError):
        client.responses.create(model="gpt-5", input="x", stream=True, extra_headers=faults("rate-limit"))
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_unknown")


def test_the_client_sees_a_cut_stream_as_a_broken_connection(client: Any) -> None:
    import openai

    stream = client.responses.create(
        model="gpt-5", input="x", stream=True, extra_headers=faults("disconnect-after-event=4")
    )
    with pytest.raises(Exception, match=r"peer closed|incomplete chunked|Connection") as broken:
        list(stream)
    assert isinstance(broken.value, openai.APIError) or type(broken.value).__module__.startswith("http")
