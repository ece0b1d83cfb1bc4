"""What of a pool's ticks is kept: changes, and what keeps it from changing, when that begins and when it is over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator import records
from orchestrator.demand import Decision, History, Policy, Signals
from orchestrator.models import Pool
from orchestrator.plan import Drain, Plan, Start
from orchestrator.refusals import Kind, Refusal, noted

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Journal:
    """The last decided size, and what refused at the last tick. After a restart what still refuses is said once more."""

    desired: int | None = None
    refused: Mapping[Kind, Refusal] = field(default_factory=dict)

    def keep(
        self,
        pool: Pool,
        decision: Decision,
        todo: Plan,
        present: Mapping[Kind, str],
        *,
        policy: Policy,
        signals: Signals,
        history: History,
        now: float,
    ) -> None:
        """One tick's decision, if there is anything to be told. `present`: what refuses now, with its sentence."""
        news = noted(self.refused, present, now)
        scaled = any(isinstance(action, Start | Drain) for action in todo.actions)
        moved = self.desired is not None and decision.desired != self.desired
        if scaled or moved or news.sentences:
            note = " ".join(sentence for sentence in news.sentences if sentence not in decision.reason)
            inputs = records.inputs(signals=signals, policy=policy, history=history, now=now)
            inputs["refusals"] = sorted(news.known)
            records.keep_decision(pool, decision, inputs=inputs, current=signals.current, note=note, now=now)
            log.info("pool %s: %s %s", pool.slug, decision.reason, note)
        self.desired, self.refused = decision.desired, news.known
