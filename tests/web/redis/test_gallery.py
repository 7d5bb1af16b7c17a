"""What viewers of one process see of a gallery in Redis, with a real server."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import samples
from redis_stage import PATIENCE_S, HandProducer, RedisServer, wait_until

from imgassemble import SinkError, UsageError
from imgassemble.web import RedisGallery
from imgassemble.web.changes import PageChange
from imgassemble.web.redis.connecting import Redis
from imgassemble.web.redis.stored_gallery import PORTION

PEM = str(Path(__file__).parents[2] / "localhost.pem")
PREVIEW = samples.partial("ig_1", 0, samples.picture("PNG"))
FINAL = samples.done("ig_1", samples.picture("WEBP"))


@pytest.fixture
def producer(server: RedisServer, name: str) -> HandProducer:
    return HandProducer(server.client, name, "otter")


@contextmanager
def opened(server: RedisServer, name: str, url: str = "") -> Iterator[RedisGallery]:
    """Another process, as far as the server can tell."""
    gallery = RedisGallery(url or server.url, name)
    try:
        yield gallery
    finally:
        gallery.close()


def facts(gallery: RedisGallery, kind: str) -> list[dict[str, Any]]:
    return [change.facts for change in gallery.changes()[1] if change.kind == kind]


def kinds(changes: list[PageChange]) -> list[str]:
    return [change.kind for change in changes]


def wait_for(gallery: RedisGallery, kind: str, n: int = 1) -> list[dict[str, Any]]:
    wait_until(lambda: len(facts(gallery, kind)) >= n)
    return facts(gallery, kind)


def test_a_stream_is_shown_with_its_items_and_frames(gallery: RedisGallery, producer: HandProducer) -> None:
    assert gallery.names == ("otter",)
    producer.feed(PREVIEW, FINAL)
    producer.close()
    wait_until(lambda: [stream["outcome"] for stream in facts(gallery, "stream")] == ["completed"])
    (item,) = facts(gallery, "item")
    assert (item["kind"], item["frames"]) == ("final", [0, 1])
    preview, final = facts(gallery, "frame")
    assert (preview["url"], final["url"]) == (
        f"frames/{producer.shown.key}/0.png",
        f"frames/{producer.shown.key}/1.webp",
    )
    assert gallery.stream_of(producer.shown.key) == "otter"
    shown = gallery.frame(producer.shown.key, 1)
    assert shown is not None
    assert shown == producer.shown.frames[1]
    assert asyncio.run(gallery.load_frame(producer.shown.key, 2)) is None


def test_another_process_goes_on_from_a_position(server: RedisServer, name: str, producer: HandProducer) -> None:
    with opened(server, name) as first, opened(server, name) as second:
        producer.feed(PREVIEW)
        wait_for(first, "item")
        position = first.changes()[0]
        producer.feed(FINAL)
        producer.close()
        asyncio.run(second.catch_up())
        assert second.is_known(position)
        assert kinds(second.changes(position)[1]) == ["stream", "frame", "item"]
        with opened(server, name) as fresh:  # it has read the log from its beginning
            asyncio.run(fresh.catch_up())
            assert fresh.is_known(position)
            assert fresh.changes(position)[1] == second.changes(position)[1]


def test_a_removed_stream_is_gone_in_all_processes(server: RedisServer, name: str, producer: HandProducer) -> None:
    HandProducer(server.client, name, "heron")
    with opened(server, name) as first, opened(server, name) as second:
        assert second.names == ("otter", "heron")
        position = second.changes()[0]
        first.remove("otter")
        first.remove("no such stream")
        assert first.names == ("heron",)
        asyncio.run(second.catch_up())
        assert [(change.kind, change.stream) for change in second.changes(position)[1]] == [("gone", "otter")]
        assert second.stream_of(producer.shown.key) is None
        with opened(server, name) as fresh:
            asyncio.run(fresh.catch_up())
            assert [(change.kind, change.stream) for change in fresh.changes(position)[1]] == [("gone", "otter")]


def test_a_stream_whose_time_has_come_is_removed(server: RedisServer, name: str) -> None:
    producer = HandProducer(server.client, name, "otter", keep_s=0.001)
    with opened(server, name) as gallery:
        gallery.changes()
        wait_until(lambda: gallery.names == ("otter",))  # it has a producer
        producer.close()
        wait_until(lambda: gallery.names == ())
    assert not server.client.exists(producer.keys.meta("otter"), producer.keys.facts("otter"))


def test_a_new_stream_removes_those_whose_time_has_come(server: RedisServer, name: str) -> None:
    old = HandProducer(server.client, name, "otter", keep_s=0.001)
    old.close()
    time_has_come_ms = server.client.zscore(old.keys.expires, "otter")
    wait_until(lambda: 1_000 * time.time() > time_has_come_ms + 1)
    gallery = RedisGallery(server.url, name)
    gallery.add("heron")  # no process has viewers, so no reader removes anything
    assert not server.client.exists(old.keys.meta("otter"), old.keys.facts("otter"))
    gallery.close()


def test_the_name_of_a_stream_whose_time_has_come_is_free_also_behind_many_others(
    server: RedisServer, gallery: RedisGallery, name: str
) -> None:
    for stream in (*map(str, range(PORTION)), "otter"):
        old = HandProducer(server.client, name, stream, keep_s=0.001)
        old.close()
    time_has_come_ms = server.client.zscore(old.keys.expires, "otter")
    wait_until(lambda: 1_000 * time.time() > time_has_come_ms + 1)
    gallery.add("otter")


def test_a_clock_that_jumps_makes_no_orphans(gallery: RedisGallery, producer: HandProducer) -> None:
    wait_until(lambda: gallery.names == ("otter",))
    reader = gallery._started().reader
    reader._stored.clock_offset_s += 3_600
    reader._check_at = 0.0
    producer.feed(samples.created())
    wait_until(lambda: abs(reader.clock_offset_s) < 60)
    assert gallery.orphans() == ()
    assert abs(gallery.now_s - time.time()) < 60


def test_a_stream_without_a_producer_is_an_orphan(server: RedisServer, name: str, producer: HandProducer) -> None:
    images_api = HandProducer(server.client, name, "heron", lease_s=0.001)
    images_api.feed(samples.image_partial())
    with opened(server, name) as gallery:
        wait_until(lambda: gallery.orphans() == ("heron",))
        otter, heron = sorted(facts(gallery, "stream"), key=lambda stream: stream["number"])
        assert (otter["kind"], "is_orphaned" in otter) == ("waiting", False)
        assert (heron["kind"], heron["is_orphaned"]) == ("failed", True)
        assert "cannot be finished" in heron["caption"]
        position = gallery.changes()[0]
        server.client.zadd(images_api.keys.leases, {"heron": 1_000 * (time.time() + 60)})
        wait_until(lambda: gallery.orphans() == ())
        (change,) = gallery.changes(position)[1]
        assert (change.stream, change.facts["kind"], "is_orphaned" in change.facts) == ("heron", "waiting", False)


def test_malformed_entries_are_counted_and_skipped(
    server: RedisServer, gallery: RedisGallery, producer: HandProducer, caplog: pytest.LogCaptureFixture
) -> None:
    assert gallery.names == ("otter",)
    caplog.set_level(logging.WARNING, "imgassemble")
    position = gallery.changes()[0]
    stolen = json.dumps(["frame", "heron", "0", {"address": producer.shown.key}])
    producer.write_facts(["log", "stream\0", "no JSON", "log", "frame\0000", stolen])
    server.client.xadd(producer.keys.log, {"c": '["gone","otter","",{}]' + " " * 600_000})
    server.client.xadd(producer.keys.log, {"other": "fields"})
    producer.feed(PREVIEW)
    wait_for(gallery, "item")
    assert gallery.n_malformed == 4
    assert gallery.is_known(position)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    with opened(server, producer.keys.name) as fresh:
        assert fresh.names == ()  # its fact is no JSON
        assert fresh.n_malformed


def test_keys_of_another_type_hide_one_stream(
    server: RedisServer, gallery: RedisGallery, producer: HandProducer
) -> None:
    broken = HandProducer(server.client, producer.keys.name, "heron", lease_s=0.001)
    server.client.delete(broken.keys.meta("heron"))
    server.client.set(broken.keys.meta("heron"), "no hash")
    wait_until(lambda: gallery.orphans() == ("heron",))
    server.client.delete(broken.keys.facts("heron"))
    server.client.set(broken.keys.facts("heron"), "no hash")
    with opened(server, producer.keys.name) as fresh:
        assert fresh.names == ("otter",)
        assert fresh.n_malformed == 1


def test_the_address_of_a_stream_belongs_to_no_other_stream(
    server: RedisServer, gallery: RedisGallery, producer: HandProducer
) -> None:
    thief = HandProducer(server.client, producer.keys.name, "heron")
    producer.feed(PREVIEW)
    thief.shown.key = producer.shown.key
    thief.feed(samples.partial("ig_9", 0, samples.picture("WEBP")))
    wait_for(gallery, "item", 2)
    assert gallery.stream_of(producer.shown.key) == "otter"
    assert len(facts(gallery, "frame")) == 1
    assert gallery.n_malformed == 1


@pytest.mark.parametrize("how", ["other bytes", "longer", "shorter", "missing", "a list", "other format"])
def test_a_frame_that_is_gone_or_was_tampered_with_is_shown_no_longer(
    how: str, server: RedisServer, gallery: RedisGallery, producer: HandProducer
) -> None:
    producer.feed(PREVIEW)
    wait_for(gallery, "frame")
    data = samples.picture("PNG")
    (place,) = server.client.keys(f"imgassemble:{producer.keys.name}:frame:*")
    tampered = {"other bytes": data[:-1] + b"x", "longer": data + b"x" * 2**20, "shorter": data[:-1], "missing": b""}
    if how == "other format":
        stored = server.client.hget(producer.keys.facts("otter"), "frame\x000").partition(b"\n")[2]
        text = stored.decode().replace('"PNG"', '"WEBP"')
        producer.write_facts(["log", "frame\0000", text])
        wait_until(lambda: facts(gallery, "frame")[0]["format"] == "WEBP")
    elif how == "a list":
        server.client.delete(place)
        server.client.rpush(place, data)
    else:
        server.client.set(place, tampered[how])
    before = _bytes_sent(server.client)
    assert gallery.frame(producer.shown.key, 0) is None
    assert gallery.n_tampered == (how not in ("missing", "a list"))
    assert facts(gallery, "frame") == []
    (item,) = facts(gallery, "item")
    assert (item["frames"], item["caption"]) == ([], "preview 1; its pictures are no longer kept")
    assert _bytes_sent(server.client) - before < 20_000  # a value that is too long is not read


def test_a_frame_is_read_once_for_many_viewers(
    server: RedisServer, gallery: RedisGallery, producer: HandProducer
) -> None:
    large = samples.png(2_000, 50) + bytes(200_000)
    producer.feed(samples.done("ig_1", large))
    wait_for(gallery, "frame")
    before = _bytes_sent(server.client)

    async def load_at_once() -> list[Any]:
        return await asyncio.gather(*(gallery.load_frame(producer.shown.key, 0) for _ in range(50)))

    loaded = asyncio.run(load_at_once())
    assert {frame.data for frame in loaded} == {large}
    assert len(large) <= _bytes_sent(server.client) - before < 1.2 * len(large)


def test_a_frame_comes_when_a_server_that_was_killed_answers_again(tmp_path: Path, name: str) -> None:
    server = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    producer = HandProducer(server.client, name, "otter")
    producer.feed(PREVIEW)
    with opened(server, name) as gallery, ThreadPoolExecutor(1) as viewer:
        wait_for(gallery, "frame")
        server.kill()
        asking = viewer.submit(gallery.frame, producer.shown.key, 0)
        with pytest.raises(TimeoutError):  # longer than the client itself tries
            asking.result(timeout=1)
        server.start()
        frame = asking.result(timeout=PATIENCE_S)
    server.kill()
    server.client.close()
    assert frame is not None
    assert frame.data == samples.picture("PNG")


def test_after_a_gap_in_the_log_viewers_begin_again(
    server: RedisServer, gallery: RedisGallery, producer: HandProducer
) -> None:
    assert gallery.names == ("otter",)
    position = gallery.changes()[0]
    with server.client.pipeline() as at_once:  # the reader was too slow: entries that it has not read are gone
        at_once.xadd(producer.keys.log, {"p": "1-1", "c": '["gone","heron","",{}]'})
        at_once.execute()
    wait_until(lambda: not gallery.is_known(position) or "gone" in kinds(gallery.changes(position)[1]))
    server.client.xtrim(producer.keys.log, maxlen=1, approximate=False)
    with opened(server, producer.keys.name) as fresh:
        assert fresh.names == ("otter",)
        changes = fresh.changes(position)[1]
        assert kinds(changes) == ["reset", "stream"]


def test_streams_whose_entries_were_all_removed_from_the_log_are_shown(
    server: RedisServer, gallery: RedisGallery, producer: HandProducer
) -> None:
    server.client.xtrim(producer.keys.log, maxlen=0, approximate=False)
    assert gallery.names == ("otter",)
    producer.feed(PREVIEW)
    wait_for(gallery, "item")


def test_a_new_epoch_makes_viewers_begin_again(
    server: RedisServer, gallery: RedisGallery, producer: HandProducer, name: str
) -> None:
    assert gallery.names == ("otter",)
    position = gallery.changes()[0]
    server.client.delete(*server.client.keys(f"imgassemble:?{name}?:*"))
    HandProducer(server.client, name, "heron")
    wait_until(lambda: gallery.names == ("heron",))
    assert [(change.kind, change.stream) for change in gallery.changes(position)[1]] == [
        ("reset", ""),
        ("stream", "heron"),
    ]


def test_a_user_who_may_only_read_is_enough_for_viewers(server: RedisServer, name: str, producer: HandProducer) -> None:
    # The access rules of a web worker, as docs/processes.md has them. Only removals need the right to write.
    commands = "+ping +hello +auth +get +getrange +exists +time +hmget +hgetall +zrange +xrange +xrevrange +xread"
    server.client.execute_command(
        "ACL", "SETUSER", "worker", "reset", "on", ">secret", "-@all", *commands.split(), "%R~imgassemble:*"
    )
    short = HandProducer(server.client, name, "heron", keep_s=0.001, lease_s=0.001)
    short.feed(PREVIEW)
    short.close()
    with opened(server, name, server.url.replace("redis://", "redis://worker:secret@")) as gallery:
        gallery.changes()
        wait_until(lambda: gallery.names == ("otter",))  # it hides the other one, whose time has come
        assert server.client.exists(short.keys.meta("heron"))
        producer.feed(FINAL)
        wait_for(gallery, "frame")
        assert gallery.frame(producer.shown.key, 0) == producer.shown.frames[0]
        producer.close()
        wait_until(lambda: facts(gallery, "stream")[0]["outcome"] == "completed")
    server.client.execute_command("ACL", "DELUSER", "worker")


def test_a_server_that_does_not_answer_is_a_sink_error() -> None:
    with socket.socket() as free:  # it is bound, and does not listen
        free.bind(("127.0.0.1", 0))
        gallery = RedisGallery(f"redis://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(SinkError, match="the stream 'otter' cannot be removed on Redis"):
            gallery.remove("otter")
        with pytest.raises(SinkError, match="the stream 'otter' cannot be stopped on Redis"):
            gallery.stop("otter")
        gallery.close()


def _names_in_child(gallery: RedisGallery, names: Any) -> None:
    names.put(gallery.names)
    gallery.close()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_reads_on_its_own(gallery: RedisGallery, producer: HandProducer) -> None:
    assert gallery.names == ("otter",)
    context = multiprocessing.get_context("fork")
    names = context.SimpleQueue()
    child = context.Process(target=_names_in_child, args=(gallery, names))
    child.start()
    assert names.get() == ("otter",)
    child.join()
    producer.feed(PREVIEW)
    wait_for(gallery, "item")


def test_viewers_are_woken_and_a_closed_gallery_is_quiet(gallery: RedisGallery, producer: HandProducer) -> None:
    calls: list[int] = []
    stop = gallery.watch(lambda: calls.append(1))
    wait_until(lambda: calls)
    stop()
    gallery.close()
    assert gallery.is_closed
    assert gallery.names in ((), ("otter",))


def test_a_server_is_reached_over_tls(tmp_path: Path) -> None:
    # The file has a certificate of localhost and its key.
    files = ("--tls-cert-file", PEM, "--tls-key-file", PEM, "--tls-ca-cert-file", PEM, "--tls-auth-clients", "no")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        server = RedisServer(tmp_path, "--tls-port", str(port), *files)
    except AssertionError:
        pytest.skip("this server was built without TLS: apt install redis-server")
    HandProducer(server.client, "pictures", "otter")
    gallery = RedisGallery(f"rediss://localhost:{port}/0?ssl_ca_certs={PEM}")
    assert gallery.names == ("otter",)
    gallery.close()
    server.kill()
    server.client.close()


def test_a_cluster_of_several_nodes_is_refused_before_an_image_is_asked_for(tmp_path: Path) -> None:
    nodes = (
        "a 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-8191",
        "b 127.0.0.1:3@4 master - 0 0 2 connected 8192-16383",
    )
    lines = [f"{40 * node[0]}{node[1:]}" for node in nodes]
    (tmp_path / "nodes.conf").write_text("\n".join([*lines, "vars currentEpoch 2 lastVoteEpoch 0", ""]))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        options = ("--cluster-enabled", "yes", "--cluster-port", str(free.getsockname()[1]))
    server = RedisServer(tmp_path, *options, "--cluster-allow-reads-when-down", "yes", "--loglevel", "warning")
    gallery = RedisGallery(server.url)
    with pytest.raises(UsageError, match="single server"), gallery.produce("otter"):
        pass
    with pytest.raises(UsageError, match="single server"):
        gallery.add("otter")
    gallery.close()
    server.kill()
    server.client.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("http://localhost",), "redis://host"),
        ((b"redis://localhost",), "url is a str"),
        (("redis://localhost/a/b:c?socket_timeout=x",), "cannot be read"),
        (("redis://localhost/?colour=red",), "cannot be read.*colour"),
        (("rediss://localhost/?ssl_cert_reqs=x",), "cannot be read"),
        (("redis://localhost", "a b"), "letters, digits"),
        (("redis://localhost", "pictures", -1), "keep_s"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        RedisGallery(*arguments)


def _bytes_sent(client: Redis) -> int:
    """The bytes that the server has sent so far."""
    return int(client.info("stats")["total_net_output_bytes"])
