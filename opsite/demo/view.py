"""What the demo shows: a live view where the terminal can, plain lines where it cannot, and the closing tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from opsite.demo.load import Watched

STREAMS_SHOWN = 4
STATES = {"starting": "yellow", "ready": "green", "draining": "magenta"}


@dataclass(frozen=True)
class Moment:
    """What is true now: demand, fleet, and the newest decision's reason."""

    waiting: int
    running: int
    workers: dict[str, int]
    decision: str


class Rate:
    """Tokens per second over the last few seconds, by counting what the streams brought."""

    def __init__(self, window_s: float = 3.0) -> None:
        self._window_s = window_s
        self._seen: list[tuple[float, int]] = []

    def add(self, tokens: int) -> float:
        """Note the total of now; returns tokens per second."""
        now = time.monotonic()
        self._seen = [(at, total) for at, total in self._seen if now - at <= self._window_s]
        self._seen.append((now, tokens))
        (first_at, first), (last_at, last) = self._seen[0], self._seen[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else 0.0


def live(moment: Moment, watched: list[Watched], tokens_per_s: float) -> Group:
    """The whole view of one moment."""
    facts = Table.grid(padding=(0, 3))
    facts.add_row("queue", Text("▇" * min(moment.waiting, 60) + f" {moment.waiting} waiting", "yellow"))
    facts.add_row("running", Text("▇" * min(moment.running, 60) + f" {moment.running} running", "green"))
    fleet = Text(" ").join(
        Text(f" {state} ", f"black on {colour}")
        for state, colour in STATES.items()
        for _ in range(moment.workers.get(state, 0))
    )
    facts.add_row("workers", fleet if moment.workers else Text("none", "dim"))
    facts.add_row("tokens/s", f"{tokens_per_s:,.0f}")
    facts.add_row("ended", f"{sum(w.finished_at > 0 for w in watched)} of {len(watched)} tasks")
    facts.add_row("last decision", Text(moment.decision or "none yet", "dim"))
    streaming = [w for w in watched if w.text and not w.finished_at] or [w for w in watched if w.text]
    panels = [
        Panel(Text(w.text[-360:].lstrip("\n"), overflow="fold"), title=f"{w.tenant} by {w.way}: {w.prompt}", height=8)
        for w in streaming[-STREAMS_SHOWN:]
    ]
    return Group(Panel(facts, title="opsite"), *panels)


def line(moment: Moment, watched: list[Watched], tokens_per_s: float) -> str:
    """The view as one line, for a log."""
    fleet = ", ".join(f"{count} {state}" for state, count in moment.workers.items()) or "none"
    newest = next((w.text.strip().splitlines()[-1][:60] for w in reversed(watched) if w.text.strip()), "")
    return (
        f"waiting {moment.waiting:>3}  running {moment.running:>3}  workers: {fleet:<24} {tokens_per_s:>6,.0f} tokens/s  "
        f"ended {sum(w.finished_at > 0 for w in watched):>3}/{len(watched)}  {newest}"
    )


def closing(
    console: Console, watched: list[Watched], decisions: Iterable[tuple[str, int, int, str]], wall_s: float
) -> None:
    """Tables of tasks and decisions."""
    table = Table(title=f"Tasks, in {wall_s:.0f} s")
    for name in ("tenant", "by", "tasks", "succeeded", "tokens", "wait p50", "wait p99", "faults"):
        table.add_column(name, justify="left" if name in ("tenant", "by") else "right")
    for tenant in sorted({w.tenant for w in watched}):
        _row(table, tenant, [w for w in watched if w.tenant == tenant])
    table.add_section()
    _row(table, "all", watched)
    console.print(table)
    reasons = Table(title="Scaling decisions")
    for name in ("at", "workers", "reason"):
        reasons.add_column(name)
    for at, current, desired, reason in decisions:
        reasons.add_row(at, f"{current} → {desired}", reason)
    console.print(reasons)


def _row(table: Table, name: str, watched: list[Watched]) -> None:
    waits = sorted(w.wait_s for w in watched if w.first_text_at) or [float("nan")]
    table.add_row(
        name,
        ", ".join(sorted({w.way for w in watched})),
        str(len(watched)),
        str(sum(w.state == "succeeded" for w in watched)),
        f"{sum(w.tokens for w in watched):,}",
        f"{statistics.median(waits):.1f} s",
        f"{waits[min(len(waits) - 1, int(len(waits) * 0.99))]:.1f} s",
        str(sum(bool(w.faults) for w in watched)),
    )
