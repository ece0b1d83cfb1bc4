"""The split of an hour as a table, and that nothing is ever lost of it."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.split import KINDS, Charge, Kind, Life, WorkerHour, apportion, charges, gpu_ms, parts_of, span

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("total", "weights", "expected"),
    [
        (10, [1, 1], [5, 5]),
        (10, [1, 1, 1], [4, 3, 3]),  # of equals the first has what is left over
        (10, [1, 2, 4], [1, 3, 6]),
        (1, [1, 2], [0, 1]),
        (0, [1, 2], [0, 0]),
        (7, [0, 0], [7, 0]),  # without any weight the first has it all
        (7, [0, 3], [0, 7]),
    ],
)
def test_parts_by_the_largest_remainder(total: int, weights: list[int], expected: list[int]) -> None:
    assert apportion(total, [Fraction(weight) for weight in weights]) == expected


@pytest.mark.parametrize("weights", [[], [Fraction(1), Fraction(-1)]])
def test_parts_of_nobody_or_of_less_than_nothing_are_refused(weights: list[Fraction]) -> None:
    with pytest.raises(ValueError, match=r"nobody|negative"):
        apportion(5, weights)


weights = st.lists(st.fractions(0, 10**9, max_denominator=10**6), min_size=1, max_size=12)


@settings(deadline=None)
@given(st.integers(0, 10**10), weights)
def test_any_parts_sum_to_the_whole_and_lie_within_one_of_their_share(
    total: int, given_weights: list[Fraction]
) -> None:
    parts = apportion(total, given_weights)
    assert sum(parts) == total
    assert min(parts) >= 0
    if whole := sum(given_weights):
        assert all(abs(part - total * one / whole) < 1 for part, one in zip(parts, given_weights, strict=True))


@pytest.mark.parametrize(
    ("life", "now", "expected"),
    [
        (Life("w", 0, 10, None), 30, (0, 10, 30)),
        (Life("w", 0, 10, 20), 30, (0, 10, 20)),
        (Life("w", 0, None, 20), 30, (0, 20, 20)),  # never ready: starting until its end
        (Life("w", 0, 10, None), 2 * HOUR, (0, 10, HOUR)),
        (Life("w", -50, -10, None), 30, (0, 0, 30)),  # ready before the hour
        (Life("w", -50, HOUR + 5, None), 2 * HOUR, (0, HOUR, HOUR)),  # starts through all of it
        (Life("w", -50, -20, -10), 30, None),
        (Life("w", HOUR, None, None), 2 * HOUR, None),
        (Life("w", 40, None, None), 30, None),  # a clock that is ahead
        (Life("w", 0, 10, 50), 30, (0, 10, 30)),
    ],
)
def test_the_part_of_a_life_in_an_hour(life: Life, now: int, expected: tuple[int, int, int] | None) -> None:
    assert span(life, begin_ms=0, end_ms=HOUR, now_ms=now) == expected


ANN, BOB = "ann", "bob"


def hour(worker: str, starting: int, busy: int, idle: int, **served: int) -> WorkerHour:
    parts: dict[Kind, int] = {"starting": starting, "busy": busy, "idle": idle}
    return WorkerHour(worker, parts, {tenant: Fraction(weight) for tenant, weight in served.items()})


@pytest.mark.parametrize(
    ("workers", "dedicated_to", "expected"),
    [
        # busy by what was served; starting and idle by who was busy
        (
            [hour("w", 40, 100, 60, ann=3, bob=1)],
            None,
            [("w", "busy", ANN, 75), ("w", "busy", BOB, 25), ("w", "starting", ANN, 30), ("w", "starting", BOB, 10),
             ("w", "idle", ANN, 45), ("w", "idle", BOB, 15)],
        ),
        # an idle worker is paid by those who were busy on another of the pool
        (
            [hour("w", 0, 100, 0, ann=1), hour("v", 0, 0, 50)],
            None,
            [("w", "busy", ANN, 100), ("v", "idle", ANN, 50)],
        ),
        # nobody was busy: the operator's, or the pool's own tenant's
        ([hour("w", 5, 0, 7)], None, [("w", "starting", None, 5), ("w", "idle", None, 7)]),
        ([hour("w", 5, 0, 7)], BOB, [("w", "starting", BOB, 5), ("w", "idle", BOB, 7)]),
        # busy for turns that left no token: by what the pool served, else as idle time
        ([hour("w", 0, 10, 0), hour("v", 0, 10, 0, ann=1)], None, [("w", "busy", ANN, 10), ("v", "busy", ANN, 10)]),
        ([hour("w", 0, 10, 4)], None, [("w", "busy", None, 10), ("w", "idle", None, 4)]),
        # served a little, busy for less than a millisecond
        ([hour("w", 0, 0, 4, ann=1)], None, [("w", "idle", None, 4)]),
    ],
)  # fmt: skip
def test_who_is_charged(
    workers: list[WorkerHour], dedicated_to: str | None, expected: list[tuple[str, Kind, str | None, int]]
) -> None:
    assert charges(workers, dedicated_to=dedicated_to) == [Charge(*one) for one in expected]


hours = st.builds(
    WorkerHour,
    worker=st.uuids().map(str),
    parts=st.fixed_dictionaries({kind: st.integers(0, 8 * HOUR) for kind in KINDS}),
    served=st.dictionaries(st.sampled_from("abcdef"), st.fractions(0, 10**7, max_denominator=10**6), max_size=6),
)


@settings(deadline=None)
@given(st.lists(hours, max_size=8, unique_by=lambda one: one.worker), st.none() | st.just("z"))
def test_any_charges_sum_to_the_time_of_each_worker_and_kind(
    workers: list[WorkerHour], dedicated_to: str | None
) -> None:
    sums: defaultdict[tuple[str, Kind], int] = defaultdict(int)
    made = charges(workers, dedicated_to=dedicated_to)
    for charge in made:
        assert charge.gpu_ms > 0
        sums[charge.worker, charge.kind] += charge.gpu_ms
    assert sums == {(one.worker, kind): ms for one in workers for kind, ms in one.parts.items() if ms}
    assert len({(one.worker, one.kind, one.tenant) for one in made}) == len(made)


lives = st.builds(
    lambda begun, starts, lasts, units: Life("w", begun, begun + starts, begun + starts + lasts, units),
    st.integers(-5 * HOUR, 5 * HOUR), st.integers(0, 2 * HOUR), st.integers(0, 3 * HOUR), st.integers(10, 8000),
)  # fmt: skip


@settings(deadline=None)
@given(lives, st.lists(st.integers(0, HOUR), min_size=1))
def test_a_lifes_hours_sum_to_it_whatever_its_share_of_a_gpu(life: Life, busy: list[int]) -> None:
    assert life.ended_ms is not None
    total = 0
    for number in range(-6, 12):
        part = span(life, begin_ms=number * HOUR, end_ms=(number + 1) * HOUR, now_ms=99 * HOUR)
        if part is not None:
            parts = parts_of(life, part, busy_ms=busy[number % len(busy)])
            assert sum(parts.values()) == gpu_ms(life, part)
            total += sum(parts.values())
    assert total == (life.ended_ms - life.begun_ms) * life.units // 1000
