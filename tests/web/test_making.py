"""A stream that a gallery lets one producer make: it goes on where the last one stopped, and pays for nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from itertools import islice
from typing import Any

import pytest

from imgassemble import (
    Cursor,
    DirectorySink,
    IncompleteStreamError,
    Outcome,
    Patience,
    Result,
    StreamTakenError,
    Update,
    UsageError,
    open_events,
)
from imgassemble.simulator.answers import Order, play, resumed
from imgassemble.streams.resuming.resume import OpenStream
from imgassemble.web import Gallery
from imgassemble.web.making import Making

PLAY = play(Order(size=(24, 16), dialect="openai-2025", is_background=True))
IMAGES = play(Order(api="images", size=(24, 16), partials=2))
ONCE = Patience(max_retries=0, first_wait_s=0.0)


class BrokenError(ConnectionError):
    """A broken connection."""


class Service:
    """Gives the rest of one response after each cursor, and breaks after `cut` events of the first connection."""

    def __init__(self, cut: int | None = None, made: Any = PLAY) -> None:
        self.cut, self.made = cut, made
        self.asked: list[Cursor] = []

    def __call__(self, cursor: Cursor) -> Iterator[Any]:
        self.asked.append(cursor)
        cut, self.cut = self.cut, None
        rest = self.made if cursor.sequence_number is None else resumed(self.made, cursor.sequence_number)
        return iter(rest.events) if cut is None else breaking(rest.events[:cut])


def breaking(events: Iterable[Any]) -> Iterator[Any]:
    yield from events
    raise BrokenError("reset by peer")


def facts_of(gallery: Any) -> dict[str, Any]:
    """Return the facts that a new viewer gets, by kind and key."""
    return {f"{change.kind} {change.key}".strip(): change.facts for change in gallery.changes()[1]}


def make(gallery: Gallery, service: OpenStream) -> Result:
    with gallery.produce("otter") as making:
        return making.assemble(service, patience=ONCE)


WHOLE = make(Gallery(), Service())
HAS_IMAGE_AT = next(at for at, event in enumerate(PLAY.events) if "partial_image" in event["type"]) + 1


@pytest.mark.parametrize("cut", range(1, len(PLAY.events)))
def test_a_producer_goes_on_at_every_place_where_another_one_stopped(cut: int) -> None:
    gallery, service = Gallery(), Service(cut)
    with pytest.raises(IncompleteStreamError):
        make(gallery, service)
    result = make(gallery, service)
    assert result.outcome is Outcome.COMPLETED
    assert result.final == WHOLE.final
    assert [cursor.response_id is None for cursor in service.asked] == [True, False]
    assert facts_of(gallery)["item 0"]["has_final"] is True
    assert facts_of(gallery)["stream"]["outcome"] == "completed"


def interrupting(n_updates: int) -> Callable[[Update], None]:
    """Return a listener that Ctrl-C interrupts at its last update."""
    updates: list[Update] = []

    def listen(update: Update) -> None:
        updates.append(update)
        if len(updates) == n_updates:
            raise KeyboardInterrupt

    return listen


@pytest.mark.parametrize("n_updates", range(1, 9))
def test_a_producer_goes_on_at_every_update_at_which_another_one_was_interrupted(n_updates: int) -> None:
    gallery, service = Gallery(), Service()
    with pytest.raises(KeyboardInterrupt), gallery.produce("otter") as making:
        making.assemble(service, on_update=interrupting(n_updates), patience=ONCE)
    assert make(gallery, service).final == WHOLE.final  # also if its result was to come after the image was completed
    assert [cursor.response_id is None for cursor in service.asked].count(True) == 1


SEVERAL = play(Order(size=(24, 16), dialect="openai-2025", is_background=True, items=2))
AFTER_THE_FIRST = next(at for at, event in enumerate(SEVERAL.events) if event["type"].endswith("call.completed")) + 2


@pytest.mark.parametrize("is_stopped", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_ends_early_between_two_images_is_not_over(is_stopped: bool, is_async: bool) -> None:
    gallery, service = Gallery(), Service(made=SEVERAL)

    def opened(cursor: Cursor) -> Iterator[Any]:
        yield from islice(service(cursor), AFTER_THE_FIRST)
        if not is_stopped:
            raise BrokenError("reset by peer")
        gallery.stop("otter")

    async def aopened(cursor: Cursor) -> AsyncIterator[Any]:
        for event in opened(cursor):
            yield event

    async def amake() -> Result:
        async with gallery.produce("otter") as making:
            return await making.aassemble(aopened, patience=ONCE)

    with suppress(IncompleteStreamError):
        result = asyncio.run(amake()) if is_async else make(gallery, opened)
        assert result.outcome is Outcome.COMPLETED
    assert len(make(gallery, service).finals) == 2
    assert len(service.asked) == 2


def test_a_stream_that_its_service_ends_without_an_event_is_not_opened_again() -> None:
    unnumbered = [{name: event[name] for name in event if name != "sequence_number"} for event in PLAY.events[:-1]]
    gallery, service = Gallery(), Service(made=replace(PLAY, events=tuple(unnumbered)))
    assert make(gallery, service).outcome is Outcome.COMPLETED
    assert make(gallery, service).final == WHOLE.final
    assert len(service.asked) == 1


def test_the_viewers_of_an_earlier_producer_get_new_addresses_and_keep_the_item() -> None:
    gallery, service = Gallery(), Service(HAS_IMAGE_AT)
    with pytest.raises(IncompleteStreamError):
        make(gallery, service)
    position, before = gallery.changes()
    frames = {change.facts["number"] for change in before if change.kind == "frame"}
    make(gallery, service)
    assert gallery.is_known(position)
    after = facts_of(gallery)
    assert after["item 0"]["id"] == WHOLE.items[next(iter(WHOLE.items))].id
    assert frames.isdisjoint(after["item 0"]["frames"])
    for number in after["item 0"]["frames"]:
        key = after[f"frame {number}"]["url"].split("/")[1]
        assert gallery.frame(key, number) is not None
    assert all(gallery.frame(key, number) is None for number in frames)


def test_a_stream_that_has_ended_is_not_opened_again() -> None:
    gallery, service = Gallery(), Service()
    make(gallery, service)
    again = make(gallery, service)
    assert len(service.asked) == 1
    assert again.outcome is Outcome.COMPLETED
    assert again.final == WHOLE.final
    gallery.remove("otter")
    make(gallery, service)
    assert len(service.asked) == 2


def test_a_stream_that_is_made_again_after_its_end_is_still_removed() -> None:
    seconds = [0.0]
    gallery, service = Gallery(keep_s=10, clock=lambda: seconds[0]), Service()
    make(gallery, service)
    make(gallery, service)
    with pytest.raises(IncompleteStreamError), gallery.produce("heron") as making:
        making.assemble(Service(4), patience=ONCE)
    with gallery.produce("heron"):
        """It goes on with nothing."""
    assert gallery.names == ("otter", "heron")
    seconds[0] = 10.0
    assert not gallery.names


def test_the_frames_of_earlier_producers_do_not_count_for_max_bytes() -> None:
    gallery = Gallery(max_bytes=10_000)
    for _ in range(20):
        gallery.remove("otter")
        service = Service(HAS_IMAGE_AT)
        with suppress(IncompleteStreamError):
            make(gallery, service)
        make(gallery, service)
    assert gallery.names == ("otter",)


def test_a_stream_that_its_service_failed_is_not_opened_again() -> None:
    failed = play(Order(size=(24, 16), dialect="openai-2025", faults=("moderation-stream",)))
    gallery, service = Gallery(), Service(made=failed)
    first, again = make(gallery, service), make(gallery, service)
    assert len(service.asked) == 1
    assert first.outcome is again.outcome is Outcome.FAILED
    assert str(first.error) == str(again.error)


def test_a_failure_of_a_stream_that_cannot_go_on_is_its_result() -> None:
    failed = play(Order(api="images", size=(24, 16), partials=2, faults=("error-nested",)))
    gallery, service = Gallery(), Service(made=failed)
    first, again = make(gallery, service), make(gallery, service)
    assert len(service.asked) == 1
    assert str(first.error) == str(again.error)
    assert "server_error" in str(first.error)


@pytest.mark.parametrize("cut", [1, HAS_IMAGE_AT])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_goes_on_with_another_response_is_logged(
    cut: int, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    gallery, other = Gallery(), play(Order(size=(24, 16), dialect="openai-2025", is_background=True, seed=9))

    async def amake() -> Result:
        async with gallery.produce("otter") as making:
            return await making.aassemble(lambda cursor: other.events)

    with pytest.raises(IncompleteStreamError):
        make(gallery, Service(cut))
    caplog.clear()
    result = asyncio.run(amake()) if is_async else make(gallery, lambda cursor: iter(other.events))
    assert len(result.finals) == 1
    ids = [next(each["response"]["id"] for each in made.events if "response" in each) for made in (PLAY, other)]
    (logged,) = [record.getMessage() for record in caplog.records if "another stream" in record.getMessage()]
    assert f"response '{ids[1]}'" in logged
    assert f"the saved ones to '{ids[0]}'" in logged


def test_a_stream_without_a_response_id_that_has_begun_cannot_go_on() -> None:
    gallery, service = Gallery(), Service(1, made=IMAGES)
    with pytest.raises(BrokenError):
        make(gallery, service)
    with pytest.raises(IncompleteStreamError, match=r"'otter' had begun.*nothing is asked for again: remove\(\)"):
        make(gallery, service)
    assert len(service.asked) == 1
    gallery.remove("otter")
    assert make(gallery, service).outcome is Outcome.COMPLETED


def test_a_stream_that_could_not_be_opened_is_opened_by_the_next_producer() -> None:
    gallery, service = Gallery(), Service(0)
    with pytest.raises(BrokenError):
        make(gallery, service)
    assert make(gallery, service).final == WHOLE.final
    assert service.asked == [Cursor(), Cursor()]


def test_one_producer_at_a_time_makes_a_stream() -> None:
    gallery = Gallery()
    with gallery.produce("otter"):
        with pytest.raises(StreamTakenError, match="'otter'"), gallery.produce("otter"):
            pass
        with pytest.raises(UsageError, match="shown already"):
            gallery.add("otter")
    assert make(gallery, Service()).final == WHOLE.final


def test_a_stream_that_was_added_is_not_produced() -> None:
    gallery = Gallery()
    gallery.add("otter")
    with pytest.raises(UsageError, match="shown already"), gallery.produce("otter"):
        pass


def test_a_producer_that_leaves_its_stream_before_the_end_leaves_an_orphan() -> None:
    gallery = Gallery()
    with gallery.produce("otter"):
        assert gallery.orphans() == ()
    assert gallery.orphans() == ("otter",)
    facts = facts_of(gallery)["stream"]
    assert facts["is_orphaned"] is True
    assert "can be started again" in facts["caption"]
    make(gallery, Service())
    assert gallery.orphans() == ()
    assert "is_orphaned" not in facts_of(gallery)["stream"]


def test_stop_ends_a_stream_that_is_made_and_another_producer_goes_on() -> None:
    gallery, service = Gallery(), Service()
    with gallery.produce("otter") as making:
        result = making.assemble(service, on_update=lambda _: gallery.stop("otter"))
    assert result.outcome is Outcome.INCOMPLETE
    assert "stopped" in str(result.error)
    assert make(gallery, service).final == WHOLE.final
    assert service.asked[1].response_id is not None


def test_stop_before_the_beginning_opens_nothing_and_without_a_producer_changes_nothing() -> None:
    gallery, service = Gallery(), Service()
    gallery.stop("otter")
    with gallery.produce("otter") as making:
        gallery.stop("otter")
        assert making.assemble(service).outcome is not Outcome.COMPLETED
    assert service.asked == []


def test_a_making_that_was_stopped_can_be_entered_again() -> None:
    gallery, service = Gallery(), Service()
    making = gallery.produce("otter")
    with making:
        gallery.stop("otter")
        assert making.assemble(service, patience=ONCE).outcome is not Outcome.COMPLETED
    with making:
        assert making.assemble(service, patience=ONCE).final == WHOLE.final


def test_a_removed_stream_is_not_shown_and_its_producer_gets_its_result() -> None:
    gallery, service = Gallery(), Service()
    with gallery.produce("otter") as making:
        result = making.assemble(service, on_update=lambda _: gallery.remove("otter"))
    assert result.final == WHOLE.final
    assert gallery.names == gallery.orphans() == ()


def test_listeners_and_sinks_get_the_items_of_earlier_producers_first(tmp_path: Any) -> None:
    gallery, service = Gallery(), Service(HAS_IMAGE_AT)
    with pytest.raises(IncompleteStreamError):
        make(gallery, service)
    for _ in range(2):  # the second one is not opened
        with gallery.produce("otter") as making:
            making.assemble(service, sinks=[DirectorySink(tmp_path / "otter")])
    assert [path.read_bytes() for path in tmp_path.glob("otter/*/final.*")] == [WHOLE.require_final().data]
    assert list(tmp_path.glob("otter/*/partial-000.*"))


def test_a_stream_is_made_once_and_in_its_block() -> None:
    making = Gallery().produce("otter")
    with pytest.raises(UsageError, match="in its block"):
        making.assemble(Service())
    with making:
        making.assemble(Service())
        with pytest.raises(UsageError, match="made once"):
            making.assemble(Service())


def test_a_stream_is_not_made_after_its_block() -> None:
    gallery, service = Gallery(), Service()
    with gallery.produce("otter") as making:
        pass
    with pytest.raises(UsageError, match="in its block"):
        making.assemble(service)
    assert service.asked == []
    assert make(gallery, service).outcome is Outcome.COMPLETED


@pytest.mark.parametrize(("lease_s", "renew_s"), [(5.0, 5.0), (0.0, 0.0), (float("inf"), 1.0)])
def test_a_lease_that_ends_before_it_is_renewed_is_refused(lease_s: float, renew_s: float) -> None:
    with pytest.raises(UsageError):
        Gallery().produce("otter", lease_s=lease_s, renew_s=renew_s)


def test_async_producers_go_on_too() -> None:
    gallery, service = Gallery(), Service(HAS_IMAGE_AT)

    async def open_stream(cursor: Cursor) -> Any:
        async def events() -> Any:
            for event in service(cursor):
                yield event

        return events()

    async def produced(making: Making) -> Result:
        async with making:
            return await making.aassemble(open_stream, patience=ONCE)

    with pytest.raises(IncompleteStreamError):
        asyncio.run(produced(gallery.produce("otter")))
    assert asyncio.run(produced(gallery.produce("otter"))).final == WHOLE.final
    assert asyncio.run(produced(gallery.produce("otter"))).final == WHOLE.final
    assert [cursor.response_id is None for cursor in service.asked] == [True, False]


def test_a_real_client_goes_on_with_a_response_in_the_background(image_server: Any) -> None:
    openai = pytest.importorskip("openai")
    image_server.use(partials=2, faults=["disconnect-after-event=5"], times=1)
    client = openai.OpenAI(base_url=image_server.base_url, api_key="-", max_retries=0)

    def open_stream(cursor: Cursor) -> Any:
        if cursor.response_id is None:
            tools = [{"type": "image_generation", "partial_images": 2}]
            return client.responses.create(model="gpt-5", input="-", stream=True, background=True, tools=tools)
        return client.responses.retrieve(cursor.response_id, stream=True, starting_after=cursor.sequence_number)

    gallery = Gallery()
    with pytest.raises(IncompleteStreamError), gallery.produce("otter") as making:
        making.assemble(open_stream, patience=ONCE)
    with gallery.produce("otter") as making:
        result = making.assemble(open_stream)
    assert [request.method for request in image_server.requests] == ["POST", "GET"]
    [sent] = [
        each
        for each in open_events(BytesIO(b"".join(image_server.sent[-1].body)))
        if each["type"] == "response.completed"
    ]
    assert result.outcome is Outcome.COMPLETED
    assert sent["response"]["id"] == result.responses[-1].id
