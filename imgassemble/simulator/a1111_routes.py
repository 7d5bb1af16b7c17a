"""The routes of AUTOMATIC1111: a request that lasts as long as the picture takes, and the progress to poll meanwhile.

    POST /sdapi/v1/txt2img    GET /sdapi/v1/progress[?skip_current_image=true]    POST /internal/progress

Must not know: how answers are made (`a1111_messages`), which server runs the application.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from .a1111_messages import ended_progress, idle_progress, live_progress
from .answers import Answer
from .framing import cut_pieces, json_body
from .messages import Event
from .request_parsing import read_order
from .service import Service

_LONGEST_S = 2.0  # of a preview that is not polled, if the pace has no delay


@dataclass(slots=True, kw_only=True)
class _Job:
    """The job that runs: its polls, the one that is shown now, and whether a client has polled that one."""

    task_id: str
    polls: Sequence[Event]
    at: int = 0
    is_seen: asyncio.Event = field(default_factory=asyncio.Event)

    def poll(self) -> Event:
        """Return the answer to a poll."""
        self.is_seen.set()
        return self.polls[self.at]


@dataclass(slots=True, kw_only=True)
class A1111Routes:
    """The jobs of a running server; one runs at a time."""

    service: Service
    _job: _Job | None = None
    _is_busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    _finished: deque[str] = field(default_factory=lambda: deque(maxlen=32))

    def routes(self) -> list[BaseRoute]:
        """Return the routes for an application."""
        return [
            Route("/sdapi/v1/txt2img", self.post_job, methods=["POST"]),
            Route("/sdapi/v1/progress", self.get_progress, methods=["GET"]),
            Route("/internal/progress", self.post_progress, methods=["POST"]),
        ]

    async def post_job(self, request: Request) -> Response:
        """Answer with the pictures, after the time that they take."""
        body, _ = await self.service.read(request)
        default = self.service.next_order()
        order = read_order("a1111", body, request.headers, default=default, is_streamed=True)
        made = await self.service.play(order)
        if made.status != 200:
            return self.service.answer(made)
        self.service.sent.append(made)
        task_id = str(body.get("force_task_id") or "")
        async with self._is_busy:
            await self._run(_Job(task_id=task_id, polls=made.events[:-1][: made.framing.last_event]))
        self._finished.append(task_id)
        return self.service.respond(_last_answer(made))

    async def get_progress(self, request: Request) -> Response:
        """Answer with the progress of the job, and its last preview."""
        self.service.record(request, None)
        job = self._job
        shown = job.poll() if job else idle_progress()
        is_short = request.query_params.get("skip_current_image", "").lower() == "true"
        return JSONResponse(shown | {"current_image": None} if is_short else shown)

    async def post_progress(self, request: Request) -> Response:
        """Answer as the page of AUTOMATIC1111 asks: for one task, and a preview only if it is new."""
        body, _ = await self.service.read(request)
        asked = body if isinstance(body, dict) else {}
        task_id, job = str(asked.get("id_task", "")), self._job
        if job is None or job.task_id != task_id:
            return JSONResponse(ended_progress(is_known=task_id in self._finished))
        return JSONResponse(live_progress(job.poll(), job.at, asked.get("id_live_preview", -1)))

    async def _run(self, job: _Job) -> None:
        """Show each poll of the job for the time that the pace gives; without a delay, until it has been polled."""
        self._job = job
        try:
            for at, wait_s in zip(range(len(job.polls)), self.service.pace.waits(), strict=False):
                job.at = at
                job.is_seen.clear()
                if wait_s:
                    await self.service.sleep(wait_s)
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(job.is_seen.wait(), _LONGEST_S)
        finally:
            self._job = None


def _last_answer(made: Answer) -> Answer:
    """Return the answer of the request itself; a fault that cuts the stream leaves nothing of it."""
    last = made.events[-1] if made.events else {}
    is_cut = made.framing.last_event is not None or made.framing.last_byte is not None
    pieces = [] if is_cut else [json_body(last)]
    headers = {**made.headers, "content-type": "application/json"}
    status = 200 if "images" in last else 500
    return replace(made, status=status, headers=headers, body=cut_pieces(pieces, made.framing))
