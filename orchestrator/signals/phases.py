"""A worker's start in its phases, as runtime, worker and orchestrator measured them; and the start that stands for a pool's. Pure.

The worker says what its phases took by its own clock. What lies before them (until its process or container ran) and after them
(until the orchestrator heard that it is ready) is the orchestrator's to measure. What nobody measured is absent, and is not zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

PHASES = ("runtime", "interpreter", "import", "engine", "load", "compile", "first_token", "heard")
"""In order: until the process or container ran, until the worker's code did, the engine's code, what the engine cannot tell apart,
the weights, compilation and warm-up, the first token, until that was heard of."""

DOING: Mapping[str, str] = {
    "interpreter": "starting Python",
    "import": "importing the engine",
    "engine": "starting the engine",
    "load": "loading the weights",
    "compile": "compiling and warming up",
    "first_token": "making the first token",
}
"""What a worker that starts is at."""

_SHOWN = {"first_token": "first token"}
_RUNTIME = {"docker": "container", "process": "process"}


def phases_of_start(
    *,
    asked_at: float,
    begun_at: float,
    loop_at: float,
    engine_at: float,
    seen_at: float,
    told: Mapping[str, float],
) -> dict[str, float]:
    """Durations in s by phase. `told`: by the worker. Moments are Unix time; one that is 0 is not known.

    Of a worker that tells nothing, moments stand for phases: until its loop ran, until its engine was loaded. A phase whose moment
    is not known is part of the next.
    """
    if told:
        found = {"runtime": max(0.0, begun_at - asked_at)} | {phase: told[phase] for phase in PHASES if phase in told}
        found["heard"] = max(0.0, seen_at - asked_at - sum(found.values()))
        return {phase: round(took, 3) for phase, took in found.items()}
    result, last = dict[str, float](), asked_at
    moments = {"runtime": begun_at, "interpreter": loop_at, "engine": engine_at, "heard": seen_at}
    for phase, at in moments.items():
        if at:
            result[phase] = round(max(0.0, at - last), 3)
            last = max(last, at)
    return result


def total_s(phases: Mapping[str, float]) -> float:
    """The whole start."""
    return sum(phases.values())


def median(starts: Iterable[Mapping[str, float]]) -> Mapping[str, float]:
    """The start in the middle by its length, whole, so that its phases add up; empty where there is none."""
    ordered = sorted((phases for phases in starts if phases), key=total_s)
    return ordered[(len(ordered) - 1) // 2] if ordered else {}


def shown(phases: Mapping[str, float], *, runtime: str = "") -> str:
    """For a reader: `container 1.2 s, interpreter 0.2 s, import 9.1 s, load 3.0 s, …`."""
    words = _SHOWN | {"runtime": _RUNTIME.get(runtime, "runtime")}
    return ", ".join(f"{words.get(phase, phase)} {phases[phase]:.1f} s" for phase in PHASES if phase in phases)


def in_a_sentence(starts: Iterable[Mapping[str, float]], *, runtime: str) -> str:
    """`A start takes 34 s: container 1.2 s, …`; empty where none was measured."""
    phases = median(starts)
    if not phases:
        return ""
    whole_s = total_s(phases)
    return f"A start takes {whole_s:.{0 if whole_s >= 10 else 1}f} s: {shown(phases, runtime=runtime)}."
