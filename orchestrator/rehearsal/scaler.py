"""Our policies as the simulated fleet's scalers: the very `decide` and `remember` that the orchestrator calls, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.policies.decide import decide, remember
from orchestrator.policies.demand import Decision, Demand, History, Policy, Signals
from orchestrator.rehearsal.scene import Sample


@dataclass
class Ours:
    """A policy with its history, and the decisions that it took. `begins_at`: when the load begins, in Unix time (s)."""

    policy: Policy
    label: str = ""
    history: History = field(default_factory=History)
    decision: Decision | None = None
    begins_at: float = 0.0

    @property
    def name(self) -> str:
        """The policy's kind."""
        return self.label or f"Opsite {self.policy.kind}"

    def desired(self, sample: Sample) -> int:
        """One tick of the control loop."""
        now, signals = self.begins_at + sample.at, self.signals(sample)
        decision = decide(self.policy, signals, self.history, now)
        grew = decision.desired > signals.current
        self.history = remember(
            self.history, policy=self.policy, signals=signals, decision=decision, grew=grew, now=now
        )
        self.decision = decision
        return decision.desired

    def signals(self, sample: Sample) -> Signals:
        """What production would have measured by now."""
        return signals_of(sample, begins_at=self.begins_at)


def signals_of(sample: Sample, *, begins_at: float = 0.0) -> Signals:
    """What production would have measured by now."""
    return Signals(
        slots=sample.slots,
        starting=sample.starting,
        ready=sample.ready,
        demand=Demand(
            at=begins_at + sample.at,
            waiting=sample.waiting,
            running=sample.running,
            oldest_wait_s=sample.oldest_wait_s,
            arrived=sample.arrived,
        ),
        turn_s=sample.turn_s,
        start_s=sample.start_s,
        spent_h=sample.spent_h,
    )
