"""The simulated pool: a queue, workers that start, serve, drain and fail, and a scaler that is asked once per tick.

A discrete-event simulation in virtual time. Scale-in is ours for every scaler: those that are starting go first (the youngest
first), then idle ones, then the least busy, which hand their turns over after `drain_s`.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.rehearsal.engine import Engine, Turn
from orchestrator.rehearsal.holds import Holds
from orchestrator.rehearsal.load import Load
from orchestrator.rehearsal.scene import Moment, Outcome, Sample, Scaler, Scene, cost_s


@dataclass(slots=True, eq=False)
class _Worker:
    number: int
    state: Literal["starting", "ready", "draining", "gone"]
    since: float
    changes_at: float
    engine: Engine | Holds
    lasts_s: float = math.inf
    fails_at: float = math.inf
    start_fails: bool = False

    @property
    def gone(self) -> bool:
        return self.state == "gone"

    @property
    def next_at(self) -> float:
        return min(self.changes_at, self.engine.next_at, self.fails_at)


STUCK_AFTER = 20
"""Ticks that changed nothing."""


class Pool:
    """One run. Deterministic: the same load, scene and scaler give the same outcome."""

    def __init__(self, load: Load, scene: Scene, scaler: Scaler) -> None:
        self._load, self._scene, self._scaler = load, scene, scaler
        self._now = 0.0
        self._queue: deque[Turn] = deque()
        self._turns = [Turn(request, number) for number, request in enumerate(load.requests)]
        self._arrived = self._ended = 0
        self._arrived_prompt = self._ended_output = self._waiting_prompt = 0
        self._ended_cost_s = 0.0
        self._started = False
        self._ready = 0
        self._warm_until = -math.inf
        self._next_tick = 0.0
        self._unchanged = 0
        self._workers: list[_Worker] = []
        self._events: list[tuple[float, int, _Worker]] = []
        self._prepared_at = [scene.cold_start_s] * scene.standby
        self._worker_s = self._busy_s = 0.0
        self._starts = self._peak = self._handed_over = self._failed = self._failed_starts = 0
        self._timeline: list[Moment] = []
        self._stalled: list[tuple[float, list[Turn]]] = []

    def run(self) -> Outcome:
        """From the first arrival until all have ended, and at least `ends_after_s` past the load's end."""
        for ready_in_s in self._scene.ready_in_s:
            self._start(ready_at=ready_in_s)
        stop_at = self._load.ends_at + self._scene.ends_after_s
        give_up_at = self._load.ends_at + self._scene.gives_up_after_s
        while (self._ended < len(self._turns) and self._now < give_up_at) or self._now < stop_at:
            arrival = self._turns[self._arrived].request.at if self._arrived < len(self._turns) else math.inf
            event = self._events[0][0] if self._events else math.inf
            back = self._stalled[0][0] if self._stalled else math.inf
            self._now = min(arrival, event, self._next_tick, back)
            if self._next_tick - self._now > self._scene.tick_s:
                self._hasten()
            if self._now == arrival:
                self._arrive()
            elif self._now == back:
                self._give_back(self._stalled.pop(0)[1])
            elif self._now == event:
                self._happen()
            else:
                self._tick()
                self._next_tick += self._pause_s()
        self._worker_s += self._scene.standby * self._now
        for worker in self._workers:
            self._worker_s += self._now - worker.since
            self._busy_s += worker.engine.busy_s
        return Outcome(
            scaler=self._scaler.name,
            waits_s=[_since(turn.request.at, turn.claimed_at) for turn in self._turns],
            first_token_s=[_since(turn.request.at, turn.first_token_at) for turn in self._turns],
            worker_s=self._worker_s,
            starts=self._starts,
            peak=self._peak,
            handed_over=self._handed_over,
            busy_s=self._busy_s,
            failed_starts=self._failed_starts,
            failed=self._failed,
            timeline=self._timeline,
        )

    # -- the work ------------------------------------------------------------------------------
    def _arrive(self) -> None:
        turn = self._turns[self._arrived]
        self._arrived += 1
        self._arrived_prompt += turn.request.prompt_tokens
        self._waiting_prompt += turn.request.prompt_tokens
        self._queue.append(turn)
        self._claim()

    def _claim(self) -> None:
        """Waiting turns go to the worker with the most free slots."""
        while self._queue:
            open_ = [w for w in self._workers if w.state == "ready" and w.engine.held < self._scene.slots]
            if not open_:
                return
            worker = min(open_, key=lambda one: (one.engine.held, one.number))
            turn = self._queue.popleft()
            self._waiting_prompt -= turn.request.prompt_tokens
            if turn.claimed_at is None:
                turn.claimed_at = self._now
            worker.engine.join(turn, self._now)
            self._schedule(worker)

    def _give_back(self, turns: Sequence[Turn]) -> None:
        """Turns whose worker is gone come first again."""
        for turn in sorted(turns, key=lambda one: one.number, reverse=True):
            self._queue.appendleft(turn)
            self._waiting_prompt += turn.request.prompt_tokens
        self._claim()

    def _schedule(self, worker: _Worker) -> None:
        if worker.next_at < math.inf:
            heapq.heappush(self._events, (worker.next_at, worker.number, worker))

    def _happen(self) -> None:
        """The next thing of a worker, if it still stands: entries of the heap are never taken back, only passed over."""
        at, _, worker = heapq.heappop(self._events)
        if worker.gone or at != worker.next_at:
            return
        if at == worker.fails_at:
            self._failed += 1
            self._stalled.append((at + self._scene.lease_s, worker.engine.release(at)))
            self._end(worker)
        elif at == worker.engine.next_at:
            for turn in worker.engine.end_stretch():
                self._ended += 1
                self._ended_output += turn.request.output_tokens
                self._ended_cost_s += cost_s(self._scene, turn.request)
        elif worker.state == "starting" and worker.start_fails:
            self._failed_starts += 1
            self._end(worker)
        elif worker.state == "starting":
            worker.state, worker.changes_at = "ready", math.inf
            self._ready += 1
            worker.fails_at = at + worker.lasts_s
            self._started = True
        else:
            turns = worker.engine.release(at)
            self._handed_over += len(turns)
            self._end(worker)
            self._give_back(turns)
        if not worker.gone:
            self._schedule(worker)
        self._claim()

    # -- the fleet -----------------------------------------------------------------------------
    def _pause_s(self) -> float:
        """From a tick to the next, should nothing happen meanwhile."""
        calm_s = self._scene.calm_tick_s
        return self._scene.tick_s if calm_s is None or (self._queue and not self._is_stuck) else calm_s

    def _hasten(self) -> None:
        """Something happens: the next tick is the next of those that are not calm."""
        if self._scene.calm_tick_s is not None and not self._is_stuck:
            tick_s = self._scene.tick_s
            self._next_tick = min(self._next_tick, math.ceil(self._now / tick_s) * tick_s)

    @property
    def _is_stuck(self) -> bool:
        """Whether somebody waits, and that has changed nothing for long: the fleet is as large as it may be."""
        return bool(self._queue) and self._unchanged > STUCK_AFTER

    def _tick(self) -> None:
        sample = self._sample()
        desired = min(max(0, self._scaler.desired(sample)), self._scene.max_workers)
        self._unchanged = self._unchanged + 1 if self._queue and desired == sample.current else 0
        self._timeline.append(Moment(self._now, sample.waiting, sample.running, sample.ready, sample.starting, desired))
        for _ in range(desired - sample.current):
            self._start(ready_at=self._now + self._take_start_s())
        for worker in self._victims(sample.current - desired):
            if worker.state == "starting":
                self._end(worker)
            else:
                self._leaves(worker)
                worker.state = "draining"
                worker.changes_at = self._now + (self._scene.drain_s if worker.engine.held else 0.0)
                self._schedule(worker)
        self._peak = max(self._peak, len(self._workers))

    def _sample(self) -> Sample:
        running = starting = busy = 0
        for worker in self._workers:
            if worker.state == "ready":
                running += worker.engine.held
                busy += worker.engine.held > 0
            elif worker.state == "starting":
                starting += 1
        told_s = self._scene.told_turn_s
        measured_s = self._ended_cost_s / self._ended if self._ended else None
        return Sample(
            at=self._now,
            waiting=len(self._queue),
            running=running,
            oldest_wait_s=self._now - self._queue[0].request.at if self._queue else 0.0,
            starting=starting,
            ready=self._ready,
            slots=self._scene.slots,
            arrived=self._arrived,
            ended=self._ended,
            waiting_prompt_tokens=self._waiting_prompt,
            arrived_prompt_tokens=self._arrived_prompt,
            ended_output_tokens=self._ended_output,
            busy_workers=busy,
            turn_s=measured_s if told_s is None else told_s,
            start_s=None if told_s is None and not self._started else self._start_s(),
        )

    def _start_s(self) -> float:
        """What a start would take now."""
        warm = self._is_warm() or any(at <= self._now for at in self._prepared_at)
        return self._scene.warm_start_s if warm else self._scene.cold_start_s

    def _is_warm(self) -> bool:
        """Whether a worker is ready, or was not long ago."""
        return self._scene.keeps_warm_s is not None and (self._ready > 0 or self._now <= self._warm_until)

    def _leaves(self, worker: _Worker) -> None:
        """It serves no more."""
        if worker.state == "ready":
            self._ready -= 1
            self._warm_until = self._now + (self._scene.keeps_warm_s or 0.0)

    def _take_start_s(self) -> float:
        """What this start takes; the prepared worker that it takes is replaced."""
        if self._is_warm():
            return self._scene.warm_start_s
        for place, at in enumerate(self._prepared_at):
            if at <= self._now:
                self._prepared_at[place] = self._now + self._scene.cold_start_s
                return self._scene.warm_start_s
        return self._scene.cold_start_s

    def _start(self, *, ready_at: float) -> None:
        """What fails when is a worker's own luck, by its number: the same for every scaler."""
        dice = random.Random(f"{self._scene.seed} {self._starts}")
        start_fails = dice.random() < self._scene.start_failure
        rate = self._scene.failures_per_hour / 3600
        worker = _Worker(
            number=self._starts,
            state="starting",
            since=self._now,
            changes_at=ready_at,
            engine=Holds() if self._scene.by_holds else Engine(self._scene.speed, self._scene.slots),
            lasts_s=dice.expovariate(rate) if rate else math.inf,
            start_fails=start_fails,
        )
        self._starts += 1
        self._workers.append(worker)
        self._schedule(worker)

    def _victims(self, count: int) -> list[_Worker]:
        if count <= 0:
            return []
        order = sorted(
            (worker for worker in self._workers if worker.state in ("starting", "ready")),
            key=lambda one: (one.state != "starting", one.engine.held, -one.since, -one.number),
        )
        return order[:count]

    def _end(self, worker: _Worker) -> None:
        self._leaves(worker)
        worker.state = "gone"
        self._workers.remove(worker)
        self._worker_s += self._now - worker.since
        self._busy_s += worker.engine.busy_s


def _since(begin: float, end: float | None) -> float:
    return math.inf if end is None else end - begin
