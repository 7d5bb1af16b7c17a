"""The simulated services as one web application: its routes, and its errors in the form of each service.

    POST /v1/responses, /v1/images/generations, /v1/images/edits, /v1/chat/completions
    POST /api/v1/responses, /api/v1/images, /api/v1/chat/completions          the paths of OpenRouter
    GET  /v1/responses/{id}[?stream=true[&starting_after=N]]                  and below /api
    POST /v1/models/{model}:generateContent, …:streamGenerateContent[?alt=sse], /v1/interactions       and below /v1beta
    POST /api/v3/images/generations                                           Seedream
    POST /ai/generate-image-stream                                            NovelAI

`comfyui_routes`, `comfy_api_routes` and `a1111_routes` have the routes of the engines.
Must not know: how a request is answered (`service`), how the application is run (`server`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .a1111_routes import A1111Routes
from .answers import Order, Pace
from .comfy_api_routes import ComfyApiRoutes
from .comfyui_routes import ComfyUIRoutes
from .delivery import Clock, Sleep
from .request_values import RequestError
from .scenarios import Api
from .service import MAX_SENT, ReceivedRequest, Service

_RESUMED = ("/v1/responses", "/api/v1/responses")  # the paths whose responses can be read again
_POSTS: dict[str, Api] = {
    "/v1/responses": "responses",
    "/v1/images/generations": "images",
    "/v1/images/edits": "edits",
    "/v1/chat/completions": "chat",
    "/api/v1/responses": "responses",
    "/api/v1/images": "router-images",
    "/api/v1/chat/completions": "chat",
    "/{version}/models/{model}:generateContent": "gemini",
    "/{version}/models/{model}:streamGenerateContent": "gemini",
    "/{version}/interactions": "interactions",
    "/api/v3/images/generations": "seedream",
    "/ai/generate-image-stream": "novelai",
}


def create_server_app(
    order: Order | None = None,
    *,
    pace: Pace | None = None,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
    keep_requests: int = 0,
) -> Starlette:
    """Return the simulated services as an ASGI application; its `state.service` is the Service.

    Arguments: `order`: the defaults; a request changes them with its body and the `x-imgassemble-…` headers.
    `pace`: of the answers. `clock` and `sleep`: seconds, as in `time.monotonic` and `asyncio.sleep`.
    `keep_requests`: how many requests `state.service.requests` keeps.
    """
    service = Service(
        order=order or Order(),
        pace=pace or Pace(),
        clock=clock,
        sleep=sleep,
        requests=deque(maxlen=keep_requests),
        sent=deque(maxlen=min(keep_requests, MAX_SENT)),
    )
    posts = [Route(path, partial(service.post, api), methods=["POST"]) for path, api in _POSTS.items()]
    gets = [Route(path + "/{response_id}", service.get, methods=["GET"]) for path in _RESUMED]
    engines = (ComfyUIRoutes(service=service), ComfyApiRoutes(service=service), A1111Routes(service=service))
    own = [route for engine in engines for route in engine.routes()]
    app = Starlette(routes=[*posts, *gets, *own], exception_handlers=_HANDLERS)
    app.state.service = service
    return app


def _answer_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return JSONResponse(error.body(request.scope["path"]), status_code=error.status)


def _answer_unknown_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    request.app.state.service.requests.append(ReceivedRequest(method=request.method, path=request.scope["path"]))
    asked = f"{request.method} {request.scope['path']}"
    message = f"Invalid URL ({asked})" if error.status_code == 404 else f"{error.detail} ({asked})"
    return _answer_refusal(request, RequestError(message, status=error.status_code))


def _ignore_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # the client has left and does not read it


def _answer_crash(request: Request, _error: Exception) -> Response:
    message = "The server had an error while processing your request. Sorry about that!"
    return _answer_refusal(request, RequestError(message, status=500, kind="server_error"))


_HANDLERS: Mapping[Any, Callable[[Request, Exception], Response]] = {
    RequestError: _answer_refusal,
    HTTPException: _answer_unknown_route,
    ClientDisconnect: _ignore_disconnect,
    Exception: _answer_crash,
}
