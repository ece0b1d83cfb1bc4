"""What happened, out of the service's own record: waits by the moment of arrival, the fleet's size by second, decisions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from benchmarks.machine import quantile

BIN_S = 10.0

_TASKS = "SELECT created_at, started_at, state, attempts FROM agents_task ORDER BY created_at"
_WORKERS = """SELECT started_at, ready_at, COALESCE(draining_at, stopped_at) FROM orchestrator_worker"""
_DECISIONS = 'SELECT at, "current", desired, reason FROM orchestrator_scalingdecision ORDER BY at'


class Arrived(NamedTuple):
    """One task: s from the load's begin; `wait_s` until a worker claimed it first."""

    at: float
    wait_s: float
    state: str
    attempts: int


class Life(NamedTuple):
    """One worker: s from the load's begin; None is "not yet". It counts until it begins to drain."""

    started: float
    ready: float | None
    gone: float | None


class Decided(NamedTuple):
    """One kept decision."""

    at: float
    current: int
    desired: int
    reason: str


@dataclass(frozen=True)
class Story:
    """Everything, in the order of time."""

    tasks: Sequence[Arrived]
    workers: Sequence[Life]
    decisions: Sequence[Decided]
    ends_at: float

    def bins(self, share: float) -> list[tuple[float, int, float]]:
        """Per `BIN_S` of arrivals: its begin, arrivals, and the wait that `share` of them stayed under."""
        waits: defaultdict[int, list[float]] = defaultdict(list)
        for task in self.tasks:
            waits[int(task.at // BIN_S)].append(task.wait_s)
        return [(number * BIN_S, len(waits[number]), quantile(waits[number], share)) for number in sorted(waits)]

    def fleet(self) -> list[tuple[float, int, int]]:
        """By second: ready workers, and those that start or are ready."""
        found = []
        for second in range(int(self.ends_at) + 1):
            there = [one for one in self.workers if one.started <= second and (one.gone is None or one.gone > second)]
            ready = sum(one.ready is not None and one.ready <= second for one in there)
            found.append((float(second), ready, len(there)))
        return found

    def states(self) -> Counter[str]:
        """Tasks by their state at the end."""
        return Counter(task.state for task in self.tasks)

    def between(self, begin: float, end: float) -> list[float]:
        """Waits of the tasks that arrived then."""
        return [task.wait_s for task in self.tasks if begin <= task.at < end]

    def worker_s(self) -> float:
        """Seconds of workers from their start to their drain."""
        return sum((self.ends_at if one.gone is None else one.gone) - one.started for one in self.workers)


def read(database_url: str, *, begun: datetime, ends_at: float) -> Story:
    """Out of Postgres; `begun` is the load's first moment, `ends_at` how many s of it are told."""

    def since(moment: datetime | None) -> float | None:
        return None if moment is None else (moment - begun).total_seconds()

    with psycopg.connect(database_url) as connection:

        def rows(query: str) -> list[Any]:
            return connection.execute(query.encode()).fetchall()

        tasks = [
            Arrived(since(at) or 0.0, (claimed - at).total_seconds() if claimed else float("inf"), state, attempts)
            for at, claimed, state, attempts in rows(_TASKS)
        ]
        workers = [Life(since(start) or 0.0, since(ready), since(gone)) for start, ready, gone in rows(_WORKERS)]
        decisions = [Decided(since(at) or 0.0, *rest) for at, *rest in rows(_DECISIONS)]
    return Story(tasks, workers, decisions, ends_at)
