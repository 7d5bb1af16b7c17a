"""The evidence table, row by row and pair by pair, and the rules for finals.

Everything here is said by wire events. They speak of "image-0", the name that an image of the Images API gets, so that
every kind of evidence can be heard of one item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import pytest
import samples
from samples import Wire

from imgassemble import (
    Assembler,
    FinalReady,
    FinalWithdrawn,
    IncompleteStreamError,
    Item,
    ItemEnded,
    Outcome,
    ProviderError,
    Result,
    State,
    StateChanged,
    StreamEnded,
    Update,
)
from imgassemble.assembly.lifecycle import TABLE

NAME = "image-0"
SNAPSHOT, DONE, OWN, DRAFT = (samples.png(colour=(red, 9, 9)) for red in (1, 2, 3, 4))
NO = {"code": "moderation_blocked", "message": "the picture was refused"}


@dataclass(frozen=True)
class Evidence:
    """The events that make one row of the table hold, and the result of that row."""

    row: int
    name: str
    events: tuple[Wire, ...]
    state: State
    final: bytes | None = None
    closes: bool = False


def snapshot(kind: str, *members: Wire) -> Wire:
    return samples.snapshot(kind, members)


COMPLETED, FAILED, INCOMPLETE = State.COMPLETED, State.FAILED, State.INCOMPLETE
HERE = samples.added(NAME)
EVIDENCE = (
    Evidence(0, "snapshot-failed", (snapshot("completed", samples.member(NAME, status="failed")),), FAILED),
    Evidence(0, "snapshot-picture", (snapshot("completed", samples.member(NAME, SNAPSHOT)),), COMPLETED, SNAPSHOT),
    Evidence(1, "done-failed", (samples.done(NAME, status="failed"),), FAILED),
    Evidence(1, "done-picture", (samples.done(NAME, DONE),), COMPLETED, DONE),
    Evidence(2, "own-failed", (samples.image_completed(status="failed"),), FAILED),
    Evidence(2, "own-picture", (samples.image_completed(OWN),), COMPLETED, OWN),
    Evidence(2, "relay-picture", (samples.call("completed", NAME, result=samples.b64(OWN)),), COMPLETED, OWN),
    Evidence(3, "response-failed", (HERE, snapshot("failed")), FAILED),
    Evidence(3, "error", (HERE, samples.error()), FAILED),
    Evidence(4, "snapshot-incomplete", (snapshot("completed", samples.member(NAME, status="incomplete")),), INCOMPLETE),
    Evidence(4, "done-incomplete", (samples.done(NAME, status="incomplete"),), INCOMPLETE),
    Evidence(5, "ended-without-a-picture", (HERE,), INCOMPLETE, closes=True),
    Evidence(6, "word", (samples.call("completed", NAME),), COMPLETED),
    Evidence(6, "done-completed", (samples.done(NAME),), COMPLETED),
    Evidence(6, "snapshot-completed", (snapshot("completed", samples.member(NAME)),), COMPLETED),
    Evidence(7, "response-incomplete", (HERE, snapshot("incomplete")), INCOMPLETE),
    Evidence(7, "ended-with-a-partial", (samples.partial(NAME, 1, DRAFT),), INCOMPLETE, closes=True),
    Evidence(8, "partial", (samples.partial(NAME, 1, DRAFT),), State.PARTIAL_IMAGE),
    Evidence(9, "generating", (samples.call("generating", NAME),), State.GENERATING),
    Evidence(9, "added-as-generating", (samples.added(NAME, status="generating"),), State.GENERATING),
    Evidence(10, "in-progress", (samples.call("in_progress", NAME),), State.IN_PROGRESS),
    Evidence(10, "added", (HERE,), State.IN_PROGRESS),
)


def by_name(evidence: Evidence) -> str:
    return f"{evidence.row}-{evidence.name}"


def item_after(events: Sequence[Any], *, closes: bool = False) -> Item:
    assembler = Assembler()
    for event in events:
        assembler.feed(event)
    if closes:
        assembler.close()
    return assembler[NAME]


def contradict(one: Evidence, other: Evidence) -> bool:
    """Whether both cannot be true: no usable picture came, and a partial did."""
    return DRAFT_CAME in one.events + other.events and 5 in (one.row, other.row)


DRAFT_CAME = samples.partial(NAME, 1, DRAFT)
PAIRS = [
    pytest.param(stronger, weaker, id=f"{by_name(stronger)}-over-{by_name(weaker)}")
    for stronger, weaker in combinations(EVIDENCE, 2)
    if stronger.row != weaker.row and not contradict(stronger, weaker)
]


def test_there_is_evidence_here_for_every_row_of_the_table() -> None:
    assert {each.row for each in EVIDENCE} == set(range(len(TABLE)))


@pytest.mark.parametrize("evidence", EVIDENCE, ids=by_name)
def test_a_row_alone_gives_its_state_and_its_final(evidence: Evidence) -> None:
    item = item_after(evidence.events, closes=evidence.closes)
    assert item.state is evidence.state
    assert (item.final.data if item.final else None) == evidence.final
    assert not item.is_provisional


@pytest.mark.parametrize(("stronger", "weaker"), PAIRS)
def test_of_two_rows_the_stronger_decides_in_either_order(stronger: Evidence, weaker: Evidence) -> None:
    stands_in = stronger.row == 6 and DRAFT_CAME in weaker.events
    expected = stronger.state, DRAFT if stands_in else stronger.final, stands_in
    for events in (stronger.events + weaker.events, weaker.events + stronger.events):
        item = item_after(events, closes=stronger.closes or weaker.closes)
        assert (item.state, item.final.data if item.final else None, item.is_provisional) == expected


@pytest.mark.parametrize("evidence", [each for each in EVIDENCE if each.row in (0, 1, 2)], ids=by_name)
def test_closing_takes_no_claim_back(evidence: Evidence) -> None:
    assert item_after(evidence.events, closes=True) == item_after(evidence.events)


def test_completed_stands_in_the_highest_partial() -> None:
    events = [samples.partial(NAME, index) for index in (2, 9914.45, 0)]
    item = item_after([*events, samples.call("completed", NAME)])
    assert item.final is item.partials[-1]
    assert (item.final.index, item.is_provisional, item.final.is_final) == (9914.45, True, False)


# Payloads that are no claim, and the order of claims in one message


@pytest.mark.parametrize("blank", [None, "", "  ", "%%%", samples.b64(b"text"), samples.b64(DONE[:-3]), 7, ["x"], {}])
@pytest.mark.parametrize("status", ["completed", "generating", None])
def test_a_payload_that_cannot_be_used_is_no_claim(blank: Any, status: str | None) -> None:
    event = samples.done(NAME, status=status)
    event["item"]["result"] = blank
    item = item_after([samples.done(NAME, DONE, seq=1), event | {"sequence_number": 2}])
    assert (item.state, item.final and item.final.data) == (COMPLETED, DONE)


MAKERS: dict[str, Callable[..., Wire]] = {
    "done": samples.done,
    "snapshot": lambda name, content, status: snapshot("completed", samples.member(name, content, status=status)),
    "own": lambda name, content, status: samples.image_completed(content, status=status),
}
each_witness = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@each_witness
def test_failed_beats_a_picture_beside_it(make: Callable[..., Wire]) -> None:
    item = item_after([make(NAME, DONE, status="failed")])
    assert (item.state, item.final, item.latest) == (FAILED, None, None)


@each_witness
@pytest.mark.parametrize("status", ["incomplete", "cancelled", "in_progress", "generating", None, "?"])
def test_a_picture_beats_every_other_status_beside_it(make: Callable[..., Wire], status: str | None) -> None:
    item = item_after([make(NAME, DONE, status=status)])
    assert (item.state, item.final and item.final.data, item.is_provisional) == (COMPLETED, DONE, False)


# Of two claims of equal rank the higher sequence number decides; if numbers are missing or equal, the later arrival

Number = float | None
NUMBERS: list[tuple[Number, Number, int]] = [  # of the first message, of the second; which of them decides
    (1, 2, 1),
    (2, 1, 0),
    (2, 2, 1),
    (None, None, 1),
    (None, 1, 1),
    (1, None, 1),
]


SAYINGS: dict[str, tuple[Callable[[Any, float | None], Wire], tuple[Any, Any], Callable[[Item], Any]]] = {
    "partial": (
        lambda value, seq: samples.partial(NAME, 0, value, seq=seq),
        (DONE, OWN),
        lambda item: item.partials[0].data,
    ),
    "done": (
        lambda value, seq: samples.done(NAME, value, seq=seq),
        (DONE, OWN),
        lambda item: item.final and item.final.data,
    ),
    "snapshot": (
        lambda value, seq: samples.snapshot("completed", [samples.member(NAME, value)], seq=seq),
        (DONE, OWN),
        lambda item: item.final and item.final.data,
    ),
    "own": (
        lambda value, seq: samples.call("completed", NAME, seq=seq, result=samples.b64(value)),
        (DONE, OWN),
        lambda item: item.final and item.final.data,
    ),
    "failed-or-picture": (
        lambda value, seq: samples.done(NAME, DONE, status=value, seq=seq),
        ("failed", "completed"),
        lambda item: "failed" if item.state is FAILED else item.state.value,
    ),
    "own-error": (
        lambda value, seq: samples.done(NAME, status="failed", seq=seq, error={"code": value, "message": "no"}),
        ("one", "other"),
        lambda item: item.error.code if isinstance(item.error, ProviderError) else item.error,
    ),
    "error": (
        lambda value, seq: samples.error(value, seq=seq),
        ("one", "other"),
        lambda item: item.error.code if isinstance(item.error, ProviderError) else item.error,
    ),
    "response.failed": (
        lambda value, seq: samples.snapshot("failed", error={"code": value, "message": "no"}, seq=seq),
        ("one", "other"),
        lambda item: item.error.code if isinstance(item.error, ProviderError) else item.error,
    ),
    "reason": (
        lambda value, seq: samples.snapshot("incomplete", reason=value, seq=seq),
        ("max_output_tokens", "content_filter"),
        lambda item: item.reason,
    ),
    "output_index": (
        lambda value, seq: samples.call("generating", NAME, seq=seq, output_index=value),
        (1, 6625.36),
        lambda item: item.output_index,
    ),
    "revised_prompt": (
        lambda value, seq: samples.done(NAME, DONE, seq=seq, revised_prompt=value),
        ("an otter", "a red otter"),
        lambda item: item.revised_prompt,
    ),
    "usage": (
        lambda value, seq: samples.done(NAME, DONE, seq=seq, usage={"total_tokens": value}),
        (1, 2),
        lambda item: (item.usage or {}).get("total_tokens"),
    ),
}


@pytest.mark.parametrize("what", SAYINGS)
@pytest.mark.parametrize(("one", "other", "decides"), NUMBERS)
def test_the_higher_sequence_number_decides_and_else_the_later_arrival(
    what: str, one: Number, other: Number, decides: int
) -> None:
    say, values, heard = SAYINGS[what]
    item = item_after([samples.added(NAME), say(values[0], one), say(values[1], other)])
    assert heard(item) == values[decides]


@pytest.mark.parametrize("numbers", [(None, None), (1, 2), (2, 1)], ids=str)
def test_the_words_of_response_failed_come_before_those_of_an_error(numbers: tuple[float | None, float | None]) -> None:
    error = samples.error("server_error", "it broke", seq=numbers[0])
    failed = samples.snapshot("failed", error=NO, seq=numbers[1])
    for events in ([samples.added(NAME), error, failed], [samples.added(NAME), failed, error]):
        item = item_after(events)
        assert isinstance(item.error, ProviderError)
        assert (item.error.code, item.error.message) == (NO["code"], NO["message"])


def test_the_words_of_an_error_stay_where_response_failed_has_none() -> None:
    item = item_after([samples.added(NAME), samples.error("quota", "no more"), samples.snapshot("failed")])
    assert isinstance(item.error, ProviderError)
    assert (item.error.code, item.error.message) == ("quota", "no more")


def test_the_error_of_an_item_comes_before_that_of_the_response() -> None:
    item = item_after([samples.done(NAME, status="failed", error=NO), samples.snapshot("failed", error={"code": "x"})])
    assert isinstance(item.error, ProviderError)
    assert item.error.code == NO["code"]


@pytest.mark.parametrize("late", ["usage", "revised_prompt"])
def test_a_message_that_does_not_say_it_takes_no_detail_back(late: str) -> None:
    said: dict[str, Any] = {"usage": {"total_tokens": 3}, "revised_prompt": "an otter"}
    item = item_after([samples.done(NAME, DONE, seq=1, **said), samples.done(NAME, DONE, seq=2)])
    assert getattr(item, late) == said[late]


# Finals


def told_by(*events: Any) -> list[tuple[Update, ...]]:
    """Return the updates of each event, fed one after the other, and of the close."""
    assembler = Assembler()
    return [assembler.feed(event) for event in events] + [assembler.close()]


def kinds(updates: Sequence[Update]) -> list[str]:
    return [type(update).__name__ for update in updates]


@pytest.mark.parametrize("status", ["generating", None, "in_progress", "completed"])
def test_a_result_is_final_at_once_whatever_its_status_says(status: str | None) -> None:
    updates, closing = told_by(samples.done(NAME, DONE, status=status))
    assert kinds(updates) == ["StateChanged", "FinalReady", "ItemEnded"]
    assert kinds(closing) == ["StreamEnded"]


def test_a_snapshot_that_says_failed_withdraws_the_final() -> None:
    done, failed, _ = told_by(
        samples.done(NAME, DONE), samples.snapshot("failed", [samples.member(NAME, status="failed", error=NO)])
    )
    assert kinds(done) == ["StateChanged", "FinalReady", "ItemEnded"]
    assert kinds(failed) == ["StateChanged", "FinalWithdrawn", "ItemEnded"]
    withdrawn = failed[1]
    assert isinstance(withdrawn, FinalWithdrawn)
    assert withdrawn.frame.data == DONE
    assert isinstance(withdrawn.error, ProviderError)
    assert withdrawn.error.code == NO["code"]


def test_a_snapshot_with_another_picture_is_another_final() -> None:
    updates = told_by(samples.done(NAME, DONE), snapshot("completed", samples.member(NAME, SNAPSHOT)))[1]
    assert kinds(updates) == ["FinalReady", "Anomaly"]


def test_a_snapshot_with_the_same_picture_is_no_news() -> None:
    assert told_by(samples.done(NAME, DONE), snapshot("completed", samples.member(NAME, DONE)))[1] == ()


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
@pytest.mark.parametrize("members", [[], [samples.member("another", SNAPSHOT)], [{"type": "message", "id": NAME}]])
def test_a_snapshot_that_does_not_name_an_item_takes_nothing_from_it(kind: str, members: list[Wire]) -> None:
    item = item_after([samples.done(NAME, DONE), samples.snapshot(kind, members)], closes=True)
    assert (item.state, item.final and item.final.data, item.error) == (COMPLETED, DONE, None)


@pytest.mark.parametrize("failure", [samples.error(), samples.snapshot("failed", error=NO)])
def test_a_failure_of_the_response_fails_the_items_that_hold_no_result(failure: Wire) -> None:
    assembler = Assembler()
    for event in (
        samples.done("a", DONE),
        samples.partial("b", 0),
        samples.added("c"),
        samples.call("completed", "b"),
        failure,
    ):
        assembler.feed(event)
    assert [item.state for item in assembler.items.values()] == [COMPLETED, FAILED, FAILED]
    assert assembler["b"].latest is not None


def test_an_item_that_is_first_heard_of_after_the_failure_has_failed_too() -> None:
    assert item_after([samples.error(), samples.partial(NAME, 0)]).state is FAILED


def test_completed_alone_is_told_as_a_final_only_at_the_close() -> None:
    _, word, closing = told_by(samples.partial(NAME, 0), samples.call("completed", NAME))
    assert kinds(word) == ["StateChanged"]
    assert kinds(closing) == ["FinalReady", "ItemEnded", "StreamEnded"]
    assert isinstance(closing[0], FinalReady)
    assert closing[0].is_provisional


@pytest.mark.parametrize("kind", ["completed", "incomplete"])
def test_completed_alone_is_told_as_a_final_at_the_terminal_event(kind: str) -> None:
    _, _, terminal, closing = told_by(samples.partial(NAME, 0), samples.call("completed", NAME), snapshot(kind))
    assert kinds(terminal) == ["FinalReady", "ItemEnded"]
    assert kinds(closing) == ["StreamEnded"]


def test_meanwhile_the_provisional_final_can_be_asked_for() -> None:
    item = item_after([samples.partial(NAME, 0, DRAFT), samples.call("completed", NAME)])
    assert (item.state, item.final and item.final.data, item.is_provisional) == (COMPLETED, DRAFT, True)


def test_a_result_that_follows_completed_is_the_only_final_that_is_told() -> None:
    events = [
        samples.partial(NAME, 0, DRAFT),
        samples.call("completed", NAME),
        samples.done(NAME, DONE),
        snapshot("completed"),
    ]
    finals = [each for told in told_by(*events) for each in told if isinstance(each, FinalReady)]
    assert [(each.frame.data, each.is_provisional) for each in finals] == [(DONE, False)]


def test_a_result_equal_to_the_provisional_final_is_told_for_it_is_no_draft() -> None:
    events = [
        samples.partial(NAME, 0, DONE),
        samples.call("completed", NAME),
        snapshot("completed"),
        samples.done(NAME, DONE),
    ]
    finals = [each for told in told_by(*events) for each in told if isinstance(each, FinalReady)]
    assert [each.is_provisional for each in finals] == [True, False]


def test_without_completed_and_without_a_result_nothing_is_final_and_the_latest_is_there() -> None:
    item = item_after([samples.partial(NAME, 0), samples.partial(NAME, 1, DRAFT)], closes=True)
    assert (item.state, item.final, item.latest and item.latest.data) == (INCOMPLETE, None, DRAFT)
    assert isinstance(item.error, IncompleteStreamError)
    assert item.error.item_ids == (NAME,)
    assert item.reason


def test_completed_without_any_picture_is_incomplete_in_the_end() -> None:
    item = item_after([samples.call("completed", NAME)], closes=True)
    assert (item.state, item.final, item.is_provisional) == (INCOMPLETE, None, False)


def test_the_reason_of_the_service_is_the_reason_of_the_item() -> None:
    events = [samples.partial(NAME, 0), samples.snapshot("incomplete", reason="max_output_tokens")]
    assert item_after(events).reason == "max_output_tokens"


@pytest.mark.parametrize("evidence", [each for each in EVIDENCE if each.state is not INCOMPLETE], ids=by_name)
def test_only_an_incomplete_item_has_a_reason(evidence: Evidence) -> None:
    item = item_after(evidence.events)
    assert item.reason is None
    assert isinstance(item.error, ProviderError) == (item.state is FAILED)


# How a stream ended


def result_of(*events: Any) -> Result:
    assembler = Assembler()
    for event in events:
        assembler.feed(event)
    assembler.close()
    assert assembler.result is not None
    return assembler.result


OUTCOMES: dict[str, tuple[Outcome, list[Wire]]] = {
    "an item failed": (
        Outcome.FAILED,
        [samples.done("a", DONE), samples.done("b", status="failed"), snapshot("completed")],
    ),
    "the response failed": (Outcome.FAILED, [samples.done("a", DONE), snapshot("failed")]),
    "the response failed without an item": (Outcome.FAILED, [samples.error(), snapshot("failed")]),
    "failed before incomplete": (Outcome.FAILED, [samples.done("a", status="failed"), samples.partial("b", 0)]),
    "an item is incomplete": (
        Outcome.INCOMPLETE,
        [samples.done("a", DONE), samples.partial("b", 0), snapshot("completed")],
    ),
    "the response is incomplete": (Outcome.INCOMPLETE, [samples.done("a", DONE), snapshot("incomplete")]),
    "the response is incomplete without an item": (Outcome.INCOMPLETE, [snapshot("incomplete")]),
    "a text answer": (Outcome.NO_IMAGE, [samples.snapshot("completed", [{"type": "message", "id": "msg_1"}])]),
    "nothing at all": (Outcome.NO_IMAGE, []),
    "a result": (Outcome.COMPLETED, [samples.done("a", DONE)]),
    "a provisional final": (Outcome.COMPLETED, [samples.partial("a", 0), samples.call("completed", "a")]),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_the_outcome_of_a_stream_is_the_worst_of_its_parts(case: str) -> None:
    outcome, events = OUTCOMES[case]
    result = result_of(*events)
    assert result.outcome is outcome
    assert (result.error is None) == (outcome is Outcome.COMPLETED)


@pytest.mark.parametrize("case", [name for name, (outcome, _) in OUTCOMES.items() if outcome is Outcome.FAILED])
def test_a_failed_stream_raises_what_the_service_said(case: str) -> None:
    with pytest.raises(ProviderError):
        result_of(*OUTCOMES[case][1]).raise_for_outcome()


@pytest.mark.parametrize("events", [[], [samples.partial("a", 0)]], ids=["no image", "incomplete"])
def test_a_stream_without_its_pictures_raises_that_it_is_incomplete(events: list[Wire]) -> None:
    with pytest.raises(IncompleteStreamError) as caught:
        result_of(*events).raise_for_outcome()
    assert caught.value.item_ids == tuple(event["item_id"] for event in events)


def test_a_completed_stream_raises_nothing() -> None:
    result_of(samples.done("a", DONE)).raise_for_outcome()


def test_an_error_followed_by_response_failed_is_told_once() -> None:
    told = [
        update
        for updates in told_by(samples.added(NAME), samples.error("a", "b"), samples.snapshot("failed", error=NO))
        for update in updates
    ]
    assert [type(each) for each in told] == [StateChanged, StateChanged, ItemEnded, StreamEnded]
    assert isinstance(told[-1], StreamEnded)
    assert isinstance(told[-1].error, ProviderError)
    assert told[-1].error.code == NO["code"]


# The Images API names no items


@pytest.mark.parametrize("api", ["image_generation", "image_edit"])
def test_only_a_completed_begins_the_next_image(api: str) -> None:
    events = [
        samples.image_partial(0, api=api),
        samples.image_partial(1, api=api),
        samples.image_partial(0, api=api),
        samples.image_completed(DONE, api=api),
        samples.image_completed(OWN, api=api),
        samples.image_partial(5, api=api),
    ]
    result = result_of(*events)
    assert {name: (len(item.partials), item.state) for name, item in result.items.items()} == {
        "image-0": (2, COMPLETED),
        "image-1": (0, COMPLETED),
        "image-2": (1, INCOMPLETE),
    }


def test_a_completed_that_failed_or_is_blank_begins_the_next_too() -> None:
    result = result_of(
        samples.image_completed(status="failed"), samples.image_completed(""), samples.image_completed(OWN)
    )
    assert [item.state for item in result.items.values()] == [FAILED, INCOMPLETE, COMPLETED]


def test_a_whole_answer_of_the_images_api_gives_an_image_for_each_member() -> None:
    result = result_of({"created": 1, "data": [{"b64_json": samples.b64(DONE)}, {"b64_json": samples.b64(OWN)}]})
    assert {name: item.final and item.final.data for name, item in result.items.items()} == {
        "image-0": DONE,
        "image-1": OWN,
    }


@pytest.mark.parametrize(("one", "other"), list(product(("completed", "failed", "incomplete"), repeat=2)))
def test_a_whole_answer_that_was_not_streamed_says_how_each_item_ended(one: str, other: str) -> None:
    answer = samples.answer("completed", [samples.member("a", status=one), samples.member("b", DONE, status=other)])
    result = result_of(answer)
    assert result.items["a"].state is (FAILED if one == "failed" else INCOMPLETE)
    assert result.items["b"].state is (FAILED if other == "failed" else COMPLETED)
