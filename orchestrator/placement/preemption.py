"""Which workers of lower pools must go, so that one worker of a higher pool fits. Pure.

Device by device: the one is cleared whose clearing costs least; then cores and places, worker by worker. What turns out not to have
been needed stays. The loss of a starting worker costs less than that of an idle one, and that less than that of a busy one; before
all that, the lower pool pays first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.placement.packing import Need, Room, Taken, fitting, short_of, wanted_of


@dataclass(frozen=True, slots=True)
class Held:
    """A worker that lives or starts, and what it has. `leaving`: it was asked to end, or is asked to just now.

    `felt` says how much its loss is felt: the smallest goes first.
    """

    worker: str
    pool: str
    taken: Taken
    leaving: bool = False
    felt: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Rank:
    """A pool as those above see it: `staying` workers, of which all above `floor` may be taken (None: nothing may)."""

    priority: int
    floor: int | None
    staying: int

    def spare(self) -> int:
        """How many of its workers may be taken."""
        return 0 if self.floor is None else max(0, self.staying - self.floor)

    def with_one_less(self) -> Rank:
        """After one was taken."""
        return replace(self, staying=self.staying - 1)


def make_room(
    room: Room, need: Need, workers: Iterable[Held], ranks: Mapping[str, Rank], *, below: int
) -> tuple[Held, ...]:
    """The workers of pools below the priority `below` to be asked; none where that would not be enough."""
    spare = {pool: rank.spare() for pool, rank in ranks.items() if rank.priority < below and rank.spare()}
    lower = [one for one in workers if one.pool in spare]
    if not lower:
        return ()
    lower.sort(key=lambda one: (ranks[one.pool].priority, one.felt, one.worker))
    trial, chosen = room.copy(), list[Held]()
    while (short := short_of(trial, need)) is not None:
        left = [one for one in lower if one not in chosen]
        step = _clearing(trial, need, left, spare) if short == "gpus" else _next(left, spare, cores=short == "cpus")
        if not step:
            return ()
        for victim in step:
            trial.give(victim.taken)
            spare[victim.pool] -= 1
        chosen += step
    for victim in reversed(list(chosen)):
        trial.take(victim.taken)
        if short_of(trial, need) is None:
            chosen.remove(victim)
        else:
            trial.give(victim.taken)
    return tuple(chosen)


def _next(workers: Sequence[Held], spare: Mapping[str, int], *, cores: bool) -> list[Held]:
    return next(([one] for one in workers if spare[one.pool] and (one.taken.cpus or not cores)), [])


def _clearing(room: Room, need: Need, workers: Sequence[Held], spare: Mapping[str, int]) -> list[Held]:
    """The cheapest way to make one device more fit; empty: there is none. `workers` are in the order of their cost."""
    enough = fitting(room, need)
    place = {one.worker: number for number, one in enumerate(workers)}
    best: list[Held] = []
    for device in room.devices:
        if device in enough:
            continue
        going = _off(device, wanted_of(need) - room.devices[device], workers, spare)
        if going and (not best or _cost(going, place) < _cost(best, place)):
            best = going
    return best


def _off(device: str, missing: int, workers: Sequence[Held], spare: Mapping[str, int]) -> list[Held]:
    """Those who must leave the device so that `missing` thousandths more of it are free; empty: not all of them may."""
    left, going = dict(spare), list[Held]()
    for one in workers:
        if missing <= 0:
            break
        if device in one.taken.devices and left[one.pool]:
            left[one.pool] -= 1
            missing -= one.taken.share
            going.append(one)
    return going if missing <= 0 else []


def _cost(going: Sequence[Held], place: Mapping[str, int]) -> tuple[int, ...]:
    """The dearest worker counts first."""
    return tuple(sorted((place[one.worker] for one in going), reverse=True))
