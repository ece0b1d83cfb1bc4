"""How a pool's line stands, for whoever looks: whose turns wait and run, how long turns hold a slot, what is foretold. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from taskqueue.outlook import Outlook, Pace


@dataclass(frozen=True, slots=True)
class Line:
    """One tenant's turns in the pool: those that wait, and those that hold a slot."""

    tenant: str
    waiting: int
    running: int


@dataclass(frozen=True, slots=True)
class Standing:
    """`lines`: the longest first; `outlook` is None where no orchestrator has spoken lately."""

    lines: tuple[Line, ...]
    pace: Pace
    outlook: Outlook | None
