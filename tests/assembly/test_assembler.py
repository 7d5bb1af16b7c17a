"""The assembler in a program: its events, updates, queries and refusals."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import logging
import pickle
import re
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import samples
import strategies as some
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Wire

from imgassemble import (
    Anomaly,
    Assembler,
    Cursor,
    DirectorySink,
    EventError,
    FinalReady,
    FinalWithdrawn,
    Frame,
    FrameAdded,
    FrameDecodeError,
    FrameEncodingError,
    FrameError,
    ImgassembleError,
    IncompleteStreamError,
    Item,
    ItemEnded,
    LimitError,
    Limits,
    Outcome,
    ProviderError,
    Result,
    State,
    StateChanged,
    StreamEnded,
    Update,
    UsageError,
    aassemble,
    assemble,
)

GOOD = samples.png(colour=(1, 2, 3))
OTHER = samples.png(3, 2, colour=(7, 7, 7))


def fed(*events: Any, **how: Any) -> Assembler:
    assembler = Assembler(**how)
    for event in events:
        assembler.feed(event)
    return assembler


def of(kind: type[Any], updates: tuple[Update, ...]) -> list[Any]:
    return [update for update in updates if isinstance(update, kind)]


def only_anomaly(updates: tuple[Update, ...]) -> Anomaly:
    (anomaly,) = of(Anomaly, updates)
    assert isinstance(anomaly, Anomaly)
    return anomaly


# The four founding events alone


def founding(item_id: str = "ig_1", index: float = 0, picture: bytes = GOOD, **more: Any) -> list[Wire]:
    return [
        samples.call("in_progress", item_id, **more),
        samples.call("generating", item_id, **more),
        samples.partial(item_id, index, picture, **more),
        samples.call("completed", item_id, **more),
    ]


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def pascal(name: str) -> str:
    return camel(name)[:1].upper() + camel(name)[1:]


def go(name: str) -> str:
    return "".join({"id": "ID", "b64": "B64"}.get(word, word.capitalize()) for word in name.split("_"))


def mixed(name: str) -> str:
    return go(name) if "b64" in name else camel(name) if "index" in name else name


SPELLINGS: dict[str, Callable[[str], str]] = {
    "snake_case": str,
    "camelCase": camel,
    "PascalCase": pascal,
    "Go": go,
    "mixed": mixed,
}
each_spelling = pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)


def spelled(event: Wire, spelling: Callable[[str], str]) -> Wire:
    return {spelling(name): value for name, value in event.items()}


@each_spelling
def test_the_four_founding_events_go_through_the_four_states(spelling: Callable[[str], str]) -> None:
    assembler = Assembler()
    states = []
    for event in founding(index=7871.03):
        assembler.feed(spelled(event, spelling))
        states.append(assembler["ig_1"].state)
    assert states == [State.IN_PROGRESS, State.GENERATING, State.PARTIAL_IMAGE, State.COMPLETED]


@each_spelling
def test_after_completed_the_final_is_the_last_partial_provisionally(spelling: Callable[[str], str]) -> None:
    item = fed(*(spelled(event, spelling) for event in founding(index=7871.03)))["ig_1"]
    assert item.final is item.partials[0]
    assert (item.final.index, item.final.data, item.is_provisional) == (7871.03, GOOD, True)


@each_spelling
def test_an_sdk_s_object_says_what_the_mapping_says(spelling: Callable[[str], str]) -> None:
    events = [spelled(event, spelling) for event in founding(output_index=6625.36)]
    assert fed(*(SimpleNamespace(**event) for event in events)).items == fed(*events).items


@pytest.mark.parametrize(
    "encode",
    [json.dumps, lambda event: json.dumps(event).encode(), lambda event: bytearray(json.dumps(event).encode())],
)
def test_json_text_and_json_bytes_say_what_the_mapping_says(encode: Callable[[Wire], Any]) -> None:
    assert fed(*map(encode, founding())).items == fed(*founding()).items


DOCUMENTED = (9914.45, 7977.54, 1141.42)


@pytest.mark.parametrize("indices", list(permutations(DOCUMENTED)))
def test_the_image_is_always_that_of_the_highest_index_so_far(indices: tuple[float, ...]) -> None:
    assembler, reds = Assembler(), []
    for index in indices:
        assembler.feed(samples.partial("ig_1", index, samples.png(colour=(DOCUMENTED.index(index), 0, 0))))
        image = assembler["ig_1"].image
        assert image is not None
        reds.append(image.getpixel((0, 0)))
    assert reds == [(DOCUMENTED.index(max(indices[: at + 1])), 0, 0) for at in range(3)]


def test_two_interleaved_items_that_share_an_output_index_stay_two() -> None:
    one = founding("ig_1", 1, GOOD, output_index=6625.36)
    other = founding("ig_2", 1, OTHER, output_index=6625.36)
    assembler = fed(*(event for pair in zip(one, other, strict=True) for event in pair))
    assert {name: item.final and item.final.data for name, item in assembler.items.items()} == {
        "ig_1": GOOD,
        "ig_2": OTHER,
    }


def test_partials_out_of_order_and_twice_are_kept_once_in_order() -> None:
    assembler = fed(*(samples.partial("ig_1", index) for index in (2, 0, 2, 1, 0)))
    assert [frame.index for frame in assembler["ig_1"].partials] == [0, 1, 2]


def test_a_partial_that_comes_twice_is_told_once() -> None:
    assembler = fed(samples.partial())
    assert assembler.feed(samples.partial()) == ()


def test_the_founding_events_tell_each_step_and_the_final_at_the_close() -> None:
    assembler = Assembler()
    told = [type(update) for event in founding() for update in assembler.feed(event)]
    assert told == [StateChanged, StateChanged, StateChanged, FrameAdded, StateChanged]
    assert [type(update) for update in assembler.close()] == [FinalReady, ItemEnded, StreamEnded]


# item.image


def damaged(colour: tuple[int, int, int]) -> bytes:
    """A PNG that is whole in its structure and has no pixels that can be read."""
    return samples.png(colour=colour).replace(b"IDAT\x78", b"IDAT\x79")


def test_a_partial_that_cannot_be_decoded_gives_the_one_before_it() -> None:
    item = fed(samples.partial("ig_1", 0, GOOD), samples.partial("ig_1", 1, damaged((5, 5, 5))))["ig_1"]
    assert item.image is not None
    assert item.image.getpixel((0, 0)) == (1, 2, 3)


def test_a_result_that_cannot_be_decoded_is_an_error_and_no_draft_in_its_place() -> None:
    item = fed(samples.partial("ig_1", 0, GOOD), samples.done("ig_1", damaged((5, 5, 5))))["ig_1"]
    with pytest.raises(FrameDecodeError):
        _ = item.image


def test_an_item_without_a_picture_has_no_image() -> None:
    assert fed(samples.added("ig_1"))["ig_1"].image is None


def test_the_image_is_decoded_once_and_kept() -> None:
    assembler = fed(samples.partial("ig_1", 0, GOOD))
    assert assembler["ig_1"].image is assembler["ig_1"].image


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_every_format_is_shown(form: str) -> None:
    item = fed(samples.done("ig_1", samples.picture(form)))["ig_1"]
    assert item.image is not None
    assert (item.image.size, item.final and item.final.format) == ((8, 6), form)


# Listeners


def test_a_listener_hears_every_update_until_it_is_unsubscribed() -> None:
    assembler, heard = Assembler(), list[Update]()
    unsubscribe = assembler.subscribe(heard.append)
    told = assembler.feed(samples.partial())
    unsubscribe()
    unsubscribe()
    assembler.close()
    assert tuple(heard) == told


def test_a_listener_hears_the_types_that_it_named() -> None:
    assembler, heard = Assembler(), list[Update]()
    assembler.subscribe(heard.append, FrameAdded, FinalReady)
    assembler.feed(samples.partial())
    assembler.feed(samples.done("ig_1", GOOD))
    assert [type(update) for update in heard] == [FrameAdded, FinalReady]


def test_a_listener_that_raises_is_logged_with_its_traceback_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assembler, heard = Assembler(), list[Update]()

    def broken(update: Update) -> None:
        raise RuntimeError("the window is gone")

    assembler.subscribe(broken)
    assembler.subscribe(heard.append)
    assert assembler.feed(samples.call("generating")) == tuple(heard)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "the window is gone" in str(record.exc_info and record.exc_info[1])


def test_a_listener_may_subscribe_another_at_the_first_event() -> None:
    assembler = Assembler()
    heard: list[Update] = []

    class Host:
        def __call__(self, update: Update) -> None:
            """Ignore it."""

        def note_first_event(self) -> None:
            assembler.subscribe(heard.append)

    assembler.subscribe(Host())
    assembler.subscribe(Host())
    updates = assembler.feed(samples.call("generating"))
    assert heard == 2 * [*updates]


@pytest.mark.parametrize("error", [RuntimeError("the clock is gone"), UsageError("the clock is gone")])
def test_a_listener_that_fails_on_the_first_event_is_logged_and_the_event_counts(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def __call__(self, update: Update) -> None:
            """Ignore it."""

        def note_first_event(self) -> None:
            raise error

    assembler, heard = Assembler(), list[Update]()
    assembler.subscribe(Broken())
    assembler.subscribe(heard.append)
    assert assembler.feed(samples.partial("ig_1", 0, GOOD)) == tuple(heard)
    assert not of(Anomaly, tuple(heard))
    (record,) = caplog.records
    assert record.getMessage() == "a listener failed on the first event; the stream goes on"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_listener_may_unsubscribe_itself_and_ask_the_assembler() -> None:
    assembler, seen = Assembler(), list[State]()

    def once(update: StateChanged) -> None:
        seen.append(assembler[update.item_id].state)
        unsubscribe()

    unsubscribe = assembler.subscribe(once, StateChanged)
    assembler.feed(samples.added())
    assembler.feed(samples.call("generating"))
    assert seen == [State.IN_PROGRESS]


def test_a_listener_of_the_union_of_updates_hears_every_update() -> None:
    assembler, heard = Assembler(), list[Update]()
    assembler.subscribe(heard.append, Update)
    told = assembler.feed(samples.partial("ig_1", 0, GOOD)) + assembler.feed("{") + assembler.close()
    assert tuple(heard) == told


def test_the_final_that_is_told_stays_the_final_when_the_snapshot_repeats_it() -> None:
    assembler = fed(samples.partial("ig_1", 0, OTHER))
    (told,) = of(FinalReady, assembler.feed(samples.done("ig_1", GOOD)))
    assert assembler.feed(samples.snapshot("completed", [samples.member("ig_1", GOOD)])) == ()
    assert assembler["ig_1"].final is told.frame


@pytest.mark.parametrize("is_close", [False, True])
def test_a_listener_that_feeds_or_closes_is_refused_and_the_others_hear_all_in_order(
    is_close: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assembler, before, after = Assembler(), list[Update](), list[Update]()
    assembler.subscribe(before.append)
    assembler.subscribe(lambda update: assembler.close() if is_close else assembler.feed(samples.added("ig_2")))
    assembler.subscribe(after.append)
    told = assembler.feed(samples.partial("ig_1", 0, GOOD)) + assembler.feed(samples.done("ig_1", OTHER))
    assert before == after == list(told)
    assert [type(update) for update in told] == [StateChanged, FrameAdded, StateChanged, FinalReady, ItemEnded]
    assert {record.exc_info and record.exc_info[0] for record in caplog.records} == {UsageError}
    assert (len(caplog.records), list(assembler.items), assembler.outcome) == (1, ["ig_1"], None)


async def a_coroutine(update: Update) -> None: ...


class ACallable:
    async def __call__(self, update: Update) -> None: ...


@pytest.mark.parametrize("callback", [a_coroutine, ACallable(), None, "print"])
def test_a_coroutine_function_and_what_cannot_be_called_are_no_listeners(callback: Any) -> None:
    with pytest.raises(UsageError):
        Assembler().subscribe(callback)


def test_what_is_no_type_of_update_is_not_listened_for() -> None:
    with pytest.raises(UsageError):
        Assembler().subscribe(print, int)


# The end


def test_feeding_after_the_close_is_wrong_use() -> None:
    assembler = fed()
    assembler.close()
    with pytest.raises(UsageError):
        assembler.feed(samples.added())


def test_a_second_close_tells_nothing() -> None:
    assembler = fed(samples.partial())
    assert of(StreamEnded, assembler.close())
    assert assembler.close() == ()


def test_outcome_and_result_are_none_until_the_close() -> None:
    assembler = fed(samples.done("ig_1", GOOD), samples.snapshot("completed"))
    seen: list[Any] = [assembler.outcome, assembler.result]
    assembler.close()
    seen += [assembler.outcome, assembler.result and assembler.result.items == assembler.items]
    assert seen == [None, None, Outcome.COMPLETED, True]


def test_the_final_of_the_only_image_is_the_final_of_the_result() -> None:
    final = assemble([samples.done("ig_1", GOOD)]).final
    assert final is not None
    assert final.data == GOOD


def test_no_image_is_no_final() -> None:
    assert assemble([]).final is None


def test_with_several_images_the_result_asks_which() -> None:
    with pytest.raises(UsageError, match="ig_2"):
        _ = assemble([samples.done("ig_1", GOOD), samples.done("ig_2", OTHER)]).final


@pytest.mark.parametrize(
    "how",
    [{"keep": "none"}, {"key_by": "id"}, {"keep": None}, {"limits": 5}, {"limits": 0}, {"limits": {"max_items": 1}}],
)
def test_an_argument_that_is_none_of_the_words_is_wrong_use(how: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Assembler(**how)


def test_the_result_holds_the_anomalies_of_no_item_and_the_error_has_the_newest_as_notes() -> None:
    events = [
        samples.partial("ig_1", 0, "%%%"),
        "{",
        *(samples.partial(None, at, output_index=None) for at in range(3)),
    ]
    result = assemble(events)
    assert [anomaly.code for anomaly in result.anomalies] == ["unreadable_event", *["missing_item_id"] * 3]
    with pytest.raises(ImgassembleError) as caught:
        result.raise_for_outcome()
    assert caught.value.__notes__ == [anomaly.message for anomaly in result.anomalies[1:]]


@pytest.mark.parametrize("events", [[samples.added()], [samples.added(), samples.error()], []])
def test_what_the_outcome_raises_is_an_equal_copy_each_time_and_the_kept_error_stays_as_it_is(
    events: list[Wire],
) -> None:
    result, raised = assemble([*events, "{"]), list[ImgassembleError]()
    assert result.error is not None
    for _ in range(3):
        with pytest.raises(type(result.error)) as caught:
            result.raise_for_outcome()
        raised.append(caught.value)
    assert raised == [result.error] * 3
    assert len({id(error) for error in (*raised, result.error)}) == 4
    assert [len(error.__notes__) for error in raised] == [1] * 3
    assert result.error.__traceback__ is None
    assert not hasattr(result.error, "__notes__")


def test_what_a_strict_close_raises_is_no_error_that_is_kept() -> None:
    assembler = fed(samples.added(), strict=True)
    with pytest.raises(ImgassembleError) as caught:
        assembler.close()
    kept = assembler.result.error if assembler.result else None
    assert kept is not None
    assert (caught.value, caught.value is kept, kept.__traceback__) == (kept, False, None)


@pytest.mark.parametrize("code", ["moderation_blocked", None])
def test_a_whole_answer_without_a_status_but_with_an_error_has_failed(code: str | None) -> None:
    answer = samples.answer("", [samples.member("ig_1", None, status=None)], error={"code": code, "message": "no"})
    del answer["status"]
    result = assemble([answer])
    assert (result.outcome, result.items["ig_1"].state) == (Outcome.FAILED, State.FAILED)
    assert isinstance(result.error, ProviderError)
    assert (result.error.code, result.error.message) == (code, "no")


def test_an_image_whose_completed_event_says_failed_has_failed() -> None:
    events = [samples.partial("ig_1", 0, GOOD), samples.call("completed", status="failed", error={"code": "x"})]
    item = fed(*events)["ig_1"]
    assert (item.state, item.final, item.latest and item.latest.data) == (State.FAILED, None, GOOD)
    assert isinstance(item.error, ProviderError)
    assert item.error.code == "x"


# Queries


def test_the_cursor_is_the_response_and_the_highest_number_heard() -> None:
    assembler = fed(samples.created("resp_1", seq=0), samples.added(seq=7), samples.call("generating", seq=3))
    assert assembler.cursor == Cursor("resp_1", 7)


def test_the_cursor_is_none_where_nothing_was_said() -> None:
    assert fed(samples.added()).cursor == Cursor(None, None)


def test_the_cursor_moves_with_events_that_are_not_for_us() -> None:
    assert fed({"type": "response.output_text.delta", "sequence_number": 12}).cursor.sequence_number == 12


def test_events_that_are_not_for_us_are_counted_and_tell_nothing() -> None:
    message = samples.done("msg_1") | {"item": {"type": "message", "id": "msg_1"}}
    others = [{"type": "keepalive"}, {"type": "response.output_text.delta", "delta": "x"}, message]
    assembler = Assembler()
    assert [assembler.feed(event) for event in others] == [(), (), ()]
    assert assembler.skipped == 3


def test_the_newest_100_anomalies_are_kept_for_the_stream_and_for_an_item() -> None:
    assembler = Assembler()
    for at in range(130):
        assembler.feed({"type": 7, "at": at})
        assembler.feed(samples.partial("ig_1", at, "%%%"))
    assert len(assembler.anomalies) == len(assembler["ig_1"].anomalies) == 100
    newest = assembler["ig_1"].anomalies[-1].error
    assert isinstance(newest, FrameError)
    assert newest.index == 129


def test_latest_is_the_best_picture_of_the_item_that_got_one_last() -> None:
    assembler = fed(
        samples.partial("ig_1", 5, GOOD), samples.partial("ig_2", 0, OTHER), samples.partial("ig_1", 4, OTHER)
    )
    latest = assembler.latest
    assert latest is not None
    assert (latest.data, latest.index) == (GOOD, 5)


def test_before_the_first_picture_there_is_no_latest() -> None:
    assert fed(samples.added()).latest is None


def test_an_item_that_was_never_named_is_a_key_error() -> None:
    assembler = fed(samples.added("ig_1"))
    assert "ig_1" in assembler
    assert "ig_2" not in assembler
    with pytest.raises(KeyError):
        assembler["ig_2"]


def test_items_stand_in_the_order_in_which_they_were_first_heard_of() -> None:
    assembler = fed(*(samples.added(name) for name in ("b", "a", "c")), samples.partial("a", 0))
    assert list(assembler.items) == ["b", "a", "c"]


def test_an_error_that_a_source_gives_in_an_event_s_place_is_told_as_an_anomaly() -> None:
    error = EventError("cut in the middle")
    assert only_anomaly(Assembler().feed(error)).error == error


@pytest.mark.parametrize("length", [1, 2, 3])
def test_an_error_of_the_caller_whose_causes_go_round_is_told_and_keeps_its_traceback(length: int) -> None:
    errors = [EventError(f"cut, {at}") for at in range(length)]
    for error, cause in zip(errors, [*errors[1:], errors[0]], strict=True):
        with pytest.raises(EventError):
            raise error from cause
    before = [(error.__traceback__, error.__cause__) for error in errors]
    assert only_anomaly(Assembler().feed(errors[0])).error == errors[0]
    with pytest.raises(EventError):
        Assembler(strict=True).feed(errors[0])
    assert [(error.__traceback__, error.__cause__) for error in errors] == before
    assert None not in [traceback for traceback, _ in before]


def test_a_repeat_is_one_of_its_own_response_s_numbers() -> None:
    first = samples.image_completed(GOOD, seq=5, response_id="resp_1")
    assembler = fed(first, samples.snapshot("completed", seq=6))
    assert assembler.feed(first) == ()
    assert of(FinalReady, assembler.feed({**first, "response_id": "resp_2"}))
    assert (assembler.skipped, assembler.cursor) == (1, Cursor("resp_2", 5))


def test_an_event_of_the_images_api_that_has_an_item_id_and_an_output_index_is_joined_by_either() -> None:
    events = [samples.image_partial(at, item_id=f"ig_{at}", output_index=7) for at in range(3)]
    joined = fed(*events, key_by="output_index")
    assert (list(joined.items), joined.anomalies) == (["output-7"], ())
    assert len(joined["output-7"].partials) == 3
    assert list(fed(*events).items) == ["ig_0", "ig_1", "ig_2"]
    assert fed(*events)["ig_0"].output_index == 7


# Values that cannot be changed


def test_the_caller_s_arguments_are_never_changed() -> None:
    events: list[Any] = [
        *founding(index=-1),
        samples.done("ig_1", GOOD, usage={"a": {"b": [1]}}, size="1x1"),
        samples.snapshot("failed", [samples.member("ig_1", status="failed")], error={"code": "x", "details": [{}]}),
        samples.answer("completed", [samples.member("ig_2", OTHER)], tool_usage={"image_gen": {"a": 1}}),
        {"data": [{"b64_json": samples.b64(GOOD)}], "usage": {"a": [1]}},
        bytearray(b'{"type": "keepalive"}'),
    ]
    before = deepcopy(events)
    assembler = fed(*events)
    assembler.close()
    assert events == before


@pytest.mark.parametrize("name", ["state", "final", "partials", "brand_new"])
def test_an_item_cannot_be_changed(name: str) -> None:
    item = fed(samples.done("ig_1", GOOD))["ig_1"]
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError, AttributeError)):
        setattr(item, name, None)


def test_the_items_cannot_be_changed() -> None:
    items: Any = fed(samples.done("ig_1", GOOD)).items
    with pytest.raises(TypeError):
        items["ig_2"] = items["ig_1"]


def test_the_usage_of_an_item_cannot_be_changed() -> None:
    usage: Any = fed(samples.done("ig_1", GOOD, usage={"total_tokens": 1}))["ig_1"].usage
    with pytest.raises(TypeError):
        usage["total_tokens"] = 2


USAGE = {"total_tokens": 3, "input_tokens_details": {"text": [1, 2]}}


def test_nothing_inside_the_usage_can_be_changed_and_json_takes_it() -> None:
    usage: Any = fed(samples.done("ig_1", GOOD, usage=USAGE))["ig_1"].usage
    changes: list[Callable[[], Any]] = [
        lambda: usage["input_tokens_details"].update(text=0),
        lambda: usage["input_tokens_details"]["text"].__setitem__(0, 9),
        lambda: usage.pop("total_tokens"),
        usage.clear,
        lambda: usage.__ior__({"total_tokens": 4}),
        lambda: usage.setdefault("more", 1),
    ]
    for change in changes:
        with pytest.raises((TypeError, AttributeError)):
            change()
    assert json.loads(json.dumps(usage)) == USAGE
    assert usage["total_tokens"] == 3


def test_the_items_of_a_result_cannot_be_changed_and_json_takes_them() -> None:
    items: Any = assemble([samples.done("ig_1", GOOD, usage=USAGE)]).items
    for change in (lambda: items.pop("ig_1"), lambda: items.update(ig_2=None), items.clear, items.popitem):
        with pytest.raises(TypeError):
            change()
    facts = json.loads(json.dumps(items, default=lambda each: each.as_dict()))
    assert (list(facts), facts["ig_1"]["usage"]) == (["ig_1"], USAGE)


def every_kind_of_value() -> Iterator[Any]:
    """An open item, ended ones, frames, a result, and each kind of update."""
    assembler = Assembler()
    told = list(assembler.feed(samples.partial("ig_1", 0, GOOD, seq=1)))
    yield assembler["ig_1"]
    for event in (
        samples.partial("ig_1", 1, "%%%", seq=2),
        samples.done("ig_1", OTHER, seq=3, usage=USAGE, revised_prompt="an otter", size="9x9"),
        samples.done("ig_2", samples.picture("JPEG"), seq=4),
        "{",
        samples.snapshot(
            "failed", [samples.member("ig_1", status="failed")], seq=5, error={"code": "x", "details": [USAGE]}
        ),
    ):
        told += assembler.feed(event)
    told += assembler.close()
    assert {type(update) for update in told} == {
        StateChanged, FrameAdded, FinalReady, FinalWithdrawn, ItemEnded, Anomaly, StreamEnded,
    }  # fmt: skip
    yield from told
    yield from assembler.items.values()
    yield from (assembler.result, assembler.items, assembler.cursor, assembler["ig_2"].final)


@pytest.mark.parametrize(
    "again", [deepcopy, copy, *(lambda value, n=n: pickle.loads(pickle.dumps(value, n)) for n in (2, 5))]
)
def test_a_copied_or_pickled_value_is_the_same_and_as_useful(again: Callable[[Any], Any]) -> None:
    for value in every_kind_of_value():
        copied = again(value)
        assert (copied, repr(copied)) == (value, repr(value))
        if isinstance(value, Item | Result):
            assert [each.code for each in copied.anomalies] == [each.code for each in value.anomalies]
        if isinstance(value, Item) and value.image:
            assert copied.image.tobytes() == value.image.tobytes()
        if isinstance(value, Item) and value.usage:
            with pytest.raises(TypeError):
                copied.usage["total_tokens"] = 0


def test_an_item_stays_as_it_was_when_it_was_asked_for() -> None:
    assembler = fed(samples.partial("ig_1", 0, GOOD, output_index=0))
    item, items = assembler["ig_1"], assembler.items
    assembler.feed(samples.done("ig_1", OTHER))
    assert (item.state, item.final) == (State.PARTIAL_IMAGE, None)
    assert items["ig_1"] == item


def test_what_a_caller_does_to_its_event_afterwards_changes_nothing() -> None:
    usage = {"total_tokens": 1}
    event = samples.done("ig_1", GOOD, usage=usage)
    assembler = fed(event)
    usage["total_tokens"] = 2
    event["item"].clear()
    assert assembler["ig_1"].usage == {"total_tokens": 1}


# Limits


def limited(event: Any, *before: Any, **limits: Any) -> tuple[Assembler, LimitError]:
    """The assembler that was fed `event` at last, and the only trouble that this gave."""
    assembler = fed(*before, limits=Limits(**limits))
    error = only_anomaly(assembler.feed(event)).error
    assert isinstance(error, LimitError)
    assert error.limit in limits
    assert str(error)
    return assembler, error


FIRST = samples.partial("ig_1", 0, GOOD)


@pytest.mark.parametrize("encode", [lambda event: event, str.encode, lambda event: memoryview(event.encode())])
def test_a_message_over_the_byte_limit_is_skipped(encode: Callable[[str], Any]) -> None:
    event = encode(json.dumps(samples.partial("ig_1", 1, OTHER)))
    assembler, error = limited(event, FIRST, max_event_bytes=len(event) - 1)
    assert error.actual == len(event)
    assert [frame.data for frame in assembler["ig_1"].partials] == [GOOD]


def test_the_byte_limit_of_a_text_counts_its_bytes() -> None:
    limited('{"type": "keepalive", "é": "' + "é" * 40 + '"}', max_event_bytes=100)


def test_a_message_of_just_the_limit_is_read() -> None:
    event = json.dumps(FIRST)
    assert fed(event, limits=Limits(max_event_bytes=len(event)))["ig_1"].partials


def test_a_picture_over_the_byte_limit_is_not_kept() -> None:
    big = samples.picture("JPEG")
    assembler, error = limited(samples.partial("ig_1", 1, big), FIRST, max_frame_bytes=len(big) - 1)
    assert (error.actual, error.item_id, len(assembler["ig_1"].partials)) == (len(big), "ig_1", 1)


def test_a_picture_over_the_pixel_limit_is_not_kept() -> None:
    assembler, error = limited(samples.partial("ig_1", 1, OTHER), FIRST, max_frame_pixels=5)
    assert (error.actual, error.item_id, len(assembler["ig_1"].partials)) == (6, "ig_1", 1)


def test_the_pixel_limit_is_read_off_the_header_of_a_bomb() -> None:
    header = samples.png()[:8] + samples.png_chunk(b"IHDR", bytes.fromhex("0000ffff0000ffff0802000000"))
    bomb = header + samples.png_chunk(b"IDAT", b"x") + samples.png_chunk(b"IEND")
    error = only_anomaly(fed(FIRST).feed(samples.done("ig_1", bomb))).error
    assert isinstance(error, LimitError)
    assert (error.limit, error.actual) == ("max_frame_pixels", 0xFFFF**2)


@pytest.mark.parametrize("claimed", [None, "png", "image/png"])
def test_a_format_that_is_not_allowed_is_not_kept_whatever_it_is_called(claimed: str | None) -> None:
    event = samples.partial("ig_1", 1, samples.picture("GIF"), output_format=claimed)
    assembler, error = limited(event, FIRST, formats=("PNG",))
    assert (error.actual, len(assembler["ig_1"].partials)) == ("GIF", 1)


@pytest.mark.parametrize("form", ["BMP", "TIFF", "ICO", "PPM", "TGA"])
@pytest.mark.parametrize("claimed", [None, "png"])
def test_a_format_that_is_never_allowed_is_no_picture_whatever_it_is_called(form: str, claimed: str | None) -> None:
    assembler = fed(FIRST)
    anomaly = only_anomaly(assembler.feed(samples.partial("ig_1", 1, samples.picture(form), output_format=claimed)))
    assert isinstance(anomaly.error, FrameDecodeError)
    assert [frame.data for frame in assembler["ig_1"].partials] == [GOOD]


def test_of_more_partials_than_the_limit_the_highest_stay() -> None:
    before = [samples.partial("ig_1", index) for index in (5, 1)]
    assembler, error = limited(samples.partial("ig_1", 3), *before, max_frames_per_item=2)
    assert [frame.index for frame in assembler["ig_1"].partials] == [3, 5]
    assert (error.actual, error.item_id) == (3, "ig_1")


def test_one_item_more_than_the_limit_is_not_kept_and_the_others_go_on() -> None:
    assembler, error = limited(samples.added("ig_2"), FIRST, max_items=1)
    assert (list(assembler.items), error.actual, error.item_id) == (["ig_1"], 2, "ig_2")
    assembler.feed(samples.done("ig_1", OTHER))
    assert assembler["ig_1"].state is State.COMPLETED


def test_a_snapshot_with_more_items_than_the_limit_keeps_the_first_ones() -> None:
    members = [samples.member(name, GOOD) for name in ("a", "b", "c")]
    assembler = fed(samples.snapshot("completed", members), limits=Limits(max_items=2))
    assert list(assembler.items) == ["a", "b"]


def test_a_picture_beyond_the_bytes_of_all_is_not_kept() -> None:
    assembler, error = limited(samples.partial("ig_2", 0, OTHER), FIRST, max_total_bytes=len(GOOD) + len(OTHER) - 1)
    assert error.actual == len(GOOD) + len(OTHER)
    assert ([len(item.partials) for item in assembler.items.values()]) == [1, 0]


def test_a_snapshot_of_20_000_new_items_is_no_endless_work_and_tells_at_most_100_anomalies() -> None:
    members = [{"type": "image_generation_call", "id": f"ig_{at}"} for at in range(20_000)]
    assembler = Assembler()
    updates = assembler.feed(samples.snapshot("completed", members))
    assert len(of(Anomaly, updates)) == len(assembler.anomalies) == 100
    assert len(of(StateChanged, updates)) == Limits().max_items
    assert ("ig_9999" in assembler, "ig_10000" in assembler) == (True, False)


def test_a_result_pushes_out_the_lowest_partials_of_its_item_where_the_bytes_of_all_are_used_up() -> None:
    partials = [samples.png(9, 9, colour=(at, 0, 0)) for at in range(4)]
    before = [samples.partial("ig_1", at, data) for at, data in enumerate(partials)]
    room = sum(map(len, partials)) + len(OTHER) - 1
    assembler, error = limited(samples.done("ig_1", OTHER), *before, max_total_bytes=room)
    item = assembler["ig_1"]
    assert (item.state, item.final and item.final.data) == (State.COMPLETED, OTHER)
    assert [frame.index for frame in item.partials] == [1, 2, 3]
    assert (error.actual, error.item_id) == (room + 1, "ig_1")


def test_a_result_pushes_out_the_partials_of_no_other_item() -> None:
    room = len(GOOD) + len(OTHER) - 1
    assembler, _ = limited(samples.done("ig_2", OTHER), FIRST, max_total_bytes=room)
    assert [frame.data for frame in assembler["ig_1"].partials] == [GOOD]
    assert assembler["ig_2"].final is None


def test_a_witness_that_changes_its_mind_uses_up_no_bytes() -> None:
    changes = [samples.done("ig_1", GOOD), samples.done("ig_1", None, status="failed")] * 40
    assembler = fed(*changes, samples.done("ig_1", GOOD), limits=Limits(max_total_bytes=len(GOOD)))
    assert (assembler["ig_1"].state, assembler["ig_1"].anomalies) == (State.COMPLETED, ())
    error = only_anomaly(assembler.feed(samples.partial("ig_2", 0, OTHER))).error
    assert isinstance(error, LimitError)
    assert error.actual == len(GOOD) + len(OTHER)


def test_a_prompt_of_any_length_is_kept_in_part() -> None:
    prompt = "an otter " * 600_000
    (kept,) = (item.revised_prompt for item in fed(samples.done("ig_1", GOOD, revised_prompt=prompt)).items.values())
    assert kept is not None
    assert 1_000 <= len(kept) <= 32_768
    assert prompt.startswith(kept)


@pytest.mark.parametrize(
    "event_of",
    [
        lambda name: samples.partial(name, 0, GOOD, output_index=None),
        lambda name: samples.done(name, GOOD, output_index=None),
    ],
)
def test_an_item_id_beyond_4096_characters_names_no_item(event_of: Callable[[str], Wire]) -> None:
    assembler = fed(event_of("x" * 4_096))
    assert list(assembler.items) == ["x" * 4_096]
    assert only_anomaly(assembler.feed(event_of("x" * 4_097))).code == "missing_item_id"
    assert len(assembler.items) == 1


def test_equal_bytes_of_an_item_count_once() -> None:
    assembler = fed(FIRST, samples.done("ig_1", GOOD), limits=Limits(max_total_bytes=len(GOOD)))
    assert assembler["ig_1"].state is State.COMPLETED


def test_keeping_the_latest_alone_frees_what_it_replaces() -> None:
    partials = [samples.partial("ig_1", index, samples.png(colour=(index, 0, 0))) for index in range(20)]
    most = max(len(samples.png(colour=(index, 0, 0))) for index in range(20))
    assembler = fed(*partials, keep="latest", limits=Limits(max_total_bytes=2 * most))
    assert [frame.index for frame in assembler["ig_1"].partials] == [19]
    assert assembler["ig_1"].anomalies == ()


@pytest.mark.parametrize(
    "how",
    [
        {"max_items": 0},
        {"max_event_bytes": 1.5},
        {"max_frame_pixels": 89_478_486},
        {"max_items": True},
        {"formats": ("BMP",)},
    ],
)
def test_a_limit_that_is_none_is_wrong_use(how: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Limits(**how)


# Bad input: each gives its typed error, and earlier good frames stay


def trouble(event: Any) -> Anomaly:
    """The only anomaly of an event; the partial that came before it is still there."""
    assembler = fed(FIRST)
    anomaly = only_anomaly(assembler.feed(event))
    assert assembler["ig_1"].partials[0].data == GOOD
    assert len(anomaly.message.split()) > 3
    assert anomaly.message == str(anomaly.error)
    return anomaly


@pytest.mark.parametrize(
    "text",
    [
        "%%%",
        "iVBOR",
        "",
        "   ",
        None,
        "é",
        "\ud800",
        "data:image/png;base64,",
        "iVBO=Rw0K",
    ],
)
@pytest.mark.parametrize("is_result", [False, True])
def test_base64_that_cannot_be_read_is_an_anomaly(text: str | None, is_result: bool) -> None:
    event = samples.image_completed(text or "") if is_result else samples.partial("ig_1", 1, text or "")
    event |= {"partial_image_b64": text} if not is_result else {}
    anomaly = trouble(event)
    assert anomaly.code == "bad_base64"
    assert isinstance(anomaly.error, FrameEncodingError)
    assert anomaly.error.item_id == ("image-0" if is_result else "ig_1")
    assert anomaly.error.index == (None if is_result else 1)


def readable_base64() -> Iterator[str]:
    text = samples.b64(OTHER)
    yield from (text, text.rstrip("="), text + "==", f" {text}\n", "\r\n".join(re.findall(".{1,5}", text)))
    yield from (f"data:image/png;base64,{text}", f"data:image/png;base64, {text}", f"DATA:;BASE64,{text}")
    yield text.replace("+", "-").replace("/", "_")


@pytest.mark.parametrize("text", list(readable_base64()))
def test_base64_as_services_write_it_is_read(text: str) -> None:
    assert fed(samples.partial("ig_1", 0, text))["ig_1"].partials[0].data == OTHER


def test_url_safe_letters_are_read() -> None:
    data = GOOD[:-12] + samples.png_chunk(b"teXt", b"\xfb\xff\xfe" * 9) + GOOD[-12:]
    text = samples.b64(data).replace("+", "-").replace("/", "_")
    assert "-" in text
    assert "_" in text
    assert fed(samples.partial("ig_1", 0, text))["ig_1"].partials[0].data == data


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_that_is_cut_at_any_byte_is_no_frame(form: str) -> None:
    whole = samples.picture(form)
    assembler = fed(FIRST)
    for length in range(1, len(whole)):
        anomaly = only_anomaly(assembler.feed(samples.partial("ig_1", 1, whole[:length])))
        assert anomaly.code == "bad_picture"
        assert isinstance(anomaly.error, FrameDecodeError)
        assert (anomaly.error.item_id, anomaly.error.index) == ("ig_1", 1)
    assert [frame.data for frame in assembler["ig_1"].partials] == [GOOD]


@pytest.mark.parametrize("index", [None, -1, -0.5, float("nan"), float("inf"), 2**53 + 1, 10**400, "1", True, [1], {}])
def test_an_index_that_is_none_counts_as_the_next(index: Any) -> None:
    assembler = fed(samples.partial("ig_1", 2.5, GOOD))
    updates = assembler.feed(samples.partial("ig_1", index, OTHER))
    anomaly = only_anomaly(updates)
    assert anomaly.code == "bad_index"
    assert isinstance(anomaly.error, FrameError)
    assert [frame.index for frame in assembler["ig_1"].partials] == [2.5, 3]
    assert of(FrameAdded, updates)[0].is_latest


@pytest.mark.parametrize("index", [0, 2**53, 0.25, 1e15])
def test_an_index_is_any_number_from_0_to_2_to_the_53(index: float) -> None:
    item = fed(samples.partial("ig_1", index, GOOD))["ig_1"]
    assert (item.partials[0].index, item.anomalies) == (index, ())


def test_the_next_index_is_one_that_an_index_may_be() -> None:
    item = fed(samples.partial("ig_1", 2**53, GOOD), samples.partial("ig_1", None, OTHER))["ig_1"]
    assert all(0 <= (frame.index or 0) <= 2**53 for frame in item.partials)


@pytest.mark.parametrize(
    "event",
    [
        samples.partial(None, 1, output_index=None),
        samples.call("completed", None, output_index=None),
        samples.done(None, GOOD, output_index=None),
        samples.added(None, output_index=None),
        samples.partial("ig_1", output_index=None) | {"item_id": 7},
    ],
)
def test_an_event_without_an_item_id_is_an_anomaly_of_the_stream(event: Wire) -> None:
    anomaly = trouble(event)
    assert (anomaly.code, anomaly.item_id) == ("missing_item_id", None)
    assert isinstance(anomaly.error, EventError)
    assert anomaly.error.event_type == event["type"]


@pytest.mark.parametrize("has_picture", [True, False])
def test_the_error_of_an_event_without_an_item_id_says_whether_it_brought_a_picture(*, has_picture: bool) -> None:
    picture = GOOD if has_picture else None
    errors = [anomaly.error for anomaly in assemble([samples.done(None, picture, output_index=None)]).anomalies]
    assert [isinstance(error, EventError) and error.has_picture for error in errors] == [has_picture]


UNREADABLE: tuple[Any, ...] = (
    b"",
    "",
    "{",
    b"\xff\xfe",
    "[1]",
    "7",
    "null",
    7,
    None,
    [],
    (),
    object(),
    {},
    {"type": 7},
    "[" * 100_000,
)


@pytest.mark.parametrize("event", UNREADABLE, ids=lambda event: repr(event)[:20])
def test_what_is_no_event_is_an_anomaly_of_the_stream(event: Any) -> None:
    anomaly = trouble(event)
    assert (anomaly.code, anomaly.item_id) == ("unreadable_event", None)
    assert isinstance(anomaly.error, EventError)


def test_lone_surrogates_that_are_escaped_in_json_text_are_read() -> None:
    item = fed(json.dumps(samples.done("ig_1", GOOD, revised_prompt="an otter \ud83e")))["ig_1"]
    assert item.state is State.COMPLETED
    json.dumps(item.as_dict()).encode()


def test_lone_surrogates_as_they_are_in_json_text_are_read() -> None:
    text = json.dumps(samples.done("ig_1", GOOD, revised_prompt="an otter \ud83e"), ensure_ascii=False)
    assert fed(text)["ig_1"].state is State.COMPLETED


@pytest.mark.parametrize("kind", ["response.image_generation_call.partial_image", "error", "response.failed", "x"])
def test_text_with_lone_surrogates_that_is_no_json_is_an_anomaly(kind: str) -> None:
    assert isinstance(trouble('{"type": "' + kind + '", "code": "\ud800').error, EventError)


FIELDS = ("sequence_number", "output_index", "partial_image_index")


@pytest.mark.parametrize("digits", [400, 5_000])
@pytest.mark.parametrize("field", FIELDS)
def test_an_integer_of_any_length_counts_as_missing(digits: int, field: str) -> None:
    event = samples.partial("ig_1", 0, GOOD, seq=1) | {field: 0}
    text = json.dumps(event).replace(f'"{field}": 0', f'"{field}": {"9" * digits}')
    assembler = Assembler()
    assembler.feed(text)
    if "ig_1" in assembler:
        assert assembler["ig_1"].partials[0].index == 0
        assert assembler.cursor.sequence_number in (1, None)
    else:
        assert isinstance(assembler.anomalies[0].error, EventError)


def wordings(number: int) -> Iterator[Wire]:
    yield samples.done("ig_2", GOOD, usage={"total_tokens": number})
    yield samples.done("ig_2", status="failed", error={"code": number, "message": "no"})
    yield samples.error() | {"error": {"code": "x", "message": number}}
    yield {"type": "error", "code": number, "message": "no"}
    yield samples.snapshot("failed", error=number)


@pytest.mark.parametrize("event", [*wordings(10**400), *wordings(10**5_000)], ids=lambda event: event["type"])
def test_an_integer_of_any_length_inside_a_service_s_words_breaks_nothing(event: Wire) -> None:
    assembler = fed(FIRST)
    updates = assembler.feed(event) + assembler.close()
    for told in (*updates, *assembler.items.values()):
        json.dumps(told.as_dict())
        repr(told)


@pytest.mark.parametrize("event", list(wordings(7)), ids=lambda event: event["type"])
def test_an_integer_of_5000_digits_in_json_text_breaks_nothing(event: Wire) -> None:
    assembler = fed(FIRST)
    updates = assembler.feed(json.dumps(event).replace(" 7", " 1" + "0" * 5_000)) + assembler.close()
    for told in (*updates, *assembler.items.values()):
        json.dumps(told.as_dict())
        repr(told)


def test_words_that_are_nested_without_end_are_read_to_a_depth() -> None:
    words: dict[str, Any] = {"code": "x", "message": "no"}
    words["details"] = words
    item = fed(samples.done("ig_1", status="failed", error=words))["ig_1"]
    assert len(json.dumps(item.as_dict())) < 5_000


@pytest.mark.parametrize("claim", [{"size": "1024x1024"}, {"output_format": "webp"}])
def test_the_bytes_are_believed_and_a_false_claim_is_an_anomaly(claim: dict[str, Any]) -> None:
    assembler = Assembler()
    anomaly = only_anomaly(assembler.feed(samples.done("ig_1", OTHER, **claim)))
    assert anomaly.code == "false_claim"
    final = assembler["ig_1"].final
    assert final is not None
    assert (final.format, final.size) == ("PNG", (3, 2))


@pytest.mark.parametrize("claim", [{"size": "1024x1024"}, {"output_format": "webp"}])
def test_a_false_claim_is_told_once_for_the_same_picture_in_one_place(claim: dict[str, Any]) -> None:
    result = samples.done("ig_1", OTHER, **claim)
    repeats = [result, result, samples.snapshot("completed", [samples.member("ig_1", OTHER, **claim)])]
    for events in ([samples.partial("ig_1", 0, OTHER, **claim)] * 3, repeats):
        assert [anomaly.code for anomaly in fed(*events)["ig_1"].anomalies] == ["false_claim"]


def megabyte(at: int) -> str:
    return f"{at:08}" * 131_072


class Unwilling:
    """An SDK's object that holds a megabyte and raises when it is asked for a member."""

    type = "response.image_generation_call.partial_image"

    def __init__(self, at: int) -> None:
        self.partial_image_b64 = megabyte(at)

    @property
    def item_id(self) -> str:
        raise RuntimeError


class Unkind:
    """An SDK's object that holds a megabyte, and cannot even tell its type."""

    def __init__(self, at: int) -> None:
        self.held = megabyte(at)

    @property
    def type(self) -> str:
        raise ZeroDivisionError


def padded(event: Wire, at: int) -> Wire:
    return event | {"padding": megabyte(at)}


HEAVY: dict[str, Callable[[int], Any]] = {
    "text that is no JSON": lambda at: '{"type": "error", "x": "' + megabyte(at),
    "bytes that are no JSON": lambda at: b'{"type": "error", "x": "' + megabyte(at).encode(),
    "text with a lone surrogate": lambda at: '{"type": "\ud800", "x": "' + megabyte(at),
    "bytes that are no UTF-8": lambda at: b'{"type": "' + megabyte(at).encode() + b"\xff\xfe",
    "JSON that is no object": lambda at: json.dumps([megabyte(at)]),
    "no type": lambda at: padded({"type": 7}, at),
    "an object that raises": Unwilling,
    "an object without a type": Unkind,
    "a type without end": lambda at: {"type": megabyte(at), "at": at},
    "an error of a source": lambda at: EventError(f"cut in the middle, {at}"),
    "too large": lambda at: json.dumps(samples.partial("ig_1", at, megabyte(at) * 2)),
    "no item id": lambda at: samples.partial(None, 0, megabyte(at), output_index=None),
    "an item id without end": lambda at: samples.partial(megabyte(at), 0, output_index=None),
    "no index": lambda at: padded(samples.partial("ig_1", None, samples.shade(at)), at),
    "an index that is none": lambda at: (
        samples.partial("ig_1", 0, samples.shade(at)) | {"partial_image_index": megabyte(at)}
    ),
    "bad base64": lambda at: samples.partial("ig_1", at, megabyte(at) + "%"),
    "base64 with strange letters": lambda at: samples.partial("ig_1", at, megabyte(at) + "é"),
    "a data: URL without base64": lambda at: samples.partial("ig_1", at, "data:image/png," + megabyte(at)),
    "no picture": lambda at: samples.partial("ig_1", at, megabyte(at)),
    "a picture that is cut": lambda at: samples.done("ig_1", samples.png()[:33] + megabyte(at).encode()),
    "a frame too large": lambda at: samples.done("ig_1", samples.png() + megabyte(at).encode() + bytes(2**19)),
    "a false claim": lambda at: padded(samples.partial("ig_1", at, samples.shade(at), size="9x9"), at),
    "a claim without end": lambda at: samples.partial("ig_1", at, samples.shade(at), output_format=megabyte(at)),
    "another picture in its place": lambda at: padded(samples.partial("ig_1", 0, samples.shade(at)), at),
    "too many items": lambda at: padded(samples.partial(f"ig_{at}", 0, samples.shade(at)), at),
    "a failure without end": lambda at: samples.done(
        f"ig_{at}", None, status="failed", error={"code": megabyte(at), "message": megabyte(at), megabyte(at): [at]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HEAVY)
def test_an_anomaly_does_not_keep_its_message_alive(kind: str) -> None:
    assembler = Assembler(limits=Limits(max_event_bytes=2_000_000, max_frame_bytes=1_500_000, max_items=7))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for at in range(30):
            assembler.feed(HEAVY[kind](at))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    anomalies = (*assembler.anomalies, *(each for item in assembler.items.values() for each in item.anomalies))
    assert anomalies or kind in ("a type without end", "a failure without end")
    assert after - before < 5_000_000


@pytest.mark.parametrize(
    "message",
    [
        samples.snapshot("completed", [{}] * 1_000_000),
        {"type": "response.completed", "response": {"output": [{}] * 1_000_000}},
        {"created": 1, "data": [{}] * 1_000_000},
        {
            "object": "chat.completion",
            "choices": [{"message": {"images": [{}] * 1_000, "content": [{}] * 1_000}}] * 500,
        },
    ],
)
def test_a_message_of_a_million_empty_members_takes_no_more_than_a_large_picture(message: Wire) -> None:
    assembler = Assembler()
    tracemalloc.start()
    try:
        assembler.feed(message)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 256 * 1024 * 1024


INCOMPLETE = {
    "the images are whole": (
        [samples.done(content=GOOD), samples.snapshot("incomplete", reason="max_output_tokens")],
        "images are whole",
    ),
    "there is none": ([samples.created(), samples.snapshot("incomplete", reason="content_filter")], "it has no image"),
    "one is not": (
        [samples.partial(), samples.snapshot("incomplete", reason="max_output_tokens")],
        "the service called 'ig_1' incomplete: max_output_tokens",
    ),
    "the service says why elsewhere": (
        [samples.partial(), samples.snapshot("incomplete", error={"code": "x", "message": "too dear"})],
        "incomplete: too dear",
    ),
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_an_incomplete_response_says_of_its_images_what_is_true(name: str) -> None:
    events, sentence = INCOMPLETE[name]
    error = assemble(events).error
    assert isinstance(error, IncompleteStreamError)
    assert sentence in str(error)


def test_base64_in_a_prompt_is_in_no_report() -> None:
    item = assemble([samples.done(revised_prompt=f"like this: data:image/png;base64,{samples.b64(GOOD) * 9}")]).items[
        "ig_1"
    ]
    assert item.revised_prompt is not None
    assert item.revised_prompt.startswith("like this: data:image/png")
    assert samples.b64(GOOD) not in repr(item) + str(item.as_dict())


BAD_EVENTS = (
    "{",
    samples.partial(None, 1, output_index=None),
    samples.partial("ig_1", -1),
    samples.partial("ig_1", 1, "%%%"),
    samples.partial("ig_1", 1, GOOD[:-1]),
    samples.partial("ig_1", 0, OTHER),
    samples.partial("ig_1", 1, OTHER, size="9x9"),
    samples.partial("ig_9", 1, samples.picture("GIF")),
)


@pytest.mark.parametrize("event", BAD_EVENTS, ids=lambda event: str(event)[-40:])
def test_strict_raises_the_error_of_the_anomaly_with_nothing_changed(event: Any) -> None:
    limits = Limits(formats=("PNG",))
    strict = fed(FIRST, strict=True, limits=limits)
    before = dict(strict.items), strict.cursor, strict.skipped, strict.anomalies
    expected = of(Anomaly, fed(FIRST, limits=limits).feed(event))[0].error
    with pytest.raises(ImgassembleError) as caught:
        strict.feed(event)
    assert caught.value == expected
    assert (dict(strict.items), strict.cursor, strict.skipped, strict.anomalies) == before


# Nothing shows base64


LONG_RUN = re.compile(r"[A-Za-z0-9+/=_-]{80,}")  # a sha256 has 64


def everything_that_can_be_shown() -> Iterator[Any]:
    from imgassemble import parse_event

    events: list[Any] = [
        *founding(picture=samples.picture("JPEG")),
        samples.partial("ig_1", -1, samples.picture("WEBP"), size="1x1"),
        samples.partial("ig_1", 0, samples.picture("GIF")),
        samples.partial("ig_1", 3, samples.picture("JPEG")[:-3]),
        samples.partial("ig_1", 4, samples.b64(samples.picture("JPEG"))[:-3]),
        samples.partial("ig_1", 5, f"data:image/jpeg,{samples.b64(samples.picture('JPEG'))}"),
        samples.done("ig_2", samples.picture("JPEG")),
        samples.done(None, samples.picture("JPEG")),
        json.dumps(samples.done("ig_3", samples.picture("JPEG")))[:-1],
        samples.b64(samples.picture("JPEG")),
        samples.image_partial(0, samples.picture("JPEG")),
        samples.image_completed(samples.picture("JPEG")),
        samples.snapshot("completed", [samples.member("ig_2", samples.picture("GIF"))]),
        {"data": [{"b64_json": samples.b64(samples.picture("JPEG"))}]},
        samples.answer("completed", [samples.member("ig_2", samples.picture("JPEG"))]),
    ]
    assembler = Assembler()
    for event in events:
        if isinstance(event, dict):
            yield parse_event(event)
        yield from assembler.feed(event)
    yield from assembler.close()
    yield from (assembler, assembler.result, assembler.items, assembler.anomalies, assembler.cursor)
    for item in assembler.items.values():
        yield from (item, item.partials, item.final, item.error, item.anomalies)


@pytest.mark.parametrize(
    "show", [repr, str, lambda thing: json.dumps(thing.as_dict()) if hasattr(thing, "as_dict") else ""]
)
def test_no_repr_and_no_report_holds_base64_or_bytes(show: Callable[[Any], str]) -> None:
    for thing in everything_that_can_be_shown():
        shown = show(thing)
        assert not LONG_RUN.search(shown)
        assert "/9j/4AAQ" not in shown
        assert "JFIF" not in shown


def test_no_log_line_holds_base64(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assembler = Assembler()
    assembler.subscribe(lambda update: 1 / 0)
    assembler.feed(samples.done("ig_1", samples.picture("JPEG")))
    assert not LONG_RUN.search(caplog.text)


def test_an_item_shows_itself_in_a_notebook() -> None:
    item: Item = fed(samples.done("ig_1", GOOD))["ig_1"]
    assert item._repr_mimebundle_()["image/png"] == samples.b64(GOOD)


# ---- letting go


def test_a_discarded_item_is_gone_and_late_words_of_it_are_passed_over() -> None:
    assembler = Assembler()
    assembler.feed(samples.partial("ig_1", 0))
    assembler.feed(samples.partial("ig_2", 0))
    item = assembler.discard("ig_1")
    assert len(item.partials) == 1
    assert "ig_1" not in assembler
    assert assembler.feed(samples.partial("ig_1", 1)) == ()
    assert assembler.skipped == 1
    assembler.feed(samples.snapshot("completed", [samples.member("ig_1"), samples.member("ig_2")]))
    assembler.close()
    assert assembler.result is not None
    assert list(assembler.result.items) == ["ig_2"]


def test_discarding_gives_its_bytes_back() -> None:
    picture = samples.png(40, 40)
    assembler = Assembler(limits=Limits(max_total_bytes=len(picture) + 10), strict=True)
    for number in range(20):
        assembler.feed(samples.done(f"ig_{number}", content=picture))
        assert assembler.discard(f"ig_{number}").final is not None


def test_an_item_that_is_unknown_cannot_be_discarded() -> None:
    with pytest.raises(KeyError):
        Assembler().discard("ig_1")


def test_a_listener_may_discard_and_the_others_still_find_the_item() -> None:
    assembler, found = Assembler(), list[Any]()
    assembler.subscribe(lambda update: assembler.discard(update.item_id), ItemEnded)
    assembler.subscribe(lambda update: found.append(assembler[update.item_id].final), ItemEnded)
    assembler.feed(samples.done("ig_1", content=GOOD))
    assert [frame.data for frame in found] == [GOOD]
    assert "ig_1" not in assembler
    assert assembler.latest is None


def test_an_assembler_that_serves_ten_thousand_items_one_after_the_other_does_not_grow() -> None:
    assembler, picture = Assembler(), samples.png(8, 8)

    def serve(numbers: range) -> None:
        for number in numbers:
            assembler.feed(samples.done(f"ig_{number}", content=picture))
            assembler.discard(f"ig_{number}")

    tracemalloc.start()
    serve(range(11_000))  # the newest 10,000 ids are remembered
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    serve(range(11_000, 21_000))
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 100_000


def test_a_response_that_names_them_all_again_at_its_end_brings_no_discarded_item_back() -> None:
    assembler = Assembler()
    ids = [f"ig_{number}" for number in range(9_000)]
    for item_id in ids:
        assembler.feed(samples.done(item_id, content=GOOD))
        assembler.discard(item_id)
    assert assembler.feed(samples.snapshot("completed", [samples.member(each, GOOD) for each in ids])) == ()
    assert dict(assembler.items) == {}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("completed", Outcome.COMPLETED), ("failed", Outcome.FAILED), ("incomplete", Outcome.INCOMPLETE)],
)
def test_what_was_discarded_counts_for_the_outcome(status: str, outcome: Outcome) -> None:
    assembler = Assembler()
    assembler.feed(samples.done("ig_1", content=GOOD if status == "completed" else None, status=status))
    assembler.discard("ig_1")
    assembler.close()
    assert assembler.outcome is outcome
    assert assembler.result is not None
    assert (assembler.result.error is None) is (status == "completed")


@pytest.mark.parametrize("moment", [StateChanged, FinalReady, ItemEnded])
def test_async_sinks_find_an_item_that_is_discarded_at_once(moment: type, tmp_path: Path) -> None:
    async def events() -> AsyncIterator[samples.Wire]:
        for item_id in ("ig_1", "ig_2"):
            yield samples.partial(item_id)
            yield samples.done(item_id, content=GOOD)

    assembler = Assembler()
    assembler.subscribe(lambda update: assembler.discard(update.item_id), moment)
    asyncio.run(aassemble(events(), assembler=assembler, sinks=[DirectorySink(tmp_path)]))
    assert dict(assembler.items) == {}
    if moment is not StateChanged:  # at the first of these nothing but the partial has come
        for item_id in ("ig_1", "ig_2"):
            assert json.loads((tmp_path / item_id / "item.json").read_bytes())["state"] == "completed"


def test_an_item_that_was_asked_for_does_not_hold_what_is_not_held_any_more() -> None:
    assembler, first = Assembler(keep="latest"), samples.png(colour=(1, 1, 1))
    assembler.feed(samples.partial("ig_1", 0, first))
    assert assembler["ig_1"].partials[0].data == first
    assembler.feed(samples.partial("ig_1", 1, samples.png(colour=(2, 2, 2))))
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Frame) and each.data == first]


def test_items_can_be_looked_at_in_other_threads_while_they_are_discarded() -> None:
    assembler, is_done = Assembler(), threading.Event()

    def look() -> int:
        looks = 0
        while not is_done.is_set():
            assert all(item.final and item.final.data == GOOD for item in assembler.items.values())
            latest = assembler.latest
            assert latest is None or latest.data == GOOD
            looks += 1
        return looks

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        for number in range(2_000):
            assembler.feed(samples.done(f"ig_{number}", content=GOOD))
            if number > 3:
                assembler.discard(f"ig_{number - 4}")
        is_done.set()
        assert all(each.result() for each in looking)


@pytest.mark.parametrize("keep", ["all", "latest"])
def test_what_is_held_is_what_max_total_bytes_says(keep: Any) -> None:
    limits = Limits(max_total_bytes=2_000_000)
    assembler = Assembler(limits=limits, keep=keep)
    gc.collect()
    tracemalloc.start()
    for number in range(60):
        for index in range(4):
            noise = random_png(number * 10 + index)
            assembler.feed(samples.partial(f"ig_{number}", index, content=noise))
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    frames = [frame for item in assembler.items.values() for frame in item.partials]
    total = sum(len(frame.data) for frame in frames)
    assert 0.5 * limits.max_total_bytes < total <= limits.max_total_bytes
    assert held < 1.25 * limits.max_total_bytes  # and the container around the bytes


@given(some.responses_streams(most_events=20), st.data(), st.sampled_from(["all", "latest"]), st.sampled_from([2, 9]))
@settings(max_examples=300)
def test_the_bytes_that_are_counted_are_those_that_are_held(
    stream: list[Wire], data: st.DataObject, keep: Any, most: int
) -> None:
    assembler = Assembler(keep=keep, limits=Limits(max_frames_per_item=most, max_total_bytes=500))
    for event in data.draw(some.arrivals(stream)):
        assembler.feed(event)
        held = [facts.pictures() for facts in assembler._held.facts.values()]
        counted = [sum({id(frame.data): len(frame.data) for frame in frames}.values()) for frames in held]
        assert [facts.n_bytes for facts in assembler._held.facts.values()] == counted
        assert assembler._held.total_bytes == sum(counted) <= 500


def random_png(seed: int) -> bytes:
    from random import Random

    return (
        samples.png(1, 1)[:-12]
        + samples.png_chunk(b"teXt", b"k\0" + Random(seed).randbytes(20_000))
        + samples.png_chunk(b"IEND")
    )
