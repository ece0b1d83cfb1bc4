"""How a pool's hour is split: whole milliseconds in, whole milliseconds out, nothing lost. Pure.

The stated rule:

1. A worker's life is *starting* until it was ready, then *busy* while its engine made steps, else *idle* (a drain included).
2. Busy time is the tenants' whose turns it served, by tokens: completion tokens, and prompt tokens by their weight. Where it served
   nobody's (the turns were lost), by what the pool served in that hour.
3. Starting and idle time are charged by the busy time of the pool's tenants in that hour. Where nobody was busy they are the
   dedicated tenant's of the pool, else nobody's: the operator's.

Parts are rounded by the largest remainder (Hamilton's method; Balinski and Young, "Fair Representation", 1982): each lies within a
millisecond of its exact share, and they sum to the whole. A share of a GPU is counted from the worker's begin, so that hours, too,
sum to the life.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

Kind = Literal["starting", "busy", "idle"]
KINDS: tuple[Kind, ...] = ("starting", "busy", "idle")
UNITS = 1000
"""A whole GPU; a worker's share of one is so many thousandths."""


class Life(NamedTuple):
    """A worker's life in Unix milliseconds. `ready_ms` None: it never was; `ended_ms` None: it lives.

    `units` are thousandths of a GPU.
    """

    worker: str
    begun_ms: int
    ready_ms: int | None
    ended_ms: int | None
    units: int = UNITS


class Span(NamedTuple):
    """A part of a life in an hour: from `begin_ms` to `end_ms`, ready from `ready_ms` on (at the latest at its end)."""

    begin_ms: int
    ready_ms: int
    end_ms: int

    @property
    def serving_ms(self) -> int:
        """How long it was ready."""
        return self.end_ms - self.ready_ms


class WorkerHour(NamedTuple):
    """A worker's part of an hour: GPU-milliseconds by kind, and the weight of what it served by tenant."""

    worker: str
    parts: Mapping[Kind, int]
    served: Mapping[str, Fraction]


class Charge(NamedTuple):
    """GPU-milliseconds that a tenant is charged for a worker; None: the operator."""

    worker: str
    kind: Kind
    tenant: str | None
    gpu_ms: int


def span(life: Life, *, begin_ms: int, end_ms: int, now_ms: int) -> Span | None:
    """The part of a life between these moments, as far as it has passed; None if there is none."""
    ended_ms = min(now_ms, now_ms if life.ended_ms is None else life.ended_ms)
    begin, end = max(begin_ms, life.begun_ms), min(end_ms, ended_ms)
    if end <= begin:
        return None
    ready = end if life.ready_ms is None else min(max(life.ready_ms, begin), end)
    return Span(begin, ready, end)


def gpu_ms(life: Life, part: Span) -> int:
    """GPU-milliseconds of a part of a life. Parts that follow each other sum to the whole, whatever the share of a GPU is."""
    return _until(life, part.end_ms) - _until(life, part.begin_ms)


def parts_of(life: Life, part: Span, *, busy_ms: int) -> dict[Kind, int]:
    """GPU-milliseconds by kind; `busy_ms` by the wall clock, at most the time that it was ready."""
    busy = min(max(0, busy_ms), part.serving_ms)
    wall = (part.ready_ms - part.begin_ms, busy, part.serving_ms - busy)
    return dict(zip(KINDS, apportion(gpu_ms(life, part), [Fraction(ms) for ms in wall]), strict=True))


def charges(workers: Sequence[WorkerHour], *, dedicated_to: str | None) -> list[Charge]:
    """Who is charged for what of a pool's hour. The charges sum to the workers' parts, worker by worker and kind by kind."""
    pool: dict[str, Fraction] = {}
    for hour in workers:
        _add(pool, hour.served)
    found: list[Charge] = []
    busy: dict[str, Fraction] = {}
    for hour in workers:
        split = _split(hour, "busy", hour.served or pool, dedicated_to)
        found += split
        _add(busy, {one.tenant: Fraction(one.gpu_ms) for one in split if one.tenant is not None})
    for kind in ("starting", "idle"):
        for hour in workers:
            found += _split(hour, kind, busy, dedicated_to)
    return found


def apportion(total: int, weights: Sequence[Fraction]) -> list[int]:
    """`total` in whole parts by these weights, each within one of its exact share; without any weight the first part has it all."""
    if not weights:
        raise ValueError("there is nobody to have a part: give at least one weight")
    if any(weight < 0 for weight in weights):
        raise ValueError("a weight is negative: a part of time cannot be")
    whole = sum(weights)
    if not whole:
        return [total, *(0 for _ in weights[1:])]
    shares = [total * weight / whole for weight in weights]
    given = [int(share) for share in shares]
    by_remainder = sorted(range(len(weights)), key=lambda at: (given[at] - shares[at], at))
    for at in by_remainder[: total - sum(given)]:
        given[at] += 1
    return given


def _until(life: Life, at_ms: int) -> int:
    return (at_ms - life.begun_ms) * life.units // UNITS


def _split(hour: WorkerHour, kind: Kind, weights: Mapping[str, Fraction], dedicated_to: str | None) -> list[Charge]:
    total = hour.parts[kind]
    tenants = sorted(tenant for tenant, weight in weights.items() if weight > 0)
    if not tenants:
        return [Charge(hour.worker, kind, dedicated_to, total)] if total else []
    given = apportion(total, [weights[tenant] for tenant in tenants])
    return [Charge(hour.worker, kind, tenant, ms) for tenant, ms in zip(tenants, given, strict=True) if ms]


def _add(sums: dict[str, Fraction], more: Mapping[str, Fraction]) -> None:
    for tenant, weight in more.items():
        sums[tenant] = sums.get(tenant, Fraction(0)) + weight
