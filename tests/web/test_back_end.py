"""The program of docs/web_back_end.md, unchanged: a real server, its users, and a browser that goes."""

from __future__ import annotations

import json
import os
import runpy
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import samples
from screens.hosts import PATIENCE_S, serving

from imgassemble import assemble

if missing := [name for name in ("fastapi", "itsdangerous", "openai", "uvicorn") if find_spec(name) is None]:
    pytest.skip(f"no {missing[0]} here: pip install fastapi itsdangerous openai uvicorn", allow_module_level=True)

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = DOCS / "web_back_end"


@contextmanager
def back_end(folder: Path, service_url: str, **variables: str) -> Iterator[str]:
    command = ["-m", "uvicorn", "--app-dir", str(PROGRAMS), "--port", "0", "app:app"]
    package = str(DOCS.parent)
    environment = (
        os.environ | {"OPENAI_BASE_URL": service_url, "OPENAI_API_KEY": "-", "PYTHONPATH": package} | variables
    )
    with serving(command, folder, environment) as url:
        yield url


class Browser:
    """One user: keeps the cookie of the session."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._cookie = ""
        assert self.get("/") == (PROGRAMS / "page.html").read_bytes()

    def open(self, path: str) -> HTTPResponse:
        connection = HTTPConnection(self._address, timeout=PATIENCE_S)
        connection.request("GET", path, headers={"cookie": self._cookie, "connection": "close"})
        answer = connection.getresponse()
        if given := answer.getheader("set-cookie"):
            self._cookie = given.partition(";")[0]
        return answer

    def get(self, path: str) -> bytes | int:
        """Return the body, or the status of an error."""
        with closing(self.open(path)) as answer:
            body = answer.read()
        return body if answer.status == 200 else answer.status

    def draw(self, prompt: str) -> list[tuple[str, Any]]:
        with closing(self.open(f"/draw?prompt={quote(prompt)}")) as answer:
            return list(events_in(answer))


def events_in(answer: HTTPResponse) -> Iterator[tuple[str, Any]]:
    kind = ""
    for line in answer:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


class PatientService:
    """A service that sends one preview and then nothing, and notices that its client has left."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self.has_been_left = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(65_536)
            body = samples.sse([samples.image_partial(content=samples.png(64, 64))])
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + body)
            while connection.recv(65_536):
                pass
        self.has_been_left.set()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def patient() -> Iterator[PatientService]:
    service = PatientService()
    yield service
    service.close()


def test_previews_and_the_result_reach_their_user_and_nobody_else(image_server: Any, tmp_path: Path) -> None:
    image_server.use(size=(96, 64))
    with back_end(tmp_path, image_server.base_url) as url:
        browser, other = Browser(url), Browser(url)
        events = browser.draw("An otter")
        assert [kind for kind, _ in events] == ["preview"] * (len(events) - 2) + ["final", "end"]
        assert [facts["number"] for kind, facts in events if kind == "preview"] == [1, 2]
        assert all(facts["url"].startswith("data:image/webp;base64,") for kind, facts in events if kind == "preview")
        address = events[-2][1]["url"]
        final = assemble(image_server.sent[-1].body).require_final()
        assert browser.get(address) == final.data
        assert other.get(address) == 404
        assert browser.get("/pictures/another") == 404
    assert (tmp_path / "pictures.db").exists()


def test_the_service_is_left_when_the_browser_goes(patient: PatientService, tmp_path: Path) -> None:
    with back_end(tmp_path, patient.url) as url:
        answer = Browser(url).open("/draw?prompt=An+otter")
        assert next(events_in(answer))[0] == "preview"
        assert not patient.has_been_left.is_set()
        answer.close()
        assert patient.has_been_left.wait(PATIENCE_S)


def test_a_service_that_falls_silent_is_left_after_a_time(patient: PatientService, tmp_path: Path) -> None:
    with back_end(tmp_path, patient.url, SILENCE_S="0.5") as url:
        events = Browser(url).draw("An otter")
        assert [kind for kind, _ in events] == ["preview", "failed"]
        assert patient.has_been_left.wait(PATIENCE_S)


@pytest.mark.parametrize("fault", ["moderation-stream", "moderation-http", "moderation-after-previews"])
def test_moderation_is_told_to_the_user(image_server: Any, tmp_path: Path, fault: str) -> None:
    image_server.use(size=(96, 64), faults=[fault])
    with back_end(tmp_path, image_server.base_url) as url:
        *_, (kind, facts) = Browser(url).draw("An otter")
    assert (kind, facts) == ("blocked", {"message": "This picture is not allowed. Please change the description."})


def test_another_failure_is_told_without_a_traceback(image_server: Any, tmp_path: Path) -> None:
    image_server.use(size=(96, 64), faults=["error-nested"])
    with back_end(tmp_path, image_server.base_url) as url:
        *_, (kind, facts) = Browser(url).draw("An otter")
    assert kind == "failed"
    assert "server_error" in facts["details"]
    assert "Traceback" not in json.dumps(facts)


def test_the_page_has_the_programs() -> None:
    page = runpy.run_path(str(DOCS / "web_back_end.py"))["page"]()
    assert page == (DOCS / "web_back_end.md").read_text(), "run: python docs/web_back_end.py"
