"""A watched folder gives saved items, additions, and nothing harmful from the files of other programs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st
from strategies import responses_streams

from imgassemble import Assembler, DirectorySink, FinalReady, Result, State, assemble
from imgassemble.storage.watched import watched_events

IDS = st.sampled_from(("ig_1", "ig_2", "../../x"))
EVENTFUL = st.one_of(
    st.builds(samples.partial, IDS, st.sampled_from((0, 1, 2, 0.5, 0.00001, 2**53))),
    st.builds(
        samples.done, IDS, st.sampled_from((samples.png(2, 2), samples.picture("JPEG"), samples.picture("WEBP")))
    ),
    st.builds(samples.done, IDS, status=st.sampled_from(("failed", "incomplete"))),
    st.builds(samples.call, st.sampled_from(("generating", "completed")), IDS),
)
STREAMS = st.one_of(st.lists(EVENTFUL, max_size=8), responses_streams())


def saved(events: Iterable[Any], folder: Path, **options: Any) -> Result:
    return assemble(events, sinks=[DirectorySink(folder, **options)])


def found_in(folder: Path) -> Result:
    """Return the result of one look at the folder."""
    return assemble(watched_events(folder, is_over=lambda: True))


def pictures(result: Result) -> dict[str, Any]:
    return {
        item_id: (item.state, item.is_provisional, item.partials, item.final) for item_id, item in result.items.items()
    }


def put(path: Path, data: bytes = b"", facts: Any = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(facts).encode() if facts is not None else data)
    return path


@given(STREAMS)
def test_a_finished_folder_gives_the_items_of_the_stream(events: list[samples.Wire]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert pictures(saved(events, Path(folder))) == pictures(found_in(Path(folder)))


@given(STREAMS)
def test_a_watched_folder_gives_the_items_of_the_stream_in_the_end(events: list[samples.Wire]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, assembler = Path(name), Assembler()
        sink, left = DirectorySink(folder), list(events)
        sink.open(assembler)
        assembler.subscribe(sink)

        def write_on(_seconds: float) -> None:
            assembler.feed(left.pop(0)) if left else assembler.close()
            if assembler.outcome:
                sink.close()

        watched = assemble(watched_events(folder, is_over=lambda: assembler.outcome is not None, wait=write_on))
        assert assembler.result is not None
        assert pictures(watched) == pictures(assembler.result)


def test_each_addition_is_given_once_and_as_it_arrives(tmp_path: Path) -> None:
    assembler, sink = Assembler(), DirectorySink(tmp_path)
    sink.open(assembler)
    assembler.subscribe(sink)
    written = [samples.partial(index=0), samples.partial(index=1), {}, samples.done(content=samples.png(2, 2))]
    told: list[list[str]] = [[]]

    def wait(seconds: float) -> None:
        assert 0 < seconds < 5
        told.append([])
        assembler.feed(written.pop(0))

    for event in watched_events(tmp_path, is_over=lambda: not written, wait=wait):
        told[-1].append(event["type"].rpartition(".")[2])
    assert told == [[], ["created", "partial_image"], ["partial_image"], [], ["done"]]


def test_a_file_that_is_replaced_within_one_tick_of_the_clock_is_new(tmp_path: Path) -> None:
    def replace(_seconds: float) -> None:
        saved([samples.done(content=second)], tmp_path, existing="replace")
        for path in tmp_path.glob("ig_1/*"):
            os.utime(path, ns=(at, at))

    at = 10**18
    first, second = samples.png(colour=(1, 1, 1)), samples.png(colour=(2, 2, 2))
    assert len(first) == len(second)
    saved([samples.done(content=first)], tmp_path)
    for path in tmp_path.glob("ig_1/*"):
        os.utime(path, ns=(at, at))
    looks = iter([False, True])
    _begun, *events = watched_events(tmp_path, is_over=lambda: next(looks), wait=replace)
    assert [event["item"]["result"] for event in events] == [samples.b64(first), samples.b64(second)]


def test_an_end_that_is_written_within_one_tick_of_the_clock_is_new(tmp_path: Path) -> None:
    def fail(_seconds: float) -> None:
        stat = path.stat()
        path.write_text(path.read_text().replace('"state": "incomplete"', '"state": "failed"    '))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    saved([samples.added("ig_1")], tmp_path)
    path, looks = tmp_path / "ig_1" / "item.json", iter([False, True])
    _begun, *events = watched_events(tmp_path, is_over=lambda: next(looks), wait=fail)
    assert [event["item"]["status"] for event in events] == ["incomplete", "failed"]


def test_the_last_look_finds_all_that_was_written_before_the_end(tmp_path: Path) -> None:
    def is_over() -> bool:
        saved([samples.done(content=samples.png())], tmp_path)
        return True

    kinds = [event["type"] for event in watched_events(tmp_path, is_over=is_over)]
    assert kinds == ["response.created", "response.output_item.done"]


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()], ids=["missing", "empty"])
def test_a_missing_or_empty_folder_is_watched_until_it_has_items(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    folder, waits = tmp_path / "out", list[float]()
    make(folder)

    def wait(seconds: float) -> None:
        waits.append(seconds)
        saved([samples.done(content=samples.png())], folder)

    result = assemble(watched_events(folder, is_over=lambda: bool(waits), wait=wait))
    assert result.items["ig_1"].final


@pytest.mark.parametrize("key_by", ["item_id", "output_index"])
def test_a_draft_is_provisional_until_a_result_is_added(key_by: Any, tmp_path: Path) -> None:
    def save(*events: samples.Wire) -> None:
        sink = DirectorySink(tmp_path, existing="replace")
        assemble(events, assembler=Assembler(key_by=key_by), sinks=[sink])

    draft, assembler = (samples.partial(), samples.call("completed")), Assembler(key_by=key_by)
    save(*draft)
    later = [lambda: save(*draft, samples.done(content=samples.png(2, 2)))]
    watched = watched_events(tmp_path, is_over=lambda: not later, wait=lambda _seconds: later.pop()())
    told = [update for event in watched for update in assembler.feed(event)]
    assert [update.is_provisional for update in told if isinstance(update, FinalReady)] == [True, False]
    assert not assembler.anomalies


# ---- files of other programs

SECRET = samples.png(7, 7)


@pytest.mark.parametrize(
    "facts",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"ig_1"',
        b'{"id": 7}',
        b'{"id": null}',
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b"9" * 10_000,
    ],
    ids=["empty", "cut", "list", "null", "text", "number", "no id", "nothing", "no UTF-8", "deep", "long number"],
)
def test_an_invalid_item_json_is_skipped(facts: bytes, tmp_path: Path) -> None:
    saved([samples.done("ig_1", samples.png())], tmp_path)
    put(tmp_path / "broken" / "item.json", facts)
    put(tmp_path / "broken" / "final.png", samples.png())
    assert set(found_in(tmp_path).items) == {"ig_1"}


@pytest.mark.parametrize(
    "name", ["state", "error", "revised_prompt", "is_provisional", "output_index", "usage", "partials"]
)
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, {"a": [1]}, "\ud800", [[[]]], True, -1e300])
def test_unexpected_values_in_item_json_are_harmless(name: str, value: Any, tmp_path: Path) -> None:
    put(tmp_path / "a" / "item.json", facts={"id": "ig_1", "state": "failed", name: value})
    put(tmp_path / "a" / "partial-000.png", samples.png())
    assert found_in(tmp_path).items["ig_1"].partials


@pytest.mark.parametrize(
    "name",
    ["partial-.png", "partial-x.png", "partial--1.png", "partial-1e999.png", "partial-nan.png", "partial-0", "final",
     "x.png", "partial-0.png.tmp", ".imgassemble-x.tmp", "partial-9" + "9" * 200 + ".png", "partial-\u0663.png"],
)  # fmt: skip
def test_files_with_other_names_are_harmless(name: str, tmp_path: Path) -> None:
    put(tmp_path / "a" / "item.json", facts={"id": "ig_1"})
    put(tmp_path / "a" / name, SECRET)
    put(tmp_path / "a" / "partial-000.png", samples.png())
    assert found_in(tmp_path).items["ig_1"].partials[0].data == samples.png()


def test_a_file_that_is_no_picture_is_an_anomaly(tmp_path: Path) -> None:
    put(tmp_path / "a" / "item.json", facts={"id": "ig_1"})
    put(tmp_path / "a" / "final.png", b"no picture")
    item = found_in(tmp_path).items["ig_1"]
    assert (item.state, item.final) == (State.INCOMPLETE, None)
    assert item.anomalies


@pytest.mark.skipif(sys.platform == "win32", reason="only an administrator can make links there")
def test_no_link_is_followed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    put(elsewhere / "item.json", facts={"id": "secret"})
    put(elsewhere / "final.png", SECRET)
    put(folder / "a" / "item.json", facts={"id": "ig_1"})
    (folder / "a" / "final.png").symlink_to(elsewhere / "final.png")
    (folder / "a" / "partial-000.png").symlink_to(elsewhere / "final.png")
    (folder / "whole").symlink_to(elsewhere)
    (folder / "b").mkdir()
    (folder / "b" / "item.json").symlink_to(elsewhere / "item.json")
    put(folder / "b" / "final.png", samples.png())
    (folder / "round").symlink_to(folder)
    (folder / "broken").symlink_to(folder / "nowhere")
    assert list(watched_events(folder, is_over=lambda: True)) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_no_pipe_is_read(tmp_path: Path) -> None:
    put(tmp_path / "a" / "item.json", facts={"id": "ig_1"})
    os.mkfifo(tmp_path / "a" / "final.png")
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b" / "item.json")
    (tmp_path / "c" / "item.json").mkdir(parents=True)
    (tmp_path / "a" / "partial-000.png").mkdir()
    assert list(watched_events(tmp_path, is_over=lambda: True)) == []


def test_a_file_that_is_too_large_is_skipped(tmp_path: Path) -> None:
    put(tmp_path / "a" / "item.json", facts={"id": "ig_1"})
    for name in ("final.png", "../b/item.json"):
        path = put(tmp_path / "a" / name) if name[0] != "." else put(tmp_path / "b" / "item.json")
        os.truncate(path, 10 * 2**30)  # a sparse file: it takes no space
    assert list(watched_events(tmp_path, is_over=lambda: True)) == []


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="this user can read all files")
def test_a_file_without_read_permission_is_skipped(tmp_path: Path) -> None:
    saved([samples.done("ig_1", samples.png())], tmp_path)
    put(tmp_path / "b" / "item.json", facts={"id": "ig_2"}).chmod(0)
    (tmp_path / "c").mkdir(mode=0)
    assert set(found_in(tmp_path).items) == {"ig_1"}


def test_two_folders_of_one_id_are_two_items(tmp_path: Path) -> None:
    for name in "ab":
        put(tmp_path / name / "item.json", facts={"id": "ig_1"})
        put(tmp_path / name / "final.png", samples.png())
    assert set(found_in(tmp_path).items) == {"ig_1", "b"}
