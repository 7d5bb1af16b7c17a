"""Several responses in one stream do not affect each other: laws, and streams as services send them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import samples
import strategies as some
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Wire

from imgassemble import (
    Assembler,
    IncompleteStreamError,
    Item,
    Outcome,
    ProviderError,
    Result,
    State,
    StateChanged,
    UsageError,
)
from imgassemble.assembly import item_names
from imgassemble.errors import quoted

GOOD = samples.png(colour=(1, 2, 3))
OTHER = samples.png(3, 2, colour=(7, 7, 7))


def result_of(events: Iterable[Any], **how: Any) -> Result:
    assembler = Assembler(**how)
    for event in events:
        assembler.feed(event)
    assembler.close()
    assert assembler.result is not None
    return assembler.result


def renamed(error: object, names: Mapping[str, str]) -> str:
    """The words of an error, with each item named as on the wire."""
    sentence = f"{type(error).__name__}: {error}"
    for name, wire_id in sorted(names.items(), key=lambda pair: -len(pair[0])):
        sentence = sentence.replace(quoted(name), quoted(wire_id))
    return " ".join(sorted(re.split("[ ,]+", sentence)))  # several names are in the order of the names


def wire_id_of(name: str) -> str:
    return name.partition("@")[0]


def item_facts(item: Item, names: Mapping[str, str]) -> tuple[Any, ...]:
    """All about an item apart from its name."""
    frames = item.partials, item.final, item.is_provisional
    details = item.output_index, item.usage, item.revised_prompt, item.settings, item.url, item.response_id
    return item.state, frames, item.reason, details, renamed(item.error, names)


def by_response(result: Result) -> dict[Any, tuple[Any, ...]]:
    """For each response, by its id and lane: its summary, and its items by their ids on the wire."""
    names = {name: wire_id_of(name) for name in result.items}
    found = {}
    for summary in result.responses:
        facts = summary.outcome, summary.reason, summary.usage, summary.text, renamed(summary.error, names)
        found[summary.id, summary.lane] = facts
    return found


def items_of(result: Result, names: Mapping[str, str] | None = None) -> list[Any]:
    names = {name: wire_id_of(name) for name in result.items}
    return [(names[name], item_facts(item, names)) for name, item in result.items.items()]


def without_order(items: list[Any]) -> list[str]:
    return sorted(map(repr, items))


# 5. Responses never affect each other


@given(some.lanes().flatmap(lambda lanes: st.tuples(st.just(lanes), some.interleaved(list(lanes.values())))))
@settings(max_examples=some.cases(1600))
def test_any_interleaving_of_lanes_gives_what_each_lane_alone_gives(
    drawn: tuple[dict[str, list[Wire]], list[Wire]],
) -> None:
    lanes, events = drawn
    together, alone = result_of(events), [result_of(lane) for lane in lanes.values()]
    assert without_order(items_of(together)) == without_order([item for each in alone for item in items_of(each)])
    summaries: dict[Any, Any] = {}
    for each in alone:
        summaries |= by_response(each)
    assert by_response(together) == summaries


@given(some.whole_responses())
@settings(max_examples=some.cases(1600))
def test_responses_one_after_the_other_give_what_each_alone_gives(responses: list[list[Wire]]) -> None:
    together, alone = result_of(event for each in responses for event in each), [result_of(each) for each in responses]
    assert items_of(together) == [item for each in alone for item in items_of(each)]
    summaries: dict[Any, Any] = {}
    for each in alone:
        summaries |= by_response(each)
    assert by_response(together) == summaries


@given(some.whole_responses(), st.data())
@settings(max_examples=some.cases(1200))
def test_whole_responses_that_come_again_change_nothing(responses: list[list[Wire]], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(responses), max_size=3))
    events = [event for each in responses for event in each]
    again = result_of([*events, *(event for each in repeated for event in each)])
    once = result_of(events)
    assert again == once


@given(some.whole_responses(), st.data())
@settings(max_examples=some.cases(1200))
def test_each_response_converges_in_any_order_of_its_events(responses: list[list[Wire]], data: st.DataObject) -> None:
    shuffled = [[each[0], *data.draw(st.permutations(each[1:]))] for each in responses]
    expected = result_of(event for each in responses for event in each)
    found = result_of(event for each in shuffled for event in each)
    assert without_order(items_of(found)) == without_order(items_of(expected))
    assert by_response(found) == by_response(expected)


@given(some.lanes().flatmap(lambda lanes: some.interleaved(list(lanes.values()))), st.data())
@settings(max_examples=200)
def test_a_strict_assembler_that_raises_has_changed_nothing(events: list[Wire], data: st.DataObject) -> None:
    strict, lenient = Assembler(strict=True), Assembler()
    for event in events:
        try:
            strict.feed(event)
        except Exception:  # noqa: BLE001 - the event is left out
            continue
        lenient.feed(event)
    assert dict(strict.items) == dict(lenient.items)
    assert (strict.cursor, strict.skipped) == (lenient.cursor, lenient.skipped)


@given(some.lanes().flatmap(lambda lanes: some.interleaved(list(lanes.values()))), st.data())
@settings(max_examples=200)
def test_discarding_items_takes_all_their_names(events: list[Wire], data: st.DataObject) -> None:
    assembler = Assembler()
    for event in events:
        assembler.feed(event)
        for name in data.draw(st.sets(st.sampled_from(sorted(assembler.items)))) if assembler.items else ():
            assembler.discard(name)
    for name in list(assembler.items):
        assembler.discard(name)
    held = assembler._held
    assert (held.facts, held.owners, held.total_bytes) == ({}, {}, 0)
    for record in held.responses.values():
        assert (record.names, record.items, record.places, record.assumed) == ({}, {}, {}, {})
    assembler.close()


# Streams as services send them


def of_id(response_id: str, *events: Wire) -> list[Wire]:
    return some.of_response(list(events), response_id)


def turn(response_id: str, item_id: str, picture: bytes = GOOD) -> list[Wire]:
    """A whole response with one image, numbered from 0."""
    events = [
        samples.created(),
        samples.partial(item_id, 0),
        samples.done(item_id, picture),
        samples.snapshot("completed"),
    ]
    return of_id(response_id, *({**event, "sequence_number": at} for at, event in enumerate(events)))


def test_an_item_id_that_an_ended_response_used_gives_an_item_of_its_own() -> None:
    result = result_of([*turn("resp_1", "ig_0", GOOD), *turn("resp_2", "ig_0", OTHER)])
    assert {name: item.require_final().data for name, item in result.items.items()} == {
        "ig_0": GOOD,
        "ig_0@resp_2": OTHER,
    }
    assert [item.response_id for item in result.items.values()] == ["resp_1", "resp_2"]
    assert [frame.data for frame in result.finals] == [GOOD, OTHER]


def test_a_response_whose_beginning_is_missing_begins_after_the_end_of_the_one_before() -> None:
    first, second = turn("resp_1", "ig_1"), turn("resp_2", "ig_2")
    result = result_of([*first, *second[1:]])
    assert {name: item.response_id for name, item in result.items.items()} == {"ig_1": "resp_1", "ig_2": "resp_2"}
    assert result.outcome is Outcome.COMPLETED


def test_with_key_by_the_place_of_a_second_response_is_an_item_of_its_own() -> None:
    result = result_of([*turn("resp_1", "a"), *turn("resp_2", "b")], key_by="output_index")
    assert list(result.items) == ["output-0", "output-0@resp_2"]


def test_names_are_unique_even_if_the_service_takes_them_first() -> None:
    result = result_of([*turn("resp_0", "ig@resp_2"), *turn("resp_1", "ig"), *turn("resp_2", "ig")])
    assert len(result.items) == 3


def test_a_retry_on_the_same_connection_makes_up_for_the_failure() -> None:
    failed = of_id("resp_1", samples.created(), samples.error(seq=1), samples.snapshot("failed", error={"code": "x"}))
    result = result_of([*failed, *turn("resp_2", "ig_2")])
    assert (result.outcome, result.error) == (Outcome.COMPLETED, None)
    assert [each.outcome for each in result.responses] == [Outcome.FAILED, Outcome.COMPLETED]
    assert [each.id for each in result.responses] == ["resp_1", "resp_2"]


def test_an_error_without_a_number_before_any_response_does_not_fail_the_next() -> None:
    result = result_of([samples.error(), *turn("resp_1", "ig_1")])
    assert result.outcome is Outcome.COMPLETED
    assert len(result.responses) == 2


def test_the_successor_of_a_steered_response_is_the_last_one() -> None:
    steered = of_id(
        "resp_1", samples.created(), samples.added("ig_1"), samples.snapshot("incomplete", reason="steered")
    )
    result = result_of([*steered, *turn("resp_2", "ig_2")])
    assert {name: item.state for name, item in result.items.items()} == {
        "ig_1": State.INCOMPLETE,
        "ig_2": State.COMPLETED,
    }
    assert [(each.outcome, each.reason) for each in result.responses] == [
        (Outcome.INCOMPLETE, "steered"),
        (Outcome.COMPLETED, None),
    ]


def test_a_steered_response_without_an_image_does_not_count() -> None:
    steered = of_id("resp_1", samples.created(), samples.snapshot("incomplete", reason="steered"))
    assert result_of([*steered, *turn("resp_2", "ig_2")]).outcome is Outcome.COMPLETED


def test_responses_side_by_side_without_lanes_keep_their_items() -> None:
    one, two = turn("resp_1", "ig_1"), turn("resp_2", "ig_2", OTHER)
    events = [one[0], two[0], one[1], two[1], two[2], one[2], two[3], one[3]]
    one[3]["response"]["output"] = [samples.member("ig_1", GOOD)]
    result = result_of(events)
    assert {name: (item.state, item.response_id) for name, item in result.items.items()} == {
        "ig_1": (State.COMPLETED, "resp_1"),
        "ig_2": (State.COMPLETED, "resp_2"),
    }


def test_an_item_that_turns_out_to_belong_to_another_response_reports_its_state() -> None:
    assembler = Assembler()
    for event in (samples.snapshot("incomplete"), samples.done("ig_1"), samples.error()):
        assembler.feed(event)
    assert assembler["ig_1"].state is State.FAILED
    updates = assembler.feed(samples.snapshot("incomplete", [samples.member("ig_1")]))
    assert updates == (StateChanged("ig_1", State.COMPLETED, State.FAILED),)
    assert assembler.items["ig_1"].state is State.COMPLETED


def test_an_error_of_a_lane_fails_that_lane_alone_and_one_without_a_lane_fails_all_open_ones() -> None:
    def lane(name: str) -> list[Wire]:
        return some.of_response([samples.created(), samples.partial(f"ig_{name}", 0)], f"resp_{name}", name)

    broken = [*lane("a"), *lane("b"), {**samples.error(), "stream_id": "b"}]
    assert [item.state for item in result_of(broken).items.values()] == [State.INCOMPLETE, State.FAILED]
    all_broken = [*lane("a"), *lane("b"), samples.error()]
    assert [item.state for item in result_of(all_broken).items.values()] == [State.FAILED, State.FAILED]


def test_other_ids_while_a_response_is_open_are_names_of_that_response() -> None:
    events = [
        samples.created("resp_1"),
        samples.partial("ig_1", 0) | {"response_id": "resp_2"},
        samples.done("ig_1", GOOD) | {"response_id": "resp_3"},
        *of_id("resp_4", samples.snapshot("completed")),
    ]
    result = result_of(events)
    assert [each.id for each in result.responses] == ["resp_1"]
    assert result.items["ig_1"].response_id == "resp_1"


def test_the_cursor_follows_the_response_that_was_heard_last() -> None:
    assembler = Assembler()
    for event in [*turn("resp_1", "ig_1"), *turn("resp_2", "ig_2")[:2]]:
        assembler.feed(event)
    assert (assembler.cursor.response_id, assembler.cursor.sequence_number) == ("resp_2", 1)


def test_many_responses_without_images_are_forgotten_and_their_lanes_too() -> None:
    assembler = Assembler()
    for at in range(3_000):
        assembler.feed({**samples.created(f"resp_{at}"), "stream_id": f"lane_{at}"})
    held = assembler._held
    assert max(len(held.responses), len(held.lanes), len(held.ids)) <= 1_001


def test_an_image_whose_place_changes_with_every_event_takes_no_more_and_more_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(item_names, "_MAX_PLACES", 10)
    assembler = Assembler()
    for place in range(30):
        assembler.feed(samples.partial("ig_1", place, output_index=place))
    assert len(assembler._held.owners["ig_1"].places) == 10
    assert len(assembler["ig_1"].partials) == 30


def test_a_summary_has_what_the_service_reported() -> None:
    usage = {"input_tokens": 3}
    snapshot = samples.snapshot("completed", [{"type": "message", "content": [{"type": "output_text", "text": "No."}]}])
    snapshot["response"] |= {"model": "gpt-5", "usage": usage, "tool_usage": {"image_gen": {"output_tokens": 5}}}
    (summary,) = result_of([samples.created(), snapshot]).responses
    assert (summary.model, summary.usage, summary.image_usage) == ("gpt-5", usage, {"output_tokens": 5})
    assert (summary.text, summary.outcome) == ("No.", Outcome.NO_IMAGE)


def test_an_item_has_the_settings_that_the_service_reported() -> None:
    settings_said: Wire = {
        "size": "1x1",
        "quality": "high",
        "background": "opaque",
        "output_format": "png",
        "action": "edit",
    }
    item = result_of(
        [samples.partial("ig_1", 0, model="gpt-image-2"), samples.done("ig_1", GOOD, **settings_said)]
    ).items["ig_1"]
    assert item.settings == {**settings_said, "model": "gpt-image-2"}


# Missing ids


def test_a_result_without_an_id_belongs_to_the_item_at_its_place() -> None:
    result = result_of([samples.added("ig_1"), samples.done(None, GOOD)])
    assert result.items["ig_1"].require_final().data == GOOD


def test_an_item_without_an_id_keeps_its_name_when_the_id_arrives() -> None:
    result = result_of([samples.partial(None, 0, output_index=1), samples.done("ig_1", GOOD, output_index=1)])
    assert {name: item.state for name, item in result.items.items()} == {"output-1": State.COMPLETED}


def test_a_result_without_an_id_that_the_response_holds_belongs_to_that_item_at_whatever_place() -> None:
    events = [samples.done("ig_1", GOOD, output_index=1), samples.snapshot("completed", [samples.member(None, GOOD)])]
    assert list(result_of(events).items) == ["ig_1"]


def test_a_third_id_at_one_place_is_an_anomaly_that_names_the_way_out() -> None:
    anomalies = result_of([samples.added("a"), samples.partial("b", 0), samples.done("c", GOOD)]).anomalies
    assert [each.code for each in anomalies] == ["changing_ids"]
    assert all("key_by" in each.message and "--key-by" in each.message for each in anomalies)


def test_announced_items_at_one_place_are_no_anomaly() -> None:
    events = [samples.added(name) for name in ("a", "b", "c", "d")]
    assert result_of(events).anomalies == ()


def test_ids_that_change_with_every_event_are_reported_once() -> None:
    events = [samples.partial(f"ig_{at}", 0) for at in range(20)]
    assert [each.code for each in result_of(events).anomalies] == ["changing_ids"]


def test_other_ids_at_the_place_of_a_whole_item_are_no_anomaly() -> None:
    events = [samples.done(name, GOOD) for name in ("a", "b", "c", "d")]
    assert result_of(events).anomalies == ()


def test_an_empty_id_is_an_id() -> None:
    assert list(result_of([samples.added(""), samples.done("", GOOD)]).items) == [""]


# True repeats


@pytest.mark.parametrize("numbers", [(0, 0, 0, 0), (3, 2, 1, 0), (0, 1, 0, 1), (None,) * 4])
def test_numbers_that_are_constant_restart_or_count_down_lose_no_image(numbers: tuple[int | None, ...]) -> None:
    pictures = [samples.shade(at) for at in range(4)]
    events = [samples.image_completed(data, seq=seq) for data, seq in zip(pictures, numbers, strict=True)]
    assert [frame.data for frame in result_of(events).finals] == pictures


@pytest.mark.parametrize("keep", ["all", "latest"])
def test_a_repeat_of_a_preview_that_was_dropped_is_known(keep: Any) -> None:
    events = [samples.image_partial(at, samples.shade(at), seq=at) for at in range(3)]
    assembler = Assembler(keep=keep)
    for event in [*events, samples.image_completed(GOOD, seq=3)]:
        assembler.feed(event)
    assert [update for event in events for update in assembler.feed(event)] == []
    assert (len(assembler.items), assembler.skipped) == (1, 3)


def test_an_equal_picture_without_numbers_is_a_repeat_in_a_chat_alone() -> None:
    chunk = {"object": "chat.completion.chunk", "choices": [{"delta": {"images": [{"url": data_url(GOOD)}]}}]}
    assert len(result_of([chunk, chunk]).items) == 1
    image = samples.image_completed(GOOD)
    assert len(result_of([image, image]).items) == 2


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{samples.b64(data)}"


def test_a_discarded_image_that_comes_again_is_skipped_and_the_next_is_not() -> None:
    assembler, first = Assembler(), samples.image_completed(GOOD, seq=0)
    assembler.feed(first)
    assembler.discard("image-0")
    assert assembler.feed(first) == ()
    assembler.feed(samples.image_completed(OTHER, seq=0))
    assert list(assembler.items) == ["image-1"]


def test_an_id_of_a_discarded_item_in_another_response_is_a_new_item() -> None:
    assembler = Assembler()
    for event in turn("resp_1", "ig_0"):
        assembler.feed(event)
    assembler.discard("ig_0")
    for event in turn("resp_2", "ig_0", OTHER):
        assembler.feed(event)
    assert list(assembler.items) == ["ig_0@resp_2"]


# No phantoms, and errors at any place


@pytest.mark.parametrize(
    "event",
    [
        {"type": "image_generation.completed", "usage": {"total_tokens": 5}},
        {"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": None},
        {"data": [{"index": 0, "progress": 10.0}]},
        {"data": [{"b64_json": "", "url": ""}], "created": 1},
        {"data": [], "created": 1},
    ],
)
def test_an_event_without_a_picture_makes_no_image(event: Wire) -> None:
    assert result_of([event]).items == {}


@pytest.mark.parametrize("answer", [{"data": []}, {"data": [{"b64_json": ""}]}, samples.answer("completed")])
def test_a_whole_answer_without_a_picture_is_an_anomaly(answer: Wire) -> None:
    assert [each.code for each in result_of([answer]).anomalies] == ["no_picture"]


def test_an_empty_picture_field_is_an_anomaly() -> None:
    for event in (samples.image_completed(""), samples.done("ig_1", ""), samples.partial("ig_1", 0, "")):
        (item,) = result_of([event]).items.values()
        assert [each.code for each in item.anomalies] == ["bad_base64"]


def test_an_error_in_the_place_of_a_picture_fails_that_image_alone() -> None:
    data = [{"b64_json": samples.b64(GOOD)}, {"error": {"code": "blocked", "message": "no"}}]
    result = result_of([{"created": 1, "data": data}])
    assert [item.state for item in result.items.values()] == [State.COMPLETED, State.FAILED]
    assert getattr(result.items["image-1"].error, "code", None) == "blocked"


EMPTY_ERRORS: tuple[Any, ...] = (None, False, "", {}, {"message": "", "code": None}, [])


@pytest.mark.parametrize("error", EMPTY_ERRORS)
def test_an_empty_error_is_none(error: Any) -> None:
    answer = {"created": 1, "data": [{"b64_json": samples.b64(GOOD)}], "error": error}
    chunk = {"object": "chat.completion.chunk", "choices": [], "error": error}
    assert result_of([answer, chunk]).outcome is Outcome.COMPLETED
    assert result_of([samples.done("ig_1", GOOD), {"type": "tool.ended", "error": error}]).outcome is Outcome.COMPLETED


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"error": "boom"}, "boom"),
        ({"error": "Not Found", "message": "Cannot POST /v1", "statusCode": 404}, "Not Found: Cannot POST /v1"),
        ({"object": "error", "message": "boom", "type": "NotFoundError", "code": 404}, "(404): boom"),
        ({"type": "image_generation.error", "error": {"message": "boom", "code": "x"}}, "(x): boom"),
        ({"type": "rate_limit_error", "message": "boom"}, "boom"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": "Not Found", "error": None, "data": None}, "Not Found"),
        ({"detail": [{"msg": "field required", "loc": ["n"]}]}, "field required"),
        ({"message": "No API key found", "request_id": "1"}, "No API key found"),
        ({"errors": [{"message": "rate limited", "code": 10000}], "success": False}, "(10000): rate limited"),
        (
            {"type": "about:blank", "title": "Quota exceeded", "status": 429, "detail": "No quota"},
            "(429): Quota exceeded",
        ),
    ],
)
def test_an_error_is_read_wherever_a_service_puts_it(event: Wire, words: str) -> None:
    result = result_of([event])
    assert result.outcome is Outcome.FAILED
    assert words in str(result.error)


def test_a_body_without_error_is_none_beside_a_response() -> None:
    assert result_of([*turn("resp_1", "ig_1"), {"message": "bye", "code": "x"}]).outcome is Outcome.COMPLETED


def test_an_error_beside_an_unknown_type_fails_only_a_response_that_does_not_complete() -> None:
    stray = {"type": "tool.ended", "error": {"message": "the tool broke"}}
    begin, preview, done, end = turn("resp_1", "ig_1")
    assert result_of([begin, stray, preview, done, end]).outcome is Outcome.COMPLETED
    failed = result_of([begin, stray, preview])
    assert (failed.outcome, failed.items["ig_1"].state) == (Outcome.FAILED, State.FAILED)
    assert "the tool broke" in str(failed.error)


# Causes in words


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "empty"),
        ([{"type": "b.x"}, {"type": "a.y"}, {"type": "d"}, {"type": "c"}], "(a.y, b.x, c)"),
        ([{"type": "response.output_text.delta", "delta": "I cannot "}, {"type": "response.output_text.delta",
          "delta": "draw."}], "'I cannot draw.'"),
        ([{"object": "chat.completion.chunk", "choices": [{"delta": {"content": "No."}}]}], "'No.'"),
    ],
)  # fmt: skip
def test_the_cause_of_a_stream_without_an_image_is_named(events: list[Wire], words: str) -> None:
    result = result_of(events)
    assert result.outcome is Outcome.NO_IMAGE
    assert words in str(result.error)


def test_the_text_of_the_snapshot_replaces_its_pieces() -> None:
    pieces = [{"type": "response.output_text.delta", "delta": "I ", "sequence_number": 1}]
    message = {"type": "message", "content": [{"type": "output_text", "text": "I will not."}]}
    assert result_of([samples.created(), *pieces]).text == "I"
    assert result_of([samples.created(), *pieces, samples.snapshot("completed", [message])]).text == "I will not."


@given(st.permutations(range(30)), st.integers(1, 400))
@settings(max_examples=60)
def test_the_pieces_of_the_lowest_numbers_are_the_text(order: list[int], size: int) -> None:
    pieces = [
        {"type": "response.output_text.delta", "delta": f"{at:03} " * size, "sequence_number": at} for at in order
    ]
    text = "".join(f"{at:03} " * size for at in range(30))[:4096].strip()
    assert result_of([*pieces, *pieces[:5]]).text == text


def test_a_url_is_shown_and_nobody_is_told_to_pay_again() -> None:
    result = result_of([{"created": 1, "data": [{"url": "https://files.example.net/1.png"}]}])
    sentences = f"{result.error} {result.items['image-0'].error}"
    assert "https://files.example.net/1.png" in sentences
    assert "again" not in sentences


@pytest.mark.parametrize("event", [samples.partial("ig_1", 0), samples.partial("ig_1", 0, GOOD[:-4])])
def test_ask_again_is_not_advised_after_a_picture_came(event: Wire) -> None:
    result = result_of([event])
    assert "again" not in f"{result.error} {result.items['ig_1'].error}"


# The exception that ended the stream, and the members of a result


class APIError(Exception):
    """The shape of openai's."""

    def __init__(self, message: str, body: object) -> None:
        super().__init__(message)
        self.body = body


def closed_by(error: BaseException, *events: Wire) -> Result:
    assembler = Assembler()
    for event in events:
        assembler.feed(event)
    assembler.close(error)
    assert assembler.result is not None
    return assembler.result


def test_an_exception_with_an_error_of_the_service_fails_the_stream() -> None:
    result = closed_by(
        APIError("no", {"code": "moderation_blocked", "message": "rejected"}), samples.partial("ig_1", 0)
    )
    assert (result.outcome, result.items["ig_1"].state) == (Outcome.FAILED, State.FAILED)
    assert getattr(result.error, "is_blocked", None)


class ClosedConnectionError(Exception):
    """The shape of a websocket's: a property warns that it is deprecated."""

    @property
    def code(self) -> int:
        raise DeprecationWarning("use close_code")


def test_a_property_of_an_exception_is_not_read() -> None:
    result = closed_by(ClosedConnectionError("no close frame"), samples.partial("ig_1", 0))
    assert result.outcome is Outcome.INCOMPLETE
    assert "ClosedConnectionError: no close frame" in str(result.error)


def test_any_other_exception_cuts_the_stream_and_is_named() -> None:
    result = closed_by(ConnectionError("reset by peer"), samples.partial("ig_1", 0))
    assert result.outcome is Outcome.INCOMPLETE
    assert "ConnectionError: reset by peer" in str(result.error)
    assert result.error is not None
    assert isinstance(result.error.__cause__, ConnectionError)
    assert result.error.__cause__.__traceback__ is None


@pytest.mark.parametrize(
    ("error", "named"), [(TimeoutError(), "TimeoutError"), (OSError("Broken."), "OSError: Broken")]
)
def test_the_sentence_of_a_cut_stream_has_no_empty_part(error: Exception, named: str) -> None:
    assert str(closed_by(error).error) == f"the stream was cut: {named}; what came is kept"


class HTTPStatusError(Exception):
    """The shape of an HTTP client's: the status is that of its response."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.response = SimpleNamespace(status_code=status)


def test_an_http_error_without_an_error_of_the_service_names_its_status() -> None:
    error = closed_by(HTTPStatusError("not found", 404)).error
    assert str(error) == (
        "the service answered with the HTTP status 404: HTTPStatusError: not found; what came is kept"
    )
    assert "the stream was cut" in str(closed_by(HTTPStatusError("closed", 1006)).error)


def test_an_exception_after_every_response_has_ended_changes_nothing() -> None:
    assert closed_by(ConnectionError("late"), *turn("resp_1", "ig_1")).outcome is Outcome.COMPLETED


def test_the_final_of_one_image_can_be_required() -> None:
    result = result_of(turn("resp_1", "ig_1"))
    assert result.raise_for_outcome() is result
    assert result.require_final().data == GOOD
    with pytest.raises(UsageError):
        result_of([samples.done("a", GOOD), samples.done("b", OTHER)]).require_final()


def test_a_provisional_final_is_required_on_demand_alone() -> None:
    result = result_of([samples.partial("ig_1", 0), samples.call("completed", "ig_1")])
    for required in (result.require_final, result.items["ig_1"].require_final):
        with pytest.raises(IncompleteStreamError):
            required()
        assert required(provisional=True) is result.items["ig_1"].final
    assert result.finals == ()


def test_a_failed_stream_raises_its_error_if_the_final_is_required() -> None:
    result = result_of([samples.done("ig_1", None, status="failed", error={"code": "x", "message": "no"})])
    for required in (result.require_final, result.items["ig_1"].require_final):
        with pytest.raises(ProviderError):
            required()


@pytest.mark.parametrize(
    "text",
    [
        f"![x](data:image/png;charset=utf-8;base64,{samples.b64(GOOD)})",
        f"DATA:IMAGE/PNG;BASE64,{samples.b64(GOOD)}",
        f'<img src="data:image/png;base64, {samples.b64(GOOD)}">',
    ],
)
def test_a_picture_in_the_text_of_a_chat_is_an_image(text: str) -> None:
    chunk = {"object": "chat.completion.chunk", "choices": [{"delta": {"content": text}}]}
    assert result_of([chunk]).require_final().data == GOOD


def test_the_address_of_an_image_in_the_text_of_a_chat_is_its_url() -> None:
    text = "See https://example.net and ![image](https://files.example.net/1.png)"
    result = result_of([{"object": "chat.completion.chunk", "choices": [{"delta": {"content": text}}]}])
    assert [item.url for item in result.items.values()] == ["https://files.example.net/1.png"]


def whole_chat(data: bytes | None = None, text: str = "Here it is.", **more: Any) -> Wire:
    """A chat completion that was not streamed."""
    images = [{"type": "image_url", "image_url": {"url": data_url(data)}}] if data else None
    message = {"role": "assistant", "content": text, "images": images}
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message}], **more}


@pytest.mark.parametrize("names", [({}, {}), ({"id": "gen-1"}, {"id": "gen-2"})])
def test_two_whole_answers_of_a_chat_keep_both_pictures(names: tuple[Wire, Wire]) -> None:
    result = result_of([whole_chat(GOOD, **names[0]), whole_chat(OTHER, **names[1])])
    assert [frame.data for frame in result.finals] == [GOOD, OTHER]
    texts = [f"![x]({data_url(data)})" for data in (GOOD, OTHER)]
    in_text = [whole_chat(text=text, **name) for text, name in zip(texts, names, strict=True)]
    assert [frame.data for frame in result_of(in_text).finals] == [GOOD, OTHER]


def test_a_whole_answer_of_a_chat_with_more_pictures_than_the_one_before_keeps_all() -> None:
    more = samples.png(4, 4, colour=(9, 9, 9))
    images = [{"type": "image_url", "image_url": {"url": data_url(data)}} for data in (OTHER, more)]
    second = {"object": "chat.completion", "choices": [{"index": 0, "message": {"images": images}}]}
    result = result_of([whole_chat(GOOD), second, second])
    assert [frame.data for frame in result.finals] == [GOOD, OTHER, more]


def test_two_whole_answers_of_a_chat_keep_both_links() -> None:
    answers = [whole_chat(text=f"![x](https://files.example.net/{n}.png) ") for n in (1, 2)]
    assert [item.url for item in result_of(answers).items.values()] == [
        "https://files.example.net/1.png",
        "https://files.example.net/2.png",
    ]


def test_a_whole_message_after_the_pieces_of_a_second_chat_repeats_its_own_picture() -> None:
    pieces = [{"object": "chat.completion.chunk", "choices": [{"delta": {"images": [{"url": data_url(data)}]}}]}
              for data in (GOOD, OTHER)]  # fmt: skip
    result = result_of([*pieces, whole_chat(OTHER)])
    assert [frame.data for frame in result.finals] == [GOOD, OTHER]


@pytest.mark.parametrize("kind", ["image_generation.partial_succeeded", "image_edit.partial_succeeded", "final"])
def test_a_request_after_one_that_was_cut_keeps_the_images_of_both(kind: str) -> None:
    def made(number: int, data: bytes) -> Wire:
        return {"type": kind, "image_index": number, "b64_json": samples.b64(data)}

    more = samples.png(4, 4, colour=(9, 9, 9))
    events = [made(0, GOOD), made(0, OTHER), made(1, more)]
    assert [frame.data for frame in result_of(events).finals] == [GOOD, OTHER, more]
    assert [frame.data for frame in result_of([made(1, GOOD), made(0, OTHER), made(1, GOOD)]).finals] == [GOOD, OTHER]


# A response that does not name itself, or does not begin


def without_response_ids(events: Iterable[Wire]) -> list[Wire]:
    return [
        {**event, "response": {name: value for name, value in event["response"].items() if name != "id"}}
        if "response" in event
        else event
        for event in events
    ]


@pytest.mark.parametrize("numbers", [(0, 1, 2, 3), (0, 0, 0, 0), (None,) * 4])
@pytest.mark.parametrize("ids", [("ig_0", "ig_0"), ("ig_0", "ig_1"), (None, None)])
def test_two_responses_without_ids_keep_both_results(ids: tuple[str | None, str | None], numbers: Any) -> None:
    turns = [turn("resp", item_id or "ig", data) for item_id, data in zip(ids, (GOOD, OTHER), strict=True)]
    events = [
        {name: value for name, value in event.items() if name != "sequence_number"}
        | ({} if number is None else {"sequence_number": number})
        for each in turns
        for event, number in zip(without_response_ids(each), numbers, strict=True)
    ]
    if ids[0] is None:
        events = [without_item_id(event) for event in events]
    assert [frame.data for frame in result_of(events).finals] == [GOOD, OTHER]


def without_item_id(event: Wire) -> Wire:
    item = {name: value for name, value in event.get("item", {}).items() if name != "id"}
    kept = {name: value for name, value in event.items() if name != "item_id"}
    return kept | ({"item": item} if item else {})


def test_a_result_after_the_end_that_equals_the_one_before_is_no_new_image() -> None:
    events = without_response_ids(turn("resp", "ig_0", GOOD))
    again = [{**event, "sequence_number": 0} for event in events if event["type"] == "response.output_item.done"]
    assert [frame.data for frame in result_of([*events, *again]).finals] == [GOOD]


def test_a_replaced_result_that_comes_again_after_the_end_is_no_new_image() -> None:
    made = [samples.done("ig_1", GOOD), samples.partial("ig_1", 0, GOOD), samples.done("ig_1", OTHER)]
    events = of_id("resp_1", samples.created(), *made, samples.snapshot("completed"))
    numbered = [{**event, "sequence_number": at} for at, event in enumerate(events)]
    assert [frame.data for frame in result_of([*numbered, *numbered]).finals] == [OTHER]


def test_a_second_use_of_an_id_after_a_cut_response_keeps_the_result_of_the_first() -> None:
    cut, retry = turn("resp_1", "ig_0", GOOD)[:-1], turn("resp_2", "ig_0", OTHER)
    result = result_of([*cut, *retry])
    assert sorted(frame.data for frame in result.finals) == sorted([GOOD, OTHER])


def test_an_item_that_came_before_its_response_was_named_is_moved_to_it() -> None:
    first, second = turn("resp_1", "ig_1"), turn("resp_2", "ig_2", OTHER)
    later = [{**event, "sequence_number": 10 + at} for at, event in enumerate(second[1:])]
    later[-1]["response"]["output"] = [samples.member("ig_2", OTHER)]
    result = result_of([*first, *later])
    assert {name: item.response_id for name, item in result.items.items()} == {"ig_1": "resp_1", "ig_2": "resp_2"}
    assert [frame.data for frame in result.finals] == [GOOD, OTHER]


def test_a_response_without_an_id_that_is_cut_before_its_image_is_incomplete() -> None:
    result = result_of(without_response_ids([samples.created(seq=0)]))
    assert (result.outcome, "cut before its first image" in str(result.error)) == (Outcome.INCOMPLETE, True)


# Events of the Images API inside a response


def test_drafts_of_the_images_api_inside_a_response_belong_to_the_item_that_is_announced() -> None:
    draft, result = samples.image_partial(0, OTHER), samples.done("ig_1", GOOD)
    found = result_of([samples.created(), samples.added("ig_1"), draft, result, samples.snapshot("completed")])
    (item,) = found.items.values()
    assert (item.id, len(item.partials), item.require_final().data) == ("ig_1", 1, GOOD)
    assert found.outcome is Outcome.COMPLETED


def test_drafts_of_the_images_api_inside_a_response_get_the_id_that_comes_with_the_result() -> None:
    draft = samples.image_partial(0, OTHER)
    events = [samples.created(), draft, samples.done("ig_1", GOOD), samples.image_completed(GOOD)]
    result = result_of([*events, samples.snapshot("completed", [samples.member("ig_1", GOOD)])])
    (item,) = result.items.values()
    assert (item.id, item.wire_id, len(item.partials), item.require_final().data) == ("image-0", "ig_1", 1, GOOD)
    assert result.outcome is Outcome.COMPLETED


def test_an_answer_of_the_images_api_after_a_response_is_an_image_of_its_own() -> None:
    ended = [samples.created(), samples.added("ig_1"), samples.snapshot("completed")]
    result = result_of([*ended, {"created": 1, "data": [{"b64_json": samples.b64(data)} for data in (GOOD, OTHER)]}])
    assert [frame.data for frame in result.finals] == [GOOD, OTHER]


def test_a_draft_of_the_images_api_without_a_response_is_an_image_of_its_own() -> None:
    result = result_of([samples.image_partial(0, OTHER), *turn("resp_1", "ig_1")])
    assert {name: item.state for name, item in result.items.items()} == {
        "image-0": State.INCOMPLETE,
        "ig_1": State.COMPLETED,
    }


def test_a_result_without_id_and_place_belongs_to_the_only_item_that_waits_for_one() -> None:
    nameless = samples.done(None, GOOD, output_index=None)
    result = result_of([samples.created(), samples.added("ig_1"), nameless, nameless, samples.snapshot("completed")])
    assert {name: item.require_final().data for name, item in result.items.items()} == {"ig_1": GOOD}
    two = result_of([samples.created(), samples.added("ig_1"), samples.added("ig_2", output_index=1), nameless])
    assert [anomaly.code for anomaly in two.anomalies] == ["missing_item_id"]


def test_an_image_without_a_picture_beside_one_that_came_is_not_asked_for_again() -> None:
    result = result_of([samples.done("ig_1", GOOD), samples.added("ig_2", output_index=1)])
    sentences = [str(result.error), *(str(item.error) for item in result.items.values())]
    assert not [sentence for sentence in sentences if "ask again" in sentence]


def test_an_item_that_has_ended_stays_in_its_response_if_another_one_names_it_without_a_result() -> None:
    assembler = Assembler(key_by="output_index")
    call, late = "response.image_generation_call", {"output_index": 0, "response_id": "resp_2"}
    assembler.feed({"type": "response.created", "response": {"id": "resp_1"}, "sequence_number": 0})
    assembler.feed({"type": "response.failed", "response": {"id": "resp_1", "status": "failed"}, "sequence_number": 9})
    assembler.feed({"type": f"{call}.in_progress", "output_index": 0, "sequence_number": 10})
    assert assembler["output-0"].state is State.FAILED
    assembler.feed({"type": f"{call}.generating", "sequence_number": 11, **late})
    states = {item_id: item.state for item_id, item in assembler.items.items()}
    assert states == {"output-0": State.FAILED, "output-0@resp_2": State.GENERATING}
