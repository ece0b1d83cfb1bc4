"""The printed verdict: counts, recovery per kind of fault, stalls, and every violation by name."""

from __future__ import annotations

import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.faults import Fault, Kind
from benchmarks.chaos.scene import SIMULATED, VERSE
from benchmarks.chaos.verdict import Stall, Told, Violation, counted, first_wait_s, neighbours_late_s, taken_over
from benchmarks.chaos.verses import Verdict

JUST_BEFORE_S = 0.3
NOISE_MAX_S = 2.0
"""What a machine that is late is allowed at most, beyond what is promised."""
STALL_S = 0.75
"""A shorter pause is a busy machine's, no fault's."""


class Late(NamedTuple):
    """A stall that broke its promise: longer than the kind's `stall_s` and `noise_s` together."""

    stall: Stall
    kind: Kind
    noise_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run. `lies`: how often `/readyz` said "ready" while a server was away.

    `noise_s`: by so much a stall may pass what is promised, since all of this runs on a few cores. Where streams that nobody hurt
    paused for more than half of it, twice their pause: what a stall waits for goes over more processes than a token does.
    """

    wanted: int
    told: Sequence[Told]
    violations: Sequence[Violation]
    verses: Verdict
    stalls: Sequence[Stall]
    faults: Sequence[Fault]
    open_at_the_end: int
    lies: int
    seconds: float
    noise_s: float

    @property
    def late(self) -> list[Late]:
        """Stalls that are longer than was promised for the fault that they began with, and than the machine accounts for."""
        found = []
        for stall in self.stalls:
            fault = blamed(stall, self.faults)
            if fault is None or fault.kind.stall_s is None or stall.length_s <= fault.kind.stall_s + self.noise_s:
                continue
            noise_s = min(NOISE_MAX_S, max(self.noise_s, 2 * neighbours_late_s(stall, self.told)))
            if stall.length_s > fault.kind.stall_s + noise_s:
                found.append(Late(stall, fault.kind, noise_s))
        return found

    @property
    def right(self) -> bool:
        """No promise was broken."""
        gone = any(fault.ills for fault in self.faults)
        return not (self.violations or self.open_at_the_end or self.lies or self.late or gone)


def blamed(stall: Stall, faults: Sequence[Fault]) -> Fault | None:
    """The fault that a stall began with: the last that was there when nothing more came, or came within a step. Pure."""
    for fault in reversed(faults):
        if fault.begun_at < stall.begun_at + JUST_BEFORE_S and stall.begun_at < fault.well_at:
            return fault
    return None


def _name(fault: Fault | None) -> str:
    return "none" if fault is None else fault.kind.name


def show(console: Console, result: Result) -> None:
    """Everything, for people."""
    accepted = [told for told in result.told if told.ids]
    outcomes = Counter(told.outcome or "none" for told in accepted)
    found = counted(result.violations)
    console.print(f"\n{result.wanted} tasks in {result.seconds:.0f} s, {len(result.faults)} faults")
    console.print(f"accepted            {len(accepted)}")
    console.print("outcomes            " + ", ".join(f"{count} {state}" for state, count in outcomes.most_common()))
    console.print(f"lost                {found['lost'] + result.open_at_the_end}")
    console.print(f"doubled             {found['doubled']}")
    broken = {violation.key for violation in result.violations if violation.kind in ("gap", "repeat", "text", "seam")}
    console.print(
        f"gap or repeat       {len(broken)} of {len(accepted)} streams, each held against the undisturbed text"
    )
    if result.verses.judged:
        console.print(
            f"real model          {result.verses.judged} streams judged token by token; {len(result.verses.moved)} "
            f"left the undisturbed text where the last bit of a logit decided {' '.join(result.verses.moved)}"
        )
    console.print(f"record differs      {found['record']}")
    console.print(f"refused, failed     {found['refused']}, {found['failed']}")
    over = Counter(told.pool for told in accepted if taken_over(told.seen))
    console.print(
        f"streams taken over  {over[SIMULATED]} simulated, {over[VERSE]} of the real model, in the middle of an answer"
    )
    console.print(f"streams restarted   {sum(any(e.kind == 'restart' for e in t.seen) for t in accepted)}")
    console.print(f"streams reconnected {sum(len(told.connected_at) > 1 for told in accepted)}")
    console.print(f"untrue /readyz      {result.lies}")
    longest = max(result.stalls, key=lambda stall: stall.length_s, default=None)
    if longest is not None:
        console.print(f"longest stall       {longest.length_s:.1f} s ({_name(blamed(longest, result.faults))})")
    console.print(
        f"longest wait        {max(map(first_wait_s, accepted), default=0.0):.1f} s from acceptance to the first text"
    )
    console.print(f"load of the machine {' '.join(f'{load:.1f}' for load in os.getloadavg())} (1, 5, 15 minutes)")
    console.print(_table(result))
    for violation in result.violations[:20]:
        console.print(f"VIOLATION {violation.kind}: {violation.key}: {violation.detail}", markup=False)
    for late in result.late[:20]:
        console.print(
            f"VIOLATION stall: {late.stall.key}: {late.stall.length_s:.2f} s, {late.kind.name} promises {late.kind.stall_s:g} s, "
            f"the machine is allowed {late.noise_s:.2f} s"
        )
    for fault in result.faults:
        if fault.ills:
            console.print(
                f"VIOLATION not back: {fault.kind.name} ({fault.target}): {'; '.join(fault.ills)}", markup=False
            )


def _table(result: Result) -> Table:
    stalled: defaultdict[str, list[float]] = defaultdict(list)
    for stall in result.stalls:
        stalled[_name(blamed(stall, result.faults))].append(stall.length_s)
    table = Table(
        "fault", "times", "until all is well, s", "longest", "streams stalled", "median stall, s", "longest stall, s"
    )
    names = list(dict.fromkeys(fault.kind.name for fault in result.faults))
    for name in [*sorted(names), "none"]:
        recoveries = [fault.recovery_s for fault in result.faults if fault.kind.name == name]
        lengths = stalled[name]
        table.add_row(
            name,
            str(len(recoveries) or ""),
            f"{statistics.median(recoveries):.1f}" if recoveries else "",
            f"{max(recoveries):.1f}" if recoveries else "",
            str(len(lengths)),
            f"{statistics.median(lengths):.1f}" if lengths else "",
            f"{max(lengths):.1f}" if lengths else "",
        )
    return table
