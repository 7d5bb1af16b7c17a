"""The routes of Comfy's API v2: a job is posted, its events are streamed, and its outputs are assets.

    POST /api/v2/jobs    GET /api/v2/jobs/{id}, /api/v2/jobs/{id}/events, /api/v2/assets/{id}/content

Must not know: how messages are made (`comfy_api_messages`), which server runs the application.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ..errors import quoted
from .answers import Answer
from .comfy_api_messages import COMFY_API_HOST
from .framing import frame_events
from .messages import EVENT_FIELD, Event
from .request_parsing import read_order
from .request_values import RequestError
from .service import Service

_MAX_JOBS = 32  # that are kept; each can have megabytes of pictures
_FAILURE = {"code": "node_execution_error", "message": "The server had an error", "node_id": "3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _ApiJob:
    """A job, and when it is done by the clock of the server."""

    id: str
    made: Answer
    created: str
    done_at: float


@dataclass(slots=True, kw_only=True)
class ComfyApiRoutes:
    """The jobs of a running server."""

    service: Service
    _jobs: OrderedDict[str, _ApiJob] = field(default_factory=OrderedDict)

    def routes(self) -> list[BaseRoute]:
        """Return the routes for an application."""
        return [
            Route("/api/v2/jobs", self.post_job, methods=["POST"]),
            Route("/api/v2/jobs/{job_id}", self.get_job, methods=["GET"]),
            Route("/api/v2/jobs/{job_id}/events", self.get_events, methods=["GET"]),
            Route("/api/v2/assets/{asset_id}/content", self.get_asset, methods=["GET"]),
        ]

    async def post_job(self, request: Request) -> Response:
        """Start a job."""
        body, _ = await self.service.read(request)
        default = self.service.next_order()
        order = read_order("comfy-api", body, request.headers, default=default, is_streamed=True)
        made = await self.service.play(order)
        if made.status != 200:
            return self.service.answer(made)
        name = str(uuid4())
        made = _with_host(made, str(request.base_url).rstrip("/"), name)
        waits = islice(self.service.pace.waits(seed=self.service.order.seed), len(made.events))
        created = datetime.now(UTC).isoformat()
        job = _ApiJob(id=name, made=made, created=created, done_at=self.service.clock() + sum(waits))
        self._jobs[job.id] = job
        while len(self._jobs) > _MAX_JOBS:
            self._jobs.popitem(last=False)
        return JSONResponse(self._shown(job), status_code=201)

    async def get_job(self, request: Request) -> Response:
        """Answer with the state of a job, and its outputs once it is done."""
        self.service.record(request, None)
        return JSONResponse(self._shown(self._job(request)))

    async def get_events(self, request: Request) -> Response:
        """Answer with the events of a job, from the first one."""
        self.service.record(request, None)
        return self.service.answer(self._job(request).made)

    async def get_asset(self, request: Request) -> Response:
        """Answer with a picture."""
        self.service.record(request, None)
        name = request.path_params["asset_id"]
        for job in self._jobs.values():
            if name in job.made.files:
                return Response(job.made.files[name], media_type="image/png")
        raise RequestError(f"Asset {quoted(name)} not found.", status=404, code="not_found")

    def _job(self, request: Request) -> _ApiJob:
        name = request.path_params["job_id"]
        if name not in self._jobs:
            raise RequestError(f"Job {quoted(name)} not found.", status=404, code="not_found")
        return self._jobs[name]

    def _shown(self, job: _ApiJob) -> Event:
        """Return the job as the API shows it."""
        is_done = self.service.clock() >= job.done_at
        status = _last_status(job.made) if is_done else "running"
        outputs = [_without_name(event) for event in job.made.events if event.get(EVENT_FIELD) == "output"]
        path, times = f"/api/v2/jobs/{job.id}", {"created_at": job.created, "started_at": job.created}
        return {
            "id": job.id,
            "status": status,
            **times,
            "completed_at": job.created if is_done else None,
            "expires_at": job.created,
            "queue_position": None,
            "progress": None,
            "outputs": outputs if is_done else [],
            "error": _FAILURE if status == "failed" else None,
            "urls": {"self": path, "events": f"{path}/events", "cancel": f"{path}/cancel"},
        }


def _last_status(made: Answer) -> str:
    statuses = [event["status"] for event in made.events if event.get(EVENT_FIELD) == "status"]
    return str(statuses[-1])


def _without_name(event: Event) -> Event:
    return {key: value for key, value in event.items() if key != EVENT_FIELD}


def _with_host(made: Answer, host: str, job_id: str) -> Answer:
    """Let the outputs belong to this job, and their links lead to this server."""
    events = tuple(
        event | {"url": event["url"].replace(COMFY_API_HOST, host), "job_id": job_id} if "url" in event else event
        for event in made.events
    )
    return replace(made, events=events, body=frame_events(events, made.framing))
