"""Turns the answers of a local engine, asked again and again, into events.

Must not know: HTTP, the assembler, screens.
Sources: AUTOMATIC1111/stable-diffusion-webui, modules/api/models.py and modules/progress.py (Forge and SD.Next answer
with the same members); mrhan1993/Fooocus-API, fooocusapi/models.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from inspect import isawaitable
from typing import Any

from ...arguments import is_async_function
from ...errors import EventError, UsageError
from ...frames.base64_json import load_json
from ...wire.failures import has_content
from ...wire.values import read_number

Event = dict[str, Any]
Sleep = Callable[[float], object]

# The engine is idle while the answer of POST /sdapi/v1/txt2img is on its way: so many idle answers end the job.
_IDLE_ANSWERS = 20
_ITEM = "image-0"  # the previews do not name their image; results are image-0, image-1, …


class PolledEvents:
    """An iterable, and an async iterable, of the events in the answers of an engine. Made by `polled_events`."""

    def __init__(self, ask: Callable[[], Any], interval_s: float, sleep: Sleep | None) -> None:
        self._ask, self._interval_s, self._sleep = ask, interval_s, sleep

    def __iter__(self) -> Iterator[Any]:
        reader, sleep = _JobReader(), self._sleep or time.sleep
        while True:
            answer = self._ask()
            if isawaitable(answer):
                close = getattr(answer, "close", None)
                if close:
                    close()
                raise UsageError("ask is asynchronous: use aassemble or aiter_updates")
            yield from reader.read(answer)
            if reader.is_over:
                return
            sleep(self._interval_s)

    async def __aiter__(self) -> AsyncIterator[Any]:
        reader = _JobReader()
        while True:
            for event in reader.read(await self._answer()):
                yield event
            if reader.is_over:
                return
            pause = (self._sleep or asyncio.sleep)(self._interval_s)
            if isawaitable(pause):
                await pause

    async def _answer(self) -> Any:
        """Return the next answer. Another function than an async one runs in a thread, so that the loop goes on."""
        is_async = is_async_function(self._ask)
        answer: Any | Awaitable[Any] = self._ask() if is_async else await asyncio.to_thread(self._ask)
        return await answer if isawaitable(answer) else answer


def polled_events(
    ask: Callable[[], Any], interval_s: float = 0.5, *, sleep: Callable[[float], object] | None = None
) -> PolledEvents:
    """Return an iterable of the events in the answers of an engine that must be asked: AUTOMATIC1111, Forge, SD.Next,
    Fooocus.

    ask: called again and again, without arguments; it returns the JSON of an answer, as a mapping or as text, or None
        at the end. An async function is for the async drivers; they run another function in a thread. The answers are
        those of GET /sdapi/v1/progress, POST /internal/progress, and Fooocus's /v1/generation/query-job. Let it return
        the answer of POST /sdapi/v1/txt2img when that has arrived: its `images` are the results.
    interval_s: the seconds between two calls, from 0.
    sleep: called with `interval_s`; time.sleep or asyncio.sleep if None.

    The stream ends with None, with results, with an error, and with an answer that says that the job is over (20 idle
    or completed answers of AUTOMATIC1111 in a row: the results may still be on their way). Each new preview is a
    partial of "image-0"; the same preview twice is one. Further results are "image-1", "image-2", ….
    `item.settings` has "percent" (0 to 100) and "eta_s" (the seconds that are left, as the engine estimates).

    Raises UsageError for wrong arguments. An exception of `ask` ends the stream, and is raised by the driver.

        job = pool.submit(lambda: httpx.post(f"{engine}/sdapi/v1/txt2img", json=request, timeout=None).json())

        def ask():
            return job.result() if job.done() else httpx.get(f"{engine}/sdapi/v1/progress").json()

        result = assemble(polled_events(ask), on_update=print)
    """
    if not callable(ask):
        raise UsageError(f"ask is a function without arguments that returns an answer, not {type(ask).__name__}")
    if isinstance(interval_s, bool) or not isinstance(interval_s, (int, float)) or not 0 <= interval_s < float("inf"):
        raise UsageError(f"interval_s is a number of seconds from 0, not {interval_s!r:.80}")
    return PolledEvents(ask, interval_s, sleep)


class _JobReader:
    """Turns one answer after the other into events."""

    def __init__(self) -> None:
        self.is_over = False
        self._has_begun = False
        self._has_run = False  # an answer showed that the engine works
        self._n_idle = 0  # idle answers in a row, after the engine worked
        self._is_completed = False  # /internal/progress called the task completed
        self._n_previews = 0
        self._last_preview: str | None = None
        self._n_results = 0

    def read(self, answer: Any) -> Iterator[Any]:
        """Yield the events of one answer. None ends the job."""
        if not self._has_begun:
            self._has_begun = True
            yield {"type": "response.created", "response": {}}
        if answer is None:
            self.is_over = True
            yield from self._end() if self._is_completed else ()
            return
        try:
            facts = load_json(answer) if isinstance(answer, (str, bytes, bytearray)) else answer
            if not isinstance(facts, Mapping):
                raise EventError(f"an answer of the engine is a JSON object, not {type(facts).__name__}; it is skipped")
        except EventError as error:
            yield error
            return
        yield from self._read_facts(facts)

    def _read_facts(self, facts: Mapping[str, Any]) -> Iterator[Any]:
        handler = next((handler for member, handler in _HANDLERS.items() if member in facts), None)
        if handler is not None:
            yield from handler(self, facts)
        elif any(has_content(facts.get(name)) for name in ("error", "errors", "detail")):
            self.is_over = True
            words = facts.get("errors")  # AUTOMATIC1111 has the name of the exception in `error`
            is_named = isinstance(words, str) and words and isinstance(facts.get("error"), str)
            yield {"error": {"code": facts["error"], "message": words}} if is_named else dict(facts)
        else:
            yield {"type": "an answer of another kind"}  # it is counted, and named if no image comes

    def _progress(self, facts: Mapping[str, Any]) -> Iterator[Event]:
        """GET /sdapi/v1/progress."""
        given = facts.get("state")
        state: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        is_running = bool(state.get("job_count") or state.get("job") or facts.get("current_image"))
        if is_running:
            self._has_run, self._n_idle = True, 0
            yield from self._step(facts.get("current_image"), facts.get("progress"), facts.get("eta_relative"))
        elif self._has_run:  # before that the job may still be about to begin
            self._n_idle += 1
            if state.get("interrupted") or self._n_idle == _IDLE_ANSWERS:
                yield from self._end(is_incomplete=True, reason="interrupted" if state.get("interrupted") else None)

    def _internal_progress(self, facts: Mapping[str, Any]) -> Iterator[Event]:
        """POST /internal/progress."""
        self._is_completed = bool(facts.get("completed"))
        if facts.get("active") or facts.get("live_preview"):
            self._has_run = True
            yield from self._step(facts.get("live_preview"), facts.get("progress"), facts.get("eta"))
        if facts.get("active") or facts.get("queued"):
            self._n_idle = 0
        elif self._has_run or self._is_completed:
            self._n_idle += 1
            if self._n_idle == _IDLE_ANSWERS:
                yield from self._end(is_incomplete=not self._is_completed)

    def _images(self, facts: Mapping[str, Any]) -> Iterator[Event]:
        """POST /sdapi/v1/txt2img and img2img."""
        images = facts.get("images")
        for image in images if isinstance(images, list) else ():
            yield self._result(b64=image)
        yield from self._end()

    def _job(self, facts: Mapping[str, Any]) -> Iterator[Event]:
        """GET /v1/generation/query-job."""
        stage = str(facts.get("job_stage")).upper()
        if stage in ("SUCCESS", "ERROR"):
            results = facts.get("job_result")
            given = [each for each in results if isinstance(each, Mapping)] if isinstance(results, list) else []
            for each in given:
                if each.get("base64") or each.get("url"):
                    yield self._result(b64=each.get("base64"), url=each.get("url"))
            if stage == "ERROR":
                reasons = [str(each["finish_reason"]) for each in given if each.get("finish_reason")]
                words = facts.get("job_status") or ", ".join(reasons) or "the job failed"
                yield from self._end(error={"message": words, "code": reasons[0] if reasons else None})
            else:
                yield from self._end()
        elif stage == "RUNNING":
            percent = read_number(facts.get("job_progress"))
            yield from self._step(facts.get("job_step_preview"), None if percent is None else percent / 100, None)

    def _step(self, preview: Any, progress: Any, eta_s: Any) -> Iterator[Event]:
        share, eta_s = read_number(progress), read_number(eta_s)
        facts = {"percent": None if share is None else round(min(share, 1) * 100, 1), "eta_s": eta_s}
        if isinstance(preview, str) and preview and preview != self._last_preview:
            self._last_preview = preview
            yield {"type": "picture", "item_id": _ITEM, "index": self._n_previews, "b64": preview, **facts}
            self._n_previews += 1
        else:
            yield {"type": "picture.progress", "item_id": _ITEM, **facts}

    def _result(self, **picture: Any) -> Event:
        self._n_results += 1
        return {"type": "picture.final", "item_id": f"image-{self._n_results - 1}", **picture}

    def _end(
        self, *, error: Event | None = None, is_incomplete: bool = False, reason: str | None = None
    ) -> Iterator[Event]:
        self.is_over = True
        if error is not None:
            yield {"type": "response.failed", "response": {"error": error}}
        elif is_incomplete:
            yield {"type": "response.incomplete", "response": {"incomplete_details": {"reason": reason}}}
        else:
            if self._n_previews and not self._n_results:
                yield {"type": "response.image_generation_call.completed", "item_id": _ITEM}
            yield {"type": "response.completed", "response": {}}


# The answers, each by a member that the others lack.
_HANDLERS: dict[str, Callable[[_JobReader, Mapping[str, Any]], Iterator[Event]]] = {
    "images": _JobReader._images,
    "job_stage": _JobReader._job,
    "id_live_preview": _JobReader._internal_progress,
    "live_preview": _JobReader._internal_progress,
    "progress": _JobReader._progress,
}
