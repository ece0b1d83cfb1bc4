"""What arrives at the simulated fleet: requests in the order of their arrival, made up, or drawn from recorded minutes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.history.minutes import MINUTE_S, Minute


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model: when it comes (s from the load's begin), and its tokens.

    `hold_s`: how long it has a slot, where workers go by that (`orchestrator.rehearsal.holds`) and not by its tokens.
    """

    at: float
    prompt_tokens: int
    output_tokens: int
    tenant: str = "one"
    hold_s: float = 0.0


class Came(NamedTuple):
    """A recorded turn: the moment at which it came (Unix s), and how long it has a slot (s)."""

    at: float
    hold_s: float


@dataclass(frozen=True)
class Load:
    """Requests with a name. `ends_at`: how long demand is offered, in s."""

    name: str
    requests: Sequence[Request]
    ends_at: float


def load_of(name: str, minutes: Iterable[Minute], *, seed: int, answer_share: float) -> tuple[Load, float]:
    """The requests of recorded minutes, and when the first comes in Unix time (0 if none does).

    Within its minute each comes at a moment drawn by chance, by the seed: a Poisson process of which it is known how many came. The
    tokens are the minute's mean, of which `answer_share` is the answer. A minute that nobody saw is silent.
    """
    dice = random.Random(seed)
    moments: list[tuple[float, int]] = []
    ends_at = 0.0
    for minute in minutes:
        mean = round(minute.tokens / minute.arrived) if minute.arrived else 0
        moments += [(minute.begins_at + dice.random() * MINUTE_S, mean) for _ in range(minute.arrived)]
        ends_at = float(minute.begins_at + MINUTE_S)
    moments.sort()
    begin = moments[0][0] if moments else 0.0
    requests = [
        Request(at - begin, max(1, round(mean * (1 - answer_share))), max(1, round(mean * answer_share)))
        for at, mean in moments
    ]
    return Load(name, requests, ends_at - begin), begin
