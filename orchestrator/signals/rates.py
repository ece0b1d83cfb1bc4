"""How fast a pool's workers are, from what they say of their steps. Pure.

An engine's step takes, to a good approximation,

    base_s + per_sequence_s x sequences + per_prompt_token_s x prompt tokens read in it        (seconds)

(continuous batching: Yu et al., "Orca", OSDI 2022; that decoding is bound by reading the weights, whatever the batch is, is the
base). The sums of two heartbeats differ by a number of steps, their seconds, sequences and prompt tokens, and the same equation
holds between the differences. So three numbers are fitted by recursive least squares with exponential forgetting (Ljung,
"System Identification", 11.2), an observation of n steps with the weight 1/n, since the errors of n steps add up in their
variance.

What the data do not tell stays as it was: the two slopes are drawn to their last values by a little, the base is not. So when
all steps have the same batch, the base takes what is new, and a slope that was learnt from other batches is kept; a first fit
of such steps has no slopes: then a fuller batch is believed to cost nothing more until one was seen. None of the three is ever
negative: of the fits with some of them at zero the best one counts. A worker that has just begun is cold (caches, compilation,
clocks) and tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from taskqueue.messages import Work

Vector = tuple[float, float, float]

HALF_LIFE_S = 300.0
"""After so long, if there was work all the time, an observation counts half."""
COLD_S = 10.0
COLD_STEPS = 20
"""A worker tells something when it has been ready for so long and has made so many steps."""
PULL = 0.01
"""How much of an observation's weight the slopes' last values have."""
LEAST_STEPS = 50
LEAST_TURNS = 5
"""With less there is no rate."""
SILENCE_S = 2.0
"""A longer time without observations is no reason to forget: nothing was learnt in it."""


@dataclass(frozen=True, slots=True)
class Speed:
    """A worker's speed: the three numbers of a step's time, in seconds."""

    base_s: float = 0.0
    per_sequence_s: float = 0.0
    per_prompt_token_s: float = 0.0

    def turn_s(self, *, slots: int, prompt: float, answer: float) -> float:
        """What a turn costs a full worker: its share of the worker's time."""
        return prompt * self.per_prompt_token_s + answer * (self.base_s / slots + self.per_sequence_s)


@dataclass(frozen=True, slots=True)
class Rates:
    """What was learnt of a pool: sums of weighted observations, and the speed that fits them best.

    `squares` holds x·xᵀ by rows (upper triangle: 11 12 13 22 23 33) and `products` x·y of (steps, sequences, prompt tokens) and
    seconds. `turns`, `prompts` and `answers` are forgotten alike; `ended` counts all turns that ever ended, so a pool whose turns
    take many minutes comes to have a rate, too.
    """

    squares: tuple[float, ...] = (0.0,) * 6
    products: Vector = (0.0, 0.0, 0.0)
    steps: float = 0.0
    turns: float = 0.0
    prompts: float = 0.0
    answers: float = 0.0
    ended: int = 0
    learnt_at: float | None = None
    speed: Speed = field(default_factory=Speed)

    def turn_s(self, slots: int) -> float | None:
        """What a turn of the recent lengths costs a full worker with so many slots, in s; None while too little was seen."""
        if self.steps < LEAST_STEPS or self.ended < LEAST_TURNS or not self.turns:
            return None
        cost = self.speed.turn_s(slots=slots, prompt=self.prompts / self.turns, answer=self.answers / self.turns)
        return cost if cost > 0 else None


def difference(later: Work, earlier: Work) -> Work | None:
    """What was done between two heartbeats of one worker; None if nothing was, or if it began anew."""
    if later.steps <= earlier.steps or later.steps_s <= earlier.steps_s:
        return None
    names = Work.__struct_fields__
    change = {name: getattr(later, name) - getattr(earlier, name) for name in names}
    return Work(**change) if min(change.values()) >= 0 else None


def learnt(rates: Rates, seen: Iterable[Work], *, now: float) -> Rates:
    """The rates after these differences of heartbeats."""
    seen = list(seen)
    if not seen:
        return rates
    silence_s = 0.0 if rates.learnt_at is None else min(max(0.0, now - rates.learnt_at), SILENCE_S)
    kept = 0.5 ** (silence_s / HALF_LIFE_S)
    squares, products = [kept * sum_ for sum_ in rates.squares], [kept * sum_ for sum_ in rates.products]
    for work in seen:
        x, weight = (float(work.steps), float(work.sequences), float(work.prefilled)), 1.0 / work.steps
        for place, (i, j) in enumerate(_UPPER):
            squares[place] += weight * x[i] * x[j]
        for i in range(3):
            products[i] += weight * x[i] * work.steps_s
    sums = replace(
        rates,
        squares=tuple(squares),
        products=(products[0], products[1], products[2]),
        steps=kept * rates.steps + sum(work.steps for work in seen),
        turns=kept * rates.turns + sum(work.turns for work in seen),
        prompts=kept * rates.prompts + sum(work.prompt_tokens for work in seen),
        answers=kept * rates.answers + sum(work.answer_tokens for work in seen),
        ended=rates.ended + sum(work.turns for work in seen),
        learnt_at=now,
    )
    return replace(sums, speed=_fit(sums.squares, sums.products, last=rates.speed))


@dataclass(slots=True)
class RateMeter:
    """The rates of one pool, and each worker's last word. Workers are told apart by their ids; `cold_s`: see `COLD_S`."""

    rates: Rates = field(default_factory=Rates)
    cold_s: float = COLD_S
    _ready_at: dict[str, float] = field(default_factory=dict)
    _last: dict[str, Work] = field(default_factory=dict)

    def hear(self, said: Mapping[str, Work], *, now: float) -> None:
        """What all ready workers of the pool say now; who is not named is forgotten."""
        seen = []
        ready_at, last = {}, {}
        for worker, work in said.items():
            ready_at[worker] = self._ready_at.get(worker, now)
            if now - ready_at[worker] < self.cold_s or work.steps < COLD_STEPS:
                continue
            last[worker] = work
            before = self._last.get(worker)
            if before is not None and (change := difference(work, before)):
                seen.append(change)
        self._ready_at, self._last = ready_at, last
        self.rates = learnt(self.rates, seen, now=now)


# -- the fit ---------------------------------------------------------------------------------------
_UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_SUBSETS = tuple(product((True, False), repeat=3))
"""Which of the three may be above zero; all of them first: if that fit has none below zero, no other is better."""


def _fit(squares: tuple[float, ...], products: Vector, *, last: Speed) -> Speed:
    """The three numbers, none negative, that explain the sums best, the slopes drawn a little to their last values.

    It minimises  a·A·a - 2·b·a + PULL · sum over the slopes of A_ii · (a_i - last_i)²  over all ways to hold some of them at zero.
    """
    matrix = [[0.0] * 3 for _ in range(3)]
    for (i, j), value in zip(_UPPER, squares, strict=True):
        matrix[i][j] = matrix[j][i] = value
    right = list(products)
    before = (last.base_s, last.per_sequence_s, last.per_prompt_token_s)
    for i in (1, 2):
        pull = PULL * matrix[i][i]
        right[i] += pull * before[i]
        matrix[i][i] += pull
    best, least = (0.0, 0.0, 0.0), 0.0
    for free in _SUBSETS:
        found = _solved(matrix, right, [i for i in range(3) if free[i] and matrix[i][i] > 0])
        if found is None or min(found) < 0:
            continue
        if free == _SUBSETS[0]:
            best = found
            break
        loss = -sum(right[i] * found[i] for i in range(3))  # at a minimum over the free ones, less a constant
        if loss < least:
            best, least = found, loss
    # A number of which nothing was seen yet (no prompt, say) keeps its last value.
    return Speed(*(best[i] if matrix[i][i] > 0 else before[i] for i in range(3)))


def _solved(matrix: list[list[float]], right: list[float], free: list[int]) -> Vector | None:
    """The solution of the free rows and columns, the others at zero; None if there is none. Gaussian elimination with pivots."""
    scale = {i: matrix[i][i] ** 0.5 for i in free}
    rows = [[matrix[i][j] / scale[i] / scale[j] for j in free] + [right[i] / scale[i]] for i in free]
    size = len(free)
    for at in range(size):
        pivot = max(range(at, size), key=lambda row: abs(rows[row][at]))
        rows[at], rows[pivot] = rows[pivot], rows[at]
        if abs(rows[at][at]) < 1e-12:
            return None
        for row in range(size):
            if row != at:
                factor = rows[row][at] / rows[at][at]
                rows[row] = [value - factor * above for value, above in zip(rows[row], rows[at], strict=True)]
    found = [0.0, 0.0, 0.0]
    for at, i in enumerate(free):
        found[i] = rows[at][size] / rows[at][at] / scale[i]
    return found[0], found[1], found[2]
