"""The policies give what they gave before, or their edition is raised: decisions kept in files are made again exactly.

After `EDITION` was raised: `python -m tests.orchestrator.test_edition` keeps new ones.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.autoscale.loads import named
from orchestrator.policies.decide import EDITION
from orchestrator.policies.demand import Policy
from orchestrator.policies.schedule import parse
from orchestrator.rehearsal.fleet import Pool
from orchestrator.rehearsal.scaler import Ours, signals_of
from orchestrator.rehearsal.scene import Sample, Scene
from orchestrator.replay import Inputs, decided, differences, to_json

KEPT = Path(__file__).with_name("decisions.jsonl")
MOST = 12
FLOORS = parse([{"days": ["thu"], "from": "00:10", "to": "00:30", "workers": 3}])
POLICIES = (
    Policy(kind="queue_depth", max_workers=4),
    Policy(kind="target_wait", max_workers=32),
    Policy(kind="target_wait", max_workers=3, gpu_hours_per_day=0.5, wait_bound_s=2.0, idle_to_zero_s=5.0),
    Policy(kind="target_wait", min_workers=1, max_workers=8, standby_workers=1, floors=FLOORS, down_cooldown_s=120.0),
)


class Keeper(Ours):
    """Keeps the last decision of each code and size, with what it was made from."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.kept: dict[tuple[str, int], dict[str, object]] = {}

    def desired(self, sample: Sample) -> int:
        spent_h = sample.at / 3600 if self.policy.gpu_hours_per_day else None
        signals = replace(signals_of(sample), spent_h=spent_h)
        inputs = Inputs(policy=self.policy, signals=signals, history=self.history, now=sample.at)
        wanted = super().desired(sample)
        made = decided(inputs)
        told = {"current": signals.current, "desired": made.desired, "reason": made.reason}
        stored = {**to_json(inputs), "code": made.code, "needed": made.needed, "note": ""}
        self.kept[made.code, made.desired] = {**told, "stored": stored}
        return wanted


def keep() -> None:
    """Write the file anew."""
    lines = []
    for policy in POLICIES:
        keeper = Keeper(policy)
        Pool(named("azure"), Scene(cold_start_s=60.0), keeper).run()
        lines += [json.dumps(one) for one in list(keeper.kept.values())[:MOST]]
    KEPT.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("line", KEPT.read_text().splitlines() if KEPT.exists() else [])
def test_the_same_inputs_give_the_same_decision(line: str) -> None:
    kept = json.loads(line)
    stored = kept.pop("stored")
    assert stored["edition"] == EDITION, "the edition was raised: keep new decisions (see the top of this file)"
    assert differences(stored, **kept) == [], "a policy answers otherwise: raise EDITION and keep new decisions"


def test_decisions_of_all_kinds_are_kept() -> None:
    codes = {json.loads(line)["stored"]["code"] for line in KEPT.read_text().splitlines()}
    assert {"from_zero", "up", "hold", "down", "to_zero", "bounds"} <= codes


if __name__ == "__main__":
    keep()
