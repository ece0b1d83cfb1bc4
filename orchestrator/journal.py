"""What of a pool's ticks is kept: changes, and what keeps it from changing, when that begins and when it is over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from orchestrator import records
from orchestrator.models import Pool, ScalingDecision
from orchestrator.plan import Drain, Plan, Start
from orchestrator.policies.demand import Decision
from orchestrator.refusals import OVER, Kind, Refusal, noted, unjudged
from orchestrator.replay import Inputs, to_json
from telemetry.metrics.orchestrator import DECISIONS

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Journal:
    """The last decided size, and what refused at the last tick."""

    desired: int | None = None
    refused: Mapping[Kind, Refusal] = field(default_factory=dict)

    @classmethod
    def resumed(cls, last: ScalingDecision | None, *, now: float) -> Self:
        """As another leader left it with the decision that was kept last, so that nothing is said twice."""
        if last is None:
            return cls()
        stood = last.signals.get("refusals", {})
        return cls(last.desired, {kind: Refusal(stood[kind], now) for kind in OVER if kind in stood})

    def keep(
        self,
        pool: Pool,
        decision: Decision,
        todo: Plan,
        present: Mapping[Kind, str],
        inputs: Inputs,
        *,
        outcome: str = "",
    ) -> None:
        """One tick's decision, if there is anything to be told. `present`: what refuses now; `outcome`: of the last roll-out."""
        unseen = unjudged(is_blind=decision.code == "blind", is_hindered=bool(inputs.hindrances))
        news = noted(self.refused, present, inputs.now, outcome=outcome, unjudged=unseen)
        scaled = any(isinstance(action, Start | Drain) for action in todo.actions)
        moved = self.desired is not None and decision.desired != self.desired
        if scaled or moved or news.sentences:
            note = " ".join(sentence for sentence in news.sentences if sentence not in decision.reason)
            records.keep_decision(
                pool,
                decision,
                inputs=to_json(inputs),
                current=inputs.signals.current,
                note=note,
                refusals={kind: refusal.sentence for kind, refusal in news.known.items()},
                now=inputs.now,
            )
            log.info("pool %s: %s %s", pool.slug, decision.reason, note)
            DECISIONS.labels(pool.slug, _direction(decision.desired, self.desired, inputs.signals.current)).inc()
        self.desired, self.refused = decision.desired, news.known


def _direction(desired: int, before: int | None, current: int) -> str:
    was = current if before is None else before
    return "up" if desired > was else "down" if desired < was else "note"
