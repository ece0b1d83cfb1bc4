"""Beside what came in of a minute: how queue and fleet stood at its end, and the tokens that workers made and read in it. Pure.

Tokens come from the workers' own sums, which only grow: a worker counts by the difference of two readings, a new one from zero.
Where a worker's earlier sum is not known (nobody led, and nothing is stored of it), the minute's tokens are not known: None, never
a part of them. Lost is what a worker did after its last heartbeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.history.minutes import MINUTE_S, SPREAD_S


@dataclass(frozen=True, slots=True)
class Strength:
    """A pool's workers by state, the slots of those that are ready, and how many were wanted last (None: nothing was decided)."""

    slots: int = 0
    starting: int = 0
    ready: int = 0
    draining: int = 0
    desired: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A pool at one moment: turns that wait and run, records that are not in Postgres yet, and the fleet."""

    waiting: int
    running: int
    unrecorded: int
    fleet: Strength


@dataclass(frozen=True, slots=True)
class Sums:
    """Tokens that a worker has made, and read of prompts, since its start at `started_at` (s)."""

    made: int
    read: int
    started_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a minute beside its demand."""

    standing: Standing | None = None
    tokens_made: int | None = None
    tokens_read: int | None = None


class Gauges:
    """One pool under one lead. `known`: workers' sums as another leader stored them at `known_at` (s), if one did."""

    def __init__(self, *, known: Mapping[str, Sums] | None = None, known_at: float | None = None) -> None:
        self._sums: Mapping[str, Sums] = known or {}
        self._heard_at = known_at
        self._whole_since = known_at
        self._standing: dict[int, Standing] = {}
        self._tokens: dict[int, tuple[float, float]] = {}

    def take(self, at: float, standing: Standing | None, sums: Mapping[str, Sums]) -> None:
        """One reading at the moment `at` (s). An older one changes nothing."""
        if self._heard_at is None or at - self._heard_at > SPREAD_S:
            self._sums, self._heard_at, self._whole_since = sums, at, at
        elif at < self._heard_at:
            return
        if standing is not None:
            self._standing[_minute(at)] = standing
        made = read = 0
        for worker, now in sums.items():
            before = self._before(worker, now)
            if before is None or now.made < before.made or now.read < before.read:
                self._whole_since = at
            else:
                made, read = made + now.made - before.made, read + now.read - before.read
        self._spread(self._heard_at, at, made, read)
        self._sums, self._heard_at = sums, at

    def close(self, begins_at: int) -> Seen:
        """What is known of the whole minute that began then; what is older is forgotten."""
        standing = self._standing.get(begins_at)
        made, read = self._tokens.get(begins_at, (0.0, 0.0))
        self._standing = {minute: kept for minute, kept in self._standing.items() if minute > begins_at}
        self._tokens = {minute: kept for minute, kept in self._tokens.items() if minute > begins_at}
        heard = self._heard_at is not None and self._heard_at >= begins_at + MINUTE_S
        if not heard or self._whole_since is None or self._whole_since > begins_at:
            return Seen(standing)
        return Seen(standing, round(made), round(read))

    def _before(self, worker: str, now: Sums) -> Sums | None:
        known = self._sums.get(worker)
        if known is None and self._whole_since is not None and now.started_at > self._whole_since:
            return Sums(0, 0)
        return known

    def _spread(self, begun: float, at: float, made: int, read: int) -> None:
        """Evenly over the time between two readings, as what came in is."""
        for minute in range(_minute(begun), _minute(at) + 1, MINUTE_S):
            share = 1.0 if at == begun else (min(at, minute + MINUTE_S) - max(begun, minute)) / (at - begun)
            old = self._tokens.get(minute, (0.0, 0.0))
            self._tokens[minute] = (old[0] + made * share, old[1] + read * share)


def _minute(at: float) -> int:
    return int(at // MINUTE_S) * MINUTE_S
