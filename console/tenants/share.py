"""What of a contended pool is a tenant's by its weight, and what it has of it now, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Share(NamedTuple):
    """A tenant in one pool: the part that its weight gives it among those that wait (None: nobody waits), and what runs."""

    pool: str
    by_weight: float | None
    running: int
    running_all: int

    @property
    def now(self) -> float | None:
        """Its part of what runs; None where nothing runs."""
        return self.running / self.running_all if self.running_all else None

    def words(self, *, others: int) -> str:
        """The sentence of the page; `others`: so many other tenants wait in the pool."""
        part = "" if self.now is None else f" ({self.now:.0%})"
        has = (
            f"{self.running:,} of the {self.running_all:,} that run are its own{part}."
            if self.running_all
            else "Nothing runs."
        )
        if self.by_weight is None:
            return f"Nobody waits: whoever asks is served at once. {has}"
        if not others:
            return f"No other tenant waits: it gets whatever is free. {has}"
        among = f"{others:,} other {'tenant' if others == 1 else 'tenants'}"
        return f"With {among} waiting its weight gives it {self.by_weight:.0%} of the pool. {has}"


def share_of(
    tenant: str, *, pool: str, weights: Mapping[str, float], waits: bool, running: int, running_all: int
) -> Share:
    """`weights` are those of all tenants that wait in the pool, by id, and the tenant's own whether it `waits` or not."""
    if not waits and weights.keys() == {tenant}:
        return Share(pool, None, running, running_all)
    return Share(pool, weights[tenant] / sum(weights.values()), running, running_all)
