"""The meter as a listener: seconds until each picture, tokens and money of each response, one line of JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import samples
from shared import ROOT

from imgassemble import Assembler, UsageError, aassemble, aiter_updates, assemble, iter_updates, open_events
from imgassemble.meter import Meter, Prices
from imgassemble.simulator import Order, play

TEXT = {"input_tokens": 2000, "output_tokens": 100, "total_tokens": 2100}
IMAGE = {
    "input_tokens": 16,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 16},
    "output_tokens": 4260,
    "output_tokens_details": {"image_tokens": 4260, "text_tokens": 0},
}
PRICES, IMAGE_PRICES = Prices(input=2, output=10), Prices(input=5, image_input=10, output=40)


class Clock:
    """A clock that a stream sets: it shows the seconds before each event."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def timed(self, *events: tuple[float, samples.Wire]) -> Iterator[samples.Wire]:
        for after_s, event in events:
            self.now_s = 100 + after_s
            yield event


def whole(clock: Clock, *, tool_usage: Any = None) -> Iterator[samples.Wire]:
    picture = samples.png(3, 2)
    answer = samples.answer(
        "completed", [samples.member("ig_1", picture)], usage=TEXT, tool_usage={"image_gen": tool_usage}
    )
    return clock.timed(
        (0.25, samples.created(seq=0)),
        (0.5, samples.call("in_progress", seq=1)),
        (2, samples.partial("ig_1", 0, seq=2)),
        (4, samples.partial("ig_1", 1, seq=3)),
        (7.5, samples.done("ig_1", picture, seq=4)),
        (8, {"type": "response.completed", "sequence_number": 5, "response": answer}),
    )


def test_a_meter_measures_the_seconds_until_each_picture() -> None:
    clock = Clock()
    meter = Meter(clock=clock)
    assemble(whole(clock), on_update=meter)
    facts = meter.as_dict()
    assert (facts["outcome"], facts["error"]) == ("completed", None)
    assert (facts["first_event_s"], facts["first_update_s"], facts["end_s"]) == (0.25, 0.5, 8)
    assert facts["items"] == [{"id": "ig_1", "seconds": {"0": 2, "1": 4, "final": 7.5}}]
    assert (facts["responses"], facts["cost"]) == ([], None)


def test_sync_and_async_drivers_measure_the_same() -> None:
    async def events(clock: Clock) -> AsyncIterator[samples.Wire]:
        for event in whole(clock):
            yield event

    async def listened() -> dict[str, Any]:
        clock = Clock()
        meter = Meter(clock=clock)
        return meter.as_dict(await aassemble(events(clock), on_update=meter))

    async def called() -> dict[str, Any]:
        clock, assembler = Clock(), Assembler()
        meter = Meter(clock=clock)
        assembler.subscribe(meter)
        async with aiter_updates(events(clock), assembler) as updates:
            async for _ in updates:
                pass
        return meter.as_dict(assembler.result)

    clock = Clock()
    meter = Meter(clock=clock)
    expected = meter.as_dict(assemble(whole(clock), on_update=meter))
    assert asyncio.run(listened()) == asyncio.run(called()) == expected
    clock, assembler = Clock(), Assembler()
    meter = Meter(clock=clock)
    with iter_updates(whole(clock), assembler) as updates:
        for update in updates:
            meter(update)
    assert meter.as_dict(assembler.result) == expected | {"first_event_s": None}  # the loop sees no event


def test_a_meter_names_the_seconds_of_each_frame_for_a_sheet() -> None:
    clock = Clock()
    meter = Meter(clock=clock)
    result = assemble(whole(clock), on_update=meter)
    item = result.items["ig_1"]
    assert meter.frame_seconds(result) == {item.partials[0]: 2, item.partials[1]: 4, item.final: 7.5}
    assert Meter().frame_seconds(result) == {}
    assert repr(meter) == "<Meter: 3 pictures, completed>"


def test_a_provisional_final_and_a_withdrawn_one_have_no_seconds() -> None:
    clock = Clock()
    meter = Meter(clock=clock)
    assemble(clock.timed((1, samples.partial()), (2, samples.call("completed"))), on_update=meter)
    assert meter.seconds_of("ig_1") == {"0": 1}
    meter = Meter(clock=clock)
    failed = samples.snapshot("completed", [samples.member("ig_1", None, status="failed")])
    assemble(clock.timed((1, samples.done("ig_1", samples.png())), (2, failed)), on_update=meter)
    assert meter.seconds_of("ig_1") == {}
    assert meter.seconds_of("ig_2") == {}


def test_a_stream_that_raises_keeps_its_times() -> None:
    clock, assembler = Clock(), Assembler()
    meter = Meter(clock=clock)

    def cut() -> Iterator[samples.Wire]:
        yield from clock.timed((1, samples.partial()))
        clock.now_s = 103
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        assemble(cut(), on_update=meter, assembler=assembler)
    facts = json.loads(meter.as_json(assembler.result))
    assert (facts["outcome"], facts["end_s"], facts["items"][0]["seconds"]) == ("incomplete", 3, {"0": 1})
    assert "ConnectionResetError" in facts["error"]["message"]
    assert facts["responses"][0]["outcome"] == "incomplete"


def test_the_tokens_of_the_answering_model_and_of_the_image_tool_have_prices_of_their_own() -> None:
    meter = Meter(prices=PRICES, image_prices=IMAGE_PRICES)
    (response,) = meter.as_dict(assemble(whole(Clock(), tool_usage=IMAGE)))["responses"]
    assert response["tokens"] == {
        "input": 2000, "input_image": None, "input_cached": 0, "output": 100, "output_image": None,
    }  # fmt: skip
    assert response["image_tokens"] == {
        "input": 16, "input_image": 0, "input_cached": 0, "output": 4260, "output_image": 4260,
    }  # fmt: skip
    assert response["cost"] == pytest.approx((2000 * 2 + 100 * 10 + 16 * 5 + 4260 * 40) / 1e6)
    assert (response["id"], response["outcome"], response["reported_cost"]) == ("resp_1", "completed", None)


@pytest.mark.parametrize(
    ("prices", "image_prices", "tool_usage"),
    [(None, None, IMAGE), (PRICES, None, IMAGE), (None, IMAGE_PRICES, IMAGE), (PRICES, IMAGE_PRICES, None)],
    ids=["no prices", "no prices of the tool", "no prices of the model", "no tokens of the tool"],
)
def test_the_money_is_unknown_if_a_price_or_a_count_is_missing(
    prices: Prices | None, image_prices: Prices | None, tool_usage: Any
) -> None:
    facts = Meter(prices=prices, image_prices=image_prices).as_dict(assemble(whole(Clock(), tool_usage=tool_usage)))
    assert facts["cost"] is None
    assert [response["cost"] for response in facts["responses"]] == [None]


@pytest.mark.parametrize(
    ("order", "prices", "image_prices", "cost", "reported"),
    [
        (Order(api="images", items=2), None, IMAGE_PRICES, 16 * 5 + 472 * 40, None),
        (Order(api="images", items=2, is_streamed=False), None, IMAGE_PRICES, 16 * 5 + 472 * 40, None),
        (Order(api="router-images"), None, IMAGE_PRICES, None, 0.03388125),
        (Order(api="router-images"), None, Prices(input=1, output=4), 1125 + 1120 * 4, 0.03388125),
        (Order(api="seedream", items=2), None, IMAGE_PRICES, 32448 * 40, None),
        (Order(api="chat"), PRICES, None, 12 * 2 + 1302 * 10, None),
        (Order(api="gemini"), PRICES, None, 12 * 2 + 1120 * 10, None),
        (Order(api="interactions"), PRICES, None, 12 * 2 + 1120 * 10, None),
        (Order(dialect="openai-2025", turns=2), PRICES, IMAGE_PRICES, None, None),
    ],
    ids=lambda value: getattr(value, "api", ""),
)
def test_the_money_of_each_api(
    order: Order, prices: Prices | None, image_prices: Prices | None, cost: float | None, reported: float | None
) -> None:
    facts = Meter(prices=prices, image_prices=image_prices).as_dict(assemble(play(order).body))
    assert facts["cost"] == (None if cost is None else pytest.approx(cost / 1e6))
    assert facts["responses"][0]["reported_cost"] == reported


def test_each_response_of_a_stream_has_its_tokens() -> None:
    result = assemble(open_events(ROOT / "fixtures" / "lanes.jsonl"))
    facts = Meter(prices=PRICES, image_prices=IMAGE_PRICES).as_dict(result)
    assert [response["lane"] for response in facts["responses"]] == ["lane-1", "lane-2"]
    each = (1979 * 2 + 67 * 10 + 16 * 5 + 4260 * 40) / 1e6
    assert [response["cost"] for response in facts["responses"]] == [pytest.approx(each)] * 2
    assert facts["cost"] == pytest.approx(2 * each)


def test_a_job_is_one_line_of_json() -> None:
    clock = Clock()
    meter = Meter(clock=clock)
    result = assemble(clock.timed((1, samples.done("a\nb\u2028c", samples.png()))), on_update=meter)
    line = meter.as_json(result)
    assert len(line.splitlines()) == 1
    assert json.loads(line) == json.loads(json.dumps(meter.as_dict(result)))
    assert samples.b64(samples.png())[:20] not in line


def test_wrong_arguments_of_a_meter_say_what_works() -> None:
    with pytest.raises(UsageError, match=r"prices are Prices\(input=…, output=…\), not dict"):
        Meter(prices={"input": 1})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="clock is a function"):
        Meter(clock=1.0)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="result is a Result, as assemble returns it, not list"):
        Meter().as_dict([])  # type: ignore[arg-type]
