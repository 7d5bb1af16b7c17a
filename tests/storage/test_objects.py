"""An ObjectSink keeps frames in an object store, replaces nothing of another run, and loses no result silently."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from errno import EACCES
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import samples
from object_servers import (
    Moto,
    free_ports,
    running_azurite,
    running_moto,
    running_proxy,
    running_seaweedfs,
    s3_store,
)
from shared import ROOT

from imgassemble import (
    Assembler,
    DirectorySink,
    ObjectSink,
    Sink,
    SinkError,
    UsageError,
    aassemble,
    assemble,
    saved_events,
)

obstore = pytest.importorskip("obstore", reason="obstore is missing: pip install 'imgassemble[objects]'")

FINAL, OTHER = samples.png(5, 4), samples.png(4, 5)
WAIT_S = 20.0  # for what takes milliseconds


def _whole(final: bytes = FINAL) -> list[samples.Wire]:
    return [
        samples.created(seq=0),
        samples.partial(index=0, seq=4),
        samples.partial(index=1, seq=5),
        samples.done(content=final, seq=6),
        samples.snapshot("completed", [samples.member(content=final)], seq=7),
    ]


def _stored(store: Any, prefix: str = "job", **options: Any) -> ObjectSink:
    events = options.pop("events", None) or _whole()
    sink = ObjectSink(store, prefix, **options)
    assemble(events, sinks=[sink])
    return sink


def _read(store: Any, prefix: str = "job") -> dict[str, bytes]:
    """Return the objects under `prefix`, without item.json."""
    found = [meta["path"] for chunk in obstore.list(store, prefix) for meta in chunk]
    return {
        key.removeprefix(f"{prefix}/"): bytes(obstore.get(store, key).bytes())
        for key in sorted(found)
        if not key.endswith("/item.json")
    }


def _facts(store: Any, folder: str = "ig_1", prefix: str = "job") -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(bytes(obstore.get(store, f"{prefix}/{folder}/item.json").bytes()))
    return facts


def _digests(store: Any, folder: str, prefix: str = "job") -> dict[str, str]:
    """Return the names in item.json with their digests, checked against the objects."""
    facts = _facts(store, folder, prefix)
    named = [*facts["partials"], *filter(None, [facts["final"]]), *facts.get("rejected", [])]
    described = {each["file"]: each["sha256"] for each in named}
    for name, digest in described.items():
        data = bytes(obstore.get(store, f"{prefix}/{folder}/{name}").bytes())
        assert sha256(data).hexdigest() == digest, name
    return described


@pytest.fixture
def store() -> Any:
    from obstore.store import MemoryStore

    return MemoryStore()


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with running_moto() as server:
        yield server


@pytest.fixture(scope="module")
def seaweedfs() -> Iterator[Any]:
    with running_seaweedfs() as found:
        yield found


@pytest.fixture(scope="module")
def azurite() -> Iterator[Any]:
    with running_azurite() as found:
        yield found


# ---- the objects


def test_objects_have_the_names_and_the_facts_of_the_files_of_a_directory_sink(store: Any, tmp_path: Path) -> None:
    sink = _stored(store, facts={"prompt": "an otter"})
    assemble(_whole(), sinks=[DirectorySink(tmp_path, facts={"prompt": "an otter"})])
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*.png")}
    assert _read(store) == files
    assert set(sink.keys) == {f"job/{name}" for name in (*files, "ig_1/item.json")}
    facts, on_disk = _facts(store), json.loads((tmp_path / "ig_1" / "item.json").read_text())
    assert facts.pop("run")
    for each in (*facts["partials"], facts["final"], *on_disk["partials"], on_disk["final"]):
        assert each.pop("received_at")
        each.pop("sha256", None)
    assert facts == on_disk
    assert isinstance(sink, Sink)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_an_object_has_the_content_type_of_its_bytes(form: str, store: Any) -> None:
    _stored(store, events=[samples.done(content=samples.picture(form))])
    (key,) = _read(store)
    assert obstore.get(store, f"job/{key}").attributes == {"Content-Type": f"image/{form.lower()}"}
    assert obstore.get(store, "job/ig_1/item.json").attributes == {"Content-Type": "application/json"}


def test_a_refused_picture_is_stored_as_unknown_bytes(store: Any) -> None:
    sink = _stored(store, events=[samples.partial(index=0), samples.partial(index=1, content=b"<svg onload='x'")])
    assert _read(store)["ig_1/rejected-000.bin"] == b"<svg onload='x'"
    kind = obstore.get(store, "job/ig_1/rejected-000.bin").attributes["Content-Type"]
    assert kind == "application/octet-stream"
    assert "job/ig_1/rejected-000.bin" in sink.keys
    assert set(_digests(store, "ig_1")) == {"partial-000.png", "rejected-000.bin"}


@pytest.mark.parametrize(("keep", "names"), [("latest", ["final.png", "partial-001.png"]), ("final", ["final.png"])])
def test_frames_that_are_not_kept_are_not_there(keep: Any, names: list[str], store: Any) -> None:
    sink = _stored(store, keep=keep)
    assert list(_read(store)) == [f"ig_1/{name}" for name in names]
    assert sorted(_digests(store, "ig_1")) == names
    assert sorted(sink.keys) == [*(f"job/ig_1/{name}" for name in sorted([*names, "item.json"]))]


def test_a_withdrawn_final_and_a_replaced_one_leave_no_object(store: Any) -> None:
    failed = samples.member(status="failed", error={"code": "moderation", "message": "no"})
    _stored(
        store, "withdrawn", events=[samples.done(content=FINAL, seq=6), samples.snapshot("failed", [failed], seq=7)]
    )
    assert (_read(store, "withdrawn"), _facts(store, prefix="withdrawn")["state"]) == ({}, "failed")
    jpeg = samples.picture("JPEG")
    ends = [samples.done(content=FINAL, seq=1), samples.snapshot("completed", [samples.member(content=jpeg)], seq=2)]
    _stored(store, "replaced", events=ends)
    assert _read(store, "replaced") == {"ig_1/final.jpg": jpeg}


def test_an_object_that_is_replaced_is_left_out_of_item_json_before(store: Any) -> None:
    _stored(store, events=[samples.partial(index=0), samples.partial(index=0, content=OTHER), *_whole()[3:]])
    assert _digests(store, "ig_1")["final.png"]


HOSTILE = [
    "../../etc",
    "/",
    "",
    "a" * 500,
    "Größe",
    "CON",
    "ig_1\n",
    "..",
    "\ud800",
    "a/b?c=%2F",
    "image-0-2",
    "ig_1.",
    "A",
]


def test_no_id_leaves_the_prefix_and_no_two_ids_share_a_folder(store: Any) -> None:
    events = [samples.done(each, samples.png(1 + at), output_index=at) for at, each in enumerate(HOSTILE) if each]
    _stored(store, events=[samples.created(), *events])
    assert len(_read(store)) == len(HOSTILE) - 1
    assert all(key.count("/") == 1 and key.endswith("/final.png") for key in _read(store))
    assert [meta for chunk in obstore.list(store) for meta in chunk if not meta["path"].startswith("job/")] == []


def test_a_hundred_items_are_stored(store: Any) -> None:
    pictures = {f"ig_{number}": samples.png(1 + number) for number in range(100)}
    ends = [samples.done(item, data, output_index=at) for at, (item, data) in enumerate(pictures.items())]
    sink = _stored(store, events=[samples.created(), *ends])
    assert _read(store) == {f"{item}/final.png": data for item, data in sorted(pictures.items())}
    assert len(sink.keys) == 200


@pytest.mark.parametrize("prefix", ["", "/", "jobs/otter-7", "/jobs/otter-7/"])
def test_a_prefix_may_have_slashes_at_its_ends(prefix: str, store: Any) -> None:
    sink = _stored(store, prefix)
    plain = prefix.strip("/")
    assert sink.keys[-1] == (f"{plain}/ig_1/item.json" if plain else "ig_1/item.json")
    assert assemble(saved_events(store, prefix)).require_final().data == FINAL


# ---- other runs


def test_the_same_pictures_are_stored_once_and_others_get_a_folder_beside(store: Any) -> None:
    _stored(store)
    before = obstore.head(store, "job/ig_1/item.json")
    same = _stored(store)
    assert obstore.head(store, "job/ig_1/item.json") == before
    assert set(same.keys) == {
        f"job/ig_1/{name}" for name in ("partial-000.png", "partial-001.png", "final.png", "item.json")
    }
    for _ in range(2):
        other = _stored(store, events=_whole(OTHER))
        assert {key.rpartition("/")[0] for key in other.keys} == {"job/ig_1-2"}
    assert obstore.head(store, "job/ig_1/item.json") == before
    assert set(_digests(store, "ig_1-2")) == {"partial-000.png", "partial-001.png", "final.png"}
    assert [item.final.data for item in assemble(saved_events(store, "job")).items.values() if item.final] == [
        FINAL,
        OTHER,
    ]


def test_refuse_leaves_the_objects_of_another_run(store: Any) -> None:
    _stored(store)
    with pytest.raises(SinkError, match="json' is in the way: it is of another run") as caught:
        _stored(store, existing="refuse", events=_whole(OTHER))
    assert caught.value.result.require_final().data == OTHER
    assert _read(store)["ig_1/final.png"] == FINAL


def test_replace_removes_the_objects_of_the_other_run(store: Any) -> None:
    _stored(store)
    obstore.put(store, "job/ig_1/notes.txt", b"not of a sink")
    _stored(store, existing="replace", events=[samples.partial(index=0, content=OTHER)])
    assert _read(store) == {"ig_1/partial-000.png": OTHER, "ig_1/notes.txt": b"not of a sink"}
    assert _facts(store)["final"] is None


def test_continue_goes_on_with_a_run_that_was_cut(store: Any) -> None:
    with pytest.raises(ConnectionError):
        _stored(store, events=samples.cut_off(_whole()[:2]))
    again = _stored(store, existing="continue", events=_whole()[2:])
    assert set(_digests(store, "ig_1")) == {"partial-000.png", "partial-001.png", "final.png"}
    before = obstore.head(store, "job/ig_1/item.json")
    same = _stored(store, existing="continue")
    assert obstore.head(store, "job/ig_1/item.json") == before
    assert set(again.keys) == set(same.keys)


def test_continue_refuses_another_stream_and_changes_nothing(store: Any) -> None:
    with pytest.raises(ConnectionError):
        _stored(store, events=samples.cut_off(_whole()[:2]))
    before = obstore.head(store, "job/ig_1/item.json")
    other = {"type": "response.created", "response": {"id": "resp_other"}}
    with pytest.raises(SinkError, match="holds another stream"):
        _stored(store, existing="continue", events=[other, samples.done("ig_2", OTHER)])
    assert obstore.head(store, "job/ig_1/item.json") == before
    assert list(_read(store)) == ["ig_1/partial-000.png"]


def test_objects_of_any_form_are_skipped(store: Any) -> None:
    named = {"file": "../../final.png", "sha256": "", "index": None, "is_final": True}
    strange = [b"", b"[]", b"{" * 9_000, b"\xff", json.dumps({"id": "a", "final": named, "partials": 5}).encode()]
    for at, text in enumerate(strange):
        obstore.put(store, f"job/ig_{at}/item.json", text)
        obstore.put(store, f"job/ig_{at}/final.png", b"no picture")
    for key in ("job/item.json", "job/A/item.json", "job/a/b/item.json", "job/ig_9/partial-.png"):
        obstore.put(store, key, b"{}")
    assert not assemble(saved_events(store, "job")).finals
    for existing in ("beside", "continue", "replace"):
        ends = [samples.done(f"ig_{at}", FINAL, output_index=at) for at in range(len(strange))]
        sink = _stored(store, existing=existing, events=[samples.created(), *ends])
        assert len(sink.keys) == 2 * len(strange)
        for folder in {key.split("/")[1] for key in sink.keys}:
            assert _digests(store, folder)["final.png"] == sha256(FINAL).hexdigest()


def test_two_runs_at_once_never_mix(store: Any) -> None:
    assemblers, sinks = [Assembler(), Assembler()], [ObjectSink(store, "job") for _ in range(2)]
    for assembler, sink in zip(assemblers, sinks, strict=True):
        sink.open(assembler)
        assembler.subscribe(sink)
    for one, other in zip(_whole(), _whole(OTHER), strict=True):
        assemblers[0].feed(one)
        assemblers[1].feed(other)
    for sink in sinks:
        sink.close()
    finals = {name: data for name, data in _read(store).items() if name.endswith("final.png")}
    assert finals in ({"ig_1/final.png": a, "ig_1-2/final.png": b} for a, b in ((FINAL, OTHER), (OTHER, FINAL)))
    for folder in ("ig_1", "ig_1-2"):
        assert len(_digests(store, folder)) == 3


def _open_after(count: int, store: Any, prefix: str = "job") -> tuple[ObjectSink, Assembler]:
    """Return an open sink whose first events are stored."""
    sink, assembler = ObjectSink(store, prefix), Assembler()
    sink.open(assembler)
    assembler.subscribe(sink)
    for event in _whole()[:count]:
        assembler.feed(event)
    sink._queue.wait()
    return sink, assembler


@pytest.mark.parametrize("existing", ["replace", "continue"])
def test_a_run_that_is_replaced_stops_and_says_so(existing: Any, store: Any) -> None:
    sink, assembler = _open_after(2, store)
    _stored(store, existing=existing, events=_whole(OTHER))
    for event in _whole()[2:]:
        assembler.feed(event)
    with pytest.raises(SinkError, match=r"another run or program has written 'job/ig_1/.*give each run a prefix"):
        sink.close()
    assert _read(store)["ig_1/final.png"] == OTHER
    assert len(_digests(store, "ig_1")) == 3


@pytest.mark.parametrize("existing", ["replace", "continue"])
def test_a_run_that_replaces_another_one_wins_over_its_last_frames(existing: Any, store: Any) -> None:
    sink, assembler = ObjectSink(store, "job", existing=existing), Assembler()
    _stored(store, events=[samples.created(), samples.partial(index=0)])
    sink.open(assembler)
    assembler.subscribe(sink)
    assembler.feed(samples.partial(index=0, content=OTHER))
    sink._queue.wait()
    obstore.put(store, "job/ig_1/final.png", b"the last frame of the run that is replaced")
    assembler.feed(samples.done(content=FINAL))
    sink.close()
    assert _digests(store, "ig_1")["final.png"] == sha256(FINAL).hexdigest()


def test_an_object_that_another_program_writes_or_removes_is_named(store: Any) -> None:
    sink, assembler = _open_after(2, store)
    obstore.delete(store, "job/ig_1/item.json")
    obstore.put(store, "job/ig_1/final.png", OTHER)
    assembler.feed(samples.done(content=FINAL, seq=6))
    with pytest.raises(SinkError, match=r"written 'job/ig_1/final\.png', which stays"):
        sink.close()
    assert _read(store)["ig_1/final.png"] == OTHER


# ---- the thread


def _writers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "imgassemble objects"]


def test_the_thread_ends_with_the_stream(store: Any) -> None:
    with pytest.raises(ConnectionError):
        _stored(store, events=samples.cut_off(_whole()[:3]))
    assert sorted(_read(store)) == ["ig_1/partial-000.png", "ig_1/partial-001.png"]
    assert set(_digests(store, "ig_1")) == {"partial-000.png", "partial-001.png"}
    assert not _writers()


def test_a_sink_that_is_never_closed_leaves_no_thread(store: Any) -> None:
    sink, _ = _open_after(4, store)
    for thread in _writers():
        thread.join(WAIT_S)
    assert not _writers()
    assert set(_digests(store, "ig_1")) == {"partial-000.png", "partial-001.png", "final.png"}
    sink.close()


def test_a_cancelled_stream_keeps_its_frames(store: Any) -> None:
    async def stream() -> Any:
        for event in _whole()[:3]:
            yield event
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        await asyncio.sleep(WAIT_S)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(aassemble(stream(), sinks=[ObjectSink(store, "job")]))
    assert set(_digests(store, "ig_1")) == {"partial-000.png", "partial-001.png"}
    assert not _writers()


def test_a_forked_process_needs_a_sink_of_its_own(store: Any) -> None:
    sink, assembler = _open_after(2, store)
    inside, outside = os.pipe()
    if (child := os.fork()) == 0:
        for mistake in (sink.close, lambda: ObjectSink(store, "child").open(Assembler())):
            try:
                mistake()
            except UsageError as error:
                os.write(outside, str(error).encode())
        os._exit(0)
    os.close(outside)
    with os.fdopen(inside, "rb") as pipe:
        sentences = pipe.read()
    assert b"open a sink of its own in each process" in sentences
    assert b"obstore was used before this process was forked: start it with 'spawn'" in sentences
    os.waitpid(child, 0)
    assembler.close()
    sink.close()


# ---- mistakes


def test_a_wrong_value_is_named(store: Any, tmp_path: Path) -> None:
    from obstore.store import LocalStore, MemoryStore

    wrong: Any = MemoryStore
    slips: dict[str, Callable[[], object]] = {
        "LocalStore has no conditional writes: use DirectorySink": lambda: ObjectSink(LocalStore(str(tmp_path))),
        "store is a store of obstore": lambda: ObjectSink(wrong),
        "did you mean 'final'": lambda: ObjectSink(store, keep="finals"),  # type: ignore[arg-type]
        "prefix is a str such as 'jobs/otter-7'": lambda: ObjectSink(store, "a/../b"),
        "prefix is a str such as .* not 5": lambda: ObjectSink(store, 5),  # type: ignore[arg-type]
        "max_waiting_bytes is a whole number": lambda: ObjectSink(store, max_waiting_bytes=0),
        "facts is a mapping": lambda: ObjectSink(store, facts=["a"]),  # type: ignore[arg-type]
        "a sink is opened first": lambda: ObjectSink(store)(Assembler().feed(_whole()[1])[0]),
        "prefix is a str such as": lambda: list(saved_events(store, "a//b")),
    }
    for sentence, slip in slips.items():
        with pytest.raises(UsageError, match=sentence):
            slip()


def test_an_open_sink_serves_no_other_assembler(store: Any) -> None:
    sink, _ = _open_after(2, store)
    with pytest.raises(UsageError, match="serves one live assembler"):
        sink.open(Assembler())
    sink.close()
    assemble(_whole(OTHER), sinks=[sink])
    assert _digests(store, "ig_1-2")


# ---- real servers


@pytest.mark.parametrize("server", ["moto", "seaweedfs", "azurite"])
def test_a_real_server_keeps_the_objects_and_the_conditions(server: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(server)
    store = found.store if server == "moto" else found
    _stored(store, facts={"prompt": "an otter"})
    assert _read(store) == {
        "ig_1/final.png": FINAL, "ig_1/partial-000.png": samples.shade(0), "ig_1/partial-001.png": samples.shade(1)
    }  # fmt: skip
    assert obstore.get(store, "job/ig_1/final.png").attributes["Content-Type"] == "image/png"
    assert set(_stored(store).keys) == {f"job/ig_1/{name}" for name in (*_digests(store, "ig_1"), "item.json")}
    sink, assembler = _open_after(2, store, "taken")
    _stored(store, "taken", existing="replace", events=_whole(OTHER))
    assembler.feed(samples.partial(index=1))
    with pytest.raises(SinkError, match="another run or program has written 'taken/ig_1/"):
        sink.close()
    assert _read(store, "taken")["ig_1/final.png"] == OTHER
    assert len(_digests(store, "ig_1", "taken")) == 3
    with pytest.raises(SinkError, match="in the way"):
        _stored(store, existing="refuse")
    _stored(store, existing="continue", events=_whole()[3:])
    assert _stored(store, events=_whole(OTHER)).keys[0] == "job/ig_1-2/partial-000.png"
    finals = [frame.data for frame in assemble(saved_events(store, "job")).finals]
    assert finals == [FINAL, OTHER]
    _stored(store, "latest", keep="latest")
    assert sorted(_read(store, "latest")) == ["ig_1/final.png", "ig_1/partial-001.png"]


def test_the_program_for_a_bucket_prints_what_its_page_shows(moto: Moto) -> None:
    page = (ROOT / "docs" / "storing.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", page, re.M | re.S)
    ((program, printed),) = [block for block in blocks if "S3Store" in block[0]]
    keys = {"AWS_ACCESS_KEY_ID": "a key", "AWS_SECRET_ACCESS_KEY": "a secret", "AWS_REGION": "us-east-1"}
    server = {"AWS_ENDPOINT": f"http://127.0.0.1:{moto.port}", "AWS_ALLOW_HTTP": "true"}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **keys, **server}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.stderr) == (printed, "")


def test_wrong_credentials_fail_before_the_stream_is_opened(azurite: Any) -> None:
    from obstore.store import AzureStore

    endpoint = azurite.config["endpoint"]
    key = {"account_name": "devstoreaccount1", "account_key": "d3Jvbmc="}
    store = AzureStore("otters", endpoint=endpoint, client_options={"allow_http": True}, **key)
    with pytest.raises(SinkError, match="check the credentials") as caught:
        assemble(_unopened, sinks=[ObjectSink(store)])
    assert caught.value.errno == EACCES


def _unopened() -> Iterator[Any]:
    raise AssertionError("the stream was opened")


def test_a_bucket_that_is_missing_fails_before_the_stream_is_opened(moto: Moto) -> None:
    for store, reason in ((s3_store(moto.port, "none"), "make the bucket"), (s3_store(free_ports()[0]), "retries")):
        with pytest.raises(SinkError, match=reason):
            assemble(_unopened, sinks=[ObjectSink(store)])


def test_a_write_whose_answer_is_lost_is_recognized(moto: Moto) -> None:
    with running_proxy(moto.port) as proxy:
        lost: list[str] = []

        def lose_first(method: str, path: str, status: int) -> bool:
            if method == "PUT" and path.endswith("item.json") and not lost:
                lost.append(path)
                return False
            return True

        proxy.hook = lose_first  # type: ignore[method-assign]
        with pytest.raises(SinkError, match="the results are stored; previews that are missing: 2"):
            assemble(_whole(), sinks=[ObjectSink(s3_store(proxy.server_port), "lost")])
    assert lost
    assert _digests(moto.store, "ig_1", "lost") == {"final.png": sha256(FINAL).hexdigest()}
    assert list(_read(moto.store, "lost")) == ["ig_1/final.png"]


def test_the_stream_waits_only_for_a_full_queue(moto: Moto) -> None:
    with running_proxy(moto.port) as proxy:
        has_written, may_answer = threading.Event(), threading.Event()

        def wait(method: str, path: str, status: int) -> bool:
            if method == "PUT":
                has_written.set()
                return may_answer.wait(WAIT_S)
            return True

        proxy.hook = wait  # type: ignore[method-assign]
        sink = ObjectSink(s3_store(proxy.server_port), "slow", max_waiting_bytes=3 * len(samples.shade(0)))
        assembler = Assembler()
        sink.open(assembler)
        assembler.subscribe(sink)
        assembler.feed(samples.created())
        for index in range(3):  # as many as may wait
            assembler.feed(samples.partial(index=index))
        assert has_written.wait(WAIT_S)
        assert not sink.keys
        rest = threading.Thread(target=lambda: [assembler.feed(event) for event in _whole()[3:]])
        rest.start()
        rest.join(0.1)
        assert rest.is_alive()
        may_answer.set()
        rest.join(WAIT_S)
        sink.close()
    assert list(_digests(moto.store, "ig_1", "slow")) == [f"partial-00{index}.png" for index in range(3)] + [
        "final.png"
    ]


def test_a_server_that_dies_costs_no_result_silently() -> None:
    with running_moto() as server:

        def stream() -> Iterator[samples.Wire]:
            yield from _whole()[:2]
            server.process.kill()
            server.process.wait()
            yield from _whole()[2:]

        with pytest.raises(
            SinkError, match=r"the results of 'ig_1' are not stored; previews that are missing: \d"
        ) as caught:
            assemble(stream(), sinks=[ObjectSink(server.store, "job")])
        assert caught.value.result.require_final().data == FINAL
        assert not _writers()


# A run whose process is killed by the server, at a moment that the test chooses.
_PROGRAM = """
import sys
import samples
from object_servers import s3_store
from imgassemble import ObjectSink, assemble

first, second = samples.png(5, 4), samples.png(4, 5)
events = [samples.created(), samples.partial(index=0), samples.partial(index=0, content=second)]
failed = samples.snapshot("failed", [samples.member(status="failed"), samples.member("ig_2", second)])
events += [samples.partial(index=1), samples.done(content=first), samples.done("ig_2", second, output_index=1), failed]
print("ready", flush=True)
assemble(events, sinks=[ObjectSink(s3_store(int(sys.argv[1])), sys.argv[2], keep="latest")])
"""


@pytest.mark.parametrize("n_writes", [1, 4, 7])
def test_a_killed_process_leaves_names_that_have_their_bytes(n_writes: int, moto: Moto) -> None:
    prefix = f"killed-{n_writes}"
    with running_proxy(moto.port) as proxy:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        command = [sys.executable, "-c", _PROGRAM, str(proxy.server_port), prefix]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as child:
            left = iter(range(n_writes, -1, -1))

            def kill(method: str, path: str, status: int) -> bool:
                if method in ("PUT", "POST", "DELETE") and next(left, 0) <= 1:
                    child.send_signal(signal.SIGKILL)
                    child.wait()
                    return False
                return True

            proxy.hook = kill  # type: ignore[method-assign]
            assert child.wait(WAIT_S) == -signal.SIGKILL
    facts = [key for key in _all_keys(moto.store, prefix) if key.endswith("/item.json")]
    assert facts
    for key in facts:
        _digests(moto.store, key.split("/")[1], prefix)
    _stored(moto.store, prefix, existing="continue", events=_whole())
    assert _digests(moto.store, "ig_1", prefix)["final.png"] == sha256(FINAL).hexdigest()


def _all_keys(store: Any, prefix: str) -> list[str]:
    return [meta["path"] for chunk in obstore.list(store, prefix) for meta in chunk]
