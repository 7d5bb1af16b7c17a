"""The laws of the lifecycle, each a property over streams as services could send them (tests/strategies.py)."""

from __future__ import annotations

import asyncio
import json
from collections import ChainMap, UserDict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType, SimpleNamespace
from typing import Any, TypeVar

import samples
import strategies as some
from hypothesis import example, given, settings
from hypothesis import strategies as st
from samples import Wire

from imgassemble import (
    Anomaly,
    Assembler,
    FinalReady,
    FinalWithdrawn,
    Frame,
    FrameAdded,
    ImgassembleError,
    IncompleteStreamError,
    Item,
    ItemEnded,
    Limits,
    Outcome,
    Result,
    State,
    StateChanged,
    StreamEnded,
    Update,
    UsageError,
    aiter_updates,
    iter_updates,
)

T = TypeVar("T")
ENDS = {State.COMPLETED, State.FAILED, State.INCOMPLETE}
CLIMB = {State.IN_PROGRESS: 0, State.GENERATING: 1, State.PARTIAL_IMAGE: 2, **dict.fromkeys(ENDS, 3)}
ORDER: tuple[tuple[type, ...], ...] = ((StateChanged,), (FrameAdded,), (FinalReady, FinalWithdrawn), (ItemEnded,))
TERMINAL = {"response.completed", "response.failed", "response.incomplete"}


def fed(events: Iterable[Any], **how: Any) -> Assembler:
    assembler = Assembler(**how)
    for event in events:
        assembler.feed(event)
    return assembler


def closed(events: Iterable[Any], **how: Any) -> Assembler:
    assembler = fed(events, **how)
    assembler.close()
    return assembler


def view(assembler: Assembler) -> tuple[Any, ...]:
    """All that convergence promises to be equal."""
    return dict(assembler.items), assembler.outcome, assembler.result and assembler.result.error


def steps(events: Iterable[Any], assembler: Assembler) -> Iterator[tuple[tuple[Update, ...], Mapping[str, Item]]]:
    """Return the updates and the items after each feed, and after the close."""
    for event in events:
        yield assembler.feed(event), assembler.items
    yield assembler.close(), assembler.items


def news(updates: Iterable[Update]) -> list[Update]:
    return [update for update in updates if not isinstance(update, (Anomaly, StreamEnded))]


def about(kind: type[T], item_id: str, updates: Iterable[Update]) -> list[T]:
    return [update for update in updates if isinstance(update, kind) and getattr(update, "item_id", None) == item_id]


def named_in(event: Wire) -> set[str]:
    """The ids of the images that an event of a Responses stream names."""
    if "response" in event:
        members = event["response"]["output"] if event["type"] in TERMINAL else []
    elif event["type"].startswith("response.image_generation_call."):
        return {event["item_id"]}
    else:
        members = [event["item"]] if "item" in event else []
    return {member["id"] for member in members if member["type"] == "image_generation_call"}


def only_of(item_id: str, event: Wire) -> Wire | None:
    """Return the part of an event that concerns one image or the whole stream."""
    if event["type"] in TERMINAL:
        response = event["response"]
        output = [each if each["id"] == item_id else {"type": "message"} for each in response["output"]]
        return {**event, "response": {**response, "output": output}}
    return event if not named_in(event) or item_id in named_in(event) else None


# 1. Keyed by item id


@given(some.responses_streams())
@settings(max_examples=some.cases(150))
def test_every_id_that_is_named_is_an_item_and_nothing_else_is(stream: list[Wire]) -> None:
    assert set(closed(stream).items) == set[str]().union(*map(named_in, stream))


@given(some.responses_streams(), st.data())
@settings(max_examples=some.cases(150))
def test_the_output_index_joins_no_items(stream: list[Wire], data: st.DataObject) -> None:
    with_other_places = [
        {**event, "output_index": data.draw(st.sampled_from((0, 6625.36)))} if "output_index" in event else event
        for event in stream
    ]
    expected = closed(stream).items
    assert {name: item.state for name, item in closed(with_other_places).items.items()} == {
        name: item.state for name, item in expected.items()
    }


@given(some.responses_streams(), st.data())
@settings(max_examples=some.cases(200))
def test_keyed_by_output_index_rotating_ids_give_the_items_that_constant_ids_give(
    stream: list[Wire], data: st.DataObject
) -> None:
    places = {item_id: f"output-{event['output_index']}" for event in stream if "output_index" in event
              for item_id in named_in(event)}  # fmt: skip
    for event in stream:
        if event["type"] in TERMINAL:
            members = event["response"]["output"]
            places |= {each["id"]: f"output-{at}" for at, each in enumerate(members) if each["id"] != "msg_1"}
    joined = closed([rotated(event, at) for at, event in enumerate(stream)], key_by="output_index")
    expected = closed(stream)

    def told(item: Item) -> tuple[Any, ...]:
        return item.state, item.partials, item.final, item.is_provisional, item.reason, item.output_index, item.usage

    assert {name: told(item) for name, item in joined.items.items()} == {
        places[name]: told(item) for name, item in expected.items.items()
    }
    assert joined.outcome is expected.outcome


def rotated(event: Wire, at: int) -> Wire:
    """The event as a service sends it whose ids change from event to event."""

    def other(member: Wire) -> Wire:
        return {**member, "id": f"{member['id']}-{at}"} if member["type"] == "image_generation_call" else member

    if event["type"] in TERMINAL:
        return {**event, "response": {**event["response"], "output": [*map(other, event["response"]["output"])]}}
    if "item" in event:
        return {**event, "item": other(event["item"])}
    return {**event, "item_id": f"{event['item_id']}-{at}"} if "item_id" in event else event


# 2. States only climb


@given(some.responses_streams(indexed=False).flatmap(some.arrivals))
@settings(max_examples=some.cases(250))
def test_a_state_only_climbs_and_an_end_gives_way_to_an_end_alone(events: list[Wire]) -> None:
    last: dict[str, State] = {}
    for _, items in steps(events, Assembler()):
        for name, item in items.items():
            assert CLIMB[item.state] >= CLIMB[last.get(name, State.IN_PROGRESS)]
            last[name] = item.state


@given(some.responses_streams(indexed=False).flatmap(some.arrivals))
@settings(max_examples=some.cases(150))
def test_state_changes_are_a_chain_from_none_to_the_state_of_the_item(events: list[Wire]) -> None:
    assembler = Assembler()
    told = [update for updates, _ in steps(events, assembler) for update in updates]
    for name, item in assembler.items.items():
        changes = about(StateChanged, name, told)
        assert [change.previous for change in changes] == [None, *(change.state for change in changes[:-1])]
        assert all(change.state is not change.previous for change in changes)
        assert changes[-1].state is item.state


# 3. Convergence


@given(some.responses_streams(), st.data())
@settings(max_examples=some.cases(600))
def test_any_order_and_any_repetition_give_the_same_items_error_and_outcome(
    stream: list[Wire], data: st.DataObject
) -> None:
    assert view(closed(data.draw(some.arrivals(stream)))) == view(closed(stream))


@given(some.responses_streams(), st.data())
@settings(max_examples=some.cases(150))
def test_convergence_holds_with_the_latest_partial_kept_alone(stream: list[Wire], data: st.DataObject) -> None:
    shuffled = data.draw(some.arrivals(stream))
    assert view(closed(shuffled, keep="latest")) == view(closed(stream, keep="latest"))


@given(some.good, some.good, st.permutations(range(2)), st.booleans())
@settings(max_examples=some.cases(100))
def test_one_slot_with_two_different_pictures_is_an_anomaly(
    one: bytes, other: bytes, order: list[int], is_result: bool
) -> None:
    make: Any = samples.done if is_result else (lambda name, content, seq: samples.partial(name, 0, content, seq=seq))
    events = [make("ig_1", one, seq=1), make("ig_1", other, seq=2)]
    assembler = fed([events[at] for at in order])
    assert [each.code for each in assembler["ig_1"].anomalies] == ["conflicting_picture"] * (one != other)
    assert assembler["ig_1"].latest is not None
    assert assembler["ig_1"].latest.data == other


@given(st.one_of(some.images_streams(), some.responses_streams(indexed=False)).flatmap(some.two_pieces))
@settings(max_examples=some.cases(300))
def test_a_resume_that_overlaps_changes_nothing(pieces: tuple[list[Wire], list[Wire]]) -> None:
    beginning, end = pieces
    repeated = [event for event in beginning if event in end]
    whole, resumed = fed(beginning), fed(beginning)
    for event in repeated:
        assert news(resumed.feed(event)) == []
    for event in end[len(repeated) :]:
        assert news(resumed.feed(event)) == news(whole.feed(event))
    resumed.close()
    whole.close()
    assert view(resumed) == view(whole)
    assert resumed.cursor == whole.cursor


@given(some.images_streams().flatmap(some.two_pieces))
@settings(max_examples=some.cases(150))
def test_what_is_repeated_of_an_images_stream_is_skipped(pieces: tuple[list[Wire], list[Wire]]) -> None:
    beginning, end = pieces
    repeated = [event for event in beginning if event in end]
    assembler = fed(beginning)
    before = assembler.skipped
    assert [update for event in repeated for update in assembler.feed(event)] == []
    assert assembler.skipped == before + len(repeated)


# 4. Partials are ordered by index


@given(some.responses_streams(indexed=False).flatmap(some.arrivals))
@settings(max_examples=some.cases(200))
def test_partials_are_ordered_by_index_one_for_each(events: list[Wire]) -> None:
    for _, items in steps(events, Assembler()):
        for item in items.values():
            assert all(one.index < other.index for one, other in pairwise(item.partials))  # type: ignore[operator]


@given(
    st.permutations(
        [samples.partial("ig_1", index, samples.shade(at), seq=at) for at, index in enumerate(some.INDICES)]
    )
)
@settings(max_examples=some.cases(100))
def test_the_latest_is_always_the_highest_index_so_far(events: list[Wire]) -> None:
    assembler, highest = Assembler(), -1.0
    for event in events:
        updates = assembler.feed(event)
        index = event["partial_image_index"]
        assert [each.is_latest for each in about(FrameAdded, "ig_1", updates)] == [index > highest]
        highest = max(highest, index)
        assert assembler.latest is not None
        assert assembler.latest.index == highest


@given(some.responses_streams(indexed=False).flatmap(some.arrivals), st.sampled_from(("all", "latest")))
@settings(max_examples=some.cases(250))
def test_the_latest_never_goes_back_unless_a_final_is_withdrawn(events: list[Wire], keep: str) -> None:
    last: dict[str, Item] = {}
    for _, items in steps(events, Assembler(keep=keep)):  # type: ignore[arg-type]
        for name, item in items.items():
            before = last.get(name)
            if before and not (before.final and not item.final):
                assert rank(item.latest) >= rank(before.latest)
            last[name] = item


def rank(frame: Frame | None) -> tuple[bool, float]:
    if frame is None:
        return False, -1
    return frame.is_final, -1 if frame.index is None else frame.index


@given(some.responses_streams(), st.sampled_from(("all", "latest")))
@settings(max_examples=some.cases(200))
def test_the_same_event_again_is_no_news(stream: list[Wire], keep: str) -> None:
    assembler = Assembler(keep=keep)  # type: ignore[arg-type]
    for event in stream:
        assembler.feed(event)
        assert news(assembler.feed(event)) == []


@given(some.responses_streams(indexed=False).flatmap(some.arrivals))
@settings(max_examples=some.cases(200))
def test_equal_bytes_of_one_item_share_one_buffer(events: list[Wire]) -> None:
    for item in closed(events).items.values():
        frames = [*item.partials, *([item.final] if item.final else [])]
        assert len({id(frame.data) for frame in frames}) == len({frame.data for frame in frames})


@given(st.lists(st.sampled_from(some.NO_INDICES), min_size=1, max_size=5), st.sampled_from((None, 0, 3, 0.5)))
@settings(max_examples=some.cases(100))
def test_an_index_that_is_none_counts_as_the_next_with_an_anomaly(bad: list[Any], first: float | None) -> None:
    known = [] if first is None else [samples.partial("ig_1", first)]
    events = [*known, *(samples.partial("ig_1", index, samples.shade(at + 40)) for at, index in enumerate(bad))]
    item = fed(events)["ig_1"]
    start = 0 if first is None else int(first) + 1
    expected = [*([] if first is None else [first]), *range(start, start + len(bad))]
    assert [frame.index for frame in item.partials] == expected
    assert [each.code for each in item.anomalies] == ["bad_index"] * len(bad)


# 5. Isolation


@given(some.responses_streams(most_events=18).flatmap(some.arrivals), st.booleans())
@settings(max_examples=some.cases(300))
def test_an_item_is_what_its_own_events_and_those_of_the_stream_make_it(events: list[Wire], is_closed: bool) -> None:
    make = closed if is_closed else fed
    for name, item in make(events).items.items():
        alone = make([own for event in events if (own := only_of(name, event))])[name]
        assert alone == item
        assert [each.code for each in alone.anomalies] == [each.code for each in item.anomalies]


any_stream = st.one_of(some.responses_streams(indexed=False), some.images_streams())


@given(st.lists(st.one_of(any_stream.map(lambda stream: stream[-1]), some.damaged_events()), max_size=8))
@settings(max_examples=some.cases(300))
def test_strict_raises_what_lenient_tells_and_leaves_everything_as_it_was(events: list[Wire]) -> None:
    strict, taken = Assembler(strict=True), list[Wire]()
    for event in events:
        before = dict(strict.items), strict.cursor, strict.skipped, strict.anomalies, strict.latest
        updates, error = attempt(strict, event)
        told = fed(taken).feed(event)
        if error:
            assert (dict(strict.items), strict.cursor, strict.skipped, strict.anomalies, strict.latest) == before
            assert next(each.error for each in told if isinstance(each, Anomaly)) == error
        else:
            assert updates == told
            taken.append(event)
    assert closed(taken).outcome is (strict.outcome or closing(strict))


def closing(strict: Assembler) -> Outcome | None:
    try:
        strict.close()
    except IncompleteStreamError:
        assert strict.outcome is Outcome.INCOMPLETE
    return strict.outcome


def attempt(assembler: Assembler, event: Any) -> tuple[tuple[Update, ...], ImgassembleError | None]:
    try:
        return assembler.feed(event), None
    except ImgassembleError as error:
        return (), error


@given(some.responses_streams())
@settings(max_examples=some.cases(150))
def test_a_strict_close_raises_where_the_outcome_is_incomplete_after_all_is_told(stream: list[Wire]) -> None:
    strict, told = Assembler(strict=True), list[Update]()
    for event in stream:
        attempt(strict, event)
    strict.subscribe(told.append)
    raised: list[ImgassembleError] = []
    try:
        strict.close()
    except ImgassembleError as error:
        raised.append(error)
    assert strict.result is not None
    is_incomplete = strict.outcome is Outcome.INCOMPLETE
    assert raised == ([strict.result.error] if is_incomplete else [])
    assert told[-1] == StreamEnded(strict.result.outcome, strict.result.error)
    assert strict.close() == ()


@given(some.responses_streams(), st.data())
@settings(max_examples=some.cases(150))
def test_trouble_with_one_event_costs_that_event_alone(stream: list[Wire], data: st.DataObject) -> None:
    noise = [b"\xff{", "[1]", None, 7, {}, {"type": ""}, *NAMELESS]
    mixed: list[Any] = []
    for event in stream:
        mixed += [*data.draw(st.lists(st.sampled_from(noise), max_size=2)), event]
    assert view(closed(mixed)) == view(closed(stream))


NAMELESS = (samples.partial(None, 0, output_index=None), samples.call("completed", None, output_index=None))


# 6. Totality


def survives(event: Any, **how: Any) -> None:
    """Feeding `event` and asking for everything afterwards raises nothing but an ImgassembleError."""
    assembler = Assembler(**how)
    updates, error = attempt(assembler, event)
    assert error is None or how.get("strict")
    repr(error)
    updates += assembler.close() if not how.get("strict") else ()
    for told in updates:
        assert isinstance(told, Update)
        json.dumps(told.as_dict())
        repr(told)
    for item in assembler.items.values():
        json.dumps(item.as_dict())
        repr(item)
    repr(assembler.result)


@given(some.json_events, st.booleans())
@settings(max_examples=some.cases(600))
def test_any_json_value_gives_updates_or_an_error_of_ours(value: Any, strict: bool) -> None:
    survives(value, strict=strict)
    survives(json.dumps(value), strict=strict)


@given(some.damaged_events(), st.booleans(), st.sampled_from(("item_id", "output_index")))
@settings(max_examples=some.cases(600))
def test_any_damaged_event_gives_updates_or_an_error_of_ours(event: Wire, strict: bool, key_by: str) -> None:
    survives(event, strict=strict, key_by=key_by)


@given(st.one_of(st.binary(), st.text(st.characters()), some.bodies))
@example('{"type": "keepalive", "said": "\ud800"}')
@settings(max_examples=some.cases(300))
def test_any_text_and_any_bytes_give_updates_or_an_error_of_ours(data: bytes | str) -> None:
    survives(data)
    if isinstance(data, bytes):
        survives(bytearray(data))
        survives(memoryview(data))


wrappings = st.sampled_from((MappingProxyType, UserDict, ChainMap, lambda each: SimpleNamespace(**each)))


@given(some.some_events, wrappings)
@settings(max_examples=some.cases(200))
def test_any_mapping_and_any_object_of_that_shape_say_what_a_dict_says(event: Wire, wrapping: Any) -> None:
    assert fed([wrapping(event)]).items == fed([event]).items


class Trap:
    """An object whose members cannot be asked for."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class MappingTrap(Mapping[str, Any]):
    """A mapping that has a type and fails on everything else."""

    def __getitem__(self, name: str) -> Any:
        if name == "type":
            return "response.image_generation_call.completed"
        raise RuntimeError(name)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        return 1


traps = st.sampled_from((Trap(), MappingTrap(), object(), int, len, [Trap()], {"type": Trap()}))


@given(traps, st.sampled_from((*some.NAMES,)))
@settings(max_examples=some.cases(100))
def test_an_object_that_raises_when_it_is_asked_is_an_error_of_ours(trap: Any, name: str) -> None:
    survives(trap)
    for kind in ("response.output_item.done", "response.failed", "error", "image_generation.completed", "images"):
        survives({"type": kind, name: trap})
        survives({"type": kind, "item": {"type": "image_generation_call", "id": "x", name: trap}})


@given(some.damaged_pictures())
@settings(max_examples=some.cases(400))
def test_a_damaged_picture_is_a_frame_or_an_anomaly_and_what_was_good_stays(text: str) -> None:
    assembler = fed([samples.partial("ig_1", 0, some.GOOD[0], seq=0)])
    updates = assembler.feed(samples.partial("ig_1", 1, text, seq=1))
    frames, anomalies = about(FrameAdded, "ig_1", updates), about(Anomaly, "ig_1", updates)
    assert (len(frames), len(anomalies)) in ((1, 0), (0, 1))
    assert assembler["ig_1"].partials[0].data == some.GOOD[0]
    assert len(assembler["ig_1"].partials) == 1 + len(frames)


# 7. Order of telling


@given(any_stream.flatmap(some.arrivals))
@settings(max_examples=some.cases(250))
def test_one_feed_tells_of_an_item_in_one_order_and_anomalies_last(events: list[Wire]) -> None:
    for updates, items in steps(events, Assembler()):
        kinds = [isinstance(update, Anomaly) for update in updates if not isinstance(update, StreamEnded)]
        assert kinds == sorted(kinds)
        for name in items:
            told = [update for update in news(updates) if getattr(update, "item_id", None) == name]
            places = [next(at for at, kind in enumerate(ORDER) if isinstance(update, kind)) for update in told]
            assert places == sorted(places)


@given(any_stream.flatmap(some.arrivals))
@settings(max_examples=some.cases(250))
def test_completed_is_never_told_as_an_end_before_its_final(events: list[Wire]) -> None:
    finals: dict[str, bool] = {}
    for updates, _ in steps(events, Assembler()):
        for update in updates:
            if isinstance(update, (FinalReady, FinalWithdrawn)):
                finals[update.item_id] = isinstance(update, FinalReady)
            if isinstance(update, ItemEnded) and update.state is State.COMPLETED:
                assert finals.get(update.item_id)


@given(any_stream.flatmap(some.arrivals))
@settings(max_examples=some.cases(250))
def test_the_last_final_that_was_told_is_the_final_of_the_item(events: list[Wire]) -> None:
    told: list[Update] = []
    for updates, items in steps(events, Assembler()):
        told += updates
        for name, item in items.items():
            finals: list[FinalReady | FinalWithdrawn] = about((FinalReady, FinalWithdrawn), name, told)  # type: ignore[arg-type]
            last = finals[-1] if finals else None
            if isinstance(last, FinalReady):
                assert (last.frame, last.is_provisional) == (item.final, item.is_provisional)
            else:
                assert item.final is None or item.is_provisional


@given(any_stream.flatmap(some.arrivals))
@settings(max_examples=some.cases(250))
def test_a_final_is_withdrawn_only_after_it_was_told_and_when_none_is_left(events: list[Wire]) -> None:
    held: dict[str, Frame] = {}
    for updates, items in steps(events, Assembler()):
        for update in updates:
            if isinstance(update, FinalReady):
                held[update.item_id] = update.frame
            if isinstance(update, FinalWithdrawn):
                assert held.pop(update.item_id) == update.frame
                assert items[update.item_id].final is None


@given(some.responses_streams(indexed=False).flatmap(some.arrivals))
@settings(max_examples=some.cases(250))
def test_a_provisional_final_is_told_only_when_nothing_better_can_come(events: list[Wire]) -> None:
    assembler = Assembler()
    is_over = False
    for event in events:
        is_over |= event["type"] in TERMINAL
        assert is_over or not [each for each in assembler.feed(event) if getattr(each, "is_provisional", False)]


@given(any_stream.flatmap(some.arrivals))
@settings(max_examples=some.cases(200))
def test_after_the_close_every_item_has_ended_and_that_was_told_last(events: list[Wire]) -> None:
    assembler = Assembler()
    told = [update for updates, _ in steps(events, assembler) for update in updates]
    assert assembler.result is not None
    assert told[-1] == StreamEnded(assembler.result.outcome, assembler.result.error)
    for name, item in assembler.items.items():
        assert about(ItemEnded, name, told)[-1].state is item.state


@given(any_stream.flatmap(some.arrivals))
@settings(max_examples=some.cases(150))
def test_listeners_are_told_what_feed_returns(events: list[Wire]) -> None:
    assembler, heard = Assembler(), list[Update]()
    assembler.subscribe(heard.append)
    assert [update for updates, _ in steps(events, assembler) for update in updates] == heard


@given(any_stream)
@settings(max_examples=some.cases(200))
def test_the_outcome_is_the_worst_of_the_items_and_the_response(stream: list[Wire]) -> None:
    result = closed(stream).result
    assert isinstance(result, Result)
    states = {item.state for item in result.items.values()}
    kinds = {event["type"] for event in stream}
    if states & {State.FAILED} or kinds & {"error", "response.failed"}:
        assert result.outcome is Outcome.FAILED
    elif states & {State.INCOMPLETE} or "response.incomplete" in kinds:
        assert result.outcome is Outcome.INCOMPLETE
    else:
        is_cut = kinds >= {"response.created"} and "response.completed" not in kinds
        assert result.outcome is (Outcome.COMPLETED if states else Outcome.INCOMPLETE if is_cut else Outcome.NO_IMAGE)
    assert (result.error is None) == (result.outcome is Outcome.COMPLETED)


# 8. Framing


def as_facts(updates: Iterable[Update]) -> list[dict[str, Any]]:
    return [update.as_dict() for update in updates]


def facts_or_error(updates: Iterable[Update]) -> list[dict[str, Any]]:
    """The updates, then the error if lines without their ends raise it."""
    facts: list[dict[str, Any]] = []
    try:
        facts.extend(update.as_dict() for update in updates)
    except UsageError as error:
        facts.append({"error": str(error)})
    return facts


@given(some.bodies, some.cuts)
@example(b"data: data: {}", [6])
@example(b"event: xdata: {}", [8])
@example(b"data: {}data: {}", [8])
@example(b" \xef\xbb\xbf{}", [1])
@example(b"\xef\xbb\xbf\xef\xbb\xbf{}", [3])
@example("\u2026".encode() * 40, [60])
@example(b"\0" * 70 + b"no stream at all, but some sort of text", [79])
@settings(max_examples=some.cases(500))
def test_the_same_bytes_cut_anywhere_give_the_same_updates(body: bytes, cuts: list[int]) -> None:
    expected = facts_or_error(iter_updates([body]))
    assert facts_or_error(iter_updates(some.pieces_of(body, cuts))) == expected
    assert facts_or_error(iter_updates([bytes([each]) for each in body])) == expected


@given(some.bodies, some.cuts)
@settings(max_examples=some.cases(200))
def test_the_same_bytes_cut_anywhere_meet_the_same_limits(body: bytes, cuts: list[int]) -> None:
    limits = Limits(max_event_bytes=60, max_total_bytes=90)
    whole, cut = Assembler(limits=limits), Assembler(limits=limits)
    assert facts_or_error(iter_updates(some.pieces_of(body, cuts), cut)) == facts_or_error(iter_updates([body], whole))


@given(some.bodies, some.cuts)
@settings(max_examples=some.cases(150))
def test_async_gives_the_same_updates_as_sync(body: bytes, cuts: list[int]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in some.pieces_of(body, cuts):
            yield piece

    async def collected() -> list[dict[str, Any]]:
        facts = []
        try:
            async for update in aiter_updates(chunks()):
                facts.append(update.as_dict())  # noqa: PERF401  # the updates before an error count
        except UsageError as error:
            facts.append({"error": str(error)})
        return facts

    assert asyncio.run(collected()) == facts_or_error(iter_updates(some.pieces_of(body, cuts)))


@given(any_stream)
@settings(max_examples=some.cases(150))
def test_events_and_their_bytes_give_the_same_updates(stream: list[Wire]) -> None:
    assert as_facts(iter_updates([samples.sse(stream)])) == as_facts(iter_updates(stream))


# Bounds


@given(some.responses_streams(indexed=False).flatmap(some.arrivals))
@settings(max_examples=some.cases(250))
def test_keeping_the_latest_alone_changes_no_latest_and_no_final(events: list[Wire]) -> None:
    everything, latest = Assembler(), Assembler(keep="latest")
    for (_, items), (_, kept) in zip(steps(events, everything), steps(events, latest), strict=True):
        assert items.keys() == kept.keys()
        for name, item in items.items():
            expected = item.latest, item.final, item.is_provisional, item.state, item.reason
            assert (kept[name].latest, kept[name].final, kept[name].is_provisional, kept[name].state,
                    kept[name].reason) == expected  # fmt: skip
            assert len(kept[name].partials) <= 1
    assert latest.outcome is everything.outcome
