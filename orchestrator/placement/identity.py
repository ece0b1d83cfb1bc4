"""Which names mean which GPU. Pure.

A GPU has its uuid for good; its index is a place in PCI order, which another one has after a GPU was taken out. So a worker holds
uuids wherever they are known. Where two names cannot be told apart, what is held by the one is not given out by the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

UNKNOWN = "unknown"
"""Stands in a row for a GPU that the worker has, while nobody knows which."""

UUIDS = ("GPU-", "MIG-")
"""How the names begin that stay. CUDA takes the beginning of one for the whole."""


def settled(held: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """The same devices by the names that stay, as far as `names` knows them."""
    return tuple(names.get(name, name) for name in held)


def may_be(name: str, devices: Iterable[str]) -> tuple[str, ...]:
    """Which of these devices the name may mean: itself, or, if it is not there, all that it cannot be told from."""
    there = tuple(devices)
    return (name,) if name in there else tuple(device for device in there if not told_apart(name, device))


def told_apart(one: str, other: str) -> bool:
    """Whether these names cannot mean the same GPU."""
    if UNKNOWN in (one, other) or one == other:
        return False
    if _is_uuid(one) and _is_uuid(other):
        return not (one.startswith(other) or other.startswith(one))
    return not (_is_uuid(one) and other.isdigit()) and not (one.isdigit() and _is_uuid(other))


def _is_uuid(name: str) -> bool:
    return name.startswith(UUIDS)
