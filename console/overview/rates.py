"""Tokens per second as they are made, from workers' sums that only grow, over the last few reads. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

WINDOW_S = 5.0
GAP_S = 15.0
"""After so long without a read the next one begins anew."""


class TokenRates:
    """Of all pools, by slug. Whoever reads hears of each worker how many tokens it has made since its start."""

    def __init__(self) -> None:
        self._workers: Mapping[str, Mapping[str, int]] = {}
        self._sums: dict[str, deque[tuple[float, int]]] = {}

    def hear(self, made: Mapping[str, Mapping[str, int]], *, now: float) -> dict[str, float | None]:
        """Tokens/s by pool since the oldest read within the window; None where there is none yet.

        A pool that is missing from `made` could not be read. A worker that is new counts from the next read on.
        """
        rates: dict[str, float | None] = {}
        for pool, workers in made.items():
            sums = self._sums.setdefault(pool, deque())
            if sums and not 0 <= now - sums[-1][0] <= GAP_S:
                sums.clear()
            known = self._workers.get(pool, {})
            came = sum(max(0, tokens - known[worker]) for worker, tokens in workers.items() if worker in known)
            sums.append((now, sums[-1][1] + came if sums else 0))
            while len(sums) > 2 and now - sums[1][0] >= WINDOW_S:
                sums.popleft()
            elapsed = now - sums[0][0]
            rates[pool] = round((sums[-1][1] - sums[0][1]) / elapsed, 1) if elapsed > 0 else None
        self._workers = made
        self._sums = {pool: sums for pool, sums in self._sums.items() if pool in made}
        return rates
