"""The GPUs of a host as values: what the setting declares, and what NVIDIA's library says of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.placement.identity import told_apart


class BadInventory(Exception):
    """The setting that names the GPUs cannot be read: the message says what to write."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU. `id` is its index in PCI order, or what the setting calls it.

    `memory_mib` is 0, and `name` and `uuid` are empty, where nobody could tell.
    """

    id: str
    memory_mib: int = 0
    name: str = ""
    uuid: str = ""

    @property
    def identity(self) -> str:
        """What a worker is given and holds: the uuid where it is known. CUDA, Docker and vLLM (0.32) read it like an index."""
        return self.uuid or self.id


@dataclass(frozen=True, slots=True)
class Reading:
    """The devices that may be given out. `names`: the identity of each index and uuid that was ever found, as it was first."""

    devices: tuple[Device, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)


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


def unread(setting: Sequence[Device] | None) -> Reading:
    """Before the library has said anything. `setting` None: there is nothing but what it finds."""
    return Reading(_apart(setting or ()))


def read(before: Reading, setting: Sequence[Device] | None, found: Sequence[Device]) -> Reading:
    """After it has found these. An index goes on to mean what it meant first: another GPU that comes to have it was not declared.

    Raises `BadInventory` where two declared ones are one GPU, by its index and by its uuid.
    """
    names = {name: device.identity for device in found for name in (device.id, device.identity)} | dict(before.names)
    if setting is None:
        return Reading(tuple(found), names)
    there = {device.identity: device for device in found}
    told, unknown, meant = list[Device](), list[Device](), dict[str, str]()
    for device in setting:
        identity = _meant_by(device.id, names)
        first = meant.setdefault(identity, device.id)
        if first != device.id and not before.names:
            raise BadInventory(f"OPSITE_GPUS names one GPU twice, as {first} and as {device.id}: it stands there once.")
        if first != device.id:
            continue  # indices moved: it has come to have another one's
        if identity in there:
            real = there[identity]
            told.append(Device(device.id, device.memory_mib or real.memory_mib, real.name, real.uuid))
        elif identity not in names:
            unknown.append(device)
    return Reading((*told, *_apart(unknown)), names)


def _meant_by(name: str, names: Mapping[str, str]) -> str:
    """The identity of what the setting calls so: by its index, its uuid, or the beginning of one; else the name itself."""
    begun = {identity for identity in names.values() if identity.startswith(name) and not name.isdigit()}
    return names.get(name) or (begun.pop() if len(begun) == 1 else name)


def _apart(devices: Iterable[Device]) -> tuple[Device, ...]:
    """Without those that may be one of the others under another name: until somebody can tell, they are not given out."""
    kept = list[Device]()
    for device in devices:
        if all(told_apart(device.identity, other.identity) for other in kept):
            kept.append(device)
    return tuple(kept)
