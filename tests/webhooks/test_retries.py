"""When a delivery is tried again, as a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from webhooks.retries import LONGEST_WAIT, WINDOW, Verdict, asked_wait, backoff, judge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=20)


def verdict(
    status: int | None, *, retry_after: str | None = None, tries: int = 1, give_up_at: datetime = LATER
) -> Verdict:
    return judge(status=status, retry_after=retry_after, tries=tries, now=NOW, give_up_at=give_up_at, chance=0.5)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    assert verdict(status) == Verdict("delivered")


@pytest.mark.parametrize("status", [None, 199, 300, 302, 400, 401, 404, 429, 500, 503])
def test_anything_else_is_tried_again(status: int | None) -> None:
    assert verdict(status) == Verdict("pending", NOW + timedelta(seconds=5))


def test_gone_is_the_end_at_once() -> None:
    assert verdict(410) == Verdict("failed", gone=True)


@pytest.mark.parametrize(
    ("tries", "wait_s"), [(1, 5), (2, 15), (3, 45), (4, 135), (8, 10935), (9, 14400), (400, 14400)]
)
def test_the_waits_grow_to_their_bound(tries: int, wait_s: float) -> None:
    assert backoff(tries, chance=0.5) == timedelta(seconds=wait_s)


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.8), (0.5, 1.0), (0.9999, 1.2)])
def test_the_waits_are_spread(chance: float, share: float) -> None:
    assert backoff(9, chance=chance) / LONGEST_WAIT == pytest.approx(share, abs=0.001)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        (None, 0),
        ("120", 120),
        (" 7 ", 7),
        ("99999999999999999999", WINDOW.total_seconds()),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", WINDOW.total_seconds()),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("Sun, 01 Mar 2026 12:01:00", 0),
        ("²", 0),
    ],
)
def test_retry_after_is_read(header: str | None, wait_s: float) -> None:
    assert asked_wait(header, now=NOW) == timedelta(seconds=wait_s)


def test_retry_after_is_honoured_where_it_is_longer() -> None:
    assert verdict(429, retry_after="120").due_at == NOW + timedelta(seconds=120)
    assert verdict(503, retry_after="1").due_at == NOW + timedelta(seconds=5)


def test_the_last_attempt_is_made_when_the_day_is_over() -> None:
    assert verdict(500, tries=9, give_up_at=NOW + timedelta(hours=1)).due_at == NOW + timedelta(hours=1)
    assert verdict(500, retry_after="99999", give_up_at=NOW + timedelta(hours=1)).due_at == NOW + timedelta(hours=1)
    assert verdict(500, give_up_at=NOW) == Verdict("failed")


def test_a_day_holds_some_dozen_attempts() -> None:
    at, tries = NOW, 0
    while True:
        tries += 1
        after = judge(status=500, retry_after=None, tries=tries, now=at, give_up_at=NOW + WINDOW, chance=0.5)
        if after.due_at is None:
            break
        at = after.due_at
    assert (after.state, at, tries) == ("failed", NOW + WINDOW, 14)
