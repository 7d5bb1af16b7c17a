"""The routes of ComfyUI: a prompt is posted, a websocket reports how it goes, and the pictures are files.

    POST /prompt    GET /history[/{prompt_id}]    GET /view?filename=…    GET /ws?clientId=… (a websocket)

Must not know: how messages are made (`comfyui_messages`), which server runs the application.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..errors import quoted
from .answers import Answer
from .comfyui_frames import is_binary, plain_picture, without_metadata
from .framing import json_body, parse_object
from .messages import Event, json_text
from .request_parsing import read_order
from .request_values import RequestError
from .service import Service

_MAX_PROMPTS = 32  # that are kept; each can have megabytes of pictures
_BROKEN = 1011  # the close code of a server that failed
_AWAY = 1001  # the close code of a server that stops


@dataclass(slots=True, kw_only=True, eq=False)
class _Client:
    """A connected websocket. A frame of None in `frames` means that the connection breaks."""

    socket: WebSocket
    frames: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    has_metadata: bool = False


@dataclass(slots=True, kw_only=True)
class ComfyUIRoutes:
    """The prompts and websockets of a running server."""

    service: Service
    _clients: dict[str, list[_Client]] = field(default_factory=dict)
    _history: OrderedDict[str, Event] = field(default_factory=OrderedDict)
    _files: OrderedDict[str, bytes] = field(default_factory=OrderedDict)

    def routes(self) -> list[BaseRoute]:
        """Return the routes for an application."""
        return [
            Route("/prompt", self.post_prompt, methods=["POST"]),
            Route("/history", self.get_history, methods=["GET"]),
            Route("/history/{prompt_id}", self.get_history, methods=["GET"]),
            Route("/view", self.get_file, methods=["GET"]),
            Route("/ws", self.refuse_socket, methods=["GET"]),
            WebSocketRoute("/ws", self.open_socket),
        ]

    async def post_prompt(self, request: Request) -> Response:
        """Start a prompt: its messages go to the websockets of its client."""
        body, _ = await self.service.read(request)
        default = self.service.next_order()
        order = read_order("comfyui", body, request.headers, default=default, is_streamed=True)
        made = await self.service.play(order)
        if made.status != 200:
            return self.service.answer(made)
        made = _with_own_saver(made, body["prompt"])
        self.service.sent.append(made)
        name = next(event["data"]["prompt_id"] for event in made.events if "prompt_id" in event.get("data", {}))
        self._keep(made)
        self.service.start(self._run(name, made, body))
        return JSONResponse({"prompt_id": name, "number": len(self._history), "node_errors": {}})

    async def get_history(self, request: Request) -> Response:
        """Answer with the prompts that are done, or with one of them; it is empty while it runs."""
        self.service.record(request, None)
        name = request.path_params.get("prompt_id")
        shown = {key: self._history[key] for key in self._history if name in (None, key)}
        return JSONResponse(shown)

    async def get_file(self, request: Request) -> Response:
        """Answer with a picture."""
        self.service.record(request, None)
        name = request.query_params.get("filename", "")
        if name not in self._files:
            raise RequestError(f"There is no file {quoted(name)}.", status=404)
        return Response(self._files[name], media_type="image/png")

    async def refuse_socket(self, request: Request) -> Response:
        """Answer a request for the websocket that is a plain HTTP request, or that the server cannot serve."""
        self.service.record(request, None)
        raise RequestError("This is the address of a websocket; the server needs: pip install websockets", status=426)

    async def open_socket(self, socket: WebSocket) -> None:
        """Serve one websocket until the client leaves or the server stops."""
        await socket.accept()
        name = socket.query_params.get("clientId") or uuid4().hex
        client = _Client(socket=socket)
        self._clients.setdefault(name, []).append(client)
        status = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": name}
        await socket.send_text(json_text({"type": "status", "data": status}))
        doing = (self._listen(client), _send_frames(client), self.service.released.wait())
        tasks = [asyncio.ensure_future(each) for each in doing]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not tasks[0].done():
                await socket.close(_BROKEN if tasks[1].done() else _AWAY)
        finally:
            self._clients[name].remove(client)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, client: _Client) -> None:
        """Read the messages of the client: only the first one counts, and only if it names the features."""
        is_first = True
        try:
            while True:
                said = parse_object(await client.socket.receive_text()) or {}
                features = said.get("data") if is_first and said.get("type") == "feature_flags" else None
                if isinstance(features, dict):
                    client.has_metadata = features.get("supports_preview_metadata") is True
                    own = {"supports_preview_metadata": True, "max_upload_size": 100 * 2**20}
                    await client.socket.send_text(json_text({"type": "feature_flags", "data": own}))
                is_first = False
        except (WebSocketDisconnect, KeyError):  # a KeyError: the client sent bytes
            return

    async def _run(self, name: str, made: Answer, body: Event) -> None:
        """Send the messages of a prompt at the pace, then put it into the history."""
        pace, seed, client_id = self.service.pace, self.service.order.seed, str(body.get("client_id", ""))
        for wait_s, frame in zip(pace.waits(seed=seed), made.body, strict=False):
            if wait_s:
                await self.service.sleep(wait_s)
            self._send(client_id, frame)
            await asyncio.sleep(0)
        if made.ending == "disconnected":
            self._send(client_id, None)
        self._history[name] = _history_entry(name, made, body)
        while len(self._history) > _MAX_PROMPTS:
            self._history.popitem(last=False)

    def _send(self, client_id: str, frame: bytes | None) -> None:
        for client in self._clients.get(client_id, ()):
            client.frames.put_nowait(frame)

    def _keep(self, made: Answer) -> None:
        self._files |= made.files
        while len(self._files) > _MAX_PROMPTS:
            self._files.popitem(last=False)


def _with_own_saver(made: Answer, workflow: Event) -> Answer:
    """Send the pictures through the websocket, if the workflow has a SaveImageWebsocket node, and not as files."""
    nodes = {name: node for name, node in workflow.items() if isinstance(node, dict)}
    saver = next((name for name, node in nodes.items() if node.get("class_type") == "SaveImageWebsocket"), None)
    executed = [at for at, event in enumerate(made.events) if event.get("type") == "executed"]
    if saver is None or not executed or len(made.body) <= executed[0]:
        return made
    at, (head, tail) = executed[0], (made.body[: executed[0] - 1], made.body[executed[0] + 1 :])
    executing = made.events[at - 1] | {"data": made.events[at - 1]["data"] | {"node": saver, "display_node": saver}}
    own = (json_body(executing), *map(plain_picture, made.files.values()))
    events = (*made.events[: at - 1], executing, *made.events[at + 1 :])
    return replace(made, events=events, body=(*head, *own, *tail))


async def _send_frames(client: _Client) -> None:
    """Send the frames that come, until the connection must break."""
    while (frame := await client.frames.get()) is not None:
        if not is_binary(frame):
            await client.socket.send_text(frame.decode())
        else:
            await client.socket.send_bytes(frame if client.has_metadata else without_metadata(frame))


def _history_entry(name: str, made: Answer, body: Event) -> Event:
    executed = [event["data"] for event in made.events if event.get("type") == "executed"]
    is_done = any(event.get("type") == "execution_success" for event in made.events)
    messages: list[Any] = [
        [event["type"], event["data"]] for event in made.events if str(event.get("type", "")).startswith("execution_")
    ]
    return {
        "prompt": [0, name, body.get("prompt"), {"client_id": body.get("client_id")}, []],
        "outputs": {each["node"]: each["output"] for each in executed},
        "status": {"status_str": "success" if is_done else "error", "completed": is_done, "messages": messages},
        "meta": {},
    }
