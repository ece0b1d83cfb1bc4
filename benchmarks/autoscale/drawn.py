"""Loads with drawn figures: what no policy was fitted to. A seed and a number make one; the numbers go round the kinds.

Drawn are levels, heights, periods, lengths of prompts and answers (log-normal, where the named loads have exponential
ones), and, for recorded traffic, its pace, its share, its begin and its tokens.
"""

from __future__ import annotations

import math
import random
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from benchmarks.autoscale.loads import AZURE, read_trace
from orchestrator.rehearsal.load import Load, Request

Rate = Callable[[float], float]

LASTS_S = 3600.0
MOST_PER_S = 25.0
SPREAD = 1.0
"""Of the logarithm of a length: one in ten is 3.6 times the median."""


def drawn(seed: int, number: int) -> Load:
    """Load `number` of those that the seed makes."""
    dice = random.Random(1000 * seed + number)
    kinds = [*KINDS, "recorded", "recorded twice"]
    kind = kinds[number % len(kinds)]
    name = f"{seed}.{number} {kind}"
    if kind in KINDS:
        return _poisson(name, KINDS[kind](dice), dice)
    services = [_recorded(dice) for _ in range(2 if "twice" in kind else 1)]
    ends_at = max(service.ends_at for service in services)
    together = [request for service in services for request in service.requests]
    return Load(name, sorted(together, key=lambda one: one.at), ends_at)


# -- kinds: each gives a rate, in turns per second, at every moment --------------------------------
def _levels(dice: random.Random) -> Rate:
    """Steps of several minutes each."""
    return _in_turn(dice, lambda: (dice.uniform(120, 720), _between(dice, 0.5, 16)))


def _spikes(dice: random.Random) -> Rate:
    """A quiet service, and spikes that do not come by the clock."""
    quiet, height, pause_s = _between(dice, 0.5, 4), _between(dice, 4, 15), dice.uniform(300, 1200)
    lasts_s = dice.uniform(30, 240)
    spike = False

    def turn() -> tuple[float, float]:
        nonlocal spike
        spike = not spike
        if spike:
            return dice.uniform(0.5, 1.5) * pause_s, quiet
        return lasts_s, quiet * height

    return _in_turn(dice, turn)


def _waves(dice: random.Random) -> Rate:
    """Two waves, one upon the other."""
    mean = _between(dice, 2, 8)
    waves = [(dice.uniform(600, 3600), dice.uniform(0.2, 0.5), dice.uniform(0, 6.3)) for _ in range(2)]
    return lambda at: (
        mean * (1 + sum(part * math.sin(2 * math.pi * at / period_s + phase) for period_s, part, phase in waves))
    )


def _bursts(dice: random.Random) -> Rate:
    """On and off by chance (a Markov-modulated Poisson process)."""
    on, off = _between(dice, 5, 20), dice.uniform(0, 1)
    on_s, off_s = dice.uniform(20, 120), dice.uniform(30, 180)
    busy = False

    def turn() -> tuple[float, float]:
        nonlocal busy
        busy = not busy
        return (dice.expovariate(1 / on_s), on) if busy else (dice.expovariate(1 / off_s), off)

    return _in_turn(dice, turn)


def _walk(dice: random.Random) -> Rate:
    """A random walk of the rate's logarithm, drawn back to its middle."""
    middle, rate = math.log(_between(dice, 2, 8)), 0.0

    def turn() -> tuple[float, float]:
        nonlocal rate
        rate = 0.97 * rate + dice.gauss(0, 0.25)
        return 30.0, math.exp(middle + rate)

    return _in_turn(dice, turn)


def _ramps(dice: random.Random) -> Rate:
    """Slow climbs with a sudden end."""
    low, high, period_s = _between(dice, 0.3, 2), _between(dice, 6, 16), dice.uniform(300, 1200)
    return lambda at: low + (high - low) * (at % period_s) / period_s


KINDS: dict[str, Callable[[random.Random], Rate]] = {
    "levels": _levels,
    "spikes": _spikes,
    "waves": _waves,
    "bursts": _bursts,
    "walk": _walk,
    "ramps": _ramps,
}


# -- how they are made -----------------------------------------------------------------------------
def _between(dice: random.Random, low: float, high: float) -> float:
    """Even on the logarithm's scale."""
    return math.exp(dice.uniform(math.log(low), math.log(high)))


def _in_turn(dice: random.Random, turn: Callable[[], tuple[float, float]]) -> Rate:
    """One rate after the other, each for so many seconds."""
    begins: list[float] = []
    rates: list[float] = []
    at = 0.0
    while at < LASTS_S:
        lasts_s, rate = turn()
        begins.append(at)
        rates.append(rate)
        at += lasts_s
    return lambda at: rates[bisect(begins, at) - 1]


def _poisson(name: str, rate: Rate, dice: random.Random) -> Load:
    prompt_tokens, output_tokens = _between(dice, 150, 1500), _between(dice, 40, 200)

    def arrivals() -> Iterator[Request]:
        at = 0.0
        while (at := at + dice.expovariate(MOST_PER_S)) < LASTS_S:
            if dice.random() * MOST_PER_S < rate(at):
                yield Request(at, _length(dice, prompt_tokens), _length(dice, output_tokens))

    return Load(name, list(arrivals()), LASTS_S)


def _length(dice: random.Random, median: float) -> int:
    return max(1, round(dice.lognormvariate(math.log(median), SPREAD)))


def _recorded(dice: random.Random) -> Load:
    """The recorded trace with another pace and begin, a part of its requests, and other lengths."""
    load = read_trace(AZURE)
    pace, share, begin_s = _between(dice, 0.5, 2), dice.uniform(0.4, 1), dice.uniform(0, load.ends_at)
    prompt, output = _between(dice, 0.5, 2), _between(dice, 0.5, 2)
    requests: Sequence[Request] = [
        replace(
            request,
            at=(request.at - begin_s) % load.ends_at / pace,
            prompt_tokens=max(1, round(request.prompt_tokens * prompt)),
            output_tokens=max(1, round(request.output_tokens * output)),
        )
        for request in load.requests
        if dice.random() < share
    ]
    return Load(load.name, sorted(requests, key=lambda one: one.at), load.ends_at / pace)
