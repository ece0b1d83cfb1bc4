"""Which GPUs a new worker gets: exact devices, never one twice. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def choose_gpus(count: int, *, present: Sequence[str], taken: Iterable[str]) -> tuple[str, ...] | None:
    """The first `count` free devices, or None when there are too few."""
    used = set(taken)
    free = [device for device in present if device not in used]
    return tuple(free[:count]) if len(free) >= count else None


def free_gpus(*, present: Sequence[str], taken: Iterable[str]) -> int:
    """How many devices nobody has."""
    return len(set(present) - set(taken))
