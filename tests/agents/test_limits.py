"""What a submission is counted against, and what its sender is told."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from agents.limits import Limits, Month, bill, duration, headers, refusal, seconds
from taskqueue.buckets import NEVER, Meter, Reading

KEY = uuid.UUID(int=7)
REQUESTS, TOKENS = Meter("minute", "requests", 60, 1), Meter("minute", "tokens", 100, 40)
KEY_TOKENS, MONTH = Meter("minute", f"tokens:{KEY}", 50, 40), Meter("month", f"month-2026-11:{KEY}", 90, 40)


def test_only_what_is_limited_is_counted() -> None:
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    costs = bill(
        tenant=KEY, limits=Limits(60, 100, 0), key=KEY, key_limits=Limits(0, 50, 90), at=at, requests=1, tokens=40
    )
    assert costs.meters == (REQUESTS, TOKENS, KEY_TOKENS, MONTH)
    assert costs.totals() == [("month-2026-11:00000000-0000-0000-0000-000000000007", KEY)]
    assert [meter.cost for meter in costs.refunded()] == [-1, -40, -40, -40]
    assert bill(tenant=KEY, limits=Limits(), key=KEY, key_limits=Limits(), at=at, requests=1, tokens=9).meters == ()


@pytest.mark.parametrize(
    ("moment", "start", "end"),
    [
        ((2026, 11, 24, 12), (2026, 11, 1), (2026, 12, 1)),
        ((2026, 12, 31, 23, 59, 59), (2026, 12, 1), (2027, 1, 1)),
        ((2027, 1, 1), (2027, 1, 1), (2027, 2, 1)),
        ((2028, 2, 29), (2028, 2, 1), (2028, 3, 1)),
    ],
)
def test_months(moment: tuple[int, ...], start: tuple[int, ...], end: tuple[int, ...]) -> None:
    of = Month.of(datetime(*moment, tzinfo=UTC))  # type: ignore[misc,arg-type]
    assert of == (datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC))  # type: ignore[misc,arg-type]
    assert of.end_ms == of.end.timestamp() * 1000


@pytest.mark.parametrize(
    ("ms", "said"),
    [(0, "0ms"), (17, "17ms"), (1000, "1s"), (8640, "8.64s"), (60_000, "1m0s"), (90_500, "1m30.5s")],
)
def test_durations_as_openai_writes_them(ms: int, said: str) -> None:
    assert duration(ms) == said


@pytest.mark.parametrize(("ms", "s"), [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)])
def test_retry_after_is_never_too_early(ms: int, s: int) -> None:
    assert seconds(ms) == s


def test_headers_tell_of_the_tighter_one() -> None:
    said = headers([Reading(REQUESTS, 59, 1000, 0), Reading(TOKENS, 60, 24_000, 0), Reading(KEY_TOKENS, 10, 48_000, 0)])
    assert said == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "50",
        "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": "48s",
    }
    assert headers([Reading(MONTH, 5, 10**9, 0)]) == {}


def test_a_refusal_names_the_longest_wait() -> None:
    refused = refusal([Reading(REQUESTS, 0, 60_000, 300), Reading(KEY_TOKENS, 10, 48_000, 36_001)])
    assert (refused.status, refused.code, refused.retry_after_s) == (429, "rate_limit_exceeded", 37)
    assert "50 tokens per minute of this API key" in refused.detail
    assert refused.headers()["x-ratelimit-remaining-tokens"] == "10"
    month = refusal([Reading(MONTH, 0, 86_400_000, 86_400_000)])
    assert (month.status, month.code, month.retry_after_s) == (429, "insufficient_quota", 86_400)


def test_what_never_fits_is_no_matter_of_waiting() -> None:
    refused = refusal([Reading(TOKENS, 0, 60_000, 9), Reading(KEY_TOKENS._replace(cost=51), 50, 0, NEVER)])
    assert (refused.status, refused.code, refused.retry_after_s) == (413, "over_token_limit", None)
    assert "51 tokens" in refused.detail
