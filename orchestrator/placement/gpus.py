"""The GPUs of a host as values, and the setting that declares them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class BadInventory(Exception):
    """The setting that names the GPUs cannot be read: the message says what to write."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU. `id` is what a worker is given: the index in PCI order (vLLM reads nothing else), or what the setting says.

    `memory_mib` is 0 and `name` empty where nobody could tell.
    """

    id: str
    memory_mib: int = 0
    name: str = ""
    uuid: str = ""


def declared(setting: str) -> tuple[Device, ...]:
    """The devices of a setting such as `0,1` or, with their memory in MiB, `0:81920,1:81920`; empty: none.

    Raises `BadInventory`.
    """
    devices = [_device(part.strip()) for part in setting.split(",")] if setting.strip() else []
    ids = [device.id for device in devices]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise BadInventory(f"OPSITE_GPUS names device {twice[0]} twice: each GPU stands there once.")
    return tuple(devices)


def _device(part: str) -> Device:
    name, mark, memory = part.partition(":")
    if not name or " " in name or (mark and not (memory.isascii() and memory.isdigit())):
        raise BadInventory(
            f"OPSITE_GPUS has {part!r} in it: write ids as `0,1`, with their memory in MiB as `0:81920,1:81920`, "
            "or nothing for no GPU."
        )
    return Device(name, memory_mib=int(memory or 0))


def usable(devices: Sequence[Device], *, found: Sequence[Device], once: frozenset[str]) -> tuple[Device, ...]:
    """Declared devices, told more of by those that were found; without those that were found `once` and are gone.

    Raises `BadInventory` where two of them are one GPU, by its index and by its uuid.
    """
    known = {name: device for device in found for name in (device.id, device.uuid) if name}
    told, named = [], dict[str, str]()
    for device in devices:
        real = known.get(device.id)
        if real is not None:
            if (first := named.setdefault(real.uuid or device.id, device.id)) != device.id:
                raise BadInventory(
                    f"OPSITE_GPUS names one GPU twice, as {first} and as {device.id}: it stands there once."
                )
            told.append(Device(device.id, device.memory_mib or real.memory_mib, real.name, real.uuid))
        elif device.id not in once:
            told.append(device)
    return tuple(told)
