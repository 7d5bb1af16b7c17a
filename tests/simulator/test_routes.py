"""The routes of Google, Seedream, NovelAI, ComfyUI and AUTOMATIC1111 over real sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from simulator.asking import SMALL, Answer, send

pytest.importorskip("starlette", reason="the server needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("uvicorn", reason="the server needs the extra web: pip install 'imgassemble[web]'")

from imgassemble import ProviderError, assemble
from imgassemble.simulator import Pace, pictures_of, play
from imgassemble.simulator.server import RunningServer, running_server
from imgassemble.streams import comfyui_events, polled_events

GEMINI = "/v1beta/models/gemini-3-pro-image"
ASKED: dict[str, Any] = {
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "an otter"}]}]},
    "interactions": {"model": "gemini-3-pro-image", "input": "an otter", "stream": True},
    "seedream": {"model": "seedream-5-0", "prompt": "an otter", "size": "48x32", "stream": True},
    "novelai": {"input": "an otter", "parameters": {"width": 48, "height": 32, "n_samples": 1, "stream": "sse"}},
}
PATHS = {
    "gemini": f"{GEMINI}:streamGenerateContent?alt=sse",
    "interactions": "/v1beta/interactions",
    "seedream": "/api/v3/images/generations",
    "novelai": "/ai/generate-image-stream",
}
WORKFLOW = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "latent_image": ["5", 0]}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 48, "height": 32, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "an otter", "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
}


def ask(server: RunningServer, path: str, body: Any = None) -> Answer:
    """Return the answer to a POST of `body` as JSON, or to a GET if it is None."""
    return send(server, "GET" if body is None else "POST", path, body)


# ---- streams over HTTP


@pytest.mark.parametrize("api", PATHS)
def test_a_stream_has_the_bytes_of_the_answer(server: RunningServer, api: Any) -> None:
    reply = ask(server, PATHS[api], ASKED[api])
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.body == b"".join(play(replace(SMALL, api=api, prompt="an otter")).body)


@pytest.mark.parametrize(
    ("api", "path", "more"),
    [
        ("gemini", f"{GEMINI}:generateContent", {}),
        ("gemini", "/v1/models/gemini-3-pro-image:generateContent", {}),
        ("interactions", PATHS["interactions"], {"stream": False}),
        ("seedream", PATHS["seedream"], {"stream": False}),
    ],
)
def test_an_answer_that_is_not_streamed_is_json(server: RunningServer, api: Any, path: str, more: Any) -> None:
    reply = ask(server, path, ASKED[api] | more)
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.body == b"".join(play(replace(SMALL, api=api, prompt="an otter", is_streamed=False)).body)


def test_a_stream_of_gemini_is_one_array_without_alt_sse(server: RunningServer) -> None:
    reply = ask(server, f"{GEMINI}:streamGenerateContent", ASKED["gemini"])
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.json == list(play(replace(SMALL, api="gemini", prompt="an otter")).events)


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        (PATHS["gemini"], {}, "error.status"),
        (PATHS["interactions"], {}, "error.status"),
        (PATHS["seedream"], {}, "error.code"),
        (PATHS["novelai"], {"input": 5}, "statusCode"),
        ("/prompt", {"prompt": []}, "error.details"),
        ("/prompt", {"prompt": {"5": {"inputs": {"width": -1, "height": 5}}}}, "node_errors"),
        ("/sdapi/v1/txt2img", {"prompt": ""}, "detail"),
        ("/sdapi/v1/txt2img", {"prompt": "an otter", "width": 99_999, "height": 5}, "detail"),
    ],
)
def test_a_bad_request_is_refused_in_the_form_of_the_service(
    server: RunningServer, path: str, body: Any, place: str
) -> None:
    reply = ask(server, path, body)
    assert reply.status == 400
    value = reply.json
    for name in place.split("."):
        value = value[name]


def test_seedream_makes_several_pictures_on_request(server: RunningServer) -> None:
    more = {"sequential_image_generation_options": {"max_images": 3}, "size": "2K"}
    reply = ask(server, PATHS["seedream"], ASKED["seedream"] | more)
    assert reply.body.count(b"event: image_generation.partial_succeeded") == 3


# ---- ComfyUI


@contextmanager
def socket_of(server: RunningServer, name: str = "otter") -> Iterator[Any]:
    client: Any = pytest.importorskip("websockets.sync.client", reason="ComfyUI's socket needs: pip install websockets")
    address = server.url.replace("http://", "ws://")
    with client.connect(f"{address}/ws?clientId={name}", max_size=None, close_timeout=5) as socket:
        yield socket


def messages_until_idle(socket: Any) -> Iterator[str | bytes]:
    """The messages that a client reads until no prompt is left."""
    has_begun = False
    while True:
        message = socket.recv(timeout=30)
        yield message
        if isinstance(message, str) and (said := json.loads(message))["type"] == "status":
            if has_begun and said["data"]["status"]["exec_info"]["queue_remaining"] == 0:
                return
            has_begun = has_begun or said["data"]["status"]["exec_info"]["queue_remaining"] > 0


@pytest.mark.parametrize("has_metadata", [True, False])
def test_a_prompt_of_comfyui_is_reported_on_the_socket_and_its_picture_is_a_file(
    server: RunningServer, has_metadata: bool
) -> None:
    with socket_of(server) as socket:
        flags = {"type": "feature_flags", "data": {"supports_preview_metadata": has_metadata}}
        socket.send(json.dumps(flags))
        queued = ask(server, "/prompt", {"prompt": WORKFLOW, "client_id": "otter"})
        messages = list(messages_until_idle(socket))
    kinds = {int.from_bytes(message[:4], "big") for message in messages if isinstance(message, bytes)}
    assert kinds == ({3, 4} if has_metadata else {1, 3})

    def fetch(url: str) -> bytes:
        return ask(server, url.removeprefix(server.url)).body

    result = assemble(comfyui_events(messages, f"{server.url}/view"), fetch=fetch)
    (shot,) = pictures_of(replace(SMALL, api="comfyui", prompt="an otter"))
    (item,) = result.items.values()
    assert item.id == queued.json["prompt_id"]
    assert [frame.data for frame in item.partials] == list(shot.partials)
    assert result.require_final().data == shot.result
    assert item.url is not None
    file = ask(server, item.url.removeprefix(server.url))
    assert (file.status, file.headers["content-type"], file.body) == (200, "image/png", shot.result)
    entry = ask(server, f"/history/{item.id}").json[item.id]
    assert entry["outputs"]["9"]["images"][0]["filename"] in item.url
    assert entry["status"]["completed"] is True


def test_a_workflow_with_a_websocket_saver_gets_its_picture_through_the_socket(server: RunningServer) -> None:
    saver = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["8", 0]}}
    workflow = {name: node for name, node in WORKFLOW.items() if name != "9"} | {"12": saver}
    with socket_of(server) as socket:
        ask(server, "/prompt", {"prompt": workflow, "client_id": "otter"})
        result = assemble(comfyui_events(messages_until_idle(socket)))
    (shot,) = pictures_of(replace(SMALL, api="comfyui", prompt="an otter"))
    assert result.require_final().data == shot.result
    assert [frame.data for item in result.items.values() for frame in item.partials] == list(shot.partials)


def test_the_server_of_comfyui_answers_the_features_and_the_socket_stays_open(server: RunningServer) -> None:
    with socket_of(server) as socket:
        first = json.loads(socket.recv(timeout=30))
        assert first["data"]["sid"] == "otter"
        socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
        assert json.loads(socket.recv(timeout=30))["type"] == "feature_flags"
        for _ in range(2):
            ask(server, "/prompt", {"prompt": WORKFLOW, "client_id": "otter"})
            assert len(list(messages_until_idle(socket))) > 5


def test_only_the_client_of_a_prompt_gets_its_messages(server: RunningServer) -> None:
    with socket_of(server, "heron") as other:
        other.recv(timeout=30)
        with socket_of(server) as socket:
            ask(server, "/prompt", {"prompt": WORKFLOW, "client_id": "otter"})
            list(messages_until_idle(socket))
        with pytest.raises(TimeoutError):
            other.recv(timeout=0)


def test_a_socket_of_comfyui_breaks_where_the_fault_says(server: RunningServer) -> None:
    exceptions = pytest.importorskip("websockets.exceptions", reason="ComfyUI's socket needs: pip install websockets")
    server.service.order = replace(SMALL, faults=("disconnect-after-event=6",))
    with socket_of(server) as socket:
        ask(server, "/prompt", {"prompt": WORKFLOW, "client_id": "otter"})
        for _ in range(1 + 6):  # the first one is the server's own
            socket.recv(timeout=30)
        with pytest.raises(exceptions.ConnectionClosedError):
            socket.recv(timeout=30)


def test_a_file_that_comfyui_does_not_have_is_not_found(server: RunningServer) -> None:
    assert ask(server, "/view?filename=../secret.png").status == 404


def test_the_socket_is_refused_with_a_sentence_over_plain_http(server: RunningServer) -> None:
    reply = ask(server, "/ws")
    assert reply.status == 426
    assert b"pip install websockets" in reply.body


# ---- Comfy's API v2


def test_a_job_of_comfys_api_has_events_outputs_and_assets(server: RunningServer) -> None:
    posted = ask(server, "/api/v2/jobs", {"workflow": WORKFLOW})
    assert posted.status == 201
    job = posted.json
    events = ask(server, job["urls"]["events"])
    names = re.findall("^event: (.*)$", events.body.decode(), re.MULTILINE)
    assert names == ["status", "status", *(["progress", "preview"] * 2), "progress", "status", "output"]
    done = ask(server, job["urls"]["self"]).json
    ((shot,), (output,)) = pictures_of(replace(SMALL, api="comfy-api", prompt="an otter")), done["outputs"]
    assert (done["status"], output["job_id"]) == ("succeeded", job["id"])
    assert ask(server, output["url"].removeprefix(server.url)).body == shot.result


def test_a_job_of_comfys_api_runs_as_long_as_its_events_take() -> None:
    now = [0.0]
    with running_server(SMALL, pace=Pace(delay_s=5), clock=lambda: now[0]) as server:
        name = ask(server, "/api/v2/jobs", {"workflow": WORKFLOW}).json["id"]
        assert ask(server, f"/api/v2/jobs/{name}").json["status"] == "running"
        now[0] = 100.0
        assert ask(server, f"/api/v2/jobs/{name}").json["status"] == "succeeded"


def test_a_job_that_is_not_there_is_not_found(server: RunningServer) -> None:
    assert ask(server, "/api/v2/jobs/none").json["error"]["code"] == "not_found"
    assert ask(server, "/api/v2/assets/none/content").status == 404


# ---- AUTOMATIC1111

REQUEST = {"prompt": "an otter", "width": 48, "height": 32, "batch_size": 1, "force_task_id": "task(1)"}


def asking(server: RunningServer, job: Future[Answer]) -> Callable[[], Any]:
    """A function that polls a job as the documentation of `polled_events` shows it."""
    return lambda: job.result().json if job.done() else ask(server, "/sdapi/v1/progress").json


def test_each_preview_of_a1111_waits_until_it_has_been_polled(server: RunningServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(ask, server, "/sdapi/v1/txt2img", REQUEST)
        result = assemble(polled_events(asking(server, job), 0.01))
    (shot,) = pictures_of(replace(SMALL, api="a1111", prompt="an otter"))
    (item,) = result.items.values()
    assert [frame.data for frame in item.partials] == list(shot.partials)
    assert result.require_final().data == shot.result
    idle = ask(server, "/sdapi/v1/progress").json
    assert (idle["progress"], idle["state"]["job"]) == (0.0, "")


def test_a_poll_can_leave_out_the_preview(server: RunningServer) -> None:
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(ask, server, "/sdapi/v1/txt2img", REQUEST)
        while not job.done():
            assert ask(server, "/sdapi/v1/progress?skip_current_image=true").json["current_image"] is None


def test_the_page_of_a1111_gets_a_preview_only_if_it_is_new(server: RunningServer) -> None:
    asked = {"id_task": "task(1)", "id_live_preview": -1, "live_preview": True}
    previews, replies = list[str](), list[Any]()
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(ask, server, "/sdapi/v1/txt2img", REQUEST)
        while not job.done():
            reply = ask(server, "/internal/progress", asked).json
            replies.append(reply)
            previews += [reply["live_preview"]] if reply["live_preview"] else []
            asked["id_live_preview"] = reply["id_live_preview"]
    assert [preview[:27] for preview in previews] == ["data:image/jpeg;base64,/9j/"] * 2
    assert len({*previews}) == 2
    assert any(reply["active"] for reply in replies)
    assert ask(server, "/internal/progress", asked).json["completed"] is True
    assert ask(server, "/internal/progress", asked | {"id_task": "task(2)"}).json["completed"] is False


def test_a_job_of_a1111_that_fails_is_an_http_error(server: RunningServer) -> None:
    server.service.order = replace(SMALL, faults=("response-failed",))
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(ask, server, "/sdapi/v1/txt2img", REQUEST)
        result = assemble(polled_events(asking(server, job), 0.01))
    assert (job.result().status, job.result().json["error"]) == (500, "server_error")
    assert isinstance(result.error, ProviderError)
    assert "The server had an error" in str(result.error)
