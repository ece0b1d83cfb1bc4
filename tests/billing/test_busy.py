"""How long a worker was busy, from the sums that it told."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.busy import LEAST_WEIGHT, USUAL_WEIGHT, Busy, Sample, busy_between, prompt_weight

MINUTE = 60_000


@pytest.mark.parametrize(
    ("samples", "begin", "end", "expected"),
    [
        ([], 0, 100, Busy(0, 100)),  # nothing was heard: idle, and not known
        ([(100, 40)], 0, 100, Busy(40, 0)),
        ([(50, 40)], 0, 100, Busy(40, 50)),  # what came after its last word is not known
        ([(50, 40), (100, 40)], 0, 100, Busy(40, 0)),
        ([(100, 40)], 0, 50, Busy(20, 0)),  # spread evenly over two hours
        ([(100, 40)], 50, 100, Busy(20, 0)),
        ([(100, 41)], 0, 50, Busy(20, 0)),  # the halves of an odd sum
        ([(100, 41)], 50, 100, Busy(21, 0)),
        ([(40, 10), (90, 60)], 40, 90, Busy(50, 0)),
        ([(40, 10), (90, 80)], 40, 90, Busy(50, 0)),  # never more than the time that passed
        ([(40, 30), (90, 5)], 40, 90, Busy(0, 0)),  # a sum that began anew
        ([(40, 30)], 50, 90, Busy(0, 40)),
    ],
)
def test_busy_time(samples: list[tuple[int, int]], begin: int, end: int, expected: Busy) -> None:
    assert busy_between([Sample(*one) for one in samples], ready_ms=0, begin_ms=begin, end_ms=end) == expected


def test_what_is_told_of_the_time_before_it_was_ready_is_left_out() -> None:
    samples = [Sample(500, 400), Sample(1500, 900)]
    assert busy_between(samples, ready_ms=1000, begin_ms=1000, end_ms=1500) == Busy(500, 0)


grown = st.lists(st.tuples(st.integers(1, 5 * MINUTE), st.integers(0, 5 * MINUTE)), max_size=20)


@settings(deadline=None)
@given(grown, st.integers(MINUTE, 20 * MINUTE))
def test_the_parts_of_any_hours_add_up_and_fit_into_their_time(steps: list[tuple[int, int]], hour: int) -> None:
    samples, at, busy = [], 0, 0
    for passed, worked in steps:
        at, busy = at + passed, busy + min(passed, worked)
        samples.append(Sample(at, busy))
    found = [busy_between(samples, ready_ms=0, begin_ms=x, end_ms=x + hour) for x in range(0, at + hour, hour)]
    assert sum(one.busy_ms for one in found) == busy
    assert all(0 <= one.busy_ms <= hour - one.unknown_ms for one in found)


def minutes(*, per_prompt_ms: float, steps: int = 400) -> list[Sample]:
    """An engine whose steps take 20 ms, a sequence 1 ms of it, a prompt token so much; the batch and the prompts vary."""
    samples = [Sample(0, 0)]
    for minute in range(1, 40):
        last = samples[-1]
        sequences, prefilled = steps * (1 + minute % 7), 1000 * (minute % 5)
        took = 20 * steps + sequences + per_prompt_ms * prefilled
        samples.append(
            Sample(minute * MINUTE, last.busy_ms + round(took), last.steps + steps, last.sequences + sequences,
                   last.prefilled + prefilled)
        )  # fmt: skip
    return samples


@pytest.mark.parametrize(
    ("per_prompt_ms", "bounds"), [(0.6, (0.07, 0.12)), (0.0, (LEAST_WEIGHT, LEAST_WEIGHT)), (500.0, (1, 1))]
)
def test_a_prompt_token_weighs_what_the_steps_show(per_prompt_ms: float, bounds: tuple[Fraction, Fraction]) -> None:
    low, high = bounds
    assert low <= prompt_weight([minutes(per_prompt_ms=per_prompt_ms)]) <= high


def test_without_measurement_it_weighs_the_usual() -> None:
    assert prompt_weight([]) == USUAL_WEIGHT
    assert prompt_weight([[Sample(0, 0, 0, 0, 0), Sample(MINUTE, 900, 9, 9, 9)]]) == USUAL_WEIGHT
    assert Fraction(0) < LEAST_WEIGHT < USUAL_WEIGHT < 1
