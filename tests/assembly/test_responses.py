"""Several responses in one stream do not affect each other: laws, and streams as services send them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import samples
import strategies as some
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Wire

from imgassemble import Assembler, Item, Outcome, Result, State
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
@settings(max_examples=400)
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
@settings(max_examples=400)
def test_responses_one_after_the_other_give_what_each_alone_gives(responses: list[list[Wire]]) -> None:
    together, alone = result_of(event for each in responses for event in each), [result_of(each) for each in responses]
    assert items_of(together) == [item for each in alone for item in items_of(each)]
    summaries: dict[Any, Any] = {}
    for each in alone:
        summaries |= by_response(each)
    assert by_response(together) == summaries


@given(some.whole_responses(), st.data())
@settings(max_examples=300)
def test_whole_responses_that_come_again_change_nothing(responses: list[list[Wire]], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(responses), max_size=3))
    events = [event for each in responses for event in each]
    again = result_of([*events, *(event for each in repeated for event in each)])
    once = result_of(events)
    assert again == once


@given(some.whole_responses(), st.data())
@settings(max_examples=300)
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
        except Exception:  # noqa: BLE001, S112 - the event is left out
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
