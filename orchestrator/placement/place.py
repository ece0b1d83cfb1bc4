"""Who may start how many workers now, on which devices, and whose workers make room. Pure.

Pools are served by priority; among equals the one with the smallest dominant share goes first, one worker at a time: max-min
fairness over several resources (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011). A worker of theirs that is running is
never taken from an equal, so nothing goes to and fro between them; a share that was taken while nobody else wanted it comes back
when its holder shrinks.

A worker that does not fit now may fit soon, on what leaving workers still hold: then that is kept for it. Otherwise workers of
lower pools are asked to hand over, those first whose loss is felt least, never below their pool's floor. What they hold is
free when they have ended, not before; until then they are leaving, so a second look asks nobody else. For a pool whose last start
failed nobody is asked: it would take the place again at each try, and leave it empty.

Where nothing of that helps, what is free may be kept for a pool whose worker needs more (`patience`): else equals with smaller
workers would take each piece of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from orchestrator.placement.packing import WHOLE, Capacity, Need, Room, Taken, fit, most_of, parts
from orchestrator.placement.preemption import Held, Rank, make_room


@dataclass(frozen=True, slots=True)
class Wish:
    """A pool's part in the competition: `starts` more workers now. `floor`: how many it keeps whatever others need.

    A floor of None means that its workers are not to be touched. `evicts`: lower pools' workers may be asked to hand over to it.
    `keeps`: what is free, and too little for its worker, is not given to those who come after it.
    """

    pool: str
    need: Need = field(default_factory=Need)
    starts: int = 0
    priority: int = 0
    floor: int | None = 0
    evicts: bool = True
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Eviction:
    """A worker that is to hand over, so that a pool of higher priority gets what it holds."""

    worker: str
    pool: str
    to: str


@dataclass(slots=True)
class Grant:
    """What a pool gets: workers that start now, how many wait for what leaving ones hold, how many are refused."""

    starts: list[Taken] = field(default_factory=list)
    waits: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer for all pools. `kept` is what waits for leaving workers, by pool; `room` what is left after all of it.

    `parts` is kept too: of what a pool's next worker needs, what is free and not enough.
    """

    grants: dict[str, Grant]
    evictions: tuple[Eviction, ...]
    kept: tuple[tuple[str, Taken], ...]
    room: Room
    parts: tuple[tuple[str, Taken], ...] = ()


def place(capacity: Capacity, held: Sequence[Held], wishes: Sequence[Wish]) -> Placement:
    """One answer to all wishes. `held`: all workers that live or start, of these pools and of others."""
    task = _Placing(capacity, held, wishes)
    for priority in sorted({wish.priority for wish in wishes}, reverse=True):
        task.serve([wish for wish in wishes if wish.priority == priority])
    return Placement(task.grants, tuple(task.evictions), tuple(task.kept), task.now, tuple(task.parts))


class _Placing:
    """The state of one `place`: `now` is free at once, `soon` once the leaving have left; what is granted is in neither."""

    def __init__(self, capacity: Capacity, held: Sequence[Held], wishes: Sequence[Wish]) -> None:
        self._capacity = capacity
        self._staying = {one.worker: one for one in held if not one.leaving}
        self.now = Room.of(capacity)
        self.soon = Room.of(capacity)
        for one in held:
            self.now.take(one.taken)
            if not one.leaving:
                self.soon.take(one.taken)
        self.grants = {wish.pool: Grant() for wish in wishes}
        self.evictions: list[Eviction] = []
        self.kept: list[tuple[str, Taken]] = []
        self.parts: list[tuple[str, Taken]] = []
        counts = Counter(one.pool for one in self._staying.values())
        self._ranks = {wish.pool: Rank(wish.priority, wish.floor, counts[wish.pool]) for wish in wishes}
        self._used = {wish.pool: Room() for wish in wishes}
        for one in self._staying.values():
            if one.pool in self._used:
                self._use(one.pool, one.taken)

    def serve(self, equals: Iterable[Wish]) -> None:
        """Pools of one priority, in turns."""
        line = [(*self._turn(wish), wish, wish.starts) for wish in equals if wish.starts > 0]
        heapify(line)
        while line:
            _, _, pool, wish, left = heappop(line)
            if not self._one_more(wish):
                self.grants[pool].refused = left
                if wish.keeps:
                    self._keep(wish)
            elif left > 1:
                heappush(line, (*self._turn(wish), wish, left - 1))

    def _turn(self, wish: Wish) -> tuple[float, int, str]:
        """The smallest is next: who has least; of those who have the same, whoever needs most, since that is harder to find."""
        return self._dominant_share(wish.pool), -wish.need.gpus * wish.need.share, wish.pool

    def _one_more(self, wish: Wish) -> bool:
        grant = self.grants[wish.pool]
        if (taken := fit(self.now, wish.need)) is not None:
            grant.starts.append(taken)
        elif (taken := self._soon(wish)) is not None:
            grant.waits += 1
            self.kept.append((wish.pool, taken))
        else:
            return False
        self.now.take(taken)
        self.soon.take(taken)
        self._use(wish.pool, taken)
        return True

    def _soon(self, wish: Wish) -> Taken | None:
        """On what leaving workers hold, or, where that is too little, on what lower pools' workers are asked to leave."""
        taken = fit(self.soon, wish.need, now=self.now.devices)
        if taken is not None or not wish.evicts:
            return taken
        for victim in make_room(self.soon, wish.need, self._staying.values(), self._ranks, below=wish.priority):
            self.evictions.append(Eviction(victim.worker, victim.pool, wish.pool))
            del self._staying[victim.worker]
            self._ranks[victim.pool] = self._ranks[victim.pool].with_one_less()
            self.soon.give(victim.taken)
            self._used[victim.pool].take(victim.taken)
        return fit(self.soon, wish.need, now=self.now.devices)

    def _keep(self, wish: Wish) -> None:
        if most_of(self._capacity, wish.need) < 1:
            return
        for part in parts(self.soon, wish.need):
            self.now.keep(part)
            self.soon.keep(part)
            self.parts.append((wish.pool, part))

    def _use(self, pool: str, taken: Taken) -> None:
        used = self._used[pool]
        for device in taken.devices:
            used.devices.setdefault(device, 0)
        used.give(taken)

    def _dominant_share(self, pool: str) -> float:
        """The pool's greatest part of anything that the host has."""
        used, have = self._used[pool], self._capacity
        gpus = sum(used.devices.values()) / (WHOLE * len(have.devices)) if have.devices else 0.0
        return max(gpus, used.cpus / have.cpus if have.cpus else 0.0, used.workers / max(1, have.workers))
