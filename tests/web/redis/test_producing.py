"""A stream that producers of several processes make, one at a time, on a real Redis server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from hashlib import sha256
from typing import Any

import pytest
import samples
from redis_stage import RedisServer, wait_until

from imgassemble import (
    Assembler,
    Cursor,
    IncompleteStreamError,
    Outcome,
    Result,
    SinkError,
    StreamTakenError,
    UsageError,
    assemble,
)
from imgassemble.simulator.answers import Order, play
from imgassemble.web import RedisGallery
from imgassemble.web.redis.keys import GalleryKeys
from imgassemble.web.redis.outbox import Outbox
from imgassemble.web.redis.sending import Sending, _finish_all
from imgassemble.web.redis.stored_stream import Keeping, StoredStream
from imgassemble.web.shown_streams import ShownStream
from web.test_making import AFTER_THE_FIRST, ONCE, PLAY, SEVERAL, WHOLE, Service, facts_of, interrupting

IMAGES = play(Order(api="images", size=(24, 16), partials=2))
HALF = len(PLAY.events) // 2


def make(gallery: RedisGallery, service: Any, name: str = "otter", **options: Any) -> Result:
    with gallery.produce(name, **options) as making:
        return making.assemble(service, patience=ONCE)


def shown_final(gallery: RedisGallery) -> bytes | None:
    """Return the bytes of the result that a viewer of another process gets."""
    items = [change.facts for change in gallery.changes()[1] if change.kind == "item" and change.facts["has_final"]]
    frames = {change.facts["number"]: change for change in gallery.changes()[1] if change.kind == "frame"}
    if not items or items[0]["frames"][-1] not in frames:
        return None
    address = frames[items[0]["frames"][-1]].facts["url"].split("/")[1]
    frame = gallery.frame(address, items[0]["frames"][-1])
    return None if frame is None else frame.data


@pytest.fixture
def viewer(server: RedisServer, name: str) -> Iterator[RedisGallery]:
    opened = RedisGallery(server.url, name)
    yield opened
    opened.close()


def test_a_producer_goes_on_at_every_place_and_the_service_is_asked_once(
    gallery: RedisGallery, viewer: RedisGallery
) -> None:
    for cut in range(1, len(PLAY.events)):
        service = Service(cut)
        with pytest.raises(IncompleteStreamError):
            make(gallery, service)
        result = make(gallery, service)
        assert (result.outcome, result.final) == (Outcome.COMPLETED, WHOLE.final)
        assert [cursor.response_id is None for cursor in service.asked] == [True, False]
        assert make(gallery, service).final == WHOLE.final
        assert len(service.asked) == 2
        wait_until(lambda: shown_final(viewer) == WHOLE.require_final().data)
        gallery.remove("otter")
        wait_until(lambda: viewer.names == ())


def test_a_producer_that_was_interrupted_between_two_images_leaves_the_second_one(gallery: RedisGallery) -> None:
    service = Service(AFTER_THE_FIRST, SEVERAL)
    with suppress(IncompleteStreamError):
        make(gallery, service)
    assert len(make(gallery, service).finals) == 2
    assert len(service.asked) == 2


def test_a_producer_that_was_interrupted_before_the_result_leaves_it_to_the_next_one(gallery: RedisGallery) -> None:
    service = Service()
    with pytest.raises(KeyboardInterrupt), gallery.produce("otter") as making:
        making.assemble(service, on_update=interrupting(7), patience=ONCE)  # the image is completed, with its preview
    assert make(gallery, service).final == WHOLE.final
    assert len(service.asked) == 2


def test_the_response_id_is_stored_before_the_next_event_is_read(
    server: RedisServer, gallery: RedisGallery, name: str
) -> None:
    meta = GalleryKeys(name).meta("otter")
    stored: list[Any] = []

    def events(_cursor: Cursor) -> Iterator[Any]:
        for event in PLAY.events:
            yield event
            stored.append(server.client.hget(meta, "cursor"))

    make(gallery, events)
    assert all(b'"response_id": "resp_' in each for each in stored)


def test_redis_holds_no_events_prompts_and_base64_and_each_frame_once(
    server: RedisServer, gallery: RedisGallery, name: str
) -> None:
    make(gallery, Service())
    keys = GalleryKeys(name)
    texts = b"".join(server.client.hgetall(keys.facts("otter")).values())
    texts += repr(server.client.xrange(keys.log)).encode()
    assert b"revised_prompt" not in texts
    assert samples.b64(WHOLE.require_final().data)[:40].encode() not in texts
    frames = list(server.client.scan_iter(f"imgassemble:{name}:frame:*"))
    digests = {frame.sha256 for item in WHOLE.items.values() for frame in (*item.partials, item.final) if frame}
    assert len(frames) == len(digests)
    assert all(server.client.pttl(frame) > 0 for frame in frames)


def test_one_producer_at_a_time_and_no_stream_of_add(gallery: RedisGallery) -> None:
    with gallery.produce("otter"):
        with pytest.raises(StreamTakenError, match=r"end, or (30|29|2.) s if it was killed"), gallery.produce("otter"):
            pass
        with pytest.raises(UsageError, match="shown already"):
            gallery.add("otter")
    gallery.add("heron")
    with pytest.raises(UsageError, match="shown already"), gallery.produce("heron"):
        pass


def test_a_producer_that_slept_past_its_lease_gets_an_error_and_writes_nothing(
    server: RedisServer, gallery: RedisGallery, name: str
) -> None:
    taken_over: list[Any] = []

    def taking_over(cursor: Cursor) -> Iterator[Any]:
        events = iter(Service()(cursor))
        yield from (next(events) for _ in range(HALF))
        while not taken_over:
            server.client.zadd(GalleryKeys(name).leases, {"otter": 1})  # as if the lease had run out
            with suppress(StreamTakenError):  # it was renewed meanwhile
                taken_over.append(make(gallery, Service()))
        yield from events

    with pytest.raises(StreamTakenError) as caught:
        make(gallery, taking_over)
    assert isinstance(caught.value.result, Result)
    wait_until(lambda: taken_over)
    assert taken_over[0].final == WHOLE.final
    wait_until(lambda: facts_of(gallery).get("stream", {}).get("outcome") == "completed")


def test_stop_from_another_process_ends_the_reading(gallery: RedisGallery, viewer: RedisGallery) -> None:
    gone_on = threading.Event()

    def endless(cursor: Cursor) -> Iterator[Any]:
        yield from PLAY.events[:HALF]
        viewer.stop("otter")
        gone_on.wait(20)
        yield PLAY.events[HALF]

    def set_when_stopped(assembler: Assembler) -> None:
        wait_until(lambda: assembler.is_stopped)
        gone_on.set()

    assembler = Assembler()
    threading.Thread(target=set_when_stopped, args=(assembler,), daemon=True).start()
    with gallery.produce("otter") as making:
        result = making.assemble(endless, assembler=assembler)
    assert "stopped" in str(result.error)
    assert make(gallery, Service()).final == WHOLE.final


def test_a_stream_of_the_images_api_cannot_go_on(gallery: RedisGallery, viewer: RedisGallery) -> None:
    service = Service(1, made=IMAGES)
    with pytest.raises(ConnectionError):
        make(gallery, service)
    with pytest.raises(IncompleteStreamError, match="nothing is asked for again"):
        make(gallery, service)
    gallery.remove("otter")
    assert make(gallery, service).outcome is Outcome.COMPLETED


def test_a_failure_of_a_stream_that_cannot_go_on_is_its_result(gallery: RedisGallery) -> None:
    failed = play(Order(api="images", size=(24, 16), partials=2, faults=("error-nested",)))
    service = Service(made=failed)
    first, again = make(gallery, service), make(gallery, service)
    assert len(service.asked) == 1
    assert str(first.error) == str(again.error)


def test_a_result_that_redis_has_lost_comes_again_from_the_service(
    server: RedisServer, gallery: RedisGallery, name: str
) -> None:
    service = Service(len(PLAY.events) - 1)
    with pytest.raises(IncompleteStreamError):
        make(gallery, service)
    server.client.delete(*server.client.scan_iter(f"imgassemble:{name}:frame:*"))
    assert make(gallery, service).final == WHOLE.final
    assert service.asked[1].response_id is not None
    assert service.asked[1].sequence_number is None
    wait_until(lambda: shown_final(gallery) == WHOLE.require_final().data)


def test_everything_is_sent_again_after_the_server_has_lost_it(
    server: RedisServer, gallery: RedisGallery, viewer: RedisGallery, name: str
) -> None:
    def losing(cursor: Cursor) -> Iterator[Any]:
        yield from PLAY.events[:-2]
        wait_until(lambda: viewer.names == ("otter",))
        server.client.delete(*server.client.scan_iter("imgassemble:*" + name + "*"))
        yield from PLAY.events[-2:]

    assert make(gallery, losing).final == WHOLE.final
    wait_until(lambda: facts_of(viewer).get("stream", {}).get("outcome") == "completed")
    assert shown_final(viewer) == WHOLE.require_final().data


def test_a_stream_that_another_producer_has_added_after_a_loss_is_taken(server: RedisServer, name: str) -> None:
    keys, keeping = GalleryKeys(name), Keeping(keep_s=60.0, lease_s=30.0)
    first, second = (StoredStream(server.url, keys, "otter", keeping, "add") for _ in range(2))
    first.claim()
    with pytest.raises(UsageError, match="shown already"):
        second.claim()
    server.client.delete(*server.client.scan_iter("imgassemble:*" + name + "*"))
    second.claim()
    with pytest.raises(StreamTakenError):
        first.claim()
    first.close()
    second.close()


def test_a_removed_stream_stays_removed_while_its_producer_goes_on(gallery: RedisGallery, viewer: RedisGallery) -> None:
    def removing(cursor: Cursor) -> Iterator[Any]:
        yield from PLAY.events[:HALF]
        viewer.remove("otter")
        yield from PLAY.events[HALF:]

    assert make(gallery, removing).final == WHOLE.final
    assert viewer.names == gallery.names == ()


def test_a_server_that_cannot_be_reached_is_a_sink_error_with_the_result(
    gallery: RedisGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgassemble.web.making._FINISHING_S", 0.2)
    monkeypatch.setattr("imgassemble.web.redis.producing._RELEASING_S", 0.0)
    monkeypatch.setattr("imgassemble.web.redis.sending._STORING_S", 0.1)

    def cutting_off(cursor: Cursor) -> Iterator[Any]:
        monkeypatch.setattr("imgassemble.web.redis.stored_stream.StoredStream.write", _refuse)
        yield from PLAY.events

    with pytest.raises(SinkError, match="the result is complete here") as caught:
        make(gallery, cutting_off)
    assert caught.value.result.final == WHOLE.final
    monkeypatch.undo()
    wait_until(lambda: shown_final(gallery) == WHOLE.require_final().data)  # the sending goes on


def _refuse(*_: Any, **__: Any) -> bool:
    raise ConnectionError("the network is down")


def test_add_shows_a_stream_that_has_begun_and_gives_the_lease_back_at_its_end(
    server: RedisServer, gallery: RedisGallery, viewer: RedisGallery, name: str
) -> None:
    assembler = Assembler()
    for event in PLAY.events[:HALF]:
        assembler.feed(event)
    gallery.add("otter", assembler, title="an otter", size=(24, 16))
    with pytest.raises(UsageError, match="shown already"):
        gallery.add("otter")
    for event in PLAY.events[HALF:]:
        assembler.feed(event)
    assembler.close()
    wait_until(lambda: shown_final(viewer) == WHOLE.require_final().data)
    wait_until(lambda: server.client.zscore(GalleryKeys(name).leases, "otter") is None)
    stream = facts_of(viewer)["stream"]
    assert (stream["title"], stream["size"], stream["began_s"]) == ("an otter", [24, 16], None)


def test_a_program_that_ends_at_once_loses_nothing(server: RedisServer, viewer: RedisGallery, name: str) -> None:
    program = (
        "import sys\n"
        "from imgassemble import assemble\n"
        "from imgassemble.simulator.answers import Order, play\n"
        "from imgassemble.web import RedisGallery\n"
        "events = play(Order(size=(24, 16), dialect='openai-2025', is_background=True)).events\n"
        "assemble(events, on_update=RedisGallery(sys.argv[1], sys.argv[2]).add('otter'))\n"
    )
    subprocess.run([sys.executable, "-c", program, server.url, name], check=True, timeout=60)
    wait_until(lambda: shown_final(viewer) == WHOLE.require_final().data)


def test_a_listener_that_is_dropped_leaves_an_orphan(gallery: RedisGallery, server: RedisServer, name: str) -> None:
    listener = gallery.add("otter")
    assert server.client.zscore(GalleryKeys(name).leases, "otter")
    del listener
    wait_until(lambda: server.client.zscore(GalleryKeys(name).leases, "otter") is None)


def test_two_streams_of_one_process_are_sent_side_by_side(gallery: RedisGallery, viewer: RedisGallery) -> None:
    for name in ("otter", "heron"):
        assemble(PLAY.events, on_update=gallery.add(name))
    wait_until(lambda: set(viewer.names) == {"otter", "heron"})


def test_the_thread_that_feeds_computes_no_digest_and_sends_nothing(
    gallery: RedisGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()

    def noting(data: bytes) -> Any:
        threads.add(threading.current_thread().name)
        return sha256(data)

    monkeypatch.setattr("imgassemble.frames.frame.sha256", noting)
    make(gallery, Service())
    assert threads == {"imgassemble-redis"}


def test_async_producers_go_on_too_and_a_cancelled_one_leaves_at_once(gallery: RedisGallery) -> None:
    service = Service(HALF)

    def opener(*, hangs: bool) -> Any:
        async def open_stream(cursor: Cursor) -> Any:
            async def events() -> Any:
                for event in service(cursor):
                    yield event
                    if hangs and "partial" in event["type"]:
                        await asyncio.sleep(60)

            return events()

        return open_stream

    async def made(open_stream: Any) -> Result:
        async with gallery.produce("otter") as making:
            return await making.aassemble(open_stream, patience=ONCE)

    async def cancelled() -> float:
        task = asyncio.create_task(made(opener(hangs=True)))
        while not gallery.names or not any(change.kind == "frame" for change in gallery.changes()[1]):
            await asyncio.sleep(0.01)
        task.cancel()
        began = time.monotonic()
        with suppress(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    service.cut = None
    assert asyncio.run(cancelled()) < 5
    assert asyncio.run(made(opener(hangs=False))).final == WHOLE.final
    assert asyncio.run(made(opener(hangs=False))).final == WHOLE.final
    assert [cursor.response_id is None for cursor in service.asked] == [True, False]


def test_previews_that_wait_have_a_bound_and_results_and_the_newest_never_go() -> None:
    small = samples.png()
    outbox = Outbox(ShownStream(name="otter", title="otter", number=0, began_s=0.0, size=None))
    outbox.show()
    assembler = Assembler()
    assembler.subscribe(lambda update: outbox.take(update, 0.0))
    for at in range(8):
        data = small[:-12] + samples.png_chunk(b"teSt", bytes([at]) * 9 * 2**20) + small[-12:]
        assembler.feed(samples.partial("ig_1", at, data, seq=at))
    waiting = []
    while frame := outbox.next_frame():
        waiting.append(frame.number)
        outbox.set_stored(frame.number, frame.frame.sha256)
    assert waiting == [7, 6, 5, 4]
    assert [change.key for change in outbox.batch().changes if change.kind == "frame"] == ["7", "6", "5", "4"]


def test_facts_that_were_not_written_wait_again_and_only_the_newest() -> None:
    outbox = Outbox(ShownStream(name="otter", title="otter", number=0, began_s=0.0, size=None))
    outbox.show()
    assembler = Assembler()
    assembler.subscribe(lambda update: outbox.take(update, 0.0))
    assembler.feed(samples.partial("ig_1", 0, seq=1))
    frame = outbox.next_frame()
    assert frame is not None
    outbox.set_stored(frame.number, frame.frame.sha256)
    batch = outbox.batch()
    assert not outbox.is_empty  # it is under way
    assembler.feed(samples.call("generating", "ig_1", seq=2))
    outbox.put_back(batch)
    assert outbox.next_frame() == frame  # the server may have lost its bytes
    outbox.set_stored(frame.number, frame.frame.sha256)
    kinds = [change.kind for change in outbox.batch().changes]
    assert kinds == ["stream", "frame", "item"]
    outbox.set_written()
    assert outbox.is_empty


@pytest.mark.parametrize(
    "record",
    ["no JSON", "[]", '{"id": 7}', '{"id": "ig_1", "partials": 3, "final": {"is_final": true}, "state": "completed"}'],
)
def test_an_item_whose_record_is_none_comes_again_from_the_service(
    server: RedisServer, gallery: RedisGallery, name: str, record: str
) -> None:
    service = Service(len(PLAY.events) - 1)
    with pytest.raises(IncompleteStreamError):
        make(gallery, service)
    server.client.hset(GalleryKeys(name).facts("otter"), "record\0" + "0", record)
    server.client.hset(GalleryKeys(name).facts("otter"), "frame\0" + "none", "no entry")
    assert make(gallery, service).final == WHOLE.final
    assert service.asked[1].response_id is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_sends_nothing_of_the_streams_of_its_parent(gallery: RedisGallery) -> None:
    assembler = Assembler()
    listener = gallery.add("otter", assembler)
    for event in PLAY.events[:HALF]:
        assembler.feed(event)
    child = os.fork()
    if child == 0:
        for event in PLAY.events[HALF:]:
            assembler.feed(event)
        assembler.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert facts_of(gallery).get("stream", {}).get("outcome") is None
    for event in PLAY.events[HALF:]:
        assembler.feed(event)
    assembler.close()
    wait_until(lambda: facts_of(gallery).get("stream", {}).get("outcome") == "completed")
    del listener


def test_a_user_with_few_commands_is_enough_for_producers(server: RedisServer, name: str) -> None:
    # The access rules of a producer: it writes the keys of galleries only.
    commands = (
        "+ping +hello +auth +time +eval +evalsha +script|load +get +set +getrange +exists +pexpire "
        "+hget +hset +hdel +hexists +hmget +hgetall +hkeys +incr +xadd +xrange +xrevrange +zadd +zrem +zscore"
    )
    server.client.execute_command(
        "ACL", "SETUSER", "maker", "reset", "on", ">secret", "-@all", *commands.split(), "~imgassemble:*"
    )
    gallery = RedisGallery(server.url.replace("redis://", "redis://maker:secret@"), name)
    service = Service(HALF)
    with pytest.raises(IncompleteStreamError):
        make(gallery, service)
    gallery.stop("otter")
    assert make(gallery, service).final == WHOLE.final
    gallery.close()
    server.client.execute_command("ACL", "DELUSER", "maker")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_killed_producer_of_the_images_api_leaves_an_orphan_that_says_so(
    server: RedisServer, viewer: RedisGallery, name: str
) -> None:
    child = os.fork()
    if child == 0:
        maker = RedisGallery(server.url, name)

        def dying(_cursor: Cursor) -> Iterator[Any]:
            yield IMAGES.events[0]
            wait_until(lambda: facts_of(maker).get("item 0", {}).get("frames"))
            os.kill(os.getpid(), signal.SIGKILL)

        with maker.produce("otter", lease_s=0.3, renew_s=0.1) as making:
            making.assemble(dying)
    os.waitpid(child, 0)
    wait_until(lambda: viewer.orphans() == ("otter",))
    stream = facts_of(viewer)["stream"]
    assert (stream["is_orphaned"], stream["kind"]) == (True, "failed")
    assert "cannot be finished" in stream["caption"]
    asked: list[Cursor] = []
    with pytest.raises(IncompleteStreamError, match="nothing is asked for again"):
        make(viewer, asked.append)
    assert asked == []


@pytest.mark.parametrize("stream", ["", "x" * 1_001, "\ud800"], ids=["empty", "long", "surrogate"])
def test_a_name_that_no_viewer_would_get_is_refused(gallery: RedisGallery, stream: str) -> None:
    with pytest.raises(UsageError, match="1 to 1,000 characters"):
        gallery.produce(stream)
    with pytest.raises(UsageError, match="1 to 1,000 characters"):
        gallery.add(stream)
    gallery.stop(stream)  # there is none
    gallery.remove(stream)


@pytest.mark.parametrize("keep_s", [float("inf"), 1e300])
def test_a_stream_can_be_kept_for_ever(server: RedisServer, viewer: RedisGallery, name: str, keep_s: float) -> None:
    with closing(RedisGallery(server.url, name, keep_s=keep_s)) as gallery:
        assert make(gallery, Service()).outcome is Outcome.COMPLETED
    wait_until(lambda: shown_final(viewer) == WHOLE.require_final().data)


def test_facts_for_the_next_producer_that_are_no_numbers_are_skipped(
    server: RedisServer, gallery: RedisGallery, name: str
) -> None:
    meta = {"number": "x", "began_ms": "1e3", "next_frame": "-5", "cursor": b"\xff"}
    server.client.hset(GalleryKeys(name).meta("otter"), mapping=meta)
    assert make(gallery, Service()).outcome is Outcome.COMPLETED


def test_options_of_the_address_do_not_change_the_form_of_answers(
    server: RedisServer, viewer: RedisGallery, name: str
) -> None:
    with closing(RedisGallery(f"{server.url}?decode_responses=true", name)) as gallery:
        make(gallery, Service())
        assert gallery.names == viewer.names == ("otter",)


def test_viewers_see_the_pictures_of_an_open_stream_that_is_not_kept(
    server: RedisServer, viewer: RedisGallery, name: str
) -> None:
    was_kept: list[bool] = []

    def opened(_cursor: Cursor) -> Iterator[Any]:
        yield from PLAY.events
        wait_until(lambda: shown_final(viewer) == WHOLE.require_final().data)
        key = GalleryKeys(name).frame(sha256(WHOLE.require_final().data).hexdigest())
        was_kept.append(server.client.pttl(key) > 10_000)

    with closing(RedisGallery(server.url, name, keep_s=0)) as gallery:
        make(gallery, opened)
    assert was_kept == [True]
    wait_until(lambda: viewer.names == ())


def test_a_server_that_refuses_the_user_is_not_asked_again(server: RedisServer, name: str) -> None:
    refused = RedisGallery(server.url.replace("redis://", "redis://otter:wrong@"), name)
    began_at = time.monotonic()
    with closing(refused), pytest.raises(SinkError, match=r"cannot be made on Redis: AuthenticationError: .*rights"):
        refused.add("otter")
    assert time.monotonic() - began_at < 5


def test_a_producer_says_that_it_waits_for_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("imgassemble.web.redis.producing._CLAIMING_S", 0.5)
    with (
        closing(RedisGallery("redis://127.0.0.1:1")) as gallery,
        pytest.raises(SinkError, match="check that Redis runs"),
    ):
        gallery.add("otter")
    (logged,) = [record.getMessage() for record in caplog.records]
    assert logged.startswith("the stream 'otter' cannot be made on Redis yet: ConnectionError: ")
    assert logged.endswith("; it tries again for 0.5 s")


@pytest.fixture
def unsent(server: RedisServer, name: str) -> Iterator[Sending]:
    """A stream of which nothing is sent: its thread was not started."""
    keeping = Keeping(keep_s=60, lease_s=30)
    stored = StoredStream(server.url, GalleryKeys(name), "otter", keeping, "produce")
    outbox = Outbox(ShownStream(name="otter", title="otter", number=0, began_s=None, size=None))
    outbox.show()
    yield Sending(stored, outbox, keeping, renew_s=5, claimed=stored.claim(), on_stop=lambda _: None)
    stored.close()


def test_a_program_that_has_waited_for_a_dead_server_does_not_wait_as_long_at_its_end(unsent: Sending) -> None:
    before_s = unsent.exit_s
    assert not unsent.flush(0.1)
    assert unsent.exit_s == pytest.approx(before_s - 0.1)


def test_the_reason_of_a_wait_for_redis_is_logged_with_its_end(
    unsent: Sending, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("imgassemble.web.redis.sending._QUIET_S", 0.0)
    monkeypatch.setattr("imgassemble.web.redis.sending._RUNNING", {unsent})
    unsent.last_error = ConnectionError("Connection refused.")
    assert not unsent.flush(0.1)
    unsent.exit_s = 0.1
    _finish_all()
    waits = "ConnectionError: Connection refused"
    assert [record.getMessage() for record in caplog.records] == [
        f"the stream 'otter' has ended, and Redis does not have all of it: {waits}; this is tried for 0 s more "
        "(Ctrl-C ends the wait)",
        f"the program waits up to 0 s more for Redis to take the rest of 'otter': {waits} (Ctrl-C ends the wait)",
        f"the program ends, and viewers may miss the end of the stream 'otter': not all was sent to Redis: {waits}",
    ]


def test_ctrl_c_ends_the_waits_for_redis(unsent: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupts: list[None] = []

    def interrupt(*_: object) -> bool:
        interrupts.append(None)
        raise KeyboardInterrupt

    began_at = time.monotonic()
    monkeypatch.setattr("imgassemble.web.redis.sending._LEAST_EXIT_S", 0.1)
    monkeypatch.setattr("imgassemble.web.redis.sending._RUNNING", {unsent})
    with monkeypatch.context() as patch:
        patch.setattr(unsent, "_wait_for_rest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            unsent.flush(60)
    _finish_all()
    assert interrupts == [None]
    assert time.monotonic() - began_at < 20


def test_a_task_that_is_cancelled_while_it_waits_for_redis_ends(
    gallery: RedisGallery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("imgassemble.web.redis.sending._QUIET_S", 0.0)
    monkeypatch.setattr("imgassemble.web.redis.sending._STORING_S", 0.1)
    monkeypatch.setattr("imgassemble.web.redis.producing._RELEASING_S", 0.0)

    async def events() -> AsyncIterator[Any]:
        monkeypatch.setattr("imgassemble.web.redis.stored_stream.StoredStream.write", _refuse)
        for event in PLAY.events:
            yield event

    async def produce() -> None:
        async with gallery.produce("otter") as making:
            await making.aassemble(lambda cursor: events())

    async def run() -> None:
        making = asyncio.create_task(produce())
        while "has ended" not in caplog.text:
            await asyncio.sleep(0.01)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making

    began_at = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began_at < 20
    monkeypatch.undo()
    wait_until(lambda: shown_final(gallery) == WHOLE.require_final().data)  # the sending goes on


def test_streams_of_one_loop_wait_for_redis_side_by_side(
    gallery: RedisGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgassemble.web.making._FINISHING_S", 0.5)
    monkeypatch.setattr("imgassemble.web.redis.sending._STORING_S", 0.5)
    monkeypatch.setattr("imgassemble.web.redis.producing._RELEASING_S", 0.0)

    async def produce(name: str, has_begun: asyncio.Barrier) -> None:
        async def events() -> AsyncIterator[Any]:
            await has_begun.wait()
            monkeypatch.setattr("imgassemble.web.redis.stored_stream.StoredStream.write", _refuse)
            for event in PLAY.events:
                yield event

        async with gallery.produce(name) as making:
            with pytest.raises(SinkError):
                await making.aassemble(lambda cursor: events())

    async def run() -> float:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))  # those of a small machine are few
        has_begun = asyncio.Barrier(40)
        began_at = time.monotonic()
        await asyncio.gather(*(produce(str(number), has_begun) for number in range(40)))
        return time.monotonic() - began_at

    assert asyncio.run(run()) < 15  # seconds; one after the other they need 20
    monkeypatch.undo()
    wait_until(lambda: [change.facts.get("outcome") for change in gallery.changes()[1]].count("completed") == 40)
