"""The numbers of tokens in the usage of each service, and the money at the caller's prices."""

from __future__ import annotations

from typing import Any

import pytest

from imgassemble import UsageError
from imgassemble.meter import Prices
from imgassemble.meter.tokens import TokenCount, read_reported_cost, read_tokens, sum_tokens

IMAGE_TOOL = {
    "input_tokens": 300,
    "input_tokens_details": {"image_tokens": 200, "text_tokens": 100},
    "output_tokens": 4260,
    "output_tokens_details": {"image_tokens": 4260, "text_tokens": 0},
    "total_tokens": 4560,
}
USAGES: dict[str, tuple[dict[str, Any], tuple[int, int | None, int, int, int | None]]] = {
    "Responses API": (
        {
            "input_tokens": 1979,
            "input_tokens_details": {"cached_tokens": 1024},
            "output_tokens": 67,
            "total_tokens": 2046,
        },
        (1979, None, 1024, 67, None),
    ),
    "image tool": (IMAGE_TOOL, (300, 200, 0, 4260, 4260)),
    "Images API without output details": (
        {"input_tokens": 16, "input_tokens_details": {"image_tokens": 0, "text_tokens": 16}, "output_tokens": 272},
        (16, 0, 0, 272, None),
    ),
    "chat of OpenRouter": (
        {"prompt_tokens": 12, "completion_tokens": 1302, "completion_tokens_details": {"image_tokens": 1290}},
        (12, None, 0, 1302, 1290),
    ),
    "the TypeScript SDK": (
        {"promptTokens": 12, "promptTokensDetails": {"cachedTokens": 4}, "completionTokens": 9},
        (12, None, 4, 9, None),
    ),
    "Gemini": (
        {
            "promptTokenCount": 12,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
            "candidatesTokenCount": 1120,
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
            "thoughtsTokenCount": 200,
            "toolUsePromptTokenCount": 5,
            "totalTokenCount": 1337,
        },
        (17, 0, 0, 1320, 1120),
    ),
    "Interactions": (
        {
            "total_input_tokens": 12,
            "total_cached_tokens": 3,
            "total_output_tokens": 1120,
            "output_tokens_by_modality": [{"modality": "image", "tokens": 1120}],
        },
        (12, None, 3, 1120, 1120),
    ),
    "Seedream": ({"generated_images": 2, "output_tokens": 32448, "total_tokens": 32448}, (0, None, 0, 32448, None)),
}


@pytest.mark.parametrize("service", USAGES)
def test_the_tokens_of_each_service_are_read(service: str) -> None:
    usage, (sent, sent_images, cached, made, made_images) = USAGES[service]
    assert read_tokens(usage) == TokenCount(
        input=sent, input_image=sent_images, input_cached=cached, output=made, output_image=made_images
    )


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
        {"generated_images": 1},
        {"input_tokens": "many", "output_tokens": True},
        {"input_tokens": -1, "output_tokens": float("nan")},
        {"input_tokens": 10**400, "output_tokens": float("inf"), "input_tokens_details": 7},
    ],
)
def test_a_usage_without_numbers_has_no_tokens(usage: dict[str, Any] | None) -> None:
    assert read_tokens(usage) is None


def test_each_kind_of_token_has_its_price() -> None:
    tokens = read_tokens(IMAGE_TOOL | {"input_tokens_details": {"image_tokens": 200, "cached_tokens": 50}})
    assert tokens is not None
    prices = Prices(input=5, cached_input=1, image_input=10, output=8, image_output=40)
    assert tokens.cost(prices) == pytest.approx((100 * 5 + 200 * 10 - 50 * (5 - 1) + 4260 * 40) / 1e6)
    assert tokens.cost(Prices(input=5, output=40)) == pytest.approx((300 * 5 + 4260 * 40) / 1e6)


def test_a_cost_is_unknown_if_the_service_does_not_tell_which_tokens_are_images() -> None:
    tokens = read_tokens({"promptTokenCount": 12, "candidatesTokenCount": 1120})
    assert tokens is not None
    prices = Prices(input=0.5, output=3, image_output=60)
    assert tokens.cost(prices) is None
    assert tokens.cost(prices, draws_only=True) == pytest.approx((12 * 0.5 + 1120 * 60) / 1e6)


def test_the_tokens_of_several_images_are_added() -> None:
    one, other = read_tokens(IMAGE_TOOL), read_tokens({"output_tokens": 40})
    assert sum_tokens([one, None, one]) == TokenCount(
        input=600, input_image=400, input_cached=0, output=8520, output_image=8520
    )
    assert sum_tokens([one, other]) == TokenCount(
        input=300, input_image=None, input_cached=0, output=4300, output_image=None
    )
    assert sum_tokens([None]) is None


def test_the_cost_that_a_service_reports_is_read() -> None:
    assert read_reported_cost({"cost": 0.03388125}, None, {"cost": 0.01}) == pytest.approx(0.04388125)
    for wrong in (None, "free", True, -1, float("nan"), 10**400):
        assert read_reported_cost({"cost": wrong}) is None


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "5", True])
def test_a_price_is_a_number_from_0(wrong: Any) -> None:
    with pytest.raises(UsageError, match="cached_input is a price for a million tokens, a number from 0, not "):
        Prices(input=1, output=1, cached_input=wrong)
    with pytest.raises(UsageError, match="input is a price"):
        Prices(input=None, output=1)  # type: ignore[arg-type]
