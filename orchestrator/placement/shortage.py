"""Why a pool gets no more workers, in a sentence that names who has what it lacks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.placement.packing import WHOLE, Capacity, Need, Room, Taken, fitting, short_of
from orchestrator.policies.demand import counted

NAMED = 4
"""Pools that a sentence names; the rest is a number."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A worker that is there, or what is kept for one that is to come, and whose it is (empty: nobody's)."""

    pool: str
    taken: Taken


def shortage(need: Need, *, capacity: Capacity, room: Room, holders: Sequence[Holder]) -> str:
    """The sentence; empty where nothing is short. `room` is what `holders` leave of `capacity`."""
    if never := _never(need, capacity):
        return never
    match short_of(room, need):
        case "gpus":
            return _of_gpus(need, capacity, room, holders)
        case "cpus":
            cores = Counter[str]()
            for holder in holders:
                cores[holder.pool] += holder.taken.cpus
            cores = +cores
            return _held(counted(need.cpus, "core"), max(0, room.cpus), capacity.cpus, _pools(cores) if cores else "")
        case "workers":
            return f"This host holds {counted(capacity.workers, 'worker')} at most (OPSITE_MAX_LOCAL_WORKERS)."
    return ""


def _never(need: Need, capacity: Capacity) -> str:
    """What is too much for the whole host, whoever else is on it, and what to change."""
    total = len(capacity.devices)
    if need.gpus > total:
        has = counted(total, "GPU") if total else "none (OPSITE_GPUS names them)"
        until = "None fits until it has more, or the pool's GPUs per worker are lowered."
        return f"A worker of this pool needs {_gpus(need)}; this host has {has}. {until}"
    if need.cpus > capacity.cpus:
        return (
            f"A worker of this pool needs {counted(need.cpus, 'core')}; this host has {capacity.cpus}. "
            "None ever fits: lower the pool's CPUs per worker, or raise OPSITE_CPUS."
        )
    return ""


def _gpus(need: Need) -> str:
    part = need.share / WHOLE if need.gpus == 1 else 1
    return f"{part:g} of a GPU" if part < 1 else counted(need.gpus, "GPU")


def _of_gpus(need: Need, capacity: Capacity, room: Room, holders: Iterable[Holder]) -> str:
    total = len(capacity.devices)
    part = need.share / WHOLE if need.gpus == 1 else 1
    having: dict[str, set[str]] = {}
    for holder in holders:
        if here := set(holder.taken.devices) & set(capacity.devices):
            having.setdefault(holder.pool, set()).update(here)
    pools = _pools({pool: len(devices) for pool, devices in having.items()})
    free = len(fitting(room, need))
    if free == 0 and part < 1:
        return f"No GPU has {part:g} of it free: {total} of {total} are held by {pools}."
    if free == 0:
        held = sum(left < WHOLE for left in room.devices.values())
        return f"No GPU is free: {held} of {total} are held by {pools}."
    return _held(_gpus(need), free, total, pools)


def _held(wants: str, free: int, total: int, pools: str) -> str:
    has = f"A worker of this pool needs {wants}; {free} of this host's {total} {'is' if free == 1 else 'are'} free"
    return f"{has}, the others are held by {pools}." if pools else f"{has}."


def _pools(having: Mapping[str, int]) -> str:
    """`pools a (3) and b (1)`: who has most comes first; what belongs to no pool comes last."""
    order = sorted(having.items(), key=lambda item: (not item[0], -item[1], item[0]))
    names = [f"{pool} ({count})" if pool else f"workers of no pool ({count})" for pool, count in order]
    if len(names) > NAMED:
        names[NAMED:] = [counted(len(names) - NAMED, "other")]
    if order and order[0][0]:
        names[0] = f"{'pools' if len(order) > 1 and order[1][0] else 'pool'} {names[0]}"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
