"""Reads the numbers of tokens from the usage that services report, and multiplies them by the prices of the caller.

Must not know: times, updates, prices of any service.

Sources of the names: openai-openapi (Responses, Images, chat), OpenRouter's openapi.yaml, google-genai
(`usageMetadata`; `usage` of Interactions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..arguments import shorten
from ..errors import UsageError

_MILLION = 1_000_000
_MOST = 2**53  # larger numbers are no counts and no money
# The names of each number, without underscores and capitals: services write input_tokens, inputTokens, InputTokens.
_INPUT = ("inputtokens", "prompttokens", "prompttokencount", "totalinputtokens")
_OUTPUT = ("outputtokens", "completiontokens", "candidatestokencount", "totaloutputtokens")
# Google counts these beside the input and the output.
_TOOL_INPUT = ("tooluseprompttokencount", "totaltoolusetokens")
_THOUGHTS = ("thoughtstokencount", "totalthoughttokens")
_CACHED = ("cachedcontenttokencount", "totalcachedtokens")
_INPUT_DETAILS = ("inputtokensdetails", "prompttokensdetails", "inputtokensbymodality")
_OUTPUT_DETAILS = (
    "outputtokensdetails",
    "completiontokensdetails",
    "candidatestokensdetails",
    "outputtokensbymodality",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The prices of one model, in any currency, for a million tokens each.

    Raises UsageError for a price that is no number from 0.

        Prices(input=2.50, cached_input=0.25, output=15)
    """

    input: float
    """Text, and images if `image_input` is None."""
    output: float
    """Text, and images if `image_output` is None."""
    cached_input: float | None = None
    """Input that the service had in its cache; None: the price of other input."""
    image_input: float | None = None
    """Images that were sent to the model; None: as `input`."""
    image_output: float | None = None
    """Images that the model made; None: as `output`."""

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            is_left_out = value is None and name not in ("input", "output")
            if not (is_left_out or _is_price(value)):
                raise UsageError(f"{name} is a price for a million tokens, a number from 0, not {shorten(value)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCount:
    """The tokens of one model, as the service reported them. None: the service does not tell."""

    input: int
    """All tokens that were sent to the model."""
    input_image: int | None
    """The tokens of images in `input`."""
    input_cached: int
    """The tokens in `input` that the service had in its cache."""
    output: int
    """All tokens that the model made, with those of its reasoning."""
    output_image: int | None
    """The tokens of images in `output`."""

    def as_dict(self) -> dict[str, int | None]:
        """Return the numbers by name."""
        return asdict(self)

    def cost(self, prices: Prices, *, draws_only: bool = False) -> float | None:
        """Return the money for these tokens, in the currency of the prices.

        draws_only: the output of the model is images only.

        Return None if images have a price of their own, and the service does not tell which tokens are images.
        """
        output_image = self.output if draws_only and self.output_image is None else self.output_image
        cached = min(self.input_cached, self.input)
        saved = 0.0 if prices.cached_input is None else cached * (prices.input - prices.cached_input)
        sent = _money(self.input, self.input_image, prices.input, prices.image_input)
        made = _money(self.output, output_image, prices.output, prices.image_output)
        return None if sent is None or made is None else round((sent + made - saved) / _MILLION, 9)


def read_tokens(usage: Mapping[str, Any] | None) -> TokenCount | None:
    """Return the numbers in a usage; None if it has none, or zeros only, which gateways send if they do not know."""
    if not usage:
        return None
    members = {_spelled(name): value for name, value in usage.items()}
    input_details, output_details = _first(members, _INPUT_DETAILS), _first(members, _OUTPUT_DETAILS)
    count = TokenCount(
        input=_sum(members, _INPUT, _TOOL_INPUT),
        input_image=_image_tokens(input_details),
        input_cached=_count(_first(members, _CACHED)) or _member_count(input_details, "cachedtokens") or 0,
        output=_sum(members, _OUTPUT, _THOUGHTS),
        output_image=_image_tokens(output_details),
    )
    return count if count.input or count.output else None


def sum_tokens(counts: Iterable[TokenCount | None]) -> TokenCount | None:
    """Return the sum of the counts that are known; None if there is none. A part is unknown if one count lacks it."""
    rows = [count.as_dict() for count in counts if count is not None]
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    sums: dict[str, Any] = {name: None if None in values else sum(values) for name, values in columns.items()}
    return TokenCount(**sums) if rows else None


def read_reported_cost(*usages: Mapping[str, Any] | None) -> float | None:
    """Return the money that a service reports itself, as OpenRouter does in US dollars; None if it reports none."""
    costs = [usage["cost"] for usage in usages if usage and _is_price(usage.get("cost"))]
    return round(sum(costs), 9) if costs else None


def add_costs(costs: Iterable[float | None]) -> float | None:
    """Return the sum; None if there is no cost, or one of them is unknown."""
    known = list(costs)
    return round(sum(known), 9) if known and None not in known else None  # type: ignore[arg-type]


def _money(count: int, images: int | None, price: float, image_price: float | None) -> float | None:
    """Return the money for `count` tokens, times a million; None if the number of images among them must be known."""
    if not count or image_price is None or image_price == price:
        return count * price
    if images is None:
        return None
    images = min(images, count)
    return (count - images) * price + images * image_price


def _image_tokens(details: Any) -> int | None:
    """Return the tokens of images: a member of a mapping, or the row of a modality in Google's lists."""
    if isinstance(details, Mapping):
        return _member_count(details, "imagetokens")
    if not isinstance(details, list | tuple):
        return None
    rows = [row for row in details if isinstance(row, Mapping) and str(row.get("modality")).upper().endswith("IMAGE")]
    return sum(_member_count(row, "tokencount") or _member_count(row, "tokens") or 0 for row in rows)


def _member_count(details: Any, name: str) -> int | None:
    members = details.items() if isinstance(details, Mapping) else ()
    return next((_count(value) for each, value in members if _spelled(each) == name), None)


def _first(members: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((members[name] for name in names if members.get(name) is not None), None)


def _sum(members: Mapping[str, Any], *names: tuple[str, ...]) -> int:
    return sum(_count(_first(members, each)) or 0 for each in names)


def _spelled(name: str) -> str:
    return str(name).replace("_", "").lower()


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST
    return int(value) if is_count else None


def _is_price(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST
