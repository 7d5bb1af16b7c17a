"""The surroundings of a documented program in a test: a server in a process, a service on a loopback port."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.request import Request, urlopen

PATIENCE_S = 60  # each wait takes a second or two; a busy machine may need longer


def fetch(url: str, body: Any = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"content-type": "application/json"}), timeout=PATIENCE_S) as answer:
        content: bytes = answer.read()
    return content


def read_events(url: str, body: Any = None) -> list[Any]:
    """Return the data of all server-sent events of an answer."""
    lines = fetch(url, body).decode().splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


@contextmanager
def serving(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Start a server by `command`, and yield the URL that it prints."""
    with subprocess.Popen(
        [sys.executable, "-u", *command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if found := re.search(r"http://[\w.]+:\d+", line):
                    threading.Thread(target=process.stdout.read, daemon=True).start()  # else its pipe would fill up
                    yield found[0]
                    return
            raise AssertionError(f"it did not start: {''.join(said)}")
        finally:
            process.terminate()


class Channel:
    """A channel of a chat service for one webhook: the messages that were written and edited."""

    def __init__(self) -> None:
        self.contents: list[str] = []
        self.pictures: list[bytes] = []

    @contextmanager
    def served(self) -> Iterator[str]:
        """Yield the base address of its HTTP interface."""
        channel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
                answer = json.dumps(channel.take(message_from_bytes(head + body, policy=HTTP))).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_PATCH = do_POST  # noqa: N815 - as http.server calls them

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()

    def take(self, message: Any) -> Mapping[str, Any]:
        """Return the answer of the service: the present message."""
        parts = list(message.iter_parts()) if message.is_multipart() else [message]
        fields = json.loads(parts[0].get_content())
        self.contents.append(fields["content"])
        self.pictures += [part.get_content() for part in parts[1:]]
        return {
            "id": "300000000000000000",
            "channel_id": "200000000000000000",
            "type": 0,
            "content": fields["content"],
            "author": {"id": "100000000000000000", "username": "imgassemble", "discriminator": "0", "avatar": None},
            "timestamp": "2026-01-01T00:00:00+00:00",
            "edited_timestamp": None,
            "attachments": [],
            "embeds": [],
            "mentions": [],
            "mention_roles": [],
            "mention_everyone": False,
            "pinned": False,
            "tts": False,
        }


class Tab:
    """A browser's side of a Streamlit app: its websocket, and the pictures that are shown on it, in order."""

    def __init__(self, url: str, socket: Any) -> None:
        self._forward = import_module("streamlit.proto.ForwardMsg_pb2").ForwardMsg
        self._back = import_module("streamlit.proto.BackMsg_pb2").BackMsg
        self._url, self._socket = url, socket
        self.images: list[tuple[str, bytes]] = []  # caption and bytes

    def run(self, pressed: str = "") -> dict[str, Any]:
        """Run the app, with a button pressed. Return the newest element of each kind."""
        message = self._back()
        message.rerun_script.query_string = ""
        if pressed:
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.trigger_value = pressed, True
        self._socket.send(message.SerializeToString())
        elements: dict[str, Any] = {}
        while True:
            told = self._forward.FromString(self._socket.recv(timeout=PATIENCE_S))
            if told.WhichOneof("type") == "script_finished":
                return elements
            if told.WhichOneof("type") == "delta" and told.delta.WhichOneof("type") == "new_element":
                element = told.delta.new_element
                kind = element.WhichOneof("type")
                elements[kind] = getattr(element, kind)
                if kind == "imgs":
                    (image,) = element.imgs.imgs
                    self.images.append((image.caption, fetch(urljoin(self._url, image.url))))


@contextmanager
def browsing(url: str) -> Iterator[Tab]:
    """Yield a tab in which the app at `url` is open."""
    connect = import_module("websockets.sync.client").connect
    with connect(url.replace("http", "ws", 1) + "/_stcore/stream", max_size=None) as socket:
        yield Tab(url, socket)
