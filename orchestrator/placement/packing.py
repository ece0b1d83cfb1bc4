"""What is free on a host, and where one worker more fits. Pure.

Best fit: a worker that needs a part of a GPU goes where the least is left that is enough, so that whole GPUs stay whole for
those who need whole ones. Parts are counted in thousandths, so that no sum of them is ever a little off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

WHOLE = 1000
"""Thousandths of a device."""

Kind = Literal["workers", "gpus", "cpus"]


@dataclass(frozen=True, slots=True)
class Need:
    """What one worker takes: `gpus` whole devices, or `share` thousandths of one; `cpus` cores (0: not counted)."""

    gpus: int = 0
    share: int = WHOLE
    cpus: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a host has to give: devices that work, cores, and how many workers it may hold.

    `names`: the device that is meant by another name of it (an index, where devices are uuids).
    """

    devices: tuple[str, ...] = ()
    cpus: int = 0
    workers: int = 0
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one worker has: of each of its devices `share` thousandths."""

    devices: tuple[str, ...] = ()
    share: int = WHOLE
    cpus: int = 0


@dataclass(slots=True)
class Room:
    """What is free. Below zero where more is held than there is: after a limit was lowered, or for what was promised."""

    devices: dict[str, int] = field(default_factory=dict)
    cpus: int = 0
    workers: int = 0

    @classmethod
    def of(cls, capacity: Capacity) -> Room:
        """An empty host."""
        return cls(dict.fromkeys(capacity.devices, WHOLE), capacity.cpus, capacity.workers)

    def copy(self) -> Room:
        """One to try things in."""
        return Room(dict(self.devices), self.cpus, self.workers)

    def take(self, taken: Taken) -> None:
        """A worker more. What it holds on devices that are no longer there counts for nothing."""
        self._move(taken, -1)

    def give(self, taken: Taken) -> None:
        """A worker less."""
        self._move(taken, 1)

    def keep(self, part: Taken) -> None:
        """A part of what a worker needs that does not fit yet: it takes no place among the workers."""
        self.take(part)
        self.workers += 1

    def release(self, part: Taken) -> None:
        """It is no longer kept."""
        self.give(part)
        self.workers -= 1

    def _move(self, taken: Taken, sign: int) -> None:
        for device in taken.devices:
            if device in self.devices:
                self.devices[device] += sign * taken.share
        self.cpus += sign * taken.cpus
        self.workers += sign


def wanted_of(need: Need) -> int:
    """Thousandths that must be free on each of its devices."""
    return need.share if need.gpus == 1 else WHOLE


def fitting(room: Room, need: Need) -> list[str]:
    """Devices that could be among the worker's."""
    return [device for device, free in room.devices.items() if free >= wanted_of(need)]


def short_of(room: Room, need: Need) -> Kind | None:
    """What keeps such a worker from fitting; None: it fits."""
    if room.workers < 1:
        return "workers"
    if need.gpus and len(fitting(room, need)) < need.gpus:
        return "gpus"
    if need.cpus and room.cpus < need.cpus:
        return "cpus"
    return None


def most_of(capacity: Capacity, need: Need) -> int:
    """How many such workers an empty host holds."""
    most = capacity.workers
    if need.gpus:
        shares = WHOLE // need.share if need.gpus == 1 else 1
        most = min(most, len(capacity.devices) // need.gpus * shares)
    if need.cpus:
        most = min(most, capacity.cpus // need.cpus)
    return most


def fit(room: Room, need: Need, *, now: Mapping[str, int] | None = None) -> Taken | None:
    """What such a worker would take, or None. Devices that lack least `now` come first, then the best fit."""
    if short_of(room, need) is not None:
        return None
    free, wanted = now or room.devices, wanted_of(need)
    places = fitting(room, need) if need.gpus else []
    places.sort(key=lambda device: (max(0, wanted - free[device]), room.devices[device]))
    chosen = places[: need.gpus]
    return Taken(tuple(device for device in room.devices if device in chosen), wanted, need.cpus)


def parts(room: Room, need: Need) -> tuple[Taken, ...]:
    """What is free of what such a worker needs, on the devices that lack least; all of it is too little."""
    wanted = wanted_of(need)
    nearest = sorted(room.devices, key=lambda device: -room.devices[device])[: need.gpus]
    found = [Taken((device,), min(wanted, room.devices[device])) for device in nearest if room.devices[device] > 0]
    cores = min(need.cpus, room.cpus)
    return (*found, Taken(cpus=cores)) if cores > 0 else tuple(found)
