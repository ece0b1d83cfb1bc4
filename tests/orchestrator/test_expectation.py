"""What a policy remembers of arrivals, and what it expects of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.policies.arrivals import BUCKET_S, REACH, WINDOW, WINDOWS, Arrivals, after, need
from orchestrator.policies.expectation import BEYOND, expectation, student


def stream(readings: list[tuple[float, int]]) -> Arrivals:
    kept = None
    for at, count in readings:
        kept = after(kept, count=count, now=at, bound_s=5.0)
    assert kept is not None
    return kept


# -- arrivals --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("counts", "bound_s", "rate"),
    [
        ([], 5.0, 0.0),
        ([100.0], 5.0, 10.0),  # a burst may be served over its own time and the bound
        ([100.0], 45.0, 2.0),
        ([50.0, 50.0], 5.0, 100 / 15),
        ([100.0, 0.0], 5.0, 100 / 15),  # an interval that ends with the last count
        ([50.0] * REACH, 5.0, 10.0),  # over the longest interval no queue may grow
    ],
)
def test_need(counts: list[float], bound_s: float, rate: float) -> None:
    assert need(counts, bound_s=bound_s) == pytest.approx(rate)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1000), min_size=1, max_size=REACH - 1), st.floats(0.5, 60))
def test_a_server_of_the_needed_rate_keeps_every_wait_under_the_bound(counts: list[float], bound_s: float) -> None:
    rate = max(need(counts[:end], bound_s=bound_s) for end in range(1, len(counts) + 1))
    left, longest = 0.0, 0.0
    for came in counts:
        left = max(0.0, left + came - rate * BUCKET_S)
        longest = max(longest, left)
    assert longest <= rate * bound_s + 1e-6


def test_counts_and_windows_are_those_of_the_clock() -> None:
    kept = stream([(float(second), 3 * second) for second in range(62)])
    assert kept.counts == (15.0,) * 12
    assert len(kept.needs) == 2
    assert [kept.recent(span_s) for span_s in (1.0, 5.0, 12.0, 61.0)] == [3.0] * 4
    assert kept.recent(122.0) == 1.5  # what was not seen did not come
    long = stream([(float(second), second) for second in range(0, 2000, 5)])
    assert (len(long.counts), len(long.needs)) == (REACH, WINDOWS)
    assert len(long.window) < WINDOW


def test_a_short_break_is_spread_evenly_and_a_long_one_forgets() -> None:
    assert stream([(0.0, 0), (20.0, 40)]).counts == (10.0,) * 4
    assert stream([(0.0, 0), (20.0, 40), (81.0, 500)]) == Arrivals(at=81.0, count=500, bucket_at=81.0)


def test_a_counter_that_began_anew_counts_from_zero_and_an_older_reading_changes_nothing() -> None:
    assert stream([(0.0, 0), (5.0, 100), (10.0, 7)]).counts == (100.0, 7.0)
    kept = stream([(0.0, 0), (5.0, 100)])
    assert after(kept, count=900, now=4.0, bound_s=5.0) is kept


# -- the expectation -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("share", "freedom", "value"),
    [(0.99, 1, 31.821), (0.99, 2, 6.965), (0.99, 5, 3.365), (0.99, 10, 2.764), (0.99, 30, 2.457), (0.95, 10, 1.812)],
)
def test_student_is_that_of_the_tables(share: float, freedom: int, value: float) -> None:
    assert student(share, freedom) == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize(
    ("values", "by", "expected"),
    [
        ((2.0,) * 12, "last", 2.0),
        (tuple(float(value) for value in range(12)), "trend", 13.0),
        ((1.0,) * 12 + (9.0,) * 12, "last", 9.0),
        ((0.0, 6.0) * 15, "mean", 3.0),
    ],
)
def test_who_was_right_speaks(values: tuple[float, ...], by: str, expected: float) -> None:
    ahead = 1 if by == "mean" else 2
    found = expectation(values, ahead=ahead, share=0.99)
    assert found is not None
    assert (found.by, found.expected) == (by, pytest.approx(expected))


def test_without_an_error_known_there_is_none() -> None:
    assert expectation((1.0, 2.0), ahead=2, share=0.99) is None
    assert expectation((), ahead=1, share=0.99) is None


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 100), min_size=3, max_size=WINDOWS).map(tuple), st.integers(1, 2))
def test_the_margin_has_a_limit(values: tuple[float, ...], ahead: int) -> None:
    found = expectation(values, ahead=ahead, share=0.99)
    assert found is not None
    assert found.margin >= 0
    assert found.most <= max(found.expected, max(values) * (1 + BEYOND / len(values))) + 1e-9
