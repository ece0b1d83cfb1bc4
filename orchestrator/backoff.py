"""How long to wait before the next start after starts that failed: exponential, and forgotten after one that held.

A start has failed when the worker ended by itself before it had been ready for `HELD_S`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FIRST_S = 1.0
LONGEST_S = 300.0
HELD_S = 10.0
SPARES_S = 3600.0
"""For so long after a failed start no other pool's worker goes for the next one; then once more, as it may have been mended."""
HOPELESS = 78
"""The exit code for "starting again does not help"; it waits longer at once."""
HOPELESS_FACTOR = 5.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failed starts in a row, the last one's moment and error, and when the next start may be."""

    failures: int = 0
    failed_at: float = 0.0
    until: float = 0.0
    error: str = ""

    def blocks(self, now: float) -> bool:
        """Whether a start must wait."""
        return now < self.until

    def spares(self, now: float) -> bool:
        """Whether the next start takes only what is free."""
        return self.failures > 0 and now < self.failed_at + SPARES_S


@dataclass(frozen=True, slots=True)
class Ending:
    """A worker's life: its start, when it was ready (None: never), its end, and whether it was asked to end."""

    begun_at: float
    ended_at: float
    ready_at: float | None
    exit_code: int | None
    error: str
    asked: bool = False


def delay_s(failures: int, exit_code: int | None) -> float:
    """Seconds to wait after so many failures in a row."""
    if failures <= 0:
        return 0.0
    factor = HOPELESS_FACTOR if exit_code == HOPELESS else 1.0
    return min(LONGEST_S, factor * FIRST_S * 2.0 ** min(failures - 1, 30))


def after(backoff: Backoff, ending: Ending) -> Backoff:
    """The backoff after a worker ended."""
    if ending.ready_at is not None and ending.ended_at - ending.ready_at >= HELD_S:
        return held(backoff, begun_at=ending.begun_at, ready_for_s=HELD_S)
    if ending.asked:
        return backoff
    failures = backoff.failures + 1
    until = ending.ended_at + delay_s(failures, ending.exit_code)
    return Backoff(failures, ending.ended_at, max(until, backoff.until), ending.error)


def held(backoff: Backoff, *, begun_at: float, ready_for_s: float) -> Backoff:
    """The backoff while a worker is ready: over once one that was started after the last failure has held."""
    return Backoff() if ready_for_s >= HELD_S and begun_at >= backoff.failed_at else backoff


def replayed(endings: Iterable[Ending]) -> Backoff:
    """The backoff after a restart, from the pool's last endings, oldest first."""
    backoff = Backoff()
    for ending in endings:
        backoff = after(backoff, ending)
    return backoff
