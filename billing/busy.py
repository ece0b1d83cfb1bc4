"""How long a worker was busy, from the sums that its heartbeats carried; and what a prompt token costs beside one made. Pure.

A sum's growth between two samples is spread evenly over the time between them: where they lie in two hours, each has its part, and
the parts of all hours add up to the growth. So an orchestrator that was away for a while loses nothing of the sum, as long as the
worker was heard of again. What came after a worker's last sample is not known, and counts as idle.

A prompt token's weight is what the steps themselves show: `orchestrator.signals.rates` fits a step's time to base + so much per
sequence + so much per prompt token; the weight is the last over what a made token takes (its sequence's part, and its part of the
base). It lies between `LEAST_WEIGHT` and 1; an hour in which too few steps were seen has `USUAL_WEIGHT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from orchestrator.signals.rates import LEAST_STEPS, Rates, difference, learnt
from taskqueue.messages import Work

LEAST_WEIGHT = Fraction(1, 100)
USUAL_WEIGHT = Fraction(1, 10)
DIGITS = 6
"""The weight is a decimal of so many digits, as it is stored."""


class Sample(NamedTuple):
    """What a worker had done since its start, at the moment `at_ms` (Unix)."""

    at_ms: int
    busy_ms: int
    steps: int = 0
    sequences: int = 0
    prefilled: int = 0


class Busy(NamedTuple):
    """Milliseconds of the wall clock: of work, and of which nothing is known."""

    busy_ms: int
    unknown_ms: int


def busy_between(samples: Sequence[Sample], *, ready_ms: int, begin_ms: int, end_ms: int) -> Busy:
    """Of a worker that was ready from `ready_ms` on. `samples` are in order; those around the two moments are among them."""
    known = [Sample(ready_ms, 0), *(sample for sample in samples if sample.at_ms > ready_ms)]
    busy = 0
    for earlier, later in pairwise(known):
        grown = min(max(0, later.busy_ms - earlier.busy_ms), later.at_ms - earlier.at_ms)
        busy += _grown_until(end_ms, earlier, later, grown) - _grown_until(begin_ms, earlier, later, grown)
    begin = max(begin_ms, ready_ms)
    return Busy(busy, max(0, end_ms - max(begin, min(known[-1].at_ms, end_ms))))


def _grown_until(at_ms: int, earlier: Sample, later: Sample, grown: int) -> int:
    passed = min(max(at_ms, earlier.at_ms), later.at_ms) - earlier.at_ms
    return 0 if later.at_ms <= earlier.at_ms else grown * passed // (later.at_ms - earlier.at_ms)


def prompt_weight(workers: Iterable[Sequence[Sample]]) -> Fraction:
    """What reading a prompt token costs in units of making one, by all samples of a pool's workers."""
    changes = [
        change
        for samples in workers
        for earlier, later in pairwise(samples)
        if (change := difference(_work(later), _work(earlier))) is not None
    ]
    rates = learnt(Rates(), changes, now=0.0)
    sequences = sum(change.sequences for change in changes)
    if rates.steps < LEAST_STEPS or not sequences:
        return USUAL_WEIGHT
    made_s = rates.speed.base_s * rates.steps / sequences + rates.speed.per_sequence_s
    if made_s <= 0:
        return USUAL_WEIGHT
    measured = Fraction(round(rates.speed.per_prompt_token_s / made_s * 10**DIGITS), 10**DIGITS)
    return min(Fraction(1), max(LEAST_WEIGHT, measured))


def _work(sample: Sample) -> Work:
    return Work(
        steps=sample.steps,
        steps_s=sample.busy_ms / 1000,
        sequences=sample.sequences,
        prefilled=sample.prefilled,
    )
