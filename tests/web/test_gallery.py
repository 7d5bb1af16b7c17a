"""The gallery: facts and frames of many streams, changes for viewers, and removal in time."""

from __future__ import annotations

import copy
import gc
import json
import os
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import samples
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import images_streams, responses_streams

from imgassemble import Assembler, Frame, FrameAdded, ItemEnded, ProviderError, State, StreamEnded, UsageError
from imgassemble.assembly.updates import Outcome
from imgassemble.web import Gallery
from imgassemble.web import gallery as gallery_module
from imgassemble.web.changes import PageChange


@dataclass(slots=True)
class Viewer:
    """A viewer that applies the changes it receives."""

    gallery: Gallery
    seen: str = ""
    streams: dict[str, dict[str, Any]] = field(default_factory=dict)
    items: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    frames: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    told: list[PageChange] = field(default_factory=list)

    def look(self) -> Viewer:
        self.seen, self.told = self.gallery.changes(self.seen)
        for change in self.told:
            match change.kind:
                case "reset":
                    self.streams, self.items, self.frames = {}, {}, {}
                case "stream":
                    self.streams[change.stream] = change.facts
                case "item":
                    self.items[change.stream, change.facts["id"]] = change.facts
                case "frame":
                    self.frames[change.stream, change.facts["number"]] = change.facts
                case "gone":
                    self.streams.pop(change.stream, None)
                    self.items = {key: facts for key, facts in self.items.items() if key[0] != change.stream}
                case other:
                    raise AssertionError(other)
        listed = {(stream, number) for (stream, _), facts in self.items.items() for number in facts["frames"]}
        assert listed <= self.frames.keys(), "a frame of an item was not sent"
        self.frames = {key: facts for key, facts in self.frames.items() if key in listed}
        return self

    def knows(self) -> tuple[object, ...]:
        return self.streams, self.items, self.frames

    def item(self, item_id: str = "ig_1", stream: str = "otter") -> dict[str, Any]:
        """Return the facts of an item, with the facts of its frames in place of their numbers."""
        facts = self.items[stream, item_id]
        return facts | {"frames": [self.frames[stream, number] for number in facts["frames"]]}

    def all_items(self) -> list[dict[str, Any]]:
        return [self.item(item_id, stream) for stream, item_id in sorted(self.items)]


def fresh(gallery: Gallery) -> Viewer:
    return Viewer(gallery).look()


def the_item(gallery: Gallery, item_id: str = "ig_1", stream: str = "otter") -> dict[str, Any]:
    return fresh(gallery).item(item_id, stream)


def shown(gallery: Gallery, *events: samples.Wire, name: str = "otter", is_over: bool = False) -> Assembler:
    assembler = Assembler()
    gallery.add(name, assembler)
    for event in events:
        assembler.feed(event)
    if is_over:
        assembler.close()
    return assembler


def frames_of(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """All frames of an item: the partials by index, then the final."""
    frames: list[dict[str, Any]] = facts["frames"]
    return frames


def address_of(facts: dict[str, Any]) -> str:
    """The address of the picture that is shown of an item; "" if it has none."""
    return str(facts["frames"][-1]["url"]) if facts["frames"] else ""


def kept(gallery: Gallery) -> list[Frame]:
    """All frames that have an address."""
    return [frame for stream in gallery._streams._streams.values() for frame in stream.frames.values()]


def lasting_facts(frame: dict[str, Any]) -> dict[str, Any]:
    """The facts of a frame that do not change when it arrives again; without its address, which is random."""
    return {name: frame[name] for name in ("index", "is_final", "format", "size", "bytes")}


def frame_at(gallery: Gallery, address: str) -> Frame | None:
    folder, key, name = address.split("/")
    assert folder == "frames"
    number, dot, suffix = name.partition(".")
    frame = gallery.frame(key, int(number))
    assert frame is None or dot + suffix == frame.suffix
    return frame


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# ---- the laws

NAMES = ("a", "b")
IDS = st.sampled_from(("ig_1", "ig_2"))
PICTURES = st.sampled_from((samples.png(), samples.png(2, 2), samples.picture("JPEG")))
EVENTFUL = st.one_of(
    st.builds(samples.partial, IDS, st.integers(0, 3), PICTURES),
    st.builds(samples.partial, IDS, st.integers(0, 40)),
    st.builds(samples.done, IDS, PICTURES),
    st.builds(samples.done, IDS, status=st.sampled_from(("failed", "incomplete", "completed"))),
    st.builds(samples.call, st.sampled_from(("generating", "completed")), IDS),
    st.just(samples.error()),
    st.builds(samples.snapshot, st.sampled_from(("completed", "failed", "incomplete"))),
    st.builds(
        lambda kind, item_id, status: samples.snapshot(kind, [samples.member(item_id, status=status)]),
        st.sampled_from(("completed", "failed", "incomplete")),
        IDS,
        st.sampled_from(("failed", "incomplete", "completed")),
    ),
)
STREAMS = st.one_of(st.lists(EVENTFUL, max_size=12), responses_streams(), images_streams())


@st.composite
def days(draw: st.DrawFn) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Bounds of a gallery, and its events: streams begin, go on, end and are removed; viewers look."""
    bounds = {
        "max_bytes": draw(st.sampled_from((1, 150, 10_000))),
        "max_streams": draw(st.sampled_from((1, 2, 9))),
        "keep_s": draw(st.sampled_from((0.0, 10.0))),
    }
    happenings = st.one_of(
        st.tuples(st.just("feed"), st.tuples(st.sampled_from(NAMES), st.lists(EVENTFUL, min_size=1, max_size=4))),
        st.tuples(st.sampled_from(("add", "again", "end", "remove")), st.sampled_from(NAMES)),
        st.tuples(st.just("wait"), st.sampled_from((1.0, 10.0))),
        st.tuples(st.just("look"), st.integers(0, 2)),
    )
    return bounds, [("add", name) for name in NAMES] + draw(st.lists(happenings, max_size=16))


def lived(bounds: dict[str, Any], happenings: list[tuple[str, Any]]) -> Iterator[tuple[Gallery, list[Viewer]]]:
    """The gallery and three viewers, after each happening."""
    clock = Clock()
    gallery = Gallery(clock=clock, **bounds)
    viewers = [Viewer(gallery) for _ in range(3)]
    assemblers: dict[str, Assembler] = {}
    for kind, what in happenings:
        match kind, what:
            case (("add" | "again"), name):
                if kind == "again":
                    gallery.remove(name)
                try:
                    assembler = Assembler()
                    gallery.add(name, assembler)
                    assemblers[name] = assembler
                except UsageError:
                    pass  # the name is shown already, or there are too many
            case "feed", (name, events) if name in assemblers and not assemblers[name].outcome:
                for event in events:
                    assemblers[name].feed(event)
            case "end", name if name in assemblers:
                assemblers[name].close()
            case "remove", name:
                gallery.remove(name)
            case "wait", seconds:
                clock.now += seconds
            case "look", number:
                viewers[number].look()
        yield gallery, viewers


@given(days())
def test_a_viewer_that_asks_now_and_then_has_what_a_new_viewer_receives(day: tuple[dict[str, Any], list[Any]]) -> None:
    for gallery, viewers in lived(*day):
        for viewer in copy.deepcopy([(each.seen, each.streams, each.items, each.frames) for each in viewers]):
            late = Viewer(gallery, *viewer).look()
            assert late.knows() == fresh(gallery).knows()


@given(days())
def test_every_address_in_the_facts_leads_to_its_frame(day: tuple[dict[str, Any], list[Any]]) -> None:
    for gallery, _ in lived(*day):
        addresses = []
        for facts in fresh(gallery).all_items():
            for each in frames_of(facts):
                frame = frame_at(gallery, each["url"])
                assert frame is not None
                assert lasting_facts(frame.as_dict()) == lasting_facts(each)
                assert each["small_url"] == each["url"].removesuffix(frame.suffix) + "-small"
                addresses.append(each["url"])
        assert len(set(addresses)) == len(addresses) == len(kept(gallery))


@given(days())
def test_an_address_leads_to_one_frame_forever(day: tuple[dict[str, Any], list[Any]]) -> None:
    known: dict[str, Frame] = {}
    for gallery, _ in lived(*day):
        for facts in fresh(gallery).all_items():
            for each in frames_of(facts):
                frame = frame_at(gallery, each["url"])
                assert frame == known.setdefault(each["url"], frame)  # type: ignore[arg-type]


@given(days())
def test_only_the_newest_picture_of_each_item_may_exceed_max_bytes(day: tuple[dict[str, Any], list[Any]]) -> None:
    for gallery, _ in lived(*day):
        now = fresh(gallery)
        if sum(each["bytes"] for each in now.frames.values()) > day[0]["max_bytes"]:
            assert all(stream["outcome"] is None for stream in now.streams.values())
            assert all(len(facts["frames"]) <= 1 for facts in now.items.values())


@given(STREAMS, st.booleans())
def test_the_facts_of_an_item_agree_with_the_assembler(events: list[samples.Wire], is_closed: bool) -> None:
    gallery, assembler, blocked = Gallery(), Assembler(), set[str]()
    gallery.add("otter", assembler)
    for step in [*events, *([None] if is_closed else [])]:
        if step is None:
            assembler.close()
        else:
            assembler.feed(step)
        now = fresh(gallery)
        assert {item_id for _, item_id in now.items} == set(assembler.items)
        for item_id, item in assembler.items.items():
            facts = now.item(item_id)
            result = None if item.is_provisional else item.final
            frames = [*item.partials, *([result] if result else [])]
            assert facts["state"] == item.state
            assert facts["has_ended"] == item.state.is_end
            assert facts["has_final"] == (result is not None)
            assert (facts["kind"] == "final") == facts["has_final"]
            assert (facts["final_s"] is not None) == facts["has_final"]
            assert (facts["error"] is None) == (item.error is None)
            assert facts["anomalies"] == item.as_dict()["anomalies"]
            if facts["kind"] == "blocked":
                assert not frames_of(facts)
                blocked.add(item_id)
            if item_id in blocked:  # the previews from before stay hidden
                continue
            assert [lasting_facts(each) for each in frames_of(facts)] == [
                lasting_facts(each.as_dict()) for each in frames
            ]
            if item.latest is None:
                assert not address_of(facts)
            else:
                latest = frame_at(gallery, address_of(facts))
                assert latest is not None
                assert latest.data == item.latest.data
            if item.state is State.FAILED:
                assert facts["kind"] == "failed"
            elif item.state is State.INCOMPLETE:
                assert facts["kind"] == ("draft" if item.latest else "failed")
        if is_closed and step is None:
            assert now.streams["otter"]["outcome"] == assembler.outcome


@given(STREAMS)
def test_facts_are_json_without_base64(events: list[samples.Wire]) -> None:
    gallery = Gallery()
    shown(gallery, *events, is_over=True)
    text = json.dumps([change.facts for change in gallery.changes()[1]], allow_nan=False)
    assert text.isascii()
    assert not re.search("iVBOR|data:image|[A-Za-z0-9+/=]{100}", text)


# ---- facts and changes


def test_facts_have_the_names_and_the_form_of_the_items_own() -> None:
    gallery = Gallery()
    events = [
        samples.partial(index=0),
        samples.partial(index=1, content="%%%"),
        samples.done(content=samples.png(2, 2)),
    ]
    item = shown(gallery, *events)["ig_1"].as_dict()
    facts = the_item(gallery)
    told = {name: facts[name] for name in item if name in facts}
    assert told == {name: item[name] for name in told}
    frames = [*item["partials"], item["final"]]
    assert [lasting_facts(each) for each in frames_of(facts)] == [lasting_facts(each) for each in frames]
    in_no_update = {"reason", "output_index", "revised_prompt", "url", "usage", "wire_id", "settings", "response_id"}
    in_no_update |= {"partials", "final"}  # the page has `frames` instead
    assert set(item) - set(told) == in_no_update


def test_the_facts_of_a_draft_are_those_of_the_item() -> None:
    gallery = Gallery()
    shown(gallery, samples.partial(), samples.call("completed"), is_over=True)
    facts = the_item(gallery)
    assert (facts["is_provisional"], [each["is_final"] for each in facts["frames"]]) == (True, [False])


def test_the_facts_of_an_error_are_bounded() -> None:
    gallery = Gallery()
    shown(
        gallery,
        samples.done(status="failed", error={"code": "moderation_blocked", "message": "no", "more": "x" * 9_999}),
    )
    assert the_item(gallery)["error"] == {"type": "ProviderError", "code": "moderation_blocked", "message": "no"}


def test_a_stream_is_shown_before_its_first_frame() -> None:
    gallery = Gallery()
    gallery.add("otter", size=(1536, 1024))
    assert fresh(gallery).streams["otter"]["size"] == [1536, 1024]
    assert gallery.names == ("otter",)


def test_a_viewer_that_has_everything_receives_no_changes() -> None:
    gallery = Gallery()
    shown(gallery, samples.partial())
    viewer = fresh(gallery)
    assert gallery.changes(viewer.seen) == (viewer.seen, [])


def test_a_slow_viewer_receives_one_change_of_an_item_that_changed_often() -> None:
    gallery = Gallery()
    assembler = shown(gallery, samples.partial(index=0))
    viewer = fresh(gallery)
    for index in range(1, 20):
        assembler.feed(samples.partial(index=index))
    assert [change.kind for change in viewer.look().told] == ["frame"] * 19 + ["item"]
    assert len(frames_of(viewer.item())) == 20


def test_removals_come_first_then_streams_then_frames_then_items() -> None:
    gallery = Gallery()
    first, second = shown(gallery, name="first"), shown(gallery, name="second")
    viewer = fresh(gallery)
    second.feed(samples.partial("ig_2"))
    first.feed(samples.partial("ig_1"))
    first.close()
    gallery.remove("second")
    shown(gallery, samples.partial("ig_2"), name="second")
    assert [(change.stream, change.kind) for change in viewer.look().told] == [
        ("second", "gone"),
        ("first", "stream"),
        ("second", "stream"),
        ("first", "frame"),
        ("second", "frame"),
        ("first", "item"),
        ("second", "item"),
    ]


def test_changes_that_were_returned_are_not_modified_later() -> None:
    gallery = Gallery()
    assembler = shown(gallery, samples.partial(index=0))
    told = gallery.changes()[1]
    before = copy.deepcopy(told)
    for event in (
        samples.partial(index=1),
        samples.partial(index=2, content="%%%"),
        samples.done(content=samples.png(2, 2)),
        {},
    ):
        assembler.feed(event)
    assembler.close()
    assert told == before


def test_a_late_preview_hides_no_final() -> None:
    gallery = Gallery()
    shown(gallery, samples.partial(index=0), samples.done(content=samples.png(2, 2)), samples.partial(index=1))
    facts = the_item(gallery)
    assert (facts["kind"], facts["caption"], facts["has_final"]) == ("final", "final", True)
    assert [each["index"] for each in frames_of(facts)] == [0, 1, None]


def test_a_late_preview_with_a_lower_index_hides_no_better_one() -> None:
    gallery = Gallery()
    shown(gallery, samples.partial(index=2), samples.partial(index=1))
    facts = the_item(gallery)
    assert facts["caption"] == "preview 3"
    assert [each["index"] for each in frames_of(facts)] == [1, 2]


def test_a_failed_item_stays_failed_after_a_late_preview() -> None:
    gallery = Gallery()
    shown(gallery, samples.partial(index=0), samples.error(), samples.partial(index=1))
    facts = the_item(gallery)
    assert facts["kind"] == "failed"
    assert "it broke" in facts["caption"]
    assert len(frames_of(facts)) == 2


def test_the_frame_of_a_withdrawn_final_has_no_address() -> None:
    gallery = Gallery()
    assembler = shown(gallery, samples.partial(index=0), samples.done(content=samples.png(2, 2), seq=1))
    address = address_of(the_item(gallery))
    assembler.feed(samples.snapshot("failed", [samples.member(status="failed")], seq=2))
    facts = the_item(gallery)
    assert (facts["kind"], facts["has_final"], facts["final_s"]) == ("failed", False, None)
    assert [each["index"] for each in frames_of(facts)] == [0]
    assert frame_at(gallery, address) is None


def test_a_draft_is_not_a_final() -> None:
    gallery = Gallery()
    shown(gallery, samples.partial(index=0), samples.call("completed"), is_over=True)
    facts = the_item(gallery)
    assert (facts["kind"], facts["has_final"], facts["final_s"]) == ("draft", False, None)
    assert facts["has_ended"]


def test_the_newest_of_many_previews_are_kept() -> None:
    gallery = Gallery()
    shown(gallery, *(samples.partial(index=index) for index in range(40)))
    facts = the_item(gallery)
    assert [each["index"] for each in frames_of(facts)] == list(range(8, 40))


def test_the_oldest_of_many_previews_has_no_address() -> None:
    gallery = Gallery()
    assembler = shown(gallery, samples.partial(index=0))
    oldest = frames_of(the_item(gallery))[0]["url"]
    for index in range(1, 40):
        assembler.feed(samples.partial(index=index))
    assert frame_at(gallery, oldest) is None


def test_times_are_seconds_since_the_stream_was_added() -> None:
    clock = Clock()
    gallery = Gallery(clock=clock)
    assembler = shown(gallery)
    for seconds, event in (
        (1.5, samples.partial(index=0)),
        (2.5, samples.partial(index=1)),
        (4.0, samples.done("ig_1", samples.png())),
    ):
        clock.now = seconds
        assembler.feed(event)
    facts = the_item(gallery)
    assert (facts["preview_s"], facts["final_s"]) == (1.5, 4.0)


def test_anomalies_belong_to_their_item_or_stream_and_are_bounded() -> None:
    gallery = Gallery()
    assembler = shown(gallery)
    for _ in range(50):
        assembler.feed("{")
        assembler.feed(samples.partial(content="%%%"))
    now = fresh(gallery)
    assert len(now.streams["otter"]["anomalies"]) == len(now.items["otter", "ig_1"]["anomalies"]) == 20


def test_a_stream_without_an_image_has_its_outcome() -> None:
    gallery = Gallery()
    shown(gallery, samples.snapshot("completed", [{"type": "message", "id": "msg_1"}]), is_over=True)
    assert fresh(gallery).streams["otter"]["outcome"] == "no_image"


def test_a_name_is_refused_while_it_is_shown() -> None:
    gallery = Gallery()
    gallery.add("otter")
    with pytest.raises(UsageError, match="'otter' is shown already"):
        gallery.add("otter")
    gallery.remove("otter")
    gallery.add("otter")


def test_a_new_stream_of_an_old_name_keeps_nothing_of_the_old_one() -> None:
    gallery = Gallery()
    shown(gallery, samples.partial("ig_old"))
    viewer = fresh(gallery)
    gallery.remove("otter")
    shown(gallery, samples.partial("ig_new"))
    assert set(viewer.look().items) == {("otter", "ig_new")}


def test_updates_of_a_removed_stream_are_ignored() -> None:
    gallery = Gallery()
    old = shown(gallery)
    gallery.remove("otter")
    shown(gallery)
    old.feed(samples.partial("ig_old"))
    assert not fresh(gallery).items


# ---- versions


@pytest.mark.parametrize("since", ["x", "{name}.{name}.0-0-999", "{name}.{name}.0-0--1", "{name}.{name}.0-0", "0"])
def test_a_viewer_with_an_impossible_position_gets_a_reset(since: str) -> None:
    gallery = Gallery()
    shown(gallery, samples.partial())
    since = since.format(name=gallery.changes()[0].split(".")[0])
    assert not gallery.is_known(since)
    viewer = Viewer(gallery, seen=since, items={("ghost", ""): {}}).look()
    assert viewer.told[0].kind == "reset"
    assert viewer.knows() == fresh(gallery).knows()


def test_a_viewer_that_missed_too_many_removals_gets_a_reset() -> None:
    gallery = Gallery(max_streams=2)
    shown(gallery, samples.partial(), name="first")
    sleeper, viewer = fresh(gallery), fresh(gallery)
    for name in ("first", "second", "third", "fourth"):
        if name != "first":
            gallery.add(name)
        gallery.remove(name)
        viewer.look()
    assert sleeper.look().told[0].kind == "reset"
    assert sleeper.knows() == viewer.knows() == ({}, {}, {})
    assert viewer.told[0].kind == "gone"


def test_a_new_viewer_receives_no_removals() -> None:
    gallery = Gallery()
    gallery.add("otter")
    gallery.remove("otter")
    assert fresh(gallery).told == []


# ---- an assembler that has begun before


def without_seconds(gallery: Gallery) -> tuple[object, ...]:
    """Return the facts for a new viewer, without those that are unknown if a stream had begun before."""
    now = fresh(gallery)
    shown = now.all_items()
    secret = {"preview_s", "final_s", "frames"}
    secret |= {"caption", "error"}  # they depend on the item at its end
    of_streams = {"began_s", "kind", "caption"}  # whether an item shows the error of the stream depends on them
    items = [{name: fact for name, fact in facts.items() if name not in secret} for facts in shown]
    frames = [[lasting_facts(each) for each in frames_of(facts)] for facts in shown]
    streams = [{name: fact for name, fact in facts.items() if name not in of_streams} for facts in now.streams.values()]
    return items, frames, streams


@given(STREAMS, st.booleans(), st.integers(0, 12))
def test_items_from_before_are_shown_as_if_added_at_the_beginning(
    events: list[samples.Wire], is_closed: bool, at: int
) -> None:
    early, late, assembler = Gallery(), Gallery(), Assembler()
    early.add("otter", assembler)
    ended: list[ItemEnded] = []
    assembler.subscribe(ended.append, ItemEnded)
    for event in events[:at]:
        assembler.feed(event)
    # The error of a response can become another one after its items have ended, which is no update.
    assume(all(repr(assembler[each.item_id].error) == repr(each.error) for each in ended))
    if is_closed:
        assembler.close()
    late.add("otter", assembler)
    for event in [] if is_closed else events[at:]:
        assembler.feed(event)
        assert without_seconds(late)[1] == without_seconds(early)[1]
    assembler.close()
    assert without_seconds(late) == without_seconds(early)


def test_a_closed_assembler_is_shown_with_its_end_and_removed_in_time() -> None:
    clock = Clock()
    gallery, assembler = Gallery(keep_s=60, clock=clock), Assembler()
    for event in (samples.partial(), samples.done(content=samples.png())):
        assembler.feed(event)
    assembler.close()
    gallery.add("otter", assembler)
    now = fresh(gallery)
    assert now.streams["otter"]["outcome"] == "completed"
    assert [each["is_final"] for each in frames_of(now.item())] == [False, True]
    clock.now = 60
    assert gallery.names == ()


def test_a_stream_that_had_begun_before_has_no_seconds() -> None:
    clock = Clock()
    gallery, assembler = Gallery(clock=clock), Assembler()
    assembler.feed(samples.partial())
    gallery.add("otter", assembler)
    clock.now = 3
    assembler.feed(samples.partial(index=1))
    assembler.feed(samples.done(content=samples.png()))
    facts = the_item(gallery)
    assert (facts["has_final"], facts["preview_s"], facts["final_s"]) == (True, None, None)


def test_an_assembler_that_another_thread_feeds_is_shown_completely() -> None:
    for _ in range(20):
        gallery, assembler = Gallery(), Assembler()

        def feed(assembler: Assembler = assembler) -> None:
            for number in range(30):
                assembler.feed(samples.partial(index=number, content=samples.shade(number)))
                assembler.feed(samples.partial(index=number, content=b"no picture"))
            assembler.feed(samples.done(content=samples.png()))
            assembler.close()

        feeding = threading.Thread(target=feed)
        feeding.start()
        while not assembler.items:
            pass
        gallery.add("otter", assembler)
        feeding.join()
        facts = the_item(gallery)
        assert (facts["kind"], facts["state"], len(frames_of(facts))) == ("final", "completed", 31)
        assert len(facts["anomalies"]) == 20
        assert fresh(gallery).streams["otter"]["outcome"] == "completed"


def test_an_anomaly_that_arrives_during_add_is_shown_once() -> None:
    gallery, assembler = Gallery(), Assembler()
    assembler.subscribe(lambda update: gallery.names or gallery.add("otter", assembler))
    assembler.feed(samples.partial(content=b"no picture"))
    assert len(the_item(gallery)["anomalies"]) == 1


# ---- removal


def test_a_stream_that_has_ended_is_removed_after_keep_s() -> None:
    clock = Clock()
    gallery = Gallery(keep_s=60, clock=clock)
    shown(gallery, samples.done(content=samples.png()), is_over=True)
    viewer = fresh(gallery)
    address = address_of(viewer.item())
    clock.now = 59
    assert frame_at(gallery, address)
    clock.now = 60
    assert frame_at(gallery, address) is None
    assert [(change.stream, change.kind) for change in viewer.look().told] == [("otter", "gone")]
    assert gallery.names == ()


@dataclass(slots=True)
class Alarm:
    """A timer that a test triggers."""

    seconds: float
    ring: Callable[[], object]
    daemon: bool = False
    is_cancelled: bool = False

    def start(self) -> None:
        ALARMS.append(self)

    def cancel(self) -> None:
        self.is_cancelled = True


ALARMS: list[Alarm] = []


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[Alarm]:
    monkeypatch.setattr(gallery_module, "Timer", Alarm)
    ALARMS.clear()
    return ALARMS


def test_a_timer_removes_a_stream_if_no_thread_asks(alarms: list[Alarm]) -> None:
    clock, rings = Clock(), []
    gallery = Gallery(keep_s=60, clock=clock)
    gallery.watch(lambda: rings.append(clock.now))
    shown(gallery, samples.partial(), name="goes on")
    assert not alarms
    for at, name in ((10, "first"), (30, "second")):
        clock.now = at
        shown(gallery, samples.partial(), name=name, is_over=True)
    clock.now = 70
    assert [(alarm.seconds, alarm.daemon) for alarm in alarms] == [(60, True)]
    alarms[-1].ring()
    assert list(gallery._streams.names) == ["goes on", "second"]
    assert rings[-1] == 70
    assert [alarm.seconds for alarm in alarms] == [60, 20]
    clock.now = 90
    alarms[-1].ring()
    assert list(gallery._streams.names) == ["goes on"]
    assert len(kept(gallery)) == 1
    assert len(alarms) == 2


@pytest.mark.parametrize("keep_s", [float("inf"), 1e300])
def test_a_gallery_that_keeps_everything_starts_no_timer(alarms: list[Alarm], keep_s: float) -> None:
    gallery = Gallery(keep_s=keep_s)
    shown(gallery, is_over=True)
    assert gallery.names == ("otter",)
    assert not alarms


def test_the_timer_does_not_keep_the_gallery_alive(alarms: list[Alarm]) -> None:
    gallery = Gallery()
    held = weakref.ref(gallery)
    shown(gallery, samples.partial(), is_over=True)
    del gallery
    gc.collect()
    assert held() is None
    assert alarms[0].is_cancelled
    alarms[0].ring()


def test_the_timer_runs_in_real_time() -> None:
    gallery, has_gone = Gallery(keep_s=0.05), threading.Event()
    shown(gallery, samples.partial(), is_over=True)

    def look() -> None:
        if not gallery._streams.names:
            has_gone.set()

    gallery.watch(look)
    look()
    assert has_gone.wait(30)
    assert not kept(gallery)


def test_a_stream_is_shown_although_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_alarm: Alarm) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(gallery_module, "Timer", Alarm)
    monkeypatch.setattr(Alarm, "start", refuse)
    clock = Clock()
    gallery = Gallery(keep_s=60, clock=clock)
    shown(gallery, samples.partial(), is_over=True)
    assert the_item(gallery)["kind"]
    clock.now = 60
    assert gallery.names == ()


def test_a_stream_that_has_not_ended_is_never_removed_for_its_age() -> None:
    clock = Clock()
    gallery = Gallery(keep_s=0, clock=clock)
    shown(gallery, samples.partial())
    clock.now = 10**9
    assert gallery.names == ("otter",)


def test_the_name_of_an_expired_stream_is_free() -> None:
    clock = Clock()
    gallery = Gallery(keep_s=60, clock=clock)
    shown(gallery, is_over=True)
    clock.now = 60
    gallery.add("otter")


def test_above_max_bytes_the_stream_that_ended_first_is_removed_first() -> None:
    picture = samples.png()
    gallery = Gallery(max_bytes=2 * len(picture))
    for name in ("first", "second"):
        shown(gallery, name=name)
    for name in ("b", "a"):
        shown(gallery, samples.done(content=picture), name=name, is_over=True)
    shown(gallery, samples.done(content=picture), name="c")
    assert gallery.names == ("first", "second", "a", "c")


def test_above_max_bytes_previews_are_removed_before_streams() -> None:
    picture = samples.png()
    gallery = Gallery(max_bytes=3 * len(picture))
    for name in ("first", "second"):
        shown(
            gallery, samples.partial(content=samples.shade(0)), samples.done(content=picture), name=name, is_over=True
        )
    shown(
        gallery,
        samples.partial(content=samples.shade(0)),
        samples.partial(index=1, content=samples.shade(1)),
        name="live",
    )
    left = {name: [each["index"] for each in frames_of(the_item(gallery, stream=name))] for name in gallery.names}
    assert left == {"first": [None], "second": [None], "live": [1]}


def test_the_newest_picture_of_an_item_is_never_removed_for_space() -> None:
    gallery = Gallery(max_bytes=1)
    shown(gallery, *(samples.partial(f"ig_{item}", index) for index in range(3) for item in range(3)))
    for item in range(3):
        (left,) = frames_of(the_item(gallery, f"ig_{item}"))
        assert left["index"] == 2


def test_the_oldest_previews_are_removed_first() -> None:
    gallery = Gallery(max_bytes=3 * len(samples.shade(0)))
    shown(gallery, *(samples.partial("ig_1", index) for index in range(2)), name="first")
    shown(gallery, *(samples.partial("ig_1", index) for index in range(2)), name="second")
    assert [len(frames_of(the_item(gallery, stream=name))) for name in ("first", "second")] == [1, 2]


def test_a_frame_that_arrives_again_keeps_its_address_and_counts_once() -> None:
    picture = samples.png()
    gallery = Gallery(max_bytes=len(picture))
    listen = gallery.add("otter")
    for _ in range(2):
        listen(FrameAdded("ig_1", Frame(data=picture, format="PNG", size=(1, 1), index=0), True))
    assert address_of(the_item(gallery)).endswith("/0.png")
    assert gallery._streams._n_bytes == len(picture)


def test_above_max_streams_the_stream_that_ended_first_is_removed() -> None:
    gallery = Gallery(max_streams=2)
    shown(gallery, name="open")
    shown(gallery, name="ended", is_over=True)
    assert gallery.names == ("open", "ended")
    shown(gallery, name="new")
    assert gallery.names == ("open", "new")
    with pytest.raises(UsageError, match="2 streams have not ended"):
        gallery.add("one more")


def test_a_refused_name_removes_nothing() -> None:
    gallery = Gallery(max_streams=2)
    shown(gallery, name="ended", is_over=True)
    shown(gallery, name="open")
    with pytest.raises(UsageError, match="is shown already"):
        gallery.add("open")
    assert gallery.names == ("ended", "open")


def test_the_memory_of_a_removed_stream_is_freed() -> None:
    gallery = Gallery()
    assembler = Assembler()
    assembler.feed(samples.partial())
    (frame,) = assembler["ig_1"].partials
    before = sys.getrefcount(frame)
    listen = gallery.add("otter")
    listen(FrameAdded("ig_1", frame, True))
    shown_then = sys.getrefcount(frame)
    gallery.remove("otter")
    listen(FrameAdded("ig_1", frame, True))
    after = sys.getrefcount(frame)
    assert before == after < shown_then


def test_the_memory_of_a_removed_preview_is_freed() -> None:
    gallery = Gallery(max_bytes=1)
    assembler = Assembler()
    assembler.feed(samples.partial())
    (frame,) = assembler["ig_1"].partials
    held = sys.getrefcount(frame.data)
    listen = gallery.add("otter")
    listen(FrameAdded("ig_1", frame, True))
    assembler.feed(samples.partial(index=1))
    listen(FrameAdded("ig_1", assembler["ig_1"].partials[1], True))
    now = sys.getrefcount(frame.data)
    assert now == held


# ---- frames


def test_a_frame_is_the_bytes_that_were_received() -> None:
    picture = samples.picture("JPEG")
    gallery = Gallery()
    shown(gallery, samples.done(content=picture))
    frame = frame_at(gallery, address_of(the_item(gallery)))
    assert frame is not None
    assert frame.data == picture


def test_an_address_of_one_stream_leads_to_no_frame_of_another() -> None:
    gallery = Gallery()
    shown(gallery, samples.done(content=samples.png()), name="mine")
    shown(gallery, samples.partial(), samples.done(content=samples.png(2, 2)), name="yours")
    _, my_key, _ = address_of(the_item(gallery, stream="mine")).split("/")
    _, your_key, _ = address_of(the_item(gallery, stream="yours")).split("/")
    assert my_key != your_key
    assert [gallery.stream_of(key) for key in (my_key, your_key, "mine")] == ["mine", "yours", None]
    assert gallery.frame(my_key, 1) is None
    assert gallery.frame(my_key, 0) != gallery.frame(your_key, 1)


def test_equal_frames_of_two_streams_have_two_addresses() -> None:
    gallery = Gallery()
    for name in ("mine", "yours"):
        shown(gallery, samples.done(content=samples.png()), name=name)
    assert address_of(the_item(gallery, stream="mine")) != address_of(the_item(gallery, stream="yours"))


@pytest.mark.parametrize("key", ["", "..", "../x", "\0", "ig_1", "x" * 9_999])
def test_an_unknown_address_leads_to_no_frame(key: str) -> None:
    gallery = Gallery()
    shown(gallery, samples.done(content=samples.png()))
    known = address_of(the_item(gallery)).split("/")[1]
    assert gallery.frame(key, 0) is gallery.frame(known, 1) is gallery.frame(known, -1) is None
    assert gallery.stream_of(key) is None


# ---- watching, and threads


def test_a_watcher_is_called_after_each_change_until_it_stops() -> None:
    gallery = Gallery()
    versions: list[str] = []
    stop = gallery.watch(lambda: versions.append(gallery.changes()[0]))
    listen = gallery.add("otter")
    listen(ItemEnded("ig_1", State.FAILED, None))
    gallery.remove("otter")
    assert versions == sorted(set(versions))
    assert len(versions) == 3
    stop()
    stop()
    gallery.add("otter")
    assert len(versions) == 3


def test_viewers_in_many_threads_agree_in_the_end() -> None:
    gallery = Gallery(max_bytes=20_000, max_streams=50)
    gate, is_over = threading.Barrier(10), threading.Event()
    troubles: list[BaseException] = []

    def careful(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                gate.wait()
                work()
            except BaseException as error:  # noqa: BLE001 - it is told below
                troubles.append(error)

        return threading.Thread(target=run)

    def feed(number: int) -> None:
        for turn in range(20):
            assembler = shown(gallery, name=f"{number}-{turn}")
            for index in range(10):
                assembler.feed(samples.partial("ig_1", index))
            assembler.feed(samples.done("ig_1", samples.png(2, 2)))
            assembler.close()
            if turn % 3 == 0:
                gallery.remove(f"{number}-{turn}")

    viewers = [Viewer(gallery) for _ in range(5)]

    def look(viewer: Viewer) -> None:
        while not is_over.is_set():
            viewer.look()
            for facts in tuple(viewer.frames.values())[-3:]:
                frame_at(gallery, facts["url"])

    feeders = [careful(lambda number=number: feed(number)) for number in range(5)]  # type: ignore[misc]
    lookers = [careful(lambda viewer=viewer: look(viewer)) for viewer in viewers]  # type: ignore[misc]
    for thread in (*feeders, *lookers):
        thread.start()
    for thread in feeders:
        thread.join()
    is_over.set()
    for thread in lookers:
        thread.join()
    assert not troubles
    for viewer in viewers:
        assert viewer.look().knows() == fresh(gallery).knows()


def test_the_end_of_a_stream_may_arrive_twice() -> None:
    gallery = Gallery()
    listen = gallery.add("otter")
    for outcome in (Outcome.FAILED, Outcome.COMPLETED):
        listen(StreamEnded(outcome, None))
    assert fresh(gallery).streams["otter"]["outcome"] == "completed"
    gallery.remove("otter")
    assert gallery.names == ()


# ---- failures


BLOCKED = {"code": "moderation_blocked", "message": "Your request was rejected by the safety system."}


def test_the_previews_of_a_blocked_image_have_no_address() -> None:
    gallery, assembler = Gallery(), Assembler()
    gallery.add("otter", assembler)
    assembler.feed(samples.created())
    assembler.feed(samples.partial(index=0, content=samples.shade(0)))
    (preview,) = frames_of(the_item(gallery))
    assembler.feed({"type": "error", "error": BLOCKED})
    assembler.feed(samples.partial(index=1, content=samples.shade(1)))
    assembler.close()
    item = the_item(gallery)
    assert (item["kind"], item["frames"], item["has_ended"]) == ("blocked", [], True)
    for words in ("blocked", BLOCKED["message"].rstrip("."), "moderation_blocked", "its previews are hidden"):
        assert words in item["caption"]
    assert frame_at(gallery, preview["url"]) is None
    assert kept(gallery) == []
    assert len(assembler["ig_1"].partials) == 2


@pytest.mark.parametrize(
    ("error", "kind", "caption"),
    [
        (ProviderError("slow down", code="rate_limit_exceeded"), "failed", "failed: the service failed (rate_limit_ex"),
        (ProviderError("no", code="moderation_blocked"), "blocked", "blocked (moderation_blocked): no"),
        (ConnectionResetError("gone"), "failed", "incomplete: the stream was cut: ConnectionResetError: gone"),
    ],
)
def test_a_stream_that_raises_before_its_first_event_has_failed(error: Exception, kind: str, caption: str) -> None:
    gallery, assembler = Gallery(), Assembler()
    gallery.add("otter", assembler)
    ((_, before),) = fresh(gallery).streams.items()
    assert (before["kind"], before["caption"]) == ("waiting", "waiting for the first preview")
    assembler.close(error)
    ((_, facts),) = fresh(gallery).streams.items()
    assert facts["kind"] == kind
    assert facts["caption"].startswith(caption)


def test_the_beginning_of_a_stream_and_the_present_are_seconds_of_the_gallery() -> None:
    clock = Clock()
    clock.now = 1_000
    gallery = Gallery(clock=clock)
    clock.now = 1_002.5
    shown(gallery)
    clock.now = 1_010
    assert (gallery.changes()[1][0].facts["began_s"], gallery.now_s) == (2.5, 10)


# ---- closing, forking, and wrong arguments


def test_a_closed_gallery_keeps_what_it_has_and_takes_no_stream(alarms: list[Alarm]) -> None:
    gallery = Gallery()
    assembler = shown(gallery, samples.partial(), is_over=True)
    gallery.close()
    gallery.close()
    assert alarms[0].is_cancelled
    assert gallery.names == ("otter",)
    assert gallery.is_closed
    with pytest.raises(UsageError, match="this gallery was closed: make a new Gallery"):
        gallery.add("another", assembler)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"keep_s": "x"}, "keep_s is a number of seconds from 0, not 'x'"),
        ({"keep_s": -1}, "keep_s is a number of seconds from 0, not -1"),
        ({"keep_s": float("nan")}, "keep_s is a number of seconds from 0, not nan"),
        ({"keep_s": None}, "keep_s is a number of seconds from 0, not None"),
        ({"max_bytes": 0}, "max_bytes is a whole number from 1, not 0"),
        ({"max_bytes": 1e6}, "max_bytes is a whole number from 1, not 1000000.0"),
        ({"max_streams": True}, "max_streams is a whole number from 1, not True"),
        ({"clock": 5}, "clock is a function, and int cannot be called"),
    ],
)
def test_a_gallery_with_a_wrong_argument_is_a_usage_error(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Gallery(**options)


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((7,), {}, "name is a str, not 7"),
        (("otter", (96, 64)), {}, r"assembler is an Assembler, not tuple: gallery.add\(name, assembler\)"),
        (("otter",), {"title": 5}, "title is a str, not 5"),
        (("otter",), {"size": 96}, r"size is \(width, height\) in pixels, each at least 1, not 96"),
        (("otter",), {"size": "96x64"}, "size is"),
    ],
)
def test_a_stream_with_a_wrong_argument_is_a_usage_error(
    arguments: tuple[Any, ...], options: dict[str, Any], sentence: str
) -> None:
    gallery = Gallery()
    with pytest.raises(UsageError, match=sentence):
        gallery.add(*arguments, **options)
    assert gallery.names == ()


def test_a_title_is_shown_in_place_of_the_name() -> None:
    gallery = Gallery()
    gallery.add("job-1", title="an otter")
    gallery.add("job-2")
    assert [(change.facts["name"], change.facts["title"]) for change in gallery.changes()[1]] == [
        ("job-1", "an otter"),
        ("job-2", "job-2"),
    ]


IN_A_FORK = """
import os, sys, threading
import samples
from imgassemble import Assembler
from imgassemble.web import Gallery

gallery, assembler = Gallery(keep_s=0.05), Assembler()
listener = gallery.add("otter", assembler)
assembler.feed(samples.partial())
is_over = threading.Event()

def feed(name):
    while not is_over.is_set():
        gallery.add(name)
        gallery.remove(name)

threads = [threading.Thread(target=feed, args=(name,)) for name in ("busy", "busier")]
for thread in threads:
    thread.start()
position, failed = gallery.changes()[0], 0
for _ in range(20):
    child = os.fork()
    if not child:  # works as a gallery of its own
        has_gone = threading.Event()
        gallery.watch(lambda: "otter" in gallery.names or has_gone.set())
        assembler.close()
        has_changed = not gallery.is_known(position)
        os._exit(0 if has_changed and has_gone.wait(30) else 1)
    failed += os.waitpid(child, 0)[1]
is_over.set()
for thread in threads:
    thread.join()
sys.exit(failed or not gallery.is_known(position))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_a_working_gallery_of_its_own() -> None:
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", IN_A_FORK]  # of a fork with threads
    assert subprocess.run(command, env=environment, timeout=120).returncode == 0
