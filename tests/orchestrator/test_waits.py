"""Quantiles of waits from a histogram: near enough, and of sums of histograms as of the whole."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.history.waits import LAST, LEAST_S, added, lower_s, quantile_s

WAITS = st.lists(st.floats(0, 15_000), min_size=1, max_size=200)


def histogram(waits: list[float]) -> list[int]:
    counts = [0] * (LAST + 1)
    for wait in waits:
        counts[next(bucket for bucket in range(LAST, -1, -1) if wait >= lower_s(bucket))] += 1
    return counts


def test_of_no_turns_there_is_none() -> None:
    assert quantile_s([], 0.5, longest_s=0.0) is None
    assert quantile_s([0, 0], 0.5, longest_s=0.0) is None


def test_no_quantile_is_beyond_the_longest_wait() -> None:
    assert quantile_s([4], 0.95, longest_s=0.002) == pytest.approx(0.0019)
    assert quantile_s([0] * LAST + [1], 0.95, longest_s=50_000.0) == pytest.approx(48_000, rel=0.05)


@given(WAITS, st.sampled_from([0.5, 0.95, 1.0]))
def test_a_quantile_is_at_most_a_fifth_off(waits: list[float], share: float) -> None:
    exact = sorted(waits)[math.ceil(share * len(waits)) - 1]
    found = quantile_s(histogram(waits), share, longest_s=max(waits))
    assert found is not None
    if exact < lower_s(LAST):
        assert abs(found - exact) <= max(LEAST_S, exact * 0.2)


@given(WAITS, WAITS)
def test_sums_are_the_whole(one: list[float], other: list[float]) -> None:
    assert added(histogram(one), histogram(other)) == histogram(one + other)


def test_short_and_long_histograms_add_up() -> None:
    assert added([1], [1, 0, 2]) == added([1, 0, 2], [1]) == [2, 0, 2]
