"""Minutes from a counter that only grows: nothing lost, nothing twice, and what nobody saw is no zero."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.history.minutes import MINUTE_S, SPREAD_S, Minute, Reading, Tally, after, resumed


def read(tally: Tally | None, *readings: Reading) -> tuple[Tally | None, list[Minute]]:
    """All readings in turn."""
    found: list[Minute] = []
    for reading in readings:
        tally, closed = after(tally, reading)
        found += closed
    return tally, found


def each_second(begin: int, end: int, per_s: int = 2, tokens: int = 10) -> list[Reading]:
    """A steady stream since 0, as a loop reads it."""
    return [Reading(float(at), per_s * at, per_s * at * tokens, waiting=at % 7) for at in range(begin, end)]


def test_a_steady_stream_is_the_same_in_every_minute() -> None:
    _, minutes = read(None, *each_second(0, 181))
    assert [(one.begins_at, one.arrived, one.tokens, one.most_waiting) for one in minutes] == [
        (0, 120, 1200, 6),
        (60, 120, 1200, 6),
        (120, 120, 1200, 6),
    ]
    assert [(one.arrived_after, one.tokens_after) for one in minutes] == [(120, 1200), (240, 2400), (360, 3600)]


def test_the_minute_in_which_the_watch_begins_is_not_known() -> None:
    _, minutes = read(None, *each_second(17, 130))
    assert [one.begins_at for one in minutes] == [60]


def test_between_readings_what_came_is_spread_evenly_and_none_is_lost() -> None:
    _, minutes = read(None, Reading(0, 0, 0), Reading(50, 100, 0), Reading(70, 140, 0), Reading(120, 141, 0))
    assert [(one.begins_at, one.arrived) for one in minutes] == [(0, 120), (60, 21)]


def test_what_nobody_saw_is_a_gap() -> None:
    readings = [*each_second(0, 100), *each_second(400, 541)]
    _, minutes = read(None, *readings)
    assert [one.begins_at for one in minutes] == [0, 420, 480]
    assert [one.arrived for one in minutes] == [120, 120, 120]


def test_a_quiet_minute_is_a_zero() -> None:
    _, minutes = read(None, *(Reading(float(at), 5, 50) for at in range(121)))
    assert [one.arrived for one in minutes] == [0, 0]


def test_another_leader_goes_on_from_what_is_stored() -> None:
    """The first ends at 130 s, the second begins at 140: the minute that they share is whole."""
    _, first = read(None, *each_second(0, 130))
    _, second = read(resumed(first[-1]), *each_second(140, 241))
    assert [(one.begins_at, one.arrived) for one in first + second] == [(0, 120), (60, 120), (120, 120), (180, 120)]


def test_another_leader_that_comes_late_leaves_a_gap() -> None:
    _, first = read(None, *each_second(0, 130))
    late = first[-1].begins_at + MINUTE_S + int(SPREAD_S) + 1
    _, second = read(resumed(first[-1]), *each_second(late, 361))
    assert [one.begins_at for one in second] == [240, 300]


def test_a_counter_that_begins_anew_makes_no_spike_and_loses_nothing() -> None:
    """At 30 s Redis lost its data, with 40 turns that waited or ran; all come back at 35 s, and two new ones each second."""
    before = [Reading(float(at), 1000 + 2 * at, 0, held=40) for at in range(30)]
    after_it = [Reading(float(at), 2 * (at - 29) + (40 if at >= 35 else 0), 0) for at in range(30, 121)]
    _, minutes = read(None, *before, *after_it)
    assert sum(one.arrived for one in minutes) == 240
    assert max(one.arrived for one in minutes) <= 120


def test_what_never_comes_back_is_owed_for_a_minute_only() -> None:
    before = [Reading(float(at), 1000, 0, held=10_000) for at in range(30)]
    after_it = [Reading(float(at), at - 29, 0) for at in range(30, 181)]
    _, minutes = read(None, *before, *after_it)
    assert [one.arrived for one in minutes] == [0, 30, 60]


@given(
    st.lists(st.tuples(st.floats(0.05, SPREAD_S - 1), st.integers(0, 50)), min_size=1, max_size=60),
    st.floats(0, 120),
)
def test_the_minutes_and_what_is_open_are_all_that_came(steps: list[tuple[float, int]], begin: float) -> None:
    at, count = begin, 7
    first = Reading(at, count, 3 * count)
    readings = [first]
    for step_s, came in steps:
        at, count = at + step_s, count + came
        readings.append(Reading(at, count, 3 * count))
    tally, minutes = read(None, *readings)
    assert tally is not None
    whole = tally.arrived + sum(one.arrived for one in minutes)
    begun = minutes[0].arrived_after - minutes[0].arrived if minutes else None
    if begun is not None:
        assert begun + whole == count
    assert [one.begins_at for one in minutes] == [minutes[0].begins_at + 60 * n for n in range(len(minutes))]
    for earlier, later in itertools.pairwise(minutes):
        assert later.arrived_after == earlier.arrived_after + later.arrived
        assert later.tokens_after == earlier.tokens_after + later.tokens
