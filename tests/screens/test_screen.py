"""The base class of a screen of your own: its calls, their threads, and what `imgassemble.screens` exports for it."""

from __future__ import annotations

import ast
import asyncio
import inspect
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
import samples
from samples import Wire

from imgassemble import Outcome, UsageError, aassemble, assemble, screens
from imgassemble.screens import Graphics, Kind, Painter, Policy, Screen, Shown, Tile

TIMEOUT_S = 30  # each wait takes milliseconds; a busy machine may need longer
FINAL = samples.png(5, 4, (9, 90, 200))
EVENTS = [samples.partial(index=0, seq=1), samples.partial(index=1, seq=2), samples.done(content=FINAL, seq=3)]


class ListScreen(Screen):
    """Keeps its pictures in a list."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.shown: list[Shown] = []
        self.outcomes: list[Outcome] = []
        self.threads: set[int] = set()

    def show(self, shown: Shown) -> None:
        self.shown.append(shown)
        self.threads.add(threading.get_ident())

    def end(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class AwaitedScreen(ListScreen):
    """Receives its pictures on an event loop."""

    async def show(self, shown: Shown) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().show(shown)

    async def end(self, outcome: Outcome) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().end(outcome)


async def streamed(events: Iterable[Wire]) -> AsyncIterator[Wire]:
    for event in events:
        yield event


def captions(screen: ListScreen) -> list[str]:
    return [each.tile.caption for each in screen.shown]


def test_a_placeholder_is_shown_first_and_the_final_last() -> None:
    with ListScreen(size=(60, 40)) as screen:
        assert [(each.tile, each.image.size) for each in screen.shown] == [(Tile(), (60, 40))]
        assemble(EVENTS, on_update=screen)
    last = screen.shown[-1]
    assert (last.tile.kind, last.tile.item_id, last.image.size) == (Kind.FINAL, "ig_1", (5, 4))
    assert last.frame
    assert last.frame.data == FINAL


def test_a_screen_that_counts_seconds_is_called_while_nothing_comes() -> None:
    counted = queue.Queue[float]()

    class CountingScreen(ListScreen):
        def count_seconds(self, seconds: float) -> None:
            counted.put(seconds)

    with CountingScreen() as screen:
        assert 1 <= counted.get(timeout=TIMEOUT_S) < counted.get(timeout=TIMEOUT_S)
        assemble(EVENTS, on_update=screen)
        assert screen.close()


def test_the_outcome_of_each_stream_follows_its_last_picture() -> None:
    with ListScreen() as screen:
        assemble(EVENTS, on_update=screen)
        assemble([samples.error()], on_update=screen)
    assert screen.outcomes == [Outcome.COMPLETED, Outcome.FAILED]


def test_pictures_are_shown_in_another_thread_than_the_stream() -> None:
    with ListScreen() as screen:
        screen.threads.clear()
        assemble(EVENTS, on_update=screen)
    assert threading.get_ident() not in screen.threads


def test_dispatch_makes_every_call_in_the_thread_of_the_window() -> None:
    window: queue.Queue[Callable[[], None]] = queue.Queue()
    screen = ListScreen(dispatch=window.put)
    screen.__enter__()
    assert screen.shown == []
    reader = threading.Thread(target=assemble, args=(EVENTS,), kwargs={"on_update": screen})
    reader.start()
    while not screen.outcomes:
        window.get(timeout=TIMEOUT_S)()
    reader.join(TIMEOUT_S)
    assert screen.close()
    assert screen.threads == {threading.get_ident()}
    assert (captions(screen)[0], captions(screen)[-1]) == ("waiting for the first preview", "final")


def test_a_coroutine_function_is_awaited_on_the_loop() -> None:
    async def main() -> AwaitedScreen:
        async with AwaitedScreen() as screen:
            await aassemble(streamed(EVENTS), on_update=screen)
        return screen

    screen = asyncio.run(main())
    assert screen.threads == {threading.get_ident()}
    assert screen.shown[-1].tile.kind is Kind.FINAL
    assert screen.outcomes == [Outcome.COMPLETED]


def test_a_coroutine_function_needs_async_with() -> None:
    with pytest.raises(UsageError, match="async with"):
        AwaitedScreen().__enter__()


def test_a_plain_screen_works_on_an_event_loop() -> None:
    async def main() -> ListScreen:
        async with ListScreen() as screen:
            await aassemble(streamed(EVENTS), on_update=screen)
        return screen

    screen = asyncio.run(main())
    assert (captions(screen)[0], captions(screen)[-1]) == ("waiting for the first preview", "final")


class FailingScreen(ListScreen):
    def show(self, shown: Shown) -> None:
        super().show(shown)
        raise ConnectionError("gone")


class FailingAwaitedScreen(AwaitedScreen):
    async def show(self, shown: Shown) -> None:  # type: ignore[override]
        await super().show(shown)
        raise ConnectionError("gone")


@pytest.mark.parametrize("kind", [FailingScreen, FailingAwaitedScreen])
def test_an_exception_of_show_is_logged_and_the_next_pictures_are_shown(
    kind: type[ListScreen], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> ListScreen:
        async with kind() as screen:
            await aassemble(streamed(EVENTS), on_update=screen)
        return screen

    screen = asyncio.run(main())
    assert screen.shown[-1].tile.kind is Kind.FINAL
    assert len([record for record in caplog.records if record.exc_info]) == 2  # of the placeholder; of pictures, once


@pytest.mark.parametrize("kind", [FailingScreen, FailingAwaitedScreen])
def test_the_outcome_is_reported_after_an_exception_of_show(kind: type[ListScreen]) -> None:
    async def main() -> ListScreen:
        async with kind() as screen:
            await aassemble(streamed([samples.error()]), on_update=screen)
        return screen

    screen = asyncio.run(main())
    assert screen.shown[-1].tile.kind is Kind.FAILED
    assert screen.outcomes == [Outcome.FAILED]


def test_a_screen_without_show_logs_that_it_must_be_defined(caplog: pytest.LogCaptureFixture) -> None:
    with Screen() as screen:
        assemble(EVENTS, on_update=screen)
    assert "a screen of your own defines show(self, shown)" in caplog.text


@pytest.mark.parametrize("options", [{"size": (0, 4)}, {"min_interval_s": -1}, {"dispatch": 3}])
def test_invalid_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ListScreen(**options)


@pytest.mark.parametrize("size", [(0, 4), "5x4", None])
def test_a_painter_refuses_an_invalid_size(size: Any) -> None:
    with pytest.raises(UsageError, match="size is"):
        Painter(size)


# ---- the exports


@pytest.mark.parametrize("name", screens.__all__)
def test_every_exported_name_exists_and_is_documented(name: str) -> None:
    if name == "QtScreen":
        pytest.importorskip("PySide6", reason="no PySide6 here: pip install PySide6-Essentials")
    thing = getattr(screens, name)
    assert get_args(thing) or inspect.getdoc(thing)
    assert name in dir(screens)


def test_type_checkers_see_every_exported_name() -> None:
    tree = ast.parse(Path(screens.__file__).read_text())
    names = {alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names - {None} == set(screens.__all__)


def test_the_types_of_options_are_exported() -> None:
    assert set(get_args(Policy)) == {"latest", "all"}
    assert "kitty" in get_args(Graphics)
