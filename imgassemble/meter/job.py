"""The listener that measures one job: seconds until each picture, and from the result tokens and money.

Must not know: how a stream is read, names of tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from time import monotonic
from typing import Any

from ..arguments import check_function, name_of_type
from ..assembly.items import Item
from ..assembly.results import ResponseSummary, Result
from ..assembly.updates import FinalReady, FinalWithdrawn, FrameAdded, StreamEnded, Update
from ..errors import UsageError
from ..frames.frame import Frame
from ..readonly import plain
from .tokens import Prices, TokenCount, add_costs, read_reported_cost, read_tokens, sum_tokens

_FINAL = "final"


class Meter:
    """A listener that measures one job. Its seconds begin when it is made: make it just before you send the request.

    prices: of the model that you ask, for the tokens in `ResponseSummary.usage`.
    image_prices: of the image tool, for the tokens in `ResponseSummary.image_usage`; also of a model whose whole answer
        is images (Images API, Seedream).
    clock: returns seconds, as `time.monotonic` does.

    No prices are built in. Raises UsageError for wrong arguments. Works with every driver; in a loop of your own call
    it with each update, or subscribe it.

        meter = Meter()
        result = assemble(stream, on_update=meter)
        print(meter.as_json(result))
    """

    def __init__(
        self,
        *,
        prices: Prices | None = None,
        image_prices: Prices | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        for name, value in (("prices", prices), ("image_prices", image_prices)):
            if not isinstance(value, Prices | None):
                raise UsageError(f"{name} are Prices(input=…, output=…), not {name_of_type(value)}")
        check_function("clock", clock)
        self._prices, self._image_prices, self._clock = prices, image_prices, clock
        self._start_s = clock()
        self._first_event_s: float | None = None
        self._first_update_s: float | None = None
        self._end: tuple[float, StreamEnded] | None = None
        self._seconds: dict[str, dict[str, float]] = {}

    def note_first_event(self) -> None:
        """Note the time of the first event. An assembler calls it if this meter is subscribed."""
        self._first_event_s = self._now_s

    def __call__(self, update: Update) -> None:
        """Note the time of an update."""
        now_s = self._now_s
        match update:
            case StreamEnded():
                self._end = now_s, update
                return
            case FrameAdded(item_id, frame):
                self._of_item(item_id).setdefault(str(frame.index), now_s)
            case FinalReady(item_id, is_provisional=False):
                self._of_item(item_id)[_FINAL] = now_s
            case FinalWithdrawn(item_id):
                self._of_item(item_id).pop(_FINAL, None)
        if self._first_update_s is None:
            self._first_update_s = now_s

    def seconds_of(self, item_id: str) -> dict[str, float]:
        """Return the seconds until each picture of the item `item_id`; {} if it has none.

        The key of a partial is its index as text, that of the result is "final". A provisional final has none.
        """
        return dict(self._seconds.get(item_id, {}))

    def frame_seconds(self, result: Result) -> dict[Frame, float]:
        """Return the seconds until each frame of `result`, for the captions of a sheet. Unknown ones are left out.

        film.save_sheet(result, "sheet.png", seconds=meter.frame_seconds(result))
        """
        _check_result(result)
        named = [(item.id, str(frame.index), frame) for item in result.items.values() for frame in item.partials]
        named += [(item.id, _FINAL, item.final) for item in result.items.values() if item.final]
        known = ((frame, self._seconds.get(item_id, {}).get(name)) for item_id, name, frame in named)
        return {frame: seconds for frame, seconds in known if seconds is not None}

    def as_dict(self, result: Result | None = None) -> dict[str, Any]:
        """Return the measurements as JSON-able facts. Without `result` they have no tokens and no money.

        result: of the stream; after an exception of the stream it is `assembler.result`.

        The keys are `outcome`, `error`, `first_event_s`, `first_update_s`, `end_s`, `items`, `responses` and `cost`.
        """
        if result is not None:
            _check_result(result)
        end_s, end = self._end or (None, None)
        responses = [] if result is None else self._responses(result)
        return {
            "outcome": end and end.outcome,
            "error": end and plain(end.error),
            "first_event_s": self._first_event_s,
            "first_update_s": self._first_update_s,
            "end_s": end_s,
            "items": [{"id": item_id, "seconds": dict(seconds)} for item_id, seconds in self._seconds.items()],
            "responses": responses,
            "cost": add_costs(response["cost"] for response in responses),
        }

    def as_json(self, result: Result | None = None) -> str:
        """Return the measurements as one line of JSON, without the end of the line. `result`: as for `as_dict`."""
        return json.dumps(self.as_dict(result))

    def __repr__(self) -> str:
        n_pictures = sum(map(len, self._seconds.values()))
        pictures, outcome = "picture" if n_pictures == 1 else "pictures", self._end[1].outcome if self._end else "open"
        return f"<Meter: {n_pictures} {pictures}, {outcome}>"

    @property
    def _now_s(self) -> float:
        return round(self._clock() - self._start_s, 3)

    def _of_item(self, item_id: str) -> dict[str, float]:
        return self._seconds.setdefault(item_id, {})

    def _responses(self, result: Result) -> list[dict[str, Any]]:
        items: dict[str | None, list[Item]] = {}
        for item in result.items.values():
            items.setdefault(item.response_id, []).append(item)
        return [self._response(response, items.pop(response.id, [])) for response in result.responses]

    def _response(self, response: ResponseSummary, items: list[Item]) -> dict[str, Any]:
        """Return the facts of a response. The Images API reports its usage with images only."""
        image_usages = [response.image_usage] if response.image_usage else [item.usage for item in items]
        tokens, image_tokens = read_tokens(response.usage), sum_tokens(map(read_tokens, image_usages))
        has_picture = any(item.latest for item in items)
        return {
            "id": response.id,
            "lane": response.lane,
            "model": response.model,
            "outcome": response.outcome,
            "tokens": plain(tokens),
            "image_tokens": plain(image_tokens),
            "cost": self._cost(tokens, image_tokens, has_picture=has_picture),
            "reported_cost": read_reported_cost(response.usage, *image_usages),
        }

    def _cost(self, tokens: TokenCount | None, image_tokens: TokenCount | None, *, has_picture: bool) -> float | None:
        """Return the money for a response; None if a price or a number of tokens is missing."""
        is_asked = tokens is not None or (self._prices is not None and image_tokens is None)
        is_drawn = image_tokens is not None or (self._image_prices is not None and has_picture)
        parts = [(tokens, self._prices, False)] * is_asked + [(image_tokens, self._image_prices, True)] * is_drawn
        return add_costs(
            count.cost(prices, draws_only=draws_only) if count and prices else None
            for count, prices, draws_only in parts
        )


def _check_result(result: object) -> None:
    if not isinstance(result, Result):
        raise UsageError(f"result is a Result, as assemble returns it, not {name_of_type(result)}")
