"""Engines that must be asked: AUTOMATIC1111, Forge, SD.Next and Fooocus. Nothing here sleeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from samples import b64, shade
from shared import CASES, MISSING

from imgassemble import Assembler, Item, Outcome, Result, State, UsageError, aassemble, assemble
from imgassemble.streams import polled_events


def asking(*answers: Any) -> Callable[[], Any]:
    """A function that returns one answer after the other."""
    left = iter(answers)
    return lambda: next(left)


def polled(*answers: Any) -> Result:
    return assemble(polled_events(asking(*answers), sleep=lambda _: None))


def only(result: Result) -> Item:
    (item,) = result.items.values()
    return item


def shown(item: Item) -> list[tuple[float | None, bytes]]:
    return [(frame.index, frame.data) for frame in item.partials]


def progress(share: float, preview: bytes | None = None, eta_s: float = 2.0, **state: Any) -> dict[str, Any]:
    """An answer of /sdapi/v1/progress."""
    state = {"job": "scripts_txt2img", "job_no": 0, "job_count": 1, **state}
    return {"progress": share, "eta_relative": eta_s, "state": state, "current_image": preview and b64(preview)}


IDLE = progress(0, job="", job_count=0)


def internal(preview: bytes | None = None, number: int = 0, **facts: Any) -> dict[str, Any]:
    """An answer of /internal/progress."""
    url = preview and f"data:image/png;base64,{b64(preview)}"
    return {"active": True, "queued": False, "completed": False, "progress": 0.5, "eta": 3, "live_preview": url,
            "id_live_preview": number, **facts}  # fmt: skip


def job(stage: str, share: int = 0, preview: bytes | None = None, **facts: Any) -> dict[str, Any]:
    """An answer of Fooocus."""
    return {"job_id": "j", "job_stage": stage, "job_progress": share, "job_status": None,
            "job_step_preview": preview and b64(preview), "job_result": None, **facts}  # fmt: skip


@pytest.mark.skipif(not CASES.is_dir(), reason=MISSING)
@pytest.mark.parametrize(("name", "is_final"), [("progress", True), ("internal-progress", False)])
@pytest.mark.parametrize("times", [1, 3])
def test_recorded_answers_give_each_new_preview_once(name: str, *, is_final: bool, times: int) -> None:
    lines = (CASES / f"s-a1111-{name}.jsonl").read_text().splitlines()
    previews = [
        found
        for line in lines
        if (found := json.loads(line).get("current_image") or json.loads(line).get("live_preview"))
    ]
    item = only(polled(*(line for line in lines for _ in range(times)), None))
    assert [b64(frame.data) for frame in item.partials] == [text.rpartition(",")[2] for text in previews]
    assert (item.state, item.is_provisional, item.anomalies) == (State.COMPLETED, not is_final, ())


def test_the_same_preview_twice_is_one() -> None:
    item = only(polled(progress(0.1, shade(1)), progress(0.2, shade(1)), progress(0.3, shade(2)), None))
    assert shown(item) == [(0, shade(1)), (1, shade(2))]


def test_percent_and_eta_are_settings_also_without_a_preview() -> None:
    assembler, seen = Assembler(), []
    for event in polled_events(asking(progress(0.1, eta_s=9), progress(0.25, shade(1), eta_s=4.5), None), sleep=print):
        assembler.feed(event)
        seen += [dict(item.settings) for item in assembler.items.values()]
    assert seen == [{"percent": 10, "eta_s": 9}, {"percent": 25, "eta_s": 4.5}]


def test_the_pictures_of_the_last_answer_are_results() -> None:
    result = polled(progress(0.5, shade(1)), {"images": [b64(shade(8)), b64(shade(9))], "parameters": {}, "info": "{}"})
    assert [frame.data for frame in result.finals] == [shade(8), shade(9)]
    assert (list(result.items), result.outcome) == (["image-0", "image-1"], Outcome.COMPLETED)


def test_an_engine_that_is_idle_before_the_job_is_asked_again() -> None:
    result = polled(*[IDLE] * 30, progress(0.5, shade(1)), *[IDLE] * 20)
    assert (result.outcome, len(only(result).partials)) == (Outcome.INCOMPLETE, 1)


def test_an_idle_engine_is_asked_until_the_results_arrive() -> None:
    result = polled(progress(0.5, shade(1)), *[IDLE] * 19, {"images": [b64(shade(9))]})
    assert result.require_final().data == shade(9)
    ended = polled(progress(0.5, shade(1)), *[IDLE] * 20, {"images": [b64(shade(9))]})
    assert ended.outcome is Outcome.INCOMPLETE


def test_an_interrupted_job_gives_its_reason() -> None:
    idle = progress(0, job="", job_count=0, interrupted=True)
    assert only(polled(progress(0.5, shade(1)), idle)).reason == "interrupted"


def test_a_waiting_task_is_asked_again_and_a_forgotten_one_is_not() -> None:
    queued = internal(active=False, queued=True, number=-1)
    forgotten = internal(active=False, number=-1)
    item = only(
        polled(forgotten, queued, internal(shade(1)), internal(number=0), internal(shade(2), 1), *[forgotten] * 20)
    )
    assert (item.state, shown(item)) == (State.INCOMPLETE, [(0, shade(1)), (1, shade(2))])


def test_a_completed_task_is_asked_until_the_results_arrive() -> None:
    completed = internal(active=False, completed=True, number=-1)
    result = polled(internal(shade(1)), completed, completed, {"images": [b64(shade(9))]})
    assert (result.require_final().data, list(result.items)) == (shade(9), ["image-0"])


@pytest.mark.parametrize("answers", [1, 20])
def test_a_completed_task_without_results_gives_its_last_preview_provisionally(answers: int) -> None:
    completed = internal(active=False, completed=True, number=-1)
    item = only(polled(internal(shade(1)), *[completed] * answers, *([None] if answers == 1 else ())))
    assert (item.state, item.is_provisional, shown(item)) == (State.COMPLETED, True, [(0, shade(1))])


def test_a_job_of_fooocus_gives_previews_and_results() -> None:
    done = job(
        "SUCCESS", 100, job_result=[{"base64": b64(shade(9)), "url": None}, {"base64": None, "url": "http://h/a"}]
    )
    result = polled(job("WAITING"), job("RUNNING", 30, shade(1)), job("RUNNING", 60, shade(1)), done)
    assert [(item.final and item.final.data, item.url) for item in result.items.values()] == [
        (shade(9), None),
        (None, "http://h/a"),
    ]
    assert result.items["image-0"].settings == {"percent": 60}


def test_a_job_of_fooocus_that_fails_gives_the_words_of_the_service() -> None:
    result = polled(job("RUNNING", 30, shade(1)), job("ERROR", job_status="out of memory"))
    assert (result.outcome, only(result).state) == (Outcome.FAILED, State.FAILED)
    assert "out of memory" in str(result.error)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": "OutOfMemoryError", "detail": "", "body": "", "errors": "CUDA out of memory"},
        {"detail": "CUDA out of memory"},
        {"detail": [{"loc": ["body"], "msg": "CUDA out of memory"}]},
    ],
)
def test_an_error_ends_the_job(answer: dict[str, Any]) -> None:
    result = polled(answer)
    assert result.outcome is Outcome.FAILED
    assert "CUDA out of memory" in str(result.error.as_dict() if result.error else "")


def test_none_ends_the_stream() -> None:
    assert polled(progress(0.5, shade(1)), None).outcome is Outcome.INCOMPLETE
    assert polled(None).outcome is not Outcome.COMPLETED


@pytest.mark.parametrize("answer", ["{", "[]", 7, {"other": 1}])
def test_an_answer_that_cannot_be_read_is_skipped(answer: Any) -> None:
    assert shown(only(polled(answer, progress(0.5, shade(1)), None))) == [(0, shade(1))]


def test_the_engine_rests_between_two_answers() -> None:
    pauses: list[float] = []
    assemble(polled_events(asking(progress(0), progress(1, shade(1)), None), 0.25, sleep=pauses.append))
    assert pauses == [0.25, 0.25]


def test_two_jobs_of_one_assembler_are_two_images() -> None:
    assembler = Assembler()
    for number in (1, 2):
        for event in polled_events(asking({"images": [b64(shade(number))]})):
            assembler.feed(event)
    assert [item.final and item.final.data for item in assembler.items.values()] == [shade(1), shade(2)]


def test_async_and_threaded_functions_give_the_same() -> None:
    answers = [progress(0.5, shade(1)), progress(0.6, shade(2)), {"images": [b64(shade(9))]}]

    async def pause(_: float) -> None:
        pauses.append(1)

    def async_asking() -> Callable[[], Any]:
        ask = asking(*answers)

        async def answer() -> Any:
            return ask()

        return answer

    pauses: list[int] = []
    first, second = async_asking(), asking(*answers)
    results = [asyncio.run(aassemble(polled_events(ask, sleep=pause))) for ask in (first, second)]
    assert results == [polled(*answers)] * 2
    assert len(pauses) == 4


def test_an_async_function_in_a_sync_driver_names_the_other_driver() -> None:
    async def ask() -> None:
        return None

    with pytest.raises(UsageError, match="aassemble"):
        assemble(polled_events(ask))


def test_an_exception_of_ask_ends_the_stream() -> None:
    def ask() -> Any:
        raise ConnectionError("refused")

    with pytest.raises(ConnectionError):
        assemble(polled_events(ask))


@pytest.mark.parametrize(("ask", "interval_s"), [(7, 0.5), (print, -1), (print, float("nan")), (print, "1")])
def test_wrong_arguments_are_refused(ask: Any, interval_s: Any) -> None:
    with pytest.raises(UsageError):
        polled_events(ask, interval_s)
