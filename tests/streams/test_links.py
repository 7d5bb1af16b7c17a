"""Results at URLs: the drivers get them through the caller's `fetch`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import samples
from samples import b64, png, shade

from imgassemble import (
    Anomaly,
    Assembler,
    DirectorySink,
    FinalReady,
    FrameError,
    Item,
    Outcome,
    Result,
    State,
    StreamEnded,
    UsageError,
    aassemble,
    aiter_updates,
    assemble,
    iter_updates,
)
from imgassemble.cli.main import main

URL = "https://oss.example.net/1.png?sig=abc"
PICTURE = png(5, 4)
Wire = dict[str, Any]


def done(item_id: str = "ig_1", url: str = URL, **more: Any) -> Wire:
    return {
        "type": "response.output_item.done",
        "item": {"type": "image_generation_call", "id": item_id, "result": url},
        **more,
    }


WHOLE = {"created": 1, "data": [{"url": URL}]}
EVENT = {"type": "image_generation.completed", "url": URL}
MARKDOWN = {"object": "chat.completion", "choices": [{"message": {"content": f"Here: ![otter]({URL})."}}]}


def fetching(*asked: list[str], picture: Any = PICTURE) -> Callable[[str], Any]:
    """A function that returns the picture, and notes each URL."""

    def fetch(url: str) -> Any:
        for each in asked:
            each.append(url)
        if isinstance(picture, Exception):
            raise picture
        return picture

    return fetch


def only(result: Result) -> Item:
    (item,) = result.items.values()
    return item


async def arriving(events: Iterable[Any]) -> AsyncIterator[Any]:
    for event in events:
        yield event


@pytest.mark.parametrize("event", [done(), WHOLE, EVENT, MARKDOWN], ids=["item", "whole", "event", "markdown"])
def test_a_url_in_place_of_a_picture_is_fetched(event: Wire) -> None:
    asked: list[str] = []
    result = assemble([event], fetch=fetching(asked))
    assert asked == [URL]
    assert (result.require_final().data, result.outcome, only(result).anomalies) == (PICTURE, Outcome.COMPLETED, ())
    assert only(result).url == URL


@pytest.mark.parametrize("event", [done(), WHOLE, EVENT, MARKDOWN], ids=["item", "whole", "event", "markdown"])
def test_without_fetch_a_url_is_kept_and_shown(event: Wire) -> None:
    result = assemble([event])
    assert (only(result).url, only(result).state, result.outcome) == (URL, State.INCOMPLETE, Outcome.INCOMPLETE)
    assert URL in str(result.error)


def test_the_result_comes_before_the_next_event() -> None:
    updates = list(iter_updates([done(), {"type": "response.completed", "response": {}}], fetch=fetching()))
    finals = [update for update in updates if isinstance(update, FinalReady)]
    assert [(final.frame.data, final.is_provisional) for final in finals] == [(PICTURE, False)]
    assert isinstance(updates[-1], StreamEnded)


def test_a_picture_of_a_response_that_has_ended_stays_with_its_item() -> None:
    snapshot = {"type": "response.completed", "response": {"id": "resp_1", "output": [done()["item"]]}}
    created = {"type": "response.created", "response": {"id": "resp_1"}}
    result = assemble([created, samples.partial("ig_1", 0, shade(1)), snapshot], fetch=fetching())
    assert (list(result.items), len(result.responses), result.final and result.final.data) == (["ig_1"], 1, PICTURE)


def test_each_item_gets_the_picture_of_its_own_url() -> None:
    pictures = {f"https://h/{n}": shade(n) for n in range(3)}
    result = assemble([{"data": [{"url": url} for url in pictures]}], fetch=pictures.__getitem__)
    assert [frame.data for frame in result.finals] == [shade(0), shade(1), shade(2)]


def test_each_url_of_an_item_is_fetched_once() -> None:
    asked: list[str] = []
    snapshot = {"type": "response.completed", "response": {"output": [done()["item"]]}}
    assemble([done(), done(), snapshot], fetch=fetching(asked, picture=OSError("gone")))
    assert asked == [URL]


@pytest.mark.parametrize(
    "events",
    [
        [done() | {"item": {**done()["item"], "result": b64(PICTURE), "url": URL}}],
        [samples.done("ig_1", PICTURE), {"type": "response.completed", "response": {"output": [done()["item"]]}}],
        [{"type": "response.image_generation_call.partial_image", "item_id": "ig_1", "partial_image_b64": URL}],
        [{"type": "image_generation.partial_image", "partial_image_index": 0, "url": URL}],
        [{"type": "response.output_item.done", "item": {**done()["item"], "status": "failed"}}],
    ],
    ids=["beside a picture", "after a result", "a partial of an item", "a partial", "failed"],
)
def test_nothing_is_fetched_for_another_url(events: list[Wire]) -> None:
    asked: list[str] = []
    assemble(events, fetch=fetching(asked))
    assert asked == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ConnectionError("reset by peer"), "ConnectionError: reset by peer"),
        (FrameError("it is expired or gone (HTTP 403)"), "expired"),
        (KeyError(), "KeyError"),
        ("text", "fetch returned str, not bytes"),
        (None, "fetch returned NoneType"),
    ],
)
def test_a_picture_that_cannot_be_fetched_is_an_anomaly_and_its_url_is_kept(answer: Any, words: str) -> None:
    result = assemble([samples.partial("ig_1", 0, shade(1)), done()], fetch=fetching(picture=answer))
    item = only(result)
    assert [each.code for each in item.anomalies] == ["not_fetched"]
    assert words in item.anomalies[0].message
    assert "sig=abc" not in item.anomalies[0].message
    assert (item.url, item.state, item.latest and item.latest.data) == (URL, State.INCOMPLETE, shade(1))
    assert result.outcome is Outcome.INCOMPLETE


def test_bytes_that_are_no_picture_are_refused() -> None:
    item = only(assemble([done()], fetch=fetching(picture=b"<html>")))
    assert ([each.code for each in item.anomalies], item.final) == (["bad_picture"], None)


def test_a_strict_assembler_raises_the_error_of_the_fetch() -> None:
    with pytest.raises(FrameError, match="cannot be fetched"):
        assemble([done()], fetch=fetching(picture=OSError("gone")), assembler=Assembler(strict=True))


def test_an_item_that_was_discarded_is_left_alone() -> None:
    assembler = Assembler()

    def fetch(_url: str) -> bytes:
        assembler.discard("ig_1")
        return PICTURE

    assert not assemble([done()], fetch=fetch, assembler=assembler).items


def test_a_fetched_picture_is_stored(tmp_path: Path) -> None:
    assemble([WHOLE], fetch=fetching(), sinks=[DirectorySink(tmp_path)])
    assert (tmp_path / "image-0" / "final.png").read_bytes() == PICTURE


def test_an_async_fetch_is_awaited() -> None:
    async def fetch(url: str) -> bytes:
        await asyncio.sleep(0)
        asked.append(url)
        return PICTURE

    asked: list[str] = []
    result = asyncio.run(aassemble(arriving([done()]), fetch=fetch))
    assert (asked, result.require_final().data) == ([URL], PICTURE)


def test_another_function_runs_in_a_thread_of_its_own() -> None:
    def fetch(_url: str) -> bytes:
        threads.append(threading.current_thread())
        return PICTURE

    threads: list[threading.Thread] = []
    assert asyncio.run(aassemble(arriving([done()]), fetch=fetch)).require_final().data == PICTURE
    assert threads[0] is not threading.main_thread()


def test_an_async_failure_is_an_anomaly() -> None:
    async def fetch(_url: str) -> bytes:
        raise TimeoutError

    result = asyncio.run(aassemble(arriving([done()]), fetch=fetch))
    assert [each.code for each in only(result).anomalies] == ["not_fetched"]


def test_a_wait_that_times_out_loses_no_fetch() -> None:
    async def read() -> list[Any]:
        may_end = asyncio.Event()

        async def fetch(url: str) -> bytes:
            asked.append(url)
            await may_end.wait()
            return PICTURE

        updates, seen = aiter_updates(arriving([done()]), fetch=fetch), []
        while not asked:
            try:
                seen.append(await asyncio.wait_for(anext(updates), 0.01))
            except TimeoutError:
                continue
        may_end.set()
        return seen + [update async for update in updates]

    asked: list[str] = []
    updates = asyncio.run(read())
    assert asked == [URL]
    assert [update.frame.data for update in updates if isinstance(update, FinalReady)] == [PICTURE]


def test_stopping_ends_a_fetch_at_once() -> None:
    async def read() -> Result:
        assembler = Assembler()

        async def fetch(_url: str) -> bytes:
            assembler.stop()
            await asyncio.Event().wait()
            return PICTURE

        async with asyncio.timeout(5):
            return await aassemble(arriving([done(), samples.done("ig_2", PICTURE)]), fetch=fetch, assembler=assembler)

    result = asyncio.run(read())
    assert list(result.items) == ["ig_1"]
    assert result.items["ig_1"].reason == "the service sent a URL in place of the picture"


def test_stopping_does_not_wait_for_a_fetch_that_runs_in_a_thread() -> None:
    async def read() -> Result:
        assembler = Assembler()

        def fetch(_url: str) -> bytes:
            assembler.stop()
            has_left.wait()
            return PICTURE

        return await aassemble(arriving([done()]), fetch=fetch, assembler=assembler)

    has_left, left = threading.Event(), []
    thread = threading.Thread(target=lambda: left.append(asyncio.run(read())), daemon=True)
    thread.start()
    thread.join(5)  # `asyncio.run` ends its loop, too
    has_left.set()
    assert [result.items["ig_1"].final for result in left] == [None]


def test_a_cancelled_reader_cancels_the_fetch() -> None:
    async def read() -> None:
        async def fetch(_url: str) -> bytes:
            began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append(1)
                raise
            return PICTURE

        began = asyncio.Event()
        task = asyncio.create_task(aassemble(arriving([done()]), fetch=fetch))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    ended: list[int] = []
    asyncio.run(read())
    assert ended == [1]


def test_an_async_fetch_needs_an_async_driver() -> None:
    async def fetch(_url: str) -> bytes:
        return PICTURE

    with pytest.raises(UsageError, match="aassemble"):
        assemble([done()], fetch=fetch)
    with pytest.raises(UsageError, match="fetch is a function"):
        iter_updates([done()], fetch="https")  # type: ignore[arg-type]


def test_the_command_names_the_option_and_refuses_what_is_not_https(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "answer.json").write_text('{"data": [{"url": "http://127.0.0.1/1.png"}]}')
    save = ["save", str(tmp_path / "answer.json"), "-o", str(tmp_path / "out")]
    assert main(save) == 3
    assert "--fetch" in capsys.readouterr().err
    assert main([*save, "--fetch"]) == 3
    said = capsys.readouterr().err
    assert "only https is fetched" in said
    assert "add --fetch" not in said


def test_anomalies_of_a_fetch_are_updates() -> None:
    updates = list(iter_updates([done()], fetch=fetching(picture=OSError("gone"))))
    assert [update.item_id for update in updates if isinstance(update, Anomaly)] == ["ig_1"]
