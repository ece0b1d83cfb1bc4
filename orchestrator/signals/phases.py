"""A worker's start in its phases, as three clocks of one host saw them: orchestrator, kernel or engine, and worker. Pure."""

from __future__ import annotations

from collections.abc import Mapping

PHASES = ("runtime", "interpreter", "engine", "heard")
"""In order: until the process or container ran, until the worker spoke, until its engine was loaded, until that was heard of."""


def phases_of_start(
    *, asked_at: float, begun_at: float, loop_at: float, engine_at: float, seen_at: float
) -> dict[str, float]:
    """Durations in s by phase. Moments are Unix time; one that is 0 is not known, and its phase is part of the next."""
    result, last = dict[str, float](), asked_at
    for phase, at in zip(PHASES, (begun_at, loop_at, engine_at, seen_at), strict=True):
        if at:
            result[phase] = round(max(0.0, at - last), 3)
            last = max(last, at)
    return result


def shown(phases: Mapping[str, float]) -> str:
    """For a reader: `runtime 0.1 s, interpreter 0.9 s, engine 41.0 s, heard 0.4 s`."""
    return ", ".join(f"{phase} {phases[phase]:.1f} s" for phase in PHASES if phase in phases)
