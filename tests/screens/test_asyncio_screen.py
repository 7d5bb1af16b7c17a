"""A screen on an event loop: the arguments of `show`, and the threads of the calls and of the decoding."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterable
from io import BytesIO
from typing import Any

import pytest
import samples
from PIL import Image
from samples import Wire

from imgassemble import UsageError, aassemble, assemble
from imgassemble.screens import LoopScreen
from imgassemble.screens.tiles import Kind, Shown

PATIENCE_S = 30  # each wait takes milliseconds; a busy machine may need longer
DRAFT_CAPTION = "draft: the stream was cut: TimeoutError: no answer for 30 s"
FINAL = samples.png(5, 4, (9, 90, 200))
EVENTS = [
    samples.call("generating", seq=1),
    samples.partial(index=0, seq=2),
    samples.partial(index=1, seq=3),
    samples.done(content=FINAL, seq=4),
]


async def given(events: Iterable[Wire]) -> AsyncIterator[Wire]:
    for event in events:
        yield event


def pixels(data: bytes) -> bytes:
    return Image.open(BytesIO(data)).convert("RGB").tobytes()


def is_order_kept(captions: list[str]) -> bool:
    """Return whether these are the captions of the stream in order, with only previews left out."""
    whole = ["waiting for the first preview", "preview 1", "preview 2", "final"]
    places = [whole.index(each) for each in captions]
    return places == sorted(set(places)) and places[0] == 0 and places[-1] == 3


@pytest.mark.parametrize("is_async", [True, False])
def test_a_placeholder_is_shown_first_then_the_previews_in_order_and_the_final_last(is_async: bool) -> None:
    shown: list[Shown] = []

    async def show(each: Shown) -> None:
        shown.append(each)

    async def main() -> None:
        async with LoopScreen(show if is_async else shown.append, size=(60, 40)) as screen:
            assert [(each.tile.kind, each.image.size) for each in shown] == [(Kind.WAITING, (60, 40))]
            await aassemble(given(EVENTS), on_update=screen)

    asyncio.run(main())
    assert is_order_kept([each.tile.caption for each in shown])
    assert shown[-1].tile.kind is Kind.FINAL
    assert shown[-1].tile.frame
    assert shown[-1].tile.frame.data == FINAL
    assert shown[-1].image.tobytes() == pixels(FINAL)


@pytest.mark.parametrize("is_async", [True, False])
def test_the_seconds_are_counted_on_the_loop_while_nothing_comes(is_async: bool) -> None:
    counted: list[tuple[float, int]] = []

    async def main() -> None:
        has_counted = asyncio.Event()

        def count_seconds(seconds: float) -> None:
            counted.append((seconds, threading.get_ident()))
            has_counted.set()

        async def acount_seconds(seconds: float) -> None:
            count_seconds(seconds)

        async with LoopScreen(print, count_seconds=acount_seconds if is_async else count_seconds):
            await asyncio.wait_for(has_counted.wait(), PATIENCE_S)

    asyncio.run(main())
    ((seconds, thread), *_) = counted
    assert seconds >= 1
    assert thread == threading.get_ident()


def test_a_blocked_image_and_a_stream_that_raises_reach_the_function() -> None:
    shown: list[Shown] = []

    async def raising() -> AsyncIterator[Wire]:
        yield samples.partial()
        raise TimeoutError("no answer for 30 s")

    async def main() -> None:
        async with LoopScreen(shown.append) as screen:
            await aassemble(given([samples.partial(), samples.error("moderation_blocked", "no")]), on_update=screen)
            with pytest.raises(TimeoutError):
                await aassemble(raising(), on_update=screen)

    asyncio.run(main())
    blocked, *_, draft = (each for each in shown if each.tile.kind not in (Kind.WAITING, Kind.PREVIEW))
    assert (blocked.tile.kind, blocked.frame) == (Kind.BLOCKED, None)
    assert (draft.tile.kind, draft.tile.caption) == (Kind.DRAFT, DRAFT_CAPTION)


def test_every_preview_is_shown_if_the_stream_waits_for_it() -> None:
    captions: list[str] = []

    async def main() -> None:
        is_shown = asyncio.Event()

        def show(each: Shown) -> None:
            captions.append(each.tile.caption)
            is_shown.set()

        async def patient() -> AsyncIterator[Wire]:
            for event in EVENTS:
                is_shown.clear()
                yield event
                if "partial" in event["type"]:
                    await asyncio.wait_for(is_shown.wait(), PATIENCE_S)

        async with LoopScreen(show) as screen:
            await aassemble(patient(), on_update=screen)

    asyncio.run(main())
    assert captions == ["waiting for the first preview", "preview 1", "preview 2", "final"]


def test_previews_that_arrive_while_show_runs_are_skipped_for_the_final() -> None:
    captions: list[str] = []

    async def main() -> None:
        is_told = asyncio.Event()

        async def show(each: Shown) -> None:
            captions.append(each.tile.caption)
            if each.tile.kind is Kind.PREVIEW:
                await is_told.wait()

        async def hasty() -> AsyncIterator[Wire]:
            async for event in given(EVENTS):
                yield event
            is_told.set()

        async with LoopScreen(show) as screen:
            await aassemble(hasty(), on_update=screen)

    asyncio.run(main())
    assert is_order_kept(captions)
    assert len(captions) <= 3


def test_show_runs_on_the_loop_and_pictures_are_decoded_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[object] = []
    decoders: list[int] = []
    thumbnail = Image.Image.thumbnail

    def watched(image: Image.Image, *arguments: Any, **options: Any) -> None:
        decoders.append(threading.get_ident())
        thumbnail(image, *arguments, **options)

    async def main() -> object:
        async with LoopScreen(lambda _: loops.append(asyncio.get_running_loop())) as screen:
            await aassemble(given(EVENTS), on_update=screen)
        return asyncio.get_running_loop()

    monkeypatch.setattr(Image.Image, "thumbnail", watched)
    loop = asyncio.run(main())
    assert set(loops) == {loop}
    assert decoders
    assert threading.get_ident() not in decoders


def test_a_stream_that_is_read_in_a_thread_is_shown_on_the_loop() -> None:
    captions: list[str] = []

    async def main() -> None:
        async with LoopScreen(lambda each: captions.append(each.tile.caption)) as screen:
            await asyncio.to_thread(assemble, EVENTS, on_update=screen)

    asyncio.run(main())
    assert is_order_kept(captions)


@pytest.mark.parametrize(
    ("events", "kind", "words"),
    [
        ([samples.partial(index=0, seq=1)], Kind.DRAFT, "draft: "),
        ([samples.partial(index=0, seq=1), samples.snapshot("failed", seq=2)], Kind.FAILED, "failed: "),
        ([], Kind.FAILED, "no image: "),
    ],
)
def test_drafts_and_failures_are_shown_as_drafts_and_failures(events: list[Wire], kind: Kind, words: str) -> None:
    shown: list[Shown] = []

    async def main() -> None:
        async with LoopScreen(shown.append) as screen:
            await aassemble(given(events), on_update=screen)

    asyncio.run(main())
    assert shown[-1].tile.kind is kind
    assert shown[-1].tile.caption.startswith(words)


def test_a_draft_whose_preview_was_skipped_is_still_shown() -> None:
    shown: list[Shown] = []

    async def main() -> None:
        async with LoopScreen(shown.append, min_interval_s=3_600) as screen:
            await aassemble(given(EVENTS[1:3]), on_update=screen)

    asyncio.run(main())
    assert shown[-1].tile.kind is Kind.DRAFT
    assert shown[-1].image.tobytes() == pixels(samples.shade(1))


def test_an_exception_of_show_is_logged_and_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    kinds: list[Kind] = []

    async def show(each: Shown) -> None:
        kinds.append(each.tile.kind)
        raise ConnectionError("gone")

    async def main() -> Any:
        async with LoopScreen(show) as screen:
            return await aassemble(given(EVENTS), on_update=screen)

    with caplog.at_level(logging.ERROR, "imgassemble"):
        result = asyncio.run(main())
    assert result.final.data == FINAL
    assert (kinds[0], kinds[-1]) == (Kind.WAITING, Kind.FINAL)
    assert len(caplog.records) == 2  # of the placeholder; of pictures, once


def test_the_exception_of_a_stream_is_raised_and_its_preview_is_called_a_draft() -> None:
    captions: list[str] = []

    async def broken() -> AsyncIterator[Wire]:
        yield EVENTS[1]
        raise OSError("gone")

    async def main() -> None:
        async with LoopScreen(lambda each: captions.append(each.tile.caption)) as screen:
            await aassemble(broken(), on_update=screen)

    with pytest.raises(OSError, match="gone"):
        asyncio.run(main())
    assert captions[-1] == "draft: the stream was cut: OSError: gone"


def test_an_unused_screen_is_freed_at_once_without_the_garbage_collector() -> None:
    async def main() -> weakref.ref[LoopScreen]:
        async with LoopScreen(lambda _: None, size=(60, 40)) as screen:
            await aassemble(given(EVENTS), on_update=screen)
        return weakref.ref(screen)

    gc.disable()
    try:
        assert asyncio.run(main())() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("arguments", [{"show": None}, {"size": (0, 4)}, {"size": "5x4"}, {"min_interval_s": -1}])
def test_invalid_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LoopScreen(**{"show": print, **arguments})


def test_an_import_brings_no_asyncio_along() -> None:
    code = "import sys, imgassemble.screens.asyncio_screen; print('asyncio' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
